/* server/store_sqlite_read.c - rows out of the database: what a start loads, what lists show.
 *
 * The file may have been touched by anyone: every text and number is checked against the bounds of
 * its field, and a row that does not fit is an error that names its table and row.
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "server/store_sqlite_rows.h"

/* A row being read: the first thing wrong with it is kept. */
struct row {
	sqlite3_stmt *statement;
	const char *table;
	enum err err;
	struct err_info *info;
};

static void row_bad(struct row *r, int column)
{
	if (r->err == ERR_NONE)
		r->err = err_set(r->info, ERR_INPUT, "database: table %s, row %lld: bad %s",
			r->table, (long long)sqlite3_column_int64(r->statement, 0),
			sqlite3_column_name(r->statement, column));
}

static int64_t row_int(struct row *r, int column, int64_t min, int64_t max)
{
	const int64_t value = sqlite3_column_int64(r->statement, column);

	if (sqlite3_column_type(r->statement, column) == SQLITE_INTEGER && value >= min &&
		value <= max)
		return value;
	row_bad(r, column);
	return min;
}

static int64_t row_count(struct row *r, int column)
{
	return row_int(r, column, 0, INT64_MAX);
}

static int64_t row_amount(struct row *r, int column)
{
	return row_int(r, column, INT64_MIN, INT64_MAX);
}

static uint32_t row_id(struct row *r, int column)
{
	return (uint32_t)row_int(r, column, 0, UINT32_MAX - 1);
}

static void row_text(struct row *r, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(r->statement, column);
	const size_t bytes = (size_t)sqlite3_column_bytes(r->statement, column);

	out[0] = '\0';
	if (!text || bytes >= size || strlen(text) != bytes)
		row_bad(r, column);
	else
		memcpy(out, text, bytes + 1);
}

static void row_request(struct row *r, int column, struct record_request *out)
{
	char text[RECORD_REQUEST_BYTES];

	row_text(r, column, text, sizeof(text));
	if (!record_request_parse(out, text))
		row_bad(r, column);
}

static void row_tenant(struct row *r, struct record_tenant *out)
{
	out->id = row_id(r, 0);
	row_text(r, 1, out->name, sizeof(out->name));
	if (!record_tenant_name_valid(out->name))
		row_bad(r, 1);
	out->credit_nano = row_count(r, 2);
	out->requests_per_min = row_count(r, 3);
	out->tokens_per_min = row_count(r, 4);
	out->created_ns = row_amount(r, 5);
}

static void row_key(struct row *r, struct record_key *out)
{
	out->id = row_id(r, 0);
	out->tenant_id = row_id(r, 1);
	row_text(r, 2, out->name, sizeof(out->name));
	row_text(r, 3, out->prefix, sizeof(out->prefix));
	if (sqlite3_column_bytes(r->statement, 4) == sizeof(out->hash))
		memcpy(out->hash, sqlite3_column_blob(r->statement, 4), sizeof(out->hash));
	else
		row_bad(r, 4);
	out->revoked = row_int(r, 5, 0, 1) != 0;
	out->created_ns = row_amount(r, 6);
}

static void row_price(struct row *r, struct record_price *out)
{
	out->version = (uint64_t)row_count(r, 0);
	row_text(r, 1, out->model, sizeof(out->model));
	out->from_ns = row_amount(r, 2);
	out->input_nano = row_count(r, 3);
	out->cached_nano = row_count(r, 4);
	out->output_nano = row_count(r, 5);
}

#define USAGE_ROW \
	"u.rowid, u.request, u.tenant_id, u.key_id, u.model, u.price_version, u.at_ns, " \
	"u.input, u.cached_input, u.output, u.reasoning, u.finish, u.amount_nano"

static void row_usage(struct row *r, struct record_usage *out)
{
	char finish[16];

	row_request(r, 1, &out->request);
	out->tenant_id = row_id(r, 2);
	out->key_id = row_id(r, 3);
	row_text(r, 4, out->model, sizeof(out->model));
	out->price_version = (uint64_t)row_count(r, 5);
	out->at_ns = row_amount(r, 6);
	out->input = row_count(r, 7);
	out->cached_input = row_count(r, 8);
	out->output = row_count(r, 9);
	out->reasoning = row_count(r, 10);
	row_text(r, 11, finish, sizeof(finish));
	if (!record_finish_parse(&out->finish, finish))
		row_bad(r, 11);
	out->amount_nano = row_count(r, 12);
}

/* Runs sql with up to two texts bound, and take for each row until one is bad. */
static enum err rows_each(const struct store_sqlite *s, const char *table, const char *sql,
	const char *const bind[2], void (*take)(struct row *r, void *context), void *context,
	struct err_info *info)
{
	struct row r = {.table = table, .info = info};
	int result = SQLITE_DONE;

	if (sqlite_prepare(s, &r.statement, sql, info))
		return info->code;
	for (int i = 0; i < 2; i++)
		if (bind[i] && sqlite3_bind_text(r.statement, i + 1, bind[i], -1,
			SQLITE_STATIC) != SQLITE_OK)
			r.err = sqlite_error(s, table, info);
	while (r.err == ERR_NONE && (result = sqlite3_step(r.statement)) == SQLITE_ROW)
		take(&r, context);
	if (r.err == ERR_NONE && result != SQLITE_DONE)
		r.err = sqlite_error(s, table, info);
	sqlite3_finalize(r.statement);
	return r.err;
}

static const char *const NO_BIND[2];

enum err sqlite_snapshot_begin(struct store_sqlite *s, struct err_info *info)
{
	if (s->snapshots == 0 && sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_error(s, "reading as of one moment", info);
	s->snapshots++;
	return ERR_NONE;
}

void sqlite_snapshot_end(struct store_sqlite *s)
{
	assert(s->snapshots > 0);
	if (--s->snapshots == 0)
		/* nothing was written: nothing can go wrong */
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- what a start loads ---------------------------------------------------------------------- */

struct load {
	void (*see)(void *context, const struct core_event *event);
	void *context;
	struct core_event event;
};

static void load_see(struct load *l, const struct row *r)
{
	if (r->err == ERR_NONE)
		l->see(l->context, &l->event);
}

static void load_counters(struct row *r, void *context)
{
	struct load *l = context;

	l->event = (struct core_event){.kind = CORE_LOAD_COUNTERS};
	l->event.u.load_counters.transaction_id_next = (uint64_t)row_int(r, 0, 1, INT64_MAX);
	l->event.u.load_counters.price_version_next = (uint64_t)row_int(r, 1, 1, INT64_MAX);
	l->event.u.load_counters.cash_nano = row_amount(r, 2);
	l->event.u.load_counters.revenue_nano = row_amount(r, 3);
	load_see(l, r);
}

static void load_tenant(struct row *r, void *context)
{
	struct load *l = context;

	l->event = (struct core_event){.kind = CORE_LOAD_TENANT};
	row_tenant(r, &l->event.u.load_tenant.tenant);
	l->event.u.load_tenant.balance_nano = row_amount(r, 6);
	l->event.u.load_tenant.held_nano = row_count(r, 7);
	load_see(l, r);
}

static void load_key(struct row *r, void *context)
{
	struct load *l = context;

	l->event = (struct core_event){.kind = CORE_LOAD_KEY};
	row_key(r, &l->event.u.load_key);
	load_see(l, r);
}

static void load_price(struct row *r, void *context)
{
	struct load *l = context;

	l->event = (struct core_event){.kind = CORE_LOAD_PRICE};
	row_price(r, &l->event.u.load_price);
	load_see(l, r);
}

static void load_cut_off(struct row *r, void *context)
{
	struct load *l = context;

	l->event = (struct core_event){.kind = CORE_LOAD_CUT_OFF};
	row_usage(r, &l->event.u.cut_off.usage);
	l->event.u.cut_off.held_nano = row_count(r, 13);
	load_see(l, r);
}

static const struct {
	const char *table;
	const char *sql;
	void (*take)(struct row *r, void *context);
} LOADS[] = {
	{"meta", "SELECT (SELECT ifnull(max(id), 0) + 1 FROM ledger), (SELECT ifnull(max(version), "
		"0) + 1 FROM price), "
		"(SELECT balance_nano FROM account WHERE id = 1), (SELECT balance_nano FROM "
		"account WHERE id = 2)",
		load_counters},
	{"tenant", "SELECT t.*, l.balance_nano, h.balance_nano FROM tenant t LEFT JOIN account l "
		"ON l.id = 2 * t.id + 1 "
		"LEFT JOIN account h ON h.id = 2 * t.id + 2 ORDER BY t.id", load_tenant},
	{"api_key", "SELECT * FROM api_key ORDER BY id", load_key},
	{"price", "SELECT * FROM price p WHERE version = (SELECT max(version) FROM price WHERE "
		"model = p.model) "
		"ORDER BY version", load_price},
	{"open_request", "SELECT " USAGE_ROW ", (SELECT sum(e.amount_nano) FROM ledger l "
		"JOIN entry e ON e.transaction_id = l.id WHERE l.request = u.request "
		"AND e.account_id = 2 * u.tenant_id + 2) FROM open_request u ORDER BY u.rowid",
		load_cut_off},
};

enum err store_sqlite_load(struct store *store,
	void (*see)(void *context, const struct core_event *event), void *context,
	struct err_info *info)
{
	const struct store_sqlite *s = store_sqlite_of(store);
	struct load load = {.see = see, .context = context};

	for (size_t i = 0; i < sizeof(LOADS) / sizeof(LOADS[0]); i++)
		if (rows_each(s, LOADS[i].table, LOADS[i].sql, NO_BIND, LOADS[i].take, &load, info))
			return info->code;
	return ERR_NONE;
}

/* ---- what lists show ------------------------------------------------------------------------- */

static void read_tenant(struct row *r, void *context)
{
	const struct store_reader *reader = context;
	struct store_tenant tenant = {0};

	row_tenant(r, &tenant.tenant);
	tenant.balance_nano = row_amount(r, 6);
	tenant.held_nano = row_count(r, 7);
	if (r->err == ERR_NONE)
		reader->tenant(reader->context, &tenant);
}

static void read_key(struct row *r, void *context)
{
	const struct store_reader *reader = context;
	struct record_key key = {0};
	char tenant[RECORD_NAME_BYTES];

	row_key(r, &key);
	row_text(r, 7, tenant, sizeof(tenant));
	if (r->err == ERR_NONE)
		reader->key(reader->context, &key, tenant);
}

static void read_price(struct row *r, void *context)
{
	const struct store_reader *reader = context;
	struct record_price price = {0};

	row_price(r, &price);
	if (r->err == ERR_NONE)
		reader->price(reader->context, &price);
}

static void read_usage(struct row *r, void *context)
{
	const struct store_reader *reader = context;
	struct record_usage usage = {0};
	char tenant[RECORD_NAME_BYTES];

	row_usage(r, &usage);
	row_text(r, 13, tenant, sizeof(tenant));
	if (r->err == ERR_NONE)
		reader->usage(reader->context, &usage, tenant);
}

/* A transaction comes as one row per entry; it is told when its last one is here. */
struct transactions {
	const struct store_reader *reader;
	struct record_transaction transaction;
	char tenant[RECORD_NAME_BYTES];
};

static enum record_account account_kind(struct row *r, int column, uint32_t tenant_id)
{
	const int64_t id = row_int(r, column, 1, INT64_MAX);

	for (enum record_account a = RECORD_CASH; a <= RECORD_REVENUE; a++)
		if (account_id(a, tenant_id) == id)
			return a;
	row_bad(r, column);
	return RECORD_CASH;
}

/* Columns 0 to 5; its entries are other rows. */
static void row_transaction(struct row *r, struct record_transaction *t)
{
	char kind[16];

	*t = (struct record_transaction){.id = (uint64_t)row_int(r, 0, 1, INT64_MAX)};
	t->at_ns = row_amount(r, 1);
	row_text(r, 2, kind, sizeof(kind));
	if (!record_transaction_kind_parse(&t->kind, kind))
		row_bad(r, 2);
	t->tenant_id = row_id(r, 3);
	t->has_request = sqlite3_column_type(r->statement, 4) != SQLITE_NULL;
	if (t->has_request)
		row_request(r, 4, &t->request);
	t->part = row_id(r, 5);
}

/* Columns 7 to 9: the next entry of the transaction. */
static void row_entry(struct row *r, struct record_transaction *t)
{
	const uint32_t at = (uint32_t)row_int(r, 7, 0, RECORD_ENTRIES_MAX - 1);

	if (at != t->entry_count)
		row_bad(r, 7);
	if (r->err != ERR_NONE)
		return;
	t->entries[at].account = account_kind(r, 8, t->tenant_id);
	t->entries[at].amount_nano = row_amount(r, 9);
	t->entry_count++;
}

static void read_entry(struct row *r, void *context)
{
	struct transactions *all = context;
	struct record_transaction *t = &all->transaction;

	if (t->id != (uint64_t)sqlite3_column_int64(r->statement, 0)) {
		row_transaction(r, t);
		row_text(r, 6, all->tenant, sizeof(all->tenant));
	}
	row_entry(r, t);
	if (r->err == ERR_NONE && t->entry_count == row_int(r, 10, 1, RECORD_ENTRIES_MAX))
		all->reader->transaction(all->reader->context, t, all->tenant);
}

static const char READ_TENANTS[] =
	"SELECT t.*, l.balance_nano, h.balance_nano FROM tenant t "
	"LEFT JOIN account l ON l.id = 2 * t.id + 1 LEFT JOIN account h ON h.id = 2 * t.id + 2 "
	"WHERE ?1 IS NULL OR t.name = ?1 ORDER BY t.id";
static const char READ_KEYS[] =
	"SELECT k.*, t.name FROM api_key k JOIN tenant t ON t.id = k.tenant_id "
	"WHERE ?1 IS NULL OR t.name = ?1 ORDER BY k.id";
static const char READ_PRICES[] = "SELECT * FROM price ORDER BY version";
static const char READ_USAGE[] =
	"SELECT " USAGE_ROW ", t.name FROM usage u JOIN tenant t ON t.id = u.tenant_id "
	"WHERE (?1 IS NULL OR t.name = ?1) AND (?2 IS NULL OR u.request = ?2) ORDER BY u.rowid";
static const char READ_ENTRIES[] =
	"SELECT l.id, l.at_ns, l.kind, l.tenant_id, l.request, l.part, t.name, "
	"e.position, e.account_id, e.amount_nano, "
	"(SELECT count(*) FROM entry WHERE transaction_id = l.id) "
	"FROM ledger l JOIN tenant t ON t.id = l.tenant_id JOIN entry e ON e.transaction_id = l.id "
	"WHERE (?1 IS NULL OR t.name = ?1) AND (?2 IS NULL OR l.request = ?2) "
	"ORDER BY l.id, e.position";

enum err store_sqlite_read(struct store *store, const struct store_filter *filter,
	const struct store_reader *reader, struct err_info *info)
{
	struct store_sqlite *s = store_sqlite_of(store);
	struct transactions transactions = {.reader = reader};
	char request[RECORD_REQUEST_BYTES];
	const char *bind[2] = {filter->tenant, NULL};
	const char *tenant_only[2] = {filter->tenant, NULL};
	/* only read behind it */
	union { const struct store_reader *in; void *out; } pass = {.in = reader};
	enum err err = ERR_NONE;

	if (filter->request) {
		record_request_format(request, *filter->request);
		bind[1] = request;
	}
	if (sqlite_snapshot_begin(s, info))
		return info->code;
	if (reader->tenant)
		err = rows_each(s, "tenant", READ_TENANTS, tenant_only, read_tenant, pass.out,
			info);
	if (err == ERR_NONE && reader->key)
		err = rows_each(s, "api_key", READ_KEYS, tenant_only, read_key, pass.out, info);
	if (err == ERR_NONE && reader->price)
		err = rows_each(s, "price", READ_PRICES, NO_BIND, read_price, pass.out, info);
	if (err == ERR_NONE && reader->usage)
		err = rows_each(s, "usage", READ_USAGE, bind, read_usage, pass.out, info);
	if (err == ERR_NONE && reader->transaction)
		err = rows_each(s, "ledger", READ_ENTRIES, bind, read_entry, &transactions, info);
	sqlite_snapshot_end(s);
	return err;
}

/* ---- all rows, for who checks them (cloud/audit.h) ------------------------------------------- */

static void take_totals(struct row *r, struct store_row *out)
{
	out->u.totals.cash_nano = row_amount(r, 0);
	out->u.totals.revenue_nano = row_amount(r, 1);
}

static void take_price(struct row *r, struct store_row *out)
{
	row_price(r, &out->u.price);
}

static void take_tenant(struct row *r, struct store_row *out)
{
	row_tenant(r, &out->u.tenant.tenant);
	out->u.tenant.balance_nano = row_amount(r, 6);
	out->u.tenant.held_nano = row_amount(r, 7);
}

static void take_key(struct row *r, struct store_row *out)
{
	row_key(r, &out->u.key);
}

static void take_transaction(struct row *r, struct store_row *out)
{
	row_transaction(r, &out->u.transaction.row);
	row_text(r, 6, out->u.transaction.idempotency, sizeof(out->u.transaction.idempotency));
}

static void take_usage(struct row *r, struct store_row *out)
{
	row_usage(r, &out->u.usage);
}

/* A row for each entry, and one for a transaction that has none. Each order is that of an index, so
 * nothing is sorted. */
#define TRANSACTION_ROWS \
	"SELECT l.id, l.at_ns, l.kind, l.tenant_id, l.request, l.part, l.idempotency, " \
	"e.position, e.account_id, e.amount_nano " \
	"FROM ledger l LEFT JOIN entry e ON e.transaction_id = l.id "

static const struct {
	const char *name;
	const char *sql[2];     /* one after the other */
	void (*take)(struct row *r, struct store_row *out);
} TABLES[STORE_TABLES] = {
	[STORE_TOTALS] = {"account", {
		"SELECT (SELECT balance_nano FROM account WHERE id = 1) AS cash, "
		"(SELECT balance_nano FROM account WHERE id = 2) AS revenue"}, take_totals},
	[STORE_PRICES] = {"price", {READ_PRICES}, take_price},
	[STORE_TENANTS] = {"tenant", {READ_TENANTS}, take_tenant},
	[STORE_KEYS] = {"api_key", {"SELECT * FROM api_key ORDER BY id"}, take_key},
	[STORE_TRANSACTIONS] = {"ledger", {
		TRANSACTION_ROWS "WHERE l.request IS NULL ORDER BY l.id, e.position",
		TRANSACTION_ROWS "WHERE l.request IS NOT NULL "
		"ORDER BY l.request, l.id, e.position"}, take_transaction},
	[STORE_OPENS] = {"open_request", {
		"SELECT " USAGE_ROW " FROM open_request u ORDER BY u.request"}, take_usage},
	[STORE_USAGES] = {"usage", {
		"SELECT " USAGE_ROW " FROM usage u ORDER BY u.request"}, take_usage},
};

/* A table being read. */
struct cursor {
	sqlite3_stmt *statement;    /* stands on the row that comes next ... */
	bool there;                 /* ... if there is one */
	bool begun;
	uint32_t sql_next;
};

struct sqlite_rows {
	struct store_rows rows;     /* first */
	struct store_sqlite *store;
	struct cursor cursors[STORE_TABLES];
};

/* To the next row of the table: of this statement, or of the one that follows it. */
static enum err cursor_step(struct sqlite_rows *rows, enum store_table table, struct err_info *info)
{
	const size_t count = sizeof(TABLES[table].sql) / sizeof(TABLES[table].sql[0]);
	struct cursor *c = &rows->cursors[table];

	c->begun = true;
	c->there = false;
	while (c->statement || (c->sql_next < count && TABLES[table].sql[c->sql_next])) {
		if (!c->statement && sqlite_prepare(rows->store, &c->statement,
			TABLES[table].sql[c->sql_next++], info))
			return info->code;
		const int result = sqlite3_step(c->statement);
		c->there = result == SQLITE_ROW;
		if (c->there)
			return ERR_NONE;
		if (result != SQLITE_DONE)
			return sqlite_error(rows->store, TABLES[table].name, info);
		sqlite3_finalize(c->statement);
		c->statement = NULL;
	}
	return ERR_NONE;
}

/* Leaves the cursor on the first row of the next transaction. */
static enum err entries_take(struct sqlite_rows *rows, struct row *r, struct record_transaction *t)
{
	struct cursor *c = &rows->cursors[STORE_TRANSACTIONS];

	while (r->err == ERR_NONE && c->there &&
		(uint64_t)sqlite3_column_int64(c->statement, 0) == t->id) {
		r->statement = c->statement;
		if (sqlite3_column_type(c->statement, 7) != SQLITE_NULL)
			row_entry(r, t);
		if (r->err == ERR_NONE)
			r->err = cursor_step(rows, STORE_TRANSACTIONS, r->info);
	}
	return r->err;
}

static enum err sqlite_rows_next(struct store_rows *base, enum store_table table,
	struct store_row *out, bool *there, struct err_info *info)
{
	struct sqlite_rows *rows = (struct sqlite_rows *)base;
	struct cursor *c = &rows->cursors[table];

	if (!c->begun && cursor_step(rows, table, info))
		return info->code;
	if (!c->there)
		return ERR_NONE;
	struct row r = {.statement = c->statement, .table = TABLES[table].name, .info = info};
	TABLES[table].take(&r, out);
	if (table == STORE_TRANSACTIONS)
		entries_take(rows, &r, &out->u.transaction.row);
	else if (r.err == ERR_NONE)
		r.err = cursor_step(rows, table, info);
	*there = r.err == ERR_NONE;
	return r.err;
}

static void sqlite_rows_close(struct store_rows *base)
{
	struct sqlite_rows *rows = (struct sqlite_rows *)base;

	for (int table = 0; table < STORE_TABLES; table++)
		sqlite3_finalize(rows->cursors[table].statement);
	sqlite_snapshot_end(rows->store);
	mem_free(rows);
}

/* What only SQLite can know: that the file is one, that its indices are those of its rows. */
static enum err file_check(const struct store_sqlite *s, const char *wrong, const char *sql,
	struct err_info *info)
{
	sqlite3_stmt *statement;

	if (sqlite_prepare(s, &statement, sql, info))
		return info->code;
	const int result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		err_set(info, ERR_INPUT, "database: %s: %s", wrong,
			(const char *)sqlite3_column_text(statement, 0));
	else if (result != SQLITE_DONE)
		sqlite_error(s, wrong, info);
	sqlite3_finalize(statement);
	return info->code;
}

enum err store_sqlite_rows_open(struct store *store, struct store_rows **out, struct err_info *info)
{
	static const struct store_rows_ops ops = {sqlite_rows_next, sqlite_rows_close};
	struct sqlite_rows *rows = mem_alloc(1, sizeof(*rows));

	if (!rows)
		return err_set(info, ERR_MEMORY, "no memory for the check");
	rows->rows.ops = &ops;
	rows->store = store_sqlite_of(store);
	if (sqlite_snapshot_begin(rows->store, info)) {
		mem_free(rows);
		return info->code;
	}
	if (file_check(rows->store, "the file is damaged",
		    "SELECT integrity_check FROM pragma_integrity_check(1) "
		    "WHERE integrity_check <> 'ok'", info) ||
		file_check(rows->store, "a row refers to one that is not there",
			"SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check LIMIT 1",
			info)) {
		sqlite_rows_close(&rows->rows);
		return info->code;
	}
	*out = &rows->rows;
	return ERR_NONE;
}
