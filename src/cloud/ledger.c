/* cloud/ledger.c - see ledger.h.
 *
 * Every verb writes down its entries first and posts them after; posting is the one place where an
 * account changes.
 */
#include "cloud/ledger.h"

#include <assert.h>

#include "base/math.h"


static struct ledger_account *account_of(const struct ledger *l, uint32_t tenant_id)
{
	assert(tenant_id > 0 && tenant_id <= l->account_count);
	return &l->accounts[tenant_id - 1];
}

int64_t ledger_spendable(const struct ledger *l, uint32_t tenant_id)
{
	const struct ledger_account *a = account_of(l, tenant_id);
	int64_t sum;

	if (a->credit_nano == LEDGER_CREDIT_UNLIMITED ||
		!math_add_i64(a->balance_nano, a->credit_nano, &sum))
		return INT64_MAX;
	return sum;
}

static int64_t *side_of(struct ledger *l, struct ledger_account *a, enum record_account account)
{
	switch (account) {
	case RECORD_CASH:
		return &l->cash_nano;
	case RECORD_LEASE:
		return &a->balance_nano;
	case RECORD_HELD:
		return &a->held_nano;
	case RECORD_REVENUE:
		break;
	}
	return &l->revenue_nano;
}

static void start(struct record_transaction *t, enum record_transaction_kind kind,
	uint32_t tenant_id)
{
	*t = (struct record_transaction){.kind = kind, .tenant_id = tenant_id};
}

static void add(struct record_transaction *t, enum record_account account, int64_t amount_nano)
{
	assert(t->entry_count < RECORD_ENTRIES_MAX);
	t->entries[t->entry_count++] =
		(struct record_entry){.account = account, .amount_nano = amount_nano};
}

/* All entries or none; the accounts of one transaction differ from each other. */
static bool post(struct ledger *l, struct record_transaction *t)
{
	struct ledger_account *a = account_of(l, t->tenant_id);
	int64_t after[RECORD_ENTRIES_MAX];

	for (uint32_t i = 0; i < t->entry_count; i++)
		if (!math_add_i64(*side_of(l, a, t->entries[i].account), t->entries[i].amount_nano,
			    &after[i]))
			return false;
	l->held_nano -= a->held_nano;
	for (uint32_t i = 0; i < t->entry_count; i++)
		*side_of(l, a, t->entries[i].account) = after[i];
	l->held_nano += a->held_nano;
	t->id = l->transaction_id_next++;
	assert(a->held_nano >= 0 && l->held_nano >= 0);
	return true;
}

/* All that a tenant owns fits into its balance, or what is held could not be given back. */
bool ledger_topup_fits(const struct ledger *l, int64_t owned_nano, int64_t amount_nano)
{
	int64_t after_nano;

	assert(amount_nano > 0);
	return math_add_i64(owned_nano, amount_nano, &after_nano) &&
		math_add_i64(l->cash_nano, -amount_nano, &after_nano);
}

bool ledger_topup(struct ledger *l, uint32_t tenant_id, int64_t amount_nano,
	struct record_transaction *t)
{
	const struct ledger_account *a = account_of(l, tenant_id);
	int64_t owned_nano;

	if (!math_add_i64(a->balance_nano, a->held_nano, &owned_nano) ||
		!ledger_topup_fits(l, owned_nano, amount_nano))
		return false;
	start(t, RECORD_TOPUP, tenant_id);
	add(t, RECORD_CASH, -amount_nano);
	add(t, RECORD_LEASE, amount_nano);
	return post(l, t);
}

bool ledger_hold(struct ledger *l, uint32_t tenant_id, int64_t amount_nano, uint32_t part,
	struct record_transaction *t)
{
	int64_t charged_nano;

	assert(amount_nano >= 0);
	if (amount_nano > 0 && amount_nano > ledger_spendable(l, tenant_id))
		return false;
	if (!math_add_i64(l->revenue_nano, l->held_nano, &charged_nano) ||
		!math_add_i64(charged_nano, amount_nano, &charged_nano))
		return false;   /* or what is held could not be charged */
	start(t, RECORD_HOLD, tenant_id);
	t->part = part;
	add(t, RECORD_LEASE, -amount_nano);
	add(t, RECORD_HELD, amount_nano);
	return post(l, t);
}

bool ledger_settle(struct ledger *l, uint32_t tenant_id, int64_t held_nano, int64_t charge_nano,
	struct record_transaction *t)
{
	assert(charge_nano >= 0 && charge_nano <= held_nano);
	start(t, RECORD_SETTLE, tenant_id);
	add(t, RECORD_HELD, -held_nano);
	add(t, RECORD_REVENUE, charge_nano);
	add(t, RECORD_LEASE, held_nano - charge_nano);
	return post(l, t);
}

bool ledger_release(struct ledger *l, uint32_t tenant_id, int64_t held_nano,
	struct record_transaction *t)
{
	assert(held_nano >= 0);
	start(t, RECORD_RELEASE, tenant_id);
	add(t, RECORD_HELD, -held_nano);
	add(t, RECORD_LEASE, held_nano);
	return post(l, t);
}

bool ledger_unsettle(struct ledger *l, uint32_t tenant_id, int64_t held_nano, int64_t charge_nano,
	struct record_transaction *t)
{
	struct record_transaction undo;

	start(&undo, RECORD_SETTLE, tenant_id);
	add(&undo, RECORD_HELD, held_nano);
	add(&undo, RECORD_REVENUE, -charge_nano);
	add(&undo, RECORD_LEASE, charge_nano - held_nano);
	return post(l, &undo) && ledger_settle(l, tenant_id, held_nano, 0, t);
}

bool ledger_balanced(const struct ledger *l)
{
	math_i128 sum = (math_i128)l->cash_nano + l->revenue_nano;
	math_i128 held = 0;

	for (uint32_t i = 0; i < l->account_count; i++) {
		sum += (math_i128)l->accounts[i].balance_nano + l->accounts[i].held_nano;
		held += l->accounts[i].held_nano;
	}
	return sum == 0 && held == l->held_nano;
}

/* The accounts that a kind of transaction moves money between, in the order of its entries. */
static const struct shape {
	uint32_t entry_count;
	enum record_account accounts[RECORD_ENTRIES_MAX];
	int sign[RECORD_ENTRIES_MAX];   /* of the amount; 0: either */
} shapes[] = {
	[RECORD_TOPUP] = {2, {RECORD_CASH, RECORD_LEASE}, {-1, 1}},
	[RECORD_HOLD] = {2, {RECORD_LEASE, RECORD_HELD}, {-1, 1}},
	[RECORD_SETTLE] = {3, {RECORD_HELD, RECORD_REVENUE, RECORD_LEASE}, {-1, 1, 1}},
	[RECORD_RELEASE] = {2, {RECORD_HELD, RECORD_LEASE}, {-1, 1}},
	[RECORD_REFUND] = {2, {RECORD_REVENUE, RECORD_LEASE}, {-1, 1}},
	[RECORD_ADJUST] = {2, {RECORD_CASH, RECORD_LEASE}, {0, 0}},
};

bool ledger_transaction_valid(const struct record_transaction *t)
{
	const struct shape *shape = &shapes[t->kind];
	math_i128 sum = 0;

	if (t->entry_count != shape->entry_count)
		return false;
	for (uint32_t i = 0; i < t->entry_count; i++) {
		const int64_t amount = t->entries[i].amount_nano;

		if (t->entries[i].account != shape->accounts[i])
			return false;
		if ((shape->sign[i] > 0 && amount < 0) || (shape->sign[i] < 0 && amount > 0))
			return false;
		sum += amount;
	}
	return sum == 0;
}
