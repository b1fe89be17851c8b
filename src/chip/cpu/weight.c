/* chip/cpu/weight.c - matrices into panels (kernels.h says how they lie) and rows
 * out of them again. */
#include "chip/cpu/cpu.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "chip/format.h"

#define GROUP_BYTES 4   /* of one lane: four values of q8_0, eight of q4_0 */

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static bool is_block_type(enum chip_type type)
{
	return chip_type_block_values(type) > 1;
}

/* Bytes of one lane's values, without scales. */
static size_t lane_bytes(const struct cpu_weight *w)
{
	const size_t columns = w->base.columns;

	if (w->base.type == CHIP_F32)
		return columns * 4;
	if (w->base.type == CHIP_F16)
		return columns * 2;
	if (w->base.type == CHIP_BF16)
		return (w->pairs ? round_up(columns, 2) : columns) * 2;
	assert(w->base.type == CHIP_Q8_0 || w->base.type == CHIP_Q4_0);
	return w->base.type == CHIP_Q8_0 ? columns : columns / 2;
}

static void weight_shape(struct cpu_weight *w, const struct cpu_kernels *kernels,
	const struct chip_matrix *m)
{
	const size_t blocks = m->columns / chip_type_block_values(m->type);

	w->base.type = m->type;
	w->base.rows = m->rows;
	w->base.columns = m->columns;
	w->lanes = kernels->lanes;
	w->pairs = m->type == CHIP_BF16 && kernels->bf16_pairs;
	w->halves = m->type == CHIP_BF16 && kernels->bf16_inputs;
	w->panel_count = (m->rows + w->lanes - 1) / w->lanes;
	w->scales_bytes = is_block_type(m->type) ? round_up(blocks * w->lanes * 2, CPU_ALIGN) : 0;
	w->panel_bytes = round_up(w->scales_bytes + lane_bytes(w) * w->lanes, CPU_ALIGN);
	w->base.read_bytes = (int64_t)(w->panel_count * w->panel_bytes);
}

/* ---- packing --------------------------------------------------------------------------------- */

struct packing {
	struct cpu_job job;
	const struct chip_matrix *m;
	struct cpu_weight *w;
	const uint32_t *span_ends;  /* rows up to and with each span */
	size_t row_bytes;           /* of the source */
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
	return (const uint8_t *)p->m->spans[low].rows + (size_t)(row - before) * p->row_bytes;
}

/* Where column k of a lane lies, in elements. */
static size_t plain_at(const struct cpu_weight *w, uint32_t lane, size_t k)
{
	return w->pairs ? (k / 2 * w->lanes + lane) * 2 + k % 2 : k * w->lanes + lane;
}

static void pack_plain(const struct cpu_weight *w, uint8_t *panel, uint32_t lane,
	const uint8_t *source)
{
	if (w->base.type == CHIP_F32) {
		for (size_t k = 0; k < w->base.columns; k++)
			memcpy(panel + plain_at(w, lane, k) * 4, source + k * 4, 4);
	} else {
		for (size_t k = 0; k < w->base.columns; k++)
			memcpy(panel + plain_at(w, lane, k) * 2, source + k * 2, 2);
	}
}

static void pack_blocks(const struct cpu_weight *w, uint8_t *panel, uint32_t lane,
	const uint8_t *source)
{
	const size_t block_bytes = chip_type_block_bytes(w->base.type);
	const size_t groups = (block_bytes - 2) / GROUP_BYTES;
	uint8_t *values = panel + w->scales_bytes;

	for (size_t b = 0; b < w->base.columns / CPU_BLOCK; b++) {
		const uint8_t *block = source + b * block_bytes;

		memcpy(panel + (b * w->lanes + lane) * 2, block, 2);
		for (size_t g = 0; g < groups; g++)
			memcpy(values + ((b * groups + g) * w->lanes + lane) * GROUP_BYTES,
				block + 2 + g * GROUP_BYTES, GROUP_BYTES);
	}
}

static void pack_panels(struct cpu_job *job, struct cpu_worker *worker)
{
	const struct packing *p = (const struct packing *)job;
	const struct cpu_weight *w = p->w;
	uint32_t first, end;

	while (cpu_share(worker, w->panel_count, &first, &end))
		for (uint32_t row = first * w->lanes; row < end * w->lanes && row < w->base.rows;
			row++) {
			uint8_t *panel = w->panels + row / w->lanes * w->panel_bytes;

			if (is_block_type(w->base.type))
				pack_blocks(w, panel, row % w->lanes, source_row(p, row));
			else
				pack_plain(w, panel, row % w->lanes, source_row(p, row));
		}
}

enum err cpu_weight_pack(struct chip *chip, struct chip_weight **out, const struct chip_matrix *m,
	struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct packing p = {.job.run = pack_panels, .m = m};

	if (m->type > CHIP_Q4_0 || m->parts > 1 || m->span_count == 0)
		return err_set(info, ERR_UNSUPPORTED, "a matrix of %s", chip_type_name(m->type));
	struct cpu_weight *w = mem_alloc(1, sizeof(*w));
	uint32_t *span_ends = mem_alloc(m->span_count, sizeof(*span_ends));
	enum err err = ERR_NONE;

	if (!w || !span_ends) {
		err = err_set(info, ERR_MEMORY, "no memory for a matrix of %u spans",
			m->span_count);
		goto done;
	}
	weight_shape(w, &cpu->kernels, m);
	err = cpu_reserve(cpu, (void **)&w->panels, w->base.read_bytes, "weights", info);
	if (err)
		goto done;
	for (uint32_t i = 0; i < m->span_count; i++)
		span_ends[i] = (i ? span_ends[i - 1] : 0) + m->spans[i].row_count;
	p.w = w;
	p.span_ends = span_ends;
	p.row_bytes = (size_t)m->columns / chip_type_block_values(m->type) *
		chip_type_block_bytes(m->type);
	cpu_pool_run(cpu->pool, &p.job);
	*out = &w->base;
	w = NULL;
done:
	mem_free(span_ends);
	mem_free(w);
	return err;
}

void cpu_weight_close(struct chip *chip, struct chip_weight *weight)
{
	struct cpu_weight *w = (struct cpu_weight *)weight;

	cpu_release((struct cpu_chip *)chip, w->panels, w->base.read_bytes);
	mem_free(w);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static float plain_value(const struct cpu_weight *w, const uint8_t *panel, uint32_t lane, size_t k)
{
	const size_t at = plain_at(w, lane, k);

	if (w->base.type == CHIP_F32)
		return ((const float *)(const void *)panel)[at];
	const uint16_t half = ((const uint16_t *)(const void *)panel)[at];

	return w->base.type == CHIP_F16 ? math_f32_from_f16(half) : math_f32_from_bf16(half);
}

static void block_values(const struct cpu_weight *w, const uint8_t *panel, uint32_t lane,
	size_t block, float *out)
{
	const bool four_bits = w->base.type == CHIP_Q4_0;
	const size_t groups = four_bits ? CPU_BLOCK / 8 : CPU_BLOCK / 4;
	const uint16_t half = ((const uint16_t *)(const void *)panel)[block * w->lanes + lane];
	const float scale = math_f32_from_f16(half);

	for (size_t g = 0; g < groups; g++)
		for (size_t c = 0; c < 4; c++) {
			const uint8_t byte = panel[w->scales_bytes +
				((block * groups + g) * w->lanes + lane) * GROUP_BYTES + c];

			if (four_bits) {
				out[4 * g + c] = scale * (float)((byte & 15) - 8);
				out[16 + 4 * g + c] = scale * (float)((byte >> 4) - 8);
			} else {
				out[4 * g + c] = scale * (float)(int8_t)byte;
			}
		}
}

void cpu_weight_row(const struct cpu_weight *w, uint32_t row, float *out)
{
	assert(row < w->base.rows);
	const uint8_t *panel = w->panels + row / w->lanes * w->panel_bytes;
	const uint32_t lane = row % w->lanes;

	if (is_block_type(w->base.type)) {
		for (size_t b = 0; b < w->base.columns / CPU_BLOCK; b++)
			block_values(w, panel, lane, b, out + b * CPU_BLOCK);
	} else {
		for (size_t k = 0; k < w->base.columns; k++)
			out[k] = plain_value(w, panel, lane, k);
	}
}

/* ---- vectors --------------------------------------------------------------------------------- */

enum err cpu_vector_open(struct chip *chip, struct chip_vector **out, const float *values,
	size_t count, struct err_info *info)
{
	struct cpu_vector *v = mem_alloc(1, sizeof(*v));

	if (!v)
		return err_set(info, ERR_MEMORY, "no memory for a vector");
	v->base.count = count;
	const enum err err = cpu_reserve((struct cpu_chip *)chip, (void **)&v->values,
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

	cpu_release((struct cpu_chip *)chip, v->values, (int64_t)(v->base.count * sizeof(float)));
	mem_free(v);
}
