/* model/template/jinja_filters_list.c - filters on lists, and on dicts and strings as lists. */
#include "model/template/jinja_call.h"
#include "model/template/jinja_eval.h"
#include "model/template/jinja_text.h"

static bool no_arguments(struct jinja_render *r, const char *callee, const struct jinja_args *args)
{
	return jinja_bind(r, callee, args, NULL, 0, 0, NULL);
}

static bool filter_list(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return no_arguments(r, "list", args) && jinja_to_list(r, v, out);
}

static bool filter_first(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_value list = *v;

	if (!no_arguments(r, "first", args))
		return false;
	if (v->type == JINJA_ITERATOR && *v->list.taken < v->list.count) {
		*out = jinja_at(v, (*v->list.taken)++);
		return true;
	}
	if (!jinja_to_list(r, v, &list))
		return false;
	*out = list.list.count ? jinja_at(&list, 0)
		: jinja_undefined("first", strlen("first"), NULL);
	return true;
}

static bool filter_last(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_value list;

	if (v->type == JINJA_ITERATOR)
		return jinja_fail(r, ERR_INPUT, "'generator' object is not reversible");
	if (!no_arguments(r, "last", args) || !jinja_to_list(r, v, &list))
		return false;
	*out = list.list.count ? jinja_at(&list, list.list.count - 1)
		: jinja_undefined("last", strlen("last"), NULL);
	if (v->type == JINJA_STRING && v->string.size > 0)
		out->string.markup = v->string.markup;
	return true;
}

/* A string backwards; of an iterator a list, of all else an iterator. */
static bool filter_reverse(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	const struct jinja_value bounds[] = {jinja_none(), jinja_none(), jinja_int(-1)};
	struct jinja_value list = *v;

	if (!no_arguments(r, "reverse", args) ||
		(v->type != JINJA_STRING && !jinja_to_list(r, v, &list)) ||
		!jinja_slice(r, &list, bounds, out))
		return false;
	return v->type == JINJA_STRING || v->type == JINJA_ITERATOR ||
		jinja_iterate(r, out->list.items, out->list.count, out);
}

/* What a step that finds nothing stands for; as in jinja2, none is as good as no default. */
static void attribute_default(const struct jinja_value *instead, struct jinja_value *out)
{
	if (out->type == JINJA_UNDEFINED && instead && instead->type != JINJA_NONE)
		*out = *instead;
}

/* An attribute by name; digits are an index. */
static bool attribute_step(struct jinja_render *r, const struct jinja_value *object,
	struct jinja_string name, struct jinja_value *out)
{
	int64_t index = 0;
	bool digits = name.size > 0 && name.size < 10;

	for (size_t i = 0; i < name.size && digits; i++) {
		digits = name.bytes[i] >= '0' && name.bytes[i] <= '9';
		index = index * 10 + (name.bytes[i] - '0');
	}
	const struct jinja_value key = digits ? jinja_int(index) : jinja_string(name);

	return jinja_item(r, object, &key, out);
}

/* "a.b" goes deeper, from the default if there is one and no "a". */
static bool attribute_path(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value *path, const struct jinja_value *instead, struct jinja_value *out)
{
	const struct jinja_string dot = jinja_text(".");
	struct jinja_string rest;

	if (jinja_is_integral(path)) {
		if (!jinja_item(r, object, path, out))
			return false;
		attribute_default(instead, out);
		return true;
	}
	if (!jinja_want_string(r, "attribute", path, &rest))
		return false;
	*out = *object;
	for (;;) {
		const size_t end = jinja_string_find(rest, 0, dot);
		const struct jinja_value from = *out;

		if (!attribute_step(
			    r, &from, jinja_cut(rest, 0, end == SIZE_MAX ? rest.size : end), out))
			return false;
		attribute_default(instead, out);
		if (end == SIZE_MAX)
			return true;
		rest = jinja_cut(rest, end + 1, rest.size);
	}
}

static bool filter_join(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"d", "attribute"};
	struct jinja_value values[] = {jinja_string(jinja_text("")), jinja_none()};
	struct jinja_builder b = {0};
	struct jinja_string text, separator;
	struct jinja_value list;

	if (!jinja_bind(r, "join", args, names, 2, 0, values) ||
		!jinja_to_string(r, &values[0], &separator) || !jinja_to_list(r, v, &list))
		return false;
	for (size_t i = 0; i < list.list.count; i++) {
		struct jinja_value item = jinja_at(&list, i);
		const struct jinja_value whole = item;

		if (values[1].type != JINJA_NONE &&
			!attribute_path(r, &whole, &values[1], NULL, &item))
			return false;
		if ((i > 0 && !jinja_builder_add(r, &b, separator)) || !jinja_charge(r, 1) ||
			!jinja_to_string(r, &item, &text) || !jinja_builder_add(r, &b, text))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &text))
		return false;
	*out = jinja_string(text);
	return true;
}

/* ---- map, select and their kin: whatever is false has no elements ---------------------------- */

static bool elements_of(struct jinja_render *r, const struct jinja_value *v,
	struct jinja_value *out)
{
	*out = jinja_list_of(NULL, 0);
	return !jinja_truth(v) || jinja_to_list(r, v, out);
}

/* The arguments after the first so many: those of the filter or test that is named among them. */
static struct jinja_args rest_of(const struct jinja_args *args, size_t first)
{
	struct jinja_args rest = *args;

	rest.values += first < args->count ? first : args->count;
	rest.count -= first < args->count ? first : args->count;
	return rest;
}

static bool map_attribute(struct jinja_render *r, const struct jinja_value *list,
	const struct jinja_args *args, struct jinja_value *items)
{
	static const char *const names[] = {"attribute", "default"};
	struct jinja_value values[] = {jinja_none(), jinja_none()};
	const struct jinja_args named = {.named = args->named, .named_count = args->named_count};

	if (!jinja_bind(r, "map", &named, names, 2, 1, values))
		return false;
	for (size_t i = 0; i < list->list.count; i++) {
		const struct jinja_value item = jinja_at(list, i);

		if (!jinja_charge(r, 1) ||
			!attribute_path(r, &item, &values[0], &values[1], &items[i]))
			return false;
	}
	return true;
}

static bool map_filter(struct jinja_render *r, const struct jinja_value *list,
	const struct jinja_args *args, struct jinja_value *items)
{
	const struct jinja_args rest = rest_of(args, 1);
	const struct jinja_filter *filter;
	struct jinja_string name;

	if (!jinja_want_string(r, "map", &args->values[0], &name))
		return false;
	filter = jinja_filter_find(name.bytes, name.size);
	if (!filter)
		return jinja_fail(
			r, ERR_INPUT, "no filter named '%.*s'", (int)name.size, name.bytes);
	for (size_t i = 0; i < list->list.count; i++) {
		const struct jinja_value item = jinja_at(list, i);

		if (!jinja_charge(r, 1) || !filter->call(r, &item, &rest, &items[i]))
			return false;
	}
	return true;
}

static bool filter_map(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_value list, *items;

	if (!elements_of(r, v, &list))
		return false;
	items = jinja_array(r, list.list.count, sizeof(*items));
	if (!items || r->depth >= r->limits.depth_max)
		return items && jinja_fail(r, ERR_LIMIT, "nested too deeply");
	r->depth++;
	if (!(args->count > 0 ? map_filter(r, &list, args, items)
			      : map_attribute(r, &list, args, items)))
		return false;
	r->depth--;
	return jinja_iterate(r, items, list.list.count, out);
}

/* Whether an element passes: by a named test, or by its truth. */
static bool passes(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *test_args, bool *out)
{
	const struct jinja_args rest = rest_of(test_args, 1);
	const struct jinja_test *test;
	struct jinja_string name;

	if (test_args->count == 0) {
		*out = jinja_truth(v);
		return true;
	}
	if (!jinja_want_string(r, "select", &test_args->values[0], &name))
		return false;
	test = jinja_test_find(name.bytes, name.size);
	if (!test)
		return jinja_fail(r, ERR_INPUT, "no test named '%.*s'", (int)name.size, name.bytes);
	return test->call(r, v, &rest, out);
}

/* by_attribute: the first argument names what of each element is tested. */
static bool select_items(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, bool wanted, bool by_attribute, struct jinja_value *out)
{
	const struct jinja_args test_args = rest_of(args, by_attribute ? 1 : 0);
	struct jinja_value list, *items;
	size_t count = 0;

	if (by_attribute && args->count == 0)
		return jinja_fail(r, ERR_INPUT, "selectattr: an attribute is missing");
	if (!elements_of(r, v, &list))
		return false;
	items = jinja_array(r, list.list.count, sizeof(*items));
	if (!items)
		return false;
	for (size_t i = 0; i < list.list.count; i++) {
		const struct jinja_value item = jinja_at(&list, i);
		struct jinja_value tested = item;
		bool passed = false;

		if (!jinja_charge(r, 1) ||
			(by_attribute &&
				!attribute_path(r, &item, &args->values[0], NULL, &tested)) ||
			!passes(r, &tested, &test_args, &passed))
			return false;
		if (passed == wanted)
			items[count++] = item;
	}
	return jinja_iterate(r, items, count, out);
}

static bool filter_select(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return select_items(r, v, args, true, false, out);
}

static bool filter_reject(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return select_items(r, v, args, false, false, out);
}

static bool filter_selectattr(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return select_items(r, v, args, true, true, out);
}

static bool filter_rejectattr(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return select_items(r, v, args, false, true, out);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* What an element is ordered by: its attribute, text without regard to case. */
struct keyed {
	struct jinja_value key;
	struct jinja_value item;
};

static bool fold_key(struct jinja_render *r, bool case_sensitive, struct jinja_value *key)
{
	if (case_sensitive || key->type != JINJA_STRING)
		return true;
	return jinja_recase(r, key->string, JINJA_LOWER, &key->string);
}

/* instead: for what has no such attribute. */
static bool make_keys(struct jinja_render *r, const struct jinja_value *list,
	const struct jinja_value *attribute, const struct jinja_value *instead,
	bool case_sensitive, struct keyed *out)
{
	for (size_t i = 0; i < list->list.count; i++) {
		out[i].item = jinja_at(list, i);
		out[i].key = out[i].item;
		if (attribute->type != JINJA_NONE &&
			!attribute_path(r, &out[i].item, attribute, instead, &out[i].key))
			return false;
		if (!jinja_charge(r, 1) || !fold_key(r, case_sensitive, &out[i].key))
			return false;
	}
	return true;
}

/* "a,b": by a, and among equals by b. */
static bool make_sort_keys(struct jinja_render *r, const struct jinja_value *list,
	const struct jinja_value *attribute, bool case_sensitive, struct keyed *out)
{
	const struct jinja_string comma = jinja_text(",");
	struct jinja_value names;

	if (attribute->type != JINJA_STRING ||
		jinja_string_find(attribute->string, 0, comma) == SIZE_MAX)
		return make_keys(r, list, attribute, NULL, case_sensitive, out);
	if (!jinja_split(r, attribute->string, &comma, -1, false, &names))
		return false;
	for (size_t i = 0; i < list->list.count; i++) {
		struct jinja_value *keys = jinja_array(r, names.list.count, sizeof(*keys));

		if (!keys)
			return false;
		out[i].item = jinja_at(list, i);
		out[i].key = jinja_tuple_of(keys, names.list.count);
		for (size_t j = 0; j < names.list.count; j++) {
			const struct jinja_value name = jinja_at(&names, j);

			if (!attribute_path(r, &out[i].item, &name, NULL, &keys[j]) ||
				!jinja_charge(r, 1) || !fold_key(r, case_sensitive, &keys[j]))
				return false;
		}
	}
	return true;
}

/* One round of a merge sort: runs of width become runs of twice that, stable; reverse keeps equals
 * in order too. */
static bool merge_runs(struct jinja_render *r, const struct keyed *from, struct keyed *to,
	size_t count, size_t width, bool reverse)
{
	for (size_t begin = 0; begin < count; begin += 2 * width) {
		const size_t middle = begin + width < count ? begin + width : count;
		const size_t end = begin + 2 * width < count ? begin + 2 * width : count;
		size_t left = begin, right = middle;

		for (size_t i = begin; i < end; i++) {
			int order = 0;

			if (left < middle && right < end &&
				!jinja_compare(r, &from[right].key, &from[left].key, "<", &order))
				return false;
			const bool take_right = left == middle ||
						(right < end && (reverse ? order > 0 : order < 0));
			to[i] = take_right ? from[right++] : from[left++];
		}
	}
	return true;
}

static bool sort_keyed(struct jinja_render *r, struct keyed **items, size_t count, bool reverse)
{
	struct keyed *other = jinja_array(r, count, sizeof(*other));

	if (!other)
		return false;
	for (size_t width = 1; width < count; width *= 2) {
		struct keyed *from = *items;

		if (!merge_runs(r, from, other, count, width, reverse))
			return false;
		*items = other;
		other = from;
	}
	return true;
}

static bool items_of(struct jinja_render *r, const struct keyed *keyed, size_t count,
	struct jinja_value *out)
{
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));

	if (!items)
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = keyed[i].item;
	*out = jinja_list_of(items, count);
	return true;
}

static bool filter_sort(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"reverse", "case_sensitive", "attribute"};
	struct jinja_value values[] = {jinja_bool(false), jinja_bool(false), jinja_none()}, list;
	struct keyed *keyed;

	if (!jinja_bind(r, "sort", args, names, 3, 0, values) || !jinja_to_list(r, v, &list))
		return false;
	keyed = jinja_array(r, list.list.count, sizeof(*keyed));
	return keyed && make_sort_keys(r, &list, &values[2], jinja_truth(&values[1]), keyed) &&
		sort_keyed(r, &keyed, list.list.count, jinja_truth(&values[0])) &&
		items_of(r, keyed, list.list.count, out);
}

static bool filter_dictsort(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"case_sensitive", "by", "reverse"};
	struct jinja_value values[] = {
		jinja_bool(false), jinja_string(jinja_text("key")), jinja_bool(false)};
	const struct jinja_args none = {0};
	struct jinja_value list, position;
	struct jinja_string by;
	struct keyed *keyed;

	if (v->type != JINJA_DICT)
		return jinja_fail(
			r, ERR_INPUT, "dictsort: expected a dict, got %s", jinja_type_name(v));
	if (!jinja_bind(r, "dictsort", args, names, 3, 0, values) ||
		!jinja_want_string(r, "dictsort", &values[1], &by) ||
		!jinja_method_find(JINJA_DICT, "items", strlen("items"))->call(r, v, &none, &list))
		return false;
	position = jinja_int(jinja_name_is(by.bytes, by.size, "value"));
	if (jinja_integer(&position) == 0 && !jinja_name_is(by.bytes, by.size, "key"))
		return jinja_fail(r, ERR_INPUT,
			"You can only sort by either \"key\" or \"value\"");
	keyed = jinja_array(r, list.list.count, sizeof(*keyed));
	return keyed && make_keys(r, &list, &position, NULL, jinja_truth(&values[0]), keyed) &&
		sort_keyed(r, &keyed, list.list.count, jinja_truth(&values[2])) &&
		items_of(r, keyed, list.list.count, out);
}

static bool filter_unique(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"case_sensitive", "attribute"};
	struct jinja_value values[] = {jinja_bool(false), jinja_none()}, list, *seen;
	struct keyed *keyed;
	size_t count = 0;

	if (!jinja_bind(r, "unique", args, names, 2, 0, values) || !jinja_to_list(r, v, &list))
		return false;
	keyed = jinja_array(r, list.list.count, sizeof(*keyed));
	seen = jinja_array(r, list.list.count, sizeof(*seen));
	if (!keyed || !seen ||
		!make_keys(r, &list, &values[1], NULL, jinja_truth(&values[0]), keyed))
		return false;
	for (size_t i = 0; i < list.list.count; i++) {
		const struct jinja_value known = jinja_list_of(seen, count);
		bool contained;

		if (!jinja_hashable(r, &keyed[i].key) ||
			!jinja_contains(r, &known, &keyed[i].key, &contained))
			return false;
		if (contained)
			continue;
		seen[count] = keyed[i].key;
		keyed[count++].item = keyed[i].item;
	}
	return items_of(r, keyed, count, out) && jinja_iterate(r, out->list.items, count, out);
}

static bool extreme(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	const struct jinja_args *args, bool largest, struct jinja_value *out)
{
	static const char *const names[] = {"case_sensitive", "attribute"};
	struct jinja_value values[] = {jinja_bool(false), jinja_none()}, list;
	struct keyed *keyed;
	size_t best = 0;

	if (!jinja_bind(r, callee, args, names, 2, 0, values) || !jinja_to_list(r, v, &list))
		return false;
	keyed = jinja_array(r, list.list.count, sizeof(*keyed));
	if (!keyed || !make_keys(r, &list, &values[1], NULL, jinja_truth(&values[0]), keyed))
		return false;
	for (size_t i = 1; i < list.list.count; i++) {
		int order = 0;

		if (!jinja_compare(r, &keyed[i].key, &keyed[best].key, largest ? ">" : "<", &order))
			return false;
		best = (largest ? order > 0 : order < 0) ? i : best;
	}
	*out = list.list.count ? keyed[best].item : jinja_undefined(callee, strlen(callee), NULL);
	return true;
}

static bool filter_min(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return extreme(r, "min", v, args, false, out);
}

static bool filter_max(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	return extreme(r, "max", v, args, true, out);
}

static bool filter_sum(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"attribute", "start"};
	struct jinja_value values[] = {jinja_none(), jinja_int(0)}, list;

	if (!jinja_bind(r, "sum", args, names, 2, 0, values) || !jinja_to_list(r, v, &list))
		return false;
	*out = values[1];
	for (size_t i = 0; i < list.list.count; i++) {
		const struct jinja_value whole = jinja_at(&list, i);
		struct jinja_value item = whole;

		if (!jinja_charge(r, 1) ||
			(values[0].type != JINJA_NONE &&
				!attribute_path(r, &whole, &values[0], NULL, &item)) ||
			!jinja_add(r, out, &item, out))
			return false;
	}
	return true;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Lists of so many elements; the last one is filled up if there is something to do it with. */
static bool filter_batch(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"linecount", "fill_with"};
	struct jinja_value values[] = {jinja_none(), jinja_none()}, list, *batches, *items;
	int64_t size;

	if (!jinja_bind(r, "batch", args, names, 2, 1, values) ||
		!jinja_want_int(r, "batch", &values[0], &size) || !jinja_to_list(r, v, &list))
		return false;
	if (size < 1 || size > JINJA_RANGE_MAX)
		return jinja_fail(r, ERR_LIMIT, "batch: a size of 1 to %d", JINJA_RANGE_MAX);
	const size_t each = (size_t)size, count = (list.list.count + each - 1) / each;
	const bool fills = values[1].type != JINJA_NONE;

	batches = jinja_array(r, count, sizeof(*batches));
	items = jinja_array(r, fills ? count * each : list.list.count, sizeof(*items));
	if (!batches || !items || !jinja_charge(r, fills ? count * each : list.list.count))
		return false;
	for (size_t i = 0; i < count * each && (fills || i < list.list.count); i++)
		items[i] = i < list.list.count ? jinja_at(&list, i) : values[1];
	for (size_t i = 0; i < count; i++) {
		const size_t left = list.list.count - i * each;

		batches[i] = jinja_list_of(items + i * each, fills || left > each ? each : left);
	}
	return jinja_iterate(r, batches, count, out);
}

/* So many lists, the first ones longer by one; with something to fill up the others. */
static bool filter_slice(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"slices", "fill_with"};
	struct jinja_value values[] = {jinja_none(), jinja_none()}, list, *slices, *items;
	int64_t wanted;
	size_t at = 0, written = 0;

	if (!jinja_bind(r, "slice", args, names, 2, 1, values) ||
		!jinja_want_int(r, "slice", &values[0], &wanted) || !jinja_to_list(r, v, &list))
		return false;
	if (wanted < 1 || wanted > JINJA_RANGE_MAX)
		return jinja_fail(r, ERR_LIMIT, "slice: 1 to %d slices", JINJA_RANGE_MAX);
	const size_t count = (size_t)wanted, longer = list.list.count % count;

	slices = jinja_array(r, count, sizeof(*slices));
	items = jinja_array(r, list.list.count + count, sizeof(*items));
	if (!slices || !items || !jinja_charge(r, list.list.count + count))
		return false;
	for (size_t i = 0; i < count; i++) {
		const size_t size = list.list.count / count + (i < longer), begin = written;

		for (size_t j = 0; j < size; j++)
			items[written++] = jinja_at(&list, at++);
		if (i >= longer && values[1].type != JINJA_NONE)
			items[written++] = values[1];
		slices[i] = jinja_list_of(items + begin, written - begin);
	}
	return jinja_iterate(r, slices, count, out);
}

/* (key, elements), which are also its grouper and list. */
static bool make_group(struct jinja_render *r, const struct jinja_value *key,
	const struct keyed *keyed, size_t count, struct jinja_value *out)
{
	struct jinja_value *pair = jinja_array(r, 2, sizeof(*pair));

	if (!pair || !items_of(r, keyed, count, &pair[1]))
		return false;
	pair[0] = *key;
	*out = jinja_tuple_of(pair, 2);
	out->list.shown = JINJA_GROUP;
	return true;
}

static bool group_keyed(struct jinja_render *r, const struct keyed *keyed, size_t count,
	const struct jinja_value *attribute, const struct jinja_value *instead,
	struct jinja_value *out)
{
	struct jinja_value *groups = jinja_array(r, count, sizeof(*groups)), key;
	size_t group_count = 0;

	if (!groups)
		return false;
	for (size_t begin = 0, end; begin < count; begin = end) {
		bool same = true;

		for (end = begin + 1; end < count; end++) {
			if (!jinja_equal(r, &keyed[begin].key, &keyed[end].key, &same))
				return false;
			if (!same)
				break;
		}
		/* the key as the first of them has it, not as it was compared */
		if (!attribute_path(r, &keyed[begin].item, attribute, instead, &key) ||
			!make_group(r, &key, keyed + begin, end - begin, &groups[group_count++]))
			return false;
	}
	*out = jinja_list_of(groups, group_count);
	return true;
}

static bool filter_groupby(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"attribute", "default", "case_sensitive"};
	struct jinja_value values[] = {jinja_none(), jinja_none(), jinja_bool(false)}, list;
	struct keyed *keyed;

	if (!jinja_bind(r, "groupby", args, names, 3, 1, values) || !jinja_to_list(r, v, &list))
		return false;
	keyed = jinja_array(r, list.list.count, sizeof(*keyed));
	return keyed &&
		make_keys(r, &list, &values[0], &values[1], jinja_truth(&values[2]), keyed) &&
		sort_keyed(r, &keyed, list.list.count, false) &&
		group_keyed(r, keyed, list.list.count, &values[0], &values[1], out);
}

/* What an object has by itself; what a dict holds does not count. */
static bool filter_attr(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"name"};
	struct jinja_value name;
	struct jinja_string s;
	bool found = false;

	if (!jinja_bind(r, "attr", args, names, 1, 1, &name) ||
		!jinja_want_string(r, "attr", &name, &s) ||
		!jinja_native_attribute(r, v, s.bytes, s.size, out, &found))
		return false;
	if (!found)
		*out = jinja_undefined(s.bytes, s.size, jinja_object_name(v));
	return true;
}

const struct jinja_filter JINJA_LIST_FILTERS[] = {{"list", filter_list}, {"first", filter_first},
	{"last", filter_last}, {"reverse", filter_reverse}, {"join", filter_join},
	{"map", filter_map}, {"select", filter_select}, {"reject", filter_reject},
	{"selectattr", filter_selectattr}, {"rejectattr", filter_rejectattr}, {"sort", filter_sort},
	{"dictsort", filter_dictsort}, {"unique", filter_unique}, {"min", filter_min},
	{"max", filter_max}, {"sum", filter_sum}, {"batch", filter_batch}, {"slice", filter_slice},
	{"groupby", filter_groupby}, {"attr", filter_attr}, {NULL, NULL}};
