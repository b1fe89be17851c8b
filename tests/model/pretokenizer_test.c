/* tests/model/pretokenizer_test.c - texts are cut where the models' own expressions cut them. */
#include "unit.h"

#include <string.h>

#include "model/tokenizer/pretokenizer.h"

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
	struct err_info info = {0};
	struct arena arena;
	struct pretokenizer_work work = {.arena = &arena};

	arena_init(&arena, 4096, (size_t)1 << 20);
	if (pretokenizer_cut(p, &work, text, strlen(text), join, &j, &info))
		fail_msg("%s", info.text);
	assert_string_equal(j.text, expected);
	arena_reset(&arena);
}

static void open_steps(struct pretokenizer *p, const struct pretokenizer_step *steps, size_t count)
{
	struct pretokenizer_steps list = {.count = 0};
	struct err_info info = {0};

	for (size_t i = 0; i < count; i++)
		assert_int_equal(pretokenizer_add(&list, steps[i], &info), ERR_NONE);
	if (pretokenizer_open(p, &list, &info))
		fail_msg("%s", info.text);
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
			const struct pretokenizer_step step = {.rule = (enum pretokenize_rule)rule};
			struct pretokenizer p;

			open_steps(&p, &step, 1);
			assert_cut(&p, cases[i].text, cases[i].cut[rule]);
			pretokenizer_close(&p);
		}
	}
}

static void a_step_sees_a_piece_of_the_step_before_alone(void **state)
{
	const struct pretokenizer_step steps[] = {
		{.rule = PRETOKENIZE_DIGITS}, {.rule = PRETOKENIZE_GPT2}};
	struct pretokenizer p;

	(void)state;
	open_steps(&p, steps, 2);
	assert_cut(&p, "in 1984  it", "in| |1|9|8|4| | it");
	assert_cut(&p, "a  1", "a|  |1");  /* the spaces end their piece */
	pretokenizer_close(&p);
}

static void without_steps_a_text_is_one_piece(void **state)
{
	struct pretokenizer p;

	(void)state;
	open_steps(&p, NULL, 0);
	assert_cut(&p, "in 1984", "in 1984");
	assert_cut(&p, "", "");
	pretokenizer_close(&p);
}

/* Expected by Hugging Face tokenizers, whose names these are. */
static void a_split_does_with_its_matches_as_its_behavior_says(void **state)
{
	static const struct {
		enum pretokenizer_behavior behavior;
		bool invert;
		const char *cut;   /* of "the-final--countdown" by "-" */
	} cases[] = {
		{PRETOKENIZER_ISOLATED, false, "the|-|final|-|-|countdown"},
		{PRETOKENIZER_REMOVED, false, "the|final|countdown"},
		{PRETOKENIZER_MERGED_WITH_PREVIOUS, false, "the-|final-|-|countdown"},
		{PRETOKENIZER_MERGED_WITH_NEXT, false, "the|-final|-|-countdown"},
		{PRETOKENIZER_CONTIGUOUS, false, "the|-|final|--|countdown"},
		{PRETOKENIZER_ISOLATED, true, "the|-|final|-|-|countdown"},
		{PRETOKENIZER_REMOVED, true, "-|-|-"},
		{PRETOKENIZER_MERGED_WITH_PREVIOUS, true, "the|-final|-|-countdown"},
		{PRETOKENIZER_MERGED_WITH_NEXT, true, "the-|final-|-|countdown"},
		{PRETOKENIZER_CONTIGUOUS, true, "the|-|final|--|countdown"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct pretokenizer_step step = {.kind = PRETOKENIZER_REGEX, .pattern = "-",
			.pattern_size = 1, .literal = i % 2, .behavior = cases[i].behavior,
			.invert = cases[i].invert};
		struct pretokenizer p;

		open_steps(&p, &step, 1);
		assert_cut(&p, "the-final--countdown", cases[i].cut);
		pretokenizer_close(&p);
	}
}

static void a_space_goes_before_each_piece_without_one(void **state)
{
	const struct pretokenizer_step steps[] = {
		{.kind = PRETOKENIZER_REGEX, .pattern = "\\s", .pattern_size = 2,
			.behavior = PRETOKENIZER_MERGED_WITH_NEXT},
		{.kind = PRETOKENIZER_PREFIX_SPACE}, {.rule = PRETOKENIZE_GPT2}};
	struct pretokenizer p;

	(void)state;
	open_steps(&p, steps, 3);
	assert_cut(&p, "in 19\tx", " in| 19| |\t|x");
	pretokenizer_close(&p);
}

static void a_known_expression_is_its_rule(void **state)
{
	struct pretokenizer_steps steps = {.count = 0};

	(void)state;
	for (int rule = 0; rule < PRETOKENIZE_RULES; rule++) {
		const char *regex = pretokenize_regex((enum pretokenize_rule)rule);
		struct pretokenizer_step step = {.pattern = regex, .pattern_size = strlen(regex)};

		assert_int_equal(pretokenizer_add_regex(&steps, step, UNIT_IGNORED), ERR_NONE);
		assert_int_equal(steps.steps[steps.count - 1].kind, PRETOKENIZER_RULE);
		assert_int_equal(steps.steps[steps.count - 1].rule, rule);
		step.behavior = PRETOKENIZER_REMOVED;
		step.invert = true;
		assert_int_equal(pretokenizer_add_regex(&steps, step, UNIT_IGNORED), ERR_NONE);
		assert_int_equal(steps.steps[steps.count - 1].kind,
			rule == PRETOKENIZE_DIGITS ? PRETOKENIZER_REGEX : PRETOKENIZER_RULE);
	}
}

static void steps_beyond_the_limit_are_refused(void **state)
{
	struct pretokenizer_steps steps = {.count = 0};
	const struct pretokenizer_step step = {.rule = PRETOKENIZE_GPT2};
	struct err_info info = {0};

	(void)state;
	for (size_t i = 0; i < PRETOKENIZER_STEPS_MAX; i++)
		assert_int_equal(pretokenizer_add(&steps, step, &info), ERR_NONE);
	assert_int_equal(pretokenizer_add(&steps, step, &info), ERR_LIMIT);
	assert_string_equal(info.text, "pre_tokenizer: more than 16 steps");
}

static enum err fail_at_second(void *context, const char *piece, size_t size)
{
	(void)piece, (void)size;
	return ++*(int *)context == 2 ? ERR_LIMIT : ERR_NONE;
}

static void a_taker_that_fails_is_asked_no_more(void **state)
{
	const struct pretokenizer_step steps[] = {
		{.rule = PRETOKENIZE_DIGITS}, {.rule = PRETOKENIZE_GPT2}};
	struct pretokenizer_work work = {.arena = NULL};
	struct pretokenizer p;
	int calls = 0;

	(void)state;
	open_steps(&p, steps, 2);
	assert_int_equal(pretokenizer_cut(&p, &work, "a b c", 5, fail_at_second, &calls,
				 UNIT_IGNORED), ERR_LIMIT);
	assert_int_equal(calls, 2);
	pretokenizer_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_rule_is_its_expression),
	cmocka_unit_test(a_step_sees_a_piece_of_the_step_before_alone),
	cmocka_unit_test(without_steps_a_text_is_one_piece),
	cmocka_unit_test(a_split_does_with_its_matches_as_its_behavior_says),
	cmocka_unit_test(a_space_goes_before_each_piece_without_one),
	cmocka_unit_test(a_known_expression_is_its_rule),
	cmocka_unit_test(steps_beyond_the_limit_are_refused),
	cmocka_unit_test(a_taker_that_fails_is_asked_no_more),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
