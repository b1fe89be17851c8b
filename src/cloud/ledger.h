/* cloud/ledger.h - double-entry money: what tenants own, what is held, what was earned.
 *
 * Pure state and checked integer arithmetic. Each verb changes the accounts and fills the
 * transaction that says the same to the store; it does both or neither.
 *
 *	topup        hold           settle
 *	cash  -->  lease  -->  held  -->  revenue
 *	                  <--------       the rest
 *
 * Invariants: the sum of all accounts is 0; held is never negative; a balance (the lease of one
 * tenant) never goes below -credit (rules.md 15). One server holds one lease of everything. The
 * way in leaves room for the way out: what is held can always be charged, and can always be given
 * back.
 */
#ifndef CLOUD_LEDGER_H
#define CLOUD_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "cloud/record.h"

/* 999999999.999999999 units (rules.md 17) */
#define LEDGER_AMOUNT_MAX       999999999999999999LL
/* As credit: nothing is refused (tenant `local`, rules.md 10). */
#define LEDGER_CREDIT_UNLIMITED (INT64_MAX / 2)

struct ledger_account {
	int64_t balance_nano;
	int64_t held_nano;
	int64_t credit_nano;
};

struct ledger {
	int64_t cash_nano;
	int64_t revenue_nano;
	int64_t held_nano;                  /* of all accounts */
	uint64_t transaction_id_next;
	uint32_t account_count;
	struct ledger_account *accounts;    /* [tenants_max] by tenant id - 1 */
};

/* What may still be spent: balance + credit, INT64_MAX when unlimited. */
int64_t ledger_spendable(const struct ledger *l, uint32_t tenant_id);

/* Below: false and nothing changed when an account would overflow. t->at_ns and the request are the
 * caller's to fill. */

/* Whether a tenant who owns so much (its balance and what is held; 0: a new one) can be given so
 * much more. */
bool ledger_topup_fits(const struct ledger *l, int64_t owned_nano, int64_t amount_nano);
/* amount_nano > 0 */
bool ledger_topup(struct ledger *l, uint32_t tenant_id, int64_t amount_nano,
	struct record_transaction *t) MUST_CHECK;
/* Also false when it is more than can be spent. */
bool ledger_hold(struct ledger *l, uint32_t tenant_id, int64_t amount_nano, uint32_t part,
	struct record_transaction *t) MUST_CHECK;
/* All that was held for a request: the charge to revenue, the rest back. 0 <= charge <= held. */
bool ledger_settle(struct ledger *l, uint32_t tenant_id, int64_t held_nano, int64_t charge_nano,
	struct record_transaction *t) MUST_CHECK;
/* All of it back. */
bool ledger_release(struct ledger *l, uint32_t tenant_id, int64_t held_nano,
	struct record_transaction *t) MUST_CHECK;
/* A settle that will never become durable is undone; t is the settle with charge 0 in its place. */
bool ledger_unsettle(struct ledger *l, uint32_t tenant_id, int64_t held_nano, int64_t charge_nano,
	struct record_transaction *t) MUST_CHECK;

/* Whether the accounts add up to 0. */
bool ledger_balanced(const struct ledger *l);
/* Whether the entries of a transaction add up to 0 and are those of its kind. */
bool ledger_transaction_valid(const struct record_transaction *t);

#endif
