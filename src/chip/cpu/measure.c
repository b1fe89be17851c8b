/* chip/cpu/measure.c - the machine's limits: best of several loops, all threads at once.
 *
 * Nothing that a step does can beat these while the system leaves the threads where they are, so
 * shares of them are honest: a read loop goes over 1
 * GiB, more than any cache holds, and arithmetic never leaves the registers. Both are timed in
 * windows of milliseconds. A read loop takes the sum of its windows, each the best of some repeats,
 * and arithmetic the best window of all: so other programs on the machine make the limits no lower,
 * and one lucky window no higher.
 *
 * One run of memory gives a thread 18 GB/s on a Zen 4 server, in huge pages and with any distance
 * of prefetching; two to eight side by side give it 34. The cores of one die share its link: two of
 * one die read 37 GB/s, two of different dies 68. On a virtual machine the host chooses and may
 * choose again. bench/workers tells them apart: a barrier takes 30 ns in one die, 170 ns between
 * two.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/math.h"
#include "chip/cpu/cpu.h"

#define READ_BYTES   ((size_t)1 << 30)   /* at least */
#define READ_WINDOWS 64                  /* of all threads together, if there are no more threads */
#define READ_UNIT    4096
#define READ_REPEATS 7
#define OPS_WINDOWS  100
#define OPS_TIME_NS  2000000             /* of one window, about */

struct measuring {
	struct cpu_job job;
	const struct cpu_gauge *gauge;
	uint8_t *memory;
	uint32_t threads;
	uint32_t windows;             /* of one thread in one read loop */
	size_t window_bytes;
	int64_t start_ns;
	int64_t window_ns[READ_WINDOWS];   /* best of each */
	_Atomic uint64_t kept;        /* sums of what was read */
	int64_t rounds;               /* of the arithmetic in one window */
	_Atomic int64_t ops;          /* of one window, all threads */
	struct chip_rates rates;
};

static size_t loop_bytes(const struct measuring *m)
{
	return (size_t)m->threads * m->windows * m->window_bytes;
}

/* Between barriers: the time is that of the slowest worker. */
static void start_clock(struct measuring *m, struct cpu_worker *worker)
{
	cpu_barrier(worker);
	if (worker->index == 0)
		m->start_ns = clock_monotonic_ns();
	cpu_barrier(worker);
}

/* Of the first worker. */
static int64_t stop_clock(const struct measuring *m)
{
	return math_max_i64(clock_monotonic_ns() - m->start_ns, 1);
}

static void keep_best(int64_t amount, int64_t ns, int64_t *best_per_s)
{
	*best_per_s = math_max_i64(*best_per_s, (int64_t)((double)amount / (double)ns * NS_PER_S));
}

/* One way to read; memory is this worker's. */
static void measure_read(struct measuring *m, struct cpu_worker *worker, const uint8_t *memory,
	uint64_t (*read)(const uint8_t *bytes, size_t size))
{
	int64_t total_ns = 0;

	for (uint32_t repeat = 0; repeat < READ_REPEATS; repeat++)
		for (uint32_t i = 0; i < m->windows; i++) {
			start_clock(m, worker);
			m->kept += read(memory + i * m->window_bytes, m->window_bytes);
			cpu_barrier(worker);
			if (worker->index != 0)
				continue;
			const int64_t ns = stop_clock(m);

			m->window_ns[i] = repeat ? math_min_i64(m->window_ns[i], ns) : ns;
		}
	if (worker->index != 0)
		return;
	for (uint32_t i = 0; i < m->windows; i++)
		total_ns += m->window_ns[i];
	keep_best((int64_t)loop_bytes(m), total_ns, &m->rates.read_bytes_per_s);
}

static void measure_reads(struct measuring *m, struct cpu_worker *worker)
{
	const size_t part = m->windows * m->window_bytes;
	uint8_t *memory = m->memory + worker->index * part;

	memset(memory, 1, part);   /* the pages are this worker's */
	for (uint32_t i = 0; i < CPU_READS_MAX; i++)
		if (m->gauge->read[i])
			measure_read(m, worker, memory, m->gauge->read[i]);
}

/* Rounds that take about a window; every worker finds out for itself, the first one decides. */
static void find_rounds(struct measuring *m, const struct cpu_worker *worker,
	int64_t (*loop)(int64_t rounds))
{
	int64_t rounds = 500, elapsed_ns;

	do {
		rounds *= 2;
		elapsed_ns = clock_monotonic_ns();
		(void)loop(rounds);
		elapsed_ns = clock_monotonic_ns() - elapsed_ns;
	} while (elapsed_ns < OPS_TIME_NS);
	if (worker->index == 0)
		m->rounds = rounds;
}

static void measure_ops(struct measuring *m, struct cpu_worker *worker,
	int64_t (*loop)(int64_t rounds), int64_t *best)
{
	if (!loop)
		return;
	find_rounds(m, worker, loop);
	for (uint32_t i = 0; i < OPS_WINDOWS; i++) {
		start_clock(m, worker);
		m->ops += loop(m->rounds);
		cpu_barrier(worker);
		if (worker->index != 0)
			continue;
		keep_best(m->ops, stop_clock(m), best);
		m->ops = 0;   /* the others wait for the next window */
	}
}

static void measure_all(struct cpu_job *job, struct cpu_worker *worker)
{
	struct measuring *m = (struct measuring *)job;

	measure_reads(m, worker);
	measure_ops(m, worker, m->gauge->int8, &m->rates.int8_ops_per_s);
	measure_ops(m, worker, m->gauge->bf16, &m->rates.bf16_ops_per_s);
	measure_ops(m, worker, m->gauge->f32, &m->rates.f32_ops_per_s);
}

enum err cpu_measure(struct chip *chip, struct chip_rates *out, struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	const uint32_t threads = cpu_pool_threads(cpu->pool);
	struct measuring m = {
		.job.run = measure_all,
		.gauge = &cpu->kernels.gauge,
		.threads = threads,
		.windows = threads < READ_WINDOWS ? READ_WINDOWS / threads : 1,
	};
	const size_t shares = (size_t)m.threads * m.windows * READ_UNIT;
	enum err err;

	m.window_bytes = math_divide_up(READ_BYTES, shares) * READ_UNIT;
	assert(loop_bytes(&m) >= READ_BYTES && m.windows <= READ_WINDOWS);
	err = cpu_reserve(cpu, (void **)&m.memory, (int64_t)loop_bytes(&m), "the bandwidth test",
		info);
	if (err)
		return err;
	cpu_pool_run(cpu->pool, &m.job);
	cpu_release(cpu, m.memory, (int64_t)loop_bytes(&m));
	*out = m.rates;
	return ERR_NONE;
}
