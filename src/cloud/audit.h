/* cloud/audit.h - does everything that was remembered agree? The logic of `tongyun ledger check`.
 *
 * Pure; a store feeds it all rows, in this order:
 *
 *	1. audit_price      every version
 *	2. audit_tenant     every tenant
 *	3. the rest by request id, ascending (high, then low); those without one before all:
 *	   audit_transaction of one request by id, then audit_usage, then audit_fact
 *	4. audit_end
 *
 * So it needs no memory per request, only prices and tenants. The first contradiction stays in
 * text; what is fed after it is ignored. A request that is held for and not over is open, not
 * wrong.
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

struct audit {
	struct audit_account *accounts; /* by tenant id - 1 */
	uint32_t account_count;
	uint32_t account_capacity;
	struct record_price *prices;    /* by version - 1 */
	uint32_t price_count;
	uint32_t price_capacity;
	int64_t cash_nano;
	int64_t revenue_nano;
	int64_t earned_nano;            /* sum of all usage rows, less refunds */

	/* Of the request that is being fed. */
	bool in_request;
	struct record_request request;
	uint32_t tenant_id;
	uint32_t hold_count;
	int64_t held_request_nano;
	int64_t charged_nano;
	uint32_t ended_count;           /* settles and releases */
	uint32_t usage_count;
	struct record_usage usage;

	bool failed;
	char text[ERR_TEXT_MAX];        /* of the first contradiction */
};

void audit_init(struct audit *a);
/* ERR_MEMORY is the only error of these two; contradictions are told by audit_end. */
enum err audit_price(struct audit *a, const struct record_price *row, struct err_info *info)
	MUST_CHECK;
enum err audit_tenant(struct audit *a, const struct store_tenant *row, struct err_info *info)
	MUST_CHECK;
void audit_transaction(struct audit *a, const struct record_transaction *row);
void audit_usage(struct audit *a, const struct record_usage *row);
void audit_fact(struct audit *a, const struct store_fact *fact);
/* Everything was fed. ERR_NONE, or ERR_INPUT with the first contradiction. */
enum err audit_end(struct audit *a, struct err_info *info) MUST_CHECK;
void audit_close(struct audit *a);

/* The order in which requests are fed: negative, 0, positive. */
int audit_request_compare(struct record_request a, struct record_request b);

#endif
