/* tests/server/store_thread_test.c - the thread that writes: what it says of its commits. */
#include "scratch.h"

#include "base/units.h"
#include "cloud/store_memory.h"
#include "server/home.h"
#include "server/store_thread.h"

static struct home home;
static struct wires wires;
static struct journal_file *journal;
static struct store *store;
static struct store_thread *thread;

static int thread_open(void **state)
{
	const struct core_limits limits = {.requests_max = 4, .replies_max = 4, .records_max = 64};
	const struct store_memory_config config = {.records_max = 64, .tenants_max = 4};
	struct err_info info = {0};

	if (scratch_open(state) || home_open(&home, scratch, &info) ||
		home_lock(&home, "a test", &info) || journal_file_open(&journal, &home, &info) ||
		wires_open(&wires, &limits, &info) || store_memory_open(&store, &config, &info) ||
		store_thread_start(&thread, store, journal, 0, &wires, &info))
		fail_msg("%s", info.text);
	return 0;
}

static int thread_close(void **state)
{
	store_close(store);
	wires_close(&wires);
	journal_file_close(journal);
	home_close(&home);
	return scratch_close(state);
}

static void give(struct record record)
{
	assert_true(ring_push(wires.records, &record));
	wake_set(&wires.store_wake);
}

static struct store_result hear(void)
{
	struct store_result result;

	while (!ring_pop(wires.results, &result))
		assert_true(wake_wait(&wires.core_wake, 60 * NS_PER_S));
	return result;
}

static bool join(void)
{
	atomic_store(&wires.store_stop, true);
	wake_set(&wires.store_wake);
	return store_thread_join(thread);
}

static struct record price(uint64_t sequence, bool awaited)
{
	return (struct record){.kind = RECORD_PRICE, .sequence = sequence, .awaited = awaited,
		.u.price = {.version = sequence, .model = "m"}};
}

static void a_commit_that_made_nothing_durable_is_not_counted(void **state)
{
	(void)state;
	give(price(1, true));
	assert_false(hear().failed);
	assert_int_equal(atomic_load(&wires.commits), 1);
	const int64_t longest_ns = atomic_load(&wires.commit_ns_max);
	assert_true(longest_ns > 0);
	join();
	store_memory_fail(store, 1000000);
	atomic_store(&wires.store_stop, false);
	struct err_info info = {0};
	assert_int_equal(store_thread_start(&thread, store, journal, 1, &wires, &info), 0);
	give(price(2, true));
	assert_true(hear().failed);
	give(price(3, true));   /* the store waits for a RETRY meanwhile */
	assert_false(join());
	assert_int_equal(atomic_load(&wires.commits), 1);
	assert_int_equal(atomic_load(&wires.commit_ns_max), longest_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_commit_that_made_nothing_durable_is_not_counted,
			thread_open, thread_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
