/* server/store_sqlite_check.c - does everything in the database agree? What SQLite alone can know is asked in SQL, each
 * question a query that finds the first row against it; everything else is cloud/audit, fed in the order it wants.
 */
#include <assert.h>
#include <string.h>

#include "cloud/audit.h"
#include "engine/request.h"
#include "server/store_sqlite_rows.h"

static const struct {
	const char *wrong;
	const char *sql;
} QUESTIONS[] = {
	{"the file is damaged", "SELECT quick_check FROM pragma_quick_check(1) WHERE quick_check <> 'ok'"},
	{"a row refers to one that is not there", "SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check LIMIT 1"},
	{"a transaction has no entries",
		"SELECT id FROM ledger WHERE NOT EXISTS (SELECT 1 FROM entry WHERE transaction_id = ledger.id) LIMIT 1"},
	{"an account is not the sum of its entries",
		"SELECT name FROM account WHERE balance_nano <> "
		"(SELECT ifnull(sum(amount_nano), 0) FROM entry WHERE account_id = account.id) LIMIT 1"},
	{"a transaction touches another tenant's account",
		"SELECT l.id FROM ledger l JOIN entry e ON e.transaction_id = l.id WHERE e.account_id NOT IN "
		"(1, 2, 2 * l.tenant_id + 1, 2 * l.tenant_id + 2) LIMIT 1"},
	{"a request is neither over nor open",
		"SELECT DISTINCT request FROM ledger l WHERE kind = 'hold' AND NOT EXISTS "
		"(SELECT 1 FROM ledger WHERE request = l.request AND kind IN ('settle', 'release')) AND NOT EXISTS "
		"(SELECT 1 FROM open_request WHERE request = l.request) LIMIT 1"},
	{"a request is over and open",
		"SELECT o.request FROM open_request o JOIN ledger l ON l.request = o.request "
		"WHERE l.kind IN ('settle', 'release') LIMIT 1"},
};

static enum err question_ask(const struct store_sqlite *s, size_t i, struct err_info *info)
{
	sqlite3_stmt *statement;

	if (sqlite_prepare(s, &statement, QUESTIONS[i].sql, info))
		return info->code;
	const int result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		err_set(info, ERR_INPUT, "%s: %s", QUESTIONS[i].wrong, (const char *)sqlite3_column_text(statement, 0));
	else if (result != SQLITE_DONE)
		sqlite_error(s, QUESTIONS[i].wrong, info);
	sqlite3_finalize(statement);
	return info->code;
}

/* ---- feeding the audit ---------------------------------------------------------------------------------------- */

/* Transactions, usage rows and facts are three sorted streams that become one: each row first lets pass what
 * comes before it. */
struct feed {
	struct audit *audit;
	struct err_info *info;
	struct sqlite_usage_rows *usage;
	const struct store_fact *facts;
	uint64_t fact_count;
	uint64_t fact_next;
};

static void feed_price(void *context, const struct record_price *row)
{
	struct feed *f = context;

	if (!f->info->code)
		(void)!audit_price(f->audit, row, f->info);
}

static void feed_tenant(void *context, const struct store_tenant *row)
{
	struct feed *f = context;

	if (!f->info->code)
		(void)!audit_tenant(f->audit, row, f->info);
}

static void facts_until(struct feed *f, const struct record_request *request)
{
	while (f->fact_next < f->fact_count &&
		(!request || audit_request_compare(f->facts[f->fact_next].request, *request) < 0))
		audit_fact(f->audit, &f->facts[f->fact_next++]);
}

/* Everything of the requests before this one. */
static void usage_until(struct feed *f, const struct record_request *request)
{
	const struct record_usage *row;

	while ((row = sqlite_usage_peek(f->usage)) && (!request || audit_request_compare(row->request, *request) < 0)) {
		facts_until(f, &row->request);
		audit_usage(f->audit, row);
		sqlite_usage_pass(f->usage);
	}
	facts_until(f, request);
}

static void feed_transaction(void *context, const struct record_transaction *row, const char *tenant)
{
	struct feed *f = context;

	(void)tenant;
	if (f->info->code)
		return;
	if (row->has_request)
		usage_until(f, &row->request);
	audit_transaction(f->audit, row);
}

static enum err feed_all(struct store *store, struct feed *f)
{
	const struct store_filter all = {0};
	const struct store_reader prices = {.context = f, .price = feed_price};
	const struct store_reader tenants = {.context = f, .tenant = feed_tenant};

	if (store_read(store, &all, &prices, f->info) || store_read(store, &all, &tenants, f->info))
		return f->info->code;
	if (sqlite_usage_open(store_sqlite_of(store), &f->usage, f->info))
		return f->info->code;
	const enum err err = sqlite_transactions_by_request(store_sqlite_of(store), feed_transaction, f, f->info);
	if (!err)
		usage_until(f, NULL);
	return sqlite_usage_close(f->usage, f->info);
}

static enum err check_all(struct store *store, const struct store_fact *facts, uint64_t fact_count,
	struct err_info *info)
{
	struct audit audit;
	struct feed feed = {.audit = &audit, .info = info, .facts = facts, .fact_count = fact_count};

	for (size_t i = 0; i < sizeof(QUESTIONS) / sizeof(QUESTIONS[0]); i++)
		if (question_ask(store_sqlite_of(store), i, info))
			return info->code;
	audit_init(&audit);
	if (feed_all(store, &feed) == ERR_NONE)
		(void)!audit_end(&audit, info);
	audit_close(&audit);
	return info->code;
}

enum err store_sqlite_check(struct store *store, const struct store_fact *facts, uint64_t fact_count,
	struct err_info *info)
{
	if (sqlite_snapshot_begin(store_sqlite_of(store), info))
		return info->code;
	const enum err err = check_all(store, facts, fact_count, info);
	sqlite_snapshot_end(store_sqlite_of(store));
	return err;
}
