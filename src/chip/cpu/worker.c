/* chip/cpu/worker.c - see worker.h. Words that threads watch, each on a cache line of its own. */
#include "chip/cpu/worker.h"

#include <assert.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define CACHE_LINE        64
#define SPINS_PER_LOOK    64   /* pauses between two looks at the clock */
/* of a long list: small enough to even out, large enough to be cheap */
#define SHARES_PER_THREAD 16

/* A number that changes, and how many threads sleep until it does. */
struct word {
	_Alignas(CACHE_LINE) _Atomic uint32_t value;
	_Atomic uint32_t sleepers;
};

struct cpu_pool {
	struct word posted;        /* jobs, counted up */
	struct word finished;
	struct word generation;    /* of the barrier */
	_Alignas(CACHE_LINE) _Atomic uint32_t arrived;
	_Alignas(CACHE_LINE) _Atomic uint32_t next_item;
	_Alignas(CACHE_LINE) uint32_t thread_count;
	uint32_t cores;            /* of the machine, for this process */
	bool pinned;               /* each worker has a core of its own, but for other pools */
	uint64_t posted_total;     /* of the posting thread alone */
	struct cpu_job *jobs[CPU_JOBS_MAX];
	struct cpu_worker *workers;
	struct thread **threads;
};

static void pause_core(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void word_sleep(struct word *w, uint32_t seen)
{
	atomic_fetch_add(&w->sleepers, 1);
	while (atomic_load(&w->value) == seen)
		(void)syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_fetch_sub(&w->sleepers, 1);
}

/* Workers inside a job, of all pools (one per model): who spins must not keep a core from
 * one who works. */
static _Atomic uint32_t workers_busy;

static int64_t spin_ns(const struct cpu_pool *pool)
{
	const uint32_t busy = atomic_load_explicit(&workers_busy, memory_order_relaxed);

	return pool->pinned && busy <= pool->cores ? CPU_SPIN_NS : 0;
}

/* Returns when the value is no longer what the caller has seen. */
static void word_wait(struct word *w, uint32_t seen, int64_t longest_ns)
{
	if (longest_ns > 0) {
		const int64_t until_ns = clock_monotonic_ns() + longest_ns;

		do {
			for (uint32_t i = 0; i < SPINS_PER_LOOK; i++) {
				if (atomic_load_explicit(&w->value, memory_order_acquire) != seen)
					return;
				pause_core();
			}
		} while (clock_monotonic_ns() < until_ns);
	}
	word_sleep(w, seen);
}

static void word_set(struct word *w, uint32_t value)
{
	atomic_store(&w->value, value);
	if (atomic_load(&w->sleepers) > 0)
		(void)syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* ---- inside a job ---------------------------------------------------------------------------- */

bool cpu_share(struct cpu_worker *worker, uint32_t items, uint32_t *first, uint32_t *end)
{
	struct cpu_pool *pool = worker->pool;
	const uint32_t even = items / (pool->thread_count * SHARES_PER_THREAD);
	const uint32_t share = even ? even : 1;

	*first = atomic_fetch_add_explicit(&pool->next_item, share, memory_order_relaxed);
	if (*first >= items)
		return false;
	*end = items - *first < share ? items : *first + share;
	return true;
}

void cpu_barrier(struct cpu_worker *worker)
{
	struct cpu_pool *pool = worker->pool;
	const uint32_t generation = atomic_load_explicit(&pool->generation.value,
		memory_order_acquire);

	if (atomic_fetch_add(&pool->arrived, 1) + 1 < pool->thread_count) {
		word_wait(&pool->generation, generation, spin_ns(pool));
		return;
	}
	atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
	atomic_store_explicit(&pool->next_item, 0, memory_order_relaxed);
	word_set(&pool->generation, generation + 1);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void worker_main(void *argument)
{
	struct cpu_worker *worker = argument;
	struct cpu_pool *pool = worker->pool;

	if (pool->pinned)
		(void)thread_pin_self(worker->index);  /* refused: it runs all the same */
	for (uint32_t number = 0;; number++) {
		word_wait(&pool->posted, number, spin_ns(pool));
		struct cpu_job *job = pool->jobs[number % CPU_JOBS_MAX];

		if (!job)
			return;
		atomic_fetch_add_explicit(&workers_busy, 1, memory_order_relaxed);
		job->run(job, worker);
		cpu_barrier(worker);
		atomic_fetch_sub_explicit(&workers_busy, 1, memory_order_relaxed);
		if (worker->index == 0)
			word_set(&pool->finished, number + 1);
	}
}

uint64_t cpu_pool_post(struct cpu_pool *pool, struct cpu_job *job)
{
	const uint32_t number = (uint32_t)pool->posted_total;

	/* The place must be free: every worker has left the job that was in it. */
	assert(number - atomic_load(&pool->finished.value) < CPU_JOBS_MAX);
	pool->jobs[number % CPU_JOBS_MAX] = job;
	word_set(&pool->posted, number + 1);
	return ++pool->posted_total;
}

void cpu_pool_wait(struct cpu_pool *pool, uint64_t number)
{
	assert(number <= pool->posted_total);
	for (;;) {
		const uint32_t finished = atomic_load(&pool->finished.value);

		if ((int32_t)(finished - (uint32_t)number) >= 0)
			return;
		word_wait(&pool->finished, finished, spin_ns(pool));
	}
}

void cpu_pool_wait_all(struct cpu_pool *pool)
{
	cpu_pool_wait(pool, pool->posted_total);
}

void cpu_pool_run(struct cpu_pool *pool, struct cpu_job *job)
{
	cpu_pool_wait(pool, cpu_pool_post(pool, job));
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum err start_threads(struct cpu_pool *pool, uint32_t threads, struct err_info *info)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < threads; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "ty-chip-%u", i);
		pool->workers[i] = (struct cpu_worker){.pool = pool, .index = i};
		err = thread_start(&pool->threads[i], name, worker_main, &pool->workers[i], info);
		if (err)
			return err;
	}
	return err;
}

enum err cpu_pool_open(struct cpu_pool **out, uint32_t threads, struct err_info *info)
{
	assert(threads > 0 && threads <= CPU_THREADS_MAX);
	struct cpu_pool *pool = mem_alloc_aligned(1, sizeof(*pool), CACHE_LINE);

	enum err err = ERR_NONE;

	*out = NULL;
	if (!pool)
		return err_set(info, ERR_MEMORY, "no memory for a worker pool");
	pool->thread_count = threads;
	pool->cores = thread_cores_available();
	pool->pinned = threads <= pool->cores;
	pool->workers = mem_alloc(threads, sizeof(*pool->workers));
	pool->threads = mem_alloc(threads, sizeof(struct thread *));
	if (!pool->workers || !pool->threads)
		err = err_set(info, ERR_MEMORY, "no memory for %u workers", threads);
	else
		err = start_threads(pool, threads, info);
	if (err) {
		cpu_pool_close(pool);
		return err;
	}
	*out = pool;
	return ERR_NONE;
}

uint32_t cpu_pool_threads(const struct cpu_pool *pool)
{
	return pool->thread_count;
}

void cpu_pool_close(struct cpu_pool *pool)
{
	if (!pool)
		return;
	if (pool->threads && pool->threads[0])
		(void)cpu_pool_post(pool, NULL);
	for (uint32_t i = 0; pool->threads && i < pool->thread_count; i++)
		thread_join(pool->threads[i]);
	mem_free(pool->threads);
	mem_free(pool->workers);
	mem_free(pool);
}
