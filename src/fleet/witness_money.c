/* fleet/witness_money.c - the witness's own books: every account is the sum of the
 * records it saw. */
#include <string.h>

#include "base/math.h"
#include "fleet/witness_internal.h"

/* ---- arithmetic ------------------------------------------------------------------------------ */

int64_t witness_amount(const struct record_price *price, int64_t input, int64_t cached,
	int64_t output)
{
	const math_i128 exact = (math_i128)(input - cached) * price->input_nano +
		(math_i128)cached * price->cached_nano + (math_i128)output * price->output_nano;
	const math_i128 whole = exact / 1000000;

	return (int64_t)(whole + (exact - whole * 1000000 >= 500000));
}

static const struct record_tenant *tenant_of(const struct witness *w, uint32_t tenant_id)
{
	static const struct record_tenant nobody;

	return tenant_id > 0 && tenant_id <= w->tenant_count ? &w->tenants[tenant_id - 1] : &nobody;
}

/* What can be spent, by the records given so far; local is never refused (rules.md 10). */
static math_i128 spendable(const struct witness *w, uint32_t tenant_id)
{
	if (strcmp(tenant_of(w, tenant_id)->name, CORE_TENANT_LOCAL) == 0)
		return (math_i128)INT64_MAX * 2;
	return (math_i128)w->given.tenants[tenant_id - 1].balance_nano +
		tenant_of(w, tenant_id)->credit_nano;
}

/* ---- prices ---------------------------------------------------------------------------------- */

void witness_price_put(struct witness *w, const struct record_price *price)
{
	uint32_t at = 0;

	while (at < w->price_count && strcmp(w->prices[at].model, price->model) != 0)
		at++;
	if (at == WITNESS_PRICES) {
		witness_wrong(w, WITNESS_NONE, "more models have a price than may");
		return;
	}
	w->prices[at] = *price;
	if (at == w->price_count)
		w->price_count++;
}

void witness_price_find(const struct witness *w, const char *model, struct record_price *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < w->price_count; i++)
		if (strcmp(w->prices[i].model, model) == 0)
			*out = w->prices[i];
}

/* ---- posting --------------------------------------------------------------------------------- */

static void post(struct witness_books *b, const struct record *record, int64_t sign)
{
	const struct record_transaction *t = &record->u.money.transaction;

	if (record->kind != RECORD_TRANSACTION)
		return;
	for (uint32_t i = 0; i < t->entry_count; i++) {
		const int64_t amount_nano = sign * t->entries[i].amount_nano;
		struct witness_account *a = &b->tenants[t->tenant_id - 1];

		if (t->entries[i].account == RECORD_CASH)
			b->cash_nano += amount_nano;
		else if (t->entries[i].account == RECORD_LEASE)
			a->balance_nano += amount_nano;
		else if (t->entries[i].account == RECORD_HELD)
			a->held_nano += amount_nano;
		else
			b->revenue_nano += amount_nano;
	}
	if (record->u.money.has_usage)
		b->usage_nano += sign * record->u.money.usage.amount_nano;
}

/* Lowers least_nano to the balances of now. */
static void least_update(struct witness *w)
{
	for (uint32_t i = 0; i < w->tenant_count; i++)
		if (w->given.tenants[i].balance_nano < w->least_nano[i])
			w->least_nano[i] = w->given.tenants[i].balance_nano;
}

void witness_committed(struct witness *w, uint64_t sequence)
{
	while (w->record_durable < sequence) {
		const uint64_t next = ++w->record_durable;

		post(&w->durable, &w->records[next % WITNESS_RECORDS], 1);
	}
}

static void books_check(struct witness *w, const struct witness_books *b)
{
	math_i128 sum = (math_i128)b->cash_nano + b->revenue_nano;

	for (uint32_t i = 0; i < WITNESS_TENANTS; i++) {
		const struct witness_account *a = &b->tenants[i];

		sum += (math_i128)a->balance_nano + a->held_nano;
		if (a->held_nano < 0)
			witness_wrong(w, WITNESS_NONE, "less than nothing is held");
	}
	if (sum != 0)
		witness_wrong(w, WITNESS_NONE, "all accounts together are not 0");
	if (b->revenue_nano != b->usage_nano)
		witness_wrong(w, WITNESS_NONE, "revenue is not the sum of the usage rows");
}

void witness_books_check(struct witness *w)
{
	math_i128 held = 0;

	books_check(w, &w->given);
	books_check(w, &w->durable);
	for (uint32_t id = 1; id <= w->tenant_count; id++) {
		held += w->given.tenants[id - 1].held_nano;
		if (spendable(w, id) < 0)
			witness_wrong(w, WITNESS_NONE, "a balance is below its credit");
	}
	for (uint32_t h = 0; w->ready && h < w->limits.requests_max; h++)
		held -= w->requests[h].phase == WITNESS_SETTLED ? 0 : w->requests[h].held_nano;
	if (w->ready && held != 0)
		witness_wrong(w, WITNESS_NONE, "held is not what open requests hold");
}

/* ---- holds (rules.md 14) --------------------------------------------------------------------- */

static int64_t hold_amount(const struct witness_request *r, uint32_t answer)
{
	const bool dear = r->price.cached_nano > r->price.input_nano;

	return witness_amount(&r->price, r->prompt, dear ? r->prompt : 0, answer);
}

/* The most answer tokens up to a limit whose hold is within nano; 0 when not one is. */
static uint32_t affordable(const struct witness_request *r, uint32_t limit, math_i128 nano)
{
	uint32_t low = 0;

	while (low < limit) {
		const uint32_t middle = low + (limit - low + 1) / 2;

		if (hold_amount(r, middle) <= nano)
			low = middle;
		else
			limit = middle - 1;
	}
	return low;
}

static uint32_t hold_wanted(const struct witness *w, const struct witness_request *r)
{
	uint32_t limit = r->most;

	if (!r->open_ended)
		return limit;
	if (limit - r->covered > w->limits.hold_step_tokens)
		limit = r->covered + w->limits.hold_step_tokens;
	return affordable(r, limit, spendable(w, r->tenant_id) + r->held_nano);
}

static void hold_check(struct witness *w, uint32_t handle, const struct record *record)
{
	struct witness_request *r = &w->requests[handle];
	const struct record_transaction *t = &record->u.money.transaction;
	const uint32_t covers = hold_wanted(w, r);

	if (r->phase != (r->holds == 0 ? WITNESS_ASKED : WITNESS_RUNNING) || r->cancelled)
		witness_wrong(w, handle, "takes a hold it has no reason for");
	if (t->part != r->holds++ || record->u.money.has_usage != (t->part == 0))
		witness_wrong(w, handle, "takes a hold out of turn");
	if (covers <= r->covered ||
		t->entries[1].amount_nano != hold_amount(r, covers) - r->held_nano)
		witness_wrong(w, handle, "holds another amount than its tokens can cost");
	if (t->entries[1].amount_nano > spendable(w, r->tenant_id))
		witness_wrong(w, handle, "holds more than can be spent");
	r->covered = covers;
	r->held_nano += t->entries[1].amount_nano;
}

void witness_quota_check(struct witness *w, uint32_t handle)
{
	const struct witness_request *r = &w->requests[handle];

	if (hold_amount(r, r->open_ended ? 1 : r->most) <= spendable(w, r->tenant_id))
		witness_wrong(w, handle, "is refused for want of money that is there");
}

/* It is decided within a step: the money was short at some moment of it. */
void witness_length_check(struct witness *w, uint32_t handle)
{
	const struct witness_request *r = &w->requests[handle];
	const math_i128 since_nano = (math_i128)w->given.tenants[r->tenant_id - 1].balance_nano -
		w->least_nano[r->tenant_id - 1];
	const math_i128 least_nano = spendable(w, r->tenant_id) - since_nano;

	if (!r->open_ended || hold_amount(r, r->sampled + 1) <= least_nano + r->held_nano)
		witness_wrong(w, handle, "ends with length and has room and money left");
}

/* ---- the end (rules.md 7, 16, 18) ------------------------------------------------------------ */

static void usage_check(struct witness *w, uint32_t handle, const struct record_usage *u)
{
	const struct witness_request *r = &w->requests[handle];
	const bool prompt = !r->cancelled || r->prompt_done;
	const int64_t input = prompt ? r->prompt : 0;
	const int64_t output = !r->cancelled ? r->sampled : r->prompt_done ? r->written : 0;

	if (r->failed && u->finish != RECORD_FINISH_ERROR)
		witness_wrong(w, handle, "failed, and does not end with an error");
	if (u->finish == RECORD_FINISH_ERROR) {
		if (u->amount_nano != 0)
			witness_wrong(w, handle, "an error is charged for");
		return;
	}
	if ((u->finish == RECORD_FINISH_CANCELLED) != r->cancelled)
		witness_wrong(w, handle, "is recorded as cancelled and was not, or the reverse");
	if (!r->cancelled && (!r->flushed || r->broken))
		witness_wrong(w, handle, "is settled before all of it was written");
	if (u->input != input || u->output != output)
		witness_wrong(w, handle, "is charged for other tokens than it got");
	if (u->amount_nano != witness_amount(&r->price, input, u->cached_input, output))
		witness_wrong(w, handle, "is charged another amount than its tokens cost");
}

/* The first settle, or the one that takes the place of one that did not become durable. */
static void settle_check(struct witness *w, uint32_t handle, const struct record *record)
{
	struct witness_request *r = &w->requests[handle];
	const struct record_usage *u = &record->u.money.usage;
	const bool again = record->replaces != 0;

	if (r->batches > 0)
		witness_wrong(w, handle, "is settled while a batch names it");
	if (again != (r->phase == WITNESS_SETTLED) || r->holds == 0)
		witness_wrong(w, handle, "is settled twice, or without a hold");
	if (again && (record->replaces != r->settle.sequence ||
		u->finish != RECORD_FINISH_ERROR || u->amount_nano != 0 || !w->store_failing))
		witness_wrong(w, handle, "replaces a settle it may not replace");
	if (!again && u->finish == RECORD_FINISH_ERROR && !r->broken && !r->failed)
		witness_wrong(w, handle, "ends with an error that nobody saw");
	if (-record->u.money.transaction.entries[0].amount_nano != r->held_nano)
		witness_wrong(w, handle, "gives back another hold than it took");
	usage_check(w, handle, u);
	r->settle = *record;
	r->phase = WITNESS_SETTLED;
}

void witness_billed_in_crash(struct witness *w, uint32_t handle)
{
	const struct witness_request *r = &w->requests[handle];

	if (r->settle.u.money.usage.finish == RECORD_FINISH_ERROR)
		return;
	w->tokens_lost -= r->written;
	w->tokens_billed += (uint64_t)r->settle.u.money.usage.output;
}

/* ---- records --------------------------------------------------------------------------------- */

static uint32_t request_find(const struct witness *w, struct record_request id)
{
	for (uint32_t h = 0; h < w->limits.requests_max; h++)
		if (w->requests[h].holds + w->requests[h].asking + w->requests[h].phase > 0 &&
			w->requests[h].id.high == id.high && w->requests[h].id.low == id.low)
			return h;
	return WITNESS_NONE;
}

static void release_check(struct witness *w, const struct record_transaction *t)
{
	if (!w->cut_off_due || t->request.high != w->cut_off.high ||
		t->request.low != w->cut_off.low || t->entries[1].amount_nano != w->cut_off_nano)
		witness_wrong(w, WITNESS_NONE, "a release of what was not cut off");
	w->cut_off_due = false;
}

static void transaction_check(struct witness *w, const struct record *record)
{
	const struct record_transaction *t = &record->u.money.transaction;
	const uint32_t handle = t->has_request ? request_find(w, t->request) : WITNESS_NONE;
	math_i128 sum = 0;

	for (uint32_t i = 0; i < t->entry_count; i++)
		sum += t->entries[i].amount_nano;
	if (sum != 0 || t->entry_count < 2)
		witness_wrong(w, handle, "a transaction does not balance");
	if (t->kind == RECORD_RELEASE)
		release_check(w, t);
	else if (t->has_request && handle == WITNESS_NONE)
		witness_wrong(w, handle, "a transaction of a request that is not there");
	else if (t->kind == RECORD_HOLD)
		hold_check(w, handle, record);
	else if (t->kind == RECORD_SETTLE)
		settle_check(w, handle, record);
}

/* It will never be durable: its place in the order stays, empty. */
static void replaced_forget(struct witness *w, uint64_t sequence)
{
	struct record *old = &w->records[sequence % WITNESS_RECORDS];

	if (sequence <= w->record_durable || sequence > w->record_given) {
		witness_wrong(w, WITNESS_NONE, "replaces what is durable");
		return;
	}
	post(&w->given, old, -1);
	old->kind = RECORD_RETRY;
}

void witness_record(struct witness *w, const struct record *record)
{
	if (record->kind == RECORD_RETRY) {
		if (!w->store_failing)
			witness_wrong(w, WITNESS_NONE, "tries again what did not fail");
		return;
	}
	if (record->sequence != ++w->record_given)
		witness_wrong(w, WITNESS_NONE, "records are out of order");
	if (record->replaces != 0)
		replaced_forget(w, record->replaces);
	if (record->kind == RECORD_TENANT) {
		w->tenants[record->u.tenant.id - 1] = record->u.tenant;
		if (record->u.tenant.id > w->tenant_count)
			w->tenant_count = record->u.tenant.id;
	} else if (record->kind == RECORD_PRICE) {
		witness_price_put(w, &record->u.price);
	} else if (record->kind == RECORD_TRANSACTION) {
		transaction_check(w, record);
	}
	post(&w->given, record, 1);
	least_update(w);
	w->records[record->sequence % WITNESS_RECORDS] = *record;
}

/* ---- replies --------------------------------------------------------------------------------- */

void witness_reply_check(struct witness *w, const struct witness_command *command,
	const struct core_reply *reply)
{
	const uint32_t id = reply->tenant.id;

	if (command->kind == CORE_READY) {
		if (reply->result != CORE_RESULT_DONE)
			witness_wrong(w, WITNESS_NONE, "does not start on what was durable");
		w->ready = true;
	} else if (command->kind == CORE_TENANT_SHOW && reply->result == CORE_RESULT_DONE) {
		if (id == 0 || id > w->tenant_count ||
			reply->balance_nano != w->given.tenants[id - 1].balance_nano ||
			reply->held_nano != w->given.tenants[id - 1].held_nano)
			witness_wrong(w, WITNESS_NONE, "shows a balance that is not the records'");
	} else if (command->kind >= CORE_TENANT_CREATE && reply->result == CORE_RESULT_DONE) {
		if (command->sequence == 0 || command->sequence > w->record_durable)
			witness_wrong(w, WITNESS_NONE, "a command is answered too early");
	}
}
