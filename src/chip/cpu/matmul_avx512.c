/* chip/cpu/matmul_avx512.c - block matrices with the integer instructions of AVX512_VNNI.
 *
 * vpdpbusd adds four products of unsigned and signed bytes to each 32-bit sum. Weights go in
 * unsigned, as w + 128 (q4_0: as they are stored, which is w + 8); a block would come out that many
 * times the sum of its inputs too large, so its sums start with this taken off. Nothing saturates,
 * and everything is exact.
 */
#include "chip/cpu/matmul_avx512.h"

struct block_tile {
	const uint8_t *panels[TILE_PANELS];   /* scales, then values */
	const uint8_t *values[TILE_PANELS];
	const int8_t *x[TILE_ROWS];
	const struct cpu_block *blocks[TILE_ROWS];
};

VEC_INLINE void tile_open(struct block_tile *t, const struct cpu_matmul *m, uint32_t panel,
	uint32_t row, const uint32_t rows, const uint32_t panels)
{
	const size_t blocks = m->columns / CPU_BLOCK;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		t->panels[p] = m->panels + (panel + p) * m->panel_bytes;
		t->values[p] = t->panels[p] + m->scales_bytes;
	}
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		t->x[r] = m->in.values + (size_t)(row + r) * m->columns;
		t->blocks[r] = m->in.blocks + (row + r) * blocks;
	}
}

/* Minus offset times the sum of the inputs, in every lane. */
VEC_INLINE __m512i block_start(const struct cpu_block *block, const int32_t offset)
{
	const __m512i start = spread(&block->start[0]);

	return offset == 128 ? start : _mm512_srai_epi32(start, 4);
}

/* Four columns from column on. */
VEC_INLINE void add_columns(const struct block_tile *t, const __m512i *weights, size_t column,
	__m512i dots[TILE_ROWS][TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const __m512i inputs = spread(t->x[r] + column);

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			dots[r][p] = _mm512_dpbusd_epi32(dots[r][p], weights[p], inputs);
	}
}

VEC_INLINE void add_q8_0(const struct block_tile *t, size_t block,
	__m512i dots[TILE_ROWS][TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	const __m512i sign = _mm512_set1_epi32((int32_t)0x80808080U);

	VEC_UNROLL
	for (uint32_t g = 0; g < CPU_BLOCK / 4; g++) {
		__m512i weights[TILE_PANELS];

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++) {
			const uint8_t *at = t->values[p] + (block * 8 + g) * 64;

			weights[p] = _mm512_xor_si512(sign, _mm512_loadu_si512(at));
		}
		add_columns(t, weights, block * CPU_BLOCK + g * 4, dots, rows, panels);
	}
}

VEC_INLINE void add_q4_0(const struct block_tile *t, size_t block,
	__m512i dots[TILE_ROWS][TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	const __m512i nibble = _mm512_set1_epi32(0x0F0F0F0F);

	VEC_UNROLL
	for (uint32_t g = 0; g < CPU_BLOCK / 8; g++) {
		__m512i low[TILE_PANELS], high[TILE_PANELS];

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++) {
			const uint8_t *at = t->values[p] + (block * 4 + g) * 64;
			const __m512i both = _mm512_loadu_si512(at);

			low[p] = _mm512_and_si512(both, nibble);
			high[p] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
		}
		add_columns(t, low, block * CPU_BLOCK + g * 4, dots, rows, panels);
		add_columns(t, high, block * CPU_BLOCK + 16 + g * 4, dots, rows, panels);
	}
}

/* sums += (weight scale * input scale) * dots */
VEC_INLINE void add_block(const struct block_tile *t, size_t block,
	__m512i dots[TILE_ROWS][TILE_PANELS], vec sums[TILE_ROWS][TILE_PANELS], const uint32_t rows,
	const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const uint16_t *scales = (const uint16_t *)(const void *)t->panels[p];
		const vec w_scale = vec_load_f16(scales + block * VEC_LANES);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sums[r][p] = vec_fma(vec_mul(w_scale, vec_set(t->blocks[r][block].scale)),
				_mm512_cvtepi32_ps(dots[r][p]), sums[r][p]);
	}
}

VEC_INLINE void block_tile(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	const enum chip_type type, const uint32_t rows, const uint32_t panels)
{
	vec sums[TILE_ROWS][TILE_PANELS];
	struct block_tile t;

	tile_open(&t, m, panel, row, rows, panels);
	clear_sums(sums, rows, panels);
	for (size_t block = 0; block < m->columns / CPU_BLOCK; block++) {
		__m512i dots[TILE_ROWS][TILE_PANELS];

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				dots[r][p] = block_start(t.blocks[r] + block, type == CHIP_Q8_0
					? 128 : 8);
		if (type == CHIP_Q8_0)
			add_q8_0(&t, block, dots, rows, panels);
		else
			add_q4_0(&t, block, dots, rows, panels);
		add_block(&t, block, dots, sums, rows, panels);
	}
	store_sums(m, panel, row, sums, rows, panels);
}

static void tile_q8_0(const struct cpu_matmul *m, uint32_t panel, uint32_t panels, uint32_t row,
	uint32_t rows)
{
	TILE_SHAPES(block_tile, rows, panels, m, panel, row, CHIP_Q8_0)
}

static void tile_q4_0(const struct cpu_matmul *m, uint32_t panel, uint32_t panels, uint32_t row,
	uint32_t rows)
{
	TILE_SHAPES(block_tile, rows, panels, m, panel, row, CHIP_Q4_0)
}

void VEC_NAME(matmul_q8_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_tile(m, first, end, tile_q8_0);
}

void VEC_NAME(matmul_q4_0)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_tile(m, first, end, tile_q4_0);
}
