/* tests/server/store_sqlite_test.c - the store in SQLite keeps the promises of every store; what
 * was bent is found.
 *
 * The store is filled through the core, as in life; then the file is touched by another hand.
 */
#include "cloud/store_contract.h"

#include <sqlite3.h>
#include <stdatomic.h>
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
	const struct store_sqlite_config config = {.path = path, .currency = currency,
		.records_max = 64, .vfs = vfs};
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

static void filled_and_closed(void)
{
	struct store *s = open_store();
	struct house h;

	store_fill(&h, s);
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

static size_t file_get(char *out, size_t size)
{
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	size = fread(out, 1, size, file);
	fclose(file);
	return size;
}

static void check_is(struct store *s, enum err err, const char *text)
{
	struct err_info info = {0};

	if (audit_store(s, NULL, 0, false, &info) != err || (text && !strstr(info.text, text)))
		fail_msg("%d: %s, wanted: %s", (int)info.code, info.text, text ? text : "no error");
}

#define PRICES 2560

static void price_see(void *context, const struct record_price *row)
{
	(void)row;
	atomic_store((_Atomic bool *)context, true);
}

static void a_reader_that_is_stopped_reads_no_further(void **state)
{
	static _Atomic bool stop;
	const struct store_reader prices = {.context = &stop, .price = price_see};
	const struct store_filter all = {0};
	struct record record = {.kind = RECORD_PRICE, .u.price = {.model = "m"}};
	struct err_info info = {0};
	struct store *writer = open_store(), *reader = NULL;
	uint64_t durable = 0;

	(void)state;
	for (uint64_t i = 1; i <= PRICES; i++) {
		record.sequence = record.u.price.version = i;
		store_append(writer, &record);
		if (i % 64 == 0)
			assert_int_equal(store_commit(writer, &durable, &info), ERR_NONE);
	}
	assert_int_equal(store_sqlite_reader(&reader, path, &stop, &info), ERR_NONE);
	assert_int_equal(store_read(reader, &all, &prices, &info), ERR_CANCELLED);
	atomic_store(&stop, false);
	check_is(reader, ERR_NONE, NULL);
	store_close(reader);
	store_close(writer);
}

/* ---- for store_contract.h -------------------------------------------------------------------- */

static struct store *open_lossy(void)
{
	return open_with(NULL, VFS_LOSSY_NAME);
}

static struct store *restart(struct store *s)
{
	store_close(s);
	return open_lossy();
}

static void fail_syncs(struct store *s, bool failing)
{
	(void)s;
	vfs_lossy_fail_syncs(failing ? 1 : 0);
}

static void a_file_that_was_taken_away_is_written_to_no_more(void **state)
{
	struct record record = {.kind = RECORD_TENANT, .sequence = 1};
	struct err_info info = {0};
	uint64_t durable = 0;
	char aside[160];

	(void)state;
	struct store *s = open_store();
	record.u.tenant = (struct record_tenant){.id = 1, .name = "acme", .created_ns = 1};
	store_append(s, &record);
	assert_int_equal(store_sqlite_in_place(s, &info), ERR_NONE);
	snprintf(aside, sizeof(aside), "%s-aside", path);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	assert_non_null(strstr(info.text, "deleted or moved"));
	assert_int_equal(durable, 0);
	assert_int_equal(rename(aside, path), 0);
	record = (struct record){.kind = RECORD_RETRY};
	store_append(s, &record);
	info = (struct err_info){0};
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, 1);
	store_close(s);
}

static void tenant_append(struct store *s, uint32_t id)
{
	struct record record = {.kind = RECORD_TENANT, .sequence = id};

	record.u.tenant = (struct record_tenant){.id = id, .created_ns = 1};
	snprintf(record.u.tenant.name, sizeof(record.u.tenant.name), "t%u", id);
	store_append(s, &record);
}

static void tenant_count(void *context, const struct store_tenant *row)
{
	(void)row;
	++*(uint32_t *)context;
}

static uint32_t tenants_in(struct store *s)
{
	uint32_t count = 0;
	const struct store_reader tenants = {.context = &count, .tenant = tenant_count};
	const struct store_filter all = {0};
	struct err_info info = {0};

	assert_int_equal(store_read(s, &all, &tenants, &info), ERR_NONE);
	return count;
}

static void file_copy(const char *end, const char *copy)
{
	static char bytes[1 << 20];
	char from[160], to[200];

	snprintf(from, sizeof(from), "%s%s", path, end);
	snprintf(to, sizeof(to), "%s%s", copy, end);
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");

	assert_true(in && out);
	const size_t size = fread(bytes, 1, sizeof(bytes), in);

	assert_true(size < sizeof(bytes) && fwrite(bytes, 1, size, out) == size);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

/* What a new start finds after kill -9 now. */
static uint32_t tenants_after_a_kill(void)
{
	char copy[150];
	const struct store_sqlite_config config = {.path = copy, .records_max = 64};
	struct err_info info = {0};
	struct store *s = NULL;

	snprintf(copy, sizeof(copy), "%s.copy", path);
	file_copy("", copy);
	file_copy("-wal", copy);
	assert_int_equal(store_sqlite_open(&s, &config, &info), ERR_NONE);
	const uint32_t count = tenants_in(s);

	store_close(s);
	unlink(copy);
	return count;
}

/* The second time as the first commit of a log that begins anew. */
static void a_commit_that_failed_does_not_come_back_with_a_crash(void **state)
{
	const struct record retry = {.kind = RECORD_RETRY};
	uint64_t durable = 0;

	(void)state;
	struct store *s = open_lossy();
	vfs_lossy_write_through(true);
	tenant_append(s, 1);
	assert_int_equal(store_commit(s, &durable, &(struct err_info){0}), ERR_NONE);
	for (uint32_t id = 2; id <= 3; id++) {
		tenant_append(s, id);
		fail_syncs(s, true);
		assert_int_equal(store_commit(s, &durable, &(struct err_info){0}), ERR_IO);
		fail_syncs(s, false);
		assert_int_equal(tenants_after_a_kill(), id - 1);
		store_append(s, &retry);
		assert_int_equal(store_commit(s, &durable, &(struct err_info){0}), ERR_NONE);
		assert_int_equal(durable, id);
		assert_int_equal(tenants_after_a_kill(), id);
		touch("PRAGMA wal_checkpoint(RESTART)");
	}
	vfs_lossy_write_through(false);
	store_close(s);
}

static void a_log_that_was_taken_away_is_written_to_no_more_and_loses_nothing(void **state)
{
	struct err_info info = {0};
	uint64_t durable = 0;
	char log[160];

	(void)state;
	struct store *s = open_store();
	for (uint32_t id = 1; id <= 2; id++) {
		tenant_append(s, id);
		assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	}
	snprintf(log, sizeof(log), "%s-wal", path);
	assert_int_equal(unlink(log), 0);
	tenant_append(s, 3);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	assert_non_null(strstr(info.text, "its log (-wal) was deleted"));
	store_close(s);
	s = open_store();
	assert_int_equal(tenants_in(s), 2);
	store_close(s);
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static void lists_show_what_was_asked_for(void **state)
{
	(void)state;
	filled_and_closed();
	struct store *s = open_store();
	const struct store_seen all = store_list(s, NULL, NULL);
	assert_int_equal(all.usages, 1);
	assert_int_equal(all.last_usage.output, 7);
	assert_string_equal(all.last_tenant, "acme");
	assert_int_equal(all.transactions, 4);   /* topup, hold, settle, hold */
	assert_int_equal(store_list(s, "local", NULL).transactions, 0);
	assert_int_equal(store_list(s, "acme", &all.last_usage.request).transactions, 2);
	assert_int_equal(store_list(s, "nobody", NULL).usages, 0);
	store_close(s);
}

static void a_reader_stands_beside_the_writer_and_sees_only_what_is_durable(void **state)
{
	struct err_info info = {0};
	struct store *writer = open_store(), *reader = NULL;
	struct house h;

	(void)state;
	store_fill(&h, writer);
	assert_int_equal(store_sqlite_reader(&reader, path, NULL, &info), ERR_NONE);
	assert_int_equal(store_list(reader, NULL, NULL).transactions, 4);
	house_tenant(&h, "late", 5, 0);
	store_give(&h, writer);
	assert_int_equal(store_list(reader, NULL, NULL).transactions, 4);
	uint64_t durable = 0;
	assert_int_equal(store_commit(writer, &durable, &info), ERR_NONE);
	assert_int_equal(store_list(reader, NULL, NULL).transactions, 5);
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

/* ---- memory ---------------------------------------------------------------------------------- */

static sqlite3_mem_methods system_memory;
static int64_t fail_after;      /* 1: the next allocation fails; 0: none does */

static bool allocation_fails(void)
{
	return fail_after > 0 && --fail_after == 0;
}

static void *failing_malloc(int size)
{
	return allocation_fails() ? NULL : system_memory.xMalloc(size);
}

static void *failing_realloc(void *block, int size)
{
	return allocation_fails() ? NULL : system_memory.xRealloc(block, size);
}

/* All of SQLite's allocations go through the two above. */
static void memory_take(void)
{
	sqlite3_mem_methods failing;

	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory), SQLITE_OK);
	failing = system_memory;
	failing.xMalloc = failing_malloc;
	failing.xRealloc = failing_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
}

static void each_allocation_of_a_commit_may_fail_and_nothing_wrong_is_kept(void **state)
{
	const struct record retry = {.kind = RECORD_RETRY};
	struct store *s = open_store();
	uint32_t failures = 0;
	struct house h;
	bool hit = true;

	(void)state;
	store_fill(&h, s);
	house_tenant(&h, "rich", 1000000000, 0);
	house_key_create(&h, "rich", 2);
	store_commit_all(&h, s);
	for (int64_t n = 1; hit && n < 10000; n++) {
		struct err_info info = {0};
		uint64_t durable = 0;

		h.length[2] = 7;
		house_send(&h, (struct core_event){.kind = CORE_ASK,
			.u.ask = {.handle = 2, .caller = house_key(2),
			.request = {.high = 78, .low = (uint64_t)n}}});
		house_arrive(&h, 2, 100, 50);
		house_run_all(&h);
		house_progress(&h, CORE_FLUSHED, 2, 7);
		store_give(&h, s);
		fail_after = n;
		const enum err err = store_commit(s, &durable, &info);
		hit = fail_after == 0;
		fail_after = 0;
		failures += err != ERR_NONE;
		info = (struct err_info){0};
		if (err) {
			store_append(s, &retry);
			if (store_commit(s, &durable, &info))
				fail_msg("after allocation %lld failed: %s", (long long)n,
					info.text);
		}
		assert_int_equal(durable, h.given);
		house_stored(&h);
	}
	assert_in_range(failures, 5, 9999);
	check_is(s, ERR_NONE, NULL);
	store_close(s);
	house_close(&h);
}

/* ---- what another hand did to it ------------------------------------------------------------- */

static void each_way_to_be_wrong_is_found(void **state)
{
	static const char *const bends[][2] = {
		{"UPDATE account SET balance_nano = balance_nano + 1 WHERE name = 'lease/1/acme'",
			"not the sum of its entries"},
		{"UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = 3 AND position = 0", ""},
		{"DELETE FROM entry WHERE transaction_id = 3", "no entries"},
		{"DELETE FROM usage", "no usage row"},
		{"DELETE FROM open_request", "neither over nor open"},
		{"UPDATE usage SET output = output + 1", "its tokens times"},
		{"UPDATE usage SET amount_nano = amount_nano - 1", ""},
		{"INSERT INTO open_request SELECT * FROM usage", "over and open"},
		{"UPDATE entry SET account_id = 3 WHERE account_id = 5 AND transaction_id = 3", ""},
		{"INSERT INTO ledger SELECT 99, at_ns, kind, tenant_id, request, part, 'again' "
			"FROM ledger WHERE kind = 'settle';"
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
	struct store_fact fact = {.request = store_list(s, NULL, NULL).last_usage.request,
		.tokens = 6, .complete = true};
	assert_int_equal(audit_store(s, &fact, 1, false, &info), ERR_INPUT);
	fact.tokens = 7;
	info = (struct err_info){0};
	assert_int_equal(audit_store(s, &fact, 1, false, &info), ERR_NONE);
	store_close(s);
}

/* Not a byte of it changes, be it that no table of it has our names. */
static void a_database_of_another_program_is_left_alone(void **state)
{
	static const char *const others[] = {
		"CREATE TABLE a (b)", "PRAGMA application_id = 7; CREATE TABLE a (b)",
		"PRAGMA user_version = 1; CREATE TABLE a (b)", "PRAGMA application_id = 7",
	};
	const struct store_sqlite_config config = {.path = path, .records_max = 64};
	char before[65536], after[65536];

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct err_info info = {0};
		struct store *s = NULL;

		touch(others[i]);
		const size_t size = file_get(before, sizeof(before));
		assert_int_equal(store_sqlite_open(&s, &config, &info), ERR_INPUT);
		assert_non_null(strstr(info.text, "another program"));
		assert_int_equal(file_get(after, sizeof(after)), size);
		assert_memory_equal(before, after, size);
		unlink(path);
	}
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
	struct store_seen seen = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		filled_and_closed();
		touch(bends[i]);
		struct store *s = open_store();
		info = (struct err_info){0};
		if (store_load(s, store_see_boot, &seen, &info) != ERR_INPUT)
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
		STORE_CONTRACT_TESTS(folder_open, folder_close),
		IN_A_FOLDER(a_file_that_was_taken_away_is_written_to_no_more),
		IN_A_FOLDER(a_log_that_was_taken_away_is_written_to_no_more_and_loses_nothing),
		IN_A_FOLDER(a_commit_that_failed_does_not_come_back_with_a_crash),
		IN_A_FOLDER(lists_show_what_was_asked_for),
		IN_A_FOLDER(a_reader_stands_beside_the_writer_and_sees_only_what_is_durable),
		IN_A_FOLDER(a_reader_that_is_stopped_reads_no_further),
		IN_A_FOLDER(only_its_owner_may_read_the_file),
		IN_A_FOLDER(each_allocation_of_a_commit_may_fail_and_nothing_wrong_is_kept),
		IN_A_FOLDER(a_database_of_another_program_is_left_alone),
		IN_A_FOLDER(each_way_to_be_wrong_is_found),
		IN_A_FOLDER(more_billed_than_the_journal_has_seen_is_found),
		IN_A_FOLDER(rows_that_no_tongyun_wrote_are_refused),
		IN_A_FOLDER(what_is_no_such_database_is_refused),
	};

	store_contract = (struct store_contract){open_lossy, restart, fail_syncs};
	memory_take();
	vfs_lossy_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
