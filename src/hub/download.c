/* hub/download.c - see download.h. The loop: lanes bring parts, beginnings are hashed, state is
 * kept. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "hub/download_private.h"

#define STEP_MS        100
#define HASH_BYTES     ((size_t)1 << 20)   /* at once */
#define HASH_ROUND     ((uint64_t)8 << 20) /* between two looks at the connections */
#define STATE_EVERY_NS (2 * NS_PER_S)
#define TELL_EVERY_NS  (NS_PER_S / 10)

/* ---- one file -------------------------------------------------------------------------------- */

static enum err path_of(const struct download *d, const struct download_file *f,
	char out[PATH_MAX], struct err_info *info)
{
	if (file_join(out, PATH_MAX, d->config.folder, f->what->path))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", d->config.folder);
	return ERR_NONE;
}

enum err download_file_open(struct download *d, struct download_file *f, struct err_info *info)
{
	char path[PATH_MAX], dir[PATH_MAX];

	if (f->fd >= 0 || path_of(d, f, path, info) || file_mkdirs_above(path, dir, info))
		return info->code;
	/* whatever it is: another model may have it too, an earlier listing had a folder there */
	if (f->done.count == 0 && folder_remove(path, info))
		return info->code;
	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0 || ftruncate(f->fd, (off_t)f->what->size_bytes))
		return err_set_errno(info, "%.300s", path);
	return ERR_NONE;
}

static void file_close(struct download_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->hashing)
		digest_close(&f->digest);
	f->hashing = false;
	f->hashed_bytes = 0;
}

void download_file_restart(struct download *d, struct download_file *f)
{
	char path[PATH_MAX];

	download_lanes_stop(d, f);
	file_close(f);
	f->done.count = 0;
	if (!path_of(d, f, path, &(struct err_info){0}))
		(void)unlink(path);
}

/* The hash is wrong: once it may be what an earlier process left, or a hub that moved on. */
static enum err hash_wrong(struct download *d, struct download_file *f, const char *wanted,
	const char *got, struct err_info *info)
{
	download_file_restart(d, f);
	if (f->anew)
		return err_set(info, ERR_INPUT, "%.200s: its bytes have the hash %.16s..., not "
			"%.16s... as listed; it was removed", f->what->path, got, wanted);
	f->anew = true;
	client_note(d->config.hub->client, "%s: its bytes do not have the hash that is listed; "
		"once more from its beginning", f->what->path);
	return ERR_NONE;
}

/* All bytes are hashed. */
static enum err file_end(struct download *d, struct download_file *f, struct err_info *info)
{
	char sha256[HUB_SHA256_BYTES], git_sha1[HUB_SHA1_BYTES];

	digest_end(&f->digest, sha256, git_sha1);
	f->hashing = false;
	if (*f->what->sha256 && strcmp(f->what->sha256, sha256) != 0)
		return hash_wrong(d, f, f->what->sha256, sha256, info);
	if (*f->what->git_sha1 && strcmp(f->what->git_sha1, git_sha1) != 0)
		return hash_wrong(d, f, f->what->git_sha1, git_sha1, info);
	if (fsync(f->fd))
		return err_set_errno(info, "syncing %.200s", f->what->path);
	memcpy(f->what->sha256, sha256, sizeof(sha256));
	memcpy(f->what->git_sha1, git_sha1, sizeof(git_sha1));
	file_close(f);
	f->whole = true;
	d->files_whole++;
	return ERR_NONE;
}

/* Up to *budget bytes of what is there from the beginning on. */
static enum err file_hash(struct download *d, struct download_file *f, uint64_t *budget,
	uint8_t *bytes, struct err_info *info)
{
	const uint64_t there = ranges_prefix(&f->done);

	if (f->hashed_bytes == there && there < f->what->size_bytes)
		return ERR_NONE;
	if (download_file_open(d, f, info) ||
		(!f->hashing && digest_init(&f->digest, f->what->size_bytes,
		*f->what->git_sha1, info)))
		return info->code;
	f->hashing = true;
	while (f->hashed_bytes < there && *budget > 0) {
		const uint64_t left = there - f->hashed_bytes;
		const size_t size = left < HASH_BYTES ? (size_t)left : HASH_BYTES;
		const ssize_t got = pread(f->fd, bytes, size, (off_t)f->hashed_bytes);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? err_set_errno(info, "reading %.200s", f->what->path)
				: err_set(info, ERR_IO, "%.200s became shorter", f->what->path);
		digest_add(&f->digest, bytes, (size_t)got);
		f->hashed_bytes += (uint64_t)got;
		*budget -= (uint64_t)got < *budget ? (uint64_t)got : *budget;
	}
	return f->hashed_bytes == f->what->size_bytes ? file_end(d, f, info) : ERR_NONE;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* *busy: there is more to hash. */
static enum err hash_round(struct download *d, uint8_t *bytes, bool *busy, struct err_info *info)
{
	uint64_t budget = HASH_ROUND;

	for (uint32_t i = 0; i < d->file_count && budget > 0 && !info->code; i++)
		if (!d->files[i].whole)
			(void)!file_hash(d, &d->files[i], &budget, bytes, info);
	*busy = budget == 0;
	return info->code;
}

void download_progress(const struct download *d, struct download_progress *out)
{
	*out = (struct download_progress){.received_bytes = d->received_bytes,
		.files = d->file_count, .files_whole = d->files_whole};
	for (uint32_t i = 0; i < d->file_count; i++) {
		out->size_bytes += d->files[i].what->size_bytes;
		out->there_bytes += ranges_bytes(&d->files[i].done);
	}
}

static void tell(struct download *d)
{
	struct download_progress p;

	if (!d->config.progress)
		return;
	download_progress(d, &p);
	d->config.progress(d->config.context, &p);
}

/* Once in a while: state, and what the user sees. */
static enum err look_around(struct download *d, struct err_info *info)
{
	const int64_t now = clock_monotonic_ns();

	if (now - d->progress_ns >= TELL_EVERY_NS) {
		d->progress_ns = now;
		tell(d);
	}
	if (now - d->state_ns < STATE_EVERY_NS || d->state_bytes == d->received_bytes)
		return ERR_NONE;
	d->state_ns = now;
	d->state_bytes = d->received_bytes;
	return download_state_write(d, info);
}

static enum err run(struct download *d, uint8_t *bytes, struct err_info *info)
{
	bool busy = true;

	while (d->files_whole < d->file_count)
		if (download_lanes_fill(d, info) ||
			client_step(d->config.hub->client, busy ? 0 : STEP_MS, info) ||
			download_lanes_reap(d, info) || hash_round(d, bytes, &busy, info) ||
			look_around(d, info))
			return info->code;
	return ERR_NONE;
}

enum err download_run(struct download *d, struct err_info *info)
{
	uint8_t *bytes = mem_alloc(HASH_BYTES, 1);

	if (!bytes)
		return err_set(info, ERR_MEMORY, "no memory to hash with");
	(void)!run(d, bytes, info);
	download_lanes_stop(d, NULL);
	/* after an error, what came counts the next time; a second error is not told */
	(void)!download_state_write(d, info->code ? &(struct err_info){0} : info);
	tell(d);
	mem_free(bytes);
	return info->code;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum err download_open(struct download **out, struct manifest *files,
	const struct download_config *config, struct err_info *info)
{
	struct download *d = mem_alloc(1, sizeof(*d));

	assert(config->connections > 0 && config->connections <= DOWNLOAD_CONNECTIONS_MAX);
	assert(config->part_bytes > 0);
	*out = d;
	if (d)
		d->files = mem_alloc(files->file_count ? files->file_count : 1, sizeof(*d->files));
	if (!d || !d->files) {
		mem_free(d);
		*out = NULL;
		return err_set(info, ERR_MEMORY, "no memory for %u files", files->file_count);
	}
	d->config = *config;
	d->manifest = files;
	d->file_count = files->file_count;
	for (uint32_t i = 0; i < d->file_count; i++) {
		struct download_file *f = &d->files[i];

		f->what = &files->files[i];
		f->fd = -1;
		snprintf(f->hash, sizeof(f->hash), "%s", *f->what->sha256 ? f->what->sha256
			: f->what->git_sha1);
	}
	for (uint32_t i = 0; i < config->connections; i++)
		d->lanes[i].download = d;
	download_state_read(d);
	return ERR_NONE;
}

uint64_t download_missing_bytes(const struct download *d)
{
	struct download_progress p;

	download_progress(d, &p);
	return p.size_bytes - p.there_bytes;
}

void download_have(struct download *d, uint32_t file, bool whole)
{
	struct download_file *f = &d->files[file];

	assert(file < d->file_count);
	f->done.count = 0;
	if (whole && f->what->size_bytes > 0)
		(void)ranges_add(&f->done, 0, f->what->size_bytes);
}

void download_close(struct download *d)
{
	if (!d)
		return;
	download_lanes_stop(d, NULL);
	for (uint32_t i = 0; i < d->config.connections; i++)
		transfer_close(d->lanes[i].transfer);
	for (uint32_t i = 0; i < d->file_count; i++) {
		file_close(&d->files[i]);
		mem_free(d->files[i].location);
	}
	mem_free(d->files);
	mem_free(d);
}
