/* hub/listing.h - what a repository of a hub has: its files, with sizes and hashes, at one commit.
 *
 * Two hubs are spoken: that of Hugging Face (and mirrors of it) and ModelScope. Everything that
 * comes is bounded and checked: a path, a size or a hash that cannot be refuses the whole listing.
 */
#ifndef HUB_LISTING_H
#define HUB_LISTING_H

#include "base/buf.h"
#include "base/err.h"
#include "hub/client.h"
#include "hub/manifest.h"
#include "hub/name.h"

enum hub_kind { HUB_HF, HUB_MODELSCOPE };

struct hub {
	enum hub_kind kind;
	const char *endpoint;      /* without a slash at its end */
	struct client *client;
};

#define HUB_FILE_BYTES_MAX ((int64_t)1 << 50)

/* The repository OWNER/NAME at name->revision, or at its default. Into an empty manifest: source,
 * revision, licence and files. Errors say what the user can do: a name that is not there, a licence
 * to accept, a token to set. */
enum err hub_list(const struct hub *hub, const struct hub_name *name, struct manifest *out,
	struct err_info *info) MUST_CHECK;

/* Where a file of a listing is. */
enum err hub_file_url(const struct hub *hub, const struct manifest *listing, const char *path,
	char out[HUB_URL_BYTES], struct err_info *info) MUST_CHECK;

/* An answer other than 200, about a repository (path NULL) or a file of it. */
enum err hub_answer_error(const struct hub *hub, const struct hub_name *name, const char *path,
	const struct client_answer *answer, struct err_info *info);

/* ---- the parts that read documents: for tests, too ------------------------------------------- */

/* GET /api/models/OWNER/NAME/revision/REV: revision and licence. */
enum err hub_hf_model_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;
/* GET /api/models/OWNER/NAME/tree/COMMIT: files, added to those that are there. */
enum err hub_hf_tree_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;
/* GET /api/v1/models/OWNER/NAME/repo/files: files. */
enum err hub_modelscope_files_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;

#endif
