/* cmd/answer.c - see answer.h. */
#include "cmd/answer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/detokenize.h"
#include "engine/session.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "model/template/template.h"
#include "model/tokenizer/tokenizer.h"
#include "server/openai_answer.h"

#define SCRATCH_CHUNK     ((size_t)64 << 10)
#define SCRATCH_BYTES_MAX ((size_t)1 << 30)
#define ANSWER_BYTES_MAX  ((size_t)64 << 20)
#define LOGPROB_BYTES_MAX ((size_t)256 << 20)
/* of a prompt, between two looks at whether the answer is still wanted */
#define PIECE_TOKENS      512

enum err answerer_open(struct answerer *a, struct model *model,
	const struct answer_settings *settings, struct err_info *info)
{
	const uint32_t own_max = model_config(model)->context_max;
	const struct session_options options = {.sequences = 1, .kv_type = MODEL_KV_AUTO,
		.context_max = settings->context_max < own_max ? settings->context_max : own_max};
	enum err err;

	*a = (struct answerer){.model = model, .settings = *settings};
	buf_init(&a->logprobs, LOGPROB_BYTES_MAX);
	if ((err = think_rule_find(&a->thinks, model_tokenizer(model), info)) ||
		(err = session_open(&a->session, model, &options, info)))
		return err;
	a->context_max = session_context_max(a->session);
	a->tokens = mem_alloc(a->context_max, sizeof(*a->tokens));
	if (!a->tokens) {
		answerer_close(a);
		return err_set(info, ERR_MEMORY, "out of memory for %u tokens", a->context_max);
	}
	return ERR_NONE;
}

void answerer_close(struct answerer *a)
{
	session_close(a->session);
	buf_free(&a->logprobs);
	mem_free(a->tokens);
	*a = (struct answerer){0};
}

/* What a model says must not command the terminal: controls but line ends and tabs become '?'. */
static void show(const struct buf *text)
{
	size_t length;

	for (size_t at = 0; at < text->size; at += length) {
		const char *from = text->data + at;
		uint32_t code_point = 0;

		if (utf8_next(from, text->size - at, &length, &code_point) == UTF8_CHARACTER &&
			utf8_is_control(code_point) && *from != '\n' && *from != '\t')
			putchar('?');
		else
			fwrite(from, 1, length, stdout);
	}
}

static void put(struct buf *text, struct buf *answer)
{
	if (text->size > 0) {
		if (isatty(STDOUT_FILENO))
			show(text);
		else
			fwrite(text->data, 1, text->size, stdout);
		fflush(stdout);
		if (answer)
			buf_add(answer, text->data, text->size);
	}
	buf_clear(text);
}

static bool answer_unwanted(const struct answerer *a)
{
	return (a->stop && *a->stop) || ferror(stdout);
}

/* Before a token is sampled: it may be one that ends the thought. */
static void token_decide(struct answerer *a)
{
	const uint32_t forced = think_forced(&a->think, &a->thinks, a->settings.think_budget);

	if (forced != THINK_NONE)
		session_force(a->session, 0, forced);
}

/* A token of the answer. */
static void token_take(struct answerer *a, uint32_t token)
{
	const struct chip_logprobs *l = session_logprobs(a->session);
	struct chip_logprob list[1 + CHIP_TOP_LOGPROBS_MAX] = {{token, l->chosen}};

	think_add(&a->think, &a->thinks, a->settings.think_budget, token);
	if (!a->settings.sampling.logprobs)
		return;
	memcpy(list + 1, l->top, l->top_count * sizeof(*list));
	openai_logprob(&a->logprobs, model_tokenizer(a->model), list, l->top_count);
	buf_add_char(&a->logprobs, '\n');
}

/* From the first sampled token to the end, by the rules of a served request. */
static enum err decode(struct answerer *a, uint32_t token, uint32_t tokens_max, struct buf *answer,
	struct answer_stats *stats, struct err_info *info)
{
	const struct model_config *config = model_config(a->model);
	struct detokenize d;
	struct buf text;
	enum err err = ERR_NONE;

	buf_init(&text, ANSWER_BYTES_MAX);
	detokenize_init(&d, a->settings.stops, a->settings.stop_count, 0);
	const int64_t start_ns = clock_monotonic_ns();

	for (;;) {
		stats->answer_tokens++;
		token_take(a, token);
		if (model_config_is_eos(config, token))
			break;
		const struct token_text piece = tokenizer_answer_text(model_tokenizer(a->model),
			token);

		detokenize_add(&d, piece.bytes, piece.size, &text);
		put(&text, answer);
		if (d.stopped || stats->answer_tokens == tokens_max || answer_unwanted(a))
			break;
		token_decide(a);
		if ((err = session_next(a->session, 0, &token, info)))
			break;
	}
	detokenize_end(&d, &text);
	put(&text, answer);
	stats->decode_ns = clock_monotonic_ns() - start_ns;
	buf_free(&text);
	return err;
}

/* In pieces, so that a long prompt can be stopped too; *read is false then. */
static enum err prompt_read(struct answerer *a, uint32_t count, uint32_t *token, bool *read,
	struct err_info *info)
{
	*read = false;
	session_start(a->session, 0, &a->settings.sampling, a->tokens, count);
	think_start(&a->think, &a->thinks, a->tokens, count);
	buf_clear(&a->logprobs);
	token_decide(a);
	for (uint32_t at = 0; at < count && !answer_unwanted(a); at += PIECE_TOKENS) {
		const bool last = count - at <= PIECE_TOKENS;
		const enum err err = session_prefill(a->session, 0, a->tokens + at,
			last ? count - at : PIECE_TOKENS, last ? token : NULL, info);

		if (err)
			return err;
		*read = last;
	}
	return ERR_NONE;
}

enum err answerer_answer(struct answerer *a, uint32_t prompt_tokens, struct buf *text,
	struct answer_stats *stats, struct err_info *info)
{
	uint32_t tokens_max = a->context_max - prompt_tokens;
	const int64_t start_ns = clock_monotonic_ns();
	uint32_t token;
	bool read;
	enum err err;

	assert(prompt_tokens > 0 && prompt_tokens < a->context_max);
	if (a->settings.tokens_max > 0 && a->settings.tokens_max < tokens_max)
		tokens_max = a->settings.tokens_max;
	*stats = (struct answer_stats){.prompt_tokens = prompt_tokens};
	if ((err = prompt_read(a, prompt_tokens, &token, &read, info)))
		return err;
	stats->first_ns = clock_monotonic_ns() - start_ns;
	if (read)
		err = decode(a, token, tokens_max, text, stats, info);
	putchar('\n');
	return err;
}

/* The encoded prompt must be there and leave room for one token. */
static enum err prompt_check(const struct answerer *a, enum err err, const struct token_list *list,
	uint32_t *prompt_tokens, struct err_info *info)
{
	*prompt_tokens = (uint32_t)list->count;
	if (list->count >= a->context_max)
		return err_set(info, ERR_LIMIT,
			"the prompt does not fit into the context of %u tokens", a->context_max);
	if (!err && list->count == 0)
		return err_set(info, ERR_INPUT, "the prompt is empty");
	return err;
}

enum err answerer_prompt_chat(struct answerer *a, json_t *messages, uint32_t *prompt_tokens,
	struct err_info *info)
{
	struct tm now;
	struct token_list list = {.ids = a->tokens, .count_max = a->context_max};
	struct chat_prompt prompt = {.messages = messages, .generation_prompt = true,
		.now = cmd_now(&now)};
	json_t *kwargs = NULL;
	struct arena scratch;
	enum err err;

	if (!model_template(a->model))
		return err_set(info, ERR_UNSUPPORTED, "%s has no chat template; use --raw",
			model_name(a->model));
	if (a->settings.think >= 0)
		kwargs = json_pack("{s:b}", "enable_thinking", a->settings.think);
	prompt.kwargs = kwargs;
	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	err = chat_template_encode(model_template(a->model), model_tokenizer(a->model), &prompt,
		&scratch, &list, info);
	arena_reset(&scratch);
	json_decref(kwargs);
	return prompt_check(a, err, &list, prompt_tokens, info);
}

enum err answerer_prompt_raw(struct answerer *a, const char *text, size_t size,
	uint32_t *prompt_tokens, struct err_info *info)
{
	struct token_list list = {.ids = a->tokens, .count_max = a->context_max};
	struct arena scratch;
	enum err err;

	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	err = tokenizer_encode_raw(model_tokenizer(a->model), text, size, true, &scratch, &list,
		info);
	arena_reset(&scratch);
	return prompt_check(a, err, &list, prompt_tokens, info);
}

void answer_tell(const struct answerer *a, const struct answer_stats *s)
{
	const double speed = s->answer_tokens > 1
		? (s->answer_tokens - 1) / ((double)s->decode_ns / 1e9) : 0.0;

	if (a->logprobs.size > 0 || a->settings.stats)
		fflush(stdout);
	if (a->logprobs.size > 0)
		fwrite(a->logprobs.data, 1, a->logprobs.size, stderr);
	if (a->logprobs.failed)
		fprintf(stderr, "(the other log probabilities had no room)\n");
	if (!a->settings.stats)
		return;
	fprintf(stderr,
		"prompt %u tokens, first token after %.0f ms; answer %u tokens, %.1f tokens/s\n",
		s->prompt_tokens, (double)s->first_ns / 1e6, s->answer_tokens, speed);
}
