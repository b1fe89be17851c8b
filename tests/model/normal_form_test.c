/* tests/model/normal_form_test.c - normal forms are Unicode's, and take time in proportion to the
 * text. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/normal_form.h"
#include "model/tokenizer/unicode.h"

#define ARENA_BYTES ((size_t)512 << 20)
#define CODE_POINTS 0x110000u

static const enum normal_form FORMS[] = {
	NORMAL_FORM_C, NORMAL_FORM_D, NORMAL_FORM_KC, NORMAL_FORM_KD};

/* The form of a whole text into out; returns its size. */
static size_t apply(struct normal_form_work *work, enum normal_form form, const char *text,
	size_t size, char *out)
{
	size_t written = 0;

	for (size_t at = 0, part; at < size; at += part) {
		const char *changed = text + at;
		size_t changed_size;
		bool changes;

		part = normal_form_segment(form, text + at, size - at, &changes);
		assert_true(part > 0 && part <= size - at);
		changed_size = part;
		if (changes)
			assert_int_equal(normal_form_apply(work, form, text + at, part, &changed,
						 &changed_size, UNIT_IGNORED), ERR_NONE);
		memcpy(out + written, changed, changed_size);
		written += changed_size;
	}
	return written;
}

static void known_texts_become_what_unicode_says(void **state)
{
	static const struct {
		const char *text, *forms[4];  /* C, D, KC, KD */
	} cases[] = {
		{"plain ASCII", {"plain ASCII", "plain ASCII", "plain ASCII", "plain ASCII"}},
		{"e\u0301", {"\u00e9", "e\u0301", "\u00e9", "e\u0301"}},
		{"\u212b", {"\u00c5", "A\u030a", "\u00c5", "A\u030a"}},
		{"q\u0307\u0323", {"q\u0323\u0307", "q\u0323\u0307", "q\u0323\u0307",
			"q\u0323\u0307"}},
		{"\u1e9b\u0323", {"\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e69",
			"s\u0323\u0307"}},
		{"\ufb01\u00b2", {"\ufb01\u00b2", "\ufb01\u00b2", "fi2", "fi2"}},
		{"\u1112\u1161\u11ab\uac00\u11a8", {"\ud55c\uac01",
			"\u1112\u1161\u11ab\u1100\u1161\u11a8", "\ud55c\uac01",
			"\u1112\u1161\u11ab\u1100\u1161\u11a8"}},
		{"\u0958", {"\u0915\u093c", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c"}},
		{"a\xff\u0301", {"a\xff\u0301", "a\xff\u0301", "a\xff\u0301", "a\xff\u0301"}},
		{"\u0344", {"\u0308\u0301", "\u0308\u0301", "\u0308\u0301", "\u0308\u0301"}},
	};
	struct arena arena;
	struct normal_form_work work = {.arena = &arena};
	char out[256];

	(void)state;
	arena_init(&arena, 4096, ARENA_BYTES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t f = 0; f < 4; f++) {
			const size_t size = apply(&work, FORMS[f], cases[i].text,
				strlen(cases[i].text), out);

			out[size] = '\0';
			assert_string_equal(out, cases[i].forms[f]);
		}
	}
	arena_reset(&arena);
}

/* What is said to hold without a look at its neighbours does not change; what comes out of a form
 * does not change any more. */
static void forms_hold_for_every_character(void **state)
{
	struct arena arena;
	struct normal_form_work work = {.arena = &arena};

	(void)state;
	arena_init(&arena, 4096, ARENA_BYTES);
	for (uint32_t c = 0; c < CODE_POINTS; c++) {
		char text[4], once[256], twice[256];

		if (c >= 0xD800 && c < 0xE000)
			continue;
		const size_t size = unicode_encode(c, text);
		for (size_t f = 0; f < 4; f++) {
			const size_t once_size = apply(&work, FORMS[f], text, size, once);

			if (normal_form_holds(FORMS[f], text, size)) {
				assert_int_equal(once_size, size);
				assert_memory_equal(once, text, size);
				continue;
			}
			assert_int_equal(
				apply(&work, FORMS[f], once, once_size, twice), once_size);
			assert_memory_equal(once, twice, once_size);
		}
	}
	arena_reset(&arena);
}

/* Marks of two classes by turns, as many as fit into size: the worst there is to sort. */
static uint64_t steps_for_marks(const char *first, const char *second, size_t size)
{
	char *text = mem_alloc(size, 1), *out = mem_alloc(size * 3 + 16, 1);
	struct arena arena;
	struct normal_form_work work = {.arena = &arena};
	size_t used = 0;

	arena_init(&arena, 4096, ARENA_BYTES);
	text[used++] = 'a';
	for (bool turn = false; used + 4 <= size; turn = !turn) {
		memcpy(text + used, turn ? second : first, strlen(turn ? second : first));
		used += strlen(turn ? second : first);
	}
	for (size_t f = 0; f < 4; f++)
		(void)apply(&work, FORMS[f], text, used, out);
	arena_reset(&arena);
	mem_free(text);
	mem_free(out);
	return work.steps;
}

static void a_run_of_marks_takes_time_in_proportion(void **state)
{
	static const char *const pairs[][2] = {{"\u0301", "\u0323"}, {"\u0301", "\u0301"},
		{"\u0344", "\u0f71"}, {"\u1161", "\u11a8"}, {"a", "\u0301"}};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		const uint64_t few = steps_for_marks(pairs[i][0], pairs[i][1], 1 << 14),
			       many = steps_for_marks(pairs[i][0], pairs[i][1], 1 << 20);

		assert_true(many <= 66 * few);
		assert_true(many <= (uint64_t)4 * 10 << 20);
	}
}

/* Broken bytes in a row are looked at a few times each, not again for each of them. */
static void broken_bytes_are_their_own_segments(void **state)
{
	const size_t size = 1 << 16;
	char *text = mem_alloc(size, 1), *out = mem_alloc(size, 1);
	struct arena arena;
	struct normal_form_work work = {.arena = &arena};
	size_t calls = 0;

	(void)state;
	arena_init(&arena, 4096, ARENA_BYTES);
	memset(text, 0x80, size - 2);
	memcpy(text + size - 2, "\xcc\x81", 2);
	for (size_t at = 0; at < size; calls++) {
		bool changes;

		at += normal_form_segment(NORMAL_FORM_C, text + at, size - at, &changes);
	}
	assert_true(calls < 10);
	assert_int_equal(apply(&work, NORMAL_FORM_C, text, size, out), size);
	assert_memory_equal(text, out, size);
	arena_reset(&arena);
	mem_free(text);
	mem_free(out);
}

static void a_full_arena_is_an_answer(void **state)
{
	char *text = mem_alloc(40001, 1);
	struct arena arena;
	struct normal_form_work work = {.arena = &arena};
	const char *out;
	size_t out_size;
	struct err_info info = {0};

	(void)state;
	arena_init(&arena, 4096, 1 << 15);
	for (size_t i = 0; i < 20000; i++)
		memcpy(text + 2 * i, "\u0301", 2);
	assert_int_equal(normal_form_apply(&work, NORMAL_FORM_C, text, 40000, &out, &out_size,
				 &info), ERR_LIMIT);
	arena_reset(&arena);
	mem_free(text);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(known_texts_become_what_unicode_says),
	cmocka_unit_test(forms_hold_for_every_character),
	cmocka_unit_test(a_run_of_marks_takes_time_in_proportion),
	cmocka_unit_test(broken_bytes_are_their_own_segments),
	cmocka_unit_test(a_full_arena_is_an_answer),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
