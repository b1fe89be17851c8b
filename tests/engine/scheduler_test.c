/* tests/engine/scheduler_test.c - batches mix prompts and answers, in order, and pages are never
 * lost.
 *
 * The executor here is a few lines: a sampled row gives a token, the answer of handle h ends after
 * length[h] tokens, rows after an end are dropped.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "engine/scheduler.h"

#define REQUESTS 8

struct world {
	struct scheduler *s;
	uint32_t length[REQUESTS];      /* tokens of its answer */
	uint32_t sampled[REQUESTS];
	uint32_t outputs[REQUESTS];     /* as told */
	uint32_t ends[REQUESTS];
	enum pool_end end[REQUESTS];
	uint32_t rows[REQUESTS];        /* computed since the slot was opened */
	bool over[REQUESTS];
};

static const struct executor_limits roomy = {
	.context_max = 512, .slots = 4, .pages = 64, .states = 4, .rows_max = 64, .vocab = 100};

static void world_open(struct world *w, const struct executor_limits *limits)
{
	memset(w, 0, sizeof(*w));
	w->s = scheduler_init(calloc(1, scheduler_bytes(REQUESTS, limits)), REQUESTS, limits);
	scheduler_load(w->s, 0, limits);
	for (int i = 0; i < REQUESTS; i++)
		w->length[i] = 10;
}

static void world_close(struct world *w)
{
	assert_null(scheduler_check(w->s));
	free(w->s);
}

static void submit(struct world *w, uint32_t handle, uint32_t prompt_tokens, uint32_t answer_tokens)
{
	scheduler_submit(w->s, &(struct pool_request){.handle = handle,
		.prompt_tokens = prompt_tokens, .answer_tokens_max = answer_tokens,
		.answer_tokens_allowed = answer_tokens});
	assert_null(scheduler_check(w->s));
}

static struct batch *plan(struct world *w)
{
	struct batch *b = scheduler_plan(w->s);

	assert_null(scheduler_check(w->s));
	return b;
}

static void take_events(struct world *w)
{
	struct pool_event event;

	while (scheduler_next(w->s, &event)) {
		assert_int_equal(w->ends[event.handle], 0);
		if (event.kind == POOL_OUTPUT) {
			w->outputs[event.handle] = event.answer_tokens;
		} else {
			w->ends[event.handle]++;
			w->end[event.handle] = event.end;
		}
	}
}

/* Runs one batch as an executor would and gives it back. */
static void run(struct world *w, struct batch *b)
{
	for (uint32_t i = 0; i < b->item_count; i++) {
		const struct batch_item *item = &b->items[i];
		const uint32_t h = item->request;

		b->results[i] = (struct batch_result){0};
		if (item->open) {
			w->rows[h] = 0;
			w->over[h] = false;
		}
		if (w->over[h])
			continue;
		assert_int_equal(item->first_token, w->rows[h]);
		w->rows[h] += item->row_count;
		if (!item->sample)
			continue;
		b->results[i].token_count = 1;
		if (++w->sampled[h] == w->length[h]) {
			b->results[i].end = BATCH_END_STOP;
			w->over[h] = true;
		}
	}
	scheduler_done(w->s, b);
	assert_null(scheduler_check(w->s));
	take_events(w);
}

/* Keeps two batches in flight until there is nothing to run. */
static uint32_t run_all(struct world *w)
{
	struct batch *flight[2] = {NULL, NULL};
	uint32_t batches = 0;

	for (;;) {
		if (!flight[0])
			flight[0] = plan(w);
		if (flight[0] && !flight[1])
			flight[1] = plan(w);
		if (!flight[0])
			return batches;
		run(w, flight[0]);
		flight[0] = flight[1];
		flight[1] = NULL;
		batches++;
	}
}

static void cuts_a_prompt_into_chunks_and_samples_at_its_end(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	submit(&w, 3, 150, 20);
	for (uint32_t first = 0; first < 150; first += 64) {
		struct batch *b = plan(&w);

		assert_int_equal(b->item_count, 1);
		assert_int_equal(b->items[0].first_token, first);
		assert_int_equal(b->items[0].row_count, first + 64 <= 150 ? 64 : 150 - first);
		assert_int_equal(b->items[0].open, first == 0);
		assert_int_equal(b->items[0].sample, first + 64 > 150);
		assert_int_equal(b->items[0].state_read == BATCH_NONE, first == 0);
		run(&w, b);
	}
	assert_int_equal(w.outputs[3], 1);
	world_close(&w);
}

static void decodes_first_and_fills_the_batch_with_prompts(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	submit(&w, 0, 10, 20);
	run(&w, plan(&w));
	submit(&w, 1, 200, 20);
	struct batch *b = plan(&w);

	assert_int_equal(b->item_count, 2);
	assert_int_equal(b->items[0].request, 0);
	assert_int_equal(b->items[0].row_count, 1);
	assert_int_equal(b->items[1].request, 1);
	assert_int_equal(b->items[1].row_count, 63);
	run(&w, b);
	world_close(&w);
}

static void answers_all_once_with_all_their_tokens(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	for (uint32_t h = 0; h < REQUESTS; h++) {
		w.length[h] = 1 + 5 * h;
		submit(&w, h, 1 + 37 * h, 100);
	}
	run_all(&w);
	for (uint32_t h = 0; h < REQUESTS; h++) {
		assert_int_equal(w.ends[h], 1);
		assert_int_equal(w.end[h], POOL_END_STOP);
		assert_int_equal(w.outputs[h], w.length[h]);
	}
	world_close(&w);
}

static void starts_in_the_order_of_arrival(void **state)
{
	const struct executor_limits narrow = {
		.context_max = 512, .slots = 1, .pages = 16, .rows_max = 512, .vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &narrow);
	submit(&w, 5, 300, 20);
	submit(&w, 2, 10, 20);
	submit(&w, 7, 10, 20);
	run_all(&w);
	assert_int_equal(w.ends[5] + w.ends[2] + w.ends[7], 3);

	submit(&w, 5, 300, 20);
	submit(&w, 2, 10, 20);
	w.ends[5] = w.ends[2] = 0;
	w.sampled[5] = w.sampled[2] = 0;
	while (w.ends[5] == 0) {
		assert_int_equal(w.sampled[2], 0);
		run(&w, plan(&w));
	}
	world_close(&w);
}

static void preempts_the_youngest_when_pages_run_out_and_computes_it_again(void **state)
{
	/* Two sequences that would need 4 pages each share 6. */
	const struct executor_limits tight = {
		.context_max = 128, .slots = 4, .pages = 6, .states = 4, .rows_max = 64,
		.vocab = 100};
	struct pool_stats stats;
	struct world w;

	(void)state;
	world_open(&w, &tight);
	for (uint32_t h = 0; h < 2; h++) {
		w.length[h] = 90;
		submit(&w, h, 30, 98);
	}
	run_all(&w);
	scheduler_stats(w.s, &stats);
	assert_int_equal(stats.preemptions, 1);
	assert_int_equal(w.outputs[0], 90);
	assert_int_equal(w.outputs[1], 90);
	assert_int_equal(stats.pages_used, 0);
	world_close(&w);
}

static void a_paused_sequence_is_not_run_and_keeps_its_pages_while_nobody_needs_them(void **state)
{
	struct pool_stats stats;
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	submit(&w, 0, 40, 20);
	run(&w, plan(&w));
	scheduler_pause(w.s, 0, true);
	assert_null(plan(&w));
	scheduler_stats(w.s, &stats);
	assert_int_equal(stats.pages_used, 2);
	scheduler_pause(w.s, 0, false);
	run_all(&w);
	assert_int_equal(w.outputs[0], 10);
	world_close(&w);
}

static struct pool_stats stats_of(const struct world *w)
{
	struct pool_stats stats;

	scheduler_stats(w->s, &stats);
	return stats;
}

static void pause(struct world *w, uint32_t handle, bool paused)
{
	scheduler_pause(w->s, handle, paused);
	assert_null(scheduler_check(w->s));
}

static const struct executor_limits two_slots = {
	.context_max = 512, .slots = 2, .pages = 64, .states = 2, .rows_max = 64, .vocab = 100};

static void paused_sequences_give_their_slots_to_who_waits(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &two_slots);
	submit(&w, 0, 40, 20);
	submit(&w, 1, 40, 20);
	run(&w, plan(&w));
	run(&w, plan(&w));
	pause(&w, 0, true);
	pause(&w, 1, true);
	submit(&w, 2, 10, 20);
	submit(&w, 3, 10, 20);
	struct batch *b = plan(&w);

	assert_int_equal(b->item_count, 2);
	assert_int_equal(stats_of(&w).parked, 2);
	assert_int_equal(stats_of(&w).waiting, 0);
	assert_int_equal(stats_of(&w).pages_used, 2);
	run(&w, b);
	run_all(&w);
	assert_int_equal(w.outputs[2], 10);
	assert_int_equal(stats_of(&w).pages_used, 0);
	pause(&w, 0, false);
	pause(&w, 1, false);
	run_all(&w);
	assert_int_equal(w.outputs[0], 10);
	assert_int_equal(w.sampled[0], 10);     /* computed again, not sampled again */
	assert_int_equal(w.outputs[1], 10);
	assert_int_equal(stats_of(&w).preemptions, 2);
	world_close(&w);
}

static void a_paused_sequence_leaves_when_its_last_batch_is_back(void **state)
{
	const struct executor_limits narrow = {
		.context_max = 512, .slots = 1, .pages = 64, .rows_max = 64, .vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &narrow);
	submit(&w, 0, 40, 20);
	run(&w, plan(&w));
	struct batch *first = plan(&w);

	submit(&w, 1, 10, 20);
	pause(&w, 0, true);
	assert_null(plan(&w));
	assert_int_equal(stats_of(&w).running, 1);
	run(&w, first);
	assert_int_equal(w.outputs[0], 2);      /* what was in flight still counts */
	assert_int_equal(stats_of(&w).parked, 1);
	struct batch *second = plan(&w);

	assert_int_equal(second->items[0].request, 1);
	pause(&w, 0, false);
	run(&w, second);
	run_all(&w);
	assert_int_equal(w.outputs[0], 10);
	assert_int_equal(w.outputs[1], 10);
	world_close(&w);
}

static void only_as_many_paused_sequences_leave_as_are_in_the_way(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &two_slots);
	submit(&w, 0, 40, 20);
	submit(&w, 1, 40, 20);
	run(&w, plan(&w));
	run(&w, plan(&w));
	pause(&w, 0, true);
	pause(&w, 1, true);
	submit(&w, 2, 10, 20);
	struct batch *b = plan(&w);

	assert_int_equal(b->item_count, 1);
	assert_int_equal(stats_of(&w).parked, 1);
	pause(&w, 0, false);
	run(&w, b);
	b = plan(&w);
	assert_int_equal(b->items[0].request, 0);       /* the older one has kept its place */
	assert_int_equal(b->items[0].row_count, 1);
	run(&w, b);
	pause(&w, 1, false);
	run_all(&w);
	world_close(&w);
}

static void a_paused_sequence_gives_its_pages_to_a_younger_one_that_grows(void **state)
{
	const struct executor_limits tight = {
		.context_max = 128, .slots = 4, .pages = 4, .states = 4, .rows_max = 64,
		.vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &tight);
	w.length[1] = 90;
	submit(&w, 0, 60, 20);
	run(&w, plan(&w));
	pause(&w, 0, true);
	submit(&w, 1, 30, 98);
	run_all(&w);
	assert_int_equal(w.outputs[1], 90);
	assert_int_equal(stats_of(&w).preemptions, 1);
	assert_int_equal(stats_of(&w).parked, 1);
	pause(&w, 0, false);
	run_all(&w);
	assert_int_equal(w.outputs[0], 10);
	world_close(&w);
}

static void one_that_moves_again_comes_before_who_arrived_later(void **state)
{
	const struct executor_limits narrow = {
		.context_max = 512, .slots = 1, .pages = 16, .rows_max = 64, .vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &narrow);
	submit(&w, 0, 40, 20);
	run(&w, plan(&w));
	pause(&w, 0, true);
	submit(&w, 1, 10, 20);
	submit(&w, 2, 10, 20);
	run(&w, plan(&w));
	assert_int_equal(w.sampled[1], 1);
	pause(&w, 0, false);
	while (w.ends[0] == 0) {
		assert_int_equal(w.sampled[2], 0);
		run(&w, plan(&w));
	}
	assert_int_equal(w.ends[1], 1);         /* it runs, so it is not put back */
	run_all(&w);
	assert_int_equal(w.outputs[2], 10);
	world_close(&w);
}

static void one_that_stalls_while_it_waits_holds_up_nobody(void **state)
{
	const struct executor_limits narrow = {
		.context_max = 512, .slots = 1, .pages = 16, .rows_max = 64, .vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &narrow);
	submit(&w, 0, 40, 20);
	submit(&w, 1, 40, 20);
	pause(&w, 0, true);
	assert_int_equal(stats_of(&w).parked, 1);
	run_all(&w);
	assert_int_equal(w.outputs[1], 10);
	pause(&w, 0, false);
	run_all(&w);
	assert_int_equal(w.outputs[0], 10);
	world_close(&w);
}

static void a_parked_sequence_that_is_stopped_ends_at_once(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &two_slots);
	submit(&w, 0, 40, 20);
	pause(&w, 0, true);
	scheduler_stop(w.s, 0, POOL_END_CANCELLED);
	assert_null(scheduler_check(w.s));
	take_events(&w);
	assert_int_equal(w.ends[0], 1);
	assert_int_equal(w.end[0], POOL_END_CANCELLED);
	assert_int_equal(stats_of(&w).parked, 0);
	world_close(&w);
}

static void stops_at_what_is_allowed_and_goes_on_when_more_is(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	scheduler_submit(w.s, &(struct pool_request){.handle = 1, .prompt_tokens = 5,
		.answer_tokens_max = 50, .answer_tokens_allowed = 4});
	run_all(&w);
	assert_int_equal(w.sampled[1], 4);
	scheduler_allow(w.s, 1, 7);
	run_all(&w);
	assert_int_equal(w.sampled[1], 7);
	scheduler_stop(w.s, 1, POOL_END_LENGTH);
	struct pool_event event;

	assert_true(scheduler_next(w.s, &event));
	assert_int_equal(event.kind, POOL_END);
	assert_int_equal(event.end, POOL_END_LENGTH);
	assert_int_equal(event.answer_tokens, 7);
	world_close(&w);
}

static void a_cancelled_sequence_keeps_its_pages_while_a_batch_names_it(void **state)
{
	struct pool_stats stats;
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	submit(&w, 0, 40, 20);
	run(&w, plan(&w));
	struct batch *first = plan(&w);
	struct batch *second = plan(&w);

	assert_non_null(second);
	scheduler_stop(w.s, 0, POOL_END_CANCELLED);
	run(&w, first);
	scheduler_stats(w.s, &stats);
	assert_int_equal(stats.pages_used, 2);
	assert_int_equal(w.ends[0], 0);
	run(&w, second);
	scheduler_stats(w.s, &stats);
	assert_int_equal(stats.pages_used, 0);
	assert_int_equal(w.ends[0], 1);
	assert_int_equal(w.end[0], POOL_END_CANCELLED);
	world_close(&w);
}

static void a_failed_batch_ends_all_that_it_names_with_an_error(void **state)
{
	struct pool_event event;
	struct world w;

	(void)state;
	world_open(&w, &roomy);
	submit(&w, 0, 10, 20);
	submit(&w, 1, 10, 20);
	struct batch *b = plan(&w);

	b->failed = true;
	scheduler_done(w.s, b);
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(scheduler_next(w.s, &event));
		assert_int_equal(event.kind, POOL_END);
		assert_int_equal(event.end, POOL_END_ERROR);
	}
	assert_false(scheduler_next(w.s, &event));
	world_close(&w);
}

static void a_model_without_attention_needs_no_pages(void **state)
{
	const struct executor_limits stateful = {
		.context_max = 512, .slots = 3, .pages = 0, .states = 2, .rows_max = 16,
		.vocab = 100};
	struct world w;

	(void)state;
	world_open(&w, &stateful);
	for (uint32_t h = 0; h < 4; h++)
		submit(&w, h, 100, 50);
	run_all(&w);
	for (uint32_t h = 0; h < 4; h++)
		assert_int_equal(w.outputs[h], 10);
	world_close(&w);
}

/* Random submits, cancels and pauses in little memory; world_close and every step check. With
 * nothing in flight and nothing to run, all that are left are paused: they hold up nobody. */
static void everyone_ends_once_whatever_happens_in_between(void **state)
{
	struct prng p;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		const struct executor_limits tiny = {.context_max = 128, .slots = 3, .pages = 7,
			.states = (uint32_t)(seed % 2) * 3, .rows_max = 16, .vocab = 100};
		bool paused[REQUESTS] = {false};
		uint32_t submitted = 0;
		struct world w;

		prng_init(&p, seed);
		world_open(&w, &tiny);
		for (uint32_t step = 0; step < 200; step++) {
			const uint32_t h = (uint32_t)prng_below(&p, REQUESTS);

			if (submitted < REQUESTS && prng_below(&p, 4) == 0) {
				w.length[submitted] = 1 + (uint32_t)prng_below(&p, 40);
				submit(&w, submitted++, 1 + (uint32_t)prng_below(&p, 80), 45);
			} else if (h < submitted && w.ends[h] == 0 && prng_below(&p, 20) == 0) {
				scheduler_stop(w.s, h, POOL_END_CANCELLED);
				take_events(&w);
			} else if (h < submitted && w.ends[h] == 0) {
				paused[h] = prng_below(&p, 2) == 0;
				pause(&w, h, paused[h]);
			}
			struct batch *b = plan(&w);

			if (b)
				run(&w, b);
			for (uint32_t i = 0; !b && i < submitted; i++)
				assert_true(w.ends[i] > 0 || paused[i]);
		}
		for (uint32_t h = 0; h < submitted; h++)
			if (w.ends[h] == 0)
				pause(&w, h, false);
		run_all(&w);
		for (uint32_t h = 0; h < submitted; h++)
			assert_int_equal(w.ends[h], 1);
		world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_a_prompt_into_chunks_and_samples_at_its_end),
		cmocka_unit_test(decodes_first_and_fills_the_batch_with_prompts),
		cmocka_unit_test(answers_all_once_with_all_their_tokens),
		cmocka_unit_test(starts_in_the_order_of_arrival),
		cmocka_unit_test(preempts_the_youngest_when_pages_run_out_and_computes_it_again),
		cmocka_unit_test(
			a_paused_sequence_is_not_run_and_keeps_its_pages_while_nobody_needs_them),
		cmocka_unit_test(paused_sequences_give_their_slots_to_who_waits),
		cmocka_unit_test(a_paused_sequence_leaves_when_its_last_batch_is_back),
		cmocka_unit_test(only_as_many_paused_sequences_leave_as_are_in_the_way),
		cmocka_unit_test(a_paused_sequence_gives_its_pages_to_a_younger_one_that_grows),
		cmocka_unit_test(one_that_moves_again_comes_before_who_arrived_later),
		cmocka_unit_test(one_that_stalls_while_it_waits_holds_up_nobody),
		cmocka_unit_test(a_parked_sequence_that_is_stopped_ends_at_once),
		cmocka_unit_test(stops_at_what_is_allowed_and_goes_on_when_more_is),
		cmocka_unit_test(
			a_cancelled_sequence_keeps_its_pages_while_a_batch_names_it),
		cmocka_unit_test(a_failed_batch_ends_all_that_it_names_with_an_error),
		cmocka_unit_test(a_model_without_attention_needs_no_pages),
		cmocka_unit_test(everyone_ends_once_whatever_happens_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
