/* engine/executor.h - the seam between the core that decides and whatever runs a batch.
 *
 * Real (executor_chip.h): its own thread runs the model's program on a chip. Simulated
 * (executor_sim.h): charges time from chip/cost on whatever clock it is given, and returns tokens
 * by rule. Up to EXECUTOR_BATCHES_MAX batches are in flight; they end in order.
 *
 * Slots belong to the executor: last token, true length, sampler state, stop matching. A batch may
 * have been planned before the one ahead of it ended a sequence: rows of a sequence that is over
 * are dropped, and their result has token_count 0.
 */
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ring.h"
#include "engine/batch.h"
#include "engine/request.h"

#define EXECUTOR_BATCHES_MAX 2

/* What a pool may count on; the core is told at load. */
struct executor_limits {
	uint32_t context_max;   /* tokens of prompt and answer together */
	uint32_t slots;
	uint32_t pages;         /* of CHIP_PAGE_TOKENS tokens; 0: the model has no
				 * attention layers */
	uint32_t states;        /* state slots; 0: none needed */
	uint32_t rows_max;      /* of a batch */
	uint32_t vocab;         /* real tokens */
};

struct executor;

struct executor_ops {
	/* Takes the batch until it comes back from poll. Never more than EXECUTOR_BATCHES_MAX. */
	void (*submit)(struct executor *e, struct batch *batch);
	/* The oldest finished batch, or NULL. */
	struct batch *(*poll)(struct executor *e);
	/* Ends the thread after the batches in flight, which lie in the core's memory: the core
	 * goes after its executors. Frees. */
	void (*close)(struct executor *e);
};

struct executor {
	const struct executor_ops *ops;
	struct executor_limits limits;
};

static inline void executor_submit(struct executor *e, struct batch *batch)
{
	e->ops->submit(e, batch);
}

static inline struct batch *executor_poll(struct executor *e)
{
	return e->ops->poll(e);
}

static inline void executor_close(struct executor *e)
{
	if (e)
		e->ops->close(e);
}

#endif
