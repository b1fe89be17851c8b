/* cmd/pull_make.h - `tongyun pull NAME:TYPE` where the hub has no such type: it is made of the
 * original, which stays in the store. */
#ifndef CMD_PULL_MAKE_H
#define CMD_PULL_MAKE_H

#include "hub/pull.h"

/* For pull_config. */
bool pull_can_make(const char *type);

struct pull_making {
	const struct store *store;
	const struct client_config *client;   /* who is told of waits, and can end them */
	const struct pull_result *original;   /* what the hub had */
	const char *type;
	/* how far it is; false: given up (ERR_CANCELLED) */
	bool (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

/* One GGUF file and what tells the licence, as a model of its own; unless another process has made
 * it meanwhile. */
enum err pull_make(const struct pull_making *m, struct pull_result *out, struct err_info *info)
	MUST_CHECK;

#endif
