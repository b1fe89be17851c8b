/* model/template/jinja_eval.c - see jinja_eval.h: names and expressions. */
#include "model/template/jinja_eval.h"

#include <assert.h>
#include <string.h>

#include "model/template/jinja_text.h"

/* ---- scopes ---------------------------------------------------------------------------------- */

struct jinja_scope *jinja_scope_open(struct jinja_render *r, struct jinja_scope *parent)
{
	struct jinja_scope *scope = jinja_array(r, 1, sizeof(*scope));

	if (scope)
		scope->parent = parent;
	return scope;
}

bool jinja_scope_set(struct jinja_render *r, struct jinja_scope *scope, uint32_t name,
	const struct jinja_value *value)
{
	struct jinja_binding *binding = scope->bindings;
	size_t steps = 0;

	while (binding && binding->name != name) {
		binding = binding->next;
		steps++;
	}
	if (!jinja_charge(r, steps / 8))
		return false;
	if (!binding) {
		binding = jinja_array(r, 1, sizeof(*binding));
		if (!binding)
			return false;
		binding->name = name;
		binding->next = scope->bindings;
		scope->bindings = binding;
	}
	binding->bound = true;
	binding->value = *value;
	return true;
}

static bool lookup(struct jinja_render *r, const struct jinja_scope *scope, uint32_t name,
	struct jinja_value *out)
{
	const struct jinja_name *text = &r->t->names[name];
	const struct jinja_function *function;
	size_t steps = 0;

	for (; scope; scope = scope->parent) {
		for (const struct jinja_binding *b = scope->bindings; b; b = b->next, steps++) {
			if (b->name == name && b->bound) {
				*out = b->value;
				return jinja_charge(r, steps / 8);
			}
		}
	}
	function = jinja_function_find(text->bytes, text->size);
	if (function)
		*out = (struct jinja_value){.type = JINJA_FUNCTION, .function = function};
	else
		*out = jinja_undefined(text->bytes, text->size, NULL);
	return jinja_charge(r, steps / 8);
}

/* ---- containers ------------------------------------------------------------------------------ */

static size_t node_count(const struct jinja_node *list)
{
	size_t count = 0;

	for (; list; list = list->next)
		count++;
	return count;
}

static bool eval_list(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	const size_t count = node_count(node->first);
	struct jinja_value *items = jinja_array(r, count, sizeof(*items));
	size_t i = 0;

	if (!items)
		return false;
	for (const struct jinja_node *e = node->first; e; e = e->next, i++)
		if (!jinja_eval(r, scope, e, &items[i]))
			return false;
	*out = node->kind == JINJA_NODE_TUPLE ? jinja_tuple_of(items, count)
					      : jinja_list_of(items, count);
	return true;
}

static bool eval_dict(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_dict *dict = jinja_array(r, 1, sizeof(*dict));

	if (!dict)
		return false;
	for (const struct jinja_node *pair = node->first; pair; pair = pair->next) {
		struct jinja_value key, value;

		if (!jinja_eval(r, scope, pair->pair.key, &key) ||
			!jinja_eval(r, scope, pair->pair.value, &value) ||
			!jinja_dict_put(r, dict, &key, &value))
			return false;
	}
	*out = (struct jinja_value){.type = JINJA_DICT, .dict = {.own = dict}};
	return true;
}

/* ---- operators ------------------------------------------------------------------------------- */

/* A text more. Where one of both is markup the other is escaped, and both together are markup. */
static bool add_text(struct jinja_render *r, struct jinja_builder *b, struct jinja_string *sum,
	struct jinja_string right)
{
	if (sum->markup && !right.markup && !jinja_escape(r, right, &right))
		return false;
	if (!sum->markup && right.markup) {
		if (!jinja_builder_finish(r, b, sum) || !jinja_escape(r, *sum, sum))
			return false;
		*b = (struct jinja_builder){0};
		if (!jinja_builder_add(r, b, *sum))
			return false;
	}
	sum->markup = right.markup || sum->markup;
	return jinja_builder_add(r, b, right);
}

/* Strings that are added one after another are gathered and copied once. */
static bool eval_add(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_builder b = {0};
	struct jinja_string joined;

	if (!jinja_eval(r, scope, node->first, out))
		return false;
	if (out->type == JINJA_STRING && !jinja_builder_add(r, &b, out->string))
		return false;
	for (const struct jinja_node *e = node->first->next; e; e = e->next) {
		struct jinja_value right;

		if (!jinja_eval(r, scope, e, &right))
			return false;
		if (out->type == JINJA_STRING && right.type == JINJA_STRING) {
			if (!add_text(r, &b, &out->string, right.string))
				return false;
		} else if (!jinja_add(r, out, &right, out)) {
			return false;
		}
	}
	if (out->type != JINJA_STRING)
		return true;
	if (!jinja_builder_finish(r, &b, &joined))
		return false;
	joined.markup = out->string.markup;
	*out = jinja_string(joined);
	return true;
}

static bool eval_concat(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_builder b = {0};
	struct jinja_string s;

	for (const struct jinja_node *e = node->first; e; e = e->next) {
		struct jinja_value v;

		if (!jinja_eval(r, scope, e, &v) || !jinja_to_string(r, &v, &s) ||
			!jinja_builder_add(r, &b, s))
			return false;
	}
	if (!jinja_builder_finish(r, &b, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool eval_binary(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value left, right;

	return jinja_eval(r, scope, node->binary.left, &left) &&
	       jinja_eval(r, scope, node->binary.right, &right) &&
	       jinja_arithmetic(r, node->op, &left, &right, out);
}

static bool eval_unary(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value operand;

	if (!jinja_eval(r, scope, node->operand, &operand))
		return false;
	if (node->op != JINJA_NOT)
		return jinja_sign(r, node->op, &operand, out);
	*out = jinja_bool(!jinja_truth(&operand));
	return true;
}

/* The value that decides, as Python's and and or give it. */
static bool eval_logic(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	if (!jinja_eval(r, scope, node->binary.left, out))
		return false;
	if (jinja_truth(out) == (node->kind == JINJA_NODE_OR))
		return true;
	return jinja_eval(r, scope, node->binary.right, out);
}

static bool step_order(struct jinja_render *r, enum jinja_operator op,
	const struct jinja_value *left, const struct jinja_value *right, bool *holds)
{
	static const char *const names[] = {
		[JINJA_LT] = "<", [JINJA_LE] = "<=", [JINJA_GT] = ">", [JINJA_GE] = ">="};
	int order = 0;

	if (!jinja_compare(r, left, right, names[op], &order))
		return false;
	*holds = op == JINJA_LT   ? order < 0
		 : op == JINJA_LE ? order <= 0
		 : op == JINJA_GT ? order > 0
				  : order >= 0;
	return true;
}

static bool step_holds(struct jinja_render *r, enum jinja_operator op,
	const struct jinja_value *left, const struct jinja_value *right, bool *holds)
{
	if (op == JINJA_EQ || op == JINJA_NE) {
		if (!jinja_equal(r, left, right, holds))
			return false;
		*holds = *holds == (op == JINJA_EQ);
		return true;
	}
	if (op == JINJA_IN || op == JINJA_NOT_IN) {
		if (!jinja_contains(r, right, left, holds))
			return false;
		*holds = *holds == (op == JINJA_IN);
		return true;
	}
	return step_order(r, op, left, right, holds);
}

static bool eval_compare(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value left, right;
	bool holds = true;

	if (!jinja_eval(r, scope, node->compare.first, &left))
		return false;
	for (const struct jinja_node *step = node->compare.steps; step && holds;
		step = step->next) {
		if (!jinja_eval(r, scope, step->right, &right) ||
			!step_holds(r, step->op, &left, &right, &holds))
			return false;
		left = right;
	}
	*out = jinja_bool(holds);
	return true;
}

static bool eval_condition(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value test;

	if (!jinja_eval(r, scope, node->condition.test, &test))
		return false;
	if (jinja_truth(&test))
		return jinja_eval(r, scope, node->condition.then, out);
	if (node->condition.otherwise)
		return jinja_eval(r, scope, node->condition.otherwise, out);
	*out = jinja_undefined(
		"the value of an if without else", strlen("the value of an if without else"), NULL);
	return true;
}

/* ---- access and calls ------------------------------------------------------------------------ */

static bool eval_attribute(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	const struct jinja_name *name = &r->t->names[node->name];
	struct jinja_value object;

	return jinja_eval(r, scope, node->attribute.object, &object) &&
		jinja_attribute(r, &object, name->bytes, name->size, out);
}

static bool eval_item(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value object, index;

	return jinja_eval(r, scope, node->item.object, &object) &&
	       jinja_eval(r, scope, node->item.index, &index) &&
	       jinja_item(r, &object, &index, out);
}

static bool eval_slice(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value object, bounds[3];

	if (!jinja_eval(r, scope, node->slice.object, &object))
		return false;
	for (int i = 0; i < 3; i++) {
		bounds[i] = jinja_none();
		if (node->slice.bounds[i] &&
			!jinja_eval(r, scope, node->slice.bounds[i], &bounds[i]))
			return false;
	}
	return jinja_slice(r, &object, bounds, out);
}

bool jinja_eval_arguments(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *list, struct jinja_args *out)
{
	const size_t count = node_count(list);
	struct jinja_value *values = jinja_array(r, count, sizeof(*values));
	struct jinja_named *named = jinja_array(r, count, sizeof(*named));

	*out = (struct jinja_args){.values = values, .named = named};
	if (!values || !named)
		return false;
	for (const struct jinja_node *a = list; a; a = a->next) {
		struct jinja_value v;

		if (!jinja_eval(r, scope, a->argument, &v))
			return false;
		if (a->name == JINJA_NAME_NONE) {
			values[out->count++] = v;
			continue;
		}
		named[out->named_count++] = (struct jinja_named){.name = r->t->names[a->name].bytes,
			.size = r->t->names[a->name].size,
			.value = v};
	}
	return true;
}

bool jinja_call(struct jinja_render *r, const struct jinja_value *callee,
	const struct jinja_args *args, struct jinja_value *out)
{
	if (callee->type == JINJA_UNDEFINED)
		return jinja_fail_undefined(r, callee);
	if (callee->type == JINJA_FUNCTION)
		return callee->function->call(r, args, out);
	if (callee->type == JINJA_METHOD)
		return callee->method->entry->call(r, &callee->method->receiver, args, out);
	if (callee->type == JINJA_MACRO)
		return jinja_macro_call(r, callee->macro, args, out);
	if (callee->type == JINJA_LOOP)
		return jinja_loop_call(r, callee->loop, args, out);
	if (callee->type == JINJA_JOINER && args->count + args->named_count == 0) {
		/* nothing the first time */
		*out = jinja_string(callee->joiner[0]);
		callee->joiner[0] = callee->joiner[1];
		return true;
	}
	return jinja_fail(r, ERR_INPUT, "'%s' object is not callable", jinja_type_name(callee));
}

static bool eval_call(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value callee;
	struct jinja_args args;

	if (!jinja_eval(r, scope, node->call.callee, &callee) ||
		!jinja_eval_arguments(r, scope, node->call.arguments, &args))
		return false;
	r->line = node->line;
	return jinja_call(r, &callee, &args, out);
}

static bool fail_unknown(struct jinja_render *r, const struct jinja_node *node, const char *kind)
{
	const struct jinja_name *name = &r->t->names[node->name];

	r->line = node->line;
	return jinja_fail(r, ERR_INPUT, "no %s named '%.*s'", kind,
		(int)(name->size < 100 ? name->size : 100), name->bytes);
}

static bool eval_filter(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value value = r->block_text;
	struct jinja_args args;

	if (!node->filter.filter)
		return fail_unknown(r, node, "filter");
	if (node->filter.value != JINJA_NODE_BLOCK_TEXT &&
		!jinja_eval(r, scope, node->filter.value, &value))
		return false;
	if (!jinja_eval_arguments(r, scope, node->filter.arguments, &args))
		return false;
	r->line = node->line;
	return node->filter.filter->call(r, &value, &args, out);
}

static bool eval_test(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	struct jinja_value value;
	struct jinja_args args;
	bool holds = false;

	if (!node->test.test)
		return fail_unknown(r, node, "test");
	if (!jinja_eval(r, scope, node->test.value, &value) ||
		!jinja_eval_arguments(r, scope, node->test.arguments, &args) ||
		!node->test.test->call(r, &value, &args, &holds))
		return false;
	*out = jinja_bool(holds);
	return true;
}

static bool eval_node(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *out)
{
	static bool (*const by_kind[])(struct jinja_render * r, struct jinja_scope * scope,
		const struct jinja_node *node,
		struct jinja_value *out) = {[JINJA_NODE_LIST] = eval_list,
		[JINJA_NODE_TUPLE] = eval_list,
		[JINJA_NODE_DICT] = eval_dict,
		[JINJA_NODE_ADD] = eval_add,
		[JINJA_NODE_CONCAT] = eval_concat,
		[JINJA_NODE_BINARY] = eval_binary,
		[JINJA_NODE_UNARY] = eval_unary,
		[JINJA_NODE_AND] = eval_logic,
		[JINJA_NODE_OR] = eval_logic,
		[JINJA_NODE_COMPARE] = eval_compare,
		[JINJA_NODE_CONDITION] = eval_condition,
		[JINJA_NODE_ATTRIBUTE] = eval_attribute,
		[JINJA_NODE_ITEM] = eval_item,
		[JINJA_NODE_SLICE] = eval_slice,
		[JINJA_NODE_CALL] = eval_call,
		[JINJA_NODE_FILTER] = eval_filter,
		[JINJA_NODE_TEST] = eval_test};

	if (node->kind == JINJA_NODE_LITERAL) {
		*out = node->literal;
		return true;
	}
	if (node->kind == JINJA_NODE_NAME)
		return lookup(r, scope, node->name, out);
	assert(node->kind < sizeof(by_kind) / sizeof(by_kind[0]) && by_kind[node->kind]);
	return by_kind[node->kind](r, scope, node, out);
}

bool jinja_eval(struct jinja_render *r, struct jinja_scope *scope, const struct jinja_node *node,
	struct jinja_value *out)
{
	bool done;

	if (r->depth >= r->limits.depth_max)
		return jinja_fail(r, ERR_LIMIT, "nested too deeply");
	r->depth++;
	done = jinja_charge(r, 1) && eval_node(r, scope, node, out);
	r->depth--;
	return done;
}
