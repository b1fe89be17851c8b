/* tests/chip/worker_test.c - every worker runs every job, items are done once, barriers hold, homes
 * come first, and who waits for long sleeps. */
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
	uint64_t numbers[CPU_JOBS_MAX];

	(void)state;
	assert_int_equal(cpu_pool_open(&pool, 2, &info), ERR_NONE);
	for (uint32_t i = 0; i < CPU_JOBS_MAX; i++) {
		jobs[i] = (struct counting){.job.run = count_items};
		numbers[i] = cpu_pool_post(pool, &jobs[i].job);
		assert_int_equal(numbers[i], numbers[0] + i);
	}
	cpu_pool_wait(pool, numbers[2]);
	assert_int_equal(jobs[2].first_list, ITEMS);
	cpu_pool_wait_all(pool);
	for (uint32_t i = 0; i < CPU_JOBS_MAX; i++)
		assert_int_equal(jobs[i].first_list, ITEMS);
	cpu_pool_wait(pool, numbers[0]);   /* long finished */
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

/* ---- homes ----------------------------------------------------------------------------------- */

#define HOME_WORKERS 5

static const uint32_t two_nodes[HOME_WORKERS] = {7, 7, 3, 7, 3};

static struct cpu_pool *open_pool(const struct cpu_pool_config *config)
{
	struct err_info info = {0};
	struct cpu_pool *pool;

	assert_int_equal(cpu_pool_open_as(&pool, config, &info), ERR_NONE);
	return pool;
}

static void every_item_is_done_once_whatever_the_nodes(void **state)
{
	static const uint32_t nodes[3][HOME_WORKERS] = {
		{7, 7, 3, 7, 3}, {0, 1, 2, 3, 4}, {1, 1, 1, 1, 0},
	};
	static struct counting c;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
			.threads = HOME_WORKERS, .nodes = nodes[i]});

		for (uint32_t round = 0; round < ROUNDS / HOME_WORKERS; round++) {
			c = (struct counting){.job.run = count_items};
			cpu_pool_run(pool, &c.job);
			assert_int_equal(c.early, 0);
			for (uint32_t item = 0; item < ITEMS; item++)
				assert_int_equal(c.done[item], 1);
		}
		cpu_pool_close(pool);
	}
}

struct homes {
	struct cpu_job job;
	uint32_t of[CPU_HOMES_MAX * 3];
};

static void see_home(struct cpu_job *job, struct cpu_worker *worker)
{
	((struct homes *)job)->of[worker->index] = worker->home;
}

static void homes_divide_a_list_as_their_workers_are(void **state)
{
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = HOME_WORKERS, .nodes = two_nodes});
	uint32_t first;

	(void)state;
	assert_int_equal(cpu_homes(pool), HOME_WORKERS);
	for (uint32_t home = 0; home < HOME_WORKERS; home++) {
		assert_int_equal(cpu_home_items(pool, home, 10, &first), 2);
		assert_int_equal(first, 2 * home);
	}
	cpu_pool_close(pool);
}

/* Every item has one home, however the numbers divide. */
static void check_division(const struct cpu_pool *pool)
{
	static const uint32_t counts[] = {0, 1, 2, 3, 16, ITEMS, UINT32_MAX};
	uint32_t first;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint32_t next = 0;

		for (uint32_t home = 0; home < cpu_homes(pool); home++) {
			const uint32_t count = cpu_home_items(pool, home, counts[i], &first);

			assert_int_equal(first, next);
			next += count;
		}
		assert_int_equal(next, counts[i]);
	}
}

/* Many workers on three nodes: no home has workers of two. */
static void workers_of_one_node_share_a_home_where_there_are_many(void **state)
{
	uint32_t nodes[CPU_HOMES_MAX * 3];
	struct homes h = {.job.run = see_home};

	(void)state;
	for (uint32_t i = 0; i < CPU_HOMES_MAX * 3; i++)
		nodes[i] = i % 3;
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = CPU_HOMES_MAX * 3, .nodes = nodes});

	assert_int_equal(cpu_homes(pool), CPU_HOMES_MAX);
	check_division(pool);
	cpu_pool_run(pool, &h.job);
	for (uint32_t i = 0; i < CPU_HOMES_MAX * 3; i++)
		for (uint32_t j = 0; j < i; j++)
			if (h.of[i] == h.of[j])
				assert_int_equal(nodes[i], nodes[j]);
	cpu_pool_close(pool);
}

static void nodes_beyond_the_most_homes_share_them(void **state)
{
	uint32_t nodes[CPU_HOMES_MAX + 4];

	(void)state;
	for (uint32_t i = 0; i < CPU_HOMES_MAX + 4; i++)
		nodes[i] = i;
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = CPU_HOMES_MAX + 4, .nodes = nodes});

	assert_int_equal(cpu_homes(pool), CPU_HOMES_MAX);
	check_division(pool);
	cpu_pool_close(pool);
}

struct firsts {
	struct cpu_job job;
	uint32_t first[HOME_WORKERS];
	uint32_t homes[HOME_WORKERS];
	_Atomic uint32_t taken;
	_Atomic uint32_t items;
};

/* Nobody takes a second share before all have the first. */
static void take_first(struct cpu_job *job, struct cpu_worker *worker)
{
	struct firsts *f = (struct firsts *)job;
	uint32_t first, end;

	f->homes[worker->index] = worker->home;
	for (bool once = true; cpu_share(worker, ITEMS, &first, &end); once = false) {
		f->items += end - first;
		if (!once)
			continue;
		f->first[worker->index] = first;
		f->taken++;
		while (f->taken < HOME_WORKERS)
			(void)sched_yield();
	}
}

static void a_worker_takes_from_its_home_first(void **state)
{
	struct firsts f = {.job.run = take_first};
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = HOME_WORKERS, .nodes = two_nodes});

	(void)state;
	cpu_pool_run(pool, &f.job);
	cpu_pool_close(pool);
	assert_int_equal(f.items, ITEMS);
	for (uint32_t i = 0; i < HOME_WORKERS; i++) {
		assert_int_equal(f.homes[i], i);
		assert_int_equal(f.first[i], ITEMS / HOME_WORKERS * i);
	}
}

/* ---- idle ------------------------------------------------------------------------------------ */

#define LOOK_NS 10000

static _Atomic int64_t looks;

/* A clock that goes on when it is looked at. */
static int64_t look(void)
{
	return ++looks * LOOK_NS;
}

static void wait_asleep(const struct cpu_pool *pool)
{
	while (cpu_pool_asleep(pool) < cpu_pool_threads(pool))
		(void)sched_yield();
}

static void an_idle_worker_spins_for_50_us_and_sleeps(void **state)
{
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = 2, .cores = 8, .now_ns = look});

	(void)state;
	wait_asleep(pool);
	const int64_t before = looks;
	/* Of the first job: two barriers and twice waiting for a job each, and who
	 * posted it; the clock is shared, so a wait sees the looks of others pass, too. */
	const int64_t waits = 2 * (2 + 2) + 1;

	assert_in_range(before, 2, waits * (1 + CPU_SPIN_NS / LOOK_NS));
	for (uint32_t i = 0; i < 1000; i++)
		(void)sched_yield();
	assert_int_equal(looks, before);
	cpu_pool_close(pool);
}

static void with_fewer_cores_than_workers_nobody_spins(void **state)
{
	static struct counting c;
	struct cpu_pool *pool = open_pool(&(struct cpu_pool_config){
		.threads = 3, .cores = 2, .now_ns = look});

	(void)state;
	looks = 0;
	c = (struct counting){.job.run = count_items};
	cpu_pool_run(pool, &c.job);
	assert_int_equal(c.first_list, ITEMS);
	wait_asleep(pool);
	assert_int_equal(looks, 0);
	cpu_pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_item_is_done_once_also_with_more_threads_than_cores),
		cmocka_unit_test(jobs_run_in_the_order_they_were_posted),
		cmocka_unit_test(each_worker_has_a_core_of_its_own_as_long_as_there_are_enough),
		cmocka_unit_test(every_item_is_done_once_whatever_the_nodes),
		cmocka_unit_test(homes_divide_a_list_as_their_workers_are),
		cmocka_unit_test(workers_of_one_node_share_a_home_where_there_are_many),
		cmocka_unit_test(nodes_beyond_the_most_homes_share_them),
		cmocka_unit_test(a_worker_takes_from_its_home_first),
		cmocka_unit_test(an_idle_worker_spins_for_50_us_and_sleeps),
		cmocka_unit_test(with_fewer_cores_than_workers_nobody_spins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
