/* engine/pool.c - the local pool: a scheduler whose batches are run by this program's executor. */
#include <assert.h>

#include "base/carve.h"
#include "engine/pool.h"
#include "engine/scheduler.h"

struct pool_local {
	struct pool pool;       /* first: a pointer to it is a pointer to this */
	struct scheduler *scheduler;
};

static struct scheduler *scheduler_of(const struct pool *pool)
{
	return ((const struct pool_local *)pool)->scheduler;
}

static void local_submit(struct pool *pool, const struct pool_request *request)
{
	scheduler_submit(scheduler_of(pool), request);
}

static void local_allow(struct pool *pool, uint32_t handle, uint32_t answer_tokens)
{
	scheduler_allow(scheduler_of(pool), handle, answer_tokens);
}

static void local_pause(struct pool *pool, uint32_t handle, bool paused)
{
	scheduler_pause(scheduler_of(pool), handle, paused);
}

static void local_stop(struct pool *pool, uint32_t handle, enum pool_end end)
{
	scheduler_stop(scheduler_of(pool), handle, end);
}

static void local_done(struct pool *pool, struct batch *batch)
{
	scheduler_done(scheduler_of(pool), batch);
}

/* What happened is told before new work is planned: an END that is known frees room
 * for the plan. */
static bool local_next(struct pool *pool, struct pool_event *event)
{
	struct scheduler *s = scheduler_of(pool);

	if (scheduler_next(s, event))
		return true;
	struct batch *batch = scheduler_plan(s);
	if (!batch)
		return false;
	*event = (struct pool_event){.kind = POOL_RUN, .handle = BATCH_NONE, .batch = batch};
	return true;
}

static void local_stats(const struct pool *pool, struct pool_stats *stats)
{
	scheduler_stats(scheduler_of(pool), stats);
}

static const char *local_check(const struct pool *pool)
{
	return scheduler_check(scheduler_of(pool));
}

static const struct pool_ops local_ops = {
	.submit = local_submit,
	.allow = local_allow,
	.pause = local_pause,
	.stop = local_stop,
	.done = local_done,
	.next = local_next,
	.stats = local_stats,
	.check = local_check,
};

size_t pool_local_bytes(uint32_t requests_max, const struct executor_limits *most)
{
	struct carve c = {0};

	carve_take(&c, 1, sizeof(struct pool_local));
	carve_take(&c, 1, scheduler_bytes(requests_max, most));
	return c.used;
}

struct pool *pool_local_init(void *memory, uint32_t requests_max,
	const struct executor_limits *most)
{
	struct carve c = {.base = memory};
	struct pool_local *local = carve_take(&c, 1, sizeof(*local));

	local->pool.ops = &local_ops;
	local->scheduler = scheduler_init(carve_take(&c, 1, scheduler_bytes(requests_max, most)),
		requests_max, most);
	return &local->pool;
}

void pool_local_load(struct pool *pool, uint32_t model, const struct executor_limits *limits)
{
	scheduler_load(scheduler_of(pool), model, limits);
	pool->context_max = scheduler_context_max(scheduler_of(pool));
	assert(pool->context_max > 0);
}
