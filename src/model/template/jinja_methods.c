/* model/template/jinja_methods.c - the methods of Python's dict and list that change nothing,
 * and of the environment's own objects. Those of str are in jinja_methods_str.c. */
#include "model/template/jinja_call.h"

/* A method without arguments. */
static bool no_arguments(struct jinja_render *r, const char *callee, const struct jinja_args *args)
{
	return jinja_bind(r, callee, args, NULL, 0, 0, NULL);
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
	*out = (struct jinja_value){.type = JINJA_VIEW, .list = {.items = items, .count = count,
		.shown = part == PART_BOTH ? "dict_items" : part == PART_KEY ? "dict_keys"
			: "dict_values"}};
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

/* Whether it is told something else than the last time. */
static bool loop_changed(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	const struct jinja_value told = jinja_tuple_of(args->values, args->count);
	bool same;

	if (args->named_count > 0)
		return jinja_fail(r, ERR_INPUT, "changed: no argument has a name");
	if (!jinja_equal(r, &self->loop->changed, &told, &same))
		return false;
	self->loop->changed = told;
	*out = jinja_bool(!same);
	return true;
}

static bool cycler_next(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	struct jinja_cycler *c = self->cycler;

	*out = c->items[c->index];
	c->index = (c->index + 1) % c->count;
	return no_arguments(r, "next", args);
}

static bool cycler_reset(struct jinja_render *r, const struct jinja_value *self,
	const struct jinja_args *args, struct jinja_value *out)
{
	self->cycler->index = 0;
	*out = jinja_none();
	return no_arguments(r, "reset", args);
}

const struct jinja_method_entry *jinja_method_find(enum jinja_type type, const char *name,
	size_t size)
{
	static const struct jinja_method_entry methods[] = {
		{JINJA_DICT, "items", dict_items}, {JINJA_DICT, "keys", dict_keys},
		{JINJA_DICT, "values", dict_values}, {JINJA_DICT, "get", dict_get},
		{JINJA_DICT, "copy", copy}, {JINJA_LIST, "copy", copy},
		{JINJA_LIST, "index", list_index}, {JINJA_LIST, "count", list_count},
		{JINJA_TUPLE, "index", list_index}, {JINJA_TUPLE, "count", list_count},
		{JINJA_RANGE, "index", list_index}, {JINJA_RANGE, "count", list_count},
		{JINJA_LOOP, "cycle", loop_cycle}, {JINJA_LOOP, "changed", loop_changed},
		{JINJA_CYCLER, "next", cycler_next}, {JINJA_CYCLER, "reset", cycler_reset}};

	for (const struct jinja_method_entry *m = JINJA_STR_METHODS; m->name; m++)
		if (type == JINJA_STRING && jinja_name_is(name, size, m->name))
			return m;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].type == type && jinja_name_is(name, size, methods[i].name))
			return &methods[i];
	return NULL;
}
