/* model/jinja_methods.c - the methods of Python's str, dict and list that change nothing. */
#include "model/jinja_call.h"
#include "model/jinja_text.h"
#include "model/unicode.h"

/* A method without arguments. */
static bool no_arguments(struct jinja_render *r, const char *callee, const struct jinja_args *args)
{
	return jinja_bind(r, callee, args, NULL, 0, 0, NULL);
}

/* Whose texts are more than one way apart: a string, or a tuple of strings of which one must do. */
static bool any_affix(struct jinja_render *r, const char *callee, struct jinja_string s,
	const struct jinja_args *args, bool at_end, bool *matches)
{
	static const char *const names[] = {"affix"};
	struct jinja_value affix, one;
	struct jinja_value list;

	*matches = false;
	if (!jinja_bind(r, callee, args, names, 1, 1, &affix))
		return false;
	one = affix;
	list = affix.type == JINJA_TUPLE ? affix : jinja_tuple_of(&one, 1);
	for (size_t i = 0; i < list.list.count && !*matches; i++) {
		const struct jinja_value v = jinja_at(&list, i);
		struct jinja_string text;

		if (!jinja_charge(r, 1) || !jinja_want_string(r, callee, &v, &text))
			return false;
		*matches =
			text.size <= s.size &&
			jinja_string_equal(text, at_end ? jinja_cut(s, s.size - text.size, s.size)
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
	bool matches;

	*out = *self;
	if (args->count == 1 && args->values[0].type != JINJA_STRING)
		return jinja_fail(r, ERR_INPUT, "%s: expected a str", callee);
	if (!any_affix(r, callee, self->string, args, at_end, &matches))
		return false;
	if (!matches || args->count == 0)
		return true;
	const size_t size = args->values[0].string.size, all = self->string.size;
	out->string = at_end ? jinja_cut(self->string, 0, all - size)
			     : jinja_cut(self->string, size, all);
	return true;
}

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
	static const char *const names[] = {"chars"};
	struct jinja_value chars = jinja_none();
	struct jinja_string text;

	if (!jinja_bind(r, callee, args, names, 1, 0, &chars) ||
		!jinja_charge_bytes(r, self->string.size))
		return false;
	if (chars.type == JINJA_NONE) {
		*out = jinja_string(jinja_strip(self->string, NULL, left, right));
		return true;
	}
	/* each character is compared with each of chars */
	if (!jinja_want_string(r, callee, &chars, &text) ||
		!jinja_charge(r, self->string.size / 256 * text.size))
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

/* At \n only: \r and the rarer line ends stay in their lines. A newline at the end begins no line.
 */
static bool str_splitlines(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	const struct jinja_string newline = jinja_text("\n");
	struct jinja_string s = self->string;

	if (!no_arguments(r, "splitlines", args))
		return false;
	*out = jinja_list_of(NULL, 0);
	if (s.size > 0 && s.bytes[s.size - 1] == '\n')
		s.size--;
	return self->string.size == 0 || jinja_split(r, s, &newline, -1, false, out);
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

static bool str_capitalize(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return recase(r, "capitalize", self, args, JINJA_CAPITALIZE, out);
}

static bool str_replace(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"old", "new", "count"};
	struct jinja_value values[] = {jinja_none(), jinja_none(), jinja_int(-1)};
	struct jinja_string old, new;
	int64_t count;

	*out = *self;
	return jinja_bind(r, "replace", args, names, 3, 2, values) &&
	       jinja_want_string(r, "replace", &values[0], &old) &&
	       jinja_want_string(r, "replace", &values[1], &new) &&
	       jinja_want_int(r, "replace", &values[2], &count) &&
	       jinja_replace(r, self->string, old, new, count, &out->string);
}

/* The one string that find, count and the like look for. */
static bool wanted_text(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_string *out)
{
	static const char *const names[] = {"sub"};
	struct jinja_value value;

	return jinja_bind(r, callee, args, names, 1, 1, &value) &&
	       jinja_want_string(r, callee, &value, out) &&
	       jinja_charge_bytes(r, self->string.size);
}

/* A byte offset as Python's index of a character; -1 for none. */
static struct jinja_value character_index(struct jinja_string s, size_t offset)
{
	return jinja_int(offset == SIZE_MAX ? -1 : (int64_t)unicode_length(s.bytes, offset));
}

static bool str_find(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string wanted;

	if (!wanted_text(r, "find", self, args, &wanted))
		return false;
	*out = character_index(self->string, jinja_string_find(self->string, 0, wanted));
	return true;
}

static bool str_rfind(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string wanted;

	if (!wanted_text(r, "rfind", self, args, &wanted) ||
		!jinja_charge(r, self->string.size / 16 * (wanted.size / 16 + 1)))
		return false;
	if (wanted.size > JINJA_NEEDLE_BYTES_MAX)
		return jinja_fail(r, ERR_UNSUPPORTED, "rfind: a text of more than %d bytes",
			JINJA_NEEDLE_BYTES_MAX);
	*out = character_index(self->string, jinja_string_find_last(self->string, wanted));
	return true;
}

static bool str_count(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_string wanted;
	int64_t count = 0;

	if (!wanted_text(r, "count", self, args, &wanted))
		return false;
	if (wanted.size == 0)
		count = (int64_t)unicode_length(self->string.bytes, self->string.size) + 1;
	else
		for (size_t at = 0; (at = jinja_string_find(self->string, at, wanted)) != SIZE_MAX;
			at += wanted.size)
			count++;
	*out = jinja_int(count);
	return true;
}

static bool str_join(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"iterable"};
	struct jinja_builder b = {0};
	struct jinja_value value, list;
	struct jinja_string text;

	if (!jinja_bind(r, "join", args, names, 1, 1, &value) || !jinja_to_list(r, &value, &list))
		return false;
	for (size_t i = 0; i < list.list.count; i++) {
		const struct jinja_value item = jinja_at(&list, i);

		if ((i > 0 && !jinja_builder_add(r, &b, self->string)) ||
			!jinja_want_string(r, "join", &item, &text) || !jinja_charge(r, 1) ||
			!jinja_builder_add(r, &b, text))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &text))
		return false;
	*out = jinja_string(text);
	return true;
}

/* True if there are characters and all are of the class. */
static bool all_of_class(struct jinja_string s, enum unicode_class class)
{
	for (size_t at = 0; at < s.size;) {
		uint32_t c;

		at += unicode_decode(s.bytes + at, s.size - at, &c);
		if (unicode_class_of(c) != class)
			return false;
	}
	return s.size > 0;
}

static bool str_isdigit(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	*out = jinja_bool(all_of_class(self->string, UNICODE_NUMBER));
	return no_arguments(r, "isdigit", args) && jinja_charge_bytes(r, self->string.size);
}

static bool str_isalpha(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	*out = jinja_bool(all_of_class(self->string, UNICODE_LETTER));
	return no_arguments(r, "isalpha", args) && jinja_charge_bytes(r, self->string.size);
}

/* ---- dict ------------------------------------------------------------------------------------ */

enum part { PART_KEY, PART_VALUE, PART_BOTH };

static bool dict_parts(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, enum part part, struct jinja_value *out)
{
	const size_t count = jinja_dict_count(self);
	struct jinja_value *items =
		jinja_array(r, count * (part == PART_BOTH ? 3 : 1), sizeof(*items));
	struct jinja_cursor cursor = {.dict = self};
	struct jinja_value key, value;

	if (!items || !no_arguments(r, callee, args) || !jinja_charge(r, count))
		return false;
	for (size_t i = 0; i < count && jinja_next(&cursor, &key, &value); i++) {
		struct jinja_value *pair = items + count + 2 * i;

		if (part != PART_BOTH) {
			items[i] = part == PART_KEY ? key : value;
			continue;
		}
		pair[0] = key;
		pair[1] = value;
		items[i] = jinja_tuple_of(pair, 2);
	}
	*out = jinja_list_of(items, count);
	return true;
}

static bool dict_items(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return dict_parts(r, "items", self, args, PART_BOTH, out);
}

static bool dict_keys(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return dict_parts(r, "keys", self, args, PART_KEY, out);
}

static bool dict_values(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	return dict_parts(r, "values", self, args, PART_VALUE, out);
}

static bool dict_get(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"key", "default"};
	struct jinja_value values[] = {jinja_none(), jinja_none()};
	bool found;

	if (!jinja_bind(r, "get", args, names, 2, 1, values) ||
		!jinja_dict_find(r, self, &values[0], out, &found))
		return false;
	if (!found)
		*out = values[1];
	return true;
}

static bool copy(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	*out = *self;
	return no_arguments(r, "copy", args);
}

/* ---- list and tuple -------------------------------------------------------------------------- */

static bool list_search(struct jinja_render *r, const char *callee, const struct jinja_value *self,
	const struct jinja_args *args, size_t *first, size_t *count)
{
	static const char *const names[] = {"value"};
	struct jinja_value wanted;

	*count = 0;
	*first = SIZE_MAX;
	if (!jinja_bind(r, callee, args, names, 1, 1, &wanted))
		return false;
	for (size_t i = 0; i < self->list.count; i++) {
		const struct jinja_value item = jinja_at(self, i);
		bool equal;

		if (!jinja_charge(r, 1) || !jinja_equal(r, &item, &wanted, &equal))
			return false;
		if (equal && (*count)++ == 0)
			*first = i;
	}
	return true;
}

static bool list_index(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	size_t first, count;

	if (!list_search(r, "index", self, args, &first, &count))
		return false;
	*out = jinja_int((int64_t)first);
	return count > 0 || jinja_fail(r, ERR_INPUT, "index: the value is not in the list");
}

static bool list_count(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	size_t first, count;

	if (!list_search(r, "count", self, args, &first, &count))
		return false;
	*out = jinja_int((int64_t)count);
	return true;
}

/* ---- loop ------------------------------------------------------------------------------------ */

static bool loop_cycle(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (args->count == 0 || args->named_count > 0)
		return jinja_fail(r, ERR_INPUT, "cycle: no items for cycling given");
	*out = args->values[self->loop->index % args->count];
	return true;
}

const struct jinja_method_entry *jinja_method_find(enum jinja_type type, const char *name,
	size_t size)
{
	static const struct jinja_method_entry methods[] = {
		{JINJA_STRING, "startswith", str_startswith},
		{JINJA_STRING, "endswith", str_endswith},
		{JINJA_STRING, "removeprefix", str_removeprefix},
		{JINJA_STRING, "removesuffix", str_removesuffix},
		{JINJA_STRING, "strip", str_strip}, {JINJA_STRING, "lstrip", str_lstrip},
		{JINJA_STRING, "rstrip", str_rstrip}, {JINJA_STRING, "split", str_split},
		{JINJA_STRING, "rsplit", str_rsplit}, {JINJA_STRING, "splitlines", str_splitlines},
		{JINJA_STRING, "upper", str_upper}, {JINJA_STRING, "lower", str_lower},
		{JINJA_STRING, "title", str_title}, {JINJA_STRING, "capitalize", str_capitalize},
		{JINJA_STRING, "replace", str_replace}, {JINJA_STRING, "find", str_find},
		{JINJA_STRING, "rfind", str_rfind}, {JINJA_STRING, "count", str_count},
		{JINJA_STRING, "join", str_join}, {JINJA_STRING, "isdigit", str_isdigit},
		{JINJA_STRING, "isalpha", str_isalpha}, {JINJA_DICT, "items", dict_items},
		{JINJA_DICT, "keys", dict_keys}, {JINJA_DICT, "values", dict_values},
		{JINJA_DICT, "get", dict_get}, {JINJA_DICT, "copy", copy},
		{JINJA_LIST, "copy", copy}, {JINJA_LIST, "index", list_index},
		{JINJA_LIST, "count", list_count}, {JINJA_TUPLE, "index", list_index},
		{JINJA_TUPLE, "count", list_count}, {JINJA_LOOP, "cycle", loop_cycle}};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].type == type && jinja_name_is(name, size, methods[i].name))
			return &methods[i];
	return NULL;
}
