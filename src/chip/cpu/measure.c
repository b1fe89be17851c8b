/* chip/cpu/measure.c - the machine's limits: best of several loops, all threads at once.
 *
 * Nothing that a step does can beat these, so shares of them are honest: reads go over more than any
 * cache holds, arithmetic never leaves the registers. The time is cut into windows of milliseconds and the best
 * one counts, so that other programs on the machine make the limits no lower.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "chip/cpu/cpu.h"

#define READ_BYTES   ((int64_t)1 << 30)
#define READ_WINDOW  ((size_t)16 << 20)  /* bytes of one thread in one window */
#define READ_UNIT    4096
#define READ_REPEATS 3
#define OPS_WINDOWS  100
#define OPS_TIME_NS  2000000             /* of one window, about */
#define NS_PER_S     1000000000

struct measuring {
	struct cpu_job job;
	const struct cpu_gauge *gauge;
	uint8_t *memory;
	uint32_t threads;
	int64_t start_ns;
	_Atomic uint64_t kept;        /* sums of what was read */
	int64_t rounds;               /* of the arithmetic in one window */
	_Atomic int64_t ops;          /* of one window, all threads */
	struct chip_rates rates;
};

/* This worker's part of the memory. */
static uint8_t *part_of(const struct measuring *m, const struct cpu_worker *worker, size_t *size)
{
	const size_t part = (size_t)(READ_BYTES / m->threads) / READ_UNIT * READ_UNIT;

	*size = part;
	return m->memory + worker->index * part;
}

/* Between barriers: the time is that of the slowest worker. */
static void start_clock(struct measuring *m, struct cpu_worker *worker)
{
	cpu_barrier(worker);
	if (worker->index == 0)
		m->start_ns = clock_monotonic_ns();
	cpu_barrier(worker);
}

static void stop_clock(struct measuring *m, const struct cpu_worker *worker, int64_t amount, int64_t *best)
{
	if (worker->index != 0)
		return;
	const int64_t elapsed_ns = clock_monotonic_ns() - m->start_ns;
	const double per_s = (double)amount / (double)(elapsed_ns > 0 ? elapsed_ns : 1) * NS_PER_S;

	if ((int64_t)per_s > *best)
		*best = (int64_t)per_s;
}

static void measure_reads(struct measuring *m, struct cpu_worker *worker)
{
	size_t size;
	uint8_t *part = part_of(m, worker, &size);

	memset(part, 1, size);   /* the pages are this worker's */
	for (uint32_t pass = 0; pass < CPU_READS_MAX * READ_REPEATS; pass++) {
		uint64_t (*read)(const uint8_t *bytes, size_t size) = m->gauge->read[pass % CPU_READS_MAX];
		const size_t window = size < READ_WINDOW ? size : READ_WINDOW;

		for (size_t at = 0; read && at + window <= size; at += window) {
			start_clock(m, worker);
			m->kept += read(part + at, window);
			cpu_barrier(worker);
			stop_clock(m, worker, (int64_t)window * m->threads, &m->rates.read_bytes_per_s);
		}
	}
}

/* Rounds that take about a window; every worker finds out for itself, the first one decides. */
static void find_rounds(struct measuring *m, const struct cpu_worker *worker, int64_t (*loop)(int64_t rounds))
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

static void measure_ops(struct measuring *m, struct cpu_worker *worker, int64_t (*loop)(int64_t rounds),
	int64_t *best)
{
	if (!loop)
		return;
	find_rounds(m, worker, loop);
	for (uint32_t i = 0; i < OPS_WINDOWS; i++) {
		start_clock(m, worker);
		m->ops += loop(m->rounds);
		cpu_barrier(worker);
		stop_clock(m, worker, m->ops, best);
		cpu_barrier(worker);
		if (worker->index == 0)
			m->ops = 0;
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
	struct measuring m = {
		.job.run = measure_all,
		.gauge = &cpu->kernels.gauge,
		.threads = cpu_pool_threads(cpu->pool),
	};
	const enum err err = cpu_reserve(cpu, (void **)&m.memory, READ_BYTES, "the bandwidth test", info);

	if (err)
		return err;
	cpu_pool_run(cpu->pool, &m.job);
	cpu_release(cpu, m.memory, READ_BYTES);
	*out = m.rates;
	return ERR_NONE;
}
