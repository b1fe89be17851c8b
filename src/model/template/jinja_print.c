/* model/template/jinja_print.c - values as text: Python's str and repr, and json.dumps.
 *
 * Each is a walk that writes to a jinja_writer: once to measure, once into memory of exactly that
 * size. What is printed from a value that is no string counts as from outside.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define FLOAT_BYTES       32  /* of its repr, terminated */
#define PRINTED_BYTES_MAX ((size_t)256 << 20)  /* what measuring may reach before it is refused */

/* Python's repr of a float into out; returns its size. */
static size_t float_repr(double real, char out[FLOAT_BYTES])
{
	char digits[FLOAT_BYTES];
	int precision = 15, exponent;
	size_t size = 0;

	if (isnan(real) || isinf(real))
		return (size_t)snprintf(out, FLOAT_BYTES, "%s",
			isnan(real) ? "nan"
			: real < 0  ? "-inf"
				    : "inf");
	do {  /* the fewest digits that read back as the same number */
		snprintf(digits, sizeof(digits), "%.*e", precision - 1, real);
	} while (strtod(digits, NULL) != real && ++precision <= 17);
	exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);  /* at most 308 */
	*strchr(digits, 'e') = '\0';
	size = strlen(digits);
	while (digits[size - 1] == '0')
		digits[--size] = '\0';
	if (digits[size - 1] == '.')
		digits[--size] = '\0';
	if (exponent < -4 || exponent >= 16)
		return (size_t)snprintf(out, FLOAT_BYTES, "%.24se%c%02d", digits,
			exponent < 0 ? '-' : '+', abs(exponent));
	precision = (int)size - (real < 0 || signbit(real) ? 1 : 0) - (strchr(digits, '.') ? 1 : 0);
	precision = precision - 1 - exponent;  /* digits after the point */
	return (size_t)snprintf(
		out, FLOAT_BYTES, "%.*f", precision < 1 ? 1 : precision, real);
}

struct printer {
	struct jinja_render *r;
	struct jinja_writer w;
	const struct jinja_json_style *style;  /* NULL: repr */
};

static bool print_value(struct printer *p, const struct jinja_value *v, int64_t level);

static bool printer_enter(struct printer *p)
{
	if (p->r->depth >= p->r->limits.depth_max)
		return jinja_fail(p->r, ERR_LIMIT, "a value is nested too deeply to be printed");
	if (p->w.size > PRINTED_BYTES_MAX)
		return jinja_fail(p->r, ERR_LIMIT, "a value is too long to be printed");
	p->r->depth++;
	return jinja_charge(p->r, 1);
}

static void write_int(struct jinja_writer *w, int64_t integer)
{
	char text[24];

	jinja_write(w, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)integer));
}

/* "\n", "\x01", "\u2028": an escape of backslash, letter, and as many hex digits. */
static void write_hex(struct jinja_writer *w, char letter, int digits, uint32_t c)
{
	char text[16];

	jinja_write(w, text, (size_t)snprintf(text, sizeof(text), "\\%c%0*x", letter, digits, c));
}

static void write_escape(struct jinja_writer *w, char letter)
{
	const char text[2] = {'\\', letter};

	jinja_write(w, text, 2);
}

/* ---- strings --------------------------------------------------------------------------------- */

static void repr_character(struct jinja_writer *w, uint32_t c, const char *bytes, size_t length,
	char quote)
{
	if (c == (uint32_t)(unsigned char)quote || c == '\\')
		write_escape(w, (char)c);
	else if (c == '\n' || c == '\r' || c == '\t')
		write_escape(w, c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if (c == UNICODE_BROKEN || unicode_is_printable(c))
		jinja_write(w, bytes, length);
	else if (c < 0x100)
		write_hex(w, 'x', 2, c);
	else if (c < 0x10000)
		write_hex(w, 'u', 4, c);
	else
		write_hex(w, 'U', 8, c);
}

static void repr_string(struct jinja_writer *w, struct jinja_string s)
{
	const bool single = s.size > 0 && memchr(s.bytes, '\'', s.size);
	const bool twice = s.size > 0 && memchr(s.bytes, '"', s.size);
	const char quote = single && !twice ? '"' : '\'';

	jinja_write(w, &quote, 1);
	for (size_t at = 0; at < s.size;) {
		uint32_t c;
		const size_t length = unicode_decode(s.bytes + at, s.size - at, &c);

		repr_character(w, c, s.bytes + at, length, quote);
		at += length;
	}
	jinja_write(w, &quote, 1);
}

static void repr_markup(struct jinja_writer *w, struct jinja_string s)
{
	jinja_write_text(w, "Markup(");
	repr_string(w, s);
	jinja_write_text(w, ")");
}

static void json_escape(struct jinja_writer *w, unsigned char c)
{
	static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
	const char *found = c ? strchr(plain, c) : NULL;

	if (found)
		write_escape(w, letters[found - plain]);
	else
		write_hex(w, 'u', 4, c);
}

static void json_ascii(struct jinja_writer *w, uint32_t c)
{
	if (c < 0x10000) {
		write_hex(w, 'u', 4, c);
		return;
	}
	write_hex(w, 'u', 4, 0xD800 + ((c - 0x10000) >> 10));
	write_hex(w, 'u', 4, 0xDC00 + ((c - 0x10000) & 0x3FF));
}

static void json_string_out(struct jinja_writer *w, struct jinja_string s, bool ascii)
{
	size_t plain = 0;  /* where the bytes begin that go out as they are */

	jinja_write(w, "\"", 1);
	for (size_t at = 0; at < s.size;) {
		const unsigned char byte = (unsigned char)s.bytes[at];
		uint32_t c = byte;
		size_t length = 1;

		if (byte >= 0x80 && ascii)
			length = unicode_decode(s.bytes + at, s.size - at, &c);
		if ((byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') ||
			(byte >= 0x80 && !ascii) || c == UNICODE_BROKEN) {
			at += length;
			continue;
		}
		jinja_write(w, s.bytes + plain, at - plain);
		if (c < 0x80)
			json_escape(w, byte);
		else
			json_ascii(w, c);
		at += length;
		plain = at;
	}
	jinja_write(w, s.bytes + plain, s.size - plain);
	jinja_write(w, "\"", 1);
}

static bool print_string(struct printer *p, struct jinja_string s)
{
	if (!jinja_charge(p->r, s.size / 32))
		return false;
	if (p->style)
		json_string_out(&p->w, s, p->style->ascii);
	else if (s.markup)
		repr_markup(&p->w, s);
	else
		repr_string(&p->w, s);
	return true;
}

/* ---- numbers and constants ------------------------------------------------------------------- */

static void print_float(struct printer *p, double real)
{
	char text[FLOAT_BYTES];
	const size_t size = float_repr(real, text);

	if (p->style && (isnan(real) || isinf(real)))
		jinja_write_text(&p->w, isnan(real) ? "NaN" : real < 0 ? "-Infinity" : "Infinity");
	else
		jinja_write(&p->w, text, size);
}

static const char *constant_text(const struct printer *p, const struct jinja_value *v)
{
	if (v->type == JINJA_NONE)
		return p->style ? "null" : "None";
	if (v->boolean)
		return p->style ? "true" : "True";
	return p->style ? "false" : "False";
}

/* ---- containers ------------------------------------------------------------------------------ */

/* Between two elements, or before the first and after the last, of a container at this level. */
static void print_break(struct printer *p, int64_t level)
{
	if (!p->style || p->style->indent < 0)
		return;
	jinja_write(&p->w, "\n", 1);
	for (int64_t i = 0; i < level * p->style->indent; i++)
		jinja_write(&p->w, " ", 1);
}

static void print_separator(struct printer *p, int64_t level)
{
	if (p->style)
		jinja_write(&p->w, p->style->item_separator.bytes, p->style->item_separator.size);
	else
		jinja_write_text(&p->w, ", ");
	print_break(p, level);
}

static bool print_list(struct printer *p, const struct jinja_value *v, int64_t level)
{
	const bool round = v->type == JINJA_TUPLE && !p->style;

	jinja_write_text(&p->w, round ? "(" : "[");
	for (size_t i = 0; i < v->list.count; i++) {
		const struct jinja_value item = jinja_at(v, i);

		if (i == 0)
			print_break(p, level + 1);
		else
			print_separator(p, level + 1);
		if (!print_value(p, &item, level + 1))
			return false;
	}
	if (v->list.count > 0)
		print_break(p, level);
	if (round && v->list.count == 1)
		jinja_write_text(&p->w, ",");
	jinja_write_text(&p->w, round ? ")" : "]");
	return true;
}

/* JSON has only strings for keys: numbers and constants are printed, then quoted. */
static bool print_key(struct printer *p, const struct jinja_value *key, int64_t level)
{
	if (!p->style || key->type == JINJA_STRING)
		return print_value(p, key, level);
	if (!jinja_is_number(key) && key->type != JINJA_NONE)
		return jinja_fail(p->r, ERR_INPUT,
			"keys must be str, int, float, bool or None, not %s", jinja_type_name(key));
	jinja_write(&p->w, "\"", 1);
	if (!print_value(p, key, level))
		return false;
	jinja_write(&p->w, "\"", 1);
	return true;
}

static bool print_pair(struct printer *p, const struct jinja_pair *pair, size_t index,
	int64_t level)
{
	if (index == 0)
		print_break(p, level + 1);
	else
		print_separator(p, level + 1);
	if (!print_key(p, &pair->key, level + 1))
		return false;
	if (p->style)
		jinja_write(&p->w, p->style->key_separator.bytes, p->style->key_separator.size);
	else
		jinja_write_text(&p->w, ": ");
	return print_value(p, &pair->value, level + 1);
}

static int pair_order(const void *left, const void *right)
{
	const struct jinja_pair *a = left, *b = right;
	const struct jinja_string x = a->key.string, y = b->key.string;
	const size_t common = x.size < y.size ? x.size : y.size;
	const int order = common ? memcmp(x.bytes, y.bytes, common) : 0;

	return order ? order : (x.size > y.size) - (x.size < y.size);
}

static bool print_dict_sorted(struct printer *p, const struct jinja_value *v, int64_t level)
{
	const size_t count = jinja_dict_count(v);
	struct jinja_pair *pairs = jinja_array(p->r, count, sizeof(*pairs));
	struct jinja_cursor cursor = {.dict = v};
	size_t i = 0;

	if (!pairs || !jinja_charge(p->r, count * 4))
		return false;
	for (; i < count && jinja_next(&cursor, &pairs[i].key, &pairs[i].value); i++)
		if (pairs[i].key.type != JINJA_STRING)
			return jinja_fail(p->r, ERR_INPUT, "sort_keys: a key is no string");
	qsort(pairs, count, sizeof(*pairs), pair_order);
	for (i = 0; i < count; i++)
		if (!print_pair(p, &pairs[i], i, level))
			return false;
	return true;
}

static bool print_dict(struct printer *p, const struct jinja_value *v, int64_t level)
{
	struct jinja_cursor cursor = {.dict = v};
	struct jinja_pair pair;

	jinja_write_text(&p->w, "{");
	if (p->style && p->style->sort_keys) {
		if (!print_dict_sorted(p, v, level))
			return false;
	} else {
		for (size_t i = 0; jinja_next(&cursor, &pair.key, &pair.value); i++)
			if (!print_pair(p, &pair, i, level))
				return false;
	}
	if (jinja_dict_count(v) > 0)
		print_break(p, level);
	jinja_write_text(&p->w, "}");
	return true;
}

static bool print_object(struct printer *p, const struct jinja_value *v)
{
	if (p->style)
		return jinja_fail(p->r, ERR_INPUT, "Object of type %s is not JSON serializable",
			jinja_type_name(v));
	if (v->type == JINJA_UNDEFINED) {
		jinja_write_text(&p->w, "Undefined");
		return true;
	}
	jinja_write_text(&p->w, "<");
	jinja_write_text(&p->w, jinja_type_name(v));
	jinja_write_text(&p->w, ">");
	return true;
}

/* "range(0, 3)" */
static void write_range(struct jinja_writer *w, const int64_t range[3])
{
	jinja_write_text(w, "range(");
	write_int(w, range[0]);
	jinja_write_text(w, ", ");
	write_int(w, range[1]);
	if (range[2] != 1) {
		jinja_write_text(w, ", ");
		write_int(w, range[2]);
	}
	jinja_write_text(w, ")");
}

/* A range as it was made; of a dict "dict_keys(['a'])". */
static bool print_shown(struct printer *p, const struct jinja_value *v, int64_t level)
{
	if (p->style)
		return print_object(p, v);
	if (v->type == JINJA_RANGE) {
		write_range(&p->w, v->list.range);
		return true;
	}
	jinja_write_text(&p->w, v->list.shown);
	jinja_write_text(&p->w, "(");
	if (!print_list(p, v, level))
		return false;
	jinja_write_text(&p->w, ")");
	return true;
}

static bool print_value(struct printer *p, const struct jinja_value *v, int64_t level)
{
	bool done = true;

	if (!printer_enter(p))
		return false;
	switch (v->type) {
	case JINJA_NONE:
	case JINJA_BOOL:
		jinja_write_text(&p->w, constant_text(p, v));
		break;
	case JINJA_INT:
		write_int(&p->w, v->integer);
		break;
	case JINJA_FLOAT:
		print_float(p, v->real);
		break;
	case JINJA_STRING:
		done = print_string(p, v->string);
		break;
	case JINJA_LIST:
	case JINJA_TUPLE:
		done = print_list(p, v, level);
		break;
	case JINJA_RANGE:
	case JINJA_VIEW:
		done = print_shown(p, v, level);
		break;
	case JINJA_DICT:
		done = print_dict(p, v, level);
		break;
	case JINJA_UNDEFINED:
	case JINJA_ITERATOR:
	case JINJA_CYCLER:
	case JINJA_JOINER:
	case JINJA_NAMESPACE:
	case JINJA_LOOP:
	case JINJA_MACRO:
	case JINJA_FUNCTION:
	case JINJA_METHOD:
		done = print_object(p, v);
		break;
	}
	p->r->depth--;
	return done;
}

/* Walks twice. */
static bool print(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_json_style *style, struct jinja_string *out)
{
	struct printer p = {.r = r, .style = style};

	if (!print_value(&p, v, 0))
		return false;
	const size_t size = p.w.size;
	p.w = (struct jinja_writer){.out = jinja_array(r, size, 1)};
	if (!p.w.out || !print_value(&p, v, 0))
		return false;
	*out = (struct jinja_string){.bytes = p.w.out, .size = size};
	return true;
}

bool jinja_to_string(struct jinja_render *r, const struct jinja_value *v, struct jinja_string *out)
{
	if (v->type == JINJA_STRING) {
		*out = v->string;
		return true;
	}
	if (v->type == JINJA_UNDEFINED) {
		*out = jinja_text("");
		return true;
	}
	return print(r, v, NULL, out);
}

bool jinja_repr(struct jinja_render *r, const struct jinja_value *v, struct jinja_string *out)
{
	return print(r, v, NULL, out);
}

bool jinja_to_json(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_json_style *style, struct jinja_string *out)
{
	return print(r, v, style, out);
}
