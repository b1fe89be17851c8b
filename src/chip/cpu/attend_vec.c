/* chip/cpu/attend_vec.c - attend_ref.c in vectors: of keys for the scores, of
 * dimensions for the values.
 *
 *	scores    VEC_QUERY queries x 32 keys in registers, over the dimensions one by one
 *	values    VEC_QUERY queries x 4 vectors of dimensions in registers, over the keys one by one
 *
 * A block goes past all queries before the next one: it comes from memory once. A key that one
 * query of a group sees and another does not has weight 0 for that one.
 */
#include "chip/cpu/attend_vec.h"

#define PAGE_VECTORS  (PAGE / VEC_LANES)
#define BLOCK_VECTORS (BLOCK / VEC_LANES)
#define VALUE_VECTORS 4
#define WIDE_BLOCKS   (VALUE_VECTORS * VEC_LANES / CPU_BLOCK)
#define Q8_0_BYTES    (PAGE + 2 * PAGE / CPU_BLOCK)   /* of a page's keys, for each dimension */

/* A query as keys of q8_0 are multiplied with it. */
struct quantized {
	int8_t values[CHIP_HEAD_DIM_MAX];
	struct cpu_block blocks[CHIP_HEAD_DIM_MAX / CPU_BLOCK];
};

struct progress {
	float largest;
	struct vec_stripes sums;
	struct quantized q;
};

/* From the first key that one of them sees to the last. */
static struct seen seen_by(const struct block *b, const struct cpu_query *queries, uint32_t count)
{
	struct seen all = {BLOCK, 0};

	for (uint32_t i = 0; i < count; i++) {
		const struct seen seen = seen_of(b, &queries[i]);

		if (seen.first == seen.end)
			continue;
		all.first = seen.first < all.first ? seen.first : all.first;
		all.end = seen.end > all.end ? seen.end : all.end;
	}
	return all;
}

VEC_INLINE uint32_t value_bytes(const enum chip_type type)
{
	return type == CHIP_Q8_0 ? 1 : type == CHIP_F32 ? 4 : 2;
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Dimension d of some keys. */
VEC_INLINE vec load_key(const uint8_t *keys, uint32_t d, uint32_t at, const enum chip_type type)
{
	const uint16_t *halves = (const uint16_t *)(const void *)keys;

	if (type == CHIP_BF16)
		return d % 2 ? vec_load_odd_bf16(halves + ((size_t)(d / 2) * PAGE + at) * 2)
			: vec_load_even_bf16(halves + ((size_t)(d / 2) * PAGE + at) * 2);
	if (type == CHIP_F16)
		return vec_load_f16(halves + (size_t)d * PAGE + at);
	return vec_load((const float *)(const void *)keys + (size_t)d * PAGE + at);
}

/* weights[m][page * PAGE + j] = q_m . key_j * scale, for a whole page; keys that nobody sees give
 * numbers nobody uses. */
VEC_INLINE void score_page(const struct block *b, uint32_t page, const struct cpu_query *queries,
	float (*weights)[BLOCK], const uint32_t count, const enum chip_type type)
{
	const struct cpu_attend *a = b->a;
	vec sums[VEC_QUERY][PAGE_VECTORS];

	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < PAGE_VECTORS; j++)
			sums[m][j] = vec_set(0.0F);
	for (uint32_t d = 0; d < a->head_dim; d++) {
		fetch_next(b, page, (size_t)d * PAGE * value_bytes(type), PAGE * value_bytes(type));
		VEC_UNROLL
		for (uint32_t j = 0; j < PAGE_VECTORS; j++) {
			const vec keys = load_key(b->pages[page], d, j * VEC_LANES, type);

			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++)
				sums[m][j] = vec_fma(vec_set(queries[m].q[d]), keys, sums[m][j]);
		}
	}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t j = 0; j < PAGE_VECTORS; j++)
			vec_store(weights[m] + page * PAGE + j * VEC_LANES,
				vec_mul(sums[m][j], vec_set(a->scale)));
}

/* The same for q8_0: an exact integer for each block of 32 dimensions, times both scales. */
VEC_INLINE void score_page_q8_0(const struct block *block, uint32_t page,
	const struct progress *progress, float (*weights)[BLOCK], const uint32_t count)
{
	const struct cpu_attend *a = block->a;
	const uint8_t *keys_at = block->pages[page];
	const uint16_t *scales = (const uint16_t *)(const void *)(keys_at + a->head_dim * PAGE);

	for (uint32_t b = 0; b < a->head_dim / CPU_BLOCK; b++) {
		const float factor = (b + 1) * CPU_BLOCK == a->head_dim ? a->scale : 1.0F;
		vec_dots dots[VEC_QUERY][PAGE_VECTORS];

		fetch_next(block, page, (size_t)(a->head_dim + b * 2) * PAGE, 2 * PAGE);
		VEC_UNROLL
		for (uint32_t m = 0; m < count; m++)
			VEC_UNROLL
			for (uint32_t j = 0; j < PAGE_VECTORS; j++)
				dots[m][j] = vec_dots_start(progress[m].q.blocks[b].start[0]);
		for (uint32_t d = b * CPU_BLOCK; d < (b + 1) * CPU_BLOCK; d += 4) {
			fetch_next(block, page, (size_t)d * PAGE, 4 * PAGE);
			VEC_UNROLL
			for (uint32_t j = 0; j < PAGE_VECTORS; j++) {
				const vec_bytes keys = vec_load_bytes(keys_at + d * PAGE +
					j * VEC_LANES * 4);

				VEC_UNROLL
				for (uint32_t m = 0; m < count; m++)
					dots[m][j] = vec_dots_add(dots[m][j], keys,
						progress[m].q.values + d);
			}
		}
		VEC_UNROLL
		for (uint32_t j = 0; j < PAGE_VECTORS; j++) {
			const vec key_scale = vec_load_f16(scales + b * PAGE + j * VEC_LANES);

			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++) {
				float *out = weights[m] + page * PAGE + j * VEC_LANES;
				const vec scale = vec_mul(key_scale,
					vec_set(progress[m].q.blocks[b].scale));
				const vec sum = vec_fma(vec_from_dots(dots[m][j]), scale,
					b > 0 ? vec_load(out) : vec_set(0.0F));

				vec_store(out, vec_mul(sum, vec_set(factor)));
			}
		}
	}
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Scores to weights, which are 0 where nothing is seen; returns by how much what was summed before
 * shrinks. */
static float weigh(float *weights, struct seen seen, struct progress *p)
{
	const vec hidden = vec_set(-__builtin_inff());
	vec largest = vec_set(p->largest);
	vec parts[BLOCK_VECTORS];

	VEC_UNROLL
	for (uint32_t j = 0; j < BLOCK_VECTORS; j++) {
		parts[j] = vec_load(weights + j * VEC_LANES);
		if (seen.first > 0 || seen.end < BLOCK)
			parts[j] = vec_first(vec_lanes_at(j * VEC_LANES, seen.first), hidden,
				vec_first(vec_lanes_at(j * VEC_LANES, seen.end), parts[j], hidden));
		largest = vec_max(parts[j], largest);
	}
	const float top = vec_largest_lane(largest);
	const float shrink = vec_exp_one(p->largest - top);

	VEC_UNROLL
	for (uint32_t j = 0; j < BLOCK_VECTORS; j++) {
		parts[j] = vec_exp(vec_sub(parts[j], vec_set(top)));
		vec_store(weights + j * VEC_LANES, parts[j]);
	}
	VEC_UNROLL
	for (uint32_t i = 0; i < VEC_STRIPES; i++) {
		VEC_UNROLL
		for (uint32_t j = i + VEC_STRIPES; j < BLOCK_VECTORS; j += VEC_STRIPES)
			parts[i] = vec_add(parts[i], parts[j]);
		p->sums.s[i] = vec_fma(p->sums.s[i], vec_set(shrink), parts[i]);
	}
	p->largest = top;
	return shrink;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* factors[m][i][j] = the weight of key j times the scale of its values of block i, for blocks from
 * that of dimension d on. */
VEC_INLINE void scale_weights(const struct block *b, float (*weights)[BLOCK], struct seen all,
	uint32_t d, float (*factors)[WIDE_BLOCKS][BLOCK], const uint32_t count,
	const uint32_t blocks)
{
	const uint32_t head_dim = b->a->head_dim;

	for (uint32_t page = all.first / PAGE; page * PAGE < all.end; page++) {
		const size_t offset = head_dim * (Q8_0_BYTES + PAGE) + d / CPU_BLOCK * PAGE * 2;
		const uint16_t *scales = (const uint16_t *)(const void *)(b->pages[page] + offset);

		fetch_next(b, page, offset, blocks * PAGE * 2);
		VEC_UNROLL
		for (uint32_t i = 0; i < blocks; i++)
			VEC_UNROLL
			for (uint32_t j = 0; j < PAGE; j += VEC_LANES) {
				const vec scale = vec_load_f16(scales + i * PAGE + j);

				VEC_UNROLL
				for (uint32_t m = 0; m < count; m++)
					vec_store(factors[m][i] + page * PAGE + j,
						vec_mul(vec_load(weights[m] + page * PAGE + j),
							scale));
			}
	}
}

/* Some dimensions of key at of a page. */
VEC_INLINE vec load_value(const uint8_t *values, size_t head_dim, uint32_t at, uint32_t d,
	const enum chip_type type)
{
	const uint16_t *halves = (const uint16_t *)(const void *)values;

	if (type == CHIP_Q8_0)
		return vec_load_i8((const int8_t *)values + at * head_dim + d);
	if (type == CHIP_BF16)
		return at % 2 ? vec_load_odd_bf16(halves + (at / 2 * head_dim + d) * 2)
			: vec_load_even_bf16(halves + (at / 2 * head_dim + d) * 2);
	if (type == CHIP_F16)
		return vec_load_f16(halves + at * head_dim + d);
	return vec_load((const float *)(const void *)values + at * head_dim + d);
}

/* out = out * shrink + the block's weighted values, for some vectors of dimensions. */
VEC_INLINE void add_values(const struct block *b, const struct cpu_query *queries,
	float (*weights)[BLOCK], const float *shrink, struct seen all, uint32_t d,
	const uint32_t count, const uint32_t vectors, const enum chip_type type)
{
	const uint32_t head_dim = b->a->head_dim;
	const size_t keys_bytes = (size_t)head_dim *
		(type == CHIP_Q8_0 ? Q8_0_BYTES : PAGE * value_bytes(type));
	const uint32_t blocks = vectors * VEC_LANES < CPU_BLOCK ? 1
		: vectors * VEC_LANES / CPU_BLOCK;
	float factors[VEC_QUERY][WIDE_BLOCKS][BLOCK];
	vec sums[VEC_QUERY][VALUE_VECTORS];

	if (type == CHIP_Q8_0)
		scale_weights(b, weights, all, d, factors, count, blocks);
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			sums[m][i] = vec_mul(vec_load(queries[m].out.values + d + i * VEC_LANES),
				vec_set(shrink[m]));
	for (uint32_t j = all.first; j < all.end; j++) {
		const uint8_t *values = b->pages[j / PAGE] + keys_bytes;

		fetch_next(b, j / PAGE,
			keys_bytes + (size_t)(j % PAGE * head_dim + d) * value_bytes(type),
			vectors * VEC_LANES * value_bytes(type));
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++) {
			const vec v = load_value(values, head_dim, j % PAGE, d + i * VEC_LANES,
				type);

			VEC_UNROLL
			for (uint32_t m = 0; m < count; m++) {
				const float w = type == CHIP_Q8_0
					? factors[m][i * VEC_LANES / CPU_BLOCK][j]
					: weights[m][j];

				sums[m][i] = vec_fma(vec_set(w), v, sums[m][i]);
			}
		}
	}
	VEC_UNROLL
	for (uint32_t m = 0; m < count; m++)
		VEC_UNROLL
		for (uint32_t i = 0; i < vectors; i++)
			vec_store(queries[m].out.values + d + i * VEC_LANES, sums[m][i]);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A block past count queries; false if they see nothing of it. */
VEC_INLINE bool attend_block(const struct block *b, struct cpu_query *queries,
	struct progress *progress, const uint32_t count, const enum chip_type type)
{
	const struct seen all = seen_by(b, queries, count);
	const uint32_t wide = VALUE_VECTORS * VEC_LANES;
	float weights[VEC_QUERY][BLOCK];
	float shrink[VEC_QUERY];
	uint32_t d = 0;

	if (all.first >= all.end)
		return false;
	for (uint32_t i = all.first / PAGE; i * PAGE < all.end; i++)
		if (type == CHIP_Q8_0)
			score_page_q8_0(b, i, progress, weights, count);
		else
			score_page(b, i, queries, weights, count, type);
	for (uint32_t m = 0; m < count; m++)
		shrink[m] = weigh(weights[m], seen_of(b, &queries[m]), &progress[m]);
	for (; d + wide <= b->a->head_dim; d += wide)
		add_values(b, queries, weights, shrink, all, d, count, VALUE_VECTORS, type);
	for (; d < b->a->head_dim; d += VEC_LANES)
		add_values(b, queries, weights, shrink, all, d, count, 1, type);
	return true;
}

VEC_INLINE void attend_queries(struct block *b, struct cpu_query *queries,
	struct progress *progress, uint32_t count, const enum chip_type type)
{
	uint32_t i = 0;

	for (; i + VEC_QUERY <= count; i += VEC_QUERY)
		b->fetched |= attend_block(b, queries + i, progress + i, VEC_QUERY, type);
	for (; VEC_QUERY > 2 && i + 2 <= count; i += 2)
		b->fetched |= attend_block(b, queries + i, progress + i, 2, type);
	for (; i < count; i++)
		b->fetched |= attend_block(b, queries + i, progress + i, 1, type);
}

static void attend_any(struct block *b, struct cpu_query *queries, struct progress *progress,
	uint32_t count)
{
	if (b->a->kv_type == CHIP_Q8_0)
		attend_queries(b, queries, progress, count, CHIP_Q8_0);
	else if (b->a->kv_type == CHIP_BF16)
		attend_queries(b, queries, progress, count, CHIP_BF16);
	else if (b->a->kv_type == CHIP_F16)
		attend_queries(b, queries, progress, count, CHIP_F16);
	else
		attend_queries(b, queries, progress, count, CHIP_F32);
}

void VEC_NAME(attend)(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count)
{
	struct progress progress[CPU_ATTEND_QUERIES];
	const struct range range = range_of(a, queries, count);

	if (a->head_dim % VEC_LANES) {
		ref_attend(a, queries, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		progress[i].largest = CPU_ATTEND_NONE;
		progress[i].sums = vec_stripes_zero();
		if (a->kv_type == CHIP_Q8_0)
			VEC_NAME(quantize)(queries[i].q, a->head_dim, CPU_BLOCK,
				progress[i].q.values, progress[i].q.blocks);
		clear_values(&queries[i], a->head_dim);
	}
	for (uint32_t at = range.first / BLOCK * BLOCK; at < range.end; at += BLOCK) {
		struct block b = block_at(a, at, range.keys);

		attend_any(&b, queries, progress, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		queries[i].out.largest = progress[i].largest;
		queries[i].out.sum = vec_fold_stripes(progress[i].sums.s);
	}
}

void VEC_NAME(attend_join)(float *out, float shrink, const float *in, float factor, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);

		vec_store_n(out + i, vec_fma(vec_load_n(in + i, n), vec_set(factor),
			vec_mul(vec_load_n(out + i, n), vec_set(shrink))), n);
	}
}

void VEC_NAME(attend_finish)(float *x, float factor, const float *gate, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);
		vec v = vec_mul(vec_load_n(x + i, n), vec_set(factor));

		if (gate)
			v = vec_mul(v, vec_sigmoid(vec_load_n(gate + i, n)));
		vec_store_n(x + i, vec_add(v, vec_set(0.0F)), n);
	}
}
