/* cmd/answer.h - one conversation with a model in this process: what `run` and its chat use. */
#ifndef CMD_ANSWER_H
#define CMD_ANSWER_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "chip/chip.h"
#include "cmd/cmd.h"
#include "engine/request.h"
#include "engine/think.h"

struct session;

/* As the flags say; what was not said is the model's own default. */
struct answer_settings {
	struct chip_sampling sampling;
	uint32_t tokens_max;            /* 0: the rest of the context */
	uint32_t think_budget;          /* tokens of thought, or THINK_NONE */
	struct request_stop stops[REQUEST_STOPS_MAX];
	uint32_t stop_count;
	const char *system;             /* NULL: none */
	uint32_t context_max;           /* prompt and answer; 0: the model's, at most 4096 */
	int think;                      /* 1, 0, or -1: the template's own default */
	bool raw;                       /* the prompt as it is, without the template */
	bool stats;
};

struct answer_stats {
	uint32_t prompt_tokens;
	uint32_t answer_tokens;
	int64_t first_ns;               /* from the start of the answer to its first token */
	int64_t decode_ns;              /* of the tokens after the first */
};

struct answerer {
	struct model *model;
	struct session *session;
	struct answer_settings settings;
	struct think_rule thinks;       /* the model's */
	struct think_state think;       /* of the answer */
	struct buf logprobs;            /* of the answer, a JSON object a line, if asked for */
	uint32_t *tokens;               /* [context] */
	uint32_t context_max;
	volatile sig_atomic_t *stop;    /* set: the answer ends at the next step; may be NULL */
};

enum err answerer_open(struct answerer *a, struct model *model,
	const struct answer_settings *settings, struct err_info *info) MUST_CHECK;
void answerer_close(struct answerer *a);

/* A prompt into a->tokens: messages (an array of {role, content}) by the template, or a text as it
 * is. ERR_LIMIT when it does not leave room for one token of an answer: then *prompt_tokens is the
 * whole context, and after any other error less. */
enum err answerer_prompt_chat(struct answerer *a, json_t *messages, uint32_t *prompt_tokens,
	struct err_info *info)
	MUST_CHECK;
enum err answerer_prompt_raw(struct answerer *a, const char *text, size_t size,
	uint32_t *prompt_tokens, struct err_info *info) MUST_CHECK;

/* Answers the prompt, streaming to stdout; the text also goes to answer if not NULL. Ends early,
 * and well, when *stop is set or nobody can read what is printed. */
enum err answerer_answer(struct answerer *a, uint32_t prompt_tokens, struct buf *answer,
	struct answer_stats *stats, struct err_info *info) MUST_CHECK;

/* What --stats and --logprobs ask for: on stderr, after the answer. */
void answer_tell(const struct answerer *a, const struct answer_stats *s);

#endif
