/* cloud/record.h - what the store keeps: plain rows, copied by value from the core to the store.
 *
 * Everything is bounded, so that a ring can carry it. Texts that follow from a row (the idempotency
 * key, the name of an account, the request id) are made by one function each, never kept twice.
 * Amounts are nano-units of the currency, 64 bits; times are wall clock nanoseconds since 1970.
 */
#ifndef CLOUD_RECORD_H
#define CLOUD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RECORD_NAME_BYTES     65    /* of a tenant or a key, terminated */
#define RECORD_MODEL_BYTES    128   /* the id in /v1/models, terminated */
#define RECORD_PREFIX_BYTES   16    /* the start of a key that may be shown, terminated */
#define RECORD_HASH_BYTES     32    /* keyed hash of a key */
#define RECORD_REQUEST_BYTES  40    /* a request id, "req_" and 32 hex digits, terminated */
#define RECORD_ENTRIES_MAX    3
#define RECORD_TEXT_BYTES     128   /* any text made below */
#define RECORD_NONE           0     /* no tenant, no key: ids count from 1 */

/* ---- requests -------------------------------------------------------------------------------- */

/* The 128 bits of a request id; "req_" and 32 hex digits as text. */
struct record_request {
	uint64_t high;
	uint64_t low;
};

/* Their order: high, then low. Negative, 0, positive. */
int record_request_compare(struct record_request a, struct record_request b);

/* rules.md 8 */
enum record_finish {
	RECORD_FINISH_OPEN,         /* not yet: in the row that a first hold carries */
	RECORD_FINISH_STOP,
	RECORD_FINISH_LENGTH,
	RECORD_FINISH_TOOL_CALLS,
	RECORD_FINISH_CANCELLED,
	RECORD_FINISH_ERROR,
};

/* One request as it is metered and billed (rules.md 7, 16). */
struct record_usage {
	struct record_request request;
	uint32_t tenant_id;
	uint32_t key_id;            /* RECORD_NONE: came without a key */
	char model[RECORD_MODEL_BYTES];
	uint64_t price_version;     /* 0: had no price */
	int64_t at_ns;
	int64_t input;              /* prompt tokens processed, cached ones included */
	int64_t cached_input;
	int64_t output;             /* reasoning included */
	int64_t reasoning;
	enum record_finish finish;
	int64_t amount_nano;
};

/* ---- the ledger ------------------------------------------------------------------------------ */

/* cash: where top-ups come from; lease: what a tenant can spend here; held: what its open requests
 * may cost; revenue: what was earned. A balance is the sum of an account's entries; all together
 * are 0. */
enum record_account { RECORD_CASH, RECORD_LEASE, RECORD_HELD, RECORD_REVENUE };

struct record_entry {
	enum record_account account;
	int64_t amount_nano;
};

/*	kind      entries
 *	topup     cash -a, lease +a
 *	hold      lease -h, held +h                  one per step: parts 0, 1, 2, ...
 *	settle    held -(all h), revenue +charge, lease +rest
 *	release   held -(all h), lease +(all h)              of a request that a crash cut off
 *	refund    revenue -a, lease +a
 *	adjust    cash -a, lease +a, a of either sign
 */
enum record_transaction_kind {
	RECORD_TOPUP,
	RECORD_HOLD,
	RECORD_SETTLE,
	RECORD_RELEASE,
	RECORD_REFUND,          /* reserved, as the next: lists and checks know them,
				 * nothing makes them */
	RECORD_ADJUST,
};

struct record_transaction {
	uint64_t id;                /* counts up */
	int64_t at_ns;
	enum record_transaction_kind kind;
	uint32_t tenant_id;
	bool has_request;
	struct record_request request;
	uint32_t part;              /* of a hold */
	uint32_t entry_count;
	struct record_entry entries[RECORD_ENTRIES_MAX];
};

/* ---- who and at what price ------------------------------------------------------------------- */

struct record_tenant {
	uint32_t id;
	char name[RECORD_NAME_BYTES];   /* [a-z0-9-]{1,64} */
	int64_t credit_nano;            /* how far below 0 its balance may go (rules.md 15) */
	int64_t requests_per_min;       /* 0: no limit */
	int64_t tokens_per_min;         /* 0: no limit */
	int64_t created_ns;
};

struct record_key {
	uint32_t id;
	uint32_t tenant_id;
	char name[RECORD_NAME_BYTES];
	char prefix[RECORD_PREFIX_BYTES];
	uint8_t hash[RECORD_HASH_BYTES];
	bool revoked;
	int64_t created_ns;
};

/* Nano-units per million tokens. A version is never changed (rules.md 17). */
struct record_price {
	char model[RECORD_MODEL_BYTES];
	uint64_t version;               /* counts up over all models, from 1 */
	int64_t from_ns;
	int64_t input_nano;
	int64_t cached_nano;
	int64_t output_nano;
};

/* ---- what goes to the store ------------------------------------------------------------------ */

enum record_kind {
	RECORD_TRANSACTION, /* new; with the usage row if has_usage */
	RECORD_TENANT,      /* new, or a new state of the tenant with this id */
	RECORD_KEY,         /* likewise */
	RECORD_PRICE,       /* new */
	RECORD_RETRY,       /* no row: commit again after a commit failed (store.h) */
};

struct record {
	uint64_t sequence;      /* counts up from 1 since start; the order of rows in the store */
	/* 0, or an earlier record that was not durable and must not become so */
	uint64_t replaces;
	enum record_kind kind;
	bool awaited;           /* someone waits for it: commit soon */
	union {
		struct {
			struct record_transaction transaction;
			/* With a settle or release: the request's usage row. With a hold's part
			 * 0: the row as far as it is known (finish open), to be kept until then
			 * for a restart. */
			bool has_usage;
			struct record_usage usage;
		} money;
		struct record_tenant tenant;
		struct record_key key;
		struct record_price price;
	} u;
};

/* ---- texts ----------------------------------------------------------------------------------- */

/* "req_0123...": out holds RECORD_REQUEST_BYTES. */
void record_request_format(char *out, struct record_request request);
/* The reverse; false when it is not of this form. */
bool record_request_parse(struct record_request *out, const char *text) MUST_CHECK;

/* Unique per transaction for ever: "hold:<request>:<part>", "settle:<request>",
 * "release:<request>", "topup:<id>", "refund:<id>", "adjust:<id>". out holds RECORD_TEXT_BYTES,
 * here and below. */
void record_idempotency_format(char *out, const struct record_transaction *t);

/* "cash", "revenue", "lease/<server>/<tenant>", "held/<server>/<tenant>". */
void record_account_format(char *out, enum record_account account, uint32_t server_id,
	const char *tenant);

/* As in cli.md: "hold", "stop"; "open" for a finish that is not one yet. */
const char *record_transaction_name(enum record_transaction_kind kind);
const char *record_finish_name(enum record_finish finish);
/* The reverse, for what a database says; false when there is no such name. */
bool record_transaction_kind_parse(enum record_transaction_kind *out, const char *name) MUST_CHECK;
bool record_finish_parse(enum record_finish *out, const char *name) MUST_CHECK;
/* [a-z0-9-]{1,64} */
bool record_tenant_name_valid(const char *name);
/* A name that people gave, of a model or a key: UTF-8 without control characters, so that a list of
 * names shows what it says in any terminal; 1 to bytes - 1 bytes. */
bool record_label_valid(const char *label, size_t bytes);

#endif
