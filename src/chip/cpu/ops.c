/* chip/cpu/ops.c - runs a step: every worker goes through all operations and takes
 * its shares of each, or of several together (fuse.c).
 *
 * What is split, operation by operation, so that no share depends on another:
 *
 *	rows                  embed norm norm_gate add gather route, making inputs, angles
 *	panels of outputs     matmul: a share does its panels for all rows, or all of an expert
 *	rows x column parts   swiglu combine
 *	stretches of rows x key heads      qk_rope
 *	tiles x key heads     attend; x spans where these are few
 *	sequences x key heads conv, delta and norm_gate together (ops_delta.c), or
 *	sequences x channel parts          conv
 *	sequences x heads x column parts   delta
 *	sequences             sample
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/math.h"
#include "chip/check.h"
#include "chip/cpu/ops.h"

/* ---- row by row ------------------------------------------------------------------------------ */

static void embed_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_weight *table = (const struct cpu_weight *)op->u.embed.table;
	const struct chip_row *from = &r->step->rows[row];
	float *out = row_of(r, op->u.embed.out, row);

	if (from->input == CHIP_INPUT_EMBEDDING) {
		const size_t width = r->program->embedding_columns;

		memcpy(out, r->step->embeddings + from->value * width, width * sizeof(float));
		return;
	}
	const uint32_t slot = r->step->sequences[from->sequence].slot;
	const uint32_t last = r->cache->slots[slot].last;

	cpu_weight_row(table, from->input == CHIP_INPUT_TOKEN ? from->value : last, out);
}

static void norm_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t residual = op->u.norm.residual, add = op->u.norm.add;
	const bool done = fusion_of(r, op)->added && is_joined(r, residual);
	const float *added = add == CHIP_NONE || done ? NULL : row_of(r, add, row);

	r->kernels->rms_norm(row_of(r, residual, row), added, values(op->u.norm.weight),
		op->u.norm.eps, columns(r, residual), made_row(r, op, row));
}

static void norm_gate_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t head_dim = op->u.norm_gate.head_dim;
	const float *in = row_of(r, op->u.norm_gate.in, row);
	const float *gate = row_of(r, op->u.norm_gate.gate, row);
	float *out = row_of(r, op->u.norm_gate.out, row);

	for (uint32_t at = 0; at < columns(r, op->u.norm_gate.in); at += head_dim)
		r->kernels->rms_norm_gate(in + at, gate + at, values(op->u.norm_gate.weight),
			op->u.norm_gate.eps, head_dim, out + at);
}

static void add_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	r->kernels->add(row_of(r, op->u.add.out, row), row_of(r, op->u.add.in, row),
		columns(r, op->u.add.in));
}

static void gather_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	memcpy(row_of(r, op->u.gather.out, row), row_of(r, op->u.gather.in, r->step->wanted[row]),
		columns(r, op->u.gather.in) * sizeof(float));
}

static void row_alone(const struct run *r, const struct chip_op *op, uint32_t row)
{
	switch ((int)op->kind) {
	case CHIP_OP_EMBED:
		embed_row(r, op, row);
		break;
	case CHIP_OP_NORM:
		norm_row(r, op, row);
		break;
	case CHIP_OP_NORM_GATE:
		norm_gate_row(r, op, row);
		break;
	case CHIP_OP_ADD:
		add_row(r, op, row);
		break;
	case CHIP_OP_GATHER:
		gather_row(r, op, row);
		break;
	default:
		assert(false);
	}
}

void cpu_each_row(const struct run *r, const struct chip_op *op, uint32_t count,
	void (*one)(const struct run *r, const struct chip_op *op, uint32_t row))
{
	uint32_t first, end;

	while (cpu_share(r->worker, count, &first, &end))
		for (uint32_t row = first; row < end; row++)
			one(r, op, row);
}

/* A row of an operation, of its followers, and the inputs made of it. */
static void rows_together(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t followers = fusion_of(r, op)->followers;

	for (uint32_t i = 0; i <= followers; i++)
		row_alone(r, &op[i], row);
	cpu_makes_inputs(r, op, row, 0, columns(r, chip_op_result(&op[followers])));
}

/* Few rows: each worker norms all of them for itself, the first one for whoever else reads them. */
static void norm_alone(const struct run *r, const struct chip_op *op)
{
	const uint32_t residual = op->u.norm.residual, width = columns(r, residual);

	for (uint32_t row = 0; row < rows(r, residual); row++) {
		r->kernels->rms_norm(row_of(r, residual, row), NULL, values(op->u.norm.weight),
			op->u.norm.eps, width, input_row(r, op + 1, row));
		cpu_makes_inputs(r, op, row, 0, width);
	}
}

static void run_swiglu(const struct run *r, const struct chip_op *op)
{
	const uint32_t width = columns(r, op->u.swiglu.out);
	const uint32_t parts = math_divide_up_u32(width, CPU_COLUMN_PART);
	uint32_t first, end;

	while (cpu_share(r->worker, rows(r, op->u.swiglu.out) * parts, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const uint32_t row = item / parts, at = item % parts * CPU_COLUMN_PART;
			const uint32_t count = width - at < CPU_COLUMN_PART ? width - at
				: CPU_COLUMN_PART;

			r->kernels->swiglu(row_of(r, op->u.swiglu.gate, row) + at,
				row_of(r, op->u.swiglu.up, row) + at,
				made_row(r, op, row) + at, count);
			cpu_makes_inputs(r, op, row, at, count);
		}
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* Of the logits of a wanted row, where the output layer made them. */
static const float *made_maxima(const struct run *r, const struct chip_op *op, uint32_t row)
{
	if (!fusion_of(r, op - 1)->maxima || !is_joined(r, op->u.sample.logits))
		return NULL;
	return r->program->maxima + (size_t)row * cpu_maxima_count(op->u.sample.vocab);
}

/* The wanted rows of one sequence in order: a token counts for the next one's penalties. */
static void sample_sequence(const struct run *r, const struct chip_op *op, uint32_t sequence)
{
	struct cpu_step *step = r->step;
	const struct chip_sequence *s = &step->sequences[sequence];
	const uint32_t vocab = r->cache->base.layout.vocab;
	struct cpu_slot *slot = &r->cache->slots[s->slot];
	uint16_t *counts = r->cache->counts + (size_t)s->slot * vocab;

	for (uint32_t i = step->first_wanted[sequence]; i < step->first_wanted[sequence + 1]; i++) {
		const uint32_t row = step->wanted[i];
		const struct cpu_choice choice = {
			.slot = slot,
			.counts = counts,
			.mask = s->mask,
			.logits = row_of(r, op->u.sample.logits, i),
			.maxima = made_maxima(r, op, i),
			.vocab = op->u.sample.vocab,
			.position = step->tokens_before[row] + 1,
			.forced = s->forced ? s->forced_token : CHIP_NONE,
		};
		bool finite = true;

		step->logprobs[i] = (struct chip_logprobs){0};
		if (step->rows[row].want != CHIP_WANT_TOKEN)
			continue;
		step->tokens[i] = cpu_sample(r->kernels, &r->program->samplers[r->worker->index],
			&choice, &step->logprobs[i], &finite);
		if (!finite)
			step->not_finite = true;
		if (step->tokens[i] != CHIP_NONE)
			cpu_slot_count(slot, counts, vocab, step->tokens[i]);
	}
}

static void run_sample(const struct run *r, const struct chip_op *op)
{
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->sequence_count, &first, &end))
		for (uint32_t sequence = first; sequence < end; sequence++)
			sample_sequence(r, op, sequence);
}

/* ---- the step -------------------------------------------------------------------------------- */

void cpu_clock_turn(struct cpu_clock *c, enum chip_phase phase)
{
	const int64_t now_ns = clock_monotonic_ns();

	c->profile->phases[c->phase].work_ns += now_ns - c->since_ns;
	c->since_ns = now_ns;
	c->phase = phase;
}

void cpu_meet(const struct run *r)
{
	struct cpu_clock *c = r->clock;

	if (!c) {
		cpu_barrier(r->worker);
		return;
	}
	struct chip_phase_times *times = &c->profile->phases[c->phase];
	const int64_t done_ns = clock_monotonic_ns();

	cpu_barrier(r->worker);
	const int64_t met_ns = clock_monotonic_ns();

	times->work_ns += done_ns - c->since_ns;
	times->wait_ns += met_ns - done_ns;
	times->barriers++;
	c->since_ns = met_ns;
}

static void rope_row(const struct run *r, const struct chip_op *unused, uint32_t row)
{
	(void)unused;
	for (uint32_t i = 0; i < r->program->rope_count; i++) {
		const struct cpu_rope *rope = &r->program->ropes[i];
		const float *frequencies = values(rope->frequencies);
		const double position = (double)r->step->rows[row].position[0];

		for (uint32_t j = 0; j < rope->pairs; j++) {
			double sine, cosine;

			math_sincos(position * (double)frequencies[j], &sine, &cosine);
			rope->cosines[(size_t)row * rope->pairs + j] = (float)cosine * rope->factor;
			rope->sines[(size_t)row * rope->pairs + j] = (float)sine * rope->factor;
		}
	}
}

static void run_op(const struct run *r, const struct chip_op *op, uint32_t index)
{
	switch (op->kind) {
	case CHIP_OP_EMBED:
	case CHIP_OP_NORM_GATE:
	case CHIP_OP_ADD:
		cpu_each_row(r, op, rows(r, chip_op_result(op)), rows_together);
		break;
	case CHIP_OP_NORM:
		if (is_alone(r, op))
			norm_alone(r, op);
		else
			cpu_each_row(r, op, rows(r, op->u.norm.out), rows_together);
		break;
	case CHIP_OP_MATMUL:
		cpu_run_matmul(r, op);
		break;
	case CHIP_OP_SWIGLU:
		run_swiglu(r, op);
		break;
	case CHIP_OP_QK_ROPE:
		cpu_run_qk_rope(r, op, &r->program->ropes[r->program->op_rope[index]]);
		break;
	case CHIP_OP_ATTEND:
		cpu_run_attend(r, op);
		break;
	case CHIP_OP_CONV:
		cpu_run_conv(r, op);
		break;
	case CHIP_OP_DELTA:
		cpu_run_delta(r, op);
		break;
	case CHIP_OP_GATHER:
		if (space_of(r, op->u.gather.out) == CHIP_ROUTED)
			cpu_run_spread(r, op);
		else
			cpu_each_row(r, op, r->step->wanted_count, rows_together);
		break;
	case CHIP_OP_ROUTE:
		cpu_run_route(r, op);
		break;
	case CHIP_OP_COMBINE:
		cpu_run_combine(r, op);
		break;
	case CHIP_OP_SAMPLE:
		run_sample(r, op);
		break;
	}
}

/* It is done in the shares of an operation before. */
static bool follows(const struct run *r, const struct chip_op *op)
{
	const struct cpu_fusion *f = fusion_of(r, op);

	if (!f->follows)
		return false;
	if (f->heads)
		return is_by_heads(r, op);
	switch ((int)op[-1].kind) {
	case CHIP_OP_MATMUL:
		return is_joined(r, op[-1].u.matmul.in);
	case CHIP_OP_COMBINE:
		return is_joined(r, op[-1].u.combine.out);
	case CHIP_OP_ROUTE:
		return is_routed_at_once(r);
	default:
		return true;
	}
}

/* Nobody goes on until the first worker has shown the result. */
static void observe(const struct run *r, const struct chip_op *op)
{
	const struct chip_observer *observer = &r->step->observer;
	const uint32_t result = chip_op_result(op);

	if (!observer->see || !op->tap || result == CHIP_NONE)
		return;
	if (r->worker->index == 0)
		observer->see(observer->context, op->tap, op->tap_layer, buffer(r, result),
			rows(r, result), columns(r, result));
	cpu_barrier(r->worker);
}

void cpu_step_run(struct cpu_job *job, struct cpu_worker *worker)
{
	struct cpu_step *step = (struct cpu_step *)job;
	struct cpu_program *program = step->program;
	struct cpu_clock clock = {.profile = &program->chip->profile};
	const struct run r = {
		.kernels = &program->chip->kernels,
		.program = program,
		.step = step,
		.cache = step->cache,
		.worker = worker,
		.clock = program->chip->profiled && worker->index == 0 ? &clock : NULL,
	};

	if (r.clock)
		clock.since_ns = clock_monotonic_ns();
	if (program->rope_count) {
		cpu_phase(&r, CHIP_PHASE_ANGLES);
		cpu_each_row(&r, NULL, step->row_count, rope_row);
		cpu_meet(&r);
	}
	for (uint32_t i = 0; i < program->base.desc.op_count; i++) {
		const struct chip_op *op = &program->ops[i];
		const uint32_t result = chip_op_result(op);

		if (step->wanted_count == 0 && (result == CHIP_NONE ||
			    program->base.desc.buffers[result].space == CHIP_WANTED))
			continue;   /* nothing is wanted: the output layer is not read */
		if (!follows(&r, op)) {
			cpu_phase(&r, (enum chip_phase)op->kind);
			run_op(&r, op, i);
			if (!(op->kind == CHIP_OP_NORM && is_alone(&r, op)))
				cpu_meet(&r);
		}
		observe(&r, op);
	}
}
