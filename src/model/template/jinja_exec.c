/* model/template/jinja_exec.c - see jinja_eval.h: statements, loops and macros. */
#include <assert.h>
#include <string.h>

#include "model/template/jinja_eval.h"
#include "model/template/jinja_text.h"

static bool assign(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *target, const struct jinja_value *value);

/* Body as text instead of output. */
static bool capture(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *body, struct jinja_value *out)
{
	struct jinja_builder *outer = r->capture;
	struct jinja_builder b = {0};
	enum jinja_flow flow;
	struct jinja_string s;
	bool done;

	r->capture = &b;
	done = jinja_exec(r, scope, body, &flow);
	r->capture = outer;
	if (!done || !jinja_builder_finish(r, &b, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

static bool emit_value(struct jinja_render *r, const struct jinja_value *value)
{
	struct jinja_string s;

	return jinja_to_string(r, value, &s) && jinja_emit(r, s);
}

/* ---- assignment ------------------------------------------------------------------------------ */

static bool unpack(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *targets, const struct jinja_value *value)
{
	struct jinja_value list;
	size_t i = 0;

	if (!jinja_to_list(r, value, &list))
		return false;
	for (const struct jinja_node *t = targets; t; t = t->next, i++) {
		if (i == list.list.count)
			return jinja_fail(r, ERR_INPUT, "not enough values to unpack (got %zu)", i);
		const struct jinja_value item = jinja_at(&list, i);

		if (!assign(r, scope, t, &item))
			return false;
	}
	if (i < list.list.count)
		return jinja_fail(r, ERR_INPUT, "too many values to unpack (expected %zu)", i);
	return true;
}

static bool assign_attribute(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *target, const struct jinja_value *value)
{
	const struct jinja_name *name = &r->t->names[target->name];
	const struct jinja_value key =
		jinja_string((struct jinja_string){.bytes = name->bytes, .size = name->size});
	struct jinja_value object;

	if (!jinja_eval(r, scope, target->attribute.object, &object))
		return false;
	if (object.type != JINJA_NAMESPACE)
		return jinja_fail(r, ERR_INPUT, "cannot assign attribute on non-namespace object");
	return jinja_namespace_takes(r, &key) && jinja_dict_put(r, object.names, &key, value);
}

static bool assign(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *target, const struct jinja_value *value)
{
	if (target->kind == JINJA_NODE_TUPLE)
		return unpack(r, scope, target->first, value);
	if (target->kind == JINJA_NODE_ATTRIBUTE)
		return assign_attribute(r, scope, target, value);
	assert(target->kind == JINJA_NODE_NAME);
	return jinja_scope_set(r, scope, target->name, value);
}

static bool exec_set(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	struct jinja_value value;

	return jinja_eval(r, scope, node->set.value, &value) &&
	       assign(r, scope, node->set.target, &value);
}

/* The filters of a block applied to its text. */
static bool filter_text(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *filters, struct jinja_value *text)
{
	if (!filters)
		return true;
	r->block_text = *text;
	return jinja_eval(r, scope, filters, text);
}

static bool exec_set_block(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	struct jinja_scope *inner = jinja_scope_open(r, scope);
	struct jinja_value value;

	return inner && capture(r, inner, node->set.body, &value) &&
	       filter_text(r, scope, node->set.value, &value) &&
	       assign(r, scope, node->set.target, &value);
}

static bool exec_filter_block(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	struct jinja_scope *inner = jinja_scope_open(r, scope);
	struct jinja_value value;

	return inner && capture(r, inner, node->filter_block.body, &value) &&
		filter_text(r, scope, node->filter_block.filters, &value) &&
		(value.type == JINJA_STRING ? jinja_emit(r, value.string)
			: jinja_fail(r, ERR_INPUT, "filter: expected a str, got %s",
			jinja_type_name(&value)));
}

static bool exec_with(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, enum jinja_flow *flow)
{
	struct jinja_scope *inner = jinja_scope_open(r, scope);

	if (!inner)
		return false;
	for (const struct jinja_node *set = node->with.assignments; set; set = set->next) {
		struct jinja_value value;

		if (!jinja_eval(r, scope, set->set.value, &value) ||
			!assign(r, inner, set->set.target, &value))
			return false;
	}
	return jinja_exec(r, inner, node->with.body, flow);
}

/* ---- for ------------------------------------------------------------------------------------- */

static void scope_unbind(struct jinja_scope *scope)
{
	for (struct jinja_binding *b = scope->bindings; b; b = b->next)
		b->bound = false;
}

/* What several targets were given goes on as a tuple, whatever it was. */
static bool repack(struct jinja_render *r, const struct jinja_node *target,
	struct jinja_value *item)
{
	if (target->kind != JINJA_NODE_TUPLE)
		return true;
	if (!jinja_to_list(r, item, item))
		return false;
	item->type = JINJA_TUPLE;
	item->list.shown = NULL;
	return true;
}

/* The elements for which the loop's condition holds. */
static bool filter_list(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_value *list)
{
	struct jinja_scope *inner = jinja_scope_open(r, scope);
	struct jinja_value *items = jinja_array(r, list->list.count, sizeof(*items));
	size_t count = 0;

	if (!inner || !items)
		return false;
	for (size_t i = 0; i < list->list.count; i++) {
		struct jinja_value test;

		items[count] = jinja_at(list, i);
		if (!assign(r, inner, node->loop.target, &items[count]) ||
			!jinja_eval(r, inner, node->loop.condition, &test) ||
			!repack(r, node->loop.target, &items[count]))
			return false;
		count += jinja_truth(&test);
	}
	*list = jinja_list_of(items, count);
	return true;
}

static bool exec_turn(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, struct jinja_loop *loop, enum jinja_flow *flow)
{
	const struct jinja_value item = jinja_at(&loop->list, loop->index);
	const struct jinja_value variable = {.type = JINJA_LOOP, .loop = loop};

	scope_unbind(scope);
	if (!jinja_charge(r, 1))   /* the body may be empty */
		return false;
	if (r->t->loop_name != JINJA_NAME_NONE &&
		!jinja_scope_set(r, scope, r->t->loop_name, &variable))
		return false;
	return assign(r, scope, node->loop.target, &item) &&
	       jinja_exec(r, scope, node->loop.body, flow);
}

/* Without one whole turn, because there was nothing or all were broken off, it is the else's. */
static bool walk(struct jinja_render *r, struct jinja_scope *scope, const struct jinja_node *node,
	const struct jinja_value *iterable, uint32_t depth, enum jinja_flow *flow)
{
	struct jinja_loop *loop = jinja_array(r, 1, sizeof(*loop));
	struct jinja_scope *inner = jinja_scope_open(r, scope);
	bool whole_turn = false;

	if (!loop || !inner || !jinja_to_list(r, iterable, &loop->list))
		return false;
	loop->node = node->op == JINJA_RECURSIVE ? node : NULL;
	loop->scope = scope;
	loop->depth = depth;
	loop->changed = jinja_undefined("changed", strlen("changed"), NULL);
	if (node->loop.condition && !filter_list(r, scope, node, &loop->list))
		return false;
	for (; loop->index < loop->list.list.count; loop->index++) {
		if (!exec_turn(r, inner, node, loop, flow))
			return false;
		whole_turn = whole_turn || *flow == JINJA_FLOW_ON;
		if (*flow == JINJA_FLOW_BREAK)
			break;
	}
	*flow = JINJA_FLOW_ON;
	scope_unbind(inner);
	return whole_turn || jinja_exec(r, inner, node->loop.otherwise, flow);
}

static bool exec_for(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, enum jinja_flow *flow)
{
	struct jinja_value iterable;

	return jinja_eval(r, scope, node->loop.iterable, &iterable) &&
		walk(r, scope, node, &iterable, 0, flow);
}

bool jinja_loop_call(struct jinja_render *r, const struct jinja_loop *loop,
	const struct jinja_args *args, struct jinja_value *out)
{
	static const char *const names[] = {"iterable"};
	struct jinja_builder *outer = r->capture;
	struct jinja_builder b = {0};
	struct jinja_value iterable;
	struct jinja_string s;
	enum jinja_flow flow;
	bool done;

	if (!loop->node)
		return jinja_fail(r, ERR_INPUT, "The loop must have the 'recursive' marker to be "
			"called recursively.");
	if (!jinja_bind(r, "loop", args, names, 1, 1, &iterable))
		return false;
	r->capture = &b;
	done = walk(r, loop->scope, loop->node, &iterable, loop->depth + 1, &flow);
	r->capture = outer;
	if (!done || !jinja_builder_finish(r, &b, &s))
		return false;
	*out = jinja_string(s);
	return true;
}

bool jinja_loop_attribute(const struct jinja_loop *loop, const char *name, size_t size,
	struct jinja_value *out)
{
	const int64_t index = (int64_t)loop->index, count = (int64_t)loop->list.list.count;
	const struct {
		const char *name;
		struct jinja_value value;
	} attributes[] = {{"index", jinja_int(index + 1)}, {"index0", jinja_int(index)},
		{"revindex", jinja_int(count - index)}, {"revindex0", jinja_int(count - index - 1)},
		{"first", jinja_bool(index == 0)}, {"last", jinja_bool(index == count - 1)},
		{"length", jinja_int(count)}, {"depth", jinja_int(loop->depth + 1)},
		{"depth0", jinja_int(loop->depth)}};

	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		if (jinja_name_is(name, size, attributes[i].name)) {
			*out = attributes[i].value;
			return true;
		}
	}
	if (jinja_name_is(name, size, "previtem") && index > 0)
		*out = jinja_at(&loop->list, loop->index - 1);
	else if (jinja_name_is(name, size, "nextitem") && index + 1 < count)
		*out = jinja_at(&loop->list, loop->index + 1);
	else
		return false;
	return true;
}

/* ---- macros ---------------------------------------------------------------------------------- */

static const struct jinja_value *named_argument(const struct jinja_args *args,
	const struct jinja_name *name)
{
	for (size_t i = 0; i < args->named_count; i++)
		if (args->named[i].size == name->size &&
			memcmp(args->named[i].name, name->bytes, name->size) == 0)
			return &args->named[i].value;
	return NULL;
}

/* A call of a macro on its way: what of its arguments was used. */
struct macro_call {
	const struct jinja_macro *macro;
	const struct jinja_args *args;
	struct jinja_scope *scope;
	bool *named_used;           /* [args->named_count] */
	size_t positional_used;
};

/* The named argument, which is used then; NULL if it was not given. */
static const struct jinja_value *take_named(struct macro_call *c, const struct jinja_name *name)
{
	const struct jinja_value *value = named_argument(c->args, name);

	for (size_t i = 0; value && i < c->args->named_count; i++)
		if (&c->args->named[i].value == value)
			c->named_used[i] = true;
	return value;
}

/* Gives each parameter its argument, its standard value or nothing. */
static bool bind_parameters(struct jinja_render *r, struct macro_call *c)
{
	for (const struct jinja_node *p = c->macro->parameters; p; p = p->next) {
		const struct jinja_name *name = &r->t->names[p->name];
		struct jinja_value value = jinja_undefined(name->bytes, name->size, NULL);
		const struct jinja_value *named = NULL;

		if (c->positional_used < c->args->count)
			value = c->args->values[c->positional_used++];
		else if ((named = take_named(c, name)))
			value = *named;
		else if (p->standard && (!jinja_scope_set(r, c->scope, p->name, &value) ||
			!jinja_eval(r, c->scope, p->standard, &value)))
			return false;
		if (!jinja_scope_set(r, c->scope, p->name, &value))
			return false;
	}
	return true;
}

/* What a call block gives its macro, if the macro speaks of it. */
static bool bind_caller(struct jinja_render *r, struct macro_call *c)
{
	const struct jinja_name name = {.bytes = "caller", .size = strlen("caller")};
	struct jinja_value none = jinja_undefined(name.bytes, name.size, NULL);
	const struct jinja_value *caller;

	if (!(c->macro->uses & JINJA_USES_CALLER))
		return true;
	caller = take_named(c, &name);
	return jinja_scope_set(r, c->scope, r->t->caller_name, caller ? caller : &none);
}

/* All that no parameter took, if the macro speaks of kwargs. */
static bool bind_kwargs(struct jinja_render *r, struct macro_call *c, const struct jinja_name *name)
{
	struct jinja_dict *rest = jinja_array(r, 1, sizeof(*rest));
	const struct jinja_value kwargs = {.type = JINJA_DICT, .dict = {.own = rest}};

	if (!rest)
		return false;
	for (size_t i = 0; i < c->args->named_count; i++) {
		const struct jinja_named *named = &c->args->named[i];
		const struct jinja_value key = jinja_string(
			(struct jinja_string){.bytes = named->name, .size = named->size});

		if (!c->named_used[i] && !jinja_dict_put(r, rest, &key, &named->value))
			return false;
	}
	if (c->macro->uses & JINJA_USES_KWARGS)
		return jinja_scope_set(r, c->scope, r->t->kwargs_name, &kwargs);
	return rest->count == 0 || jinja_fail(r, ERR_INPUT,
		"macro '%.*s' does not take all of these named arguments", (int)name->size,
		name->bytes);
}

static bool bind_varargs(struct jinja_render *r, struct macro_call *c,
	const struct jinja_name *name)
{
	const size_t rest = c->args->count - c->positional_used;
	const struct jinja_value varargs = jinja_tuple_of(
		rest ? c->args->values + c->positional_used : NULL, rest);

	if (c->macro->uses & JINJA_USES_VARARGS)
		return jinja_scope_set(r, c->scope, r->t->varargs_name, &varargs);
	return rest == 0 || jinja_fail(r, ERR_INPUT,
		"macro '%.*s' takes not more than %zu argument(s)", (int)name->size, name->bytes,
		c->positional_used);
}

static const struct jinja_name *macro_name(const struct jinja_render *r,
	const struct jinja_macro *macro)
{
	static const struct jinja_name caller = {.bytes = "caller", .size = sizeof("caller") - 1};

	return macro->name == JINJA_NAME_NONE ? &caller : &r->t->names[macro->name];
}

bool jinja_macro_call(struct jinja_render *r, const struct jinja_macro *macro,
	const struct jinja_args *args, struct jinja_value *out)
{
	const struct jinja_name *name = macro_name(r, macro);
	struct macro_call c = {.macro = macro, .args = args,
		.scope = jinja_scope_open(r, macro->scope),
		.named_used = jinja_array(r, args->named_count, sizeof(bool))};

	return c.scope && c.named_used && bind_parameters(r, &c) && bind_caller(r, &c) &&
		bind_kwargs(r, &c, name) && bind_varargs(r, &c, name) &&
		capture(r, c.scope, macro->body, out);
}

/* The names of its parameters. */
static bool macro_arguments(struct jinja_render *r, const struct jinja_macro *macro,
	struct jinja_value *out)
{
	size_t count = 0;

	for (const struct jinja_node *p = macro->parameters; p; p = p->next)
		count++;
	struct jinja_value *names = jinja_array(r, count, sizeof(*names));

	if (!names)
		return false;
	*out = jinja_tuple_of(names, count);
	for (const struct jinja_node *p = macro->parameters; p; p = p->next, names++)
		*names = jinja_string((struct jinja_string){.bytes = r->t->names[p->name].bytes,
			.size = r->t->names[p->name].size, .trusted = true});
	return true;
}

bool jinja_macro_attribute(struct jinja_render *r, const struct jinja_macro *macro,
	const char *name, size_t size, struct jinja_value *out, bool *found)
{
	static const struct {
		const char *name;
		uint8_t bit;
	} uses[] = {{"caller", JINJA_USES_CALLER}, {"catch_kwargs", JINJA_USES_KWARGS},
		{"catch_varargs", JINJA_USES_VARARGS}};
	const struct jinja_name *own = macro_name(r, macro);

	*found = true;
	if (jinja_name_is(name, size, "arguments"))
		return macro_arguments(r, macro, out);
	if (jinja_name_is(name, size, "name")) {
		*out = jinja_string((struct jinja_string){
			.bytes = own->bytes, .size = own->size, .trusted = true});
		return true;
	}
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		if (jinja_name_is(name, size, uses[i].name)) {
			*out = jinja_bool(macro->uses & uses[i].bit);
			return true;
		}
	*found = false;
	return true;
}

static bool make_macro(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *parameters, const struct jinja_node *body, uint8_t uses,
	uint32_t name, struct jinja_value *out)
{
	struct jinja_macro *macro = jinja_array(r, 1, sizeof(*macro));

	if (!macro)
		return false;
	*macro = (struct jinja_macro){
		.parameters = parameters, .body = body, .name = name, .uses = uses, .scope = scope};
	*out = (struct jinja_value){.type = JINJA_MACRO, .macro = macro};
	return true;
}

static bool exec_macro(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	struct jinja_value macro;

	return make_macro(r, scope, node->macro.parameters, node->macro.body, node->macro.uses,
		node->name, &macro) &&
		jinja_scope_set(r, scope, node->name, &macro);
}

static bool exec_call_block(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	const struct jinja_node *call = node->call_block.call;
	struct jinja_value callee, out;
	struct jinja_named *named;
	struct jinja_args args;

	if (!jinja_eval(r, scope, call->call.callee, &callee) ||
		!jinja_eval_arguments(r, scope, call->call.arguments, &args))
		return false;
	named = jinja_array(r, args.named_count + 1, sizeof(*named));
	if (!named)
		return false;
	memcpy(named, args.named, args.named_count * sizeof(*named));
	named[args.named_count] = (struct jinja_named){.name = "caller", .size = strlen("caller")};
	if (!make_macro(r, scope, node->call_block.parameters, node->call_block.body,
		node->call_block.uses, JINJA_NAME_NONE, &named[args.named_count].value))
		return false;
	args.named = named;
	args.named_count++;
	return jinja_call(r, &callee, &args, &out) && emit_value(r, &out);
}

/* ---- statements ------------------------------------------------------------------------------ */

static bool exec_if(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, enum jinja_flow *flow)
{
	/* an elif is an if alone in the otherwise of the one before: walked here, not by recursion
	 */
	for (;;) {
		const struct jinja_node *otherwise = node->condition.otherwise;
		struct jinja_value test;

		if (!jinja_eval(r, scope, node->condition.test, &test))
			return false;
		if (jinja_truth(&test))
			return jinja_exec(r, scope, node->condition.then, flow);
		if (!otherwise || otherwise->kind != JINJA_NODE_IF || otherwise->next)
			return jinja_exec(r, scope, otherwise, flow);
		node = otherwise;
	}
}

static bool exec_output(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node)
{
	struct jinja_value value;

	return jinja_eval(r, scope, node->operand, &value) && emit_value(r, &value);
}

static bool exec_node(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_node *node, enum jinja_flow *flow)
{
	r->line = node->line;
	if (node->kind == JINJA_NODE_TEXT)
		return jinja_emit(r, node->literal.string);
	if (node->kind == JINJA_NODE_OUTPUT)
		return exec_output(r, scope, node);
	if (node->kind == JINJA_NODE_IF)
		return exec_if(r, scope, node, flow);
	if (node->kind == JINJA_NODE_FOR)
		return exec_for(r, scope, node, flow);
	if (node->kind == JINJA_NODE_SET)
		return exec_set(r, scope, node);
	if (node->kind == JINJA_NODE_SET_BLOCK)
		return exec_set_block(r, scope, node);
	if (node->kind == JINJA_NODE_MACRO)
		return exec_macro(r, scope, node);
	if (node->kind == JINJA_NODE_CALL_BLOCK)
		return exec_call_block(r, scope, node);
	if (node->kind == JINJA_NODE_FILTER_BLOCK)
		return exec_filter_block(r, scope, node);
	if (node->kind == JINJA_NODE_WITH)
		return exec_with(r, scope, node, flow);
	assert(node->kind == JINJA_NODE_BREAK || node->kind == JINJA_NODE_CONTINUE);
	*flow = node->kind == JINJA_NODE_BREAK ? JINJA_FLOW_BREAK : JINJA_FLOW_CONTINUE;
	return true;
}

bool jinja_exec(struct jinja_render *r, struct jinja_scope *scope, const struct jinja_node *body,
	enum jinja_flow *flow)
{
	bool done = true;

	*flow = JINJA_FLOW_ON;
	if (r->depth >= r->limits.depth_max)
		return jinja_fail(r, ERR_LIMIT, "nested too deeply");
	r->depth++;
	for (const struct jinja_node *node = body; node && done && *flow == JINJA_FLOW_ON;
		node = node->next)
		done = jinja_charge(r, 1) && exec_node(r, scope, node, flow);
	r->depth--;
	return done;
}
