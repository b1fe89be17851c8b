/* engine/stop.h - has a stop string just been completed? Byte by byte over the tokens of an answer.
 *
 * A stop string may lie across token borders; it counts from the first token of the answer on. Cost
 * per byte: a few comparisons for each stop string, on average over the text, whatever text and
 * strings are. State is plain: it can be copied with a slot.
 */
#ifndef ENGINE_STOP_H
#define ENGINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/request.h"

struct stop_state {
	/* how many leading bytes of stop string i the text so far ends with (the longest such) */
	uint16_t matched[REQUEST_STOPS_MAX];
	/* [i][m]: the same of the first m bytes of stop string i itself, less than m */
	uint8_t border[REQUEST_STOPS_MAX][REQUEST_STOP_BYTES + 1];
};

/* Each stop string has 1 to REQUEST_STOP_BYTES bytes; the others are fed the same ones. */
void stop_init(struct stop_state *s, const struct request_stop *stops, uint32_t stop_count);

/* Takes the bytes of one more token. True once a stop string is complete, if armed; the bytes after
 * it are not looked at: *excess, if not NULL, is their count, *which the index of the stop string.
 * The one that is complete first counts, wherever tokens end. While not armed (min_tokens) a stop
 * string that completes is passed over. */
bool stop_feed(struct stop_state *s, const struct request_stop *stops, uint32_t stop_count,
	bool armed, const char *bytes, size_t size, uint32_t *which, size_t *excess);

/* How many of the last bytes could still become a stop string: the longest beginning of one that
 * the text ends with. */
uint32_t stop_begun(const struct stop_state *s, uint32_t stop_count);

#endif
