/* chip/cpu/worker.c - see worker.h. What threads watch are numbers that only grow, each on a cache
 * line of its own: jobs posted, jobs finished, arrivals at barriers. A barrier of two threads then
 * is one line that goes over and back. */
#include "chip/cpu/worker.h"

#include <assert.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/thread.h"

#define CACHE_LINE        64
#define SPINS_PER_LOOK    64   /* pauses between two looks at the clock, at least */
#define PAUSES_MAX        16   /* between two looks at a number: one for each arrival missing */
/* of a long list: small enough to even out, large enough to be cheap */
#define SHARES_PER_THREAD 16

/* A number that grows, modulo 2^32, and how many threads sleep until it has grown. */
struct word {
	_Alignas(CACHE_LINE) _Atomic uint32_t value;
	_Atomic uint32_t sleepers;
};

/* Workers on one node of memory, and how far they have come in a list. Lists take turns with two
 * numbers: whoever leaves a list sets the other one back, which nobody uses until the barrier. */
struct home {
	_Alignas(CACHE_LINE) _Atomic uint32_t next[2];
	_Alignas(CACHE_LINE) uint32_t node;
	uint32_t worker_count;
	uint64_t begin, end;       /* of every list, in parts of 2^32 */
};

struct cpu_pool {
	struct word posted;        /* jobs */
	struct word finished;      /* jobs */
	struct word arrived;       /* workers at barriers */
	struct home homes[CPU_HOMES_MAX];
	uint32_t home_count;
	uint32_t thread_count;
	uint32_t cores;            /* of the machine, for this process */
	bool pinned;               /* each worker has a core of its own, but for other pools */
	bool whole;                /* and no quota takes part of it away */
	const uint32_t *nodes;     /* while it is opened, or NULL: as the machine says */
	int64_t (*now_ns)(void);
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

/* ---- waiting --------------------------------------------------------------------------------- */

/* How much has to be added until the word has come to the number; 0 or less: nothing. */
static int32_t missing(const struct word *w, uint32_t number)
{
	return (int32_t)(number - atomic_load_explicit(&w->value, memory_order_acquire));
}

static void word_sleep(struct word *w, uint32_t number)
{
	atomic_fetch_add(&w->sleepers, 1);
	for (;;) {
		const uint32_t seen = atomic_load(&w->value);

		if ((int32_t)(number - seen) <= 0)
			break;
		(void)syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	}
	atomic_fetch_sub(&w->sleepers, 1);
}

static void word_wake(struct word *w)
{
	if (atomic_load(&w->sleepers) > 0)
		(void)syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Whether the word came to the number within CPU_SPIN_NS. */
static bool word_spin(const struct cpu_pool *pool, const struct word *w, uint32_t number)
{
	const int64_t until_ns = pool->now_ns() + CPU_SPIN_NS;

	do {
		for (uint32_t spins = 0; spins < SPINS_PER_LOOK;) {
			const int32_t left = missing(w, number);

			if (left <= 0)
				return true;
			for (int32_t i = 0; i < left && i < PAUSES_MAX; i++, spins++)
				pause_core();
		}
	} while (pool->now_ns() < until_ns);
	return false;
}

/* Returns when the word has come to the number. */
static void word_wait(const struct cpu_pool *pool, struct word *w, uint32_t number, bool spins)
{
	if (missing(w, number) <= 0 || (spins && word_spin(pool, w, number)))
		return;
	word_sleep(w, number);
}

static void word_set(struct word *w, uint32_t value)
{
	atomic_store(&w->value, value);
	word_wake(w);
}

/* Workers inside a job, of all pools (one per model): who spins must not keep a core from
 * one who works. */
static _Atomic uint32_t workers_busy;

static bool spins(const struct cpu_pool *pool)
{
	return pool->whole && atomic_load_explicit(&workers_busy, memory_order_relaxed) <=
		pool->cores;
}

/* Worker 0 and the posting thread, for each other. */
static bool poster_spins(const struct cpu_pool *pool)
{
	return pool->thread_count < pool->cores && spins(pool);
}

/* ---- inside a job ---------------------------------------------------------------------------- */

uint32_t cpu_homes(const struct cpu_pool *pool)
{
	return pool->home_count;
}

uint32_t cpu_home_items(const struct cpu_pool *pool, uint32_t home, uint32_t items,
	uint32_t *first)
{
	const struct home *h = &pool->homes[home];

	*first = (uint32_t)(items * h->begin >> 32);
	return (uint32_t)(items * h->end >> 32) - *first;
}

/* The next of one home's items. A line that says that there are none stays shared. */
static bool home_share(struct home *h, uint32_t list, uint32_t items, uint32_t *first,
	uint32_t *end)
{
	_Atomic uint32_t *next = &h->next[list % 2];
	const uint32_t even = items / (h->worker_count * SHARES_PER_THREAD);
	const uint32_t share = even ? even : 1;

	if (atomic_load_explicit(next, memory_order_relaxed) >= items)
		return false;
	*first = atomic_fetch_add_explicit(next, share, memory_order_relaxed);
	if (*first >= items)
		return false;
	*end = items - *first < share ? items : *first + share;
	return true;
}

bool cpu_share_home(struct cpu_worker *worker, const uint32_t *items, uint32_t *home,
	uint32_t *first, uint32_t *end)
{
	struct cpu_pool *pool = worker->pool;

	for (; worker->homes_done < pool->home_count; worker->homes_done++) {
		*home = (worker->home + worker->homes_done) % pool->home_count;
		if (home_share(&pool->homes[*home], worker->list, items[*home], first, end))
			return true;
	}
	worker->homes_done = 0;
	worker->list++;
	atomic_store_explicit(&pool->homes[worker->home].next[worker->list % 2], 0,
		memory_order_relaxed);
	return false;
}

bool cpu_share(struct cpu_worker *worker, uint32_t items, uint32_t *first, uint32_t *end)
{
	const struct cpu_pool *pool = worker->pool;
	uint32_t counts[CPU_HOMES_MAX], firsts[CPU_HOMES_MAX], home;

	for (uint32_t i = 0; i < pool->home_count; i++)
		counts[i] = cpu_home_items(pool, i, items, &firsts[i]);
	if (!cpu_share_home(worker, counts, &home, first, end))
		return false;
	*first += firsts[home];
	*end += firsts[home];
	return true;
}

void cpu_barrier(struct cpu_worker *worker)
{
	struct cpu_pool *pool = worker->pool;

	worker->arrivals += pool->thread_count;
	if (atomic_fetch_add(&pool->arrived.value, 1) + 1 == worker->arrivals)
		word_wake(&pool->arrived);
	else
		word_wait(pool, &pool->arrived, worker->arrivals, spins(pool));
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void run_job(struct cpu_job *job, struct cpu_worker *worker)
{
	atomic_fetch_add_explicit(&workers_busy, 1, memory_order_relaxed);
	job->run(job, worker);
	cpu_barrier(worker);
	atomic_fetch_sub_explicit(&workers_busy, 1, memory_order_relaxed);
}

static void worker_main(void *argument)
{
	struct cpu_worker *worker = argument;
	struct cpu_pool *pool = worker->pool;

	if (pool->pinned)
		(void)thread_pin_self(worker->index);  /* refused: it runs all the same */
	for (uint32_t number = 0;; number++) {
		word_wait(pool, &pool->posted, number + 1,
			worker->index == 0 ? poster_spins(pool) : spins(pool));
		struct cpu_job *job = pool->jobs[number % CPU_JOBS_MAX];

		if (!job)
			return;
		run_job(job, worker);
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
	word_wait(pool, &pool->finished, (uint32_t)number, poster_spins(pool));
}

void cpu_pool_wait_all(struct cpu_pool *pool)
{
	cpu_pool_wait(pool, pool->posted_total);
}

void cpu_pool_run(struct cpu_pool *pool, struct cpu_job *job)
{
	cpu_pool_wait(pool, cpu_pool_post(pool, job));
}

uint32_t cpu_pool_asleep(const struct cpu_pool *pool)
{
	return atomic_load(&pool->posted.sleepers);
}

/* ---- homes ----------------------------------------------------------------------------------- */

/* The home of one more worker on a node: one that has room, a new one, or any of the node's. */
static uint32_t home_of(struct cpu_pool *pool, uint32_t node)
{
	const uint32_t room = math_divide_up_u32(pool->thread_count, CPU_HOMES_MAX);
	uint32_t home = node % CPU_HOMES_MAX;

	for (uint32_t i = 0; i < pool->home_count; i++)
		if (pool->homes[i].node == node) {
			home = i;
			if (pool->homes[i].worker_count < room)
				return i;
		}
	if (pool->home_count == CPU_HOMES_MAX)
		return home;
	pool->homes[pool->home_count].node = node;
	return pool->home_count++;
}

/* Rounded up, so that lists that can be divided evenly are. */
static uint64_t parts_of(const struct cpu_pool *pool, uint64_t workers)
{
	return ((workers << 32) + pool->thread_count - 1) / pool->thread_count;
}

static void find_homes(struct cpu_pool *pool)
{
	uint64_t workers = 0;

	for (uint32_t i = 0; i < pool->thread_count; i++) {
		pool->workers[i].home = home_of(pool, pool->workers[i].node);
		pool->homes[pool->workers[i].home].worker_count++;
	}
	for (uint32_t i = 0; i < pool->home_count; i++) {
		struct home *h = &pool->homes[i];

		h->begin = parts_of(pool, workers);
		workers += h->worker_count;
		h->end = parts_of(pool, workers);
	}
	assert(workers == pool->thread_count);
}

/* The first job: until it is done there are no lists. A worker that may move has no node. */
static void settle(struct cpu_job *job, struct cpu_worker *worker)
{
	struct cpu_pool *pool = worker->pool;

	(void)job;
	if (pool->nodes)
		worker->node = pool->nodes[worker->index];
	else if (!pool->pinned || getcpu(NULL, &worker->node))
		worker->node = 0;
	cpu_barrier(worker);
	if (worker->index == 0)
		find_homes(pool);
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

enum err cpu_pool_open_as(struct cpu_pool **out, const struct cpu_pool_config *config,
	struct err_info *info)
{
	const uint32_t threads = config->threads;
	struct cpu_job first = {settle};
	enum err err = ERR_NONE;

	assert(threads > 0 && threads <= CPU_THREADS_MAX);
	struct cpu_pool *pool = mem_alloc_aligned(1, sizeof(*pool), CACHE_LINE);

	*out = NULL;
	if (!pool)
		return err_set(info, ERR_MEMORY, "no memory for a worker pool");
	pool->thread_count = threads;
	pool->cores = config->cores ? config->cores : thread_cores_allowed();
	pool->pinned = threads <= pool->cores;
	pool->whole = pool->pinned && (config->cores || threads <= thread_cores_whole());
	pool->nodes = config->nodes;
	pool->now_ns = config->now_ns ? config->now_ns : clock_monotonic_ns;
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
	cpu_pool_run(pool, &first);
	*out = pool;
	return ERR_NONE;
}

enum err cpu_pool_open(struct cpu_pool **out, uint32_t threads, struct err_info *info)
{
	return cpu_pool_open_as(out, &(struct cpu_pool_config){.threads = threads}, info);
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
