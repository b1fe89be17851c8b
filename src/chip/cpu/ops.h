/* chip/cpu/ops.h - between the files that run operations: where a buffer's rows lie,
 * what is done together, and who runs what. */
#ifndef CHIP_CPU_OPS_H
#define CHIP_CPU_OPS_H

#include "chip/check.h"
#include "chip/cpu/cpu.h"

/* Where the time of a step goes. */
struct cpu_clock {
	struct chip_profile *profile;
	enum chip_phase phase;      /* that is running */
	int64_t since_ns;           /* the last barrier */
};

void cpu_clock_turn(struct cpu_clock *c, enum chip_phase phase);

/* What every operation needs to know; one per worker. */
struct run {
	const struct cpu_kernels *kernels;
	struct cpu_program *program;
	struct cpu_step *step;
	struct cpu_cache *cache;
	struct cpu_worker *worker;
	struct cpu_clock *clock;    /* NULL: not timed, or not by this worker */
};

static inline float *buffer(const struct run *r, uint32_t index)
{
	if (r->program->buffers[index])
		return r->program->buffers[index];
	return index == r->program->base.desc.logits ? r->step->logits : r->step->hidden;
}

static inline uint32_t columns(const struct run *r, uint32_t index)
{
	return r->program->base.desc.buffers[index].columns;
}

static inline enum chip_space space_of(const struct run *r, uint32_t index)
{
	return r->program->base.desc.buffers[index].space;
}

static inline uint32_t rows(const struct run *r, uint32_t index)
{
	const enum chip_space space = space_of(r, index);

	return space == CHIP_ROWS ? r->step->row_count
		: space == CHIP_WANTED ? r->step->wanted_count
		: r->step->row_count * r->program->route.used;
}

static inline float *row_of(const struct run *r, uint32_t index, uint32_t row)
{
	return buffer(r, index) + (size_t)row * columns(r, index);
}

static inline const float *values(const struct chip_vector *v)
{
	return v ? ((const struct cpu_vector *)v)->values : NULL;
}

static inline float *head_of(const struct run *r, const struct chip_heads *h, uint32_t row,
	uint32_t head)
{
	return row_of(r, h->buffer, row) + h->first + (size_t)head * h->stride;
}

/* ---- of all workers; whoever goes on waits at a barrier -------------------------------------- */

static inline const struct cpu_fusion *fusion_of(const struct run *r, const struct chip_op *op)
{
	return &r->program->fusions[op - r->program->ops];
}

/* What is done from here on: the time so far belongs to what was done before. */
static inline void cpu_phase(const struct run *r, enum chip_phase phase)
{
	if (r->clock)
		cpu_clock_turn(r->clock, phase);
}

/* A barrier, timed. */
void cpu_meet(const struct run *r);

/* Rows [0, count) one by one. */
void cpu_each_row(const struct run *r, const struct chip_op *op, uint32_t count,
	void (*one)(const struct run *r, const struct chip_op *op, uint32_t row));

/* ops_matmul.c: columns [first, first + count) of a row into the form that these matrices take; the
 * two are multiples of the unit in which they take inputs, or count goes to the end. */
void cpu_make_inputs(const struct run *r, const struct chip_op *matmul, uint32_t row,
	uint32_t first, uint32_t count);
/* The same inputs for another row. */
void cpu_copy_inputs(const struct run *r, const struct chip_op *matmul, uint32_t from, uint32_t to);
/* Of the matrices behind an operation and its followers, if it makes them. */
static inline void cpu_makes_inputs(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t first, uint32_t count)
{
	const struct cpu_fusion *f = fusion_of(r, op);

	if (f->makes_inputs)
		cpu_make_inputs(r, op + f->followers + 1, row, first, count);
}

/* Whether shares of matrices go on with what is behind them. */
static inline bool is_joined(const struct run *r, uint32_t buffer)
{
	return (space_of(r, buffer) == CHIP_WANTED ? r->step->wanted_count : r->step->row_count) <=
	       CPU_JOINED_ROWS;
}

/* Few enough to be routed and spread by one worker. */
static inline bool is_routed_at_once(const struct run *r)
{
	return r->step->row_count <= CPU_ROUTED_AT_ONCE;
}

/* Convolution, DeltaNet and the norm behind it go head by head; op: one of them. */
static inline bool is_by_heads(const struct run *r, const struct chip_op *op)
{
	return fusion_of(r, op)->heads > 0 && r->step->sequence_count * fusion_of(r, op)->heads >=
		r->program->threads * CPU_HEADS_PER_THREAD;
}

/* A norm whose rows each worker does for itself, and the matrices behind it. */
static inline bool is_alone(const struct run *r, const struct chip_op *op)
{
	const uint32_t buffer = op->kind == CHIP_OP_NORM ? op->u.norm.out : op->u.matmul.in;

	return fusion_of(r, op)->alone && is_joined(r, buffer) &&
	       cpu_alone_rows(rows(r, buffer), columns(r, buffer));
}

/* Where this worker's row for these matrices is made: in the buffer, among its own, or, where it is
 * kept as inputs alone, in one place for all rows. */
static inline float *input_row(const struct run *r, const struct chip_op *matmul, uint32_t row)
{
	const struct cpu_own *own = &r->program->own[r->worker->index];
	const uint32_t in = matmul->u.matmul.in;

	if (fusion_of(r, matmul)->unread && !r->step->observer.see)
		return own->row;
	if (r->worker->index > 0 && is_alone(r, matmul))
		return own->rows + (size_t)row * columns(r, in);
	return row_of(r, in, row);
}

/* Where the result of an operation goes that makes inputs. */
static inline float *made_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	return fusion_of(r, op)->unread ? input_row(r, op + 1, row)
		: row_of(r, chip_op_result(op), row);
}

void cpu_run_matmul(const struct run *r, const struct chip_op *op);
/* ops_rope.c */
void cpu_run_qk_rope(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope);
/* ops_attend.c */
void cpu_run_attend(const struct run *r, const struct chip_op *op);
/* ops_delta.c */
void cpu_run_conv(const struct run *r, const struct chip_op *op);
void cpu_run_delta(const struct run *r, const struct chip_op *op);
/* ops_route.c */
void cpu_run_route(const struct run *r, const struct chip_op *op);
void cpu_run_spread(const struct run *r, const struct chip_op *op);
void cpu_run_combine(const struct run *r, const struct chip_op *op);

#endif
