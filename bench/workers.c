/* bench/workers.c - what the threads of a CPU chip cost: barriers, shares and jobs without work,
 * and lists of work while other programs have some of the cores.
 *
 *	workers [--threads N]
 *
 * A list is what lies between two barriers. With work, each has LIST_NS of it for every thread, in
 * shares that chance hands out: about what an operation of a small model takes at one row. Beside
 * it run busy threads without pauses, which the scheduler puts where it likes.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "chip/cpu/worker.h"

#define REPEATS     25
#define LISTS_EMPTY 1000
#define LISTS       50
#define LIST_NS     100000
#define SHARES      16          /* of a list, for every thread */
#define BUSY_MAX    16

struct lists {
	struct cpu_job job;
	uint32_t count;
	uint32_t items;             /* of one list */
	uint32_t rounds;            /* of work in one item */
	_Atomic uint64_t sum;       /* keeps the work */
};

static struct err_info info;

static uint64_t work(uint32_t rounds, uint64_t x)
{
	for (uint32_t i = 0; i < rounds; i++)
		x = x * 6364136223846793005U + 1442695040888963407U;
	return x;
}

static void run_lists(struct cpu_job *job, struct cpu_worker *worker)
{
	struct lists *l = (struct lists *)job;
	uint32_t first, end;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		while (l->items && cpu_share(worker, l->items, &first, &end))
			for (uint32_t item = first; item < end; item++)
				sum += work(l->rounds, item);
		cpu_barrier(worker);
	}
	l->sum += sum;
}

static int by_size(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* Nanoseconds of one list: the least and the median of some repeats. */
static void time_lists(struct cpu_pool *pool, struct lists l, double ns[2])
{
	double samples[REPEATS];

	l.job.run = run_lists;
	for (uint32_t i = 0; i < REPEATS; i++) {
		const int64_t start_ns = clock_monotonic_ns();

		cpu_pool_run(pool, &l.job);
		samples[i] = (double)(clock_monotonic_ns() - start_ns) / l.count;
	}
	qsort(samples, REPEATS, sizeof(samples[0]), by_size);
	ns[0] = samples[0];
	ns[1] = samples[REPEATS / 2];
}

static void print_empty(struct cpu_pool *pool, const char *name, uint32_t items)
{
	double ns[2];

	time_lists(pool, (struct lists){.count = LISTS_EMPTY, .items = items}, ns);
	printf("%-28s %10.0f %10.0f\n", name, ns[0], ns[1]);
	(void)fflush(stdout);
}

static void nothing(struct cpu_job *job, struct cpu_worker *worker)
{
	(void)job;
	(void)worker;
}

/* Jobs one after the other, each waited for. */
static void print_jobs(struct cpu_pool *pool)
{
	struct cpu_job job = {nothing};
	double samples[REPEATS];

	for (uint32_t i = 0; i < REPEATS; i++) {
		const int64_t start_ns = clock_monotonic_ns();

		for (uint32_t j = 0; j < LISTS_EMPTY; j++)
			cpu_pool_run(pool, &job);
		samples[i] = (double)(clock_monotonic_ns() - start_ns) / LISTS_EMPTY;
	}
	qsort(samples, REPEATS, sizeof(samples[0]), by_size);
	printf("%-28s %10.0f %10.0f\n", "job", samples[0], samples[REPEATS / 2]);
	(void)fflush(stdout);
}

/* ---- beside others --------------------------------------------------------------------------- */

static _Atomic bool busy_ends;

static void be_busy(void *argument)
{
	_Atomic uint64_t *sum = argument;

	while (!busy_ends)
		*sum += work(1000, *sum);
}

static uint32_t rounds_of(int64_t ns)
{
	const int64_t start_ns = clock_monotonic_ns();
	volatile uint64_t kept = work(50000000, 1);
	const double round_ns = (double)(clock_monotonic_ns() - start_ns) / 50000000;

	(void)kept;
	return (uint32_t)((double)ns / round_ns);
}

static void print_beside(struct cpu_pool *pool, uint32_t busy_count, uint32_t rounds)
{
	static _Atomic uint64_t sums[BUSY_MAX];
	struct thread *busy[BUSY_MAX];
	char name[64];
	double ns[2];

	busy_ends = false;
	for (uint32_t i = 0; i < busy_count; i++)
		if (thread_start(&busy[i], "busy", be_busy, &sums[i], &info))
			exit(1);
	time_lists(pool, (struct lists){.count = LISTS, .rounds = rounds,
		.items = SHARES * cpu_pool_threads(pool)}, ns);
	busy_ends = true;
	for (uint32_t i = 0; i < busy_count; i++)
		thread_join(busy[i]);
	(void)snprintf(name, sizeof(name), "work beside %" PRIu32 " busy", busy_count);
	printf("%-28s %10.0f %10.0f\n", name, ns[0], ns[1]);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	uint32_t threads = thread_cores_available();
	struct cpu_pool *pool;

	if (argc == 3 && strcmp(argv[1], "--threads") == 0)
		threads = (uint32_t)strtoul(argv[2], NULL, 10);
	if (argc != 1 && (argc != 3 || threads < 1 || threads > CPU_THREADS_MAX)) {
		(void)fprintf(stderr, "usage: workers [--threads N]\n");
		return 2;
	}
	const uint32_t rounds = rounds_of(LIST_NS / SHARES);

	if (cpu_pool_open(&pool, threads, &info)) {
		(void)fprintf(stderr, "workers: %s\n", info.text);
		return 1;
	}
	printf("%" PRIu32 " threads, ns a list           best     median\n", threads);
	print_empty(pool, "barrier", 0);
	print_empty(pool, "barrier, 32 shares", 32);
	print_jobs(pool);
	for (uint32_t busy = 0; busy <= 2 && busy <= BUSY_MAX; busy++)
		print_beside(pool, busy, rounds);
	cpu_pool_close(pool);
	return 0;
}
