/* model/template/jinja_parse.c - see jinja_parse.h: tokens, nodes and names, and the statements. */
#include "model/template/jinja_parse.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

struct jinja_name_entry {
	struct jinja_name_entry *next;
	uint32_t name;
};

static bool parse_body(struct jinja_parser *p, const char *const *ends, struct jinja_node **out);

struct jinja_node *jinja_parse_fail(struct jinja_parser *p, enum err code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	if (p->code)
		return NULL;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	p->code = err_set(p->info, code, "line %u: %s", p->token.line, text);
	return NULL;
}

bool jinja_parse_peek(struct jinja_parser *p)
{
	if (p->has_ahead)
		return true;
	p->code = jinja_lex_next(&p->lexer, &p->ahead);
	p->has_ahead = p->code == ERR_NONE;
	return p->has_ahead;
}

bool jinja_parse_next(struct jinja_parser *p)
{
	if (!jinja_parse_peek(p))
		return false;
	p->token = p->ahead;
	p->has_ahead = false;
	return true;
}

bool jinja_token_is(const struct jinja_token *token, enum jinja_token_type type, const char *text)
{
	return token->type == type && jinja_name_is(token->bytes, token->size, text);
}

bool jinja_parse_take(struct jinja_parser *p, enum jinja_token_type type, const char *text)
{
	return !p->code && jinja_token_is(&p->token, type, text) && jinja_parse_next(p);
}

const char *jinja_parse_found(struct jinja_parser *p)
{
	static _Thread_local char text[80];

	switch (p->token.type) {
	case JINJA_TOKEN_END:
		return "the end of the template";
	case JINJA_TOKEN_BLOCK_END:
		return "'%}'";
	case JINJA_TOKEN_VARIABLE_END:
		return "'}}'";
	case JINJA_TOKEN_NAME:
	case JINJA_TOKEN_OPERATOR:
		snprintf(text, sizeof(text), "'%.*s'",
			(int)(p->token.size < 60 ? p->token.size : 60), p->token.bytes);
		return text;
	case JINJA_TOKEN_STRING:
		return "a string";
	case JINJA_TOKEN_INTEGER:
	case JINJA_TOKEN_FLOAT:
		return "a number";
	case JINJA_TOKEN_TEXT:
	case JINJA_TOKEN_BLOCK_BEGIN:
	case JINJA_TOKEN_VARIABLE_BEGIN:
		break;
	}
	return "text";
}

bool jinja_parse_expect(struct jinja_parser *p, enum jinja_token_type type, const char *text)
{
	if (jinja_parse_take(p, type, text))
		return true;
	jinja_parse_fail(p, ERR_INPUT, "expected '%s', got %s", text, jinja_parse_found(p));
	return false;
}

/* The end of a tag has no text to compare. */
static bool expect_end(struct jinja_parser *p, enum jinja_token_type type)
{
	if (p->code)
		return false;
	if (p->token.type == type)
		return jinja_parse_next(p);
	jinja_parse_fail(p, ERR_INPUT, "expected the end of the tag, got %s", jinja_parse_found(p));
	return false;
}

struct jinja_node *jinja_parse_node(struct jinja_parser *p, enum jinja_node_kind kind)
{
	struct jinja_node *node = arena_alloc(&p->t->arena, sizeof(*node));

	if (!node)
		return jinja_parse_fail(p, ERR_LIMIT, "the template is too large");
	node->kind = kind;
	node->line = p->token.line;
	node->name = JINJA_NAME_NONE;
	return node;
}

bool jinja_parse_enter(struct jinja_parser *p)
{
	if (p->depth >= JINJA_NESTING_MAX) {
		jinja_parse_fail(p, ERR_LIMIT, "nested too deeply");
		return false;
	}
	p->depth++;
	return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool names_grow(struct jinja_parser *p)
{
	const size_t capacity = p->names_capacity ? p->names_capacity * 2 : 32;
	struct jinja_name *names = arena_array(&p->t->arena, capacity, sizeof(*names));

	if (!names || capacity > JINJA_NAMES_MAX) {
		jinja_parse_fail(p, ERR_LIMIT, "more than %d different names", JINJA_NAMES_MAX);
		return false;
	}
	if (p->t->name_count > 0)
		memcpy(names, p->t->names, p->t->name_count * sizeof(*names));
	p->t->names = names;
	p->names_capacity = capacity;
	return true;
}

bool jinja_parse_name(struct jinja_parser *p, uint32_t *name)
{
	const size_t bucket =
		(size_t)hash_bytes(p->token.bytes, p->token.size, 0) % JINJA_NAME_BUCKETS;
	struct jinja_name_entry *entry = p->buckets[bucket];

	assert(p->token.type == JINJA_TOKEN_NAME);
	for (; entry; entry = entry->next) {
		const struct jinja_name *known = &p->t->names[entry->name];

		if (known->size == p->token.size &&
			memcmp(known->bytes, p->token.bytes, known->size) == 0) {
			*name = entry->name;
			return true;
		}
	}
	if (p->t->name_count == p->names_capacity && !names_grow(p))
		return false;
	entry = arena_alloc(&p->t->arena, sizeof(*entry));
	if (!entry) {
		jinja_parse_fail(p, ERR_LIMIT, "the template is too large");
		return false;
	}
	*name = entry->name = (uint32_t)p->t->name_count++;
	p->t->names[*name] = (struct jinja_name){.bytes = p->token.bytes, .size = p->token.size};
	entry->next = p->buckets[bucket];
	p->buckets[bucket] = entry;
	return true;
}

/* Takes a name for a node. */
static bool take_name_into(struct jinja_parser *p, uint32_t *name)
{
	if (p->token.type != JINJA_TOKEN_NAME) {
		jinja_parse_fail(p, ERR_INPUT, "expected a name, got %s", jinja_parse_found(p));
		return false;
	}
	return jinja_parse_name(p, name) && jinja_parse_next(p);
}

/* ---- statements: each is called after its own name was taken --------------------------------- */

static bool at_name(const struct jinja_parser *p, const char *text)
{
	return jinja_token_is(&p->token, JINJA_TOKEN_NAME, text);
}

static bool at_operator(const struct jinja_parser *p, const char *text)
{
	return jinja_token_is(&p->token, JINJA_TOKEN_OPERATOR, text);
}

static bool take_name(struct jinja_parser *p, const char *text)
{
	return jinja_parse_take(p, JINJA_TOKEN_NAME, text);
}

/* The end of the present tag, then all up to one of the tags in ends, whose name is then the token.
 */
static bool parse_block(struct jinja_parser *p, const char *const *ends, struct jinja_node **out)
{
	bool done;

	if (!expect_end(p, JINJA_TOKEN_BLOCK_END) || !jinja_parse_enter(p))
		return false;
	done = parse_body(p, ends, out);
	p->depth--;
	return done;
}

/* A block up to one certain tag, which is taken whole. */
static bool parse_block_to(struct jinja_parser *p, const char *end, struct jinja_node **out)
{
	const char *const ends[] = {end, NULL};

	return parse_block(p, ends, out) && jinja_parse_next(p) &&
	       expect_end(p, JINJA_TOKEN_BLOCK_END);
}

/* What a for or set gives a value: a name, ns.name, or several names. */
static struct jinja_node *parse_target_part(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_NAME), *attribute;

	if (!node || !take_name_into(p, &node->name))
		return NULL;
	if (!at_operator(p, "."))
		return node;
	attribute = jinja_parse_node(p, JINJA_NODE_ATTRIBUTE);
	if (!attribute || !jinja_parse_next(p) || !take_name_into(p, &attribute->name))
		return NULL;
	attribute->attribute.object = node;
	return attribute;
}

static struct jinja_node *parse_target(struct jinja_parser *p)
{
	const bool parenthesis = jinja_parse_take(p, JINJA_TOKEN_OPERATOR, "(");
	struct jinja_node *first = p->code ? NULL : parse_target_part(p), *tuple = NULL, **end;

	if (!first)
		return NULL;
	end = &first->next;
	while (jinja_parse_take(p, JINJA_TOKEN_OPERATOR, ",")) {
		if (!tuple && !(tuple = jinja_parse_node(p, JINJA_NODE_TUPLE)))
			return NULL;
		if (p->token.type != JINJA_TOKEN_NAME || at_name(p, "in"))
			break;
		if (!(*end = parse_target_part(p)))
			return NULL;
		end = &(*end)->next;
	}
	if (p->code || (parenthesis && !jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, ")")))
		return NULL;
	if (!tuple)
		return first;
	tuple->first = first;
	return tuple;
}

static struct jinja_node *parse_branches(struct jinja_parser *p)
{
	static const char *const ends[] = {"elif", "else", "endif", NULL};
	struct jinja_node *first = jinja_parse_node(p, JINJA_NODE_IF), *node = first;

	while (node) {
		if (!(node->condition.test = jinja_parse_tuple(p, true)) ||
			!parse_block(p, ends, &node->condition.then))
			return NULL;
		if (!take_name(p, "elif"))
			break;
		node->condition.otherwise = jinja_parse_node(p, JINJA_NODE_IF);
		node = node->condition.otherwise;
	}
	if (!node || p->code)
		return NULL;
	if (take_name(p, "else"))
		return parse_block_to(p, "endif", &node->condition.otherwise) ? first : NULL;
	return !p->code && jinja_parse_next(p) && expect_end(p, JINJA_TOKEN_BLOCK_END) ? first
										       : NULL;
}

static struct jinja_node *parse_if(struct jinja_parser *p)
{
	const bool outside = jinja_parse_conditional(p, true);
	struct jinja_node *node = parse_branches(p);

	jinja_parse_conditional(p, outside);
	return node;
}

/* From the condition of a for on. */
static bool parse_for_rest(struct jinja_parser *p, struct jinja_node *node)
{
	static const char *const ends[] = {"else", "endfor", NULL};

	if (take_name(p, "if") && !(node->loop.condition = jinja_parse_expression(p, true)))
		return false;
	node->op = take_name(p, "recursive") ? JINJA_RECURSIVE : JINJA_PLAIN;
	p->loops++;
	if (p->code || !parse_block(p, ends, &node->loop.body))
		return false;
	p->loops--;
	if (take_name(p, "else"))
		return parse_block_to(p, "endfor", &node->loop.otherwise);
	return !p->code && jinja_parse_next(p) && expect_end(p, JINJA_TOKEN_BLOCK_END);
}

static struct jinja_node *parse_for(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_FOR);
	bool outside, parsed;

	if (!node || !(node->loop.target = parse_target(p)) ||
		!jinja_parse_expect(p, JINJA_TOKEN_NAME, "in") ||
		!(node->loop.iterable = jinja_parse_tuple(p, false)))
		return NULL;
	outside = jinja_parse_conditional(p, false);
	parsed = parse_for_rest(p, node);
	jinja_parse_conditional(p, outside);
	return parsed ? node : NULL;
}

/* The filters of a block, and the block. */
static bool parse_filtered(struct jinja_parser *p, struct jinja_node **filters, const char *end,
	struct jinja_node **body)
{
	const bool outside = jinja_parse_conditional(p, false);
	bool parsed;

	*filters = jinja_parse_filters(p, JINJA_NODE_BLOCK_TEXT);
	parsed = !p->code && parse_block_to(p, end, body);
	jinja_parse_conditional(p, outside);
	return parsed;
}

static struct jinja_node *parse_set(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_SET);

	if (!node || !(node->set.target = parse_target(p)))
		return NULL;
	if (jinja_parse_take(p, JINJA_TOKEN_OPERATOR, "="))
		return (node->set.value = jinja_parse_tuple(p, true)) &&
				       expect_end(p, JINJA_TOKEN_BLOCK_END)
			       ? node
			       : NULL;
	node->kind = JINJA_NODE_SET_BLOCK;
	return parse_filtered(p, &node->set.value, "endset", &node->set.body) ? node : NULL;
}

/* "(a, b=1)" */
static bool parse_parameters(struct jinja_parser *p, struct jinja_node **out)
{
	struct jinja_node **end = out;

	if (!jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, "("))
		return false;
	while (!at_operator(p, ")")) {
		if (*out && !jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, ","))
			return false;
		struct jinja_node *parameter = jinja_parse_node(p, JINJA_NODE_PARAMETER);

		if (!parameter || !take_name_into(p, &parameter->name))
			return false;
		if (jinja_parse_take(p, JINJA_TOKEN_OPERATOR, "=") &&
			!(parameter->standard = jinja_parse_expression(p, true)))
			return false;
		if (p->code)
			return false;
		*end = parameter;
		end = &parameter->next;
	}
	return jinja_parse_next(p);
}

/* A body of its own: break and continue do not reach out of it. */
static bool parse_macro_body(struct jinja_parser *p, const char *end, struct jinja_node **out,
	uint8_t *uses)
{
	const bool outside = jinja_parse_conditional(p, false);
	const uint8_t outer_names = p->macro_names;
	const uint32_t loops = p->loops;
	bool done;

	p->loops = 0;
	p->macro_names = 0;
	done = parse_block_to(p, end, out);
	*uses = p->macro_names;
	p->macro_names |= outer_names;
	p->loops = loops;
	jinja_parse_conditional(p, outside);
	return done;
}

static struct jinja_node *parse_macro(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_MACRO);

	if (!node || !take_name_into(p, &node->name) ||
		!parse_parameters(p, &node->macro.parameters) ||
		!parse_macro_body(p, "endmacro", &node->macro.body, &node->macro.uses))
		return NULL;
	return node;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_CALL_BLOCK);

	if (!node || (at_operator(p, "(") && !parse_parameters(p, &node->call_block.parameters)) ||
		!(node->call_block.call = jinja_parse_expression(p, true)))
		return NULL;
	if (node->call_block.call->kind != JINJA_NODE_CALL)
		return jinja_parse_fail(p, ERR_INPUT, "expected a call");
	return parse_macro_body(p, "endcall", &node->call_block.body, &node->call_block.uses)
		? node : NULL;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_FILTER_BLOCK);
	struct jinja_token name = p->token;

	if (!node)
		return NULL;
	/* the first filter has no bar before it: give the parser one */
	p->ahead = name;
	p->has_ahead = true;
	p->token = (struct jinja_token){
		.type = JINJA_TOKEN_OPERATOR, .line = name.line, .bytes = "|", .size = 1};
	return parse_filtered(p, &node->filter_block.filters, "endfilter",
		&node->filter_block.body) ? node : NULL;
}

static bool parse_inner(struct jinja_parser *p, const char *end, struct jinja_node **out)
{
	const bool outside = jinja_parse_conditional(p, false);
	const bool parsed = parse_block_to(p, end, out);

	jinja_parse_conditional(p, outside);
	return parsed;
}

static struct jinja_node *parse_with(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_WITH);
	struct jinja_node **end = node ? &node->with.assignments : NULL;

	if (!node)
		return NULL;
	while (p->token.type != JINJA_TOKEN_BLOCK_END) {
		struct jinja_node *set = jinja_parse_node(p, JINJA_NODE_SET);

		if (!set ||
			(node->with.assignments &&
				!jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, ",")) ||
			!(set->set.target = parse_target_part(p)) ||
			!jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, "=") ||
			!(set->set.value = jinja_parse_expression(p, true)))
			return NULL;
		*end = set;
		end = &set->next;
	}
	return parse_inner(p, "endwith", &node->with.body) ? node : NULL;
}

/* {% generation %} marks the assistant's part for training; rendering it is rendering
 * what is inside. */
static struct jinja_node *parse_generation(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_WITH);

	const uint32_t loops = p->loops;
	bool parsed;

	p->loops = 0;
	parsed = node && parse_inner(p, "endgeneration", &node->with.body);
	p->loops = loops;
	return parsed ? node : NULL;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, enum jinja_node_kind kind)
{
	struct jinja_node *node = jinja_parse_node(p, kind);

	if (p->loops == 0)
		return jinja_parse_fail(p, ERR_INPUT, "break and continue belong in a for");
	return node && expect_end(p, JINJA_TOKEN_BLOCK_END) ? node : NULL;
}

static struct jinja_node *parse_break(struct jinja_parser *p)
{
	return parse_jump(p, JINJA_NODE_BREAK);
}

static struct jinja_node *parse_continue(struct jinja_parser *p)
{
	return parse_jump(p, JINJA_NODE_CONTINUE);
}

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
	static const struct {
		const char *name;
		struct jinja_node *(*parse)(struct jinja_parser *p);
	} statements[] = {{"if", parse_if}, {"for", parse_for}, {"set", parse_set},
		{"macro", parse_macro}, {"call", parse_call_block}, {"filter", parse_filter_block},
		{"with", parse_with}, {"generation", parse_generation}, {"break", parse_break},
		{"continue", parse_continue}};

	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (at_name(p, statements[i].name))
			return jinja_parse_next(p) ? statements[i].parse(p) : NULL;
	return jinja_parse_fail(p, ERR_INPUT, "unexpected tag %s", jinja_parse_found(p));
}

static struct jinja_node *parse_output(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_OUTPUT);

	if (!node || !jinja_parse_next(p) || !(node->operand = jinja_parse_tuple(p, true)))
		return NULL;
	return expect_end(p, JINJA_TOKEN_VARIABLE_END) ? node : NULL;
}

static struct jinja_node *parse_text(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_TEXT);

	if (!node)
		return NULL;
	node->literal = jinja_string((struct jinja_string){
		.bytes = p->token.bytes, .size = p->token.size, .trusted = true});
	return jinja_parse_next(p) ? node : NULL;
}

static bool at_any(const struct jinja_parser *p, const char *const *names)
{
	for (; names && *names; names++)
		if (at_name(p, *names))
			return true;
	return false;
}

static bool all_known(struct jinja_parser *p)
{
	const struct jinja_node *node = p->unknown;

	if (!node)
		return true;
	const struct jinja_name *name = &p->t->names[node->name];

	p->token.line = node->line;
	jinja_parse_fail(p, ERR_INPUT, "no %s named '%.*s'",
		node->kind == JINJA_NODE_FILTER ? "filter" : "test",
		(int)(name->size < 100 ? name->size : 100), name->bytes);
	return false;
}

/* Nodes up to the end of the source (ends NULL), or to a tag of ends. */
static bool parse_body(struct jinja_parser *p, const char *const *ends, struct jinja_node **out)
{
	struct jinja_node **end = out;

	while (p->token.type != JINJA_TOKEN_END) {
		struct jinja_node *node;

		if (p->token.type == JINJA_TOKEN_BLOCK_BEGIN) {
			if (!jinja_parse_next(p))
				return false;
			if (at_any(p, ends))
				return true;
			node = parse_statement(p);
		} else {
			node = p->token.type == JINJA_TOKEN_TEXT ? parse_text(p) : parse_output(p);
		}
		if (!node || !all_known(p))
			return false;
		*end = node;
		end = &node->next;
	}
	if (ends)
		jinja_parse_fail(
			p, ERR_INPUT, "the template ends before '%s'", ends[1] ? ends[1] : ends[0]);
	return !ends;
}

enum err jinja_parse(struct jinja_template *t, const char *source, size_t size,
	struct err_info *info)
{
	struct jinja_parser p = {.t = t, .info = info};
	enum err code;

	if ((code = jinja_lex_open(&p.lexer, source, size, &t->arena, info)))
		return code;
	if (jinja_parse_next(&p) && parse_body(&p, NULL, &t->body))
		return ERR_NONE;
	assert(p.code);
	return p.code;
}
