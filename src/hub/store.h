/* hub/store.h - the models on this machine, by name and type.
 *
 *   $TONGYUN_HOME/models/Qwen/Qwen3-0.6B/
 *     original/     manifest.json  config.json  model.safetensors  ...
 *     q8_0/         manifest.json  Qwen3-0.6B-q8_0.gguf
 *     .lock         held by who changes anything here; says who
 *     .partial-*    a download that has not ended (hub/pull.h)
 *     .copy-* .gone-*   being made, being removed; swept by the next who locks
 *
 * A folder without a dot is whole, and its files never change: it comes by one rename, when
 * everything in it was checked, and goes by one. Who opens a model holds its manifest locked
 * (shared) until all files are mapped, and from then on needs no name: it may be removed under it.
 */
#ifndef HUB_STORE_H
#define HUB_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/manifest.h"
#include "hub/name.h"

#define STORE_FOLDER      "models"   /* in $TONGYUN_HOME */
#define STORE_PARTIAL     ".partial-"   /* and a type: a download that has not ended */
#define STORE_MODELS_MAX  10000

struct store {
	char path[PATH_MAX];
};

/* Makes nothing: an empty store needs no folder. */
enum err store_open(struct store *s, const char *home, struct err_info *info) MUST_CHECK;

/* ---- to use ---------------------------------------------------------------------------------- */

struct store_model {
	struct hub_name name;      /* with its type */
	char dir[PATH_MAX];        /* of its manifest and files */
	char path[PATH_MAX];       /* what model_open takes: dir, or a .gguf file in it */
	int fd;                    /* its manifest, locked; -1: nothing is held */
};

/* Without a type: the only one, else the original. ERR_NOT_FOUND says what there is. */
enum err store_find(const struct store *s, const struct hub_name *name, struct store_model *out,
	struct err_info *info) MUST_CHECK;
/* Legal again, and on one with fd -1. */
void store_release(struct store_model *m);

struct store_list {
	struct manifest *models;   /* by name, then type */
	uint32_t count;
};

/* What is damaged is left out, with a line in the log. */
enum err store_list(const struct store *s, struct store_list *out, struct err_info *info)
	MUST_CHECK;
void store_list_free(struct store_list *list);

/* ---- to change ------------------------------------------------------------------------------- */

struct store_lock {
	char dir[PATH_MAX];        /* of OWNER/NAME, which was made if it was not there */
	int fd;
};

/* For all types of one model. who: "pull", for those who find it locked. ERR_BUSY names the
 * holder. */
enum err store_lock(const struct store *s, const struct hub_name *name, const char *who,
	struct store_lock *out, struct err_info *info) MUST_CHECK;
/* Folders that have become empty go. Legal again, and on one with fd -1. */
void store_unlock(const struct store *s, struct store_lock *l);

/* A new folder in the lock's, to make a model of that type in; swept unless it is committed. */
enum err store_stage(const struct store_lock *l, const char *type, char out[PATH_MAX],
	struct err_info *info) MUST_CHECK;

/* The folder staged, which lies in the lock's, becomes the model's type, in place of one that is
 * there. It holds a manifest, and all its files are synced. */
enum err store_commit(const struct store_lock *l, const char *staged, const char *type,
	struct err_info *info) MUST_CHECK;

/* Writes manifest.json into a folder that will be committed, with the time of now. */
enum err store_write_manifest(struct manifest *m, const char *dir, struct err_info *info)
	MUST_CHECK;

/* One type, or without a type all of them and what of downloads is there. */
enum err store_remove(const struct store *s, const struct hub_name *name, struct err_info *info)
	MUST_CHECK;

/* to without a type takes that of from. The files are shared (links), the manifest is its own.
 * ERR_EXISTS unless force. *name gets the whole name of the copy. */
enum err store_copy(const struct store *s, const struct hub_name *from, const struct hub_name *to,
	bool force, struct hub_name *name, struct err_info *info) MUST_CHECK;

#endif
