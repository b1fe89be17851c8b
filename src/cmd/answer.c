/* cmd/answer.c - see answer.h. */
#include "cmd/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engine/detokenise.h"
#include "engine/session.h"
#include "model/config.h"
#include "model/model.h"
#include "model/template.h"
#include "model/tokenizer.h"

#define SCRATCH_CHUNK     ((size_t)64 << 10)
#define SCRATCH_BYTES_MAX ((size_t)1 << 30)
#define ANSWER_BYTES_MAX  ((size_t)64 << 20)

enum err answerer_open(struct answerer *a, struct model *model, const struct answer_settings *settings,
	struct err_info *info)
{
	const struct session_options options = {.sequences = 1, .kv_type = CHIP_F16};
	enum err err;

	*a = (struct answerer){.model = model, .settings = *settings};
	if ((err = session_open(&a->session, model, &options, info)))
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
	mem_free(a->tokens);
	*a = (struct answerer){0};
}

static void put(struct buf *text, struct buf *answer)
{
	if (text->size > 0) {
		fwrite(text->data, 1, text->size, stdout);
		fflush(stdout);
		if (answer)
			buf_add(answer, text->data, text->size);
	}
	buf_clear(text);
}

/* From the first sampled token to the end, by the rules of a served request (rules.md 3, 7). */
static enum err decode(struct answerer *a, uint32_t token, uint32_t tokens_max, struct buf *answer,
	struct answer_stats *stats, struct err_info *info)
{
	const struct model_config *config = model_config(a->model);
	struct detokenise d;
	struct buf text;
	enum err err = ERR_NONE;

	buf_init(&text, ANSWER_BYTES_MAX);
	detokenise_init(&d, a->settings.stops, a->settings.stop_count, 0);
	const int64_t start_ns = clock_monotonic_ns();

	for (;;) {
		stats->answer_tokens++;
		if (model_config_is_eos(config, token))
			break;
		const struct token_text piece = tokenizer_text(model_tokenizer(a->model), token);
		const bool special = tokenizer_is_special(model_tokenizer(a->model), token);

		detokenise_add(&d, piece.bytes, special ? 0 : piece.size, &text);
		put(&text, answer);
		if (d.stopped || stats->answer_tokens == tokens_max || (a->stop && *a->stop))
			break;
		if ((err = session_next(a->session, 0, &token, info)))
			break;
	}
	detokenise_end(&d, &text);
	put(&text, answer);
	stats->decode_ns = clock_monotonic_ns() - start_ns;
	buf_free(&text);
	return err;
}

/* The prompt's tokens are in a->tokens. */
static enum err answer(struct answerer *a, uint32_t prompt_tokens, struct buf *text, struct answer_stats *stats,
	struct err_info *info)
{
	uint32_t tokens_max = a->context_max - prompt_tokens;
	const int64_t start_ns = clock_monotonic_ns();
	uint32_t token;
	enum err err;

	if (a->settings.tokens_max > 0 && a->settings.tokens_max < tokens_max)
		tokens_max = a->settings.tokens_max;
	*stats = (struct answer_stats){.prompt_tokens = prompt_tokens};
	session_start(a->session, 0, &a->settings.sampling, a->tokens, prompt_tokens);
	if ((err = session_prefill(a->session, 0, a->tokens, prompt_tokens, &token, info)))
		return err;
	stats->first_ns = clock_monotonic_ns() - start_ns;
	err = decode(a, token, tokens_max, text, stats, info);
	putchar('\n');
	return err;
}

/* The encoded prompt must be there and leave room for one token. */
static enum err prompt_check(const struct answerer *a, enum err err, const struct token_list *list,
	struct err_info *info)
{
	if (err == ERR_LIMIT || (!err && list->count >= a->context_max))
		return err_set(info, ERR_LIMIT, "the prompt does not fit into the context of %u tokens", a->context_max);
	if (!err && list->count == 0)
		return err_set(info, ERR_INPUT, "the prompt is empty");
	return err;
}

enum err answerer_chat(struct answerer *a, json_t *messages, struct buf *text, struct answer_stats *stats,
	struct err_info *info)
{
	struct token_list list = {.ids = a->tokens, .count_max = a->context_max};
	struct chat_prompt prompt = {.messages = messages, .generation_prompt = true};
	json_t *kwargs = NULL;
	struct arena scratch;
	enum err err;

	if (!model_template(a->model))
		return err_set(info, ERR_UNSUPPORTED, "%s has no chat template; use --raw", model_name(a->model));
	if (a->settings.think >= 0)
		kwargs = json_pack("{s:b}", "enable_thinking", a->settings.think);
	prompt.kwargs = kwargs;
	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	err = chat_template_encode(model_template(a->model), model_tokenizer(a->model), &prompt, &scratch, &list, info);
	arena_reset(&scratch);
	json_decref(kwargs);
	if ((err = prompt_check(a, err, &list, info)))
		return err;
	return answer(a, (uint32_t)list.count, text, stats, info);
}

enum err answerer_raw(struct answerer *a, const char *prompt, struct answer_stats *stats, struct err_info *info)
{
	struct token_list list = {.ids = a->tokens, .count_max = a->context_max};
	struct arena scratch;
	enum err err;

	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	err = tokenizer_encode(model_tokenizer(a->model), prompt, strlen(prompt), true, &scratch, &list, info);
	arena_reset(&scratch);
	if ((err = prompt_check(a, err, &list, info)))
		return err;
	return answer(a, (uint32_t)list.count, NULL, stats, info);
}
