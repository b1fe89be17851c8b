/* chip/cpu/measure_avx512bf16.c - bf16 to measure with: two multiply-accumulates in each lane. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

int64_t VEC_NAME(bf16_ops)(int64_t rounds)
{
	const __m512i factor = _mm512_set1_epi32(0x3F003F00);   /* one half, twice */

	MEASURE_LOOP(rounds, vec, vec_set(1.0F),
		_mm512_dpbf16_ps(sum, (__m512bh)factor, (__m512bh)factor));
	return rounds * MEASURE_CHAINS * VEC_LANES * 2 * 2;
}
