/* model/pretokenize.c - see pretokenize.h. Each function is one alternative of the expression and
 * returns the size of its match, 0 for none. */
#include "model/pretokenize.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/unicode.h"

struct cursor {
	const char *text;
	size_t size;
	bool marks_are_letters;
};

const char *pretokenize_regex(enum pretokenize_rule rule)
{
	if (rule == PRETOKENIZE_QWEN2)
		return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
		       "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
		       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
	assert(rule == PRETOKENIZE_QWEN35);
	return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
	       "?[^\\s\\p{L}\\p{M}\\p{N}]+"
	       "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
}

/* Class of the character at offset at, as the rule sees it; *length is its size in bytes. */
static enum unicode_class class_at(const struct cursor *c, size_t at, size_t *length)
{
	uint32_t code_point;

	*length = unicode_decode(c->text + at, c->size - at, &code_point);
	const enum unicode_class class = unicode_class_of(code_point);
	if (class != UNICODE_MARK)
		return class;
	return c->marks_are_letters ? UNICODE_LETTER : UNICODE_OTHER;
}

/* Offset of the first character from at on that is not of the class. */
static size_t skip_class(const struct cursor *c, size_t at, enum unicode_class class)
{
	size_t length;

	while (at < c->size && class_at(c, at, &length) == class)
		at += length;
	return at;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d); the long s U+017F folds to s. */
static size_t match_contraction(const struct cursor *c)
{
	if (c->size < 2 || c->text[0] != '\'')
		return 0;

	const unsigned char first = (unsigned char)c->text[1] | 0x20;
	const unsigned char second = c->size > 2 ? (unsigned char)c->text[2] : 0;

	if (first == 's' || first == 't' || first == 'm' || first == 'd')
		return 2;
	if ((unsigned char)c->text[1] == 0xC5 && second == 0xBF)
		return 3;
	if ((first == 'r' || first == 'v') && (second | 0x20) == 'e')
		return 3;
	if (first == 'l' && (second | 0x20) == 'l')
		return 3;
	return 0;
}

/* [^\r\n\p{L}\p{N}]?[L]+. A mark that is both prefix and letter gives the same match either way. */
static size_t match_word(const struct cursor *c, enum unicode_class first, size_t first_length)
{
	if (first == UNICODE_LETTER)
		return skip_class(c, first_length, UNICODE_LETTER);
	if (first == UNICODE_NEWLINE || first == UNICODE_NUMBER)
		return 0;
	const size_t end = skip_class(c, first_length, UNICODE_LETTER);
	return end > first_length ? end : 0;
}

/*  ?[^\s[L]\p{N}]+[\r\n]* */
static size_t match_symbols(const struct cursor *c)
{
	const size_t begin = c->text[0] == ' ' ? 1 : 0;
	const size_t end = skip_class(c, begin, UNICODE_OTHER);

	return end > begin ? skip_class(c, end, UNICODE_NEWLINE) : 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+: up to the last newline of the run; else all of it at the end of the
 * text; else all but the last character, which goes with the word that follows; else that one. */
static size_t match_space(const struct cursor *c)
{
	size_t at = 0, last = 0, newline_end = 0;

	while (at < c->size) {
		size_t length;
		const enum unicode_class class = class_at(c, at, &length);

		if (class != UNICODE_SPACE && class != UNICODE_NEWLINE)
			break;
		last = at;
		at += length;
		if (class == UNICODE_NEWLINE)
			newline_end = at;
	}
	if (newline_end > 0)
		return newline_end;
	if (at == c->size || last == 0)
		return at;
	return last;
}

size_t pretokenize_next(enum pretokenize_rule rule, const char *text, size_t size)
{
	const struct cursor c = {
		.text = text, .size = size, .marks_are_letters = rule == PRETOKENIZE_QWEN35};
	size_t first_length, match;

	assert(size > 0);
	const enum unicode_class first = class_at(&c, 0, &first_length);
	if ((match = match_contraction(&c)) > 0)
		return match;
	if ((match = match_word(&c, first, first_length)) > 0)
		return match;
	if (first == UNICODE_NUMBER)
		return first_length;
	if ((match = match_symbols(&c)) > 0)
		return match;
	match = match_space(&c);
	assert(match > 0);
	return match;
}
