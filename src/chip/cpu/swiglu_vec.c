/* chip/cpu/swiglu_vec.c - swiglu_ref.c in vectors. */
#include "chip/cpu/kernels_vec.h"

void VEC_NAME(swiglu)(const float *gate, const float *up, float *out, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);
		const vec active = vec_silu(vec_load_n(gate + i, n));

		vec_store_n(out + i, vec_mul(active, vec_load_n(up + i, n)), n);
	}
}

void VEC_NAME(add)(float *out, const float *in, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);

		vec_store_n(out + i, vec_add(vec_load_n(out + i, n), vec_load_n(in + i, n)), n);
	}
}

void VEC_NAME(add_scaled)(float *out, const float *in, float factor, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);

		vec_store_n(out + i, vec_fma(vec_set(factor), vec_load_n(in + i, n),
			vec_load_n(out + i, n)), n);
	}
}

void VEC_NAME(f16_from_f32)(const float *in, uint16_t *out, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		vec_store_f16(out + i, vec_load(in + i));
	ref_f16_from_f32(in + i, out + i, count - i);
}
