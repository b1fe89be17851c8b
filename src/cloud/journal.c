/* cloud/journal.c - see journal.h.
 *
 * One list of fields per kind of event, used in both directions: a codec either writes what is in
 * the event or reads into it. So what is written can always be read.
 */
#include "cloud/journal.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

#define SIZE_BYTES      2
#define CHECKSUM_BYTES  4
#define HEADER_BYTES    JOURNAL_HEADER_BYTES
#define CARRIED         255     /* in place of a kind */

struct codec {
	uint8_t *bytes;         /* written, or only read */
	size_t at;
	size_t end;
	bool writes;
	bool failed;            /* bytes ran out, or say what cannot be */
};

/* ---- fields ---------------------------------------------------------------------------------- */

static void code_bytes(struct codec *c, void *field, size_t size)
{
	if (c->failed || size > c->end - c->at) {
		c->failed = true;
		return;
	}
	if (c->writes)
		memcpy(c->bytes + c->at, field, size);
	else
		memcpy(field, c->bytes + c->at, size);
	c->at += size;
}

/* Little endian on every machine. */
static uint64_t code_number(struct codec *c, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	code_bytes(c, bytes, size);
	value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return c->failed ? 0 : value;
}

static void code_u64(struct codec *c, uint64_t *field)
{
	*field = code_number(c, *field, 8);
}

static void code_i64(struct codec *c, int64_t *field)
{
	*field = (int64_t)code_number(c, (uint64_t)*field, 8);
}

static void code_u32(struct codec *c, uint32_t *field)
{
	*field = (uint32_t)code_number(c, *field, 4);
}

static void code_bool(struct codec *c, bool *field)
{
	const uint64_t value = code_number(c, *field, 1);

	c->failed = c->failed || value > 1;
	*field = value == 1;
}

/* An enumeration with values below count. */
static int code_enum(struct codec *c, int value, int count)
{
	const uint64_t coded = code_number(c, (uint64_t)value, 1);

	if (coded < (uint64_t)count)
		return (int)coded;
	c->failed = true;
	return 0;
}

/* Text that is terminated within capacity; one that is not is cut (the core refuses it anyway). */
static void code_text(struct codec *c, char *field, size_t capacity)
{
	uint32_t size = c->writes ? (uint32_t)strnlen(field, capacity - 1) : 0;

	code_u32(c, &size);
	if (c->failed || size >= capacity) {
		c->failed = true;
		return;
	}
	code_bytes(c, field, size);
	if (!c->writes)
		field[size] = '\0';
	c->failed = c->failed || memchr(field, '\0', size) != NULL;
}

/* ---- parts that several kinds have ----------------------------------------------------------- */

static void code_request(struct codec *c, struct record_request *r)
{
	code_u64(c, &r->high);
	code_u64(c, &r->low);
}

static void code_tenant(struct codec *c, struct record_tenant *t)
{
	code_u32(c, &t->id);
	code_text(c, t->name, sizeof(t->name));
	code_i64(c, &t->credit_nano);
	code_i64(c, &t->requests_per_min);
	code_i64(c, &t->tokens_per_min);
	code_i64(c, &t->created_ns);
}

static void code_key(struct codec *c, struct record_key *k)
{
	code_u32(c, &k->id);
	code_u32(c, &k->tenant_id);
	code_text(c, k->name, sizeof(k->name));
	code_text(c, k->prefix, sizeof(k->prefix));
	code_bytes(c, k->hash, sizeof(k->hash));
	code_bool(c, &k->revoked);
	code_i64(c, &k->created_ns);
}

static void code_price(struct codec *c, struct record_price *p)
{
	code_text(c, p->model, sizeof(p->model));
	code_u64(c, &p->version);
	code_i64(c, &p->from_ns);
	code_i64(c, &p->input_nano);
	code_i64(c, &p->cached_nano);
	code_i64(c, &p->output_nano);
}

static void code_usage(struct codec *c, struct record_usage *u)
{
	code_request(c, &u->request);
	code_u32(c, &u->tenant_id);
	code_u32(c, &u->key_id);
	code_text(c, u->model, sizeof(u->model));
	code_u64(c, &u->price_version);
	code_i64(c, &u->at_ns);
	code_i64(c, &u->input);
	code_i64(c, &u->cached_input);
	code_i64(c, &u->output);
	code_i64(c, &u->reasoning);
	u->finish = (enum record_finish)code_enum(c, (int)u->finish, RECORD_FINISH_ERROR + 1);
	code_i64(c, &u->amount_nano);
}

static void code_caller(struct codec *c, struct core_caller *caller)
{
	caller->credential = (enum core_credential)code_enum(c, (int)caller->credential,
		CORE_CREDENTIAL_KEY + 1);
	code_bool(c, &caller->trusted);
	if (caller->credential == CORE_CREDENTIAL_KEY)
		code_bytes(c, caller->key_hash, sizeof(caller->key_hash));
}

static void code_limits(struct codec *c, struct executor_limits *l)
{
	code_u32(c, &l->context_max);
	code_u32(c, &l->slots);
	code_u32(c, &l->pages);
	code_u32(c, &l->states);
	code_u32(c, &l->rows_max);
	code_u32(c, &l->vocab);
}

static void code_batch(struct codec *c, struct journal_batch *b)
{
	code_u64(c, &b->id);
	code_u32(c, &b->model);
	code_bool(c, &b->failed);
	code_u32(c, &b->item_count);
	c->failed = c->failed || b->item_count > BATCH_ITEMS_MAX;
	for (uint32_t i = 0; !c->failed && i < b->item_count; i++) {
		struct batch_result *result = &b->results[i];

		code_u32(c, &b->requests[i]);
		code_u32(c, &result->token_count);
		result->end =
			(enum batch_end)code_enum(c, (int)result->end, BATCH_END_ERROR + 1);
		code_u64(c, &result->token_hash);
		c->failed = c->failed || result->token_count > 1;
	}
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static void code_boot(struct codec *c, struct core_event *e)
{
	if (e->kind == CORE_LOAD_COUNTERS) {
		code_u64(c, &e->random);
		code_u64(c, &e->u.load_counters.transaction_id_next);
		code_u64(c, &e->u.load_counters.price_version_next);
		code_i64(c, &e->u.load_counters.cash_nano);
		code_i64(c, &e->u.load_counters.revenue_nano);
	} else if (e->kind == CORE_LOAD_TENANT) {
		code_tenant(c, &e->u.load_tenant.tenant);
		code_i64(c, &e->u.load_tenant.balance_nano);
		code_i64(c, &e->u.load_tenant.held_nano);
	} else if (e->kind == CORE_LOAD_KEY) {
		code_key(c, &e->u.load_key);
	} else if (e->kind == CORE_LOAD_PRICE) {
		code_price(c, &e->u.load_price);
	} else if (e->kind == CORE_LOAD_CUT_OFF) {
		code_usage(c, &e->u.cut_off.usage);
		code_i64(c, &e->u.cut_off.held_nano);
		code_i64(c, &e->u.cut_off.tokens);
	} else if (e->kind == CORE_READY) {
		code_u64(c, &e->token);
	} else {
		code_u64(c, &e->token);
		code_u32(c, &e->u.model.model);
		code_text(c, e->u.model.name, sizeof(e->u.model.name));
		code_limits(c, &e->u.model.limits);
	}
}

static void code_front(struct codec *c, struct core_event *e)
{
	if (e->kind == CORE_ASK) {
		code_u32(c, &e->u.ask.handle);
		code_u32(c, &e->u.ask.model);
		code_request(c, &e->u.ask.request);
		code_caller(c, &e->u.ask.caller);
	} else if (e->kind == CORE_ARRIVE) {
		code_u32(c, &e->u.arrive.handle);
		code_u32(c, &e->u.arrive.prompt_tokens);
		code_u32(c, &e->u.arrive.answer_tokens_max);
		code_bool(c, &e->u.arrive.open_ended);
	} else {
		code_u32(c, &e->u.progress.handle);
		code_u32(c, &e->u.progress.tokens);
		code_u32(c, &e->u.progress.reasoning);
		code_bool(c, e->kind == CORE_CANCEL ? &e->u.progress.failed
			: &e->u.progress.tool_calls);
	}
}

static void code_command(struct codec *c, struct core_event *e)
{
	code_u64(c, &e->token);
	if (e->kind == CORE_AUTHORISE) {
		code_caller(c, &e->u.authorise.caller);
	} else if (e->kind == CORE_TENANT_CREATE) {
		code_tenant(c, &e->u.tenant_create.tenant);
		code_i64(c, &e->u.tenant_create.topup_nano);
	} else if (e->kind == CORE_TENANT_TOPUP) {
		code_text(c, e->u.tenant_topup.name, sizeof(e->u.tenant_topup.name));
		code_i64(c, &e->u.tenant_topup.amount_nano);
	} else if (e->kind == CORE_TENANT_SET) {
		code_text(c, e->u.tenant_set.name, sizeof(e->u.tenant_set.name));
		code_i64(c, &e->u.tenant_set.credit_nano);
		code_i64(c, &e->u.tenant_set.requests_per_min);
		code_i64(c, &e->u.tenant_set.tokens_per_min);
	} else if (e->kind == CORE_TENANT_SHOW) {
		code_text(c, e->u.tenant_show.name, sizeof(e->u.tenant_show.name));
	} else if (e->kind == CORE_KEY_CREATE) {
		code_text(c, e->u.key_create.tenant, sizeof(e->u.key_create.tenant));
		code_key(c, &e->u.key_create.key);
	} else if (e->kind == CORE_KEY_REVOKE) {
		code_u32(c, &e->u.key_revoke.key_id);
	} else {
		code_price(c, &e->u.price_set.price);
	}
}

static void code_event(struct codec *c, struct core_event *e, struct journal_batch *batch)
{
	e->kind = (enum core_event_kind)code_enum(c, (int)e->kind, CORE_EVENT_KINDS);
	code_i64(c, &e->now_ns);
	code_i64(c, &e->wall_ns);
	if (c->failed)
		return;
	if (e->kind <= CORE_MODEL)
		code_boot(c, e);
	else if (e->kind <= CORE_CANCEL)
		code_front(c, e);
	else if (e->kind == CORE_BATCH_DONE)
		code_batch(c, batch);
	else if (e->kind == CORE_STORED || e->kind == CORE_STORE_FAILED)
		code_u64(c, &e->u.store.sequence);
	else if (e->kind == CORE_DRAIN)
		code_i64(c, &e->u.drain.grace_ns);
	else if (e->kind != CORE_TICK)
		code_command(c, e);
}

static void code_carried(struct codec *c, struct journal_carried *carried)
{
	c->failed = code_number(c, CARRIED, 1) != CARRIED || c->failed;
	code_u32(c, &carried->handle);
	code_request(c, &carried->fact.request);
	code_i64(c, &carried->fact.tokens);
	c->failed = c->failed || carried->fact.tokens < 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static uint32_t checksum(const uint8_t *payload, size_t size)
{
	return (uint32_t)hash_bytes(payload, size, JOURNAL_CHECKSUM_SEED);
}

static void batch_note(struct journal_batch *out, const struct batch *b)
{
	out->id = b->id;
	out->model = b->model;
	out->failed = b->failed;
	out->item_count = b->item_count;
	for (uint32_t i = 0; i < b->item_count; i++) {
		out->requests[i] = b->items[i].request;
		out->results[i] = b->failed ? (struct batch_result){0} : b->results[i];
	}
}

/* The header, when the payload is there; the size of the record. */
static size_t record_close(struct codec *c)
{
	const size_t used = c->at;

	assert(!c->failed);     /* the largest kind fits: a batch of BATCH_ITEMS_MAX */
	c->at = 0;
	code_number(c, used - HEADER_BYTES, SIZE_BYTES);
	code_number(c, checksum(c->bytes + HEADER_BYTES, used - HEADER_BYTES), CHECKSUM_BYTES);
	return used;
}

size_t journal_encode(uint8_t *out, const struct core_event *event)
{
	struct codec c = {.bytes = out, .at = HEADER_BYTES, .end = JOURNAL_RECORD_BYTES_MAX,
		.writes = true};
	struct core_event copy = *event;
	struct journal_batch batch;

	if (event->kind == CORE_BATCH_DONE)
		batch_note(&batch, event->u.batch_done);
	code_event(&c, &copy, &batch);
	return record_close(&c);
}

size_t journal_encode_carried(uint8_t *out, const struct journal_carried *carried)
{
	struct codec c = {.bytes = out, .at = HEADER_BYTES, .end = JOURNAL_RECORD_BYTES_MAX,
		.writes = true};
	struct journal_carried copy = *carried;

	code_carried(&c, &copy);
	return record_close(&c);
}

enum journal_read journal_decode(struct journal_entry *out, const uint8_t *bytes, size_t size,
	size_t *used)
{
	/* A codec that reads does not write: the cast only spares a second kind of codec. */
	struct codec c = {.bytes = (uint8_t *)bytes, .end = size};

	if (size < HEADER_BYTES)
		return JOURNAL_MORE;
	const size_t payload = (size_t)code_number(&c, 0, SIZE_BYTES);
	const uint32_t sum = (uint32_t)code_number(&c, 0, CHECKSUM_BYTES);

	if (payload > JOURNAL_RECORD_BYTES_MAX - HEADER_BYTES)
		return JOURNAL_BROKEN;
	if (payload > size - HEADER_BYTES)
		return JOURNAL_MORE;
	if (sum != checksum(bytes + HEADER_BYTES, payload))
		return JOURNAL_BROKEN;
	c.end = HEADER_BYTES + payload;
	memset(&out->event, 0, sizeof(out->event));
	out->batch.item_count = 0;
	out->carried = (struct journal_carried){0};
	if (payload > 0 && bytes[HEADER_BYTES] == CARRIED) {
		out->event.kind = CORE_EVENT_KINDS;
		code_carried(&c, &out->carried);
	} else {
		code_event(&c, &out->event, &out->batch);
	}
	if (c.failed || c.at != c.end)
		return JOURNAL_BROKEN;
	*used = c.end;
	return JOURNAL_ENTRY;
}
