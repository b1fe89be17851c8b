/* hub/listing_private.h - what the two hubs' files share: private to hf.c, modelscope.c and
 * listing.c. */
#ifndef HUB_LISTING_PRIVATE_H
#define HUB_LISTING_PRIVATE_H

#include "base/json.h"
#include "hub/listing.h"

#define LISTING_BYTES_MAX ((size_t)32 << 20)   /* of one document */

extern const struct json_limits LISTING_LIMITS;

/* One more file; hashes are checked, "" or NULL is none. */
enum err listing_add(struct manifest *out, const char *path, int64_t size, const char *sha256,
	const char *git_sha1, struct err_info *info) MUST_CHECK;

/* A document at endpoint + url's rest; a status other than 200 is an error about name. */
enum err listing_get(const struct hub *hub, const struct hub_name *name, const struct buf *url,
	struct buf *body, struct client_answer *answer, struct err_info *info) MUST_CHECK;

enum err hub_hf_list(const struct hub *hub, const struct hub_name *name, struct manifest *out,
	struct err_info *info) MUST_CHECK;
enum err hub_modelscope_list(const struct hub *hub, const struct hub_name *name,
	struct manifest *out, struct err_info *info) MUST_CHECK;

#endif
