/* server/store_sqlite.c - opening, the tables, and the write path: a group of records is one SQL
 * transaction.
 *
 * Balances are kept beside the entries they are the sum of, so that a start need not add up
 * years; the check does. What a first hold knows of its request waits in open_request until the
 * usage row replaces it.
 */
#include "server/store_sqlite.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/store_sqlite_rows.h"
#include "server/store_sqlite_wal.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x7479756e   /* "tyun", as SCHEMA sets it */
#define BUSY_MS        10000    /* a checkpoint of another connection may be at work */
#define STOP_STEPS     10000    /* of SQLite's machine, between two looks at whether to stop */

#define USAGE_COLUMNS \
	"request TEXT NOT NULL UNIQUE, " \
	"tenant_id INTEGER NOT NULL REFERENCES tenant(id), key_id INTEGER NOT NULL, " \
	"model TEXT NOT NULL, price_version INTEGER NOT NULL, at_ns INTEGER NOT NULL, " \
	"input INTEGER NOT NULL, cached_input INTEGER NOT NULL, output INTEGER NOT NULL, " \
	"reasoning INTEGER NOT NULL, finish TEXT NOT NULL, amount_nano INTEGER NOT NULL"

static const char SCHEMA[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE tenant (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
	"credit_nano INTEGER NOT NULL, requests_per_min INTEGER NOT NULL, "
	"tokens_per_min INTEGER NOT NULL, created_ns INTEGER NOT NULL) STRICT;"
	"CREATE TABLE api_key (id INTEGER PRIMARY KEY, "
	"tenant_id INTEGER NOT NULL REFERENCES tenant(id), name TEXT NOT NULL, "
	"prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, revoked INTEGER NOT NULL, "
	"created_ns INTEGER NOT NULL) STRICT;"
	"CREATE TABLE price (version INTEGER PRIMARY KEY, model TEXT NOT NULL, "
	"from_ns INTEGER NOT NULL, input_nano INTEGER NOT NULL, cached_nano INTEGER NOT NULL, "
	"output_nano INTEGER NOT NULL) STRICT;"
	"CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
	"balance_nano INTEGER NOT NULL) STRICT;"
	"CREATE TABLE ledger (id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, kind TEXT NOT NULL, "
	"tenant_id INTEGER NOT NULL REFERENCES tenant(id), request TEXT, part INTEGER NOT NULL, "
	"idempotency TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE INDEX ledger_request ON ledger (request) WHERE request IS NOT NULL;"
	"CREATE TABLE entry (transaction_id INTEGER NOT NULL REFERENCES ledger(id), "
	"position INTEGER NOT NULL, account_id INTEGER NOT NULL REFERENCES account(id), "
	"amount_nano INTEGER NOT NULL, "
	"PRIMARY KEY (transaction_id, position)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE usage (" USAGE_COLUMNS ") STRICT;"
	"CREATE TABLE open_request (" USAGE_COLUMNS ") STRICT;"
	"INSERT INTO account VALUES (1, 'cash', 0), (2, 'revenue', 0);"
	"PRAGMA application_id = 0x7479756e;"   /* "tyun" */
	"PRAGMA user_version = 1;";

static const char *const WRITES[WRITE_COUNT] = {
	[WRITE_BEGIN] = "BEGIN IMMEDIATE",
	[WRITE_COMMIT] = "COMMIT",
	[WRITE_ROLLBACK] = "ROLLBACK",
	[WRITE_TENANT] = ("INSERT INTO tenant VALUES (?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (id) DO UPDATE SET credit_nano = excluded.credit_nano, "
		"requests_per_min = excluded.requests_per_min, "
		"tokens_per_min = excluded.tokens_per_min"),
	[WRITE_ACCOUNT] = "INSERT INTO account VALUES (?, ?, 0) ON CONFLICT (id) DO NOTHING",
	[WRITE_KEY] = ("INSERT INTO api_key VALUES (?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (id) DO UPDATE SET name = excluded.name, revoked = excluded.revoked"),
	[WRITE_PRICE] = "INSERT INTO price VALUES (?, ?, ?, ?, ?, ?)",
	[WRITE_TRANSACTION] = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
	[WRITE_ENTRY] = "INSERT INTO entry VALUES (?, ?, ?, ?)",
	[WRITE_BALANCE] = "UPDATE account SET balance_nano = balance_nano + ? WHERE id = ?",
	[WRITE_OPEN_REQUEST] =
		"INSERT INTO open_request VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[WRITE_OPEN_REQUEST_END] = "DELETE FROM open_request WHERE request = ?",
	[WRITE_USAGE] = "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

enum err sqlite_error(const struct store_sqlite *s, const char *doing, struct err_info *info)
{
	const int code = sqlite3_errcode(s->db) & 0xff;
	const bool bad_file = code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
	const enum err err = bad_file ? ERR_INPUT
		: code == SQLITE_INTERRUPT ? ERR_CANCELLED : ERR_IO;

	return err_set(info, err, "database: %s: %s", doing, sqlite3_errmsg(s->db));
}

enum err sqlite_prepare(const struct store_sqlite *s, sqlite3_stmt **out, const char *sql,
	struct err_info *info)
{
	if (sqlite3_prepare_v2(s->db, sql, -1, out, NULL) != SQLITE_OK)
		return sqlite_error(s, sql, info);
	return ERR_NONE;
}

static enum err sqlite_run(const struct store_sqlite *s, const char *sql, struct err_info *info)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_error(s, sql, info);
	return ERR_NONE;
}

/* ---- the write path -------------------------------------------------------------------------- */

/* One use of a statement: its columns in order. A binding that fails would leave the last record's
 * value there: the first failure is kept, and the statement is not run. */
struct row_write {
	const struct store_sqlite *store;
	enum sqlite_write which;
	int column;
	int status;
};

static struct row_write row_begin(const struct store_sqlite *s, enum sqlite_write which)
{
	return (struct row_write){.store = s, .which = which, .status = SQLITE_OK};
}

static void bound(struct row_write *w, int status)
{
	if (w->status == SQLITE_OK)
		w->status = status;
}

static void bind_int(struct row_write *w, int64_t value)
{
	bound(w, sqlite3_bind_int64(w->store->writes[w->which], ++w->column, value));
}

/* NULL: the column is null. */
static void bind_text(struct row_write *w, const char *text)
{
	bound(w, sqlite3_bind_text(w->store->writes[w->which], ++w->column, text, -1,
		SQLITE_TRANSIENT));
}

static void bind_blob(struct row_write *w, const void *bytes, int size)
{
	bound(w, sqlite3_bind_blob(w->store->writes[w->which], ++w->column, bytes, size,
		SQLITE_TRANSIENT));
}

/* Runs it; it returns no rows. */
static enum err row_end(const struct row_write *w, struct err_info *info)
{
	sqlite3_stmt *statement = w->store->writes[w->which];
	enum err err = ERR_NONE;

	if (w->status != SQLITE_OK)
		return err_set(info, ERR_IO, "database: %s: %s", WRITES[w->which],
			sqlite3_errstr(w->status));
	assert(w->column == sqlite3_bind_parameter_count(statement));
	if (sqlite3_step(statement) != SQLITE_DONE)
		err = sqlite_error(w->store, WRITES[w->which], info);
	sqlite3_reset(statement);
	return err;
}

static enum err write_plain(const struct store_sqlite *s, enum sqlite_write which,
	struct err_info *info)
{
	const struct row_write w = row_begin(s, which);

	return row_end(&w, info);
}

static enum err write_account(const struct store_sqlite *s, enum record_account account,
	const struct record_tenant *tenant, struct err_info *info)
{
	char name[RECORD_TEXT_BYTES];
	struct row_write w = row_begin(s, WRITE_ACCOUNT);

	record_account_format(name, account, STORE_SERVER_ID, tenant->name);
	bind_int(&w, account_id(account, tenant->id));
	bind_text(&w, name);
	return row_end(&w, info);
}

static enum err write_tenant(const struct store_sqlite *s, const struct record_tenant *t,
	struct err_info *info)
{
	struct row_write w = row_begin(s, WRITE_TENANT);

	bind_int(&w, t->id);
	bind_text(&w, t->name);
	bind_int(&w, t->credit_nano);
	bind_int(&w, t->requests_per_min);
	bind_int(&w, t->tokens_per_min);
	bind_int(&w, t->created_ns);
	if (row_end(&w, info) || write_account(s, RECORD_LEASE, t, info))
		return info->code;
	return write_account(s, RECORD_HELD, t, info);
}

static enum err write_key(const struct store_sqlite *s, const struct record_key *k,
	struct err_info *info)
{
	struct row_write w = row_begin(s, WRITE_KEY);

	bind_int(&w, k->id);
	bind_int(&w, k->tenant_id);
	bind_text(&w, k->name);
	bind_text(&w, k->prefix);
	bind_blob(&w, k->hash, sizeof(k->hash));
	bind_int(&w, k->revoked);
	bind_int(&w, k->created_ns);
	return row_end(&w, info);
}

static enum err write_price(const struct store_sqlite *s, const struct record_price *p,
	struct err_info *info)
{
	struct row_write w = row_begin(s, WRITE_PRICE);

	bind_int(&w, (int64_t)p->version);
	bind_text(&w, p->model);
	bind_int(&w, p->from_ns);
	bind_int(&w, p->input_nano);
	bind_int(&w, p->cached_nano);
	bind_int(&w, p->output_nano);
	return row_end(&w, info);
}

static enum err write_entry(const struct store_sqlite *s, const struct record_transaction *t,
	uint32_t position, struct err_info *info)
{
	const struct record_entry *entry = &t->entries[position];
	const int64_t account = account_id(entry->account, t->tenant_id);
	struct row_write insert = row_begin(s, WRITE_ENTRY), balance = row_begin(s, WRITE_BALANCE);

	bind_int(&insert, (int64_t)t->id);
	bind_int(&insert, position);
	bind_int(&insert, account);
	bind_int(&insert, entry->amount_nano);
	bind_int(&balance, entry->amount_nano);
	bind_int(&balance, account);
	if (row_end(&insert, info))
		return info->code;
	return row_end(&balance, info);
}

static enum err write_transaction(const struct store_sqlite *s, const struct record_transaction *t,
	struct err_info *info)
{
	char request[RECORD_REQUEST_BYTES], idempotency[RECORD_TEXT_BYTES];
	struct row_write w = row_begin(s, WRITE_TRANSACTION);

	assert(t->entry_count >= 2 && t->entry_count <= RECORD_ENTRIES_MAX);
	record_idempotency_format(idempotency, t);
	bind_int(&w, (int64_t)t->id);
	bind_int(&w, t->at_ns);
	bind_text(&w, record_transaction_name(t->kind));
	bind_int(&w, t->tenant_id);
	if (t->has_request)
		record_request_format(request, t->request);
	bind_text(&w, t->has_request ? request : NULL);
	bind_int(&w, t->part);
	bind_text(&w, idempotency);
	if (row_end(&w, info))
		return info->code;
	for (uint32_t i = 0; i < t->entry_count; i++)
		if (write_entry(s, t, i, info))
			return info->code;
	return ERR_NONE;
}

/* The row of a request: while it is open in one table, when it is over in the other. */
static enum err write_usage(const struct store_sqlite *s, const struct record_usage *u,
	struct err_info *info)
{
	const enum sqlite_write which = u->finish == RECORD_FINISH_OPEN ? WRITE_OPEN_REQUEST
		: WRITE_USAGE;
	struct row_write w = row_begin(s, which), end = row_begin(s, WRITE_OPEN_REQUEST_END);
	char request[RECORD_REQUEST_BYTES];

	record_request_format(request, u->request);
	bind_text(&w, request);
	bind_int(&w, u->tenant_id);
	bind_int(&w, u->key_id);
	bind_text(&w, u->model);
	bind_int(&w, (int64_t)u->price_version);
	bind_int(&w, u->at_ns);
	bind_int(&w, u->input);
	bind_int(&w, u->cached_input);
	bind_int(&w, u->output);
	bind_int(&w, u->reasoning);
	bind_text(&w, record_finish_name(u->finish));
	bind_int(&w, u->amount_nano);
	if (row_end(&w, info))
		return info->code;
	if (which == WRITE_OPEN_REQUEST)
		return ERR_NONE;
	bind_text(&end, request);
	return row_end(&end, info);
}

static enum err write_record(const struct store_sqlite *s, const struct record *r,
	struct err_info *info)
{
	switch (r->kind) {
	case RECORD_TRANSACTION:
		if (write_transaction(s, &r->u.money.transaction, info))
			return info->code;
		return r->u.money.has_usage ? write_usage(s, &r->u.money.usage, info) : ERR_NONE;
	case RECORD_TENANT:
		return write_tenant(s, &r->u.tenant, info);
	case RECORD_KEY:
		return write_key(s, &r->u.key, info);
	case RECORD_PRICE:
		return write_price(s, &r->u.price, info);
	case RECORD_RETRY:
		break;
	}
	assert(false);  /* the group keeps no RETRY */
	return ERR_NONE;
}

static enum err write_group(const struct store_sqlite *s, struct err_info *info)
{
	if (write_plain(s, WRITE_BEGIN, info))
		return info->code;
	for (uint64_t at = s->group.begin; at < s->group.end; at++) {
		const struct record *record = store_group_at(&s->group, at);

		if (record && write_record(s, record, info))
			return info->code;
	}
	return write_plain(s, WRITE_COMMIT, info);
}

static void store_sqlite_append(struct store *store, const struct record *record)
{
	store_group_append(&store_sqlite_of(store)->group, record);
}

enum err store_sqlite_in_place(const struct store *store, struct err_info *info)
{
	int moved = 0;

	if (sqlite3_file_control(((const struct store_sqlite *)store)->db, "main",
		SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
		return err_set(info, ERR_IO, "database: its file was deleted or moved away while "
			"it was open");
	return ERR_NONE;
}

static enum err store_sqlite_commit(struct store *store, uint64_t *durable, struct err_info *info)
{
	struct store_sqlite *s = store_sqlite_of(store);

	assert(s->writer);
	if (!store_group_ready(&s->group))
		return ERR_NONE;
	if (store_sqlite_in_place(store, info) == ERR_NONE &&
		sqlite_wal_in_place(s->db, &s->wal_inode, info) == ERR_NONE &&
		write_group(s, info) == ERR_NONE) {
		*durable = store_group_committed(&s->group);
		return ERR_NONE;
	}
	if (!sqlite3_get_autocommit(s->db)) {
		struct err_info ignored = {0};  /* the first error is the one to tell */

		(void)!write_plain(s, WRITE_ROLLBACK, &ignored);
	}
	sqlite_wal_cut(s->db);
	store_group_failed(&s->group);
	return info->code;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void store_sqlite_close(struct store *store)
{
	struct store_sqlite *s = store_sqlite_of(store);

	for (int i = 0; i < WRITE_COUNT; i++)
		sqlite3_finalize(s->writes[i]);
	sqlite3_close(s->db);
	if (s->writer)
		store_group_close(&s->group);
	mem_free(s);
}

static const struct store_ops STORE_SQLITE_OPS = {
	.append = store_sqlite_append,
	.commit = store_sqlite_commit,
	.load = store_sqlite_load,
	.read = store_sqlite_read,
	.rows_open = store_sqlite_rows_open,
	.close = store_sqlite_close,
};

static bool currency_valid(const char *currency)
{
	const size_t size = strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

	return size > 0 && size < STORE_CURRENCY_BYTES && currency[size] == '\0';
}

static enum err meta_currency(struct store_sqlite *s, struct err_info *info)
{
	sqlite3_stmt *statement;

	if (sqlite_prepare(s, &statement, "SELECT value FROM meta WHERE key = 'currency'", info))
		return info->code;
	const char *text = sqlite3_step(statement) == SQLITE_ROW
		? (const char *)sqlite3_column_text(statement, 0) : NULL;
	if (text && currency_valid(text))
		memcpy(s->currency, text, strlen(text) + 1);
	else
		err_set(info, ERR_INPUT, "database: it names no currency");
	sqlite3_finalize(statement);
	return info->code;
}

/* The tables come into being in one transaction with the currency: a crash leaves an empty
 * file or all of it. */
static enum err schema_create(struct store_sqlite *s, const char *currency, struct err_info *info)
{
	char sql[128];

	if (!currency_valid(currency))
		return err_set(info, ERR_INPUT, "currency '%.32s' is not 1 to 8 capital letters",
			currency);
	sqlite3_snprintf(sizeof(sql), sql, "INSERT INTO meta VALUES ('currency', '%q')", currency);
	if (sqlite_run(s, "BEGIN IMMEDIATE", info) || sqlite_run(s, SCHEMA, info) ||
		sqlite_run(s, sql, info))
		return info->code;
	return sqlite_run(s, "COMMIT", info);
}

static enum err number_read(const struct store_sqlite *s, const char *sql, int *out,
	struct err_info *info)
{
	sqlite3_stmt *statement;

	if (sqlite_prepare(s, &statement, sql, info))
		return info->code;
	if (sqlite3_step(statement) == SQLITE_ROW)
		*out = sqlite3_column_int(statement, 0);
	else
		sqlite_error(s, sql, info);
	sqlite3_finalize(statement);
	return info->code;
}

/* Before anything is written, be it the mode of its log: is this ours, or empty?
 * version 0: empty. */
static enum err identity_check(const struct store_sqlite *s, int *version, struct err_info *info)
{
	int application = 0, tables = 0;

	if (number_read(s, "PRAGMA application_id", &application, info) ||
		number_read(s, "PRAGMA user_version", version, info) ||
		number_read(s, "SELECT count(*) FROM sqlite_schema", &tables, info))
		return info->code;
	if (application != APPLICATION_ID && (application != 0 || *version != 0 || tables > 0))
		return err_set(info, ERR_INPUT, "database: it belongs to another program");
	if (*version == SCHEMA_VERSION || (*version == 0 && tables == 0 && s->writer))
		return ERR_NONE;
	return err_set(info, *version > SCHEMA_VERSION ? ERR_UNSUPPORTED : ERR_INPUT,
		"database: its version is %d, this program knows %d", *version, SCHEMA_VERSION);
}

static enum err schema_open(struct store_sqlite *s, int version, const char *currency,
	struct err_info *info)
{
	if (version == 0 && schema_create(s, currency ? currency : "CNY", info))
		return info->code;
	if (meta_currency(s, info))
		return info->code;
	if (currency && strcmp(currency, s->currency) != 0)
		return err_set(info, ERR_INPUT,
			"database: its currency is %s, it cannot become %.32s", s->currency,
			currency);
	return ERR_NONE;
}

static enum err connect(struct store_sqlite *s, const char *path, const char *vfs,
	struct err_info *info)
{
	const int flags = s->writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
		: SQLITE_OPEN_READONLY;

	if (sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, vfs) != SQLITE_OK)
		return sqlite_error(s, path, info);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return ERR_NONE;
}

static enum err writer_set(const struct store_sqlite *s, struct err_info *info)
{
	return sqlite_run(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
		"PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", info);
}

/* SQLite would give a new file to whoever the umask lets; its log and index files get the
 * same mode as this. */
static enum err file_create(const char *path, struct err_info *info)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set_errno(info, "%s", path);
	close(fd);
	return ERR_NONE;
}

static enum err store_sqlite_start(struct store_sqlite *s, const struct store_sqlite_config *config,
	struct err_info *info)
{
	int version = 0;

	if (s->writer && !config->vfs && file_create(config->path, info))
		return info->code;
	if (connect(s, config->path, config->vfs, info) || identity_check(s, &version, info))
		return info->code;
	if ((s->writer && writer_set(s, info)) || schema_open(s, version, config->currency, info))
		return info->code;
	for (int i = 0; s->writer && i < WRITE_COUNT; i++)
		if (sqlite_prepare(s, &s->writes[i], WRITES[i], info))
			return info->code;
	return ERR_NONE;
}

static enum err store_sqlite_new(struct store **out, const struct store_sqlite_config *config,
	bool writer, struct err_info *info)
{
	struct store_sqlite *s = mem_alloc(1, sizeof(*s));

	if (!s)
		return err_set(info, ERR_MEMORY, "%s: no memory", config->path);
	s->store.ops = &STORE_SQLITE_OPS;
	if (writer && store_group_open(&s->group, config->records_max, info)) {
		mem_free(s);
		return info->code;
	}
	s->writer = writer;
	if (store_sqlite_start(s, config, info)) {
		err_prefix(info, "%s", config->path);
		store_sqlite_close(&s->store);
		return info->code;
	}
	*out = &s->store;
	return ERR_NONE;
}

enum err store_sqlite_open(struct store **out, const struct store_sqlite_config *config,
	struct err_info *info)
{
	return store_sqlite_new(out, config, true, info);
}

static int is_stopped(void *stop)
{
	return atomic_load((_Atomic bool *)stop);
}

enum err store_sqlite_reader(struct store **out, const char *path, _Atomic bool *stop,
	struct err_info *info)
{
	const struct store_sqlite_config config = {.path = path};

	if (store_sqlite_new(out, &config, false, info))
		return info->code;
	if (stop)
		sqlite3_progress_handler(store_sqlite_of(*out)->db, STOP_STEPS, is_stopped, stop);
	return ERR_NONE;
}

const char *store_sqlite_currency(const struct store *s)
{
	return ((const struct store_sqlite *)s)->currency;
}
