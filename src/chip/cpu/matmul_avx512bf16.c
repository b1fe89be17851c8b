/* chip/cpu/matmul_avx512bf16.c - bf16 and f8_e4m3 matrices with vdpbf16ps: pairs of columns, inputs
 * rounded to bf16.
 *
 *	tile   up to TILE_ROWS rows x TILE_PANELS panels: sums in registers, pair by pair
 *
 * Each output takes its pairs one after the other, of a pair the odd column first; subnormals are
 * flushed, and how a pair is rounded is the processor's business. The inputs lose all but 8 bits: a
 * sum differs from the exact one by at most 2^-8 of the sum of its magnitudes.
 *
 * e4m3 is exact in bf16. A run of columns is summed without the scale of its group, then the sum
 * times the scale goes to the output. For some rows, weights are decoded in the registers of each
 * tile; for many, once, into a scratch.
 */
#include "chip/cpu/kernels_vec.h"

#define TILE_ROWS   6
#define TILE_PANELS 4
#define PAIRS_PART  512   /* of bf16: 128 KiB of 4 panels; between parts sums wait in the output */
#define DECODE_ROWS 24    /* from so many rows on, f8_e4m3 is decoded once for all */
#define AHEAD       1024  /* bytes to prefetch ahead */

/* Some pairs of columns of some panels. */
struct part {
	const struct cpu_matmul *m;
	const uint8_t *weights;     /* of the first panel, from the first pair on */
	const uint8_t *scales;      /* f32 of each lane, or NULL */
	size_t panel_bytes;         /* from one panel to the next, of weights */
	uint32_t panel;
	uint32_t first, count;      /* pairs */
};

VEC_INLINE size_t pair_bytes(const enum chip_type type)
{
	return VEC_LANES * (type == CHIP_BF16 ? 4 : 2);
}

/* Pairs of e4m3 as bf16: the exponent is 120 more; what has none in e4m3 comes from a table. */
VEC_INLINE __m512i decode_f8(const uint8_t *pairs)
{
	const __m512i subnormal = _mm512_broadcast_i32x4(_mm_setr_epi16(
		0, 0x3B00, 0x3B80, 0x3BC0, 0x3C00, 0x3C20, 0x3C40, 0x3C60));
	const __m512i codes = _mm512_cvtepi8_epi16(
		_mm256_loadu_si256((const __m256i *)(const void *)pairs));
	const __m512i magnitudes = _mm512_and_si512(_mm512_slli_epi16(codes, 4),
		_mm512_set1_epi16(0x07F0));
	const __m512i normal = _mm512_add_epi16(magnitudes, _mm512_set1_epi16(120 << 7));
	const __mmask32 small = _mm512_testn_epi16_mask(codes, _mm512_set1_epi16(0x0078));
	const __m512i values = _mm512_mask_permutexvar_epi16(normal, small, codes, subnormal);
	const __m512i signs = _mm512_and_si512(codes, _mm512_set1_epi16((int16_t)0x8000));

	return _mm512_or_si512(values, signs);
}

VEC_INLINE __m512i load_pairs(const uint8_t *weights, const enum chip_type type)
{
	return type == CHIP_BF16 ? _mm512_loadu_si512(weights) : decode_f8(weights);
}

/* Two inputs, for every output. */
VEC_INLINE __m512i spread(const uint16_t *x)
{
	int32_t two;

	memcpy(&two, x, sizeof(two));
	return _mm512_set1_epi32(two);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

VEC_INLINE void open_sums(const struct part *part, uint32_t row, vec (*sums)[TILE_PANELS],
	const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = vec_set(0.0F);
	if (part->first == 0 || part->scales)
		return;
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = vec_load_outputs(part->m, part->panel + p, row + r);
}

/* Sums of a run become those so far. */
VEC_INLINE void scale_sums(const struct part *part, uint32_t row, vec (*sums)[TILE_PANELS],
	const uint32_t rows, const uint32_t panels)
{
	const struct cpu_matmul *m = part->m;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const uint8_t *at = part->scales + p * m->panel_bytes;
		const vec scale = vec_load((const float *)(const void *)at);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sums[r][p] = vec_fma(sums[r][p], scale, part->first
				? vec_load_outputs(m, part->panel + p, row + r) : vec_set(0.0F));
	}
}

VEC_INLINE void close_sums(const struct part *part, uint32_t row, vec (*sums)[TILE_PANELS],
	const uint32_t rows, const uint32_t panels)
{
	const struct cpu_matmul *m = part->m;

	if (part->scales)
		scale_sums(part, row, sums, rows, panels);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_store_outputs(m, part->panel + p, row + r, sums[r][p]);
}

/* Rows and panels are constants. ahead: bytes, or 0. */
VEC_INLINE void tile(const struct part *part, uint32_t row, size_t ahead, const uint32_t rows,
	const uint32_t panels, const enum chip_type type)
{
	const size_t stride = ((size_t)part->m->columns + 1) / 2 * 2;
	const uint16_t *x = part->m->in.halves + row * stride + part->first * 2;
	vec sums[TILE_ROWS][TILE_PANELS];

	open_sums(part, row, sums, rows, panels);
	for (size_t k = 0; k < part->count; k++) {
		const uint8_t *w = part->weights + k * pair_bytes(type);
		__m512i weights[TILE_PANELS];

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++) {
			vec_prefetch(w + p * part->panel_bytes + ahead);
			weights[p] = load_pairs(w + p * part->panel_bytes, type);
		}
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m512i inputs = spread(x + r * stride + k * 2);

			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = _mm512_dpbf16_ps(sums[r][p], (__m512bh)weights[p],
					(__m512bh)inputs);
		}
	}
	close_sums(part, row, sums, rows, panels);
}

#define TILE(rows, panels)                                                                  \
	case (rows) * 8 + (panels):                                                         \
		tile(part, row, ahead, rows, panels, type);                                 \
		break

#define TILES_OF_ROWS(rows) TILE(rows, 1); TILE(rows, 2); TILE(rows, 4)

/* All rows, divided evenly; a copy of the tile for each shape. The first one fetches for all. */
VEC_INLINE void tiles(const struct part *part, uint32_t panels, size_t ahead,
	const enum chip_type type)
{
	const uint32_t rows_all = part->m->rows, count = (rows_all + TILE_ROWS - 1) / TILE_ROWS;
	uint32_t end;

	for (uint32_t i = 0, row = 0; i < count; i++, row = end, ahead = 0) {
		end = (uint32_t)((uint64_t)rows_all * (i + 1) / count);
		switch ((end - row) * 8 + panels) {
			TILES_OF_ROWS(1);
			TILES_OF_ROWS(2);
			TILES_OF_ROWS(3);
			TILES_OF_ROWS(4);
			TILES_OF_ROWS(5);
			TILES_OF_ROWS(6);
		}
	}
}

static void tiles_bf16(const struct part *part, uint32_t panels, size_t ahead)
{
	tiles(part, panels, ahead, CHIP_BF16);
}

static void tiles_f8(const struct part *part, uint32_t panels, size_t ahead)
{
	tiles(part, panels, ahead, CHIP_F8_E4M3);
}

/* How many of the panels left go together. */
VEC_INLINE uint32_t panels_of(uint32_t left)
{
	return left >= TILE_PANELS ? TILE_PANELS : left >= 2 ? 2 : 1;
}

/* ---- matrices -------------------------------------------------------------------------------- */

void VEC_NAME(matmul_bf16_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	const uint32_t pairs = (m->columns + 1) / 2;
	struct part part = {.m = m, .panel_bytes = m->panel_bytes};

	for (part.panel = first; part.panel < end; part.panel += panels_of(end - part.panel))
		for (part.first = 0; part.first < pairs; part.first += part.count) {
			const uint32_t left = pairs - part.first;

			part.count = left < PAIRS_PART ? left : PAIRS_PART;
			part.weights = m->panels + part.panel * m->panel_bytes +
				part.first * pair_bytes(CHIP_BF16);
			tiles_bf16(&part, panels_of(end - part.panel), AHEAD);
		}
}

/* The part becomes one of bf16 in scratch [panels][count][lanes][2]. */
static void decode(struct part *part, uint32_t panels, uint8_t *scratch)
{
	const size_t bytes = part->count * pair_bytes(CHIP_BF16);

	for (uint32_t p = 0; p < panels; p++)
		for (size_t k = 0; k < part->count; k++) {
			const uint8_t *w = part->weights + p * part->panel_bytes +
				k * pair_bytes(CHIP_F8_E4M3);

			vec_prefetch(w + AHEAD);
			_mm512_store_si512(scratch + p * bytes + k * pair_bytes(CHIP_BF16),
				decode_f8(w));
		}
	part->weights = scratch;
	part->panel_bytes = bytes;
}

/* Run by run. */
static void f8_panels(const struct cpu_matmul *m, uint32_t panel, uint32_t panels)
{
	uint8_t scratch[TILE_PANELS * CPU_F8_RUN / 2 * VEC_LANES * 4]
		__attribute__((aligned(CPU_ALIGN)));
	const uint8_t *bytes = m->panels + panel * m->panel_bytes;
	const uint32_t even = (m->columns + 1) / 2 * 2;
	uint32_t end;

	for (uint32_t first = 0; first < even; first = end) {
		end = cpu_f8_run_end(m, first, even);
		struct part part = {
			.m = m,
			.weights = bytes + m->scales_bytes + first * VEC_LANES,
			.scales = bytes + first / m->group * VEC_LANES * sizeof(float),
			.panel_bytes = m->panel_bytes,
			.panel = panel,
			.first = first / 2,
			.count = (end - first) / 2,
		};

		if (m->rows < DECODE_ROWS) {
			tiles_f8(&part, panels, AHEAD);
		} else {
			decode(&part, panels, scratch);
			tiles_bf16(&part, panels, 0);
		}
	}
}

void VEC_NAME(matmul_f8_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	for (uint32_t panel = first; panel < end; panel += panels_of(end - panel))
		f8_panels(m, panel, panels_of(end - panel));
}

/* ---- the peak -------------------------------------------------------------------------------- */

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
