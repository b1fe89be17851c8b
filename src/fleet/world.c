/* fleet/world.c - the size of the world, and what the core's actions do in it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "fleet/simulate_internal.h"

#define TICK_LATE_NS_MAX (40 * FLEET_MS)

void fleet_fail(struct fleet *f, const char *text)
{
	if (f->report->failed)
		return;
	f->report->failed = true;
	f->report->failed_event = f->report->events;
	snprintf(f->report->text, sizeof(f->report->text), "%s", text);
}

/* ---- by seed --------------------------------------------------------------------------------- */

static void dimension_pool(struct fleet *f, struct executor_limits *l)
{
	l->context_max = fleet_between_u32(f, 16, FLEET_CONTEXT_MAX);
	l->slots = fleet_between_u32(f, 1, 8);
	l->pages = fleet_one_in(f, 8) ? 0 : fleet_between_u32(f, 1, 2 * l->slots + 4);
	l->states = fleet_one_in(f, 2) ? 0 : fleet_between_u32(f, 1, 8);
	l->rows_max = fleet_between_u32(f, 1, 64);
	l->vocab = 100;
}

static void dimension_core(struct fleet *f)
{
	struct core_limits *l = &f->limits;

	l->requests_max = fleet_between_u32(f, 3, WITNESS_HANDLES);
	l->queue_max = fleet_between_u32(f, 1, 8);
	l->tenants_max = fleet_between_u32(f, 2, WITNESS_TENANTS);
	l->keys_max = fleet_between_u32(f, 1, 6);
	l->prices_max = fleet_between_u32(f, 1, WITNESS_PRICES);
	l->models_max = fleet_between_u32(f, 1, WITNESS_MODELS);
	l->replies_max = fleet_between_u32(f, 1, WITNESS_COMMANDS / 2);
	l->records_max = fleet_between_u32(f, 6, WITNESS_RECORDS);
	l->hold_step_tokens = fleet_between_u32(f, 1, 40);
	l->stall_ns = fleet_between_ns(f, 20 * FLEET_MS, 400 * FLEET_MS);
	l->retry_ns = fleet_between_ns(f, FLEET_MS, 20 * FLEET_MS);
	dimension_pool(f, &l->pool);
	for (uint32_t i = 0; i < l->models_max; i++) {
		struct executor_limits *m = &f->model_limits[i];

		dimension_pool(f, m);
		m->context_max = math_min_u32(m->context_max, l->pool.context_max);
		m->slots = math_min_u32(m->slots, l->pool.slots);
		m->pages = math_min_u32(m->pages, l->pool.pages);
		m->states = math_min_u32(m->states, l->pool.states);
	}
}

void fleet_dimension(struct fleet *f)
{
	dimension_core(f);
	f->cost.weight_ops_per_row = 1000;
	f->rates.bytes_per_s = 1000000000;
	f->rates.ops_per_s = fleet_between_ns(f, 5000000, 100000000);
	f->rates.step_ns = fleet_between_ns(f, 100 * FLEET_US, 4 * FLEET_MS);
	f->batch_fail_per_million = fleet_one_in(f, 2) ? 0 : 10000;
	f->row_error_per_million = fleet_one_in(f, 2) ? 0 : 2000;
	f->commit_fail_per_million = fleet_one_in(f, 2) ? 0 : 30000;
	f->topup_max_nano = fleet_one_in(f, 2) ? 3000 : 100000;
	f->arrival_ns_mean = fleet_between_ns(f, 2 * FLEET_MS, 60 * FLEET_MS);
	f->crash_every = fleet_one_in(f, 2) ? 0 : fleet_between(f, 500, 4000);
	f->crash_event = f->crash_every;
}

/* ---- executors ------------------------------------------------------------------------------- */

enum err fleet_executors_open(struct fleet *f, struct err_info *info)
{
	const struct executor_sim_faults faults = {
		.fail_per_million = f->batch_fail_per_million,
		.error_per_million = f->row_error_per_million,
		.seed = f->options->seed,
	};

	f->table = (struct request_table){f->by_handle, WITNESS_HANDLES};
	for (uint32_t i = 0; i < f->limits.models_max; i++) {
		if (executor_sim_open(&f->executors[i], &f->model_limits[i], &f->table, &f->cost,
			    &f->rates, &faults, info))
			return info->code;
		executor_sim_advance(f->executors[i], f->now_ns);
	}
	return ERR_NONE;
}

void fleet_executors_close(struct fleet *f)
{
	for (uint32_t i = 0; i < WITNESS_MODELS; i++) {
		executor_close(f->executors[i]);
		f->executors[i] = NULL;
	}
}

void fleet_batch_done(struct fleet *f, uint32_t model)
{
	struct core_event event = {.kind = CORE_BATCH_DONE};

	executor_sim_advance(f->executors[model], f->now_ns);
	event.u.batch_done = executor_poll(f->executors[model]);
	assert(event.u.batch_done);
	fleet_core(f, &event);
}

static void run(struct fleet *f, struct batch *batch)
{
	executor_sim_advance(f->executors[batch->model], f->now_ns);
	executor_submit(f->executors[batch->model], batch);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void keep(struct fleet *f, const struct record *record)
{
	store_append(f->store, record);
	if (record->kind == RECORD_RETRY)
		f->store_halted = false;
	if (!f->store_halted && f->commit_ns == FLEET_NEVER_NS)
		f->commit_ns = f->now_ns + fleet_between_ns(f, 20 * FLEET_US, 2 * FLEET_MS);
}

void fleet_commit(struct fleet *f)
{
	struct core_event event = {.kind = CORE_STORED};
	struct err_info info = {0};
	uint64_t durable = 0;

	f->commit_ns = FLEET_NEVER_NS;
	f->report->commits++;
	if (store_commit(f->store, &durable, &info)) {
		f->report->commits_failed++;
		f->store_halted = true;
		event.kind = CORE_STORE_FAILED;
		durable = f->witness.record_given;
	} else if (durable > 0) {
		witness_committed(&f->witness, durable);
	} else {
		return;
	}
	event.u.store.sequence = durable;
	fleet_core_later(f, &event);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int64_t later_ns(struct fleet *f, int64_t last_ns)
{
	const int64_t due_ns = f->now_ns + fleet_between_ns(f, 0, 100 * FLEET_US);

	return due_ns < last_ns ? last_ns : due_ns;     /* they stay in order */
}

void fleet_core_later(struct fleet *f, const struct core_event *event)
{
	const uint32_t at = (f->to_core_first + f->to_core_count) % FLEET_MESSAGES_MAX;
	const uint32_t last = (at + FLEET_MESSAGES_MAX - 1) % FLEET_MESSAGES_MAX;
	const int64_t last_ns = f->to_core_count > 0 ? f->to_core[last].due_ns : 0;

	assert(f->to_core_count < FLEET_MESSAGES_MAX);
	f->to_core[at].due_ns = later_ns(f, last_ns);
	f->to_core[at].event = *event;
	f->to_core_count++;
}

static void front_later(struct fleet *f, const struct core_action *action)
{
	const uint32_t at = (f->to_front_first + f->to_front_count) % FLEET_MESSAGES_MAX;
	const uint32_t last = (at + FLEET_MESSAGES_MAX - 1) % FLEET_MESSAGES_MAX;
	const int64_t last_ns = f->to_front_count > 0 ? f->to_front[last].due_ns : 0;

	assert(f->to_front_count < FLEET_MESSAGES_MAX);
	f->to_front[at].due_ns = later_ns(f, last_ns);
	f->to_front[at].action = *action;
	f->to_front_count++;
}

/* ---- the core -------------------------------------------------------------------------------- */

static void key_learn(struct fleet *f, const struct core_reply *reply)
{
	if (reply->token & FLEET_KEY_TOKEN && reply->result == CORE_RESULT_DONE &&
		f->key_count < FLEET_KEYS_MAX)
		f->keys[f->key_count++] = reply->token;
}

static void carry_out(struct fleet *f, const struct core_action *action)
{
	switch (action->kind) {
	case CORE_RUN:
		run(f, action->u.run);
		break;
	case CORE_STORE:
		keep(f, &action->u.store);
		break;
	case CORE_STOPPED:
		f->stopped = true;
		break;
	case CORE_REPLY:
		key_learn(f, &action->u.reply);
		break;
	case CORE_END:
		if (action->u.end.recorded) {
			f->report->ended++;
			f->report->ended_by_finish[action->u.end.finish]++;
		}
		front_later(f, action);
		break;
	case CORE_REFUSE:
		f->report->refused++;
		f->report->refused_by_code[action->u.refuse.code]++;
		front_later(f, action);
		break;
	case CORE_ADMIT:
	case CORE_ACCEPT:
	case CORE_DELIVER:
	case CORE_ANSWERED:
	case CORE_CUT:
	case CORE_ACTION_KINDS:
		front_later(f, action);
		break;
	}
}

static void note(struct fleet *f, const struct core_event *event)
{
	if (f->journal_capacity - f->journal_bytes < JOURNAL_RECORD_BYTES_MAX) {
		const size_t capacity = 2 * f->journal_capacity + 16 * JOURNAL_RECORD_BYTES_MAX;
		uint8_t *journal = mem_resize(f->journal, 1, capacity);

		if (!journal) {
			fleet_fail(f, "no memory for the journal");
			return;
		}
		f->journal = journal;
		f->journal_capacity = capacity;
	}
	f->journal_bytes += journal_encode(f->journal + f->journal_bytes, event);
}

static void check(struct fleet *f)
{
	const char *text = core_check(f->core);

	witness_step_end(&f->witness, f->core);
	if (f->witness.text[0])
		fleet_fail(f, f->witness.text);
	if (text)
		fleet_fail(f, text);
}

/* A timer comes late now and then, as on a busy machine: what happens meanwhile comes first. */
static void tick_set(struct fleet *f)
{
	const int64_t deadline_ns = f->actions.deadline_ns;

	if (deadline_ns == f->tick_deadline_ns)
		return;
	f->tick_deadline_ns = deadline_ns;
	f->tick_ns = deadline_ns;
	if (deadline_ns != CORE_NEVER_NS && fleet_one_in(f, 3))
		f->tick_ns += fleet_between_ns(f, 0, TICK_LATE_NS_MAX);
}

void fleet_core(struct fleet *f, struct core_event *event)
{
	bool more = true;

	if (f->report->failed)
		return;
	event->now_ns = f->now_ns;
	event->wall_ns = FLEET_WALL_NS + f->now_ns;
	f->report->events++;
	f->report->asked += event->kind == CORE_ASK;
	if (f->options->replay)
		note(f, event);
	witness_event(&f->witness, event);
	for (const struct core_event *e = event; more; e = NULL) {
		more = core_step(f->core, e, &f->actions);
		f->hash = core_actions_hash(f->hash, &f->actions);
		for (uint32_t i = 0; i < f->actions.count; i++) {
			witness_action(&f->witness, &f->actions.list[i]);
			if (f->witness.text[0])
				break;      /* what is wrong is not carried out */
			carry_out(f, &f->actions.list[i]);
		}
	}
	tick_set(f);
	check(f);
}
