/* chip/cpu/attend_vec.h - how attention in vectors goes through memory: a block of keys past all
 * queries, the next one on its way meanwhile.
 *
 * A page holds a few KiB of a head, too little for a processor to see where the next ones lie. They
 * are fetched into the second-level cache: the first is too small for two blocks, and has fewer
 * lines under way at once.
 */
#ifndef CHIP_CPU_ATTEND_VEC_H
#define CHIP_CPU_ATTEND_VEC_H

#include "chip/cpu/kernels_vec.h"

#define PAGE        CHIP_PAGE_TOKENS
#define BLOCK       CPU_ATTEND_BLOCK
#define BLOCK_PAGES (BLOCK / PAGE)
#define LINE        64

struct block {
	const struct cpu_attend *a;
	const uint8_t *pages[BLOCK_PAGES];
	const uint8_t *next[BLOCK_PAGES];   /* of the next block */
	uint32_t at;                        /* the first key */
	bool fetched;                       /* the next block is on its way */
};

/* The pages of the block at at, of those that hold keys below end; others: the last. */
static inline void find_pages(const struct cpu_attend *a, uint32_t at, uint32_t end,
	const uint8_t **pages)
{
	for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
		const uint32_t key = at + i * PAGE < end ? at + i * PAGE : end - 1;

		pages[i] = a->pages + a->table[key / PAGE] * a->page_bytes;
	}
}

/* The block at at, of a sequence of so many keys; the next one may lie in the next span. */
static inline struct block block_at(const struct cpu_attend *a, uint32_t at, uint32_t keys)
{
	struct block b = {.a = a, .at = at};

	find_pages(a, at, keys, b.pages);
	find_pages(a, at + BLOCK, keys, b.next);
	return b;
}

/* Keys [first, end) of the span that some queries see, of a sequence of so many. */
struct range {
	uint32_t first, end, keys;
};

static inline struct range range_of(const struct cpu_attend *a, const struct cpu_query *queries,
	uint32_t count)
{
	struct range r = {.first = UINT32_MAX};

	for (uint32_t i = 0; i < count; i++) {
		r.first = queries[i].first < r.first ? queries[i].first : r.first;
		r.keys = queries[i].keys > r.keys ? queries[i].keys : r.keys;
	}
	r.first = r.first > a->begin ? r.first : a->begin;
	r.end = r.keys < a->end ? r.keys : a->end;
	return r;
}

/* Keys of a block that a query sees: [first, end), none where they are equal. */
struct seen {
	uint32_t first, end;
};

static inline struct seen seen_of(const struct block *b, const struct cpu_query *query)
{
	const uint32_t first = query->first > b->a->begin ? query->first : b->a->begin;
	const uint32_t keys = query->keys < b->a->end ? query->keys : b->a->end;
	const uint32_t left = keys > b->at ? keys - b->at : 0;
	const struct seen seen = {
		.first = first > b->at ? first - b->at : 0,
		.end = left < BLOCK ? left : BLOCK,
	};

	return seen.first < seen.end ? seen : (struct seen){0};
}

VEC_INLINE void clear_values(struct cpu_query *query, uint32_t head_dim)
{
	for (uint32_t d = 0; d < head_dim; d += VEC_LANES)
		vec_store(query->out.values + d, vec_set(0.0F));
}

/* So many bytes of a page of the next block. */
VEC_INLINE void fetch_next(const struct block *b, uint32_t page, size_t offset,
	const uint32_t bytes)
{
	if (b->fetched)
		return;
	VEC_UNROLL
	for (uint32_t i = 0; i < bytes; i += LINE)
		vec_prefetch_later(b->next[page] + offset + i);
}

#endif
