/* server/core_thread.c - see core_thread.h. */
#include "server/core_thread.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/executor_sim.h"
#include "server/journal_file.h"

/* Events of one source that are taken before the others are looked at again. */
#define EVENTS_IN_A_ROW 64

struct core_thread {
	struct core_thread_config config;
	struct thread *thread;
	struct core_actions actions;
	int64_t deadline_ns;
	bool wake_front, wake_store;        /* at the end of the round */
	struct journal_chunk *chunk;        /* being filled, or NULL */
	uint64_t steps;
	int64_t step_ns_max, step_ns_sum;

	/* DELIVERs that found the front's ring nearly full: only the newest count of each
	 * request matters. */
	uint32_t *late_tokens;              /* [requests_max], 0: none */
	uint32_t *late;                     /* [requests_max] handles */
	uint32_t late_count;
};

/* ---- the journal ----------------------------------------------------------------------------- */

static void journal_pass(struct core_thread *t)
{
	if (!t->chunk || t->chunk->size == 0)
		return;
	const bool pushed = ring_push(t->config.wires->journal, &t->chunk);
	assert(pushed);
	t->chunk = NULL;
	t->wake_store = true;
}

/* Room for one event of any kind; false: the store thread is behind, events must wait. */
static bool journal_ready(struct core_thread *t)
{
	if (t->chunk && JOURNAL_CHUNK_BYTES - t->chunk->size < JOURNAL_RECORD_BYTES_MAX)
		journal_pass(t);
	if (!t->chunk && ring_pop(t->config.wires->journal_back, &t->chunk))
		t->chunk->size = 0;
	return t->chunk != NULL;
}

static void journal_event(struct core_thread *t, const struct core_event *event)
{
	assert(t->chunk);
	t->chunk->size += (uint32_t)journal_encode(t->chunk->bytes + t->chunk->size, event);
	assert(t->chunk->size <= JOURNAL_CHUNK_BYTES);
}

/* ---- actions --------------------------------------------------------------------------------- */

static void front_send(struct core_thread *t, const struct core_action *action)
{
	const bool pushed = ring_push(t->config.wires->actions, action);

	assert(pushed);
	t->wake_front = true;
}

static bool front_has_room(const struct core_thread *t)
{
	return ring_room(t->config.wires->actions) > t->config.wires->reserved;
}

static void deliver(struct core_thread *t, const struct core_action *action)
{
	const uint32_t handle = action->u.deliver.handle;

	if (t->late_tokens[handle] == 0 && front_has_room(t)) {
		front_send(t, action);
		return;
	}
	if (t->late_tokens[handle] == 0)
		t->late[t->late_count++] = handle;
	t->late_tokens[handle] = action->u.deliver.answer_tokens;
}

/* ANSWERED tells the count itself, and after an END nobody wants it. */
static void deliver_forget(struct core_thread *t, uint32_t handle)
{
	if (t->late_tokens[handle] == 0)
		return;
	t->late_tokens[handle] = 0;
	for (uint32_t i = 0; i < t->late_count; i++)
		if (t->late[i] == handle) {
			t->late[i] = t->late[--t->late_count];
			break;
		}
}

static void deliver_late(struct core_thread *t)
{
	while (t->late_count > 0 && front_has_room(t)) {
		struct core_action action = {.kind = CORE_DELIVER};

		action.u.deliver.handle = t->late[--t->late_count];
		action.u.deliver.answer_tokens = t->late_tokens[action.u.deliver.handle];
		t->late_tokens[action.u.deliver.handle] = 0;
		front_send(t, &action);
	}
}

/* What a durable record rests on is in the file before it. */
static void record_send(struct core_thread *t, const struct record *record)
{
	if (record->awaited)
		journal_pass(t);
	const bool pushed = ring_push(t->config.wires->records, record);
	assert(pushed);
	t->wake_store = true;
}

static void batch_run(struct core_thread *t, struct batch *batch)
{
	struct executor *e = t->config.executors[batch->model];

	assert(batch->model < t->config.model_count);
	if (t->config.simulated[batch->model])
		executor_sim_advance(e, clock_monotonic_ns());
	executor_submit(e, batch);
}

static void action_take(struct core_thread *t, const struct core_action *action)
{
	switch (action->kind) {
	case CORE_RUN:
		batch_run(t, action->u.run);
		return;
	case CORE_STORE:
		record_send(t, &action->u.store);
		return;
	case CORE_DELIVER:
		deliver(t, action);
		return;
	case CORE_ANSWERED:
		deliver_forget(t, action->u.answered.handle);
		break;
	case CORE_END:
		deliver_forget(t, action->u.end.handle);
		break;
	case CORE_ADMIT:
	case CORE_REFUSE:
	case CORE_ACCEPT:
	case CORE_CUT:
	case CORE_REPLY:
	case CORE_STOPPED:
		break;
	case CORE_ACTION_KINDS:
		assert(false);
	}
	front_send(t, action);
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool timed_step(struct core_thread *t, const struct core_event *event)
{
	const int64_t start_ns = clock_monotonic_ns();
	const bool more = core_step(t->config.core, event, &t->actions);
	const int64_t took_ns = clock_monotonic_ns() - start_ns;

	t->steps++;
	t->step_ns_sum += took_ns;
	if (took_ns > t->step_ns_max)
		t->step_ns_max = took_ns;
	t->config.actions_hash = core_actions_hash(t->config.actions_hash, &t->actions);
	for (uint32_t i = 0; i < t->actions.count; i++)
		action_take(t, &t->actions.list[i]);
	return more;
}

static void step(struct core_thread *t, struct core_event *event)
{
	event->now_ns = clock_monotonic_ns();
	event->wall_ns = clock_wall_ns();
	journal_event(t, event);
	bool more = timed_step(t, event);
	while (more)
		more = timed_step(t, NULL);
	t->deadline_ns = t->actions.deadline_ns;
}

static bool front_take(struct core_thread *t)
{
	struct core_event event;
	uint32_t taken = 0;

	while (taken < EVENTS_IN_A_ROW && journal_ready(t) &&
		ring_pop(t->config.wires->events, &event)) {
		step(t, &event);
		taken++;
	}
	if (taken > 0 || ring_count(t->config.wires->events) == 0)
		t->wake_front |= wires_room_made(t->config.wires);
	return taken > 0;
}

static bool store_take(struct core_thread *t)
{
	struct store_result result;
	bool any = false;

	while (journal_ready(t) && ring_pop(t->config.wires->results, &result)) {
		struct core_event event = {.kind = result.failed ? CORE_STORE_FAILED : CORE_STORED};

		event.u.store.sequence = result.sequence;
		step(t, &event);
		any = true;
	}
	return any;
}

static bool executor_take(struct core_thread *t, uint32_t model)
{
	struct executor *e = t->config.executors[model];
	bool any = false;

	if (t->config.simulated[model])
		executor_sim_advance(e, clock_monotonic_ns());
	while (journal_ready(t)) {
		struct core_event event = {.kind = CORE_BATCH_DONE};

		event.u.batch_done = executor_poll(e);
		if (!event.u.batch_done)
			break;
		step(t, &event);
		any = true;
	}
	return any;
}

static bool tick(struct core_thread *t)
{
	struct core_event event = {.kind = CORE_TICK};

	if (t->deadline_ns == CORE_NEVER_NS || clock_monotonic_ns() < t->deadline_ns ||
		!journal_ready(t))
		return false;
	step(t, &event);
	return true;
}

/* One look at every source. Finished batches first: the chip must not wait. */
static bool round_take(struct core_thread *t)
{
	bool any = false;

	for (uint32_t i = 0; i < t->config.model_count; i++)
		any |= executor_take(t, i);
	any |= store_take(t);
	any |= front_take(t);
	any |= tick(t);
	return any;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void report(struct core_thread *t)
{
	struct wires *w = t->config.wires;

	if (!atomic_exchange(&w->report_wanted, false))
		return;
	core_stats(t->config.core, &w->report.stats);
	w->report.steps = t->steps;
	w->report.step_ns_max = t->step_ns_max;
	w->report.step_ns_sum = t->step_ns_sum;
	w->report.store_commits = atomic_load(&w->commits);
	w->report.commit_ns_max = atomic_load(&w->commit_ns_max);
	w->report.journal_failed = atomic_load(&w->journal_failed);
	atomic_store(&w->report_there, true);
	t->wake_front = true;
}

static void others_wake(struct core_thread *t)
{
	deliver_late(t);
	journal_pass(t);
	if (t->wake_front)
		wake_set(&t->config.wires->front_wake);
	if (t->wake_store)
		wake_set(&t->config.wires->store_wake);
	t->wake_front = t->wake_store = false;
}

static int64_t sleep_ns(const struct core_thread *t)
{
	int64_t until_ns = t->deadline_ns;

	for (uint32_t i = 0; i < t->config.model_count; i++) {
		const int64_t due_ns = t->config.simulated[i]
			? executor_sim_due_ns(t->config.executors[i]) : INT64_MAX;

		if (due_ns < until_ns)
			until_ns = due_ns;
	}
	if (until_ns == CORE_NEVER_NS)
		return -1;
	const int64_t left_ns = until_ns - clock_monotonic_ns();
	return left_ns > 0 ? left_ns : 0;
}

static void run(void *argument)
{
	struct core_thread *t = argument;

	for (;;) {
		const bool any = round_take(t);

		report(t);
		others_wake(t);
		if (any)
			continue;
		if (atomic_load(&t->config.wires->core_stop))
			return;
		wake_wait(&t->config.wires->core_wake, sleep_ns(t));
	}
}

static void core_thread_free(struct core_thread *t)
{
	mem_free(t->late_tokens);
	mem_free(t->late);
	mem_free(t);
}

enum err core_thread_start(struct core_thread **out, const struct core_thread_config *config,
	struct err_info *info)
{
	struct core_thread *t = mem_alloc(1, sizeof(*t));

	if (!t)
		return err_set(info, ERR_MEMORY, "no memory for the core's thread");
	t->config = *config;
	t->deadline_ns = CORE_NEVER_NS;
	t->late_tokens = mem_alloc(config->requests_max, sizeof(*t->late_tokens));
	t->late = mem_alloc(config->requests_max, sizeof(*t->late));
	if (!t->late_tokens || !t->late)
		err_set(info, ERR_MEMORY, "no memory for the core's thread");
	else if (thread_start(&t->thread, "ty-core", run, t, info) == ERR_NONE)
		*out = t;
	if (info->code)
		core_thread_free(t);
	return info->code;
}

uint64_t core_thread_join(struct core_thread *t)
{
	if (!t)
		return 0;
	thread_join(t->thread);
	const uint64_t hash = t->config.actions_hash;
	core_thread_free(t);
	return hash;
}
