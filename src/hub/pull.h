/* hub/pull.h - a model from a hub into the store: listed, chosen, fetched, checked, and only then
 * there. A second one at the same time waits for the first, and finds what it did. */
#ifndef HUB_PULL_H
#define HUB_PULL_H

#include "hub/download.h"
#include "hub/store.h"

#define PULL_ENDPOINT_HF          "https://huggingface.co"
#define PULL_ENDPOINT_MODELSCOPE  "https://www.modelscope.cn"

struct pull_config {
	enum hub_kind hub;
	struct client_config client;
	uint32_t connections;
	uint64_t part_bytes;
	void (*progress)(void *context, const struct download_progress *p);   /* or NULL */
	/* whether the caller makes this type of what came; asked before anything is fetched */
	bool (*can_make)(const char *type);
	void *context;
};

struct pull_result {
	struct hub_name name;      /* what is in the store now, with its type */
	bool changed;              /* false: it was there, as the hub has it */
	bool asked;                /* false: the type asked for is still to be made of this one */
	char source[MANIFEST_TEXT_BYTES];
	char revision[MANIFEST_TEXT_BYTES];
	uint32_t files;
	uint64_t size_bytes, received_bytes;
};

enum err pull(const struct store *s, const struct hub_name *name, const struct pull_config *config,
	struct pull_result *out, struct err_info *info) MUST_CHECK;

/* For who makes a type of what came. Waits for who holds the model, and says so once. */
enum err pull_lock(const struct store *s, const struct hub_name *name,
	const struct client_config *client, struct store_lock *out, struct err_info *info)
	MUST_CHECK;
/* True when the store has name, type included, made of this commit of this source; then *out is its
 * manifest. */
bool pull_find_made(const struct store *s, const struct hub_name *name, const char *source,
	const char *revision, struct manifest *out);

#endif
