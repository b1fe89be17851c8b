/* cloud/core_store.c - what waits for the store: ends of requests, replies to commands (rules.md
 * 18).
 *
 *	given      1 2 3 4 5 6 7 8
 *	durable    ------^              settles and replies up to it go out, in order
 *
 * When a commit fails, no settle that is waiting can count on becoming durable: its request ends
 * with an error and a settle with charge 0 takes its place, before the store is told to try again.
 * Replies wait on: their records stay in the group and become durable with the next commit that
 * works.
 */
#include <assert.h>

#include "cloud/core_internal.h"

void store_progress(struct core *core, const struct core_event *event)
{
	const uint64_t sequence = event->u.store.sequence;

	assert(sequence <= core->record_given);
	if (event->kind == CORE_STORED) {
		assert(sequence >= core->record_durable);
		core->record_durable = sequence;
		core->store_failing = false;
		return;
	}
	core->store_failing = true;
	core->failed_sequence = core->record_given;
	core->retry_due = true;
	core->retry_ns = core->now_ns + core->limits.retry_ns;
	core->stats.commits_failed++;
}

/* ---- replies --------------------------------------------------------------------------------- */

void core_reply_now(const struct core_reply *reply, struct core_actions *actions)
{
	core_action_add(actions, CORE_REPLY)->u.reply = *reply;
}

void core_reply_later(struct core *core, const struct core_reply *reply)
{
	const uint32_t at = (core->reply_first + core->reply_count) % core->limits.replies_max;

	assert(core->reply_count < core->limits.replies_max);
	core->replies[at] = (struct core_waiting_reply){core->record_given, *reply};
	core->reply_count++;
}

static bool reply_work(struct core *core, struct core_actions *actions)
{
	const struct core_waiting_reply *waiting = &core->replies[core->reply_first];

	if (core->reply_count == 0 || waiting->sequence > core->record_durable)
		return false;
	core_reply_now(&waiting->reply, actions);
	core->reply_first = (core->reply_first + 1) % core->limits.replies_max;
	core->reply_count--;
	return true;
}

/* ---- settles --------------------------------------------------------------------------------- */

static bool settled_work(struct core *core, struct core_actions *actions)
{
	const uint32_t handle = core->lists[LINK_SETTLING].first;

	if (handle == CORE_NONE || core->requests[handle].settle_sequence > core->record_durable)
		return false;
	request_end(core, handle, false, actions);
	return true;
}

static bool failed_work(struct core *core, struct core_actions *actions)
{
	const uint32_t handle = core->lists[LINK_SETTLING].first;

	if (handle == CORE_NONE || core->requests[handle].settle_sequence > core->failed_sequence)
		return false;
	money_unsettle(core, handle, actions);
	request_end(core, handle, true, actions);
	return true;
}

static bool retry_work(struct core *core, struct core_actions *actions)
{
	if (!core->retry_due || core->retry_ns > core->now_ns)
		return false;
	core->retry_due = false;
	core_store(core, RECORD_RETRY, actions);
	return true;
}

/* The order matters: all that failed is undone before the store may try again. */
bool store_work(struct core *core, struct core_actions *actions)
{
	return settled_work(core, actions) ||
		(core->store_failing && failed_work(core, actions)) ||
		retry_work(core, actions) || reply_work(core, actions);
}
