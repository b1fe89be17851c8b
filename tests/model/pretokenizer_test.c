/* tests/model/pretokenizer_test.c - texts are cut where the models' own expressions cut them. */
#include "unit.h"

#include <string.h>

#include "model/pretokenizer.h"

#define JOINED_BYTES 512

/* Pieces with | between them. */
struct joined {
	char text[JOINED_BYTES];
	size_t size;
};

static enum err join(void *context, const char *piece, size_t size)
{
	struct joined *j = context;

	assert_true(size > 0 && j->size + size + 2 < JOINED_BYTES);
	if (j->size > 0)
		j->text[j->size++] = '|';
	memcpy(j->text + j->size, piece, size);
	j->size += size;
	j->text[j->size] = '\0';
	return ERR_NONE;
}

static void assert_cut(const struct pretokenizer *p, const char *text, const char *expected)
{
	struct joined j = {.size = 0};

	assert_int_equal(pretokenizer_cut(p, text, strlen(text), join, &j), ERR_NONE);
	assert_string_equal(j.text, expected);
}

/* Expected by the expressions in Hugging Face tokenizers. */
static void each_rule_is_its_expression(void **state)
{
	static const struct {
		const char *text, *cut[PRETOKENIZE_RULES];
	} cases[] = {
		{"I'm 42 years, you'Re 1234567!",
			{"I|'m| |4|2| years|,| you|'Re| |1|2|3|4|5|6|7|!",
				"I|'m| |4|2| years|,| you|'Re| |1|2|3|4|5|6|7|!",
				"I|'m| |42| years|,| you|'Re| |123|456|7|!",
				"I|'m| 42| years|,| you|'|Re| 1234567|!",
				"I'm |4|2| years, you'Re |1|2|3|4|5|6|7|!"}},
		{"e\u0301a \u0301b",
			{"e|\u0301a| \u0301|b", "e\u0301a| \u0301b", "e|\u0301a| \u0301|b",
				"e|\u0301|a| \u0301|b", "e\u0301a \u0301b"}},
		{"  two\n\n  three  ",
			{" | two|\n\n| | three|  ", " | two|\n\n| | three|  ",
				" | two|\n\n| | three|  ", " | two|\n\n | three|  ",
				"  two\n\n  three  "}},
		{"it'\u017f 'S",
			{"it|'\u017f| '|S", "it|'\u017f| '|S", "it|'\u017f| '|S",
				"it|'|\u017f| '|S", "it'\u017f 'S"}},
		{"a\u00a0\u3000b\r\n",
			{"a|\u00a0|\u3000b|\r\n", "a|\u00a0|\u3000b|\r\n",
				"a|\u00a0|\u3000b|\r\n", "a|\u00a0|\u3000|b|\r\n",
				"a\u00a0\u3000b\r\n"}},
		{"\u0661\u0662\u0663\u0664 \u2167",
			{"\u0661|\u0662|\u0663|\u0664| |\u2167",
				"\u0661|\u0662|\u0663|\u0664| |\u2167",
				"\u0661\u0662\u0663|\u0664| |\u2167",
				"\u0661\u0662\u0663\u0664| \u2167",
				"\u0661|\u0662|\u0663|\u0664| |\u2167"}},
		{"?!\n\nx... \ty",
			{"?!\n\n|x|...| |\ty", "?!\n\n|x|...| |\ty", "?!\n\n|x|...| |\ty",
				"?!|\n|\n|x|...| |\t|y", "?!\n\nx... \ty"}},
		{"tail \t ", {"tail| \t ", "tail| \t ", "tail| \t ", "tail| \t ", "tail \t "}},
		{"1\u03012", {"1|\u0301|2", "1|\u0301|2", "1|\u0301|2", "1|\u0301|2",
			"1|\u0301|2"}},
		{"", {"", "", "", "", ""}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int rule = 0; rule < PRETOKENIZE_RULES; rule++) {
			const struct pretokenizer p = {
				.steps = {{.rule = (enum pretokenize_rule)rule}}, .step_count = 1};

			assert_cut(&p, cases[i].text, cases[i].cut[rule]);
		}
	}
}

static void a_step_sees_a_piece_of_the_step_before_alone(void **state)
{
	const struct pretokenizer p = {
		.steps = {{.rule = PRETOKENIZE_DIGITS}, {.rule = PRETOKENIZE_GPT2}},
		.step_count = 2};

	(void)state;
	assert_cut(&p, "in 1984  it", "in| |1|9|8|4| | it");
	assert_cut(&p, "a  1", "a|  |1");  /* the spaces end their piece */
}

static void without_steps_a_text_is_one_piece(void **state)
{
	const struct pretokenizer p = {.step_count = 0};

	(void)state;
	assert_cut(&p, "in 1984", "in 1984");
	assert_cut(&p, "", "");
}

static void steps_beyond_the_limit_are_refused(void **state)
{
	struct pretokenizer p = {.step_count = 0};
	const struct pretokenizer_step step = {.rule = PRETOKENIZE_GPT2};
	struct err_info info = {0};

	(void)state;
	for (size_t i = 0; i < PRETOKENIZER_STEPS_MAX; i++)
		assert_int_equal(pretokenizer_add(&p, step, &info), ERR_NONE);
	assert_int_equal(pretokenizer_add(&p, step, &info), ERR_LIMIT);
	assert_string_equal(info.text, "pre_tokenizer: more than 16 steps");
}

static enum err fail_at_second(void *context, const char *piece, size_t size)
{
	(void)piece, (void)size;
	return ++*(int *)context == 2 ? ERR_LIMIT : ERR_NONE;
}

static void a_taker_that_fails_is_asked_no_more(void **state)
{
	const struct pretokenizer p = {
		.steps = {{.rule = PRETOKENIZE_DIGITS}, {.rule = PRETOKENIZE_GPT2}},
		.step_count = 2};
	int calls = 0;

	(void)state;
	assert_int_equal(pretokenizer_cut(&p, "a b c", 5, fail_at_second, &calls), ERR_LIMIT);
	assert_int_equal(calls, 2);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_rule_is_its_expression),
	cmocka_unit_test(a_step_sees_a_piece_of_the_step_before_alone),
	cmocka_unit_test(without_steps_a_text_is_one_piece),
	cmocka_unit_test(steps_beyond_the_limit_are_refused),
	cmocka_unit_test(a_taker_that_fails_is_asked_no_more),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
