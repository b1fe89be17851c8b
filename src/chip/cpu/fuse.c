/* chip/cpu/fuse.c - which operations are done together: a pure function of a program's description.
 *
 * An operation ends at a barrier, and what it wrote waits in a cache for the next one. Where the
 * next one needs no more than what a share has just made, the share goes on instead:
 *
 *	norm -> matrices            a row is normed and made inputs; few rows by each worker for
 *	                            itself, without a barrier
 *	attend, norm_gate, swiglu -> matrices     what was made is made inputs at once, where
 *	                            a share ends with units of them (K types: 256 columns), and
 *	                            not kept where nobody else reads it (norm, swiglu,
 *	                            spread)
 *	gate and up -> swiglu       a share does the same panels of both, if they are small
 *	matrices, combine -> norm, add      outputs are added to the residual
 *	route -> spread             by one worker, where rows are few
 *	embed, gather -> norm       row by row
 *	output layer -> sample      a share finds the largest of its logits
 *	conv -> delta -> norm_gate  head by head, where there are heads enough for the threads
 *
 * A layer of Qwen3 has 6 to 8 barriers then, of 13 (one more where gate and up are large, one where
 * the keys of a row are shared out); 9 in steps of many rows, where what is behind matrices is done
 * by itself. The bits are those of one operation after the other.
 */
#include "chip/check.h"
#include "chip/cpu/cpu.h"

static const struct cpu_weight *matrix(const struct chip_op *op, uint32_t i)
{
	return (const struct cpu_weight *)op->u.matmul.weight[i];
}

static bool writes(const struct chip_op *op, uint32_t buffer)
{
	struct chip_op_buffers b;

	chip_op_buffers(op, &b);
	for (uint32_t i = 0; i < b.count; i++)
		if (b.buffer[i] == buffer && (b.written >> i & 1))
			return true;
	return false;
}

static bool touches(const struct chip_op *op, uint32_t buffer)
{
	struct chip_op_buffers b;

	chip_op_buffers(op, &b);
	for (uint32_t i = 0; i < b.count; i++)
		if (b.buffer[i] == buffer)
			return true;
	return false;
}

/* ---- behind matrices ------------------------------------------------------------------------- */

/* Gate and up that are larger stay apart: to change between two streams of memory so often costs
 * more than a barrier (2 to 4 % of a step of 1 to 8 rows of Qwen3-0.6B's shape, Zen 4). */
#define PAIR_BYTES_MAX (1 << 20)

/* The last two matrices are its gate and up, and panels of them end where blocks do. Experts change
 * streams anyway. */
static bool takes_swiglu(const struct chip_op *op, const struct chip_op *next)
{
	const uint32_t count = op->u.matmul.count;

	if (next->kind != CHIP_OP_SWIGLU || count < 2)
		return false;
	const struct cpu_weight *gate = matrix(op, count - 2), *up = matrix(op, count - 1);

	return next->u.swiglu.gate == op->u.matmul.out[count - 2] &&
	       next->u.swiglu.up == op->u.matmul.out[count - 1] &&
	       !touches(op, next->u.swiglu.out) && gate->lanes == up->lanes &&
	       gate->part_panels == up->part_panels && gate->part_rows == up->part_rows &&
	       (gate->base.parts > 1 || gate->base.read_bytes <= PAIR_BYTES_MAX) &&
	       CPU_BLOCK % gate->lanes == 0;
}

/* What the outputs may be added to as they are made, or CHIP_NONE. */
static uint32_t sum_behind(const struct chip_op *op, uint32_t out, const struct chip_op *next)
{
	const uint32_t sum = next->kind == CHIP_OP_ADD ? next->u.add.out
		: next->kind == CHIP_OP_NORM ? next->u.norm.residual : CHIP_NONE;
	const uint32_t in = next->kind == CHIP_OP_ADD ? next->u.add.in
		: next->kind == CHIP_OP_NORM ? next->u.norm.add : CHIP_NONE;

	return in != out || touches(op, sum) ? CHIP_NONE : sum;
}

static void fuse_sum(const struct chip_op *op, uint32_t out, const struct chip_op *next,
	struct cpu_fusion *f)
{
	f->sum = sum_behind(op, out, next);
	f->followers = f->sum != CHIP_NONE && next->kind == CHIP_OP_ADD;
	f[1].added = f->sum != CHIP_NONE && next->kind == CHIP_OP_NORM;
}

static void fuse_matmul(const struct chip_op *op, const struct chip_op *next, struct cpu_fusion *f)
{
	if (op->u.matmul.count == 1)
		fuse_sum(op, op->u.matmul.out[0], next, f);
	f->gated = takes_swiglu(op, next);
	f->maxima = next->kind == CHIP_OP_SAMPLE && op->u.matmul.count == 1 &&
		op->u.matmul.out[0] == next->u.sample.logits;
	f->followers = f->followers || f->gated;
}

/* ---- row by row ------------------------------------------------------------------------------ */

/* A norm of the row that has just been made. */
static bool takes_norm(const struct chip_op *op, const struct chip_op *next)
{
	return (op->kind == CHIP_OP_EMBED || op->kind == CHIP_OP_GATHER) &&
	       next->kind == CHIP_OP_NORM && next->u.norm.residual == chip_op_result(op) &&
	       next->u.norm.add == CHIP_NONE && next->u.norm.out != next->u.norm.residual;
}

/* Rows to their experts. */
static bool is_spread(const struct chip_program_desc *desc, const struct chip_op *op)
{
	return op->kind == CHIP_OP_GATHER &&
	       desc->buffers[op->u.gather.out].space == CHIP_ROUTED;
}

static void fuse_rows(const struct chip_program_desc *desc, const struct chip_op *op,
	struct cpu_fusion *f)
{
	f->followers = !is_spread(desc, op) && takes_norm(op, op + 1);
}

/* ---- head by head ---------------------------------------------------------------------------- */

/* Nobody reads the buffer from this operation on, before it is written again. */
static bool is_done_with(const struct chip_program_desc *desc, uint32_t from, uint32_t buffer)
{
	if (buffer == desc->logits || buffer == desc->hidden)
		return false;
	for (uint32_t i = from; i < desc->op_count; i++) {
		struct chip_op_buffers b;
		bool written = false;

		chip_op_buffers(&desc->ops[i], &b);
		for (uint32_t j = 0; j < b.count; j++) {
			if (b.buffer[j] == buffer && (b.read >> j & 1))
				return false;
			written = written || (b.buffer[j] == buffer && (b.written >> j & 1));
		}
		if (written)
			return true;
	}
	return true;
}

/* Channels of a head are only its own, from the convolution to the norm; and what is between them
 * is nobody else's. */
static void fuse_heads(const struct chip_program_desc *desc, uint32_t index, struct cpu_fusion *f)
{
	const struct chip_op *op = &desc->ops[index], *delta = op + 1, *norm = op + 2;

	if (index + 2 >= desc->op_count || delta->kind != CHIP_OP_DELTA ||
		norm->kind != CHIP_OP_NORM_GATE || delta->u.delta.qkv != op->u.conv.data ||
		norm->u.norm_gate.in != delta->u.delta.out ||
		norm->u.norm_gate.head_dim != delta->u.delta.v_dim ||
		delta->u.delta.v_dim % CPU_BLOCK != 0 || touches(delta, norm->u.norm_gate.out) ||
		touches(delta, norm->u.norm_gate.gate) ||
		!is_done_with(desc, index + 3, op->u.conv.data) ||
		!is_done_with(desc, index + 3, delta->u.delta.out))
		return;
	f->followers = 2;
	for (uint32_t i = 0; i <= f->followers; i++)
		f[i].heads = delta->u.delta.k_heads;
}

/* ---- inputs of matrices ---------------------------------------------------------------------- */

/* Whether shares of an operation end where units of its result do, of so many columns. */
static bool ends_with_units(const struct chip_op *op, const struct cpu_fusion *f, uint32_t unit)
{
	switch ((int)op->kind) {
	case CHIP_OP_NORM:
	case CHIP_OP_GATHER:
	case CHIP_OP_SWIGLU:   /* by CPU_COLUMN_PART, or as lot_of cuts it */
		return true;
	case CHIP_OP_NORM_GATE:
		return !f->heads || op->u.norm_gate.head_dim % unit == 0;
	case CHIP_OP_ATTEND:
		return op->u.attend.q.count / op->u.attend.kv_heads * op->u.attend.head_dim %
			unit == 0;
	default:
		return false;
	}
}

/* Each worker can do the norm for itself: nothing that it reads changes until the next barrier. */
static bool may_be_alone(const struct chip_op *op, const struct cpu_fusion *f)
{
	const uint32_t residual = op->u.norm.residual;

	if (f->follows || (op->u.norm.add != CHIP_NONE && !f->added) ||
	    op->u.norm.out == residual || f[1].sum == residual)
		return false;
	for (uint32_t i = 1; i <= 1U + f[1].followers; i++)
		if (writes(&op[i], residual) || writes(&op[i], op->u.norm.out))
			return false;
	return true;
}

static bool all_take_inputs(const struct chip_op *matmul)
{
	for (uint32_t i = 0; i < matmul->u.matmul.count; i++)
		if (!matrix(matmul, i)->blocks && !matrix(matmul, i)->halves)
			return false;
	return true;
}

/* last: the last of the operations that are done together. */
static void fuse_inputs(const struct chip_program_desc *desc, uint32_t index,
	struct cpu_fusion *f)
{
	const struct chip_op *op = &desc->ops[index];
	const uint32_t last = f->followers;
	const struct chip_op *next = &op[last + 1];
	struct cpu_fusion *g = &f[last + 1];

	if (next->kind != CHIP_OP_MATMUL || next->u.matmul.in != chip_op_result(&op[last]))
		return;
	if ((g->blocks || g->halves) && ends_with_units(&op[last], &f[last], g->unit))
		f->makes_inputs = f[last].makes_inputs = g->has_inputs = true;
	if (f->makes_inputs &&
	    (op[last].kind == CHIP_OP_NORM || op[last].kind == CHIP_OP_SWIGLU ||
		    is_spread(desc, &op[last])) &&
	    all_take_inputs(next) && is_done_with(desc, index + last + 2, next->u.matmul.in))
		f[last].unread = g->unread = true;
	if (op->kind == CHIP_OP_NORM)
		f->alone = g->alone = may_be_alone(op, f);
}

/* ---- the whole program ----------------------------------------------------------------------- */

static void find_inputs(const struct chip_program_desc *desc, struct cpu_fusion *all)
{
	uint32_t matmuls = 0;

	for (uint32_t i = 0; i < desc->op_count; i++) {
		const struct chip_op *op = &desc->ops[i];

		all[i] = (struct cpu_fusion){.sum = CHIP_NONE};
		if (op->kind != CHIP_OP_MATMUL)
			continue;
		all[i].inputs = matmuls++ % CPU_INPUTS;
		all[i].unit = CPU_BLOCK;
		for (uint32_t j = 0; j < op->u.matmul.count; j++) {
			all[i].blocks = all[i].blocks || matrix(op, j)->blocks;
			all[i].halves = all[i].halves || matrix(op, j)->halves;
			if (matrix(op, j)->blocks && matrix(op, j)->unit > all[i].unit)
				all[i].unit = matrix(op, j)->unit;
		}
	}
}

void cpu_fuse(const struct chip_program_desc *desc, struct cpu_fusion *all)
{
	find_inputs(desc, all);
	for (uint32_t i = 0; i + 1 < desc->op_count; i++) {
		const struct chip_op *op = &desc->ops[i];

		if (all[i].follows)
			continue;
		if (op->kind == CHIP_OP_MATMUL)
			fuse_matmul(op, op + 1, &all[i]);
		else if (op->kind == CHIP_OP_COMBINE)
			fuse_sum(op, op->u.combine.out, op + 1, &all[i]);
		else if (op->kind == CHIP_OP_ROUTE)
			all[i].followers = is_spread(desc, op + 1);
		else if (op->kind == CHIP_OP_CONV)
			fuse_heads(desc, i, &all[i]);
		else
			fuse_rows(desc, op, &all[i]);
		for (uint32_t j = 1; j <= all[i].followers; j++)
			all[i + j].follows = true;
	}
	for (uint32_t i = 0; i + 1 < desc->op_count; i++)
		if (!all[i].follows && i + all[i].followers + 1 < desc->op_count)
			fuse_inputs(desc, i, &all[i]);
}
