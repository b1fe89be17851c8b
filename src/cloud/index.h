/* cloud/index.h - finds rows of an array by a hash of what they are called; rows only come, never
 * go.
 *
 *	place   . 3 . . 0 1 .        open addressing, next place on a clash; at most half full
 *	rows    a b c d ...
 *
 *	at = index_find(&ix, hash);
 *	for (; (row = index_row(&ix, at)) != INDEX_NONE; at = index_next(&ix, at))
 *		if (rows[row] is the one)
 *			...
 */
#ifndef CLOUD_INDEX_H
#define CLOUD_INDEX_H

#include <assert.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
	uint32_t *places;       /* [mask + 1] row + 1, or 0 */
	uint32_t mask;
	uint32_t count;
};

/* Places for an index of so many rows: a power of two. */
static inline uint32_t index_places(uint32_t rows_max)
{
	uint32_t places = 2;

	assert(rows_max <= UINT32_MAX / 4);
	while (places < 2 * rows_max)
		places *= 2;
	return places;
}

static inline uint32_t index_find(const struct index *ix, uint64_t hash)
{
	return (uint32_t)hash & ix->mask;
}

static inline uint32_t index_row(const struct index *ix, uint32_t at)
{
	return ix->places[at] - 1;      /* 0 becomes INDEX_NONE */
}

static inline uint32_t index_next(const struct index *ix, uint32_t at)
{
	return (at + 1) & ix->mask;
}

static inline void index_add(struct index *ix, uint64_t hash, uint32_t row)
{
	uint32_t at = index_find(ix, hash);

	assert(ix->count * 2 <= ix->mask);
	while (index_row(ix, at) != INDEX_NONE)
		at = index_next(ix, at);
	ix->places[at] = row + 1;
	ix->count++;
}

#endif
