/* cloud/core_request.c - the life of a request: what the front asks and tells, what its pool tells.
 *
 * The table of states is in core_internal.h; what a request costs is in core_money.c.
 */
#include <assert.h>

#include "base/math.h"
#include "base/units.h"
#include "cloud/core_internal.h"
#include "engine/plant.h"

#define RETRY_MIN_NS    NS_PER_S        /* retry-after when overloaded: 1 s ... */
#define RETRY_MAX_NS    (60 * NS_PER_S) /* ... 1 min */
#define INTERVAL_MAX_NS (10 * NS_PER_S) /* a pause between ends says nothing about speed */
#define SMOOTHING       8               /* the last end counts an eighth */

/* ---- to and from FREE ------------------------------------------------------------------------ */

static void request_free(struct core *core, uint32_t handle)
{
	struct core_request *r = request_at(core, handle);

	assert(r->state != REQUEST_FREE && core->open_count > 0);
	assert(r->held_nano == 0 && core->records_reserved >= r->records_reserved);
	for (int link = 0; link < LINKS; link++)
		request_unlink(core, (enum request_link)link, handle);
	if (r->state == REQUEST_ASKED)
		core->asked_count--;
	core->records_reserved -= r->records_reserved;
	r->state = REQUEST_FREE;
	core->open_count--;
}

static void refuse(struct core *core, uint32_t handle, enum core_refusal code,
	int64_t retry_after_ns, struct core_actions *actions)
{
	struct core_action *action = core_action_add(actions, CORE_REFUSE);

	action->u.refuse.handle = handle;
	action->u.refuse.code = code;
	action->u.refuse.retry_after_ns = retry_after_ns;
	core->stats.refused++;
}

static void end_interval_learn(struct core *core)
{
	const int64_t interval_ns = core->now_ns - core->last_end_ns;

	core->last_end_ns = core->now_ns;
	if (interval_ns > INTERVAL_MAX_NS)
		return;
	if (core->end_interval_ns == 0)
		core->end_interval_ns = interval_ns;
	else
		core->end_interval_ns += (interval_ns - core->end_interval_ns) / SMOOTHING;
}

void request_end(struct core *core, uint32_t handle, bool store_failed,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	struct core_action *action = core_action_add(actions, CORE_END);
	const struct record_usage *usage = &r->usage;

	assert(r->state == REQUEST_SETTLING);
	action->u.end.handle = handle;
	action->u.end.recorded = true;
	action->u.end.store_failed = store_failed;
	action->u.end.finish = usage->finish;
	action->u.end.prompt_tokens = usage->input;
	action->u.end.cached_tokens = usage->cached_input;
	action->u.end.completion_tokens = usage->output;
	action->u.end.amount_nano = usage->amount_nano;
	core->stats.ended++;
	core->stats.ended_by_finish[usage->finish]++;
	core->stats.prompt_tokens += (uint64_t)usage->input;
	core->stats.cached_tokens += (uint64_t)usage->cached_input;
	core->stats.completion_tokens += (uint64_t)usage->output;
	core->stats.revenue_nano += usage->amount_nano;
	end_interval_learn(core);
	request_free(core, handle);
}

/* Before anything was held: nothing is recorded either. */
static void request_forget(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_action *action = core_action_add(actions, CORE_END);

	assert(request_at(core, handle)->state == REQUEST_ASKED);
	action->u.end.handle = handle;
	action->u.end.finish = RECORD_FINISH_CANCELLED;
	request_free(core, handle);
}

/* ---- ASK: key, tenant, limits (rules.md 14) -------------------------------------------------- */

/* Not yet running, all models: what the queue's limit is about. */
static uint32_t waiting_count(const struct core *core)
{
	uint32_t count = core->asked_count;

	for (uint32_t i = 0; i < core->limits.models_max; i++) {
		struct pool_stats stats;

		pool_stats(core->models[i].pool, &stats);
		count += stats.waiting;
	}
	return count;
}

/* How long the present queue takes at the recent pace. */
static int64_t overloaded_retry_ns(const struct core *core)
{
	const int64_t queue_ns = core->end_interval_ns * waiting_count(core);

	return math_min_i64(math_max_i64(queue_ns, RETRY_MIN_NS), RETRY_MAX_NS);
}

static void ask_admit(struct core *core, const struct core_event *event, uint32_t tenant_id,
	uint32_t key_id, struct core_actions *actions)
{
	const uint32_t handle = event->u.ask.handle;
	struct core_request *r = request_at(core, handle);
	struct core_action *action = core_action_add(actions, CORE_ADMIT);

	*r = (struct core_request){
		.state = REQUEST_ASKED,
		.id = event->u.ask.request,
		.model = event->u.ask.model,
		.tenant_id = tenant_id,
		.key_id = key_id,
		.records_reserved = CORE_REQUEST_RECORDS,
	};
	limit_ask(core, tenant_id);
	core->records_reserved += CORE_REQUEST_RECORDS;
	core->asked_count++;
	core->open_count++;
	core->stats.admitted++;
	action->u.admit.handle = handle;
	action->u.admit.tenant_id = tenant_id;
	action->u.admit.key_id = key_id;
	action->u.admit.context_max = core->models[r->model].pool->context_max;
}

void request_ask(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	const uint32_t handle = event->u.ask.handle;
	const uint32_t model = event->u.ask.model;
	uint32_t tenant_id;
	uint32_t key_id;
	int64_t wait_ns;

	assert(core->ready && request_at(core, handle)->state == REQUEST_FREE);
	core->stats.asked++;
	if (!caller_find(core, &event->u.ask.caller, &tenant_id, &key_id))
		refuse(core, handle, CORE_REFUSE_INVALID_KEY, 0, actions);
	else if (core->draining)
		refuse(core, handle, CORE_REFUSE_DRAINING, 0, actions);
	else if (core->store_failing)
		refuse(core, handle, CORE_REFUSE_STORE_DOWN, core->limits.retry_ns, actions);
	else if (model >= core->limits.models_max || !core->models[model].loaded)
		refuse(core, handle, CORE_REFUSE_MODEL_NOT_FOUND, 0, actions);
	else if ((wait_ns = limit_ask_wait_ns(core, tenant_id)) > 0)
		refuse(core, handle, CORE_REFUSE_RATE_LIMITED, wait_ns, actions);
	else if (waiting_count(core) >= core->limits.queue_max ||
		core_records_free(core) < CORE_REQUEST_RECORDS)
		refuse(core, handle, CORE_REFUSE_OVERLOADED, overloaded_retry_ns(core), actions);
	else
		ask_admit(core, event, tenant_id, key_id, actions);
}

/* ---- ARRIVE: room, hold and queue (rules.md 3, 14) ------------------------------------------- */

static void arrive_refuse(struct core *core, uint32_t handle, enum core_refusal code,
	int64_t retry_after_ns, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);

	limit_give_back(core, r, 0);
	refuse(core, handle, code, retry_after_ns, actions);
	request_free(core, handle);
}

static void arrive_accept(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);

	assert(r->answer_tokens_allowed > 0 && r->answer_tokens_allowed <= r->answer_tokens_max);
	core->asked_count--;
	r->state = REQUEST_RUNNING;
	core_action_add(actions, CORE_ACCEPT)->u.accept.handle = handle;
	pool_submit(core->models[r->model].pool, &(struct pool_request){
		.handle = handle,
		.prompt_tokens = r->prompt_tokens,
		.answer_tokens_max = r->answer_tokens_max,
		.answer_tokens_allowed = r->answer_tokens_allowed,
	});
}

void request_arrive(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const uint32_t handle = event->u.arrive.handle;
	struct core_request *r = request_at(core, handle);
	int64_t wait_ns;

	assert(r->state == REQUEST_ASKED);
	r->prompt_tokens = event->u.arrive.prompt_tokens;
	r->answer_tokens_max = event->u.arrive.answer_tokens_max;
	r->open_ended = event->u.arrive.open_ended;
	const struct core_model *model = &core->models[r->model];
	const struct core_price *price = price_find(core, model->name);
	const uint64_t tokens = (uint64_t)r->prompt_tokens + r->answer_tokens_max;

	if (price)
		r->price = price->price;
	if (core->drain_ns <= core->now_ns)
		arrive_refuse(core, handle, CORE_REFUSE_DRAINING, 0, actions);
	else if (core->store_failing)
		arrive_refuse(core, handle, CORE_REFUSE_STORE_DOWN, core->limits.retry_ns, actions);
	else if (r->prompt_tokens == 0 || r->answer_tokens_max == 0 ||
		tokens > model->pool->context_max)
		arrive_refuse(core, handle, CORE_REFUSE_CONTEXT_LENGTH, 0, actions);
	else if ((wait_ns = limit_arrive_wait_ns(core, r)) > 0)
		arrive_refuse(core, handle, CORE_REFUSE_RATE_LIMITED, wait_ns, actions);
	else if (!money_hold(core, handle, actions))
		arrive_refuse(core, handle, CORE_REFUSE_INSUFFICIENT_QUOTA, 0, actions);
	else
		arrive_accept(core, handle, actions);
}

/* ---- the way to the client (rules.md 5, 16, 18) ---------------------------------------------- */

static struct pool *pool_of(const struct core *core, const struct core_request *r)
{
	return core->models[r->model].pool;
}

void request_cut(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);

	if (r->cut)
		return;
	r->cut = true;
	if (r->state == REQUEST_RUNNING)
		pool_pause(pool_of(core, r), handle, true);     /* its CANCEL is on the way */
	core_action_add(actions, CORE_CUT)->u.cut.handle = handle;
}

static void stall(struct core *core, uint32_t handle)
{
	struct core_request *r = request_at(core, handle);

	if (r->cut || (r->state != REQUEST_RUNNING && r->state != REQUEST_FLUSHING))
		return;
	request_unlink(core, LINK_STALLED, handle);
	r->stall_deadline_ns = core->now_ns + core->limits.stall_ns;
	request_link(core, LINK_STALLED, handle);
	if (r->state == REQUEST_RUNNING)
		pool_pause(pool_of(core, r), handle, true);
}

static void resume(struct core *core, uint32_t handle)
{
	struct core_request *r = request_at(core, handle);

	if (r->cut)
		return;
	request_unlink(core, LINK_STALLED, handle);
	if (r->state == REQUEST_RUNNING)
		pool_pause(pool_of(core, r), handle, false);
}

static void settle(struct core *core, uint32_t handle, enum record_finish finish,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);

	limit_give_back(core, r, r->prompt_tokens + r->answer_tokens);
	money_settle(core, handle, finish, actions);
}

static void flushed(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const uint32_t handle = event->u.progress.handle;
	struct core_request *r = request_at(core, handle);

	if (r->state != REQUEST_FLUSHING)
		return;
	r->reasoning_tokens = event->u.progress.reasoning;
	if (r->usage.finish == RECORD_FINISH_STOP && event->u.progress.tool_calls)
		r->usage.finish = RECORD_FINISH_TOOL_CALLS;
	settle(core, handle, r->usage.finish, actions);
}

static enum record_finish finish_of_cancel(const struct core_request *r)
{
	return r->failed && !PLANTED(PLANT_FAILURE_CHARGED) ? RECORD_FINISH_ERROR
		: RECORD_FINISH_CANCELLED;
}

static void cancel(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	const uint32_t handle = event->u.progress.handle;
	struct core_request *r = request_at(core, handle);

	r->written_tokens = event->u.progress.tokens;
	r->reasoning_tokens = event->u.progress.reasoning;
	r->prompt_done = r->answer_tokens > 0;
	r->failed = event->u.progress.failed;
	if (r->state == REQUEST_ASKED) {
		request_forget(core, handle, actions);
	} else if (r->state == REQUEST_FLUSHING) {
		settle(core, handle, finish_of_cancel(r), actions);
	} else {
		assert(r->state == REQUEST_RUNNING);
		request_unlink(core, LINK_STALLED, handle);
		request_unlink(core, LINK_STARVED, handle);
		r->state = REQUEST_LEAVING;
		if (!PLANTED(PLANT_LOST_CANCEL) || r->prompt_done)
			pool_stop(pool_of(core, r), handle, POOL_END_CANCELLED);
	}
}

void request_progress(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const uint32_t handle = event->u.progress.handle;
	struct core_request *r = request_at(core, handle);

	if (r->state == REQUEST_FREE || r->state == REQUEST_LEAVING ||
		r->state == REQUEST_SETTLING)
		return;     /* crossed with its end on the way */
	if (event->kind == CORE_WRITTEN)
		r->written_tokens = event->u.progress.tokens;
	else if (event->kind == CORE_STALL)
		stall(core, handle);
	else if (event->kind == CORE_RESUME)
		resume(core, handle);
	else if (event->kind == CORE_FLUSHED)
		flushed(core, event, actions);
	else
		cancel(core, event, actions);
}

/* ---- what the pool tells --------------------------------------------------------------------- */

static void output(struct core *core, const struct pool_event *event,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, event->handle);

	if (r->state == REQUEST_LEAVING && !PLANTED(PLANT_DELIVERED_AFTER_END))
		return;     /* its client is gone */
	assert(event->answer_tokens > r->answer_tokens);
	assert(event->answer_tokens <= r->answer_tokens_allowed);
	r->answer_tokens = event->answer_tokens;
	struct core_action *action = core_action_add(actions, CORE_DELIVER);

	action->u.deliver.handle = event->handle;
	action->u.deliver.answer_tokens = r->answer_tokens;
	if (!event->ended)
		money_grow(core, event->handle, actions);
}

/* The answer came to its end: the front writes the rest, then says FLUSHED. */
static void answered(struct core *core, const struct pool_event *event,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, event->handle);
	struct core_action *action = core_action_add(actions, CORE_ANSWERED);

	assert(event->end == POOL_END_STOP || event->end == POOL_END_LENGTH);
	r->state = REQUEST_FLUSHING;
	r->prompt_done = true;
	r->usage.finish = event->end == POOL_END_STOP ? RECORD_FINISH_STOP : RECORD_FINISH_LENGTH;
	request_unlink(core, LINK_STARVED, event->handle);
	action->u.answered.handle = event->handle;
	action->u.answered.answer_tokens = r->answer_tokens;
	action->u.answered.finish = r->usage.finish;
}

static void pool_ended(struct core *core, const struct pool_event *event,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, event->handle);

	r->cached_tokens = event->cached_tokens;
	core->stats.tokens_sampled += event->answer_tokens;
	if (r->state == REQUEST_LEAVING) {
		/* what was sampled for nothing counts */
		r->answer_tokens = event->answer_tokens;
		settle(core, event->handle, finish_of_cancel(r), actions);
	} else if (event->end == POOL_END_ERROR) {
		assert(r->state == REQUEST_RUNNING);
		settle(core, event->handle, RECORD_FINISH_ERROR, actions);
	} else {
		assert(r->state == REQUEST_RUNNING && event->answer_tokens == r->answer_tokens);
		answered(core, event, actions);
	}
}

void request_pool_event(struct core *core, struct core_model *model,
	const struct pool_event *event, struct core_actions *actions)
{
	assert(model->loaded);
	switch (event->kind) {
	case POOL_RUN:
		core_action_add(actions, CORE_RUN)->u.run = event->batch;
		break;
	case POOL_OUTPUT:
		output(core, event, actions);
		break;
	case POOL_END:
		pool_ended(core, event, actions);
		break;
	}
}
