/* cloud/core_admin.c - tenants, keys and prices: found by requests, changed by commands.
 *
 * A command changes memory at once and is answered when its record is durable. A crash in between
 * forgets both, and nobody was told that it was done.
 */
#include <assert.h>
#include <string.h>

#include "cloud/core_internal.h"

#define COMMAND_RECORDS_MAX 2   /* a tenant and its first top-up */

bool text_valid(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* ---- tables ---------------------------------------------------------------------------------- */

uint32_t tenant_find(const struct core *core, const char *name)
{
	const struct index *ix = &core->tenant_index;
	uint32_t at = index_find(ix, core_text_hash(core, name));
	uint32_t row;

	for (; (row = index_row(ix, at)) != INDEX_NONE; at = index_next(ix, at))
		if (strcmp(core->tenants[row].row.name, name) == 0)
			return row + 1;
	return RECORD_NONE;
}

bool core_tenant_valid(const struct record_tenant *row)
{
	return text_valid(row->name, sizeof(row->name)) && record_tenant_name_valid(row->name) &&
		row->credit_nano >= 0 && row->credit_nano <= LEDGER_CREDIT_UNLIMITED &&
		row->requests_per_min >= 0 && row->requests_per_min <= BUCKET_CAPACITY_MAX &&
		row->tokens_per_min >= 0 && row->tokens_per_min <= BUCKET_CAPACITY_MAX;
}

/* From one limit a minute to another; 0: none. A minute's worth may come at once. */
static void limit_change(struct bucket *b, int64_t old_per_min, int64_t per_min, int64_t now_ns)
{
	if (old_per_min == per_min || per_min == 0)
		return;
	if (old_per_min == 0)
		bucket_init(b, per_min, per_min, now_ns);
	else
		bucket_resize(b, per_min, per_min, now_ns);
}

static void tenant_row_change(struct core *core, struct core_tenant *tenant,
	const struct record_tenant *row)
{
	limit_change(&tenant->requests, tenant->row.requests_per_min, row->requests_per_min,
		core->now_ns);
	limit_change(&tenant->tokens, tenant->row.tokens_per_min, row->tokens_per_min,
		core->now_ns);
	tenant->row = *row;
}

void tenant_add(struct core *core, const struct record_tenant *row, int64_t balance_nano,
	int64_t held_nano)
{
	const uint32_t at = core->tenant_count++;

	assert(at < core->limits.tenants_max && row->id == core->tenant_count);
	assert(core_tenant_valid(row));
	core->tenants[at].row = (struct record_tenant){0};
	tenant_row_change(core, &core->tenants[at], row);
	core->ledger.accounts[at] = (struct ledger_account){
		.balance_nano = balance_nano,
		.held_nano = held_nano,
		.credit_nano = row->credit_nano,
	};
	core->ledger.account_count = core->tenant_count;
	core->ledger.held_nano += held_nano;
	index_add(&core->tenant_index, core_text_hash(core, row->name), at);
}

static uint64_t key_hash(const struct core *core, const uint8_t *hash)
{
	uint64_t start;

	memcpy(&start, hash, sizeof(start));    /* a keyed hash: already even */
	return start ^ core->seed;
}

uint32_t key_find(const struct core *core, const uint8_t *hash)
{
	const struct index *ix = &core->key_index;
	uint32_t at = index_find(ix, key_hash(core, hash));
	uint32_t row;

	for (; (row = index_row(ix, at)) != INDEX_NONE; at = index_next(ix, at))
		if (memcmp(core->keys[row].hash, hash, RECORD_HASH_BYTES) == 0)
			return row + 1;
	return RECORD_NONE;
}

void key_add(struct core *core, const struct record_key *row)
{
	const uint32_t at = core->key_count++;

	assert(at < core->limits.keys_max && row->id == core->key_count);
	assert(row->tenant_id > 0 && row->tenant_id <= core->tenant_count);
	core->keys[at] = *row;
	index_add(&core->key_index, key_hash(core, row->hash), at);
}

bool caller_find(const struct core *core, const struct core_caller *caller, uint32_t *tenant_id,
	uint32_t *key_id)
{
	if (core->key_count == 0 && caller->trusted) {
		*tenant_id = core->tenant_local_id;     /* rules.md 10: a header is ignored */
		*key_id = RECORD_NONE;
		return true;
	}
	if (caller->credential == CORE_CREDENTIAL_NONE)
		return false;
	*key_id = key_find(core, caller->key_hash);
	if (*key_id == RECORD_NONE || core->keys[*key_id - 1].revoked)  /* rules.md 12 */
		return false;
	*tenant_id = core->keys[*key_id - 1].tenant_id;
	return true;
}

const struct core_price *price_find(const struct core *core, const char *model)
{
	const struct index *ix = &core->price_index;
	uint32_t at = index_find(ix, core_text_hash(core, model));
	uint32_t row;

	for (; (row = index_row(ix, at)) != INDEX_NONE; at = index_next(ix, at))
		if (strcmp(core->prices[row].model, model) == 0)
			return &core->prices[row];
	return NULL;
}

bool core_price_valid(const struct record_price *row)
{
	const struct price price = price_from_record(row);

	return text_valid(row->model, sizeof(row->model)) && row->model[0] && price_valid(&price);
}

bool price_put(struct core *core, const struct record_price *row)
{
	const struct core_price *found = price_find(core, row->model);

	assert(core_price_valid(row));
	if (!found && core->price_count == core->limits.prices_max)
		return false;
	const uint32_t at = found ? (uint32_t)(found - core->prices) : core->price_count++;

	if (!found)
		index_add(&core->price_index, core_text_hash(core, row->model), at);
	memcpy(core->prices[at].model, row->model, sizeof(row->model));
	core->prices[at].price = price_from_record(row);
	return true;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void reply_tenant(const struct core *core, uint32_t tenant_id, struct core_reply *reply)
{
	const struct ledger_account *account = &core->ledger.accounts[tenant_id - 1];

	reply->tenant = core->tenants[tenant_id - 1].row;
	reply->balance_nano = account->balance_nano;
	reply->held_nano = account->held_nano;
}

static enum core_result topup(struct core *core, uint32_t tenant_id, int64_t amount_nano,
	struct core_actions *actions)
{
	struct record_transaction transaction;

	if (amount_nano <= 0 || amount_nano > LEDGER_AMOUNT_MAX)
		return CORE_RESULT_INVALID;
	if (!ledger_topup(&core->ledger, tenant_id, amount_nano, &transaction))
		return CORE_RESULT_ACCOUNT_FULL;
	struct record *record = core_store(core, RECORD_TRANSACTION, actions);

	transaction.at_ns = core->wall_ns;
	record->awaited = true;
	record->u.money.transaction = transaction;
	return CORE_RESULT_DONE;
}

static void tenant_store(struct core *core, uint32_t tenant_id, struct core_actions *actions)
{
	struct record *record = core_store(core, RECORD_TENANT, actions);

	record->awaited = true;
	record->u.tenant = core->tenants[tenant_id - 1].row;
}

static enum core_result tenant_create(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	struct record_tenant row = event->u.tenant_create.tenant;
	const int64_t topup_nano = event->u.tenant_create.topup_nano;

	if (!core_tenant_valid(&row) || row.credit_nano > LEDGER_AMOUNT_MAX || topup_nano < 0 ||
		topup_nano > LEDGER_AMOUNT_MAX)
		return CORE_RESULT_INVALID;
	if (tenant_find(core, row.name) != RECORD_NONE)
		return CORE_RESULT_EXISTS;
	if (core->tenant_count == core->limits.tenants_max)
		return CORE_RESULT_FULL;
	if (topup_nano > 0 && !ledger_topup_fits(&core->ledger, 0, topup_nano))
		return CORE_RESULT_ACCOUNT_FULL;    /* all of it or nothing */
	row.id = core->tenant_count + 1;
	row.created_ns = core->wall_ns;
	tenant_add(core, &row, 0, 0);
	tenant_store(core, row.id, actions);
	if (topup_nano > 0) {
		const enum core_result result = topup(core, row.id, topup_nano, actions);

		assert(result == CORE_RESULT_DONE);
	}
	reply_tenant(core, row.id, reply);
	return CORE_RESULT_DONE;
}

static enum core_result tenant_topup(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	const uint32_t id = tenant_find(core, event->u.tenant_topup.name);

	if (id == RECORD_NONE)
		return CORE_RESULT_NOT_FOUND;
	const enum core_result result = topup(core, id, event->u.tenant_topup.amount_nano, actions);

	reply_tenant(core, id, reply);
	return result;
}

/* A credit below what is owed already would break rules.md 15. */
static enum core_result tenant_set(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	const uint32_t id = tenant_find(core, event->u.tenant_set.name);

	if (id == RECORD_NONE)
		return CORE_RESULT_NOT_FOUND;
	struct core_tenant *tenant = &core->tenants[id - 1];
	struct ledger_account *account = &core->ledger.accounts[id - 1];
	struct record_tenant row = tenant->row;

	if (event->u.tenant_set.credit_nano >= 0)
		row.credit_nano = event->u.tenant_set.credit_nano;
	if (event->u.tenant_set.requests_per_min >= 0)
		row.requests_per_min = event->u.tenant_set.requests_per_min;
	if (event->u.tenant_set.tokens_per_min >= 0)
		row.tokens_per_min = event->u.tenant_set.tokens_per_min;
	const bool unlimited = row.credit_nano == LEDGER_CREDIT_UNLIMITED;
	const bool limited = row.requests_per_min > 0 || row.tokens_per_min > 0;

	if (!core_tenant_valid(&row) || account->balance_nano < -row.credit_nano)
		return CORE_RESULT_INVALID;
	/* rules.md 10: nothing is refused to the tenant that is used without a key */
	if (id == core->tenant_local_id ? !unlimited || limited : unlimited)
		return CORE_RESULT_INVALID;
	tenant_row_change(core, tenant, &row);
	account->credit_nano = row.credit_nano;
	tenant_store(core, id, actions);
	reply_tenant(core, id, reply);
	return CORE_RESULT_DONE;
}

static enum core_result key_create(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	struct record_key row = event->u.key_create.key;
	const uint32_t tenant_id = tenant_find(core, event->u.key_create.tenant);

	if (tenant_id == RECORD_NONE)
		return CORE_RESULT_NOT_FOUND;
	if (!text_valid(row.name, sizeof(row.name)) || !text_valid(row.prefix, sizeof(row.prefix)))
		return CORE_RESULT_INVALID;
	reply->key_id = key_find(core, row.hash);
	reply_tenant(core, tenant_id, reply);
	if (reply->key_id != RECORD_NONE)
		return CORE_RESULT_EXISTS;
	if (core->key_count == core->limits.keys_max)
		return CORE_RESULT_FULL;
	row.id = core->key_count + 1;
	row.tenant_id = tenant_id;
	row.revoked = false;
	row.created_ns = core->wall_ns;
	key_add(core, &row);
	struct record *record = core_store(core, RECORD_KEY, actions);

	record->awaited = true;
	record->u.key = row;
	reply->key_id = row.id;
	return CORE_RESULT_DONE;
}

static enum core_result key_revoke(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	const uint32_t id = event->u.key_revoke.key_id;

	if (id == RECORD_NONE || id > core->key_count)
		return CORE_RESULT_NOT_FOUND;
	struct record_key *row = &core->keys[id - 1];

	row->revoked = true;
	reply->key_id = id;
	reply_tenant(core, row->tenant_id, reply);
	struct record *record = core_store(core, RECORD_KEY, actions);

	record->awaited = true;
	record->u.key = *row;
	return CORE_RESULT_DONE;
}

static enum core_result price_set(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions)
{
	struct record_price row = event->u.price_set.price;

	if (!core_price_valid(&row))
		return CORE_RESULT_INVALID;
	row.version = core->price_version_next;
	row.from_ns = core->wall_ns;
	if (!price_put(core, &row))
		return CORE_RESULT_FULL;
	core->price_version_next++;
	struct record *record = core_store(core, RECORD_PRICE, actions);

	record->awaited = true;
	record->u.price = row;
	reply->price_version = row.version;
	reply->price_from_ns = row.from_ns;
	return CORE_RESULT_DONE;
}

/* ---- questions ------------------------------------------------------------------------------- */

static enum core_result tenant_show(const struct core *core, const struct core_event *event,
	struct core_reply *reply)
{
	const uint32_t id = tenant_find(core, event->u.tenant_show.name);

	if (id == RECORD_NONE)
		return CORE_RESULT_NOT_FOUND;
	reply_tenant(core, id, reply);
	return CORE_RESULT_DONE;
}

static enum core_result authorise(const struct core *core, const struct core_event *event,
	struct core_reply *reply)
{
	uint32_t tenant_id;
	uint32_t key_id;

	if (!caller_find(core, &event->u.authorise.caller, &tenant_id, &key_id))
		return CORE_RESULT_INVALID_KEY;
	reply->key_id = key_id;
	reply_tenant(core, tenant_id, reply);
	return CORE_RESULT_DONE;
}

/* ---- the event ------------------------------------------------------------------------------- */

typedef enum core_result command(struct core *core, const struct core_event *event,
	struct core_reply *reply, struct core_actions *actions);

static command *const commands[CORE_EVENT_KINDS] = {
	[CORE_TENANT_CREATE] = tenant_create,
	[CORE_TENANT_TOPUP] = tenant_topup,
	[CORE_TENANT_SET] = tenant_set,
	[CORE_KEY_CREATE] = key_create,
	[CORE_KEY_REVOKE] = key_revoke,
	[CORE_PRICE_SET] = price_set,
};

/* Whether the names in it end inside their arrays: what comes from outside was not built here. */
static bool names_valid(const struct core_event *event)
{
	if (event->kind == CORE_TENANT_TOPUP)
		return text_valid(event->u.tenant_topup.name, RECORD_NAME_BYTES);
	if (event->kind == CORE_TENANT_SET)
		return text_valid(event->u.tenant_set.name, RECORD_NAME_BYTES);
	if (event->kind == CORE_TENANT_SHOW)
		return text_valid(event->u.tenant_show.name, RECORD_NAME_BYTES);
	if (event->kind == CORE_KEY_CREATE)
		return text_valid(event->u.key_create.tenant, RECORD_NAME_BYTES);
	return true;    /* the others' are part of a row, and checked with it */
}

void admin_event(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	struct core_reply reply = {.token = event->token};
	const uint64_t given = core->record_given;

	assert(core->ready);
	if (!names_valid(event))
		reply.result = CORE_RESULT_INVALID;
	else if (event->kind == CORE_AUTHORISE)
		reply.result = authorise(core, event, &reply);
	else if (event->kind == CORE_TENANT_SHOW)
		reply.result = tenant_show(core, event, &reply);
	else if (core->store_failing)
		reply.result = CORE_RESULT_STORE_DOWN;
	else if (core_records_free(core) < COMMAND_RECORDS_MAX ||
		core->reply_count == core->limits.replies_max)
		reply.result = CORE_RESULT_FULL;
	else
		reply.result = commands[event->kind](core, event, &reply, actions);
	if (core->record_given > given)
		core_reply_later(core, &reply);
	else
		core_reply_now(&reply, actions);
}
