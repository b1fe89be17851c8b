/* model/tokenizer/normalizer.h - what a tokenizer does to a text before it cuts it:
 * tokenizer.json's normalizer, step by step.
 */
#ifndef MODEL_TOKENIZER_NORMALIZER_H
#define MODEL_TOKENIZER_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/tokenizer/normal_form.h"
#include "model/tokenizer/regex.h"

#define NORMALIZER_STEPS_MAX    ((size_t)16)
/* What may come out, by what goes in: a file's replacements could double a text 16 times. */
#define NORMALIZER_GROWTH_MAX   ((size_t)32)
#define NORMALIZER_BYTES_MIN    ((size_t)4096)

enum normalizer_kind {
	NORMALIZER_FORM,
	NORMALIZER_LOWERCASE,
	NORMALIZER_STRIP,
	NORMALIZER_STRIP_ACCENTS,
	NORMALIZER_PREPEND,
	NORMALIZER_REPLACE,
};

struct normalizer_step {
	enum normalizer_kind kind;
	enum normal_form form;
	bool left, right;           /* what to strip */
	const char *pattern;        /* to replace; both are read while the normalizer is opened */
	size_t pattern_size;
	bool literal;               /* the pattern is no expression but plain text */
	const char *content;        /* to prepend, or what to replace it with */
	size_t content_size;
};

/* Plain data: what to open. */
struct normalizer_steps {
	struct normalizer_step steps[NORMALIZER_STEPS_MAX];
	size_t count;               /* 0: texts stay as they are */
};

/* Adds a step; ERR_LIMIT when there are too many. */
enum err normalizer_add(struct normalizer_steps *steps, struct normalizer_step step,
	struct err_info *info) MUST_CHECK;

/* Immutable after open; any number of threads. */
struct normalizer {
	struct normalizer_steps steps;
	char *contents;             /* of all steps, one after the other */
	struct regex *regexes[NORMALIZER_STEPS_MAX];  /* by step, where it is one */
};

/* On failure n is closed already. */
enum err normalizer_open(struct normalizer *n, const struct normalizer_steps *steps,
	struct err_info *info) MUST_CHECK;
void normalizer_close(struct normalizer *n);

/* What one thread needs; zeroed but for the arena, and forgotten with it. regex may be shared with
 * other users of the same arena. */
struct normalizer_work {
	struct normal_form_work form;   /* its arena is everybody's */
	struct regex_work **regex;
};

/* A text, and which of its bytes the caller trusts; NULL: nobody asks. */
struct normalizer_text {
	const char *bytes;
	const uint8_t *trusted;     /* [size] 0 or 1 */
	size_t size;
};

/* Leaves the text as it is, or makes it another one in the arena. What became of bytes of which one
 * was not trusted is not trusted. */
enum err normalizer_apply(const struct normalizer *n, struct normalizer_work *work,
	struct normalizer_text *text, struct err_info *info) MUST_CHECK;

#endif
