/* model/tokenizer/normal_form.h - NFC, NFD, NFKC and NFKD in time proportional to the text,
 * however many marks stand on one letter.
 *
 *	text   f a c ◌̧ ◌́ a d e      segments:  f  a  [c ◌̧ ◌́]  a  d  e
 *
 * A text falls into segments that are normalised each by itself; all but few are one character that
 * no form changes. Broken bytes are segments that stay as they are.
 */
#ifndef MODEL_TOKENIZER_NORMAL_FORM_H
#define MODEL_TOKENIZER_NORMAL_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum normal_form {
	NORMAL_FORM_C,
	NORMAL_FORM_D,
	NORMAL_FORM_KC,
	NORMAL_FORM_KD,
};

/* True when the form would certainly leave the text as it is: the fast and usual case. */
bool normal_form_holds(enum normal_form form, const char *text, size_t size);

/* Size in bytes of the segment at the start of text, size > 0. *changes tells whether it may
 * change; one that does not may be many characters. */
size_t normal_form_segment(enum normal_form form, const char *text, size_t size, bool *changes);

/* What one thread needs; zeroed but for the arena, and forgotten with it. */
struct normal_form_work {
	struct arena *arena;
	int32_t *points;     /* of a segment, decomposed */
	int32_t *spare;      /* [capacity] as well */
	size_t capacity;
	uint64_t steps;      /* characters moved so far: what the time is made of */
};

/* The form of one segment that changes, in UTF-8 and in work's memory until the next call.
 * ERR_LIMIT when the arena is full. */
enum err normal_form_apply(struct normal_form_work *work, enum normal_form form,
	const char *segment, size_t size, const char **out, size_t *out_size,
	struct err_info *info) MUST_CHECK;

#endif
