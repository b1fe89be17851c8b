/* tests/cloud/audit_test.c - books that agree are right, and each way to bend them is found and
 * named.
 *
 * The rows come from a store of a few arrays, so they pass through the same merge and the same
 * logic as those of a database.
 */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "cloud/audit.h"
#include "cloud/ledger.h"

#define ROWS_MAX 12

/* A store of which only the rows are there. */
struct books {
	struct store store;     /* first */
	struct store_rows rows;
	uint32_t at[STORE_TABLES];
	uint32_t count[STORE_TABLES];
	struct store_row row[STORE_TABLES][ROWS_MAX];
	struct store_fact facts[ROWS_MAX];
	uint32_t fact_count;
};

static enum err rows_next(struct store_rows *rows, enum store_table table, struct store_row *out,
	bool *there, struct err_info *info)
{
	struct books *b =
		(struct books *)(void *)((char *)rows - offsetof(struct books, rows));

	(void)info;
	*there = b->at[table] < b->count[table];
	if (*there)
		*out = b->row[table][b->at[table]++];
	return ERR_NONE;
}

static void rows_close(struct store_rows *rows)
{
	(void)rows;
}

static enum err rows_open(struct store *s, struct store_rows **out, struct err_info *info)
{
	static const struct store_rows_ops ops = {rows_next, rows_close};
	struct books *b = (struct books *)s;

	(void)info;
	b->rows.ops = &ops;
	memset(b->at, 0, sizeof(b->at));
	*out = &b->rows;
	return ERR_NONE;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct store_row *row_add(struct books *b, enum store_table table)
{
	assert_true(b->count[table] < ROWS_MAX);
	return &b->row[table][b->count[table]++];
}

static struct record_transaction *transaction_at(struct books *b, uint32_t at)
{
	assert_true(at < b->count[STORE_TRANSACTIONS]);
	return &b->row[STORE_TRANSACTIONS][at].u.transaction.row;
}

static struct record_usage *usage_at(struct books *b, uint32_t at)
{
	assert_true(at < b->count[STORE_USAGES]);
	return &b->row[STORE_USAGES][at].u.usage;
}

static void row_remove(struct books *b, enum store_table table, uint32_t at)
{
	assert_true(at < b->count[table]);
	b->count[table]--;
	memmove(&b->row[table][at], &b->row[table][at + 1],
		(b->count[table] - at) * sizeof(struct store_row));
}

/* The same row once more, behind itself. */
static void row_double(struct books *b, enum store_table table, uint32_t at)
{
	assert_true(at < b->count[table] && b->count[table] < ROWS_MAX);
	memmove(&b->row[table][at + 1], &b->row[table][at],
		(b->count[table] - at) * sizeof(struct store_row));
	b->count[table]++;
}

/* request 0: of none. Entries are those of the kind, in its order. */
static void transaction_add(struct books *b, enum record_transaction_kind kind, uint64_t id,
	uint64_t request, uint32_t part, const int64_t amounts[3])
{
	static const enum record_account accounts[][3] = {
		[RECORD_TOPUP] = {RECORD_CASH, RECORD_LEASE},
		[RECORD_HOLD] = {RECORD_LEASE, RECORD_HELD},
		[RECORD_SETTLE] = {RECORD_HELD, RECORD_REVENUE, RECORD_LEASE},
		[RECORD_RELEASE] = {RECORD_HELD, RECORD_LEASE},
	};
	struct store_transaction *s = &row_add(b, STORE_TRANSACTIONS)->u.transaction;
	struct record_transaction *t = &s->row;

	*t = (struct record_transaction){.kind = kind, .id = id, .tenant_id = 2, .part = part,
		.has_request = request > 0, .request = {.low = request},
		.entry_count = kind == RECORD_SETTLE ? 3 : 2};
	for (uint32_t i = 0; i < t->entry_count; i++)
		t->entries[i] = (struct record_entry){accounts[kind][i], amounts[i]};
	record_idempotency_format(s->idempotency, t);
}

static void usage_add(struct books *b, enum store_table table, uint64_t request, int64_t input,
	int64_t cached, int64_t output, enum record_finish finish, int64_t amount_nano)
{
	row_add(b, table)->u.usage = (struct record_usage){.request = {.low = request},
		.tenant_id = 2, .model = "poet", .price_version = 2, .input = input,
		.cached_input = cached, .output = output, .finish = finish,
		.amount_nano = amount_nano};
}

static void who_add(struct books *b)
{
	row_add(b, STORE_TOTALS)->u.totals = (struct store_totals){-1000, 27};
	row_add(b, STORE_PRICES)->u.price =
		(struct record_price){"other", 1, 0, 9000000, 9000000, 9000000};
	row_add(b, STORE_PRICES)->u.price =
		(struct record_price){"poet", 2, 0, 2000000, 500000, 3000000};
	row_add(b, STORE_TENANTS)->u.tenant = (struct store_tenant){
		.tenant = {.id = 1, .name = "local", .credit_nano = LEDGER_CREDIT_UNLIMITED}};
	row_add(b, STORE_TENANTS)->u.tenant = (struct store_tenant){
		.tenant = {.id = 2, .name = "acme", .credit_nano = 100},
		.balance_nano = 1000 - 27 - 50, .held_nano = 50};
}

/* acme has paid 1,000 in. Request 5 held 60 and 40 more and cost 5 x 2 + 5 x 0.5 + 4 x 3 = 24.5,
 * so 25, and then 2 of another rounding; 6 was cut off by a crash; 7 is open. 8 was refused. */
static struct books books(void)
{
	static const struct store_ops ops = {.rows_open = rows_open};
	struct books b = {.store = {&ops}};

	who_add(&b);
	transaction_add(&b, RECORD_TOPUP, 1, 0, 0, (int64_t[3]){-1000, 1000});
	transaction_add(&b, RECORD_HOLD, 2, 4, 0, (int64_t[3]){-9, 9});
	transaction_add(&b, RECORD_SETTLE, 3, 4, 0, (int64_t[3]){-9, 2, 7});
	transaction_add(&b, RECORD_HOLD, 4, 5, 0, (int64_t[3]){-60, 60});
	transaction_add(&b, RECORD_HOLD, 6, 5, 1, (int64_t[3]){-40, 40});
	transaction_add(&b, RECORD_SETTLE, 8, 5, 0, (int64_t[3]){-100, 25, 75});
	transaction_add(&b, RECORD_HOLD, 5, 6, 0, (int64_t[3]){-30, 30});
	transaction_add(&b, RECORD_RELEASE, 9, 6, 0, (int64_t[3]){-30, 30});
	transaction_add(&b, RECORD_HOLD, 7, 7, 0, (int64_t[3]){-50, 50});
	usage_add(&b, STORE_USAGES, 4, 3, 3, 0, RECORD_FINISH_CANCELLED, 2);
	usage_add(&b, STORE_USAGES, 5, 10, 5, 4, RECORD_FINISH_STOP, 25);
	usage_add(&b, STORE_USAGES, 6, 5, 0, 3, RECORD_FINISH_ERROR, 0);
	usage_add(&b, STORE_OPENS, 7, 5, 0, 0, RECORD_FINISH_OPEN, 0);
	b.facts[0] = (struct store_fact){.request = {.low = 5}, .tokens = 4, .complete = true};
	b.facts[1] = (struct store_fact){.request = {.low = 6}, .tokens = 3};
	b.facts[2] = (struct store_fact){.request = {.low = 7}, .tokens = 1};
	b.facts[3] = (struct store_fact){.request = {.low = 8}, .complete = true};
	b.fact_count = 4;
	return b;
}

/* Places in books(). */
enum { TOPUP, HOLD_4, SETTLE_4, HOLD_5, HOLD_5_MORE, SETTLE_5, HOLD_6, RELEASE_6, HOLD_7 };
enum { USAGE_4, USAGE_5, USAGE_6 };
enum { LOCAL, ACME };

static void holds(struct books *b)
{
	struct err_info info = {0};

	if (audit_store(&b->store, b->facts, b->fact_count, false, &info))
		fail_msg("%s", info.text);
}

static void finds(struct books *b, const char *text)
{
	struct err_info info = {0};

	if (audit_store(&b->store, b->facts, b->fact_count, false, &info) != ERR_INPUT ||
		!strstr(info.text, text))
		fail_msg("\"%s\", and not \"%s\"", info.text, text);
}

static void idle_finds(struct books *b, const char *text)
{
	struct err_info info = {0};

	assert_int_equal(audit_store(&b->store, b->facts, b->fact_count, true, &info), ERR_INPUT);
	if (!strstr(info.text, text))
		fail_msg("\"%s\", and not \"%s\"", info.text, text);
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void books_that_agree_are_right(void **state)
{
	struct books b = books();

	(void)state;
	holds(&b);
	b.fact_count = 0;       /* a journal that knows nothing contradicts nothing */
	holds(&b);
}

static void an_empty_store_is_right(void **state)
{
	struct books b = books();

	(void)state;
	memset(b.count, 0, sizeof(b.count));
	holds(&b);
}

static void a_transaction_that_does_not_add_up_to_zero_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, TOPUP)->entries[1].amount_nano++;
	finds(&b, "topup:1: does not balance");
	b = books();
	transaction_at(&b, SETTLE_5)->entries[2].amount_nano--;
	finds(&b, "settle:req_00000000000000000000000000000005: does not balance");
	b = books();
	transaction_at(&b, HOLD_6)->entry_count = 0;
	finds(&b, "hold:req_00000000000000000000000000000006:0: has no entries");
}

static void entries_that_are_not_those_of_their_kind_are_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, SETTLE_5)->entries[1].account = RECORD_CASH;
	finds(&b, "its entries are not those of its kind");
	b = books();
	transaction_at(&b, SETTLE_5)->entries[1].amount_nano = -25;
	transaction_at(&b, SETTLE_5)->entries[2].amount_nano = 125;
	finds(&b, "its entries are not those of its kind");
}

static void a_balance_that_is_not_the_sum_of_its_entries_is_found(void **state)
{
	struct books b = books();

	(void)state;
	b.row[STORE_TENANTS][ACME].u.tenant.balance_nano++;
	finds(&b, "acme: the account is not the sum of its entries");
	b = books();
	b.row[STORE_TENANTS][ACME].u.tenant.held_nano--;
	finds(&b, "acme: the account is not the sum of its entries");
	b = books();
	b.row[STORE_TENANTS][LOCAL].u.tenant.balance_nano++;
	finds(&b, "local: the account is not the sum of its entries");
	b = books();
	b.row[STORE_TOTALS][0].u.totals.cash_nano++;
	finds(&b, "cash: the account is not the sum of its entries");
	b = books();
	b.row[STORE_TOTALS][0].u.totals.revenue_nano++;
	finds(&b, "revenue: the account is not the sum of its entries");
}

static void a_balance_below_its_credit_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, TOPUP)->entries[0].amount_nano += 1000;
	transaction_at(&b, TOPUP)->entries[1].amount_nano -= 1000;
	b.row[STORE_TOTALS][0].u.totals.cash_nano += 1000;
	b.row[STORE_TENANTS][ACME].u.tenant.balance_nano -= 1000;   /* -77: within 100 */
	holds(&b);
	b.row[STORE_TENANTS][ACME].u.tenant.tenant.credit_nano = 76;
	finds(&b, "acme: the balance is below its credit");
}

static void an_idempotency_key_that_is_double_or_another_is_found(void **state)
{
	struct books b = books();

	(void)state;
	row_double(&b, STORE_TRANSACTIONS, TOPUP);
	finds(&b, "topup:1: is double");
	b = books();
	row_double(&b, STORE_TRANSACTIONS, HOLD_5);
	finds(&b, "hold:req_00000000000000000000000000000005:0: is double");
	b = books();
	row_double(&b, STORE_TRANSACTIONS, HOLD_5);     /* under another id */
	transaction_at(&b, HOLD_5_MORE)->id = 5;
	finds(&b, "a part of the hold is missing or double");
	b = books();
	row_double(&b, STORE_TRANSACTIONS, SETTLE_5);
	transaction_at(&b, SETTLE_5 + 1)->id = 10;
	finds(&b, "settle:req_00000000000000000000000000000005: the request was over before");
	b = books();
	strcpy(b.row[STORE_TRANSACTIONS][SETTLE_5].u.transaction.idempotency, "settle:again");
	finds(&b, "has another idempotency key");
}

static void a_hold_without_a_request_is_found(void **state)
{
	static const uint32_t places[] = {HOLD_4, SETTLE_4, RELEASE_6};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct books b = books();
		struct store_row row = b.row[STORE_TRANSACTIONS][places[i]];

		row.u.transaction.row.has_request = false;
		record_idempotency_format(row.u.transaction.idempotency,
			&row.u.transaction.row);
		row_remove(&b, STORE_TRANSACTIONS, places[i]);
		row_double(&b, STORE_TRANSACTIONS, TOPUP);
		b.row[STORE_TRANSACTIONS][TOPUP + 1] = row;
		finds(&b, "is of no request");
	}
}

static void a_request_that_pays_in_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_add(&b, RECORD_TOPUP, 12, 7, 0, (int64_t[3]){-1, 1});
	finds(&b, "a request does not pay in");
}

static void a_hold_that_was_left_open_is_found(void **state)
{
	struct books b = books();

	(void)state;
	row_remove(&b, STORE_OPENS, 0);
	finds(&b, "req_00000000000000000000000000000007: is held for and neither over nor open");
	b = books();
	row_remove(&b, STORE_TRANSACTIONS, HOLD_7);
	finds(&b, "is open and nothing was held for it");
	b = books();
	b.row[STORE_OPENS][0].u.usage.request.low = 6;
	finds(&b, "req_00000000000000000000000000000006: is over and open");
	b = books();
	row_double(&b, STORE_OPENS, 0);
	finds(&b, "is open twice");
	b = books();
	b.row[STORE_OPENS][0].u.usage.finish = RECORD_FINISH_STOP;
	finds(&b, "its open row makes no sense");
	b = books();
	b.row[STORE_OPENS][0].u.usage.price_version = 3;
	finds(&b, "is open at a price that there is not");
	b = books();
	b.row[STORE_OPENS][0].u.usage.input = INT64_MAX;
	finds(&b, "its open row makes no sense");
}

static void where_no_request_is_alive_none_may_be_open(void **state)
{
	struct err_info info = {0};
	struct books b = books();

	(void)state;
	idle_finds(&b, "req_00000000000000000000000000000007: is open and no request is alive");
	row_remove(&b, STORE_TRANSACTIONS, HOLD_7);
	row_remove(&b, STORE_OPENS, 0);
	b.row[STORE_TENANTS][ACME].u.tenant.balance_nano += 50;
	b.row[STORE_TENANTS][ACME].u.tenant.held_nano = 0;
	assert_int_equal(audit_store(&b.store, b.facts, b.fact_count, true, &info), ERR_NONE);
}

static void an_end_that_takes_another_amount_than_was_held_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, SETTLE_5)->entries[0].amount_nano = -101;    /* more than was held */
	transaction_at(&b, SETTLE_5)->entries[2].amount_nano = 76;
	finds(&b, "takes another amount than is held");
	b = books();
	transaction_at(&b, RELEASE_6)->entries[0].amount_nano = -29;    /* something stays */
	transaction_at(&b, RELEASE_6)->entries[1].amount_nano = 29;
	finds(&b, "takes another amount than is held");
	b = books();
	row_remove(&b, STORE_TRANSACTIONS, HOLD_4);
	finds(&b, "ends what was not held for");
	b = books();
	transaction_add(&b, RECORD_RELEASE, 10, 7, 0, (int64_t[3]){-50, 50});
	transaction_add(&b, RECORD_SETTLE, 11, 7, 0, (int64_t[3]){0, 0, 0});
	finds(&b, "settle:req_00000000000000000000000000000007: the request was over before");
}

static void usage_without_a_settle_and_a_settle_without_usage_are_found(void **state)
{
	struct books b = books();

	(void)state;
	row_remove(&b, STORE_USAGES, USAGE_5);
	finds(&b, "req_00000000000000000000000000000005: is over and has no usage row");
	b = books();
	usage_add(&b, STORE_USAGES, 7, 5, 0, 1, RECORD_FINISH_STOP, 13);
	finds(&b, "req_00000000000000000000000000000007: has a usage row and was neither");
	b = books();
	row_double(&b, STORE_USAGES, USAGE_5);
	finds(&b, "has two usage rows");
	b = books();
	usage_at(&b, USAGE_5)->finish = RECORD_FINISH_OPEN;
	finds(&b, "its usage row makes no sense");
	b = books();
	usage_at(&b, USAGE_5)->tenant_id = 1;
	finds(&b, "has rows of two tenants");
}

static void an_amount_that_is_not_tokens_times_price_is_found(void **state)
{
	static const char text[] = "its amount is not its tokens times their price";
	struct books b = books();

	(void)state;
	usage_at(&b, USAGE_5)->amount_nano--;           /* 24.5 rounds up */
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_4)->amount_nano--;           /* 1.5 too */
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->cached_input--;
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->output++;
	finds(&b, text);
	b = books();
	b.row[STORE_PRICES][1].u.price.output_nano++;   /* 24.500004 costs 25 all the same */
	holds(&b);
	b.row[STORE_PRICES][1].u.price.output_nano -= 2;
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->price_version = 1;       /* of another model */
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->price_version = 3;
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->price_version = 0;       /* had none, so costs nothing */
	finds(&b, text);
	b = books();
	usage_at(&b, USAGE_5)->finish = RECORD_FINISH_ERROR;    /* so does an error */
	finds(&b, text);
}

static void a_charge_that_is_not_the_usage_row_s_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, SETTLE_5)->entries[1].amount_nano = 24;
	transaction_at(&b, SETTLE_5)->entries[2].amount_nano = 76;
	finds(&b, "was charged another amount than its usage row says");
	b = books();
	usage_at(&b, USAGE_6)->finish = RECORD_FINISH_STOP;
	usage_at(&b, USAGE_6)->input = usage_at(&b, USAGE_6)->output = 0;
	finds(&b, "was released and is not recorded as an error");
}

static void a_wrong_sequence_is_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, HOLD_5_MORE)->part = 2;
	record_idempotency_format(
		b.row[STORE_TRANSACTIONS][HOLD_5_MORE].u.transaction.idempotency,
		transaction_at(&b, HOLD_5_MORE));
	finds(&b, "a part of the hold is missing or double");
	b = books();
	transaction_at(&b, SETTLE_5)->id = 3;
	finds(&b, "is double, or before its time");
	b = books();
	transaction_add(&b, RECORD_RELEASE, 10, 7, 0, (int64_t[3]){-50, 50});
	transaction_add(&b, RECORD_HOLD, 11, 7, 1, (int64_t[3]){-1, 1});
	finds(&b, "holds for a request that is over");
	b = books();
	b.row[STORE_PRICES][1].u.price.version = 3;
	finds(&b, "table price, row 3: its number is not the next");
	b = books();
	b.row[STORE_TENANTS][ACME].u.tenant.tenant.id = 3;
	finds(&b, "table tenant, row 3: its number is not the next");
	b = books();
	transaction_at(&b, HOLD_7)->tenant_id = 3;
	finds(&b, "is of no tenant");
}

static void a_key_that_no_start_accepts_is_found(void **state)
{
	struct books b = books();

	(void)state;
	row_add(&b, STORE_KEYS)->u.key = (struct record_key){.id = 1, .tenant_id = 2};
	row_add(&b, STORE_KEYS)->u.key = (struct record_key){.id = 2, .tenant_id = 1};
	holds(&b);
	b.row[STORE_KEYS][1].u.key.id = 3;
	finds(&b, "table api_key, row 3: its number is not the next");
	b.row[STORE_KEYS][1].u.key = (struct record_key){.id = 2, .tenant_id = 3};
	finds(&b, "table api_key, row 2: it is a key of no tenant");
}

static void a_tenant_out_of_its_bounds_is_found(void **state)
{
	static const char text[] = "table tenant, row 2: its name, its credit or a limit is out";
	struct record_tenant *acme;
	struct books b = books();

	(void)state;
	acme = &b.row[STORE_TENANTS][ACME].u.tenant.tenant;
	acme->requests_per_min = -1;
	finds(&b, text);
	b = books();
	acme->tokens_per_min = INT64_MAX;
	finds(&b, text);
	b = books();
	acme->credit_nano = INT64_MAX;
	finds(&b, text);
	b = books();
	acme->name[0] = 'A';
	finds(&b, text);
}

static void a_price_out_of_its_bounds_is_found(void **state)
{
	struct books b = books();

	(void)state;
	b.row[STORE_PRICES][0].u.price.input_nano = -1;
	finds(&b, "table price, row 1: its model or a price is out of its bounds");
}

static void more_billed_than_the_journal_has_seen_is_found(void **state)
{
	struct books b = books();

	(void)state;
	b.facts[0].tokens = 3;
	finds(&b, "was billed for more tokens than the journal has seen");
	b.facts[0].complete = false;    /* its end was lost with the power */
	holds(&b);
}

/* However the rows of a hostile file come, the audit ends with a word and not with a signal. */
static void rows_in_no_order_are_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, HOLD_7)->request.low = 3;
	finds(&b, "");
	b = books();
	usage_at(&b, USAGE_6)->request.low = 2;
	finds(&b, "");
	b = books();
	b.facts[0] = b.facts[1];
	b.facts[1] = books().facts[0];
	finds(&b, "its rows are out of order");
}

static void sums_that_do_not_fit_are_found(void **state)
{
	struct books b = books();

	(void)state;
	transaction_at(&b, TOPUP)->entries[0].amount_nano = -INT64_MAX;
	transaction_at(&b, TOPUP)->entries[1].amount_nano = INT64_MAX;
	row_double(&b, STORE_TRANSACTIONS, TOPUP);
	transaction_at(&b, TOPUP + 1)->id = 2;
	b.row[STORE_TRANSACTIONS][TOPUP + 1].u.transaction.idempotency[0] = '\0';
	finds(&b, "a sum does not fit");
}

static void without_memory_it_says_so(void **state)
{
	struct err_info info = {0};
	struct books b = books();

	(void)state;
	for (int64_t n = 1; n <= 2; n++) {
		info = (struct err_info){0};
		mem_fail_after(n, 1);
		assert_int_equal(audit_store(&b.store, NULL, 0, false, &info), ERR_MEMORY);
		mem_fail_after(0, 0);
	}
	holds(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_that_agree_are_right),
		cmocka_unit_test(an_empty_store_is_right),
		cmocka_unit_test(a_transaction_that_does_not_add_up_to_zero_is_found),
		cmocka_unit_test(entries_that_are_not_those_of_their_kind_are_found),
		cmocka_unit_test(a_balance_that_is_not_the_sum_of_its_entries_is_found),
		cmocka_unit_test(a_balance_below_its_credit_is_found),
		cmocka_unit_test(an_idempotency_key_that_is_double_or_another_is_found),
		cmocka_unit_test(a_hold_without_a_request_is_found),
		cmocka_unit_test(a_request_that_pays_in_is_found),
		cmocka_unit_test(a_hold_that_was_left_open_is_found),
		cmocka_unit_test(where_no_request_is_alive_none_may_be_open),
		cmocka_unit_test(an_end_that_takes_another_amount_than_was_held_is_found),
		cmocka_unit_test(usage_without_a_settle_and_a_settle_without_usage_are_found),
		cmocka_unit_test(an_amount_that_is_not_tokens_times_price_is_found),
		cmocka_unit_test(a_charge_that_is_not_the_usage_row_s_is_found),
		cmocka_unit_test(a_wrong_sequence_is_found),
		cmocka_unit_test(a_key_that_no_start_accepts_is_found),
		cmocka_unit_test(a_tenant_out_of_its_bounds_is_found),
		cmocka_unit_test(a_price_out_of_its_bounds_is_found),
		cmocka_unit_test(more_billed_than_the_journal_has_seen_is_found),
		cmocka_unit_test(rows_in_no_order_are_found),
		cmocka_unit_test(sums_that_do_not_fit_are_found),
		cmocka_unit_test(without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
