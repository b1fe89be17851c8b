/* server/prompt.h - messages become tokens: the model's chat template, then its tokenizer. */
#ifndef SERVER_PROMPT_H
#define SERVER_PROMPT_H

#include "base/arena.h"
#include "server/openai_request.h"
#include "server/server.h"

struct prompt {
	const uint32_t *tokens;     /* in the arena */
	uint32_t count;
};

/* False: error says why; nothing a client sends is ever more than that. Thread-safe. */
bool prompt_make(struct prompt *out, const struct server_model *model,
	const struct openai_chat *chat, uint32_t context_max, struct arena *arena,
	struct openai_error *error) MUST_CHECK;

#endif
