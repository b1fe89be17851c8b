/* engine/session.h - sequences driven by hand, in the caller's thread: what `run`,
 * `logits`, `bench` and the identity tests use. Serving does not: there the core schedules
 * and an executor runs.
 *
 *   session_open(&s, model, &options, &info);
 *   session_start(s, 0, &sampling, prompt, prompt_count);
 *   session_prefill(s, 0, prompt, prompt_count, &token, &info);   // token: the first of the answer
 *   session_next(s, 0, &token, &info);                            // and the next, ...
 */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "chip/chip.h"

struct model;
struct session;

struct session_options {
	uint32_t sequences;         /* at once */
	uint32_t context_max;       /* tokens of each; 0: the model's, at most 4096 */
	uint32_t chunk;             /* rows of a step, at most the model's rows_max; 0: that */
	enum chip_type kv_type;     /* or MODEL_KV_AUTO */
	uint64_t page_seed;         /* not 0: pages and slots are dealt in this
				     * random order (tests) */
	const struct chip_observer *observer;
};

/* model must be loaded and outlive the session. */
enum err session_open(struct session **out, struct model *model,
	const struct session_options *options, struct err_info *info) MUST_CHECK;
/* NULL is legal. */
void session_close(struct session *s);

uint32_t session_context_max(const struct session *s);

/* Empties the sequence and makes it ready; prompt are the tokens that penalties count. */
void session_start(struct session *s, uint32_t sequence, const struct chip_sampling *sampling,
	const uint32_t *prompt, uint32_t prompt_count);

/* One step over several sequences. Rows in the order of items; outputs of wanted
 * rows in that order. */
struct session_item {
	uint32_t sequence;
	const uint32_t *tokens;     /* NULL: one row, the slot's last token */
	uint32_t token_count;
	enum chip_want want;        /* of the last row */
	bool want_all;              /* ... of every row */
};
enum err session_step(struct session *s, const struct session_item *items, uint32_t item_count,
	struct chip_output *output, struct err_info *info) MUST_CHECK;

/* The next token that is sampled of the sequence is this one, whatever its logits say. */
void session_force(struct session *s, uint32_t sequence, uint32_t token);

/* All tokens in chunks; *token is sampled after the last one, or token is NULL. */
enum err session_prefill(struct session *s, uint32_t sequence, const uint32_t *tokens,
	uint32_t token_count, uint32_t *token, struct err_info *info) MUST_CHECK;
/* The token after the last one. ERR_LIMIT when the context is full, ERR_INPUT when
 * logits are not finite. */
enum err session_next(struct session *s, uint32_t sequence, uint32_t *token,
	struct err_info *info) MUST_CHECK;
/* Of the token that session_prefill or session_next gave last, where its sampling asks for them. */
const struct chip_logprobs *session_logprobs(const struct session *s);

#endif
