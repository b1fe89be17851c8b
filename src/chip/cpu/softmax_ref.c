/* chip/cpu/softmax_ref.c - what sampling needs of a row of logits: maxima and
 * exponentials. */
#include "chip/cpu/kernels_ref.h"

#include "base/math.h"

bool ref_largest(const float *values, uint32_t count, float *out)
{
	float largest = values[0];
	bool finite = true;

	for (uint32_t i = 0; i < count; i++) {
		finite = finite && (math_f32_bits(values[i]) & 0x7F800000U) != 0x7F800000U;
		largest = values[i] > largest ? values[i] : largest;
	}
	*out = largest;
	return finite;
}

bool ref_maxima(const float *values, uint32_t count, float *out)
{
	bool finite = true;

	for (uint32_t i = 0; i < count; i++) {
		float *largest = &out[i / CPU_MAXIMA];

		finite = finite && (math_f32_bits(values[i]) & 0x7F800000U) != 0x7F800000U;
		if (i % CPU_MAXIMA == 0 || values[i] > *largest)
			*largest = values[i];
	}
	return finite;
}

double ref_exponentials(const float *values, float divisor, float shift, uint32_t count,
	float *out)
{
	double stripes[CPU_STRIPES] = {0};

	for (uint32_t i = 0; i < count; i++) {
		const float e = math_expf(values[i] / divisor - shift);

		stripes[i % CPU_STRIPES] += (double)e;
		if (out)
			out[i] = e;
	}
	for (uint32_t half = CPU_STRIPES / 2; half > 0; half /= 2)
		for (uint32_t i = 0; i < half; i++)
			stripes[i] += stripes[i + half];
	return stripes[0];
}
