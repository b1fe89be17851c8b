/* engine/request.h - one request on its way: what was asked, in tokens, and the answer as it grows.
 *
 * Made by the front in the request's own arena, then immutable but for the answer. The
 * executor alone appends to answer; others read the first n tokens after a message told them
 * n. The front frees it after the core has said END, which it says only when no batch in
 * flight names the request.
 */
#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "chip/chip.h"
#include "engine/think.h"

#define REQUEST_STOPS_MAX     16
#define REQUEST_STOP_BYTES    256   /* of one stop string */
#define REQUEST_LOGPROBS_BLOCK 64   /* tokens whose logprobs lie together */
#define REQUEST_EOS_MAX       CHIP_BANNED_MAX   /* with min_tokens all of them are banned */

struct request_stop {
	const char *text;
	uint32_t size;
};

struct request {
	uint32_t handle;                /* index in the table of requests; what small
					 * messages carry */
	uint32_t model;                 /* index of the pool */

	const uint32_t *prompt;
	uint32_t prompt_tokens;
	uint32_t answer_tokens_max;     /* room: the executor ends the answer here with length */
	uint32_t answer_tokens_min;     /* min_tokens: no end before */
	bool ignore_eos;
	struct chip_sampling sampling;
	const struct think_rule *think; /* of its model, which outlives it; NULL: none */
	uint32_t think_budget;          /* tokens of thought, or THINK_NONE */
	uint32_t eos[REQUEST_EOS_MAX];
	uint32_t eos_count;
	struct request_stop stops[REQUEST_STOPS_MAX];
	uint32_t stop_count;

	uint32_t *answer;               /* [answer_tokens_max] in the arena */
	uint32_t answer_tokens;         /* written by the executor only */
	/* of each token, then of the likeliest ones, CHIP_NONE where there are fewer tokens:
	 * [blocks][REQUEST_LOGPROBS_BLOCK][1 + sampling.top_logprobs]; NULL where sampling does
	 * not ask */
	struct chip_logprob **logprobs;

	struct arena arena;
};

/* The logprobs of the answer's token `index`. */
static inline struct chip_logprob *request_logprobs(const struct request *r, uint32_t index)
{
	return r->logprobs[index / REQUEST_LOGPROBS_BLOCK] +
		(size_t)(index % REQUEST_LOGPROBS_BLOCK) * (1 + r->sampling.top_logprobs);
}

/* Requests by handle, shared by front, core and executor; a slot is taken and given
 * back by the front. */
struct request_table {
	struct request **by_handle;
	uint32_t capacity;
};

#endif
