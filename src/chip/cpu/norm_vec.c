/* chip/cpu/norm_vec.c - norm_ref.c in vectors. */
#include "chip/cpu/kernels_vec.h"

#include "base/math.h"

static float inverse_rms(const float *x, uint32_t columns, float eps)
{
	return 1.0F / math_sqrtf(vec_sum_of_squares(x, columns) / (float)columns + eps);
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
	if (add)
		VEC_NAME(add)(x, add, columns);
	const vec factor = vec_set(inverse_rms(x, columns, eps));

	for (uint32_t i = 0; i < columns; i += VEC_LANES)
		store_at(out, i, columns, vec_mul(vec_mul(load_at(x, i, columns), factor),
			load_at(weight, i, columns)));
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
	const vec factor = vec_set(1.0F / math_sqrtf(vec_sum_of_squares(x, count) + eps));

	for (uint32_t i = 0; i < count; i += VEC_LANES)
		store_at(out, i, count, vec_mul(vec_mul(load_at(x, i, count), factor),
			vec_set(scale)));
}

void VEC_NAME(rope)(float *x, const float *cosines, const float *sines, uint32_t pairs)
{
	for (uint32_t i = 0; i < pairs; i += VEC_LANES) {
		const vec a = load_at(x, i, pairs), b = load_at(x + pairs, i, pairs);
		const vec c = load_at(cosines, i, pairs), s = load_at(sines, i, pairs);

		store_at(x, i, pairs, vec_sub(vec_mul(a, c), vec_mul(b, s)));
		store_at(x + pairs, i, pairs, vec_add(vec_mul(b, c), vec_mul(a, s)));
	}
}
