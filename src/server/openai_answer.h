/* server/openai_answer.h - the objects of OpenAI's API that go out, and their framing as
 * server-sent events. */
#ifndef SERVER_OPENAI_ANSWER_H
#define SERVER_OPENAI_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cloud/record.h"
#include "engine/request.h"
#include "server/openai_error.h"

struct tokenizer;

/* What every object of one answer repeats. */
struct openai_answer {
	const char *request_id;         /* "req_..."; the object's id is "chatcmpl-..." of
					 * the same digits */
	const char *model;
	int64_t created_s;
	bool with_usage;                /* chunks say "usage":null where they have none
					 * (include_usage) */
};

struct openai_usage {
	int64_t prompt_tokens;
	int64_t cached_tokens;
	int64_t completion_tokens;
	int64_t reasoning_tokens;
};

/* Tokens of an answer whose logprobs go out: [first, end). */
struct openai_logprobs {
	const struct request *request;      /* that has asked for them */
	const struct tokenizer *tokenizer;
	uint32_t first, end;
};

/* Each of these appends one event, "data: {...}\n\n". logprobs NULL: none were asked for. */
void openai_chunk_first(struct buf *out, const struct openai_answer *answer);
void openai_chunk_text(struct buf *out, const struct openai_answer *answer, const char *text,
	size_t size, const struct openai_logprobs *logprobs,
	const struct openai_usage *usage_so_far);
void openai_chunk_finish(struct buf *out, const struct openai_answer *answer,
	enum record_finish finish, const struct openai_usage *usage_so_far);
void openai_chunk_usage(struct buf *out, const struct openai_answer *answer,
	const struct openai_usage *usage);
void openai_chunk_error(struct buf *out, const struct openai_error *error);
void openai_chunk_done(struct buf *out);

/* The body of an answer that is not streamed. */
void openai_completion(struct buf *out, const struct openai_answer *answer, const char *text,
	size_t size, const struct openai_logprobs *logprobs, enum record_finish finish,
	const struct openai_usage *usage);

/* {"token", "logprob", "bytes", "top_logprobs":[...]} of one token of an answer. */
void openai_logprob(struct buf *out, const struct tokenizer *tokenizer,
	const struct chip_logprob *own, uint32_t top_count);

/* An entry of GET /v1/models. */
void openai_model_object(struct buf *out, const char *id, int64_t created_s, uint32_t context_max);

#endif
