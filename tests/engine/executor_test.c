/* tests/engine/executor_test.c - what executor.h promises, kept by both executors: the one that
 * runs a model on a chip, and the simulated one. */
#include "engine/support.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chip/driver.h"
#include "engine/executor_chip.h"
#include "engine/executor_sim.h"

#define PROMPT     10
#define ANSWER_MAX 40
#define TOP        3       /* likeliest tokens beside each one */
#define SPECIAL    256     /* the first token of a written model that is no byte */

static char model_path[64];

struct bench {
	struct executor *e;
	bool simulated;
	struct wake wake;
	struct support_model loaded;
	struct chip_driver driver;
	struct request request;
	struct request neighbour;
	struct request *by_handle[2];
	struct request_table table;
	uint32_t prompt[PROMPT];
	uint32_t answer[ANSWER_MAX];
	uint32_t neighbour_answer[ANSWER_MAX];
	struct chip_logprob logprobs[ANSWER_MAX * (1 + TOP)], *logprobs_block;
	struct batch batch[2];
	uint64_t batch_id_next;
	uint32_t page[4];
};

/* ---- a chip that fails ----------------------------------------------------------------------- */

static const struct chip_driver *real_driver;
static uint32_t waits_to_failure;   /* 0: none fails */

static enum err failing_wait(struct chip *chip, uint64_t ticket, struct chip_output *output,
	struct err_info *info)
{
	const enum err err = real_driver->wait(chip, ticket, output, info);

	if (!err && waits_to_failure > 0 && --waits_to_failure == 0)
		return err_set(info, ERR_IO, "the chip has fallen off its bus");
	return err;
}

/* ---- a bench for either ---------------------------------------------------------------------- */

static void open_chip_executor(struct bench *b)
{
	const struct executor_chip_config config = {.slots = 2, .rows_max = 64, .context_max = 64,
		.cache_bytes = 8 << 20};
	struct err_info info = {0};

	support_model_open(&b->loaded, model_path, support_isas()[0], 1, 64, 2);
	real_driver = b->loaded.chip->driver;
	b->driver = *real_driver;
	b->driver.wait = failing_wait;
	b->loaded.chip->driver = &b->driver;
	assert_int_equal(wake_open(&b->wake), 0);
	assert_int_equal(executor_chip_open(&b->e, b->loaded.model, &b->table, &config, &b->wake,
		&info), ERR_NONE);
}

static void open_simulated(struct bench *b, uint32_t fail_per_million)
{
	static const struct executor_limits limits = {.context_max = 64, .slots = 2, .pages = 8,
		.states = 2, .rows_max = 64, .vocab = 256};
	static const struct chip_cost_rates rates = {
		.bytes_per_s = 1, .ops_per_s = 1000000, .step_ns = 1000};
	const struct executor_sim_faults faults = {.fail_per_million = fail_per_million};
	const struct chip_cost cost = {.weight_ops_per_row = 1};
	struct err_info info = {0};

	assert_int_equal(executor_sim_open(&b->e, &limits, &b->table, &cost, &rates, &faults,
		&info), ERR_NONE);
}

static void bench_open(struct bench *b, bool simulated, uint32_t fail_per_million)
{
	memset(b, 0, sizeof(*b));
	b->simulated = simulated;
	b->request = (struct request){.prompt = b->prompt, .prompt_tokens = PROMPT,
		.answer = b->answer, .answer_tokens_max = ANSWER_MAX, .ignore_eos = true,
		.sampling = {.top_p = 1, .repetition_penalty = 1}};
	for (uint32_t i = 0; i < PROMPT; i++)
		b->prompt[i] = 'a' + i;
	for (uint32_t i = 0; i < 4; i++)
		b->page[i] = i;
	b->by_handle[0] = &b->request;
	b->by_handle[1] = &b->neighbour;
	b->table = (struct request_table){b->by_handle, 2};
	if (simulated)
		open_simulated(b, fail_per_million);
	else
		open_chip_executor(b);
}

static void bench_close(struct bench *b)
{
	executor_close(b->e);
	if (!b->simulated) {
		b->loaded.chip->driver = real_driver;
		support_model_close(&b->loaded);
		wake_close(&b->wake);
	}
}

/* Rows first_token .. first_token + row_count of the request. */
static struct batch *plan(struct bench *b, uint32_t at, uint32_t first_token, uint32_t row_count,
	bool sample)
{
	struct batch *batch = &b->batch[at];

	batch->id = ++b->batch_id_next;
	batch->item_count = 1;
	batch->row_count = row_count;
	batch->page_count = 4;
	memcpy(batch->pages, b->page, sizeof(b->page));
	batch->items[0] = (struct batch_item){.first_token = first_token, .row_count = row_count,
		.open = first_token == 0, .sample = sample, .page_count = 4,
		.state_read = BATCH_NONE, .state_write = BATCH_NONE};
	return batch;
}

static void rows(struct bench *b, uint32_t at, uint32_t first_token, uint32_t row_count,
	bool sample)
{
	executor_submit(b->e, plan(b, at, first_token, row_count, sample));
}

/* The same, and the last one gives a token. */
static void step(struct bench *b, uint32_t at, uint32_t first_token, uint32_t row_count)
{
	rows(b, at, first_token, row_count, true);
}

static const struct batch *finish(struct bench *b)
{
	struct batch *batch;

	if (b->simulated)
		executor_sim_advance(b->e, executor_sim_due_ns(b->e));
	while (!(batch = executor_poll(b->e)))
		assert_true(wake_wait(&b->wake, -1));
	return batch;
}

/* A prompt and the row after it, planned before anybody knew how the prompt went. */
static void two_in_flight(struct bench *b)
{
	b->request.answer_tokens = 0;
	step(b, 0, 0, PROMPT);
	step(b, 1, PROMPT, 1);
	assert_ptr_equal(finish(b), &b->batch[0]);
	assert_ptr_equal(finish(b), &b->batch[1]);
}

/* ---- the promises ---------------------------------------------------------------------------- */

static void check_after_failure(struct bench *b)
{
	assert_true(b->batch[0].failed);
	assert_false(b->batch[1].failed);
	assert_int_equal(b->batch[1].results[0].token_count, 0);
	assert_int_equal(b->batch[1].results[0].end, BATCH_END_NOT);
	assert_int_equal(b->request.answer_tokens, 0);
}

static void rows_of_a_sequence_whose_batch_failed_are_dropped(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, false, 0);
	waits_to_failure = 1;
	two_in_flight(&b);
	check_after_failure(&b);
	two_in_flight(&b);      /* a slot that is opened again is as new */
	assert_int_equal(b.request.answer_tokens, 2);
	bench_close(&b);

	bench_open(&b, true, 500000);
	do
		two_in_flight(&b);
	while (!b.batch[0].failed || b.batch[1].failed);
	check_after_failure(&b);
	do
		two_in_flight(&b);
	while (b.batch[0].failed || b.batch[1].failed);
	assert_int_equal(b.request.answer_tokens, 2);
	bench_close(&b);
}

static void check_after_end(struct bench *b)
{
	b->request.answer_tokens_max = 1;
	two_in_flight(b);
	assert_int_equal(b->batch[0].results[0].token_count, 1);
	assert_int_equal(b->batch[0].results[0].end, BATCH_END_LENGTH);
	assert_int_equal(b->batch[1].results[0].token_count, 0);
	assert_int_equal(b->batch[1].results[0].end, BATCH_END_NOT);
	assert_int_equal(b->request.answer_tokens, 1);
	bench_close(b);
}

static void rows_of_a_sequence_that_has_ended_are_dropped(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, false, 0);
	check_after_end(&b);
	bench_open(&b, true, 0);
	check_after_end(&b);
}

/* ---- preemption ------------------------------------------------------------------------------ */

#define GOES_ON 20  /* tokens of the answer that is compared */

/* The answer from its token `count` on, its first tokens given; the row `alone` of them is a batch
 * of its own. */
static void answer_on(struct bench *b, uint32_t count, uint32_t alone)
{
	const uint32_t given = PROMPT + count;

	b->request.answer_tokens = count;
	if (alone > 0) {
		rows(b, 0, 0, alone, false);
		finish(b);
	}
	rows(b, 0, alone, 1, alone + 1 == given);
	finish(b);
	if (alone + 1 < given) {
		step(b, 0, alone + 1, given - alone - 1);
		finish(b);
	}
	while (b->request.answer_tokens < GOES_ON) {
		step(b, 0, PROMPT + b->request.answer_tokens - 1, 1);
		finish(b);
	}
}

static void an_answer_that_was_put_aside_goes_on_with_the_same_tokens(void **state)
{
	uint32_t whole[GOES_ON];
	static struct bench b;

	(void)state;
	bench_open(&b, false, 0);
	b.request.sampling = (struct chip_sampling){.temperature = 1, .top_p = 0.95F, .seed = 5,
		.repetition_penalty = 1.1F, .presence_penalty = 0.5F, .frequency_penalty = 0.2F};
	answer_on(&b, 0, 0);
	memcpy(whole, b.answer, sizeof(whole));
	for (uint32_t count = 1; count < GOES_ON; count += 6) {
		for (uint32_t alone = 0; alone < PROMPT + count; alone++) {
			memset(b.answer + count, 0, sizeof(whole) - count * sizeof(*whole));
			answer_on(&b, count, alone);
			assert_memory_equal(b.answer, whole, sizeof(whole));
		}
	}
	bench_close(&b);
}

/* ---- what a request asks of its tokens (the chip's executor) --------------------------------- */

#define BUDGET 5

/* A block that the prompt opened with 'd'. */
static const struct think_rule thinks = {
	.open = 'd', .close = '}', .ending = {'\n', '}', '\n', '\n'}, .ending_count = 4};
static const struct chip_bias biases[] = {{'x', 4}, {'y', 4}, {'z', -100}, {'}', -100}};

_Static_assert(ANSWER_MAX <= REQUEST_LOGPROBS_BLOCK, "one block of logprobs");

static void ask_for_everything(struct bench *b)
{
	b->request.sampling = (struct chip_sampling){.temperature = 1.2F, .top_p = 0.95F,
		.typical_p = 0.9F, .seed = 7, .repetition_penalty = 1.1F, .presence_penalty = 0.5F,
		.frequency_penalty = 0.2F, .biases = biases, .bias_count = 4, .logprobs = true,
		.top_logprobs = TOP};
	b->request.think = &thinks;
	b->request.think_budget = BUDGET;
	b->logprobs_block = b->logprobs;
	b->request.logprobs = &b->logprobs_block;
}

static void a_block_that_thinks_too_long_is_ended(void **state)
{
	static struct bench b;

	(void)state;
	bench_open(&b, false, 0);
	ask_for_everything(&b);
	answer_on(&b, 0, 0);
	for (uint32_t i = 0; i < BUDGET; i++)
		assert_true(b.answer[i] != 'z' && b.answer[i] != '}');
	assert_memory_equal(b.answer + BUDGET, thinks.ending, 4 * sizeof(uint32_t));
	b.request.think_budget = 0;
	answer_on(&b, 0, 0);
	assert_memory_equal(b.answer, thinks.ending, 4 * sizeof(uint32_t));
	bench_close(&b);
}

/* The token's own, then the likeliest: in order, and the token among them the same number. */
static void assert_logprobs(const struct bench *b, uint32_t index)
{
	const struct chip_logprob *own = request_logprobs(&b->request, index);

	assert_int_equal(own->token, b->answer[index]);
	for (uint32_t i = 1; i <= TOP; i++) {
		assert_in_range(own[i].token, 0, SPECIAL + CHIP_BANNED_MAX - 1);
		assert_true(own[i].logprob < 0 && own[i].logprob >= own[TOP].logprob);
		if (own[i].token == own->token)
			assert_memory_equal(&own[i], own, sizeof(*own));
	}
}

static void wishes_are_kept_when_an_answer_was_put_aside(void **state)
{
	static struct bench b;
	static struct chip_logprob logprobs[GOES_ON * (1 + TOP)];
	uint32_t whole[GOES_ON];

	(void)state;
	bench_open(&b, false, 0);
	ask_for_everything(&b);
	answer_on(&b, 0, 0);
	memcpy(whole, b.answer, sizeof(whole));
	memcpy(logprobs, b.logprobs, sizeof(logprobs));
	for (uint32_t i = 0; i < GOES_ON; i++)
		assert_logprobs(&b, i);
	for (uint32_t count = 1; count < GOES_ON; count++) {
		memset(b.answer + count, 0, sizeof(whole) - count * sizeof(*whole));
		memset(request_logprobs(&b.request, count), 0,
			(GOES_ON - count) * (1 + TOP) * sizeof(*logprobs));
		answer_on(&b, count, count % PROMPT);
		assert_memory_equal(b.answer, whole, sizeof(whole));
		assert_memory_equal(b.logprobs, logprobs, sizeof(logprobs));
	}
	bench_close(&b);
}

/* The request's next row, or its prompt, and the neighbour's in one batch. */
static void step_together(struct bench *b)
{
	const uint32_t tokens = b->request.answer_tokens;
	struct batch *batch = plan(b, 0, tokens ? PROMPT + tokens - 1 : 0, tokens ? 1 : PROMPT,
		true);

	batch->items[0].page_count = 2;
	batch->items[1] = batch->items[0];
	batch->items[1].request = 1;
	batch->items[1].slot = 1;
	batch->items[1].first_page = 2;
	batch->item_count = 2;
	batch->row_count *= 2;
	executor_submit(b->e, batch);
	finish(b);
}

static void wishes_are_kept_beside_a_neighbour_with_others(void **state)
{
	uint32_t alone[GOES_ON];
	static struct bench b;

	(void)state;
	bench_open(&b, false, 0);
	ask_for_everything(&b);
	b.neighbour = (struct request){.handle = 1, .prompt = b.prompt, .prompt_tokens = PROMPT,
		.answer = b.neighbour_answer, .answer_tokens_max = ANSWER_MAX, .ignore_eos = true,
		.think = &thinks, .think_budget = BUDGET + 1,
		.sampling = {.temperature = 2, .top_p = 1, .repetition_penalty = 1, .seed = 1}};
	answer_on(&b, 0, 0);
	memcpy(alone, b.answer, sizeof(alone));
	b.request.answer_tokens = 0;
	while (b.request.answer_tokens < GOES_ON)
		step_together(&b);
	assert_memory_equal(b.answer, alone, sizeof(alone));
	assert_memory_equal(b.neighbour_answer + BUDGET + 1, thinks.ending, 4 * sizeof(uint32_t));
	bench_close(&b);
}

/* ---- stop strings (the chip's executor) ------------------------------------------------------ */

/* An answer comes back after a preemption; what the next token is. */
static uint32_t token_after(struct bench *b, const uint32_t *answer, uint32_t count)
{
	memcpy(b->answer, answer, count * sizeof(*answer));
	b->request.answer_tokens = count;
	step(b, 0, 0, PROMPT + count);
	assert_int_equal(finish(b)->results[0].token_count, 1);
	return b->answer[count];
}

/* As the front cuts it (rules.md 6): a special token has no text. */
static void a_special_token_inside_a_stop_string_is_not_part_of_the_text(void **state)
{
	static const uint32_t answer[] = {'f', 'o', 'o', SPECIAL, 'b', 'a'};
	static struct bench b;
	char stop[] = "fooba?";

	(void)state;
	bench_open(&b, false, 0);
	for (uint32_t i = SPECIAL; i < SPECIAL + CHIP_BANNED_MAX; i++)
		b.request.sampling.banned[b.request.sampling.banned_count++] = i;
	b.request.sampling.banned_until = UINT32_MAX;
	const uint32_t last = token_after(&b, answer, 6);

	assert_in_range(last, 0, 255);
	assert_int_equal(b.batch[0].results[0].end, BATCH_END_NOT);
	stop[5] = (char)last;
	b.request.stops[0] = (struct request_stop){stop, 6};
	b.request.stop_count = 1;
	assert_int_equal(token_after(&b, answer, 6), last);
	assert_int_equal(b.batch[0].results[0].end, BATCH_END_STOP);
	bench_close(&b);
}

int main(void)
{
	static const struct support_shape shape = {"qwen3", 96, 2, 160, SPECIAL + CHIP_BANNED_MAX,
		6, 2, 32, 32, 0, 0, 0, 0, CHIP_F32};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_a_sequence_whose_batch_failed_are_dropped),
		cmocka_unit_test(rows_of_a_sequence_that_has_ended_are_dropped),
		cmocka_unit_test(an_answer_that_was_put_aside_goes_on_with_the_same_tokens),
		cmocka_unit_test(a_block_that_thinks_too_long_is_ended),
		cmocka_unit_test(wishes_are_kept_when_an_answer_was_put_aside),
		cmocka_unit_test(wishes_are_kept_beside_a_neighbour_with_others),
		cmocka_unit_test(a_special_token_inside_a_stop_string_is_not_part_of_the_text),
	};
	char dir[] = "/tmp/tongyun-executor-XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	snprintf(model_path, sizeof(model_path), "%s/model.gguf", dir);
	support_write_model(model_path, &shape, 8);
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(model_path);
	rmdir(dir);
	return failed;
}
