/* cloud/audit.h - does everything that was remembered agree? The one logic of `tongyun ledger
 * check`, of the fleet's audit and of the crash test.
 *
 *	audit_store    merges the rows that a store reads out (store.h), and what the journal
 *	               knows, and feeds them to the rest
 *
 * The audit itself is pure. It is fed all rows in this order:
 *
 *	1. audit_totals     once
 *	2. audit_price      every version, ascending
 *	3. audit_tenant     every tenant by id
 *	4. audit_key        every key by id
 *	5. the rest by request id, ascending (high, then low); those without one before all:
 *	   audit_transaction of one request by id, then audit_open, audit_usage, audit_fact
 *	6. audit_end
 *
 * So it needs no memory per request, only prices and tenants. The first contradiction stays in
 * text; what is fed after it is ignored. A request that is held for and not over is open, not
 * wrong, unless it is known that none is alive. Whatever a core refuses to start with
 * (core.h) is found here, and where it is.
 */
#ifndef CLOUD_AUDIT_H
#define CLOUD_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/record.h"
#include "cloud/store.h"

struct audit_account {
	struct store_tenant row;
	int64_t balance_nano;           /* by the transactions */
	int64_t held_nano;
};

/* What has been fed of one request. */
struct audit_request {
	struct record_request id;
	uint32_t tenant_id;
	uint64_t transaction_id;        /* of the last one */
	uint32_t hold_count;
	int64_t held_nano;
	int64_t charged_nano;
	uint32_t ended_count;           /* settles and releases */
	bool released;
	uint32_t open_count;
	uint32_t usage_count;
	struct record_usage usage;
};

struct audit {
	struct audit_account *accounts; /* by tenant id - 1 */
	uint32_t account_count;
	uint32_t account_capacity;
	struct record_price *prices;    /* by version - 1 */
	uint32_t price_count;
	uint32_t price_capacity;
	uint32_t key_count;
	struct store_totals totals;     /* as they were remembered */
	int64_t cash_nano;              /* by the transactions */
	int64_t revenue_nano;
	uint64_t transaction_id;        /* of the last one without a request */
	bool idle;                      /* no request is alive: none may be open */

	bool in_request;
	struct audit_request request;   /* that is being fed */

	bool failed;
	char text[ERR_TEXT_MAX];        /* of the first contradiction */
};

void audit_init(struct audit *a, bool idle);
void audit_totals(struct audit *a, const struct store_totals *row);
/* ERR_MEMORY is the only error of these two; contradictions are told by audit_end. */
enum err audit_price(struct audit *a, const struct record_price *row, struct err_info *info)
	MUST_CHECK;
enum err audit_tenant(struct audit *a, const struct store_tenant *row, struct err_info *info)
	MUST_CHECK;
void audit_key(struct audit *a, const struct record_key *row);
/* idempotency: as it was kept; "" where the store keeps none beside the row it follows from. */
void audit_transaction(struct audit *a, const struct record_transaction *row,
	const char *idempotency);
void audit_open(struct audit *a, const struct record_usage *row);
void audit_usage(struct audit *a, const struct record_usage *row);
void audit_fact(struct audit *a, const struct store_fact *fact);
/* Everything was fed. ERR_NONE, or ERR_INPUT with the first contradiction. */
enum err audit_end(struct audit *a, struct err_info *info) MUST_CHECK;
void audit_close(struct audit *a);

/* All of that for the rows of a store and the facts (sorted by request, NULL: none). ERR_NONE: they
 * agree with each other. Else ERR_INPUT and the first contradiction in info->text, or why the
 * store cannot be read. Memory is a row of each table, and the tenants and prices. idle: no
 * request is alive, so none may be open either. */
enum err audit_store(struct store *s, const struct store_fact *facts, uint64_t fact_count,
	bool idle, struct err_info *info) MUST_CHECK;

#endif
