/* chip/cpu/softmax_vec.c - softmax_ref.c in vectors. */
#include "chip/cpu/kernels_vec.h"

#include "base/math.h"

#define INFINITY_BITS 0x7F800000U

bool VEC_NAME(largest)(const float *values, uint32_t count, float *out)
{
	vec largest = vec_set(values[0]);
	vec magnitude = vec_set(0.0F);
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES) {
		const vec v = vec_load(values + i);

		largest = vec_max(v, largest);
		magnitude = vec_max_magnitude(magnitude, v);
	}
	if (i < count) {
		const vec v = vec_load_part(values + i, count - i);

		largest = vec_max(vec_first(count - i, v, largest), largest);
		magnitude = vec_max_magnitude(magnitude, v);
	}
	*out = vec_largest_lane(largest);
	return vec_largest_bits(magnitude) < INFINITY_BITS;
}

/* Vectors whose maxima are kept apart: one waits for itself only every so many. */
#define CHAINS 4

/* The largest of a whole block, and the largest magnitude of all. */
VEC_INLINE float block_maximum(const float *values, vec *magnitude)
{
	vec largest[CHAINS], magnitudes[CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < CHAINS; j++) {
		largest[j] = vec_load(values + j * VEC_LANES);
		magnitudes[j] = vec_max_magnitude(*magnitude, largest[j]);
	}
	VEC_UNROLL
	for (uint32_t i = CHAINS * VEC_LANES; i < CPU_MAXIMA; i += CHAINS * VEC_LANES)
		VEC_UNROLL
		for (uint32_t j = 0; j < CHAINS; j++) {
			const vec v = vec_load(values + i + j * VEC_LANES);

			largest[j] = vec_max(v, largest[j]);
			magnitudes[j] = vec_max_magnitude(magnitudes[j], v);
		}
	VEC_UNROLL
	for (uint32_t j = 1; j < CHAINS; j++) {
		largest[0] = vec_max(largest[j], largest[0]);
		magnitudes[0] = vec_max_magnitude(magnitudes[0], magnitudes[j]);
	}
	*magnitude = magnitudes[0];
	return vec_largest_lane(largest[0]);
}

bool VEC_NAME(maxima)(const float *values, uint32_t count, float *out)
{
	vec magnitude = vec_set(0.0F);
	uint32_t i = 0;
	bool finite = true;

	for (; i + CPU_MAXIMA <= count; i += CPU_MAXIMA)
		out[i / CPU_MAXIMA] = block_maximum(values + i, &magnitude);
	if (i < count)
		finite = ref_maxima(values + i, count - i, out + i / CPU_MAXIMA);
	return vec_largest_bits(magnitude) < INFINITY_BITS && finite;
}

double VEC_NAME(exponentials)(const float *values, float divisor, float shift, uint32_t count,
	float *out)
{
	double sums[CPU_STRIPES] = {0};

	for (uint32_t i = 0; i < count; i += CPU_STRIPES)
		VEC_UNROLL
		for (uint32_t j = 0; j < VEC_STRIPES; j++) {
			const uint32_t at = i + j * VEC_LANES, n = vec_lanes_at(at, count);
			const vec z = vec_div(vec_load_n(values + at, n), vec_set(divisor));
			const vec x = vec_sub(z, vec_set(shift));
			const vec e = vec_first(n, vec_exp(x), vec_set(0.0F));

			vec_add_f64(sums + j * VEC_LANES, e);
			if (out)
				vec_store_n(out + at, e, n);
		}
	for (uint32_t half = CPU_STRIPES / 2; half > 0; half /= 2)
		for (uint32_t i = 0; i < half; i++)
			sums[i] += sums[i + half];
	return sums[0];
}
