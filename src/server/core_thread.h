/* server/core_thread.h - the thread that owns all pure state and does nothing but core_step.
 *
 * It takes events from the front's ring, the executors and the store thread, writes each into
 * the journal, steps, and passes the actions on. When a ring that it must be able to push to
 * has too little room, it leaves events where they are: the way out never says no
 * (architecture.md, Threads).
 */
#ifndef SERVER_CORE_THREAD_H
#define SERVER_CORE_THREAD_H

#include "base/thread.h"
#include "cloud/core.h"
#include "engine/executor.h"
#include "server/server.h"
#include "server/wires.h"

struct core_thread;

struct core_thread_config {
	struct core *core;          /* booted; the thread's until it is joined */
	uint32_t requests_max;
	struct wires *wires;
	struct executor *executors[SERVER_MODELS_MAX];     /* by index of the model; the
							    * caller closes them */
	bool simulated[SERVER_MODELS_MAX];                 /* driven by this thread's clock */
	uint32_t model_count;
	uint64_t actions_hash;      /* of the actions so far */
};

enum err core_thread_start(struct core_thread **out, const struct core_thread_config *config,
	struct err_info *info)
	MUST_CHECK;
/* After wires->core_stop is set: waits for its end, frees; gives the hash of all actions
 * (core_actions_hash). NULL is legal. */
uint64_t core_thread_join(struct core_thread *t);

#endif
