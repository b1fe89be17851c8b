/* engine/executor_chip.c - see executor_chip.h. Two rings and a thread: a batch comes in, becomes
 * the tables of a step, and goes back with a token for each item that sampled. */
#include "engine/executor_chip.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "engine/stop.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"

/* by default the caches of all models take at most a quarter of the chip's memory */
#define CACHE_SHARE 4

/* A running sequence, as the executor knows it. */
struct slot {
	uint32_t request;       /* handle, BATCH_NONE while unused */
	bool ended;             /* rows planned before the core knew are dropped */
	struct stop_state stop;
	struct think_state think;
};

struct executor_chip {
	struct executor base;
	struct chip *chip;
	struct model *model;
	const struct request_table *table;
	struct chip_cache *cache;
	struct wake *core_wake;

	struct thread *thread;
	struct wake wake;
	struct ring *in;        /* struct batch *, core to executor */
	struct ring *out;       /* struct batch *, executor to core */
	atomic_bool closing;

	struct slot *slots;
	struct chip_row *rows;
	struct chip_sequence *sequences;
	uint32_t *item_of;      /* sequence of the step to item of the batch */
	uint32_t *tokens;       /* of the wanted rows */
	struct chip_logprobs *logprobs;
	bool no_token_told;
};

/* Where the token of row `index` of a sequence comes from. What a batch before this one samples is
 * not known here yet; the answer of a sequence that comes back after a preemption is. */
static void row_input(struct chip_row *row, const struct request *r, uint32_t index)
{
	if (index < r->prompt_tokens) {
		row->input = CHIP_INPUT_TOKEN;
		row->value = r->prompt[index];
	} else if (index - r->prompt_tokens < r->answer_tokens) {
		row->input = CHIP_INPUT_TOKEN;
		row->value = r->answer[index - r->prompt_tokens];
	} else {
		row->input = CHIP_INPUT_LAST;
	}
}

static void slot_open(struct executor_chip *e, const struct batch_item *item,
	const struct request *r)
{
	struct slot *slot = &e->slots[item->slot];

	assert(item->first_token == 0);
	slot->request = item->request;
	slot->ended = false;
	stop_init(&slot->stop, r->stops, r->stop_count);
	think_start(&slot->think, r->think, r->prompt, r->prompt_tokens);
	for (uint32_t i = 0; i < r->answer_tokens; i++) {
		const struct token_text text =
			tokenizer_answer_text(model_tokenizer(e->model), r->answer[i]);
		const bool complete = stop_feed(&slot->stop, r->stops, r->stop_count,
			i >= r->answer_tokens_min, text.bytes, text.size, NULL, NULL);

		assert(!complete);
		think_add(&slot->think, r->think, r->think_budget, r->answer[i]);
	}
	chip_slot_open(e->chip, e->cache, item->slot, &r->sampling, r->prompt, r->prompt_tokens,
		r->answer, r->answer_tokens);
}

static void step_add_item(struct executor_chip *e, struct chip_step *step,
	const struct batch *batch, uint32_t at)
{
	const struct batch_item *item = &batch->items[at];
	const struct request *r = e->table->by_handle[item->request];
	struct chip_sequence *sequence = &e->sequences[step->sequence_count];

	*sequence = (struct chip_sequence){
		.slot = item->slot,
		.row_count = item->row_count,
		.cached_tokens = item->first_token,
		.first_page = item->first_page,
		.page_count = item->page_count,
		.state_read = item->state_read,
		.state_write = item->state_write,
	};
	for (uint32_t i = 0; i < item->row_count; i++) {
		const uint32_t index = item->first_token + i;
		struct chip_row *row = &e->rows[step->row_count + i];

		*row = (struct chip_row){.sequence = step->sequence_count,
			.position = {index, index, index}};
		row_input(row, r, index);
	}
	step->row_count += item->row_count;
	if (item->sample) {
		e->rows[step->row_count - 1].want = CHIP_WANT_TOKEN;
		sequence->forced_token = think_forced(&e->slots[item->slot].think, r->think,
			r->think_budget);
		sequence->forced = sequence->forced_token != THINK_NONE;
	}
	e->item_of[step->sequence_count++] = at;
}

/* The step of a batch, without the items whose sequence is over. */
static void step_build(struct executor_chip *e, struct chip_step *step, struct batch *batch)
{
	*step = (struct chip_step){
		.rows = e->rows,
		.sequences = e->sequences,
		.pages = batch->pages,
		.page_count = batch->page_count,
	};
	assert(batch->row_count <= e->base.limits.rows_max);
	for (uint32_t i = 0; i < batch->item_count; i++) {
		const struct batch_item *item = &batch->items[i];
		const struct slot *slot = &e->slots[item->slot];

		batch->results[i] = (struct batch_result){0};
		if (item->open)
			slot_open(e, item, e->table->by_handle[item->request]);
		assert(slot->request == item->request);
		if (!slot->ended)
			step_add_item(e, step, batch, i);
	}
}

static bool is_eos(const struct request *r, uint32_t token)
{
	for (uint32_t i = 0; i < r->eos_count; i++)
		if (r->eos[i] == token)
			return true;
	return false;
}

/* Appends the token to the answer and says whether the answer is over with it (rules.md 7). */
static enum batch_end answer_add(struct executor_chip *e, struct slot *slot, struct request *r,
	uint32_t token)
{
	assert(r->answer_tokens < r->answer_tokens_max);
	r->answer[r->answer_tokens++] = token;
	think_add(&slot->think, r->think, r->think_budget, token);
	if (!r->ignore_eos && is_eos(r, token))
		return BATCH_END_STOP;

	const struct token_text text = tokenizer_answer_text(model_tokenizer(e->model), token);

	if (stop_feed(&slot->stop, r->stops, r->stop_count, r->answer_tokens > r->answer_tokens_min,
		text.bytes, text.size, NULL, NULL))
		return BATCH_END_STOP;
	return r->answer_tokens == r->answer_tokens_max ? BATCH_END_LENGTH : BATCH_END_NOT;
}

/* Beside the answer's next token. */
static void logprobs_add(struct request *r, uint32_t token, const struct chip_logprobs *logprobs)
{
	struct chip_logprob *out = request_logprobs(r, r->answer_tokens);

	out[0] = (struct chip_logprob){.token = token, .logprob = logprobs->chosen};
	for (uint32_t i = 0; i < r->sampling.top_logprobs; i++)
		out[1 + i] = i < logprobs->top_count ? logprobs->top[i]
			: (struct chip_logprob){.token = CHIP_NONE};
}

/* Weights that give no numbers do so for every request: said once. */
static void no_token_tell(struct executor_chip *e)
{
	if (!e->no_token_told)
		log_line(LOG_ERROR, "engine/executor", "%s gives logits that are not finite: such "
			"requests end with an error", model_name(e->model));
	e->no_token_told = true;
}

static void step_results(struct executor_chip *e, const struct chip_step *step, struct batch *batch)
{
	uint32_t wanted = 0;

	for (uint32_t s = 0; s < step->sequence_count; s++) {
		const struct batch_item *item = &batch->items[e->item_of[s]];
		struct batch_result *result = &batch->results[e->item_of[s]];
		struct slot *slot = &e->slots[item->slot];
		struct request *r = e->table->by_handle[item->request];

		if (!item->sample)
			continue;
		const uint32_t token = e->tokens[wanted++];
		if (token != CHIP_NONE && r->logprobs)
			logprobs_add(r, token, &e->logprobs[wanted - 1]);
		if (token == CHIP_NONE) {
			result->end = BATCH_END_ERROR;
			no_token_tell(e);
		} else {
			result->end = answer_add(e, slot, r, token);
			result->token_count = 1;
			result->token_hash = hash_mix(0, token);
		}
		slot->ended = result->end != BATCH_END_NOT;
	}
}

/* Nothing of the step counts: its sequences are over, and rows already planned for
 * them are dropped. */
static void batch_fail(struct executor_chip *e, struct batch *batch, const struct err_info *info)
{
	log_line(LOG_ERROR, "engine/executor", "batch %llu of %u rows failed: %s",
		(unsigned long long)batch->id, batch->row_count, info->text);
	batch->failed = true;
	for (uint32_t i = 0; i < batch->item_count; i++)
		e->slots[batch->items[i].slot].ended = true;
}

static void batch_run(struct executor_chip *e, struct batch *batch)
{
	struct chip_step step;
	struct chip_output output = {.tokens = e->tokens, .logprobs = e->logprobs};
	struct err_info info = {0};
	uint64_t ticket;

	batch->failed = false;
	step_build(e, &step, batch);
	if (step.row_count == 0)
		return;
	if (chip_submit(e->chip, model_program(e->model), e->cache, &step, NULL, &ticket, &info) ||
		chip_wait(e->chip, ticket, &output, &info))
		batch_fail(e, batch, &info);
	else
		step_results(e, &step, batch);
}

static void executor_main(void *argument)
{
	struct executor_chip *e = argument;
	struct batch *batch;

	for (;;) {
		while (ring_pop(e->in, &batch)) {
			batch_run(e, batch);
			const bool pushed = ring_push(e->out, &batch);
			assert(pushed);
			wake_set(e->core_wake);
		}
		if (atomic_load(&e->closing))
			return;
		wake_wait(&e->wake, -1);
	}
}

static void executor_chip_submit(struct executor *base, struct batch *batch)
{
	struct executor_chip *e = (struct executor_chip *)base;
	const bool pushed = ring_push(e->in, &batch);

	assert(pushed);
	wake_set(&e->wake);
}

static struct batch *executor_chip_poll(struct executor *base)
{
	struct executor_chip *e = (struct executor_chip *)base;
	struct batch *batch;

	return ring_pop(e->out, &batch) ? batch : NULL;
}

static void executor_chip_close(struct executor *base)
{
	struct executor_chip *e = (struct executor_chip *)base;

	if (e->thread) {
		atomic_store(&e->closing, true);
		wake_set(&e->wake);
		thread_join(e->thread);
	}
	wake_close(&e->wake);
	ring_close(e->in);
	ring_close(e->out);
	chip_cache_close(e->chip, e->cache);
	mem_free(e->slots);
	mem_free(e->rows);
	mem_free(e->sequences);
	mem_free(e->item_of);
	mem_free(e->tokens);
	mem_free(e->logprobs);
	mem_free(e);
}

static const struct executor_ops executor_chip_ops = {
	.submit = executor_chip_submit,
	.poll = executor_chip_poll,
	.close = executor_chip_close,
};

/* To what the pages hold. */
static void context_cut(struct executor_limits *limits, const char *name, int64_t budget_bytes)
{
	const uint32_t wanted = limits->context_max;

	limits->context_max = limits->pages * CHIP_PAGE_TOKENS;
	log_line(LOG_WARN, "engine/executor", "%s: a cache of %lld MiB holds %u tokens, not %u: "
		"that is the context; --kv-cache-mib makes it larger", name,
		(long long)(budget_bytes >> 20), limits->context_max, wanted);
}

/* Pages for every slot's whole context if memory has it, else as many as fit;
 * states one per slot. */
static enum err cache_plan(struct executor_chip *e, const struct executor_chip_config *config,
	struct chip_cache_layout *layout, struct err_info *info)
{
	const struct model_config *model = model_config(e->model);
	struct executor_limits *limits = &e->base.limits;
	struct chip_info about;

	chip_describe(e->chip, &about);
	model_cache_layout(e->model, MODEL_KV_AUTO, layout);
	limits->slots = config->slots;
	limits->rows_max = config->rows_max;
	limits->vocab = model->vocab_used;
	limits->context_max = model->context_max;
	if (config->context_max > 0 && config->context_max < limits->context_max)
		limits->context_max = config->context_max;
	limits->states = layout->delta_layers > 0 ? config->slots : 0;

	const int64_t budget = config->cache_bytes > 0 ? config->cache_bytes
		: about.memory_bytes / CACHE_SHARE / (config->neighbours + 1);
	const int64_t state_bytes = chip_cache_state_bytes(e->chip, layout);
	const int64_t left = budget - limits->states * state_bytes;
	if (layout->attention_layers > 0 && left > 0) {
		const int64_t fit = left / chip_cache_page_bytes(e->chip, layout);
		const int64_t per_slot = chip_pages(limits->context_max);
		int64_t want = per_slot * config->slots;

		if (want > BATCH_PAGES_MAX)
			want = BATCH_PAGES_MAX;
		limits->pages = (uint32_t)(want < fit ? want : fit);
		if (limits->pages < per_slot)
			context_cut(limits, model_name(e->model), budget);
	}
	if (left <= 0 || (layout->attention_layers > 0 && limits->pages == 0))
		return err_set(info, ERR_MEMORY,
			"the cache needs more than the %lld bytes it may use; lower --parallel or "
			"raise the limit",
			(long long)budget);
	layout->pages = limits->pages;
	layout->states = limits->states;
	layout->slots = limits->slots;
	layout->context_max = limits->context_max;
	return ERR_NONE;
}

static enum err buffers_open(struct executor_chip *e, struct err_info *info)
{
	e->slots = mem_alloc(e->base.limits.slots, sizeof(*e->slots));
	e->rows = mem_alloc(e->base.limits.rows_max, sizeof(*e->rows));
	e->sequences = mem_alloc(BATCH_ITEMS_MAX, sizeof(*e->sequences));
	e->item_of = mem_alloc(BATCH_ITEMS_MAX, sizeof(*e->item_of));
	e->tokens = mem_alloc(BATCH_ITEMS_MAX, sizeof(*e->tokens));
	e->logprobs = mem_alloc(BATCH_ITEMS_MAX, sizeof(*e->logprobs));
	e->in = ring_open(EXECUTOR_BATCHES_MAX, sizeof(struct batch *));
	e->out = ring_open(EXECUTOR_BATCHES_MAX, sizeof(struct batch *));
	if (!e->slots || !e->rows || !e->sequences || !e->item_of || !e->tokens || !e->logprobs ||
		!e->in || !e->out)
		return err_set(info, ERR_MEMORY, "out of memory for the executor");
	for (uint32_t i = 0; i < e->base.limits.slots; i++)
		e->slots[i].request = BATCH_NONE;
	return ERR_NONE;
}

enum err executor_chip_open(struct executor **out, struct model *model,
	const struct request_table *table, const struct executor_chip_config *config,
	struct wake *wake, struct err_info *info)
{
	struct chip_cache_layout layout = {0};
	struct executor_chip *e = mem_alloc(1, sizeof(*e));
	enum err err;

	assert(config->slots > 0 && config->slots <= BATCH_ITEMS_MAX);
	assert(config->rows_max > 0 && config->rows_max <= CHIP_ROWS_MAX);
	*out = NULL;
	if (!e)
		return err_set(info, ERR_MEMORY, "out of memory for the executor");
	e->base.ops = &executor_chip_ops;
	e->chip = model_chip(model);
	e->model = model;
	e->table = table;
	e->core_wake = wake;
	e->wake.fd = -1;
	if ((err = cache_plan(e, config, &layout, info)) || (err = buffers_open(e, info)))
		goto failed;
	if (wake_open(&e->wake) != 0) {
		err = err_set_errno(info, "executor wake-up");
		goto failed;
	}
	if ((err = chip_cache_open(e->chip, &e->cache, &layout, info)) ||
		(err = thread_start(&e->thread, "ty-executor", executor_main, e, info)))
		goto failed;
	*out = &e->base;
	return ERR_NONE;
failed:
	executor_chip_close(&e->base);
	return err;
}
