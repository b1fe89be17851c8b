/* server/prompt.c - see prompt.h. */
#include "server/prompt.h"

#include <assert.h>
#include <string.h>

#include "model/tokenizer.h"

#define PROMPT_TEXT_BYTES_MAX    ((size_t)64 << 20)
#define PROMPT_SCRATCH_BYTES_MAX ((size_t)256 << 20)
#define PROMPT_SCRATCH_CHUNK     65536
#define PROMPT_SPANS_MAX         4096

struct rendered {
	struct buf text;
	struct text_span spans[PROMPT_SPANS_MAX];
	size_t span_count;
};

static void add_trusted(struct rendered *r, const char *text)
{
	const size_t begin = r->text.size;

	buf_add_str(&r->text, text);
	if (r->span_count < PROMPT_SPANS_MAX)
		r->spans[r->span_count++] = (struct text_span){begin, r->text.size};
}

/* ChatML as it is, until the template engine is there. */
static void render(struct rendered *r, const struct openai_chat *chat)
{
	const json_t *message;
	size_t i;

	json_array_foreach(chat->messages, i, message) {
		const json_t *content = json_object_get(message, "content");

		add_trusted(r, "<|im_start|>");
		buf_add_str(&r->text, json_string_value(json_object_get(message, "role")));
		buf_add_char(&r->text, '\n');
		buf_add(&r->text, json_string_value(content), json_string_length(content));
		add_trusted(r, "<|im_end|>");
		buf_add_char(&r->text, '\n');
	}
	add_trusted(r, "<|im_start|>");
	buf_add_str(&r->text, "assistant\n");
}

static bool too_long(struct openai_error *error, uint32_t context_max)
{
	openai_error_set(error, OPENAI_CONTEXT_LENGTH, "messages",
		"This model's context is %u tokens, prompt and answer together. The prompt leaves no room for an answer.",
		context_max);
	return false;
}

static bool tokenise(struct prompt *out, const struct server_model *model, const struct rendered *r,
	uint32_t context_max, struct arena *arena, struct arena *scratch, struct openai_error *error)
{
	struct token_list list = {.ids = arena_array(arena, context_max, sizeof(*list.ids)), .count_max = context_max};
	struct err_info info = {0};

	if (!list.ids) {
		openai_error_set(error, OPENAI_OVERLOADED, NULL, "no memory is left for another request");
		error->retry_after_ns = 1000000000;
		return false;
	}
	const enum err err = tokenizer_encode_spans(model->tokenizer, r->text.data, r->text.size, r->spans, r->span_count,
		scratch, &list, &info);
	if (list.count >= context_max || (err == ERR_LIMIT && list.count == list.count_max))
		return too_long(error, context_max);
	if (err) {
		openai_error_set(error, OPENAI_INVALID, "messages", "%s", info.text);
		return false;
	}
	*out = (struct prompt){.tokens = list.ids, .count = (uint32_t)list.count};
	return true;
}

bool prompt_make(struct prompt *out, const struct server_model *model, const struct openai_chat *chat,
	uint32_t context_max, struct arena *arena, struct openai_error *error)
{
	struct rendered rendered = {.span_count = 0};
	struct arena scratch;
	bool ok;

	arena_init(&scratch, PROMPT_SCRATCH_CHUNK, PROMPT_SCRATCH_BYTES_MAX);
	buf_init(&rendered.text, PROMPT_TEXT_BYTES_MAX);
	render(&rendered, chat);
	ok = tokenise(out, model, &rendered, context_max, arena, &scratch, error);
	buf_free(&rendered.text);
	arena_reset(&scratch);
	return ok;
}
