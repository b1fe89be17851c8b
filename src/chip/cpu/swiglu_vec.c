/* chip/cpu/swiglu_vec.c - swiglu_ref.c in vectors: n lanes of each. */
#include "chip/cpu/kernels_vec.h"

VEC_INLINE void swiglu_n(const float *gate, const float *up, float *out, uint32_t n)
{
	vec_store_n(out, vec_mul(vec_silu(vec_load_n(gate, n)), vec_load_n(up, n)), n);
}

VEC_INLINE void add_n(float *out, const float *in, uint32_t n)
{
	vec_store_n(out, vec_add(vec_load_n(out, n), vec_load_n(in, n)), n);
}

VEC_INLINE void add_scaled_n(float *out, const float *in, vec factor, uint32_t n)
{
	vec_store_n(out, vec_fma(factor, vec_load_n(in, n), vec_load_n(out, n)), n);
}

void VEC_NAME(swiglu)(const float *gate, const float *up, float *out, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		swiglu_n(gate + i, up + i, out + i, VEC_LANES);
	if (i < count)
		swiglu_n(gate + i, up + i, out + i, count - i);
}

void VEC_NAME(add)(float *out, const float *in, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		add_n(out + i, in + i, VEC_LANES);
	if (i < count)
		add_n(out + i, in + i, count - i);
}

void VEC_NAME(add_scaled)(float *out, const float *in, float factor, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		add_scaled_n(out + i, in + i, vec_set(factor), VEC_LANES);
	if (i < count)
		add_scaled_n(out + i, in + i, vec_set(factor), count - i);
}
