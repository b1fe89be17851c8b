/* model/tokenizer/pretokenizer.h - the steps by which a tokenizer cuts text into pieces, one
 * after the other.
 *
 *	"I'm 42"  --GPT2-->  I | 'm | " 42"  --DIGITS-->  I | 'm | " " | 4 | 2
 *
 * A step sees one piece of the step before as if it were all there is. The expressions of known
 * models are hand-made rules, any other is a regex; a byte that belongs to no character is no match
 * of it, and a piece border.
 */
#ifndef MODEL_TOKENIZER_PRETOKENIZER_H
#define MODEL_TOKENIZER_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/tokenizer/pretokenize.h"
#include "model/tokenizer/regex.h"

#define PRETOKENIZER_STEPS_MAX ((size_t)16)

enum pretokenizer_kind {
	PRETOKENIZER_RULE,
	PRETOKENIZER_REGEX,
	PRETOKENIZER_PREFIX_SPACE,  /* a space before a piece that does not begin with one */
};

/* What becomes of what a regex matches; the names are tokenizer.json's. */
enum pretokenizer_behavior {
	PRETOKENIZER_ISOLATED,
	PRETOKENIZER_REMOVED,
	PRETOKENIZER_MERGED_WITH_PREVIOUS,
	PRETOKENIZER_MERGED_WITH_NEXT,
	PRETOKENIZER_CONTIGUOUS,    /* neighbours alike become one */
};

struct pretokenizer_step {
	enum pretokenizer_kind kind;
	enum pretokenize_rule rule;
	const char *pattern;        /* of a regex, read while the pretokenizer is opened */
	size_t pattern_size;
	bool literal;               /* the pattern is no expression but plain text */
	enum pretokenizer_behavior behavior;
	bool invert;                /* what does not match is what matches */
};

/* Plain data: what to open. */
struct pretokenizer_steps {
	struct pretokenizer_step steps[PRETOKENIZER_STEPS_MAX];
	size_t count;               /* 0: a text is one piece */
};

/* Adds a step; ERR_LIMIT when there are too many. */
enum err pretokenizer_add(struct pretokenizer_steps *steps, struct pretokenizer_step step,
	struct err_info *info) MUST_CHECK;
/* The hand-made rule of a regex whose matches are all isolated, where there is one. */
enum err pretokenizer_add_regex(struct pretokenizer_steps *steps, struct pretokenizer_step step,
	struct err_info *info) MUST_CHECK;

/* Immutable after open; any number of threads. */
struct pretokenizer {
	struct pretokenizer_steps steps;
	struct regex *regexes[PRETOKENIZER_STEPS_MAX];  /* by step, where it is one */
	size_t regex_count;
};

/* On failure p is closed already. */
enum err pretokenizer_open(struct pretokenizer *p, const struct pretokenizer_steps *steps,
	struct err_info *info) MUST_CHECK;
void pretokenizer_close(struct pretokenizer *p);

/* What one thread needs while it cuts; zeroed but for the arena, and forgotten with it. */
struct pretokenizer_work {
	struct arena *arena;
	struct regex_work *regex;
	char *prefixed;
	size_t prefixed_capacity;
};

/* Takes a piece, size > 0. */
typedef enum err pretokenizer_take(void *context, const char *piece, size_t size);

/* Gives every piece of text[0 .. size) to take, in order, until it fails. */
enum err pretokenizer_cut(const struct pretokenizer *p, struct pretokenizer_work *work,
	const char *text, size_t size, pretokenizer_take *take, void *context,
	struct err_info *info) MUST_CHECK;

#endif
