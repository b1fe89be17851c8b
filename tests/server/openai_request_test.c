/* tests/server/openai_request_test.c - a body is taken whole or refused with the field
 * that is at fault. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/openai_request.h"

static const struct openai_model MODELS[] = {
	{"small", {.temperature = 0.6f, .top_p = 0.95f, .top_k = 20, .repetition_penalty = 1}, 100},
	{"large", {.temperature = 1, .top_p = 1, .repetition_penalty = 1}, 100},
};

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct openai_chat chat;
static struct openai_error error;

static bool parse(const char *body)
{
	return openai_chat_parse(&chat, body, strlen(body), MODELS, 2, NULL, NULL, &error);
}

static void expect_param(const char *body, const char *param)
{
	if (parse(body)) {
		print_error("accepted: %s\n", body);
		openai_chat_free(&chat);
		fail();
	}
	assert_int_equal(openai_error_status(&error), 400);
	assert_string_equal(error.param, param);
	assert_true(error.message[0] != '\0');
}

static const char *content(size_t index)
{
	return json_string_value(json_object_get(json_array_get(chat.messages, index), "content"));
}

static void what_is_not_said_comes_from_the_model(void **state)
{
	(void)state;
	assert_true(parse("{\"model\":\"small\"," HI "}"));
	assert_int_equal(chat.model, 0);
	assert_float_equal(chat.sampling.temperature, 0.6f, 0);
	assert_int_equal(chat.sampling.top_k, 20);
	assert_int_equal(chat.max_tokens, -1);
	assert_false(chat.stream);
	assert_false(chat.seed_given);
	assert_null(chat.tools);
	assert_null(chat.template_kwargs);
	assert_null(chat.logit_bias);
	assert_false(chat.sampling.logprobs);
	assert_int_equal(chat.thinking_budget, -1);
	openai_chat_free(&chat);
}

static void what_is_said_counts(void **state)
{
	(void)state;
	assert_true(parse("{\"model\":\"small\"," HI ",\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.1,"
		"\"presence_penalty\":1.5,\"frequency_penalty\":-2,\"repetition_penalty\":1.1,\"seed\":-1,"
		"\"max_tokens\":5,\"max_completion_tokens\":7,\"min_tokens\":2,\"ignore_eos\":true,"
		"\"stop\":[\"a\",\"bc\"],\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"typical_p\":0.9,\"logit_bias\":{\"0\":-100,\"99\":1.5},\"top_logprobs\":20,\"thinking_budget\":0,"
		"\"chat_template_kwargs\":{\"x\":1},\"unknown\":{\"deep\":[1]},\"n\":1,\"logprobs\":true,\"tools\":[]}"));
	assert_float_equal(chat.sampling.temperature, 0, 0);
	assert_float_equal(chat.sampling.frequency_penalty, -2, 0);
	assert_int_equal(chat.sampling.top_k, 0);
	assert_true(chat.sampling.seed == UINT64_MAX && chat.seed_given);
	assert_int_equal(chat.max_tokens, 7);
	assert_int_equal(chat.min_tokens, 2);
	assert_true(chat.ignore_eos && chat.stream && chat.include_usage);
	assert_int_equal(chat.stop_count, 2);
	assert_memory_equal(chat.stops[1].text, "bc", 2);
	assert_non_null(chat.template_kwargs);
	assert_float_equal(chat.sampling.typical_p, 0.9f, 0);
	assert_true(chat.sampling.logprobs);
	assert_int_equal(chat.sampling.top_logprobs, 20);
	assert_int_equal(chat.thinking_budget, 0);
	assert_int_equal(json_object_size(chat.logit_bias), 2);
	openai_chat_free(&chat);
}

static void messages_become_what_templates_know(void **state)
{
	(void)state;
	assert_true(parse("{\"model\":\"small\",\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
		"{\"role\":\"assistant\",\"content\":null,\"reasoning\":\"why\",\"tool_calls\":[{\"id\":\"1\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]},"
		"{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"1\"}],"
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"enable_thinking\":false}"));
	assert_string_equal(json_string_value(json_object_get(json_array_get(chat.messages, 0),
		"role")), "system");
	assert_string_equal(content(1), "a\nb");
	assert_string_equal(content(2), "");
	const json_t *assistant = json_array_get(chat.messages, 2);
	assert_string_equal(json_string_value(json_object_get(assistant, "reasoning_content")),
		"why");
	const json_t *call = json_array_get(json_object_get(assistant, "tool_calls"), 0);
	assert_true(json_is_object(json_object_get(json_object_get(call, "function"),
		"arguments")));
	assert_true(json_is_false(json_object_get(chat.template_kwargs, "enable_thinking")));
	assert_int_equal(json_array_size(chat.tools), 1);
	openai_chat_free(&chat);
}

static float temperature_of(const char *number)
{
	char body[128];

	snprintf(body, sizeof(body), "{\"model\":\"small\"," HI ",\"temperature\":%s}", number);
	assert_true(parse(body));
	const float temperature = chat.sampling.temperature;

	openai_chat_free(&chat);
	return temperature;
}

static void a_temperature_too_small_to_compute_with_is_greedy(void **state)
{
	(void)state;
	assert_float_equal(temperature_of("1e-40"), 0, 0);
	assert_float_equal(temperature_of("0.0009"), 0, 0);
	assert_float_equal(temperature_of("0.001"), 0.001f, 0);
}

static void the_field_at_fault_is_named(void **state)
{
	static const char *const fields[][2] = {
		{"\"temperature\":3", "temperature"}, {"\"temperature\":\"hot\"", "temperature"},
		{"\"top_p\":1.5", "top_p"}, {"\"top_k\":-2", "top_k"}, {"\"min_p\":-1", "min_p"},
		{"\"presence_penalty\":9", "presence_penalty"},
		{"\"repetition_penalty\":0", "repetition_penalty"},
		{"\"seed\":1.5", "seed"}, {"\"max_tokens\":0", "max_tokens"},
		{"\"max_tokens\":1e99", "max_tokens"},
		{"\"max_completion_tokens\":-5", "max_completion_tokens"},
		{"\"min_tokens\":-1", "min_tokens"},
		{"\"min_tokens\":9,\"max_tokens\":8", "min_tokens"}, {"\"stop\":\"\"", "stop"},
		{"\"stop\":[1]", "stop"},
		{"\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]",
			"stop"},
		{"\"stream\":\"yes\"", "stream"}, {"\"stream_options\":{\"include_usage\":true}",
		"stream_options"},
		{"\"stream\":true,\"stream_options\":[]", "stream_options"}, {"\"n\":2", "n"},
		{"\"logprobs\":1", "logprobs"}, {"\"top_logprobs\":2", "top_logprobs"},
		{"\"logprobs\":false,\"top_logprobs\":2", "top_logprobs"},
		{"\"logprobs\":true,\"top_logprobs\":21", "top_logprobs"},
		{"\"logprobs\":true,\"top_logprobs\":-1", "top_logprobs"},
		{"\"prompt_logprobs\":1", "prompt_logprobs"},
		{"\"typical_p\":0", "typical_p"}, {"\"typical_p\":1.5", "typical_p"},
		{"\"typical_p\":\"1\"", "typical_p"},
		{"\"thinking_budget\":-1", "thinking_budget"},
		{"\"thinking_budget\":1e99", "thinking_budget"},
		{"\"thinking_budget\":2.5", "thinking_budget"},
		{"\"thinking_token_budget\":\"all\"", "thinking_token_budget"},
		{"\"frequency_penalty\":-2.1", "frequency_penalty"},
		{"\"response_format\":{\"type\":\"json_object\"}", "response_format"},
		{"\"logit_bias\":[1]", "logit_bias"}, {"\"logit_bias\":{\"x\":1}", "logit_bias"},
		{"\"logit_bias\":{\"\":1}", "logit_bias"}, {"\"logit_bias\":{\"-1\":1}", "logit_bias"},
		{"\"logit_bias\":{\"01\":1}", "logit_bias"}, {"\"logit_bias\":{\"1 \":1}", "logit_bias"},
		{"\"logit_bias\":{\"100\":1}", "logit_bias"},
		{"\"logit_bias\":{\"4294967297\":1}", "logit_bias"},
		{"\"logit_bias\":{\"1\":100.5}", "logit_bias"},
		{"\"logit_bias\":{\"1\":-1e99}", "logit_bias"},
		{"\"logit_bias\":{\"1\":null}", "logit_bias"}, {"\"logit_bias\":{\"1\":\"2\"}", "logit_bias"},
		{"\"tools\":{}", "tools"}, {"\"tools\":[{}]", "tools"},
		{"\"tool_choice\":\"required\"", "tool_choice"},
		{"\"chat_template_kwargs\":1", "chat_template_kwargs"},
		{"\"enable_thinking\":1", "enable_thinking"},
		{"\"modalities\":[\"text\",\"audio\"]", "modalities"},
	};
	char body[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(body, sizeof(body), "{\"model\":\"small\"," HI ",%s}", fields[i][0]);
		expect_param(body, fields[i][1]);
	}
}

static void logit_biases_are_bounded_in_number(void **state)
{
	static char body[32768];

	(void)state;
	for (int count = CHIP_BIASES_MAX; count <= CHIP_BIASES_MAX + 1; count++) {
		const struct openai_model wide = {.id = "wide", .defaults = MODELS[1].defaults,
			.vocab = 5000};
		int size = sprintf(body, "{" HI ",\"logit_bias\":{\"4999\":1");

		for (int i = 1; i < count; i++)
			size += sprintf(body + size, ",\"%d\":1", i);
		strcpy(body + size, "}}");
		const bool taken = openai_chat_parse(&chat, body, strlen(body), &wide, 1, NULL,
			NULL, &error);

		assert_int_equal(taken, count == CHIP_BIASES_MAX);
		if (taken)
			openai_chat_free(&chat);
		else
			assert_string_equal(error.param, "logit_bias");
	}
}

static void messages_that_are_none_are_refused(void **state)
{
	(void)state;
	expect_param("{\"model\":\"small\"}", "messages");
	expect_param("{\"model\":\"small\",\"messages\":[]}", "messages");
	expect_param("{\"model\":\"small\",\"messages\":[1]}", "messages[0]");
	expect_param("{\"model\":\"small\",\"messages\":[{\"role\":\"user\"}]}",
		"messages[0].content");
	expect_param("{\"model\":\"small\",\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}",
		"messages[0].role");
	expect_param("{\"model\":\"small\",\"messages\":[{\"content\":\"x\"}]}",
		"messages[0].role");
	expect_param("{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
		"\"image_url\":{\"url\":\"x\"}}]}]}", "messages[0].content");
	expect_param("{\"model\":\"small\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{}]}]}",
		"messages[0].tool_calls");
	expect_param("{\"model\":7," HI "}", "model");
}

static void a_body_that_is_no_json_object_is_refused(void **state)
{
	static const char *const bodies[] = {"", "{", "[]", "null", "1", "{\"a\":1,\"a\":2}",
		"{\"a\":\"\\ud800\"}", "\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		expect_param(bodies[i], "");
	char deep[1000];
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	expect_param(deep, "");
}

static void a_model_is_found_or_left_to_the_core_to_refuse(void **state)
{
	(void)state;
	assert_true(parse("{\"model\":\"other\"," HI "}"));
	assert_int_equal(chat.model, CORE_NONE);
	openai_chat_free(&chat);
	expect_param("{" HI "}", "model");
	assert_true(openai_chat_parse(&chat, "{" HI "}", strlen("{" HI "}"), MODELS, 1, NULL, NULL,
		&error));
	assert_int_equal(chat.model, 0);
	openai_chat_free(&chat);
}

static void errors_have_one_shape_and_say_whether_to_retry(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	openai_error_refusal(&error, CORE_REFUSE_INSUFFICIENT_QUOTA, 0);
	openai_error_body(&error, &out);
	assert_int_equal(openai_error_status(&error), 429);
	assert_non_null(strstr(out.data,
		"\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}"));
	buf_clear(&out);
	openai_error_headers(&error, &out);
	assert_string_equal(out.data, "x-should-retry: false\r\n");
	buf_clear(&out);
	openai_error_refusal(&error, CORE_REFUSE_OVERLOADED, 1500000000);
	assert_int_equal(openai_error_status(&error), 503);
	openai_error_headers(&error, &out);
	assert_string_equal(out.data, "retry-after: 2\r\n");
	buf_clear(&out);
	openai_error_refusal(&error, CORE_REFUSE_RATE_LIMITED, 7000000001);
	openai_error_body(&error, &out);
	assert_int_equal(openai_error_status(&error), 429);
	assert_non_null(strstr(out.data, "\"code\":\"rate_limit_exceeded\"}}"));
	buf_clear(&out);
	openai_error_headers(&error, &out);
	assert_string_equal(out.data, "retry-after: 8\r\n");
	for (int code = 0; code <= CORE_REFUSE_STORE_DOWN; code++) {
		openai_error_refusal(&error, (enum core_refusal)code, 0);
		assert_true(openai_error_status(&error) >= 400);
	}
	buf_free(&out);
}

/* {...,"x":[[],[],...]} */
static char *body_with_lists(const char *begin, size_t count, const char *end)
{
	char *body = malloc(strlen(begin) + 3 * count + strlen(end) + 1), *at;

	assert_non_null(body);
	at = body + sprintf(body, "%s[]", begin);
	for (size_t i = 1; i < count; i++, at += 3)
		memcpy(at, ",[]", 3);
	strcpy(at, end);
	return body;
}

static void what_all_bodies_have_become_is_bounded(void **state)
{
	struct json_pool trees;
	struct openai_chat other;
	char *body = body_with_lists("{" HI ",\"tools\":[],\"stop\":\"a\",\"x\":[", 100000, "]}");

	(void)state;
	json_pool_init(&trees, 20 << 20);
	assert_true(openai_chat_parse(&chat, body, strlen(body), MODELS, 1, NULL, &trees, &error));
	assert_int_equal(json_object_size(chat.body), 3);  /* what nobody reads is gone */
	assert_false(openai_chat_parse(&other, body, strlen(body), MODELS, 1, NULL, &trees,
		&error));
	assert_int_equal(openai_error_status(&error), 503);
	assert_true(error.retry_after_ns > 0);
	openai_chat_forget(&chat);
	assert_true(openai_chat_parse(&other, body, strlen(body), MODELS, 1, NULL, &trees, &error));
	openai_chat_free(&other);
	openai_chat_free(&chat);
	assert_int_equal(trees.left_bytes, 20 << 20);
	free(body);
}

static void arguments_of_tools_count_as_well(void **state)
{
	struct json_pool trees;
	char *body = body_with_lists("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
		"\"arguments\":\"{\\\"x\\\":[", 100000, "]}\"}}]}]}");

	(void)state;
	json_pool_init(&trees, 4 << 20);
	assert_false(openai_chat_parse(&chat, body, strlen(body), MODELS, 1, NULL, &trees, &error));
	assert_int_equal(openai_error_status(&error), 503);
	assert_int_equal(trees.left_bytes, 4 << 20);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_comes_from_the_model),
		cmocka_unit_test(what_is_said_counts),
		cmocka_unit_test(messages_become_what_templates_know),
		cmocka_unit_test(a_temperature_too_small_to_compute_with_is_greedy),
		cmocka_unit_test(the_field_at_fault_is_named),
		cmocka_unit_test(logit_biases_are_bounded_in_number),
		cmocka_unit_test(messages_that_are_none_are_refused),
		cmocka_unit_test(a_body_that_is_no_json_object_is_refused),
		cmocka_unit_test(a_model_is_found_or_left_to_the_core_to_refuse),
		cmocka_unit_test(errors_have_one_shape_and_say_whether_to_retry),
		cmocka_unit_test(what_all_bodies_have_become_is_bounded),
		cmocka_unit_test(arguments_of_tools_count_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
