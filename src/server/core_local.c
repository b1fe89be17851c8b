/* server/core_local.c - see core_local.h. */
#include "server/core_local.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/prng.h"

/* Records of one step, which no one else takes. */
static void actions_take(struct core_local *l)
{
	l->actions_hash = core_actions_hash(l->actions_hash, &l->actions);
	for (uint32_t i = 0; i < l->actions.count; i++) {
		const struct core_action *action = &l->actions.list[i];

		if (action->kind == CORE_STORE) {
			store_append(l->store, &action->u.store);
			if (action->u.store.kind != RECORD_RETRY)
				l->appended = action->u.store.sequence;
		} else if (action->kind == CORE_REPLY) {
			l->reply = action->u.reply;
		}
	}
}

static void event_now(struct core_event *event)
{
	event->now_ns = clock_monotonic_ns();
	event->wall_ns = clock_wall_ns();
}

static void step(struct core_local *l, struct core_event *event)
{
	bool more;

	event_now(event);
	if (l->hooks && l->hooks->event)
		l->hooks->event(l->hooks->context, event);
	more = core_step(l->core, event, &l->actions);
	actions_take(l);
	while (more) {
		more = core_step(l->core, NULL, &l->actions);
		actions_take(l);
	}
}

static enum err durable_make(struct core_local *l, struct err_info *info)
{
	while (l->durable < l->appended) {
		struct core_event stored = {.kind = CORE_STORED};

		if (store_commit(l->store, &l->durable, info))
			return info->code;
		stored.u.store.sequence = l->durable;
		step(l, &stored);
	}
	return ERR_NONE;
}

enum err core_local_step(struct core_local *l, struct core_event *event, struct err_info *info)
{
	step(l, event);
	return durable_make(l, info);
}

/* ---- boot ------------------------------------------------------------------------------------ */

static void cut_off_keep(struct core_local *l, const struct core_event *row)
{
	const uint32_t count = l->cut_off_count + 1;

	/* Doubled whenever the count is a power of two. */
	if ((count & (count - 1)) == 0) {
		struct core_event *more = mem_resize(l->cut_off, 2 * (size_t)count, sizeof(*more));

		l->no_memory = l->no_memory || !more;
		l->cut_off = more ? more : l->cut_off;
	}
	if (!l->no_memory)
		l->cut_off[l->cut_off_count++] = *row;
}

static void row_see(void *context, const struct core_event *row)
{
	struct core_local *l = context;
	struct core_event event = *row;

	if (event.kind == CORE_LOAD_CUT_OFF) {
		cut_off_keep(l, row);
		return;
	}
	if (event.kind == CORE_LOAD_COUNTERS)
		prng_system(&event.random, sizeof(event.random));
	step(l, &event);
}

/* rules.md 19: each is released and recorded, durably before the next. */
static enum err cut_off_all(struct core_local *l, struct err_info *info)
{
	if (l->no_memory)
		return err_set(info, ERR_MEMORY, "no memory for the requests that were cut off");
	for (uint32_t i = 0; i < l->cut_off_count; i++) {
		struct core_event *event = &l->cut_off[i];

		if (l->hooks && l->hooks->tokens)
			event->u.cut_off.tokens = l->hooks->tokens(l->hooks->context,
				&event->u.cut_off.usage.request);
		if (core_local_step(l, event, info))
			return info->code;
	}
	return ERR_NONE;
}

static enum err ready(struct core_local *l, struct err_info *info)
{
	struct core_event event = {.kind = CORE_READY};

	if (core_local_step(l, &event, info))
		return info->code;
	if (l->reply.result == CORE_RESULT_FULL)
		return err_set(info, ERR_LIMIT,
			"the database holds more tenants, keys or prices than the limits allow");
	if (l->reply.result != CORE_RESULT_DONE)
		return err_set(info, ERR_INPUT,
			"the database contradicts itself; tongyun ledger check tells where");
	return ERR_NONE;
}

static enum err boot(struct core_local *l, struct err_info *info)
{
	if (store_load(l->store, row_see, l, info) || cut_off_all(l, info))
		return info->code;
	return ready(l, info);
}

enum err core_local_open(struct core_local *l, const struct core_limits *limits,
	struct store *store, const struct core_local_hooks *hooks, struct err_info *info)
{
	*l = (struct core_local){.store = store, .hooks = hooks};
	if (core_limits_check(limits, info))
		return info->code;
	l->memory = mem_alloc_aligned(1, core_bytes(limits), 64);
	if (!l->memory)
		return err_set(info, ERR_MEMORY, "no memory for %zu bytes of state",
			core_bytes(limits));
	l->core = core_init(l->memory, limits);
	const enum err err = boot(l, info);
	mem_free(l->cut_off);
	l->cut_off = NULL;
	if (err)
		core_local_close(l);
	return err;
}

void core_local_close(struct core_local *l)
{
	mem_free(l->memory);
	l->memory = NULL;
	l->core = NULL;
}
