/* hub/manifest.h - manifest.json, beside the files of each model in the store: what they are, and
 * where they came from.
 *
 *	{"format": 1, "name": "Qwen/Qwen3-0.6B", "type": "original",
 *	 "source": "https://huggingface.co", "revision": "c1899de289a04d12100db370d81485cdf75e47ca",
 *	 "licence": "apache-2.0", "created": "2026-11-24T16:13:36Z", "model": "",
 *	 "files": [{"path": "config.json", "size": 726, "sha256": "...", "git_sha1": "..."}, ...]}
 *
 * model is the file that is opened, for GGUF the first of a split one; "": the folder.
 */
#ifndef HUB_MANIFEST_H
#define HUB_MANIFEST_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "hub/name.h"

#define MANIFEST_FILE          "manifest.json"
#define MANIFEST_FILES_MAX     8192
#define MANIFEST_BYTES_MAX     ((size_t)16 << 20)   /* so many files with the longest paths fit */
#define MANIFEST_TEXT_BYTES    256   /* of source, revision, licence, created, terminated */
#define HUB_SHA256_BYTES       65    /* hexadecimal, terminated */
#define HUB_SHA1_BYTES         41

struct manifest_file {
	const char *path;
	uint64_t size_bytes;
	char sha256[HUB_SHA256_BYTES];    /* "": not known */
	char git_sha1[HUB_SHA1_BYTES];    /* of the git blob; "": not known */
};

struct manifest {
	struct hub_name name;             /* without a revision */
	char source[MANIFEST_TEXT_BYTES];
	char revision[MANIFEST_TEXT_BYTES];   /* a commit where the hub tells it */
	char licence[MANIFEST_TEXT_BYTES];    /* "": not said */
	char created[MANIFEST_TEXT_BYTES];
	const char *model;                /* a path of files, or "" */
	struct manifest_file *files;
	uint32_t file_count;
	struct arena memory;              /* paths and files */
};

/* An empty one; files_max places for files. */
enum err manifest_init(struct manifest *m, uint32_t files_max, struct err_info *info) MUST_CHECK;
/* Everything is checked: names, paths, hashes, that model is one of the files. */
enum err manifest_parse(struct manifest *m, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;
/* manifest.json of a folder. */
enum err manifest_read(struct manifest *m, const char *dir, struct err_info *info) MUST_CHECK;
void manifest_print(const struct manifest *m, struct buf *out);
/* Of all files. */
uint64_t manifest_size(const struct manifest *m);
/* A zeroed one may be freed. */
void manifest_free(struct manifest *m);

/* True of size hexadecimal digits in lower case. */
bool hub_is_hex(const char *text, size_t size);

#endif
