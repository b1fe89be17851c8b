/* cloud/core_trace.c - one number for all that the core has decided: what fleet and replay compare.
 *
 * Field by field: the bytes of a struct also hold padding and what another kind left in the union.
 */
#include <string.h>

#include "base/hash.h"
#include "cloud/core.h"

static uint64_t mix_i64(uint64_t hash, int64_t value)
{
	return hash_mix(hash, (uint64_t)value);
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
	return hash_bytes(text, strlen(text), hash);
}

static uint64_t mix_request(uint64_t hash, struct record_request request)
{
	return hash_mix(hash_mix(hash, request.high), request.low);
}

static uint64_t mix_batch(uint64_t hash, const struct batch *b)
{
	hash = hash_mix(hash, b->id);
	hash = hash_mix(hash, (uint64_t)b->model << 32 | b->item_count);
	for (uint32_t i = 0; i < b->item_count; i++) {
		const struct batch_item *item = &b->items[i];

		hash = hash_mix(hash, (uint64_t)item->request << 32 | item->slot);
		hash = hash_mix(hash, (uint64_t)item->first_token << 32 | item->row_count);
		hash = hash_mix(hash, (uint64_t)item->first_page << 32 | item->page_count);
		hash = hash_mix(hash, (uint64_t)item->state_read << 32 | item->state_write);
		hash = hash_mix(hash, (uint64_t)item->open << 1 | item->sample);
	}
	for (uint32_t p = 0; p < b->page_count; p++)
		hash = hash_mix(hash, b->pages[p]);
	return hash;
}

static uint64_t mix_transaction(uint64_t hash, const struct record_transaction *t)
{
	hash = hash_mix(hash, t->id);
	hash = mix_i64(hash, t->at_ns);
	hash = hash_mix(hash, (uint64_t)t->kind << 32 | t->tenant_id);
	hash = hash_mix(hash, (uint64_t)t->part << 1 | t->has_request);
	hash = mix_request(hash, t->request);
	for (uint32_t i = 0; i < t->entry_count; i++) {
		hash = hash_mix(hash, t->entries[i].account);
		hash = mix_i64(hash, t->entries[i].amount_nano);
	}
	return hash;
}

static uint64_t mix_usage(uint64_t hash, const struct record_usage *u)
{
	hash = mix_request(hash, u->request);
	hash = hash_mix(hash, (uint64_t)u->tenant_id << 32 | u->key_id);
	hash = mix_text(hash, u->model);
	hash = hash_mix(hash, u->price_version);
	hash = mix_i64(hash, u->at_ns);
	hash = mix_i64(mix_i64(hash, u->input), u->cached_input);
	hash = mix_i64(mix_i64(hash, u->output), u->reasoning);
	return mix_i64(hash_mix(hash, u->finish), u->amount_nano);
}

static uint64_t mix_tenant(uint64_t hash, const struct record_tenant *t)
{
	hash = mix_text(hash_mix(hash, t->id), t->name);
	hash = mix_i64(mix_i64(hash, t->credit_nano), t->created_ns);
	return mix_i64(mix_i64(hash, t->requests_per_min), t->tokens_per_min);
}

static uint64_t mix_key(uint64_t hash, const struct record_key *k)
{
	hash = hash_mix(hash, (uint64_t)k->id << 32 | k->tenant_id);
	hash = mix_text(mix_text(hash, k->name), k->prefix);
	hash = hash_bytes(k->hash, sizeof(k->hash), hash);
	return mix_i64(hash_mix(hash, k->revoked), k->created_ns);
}

static uint64_t mix_price(uint64_t hash, const struct record_price *p)
{
	hash = mix_i64(hash_mix(mix_text(hash, p->model), p->version), p->from_ns);
	return mix_i64(mix_i64(mix_i64(hash, p->input_nano), p->cached_nano), p->output_nano);
}

static uint64_t mix_record(uint64_t hash, const struct record *r)
{
	hash = hash_mix(hash_mix(hash, r->sequence), r->replaces);
	hash = hash_mix(hash, (uint64_t)r->kind << 1 | r->awaited);
	switch (r->kind) {
	case RECORD_TRANSACTION:
		hash = mix_transaction(hash, &r->u.money.transaction);
		return r->u.money.has_usage ? mix_usage(hash, &r->u.money.usage) : hash;
	case RECORD_TENANT:
		return mix_tenant(hash, &r->u.tenant);
	case RECORD_KEY:
		return mix_key(hash, &r->u.key);
	case RECORD_PRICE:
		return mix_price(hash, &r->u.price);
	case RECORD_RETRY:
		break;
	}
	return hash;
}

static uint64_t mix_reply(uint64_t hash, const struct core_reply *r)
{
	hash = mix_tenant(hash_mix(hash_mix(hash, r->token), r->result), &r->tenant);
	hash = mix_i64(mix_i64(hash, r->balance_nano), r->held_nano);
	hash = hash_mix(hash_mix(hash, r->key_id), r->price_version);
	return mix_i64(hash, r->price_from_ns);
}

static uint64_t mix_end(uint64_t hash, const struct core_action *a)
{
	hash = hash_mix(hash, a->u.end.handle);
	hash = hash_mix(hash, (uint64_t)a->u.end.recorded << 1 | a->u.end.store_failed);
	hash = hash_mix(hash, a->u.end.finish);
	hash = mix_i64(mix_i64(hash, a->u.end.prompt_tokens), a->u.end.cached_tokens);
	return mix_i64(mix_i64(hash, a->u.end.completion_tokens), a->u.end.amount_nano);
}

static uint64_t mix_action(uint64_t hash, const struct core_action *a)
{
	hash = hash_mix(hash, a->kind);
	switch (a->kind) {
	case CORE_ADMIT:
		hash = hash_mix(hash, (uint64_t)a->u.admit.handle << 32 | a->u.admit.tenant_id);
		return hash_mix(hash, (uint64_t)a->u.admit.key_id << 32 | a->u.admit.context_max);
	case CORE_REFUSE:
		hash = hash_mix(hash, (uint64_t)a->u.refuse.handle << 32 | a->u.refuse.code);
		return mix_i64(hash, a->u.refuse.retry_after_ns);
	case CORE_ACCEPT:
		return hash_mix(hash, a->u.accept.handle);
	case CORE_RUN:
		return mix_batch(hash, a->u.run);
	case CORE_DELIVER:
		return hash_mix(hash,
			(uint64_t)a->u.deliver.handle << 32 | a->u.deliver.answer_tokens);
	case CORE_ANSWERED:
		hash = hash_mix(hash, a->u.answered.finish);
		return hash_mix(hash,
			(uint64_t)a->u.answered.handle << 32 | a->u.answered.answer_tokens);
	case CORE_CUT:
		return hash_mix(hash, a->u.cut.handle);
	case CORE_END:
		return mix_end(hash, a);
	case CORE_STORE:
		return mix_record(hash, &a->u.store);
	case CORE_REPLY:
		return mix_reply(hash, &a->u.reply);
	case CORE_STOPPED:
	case CORE_ACTION_KINDS:
		break;
	}
	return hash;
}

uint64_t core_actions_hash(uint64_t hash, const struct core_actions *actions)
{
	for (uint32_t i = 0; i < actions->count; i++)
		hash = mix_action(hash, &actions->list[i]);
	return mix_i64(hash, actions->deadline_ns);
}
