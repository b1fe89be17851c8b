/* chip/cpu/ops_delta.c - what is left of a sequence in states: short convolutions and DeltaNet.
 *
 * In one of two ways, with the same bits:
 *
 *	head by head    a share is a key head of a sequence, with the value heads that use it:
 *	                convolution, gates, state, norm, some rows at a time that stay in the
 *	                second-level cache, and no barrier between them
 *	part by part    where heads are too few for the threads: operation by operation, shares are
 *	                channels, rows, and parts of a head's state
 */
#include <string.h>

#include "base/math.h"
#include "chip/cpu/ops.h"

/* Rows of one sequence, counted from its first one in the step. */
struct stretch {
	uint32_t sequence;
	uint32_t first, count;
};

static struct stretch whole(const struct run *r, uint32_t sequence)
{
	return (struct stretch){sequence, 0, r->step->sequences[sequence].row_count};
}

/* Of the step. */
static uint32_t first_row(const struct run *r, struct stretch s)
{
	return r->step->first_rows[s.sequence] + s.first;
}

/* The state that it begins with, or CHIP_NONE. */
static uint32_t state_before(const struct run *r, struct stretch s)
{
	const struct chip_sequence *q = &r->step->sequences[s.sequence];

	return s.first > 0 ? q->state_write : q->state_read;
}

/* ---- convolution ----------------------------------------------------------------------------- */

static void conv_channels(const struct run *r, const struct chip_op *op, struct stretch s,
	uint32_t first, uint32_t count, float *out, size_t out_stride)
{
	const struct chip_cache_layout *l = &r->cache->base.layout;
	const uint32_t before = state_before(r, s);
	struct cpu_conv c = {
		.state_in = before == CHIP_NONE ? NULL
			: cpu_cache_conv(r->cache, before, op->u.conv.layer),
		.state_out = cpu_cache_conv(r->cache,
			r->step->sequences[s.sequence].state_write, op->u.conv.layer),
		.taps = r->program->op_taps[op - r->program->ops],
		.channels = l->conv_channels,
		.width = l->conv_width,
		.rows = s.count,
		.in = row_of(r, op->u.conv.data, first_row(r, s)),
		.in_stride = l->conv_channels,
		.out_stride = out_stride,
	};

	for (uint32_t at = 0; at < count; at += CPU_COLUMN_PART) {
		c.first = first + at;
		c.count = math_min_u32(count - at, CPU_COLUMN_PART);
		c.out = out + at;
		r->kernels->conv(&c);
	}
}

static void conv_parts(const struct run *r, const struct chip_op *op)
{
	const uint32_t channels = r->cache->base.layout.conv_channels;
	const uint32_t parts = math_divide_up_u32(channels, CPU_COLUMN_PART);
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->sequence_count * parts, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const struct stretch s = whole(r, item / parts);
			const uint32_t at = item % parts * CPU_COLUMN_PART;

			conv_channels(r, op, s, at, math_min_u32(channels - at, CPU_COLUMN_PART),
				row_of(r, op->u.conv.data, first_row(r, s)) + at, channels);
		}
}

/* ---- DeltaNet -------------------------------------------------------------------------------- */

/* Of a stretch's first row, for one head. */
struct prepared {
	const float *q, *k;         /* unit vectors */
	size_t stride;
	const float *decay, *beta;
	size_t gate_stride;
	const float *v;
	size_t v_stride;
	float *out;
	size_t out_stride;
};

static void unit_q(const struct run *r, const float *in, uint32_t k_dim, float *q)
{
	r->kernels->l2_norm(in, CHIP_DELTA_EPS, 1.0F / math_sqrtf((float)k_dim), k_dim, q);
}

static void unit_k(const struct run *r, const float *in, uint32_t k_dim, float *k)
{
	r->kernels->l2_norm(in, CHIP_DELTA_EPS, 1.0F, k_dim, k);
}

/* One part of a head's state. */
static void delta_part(const struct run *r, const struct chip_op *op, struct stretch s,
	uint32_t head, uint32_t first, const struct prepared *in)
{
	const uint32_t k_dim = op->u.delta.k_dim, v_dim = op->u.delta.v_dim;
	const uint32_t before = state_before(r, s), layer = op->u.delta.layer;
	const uint32_t after = r->step->sequences[s.sequence].state_write;
	const size_t state = head * cpu_delta_head_floats(k_dim, v_dim) +
		first / CPU_DELTA_COLUMNS * cpu_delta_part_floats(k_dim, CPU_DELTA_COLUMNS);
	const struct cpu_delta d = {
		.state_in = before == CHIP_NONE ? NULL
			: cpu_cache_delta(r->cache, before, layer) + state,
		.state_out = cpu_cache_delta(r->cache, after, layer) + state,
		.k_dim = k_dim,
		.count = math_min_u32(v_dim - first, CPU_DELTA_COLUMNS),
		.rows = s.count,
		.q = in->q,
		.k = in->k,
		.qk_stride = in->stride,
		.v = in->v + first,
		.v_stride = in->v_stride,
		.decay = in->decay,
		.beta = in->beta,
		.gate_stride = in->gate_stride,
		.out = in->out + first,
		.out_stride = in->out_stride,
	};

	r->kernels->delta(&d);
}

/* ---- part by part ---------------------------------------------------------------------------- */

/* What all parts of a state need of a row. */
static void prepare_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_program *p = r->program;
	const uint32_t k_dim = op->u.delta.k_dim, v_heads = op->u.delta.v_heads;
	const size_t width = (size_t)op->u.delta.k_heads * k_dim;
	const float *qkv = row_of(r, op->u.delta.qkv, row);

	for (size_t at = 0; at < width; at += k_dim) {
		unit_q(r, qkv + at, k_dim, p->delta_q + row * width + at);
		unit_k(r, qkv + width + at, k_dim, p->delta_k + row * width + at);
	}
	r->kernels->delta_gates(row_of(r, op->u.delta.a, row), row_of(r, op->u.delta.b, row),
		values(op->u.delta.decay), values(op->u.delta.dt_bias), v_heads,
		p->delta_decay + (size_t)row * v_heads, p->delta_beta + (size_t)row * v_heads);
}

static void delta_item(const struct run *r, const struct chip_op *op, uint32_t sequence,
	uint32_t head, uint32_t first)
{
	const struct cpu_program *p = r->program;
	const struct stretch s = whole(r, sequence);
	const uint32_t row = first_row(r, s);
	const uint32_t k_heads = op->u.delta.k_heads, v_heads = op->u.delta.v_heads;
	const size_t width = (size_t)k_heads * op->u.delta.k_dim;
	const size_t k_head = op->u.delta.tiled ? head % k_heads : head / (v_heads / k_heads);
	const size_t at = row * width + k_head * op->u.delta.k_dim;
	const size_t gate = (size_t)row * v_heads + head, column = (size_t)head * op->u.delta.v_dim;

	delta_part(r, op, s, head, first, &(struct prepared){
		.q = p->delta_q + at, .k = p->delta_k + at, .stride = width,
		.decay = p->delta_decay + gate, .beta = p->delta_beta + gate,
		.gate_stride = v_heads,
		.v = row_of(r, op->u.delta.qkv, row) + 2 * width + column,
		.v_stride = columns(r, op->u.delta.qkv),
		.out = row_of(r, op->u.delta.out, row) + column,
		.out_stride = columns(r, op->u.delta.out)});
}

void cpu_run_delta(const struct run *r, const struct chip_op *op)
{
	const uint32_t parts = math_divide_up_u32(op->u.delta.v_dim, CPU_DELTA_COLUMNS);
	const uint32_t per_sequence = parts * op->u.delta.v_heads;
	uint32_t first, end;

	cpu_each_row(r, op, r->step->row_count, prepare_row);
	cpu_meet(r);
	while (cpu_share(r->worker, r->step->sequence_count * per_sequence, &first, &end))
		for (uint32_t item = first; item < end; item++)
			delta_item(r, op, item / per_sequence, item % per_sequence / parts,
				item % parts * CPU_DELTA_COLUMNS);
}

/* ---- head by head ---------------------------------------------------------------------------- */

/* Rows of one head, [CPU_DELTA_ROWS] each, of one worker. Between operations they lie here: in the
 * buffers, rows are so far apart that those of a head meet in few sets of a cache. */
struct head_rows {
	float *q, *k;               /* [k_dim] */
	float *v, *out;             /* [v_dim] */
};

static struct head_rows head_rows(const struct run *r, const struct chip_op *delta)
{
	float *at = r->program->delta_heads + r->worker->index * r->program->delta_head_floats;
	const size_t keys = (size_t)CPU_DELTA_ROWS * delta->u.delta.k_dim;
	const size_t values = (size_t)CPU_DELTA_ROWS * delta->u.delta.v_dim;

	return (struct head_rows){at, at + keys, at + 2 * keys, at + 2 * keys + values};
}

/* For an observer: rows to where they would be, operation by operation. */
static void show(const struct run *r, uint32_t buffer, struct stretch s, size_t first,
	const float *rows, uint32_t count)
{
	for (uint32_t i = 0; r->step->observer.see && i < s.count; i++)
		memcpy(row_of(r, buffer, first_row(r, s) + i) + first, rows + (size_t)i * count,
			count * sizeof(float));
}

static void conv_head(const struct run *r, const struct chip_op *conv, struct stretch s,
	uint32_t first, uint32_t count, float *out)
{
	conv_channels(r, conv, s, first, count, out, count);
	show(r, conv->u.conv.data, s, first, out, count);
}

/* Decay and step size of rows of one value head. */
static void gates_of_head(const struct run *r, const struct chip_op *op, struct stretch s,
	uint32_t head, float *decay, float *beta)
{
	float a[CPU_DELTA_ROWS], b[CPU_DELTA_ROWS];
	float factor[CPU_DELTA_ROWS], bias[CPU_DELTA_ROWS];

	for (uint32_t i = 0; i < s.count; i++) {
		a[i] = row_of(r, op->u.delta.a, first_row(r, s) + i)[head];
		b[i] = row_of(r, op->u.delta.b, first_row(r, s) + i)[head];
		factor[i] = values(op->u.delta.decay)[head];
		bias[i] = values(op->u.delta.dt_bias)[head];
	}
	r->kernels->delta_gates(a, b, factor, bias, s.count, decay, beta);
}

/* Norm and gate of rows of one value head, and what the matrices behind take of them. */
static void norm_head(const struct run *r, const struct chip_op *conv, struct stretch s,
	uint32_t head, const float *in)
{
	const struct chip_op *op = conv + 2;
	const uint32_t dim = op->u.norm_gate.head_dim, at = head * dim;

	for (uint32_t i = 0; i < s.count; i++) {
		const uint32_t row = first_row(r, s) + i;

		r->kernels->rms_norm_gate(in + (size_t)i * dim,
			row_of(r, op->u.norm_gate.gate, row) + at, values(op->u.norm_gate.weight),
			op->u.norm_gate.eps, dim, row_of(r, op->u.norm_gate.out, row) + at);
		cpu_makes_inputs(r, conv, row, at, dim);
	}
}

static void value_head(const struct run *r, const struct chip_op *conv, struct stretch s,
	uint32_t head, const struct head_rows *rows)
{
	const struct chip_op *op = conv + 1;
	const uint32_t k_dim = op->u.delta.k_dim, v_dim = op->u.delta.v_dim;
	float decay[CPU_DELTA_ROWS], beta[CPU_DELTA_ROWS];
	const struct prepared in = {
		.q = rows->q, .k = rows->k, .stride = k_dim,
		.decay = decay, .beta = beta, .gate_stride = 1,
		.v = rows->v, .v_stride = v_dim,
		.out = rows->out, .out_stride = v_dim,
	};

	conv_head(r, conv, s, 2 * op->u.delta.k_heads * k_dim + head * v_dim, v_dim, rows->v);
	gates_of_head(r, op, s, head, decay, beta);
	for (uint32_t first = 0; first < v_dim; first += CPU_DELTA_COLUMNS)
		delta_part(r, op, s, head, first, &in);
	show(r, op->u.delta.out, s, (size_t)head * v_dim, rows->out, v_dim);
	norm_head(r, conv, s, head, rows->out);
}

/* A key head and the value heads that use it, over at most CPU_DELTA_ROWS rows. */
static void key_head(const struct run *r, const struct chip_op *conv, struct stretch s,
	uint32_t k_head)
{
	const struct chip_op *op = conv + 1;
	const uint32_t k_heads = op->u.delta.k_heads, k_dim = op->u.delta.k_dim;
	const uint32_t shared = op->u.delta.v_heads / k_heads;
	const struct head_rows rows = head_rows(r, op);

	conv_head(r, conv, s, k_head * k_dim, k_dim, rows.q);
	conv_head(r, conv, s, (k_heads + k_head) * k_dim, k_dim, rows.k);
	for (size_t at = 0; at < (size_t)s.count * k_dim; at += k_dim) {
		unit_q(r, rows.q + at, k_dim, rows.q + at);
		unit_k(r, rows.k + at, k_dim, rows.k + at);
	}
	for (uint32_t i = 0; i < shared; i++)
		value_head(r, conv, s, op->u.delta.tiled ? i * k_heads + k_head
			: k_head * shared + i, &rows);
}

static void run_heads(const struct run *r, const struct chip_op *conv)
{
	const uint32_t k_heads = conv[1].u.delta.k_heads;
	uint32_t first, end;

	cpu_phase(r, (enum chip_phase)CHIP_OP_DELTA);
	while (cpu_share(r->worker, r->step->sequence_count * k_heads, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const struct stretch all = whole(r, item / k_heads);

			for (uint32_t at = 0; at < all.count; at += CPU_DELTA_ROWS)
				key_head(r, conv, (struct stretch){all.sequence, at,
					math_min_u32(all.count - at, CPU_DELTA_ROWS)},
					item % k_heads);
		}
}

void cpu_run_conv(const struct run *r, const struct chip_op *op)
{
	if (is_by_heads(r, op))
		run_heads(r, op);
	else
		conv_parts(r, op);
}
