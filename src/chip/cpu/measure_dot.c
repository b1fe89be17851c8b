/* chip/cpu/measure_dot.c - int8 where there is vpdpbusd (AVX-VNNI, AVX-512), to measure with: four
 * multiply-accumulates in each lane. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"
#include "chip/cpu/words.h"

int64_t VEC_NAME(int8_ops)(int64_t rounds)
{
	const words factor = words_set(0x03030303);
	words sums[MEASURE_CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < MEASURE_CHAINS; j++)
		sums[j] = words_set(0);
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < MEASURE_CHAINS; j++) {
			sums[j] = words_dot(sums[j], factor, factor);
			VEC_KEEP(sums[j]);   /* all are done, though they are equal */
		}
	return rounds * MEASURE_CHAINS * VEC_LANES * 4 * 2;
}
