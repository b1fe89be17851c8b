/* engine/scheduler_check.c - what must hold of the scheduler between two calls; for tests and
 * the fleet. */
#include "engine/scheduler_internal.h"

static const char *check_sequence(const struct scheduler *s, const struct sequence *q)
{
	const bool owns = q->state == SEQUENCE_RUNNING || q->state == SEQUENCE_LEAVING ||
		q->state == SEQUENCE_ENDING;

	if (q->state == SEQUENCE_FREE)
		return NULL;
	if (owns != (q->slot != SEQUENCE_NONE))
		return "a sequence that does not run has a slot, or one that runs has none";
	if ((owns && s->limits.states > 0) != (q->state_slot != SEQUENCE_NONE))
		return "a sequence that does not run has a state, or one that runs has none";
	if (!owns && (q->page_count > 0 || q->batches > 0))
		return "a sequence that does not run has pages or is named by a batch";
	if ((q->state == SEQUENCE_WAITING && q->paused) ||
		(q->state == SEQUENCE_PARKED && !q->paused))
		return "a paused sequence waits, or one that is not is parked";
	if (q->batches > s->batch_count)
		return "a sequence is named by more batches than are in flight";
	if (q->answer_tokens > q->answer_planned && q->state != SEQUENCE_ENDING &&
		q->state != SEQUENCE_OVER)
		return "a sequence has more tokens than were planned";
	if (q->answer_planned > q->answer_tokens_allowed)
		return "a sequence was planned beyond what it is allowed";
	return NULL;
}

/* Every page is free or in exactly one sequence's table. */
static const char *check_pages(const struct scheduler *s)
{
	uint32_t owned = 0;
	uint32_t in_tables = 0;

	for (uint32_t page = 0; page < s->limits.pages; page++)
		owned += s->page_owner[page] != SEQUENCE_NONE;
	for (uint32_t h = s->running.first; h != SEQUENCE_NONE; h = s->sequences[h].next) {
		const struct sequence *q = &s->sequences[h];
		const uint32_t *pages = s->slot_page + (size_t)q->slot * s->slot_pages;

		in_tables += q->page_count;
		for (uint32_t i = 0; i < q->page_count; i++)
			if (s->page_owner[pages[i]] != h)
				return "a page in a sequence's table is not its own";
	}
	if (owned != in_tables || owned + s->pages.count != s->limits.pages)
		return "pages are lost or counted twice";
	return NULL;
}

/* Of a batch in flight, every page belongs to the request that it is named for. */
static const char *check_batch(const struct scheduler *s, const struct batch *b)
{
	for (uint32_t i = 0; i < b->item_count; i++) {
		const struct batch_item *item = &b->items[i];
		const struct sequence *q = &s->sequences[item->request];

		if (q->batches == 0 || q->slot != item->slot)
			return "a batch in flight names a sequence that has left";
		for (uint32_t p = 0; p < item->page_count; p++)
			if (s->page_owner[b->pages[item->first_page + p]] != item->request)
				return "a batch in flight names a page of another";
	}
	return NULL;
}

static const char *check_list(const struct scheduler *s, const struct sequence_list *list,
	bool waiting, uint32_t *leaving)
{
	uint32_t count = 0;
	uint32_t previous = SEQUENCE_NONE;

	for (uint32_t h = list->first; h != SEQUENCE_NONE; h = s->sequences[h].next) {
		const struct sequence *q = &s->sequences[h];

		if (q->previous != previous || count++ > s->requests_max)
			return "a list of sequences is broken";
		if (previous != SEQUENCE_NONE && s->sequences[previous].order >= q->order)
			return "a list of sequences is out of order";
		if (waiting != (q->state == SEQUENCE_WAITING))
			return "a sequence is in the wrong list";
		*leaving += q->state == SEQUENCE_LEAVING;
		previous = h;
	}
	return count == list->count && previous == list->last ? NULL
							      : "a list of sequences lost its end";
}

const char *scheduler_check(const struct scheduler *s)
{
	const char *text;
	uint32_t leaving = 0;
	uint32_t parked = 0;

	for (uint32_t h = 0; h < s->requests_max; h++) {
		if ((text = check_sequence(s, &s->sequences[h])))
			return text;
		parked += s->sequences[h].state == SEQUENCE_PARKED;
	}
	if ((text = check_list(s, &s->waiting, true, &leaving)) ||
		(text = check_list(s, &s->running, false, &leaving)) || (text = check_pages(s)))
		return text;
	for (uint32_t i = 0; i < s->batch_count; i++)
		if ((text = check_batch(s,
			     &s->batches[(s->batch_first + i) % EXECUTOR_BATCHES_MAX])))
			return text;
	if (s->running.count + s->slots.count != s->limits.slots)
		return "slots are lost or counted twice";
	if (s->limits.states > 0 && s->running.count + s->states.count != s->limits.states)
		return "states are lost or counted twice";
	if (parked != s->parked_count)
		return "parked sequences are miscounted";
	return leaving == s->leaving_count ? NULL : "preempted sequences are miscounted";
}
