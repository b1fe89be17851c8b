/* model/template/jinja.h - Jinja templates as chat templates use them: compiled once, rendered
 * many times, bounded.
 *
 *	struct jinja_template *t;
 *	jinja_compile(&t, source, size, &info);
 *	struct jinja_output out;
 *	jinja_output_init(&out, 1 << 20);
 *	const struct jinja_variable variables[] = {{"messages", messages, false}};
 *	jinja_render(t, variables, 1, NULL, &scratch, &out, &info);
 *	... out.text, jinja_output_spans(&out)
 *	jinja_output_free(&out);
 *	jinja_close(t);
 *
 * The dialect is that of Hugging Face's apply_chat_template: jinja2 in an immutable sandbox with
 * trim_blocks, lstrip_blocks, break and continue, its tojson, raise_exception and strftime_now.
 * Values behave as Python's: printing, truth, comparison, slices, formats, methods of str, dict and
 * list. What is refused is in README.md.
 *
 * Trust: each byte of the output is known to come from the template (or a trusted variable), or
 * from outside. Whatever computes a new text from one from outside makes one from outside.
 *
 * A compiled template is immutable and shared between threads.
 */
#ifndef MODEL_TEMPLATE_JINJA_H
#define MODEL_TEMPLATE_JINJA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/tokenizer/text_span.h"

#define JINJA_SOURCE_BYTES_MAX   ((size_t)1 << 20)
#define JINJA_COMPILED_BYTES_MAX ((size_t)64 << 20)
#define JINJA_NESTING_MAX        128      /* of expressions and blocks in the source */
#define JINJA_NAMES_MAX          4096     /* different identifiers */
#define JINJA_RANGE_MAX          100000   /* as jinja2's sandbox */

struct jinja_limits {
	uint64_t steps_max;   /* nodes evaluated, elements and portions of text touched */
	uint32_t depth_max;   /* evaluations inside evaluations; calls of macros among them */
};

/* 20,000,000 steps: some seconds at most; depth 400. */
extern const struct jinja_limits JINJA_LIMITS;

struct jinja_template;

/* ERR_INPUT names line and reason; so does an unknown filter, test or tag. */
enum err jinja_compile(struct jinja_template **out, const char *source, size_t size,
	struct err_info *info) MUST_CHECK;
/* NULL is legal. */
void jinja_close(struct jinja_template *t);

struct jinja_variable {
	const char *name;
	const json_t *value;   /* outlives the render; not changed */
	bool trusted;          /* its strings count as the template's own */
};

struct jinja_output {
	struct buf text;
	struct buf spans;      /* of struct text_span: what of the text is trusted */
};

/* The text may grow to bytes_max; more is ERR_LIMIT. */
void jinja_output_init(struct jinja_output *out, size_t bytes_max);
void jinja_output_free(struct jinja_output *out);
size_t jinja_output_span_count(const struct jinja_output *out);
const struct text_span *jinja_output_spans(const struct jinja_output *out);

struct jinja_options {
	struct jinja_limits limits;
	const struct tm *now;   /* for strftime_now; NULL: a template that asks for it fails */
};

/* Appends to out. Intermediate values come from scratch, whose limit bounds them and which the
 * caller resets. options NULL: the limits above, no time. raise_exception is ERR_INPUT with its
 * message alone; other errors name the line. */
enum err jinja_render(const struct jinja_template *t, const struct jinja_variable *variables,
	size_t variable_count, const struct jinja_options *options, struct arena *scratch,
	struct jinja_output *out, struct err_info *info) MUST_CHECK;

#endif
