/* cloud/audit.c - see audit.h. */
#include "cloud/audit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "cloud/core.h"
#include "cloud/ledger.h"
#include "cloud/price.h"

void audit_init(struct audit *a, bool idle)
{
	memset(a, 0, sizeof(*a));
	a->idle = idle;
}

void audit_close(struct audit *a)
{
	mem_free(a->accounts);
	mem_free(a->prices);
	audit_init(a, false);
}

/* ---- what is said of a contradiction --------------------------------------------------------- */

static void wrong(struct audit *a, const char *what, const char *where)
{
	if (a->failed)
		return;
	a->failed = true;
	snprintf(a->text, sizeof(a->text), "%s: %s", where, what);
}

static void wrong_request(struct audit *a, const char *what)
{
	char request[RECORD_REQUEST_BYTES];

	record_request_format(request, a->request.id);
	wrong(a, what, request);
}

static const char number_wrong[] = "its number is not the next: they count up from 1 without a gap";

static void wrong_row(struct audit *a, const char *what, const char *table, uint64_t row)
{
	char where[RECORD_TEXT_BYTES];

	snprintf(where, sizeof(where), "table %s, row %" PRIu64, table, row);
	wrong(a, what, where);
}

static void wrong_transaction(struct audit *a, const char *what, const struct record_transaction *t)
{
	char where[RECORD_TEXT_BYTES];

	record_idempotency_format(where, t);
	wrong(a, what, where);
}

static void add(struct audit *a, int64_t *sum, int64_t amount_nano)
{
	if (!math_add_i64(*sum, amount_nano, sum))
		wrong(a, "a sum does not fit into 63 bits", "ledger");
}

/* ---- totals, prices, tenants and keys -------------------------------------------------------- */

/* Room for one more: arrays double. */
static enum err grow(void **rows, uint32_t *capacity, uint32_t count, size_t size,
	struct err_info *info)
{
	const uint32_t wanted = *capacity == 0 ? 16 : 2 * *capacity;

	if (count < *capacity)
		return ERR_NONE;
	void *more = count > UINT32_MAX / 4 ? NULL : mem_resize(*rows, wanted, size);

	if (!more)
		return err_set(info, ERR_MEMORY, "audit: no memory for %u rows", wanted);
	*rows = more;
	*capacity = wanted;
	return ERR_NONE;
}

void audit_totals(struct audit *a, const struct store_totals *row)
{
	a->totals = *row;
}

enum err audit_price(struct audit *a, const struct record_price *row, struct err_info *info)
{
	if (grow((void **)&a->prices, &a->price_capacity, a->price_count, sizeof(*a->prices), info))
		return info->code;
	a->prices[a->price_count++] = *row;
	if (row->version != a->price_count)
		wrong_row(a, number_wrong, "price", row->version);
	if (!core_price_valid(row))
		wrong_row(a, "its model or a price is out of its bounds", "price", row->version);
	return ERR_NONE;
}

enum err audit_tenant(struct audit *a, const struct store_tenant *row, struct err_info *info)
{
	if (grow((void **)&a->accounts, &a->account_capacity, a->account_count,
		    sizeof(*a->accounts), info))
		return info->code;
	a->accounts[a->account_count++] = (struct audit_account){.row = *row};
	if (row->tenant.id != a->account_count)
		wrong_row(a, number_wrong, "tenant", row->tenant.id);
	if (!core_tenant_valid(&row->tenant))
		wrong_row(a, "its name, its credit or a limit is out of its bounds", "tenant",
			row->tenant.id);
	return ERR_NONE;
}

void audit_key(struct audit *a, const struct record_key *row)
{
	if (row->id != ++a->key_count)
		wrong_row(a, number_wrong, "api_key", row->id);
	if (row->tenant_id == RECORD_NONE || row->tenant_id > a->account_count)
		wrong_row(a, "it is a key of no tenant", "api_key", row->id);
}

/* ---- one request ----------------------------------------------------------------------------- */

static void request_close(struct audit *a)
{
	const struct audit_request *r = &a->request;

	if (!a->in_request)
		return;
	a->in_request = false;
	if (r->ended_count == 0 && r->usage_count > 0)
		wrong_request(a, "has a usage row and was neither settled nor released");
	if (r->ended_count > 0 && r->usage_count == 0)
		wrong_request(a, "is over and has no usage row");
	if (r->hold_count > 0 && r->ended_count == 0 && r->open_count == 0)
		wrong_request(a, "is held for and neither over nor open");
	if (r->open_count > 0 && r->hold_count == 0)
		wrong_request(a, "is open and nothing was held for it");
	if (r->open_count > 0 && a->idle)
		wrong_request(a, "is open and no request is alive");
	if (r->usage_count > 0 && r->usage.amount_nano != r->charged_nano)
		wrong_request(a, "was charged another amount than its usage row says");
	if (r->released && r->usage.finish != RECORD_FINISH_ERROR)
		wrong_request(a, "was released and is not recorded as an error");
}

/* Turns to a request; they come in ascending order. */
static void request_turn(struct audit *a, struct record_request id)
{
	const int order = record_request_compare(a->request.id, id);

	if (a->in_request && order == 0)
		return;
	if (a->in_request && order > 0)
		wrong_request(a, "its rows are out of order");
	request_close(a);
	a->in_request = true;
	a->request = (struct audit_request){.id = id};
}

static void tenant_same(struct audit *a, uint32_t tenant_id)
{
	if (a->request.tenant_id != RECORD_NONE && a->request.tenant_id != tenant_id)
		wrong_request(a, "has rows of two tenants");
	a->request.tenant_id = tenant_id;
}

static void hold_see(struct audit *a, const struct record_transaction *t)
{
	struct audit_request *r = &a->request;

	if (t->part != r->hold_count++)
		wrong_transaction(a, "a part of the hold is missing or double", t);
	if (r->ended_count > 0)
		wrong_transaction(a, "holds for a request that is over", t);
}

/* All that is held goes, no more and no less: to revenue or back (rules.md 14, 16). */
static void end_see(struct audit *a, const struct record_transaction *t)
{
	struct audit_request *r = &a->request;

	if (r->ended_count++ > 0)
		wrong_transaction(a, "the request was over before", t);
	else if (r->hold_count == 0)
		wrong_transaction(a, "ends what was not held for", t);
	else if (t->entries[0].amount_nano != -r->held_nano)
		wrong_transaction(a, "takes another amount than is held", t);
	r->released = t->kind == RECORD_RELEASE;
}

static void request_transaction(struct audit *a, const struct record_transaction *t)
{
	request_turn(a, t->request);
	tenant_same(a, t->tenant_id);
	if (t->id <= a->request.transaction_id)
		wrong_transaction(a, "is double, or before its time", t);
	a->request.transaction_id = t->id;
	switch (t->kind) {
	case RECORD_HOLD:
		hold_see(a, t);
		break;
	case RECORD_SETTLE:
	case RECORD_RELEASE:
		end_see(a, t);
		break;
	case RECORD_REFUND:
		break;
	case RECORD_TOPUP:
	case RECORD_ADJUST:
		wrong_transaction(a, "a request does not pay in", t);
		break;
	}
}

static void other_transaction(struct audit *a, const struct record_transaction *t)
{
	if (t->kind == RECORD_HOLD || t->kind == RECORD_SETTLE || t->kind == RECORD_RELEASE)
		wrong_transaction(a, "is of no request", t);
	if (t->id <= a->transaction_id)
		wrong_transaction(a, "is double, or before its time", t);
	a->transaction_id = t->id;
}

static void post(struct audit *a, struct audit_account *account, const struct record_entry *entry,
	bool of_request)
{
	const int64_t amount_nano = entry->amount_nano;

	switch (entry->account) {
	case RECORD_CASH:
		add(a, &a->cash_nano, amount_nano);
		break;
	case RECORD_LEASE:
		add(a, &account->balance_nano, amount_nano);
		break;
	case RECORD_HELD:
		add(a, &account->held_nano, amount_nano);
		add(a, &a->request.held_nano, of_request ? amount_nano : 0);
		break;
	case RECORD_REVENUE:
		add(a, &a->revenue_nano, amount_nano);
		add(a, &a->request.charged_nano, of_request && amount_nano > 0 ? amount_nano : 0);
		break;
	}
}

static const char *transaction_wrong(const struct audit *a, const struct record_transaction *t,
	const char *idempotency)
{
	char own[RECORD_TEXT_BYTES];
	math_i128 sum = 0;

	for (uint32_t i = 0; i < t->entry_count; i++)
		sum += t->entries[i].amount_nano;
	if (t->entry_count == 0)
		return "has no entries";
	if (sum != 0)
		return "does not balance";
	if (!ledger_transaction_valid(t))
		return "its entries are not those of its kind";
	if (t->tenant_id == RECORD_NONE || t->tenant_id > a->account_count)
		return "is of no tenant";
	if (idempotency[0]) {
		record_idempotency_format(own, t);
		return strcmp(own, idempotency) == 0 ? NULL : "has another idempotency key";
	}
	return NULL;
}

void audit_transaction(struct audit *a, const struct record_transaction *t,
	const char *idempotency)
{
	const char *what = transaction_wrong(a, t, idempotency);

	if (a->failed)
		return;
	if (what) {
		wrong_transaction(a, what, t);
		return;
	}
	if (t->has_request)
		request_transaction(a, t);
	else
		other_transaction(a, t);
	for (uint32_t i = 0; i < t->entry_count; i++)
		post(a, &a->accounts[t->tenant_id - 1], &t->entries[i], t->has_request);
}

/* ---- open requests --------------------------------------------------------------------------- */

static bool usage_valid(const struct record_usage *u)
{
	return u->input >= 0 && u->input <= PRICE_TOKENS_MAX && u->cached_input >= 0 &&
		u->cached_input <= u->input && u->output >= 0 && u->output <= PRICE_TOKENS_MAX &&
		u->reasoning >= 0 && u->reasoning <= u->output && u->amount_nano >= 0;
}

void audit_open(struct audit *a, const struct record_usage *u)
{
	if (a->failed)
		return;
	request_turn(a, u->request);
	tenant_same(a, u->tenant_id);
	if (a->request.ended_count > 0)
		wrong_request(a, "is over and open");
	else if (a->request.open_count++ > 0)
		wrong_request(a, "is open twice");
	else if (u->finish != RECORD_FINISH_OPEN || u->amount_nano != 0 || !usage_valid(u))
		wrong_request(a, "its open row makes no sense");
	else if (u->price_version > a->price_count)
		wrong_request(a, "is open at a price that there is not");
}

/* ---- usage and journal ----------------------------------------------------------------------- */

/* rules.md 16, 20: what tokens and price in force make it. */
static bool amount_right(const struct audit *a, const struct record_usage *u)
{
	const struct price_tokens tokens = {
		.input = u->input, .cached = u->cached_input, .output = u->output};
	int64_t amount_nano;

	if (u->finish == RECORD_FINISH_ERROR || u->price_version == 0)
		return u->amount_nano == 0;
	if (u->price_version > a->price_count)
		return false;
	const struct record_price *row = &a->prices[u->price_version - 1];
	const struct price price = price_from_record(row);

	return strcmp(row->model, u->model) == 0 && price_amount(&price, &tokens, &amount_nano) &&
		amount_nano == u->amount_nano;
}

void audit_usage(struct audit *a, const struct record_usage *u)
{
	if (a->failed)
		return;
	request_turn(a, u->request);
	tenant_same(a, u->tenant_id);
	if (a->request.usage_count++ > 0)
		wrong_request(a, "has two usage rows");
	else if (u->finish == RECORD_FINISH_OPEN || !usage_valid(u))
		wrong_request(a, "its usage row makes no sense");
	else if (!amount_right(a, u))
		wrong_request(a, "its amount is not its tokens times their price");
	a->request.usage = *u;
}

void audit_fact(struct audit *a, const struct store_fact *fact)
{
	const struct audit_request *r = &a->request;

	if (a->failed)
		return;
	request_turn(a, fact->request);
	if (r->usage_count > 0 && fact->complete && r->usage.output > fact->tokens)
		wrong_request(a, "was billed for more tokens than the journal has seen");
}

/* ---- the end --------------------------------------------------------------------------------- */

static void account_check(struct audit *a, const struct audit_account *account)
{
	const struct record_tenant *tenant = &account->row.tenant;

	if (tenant->credit_nano != LEDGER_CREDIT_UNLIMITED &&
		account->balance_nano < -tenant->credit_nano)
		wrong(a, "the balance is below its credit", tenant->name);
	if (account->balance_nano != account->row.balance_nano ||
		account->held_nano != account->row.held_nano)
		wrong(a, "the account is not the sum of its entries", tenant->name);
}

/* That all accounts together are 0, nothing less than 0 is held and revenue is the sum of the usage
 * rows follows: every transaction balances, every end takes what was held, every charge is that
 * of its usage row. */
enum err audit_end(struct audit *a, struct err_info *info)
{
	request_close(a);
	if (a->totals.cash_nano != a->cash_nano)
		wrong(a, "the account is not the sum of its entries", "cash");
	if (a->totals.revenue_nano != a->revenue_nano)
		wrong(a, "the account is not the sum of its entries", "revenue");
	for (uint32_t i = 0; i < a->account_count; i++)
		account_check(a, &a->accounts[i]);
	return a->failed ? err_set(info, ERR_INPUT, "%s", a->text) : ERR_NONE;
}
