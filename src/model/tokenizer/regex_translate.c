/* model/tokenizer/regex_translate.c - see regex_translate.h. Oniguruma's side is its doc/RE and
 * doc/SYNTAX.md for Ruby; PCRE2's is pcre2pattern(3). */
#include "model/tokenizer/regex_translate.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "model/tokenizer/unicode.h"

#define DEPTH_MAX       64
#define SHOWN_BYTES_MAX 96

/* Oniguruma's sets. Outside of classes its \w has the superscript and vulgar numbers of Latin-1 as
 * well. */
#define SPACE         "\\p{White_Space}"
#define WORD_IN_CLASS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD          WORD_IN_CLASS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define HEX           "0-9A-Fa-f"

size_t regex_shown(const char *pattern, size_t size)
{
	size_t shown = size < SHOWN_BYTES_MAX ? size : SHOWN_BYTES_MAX;

	while (shown > 0 && shown < size && ((unsigned char)pattern[shown] & 0xC0) == 0x80)
		shown--;
	return shown;
}

struct translator {
	const char *pattern;
	size_t size;
	size_t at;
	struct buf *out;
	struct err_info *info;
	bool fold[DEPTH_MAX];     /* case is ignored in the group of this depth */
	unsigned depth;
	char folded;              /* the letter just before, where case is ignored, or 0 */
};

static enum err refuse(const struct translator *t, size_t at, const char *what)
{
	const size_t shown = regex_shown(t->pattern, t->size);

	return err_set(t->info, ERR_UNSUPPORTED, "regex \"%.*s\": %s at byte %zu is not supported",
		(int)shown, t->pattern, what, at);
}

/* The byte so many places ahead, or 0. */
static char peek(const struct translator *t, size_t ahead)
{
	return t->at + ahead < t->size ? t->pattern[t->at + ahead] : '\0';
}

static bool looking_at(const struct translator *t, const char *text)
{
	const size_t size = strlen(text);

	return t->size - t->at >= size && memcmp(t->pattern + t->at, text, size) == 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void put_code_point(struct translator *t, uint32_t c)
{
	if (c < 0x80 && (is_digit((char)c) || is_letter((char)c)))
		buf_add_char(t->out, (char)c);
	else
		buf_printf(t->out, "\\x{%x}", c);
}

/* Where case is ignored, Oniguruma knows characters that are two letters (the sharp s is ss) and
 * PCRE2 does not. */
static enum err check_fold(struct translator *t, uint32_t c, size_t at)
{
	static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};

	if (!t->fold[t->depth])
		return ERR_NONE;
	if (c >= 0x80 && (unicode_class_of(c) == UNICODE_LETTER ||
				 unicode_class_of(c) == UNICODE_MARK))
		return refuse(t, at, "a letter beyond ASCII where case is ignored");
	const char lower = c < 0x80 && is_letter((char)c) ? (char)(c | 0x20) : '\0';
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (t->folded == pairs[i][0] && lower == pairs[i][1])
			return refuse(t, at, "a pair of letters that is one where case is ignored");
	t->folded = lower;
	return ERR_NONE;
}

/* ---- escapes --------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to digits_max hexadecimal digits; -1 without any, or for no character. */
static int64_t read_hex(struct translator *t, unsigned digits_max)
{
	int64_t value = 0;
	unsigned digits = 0;

	for (; digits < digits_max && hex_value(peek(t, 0)) >= 0; digits++, t->at++)
		value = value * 16 + hex_value(peek(t, 0));
	return digits > 0 && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF) ? value : -1;
}

/* \xHH, \x{H...}, \uHHHH from behind the letter on. A byte of a longer character is refused. */
static int64_t read_numeric(struct translator *t, char letter)
{
	int64_t value;

	if (letter == 'u')
		return read_hex(t, 4);
	if (peek(t, 0) != '{') {
		value = read_hex(t, 2);
		return value < 0x80 ? value : -1;
	}
	t->at++;
	value = read_hex(t, 6);
	if (peek(t, 0) != '}')
		return -1;
	t->at++;
	return value;
}

/* The character that an escape stands for, or -1 when it stands for none; at is behind the letter.
 */
static int64_t read_escaped_character(struct translator *t, char letter)
{
	static const char letters[] = "tnrfvae", values[] = "\t\n\r\f\v\a\x1b";
	const char *known = letter ? strchr(letters, letter) : NULL;
	uint32_t c;
	size_t length;

	if (known)
		return values[known - letters];
	if (letter == 'x' || letter == 'u')
		return read_numeric(t, letter);
	if (is_letter(letter) || is_digit(letter))
		return -1;
	t->at--;
	if (utf8_next(t->pattern + t->at, t->size - t->at, &length, &c) != UTF8_CHARACTER)
		return -1;
	t->at += length;
	return c;
}

static bool is_category(const char *name, size_t size)
{
	static const char *const categories[] = {"C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "Ll", "Lm",
		"Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd",
		"Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"};

	for (size_t i = 0; i < sizeof(categories) / sizeof(*categories); i++)
		if (strlen(categories[i]) == size && memcmp(categories[i], name, size) == 0)
			return true;
	return false;
}

/* Scripts that are spelled alike by both; PCRE2's default would be the script extensions. */
static bool is_script(const char *name, size_t size)
{
	static const char *const scripts[] = {"Arabic", "Armenian", "Bengali", "Bopomofo", "Common",
		"Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati", "Gurmukhi",
		"Han", "Hangul", "Hebrew", "Hiragana", "Inherited", "Kannada", "Katakana", "Khmer",
		"Lao", "Latin", "Malayalam", "Mongolian", "Myanmar", "Oriya", "Sinhala", "Tamil",
		"Telugu", "Thai", "Tibetan"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++)
		if (strlen(scripts[i]) == size && memcmp(scripts[i], name, size) == 0)
			return true;
	return false;
}

/* \p{Name}, \p{^Name}, \P{Name} from behind the letter on. */
static enum err translate_property(struct translator *t, char letter)
{
	const size_t begin = t->at - 2;
	bool negated = letter == 'P';

	if (peek(t, 0) != '{')
		return refuse(t, begin, "a property without braces");
	t->at++;
	if (peek(t, 0) == '^') {
		negated = !negated;
		t->at++;
	}
	const char *name = t->pattern + t->at;
	const char *close = memchr(name, '}', t->size - t->at);
	const size_t size = close ? (size_t)(close - name) : 0;
	const bool script = is_script(name, size);
	if (!script && !is_category(name, size))
		return refuse(t, begin, "this property");
	if (t->fold[t->depth])
		return refuse(t, begin, "a property where case is ignored");
	buf_printf(t->out, "\\%c{%s%.*s}", negated ? 'P' : 'p', script ? "sc:" : "", (int)size, name);
	t->at += size + 1;
	return ERR_NONE;
}

/* What stands inside a class for a set's letter, or NULL. */
static const char *set_in_class(char letter)
{
	switch (letter) {
	case 's':
		return SPACE;
	case 'S':
		return "\\P{White_Space}";
	case 'd':
		return "\\p{Nd}";
	case 'D':
		return "\\P{Nd}";
	case 'w':
		return WORD_IN_CLASS;
	case 'h':
		return HEX;
	default:
		return NULL;
	}
}

/* What stands outside of classes for a letter, or NULL. */
static const char *set_or_assertion(char letter)
{
	switch (letter) {
	case 'w':
		return "[" WORD "]";
	case 'W':
		return "[^" WORD "]";
	case 'h':
		return "[" HEX "]";
	case 'H':
		return "[^" HEX "]";
	case 'b':
		return "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))";
	case 'B':
		return "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))";
	case 'A':
		return "\\A";
	case 'z':
		return "\\z";
	case 'Z':
		return "\\Z";
	default:
		return set_in_class(letter);
	}
}

static enum err translate_escape(struct translator *t)
{
	const size_t begin = t->at;
	const char letter = peek(t, 1);
	const char *set = set_or_assertion(letter);

	if (t->size - t->at < 2)
		return refuse(t, begin, "a backslash at the end");
	t->at += 2;
	if (letter == 'p' || letter == 'P')
		return translate_property(t, letter);
	if (set) {
		buf_add_str(t->out, set);
		t->folded = '\0';
		return ERR_NONE;
	}
	const int64_t c = read_escaped_character(t, letter);
	if (c < 0)
		return refuse(t, begin, "this escape");
	put_code_point(t, (uint32_t)c);
	return check_fold(t, (uint32_t)c, begin);
}

/* ---- classes --------------------------------------------------------------------------------- */

/* A member of a class that is one character, escaped or not: its code point; or -1 after
 * anything else, which then has been written or refused. */
static int64_t read_member(struct translator *t, enum err *code)
{
	const size_t begin = t->at;
	const char letter = peek(t, 1);
	uint32_t c;
	size_t length;

	*code = ERR_NONE;
	if (t->at >= t->size) {
		*code = refuse(t, begin, "a class without an end");
		return -1;
	}
	if (t->pattern[t->at] != '\\') {
		if (utf8_next(t->pattern + t->at, t->size - t->at, &length, &c) != UTF8_CHARACTER) {
			*code = refuse(t, begin, "broken UTF-8");
			return -1;
		}
		t->at += length;
		return c;
	}
	t->at += t->size - t->at < 2 ? 1 : 2;
	if (letter == 'p' || letter == 'P') {
		*code = translate_property(t, letter);
		return -1;
	}
	if (set_in_class(letter)) {
		buf_add_str(t->out, set_in_class(letter));
		return -1;
	}
	const int64_t value = begin + 2 > t->size ? -1 : read_escaped_character(t, letter);
	if (value < 0)
		*code = refuse(t, begin, "this escape in a class");
	return value;
}

/* One member, or a range of characters. A hyphen is a character only where it is first or last. */
static enum err translate_member(struct translator *t)
{
	const size_t begin = t->at;
	enum err code;
	const int64_t low = read_member(t, &code);

	if (code)
		return code;
	if (low >= 0x80 && t->fold[t->depth])
		return refuse(t, begin, "a class beyond ASCII where case is ignored");
	if (low >= 0)
		put_code_point(t, (uint32_t)low);
	if (peek(t, 0) != '-' || peek(t, 1) == ']')
		return ERR_NONE;
	t->at++;
	if (low < 0 || peek(t, 0) == '[')
		return refuse(t, begin, "a hyphen behind a set");
	const int64_t high = read_member(t, &code);
	if (code)
		return code;
	if (high < low || (high >= 0x80 && t->fold[t->depth]))
		return refuse(t, begin, "this range");
	buf_add_char(t->out, '-');
	put_code_point(t, (uint32_t)high);
	if (peek(t, 0) == '-' && peek(t, 1) != ']')
		return refuse(t, t->at, "a hyphen behind a range");
	return ERR_NONE;
}

/* [...]. A class inside that is not negated only adds its members. */
static enum err translate_class(struct translator *t)
{
	const size_t begin = t->at;
	unsigned open = 1;
	bool empty = true;

	t->folded = '\0';
	buf_add_char(t->out, '[');
	t->at++;
	if (peek(t, 0) == '^') {
		buf_add_char(t->out, '^');
		t->at++;
	}
	while (open > 0) {
		enum err code;

		if (t->at >= t->size)
			return refuse(t, begin, "a class without an end");
		if (looking_at(t, "&&") || looking_at(t, "[:") || looking_at(t, "[^"))
			return refuse(t, t->at, "a set operation or POSIX bracket in a class");
		if (peek(t, 0) == ']' || peek(t, 0) == '[') {
			if (peek(t, 0) == ']' && empty)
				return refuse(t, t->at, "an empty class");
			open = peek(t, 0) == '[' ? open + 1 : open - 1;
			empty = peek(t, 0) == '[';
			t->at++;
			continue;
		}
		empty = false;
		if ((code = translate_member(t)))
			return code;
	}
	buf_add_char(t->out, ']');
	return ERR_NONE;
}

/* ---- groups and repeats ---------------------------------------------------------------------- */

static enum err group_enter(struct translator *t, bool fold)
{
	if (t->depth + 1 == DEPTH_MAX)
		return refuse(t, t->at, "so deep a nesting");
	t->fold[++t->depth] = fold;
	t->folded = '\0';
	return ERR_NONE;
}

/* (?i:...), (?m-i:...) and the like from behind the question mark on; (?i) only as the first thing,
 * because further on the two do not agree how far it reaches. */
static enum err translate_options(struct translator *t, size_t begin)
{
	bool fold = t->fold[t->depth], off = false;

	buf_add_str(t->out, "(?");
	for (; peek(t, 0) && strchr("im-", peek(t, 0)); t->at++) {
		if (peek(t, 0) == '-' && off)
			return refuse(t, begin, "this group");
		off = off || peek(t, 0) == '-';
		if (peek(t, 0) == 'i')
			fold = !off;
		buf_add_char(t->out, (char)(peek(t, 0) == 'm' ? 's' : peek(t, 0)));
	}
	if (peek(t, 0) == ')' && begin == 0) {
		buf_add_char(t->out, ')');
		t->fold[t->depth] = fold;
		t->at++;
		return ERR_NONE;
	}
	if (peek(t, 0) != ':')
		return refuse(t, begin, "this group");
	buf_add_char(t->out, ':');
	t->at++;
	return group_enter(t, fold);
}

/* Groups are not kept: nothing refers back to them. */
static enum err translate_group(struct translator *t)
{
	static const char *const heads[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
	const size_t begin = t->at;

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		if (looking_at(t, heads[i])) {
			buf_add_str(t->out, heads[i]);
			t->at += strlen(heads[i]);
			return group_enter(t, t->fold[t->depth]);
		}
	}
	if (peek(t, 1) == '?') {
		t->at += 2;
		return translate_options(t, begin);
	}
	if (peek(t, 1) == '*')
		return refuse(t, begin, "this group");
	buf_add_str(t->out, "(?:");
	t->at++;
	return group_enter(t, t->fold[t->depth]);
}

static enum err translate_group_end(struct translator *t)
{
	if (t->depth == 0)
		return refuse(t, t->at, "an end without a beginning");
	t->depth--;
	t->folded = '\0';
	buf_add_char(t->out, ')');
	t->at++;
	return ERR_NONE;
}

/* *, + or ?, greedy, lazy or possessive. */
static void translate_repeat(struct translator *t)
{
	t->folded = '\0';
	buf_add_char(t->out, t->pattern[t->at++]);
	if (peek(t, 0) == '?' || peek(t, 0) == '+')
		buf_add_char(t->out, t->pattern[t->at++]);
}

/* Up to four digits; false when there are more. */
static bool read_count(struct translator *t, unsigned *out, bool *given)
{
	size_t digits = 0;

	*out = 0;
	for (; is_digit(peek(t, 0)); digits++, t->at++)
		*out = digits < 4 ? *out * 10 + (unsigned)(peek(t, 0) - '0') : *out;
	*given = digits > 0;
	return digits <= 4;
}

/* {n}, {n,}, {,m}, {n,m}; a brace that begins none of these is a character. */
static enum err translate_interval(struct translator *t)
{
	const size_t begin = t->at++;
	unsigned low, high = 0;
	bool has_low, has_high = false, comma = false, fits;

	t->folded = '\0';
	fits = read_count(t, &low, &has_low);
	if (peek(t, 0) == ',') {
		comma = true;
		t->at++;
		fits = read_count(t, &high, &has_high) && fits;
	}
	if (peek(t, 0) != '}' || (!has_low && !has_high)) {
		buf_add_str(t->out, "\\{");
		t->at = begin + 1;
		return ERR_NONE;
	}
	t->at++;
	if (!fits || (has_high && high < low))
		return refuse(t, begin, "this count");
	buf_printf(t->out, comma ? "{%u," : "{%u", low);
	if (has_high)
		buf_printf(t->out, "%u", high);
	buf_add_char(t->out, '}');
	if (peek(t, 0) == '?' && comma)
		buf_add_char(t->out, t->pattern[t->at++]);
	if (peek(t, 0) && strchr("?+*{", peek(t, 0)))
		return refuse(t, t->at, "a repeat of a repeat");
	return ERR_NONE;
}

static enum err translate_literal(struct translator *t)
{
	const size_t begin = t->at;
	uint32_t c;
	size_t length;

	if (utf8_next(t->pattern + t->at, t->size - t->at, &length, &c) != UTF8_CHARACTER ||
		c == 0)
		return refuse(t, begin, "a character that is broken or zero");
	t->at += length;
	put_code_point(t, c);
	return check_fold(t, c, begin);
}

static enum err translate_item(struct translator *t)
{
	switch (peek(t, 0)) {
	case '\\':
		return translate_escape(t);
	case '[':
		return translate_class(t);
	case '(':
		return translate_group(t);
	case ')':
		return translate_group_end(t);
	case '*':
	case '+':
	case '?':
		translate_repeat(t);
		return ERR_NONE;
	case '{':
		return translate_interval(t);
	case '|':
	case '.':
	case '^':
	case '$':
		t->folded = '\0';
		buf_add_char(t->out, t->pattern[t->at++]);
		return ERR_NONE;
	default:
		return translate_literal(t);
	}
}

enum err regex_translate(const char *pattern, size_t size, struct buf *out, struct err_info *info)
{
	struct translator t = {.pattern = pattern, .size = size, .out = out, .info = info};
	enum err code = ERR_NONE;

	if (size > REGEX_PATTERN_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "a regex of %zu bytes, at most %zu", size,
			REGEX_PATTERN_BYTES_MAX);
	while (t.at < size && !code)
		code = translate_item(&t);
	if (!code && t.depth > 0)
		code = refuse(&t, size, "a group without an end");
	if (!code && out->failed)
		code = err_set(info, ERR_MEMORY, "no memory for a regex of %zu bytes", size);
	return code;
}
