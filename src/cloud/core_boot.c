/* cloud/core_boot.c - what the store remembers comes in, once, before anything else.
 *
 * A database is input from outside: what does not fit together is not believed. The first such
 * thing is remembered and told by the reply to READY; then the core does not get ready.
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "cloud/core_internal.h"

static void boot_wrong(struct core *core, enum core_result result)
{
	if (core->boot_result == CORE_RESULT_DONE)
		core->boot_result = result;
}

static void load_counters(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	(void)actions;
	core->seed = event->random;
	core->ledger.transaction_id_next = event->u.load_counters.transaction_id_next;
	core->ledger.cash_nano = event->u.load_counters.cash_nano;
	core->ledger.revenue_nano = event->u.load_counters.revenue_nano;
	core->price_version_next = event->u.load_counters.price_version_next;
	if (core->price_version_next == 0 || core->ledger.transaction_id_next == 0)
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
}

static void load_tenant(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const struct record_tenant *row = &event->u.load_tenant.tenant;
	int64_t held_nano;

	(void)actions;
	if (core->tenant_count == core->limits.tenants_max)
		boot_wrong(core, CORE_RESULT_FULL);
	else if (!math_add_i64(core->ledger.held_nano, event->u.load_tenant.held_nano,
			 &held_nano))
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
	else if (row->id != core->tenant_count + 1 || !core_tenant_valid(row) ||
		tenant_find(core, row->name) != RECORD_NONE || event->u.load_tenant.held_nano < 0)
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
	else
		tenant_add(core, row, event->u.load_tenant.balance_nano,
			event->u.load_tenant.held_nano);
}

static void load_key(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const struct record_key *row = &event->u.load_key;

	(void)actions;
	if (core->key_count == core->limits.keys_max)
		boot_wrong(core, CORE_RESULT_FULL);
	else if (row->id != core->key_count + 1 || row->tenant_id == RECORD_NONE ||
		row->tenant_id > core->tenant_count || key_find(core, row->hash) != RECORD_NONE)
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
	else
		key_add(core, row);
}

static void load_price(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const struct record_price *row = &event->u.load_price;

	(void)actions;
	if (!core_price_valid(row) || row->version == 0 || row->version >= core->price_version_next)
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
	else if (!price_put(core, row))
		boot_wrong(core, CORE_RESULT_FULL);
}

/* rules.md 19: released, recorded with amount 0, its tokens counted as not recorded. */
static void load_cut_off(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const int64_t held_nano = event->u.cut_off.held_nano;
	/* the journal's count is only told, never charged: what no answer can have is cut */
	const int64_t tokens = math_min_i64(event->u.cut_off.tokens, PRICE_TOKENS_MAX);
	struct record_usage usage = event->u.cut_off.usage;
	const uint32_t tenant_id = usage.tenant_id;
	struct record_transaction transaction;

	if (core->boot_result != CORE_RESULT_DONE)
		return;     /* what is not believed is left as it is, for who mends it */
	if (tenant_id == RECORD_NONE || tenant_id > core->tenant_count || held_nano < 0 ||
		tokens < 0 || usage.input < 0 || usage.input > PRICE_TOKENS_MAX ||
		held_nano > core->ledger.accounts[tenant_id - 1].held_nano ||
		!text_valid(usage.model, sizeof(usage.model)) ||
		!ledger_release(&core->ledger, tenant_id, held_nano, &transaction)) {
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
		return;
	}
	usage.at_ns = core->wall_ns;
	usage.output = tokens;
	usage.finish = RECORD_FINISH_ERROR;
	usage.amount_nano = 0;
	transaction.at_ns = core->wall_ns;
	transaction.has_request = true;
	transaction.request = usage.request;
	struct record *record = core_store(core, RECORD_TRANSACTION, actions);

	record->u.money.transaction = transaction;
	record->u.money.has_usage = true;
	record->u.money.usage = usage;
	core->stats.tokens_unrecorded += (uint64_t)tokens;
}

/* rules.md 10: the tenant that is used as long as there is no key. */
static void local_ensure(struct core *core, struct core_actions *actions)
{
	struct record_tenant row = {
		.id = core->tenant_count + 1,
		.name = CORE_TENANT_LOCAL,
		.credit_nano = LEDGER_CREDIT_UNLIMITED,
		.created_ns = core->wall_ns,
	};

	core->tenant_local_id = tenant_find(core, CORE_TENANT_LOCAL);
	if (core->tenant_local_id != RECORD_NONE)
		return;
	if (core->tenant_count == core->limits.tenants_max || core_records_free(core) == 0) {
		boot_wrong(core, CORE_RESULT_FULL);
		return;
	}
	tenant_add(core, &row, 0, 0);
	core->tenant_local_id = row.id;
	core_store(core, RECORD_TENANT, actions)->u.tenant = row;
}

static bool nothing_held(const struct core *core)
{
	for (uint32_t i = 0; i < core->tenant_count; i++)
		if (core->ledger.accounts[i].held_nano != 0)
			return false;
	return true;
}

static void ready(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	struct core_reply reply = {.token = event->token};

	if (!nothing_held(core) || !ledger_balanced(&core->ledger))
		boot_wrong(core, CORE_RESULT_CONTRADICTION);
	if (core->boot_result == CORE_RESULT_DONE)
		local_ensure(core, actions);
	core->ready = core->boot_result == CORE_RESULT_DONE;
	reply.result = core->boot_result;
	core_reply_now(&reply, actions);
}

static void load_model(struct core *core, const struct core_event *event,
	struct core_actions *actions)
{
	const struct executor_limits *limits = &event->u.model.limits;
	const struct executor_limits *most = &core->limits.pool;
	const uint32_t at = event->u.model.model;
	struct core_reply reply = {.token = event->token};

	if (at >= core->limits.models_max || limits->slots == 0 || limits->slots > most->slots ||
		limits->pages > most->pages || limits->states > most->states ||
		limits->context_max == 0 || limits->context_max > most->context_max) {
		reply.result = CORE_RESULT_FULL;
	} else if (limits->rows_max == 0 ||
		!text_valid(event->u.model.name, sizeof(event->u.model.name))) {
		reply.result = CORE_RESULT_INVALID;
	} else if (core->models[at].loaded) {
		reply.result = CORE_RESULT_EXISTS;
	} else {
		core->models[at].loaded = true;
		memcpy(core->models[at].name, event->u.model.name, RECORD_MODEL_BYTES);
		pool_local_load(core->models[at].pool, at, limits);
	}
	core_reply_now(&reply, actions);
}

typedef void load(struct core *core, const struct core_event *event, struct core_actions *actions);

static load *const loads[CORE_EVENT_KINDS] = {
	[CORE_LOAD_COUNTERS] = load_counters,
	[CORE_LOAD_TENANT] = load_tenant,
	[CORE_LOAD_KEY] = load_key,
	[CORE_LOAD_PRICE] = load_price,
	[CORE_LOAD_CUT_OFF] = load_cut_off,
	[CORE_READY] = ready,
	[CORE_MODEL] = load_model,
};

void boot_event(struct core *core, const struct core_event *event, struct core_actions *actions)
{
	assert(!core->ready || event->kind == CORE_MODEL);
	loads[event->kind](core, event, actions);
}
