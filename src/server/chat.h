/* server/chat.h - POST /v1/chat/completions: what its calls have beyond others, and what the front
 * tells them.
 */
#ifndef SERVER_CHAT_H
#define SERVER_CHAT_H

#include "engine/detokenize.h"
#include "engine/request.h"
#include "server/front.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"

/* One per handle of the core. */
struct chat {
	struct http_body body;
	size_t body_bytes;              /* as it came: how much to read, and later to render */
	bool body_ok;
	struct openai_error error;
	struct openai_chat asked;
	uint32_t context_max;           /* of the model */
	struct request request;
	struct detokenize *detokenize;  /* in the request's arena */
	struct think_state think;       /* after tokens_thought tokens of the answer */
	uint32_t tokens_thought;

	bool cut;                       /* the core wants it to end */
	bool lost;                      /* there was no memory for its text */
	struct buf text;                /* of an answer that is not streamed */
	struct buf whole;               /* its body */
	uint32_t tokens_seen;           /* taken from the executor's answer */
	uint32_t tokens_out;            /* may go out */
	uint32_t tokens_chunked;        /* in deltas that were queued */
	uint32_t tokens_told;           /* in the socket, as the core was told */
	bool stalled;                   /* the core was told so */
	bool late;                      /* tell it again: its ring had no room */
	uint64_t taken_bytes_told;      /* when it was last told */
	int64_t delta_ns;               /* the last delta, or 0 */
	struct openai_answer answer;
};

/* The call has begun; its key is not known yet. c->chat is its handle's. */
void chat_init(struct call *c);
/* Authorised: reads the body. */
void chat_serve(struct call *c);
void chat_action(struct call *c, const struct core_action *action);
/* The socket took something. */
void chat_progress(struct call *c);
/* The connection is about to be closed; http_taken is final. */
void chat_gone(struct call *c);
/* There may be room now for what was late. */
void chat_tell_late(struct call *c);
void chat_free(struct call *c);

/* chat_request.c: what was asked for becomes the request, which has its prompt. False: no
 * memory. */
bool chat_request_fill(struct call *c, const struct server_model *model) MUST_CHECK;

#endif
