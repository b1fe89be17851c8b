/* engine/scheduler_internal.h - the scheduler's state, shared by its files and nobody else.
 *
 *	scheduler.c         life of a sequence: submit, stop, done, what is told
 *	scheduler_plan.c    the next batch: admission, chunks, growth, preemption
 *	scheduler_check.c   the invariants
 */
#ifndef ENGINE_SCHEDULER_INTERNAL_H
#define ENGINE_SCHEDULER_INTERNAL_H

#include "chip/chip.h"
#include "engine/scheduler.h"

#define SEQUENCE_NONE UINT32_MAX

/* Life of a sequence; it owns a slot, a state and pages in the states marked *, and those are
 * given back when it leaves them, which it does only while no batch names it.
 *
 *   state      from               to                  in list
 *   FREE       OVER               WAITING             -
 *   WAITING    FREE RUNNING       RUNNING PARKED      waiting     not paused
 *              LEAVING PARKED     OVER
 *   PARKED     WAITING RUNNING    WAITING OVER        -           paused, owns nothing
 *              LEAVING
 *   RUNNING*   WAITING            WAITING PARKED      running     paused: as long as nobody waits
 *                                 LEAVING ENDING
 *   LEAVING*   RUNNING            WAITING PARKED      running     preempted, batches run still
 *                                 ENDING
 *   ENDING*    RUNNING LEAVING    OVER                running     ended, batches run still
 *   OVER       WAITING PARKED     FREE                -           END is not told yet
 *              ENDING
 */
enum sequence_state {
	SEQUENCE_FREE,
	SEQUENCE_WAITING,
	SEQUENCE_PARKED,
	SEQUENCE_RUNNING,
	SEQUENCE_LEAVING,
	SEQUENCE_ENDING,
	SEQUENCE_OVER,
};

/*	tokens  | prompt            | answer_tokens | planned, not known |
 *	rows    |<-- rows_planned -->| the rest is planned next
 */
struct sequence {
	enum sequence_state state;
	enum pool_end end;              /* from ENDING on */
	bool paused;
	bool opened;                    /* the executor's slot knows it: since the last admission */
	bool changed;                   /* in the list of what is to be told */
	uint32_t batches;               /* in flight that name it */
	uint32_t prompt_tokens;
	uint32_t answer_tokens_max;
	uint32_t answer_tokens_allowed;
	uint32_t answer_tokens;         /* known to be sampled */
	uint32_t answer_planned;        /* the most it can be when the batches in flight are back */
	uint32_t answer_told;
	uint32_t rows_planned;          /* since the last admission */
	uint32_t slot;
	uint32_t state_slot;            /* SEQUENCE_NONE: the model has none */
	uint32_t page_count;
	uint64_t order;                 /* of submission */
	uint32_t previous;              /* in waiting or running */
	uint32_t next;
	uint32_t changed_next;
};

struct sequence_list {
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

/* Numbers that are free, as a stack. */
struct free_stack {
	uint32_t *numbers;
	uint32_t count;
};

struct scheduler {
	uint32_t requests_max;
	struct executor_limits most;    /* what the memory below is for */
	struct executor_limits limits;  /* what the model has */
	uint32_t model;
	uint32_t slot_pages;            /* pages one slot can have */

	struct sequence *sequences;     /* [requests_max] by handle */
	uint32_t *slot_page;            /* [slots, slot_pages] */
	uint32_t *page_owner;           /* [pages] handle, or SEQUENCE_NONE */
	struct free_stack pages;
	struct free_stack slots;
	struct free_stack states;

	struct sequence_list waiting;   /* by order, both */
	struct sequence_list running;
	uint32_t changed_first;
	uint32_t changed_last;
	uint32_t leaving_count;         /* of running: will give their pages back */
	uint32_t parked_count;

	struct batch *batches;          /* [EXECUTOR_BATCHES_MAX], a ring */
	uint32_t batch_first;           /* oldest in flight */
	uint32_t batch_count;           /* in flight */
	uint64_t batch_id_next;
	uint64_t order_next;
	struct pool_stats stats;
};

/* Adds by order; what is already there is mostly older. */
void sequence_list_add(struct scheduler *s, struct sequence_list *list, uint32_t handle);
void sequence_list_remove(struct scheduler *s, struct sequence_list *list, uint32_t handle);
/* RUNNING or LEAVING to WAITING, or PARKED if it is paused: computed again later. */
void sequence_requeue(struct scheduler *s, uint32_t handle);

#endif
