/* tests/server/store_sqlite_rows_test.c - another hand has been at the database: `ledger check`
 * finds it, by the same audit as anywhere else, and says what and where.
 *
 * The database is filled through the core, as in life, and bent with SQL. What the audit knows is
 * tests/cloud/audit_test.c; here is that every table gets there, and gets there whole.
 */
#include "cloud/house.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "cloud/audit.h"
#include "server/store_sqlite.h"

static char folder[64];
static char path[128];

static int folder_open(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/store_sqlite_rows_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/cloud.db", folder);
	return 0;
}

static int folder_close(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[160];

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(folder);
}

static struct store *store_open(void)
{
	const struct store_sqlite_config config = {.path = path, .records_max = 64};
	struct err_info info = {0};
	struct store *s = NULL;

	if (store_sqlite_open(&s, &config, &info))
		fail_msg("%s", info.text);
	return s;
}

static void commit(struct house *h, struct store *s)
{
	struct err_info info = {0};
	uint64_t durable = 0;

	for (uint32_t i = 0; i < h->log_count; i++)
		if (h->log[i].kind == CORE_STORE)
			store_append(s, &h->log[i].u.store);
	house_forget(h);
	if (store_commit(s, &durable, &info))
		fail_msg("%s", info.text);
	house_stored(h);
}

/* acme pays in 1,000 (transaction 1); a request holds 350 (2) and costs 221 (3); the hold of an
 * open one grows from 203 (4) to 206 (5). */
static void fill(void)
{
	struct core_limits limits = house_limits;
	struct store *s = store_open();
	struct house h;

	limits.hold_step_tokens = 1;
	house_open(&h, &limits);
	house_ready(&h);
	house_tenant(&h, "acme", 1000, 0);
	house_key_create(&h, "acme", 1);
	house_price(&h, 2, 3);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	commit(&h, s);
	house_request(&h, 1, 1, 100, 0);
	house_run(&h);
	commit(&h, s);
	house_close(&h);
	store_close(s);
}

static void bend(const char *sql)
{
	char *text = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text))
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

/* text NULL: nothing is wrong. */
static void check_says(const char *text, bool idle)
{
	struct store *s = store_open();
	struct err_info info = {0};

	const enum err err = audit_store(s, NULL, 0, idle, &info);

	if (err != (text ? ERR_INPUT : ERR_NONE) || (text && !strstr(info.text, text)))
		fail_msg("%d: \"%s\", wanted \"%s\"", (int)err, info.text, text ? text : "");
	store_close(s);
}

static void finds(const char *sql, const char *text)
{
	fill();
	check_says(NULL, false);
	bend(sql);
	check_says(text, false);
	folder_close(NULL);
	folder_open(NULL);
}

/* ---- what is found --------------------------------------------------------------------------- */

static void an_entry_that_was_changed_is_found(void **state)
{
	(void)state;
	finds("UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = 3 AND "
		"position = 1",
		": does not balance");
	finds("UPDATE entry SET amount_nano = amount_nano - 1 WHERE transaction_id = 1 AND "
		"position = 0;"
	      "UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = 1 AND "
	      "position = 1",
		"cash: the account is not the sum of its entries");
	finds("DELETE FROM entry WHERE transaction_id = 1", "topup:1: has no entries");
	finds("DELETE FROM entry WHERE transaction_id = 3 AND position = 0",
		"table ledger, row 3: bad position");
	finds("UPDATE entry SET account_id = 3 WHERE account_id = 5 AND transaction_id = 3",
		"row 3: bad account_id");
}

static void a_balance_that_was_changed_is_found(void **state)
{
	(void)state;
	finds("UPDATE account SET balance_nano = balance_nano + 1 WHERE name = 'lease/1/acme'",
		"acme: the account is not the sum of its entries");
	finds("UPDATE account SET balance_nano = balance_nano - 1 WHERE name = 'held/1/acme'",
		"acme: the account is not the sum of its entries");
	finds("UPDATE account SET balance_nano = balance_nano + 1 WHERE name = 'revenue'",
		"revenue: the account is not the sum of its entries");
	finds("UPDATE account SET balance_nano = balance_nano + 1 WHERE name = 'cash'",
		"cash: the account is not the sum of its entries");
	finds("UPDATE tenant SET credit_nano = 1; UPDATE account SET balance_nano = -2 WHERE name "
		"= 'lease/1/acme'",
		"acme: the account is not the sum of its entries");
	finds("PRAGMA foreign_keys = OFF; DELETE FROM account WHERE name = 'revenue'",
		"a row refers to one that is not");
}

/* The column forbids it, so the table is made again without. */
static void an_idempotency_key_that_is_there_twice_is_found(void **state)
{
	static const char again[] =
		"CREATE TABLE other (id INTEGER PRIMARY KEY, at_ns, kind, tenant_id, request, "
		"part, idempotency);"
		"INSERT INTO other SELECT * FROM ledger; DROP TABLE ledger; ALTER TABLE other "
		"RENAME TO ledger;"
		"INSERT INTO ledger SELECT 99, at_ns, kind, tenant_id, request, part, idempotency "
		"FROM ledger WHERE id = 3;"
		"INSERT INTO entry SELECT 99, position, account_id, amount_nano FROM entry WHERE "
		"transaction_id = 3";

	(void)state;
	finds(again, ": the request was over before");
	finds("UPDATE ledger SET idempotency = 'settle:another' WHERE id = 3",
		": has another idempotency key");
}

static void a_hold_without_a_request_or_left_open_is_found(void **state)
{
	(void)state;
	finds("UPDATE ledger SET request = NULL, idempotency = 'hold:2' WHERE id = 2",
		"hold:2: is of no request");
	finds("DELETE FROM open_request", "is held for and neither over nor open");
	finds("INSERT INTO open_request SELECT * FROM usage", "is over and open");
	finds("DELETE FROM entry WHERE transaction_id > 3; DELETE FROM ledger WHERE id > 3",
		"is open and nothing was held for it");
}

static void where_no_server_runs_nothing_may_be_open(void **state)
{
	(void)state;
	fill();
	check_says(NULL, false);
	check_says("is open and no request is alive", true);
}

static void a_settle_beyond_its_hold_is_found(void **state)
{
	(void)state;
	finds("UPDATE entry SET amount_nano = -351 WHERE transaction_id = 3 AND position = 0;"
	      "UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = 3 AND "
	      "position = 2",
		": takes another amount than is held");
}

static void usage_without_a_settle_and_the_reverse_are_found(void **state)
{
	(void)state;
	finds("DELETE FROM usage", ": is over and has no usage row");
	finds("DELETE FROM entry WHERE transaction_id = 3; DELETE FROM ledger WHERE id = 3",
		": has a usage row and was neither settled nor released");
}

static void an_amount_that_is_not_tokens_times_price_is_found(void **state)
{
	(void)state;
	finds("UPDATE usage SET output = output + 1",
		": its amount is not its tokens times their price");
	finds("UPDATE usage SET amount_nano = amount_nano - 1",
		": its amount is not its tokens times their price");
	finds("UPDATE price SET output_nano = output_nano + 1000000",
		": its amount is not its tokens times their price");
}

static void a_wrong_sequence_is_found(void **state)
{
	(void)state;
	finds("UPDATE ledger SET part = 2, idempotency = replace(idempotency, ':1', ':2') WHERE id "
		"= 5",
		": a part of the hold is missing or double");
	finds("UPDATE ledger SET request = (SELECT request FROM ledger WHERE id = 2), part = 1, "
		"idempotency = 'hold:' || "
	      "(SELECT request FROM ledger WHERE id = 2) || ':1' WHERE id = 5",
	      ": holds for a request that is over");
	finds("UPDATE price SET version = 2", "table price, row 2: its number is not the next");
}

static void a_row_that_no_start_accepts_is_found(void **state)
{
	(void)state;
	finds("UPDATE tenant SET requests_per_min = 100000001 WHERE name = 'acme'",
		"table tenant, row 2: its name, its credit or a limit is out of its bounds");
	finds("UPDATE tenant SET tokens_per_min = 9223372036854775807 WHERE name = 'acme'",
		"table tenant, row 2: its name, its credit or a limit is out of its bounds");
	finds("UPDATE tenant SET name = 'A B' WHERE name = 'local'",
		"table tenant, row 1: bad name");
	finds("UPDATE api_key SET id = 0", "table api_key, row 0: its number is not the next");
	finds("UPDATE api_key SET id = 7", "table api_key, row 7: its number is not the next");
	finds("UPDATE api_key SET name = hex(zeroblob(5000))", "table api_key, row 1: bad name");
	finds("UPDATE api_key SET hash = x'00'", "table api_key, row 1: bad hash");
	finds("UPDATE price SET model = ''", "table price, row 1: its model or a price is out");
	finds("UPDATE open_request SET input = 9223372036854775807", "its open row makes no sense");
}

static void a_file_that_is_damaged_is_found(void **state)
{
	(void)state;
	/* an index that is not that of its table */
	finds("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, "
		"'(request)', '(kind)') "
	      "WHERE name = 'ledger_request'", "the file is damaged");
}

/* Enough rows that they do not fit a page of anything, in the order in which nobody wrote them. */
static void many_requests_are_read_in_order(void **state)
{
	static const char more[] =
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
		"INSERT INTO ledger SELECT 1000 + i, 0, 'hold', 2, printf('req_%032x', i * 7919 % "
		"2003), 0, "
		"printf('hold:req_%032x:0', i * 7919 % 2003) FROM n;"
		"INSERT INTO ledger SELECT id + 10000, 0, 'release', 2, request, 0, 'release:' || "
		"request FROM ledger "
		"WHERE id > 1000;"
		"INSERT INTO entry SELECT id, 0, CASE WHEN id < 10000 THEN 5 ELSE 6 END, -3 FROM "
		"ledger WHERE id > 1000;"
		"INSERT INTO entry SELECT id, 1, CASE WHEN id < 10000 THEN 6 ELSE 5 END, 3 FROM "
		"ledger WHERE id > 1000;"
		"INSERT INTO usage SELECT request, 2, 0, 'poet', 1, 0, 1, 0, 1, 0, 'error', 0 FROM "
		"ledger WHERE id > 10000;";

	(void)state;
	fill();
	bend(more);
	check_says(NULL, false);
	bend("UPDATE usage SET amount_nano = 1 WHERE request = printf('req_%032x', 1234)");
	check_says("req_000000000000000000000000000004d2: its amount is not", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_entry_that_was_changed_is_found, folder_open,
			folder_close),
		cmocka_unit_test_setup_teardown(a_balance_that_was_changed_is_found, folder_open,
		folder_close),
		cmocka_unit_test_setup_teardown(an_idempotency_key_that_is_there_twice_is_found,
		folder_open, folder_close),
		cmocka_unit_test_setup_teardown(a_hold_without_a_request_or_left_open_is_found,
		folder_open, folder_close),
		cmocka_unit_test_setup_teardown(where_no_server_runs_nothing_may_be_open,
		folder_open, folder_close),
		cmocka_unit_test_setup_teardown(a_settle_beyond_its_hold_is_found, folder_open,
		folder_close),
		cmocka_unit_test_setup_teardown(usage_without_a_settle_and_the_reverse_are_found,
		folder_open, folder_close),
		cmocka_unit_test_setup_teardown(an_amount_that_is_not_tokens_times_price_is_found,
		folder_open, folder_close),
		cmocka_unit_test_setup_teardown(a_wrong_sequence_is_found, folder_open,
		folder_close),
		cmocka_unit_test_setup_teardown(a_row_that_no_start_accepts_is_found, folder_open,
		folder_close),
		cmocka_unit_test_setup_teardown(a_file_that_is_damaged_is_found, folder_open,
		folder_close),
		cmocka_unit_test_setup_teardown(many_requests_are_read_in_order, folder_open,
		folder_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
