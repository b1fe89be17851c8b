/* model/pretokenize.h - where a text is cut before merging: Qwen's two regular expressions.
 *
 *	(?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?[L]+  |  \p{N}
 *	|  ?[^\s[L]\p{N}]+[\r\n]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
 *	where [L] is \p{L}, and from Qwen3.5 on \p{L}\p{M}
 *
 * Written by hand so that it is linear in the text whatever the text; alternatives are tried in
 * order, the first that matches is taken, as the expression's own engines do.
 */
#ifndef MODEL_PRETOKENIZE_H
#define MODEL_PRETOKENIZE_H

#include <stddef.h>

enum pretokenize_rule {
	PRETOKENIZE_QWEN2,   /* Qwen2, 2.5, 3 */
	PRETOKENIZE_QWEN35,  /* Qwen3.5 and later: marks go with letters */
};

/* The expression as tokenizer.json spells it. */
const char *pretokenize_regex(enum pretokenize_rule rule);

/* Size in bytes of the piece at the start of text, size > 0; what stands before never matters. */
size_t pretokenize_next(enum pretokenize_rule rule, const char *text, size_t size);

#endif
