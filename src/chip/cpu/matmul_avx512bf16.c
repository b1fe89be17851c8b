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
 * times the scale is added to the output. For few rows, weights are decoded in the registers of
 * each tile; for many, once, into a scratch.
 */
#include "base/math.h"
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#define TILE_ROWS   6
#define TILE_PANELS 4
/* of a part; between parts sums wait in the output */
#define BF16_PAIRS  512   /* 128 KiB of 4 panels */
#define F8_PAIRS    256   /* 64 KiB of 4 panels decoded */
#define MEMORY_ROWS 12    /* of bf16: up to so many memory is the limit, more or less */
#define DECODE_ROWS 10    /* from so many rows on, f8_e4m3 is decoded once for all */
#define AHEAD       4096  /* bytes of each panel that a single tile prefetches ahead */

/* What will be read next: with every pair of columns a tile fetches one of some panels. */
struct ahead {
	const uint8_t *weights;
	size_t panel_bytes, pair_bytes;
	uint32_t first, end;        /* panels */
	uint32_t turn;              /* from this pair on those that come next, */
	size_t turn_bytes;          /* so many bytes further; 0: these to the end */
};

/* Some pairs of columns of some panels, as they lie or decoded to bf16; of f8_e4m3 whole runs. */
struct part {
	const struct cpu_matmul *m;
	const uint8_t *weights;     /* of the first panel, from the first pair on */
	size_t panel_bytes;         /* from one panel to the next */
	uint32_t panel;
	uint32_t first, end;        /* pairs */
	struct ahead ahead;
};

/* How weights lie, and whether their groups have scales. */
enum form { FORM_BF16, FORM_F8, FORM_F8_DECODED };

VEC_INLINE size_t pair_bytes(const enum form form)
{
	return VEC_LANES * (form == FORM_F8 ? 2 : 4);
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

VEC_INLINE __m512i load_pairs(const uint8_t *weights, const enum form form)
{
	return form == FORM_F8 ? decode_f8(weights) : _mm512_loadu_si512(weights);
}

/* Two inputs, for every output. */
VEC_INLINE __m512i spread(const uint16_t *x)
{
	int32_t two;

	memcpy(&two, x, sizeof(two));
	return _mm512_set1_epi32(two);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

typedef vec tile_sums[TILE_ROWS][TILE_PANELS];

VEC_INLINE void clear_sums(vec (*sums)[TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = vec_set(0.0F);
}

/* Pairs [first, end) of the part. */
VEC_INLINE void add_pairs(const struct part *part, uint32_t row, uint32_t first, uint32_t end,
	vec (*sums)[TILE_PANELS], const uint32_t rows, const uint32_t panels, const enum form form)
{
	const struct ahead ahead = part->ahead;
	const size_t stride = ((size_t)part->m->columns + 1) / 2 * 2;
	const uint16_t *x = part->m->in.halves + row * stride;

	for (size_t k = first; k < end; k++) {
		const uint8_t *w = part->weights + (k - part->first) * pair_bytes(form);
		const uint8_t *fetched = ahead.weights + (k - part->first) * ahead.pair_bytes +
			(k < ahead.turn ? 0 : ahead.turn_bytes);
		__m512i weights[TILE_PANELS];

		for (size_t p = ahead.first; p < ahead.end; p++)
			vec_prefetch_later(fetched + p * ahead.panel_bytes);
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			weights[p] = load_pairs(w + p * part->panel_bytes, form);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m512i inputs = spread(x + r * stride + k * 2);

			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = _mm512_dpbf16_ps(sums[r][p], (__m512bh)weights[p],
					(__m512bh)inputs);
		}
	}
}

/* sums += run times the scales of its group. */
VEC_INLINE void add_run(const struct part *part, uint32_t group, vec (*run)[TILE_PANELS],
	vec (*sums)[TILE_PANELS], const uint32_t rows, const uint32_t panels)
{
	const struct cpu_matmul *m = part->m;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const uint8_t *panel = m->panels + (part->panel + p) * m->panel_bytes;
		const float *scales = (const float *)(const void *)panel;
		const vec scale = vec_load(scales + (size_t)group * VEC_LANES);

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sums[r][p] = vec_fma(run[r][p], scale, sums[r][p]);
	}
}

/* Rows and panels are constants. */
VEC_INLINE void tile(const struct part *part, uint32_t row, const uint32_t rows,
	const uint32_t panels, const enum form form)
{
	tile_sums sums;

	vec_open_sums(part->m, part->panel, row, part->first > 0 || part->m->add, &sums[0][0],
		TILE_PANELS, rows, panels);
	if (form == FORM_BF16)
		add_pairs(part, row, part->first, part->end, sums, rows, panels, form);
	for (uint32_t at = part->first, end; form != FORM_BF16 && at < part->end; at = end) {
		tile_sums run;

		end = cpu_f8_run_end(part->m, at * 2, part->end * 2) / 2;
		clear_sums(run, rows, panels);
		add_pairs(part, row, at, end, run, rows, panels, form);
		add_run(part, at * 2 / part->m->group, run, sums, rows, panels);
	}
	vec_close_sums(part->m, part->panel, row, &sums[0][0], TILE_PANELS, rows, panels);
}

/* To be fetched: what comes AHEAD bytes behind a pair, at the end of a panel of the next ones. */
VEC_INLINE void plan_near(struct part *part, uint32_t panels)
{
	const uint32_t pairs = (part->m->columns + 1) / 2;
	const uint32_t near = (uint32_t)(AHEAD / part->ahead.pair_bytes);

	part->ahead.weights = part->weights + AHEAD;
	part->ahead.turn = pairs > near ? pairs - near : 0;
	part->ahead.turn_bytes = (panels - 1) * part->ahead.panel_bytes;
}

#define TILE(rows, panels)                                                                  \
	case (rows) * 8 + (panels):                                                         \
		tile(&some, row, rows, panels, form);                                       \
		break

#define TILES_OF_ROWS(rows) TILE(rows, 1); TILE(rows, 2); TILE(rows, 4)

/* All rows, divided evenly; a copy of the tile for each shape. One tile fetches a little ahead of
 * itself; several divide the panels of the next part, so that memory is always busy. */
VEC_INLINE void tiles(const struct part *part, uint32_t panels, const enum form form)
{
	const uint32_t rows_all = part->m->rows, count = math_divide_up_u32(rows_all, TILE_ROWS);
	const uint32_t each = math_divide_up_u32(panels, count);
	struct part some = *part;
	uint32_t end;

	if (count == 1)
		plan_near(&some, panels);
	for (uint32_t i = 0, row = 0; i < count; i++, row = end) {
		end = (uint32_t)((uint64_t)rows_all * (i + 1) / count);
		some.ahead.first = math_min_u32(i * each, panels);
		some.ahead.end = math_min_u32((i + 1) * each, panels);
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

/* How many of the panels left go together. Of memory one core gets more in two streams of whole
 * lines than in four. */
VEC_INLINE uint32_t panels_of(const struct cpu_matmul *m, uint32_t left, const enum form form)
{
	const bool memory = form == FORM_BF16 && m->rows <= MEMORY_ROWS;

	return left >= TILE_PANELS && !memory ? TILE_PANELS : left >= 2 ? 2 : 1;
}

/* Where the part begins that comes after this one, which begins at those weights. */
VEC_INLINE const uint8_t *next_part(const struct part *part, uint32_t panels,
	const uint8_t *weights, const enum form form)
{
	const struct cpu_matmul *m = part->m;

	if (part->end < (m->columns + 1) / 2)
		return weights + (part->end - part->first) * pair_bytes(form);
	return weights + panels * m->panel_bytes - part->first * pair_bytes(form);
}

/* ---- matrices -------------------------------------------------------------------------------- */

void VEC_NAME(matmul_bf16_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	const uint32_t pairs = (m->columns + 1) / 2;
	/* of one size, so that each fetches a whole one */
	const uint32_t each = math_divide_up_u32(pairs, math_divide_up_u32(pairs, BF16_PAIRS));
	struct part part = {.m = m, .panel_bytes = m->panel_bytes,
		.ahead = {.panel_bytes = m->panel_bytes, .pair_bytes = pair_bytes(FORM_BF16)}};
	uint32_t panels;

	for (part.panel = first; part.panel < end; part.panel += panels) {
		panels = panels_of(m, end - part.panel, FORM_BF16);
		for (part.first = 0; part.first < pairs; part.first = part.end) {
			part.end = math_min_u32(part.first + each, pairs);
			part.weights = m->panels + part.panel * m->panel_bytes +
				part.first * pair_bytes(FORM_BF16);
			part.ahead.weights = next_part(&part, panels, part.weights,
				FORM_BF16);
			tiles(&part, panels, FORM_BF16);
		}
	}
}

/* The part becomes one of bf16 in scratch [panels][pairs][lanes][2]. */
static void decode(struct part *part, uint32_t panels, uint8_t *scratch)
{
	const size_t pairs = part->end - part->first, bytes = pairs * pair_bytes(FORM_F8_DECODED);

	for (uint32_t p = 0; p < panels; p++)
		for (size_t k = 0; k < pairs; k++) {
			const uint8_t *w = part->weights + p * part->panel_bytes +
				k * pair_bytes(FORM_F8);

			_mm512_store_si512(scratch + p * bytes + k * pair_bytes(FORM_F8_DECODED),
				decode_f8(w));
		}
	part->weights = scratch;
	part->panel_bytes = bytes;
}

/* Where a part of whole runs ends that begins at that column. */
static uint32_t f8_part_end(const struct cpu_matmul *m, uint32_t first, uint32_t columns)
{
	uint32_t end = cpu_f8_run_end(m, first, columns), next = end;

	while (next - first <= 2 * F8_PAIRS && end < columns) {
		end = next;
		next = end < columns ? cpu_f8_run_end(m, end, columns) : end;
	}
	return end;
}

static void f8_panels(const struct cpu_matmul *m, uint32_t panel, uint32_t panels)
{
	uint8_t scratch[TILE_PANELS * F8_PAIRS * VEC_LANES * 4]
		__attribute__((aligned(CPU_ALIGN)));
	const uint8_t *codes = m->panels + panel * m->panel_bytes + m->scales_bytes;
	const uint32_t even = (m->columns + 1) / 2 * 2;
	struct part part = {.m = m, .panel = panel,
		.ahead = {.panel_bytes = m->panel_bytes, .pair_bytes = pair_bytes(FORM_F8)}};

	for (; part.first < even / 2; part.first = part.end) {
		part.end = f8_part_end(m, part.first * 2, even) / 2;
		part.weights = codes + part.first * pair_bytes(FORM_F8);
		part.panel_bytes = m->panel_bytes;
		part.ahead.weights = next_part(&part, panels, part.weights, FORM_F8);
		if (m->rows < DECODE_ROWS) {
			tiles(&part, panels, FORM_F8);
		} else {
			decode(&part, panels, scratch);
			tiles(&part, panels, FORM_F8_DECODED);
		}
	}
}

void VEC_NAME(matmul_f8_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	uint32_t panels;

	for (uint32_t panel = first; panel < end; panel += panels) {
		panels = panels_of(m, end - panel, FORM_F8);
		f8_panels(m, panel, panels);
	}
}
