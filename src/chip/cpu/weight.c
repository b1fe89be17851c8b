/* chip/cpu/weight.c - matrices into panels (kernels.h says how they lie) and rows
 * out of them again. */
#include "chip/cpu/cpu.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "chip/cpu/block.h"

#define READ_PANELS 8   /* of stored rows that a reader makes at once */

/* Bytes of one lane's values, without scales, in panels that a kernel reads. */
static size_t lane_bytes(const struct cpu_weight *w)
{
	const size_t columns = w->base.columns;

	if (w->base.type == CHIP_F32)
		return columns * 4;
	if (w->base.type == CHIP_F16)
		return columns * 2;
	if (w->base.type == CHIP_F8_E4M3)
		return w->pairs ? math_round_up(columns, 2) : columns;
	assert(w->base.type == CHIP_BF16);
	return (w->pairs ? math_round_up(columns, 2) : columns) * 2;
}

static size_t f8_groups(const struct cpu_weight *w)
{
	return math_divide_up(w->base.columns, w->base.group);
}

static void shape_panels(struct cpu_weight *w)
{
	if (w->base.type == CHIP_F8_E4M3)
		w->scales_bytes = math_round_up(f8_groups(w) * w->lanes * sizeof(float), CPU_ALIGN);
	w->panel_bytes = w->blocks
		? cpu_block_panel_bytes(w->base.type, w->group, w->lanes, w->base.columns)
		: math_round_up(w->scales_bytes + lane_bytes(w) * w->lanes, CPU_ALIGN);
	w->base.read_bytes = (int64_t)(w->panel_count * w->panel_bytes);
}

/* The kernels of f8_e4m3 want their groups in pairs of columns, and these as they come. */
static bool is_f8_panels(const struct cpu_kernels *kernels, const struct chip_matrix *m)
{
	return m->type == CHIP_F8_E4M3 && kernels->matmul[m->type] && !m->column_order &&
		(m->group % 2 == 0 || m->group >= m->columns);
}

static void weight_shape(struct cpu_weight *w, const struct cpu_kernels *kernels,
	const struct chip_matrix *m)
{
	const bool f8 = is_f8_panels(kernels, m);

	w->base.type = m->type;
	w->base.rows = m->rows;
	w->base.columns = m->columns;
	w->base.group = m->group;
	w->base.parts = m->parts ? m->parts : 1;
	w->lanes = kernels->lanes;
	w->group = f8 ? m->group : cpu_block_group(m->group, m->columns);
	w->blocks = kernels->matmul[m->type] && !m->column_order &&
		cpu_blocks_fit(m->type, m->group, m->columns);
	w->unit = cpu_sums_records(m->type) ? CPU_RECORD_COLUMNS : CPU_BLOCK;
	w->stored = m->type == CHIP_F8_E4M3 ? !f8
		: !w->blocks && (!kernels->matmul[m->type] || cpu_is_block_type(m->type));
	w->pairs = m->type == CHIP_BF16 ? kernels->bf16_pairs : f8 && kernels->bf16_inputs;
	w->halves = (m->type == CHIP_BF16 || f8) && kernels->bf16_inputs;
	w->row_bytes = chip_row_bytes(m->type, m->group, m->columns);
	w->part_rows = m->rows / w->base.parts;
	w->part_panels = math_divide_up_u32(w->part_rows, w->lanes);
	w->panel_count = w->base.parts * w->part_panels;
	if (w->stored) {
		w->panel_bytes = w->row_bytes * w->lanes;
		w->base.read_bytes = (int64_t)(m->rows * w->row_bytes);
	} else {
		shape_panels(w);
	}
}

/* ---- packing --------------------------------------------------------------------------------- */

struct packing {
	struct cpu_job job;
	const struct chip_matrix *m;
	struct cpu_weight *w;
	uint32_t *span_ends;        /* rows up to and with each span */
	uint8_t *read_rows;         /* [threads][lanes][row_bytes], where rows are read */
};

/* A row of the source: which span it lies in, by bisection. */
static const uint8_t *source_row(const struct packing *p, uint32_t row)
{
	uint32_t low = 0, high = p->m->span_count;

	while (high - low > 1) {
		const uint32_t middle = low + (high - low) / 2;

		if (row < p->span_ends[middle - 1])
			high = middle;
		else
			low = middle;
	}
	const uint32_t before = low ? p->span_ends[low - 1] : 0;

	assert(row >= before && row < p->span_ends[low]);
	return (const uint8_t *)p->m->spans[low].rows + (size_t)(row - before) * p->w->row_bytes;
}

/* Units of one size from count rows, side by side: [units][lanes]. Lanes without a row stay zero;
 * with all lanes there their number is a constant, for the compiler. */
static inline __attribute__((always_inline)) void interleave(uint8_t *out,
	const uint8_t *const *rows, uint32_t count, uint32_t lanes, size_t units, size_t unit)
{
	for (size_t u = 0; u < units; u++)
		for (uint32_t lane = 0; lane < count; lane++)
			memcpy(out + (u * lanes + lane) * unit, rows[lane] + u * unit, unit);
}

static inline __attribute__((always_inline)) void interleave_lanes(uint8_t *out,
	const uint8_t *const *rows, uint32_t count, uint32_t lanes, size_t units, size_t unit)
{
	if (count == 16 && lanes == 16)
		interleave(out, rows, 16, 16, units, unit);
	else if (count == 8 && lanes == 8)
		interleave(out, rows, 8, 8, units, unit);
	else
		interleave(out, rows, count, lanes, units, unit);
}

/* Of bf16 in pairs of columns a pair is one unit; the last may be half a one. */
static void pack_plain(const struct cpu_weight *w, uint8_t *panel, const uint8_t *const *rows,
	uint32_t count)
{
	const size_t columns = w->base.columns;

	if (w->base.type == CHIP_F32) {
		interleave_lanes(panel, rows, count, w->lanes, columns, 4);
	} else if (!w->pairs) {
		interleave_lanes(panel, rows, count, w->lanes, columns, 2);
	} else {
		interleave_lanes(panel, rows, count, w->lanes, columns / 2, 4);
		for (uint32_t lane = 0; columns % 2 && lane < count; lane++)
			memcpy(panel + (columns / 2 * w->lanes + lane) * 4,
				rows[lane] + (columns - 1) * 2, 2);
	}
}

/* Whether a group has a code that is no number. */
static bool f8_is_nan(const uint8_t *codes, size_t count)
{
	bool nan = false;

	for (size_t i = 0; i < count; i++)
		nan |= (codes[i] & 0x7F) == 0x7F;
	return nan;
}

/* Kernels take a code that is no number for one: its group has a scale that is none. */
static void pack_f8_scale(uint8_t *out, const uint8_t *group, size_t count)
{
	const float nan = __builtin_nanf("");

	memcpy(out, f8_is_nan(group + CHIP_F8_HEAD_BYTES, count) ? (const uint8_t *)&nan : group,
		sizeof(nan));
}

static void pack_f8(const struct cpu_weight *w, uint8_t *panel, const uint8_t *const *rows,
	uint32_t count)
{
	const size_t group = w->base.group, columns = w->base.columns;
	const uint8_t *at[CPU_LANES_MAX];

	for (size_t g = 0, first = 0; first < columns; g++, first += group) {
		const size_t here = columns - first < group ? columns - first : group;
		uint8_t *out = panel + w->scales_bytes + first * w->lanes;

		for (uint32_t lane = 0; lane < count; lane++) {
			at[lane] = rows[lane] + g * (CHIP_F8_HEAD_BYTES + group);
			pack_f8_scale(panel + (g * w->lanes + lane) * sizeof(float), at[lane],
				here);
			at[lane] += CHIP_F8_HEAD_BYTES;
		}
		if (!w->pairs) {
			interleave_lanes(out, at, count, w->lanes, here, 1);
			continue;
		}
		interleave_lanes(out, at, count, w->lanes, here / 2, 2);
		for (uint32_t lane = 0; here % 2 && lane < count; lane++)
			out[(here / 2 * w->lanes + lane) * 2] = at[lane][here - 1];
	}
}

static void pack_panel(const struct packing *p, uint32_t panel, uint8_t *read_rows)
{
	const struct cpu_weight *w = p->w;
	uint8_t *out = cpu_weight_panel(w, panel);
	const uint8_t *rows[CPU_LANES_MAX];
	uint32_t count;
	const uint32_t first = cpu_weight_panel_rows(w, panel, &count);

	if (p->m->span_count == 0)
		p->m->read(p->m->context, first, count, read_rows);
	for (uint32_t i = 0; i < count; i++)
		rows[i] = p->m->span_count ? source_row(p, first + i)
			: read_rows + i * w->row_bytes;
	if (w->blocks)
		cpu_block_pack(w->base.type, w->group, w->lanes, w->base.columns, rows, count, out);
	else if (!w->stored && w->base.type == CHIP_F8_E4M3)
		pack_f8(w, out, rows, count);
	else if (!w->stored)
		pack_plain(w, out, rows, count);
	else
		for (uint32_t i = 0; i < count; i++)
			memcpy(out + i * w->row_bytes, rows[i], w->row_bytes);
}

/* Stored rows that a reader makes lie as it makes them. It is asked for many at once: where
 * neighbouring rows share words or cache lines, they are touched once. */
static void read_stored(const struct packing *p, uint32_t panel, uint32_t end)
{
	const struct cpu_weight *w = p->w;

	while (panel < end) {
		const uint32_t last = math_min_u32(end - panel, READ_PANELS) + panel - 1;
		uint32_t count;
		const uint32_t first = cpu_weight_panel_rows(w, panel, &count);
		const uint32_t last_first = cpu_weight_panel_rows(w, last, &count);

		p->m->read(p->m->context, first, last_first + count - first,
			cpu_weight_panel(w, panel));
		panel = last + 1;
	}
}

static void pack_run(const struct packing *p, uint32_t panel, uint32_t end, uint8_t *read_rows)
{
	if (p->w->stored && p->m->span_count == 0)
		read_stored(p, panel, end);
	else
		for (; panel < end; panel++)
			pack_panel(p, panel, read_rows);
}

/* Each part is divided among homes, as it is when it is multiplied. */
static void pack_panels(struct cpu_job *job, struct cpu_worker *worker)
{
	const struct packing *p = (const struct packing *)job;
	uint8_t *read_rows = p->read_rows + worker->index * p->w->lanes * p->w->row_bytes;
	const uint32_t part_panels = p->w->part_panels;
	uint32_t items[CPU_HOMES_MAX], counts[CPU_HOMES_MAX], firsts[CPU_HOMES_MAX];
	uint32_t home, first, end, run;

	for (uint32_t i = 0; i < cpu_homes(worker->pool); i++) {
		counts[i] = cpu_home_items(worker->pool, i, part_panels, &firsts[i]);
		items[i] = counts[i] * p->w->base.parts;
	}
	while (cpu_share_home(worker, items, &home, &first, &end))
		for (; first < end; first += run) {
			const uint32_t part = first / counts[home], at = first % counts[home];
			const uint32_t panel = part * part_panels + firsts[home] + at;

			run = math_min_u32(end - first, counts[home] - at);
			pack_run(p, panel, panel + run, read_rows);
		}
}

static enum err packing_open(struct packing *p, const struct cpu_chip *cpu, struct err_info *info)
{
	const struct chip_matrix *m = p->m;
	const bool reads = m->span_count == 0 && !p->w->stored;

	p->span_ends = mem_alloc(m->span_count, sizeof(*p->span_ends));
	p->read_rows = mem_alloc(reads ? cpu_pool_threads(cpu->pool) * p->w->lanes : 0,
		p->w->row_bytes);
	if (!p->span_ends || !p->read_rows)
		return err_set(info, ERR_MEMORY, "no memory for a matrix of %u spans",
			m->span_count);
	for (uint32_t i = 0; i < m->span_count; i++)
		p->span_ends[i] = (i ? p->span_ends[i - 1] : 0) + m->spans[i].row_count;
	return ERR_NONE;
}

/* Memory of the weight: its panels, and its own copy of the order of columns. */
static enum err weight_reserve(struct cpu_weight *w, struct cpu_chip *cpu,
	const struct chip_matrix *m, struct err_info *info)
{
	const size_t order_bytes = m->column_order ? m->columns * sizeof(uint32_t) : 0;
	const size_t panels_bytes = math_round_up((size_t)w->base.read_bytes, sizeof(uint32_t));
	const enum err err = cpu_reserve_piece(cpu, (void **)&w->panels,
		(int64_t)(panels_bytes + order_bytes), "weights", info);

	w->memory_bytes = (int64_t)(panels_bytes + order_bytes);
	if (err || !m->column_order)
		return err;
	w->column_order = (uint32_t *)(void *)(w->panels + panels_bytes);
	memcpy(w->column_order, m->column_order, order_bytes);
	return ERR_NONE;
}

enum err cpu_weight_pack(struct chip *chip, struct chip_weight **out, const struct chip_matrix *m,
	struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_weight *w = mem_alloc(1, sizeof(*w));
	struct packing p = {.job.run = pack_panels, .m = m, .w = w};
	enum err err;

	if (!w)
		return err_set(info, ERR_MEMORY, "no memory for a matrix");
	weight_shape(w, &cpu->kernels, m);
	if ((err = packing_open(&p, cpu, info)) || (err = weight_reserve(w, cpu, m, info)))
		goto done;
	cpu_pool_run(cpu->pool, &p.job);
	*out = &w->base;
	w = NULL;
done:
	mem_free(p.read_rows);
	mem_free(p.span_ends);
	mem_free(w);
	return err;
}

void cpu_weight_close(struct chip *chip, struct chip_weight *weight)
{
	struct cpu_weight *w = (struct cpu_weight *)weight;

	cpu_release_piece((struct cpu_chip *)chip, w->panels, w->memory_bytes);
	mem_free(w);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Where column k of a lane lies, in elements. */
static size_t plain_at(const struct cpu_weight *w, uint32_t lane, size_t k)
{
	return w->pairs ? (k / 2 * w->lanes + lane) * 2 + k % 2 : k * w->lanes + lane;
}

static float plain_value(const struct cpu_weight *w, const uint8_t *panel, uint32_t lane, size_t k)
{
	const size_t at = plain_at(w, lane, k);

	if (w->base.type == CHIP_F8_E4M3)
		return ((const float *)(const void *)panel)[k / w->base.group * w->lanes + lane] *
			format_e4m3(panel[w->scales_bytes + at]);
	if (w->base.type == CHIP_F32)
		return ((const float *)(const void *)panel)[at];
	const uint16_t half = ((const uint16_t *)(const void *)panel)[at];

	return w->base.type == CHIP_F16 ? math_f32_from_f16(half) : math_f32_from_bf16(half);
}

/* The operations of format_decode.h, with their roundings. */
static void block_row(const struct cpu_weight *w, const uint8_t *panel, uint32_t lane, float *out)
{
	const struct cpu_matmul m = {.lanes = w->lanes, .group = w->group};
	const bool minima = cpu_block_formats[w->base.type].minima;

	for (uint32_t b = 0; b < w->base.columns / CPU_BLOCK; b++) {
		struct cpu_lane_block block;

		cpu_block_read(&m, w->base.type, panel, lane, b, &block);
		for (uint32_t i = 0; i < CPU_BLOCK; i++, out++) {
			*out = block.scales[i / 16] * (float)block.codes[i];
			if (minima)
				*out += block.least;
		}
	}
}

static void stored_row(const struct cpu_weight *w, const uint8_t *row, float *out)
{
	float part[CHIP_BLOCK_MAX];

	if (!w->column_order) {
		chip_row_to_f32(w->base.type, w->base.group, row, w->base.columns, out);
		return;
	}
	for (uint32_t at = 0; at < w->base.columns; at += CHIP_BLOCK_MAX) {
		const uint32_t count = math_min_u32(w->base.columns - at, CHIP_BLOCK_MAX);

		chip_row_part_to_f32(w->base.type, w->base.group, row, at, count, part);
		for (uint32_t j = 0; j < count; j++)
			out[w->column_order[at + j]] = part[j];
	}
}

void cpu_weight_row(const struct cpu_weight *w, uint32_t row, float *out)
{
	assert(row < w->base.rows);
	const uint32_t in_part = row % w->part_rows, lane = in_part % w->lanes;
	const uint32_t panel = row / w->part_rows * w->part_panels + in_part / w->lanes;
	const uint8_t *bytes = cpu_weight_panel(w, panel);

	if (w->stored)
		stored_row(w, bytes + lane * w->row_bytes, out);
	else if (w->blocks)
		block_row(w, bytes, lane, out);
	else
		for (size_t k = 0; k < w->base.columns; k++)
			out[k] = plain_value(w, bytes, lane, k);
}

/* ---- vectors --------------------------------------------------------------------------------- */

enum err cpu_vector_open(struct chip *chip, struct chip_vector **out, const float *values,
	size_t count, struct err_info *info)
{
	struct cpu_vector *v = mem_alloc(1, sizeof(*v));

	if (!v)
		return err_set(info, ERR_MEMORY, "no memory for a vector");
	v->base.count = count;
	const enum err err = cpu_reserve_piece((struct cpu_chip *)chip, (void **)&v->values,
		(int64_t)(count * sizeof(float)), "weights", info);

	if (err) {
		mem_free(v);
		return err;
	}
	memcpy(v->values, values, count * sizeof(float));
	*out = &v->base;
	return ERR_NONE;
}

void cpu_vector_close(struct chip *chip, struct chip_vector *vector)
{
	struct cpu_vector *v = (struct cpu_vector *)vector;

	cpu_release_piece((struct cpu_chip *)chip, v->values,
		(int64_t)(v->base.count * sizeof(float)));
	mem_free(v);
}
