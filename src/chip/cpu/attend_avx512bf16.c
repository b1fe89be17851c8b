/* chip/cpu/attend_avx512bf16.c - attention over bf16 keys and values with vdpbf16ps: pairs of
 * dimensions for the scores, pairs of keys for the values.
 *
 *	         keys of a page                      dimensions
 *	query m  scores scores     up to GROUP     sums sums ...     as many as registers take
 *	m + 1    scores scores     queries         sums sums
 *
 * A block of keys goes past all queries, GROUP at a time, while it is in the first caches. What is
 * rounded, and in which order pairs are added: attend_ref.c.
 */
#include <stdalign.h>

#include "chip/cpu/attend_vec.h"

#define GROUP       8
#define KEY_VECTORS (PAGE / VEC_LANES)
#define SUMS_MAX    16   /* of values, in registers */

struct progress {
	float largest;
	vec sums;
};

struct row {
	const uint16_t *q;          /* [head_dim], bf16 */
	float *values;              /* [head_dim] */
	struct progress *progress;
	uint64_t seen;              /* a bit for each key of the block */
};

/* Two bf16 for every lane. */
VEC_INLINE __m512i spread_pair(const uint16_t *x)
{
	int32_t pair;

	memcpy(&pair, x, sizeof(pair));
	return _mm512_set1_epi32(pair);
}

VEC_INLINE vec add_pairs(vec sums, __m512i a, __m512i b)
{
	return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)b);
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Pages [first, first + pages) of a block. */
VEC_INLINE void score_pages(const struct block *b, uint32_t first, const struct row *rows,
	float (*scores)[BLOCK], const uint32_t count, const uint32_t pages)
{
	vec sums[GROUP][BLOCK_PAGES * KEY_VECTORS];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < pages * KEY_VECTORS; j++)
			sums[m][j] = vec_set(0.0F);
	for (uint32_t d = 0; d < b->a->head_dim; d += 2) {
		__m512i pairs[BLOCK_PAGES * KEY_VECTORS];

		VEC_UNROLL
		for (uint32_t j = 0; j < pages * KEY_VECTORS; j++) {
			const uint32_t page = first + j / KEY_VECTORS;
			const size_t offset = (size_t)d * PAGE * 2 + j % KEY_VECTORS * LINE;

			pairs[j] = _mm512_loadu_si512(b->pages[page] + offset);
			fetch_next(b, page, offset, LINE);
		}
		VEC_UNROLL
		for (uint32_t m = 0; m < count; m++) {
			const __m512i q = spread_pair(rows[m].q + d);

			VEC_UNROLL
			for (uint32_t j = 0; j < pages * KEY_VECTORS; j++)
				sums[m][j] = add_pairs(sums[m][j], pairs[j], q);
		}
	}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < pages * KEY_VECTORS; j++)
			vec_store(scores[m] + first * PAGE + j * VEC_LANES,
				vec_mul(sums[m][j], vec_set(b->a->scale)));
}

/* Pages of which nothing is seen are left out, but not where both are gone through together: few
 * queries wait for memory, and two pages are two streams of it. */
VEC_INLINE void score_block(const struct block *b, const struct row *rows, uint64_t seen,
	float (*scores)[BLOCK], const uint32_t count)
{
	if (count <= GROUP / 2)
		score_pages(b, 0, rows, scores, count, BLOCK_PAGES);
	else
		for (uint32_t i = 0; i < BLOCK_PAGES; i++)
			if ((uint32_t)(seen >> i * PAGE))
				score_pages(b, i, rows, scores, count, 1);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* A row's scores, -infinity where nothing is seen; returns the largest, now or before. */
VEC_INLINE float hide(const struct row *row, float *scores)
{
	const vec hidden = vec_set(-__builtin_inff());
	vec largest = vec_set(row->progress->largest);

	VEC_UNROLL
	for (uint32_t j = 0; j < BLOCK / VEC_LANES; j++) {
		const __mmask16 seen = (__mmask16)(row->seen >> j * VEC_LANES);
		const vec s = _mm512_mask_blend_ps(seen, hidden, vec_load(scores + j * VEC_LANES));

		vec_store(scores + j * VEC_LANES, s);
		largest = vec_max(s, largest);
	}
	return vec_largest_lane(largest);
}

/* Scores to weights, as pairs of bf16. */
VEC_INLINE void weigh(struct row *row, const float *scores, float largest, float shrink,
	uint16_t *weights)
{
	const __m512i ones = _mm512_set1_epi32(0x3F803F80);
	vec sums = vec_mul(row->progress->sums, vec_set(shrink));

	VEC_UNROLL
	for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
		const float *s = scores + i * PAGE;
		const vec low = vec_exp(vec_sub(vec_load(s), vec_set(largest)));
		const vec high = vec_exp(vec_sub(vec_load(s + VEC_LANES), vec_set(largest)));
		const __m512i pairs = (__m512i)_mm512_cvtne2ps_pbh(high, low);

		_mm512_storeu_si512(weights + i * PAGE, pairs);
		sums = add_pairs(sums, pairs, ones);
	}
	row->progress->sums = sums;
	row->progress->largest = largest;
}

VEC_INLINE void weigh_rows(struct row *rows, float (*scores)[BLOCK], uint16_t (*weights)[BLOCK],
	float *shrink, const uint32_t count)
{
	float largest[VEC_LANES] = {0}, before[VEC_LANES] = {0};

	for (uint32_t m = 0; m < count; m++) {
		before[m] = rows[m].progress->largest;
		largest[m] = hide(&rows[m], scores[m]);
	}
	vec_store(shrink, vec_exp(vec_sub(vec_load(before), vec_load(largest))));
	for (uint32_t m = 0; m < count; m++)
		weigh(&rows[m], scores[m], largest[m], shrink[m], weights[m]);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Vectors of dimensions from d on, over pairs of keys [first, end) of the block. */
VEC_INLINE void add_values(const struct block *b, const struct row *rows,
	uint16_t (*weights)[BLOCK], const float *shrink, uint32_t first, uint32_t end, uint32_t d,
	const uint32_t count, const uint32_t vectors)
{
	const size_t line = (size_t)b->a->head_dim * 4, keys_bytes = line * PAGE / 2;
	vec sums[GROUP][SUMS_MAX];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			sums[m][i] = vec_mul(vec_load(rows[m].values + d + i * VEC_LANES),
				vec_set(shrink[m]));
	for (uint32_t pair = first; pair < end; pair++) {
		const size_t offset = keys_bytes + pair % (PAGE / 2) * line + d * 4;
		const uint8_t *values = b->pages[pair / (PAGE / 2)] + offset;

		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++) {
			const __m512i v = _mm512_loadu_si512(values + i * LINE);

			fetch_next(b, pair / (PAGE / 2), offset + i * LINE, LINE);
			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++)
				sums[m][i] = add_pairs(sums[m][i], v,
					spread_pair(weights[m] + pair * 2));
		}
	}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			vec_store(rows[m].values + d + i * VEC_LANES, sums[m][i]);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Bits [first, end) of the keys that somebody sees. */
static uint64_t seen_of(const struct block *b, const struct cpu_query *query)
{
	const uint32_t first = query->first > b->a->begin ? query->first : b->a->begin;
	const uint32_t keys = query->keys < b->a->end ? query->keys : b->a->end;
	const uint64_t all = ~(uint64_t)0;

	if (keys <= b->at || first >= b->at + BLOCK || first >= keys)
		return 0;
	return (keys - b->at < BLOCK ? ((uint64_t)1 << (keys - b->at)) - 1 : all) &
		(first > b->at ? all << (first - b->at) : all);
}

/* The block past count rows, of which one at least sees some of it. */
VEC_INLINE void attend_rows(const struct block *b, struct row *rows, uint64_t seen,
	const uint32_t count)
{
	const uint32_t widest = SUMS_MAX / count < 8 ? SUMS_MAX / count : 8;
	const uint32_t first = (uint32_t)__builtin_ctzll(seen) / 2;
	const uint32_t end = (uint32_t)(64 - __builtin_clzll(seen) + 1) / 2;
	alignas(LINE) float scores[GROUP][BLOCK];
	alignas(LINE) uint16_t weights[GROUP][BLOCK];
	alignas(LINE) float shrink[VEC_LANES];
	uint32_t d = 0;

	score_block(b, rows, seen, scores, count);
	weigh_rows(rows, scores, weights, shrink, count);
	for (; d + widest * VEC_LANES <= b->a->head_dim; d += widest * VEC_LANES)
		add_values(b, rows, weights, shrink, first, end, d, count, widest);
	if (widest > 4 && d + 4 * VEC_LANES <= b->a->head_dim) {
		add_values(b, rows, weights, shrink, first, end, d, count, 4);
		d += 4 * VEC_LANES;
	}
	if (widest > 2 && d + 2 * VEC_LANES <= b->a->head_dim) {
		add_values(b, rows, weights, shrink, first, end, d, count, 2);
		d += 2 * VEC_LANES;
	}
	if (d < b->a->head_dim)
		add_values(b, rows, weights, shrink, first, end, d, count, 1);
}

static void attend_8(const struct block *b, struct row *rows, uint64_t seen)
{
	attend_rows(b, rows, seen, 8);
}

static void attend_4(const struct block *b, struct row *rows, uint64_t seen)
{
	attend_rows(b, rows, seen, 4);
}

static void attend_2(const struct block *b, struct row *rows, uint64_t seen)
{
	attend_rows(b, rows, seen, 2);
}

static void attend_1(const struct block *b, struct row *rows, uint64_t seen)
{
	attend_rows(b, rows, seen, 1);
}

static void attend_block(struct block *b, struct row *rows, uint32_t count)
{
	while (count > 0) {
		const uint32_t group = count >= 8 ? 8 : count >= 4 ? 4 : count >= 2 ? 2 : 1;
		uint64_t seen = 0;

		for (uint32_t m = 0; m < group; m++)
			seen |= rows[m].seen;
		if (seen && group == 8)
			attend_8(b, rows, seen);
		else if (seen && group == 4)
			attend_4(b, rows, seen);
		else if (seen && group == 2)
			attend_2(b, rows, seen);
		else if (seen)
			attend_1(b, rows, seen);
		b->fetched |= seen != 0;
		rows += group;
		count -= group;
	}
}

/* Queries to bf16, one after the other. */
static void round_queries(const struct cpu_attend *a, const struct cpu_query *queries,
	uint32_t count, uint16_t *out)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t d = 0; d < a->head_dim; d += VEC_LANES * 2) {
			const bool two = d + VEC_LANES < a->head_dim;
			const vec low = vec_load(queries[i].q + d);
			const vec high = two ? vec_load(queries[i].q + d + VEC_LANES)
				: vec_set(0.0F);

			_mm512_storeu_si512(out + (size_t)i * CHIP_HEAD_DIM_MAX + d,
				(__m512i)_mm512_cvtne2ps_pbh(high, low));
		}
}

static void attend_rounded(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count)
{
	alignas(LINE) uint16_t rounded[CPU_ATTEND_QUERIES * CHIP_HEAD_DIM_MAX];
	struct progress progress[CPU_ATTEND_QUERIES];
	struct row rows[CPU_ATTEND_QUERIES];
	const struct range range = range_of(a, queries, count);

	round_queries(a, queries, count, rounded);
	for (uint32_t i = 0; i < count; i++) {
		progress[i] = (struct progress){CPU_ATTEND_NONE, vec_set(0.0F)};
		rows[i] = (struct row){rounded + (size_t)i * CHIP_HEAD_DIM_MAX,
			queries[i].out.values, &progress[i], 0};
		clear_values(&queries[i], a->head_dim);
	}
	for (uint32_t at = range.first / BLOCK * BLOCK; at < range.end; at += BLOCK) {
		struct block b = block_at(a, at, range.keys);

		for (uint32_t i = 0; i < count; i++)
			rows[i].seen = seen_of(&b, &queries[i]);
		attend_block(&b, rows, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		queries[i].out.largest = progress[i].largest;
		queries[i].out.sum = vec_fold_stripes(&progress[i].sums);
	}
}

void VEC_NAME(attend_bf16)(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count)
{
	if (a->kv_type != CHIP_BF16)
		VEC_NAME(attend)(a, queries, count);
	else if (a->head_dim % VEC_LANES)
		ref_attend(a, queries, count);
	else
		attend_rounded(a, queries, count);
}
