/* tests/base/thread_test.c - threads have names, block signals, can be pinned, and know how many
 * they may be. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

struct seen {
	char name[16];
	int term_blocked;
	int fault_blocked;
	int pinned;
	int cores_after_pin;
	int out_of_range;
};

static void look_around(void *argument)
{
	struct seen *seen = argument;
	sigset_t blocked;
	cpu_set_t cores;

	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	seen->term_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT);
	seen->fault_blocked = sigismember(&blocked, SIGBUS) || sigismember(&blocked, SIGSEGV);
	seen->pinned = thread_pin_self(0);
	sched_getaffinity(0, sizeof(cores), &cores);
	seen->cores_after_pin = CPU_COUNT(&cores);
	seen->out_of_range = thread_pin_self(100000);
}

static void a_thread_has_its_name_blocks_signals_of_others_and_can_be_pinned(void **state)
{
	struct seen seen = {0};
	struct thread *t;
	sigset_t mine;

	(void)state;
	assert_int_equal(thread_start(&t, "tongyun-test-15", look_around, &seen, NULL), ERR_NONE);
	thread_join(t);
	assert_string_equal(seen.name, "tongyun-test-15");
	assert_true(seen.term_blocked);
	assert_false(seen.fault_blocked);
	assert_true(seen.pinned);
	assert_int_equal(seen.cores_after_pin, 1);
	assert_false(seen.out_of_range);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
	thread_join(NULL);
}

static void a_thread_that_cannot_be_had_is_an_error(void **state)
{
	struct err_info info = {0};
	struct thread *t;

	(void)state;
	mem_fail_after(1, 0);
	assert_int_equal(thread_start(&t, "none", look_around, NULL, &info), ERR_MEMORY);
	assert_null(t);
	assert_string_equal(info.text, "thread none: out of memory");
}

static void there_is_a_core_and_no_more_than_the_mask_allows(void **state)
{
	cpu_set_t cores;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(cores), &cores), 0);
	assert_int_equal(thread_cores_allowed(), CPU_COUNT(&cores));
	assert_in_range(thread_cores_available(), 1, CPU_COUNT(&cores));
	assert_in_range(thread_cores_whole(), 0, thread_cores_available());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_has_its_name_blocks_signals_of_others_and_can_be_pinned),
		cmocka_unit_test(a_thread_that_cannot_be_had_is_an_error),
		cmocka_unit_test(there_is_a_core_and_no_more_than_the_mask_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
