/* chip/cpu/measure_avx512.c - int8 in AVX-512, to measure with:
 * vpdpbusd, 64 multiply-accumulates. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

int64_t VEC_NAME(int8_ops)(int64_t rounds)
{
	const __m512i factor = _mm512_set1_epi32(0x03030303);
	__m512i sums[MEASURE_CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < MEASURE_CHAINS; j++)
		sums[j] = _mm512_setzero_si512();
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < MEASURE_CHAINS; j++) {
			sums[j] = _mm512_dpbusd_epi32(sums[j], factor, factor);
			VEC_KEEP(sums[j]);   /* all are done, though they are equal */
		}
	return rounds * MEASURE_CHAINS * 64 * 2;
}
