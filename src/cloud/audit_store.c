/* cloud/audit_store.c - the rows of a store and the facts of the journal, merged into the order
 * that the audit wants.
 *
 *	transactions  --+
 *	open requests --+--> by request, the least first --> audit
 *	usage rows    --+
 *	facts         --+
 *
 * One row of each is in memory at a time.
 */
#include <string.h>

#include "cloud/audit.h"

struct feed {
	struct audit audit;
	struct store_rows *rows;
	struct store_row head[STORE_TABLES];    /* the next row of each table ... */
	bool there[STORE_TABLES];               /* ... if there is one */
	const struct store_fact *fact;
	const struct store_fact *facts_end;
	struct err_info *info;
};

static bool next(struct feed *f, enum store_table table)
{
	return store_rows_next(f->rows, table, &f->head[table], &f->there[table], f->info) ==
		ERR_NONE && f->there[table];
}

/* What the rest refers to. */
static enum err feed_first(struct feed *f)
{
	if (next(f, STORE_TOTALS))
		audit_totals(&f->audit, &f->head[STORE_TOTALS].u.totals);
	while (!f->info->code && next(f, STORE_PRICES))
		(void)!audit_price(&f->audit, &f->head[STORE_PRICES].u.price, f->info);
	while (!f->info->code && next(f, STORE_TENANTS))
		(void)!audit_tenant(&f->audit, &f->head[STORE_TENANTS].u.tenant, f->info);
	while (!f->info->code && next(f, STORE_KEYS))
		audit_key(&f->audit, &f->head[STORE_KEYS].u.key);
	return f->info->code;
}

static const struct store_transaction *transaction_of(const struct feed *f)
{
	return &f->head[STORE_TRANSACTIONS].u.transaction;
}

static void least_take(struct record_request *least, struct record_request other, bool *any)
{
	if (!*any || record_request_compare(other, *least) < 0)
		*least = other;
	*any = true;
}

/* The request that comes next; false: all are fed. */
static bool least_find(const struct feed *f, struct record_request *least)
{
	bool any = false;

	if (f->there[STORE_TRANSACTIONS])
		least_take(least, transaction_of(f)->row.request, &any);
	if (f->there[STORE_OPENS])
		least_take(least, f->head[STORE_OPENS].u.usage.request, &any);
	if (f->there[STORE_USAGES])
		least_take(least, f->head[STORE_USAGES].u.usage.request, &any);
	if (f->fact < f->facts_end)
		least_take(least, f->fact->request, &any);
	return any;
}

static bool usage_is_of(const struct feed *f, enum store_table table, struct record_request request)
{
	return f->there[table] &&
		record_request_compare(f->head[table].u.usage.request, request) == 0;
}

static void transaction_feed(struct feed *f)
{
	audit_transaction(&f->audit, &transaction_of(f)->row, transaction_of(f)->idempotency);
	next(f, STORE_TRANSACTIONS);
}

static void request_feed(struct feed *f, struct record_request request)
{
	while (f->there[STORE_TRANSACTIONS] &&
		record_request_compare(transaction_of(f)->row.request, request) == 0)
		transaction_feed(f);
	for (; usage_is_of(f, STORE_OPENS, request); next(f, STORE_OPENS))
		audit_open(&f->audit, &f->head[STORE_OPENS].u.usage);
	for (; usage_is_of(f, STORE_USAGES, request); next(f, STORE_USAGES))
		audit_usage(&f->audit, &f->head[STORE_USAGES].u.usage);
	for (; f->fact < f->facts_end && record_request_compare(f->fact->request, request) == 0;
		f->fact++)
		audit_fact(&f->audit, f->fact);
}

static enum err feed_all(struct feed *f)
{
	struct record_request request;

	if (feed_first(f))
		return f->info->code;
	next(f, STORE_TRANSACTIONS);
	next(f, STORE_OPENS);
	next(f, STORE_USAGES);
	while (f->there[STORE_TRANSACTIONS] && !transaction_of(f)->row.has_request)
		transaction_feed(f);
	while (!f->info->code && !f->audit.failed && least_find(f, &request))
		request_feed(f, request);
	return f->info->code ? f->info->code : audit_end(&f->audit, f->info);
}

enum err audit_store(struct store *s, const struct store_fact *facts, uint64_t fact_count,
	bool idle, struct err_info *info)
{
	struct err_info own = {0};
	struct feed f = {.fact = facts, .facts_end = facts ? facts + fact_count : NULL,
		.info = &own};

	audit_init(&f.audit, idle);
	if (store_rows_open(s, &f.rows, &own) == ERR_NONE) {
		(void)!feed_all(&f);
		store_rows_close(f.rows);
	}
	audit_close(&f.audit);
	return own.code ? err_set(info, own.code, "%s", own.text) : ERR_NONE;
}
