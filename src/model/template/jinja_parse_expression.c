/* model/template/jinja_parse_expression.c - see jinja_parse.h: expressions, from the loosest
 * binding to the tightest. */
#include <string.h>

#include "model/template/jinja_parse.h"
#include "model/template/jinja_text.h"

static struct jinja_node *parse_unary(struct jinja_parser *p, bool filters);
static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node);

static bool take_operator(struct jinja_parser *p, const char *text)
{
	return jinja_parse_take(p, JINJA_TOKEN_OPERATOR, text);
}

static bool take_name(struct jinja_parser *p, const char *text)
{
	return jinja_parse_take(p, JINJA_TOKEN_NAME, text);
}

static bool at_operator(const struct jinja_parser *p, const char *text)
{
	return jinja_token_is(&p->token, JINJA_TOKEN_OPERATOR, text);
}

static bool at_name(const struct jinja_parser *p, const char *text)
{
	return jinja_token_is(&p->token, JINJA_TOKEN_NAME, text);
}

static bool expect_operator(struct jinja_parser *p, const char *text)
{
	return jinja_parse_expect(p, JINJA_TOKEN_OPERATOR, text);
}

static struct jinja_node *binary(struct jinja_parser *p, enum jinja_node_kind kind,
	enum jinja_operator op, struct jinja_node *left, struct jinja_node *right)
{
	struct jinja_node *node = left && right ? jinja_parse_node(p, kind) : NULL;

	if (!node)
		return NULL;
	node->op = op;
	node->binary.left = left;
	node->binary.right = right;
	return node;
}

static struct jinja_node *literal(struct jinja_parser *p, struct jinja_value value)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_LITERAL);

	if (node)
		node->literal = value;
	return node;
}

/* ---- atoms ----------------------------------------------------------------------------------- */

/* Strings that follow one another are one. */
static struct jinja_node *parse_string(struct jinja_parser *p)
{
	struct jinja_string s = {.bytes = p->token.bytes, .size = p->token.size, .trusted = true};

	if (!jinja_parse_next(p))
		return NULL;
	while (p->token.type == JINJA_TOKEN_STRING) {
		char *joined = arena_alloc(&p->t->arena, s.size + p->token.size + 1);

		if (!joined)
			return jinja_parse_fail(p, ERR_LIMIT, "the template is too large");
		if (s.size > 0)
			memcpy(joined, s.bytes, s.size);
		if (p->token.size > 0)
			memcpy(joined + s.size, p->token.bytes, p->token.size);
		s.bytes = joined;
		s.size += p->token.size;
		if (!jinja_parse_next(p))
			return NULL;
	}
	return literal(p, jinja_string(s));
}

static struct jinja_node *parse_name(struct jinja_parser *p)
{
	static const struct {
		const char *name;
		struct jinja_value value;
	} constants[] = {{"true", {.type = JINJA_BOOL, .boolean = true}},
		{"True", {.type = JINJA_BOOL, .boolean = true}}, {"false", {.type = JINJA_BOOL}},
		{"False", {.type = JINJA_BOOL}}, {"none", {.type = JINJA_NONE}},
		{"None", {.type = JINJA_NONE}}};
	struct jinja_node *node;

	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
		if (at_name(p, constants[i].name))
			return jinja_parse_next(p) ? literal(p, constants[i].value) : NULL;
	p->macro_names |= at_name(p, "caller") ? JINJA_USES_CALLER
		: at_name(p, "kwargs") ? JINJA_USES_KWARGS
		: at_name(p, "varargs") ? JINJA_USES_VARARGS : 0;
	node = jinja_parse_node(p, JINJA_NODE_NAME);
	return node && jinja_parse_name(p, &node->name) && jinja_parse_next(p) ? node : NULL;
}

static struct jinja_node *parse_number(struct jinja_parser *p)
{
	const struct jinja_value value = p->token.type == JINJA_TOKEN_INTEGER
						 ? jinja_int(p->token.integer)
						 : jinja_float(p->token.real);

	return jinja_parse_next(p) ? literal(p, value) : NULL;
}

/* Elements up to the closing bracket; a comma may stand before it. */
static struct jinja_node *parse_elements(struct jinja_parser *p, enum jinja_node_kind kind,
	const char *close, struct jinja_node *(*element)(struct jinja_parser *p))
{
	struct jinja_node *node = jinja_parse_node(p, kind), **end = node ? &node->first : NULL;

	if (!node || !jinja_parse_next(p))
		return NULL;
	while (!at_operator(p, close)) {
		if (node->first && !expect_operator(p, ","))
			return NULL;
		if (at_operator(p, close))
			break;
		*end = element(p);
		if (!*end)
			return NULL;
		end = &(*end)->next;
	}
	return jinja_parse_next(p) ? node : NULL;
}

static struct jinja_node *parse_element(struct jinja_parser *p)
{
	return jinja_parse_expression(p, true);
}

static struct jinja_node *parse_pair(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_PAIR);

	if (!node || !(node->pair.key = jinja_parse_expression(p, true)) ||
		!expect_operator(p, ":") || !(node->pair.value = jinja_parse_expression(p, true)))
		return NULL;
	return node;
}

/* "(a)" is a, "(a,)" and "()" are tuples. */
static struct jinja_node *parse_parentheses(struct jinja_parser *p)
{
	struct jinja_node *node;

	if (!jinja_parse_next(p))
		return NULL;
	if (at_operator(p, ")"))
		node = jinja_parse_node(p, JINJA_NODE_TUPLE);
	else
		node = jinja_parse_tuple(p, true);
	return node && expect_operator(p, ")") ? node : NULL;
}

static struct jinja_node *parse_primary(struct jinja_parser *p)
{
	if (p->token.type == JINJA_TOKEN_NAME)
		return parse_name(p);
	if (p->token.type == JINJA_TOKEN_STRING)
		return parse_string(p);
	if (p->token.type == JINJA_TOKEN_INTEGER || p->token.type == JINJA_TOKEN_FLOAT)
		return parse_number(p);
	if (at_operator(p, "("))
		return parse_parentheses(p);
	if (at_operator(p, "["))
		return parse_elements(p, JINJA_NODE_LIST, "]", parse_element);
	if (at_operator(p, "{"))
		return parse_elements(p, JINJA_NODE_DICT, "}", parse_pair);
	return jinja_parse_fail(p, ERR_INPUT, "unexpected %s", jinja_parse_found(p));
}

/* ---- what follows an atom: .name [index] (arguments) |filter is test ------------------------- */

static struct jinja_node *parse_attribute(struct jinja_parser *p, struct jinja_node *object)
{
	struct jinja_node *node;

	if (!jinja_parse_next(p))
		return NULL;
	if (p->token.type == JINJA_TOKEN_INTEGER) {
		node = jinja_parse_node(p, JINJA_NODE_ITEM);
		if (!node || !(node->item.index = parse_number(p)))
			return NULL;
		node->item.object = object;
		return node;
	}
	if (p->token.type != JINJA_TOKEN_NAME)
		return jinja_parse_fail(
			p, ERR_INPUT, "expected a name, got %s", jinja_parse_found(p));
	node = jinja_parse_node(p, JINJA_NODE_ATTRIBUTE);
	if (!node || !jinja_parse_name(p, &node->name) || !jinja_parse_next(p))
		return NULL;
	node->attribute.object = object;
	return node;
}

/* After "[": start:stop:step, whose first bound may have been read. */
static struct jinja_node *parse_slice(struct jinja_parser *p, struct jinja_node *object,
	struct jinja_node *start)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_SLICE);

	if (!node)
		return NULL;
	node->slice.object = object;
	node->slice.bounds[0] = start;
	for (int i = 1; i < 3; i++) {
		if (!take_operator(p, ":"))
			break;
		if (at_operator(p, ":") || at_operator(p, "]"))
			continue;
		if (!(node->slice.bounds[i] = jinja_parse_expression(p, true)))
			return NULL;
	}
	return p->code || !expect_operator(p, "]") ? NULL : node;
}

static struct jinja_node *parse_subscript(struct jinja_parser *p, struct jinja_node *object)
{
	struct jinja_node *index = NULL, *node;

	if (!jinja_parse_next(p))
		return NULL;
	if (!at_operator(p, ":") && !(index = jinja_parse_tuple(p, true)))
		return NULL;
	if (at_operator(p, ":"))
		return parse_slice(p, object, index);
	node = jinja_parse_node(p, JINJA_NODE_ITEM);
	if (!node || !expect_operator(p, "]"))
		return NULL;
	node->item.object = object;
	node->item.index = index;
	return node;
}

static struct jinja_node *parse_argument(struct jinja_parser *p)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_ARGUMENT);

	if (!node || !jinja_parse_peek(p))
		return NULL;
	if (p->token.type == JINJA_TOKEN_NAME &&
		jinja_token_is(&p->ahead, JINJA_TOKEN_OPERATOR, "=")) {
		if (!jinja_parse_name(p, &node->name) || !jinja_parse_next(p) ||
			!jinja_parse_next(p))
			return NULL;
	}
	return (node->argument = jinja_parse_expression(p, true)) ? node : NULL;
}

/* "(a, b=c)" from its parenthesis on. */
static bool parse_arguments(struct jinja_parser *p, struct jinja_node **out)
{
	struct jinja_node *list = parse_elements(p, JINJA_NODE_LIST, ")", parse_argument);
	bool named = false;

	if (!list)
		return false;
	*out = list->first;
	for (const struct jinja_node *a = list->first; a; a = a->next) {
		if (a->name == JINJA_NAME_NONE && named)
			return jinja_parse_fail(
				p, ERR_INPUT, "a positional argument after a named one");
		named = a->name != JINJA_NAME_NONE;
	}
	return true;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *callee)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_CALL);

	if (!node || !parse_arguments(p, &node->call.arguments))
		return NULL;
	node->call.callee = callee;
	return node;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node)
{
	while (node) {
		if (at_operator(p, "."))
			node = parse_attribute(p, node);
		else if (at_operator(p, "["))
			node = parse_subscript(p, node);
		else if (at_operator(p, "("))
			node = parse_call(p, node);
		else
			break;
	}
	return node;
}

static void found_unknown(struct jinja_parser *p, const struct jinja_node *node)
{
	if (!p->conditional && !p->unknown)
		p->unknown = node;
}

static struct jinja_node *parse_filter(struct jinja_parser *p, struct jinja_node *value)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_FILTER);

	if (!node)
		return NULL;
	if (p->token.type != JINJA_TOKEN_NAME)
		return jinja_parse_fail(
			p, ERR_INPUT, "expected a filter, got %s", jinja_parse_found(p));
	node->filter.filter = jinja_filter_find(p->token.bytes, p->token.size);
	if (!jinja_parse_name(p, &node->name))
		return NULL;
	if (!node->filter.filter)
		found_unknown(p, node);
	node->filter.value = value;
	if (!jinja_parse_next(p) ||
		(at_operator(p, "(") && !parse_arguments(p, &node->filter.arguments)))
		return NULL;
	return node;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *value)
{
	while (take_operator(p, "|"))
		if (!(value = parse_filter(p, value)))
			return NULL;
	return p->code ? NULL : value;
}

/* True at a token that can begin the argument of a test written without parentheses. */
static bool at_test_argument(const struct jinja_parser *p)
{
	static const char *const never[] = {"else", "or", "and", "if", "is", "in", "not"};

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (at_name(p, never[i]))
			return false;
	return p->token.type == JINJA_TOKEN_NAME || p->token.type == JINJA_TOKEN_STRING ||
	       p->token.type == JINJA_TOKEN_INTEGER || p->token.type == JINJA_TOKEN_FLOAT ||
	       at_operator(p, "[") || at_operator(p, "{");
}

static bool parse_test_arguments(struct jinja_parser *p, struct jinja_node *test)
{
	struct jinja_node *argument;

	if (at_operator(p, "("))
		return parse_arguments(p, &test->test.arguments);
	if (!at_test_argument(p))
		return true;
	argument = jinja_parse_node(p, JINJA_NODE_ARGUMENT);
	if (!argument || !(argument->argument = parse_postfix(p, parse_primary(p))))
		return false;
	test->test.arguments = argument;
	return true;
}

static struct jinja_node *negated(struct jinja_parser *p, struct jinja_node *operand)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_UNARY);

	if (!node)
		return NULL;
	node->op = JINJA_NOT;
	node->operand = operand;
	return node;
}

/* After "is". */
static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *value)
{
	const bool negate = take_name(p, "not");
	struct jinja_node *node = p->code ? NULL : jinja_parse_node(p, JINJA_NODE_TEST);

	if (!node)
		return NULL;
	if (p->token.type != JINJA_TOKEN_NAME)
		return jinja_parse_fail(
			p, ERR_INPUT, "expected a test, got %s", jinja_parse_found(p));
	node->test.test = jinja_test_find(p->token.bytes, p->token.size);
	if (!jinja_parse_name(p, &node->name))
		return NULL;
	if (!node->test.test)
		found_unknown(p, node);
	node->test.value = value;
	if (!jinja_parse_next(p) || !parse_test_arguments(p, node))
		return NULL;
	return negate ? negated(p, node) : node;
}

static struct jinja_node *parse_filters_and_tests(struct jinja_parser *p, struct jinja_node *node)
{
	while (node) {
		if (at_operator(p, "|"))
			node = jinja_parse_filters(p, node);
		else if (at_operator(p, "("))
			node = parse_call(p, node);
		else if (take_name(p, "is"))
			node = parse_test(p, node);
		else
			break;
	}
	return p->code ? NULL : node;
}

/* ---- operators ------------------------------------------------------------------------------- */

static struct jinja_node *parse_signed(struct jinja_parser *p, enum jinja_operator op)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_UNARY);

	if (!node || !jinja_parse_enter(p))
		return NULL;
	node->op = op;
	node->operand = jinja_parse_next(p) ? parse_unary(p, false) : NULL;
	p->depth--;
	return node->operand ? node : NULL;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool filters)
{
	struct jinja_node *node;

	if (at_operator(p, "-"))
		node = parse_signed(p, JINJA_NEGATE);
	else if (at_operator(p, "+"))
		node = parse_signed(p, JINJA_PLUS);
	else
		node = parse_primary(p);
	node = parse_postfix(p, node);
	return filters ? parse_filters_and_tests(p, node) : node;
}

static struct jinja_node *parse_power(struct jinja_parser *p)
{
	struct jinja_node *left = parse_unary(p, true);

	while (left && take_operator(p, "**"))
		left = binary(p, JINJA_NODE_BINARY, JINJA_POW, left, parse_unary(p, true));
	return p->code ? NULL : left;
}

static bool take_factor_operator(struct jinja_parser *p, enum jinja_operator *op)
{
	static const struct {
		const char *text;
		enum jinja_operator op;
	} operators[] = {
		{"*", JINJA_MUL}, {"/", JINJA_DIV}, {"//", JINJA_FLOORDIV}, {"%", JINJA_MOD}};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (take_operator(p, operators[i].text)) {
			*op = operators[i].op;
			return true;
		}
	}
	return false;
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
	struct jinja_node *left = parse_power(p);
	enum jinja_operator op = JINJA_MUL;

	while (left && take_factor_operator(p, &op))
		left = binary(p, JINJA_NODE_BINARY, op, left, parse_power(p));
	return p->code ? NULL : left;
}

/* left, and all that follow after the same operator, as one node; left alone if none does. */
static struct jinja_node *parse_chain(struct jinja_parser *p, struct jinja_node *left,
	enum jinja_node_kind kind, const char *op,
	struct jinja_node *(*operand)(struct jinja_parser *p))
{
	struct jinja_node *node, **end;

	if (!left || !at_operator(p, op))
		return left;
	node = jinja_parse_node(p, kind);
	if (!node)
		return NULL;
	node->first = left;
	end = &left->next;
	while (take_operator(p, op)) {
		*end = operand(p);
		if (!*end)
			return NULL;
		end = &(*end)->next;
	}
	return p->code ? NULL : node;
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
	return parse_chain(p, parse_product(p), JINJA_NODE_CONCAT, "~", parse_product);
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
	struct jinja_node *left = parse_concat(p);

	while (left && (at_operator(p, "+") || at_operator(p, "-"))) {
		if (at_operator(p, "+"))
			left = parse_chain(p, left, JINJA_NODE_ADD, "+", parse_concat);
		else
			left = jinja_parse_next(p) ? binary(p, JINJA_NODE_BINARY, JINJA_SUB, left,
							     parse_concat(p))
						   : NULL;
	}
	return p->code ? NULL : left;
}

/* Takes "not in" as one; "not" alone begins nothing here. */
static bool take_comparison(struct jinja_parser *p, enum jinja_operator *op)
{
	static const struct {
		const char *text;
		enum jinja_operator op;
	} operators[] = {{"==", JINJA_EQ}, {"!=", JINJA_NE}, {"<=", JINJA_LE}, {"<", JINJA_LT},
		{">=", JINJA_GE}, {">", JINJA_GT}};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (take_operator(p, operators[i].text)) {
			*op = operators[i].op;
			return true;
		}
	}
	if (take_name(p, "in")) {
		*op = JINJA_IN;
		return true;
	}
	if (!at_name(p, "not") || !jinja_parse_peek(p) ||
		!jinja_token_is(&p->ahead, JINJA_TOKEN_NAME, "in"))
		return false;
	*op = JINJA_NOT_IN;
	return jinja_parse_next(p) && jinja_parse_next(p);
}

static struct jinja_node *parse_comparison(struct jinja_parser *p)
{
	struct jinja_node *left = parse_sum(p), *node = NULL, **end = NULL;
	enum jinja_operator op = JINJA_EQ;

	while (left && take_comparison(p, &op)) {
		struct jinja_node *step = jinja_parse_node(p, JINJA_NODE_STEP);

		if (!node) {
			node = jinja_parse_node(p, JINJA_NODE_COMPARE);
			end = node ? &node->compare.steps : NULL;
		}
		if (!step || !node || !(step->right = parse_sum(p)))
			return NULL;
		step->op = op;
		*end = step;
		end = &step->next;
	}
	if (node)
		node->compare.first = left;
	return p->code ? NULL : node ? node : left;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
	struct jinja_node *operand;

	if (!at_name(p, "not"))
		return parse_comparison(p);
	if (!jinja_parse_enter(p))
		return NULL;
	operand = jinja_parse_next(p) ? parse_not(p) : NULL;
	p->depth--;
	return operand ? negated(p, operand) : NULL;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
	struct jinja_node *left = parse_not(p);

	while (left && take_name(p, "and"))
		left = binary(p, JINJA_NODE_AND, JINJA_EQ, left, parse_not(p));
	return p->code ? NULL : left;
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
	struct jinja_node *left = parse_and(p);

	while (left && take_name(p, "or"))
		left = binary(p, JINJA_NODE_OR, JINJA_EQ, left, parse_and(p));
	return p->code ? NULL : left;
}

/* After "a if": "test else b". All three are conditional. */
static struct jinja_node *parse_condition_rest(struct jinja_parser *p, struct jinja_node *then)
{
	struct jinja_node *node = jinja_parse_node(p, JINJA_NODE_CONDITION);
	const bool outside = jinja_parse_conditional(p, true);
	bool parsed = node && (node->condition.test = parse_or(p));

	if (parsed && take_name(p, "else"))
		parsed = (node->condition.otherwise = jinja_parse_expression(p, true)) != NULL;
	jinja_parse_conditional(p, outside);
	if (!parsed)
		return NULL;
	node->condition.then = then;
	return node;
}

/* a if test else b */
static struct jinja_node *parse_condition(struct jinja_parser *p)
{
	const struct jinja_node *unknown = p->unknown;
	struct jinja_node *then;

	p->unknown = NULL;
	then = parse_or(p);
	while (then && take_name(p, "if")) {
		p->unknown = NULL;
		then = parse_condition_rest(p, then);
	}
	p->unknown = unknown ? unknown : p->unknown;
	return p->code ? NULL : then;
}

bool jinja_parse_conditional(struct jinja_parser *p, bool conditional)
{
	const bool before = p->conditional;

	p->conditional = conditional;
	return before;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p, bool condition)
{
	struct jinja_node *node;

	if (!jinja_parse_enter(p))
		return NULL;
	node = condition ? parse_condition(p) : parse_or(p);
	p->depth--;
	return node;
}

/* True where a tuple ends: a comma before is allowed. */
static bool at_tuple_end(const struct jinja_parser *p)
{
	return p->token.type == JINJA_TOKEN_BLOCK_END ||
	       p->token.type == JINJA_TOKEN_VARIABLE_END || at_operator(p, ")") ||
	       at_operator(p, "]") || at_operator(p, "=") || at_name(p, "in") || at_name(p, "if") ||
	       at_name(p, "recursive");
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool condition)
{
	struct jinja_node *first = jinja_parse_expression(p, condition), *node, **end;

	if (!first || !at_operator(p, ","))
		return first;
	node = jinja_parse_node(p, JINJA_NODE_TUPLE);
	if (!node)
		return NULL;
	node->first = first;
	end = &first->next;
	while (take_operator(p, ",")) {
		if (at_tuple_end(p))
			break;
		*end = jinja_parse_expression(p, condition);
		if (!*end)
			return NULL;
		end = &(*end)->next;
	}
	return p->code ? NULL : node;
}
