/* tests/fleet/plant_test.c - each of eight planted mistakes is found within the seeds of
 * simulate_test.
 *
 * The pure code is built here once more with -DCORE_PLANT_BUGS (engine/plant.h). A mistake is
 * found when the simulation says so, or when an assertion of the core stops it; so each runs in a
 * child.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/plant.h"
#include "fleet/simulate.h"

#define SEEDS   300

enum plant plant_bug = PLANT_NOTHING;

/* Exit status of the child: 0 nothing found, 1 found by the checks. The text goes to `out`. */
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

static int hunt_in_child(enum plant bug, uint64_t seeds, char *text, size_t size)
{
	int ends[2];
	int status;

	assert_int_equal(pipe(ends), 0);
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		const int nowhere = open("/dev/null", O_WRONLY);

		dup2(nowhere, STDERR_FILENO);   /* what an assertion says is expected here */
		_exit(hunt(bug, seeds, ends[1]));
	}
	close(ends[1]);
	const ssize_t got = read(ends[0], text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void found(enum plant bug)
{
	char text[256];
	const int status = hunt_in_child(bug, SEEDS, text, sizeof(text));

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		print_message("found by an assertion of the core\n");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		print_message("found: %s\n", text);
	else
		fail_msg("not found");
}

static void without_a_mistake_nothing_is_found(void **state)
{
	char text[256];

	(void)state;
	assert_int_equal(hunt_in_child(PLANT_NOTHING, 20, text, sizeof(text)), 0);
}

static void finds_a_leaked_page(void **state)
{
	(void)state;
	found(PLANT_LEAKED_PAGE);
}

static void finds_a_page_that_is_used_again_while_a_batch_names_it(void **state)
{
	(void)state;
	found(PLANT_PAGE_REUSED);
}

static void finds_a_lost_cancel(void **state)
{
	(void)state;
	found(PLANT_LOST_CANCEL);
}

static void finds_a_double_settle(void **state)
{
	(void)state;
	found(PLANT_DOUBLE_SETTLE);
}

static void finds_a_hold_that_is_not_given_back(void **state)
{
	(void)state;
	found(PLANT_HOLD_KEPT);
}

static void finds_growth_without_a_hold(void **state)
{
	(void)state;
	found(PLANT_GROWTH_WITHOUT_HOLD);
}

static void finds_a_cancelled_answer_charged_for_what_was_not_written(void **state)
{
	(void)state;
	found(PLANT_CANCEL_CHARGED);
}

static void finds_tokens_delivered_after_the_end(void **state)
{
	(void)state;
	found(PLANT_DELIVERED_AFTER_END);
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
		cmocka_unit_test(finds_tokens_delivered_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
