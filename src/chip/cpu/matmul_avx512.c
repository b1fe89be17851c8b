/* chip/cpu/matmul_avx512.c - block matrices with VNNI: vpdpbusd adds four products of bytes to each output.
 *
 * It wants one side unsigned. q8_0: the weight plus 128 (its top bit turned over), so 128 times the sum of the
 * inputs is taken off. q4_0: the nibble is unsigned, 8 times the sum is taken off.
 */
#include "chip/cpu/kernels_vec.h"

#define TILE_ROWS 8   /* integer and float sums of 8 rows */

VEC_INLINE __m512i load_bytes(const void *p)
{
	return _mm512_loadu_si512(p);
}

/* Four input values, for every output. */
VEC_INLINE __m512i spread(const int8_t *x)
{
	int32_t four;

	memcpy(&four, x, sizeof(four));
	return _mm512_set1_epi32(four);
}

VEC_INLINE vec scaled(__m512i dot, vec w_scale, float x_scale, vec sum)
{
	return vec_fma(vec_mul(w_scale, vec_set(x_scale)), _mm512_cvtepi32_ps(dot), sum);
}

VEC_INLINE void block_q8_0(const uint8_t *w, const int8_t *x, size_t x_stride, __m512i *dots,
	const uint32_t rows)
{
	const __m512i top_bits = _mm512_set1_epi32((int)0x80808080U);

	VEC_UNROLL
	for (uint32_t g = 0; g < CPU_BLOCK / 4; g++) {
		const __m512i weights = _mm512_xor_si512(load_bytes(w + g * 64), top_bits);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			dots[r] = _mm512_dpbusd_epi32(dots[r], weights, spread(x + r * x_stride + g * 4));
	}
}

VEC_INLINE void block_q4_0(const uint8_t *w, const int8_t *x, size_t x_stride, __m512i *dots,
	const uint32_t rows)
{
	const __m512i nibble = _mm512_set1_epi32(0x0F0F0F0F);

	VEC_UNROLL
	for (uint32_t g = 0; g < CPU_BLOCK / 8; g++) {
		const __m512i both = load_bytes(w + g * 64);
		const __m512i low = _mm512_and_si512(both, nibble);
		const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const int8_t *inputs = x + r * x_stride + g * 4;

			dots[r] = _mm512_dpbusd_epi32(dots[r], low, spread(inputs));
			dots[r] = _mm512_dpbusd_epi32(dots[r], high, spread(inputs + 16));
		}
	}
}

VEC_INLINE void tile(const struct cpu_matmul *m, uint32_t panel, uint32_t row, const uint32_t rows,
	const enum chip_type type)
{
	const uint8_t *base = m->panels + panel * m->panel_bytes;
	const uint16_t *w_scales = (const uint16_t *)(const void *)base;
	const uint8_t *w = base + m->scales_bytes;
	const uint32_t blocks = m->columns / CPU_BLOCK;
	const int8_t *x = m->in.values + (size_t)row * m->columns;
	const float *x_scales = m->in.scales + (size_t)row * blocks;
	const int32_t *x_sums = m->in.sums + (size_t)row * blocks;
	const int32_t offset = type == CHIP_Q8_0 ? 128 : 8;
	vec sums[TILE_ROWS];

	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sums[r] = vec_set(0.0F);
	for (uint32_t b = 0; b < blocks; b++) {
		__m512i dots[TILE_ROWS];

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			dots[r] = _mm512_set1_epi32(-offset * x_sums[(size_t)r * blocks + b]);
		if (type == CHIP_Q8_0)
			block_q8_0(w, x, m->columns, dots, rows);
		else
			block_q4_0(w, x, m->columns, dots, rows);
		const vec w_scale = vec_load_f16(w_scales + (size_t)b * VEC_LANES);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sums[r] = scaled(dots[r], w_scale, x_scales[(size_t)r * blocks + b], sums[r]);
		w += (type == CHIP_Q8_0 ? CPU_BLOCK : CPU_BLOCK / 2) * VEC_LANES;
		x += CPU_BLOCK;
	}
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		vec_store_outputs(m, panel, row + r, sums[r]);
}

/* A tile of rows stays in the first-level cache while the panels of the share go past it. */
VEC_INLINE void matmul_blocks(const struct cpu_matmul *m, uint32_t first, uint32_t end, const enum chip_type type)
{
	uint32_t row = 0;

	for (; row + TILE_ROWS <= m->rows; row += TILE_ROWS)
		for (uint32_t panel = first; panel < end; panel++)
			tile(m, panel, row, TILE_ROWS, type);
	for (uint32_t panel = first; panel < end; panel++) {
		uint32_t left = row;

		if (m->rows - left >= 4) {
			tile(m, panel, left, 4, type);
			left += 4;
		}
		if (m->rows - left >= 2) {
			tile(m, panel, left, 2, type);
			left += 2;
		}
		if (m->rows > left)
			tile(m, panel, left, 1, type);
	}
}

void VEC_NAME(matmul_q8_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	matmul_blocks(m, first, end, CHIP_Q8_0);
}

void VEC_NAME(matmul_q4_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	matmul_blocks(m, first, end, CHIP_Q4_0);
}
