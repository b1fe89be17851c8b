/* cloud/store_group.h - the records that a store was given and that are not durable yet.
 *
 * Both stores keep their promises 1, 3 and 4 (store.h) with it.
 *
 *	durable | r r x r r r |      x was replaced: never written, its sequence counts as durable
 *	         ^begin      ^end
 */
#ifndef CLOUD_STORE_GROUP_H
#define CLOUD_STORE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/record.h"

struct store_group {
	struct record *records;     /* [capacity], a ring by sequence */
	bool *replaced;             /* [capacity] */
	uint32_t capacity;          /* records_max of the core; a RETRY takes no place */
	uint64_t begin;             /* sequence of the oldest that is not durable */
	uint64_t end;               /* one past the newest */
	bool halted;                /* a commit failed and no RETRY has come */
};

enum err store_group_open(struct store_group *g, uint32_t records_max, struct err_info *info)
	MUST_CHECK;
void store_group_close(struct store_group *g);

/* Takes a record: the next sequence, or a RETRY. */
void store_group_append(struct store_group *g, const struct record *record);
/* Whether a commit has something to do now. */
bool store_group_ready(const struct store_group *g);
/* The record of a sequence in begin .. end - 1, or NULL if it was replaced. */
const struct record *store_group_at(const struct store_group *g, uint64_t sequence);
/* All of it is durable; gives the last sequence. */
uint64_t store_group_committed(struct store_group *g);
/* Nothing of it is durable. */
void store_group_failed(struct store_group *g);

#endif
