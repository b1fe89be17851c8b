/* cloud/core.h - the one state machine that decides: who may, at what price, on which pages, and
 * when it is over.
 *
 *	event --> core_step --> actions
 *
 * Server and fleet call it and do nothing but translate: events in; actions to sockets, executors,
 * store. It composes plain state: tenants and keys, prices, ledger, limits, the pools' schedulers.
 * No clock, thread, heap, IO, floating point, dependence on pointers, statics: time and randomness
 * come with the event, memory is given at the start and is a function of the limits. The same
 * events give the same actions, bit for bit; so the journal of events replays a day.
 *
 *	core = core_init(mem_alloc(1, core_bytes(&limits)), &limits);
 *	more = core_step(core, &event, &actions);
 *	for (;;) {
 *		carry out actions.list[0 .. count)
 *		if (!more)
 *			break;      // wait for an event, at most until actions.deadline_ns
 *		more = core_step(core, NULL, &actions);     // the rest of the same event
 *	}
 *
 * Life of a request, seen from outside (F is the front, by handle; a handle is free again for F
 * after REFUSE or END, and until then F does not use it for another request):
 *
 *	F: ASK      ->  ADMIT | REFUSE      key, tenant, limits; all room it needs is reserved
 *	F: ARRIVE   ->  ACCEPT | REFUSE     tokens are counted: hold taken, queued
 *	               DELIVER ...          the answer has so many tokens now
 *	F: WRITTEN ...                      so many whole tokens are in the socket
 *	               ANSWERED             no more tokens will come
 *	F: FLUSHED                          stream: all deltas written; else: the body is ready
 *	               END                  settled durably: write the last chunk, or the body
 *	F: CANCEL (any time)  ->  END       client gone, or F cannot go on; or F's answer to CUT
 *
 * What crosses on the way is harmless: an event for a handle that is already over is ignored.
 */
#ifndef CLOUD_CORE_H
#define CLOUD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cloud/record.h"
#include "engine/batch.h"
#include "engine/executor.h"

#define CORE_ACTIONS_MAX    64
#define CORE_REQUESTS_MAX   65536
#define CORE_ROWS_MAX       1000000     /* of tenants, keys, prices, records */
#define CORE_MODELS_MAX     64
#define CORE_NONE           UINT32_MAX
#define CORE_NEVER_NS       INT64_MAX
#define CORE_TENANT_LOCAL   "local"     /* rules.md 10: metered, never refused */

/* What memory is reserved for. Every one of them full is an answer, not a crash. */
struct core_limits {
	uint32_t requests_max;      /* handles are below it */
	uint32_t queue_max;         /* asked or queued, not yet running; beyond it OVERLOADED */
	uint32_t tenants_max;
	uint32_t keys_max;          /* revoked ones count */
	uint32_t prices_max;        /* models that have a price */
	uint32_t models_max;
	uint32_t replies_max;       /* administration waiting to be durable */
	uint32_t records_max;       /* given to the store and not yet durable */
	/* an open-ended answer is held for by such steps (rules.md 14: 1,024) */
	uint32_t hold_step_tokens;
	/* a client that takes nothing for so long is cut off (rules.md 5: 30 s) */
	int64_t stall_ns;
	int64_t retry_ns;           /* a failed commit is tried again after this */
	struct executor_limits pool;    /* no model may have more of anything */
};

/* ---- events ---------------------------------------------------------------------------------- */

enum core_event_kind {
	/* Boot, in this order, before any other; the store gives them (store.h), then comes READY.
	 * Ids of tenants and keys count from 1 without a gap. A CUT_OFF makes a record: commit, and
	 * tell the core STORED, before records_max of them are pending. */
	CORE_LOAD_COUNTERS,
	CORE_LOAD_TENANT,
	CORE_LOAD_KEY,
	CORE_LOAD_PRICE,    /* the newest version of each model */
	/* a request that a crash cut off: released, recorded as error (rules.md 19) */
	CORE_LOAD_CUT_OFF,
	CORE_READY,         /* REPLY: DONE, or CONTRADICTION when the ledger does not add up */
	CORE_MODEL,         /* a model is loaded and its executor waits for batches; any time */

	/* Requests, from the front. */
	CORE_ASK,
	CORE_ARRIVE,
	CORE_WRITTEN,
	/* Unsent output is full: do not schedule. Also when an answer is whole and its client takes
	 * nothing. Said again whenever a byte was taken meanwhile (rules.md 5). */
	CORE_STALL,
	CORE_RESUME,
	CORE_FLUSHED,
	CORE_CANCEL,
	CORE_AUTHORISE,     /* is this key good? For routes that start no request */

	/* From below. */
	CORE_BATCH_DONE,    /* the batch comes back: results filled, or failed */
	CORE_STORED,        /* durable up to and including this sequence */
	/* a commit failed; nothing after the last STORED is durable; the store waits for RETRY */
	CORE_STORE_FAILED,

	CORE_TICK,          /* the deadline has come */
	/* no new requests; what runs has grace_ns, then is CUT; then STOPPED (rules.md 9) */
	CORE_DRAIN,

	/* Administration: each is answered by one REPLY, once durable. */
	CORE_TENANT_CREATE,
	CORE_TENANT_TOPUP,
	CORE_TENANT_SET,    /* credit and limits */
	CORE_TENANT_SHOW,
	CORE_KEY_CREATE,
	CORE_KEY_REVOKE,
	CORE_PRICE_SET,
	CORE_EVENT_KINDS
};

enum core_credential {
	CORE_CREDENTIAL_NONE,
	CORE_CREDENTIAL_KEY,
};

/* Who asks. trusted: on loopback, or anonymous use is allowed (rules.md 10, 11). */
struct core_caller {
	enum core_credential credential;
	bool trusted;
	uint8_t key_hash[RECORD_HASH_BYTES];
};

struct core_event {
	enum core_event_kind kind;
	int64_t now_ns;         /* never goes back; what deadlines are compared with */
	int64_t wall_ns;        /* what rows are dated with */
	uint64_t random;        /* LOAD_COUNTERS: seed of the hash tables; else unused */
	uint64_t token;         /* READY, MODEL, AUTHORISE, administration: comes
				 * back in the REPLY */
	union {
		struct {
			uint64_t transaction_id_next;
			uint64_t price_version_next;
			int64_t cash_nano;
			int64_t revenue_nano;
		} load_counters;
		struct {
			struct record_tenant tenant;
			int64_t balance_nano;
			int64_t held_nano;
		} load_tenant;
		struct record_key load_key;
		struct record_price load_price;
		struct {
			/* as the first hold left it, or as the journal tells */
			struct record_usage usage;
			int64_t held_nano;
			int64_t tokens;             /* sampled at least, by the journal */
		} cut_off;
		struct {
			uint32_t model;             /* index, below models_max, not in use */
			char name[RECORD_MODEL_BYTES];
			struct executor_limits limits;
		} model;
		struct {
			uint32_t handle;
			uint32_t model;             /* CORE_NONE: no such model */
			struct record_request request;
			struct core_caller caller;
		} ask;
		struct {
			uint32_t handle;
			uint32_t prompt_tokens;
			/* the request's: max_tokens cut to the room, or the room */
			uint32_t answer_tokens_max;
			/* came without max_tokens: the hold grows (rules.md 14) */
			bool open_ended;
		} arrive;
		struct {
			uint32_t handle;
			/* whole tokens whose delta was written, from the start */
			uint32_t tokens;
			/* FLUSHED, CANCEL: how many of them were reasoning */
			uint32_t reasoning;
			/* FLUSHED: finish is tool_calls instead of stop */
			bool tool_calls;
			/* CANCEL: not the client's wish; the front could not go on. An engine
			 * error (rules.md 16) */
			bool failed;
		} progress;                         /* WRITTEN STALL RESUME FLUSHED CANCEL */
		struct { struct core_caller caller; } authorise;
		struct batch *batch_done;
		struct { uint64_t sequence; } store;
		struct { int64_t grace_ns; } drain;
		struct {
			struct record_tenant tenant;    /* all but id and created_ns */
			int64_t topup_nano;             /* 0: none */
		} tenant_create;
		struct {
			char name[RECORD_NAME_BYTES];
			int64_t amount_nano;
		} tenant_topup;
		struct {
			char name[RECORD_NAME_BYTES];
			int64_t credit_nano;        /* of these three: below 0, as it is */
			int64_t requests_per_min;   /* 0: no limit */
			int64_t tokens_per_min;
		} tenant_set;
		struct { char name[RECORD_NAME_BYTES]; } tenant_show;
		struct {
			char tenant[RECORD_NAME_BYTES];
			struct record_key key;          /* name, prefix, hash */
		} key_create;
		struct { uint32_t key_id; } key_revoke;
		/* not version, from */
		struct { struct record_price price; } price_set;
	} u;
};

/* ---- actions --------------------------------------------------------------------------------- */

/* Why not; server/ has the one table from these to HTTP (rules.md 2). */
enum core_refusal {
	CORE_REFUSE_INVALID_KEY,
	CORE_REFUSE_MODEL_NOT_FOUND,
	CORE_REFUSE_RATE_LIMITED,       /* retry_after_ns */
	CORE_REFUSE_OVERLOADED,         /* retry_after_ns */
	CORE_REFUSE_CONTEXT_LENGTH,
	CORE_REFUSE_INSUFFICIENT_QUOTA,
	CORE_REFUSE_DRAINING,
	CORE_REFUSE_STORE_DOWN,         /* retry_after_ns; rules.md 18 */
};

enum core_result {
	CORE_RESULT_DONE,
	CORE_RESULT_NOT_FOUND,
	CORE_RESULT_EXISTS,
	CORE_RESULT_INVALID,        /* name or number out of its bounds */
	CORE_RESULT_FULL,           /* a limit of struct core_limits */
	CORE_RESULT_STORE_DOWN,
	/* READY: a row out of its bounds, ids with a gap, held is not what the open holds add up
	 * to, or the sum is not 0; audit.h tells where */
	CORE_RESULT_CONTRADICTION,
	CORE_RESULT_INVALID_KEY,    /* AUTHORISE */
	/* a top-up beyond what the tenant's account, or that of all top-ups, can hold */
	CORE_RESULT_ACCOUNT_FULL,
};

struct core_reply {
	uint64_t token;
	enum core_result result;
	struct record_tenant tenant;    /* whose state this is, where there is one */
	int64_t balance_nano;
	int64_t held_nano;
	uint32_t key_id;                /* KEY_CREATE, KEY_REVOKE, AUTHORISE */
	uint64_t price_version;         /* PRICE_SET */
	int64_t price_from_ns;          /* PRICE_SET */
};

enum core_action_kind {
	CORE_ADMIT,     /* after ASK: go on and count the tokens */
	CORE_REFUSE,    /* after ASK or ARRIVE: the handle is free */
	CORE_ACCEPT,    /* after ARRIVE */
	CORE_RUN,       /* the batch goes to the executor of batch->model */
	CORE_DELIVER,
	CORE_ANSWERED,
	CORE_CUT,       /* write no more of it and say CANCEL */
	CORE_END,       /* the handle is free */
	CORE_STORE,     /* to the store, in this order */
	CORE_REPLY,
	CORE_STOPPED,   /* drained: no request is open */
	CORE_ACTION_KINDS
};

struct core_action {
	enum core_action_kind kind;
	union {
		struct { uint32_t handle, tenant_id, key_id, context_max; } admit;
		struct { uint32_t handle; enum core_refusal code; int64_t retry_after_ns; } refuse;
		struct { uint32_t handle; } accept;
		struct batch *run;
		/* Tokens so far; the executor has written them. */
		struct { uint32_t handle, answer_tokens; } deliver;
		struct { uint32_t handle, answer_tokens; enum record_finish finish; } answered;
		struct { uint32_t handle; } cut;
		struct {
			uint32_t handle;
			/* false: nothing was held, nothing is recorded */
			bool recorded;
			/* error because the settle did not become durable */
			bool store_failed;
			enum record_finish finish;
			int64_t prompt_tokens;
			int64_t cached_tokens;
			/* as in the record: of a cancelled answer, what was written */
			int64_t completion_tokens;
			int64_t amount_nano;
		} end;
		struct record store;
		struct core_reply reply;
	} u;
};

struct core_actions {
	uint32_t count;
	/* TICK at this time at the latest; CORE_NEVER_NS: no need */
	int64_t deadline_ns;
	struct core_action list[CORE_ACTIONS_MAX];
};

/* ---- the machine ----------------------------------------------------------------------------- */

struct core;

/* Whether a core can be made of these, as they come from a configuration: ERR_LIMIT
 * names what not. */
enum err core_limits_check(const struct core_limits *limits, struct err_info *info) MUST_CHECK;

size_t core_bytes(const struct core_limits *limits);
/* memory: core_bytes(limits), zeroed, aligned for any type. */
struct core *core_init(void *memory, const struct core_limits *limits);
/* Takes the event, or with NULL the rest of the one before. True: call again with NULL before
 * the next event. */
bool core_step(struct core *core, const struct core_event *event, struct core_actions *actions)
	MUST_CHECK;

/* Verifies everything that must hold between two events; the first contradiction, or NULL. */
const char *core_check(const struct core *core);

/* Counts since start, and what is now: for metrics and `ps`. */
struct core_stats {
	uint64_t asked, refused, admitted, ended;
	uint64_t ended_by_finish[RECORD_FINISH_ERROR + 1];
	uint64_t prompt_tokens;         /* of ended requests, as recorded */
	uint64_t cached_tokens;
	uint64_t completion_tokens;
	uint64_t tokens_sampled;
	uint64_t tokens_undelivered;    /* rules.md 7 */
	uint64_t tokens_unrecorded;     /* rules.md 19 */
	uint64_t preemptions;
	uint64_t batches, batches_failed, rows;
	uint64_t commits_failed;
	int64_t revenue_nano;           /* settled since start */
	uint32_t waiting, running, parked;  /* requests, all models */
	uint32_t pages_used, pages;
	bool store_failing, draining;
};

void core_stats(const struct core *core, struct core_stats *out);

/* Whether a row is within its bounds by itself: no other is created, and none is started with. */
bool core_tenant_valid(const struct record_tenant *row);
bool core_price_valid(const struct record_price *row);

/* Mixes every field of the actions into a running hash: the trace that fleet, replay
 * and tests compare. */
uint64_t core_actions_hash(uint64_t hash, const struct core_actions *actions);

#endif
