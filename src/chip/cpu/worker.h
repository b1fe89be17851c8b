/* chip/cpu/worker.h - the threads of a CPU chip: every job runs in all of them at once.
 *
 * A job is a function that each worker calls; inside, workers take shares of the same list of items
 * and meet at barriers. Which worker takes which item is left to chance, so items must not care.
 *
 *	worker 0   | item 0 | item 3 |     barrier | item 0 | ...
 *	worker 1   | item 1 | item 2 | item 4      | item 1 | ...
 *
 * Chance stays at home first. A worker is a home of its own, or a few of one node of memory (NUMA)
 * are, where there are more than CPU_HOMES_MAX. A list is divided among homes as their workers are;
 * who has done the part of its home takes from the next one. So a share costs no traffic between
 * cores but at the end of a list, and lists of the same number of items are divided at the same
 * places: who packs the rows of a matrix, and touches that memory first, is who will read them.
 *
 *	worker 0    items 0 ... 4    -> then what is left of 5 ... 9
 *	worker 1    items 5 ... 9    -> then what is left of 0 ... 4
 *
 * Waiting spins for at most CPU_SPIN_NS, then sleeps in the kernel. Nobody spins where cores are
 * fewer than workers, a quota leaves less than a core for each, or the pools of other models are
 * busy. With a worker on every core the thread that posts has none of its own: it shares that of
 * worker 0, and neither spins for the other. Jobs are posted and waited for by one thread.
 */
#ifndef CHIP_CPU_WORKER_H
#define CHIP_CPU_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CPU_THREADS_MAX 1024
#define CPU_JOBS_MAX    16      /* posted and not finished */
#define CPU_SPIN_NS     50000
#define CPU_HOMES_MAX   16

struct cpu_pool;

struct cpu_worker {
	struct cpu_pool *pool;
	uint32_t index;
	uint32_t home;

	/* private to worker.c */
	uint32_t node;              /* of memory */
	uint32_t list;              /* that it takes from, counted up */
	uint32_t homes_done;        /* in this list: its own is the first */
	uint32_t arrivals;          /* of all workers, when the barrier that it has come to opens */
};

struct cpu_job {
	void (*run)(struct cpu_job *job, struct cpu_worker *worker);
};

/* threads of them, each pinned to a core when there are enough cores. */
enum err cpu_pool_open(struct cpu_pool **out, uint32_t threads, struct err_info *info) MUST_CHECK;
/* After the jobs that were posted. NULL is legal. */
void cpu_pool_close(struct cpu_pool *pool);
uint32_t cpu_pool_threads(const struct cpu_pool *pool);

/* The job must stay where it is until it has finished. Returns its number, one more than
 * that of the job before. */
uint64_t cpu_pool_post(struct cpu_pool *pool, struct cpu_job *job);
void cpu_pool_wait(struct cpu_pool *pool, uint64_t number);
void cpu_pool_wait_all(struct cpu_pool *pool);
/* Posts it and waits for it and all before it. */
void cpu_pool_run(struct cpu_pool *pool, struct cpu_job *job);

/* ---- inside a job ---------------------------------------------------------------------------- */

/* Takes the next items [*first, *end) of a list of that many; false when none are left, and this is
 * where a worker must come to in every list before the barrier that ends it. */
bool cpu_share(struct cpu_worker *worker, uint32_t items, uint32_t *first, uint32_t *end);
/* Returns when every worker has come here; the next list of items starts afresh. */
void cpu_barrier(struct cpu_worker *worker);

/* A list made of several, each divided among homes for itself:
 *
 *	matrix 0   | home 0   | home 1   |         items[0] = 3 + 2
 *	matrix 1   | home 0 | home 1 |             items[1] = 3 + 2
 *
 * cpu_home_items says how many items of one list are a home's, and which is the first; the caller
 * adds them up. cpu_share_home then takes [*first, *end) of items[*home]. */
uint32_t cpu_homes(const struct cpu_pool *pool);
uint32_t cpu_home_items(const struct cpu_pool *pool, uint32_t home, uint32_t items,
	uint32_t *first);
bool cpu_share_home(struct cpu_worker *worker, const uint32_t *items, uint32_t *home,
	uint32_t *first, uint32_t *end);

/* ---- for tests ------------------------------------------------------------------------------- */

/* What a pool would find out for itself where it is 0 or NULL. */
struct cpu_pool_config {
	uint32_t threads;
	uint32_t cores;             /* that the process has to itself */
	const uint32_t *nodes;      /* [threads]: of memory, of each worker */
	int64_t (*now_ns)(void);    /* the clock that spinning looks at */
};

enum err cpu_pool_open_as(struct cpu_pool **out, const struct cpu_pool_config *config,
	struct err_info *info) MUST_CHECK;
/* Workers that wait for a job and have gone to sleep. */
uint32_t cpu_pool_asleep(const struct cpu_pool *pool);

#endif
