/* model/template/jinja_filters.c - filters on one value: numbers, JSON, the plainer ones on
 * text. Those on lists are in jinja_filters_list.c, the others on text in jinja_filters_text.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define INDENT_MAX 256   /* of tojson */

static bool no_arguments(struct jinja_render *r, const char *callee, const struct jinja_args *args)
{
	return jinja_bind(r, callee, args, NULL, 0, 0, NULL);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool json_indent(struct jinja_render *r, const struct jinja_value *v, int64_t *indent)
{
	if (v->type == JINJA_NONE)
		return true;
	if (!jinja_want_int(r, "tojson", v, indent))
		return false;
	if (*indent > INDENT_MAX)
		return jinja_fail(r, ERR_LIMIT, "tojson: an indent of more than %d", INDENT_MAX);
	if (*indent < 0)
		*indent = 0;
	return true;
}

static bool json_separators(struct jinja_render *r, const struct jinja_value *v,
	struct jinja_json_style *style)
{
	if (v->type == JINJA_NONE)
		return true;
	if (!jinja_is_list(v) || v->list.count != 2)
		return jinja_fail(r, ERR_INPUT, "tojson: separators are two strings");
	const struct jinja_value item = jinja_at(v, 0), key = jinja_at(v, 1);

	return jinja_want_string(r, "tojson", &item, &style->item_separator) &&
		jinja_want_string(r, "tojson", &key, &style->key_separator);
}

static bool filter_tojson(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
	struct jinja_value values[] = {
		jinja_bool(false), jinja_none(), jinja_none(), jinja_bool(false)};
	struct jinja_json_style style = {.indent = -1, .key_separator = jinja_text(": ")};
	struct jinja_string text;

	if (!jinja_bind(r, "tojson", args, names, 4, 0, values) ||
		!json_indent(r, &values[1], &style.indent))
		return false;
	style.item_separator = jinja_text(style.indent < 0 ? ", " : ",");
	style.ascii = jinja_truth(&values[0]);
	style.sort_keys = jinja_truth(&values[3]);
	if (!json_separators(r, &values[2], &style) || !jinja_to_json(r, v, &style, &text))
		return false;
	*out = jinja_string(text);
	return true;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool filter_string(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string s;

	if (!no_arguments(r, "string", args) || !jinja_to_string(r, v, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool filter_trim(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"chars"};
	struct jinja_value chars = jinja_none();
	struct jinja_string s, set;

	if (!jinja_bind(r, "trim", args, names, 1, 0, &chars) || !jinja_to_string(r, v, &s) ||
		!jinja_charge_bytes(r, s.size))
		return false;
	if (chars.type != JINJA_NONE && (!jinja_want_string(r, "trim", &chars, &set) ||
		!jinja_charge_strip(r, s, set)))
		return false;
	*out = jinja_string(jinja_strip(s, chars.type == JINJA_NONE ? NULL : &set, true, true));
	return true;
}

static bool recase(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	const struct jinja_args *args, enum jinja_case to, struct jinja_value *out)
{
	struct jinja_string s;

	if (!no_arguments(r, callee, args) || !jinja_to_string(r, v, &s) ||
		!jinja_recase(r, s, to, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool filter_upper(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "upper", v, args, JINJA_UPPER, out);
}

static bool filter_lower(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "lower", v, args, JINJA_LOWER, out);
}

static bool filter_title(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (!recase(r, "title", v, args, JINJA_TITLE_WORDS, out))
		return false;
	out->string.markup = false;
	return true;
}

static bool filter_capitalize(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "capitalize", v, args, JINJA_CAPITALIZE, out);
}

static bool filter_replace(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"old", "new", "count"};
	struct jinja_value values[] = {jinja_none(), jinja_none(), jinja_int(-1)};
	struct jinja_string s, old, new;
	int64_t count;

	if (!jinja_bind(r, "replace", args, names, 3, 2, values) || !jinja_to_string(r, v, &s) ||
		!jinja_to_string(r, &values[0], &old) || !jinja_to_string(r, &values[1], &new))
		return false;
	if (values[2].type == JINJA_NONE)
		values[2] = jinja_int(-1);
	if (!jinja_want_int(r, "replace", &values[2], &count) ||
		!jinja_replace(r, s, old, new, count, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool filter_safe(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (!filter_string(r, v, args, out))
		return false;
	out->string.markup = true;
	return true;
}

static bool filter_escape(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string s;

	if (!no_arguments(r, "escape", args) || !jinja_to_string(r, v, &s) ||
		!jinja_escape(r, s, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool filter_forceescape(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string s;

	if (!no_arguments(r, "forceescape", args) || !jinja_to_string(r, v, &s))
		return false;
	s.markup = false;
	if (!jinja_escape(r, s, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A terminated copy without the white space around it; NULL in *out when it cannot be a number. */
static bool number_text(struct jinja_render *r, struct jinja_string s, char **out)
{
	s = jinja_strip(s, NULL, true, true);
	*out = NULL;
	if (s.size == 0 || s.size > 400 || memchr(s.bytes, '\0', s.size))
		return true;
	*out = jinja_array(r, s.size + 1, 1);
	if (*out)
		memcpy(*out, s.bytes, s.size);
	return *out != NULL;
}

/* Python's float(); false in *good when it is none. Hexadecimal is none. */
static void parse_float(const char *text, double *real, bool *good)
{
	char *end = NULL;

	*good = text && !strpbrk(text, "xXpP");
	if (!*good)
		return;
	*real = strtod(text, &end);
	*good = *end == '\0';
}

/* Python's int() of a float. */
static bool float_to_int(struct jinja_render *r, double real, int64_t *out)
{
	if (!(real > -9.2e18 && real < 9.2e18))
		return jinja_fail(r, ERR_UNSUPPORTED, "int: an integer beyond 64 bits");
	*out = (int64_t)real;
	return true;
}

/* Digits in this base, after 0x, 0o or 0b if the base has one of these. */
static bool parse_integer(struct jinja_render *r, const char *text, int base, int64_t *out,
	bool *good)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end = NULL;

	if (digits[0] == '0' && ((base == 2 && (digits[1] | 0x20) == 'b') ||
		(base == 8 && (digits[1] | 0x20) == 'o')))
		digits += 2;
	else
		digits = text;
	errno = 0;
	*out = strtoll(digits, &end, base);
	*good = *digits && *end == '\0';
	if (*good && *text == '-' && digits != text)
		*out = -*out;
	return !*good || !errno ||
		jinja_fail(r, ERR_UNSUPPORTED, "int: an integer beyond 64 bits");
}

static bool text_to_int(struct jinja_render *r, struct jinja_string s, int base, int64_t *out,
	bool *good)
{
	char *text = NULL;
	double real = 0;

	*good = false;
	if (!number_text(r, s, &text))
		return false;
	if (text && !parse_integer(r, text, base, out, good))
		return false;
	if (*good)
		return true;
	parse_float(text, &real, good);
	*good = *good && real - real == 0;   /* neither infinite nor NaN */
	return !*good || float_to_int(r, real, out);
}

static bool filter_int(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"default", "base"};
	struct jinja_value values[] = {jinja_int(0), jinja_int(10)};
	int64_t integer = 0, base;
	bool good = false;

	if (!jinja_bind(r, "int", args, names, 2, 0, values) ||
		!jinja_want_int(r, "int", &values[1], &base))
		return false;
	if (base < 2 || base > 36)
		return jinja_fail(r, ERR_INPUT, "int: a base of 2 to 36");
	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (jinja_is_integral(v)) {
		integer = jinja_integer(v);
		good = true;
	} else if (v->type == JINJA_FLOAT) {
		if (!(good = float_to_int(r, v->real, &integer)))
			return false;
	} else if (v->type == JINJA_STRING &&
		!text_to_int(r, v->string, (int)base, &integer, &good)) {
		return false;
	}
	*out = good ? jinja_int(integer) : values[0];
	return true;
}

static bool filter_float(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"default"};
	struct jinja_value otherwise = jinja_float(0);
	double real = 0;
	bool good = false;
	char *text;

	if (!jinja_bind(r, "float", args, names, 1, 0, &otherwise))
		return false;
	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (jinja_is_number(v)) {
		real = jinja_real(v);
		good = true;
	} else if (v->type == JINJA_STRING) {
		if (!number_text(r, v->string, &text))
			return false;
		parse_float(text, &real, &good);
	}
	*out = good ? jinja_float(real) : otherwise;
	return true;
}

static bool filter_abs(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (!no_arguments(r, "abs", args))
		return false;
	if (v->type == JINJA_FLOAT) {
		*out = jinja_float(v->real <= 0 ? 0 - v->real : v->real);   /* of -0 too */
		return true;
	}
	int64_t integer;

	if (!jinja_want_int(r, "abs", v, &integer))
		return false;
	if (integer == INT64_MIN)
		return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
	*out = jinja_int(integer < 0 ? -integer : integer);
	return true;
}

/* Up or down to so many digits after the point, as Python computes it. */
static double round_to(double value, int64_t digits, bool up)
{
	double scale = 1, whole;

	for (int64_t i = 0; i < digits; i++)
		scale *= 10;
	value *= scale;
	if (!(value > -9e15 && value < 9e15))   /* no fraction is left there */
		return value / scale;
	whole = (double)(int64_t)value;
	if (whole != value && (whole < value) == up)
		whole += up ? 1 : -1;
	return whole / scale;
}

static bool filter_round(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"precision", "method"};
	struct jinja_value values[] = {jinja_int(0), jinja_string(jinja_text("common"))};
	struct jinja_string method;
	int64_t precision;
	char text[400];

	if (!jinja_bind(r, "round", args, names, 2, 0, values))
		return false;
	if (values[0].type == JINJA_NONE && jinja_is_integral(v))
		values[0] = jinja_int(0);
	if (!jinja_want_int(r, "round", &values[0], &precision) ||
		!jinja_want_string(r, "round", &values[1], &method))
		return false;
	const bool common = jinja_string_equal(method, jinja_text("common"));
	const bool up = jinja_string_equal(method, jinja_text("ceil"));

	if (!common && !up && !jinja_string_equal(method, jinja_text("floor")))
		return jinja_fail(r, ERR_INPUT, "method must be common, ceil or floor");
	if (precision < 0 || precision > 15)
		return jinja_fail(r, ERR_UNSUPPORTED, "round: a precision of 0 to 15");
	if (!jinja_is_number(v))
		return v->type == JINJA_UNDEFINED ? jinja_fail_undefined(r, v)
			: jinja_fail(r, ERR_INPUT, "round: expected a number, got %s",
			jinja_type_name(v));
	if (common && jinja_is_integral(v)) {
		*out = jinja_int(jinja_integer(v));
		return true;
	}
	if (common)
		/* to even where two are as near, by the number's own binary digits */
		snprintf(text, sizeof(text), "%.*f", (int)precision, v->real);
	*out = jinja_float(common ? strtod(text, NULL) : round_to(jinja_real(v), precision, up));
	return true;
}

/* ---- any value ------------------------------------------------------------------------------- */

static bool filter_default(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"default_value", "boolean"};
	struct jinja_value values[] = {jinja_string(jinja_text("")), jinja_bool(false)};

	if (!jinja_bind(r, "default", args, names, 2, 0, values))
		return false;
	const bool missing =
		v->type == JINJA_UNDEFINED || (jinja_truth(&values[1]) && !jinja_truth(v));
	*out = missing ? values[0] : *v;
	return true;
}

static bool filter_length(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	size_t length;

	if (!no_arguments(r, "length", args) || !jinja_length(r, v, &length))
		return false;
	*out = jinja_int((int64_t)length);
	return true;
}

static bool filter_items(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (v->type == JINJA_UNDEFINED)
		return no_arguments(r, "items", args) && jinja_iterate(r, NULL, 0, out);
	if (v->type != JINJA_DICT)
		return jinja_fail(r, ERR_INPUT, "Can only get item pairs from a mapping.");
	return jinja_method_find(JINJA_DICT, "items", strlen("items"))->call(r, v, args, out) &&
		jinja_iterate(r, out->list.items, out->list.count, out);
}

const struct jinja_filter *jinja_filter_find(const char *name, size_t size)
{
	static const struct jinja_filter filters[] = {{"tojson", filter_tojson},
		{"string", filter_string}, {"safe", filter_safe}, {"trim", filter_trim},
		{"upper", filter_upper}, {"lower", filter_lower}, {"title", filter_title},
		{"capitalize", filter_capitalize}, {"replace", filter_replace},
		{"escape", filter_escape}, {"e", filter_escape}, {"forceescape", filter_forceescape},
		{"int", filter_int}, {"float", filter_float}, {"abs", filter_abs},
		{"round", filter_round}, {"default", filter_default}, {"d", filter_default},
		{"length", filter_length}, {"count", filter_length}, {"items", filter_items}};

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (jinja_name_is(name, size, filters[i].name))
			return &filters[i];
	for (const struct jinja_filter *f = JINJA_LIST_FILTERS; f->name; f++)
		if (jinja_name_is(name, size, f->name))
			return f;
	for (const struct jinja_filter *f = JINJA_TEXT_FILTERS; f->name; f++)
		if (jinja_name_is(name, size, f->name))
			return f;
	return NULL;
}
