/* chip/cpu/swiglu_ref.c - element by element: the gate of the feed-forward layer, sums. */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

void ref_swiglu(const float *gate, const float *up, float *out, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = math_siluf(gate[i]) * up[i];
}

void ref_add(float *out, const float *in, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] += in[i];
}

void ref_add_scaled(float *out, const float *in, float factor, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = fmaf(factor, in[i], out[i]);
}
