/* base/file.c - see file.h. Every system call that a test may want to fail goes
 * through a wrapper here. */
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/prng.h"
#include "base/utf8.h"

#define READ_CHUNK_BYTES  65536
#define MAPPED_MAX        64     /* files whose names map_fault knows */
#define MAPPED_PATH_BYTES 256
#define FD_PATH_BYTES     32
#define MAP_FAULT \
	": became shorter while it was in use, or cannot be read from its disk; fetch it again"

/* What is mapped, for a signal handler, which can neither wait nor allocate: a row is read while
 * data is set, and belongs to its mapping while taken is. */
struct mapped {
	atomic_flag taken;
	_Atomic(const uint8_t *) data;
	size_t size;
	char path[MAPPED_PATH_BYTES];
};

static struct mapped mapped[MAPPED_MAX];

static struct fault file_fault;

void file_fail_after(int64_t n, int sticky)
{
	fault_arm(&file_fault, n, sticky != 0);
}

static bool fails(void)
{
	if (!fault_hits(&file_fault))
		return false;
	errno = EIO;
	return true;
}

static int sys_open(const char *path, int flags, unsigned mode)
{
	return fails() ? -1 : open(path, flags | O_CLOEXEC, (mode_t)mode);
}

static ssize_t sys_read(int fd, void *bytes, size_t size)
{
	ssize_t got;

	if (fails())
		return -1;
	do
		got = read(fd, bytes, size);
	while (got < 0 && errno == EINTR);
	return got;
}

static int sys_sync(int fd)
{
	return fails() ? -1 : fsync(fd);
}

static int sys_rename(const char *from, const char *to)
{
	return fails() ? -1 : rename(from, to);
}

/* All of it; a short write goes on where it stopped. */
static int sys_write_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	while (size > 0) {
		const ssize_t put = fails() ? -1 : write(fd, p, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		p += put;
		size -= (size_t)put;
	}
	return 0;
}

/* Opens a regular file to read and tells its size. */
static enum err open_regular(const char *path, int *fd, size_t *size, struct err_info *info)
{
	struct stat st;

	/* O_NONBLOCK: a pipe without a writer must not hang us */
	*fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
	if (*fd < 0 && errno == ENOENT && lstat(path, &st) == 0)
		return err_set(info, ERR_NOT_FOUND, "%s: a link to a file that is not there", path);
	if (*fd < 0)
		return err_set_errno(info, "%s", path);
	if (fstat(*fd, &st) < 0) {
		const enum err code = err_set_errno(info, "%s", path);

		close(*fd);
		return code;
	}
	if (!S_ISREG(st.st_mode)) {
		close(*fd);
		return err_set(info, ERR_INPUT, "%s: not a regular file", path);
	}
	*size = (size_t)st.st_size;
	return ERR_NONE;
}

static void mapped_add(const struct file_map *map, const char *path)
{
	for (size_t i = 0; i < MAPPED_MAX; i++) {
		struct mapped *row = &mapped[i];

		if (atomic_flag_test_and_set(&row->taken))
			continue;
		row->size = map->size;
		snprintf(row->path, sizeof(row->path), "%s", path);
		utf8_blank_controls(row->path, '?');
		atomic_store(&row->data, map->data);
		return;
	}
}

static void mapped_remove(const struct file_map *map)
{
	for (size_t i = 0; i < MAPPED_MAX; i++)
		if (atomic_load(&mapped[i].data) == map->data) {
			atomic_store(&mapped[i].data, NULL);
			atomic_flag_clear(&mapped[i].taken);
			return;
		}
}

/* "a file" when it is one too many. */
static const char *mapped_path(const uint8_t *at)
{
	for (size_t i = 0; i < MAPPED_MAX; i++) {
		const uint8_t *data = atomic_load(&mapped[i].data);

		if (data && at >= data && (size_t)(at - data) < mapped[i].size)
			return mapped[i].path;
	}
	return "a file";
}

enum err file_map_open(struct file_map *map, const char *path, struct err_info *info)
{
	enum err code;
	int fd;

	*map = (struct file_map){0};
	code = open_regular(path, &fd, &map->size, info);
	if (code)
		return code;
	if (map->size > 0) {
		void *data = fails() ? MAP_FAILED : mmap(NULL, map->size, PROT_READ, MAP_PRIVATE,
			fd, 0);

		if (data == MAP_FAILED) {
			code = err_set_errno(info, "%s: mapping %zu bytes", path, map->size);
			*map = (struct file_map){0};
		} else {
			map->data = data;
			mapped_add(map, path);
		}
	}
	close(fd);
	return code;
}

void file_map_close(struct file_map *map)
{
	if (map->data) {
		mapped_remove(map);
		/* munmap wants what mmap gave: not const */
		munmap((void *)(uintptr_t)map->data, map->size);
	}
	*map = (struct file_map){0};
}

void file_map_release(const struct file_map *map)
{
	if (map->data)   /* refused, they stay: no matter */
		(void)madvise((void *)(uintptr_t)map->data, map->size, MADV_DONTNEED);
}

/* Only what a signal handler may do. */
static void map_fault(int signal_number, siginfo_t *what, void *context)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	static char before[] = "tongyun: error: ";
	static char after[] = MAP_FAULT "\n";
	const char *path = mapped_path(what->si_addr);
	const struct iovec parts[] = {
		{before, sizeof(before) - 1},
		{(void *)(uintptr_t)path, strlen(path)},   /* writev only reads it */
		{after, sizeof(after) - 1},
	};

	(void)signal_number;
	(void)context;
	while (atomic_flag_test_and_set(&told))   /* the end is near: another thread has said it */
		pause();
	(void)!writev(STDERR_FILENO, parts, 3);
	_exit(1);
}

void file_map_guard(void)
{
	const struct sigaction action = {.sa_sigaction = map_fault, .sa_flags = SA_SIGINFO};

	(void)sigaction(SIGBUS, &action, NULL);
}

/* Why an append failed: the limit, or memory. */
static enum err append_error(const struct buf *out, size_t wanted, const char *path,
	struct err_info *info)
{
	if (wanted > out->size_max - out->size)
		return err_set(info, ERR_LIMIT, "%s: larger than %zu bytes", path, out->size_max);
	return err_set(info, ERR_MEMORY, "%s: out of memory", path);
}

static enum err read_to_end(struct buf *out, int fd, const char *path, struct err_info *info)
{
	char chunk[READ_CHUNK_BYTES];

	for (;;) {
		const ssize_t got = sys_read(fd, chunk, sizeof(chunk));

		if (got < 0)
			return err_set_errno(info, "%s", path);
		if (got == 0)
			return ERR_NONE;
		buf_add(out, chunk, (size_t)got);
		if (out->failed)
			return append_error(out, (size_t)got, path, info);
	}
}

enum err file_read(struct buf *out, const char *path, struct err_info *info)
{
	enum err code;
	size_t size = 0;    /* gcc at -O3 does not see that open_regular sets it */
	int fd;

	assert(!out->failed);
	if (strcmp(path, "-") == 0)
		return read_to_end(out, STDIN_FILENO, "standard input", info);
	code = open_regular(path, &fd, &size, info);
	if (code)
		return code;
	if (size > out->size_max - out->size)
		code = append_error(out, size, path, info);
	else
		code = read_to_end(out, fd, path, info);
	close(fd);
	return code;
}

static void directory_of(const char *path, char dir[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	const size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;

	assert(length < PATH_MAX);
	memcpy(dir, path, length);
	dir[length] = '\0';
	if (length == 0)
		memcpy(dir, ".", 2);
}

/* Makes a rename in path's directory survive a power loss. */
static int sync_directory_of(const char *path)
{
	char dir[PATH_MAX];

	directory_of(path, dir);
	const int fd = sys_open(dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return -1;
	const int result = sys_sync(fd);
	const int number = errno;
	close(fd);
	errno = number;
	return result;
}

/* A rename would put a file in the place of a device, a pipe or the like. */
static enum err check_place(const char *path, struct err_info *info)
{
	struct stat there;

	if (stat(path, &there) || S_ISREG(there.st_mode))
		return ERR_NONE;
	return err_set(info, ERR_INPUT, "writing %s: it is %s; name a file", path,
		S_ISDIR(there.st_mode) ? "a directory" : "not a regular file");
}

/* Whether the file system that temporary has been made on has room for so much more. */
static enum err check_space(const struct file_out *f, uint64_t size_bytes, struct err_info *info)
{
	struct statvfs space;

	if (fstatvfs(f->fd, &space))
		return err_set_errno(info, "%s: asking how much its disk has left", f->path);
	const uint64_t left = (uint64_t)space.f_bavail * space.f_frsize;

	if (left < size_bytes)
		return err_set(info, ERR_LIMIT,
			"%s: needs %llu bytes, its disk has %llu left", f->path,
			(unsigned long long)size_bytes, (unsigned long long)left);
	return ERR_NONE;
}

/* Where an open file without a name can be found to be given one. */
static void fd_path(char out[FD_PATH_BYTES], int fd)
{
	snprintf(out, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
}

/* A file without a name in the directory of f->path, so that nothing is left of it however the
 * program ends; f->temporary where the file system has no such files, or they can get no name. */
static int open_beside(struct file_out *f, unsigned mode)
{
	char dir[PATH_MAX], place[FD_PATH_BYTES];

	directory_of(f->path, dir);
	f->fd = sys_open(dir, O_WRONLY | O_TMPFILE, mode);
	if (f->fd >= 0) {
		fd_path(place, f->fd);
		f->nameless = access(place, F_OK) == 0;
		if (f->nameless)
			return 0;
		close(f->fd);
	} else if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
		return -1;
	}
	f->nameless = false;
	f->fd = sys_open(f->temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
	return f->fd < 0 ? -1 : 0;
}

/* Under f->path if nothing is there, else under f->temporary; *renames says which. */
static int give_name(const struct file_out *f, bool *renames)
{
	char place[FD_PATH_BYTES];

	*renames = false;
	if (fails())
		return -1;
	fd_path(place, f->fd);
	if (linkat(AT_FDCWD, place, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	*renames = errno == EEXIST;
	return *renames ? linkat(AT_FDCWD, place, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW) : -1;
}

enum err file_out_open(struct file_out *f, const char *path, uint64_t size_bytes, unsigned mode,
	struct err_info *info)
{
	uint64_t suffix;

	f->fd = -1;
	f->size = 0;
	if (check_place(path, info))
		return info->code;
	prng_system(&suffix, sizeof(suffix));
	const int length = snprintf(f->temporary, sizeof(f->temporary), "%s.%016llx", path,
		(unsigned long long)suffix);
	if (length < 0 || (size_t)length >= sizeof(f->temporary))
		return err_set(info, ERR_LIMIT, "%s: path too long", path);
	memcpy(f->path, path, strlen(path) + 1);
	if (open_beside(f, mode))
		return err_set_errno(info, "writing %s", path);
	if (check_space(f, size_bytes, info))
		file_out_close(f);
	return info->code;
}

enum err file_out_write(struct file_out *f, const void *bytes, size_t size, struct err_info *info)
{
	if (sys_write_all(f->fd, bytes, size)) {
		/* what is copied out of a mapping is read by the kernel, which raises no signal */
		if (errno == EFAULT)
			return err_set(info, ERR_INPUT, "%s" MAP_FAULT, mapped_path(bytes));
		return err_set_errno(info, "writing %s", f->path);
	}
	f->size += size;
	return ERR_NONE;
}

enum err file_out_commit(struct file_out *f, struct err_info *info)
{
	bool renames = true;

	if (sys_sync(f->fd) || (f->nameless && give_name(f, &renames)))
		return err_set_errno(info, "writing %s", f->path);
	const int closed = close(f->fd);

	f->fd = -1;
	if (closed || (renames && sys_rename(f->temporary, f->path))) {
		const enum err code = err_set_errno(info, "writing %s", f->path);

		(void)unlink(f->temporary);
		return code;
	}
	return sync_directory_of(f->path)
		? err_set_errno(info, "syncing the directory of %s", f->path)
		: ERR_NONE;
}

void file_out_close(struct file_out *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
	if (!f->nameless)
		(void)unlink(f->temporary);
}

enum err file_write_atomic(const char *path, const void *bytes, size_t size, unsigned mode,
	struct err_info *info)
{
	struct file_out out;
	enum err code;

	if ((code = file_out_open(&out, path, size, mode, info)))
		return code;
	if (!(code = file_out_write(&out, bytes, size, info)))
		code = file_out_commit(&out, info);
	file_out_close(&out);
	return code;
}

enum err file_write_at(int fd, const void *bytes, size_t size, uint64_t offset, const char *path,
	struct err_info *info)
{
	const uint8_t *p = bytes;

	while (size > 0) {
		const ssize_t put = fails() ? -1 : pwrite(fd, p, size, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_set_errno(info, "writing %s", path);
		p += put;
		size -= (size_t)put;
		offset += (uint64_t)put;
	}
	return ERR_NONE;
}

enum err file_rename(const char *from, const char *to, struct err_info *info)
{
	if (sys_rename(from, to))
		return err_set_errno(info, "renaming %s to %s", from, to);
	return sync_directory_of(to) ? err_set_errno(info, "syncing the directory of %s", to)
		: ERR_NONE;
}

enum err file_sync(const char *path, struct err_info *info)
{
	const int fd = sys_open(path, O_RDONLY, 0);

	if (fd < 0 || sys_sync(fd))
		err_set_errno(info, "syncing %s", path);
	if (fd >= 0)
		close(fd);
	return info->code;
}

enum err file_mkdirs(const char *path, struct err_info *info)
{
	char part[PATH_MAX];
	const size_t length = strlen(path);

	if (length == 0 || length >= sizeof(part))
		return err_set(info, length ? ERR_LIMIT : ERR_INPUT, "%s: not a usable path", path);
	memcpy(part, path, length + 1);
	for (size_t i = 1; i <= length; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return err_set_errno(info, "creating %s", part);
		if (i < length)
			part[i] = '/';
	}
	if (!file_is_dir(path))
		return err_set(info, ERR_EXISTS, "%s: exists and is not a directory", path);
	return ERR_NONE;
}

enum err file_mkdirs_above(const char *path, char dir[PATH_MAX], struct err_info *info)
{
	if (strlen(path) >= PATH_MAX)
		return err_set(info, ERR_LIMIT, "%.300s: not a usable path", path);
	directory_of(path, dir);
	return file_mkdirs(dir, info);
}

bool file_is_same(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
		one.st_ino == other.st_ino;
}

bool file_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 || errno == EACCES;
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *file_last_part(const char *path, size_t *size)
{
	size_t end = strlen(path);

	while (end > 1 && path[end - 1] == '/')
		end--;
	size_t from = end;

	while (from > 0 && path[from - 1] != '/')
		from--;
	*size = end - from;
	return path + from;
}

enum err file_join(char *out, size_t size, const char *dir, const char *name)
{
	const size_t dir_length = strlen(dir);
	const char *slash = dir_length > 0 && dir[dir_length - 1] != '/' ? "/" : "";
	const int length = snprintf(out, size, "%s%s%s", dir, slash, name);

	return length >= 0 && (size_t)length < size ? ERR_NONE : ERR_LIMIT;
}
