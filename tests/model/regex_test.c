/* tests/model/regex_test.c - an expression from a file means what it means for Oniguruma, or is
 * refused by name; and no expression makes a text take more than its steps. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/regex.h"

#define TEXT_BYTES 8192
#define ARENA_BYTES ((size_t)256 << 20)

/* Stretches with | between them, matches in []. */
struct shown {
	const char *text;
	char out[TEXT_BYTES];
	size_t size;
};

static enum err show(void *context, size_t begin, size_t end, bool matched)
{
	struct shown *s = context;

	assert_true(s->size + (end - begin) + 4 < sizeof(s->out));
	s->size += (size_t)snprintf(s->out + s->size, sizeof(s->out) - s->size,
		matched ? "[%.*s]" : "%.*s|", (int)(end - begin), s->text + begin);
	return ERR_NONE;
}

static enum err count(void *context, size_t begin, size_t end, bool matched)
{
	(void)begin, (void)end;
	*(size_t *)context += matched;
	return ERR_NONE;
}

static struct regex *open_pattern(const char *pattern)
{
	struct err_info info = {0};
	struct regex *r;

	if (regex_open(&r, pattern, strlen(pattern), &info))
		fail_msg("%s", info.text);
	return r;
}

static void assert_split(const char *pattern, const char *text, size_t size, const char *expected)
{
	struct regex *r = open_pattern(pattern);
	struct regex_work *w = NULL;
	struct shown s = {.text = text};
	struct err_info info = {0};
	struct arena arena;

	arena_init(&arena, 4096, ARENA_BYTES);
	if (regex_work_allow(&w, &arena, size, &info) ||
		regex_split(r, w, text, size, show, &s, &info))
		fail_msg("%s", info.text);
	assert_string_equal(s.out, expected);
	arena_reset(&arena);
	regex_close(r);
}

/* Expected as Hugging Face tokenizers splits, with Oniguruma. */
static void what_pcre2_spells_otherwise_means_the_same(void **state)
{
	static const struct {
		const char *pattern, *text, *expected;
	} cases[] = {
		{"\\p{N}{1,3}", "a1234b", "a|[123][4]b|"},
		{"\\s", "a\xC2\x85" "b\u00a0c\u180ed\x1c", "a|[\xC2\x85]b|[\u00a0]c\u180ed\x1c|"},
		{"\\w+", "a_\u00b2\u0301-\u2167\u2460", "[a_\u00b2\u0301]-|[\u2167]\u2460|"},
		{"\\d", "1\u0663\u00b2", "[1][\u0663]\u00b2|"},
		{"\\h+", "xfaceg", "x|[face]g|"},
		{"(?i:'s)", "'s'S'\u017f", "['s]['S]['\u017f]"},
		{"(?m:.)", "a\n", "[a][\n]"},
		{".", "a\n", "[a]\n|"},
		{"^.|.$", "ab\ncd", "[a][b]\n|[c][d]"},
		{"a{,2}b", "aaab", "a|[aab]"},
		{"[a[bc]d]+", "abcde", "[abcd]e|"},
		{"\\p{^L}", "a1", "a|[1]"},
		{"\\p{Han}", "\u6f22\u3001", "[\u6f22]\u3001|"},
		{"\\u00e9|\\x{6f22}|\\x41", "A\u00e9\u6f22", "[A][\u00e9][\u6f22]"},
		{"(?<=a)b|b(?=c)", "abbc", "a|[b][b]c|"},
		{"\\bx", "ax x", "ax |[x]"},
		{"x*", "axb", "[]a|[x]b|[]"},
		{"", "ab", "[]a|[]b|[]"},
		{"\\v", "\v\n", "[\v]\n|"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_split(cases[i].pattern, cases[i].text, strlen(cases[i].text),
			cases[i].expected);
}

static void bytes_of_no_character_are_no_match(void **state)
{
	(void)state;
	assert_split(".+", "ab\xff\xfe" "cd", 6, "[ab]\xff\xfe|[cd]");
	assert_split("b$|^c", "ab\xc3" "cd", 5, "a|[b]\xc3|[c]d|");
	assert_split(".", "\xed\xa0\x80", 3, "\xed\xa0\x80|");
}

static void what_may_mean_something_else_is_refused_by_name(void **state)
{
	static const struct {
		const char *pattern, *says;
	} cases[] = {
		{"a\\K", "this escape at byte 1"},
		{"\\R", "this escape at byte 0"},
		{"(a)\\1", "this escape at byte 3"},
		{"(?R)", "this group at byte 0"},
		{"(?x: a)", "this group at byte 0"},
		{"(*ACCEPT)", "this group at byte 0"},
		{"a(?i)b", "this group at byte 1"},
		{"(?i:ss)", "a pair of letters that is one where case is ignored at byte 5"},
		{"(?i:\u00e9)", "a letter beyond ASCII where case is ignored at byte 4"},
		{"(?i:\\p{L})", "a property where case is ignored at byte 4"},
		{"a{2}+", "a repeat of a repeat at byte 4"},
		{"a{3,2}", "this count at byte 1"},
		{"a{99999}", "this count at byte 1"},
		{"[a&&b]", "a set operation or POSIX bracket in a class at byte 2"},
		{"[[:alpha:]]", "a set operation or POSIX bracket in a class at byte 1"},
		{"[a[^b]]", "a set operation or POSIX bracket in a class at byte 2"},
		{"[]a]", "an empty class at byte 1"},
		{"[a-", "a class without an end at byte 3"},
		{"[a", "a class without an end at byte 0"},
		{"[b-a]", "this range at byte 1"},
		{"[\\w-b]", "a hyphen behind a set at byte 1"},
		{"(a", "a group without an end at byte 2"},
		{"a)", "an end without a beginning at byte 1"},
		{"\\p{Alpha}", "this property at byte 0"},
		{"\\pL", "a property without braces at byte 0"},
		{"\\xe9", "this escape at byte 0"},
		{"a\\", "a backslash at the end at byte 1"},
		{"\xff", "a character that is broken or zero at byte 0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err_info info = {0};
		char wanted[ERR_TEXT_MAX];
		struct regex *r;

		snprintf(wanted, sizeof(wanted), "regex \"%s\": %s is not supported",
			cases[i].pattern, cases[i].says);
		assert_int_equal(regex_open(&r, cases[i].pattern, strlen(cases[i].pattern), &info),
			ERR_UNSUPPORTED);
		assert_null(r);
		if (cases[i].pattern[0] != '\xff')
			assert_string_equal(info.text, wanted);
	}
}

static void what_pcre2_cannot_compile_is_said_in_its_words(void **state)
{
	struct err_info info = {0};
	struct regex *r;

	(void)state;
	assert_int_equal(regex_open(&r, "*a", 2, &info), ERR_UNSUPPORTED);
	assert_string_equal(
		info.text, "regex \"*a\": quantifier does not follow a repeatable item");
	assert_int_equal(regex_open(&r, "(?<=a*)b", 8, &info), ERR_UNSUPPORTED);
	assert_int_equal(regex_open(&r, "((((a{999}){999}){999}){999}){999}", 34, &info),
		ERR_UNSUPPORTED);
}

static void a_pattern_has_a_size_and_a_depth(void **state)
{
	const size_t size = 20000;
	char *pattern = mem_alloc(size, 1);
	struct err_info info = {0};
	struct regex *r;

	(void)state;
	memset(pattern, 'a', size);
	assert_int_equal(regex_open(&r, pattern, size, &info), ERR_LIMIT);
	memset(pattern, '(', size);
	assert_int_equal(regex_open(&r, pattern, 10000, &info), ERR_UNSUPPORTED);
	assert_non_null(strstr(info.text, "so deep a nesting"));
	mem_free(pattern);
}

/* How many steps a pattern takes for a text of size bytes of one letter, or 0 when they are too
 * many. */
static uint64_t steps_of(const char *pattern, char letter, size_t size)
{
	struct regex *r = open_pattern(pattern);
	struct regex_work *w = NULL;
	char *text = mem_alloc(size, 1);
	struct err_info info = {0};
	size_t matches = 0;
	struct arena arena;

	memset(text, letter, size);
	arena_init(&arena, 4096, ARENA_BYTES);
	assert_int_equal(regex_work_allow(&w, &arena, size, &info), ERR_NONE);
	const enum err code = regex_split(r, w, text, size, count, &matches, &info);
	const uint64_t steps = regex_work_steps(w);

	/* One more than is allowed is where it ends. */
	assert_true(steps <= REGEX_STEPS_MIN + REGEX_STEPS_PER_BYTE * size + size + 1);
	if (code) {
		assert_int_equal(code, ERR_LIMIT);
		assert_non_null(strstr(info.text, "needs too many steps for a text of"));
	}
	arena_reset(&arena);
	mem_free(text);
	regex_close(r);
	return code ? 0 : steps;
}

static void bombs_end_in_an_error_after_their_steps(void **state)
{
	static const char *const bombs[] = {"(a+)+$b", "(a|a)*b", "(a*)*b", "(?:a+a+)+b", "a*a*a*a*b",
		"(?=(a+)+b)a", "(?:a*+b|a)", "a(?=a*b)|a", "(?:a{1,99}){1,99}b",
		"(((a+)+)+)+c", "(?<=a)(?=.*b)|(?!.*c)d"};

	(void)state;
	for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++)
		if (steps_of(bombs[i], 'a', 20000) != 0)
			fail_msg("%s is no bomb", bombs[i]);
}

static void expressions_of_models_are_linear_in_any_run(void **state)
{
	static const char *const patterns[] = {
		"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
		"?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
		"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}"
		"\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}"
		"\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|"
		"\\s+(?!\\S)|\\s+",
		" ?[^(\\s|[.,!?])]+",
	};
	static const char letters[] = "aA \n!1'";

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		for (const char *letter = letters; *letter; letter++) {
			const uint64_t few = steps_of(patterns[i], *letter, 10000),
				       many = steps_of(patterns[i], *letter, 160000);

			assert_true(few > 0 && many > 0);
			assert_true(many < 17 * few);
		}
	}
}

static void running_out_of_memory_leaks_nothing(void **state)
{
	struct err_info info = {0};
	struct regex *r = NULL;
	enum err code = ERR_MEMORY;

	(void)state;
	for (int64_t n = 1; code; n++) {
		info = (struct err_info){0};
		mem_fail_after(n, 1);
		code = regex_open(&r, "(?:a|b)+\\w", 10, &info);
		mem_fail_after(0, 0);
		assert_true(n < 1000 && (r == NULL) == (code != ERR_NONE));
	}
	regex_close(r);
	regex_close(NULL);
}

static void plain_text_is_found_as_it_is(void **state)
{
	static const char text[] = "a.(b)\\E\u00e9";
	struct regex_work *w = NULL;
	struct shown s = {.text = "xa.(b)\\E\u00e9aa.(b)"};
	struct err_info info = {0};
	struct arena arena;
	struct regex *r;

	(void)state;
	arena_init(&arena, 4096, ARENA_BYTES);
	assert_int_equal(regex_open_literal(&r, text, strlen(text), &info), ERR_NONE);
	assert_int_equal(regex_work_allow(&w, &arena, 16, &info), ERR_NONE);
	assert_int_equal(regex_split(r, w, s.text, strlen(s.text), show, &s, &info), ERR_NONE);
	assert_string_equal(s.out, "x|[a.(b)\\E\u00e9]aa.(b)|");
	arena_reset(&arena);
	regex_close(r);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_pcre2_spells_otherwise_means_the_same),
	cmocka_unit_test(bytes_of_no_character_are_no_match),
	cmocka_unit_test(what_may_mean_something_else_is_refused_by_name),
	cmocka_unit_test(what_pcre2_cannot_compile_is_said_in_its_words),
	cmocka_unit_test(a_pattern_has_a_size_and_a_depth),
	cmocka_unit_test(bombs_end_in_an_error_after_their_steps),
	cmocka_unit_test(expressions_of_models_are_linear_in_any_run),
	cmocka_unit_test(running_out_of_memory_leaks_nothing),
	cmocka_unit_test(plain_text_is_found_as_it_is),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
