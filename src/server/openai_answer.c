/* server/openai_answer.c - see openai_answer.h. Written straight into the buffer: a delta costs
 * no tree of values. */
#include "server/openai_answer.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "model/tokenizer/tokenizer.h"

/* What clients know of rules.md 8. */
static const char *finish_name(enum record_finish finish)
{
	switch (finish) {
	case RECORD_FINISH_STOP:
		return "stop";
	case RECORD_FINISH_LENGTH:
		return "length";
	case RECORD_FINISH_TOOL_CALLS:
		return "tool_calls";
	case RECORD_FINISH_OPEN:
	case RECORD_FINISH_CANCELLED:
	case RECORD_FINISH_ERROR:
		break;
	}
	assert(false);  /* such an answer ends with an error, not with a reason */
	return "";
}

static void add_usage(struct buf *out, const struct openai_usage *u)
{
	buf_printf(out,
		"{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
		",\"prompt_tokens_details\":{\"cached_tokens\":%" PRId64 "}"
		",\"completion_tokens_details\":{\"reasoning_tokens\":%" PRId64 "}}",
		u->prompt_tokens, u->completion_tokens, u->prompt_tokens + u->completion_tokens,
		u->cached_tokens,
		u->reasoning_tokens);
}

/* Fields of a token, without the closing brace. Its bytes need not be whole characters. */
static void add_logprob(struct buf *out, const struct tokenizer *tokenizer,
	const struct chip_logprob *l)
{
	const struct token_text text = tokenizer_text(tokenizer, l->token);

	buf_add_str(out, "{\"token\":");
	json_add_string(out, text.size ? text.bytes : "", text.size);
	buf_printf(out, ",\"logprob\":%.9g,\"bytes\":[", (double)l->logprob);
	for (size_t i = 0; i < text.size; i++)
		buf_printf(out, i ? ",%u" : "%u", (unsigned char)text.bytes[i]);
	buf_add_char(out, ']');
}

void openai_logprob(struct buf *out, const struct tokenizer *tokenizer,
	const struct chip_logprob *own, uint32_t top_count)
{
	add_logprob(out, tokenizer, own);
	buf_add_str(out, ",\"top_logprobs\":[");
	for (uint32_t i = 1; i <= top_count && own[i].token != CHIP_NONE; i++) {
		buf_add_str(out, i > 1 ? "," : "");
		add_logprob(out, tokenizer, &own[i]);
		buf_add_char(out, '}');
	}
	buf_add_str(out, "]}");
}

static void add_logprobs(struct buf *out, const struct openai_logprobs *l)
{
	if (!l) {
		buf_add_str(out, "null");
		return;
	}
	buf_add_str(out, "{\"content\":[");
	for (uint32_t i = l->first; i < l->end; i++) {
		buf_add_str(out, i > l->first ? "," : "");
		openai_logprob(out, l->tokenizer, request_logprobs(l->request, i),
			l->request->sampling.top_logprobs);
	}
	buf_add_str(out, "],\"refusal\":null}");
}

static void add_head(struct buf *out, const struct openai_answer *a, const char *object)
{
	assert(strncmp(a->request_id, "req_", 4) == 0);
	buf_printf(out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", a->request_id + 4,
		object, a->created_s);
	json_add_string(out, a->model, strlen(a->model));
}

static void chunk_open(struct buf *out, const struct openai_answer *a)
{
	buf_add_str(out, "data: ");
	add_head(out, a, "chat.completion.chunk");
	buf_add_str(out, ",\"choices\":[");
}

static void chunk_close(struct buf *out, const struct openai_answer *a,
	const struct openai_usage *usage)
{
	buf_add_char(out, ']');
	if (usage) {
		buf_add_str(out, ",\"usage\":");
		add_usage(out, usage);
	} else if (a->with_usage) {
		buf_add_str(out, ",\"usage\":null");
	}
	buf_add_str(out, "}\n\n");
}

void openai_chunk_first(struct buf *out, const struct openai_answer *a)
{
	chunk_open(out, a);
	buf_add_str(out, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
		"\"finish_reason\":null}");
	chunk_close(out, a, NULL);
}

void openai_chunk_text(struct buf *out, const struct openai_answer *a, const char *text,
	size_t size, const struct openai_logprobs *logprobs,
	const struct openai_usage *usage_so_far)
{
	chunk_open(out, a);
	buf_add_str(out, "{\"index\":0,\"delta\":{\"content\":");
	json_add_string(out, text, size);
	buf_add_str(out, "},\"logprobs\":");
	add_logprobs(out, logprobs);
	buf_add_str(out, ",\"finish_reason\":null}");
	chunk_close(out, a, usage_so_far);
}

void openai_chunk_finish(struct buf *out, const struct openai_answer *a, enum record_finish finish,
	const struct openai_usage *usage_so_far)
{
	chunk_open(out, a);
	buf_printf(out, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}",
		finish_name(finish));
	chunk_close(out, a, usage_so_far);
}

void openai_chunk_usage(struct buf *out, const struct openai_answer *a,
	const struct openai_usage *usage)
{
	chunk_open(out, a);
	chunk_close(out, a, usage);
}

void openai_chunk_error(struct buf *out, const struct openai_error *error)
{
	buf_add_str(out, "data: ");
	openai_error_body(error, out);
	buf_add_str(out, "\n\n");
}

void openai_chunk_done(struct buf *out)
{
	buf_add_str(out, "data: [DONE]\n\n");
}

void openai_completion(struct buf *out, const struct openai_answer *a, const char *text,
	size_t size, const struct openai_logprobs *logprobs, enum record_finish finish,
	const struct openai_usage *usage)
{
	add_head(out, a, "chat.completion");
	buf_add_str(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
	json_add_string(out, text, size);
	buf_add_str(out, ",\"refusal\":null},\"logprobs\":");
	add_logprobs(out, logprobs);
	buf_printf(out, ",\"finish_reason\":\"%s\"}],\"usage\":", finish_name(finish));
	add_usage(out, usage);
	buf_add_char(out, '}');
}

void openai_model_object(struct buf *out, const char *id, int64_t created_s, uint32_t context_max)
{
	buf_add_str(out, "{\"id\":");
	json_add_string(out, id, strlen(id));
	buf_printf(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"tongyun\",\"root\":", created_s);
	json_add_string(out, id, strlen(id));
	buf_printf(out, ",\"parent\":null,\"max_model_len\":%u}", context_max);
}
