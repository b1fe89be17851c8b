/* server/admin_link.h - the verbs' way to a cloud: a running server's socket or, when none runs,
 * the database itself.
 *
 *	struct admin_link *link;
 *	json_t *op = json_pack("{s:s, s:s}", "op", "tenant_show", "name", "demo"), *reply;
 *	if (admin_link_open(&link, NULL, NULL, &info) ||
 *		admin_link_call(link, op, &reply, &info)) ...
 *	admin_link_close(link);
 *
 * Documents are those of admin_ops.h. Without a server, opening takes the lock and waits a
 * little for another verb; what a crash cut off is released then, as at a server's start
 * (rules.md 13, 19).
 */
#ifndef SERVER_ADMIN_LINK_H
#define SERVER_ADMIN_LINK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct admin_link;

/* home NULL: as cli.md says. currency: of a database that this makes, and what one that no server
 * has open must have; NULL: CNY, any. ERR_BUSY: something else holds it and does not listen. */
enum err admin_link_open(struct admin_link **out, const char *home, const char *currency,
	struct err_info *info) MUST_CHECK;
/* NULL is legal. */
void admin_link_close(struct admin_link *l);

/* *reply is the caller's (json_decref). A refusal is ERR_INPUT, NOT_FOUND, ... with its text. */
enum err admin_link_call(struct admin_link *l, const json_t *op, json_t **reply,
	struct err_info *info) MUST_CHECK;

/* Lists and checks: see is called with each row, one line of JSON without its end. */
enum err admin_link_each(struct admin_link *l, const json_t *op,
	void (*see)(void *context, const char *line), void *context,
	struct err_info *info) MUST_CHECK;

#endif
