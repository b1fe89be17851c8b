/* tests/model/normalizer_test.c - a tokenizer's steps change a text as they say, within bounds, and
 * what a user wrote stays known. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/normalizer.h"

#define ARENA_BYTES ((size_t)64 << 20)

#define PREPEND(text)           \
	{.kind = NORMALIZER_PREPEND, .content = (text), .content_size = sizeof(text) - 1}
#define REPLACE(from, to)                                                                       \
	{.kind = NORMALIZER_REPLACE, .pattern = (from), .pattern_size = sizeof(from) - 1,       \
		.content = (to), .content_size = sizeof(to) - 1}

struct fixture {
	struct arena arena;
	struct regex_work *regex;
	struct normalizer_work work;
	struct normalizer n;
};

static void open_steps(struct fixture *f, const struct normalizer_step *steps, size_t count)
{
	struct normalizer_steps list = {.count = 0};
	struct err_info info = {0};

	memset(f, 0, sizeof(*f));
	arena_init(&f->arena, 4096, ARENA_BYTES);
	f->work.form.arena = &f->arena;
	f->work.regex = &f->regex;
	for (size_t i = 0; i < count; i++)
		assert_int_equal(normalizer_add(&list, steps[i], &info), ERR_NONE);
	if (normalizer_open(&f->n, &list, &info))
		fail_msg("%s", info.text);
}

static void close_steps(struct fixture *f)
{
	normalizer_close(&f->n);
	arena_reset(&f->arena);
}

/* flags: a digit for each byte of the text and of what comes out, or NULL. */
static void assert_becomes(const struct normalizer_step *steps, size_t count, const char *text,
	const char *flags, const char *expected, const char *expected_flags)
{
	uint8_t trusted[64];
	struct normalizer_text t = {.bytes = text, .size = strlen(text)};
	struct err_info info = {0};
	struct fixture f;

	open_steps(&f, steps, count);
	for (size_t i = 0; flags && i < t.size; i++)
		trusted[i] = flags[i] == '1';
	t.trusted = flags ? trusted : NULL;
	if (normalizer_apply(&f.n, &f.work, &t, &info))
		fail_msg("%s", info.text);
	assert_int_equal(t.size, strlen(expected));
	assert_memory_equal(t.bytes, expected, t.size);
	for (size_t i = 0; expected_flags && i < t.size; i++)
		assert_int_equal(t.trusted[i], expected_flags[i] == '1');
	close_steps(&f);
}

static void what_is_not_trusted_stays_so(void **state)
{
	static const struct normalizer_step form = {.kind = NORMALIZER_FORM},
		lower = {.kind = NORMALIZER_LOWERCASE}, strip = {.kind = NORMALIZER_STRIP,
		.left = true, .right = true}, accents = {.kind = NORMALIZER_STRIP_ACCENTS},
		prepend = PREPEND("__"), replace = REPLACE("ab", "xyz");

	(void)state;
	/* a letter of the template's with the user's mark on it is the user's */
	assert_becomes(&form, 1, "xe\u0301y", "11001", "x\u00e9y", "1001");
	assert_becomes(&form, 1, "xe\u0301y", "11110", "x\u00e9y", "1110");
	assert_becomes(&lower, 1, "A\u0130B", "0111", "ai\u0307b", "01111");
	assert_becomes(&strip, 1, " \u3000a b\n", "01111011", "a b", "101");
	assert_becomes(&accents, 1, "e\u0301a", "1001", "ea", "11");
	assert_becomes(&prepend, 1, "ab", "01", "__ab", "1101");
	assert_becomes(&replace, 1, "cabdab", "110111", "cxyzdxyz", "10001111");
}

static void steps_go_one_after_the_other(void **state)
{
	static const struct normalizer_step steps[] = {PREPEND(" "), REPLACE("\\s+", "_"),
		{.kind = NORMALIZER_LOWERCASE}, REPLACE("_a", "")};

	(void)state;
	assert_becomes(steps, 4, "  A \n B", NULL, "_b", NULL);
	assert_becomes(steps, 4, "", NULL, "", NULL);  /* nothing comes of nothing */
	assert_becomes(NULL, 0, "as it is", "10101010", "as it is", "10101010");
}

static void broken_bytes_stay(void **state)
{
	static const struct normalizer_step steps[] = {{.kind = NORMALIZER_FORM},
		{.kind = NORMALIZER_LOWERCASE}, {.kind = NORMALIZER_STRIP, .right = true},
		{.kind = NORMALIZER_STRIP_ACCENTS}, REPLACE(".", "x")};

	(void)state;
	assert_becomes(steps, 5, "A\xff\xc3 ", NULL, "x\xff\xc3", NULL);
}

/* Each step doubles the text: sixteen of them would make 64 KiB of a letter, 64 GiB of a MiB. */
static void a_text_that_grows_without_end_is_an_error(void **state)
{
	static const struct normalizer_step doubles[] = {REPLACE("a", "aa"), REPLACE("a", "aa"),
		REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"),
		REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"),
		REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"), REPLACE("a", "aa"),
		REPLACE("a", "aa"), REPLACE("a", "aa")};
	struct normalizer_text t = {.bytes = "aaaaaaaaaaaaaaaa", .size = 16};
	struct err_info info = {0};
	struct fixture f;

	(void)state;
	open_steps(&f, doubles, 16);
	assert_int_equal(normalizer_apply(&f.n, &f.work, &t, &info), ERR_LIMIT);
	assert_string_equal(info.text, "normalizer: more than 4608 bytes come of the text");
	close_steps(&f);
}

static void a_full_arena_is_an_answer(void **state)
{
	static const struct normalizer_step step = {.kind = NORMALIZER_LOWERCASE};
	char *text = mem_alloc(1 << 20, 1);
	struct normalizer_text t = {.bytes = text, .size = 1 << 20};
	struct err_info info = {0};
	struct fixture f;

	(void)state;
	open_steps(&f, &step, 1);
	arena_reset(&f.arena);
	arena_init(&f.arena, 4096, 1 << 20);
	memset(text, 'A', 1 << 20);
	assert_int_equal(normalizer_apply(&f.n, &f.work, &t, &info), ERR_LIMIT);
	close_steps(&f);
	mem_free(text);
}

static void what_cannot_be_opened_is_closed(void **state)
{
	struct normalizer_steps list = {.count = 0};
	struct err_info info = {0};
	struct normalizer n;

	(void)state;
	for (size_t i = 0; i < NORMALIZER_STEPS_MAX; i++)
		assert_int_equal(normalizer_add(&list, (struct normalizer_step)REPLACE("a", "b"),
					 &info), ERR_NONE);
	assert_int_equal(
		normalizer_add(&list, (struct normalizer_step){0}, &info), ERR_LIMIT);
	assert_string_equal(info.text, "normalizer: more than 16 steps");
	list.steps[15].pattern = "(";
	assert_int_equal(normalizer_open(&n, &list, &info), ERR_UNSUPPORTED);
	list.steps[15].pattern_size = 0;
	list.steps[15].literal = true;
	assert_int_equal(normalizer_open(&n, &list, &info), ERR_UNSUPPORTED);
	assert_string_equal(info.text, "normalizer: Replace of nothing");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_is_not_trusted_stays_so),
	cmocka_unit_test(steps_go_one_after_the_other),
	cmocka_unit_test(broken_bytes_stay),
	cmocka_unit_test(a_text_that_grows_without_end_is_an_error),
	cmocka_unit_test(a_full_arena_is_an_answer),
	cmocka_unit_test(what_cannot_be_opened_is_closed),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
