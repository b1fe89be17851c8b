/* fleet/simulate.c - the virtual clock: what happens next, until it is over; see simulate.h. */
#include "fleet/simulate.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/audit.h"
#include "fleet/simulate_internal.h"

#define STOP_EVENTS_MAX 20000   /* a drained core has stopped after so many more */
#define CUT_OFFS_MAX    WITNESS_HANDLES

/* ---- boot ------------------------------------------------------------------------------------ */

struct boot {
	struct fleet *f;
	struct core_event cut_offs[CUT_OFFS_MAX];
	uint32_t cut_off_count;
};

/* Rows that make records wait until all are read. */
static void boot_see(void *context, const struct core_event *row)
{
	struct boot *b = context;
	struct core_event event = *row;

	if (event.kind == CORE_LOAD_COUNTERS)
		event.random = prng_next(&b->f->prng);
	if (event.kind != CORE_LOAD_CUT_OFF)
		fleet_core(b->f, &event);
	else if (b->cut_off_count < CUT_OFFS_MAX)
		b->cut_offs[b->cut_off_count++] = event;
	else
		fleet_fail(b->f, "the store remembers more open requests than there were");
}

/* Messages of the store are taken at once while it boots. */
static void boot_commit(struct fleet *f)
{
	fleet_commit(f);
	while (f->to_core_count > 0) {
		struct core_event event = f->to_core[f->to_core_first].event;

		f->to_core_first = (f->to_core_first + 1) % FLEET_MESSAGES_MAX;
		f->to_core_count--;
		fleet_core(f, &event);
	}
}

static void boot_models(struct fleet *f)
{
	for (uint32_t i = 0; i < f->limits.models_max; i++) {
		struct core_event event = {.kind = CORE_MODEL};

		event.token = ++f->token_next;
		event.u.model.model = i;
		snprintf(event.u.model.name, RECORD_MODEL_BYTES, "m%u", i);
		event.u.model.limits = f->model_limits[i];
		fleet_core(f, &event);
	}
}

static enum err boot(struct fleet *f, struct err_info *info)
{
	struct core_event ready = {.kind = CORE_READY};
	struct boot b = {.f = f};

	memset(f->core_memory, 0, core_bytes(&f->limits));
	f->core = core_init(f->core_memory, &f->limits);
	f->store_halted = false;
	f->commit_ns = FLEET_NEVER_NS;
	store_memory_fail(f->store, 0);
	if (fleet_executors_open(f, info) || store_load(f->store, boot_see, &b, info))
		return info->code;
	for (uint32_t i = 0; i < b.cut_off_count; i++) {
		fleet_core(f, &b.cut_offs[i]);
		boot_commit(f);
	}
	ready.token = ++f->token_next;
	fleet_core(f, &ready);
	boot_commit(f);
	boot_models(f);
	store_memory_fail(f->store, f->commit_fail_per_million);
	return ERR_NONE;
}

/* ---- crash ----------------------------------------------------------------------------------- */

/* What `ledger check` would say of it now. */
static void store_agrees(struct fleet *f)
{
	struct err_info info = {0};

	if (audit_store(f->store, NULL, 0, false, &info))
		fleet_fail(f, info.text);
}

/* And when nothing runs any more, so that nothing may be open. */
static void store_agrees_idle(struct fleet *f, const struct store_fact *facts, uint64_t fact_count)
{
	struct err_info info = {0};

	if (audit_store(f->store, facts, fact_count, true, &info))
		fleet_fail(f, info.text);
}

/* What this core has counted; the next one begins at 0. */
static void stats_add(struct fleet *f)
{
	struct core_stats stats;

	core_stats(f->core, &stats);
	f->report->preemptions += stats.preemptions;
	f->report->batches += stats.batches;
	f->report->batches_failed += stats.batches_failed;
	f->report->tokens_sampled += stats.tokens_sampled;
}

/* The process is killed: only what is durable is left. */
static enum err crash(struct fleet *f, struct err_info *info)
{
	f->report->crashes++;
	stats_add(f);
	f->crash_event = f->report->events + f->crash_every;
	fleet_executors_close(f);
	witness_crash(&f->witness);
	store_memory_crash(f->store);
	store_agrees(f);
	memset(f->clients, 0, sizeof(f->clients));
	f->to_core_count = 0;
	f->to_front_count = 0;
	return boot(f, info);
}

/* ---- what happens next ----------------------------------------------------------------------- */

enum happening {
	HAPPENING_NOTHING,
	HAPPENING_TO_CORE,
	HAPPENING_TO_FRONT,
	HAPPENING_BATCH,
	HAPPENING_COMMIT,
	HAPPENING_CLIENT,
	HAPPENING_DEADLINE,
	HAPPENING_COMMAND,
	HAPPENING_ARRIVAL,
};

struct next {
	enum happening what;
	uint32_t which;     /* model or handle */
	int64_t at_ns;
};

/* Of two at the same time the one that was offered first. */
static void offer(struct next *n, enum happening what, uint32_t which, int64_t at_ns)
{
	if (at_ns < n->at_ns)
		*n = (struct next){what, which, at_ns};
}

static struct next next_find(const struct fleet *f)
{
	struct next n = {HAPPENING_NOTHING, 0, FLEET_NEVER_NS};

	if (f->to_core_count > 0)
		offer(&n, HAPPENING_TO_CORE, 0, f->to_core[f->to_core_first].due_ns);
	if (f->to_front_count > 0)
		offer(&n, HAPPENING_TO_FRONT, 0, f->to_front[f->to_front_first].due_ns);
	for (uint32_t i = 0; i < f->limits.models_max; i++)
		offer(&n, HAPPENING_BATCH, i, executor_sim_due_ns(f->executors[i]));
	offer(&n, HAPPENING_COMMIT, 0, f->commit_ns);
	for (uint32_t h = 0; h < f->limits.requests_max; h++)
		offer(&n, HAPPENING_CLIENT, h, fleet_client_due_ns(&f->clients[h]));
	offer(&n, HAPPENING_DEADLINE, 0, f->tick_ns);
	offer(&n, HAPPENING_COMMAND, 0, f->command_ns);
	offer(&n, HAPPENING_ARRIVAL, 0, f->arrival_ns);
	return n;
}

static void to_core(struct fleet *f)
{
	struct core_event event = f->to_core[f->to_core_first].event;

	f->to_core_first = (f->to_core_first + 1) % FLEET_MESSAGES_MAX;
	f->to_core_count--;
	fleet_core(f, &event);
}

static void to_front(struct fleet *f)
{
	const struct core_action action = f->to_front[f->to_front_first].action;

	f->to_front_first = (f->to_front_first + 1) % FLEET_MESSAGES_MAX;
	f->to_front_count--;
	fleet_client_told(f, &action);
}

static void happen(struct fleet *f, const struct next *n)
{
	struct core_event tick = {.kind = CORE_TICK};

	f->now_ns = n->at_ns > f->now_ns ? n->at_ns : f->now_ns;
	switch (n->what) {
	case HAPPENING_NOTHING:
		fleet_fail(f, "nothing will ever happen again");
		break;
	case HAPPENING_TO_CORE:
		to_core(f);
		break;
	case HAPPENING_TO_FRONT:
		to_front(f);
		break;
	case HAPPENING_BATCH:
		fleet_batch_done(f, n->which);
		break;
	case HAPPENING_COMMIT:
		fleet_commit(f);
		break;
	case HAPPENING_CLIENT:
		fleet_client_act(f, n->which);
		break;
	case HAPPENING_DEADLINE:
		fleet_core(f, &tick);
		break;
	case HAPPENING_COMMAND:
		fleet_command(f);
		break;
	case HAPPENING_ARRIVAL:
		fleet_client_arrive(f);
		break;
	}
}

static enum err live(struct fleet *f, uint64_t events, struct err_info *info)
{
	while (!f->report->failed && f->report->events < events) {
		if (f->crash_every > 0 && f->report->events >= f->crash_event &&
			crash(f, info))
			return info->code;
		const struct next n = next_find(f);

		happen(f, &n);
	}
	return ERR_NONE;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* rules.md 9; with a store that works again, so that everything can come to its end. */
static void drain(struct fleet *f)
{
	struct core_event event = {.kind = CORE_DRAIN};
	const uint64_t events_max = f->report->events + STOP_EVENTS_MAX;

	store_memory_fail(f->store, 0);
	event.u.drain.grace_ns = fleet_between_ns(f, 0, 300 * FLEET_MS);
	fleet_core(f, &event);
	while (!f->report->failed && !(f->stopped && f->to_core_count == 0 &&
		f->commit_ns == FLEET_NEVER_NS && f->witness.command_count == 0)) {
		const struct next n = next_find(f);

		happen(f, &n);
		if (f->report->events > events_max)
			fleet_fail(f, "does not stop when it is drained");
	}
}

static void end(struct fleet *f)
{
	if (f->report->failed)
		return;
	witness_end(&f->witness, f->core);
	if (f->witness.text[0])
		fleet_fail(f, f->witness.text);
	store_agrees_idle(f, NULL, 0);
}

/* ---- the day again --------------------------------------------------------------------------- */

static enum err replay_entry(struct fleet *f, struct journal_replay *r,
	const struct journal_entry *entry)
{
	struct err_info info = {0};

	if (entry->event.kind == CORE_LOAD_COUNTERS) {
		memset(f->core_memory, 0, core_bytes(&f->limits));
		r->core = core_init(f->core_memory, &f->limits);
		r->flight_count = 0;
	}
	if (journal_replay_step(r, entry, &info))
		fleet_fail(f, info.text);
	return info.code;
}

struct facts {
	struct store_fact *list;
	uint64_t count;
	uint64_t capacity;
};

/* Kept sorted by request: mostly few, and never many. */
static void fact_see(void *context, const struct store_fact *fact)
{
	struct facts *facts = context;
	uint64_t at = facts->count;

	if (facts->count == facts->capacity)
		return;
	while (at > 0 &&
		record_request_compare(facts->list[at - 1].request, fact->request) > 0) {
		facts->list[at] = facts->list[at - 1];
		at--;
	}
	facts->list[at] = *fact;
	facts->count++;
}

/* A fresh core takes the same decisions, and what the journal knows agrees with the store. */
static enum err replay(struct fleet *f, struct err_info *info)
{
	struct journal_entry *entry = mem_alloc(1, sizeof(*entry));
	struct journal_replay *r = mem_alloc(1, sizeof(*r));
	struct facts facts = {.capacity = f->report->asked};
	struct journal_tally *tally = NULL;
	size_t used = 0;

	facts.list = mem_alloc(facts.capacity + 1, sizeof(*facts.list));
	if (!entry || !r || !facts.list) {
		err_set(info, ERR_MEMORY, "fleet: no memory to replay");
		goto done;
	}
	if (journal_tally_open(&tally, WITNESS_HANDLES, fact_see, &facts, info))
		goto done;
	for (size_t at = 0; at < f->journal_bytes && !f->report->failed; at += used) {
		if (journal_decode(entry, f->journal + at, f->journal_bytes - at, &used) !=
			JOURNAL_ENTRY)
			fleet_fail(f, "the journal cannot be read");
		else if (replay_entry(f, r, entry) == ERR_NONE)
			journal_tally_add(tally, entry);
	}
	journal_tally_end(tally);
	if (r->hash != f->hash)
		fleet_fail(f, "the journal, replayed, gives other actions");
	store_agrees_idle(f, facts.list, facts.count);
done:
	journal_tally_close(tally);
	mem_free(facts.list);
	mem_free(entry);
	mem_free(r);
	return info->code;
}

/* ---- one seed -------------------------------------------------------------------------------- */

static uint64_t events_wanted(const struct fleet_options *options)
{
	return options->events > 0 ? options->events : FLEET_EVENTS_DEFAULT;
}

void fleet_replay_format(char *out, const struct fleet_options *options)
{
	snprintf(out, FLEET_TEXT_BYTES,
		"tongyun fleet simulate --seed %" PRIu64 " --events %" PRIu64 "%s", options->seed,
		events_wanted(options), options->replay ? " --replay" : "");
}

static void report_fill(struct fleet *f)
{
	struct fleet_report *r = f->report;

	stats_add(f);
	r->trace_hash = f->hash;
	r->virtual_ns = f->now_ns;
	r->tokens_billed = f->witness.tokens_billed;
	r->parked = f->witness.parked;
	r->revenue_nano = f->witness.given.revenue_nano;
	fleet_replay_format(r->replay, f->options);
}

static enum err open_store(struct fleet *f, struct err_info *info)
{
	const struct store_memory_config config = {
		.records_max = f->limits.records_max,
		.tenants_max = f->limits.tenants_max,
		.seed = f->options->seed,
	};

	return store_memory_open(&f->store, &config, info);
}

static enum err run(struct fleet *f, struct err_info *info)
{
	prng_init(&f->prng, f->options->seed);
	fleet_dimension(f);
	witness_init(&f->witness, &f->limits);
	f->core_memory = mem_alloc(1, core_bytes(&f->limits));
	if (!f->core_memory)
		return err_set(info, ERR_MEMORY, "fleet: no memory for the core");
	if (open_store(f, info) || boot(f, info) || live(f, events_wanted(f->options), info))
		return info->code;
	if (!f->report->failed)
		drain(f);
	end(f);
	report_fill(f);
	return f->options->replay && !f->report->failed ? replay(f, info) : ERR_NONE;
}

enum err fleet_simulate(const struct fleet_options *options, struct fleet_report *report,
	struct err_info *info)
{
	struct fleet *f = mem_alloc(1, sizeof(*f));

	memset(report, 0, sizeof(*report));
	report->seed = options->seed;
	if (!f || options->events > FLEET_EVENTS_MAX) {
		mem_free(f);
		return err_set(info, f ? ERR_LIMIT : ERR_MEMORY,
			"fleet: more than %d events, or no memory", FLEET_EVENTS_MAX);
	}
	f->options = options;
	f->report = report;
	const enum err err = run(f, info);

	fleet_executors_close(f);
	store_close(f->store);
	mem_free(f->core_memory);
	mem_free(f->journal);
	mem_free(f);
	return err;
}
