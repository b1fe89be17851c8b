/* server/core_local.h - a core and its store in one thread: how both start, and how verbs work
 * when no server runs.
 *
 *	core_local_open      core in memory, rows from the store into it, READY
 *	core_local_step      an event, its records made durable, its reply
 *
 * The server starts the same way and then gives the core to one thread and the store to another.
 */
#ifndef SERVER_CORE_LOCAL_H
#define SERVER_CORE_LOCAL_H

#include "cloud/core.h"
#include "cloud/store.h"

/* What the journal has to do with it: it knows how many tokens a request had that a crash cut off,
 * and it hears every event before the core does. */
struct core_local_hooks {
	void *context;
	int64_t (*tokens)(void *context, const struct record_request *request);
	void (*event)(void *context, const struct core_event *event);
};

struct core_local {
	struct core *core;
	void *memory;
	struct store *store;        /* the caller's */
	struct core_actions actions;
	struct core_reply reply;    /* of the last step that had one */
	uint64_t appended;          /* sequence of the newest record */
	uint64_t durable;
	const struct core_local_hooks *hooks;   /* may be NULL */
	uint64_t actions_hash;      /* of all actions, for replay */
	struct core_event *cut_off; /* while it boots: rows that make records, which cannot be
				     * written while rows are read */
	uint32_t cut_off_count;
	bool no_memory;
};


/* Boots core from store. hooks, and each function in it, may be NULL. ERR_INPUT when the rows
 * contradict each other. */
enum err core_local_open(struct core_local *l, const struct core_limits *limits,
	struct store *store, const struct core_local_hooks *hooks,
	struct err_info *info) MUST_CHECK;
/* Frees the core; the store stays the caller's. */
void core_local_close(struct core_local *l);

/* Fills in the times, steps, makes every record durable. l->reply is the answer. */
enum err core_local_step(struct core_local *l, struct core_event *event,
	struct err_info *info) MUST_CHECK;

#endif
