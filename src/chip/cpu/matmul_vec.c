/* chip/cpu/matmul_vec.c - plain matrices (f32, f16, bf16) in vectors of outputs, and
 * quantized inputs.
 *
 *	tile   VEC_ROWS rows x 2 panels: sums in registers, one column after the other
 *
 * Columns go in parts that fit the first-level cache; between parts a sum waits in the
 * output, exactly.
 */
#include "chip/cpu/kernels_vec.h"

#define COLUMN_PART  512
#define TILE_PANELS  2
#define PANELS_MAX   4
#define AHEAD        1024   /* bytes to prefetch ahead when weights come from memory, for one row */

struct part {
	const struct cpu_matmul *m;
	uint32_t first, end;   /* columns */
};

/* Column k of a panel; bf16 lies in pairs of columns. */
VEC_INLINE vec load_weight(const uint8_t *panel, uint32_t k, const enum chip_type type)
{
	const uint16_t *halves = (const uint16_t *)(const void *)panel;

	if (type == CHIP_F32)
		return vec_load((const float *)(const void *)panel + (size_t)k * VEC_LANES);
	if (type == CHIP_F16)
		return vec_load_f16(halves + (size_t)k * VEC_LANES);
	return k % 2 ? vec_load_odd_bf16(halves + (size_t)(k - 1) * VEC_LANES)
		: vec_load_even_bf16(halves + (size_t)k * VEC_LANES);
}

VEC_INLINE void tile_column(const struct cpu_matmul *m, const uint8_t *w, const float *x,
	uint32_t k, vec (*sums)[PANELS_MAX], const uint32_t rows, const uint32_t panels,
	const enum chip_type type)
{
	vec weights[PANELS_MAX];

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		weights[p] = load_weight(w + p * m->panel_bytes, k, type);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const vec input = vec_set(x[r * m->in.stride + k]);

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = vec_fma(weights[p], input, sums[r][p]);
	}
}

/* Rows and panels are constants; columns go in twos, for the pairs. */
VEC_INLINE void tile(const struct part *part, uint32_t panel, uint32_t row, const uint32_t rows,
	const uint32_t panels, const enum chip_type type)
{
	const struct cpu_matmul *m = part->m;
	const uint8_t *w = m->panels + panel * m->panel_bytes;
	const float *x = m->in.rows + row * m->in.stride;
	vec sums[VEC_ROWS][PANELS_MAX];
	uint32_t k = part->first;

	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = part->first || m->add
				? vec_load_outputs(m, panel + p, row + r)
				: vec_set(0.0F);
	for (; k + 2 <= part->end; k += 2) {
		const size_t column_bytes = VEC_LANES * (type == CHIP_F32 ? 4 : 2);

		VEC_UNROLL
		for (uint32_t p = 0; rows == 1 && p < panels; p++)
			vec_prefetch(w + p * m->panel_bytes + k * column_bytes + AHEAD);
		tile_column(m, w, x, k, sums, rows, panels, type);
		tile_column(m, w, x, k + 1, sums, rows, panels, type);
	}
	if (k < part->end)
		tile_column(m, w, x, k, sums, rows, panels, type);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_store_outputs(m, panel + p, row + r, sums[r][p]);
}

/* All rows of some panels, in tiles of 6, 3, 2, 1 rows. */
VEC_INLINE void tiles_of_panels(const struct part *part, uint32_t panel, const uint32_t panels,
	const enum chip_type type)
{
	uint32_t row = 0;

	for (; row + VEC_ROWS <= part->m->rows; row += VEC_ROWS)
		tile(part, panel, row, VEC_ROWS, panels, type);
	for (; row + 3 <= part->m->rows; row += 3)
		tile(part, panel, row, 3, panels, type);
	for (; row + 2 <= part->m->rows; row += 2)
		tile(part, panel, row, 2, panels, type);
	for (; row < part->m->rows; row++)
		tile(part, panel, row, 1, panels, type);
}

/* A row alone takes four panels at once: enough sums to hide the latency of one. */
VEC_INLINE void one_row(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type)
{
	const struct part part = {m, 0, m->columns};
	uint32_t panel = first;

	for (; panel + PANELS_MAX <= end; panel += PANELS_MAX)
		tile(&part, panel, 0, 1, PANELS_MAX, type);
	for (; panel < end; panel++)
		tile(&part, panel, 0, 1, 1, type);
}

VEC_INLINE void matmul_plain(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type)
{
	if (m->rows == 1) {
		one_row(m, first, end, type);
		return;
	}
	for (uint32_t panel = first; panel < end; panel += TILE_PANELS)
		for (uint32_t k = 0; k < m->columns; k += COLUMN_PART) {
			const struct part part = {m, k, m->columns - k < COLUMN_PART ? m->columns
				: k + COLUMN_PART};

			if (end - panel >= TILE_PANELS)
				tiles_of_panels(&part, panel, TILE_PANELS, type);
			else
				tiles_of_panels(&part, panel, 1, type);
		}
}

void VEC_NAME(matmul_f32)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	matmul_plain(m, first, end, CHIP_F32);
}

void VEC_NAME(matmul_f16)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	matmul_plain(m, first, end, CHIP_F16);
}

void VEC_NAME(matmul_bf16)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	matmul_plain(m, first, end, CHIP_BF16);
}

/* ---- inputs in blocks ------------------------------------------------------------------------ */

void VEC_NAME(quantize)(const float *in, uint32_t columns, int8_t *values,
	struct cpu_block *blocks)
{
	for (uint32_t b = 0; b < columns / CPU_BLOCK; b++) {
		const float *x = in + b * CPU_BLOCK;
		vec magnitude = vec_set(0.0F);
		int32_t sums[2] = {0, 0};

		VEC_UNROLL
		for (uint32_t i = 0; i < CPU_BLOCK; i += VEC_LANES)
			magnitude = vec_max_magnitude(magnitude, vec_load(x + i));
		const float largest = vec_from_bits(vec_largest_bits(magnitude));

		/* rare: zero, NaN, infinite */
		if (!(largest >= 0x1p-119F && largest < __builtin_inff())) {
			ref_quantize(x, CPU_BLOCK, values + b * CPU_BLOCK, blocks + b);
			continue;
		}
		const vec inverse = vec_set(127.0F / largest);

		VEC_UNROLL
		for (uint32_t i = 0; i < CPU_BLOCK; i += VEC_LANES)
			sums[i / 16] += vec_store_i8(values + b * CPU_BLOCK + i,
				vec_mul(vec_load(x + i), inverse));
		blocks[b] = ref_block(largest / 127.0F, sums[0], sums[1]);
	}
}
