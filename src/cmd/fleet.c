/* cmd/fleet.c - `tongyun fleet simulate`: the server's core on simulated chips under
 * a virtual clock. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "fleet/simulate.h"

/* What to say when an assertion stops everything: made before the seed runs, since a signal
 * handler may only write. */
static char again[FLEET_TEXT_BYTES + 32];
static size_t again_bytes;

static void again_say(int signal_number)
{
	const ssize_t written = write(STDERR_FILENO, again, again_bytes);

	(void)written;  /* whoever listens has gone */
	(void)signal_number;
}

static void again_prepare(const struct fleet_options *options)
{
	char command[FLEET_TEXT_BYTES];

	fleet_replay_format(command, options);
	again_bytes = 0;
	snprintf(again, sizeof(again), "again with: %s\n", command);
	again_bytes = strlen(again);
	/* abort() ends the process all the same when this returns */
	signal(SIGABRT, again_say);
}

static json_t *report_json(const struct fleet_report *r)
{
	char hash[17];

	snprintf(hash, sizeof(hash), "%016" PRIx64, r->trace_hash);
	return json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:b, s:s, s:s}",
		"seed", (json_int_t)r->seed,
		"events", (json_int_t)r->events,
		"trace_hash", hash,
		"virtual_ns", (json_int_t)r->virtual_ns,
		"asked", (json_int_t)r->asked,
		"refused", (json_int_t)r->refused,
		"ended", (json_int_t)r->ended,
		"tokens_sampled", (json_int_t)r->tokens_sampled,
		"tokens_billed", (json_int_t)r->tokens_billed,
		"preemptions", (json_int_t)r->preemptions,
		"batches", (json_int_t)r->batches,
		"commits", (json_int_t)r->commits,
		"crashes", (json_int_t)r->crashes,
		"revenue_nano", (json_int_t)r->revenue_nano,
		"failed", r->failed,
		"text", r->text,
		"replay", r->replay);
}

static void report_print(const struct fleet_report *r)
{
	printf("seed %" PRIu64 "  events %" PRIu64 "  trace %016" PRIx64 "  asked %" PRIu64
		"  refused %" PRIu64 "  ended %" PRIu64 "  billed %" PRIu64 " tokens"
		"  preempted %" PRIu64 "  crashes %" PRIu64 "\n",
		r->seed, r->events, r->trace_hash, r->asked, r->refused, r->ended, r->tokens_billed,
		r->preemptions, r->crashes);
	if (r->failed)
		printf("FAILED after event %" PRIu64 ": %s\nagain with: %s\n", r->failed_event,
			r->text, r->replay);
}

static int fleet_simulate_verb(int argc, char **argv)
{
	int64_t seed = 1, seeds = 1, events = FLEET_EVENTS_DEFAULT;
	bool replay = false, as_json = false;
	const struct option_row rows[] = {
		{"seed", 0, OPTION_INT, &seed, 0, 9e15, "N", "the first seed (1)"},
		{"seeds", 0, OPTION_INT, &seeds, 1, 1000000, "N",
			"how many, one after the other (1)"},
		{"events", 0, OPTION_INT, &events, 1, FLEET_EVENTS_MAX, "N",
			"events of each (10000)"},
		{"replay", 0, OPTION_FLAG, &replay, 0, 0, NULL,
			"also replay the journal and compare"},
		{"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON array of reports"},
	};
	const struct options o = {"fleet simulate", "",
		"Runs scheduler, pools, limits and ledger, the object files of the server, on "
		"simulated executors and a virtual clock, with random arrivals, cancels, faults "
		"and crashes; checks after every step. The same seed gives the same trace hash.",
		rows, sizeof(rows) / sizeof(*rows), 0};
	json_t *all;
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, NULL, &count, &exit_code))
		return exit_code;
	all = as_json ? json_array() : NULL;
	for (int64_t i = 0; i < seeds; i++) {
		const struct fleet_options options = {
			.seed = (uint64_t)(seed + i), .events = (uint64_t)events, .replay = replay};
		static struct fleet_report report;
		struct err_info info = {0};

		fflush(stdout);     /* the seeds before this one are told, whatever happens */
		again_prepare(&options);
		if (fleet_simulate(&options, &report, &info)) {
			json_decref(all);
			return cmd_fail(&info);
		}
		if (as_json)
			json_array_append_new(all, report_json(&report));
		else
			report_print(&report);
		if (report.failed)
			exit_code = CMD_FAILED;
	}
	return as_json && cmd_print_json(all) != CMD_DONE ? CMD_FAILED : exit_code;
}

int cmd_fleet(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {{"simulate", fleet_simulate_verb}};

	return cmd_dispatch(argc, argv, "The fleet simulator.", subverbs, 1);
}
