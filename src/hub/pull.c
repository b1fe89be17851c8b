/* hub/pull.c - see pull.h. */
#include "hub/pull.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "hub/choose.h"

#define WAIT_MS       100
#define MB            1000000u
#define SPARE_BYTES   ((uint64_t)64 << 20)   /* that a disk keeps for what else is written */
#define NAMES_CHUNK   ((size_t)16 << 10)
#define NAMES_MEMORY  ((size_t)16 << 20)
#define NAMES_MAX     20000

/* One pull, while it lasts. */
struct puller {
	const struct store *store;
	const struct pull_config *config;
	struct hub hub;
	struct manifest wanted;    /* what the hub has, then what is chosen of it */
	struct manifest there;     /* what the store has under that name */
	struct store_lock lock;
	char partial[PATH_MAX], place[PATH_MAX];
	struct download *download;
};

/* ---- what is there --------------------------------------------------------------------------- */

static bool same_file(const struct manifest_file *wanted, const struct manifest_file *there)
{
	if (wanted->size_bytes != there->size_bytes || strcmp(wanted->path, there->path) != 0)
		return false;
	if (*wanted->sha256)
		return strcmp(wanted->sha256, there->sha256) == 0;
	return *wanted->git_sha1 && strcmp(wanted->git_sha1, there->git_sha1) == 0;
}

static const struct manifest_file *find_there(const struct puller *p,
	const struct manifest_file *wanted)
{
	for (uint32_t i = 0; i < p->there.file_count; i++)
		if (same_file(wanted, &p->there.files[i]))
			return &p->there.files[i];
	return NULL;
}

/* The store has every file that is wanted, and no other. */
static bool is_there(const struct puller *p)
{
	if (p->there.file_count != p->wanted.file_count)
		return false;
	for (uint32_t i = 0; i < p->wanted.file_count; i++)
		if (!find_there(p, &p->wanted.files[i]))
			return false;
	return true;
}

/* Files that have not changed since the revision that is there are shared with it. */
static void share_there(struct puller *p)
{
	char from[PATH_MAX], to[PATH_MAX], dir[PATH_MAX];

	for (uint32_t i = 0; i < p->wanted.file_count; i++) {
		const char *path = p->wanted.files[i].path;
		struct err_info ignored = {0};

		if (!find_there(p, &p->wanted.files[i]) ||
			file_join(from, sizeof(from), p->place, path) ||
			file_join(to, sizeof(to), p->partial, path) ||
			file_mkdirs_above(to, dir, &ignored))
			continue;
		if (!folder_remove(to, &ignored))
			download_have(p->download, i, !folder_share_file(from, to, &ignored));
	}
}

/* ---- the lock -------------------------------------------------------------------------------- */

enum err pull_lock(const struct store *s, const struct hub_name *name,
	const struct client_config *client, struct store_lock *out, struct err_info *info)
{
	bool said = false;

	while (store_lock(s, name, "pull", out, info)) {
		if (info->code != ERR_BUSY)
			return info->code;
		if (!said)
			client->note(client->context, info->text);
		said = true;
		*info = (struct err_info){0};
		(void)poll(NULL, 0, WAIT_MS);
		if (*client->stop)
			return err_set(info, ERR_CANCELLED, "interrupted");
	}
	return ERR_NONE;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* below is "" or ends with a slash. */
static bool is_wanted(const struct puller *p, const char *below, const char *name, bool *folder)
{
	char path[HUB_URL_BYTES];
	const int size = snprintf(path, sizeof(path), "%s%s", below, name);

	*folder = false;
	if (size < 0 || (size_t)size >= sizeof(path))
		return false;
	if (!*below && (strcmp(name, MANIFEST_FILE) == 0 ||
		strcmp(name, DOWNLOAD_STATE_FILE) == 0))
		return true;
	for (uint32_t i = 0; i < p->wanted.file_count; i++) {
		const char *wanted = p->wanted.files[i].path;

		if (strncmp(wanted, path, (size_t)size) != 0)
			continue;
		if (wanted[size] == '\0')
			return true;
		*folder = *folder || wanted[size] == '/';
	}
	return *folder;
}

/* Removes what an earlier listing wanted and this one does not. */
static enum err prune(const struct puller *p, struct arena *memory, const char *below,
	struct err_info *info)
{
	struct folder_names names;
	char dir[PATH_MAX], path[PATH_MAX];

	if (file_join(dir, sizeof(dir), p->partial, below) ||
		folder_list(&names, memory, dir, NAMES_MAX, info))
		return info->code ? info->code : err_set(info, ERR_LIMIT, "a path is too long");
	for (uint32_t i = 0; i < names.count && !info->code; i++) {
		char deeper[HUB_URL_BYTES];
		bool folder;

		if (file_join(path, sizeof(path), dir, names.names[i]))
			return err_set(info, ERR_LIMIT, "%.300s: the path is too long", dir);
		if (!is_wanted(p, below, names.names[i], &folder)) {
			(void)!folder_remove(path, info);
		} else if (folder) {
			snprintf(deeper, sizeof(deeper), "%s%s/", below, names.names[i]);
			(void)!prune(p, memory, deeper, info);
		}
	}
	return info->code ? info->code : file_sync(dir, info);
}

static enum err space_check(const struct puller *p, struct err_info *info)
{
	const uint64_t missing = download_missing_bytes(p->download);
	uint64_t space;

	if (folder_free_space(p->partial, &space, info))
		return info->code;
	if (missing > 0 && (space < SPARE_BYTES || space - SPARE_BYTES < missing))
		return err_set(info, ERR_LIMIT, "not enough space in %.200s: %llu MB are missing of "
			"this model, %llu MB must stay free, %llu MB are", p->store->path,
			(unsigned long long)(missing / MB + 1),
			(unsigned long long)(SPARE_BYTES / MB), (unsigned long long)(space / MB));
	return ERR_NONE;
}

/* ---- fetching -------------------------------------------------------------------------------- */

/* Says how much is taken on the hub's word alone. */
static void unhashed_tell(const struct puller *p)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->wanted.file_count; i++)
		count += !*p->wanted.files[i].sha256 && !*p->wanted.files[i].git_sha1;
	if (count > 0)
		client_note(p->hub.client, "%u of %u files are listed without a hash; only their "
			"sizes are checked", count, p->wanted.file_count);
}

static enum err fetch(struct puller *p, struct err_info *info)
{
	const struct download_config config = {.hub = &p->hub, .folder = p->partial,
		.connections = p->config->connections, .part_bytes = p->config->part_bytes,
		.progress = p->config->progress, .context = p->config->context};

	if (file_mkdirs(p->partial, info) ||
		download_open(&p->download, &p->wanted, &config, info))
		return info->code;
	share_there(p);
	if (space_check(p, info)) {
		(void)rmdir(p->partial);   /* unless something of an earlier one is in it */
		return info->code;
	}
	unhashed_tell(p);
	if (!download_run(p->download, info))
		return ERR_NONE;
	const struct err_info why = *info;

	/* disk, network, a hub that is busy: not the hub's files, which were refused */
	if (why.code == ERR_IO || why.code == ERR_BUSY)
		err_set(info, why.code, "%.400s; what came is kept, pull again to go on", why.text);
	return info->code;
}

/* Everything is whole: it becomes the model. */
static enum err publish(struct puller *p, struct err_info *info)
{
	char state[PATH_MAX];
	struct arena memory;

	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	if (!prune(p, &memory, "", info) && !store_write_manifest(&p->wanted, p->partial, info) &&
		!store_commit(&p->lock, p->partial, p->wanted.name.type, info) &&
		!file_join(state, sizeof(state), p->place, DOWNLOAD_STATE_FILE))
		(void)!folder_remove(state, info);   /* last: until here it could go on */
	arena_reset(&memory);
	return info->code;
}

static enum err paths_make(struct puller *p, struct err_info *info)
{
	char name[HUB_PART_BYTES + sizeof(STORE_PARTIAL)];

	snprintf(name, sizeof(name), STORE_PARTIAL "%s", p->wanted.name.type);
	if (file_join(p->partial, sizeof(p->partial), p->lock.dir, name) ||
		file_join(p->place, sizeof(p->place), p->lock.dir, p->wanted.name.type))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", p->lock.dir);
	/* none is there, or it is damaged: then all is wanted */
	(void)!manifest_read(&p->there, p->place, &(struct err_info){0});
	return ERR_NONE;
}

static void result_fill(const struct puller *p, bool changed, bool asked, struct pull_result *out)
{
	struct download_progress progress = {0};

	*out = (struct pull_result){.name = p->wanted.name, .changed = changed, .asked = asked,
		.files = p->wanted.file_count, .size_bytes = manifest_size(&p->wanted)};
	out->name.revision[0] = '\0';
	memcpy(out->source, p->wanted.source, sizeof(out->source));
	memcpy(out->revision, p->wanted.revision, sizeof(out->revision));
	if (p->download)
		download_progress(p->download, &progress);
	out->received_bytes = progress.received_bytes;
}

/* What is wanted is there; a pull that was killed between its rename and its end has left the older
 * files, and its state. */
static enum err remnants_remove(const struct puller *p, struct err_info *info)
{
	char state[PATH_MAX];

	if (file_join(state, sizeof(state), p->place, DOWNLOAD_STATE_FILE))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", p->place);
	return folder_remove(p->partial, info) ? info->code : folder_remove(state, info);
}

static enum err pull_locked(struct puller *p, bool asked, struct pull_result *out,
	struct err_info *info)
{
	if (paths_make(p, info))
		return info->code;
	const bool changed = !is_there(p);

	if (changed ? fetch(p, info) || publish(p, info) : remnants_remove(p, info) != ERR_NONE)
		return info->code;
	result_fill(p, changed, asked, out);
	return ERR_NONE;
}

bool pull_find_made(const struct store *s, const struct hub_name *name, const char *source,
	const char *revision, struct manifest *out)
{
	struct store_model made;

	*out = (struct manifest){0};
	if (store_find(s, name, &made, &(struct err_info){0}))
		return false;
	/* a branch may have moved on: only a commit is the same for ever */
	const bool found = !manifest_read(out, made.dir, &(struct err_info){0}) &&
		hub_is_hex(out->revision, HUB_SHA1_BYTES - 1) &&
		strcmp(out->revision, revision) == 0 && strcmp(out->source, source) == 0;

	if (!found)
		manifest_free(out);
	store_release(&made);
	return found;
}

/* The type asked for is none of the hub's. *there: it was made before, of the same commit. */
static enum err made_check(struct puller *p, const char *type, bool *there, struct err_info *info)
{
	struct hub_name name = p->wanted.name;
	struct manifest m;

	if (!p->config->can_make(type))
		return err_set(info, ERR_UNSUPPORTED, "%s/%s: type %s cannot be made of it; "
			"`tongyun quantize --help` names those that can", name.owner, name.model,
			type);
	name.revision[0] = '\0';
	snprintf(name.type, sizeof(name.type), "%s", type);
	*there = pull_find_made(p->store, &name, p->wanted.source, p->wanted.revision, &m);
	if (*there) {
		manifest_free(&p->wanted);
		p->wanted = m;
	}
	return ERR_NONE;
}

enum err pull(const struct store *s, const struct hub_name *name, const struct pull_config *config,
	struct pull_result *out, struct err_info *info)
{
	struct puller p = {.store = s, .config = config, .lock = {.fd = -1}};
	bool asked = true, made = false;

	p.hub = (struct hub){.kind = config->hub, .endpoint = config->client.endpoint};
	if (client_open(&p.hub.client, &config->client, info) ||
		hub_list(&p.hub, name, &p.wanted, info) ||
		choose_files(&p.wanted, &asked, info) ||
		(!asked && made_check(&p, name->type, &made, info)))
		goto done;
	if (made)
		result_fill(&p, false, true, out);
	else if (!pull_lock(s, &p.wanted.name, &config->client, &p.lock, info))
		(void)!pull_locked(&p, asked, out, info);
done:
	download_close(p.download);
	store_unlock(s, &p.lock);
	manifest_free(&p.wanted);
	manifest_free(&p.there);
	client_close(p.hub.client);
	return info->code;
}
