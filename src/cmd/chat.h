/* cmd/chat.h - a conversation at the terminal: line editing, history, /help. */
#ifndef CMD_CHAT_H
#define CMD_CHAT_H

#include <jansson.h>

#include "base/err.h"
#include "cmd/answer.h"

/* Until Ctrl-D or /bye; Ctrl-C stops an answer. */
enum err chat_run(struct answerer *a, struct err_info *info) MUST_CHECK;

/* A new list of messages, with the system message if there is one. */
json_t *chat_messages(const char *system);
/* ERR_INPUT when content is not UTF-8. */
enum err chat_add(json_t *messages, const char *role, const char *content, struct err_info *info) MUST_CHECK;

#endif
