/* model/template/jinja_node.h - a compiled template: a tree of nodes in one arena.
 *
 * Private to the Jinja engine. Lists of nodes (bodies, arguments, elements) hang together by next.
 */
#ifndef MODEL_TEMPLATE_JINJA_NODE_H
#define MODEL_TEMPLATE_JINJA_NODE_H

#include "model/template/jinja_call.h"

enum jinja_node_kind {
	/* expressions */
	JINJA_NODE_LITERAL,
	JINJA_NODE_NAME,
	JINJA_NODE_LIST,
	JINJA_NODE_TUPLE,
	JINJA_NODE_DICT,          /* of pairs */
	JINJA_NODE_PAIR,
	JINJA_NODE_ADD,           /* a + b + c ..., so that strings are put together once */
	JINJA_NODE_CONCAT,        /* a ~ b ~ c ... */
	JINJA_NODE_BINARY,
	JINJA_NODE_UNARY,
	JINJA_NODE_AND,
	JINJA_NODE_OR,
	JINJA_NODE_COMPARE,       /* a < b <= c: the first, then steps */
	JINJA_NODE_STEP,
	JINJA_NODE_CONDITION,     /* a if test else b */
	JINJA_NODE_ATTRIBUTE,
	JINJA_NODE_ITEM,
	JINJA_NODE_SLICE,
	JINJA_NODE_CALL,
	JINJA_NODE_ARGUMENT,
	JINJA_NODE_FILTER,
	JINJA_NODE_TEST,
	/* statements */
	JINJA_NODE_TEXT,
	JINJA_NODE_OUTPUT,
	JINJA_NODE_IF,
	JINJA_NODE_FOR,           /* op: JINJA_RECURSIVE, if it is */
	JINJA_NODE_SET,
	JINJA_NODE_SET_BLOCK,
	JINJA_NODE_MACRO,
	JINJA_NODE_PARAMETER,
	JINJA_NODE_CALL_BLOCK,    /* {% call m() %}body{% endcall %} */
	JINJA_NODE_FILTER_BLOCK,
	JINJA_NODE_WITH,
	JINJA_NODE_BREAK,
	JINJA_NODE_CONTINUE,
};

enum jinja_operator {
	JINJA_SUB, JINJA_MUL, JINJA_DIV, JINJA_FLOORDIV, JINJA_MOD, JINJA_POW,
	JINJA_NEGATE, JINJA_PLUS, JINJA_NOT,
	JINJA_PLAIN, JINJA_RECURSIVE,
	JINJA_EQ, JINJA_NE, JINJA_LT, JINJA_LE, JINJA_GT, JINJA_GE, JINJA_IN, JINJA_NOT_IN,
};

#define JINJA_NAME_NONE UINT32_MAX

/* Names that mean something in a macro, if it speaks of them. */
#define JINJA_USES_CALLER  1U
#define JINJA_USES_KWARGS  2U
#define JINJA_USES_VARARGS 4U

/* A struct member of pointers to nodes. */
#define JINJA_PART(name, ...)                  \
	struct {                               \
		struct jinja_node __VA_ARGS__; \
	} name

struct jinja_node {
	enum jinja_node_kind kind;
	enum jinja_operator op;     /* binary, unary, step */
	uint32_t line;
	uint32_t name;              /* identifier, or JINJA_NAME_NONE */
	struct jinja_node *next;
	/* The member a kind uses has its name, but for those that a comment names. */
	union {
		struct jinja_value literal;   /* and text */
		struct jinja_node *first;     /* list, tuple, dict, add, concat: the elements */
		struct jinja_node *operand;   /* unary, output */
		struct jinja_node *right;     /* step */
		struct jinja_node *argument;  /* named if the node has a name */
		struct jinja_node *standard;  /* parameter: its value when not given, or NULL */
		JINJA_PART(pair, *key, *value);
		JINJA_PART(binary, *left, *right);                    /* and, or too */
		JINJA_PART(compare, *first, *steps);
		/* if too; the last may be NULL */
		JINJA_PART(condition, *test, *then, *otherwise);
		JINJA_PART(attribute, *object);
		JINJA_PART(item, *object, *index);
		JINJA_PART(slice, *object, *bounds[3]);               /* a bound may be NULL */
		JINJA_PART(call, *callee, *arguments);
		JINJA_PART(loop, *target, *iterable, *condition, *body, *otherwise);  /* for */
		/* set block: value is its filters */
		JINJA_PART(set, *target, *value, *body);
		struct {
			struct jinja_node *parameters, *body;
			uint8_t uses;         /* JINJA_USES_... */
		} macro;
		struct {
			struct jinja_node *call, *parameters, *body;
			uint8_t uses;         /* of what it gives as caller */
		} call_block;
		JINJA_PART(filter_block, *filters, *body);
		JINJA_PART(with, *assignments, *body);                /* set nodes */
		/* NULL: unknown, and an error when it is reached; then name is its name */
		struct {
			const struct jinja_filter *filter;
			struct jinja_node *value, *arguments;
		} filter;
		struct {
			const struct jinja_test *test;
			struct jinja_node *value, *arguments;
		} test;
	};
};

/* The value that stands at the end of a chain of filters of a block: the block's text. */
#define JINJA_NODE_BLOCK_TEXT NULL

struct jinja_name {
	const char *bytes;
	size_t size;
};

struct jinja_template {
	struct arena arena;
	struct jinja_node *body;
	struct jinja_name *names;    /* [name_count] by the numbers in nodes */
	size_t name_count;
	/* the numbers of these names, or JINJA_NAME_NONE */
	uint32_t loop_name;
	uint32_t caller_name, kwargs_name, varargs_name;
};

#endif
