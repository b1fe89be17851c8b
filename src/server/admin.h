/* server/admin.h - the administration socket of a running server: POST /admin with a
 * document of admin_ops.h.
 *
 * Commands go through the core like everything else. Lists and checks are read by a thread of their
 * own, one after the other (admin_reader.h), and sent as fast as their client takes them.
 */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "cloud/core.h"

struct admin;
struct front;

/* database: its path. */
enum err admin_open(struct admin **out, struct front *front, const char *database,
	struct err_info *info) MUST_CHECK;
enum err admin_listen(struct admin *a, struct err_info *info) MUST_CHECK;
/* The core answered a command. */
void admin_reply(struct admin *a, const struct core_reply *reply);
/* NULL is legal for both. */
void admin_close(struct admin *a);
void admin_free(struct admin *a);

#endif
