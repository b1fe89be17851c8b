/* bench/load_server.h - the server under load: whole, in a process of its own, with the simulated
 * executor.
 *
 * Both processes see one block of memory. In it the executor writes when each token was made and
 * when each batch was submitted, and the client when it closed a connection; the clock is the same
 * for both. Requests are told apart by their seed, which is the index of a trace.
 */
#ifndef BENCH_LOAD_SERVER_H
#define BENCH_LOAD_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOAD_TRACES 256
#define LOAD_TOKENS 8192       /* of an answer that is traced */
#define LOAD_SUBMITS (1 << 16) /* the last ones */

struct load_trace {
	_Atomic int64_t closed_ns;    /* by the client; 0: not yet */
	_Atomic int64_t submitted_ns; /* the last batch that names it */
	_Atomic uint32_t after_close; /* batches that name it, submitted later than closed_ns */
	_Atomic int64_t made_ns[LOAD_TOKENS];
};

struct load_shared {
	struct load_trace traces[LOAD_TRACES];
	_Atomic int64_t submits_ns[LOAD_SUBMITS];
	_Atomic uint32_t submit_count;

	/* Steps of the core in the time that its thread computed, so that others on the machine do
	 * not count. Two system calls a step, so only when wanted. */
	_Atomic bool steps_wanted;
	_Atomic uint64_t steps;
	_Atomic int64_t step_ns_sum, step_ns_max;
};

struct load_server {
	pid_t pid;
	uint16_t port;
	char home[64];
	struct load_shared *shared;
};

/* Starts one whose steps take step_us; ends the program when it cannot. */
void load_server_start(struct load_server *s, int64_t step_us);
/* SIGTERM, and everything of it is gone. */
void load_server_stop(struct load_server *s);

/* Time that its threads have computed, and memory that is its own. */
int64_t load_server_cpu_ns(const struct load_server *s);
int64_t load_server_memory_kib(const struct load_server *s);

#endif
