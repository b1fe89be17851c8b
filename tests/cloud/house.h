/* tests/cloud/house.h - a core with a front, an executor and a store of a few lines each, for
 * tests.
 *
 * Nothing happens by itself: a test sends events, runs batches and says what is durable.
 * Actions are kept, and core_check holds after every step.
 */
#ifndef TESTS_CLOUD_HOUSE_H
#define TESTS_CLOUD_HOUSE_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "cloud/core.h"
#include "cloud/ledger.h"

#define HOUSE_LOG_MAX   256
#define HOUSE_HANDLES   8
#define HOUSE_S         1000000000LL

struct house {
	struct core *core;
	struct core_limits limits;
	struct core_actions actions;
	uint64_t hash;                      /* of all actions */
	void (*witness)(const struct core_event *event);    /* sees every event first */
	struct core_action log[HOUSE_LOG_MAX];
	uint32_t log_count;
	int64_t now_ns;
	uint64_t given;                     /* sequence of the last record */
	uint64_t retries;
	struct batch *flight[EXECUTOR_BATCHES_MAX];
	uint32_t flight_count;
	uint32_t length[HOUSE_HANDLES];     /* tokens of the answer; 0: it never ends */
	uint32_t room[HOUSE_HANDLES];
	uint32_t sampled[HOUSE_HANDLES];
};

static const struct core_limits house_limits = {
	.requests_max = HOUSE_HANDLES, .queue_max = 4, .tenants_max = 4, .keys_max = 4,
	.prices_max = 2, .models_max = 1, .replies_max = 4, .records_max = 64,
	.hold_step_tokens = 1024, .stall_ns = 30 * HOUSE_S, .retry_ns = HOUSE_S,
	.pool = {.context_max = 8192, .slots = 4, .pages = 1024, .states = 4, .rows_max = 512,
		.vocab = 100},
};

/* Of many DELIVER in a row the last one says it all. */
static inline void house_note(struct house *h, const struct core_action *a)
{
	const bool again = h->log_count > 0 && a->kind == CORE_DELIVER &&
		h->log[h->log_count - 1].kind == CORE_DELIVER &&
		h->log[h->log_count - 1].u.deliver.handle == a->u.deliver.handle;

	assert_true(h->log_count < HOUSE_LOG_MAX);
	if (a->kind != CORE_RUN)
		h->log[again ? h->log_count - 1 : h->log_count++] = *a;
}

static inline void house_send(struct house *h, struct core_event event)
{
	bool more = true;

	event.now_ns = h->now_ns;
	event.wall_ns = h->now_ns + 1000 * HOUSE_S;
	if (h->witness)
		h->witness(&event);
	for (const struct core_event *e = &event; more; e = NULL) {
		more = core_step(h->core, e, &h->actions);
		h->hash = core_actions_hash(h->hash, &h->actions);
		assert_true(more || core_check(h->core) == NULL);
		for (uint32_t i = 0; i < h->actions.count; i++) {
			const struct core_action *a = &h->actions.list[i];

			house_note(h, a);
			if (a->kind == CORE_RUN)
				h->flight[h->flight_count++] = a->u.run;
			if (a->kind == CORE_STORE && a->u.store.kind == RECORD_RETRY)
				h->retries++;
			else if (a->kind == CORE_STORE)
				assert_int_equal(a->u.store.sequence, ++h->given);
		}
	}
}

/* What sees every event of the houses that are opened from now on. */
static void (*house_witness)(const struct core_event *event);

/* Nothing is loaded yet. */
static inline void house_raw(struct house *h, const struct core_limits *limits)
{
	memset(h, 0, sizeof(*h));
	h->witness = house_witness;
	h->limits = *limits;
	h->core = core_init(calloc(1, core_bytes(limits)), limits);
}

static inline void house_open(struct house *h, const struct core_limits *limits)
{
	house_raw(h, limits);
	house_send(h, (struct core_event){.kind = CORE_LOAD_COUNTERS, .random = 7,
		.u.load_counters = {.transaction_id_next = 1, .price_version_next = 1}});
}

/* Ready, with one model that is called "poet". */
static inline void house_ready(struct house *h)
{
	struct core_event model = {.kind = CORE_MODEL, .u.model = {.limits = h->limits.pool}};

	house_send(h, (struct core_event){.kind = CORE_READY});
	strcpy(model.u.model.name, "poet");
	house_send(h, model);
}

static inline void house_start(struct house *h)
{
	house_open(h, &house_limits);
	house_ready(h);
}

static inline void house_close(struct house *h)
{
	assert_null(core_check(h->core));
	free(h->core);
}

/* ---- what was done --------------------------------------------------------------------------- */

/* The last action of a kind; fails when there was none. */
static inline const struct core_action *house_last(const struct house *h,
	enum core_action_kind kind)
{
	for (uint32_t i = h->log_count; i-- > 0;)
		if (h->log[i].kind == kind)
			return &h->log[i];
	fail_msg("no action of kind %d", (int)kind);
	return NULL;
}

static inline uint32_t house_count(const struct house *h, enum core_action_kind kind)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < h->log_count; i++)
		count += h->log[i].kind == kind;
	return count;
}

static inline void house_forget(struct house *h)
{
	h->log_count = 0;
}

static inline const struct record_transaction *house_transaction(const struct house *h)
{
	const struct record *record = &house_last(h, CORE_STORE)->u.store;

	assert_int_equal(record->kind, RECORD_TRANSACTION);
	assert_true(ledger_transaction_valid(&record->u.money.transaction));
	return &record->u.money.transaction;
}

/* ---- the store, the executor ----------------------------------------------------------------- */

static inline void house_stored(struct house *h)
{
	house_send(h, (struct core_event){.kind = CORE_STORED, .u.store.sequence = h->given});
}

/* Runs the oldest batch: every sampled row gives a token until the answer has its length. */
static inline void house_run(struct house *h)
{
	assert_true(h->flight_count > 0);
	struct batch *b = h->flight[0];

	for (uint32_t i = 0; i < b->item_count; i++) {
		const uint32_t r = b->items[i].request;
		const uint32_t end = h->length[r] ? h->length[r] : UINT32_MAX;

		b->results[i] = (struct batch_result){0};
		if (!b->items[i].sample || h->sampled[r] >= end || h->sampled[r] >= h->room[r])
			continue;
		b->results[i].token_count = 1;
		if (++h->sampled[r] == end)
			b->results[i].end = BATCH_END_STOP;
		else if (h->sampled[r] == h->room[r])
			b->results[i].end = BATCH_END_LENGTH;
	}
	h->flight[0] = h->flight[1];
	h->flight_count--;
	house_send(h, (struct core_event){.kind = CORE_BATCH_DONE, .u.batch_done = b});
}

static inline void house_run_all(struct house *h)
{
	while (h->flight_count > 0)
		house_run(h);
}

/* ---- the front ------------------------------------------------------------------------------- */

static inline struct core_caller house_key(uint8_t key)
{
	struct core_caller caller = {.credential = CORE_CREDENTIAL_KEY};

	memset(caller.key_hash, key, sizeof(caller.key_hash));
	return caller;
}

/* key 0: none, on loopback. */
static inline void house_ask(struct house *h, uint32_t handle, uint8_t key)
{
	struct core_event event = {.kind = CORE_ASK,
		.u.ask = {.handle = handle, .request = {.high = 77, .low = h->log_count}}};

	event.u.ask.caller =
		key ? house_key(key) : (struct core_caller){.trusted = true};
	house_send(h, event);
}

/* answer_tokens 0: without max_tokens. */
static inline void house_arrive(struct house *h, uint32_t handle, uint32_t prompt_tokens,
	uint32_t answer_tokens)
{
	const uint32_t room = h->limits.pool.context_max - prompt_tokens;

	h->sampled[handle] = 0;
	h->room[handle] = answer_tokens && answer_tokens < room ? answer_tokens : room;
	house_send(h, (struct core_event){.kind = CORE_ARRIVE, .u.arrive = {.handle = handle,
		.prompt_tokens = prompt_tokens, .answer_tokens_max = h->room[handle],
		.open_ended = answer_tokens == 0}});
}

static inline void house_request(struct house *h, uint32_t handle, uint8_t key,
	uint32_t prompt_tokens, uint32_t answer_tokens)
{
	house_ask(h, handle, key);
	assert_int_equal(house_last(h, CORE_ADMIT)->u.admit.handle, handle);
	house_arrive(h, handle, prompt_tokens, answer_tokens);
}

static inline void house_progress(struct house *h, enum core_event_kind kind, uint32_t handle,
	uint32_t tokens)
{
	house_send(h, (struct core_event){.kind = kind,
		.u.progress = {.handle = handle, .tokens = tokens}});
}

/* ---- administration -------------------------------------------------------------------------- */

static inline void house_tenant(struct house *h, const char *name, int64_t balance_nano,
	int64_t credit_nano)
{
	struct core_event event = {.kind = CORE_TENANT_CREATE};

	strcpy(event.u.tenant_create.tenant.name, name);
	event.u.tenant_create.tenant.credit_nano = credit_nano;
	event.u.tenant_create.topup_nano = balance_nano;
	house_send(h, event);
	house_stored(h);
	assert_int_equal(house_last(h, CORE_REPLY)->u.reply.result, CORE_RESULT_DONE);
}

static inline void house_key_create(struct house *h, const char *tenant, uint8_t key)
{
	struct core_event event = {.kind = CORE_KEY_CREATE};

	strcpy(event.u.key_create.tenant, tenant);
	memset(event.u.key_create.key.hash, key, RECORD_HASH_BYTES);
	house_send(h, event);
	house_stored(h);
	assert_int_equal(house_last(h, CORE_REPLY)->u.reply.result, CORE_RESULT_DONE);
}

/* Nano-units per token, for short sums. */
static inline void house_price(struct house *h, int64_t input, int64_t output)
{
	struct core_event event = {.kind = CORE_PRICE_SET};

	strcpy(event.u.price_set.price.model, "poet");
	event.u.price_set.price.input_nano = input * 1000000;
	event.u.price_set.price.cached_nano = input * 1000000;
	event.u.price_set.price.output_nano = output * 1000000;
	house_send(h, event);
	house_stored(h);
	assert_int_equal(house_last(h, CORE_REPLY)->u.reply.result, CORE_RESULT_DONE);
}

static inline struct core_reply house_show(struct house *h, const char *name)
{
	struct core_event event = {.kind = CORE_TENANT_SHOW};

	strcpy(event.u.tenant_show.name, name);
	house_send(h, event);
	return house_last(h, CORE_REPLY)->u.reply;
}

#endif
