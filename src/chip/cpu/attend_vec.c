/* chip/cpu/attend_vec.c - attend_ref.c in vectors: of keys for the scores, of
 * dimensions for the values.
 *
 *	scores    VEC_QUERY queries x 32 keys in registers, over the dimensions one by one
 *	values    VEC_QUERY queries x 4 vectors of dimensions in registers, over the keys one by one
 *
 * A page goes past all queries before the next one: it comes from memory once. Queries of one tile
 * that see different parts of a page (its rows follow one another) take that page one by one.
 */
#include "chip/cpu/kernels_vec.h"

#include "base/math.h"

#define KEY_VECTORS   (CHIP_PAGE_TOKENS / VEC_LANES)
#define VALUE_VECTORS 4

struct progress {
	float largest;
	float sum;
};

VEC_INLINE vec load_element(const uint8_t *base, size_t index, const enum chip_type type)
{
	if (type == CHIP_F16)
		return vec_load_f16((const uint16_t *)(const void *)base + index);
	return vec_load((const float *)(const void *)base + index);
}

/* weights[m][j] = q_m . key_j * scale, for a whole page; keys that nobody sees give
 * numbers nobody uses. */
VEC_INLINE void score_page(const struct cpu_attend *a, const uint8_t *page,
	const struct cpu_query *queries, float (*weights)[CHIP_PAGE_TOKENS], const uint32_t count,
	const enum chip_type type)
{
	vec sums[VEC_QUERY][KEY_VECTORS];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < KEY_VECTORS; j++)
			sums[m][j] = vec_set(0.0F);
	for (uint32_t d = 0; d < a->head_dim; d++)
		VEC_UNROLL
		for (uint32_t j = 0; j < KEY_VECTORS; j++) {
			const vec keys = load_element(page, (size_t)d * CHIP_PAGE_TOKENS +
				j * VEC_LANES, type);

			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++)
				sums[m][j] = vec_fma(vec_set(queries[m].q[d]), keys, sums[m][j]);
		}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < KEY_VECTORS; j++)
			vec_store(weights[m] + j * VEC_LANES,
				vec_mul(sums[m][j], vec_set(a->scale)));
}

/* Keys of a page that a query sees: [first, end), none where end is 0. */
struct seen {
	uint32_t first, end;
};

static bool is_whole(struct seen seen)
{
	return seen.first == 0 && seen.end == CHIP_PAGE_TOKENS;
}

/* Values of keys that are seen; the others' are those of hidden. */
VEC_INLINE vec only_seen(struct seen seen, uint32_t at, vec values, vec hidden, const bool whole)
{
	if (whole)
		return values;
	return vec_first(vec_lanes_at(at, seen.first), hidden,
		vec_first(vec_lanes_at(at, seen.end), values, hidden));
}

/* Scores to weights; returns by how much what was summed before shrinks. */
VEC_INLINE float weigh(float *weights, struct seen seen, struct progress *p, const bool whole)
{
	vec largest = vec_set(p->largest);
	vec parts[KEY_VECTORS];
	struct vec_stripes stripes;

	VEC_UNROLL
	for (uint32_t j = 0; j < KEY_VECTORS; j++) {
		const vec s = vec_load(weights + j * VEC_LANES);

		largest = vec_max(only_seen(seen, j * VEC_LANES, s, largest, whole), largest);
	}
	const float top = vec_largest_lane(largest);

	VEC_UNROLL
	for (uint32_t j = 0; j < KEY_VECTORS; j++) {
		const vec e = vec_exp(vec_sub(vec_load(weights + j * VEC_LANES), vec_set(top)));

		parts[j] = only_seen(seen, j * VEC_LANES, e, vec_set(0.0F), whole);
		vec_store(weights + j * VEC_LANES, parts[j]);
	}
	VEC_UNROLL
	for (uint32_t j = 0; j < VEC_STRIPES; j++)
		stripes.s[j] = vec_add(parts[j], parts[j + VEC_STRIPES]);
	const float shrink = math_expf(p->largest - top);

	p->sum = vec_fma_one(p->sum, shrink, vec_fold_stripes(stripes.s));
	p->largest = top;
	return shrink;
}

static float weigh_page(float *weights, struct seen seen, struct progress *p)
{
	return is_whole(seen) ? weigh(weights, seen, p, true) : weigh(weights, seen, p, false);
}

/* out = out * shrink + the page's weighted values, for some vectors of dimensions. */
VEC_INLINE void add_values(const struct cpu_attend *a, const uint8_t *values,
	const struct cpu_query *queries, float (*weights)[CHIP_PAGE_TOKENS], const float *shrink,
	struct seen seen, uint32_t d,
	const uint32_t count, const uint32_t vectors, const enum chip_type type)
{
	vec sums[VEC_QUERY][VALUE_VECTORS];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			sums[m][i] = vec_mul(vec_load(queries[m].out + d + i * VEC_LANES),
				vec_set(shrink[m]));
	for (uint32_t j = seen.first; j < seen.end; j++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++) {
			const vec v = load_element(values, (size_t)j * a->head_dim + d +
				i * VEC_LANES, type);

			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++)
				sums[m][i] = vec_fma(vec_set(weights[m][j]), v, sums[m][i]);
		}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			vec_store(queries[m].out + d + i * VEC_LANES, sums[m][i]);
}

/* count queries that all see the same keys of this page. */
VEC_INLINE void attend_page(const struct cpu_attend *a, const uint8_t *page,
	const struct cpu_query *queries, struct progress *progress, struct seen seen,
	const uint32_t count, const enum chip_type type)
{
	const size_t size = type == CHIP_F16 ? 2 : 4;
	const uint8_t *values = page + (size_t)a->head_dim * CHIP_PAGE_TOKENS * size;
	const uint32_t wide = VALUE_VECTORS * VEC_LANES;
	float weights[VEC_QUERY][CHIP_PAGE_TOKENS];
	float shrink[VEC_QUERY];
	uint32_t d = 0;

	score_page(a, page, queries, weights, count, type);
	for (uint32_t m = 0; m < count; m++)
		shrink[m] = weigh_page(weights[m], seen, &progress[m]);
	for (; d + wide <= a->head_dim; d += wide)
		add_values(a, values, queries, weights, shrink, seen, d, count, VALUE_VECTORS,
			type);
	for (; d < a->head_dim; d += VEC_LANES)
		add_values(a, values, queries, weights, shrink, seen, d, count, 1, type);
}

/* Of the page whose first key is at. */
static struct seen seen_in_page(const struct cpu_query *query, uint32_t at)
{
	const uint32_t left = query->keys > at ? query->keys - at : 0;
	const struct seen seen = {
		.first = query->first > at ? query->first - at : 0,
		.end = left < CHIP_PAGE_TOKENS ? left : CHIP_PAGE_TOKENS,
	};

	return seen.first < seen.end ? seen : (struct seen){0};
}

static bool same_keys(struct seen a, struct seen b)
{
	return a.first == b.first && a.end == b.end;
}

/* Queries [0, count), in groups as long as they see the same keys. */
VEC_INLINE void attend_queries(const struct cpu_attend *a, const uint8_t *page, uint32_t first,
	const struct cpu_query *queries, struct progress *progress, uint32_t count,
	const enum chip_type type)
{
	uint32_t i = 0;

	while (i < count) {
		const struct seen seen = seen_in_page(&queries[i], first);
		uint32_t same = 1;

		while (same < VEC_QUERY && i + same < count &&
			same_keys(seen_in_page(&queries[i + same], first), seen))
			same++;
		if (same == VEC_QUERY && seen.end > 0) {
			attend_page(a, page, queries + i, progress + i, seen, VEC_QUERY, type);
			i += VEC_QUERY;
		} else {
			if (seen.end > 0)
				attend_page(a, page, queries + i, progress + i, seen, 1, type);
			i++;
		}
	}
}

static void finish_query(const struct cpu_attend *a, const struct cpu_query *query,
	const struct progress *p)
{
	const vec factor = vec_set(1.0F / p->sum);

	for (uint32_t d = 0; d < a->head_dim; d += VEC_LANES) {
		vec v = vec_mul(vec_load(query->out + d), factor);

		if (query->gate)
			v = vec_mul(v, vec_sigmoid(vec_load(query->gate + d)));
		vec_store(query->out + d, v);
	}
}

void VEC_NAME(attend)(const struct cpu_attend *a, const struct cpu_query *queries, uint32_t count)
{
	struct progress progress[CPU_ATTEND_QUERIES];
	uint32_t keys_min = UINT32_MAX, keys_max = 0;

	if (a->head_dim % VEC_LANES) {
		ref_attend(a, queries, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		progress[i] = (struct progress){.largest = -__builtin_inff()};
		keys_min = queries[i].first < keys_min ? queries[i].first : keys_min;
		keys_max = queries[i].keys > keys_max ? queries[i].keys : keys_max;
		for (uint32_t d = 0; d < a->head_dim; d += VEC_LANES)
			vec_store(queries[i].out + d, vec_set(0.0F));
	}
	for (uint32_t first = keys_min / CHIP_PAGE_TOKENS * CHIP_PAGE_TOKENS; first < keys_max;
		first += CHIP_PAGE_TOKENS) {
		const uint8_t *page = a->pages + a->table[first / CHIP_PAGE_TOKENS] * a->page_bytes;

		if (a->kv_type == CHIP_F16)
			attend_queries(a, page, first, queries, progress, count, CHIP_F16);
		else
			attend_queries(a, page, first, queries, progress, count, CHIP_F32);
	}
	for (uint32_t i = 0; i < count; i++)
		finish_query(a, &queries[i], &progress[i]);
}
