/* cloud/core_check.c - what must hold between two events; for tests and the fleet,
 * after every step. */
#include "cloud/core_internal.h"

static bool in_pool(const struct core_request *r)
{
	return r->state == REQUEST_RUNNING || r->state == REQUEST_LEAVING;
}

static const char *check_hold(const struct core_request *r)
{
	int64_t nano;

	if (!in_pool(r) && r->state != REQUEST_FLUSHING)
		return r->held_nano == 0 ? NULL : "a request that does not run holds money";
	if (!price_hold(&r->price, r->prompt_tokens, r->answer_tokens_allowed, &nano) ||
		nano != r->held_nano)
		return "a hold does not cover what the answer may grow to";
	if (r->answer_tokens > r->answer_tokens_allowed)
		return "an answer has grown beyond its hold";
	return NULL;
}

static const char *check_request(const struct core *core, const struct core_request *r)
{
	if (r->state == REQUEST_FREE)
		return NULL;
	if (r->model >= core->limits.models_max || !core->models[r->model].loaded)
		return "a request is for a model that is not loaded";
	if (r->tenant_id == RECORD_NONE || r->tenant_id > core->tenant_count)
		return "a request is of no tenant";
	if (r->linked[LINK_SETTLING] != (r->state == REQUEST_SETTLING))
		return "a request settles and does not wait for it, or the reverse";
	if (r->linked[LINK_STALLED] && r->state != REQUEST_RUNNING && r->state != REQUEST_FLUSHING)
		return "a request is stalled in a state that has no client";
	if (r->linked[LINK_STARVED] && r->state != REQUEST_RUNNING)
		return "a request waits to grow and does not run";
	return check_hold(r);
}

static const char *check_sums(const struct core *core)
{
	uint32_t asked = 0;
	uint32_t open = 0;
	uint32_t reserved = 0;

	for (uint32_t h = 0; h < core->limits.requests_max; h++) {
		const struct core_request *r = &core->requests[h];
		const char *text = check_request(core, r);

		if (text)
			return text;
		if (r->state == REQUEST_FREE)
			continue;
		open++;
		asked += r->state == REQUEST_ASKED;
		reserved += r->records_reserved;
	}
	if (asked != core->asked_count || open != core->open_count)
		return "requests are miscounted";
	if (reserved != core->records_reserved)
		return "reserved records are miscounted";
	if (core->record_given - core->record_durable + reserved > core->limits.records_max)
		return "more records than the store has room for";
	if (asked > core->limits.queue_max)
		return "more asked than the queue has room for";
	return NULL;
}

/* What a tenant has held is what its requests have held (rules.md 15). */
static const char *check_tenant(const struct core *core, uint32_t tenant_id)
{
	const struct ledger_account *account = &core->ledger.accounts[tenant_id - 1];
	int64_t held_nano = 0;

	for (uint32_t h = 0; h < core->limits.requests_max; h++)
		if (core->requests[h].tenant_id == tenant_id)
			held_nano += core->requests[h].held_nano;
	if (core->ready && held_nano != account->held_nano)
		return "a tenant has not held what its requests have";
	if (account->balance_nano < -account->credit_nano)
		return "a balance is below its credit";
	return NULL;
}

static const char *check_lists(const struct core *core)
{
	int64_t deadline_ns = 0;
	uint64_t sequence = 0;

	for (uint32_t h = core->lists[LINK_STALLED].first; h != CORE_NONE;
		h = core->requests[h].next[LINK_STALLED]) {
		if (core->requests[h].stall_deadline_ns < deadline_ns)
			return "stalled requests are out of order";
		deadline_ns = core->requests[h].stall_deadline_ns;
	}
	for (uint32_t h = core->lists[LINK_SETTLING].first; h != CORE_NONE;
		h = core->requests[h].next[LINK_SETTLING]) {
		if (core->requests[h].settle_sequence <= sequence)
			return "settling requests are out of order";
		sequence = core->requests[h].settle_sequence;
	}
	return NULL;
}

const char *core_check(const struct core *core)
{
	const char *text;

	if ((text = check_sums(core)) || (text = check_lists(core)))
		return text;
	if (core->ready && !ledger_balanced(&core->ledger))
		return "the accounts do not add up to 0";
	for (uint32_t id = 1; id <= core->tenant_count; id++)
		if ((text = check_tenant(core, id)))
			return text;
	for (uint32_t i = 0; i < core->limits.models_max; i++)
		if (core->models[i].loaded && (text = pool_check(core->models[i].pool)))
			return text;
	return NULL;
}
