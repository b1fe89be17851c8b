/* chip/cpu/measure_avxvnni.c - int8 in AVX-VNNI, to measure with: vpdpbusd of 32
 * multiply-accumulates. */
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
	return rounds * MEASURE_CHAINS * 32 * 2;
}
