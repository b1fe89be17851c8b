/* chip/cpu/matmul_avx512bf16.c - bf16 matrices with vdpbf16ps: pairs of columns, inputs
 * rounded to bf16.
 *
 * Each output takes its pairs one after the other, of a pair the odd column first; subnormals are
 * flushed, and how a pair is rounded is the processor's business. The inputs lose all but 8 bits: a
 * sum differs from the exact one by at most 2^-8 of the sum of its magnitudes.
 */
#include "chip/cpu/matmul_avx512.h"

VEC_INLINE void pairs_tile(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	const uint32_t rows, const uint32_t panels)
{
	const size_t pairs = ((size_t)m->columns + 1) / 2;
	const uint8_t *w = m->panels + panel * m->panel_bytes;
	const uint16_t *x = m->in.halves + row * pairs * 2;
	vec sums[TILE_ROWS][TILE_PANELS];

	clear_sums(sums, rows, panels);
	for (size_t k = 0; k < pairs; k++) {
		__m512i weights[TILE_PANELS];

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			weights[p] = _mm512_loadu_si512(w + p * m->panel_bytes + k * VEC_LANES * 4);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m512i inputs = spread(x + (r * pairs + k) * 2);

			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = _mm512_dpbf16_ps(sums[r][p], (__m512bh)weights[p],
					(__m512bh)inputs);
		}
	}
	store_sums(m, panel, row, sums, rows, panels);
}

static void tile(const struct cpu_matmul *m, uint32_t panel, uint32_t panels, uint32_t row,
	uint32_t rows)
{
	TILE_SHAPES(pairs_tile, rows, panels, m, panel, row)
}

void VEC_NAME(matmul_bf16_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_tile(m, first, end, tile);
}

#define CHAINS 12

int64_t VEC_NAME(bf16_ops)(int64_t rounds)
{
	const __m512i factor = _mm512_set1_epi32(0x3F003F00);   /* one half, twice */
	vec sums[CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < CHAINS; j++)
		sums[j] = vec_set(1.0F);
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < CHAINS; j++) {
			sums[j] = _mm512_dpbf16_ps(sums[j], (__m512bh)factor, (__m512bh)factor);
			VEC_KEEP(sums[j]);   /* all are done, though they are equal */
		}
	return rounds * CHAINS * VEC_LANES * 2 * 2;
}
