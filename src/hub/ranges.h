/* hub/ranges.h - which bytes of a file are there, while several connections bring them.
 *
 *	|####........##......#####.....|      # there: [0, 4), [12, 14), [20, 25)   . gaps
 *
 * Sorted, never touching each other. There are few: who fills takes the first gap.
 */
#ifndef HUB_RANGES_H
#define HUB_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#define RANGES_MAX 64

struct range {
	uint64_t from, to;   /* [from, to), not empty */
};

struct ranges {
	struct range list[RANGES_MAX];
	uint32_t count;
};

/* [from, to) is there too. False when there would be too many: then it is not. */
bool ranges_add(struct ranges *r, uint64_t from, uint64_t to);
/* The first gap of [0, size), cut to bytes_max; false when there is none. */
bool ranges_gap(const struct ranges *r, uint64_t size, uint64_t bytes_max, struct range *out);
/* How much is there. */
uint64_t ranges_bytes(const struct ranges *r);
/* How much is there without a gap from 0 on. */
uint64_t ranges_prefix(const struct ranges *r);

#endif
