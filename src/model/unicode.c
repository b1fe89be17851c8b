/* model/unicode.c - see unicode.h. The tables are utf8proc's; what is here is how they are asked.
 */
#include "model/unicode.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define CODE_POINT_MAX 0x10FFFFu
#define DECOMPOSED_MAX (UNICODE_NFC_RUN_MAX * 4)  /* no character decomposes into more than 4 */

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

/* White_Space of the Unicode character database, all of it. */
static bool is_white_space(uint32_t c)
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
	return is_white_space(code_point) ? UNICODE_SPACE : UNICODE_OTHER;
}

bool unicode_is_python_space(uint32_t code_point)
{
	return is_white_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
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

/* True for what NFC never changes and never joins to what stands before: below U+0300 everything,
 * above it all but marks, characters with a canonical decomposition, and the later jamo of Hangul.
 */
static bool is_nfc_inert(uint32_t c)
{
	if (c < 0x300 || c > CODE_POINT_MAX)
		return true;
	if ((c >= 0x1161 && c <= 0x1175) || (c >= 0x11A8 && c <= 0x11C2))
		return false;

	const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);

	if (property->category >= UTF8PROC_CATEGORY_MN &&
		property->category <= UTF8PROC_CATEGORY_ME)
		return false;
	return property->combining_class == 0 &&
		(property->decomp_type != 0 || property->decomp_seqindex == UINT16_MAX);
}

bool unicode_is_nfc(const char *text, size_t size)
{
	uint32_t c;

	for (size_t at = 0; at < size;) {
		if ((unsigned char)text[at] < 0xCC) {  /* below U+0300, or broken */
			at++;
			continue;
		}
		at += unicode_decode(text + at, size - at, &c);
		if (!is_nfc_inert(c))
			return false;
	}
	return true;
}

/* From at: one inert character with all that may join to it, or a run that begins without one.
 * *changes tells whether NFC may change it. Returns its size. */
static size_t nfc_run_size(const char *text, size_t size, bool *changes)
{
	uint32_t c;
	size_t at = unicode_decode(text, size, &c);

	*changes = !is_nfc_inert(c);
	if (c == UNICODE_BROKEN)
		return at;
	for (size_t count = 1; at < size && count < UNICODE_NFC_RUN_MAX; count++) {
		const size_t length = unicode_decode(text + at, size - at, &c);

		if (is_nfc_inert(c))
			break;
		*changes = true;
		at += length;
	}
	return at;
}

static size_t nfc_run(const char *run, size_t size, char *out)
{
	const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
	utf8proc_int32_t points[DECOMPOSED_MAX + 1];
	utf8proc_ssize_t count;

	count = utf8proc_decompose((const utf8proc_uint8_t *)run, (utf8proc_ssize_t)size, points,
		DECOMPOSED_MAX, options);
	assert(count > 0 && count <= DECOMPOSED_MAX);
	count = utf8proc_reencode(points, count, options);
	assert(count > 0);
	if (out)
		memcpy(out, points, (size_t)count);
	return (size_t)count;
}

size_t unicode_nfc(const char *text, size_t size, char *out)
{
	size_t written = 0;

	for (size_t at = 0; at < size;) {
		bool changes;
		const size_t run_size = nfc_run_size(text + at, size - at, &changes);
		char *place = out ? out + written : NULL;

		if (changes) {
			written += nfc_run(text + at, run_size, place);
		} else {
			if (place)
				memcpy(place, text + at, run_size);
			written += run_size;
		}
		at += run_size;
	}
	return written;
}
