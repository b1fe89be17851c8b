/* server/store_sqlite.h - the store in SQLite: one file, its write-ahead log, group commit
 * (cloud/store.h).
 *
 *	store_sqlite_open    the one writer; also loads, reads and checks
 *	store_sqlite_reader  another connection, read-only: reports beside a writer (read, check)
 *
 * A connection is used by one thread at a time. synchronous=FULL: a commit that returned survives
 * loss of power (rules.md 18).
 */
#ifndef SERVER_STORE_SQLITE_H
#define SERVER_STORE_SQLITE_H

#include "cloud/store.h"

#define STORE_CURRENCY_BYTES 9      /* [A-Z0-9]{1,8}, terminated */
#define STORE_SERVER_ID      1      /* of "lease/<server>/<tenant>": this database has one server */

struct store_sqlite_config {
	const char *path;
	const char *currency;       /* for a new database, NULL: CNY; for an old one it must be
				     * NULL or the same */
	uint32_t records_max;       /* as core_limits has it */
	const char *vfs;            /* NULL: the system's; tests name one that loses what
				     * was not synced */
};

/* ERR_INPUT: not such a database, or it holds what no tongyun wrote.
 * ERR_UNSUPPORTED: of a newer one. */
enum err store_sqlite_open(struct store **out, const struct store_sqlite_config *config,
	struct err_info *info)
	MUST_CHECK;
/* While *stop is set, by any thread, reading fails with ERR_CANCELLED. NULL: nobody does. */
enum err store_sqlite_reader(struct store **out, const char *path, _Atomic bool *stop,
	struct err_info *info) MUST_CHECK;

/* ERR_IO: the file was deleted, moved or replaced while it was open, and what is written will not
 * be found again. A commit fails by it too. */
enum err store_sqlite_in_place(const struct store *s, struct err_info *info) MUST_CHECK;

/* For as long as the store is open. */
const char *store_sqlite_currency(const struct store *s);

#endif
