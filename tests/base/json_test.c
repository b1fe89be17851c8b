/* tests/base/json_test.c - JSON from outside is bounded before it is built, and errors say
 * where. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"

static const struct json_limits SMALL = {
	.bytes_max = 1000, .values_max = 10, .depth_max = 4, .memory_max = 100000};

static enum err parse(const char *text, const struct json_limits *limits, struct err_info *info)
{
	json_t *value;

	const enum err code = json_parse(&value, text, strlen(text), limits, true, info);
	assert_true((value == NULL) == (code != ERR_NONE));
	json_decref(value);
	return code;
}

static void what_is_json_is_parsed_and_what_is_not_is_refused(void **state)
{
	static const char *const good[] = {"{}", "[]", " [1, 2.5, \"x\", null, true] ",
		"{\"a\":{\"b\":[]}}", "3", "\"s\"", "\"\\ud83d\\ude00\\n\"",
		"[\"]]]]]]]],,,,,,,,,,,,\\\"\"]"};
	static const char *const bad[] = {"", " ", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "[01]",
		"nul", "[1] [2]", "\"\x01\"", "\"\xff\"", "[1e999]", "99999999999999999999",
		"\"\\ud83d\"", "{\"a\":1,\"a\":2}", "\"abc", "\"abc\\", "]", "\\", "[\"\\u0000\"]",
		"NaN", "// x\n1"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(parse(good[i], &SMALL, UNIT_IGNORED), ERR_NONE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err_info info = {0};

		assert_int_equal(parse(bad[i], &SMALL, &info), ERR_INPUT);
		assert_memory_equal(info.text, "line ", 5);
	}
}

static void limits_hold_exactly(void **state)
{
	struct err_info info = {0};

	(void)state;
	assert_int_equal(parse("[[[[]]]]", &SMALL, &info), ERR_NONE);
	assert_int_equal(parse("[[[[[]]]]]", &SMALL, &info), ERR_LIMIT);
	assert_string_equal(info.text, "line 1, column 5: nested too deeply");
	assert_int_equal(parse("[1,2,3,4,5,6,7,8,9]", &SMALL, &info), ERR_NONE);
	assert_int_equal(parse("[1,2,3,4,5,6,7,8,9,10]", &SMALL, &info), ERR_LIMIT);
	assert_int_equal(parse("[[],[],[],[],[],[],[],[],[]]", &SMALL, &info), ERR_NONE);
	assert_int_equal(parse("[[],[],[],[],[],[],[],[],[],\n[]]", &SMALL, &info), ERR_LIMIT);
	assert_string_equal(info.text, "line 1, column 28: too many values");
	assert_int_equal(parse("{\"a\":1,\"b\":[2,{\"c\":[3,4,5,6]}]}", &SMALL, &info), ERR_NONE);
	assert_int_equal(parse("{\"a\":1,\"b\":[2,{\"c\":[3,4,5,6,7]}]}", &SMALL, &info),
		ERR_LIMIT);
}

static void bytes_and_memory_are_limits_too(void **state)
{
	struct json_limits limits = SMALL;
	struct err_info info = {0};
	char text[1002];

	(void)state;
	memset(text, ' ', sizeof(text));
	text[0] = '1';
	text[1000] = '\0';
	assert_int_equal(parse(text, &limits, &info), ERR_NONE);
	text[1000] = ' ';
	text[1001] = '\0';
	assert_int_equal(parse(text, &limits, &info), ERR_LIMIT);
	limits.memory_max = 200;
	assert_int_equal(parse("[{},{},{},{},{}]", &limits, &info), ERR_LIMIT);
	assert_string_equal(info.text, "JSON takes too much memory");
}

static void a_million_empty_objects_do_not_take_more_than_their_budget(void **state)
{
	struct err_info info = {0};
	const size_t count = 900000;
	char *text = mem_alloc(count, 3);
	json_t *value;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + 3 * i, i ? ",{}" : "[{}", 3);
	assert_int_equal(json_parse(&value, text, 3 * count, &JSON_LIMITS_REQUEST, true, &info),
		ERR_LIMIT);
	mem_free(text);
}

static enum err parse_for(struct json_budget *budget, json_t **value, struct err_info *info)
{
	static const char text[] = "[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]";

	*info = (struct err_info){0};
	return json_parse_budget(value, text, sizeof(text) - 1, &JSON_LIMITS_REQUEST, true, budget,
		info);
}

static void owners_share_a_pool_and_give_back_what_they_took(void **state)
{
	struct json_budget a, b;
	struct json_pool pool;
	struct err_info info;
	json_t *values[100] = {NULL};
	size_t count = 0;

	(void)state;
	json_pool_init(&pool, 65536);
	json_budget_init(&a, &pool, SIZE_MAX);
	json_budget_init(&b, &pool, SIZE_MAX);
	while (parse_for(&a, &values[count], &info) == ERR_NONE && count < 99)
		count++;
	assert_int_equal(info.code, ERR_MEMORY);
	assert_in_range(count, 5, 98);
	assert_int_equal(parse_for(&b, &values[count], &info), ERR_MEMORY);
	while (count > 0)
		json_decref(values[--count]);
	json_budget_end(&a);
	assert_int_equal(parse_for(&b, &values[0], &info), ERR_NONE);
	json_decref(values[0]);
	json_budget_end(&b);
	assert_int_equal(pool.left_bytes, 65536);
}

static void all_documents_of_an_owner_are_bounded_together(void **state)
{
	struct json_budget budget;
	struct err_info info;
	json_t *value;
	uint32_t count = 0;

	(void)state;
	json_budget_init(&budget, NULL, 20000);
	while (parse_for(&budget, &value, &info) == ERR_NONE && count < 100) {
		json_decref(value);
		count++;
	}
	assert_int_equal(info.code, ERR_LIMIT);
	assert_in_range(count, 1, 50);
}

static void errors_name_line_and_column(void **state)
{
	struct err_info info = {0};

	(void)state;
	assert_int_equal(parse("{\n  \"a\": x\n}", &SMALL, &info), ERR_INPUT);
	assert_memory_equal(info.text, "line 2, column ", 15);
}

static void every_allocation_may_fail(void **state)
{
	int64_t n;

	(void)state;
	parse("{\"warm\":1}", &SMALL, UNIT_IGNORED);
	for (n = 1; n < 1000; n++) {
		struct err_info info = {0};

		mem_fail_after(n, 0);
		const enum err code = parse("{\"a\":[1,2.5,\"text\"],\"b\":{\"c\":null}}", &SMALL,
			&info);
		mem_fail_after(0, 0);
		if (!code)
			break;
		assert_int_equal(code, ERR_MEMORY);
	}
	assert_in_range(n, 5, 100);
}

/* Long tokens of each kind, whose text the lexer keeps in a buffer that grows. */
#define LONG_TOKENS "{\"" TEN TEN TEN TEN "\":\"" TEN TEN TEN TEN TEN TEN TEN TEN "\\n" TEN \
	"\",\"n\":[0.12345678901234567890123456789012345678901234567890,123456789012345678," \
	"0.1234567890123456789012345678901234567890123456789012345678901234567890]}"
#define TEN "abcde\xC3\xA9" "fgh"

static void expect_whole_or_none(enum err code, enum err refusal, json_t *value, json_t *whole)
{
	if (code) {
		assert_int_equal(code, refusal);
		assert_null(value);
	} else {
		assert_true(json_equal(value, whole));
	}
	json_decref(value);
}

static void a_long_token_without_memory_is_an_error_and_nothing_else(void **state)
{
	static const char text[] = LONG_TOKENS;
	const size_t size = sizeof(text) - 1;
	enum err code = ERR_LIMIT;
	struct err_info info;
	json_t *whole, *value;

	(void)state;
	assert_int_equal(json_parse(&whole, text, size, &JSON_LIMITS_REQUEST, true, &info),
		ERR_NONE);
	for (size_t bytes = 1; code; bytes++) {
		struct json_budget budget;

		json_budget_init(&budget, NULL, bytes);
		code = json_parse_budget(&value, text, size, &JSON_LIMITS_REQUEST, true, &budget,
			&info);
		expect_whole_or_none(code, ERR_LIMIT, value, whole);
	}
	code = ERR_MEMORY;
	for (int64_t n = 2; code; n++) {
		mem_fail_after(n / 2, n % 2 != 0);
		code = json_parse(&value, text, size, &JSON_LIMITS_REQUEST, true, &info);
		mem_fail_after(0, 0);
		expect_whole_or_none(code, ERR_MEMORY, value, whole);
	}
	json_decref(whole);
}

static void the_longest_string_fits_into_the_memory_of_a_request(void **state)
{
	const size_t size = JSON_LIMITS_REQUEST.bytes_max;
	char *text = mem_alloc(size, 1);
	struct err_info info;
	json_t *value;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', size);
	text[0] = text[size - 1] = '"';
	assert_int_equal(json_parse(&value, text, size, &JSON_LIMITS_REQUEST, true, &info),
		ERR_NONE);
	assert_int_equal(json_string_length(value), size - 2);
	json_decref(value);
	mem_free(text);
}

static void duplicates_are_an_error_only_when_strict(void **state)
{
	static const char text[] = "{\"a\":1,\"a\":2}";
	json_t *value;

	(void)state;
	assert_int_equal(json_parse(&value, text, sizeof(text) - 1, &SMALL, false, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(json_integer_value(json_object_get(value, "a")), 2);
	json_decref(value);
}

static void strings_are_escaped_and_come_back(void **state)
{
	static const char raw[] = "a\"b\\c\n\r\t\x01\x1f \x7f 诗 𠀀 /";
	struct buf out;
	json_t *value;

	(void)state;
	buf_init(&out, 1000);
	json_add_string(&out, raw, sizeof(raw) - 1);
	assert_string_equal(out.data, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f \x7f 诗 𠀀 /\"");
	assert_int_equal(json_parse(&value, out.data, out.size, &SMALL, true, UNIT_IGNORED),
		ERR_NONE);
	assert_string_equal(json_string_value(value), raw);
	json_decref(value);
	buf_free(&out);
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
	static const struct {
		const char *raw;
		const char *expected;
	} rows[] = {
		{"\xff", "\"\xEF\xBF\xBD\""},
		/* cut: one, as detokenize has it */
		{"a\xe8\xaf", "\"a\xEF\xBF\xBD\""},
		{"\xc0\xaf", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                     /* overlong */
		{"\xed\xa0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},     /* surrogate */
		{"\xf4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
		{"\x80" "b", "\"\xEF\xBF\xBD" "b\""},
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *value;

		buf_clear(&out);
		json_add_string(&out, rows[i].raw, strlen(rows[i].raw));
		assert_string_equal(out.data, rows[i].expected);
		assert_int_equal(json_parse(&value, out.data, out.size, &SMALL, true, UNIT_IGNORED),
			ERR_NONE);
		json_decref(value);
	}
	buf_free(&out);
}

static void typed_reads_take_the_type_and_the_range(void **state)
{
	struct err_info info = {0};
	int64_t number = -1;
	double real = -1.0;
	bool truth = false;
	const char *text = "default";
	json_t *o;

	(void)state;
	o = json_pack("{s:i, s:f, s:f, s:b, s:s, s:n}", "i", 7, "whole", 16.0, "half", 0.5, "b", 1,
		"s", "x", "null");
	assert_int_equal(json_get_int(o, "i", 0, 7, &number, &info), ERR_NONE);
	assert_int_equal(number, 7);
	assert_int_equal(json_get_int(o, "whole", 0, 100, &number, &info), ERR_NONE);
	assert_int_equal(number, 16);
	assert_int_equal(json_get_int(o, "absent", 0, 1, &number, &info), ERR_NONE);
	assert_int_equal(json_get_int(o, "null", 0, 1, &number, &info), ERR_NONE);
	assert_int_equal(number, 16);
	assert_int_equal(json_get_int(o, "i", 0, 6, &number, &info), ERR_INPUT);
	assert_string_equal(info.text, "i: 7 is not from 0 to 6");
	assert_int_equal(json_get_int(o, "half", 0, 6, &number, &info), ERR_INPUT);
	assert_int_equal(json_get_int(o, "s", 0, 6, &number, &info), ERR_INPUT);
	assert_string_equal(info.text, "s: must be an integer, not a string");
	assert_int_equal(json_get_double(o, "half", 0.0, 1.0, &real, &info), ERR_NONE);
	assert_true(real == 0.5);
	assert_int_equal(json_get_double(o, "i", 0.0, 10.0, &real, &info), ERR_NONE);
	assert_true(real == 7.0);
	assert_int_equal(json_get_double(o, "i", 0.0, 1.0, &real, &info), ERR_INPUT);
	assert_int_equal(json_get_bool(o, "b", &truth, &info), ERR_NONE);
	assert_true(truth);
	assert_int_equal(json_get_bool(o, "i", &truth, &info), ERR_INPUT);
	assert_int_equal(json_get_string(o, "absent", &text, &info), ERR_NONE);
	assert_string_equal(text, "default");
	assert_int_equal(json_get_string(o, "s", &text, &info), ERR_NONE);
	assert_string_equal(text, "x");
	assert_int_equal(json_get_string(o, "i", &text, &info), ERR_INPUT);
	json_decref(o);
}

static void integers_out_of_64_bits_are_never_cut(void **state)
{
	struct err_info info = {0};
	int64_t number = -1;
	json_t *o = json_pack("{s:f, s:f}", "large", 1e300, "edge", 9223372036854775808.0);

	(void)state;
	assert_int_equal(json_get_int(o, "large", INT64_MIN, INT64_MAX, &number, &info), ERR_INPUT);
	assert_int_equal(json_get_int(o, "edge", INT64_MIN, INT64_MAX, &number, &info), ERR_INPUT);
	assert_int_equal(number, -1);
	json_decref(o);
}

static void a_file_of_many_values_is_refused_before_any_is_built(void **state)
{
	const size_t values = 4000001, size = 3 * values;
	struct err_info info = {0};
	char *text = malloc(size);
	json_t *value = NULL;

	(void)state;
	assert_non_null(text);
	for (size_t at = 0; at < size; at += 3)   /* small in the file, large in memory */
		memcpy(text + at, "{},", 3);
	text[0] = '[', text[1] = text[2] = ' ', text[size - 1] = ']';
	assert_int_equal(json_parse(&value, text, size, &JSON_LIMITS_FILE, true, &info), ERR_LIMIT);
	assert_non_null(strstr(info.text, "too many values"));
	assert_null(value);
	free(text);
}

static void a_file_error_names_the_file(void **state)
{
	char path[] = "/tmp/tongyun-json-XXXXXX";
	struct err_info info = {0};
	const int fd = mkstemp(path);
	json_t *value;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "[1,", 3), 3);
	close(fd);
	assert_int_equal(json_read_file(&value, path, &JSON_LIMITS_FILE, &info), ERR_INPUT);
	assert_memory_equal(info.text, path, strlen(path));
	unlink(path);
	assert_int_equal(json_read_file(&value, path, &JSON_LIMITS_FILE, &info), ERR_NOT_FOUND);
	assert_null(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_json_is_parsed_and_what_is_not_is_refused),
		cmocka_unit_test(limits_hold_exactly),
		cmocka_unit_test(bytes_and_memory_are_limits_too),
		cmocka_unit_test(a_million_empty_objects_do_not_take_more_than_their_budget),
		cmocka_unit_test(owners_share_a_pool_and_give_back_what_they_took),
		cmocka_unit_test(all_documents_of_an_owner_are_bounded_together),
		cmocka_unit_test(errors_name_line_and_column),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_long_token_without_memory_is_an_error_and_nothing_else),
		cmocka_unit_test(the_longest_string_fits_into_the_memory_of_a_request),
		cmocka_unit_test(duplicates_are_an_error_only_when_strict),
		cmocka_unit_test(strings_are_escaped_and_come_back),
		cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
		cmocka_unit_test(typed_reads_take_the_type_and_the_range),
		cmocka_unit_test(integers_out_of_64_bits_are_never_cut),
		cmocka_unit_test(a_file_of_many_values_is_refused_before_any_is_built),
		cmocka_unit_test(a_file_error_names_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
