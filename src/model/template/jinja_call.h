/* model/template/jinja_call.h - what templates can call: arguments, and the tables of functions,
 * methods, filters, tests.
 *
 * Private to the Jinja engine. A function binds its arguments by jinja_bind and returns true with
 * *out set, or false with the error in r->info.
 */
#ifndef MODEL_TEMPLATE_JINJA_CALL_H
#define MODEL_TEMPLATE_JINJA_CALL_H

#include <string.h>

#include "model/template/jinja_value.h"

struct jinja_named {
	const char *name;
	size_t size;
	struct jinja_value value;
};

struct jinja_args {
	const struct jinja_value *values;   /* positional */
	size_t count;
	const struct jinja_named *named;
	size_t named_count;
};

/* names are the parameters, in order; the first required of them must be given. values holds the
 * defaults and receives what is given. */
bool jinja_bind(struct jinja_render *r, const char *callee, const struct jinja_args *args,
	const char *const *names, size_t name_count, size_t required,
	struct jinja_value *values) MUST_CHECK;
/* v as a string or an integer, else a TypeError that names callee. */
bool jinja_want_string(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	struct jinja_string *out) MUST_CHECK;
bool jinja_want_int(struct jinja_render *r, const char *callee, const struct jinja_value *v,
	int64_t *out) MUST_CHECK;

/* range(start, stop, step). */
bool jinja_make_range(struct jinja_render *r, const int64_t numbers[3],
	struct jinja_value *out) MUST_CHECK;

/* format % values, and format.format(...) (jinja_format.c). */
bool jinja_format_percent(struct jinja_render *r, struct jinja_string format,
	const struct jinja_value *values, struct jinja_value *out) MUST_CHECK;
bool jinja_format_fields(struct jinja_render *r, struct jinja_string format,
	const struct jinja_args *args, struct jinja_value *out) MUST_CHECK;

/* As transformers: names that begin with an underscore are refused. */
bool jinja_namespace_takes(struct jinja_render *r, const struct jinja_value *name) MUST_CHECK;

/* Of the environment. */
struct jinja_function {
	const char *name;
	bool (*call)(
		struct jinja_render *r, const struct jinja_args *args, struct jinja_value *out);
};
/* NULL: no such function. */
const struct jinja_function *jinja_function_find(const char *name, size_t size);

struct jinja_method_entry {
	enum jinja_type type;   /* of the receiver */
	const char *name;
	bool (*call)(struct jinja_render *r, const struct jinja_value *receiver,
		const struct jinja_args *args, struct jinja_value *out);
};
struct jinja_method {
	const struct jinja_method_entry *entry;
	struct jinja_value receiver;
};
const struct jinja_method_entry *jinja_method_find(enum jinja_type type, const char *name,
	size_t size);
/* Those of strings (jinja_methods_str.c); the last has no name. */
extern const struct jinja_method_entry JINJA_STR_METHODS[];

struct jinja_filter {
	const char *name;
	bool (*call)(struct jinja_render *r, const struct jinja_value *value,
		const struct jinja_args *args, struct jinja_value *out);
};
const struct jinja_filter *jinja_filter_find(const char *name, size_t size);
/* Those on lists (jinja_filters_list.c) and those on text (jinja_filters_text.c); the last has no
 * name. */
extern const struct jinja_filter JINJA_LIST_FILTERS[];
extern const struct jinja_filter JINJA_TEXT_FILTERS[];

struct jinja_test {
	const char *name;
	bool (*call)(struct jinja_render *r, const struct jinja_value *value,
		const struct jinja_args *args, bool *out);
};
const struct jinja_test *jinja_test_find(const char *name, size_t size);

/* Calls whatever can be called. */
bool jinja_call(struct jinja_render *r, const struct jinja_value *callee,
	const struct jinja_args *args, struct jinja_value *out) MUST_CHECK;

/* The variable loop: where a for stands. */
struct jinja_loop {
	struct jinja_value list;
	size_t index;
	uint32_t depth;                 /* of a recursive one in others, from 0 */
	const struct jinja_node *node;  /* of the for, where it is recursive; else NULL */
	struct jinja_scope *scope;      /* around it */
	struct jinja_value changed;     /* what changed() was told last, or nothing */
};

/* The variable of cycler(). */
struct jinja_cycler {
	const struct jinja_value *items;
	size_t count;
	size_t index;
};
bool jinja_loop_attribute(const struct jinja_loop *loop, const char *name, size_t size,
	struct jinja_value *out);

/* name, arguments, caller, catch_kwargs, catch_varargs. */
bool jinja_macro_attribute(struct jinja_render *r, const struct jinja_macro *macro,
	const char *name, size_t size, struct jinja_value *out, bool *found) MUST_CHECK;

/* loop(iterable) of a recursive for: its text. */
bool jinja_loop_call(struct jinja_render *r, const struct jinja_loop *loop,
	const struct jinja_args *args, struct jinja_value *out) MUST_CHECK;

static inline bool jinja_name_is(const char *name, size_t size, const char *wanted)
{
	return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

#endif
