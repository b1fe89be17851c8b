/* model/pretokenizer.h - the steps by which a tokenizer cuts text into pieces, one after the other.
 *
 *	"I'm 42"  --GPT2-->  I | 'm | " 42"  --DIGITS-->  I | 'm | " " | 4 | 2
 *
 * A step sees one piece of the step before as if it were all there is.
 */
#ifndef MODEL_PRETOKENIZER_H
#define MODEL_PRETOKENIZER_H

#include <stddef.h>

#include "base/err.h"
#include "model/pretokenize.h"

#define PRETOKENIZER_STEPS_MAX ((size_t)16)

struct pretokenizer_step {
	enum pretokenize_rule rule;
};

struct pretokenizer {
	struct pretokenizer_step steps[PRETOKENIZER_STEPS_MAX];
	size_t step_count;    /* 0: a text is one piece */
};

/* Adds a step; ERR_LIMIT when there are too many. */
enum err pretokenizer_add(struct pretokenizer *p, struct pretokenizer_step step,
	struct err_info *info) MUST_CHECK;

/* Takes a piece, size > 0. */
typedef enum err pretokenizer_take(void *context, const char *piece, size_t size);

/* Gives every piece of text[0 .. size) to take, in order, until it fails. */
enum err pretokenizer_cut(const struct pretokenizer *p, const char *text, size_t size,
	pretokenizer_take *take, void *context) MUST_CHECK;

#endif
