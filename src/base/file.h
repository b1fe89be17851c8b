/* base/file.h - files: mapped to read, read whole under a limit, written so that a crash
 * leaves old or new. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* A read-only private mapping of a whole file. */
struct file_map {
	const uint8_t *data;  /* NULL when the file is empty */
	size_t size;
};

enum err file_map_open(struct file_map *map, const char *path, struct err_info *info) MUST_CHECK;
void file_map_close(struct file_map *map);

/* Gives the memory of the file's pages back; they are read again when they are touched. Any number
 * of threads may read meanwhile. */
void file_map_release(const struct file_map *map);

/* From now on a mapped file that became shorter or cannot be read ends the program with exit code 1
 * and a line that names it, where it would end by SIGBUS. Once, by main. */
void file_map_guard(void);

/* Appends the file's bytes to out (initialised by the caller, whose limit holds). "-"
 * is standard input. */
enum err file_read(struct buf *out, const char *path, struct err_info *info) MUST_CHECK;

/* Writes beside path, syncs, renames over it, syncs the directory. mode as in open(2). */
enum err file_write_atomic(const char *path, const void *bytes, size_t size, unsigned mode,
	struct err_info *info) MUST_CHECK;

/* A large file, written piece by piece into one without a name in the same directory, of which a
 * program that is killed leaves nothing; into a temporary one beside it where the file system has
 * no such files.
 *
 *	struct file_out out = {.fd = -1};
 *	if (!file_out_open(&out, path, size, 0666, &info) && !file_out_write(&out, ...) ...)
 *		code = file_out_commit(&out, &info);
 *	file_out_close(&out);   // without a commit nothing is left
 */
struct file_out {
	int fd;                       /* -1: not open */
	bool nameless;                /* temporary is not there (yet) */
	uint64_t size;                /* written so far */
	char path[PATH_MAX];
	char temporary[PATH_MAX];
};

/* ERR_LIMIT when the disk has not size_bytes left, ERR_INPUT when path is there and is no regular
 * file. mode as in open(2). */
enum err file_out_open(struct file_out *f, const char *path, uint64_t size_bytes, unsigned mode,
	struct err_info *info) MUST_CHECK;
enum err file_out_write(struct file_out *f, const void *bytes, size_t size, struct err_info *info)
	MUST_CHECK;
/* Syncs, renames over the path, syncs the directory. */
enum err file_out_commit(struct file_out *f, struct err_info *info) MUST_CHECK;
/* Of one with fd -1 nothing. */
void file_out_close(struct file_out *f);

/* Whether both are there and one and the same, under whatever names. */
bool file_is_same(const char *a, const char *b);

/* Writes all of it at offset; the error says "writing PATH". */
enum err file_write_at(int fd, const void *bytes, size_t size, uint64_t offset, const char *path,
	struct err_info *info) MUST_CHECK;

/* Renames and syncs the directory of to. */
enum err file_rename(const char *from, const char *to, struct err_info *info) MUST_CHECK;

/* Syncs a file, or the names in a directory. */
enum err file_sync(const char *path, struct err_info *info) MUST_CHECK;

/* Creates path and its missing parents with mode 0700. */
enum err file_mkdirs(const char *path, struct err_info *info) MUST_CHECK;
/* The same for the directory that path will lie in; its own path goes to dir. path has a slash. */
enum err file_mkdirs_above(const char *path, char dir[PATH_MAX], struct err_info *info) MUST_CHECK;

/* A link that leads nowhere and what may not be looked at are there, too: opening them says why
 * they cannot be used. */
bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* The last part of a path, without the slashes that may end it: *size bytes of path. */
const char *file_last_part(const char *path, size_t *size);

/* dir/name into out of size bytes; ERR_LIMIT when it does not fit. */
enum err file_join(char *out, size_t size, const char *dir, const char *name) MUST_CHECK;

/* Tests only: the n-th open, read, write, sync or rename of this module from now fails with EIO (1
 * is the next one), and every later one too when sticky; 0 turns it off. */
void file_fail_after(int64_t n, int sticky);

#endif
