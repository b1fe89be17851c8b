/* hub/download_private.h - private to download.c, download_lane.c and download_state.c.
 *
 *	files   |####....|  ########  |..##....|        parts that are there
 *	lanes       ^^                    ^^            one connection each, filling one gap
 */
#ifndef HUB_DOWNLOAD_PRIVATE_H
#define HUB_DOWNLOAD_PRIVATE_H

#include <stdbool.h>

#include "hub/digest.h"
#include "hub/download.h"
#include "hub/ranges.h"

struct download_file {
	struct manifest_file *what;
	char hash[HUB_SHA256_BYTES];   /* the one that was listed: of the two the SHA-256 */
	struct ranges done;
	int fd;                    /* -1: not open */
	bool whole;                /* size and hash hold, synced */
	bool in_one;               /* the server knows no ranges: one request from 0 to the end */
	bool anew;                 /* its hash was wrong once */
	bool hashing;
	uint64_t hashed_bytes;
	struct digest digest;
	char *location;            /* where the hub's redirect led to; NULL: ask the hub */
};

struct lane {
	struct download *download;
	struct transfer *transfer;
	struct download_file *file;   /* NULL: idle */
	struct range claim;
	uint64_t at;               /* next byte of the claim */
	bool at_location;          /* asked there, not the hub */
};

struct download {
	struct download_config config;
	struct manifest *manifest;
	struct download_file *files;
	uint32_t file_count, files_whole;
	struct lane lanes[DOWNLOAD_CONNECTIONS_MAX];
	uint64_t received_bytes, received_at_failure;
	uint32_t failures;         /* in a row, without bytes between them */
	int64_t not_before_ns;     /* no request until then */
	int64_t state_ns, progress_ns;
	uint64_t state_bytes;      /* received when the state was written */
};

/* ---- files: download.c ----------------------------------------------------------------------- */

enum err download_file_open(struct download *d, struct download_file *f,
	struct err_info *info) MUST_CHECK;
/* Forgets all bytes, and stops who fetches them; what is under the name is unlinked, for it may be
 * shared. */
void download_file_restart(struct download *d, struct download_file *f);

/* ---- lanes: download_lane.c ------------------------------------------------------------------ */

/* Idle lanes take gaps. */
enum err download_lanes_fill(struct download *d, struct err_info *info) MUST_CHECK;
/* What has ended is looked at. */
enum err download_lanes_reap(struct download *d, struct err_info *info) MUST_CHECK;
/* Those of a file, or all (NULL). */
void download_lanes_stop(struct download *d, const struct download_file *f);

/* ---- state: download_state.c ----------------------------------------------------------------- */

/* What cannot be read counts as nothing. */
void download_state_read(struct download *d);
enum err download_state_write(const struct download *d, struct err_info *info) MUST_CHECK;

#endif
