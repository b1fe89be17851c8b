/* chip/cpu/measure_avx512bf16.c - bf16 to measure with: two multiply-accumulates in each lane. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

int64_t VEC_NAME(bf16_ops)(int64_t rounds)
{
	const __m512i factor = _mm512_set1_epi32(0x3F003F00);   /* one half, twice */
	vec sums[MEASURE_CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < MEASURE_CHAINS; j++)
		sums[j] = vec_set(1.0F);
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < MEASURE_CHAINS; j++) {
			sums[j] = _mm512_dpbf16_ps(sums[j], (__m512bh)factor, (__m512bh)factor);
			VEC_KEEP(sums[j]);   /* all are done, though they are equal */
		}
	return rounds * MEASURE_CHAINS * VEC_LANES * 2 * 2;
}
