/* engine/session.c - see session.h. Every sequence owns its pages, its state and
 * its slot for life. */
#include "engine/session.h"

#include <assert.h>

#include "base/mem.h"
#include "base/prng.h"
#include "model/arch/config.h"
#include "model/model.h"

#define CONTEXT_DEFAULT 4096

struct session {
	struct model *model;
	struct chip *chip;
	struct chip_cache *cache;
	const struct chip_observer *observer;
	uint32_t sequences;
	uint32_t context_max;
	uint32_t pages_each;
	uint32_t chunk;
	bool has_states;
	uint32_t *length;       /* [sequences] tokens in the cache */
	uint32_t *slot;         /* [sequences] slot and state of a sequence */
	uint32_t *forced;       /* [sequences] its next token, or CHIP_NONE */
	struct chip_logprobs logprobs;
	uint32_t *pages;        /* [sequences, pages_each] */
	struct chip_row *rows;  /* [chunk] */
	struct chip_sequence *step_sequences;
	uint32_t *step_pages;
};

/* values[i] = i, then shuffled when there is a seed. */
static void deal(uint32_t *values, uint32_t count, uint64_t seed)
{
	struct prng prng;

	for (uint32_t i = 0; i < count; i++)
		values[i] = i;
	if (seed == 0)
		return;
	prng_init(&prng, seed);
	for (uint32_t i = count; i > 1; i--) {
		const uint32_t j = (uint32_t)prng_below(&prng, i);
		const uint32_t kept = values[i - 1];

		values[i - 1] = values[j];
		values[j] = kept;
	}
}

static enum err session_buffers(struct session *s, const struct session_options *options,
	struct err_info *info)
{
	const uint32_t page_count = s->sequences * s->pages_each;

	s->length = mem_alloc(s->sequences, sizeof(*s->length));
	s->slot = mem_alloc(s->sequences, sizeof(*s->slot));
	s->forced = mem_alloc(s->sequences, sizeof(*s->forced));
	s->pages = mem_alloc(page_count, sizeof(*s->pages));
	s->rows = mem_alloc(s->chunk, sizeof(*s->rows));
	s->step_sequences = mem_alloc(s->sequences, sizeof(*s->step_sequences));
	s->step_pages = mem_alloc(page_count, sizeof(*s->step_pages));
	if (!s->length || !s->slot || !s->forced || !s->pages || !s->rows || !s->step_sequences ||
		!s->step_pages)
		return err_set(info, ERR_MEMORY, "out of memory for %u sequences", s->sequences);
	deal(s->slot, s->sequences, options->page_seed);
	for (uint32_t i = 0; i < s->sequences; i++)
		s->forced[i] = CHIP_NONE;
	deal(s->pages, page_count, options->page_seed);
	return ERR_NONE;
}

enum err session_open(struct session **out, struct model *model,
	const struct session_options *options, struct err_info *info)
{
	const struct model_config *config = model_config(model);
	struct chip_cache_layout layout;
	struct session *s = mem_alloc(1, sizeof(*s));
	enum err err;

	assert(options->sequences > 0 && options->sequences <= CHIP_SEQUENCES_MAX);
	*out = NULL;
	if (!s)
		return err_set(info, ERR_MEMORY, "out of memory for a session");
	s->model = model;
	s->chip = model_chip(model);
	s->observer = options->observer;
	s->sequences = options->sequences;
	s->context_max = options->context_max;
	if (s->context_max == 0)
		s->context_max = config->context_max < CONTEXT_DEFAULT ? config->context_max
			: CONTEXT_DEFAULT;
	s->chunk = options->chunk;
	if (s->chunk == 0 || s->chunk > model_program_desc(model)->rows_max)
		s->chunk = model_program_desc(model)->rows_max;
	model_cache_layout(model, options->kv_type, &layout);
	s->pages_each = chip_pages(s->context_max);
	s->has_states = layout.delta_layers > 0;
	layout.pages = layout.attention_layers > 0 ? s->pages_each * s->sequences : 0;
	layout.states = s->has_states ? s->sequences : 0;
	layout.slots = s->sequences;
	layout.context_max = s->context_max;
	if ((err = session_buffers(s, options, info)) ||
		(err = chip_cache_open(s->chip, &s->cache, &layout, info))) {
		session_close(s);
		return err;
	}
	*out = s;
	return ERR_NONE;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	chip_cache_close(s->chip, s->cache);
	mem_free(s->length);
	mem_free(s->slot);
	mem_free(s->forced);
	mem_free(s->pages);
	mem_free(s->rows);
	mem_free(s->step_sequences);
	mem_free(s->step_pages);
	mem_free(s);
}

uint32_t session_context_max(const struct session *s)
{
	return s->context_max;
}

void session_start(struct session *s, uint32_t sequence, const struct chip_sampling *sampling,
	const uint32_t *prompt, uint32_t prompt_count)
{
	assert(sequence < s->sequences);
	s->length[sequence] = 0;
	s->forced[sequence] = CHIP_NONE;
	chip_slot_open(s->chip, s->cache, s->slot[sequence], sampling, prompt, prompt_count, NULL,
		0);
}

void session_force(struct session *s, uint32_t sequence, uint32_t token)
{
	assert(sequence < s->sequences);
	s->forced[sequence] = token;
}

static void step_add_item(struct session *s, struct chip_step *step,
	const struct session_item *item)
{
	const uint32_t row_count = item->tokens ? item->token_count : 1;
	const uint32_t length = s->length[item->sequence];
	const uint32_t page_count = chip_pages(length + row_count);
	const uint32_t state = s->has_states ? s->slot[item->sequence] : CHIP_NONE;

	assert(row_count > 0 && step->row_count + row_count <= s->chunk);
	s->step_sequences[step->sequence_count] = (struct chip_sequence){
		.slot = s->slot[item->sequence],
		.row_count = row_count,
		.cached_tokens = length,
		.first_page = step->page_count,
		.page_count = page_count,
		.state_read = length > 0 ? state : CHIP_NONE,
		.state_write = state,
		.forced = item->want == CHIP_WANT_TOKEN && s->forced[item->sequence] != CHIP_NONE,
		.forced_token = s->forced[item->sequence],
	};
	if (item->want == CHIP_WANT_TOKEN)
		s->forced[item->sequence] = CHIP_NONE;
	for (uint32_t i = 0; i < page_count; i++)
		s->step_pages[step->page_count++] = s->pages[item->sequence * s->pages_each + i];
	for (uint32_t i = 0; i < row_count; i++) {
		const uint32_t at = length + i;
		const bool wants = item->want_all || i == row_count - 1;

		s->rows[step->row_count++] = (struct chip_row){
			.sequence = step->sequence_count,
			.input = item->tokens ? CHIP_INPUT_TOKEN : CHIP_INPUT_LAST,
			.want = wants ? (uint8_t)item->want : CHIP_WANT_NOTHING,
			.value = item->tokens ? item->tokens[i] : 0,
			.position = {at, at, at},
		};
	}
	step->sequence_count++;
}

enum err session_step(struct session *s, const struct session_item *items, uint32_t item_count,
	struct chip_output *output, struct err_info *info)
{
	struct chip_step step = {.rows = s->rows, .sequences = s->step_sequences,
		.pages = s->step_pages};
	uint64_t ticket;
	enum err err;

	for (uint32_t i = 0; i < item_count; i++) {
		const uint32_t row_count = items[i].tokens ? items[i].token_count : 1;

		assert(items[i].sequence < s->sequences);
		if (s->length[items[i].sequence] + row_count > s->context_max)
			return err_set(info, ERR_LIMIT, "the context of %u tokens is full",
				s->context_max);
		step_add_item(s, &step, &items[i]);
	}
	if ((err = chip_submit(s->chip, model_program(s->model), s->cache, &step, s->observer,
		&ticket, info)) ||
		(err = chip_wait(s->chip, ticket, output, info)))
		return err;
	for (uint32_t i = 0; i < item_count; i++)
		s->length[items[i].sequence] += items[i].tokens ? items[i].token_count : 1;
	return ERR_NONE;
}

static enum err step_token(struct session *s, const struct session_item *item, uint32_t *token,
	struct err_info *info)
{
	struct chip_output output = {.tokens = token, .logprobs = &s->logprobs};
	const enum err err = session_step(s, item, 1, &output, info);

	if (err)
		return err;
	if (token && *token == CHIP_NONE)
		return err_set(info, ERR_INPUT,
			"the model's logits are not finite: its weights are damaged; get them "
			"again");
	return ERR_NONE;
}

enum err session_prefill(struct session *s, uint32_t sequence, const uint32_t *tokens,
	uint32_t token_count, uint32_t *token, struct err_info *info)
{
	assert(token_count > 0);
	for (uint32_t at = 0; at < token_count;) {
		const uint32_t left = token_count - at;
		const uint32_t count = left < s->chunk ? left : s->chunk;
		const bool last = count == left && token;
		const struct session_item item = {
			.sequence = sequence,
			.tokens = tokens + at,
			.token_count = count,
			.want = last ? CHIP_WANT_TOKEN : CHIP_WANT_NOTHING,
		};
		const enum err err = step_token(s, &item, last ? token : NULL, info);

		if (err)
			return err;
		at += count;
	}
	return ERR_NONE;
}

const struct chip_logprobs *session_logprobs(const struct session *s)
{
	return &s->logprobs;
}

enum err session_next(struct session *s, uint32_t sequence, uint32_t *token, struct err_info *info)
{
	const struct session_item item = {.sequence = sequence, .want = CHIP_WANT_TOKEN};

	return step_token(s, &item, token, info);
}
