/* base/thread.h - threads by name, and the cores they may use. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct thread;

/* Starts run(argument) in a thread called name (at most 15 bytes), in which all signals are blocked
 * but those that its own instructions raise. */
enum err thread_start(struct thread **out, const char *name, void (*run)(void *argument),
	void *argument, struct err_info *info) MUST_CHECK;
/* Waits for its end and frees it; NULL is legal. */
void thread_join(struct thread *t);

/* Pins the calling thread to the index-th core of those the process may use; false if refused. */
bool thread_pin_self(uint32_t core_index);

/* Cores in the affinity mask of the process, at least 1. */
uint32_t thread_cores_allowed(void);
/* Threads worth starting: the allowed cores, or the cgroup quota (v1 and v2) rounded up. */
uint32_t thread_cores_available(void);
/* Cores that are ours all the time: the quota rounded down, which may be 0. */
uint32_t thread_cores_whole(void);

#endif
