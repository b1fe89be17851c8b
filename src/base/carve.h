/* base/carve.h - one block of memory cut into arrays, whose sizes are known once and never change.
 *
 *   block | header | requests[n]   | tenants[m] |     each part begins on a cache line of the block
 *
 * The same function lays it out twice: without a block it counts, with one it hands out.
 *
 *	static size_t lay_out(struct thing *t, void *block)
 *	{
 *		struct carve c = {.base = block};
 *
 *		t->numbers = carve_take(&c, NUMBERS, sizeof(*t->numbers));
 *		return c.used;
 *	}
 */
#ifndef BASE_CARVE_H
#define BASE_CARVE_H

#include <stddef.h>

#include "base/math.h"

#define CARVE_ALIGN ((size_t)64)

struct carve {
	char *base;     /* NULL: only counts */
	size_t used;
};

/* The next part; NULL without a block. Sizes come from limits that have been checked. */
static inline void *carve_take(struct carve *c, size_t count, size_t size)
{
	char *part = c->base ? c->base + c->used : NULL;

	c->used += math_round_up(count * size, CARVE_ALIGN);
	return part;
}

#endif
