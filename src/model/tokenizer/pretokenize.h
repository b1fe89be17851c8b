/* model/tokenizer/pretokenize.h - where a text is cut before merging: the expressions of the
 * known models.
 *
 *	QWEN2   (?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?\p{L}+  |  \p{N}
 *	        |  ?[^\s\p{L}\p{N}]+[\r\n]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
 *	QWEN35  the same with [\p{L}\p{M}] for \p{L}
 *	LLAMA3  the same as QWEN2 with \p{N}{1,3} for \p{N}
 *	GPT2    's|'t|'re|'ve|'m|'ll|'d  |  ?\p{L}+  |  ?\p{N}+  |  ?[^\s\p{L}\p{N}]+
 *	        |  \s+(?!\S)  |  \s+
 *	DIGITS  \p{N}, and what lies between
 *
 * Written by hand so that it is linear in the text whatever the text; alternatives are tried in
 * order, the first that matches is taken, as the expression's own engines do.
 */
#ifndef MODEL_TOKENIZER_PRETOKENIZE_H
#define MODEL_TOKENIZER_PRETOKENIZE_H

#include <stddef.h>

enum pretokenize_rule {
	PRETOKENIZE_QWEN2,   /* Qwen2, 2.5, 3 */
	PRETOKENIZE_QWEN35,  /* Qwen3.5 and later: marks go with letters */
	PRETOKENIZE_LLAMA3,  /* Llama 3 */
	PRETOKENIZE_GPT2,    /* GPT-2, and ByteLevel's own of a tokenizer.json */
	PRETOKENIZE_DIGITS,  /* each digit alone; SmolLM before GPT2 */
	PRETOKENIZE_RULES,
};

/* The expression as tokenizer.json spells it. */
const char *pretokenize_regex(enum pretokenize_rule rule);

/* Size in bytes of the piece at the start of text, size > 0; what stands before never matters. */
size_t pretokenize_next(enum pretokenize_rule rule, const char *text, size_t size);

#endif
