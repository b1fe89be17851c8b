/* chip/cpu/norm_vec.c - norm_ref.c in vectors. */
#include "chip/cpu/kernels_vec.h"

#include "base/math.h"

static float inverse_of(float sum_of_squares, uint32_t columns, float eps)
{
	return cpu_inverse_root(sum_of_squares / (float)columns + eps);
}

static float inverse_rms(const float *x, uint32_t columns, float eps)
{
	return inverse_of(vec_sum_of_squares(x, columns), columns, eps);
}

VEC_INLINE vec add_squares_n(float *x, const float *add, uint32_t n, vec sum)
{
	const vec v = vec_add(vec_load_n(x, n), vec_load_n(add, n));

	vec_store_n(x, v, n);
	return vec_fma(v, v, sum);
}

/* x += add; the sum of its squares, as vec_sum_of_squares has it. */
static float add_squares(float *x, const float *add, uint32_t count)
{
	struct vec_stripes t = vec_stripes_zero();
	uint32_t i = 0;

	for (; i + CPU_STRIPES <= count; i += CPU_STRIPES)
		VEC_UNROLL
		for (uint32_t j = 0; j < VEC_STRIPES; j++)
			t.s[j] = add_squares_n(x + i + j * VEC_LANES, add + i + j * VEC_LANES,
				VEC_LANES, t.s[j]);
	for (uint32_t j = 0; i < count && j < VEC_STRIPES; j++, i += VEC_LANES)
		t.s[j] = add_squares_n(x + i, add + i, vec_lanes_at(i, count), t.s[j]);
	return vec_fold_stripes(t.s);
}

VEC_INLINE void scale_n(const float *x, vec factor, const float *weight, float *out, uint32_t n)
{
	vec_store_n(out, vec_mul(vec_mul(vec_load_n(x, n), factor), vec_load_n(weight, n)), n);
}

/* out = x * factor * weight */
VEC_INLINE void scale(const float *x, float factor, const float *weight, float *out,
	uint32_t count)
{
	const vec f = vec_set(factor);
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		scale_n(x + i, f, weight + i, out + i, VEC_LANES);
	if (i < count)
		scale_n(x + i, f, weight + i, out + i, count - i);
}

VEC_INLINE vec load_at(const float *x, uint32_t i, uint32_t count)
{
	return vec_load_n(x + i, vec_lanes_at(i, count));
}

VEC_INLINE void store_at(float *x, uint32_t i, uint32_t count, vec v)
{
	vec_store_n(x + i, v, vec_lanes_at(i, count));
}

void VEC_NAME(rms_norm)(float *x, const float *add, const float *weight, float eps,
	uint32_t columns, float *out)
{
	const float sum = add ? add_squares(x, add, columns) : vec_sum_of_squares(x, columns);

	scale(x, inverse_of(sum, columns, eps), weight, out, columns);
}

void VEC_NAME(rms_norm_gate)(const float *x, const float *gate, const float *weight, float eps,
	uint32_t columns, float *out)
{
	const vec factor = vec_set(inverse_rms(x, columns, eps));

	for (uint32_t i = 0; i < columns; i += VEC_LANES) {
		const vec normal = vec_mul(vec_mul(load_at(x, i, columns), factor),
			load_at(weight, i, columns));

		store_at(out, i, columns, vec_mul(normal, vec_silu(load_at(gate, i, columns))));
	}
}

void VEC_NAME(l2_norm)(const float *x, float eps, float scale, uint32_t count, float *out)
{
	const vec factor = vec_set(cpu_inverse_root(vec_sum_of_squares(x, count) + eps));

	for (uint32_t i = 0; i < count; i += VEC_LANES)
		store_at(out, i, count, vec_mul(vec_mul(load_at(x, i, count), factor),
			vec_set(scale)));
}

/* ---- heads ----------------------------------------------------------------------------------- */

#define HEADS 8   /* whose sums are made side by side: they take longest */

VEC_INLINE vec normed(const struct cpu_heads *h, const float *x, uint32_t i, vec factor, uint32_t n)
{
	const vec v = vec_load_n(x + i, n);

	return h->weight ? vec_mul(vec_mul(v, factor), vec_load_n(h->weight + i, n)) : v;
}

VEC_INLINE void rotate_n(const struct cpu_heads *h, float *x, uint32_t i, vec factor, uint32_t n)
{
	const vec a = normed(h, x, i, factor, n), b = normed(h, x, i + h->pairs, factor, n);
	const vec c = vec_load_n(h->cosines + i, n), s = vec_load_n(h->sines + i, n);

	vec_store_n(x + i, vec_sub(vec_mul(a, c), vec_mul(b, s)), n);
	vec_store_n(x + i + h->pairs, vec_add(vec_mul(b, c), vec_mul(a, s)), n);
}

static void rope_head(const struct cpu_heads *h, float *x, float factor)
{
	const uint32_t turned = 2 * h->pairs;
	const vec f = vec_set(factor);
	uint32_t i = 0;

	for (; i + VEC_LANES <= h->pairs; i += VEC_LANES)
		rotate_n(h, x, i, f, VEC_LANES);
	if (i < h->pairs)
		rotate_n(h, x, i, f, h->pairs - i);
	if (h->weight)
		scale(x + turned, factor, h->weight + turned, x + turned, h->head_dim - turned);
}

void VEC_NAME(rope)(const struct cpu_heads *h, float *x)
{
	float factors[HEADS] = {0};

	for (uint32_t first = 0; first < h->count; first += HEADS) {
		const uint32_t left = h->count - first, heads = left < HEADS ? left : HEADS;
		float *at = x + first * h->stride;

		for (uint32_t i = 0; h->weight && i < heads; i++)
			factors[i] = inverse_rms(at + i * h->stride, h->head_dim, h->eps);
		for (uint32_t i = 0; i < heads; i++)
			rope_head(h, at + i * h->stride, factors[i]);
	}
}
