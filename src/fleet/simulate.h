/* fleet/simulate.h - the core of the server on simulated chips, clients and store, under a virtual
 * clock.
 *
 * Scheduler, pools, limits, ledger and core are the same object files that the server runs. Around
 * them: clients that come, cancel, read slowly or not at all; executors that charge time and fail;
 * a store that fails to commit; a process that crashes and starts again; administration in
 * between; and little memory of everything. After every step core_check holds, and a witness that
 * keeps its own books outside (witness.h) agrees.
 *
 *	struct fleet_options options = {.seed = 7, .events = 10000};
 *	struct fleet_report report;
 *	if (fleet_simulate(&options, &report, &info) == ERR_NONE && report.failed)
 *		puts(report.text), puts(report.replay);
 *
 * The seed decides everything: same seed and options, same report, on every machine and compiler.
 */
#ifndef FLEET_SIMULATE_H
#define FLEET_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/core.h"

#define FLEET_EVENTS_DEFAULT 10000
#define FLEET_EVENTS_MAX     100000000
#define FLEET_TEXT_BYTES     256

struct fleet_options {
	uint64_t seed;
	/* that enter the core before it is drained; 0: FLEET_EVENTS_DEFAULT */
	uint64_t events;
	/* also keeps the journal and lets fresh cores replay it at the end */
	bool replay;
};

struct fleet_report {
	uint64_t seed;
	uint64_t events;
	uint64_t trace_hash;            /* of all actions of the core */
	int64_t virtual_ns;
	uint64_t asked;
	uint64_t refused;
	uint64_t refused_by_code[CORE_REFUSE_STORE_DOWN + 1];
	uint64_t ended;                 /* with a usage record */
	uint64_t ended_by_finish[RECORD_FINISH_ERROR + 1];
	uint64_t tokens_sampled;
	uint64_t tokens_billed;
	uint64_t preemptions;
	uint64_t parked;                /* events after which a request was parked */
	uint64_t batches;
	uint64_t batches_failed;
	uint64_t commits;
	uint64_t commits_failed;
	uint64_t crashes;
	uint64_t commands;
	int64_t revenue_nano;

	bool failed;
	uint64_t failed_event;          /* the number of the event after which it was seen */
	char text[FLEET_TEXT_BYTES];    /* what was wrong */
	char replay[FLEET_TEXT_BYTES];  /* the command that shows it again */
};

/* The command that runs this seed again, as report.replay has it; for who may be stopped by an
 * assertion and must know it before. out holds FLEET_TEXT_BYTES. */
void fleet_replay_format(char *out, const struct fleet_options *options);

/* An error is one of this machine (memory); what the checks find is in the report. */
enum err fleet_simulate(const struct fleet_options *options, struct fleet_report *report,
	struct err_info *info) MUST_CHECK;

#endif
