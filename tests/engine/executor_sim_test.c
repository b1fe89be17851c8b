/* tests/engine/executor_sim_test.c - the simulated executor keeps the executor's promises on any
 * clock. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "engine/executor_sim.h"

#define TOKENS_MAX 400

static const struct executor_limits limits = {
	.context_max = 512, .slots = 2, .pages = 32, .states = 2, .rows_max = 64, .vocab = 100};
static const struct chip_cost cost = {.weight_ops_per_row = 1000};
/* 1 ms a step and 10 us a row. */
static const struct chip_cost_rates rates = {
	.bytes_per_s = 1, .ops_per_s = 100000000, .step_ns = 1000000};

struct bench {
	struct executor *e;
	struct request request;
	struct request *by_handle[1];
	struct request_table table;
	uint32_t answer[TOKENS_MAX];
	struct batch batch[2];
};

static void bench_open(struct bench *b, const struct executor_sim_faults *faults)
{
	struct err_info info = {0};

	memset(b, 0, sizeof(*b));
	b->request.prompt_tokens = 10;
	b->request.answer_tokens_max = TOKENS_MAX;
	b->request.sampling.seed = 5;
	b->request.answer = b->answer;
	b->by_handle[0] = &b->request;
	b->table = (struct request_table){b->by_handle, 1};
	assert_int_equal(executor_sim_open(&b->e, &limits, &b->table, &cost, &rates, faults, &info),
		ERR_NONE);
}

static struct batch *step(struct bench *b, uint32_t at, uint32_t first_token, uint32_t row_count)
{
	struct batch *batch = &b->batch[at];

	memset(batch, 0, sizeof(*batch));
	batch->id = first_token;
	batch->item_count = 1;
	batch->row_count = row_count;
	batch->items[0] = (struct batch_item){.first_token = first_token, .row_count = row_count,
		.open = first_token == 0, .sample = true};
	executor_submit(b->e, batch);
	return batch;
}

static struct batch *finish(struct bench *b)
{
	executor_sim_advance(b->e, executor_sim_due_ns(b->e));
	return executor_poll(b->e);
}

static void a_batch_is_there_when_its_time_has_come_and_not_before(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_true(executor_sim_due_ns(b.e) == INT64_MAX);
	executor_sim_advance(b.e, 500);
	step(&b, 0, 0, 10);
	assert_int_equal(executor_sim_due_ns(b.e), 500 + 1100000);
	executor_sim_advance(b.e, 500 + 1099999);
	assert_null(executor_poll(b.e));
	executor_sim_advance(b.e, 500 + 1100000);
	assert_ptr_equal(executor_poll(b.e), &b.batch[0]);
	executor_close(b.e);
}

static void a_second_batch_starts_when_the_first_has_ended(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, NULL);
	step(&b, 0, 0, 10);
	step(&b, 1, 10, 1);
	assert_ptr_equal(finish(&b), &b.batch[0]);
	assert_int_equal(executor_sim_due_ns(b.e), 1100000 + 1010000);
	assert_ptr_equal(finish(&b), &b.batch[1]);
	executor_close(b.e);
}

/* The whole answer, the prompt cut at `cut`; how many tokens it had. */
static uint32_t answer(struct bench *b, uint32_t cut)
{
	bench_open(b, NULL);
	if (cut > 0) {
		step(b, 0, 0, cut)->items[0].sample = false;
		finish(b);
	}
	step(b, 0, cut, 10 - cut)->items[0].open = cut == 0;
	while (finish(b)->results[0].end == BATCH_END_NOT)
		step(b, 0, 9 + b->request.answer_tokens, 1);
	executor_close(b->e);
	return b->request.answer_tokens;
}

static void an_answer_is_the_same_however_its_prompt_was_cut(void **state)
{
	static struct bench whole;
	static struct bench cut;

	(void)state;
	const uint32_t count = answer(&whole, 0);

	assert_int_equal(executor_sim_answer_tokens(&whole.request), count);
	for (uint32_t at = 1; at < 10; at++) {
		assert_int_equal(answer(&cut, at), count);
		assert_memory_equal(cut.answer, whole.answer, count * sizeof(uint32_t));
	}
}

static void rows_after_the_end_are_dropped(void **state)
{
	static struct bench b;
	const struct batch *last;

	(void)state;
	bench_open(&b, NULL);
	b.request.answer_tokens_max = 1;
	step(&b, 0, 0, 10);
	step(&b, 1, 10, 1);     /* planned before the end was known */
	assert_int_equal(finish(&b)->results[0].token_count, 1);
	last = finish(&b);
	assert_int_equal(last->results[0].token_count, 0);
	assert_int_equal(last->results[0].end, BATCH_END_NOT);
	assert_int_equal(b.request.answer_tokens, 1);
	executor_close(b.e);
}

static void fails_as_often_as_it_was_told(void **state)
{
	const struct executor_sim_faults all = {.fail_per_million = 1000000};
	const struct executor_sim_faults rows = {.error_per_million = 1000000};
	static struct bench b;

	(void)state;
	bench_open(&b, &all);
	step(&b, 0, 0, 10);
	assert_true(finish(&b)->failed);
	assert_int_equal(b.request.answer_tokens, 0);
	executor_close(b.e);

	bench_open(&b, &rows);
	step(&b, 0, 0, 10);
	assert_int_equal(finish(&b)->results[0].end, BATCH_END_ERROR);
	executor_close(b.e);
}

static void honours_min_tokens_and_ignore_eos(void **state)
{
	struct request r = {.prompt_tokens = 3, .answer_tokens_max = TOKENS_MAX};

	(void)state;
	for (r.sampling.seed = 0; r.sampling.seed < 200; r.sampling.seed++) {
		r.ignore_eos = true;
		assert_int_equal(executor_sim_answer_tokens(&r), TOKENS_MAX);
		r.ignore_eos = false;
		r.answer_tokens_min = 150;
		assert_true(executor_sim_answer_tokens(&r) > 150);
	}
}

static void without_memory_it_does_not_open(void **state)
{
	const struct request_table table = {0};

	(void)state;
	for (int64_t n = 1; n <= 2; n++) {
		struct err_info info = {0};
		struct executor *e = NULL;

		mem_fail_after(n, 0);
		assert_int_equal(executor_sim_open(&e, &limits, &table, &cost, &rates, NULL, &info),
			ERR_MEMORY);
	}
	mem_fail_after(0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_there_when_its_time_has_come_and_not_before),
		cmocka_unit_test(a_second_batch_starts_when_the_first_has_ended),
		cmocka_unit_test(an_answer_is_the_same_however_its_prompt_was_cut),
		cmocka_unit_test(rows_after_the_end_are_dropped),
		cmocka_unit_test(fails_as_often_as_it_was_told),
		cmocka_unit_test(honours_min_tokens_and_ignore_eos),
		cmocka_unit_test(without_memory_it_does_not_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
