/* base/thread.c - see thread.h. */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/math.h"
#include "base/mem.h"

#define NAME_BYTES 16
#define CORE_SETS  8  /* of 1,024 cores each */
#define CORES_MAX  ((size_t)CORE_SETS * CPU_SETSIZE)

struct thread {
	pthread_t id;
	char name[NAME_BYTES];
	void (*run)(void *argument);
	void *argument;
};

/* The cores the process was given, as of the first question: later each thread may have
 * narrowed its own. */
static cpu_set_t process_cores[CORE_SETS];
static pthread_once_t process_cores_once = PTHREAD_ONCE_INIT;

static void read_process_cores(void)
{
	if (sched_getaffinity(0, sizeof(process_cores), process_cores))
		memset(process_cores, 0, sizeof(process_cores));
}

static void *thread_main(void *argument)
{
	struct thread *t = argument;

	/* for ps and debuggers; nothing depends on it */
	(void)pthread_setname_np(pthread_self(), t->name);
	t->run(t->argument);
	return NULL;
}

/* All but those that a thread's own instruction raises: blocked, they would end the process where
 * file_map_guard has a line to say. */
static void signals_of_others(sigset_t *out)
{
	static const int own[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};

	sigfillset(out);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(out, own[i]);
}

enum err thread_start(struct thread **out, const char *name, void (*run)(void *argument),
	void *argument, struct err_info *info)
{
	sigset_t others;
	sigset_t before;

	*out = NULL;
	assert(strlen(name) < NAME_BYTES);
	pthread_once(&process_cores_once, read_process_cores);
	struct thread *t = mem_alloc(1, sizeof(*t));
	if (!t)
		return err_set(info, ERR_MEMORY, "thread %s: out of memory", name);
	memcpy(t->name, name, strlen(name) + 1);
	t->run = run;
	t->argument = argument;
	signals_of_others(&others);
	pthread_sigmask(SIG_SETMASK, &others, &before);  /* inherited by the new thread */
	const int failed = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed) {
		mem_free(t);
		errno = failed;
		return err_set_errno(info, "thread %s", name);
	}
	*out = t;
	return ERR_NONE;
}

void thread_join(struct thread *t)
{
	if (!t)
		return;
	const int failed = pthread_join(t->id, NULL);
	assert(!failed);
	mem_free(t);
}

bool thread_pin_self(uint32_t core_index)
{
	cpu_set_t one[CORE_SETS];
	uint32_t seen = 0;

	pthread_once(&process_cores_once, read_process_cores);
	for (size_t core = 0; core < CORES_MAX; core++) {
		if (!CPU_ISSET_S(core, sizeof(process_cores), process_cores) || seen++ < core_index)
			continue;
		CPU_ZERO_S(sizeof(one), one);
		CPU_SET_S(core, sizeof(one), one);
		return sched_setaffinity(0, sizeof(one), one) == 0;
	}
	return false;
}

uint32_t thread_cores_allowed(void)
{
	pthread_once(&process_cores_once, read_process_cores);
	const int cores = CPU_COUNT_S(sizeof(process_cores), process_cores);

	return cores > 0 ? (uint32_t)cores : 1;
}

/* The quota in cores after adding some thousandths, and no more than are allowed. */
static uint32_t cores_of_quota(int64_t more_millicores)
{
	const int64_t allowed = thread_cores_allowed();
	const int64_t quota = cgroup_cpu_quota_millicores("");

	return (uint32_t)(quota > 0 ? math_min_i64(allowed, (quota + more_millicores) / 1000)
		: allowed);
}

/* Two threads on a core and a half were 1.33 times as fast as one (lists of 0.2 ms of work, a
 * quota of 150 ms in 100 ms), on 1.2 cores 1.08 times. */
uint32_t thread_cores_available(void)
{
	return cores_of_quota(999);
}

uint32_t thread_cores_whole(void)
{
	return cores_of_quota(0);
}
