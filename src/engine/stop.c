/* engine/stop.c - see stop.h. Knuth, Morris and Pratt without a table: stop strings are short (REQUEST_STOP_BYTES),
 * so the longest border is found again when a byte does not fit. */
#include "engine/stop.h"

#include <assert.h>
#include <string.h>

/* The text ends with text[0..matched); with byte after it, how long is the longest beginning that it ends with? */
static uint16_t stop_advance(const struct request_stop *stop, uint16_t matched, char byte)
{
	assert(matched < stop->size);
	if (stop->text[matched] == byte)
		return (uint16_t)(matched + 1);
	for (uint16_t k = matched; k > 0; k--) {
		/* candidate: the first k bytes, of which the last is the new one */
		if (stop->text[k - 1] == byte
			&& memcmp(stop->text, stop->text + matched - (k - 1), (size_t)(k - 1)) == 0)
			return k;
	}
	return 0;
}

/* The longest beginning, not the whole, that a complete stop string ends with. */
static uint16_t stop_border(const struct request_stop *stop)
{
	for (uint32_t k = stop->size - 1; k > 0; k--)
		if (memcmp(stop->text, stop->text + stop->size - k, k) == 0)
			return (uint16_t)k;
	return 0;
}

void stop_init(struct stop_state *s)
{
	memset(s, 0, sizeof(*s));
}

bool stop_feed(struct stop_state *s, const struct request_stop *stops, uint32_t stop_count, bool armed,
	const char *bytes, size_t size, uint32_t *which, size_t *excess)
{
	assert(stop_count <= REQUEST_STOPS_MAX);
	for (size_t at = 0; at < size; at++) {
		for (uint32_t i = 0; i < stop_count; i++) {
			s->matched[i] = stop_advance(&stops[i], s->matched[i], bytes[at]);
			if (s->matched[i] < stops[i].size)
				continue;
			s->matched[i] = stop_border(&stops[i]);
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
