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

double VEC_NAME(exponentials)(const float *values, float shift, uint32_t count, float *out)
{
	double sums[CPU_STRIPES] = {0};

	for (uint32_t i = 0; i < count; i += CPU_STRIPES)
		VEC_UNROLL
		for (uint32_t j = 0; j < VEC_STRIPES; j++) {
			const uint32_t at = i + j * VEC_LANES, n = vec_lanes_at(at, count);
			const vec x = vec_sub(vec_load_n(values + at, n), vec_set(shift));
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
