/* tests/server/store_sqlite_test.c - what was committed is there, whole and in order; what was bent is found.
 *
 * The store is filled through the core, as in life; then the file is touched by another hand.
 */
#include "cloud/house.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/store_sqlite.h"
#include "vfs_lossy.h"

static char folder[64], path[128];

static int folder_open(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/store_sqlite_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/cloud.db", folder);
	return 0;
}

static int folder_close(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[160];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(folder);
}

static struct store *open_with(const char *currency, const char *vfs)
{
	const struct store_sqlite_config config = {.path = path, .currency = currency, .records_max = 64, .vfs = vfs};
	struct err_info info = {0};
	struct store *s = NULL;

	if (store_sqlite_open(&s, &config, &info))
		fail_msg("%s", info.text);
	return s;
}

static struct store *open_store(void)
{
	return open_with(NULL, NULL);
}

static void give(struct house *h, struct store *s)
{
	for (uint32_t i = 0; i < h->log_count; i++)
		if (h->log[i].kind == CORE_STORE)
			store_append(s, &h->log[i].u.store);
	house_forget(h);
}

static void commit(struct house *h, struct store *s)
{
	struct err_info info = {0};
	uint64_t durable = 0;

	give(h, s);
	if (store_commit(s, &durable, &info))
		fail_msg("%s", info.text);
	assert_int_equal(durable, h->given);
	house_stored(h);
}

/* Tenant acme has 1,000, has used 221, and one more request is open and holds 350. */
static void fill(struct house *h, struct store *s)
{
	house_start(h);
	give(h, s);
	house_tenant(h, "acme", 1000, 0);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
	h->length[0] = 7;
	house_request(h, 0, 1, 100, 50);
	house_run_all(h);
	house_progress(h, CORE_FLUSHED, 0, 7);
	commit(h, s);
	house_request(h, 1, 1, 100, 50);
	commit(h, s);
}

static void filled_and_closed(void)
{
	struct store *s = open_store();
	struct house h;

	fill(&h, s);
	house_close(&h);
	store_close(s);
}

static void touch(const char *sql)
{
	sqlite3 *db;
	char *text = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text))
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

struct seen {
	uint32_t tenants, keys, prices, usage, transactions, cut_offs;
	int64_t balance_nano, held_nano, cut_off_nano, revenue_nano;
	struct record_usage last_usage;
	char tenant[RECORD_NAME_BYTES];
};

static void see(void *context, const struct core_event *event)
{
	struct seen *seen = context;

	seen->keys += event->kind == CORE_LOAD_KEY;
	seen->prices += event->kind == CORE_LOAD_PRICE;
	if (event->kind == CORE_LOAD_COUNTERS)
		seen->revenue_nano = event->u.load_counters.revenue_nano;
	if (event->kind == CORE_LOAD_TENANT) {
		seen->tenants++;
		seen->balance_nano = event->u.load_tenant.balance_nano;
		seen->held_nano = event->u.load_tenant.held_nano;
	}
	if (event->kind == CORE_LOAD_CUT_OFF) {
		seen->cut_offs++;
		seen->cut_off_nano += event->u.cut_off.held_nano;
	}
}

static void see_usage(void *context, const struct record_usage *row, const char *tenant)
{
	struct seen *seen = context;

	seen->usage++;
	seen->last_usage = *row;
	snprintf(seen->tenant, sizeof(seen->tenant), "%s", tenant);
}

static void see_transaction(void *context, const struct record_transaction *row, const char *tenant)
{
	(void)tenant;
	((struct seen *)context)->transactions++;
	assert_true(ledger_transaction_valid(row));
}

static struct seen load(struct store *s)
{
	struct seen seen = {0};
	struct err_info info = {0};

	if (store_load(s, see, &seen, &info))
		fail_msg("%s", info.text);
	return seen;
}

static struct seen read_all(struct store *s, const char *tenant, const struct record_request *request)
{
	struct seen seen = {0};
	struct err_info info = {0};
	const struct store_filter filter = {.tenant = tenant, .request = request};
	const struct store_reader reader = {.context = &seen, .usage = see_usage, .transaction = see_transaction};

	if (store_read(s, &filter, &reader, &info))
		fail_msg("%s", info.text);
	return seen;
}

static void check_is(struct store *s, enum err err, const char *text)
{
	struct err_info info = {0};

	if (store_check(s, NULL, 0, &info) != err || (text && !strstr(info.text, text)))
		fail_msg("%d: %s, wanted: %s", (int)info.code, info.text, text ? text : "no error");
}

/* ---- what is remembered ------------------------------------------------------------------------------- */

static void remembers_what_was_committed(void **state)
{
	(void)state;
	filled_and_closed();
	struct store *s = open_store();
	const struct seen seen = load(s);
	assert_int_equal(seen.tenants, 2);
	assert_int_equal(seen.keys, 1);
	assert_int_equal(seen.prices, 1);
	assert_int_equal(seen.balance_nano, 1000 - 221 - 350);
	assert_int_equal(seen.held_nano, 350);
	assert_int_equal(seen.revenue_nano, 221);
	assert_int_equal(seen.cut_offs, 1);
	assert_int_equal(seen.cut_off_nano, 350);
	check_is(s, ERR_NONE, NULL);
	store_close(s);
}

static void see_into_house(void *context, const struct core_event *event)
{
	house_send(context, *event);
}

static void a_core_that_is_started_on_it_releases_what_was_cut_off(void **state)
{
	struct store *s;
	struct house h;

	(void)state;
	filled_and_closed();
	s = open_store();
	house_open(&h, &house_limits);
	struct err_info info = {0};
	assert_int_equal(store_load(s, see_into_house, &h, &info), ERR_NONE);
	house_ready(&h);
	commit(&h, s);
	const struct seen seen = load(s);
	assert_int_equal(seen.cut_offs, 0);
	assert_int_equal(seen.held_nano, 0);
	assert_int_equal(seen.balance_nano, 1000 - 221);
	assert_int_equal(read_all(s, NULL, NULL).usage, 2);
	assert_int_equal(read_all(s, NULL, NULL).last_usage.finish, RECORD_FINISH_ERROR);
	check_is(s, ERR_NONE, NULL);
	house_close(&h);
	store_close(s);
}

static void lists_show_what_was_asked_for(void **state)
{
	(void)state;
	filled_and_closed();
	struct store *s = open_store();
	const struct seen all = read_all(s, NULL, NULL);
	assert_int_equal(all.usage, 1);
	assert_int_equal(all.last_usage.output, 7);
	assert_string_equal(all.tenant, "acme");
	assert_int_equal(all.transactions, 4);   /* topup, hold, settle, hold */
	assert_int_equal(read_all(s, "local", NULL).transactions, 0);
	assert_int_equal(read_all(s, "acme", &all.last_usage.request).transactions, 2);
	assert_int_equal(read_all(s, "nobody", NULL).usage, 0);
	store_close(s);
}

static void a_reader_stands_beside_the_writer_and_sees_only_what_is_durable(void **state)
{
	struct err_info info = {0};
	struct store *writer = open_store(), *reader = NULL;
	struct house h;

	(void)state;
	fill(&h, writer);
	assert_int_equal(store_sqlite_reader(&reader, path, &info), ERR_NONE);
	assert_int_equal(read_all(reader, NULL, NULL).transactions, 4);
	house_tenant(&h, "late", 5, 0);
	give(&h, writer);
	assert_int_equal(read_all(reader, NULL, NULL).transactions, 4);
	uint64_t durable = 0;
	assert_int_equal(store_commit(writer, &durable, &info), ERR_NONE);
	assert_int_equal(read_all(reader, NULL, NULL).transactions, 5);
	check_is(reader, ERR_NONE, NULL);
	store_close(reader);
	store_close(writer);
	house_close(&h);
}

static void only_its_owner_may_read_the_file(void **state)
{
	struct stat status;

	(void)state;
	store_close(open_store());
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* ---- when it cannot be written ------------------------------------------------------------------------- */

static void a_commit_that_fails_keeps_the_group_until_it_is_told_to_try_again(void **state)
{
	struct store *s = open_with(NULL, VFS_LOSSY_NAME);
	struct err_info info = {0};
	uint64_t durable = 0;
	struct house h;

	(void)state;
	house_start(&h);
	house_tenant(&h, "acme", 1000, 0);
	give(&h, s);
	vfs_lossy_fail_syncs(1);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	assert_int_equal(durable, 0);
	vfs_lossy_fail_syncs(0);
	assert_int_equal(load(s).tenants, 0);
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, 0);
	store_append(s, &(struct record){.kind = RECORD_RETRY});
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, h.given);
	assert_int_equal(load(s).tenants, 2);
	check_is(s, ERR_NONE, NULL);
	store_close(s);
	house_close(&h);
}

static void a_settle_that_was_replaced_never_becomes_durable(void **state)
{
	struct store *s = open_with(NULL, VFS_LOSSY_NAME);
	struct err_info info = {0};
	uint64_t durable = 0;
	struct house h;

	(void)state;
	fill(&h, s);
	h.length[1] = 5;
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 1, 5);
	give(&h, s);
	vfs_lossy_fail_syncs(1);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	vfs_lossy_fail_syncs(0);
	house_send(&h, (struct core_event){.kind = CORE_STORE_FAILED});
	h.now_ns += HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(h.retries, 1);
	give(&h, s);
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	const struct seen seen = read_all(s, NULL, NULL);
	assert_int_equal(seen.usage, 2);
	assert_int_equal(seen.last_usage.finish, RECORD_FINISH_ERROR);
	assert_int_equal(seen.last_usage.amount_nano, 0);
	assert_int_equal(load(s).balance_nano, 1000 - 221);
	check_is(s, ERR_NONE, NULL);
	store_close(s);
	house_close(&h);
}

static void what_was_not_committed_is_lost_with_the_process_and_leaves_no_hole(void **state)
{
	struct store *s = open_store();
	struct house h;

	(void)state;
	fill(&h, s);
	house_tenant(&h, "late", 5, 0);
	give(&h, s);
	store_close(s);
	s = open_store();
	assert_int_equal(load(s).tenants, 2);
	check_is(s, ERR_NONE, NULL);
	store_close(s);
	house_close(&h);
}

/* ---- what another hand did to it ------------------------------------------------------------------------ */

static void each_way_to_be_wrong_is_found(void **state)
{
	static const char *const bends[][2] = {
		{"UPDATE account SET balance_nano = balance_nano + 1 WHERE name = 'lease/1/acme'", "not the sum of its entries"},
		{"UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = 3 AND position = 0", ""},
		{"DELETE FROM entry WHERE transaction_id = 3", "no entries"},
		{"DELETE FROM usage", "no usage row"},
		{"DELETE FROM open_request", "neither over nor open"},
		{"UPDATE usage SET output = output + 1", "its tokens times"},
		{"UPDATE usage SET amount_nano = amount_nano - 1", ""},
		{"INSERT INTO open_request SELECT * FROM usage", "over and open"},
		{"UPDATE entry SET account_id = 3 WHERE account_id = 5 AND transaction_id = 3", ""},
		{"INSERT INTO ledger SELECT 99, at_ns, kind, tenant_id, request, part, 'again' FROM ledger WHERE kind = 'settle';"
		 "INSERT INTO entry SELECT 99, position, account_id, 0 FROM entry WHERE transaction_id = 3", ""},
		{"UPDATE price SET output_nano = output_nano + 1000000", "its tokens times"},
		{"PRAGMA foreign_keys = OFF; UPDATE usage SET tenant_id = 77", "is not there"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		filled_and_closed();
		struct store *s = open_store();
		check_is(s, ERR_NONE, NULL);
		store_close(s);
		touch(bends[i][0]);
		s = open_store();
		check_is(s, ERR_INPUT, bends[i][1]);
		store_close(s);
		folder_close(NULL);
		folder_open(NULL);
	}
}

static void more_billed_than_the_journal_has_seen_is_found(void **state)
{
	struct err_info info = {0};

	(void)state;
	filled_and_closed();
	struct store *s = open_store();
	struct store_fact fact = {.request = read_all(s, NULL, NULL).last_usage.request, .tokens = 6, .complete = true};
	assert_int_equal(store_check(s, &fact, 1, &info), ERR_INPUT);
	fact.tokens = 7;
	info = (struct err_info){0};
	assert_int_equal(store_check(s, &fact, 1, &info), ERR_NONE);
	store_close(s);
}

static void rows_that_no_tongyun_wrote_are_refused(void **state)
{
	static const char *const bends[] = {
		"UPDATE tenant SET name = 'Not A Name' WHERE id = 2",
		"UPDATE tenant SET name = printf('%.*c', 500, 'x') WHERE id = 2",
		"UPDATE tenant SET credit_nano = -1",
		"UPDATE api_key SET hash = x'00'",
		"UPDATE api_key SET revoked = 7",
		"UPDATE price SET input_nano = -5",
		"UPDATE open_request SET finish = 'perhaps'",
		"UPDATE open_request SET request = 'req_x'",
		"UPDATE open_request SET model = CAST(x'610062' AS TEXT)",
	};
	struct err_info info;
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		filled_and_closed();
		touch(bends[i]);
		struct store *s = open_store();
		info = (struct err_info){0};
		if (store_load(s, see, &seen, &info) != ERR_INPUT)
			fail_msg("%s was believed", bends[i]);
		assert_non_null(strstr(info.text, "table"));
		store_close(s);
		folder_close(NULL);
		folder_open(NULL);
	}
}

static void expect_refused(const struct store_sqlite_config *config, enum err err)
{
	struct err_info info = {0};
	struct store *s = NULL;

	assert_int_equal(store_sqlite_open(&s, config, &info), err);
	assert_true(info.text[0] != '\0');
}

static void what_is_no_such_database_is_refused(void **state)
{
	struct store_sqlite_config config = {.path = path, .records_max = 64};
	FILE *file;

	(void)state;
	config.currency = "dollars!";
	expect_refused(&config, ERR_INPUT);
	unlink(path);
	store_close(open_with("EUR", NULL));
	config.currency = "CNY";
	expect_refused(&config, ERR_INPUT);
	config.currency = NULL;
	struct store *s = open_store();
	assert_string_equal(store_sqlite_currency(s), "EUR");
	store_close(s);
	touch("PRAGMA user_version = 99");
	expect_refused(&config, ERR_UNSUPPORTED);
	unlink(path);
	file = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database ", file);
	fclose(file);
	expect_refused(&config, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_A_FOLDER(name) cmocka_unit_test_setup_teardown(name, folder_open, folder_close)
		IN_A_FOLDER(remembers_what_was_committed),
		IN_A_FOLDER(a_core_that_is_started_on_it_releases_what_was_cut_off),
		IN_A_FOLDER(lists_show_what_was_asked_for),
		IN_A_FOLDER(a_reader_stands_beside_the_writer_and_sees_only_what_is_durable),
		IN_A_FOLDER(only_its_owner_may_read_the_file),
		IN_A_FOLDER(a_commit_that_fails_keeps_the_group_until_it_is_told_to_try_again),
		IN_A_FOLDER(a_settle_that_was_replaced_never_becomes_durable),
		IN_A_FOLDER(what_was_not_committed_is_lost_with_the_process_and_leaves_no_hole),
		IN_A_FOLDER(each_way_to_be_wrong_is_found),
		IN_A_FOLDER(more_billed_than_the_journal_has_seen_is_found),
		IN_A_FOLDER(rows_that_no_tongyun_wrote_are_refused),
		IN_A_FOLDER(what_is_no_such_database_is_refused),
	};

	vfs_lossy_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
