/* chip/cpu/measure_dot.c - int8 where there is vpdpbusd (AVX-VNNI, AVX-512), to measure with: four
 * multiply-accumulates in each lane. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"
#include "chip/cpu/words.h"

int64_t VEC_NAME(int8_ops)(int64_t rounds)
{
	const words factor = words_set(0x03030303);

	MEASURE_LOOP(rounds, words, words_set(0), words_dot(sum, factor, factor));
	return rounds * MEASURE_CHAINS * VEC_LANES * 4 * 2;
}
