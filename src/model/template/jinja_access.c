/* model/template/jinja_access.c - object.name, object[index] and slices, as jinja2's sandbox
 * resolves them.
 *
 * object.name looks for a method first, then for an item, object[index] the other way round; so a
 * key called "items" is reached by object["items"] only. What is not there is undefined, not an
 * error.
 */
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/template/jinja_call.h"
#include "model/template/jinja_text.h"
#include "model/tokenizer/unicode.h"

/* Methods that would change their object; the immutable sandbox hides them. */
static bool is_mutating(const struct jinja_value *object, const char *name, size_t size)
{
	static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};

	for (size_t i = 0; i < sizeof(of_dict) / sizeof(of_dict[0]); i++)
		if (object->type == JINJA_DICT && jinja_name_is(name, size, of_dict[i]))
			return true;
	return size >= 2 && name[0] == '_' && name[1] == '_';
}

bool jinja_native_attribute(struct jinja_render *r, const struct jinja_value *object,
	const char *name, size_t size, struct jinja_value *out, bool *found)
{
	const struct jinja_method_entry *entry = jinja_method_find(object->type, name, size);
	struct jinja_method *method;

	*found = true;
	if (entry) {
		method = jinja_array(r, 1, sizeof(*method));
		if (!method)
			return false;
		*method = (struct jinja_method){.entry = entry, .receiver = *object};
		*out = (struct jinja_value){.type = JINJA_METHOD, .method = method};
		return true;
	}
	if (object->type == JINJA_LOOP && jinja_loop_attribute(object->loop, name, size, out))
		return true;
	if (object->type == JINJA_TUPLE && object->list.shown &&
		(jinja_name_is(name, size, "grouper") || jinja_name_is(name, size, "list"))) {
		*out = jinja_at(object, name[0] == 'l');
		return true;
	}
	if (object->type == JINJA_CYCLER && jinja_name_is(name, size, "current")) {
		*out = object->cycler->items[object->cycler->index];
		return true;
	}
	if (object->type == JINJA_MACRO)
		return jinja_macro_attribute(r, object->macro, name, size, out, found);
	*found = false;
	if (object->type == JINJA_NAMESPACE) {
		const struct jinja_value key =
			jinja_string((struct jinja_string){.bytes = name, .size = size});

		return jinja_dict_find(r, object, &key, out, found);
	}
	return true;
}

bool jinja_attribute(struct jinja_render *r, const struct jinja_value *object, const char *name,
	size_t size, struct jinja_value *out)
{
	const struct jinja_value key =
		jinja_string((struct jinja_string){.bytes = name, .size = size});
	bool found;

	if (object->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, object);
	if (!jinja_native_attribute(r, object, name, size, out, &found))
		return false;
	if (!found && object->type == JINJA_DICT && !is_mutating(object, name, size) &&
		!jinja_dict_find(r, object, &key, out, &found))
		return false;
	if (!found)
		*out = jinja_undefined(name, size, jinja_object_name(object));
	return true;
}

/* What an index that is not there is called in an error. */
static bool missing_item(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value *index, struct jinja_value *out)
{
	struct jinja_string name;

	if (!jinja_to_string(r, index, &name))
		return false;
	*out = jinja_undefined(name.bytes, name.size, jinja_object_name(object));
	return true;
}

/* Python's index, negative from the end; false when it is outside. */
static bool index_resolve(int64_t index, size_t count, size_t *out)
{
	if (index < 0)
		index += (int64_t)count;
	if (index < 0 || index >= (int64_t)count)
		return false;
	*out = (size_t)index;
	return true;
}

static bool integer_item(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value *index, struct jinja_value *out)
{
	size_t count, at;
	uint32_t ignored;

	if (!jinja_length(r, object, &count))
		return false;
	if (!index_resolve(jinja_integer(index), count, &at))
		return missing_item(r, object, index, out);
	if (jinja_has_items(object)) {
		*out = jinja_at(object, at);
		return true;
	}
	const struct jinja_string s = object->string;
	const size_t begin = jinja_character_offset(s, at);

	*out = jinja_string(jinja_cut(
		s, begin, begin + unicode_decode(s.bytes + begin, s.size - begin, &ignored)));
	return true;
}

bool jinja_item(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value *index, struct jinja_value *out)
{
	bool found = false;

	if (object->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, object);
	if (index->type == JINJA_UNDEFINED && object->type != JINJA_DICT)
		return missing_item(r, object, index, out);
	if (jinja_is_integral(index) && (jinja_is_list(object) || object->type == JINJA_RANGE ||
		object->type == JINJA_STRING))
		return integer_item(r, object, index, out);
	if (object->type == JINJA_DICT && !jinja_dict_find(r, object, index, out, &found))
		return false;
	if (!found && index->type == JINJA_STRING &&
		!jinja_native_attribute(r, object, index->string.bytes, index->string.size, out,
		&found))
		return false;
	return found || missing_item(r, object, index, out);
}

/* Python's slice.indices. */
struct range {
	int64_t start, stop, step;
};

static int64_t clamp_bound(int64_t bound, int64_t count, int64_t step)
{
	if (bound < 0)
		bound = bound < -count ? -1 : bound + count;
	if (step > 0)
		return bound < 0 ? 0 : bound > count ? count : bound;
	return bound >= count ? count - 1 : bound;
}

static bool bound_of(struct jinja_render *r, const struct jinja_value *v, int64_t otherwise,
	int64_t *out)
{
	*out = otherwise;
	if (v->type == JINJA_NONE || (v->type == JINJA_UNDEFINED && !v->missing.name))
		return true;
	if (!jinja_is_integral(v))
		return jinja_fail(r, ERR_INPUT, "slice indices must be integers or None");
	*out = jinja_integer(v);
	return true;
}

static bool range_of(struct jinja_render *r, const struct jinja_value bounds[3], size_t count,
	struct range *out)
{
	const int64_t size = (int64_t)count;

	if (!bound_of(r, &bounds[2], 1, &out->step))
		return false;
	if (out->step == 0)
		return jinja_fail(r, ERR_INPUT, "slice step cannot be zero");
	if (out->step > size || out->step < -size)
		out->step = out->step > 0 ? size + 1 : -size - 1;
	/* left out, the bounds are the ends; -size - 1 is before the first whatever is added */
	if (!bound_of(r, &bounds[0], out->step > 0 ? 0 : size - 1, &out->start) ||
		!bound_of(r, &bounds[1], out->step > 0 ? size : -size - 1, &out->stop))
		return false;
	out->start = clamp_bound(out->start, size, out->step);
	out->stop = clamp_bound(out->stop, size, out->step);
	return true;
}

static size_t range_count(struct range range)
{
	if (range.step > 0)
		return range.stop > range.start
			       ? (size_t)((range.stop - range.start - 1) / range.step + 1)
			       : 0;
	return range.start > range.stop ? (size_t)((range.start - range.stop - 1) / -range.step + 1)
					: 0;
}

static bool slice_list(struct jinja_render *r, const struct jinja_value *list, struct range range,
	struct jinja_value *out)
{
	const size_t count = range_count(range);
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));

	if (!items || !jinja_charge(r, count))
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = jinja_at(list, (size_t)(range.start + (int64_t)i * range.step));
	*out = jinja_list_of(items, count);
	out->type = list->type == JINJA_TUPLE ? JINJA_TUPLE : JINJA_LIST;
	return true;
}

/* A range of the same numbers. They are within the old one, or a step beyond it. */
static bool slice_range(struct jinja_render *r, const int64_t *old, struct range range,
	struct jinja_value *out)
{
	int64_t numbers[3];

	for (int i = 0; i < 2; i++) {
		int64_t distance;

		if (!math_mul_i64(i ? range.stop : range.start, old[2], &distance) ||
			!math_add_i64(old[0], distance, &numbers[i]))
			return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
	}
	if (!math_mul_i64(old[2], range.step, &numbers[2]))
		return jinja_fail(r, ERR_UNSUPPORTED, "an integer beyond 64 bits");
	return jinja_make_range(r, numbers, out);
}

static bool slice_string(struct jinja_render *r, struct jinja_string s, struct range range,
	struct jinja_value *out)
{
	const size_t count = range_count(range);
	struct jinja_builder b = {0};
	struct jinja_value characters;
	struct jinja_string joined;

	if (range.step == 1) {
		const size_t begin = jinja_character_offset(s, (size_t)range.start);
		const struct jinja_string rest = jinja_cut(s, begin, s.size);

		*out = jinja_string(jinja_cut(rest, 0, jinja_character_offset(rest, count)));
		return true;
	}
	*out = jinja_string(s);
	if (!jinja_to_list(r, out, &characters))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!jinja_builder_add(r, &b, jinja_at(&characters,
			(size_t)(range.start + (int64_t)i * range.step)).string))
			return false;
	if (!jinja_builder_finish(r, &b, &joined))
		return false;
	joined.markup = s.markup;
	*out = jinja_string(joined);
	return true;
}

bool jinja_slice(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value bounds[3], struct jinja_value *out)
{
	struct range range;
	size_t count;

	if (object->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, object);
	if (!jinja_is_list(object) && object->type != JINJA_RANGE && object->type != JINJA_STRING)
		return jinja_fail(
			r, ERR_INPUT, "'%s' object cannot be sliced", jinja_type_name(object));
	if (!jinja_length(r, object, &count) || !range_of(r, bounds, count, &range))
		return false;
	if (object->type == JINJA_STRING)
		return slice_string(r, object->string, range, out);
	if (object->type == JINJA_RANGE)
		return slice_range(r, object->list.range, range, out);
	return slice_list(r, object, range, out);
}
