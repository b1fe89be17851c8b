/* server/openai_messages.h - private to the OpenAI routes: messages, tools and template
 * arguments of a request.
 *
 * OpenAI's spelling becomes the one that chat templates know: developer is system, parts
 * of text are one text, arguments of tool calls are objects, enable_thinking is an
 * argument of the template.
 */
#ifndef SERVER_OPENAI_MESSAGES_H
#define SERVER_OPENAI_MESSAGES_H

#include "server/openai_request.h"

/* Checks and rewrites what body holds; sets messages, tools and template_kwargs of chat. */
bool openai_messages_read(struct openai_chat *chat, struct openai_error *error) MUST_CHECK;

#endif
