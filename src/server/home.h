/* server/home.h - the folder where a cloud lives: database, journal, secret, lock, administration
 * socket.
 *
 *   $TONGYUN_HOME  0700
 *     lock          names the server, or the verb, that has the folder locked and the database open
 *     secret        32 random bytes, 0600: what keys are hashed with (rules.md 12)
 *     cloud.db      SQLite, with -wal and -shm beside it
 *     journal       the events that entered the core; journal.old when it had grown large
 *     admin.sock    0600: the verbs' way to a running server (rules.md 13)
 */
#ifndef SERVER_HOME_H
#define SERVER_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HOME_SECRET_BYTES 32
#define HOME_DATABASE     "cloud.db"
#define HOME_JOURNAL      "journal"
#define HOME_JOURNAL_OLD  "journal.old"

struct home {
	char path[PATH_MAX];
	int dir_fd;
	int lock_fd;        /* -1: not held */
	bool secret_made;   /* by home_secret */
};

/* $TONGYUN_HOME, else $XDG_DATA_HOME/tongyun, else ~/.local/share/tongyun (cli.md); not created. */
enum err home_default_path(char *out, size_t size, struct err_info *info) MUST_CHECK;

/* path NULL: the default. Makes it when it is missing. */
enum err home_open(struct home *h, const char *path, struct err_info *info) MUST_CHECK;
/* Gives the lock back. A secret that was made for a database that did not come into being goes with
 * it. Legal after home_open failed, and again; not before it, unless both descriptors are -1. */
void home_close(struct home *h);

/* ERR_BUSY: another process holds it; the text names it by who it said it was. */
enum err home_lock(struct home *h, const char *who, struct err_info *info) MUST_CHECK;

/* The path of a file in it. */
enum err home_file(const struct home *h, const char *name, char out[PATH_MAX],
	struct err_info *info) MUST_CHECK;

/* Made at the first use, before there is a database. ERR_INPUT: it is missing or cut beside a
 * database, whose keys no other secret recognises; or the database is missing or empty, and secret
 * or journal say that there was one: to begin anew without a word would lose the money and open the
 * door (rules.md 10). */
enum err home_secret(struct home *h, uint8_t out[HOME_SECRET_BYTES],
	struct err_info *info) MUST_CHECK;

/* A bound socket in place of any older one; only who holds the lock may. A path of any length will
 * do. */
enum err home_socket_bind(const struct home *h, int *fd, struct err_info *info) MUST_CHECK;
/* ERR_NOT_FOUND: no server listens. */
enum err home_socket_connect(const struct home *h, int *fd, struct err_info *info) MUST_CHECK;
void home_socket_remove(const struct home *h);

#endif
