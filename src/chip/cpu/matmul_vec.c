/* chip/cpu/matmul_vec.c - plain matrices (f32, f16, bf16, f8_e4m3) in vectors of outputs.
 *
 *	tile   up to VEC_ROWS rows x VEC_PANELS panels: sums in registers, one column after the
 *	       other; one or two rows x 2 panels, x 4 where two columns are less than a line
 *
 * Columns go in parts; between parts a sum waits in the output, exactly. For some rows, weights are
 * decoded in the registers of each tile; for many, once, into a scratch.
 */
#include "base/math.h"
#include "chip/cpu/kernels_vec.h"

#define COLUMN_PART  256
#define PANELS_MAX   4
/* From so many rows on, weights are decoded once for all. f8_e4m3 is expensive with 8 lanes: once
 * for two tiles is less than twice. */
#define DECODE_ROWS(type) ((type) != CHIP_F8_E4M3 ? 48 : VEC_LANES == 16 ? 13 : VEC_ROWS + 1)
/* Bytes to prefetch ahead, where weights come from memory. Where each column of f32 is a line of
 * the cache, the processor does it better itself. */
#define AHEAD        4096
#define AHEAD_F32    (VEC_LANES == 16 ? 0 : AHEAD)

/* Some columns of some panels, as they lie or decoded to f32. */
struct part {
	const struct cpu_matmul *m;
	const uint8_t *weights;     /* of the first panel, from the first column on */
	const uint8_t *scales;      /* f8_e4m3: f32 of each lane */
	size_t panel_bytes;         /* from one panel to the next */
	uint32_t panel;
	uint32_t first, count;      /* columns */
	uint32_t turn;              /* column, from which on the next panels are fetched */
};

VEC_INLINE size_t column_bytes(const enum chip_type type)
{
	return VEC_LANES * (type == CHIP_F32 ? 4 : type == CHIP_F8_E4M3 ? 1 : 2);
}

/* Of f8_e4m3, times 256: what vec_load_f8 leaves out. */
VEC_INLINE vec load_scale(const struct part *part, uint32_t p, const enum chip_type type)
{
	if (type != CHIP_F8_E4M3)
		return vec_set(1.0F);
	const uint8_t *scales = part->scales + p * part->panel_bytes;

	return vec_mul(vec_load((const float *)(const void *)scales), vec_set(256.0F));
}

/* Column k of a panel; bf16 lies in pairs of columns. */
VEC_INLINE vec load_weight(const uint8_t *panel, uint32_t k, vec scale, const enum chip_type type)
{
	const uint16_t *halves = (const uint16_t *)(const void *)panel;

	if (type == CHIP_F32)
		return vec_load((const float *)(const void *)panel + (size_t)k * VEC_LANES);
	if (type == CHIP_F16)
		return vec_load_f16(halves + (size_t)k * VEC_LANES);
	if (type == CHIP_F8_E4M3)
		return vec_mul(vec_load_f8(panel + (size_t)k * VEC_LANES), scale);
	return k % 2 ? vec_load_odd_bf16(halves + (size_t)(k - 1) * VEC_LANES)
		: vec_load_even_bf16(halves + (size_t)k * VEC_LANES);
}

/* What comes so many bytes behind column k of the first of some panels; 0: the column itself. */
VEC_INLINE const uint8_t *ahead_of(const struct part *part, uint32_t k, uint32_t panels,
	size_t ahead, const enum chip_type type)
{
	const bool turned = ahead && k >= part->turn;

	return part->weights + k * column_bytes(type) + ahead +
		(turned ? (panels - 1) * part->panel_bytes : 0);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

VEC_INLINE void tile_column(const struct part *part, const float *x, size_t stride, uint32_t k,
	const vec *scales, vec (*sums)[PANELS_MAX], const uint32_t rows, const uint32_t panels,
	const enum chip_type type)
{
	vec weights[PANELS_MAX];

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		weights[p] = load_weight(part->weights + p * part->panel_bytes, k, scales[p], type);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const vec input = vec_set(x[r * stride + k]);

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_accumulate(&sums[r][p], weights[p], input);
	}
}

/* Rows and panels are constants; columns go in twos, for the pairs. ahead: bytes, or 0. */
VEC_INLINE void tile(const struct part *part, uint32_t row, size_t ahead, const uint32_t rows,
	const uint32_t panels, const enum chip_type type)
{
	const struct cpu_matmul *m = part->m;
	const float *x = m->in.rows + row * m->in.stride + part->first;
	vec sums[VEC_ROWS][PANELS_MAX], scales[PANELS_MAX];
	uint32_t k = 0;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		scales[p] = load_scale(part, p, type);
	vec_open_sums(m, part->panel, row, part->first > 0 || m->add, &sums[0][0], PANELS_MAX, rows,
		panels);
	for (; k + 2 <= part->count; k += 2) {
		const uint8_t *fetched = ahead_of(part, k, panels, ahead, type);

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_prefetch(fetched + p * part->panel_bytes);
		tile_column(part, x, m->in.stride, k, scales, sums, rows, panels, type);
		tile_column(part, x, m->in.stride, k + 1, scales, sums, rows, panels, type);
	}
	if (k < part->count)
		tile_column(part, x, m->in.stride, k, scales, sums, rows, panels, type);
	vec_close_sums(m, part->panel, row, &sums[0][0], PANELS_MAX, rows, panels);
}

#define TILE(rows, panels)                                                                  \
	case (rows) * 8 + (panels):                                                         \
		tile(part, row, ahead, rows, panels, type);                                 \
		break

/* A copy of the tile for each shape that tiles cuts. */
VEC_INLINE void tile_of(const struct part *part, uint32_t row, size_t ahead, uint32_t rows,
	uint32_t panels, const enum chip_type type)
{
	switch (rows * 8 + panels) {
		TILE(1, 1);
		TILE(1, 2);
		TILE(1, 4);
		TILE(2, 1);
		TILE(2, 2);
		TILE(2, 4);
		TILE(3, 1);
		TILE(3, 2);
		TILE(4, 1);
		TILE(4, 2);
		TILE(5, 1);
		TILE(5, 2);
		TILE(6, 1);
		TILE(6, 2);
#if VEC_PANELS == 4
		TILE(3, 4);
		TILE(4, 4);
		TILE(5, 4);
		TILE(6, 4);
#endif
	}
}

/* How many of the panels left go together. Of memory one core gets more in two streams of whole
 * lines than in four. */
VEC_INLINE uint32_t panels_of(uint32_t rows, uint32_t left, const enum chip_type type)
{
	const bool lines = 2 * column_bytes(type) >= CPU_ALIGN;
	const uint32_t most = rows > 2 ? VEC_PANELS : lines ? 2 : PANELS_MAX;

	return left >= most ? most : left >= 2 ? 2 : 1;
}

/* The largest tile of f32 by itself: among the others GCC would not find registers for it. */
static __attribute__((noinline)) void tile_f32(const struct part *part, uint32_t row, size_t ahead)
{
	tile(part, row, ahead, VEC_ROWS, VEC_PANELS, CHIP_F32);
}

/* All rows, divided evenly. The first tile fetches for all. */
VEC_INLINE void tiles(const struct part *part, uint32_t panels, size_t ahead,
	const enum chip_type type)
{
	const uint32_t rows = part->m->rows, count = math_divide_up_u32(rows, VEC_ROWS);

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t row = (uint32_t)((uint64_t)rows * i / count);
		const uint32_t end = (uint32_t)((uint64_t)rows * (i + 1) / count);

		if (type == CHIP_F32 && end - row == VEC_ROWS && panels == VEC_PANELS)
			tile_f32(part, row, i ? 0 : ahead);
		else
			tile_of(part, row, i ? 0 : ahead, end - row, panels, type);
	}
}

static void tiles_f32(const struct part *part, uint32_t panels, size_t ahead)
{
	tiles(part, panels, ahead, CHIP_F32);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* From column k on; of f8_e4m3 within a group, which has one scale. */
VEC_INLINE struct part part_of(const struct cpu_matmul *m, uint32_t panel, uint32_t k,
	const enum chip_type type)
{
	const uint8_t *bytes = m->panels + panel * m->panel_bytes;
	struct part part = {.m = m, .panel_bytes = m->panel_bytes, .panel = panel, .first = k};
	const uint32_t columns_ahead = (uint32_t)(AHEAD / column_bytes(type));
	uint32_t left = m->columns - k;

	if (type == CHIP_F8_E4M3) {
		const uint32_t group = k / m->group, there = m->group - k % m->group;

		left = left < there ? left : there;
		part.scales = bytes + group * VEC_LANES * sizeof(float);
		bytes += m->scales_bytes;
	}
	part.weights = bytes + k * column_bytes(type);
	part.count = left < COLUMN_PART ? left : COLUMN_PART;
	part.turn = m->columns - k > columns_ahead ? m->columns - k - columns_ahead : 0;
	return part;
}

/* The part becomes one of f32 in scratch [panels][count][lanes]. */
VEC_INLINE void decode(struct part *part, uint32_t panels, float *scratch,
	const enum chip_type type)
{
	float *out = scratch;

	for (uint32_t p = 0; p < panels; p++) {
		const uint8_t *weights = part->weights + p * part->panel_bytes;
		const vec scale = load_scale(part, p, type);
		uint32_t k = 0;

		for (; k + 2 <= part->count; k += 2, out += 2 * VEC_LANES) {
			vec_prefetch(ahead_of(part, k, panels, AHEAD, type) +
				p * part->panel_bytes);
			vec_store(out, load_weight(weights, k, scale, type));
			vec_store(out + VEC_LANES, load_weight(weights, k + 1, scale, type));
		}
		if (k < part->count) {
			vec_store(out, load_weight(weights, k, scale, type));
			out += VEC_LANES;
		}
	}
	part->weights = (const uint8_t *)scratch;
	part->panel_bytes = part->count * column_bytes(CHIP_F32);
}

VEC_INLINE void matmul_plain(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type)
{
	float scratch[VEC_PANELS * COLUMN_PART * VEC_LANES] __attribute__((aligned(CPU_ALIGN)));
	uint32_t panels;

	for (uint32_t panel = first; panel < end; panel += panels) {
		struct part part;

		panels = panels_of(m->rows, end - panel, type);
		for (uint32_t k = 0; k < m->columns; k += part.count) {
			part = part_of(m, panel, k, type);
			if (type == CHIP_F32) {
				tiles_f32(&part, panels, AHEAD_F32);
			} else if (m->rows < DECODE_ROWS(type)) {
				tiles(&part, panels, AHEAD, type);
			} else {
				decode(&part, panels, scratch, type);
				tiles_f32(&part, panels, 0);
			}
		}
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

/* Whether 256 times a scale of the panel is finite. */
static bool scales_fit(const struct cpu_matmul *m, uint32_t panel)
{
	const float *scales = (const float *)(const void *)(m->panels + panel * m->panel_bytes);
	vec largest = vec_set(0.0F);

	for (uint32_t group = 0; group < math_divide_up_u32(m->columns, m->group); group++) {
		const vec scale = vec_load(scales + (size_t)group * VEC_LANES);

		largest = vec_max(vec_max(scale, vec_sub(vec_set(0.0F), scale)), largest);
	}
	return vec_largest_lane(largest) < 0x1p120F;
}

void VEC_NAME(matmul_f8)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	bool fit = true;

	for (uint32_t panel = first; fit && panel < end; panel++)
		fit = scales_fit(m, panel);
	if (fit)
		matmul_plain(m, first, end, CHIP_F8_E4M3);
	else
		ref_matmul_f8(m, first, end);
}
