/* cloud/store_memory.c - see store_memory.h.
 *
 * Rows are arrays that grow; balances are kept as rows are committed, as SQL would. A commit first
 * makes room for all its rows, so that it can fail only before it has changed anything.
 */
#include "cloud/store_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/prng.h"
#include "cloud/index.h"
#include "cloud/store_group.h"

#define PER_MILLION 1000000

struct rows {
	void *data;
	uint32_t count;
	uint32_t capacity;
	size_t size;            /* of one */
};

struct store_memory {
	struct store store;     /* first */
	struct store_memory_config config;
	struct store_group group;
	uint64_t commits;
	uint32_t fail_per_million;
	struct rows transactions;
	struct index idempotency;       /* of transactions, by their key */
	struct rows usages;
	struct rows opens;      /* struct record_usage of requests that are not over */
	struct rows keys;
	struct rows prices;
	struct store_tenant *tenants;   /* [tenants_max] by id - 1 */
	uint32_t tenant_count;
	int64_t cash_nano;
	int64_t revenue_nano;
};

static struct store_memory *memory_of(struct store *s)
{
	return (struct store_memory *)s;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool rows_reserve(struct rows *r, uint32_t more)
{
	uint32_t capacity = r->capacity == 0 ? 64 : r->capacity;

	while (capacity < r->count + more)
		capacity *= 2;
	if (capacity == r->capacity)
		return true;
	void *data = mem_resize(r->data, capacity, r->size);

	if (!data)
		return false;
	r->data = data;
	r->capacity = capacity;
	return true;
}

static void rows_add(struct rows *r, const void *row)
{
	assert(r->count < r->capacity);
	memcpy((char *)r->data + r->count++ * r->size, row, r->size);
}

static void *rows_at(const struct rows *r, uint32_t at)
{
	assert(at < r->count);
	return (char *)r->data + at * r->size;
}

/* ---- idempotency keys (store.h 5) ------------------------------------------------------------ */

static const struct record_transaction *transaction_at(const struct store_memory *m, uint32_t at)
{
	return rows_at(&m->transactions, at);
}

static bool key_is_new(const struct store_memory *m, const char *key, uint64_t hash)
{
	uint32_t at = index_find(&m->idempotency, hash);
	uint32_t row;
	char other[RECORD_TEXT_BYTES];

	for (; (row = index_row(&m->idempotency, at)) != INDEX_NONE;
		at = index_next(&m->idempotency, at)) {
		record_idempotency_format(other, transaction_at(m, row));
		if (strcmp(other, key) == 0)
			return false;
	}
	return true;
}

/* The row is there; false when another has its key. */
static bool key_add(struct store_memory *m, uint32_t row)
{
	char key[RECORD_TEXT_BYTES];

	record_idempotency_format(key, transaction_at(m, row));
	const uint64_t hash = hash_bytes(key, strlen(key), 0);

	if (!key_is_new(m, key, hash))
		return false;
	index_add(&m->idempotency, hash, row);
	return true;
}

static void keys_again(struct store_memory *m)
{
	m->idempotency.count = 0;
	memset(m->idempotency.places, 0, (m->idempotency.mask + 1) * sizeof(uint32_t));
	for (uint32_t row = 0; row < m->transactions.count; row++) {
		const bool added = key_add(m, row);

		assert(added);
	}
}

/* Room for more transactions and their keys. */
static bool transactions_reserve(struct store_memory *m, uint32_t more)
{
	if (!rows_reserve(&m->transactions, more))
		return false;
	const uint32_t places = index_places(m->transactions.capacity);

	if (m->idempotency.places && m->idempotency.mask == places - 1)
		return true;
	uint32_t *larger = mem_alloc(places, sizeof(*larger));

	if (!larger)
		return false;
	mem_free(m->idempotency.places);
	m->idempotency = (struct index){.places = larger, .mask = places - 1};
	keys_again(m);
	return true;
}

/* ---- commit ---------------------------------------------------------------------------------- */

static void add_checked(int64_t *sum, int64_t amount_nano)
{
	const bool fits = math_add_i64(*sum, amount_nano, sum);

	assert(fits);
}

static void post(struct store_memory *m, struct store_tenant *tenant,
	const struct record_entry *entry)
{
	switch (entry->account) {
	case RECORD_CASH:
		add_checked(&m->cash_nano, entry->amount_nano);
		break;
	case RECORD_LEASE:
		add_checked(&tenant->balance_nano, entry->amount_nano);
		break;
	case RECORD_HELD:
		add_checked(&tenant->held_nano, entry->amount_nano);
		break;
	case RECORD_REVENUE:
		add_checked(&m->revenue_nano, entry->amount_nano);
		break;
	}
}

static void open_remove(struct store_memory *m, struct record_request request)
{
	for (uint32_t i = 0; i < m->opens.count; i++) {
		const struct record_usage *open = rows_at(&m->opens, i);

		if (record_request_compare(open->request, request) == 0) {
			m->opens.count--;
			memmove((char *)m->opens.data + i * m->opens.size,
				(char *)m->opens.data + (i + 1) * m->opens.size,
				(m->opens.count - i) * m->opens.size);
			return;
		}
	}
}

static void money_commit(struct store_memory *m, const struct record *record)
{
	const struct record_transaction *t = &record->u.money.transaction;
	const struct record_usage *usage = &record->u.money.usage;

	assert(t->tenant_id > 0 && t->tenant_id <= m->tenant_count);
	for (uint32_t i = 0; i < t->entry_count; i++)
		post(m, &m->tenants[t->tenant_id - 1], &t->entries[i]);
	if (!record->u.money.has_usage)
		return;
	if (usage->finish == RECORD_FINISH_OPEN) {
		rows_add(&m->opens, usage);
	} else {
		rows_add(&m->usages, usage);
		open_remove(m, usage->request);
	}
}

static void key_commit(struct store_memory *m, const struct record_key *key)
{
	if (key->id <= m->keys.count)
		*(struct record_key *)rows_at(&m->keys, key->id - 1) = *key;
	else
		rows_add(&m->keys, key);
}

static void record_commit(struct store_memory *m, const struct record *record)
{
	switch (record->kind) {
	case RECORD_TRANSACTION:
		money_commit(m, record);
		break;
	case RECORD_TENANT:
		assert(record->u.tenant.id <= m->config.tenants_max);
		m->tenants[record->u.tenant.id - 1].tenant = record->u.tenant;
		if (record->u.tenant.id > m->tenant_count)
			m->tenant_count = record->u.tenant.id;
		break;
	case RECORD_KEY:
		key_commit(m, &record->u.key);
		break;
	case RECORD_PRICE:
		rows_add(&m->prices, &record->u.price);
		break;
	case RECORD_RETRY:
		break;
	}
}

static bool commit_fails(struct store_memory *m)
{
	const uint32_t more = (uint32_t)(m->group.end - m->group.begin);
	const uint64_t chance = prng_hash(m->config.seed, m->commits++) % PER_MILLION;

	return chance < m->fail_per_million ||
		!transactions_reserve(m, more) || !rows_reserve(&m->usages, more) ||
		!rows_reserve(&m->opens, more) || !rows_reserve(&m->keys, more) ||
		!rows_reserve(&m->prices, more);
}

/* The group's transactions, all of them or, when one was there already, none. */
static bool transactions_commit(struct store_memory *m)
{
	const uint32_t before = m->transactions.count;

	for (uint64_t sequence = m->group.begin; sequence < m->group.end; sequence++) {
		const struct record *record = store_group_at(&m->group, sequence);

		if (!record || record->kind != RECORD_TRANSACTION)
			continue;
		rows_add(&m->transactions, &record->u.money.transaction);
		if (!key_add(m, m->transactions.count - 1)) {
			m->transactions.count = before;
			keys_again(m);
			return false;
		}
	}
	return true;
}

static enum err memory_commit(struct store *s, uint64_t *durable, struct err_info *info)
{
	struct store_memory *m = memory_of(s);

	if (!store_group_ready(&m->group))
		return ERR_NONE;
	if (commit_fails(m)) {
		store_group_failed(&m->group);
		return err_set(info, ERR_IO, "store: the commit failed");
	}
	if (!transactions_commit(m)) {
		store_group_failed(&m->group);
		return err_set(info, ERR_INPUT, "store: a transaction is there already");
	}
	for (uint64_t sequence = m->group.begin; sequence < m->group.end; sequence++) {
		const struct record *record = store_group_at(&m->group, sequence);

		if (record)
			record_commit(m, record);
	}
	*durable = store_group_committed(&m->group);
	return ERR_NONE;
}

static void memory_append(struct store *s, const struct record *record)
{
	store_group_append(&memory_of(s)->group, record);
}

/* ---- load ------------------------------------------------------------------------------------ */

static void load_counters(const struct store_memory *m, store_see *see, void *context)
{
	struct core_event event = {.kind = CORE_LOAD_COUNTERS};
	uint64_t id = 0;

	for (uint32_t i = 0; i < m->transactions.count; i++) {
		const struct record_transaction *t = rows_at(&m->transactions, i);

		id = t->id > id ? t->id : id;
	}
	event.u.load_counters.transaction_id_next = id + 1;
	event.u.load_counters.price_version_next = m->prices.count + 1;
	event.u.load_counters.cash_nano = m->cash_nano;
	event.u.load_counters.revenue_nano = m->revenue_nano;
	see(context, &event);
}

static bool is_newest(const struct store_memory *m, uint32_t at)
{
	const struct record_price *row = rows_at(&m->prices, at);

	for (uint32_t i = at + 1; i < m->prices.count; i++) {
		const struct record_price *later = rows_at(&m->prices, i);

		if (strcmp(later->model, row->model) == 0)
			return false;
	}
	return true;
}

static int64_t request_held_nano(const struct store_memory *m, struct record_request request)
{
	int64_t held_nano = 0;

	for (uint32_t i = 0; i < m->transactions.count; i++) {
		const struct record_transaction *t = rows_at(&m->transactions, i);

		if (t->kind == RECORD_HOLD && record_request_compare(t->request, request) == 0)
			add_checked(&held_nano, t->entries[1].amount_nano);
	}
	return held_nano;
}

static enum err memory_load(struct store *s, store_see *see, void *context, struct err_info *info)
{
	const struct store_memory *m = memory_of(s);

	(void)info;
	load_counters(m, see, context);
	for (uint32_t i = 0; i < m->tenant_count; i++) {
		const struct store_tenant *row = &m->tenants[i];

		see(context, &(struct core_event){.kind = CORE_LOAD_TENANT, .u.load_tenant = {
			row->tenant, row->balance_nano, row->held_nano}});
	}
	for (uint32_t i = 0; i < m->keys.count; i++)
		see(context, &(struct core_event){.kind = CORE_LOAD_KEY,
			.u.load_key = *(const struct record_key *)rows_at(&m->keys, i)});
	for (uint32_t i = 0; i < m->prices.count; i++) {
		const struct record_price *row = rows_at(&m->prices, i);

		if (is_newest(m, i))
			see(context, &(struct core_event){.kind = CORE_LOAD_PRICE,
				.u.load_price = *row});
	}
	for (uint32_t i = 0; i < m->opens.count; i++) {
		const struct record_usage *open = rows_at(&m->opens, i);

		see(context, &(struct core_event){.kind = CORE_LOAD_CUT_OFF, .u.cut_off = {
			.usage = *open, .held_nano = request_held_nano(m, open->request)}});
	}
	return ERR_NONE;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static const char *tenant_name(const struct store_memory *m, uint32_t tenant_id)
{
	return tenant_id == RECORD_NONE ? "" : m->tenants[tenant_id - 1].tenant.name;
}

static bool tenant_shown(const struct store_memory *m, const struct store_filter *filter,
	uint32_t tenant_id)
{
	return !filter->tenant || strcmp(filter->tenant, tenant_name(m, tenant_id)) == 0;
}

static bool request_shown(const struct store_filter *filter, struct record_request request)
{
	return !filter->request || record_request_compare(*filter->request, request) == 0;
}

static void read_who(const struct store_memory *m, const struct store_filter *filter,
	const struct store_reader *reader)
{
	for (uint32_t i = 0; reader->tenant && i < m->tenant_count; i++)
		if (tenant_shown(m, filter, i + 1))
			reader->tenant(reader->context, &m->tenants[i]);
	for (uint32_t i = 0; reader->key && i < m->keys.count; i++) {
		const struct record_key *key = rows_at(&m->keys, i);

		if (tenant_shown(m, filter, key->tenant_id))
			reader->key(reader->context, key, tenant_name(m, key->tenant_id));
	}
	for (uint32_t i = 0; reader->price && i < m->prices.count; i++)
		reader->price(reader->context, rows_at(&m->prices, i));
}

static enum err memory_read(struct store *s, const struct store_filter *filter,
	const struct store_reader *reader, struct err_info *info)
{
	const struct store_memory *m = memory_of(s);

	(void)info;
	read_who(m, filter, reader);
	for (uint32_t i = 0; reader->usage && i < m->usages.count; i++) {
		const struct record_usage *u = rows_at(&m->usages, i);

		if (tenant_shown(m, filter, u->tenant_id) && request_shown(filter, u->request))
			reader->usage(reader->context, u, tenant_name(m, u->tenant_id));
	}
	for (uint32_t i = 0; reader->transaction && i < m->transactions.count; i++) {
		const struct record_transaction *t = rows_at(&m->transactions, i);

		if (tenant_shown(m, filter, t->tenant_id) && (!filter->request ||
			(t->has_request && request_shown(filter, t->request))))
			reader->transaction(reader->context, t, tenant_name(m, t->tenant_id));
	}
	return ERR_NONE;
}

/* ---- all rows, sorted ------------------------------------------------------------------------ */

struct memory_rows {
	struct store_rows rows;     /* first */
	const struct store_memory *store;
	const void **sorted[STORE_TABLES];  /* of those that are kept in another order */
	uint32_t at[STORE_TABLES];
};

static int transaction_order(const void *left, const void *right)
{
	const struct record_transaction *a = *(const struct record_transaction *const *)left;
	const struct record_transaction *b = *(const struct record_transaction *const *)right;
	const int order = a->has_request ? record_request_compare(a->request, b->request) : 0;

	if (a->has_request != b->has_request)
		return a->has_request ? 1 : -1;
	if (order != 0)
		return order;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int usage_order(const void *left, const void *right)
{
	const struct record_usage *a = *(const struct record_usage *const *)left;
	const struct record_usage *b = *(const struct record_usage *const *)right;

	return record_request_compare(a->request, b->request);
}

/* Pointers to the rows in this order, or NULL. */
static const void **rows_sorted(const struct rows *r, int (*order)(const void *, const void *))
{
	const void **sorted = mem_alloc(r->count + 1, sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < r->count; i++)
		sorted[i] = rows_at(r, i);
	if (sorted && r->count > 0)
		qsort(sorted, r->count, sizeof(*sorted), order);
	return sorted;
}

static bool memory_row(const struct memory_rows *m, enum store_table table, uint32_t at,
	struct store_row *out)
{
	const struct store_memory *s = m->store;

	switch (table) {
	case STORE_TOTALS:
		out->u.totals = (struct store_totals){s->cash_nano, s->revenue_nano};
		return at == 0;
	case STORE_PRICES:
		if (at < s->prices.count)
			out->u.price = *(const struct record_price *)rows_at(&s->prices, at);
		return at < s->prices.count;
	case STORE_TENANTS:
		if (at < s->tenant_count)
			out->u.tenant = s->tenants[at];
		return at < s->tenant_count;
	case STORE_KEYS:
		if (at < s->keys.count)
			out->u.key = *(const struct record_key *)rows_at(&s->keys, at);
		return at < s->keys.count;
	case STORE_TRANSACTIONS:
		out->u.transaction.idempotency[0] = '\0';
		if (at < s->transactions.count)
			out->u.transaction.row =
				*(const struct record_transaction *)m->sorted[table][at];
		return at < s->transactions.count;
	case STORE_OPENS:
	case STORE_USAGES:
		if (at >= (table == STORE_OPENS ? s->opens.count : s->usages.count))
			return false;
		out->u.usage = *(const struct record_usage *)m->sorted[table][at];
		return true;
	case STORE_TABLES:
		break;
	}
	return false;
}

static enum err memory_rows_next(struct store_rows *rows, enum store_table table,
	struct store_row *out, bool *there, struct err_info *info)
{
	struct memory_rows *m = (struct memory_rows *)rows;

	(void)info;
	*there = memory_row(m, table, m->at[table], out);
	m->at[table] += *there;
	return ERR_NONE;
}

static void memory_rows_close(struct store_rows *rows)
{
	struct memory_rows *m = (struct memory_rows *)rows;

	for (int table = 0; table < STORE_TABLES; table++)
		mem_free(m->sorted[table]);
	mem_free(m);
}

static const struct store_rows_ops memory_rows_ops = {memory_rows_next, memory_rows_close};

static enum err memory_rows_open(struct store *s, struct store_rows **out, struct err_info *info)
{
	struct memory_rows *m = mem_alloc(1, sizeof(*m));

	if (!m)
		return err_set(info, ERR_MEMORY, "store: no memory to check");
	m->rows.ops = &memory_rows_ops;
	m->store = memory_of(s);
	m->sorted[STORE_TRANSACTIONS] = rows_sorted(&m->store->transactions, transaction_order);
	m->sorted[STORE_OPENS] = rows_sorted(&m->store->opens, usage_order);
	m->sorted[STORE_USAGES] = rows_sorted(&m->store->usages, usage_order);
	if (!m->sorted[STORE_TRANSACTIONS] || !m->sorted[STORE_OPENS] || !m->sorted[STORE_USAGES]) {
		memory_rows_close(&m->rows);
		return err_set(info, ERR_MEMORY, "store: no memory to check");
	}
	*out = &m->rows;
	return ERR_NONE;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void memory_close(struct store *s)
{
	struct store_memory *m = memory_of(s);

	store_group_close(&m->group);
	mem_free(m->transactions.data);
	mem_free(m->idempotency.places);
	mem_free(m->usages.data);
	mem_free(m->opens.data);
	mem_free(m->keys.data);
	mem_free(m->prices.data);
	mem_free(m->tenants);
	mem_free(m);
}

static const struct store_ops memory_ops = {
	.append = memory_append,
	.commit = memory_commit,
	.load = memory_load,
	.read = memory_read,
	.rows_open = memory_rows_open,
	.close = memory_close,
};

enum err store_memory_open(struct store **out, const struct store_memory_config *config,
	struct err_info *info)
{
	struct store_memory *m = mem_alloc(1, sizeof(*m));

	if (!m)
		return err_set(info, ERR_MEMORY, "store: no memory");
	m->store.ops = &memory_ops;
	m->config = *config;
	m->transactions.size = sizeof(struct record_transaction);
	m->usages.size = sizeof(struct record_usage);
	m->opens.size = sizeof(struct record_usage);
	m->keys.size = sizeof(struct record_key);
	m->prices.size = sizeof(struct record_price);
	m->tenants = mem_alloc(config->tenants_max, sizeof(*m->tenants));
	if (!m->tenants)
		err_set(info, ERR_MEMORY, "store: no memory for %u tenants", config->tenants_max);
	if (!m->tenants || store_group_open(&m->group, config->records_max, info)) {
		memory_close(&m->store);
		return info->code;
	}
	*out = &m->store;
	return ERR_NONE;
}

void store_memory_fail(struct store *s, uint32_t per_million)
{
	memory_of(s)->fail_per_million = per_million;
}

void store_memory_crash(struct store *s)
{
	struct store_memory *m = memory_of(s);

	m->group.begin = 1;
	m->group.end = 1;
	m->group.halted = false;
}
