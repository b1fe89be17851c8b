/* model/template/jinja_lex.c - see jinja_lex.h. */
#include "model/template/jinja_lex.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/unicode.h"

/* Sets the error with the present line before it and returns code. */
static enum err PRINTF_LIKE(3, 4)
fail(struct jinja_lexer *l, enum err code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return err_set(l->info, code, "line %u: %s", l->line, text);
}

/* \r\n and \r become \n; one newline at the end is dropped. */
static size_t copy_source(char *out, const char *source, size_t size)
{
	size_t written = 0;

	for (size_t i = 0; i < size; i++) {
		if (source[i] == '\r' && i + 1 < size && source[i + 1] == '\n')
			continue;
		out[written++] = source[i] == '\r' ? '\n' : source[i];
	}
	return written > 0 && out[written - 1] == '\n' ? written - 1 : written;
}

enum err jinja_lex_open(struct jinja_lexer *l, const char *source, size_t size, struct arena *arena,
	struct err_info *info)
{
	char *copy;

	*l = (struct jinja_lexer){.line = 1,
		.mode = JINJA_TOKEN_TEXT,
		.line_starting = true,
		.arena = arena,
		.info = info};
	if (size > JINJA_SOURCE_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "a template of %zu bytes, at most %zu", size,
			JINJA_SOURCE_BYTES_MAX);
	copy = arena_alloc(arena, size + 1);
	if (!copy)
		return err_set(info, ERR_MEMORY, "no memory for a template");
	l->size = copy_source(copy, source, size);
	l->source = copy;
	return ERR_NONE;
}

static void count_lines(struct jinja_lexer *l, size_t up_to)
{
	for (; l->counted_at < up_to; l->counted_at++)
		l->line += l->source[l->counted_at] == '\n';
}

static bool looking_at(const struct jinja_lexer *l, size_t at, const char *text)
{
	const size_t size = strlen(text);

	return l->size - at >= size && memcmp(l->source + at, text, size) == 0;
}

static size_t skip_space(const struct jinja_lexer *l, size_t at)
{
	while (at < l->size) {
		uint32_t c;
		const size_t length = unicode_decode(l->source + at, l->size - at, &c);

		if (!unicode_is_python_space(c))
			break;
		at += length;
	}
	return at;
}

/* End of source[begin, end) without the white space before it. */
static size_t strip_space(const struct jinja_lexer *l, size_t begin, size_t end)
{
	size_t kept = begin;

	for (size_t at = begin; at < end;) {
		uint32_t c;

		at += unicode_decode(l->source + at, end - at, &c);
		if (!unicode_is_python_space(c))
			kept = at;
	}
	return kept;
}

/* Moves past a tag's end with its sign: '-' takes all white space after it, a block's own end one
 * newline, '+' nothing. false when there is no such end at this place. */
static bool take_end(struct jinja_lexer *l, const char *end, bool trim)
{
	const bool minus = looking_at(l, l->at, "-"), plus = trim && looking_at(l, l->at, "+");
	const size_t at = l->at + (minus || plus ? 1 : 0);

	if (!looking_at(l, at, end))
		return false;
	l->at = at + strlen(end);
	if (minus)
		l->at = skip_space(l, l->at);
	else if (trim && !plus && looking_at(l, l->at, "\n"))
		l->at++;
	l->line_starting = l->source[l->at - 1] == '\n';
	return true;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Where source[begin, end) ends after what a tag that follows takes away: all white space for '-',
 * the indentation of a tag that is alone on its line so far. */
static size_t text_end(const struct jinja_lexer *l, size_t begin, size_t end, char sign,
	bool is_variable)
{
	size_t line = end;

	if (sign == '-')
		return strip_space(l, begin, end);
	if (sign == '+' || is_variable)
		return end;
	while (line > begin && l->source[line - 1] != '\n')
		line--;
	if (line == begin && !l->line_starting)
		return end;
	return strip_space(l, line, end) == line ? line : end;
}

/* Offset of the next tag, or the size. */
static size_t find_tag(const struct jinja_lexer *l, size_t at)
{
	for (; at + 1 < l->size; at++)
		if (l->source[at] == '{' && memchr("{%#", l->source[at + 1], 3))
			return at;
	return l->size;
}

static char sign_at(const struct jinja_lexer *l, size_t at)
{
	return at < l->size && (l->source[at] == '-' || l->source[at] == '+') ? l->source[at]
									      : '\0';
}

static struct jinja_token text_token(struct jinja_lexer *l, size_t begin, size_t end)
{
	count_lines(l, begin);
	return (struct jinja_token){.type = JINJA_TOKEN_TEXT,
		.line = l->line,
		.bytes = l->source + begin,
		.size = end - begin};
}

static enum err skip_comment(struct jinja_lexer *l)
{
	for (; l->at < l->size; l->at++)
		if (memchr("-+#", l->source[l->at], 3) && take_end(l, "#}", true))
			return ERR_NONE;
	return fail(l, ERR_INPUT, "missing end of comment tag");
}

/* "{%", sign, name, "%}" at this place: moves past it. */
static bool take_raw_tag(struct jinja_lexer *l, const char *name, bool trim)
{
	const size_t begin = l->at;
	size_t at = skip_space(l, begin + 2 + (sign_at(l, begin + 2) ? 1 : 0));

	if (!looking_at(l, at, name))
		return false;
	l->at = skip_space(l, at + strlen(name));
	if (take_end(l, "%}", trim))
		return true;
	l->at = begin;
	return false;
}

/* {% raw %} ... {% endraw %}: what is between is text whatever it looks like. */
static enum err raw_text(struct jinja_lexer *l, struct jinja_token *token)
{
	const size_t begin = l->at;

	for (; l->at + 1 < l->size; l->at++) {
		const size_t end = l->at;

		if (!looking_at(l, end, "{%"))
			continue;
		const size_t kept = text_end(l, begin, end, sign_at(l, end + 2), false);
		if (take_raw_tag(l, "endraw", true)) {
			*token = text_token(l, begin, kept);
			return ERR_NONE;
		}
	}
	return fail(l, ERR_INPUT, "missing end of raw directive");
}

/* After text that ended at a tag: enters it. *token is set when the tag gives one. */
static enum err enter_tag(struct jinja_lexer *l, struct jinja_token *token, bool *given)
{
	const char kind = l->source[l->at + 1];
	const size_t signs = sign_at(l, l->at + 2) ? 1 : 0;

	count_lines(l, l->at);
	*given = kind != '#';
	if (kind == '#') {
		l->at += 2 + signs;
		return skip_comment(l);
	}
	if (kind == '%' && take_raw_tag(l, "raw", false))
		return raw_text(l, token);
	l->at += 2 + signs;
	l->bracket_count = 0;
	l->mode = kind == '%' ? JINJA_TOKEN_BLOCK_END : JINJA_TOKEN_VARIABLE_END;
	*token = (struct jinja_token){.line = l->line,
		.type = kind == '%' ? JINJA_TOKEN_BLOCK_BEGIN : JINJA_TOKEN_VARIABLE_BEGIN};
	return ERR_NONE;
}

static enum err next_text(struct jinja_lexer *l, struct jinja_token *token)
{
	for (;;) {
		const size_t begin = l->at, tag = find_tag(l, begin);
		bool given = false;
		enum err code;

		if (tag == l->size) {
			*token = text_token(l, begin, l->size);
			l->at = l->size;
			if (begin == l->size)
				token->type = JINJA_TOKEN_END;
			return ERR_NONE;
		}
		const size_t end =
			text_end(l, begin, tag, sign_at(l, tag + 2), l->source[tag + 1] == '{');
		const struct jinja_token text = text_token(l, begin, end);
		l->at = tag;
		if ((code = enter_tag(l, token, &given)))
			return code;
		if (text.size > 0) {
			l->pending = *token;
			l->has_pending = given;
			*token = text;
			return ERR_NONE;
		}
		if (given)
			return ERR_NONE;
	}
}

/* ---- tags ------------------------------------------------------------------------------------ */

static bool is_name_byte(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static enum err append_code_point(struct jinja_lexer *l, char *out, size_t *written, uint32_t c)
{
	if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return fail(l, ERR_INPUT, "a string holds half a character");
	*written += unicode_encode(c, out + *written);
	return ERR_NONE;
}

/* count hex digits at text[at]; false when there are fewer. */
static bool hex_digits(const char *text, size_t size, size_t at, size_t count, uint32_t *out)
{
	*out = 0;
	if (count > size - at)
		return false;
	for (size_t i = at; i < at + count; i++) {
		const char c = text[i] | 0x20;
		const uint32_t digit =
			c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'a') + 10;

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		*out = *out << 4 | digit;
	}
	return true;
}

/* \x, \u, \U at text[at] (the letter); *at moves past it. Two halves of a surrogate pair are one.
 */
static enum err hex_escape(struct jinja_lexer *l, const char *text, size_t size, size_t *at,
	char *out, size_t *written)
{
	const size_t count = text[*at] == 'x' ? 2 : text[*at] == 'u' ? 4 : 8;
	uint32_t c, low;

	if (!hex_digits(text, size, *at + 1, count, &c))
		return fail(l, ERR_INPUT, "truncated \\%c escape", text[*at]);
	*at += 1 + count;
	if (c >= 0xD800 && c < 0xDC00 && size - *at >= 6 && text[*at] == '\\' &&
		text[*at + 1] == 'u' && hex_digits(text, size, *at + 2, 4, &low) && low >= 0xDC00 &&
		low < 0xE000) {
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
		*at += 6;
	}
	return append_code_point(l, out, written, c);
}

static enum err octal_escape(struct jinja_lexer *l, const char *text, size_t size, size_t *at,
	char *out, size_t *written)
{
	uint32_t c = 0;

	for (size_t i = 0; i < 3 && *at < size && text[*at] >= '0' && text[*at] <= '7'; i++, ++*at)
		c = c << 3 | (uint32_t)(text[*at] - '0');
	return append_code_point(l, out, written, c);
}

/* The escape whose letter is at text[at]; one that is none keeps its backslash. */
static enum err unescape(struct jinja_lexer *l, const char *text, size_t size, size_t *at,
	char *out, size_t *written)
{
	static const char letters[] = "\\'\"abfnrtv", meanings[] = "\\'\"\a\b\f\n\r\t\v";
	const char letter = text[*at];
	const char *found = letter ? strchr(letters, letter) : NULL;

	if (letter == 'x' || letter == 'u' || letter == 'U')
		return hex_escape(l, text, size, at, out, written);
	if (letter >= '0' && letter <= '7')
		return octal_escape(l, text, size, at, out, written);
	++*at;
	if (letter == '\n')
		return ERR_NONE;
	if (found) {
		out[(*written)++] = meanings[found - letters];
		return ERR_NONE;
	}
	out[(*written)++] = '\\';
	out[(*written)++] = letter;
	return ERR_NONE;
}

static enum err string_token(struct jinja_lexer *l, struct jinja_token *token)
{
	const char quote = l->source[l->at];
	const size_t begin = l->at + 1;
	size_t end = begin;
	bool escaped = false;

	while (end < l->size && l->source[end] != quote) {
		escaped = escaped || l->source[end] == '\\';
		end += l->source[end] == '\\' ? 2 : 1;
	}
	if (end >= l->size)
		return fail(l, ERR_INPUT, "a string is not closed");
	token->type = JINJA_TOKEN_STRING;
	token->bytes = l->source + begin;
	token->size = end - begin;
	l->at = end + 1;
	if (!escaped)
		return ERR_NONE;

	char *out = arena_alloc(l->arena, token->size * 2 + 4);
	size_t written = 0;
	enum err code = ERR_NONE;

	if (!out)
		return fail(l, ERR_MEMORY, "no memory for a string");
	for (size_t at = 0; at < token->size && !code;) {
		if (token->bytes[at] != '\\') {
			out[written++] = token->bytes[at++];
			continue;
		}
		at++;
		code = unescape(l, token->bytes, token->size, &at, out, &written);
	}
	token->bytes = out;
	token->size = written;
	return code;
}

static size_t skip_digits(const struct jinja_lexer *l, size_t at)
{
	while (at < l->size &&
		((l->source[at] >= '0' && l->source[at] <= '9') ||
			(l->source[at] == '_' && at + 1 < l->size && l->source[at + 1] >= '0' &&
				l->source[at + 1] <= '9')))
		at++;
	return at;
}

/* Digits with their underscores left out, terminated; false when there are too many. */
static bool plain_digits(const struct jinja_lexer *l, size_t begin, size_t end, char *out,
	size_t out_size)
{
	size_t written = 0;

	for (size_t at = begin; at < end; at++) {
		if (l->source[at] == '_')
			continue;
		if (written + 1 >= out_size)
			return false;
		out[written++] = l->source[at];
	}
	out[written] = '\0';
	return true;
}

/* Of 0x1f, 0o17 and 0b11; else 10. */
static int base_at(const struct jinja_lexer *l, size_t at)
{
	if (at + 1 >= l->size || l->source[at] != '0')
		return 10;
	switch (l->source[at + 1] | 0x20) {
	case 'x':
		return 16;
	case 'o':
		return 8;
	case 'b':
		return 2;
	default:
		return 10;
	}
}

static bool is_digit(char c, int base)
{
	const int lower = c | 0x20;
	const int value = c >= '0' && c <= '9' ? c - '0'
		: lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : base;

	return value < base;
}

static size_t skip_digits_of(const struct jinja_lexer *l, size_t at, int base)
{
	for (;;) {
		const size_t digit = at + (at < l->size && l->source[at] == '_');

		if (digit >= l->size || !is_digit(l->source[digit], base))
			return at;
		at = digit + 1;
	}
}

/* 0x1f and its kin; false when it is none. */
static bool based_token(struct jinja_lexer *l, struct jinja_token *token, enum err *code)
{
	const int base = base_at(l, l->at);
	const size_t begin = l->at + 2;
	const size_t end = base == 10 ? begin : skip_digits_of(l, begin, base);
	char text[96];

	if (end == begin)
		return false;
	l->at = end;
	errno = 0;
	if (!plain_digits(l, begin, end, text, sizeof(text)))
		*code = fail(l, ERR_UNSUPPORTED, "a number of too many digits");
	token->type = JINJA_TOKEN_INTEGER;
	token->integer = *code ? 0 : strtoll(text, NULL, base);
	token->real = (double)token->integer;
	if (errno)
		*code = fail(l, ERR_UNSUPPORTED, "a number beyond 64 bits");
	return true;
}

/* A fraction or an exponent makes a float; after a point, as in list.0.1, only an
 * integer may stand. */
static enum err number_token(struct jinja_lexer *l, struct jinja_token *token)
{
	const size_t begin = l->at;
	const bool after_point = begin > 0 && l->source[begin - 1] == '.';
	size_t end = skip_digits(l, begin), more;
	enum err code = ERR_NONE;
	char text[64];

	if (!after_point && based_token(l, token, &code))
		return code;
	token->type = JINJA_TOKEN_INTEGER;
	if (!after_point && looking_at(l, end, ".") && (more = skip_digits(l, end + 1)) > end + 1) {
		token->type = JINJA_TOKEN_FLOAT;
		end = more;
	}
	if (!after_point && end < l->size && (l->source[end] | 0x20) == 'e') {
		const size_t sign = sign_at(l, end + 1) ? 1 : 0;

		if ((more = skip_digits(l, end + 1 + sign)) > end + 1 + sign) {
			token->type = JINJA_TOKEN_FLOAT;
			end = more;
		}
	}
	l->at = end;
	errno = 0;
	if (!plain_digits(l, begin, end, text, sizeof(text)))
		return fail(l, ERR_UNSUPPORTED, "a number of too many digits");
	token->real = strtod(text, NULL);
	token->integer = token->type == JINJA_TOKEN_INTEGER ? strtoll(text, NULL, 10) : 0;
	return errno ? fail(l, ERR_UNSUPPORTED, "a number beyond 64 bits") : ERR_NONE;
}

static enum err bracket(struct jinja_lexer *l, char c)
{
	if (c == '(' || c == '[' || c == '{') {
		if (l->bracket_count == sizeof(l->brackets))
			return fail(l, ERR_LIMIT, "brackets nested too deeply");
		l->brackets[l->bracket_count++] = c == '(' ? ')' : c == '[' ? ']' : '}';
	} else if (c == ')' || c == ']' || c == '}') {
		if (l->bracket_count == 0 || l->brackets[--l->bracket_count] != c)
			return fail(l, ERR_INPUT, "unexpected '%c'", c);
	}
	return ERR_NONE;
}

static enum err operator_token(struct jinja_lexer *l, struct jinja_token *token)
{
	static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
		"*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",",
		";"};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (!looking_at(l, l->at, operators[i]))
			continue;
		token->type = JINJA_TOKEN_OPERATOR;
		token->bytes = l->source + l->at;
		token->size = strlen(operators[i]);
		l->at += token->size;
		return bracket(l, token->bytes[0]);
	}
	return fail(l, ERR_INPUT, "unexpected character '%c'", l->source[l->at]);
}

static enum err next_in_tag(struct jinja_lexer *l, struct jinja_token *token)
{
	const bool block = l->mode == JINJA_TOKEN_BLOCK_END;

	l->at = skip_space(l, l->at);
	count_lines(l, l->at);
	*token = (struct jinja_token){.line = l->line};
	if (l->at == l->size)
		return fail(l, ERR_INPUT, "the template ends inside a tag");
	if (l->bracket_count == 0 && take_end(l, block ? "%}" : "}}", block)) {
		token->type = l->mode;
		l->mode = JINJA_TOKEN_TEXT;
		return ERR_NONE;
	}
	const char c = l->source[l->at];

	if (c == '"' || c == '\'')
		return string_token(l, token);
	if (c >= '0' && c <= '9')
		return number_token(l, token);
	if (!is_name_byte(c, true))
		return operator_token(l, token);
	token->type = JINJA_TOKEN_NAME;
	token->bytes = l->source + l->at;
	while (l->at < l->size && is_name_byte(l->source[l->at], false))
		l->at++;
	token->size = (size_t)(l->source + l->at - token->bytes);
	return ERR_NONE;
}

enum err jinja_lex_next(struct jinja_lexer *l, struct jinja_token *token)
{
	if (l->has_pending) {
		l->has_pending = false;
		*token = l->pending;
		return ERR_NONE;
	}
	return l->mode == JINJA_TOKEN_TEXT ? next_text(l, token) : next_in_tag(l, token);
}
