/* model/template/jinja_eval.h - walking a compiled template: scopes, expressions, statements.
 *
 * Private to the Jinja engine. A name is looked up from the innermost scope outwards; a for, a
 * macro and a with have scopes of their own, an if has none.
 */
#ifndef MODEL_TEMPLATE_JINJA_EVAL_H
#define MODEL_TEMPLATE_JINJA_EVAL_H

#include "model/template/jinja_node.h"

struct jinja_binding {
	struct jinja_binding *next;
	uint32_t name;
	bool bound;                 /* false: left over from an earlier turn of a for */
	struct jinja_value value;
};

struct jinja_scope {
	struct jinja_scope *parent;
	struct jinja_binding *bindings;
};

struct jinja_macro {
	const struct jinja_node *parameters;
	const struct jinja_node *body;
	uint32_t name;              /* JINJA_NAME_NONE: the caller of a call block */
	uint8_t uses;               /* JINJA_USES_... */
	struct jinja_scope *scope;  /* where it was defined */
};

/* NULL after setting the error. */
struct jinja_scope *jinja_scope_open(struct jinja_render *r, struct jinja_scope *parent) MUST_CHECK;
bool jinja_scope_set(struct jinja_render *r, struct jinja_scope *scope, uint32_t name,
	const struct jinja_value *value) MUST_CHECK;

bool jinja_eval(struct jinja_render *r, struct jinja_scope *scope, const struct jinja_node *node,
	struct jinja_value *out) MUST_CHECK;
/* The arguments of a call, evaluated in order. */
bool jinja_eval_arguments(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *list, struct jinja_args *out) MUST_CHECK;

enum jinja_flow { JINJA_FLOW_ON, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE };

bool jinja_exec(struct jinja_render *r, struct jinja_scope *scope, const struct jinja_node *body,
	enum jinja_flow *flow) MUST_CHECK;
bool jinja_macro_call(struct jinja_render *r, const struct jinja_macro *macro,
	const struct jinja_args *args, struct jinja_value *out) MUST_CHECK;

/* Python's arithmetic (jinja_operators.c). */
bool jinja_add(struct jinja_render *r, const struct jinja_value *left,
	const struct jinja_value *right, struct jinja_value *out) MUST_CHECK;
bool jinja_arithmetic(struct jinja_render *r, enum jinja_operator op,
	const struct jinja_value *left, const struct jinja_value *right,
	struct jinja_value *out) MUST_CHECK;
bool jinja_sign(struct jinja_render *r, enum jinja_operator op, const struct jinja_value *v,
	struct jinja_value *out) MUST_CHECK;

#endif
