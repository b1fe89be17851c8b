/* server/store_sqlite_wal.h - what SQLite's write-ahead log could do behind our back: bring back a
 * commit that failed, or take along those that did not.
 *
 * The log is one file, PATH-wal; PATH-shm, its index, says how many of its frames are committed
 * (https://sqlite.org/walformat.html).
 */
#ifndef SERVER_STORE_SQLITE_WAL_H
#define SERVER_STORE_SQLITE_WAL_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"

/* After a commit that failed, by the writer. When the sync fails its frames are in the file all the
 * same, and recovery after a crash would take them for good: they are cut off. */
void sqlite_wal_cut(sqlite3 *db);

/* *inode: 0 before the first call, then the log's. ERR_IO: it was deleted or moved while it was
 * open. What it holds is put into the database then, and what comes later would be lost. */
enum err sqlite_wal_in_place(sqlite3 *db, uint64_t *inode, struct err_info *info) MUST_CHECK;

#endif
