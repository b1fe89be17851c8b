/* fuzz/openai_body_fuzz.c - any body of POST /v1/chat/completions: validated whole, or refused with
 * words; and what it took of the memory for all bodies is given back. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "server/openai_request.h"

#define TREES_BYTES (4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct openai_model MODELS[] = {
	{"small", {.temperature = 0.6f, .top_p = 0.95f, .top_k = 20, .repetition_penalty = 1}, 151669},
	{"large", {.temperature = 1, .top_p = 1, .repetition_penalty = 1}, 151669},
};

static void check_taken(const struct openai_chat *chat)
{
	const struct chip_sampling *s = &chat->sampling;
	const json_t *message;
	size_t i;

	assert(chat->model < 2 || chat->model == CORE_NONE);
	assert(s->temperature >= 0 && s->top_p > 0 && s->top_p <= 1 && s->min_p >= 0 &&
		s->min_p <= 1);
	assert(s->repetition_penalty > 0);
	assert(s->typical_p >= 0 && s->typical_p <= 1);
	assert(s->top_logprobs <= CHIP_TOP_LOGPROBS_MAX && (s->logprobs || !s->top_logprobs));
	assert(json_object_size(chat->logit_bias) <= CHIP_BIASES_MAX);
	assert(chat->max_tokens == -1 || chat->max_tokens > 0);
	assert(chat->min_tokens >= 0 &&
		(chat->max_tokens < 0 || chat->min_tokens <= chat->max_tokens));
	assert(chat->stop_count <= REQUEST_STOPS_MAX);
	for (i = 0; i < chat->stop_count; i++)
		assert(chat->stops[i].size > 0 && chat->stops[i].size <= REQUEST_STOP_BYTES);
	assert(json_array_size(chat->messages) > 0);
	json_array_foreach(chat->messages, i, message)
		assert(json_is_string(json_object_get(message, "role")) &&
			json_is_string(json_object_get(message, "content")));
	assert(!chat->tools || json_is_array(chat->tools));
	assert(!chat->template_kwargs || json_is_object(chat->template_kwargs));
}

static void check_refused(const struct openai_error *error)
{
	struct buf body;

	buf_init(&body, 65536);
	assert(openai_error_status(error) >= 400);
	assert(openai_error_status(error) != 503 || error->retry_after_ns > 0);
	openai_error_body(error, &body);
	json_t *document = json_loadb(body.data, body.size, 0, NULL);
	assert(document && json_is_string(json_object_get(json_object_get(document, "error"),
		"message")));
	json_decref(document);
	buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct openai_chat chat;
	struct openai_error error;
	struct json_pool trees;

	json_pool_init(&trees, TREES_BYTES);
	if (openai_chat_parse(&chat, size ? (const char *)data : "", size, MODELS, 2, NULL, &trees,
		&error)) {
		check_taken(&chat);
		openai_chat_free(&chat);
	} else {
		check_refused(&error);
	}
	assert(trees.left_bytes == TREES_BYTES);
	return 0;
}
