/* model/template/jinja_call.c - see jinja_call.h: binding arguments, and the functions of the
 * environment.
 */
#include "model/template/jinja_call.h"

#include "model/template/jinja_text.h"

#define STRFTIME_BYTES 1024

static bool bind_named(struct jinja_render *r, const char *callee, const struct jinja_named *named,
	const char *const *names, size_t name_count, size_t positional, struct jinja_value *values,
	uint64_t *given)
{
	for (size_t i = 0; i < name_count; i++) {
		if (!jinja_name_is(named->name, named->size, names[i]))
			continue;
		if (i < positional)
			return jinja_fail(
				r, ERR_INPUT, "%s: argument '%s' is given twice", callee, names[i]);
		values[i] = named->value;
		*given |= 1ull << i;
		return true;
	}
	return jinja_fail(r, ERR_INPUT, "%s: no argument is called '%.*s'", callee,
		(int)named->size, named->name);
}

bool jinja_bind(struct jinja_render *r, const char *callee, const struct jinja_args *args,
	const char *const *names, size_t name_count, size_t required, struct jinja_value *values)
{
	uint64_t given = 0;

	if (args->count > name_count)
		return jinja_fail(r, ERR_INPUT, "%s: at most %zu arguments, got %zu", callee,
			name_count, args->count);
	for (size_t i = 0; i < args->count; i++) {
		values[i] = args->values[i];
		given |= 1ull << i;
	}
	for (size_t i = 0; i < args->named_count; i++)
		if (!bind_named(r, callee, &args->named[i], names, name_count, args->count, values,
			    &given))
			return false;
	for (size_t i = 0; i < required; i++)
		if (!(given >> i & 1))
			return jinja_fail(
				r, ERR_INPUT, "%s: argument '%s' is missing", callee, names[i]);
	return true;
}

bool jinja_want_string(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	struct jinja_string *out)
{
	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (v->type != JINJA_STRING)
		return jinja_fail(
			r, ERR_INPUT, "%s: expected a str, got %s", callee, jinja_type_name(v));
	*out = v->string;
	return true;
}

bool jinja_want_int(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	int64_t *out)
{
	if (v->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, v);
	if (!jinja_is_integral(v))
		return jinja_fail(
			r, ERR_INPUT, "%s: expected an int, got %s", callee, jinja_type_name(v));
	*out = jinja_integer(v);
	return true;
}

/* A dict from what dict() and namespace() take: maybe another dict, and named values. */
static bool gather(struct jinja_render *r, const char *callee, const struct jinja_args *args,
	struct jinja_dict **out)
{
	struct jinja_dict *dict = jinja_array(r, 1, sizeof(*dict));
	struct jinja_value key, value;

	if (!dict)
		return false;
	if (args->count > 1 || (args->count == 1 && args->values[0].type != JINJA_DICT))
		return jinja_fail(r, ERR_INPUT, "%s: expected one dict at most", callee);
	if (args->count == 1) {
		struct jinja_cursor cursor = {.dict = &args->values[0]};

		while (jinja_next(&cursor, &key, &value))
			if (!jinja_dict_put(r, dict, &key, &value))
				return false;
	}
	for (size_t i = 0; i < args->named_count; i++) {
		key = jinja_string((struct jinja_string){
			.bytes = args->named[i].name, .size = args->named[i].size});
		if (!jinja_dict_put(r, dict, &key, &args->named[i].value))
			return false;
	}
	*out = dict;
	return true;
}

static bool call_namespace(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	*out = (struct jinja_value){.type = JINJA_NAMESPACE};
	if (!gather(r, "namespace", args, &out->names))
		return false;
	for (size_t i = 0; i < out->names->count; i++)
		if (!jinja_namespace_takes(r, &out->names->pairs[i].key))
			return false;
	return true;
}

bool jinja_namespace_takes(struct jinja_render *r, const struct jinja_value *name)
{
	return name->type != JINJA_STRING || name->string.size == 0 ||
		name->string.bytes[0] != '_' ||
		jinja_fail(r, ERR_INPUT, "a namespace takes no name that begins with '_'");
}

static bool call_cycler(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	struct jinja_cycler *cycler = jinja_array(r, 1, sizeof(*cycler));

	if (!cycler)
		return false;
	if (args->count == 0 || args->named_count > 0)
		return jinja_fail(r, ERR_INPUT, "at least one item has to be provided");
	*cycler = (struct jinja_cycler){.items = args->values, .count = args->count};
	*out = (struct jinja_value){.type = JINJA_CYCLER, .cycler = cycler};
	return true;
}

static bool call_joiner(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	static const char *const names[] = {"sep"};
	struct jinja_value separator = jinja_string(jinja_text(", "));
	struct jinja_string *joiner = jinja_array(r, 2, sizeof(*joiner));

	if (!joiner || !jinja_bind(r, "joiner", args, names, 1, 0, &separator) ||
		!jinja_want_string(r, "joiner", &separator, &joiner[1]))
		return false;
	joiner[0] = jinja_text("");
	*out = (struct jinja_value){.type = JINJA_JOINER, .joiner = joiner};
	return true;
}

static bool call_dict(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	*out = (struct jinja_value){.type = JINJA_DICT};
	return gather(r, "dict", args, &out->dict.own);
}

/* How many numbers from start to stop, stop not among them; JINJA_RANGE_MAX + 1 for too many. */
static size_t range_count(int64_t start, int64_t stop, int64_t step)
{
	const bool up = step > 0;
	const uint64_t distance =
		up ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
	const uint64_t stride = up ? (uint64_t)step : 0 - (uint64_t)step;

	if (up ? stop <= start : stop >= start)
		return 0;
	const uint64_t count = (distance - 1) / stride + 1;
	return count > JINJA_RANGE_MAX ? JINJA_RANGE_MAX + 1 : (size_t)count;
}

bool jinja_make_range(struct jinja_render *r, const int64_t numbers[3], struct jinja_value *out)
{
	const size_t count = range_count(numbers[0], numbers[1], numbers[2]);
	struct jinja_value *items;
	int64_t *own;

	if (count > JINJA_RANGE_MAX)
		return jinja_fail(r, ERR_LIMIT, "a range of more than %d numbers", JINJA_RANGE_MAX);
	items = jinja_array(r, count, sizeof(*items));
	own = jinja_array(r, 3, sizeof(*own));
	if (!items || !own || !jinja_charge(r, count))
		return false;
	for (size_t i = 0; i < count; i++)
		items[i] = jinja_int(numbers[0] + (int64_t)i * numbers[2]);
	memcpy(own, numbers, 3 * sizeof(*own));
	*out = (struct jinja_value){.type = JINJA_RANGE,
		.list = {.items = items, .count = count, .range = own}};
	return true;
}

static bool call_range(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	static const char *const names[] = {"start", "stop", "step"};
	struct jinja_value values[3] = {[2] = jinja_int(1)};
	int64_t numbers[3] = {0, 0, 1};

	if (args->named_count > 0 || !jinja_bind(r, "range", args, names, 3, 1, values))
		return jinja_fail(r, ERR_INPUT, "range: takes one to three numbers");
	if (args->count == 1) {
		values[1] = values[0];
		values[0] = jinja_int(0);
	}
	for (int i = 0; i < 3; i++)
		if (!jinja_want_int(r, "range", &values[i], &numbers[i]))
			return false;
	if (numbers[2] == 0)
		return jinja_fail(r, ERR_INPUT, "range() arg 3 must not be zero");
	return jinja_make_range(r, numbers, out);
}

/* The message goes to whoever asked, without a line. */
static bool call_raise_exception(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	static const char *const names[] = {"message"};
	struct jinja_value message;
	struct jinja_string text;

	(void)out;
	if (!jinja_bind(r, "raise_exception", args, names, 1, 1, &message) ||
		!jinja_to_string(r, &message, &text))
		return false;
	err_set(r->info, ERR_INPUT, "%.*s",
		(int)(text.size < ERR_TEXT_MAX ? text.size : ERR_TEXT_MAX), text.bytes);
	return false;
}

static bool call_strftime_now(struct jinja_render *r, const struct jinja_args *args,
	struct jinja_value *out)
{
	static const char *const names[] = {"format"};
	struct jinja_value value;
	struct jinja_string format;
	char *text, *terminated;

	if (!jinja_bind(r, "strftime_now", args, names, 1, 1, &value) ||
		!jinja_want_string(r, "strftime_now", &value, &format))
		return false;
	if (!r->now)
		return jinja_fail(r, ERR_UNSUPPORTED, "strftime_now: no time is given");
	text = jinja_array(r, STRFTIME_BYTES, 1);
	terminated = jinja_array(r, format.size + 1, 1);
	if (!text || !terminated)
		return false;
	memcpy(terminated, format.bytes, format.size);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored                                                                     \
	"-Wformat-nonliteral" /* the format is the template's; the size is bounded */
	const size_t size = strftime(text, STRFTIME_BYTES, terminated, r->now);
#pragma GCC diagnostic pop
	*out = jinja_string((struct jinja_string){.bytes = text, .size = size});
	return true;
}

const struct jinja_function *jinja_function_find(const char *name, size_t size)
{
	static const struct jinja_function functions[] = {{"namespace", call_namespace},
		{"dict", call_dict}, {"range", call_range},
		{"raise_exception", call_raise_exception}, {"strftime_now", call_strftime_now},
		{"cycler", call_cycler}, {"joiner", call_joiner}};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (jinja_name_is(name, size, functions[i].name))
			return &functions[i];
	return NULL;
}
