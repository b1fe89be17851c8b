/* server/chat_request.c - what a client asked for becomes a request of the engine, in its own
 * arena: after it the body may go. */
#include <stdlib.h>

#include "base/prng.h"
#include "server/chat.h"

static bool stops_copy(struct call *c)
{
	struct request *r = &c->chat->request;

	for (uint32_t i = 0; i < c->chat->asked.stop_count; i++) {
		r->stops[i] = c->chat->asked.stops[i];
		r->stops[i].text = arena_strndup(&r->arena, c->chat->asked.stops[i].text,
			c->chat->asked.stops[i].size);
		if (!r->stops[i].text)
			return false;
	}
	r->stop_count = c->chat->asked.stop_count;
	return true;
}

static void eos_set(struct request *r, const struct server_model *model)
{
	for (uint32_t i = 0; i < model->eos_count; i++)
		r->eos[i] = r->sampling.banned[i] = model->eos[i];
	r->eos_count = model->eos_count;
	r->sampling.banned_count = model->eos_count;
	r->sampling.banned_until = r->ignore_eos ? UINT32_MAX
		: r->prompt_tokens + r->answer_tokens_min;
}

/* The values were checked when the body was read. */
static bool biases_copy(struct request *r, json_t *bias)
{
	struct chip_bias *biases;
	const char *key;
	json_t *value;

	if (!bias)
		return true;
	biases = arena_array(&r->arena, json_object_size(bias), sizeof(*biases));
	if (!biases)
		return false;
	json_object_foreach(bias, key, value)
		biases[r->sampling.bias_count++] = (struct chip_bias){
			(uint32_t)strtoul(key, NULL, 10), (float)json_number_value(value)};
	r->sampling.biases = biases;
	return true;
}

/* In blocks, because the whole may be more than a chunk of the arena. */
static bool logprobs_open(struct request *r)
{
	const uint32_t blocks = (r->answer_tokens_max - 1) / REQUEST_LOGPROBS_BLOCK + 1;
	const size_t each = REQUEST_LOGPROBS_BLOCK * (1 + (size_t)r->sampling.top_logprobs);

	if (!r->sampling.logprobs)
		return true;
	r->logprobs = arena_array(&r->arena, blocks, sizeof(struct chip_logprob *));
	for (uint32_t i = 0; r->logprobs && i < blocks; i++) {
		r->logprobs[i] = arena_array(&r->arena, each, sizeof(**r->logprobs));
		if (!r->logprobs[i])
			return false;
	}
	return r->logprobs != NULL;
}

/* Room is what the prompt leaves (rules.md 3). */
bool chat_request_fill(struct call *c, const struct server_model *model)
{
	struct request *r = &c->chat->request;
	const uint32_t room = c->chat->context_max - r->prompt_tokens;

	r->handle = c->handle;
	r->model = c->chat->asked.model;
	r->answer_tokens_max = c->chat->asked.max_tokens >= 0 && c->chat->asked.max_tokens < room
		? (uint32_t)c->chat->asked.max_tokens : room;
	r->answer_tokens_min = c->chat->asked.min_tokens < r->answer_tokens_max
		? (uint32_t)c->chat->asked.min_tokens : r->answer_tokens_max;
	r->ignore_eos = c->chat->asked.ignore_eos;
	r->sampling = c->chat->asked.sampling;
	if (!c->chat->asked.seed_given)
		prng_system(&r->sampling.seed, sizeof(r->sampling.seed));
	eos_set(r, model);
	r->think = model->think;
	r->think_budget = c->chat->asked.thinking_budget < 0 ? THINK_NONE
		: (uint32_t)c->chat->asked.thinking_budget;
	think_start(&c->chat->think, r->think, r->prompt, r->prompt_tokens);
	r->answer = arena_array(&r->arena, r->answer_tokens_max, sizeof(*r->answer));
	c->chat->detokenize = arena_alloc(&r->arena, sizeof(*c->chat->detokenize));
	if (!r->answer || !c->chat->detokenize || !stops_copy(c) ||
		!biases_copy(r, c->chat->asked.logit_bias) || !logprobs_open(r))
		return false;
	detokenize_init(c->chat->detokenize, r->stops, r->stop_count, r->answer_tokens_min);
	return true;
}
