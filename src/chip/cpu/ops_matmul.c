/* chip/cpu/ops_matmul.c - matrices: inputs are prepared once, then shares take panels of outputs
 * for all rows, or for all rows of an expert. */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "chip/cpu/ops.h"

/* of packed weights: long enough to stream, short enough to share */
#define MATMUL_SHARE_BYTES  65536
/* that kernels take together, to hide the latency of one sum behind others */
#define MATMUL_SHARE_PANELS 4

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Where this worker's inputs of these matrices are. */
static const struct cpu_inputs *inputs_of(const struct run *r, const struct chip_op *op)
{
	if (r->worker->index > 0 && is_alone(r, op))
		return &r->program->own[r->worker->index].inputs;
	return &r->program->inputs[fusion_of(r, op)->inputs];
}

static void make_halves(const struct cpu_kernels *kernels, const float *in, uint32_t width,
	uint32_t first, uint32_t count, uint16_t *out)
{
	kernels->bf16_from_f32(in + first, out + first, count);
	if (width % 2 && first + count == width)
		out[width] = 0;
}

void cpu_make_inputs(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t first,
	uint32_t count)
{
	const struct cpu_fusion *f = fusion_of(r, op);
	const struct cpu_inputs *to = inputs_of(r, op);
	const uint32_t width = columns(r, op->u.matmul.in);
	const float *in = input_row(r, op, row);
	const size_t at = (size_t)row * width + first;

	assert(!f->blocks || first % f->unit == 0);
	if (f->blocks)
		r->kernels->quantize(in + first, count, f->unit, to->values + at,
			to->blocks + at / CPU_BLOCK);
	if (f->halves)
		make_halves(r->kernels, in, width, first, count,
			to->halves + row * (((size_t)width + 1) / 2 * 2));
}

void cpu_copy_inputs(const struct run *r, const struct chip_op *op, uint32_t from, uint32_t to)
{
	const struct cpu_fusion *f = fusion_of(r, op);
	const struct cpu_inputs *in = inputs_of(r, op);
	const size_t width = columns(r, op->u.matmul.in), even = (width + 1) / 2 * 2;
	const size_t blocks = width / CPU_BLOCK;

	if (f->blocks) {
		memcpy(in->values + to * width, in->values + from * width, width);
		memcpy(in->blocks + to * blocks, in->blocks + from * blocks,
			blocks * sizeof(*in->blocks));
	}
	if (f->halves)
		memcpy(in->halves + to * even, in->halves + from * even,
			even * sizeof(*in->halves));
}

static void make_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	cpu_make_inputs(r, op, row, 0, columns(r, op->u.matmul.in));
}

/* ---- shares ---------------------------------------------------------------------------------- */

/* Panels of one share: about MATMUL_SHARE_BYTES, and four shares for each thread if there are as
 * many; but no fewer than kernels take together as long as each thread gets two shares. */
static uint32_t share_panels(const struct run *r, const struct cpu_weight *w)
{
	const uint32_t by_size = (uint32_t)(MATMUL_SHARE_BYTES / w->panel_bytes);
	const uint32_t by_threads = w->part_panels / (r->program->threads * 4);
	const uint32_t panels =
		math_min_u32(by_size, by_threads) / MATMUL_SHARE_PANELS * MATMUL_SHARE_PANELS;
	const uint32_t least = math_min_u32(w->part_panels / (r->program->threads * 2),
		MATMUL_SHARE_PANELS);

	return panels ? panels : least ? least : 1;
}

static enum chip_phase matmul_phase(const struct run *r, const struct chip_op *op)
{
	return space_of(r, op->u.matmul.in) == CHIP_WANTED ? CHIP_PHASE_HEAD
		: (enum chip_phase)CHIP_OP_MATMUL;
}

/* Rows that one part of a matrix multiplies: all there are, or those of an expert. */
struct portion {
	uint32_t part, first_row, row_count;
};

static bool is_routed(const struct run *r, const struct chip_op *op)
{
	return space_of(r, op->u.matmul.in) == CHIP_ROUTED;
}

static struct portion portion_of(const struct run *r, const struct chip_op *op, uint32_t index)
{
	const struct cpu_route *route = &r->program->route;

	if (!is_routed(r, op))
		return (struct portion){.row_count = rows(r, op->u.matmul.in)};
	const uint32_t expert = route->active[index], first = route->first[expert];

	return (struct portion){expert, first, route->first[expert + 1] - first};
}

/* To outputs [first, end) of all rows. */
static void add_bias(const struct run *r, const struct chip_op *op, uint32_t matrix,
	uint32_t first, uint32_t end)
{
	const uint32_t out = op->u.matmul.out[matrix];
	const float *bias = values(op->u.matmul.bias[matrix]);

	for (uint32_t row = 0; row < rows(r, out); row++)
		r->kernels->add(row_of(r, out, row) + first, bias + first, end - first);
}

/* Outputs [first, end) of one matrix for the rows of a portion. */
static void multiply(const struct run *r, const struct chip_op *op, uint32_t matrix,
	struct portion portion, uint32_t first, uint32_t end)
{
	const struct cpu_program *p = r->program;
	const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[matrix];
	const struct cpu_inputs *inputs = inputs_of(r, op);
	const uint32_t width = w->base.columns;
	const size_t row = portion.first_row, block = row * (width / CPU_BLOCK);
	const struct cpu_input in = {
		.rows = input_row(r, op, portion.first_row),
		.stride = width,
		.values = inputs->values + row * width,
		.blocks = inputs->blocks + block,
		.halves = inputs->halves + row * (((size_t)width + 1) / 2 * 2),
	};

	cpu_weight_multiply(r->kernels, w, portion.part, &in, portion.row_count,
		row_of(r, op->u.matmul.out[matrix], portion.first_row), w->part_rows, first, end,
		p->decoded + r->worker->index * p->decoded_floats);
	if (op->u.matmul.bias[matrix])
		add_bias(r, op, matrix, first * w->lanes,
			math_min_u32(end * w->lanes, w->part_rows));
}

/* ---- what is done with the outputs while they are near --------------------------------------- */

/* NaN where a logit is not finite. */
static void find_maxima(const struct run *r, const struct chip_op *sample, uint32_t row,
	uint32_t first, uint32_t count)
{
	const uint32_t vocab = sample->u.sample.vocab;
	float *maxima = r->program->maxima + (size_t)row * cpu_maxima_count(vocab) +
		first / CPU_MAXIMA;

	if (first >= vocab)
		return;   /* padding */
	if (!r->kernels->maxima(row_of(r, sample->u.sample.logits, row) + first,
		    math_min_u32(count, vocab - first), maxima))
		maxima[0] = __builtin_nanf("");
}

/* Outputs [first, first + count) of one row: what is behind them is done with them. */
static void follow_row(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t first,
	uint32_t count)
{
	const struct cpu_fusion *f = fusion_of(r, op);

	if (f->sum != CHIP_NONE)
		r->kernels->add(row_of(r, f->sum, row) + first,
			row_of(r, op->u.matmul.out[0], row) + first, count);
	if (f->maxima)
		find_maxima(r, op + 1, row, first, count);
	if (f->gated) {
		const struct chip_op *swiglu = op + 1;

		r->kernels->swiglu(row_of(r, swiglu->u.swiglu.gate, row) + first,
			row_of(r, swiglu->u.swiglu.up, row) + first,
			made_row(r, swiglu, row) + first, count);
		cpu_makes_inputs(r, op, row, first, count);
	}
}

static void follow(const struct run *r, const struct chip_op *op, const struct cpu_weight *w,
	struct portion portion, uint32_t first_panel, uint32_t end_panel)
{
	const struct cpu_fusion *f = fusion_of(r, op);
	const uint32_t first = first_panel * w->lanes;
	const uint32_t end = math_min_u32(end_panel * w->lanes, w->part_rows);
	const enum chip_phase phase = matmul_phase(r, op);

	cpu_phase(r, (enum chip_phase)(f->gated ? CHIP_OP_SWIGLU
		: f->maxima ? CHIP_OP_SAMPLE : CHIP_OP_ADD));
	for (uint32_t i = 0; i < portion.row_count; i++)
		follow_row(r, op, portion.first_row + i, first, end - first);
	cpu_phase(r, phase);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A matrix, or gate and up together, in shares of so many panels. */
struct lot {
	uint32_t matrix, matrices;
	uint32_t panels;
	uint32_t shares;            /* of a part */
};

/* Columns of what a swiglu behind matrices makes that become inputs together. */
static uint32_t behind_unit(const struct run *r, const struct chip_op *op)
{
	const struct cpu_fusion *f = fusion_of(r, op);

	return f->makes_inputs ? fusion_of(r, op + f->followers + 1)->unit : CPU_BLOCK;
}

static struct lot lot_of(const struct run *r, const struct chip_op *op, uint32_t matrix)
{
	const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[matrix];
	const bool joined = is_joined(r, op->u.matmul.in);
	const bool both = fusion_of(r, op)->gated && joined && matrix + 2 == op->u.matmul.count;
	const bool maxima = fusion_of(r, op)->maxima && joined;
	uint32_t panels = share_panels(r, w);

	if (both || maxima) {
		const uint32_t unit = (maxima ? CPU_MAXIMA : behind_unit(r, op)) / w->lanes;

		panels = math_divide_up_u32(panels, unit) * unit;
	}
	return (struct lot){matrix, both ? 2 : 1, panels,
		math_divide_up_u32(w->part_panels, panels)};
}

static void lot_share(const struct run *r, const struct chip_op *op, const struct lot *lot,
	struct portion portion, uint32_t share)
{
	const struct cpu_fusion *f = fusion_of(r, op);
	const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[lot->matrix];
	const uint32_t first = share * lot->panels;
	const uint32_t end = math_min_u32(first + lot->panels, w->part_panels);

	for (uint32_t i = 0; i < lot->matrices; i++)
		multiply(r, op, lot->matrix + i, portion, first, end);
	if (lot->matrices == 2 ||
	    ((f->sum != CHIP_NONE || f->maxima) && is_joined(r, op->u.matmul.in)))
		follow(r, op, w, portion, first, end);
}

/* The lots of an operation. Shares of each home are [lots][portions][count]. */
struct lots {
	struct lot lots[CHIP_MATRICES_MAX];
	uint32_t portions;
	uint32_t first[CPU_HOMES_MAX][CHIP_MATRICES_MAX];   /* share of a part that is the home's */
	uint32_t count[CPU_HOMES_MAX][CHIP_MATRICES_MAX];
	uint32_t items[CPU_HOMES_MAX];
};

static void find_lots(const struct run *r, const struct chip_op *op, struct lots *l)
{
	const struct cpu_pool *pool = r->worker->pool;
	uint32_t lots = 0;

	l->portions = is_routed(r, op) ? r->program->route.active_count : 1;
	for (uint32_t at = 0; at < op->u.matmul.count; at += l->lots[lots++].matrices)
		l->lots[lots] = lot_of(r, op, at);
	for (uint32_t home = 0; home < cpu_homes(pool); home++) {
		l->items[home] = 0;
		for (uint32_t i = 0; i < lots; i++) {
			l->count[home][i] = cpu_home_items(pool, home, l->lots[i].shares,
				&l->first[home][i]);
			l->items[home] += l->portions * l->count[home][i];
		}
	}
}

static void run_item(const struct run *r, const struct chip_op *op, const struct lots *l,
	uint32_t home, uint32_t item)
{
	const uint32_t *count = l->count[home];
	uint32_t lot = 0;

	while (item >= l->portions * count[lot])
		item -= l->portions * count[lot++];
	lot_share(r, op, &l->lots[lot], portion_of(r, op, item / count[lot]),
		l->first[home][lot] + item % count[lot]);
}

void cpu_run_matmul(const struct run *r, const struct chip_op *op)
{
	const struct cpu_fusion *f = fusion_of(r, op);
	struct lots lots;
	uint32_t home, first, end;

	if ((f->blocks || f->halves) && !f->has_inputs) {
		cpu_phase(r, CHIP_PHASE_INPUTS);
		cpu_each_row(r, op, rows(r, op->u.matmul.in), make_row);
		cpu_meet(r);
	}
	cpu_phase(r, matmul_phase(r, op));
	find_lots(r, op, &lots);
	while (cpu_share_home(r->worker, lots.items, &home, &first, &end))
		for (uint32_t item = first; item < end; item++)
			run_item(r, op, &lots, home, item);
}
