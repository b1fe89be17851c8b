/* tests/fleet/plant_test.c - each of nine planted mistakes is found within the seeds of
 * simulate_test, by the check that is meant for it.
 *
 * The pure code is built here once more with -DCORE_PLANT_BUGS (engine/plant.h). Each hunt is a
 * child, since a tenth mistake is one that an assertion of the core stops.
 */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/plant.h"
#include "fleet/simulate.h"

#define SEEDS   300

enum plant plant_bug = PLANT_NOTHING;

/* Exit status of the child: 0 nothing found, 1 found by the checks. What was found goes to out. */
static int hunt(enum plant bug, uint64_t seeds, int out)
{
	plant_bug = bug;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		const struct fleet_options options = {.seed = seed};
		struct err_info info = {0};
		struct fleet_report report;

		if (fleet_simulate(&options, &report, &info))
			return 2;
		if (report.failed) {
			dprintf(out, "seed %d, event %d: %s", (int)seed, (int)report.failed_event,
				report.text);
			return 1;
		}
	}
	return 0;
}

/* text: what the child found, or what an assertion said. */
static int hunt_in_child(enum plant bug, uint64_t seeds, char *text, size_t size)
{
	int ends[2];
	int status;

	assert_int_equal(pipe(ends), 0);
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);   /* what an assertion says */
		_exit(hunt(bug, seeds, ends[1]));
	}
	close(ends[1]);
	const ssize_t got = read(ends[0], text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* By a check, and by this one: what was meant to see it, not something that broke later. */
static void found(enum plant bug, const char *by)
{
	char text[512];
	const int status = hunt_in_child(bug, SEEDS, text, sizeof(text));

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
		fail_msg("not found by a check: status %d, %s", status, text);
	if (!strstr(text, by))
		fail_msg("found by another check: %s", text);
	print_message("found: %s\n", text);
}

static void without_a_mistake_nothing_is_found(void **state)
{
	char text[512];

	(void)state;
	assert_int_equal(hunt_in_child(PLANT_NOTHING, 20, text, sizeof(text)), 0);
}

static void finds_a_leaked_page(void **state)
{
	(void)state;
	found(PLANT_LEAKED_PAGE, "pages are in use and no request runs");
}

static void finds_a_page_that_is_used_again_while_a_batch_names_it(void **state)
{
	(void)state;
	found(PLANT_PAGE_REUSED, "a batch in flight names a page of another");
}

static void finds_a_lost_cancel(void **state)
{
	(void)state;
	found(PLANT_LOST_CANCEL, "is run after it was cancelled");
}

static void finds_a_double_settle(void **state)
{
	(void)state;
	found(PLANT_DOUBLE_SETTLE, "is settled twice");
}

static void finds_a_hold_that_is_not_given_back(void **state)
{
	(void)state;
	found(PLANT_HOLD_KEPT, "gives back another hold than it took");
}

static void finds_growth_without_a_hold(void **state)
{
	(void)state;
	/* by the witness, or by the core's own check when the request is paused just then */
	found(PLANT_GROWTH_WITHOUT_HOLD, "may grow");
}

static void finds_a_cancelled_answer_charged_for_what_was_not_written(void **state)
{
	(void)state;
	found(PLANT_CANCEL_CHARGED, "is charged for other tokens than it got");
}

static void finds_an_answer_that_failed_and_is_charged(void **state)
{
	(void)state;
	found(PLANT_FAILURE_CHARGED, "failed, and does not end with an error");
}

static void finds_tokens_delivered_after_the_end(void **state)
{
	(void)state;
	found(PLANT_DELIVERED_AFTER_END, "is delivered to after its end");
}

static void finds_paused_sequences_that_keep_what_others_wait_for(void **state)
{
	(void)state;
	found(PLANT_PAUSED_HOLDS, "may run, and its chip is idle");
}

static void a_charge_beyond_its_hold_is_stopped_by_the_core_itself(void **state)
{
	char text[512];
	const int status = hunt_in_child(PLANT_CHARGED_BEYOND_HOLD, SEEDS, text, sizeof(text));

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "amount_nano <= r->held_nano"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_mistake_nothing_is_found),
		cmocka_unit_test(finds_a_leaked_page),
		cmocka_unit_test(finds_a_page_that_is_used_again_while_a_batch_names_it),
		cmocka_unit_test(finds_a_lost_cancel),
		cmocka_unit_test(finds_a_double_settle),
		cmocka_unit_test(finds_a_hold_that_is_not_given_back),
		cmocka_unit_test(finds_growth_without_a_hold),
		cmocka_unit_test(finds_a_cancelled_answer_charged_for_what_was_not_written),
		cmocka_unit_test(finds_an_answer_that_failed_and_is_charged),
		cmocka_unit_test(finds_tokens_delivered_after_the_end),
		cmocka_unit_test(finds_paused_sequences_that_keep_what_others_wait_for),
		cmocka_unit_test(a_charge_beyond_its_hold_is_stopped_by_the_core_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
