/* engine/stop.c - see stop.h. Knuth, Morris and Pratt.
 *
 *   stop string   a b a a b a
 *   length m      1 2 3 4 5 6
 *   border        0 0 1 1 2 3     how much of its beginning its first m bytes end with, not all m
 *
 * When a byte does not fit, the text still ends with the border of what had matched.
 */
#include "engine/stop.h"

#include <assert.h>
#include <string.h>

static_assert(REQUEST_STOP_BYTES <= UINT8_MAX + 1, "a border is shorter than its stop string");

/* The text ends with text[0..matched); with byte after it, how long is the longest beginning
 * that it ends with? */
static uint16_t stop_advance(const struct request_stop *stop, const uint8_t *border,
	uint16_t matched, char byte)
{
	assert(matched < stop->size);
	while (matched > 0 && stop->text[matched] != byte)
		matched = border[matched];
	return (uint16_t)(matched + (stop->text[matched] == byte));
}

void stop_init(struct stop_state *s, const struct request_stop *stops, uint32_t stop_count)
{
	assert(stop_count <= REQUEST_STOPS_MAX);
	memset(s, 0, sizeof(*s));
	for (uint32_t i = 0; i < stop_count; i++) {
		assert(stops[i].size > 0 && stops[i].size <= REQUEST_STOP_BYTES);
		for (uint32_t m = 1; m < stops[i].size; m++)
			s->border[i][m + 1] = (uint8_t)stop_advance(&stops[i], s->border[i],
				s->border[i][m], stops[i].text[m]);
	}
}

bool stop_feed(struct stop_state *s, const struct request_stop *stops, uint32_t stop_count,
	bool armed, const char *bytes, size_t size, uint32_t *which, size_t *excess)
{
	assert(stop_count <= REQUEST_STOPS_MAX);
	for (size_t at = 0; at < size; at++) {
		for (uint32_t i = 0; i < stop_count; i++) {
			s->matched[i] = stop_advance(&stops[i], s->border[i], s->matched[i],
				bytes[at]);
			if (s->matched[i] < stops[i].size)
				continue;
			s->matched[i] = s->border[i][stops[i].size];
			if (!armed)
				continue;
			if (which)
				*which = i;
			if (excess)
				*excess = size - at - 1;
			return true;
		}
	}
	return false;
}

uint32_t stop_begun(const struct stop_state *s, uint32_t stop_count)
{
	uint32_t longest = 0;

	for (uint32_t i = 0; i < stop_count; i++)
		if (s->matched[i] > longest)
			longest = s->matched[i];
	return longest;
}
