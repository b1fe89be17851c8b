/* engine/scheduler.h - which rows of which sequences run next on one model: continuous batching.
 *
 * Pure state: no clock, no heap. Each step mixes one row of every sequence that decodes with
 * chunks of prompts, under the executor's budget of rows. First come, first served; decoding goes
 * first.
 *
 *	waiting (by order)      running (by order)          batches in flight, oldest first
 *	[7] [9] [12]      -->   [2] [5] [6]           -->   [2 5 6] [2 5 6]
 *	                  <--   preempted: recomputed
 *	[4] [8] parked    <--   preempted while paused; back to waiting, by order, when it may run
 *
 * A sequence enters with a slot, a state and pages for all its tokens so far; then a page at a
 * time as it grows. When pages run out, the youngest gives all of its own back and is computed
 * again later.
 *
 * One that is paused (its client takes nothing) keeps what it has only while nobody else could use
 * it: it is preempted, the youngest first, before anyone who may run waits for a slot, a state or
 * pages. So whoever does not read holds up nobody.
 *
 * A batch is planned while the one before it still runs, so it counts on the most that can happen:
 * that every sampled row gives a token. If a sequence turns out to have ended, the executor drops
 * its rows. Pages, slots and states are used again only after the last batch that names them.
 */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/pool.h"

struct scheduler;

size_t scheduler_bytes(uint32_t requests_max, const struct executor_limits *most);
/* memory: scheduler_bytes, zeroed, aligned for any type. */
struct scheduler *scheduler_init(void *memory, uint32_t requests_max,
	const struct executor_limits *most);
/* The limits that hold from now on, each at most what scheduler_init was told; once, before use. */
void scheduler_load(struct scheduler *s, uint32_t model, const struct executor_limits *limits);
/* Tokens of one sequence: what the model can, and what fits into all pages. */
uint32_t scheduler_context_max(const struct scheduler *s);

/* The verbs of pool.h. */
void scheduler_submit(struct scheduler *s, const struct pool_request *request);
void scheduler_allow(struct scheduler *s, uint32_t handle, uint32_t answer_tokens);
void scheduler_pause(struct scheduler *s, uint32_t handle, bool paused);
void scheduler_stop(struct scheduler *s, uint32_t handle, enum pool_end end);

/* The next batch, to be given to the executor, or NULL: nothing can run, or enough is in flight. */
struct batch *scheduler_plan(struct scheduler *s);
/* It comes back; batches end in the order they were planned. */
void scheduler_done(struct scheduler *s, struct batch *batch);
/* Takes the next OUTPUT or END, oldest change first; false: none. */
bool scheduler_next(struct scheduler *s, struct pool_event *event);

void scheduler_stats(const struct scheduler *s, struct pool_stats *stats);
/* Pages, slots and states conserved; lists and counts agree; the first contradiction or NULL. */
const char *scheduler_check(const struct scheduler *s);

#endif
