/* chip/cpu/ops.h - between the files that run operations: where a buffer's rows lie. */
#ifndef CHIP_CPU_OPS_H
#define CHIP_CPU_OPS_H

#include "chip/cpu/cpu.h"

/* Where the time of a step goes. */
struct cpu_clock {
	struct chip_profile *profile;
	enum chip_phase phase;      /* that is running */
	int64_t since_ns;           /* the last barrier */
};

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

static inline uint32_t divide_up(uint32_t n, uint32_t by)
{
	return (n + by - 1) / by;
}

/* ---- of all workers; whoever goes on waits at a barrier -------------------------------------- */

/* What is done from here on. */
static inline void cpu_phase(const struct run *r, enum chip_phase phase)
{
	if (r->clock)
		r->clock->phase = phase;
}

/* A barrier, timed. */
void cpu_meet(const struct run *r);

/* Rows [0, count) one by one. */
void cpu_each_row(const struct run *r, const struct chip_op *op, uint32_t count,
	void (*one)(const struct run *r, const struct chip_op *op, uint32_t row));

/* ops_matmul.c */
void cpu_run_matmul(const struct run *r, const struct chip_op *op);
/* ops_attend.c */
void cpu_run_qk_rope(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope);
void cpu_run_attend(const struct run *r, const struct chip_op *op);
/* ops_delta.c */
void cpu_run_conv(const struct run *r, const struct chip_op *op, const float *taps);
void cpu_run_delta(const struct run *r, const struct chip_op *op);
/* route.c */
void cpu_run_route(const struct run *r, const struct chip_op *op);
void cpu_run_spread(const struct run *r, const struct chip_op *op);
void cpu_run_combine(const struct run *r, const struct chip_op *op);

#endif
