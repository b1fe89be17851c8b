/* chip/cpu/worker.h - the threads of a CPU chip: every job runs in all of them at once.
 *
 * A job is a function that each worker calls; inside, workers take shares of the same list of items
 * and meet at barriers. Which worker takes which item is left to chance, so items must not care.
 *
 *	worker 0   | item 0 | item 3 |     barrier | item 0 | ...
 *	worker 1   | item 1 | item 2 | item 4      | item 1 | ...
 *
 * Waiting spins for CPU_SPIN_NS, then sleeps in the kernel; with more workers than cores, or while
 * the pools of other models are busy on the same ones, it sleeps at once. Jobs are posted and
 * waited for by one thread.
 */
#ifndef CHIP_CPU_WORKER_H
#define CHIP_CPU_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CPU_THREADS_MAX 1024
#define CPU_JOBS_MAX    16      /* posted and not finished */
#define CPU_SPIN_NS     50000

struct cpu_pool;

struct cpu_worker {
	struct cpu_pool *pool;
	uint32_t index;
};

struct cpu_job {
	void (*run)(struct cpu_job *job, struct cpu_worker *worker);
};

/* threads of them, each pinned to a core when there are enough cores. */
enum err cpu_pool_open(struct cpu_pool **out, uint32_t threads, struct err_info *info) MUST_CHECK;
/* After the jobs that were posted. NULL is legal. */
void cpu_pool_close(struct cpu_pool *pool);
uint32_t cpu_pool_threads(const struct cpu_pool *pool);

/* The job must stay where it is until it has finished. Returns its number, counted from 1. */
uint64_t cpu_pool_post(struct cpu_pool *pool, struct cpu_job *job);
void cpu_pool_wait(struct cpu_pool *pool, uint64_t number);
void cpu_pool_wait_all(struct cpu_pool *pool);
/* Posts it and waits for it and all before it. */
void cpu_pool_run(struct cpu_pool *pool, struct cpu_job *job);

/* Takes the next items [*first, *end) of a list of that many; false when none are left. */
bool cpu_share(struct cpu_worker *worker, uint32_t items, uint32_t *first, uint32_t *end);
/* Returns when every worker has come here; the next list of items starts afresh. */
void cpu_barrier(struct cpu_worker *worker);

#endif
