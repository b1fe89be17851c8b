/* fleet/commands.c - administration at random, right and wrong, while requests run. */
#include <stdio.h>
#include <string.h>

#include "fleet/simulate_internal.h"

#define CREDIT_MAX_NANO 500
#define PRICE_MAX_NANO  5000000     /* per million tokens: 5 for one */

void fleet_key_hash(uint64_t token, uint8_t *hash)
{
	for (uint64_t i = 0; i < RECORD_HASH_BYTES / 8; i++) {
		const uint64_t part = prng_hash(token, i);

		for (uint64_t byte = 0; byte < 8; byte++)
			hash[8 * i + byte] = (uint8_t)(part >> (8 * byte));
	}
}

/* A tenant that is there, could be there, or is `local`. */
static void name_choose(struct fleet *f, char *name)
{
	if (fleet_one_in(f, 8))
		snprintf(name, RECORD_NAME_BYTES, "%s", CORE_TENANT_LOCAL);
	else
		snprintf(name, RECORD_NAME_BYTES, "t%u",
			fleet_between_u32(f, 1, f->limits.tenants_max));
}

static void tenant_create(struct fleet *f, struct core_event *e)
{
	struct record_tenant *row = &e->u.tenant_create.tenant;

	e->kind = CORE_TENANT_CREATE;
	name_choose(f, row->name);
	if (fleet_one_in(f, 16))
		row->name[0] = 'T';     /* not a name */
	row->credit_nano = fleet_one_in(f, 2) ? 0 : fleet_between_ns(f, 0, CREDIT_MAX_NANO);
	e->u.tenant_create.topup_nano = fleet_between_ns(f, 0, f->topup_max_nano);
}

static void tenant_set(struct fleet *f, struct core_event *e)
{
	e->kind = CORE_TENANT_SET;
	name_choose(f, e->u.tenant_set.name);
	e->u.tenant_set.credit_nano = fleet_between_ns(f, 0, CREDIT_MAX_NANO);
	if (fleet_one_in(f, 2))
		e->u.tenant_set.requests_per_min = fleet_between_ns(f, 1, 100);
	if (fleet_one_in(f, 2))
		e->u.tenant_set.tokens_per_min = fleet_between_ns(f, 1, 5000);
}

static void key_create(struct fleet *f, struct core_event *e)
{
	const bool again = f->key_count > 0 && fleet_one_in(f, 8);

	e->kind = CORE_KEY_CREATE;
	e->token = FLEET_KEY_TOKEN | f->token_next;
	name_choose(f, e->u.key_create.tenant);
	fleet_key_hash(again ? f->keys[0] : e->token, e->u.key_create.key.hash);
}

static void price_set(struct fleet *f, struct core_event *e)
{
	struct record_price *p = &e->u.price_set.price;

	e->kind = CORE_PRICE_SET;
	snprintf(p->model, sizeof(p->model), "m%u", fleet_between_u32(f, 0, WITNESS_MODELS));
	p->input_nano = fleet_between_ns(f, 0, PRICE_MAX_NANO);
	p->cached_nano = fleet_between_ns(f, 0, PRICE_MAX_NANO);
	p->output_nano = fleet_one_in(f, 8) ? 0 : fleet_between_ns(f, 0, PRICE_MAX_NANO);
}

static void topup(struct fleet *f, struct core_event *e)
{
	e->kind = CORE_TENANT_TOPUP;
	name_choose(f, e->u.tenant_topup.name);
	e->u.tenant_topup.amount_nano = fleet_between_ns(f, 0, f->topup_max_nano);
}

/* Some seeds never make a key: all runs as tenant local. */
static bool makes_keys(const struct fleet *f)
{
	return prng_hash(f->options->seed, 1) % 4 != 0;
}

void fleet_command(struct fleet *f)
{
	struct core_event event = {.kind = CORE_TENANT_SHOW};
	const uint64_t choice = fleet_between(f, 0, 15);

	f->command_ns = f->now_ns + fleet_between_ns(f, 0, 100 * FLEET_MS);
	if (f->witness.command_count >= WITNESS_COMMANDS / 2)
		return;
	event.token = ++f->token_next;
	if (choice < 2)
		tenant_create(f, &event);
	else if (choice < 3)
		tenant_set(f, &event);
	else if (choice < 5 && makes_keys(f))
		key_create(f, &event);
	else if (choice < 7)
		price_set(f, &event);
	else if (choice < 11)
		topup(f, &event);
	else if (choice < 12 && f->revoke_count < f->limits.keys_max / 2) {
		f->revoke_count++;     /* not all of them, or nobody could ask */
		event.kind = CORE_KEY_REVOKE;
		event.u.key_revoke.key_id = fleet_between_u32(f, 0, f->limits.keys_max + 1);
	} else if (choice < 13) {
		event.kind = CORE_AUTHORISE;
		event.u.authorise.caller.trusted = true;
	} else {
		name_choose(f, event.u.tenant_show.name);
	}
	f->report->commands++;
	fleet_core(f, &event);
}
