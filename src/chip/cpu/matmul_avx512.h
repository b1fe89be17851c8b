/* chip/cpu/matmul_avx512.h - how matrices with instructions of their own are cut into tiles.
 *
 *            panel p  panel p + 1
 *   row r    sums     sums     up to TILE_ROWS rows, TILE_PANELS panels of 16 outputs, all columns
 *   r + 1    sums     sums
 *   ...
 */
#ifndef CHIP_CPU_MATMUL_AVX512_H
#define CHIP_CPU_MATMUL_AVX512_H

#include <assert.h>

#include "chip/cpu/kernels_vec.h"

#define TILE_ROWS   6
#define TILE_PANELS 2

#define TILE_SHAPE(tile, rows, panels, ...)                                                \
	case (rows) * TILE_PANELS + (panels):                                              \
		tile(__VA_ARGS__, rows, panels);                                           \
		break

/* Calls tile(..., rows, panels) with constants: a copy of it for each shape. */
#define TILE_SHAPES(tile, rows, panels, ...)                                               \
	switch ((rows) * TILE_PANELS + (panels)) {                                         \
		TILE_SHAPE(tile, 1, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 1, 2, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 2, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 2, 2, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 3, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 3, 2, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 4, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 4, 2, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 5, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 5, 2, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 6, 1, __VA_ARGS__);                                       \
		TILE_SHAPE(tile, 6, 2, __VA_ARGS__);                                       \
	}

/* Four bytes of the input, for every output. */
VEC_INLINE __m512i spread(const void *x)
{
	int32_t four;

	memcpy(&four, x, sizeof(four));
	return _mm512_set1_epi32(four);
}

VEC_INLINE void clear_sums(vec sums[TILE_ROWS][TILE_PANELS], const uint32_t rows,
	const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = vec_set(0.0F);
}

VEC_INLINE void store_sums(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	vec sums[TILE_ROWS][TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_store_outputs(m, panel + p, row + r, sums[r][p]);
}

/* Calls tile for everything. The rows are divided evenly; those of a tile stay in the first-level
 * cache while the panels go past them. */
VEC_INLINE void each_tile(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	void (*tile)(const struct cpu_matmul *m, uint32_t panel, uint32_t panels, uint32_t row,
	uint32_t rows))
{
	const uint32_t tiles = (m->rows + TILE_ROWS - 1) / TILE_ROWS;

	assert(m->lanes == VEC_LANES);
	for (uint32_t i = 0; i < tiles; i++) {
		const uint32_t row = m->rows * i / tiles, rows = m->rows * (i + 1) / tiles - row;

		assert(rows >= 1 && rows <= TILE_ROWS);
		for (uint32_t panel = first; panel < end; panel += TILE_PANELS)
			tile(m, panel, end - panel < TILE_PANELS ? end - panel : TILE_PANELS, row,
				rows);
	}
}

#endif
