/* engine/scheduler_plan.c - the next batch: admission, chunks of prompts, growth, preemption.
 *
 * Three passes over at most a batch's worth of sequences, each from the oldest to the youngest:
 * those that decode, those whose prompt is not done, those that wait. Bounded by slots and pages,
 * so that planning stays far below a millisecond.
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "engine/plant.h"
#include "engine/scheduler_internal.h"

static uint32_t pages_for(const struct scheduler *s, uint32_t tokens)
{
	return s->limits.pages == 0 ? 0 : chip_pages(tokens);
}

/* Rows that could run now. One: it decodes, or its prompt is nearly done. */
static uint32_t rows_left(const struct sequence *q)
{
	return q->prompt_tokens + q->answer_planned - q->rows_planned;
}

static bool may_run(const struct sequence *q)
{
	return q->state == SEQUENCE_RUNNING && !q->paused &&
		q->answer_planned < q->answer_tokens_allowed;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void pages_take(struct scheduler *s, uint32_t handle, uint32_t count)
{
	struct sequence *q = &s->sequences[handle];
	uint32_t *pages = s->slot_page + (size_t)q->slot * s->slot_pages;

	assert(count <= s->pages.count && q->page_count + count <= s->slot_pages);
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t page = s->pages.numbers[--s->pages.count];

		assert(s->page_owner[page] == SEQUENCE_NONE);
		s->page_owner[page] = handle;
		pages[q->page_count++] = page;
	}
}

/* The youngest paused one: it keeps what it has only while nobody needs it. */
static uint32_t paused_victim(const struct scheduler *s)
{
	for (uint32_t h = s->running.last; h != SEQUENCE_NONE; h = s->sequences[h].previous)
		if (s->sequences[h].state == SEQUENCE_RUNNING && s->sequences[h].paused &&
			!PLANTED(PLANT_PAUSED_HOLDS))
			return h;
	return SEQUENCE_NONE;
}

/* Who gives its pages to q: one that is paused, else the youngest if it is younger than q. */
static uint32_t victim_for(const struct scheduler *s, const struct sequence *q)
{
	const uint32_t paused = paused_victim(s);

	if (paused != SEQUENCE_NONE)
		return paused;
	for (uint32_t h = s->running.last; h != SEQUENCE_NONE; h = s->sequences[h].previous) {
		const struct sequence *v = &s->sequences[h];

		if (v->order <= q->order)
			break;
		if (v->state == SEQUENCE_RUNNING)
			return h;
	}
	return SEQUENCE_NONE;
}

static void preempt(struct scheduler *s, uint32_t handle)
{
	struct sequence *v = &s->sequences[handle];

	if (v->batches == 0) {
		sequence_requeue(s, handle);
		return;
	}
	v->state = SEQUENCE_LEAVING;
	s->leaving_count++;
}

/* One more page if the next row needs it; false: not now. Whoever is preempted for it gives its
 * pages back when its last batch is back, so it waits for that rather than preempt another. */
static bool page_grow(struct scheduler *s, uint32_t handle)
{
	const struct sequence *q = &s->sequences[handle];

	if (pages_for(s, q->rows_planned + 1) <= q->page_count)
		return true;
	while (s->pages.count == 0) {
		const uint32_t victim = victim_for(s, q);

		if (s->leaving_count > 0 || victim == SEQUENCE_NONE)
			return false;
		preempt(s, victim);
	}
	pages_take(s, handle, 1);
	return true;
}

/* ---- one item -------------------------------------------------------------------------------- */

static bool batch_has_room(const struct scheduler *s, const struct batch *b, uint32_t pages)
{
	return b->item_count < BATCH_ITEMS_MAX && b->row_count < s->limits.rows_max &&
		b->page_count + pages <= BATCH_PAGES_MAX;
}

/* Adds the next row_count rows of a running sequence whose pages are there. */
static void item_add(struct scheduler *s, struct batch *b, uint32_t handle, uint32_t row_count)
{
	struct sequence *q = &s->sequences[handle];
	const uint32_t page_count = pages_for(s, q->rows_planned + row_count);
	struct batch_item *item = &b->items[b->item_count++];

	assert(row_count > 0 && row_count <= rows_left(q) && page_count <= q->page_count);
	*item = (struct batch_item){
		.request = handle,
		.slot = q->slot,
		.first_token = q->rows_planned,
		.row_count = row_count,
		.open = !q->opened,
		.sample = row_count == rows_left(q),
		.first_page = b->page_count,
		.page_count = page_count,
		.state_read = q->opened ? q->state_slot : BATCH_NONE,
		.state_write = q->state_slot,
	};
	memcpy(b->pages + b->page_count, s->slot_page + (size_t)q->slot * s->slot_pages,
		page_count * sizeof(uint32_t));
	b->page_count += page_count;
	b->row_count += row_count;
	q->opened = true;
	q->rows_planned += row_count;
	q->answer_planned += item->sample;
	q->batches++;
	assert(q->answer_planned <= q->answer_tokens_allowed);
}

static void plan_decodes(struct scheduler *s, struct batch *b)
{
	uint32_t next;

	for (uint32_t h = s->running.first; h != SEQUENCE_NONE; h = next) {
		const struct sequence *q = &s->sequences[h];

		if (!batch_has_room(s, b, q->page_count + 1))
			return;
		if (may_run(q) && rows_left(q) == 1 && page_grow(s, h))
			item_add(s, b, h, 1);
		next = s->sequences[h].next;    /* whoever was preempted, it was not this one */
	}
}

static void plan_chunk(struct scheduler *s, struct batch *b, uint32_t handle)
{
	const struct sequence *q = &s->sequences[handle];

	item_add(s, b, handle, math_min_u32(rows_left(q), s->limits.rows_max - b->row_count));
}

static void plan_prompts(struct scheduler *s, struct batch *b)
{
	for (uint32_t h = s->running.first; h != SEQUENCE_NONE; h = s->sequences[h].next) {
		const struct sequence *q = &s->sequences[h];

		if (!batch_has_room(s, b, q->page_count))
			return;
		if (may_run(q) && rows_left(q) > 1)
			plan_chunk(s, b, h);
	}
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Whether a slot, a state and pages for all its tokens so far are there. */
static bool fits(const struct scheduler *s, const struct sequence *q)
{
	return s->slots.count > 0 && (s->limits.states == 0 || s->states.count > 0) &&
		pages_for(s, q->prompt_tokens + q->answer_tokens) <= s->pages.count;
}

/* Makes room for q by preempting paused ones; false: not enough, or not before their
 * batches are back. */
static bool room_make(struct scheduler *s, const struct sequence *q)
{
	while (!fits(s, q)) {
		const uint32_t victim = paused_victim(s);

		if (s->leaving_count > 0 || victim == SEQUENCE_NONE)
			return false;
		preempt(s, victim);
	}
	return true;
}

static void admit(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];

	assert(q->state == SEQUENCE_WAITING && q->rows_planned == 0 && q->page_count == 0);
	sequence_list_remove(s, &s->waiting, handle);
	q->state = SEQUENCE_RUNNING;
	q->slot = s->slots.numbers[--s->slots.count];
	q->state_slot = s->limits.states == 0 ? SEQUENCE_NONE
					      : s->states.numbers[--s->states.count];
	pages_take(s, handle, pages_for(s, q->prompt_tokens + q->answer_tokens));
	sequence_list_add(s, &s->running, handle);
}

/* First come, first served: the first that does not fit stops the rest. One that could not run
 * anyway (preempted, and now waiting for money) is passed over, or it would hold up all others. */
static void plan_admissions(struct scheduler *s, struct batch *b)
{
	uint32_t next;

	for (uint32_t h = s->waiting.first; h != SEQUENCE_NONE; h = next) {
		const struct sequence *q = &s->sequences[h];

		next = q->next;
		if (q->answer_planned >= q->answer_tokens_allowed)
			continue;
		if (!batch_has_room(s, b, pages_for(s, q->prompt_tokens + q->answer_tokens)) ||
			!room_make(s, q))
			return;
		admit(s, h);
		plan_chunk(s, b, h);
	}
}

struct batch *scheduler_plan(struct scheduler *s)
{
	if (s->batch_count == EXECUTOR_BATCHES_MAX || s->limits.slots == 0)
		return NULL;
	struct batch *b = &s->batches[(s->batch_first + s->batch_count) % EXECUTOR_BATCHES_MAX];

	b->item_count = 0;
	b->row_count = 0;
	b->page_count = 0;
	plan_decodes(s, b);
	plan_prompts(s, b);
	plan_admissions(s, b);
	if (b->item_count == 0)
		return NULL;
	assert(b->row_count <= s->limits.rows_max);
	b->id = s->batch_id_next++;
	b->model = s->model;
	b->failed = false;
	s->batch_count++;
	return b;
}
