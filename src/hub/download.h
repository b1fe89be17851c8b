/* hub/download.h - the files of a manifest into a folder: in parts, over several connections, so
 * that whatever ends it, the next one goes on.
 *
 *	folder/
 *	  .state.json      which bytes of which file are there, by the hash they should have
 *	  model.safetensors, ...    with holes, until they are whole
 *
 * Each file is hashed as its beginning grows; it counts when its size and hash are what the hub
 * listed. One whose hash differs is fetched once more, then refused. State is written after the
 * bytes it speaks of, so a killed process only forgets; what a lost machine mixes up, hashes find.
 */
#ifndef HUB_DOWNLOAD_H
#define HUB_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/client.h"
#include "hub/listing.h"
#include "hub/manifest.h"

#define DOWNLOAD_STATE_FILE        ".state.json"
#define DOWNLOAD_CONNECTIONS_MAX   32
#define DOWNLOAD_CONNECTIONS       8
#define DOWNLOAD_PART_BYTES        ((uint64_t)32 << 20)   /* of one request */

struct download_progress {
	uint64_t size_bytes;       /* of all files */
	uint64_t there_bytes;      /* of them, resumed ones included */
	uint64_t received_bytes;   /* by this process */
	uint32_t files, files_whole;
};

struct download_config {
	const struct hub *hub;
	const char *folder;        /* is there */
	uint32_t connections;      /* 1 to DOWNLOAD_CONNECTIONS_MAX */
	uint64_t part_bytes;
	void (*progress)(void *context, const struct download_progress *p);   /* or NULL */
	void *context;
};

struct download;

/* Reads what an earlier one has left in the folder. The manifest stays, and gets the hashes that
 * were missing. */
enum err download_open(struct download **out, struct manifest *files,
	const struct download_config *config, struct err_info *info) MUST_CHECK;
/* What has not come yet: so much space is needed. */
uint64_t download_missing_bytes(const struct download *d);
/* The file of this number was put there, whole (shared with another folder), and only has to be
 * hashed; or what was there of it is gone. */
void download_have(struct download *d, uint32_t file, bool whole);
/* Until every file is whole and synced. After an error, ERR_CANCELLED too, what came is kept. */
enum err download_run(struct download *d, struct err_info *info) MUST_CHECK;
void download_progress(const struct download *d, struct download_progress *out);
/* NULL is legal. */
void download_close(struct download *d);

#endif
