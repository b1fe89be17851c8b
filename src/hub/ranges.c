/* hub/ranges.c - see ranges.h. */
#include "hub/ranges.h"

#include <assert.h>
#include <string.h>

bool ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
	uint32_t first = 0, last;

	assert(from < to);
	while (first < r->count && r->list[first].to < from)
		first++;
	for (last = first; last < r->count && r->list[last].from <= to; last++) {
		from = r->list[last].from < from ? r->list[last].from : from;
		to = r->list[last].to > to ? r->list[last].to : to;
	}
	/* list[first .. last) become one */
	if (last == first && r->count == RANGES_MAX)
		return false;
	memmove(&r->list[first + 1], &r->list[last], (r->count - last) * sizeof(*r->list));
	r->list[first] = (struct range){from, to};
	r->count = r->count - (last - first) + 1;
	return true;
}

bool ranges_gap(const struct ranges *r, uint64_t size, uint64_t bytes_max, struct range *out)
{
	const uint64_t from = ranges_prefix(r);
	const uint32_t next = from > 0 ? 1 : 0;
	uint64_t to = next < r->count ? r->list[next].from : size;

	if (from >= size)
		return false;
	to = to > size ? size : to;
	*out = (struct range){from, to - from > bytes_max ? from + bytes_max : to};
	return true;
}

uint64_t ranges_bytes(const struct ranges *r)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < r->count; i++)
		bytes += r->list[i].to - r->list[i].from;
	return bytes;
}

uint64_t ranges_prefix(const struct ranges *r)
{
	return r->count > 0 && r->list[0].from == 0 ? r->list[0].to : 0;
}
