/* fleet/witness.c - see witness.h: events in, requests and batches. Money is in witness_money.c. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "fleet/witness_internal.h"

void witness_wrong(struct witness *w, uint32_t handle, const char *what)
{
	if (w->text[0])
		return;
	if (handle == WITNESS_NONE)
		snprintf(w->text, sizeof(w->text), "%s", what);
	else
		snprintf(w->text, sizeof(w->text), "request %u: %s", handle, what);
}

void witness_init(struct witness *w, const struct core_limits *limits)
{
	memset(w, 0, sizeof(*w));
	assert(limits->requests_max <= WITNESS_HANDLES && limits->tenants_max <= WITNESS_TENANTS);
	assert(limits->models_max <= WITNESS_MODELS && limits->pool.pages <= WITNESS_PAGES);
	assert(limits->records_max <= WITNESS_RECORDS && limits->prices_max <= WITNESS_PRICES);
	w->limits = *limits;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void see_ask(struct witness *w, const struct core_event *e)
{
	struct witness_request *r = &w->requests[e->u.ask.handle];

	*r = (struct witness_request){
		.asking = true, .id = e->u.ask.request, .model = e->u.ask.model};
}

static void see_arrive(struct witness *w, const struct core_event *e)
{
	struct witness_request *r = &w->requests[e->u.arrive.handle];

	r->asking = true;
	r->prompt = e->u.arrive.prompt_tokens;
	r->most = e->u.arrive.answer_tokens_max;
	r->open_ended = e->u.arrive.open_ended;
	witness_price_find(w, w->model_names[r->model], &r->price);
}

/* What the front says counts until the settle was given, and nothing after a cancel. */
static void see_progress(struct witness *w, const struct core_event *e)
{
	struct witness_request *r = &w->requests[e->u.progress.handle];

	if (r->phase == WITNESS_FREE || r->phase == WITNESS_SETTLED || r->cancelled)
		return;
	if (e->kind == CORE_CANCEL) {
		r->cancelled = true;
		r->failed = e->u.progress.failed;
		r->prompt_done = r->delivered > 0;
	}
	if (e->kind == CORE_STALL || e->kind == CORE_RESUME)
		r->paused = r->cut || e->kind == CORE_STALL;
	else
		r->written = e->u.progress.tokens;
	r->flushed = r->flushed || (e->kind == CORE_FLUSHED && r->phase == WITNESS_ANSWERED);
	if (r->written > r->delivered)
		witness_wrong(w, e->u.progress.handle, "more was written than delivered");
}

static void see_result(struct witness *w, const struct batch *b, uint32_t item)
{
	struct witness_request *r = &w->requests[b->items[item].request];
	const struct batch_result *result = &b->results[item];

	r->batches--;
	if (b->failed || result->end == BATCH_END_ERROR) {
		r->broken = r->broken || !r->over;
	} else {
		r->sampled += result->token_count;
		r->over = r->over || result->end != BATCH_END_NOT;
	}
}

static void see_batch_done(struct witness *w, const struct batch *b)
{
	struct batch **flight = w->flight[b->model];

	if (w->flight_count[b->model] == 0 || flight[0] != b) {
		witness_wrong(w, WITNESS_NONE, "a batch came back that was not the oldest");
		return;
	}
	for (uint32_t p = 0; p < b->page_count; p++)
		w->page_named[b->model][b->pages[p]]--;
	for (uint32_t i = 0; i < b->item_count; i++)
		see_result(w, b, i);
	w->flight_count[b->model]--;
	flight[0] = flight[1];
}

/* Memory is the store's: what it gives must be what was durable. */
static void see_load_tenant(struct witness *w, const struct core_event *e)
{
	const uint32_t id = e->u.load_tenant.tenant.id;
	const struct witness_account *account = &w->durable.tenants[id - 1];

	if (e->u.load_tenant.balance_nano != account->balance_nano ||
		e->u.load_tenant.held_nano != account->held_nano)
		witness_wrong(w, WITNESS_NONE, "the store remembers another balance");
	w->tenants[id - 1] = e->u.load_tenant.tenant;
	w->tenant_count = id;
}

static void see_boot(struct witness *w, const struct core_event *e)
{
	if (e->kind == CORE_LOAD_COUNTERS &&
		(e->u.load_counters.cash_nano != w->durable.cash_nano ||
			e->u.load_counters.revenue_nano != w->durable.revenue_nano))
		witness_wrong(w, WITNESS_NONE, "the store remembers another cash or revenue");
	if (e->kind == CORE_LOAD_TENANT)
		see_load_tenant(w, e);
	if (e->kind == CORE_LOAD_PRICE)
		witness_price_put(w, &e->u.load_price);
	if (e->kind == CORE_LOAD_CUT_OFF) {
		w->cut_off_due = true;
		w->cut_off = e->u.cut_off.usage.request;
		w->cut_off_nano = e->u.cut_off.held_nano;
	}
	if (e->kind == CORE_MODEL) {
		w->models[e->u.model.model] = e->u.model.limits;
		memcpy(w->model_names[e->u.model.model], e->u.model.name, RECORD_MODEL_BYTES);
	}
}

static void command_add(struct witness *w, const struct core_event *e)
{
	if (w->command_count == WITNESS_COMMANDS) {
		witness_wrong(w, WITNESS_NONE, "more commands wait than there is room for");
		return;
	}
	w->commands[w->command_count++] =
		(struct witness_command){.token = e->token, .kind = e->kind};
}

void witness_event(struct witness *w, const struct core_event *e)
{
	for (uint32_t i = 0; i < WITNESS_TENANTS; i++)
		w->least_nano[i] = w->given.tenants[i].balance_nano;
	if (e->kind <= CORE_MODEL)
		see_boot(w, e);
	else if (e->kind == CORE_ASK)
		see_ask(w, e);
	else if (e->kind == CORE_ARRIVE)
		see_arrive(w, e);
	else if (e->kind <= CORE_CANCEL)
		see_progress(w, e);
	else if (e->kind == CORE_BATCH_DONE)
		see_batch_done(w, e->u.batch_done);
	else if (e->kind == CORE_STORED) {
		w->record_known = e->u.store.sequence;
		w->store_failing = false;
	} else if (e->kind == CORE_STORE_FAILED)
		w->store_failing = true;
	if (e->kind >= CORE_TENANT_CREATE || e->kind == CORE_AUTHORISE || e->kind == CORE_READY ||
		e->kind == CORE_MODEL)
		command_add(w, e);
}

/* ---- batches: nothing over its limit, nothing used twice ------------------------------------- */

/* A page of this request, in this batch and any other in flight. */
static void page_take(struct witness *w, const struct batch *b, const struct batch_item *item,
	uint32_t page)
{
	uint32_t *owner = &w->page_owner[b->model][page];

	if (page >= w->models[b->model].pages) {
		witness_wrong(w, item->request, "a page that the model does not have");
		return;
	}
	if (w->page_named[b->model][page] > 0 && *owner != item->request + 1) {
		witness_wrong(w, item->request, "a page that is in flight for another");
		return;
	}
	*owner = item->request + 1;
	w->page_named[b->model][page]++;
}

static void slot_take(struct witness *w, const struct batch *b, const struct batch_item *item)
{
	if (item->slot >= w->models[b->model].slots)
		witness_wrong(w, item->request, "a slot that the model does not have");
	for (uint32_t f = 0; f < w->flight_count[b->model]; f++) {
		const struct batch *other = w->flight[b->model][f];

		for (uint32_t i = 0; i < other->item_count; i++)
			if (other->items[i].slot == item->slot &&
				other->items[i].request != item->request)
				witness_wrong(w, item->request, "a slot in flight for another");
	}
}

static void item_check(struct witness *w, const struct batch *b, const struct batch_item *item)
{
	struct witness_request *r = &w->requests[item->request];
	const uint32_t tokens = item->first_token + item->row_count;

	if (r->phase != WITNESS_RUNNING || r->model != b->model) {
		witness_wrong(w, item->request, "is run, and has no reason to");
		return;
	}
	if (r->cancelled) {
		witness_wrong(w, item->request, "is run after it was cancelled");
		return;
	}
	if (w->models[b->model].pages > 0 && item->page_count * 32 < tokens)
		witness_wrong(w, item->request, "has not enough pages for its rows");
	if (tokens > r->prompt + r->planned)
		witness_wrong(w, item->request, "computes tokens that cannot be there yet");
	slot_take(w, b, item);
	for (uint32_t p = 0; p < item->page_count; p++)
		page_take(w, b, item, b->pages[item->first_page + p]);
	r->batches++;
	r->planned += item->sample;
	if (witness_amount(&r->price, r->prompt, 0, r->planned) > r->held_nano)
		witness_wrong(w, item->request, "may grow further than money is held for");
}

static void see_run(struct witness *w, struct batch *b)
{
	uint32_t rows = 0;

	if (w->flight_count[b->model] == EXECUTOR_BATCHES_MAX) {
		witness_wrong(w, WITNESS_NONE, "more batches in flight than may be");
		return;
	}
	for (uint32_t i = 0; i < b->item_count; i++) {
		rows += b->items[i].row_count;
		item_check(w, b, &b->items[i]);
	}
	if (rows != b->row_count || rows > w->models[b->model].rows_max)
		witness_wrong(w, WITNESS_NONE, "a batch has more rows than may be");
	w->flight[b->model][w->flight_count[b->model]++] = b;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void see_admit(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.admit.handle];

	if (!r->asking || r->phase != WITNESS_FREE)
		witness_wrong(w, a->u.admit.handle, "is admitted and did not ask");
	r->asking = false;
	r->phase = WITNESS_ASKED;
	r->tenant_id = a->u.admit.tenant_id;
}

static void see_refuse(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.refuse.handle];

	if (!r->asking)
		witness_wrong(w, a->u.refuse.handle, "is refused and did not ask");
	if (r->holds > 0)
		witness_wrong(w, a->u.refuse.handle, "is refused with money held");
	if (a->u.refuse.code == CORE_REFUSE_INSUFFICIENT_QUOTA)
		witness_quota_check(w, a->u.refuse.handle);
	*r = (struct witness_request){0};
}

static void see_accept(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.accept.handle];

	if (!r->asking || r->phase != WITNESS_ASKED)
		witness_wrong(w, a->u.accept.handle, "is accepted and did not arrive");
	if (r->holds != 1)
		witness_wrong(w, a->u.accept.handle, "is accepted without a hold");
	r->asking = false;
	r->phase = WITNESS_RUNNING;
}

static void see_deliver(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.deliver.handle];
	const uint32_t tokens = a->u.deliver.answer_tokens;

	if (r->phase != WITNESS_RUNNING || r->cancelled)
		witness_wrong(w, a->u.deliver.handle, "is delivered to after its end");
	if (tokens <= r->delivered || tokens != r->sampled)
		witness_wrong(w, a->u.deliver.handle, "is delivered what was not sampled");
	if (witness_amount(&r->price, r->prompt, 0, tokens) > r->held_nano)
		witness_wrong(w, a->u.deliver.handle, "is delivered more than is held for");
	r->delivered = tokens;
}

static void see_answered(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.answered.handle];

	if (r->phase != WITNESS_RUNNING || r->cancelled || r->broken)
		witness_wrong(w, a->u.answered.handle, "is answered and was over");
	if (a->u.answered.answer_tokens != r->sampled || r->sampled != r->delivered)
		witness_wrong(w, a->u.answered.handle, "is answered with tokens missing");
	if (r->batches > 0)
		witness_wrong(w, a->u.answered.handle, "is answered while a batch names it");
	if (a->u.answered.finish == RECORD_FINISH_LENGTH && r->sampled < r->most)
		witness_length_check(w, a->u.answered.handle);
	r->phase = WITNESS_ANSWERED;
}

static void see_end(struct witness *w, const struct core_action *a)
{
	struct witness_request *r = &w->requests[a->u.end.handle];
	const struct record_usage *usage = &r->settle.u.money.usage;

	if (r->batches > 0)
		witness_wrong(w, a->u.end.handle, "ends while a batch names it");
	if (!a->u.end.recorded) {
		if (r->phase != WITNESS_ASKED || r->holds > 0 || !r->cancelled)
			witness_wrong(w, a->u.end.handle, "ends without a record");
	} else if (r->phase != WITNESS_SETTLED) {
		witness_wrong(w, a->u.end.handle, "ends and was not settled, or twice");
	} else if (a->u.end.finish != usage->finish || a->u.end.prompt_tokens != usage->input ||
		a->u.end.completion_tokens != usage->output ||
		a->u.end.amount_nano != usage->amount_nano) {
		witness_wrong(w, a->u.end.handle, "is told another bill than was recorded");
	} else if (a->u.end.store_failed
			? r->settle.replaces == 0 : r->settle.sequence > w->record_durable) {
		witness_wrong(w, a->u.end.handle, "ends before its settle is durable");
	}
	if (a->u.end.recorded) {
		w->ended++;
		w->tokens_billed += (uint64_t)usage->output;
		w->tokens_delivered += r->written;
		w->tokens_lost += usage->finish == RECORD_FINISH_ERROR ? r->written : 0;
		if (usage->finish == RECORD_FINISH_ERROR)
			w->tokens_billed -= (uint64_t)usage->output;
	}
	*r = (struct witness_request){0};
}

/* Each command is answered once; one that writes, when its records are durable. */
static void see_reply(struct witness *w, const struct core_action *a)
{
	uint32_t at = 0;

	while (at < w->command_count && w->commands[at].token != a->u.reply.token)
		at++;
	if (at == w->command_count) {
		witness_wrong(w, WITNESS_NONE, "a reply to nothing that waits for one");
		return;
	}
	witness_reply_check(w, &w->commands[at], &a->u.reply);
	w->commands[at] = w->commands[--w->command_count];
}

void witness_action(struct witness *w, const struct core_action *a)
{
	switch (a->kind) {
	case CORE_ADMIT:
		see_admit(w, a);
		break;
	case CORE_REFUSE:
		see_refuse(w, a);
		break;
	case CORE_ACCEPT:
		see_accept(w, a);
		break;
	case CORE_RUN:
		see_run(w, a->u.run);
		break;
	case CORE_DELIVER:
		see_deliver(w, a);
		break;
	case CORE_ANSWERED:
		see_answered(w, a);
		break;
	case CORE_END:
		see_end(w, a);
		break;
	case CORE_STORE:
		witness_record(w, &a->u.store);
		break;
	case CORE_REPLY:
		see_reply(w, a);
		break;
	case CORE_CUT:
		if (w->requests[a->u.cut.handle].phase == WITNESS_FREE)
			witness_wrong(w, a->u.cut.handle, "is cut and is not there");
		w->requests[a->u.cut.handle].cut = w->requests[a->u.cut.handle].paused = true;
		return;
	case CORE_STOPPED:
	case CORE_ACTION_KINDS:
		return;
	}
}

/* ---- after a step ---------------------------------------------------------------------------- */

/* What the core says of itself must be what was seen from outside. */
static void stats_check(struct witness *w, const struct core *core, uint32_t running)
{
	struct core_stats stats;

	core_stats(core, &stats);
	if (running == 0 && (stats.pages_used != 0 ||
		stats.running + stats.waiting + stats.parked != 0))
		witness_wrong(w, WITNESS_NONE, "pages are in use and no request runs");
	w->parked += stats.parked > 0;
	if (stats.ended != w->ended)
		witness_wrong(w, WITNESS_NONE, "requests ended that were not told, or the reverse");
}

/* Who does not read holds up nobody: a chip is idle only when no request of its model may run. One
 * that waits for room among the records, to hold more money, keeps what it has. */
static void idle_check(struct witness *w, uint32_t model)
{
	uint32_t may_run = WITNESS_NONE;

	for (uint32_t h = 0; h < w->limits.requests_max; h++) {
		const struct witness_request *r = &w->requests[h];

		if (r->phase != WITNESS_RUNNING || r->model != model || r->cancelled)
			continue;
		if (!r->paused && r->sampled < r->covered)
			may_run = h;
		else if (!r->paused)
			return;
	}
	if (may_run != WITNESS_NONE)
		witness_wrong(w, may_run, "may run, and its chip is idle");
}

void witness_step_end(struct witness *w, const struct core *core)
{
	uint32_t asked = 0;
	uint32_t running = 0;

	for (uint32_t h = 0; h < w->limits.requests_max; h++) {
		const struct witness_request *r = &w->requests[h];

		if (r->asking)
			witness_wrong(w, h, "asked and was not answered");
		asked += r->phase == WITNESS_ASKED;
		running += r->phase == WITNESS_RUNNING;
	}
	if (asked > w->limits.queue_max)
		witness_wrong(w, WITNESS_NONE, "more requests asked than the queue has room for");
	if (w->record_given - w->record_known > w->limits.records_max)
		witness_wrong(w, WITNESS_NONE, "more records than the store has room for");
	if (w->cut_off_due)
		witness_wrong(w, WITNESS_NONE, "what a crash cut off was not released");
	stats_check(w, core, running);
	for (uint32_t i = 0; i < w->limits.models_max; i++)
		if (w->flight_count[i] == 0)
			idle_check(w, i);
	witness_books_check(w);
	for (uint32_t i = 0; i < w->command_count; i++)
		if (w->commands[i].sequence == 0)
			w->commands[i].sequence = w->record_given;
}

void witness_end(struct witness *w, const struct core *core)
{
	for (uint32_t h = 0; h < w->limits.requests_max; h++)
		if (w->requests[h].phase != WITNESS_FREE)
			witness_wrong(w, h, "is still open when everything has stopped");
	for (uint32_t i = 0; i < w->tenant_count; i++)
		if (w->given.tenants[i].held_nano != 0)
			witness_wrong(w, WITNESS_NONE, "money is held when everything has stopped");
	if (w->tokens_delivered != w->tokens_billed + w->tokens_lost)
		witness_wrong(w, WITNESS_NONE, "delivered is not billed plus lost");
	if (w->command_count > 0)
		witness_wrong(w, WITNESS_NONE, "a command was never answered");
	stats_check(w, core, 0);
}

/* The next core starts on what is durable; commands that wait will never be answered. */
void witness_crash(struct witness *w)
{
	for (uint32_t h = 0; h < w->limits.requests_max; h++) {
		w->tokens_delivered += w->requests[h].written;
		w->tokens_lost += w->requests[h].written;
		if (w->requests[h].phase == WITNESS_SETTLED &&
			w->requests[h].settle.sequence <= w->record_durable)
			witness_billed_in_crash(w, h);
		w->requests[h] = (struct witness_request){0};
	}
	w->given = w->durable;
	w->record_given = w->record_durable = w->record_known = 0;
	memset(w->flight_count, 0, sizeof(w->flight_count));
	memset(w->page_named, 0, sizeof(w->page_named));
	w->command_count = 0;
	w->ended = 0;
	w->ready = false;
	w->store_failing = false;
	w->tenant_count = 0;
	w->price_count = 0;
}
