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

#define GROUP         8
#define GROUPS        (CPU_ATTEND_QUERIES / GROUP)
#define KEY_VECTORS   (PAGE / VEC_LANES)
#define BLOCK_VECTORS (BLOCK / VEC_LANES)
#define SUMS_MAX      16   /* of values, in registers */
#define Q_LINE        32   /* dimensions of a query that lie together */

/* Some queries. A line of all of them comes before the next: what the score products read has
 * constant distances then, and few addresses. */
struct group {
	alignas(LINE) uint16_t q[CHIP_HEAD_DIM_MAX / Q_LINE][GROUP][Q_LINE];   /* bf16 */
	alignas(LINE) float largest[VEC_LANES];   /* scores, as powers of 2 */
	vec sums[GROUP];                          /* of weights */
	float *values[GROUP];                     /* [head_dim] each */
	uint64_t seen[GROUP];                     /* a bit for each key of the block */
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

/* Some vectors of keys, from a page of a block on, for count queries from m0 on. */
VEC_INLINE void score_keys(const struct block *b, uint32_t first, const struct group *g,
	uint32_t m0, float (*scores)[BLOCK], const uint32_t count, const uint32_t vectors)
{
	const vec factor = vec_set(b->a->scale * CPU_LOG2_E);
	vec sums[GROUP][BLOCK_VECTORS];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++)
			sums[m][j] = vec_set(0.0F);
	for (uint32_t d = 0; d < b->a->head_dim; d += 2) {
		const uint16_t *q = g->q[d / Q_LINE][m0] + d % Q_LINE;
		__m512i pairs[BLOCK_VECTORS];

		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++) {
			const uint32_t page = first + j / KEY_VECTORS;
			const size_t offset = (size_t)d * PAGE * 2 + j % KEY_VECTORS * LINE;

			pairs[j] = _mm512_loadu_si512(b->pages[page] + offset);
			fetch_next(b, page, offset, LINE);
		}
		VEC_UNROLL
		for (uint32_t m = 0; m < count; m++) {
			const __m512i x = spread_pair(q + (size_t)m * Q_LINE);

			VEC_UNROLL
			for (uint32_t j = 0; j < vectors; j++)
				sums[m][j] = add_pairs(sums[m][j], pairs[j], x);
		}
	}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++)
			vec_store(scores[m] + first * PAGE + j * VEC_LANES,
				vec_mul(sums[m][j], factor));
}

/* Vectors of which nothing is seen are left out, but not where both pages are gone through
 * together: few queries wait for memory, and two pages are two streams of it. */
VEC_INLINE void score_block(const struct block *b, const struct group *g, uint32_t m0,
	uint64_t seen, float (*scores)[BLOCK], const uint32_t count)
{
	if (count <= GROUP / 2)
		score_keys(b, 0, g, m0, scores, count, BLOCK_VECTORS);
	else
		for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
			const uint32_t keys = (uint32_t)(seen >> i * PAGE);

			if (keys >> VEC_LANES)
				score_keys(b, i, g, m0, scores, count, KEY_VECTORS);
			else if (keys)
				score_keys(b, i, g, m0, scores, count, 1);
		}
}

/* ---- weights --------------------------------------------------------------------------------- */

/* In each lane the largest of some scores that are seen, or the one before. */
VEC_INLINE vec largest_score(const float *scores, uint64_t seen, float before)
{
	const vec hidden = vec_set(-__builtin_inff());
	vec largest = vec_set(before);

	if (seen == ~(uint64_t)0)
		VEC_UNROLL
		for (uint32_t j = 0; j < BLOCK_VECTORS; j++)
			largest = vec_max(vec_load(scores + j * VEC_LANES), largest);
	else
		VEC_UNROLL
		for (uint32_t j = 0; j < BLOCK_VECTORS; j++)
			largest = vec_max(_mm512_mask_blend_ps((__mmask16)(seen >> j * VEC_LANES),
				hidden, vec_load(scores + j * VEC_LANES)), largest);
	return largest;
}

VEC_INLINE vec larger_halves(vec a, vec b)
{
	return vec_max(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
}

VEC_INLINE vec larger_quarters(vec a, vec b)
{
	return vec_max(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}

/* Lane m: the largest lane of v[m]. */
VEC_INLINE vec largest_lanes(const vec *v, const uint32_t count)
{
	float largest[VEC_LANES] = {0};

	if (count == GROUP) {
		/* four lanes of each query: 0 to 3, 4 to 7 */
		const vec a = larger_quarters(larger_halves(v[0], v[1]),
			larger_halves(v[2], v[3]));
		const vec b = larger_quarters(larger_halves(v[4], v[5]),
			larger_halves(v[6], v[7]));
		/* two of queries 0, 4, then of 1, 5 ... */
		const vec two = vec_max(_mm512_shuffle_ps(a, b, 0x44),
			_mm512_shuffle_ps(a, b, 0xEE));
		const vec one = vec_max(_mm512_shuffle_ps(two, two, 0xB1), two);

		return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0,
			0, 0, 0, 0, 0), one);
	}
	for (uint32_t m = 0; m < count; m++)
		largest[m] = vec_largest_lane(v[m]);
	return vec_load(largest);
}

/* 2^x for a weight, which has 8 bits: x is at most 0. As in attend_ref.c. */
VEC_INLINE vec power_of_2(vec x)
{
	const vec r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	vec p = vec_set(CPU_POWER_3);

	p = vec_fma(p, r, vec_set(CPU_POWER_2));
	p = vec_fma(p, r, vec_set(CPU_POWER_1));
	p = vec_fma(p, r, vec_set(CPU_POWER_0));
	return _mm512_scalef_ps(p, x);
}

/* Scores to weights, as pairs of bf16, 0 where nothing is seen; returns their sums. */
VEC_INLINE vec weigh(const float *scores, uint64_t seen, float largest, vec sums,
	uint16_t *weights)
{
	const __m512i ones = _mm512_set1_epi32(0x3F803F80);

	VEC_UNROLL
	for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
		const float *s = scores + i * PAGE;
		const vec low = power_of_2(vec_sub(vec_load(s), vec_set(largest)));
		const vec high = power_of_2(vec_sub(vec_load(s + VEC_LANES), vec_set(largest)));
		const __m512i pairs = _mm512_maskz_mov_epi16((__mmask32)(seen >> i * PAGE),
			(__m512i)_mm512_cvtne2ps_pbh(high, low));

		_mm512_storeu_si512(weights + i * PAGE, pairs);
		sums = add_pairs(sums, pairs, ones);
	}
	return sums;
}

VEC_INLINE void weigh_rows(struct group *g, uint32_t m0, float (*scores)[BLOCK],
	uint16_t (*weights)[BLOCK], float *shrink, const uint32_t count)
{
	alignas(LINE) float largest[VEC_LANES];
	vec lanes[GROUP];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		lanes[m] = largest_score(scores[m], g->seen[m0 + m], g->largest[m0 + m]);
	const vec all = largest_lanes(lanes, count);
	const vec before = _mm512_maskz_loadu_ps((__mmask16)((1U << count) - 1), g->largest + m0);

	vec_store(largest, all);
	_mm512_mask_storeu_ps(g->largest + m0, (__mmask16)((1U << count) - 1), all);
	vec_store(shrink, vec_exp(vec_mul(vec_sub(before, all), vec_set(CPU_LN_2))));
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		g->sums[m0 + m] = weigh(scores[m], g->seen[m0 + m], largest[m],
			vec_mul(g->sums[m0 + m], vec_set(shrink[m])), weights[m]);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Vectors of dimensions from d on, over pairs of keys [first, end) of the block. */
VEC_INLINE void add_values(const struct block *b, float *const *out,
	uint16_t (*weights)[BLOCK], const float *shrink, uint32_t first, uint32_t end, uint32_t d,
	const uint32_t count, const uint32_t vectors)
{
	const size_t line = (size_t)b->a->head_dim * 4, keys_bytes = line * PAGE / 2;
	vec sums[GROUP][SUMS_MAX];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			sums[m][i] = vec_mul(vec_load(out[m] + d + i * VEC_LANES),
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
			vec_store(out[m] + d + i * VEC_LANES, sums[m][i]);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Bits of the keys that a query sees. */
static uint64_t seen_bits(const struct block *b, const struct cpu_query *query)
{
	const struct seen seen = seen_of(b, query);
	const uint64_t all = ~(uint64_t)0;

	if (seen.first == seen.end)
		return 0;
	return all << seen.first & all >> (BLOCK - seen.end);
}

/* The block past count queries from m0 on, of which one at least sees some of it. */
VEC_INLINE void attend_queries(const struct block *b, struct group *g, uint32_t m0, uint64_t seen,
	const uint32_t count)
{
	const uint32_t widest = SUMS_MAX / count < 8 ? SUMS_MAX / count : 8;
	const uint32_t first = (uint32_t)__builtin_ctzll(seen) / 2;
	const uint32_t end = (uint32_t)(64 - __builtin_clzll(seen) + 1) / 2;
	float *const *out = g->values + m0;
	alignas(LINE) float scores[GROUP][BLOCK];
	alignas(LINE) uint16_t weights[GROUP][BLOCK];
	alignas(LINE) float shrink[VEC_LANES];
	uint32_t d = 0;

	score_block(b, g, m0, seen, scores, count);
	weigh_rows(g, m0, scores, weights, shrink, count);
	for (; d + widest * VEC_LANES <= b->a->head_dim; d += widest * VEC_LANES)
		add_values(b, out, weights, shrink, first, end, d, count, widest);
	if (widest > 4 && d + 4 * VEC_LANES <= b->a->head_dim) {
		add_values(b, out, weights, shrink, first, end, d, count, 4);
		d += 4 * VEC_LANES;
	}
	if (widest > 2 && d + 2 * VEC_LANES <= b->a->head_dim) {
		add_values(b, out, weights, shrink, first, end, d, count, 2);
		d += 2 * VEC_LANES;
	}
	if (d < b->a->head_dim)
		add_values(b, out, weights, shrink, first, end, d, count, 1);
}

static void attend_8(const struct block *b, struct group *g, uint64_t seen)
{
	attend_queries(b, g, 0, seen, 8);
}

static void attend_4(const struct block *b, struct group *g, uint32_t m0, uint64_t seen)
{
	attend_queries(b, g, m0, seen, 4);
}

static void attend_2(const struct block *b, struct group *g, uint32_t m0, uint64_t seen)
{
	attend_queries(b, g, m0, seen, 2);
}

static void attend_1(const struct block *b, struct group *g, uint32_t m0, uint64_t seen)
{
	attend_queries(b, g, m0, seen, 1);
}

/* The block past the queries of a group. */
static void attend_group(struct block *b, struct group *g, uint32_t count)
{
	for (uint32_t m0 = 0; m0 < count;) {
		const uint32_t left = count - m0;
		const uint32_t some = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
		uint64_t seen = 0;

		for (uint32_t m = 0; m < some; m++)
			seen |= g->seen[m0 + m];
		if (seen && some == 8)
			attend_8(b, g, seen);
		else if (seen && some == 4)
			attend_4(b, g, m0, seen);
		else if (seen && some == 2)
			attend_2(b, g, m0, seen);
		else if (seen)
			attend_1(b, g, m0, seen);
		b->fetched |= seen != 0;
		m0 += some;
	}
}

/* A query to bf16. */
static void round_query(const float *q, uint32_t head_dim, struct group *g, uint32_t m)
{
	for (uint32_t d = 0; d < head_dim; d += Q_LINE) {
		const bool two = d + VEC_LANES < head_dim;
		const vec low = vec_load(q + d);
		const vec high = two ? vec_load(q + d + VEC_LANES) : vec_set(0.0F);

		_mm512_storeu_si512(g->q[d / Q_LINE][m], (__m512i)_mm512_cvtne2ps_pbh(high, low));
	}
}

static void start_queries(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count,
	struct group *groups)
{
	for (uint32_t i = 0; i < count; i++) {
		struct group *g = &groups[i / GROUP];
		const uint32_t m = i % GROUP;

		round_query(queries[i].q, a->head_dim, g, m);
		g->largest[m] = CPU_ATTEND_NONE;
		g->sums[m] = vec_set(0.0F);
		g->values[m] = queries[i].out.values;
		clear_values(&queries[i], a->head_dim);
	}
}

static void attend_rounded(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count)
{
	struct group groups[GROUPS];
	const struct range range = range_of(a, queries, count);

	start_queries(a, queries, count, groups);
	for (uint32_t at = range.first / BLOCK * BLOCK; at < range.end; at += BLOCK) {
		struct block b = block_at(a, at, range.keys);

		for (uint32_t i = 0; i < count; i++)
			groups[i / GROUP].seen[i % GROUP] = seen_bits(&b, &queries[i]);
		for (uint32_t i = 0; i < count; i += GROUP)
			attend_group(&b, &groups[i / GROUP],
				count - i < GROUP ? count - i : GROUP);
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct group *g = &groups[i / GROUP];
		const float largest = g->largest[i % GROUP];

		queries[i].out.largest = largest > CPU_ATTEND_NONE ? largest * CPU_LN_2 : largest;
		queries[i].out.sum = vec_fold_stripes(&g->sums[i % GROUP]);
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
