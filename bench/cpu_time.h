/* bench/cpu_time.h - processor time, so that a busy machine does not count. */
#ifndef BENCH_CPU_TIME_H
#define BENCH_CPU_TIME_H

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/units.h"

/* CLOCK_THREAD_CPUTIME_ID, or one of clock_getcpuclockid. */
static inline int64_t cpu_time_ns(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Of all threads of this process. CLOCK_PROCESS_CPUTIME_ID counts one that runs on another core up
 * to its last tick only, milliseconds ago; the clock of a thread is exact. Its number is made as
 * the kernel has it (include/linux/posix-timers_types.h): ~tid, 4 for a thread, 2 for the time that
 * the scheduler counts. */
static inline int64_t cpu_time_threads_ns(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int64_t sum_ns = 0;

	if (!tasks)
		abort();
	for (struct dirent *task; (task = readdir(tasks));) {
		const uint32_t tid = (uint32_t)strtoul(task->d_name, NULL, 10);

		if (tid)
			sum_ns += cpu_time_ns((clockid_t)(~tid << 3 | 4 | 2));
	}
	(void)closedir(tasks);
	return sum_ns;
}

#endif
