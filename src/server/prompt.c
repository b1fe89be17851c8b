/* server/prompt.c - see prompt.h. */
#include "server/prompt.h"

#include <time.h>

#include "base/clock.h"
#include "model/template/template.h"
#include "model/tokenizer/tokenizer.h"

#define PROMPT_SCRATCH_BYTES_MAX ((size_t)256 << 20)
#define PROMPT_SCRATCH_CHUNK     65536

static bool too_long(struct openai_error *error, uint32_t context_max)
{
	openai_error_set(error, OPENAI_CONTEXT_LENGTH, "messages",
		"This model's context is %u tokens, prompt and answer together. The prompt leaves "
		"no room for an answer.",
		context_max);
	return false;
}

/* What went wrong with the prompt, in the client's terms. */
static bool refuse(struct openai_error *error, enum err err, const struct token_list *list,
	uint32_t context_max, const struct err_info *info)
{
	if (list->count >= context_max || (err == ERR_LIMIT && list->count == list->count_max))
		return too_long(error, context_max);
	if (err == ERR_MEMORY)
		return openai_error_no_memory(error);
	openai_error_set(error, OPENAI_INVALID, "messages", "%s", info->text);
	return false;
}

bool prompt_make(struct prompt *out, const struct server_model *model,
	const struct openai_chat *chat, uint32_t context_max, struct arena *arena,
	struct openai_error *error)
{
	const time_t seconds = (time_t)(clock_wall_ns() / NS_PER_S);
	struct tm now;
	const struct chat_prompt prompt = {
		.messages = chat->messages,
		.tools = chat->tools,
		.kwargs = chat->template_kwargs,
		.generation_prompt = true,
		.now = gmtime_r(&seconds, &now),
	};
	struct token_list list = {.ids = arena_array(arena, context_max, sizeof(*list.ids)),
		.count_max = context_max};
	struct err_info info = {0};
	struct arena scratch;

	if (!model->chat_template) {
		openai_error_set(error, OPENAI_INVALID, "model", "%.100s has no chat template",
			model->id);
		return false;
	}
	if (!list.ids)
		return openai_error_no_memory(error);
	arena_init(&scratch, PROMPT_SCRATCH_CHUNK, PROMPT_SCRATCH_BYTES_MAX);
	enum err err = chat_template_encode(model->chat_template, model->tokenizer, &prompt,
		&scratch, &list, &info);

	if (err && scratch.starved)
		err = ERR_MEMORY;  /* what found none may have taken it for its limit */
	arena_reset(&scratch);
	if (err || list.count >= context_max)
		return refuse(error, err, &list, context_max, &info);
	*out = (struct prompt){.tokens = list.ids, .count = (uint32_t)list.count};
	return true;
}
