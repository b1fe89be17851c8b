/* model/template/jinja_format.c - Python's two ways to format: "%s is %d" % values, and "{} is {n}".format.
 *
 * What both mean is a specification: how a number is written, and how it is filled up to a width.
 * Pieces of the format keep whose bytes they are, and so do strings that are put in; what fills up
 * counts as from outside.
 */
#include <stdio.h>
#include <string.h>

#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define WIDTH_MAX     4096   /* and digits after the point */
#define NUMBER_BYTES  (WIDTH_MAX + 400)
#define NESTING_MAX   2      /* fields in specifications of fields, as in Python */

/* [[fill]align][sign][#][0][width][,][.precision][type] */
struct spec {
	uint32_t fill;
	char align;         /* < > ^ = or 0: as is usual for the value */
	char sign;          /* + - or a blank */
	bool alternate;
	char group;         /* , _ or 0 */
	int64_t width;
	int64_t precision;  /* -1: not given */
	char type;          /* 0: none */
};

static bool bad_spec(struct jinja_render *r, char type, const struct jinja_value *v)
{
	return jinja_fail(r, ERR_INPUT, "format '%c' is not for a value of type %s",
		type ? type : 's', jinja_type_name(v));
}

/* ---- filling up ------------------------------------------------------------------------------ */

static bool add_fill(struct jinja_render *r, struct jinja_builder *b, uint32_t fill, size_t count)
{
	char bytes[4], *text;
	const size_t length = unicode_encode(fill, bytes);

	if (count == 0)
		return true;
	text = jinja_array(r, count, length);
	if (!text)
		return false;
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * length, bytes, length);
	return jinja_builder_add(r, b,
		(struct jinja_string){.bytes = text, .size = count * length});
}

/* s in width characters; head is its sign and base, after which = fills. */
static bool add_padded(struct jinja_render *r, struct jinja_builder *b, const struct spec *spec,
	char usual, struct jinja_string s, size_t head)
{
	const int64_t length = (int64_t)unicode_length(s.bytes, s.size);
	const size_t missing = spec->width > length ? (size_t)(spec->width - length) : 0;
	const char align = spec->align ? spec->align : usual;
	const size_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
	const size_t inside = align == '=' ? missing : 0;

	return jinja_charge_bytes(r, s.size + missing) && add_fill(r, b, spec->fill, before) &&
		jinja_builder_add(r, b, jinja_cut(s, 0, head)) &&
		add_fill(r, b, spec->fill, inside) &&
		jinja_builder_add(r, b, jinja_cut(s, head, s.size)) &&
		add_fill(r, b, spec->fill, missing - before - inside);
}

static bool add_text(struct jinja_render *r, struct jinja_builder *b, const struct spec *spec,
	char usual, struct jinja_string s)
{
	size_t end = 0;
	uint32_t ignored;

	for (int64_t i = 0; spec->precision >= 0 && i < spec->precision && end < s.size; i++)
		end += unicode_decode(s.bytes + end, s.size - end, &ignored);
	return add_padded(r, b, spec, usual, spec->precision >= 0 ? jinja_cut(s, 0, end) : s, 0);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const char *sign_of(const struct spec *spec, bool negative)
{
	return negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
}

/* Digits of magnitude, with a separator after each group of them. */
static size_t write_digits(char *out, uint64_t magnitude, unsigned base, bool upper, char group)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	const unsigned every = base == 10 ? 3 : 4;
	char reversed[160];
	size_t count = 0, written = 0;

	do {
		if (group && written > 0 && written % every == 0)
			reversed[count++] = group;
		reversed[count++] = digits[magnitude % base];
		written++;
		magnitude /= base;
	} while (magnitude > 0);
	for (size_t i = 0; i < count; i++)
		out[i] = reversed[count - 1 - i];
	return count;
}

static bool add_integer(struct jinja_render *r, struct jinja_builder *b, const struct spec *spec,
	int64_t value)
{
	const char type = spec->type ? spec->type : 'd';
	const unsigned base = type == 'b' ? 2 : type == 'o' ? 8
		: type == 'x' || type == 'X' ? 16 : 10;
	const uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char *text = jinja_array(r, 256, 1);
	size_t head, digits;

	if (!text)
		return false;
	head = (size_t)snprintf(text, 8, "%s", sign_of(spec, value < 0));
	if (spec->alternate && base != 10) {
		text[head++] = '0';
		text[head++] = type;
	}
	digits = write_digits(text + head, magnitude, base, type == 'X', spec->group);
	return add_padded(r, b, spec, '>',
		(struct jinja_string){.bytes = text, .size = head + digits}, head);
}

/* In C's notation; Python writes no sign of NaN. */
static size_t write_real(char *out, double magnitude, const struct spec *spec)
{
	const char type = spec->type == '%' ? 'f' : spec->type ? spec->type : 'g';
	const char format[] = {'%', spec->alternate ? '#' : '.', spec->alternate ? '.' : '*',
		spec->alternate ? '*' : type, spec->alternate ? type : '\0', '\0'};
	const int precision = spec->precision < 0 ? 6 : (int)spec->precision;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of a few, put together above */
	return (size_t)snprintf(out, NUMBER_BYTES, format, precision, magnitude);
#pragma GCC diagnostic pop
}

/* 1234567.5 to 1,234,567.5; text has room. */
static size_t group_digits(char *text, size_t size, char group)
{
	size_t whole = 0;

	while (whole < size && text[whole] >= '0' && text[whole] <= '9')
		whole++;
	for (size_t at = whole; group && at > 3; at -= 3) {
		memmove(text + at - 2, text + at - 3, size - (at - 3));
		text[at - 3] = group;
		size++;
	}
	return size;
}

static bool add_real(struct jinja_render *r, struct jinja_builder *b, const struct spec *spec,
	double value)
{
	const bool negative = value < 0 || (value == 0 && 1 / value < 0);
	char *text = jinja_array(r, NUMBER_BYTES * 2, 1);
	size_t head, size;

	if (!text)
		return false;
	head = (size_t)snprintf(text, 8, "%s", sign_of(spec, negative));
	size = write_real(text + head, (negative ? -value : value) * (spec->type == '%' ? 100 : 1),
		spec);
	/* without a type there is always a digit after the point */
	if (!spec->type && strspn(text + head, "0123456789") == size) {
		memcpy(text + head + size, ".0", 2);
		size += 2;
	}
	size = group_digits(text + head, size, spec->group);
	if (spec->type == '%')
		text[head + size++] = '%';
	return add_padded(r, b, spec, '>',
		(struct jinja_string){.bytes = text, .size = head + size}, head);
}

/* A number by its type; false in *done for a type that is none of numbers. */
static bool add_number(struct jinja_render *r, struct jinja_builder *b, const struct spec *spec,
	const struct jinja_value *v)
{
	if (spec->type && strchr("eEfFgG%", spec->type))
		return add_real(r, b, spec, jinja_real(v));
	if (v->type == JINJA_FLOAT || (spec->type && !strchr("dboxXn", spec->type)))
		return bad_spec(r, spec->type, v);
	if (spec->precision >= 0)
		return jinja_fail(r, ERR_INPUT, "Precision not allowed in integer format specifier");
	return add_integer(r, b, spec, jinja_integer(v));
}

/* ---- specifications -------------------------------------------------------------------------- */

/* A number of at most WIDTH_MAX at s[*at]; -1 where there is none. */
static bool read_count(struct jinja_render *r, struct jinja_string s, size_t *at, int64_t *out)
{
	*out = -1;
	for (; *at < s.size && s.bytes[*at] >= '0' && s.bytes[*at] <= '9'; ++*at) {
		*out = (*out < 0 ? 0 : *out * 10) + (s.bytes[*at] - '0');
		if (*out > WIDTH_MAX)
			return jinja_fail(r, ERR_LIMIT, "format: a width of more than %d",
				WIDTH_MAX);
	}
	return true;
}

static bool is_align(char c)
{
	return c && strchr("<>^=", c);
}

static char byte_at(struct jinja_string s, size_t at)
{
	return at < s.size ? s.bytes[at] : '\0';
}

static bool take_byte(struct jinja_string s, size_t *at, const char *of, char *out)
{
	if (!byte_at(s, *at) || !strchr(of, byte_at(s, *at)))
		return false;
	*out = s.bytes[(*at)++];
	return true;
}

static bool parse_spec(struct jinja_render *r, struct jinja_string s, struct spec *spec)
{
	size_t at = 0, length;
	uint32_t c = ' ';
	char zero = 0, sharp = 0;

	*spec = (struct spec){.fill = ' ', .sign = '-', .precision = -1};
	length = s.size > 0 ? unicode_decode(s.bytes, s.size, &c) : 0;
	if (c != UNICODE_BROKEN && length > 0 && is_align(byte_at(s, length))) {
		spec->fill = c;
		at = length;
	}
	take_byte(s, &at, "<>^=", &spec->align);
	take_byte(s, &at, "+- ", &spec->sign);
	spec->alternate = take_byte(s, &at, "#", &sharp);
	if (take_byte(s, &at, "0", &zero) && !spec->align) {
		spec->fill = '0';
		spec->align = '=';
	}
	if (!read_count(r, s, &at, &spec->width))
		return false;
	take_byte(s, &at, ",_", &spec->group);
	if (byte_at(s, at) == '.') {
		at++;
		if (!read_count(r, s, &at, &spec->precision))
			return false;
		if (spec->precision < 0)
			return jinja_fail(r, ERR_INPUT, "Format specifier missing precision");
	}
	if (at < s.size)
		spec->type = s.bytes[at++];
	return at == s.size || jinja_fail(r, ERR_INPUT, "Invalid format specifier");
}

/* format(value, spec) */
static bool add_formatted(struct jinja_render *r, struct jinja_builder *b,
	const struct jinja_value *v, struct jinja_string text)
{
	struct jinja_string s;
	struct spec spec;

	if (text.size == 0)
		return jinja_to_string(r, v, &s) && jinja_builder_add(r, b, s);
	if (!parse_spec(r, text, &spec))
		return false;
	if (v->type == JINJA_FLOAT && !spec.type && spec.precision < 0)
		return spec.group || spec.sign != '-'
			? jinja_fail(r, ERR_UNSUPPORTED, "format: a float needs a type here")
			: jinja_to_string(r, v, &s) &&
				add_padded(r, b, &spec, '>', s, s.bytes[0] == '-');
	if (v->type == JINJA_FLOAT && !spec.type)
		return add_real(r, b, &spec, v->real);
	if (jinja_is_number(v))
		return add_number(r, b, &spec, v);
	if (v->type != JINJA_STRING || (spec.type && spec.type != 's') || spec.align == '=' ||
		spec.sign != '-' || spec.alternate || spec.group)
		return bad_spec(r, spec.type, v);
	return add_text(r, b, &spec, '<', v->string);
}

/* ---- % --------------------------------------------------------------------------------------- */

struct percent {
	struct jinja_string format;
	const struct jinja_value *values;   /* a tuple's elements, a dict, or one value */
	struct jinja_value list;
	size_t used;
	bool escapes;                       /* the format is markup */
};

/* The next value, or with "(key)" that of the key. */
static bool percent_value(struct jinja_render *r, struct percent *p, size_t *at,
	struct jinja_value *out)
{
	const struct jinja_string close = jinja_text(")");
	bool found = false;
	size_t end;

	if (byte_at(p->format, *at) != '(') {
		if (p->used == p->list.list.count)
			return jinja_fail(r, ERR_INPUT, "not enough arguments for format string");
		*out = jinja_at(&p->list, p->used++);
		return true;
	}
	end = jinja_string_find(p->format, *at, close);
	if (p->values->type != JINJA_DICT || end == SIZE_MAX)
		return jinja_fail(r, ERR_INPUT, "format requires a mapping");
	const struct jinja_value key = jinja_string(jinja_cut(p->format, *at + 1, end));

	*at = end + 1;
	p->used = p->list.list.count;
	return jinja_dict_find(r, p->values, &key, out, &found) &&
		(found || jinja_fail(r, ERR_INPUT, "KeyError: '%.*s'",
		(int)(key.string.size < 100 ? key.string.size : 100), key.string.bytes));
}

static bool percent_spec(struct jinja_render *r, struct jinja_string s, size_t *at,
	struct spec *spec)
{
	char flag, unused;

	*spec = (struct spec){.fill = ' ', .sign = '-', .align = '>', .precision = -1};
	while (take_byte(s, at, "-+ #0", &flag)) {
		if (flag == '-' || (flag == '0' && spec->align != '<'))
			spec->align = flag == '-' ? '<' : '=';
		else if (flag == '+' || (flag == ' ' && spec->sign != '+'))
			spec->sign = flag;
		else if (flag == '#')
			spec->alternate = true;
	}
	if (spec->align == '=')
		spec->fill = '0';
	if (!read_count(r, s, at, &spec->width))
		return false;
	if (byte_at(s, *at) == '.') {
		++*at;
		if (!read_count(r, s, at, &spec->precision))
			return false;
		spec->precision = spec->precision < 0 ? 0 : spec->precision;
	}
	while (take_byte(s, at, "hlL", &unused))
		;
	return true;
}

static bool percent_text(struct jinja_render *r, struct percent *p, struct jinja_builder *b,
	struct spec *spec, const struct jinja_value *v)
{
	struct jinja_string s;

	if (!(spec->type == 'r' ? jinja_repr(r, v, &s) : jinja_to_string(r, v, &s)) ||
		(p->escapes && !jinja_escape(r, s, &s)))
		return false;
	spec->align = spec->align == '=' ? '>' : spec->align;
	spec->fill = ' ';
	return add_text(r, b, spec, '>', s);
}

static bool percent_integer(struct jinja_render *r, struct jinja_builder *b, struct spec *spec,
	const struct jinja_value *v)
{
	struct jinja_value whole = *v;

	if (spec->precision >= 0)
		return jinja_fail(r, ERR_UNSUPPORTED, "digits of an integer after a point");
	if (v->type == JINJA_FLOAT && spec->type == 'd') {
		if (!(v->real > -9e18 && v->real < 9e18))
			return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
		whole = jinja_int((int64_t)v->real);
	}
	return jinja_is_integral(&whole) ? add_integer(r, b, spec, jinja_integer(&whole))
		: bad_spec(r, spec->type, v);
}

/* One character, or the code of one. */
static bool percent_character(struct jinja_render *r, struct jinja_builder *b,
	const struct spec *spec, const struct jinja_value *v)
{
	char *bytes = jinja_array(r, 4, 1);
	struct jinja_string s = {.bytes = bytes};

	if (!bytes)
		return false;
	if (v->type == JINJA_STRING && unicode_length(v->string.bytes, v->string.size) == 1)
		s = v->string;
	else if (jinja_is_integral(v) && jinja_integer(v) >= 0 && jinja_integer(v) < 0xD800)
		s.size = unicode_encode((uint32_t)jinja_integer(v), bytes);
	else
		return bad_spec(r, 'c', v);
	return add_padded(r, b, spec, '>', s, 0);
}

/* After the percent sign. */
static bool percent_conversion(struct jinja_render *r, struct percent *p, struct jinja_builder *b,
	size_t *at)
{
	struct jinja_value v = jinja_none();
	struct spec spec;
	const bool keyed = byte_at(p->format, *at) == '(';

	if (keyed && !percent_value(r, p, at, &v))
		return false;
	if (!percent_spec(r, p->format, at, &spec))
		return false;
	if (!take_byte(p->format, at, "diuoxXeEfFgGcrs%", &spec.type))
		return jinja_fail(r, ERR_INPUT, "unsupported format character");
	if (spec.type == '%')
		return jinja_builder_add(r, b, jinja_cut(p->format, *at - 1, *at));
	if (!keyed && !percent_value(r, p, at, &v))
		return false;
	spec.type = spec.type == 'i' || spec.type == 'u' ? 'd' : spec.type;
	if (spec.type == 's' || spec.type == 'r')
		return percent_text(r, p, b, &spec, &v);
	if (spec.type == 'c')
		return percent_character(r, b, &spec, &v);
	if (strchr("doxX", spec.type))
		return percent_integer(r, b, &spec, &v);
	return jinja_is_number(&v) ? add_real(r, b, &spec, jinja_real(&v))
		: bad_spec(r, spec.type, &v);
}

bool jinja_format_percent(struct jinja_render *r, struct jinja_string format,
	const struct jinja_value *values, struct jinja_value *out)
{
	struct percent p = {.format = format, .values = values, .escapes = format.markup};
	const struct jinja_string sign = jinja_text("%");
	struct jinja_builder b = {0};
	struct jinja_string s;
	size_t at = 0;

	p.list = values->type == JINJA_TUPLE ? *values : jinja_list_of(values, 1);
	for (;;) {
		const size_t found = jinja_string_find(format, at, sign);
		const size_t end = found == SIZE_MAX ? format.size : found;

		if (!jinja_charge(r, 1) || !jinja_builder_add(r, &b, jinja_cut(format, at, end)))
			return false;
		if (found == SIZE_MAX)
			break;
		at = found + 1;
		if (!percent_conversion(r, &p, &b, &at))
			return false;
	}
	/* what has keys, and a list, need not be used */
	if (p.used < p.list.list.count && values->type != JINJA_DICT &&
		values->type != JINJA_UNDEFINED && values->type != JINJA_LIST)
		return jinja_fail(r, ERR_INPUT,
			"not all arguments converted during string formatting");
	if (!jinja_builder_finish(r, &b, &s))
		return false;
	s.markup = format.markup;
	*out = jinja_string(s);
	return true;
}

/* ---- str.format ------------------------------------------------------------------------------ */

struct fields {
	const struct jinja_args *args;
	size_t automatic;   /* fields without a name so far */
	bool numbered;      /* there was one with a number */
	bool escapes;
};

static bool format_text(struct jinja_render *r, struct fields *f, struct jinja_string format,
	uint32_t nesting, struct jinja_builder *b);

static bool is_digits(struct jinja_string s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.bytes[i] < '0' || s.bytes[i] > '9')
			return false;
	return s.size > 0 && s.size < 10;
}

static size_t to_index(struct jinja_string digits)
{
	size_t index = 0;

	for (size_t i = 0; i < digits.size; i++)
		index = index * 10 + (size_t)(digits.bytes[i] - '0');
	return index;
}

/* What a field begins with: nothing, a number, or a name. */
static bool first_value(struct jinja_render *r, struct fields *f, struct jinja_string name,
	struct jinja_value *out)
{
	size_t index;

	if (name.size > 0 && !is_digits(name)) {
		for (size_t i = 0; i < f->args->named_count; i++)
			if (f->args->named[i].size == name.size &&
				memcmp(f->args->named[i].name, name.bytes, name.size) == 0) {
				*out = f->args->named[i].value;
				return true;
			}
		return jinja_fail(r, ERR_INPUT, "format: KeyError: '%.*s'",
			(int)(name.size < 100 ? name.size : 100), name.bytes);
	}
	if (name.size > 0 ? f->automatic > 0 : f->numbered)
		return jinja_fail(r, ERR_INPUT, "format: numbered fields and others are mixed");
	f->numbered = name.size > 0;
	index = name.size > 0 ? to_index(name) : f->automatic++;
	if (index >= f->args->count)
		return jinja_fail(r, ERR_INPUT, "format: there is no argument %zu", index);
	*out = f->args->values[index];
	return true;
}

/* ".name" and "[key]" after it. */
static bool field_value(struct jinja_render *r, struct fields *f, struct jinja_string name,
	struct jinja_value *out)
{
	size_t at = 0, end;

	while (at < name.size && name.bytes[at] != '.' && name.bytes[at] != '[')
		at++;
	if (!first_value(r, f, jinja_cut(name, 0, at), out))
		return false;
	while (at < name.size) {
		const bool item = name.bytes[at] == '[';
		const struct jinja_value from = *out;

		for (end = at + 1; end < name.size && (item ? name.bytes[end] != ']'
			: name.bytes[end] != '.' && name.bytes[end] != '['); end++)
			;
		const struct jinja_string part = jinja_cut(name, at + 1, end);

		if (part.size == 0 || (item ? end == name.size : name.bytes[at] != '.'))
			return jinja_fail(r, ERR_INPUT, "format: an empty attribute");
		const struct jinja_value key = is_digits(part)
			? jinja_int((int64_t)to_index(part)) : jinja_string(part);

		if (!(item ? jinja_item(r, &from, &key, out)
			: jinja_attribute(r, &from, part.bytes, part.size, out)))
			return false;
		at = end + (item ? 1 : 0);
	}
	return true;
}

/* "!r" or "!s" at *at: the value becomes that text. */
static bool convert(struct jinja_render *r, struct jinja_string field, size_t *at,
	struct jinja_value *v)
{
	struct jinja_string s;

	if (byte_at(field, *at) != '!')
		return true;
	const char conversion = byte_at(field, *at + 1);

	*at += 2;
	if (conversion != 'r' && conversion != 's')
		return jinja_fail(r, ERR_UNSUPPORTED, "format: a conversion that is not !r or !s");
	if (!(conversion == 'r' ? jinja_repr(r, v, &s) : jinja_to_string(r, v, &s)))
		return false;
	*v = jinja_string(s);
	return true;
}

/* What stands in braces: name!conversion:spec */
static bool add_field(struct jinja_render *r, struct fields *f, struct jinja_string field,
	uint32_t nesting, struct jinja_builder *b)
{
	struct jinja_builder spec_parts = {0}, piece = {0};
	struct jinja_string spec = jinja_text(""), s;
	struct jinja_value v;
	size_t at = 0;
	bool in_brackets = false;

	for (; at < field.size; at++) {
		if (!in_brackets && (field.bytes[at] == '!' || field.bytes[at] == ':'))
			break;
		in_brackets = field.bytes[at] == '[' || (in_brackets && field.bytes[at] != ']');
	}
	if (!field_value(r, f, jinja_cut(field, 0, at), &v) || !convert(r, field, &at, &v))
		return false;
	if (at < field.size && field.bytes[at] != ':')
		return jinja_fail(r, ERR_INPUT, "format: expected ':' after a conversion");
	if (at < field.size && (!format_text(r, f, jinja_cut(field, at + 1, field.size),
		nesting + 1, &spec_parts) || !jinja_builder_finish(r, &spec_parts, &spec)))
		return false;
	if (!f->escapes || nesting > 0)
		return add_formatted(r, b, &v, spec);
	if (v.type == JINJA_STRING && v.string.markup)
		return spec.size > 0 ? bad_spec(r, spec.bytes[0], &v)
			: jinja_builder_add(r, b, v.string);
	return add_formatted(r, &piece, &v, spec) && jinja_builder_finish(r, &piece, &s) &&
		jinja_escape(r, s, &s) && jinja_builder_add(r, b, s);
}

/* Offset of the brace that closes the field that begins at begin. */
static size_t field_end(struct jinja_string s, size_t begin)
{
	size_t depth = 1;

	for (size_t at = begin; at < s.size; at++) {
		depth += s.bytes[at] == '{';
		depth -= s.bytes[at] == '}';
		if (depth == 0)
			return at;
	}
	return SIZE_MAX;
}

static bool format_text(struct jinja_render *r, struct fields *f, struct jinja_string format,
	uint32_t nesting, struct jinja_builder *b)
{
	size_t plain = 0, end;

	if (nesting >= NESTING_MAX && memchr(format.bytes, '{', format.size))
		return jinja_fail(r, ERR_INPUT, "Max string recursion exceeded");
	for (size_t at = 0; at < format.size; at++) {
		const char c = format.bytes[at];

		if (c != '{' && c != '}')
			continue;
		if (byte_at(format, at + 1) == c) {
			if (!jinja_builder_add(r, b, jinja_cut(format, plain, at + 1)))
				return false;
			plain = ++at + 1;
			continue;
		}
		end = c == '{' ? field_end(format, at + 1) : SIZE_MAX;
		if (end == SIZE_MAX)
			return jinja_fail(r, ERR_INPUT, "Single '%c' encountered in format string",
				c);
		if (!jinja_builder_add(r, b, jinja_cut(format, plain, at)) || !jinja_charge(r, 1) ||
			!add_field(r, f, jinja_cut(format, at + 1, end), nesting, b))
			return false;
		at = end;
		plain = end + 1;
	}
	return jinja_builder_add(r, b, jinja_cut(format, plain, format.size));
}

bool jinja_format_fields(struct jinja_render *r, struct jinja_string format,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct fields f = {.args = args, .escapes = format.markup};
	struct jinja_builder b = {0};
	struct jinja_string s;

	if (!jinja_charge_bytes(r, format.size) || !format_text(r, &f, format, 0, &b) ||
		!jinja_builder_finish(r, &b, &s))
		return false;
	s.markup = format.markup;
	*out = jinja_string(s);
	return true;
}
