/* tests/hub/pull_test.c - a pull from a small hub: whatever fails on this side, the model is whole
 * or not there, and the next pull brings it. */
#include "scratch.h"

#include <limits.h>
#include <signal.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "hub/pull.h"
#include "hub/tiny_hub.h"

static struct tiny_hub hub;
static struct store store;
static volatile sig_atomic_t stop;
static uint32_t told, stop_when_told;

static void note(void *context, const char *text)
{
	(void)context;
	(void)text;
}

static void progress(void *context, const struct download_progress *p)
{
	(void)context;
	assert_true(p->there_bytes <= p->size_bytes && p->files_whole <= p->files);
	if (++told == stop_when_told)
		stop = 1;
}

static bool can_make(const char *type)
{
	return strcmp(type, "q8_0") == 0;
}

static enum err pull_named(const char *text, struct pull_result *result, struct err_info *info)
{
	const struct pull_config config = {.hub = HUB_HF, .client = {.endpoint = hub.endpoint,
		.agent = "test", .stall_s = 30, .tries_max = 0, .stop = &stop, .note = note},
		.connections = 2, .part_bytes = 65536, .progress = progress, .can_make = can_make};
	struct hub_name name;

	assert_int_equal(hub_name_parse(&name, text, true, UNIT_IGNORED), ERR_NONE);
	return pull(&store, &name, &config, result, info);
}

/* True when the model is there: then it is all of it. */
static bool is_there(void)
{
	struct store_model found;
	struct hub_name name;

	assert_int_equal(hub_name_parse(&name, "a/b", false, UNIT_IGNORED), ERR_NONE);
	if (store_find(&store, &name, &found, UNIT_IGNORED))
		return false;
	for (int i = 0; i < TINY_FILES; i++) {
		char path[PATH_MAX];
		struct buf b;

		assert_int_equal(file_join(path, sizeof(path), found.path, hub.paths[i]), ERR_NONE);
		buf_init(&b, TINY_WEIGHTS);
		assert_int_equal(file_read(&b, path, UNIT_IGNORED), ERR_NONE);
		assert_int_equal(b.size, hub.sizes[i]);
		assert_memory_equal(b.data, hub.bytes[i], b.size);
		buf_free(&b);
	}
	store_release(&found);
	return true;
}

static void remove_all(void)
{
	assert_int_equal(folder_remove(store.path, UNIT_IGNORED), ERR_NONE);
	assert_false(is_there());
}

static void a_model_comes_whole_and_once(void **state)
{
	struct pull_result result;

	(void)state;
	assert_int_equal(pull_named("a/b", &result, UNIT_IGNORED), ERR_NONE);
	assert_true(is_there());
	assert_true(result.changed && result.asked);
	assert_string_equal(result.revision, TINY_COMMIT);
	assert_int_equal(result.received_bytes, result.size_bytes);
	assert_int_equal(pull_named("a/b", &result, UNIT_IGNORED), ERR_NONE);
	assert_false(result.changed);
	assert_int_equal(result.received_bytes, 0);
}

static void a_type_that_the_hub_has_not_is_told_or_refused(void **state)
{
	struct pull_result result;

	(void)state;
	assert_int_equal(pull_named("a/b:q1", &result, UNIT_IGNORED), ERR_UNSUPPORTED);
	assert_false(is_there());
	assert_int_equal(pull_named("a/b:q8_0", &result, UNIT_IGNORED), ERR_NONE);
	assert_false(result.asked);
	assert_string_equal(result.name.type, "original");
	assert_true(is_there());
}

static void who_stops_it_goes_on_later(void **state)
{
	struct pull_result result;

	(void)state;
	stop_when_told = told + 1;   /* the first look, before anything is whole */
	assert_int_equal(pull_named("a/b", &result, UNIT_IGNORED), ERR_CANCELLED);
	assert_false(is_there());
	stop = 0;
	stop_when_told = 0;
	assert_int_equal(pull_named("a/b", &result, UNIT_IGNORED), ERR_NONE);
	assert_true(is_there());
}

/* A pull in which the n-th call fails, sticky: and every one after it; then, on_then, one that goes
 * on. */
static enum err fail_at(void (*arm)(int64_t n, int sticky), int64_t n, int sticky,
	enum err expected, bool on_then)
{
	struct pull_result result;
	struct err_info info = {0};

	arm(n, sticky);
	const enum err code = pull_named("a/b", &result, &info);

	arm(0, 0);
	if (code && code != expected)
		fail_msg("at %lld: %s", (long long)n, info.text);
	assert_true(is_there() || code);
	if (on_then) {
		assert_int_equal(pull_named("a/b", &result, UNIT_IGNORED), ERR_NONE);
		assert_true(is_there());
	}
	remove_all();
	return code;
}

static void a_disk_that_fails_anywhere_leaves_it_whole_or_absent(void **state)
{
	int64_t n = 1;

	(void)state;
	while (fail_at(file_fail_after, n, 1, ERR_IO, true))
		assert_true(++n < 500);
	assert_true(n > 20);   /* so many calls there are */
	for (int64_t i = 1; i <= n; i++)
		(void)!fail_at(file_fail_after, i, 0, ERR_IO, true);
}

static void a_heap_that_ends_anywhere_leaves_it_whole_or_absent(void **state)
{
	int64_t n = 1;

	(void)state;
	while (fail_at(mem_fail_after, n, 1, ERR_MEMORY, n % 8 == 0))
		assert_true(++n < 2000);
	assert_true(n > 20);
}

static int setup(void **state)
{
	stop = 0;
	return scratch_open(state) || store_open(&store, scratch, UNIT_IGNORED);
}

static int hub_start(void **state)
{
	(void)state;
	tiny_hub_open(&hub);
	return 0;
}

static int hub_end(void **state)
{
	(void)state;
	tiny_hub_close(&hub);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_model_comes_whole_and_once),
		TEST(a_type_that_the_hub_has_not_is_told_or_refused),
		TEST(who_stops_it_goes_on_later),
		TEST(a_disk_that_fails_anywhere_leaves_it_whole_or_absent),
		TEST(a_heap_that_ends_anywhere_leaves_it_whole_or_absent),
	};

	return cmocka_run_group_tests(tests, hub_start, hub_end);
}
