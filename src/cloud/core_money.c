/* cloud/core_money.c - hold before the work, growth while it goes on, one settle at the end.
 *
 *	spendable |######################|
 *	hold 0    |prompt + a step of the answer|           open-ended; else all of max tokens
 *	hold 1 ...                              |a step|    while the answer grows
 *	settle    |what it cost|   the rest goes back
 *
 * What one request has held is always price_hold of its prompt and the tokens it is allowed, so
 * the parts add up to one rounding, and no charge can exceed them.
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "cloud/core_internal.h"
#include "engine/plant.h"

/* An answer asks for its next step when it is within this share of the one before. */
#define GROW_AHEAD_SHARE 16

/* ---- records --------------------------------------------------------------------------------- */

uint32_t core_records_free(const struct core *core)
{
	const uint64_t used = core->record_given - core->record_durable + core->records_reserved;

	assert(used <= core->limits.records_max);
	return core->limits.records_max - (uint32_t)used;
}

struct record *core_store(struct core *core, enum record_kind kind, struct core_actions *actions)
{
	struct record *record = &core_action_add(actions, CORE_STORE)->u.store;

	record->kind = kind;
	if (kind != RECORD_RETRY) {
		assert(core_records_free(core) > 0);
		record->sequence = ++core->record_given;
	}
	return record;
}

/* A record of a request takes one of those reserved for it. */
static struct record *request_store(struct core *core, struct core_request *r,
	const struct record_transaction *transaction, struct core_actions *actions)
{
	assert(r->records_reserved > 0);
	r->records_reserved--;
	core->records_reserved--;
	struct record *record = core_store(core, RECORD_TRANSACTION, actions);

	record->u.money.transaction = *transaction;
	record->u.money.transaction.at_ns = core->wall_ns;
	record->u.money.transaction.has_request = true;
	record->u.money.transaction.request = r->id;
	return record;
}

/* ---- hold (rules.md 14) ---------------------------------------------------------------------- */

/* How many answer tokens, up to most, can be held for, counting what is held for it already. */
static uint32_t answer_covered(const struct core *core, const struct core_request *r, uint32_t most)
{
	int64_t nano;

	if (!math_add_i64(ledger_spendable(&core->ledger, r->tenant_id), r->held_nano, &nano))
		nano = INT64_MAX;
	const int64_t covered = price_answer_covered(&r->price, r->prompt_tokens, most, nano);

	return covered < 0 ? 0 : (uint32_t)covered;
}

/* The row that a restart needs, should a crash cut this request off (rules.md 19). */
static void usage_open(const struct core *core, struct core_request *r)
{
	r->usage = (struct record_usage){
		.request = r->id,
		.tenant_id = r->tenant_id,
		.key_id = r->key_id,
		.price_version = r->price.version,
		.at_ns = core->wall_ns,
		.input = r->prompt_tokens,
		.finish = RECORD_FINISH_OPEN,
	};
	memcpy(r->usage.model, core->models[r->model].name, RECORD_MODEL_BYTES);
}

/* Raises the hold to cover so many answer tokens; false: nothing changed. */
static bool hold_for(struct core *core, struct core_request *r, uint32_t answer_tokens,
	struct core_actions *actions)
{
	struct record_transaction transaction;
	int64_t total_nano;

	assert(answer_tokens > r->answer_tokens_allowed);
	if (!price_hold(&r->price, r->prompt_tokens, answer_tokens, &total_nano))
		return false;
	assert(total_nano >= r->held_nano);
	if (!ledger_hold(&core->ledger, r->tenant_id, total_nano - r->held_nano, r->hold_parts,
		    &transaction))
		return false;
	struct record *record = request_store(core, r, &transaction, actions);

	if (r->hold_parts == 0) {
		usage_open(core, r);
		record->u.money.has_usage = true;
		record->u.money.usage = r->usage;
	}
	r->hold_parts++;
	r->held_nano = total_nano;
	r->answer_tokens_allowed = answer_tokens;
	return true;
}

bool money_hold(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	uint32_t answer_tokens = r->answer_tokens_max;

	assert(r->state == REQUEST_ASKED && r->hold_parts == 0 && r->held_nano == 0);
	if (r->open_ended)
		answer_tokens = answer_covered(core, r,
			math_min_u32(answer_tokens, core->limits.hold_step_tokens));
	return answer_tokens > 0 && hold_for(core, r, answer_tokens, actions);
}

/* ---- growth ---------------------------------------------------------------------------------- */

static void grow_to(struct core *core, uint32_t handle, uint32_t answer_tokens,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	const uint32_t before = r->answer_tokens_allowed;

	if (PLANTED(PLANT_GROWTH_WITHOUT_HOLD)) {
		r->answer_tokens_allowed = answer_tokens;
	} else {
		r->records_reserved++;  /* there is room: the caller has looked */
		core->records_reserved++;
		if (!hold_for(core, r, answer_tokens, actions)) {
			r->records_reserved--;
			core->records_reserved--;
			return;
		}
	}
	limit_grow(core, r, r->answer_tokens_allowed - before);
	pool_allow(core->models[r->model].pool, handle, r->answer_tokens_allowed);
}

void money_grow(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	const uint32_t step = core->limits.hold_step_tokens;
	const uint32_t left = r->answer_tokens_allowed - r->answer_tokens;

	if (r->state != REQUEST_RUNNING || r->answer_tokens_allowed == r->answer_tokens_max ||
		left > step / GROW_AHEAD_SHARE)
		return;
	if (core_records_free(core) == 0) {
		if (left == 0 && !r->linked[LINK_STARVED])
			request_link(core, LINK_STARVED, handle);
		return;
	}
	const uint32_t room = r->answer_tokens_max - r->answer_tokens_allowed;
	const uint32_t most = r->answer_tokens_allowed + math_min_u32(room, step);
	const uint32_t covered = answer_covered(core, r, most);

	if (covered > r->answer_tokens_allowed)
		grow_to(core, handle, covered, actions);
	if (r->answer_tokens == r->answer_tokens_allowed)
		pool_stop(core->models[r->model].pool, handle, POOL_END_LENGTH);
}

/* ---- settle (rules.md 7, 16, 18) ------------------------------------------------------------- */

/* What this request is charged for, and how much. */
static void meter(const struct core *core, struct core_request *r, enum record_finish finish)
{
	const bool cancelled = finish == RECORD_FINISH_CANCELLED;
	uint32_t output = r->answer_tokens;

	if (cancelled && !PLANTED(PLANT_CANCEL_CHARGED))
		output = math_min_u32(r->written_tokens, output);
	if (cancelled && !r->prompt_done)
		output = 0;
	r->usage.at_ns = core->wall_ns;
	r->usage.finish = finish;
	r->usage.input = cancelled && !r->prompt_done ? 0 : r->prompt_tokens;
	r->usage.cached_input = r->usage.input == 0 ? 0 : r->cached_tokens;
	r->usage.output = output;
	r->usage.reasoning = math_min_u32(r->reasoning_tokens, output);
	r->usage.amount_nano = 0;
	if (finish == RECORD_FINISH_ERROR)
		return;     /* an engine error costs nothing */
	const struct price_tokens tokens = {
		.input = r->usage.input, .cached = r->usage.cached_input, .output = output};
	const bool fits = price_amount(&r->price, &tokens, &r->usage.amount_nano);

	if (PLANTED(PLANT_CHARGED_BEYOND_HOLD))
		r->usage.amount_nano = r->held_nano + 1;
	assert(fits && r->usage.amount_nano <= r->held_nano);
}

static void settle_store(struct core *core, struct core_request *r,
	const struct record_transaction *transaction, uint64_t replaces,
	struct core_actions *actions)
{
	struct record *record = request_store(core, r, transaction, actions);

	record->awaited = true;
	record->replaces = replaces;
	record->u.money.has_usage = true;
	record->u.money.usage = r->usage;
	r->settle_sequence = record->sequence;
}

void money_settle(struct core *core, uint32_t handle, enum record_finish finish,
	struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	struct record_transaction transaction;

	meter(core, r, finish);
	core->stats.tokens_undelivered += r->answer_tokens - (uint64_t)r->usage.output;
	if (PLANTED(PLANT_HOLD_KEPT) && r->held_nano > 0) {
		if (!ledger_settle(&core->ledger, r->tenant_id, r->usage.amount_nano,
			    r->usage.amount_nano, &transaction))
			assert(false);
	} else if (!ledger_settle(&core->ledger, r->tenant_id, r->held_nano, r->usage.amount_nano,
			   &transaction)) {
		assert(false);  /* what cash could bear, revenue can */
	}
	r->settled_held_nano = r->held_nano;
	r->held_nano = 0;
	r->state = REQUEST_SETTLING;
	request_unlink(core, LINK_STALLED, handle);
	request_unlink(core, LINK_STARVED, handle);
	settle_store(core, r, &transaction, 0, actions);
	if (PLANTED(PLANT_DOUBLE_SETTLE) && finish == RECORD_FINISH_CANCELLED)
		settle_store(core, r, &transaction, 0, actions);
	request_link(core, LINK_SETTLING, handle);
}

void money_unsettle(struct core *core, uint32_t handle, struct core_actions *actions)
{
	struct core_request *r = request_at(core, handle);
	struct record_transaction transaction;

	assert(r->state == REQUEST_SETTLING && r->settle_sequence > core->record_durable);
	if (!ledger_unsettle(&core->ledger, r->tenant_id, r->settled_held_nano,
		    r->usage.amount_nano, &transaction))
		assert(false);  /* what was settled can be undone */
	r->usage.finish = RECORD_FINISH_ERROR;
	r->usage.amount_nano = 0;
	settle_store(core, r, &transaction, r->settle_sequence, actions);
}
