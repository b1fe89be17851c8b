/* model/template/jinja_filters_text.c - filters that lay text out, cut it, count or encode it. */
#include <string.h>

#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define INDENT_MAX 256

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

/* Lines after the first are indented, empty ones only if blank says so. */
static bool filter_indent(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"width", "first", "blank"};
	struct jinja_value values[] = {jinja_int(4), jinja_bool(false), jinja_bool(false)};
	const struct jinja_string newline = jinja_text("\n");
	struct jinja_builder whole = {0}, b = {0};
	struct jinja_string s, indent;
	struct jinja_value lines;

	if (!jinja_bind(r, "indent", args, names, 3, 0, values) ||
		!jinja_want_string(r, "indent", v, &s) ||
		!indent_text(r, &values[0], &indent) ||
		/* a newline more: the last line has no end of its own */
		!jinja_builder_add(r, &whole, s) || !jinja_builder_add(r, &whole, newline) ||
		!jinja_builder_finish(r, &whole, &s) ||
		!jinja_splitlines(r, s, false, &lines))
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
	s.markup = v->string.markup;
	*out = jinja_string(s);
	return true;
}

static bool filter_center(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"width"};
	struct jinja_value width = jinja_int(80), text;
	const struct jinja_args to_center = {.values = &width, .count = 1};

	text.type = JINJA_STRING;
	return jinja_bind(r, "center", args, names, 1, 0, &width) &&
		jinja_to_string(r, v, &text.string) &&
		jinja_method_find(JINJA_STRING, "center", strlen("center"))
			->call(r, &text, &to_center, out);
}

/* "%s of %s"|format(1, 2) */
static bool filter_format(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_dict *dict = jinja_array(r, 1, sizeof(*dict));
	struct jinja_value values = jinja_tuple_of(args->values, args->count);
	struct jinja_string s;

	if (!dict || !jinja_to_string(r, v, &s))
		return false;
	if (args->count > 0 && args->named_count > 0)
		return jinja_fail(r, ERR_INPUT,
			"can't handle positional and keyword arguments at the same time");
	for (size_t i = 0; i < args->named_count; i++) {
		const struct jinja_value key = jinja_string((struct jinja_string){
			.bytes = args->named[i].name, .size = args->named[i].size});

		if (!jinja_dict_put(r, dict, &key, &args->named[i].value))
			return false;
	}
	if (dict->count > 0)
		values = (struct jinja_value){.type = JINJA_DICT, .dict = {.own = dict}};
	return jinja_format_percent(r, s, &values, out);
}

/* Runs of letters, numbers and underscores. */
static bool filter_wordcount(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string s;
	int64_t count = 0;
	bool inside = false;

	if (!jinja_bind(r, "wordcount", args, NULL, 0, 0, NULL) || !jinja_to_string(r, v, &s) ||
		!jinja_charge(r, s.size / 16))
		return false;
	for (size_t at = 0; at < s.size;) {
		uint32_t c;

		at += unicode_decode(s.bytes + at, s.size - at, &c);
		const enum unicode_class class = unicode_class_of(c);
		const bool word = class == UNICODE_LETTER || class == UNICODE_NUMBER || c == '_';

		count += word && !inside;
		inside = word;
	}
	*out = jinja_int(count);
	return true;
}

/* Its first characters, without the last word that may be a part, and the end. */
static bool truncated(struct jinja_render *r, struct jinja_string s, int64_t characters,
	bool kill_words, struct jinja_string end, struct jinja_value *out)
{
	const struct jinja_string blank = jinja_text(" ");
	struct jinja_builder b = {0};
	size_t at = 0;
	uint32_t ignored;

	while (characters-- > 0 && at < s.size)
		at += unicode_decode(s.bytes + at, s.size - at, &ignored);
	struct jinja_string kept = jinja_cut(s, 0, at);
	const size_t word = kill_words ? SIZE_MAX : jinja_string_find_last(kept, blank);

	if (word != SIZE_MAX)
		kept = jinja_cut(kept, 0, word);
	if ((s.markup && !jinja_escape(r, end, &end)) || !jinja_builder_add(r, &b, kept) ||
		!jinja_builder_add(r, &b, end) || !jinja_builder_finish(r, &b, &out->string))
		return false;
	out->string.markup = s.markup;
	return true;
}

static bool filter_truncate(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"length", "killwords", "end", "leeway"};
	struct jinja_value values[] = {jinja_int(255), jinja_bool(false),
		jinja_string(jinja_text("...")), jinja_none()};
	int64_t length, leeway = 5, all, ends;
	struct jinja_string s, end;
	size_t count;

	if (!jinja_bind(r, "truncate", args, names, 4, 0, values) ||
		!jinja_want_int(r, "truncate", &values[0], &length) ||
		!jinja_want_string(r, "truncate", &values[2], &end) ||
		!jinja_charge_bytes(r, end.size) ||
		(values[3].type != JINJA_NONE &&
			!jinja_want_int(r, "truncate", &values[3], &leeway)) ||
		!jinja_length(r, v, &count))
		return false;
	ends = (int64_t)unicode_length(end.bytes, end.size);
	all = (int64_t)count;
	if (length < ends || leeway < 0)
		return jinja_fail(r, ERR_INPUT, "truncate: a length of at least %lld, no leeway "
			"below 0", (long long)ends);
	*out = *v;
	if (all <= leeway || all - leeway <= length)
		return true;   /* whatever it is */
	return jinja_want_string(r, "truncate", v, &s) && truncated(r, s, length - ends, jinja_truth(&values[1]), end, out);
}

/* ---- URLs ------------------------------------------------------------------------------------ */

/* Percent signs for all but letters, digits and _.-~, and a slash where it is no value. */
static bool quote(struct jinja_render *r, const struct jinja_value *v, bool is_value,
	struct jinja_builder *b)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		"_.-~";
	struct jinja_string s;
	char *text;
	size_t written = 0;

	if (!jinja_to_string(r, v, &s) || !jinja_charge(r, s.size / 4 + 1))
		return false;
	text = jinja_array(r, s.size * 3, 1);
	if (!text)
		return false;
	for (size_t i = 0; i < s.size; i++) {
		const unsigned char c = (unsigned char)s.bytes[i];

		if (c && (strchr(plain, c) || (c == '/' && !is_value))) {
			text[written++] = (char)c;
		} else if (c == ' ' && is_value) {
			text[written++] = '+';
		} else {
			text[written++] = '%';
			text[written++] = hex[c >> 4];
			text[written++] = hex[c & 15];
		}
	}
	return jinja_builder_add(r, b, (struct jinja_string){.bytes = text, .size = written});
}

/* A text is quoted; pairs, or a dict, become key=value&key=value. */
static bool filter_urlencode(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	const struct jinja_args none = {0};
	struct jinja_value list = *v, pair;
	const struct jinja_string and = {.bytes = "&", .size = 1}, is = {.bytes = "=", .size = 1};
	struct jinja_builder b = {0};
	struct jinja_string s;

	if (!jinja_bind(r, "urlencode", args, NULL, 0, 0, NULL))
		return false;
	if (v->type == JINJA_DICT && !jinja_method_find(JINJA_DICT, "items", strlen("items"))
		->call(r, v, &none, &list))
		return false;
	if (!jinja_has_items(&list) && !quote(r, v, false, &b))
		return false;
	if (jinja_has_items(&list) && !jinja_to_list(r, &list, &list))
		return false;
	for (size_t i = 0; list.type == JINJA_LIST && i < list.list.count; i++) {
		pair = jinja_at(&list, i);
		if (!jinja_to_list(r, &pair, &pair))
			return false;
		if (pair.list.count != 2)
			return jinja_fail(r, ERR_INPUT, "urlencode: a pair is needed");
		const struct jinja_value key = jinja_at(&pair, 0), value = jinja_at(&pair, 1);

		if ((i > 0 && !jinja_builder_add(r, &b, and)) ||
			!quote(r, &key, true, &b) || !jinja_builder_add(r, &b, is) ||
			!quote(r, &value, true, &b))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

const struct jinja_filter JINJA_TEXT_FILTERS[] = {{"indent", filter_indent},
	{"center", filter_center}, {"format", filter_format}, {"wordcount", filter_wordcount},
	{"truncate", filter_truncate}, {"urlencode", filter_urlencode}, {NULL, NULL}};
