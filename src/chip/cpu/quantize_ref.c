/* chip/cpu/quantize_ref.c - inputs of matrices in blocks to 8 bits, a scale for each 32. */
#include "chip/cpu/kernels_ref.h"

#include "base/math.h"

void ref_quantize(const float *in, uint32_t columns, int8_t *values, struct cpu_block *blocks)
{
	for (uint32_t b = 0; b < columns / CPU_BLOCK; b++) {
		const float *x = in + b * CPU_BLOCK;
		uint32_t largest_bits = 0;  /* as integers, so that NaN is the largest of all */
		int32_t sums[2] = {0, 0};

		for (uint32_t i = 0; i < CPU_BLOCK; i++) {
			const uint32_t bits = math_f32_bits(x[i]) & 0x7FFFFFFFU;

			largest_bits = bits > largest_bits ? bits : largest_bits;
		}
		const float largest = math_f32_from_bits(largest_bits);
		/* Below 2^-119 the inverse could overflow: zero. Not finite: zeros times NaN,
		 * to be seen above. */
		const bool usable = largest >= 0x1p-119F && largest_bits < 0x7F800000U;
		const float inverse = usable ? 127.0F / largest : 0.0F;
		const float magic = 0x1.8p23F;  /* adding it rounds to nearest even */

		for (uint32_t i = 0; i < CPU_BLOCK; i++) {
			const float rounded = usable ? (x[i] * inverse + magic) - magic : 0.0F;

			values[b * CPU_BLOCK + i] = (int8_t)rounded;
			sums[i / 16] += (int8_t)rounded;
		}
		const float scale = usable ? largest / 127.0F
			: largest_bits < 0x7F800000U ? 0.0F : __builtin_nanf("");

		blocks[b] = ref_block(scale, sums[0], sums[1]);
	}
}
