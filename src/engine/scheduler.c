/* engine/scheduler.c - the life of a sequence: submitted, run, ended, told; see scheduler.h.
 *
 * Everything that changes the state of a sequence or gives its resources back is here; which rows
 * run next is in scheduler_plan.c.
 */
#include <assert.h>

#include "base/carve.h"
#include "engine/plant.h"
#include "engine/scheduler_internal.h"

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t lay_out(struct scheduler *s, void *memory, uint32_t requests_max,
	const struct executor_limits *most)
{
	struct carve c = {.base = memory};
	struct scheduler unused;

	carve_take(&c, 1, sizeof(*s));
	if (!memory)
		s = &unused;
	s->slot_pages = chip_pages(most->context_max);
	s->sequences = carve_take(&c, requests_max, sizeof(struct sequence));
	s->slot_page = carve_take(&c, (size_t)most->slots * s->slot_pages, sizeof(uint32_t));
	s->page_owner = carve_take(&c, most->pages, sizeof(uint32_t));
	s->pages.numbers = carve_take(&c, most->pages, sizeof(uint32_t));
	s->slots.numbers = carve_take(&c, most->slots, sizeof(uint32_t));
	s->states.numbers = carve_take(&c, most->states, sizeof(uint32_t));
	s->batches = carve_take(&c, EXECUTOR_BATCHES_MAX, sizeof(struct batch));
	return c.used;
}

size_t scheduler_bytes(uint32_t requests_max, const struct executor_limits *most)
{
	return lay_out(NULL, NULL, requests_max, most);
}

static void list_init(struct sequence_list *list)
{
	list->first = SEQUENCE_NONE;
	list->last = SEQUENCE_NONE;
	list->count = 0;
}

struct scheduler *scheduler_init(void *memory, uint32_t requests_max,
	const struct executor_limits *most)
{
	struct scheduler *s = memory;

	assert(requests_max > 0 && most->slots > 0);
	lay_out(s, memory, requests_max, most);
	s->requests_max = requests_max;
	s->most = *most;
	list_init(&s->waiting);
	list_init(&s->running);
	s->changed_first = SEQUENCE_NONE;
	s->changed_last = SEQUENCE_NONE;
	s->batch_id_next = 1;
	return s;
}

/* The lowest number is taken first: a stack filled from the top. */
static void stack_fill(struct free_stack *stack, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		stack->numbers[i] = count - 1 - i;
	stack->count = count;
}

void scheduler_load(struct scheduler *s, uint32_t model, const struct executor_limits *limits)
{
	assert(s->limits.slots == 0 && limits->slots > 0 && limits->slots <= s->most.slots);
	assert(limits->pages <= s->most.pages && limits->states <= s->most.states);
	assert(limits->context_max > 0 && limits->context_max <= s->most.context_max);
	assert(limits->rows_max > 0);
	s->model = model;
	s->limits = *limits;
	if (s->limits.slots > BATCH_ITEMS_MAX)
		s->limits.slots = BATCH_ITEMS_MAX;  /* then every one that runs fits into a batch */
	stack_fill(&s->pages, limits->pages);
	stack_fill(&s->slots, s->limits.slots);
	stack_fill(&s->states, limits->states);
	for (uint32_t i = 0; i < limits->pages; i++)
		s->page_owner[i] = SEQUENCE_NONE;
}

uint32_t scheduler_context_max(const struct scheduler *s)
{
	const uint64_t fits = (uint64_t)s->limits.pages * CHIP_PAGE_TOKENS;

	if (s->limits.pages == 0 || fits >= s->limits.context_max)
		return s->limits.context_max;
	return (uint32_t)fits;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static struct sequence *sequence_at(struct scheduler *s, uint32_t handle)
{
	assert(handle < s->requests_max);
	return &s->sequences[handle];
}

void sequence_list_add(struct scheduler *s, struct sequence_list *list, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];
	uint32_t before = list->last;

	while (before != SEQUENCE_NONE && s->sequences[before].order > q->order)
		before = s->sequences[before].previous;
	q->previous = before;
	q->next = before == SEQUENCE_NONE ? list->first : s->sequences[before].next;
	if (before == SEQUENCE_NONE)
		list->first = handle;
	else
		s->sequences[before].next = handle;
	if (q->next == SEQUENCE_NONE)
		list->last = handle;
	else
		s->sequences[q->next].previous = handle;
	list->count++;
}

void sequence_list_remove(struct scheduler *s, struct sequence_list *list, uint32_t handle)
{
	const struct sequence *q = &s->sequences[handle];

	assert(list->count > 0);
	if (q->previous == SEQUENCE_NONE)
		list->first = q->next;
	else
		s->sequences[q->previous].next = q->next;
	if (q->next == SEQUENCE_NONE)
		list->last = q->previous;
	else
		s->sequences[q->next].previous = q->previous;
	list->count--;
}

static void changed_add(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];

	if (q->changed)
		return;
	q->changed = true;
	q->changed_next = SEQUENCE_NONE;
	if (s->changed_last == SEQUENCE_NONE)
		s->changed_first = handle;
	else
		s->sequences[s->changed_last].changed_next = handle;
	s->changed_last = handle;
}

/* ---- resources ------------------------------------------------------------------------------- */

static void stack_give(struct free_stack *stack, uint32_t number, uint32_t most)
{
	assert(stack->count < most);
	stack->numbers[stack->count++] = number;
}

static void pages_release(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];
	const uint32_t *pages = s->slot_page + (size_t)q->slot * s->slot_pages;
	const uint32_t kept = PLANTED(PLANT_LEAKED_PAGE) && q->page_count > 2;

	while (q->page_count > kept) {
		const uint32_t page = pages[--q->page_count];

		assert(s->page_owner[page] == handle);
		s->page_owner[page] = SEQUENCE_NONE;
		stack_give(&s->pages, page, s->limits.pages);
	}
	q->page_count = 0;
}

/* Gives back slot, state and pages. No batch may name it. */
static void sequence_release(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];

	assert(q->batches == 0);
	pages_release(s, handle);
	stack_give(&s->slots, q->slot, s->limits.slots);
	if (q->state_slot != SEQUENCE_NONE)
		stack_give(&s->states, q->state_slot, s->limits.states);
	q->slot = SEQUENCE_NONE;
	q->state_slot = SEQUENCE_NONE;
	q->opened = false;
	sequence_list_remove(s, &s->running, handle);
}

static void sequence_queue(struct scheduler *s, uint32_t handle)
{
	s->sequences[handle].state = SEQUENCE_WAITING;
	sequence_list_add(s, &s->waiting, handle);
}

static void sequence_park(struct scheduler *s, uint32_t handle)
{
	s->sequences[handle].state = SEQUENCE_PARKED;
	s->parked_count++;
}

void sequence_requeue(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];

	assert(q->state == SEQUENCE_RUNNING || q->state == SEQUENCE_LEAVING);
	sequence_release(s, handle);
	q->answer_planned = q->answer_tokens;
	q->rows_planned = 0;
	s->stats.preemptions++;
	if (q->paused)
		sequence_park(s, handle);
	else
		sequence_queue(s, handle);
}

/* ---- the verbs ------------------------------------------------------------------------------- */

void scheduler_submit(struct scheduler *s, const struct pool_request *request)
{
	struct sequence *q = sequence_at(s, request->handle);

	assert(q->state == SEQUENCE_FREE);
	assert(request->prompt_tokens > 0 && request->answer_tokens_max > 0);
	assert((uint64_t)request->prompt_tokens + request->answer_tokens_max <=
		scheduler_context_max(s));
	*q = (struct sequence){
		.state = SEQUENCE_WAITING,
		.prompt_tokens = request->prompt_tokens,
		.answer_tokens_max = request->answer_tokens_max,
		.answer_tokens_allowed = request->answer_tokens_allowed,
		.slot = SEQUENCE_NONE,
		.state_slot = SEQUENCE_NONE,
		.order = s->order_next++,
	};
	sequence_list_add(s, &s->waiting, request->handle);
}

void scheduler_allow(struct scheduler *s, uint32_t handle, uint32_t answer_tokens)
{
	struct sequence *q = sequence_at(s, handle);

	assert(q->state != SEQUENCE_FREE && q->state != SEQUENCE_OVER);
	assert(answer_tokens >= q->answer_tokens_allowed && answer_tokens <= q->answer_tokens_max);
	q->answer_tokens_allowed = answer_tokens;
}

void scheduler_pause(struct scheduler *s, uint32_t handle, bool paused)
{
	struct sequence *q = sequence_at(s, handle);

	assert(q->state != SEQUENCE_FREE);
	q->paused = paused;     /* of one that has ended by itself it says nothing */
	if (paused && q->state == SEQUENCE_WAITING) {
		sequence_list_remove(s, &s->waiting, handle);
		sequence_park(s, handle);
	} else if (!paused && q->state == SEQUENCE_PARKED) {
		s->parked_count--;
		sequence_queue(s, handle);
	}
}

/* A sequence without batches in flight is over: its END is to be told. */
static void sequence_end_if_unnamed(struct scheduler *s, uint32_t handle)
{
	struct sequence *q = &s->sequences[handle];

	assert(q->state == SEQUENCE_ENDING);
	if (q->batches > 0)
		return;
	sequence_release(s, handle);
	q->state = SEQUENCE_OVER;
	changed_add(s, handle);
}

static void sequence_end(struct scheduler *s, uint32_t handle, enum pool_end end)
{
	struct sequence *q = &s->sequences[handle];

	assert(q->state == SEQUENCE_RUNNING || q->state == SEQUENCE_LEAVING);
	if (q->state == SEQUENCE_LEAVING)
		s->leaving_count--;
	q->state = SEQUENCE_ENDING;
	q->end = end;
	if (PLANTED(PLANT_PAGE_REUSED))
		pages_release(s, handle);
	sequence_end_if_unnamed(s, handle);
}

void scheduler_stop(struct scheduler *s, uint32_t handle, enum pool_end end)
{
	struct sequence *q = sequence_at(s, handle);

	assert(q->state != SEQUENCE_FREE);
	assert(end == POOL_END_CANCELLED || end == POOL_END_LENGTH);
	if (q->state == SEQUENCE_WAITING || q->state == SEQUENCE_PARKED) {
		if (q->state == SEQUENCE_WAITING)
			sequence_list_remove(s, &s->waiting, handle);
		else
			s->parked_count--;
		q->state = SEQUENCE_OVER;
		q->end = end;
		changed_add(s, handle);
	} else if (q->state == SEQUENCE_RUNNING || q->state == SEQUENCE_LEAVING) {
		sequence_end(s, handle, end);
	}   /* else it has ended by itself: that END stands */
}

static enum pool_end end_of_batch_end(enum batch_end end)
{
	switch (end) {
	case BATCH_END_STOP:
		return POOL_END_STOP;
	case BATCH_END_LENGTH:
		return POOL_END_LENGTH;
	case BATCH_END_NOT:
	case BATCH_END_ERROR:
		break;
	}
	return POOL_END_ERROR;
}

/* What the executor says of one item of a batch that is back. */
static void item_done(struct scheduler *s, const struct batch_item *item,
	const struct batch_result *result, bool failed)
{
	struct sequence *q = sequence_at(s, item->request);

	assert(q->batches > 0 && result->token_count <= 1);
	q->batches--;
	if (q->state == SEQUENCE_ENDING) {
		if (!failed)
			q->answer_tokens += result->token_count;    /* sampled for nothing */
		sequence_end_if_unnamed(s, item->request);
		return;
	}
	assert(q->state == SEQUENCE_RUNNING || q->state == SEQUENCE_LEAVING);
	if (!failed && result->token_count > 0) {
		assert(item->sample && q->answer_tokens < q->answer_planned);
		q->answer_tokens++;
		changed_add(s, item->request);
	}
	if (failed || result->end != BATCH_END_NOT) {
		sequence_end(s, item->request,
			failed ? POOL_END_ERROR : end_of_batch_end(result->end));
	} else if (q->state == SEQUENCE_LEAVING && q->batches == 0) {
		s->leaving_count--;
		sequence_requeue(s, item->request);
	}
}

void scheduler_done(struct scheduler *s, struct batch *batch)
{
	assert(s->batch_count > 0 && batch == &s->batches[s->batch_first]);
	s->batch_first = (s->batch_first + 1) % EXECUTOR_BATCHES_MAX;
	s->batch_count--;
	s->stats.batches++;
	s->stats.batches_failed += batch->failed;
	s->stats.rows += batch->row_count;
	for (uint32_t i = 0; i < batch->item_count; i++)
		item_done(s, &batch->items[i], &batch->results[i], batch->failed);
}

/* ---- what is told ---------------------------------------------------------------------------- */

bool scheduler_next(struct scheduler *s, struct pool_event *event)
{
	const uint32_t handle = s->changed_first;

	if (handle == SEQUENCE_NONE)
		return false;
	struct sequence *q = &s->sequences[handle];
	*event = (struct pool_event){.handle = handle, .answer_tokens = q->answer_tokens};
	if (q->answer_told < q->answer_tokens) {
		event->kind = POOL_OUTPUT;
		event->ended = q->state == SEQUENCE_ENDING || q->state == SEQUENCE_OVER;
		q->answer_told = q->answer_tokens;
		if (q->state == SEQUENCE_OVER)
			return true;    /* stays first: its END comes next */
	} else {
		assert(q->state == SEQUENCE_OVER);
		event->kind = POOL_END;
		event->end = q->end;
		q->state = SEQUENCE_FREE;
	}
	s->changed_first = q->changed_next;
	if (s->changed_first == SEQUENCE_NONE)
		s->changed_last = SEQUENCE_NONE;
	q->changed = false;
	return true;
}

void scheduler_stats(const struct scheduler *s, struct pool_stats *stats)
{
	*stats = s->stats;
	stats->waiting = s->waiting.count;
	stats->running = s->running.count;
	stats->parked = s->parked_count;
	stats->pages = s->limits.pages;
	stats->pages_used = s->limits.pages - s->pages.count;
}
