/* chip/cpu/ops_matmul.c - matrices: inputs are prepared once, then shares take panels of outputs
 * for all rows, or for all rows of an expert. */
#include "base/math.h"
#include "chip/cpu/ops.h"

/* of packed weights: long enough to stream, short enough to share */
#define MATMUL_SHARE_BYTES  65536
/* that kernels take together, to hide the latency of one sum behind others */
#define MATMUL_SHARE_PANELS 4

static void prepare_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_program *p = r->program;
	const uint32_t width = columns(r, op->u.matmul.in);
	const size_t even = ((size_t)width + 1) / 2 * 2;
	const float *in = row_of(r, op->u.matmul.in, row);
	bool blocks = false, halves = false;

	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		blocks = blocks || w->blocks;
		halves = halves || w->halves;
	}
	if (blocks) {
		const size_t block = (size_t)row * (width / CPU_BLOCK);

		r->kernels->quantize(in, width, p->input_values + (size_t)row * width,
			p->input_blocks + block);
	}
	for (uint32_t k = 0; halves && k < even; k++)
		p->input_halves[row * even + k] = k < width ? math_bf16_from_f32(in[k]) : 0;
}

static bool needs_preparing(const struct chip_op *op)
{
	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		if (w->halves || w->blocks)
			return true;
	}
	return false;
}

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

static void matmul_share(const struct run *r, const struct chip_op *op, uint32_t matrix,
	struct portion portion, uint32_t share)
{
	const struct cpu_program *p = r->program;
	const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[matrix];
	const uint32_t panels = share_panels(r, w), width = w->base.columns;
	const uint32_t first = share * panels;
	const uint32_t end = w->part_panels - first < panels ? w->part_panels : first + panels;
	const size_t row = portion.first_row, block = row * (width / CPU_BLOCK);
	const struct cpu_input in = {
		.rows = row_of(r, op->u.matmul.in, portion.first_row),
		.stride = width,
		.values = p->input_values + row * width,
		.blocks = p->input_blocks + block,
		.halves = p->input_halves + row * (((size_t)width + 1) / 2 * 2),
	};

	cpu_weight_multiply(r->kernels, w, portion.part, &in, portion.row_count,
		row_of(r, op->u.matmul.out[matrix], portion.first_row), w->part_rows, first, end,
		p->decoded + r->worker->index * p->decoded_floats);
	if (op->u.matmul.bias[matrix])
		add_bias(r, op, matrix, first * w->lanes,
			math_min_u32(end * w->lanes, w->part_rows));
}

/* Shares of a matrix are [portions][shares of a part]. */
void cpu_run_matmul(const struct run *r, const struct chip_op *op)
{
	const uint32_t portions = is_routed(r, op) ? r->program->route.active_count : 1;
	uint32_t shares[CHIP_MATRICES_MAX];
	uint32_t total = 0, first, end;

	if (needs_preparing(op)) {
		cpu_phase(r, CHIP_PHASE_INPUTS);
		cpu_each_row(r, op, rows(r, op->u.matmul.in), prepare_row);
		cpu_meet(r);
	}
	cpu_phase(r, space_of(r, op->u.matmul.in) == CHIP_WANTED ? CHIP_PHASE_HEAD
		: (enum chip_phase)CHIP_OP_MATMUL);
	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		shares[i] = divide_up(w->part_panels, share_panels(r, w));
		total += portions * shares[i];
	}
	while (cpu_share(r->worker, total, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			uint32_t matrix = 0, share = item;

			while (share >= portions * shares[matrix])
				share -= portions * shares[matrix++];
			matmul_share(r, op, matrix, portion_of(r, op, share / shares[matrix]),
				share % shares[matrix]);
		}
}
