/* engine/think.h - is an answer inside its think block, for how many tokens, and which token ends a
 * block that has had enough?
 *
 *	prompt ... <think> \n | it could be that \n </think> \n \n The answer is
 *	                      |  1  2     3  4   5
 *
 * Thinking is counted in the tokens of the answer that lie behind <think>, in the prompt or in the
 * answer, up to </think>. When a budget is used up and the block is still open, the tokens of
 * "\n</think>\n\n" come next, whatever the model would have said; then it goes on by itself. They
 * count as all tokens do. A block opened later finds nothing left.
 *
 * Pure. State follows from prompt and answer alone: a sequence that was preempted comes back to it
 * by being told its tokens again.
 */
#ifndef ENGINE_THINK_H
#define ENGINE_THINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define THINK_ENDING_MAX  8             /* tokens of "\n</think>\n\n" */
#define THINK_NONE        UINT32_MAX    /* no token; no budget */

struct tokenizer;

/* A model's tokens. open is THINK_NONE in one that has none: it never thinks. */
struct think_rule {
	uint32_t open, close;
	uint32_t ending[THINK_ENDING_MAX];
	uint32_t ending_count;
};

struct think_state {
	bool inside;
	uint32_t tokens;        /* of the answer, that were thought */
	uint32_t given;         /* tokens of the ending that are in the answer; 0: none is due */
};

/* ERR_MEMORY. */
enum err think_rule_find(struct think_rule *rule, const struct tokenizer *tokenizer,
	struct err_info *info) MUST_CHECK;

/* In all of these rule may be NULL: of a model that never thinks. */

/* Before the answer's first token. */
void think_start(struct think_state *s, const struct think_rule *rule, const uint32_t *prompt,
	uint32_t prompt_tokens);
/* The token that has to come next; THINK_NONE: the model chooses. */
uint32_t think_forced(const struct think_state *s, const struct think_rule *rule,
	uint32_t budget);
/* The next token of the answer; budget as for think_forced. */
void think_add(struct think_state *s, const struct think_rule *rule, uint32_t budget,
	uint32_t token);

#endif
