/* cloud/core.c - the wiring: memory, the step, and the order in which work is done; see core.h.
 *
 * An event changes state at once and leaves work: requests that became durable, pools that have
 * something to tell, requests to be cut. The work is done piece by piece while there is room for
 * actions; what does not fit is done by the next call with no event. So a step is short however
 * many requests an event concerns.
 */
#include <assert.h>
#include <string.h>

#include "base/carve.h"
#include "base/hash.h"
#include "cloud/core_internal.h"

/* ---- memory ---------------------------------------------------------------------------------- */

static void take_index(struct index *ix, struct carve *c, uint32_t rows_max)
{
	const uint32_t places = index_places(rows_max);

	ix->places = carve_take(c, places, sizeof(*ix->places));
	ix->mask = places - 1;
}

static size_t lay_out(struct core *core, void *memory, const struct core_limits *limits)
{
	struct carve c = {.base = memory};
	struct core unused;

	carve_take(&c, 1, sizeof(*core));
	if (!memory)
		core = &unused;
	core->requests = carve_take(&c, limits->requests_max, sizeof(*core->requests));
	core->tenants = carve_take(&c, limits->tenants_max, sizeof(*core->tenants));
	core->ledger.accounts =
		carve_take(&c, limits->tenants_max, sizeof(*core->ledger.accounts));
	core->keys = carve_take(&c, limits->keys_max, sizeof(*core->keys));
	core->prices = carve_take(&c, limits->prices_max, sizeof(*core->prices));
	core->models = carve_take(&c, limits->models_max, sizeof(*core->models));
	core->replies = carve_take(&c, limits->replies_max, sizeof(*core->replies));
	take_index(&core->tenant_index, &c, limits->tenants_max);
	take_index(&core->key_index, &c, limits->keys_max);
	take_index(&core->price_index, &c, limits->prices_max);
	return c.used;
}

/* One limit and what it may be. */
struct bound {
	const char *name;
	int64_t value;
	int64_t least;
	int64_t most;
};

enum err core_limits_check(const struct core_limits *l, struct err_info *info)
{
	const struct bound bounds[] = {
		{"requests", l->requests_max, 1, CORE_REQUESTS_MAX},
		{"queue", l->queue_max, 1, CORE_REQUESTS_MAX},
		{"tenants", l->tenants_max, 1, CORE_ROWS_MAX},
		{"keys", l->keys_max, 1, CORE_ROWS_MAX},
		{"prices", l->prices_max, 1, CORE_ROWS_MAX},
		{"models", l->models_max, 1, CORE_MODELS_MAX},
		{"replies", l->replies_max, 1, CORE_ROWS_MAX},
		{"records", l->records_max, CORE_REQUEST_RECORDS, CORE_ROWS_MAX},
		{"tokens of a hold", l->hold_step_tokens, 1, PRICE_TOKENS_MAX},
		{"ns of a stall", l->stall_ns, 1, CORE_NEVER_NS / 4},
		{"ns to a retry", l->retry_ns, 1, CORE_NEVER_NS / 4},
		{"context", l->pool.context_max, 1, INT32_MAX},
		{"slots", l->pool.slots, 1, CORE_REQUESTS_MAX},
		{"pages", l->pool.pages, 0, INT32_MAX},
		{"states", l->pool.states, 0, CORE_REQUESTS_MAX},
	};

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most)
			return err_set(info, ERR_LIMIT, "limit of %s: %lld is not in %lld .. %lld",
				bounds[i].name, (long long)bounds[i].value,
				(long long)bounds[i].least, (long long)bounds[i].most);
	return ERR_NONE;
}

size_t core_bytes(const struct core_limits *limits)
{
	return lay_out(NULL, NULL, limits) +
		limits->models_max * pool_local_bytes(limits->requests_max, &limits->pool);
}

struct core *core_init(void *memory, const struct core_limits *limits)
{
	struct core *core = memory;
	struct err_info wrong = {0};
	size_t used = lay_out(core, memory, limits);

	assert(core_limits_check(limits, &wrong) == ERR_NONE);
	core->limits = *limits;
	for (int link = 0; link < LINKS; link++)
		core->lists[link] = (struct request_list){CORE_NONE, CORE_NONE};
	for (uint32_t i = 0; i < limits->models_max; i++) {
		core->models[i].pool = pool_local_init((char *)memory + used, limits->requests_max,
			&limits->pool);
		used += pool_local_bytes(limits->requests_max, &limits->pool);
	}
	core->drain_ns = CORE_NEVER_NS;
	assert(used == core_bytes(limits));
	return core;
}

/* ---- small things ---------------------------------------------------------------------------- */

struct core_action *core_action_add(struct core_actions *actions, enum core_action_kind kind)
{
	assert(actions->count < CORE_ACTIONS_MAX);
	struct core_action *action = &actions->list[actions->count++];

	memset(action, 0, sizeof(*action));
	action->kind = kind;
	return action;
}

struct core_request *request_at(struct core *core, uint32_t handle)
{
	assert(handle < core->limits.requests_max);
	return &core->requests[handle];
}

uint64_t core_text_hash(const struct core *core, const char *text)
{
	return hash_bytes(text, strlen(text), core->seed);
}

void request_link(struct core *core, enum request_link link, uint32_t handle)
{
	struct core_request *r = &core->requests[handle];
	struct request_list *list = &core->lists[link];

	assert(!r->linked[link]);
	r->linked[link] = true;
	r->previous[link] = list->last;
	r->next[link] = CORE_NONE;
	if (list->last == CORE_NONE)
		list->first = handle;
	else
		core->requests[list->last].next[link] = handle;
	list->last = handle;
}

void request_unlink(struct core *core, enum request_link link, uint32_t handle)
{
	struct core_request *r = &core->requests[handle];
	struct request_list *list = &core->lists[link];

	if (!r->linked[link])
		return;
	r->linked[link] = false;
	if (r->previous[link] == CORE_NONE)
		list->first = r->next[link];
	else
		core->requests[r->previous[link]].next[link] = r->next[link];
	if (r->next[link] == CORE_NONE)
		list->last = r->previous[link];
	else
		core->requests[r->next[link]].previous[link] = r->previous[link];
}

/* ---- events ---------------------------------------------------------------------------------- */

static void batch_done(struct core *core, struct batch *batch)
{
	assert(batch->model < core->limits.models_max && core->models[batch->model].loaded);
	pool_done(core->models[batch->model].pool, batch);
}

/* A second DRAIN may bring the end nearer, never further away. */
static void drain(struct core *core, int64_t grace_ns)
{
	assert(grace_ns >= 0);
	const int64_t drain_ns = grace_ns > CORE_NEVER_NS - core->now_ns
		? CORE_NEVER_NS : core->now_ns + grace_ns;

	core->draining = true;
	if (drain_ns < core->drain_ns)
		core->drain_ns = drain_ns;
}

static void take_event(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	switch (event->kind) {
	case CORE_LOAD_COUNTERS:
	case CORE_LOAD_TENANT:
	case CORE_LOAD_KEY:
	case CORE_LOAD_PRICE:
	case CORE_LOAD_CUT_OFF:
	case CORE_READY:
	case CORE_MODEL:
		boot_event(core, event, actions);
		break;
	case CORE_ASK:
		request_ask(core, event, actions);
		break;
	case CORE_ARRIVE:
		request_arrive(core, event, actions);
		break;
	case CORE_WRITTEN:
	case CORE_STALL:
	case CORE_RESUME:
	case CORE_FLUSHED:
	case CORE_CANCEL:
		request_progress(core, event, actions);
		break;
	case CORE_BATCH_DONE:
		batch_done(core, event->u.batch_done);
		break;
	case CORE_STORED:
	case CORE_STORE_FAILED:
		store_progress(core, event);
		break;
	case CORE_TICK:
		break;
	case CORE_DRAIN:
		drain(core, event->u.drain.grace_ns);
		break;
	case CORE_AUTHORISE:
	case CORE_TENANT_CREATE:
	case CORE_TENANT_TOPUP:
	case CORE_TENANT_SET:
	case CORE_TENANT_SHOW:
	case CORE_KEY_CREATE:
	case CORE_KEY_REVOKE:
	case CORE_PRICE_SET:
		admin_event(core, event, actions);
		break;
	case CORE_EVENT_KINDS:
		assert(false);  /* not an event */
	}
}

/* ---- work: each does one piece; false: there is none ----------------------------------------- */

static bool stall_work(struct core *core, struct core_actions *actions)
{
	const uint32_t handle = core->lists[LINK_STALLED].first;

	if (handle == CORE_NONE || core->requests[handle].stall_deadline_ns > core->now_ns)
		return false;
	request_unlink(core, LINK_STALLED, handle);
	request_cut(core, handle, actions);
	return true;
}

/* rules.md 9: after the grace time whatever is open is cut. */
static bool cut_work(struct core *core, struct core_actions *actions)
{
	if (core->drain_ns > core->now_ns)
		return false;
	while (core->cut_next < core->limits.requests_max) {
		const uint32_t handle = core->cut_next++;
		const enum request_state state = core->requests[handle].state;

		if (state == REQUEST_ASKED || state == REQUEST_RUNNING ||
			state == REQUEST_FLUSHING) {
			request_cut(core, handle, actions);
			return true;
		}
	}
	return false;
}

static bool starved_work(struct core *core, struct core_actions *actions)
{
	const uint32_t handle = core->lists[LINK_STARVED].first;

	if (handle == CORE_NONE || core_records_free(core) == 0)
		return false;
	request_unlink(core, LINK_STARVED, handle);
	money_grow(core, handle, actions);
	return true;
}

/* Asks the pools in turn, so that none waits for another that has much to tell. */
static bool pool_work(struct core *core, struct core_actions *actions)
{
	for (uint32_t i = 0; i < core->limits.models_max; i++) {
		struct core_model *model = &core->models[core->pool_next];
		struct pool_event event;

		if (model->loaded && pool_next(model->pool, &event)) {
			request_pool_event(core, model, &event, actions);
			return true;
		}
		core->pool_next = (core->pool_next + 1) % core->limits.models_max;
	}
	return false;
}

static bool stop_work(struct core *core, struct core_actions *actions)
{
	if (!core->draining || core->open_count > 0 || core->stopped_told)
		return false;
	core->stopped_told = true;
	core_action_add(actions, CORE_STOPPED);
	return true;
}

/* What the pools have to tell comes before the clock: a request whose last batch came back with
 * this event has ended, and is cut as one that has. */
static bool any_work(struct core *core, struct core_actions *actions)
{
	return store_work(core, actions) || starved_work(core, actions) ||
		pool_work(core, actions) || stall_work(core, actions) || cut_work(core, actions) ||
		stop_work(core, actions);
}

static int64_t next_deadline_ns(const struct core *core)
{
	const uint32_t stalled = core->lists[LINK_STALLED].first;
	int64_t deadline_ns = CORE_NEVER_NS;

	if (stalled != CORE_NONE)
		deadline_ns = core->requests[stalled].stall_deadline_ns;
	if (core->retry_due && core->retry_ns < deadline_ns)
		deadline_ns = core->retry_ns;
	if (core->draining && core->cut_next < core->limits.requests_max &&
		core->open_count > 0 && core->drain_ns < deadline_ns)
		deadline_ns = core->drain_ns;
	return deadline_ns;
}

bool core_step(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	bool more = false;

	actions->count = 0;
	if (event) {
		assert(event->now_ns >= core->now_ns);
		core->now_ns = event->now_ns;
		core->wall_ns = event->wall_ns;
		take_event(core, event, actions);
	}
	assert(actions->count <= CORE_ROOM);
	while (!more && any_work(core, actions))
		more = actions->count + CORE_ROOM > CORE_ACTIONS_MAX;
	actions->deadline_ns = next_deadline_ns(core);
	return more;
}

void core_stats(const struct core *core, struct core_stats *out)
{
	*out = core->stats;
	for (uint32_t i = 0; i < core->limits.models_max; i++) {
		struct pool_stats pool;

		pool_stats(core->models[i].pool, &pool);
		out->waiting += pool.waiting;
		out->running += pool.running;
		out->parked += pool.parked;
		out->pages += pool.pages;
		out->pages_used += pool.pages_used;
		out->preemptions += pool.preemptions;
		out->batches += pool.batches;
		out->batches_failed += pool.batches_failed;
		out->rows += pool.rows;
	}
	out->store_failing = core->store_failing;
	out->draining = core->draining;
}
