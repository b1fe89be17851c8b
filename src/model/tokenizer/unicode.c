/* model/tokenizer/unicode.c - see unicode.h. The tables are utf8proc's; what is here is how they
 * are asked.
 */
#include "model/tokenizer/unicode.h"

#include <assert.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define CODE_POINT_MAX 0x10FFFFu

size_t unicode_decode(const char *text, size_t size, uint32_t *code_point)
{
	size_t length;

	if (utf8_next(text, size, &length, code_point) == UTF8_CHARACTER)
		return length;
	*code_point = UNICODE_BROKEN;
	return 1;
}

size_t unicode_encode(uint32_t code_point, char *out)
{
	assert(code_point <= CODE_POINT_MAX);
	return (size_t)utf8proc_encode_char((utf8proc_int32_t)code_point, (utf8proc_uint8_t *)out);
}

size_t unicode_length(const char *text, size_t size)
{
	size_t count = 0;
	uint32_t ignored;

	for (size_t at = 0; at < size; count++)
		at += unicode_decode(text + at, size - at, &ignored);
	return count;
}

bool unicode_is_white_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
	       c == 0x205F || c == 0x3000;
}

#define O UNICODE_OTHER
#define L UNICODE_LETTER
#define N UNICODE_NUMBER
#define S UNICODE_SPACE
#define R UNICODE_NEWLINE
#define X UNICODE_NOT_ASCII
#define X16 X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X

const uint8_t unicode_byte_class[256] = {
	O, O, O, O, O, O, O, O, O, S, R, S, S, R, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
	O, /* from space */ S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, /* 0 */ N, N, N, N, N,
	N, N, N, N, N, O, O, O, O, O, O, /* @ */ O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
	L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, /* ` */ O, L, L, L, L, L, L, L, L, L, L, L, L,
	L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, 
	X16, X16, X16, X16, X16, X16, X16, X16};

#undef O
#undef L
#undef N
#undef S
#undef R
#undef X
#undef X16

enum unicode_class unicode_class_of(uint32_t code_point)
{
	if (code_point < 0x80)
		return (enum unicode_class)unicode_byte_class[code_point];
	if (code_point > CODE_POINT_MAX)
		return UNICODE_OTHER;

	const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);

	if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
		return UNICODE_LETTER;
	if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME)
		return UNICODE_MARK;
	if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
		return UNICODE_NUMBER;
	return unicode_is_white_space(code_point) ? UNICODE_SPACE : UNICODE_OTHER;
}

size_t unicode_leading_space(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		uint32_t c;
		const size_t length = unicode_decode(text + at, size - at, &c);

		if (!unicode_is_white_space(c))
			break;
		at += length;
	}
	return at;
}

size_t unicode_decode_last(const char *text, size_t size, uint32_t *code_point)
{
	for (size_t length = 1; length <= 4 && length <= size; length++)
		if (unicode_decode(text + size - length, length, code_point) == length &&
			*code_point != UNICODE_BROKEN)
			return length;
	*code_point = UNICODE_BROKEN;
	return 1;
}

size_t unicode_trailing_space(const char *text, size_t size)
{
	size_t end = size;

	while (end > 0) {
		uint32_t c;
		const size_t length = unicode_decode_last(text, end, &c);

		if (!unicode_is_white_space(c))
			break;
		end -= length;
	}
	return size - end;
}

bool unicode_is_mark(uint32_t code_point)
{
	return unicode_class_of(code_point) == UNICODE_MARK;
}

/* Circled and squared letters, the only symbols that are Alphabetic. */
static bool is_letter_symbol(uint32_t c)
{
	return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
	       (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool unicode_is_word(uint32_t code_point)
{
	if (code_point > CODE_POINT_MAX)
		return false;

	const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);

	return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
	       category == UTF8PROC_CATEGORY_PC || is_letter_symbol(code_point) ||
	       code_point == 0x200C || code_point == 0x200D;
}

bool unicode_is_python_space(uint32_t code_point)
{
	return unicode_is_white_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

bool unicode_is_printable(uint32_t code_point)
{
	if (code_point < 0x80)
		return code_point >= 0x20 && code_point < 0x7F;
	if (code_point > CODE_POINT_MAX)
		return false;

	const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);

	return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

bool unicode_is_decimal(uint32_t code_point)
{
	if (code_point < 0x80)
		return code_point >= '0' && code_point <= '9';
	return code_point <= CODE_POINT_MAX &&
		utf8proc_category((utf8proc_int32_t)code_point) == UTF8PROC_CATEGORY_ND;
}

bool unicode_is_python_digit(uint32_t code_point)
{
	/* Numeric_Type=Digit in Unicode's DerivedNumericType.txt */
	static const struct {
		uint32_t first, last;
	} digits[] = {{0xB2, 0xB3}, {0xB9, 0xB9}, {0x1369, 0x1371}, {0x19DA, 0x19DA},
		{0x2070, 0x2070}, {0x2074, 0x2079}, {0x2080, 0x2089}, {0x2460, 0x2468},
		{0x2474, 0x247C}, {0x2488, 0x2490}, {0x24EA, 0x24EA}, {0x24F5, 0x24FD},
		{0x24FF, 0x24FF}, {0x2776, 0x277E}, {0x2780, 0x2788}, {0x278A, 0x2792},
		{0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};

	for (size_t i = 0; i < sizeof(digits) / sizeof(digits[0]); i++)
		if (code_point >= digits[i].first && code_point <= digits[i].last)
			return true;
	return unicode_is_decimal(code_point);
}

uint32_t unicode_lower(uint32_t code_point)
{
	if (code_point > CODE_POINT_MAX)
		return code_point;
	return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point);
}

uint32_t unicode_upper(uint32_t code_point)
{
	if (code_point > CODE_POINT_MAX)
		return code_point;
	return (uint32_t)utf8proc_toupper((utf8proc_int32_t)code_point);
}
