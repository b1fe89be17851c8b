/* engine/pool.h - the seam between the core and whatever answers requests for one model.
 *
 *	submit, allow, pause, cancel  -->  pool  -->  RUN, OUTPUT, END
 *
 * Here: the local pool, a scheduler over an executor. Later: an upstream server, and in the fleet a
 * fluid model. Pure: a pool is plain state in the caller's memory; what it wants done it says in
 * pool_next, which the core asks until there is nothing more.
 *
 * Between submit and END a request is the pool's. END comes exactly once, however the request ends,
 * and only when no batch in flight names it: then its handle may be used again.
 */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/batch.h"
#include "engine/executor.h"

enum pool_end {
	POOL_END_STOP,
	POOL_END_LENGTH,
	POOL_END_CANCELLED,
	POOL_END_ERROR,
};

enum pool_event_kind {
	POOL_RUN,       /* batch to the executor; it comes back by pool_done */
	POOL_OUTPUT,    /* the answer has answer_tokens now */
	POOL_END,       /* all OUTPUT of it has been told */
};

struct pool_event {
	enum pool_event_kind kind;
	uint32_t handle;
	uint32_t answer_tokens;
	bool ended;                     /* OUTPUT: of an answer whose END will come */
	enum pool_end end;
	uint32_t cached_tokens;         /* END: of the prompt, that were not computed again */
	struct batch *batch;
};

struct pool_request {
	uint32_t handle;
	uint32_t prompt_tokens;
	uint32_t answer_tokens_max;     /* the executor ends it there with length */
	uint32_t answer_tokens_allowed; /* may be sampled for now; pool_allow raises it */
};

struct pool_stats {
	uint32_t waiting;               /* not started, or preempted, and not paused */
	uint32_t running;               /* holding a slot */
	uint32_t parked;                /* paused, holding nothing */
	uint32_t pages;
	uint32_t pages_used;
	uint64_t preemptions;
	uint64_t batches;
	uint64_t batches_failed;
	uint64_t rows;
};

struct pool;

struct pool_ops {
	void (*submit)(struct pool *pool, const struct pool_request *request);
	void (*allow)(struct pool *pool, uint32_t handle, uint32_t answer_tokens);
	void (*pause)(struct pool *pool, uint32_t handle, bool paused);
	void (*stop)(struct pool *pool, uint32_t handle, enum pool_end end);
	void (*done)(struct pool *pool, struct batch *batch);
	bool (*next)(struct pool *pool, struct pool_event *event);
	void (*stats)(const struct pool *pool, struct pool_stats *stats);
	const char *(*check)(const struct pool *pool);
};

struct pool {
	const struct pool_ops *ops;
	/* prompt and answer of one request, by model and by memory */
	uint32_t context_max;
};

/* Queues it, first come first served. prompt + answer_tokens_max <= context_max. */
static inline void pool_submit(struct pool *pool, const struct pool_request *request)
{
	pool->ops->submit(pool, request);
}

/* The answer may have so many tokens; never fewer than before. */
static inline void pool_allow(struct pool *pool, uint32_t handle, uint32_t answer_tokens)
{
	pool->ops->allow(pool, handle, answer_tokens);
}

/* A paused request is not run, and what it has goes to who needs it: later it is computed again,
 * with the same tokens (rules.md 5). Not paused any more, it has the place of its arrival. */
static inline void pool_pause(struct pool *pool, uint32_t handle, bool paused)
{
	pool->ops->pause(pool, handle, paused);
}

/* Ends it as soon as no batch names it: CANCELLED, or LENGTH where the money ends. */
static inline void pool_stop(struct pool *pool, uint32_t handle, enum pool_end end)
{
	pool->ops->stop(pool, handle, end);
}

/* The oldest batch in flight is back. */
static inline void pool_done(struct pool *pool, struct batch *batch)
{
	pool->ops->done(pool, batch);
}

/* The next thing it wants done or known; false: nothing until something else happens. */
static inline bool pool_next(struct pool *pool, struct pool_event *event)
{
	return pool->ops->next(pool, event);
}

static inline void pool_stats(const struct pool *pool, struct pool_stats *stats)
{
	pool->ops->stats(pool, stats);
}

/* The first contradiction in its state, or NULL. */
static inline const char *pool_check(const struct pool *pool)
{
	return pool->ops->check(pool);
}

/* ---- the local pool: a scheduler over an executor -------------------------------------------- */

/* Memory for handles below requests_max and a model that has at most `most` of everything. */
size_t pool_local_bytes(uint32_t requests_max, const struct executor_limits *most);
/* memory: zeroed, aligned for any type. */
struct pool *pool_local_init(void *memory, uint32_t requests_max,
	const struct executor_limits *most);
/* A model of this size is there, as pool `model`; once. */
void pool_local_load(struct pool *pool, uint32_t model, const struct executor_limits *limits);

#endif
