/* tests/fleet/simulate_test.c - some hundred small worlds, and nothing in them is ever wrong.
 *
 * A seed that fails prints the command that shows it again. The golden hashes are of every
 * decision of the core: they are the same from gcc and clang, release and debug, on every machine.
 * Who changes what the core decides changes them, looks at why, and commits the new ones.
 */
#include "unit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "fleet/simulate.h"

#define SEEDS           300
#define REPLAY_SEEDS    30

#define GOLDEN_ALL      0x5395e3936098b15eULL

static const struct {
	uint64_t seed;
	uint64_t trace_hash;
} goldens[] = {
	{1, 0xdbd93b6d07484248ULL},
	{2, 0xe37706077150d3b3ULL},
	{9, 0x2a487fcafb113aabULL},
	{17, 0x6bebd356e011d62fULL},
};

static char running[128];   /* what to say when an assertion stops everything */

static void say_seed(int signal_number)
{
	const ssize_t written = write(STDERR_FILENO, running, strlen(running));

	(void)written;
	signal(signal_number, SIG_DFL);
}

static struct fleet_report simulate(uint64_t seed, uint64_t events, bool replay)
{
	const struct fleet_options options = {.seed = seed, .events = events, .replay = replay};
	struct err_info info = {0};
	struct fleet_report report;

	snprintf(running, sizeof(running),
		"again with: tongyun fleet simulate --seed %" PRIu64 "\n", seed);
	assert_int_equal(fleet_simulate(&options, &report, &info), ERR_NONE);
	if (report.failed)
		fail_msg("event %" PRIu64 ": %s\nagain with: %s", report.failed_event, report.text,
			report.replay);
	return report;
}

static void nothing_is_wrong_in_hundreds_of_worlds(void **state)
{
	struct fleet_report sum = {0};
	uint64_t hash = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		const struct fleet_report r = simulate(seed, 0, false);

		assert_true(r.events >= FLEET_EVENTS_DEFAULT);
		hash = hash_mix(hash, r.trace_hash);
		sum.events += r.events;
		sum.preemptions += r.preemptions;
		sum.parked += r.parked;
		sum.crashes += r.crashes;
		sum.batches_failed += r.batches_failed;
		sum.commits_failed += r.commits_failed;
		for (int i = 0; i <= RECORD_FINISH_ERROR; i++)
			sum.ended_by_finish[i] += r.ended_by_finish[i];
		for (int i = 0; i <= CORE_REFUSE_STORE_DOWN; i++)
			sum.refused_by_code[i] += r.refused_by_code[i];
	}
	/* All of it has happened, or nothing was shown. */
	assert_true(sum.preemptions > 1000 && sum.parked > 1000 && sum.crashes > 100);
	assert_true(sum.batches_failed > 1000 && sum.commits_failed > 1000);
	for (int i = RECORD_FINISH_STOP; i <= RECORD_FINISH_ERROR; i++)
		assert_true(sum.ended_by_finish[i] > 1000);
	for (int i = 0; i <= CORE_REFUSE_STORE_DOWN; i++)
		assert_true(sum.refused_by_code[i] > 100);
	print_message("%" PRIu64 " events, all hashes together 0x%016" PRIx64 "\n", sum.events,
		hash);
	assert_true(hash == GOLDEN_ALL);
}

static void a_seed_decides_the_same_everywhere(void **state)
{
	bool golden = true;

	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		const struct fleet_report r = simulate(goldens[i].seed, 0, false);

		print_message("seed %" PRIu64 ": 0x%016" PRIx64 "\n", r.seed, r.trace_hash);
		assert_true(simulate(goldens[i].seed, 0, false).trace_hash == r.trace_hash);
		golden = golden && r.trace_hash == goldens[i].trace_hash;
	}
	assert_true(golden);    /* after all are printed */
}

static void a_journal_replayed_takes_the_same_decisions(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= REPLAY_SEEDS; seed++)
		simulate(seed, 3000, true);
}

static void a_report_tells_how_to_see_it_again(void **state)
{
	const struct fleet_report r = simulate(7, 500, false);

	(void)state;
	assert_string_equal(r.replay, "tongyun fleet simulate --seed 7 --events 500");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_wrong_in_hundreds_of_worlds),
		cmocka_unit_test(a_seed_decides_the_same_everywhere),
		cmocka_unit_test(a_journal_replayed_takes_the_same_decisions),
		cmocka_unit_test(a_report_tells_how_to_see_it_again),
	};

	signal(SIGABRT, say_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
