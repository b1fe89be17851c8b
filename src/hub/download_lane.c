/* hub/download_lane.c - see download_private.h. A lane asks for one part of one file, takes what
 * comes, and says what an end means: on, once more, or over. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "hub/download_private.h"

/* A try that brought less has brought nothing: it counts as a failure. */
#define PROGRESS_BYTES 65536

/* ---- taking ---------------------------------------------------------------------------------- */

static bool refuse(struct lane *l, struct err_info *info, const char *what)
{
	char host[HUB_HOST_BYTES];

	err_set(info, ERR_INPUT, "%.200s: %s %s", l->file->what->path,
		hub_url_host(transfer_url(l->transfer), host), what);
	return false;
}

static bool lane_begin(void *context, const struct client_answer *a, struct err_info *info)
{
	struct lane *l = context;
	struct download_file *f = l->file;
	const uint64_t size = f->what->size_bytes;
	const bool all = l->claim.from == 0 && l->claim.to == size;

	if (a->status == 206) {
		if (a->range_size != CLIENT_UNKNOWN && a->range_size != size)
			return refuse(l, info, "has it with another size than was listed");
		if (a->range_from != l->claim.from)
			return refuse(l, info, "answers with another part of it");
		return true;
	}
	if (all && (a->length == CLIENT_UNKNOWN || a->length == size))
		return true;
	if (a->length != CLIENT_UNKNOWN && a->length != size)
		return refuse(l, info, "has it with another size than was listed");
	f->in_one = true;
	return false;   /* no ranges here: asked for in another way */
}

static bool lane_take(void *context, const void *bytes, size_t size, struct err_info *info)
{
	struct lane *l = context;
	struct download_file *f = l->file;

	if (size > l->claim.to - l->at)
		return refuse(l, info, "sends more of it than was asked for");
	if (file_write_at(f->fd, bytes, size, l->at, f->what->path, info)) {
		err_prefix(info, "%.200s", l->download->config.folder);
		return false;
	}
	(void)ranges_add(&f->done, l->at, l->at + size);   /* else they come again */
	l->at += size;
	l->download->received_bytes += size;
	return true;
}

/* ---- starting -------------------------------------------------------------------------------- */

static bool file_is_claimed(const struct download *d, const struct download_file *f)
{
	for (uint32_t i = 0; i < d->config.connections; i++)
		if (d->lanes[i].file == f)
			return true;
	return false;
}

/* The first part of f that is neither there nor on its way. */
static bool claim_find(struct download *d, struct download_file *f, struct range *out)
{
	struct ranges taken = f->done;
	const uint64_t size = f->what->size_bytes;

	if (f->in_one) {
		if (ranges_prefix(&f->done) == size || file_is_claimed(d, f))
			return false;
		download_file_restart(d, f);
		*out = (struct range){0, size};
		return size > 0;
	}
	for (uint32_t i = 0; i < d->config.connections; i++)
		if (d->lanes[i].file == f &&
			!ranges_add(&taken, d->lanes[i].claim.from, d->lanes[i].claim.to))
			return false;   /* many pieces already: others first */
	return ranges_gap(&taken, size, d->config.part_bytes, out);
}

static enum err lane_start(struct download *d, struct lane *l, struct download_file *f,
	const struct range *claim, struct err_info *info)
{
	const struct transfer_taker taker = {lane_begin, lane_take, l, 0};
	const bool all = claim->from == 0 && claim->to == f->what->size_bytes;
	char url[HUB_URL_BYTES];

	if (!l->transfer && !(l->transfer = transfer_open(d->config.hub->client)))
		return err_set(info, ERR_MEMORY, "no memory for a connection");
	if (download_file_open(d, f, info))
		return info->code;
	l->at_location = f->location != NULL;
	if (!l->at_location && hub_file_url(d->config.hub, d->manifest, f->what->path, url, info))
		return info->code;
	l->file = f;
	l->claim = *claim;
	l->at = claim->from;
	return transfer_start(l->transfer, l->at_location ? f->location : url, all ? NULL : claim,
		&taker, info);
}

enum err download_lanes_fill(struct download *d, struct err_info *info)
{
	uint32_t file = 0;

	if (clock_monotonic_ns() < d->not_before_ns)
		return ERR_NONE;
	for (uint32_t i = 0; i < d->config.connections; i++) {
		struct range claim;

		if (d->lanes[i].file)
			continue;
		while (file < d->file_count && (d->files[file].whole ||
			!claim_find(d, &d->files[file], &claim)))
			file++;
		if (file == d->file_count)
			return ERR_NONE;
		if (lane_start(d, &d->lanes[i], &d->files[file], &claim, info))
			return info->code;
	}
	return ERR_NONE;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* A redirect led somewhere: the other parts of the file are there, too. */
static void location_keep(struct lane *l)
{
	struct download_file *f = l->file;
	const char *url = transfer_url(l->transfer);
	char own[HUB_URL_BYTES];

	if (f->location || hub_file_url(l->download->config.hub, l->download->manifest,
		f->what->path, own, &(struct err_info){0}) || strcmp(own, url) == 0)
		return;
	f->location = mem_alloc(strlen(url) + 1, 1);
	if (f->location)   /* else the hub is asked each time */
		memcpy(f->location, url, strlen(url) + 1);
}

static void location_forget(struct download_file *f)
{
	mem_free(f->location);
	f->location = NULL;
}

/* A try was in vain; info says how. Waits grow, and end. */
static enum err lane_failed(struct download *d, struct lane *l, long status, int64_t retry_after_s,
	struct err_info *info)
{
	char host[HUB_HOST_BYTES];
	int64_t wait_s = 0;

	/* what comes from the beginning again and again is no progress */
	if (!l->file->in_one && d->received_bytes - d->received_at_failure >= PROGRESS_BYTES)
		d->failures = 0;
	d->received_at_failure = d->received_bytes;
	if (client_again(d->config.hub->client, status, retry_after_s, ++d->failures, &wait_s) ==
		CLIENT_AGAIN_NEVER)
		return err_prefix(info, "%.200s", l->file->what->path);
	/* a cut after good progress is gone on from at once */
	if (d->failures == 1 && status == 0)
		wait_s = 0;
	else if (clock_monotonic_ns() >= d->not_before_ns && status)
		client_note(d->config.hub->client, "%s answers %ld; once more in %lld s",
			hub_url_host(transfer_url(l->transfer), host), status, (long long)wait_s);
	else if (clock_monotonic_ns() >= d->not_before_ns)
		client_note(d->config.hub->client, "%s; once more in %lld s", info->text,
			(long long)wait_s);
	const int64_t until = clock_monotonic_ns() + wait_s * NS_PER_S;

	d->not_before_ns = until > d->not_before_ns ? until : d->not_before_ns;
	*info = (struct err_info){0};
	return ERR_NONE;
}

/* 416: once, what is there may be of a longer file. */
static enum err range_missing(struct download *d, struct lane *l, struct err_info *info)
{
	if (l->file->anew)
		return refuse(l, info, "does not have the part that was asked for") ? ERR_NONE
			: info->code;
	l->file->anew = true;
	download_file_restart(d, l->file);
	return ERR_NONE;
}

/* Another status than 200 and 206. */
static enum err lane_status(struct download *d, struct lane *l, struct err_info *info)
{
	const struct client_answer *a = transfer_answer(l->transfer);
	const char *url = transfer_url(l->transfer);
	const bool elsewhere = l->at_location ||
		!hub_url_same_origin(url, d->config.hub->endpoint);

	if (a->status == 416)
		return range_missing(d, l, info);
	/* a signed address has run out: the hub gives a new one */
	if (elsewhere && (a->status == 401 || a->status == 403 || a->status == 404 ||
		a->status == 410)) {
		location_forget(l->file);
		client_status_error(a, url, info);
		return lane_failed(d, l, 0, -1, info);
	}
	if (a->status == 401 || a->status == 403 || a->status == 404)
		return hub_answer_error(d->config.hub, &d->manifest->name, l->file->what->path, a,
			info);
	client_status_error(a, url, info);
	return lane_failed(d, l, a->status, a->retry_after_s, info);
}

static enum err lane_end(struct download *d, struct lane *l, enum transfer_end end,
	struct err_info *info)
{
	switch (end) {
	case TRANSFER_WHOLE:
		location_keep(l);
		if (l->at == l->claim.to)
			return ERR_NONE;
		err_set(info, ERR_IO, "the answer was too short");
		return lane_failed(d, l, 0, -1, info);
	case TRANSFER_STATUS:
		return lane_status(d, l, info);
	case TRANSFER_BROKEN:
		return lane_failed(d, l, 0, -1, info);
	case TRANSFER_REFUSED:   /* nothing is wrong where nothing was said */
	case TRANSFER_FAILED:
		break;
	}
	return info->code;
}

enum err download_lanes_reap(struct download *d, struct err_info *info)
{
	for (uint32_t i = 0; i < d->config.connections && !info->code; i++) {
		struct lane *l = &d->lanes[i];
		enum transfer_end end;

		if (!l->file || !transfer_ended(l->transfer, &end, info))
			continue;
		(void)!lane_end(d, l, end, info);
		l->file = NULL;
	}
	return info->code;
}

void download_lanes_stop(struct download *d, const struct download_file *f)
{
	for (uint32_t i = 0; i < d->config.connections; i++)
		if (d->lanes[i].file && (!f || d->lanes[i].file == f)) {
			transfer_stop(d->lanes[i].transfer);
			d->lanes[i].file = NULL;
		}
}
