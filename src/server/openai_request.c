/* server/openai_request.c - see openai_request.h. The messages themselves are openai_messages.c. */
#include "server/openai_request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/openai_messages.h"

#define TEMPERATURE_MAX  2.0    /* OpenAI's bound */
#define PENALTY_MAX      2.0
#define REPETITION_MAX   10.0
#define TOP_P_MIN        1e-6   /* 0 means the likeliest token alone, and so does this */
#define TYPICAL_P_MIN    1e-6
#define BIAS_MAX         100.0  /* OpenAI's bound */
#define TOKEN_DIGITS_MAX 9
#define TOKENS_MAX       INT32_MAX

static bool invalid(struct openai_error *error, const char *param, const struct err_info *info)
{
	openai_error_set(error, OPENAI_INVALID, param, "%s", info->text);
	return false;
}

/* ---- fields that are read -------------------------------------------------------------------- */

static bool read_float(const json_t *body, const char *key, double min, double max, float *out,
	struct openai_error *error)
{
	struct err_info info = {0};
	double value = (double)*out;

	if (json_get_double(body, key, min, max, &value, &info))
		return invalid(error, key, &info);
	*out = (float)value;
	return true;
}

static bool read_int(const json_t *body, const char *key, int64_t min, int64_t max, int64_t *out,
	struct openai_error *error)
{
	struct err_info info = {0};

	if (json_get_int(body, key, min, max, out, &info))
		return invalid(error, key, &info);
	return true;
}

static bool read_bool(const json_t *body, const char *key, bool *out, struct openai_error *error)
{
	struct err_info info = {0};

	if (json_get_bool(body, key, out, &info))
		return invalid(error, key, &info);
	return true;
}

static bool read_sampling(struct openai_chat *chat, struct openai_error *error)
{
	const json_t *body = chat->body;
	struct chip_sampling *s = &chat->sampling;
	int64_t top_k = s->top_k, seed = 0;

	if (!read_float(body, "temperature", 0, TEMPERATURE_MAX, &s->temperature, error) ||
		!read_float(body, "top_p", 0, 1, &s->top_p, error) ||
		!read_float(body, "min_p", 0, 1, &s->min_p, error) ||
		!read_float(body, "typical_p", TYPICAL_P_MIN, 1, &s->typical_p, error) ||
		!read_float(body, "presence_penalty", -PENALTY_MAX, PENALTY_MAX,
		&s->presence_penalty, error) ||
		!read_float(body, "frequency_penalty", -PENALTY_MAX, PENALTY_MAX,
		&s->frequency_penalty, error) ||
		!read_float(body, "repetition_penalty", 0.01, REPETITION_MAX,
		&s->repetition_penalty, error) ||
		!read_int(body, "top_k", -1, INT32_MAX, &top_k, error) ||
		!read_int(body, "seed", INT64_MIN, INT64_MAX, &seed, error))
		return false;
	s->temperature = chip_temperature((double)s->temperature);
	if (s->top_p < (float)TOP_P_MIN)
		s->top_p = (float)TOP_P_MIN;
	s->top_k = top_k > 0 ? (uint32_t)top_k : 0;
	s->seed = (uint64_t)seed;
	chat->seed_given = json_is_number(json_object_get(body, "seed"));
	return true;
}

/* A key of logit_bias: digits and nothing else, so that no two name one token. */
static bool read_token(const char *key, uint32_t vocab, uint32_t *out)
{
	const size_t digits = strspn(key, "0123456789");

	if (digits == 0 || digits > TOKEN_DIGITS_MAX || key[digits] ||
		(key[0] == '0' && digits > 1))
		return false;
	*out = (uint32_t)strtoul(key, NULL, 10);
	return *out < vocab;
}

static bool read_bias(struct openai_chat *chat, uint32_t vocab, struct openai_error *error)
{
	json_t *bias = json_object_get(chat->body, "logit_bias"), *value;
	const char *key;
	uint32_t token;

	if (!bias || json_is_null(bias))
		return true;
	if (!json_is_object(bias) || json_object_size(bias) > CHIP_BIASES_MAX) {
		openai_error_set(error, OPENAI_INVALID, "logit_bias",
			"logit_bias: must be an object of at most %d tokens", CHIP_BIASES_MAX);
		return false;
	}
	json_object_foreach(bias, key, value) {
		const double number = json_number_value(value);

		if (read_token(key, vocab, &token) && json_is_number(value) &&
			number >= -BIAS_MAX && number <= BIAS_MAX)
			continue;
		openai_error_set(error, OPENAI_INVALID, "logit_bias", "logit_bias: %.20s: ids of "
			"tokens are 0 to %u, biases -100 to 100", key, vocab - 1);
		return false;
	}
	chat->logit_bias = json_object_size(bias) > 0 ? bias : NULL;
	return true;
}

static bool read_logprobs(struct openai_chat *chat, struct openai_error *error)
{
	struct chip_sampling *s = &chat->sampling;
	int64_t top = 0;

	if (!read_bool(chat->body, "logprobs", &s->logprobs, error) ||
		!read_int(chat->body, "top_logprobs", 0, CHIP_TOP_LOGPROBS_MAX, &top, error))
		return false;
	if (top > 0 && !s->logprobs) {
		openai_error_set(error, OPENAI_INVALID, "top_logprobs",
			"top_logprobs: only with logprobs");
		return false;
	}
	s->top_logprobs = (uint32_t)top;
	return true;
}

/* DashScope's name, and vLLM's. */
static bool read_thinking(struct openai_chat *chat, struct openai_error *error)
{
	chat->thinking_budget = -1;
	return read_int(chat->body, "thinking_token_budget", 0, TOKENS_MAX,
		&chat->thinking_budget, error) &&
		read_int(chat->body, "thinking_budget", 0, TOKENS_MAX, &chat->thinking_budget,
		error);
}

static bool read_lengths(struct openai_chat *chat, struct openai_error *error)
{
	int64_t newer = -1;

	chat->max_tokens = -1;
	if (!read_int(chat->body, "max_tokens", 1, TOKENS_MAX, &chat->max_tokens, error) ||
		!read_int(chat->body, "max_completion_tokens", 1, TOKENS_MAX, &newer, error) ||
		!read_int(chat->body, "min_tokens", 0, TOKENS_MAX, &chat->min_tokens, error) ||
		!read_bool(chat->body, "ignore_eos", &chat->ignore_eos, error))
		return false;
	if (newer >= 0)
		chat->max_tokens = newer;
	if (chat->max_tokens >= 0 && chat->min_tokens > chat->max_tokens) {
		openai_error_set(error, OPENAI_INVALID, "min_tokens",
			"min_tokens is larger than max_tokens");
		return false;
	}
	return true;
}

static bool read_stop(struct openai_chat *chat, const json_t *stop, struct openai_error *error)
{
	const char *text = json_string_value(stop);
	const size_t size = json_string_length(stop);

	if (!text || size == 0 || size > REQUEST_STOP_BYTES) {
		openai_error_set(error, OPENAI_INVALID, "stop",
			"stop: each must be a string of 1 to %d bytes", REQUEST_STOP_BYTES);
		return false;
	}
	if (chat->stop_count == REQUEST_STOPS_MAX) {
		openai_error_set(error, OPENAI_INVALID, "stop", "stop: at most %d strings",
			REQUEST_STOPS_MAX);
		return false;
	}
	chat->stops[chat->stop_count++] = (struct request_stop){.text = text,
		.size = (uint32_t)size};
	return true;
}

static bool read_stops(struct openai_chat *chat, struct openai_error *error)
{
	const json_t *stop = json_object_get(chat->body, "stop");
	const json_t *each;
	size_t i;

	if (!stop || json_is_null(stop))
		return true;
	if (!json_is_array(stop))
		return read_stop(chat, stop, error);
	json_array_foreach(stop, i, each)
		if (!read_stop(chat, each, error))
			return false;
	return true;
}

static bool read_streaming(struct openai_chat *chat, struct openai_error *error)
{
	const json_t *options = json_object_get(chat->body, "stream_options");

	if (!read_bool(chat->body, "stream", &chat->stream, error))
		return false;
	if (!options || json_is_null(options))
		return true;
	if (!json_is_object(options) || !chat->stream) {
		openai_error_set(error, OPENAI_INVALID, "stream_options", chat->stream
			? "stream_options: must be an object" : "stream_options: only with stream");
		return false;
	}
	return read_bool(options, "include_usage", &chat->include_usage, error) &&
		read_bool(options, "continuous_usage_stats", &chat->usage_in_each_chunk, error);
}

static bool read_model(struct openai_chat *chat, const struct openai_model *models, uint32_t count,
	struct openai_error *error)
{
	struct err_info info = {0};

	chat->model = CORE_NONE;
	if (json_get_string(chat->body, "model", &chat->model_asked, &info))
		return invalid(error, "model", &info);
	for (uint32_t i = 0; i < count; i++)
		if (chat->model_asked && strcmp(models[i].id, chat->model_asked) == 0)
			chat->model = i;
	if (!chat->model_asked && count != 1) {
		openai_error_set(error, OPENAI_INVALID, "model",
			"model: must be given, more than one is loaded");
		return false;
	}
	if (!chat->model_asked)
		chat->model = 0;  /* rules.md 17 */
	chat->sampling = chat->model == CORE_NONE
		? (struct chip_sampling){.temperature = 1, .top_p = 1, .repetition_penalty = 1}
		: models[chat->model].defaults;
	return true;
}

/* ---- fields that would change the answer and that nothing here can honour -------------------- */

static bool is_number(const json_t *value, double number)
{
	return json_is_number(value) && json_number_value(value) == number;
}

static bool is_one(const json_t *value)
{
	return is_number(value, 1);
}

static bool is_zero(const json_t *value)
{
	return is_number(value, 0);
}

static bool is_false(const json_t *value)
{
	return json_is_false(value);
}

static bool is_empty(const json_t *value)
{
	return (json_is_object(value) && json_object_size(value) == 0) ||
		(json_is_array(value) && json_array_size(value) == 0);
}

static bool is_text(const json_t *value)
{
	const char *type = json_string_value(json_object_get(value, "type"));

	return type && strcmp(type, "text") == 0;
}

static bool is_text_alone(const json_t *value)
{
	const char *only = json_string_value(json_array_get(value, 0));

	return json_array_size(value) == 1 && only && strcmp(only, "text") == 0;
}

static bool is_auto_or_none(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && (strcmp(text, "auto") == 0 || strcmp(text, "none") == 0);
}

static const struct {
	const char *key;
	bool (*harmless)(const json_t *value);
	const char *can;
} REFUSED[] = {
	{"n", is_one, "only 1 is supported"},
	{"best_of", is_one, "only 1 is supported"},
	{"prompt_logprobs", is_zero, "of the prompt they are not supported"},
	{"response_format", is_text, "only {\"type\":\"text\"} is supported"},
	{"guided_json", is_empty, "is not supported"},
	{"guided_regex", is_empty, "is not supported"},
	{"guided_grammar", is_empty, "is not supported"},
	{"guided_choice", is_empty, "is not supported"},
	{"structured_outputs", is_empty, "is not supported"},
	{"functions", is_empty, "is not supported, use tools"},
	{"function_call", is_auto_or_none, "is not supported, use tools"},
	{"tool_choice", is_auto_or_none, "only \"auto\" and \"none\" are supported"},
	{"modalities", is_text_alone, "only [\"text\"] is supported"},
	{"audio", is_empty, "is not supported"},
	{"prediction", is_empty, "is not supported"},
	{"use_beam_search", is_false, "is not supported"},
	{"stop_token_ids", is_empty, "is not supported, use stop"},
	{"bad_words", is_empty, "is not supported"},
	{"echo", is_false, "is not supported"},
	{"continue_final_message", is_false, "is not supported"},
};

static bool refuse_what_cannot_be(const json_t *body, struct openai_error *error)
{
	for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
		const json_t *value = json_object_get(body, REFUSED[i].key);

		if (!value || json_is_null(value) || REFUSED[i].harmless(value))
			continue;
		openai_error_set(error, OPENAI_INVALID, REFUSED[i].key, "%s: %s", REFUSED[i].key,
			REFUSED[i].can);
		return false;
	}
	return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool chat_read(struct openai_chat *chat, const struct openai_model *models,
	uint32_t model_count, struct openai_error *error)
{
	if (!json_is_object(chat->body)) {
		openai_error_set(error, OPENAI_INVALID, NULL, "the body must be a JSON object");
		return false;
	}
	return read_model(chat, models, model_count, error) && openai_messages_read(chat, error) &&
		read_sampling(chat, error) &&
		read_bias(chat, chat->model == CORE_NONE ? UINT32_MAX : models[chat->model].vocab,
		error) && read_logprobs(chat, error) && read_thinking(chat, error) &&
		read_lengths(chat, error) &&
		read_stops(chat, error) && read_streaming(chat, error) &&
		refuse_what_cannot_be(chat->body, error);
}

/* What nobody reads any more may be most of the body. */
static void rest_drop(json_t *body)
{
	static const char *const kept[] = {"messages", "tools", "chat_template_kwargs", "stop",
		"logit_bias", "model"};
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(body, next, key, value) {
		bool needed = false;

		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			needed = needed || strcmp(key, kept[i]) == 0;
		if (!needed)
			json_object_del(body, key);
	}
}

bool openai_chat_parse(struct openai_chat *chat, const char *body, size_t size,
	const struct openai_model *models, uint32_t model_count, const struct json_limits *limits,
	struct json_pool *trees, struct openai_error *error)
{
	struct err_info info = {0};

	*chat = (struct openai_chat){.limits = limits ? *limits : JSON_LIMITS_REQUEST};
	json_budget_init(&chat->memory, trees, chat->limits.memory_max);
	if (json_parse_budget(&chat->body, body, size, &chat->limits, true, &chat->memory,
		&info)) {
		openai_error_set(error,
			info.code == ERR_MEMORY ? OPENAI_OVERLOADED : OPENAI_INVALID, NULL,
			"the body is not JSON that can be read: %s", info.text);
	} else if (chat_read(chat, models, model_count, error)) {
		rest_drop(chat->body);
		return true;
	}
	openai_chat_free(chat);
	return false;
}

void openai_chat_forget(struct openai_chat *chat)
{
	chat->messages = chat->tools = chat->template_kwargs = chat->logit_bias = NULL;
	chat->model_asked = NULL;
	chat->stop_count = 0;
	json_decref(chat->body);
	chat->body = NULL;
	json_budget_end(&chat->memory);
}

void openai_chat_free(struct openai_chat *chat)
{
	openai_chat_forget(chat);
	*chat = (struct openai_chat){0};
}
