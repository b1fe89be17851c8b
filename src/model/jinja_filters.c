/* model/jinja_filters.c - filters on one value: text, numbers, JSON. Those on lists
 * are in jinja_filters_list.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/jinja_call.h"
#include "model/jinja_text.h"
#include "model/unicode.h"

#define INDENT_MAX 256

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
		!jinja_charge(r, s.size / 256 * set.size)))
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
	return recase(r, "title", v, args, JINJA_TITLE_WORDS, out);
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

static bool filter_escape(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const struct {
		const char *plain, *escaped;
	} escapes[] = {
		{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
	struct jinja_string s;

	if (!no_arguments(r, "escape", args) || !jinja_to_string(r, v, &s))
		return false;
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
		if (!jinja_replace(r, s, jinja_text(escapes[i].plain),
			    jinja_text(escapes[i].escaped), -1, &s))
			return false;
	*out = jinja_string(s);
	return true;
}

/* width as text: so many spaces, or itself if it is text. */
static bool indent_text(struct jinja_render *r, const struct jinja_value *width,
	struct jinja_string *out)
{
	int64_t count;
	char *text;

	if (width->type == JINJA_STRING) {
		*out = width->string;
		return true;
	}
	if (!jinja_want_int(r, "indent", width, &count))
		return false;
	if (count < 0 || count > INDENT_MAX)
		return jinja_fail(r, ERR_LIMIT, "indent: a width of 0 to %d", INDENT_MAX);
	text = jinja_array(r, (size_t)count, 1);
	if (!text)
		return false;
	memset(text, ' ', (size_t)count);
	*out = (struct jinja_string){.bytes = text, .size = (size_t)count, .trusted = true};
	return true;
}

static bool filter_indent(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"width", "first", "blank"};
	struct jinja_value values[] = {jinja_int(4), jinja_bool(false), jinja_bool(false)};
	const struct jinja_string newline = jinja_text("\n");
	struct jinja_builder b = {0};
	struct jinja_string s, indent;
	struct jinja_value lines;

	if (!jinja_bind(r, "indent", args, names, 3, 0, values) ||
		!jinja_want_string(r, "indent", v, &s) ||
		!indent_text(r, &values[0], &indent) ||
		!jinja_split(r, s, &newline, -1, false, &lines))
		return false;
	for (size_t i = 0; i < lines.list.count; i++) {
		const struct jinja_string line = jinja_at(&lines, i).string;
		const bool indented =
			i == 0 ? jinja_truth(&values[1]) : line.size > 0 || jinja_truth(&values[2]);

		if ((i > 0 && !jinja_builder_add(r, &b, newline)) ||
			(indented && !jinja_builder_add(r, &b, indent)) ||
			!jinja_builder_add(r, &b, line))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &s))
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

static bool float_to_int(double real, int64_t *out)
{
	if (!(real > -9.2e18 && real < 9.2e18))
		return false;
	*out = (int64_t)real;
	return true;
}

static bool filter_int(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"default"};
	struct jinja_value otherwise = jinja_int(0);
	int64_t integer = 0;
	bool good = false;
	char *text = NULL, *end = NULL;
	double real = 0;

	if (!jinja_bind(r, "int", args, names, 1, 0, &otherwise))
		return false;
	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (jinja_is_integral(v)) {
		integer = jinja_integer(v);
		good = true;
	} else if (v->type == JINJA_FLOAT) {
		good = float_to_int(v->real, &integer);
	} else if (v->type == JINJA_STRING) {
		if (!number_text(r, v->string, &text))
			return false;
		errno = 0;
		integer = text ? strtoll(text, &end, 10) : 0;
		good = text && *end == '\0' && errno == 0;
		if (!good) {
			parse_float(text, &real, &good);
			good = good && float_to_int(real, &integer);
		}
	}
	*out = good ? jinja_int(integer) : otherwise;
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
		*out = jinja_float(v->real < 0 ? -v->real : v->real);
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

/* Only method 'common': to even where two are as near, on the number's decimal digits. */
static bool filter_round(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"precision", "method"};
	struct jinja_value values[] = {jinja_int(0), jinja_none()};
	int64_t precision;
	char text[400];

	if (!jinja_bind(r, "round", args, names, 2, 0, values) ||
		!jinja_want_int(r, "round", &values[0], &precision))
		return false;
	if (precision < 0 || precision > 30 || (values[1].type == JINJA_STRING &&
		!jinja_name_is(values[1].string.bytes, values[1].string.size, "common")))
		return jinja_fail(
			r, ERR_UNSUPPORTED, "round: a precision of 0 to 30, method 'common'");
	if (jinja_is_integral(v)) {
		*out = jinja_int(jinja_integer(v));
		return true;
	}
	if (v->type != JINJA_FLOAT)
		return jinja_fail(
			r, ERR_INPUT, "round: expected a number, got %s", jinja_type_name(v));
	snprintf(text, sizeof(text), "%.*f", (int)precision, v->real);
	*out = jinja_float(strtod(text, NULL));
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
	*out = jinja_list_of(NULL, 0);
	if (v->type == JINJA_UNDEFINED)
		return no_arguments(r, "items", args);
	if (v->type != JINJA_DICT)
		return jinja_fail(r, ERR_INPUT, "Can only get item pairs from a mapping.");
	return jinja_method_find(JINJA_DICT, "items", strlen("items"))->call(r, v, args, out);
}

const struct jinja_filter *jinja_filter_find(const char *name, size_t size)
{
	static const struct jinja_filter filters[] = {{"tojson", filter_tojson},
		{"string", filter_string}, {"safe", filter_string}, {"trim", filter_trim},
		{"upper", filter_upper}, {"lower", filter_lower}, {"title", filter_title},
		{"capitalize", filter_capitalize}, {"replace", filter_replace},
		{"escape", filter_escape}, {"e", filter_escape}, {"indent", filter_indent},
		{"int", filter_int}, {"float", filter_float}, {"abs", filter_abs},
		{"round", filter_round}, {"default", filter_default}, {"d", filter_default},
		{"length", filter_length}, {"count", filter_length}, {"items", filter_items}};

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (jinja_name_is(name, size, filters[i].name))
			return &filters[i];
	for (const struct jinja_filter *f = JINJA_LIST_FILTERS; f->name; f++)
		if (jinja_name_is(name, size, f->name))
			return f;
	return NULL;
}
