/* model/template/jinja_parse.h - from tokens to nodes. Private to the Jinja engine.
 *
 * A recursive descent, one function a level of precedence; jinja_parse_expression.c has the
 * expressions, jinja_parse.c the statements. Functions return NULL, or false, with the error set.
 */
#ifndef MODEL_TEMPLATE_JINJA_PARSE_H
#define MODEL_TEMPLATE_JINJA_PARSE_H

#include "model/template/jinja_lex.h"
#include "model/template/jinja_node.h"

#define JINJA_NAME_BUCKETS 512

struct jinja_name_entry;

struct jinja_parser {
	struct jinja_template *t;
	struct jinja_lexer lexer;
	struct jinja_token token;       /* the present one */
	struct jinja_token ahead;       /* the one after it, if has_ahead */
	bool has_ahead;
	uint32_t depth;
	uint32_t loops;                 /* for blocks around this place, inside the same macro */
	/* As in jinja2 an unknown filter or test is an error at once, but inside an if, where it is
	 * one when it is reached. unknown: the first that may still turn out to be in one. */
	bool conditional;
	const struct jinja_node *unknown;
	uint8_t macro_names;            /* JINJA_USES_...: seen in the macro around this place */
	struct jinja_name_entry *buckets[JINJA_NAME_BUCKETS];
	size_t names_capacity;
	enum err code;                  /* of the error, once there is one */
	struct err_info *info;
};

/* Parses the whole source into t->body. */
enum err jinja_parse(struct jinja_template *t, const char *source, size_t size,
	struct err_info *info) MUST_CHECK;

/* Sets the error at the present token; always NULL, or false. */
struct jinja_node *jinja_parse_fail(struct jinja_parser *p, enum err code, const char *format, ...)
	PRINTF_LIKE(3, 4);

bool jinja_parse_next(struct jinja_parser *p) MUST_CHECK;
bool jinja_parse_peek(struct jinja_parser *p) MUST_CHECK;
bool jinja_token_is(const struct jinja_token *token, enum jinja_token_type type, const char *text);
/* Takes the token if it is this operator or name; false if it is not, or on an error (p->code). */
bool jinja_parse_take(struct jinja_parser *p, enum jinja_token_type type, const char *text)
	MUST_CHECK;
/* The same, and anything else is an error. */
bool jinja_parse_expect(struct jinja_parser *p, enum jinja_token_type type, const char *text)
	MUST_CHECK;
/* What the present token is called in an error. */
const char *jinja_parse_found(struct jinja_parser *p);

struct jinja_node *jinja_parse_node(struct jinja_parser *p, enum jinja_node_kind kind);
/* The number of the present token's identifier. */
bool jinja_parse_name(struct jinja_parser *p, uint32_t *name) MUST_CHECK;
bool jinja_parse_enter(struct jinja_parser *p) MUST_CHECK;

/* An expression; without a condition, "a if b" ends before the if. */
struct jinja_node *jinja_parse_expression(struct jinja_parser *p, bool condition);
/* One, or several with commas between: then a tuple. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool condition);
/* What follows is, or is not, inside an if; returns what was before. */
bool jinja_parse_conditional(struct jinja_parser *p, bool conditional);

/* "|f|g(1)" after a value; NULL stands for the text of a block. */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *value);

#endif
