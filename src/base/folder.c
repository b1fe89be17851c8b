/* base/folder.c - see folder.h. */
#include "base/folder.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#define NAMES_FIRST      64
#define COPY_RANGE_BYTES ((size_t)1 << 30)   /* of one copy_file_range */
#define COPY_BYTES       65536

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds a name; the array doubles, and the arena keeps the old one. */
static bool name_add(struct folder_names *out, uint32_t *room, struct arena *memory,
	const char *name)
{
	if (out->count == *room) {
		const uint32_t wanted = *room ? *room * 2 : NAMES_FIRST;
		const char **grown = arena_array(memory, wanted, sizeof(*grown));

		if (!grown)
			return false;
		if (out->count)
			memcpy(grown, out->names, out->count * sizeof(*grown));
		out->names = grown;
		*room = wanted;
	}
	out->names[out->count] = arena_strndup(memory, name, strlen(name));
	return out->names[out->count++] != NULL;
}

enum err folder_list(struct folder_names *out, struct arena *memory, const char *path,
	uint32_t names_max, struct err_info *info)
{
	const struct dirent *entry;
	uint32_t room = 0;

	*out = (struct folder_names){0};
	DIR *dir = opendir(path);

	if (!dir)
		return errno == ENOENT ? ERR_NONE : err_set_errno(info, "%s", path);
	while (!info->code && (errno = 0, entry = readdir(dir))) {
		if (is_dots(entry->d_name))
			continue;
		if (out->count == names_max)
			err_set(info, ERR_LIMIT, "%s: more than %u names", path, names_max);
		else if (!name_add(out, &room, memory, entry->d_name))
			err_set(info, ERR_MEMORY, "%s: no memory for its names", path);
	}
	if (!info->code && errno)
		err_set_errno(info, "%s", path);
	closedir(dir);
	if (!info->code && out->count)
		qsort(out->names, out->count, sizeof(*out->names), name_order);
	return info->code;
}

static int remove_at(int parent, const char *name, uint32_t depth);

/* Empties the folder that is open as fd, which is closed. */
static int empty(int fd, uint32_t depth)
{
	const struct dirent *entry;
	DIR *dir = fdopendir(fd);
	int result = 0;

	if (!dir) {
		close(fd);
		return -1;
	}
	while (!result && (errno = 0, entry = readdir(dir)))
		if (!is_dots(entry->d_name))
			result = remove_at(dirfd(dir), entry->d_name, depth);
	if (!result && errno)
		result = -1;
	const int number = errno;

	closedir(dir);
	errno = number;
	return result;
}

static int remove_at(int parent, const char *name, uint32_t depth)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (depth == FOLDER_DEPTH_MAX) {
		errno = ELOOP;
		return -1;
	}
	const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || empty(fd, depth + 1))
		return -1;
	return unlinkat(parent, name, AT_REMOVEDIR);
}

enum err folder_remove(const char *path, struct err_info *info)
{
	return remove_at(AT_FDCWD, path, 0) ? err_set_errno(info, "removing %s", path) : ERR_NONE;
}

/* From where both stand to the end, through this program. */
static int copy_through(int from, int to)
{
	char bytes[COPY_BYTES];
	ssize_t got;

	while ((got = read(from, bytes, sizeof(bytes))) != 0) {
		if (got < 0 && errno != EINTR)
			return -1;
		for (ssize_t at = 0, put; at < got; at += put > 0 ? put : 0)
			if ((put = write(to, bytes + at, (size_t)(got - at))) < 0 && errno != EINTR)
				return -1;
	}
	return 0;
}

/* By sharing blocks, else in the kernel, else as every system can. */
static int copy_bytes(int from, int to)
{
	ssize_t copied;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	do
		copied = copy_file_range(from, NULL, to, NULL, COPY_RANGE_BYTES, 0);
	while (copied > 0 || (copied < 0 && errno == EINTR));
	return copied == 0 ? 0 : copy_through(from, to);
}

static enum err copy(const char *from, const char *to, struct err_info *info)
{
	const int in = open(from, O_RDONLY | O_CLOEXEC);
	const int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (in < 0)
		err_set_errno(info, "%s", from);
	else if (out < 0 || copy_bytes(in, out) || fsync(out))
		err_set_errno(info, "copying %s to %s", from, to);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (out >= 0 && info->code)
		unlink(to);
	return info->code;
}

enum err folder_share_file(const char *from, const char *to, struct err_info *info)
{
	if (link(from, to) == 0)
		return ERR_NONE;
	if (errno == ENOENT || errno == EEXIST || errno == ENOSPC)
		return err_set_errno(info, "linking %s to %s", from, to);
	return copy(from, to, info);
}

enum err folder_free_space(const char *path, uint64_t *bytes, struct err_info *info)
{
	struct statvfs space;

	if (statvfs(path, &space))
		return err_set_errno(info, "%s", path);
	*bytes = (uint64_t)space.f_bavail * space.f_frsize;
	return ERR_NONE;
}
