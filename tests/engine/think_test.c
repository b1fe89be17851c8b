/* tests/engine/think_test.c - how long a model thinks, and that it stops when it has had enough. */
#include "unit.h"

#include <stdio.h>

#include "engine/think.h"
#include "model/tokenizer/tokenizer.h"

enum { WORD = 5, NEWLINE = 6, OPEN = 7, CLOSE = 8, END = 9 };

static const struct think_rule rule = {
	.open = OPEN, .close = CLOSE, .ending = {NEWLINE, CLOSE, NEWLINE, NEWLINE},
	.ending_count = 4};

/* The model says one token after another of `says`, where it may choose; then nothing but WORD. */
static void answer(struct think_state *s, uint32_t budget, const uint32_t *prompt,
	uint32_t prompt_tokens, const uint32_t *says, uint32_t say_count, uint32_t *out,
	uint32_t out_count)
{
	uint32_t said = 0;

	think_start(s, &rule, prompt, prompt_tokens);
	for (uint32_t i = 0; i < out_count; i++) {
		out[i] = think_forced(s, &rule, budget);
		if (out[i] == THINK_NONE)
			out[i] = said < say_count ? says[said++] : WORD;
		think_add(s, &rule, budget, out[i]);
	}
}

static void a_block_ends_when_its_budget_is_used_up(void **state)
{
	static const uint32_t prompt[] = {WORD, OPEN, NEWLINE};
	static const uint32_t expected[] = {
		WORD, WORD, WORD, NEWLINE, CLOSE, NEWLINE, NEWLINE, WORD, WORD};
	struct think_state s;
	uint32_t out[9];

	(void)state;
	answer(&s, 3, prompt, 3, NULL, 0, out, 9);
	assert_memory_equal(out, expected, sizeof(out));
	assert_int_equal(s.tokens, 4);      /* three of its own, the newline that was given */
	assert_false(s.inside);
}

static void without_a_budget_left_a_block_is_closed_at_once(void **state)
{
	static const uint32_t prompt[] = {OPEN, NEWLINE};
	static const uint32_t expected[] = {NEWLINE, CLOSE, NEWLINE, NEWLINE, WORD};
	struct think_state s;
	uint32_t out[5];

	(void)state;
	answer(&s, 0, prompt, 2, NULL, 0, out, 5);
	assert_memory_equal(out, expected, sizeof(out));
}

static void a_model_that_ends_by_itself_is_left_alone(void **state)
{
	static const uint32_t prompt[] = {OPEN};
	static const uint32_t says[] = {WORD, WORD, CLOSE, WORD, END};
	struct think_state s;
	uint32_t out[5];

	(void)state;
	answer(&s, 2, prompt, 1, says, 5, out, 5);  /* ends with its last one */
	assert_int_equal(out[2], NEWLINE);
	answer(&s, 3, prompt, 1, says, 5, out, 5);
	assert_memory_equal(out, says, sizeof(says));
	assert_int_equal(s.tokens, 2);
	answer(&s, THINK_NONE, prompt, 1, NULL, 0, out, 5);
	assert_true(s.inside);
	assert_int_equal(s.tokens, 5);
}

/* All blocks of an answer share one budget. */
static void a_block_that_the_model_opens_counts_too(void **state)
{
	static const uint32_t prompt[] = {OPEN, WORD, CLOSE, WORD};
	static const uint32_t says[] = {WORD, OPEN, WORD, OPEN, CLOSE, WORD, OPEN};
	static const uint32_t expected[] = {WORD, OPEN, WORD, OPEN, CLOSE, WORD, OPEN, WORD,
		NEWLINE, CLOSE, NEWLINE, NEWLINE};
	struct think_state s;
	uint32_t out[12];

	(void)state;
	answer(&s, 3, prompt, 4, says, 7, out, 7);
	assert_memory_equal(out, says, sizeof(says));
	assert_int_equal(s.tokens, 2);      /* a block inside is a token like others */
	answer(&s, 3, prompt, 4, says, 7, out, 12);
	assert_memory_equal(out, expected, sizeof(out));
	assert_int_equal(s.tokens, 4);
}

static void whoever_is_told_the_tokens_again_knows_the_same(void **state)
{
	static const uint32_t prompt[] = {OPEN};
	static const uint32_t says[] = {WORD, CLOSE, OPEN, WORD, WORD, WORD};
	struct think_state whole, again;
	uint32_t out[16];

	(void)state;
	for (uint32_t count = 0; count < 16; count++) {
		answer(&whole, 2, prompt, 1, says, 6, out, count);
		think_start(&again, &rule, prompt, 1);
		for (uint32_t i = 0; i < count; i++)
			think_add(&again, &rule, 2, out[i]);
		assert_memory_equal(&again, &whole, sizeof(whole));
	}
}

static void a_model_without_such_tokens_never_thinks(void **state)
{
	static const struct think_rule none = {.open = THINK_NONE};
	static const uint32_t prompt[] = {OPEN};
	const struct think_rule *rules[] = {NULL, &none};

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct think_state s;

		think_start(&s, rules[i], prompt, 1);
		assert_int_equal(think_forced(&s, rules[i], 0), THINK_NONE);
		think_add(&s, rules[i], 0, OPEN);
		assert_int_equal(s.tokens, 0);
	}
}

/* ---- which tokens they are ------------------------------------------------------------------- */

/* Bytes in GPT-2's alphabet are their own tokens here, as far as the three texts need them. */
static void find_rule(struct think_rule *out, const struct tokenizer_added *added, size_t count)
{
	static char spelling[256][4];
	struct token_text tokens[256];
	struct tokenizer *tokenizer;
	struct err_info info = {0};

	for (unsigned byte = 0, moved = 256; byte < 256; byte++) {
		const bool printable = (byte >= '!' && byte <= '~') ||
			(byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
		const unsigned code = printable ? byte : moved++;

		spelling[byte][0] = (char)(code < 0x80 ? code : 0xC0 | code >> 6);
		spelling[byte][1] = (char)(0x80 | (code & 0x3F));
		tokens[byte] = (struct token_text){spelling[byte], code < 0x80 ? 1 : 2};
	}
	const struct tokenizer_source source = {.tokens = tokens, .token_count = 256,
		.added = added, .added_count = count, .bos_id = TOKENIZER_ID_NONE,
		.eos_id = TOKENIZER_ID_NONE, .pad_id = TOKENIZER_ID_NONE};

	assert_int_equal(tokenizer_open(&tokenizer, &source, &info), ERR_NONE);
	assert_int_equal(think_rule_find(out, tokenizer, &info), ERR_NONE);
	tokenizer_close(tokenizer);
}

static void a_models_tokens_are_found_in_its_tokenizer(void **state)
{
	static const struct tokenizer_added both[] = {
		{.id = 256, .text = {"<think>", 7}}, {.id = 257, .text = {"</think>", 8}}};
	static const uint32_t ending[] = {'\n', 257, '\n', '\n'};
	struct think_rule found;

	(void)state;
	find_rule(&found, both, 2);
	assert_int_equal(found.open, 256);
	assert_int_equal(found.close, 257);
	assert_int_equal(found.ending_count, 4);
	assert_memory_equal(found.ending, ending, sizeof(ending));
	for (size_t count = 0; count < 2; count++) {
		find_rule(&found, both, count);
		assert_int_equal(found.open, THINK_NONE);
	}
	find_rule(&found, both + 1, 1);
	assert_int_equal(found.open, THINK_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_ends_when_its_budget_is_used_up),
		cmocka_unit_test(without_a_budget_left_a_block_is_closed_at_once),
		cmocka_unit_test(a_model_that_ends_by_itself_is_left_alone),
		cmocka_unit_test(a_block_that_the_model_opens_counts_too),
		cmocka_unit_test(whoever_is_told_the_tokens_again_knows_the_same),
		cmocka_unit_test(a_model_without_such_tokens_never_thinks),
		cmocka_unit_test(a_models_tokens_are_found_in_its_tokenizer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
