/* model/template/jinja_lex.h - a template's source as tokens: text with its white space settled,
 * and what stands in tags.
 *
 * Private to the Jinja engine. trim_blocks and lstrip_blocks are on, as in Hugging Face's
 * environment.
 */
#ifndef MODEL_TEMPLATE_JINJA_LEX_H
#define MODEL_TEMPLATE_JINJA_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/template/jinja.h"

enum jinja_token_type {
	JINJA_TOKEN_END,              /* of the source */
	JINJA_TOKEN_TEXT,
	JINJA_TOKEN_BLOCK_BEGIN,      /* {% */
	JINJA_TOKEN_BLOCK_END,
	JINJA_TOKEN_VARIABLE_BEGIN,   /* {{ */
	JINJA_TOKEN_VARIABLE_END,
	JINJA_TOKEN_NAME,
	JINJA_TOKEN_STRING,           /* escapes resolved */
	JINJA_TOKEN_INTEGER,
	JINJA_TOKEN_FLOAT,
	JINJA_TOKEN_OPERATOR,         /* its characters are the token's bytes */
};

struct jinja_token {
	enum jinja_token_type type;
	uint32_t line;
	const char *bytes;
	size_t size;
	int64_t integer;
	double real;
};

struct jinja_lexer {
	const char *source;           /* newlines are \n */
	size_t size;
	size_t at;
	size_t counted_at;            /* up to here newlines are in line */
	uint32_t line;
	enum jinja_token_type
		mode;       /* TEXT, BLOCK_END or VARIABLE_END: what ends the present stretch */
	bool line_starting; /* nothing but the end of a line stands before the text to come */
	bool has_pending;
	struct jinja_token pending;
	char brackets[JINJA_NESTING_MAX];
	size_t bracket_count;
	struct arena *arena;          /* for strings with escapes */
	struct err_info *info;
};

/* The source is copied to the arena, which outlives the tokens. */
enum err jinja_lex_open(struct jinja_lexer *l, const char *source, size_t size, struct arena *arena,
	struct err_info *info) MUST_CHECK;
enum err jinja_lex_next(struct jinja_lexer *l, struct jinja_token *token) MUST_CHECK;

#endif
