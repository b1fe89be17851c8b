/* tests/base/utf8_test.c - every character is read, and nothing that is none. */
#include "unit.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

/* The definition of UTF-8, the other way round. */
static size_t encode(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	const size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint32_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};

	for (size_t i = size - 1; i > 0; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3F));
	out[0] = (char)(leads[size] | c);
	return size;
}

static void every_character_is_read_and_every_cut_is_seen(void **state)
{
	(void)state;
	for (uint32_t c = 0; c <= 0x10FFFF; c++) {
		char text[8] = "....|...";
		uint32_t got = UINT32_MAX;
		size_t length = 0;

		if (c >= 0xD800 && c <= 0xDFFF)
			continue;
		const size_t size = encode(c, text);

		if (utf8_next(text, sizeof(text), &length, &got) != UTF8_CHARACTER || got != c ||
			length != size)
			fail_msg("U+%04X", (unsigned)c);
		for (size_t cut = 1; cut < size; cut++)
			if (utf8_next(text, cut, &length, &got) != UTF8_UNFINISHED || length != cut)
				fail_msg("U+%04X cut after %zu", (unsigned)c, cut);
	}
}

/* All beginnings of four bytes, counted: exactly the characters of that length are characters. */
static void nothing_else_is_a_character(void **state)
{
	static const uint8_t ends[] = {0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
	uint64_t characters = 0;

	(void)state;
	for (uint32_t start = 0; start < 1u << 24; start++) {
		char text[4] = {(char)(start >> 16), (char)(start >> 8), (char)start, 0};
		size_t length;
		const enum utf8_unit unit = utf8_next(text, 3, &length, NULL);

		characters += unit == UTF8_CHARACTER && length == 3;
		if (unit != UTF8_UNFINISHED || length != 3)
			continue;
		for (size_t i = 0; i < sizeof(ends); i++) {
			text[3] = (char)ends[i];
			const bool fits = (ends[i] & 0xC0) == 0x80;

			assert_int_equal(utf8_next(text, 4, &length, NULL),
				fits ? UTF8_CHARACTER : UTF8_BROKEN);
			assert_int_equal(length, fits ? 4 : 3);
		}
		characters += 64ull << 32;
	}
	assert_int_equal(characters & UINT32_MAX, 0x10000 - 0x800 - 0x800);
	assert_int_equal(characters >> 32, 0x110000 - 0x10000);
}

static void what_is_broken_is_one_subpart_long(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} rows[] = {
		{"\x80", 1}, {"\xC0\xAF", 1}, {"\xC1\x81", 1}, {"\xE0\x80\x80", 1},
		{"\xED\xA0\x80", 1}, {"\xF0\x80\x80\x80", 1}, {"\xF4\x90\x80\x80", 1},
		{"\xF5\x80", 1}, {"\xFF", 1}, {"\xE4\xB8z", 2}, {"\xF0\x9F\x98z", 3},
		{"\xF0\x9Fz", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t length = 0;

		assert_int_equal(utf8_next(rows[i].text, strlen(rows[i].text), &length, NULL),
			UTF8_BROKEN);
		assert_int_equal(length, rows[i].length);
	}
}

static void controls_are_what_a_terminal_obeys_or_breaks_a_line_at(void **state)
{
	static const uint32_t controls[] = {0, '\n', 0x1B, 0x7F, 0x80, 0x9B, 0x9F, 0x2028, 0x2029};
	static const uint32_t others[] = {' ', '~', 0xA0, 0x2027, 0x202A, 0x10FFFF};

	(void)state;
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		assert_true(utf8_is_control(controls[i]));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(utf8_is_control(others[i]));
}

static void what_turns_the_writing_or_is_no_character_is_blanked_too(void **state)
{
	char text[] = "gpj\xE2\x80\xAE.exe\xE2\x81\xA9 \xFF\x9B \xE2\x80\xA6\xE2\x80";

	(void)state;
	utf8_blank_controls(text, '?');
	assert_string_equal(text, "gpj???.exe??? ?? \xE2\x80\xA6??");
}

static void controls_are_blanked_of_either_kind_and_nothing_else(void **state)
{
	char text[] = "a\x1b[2J\n\x7f\xC2\x9B[m \xC2\xA0 \xE8\xAF\x97\xC2\x80.";

	(void)state;
	utf8_blank_controls(text, '?');
	assert_string_equal(text, "a?[2J????[m \xC2\xA0 \xE8\xAF\x97??.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_is_read_and_every_cut_is_seen),
		cmocka_unit_test(nothing_else_is_a_character),
		cmocka_unit_test(what_is_broken_is_one_subpart_long),
		cmocka_unit_test(controls_are_what_a_terminal_obeys_or_breaks_a_line_at),
		cmocka_unit_test(what_turns_the_writing_or_is_no_character_is_blanked_too),
		cmocka_unit_test(controls_are_blanked_of_either_kind_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
