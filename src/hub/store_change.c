/* hub/store_change.c - see store.h. Under the lock of OWNER/NAME: folders appear and go whole. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "hub/store.h"

#define LOCK_FILE    ".lock"
#define GONE         ".gone-"
#define COPY         ".copy-"
#define WHO_MAX      100
#define NAMES_CHUNK  ((size_t)16 << 10)
#define NAMES_MEMORY ((size_t)4 << 20)
#define NAMES_MAX    10000

static enum err join(char out[PATH_MAX], const char *dir, const char *prefix, const char *name,
	struct err_info *info)
{
	const int size = snprintf(out, PATH_MAX, "%s/%s%s", dir, prefix, name);

	return size > 0 && size < PATH_MAX ? ERR_NONE
		: err_set(info, ERR_LIMIT, "%.300s: the path is too long", dir);
}

/* ---- the lock -------------------------------------------------------------------------------- */

static enum err busy(const struct hub_name *name, int fd, struct err_info *info)
{
	char text[HUB_NAME_BYTES], who[WHO_MAX + 1];
	struct hub_name all = *name;
	const ssize_t size = pread(fd, who, WHO_MAX, 0);

	all.type[0] = '\0';
	who[size > 0 ? size : 0] = '\0';
	who[strcspn(who, "\n")] = '\0';
	return err_set(info, ERR_BUSY, "%s is in use by %s", hub_name_print(&all, text),
		*who ? who : "another process");
}

/* Locks the file that now has the name; *fd is -1 when it was removed meanwhile. */
static enum err lock_once(const struct hub_name *name, const char *path, int *fd,
	struct err_info *info)
{
	struct stat open_one, named;

	*fd = -1;
	const int got = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (got < 0)
		return errno == ENOENT ? ERR_NONE : err_set_errno(info, "%.300s", path);
	if (flock(got, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			busy(name, got, info);
		else
			err_set_errno(info, "locking %.300s", path);
	} else if (fstat(got, &open_one) == 0 && stat(path, &named) == 0 &&
		open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev) {
		*fd = got;
		return ERR_NONE;
	}
	close(got);
	return info->code;
}

/* What a crash has left half made or half removed. */
static enum err sweep(const struct store_lock *l, struct err_info *info)
{
	struct folder_names names;
	struct arena memory;
	char path[PATH_MAX];

	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	if (!folder_list(&names, &memory, l->dir, NAMES_MAX, info))
		for (uint32_t i = 0; i < names.count && !info->code; i++)
			if ((strncmp(names.names[i], GONE, strlen(GONE)) == 0 ||
				strncmp(names.names[i], COPY, strlen(COPY)) == 0) &&
				!join(path, l->dir, "", names.names[i], info))
				(void)!folder_remove(path, info);
	arena_reset(&memory);
	return info->code;
}

enum err store_lock(const struct store *s, const struct hub_name *name, const char *who,
	struct store_lock *out, struct err_info *info)
{
	char path[PATH_MAX], text[WHO_MAX];
	struct hub_name model = *name;
	char model_text[HUB_NAME_BYTES];

	*out = (struct store_lock){.fd = -1};
	model.type[0] = '\0';
	if (join(out->dir, s->path, "", hub_name_print(&model, model_text), info) ||
		join(path, out->dir, "", LOCK_FILE, info))
		return info->code;
	while (out->fd < 0)
		if (file_mkdirs(out->dir, info) || lock_once(name, path, &out->fd, info))
			return info->code;
	const int size = snprintf(text, sizeof(text), "%.60s (process %ld)\n", who, (long)getpid());

	if (ftruncate(out->fd, 0) || pwrite(out->fd, text, (size_t)size, 0) < 0)
		err_set_errno(info, "%.300s", path);
	if (info->code || sweep(out, info))
		store_unlock(s, out);
	return info->code;
}

/* True when nothing but the lock is in it. */
static bool only_lock(const struct store_lock *l)
{
	struct err_info info = {0};
	struct folder_names names;
	struct arena memory;

	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	const bool only = !folder_list(&names, &memory, l->dir, NAMES_MAX, &info) &&
		names.count == 1;

	arena_reset(&memory);
	return only;
}

void store_unlock(const struct store *s, struct store_lock *l)
{
	char path[PATH_MAX];

	if (l->fd < 0)
		return;
	if (only_lock(l) && !join(path, l->dir, "", LOCK_FILE, &(struct err_info){0})) {
		(void)unlink(path);
		/* the folders of name and owner; one that is not empty stays */
		for (int level = 0; level < 2 && strlen(l->dir) > strlen(s->path); level++) {
			(void)rmdir(l->dir);
			*strrchr(l->dir, '/') = '\0';
		}
	}
	close(l->fd);
	l->fd = -1;
}

/* ---- appearing and going --------------------------------------------------------------------- */

/* Waits until nobody is between finding the model in dir and having mapped its files; the
 * descriptor, or -1 when there is nothing to wait for. */
static int readers_wait(const char *dir)
{
	char path[PATH_MAX];

	if (join(path, dir, "", MANIFEST_FILE, &(struct err_info){0}))
		return -1;
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR)
		;
	return fd;
}

static enum err retire(const struct store_lock *l, const char *dir, const char *name,
	struct err_info *info)
{
	char gone[PATH_MAX];

	if (join(gone, l->dir, GONE, name, info))
		return info->code;
	const int fd = readers_wait(dir);

	if (!file_rename(dir, gone, info))
		(void)!folder_remove(gone, info);
	if (fd >= 0)
		close(fd);
	return info->code;
}

/* staged and dir change places, where the file system can do that. */
static bool exchange(const char *staged, const char *dir)
{
	const int fd = readers_wait(dir);
	const bool good = renameat2(AT_FDCWD, staged, AT_FDCWD, dir, RENAME_EXCHANGE) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

enum err store_stage(const struct store_lock *l, const char *type, char out[PATH_MAX],
	struct err_info *info)
{
	if (join(out, l->dir, COPY, type, info) || folder_remove(out, info))
		return info->code;
	return file_mkdirs(out, info);
}

enum err store_commit(const struct store_lock *l, const char *staged, const char *type,
	struct err_info *info)
{
	char dir[PATH_MAX];

	assert(l->fd >= 0);
	if (join(dir, l->dir, "", type, info) || file_sync(staged, info))
		return info->code;
	if (file_exists(dir)) {
		if (exchange(staged, dir))
			return file_sync(l->dir, info) ? info->code : folder_remove(staged, info);
		if (retire(l, dir, type, info))
			return info->code;
	}
	return file_rename(staged, dir, info);
}

enum err store_write_manifest(struct manifest *m, const char *dir, struct err_info *info)
{
	char path[PATH_MAX], now[31];
	struct buf text;

	clock_format(now, clock_wall_ns());
	snprintf(m->created, sizeof(m->created), "%.19sZ", now);
	if (join(path, dir, "", MANIFEST_FILE, info))
		return info->code;
	buf_init(&text, MANIFEST_BYTES_MAX);
	manifest_print(m, &text);
	if (text.failed)
		err_set(info, ERR_MEMORY, "%.300s: no memory to write it", path);
	else
		(void)!file_write_atomic(path, text.data, text.size, 0600, info);
	buf_free(&text);
	return info->code;
}

/* ---- removing -------------------------------------------------------------------------------- */

/* Every type, and what of downloads is there. */
static enum err remove_all(const struct store_lock *l, struct arena *memory, bool *any,
	struct err_info *info)
{
	struct folder_names names;
	char path[PATH_MAX];

	if (folder_list(&names, memory, l->dir, NAMES_MAX, info))
		return info->code;
	for (uint32_t i = 0; i < names.count && !info->code; i++) {
		if (strcmp(names.names[i], LOCK_FILE) == 0 ||
			join(path, l->dir, "", names.names[i], info))
			continue;
		*any = true;
		(void)!retire(l, path, names.names[i], info);
	}
	return info->code;
}

static enum err remove_type(const struct store_lock *l, const char *type, bool *any,
	struct err_info *info)
{
	static const char *const prefixes[] = {"", STORE_PARTIAL};
	char path[PATH_MAX];

	for (size_t i = 0; i < 2 && !info->code; i++) {
		if (join(path, l->dir, prefixes[i], type, info) || !file_exists(path))
			continue;
		*any = true;
		(void)!retire(l, path, type, info);
	}
	return info->code;
}

enum err store_remove(const struct store *s, const struct hub_name *name, struct err_info *info)
{
	struct store_lock l = {.fd = -1};
	struct arena memory;
	char dir[PATH_MAX], text[HUB_NAME_BYTES], folder[2 * HUB_PART_BYTES];
	bool any = false;

	snprintf(folder, sizeof(folder), "%s/%s", name->owner, name->model);
	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	if (join(dir, s->path, "", folder, info) ||
		(file_exists(dir) && store_lock(s, name, "rm", &l, info)))
		return info->code;
	if (l.fd >= 0 && *name->type)
		(void)!remove_type(&l, name->type, &any, info);
	else if (l.fd >= 0)
		(void)!remove_all(&l, &memory, &any, info);
	store_unlock(s, &l);
	arena_reset(&memory);
	if (!info->code && !any)
		err_set(info, ERR_NOT_FOUND, "%s: no such model here; `tongyun list` shows those "
			"that are", hub_name_print(name, text));
	return info->code;
}

/* ---- copying --------------------------------------------------------------------------------- */

/* The files of m from one folder into another, folders made as they are needed. */
static enum err files_share(const struct manifest *m, const char *from, const char *to,
	struct err_info *info)
{
	char source[PATH_MAX], target[PATH_MAX], dir[PATH_MAX];

	for (uint32_t i = 0; i < m->file_count; i++)
		if (join(source, from, "", m->files[i].path, info) ||
			join(target, to, "", m->files[i].path, info) ||
			file_mkdirs_above(target, dir, info) || file_sync(dir, info) ||
			folder_share_file(source, target, info))
			return info->code;
	return ERR_NONE;
}

/* The source is let go as soon as its files are shared: to wait for who reads what is replaced, and
 * hold what another copy may replace, would be a circle. */
static enum err copy_into(const struct store_lock *l, struct store_model *source,
	struct hub_name *name, struct err_info *info)
{
	char staged[PATH_MAX];
	struct manifest m = {0};

	if (manifest_read(&m, source->dir, info) || store_stage(l, name->type, staged, info))
		goto done;
	m.name = *name;
	(void)!files_share(&m, source->dir, staged, info);
	store_release(source);
	if (!info->code && !store_write_manifest(&m, staged, info))
		(void)!store_commit(l, staged, name->type, info);
	if (info->code)
		(void)!folder_remove(staged, &(struct err_info){0});
done:
	manifest_free(&m);
	return info->code;
}

enum err store_copy(const struct store *s, const struct hub_name *from, const struct hub_name *to,
	bool force, struct hub_name *name, struct err_info *info)
{
	struct store_model source;
	struct store_lock l = {.fd = -1};
	char text[HUB_NAME_BYTES], dir[PATH_MAX];

	if (store_find(s, from, &source, info))
		return info->code;
	*name = *to;
	if (!*name->type)
		memcpy(name->type, source.name.type, sizeof(name->type));
	hub_name_print(name, text);
	if (strcmp(name->owner, source.name.owner) == 0 &&
		strcmp(name->model, source.name.model) == 0 &&
		strcmp(name->type, source.name.type) == 0)
		err_set(info, ERR_INPUT, "%s: source and copy are the same", text);
	else if (store_lock(s, name, "cp", &l, info) || join(dir, l.dir, "", name->type, info))
		;
	else if (!force && file_exists(dir))
		err_set(info, ERR_EXISTS, "%s: there is one already; --force replaces it", text);
	else
		(void)!copy_into(&l, &source, name, info);
	store_unlock(s, &l);
	store_release(&source);
	return info->code;
}
