/* cmd/chat.h - a conversation at the terminal: line editing, history, /help. */
#ifndef CMD_CHAT_H
#define CMD_CHAT_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "cmd/answer.h"

/* Until Ctrl-D or /bye; Ctrl-C stops an answer, and clears the line at the prompt. When the context
 * is full the oldest turns are forgotten. */
enum err chat_run(struct answerer *a, struct err_info *info) MUST_CHECK;

/* A new list of messages, with the system message if system is not NULL. ERR_INPUT when
 * it is not UTF-8. */
enum err chat_begin(json_t **messages, const char *system, struct err_info *info) MUST_CHECK;
/* ERR_INPUT when content is not UTF-8. */
enum err chat_add(json_t *messages, const char *role, const char *content, size_t size,
	struct err_info *info) MUST_CHECK;

#endif
