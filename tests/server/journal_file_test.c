/* tests/server/journal_file_test.c - runs behind one another in a file that a crash may tear. */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/journal_file.h"

static char path[128];
static struct home home;

static int folder_open(void **state)
{
	struct err_info info = {0};

	if (scratch_open(state))
		return -1;
	snprintf(path, sizeof(path), "%s/journal", scratch);
	return home_open(&home, scratch, &info) ? -1 : 0;
}

static int folder_close(void **state)
{
	home_close(&home);
	return scratch_close(state);
}

static void add(struct journal_file *j, struct core_event event)
{
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	struct err_info info = {0};

	assert_int_equal(journal_file_append(j, bytes, journal_encode(bytes, &event), &info),
		ERR_NONE);
}

static void add_batch(struct journal_file *j, uint32_t handle, uint32_t tokens)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	batch->item_count = 1;
	batch->items[0].request = handle;
	batch->results[0].token_count = 1;
	for (uint32_t i = 0; i < tokens; i++)
		add(j, (struct core_event){.kind = CORE_BATCH_DONE, .u.batch_done = batch});
	free(batch);
}

static struct journal_file *run_start(void)
{
	struct err_info info = {0};
	struct journal_file *j = NULL;

	if (journal_file_open(&j, &home, &info))
		fail_msg("%s", info.text);
	add(j, (struct core_event){.kind = CORE_LOAD_COUNTERS});
	return j;
}

static struct record_request ask(struct journal_file *j, uint32_t handle, uint64_t id)
{
	const struct record_request request = {.high = 1, .low = id};

	add(j, (struct core_event){.kind = CORE_ASK,
		.u.ask = {.handle = handle, .request = request}});
	return request;
}

static struct journal_facts facts_read(void)
{
	struct journal_facts facts;
	struct err_info info = {0};

	if (journal_facts_read(&facts, &home, &info))
		fail_msg("%s", info.text);
	return facts;
}

static void knows_how_far_each_request_was(void **state)
{
	struct journal_file *j;

	(void)state;
	j = run_start();
	const struct record_request a = ask(j, 0, 5), b = ask(j, 1, 3);
	add_batch(j, 0, 2);
	add_batch(j, 1, 7);
	add(j, (struct core_event){.kind = CORE_FLUSHED, .u.progress = {.handle = 0, .tokens = 2}});
	const struct record_request c = ask(j, 0, 4);
	add_batch(j, 0, 1);
	journal_file_close(j);
	struct journal_facts facts = facts_read();
	assert_int_equal(facts.count, 3);
	assert_int_equal(journal_facts_tokens(&facts, &a), 2);
	assert_int_equal(journal_facts_tokens(&facts, &b), 7);
	assert_int_equal(journal_facts_tokens(&facts, &c), 1);
	assert_int_equal(journal_facts_tokens(&facts, &(struct record_request){9, 9}), 0);
	assert_true(facts.list[2].complete && !facts.list[0].complete && !facts.list[1].complete);
	journal_facts_free(&facts);
}

static void a_new_run_begins_behind_what_a_crash_tore(void **state)
{
	struct stat status;

	(void)state;
	for (off_t torn = 1; torn < 30; torn++) {
		struct journal_file *j = run_start();
		const struct record_request a = ask(j, 0, (uint64_t)torn);
		add_batch(j, 0, 3);
		journal_file_close(j);
		assert_int_equal(stat(path, &status), 0);
		assert_int_equal(truncate(path, status.st_size - torn), 0);
		j = run_start();
		const struct record_request b = ask(j, 0, 1000 + (uint64_t)torn);
		add_batch(j, 0, 1);
		journal_file_close(j);
		struct journal_facts facts = facts_read();
		assert_in_range(journal_facts_tokens(&facts, &a), 1, 2);
		assert_int_equal(journal_facts_tokens(&facts, &b), 1);
		journal_facts_free(&facts);
	}
}

static void a_file_that_ends_in_a_hole_goes_on_where_its_records_end(void **state)
{
	struct journal_file *j;
	struct stat status;

	(void)state;
	j = run_start();
	const struct record_request a = ask(j, 0, 1);
	add_batch(j, 0, 4);
	journal_file_close(j);
	assert_int_equal(truncate(path, (off_t)300 << 20), 0);  /* a hole: costs nothing */
	j = run_start();
	const struct record_request b = ask(j, 0, 2);
	journal_file_close(j);
	assert_int_equal(stat(path, &status), 0);
	assert_true(status.st_size < 1000);
	struct journal_facts facts = facts_read();
	assert_int_equal(journal_facts_tokens(&facts, &a), 4);
	assert_int_equal(facts.count, 2);
	assert_int_equal(journal_facts_tokens(&facts, &b), 0);
	journal_facts_free(&facts);
}

static void limit_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full in the middle of a record, and then it is not. */
static void what_was_written_before_a_failure_stays_readable(void **state)
{
	const struct core_event flushed = {.kind = CORE_FLUSHED,
		.u.progress = {.handle = 0, .tokens = 9}};
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	const size_t size = journal_encode(bytes, &flushed);
	struct err_info info = {0};
	struct journal_file *j;
	struct stat status;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	j = run_start();
	const struct record_request a = ask(j, 0, 1);
	add_batch(j, 0, 3);
	assert_int_equal(stat(path, &status), 0);
	limit_size((rlim_t)status.st_size + 5);
	assert_int_not_equal(journal_file_append(j, bytes, size, &info), ERR_NONE);
	limit_size(RLIM_INFINITY);
	info = (struct err_info){0};
	assert_int_equal(journal_file_append(j, bytes, size, &info), ERR_IO);
	journal_file_close(j);
	j = run_start();
	const struct record_request b = ask(j, 0, 2);
	add_batch(j, 0, 1);
	journal_file_close(j);
	struct journal_facts facts = facts_read();
	assert_int_equal(facts.count, 2);
	assert_int_equal(journal_facts_tokens(&facts, &a), 3);
	assert_false(facts.list[0].complete);
	assert_int_equal(journal_facts_tokens(&facts, &b), 1);
	journal_facts_free(&facts);
}

/* Request 1 lives through many files, others come and go. */
static void its_size_is_bounded_and_who_is_open_stays_known(void **state)
{
	const int64_t bound = 20000;
	struct journal_file *j;
	struct stat status;
	char old[160];
	uint32_t tokens = 0;

	(void)state;
	snprintf(old, sizeof(old), "%s.old", path);
	j = run_start();
	journal_file_bound(j, bound);
	const struct record_request open = ask(j, 1, 1), ended = ask(j, 2, 2);
	add_batch(j, 2, 5);
	add(j, (struct core_event){.kind = CORE_FLUSHED, .u.progress = {.handle = 2, .tokens = 5}});
	for (uint64_t id = 10; id < 500; id++) {
		ask(j, 0, id);
		add_batch(j, 0, 2);
		add_batch(j, 1, 1);
		add(j, (struct core_event){.kind = CORE_FLUSHED,
			.u.progress = {.handle = 0, .tokens = 2}});
		tokens++;
		assert_int_equal(stat(path, &status), 0);
		assert_true(status.st_size <= bound);
	}
	assert_int_equal(stat(old, &status), 0);
	assert_true(status.st_size <= bound);
	struct journal_facts facts = facts_read();
	assert_int_equal(journal_facts_tokens(&facts, &open), tokens);
	assert_int_equal(journal_facts_tokens(&facts, &ended), 0);  /* its file is gone */
	assert_int_equal(journal_facts_tokens(&facts, &(struct record_request){1, 499}), 2);
	for (uint64_t i = 1; i < facts.count; i++)
		assert_true(facts.list[i].request.low > facts.list[i - 1].request.low);
	assert_false(facts.list[0].complete);
	journal_facts_free(&facts);
	add(j, (struct core_event){.kind = CORE_FLUSHED,
		.u.progress = {.handle = 1, .tokens = tokens}});
	journal_file_close(j);
	facts = facts_read();
	assert_true(facts.list[0].complete);
	assert_int_equal(facts.list[0].tokens, tokens);
	journal_facts_free(&facts);
}

static void rubbish_is_nothing(void **state)
{
	struct journal_facts facts;
	FILE *file;

	(void)state;
	facts = facts_read();
	assert_int_equal(facts.count, 0);
	file = fopen(path, "w");
	for (int i = 0; i < 100000; i++)
		fputc(i * 7919 % 251, file);
	fclose(file);
	facts = facts_read();
	assert_int_equal(facts.count, 0);
	journal_facts_free(&facts);
	journal_file_close(run_start());
}

static size_t file_bytes(uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "rb");
	const size_t got = fread(bytes, 1, size, file);

	fclose(file);
	return got;
}

static void file_put(const uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

static bool is_damaged(void)
{
	struct journal_facts facts = facts_read();
	const bool damaged = facts.damage.file != NULL;

	journal_facts_free(&facts);
	return damaged;
}

static void damage_is_told_from_an_end_that_a_crash_cut(void **state)
{
	static uint8_t whole[4096], bytes[sizeof(whole) + 2048];
	struct journal_file *j = run_start();

	(void)state;
	ask(j, 0, 1);
	add_batch(j, 0, 3);
	const size_t last = file_bytes(whole, sizeof(whole));
	ask(j, 1, 2);
	journal_file_close(j);
	const size_t size = file_bytes(whole, sizeof(whole));
	for (size_t cut = 0; cut <= size; cut += 7) {
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, whole, cut);
		file_put(bytes, cut);
		assert_false(is_damaged());
		file_put(bytes, sizeof(bytes));     /* blocks that were never written */
		assert_false(is_damaged());
	}
	for (size_t at = 0; at < size; at += 3) {
		memcpy(bytes, whole, size);
		bytes[at] ^= 0x55;
		file_put(bytes, size);
		/* a last record that says it is longer looks like one that was cut */
		if (!is_damaged() && at != last && at != last + 1)
			fail_msg("byte %zu of %zu", at, size);
	}
}

static void a_damaged_file_is_put_aside_as_it_is(void **state)
{
	static uint8_t bytes[4096];
	struct journal_file *j = run_start();
	const struct record_request a = ask(j, 0, 1);

	(void)state;
	add_batch(j, 0, 3);
	ask(j, 1, 2);
	journal_file_close(j);
	const size_t size = file_bytes(bytes, sizeof(bytes));
	bytes[size - 10] ^= 1;
	file_put(bytes, size);
	j = run_start();
	const struct record_request b = ask(j, 0, 3);
	add_batch(j, 0, 1);
	journal_file_close(j);
	struct journal_facts facts = facts_read();
	assert_string_equal(facts.damage.file, "journal.old");
	assert_int_equal(facts.damage.size, size);
	assert_in_range(facts.damage.at, size / 2, size - 10);
	assert_int_equal(journal_facts_tokens(&facts, &a), 3);
	assert_int_equal(journal_facts_tokens(&facts, &b), 1);
	assert_int_equal(facts.count, 2);
	journal_facts_free(&facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_A_FOLDER(name) cmocka_unit_test_setup_teardown(name, folder_open, folder_close)
		IN_A_FOLDER(knows_how_far_each_request_was),
		IN_A_FOLDER(a_new_run_begins_behind_what_a_crash_tore),
		IN_A_FOLDER(a_file_that_ends_in_a_hole_goes_on_where_its_records_end),
		IN_A_FOLDER(what_was_written_before_a_failure_stays_readable),
		IN_A_FOLDER(its_size_is_bounded_and_who_is_open_stays_known),
		IN_A_FOLDER(rubbish_is_nothing),
		IN_A_FOLDER(damage_is_told_from_an_end_that_a_crash_cut),
		IN_A_FOLDER(a_damaged_file_is_put_aside_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
