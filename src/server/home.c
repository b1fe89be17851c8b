/* server/home.c - see home.h. */
#include "server/home.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/prng.h"

#define LOCK_FILE   "lock"
#define SECRET_FILE "secret"
#define SOCKET_FILE "admin.sock"
#define WHO_MAX     200

enum err home_default_path(char *out, size_t size, struct err_info *info)
{
	const char *own = getenv("TONGYUN_HOME");
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	enum err code;

	if (own && own[0])
		code = (size_t)snprintf(out, size, "%s", own) < size ? ERR_NONE : ERR_LIMIT;
	else if (data && data[0] == '/')  /* the XDG specification: relative ones are ignored */
		code = file_join(out, size, data, "tongyun");
	else if (home && home[0])
		code = file_join(out, size, home, ".local/share/tongyun");
	else
		return err_set(info, ERR_NOT_FOUND, "no home for data: set TONGYUN_HOME");
	return code ? err_set(info, code, "the path of TONGYUN_HOME is too long") : ERR_NONE;
}

enum err home_open(struct home *h, const char *path, struct err_info *info)
{
	*h = (struct home){.dir_fd = -1, .lock_fd = -1};
	if (!path) {
		if (home_default_path(h->path, sizeof(h->path), info))
			return info->code;
	} else if ((size_t)snprintf(h->path, sizeof(h->path), "%s", path) >= sizeof(h->path)) {
		return err_set(info, ERR_LIMIT, "the path of TONGYUN_HOME is too long");
	}
	if (file_mkdirs(h->path, info))
		return info->code;
	h->dir_fd = open(h->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (h->dir_fd < 0)
		return err_set_errno(info, "%.300s", h->path);
	return ERR_NONE;
}

static bool exists(const struct home *h, const char *name)
{
	struct stat status;

	return fstatat(h->dir_fd, name, &status, 0) == 0 || errno != ENOENT;
}

static bool has_bytes(const struct home *h, const char *name)
{
	struct stat status;

	return fstatat(h->dir_fd, name, &status, 0) == 0 && status.st_size > 0;
}

void home_close(struct home *h)
{
	if (h->secret_made && h->dir_fd >= 0 && !has_bytes(h, HOME_DATABASE))
		unlinkat(h->dir_fd, SECRET_FILE, 0);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	if (h->dir_fd >= 0)
		close(h->dir_fd);
	h->lock_fd = h->dir_fd = -1;
}

static enum err lock_busy(const struct home *h, int fd, struct err_info *info)
{
	char who[WHO_MAX + 1];
	const ssize_t size = pread(fd, who, WHO_MAX, 0);

	who[size > 0 ? size : 0] = '\0';
	who[strcspn(who, "\n")] = '\0';
	return err_set(info, ERR_BUSY, "%.200s is in use by %s", h->path, who[0] ? who
		: "another process");
}

/* The folder itself is what is locked: it cannot be deleted under its owner as a file in it can. */
enum err home_lock(struct home *h, const char *who, struct err_info *info)
{
	char text[WHO_MAX];
	const int fd = openat(h->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert(h->lock_fd < 0);
	if (fd < 0)
		return err_set_errno(info, "%.300s/" LOCK_FILE, h->path);
	if (flock(h->dir_fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			lock_busy(h, fd, info);
		else
			err_set_errno(info, "%.300s/" LOCK_FILE, h->path);
		close(fd);
		return info->code;
	}
	const int size = snprintf(text, sizeof(text), "%s (process %ld)\n", who, (long)getpid());

	assert(size > 0);
	if (ftruncate(fd, 0) || pwrite(fd, text, strlen(text), 0) < 0) {
		err_set_errno(info, "%.300s/" LOCK_FILE, h->path);
		close(fd);
		return info->code;
	}
	h->lock_fd = fd;
	return ERR_NONE;
}

enum err home_file(const struct home *h, const char *name, char out[PATH_MAX],
	struct err_info *info)
{
	if (file_join(out, PATH_MAX, h->path, name))
		return err_set(info, ERR_LIMIT, "the path of TONGYUN_HOME is too long");
	return ERR_NONE;
}

static enum err secret_make(struct home *h, const char *path, uint8_t out[HOME_SECRET_BYTES],
	struct err_info *info)
{
	prng_system(out, HOME_SECRET_BYTES);
	h->secret_made = file_write_atomic(path, out, HOME_SECRET_BYTES, 0600, info) == ERR_NONE;
	return info->code;
}

static enum err database_lost(const struct home *h, struct err_info *info)
{
	return err_set(info, ERR_INPUT,
		"%.300s: " HOME_DATABASE " is missing or empty, but there was one: restore it, "
		"or move " SECRET_FILE ", " HOME_JOURNAL " and " HOME_JOURNAL_OLD " away "
		"to begin anew, without its tenants, keys and money", h->path);
}

/* *size is 0 when there is none. */
static enum err secret_read(const struct home *h, const char *path, uint8_t out[HOME_SECRET_BYTES],
	ssize_t *size, struct err_info *info)
{
	/* it may be a pipe */
	const int fd = openat(h->dir_fd, SECRET_FILE, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	*size = 0;
	if (fd < 0)
		return errno == ENOENT ? ERR_NONE : err_set_errno(info, "%.300s", path);
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		*size = read(fd, out, HOME_SECRET_BYTES);
	else
		err_set(info, ERR_INPUT, "%.300s: not a regular file", path);
	close(fd);
	return info->code;
}

/* A secret and a database, or neither: one without the other has lost it. */
enum err home_secret(struct home *h, uint8_t out[HOME_SECRET_BYTES], struct err_info *info)
{
	char path[PATH_MAX];
	ssize_t size;

	if (home_file(h, SECRET_FILE, path, info))
		return info->code;
	const bool database = has_bytes(h, HOME_DATABASE);
	if (!database && (has_bytes(h, HOME_JOURNAL) || has_bytes(h, HOME_JOURNAL_OLD)))
		return database_lost(h, info);
	if (!database && !exists(h, SECRET_FILE))
		return secret_make(h, path, out, info);
	if (secret_read(h, path, out, &size, info))
		return info->code;
	if (!database && !h->secret_made)
		return database_lost(h, info);
	if (size != HOME_SECRET_BYTES)
		return err_set(info, ERR_INPUT,
			"%.300s: not %d bytes; without it no key can be recognised", path,
			HOME_SECRET_BYTES);
	return ERR_NONE;
}

/* ---- the administration socket --------------------------------------------------------------- */

/* A socket's address holds 107 bytes; a longer path is reached through the open folder. */
static void socket_address(const struct home *h, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	const int size = snprintf(address->sun_path, sizeof(address->sun_path), "%s/" SOCKET_FILE,
		h->path);
	if (size < 0 || (size_t)size >= sizeof(address->sun_path))
		snprintf(address->sun_path, sizeof(address->sun_path),
			"/proc/self/fd/%d/" SOCKET_FILE, h->dir_fd);
}

enum err home_socket_bind(const struct home *h, int *fd, struct err_info *info)
{
	struct sockaddr_un address;

	assert(h->lock_fd >= 0);
	socket_address(h, &address);
	unlinkat(h->dir_fd, SOCKET_FILE, 0);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_set_errno(info, "the administration socket");
	/* On Linux the socket file gets the mode that the socket had before it was bound: never
	 * open, not for a moment. */
	if (fchmod(*fd, 0600) || bind(*fd, (const struct sockaddr *)&address, sizeof(address))) {
		err_set_errno(info, "%.300s/" SOCKET_FILE, h->path);
		close(*fd);
		return info->code;
	}
	return ERR_NONE;
}

enum err home_socket_connect(const struct home *h, int *fd, struct err_info *info)
{
	struct sockaddr_un address;

	socket_address(h, &address);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_set_errno(info, "the administration socket");
	if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return ERR_NONE;
	if (errno == ENOENT || errno == ECONNREFUSED)
		err_set(info, ERR_NOT_FOUND, "no server runs in %.300s", h->path);
	else
		err_set_errno(info, "%.300s/" SOCKET_FILE, h->path);
	close(*fd);
	return info->code;
}

void home_socket_remove(const struct home *h)
{
	unlinkat(h->dir_fd, SOCKET_FILE, 0);
}
