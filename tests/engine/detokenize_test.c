/* tests/engine/detokenize_test.c - what a client sees is whole tokens and whole characters, and
 * never a stop string. */
#include "unit.h"

#include <string.h>

#include "base/prng.h"
#include "engine/detokenize.h"

#define REPLACEMENT "\xEF\xBF\xBD"

static struct buf text;

static int text_open(void **state)
{
	(void)state;
	buf_init(&text, 1 << 20);
	return 0;
}

static int text_close(void **state)
{
	(void)state;
	buf_free(&text);
	return 0;
}

/* Adds one token and checks what came out of it. */
static void expect_delta(struct detokenize *d, const char *token, uint32_t tokens,
	const char *delta)
{
	buf_clear(&text);
	assert_int_equal(detokenize_add(d, token, strlen(token), &text), tokens);
	assert_string_equal(text.data ? text.data : "", delta);
}

static void expect_end(struct detokenize *d, uint32_t tokens, const char *delta)
{
	buf_clear(&text);
	assert_int_equal(detokenize_end(d, &text), tokens);
	assert_string_equal(text.data ? text.data : "", delta);
}

static void plain_text_goes_out_token_by_token(void **state)
{
	struct detokenize d;

	(void)state;
	detokenize_init(&d, NULL, 0, 0);
	expect_delta(&d, "Hello", 1, "Hello");
	expect_delta(&d, " 春", 1, " 春");
	expect_delta(&d, "", 1, "");
	expect_end(&d, 0, "");
	assert_int_equal(d.tokens, 3);
}

static void a_character_in_three_tokens_is_one_delta_of_three(void **state)
{
	struct detokenize d;

	(void)state;
	detokenize_init(&d, NULL, 0, 0);
	expect_delta(&d, "\xE6", 0, "");
	expect_delta(&d, "\x98", 0, "");
	expect_delta(&d, "\xA5", 3, "春");
}

static void a_token_that_ends_inside_a_character_waits_whole(void **state)
{
	struct detokenize d;

	(void)state;
	detokenize_init(&d, NULL, 0, 0);
	expect_delta(&d, "ab", 1, "ab");
	expect_delta(&d, "cd\xE6\x98", 0, "");
	expect_delta(&d, "\xA5x", 2, "cd春x");
}

static void bytes_that_are_no_text_become_the_replacement_character(void **state)
{
	struct detokenize d;

	(void)state;
	detokenize_init(&d, NULL, 0, 0);
	expect_delta(&d, "\xFF", 1, REPLACEMENT);
	expect_delta(&d, "\xE6\x98z", 1, REPLACEMENT "z");
	expect_delta(&d, "\xC0\x80", 1, REPLACEMENT REPLACEMENT);
	expect_delta(&d, "\xED\xA0\x80", 1, REPLACEMENT REPLACEMENT REPLACEMENT);
	expect_delta(&d, "\xF0\x9F", 0, "");
	expect_end(&d, 1, REPLACEMENT);
}

static void what_could_become_a_stop_string_is_held_back(void **state)
{
	const struct request_stop stops[] = {{"</stop>", 7}, {"\n\n", 2}};
	struct detokenize d;

	(void)state;
	detokenize_init(&d, stops, 2, 0);
	expect_delta(&d, "one", 1, "one");
	expect_delta(&d, "<", 0, "");
	expect_delta(&d, "/st", 0, "");
	expect_delta(&d, "ay", 3, "</stay");
	expect_delta(&d, "end\n", 0, "");
	expect_end(&d, 1, "end\n");
}

static void the_text_ends_before_the_stop_string_and_its_tokens_count(void **state)
{
	const struct request_stop stops[] = {{"STOP", 4}};
	struct detokenize d;

	(void)state;
	detokenize_init(&d, stops, 1, 0);
	expect_delta(&d, "go ST", 0, "");
	expect_delta(&d, "OP now", 2, "go ");
	assert_true(d.stopped);
	expect_delta(&d, "more", 1, "");
	expect_end(&d, 0, "");
}

static void of_two_stop_strings_the_one_that_is_complete_first_cuts(void **state)
{
	const struct request_stop stops[] = {{"bc", 2}, {"abcd", 4}};
	struct detokenize d;

	(void)state;
	detokenize_init(&d, stops, 2, 0);
	expect_delta(&d, "xxabcdyy", 1, "xxa");
	assert_true(d.stopped);
}

static void a_stop_string_before_min_tokens_is_text(void **state)
{
	const struct request_stop stops[] = {{".", 1}};
	struct detokenize d;

	(void)state;
	detokenize_init(&d, stops, 1, 2);
	expect_delta(&d, "a.", 1, "a.");
	expect_delta(&d, "b.", 1, "b.");
	expect_delta(&d, "c.", 1, "c");
	assert_true(d.stopped);
}

static void tokens_without_text_wait_with_the_text_before_them(void **state)
{
	const struct request_stop stops[] = {{"ab", 2}};
	struct detokenize d;

	(void)state;
	detokenize_init(&d, stops, 1, 0);
	expect_delta(&d, "a", 0, "");
	for (int i = 0; i < 5000; i++)
		expect_delta(&d, "", 0, "");
	expect_delta(&d, "c", 5002, "ac");
}

static void an_answer_whose_tokens_always_cut_characters_still_goes_out(void **state)
{
	struct detokenize d;
	uint32_t tokens = 0;

	(void)state;
	detokenize_init(&d, NULL, 0, 0);
	buf_clear(&text);
	tokens += detokenize_add(&d, "\xE6\x98", 2, &text);
	for (int i = 0; i < 10000; i++)
		tokens += detokenize_add(&d, "\xA5\xE6\x98", 3, &text);
	tokens += detokenize_end(&d, &text);
	assert_int_equal(tokens, 10001);
	assert_true(text.size > 29000);
}

static void the_longest_token_and_stop_string_fit(void **state)
{
	static char token[DETOKENIZE_TOKEN_BYTES_MAX], stop[REQUEST_STOP_BYTES];
	const struct request_stop stops[] = {{stop, sizeof(stop)}};
	struct detokenize d;

	(void)state;
	memset(token, 'x', sizeof(token));
	memset(stop, 'x', sizeof(stop));
	stop[sizeof(stop) - 1] = 'y';
	detokenize_init(&d, stops, 1, 0);
	buf_clear(&text);
	for (int i = 0; i < 8; i++)
		detokenize_add(&d, token, sizeof(token), &text);
	detokenize_add(&d, "y", 1, &text);
	assert_true(d.stopped);
	assert_int_equal(text.size, 8 * sizeof(token) - sizeof(stop) + 1);
}

/* Any tokens, any stop strings: the deltas together are the text up to the first stop string that
 * counts, and every token is in exactly one of them. */
static void deltas_add_up_whatever_the_tokens_are(void **state)
{
	const struct request_stop stops[] = {{"aab", 3}, {"ba", 2}, {"\xE6\x98\xA5", 3}};
	static const char alphabet[] = "aaab\xE6\x98\xA5";
	struct prng prng;

	(void)state;
	prng_init(&prng, 7);
	for (int round = 0; round < 5000; round++) {
		const uint32_t stop_count = (uint32_t)prng_below(&prng, 4);
		char whole[256];
		uint32_t whole_bytes = 0, tokens = 0, added = 0;
		struct detokenize d, once;

		detokenize_init(&d, stops, stop_count, 0);
		buf_clear(&text);
		while (!d.stopped && added < 30) {
			char token[6];
			const uint32_t size = (uint32_t)prng_below(&prng, sizeof(token) + 1);

			for (uint32_t i = 0; i < size; i++)
				token[i] = alphabet[prng_below(&prng, sizeof(alphabet) - 1)];
			memcpy(whole + whole_bytes, token, size);
			whole_bytes += size;
			tokens += detokenize_add(&d, token, size, &text);
			assert_true(tokens <= ++added);
		}
		tokens += detokenize_end(&d, &text);
		assert_int_equal(tokens, added);

		struct buf expected;
		buf_init(&expected, 4096);
		detokenize_init(&once, stops, stop_count, 0);
		detokenize_add(&once, whole, whole_bytes, &expected);
		detokenize_end(&once, &expected);
		assert_int_equal(once.stopped, d.stopped);
		assert_int_equal(text.size, expected.size);
		if (text.size > 0)
			assert_memory_equal(text.data, expected.data, text.size);
		buf_free(&expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_goes_out_token_by_token),
		cmocka_unit_test(a_character_in_three_tokens_is_one_delta_of_three),
		cmocka_unit_test(a_token_that_ends_inside_a_character_waits_whole),
		cmocka_unit_test(bytes_that_are_no_text_become_the_replacement_character),
		cmocka_unit_test(what_could_become_a_stop_string_is_held_back),
		cmocka_unit_test(the_text_ends_before_the_stop_string_and_its_tokens_count),
		cmocka_unit_test(of_two_stop_strings_the_one_that_is_complete_first_cuts),
		cmocka_unit_test(a_stop_string_before_min_tokens_is_text),
		cmocka_unit_test(tokens_without_text_wait_with_the_text_before_them),
		cmocka_unit_test(an_answer_whose_tokens_always_cut_characters_still_goes_out),
		cmocka_unit_test(the_longest_token_and_stop_string_fit),
		cmocka_unit_test(deltas_add_up_whatever_the_tokens_are),
	};

	return cmocka_run_group_tests(tests, text_open, text_close);
}
