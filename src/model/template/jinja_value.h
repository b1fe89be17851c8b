/* model/template/jinja_value.h - what a template computes with: Python's values, immutable but for
 * namespaces.
 *
 * Private to the Jinja engine. Lists and dicts are the engine's own or borrowed JSON; the functions
 * below hide which. Functions that return bool are true on success; false leaves the error in
 * r->info.
 */
#ifndef MODEL_TEMPLATE_JINJA_VALUE_H
#define MODEL_TEMPLATE_JINJA_VALUE_H

#include "model/template/jinja.h"

enum jinja_type {
	JINJA_UNDEFINED,
	JINJA_NONE,
	JINJA_BOOL,
	JINJA_INT,
	JINJA_FLOAT,
	JINJA_STRING,
	JINJA_LIST,
	JINJA_TUPLE,
	JINJA_RANGE,     /* what range() gives */
	JINJA_VIEW,      /* of a dict: what items(), keys() and values() give */
	JINJA_ITERATOR,  /* walked once: what map, select and their kin give */
	JINJA_DICT,
	JINJA_NAMESPACE,
	JINJA_LOOP,      /* the variable loop inside a for */
	JINJA_MACRO,
	JINJA_FUNCTION,  /* of the environment: range, namespace, ... */
	JINJA_METHOD,    /* bound to a value: text.split */
	JINJA_CYCLER,    /* of cycler() */
	JINJA_JOINER,    /* of joiner() */
};

/* Bytes that live as long as the render. */
struct jinja_string {
	const char *bytes;
	size_t size;
	const uint8_t *trust;  /* [size] 1: trusted; NULL: all are as trusted says */
	bool trusted;
	bool markup;           /* as |safe and |escape make it: what joins it is escaped */
};

struct jinja_cycler;
struct jinja_dict;
struct jinja_function;
struct jinja_loop;
struct jinja_macro;
struct jinja_method;
struct jinja_value;

/* What groupby gives says so in shown. */
#define JINJA_GROUP "group"

struct jinja_list {
	const struct jinja_value *items;
	const json_t *json;    /* an array, instead of items */
	size_t count;
	bool trusted;          /* the strings in json */
	const char *shown;     /* view: what stands before its items; tuple: JINJA_GROUP, or NULL */
	const int64_t *range;  /* range: start, stop, step */
	size_t *taken;         /* iterator: items that were walked already */
};

struct jinja_mapping {
	struct jinja_dict *own;
	const json_t *json;    /* an object, instead of own */
	bool trusted;
};

/* Something that is not there: what was asked for, and of what. */
struct jinja_missing {
	const char *name;
	size_t size;
	const char *owner;     /* "dict object"; NULL: a variable */
};

struct jinja_value {
	enum jinja_type type;
	union {
		bool boolean;
		int64_t integer;
		double real;
		struct jinja_string string;
		struct jinja_list list;              /* and tuple, range, view, iterator */
		struct jinja_mapping dict;
		struct jinja_missing missing;
		struct jinja_dict *names;            /* namespace */
		struct jinja_loop *loop;
		const struct jinja_macro *macro;
		const struct jinja_function *function;
		const struct jinja_method *method;
		struct jinja_cycler *cycler;
		struct jinja_string *joiner;         /* what it gives next */
	};
};

struct jinja_pair {
	struct jinja_value key;
	struct jinja_value value;
};

/* Pairs in the order of insertion; small, searched one by one. */
struct jinja_dict {
	struct jinja_pair *pairs;
	size_t count;
	size_t capacity;
};

struct jinja_builder;

/* One render on its way. */
struct jinja_render {
	const struct jinja_template *t;
	struct jinja_limits limits;
	const struct tm *now;
	struct arena *arena;
	struct jinja_output *output;
	struct jinja_builder *capture;   /* where text goes inside a macro; NULL: to output */
	struct jinja_value block_text;   /* what the filters of a block are for */
	struct err_info *info;
	uint64_t steps;
	uint32_t depth;
	uint32_t line;                   /* of the statement or call being worked on */
};

/* Sets the error with the line before it; returns false. */
bool jinja_fail(struct jinja_render *r, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Counts steps; false when the limit is reached. */
bool jinja_charge(struct jinja_render *r, size_t steps) MUST_CHECK;
/* For work on so many bytes. */
bool jinja_charge_bytes(struct jinja_render *r, size_t bytes) MUST_CHECK;
/* From the arena, zeroed; NULL after setting the error. */
void *jinja_array(struct jinja_render *r, size_t count, size_t size) MUST_CHECK;

static inline struct jinja_value jinja_none(void)
{
	return (struct jinja_value){.type = JINJA_NONE};
}

static inline struct jinja_value jinja_bool(bool boolean)
{
	return (struct jinja_value){.type = JINJA_BOOL, .boolean = boolean};
}

static inline struct jinja_value jinja_int(int64_t integer)
{
	return (struct jinja_value){.type = JINJA_INT, .integer = integer};
}

static inline struct jinja_value jinja_float(double real)
{
	return (struct jinja_value){.type = JINJA_FLOAT, .real = real};
}

static inline struct jinja_value jinja_string(struct jinja_string string)
{
	return (struct jinja_value){.type = JINJA_STRING, .string = string};
}

static inline struct jinja_value jinja_list_of(const struct jinja_value *items, size_t count)
{
	return (struct jinja_value){.type = JINJA_LIST, .list = {.items = items, .count = count}};
}

static inline struct jinja_value jinja_tuple_of(const struct jinja_value *items, size_t count)
{
	return (struct jinja_value){.type = JINJA_TUPLE, .list = {.items = items, .count = count}};
}

/* Whatever has its elements in list. */
static inline bool jinja_has_items(const struct jinja_value *v)
{
	return v->type >= JINJA_LIST && v->type <= JINJA_ITERATOR;
}

static inline bool jinja_is_list(const struct jinja_value *v)
{
	return v->type == JINJA_LIST || v->type == JINJA_TUPLE;
}

/* Whole numbers for arithmetic: int and bool. */
static inline bool jinja_is_integral(const struct jinja_value *v)
{
	return v->type == JINJA_INT || v->type == JINJA_BOOL;
}

static inline bool jinja_is_number(const struct jinja_value *v)
{
	return jinja_is_integral(v) || v->type == JINJA_FLOAT;
}

struct jinja_value jinja_from_json(const json_t *json, bool trusted);
/* A string of the program's own; trusted as a template's literal. */
struct jinja_string jinja_text(const char *text);
struct jinja_value jinja_undefined(const char *name, size_t size, const char *owner);

/* The value of an integral; the number as a float. */
int64_t jinja_integer(const struct jinja_value *v);
double jinja_real(const struct jinja_value *v);

/* Python's class name: "str", "NoneType". */
const char *jinja_type_name(const struct jinja_value *v);
/* As jinja2 calls it in errors: "dict object". */
const char *jinja_object_name(const struct jinja_value *v);
/* "'x' is undefined" and its kin; returns false. */
bool jinja_fail_undefined(struct jinja_render *r, const struct jinja_value *v);

bool jinja_truth(const struct jinja_value *v);

/* An iterator over the items. */
bool jinja_iterate(struct jinja_render *r, const struct jinja_value *items, size_t count,
	struct jinja_value *out) MUST_CHECK;

/* Lists and what else has items. */
struct jinja_value jinja_at(const struct jinja_value *list, size_t index);

/* False, with Python's TypeError, for what cannot be a key. */
bool jinja_hashable(struct jinja_render *r, const struct jinja_value *v) MUST_CHECK;

/* Dicts and namespaces. */
size_t jinja_dict_count(const struct jinja_value *dict);
/* *found tells whether the key is there. */
bool jinja_dict_find(struct jinja_render *r, const struct jinja_value *dict,
	const struct jinja_value *key, struct jinja_value *out, bool *found) MUST_CHECK;
bool jinja_dict_put(struct jinja_render *r, struct jinja_dict *dict, const struct jinja_value *key,
	const struct jinja_value *value) MUST_CHECK;

/* All pairs in order: zero it, set dict, call until false. */
struct jinja_cursor {
	const struct jinja_value *dict;
	size_t index;
	void *iterator;
};
bool jinja_next(struct jinja_cursor *cursor, struct jinja_value *key, struct jinja_value *value);

/* Python's == and, for what has an order, the sign of left - right. */
bool jinja_equal(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, bool *equal) MUST_CHECK;
bool jinja_compare(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, const char *operator, int *order) MUST_CHECK;
/* Python's "item in container". */
bool jinja_contains(struct jinja_render *r, const struct jinja_value *container,
	const struct jinja_value *item, bool *contained) MUST_CHECK;
/* len(); an error for what has none. */
bool jinja_length(struct jinja_render *r, const struct jinja_value *v, size_t *length) MUST_CHECK;
/* Whatever a for can walk, as a list: the keys of a dict, the characters of a string, what is left
 * of an iterator, which is empty then. */
bool jinja_to_list(struct jinja_render *r, const struct jinja_value *v, struct jinja_value *out)
	MUST_CHECK;

/* A method or attribute that the object has by itself. */
bool jinja_native_attribute(struct jinja_render *r, const struct jinja_value *object,
	const char *name, size_t size, struct jinja_value *out, bool *found) MUST_CHECK;
/* object.name and object[index]; what is not there gives undefined. */
bool jinja_attribute(struct jinja_render *r, const struct jinja_value *object, const char *name,
	size_t size, struct jinja_value *out) MUST_CHECK;
bool jinja_item(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value *index, struct jinja_value *out) MUST_CHECK;
/* object[start:stop:step], each undefined where left out. */
bool jinja_slice(struct jinja_render *r, const struct jinja_value *object,
	const struct jinja_value bounds[3], struct jinja_value *out) MUST_CHECK;

#endif
