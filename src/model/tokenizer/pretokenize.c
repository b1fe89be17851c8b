/* model/tokenizer/pretokenize.c - see pretokenize.h. Each match_ function is one alternative of
 * an expression and returns the size of its match, 0 for none. */
#include "model/tokenizer/pretokenize.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/tokenizer/unicode.h"

struct cursor {
	const char *text;
	size_t size;
	enum pretokenize_rule rule;
};

const char *pretokenize_regex(enum pretokenize_rule rule)
{
	switch (rule) {
	case PRETOKENIZE_QWEN2:
		return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
		       "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
	case PRETOKENIZE_QWEN35:
		return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|"
		       "\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
		       "\\s+(?!\\S)|\\s+";
	case PRETOKENIZE_LLAMA3:
		return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
		       "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
		       "\\s+(?!\\S)|\\s+";
	case PRETOKENIZE_GPT2:
		return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
		       "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
	case PRETOKENIZE_DIGITS:
		return "\\p{N}";
	case PRETOKENIZE_RULES:
		break;
	}
	assert(false);
	return "";
}

/* Class of the character at offset at, as the rule sees it; *length is its size in bytes. */
static enum unicode_class class_at(const struct cursor *c, size_t at, size_t *length)
{
	const uint8_t byte_class = unicode_byte_class[(unsigned char)c->text[at]];
	uint32_t code_point;

	*length = 1;
	if (byte_class != UNICODE_NOT_ASCII)
		return (enum unicode_class)byte_class;
	*length = unicode_decode(c->text + at, c->size - at, &code_point);
	const enum unicode_class class = unicode_class_of(code_point);
	if (class != UNICODE_MARK)
		return class;
	return c->rule == PRETOKENIZE_QWEN35 ? UNICODE_LETTER : UNICODE_OTHER;
}

/* Offset of the first character from at on that is not of the class. */
static size_t skip_class(const struct cursor *c, size_t at, enum unicode_class class)
{
	for (;;) {
		size_t length;

		while (at < c->size && unicode_byte_class[(unsigned char)c->text[at]] == class)
			at++;
		if (at == c->size ||
			unicode_byte_class[(unsigned char)c->text[at]] != UNICODE_NOT_ASCII ||
			class_at(c, at, &length) != class)
			return at;
		at += length;
	}
}

/* 's|'t|'re|'ve|'m|'ll|'d with the case folded by fold, a bit or none. */
static size_t match_contraction(const struct cursor *c, unsigned char fold)
{
	if (c->size < 2 || c->text[0] != '\'')
		return 0;

	const unsigned char first = (unsigned char)c->text[1] | fold;
	const unsigned char second = c->size > 2 ? (unsigned char)c->text[2] | fold : 0;

	if (first == 's' || first == 't' || first == 'm' || first == 'd')
		return 2;
	if ((first == 'r' || first == 'v') && second == 'e')
		return 3;
	return first == 'l' && second == 'l' ? 3 : 0;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d): the long s U+017F folds to s as well. */
static size_t match_contraction_any_case(const struct cursor *c)
{
	const size_t match = match_contraction(c, 0x20);

	if (match == 0 && c->size > 2 && c->text[0] == '\'' && c->text[1] == '\xC5' &&
		c->text[2] == '\xBF')
		return 3;
	return match;
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

/* \p{N}{1,3} from a number on. */
static size_t match_three_digits(const struct cursor *c, size_t at)
{
	for (unsigned count = 1; count < 3 && at < c->size; count++) {
		size_t length;

		if (class_at(c, at, &length) != UNICODE_NUMBER)
			break;
		at += length;
	}
	return at;
}

/*  ?[^\s[L]\p{N}]+[\r\n]* */
static size_t match_symbols(const struct cursor *c)
{
	const size_t begin = c->text[0] == ' ' ? 1 : 0;
	const size_t end = skip_class(c, begin, UNICODE_OTHER);

	return end > begin ? skip_class(c, end, UNICODE_NEWLINE) : 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+, the first only with newlines: up to the last newline of the run; else
 * all of it at the end of the text; else all but the last character, which goes with the word that
 * follows; else that one. */
static size_t match_space(const struct cursor *c, bool newlines)
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
	if (newlines && newline_end > 0)
		return newline_end;
	return at == c->size || last == 0 ? at : last;
}

/* QWEN2, QWEN35 and LLAMA3. */
static size_t next_qwen(const struct cursor *c)
{
	size_t first_length, match;
	const enum unicode_class first = class_at(c, 0, &first_length);

	if ((match = match_contraction_any_case(c)) > 0 ||
		(match = match_word(c, first, first_length)) > 0)
		return match;
	if (first == UNICODE_NUMBER)
		return c->rule == PRETOKENIZE_LLAMA3 ? match_three_digits(c, first_length)
						     : first_length;
	if ((match = match_symbols(c)) > 0)
		return match;
	return match_space(c, true);
}

/* A space or none, and what follows of the same class; or space alone. */
static size_t next_gpt2(const struct cursor *c)
{
	const size_t begin = c->text[0] == ' ' ? 1 : 0;
	const size_t contraction = match_contraction(c, 0);
	size_t length;

	if (contraction > 0)
		return contraction;
	if (begin == c->size)
		return begin;
	const enum unicode_class class = class_at(c, begin, &length);
	if (class == UNICODE_SPACE || class == UNICODE_NEWLINE)
		return match_space(c, false);
	return skip_class(c, begin + length, class);
}

static size_t next_digits(const struct cursor *c)
{
	size_t length;

	if (class_at(c, 0, &length) == UNICODE_NUMBER)
		return length;
	for (size_t at = length; at < c->size; at += length)
		if (class_at(c, at, &length) == UNICODE_NUMBER)
			return at;
	return c->size;
}

size_t pretokenize_next(enum pretokenize_rule rule, const char *text, size_t size)
{
	const struct cursor c = {.text = text, .size = size, .rule = rule};
	size_t match;

	assert(size > 0 && rule < PRETOKENIZE_RULES);
	if (rule == PRETOKENIZE_GPT2)
		match = next_gpt2(&c);
	else if (rule == PRETOKENIZE_DIGITS)
		match = next_digits(&c);
	else
		match = next_qwen(&c);
	assert(match > 0 && match <= size);
	return match;
}
