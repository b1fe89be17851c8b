/* model/template/jinja_value.c - values, and what Python says of them: truth, equality, order,
 * membership.
 */
#include "model/template/jinja_value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

#define BYTES_PER_STEP 16

bool jinja_fail(struct jinja_render *r, enum err code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	err_set(r->info, code, "line %u: %s", r->line, text);
	return false;
}

bool jinja_charge(struct jinja_render *r, size_t steps)
{
	if (steps > r->limits.steps_max - r->steps)
		return jinja_fail(r, ERR_LIMIT, "the template takes too many steps");
	r->steps += steps;
	return true;
}

bool jinja_charge_bytes(struct jinja_render *r, size_t bytes)
{
	return jinja_charge(r, bytes / BYTES_PER_STEP + 1);
}

void *jinja_array(struct jinja_render *r, size_t count, size_t size)
{
	void *array = arena_array(r->arena, count ? count : 1, size);

	if (!array)
		jinja_fail(r, ERR_LIMIT, "the template takes too much memory");
	return array;
}

struct jinja_string jinja_text(const char *text)
{
	return (struct jinja_string){.bytes = text, .size = strlen(text), .trusted = true};
}

struct jinja_value jinja_undefined(const char *name, size_t size, const char *owner)
{
	return (struct jinja_value){
		.type = JINJA_UNDEFINED, .missing = {.name = name, .size = size, .owner = owner}};
}

struct jinja_value jinja_from_json(const json_t *json, bool trusted)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return (struct jinja_value){
			.type = JINJA_DICT, .dict = {.json = json, .trusted = trusted}};
	case JSON_ARRAY:
		return (struct jinja_value){.type = JINJA_LIST,
			.list = {.json = json, .count = json_array_size(json), .trusted = trusted}};
	case JSON_STRING:
		return jinja_string((struct jinja_string){.bytes = json_string_value(json),
			.size = json_string_length(json), .trusted = trusted});
	case JSON_INTEGER:
		return jinja_int(json_integer_value(json));
	case JSON_REAL:
		return jinja_float(json_real_value(json));
	case JSON_TRUE:
	case JSON_FALSE:
		return jinja_bool(json_is_true(json));
	case JSON_NULL:
		break;
	}
	return jinja_none();
}

int64_t jinja_integer(const struct jinja_value *v)
{
	assert(jinja_is_integral(v));
	return v->type == JINJA_BOOL ? v->boolean : v->integer;
}

double jinja_real(const struct jinja_value *v)
{
	return v->type == JINJA_FLOAT ? v->real : (double)jinja_integer(v);
}

const char *jinja_type_name(const struct jinja_value *v)
{
	static const char *const names[] = {[JINJA_UNDEFINED] = "Undefined",
		[JINJA_NONE] = "NoneType",
		[JINJA_BOOL] = "bool",
		[JINJA_INT] = "int",
		[JINJA_FLOAT] = "float",
		[JINJA_STRING] = "str",
		[JINJA_LIST] = "list",
		[JINJA_TUPLE] = "tuple",
		[JINJA_RANGE] = "range",
		[JINJA_VIEW] = "dict view",
		[JINJA_ITERATOR] = "generator",
		[JINJA_DICT] = "dict",
		[JINJA_NAMESPACE] = "Namespace",
		[JINJA_LOOP] = "LoopContext",
		[JINJA_MACRO] = "Macro",
		[JINJA_FUNCTION] = "function",
		[JINJA_METHOD] = "method",
		[JINJA_CYCLER] = "Cycler",
		[JINJA_JOINER] = "Joiner"};

	return names[v->type];
}

const char *jinja_object_name(const struct jinja_value *v)
{
	static const char *const names[] = {[JINJA_UNDEFINED] = "Undefined",
		[JINJA_NONE] = "None",
		[JINJA_BOOL] = "bool object",
		[JINJA_INT] = "int object",
		[JINJA_FLOAT] = "float object",
		[JINJA_STRING] = "str object",
		[JINJA_LIST] = "list object",
		[JINJA_TUPLE] = "tuple object",
		[JINJA_RANGE] = "range object",
		[JINJA_VIEW] = "dict view object",
		[JINJA_ITERATOR] = "generator object",
		[JINJA_DICT] = "dict object",
		[JINJA_NAMESPACE] = "Namespace object",
		[JINJA_LOOP] = "LoopContext object",
		[JINJA_MACRO] = "Macro object",
		[JINJA_FUNCTION] = "function object",
		[JINJA_METHOD] = "method object",
		[JINJA_CYCLER] = "Cycler object",
		[JINJA_JOINER] = "Joiner object"};

	return names[v->type];
}

bool jinja_fail_undefined(struct jinja_render *r, const struct jinja_value *v)
{
	const struct jinja_missing *m = &v->missing;
	const int size = (int)(m->size < 200 ? m->size : 200);

	assert(v->type == JINJA_UNDEFINED);
	if (m->owner)
		return jinja_fail(
			r, ERR_INPUT, "'%s' has no attribute '%.*s'", m->owner, size, m->name);
	return jinja_fail(r, ERR_INPUT, "'%.*s' is undefined", size, m->name ? m->name : "");
}

bool jinja_truth(const struct jinja_value *v)
{
	switch (v->type) {
	case JINJA_UNDEFINED:
	case JINJA_NONE:
		return false;
	case JINJA_BOOL:
		return v->boolean;
	case JINJA_INT:
		return v->integer != 0;
	case JINJA_FLOAT:
		return v->real != 0;
	case JINJA_STRING:
		return v->string.size > 0;
	case JINJA_LIST:
	case JINJA_TUPLE:
	case JINJA_RANGE:
	case JINJA_VIEW:
		return v->list.count > 0;
	case JINJA_DICT:
		return jinja_dict_count(v) > 0;
	case JINJA_NAMESPACE:
	case JINJA_LOOP:
	case JINJA_MACRO:
	case JINJA_FUNCTION:
	case JINJA_METHOD:
	case JINJA_ITERATOR:
	case JINJA_CYCLER:
	case JINJA_JOINER:
		break;
	}
	return true;
}

bool jinja_iterate(struct jinja_render *r, const struct jinja_value *items, size_t count,
	struct jinja_value *out)
{
	size_t *taken = jinja_array(r, 1, sizeof(*taken));

	*out = (struct jinja_value){.type = JINJA_ITERATOR,
		.list = {.items = items, .count = count, .taken = taken}};
	return taken != NULL;
}

struct jinja_value jinja_at(const struct jinja_value *list, size_t index)
{
	assert(jinja_has_items(list) && index < list->list.count);
	if (list->list.items)
		return list->list.items[index];
	return jinja_from_json(json_array_get(list->list.json, index), list->list.trusted);
}

/* ---- dicts ----------------------------------------------------------------------------------- */

static const struct jinja_dict *own_pairs(const struct jinja_value *dict)
{
	assert(dict->type == JINJA_DICT || dict->type == JINJA_NAMESPACE);
	return dict->type == JINJA_DICT ? dict->dict.own : dict->names;
}

static const json_t *json_pairs(const struct jinja_value *dict)
{
	return dict->type == JINJA_DICT ? dict->dict.json : NULL;
}

size_t jinja_dict_count(const struct jinja_value *dict)
{
	return json_pairs(dict) ? json_object_size(json_pairs(dict)) : own_pairs(dict)->count;
}

/* Texts of one size are looked at, to their ends if need be. */
static bool strings_equal(struct jinja_render *r, struct jinja_string a, struct jinja_string b,
	bool *equal)
{
	*equal = jinja_string_equal(a, b);
	return a.size != b.size || jinja_charge(r, a.size / BYTES_PER_STEP);
}

/* The pair of a key, or NULL. */
static bool pair_find(struct jinja_render *r, const struct jinja_dict *dict,
	const struct jinja_value *key, struct jinja_pair **out)
{
	*out = NULL;
	if (!jinja_charge(r, dict->count / 8))
		return false;
	for (size_t i = 0; i < dict->count; i++) {
		bool equal = false;

		if (dict->pairs[i].key.type == JINJA_STRING && key->type == JINJA_STRING) {
			if (!strings_equal(r, dict->pairs[i].key.string, key->string, &equal))
				return false;
		} else if (!jinja_equal(r, &dict->pairs[i].key, key, &equal)) {
			return false;
		}
		if (equal) {
			*out = &dict->pairs[i];
			break;
		}
	}
	return true;
}

bool jinja_hashable(struct jinja_render *r, const struct jinja_value *v)
{
	if (v->type == JINJA_LIST || v->type == JINJA_DICT || v->type == JINJA_VIEW)
		return jinja_fail(r, ERR_INPUT, "unhashable type: '%s'", jinja_type_name(v));
	for (size_t i = 0; v->type == JINJA_TUPLE && i < v->list.count; i++) {
		const struct jinja_value item = jinja_at(v, i);

		if (item.type != JINJA_TUPLE && !jinja_hashable(r, &item))
			return false;
	}
	return true;
}

bool jinja_dict_find(struct jinja_render *r, const struct jinja_value *dict,
	const struct jinja_value *key, struct jinja_value *out, bool *found)
{
	const json_t *json = json_pairs(dict);
	struct jinja_pair *pair;

	*found = false;
	if (!jinja_hashable(r, key))
		return false;
	if (json) {
		const json_t *value = key->type == JINJA_STRING ?
			json_object_getn(json, key->string.bytes, key->string.size) : NULL;

		if (key->type == JINJA_STRING && !jinja_charge(r, key->string.size / 8))
			return false;   /* it was hashed */
		*found = value != NULL;
		if (value)
			*out = jinja_from_json(value, dict->dict.trusted);
		return true;
	}
	if (!pair_find(r, own_pairs(dict), key, &pair))
		return false;
	*found = pair != NULL;
	if (pair)
		*out = pair->value;
	return true;
}

static bool dict_grow(struct jinja_render *r, struct jinja_dict *dict)
{
	const size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
	struct jinja_pair *pairs = jinja_array(r, capacity, sizeof(*pairs));

	if (!pairs)
		return false;
	if (dict->count > 0)
		memcpy(pairs, dict->pairs, dict->count * sizeof(*pairs));
	dict->pairs = pairs;
	dict->capacity = capacity;
	return true;
}

bool jinja_dict_put(struct jinja_render *r, struct jinja_dict *dict, const struct jinja_value *key,
	const struct jinja_value *value)
{
	struct jinja_pair *pair;

	if (!jinja_hashable(r, key))
		return false;
	if (!pair_find(r, dict, key, &pair))
		return false;
	if (pair) {
		pair->value = *value;
		return true;
	}
	if (dict->count == dict->capacity && !dict_grow(r, dict))
		return false;
	dict->pairs[dict->count++] = (struct jinja_pair){.key = *key, .value = *value};
	return true;
}

bool jinja_next(struct jinja_cursor *cursor, struct jinja_value *key, struct jinja_value *value)
{
	json_t *json = (json_t *)json_pairs(cursor->dict);  /* only read */

	if (!json) {
		const struct jinja_dict *own = own_pairs(cursor->dict);

		if (cursor->index == own->count)
			return false;
		*key = own->pairs[cursor->index].key;
		*value = own->pairs[cursor->index].value;
		cursor->index++;
		return true;
	}
	cursor->iterator = cursor->index++ == 0 ? json_object_iter(json) :
		json_object_iter_next(json, cursor->iterator);
	if (!cursor->iterator)
		return false;
	*key = jinja_string((struct jinja_string){.bytes = json_object_iter_key(cursor->iterator),
		.size = json_object_iter_key_len(cursor->iterator),
		.trusted = cursor->dict->dict.trusted});
	*value = jinja_from_json(
		json_object_iter_value(cursor->iterator), cursor->dict->dict.trusted);
	return true;
}

/* ---- equality and order ---------------------------------------------------------------------- */

static bool enter(struct jinja_render *r)
{
	if (r->depth >= r->limits.depth_max)
		return jinja_fail(r, ERR_LIMIT, "the template is nested too deeply");
	r->depth++;
	return jinja_charge(r, 1);
}

static bool lists_equal(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, bool *equal)
{
	*equal = left->list.count == right->list.count;
	for (size_t i = 0; *equal && i < left->list.count; i++) {
		const struct jinja_value a = jinja_at(left, i), b = jinja_at(right, i);

		if (!jinja_equal(r, &a, &b, equal))
			return false;
	}
	return true;
}

static bool dicts_equal(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, bool *equal)
{
	struct jinja_cursor cursor = {.dict = left};
	struct jinja_value key, a, b;

	*equal = jinja_dict_count(left) == jinja_dict_count(right);
	while (*equal && jinja_next(&cursor, &key, &a))
		if (!jinja_dict_find(r, right, &key, &b, equal) ||
			(*equal && !jinja_equal(r, &a, &b, equal)))
			return false;
	return true;
}

static bool numbers_equal(const struct jinja_value *left, const struct jinja_value *right)
{
	if (jinja_is_integral(left) && jinja_is_integral(right))
		return jinja_integer(left) == jinja_integer(right);
	return jinja_real(left) == jinja_real(right);
}

bool jinja_equal(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, bool *equal)
{
	bool done = true;

	*equal = false;
	if (jinja_is_number(left) && jinja_is_number(right)) {
		*equal = numbers_equal(left, right);
		return true;
	}
	if (left->type != right->type)
		return true;
	if (!enter(r))
		return false;
	switch (left->type) {
	case JINJA_UNDEFINED:
	case JINJA_NONE:
		*equal = true;
		break;
	case JINJA_STRING:
		done = strings_equal(r, left->string, right->string, equal);
		break;
	case JINJA_LIST:
	case JINJA_TUPLE:
	case JINJA_RANGE:
		done = lists_equal(r, left, right, equal);
		break;
	case JINJA_DICT:
		done = dicts_equal(r, left, right, equal);
		break;
	case JINJA_NAMESPACE:
		*equal = left->names == right->names;
		break;
	case JINJA_LOOP:
	case JINJA_MACRO:
	case JINJA_FUNCTION:
	case JINJA_METHOD:
	case JINJA_CYCLER:
	case JINJA_JOINER:
		*equal = left->loop == right->loop;
		break;
	case JINJA_VIEW:
	case JINJA_ITERATOR:
		*equal = left->list.items == right->list.items;
		break;
	case JINJA_BOOL:
	case JINJA_INT:
	case JINJA_FLOAT:
		break;
	}
	r->depth--;
	return done;
}

static bool string_order(struct jinja_render *r, struct jinja_string a, struct jinja_string b,
	int *order)
{
	const size_t common = a.size < b.size ? a.size : b.size;

	*order = common ? memcmp(a.bytes, b.bytes, common) : 0;
	if (*order == 0)
		*order = (a.size > b.size) - (a.size < b.size);
	return jinja_charge(r, common / BYTES_PER_STEP);
}

static int number_order(const struct jinja_value *left, const struct jinja_value *right)
{
	if (jinja_is_integral(left) && jinja_is_integral(right)) {
		const int64_t a = jinja_integer(left), b = jinja_integer(right);

		return (a > b) - (a < b);
	}
	return (jinja_real(left) > jinja_real(right)) - (jinja_real(left) < jinja_real(right));
}

/* The first elements that differ decide; if none do, the shorter list comes first. */
static bool list_order(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, const char *operator, int *order)
{
	const size_t a = left->list.count, b = right->list.count;

	for (size_t i = 0; i < a && i < b; i++) {
		const struct jinja_value x = jinja_at(left, i), y = jinja_at(right, i);
		bool equal;

		if (!jinja_equal(r, &x, &y, &equal))
			return false;
		if (!equal)
			return jinja_compare(r, &x, &y, operator, order);
	}
	*order = (a > b) - (a < b);
	return true;
}

bool jinja_compare(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, const char *operator, int *order)
{
	bool done = true;

	if (left->type == JINJA_UNDEFINED || right->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, left->type == JINJA_UNDEFINED ? left : right);
	if (!enter(r))
		return false;
	if (jinja_is_number(left) && jinja_is_number(right))
		*order = number_order(left, right);
	else if (left->type == JINJA_STRING && right->type == JINJA_STRING)
		done = string_order(r, left->string, right->string, order);
	else if (jinja_is_list(left) && left->type == right->type)
		done = list_order(r, left, right, operator, order);
	else
		done = jinja_fail(r, ERR_INPUT,
			"'%s' not supported between instances of '%s' and '%s'", operator,
			jinja_type_name(left), jinja_type_name(right));
	r->depth--;
	return done;
}

bool jinja_contains(struct jinja_render *r, const struct jinja_value *container,
	const struct jinja_value *item, bool *contained)
{
	struct jinja_value ignored;

	*contained = false;
	if (container->type == JINJA_UNDEFINED)
		return true;
	if (container->type == JINJA_DICT)
		return jinja_dict_find(r, container, item, &ignored, contained);
	if (container->type == JINJA_STRING) {
		if (item->type != JINJA_STRING)
			return jinja_fail(r, ERR_INPUT,
				"'in <string>' requires string as left operand, not %s",
				jinja_type_name(item));
		*contained = jinja_string_find(container->string, 0, item->string) != SIZE_MAX;
		return jinja_charge_bytes(r, container->string.size);
	}
	if (!jinja_has_items(container))
		return jinja_fail(r, ERR_INPUT, "argument of type '%s' is not iterable",
			jinja_type_name(container));
	if (container->type == JINJA_VIEW && strcmp(container->list.shown, "dict_keys") == 0 &&
		!jinja_hashable(r, item))
		return false;
	size_t unshared = 0, *i = container->list.taken ? container->list.taken : &unshared;

	for (; *i < container->list.count && !*contained; ++*i) {
		const struct jinja_value v = jinja_at(container, *i);

		if (!jinja_charge(r, 1) || !jinja_equal(r, &v, item, contained))
			return false;
	}
	return true;
}

bool jinja_length(struct jinja_render *r, const struct jinja_value *v, size_t *length)
{
	*length = 0;
	if (v->type == JINJA_UNDEFINED)
		return true;
	if (v->type == JINJA_STRING) {
		*length = unicode_length(v->string.bytes, v->string.size);
		return jinja_charge_bytes(r, v->string.size);
	}
	if (v->type == JINJA_DICT)
		*length = jinja_dict_count(v);
	else if (jinja_has_items(v) && v->type != JINJA_ITERATOR)
		*length = v->list.count;
	else
		return jinja_fail(
			r, ERR_INPUT, "object of type '%s' has no len()", jinja_type_name(v));
	return true;
}

static bool characters_of(struct jinja_render *r, struct jinja_string s, struct jinja_value *out)
{
	const size_t count = unicode_length(s.bytes, s.size);
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));
	size_t at = 0;

	s.markup = false;
	if (!items || !jinja_charge(r, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		uint32_t c;
		const size_t length = unicode_decode(s.bytes + at, s.size - at, &c);

		items[i] = jinja_string(jinja_cut(s, at, at + length));
		at += length;
	}
	*out = jinja_list_of(items, count);
	return true;
}

static bool keys_of(struct jinja_render *r, const struct jinja_value *dict, struct jinja_value *out)
{
	const size_t count = jinja_dict_count(dict);
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));
	struct jinja_cursor cursor = {.dict = dict};
	struct jinja_value ignored;
	size_t i = 0;

	if (!items || !jinja_charge(r, count))
		return false;
	while (i < count && jinja_next(&cursor, &items[i], &ignored))
		i++;
	*out = jinja_list_of(items, count);
	return true;
}

bool jinja_to_list(struct jinja_render *r, const struct jinja_value *v, struct jinja_value *out)
{
	if (jinja_has_items(v)) {
		*out = *v;
		out->type = JINJA_LIST;
		if (v->type == JINJA_ITERATOR) {
			out->list.items = *v->list.taken ? v->list.items + *v->list.taken
				: v->list.items;
			out->list.count -= *v->list.taken;
			*v->list.taken = v->list.count;
			out->list.taken = NULL;
		}
		return true;
	}
	if (v->type == JINJA_UNDEFINED) {
		*out = jinja_list_of(NULL, 0);
		return true;
	}
	if (v->type == JINJA_DICT)
		return keys_of(r, v, out);
	if (v->type == JINJA_STRING)
		return characters_of(r, v->string, out);
	return jinja_fail(r, ERR_INPUT, "'%s' object is not iterable", jinja_type_name(v));
}
