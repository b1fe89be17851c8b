/* chip/cpu/matmul_avx2.c - block matrices with the integer instructions of AVX2.
 *
 * q8_0. vpmaddubsw wants one side unsigned: |w| times x with w's sign. Pairs are at most 2 x 128 x
 * 127 = 32512, so nothing saturates; vpmaddwd by ones then widens to one 32-bit sum per output.
 *
 * q4_0. Nibbles are unsigned as they are (0..15, the value plus 8). Eight pairs of at most 15
 * x 127 x 2 = 3810 fit 16 bits, so a block is widened once; the 8 is taken off as 8 times the
 * sum of the inputs.
 */
#include "chip/cpu/kernels_vec.h"

#define TILE_ROWS 4      /* integer and float sums of 4 rows, 5 more registers */
#define AHEAD     1024   /* bytes to prefetch ahead */

VEC_INLINE __m256i load_bytes(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

/* The lines of a block that comes later; the processor's own prefetcher falls
 * behind a single row. */
VEC_INLINE void prefetch_block(const uint8_t *w, const size_t bytes)
{
	VEC_UNROLL
	for (size_t i = 0; i < bytes; i += 64)
		vec_prefetch(w + AHEAD + i);
}

/* Four input values, for every output. */
VEC_INLINE __m256i spread(const int8_t *x)
{
	int32_t four;

	memcpy(&four, x, sizeof(four));
	return _mm256_set1_epi32(four);
}

VEC_INLINE __m256 scaled(__m256i dot, __m256 w_scale, float x_scale, __m256 sum)
{
	return _mm256_fmadd_ps(_mm256_mul_ps(w_scale, _mm256_set1_ps(x_scale)),
		_mm256_cvtepi32_ps(dot), sum);
}

VEC_INLINE void tile_q8_0(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	const uint32_t rows)
{
	const uint8_t *base = m->panels + panel * m->panel_bytes;
	const uint16_t *w_scales = (const uint16_t *)(const void *)base;
	const uint8_t *w = base + m->scales_bytes;
	const uint32_t blocks = m->columns / CPU_BLOCK;
	const int8_t *x = m->in.values + (size_t)row * m->columns;
	const struct cpu_block *x_blocks = m->in.blocks + (size_t)row * blocks;
	const __m256i ones = _mm256_set1_epi16(1);
	__m256 sums[TILE_ROWS];

	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sums[r] = _mm256_setzero_ps();
	for (uint32_t b = 0; b < blocks; b++) {
		__m256i dots[TILE_ROWS];

		prefetch_block(w, CPU_BLOCK * 8);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			dots[r] = _mm256_setzero_si256();
		VEC_UNROLL
		for (uint32_t g = 0; g < CPU_BLOCK / 4; g++) {
			const __m256i weights = load_bytes(w + g * 32);
			const __m256i magnitudes = _mm256_abs_epi8(weights);

			VEC_UNROLL
			for (uint32_t r = 0; r < rows; r++) {
				const __m256i inputs = spread(x + (size_t)r * m->columns + g * 4);
				const __m256i pairs = _mm256_maddubs_epi16(magnitudes,
					_mm256_sign_epi8(inputs, weights));

				dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(pairs, ones));
				/* added now: a compiler that adds later runs out of registers */
				VEC_KEEP(dots[r]);
			}
		}
		const __m256 w_scale = vec_load_f16(w_scales + (size_t)b * 8);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sums[r] = scaled(dots[r], w_scale, x_blocks[(size_t)r * blocks + b].scale,
				sums[r]);
		w += CPU_BLOCK * 8;
		x += CPU_BLOCK;
	}
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		vec_store_outputs(m, panel, row + r, sums[r]);
}

VEC_INLINE void tile_q4_0(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	const uint32_t rows)
{
	const uint8_t *base = m->panels + panel * m->panel_bytes;
	const uint16_t *w_scales = (const uint16_t *)(const void *)base;
	const uint8_t *w = base + m->scales_bytes;
	const uint32_t blocks = m->columns / CPU_BLOCK;
	const int8_t *x = m->in.values + (size_t)row * m->columns;
	const struct cpu_block *x_blocks = m->in.blocks + (size_t)row * blocks;
	const __m256i ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
	__m256 sums[TILE_ROWS];

	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sums[r] = _mm256_setzero_ps();
	for (uint32_t b = 0; b < blocks; b++) {
		__m256i pairs[TILE_ROWS];

		prefetch_block(w, CPU_BLOCK / 2 * 8);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			pairs[r] = _mm256_setzero_si256();
		VEC_UNROLL
		for (uint32_t g = 0; g < CPU_BLOCK / 8; g++) {
			const __m256i both = load_bytes(w + g * 32);
			const __m256i low = _mm256_and_si256(both, nibble);
			const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);

			VEC_UNROLL
			for (uint32_t r = 0; r < rows; r++) {
				const int8_t *inputs = x + (size_t)r * m->columns + g * 4;
				const __m256i a = _mm256_maddubs_epi16(low, spread(inputs));
				const __m256i c = _mm256_maddubs_epi16(high, spread(inputs + 16));

				pairs[r] = _mm256_add_epi16(pairs[r], _mm256_add_epi16(a, c));
				VEC_KEEP(pairs[r]);
			}
		}
		const __m256 w_scale = vec_load_f16(w_scales + (size_t)b * 8);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const int32_t *start = x_blocks[(size_t)r * blocks + b].start;
			const __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(pairs[r], ones),
				_mm256_set1_epi32(start[0] / 16));

			sums[r] = scaled(dot, w_scale,
				x_blocks[(size_t)r * blocks + b].scale, sums[r]);
		}
		w += CPU_BLOCK / 2 * 8;
		x += CPU_BLOCK;
	}
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		vec_store_outputs(m, panel, row + r, sums[r]);
}

/* A tile of rows stays in the first-level cache while the panels of the share go past it. */
#define EACH_TILE(tile, m, first, end)                                                     \
	do {                                                                               \
		for (uint32_t row = 0; row < (m)->rows; row += TILE_ROWS)                  \
			for (uint32_t panel = (first); panel < (end); panel++)             \
				switch ((m)->rows - row) {                                 \
				case 1: tile(m, panel, row, 1); break;                     \
				case 2: tile(m, panel, row, 2); break;                     \
				case 3: tile(m, panel, row, 3); break;                     \
				default: tile(m, panel, row, TILE_ROWS); break;            \
				}                                                          \
	} while (0)

void VEC_NAME(matmul_q8_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	EACH_TILE(tile_q8_0, m, first, end);
}

void VEC_NAME(matmul_q4_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	EACH_TILE(tile_q4_0, m, first, end);
}
