/* cloud/store.h - the seam to what remembers: ledger, usage, tenants, keys, prices.
 *
 * Two sides: SQLite in server/, memory with injected faults here (store_memory.h). One thread
 * writes.
 *
 * Promises about money:
 *  1. Records are kept in the order of their sequence. What is durable is always a beginning of
 *     that order, less the records that were replaced: a crash leaves no hole.
 *  2. store_commit makes everything appended before it durable as one group, or nothing of it. True
 *     means: it survives loss of power (SQLite: WAL, synchronous=FULL; rules.md 18).
 *  3. After a commit that failed the store keeps the group and commits nothing until a
 *     RECORD_RETRY is appended. Meanwhile it goes on taking records; one with replaces != 0
 *     removes that record from the group. So a settle whose answer has ended with an error can
 *     never become durable.
 *  4. It never refuses an append: the core keeps at most records_max of them not durable.
 *  5. A transaction's idempotency key (record_idempotency_format) is unique; a second one is a
 *     broken invariant of the core, and the commit fails.
 *  6. A transaction and the usage row in the same record become durable together.
 *
 * The store thread: take records from the ring, store_append each; when the ring is empty or the
 * group is large enough, or one is awaited, store_commit; then tell the core STORED or
 * STORE_FAILED.
 */
#ifndef CLOUD_STORE_H
#define CLOUD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/core.h"
#include "cloud/record.h"

/* Which rows a list shows; all conditions must hold. */
struct store_filter {
	const char *tenant;                     /* name, or NULL: all */
	const struct record_request *request;   /* or NULL: all */
};

struct store_tenant {
	struct record_tenant tenant;
	int64_t balance_nano;                   /* of its lease: what is not held (rules.md 15) */
	int64_t held_nano;
};

/* Called once per row, oldest first; texts are valid during the call. NULL: not wanted. */
struct store_reader {
	void *context;
	void (*tenant)(void *context, const struct store_tenant *row);
	void (*key)(void *context, const struct record_key *row, const char *tenant);
	void (*price)(void *context, const struct record_price *row);   /* all versions */
	void (*usage)(void *context, const struct record_usage *row, const char *tenant);
	void (*transaction)(void *context, const struct record_transaction *row,
		const char *tenant);    /* "" where the transaction has no tenant */
};

/* What the journal knows of one request: tokens sampled for it, at least (journal.h). */
struct store_fact {
	struct record_request request;
	int64_t tokens;
	/* the journal has seen the front's last word on it: usage may not exceed tokens */
	bool complete;
};

/* ---- all rows, for who checks them (audit.h) ------------------------------------------------- */

/* Each table is read in an order of its own. */
enum store_table {
	STORE_TOTALS,           /* one row */
	STORE_PRICES,           /* all versions, ascending */
	STORE_TENANTS,          /* by id */
	STORE_KEYS,             /* by id */
	STORE_TRANSACTIONS,     /* those without a request, by id; then by request and id */
	STORE_OPENS,            /* by request: the usage rows of those that are not over */
	STORE_USAGES,           /* by request */
	STORE_TABLES
};

/* Balances as they are kept beside the entries they are the sum of. */
struct store_totals {
	int64_t cash_nano;
	int64_t revenue_nano;
};

struct store_transaction {
	struct record_transaction row;
	/* as it was kept; "" where the store keeps none beside the row it follows from */
	char idempotency[RECORD_TEXT_BYTES];
};

struct store_row {
	union {
		struct store_totals totals;
		struct record_price price;
		struct store_tenant tenant;
		struct record_key key;
		struct store_transaction transaction;
		struct record_usage usage;      /* OPENS, USAGES */
	} u;
};

/* All tables as of one moment. A store has its own behind it. */
struct store_rows {
	const struct store_rows_ops *ops;
};

struct store_rows_ops {
	enum err (*next)(struct store_rows *rows, enum store_table table, struct store_row *out,
		bool *there, struct err_info *info);
	void (*close)(struct store_rows *rows);
};

struct store;

/* Takes one boot event. */
typedef void store_see(void *context, const struct core_event *event);

struct store_ops {
	/* Copies the record into the group that is not durable yet; also after a failed commit,
	 * while the store waits for RETRY. */
	void (*append)(struct store *s, const struct record *record);
	/* Nothing to commit, or waiting for RETRY: ERR_NONE and *durable as it was. On failure
	 * everything since *durable is kept but not durable. */
	enum err (*commit)(struct store *s, uint64_t *durable, struct err_info *info);
	/* The boot events, in the order that core.h asks for, without READY; dates are 0. A
	 * request cut off has tokens 0: who knows the journal puts them in before passing it on. */
	enum err (*load)(struct store *s, store_see *see, void *context, struct err_info *info);
	/* Durable rows only. */
	enum err (*read)(struct store *s, const struct store_filter *filter,
		const struct store_reader *reader, struct err_info *info);
	/* ERR_INPUT: what keeps them is damaged. No commit while rows are open. */
	enum err (*rows_open)(struct store *s, struct store_rows **out, struct err_info *info);
	/* What is not committed is lost. Frees. */
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
};

static inline void store_append(struct store *s, const struct record *record)
{
	s->ops->append(s, record);
}

static inline enum err MUST_CHECK store_commit(struct store *s, uint64_t *durable,
	struct err_info *info)
{
	return s->ops->commit(s, durable, info);
}

static inline enum err MUST_CHECK store_load(struct store *s, store_see *see, void *context,
	struct err_info *info)
{
	return s->ops->load(s, see, context, info);
}

static inline enum err MUST_CHECK store_read(struct store *s, const struct store_filter *filter,
	const struct store_reader *reader, struct err_info *info)
{
	return s->ops->read(s, filter, reader, info);
}

static inline enum err MUST_CHECK store_rows_open(struct store *s, struct store_rows **out,
	struct err_info *info)
{
	return s->ops->rows_open(s, out, info);
}

/* The next row of a table, durable ones only; *there is false after the last and on an error. */
static inline enum err MUST_CHECK store_rows_next(struct store_rows *rows, enum store_table table,
	struct store_row *out, bool *there, struct err_info *info)
{
	*there = false;
	return rows->ops->next(rows, table, out, there, info);
}

static inline void store_rows_close(struct store_rows *rows)
{
	if (rows)
		rows->ops->close(rows);
}

static inline void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

#endif
