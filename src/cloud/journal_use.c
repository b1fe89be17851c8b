/* cloud/journal_use.c - what a journal is read for: the requests a crash cut off, and
 * the day again. */
#include <assert.h>

#include "base/mem.h"
#include "cloud/journal.h"

/* ---- tally: the newest request of each handle ------------------------------------------------ */

struct tally_request {
	bool known;
	struct store_fact fact;
};

struct journal_tally {
	uint32_t handles_max;
	journal_see *see;
	void *context;
	struct tally_request requests[];
};

enum err journal_tally_open(struct journal_tally **out, uint32_t handles_max, journal_see *see,
	void *context, struct err_info *info)
{
	struct journal_tally *t = mem_alloc(1,
		sizeof(*t) + handles_max * sizeof(t->requests[0]));

	if (!t)
		return err_set(info, ERR_MEMORY, "journal: no memory for %u requests", handles_max);
	t->handles_max = handles_max;
	t->see = see;
	t->context = context;
	*out = t;
	return ERR_NONE;
}

void journal_tally_close(struct journal_tally *t)
{
	mem_free(t);
}

/* Nothing more comes for what this handle was used for. */
static void tally_tell(struct journal_tally *t, uint32_t handle)
{
	struct tally_request *r = &t->requests[handle];

	if (r->known && t->see)
		t->see(t->context, &r->fact);
	r->known = false;
}

void journal_tally_end(struct journal_tally *t)
{
	for (uint32_t handle = 0; handle < t->handles_max; handle++)
		tally_tell(t, handle);
}

void journal_tally_carry(const struct journal_tally *t,
	void (*take)(void *context, const struct journal_carried *carried), void *context)
{
	for (uint32_t handle = 0; handle < t->handles_max; handle++) {
		const struct tally_request *r = &t->requests[handle];
		const struct journal_carried carried = {.handle = handle, .fact = r->fact};

		if (r->known && !r->fact.complete)
			take(context, &carried);
	}
}

static void tally_begin(struct journal_tally *t, uint32_t handle, const struct store_fact *fact)
{
	if (handle >= t->handles_max)
		return;
	tally_tell(t, handle);
	t->requests[handle].known = true;
	t->requests[handle].fact = *fact;
}

/* The front's last word: what is billed is decided by it or after it. Loss of power may take the
 * journal's end and leave a settle durable; such a request was never complete here. */
static void tally_last_word(struct journal_tally *t, uint32_t handle)
{
	if (handle < t->handles_max && t->requests[handle].known)
		t->requests[handle].fact.complete = true;
}

static void tally_batch(struct journal_tally *t, const struct journal_batch *batch)
{
	for (uint32_t i = 0; !batch->failed && i < batch->item_count; i++)
		if (batch->requests[i] < t->handles_max)
			t->requests[batch->requests[i]].fact.tokens +=
				batch->results[i].token_count;
}

void journal_tally_add(struct journal_tally *t, const struct journal_entry *entry)
{
	const struct core_event *e = &entry->event;

	if (e->kind == CORE_LOAD_COUNTERS)
		journal_tally_end(t);   /* another run: its handles are other requests */
	else if (e->kind == CORE_ASK)
		tally_begin(t, e->u.ask.handle, &(struct store_fact){.request = e->u.ask.request});
	else if (e->kind == CORE_EVENT_KINDS)
		tally_begin(t, entry->carried.handle, &entry->carried.fact);
	else if (e->kind == CORE_FLUSHED || e->kind == CORE_CANCEL)
		tally_last_word(t, e->u.progress.handle);
	else if (e->kind == CORE_BATCH_DONE)
		tally_batch(t, &entry->batch);
}

int64_t journal_tally_tokens(const struct journal_tally *t, struct record_request request)
{
	for (uint32_t handle = 0; handle < t->handles_max; handle++) {
		const struct tally_request *r = &t->requests[handle];

		if (r->known && record_request_compare(r->fact.request, request) == 0)
			return r->fact.tokens;
	}
	return 0;
}

/* ---- replay ---------------------------------------------------------------------------------- */

#define FLIGHT_MAX (sizeof(((struct journal_replay *)0)->flight) / sizeof(struct batch *))

static bool batch_is(const struct batch *own, const struct journal_batch *noted)
{
	if (own->id != noted->id || own->model != noted->model ||
		own->item_count != noted->item_count)
		return false;
	for (uint32_t i = 0; i < own->item_count; i++)
		if (own->items[i].request != noted->requests[i])
			return false;
	return true;
}

/* The core's own batch with the results that were noted; NULL when there is none such. */
static struct batch *batch_take(struct journal_replay *r, const struct journal_batch *noted)
{
	uint32_t at = 0;

	while (at < r->flight_count && !batch_is(r->flight[at], noted))
		at++;
	if (at == r->flight_count)
		return NULL;
	struct batch *own = r->flight[at];

	r->flight_count--;
	for (uint32_t i = at; i < r->flight_count; i++)
		r->flight[i] = r->flight[i + 1];
	own->failed = noted->failed;
	for (uint32_t i = 0; i < own->item_count; i++)
		own->results[i] = noted->results[i];
	return own;
}

static enum err runs_keep(struct journal_replay *r, struct err_info *info)
{
	for (uint32_t i = 0; i < r->actions.count; i++) {
		if (r->actions.list[i].kind != CORE_RUN)
			continue;
		if (r->flight_count == FLIGHT_MAX)
			return err_set(info, ERR_LIMIT, "journal: too many models to replay");
		r->flight[r->flight_count++] = r->actions.list[i].u.run;
	}
	return ERR_NONE;
}

enum err journal_replay_step(struct journal_replay *r, const struct journal_entry *entry,
	struct err_info *info)
{
	struct core_event event = entry->event;
	bool more = true;

	if (event.kind == CORE_EVENT_KINDS)
		return ERR_NONE;        /* carried: the core knows it from before */
	if (event.kind == CORE_BATCH_DONE) {
		event.u.batch_done = batch_take(r, &entry->batch);
		if (!event.u.batch_done)
			return err_set(info, ERR_INPUT,
				"journal: batch %llu is none that was given",
				(unsigned long long)entry->batch.id);
	}
	for (const struct core_event *e = &event; more; e = NULL) {
		more = core_step(r->core, e, &r->actions);
		r->hash = core_actions_hash(r->hash, &r->actions);
		if (runs_keep(r, info))
			return info->code;
	}
	return ERR_NONE;
}
