/* tests/engine/stop_test.c - stop strings are found byte by byte, whatever the token borders. */
#include "engine/stop.h"

#include "unit.h"

#include <string.h>

#include "base/prng.h"

static const struct request_stop stops[] = {{"END", 3}, {"aab", 3}, {"\n\n", 2}};

static bool feed(struct stop_state *s, const char *text, uint32_t *which, size_t *excess)
{
	return stop_feed(s, stops, 3, true, text, strlen(text), which, excess);
}

static void a_stop_string_across_three_tokens_is_found(void **state)
{
	struct stop_state s;
	uint32_t which;
	size_t excess;

	(void)state;
	stop_init(&s, stops, 3);
	assert_false(feed(&s, "the E", &which, &excess));
	assert_int_equal(stop_begun(&s, 3), 1);
	assert_false(feed(&s, "N", &which, &excess));
	assert_int_equal(stop_begun(&s, 3), 2);
	assert_true(feed(&s, "D of it", &which, &excess));
	assert_int_equal(which, 0);
	assert_int_equal(excess, 6);
}

static void a_false_start_falls_back_to_its_longest_border(void **state)
{
	struct stop_state s;
	uint32_t which;

	(void)state;
	stop_init(&s, stops, 3);
	assert_true(feed(&s, "aaaab", &which, NULL));
	assert_int_equal(which, 1);
}

static void while_not_armed_a_complete_stop_string_is_passed_over(void **state)
{
	struct stop_state s;

	(void)state;
	stop_init(&s, stops, 3);
	assert_false(stop_feed(&s, stops, 3, false, "END\n", 4, NULL, NULL));
	assert_true(stop_feed(&s, stops, 3, true, "\n", 1, NULL, NULL));
}

/* Against strstr, on random texts of a few letters cut into random tokens. */
static void finds_what_a_plain_search_finds_wherever_tokens_end(void **state)
{
	struct prng prng;

	(void)state;
	prng_init(&prng, 3);
	for (int round = 0; round < 20000; round++) {
		const struct request_stop one = {"abaab", (uint32_t)(2 + prng_below(&prng, 4))};
		char needle[8] = {0}, text[40] = {0};
		struct stop_state s;
		size_t found = 0, at = 0;

		memcpy(needle, one.text, one.size);
		for (int i = 0; i < 39; i++)
			text[i] = (char)('a' + prng_below(&prng, 2));
		const char *expected = strstr(text, needle);

		stop_init(&s, &one, 1);
		while (at < 39 && !found) {
			const size_t size = at + 5 < 39 ? 1 + prng_below(&prng, 5) : 39 - at;
			size_t excess;

			if (stop_feed(&s, &one, 1, true, text + at, size, NULL, &excess))
				found = at + size - excess;
			at += size;
		}
		assert_int_equal(found, expected ? (size_t)(expected - text) + one.size : 0);
	}
}

/* Strings that repeat themselves have many borders; the longest allowed, in texts
 * made of their parts. */
static void finds_the_longest_strings_with_the_most_borders(void **state)
{
	struct prng prng;

	(void)state;
	prng_init(&prng, 4);
	for (int round = 0; round < 300; round++) {
		static char needle[REQUEST_STOP_BYTES + 1], text[4096];
		const uint32_t period = 1 + (uint32_t)prng_below(&prng, 9);
		struct stop_state s;
		size_t size = 0, found = 0;

		for (uint32_t i = 0; i < REQUEST_STOP_BYTES; i++)
			needle[i] = i < period || prng_below(&prng, 200) == 0
				? (char)('a' + prng_below(&prng, 2))
				: needle[i - period];
		while (size + 2 * REQUEST_STOP_BYTES < sizeof(text)) {
			const size_t part = prng_below(&prng, REQUEST_STOP_BYTES + 1);

			memcpy(text + size, needle, part);
			size += part;
			text[size++] = (char)('a' + prng_below(&prng, 2));
		}
		text[size] = '\0';
		const struct request_stop one = {needle, REQUEST_STOP_BYTES};
		const char *expected = strstr(text, needle);
		size_t excess;

		stop_init(&s, &one, 1);
		if (stop_feed(&s, &one, 1, true, text, size, NULL, &excess))
			found = size - excess;
		assert_int_equal(found, expected ? (size_t)(expected - text) + REQUEST_STOP_BYTES
			: 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_string_across_three_tokens_is_found),
		cmocka_unit_test(a_false_start_falls_back_to_its_longest_border),
		cmocka_unit_test(while_not_armed_a_complete_stop_string_is_passed_over),
		cmocka_unit_test(finds_what_a_plain_search_finds_wherever_tokens_end),
		cmocka_unit_test(finds_the_longest_strings_with_the_most_borders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
