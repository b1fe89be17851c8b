/* model/template/jinja_methods_str.c - the methods of Python's str. Markup gives markup, and
 * escapes what it is given. */
#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define BY_PLACE  ""     /* a parameter that has no name for the caller */
#define WIDTH_MAX 65536  /* that a text is filled up to */

/* A method without arguments. */
static bool no_arguments(struct jinja_render *r, const char *callee, const struct jinja_args *args)
{
	return jinja_bind(r, callee, args, NULL, 0, 0, NULL);
}

/* ---- beginnings, ends and places ------------------------------------------------------------- */

/* What text is looked for, and in which part of the string. */
struct search {
	struct jinja_value wanted;
	size_t begin, end;      /* bytes */
	bool possible;          /* begin is not behind the string */
};

/* Bounds in characters, negative from the end, none where it is left out. */
static bool bound(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	int64_t otherwise, int64_t length, int64_t *out)
{
	*out = otherwise;
	if (v->type == JINJA_NONE)
		return true;
	if (!jinja_want_int(r, callee, v, out))
		return false;
	if (*out < 0)
		*out = *out < -length ? 0 : *out + length;
	return true;
}

static bool search_bind(struct jinja_render *r, const char *callee, struct jinja_string s,
	const struct jinja_args *args, struct search *out)
{
	static const char *const names[] = {BY_PLACE, BY_PLACE, BY_PLACE};
	struct jinja_value values[] = {jinja_none(), jinja_none(), jinja_none()};
	int64_t length, begin, end;

	if (!jinja_bind(r, callee, args, names, 3, 1, values) || !jinja_charge_bytes(r, s.size))
		return false;
	length = (int64_t)unicode_length(s.bytes, s.size);
	if (!bound(r, callee, &values[1], 0, length, &begin) ||
		!bound(r, callee, &values[2], length, length, &end))
		return false;
	end = end > length ? length : end;
	*out = (struct search){.wanted = values[0], .possible = begin <= end,
		.begin = jinja_character_offset(s, (size_t)begin),
		.end = jinja_character_offset(s, (size_t)end)};
	return true;
}

/* The part that is searched, and the one text that is looked for in it. */
static bool search_text(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, struct search *where, struct jinja_string *part,
	struct jinja_string *wanted)
{
	if (!search_bind(r, callee, self->string, args, where) ||
		!jinja_want_string(r, callee, &where->wanted, wanted))
		return false;
	*part = where->possible ? jinja_cut(self->string, where->begin, where->end)
		: jinja_text("");
	return true;
}

/* One text, or a tuple of which one must do. */
static bool any_affix(struct jinja_render *r, const char *callee, struct jinja_string s,
	const struct jinja_args *args, bool at_end, bool *matches)
{
	struct search where;
	struct jinja_value list;

	*matches = false;
	if (!search_bind(r, callee, s, args, &where))
		return false;
	list = where.wanted.type == JINJA_TUPLE ? where.wanted : jinja_tuple_of(&where.wanted, 1);
	if (where.possible)
		s = jinja_cut(s, where.begin, where.end);
	for (size_t i = 0; i < list.list.count && !*matches; i++) {
		const struct jinja_value v = jinja_at(&list, i);
		struct jinja_string text;

		if (!jinja_charge(r, 1) || !jinja_want_string(r, callee, &v, &text))
			return false;
		*matches = where.possible && text.size <= s.size && jinja_string_equal(text,
			at_end ? jinja_cut(s, s.size - text.size, s.size)
			: jinja_cut(s, 0, text.size));
	}
	return true;
}

static bool str_startswith(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	bool matches;

	if (!any_affix(r, "startswith", self->string, args, false, &matches))
		return false;
	*out = jinja_bool(matches);
	return true;
}

static bool str_endswith(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	bool matches;

	if (!any_affix(r, "endswith", self->string, args, true, &matches))
		return false;
	*out = jinja_bool(matches);
	return true;
}

static bool remove_affix(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool at_end, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE};
	const size_t all = self->string.size;
	struct jinja_value affix;
	struct jinja_string s;

	*out = *self;
	if (!jinja_bind(r, callee, args, names, 1, 1, &affix) ||
		!jinja_want_string(r, callee, &affix, &s))
		return false;
	if (s.size > all)
		return true;
	const size_t begin = at_end ? all - s.size : 0;

	if (jinja_string_equal(s, jinja_cut(self->string, begin, begin + s.size)))
		out->string = at_end ? jinja_cut(self->string, 0, begin)
			: jinja_cut(self->string, s.size, all);
	return true;
}

/* find, rfind, index, rindex: the place as Python counts it, in characters. */
static bool find(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool last, bool must, struct jinja_value *out)
{
	struct jinja_string part, wanted;
	struct search where;
	size_t found;

	if (!search_text(r, callee, self, args, &where, &part, &wanted))
		return false;
	if (last && wanted.size > JINJA_NEEDLE_BYTES_MAX)
		return jinja_fail(r, ERR_UNSUPPORTED, "%s: a text of more than %d bytes", callee,
			JINJA_NEEDLE_BYTES_MAX);
	if (last && !jinja_charge(r, part.size / 16 * (wanted.size / 16 + 1)))
		return false;
	found = last ? jinja_string_find_last(part, wanted) : jinja_string_find(part, 0, wanted);
	if (!where.possible)
		found = SIZE_MAX;
	if (found == SIZE_MAX && must)
		return jinja_fail(r, ERR_INPUT, "substring not found");
	*out = jinja_int(found == SIZE_MAX ? -1
		: (int64_t)unicode_length(self->string.bytes, where.begin + found));
	return true;
}

static bool str_find(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return find(r, "find", self, args, false, false, out);
}

static bool str_rfind(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return find(r, "rfind", self, args, true, false, out);
}

static bool str_index(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return find(r, "index", self, args, false, true, out);
}

static bool str_rindex(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return find(r, "rindex", self, args, true, true, out);
}

static bool str_count(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string part, wanted;
	struct search where;
	int64_t count = 0;

	if (!search_text(r, "count", self, args, &where, &part, &wanted))
		return false;
	if (wanted.size == 0)
		count = where.possible ? (int64_t)unicode_length(part.bytes, part.size) + 1 : 0;
	else
		for (size_t at = 0; (at = jinja_string_find(part, at, wanted)) != SIZE_MAX;
			at += wanted.size)
			count++;
	*out = jinja_int(count);
	return true;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static bool str_removeprefix(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return remove_affix(r, "removeprefix", self, args, false, out);
}

static bool str_removesuffix(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return remove_affix(r, "removesuffix", self, args, true, out);
}

static bool strip(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool left, bool right, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE};
	struct jinja_value chars = jinja_none();
	struct jinja_string text;

	if (!jinja_bind(r, callee, args, names, 1, 0, &chars) ||
		!jinja_charge_bytes(r, self->string.size))
		return false;
	if (chars.type == JINJA_NONE) {
		*out = jinja_string(jinja_strip(self->string, NULL, left, right));
		return true;
	}
	if (!jinja_want_string(r, callee, &chars, &text) ||
		!jinja_charge_strip(r, self->string, text))
		return false;
	*out = jinja_string(jinja_strip(self->string, &text, left, right));
	return true;
}

static bool str_strip(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return strip(r, "strip", self, args, true, true, out);
}

static bool str_lstrip(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return strip(r, "lstrip", self, args, true, false, out);
}

static bool str_rstrip(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return strip(r, "rstrip", self, args, false, true, out);
}

static bool split(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool from_right, struct jinja_value *out)
{
	static const char *const names[] = {"sep", "maxsplit"};
	struct jinja_value values[] = {jinja_none(), jinja_int(-1)};
	struct jinja_string separator;
	int64_t count_max;

	if (!jinja_bind(r, callee, args, names, 2, 0, values) ||
		!jinja_want_int(r, callee, &values[1], &count_max))
		return false;
	if (values[0].type == JINJA_NONE)
		return jinja_split(r, self->string, NULL, count_max, from_right, out);
	return jinja_want_string(r, callee, &values[0], &separator) &&
		jinja_split(r, self->string, &separator, count_max, from_right, out);
}

static bool str_split(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return split(r, "split", self, args, false, out);
}

static bool str_rsplit(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return split(r, "rsplit", self, args, true, out);
}

static bool recase(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, enum jinja_case to, struct jinja_value *out)
{
	*out = *self;
	return no_arguments(r, callee, args) && jinja_recase(r, self->string, to, &out->string);
}

static bool str_upper(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "upper", self, args, JINJA_UPPER, out);
}

static bool str_lower(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "lower", self, args, JINJA_LOWER, out);
}

static bool str_title(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "title", self, args, JINJA_TITLE, out);
}

static bool str_swapcase(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "swapcase", self, args, JINJA_SWAP, out);
}

static bool str_capitalize(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "capitalize", self, args, JINJA_CAPITALIZE, out);
}

static bool str_replace(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE, BY_PLACE, "count"};
	struct jinja_value values[] = {jinja_none(), jinja_none(), jinja_int(-1)};
	struct jinja_string old, new;
	int64_t count;

	*out = *self;
	if (!jinja_bind(r, "replace", args, names, 3, 2, values) ||
		!jinja_want_string(r, "replace", &values[0], &old) ||
		!jinja_want_string(r, "replace", &values[1], &new) ||
		!jinja_want_int(r, "replace", &values[2], &count) ||
		(self->string.markup && !jinja_escape(r, new, &new)) ||
		!jinja_replace(r, self->string, old, new, count, &out->string))
		return false;
	out->string.markup = self->string.markup;
	return true;
}

static bool str_join(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE};
	struct jinja_builder b = {0};
	struct jinja_value value, list;
	struct jinja_string text;

	if (!jinja_bind(r, "join", args, names, 1, 1, &value) || !jinja_to_list(r, &value, &list))
		return false;
	for (size_t i = 0; i < list.list.count; i++) {
		const struct jinja_value item = jinja_at(&list, i);

		if ((i > 0 && !jinja_builder_add(r, &b, self->string)) ||
			!(self->string.markup ? jinja_to_string(r, &item, &text) &&
				jinja_escape(r, text, &text)
				: jinja_want_string(r, "join", &item, &text)) ||
			!jinja_charge(r, 1) ||
			!jinja_builder_add(r, &b, text))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &text))
		return false;
	text.markup = self->string.markup;
	*out = jinja_string(text);
	return true;
}

/* The text before the separator, it, and what is after it; where there is none, all and nothing. */
static bool partition(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool last, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE};
	const struct jinja_string s = self->string;
	struct jinja_value separator, *parts = jinja_array(r, 3, sizeof(*parts));
	struct jinja_string wanted;
	size_t found;

	if (!parts || !jinja_bind(r, callee, args, names, 1, 1, &separator) ||
		!jinja_want_string(r, callee, &separator, &wanted) ||
		!jinja_charge_bytes(r, s.size))
		return false;
	if (wanted.size == 0 || (last && wanted.size > JINJA_NEEDLE_BYTES_MAX))
		return jinja_fail(r, wanted.size ? ERR_UNSUPPORTED : ERR_INPUT,
			wanted.size ? "rpartition: a long separator" : "empty separator");
	if (last && !jinja_charge(r, s.size / 16 * (wanted.size / 16 + 1)))
		return false;
	found = last ? jinja_string_find_last(s, wanted) : jinja_string_find(s, 0, wanted);
	const size_t begin = found != SIZE_MAX ? found : last ? 0 : s.size;
	const size_t end = found != SIZE_MAX ? found + wanted.size : begin;

	parts[0] = jinja_string(jinja_cut(s, 0, begin));
	parts[1] = jinja_string(jinja_cut(s, begin, end));
	parts[2] = jinja_string(jinja_cut(s, end, s.size));
	*out = jinja_tuple_of(parts, 3);
	return true;
}

static bool str_partition(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return partition(r, "partition", self, args, false, out);
}

static bool str_rpartition(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return partition(r, "rpartition", self, args, true, out);
}

static bool str_splitlines(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"keepends"};
	struct jinja_value keep = jinja_bool(false);

	return jinja_bind(r, "splitlines", args, names, 1, 0, &keep) &&
		jinja_splitlines(r, self->string, jinja_truth(&keep), out);
}

/* ---- filled up ------------------------------------------------------------------------------- */

static bool fill(struct jinja_render *r, struct jinja_builder *b, struct jinja_string character,
	size_t count)
{
	while (count-- > 0)
		if (!jinja_builder_add(r, b, character))
			return false;
	return true;
}

/* Where the odd blank goes is Python's secret: to the left of what is odd in an odd width. */
static size_t before_center(size_t missing, size_t width)
{
	return missing / 2 + (missing & width & 1);
}

/* align: < > ^ */
static bool justify(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, char align, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE, BY_PLACE};
	struct jinja_value values[] = {jinja_none(), jinja_string(jinja_text(" "))};
	const size_t length = unicode_length(self->string.bytes, self->string.size);
	struct jinja_builder b = {0};
	struct jinja_string character, s;
	int64_t width;

	*out = *self;
	if (!jinja_bind(r, callee, args, names, 2, 1, values) ||
		!jinja_want_int(r, callee, &values[0], &width) ||
		!jinja_want_string(r, callee, &values[1], &character) ||
		!jinja_charge_bytes(r, self->string.size) ||
		(self->string.markup && !jinja_escape(r, character, &character)))
		return false;
	if (unicode_length(character.bytes, character.size) != 1)
		return jinja_fail(r, ERR_INPUT,
			"The fill character must be exactly one character long");
	if (width <= (int64_t)length)
		return true;
	if (width > WIDTH_MAX)
		return jinja_fail(r, ERR_LIMIT, "%s: a width of more than %d", callee, WIDTH_MAX);
	const size_t missing = (size_t)width - length;
	const size_t before = align == '>' ? missing
		: align == '^' ? before_center(missing, (size_t)width) : 0;

	if (!fill(r, &b, character, before) || !jinja_builder_add(r, &b, self->string) ||
		!fill(r, &b, character, missing - before) || !jinja_builder_finish(r, &b, &s))
		return false;
	s.markup = self->string.markup;
	*out = jinja_string(s);
	return true;
}

static bool str_ljust(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return justify(r, "ljust", self, args, '<', out);
}

static bool str_rjust(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return justify(r, "rjust", self, args, '>', out);
}

static bool str_center(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return justify(r, "center", self, args, '^', out);
}

/* Zeros after the sign. */
static bool str_zfill(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {BY_PLACE};
	const struct jinja_string s = self->string;
	const size_t length = unicode_length(s.bytes, s.size);
	const size_t sign = s.size > 0 && (s.bytes[0] == '-' || s.bytes[0] == '+');
	const struct jinja_string zero = {.bytes = "0", .size = 1};
	struct jinja_builder b = {0};
	struct jinja_value value;
	int64_t width;

	if (!jinja_bind(r, "zfill", args, names, 1, 1, &value) ||
		!jinja_want_int(r, "zfill", &value, &width) || !jinja_charge_bytes(r, s.size))
		return false;
	if (width > WIDTH_MAX)
		return jinja_fail(r, ERR_LIMIT, "zfill: a width of more than %d", WIDTH_MAX);
	*out = *self;
	if (width <= (int64_t)length)
		return true;
	if (!jinja_builder_add(r, &b, jinja_cut(s, 0, sign)) ||
		!fill(r, &b, zero, (size_t)width - length) ||
		!jinja_builder_add(r, &b, jinja_cut(s, sign, s.size)) ||
		!jinja_builder_finish(r, &b, &out->string))
		return false;
	out->string.markup = s.markup;
	return true;
}

/* ---- what characters are --------------------------------------------------------------------- */

/* Whether there is a character and all are such. */
static bool all_are(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, bool (*such)(uint32_t c), struct jinja_value *out)
{
	const struct jinja_string s = self->string;
	bool all = s.size > 0;

	for (size_t at = 0; at < s.size && all;) {
		uint32_t c;

		at += unicode_decode(s.bytes + at, s.size - at, &c);
		all = such(c);
	}
	*out = jinja_bool(all);
	return no_arguments(r, callee, args) && jinja_charge_bytes(r, s.size);
}

static bool is_letter(uint32_t c)
{
	return unicode_class_of(c) == UNICODE_LETTER;
}

static bool is_letter_or_number(uint32_t c)
{
	return is_letter(c) || unicode_class_of(c) == UNICODE_NUMBER;
}

static bool is_ascii(uint32_t c)
{
	return c < 0x80;
}

static bool str_isdigit(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return all_are(r, "isdigit", self, args, unicode_is_python_digit, out);
}

static bool str_isdecimal(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return all_are(r, "isdecimal", self, args, unicode_is_decimal, out);
}

static bool str_isalpha(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return all_are(r, "isalpha", self, args, is_letter, out);
}

static bool str_isalnum(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return all_are(r, "isalnum", self, args, is_letter_or_number, out);
}

static bool str_isspace(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return all_are(r, "isspace", self, args, unicode_is_python_space, out);
}

/* Of nothing these two say yes. */
static bool str_isascii(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (!all_are(r, "isascii", self, args, is_ascii, out))
		return false;
	out->boolean = out->boolean || self->string.size == 0;
	return true;
}

static bool str_isprintable(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (!all_are(r, "isprintable", self, args, unicode_is_printable, out))
		return false;
	out->boolean = out->boolean || self->string.size == 0;
	return true;
}

static bool is_cased(struct jinja_render *r, const char *test, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	*out = jinja_bool(false);
	return jinja_test_find(test, strlen(test))->call(r, self, args, &out->boolean);
}

static bool str_isupper(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return is_cased(r, "upper", self, args, out);
}

static bool str_islower(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return is_cased(r, "lower", self, args, out);
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool str_format(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return jinja_format_fields(r, self->string, args, out);
}

const struct jinja_method_entry JINJA_STR_METHODS[] = {
	{JINJA_STRING, "startswith", str_startswith}, {JINJA_STRING, "endswith", str_endswith},
	{JINJA_STRING, "removeprefix", str_removeprefix},
	{JINJA_STRING, "removesuffix", str_removesuffix}, {JINJA_STRING, "strip", str_strip},
	{JINJA_STRING, "lstrip", str_lstrip}, {JINJA_STRING, "rstrip", str_rstrip},
	{JINJA_STRING, "split", str_split}, {JINJA_STRING, "rsplit", str_rsplit},
	{JINJA_STRING, "splitlines", str_splitlines}, {JINJA_STRING, "partition", str_partition},
	{JINJA_STRING, "rpartition", str_rpartition}, {JINJA_STRING, "upper", str_upper},
	{JINJA_STRING, "lower", str_lower}, {JINJA_STRING, "title", str_title},
	{JINJA_STRING, "capitalize", str_capitalize}, {JINJA_STRING, "swapcase", str_swapcase},
	{JINJA_STRING, "replace", str_replace}, {JINJA_STRING, "find", str_find},
	{JINJA_STRING, "rfind", str_rfind}, {JINJA_STRING, "index", str_index},
	{JINJA_STRING, "rindex", str_rindex}, {JINJA_STRING, "count", str_count},
	{JINJA_STRING, "join", str_join}, {JINJA_STRING, "format", str_format},
	{JINJA_STRING, "ljust", str_ljust}, {JINJA_STRING, "rjust", str_rjust},
	{JINJA_STRING, "center", str_center}, {JINJA_STRING, "zfill", str_zfill},
	{JINJA_STRING, "isdigit", str_isdigit}, {JINJA_STRING, "isdecimal", str_isdecimal},
	{JINJA_STRING, "isalpha", str_isalpha}, {JINJA_STRING, "isalnum", str_isalnum},
	{JINJA_STRING, "isspace", str_isspace}, {JINJA_STRING, "isascii", str_isascii},
	{JINJA_STRING, "isprintable", str_isprintable}, {JINJA_STRING, "isupper", str_isupper},
	{JINJA_STRING, "islower", str_islower}, {JINJA_UNDEFINED, NULL, NULL}};
