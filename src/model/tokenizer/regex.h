/* model/tokenizer/regex.h - regular expressions that files bring: PCRE2 with every step counted.
 *
 *	struct regex *r;
 *	struct regex_work *w = NULL;
 *	regex_open(&r, "\\p{N}{1,3}", 11, &info);
 *	regex_work_allow(&w, &arena, size, &info);
 *	regex_split(r, w, text, size, take, context, &info);
 *	regex_close(r);
 *
 * A backtracking engine needs exponential time for some expressions. Here each item that is tried,
 * and each byte that lies between two of them, is a step; a text may take so many for each of its
 * bytes, and then it is an error. Whether it is depends on text and expression alone.
 */
#ifndef MODEL_TOKENIZER_REGEX_H
#define MODEL_TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* Expressions of models take about 4 steps a byte. */
#define REGEX_STEPS_PER_BYTE 256
#define REGEX_STEPS_MIN      ((uint64_t)1 << 16)
/* What the matcher may take for what it must come back to. */
#define REGEX_HEAP_KIB_MAX   65536u

/* Immutable; any number of threads. */
struct regex;
/* What a thread needs while it matches. */
struct regex_work;

/* pattern is in Oniguruma's Ruby syntax, as in tokenizer.json; ERR_UNSUPPORTED names what in it is
 * not known here. */
enum err regex_open(struct regex **out, const char *pattern, size_t size, struct err_info *info)
	MUST_CHECK;
/* NULL is legal. */
void regex_close(struct regex *r);

/* The expression that matches this text and no other; size > 0. */
enum err regex_open_literal(struct regex **out, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;

/* Makes *w, which is NULL at first, good for matching texts of so many bytes in all, on top of what
 * is left. It lives in the arena until that is reset; nothing has to be closed. */
enum err regex_work_allow(struct regex_work **w, struct arena *arena, size_t text_bytes,
	struct err_info *info) MUST_CHECK;
/* Taken so far. */
uint64_t regex_work_steps(const struct regex_work *w);

/* Takes text[begin .. end), which is a match, or lies between matches; a match may be empty. */
typedef enum err regex_take(void *context, size_t begin, size_t end, bool matched);

/* Gives all of text[0 .. size) to take, in order, until it fails. Bytes that belong to no character
 * are no match, and end the text for what stands before them. ERR_LIMIT: too many steps. */
enum err regex_split(const struct regex *r, struct regex_work *w, const char *text, size_t size,
	regex_take *take, void *context, struct err_info *info) MUST_CHECK;

#endif
