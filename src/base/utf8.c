/* base/utf8.c - see utf8.h. */
#include "base/utf8.h"

#include <assert.h>
#include <string.h>

/* How many bytes a character with this lead has; 0: no character has it. */
static size_t lead_length(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xC2 || lead > 0xF4)
		return 0;
	return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* The second byte is where overlong forms, surrogates and values beyond U+10FFFF show. */
static int second_fits(uint8_t lead, uint8_t second)
{
	const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;

	return second >= low && second <= high;
}

enum utf8_unit utf8_next(const char *text, size_t size, size_t *length, uint32_t *code_point)
{
	const uint8_t *bytes = (const uint8_t *)text;

	assert(size > 0);
	const size_t wanted = lead_length(bytes[0]);
	/* 7 bits of one byte; else 5, 4 or 3 of the lead and 6 of each that follows */
	uint32_t value = wanted == 1 ? bytes[0] : bytes[0] & (0x7Fu >> wanted);

	*length = 1;
	if (wanted == 0)
		return UTF8_BROKEN;
	for (; *length < wanted; (*length)++) {
		if (*length == size)
			return UTF8_UNFINISHED;
		const uint8_t byte = bytes[*length];

		if (*length == 1 ? !second_fits(bytes[0], byte) : (byte & 0xC0) != 0x80)
			return UTF8_BROKEN;
		value = value << 6 | (byte & 0x3F);
	}
	if (code_point)
		*code_point = value;
	return UTF8_CHARACTER;
}

bool utf8_is_control(uint32_t code_point)
{
	return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
		code_point == 0x2028 || code_point == 0x2029;
}

/* The marks of direction (UAX #9, 2): in a text of one's own they are right, in a name from outside
 * they make it look like another. */
static bool turns(uint32_t c)
{
	return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
		(c >= 0x2066 && c <= 0x2069);
}

void utf8_blank_controls(char *text, char with)
{
	const size_t size = strlen(text);
	uint32_t c;

	for (size_t at = 0, length; at < size; at += length)
		if (utf8_next(text + at, size - at, &length, &c) != UTF8_CHARACTER ||
			utf8_is_control(c) || turns(c))
			memset(text + at, with, length);
}
