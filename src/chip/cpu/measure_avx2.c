/* chip/cpu/measure_avx2.c - int8 in AVX2, to measure with: vpmaddubsw and a 16-bit addition, 32
 * multiply-accumulates. Nothing that AVX2 has does more. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

int64_t VEC_NAME(int8_ops)(int64_t rounds)
{
	const __m256i b = _mm256_set1_epi8(5);
	__m256i sums[MEASURE_CHAINS];
	__m256i factor = _mm256_set1_epi8(3);

	VEC_UNROLL
	for (uint32_t j = 0; j < MEASURE_CHAINS; j++)
		sums[j] = _mm256_setzero_si256();
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < MEASURE_CHAINS; j++) {
			/* all products and all sums are done, though they are equal */
			VEC_KEEP(factor);
			sums[j] = _mm256_add_epi16(sums[j], _mm256_maddubs_epi16(factor, b));
			VEC_KEEP(sums[j]);
		}
	return rounds * MEASURE_CHAINS * 32 * 2;
}
