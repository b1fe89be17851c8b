/* tests/chip/worker_test.c - every worker runs every job, items are done once, barriers hold. */
#include "unit.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "chip/cpu/worker.h"

#define ITEMS  1000
#define ROUNDS 200

struct counting {
	struct cpu_job job;
	_Atomic uint32_t entered;
	_Atomic uint32_t done[ITEMS];
	_Atomic uint32_t early;       /* items of the second list taken before the first was done */
	_Atomic uint32_t first_list;
};

static void count_items(struct cpu_job *job, struct cpu_worker *worker)
{
	struct counting *c = (struct counting *)job;
	uint32_t first, end;

	c->entered++;
	while (cpu_share(worker, ITEMS, &first, &end))
		for (uint32_t i = first; i < end; i++) {
			c->done[i]++;
			c->first_list++;
		}
	cpu_barrier(worker);
	while (cpu_share(worker, 3, &first, &end))
		for (uint32_t i = first; i < end; i++)
			if (c->first_list != ITEMS)
				c->early++;
	cpu_barrier(worker);
	cpu_barrier(worker);   /* an empty part */
}

static void check_pool(uint32_t threads)
{
	static struct counting c;
	struct err_info info = {0};
	struct cpu_pool *pool;

	assert_int_equal(cpu_pool_open(&pool, threads, &info), ERR_NONE);
	assert_int_equal(cpu_pool_threads(pool), threads);
	for (uint32_t round = 0; round < ROUNDS / threads; round++) {
		c = (struct counting){.job.run = count_items};
		cpu_pool_run(pool, &c.job);
		assert_int_equal(c.entered, threads);
		assert_int_equal(c.early, 0);
		for (uint32_t i = 0; i < ITEMS; i++)
			assert_int_equal(c.done[i], 1);
	}
	cpu_pool_close(pool);
}

static void every_item_is_done_once_also_with_more_threads_than_cores(void **state)
{
	(void)state;
	for (uint32_t threads = 1; threads <= 9; threads += 2)
		check_pool(threads);
}

static void jobs_run_in_the_order_they_were_posted(void **state)
{
	static struct counting jobs[CPU_JOBS_MAX];
	struct err_info info = {0};
	struct cpu_pool *pool;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(cpu_pool_open(&pool, 2, &info), ERR_NONE);
	for (uint32_t i = 0; i < CPU_JOBS_MAX; i++) {
		jobs[i] = (struct counting){.job.run = count_items};
		last = cpu_pool_post(pool, &jobs[i].job);
		assert_int_equal(last, i + 1);
	}
	cpu_pool_wait(pool, 3);
	assert_int_equal(jobs[2].first_list, ITEMS);
	cpu_pool_wait_all(pool);
	for (uint32_t i = 0; i < CPU_JOBS_MAX; i++)
		assert_int_equal(jobs[i].first_list, ITEMS);
	cpu_pool_wait(pool, 1);   /* long finished */
	cpu_pool_close(pool);
	cpu_pool_close(NULL);
}

struct placing {
	struct cpu_job job;
	int cores[8];           /* that the worker may run on */
	int core[8];            /* one of them */
};

static void place(struct cpu_job *job, struct cpu_worker *worker)
{
	struct placing *p = (struct placing *)job;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		p->cores[worker->index] = CPU_COUNT(&set);
	p->core[worker->index] = sched_getcpu();
}

static void each_worker_has_a_core_of_its_own_as_long_as_there_are_enough(void **state)
{
	const uint32_t cores = thread_cores_available() < 8 ? thread_cores_available() : 8;
	struct placing p = {.job.run = place};
	struct err_info info = {0};
	struct cpu_pool *pool;

	(void)state;
	assert_int_equal(cpu_pool_open(&pool, cores, &info), ERR_NONE);
	cpu_pool_run(pool, &p.job);
	cpu_pool_close(pool);
	for (uint32_t i = 0; i < cores; i++) {
		assert_int_equal(p.cores[i], 1);
		for (uint32_t other = 0; other < i; other++)
			assert_int_not_equal(p.core[i], p.core[other]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_item_is_done_once_also_with_more_threads_than_cores),
		cmocka_unit_test(jobs_run_in_the_order_they_were_posted),
		cmocka_unit_test(each_worker_has_a_core_of_its_own_as_long_as_there_are_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
