/* server/store_sqlite_rows.h - private to store_sqlite*.c: the connection, its tables, binding and
 * reading of rows. */
#ifndef SERVER_STORE_SQLITE_ROWS_H
#define SERVER_STORE_SQLITE_ROWS_H

#include <sqlite3.h>

#include "cloud/store_group.h"
#include "server/store_sqlite.h"

/* Statements of the write path, prepared once. */
enum sqlite_write {
	WRITE_BEGIN,
	WRITE_COMMIT,
	WRITE_ROLLBACK,
	WRITE_TENANT,
	WRITE_ACCOUNT,
	WRITE_KEY,
	WRITE_PRICE,
	WRITE_TRANSACTION,
	WRITE_ENTRY,
	WRITE_BALANCE,
	WRITE_OPEN_REQUEST,
	WRITE_OPEN_REQUEST_END,
	WRITE_USAGE,
	WRITE_COUNT
};

struct store_sqlite {
	struct store store;     /* first: a store is a store_sqlite */
	sqlite3 *db;
	sqlite3_stmt *writes[WRITE_COUNT];
	struct store_group group;
	bool writer;
	uint32_t snapshots;     /* reads that share one moment */
	uint64_t wal_inode;     /* sqlite_wal_in_place's */
	char currency[STORE_CURRENCY_BYTES];
};

static inline struct store_sqlite *store_sqlite_of(struct store *s)
{
	return (struct store_sqlite *)s;
}

/* Accounts by number: cash 1, revenue 2, then two for each tenant. */
#define ACCOUNT_CASH    1
#define ACCOUNT_REVENUE 2

static inline int64_t account_id(enum record_account account, uint32_t tenant_id)
{
	switch (account) {
	case RECORD_CASH:
		return ACCOUNT_CASH;
	case RECORD_REVENUE:
		return ACCOUNT_REVENUE;
	case RECORD_LEASE:
		return 2 * (int64_t)tenant_id + 1;
	case RECORD_HELD:
		return 2 * (int64_t)tenant_id + 2;
	}
	return 0;
}

/* "doing: <SQLite's text>" as ERR_IO (ERR_INPUT for what is not a database, ERR_CANCELLED). */
enum err sqlite_error(const struct store_sqlite *s, const char *doing, struct err_info *info);
enum err sqlite_prepare(const struct store_sqlite *s, sqlite3_stmt **out, const char *sql,
	struct err_info *info)
	MUST_CHECK;

/* Lists and checks read all their tables as of one moment; they may be nested. */
enum err sqlite_snapshot_begin(struct store_sqlite *s, struct err_info *info) MUST_CHECK;
void sqlite_snapshot_end(struct store_sqlite *s);

enum err store_sqlite_load(struct store *s,
	void (*see)(void *context, const struct core_event *event), void *context,
	struct err_info *info) MUST_CHECK;
enum err store_sqlite_read(struct store *s, const struct store_filter *filter,
	const struct store_reader *reader, struct err_info *info) MUST_CHECK;
enum err store_sqlite_rows_open(struct store *s, struct store_rows **out,
	struct err_info *info) MUST_CHECK;

#endif
