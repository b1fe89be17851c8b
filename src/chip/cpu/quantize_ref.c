/* chip/cpu/quantize_ref.c - inputs of matrices in blocks to 8 bits, a scale for each block of 32 or
 * for each record of 256. */
#include "chip/cpu/kernels_ref.h"

#include <assert.h>

#include "base/math.h"

/* As integers, so that NaN is the largest of all. */
static uint32_t largest_bits(const float *x, uint32_t count)
{
	uint32_t largest = 0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t bits = math_f32_bits(x[i]) & 0x7FFFFFFFU;

		largest = bits > largest ? bits : largest;
	}
	return largest;
}

static void quantize_unit(const float *in, uint32_t count, int8_t *values,
	struct cpu_block *blocks)
{
	const uint32_t bits = largest_bits(in, count);
	const float largest = math_f32_from_bits(bits);
	/* Below 2^-119 the inverse could overflow: zero. Not finite: zeros times NaN, to be seen
	 * above. */
	const bool usable = largest >= 0x1p-119F && bits < 0x7F800000U;
	const float inverse = usable ? 127.0F / largest : 0.0F;
	const float scale = usable ? largest / 127.0F
		: bits < 0x7F800000U ? 0.0F : __builtin_nanf("");
	const float magic = 0x1.8p23F;  /* adding it rounds to nearest even */

	for (uint32_t at = 0; at < count; at += CPU_BLOCK) {
		int32_t sums[2] = {0, 0};

		for (uint32_t i = 0; i < CPU_BLOCK; i++) {
			const float rounded = usable
				? (in[at + i] * inverse + magic) - magic : 0.0F;

			values[at + i] = (int8_t)rounded;
			sums[i / 16] += (int8_t)rounded;
		}
		blocks[at / CPU_BLOCK] = ref_block(scale, sums[0], sums[1]);
	}
}

static int16_t sum_of(const struct cpu_block *b)
{
	return (int16_t)(b->halves[0] + b->halves[1]);
}

void ref_quantize(const float *in, uint32_t columns, uint32_t unit, int8_t *values,
	struct cpu_block *blocks)
{
	assert((unit == CPU_BLOCK || unit == CPU_RECORD_COLUMNS) && columns % unit == 0);
	for (uint32_t at = 0; at < columns; at += unit)
		quantize_unit(in + at, unit, values + at, blocks + at / CPU_BLOCK);
	for (uint32_t b = 0; b < columns / CPU_BLOCK; b += 2) {
		blocks[b].pair[0] = sum_of(&blocks[b]);
		blocks[b].pair[1] = (b + 1) * CPU_BLOCK < columns ? sum_of(&blocks[b + 1]) : 0;
	}
}
