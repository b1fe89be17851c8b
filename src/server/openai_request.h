/* server/openai_request.h - the body of POST /v1/chat/completions: parsed once, validated
 * whole, then trusted.
 *
 * Unknown fields are ignored. Known ones that this server cannot honour are refused rather than
 * ignored, with the field's name in param: an answer is never silently another than was asked for.
 */
#ifndef SERVER_OPENAI_REQUEST_H
#define SERVER_OPENAI_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "chip/chip.h"
#include "engine/request.h"
#include "server/openai_error.h"

/* What a model answers with when the request does not say (its generation_config.json). */
struct openai_model {
	const char *id;
	struct chip_sampling defaults;  /* banned and seed are not used */
	uint32_t vocab;                 /* ids of its tokens are below */
};

struct openai_chat {
	json_t *body;                   /* owned; everything else points into it. Holds only keys
					 * that are still needed */
	struct json_limits limits;      /* of the body, and of what is parsed out of it */
	struct json_budget memory;      /* of the body and what was parsed out of it */
	uint32_t model;                 /* index in the list, or CORE_NONE: asked for one
					 * that is not there */
	const char *model_asked;        /* NULL: none */
	json_t *messages;               /* roles and contents are as templates want them */
	json_t *tools;                  /* NULL: none */
	json_t *template_kwargs;        /* NULL: none */
	struct chip_sampling sampling;  /* biases are in logit_bias */
	json_t *logit_bias;             /* token id to bias; NULL: none */
	bool seed_given;
	int64_t max_tokens;             /* -1: not given */
	int64_t min_tokens;
	bool ignore_eos;
	int64_t thinking_budget;        /* -1: none */
	struct request_stop stops[REQUEST_STOPS_MAX];
	uint32_t stop_count;
	bool stream;
	bool include_usage;
	bool usage_in_each_chunk;       /* vLLM's continuous_usage_stats */
};

/* False: error says what to answer, and chat holds nothing. limits NULL: JSON_LIMITS_REQUEST.
 * trees: shared by all chats, NULL: no common bound; when it is used up the answer is OVERLOADED.
 * Thread-safe. */
bool openai_chat_parse(struct openai_chat *chat, const char *body, size_t size,
	const struct openai_model *models, uint32_t model_count, const struct json_limits *limits,
	struct json_pool *trees, struct openai_error *error) MUST_CHECK;
/* The prompt is made: the body goes, and with it all that points into it but model. */
void openai_chat_forget(struct openai_chat *chat);
void openai_chat_free(struct openai_chat *chat);

#endif
