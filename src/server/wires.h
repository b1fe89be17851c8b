/* server/wires.h - what connects the threads: bounded rings of small messages, and a wake-up
 * for each thread.
 *
 *	front --events--> core --actions--> front
 *	                  core --records, journal--> store
 *	                  core <--how far it is durable-- store
 *	executor --wake--> core
 *
 * Capacities follow from the limits, so that what must go always goes: whoever pushes
 * asserts that it did.
 */
#ifndef SERVER_WIRES_H
#define SERVER_WIRES_H

#include <stdatomic.h>

#include "base/ring.h"
#include "cloud/core.h"

/* messages of one request that may be under way at once, each way, DELIVER and WRITTEN not counted:
 * those wait where they are until there is room for more than this */
#define WIRES_PER_REQUEST  8
/* calls that start no request, each with one question and one answer under way */
#define WIRES_SERVICES     1024
#define WIRES_SPARE        1024
#define JOURNAL_CHUNKS     64
#define JOURNAL_CHUNK_BYTES 65536

/* A piece of the journal on its way to the file. */
struct journal_chunk {
	uint32_t size;
	uint8_t bytes[JOURNAL_CHUNK_BYTES];
};

struct store_result {
	bool failed;
	uint64_t sequence;      /* durable up to here */
};

/* What the core thread tells of itself when asked. */
struct core_report {
	struct core_stats stats;
	uint64_t steps;
	int64_t step_ns_max;    /* since the start: nothing holds the core 2 ms */
	int64_t step_ns_sum;
	uint64_t store_commits;
	int64_t commit_ns_max;
	bool journal_failed;    /* this run is written down no further */
};

struct wires {
	struct ring *events;        /* struct core_event: front to core */
	struct ring *actions;       /* struct core_action: core to front */
	struct ring *records;       /* struct record: core to store */
	struct ring *results;       /* struct store_result: store to core */
	struct ring *journal;       /* struct journal_chunk *: core to store, full */
	struct ring *journal_back;  /* empty again */
	struct journal_chunk *chunks;
	struct wake core_wake;
	struct wake store_wake;
	struct wake front_wake;
	uint32_t reserved;          /* room in events and actions that DELIVER and
				     * WRITTEN leave alone */

	_Atomic bool room_awaited;  /* the front has something to say that found no room */

	/* The front asks for a report; the core fills it in and says so. Then it is
	 * the front's again. */
	_Atomic bool report_wanted;
	_Atomic bool report_there;
	struct core_report report;

	_Atomic bool core_stop;     /* after the last event */
	_Atomic bool store_stop;    /* after the last record */
	_Atomic uint64_t commits;   /* written by the store thread */
	_Atomic int64_t commit_ns_max;
	_Atomic bool journal_failed;
};

enum err wires_open(struct wires *w, const struct core_limits *limits,
	struct err_info *info) MUST_CHECK;
void wires_close(struct wires *w);
/* Core, when it took from events or found them empty: true once, if the front waits for that. */
bool wires_room_made(struct wires *w);
/* What was reserved, for start to print. */
size_t wires_bytes(const struct core_limits *limits);

#endif
