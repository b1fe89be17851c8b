/* server/admin_ops.h - administration as JSON documents: one form for the socket and for verbs
 * without a server.
 *
 *   {"op":"tenant_create","name":"a","balance_nano":0,"credit_nano":0}   -> {"name","currency","balance_nano",...}
 *   {"op":"tenant_topup","name":"a","amount_nano":1}                     -> the same
 *   {"op":"tenant_show","name":"a"}                                      -> the same
 *   {"op":"tenant_set","name":"a","credit_nano":0,"requests_per_min":60} -> the same; what is absent stays
 *   {"op":"key_create","tenant":"a","name":"s"}                          -> {"id","tenant","prefix","key"}
 *   {"op":"key_revoke","id":1}                                           -> {"id"}
 *   {"op":"price_set","model":"m","input_nano":1,"output_nano":1,"cached_nano":1}  -> {"model","version",...}
 *   {"op":"tenant_list"} key_list price_list usage_list ledger_list      -> a line of JSON for each row
 *   	with "tenant" and "request" where cli.md has such filters
 *   {"op":"ledger_check"}                                                -> {"ok":true}, or the first contradiction
 *
 * Errors are {"error":{"message","type","param","code"}} with the status of openai_error.h.
 */
#ifndef SERVER_ADMIN_OPS_H
#define SERVER_ADMIN_OPS_H

#include <jansson.h>

#include "cloud/core.h"
#include "cloud/store.h"
#include "server/home.h"
#include "server/keys.h"
#include "server/openai_error.h"

#define ADMIN_LINE_BYTES_MAX  65536  /* a row, or a reply */
#define ADMIN_REPLY_BYTES     4096   /* about: reserved before a secret is written */

enum admin_op {
	ADMIN_TENANT_CREATE,
	ADMIN_TENANT_TOPUP,
	ADMIN_TENANT_SHOW,
	ADMIN_TENANT_SET,
	ADMIN_KEY_CREATE,
	ADMIN_KEY_REVOKE,
	ADMIN_PRICE_SET,
	ADMIN_TENANT_LIST,
	ADMIN_KEY_LIST,
	ADMIN_PRICE_LIST,
	ADMIN_USAGE_LIST,
	ADMIN_LEDGER_LIST,
	ADMIN_LEDGER_CHECK,
	ADMIN_OPS
};

/* A command: an event for the core, or a list. */
struct admin_command {
	enum admin_op op;
	struct core_event event;            /* up to PRICE_SET; without its token */
	char key[KEY_BYTES];                /* KEY_CREATE: in clear, to be shown once */
	char tenant[RECORD_NAME_BYTES];     /* lists: "": all */
	bool has_request;
	struct record_request request;
};

bool admin_is_list(enum admin_op op);

/* False: error says why. */
bool admin_command_read(struct admin_command *c, const json_t *document,
	const uint8_t secret[HOME_SECRET_BYTES], struct openai_error *error) MUST_CHECK;

/* What the core answered, as JSON. False: error. */
bool admin_reply_write(struct buf *out, const struct admin_command *c,
	const struct core_reply *reply, const char *currency,
	struct openai_error *error) MUST_CHECK;

/* Rows of a list, a line each and without its end, or the result of a check; after an error the
 * list is not whole. May take long; any thread, own connection. idle: no server runs, so the check
 * finds it wrong when a request is open. */
enum err admin_list_read(const struct admin_command *c, struct store *store,
	const struct home *home, bool idle, void (*see)(void *context, const char *line),
	void *context, struct err_info *info) MUST_CHECK;

#endif
