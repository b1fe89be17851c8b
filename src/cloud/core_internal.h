/* cloud/core_internal.h - the core's state, shared by its files and nobody else.
 *
 *	core.c              memory, the step, what one step still has to do
 *	core_request.c      life of a request: its events, and what its pool tells
 *	core_limit.c        requests and tokens a minute
 *	core_money.c        hold, growth, settle; records to the store
 *	core_store.c        durable or failed: ends and replies that waited for it
 *	core_admin.c        tenants, keys, prices by command
 *	core_boot.c         what the store remembers comes in
 *	core_check.c        the invariants
 *	core_trace.c        the hash of actions
 */
#ifndef CLOUD_CORE_INTERNAL_H
#define CLOUD_CORE_INTERNAL_H

#include "cloud/bucket.h"
#include "cloud/core.h"
#include "cloud/index.h"
#include "cloud/ledger.h"
#include "cloud/price.h"
#include "engine/pool.h"

#define CORE_ROOM           8   /* actions that one piece of work makes at most */
#define CORE_REQUEST_RECORDS 3  /* reserved per request: hold, settle, the settle in its place */

/* Life of a request. `in pool`: between pool_submit and POOL_END.
 *
 *	state      from            to                         invariant
 *	FREE       any             ASKED                      nothing is held or reserved
 *	ASKED      FREE            RUNNING FREE               the front counts; records reserved
 *	RUNNING    ASKED           LEAVING FLUSHING SETTLING  in pool; hold taken
 *	LEAVING    RUNNING         SETTLING                   in pool; cancelled, written is final
 *	FLUSHING   RUNNING         SETTLING                   the front writes the rest
 *	SETTLING   RUNNING LEAVING FREE                       nothing held; the store has the settle
 *	           FLUSHING
 */
enum request_state {
	REQUEST_FREE,
	REQUEST_ASKED,
	REQUEST_RUNNING,
	REQUEST_LEAVING,
	REQUEST_FLUSHING,
	REQUEST_SETTLING,
};

/* What a list of requests is linked by; a request is in at most one list of each kind. */
enum request_link {
	LINK_STALLED,       /* by deadline: the client takes nothing */
	LINK_SETTLING,      /* by sequence of the settle */
	LINK_STARVED,       /* waits for room among the records to grow its hold */
	LINKS
};

struct core_request {
	enum request_state state;
	struct record_request id;
	uint32_t model;
	uint32_t tenant_id;
	uint32_t key_id;
	bool open_ended;
	bool cut;                       /* CUT was said; CANCEL will come */
	bool prompt_done;               /* LEAVING: a token had been sampled before the cancel */
	bool failed;                    /* LEAVING: the front could not go on */
	struct price price;             /* in force at admission (rules.md 17) */
	uint32_t prompt_tokens;
	uint32_t answer_tokens_max;
	uint32_t answer_tokens_allowed; /* that the hold covers */
	uint32_t answer_tokens;         /* sampled and delivered to the front */
	uint32_t written_tokens;        /* whole tokens in the socket, as the front last said */
	uint32_t reasoning_tokens;
	uint32_t cached_tokens;
	uint32_t bucket_tokens;         /* taken from the tenant's bucket */
	uint32_t records_reserved;
	uint32_t hold_parts;
	int64_t held_nano;
	int64_t settled_held_nano;      /* SETTLING: what was held before */
	uint64_t settle_sequence;
	int64_t stall_deadline_ns;
	struct record_usage usage;      /* from SETTLING on */
	bool linked[LINKS];
	uint32_t previous[LINKS];
	uint32_t next[LINKS];
};

struct request_list {
	uint32_t first;
	uint32_t last;
};

struct core_tenant {
	struct record_tenant row;
	struct bucket requests;         /* unused while the row says 0 */
	struct bucket tokens;
};

struct core_model {
	bool loaded;
	char name[RECORD_MODEL_BYTES];
	struct pool *pool;
};

struct core_price {
	char model[RECORD_MODEL_BYTES];
	struct price price;
};

struct core_waiting_reply {
	uint64_t sequence;              /* durable: then it is said */
	struct core_reply reply;
};

struct core {
	struct core_limits limits;
	int64_t now_ns;                 /* of the event being worked on */
	int64_t wall_ns;
	uint64_t seed;
	bool ready;
	enum core_result boot_result;   /* the first thing that was wrong with what was loaded */

	struct core_request *requests;  /* [requests_max] by handle */
	struct request_list lists[LINKS];
	uint32_t asked_count;
	uint32_t open_count;            /* not FREE */

	struct core_tenant *tenants;    /* [tenants_max] by id - 1 */
	uint32_t tenant_count;
	struct index tenant_index;      /* by name */
	uint32_t tenant_local_id;
	struct record_key *keys;        /* [keys_max] by id - 1 */
	uint32_t key_count;
	struct index key_index;         /* by hash */
	struct core_price *prices;      /* [prices_max] */
	uint32_t price_count;
	struct index price_index;       /* by model */
	uint64_t price_version_next;
	struct core_model *models;      /* [models_max] */
	struct ledger ledger;

	uint64_t record_given;          /* sequence of the last record */
	uint64_t record_durable;
	uint32_t records_reserved;      /* sum over requests */
	bool store_failing;
	bool retry_due;                 /* RETRY is to be said at retry_ns */
	int64_t retry_ns;
	uint64_t failed_sequence;       /* settles up to it are to be undone */
	struct core_waiting_reply *replies;     /* [replies_max], a ring by sequence */
	uint32_t reply_first;
	uint32_t reply_count;

	bool draining;
	bool stopped_told;
	int64_t drain_ns;               /* when what runs is cut */
	uint32_t cut_next;              /* handles below it have been cut */
	uint32_t pool_next;             /* whose turn it is to be asked */
	int64_t last_end_ns;
	int64_t end_interval_ns;        /* between ends, smoothed; 0: not known */
	struct core_stats stats;
};

/* ---- core.c ---------------------------------------------------------------------------------- */

/* The next action, zeroed but for its kind. There is room: CORE_ROOM before each piece of work. */
struct core_action *core_action_add(struct core_actions *actions, enum core_action_kind kind);
void request_link(struct core *core, enum request_link link, uint32_t handle);
void request_unlink(struct core *core, enum request_link link, uint32_t handle);
struct core_request *request_at(struct core *core, uint32_t handle);
uint64_t core_text_hash(const struct core *core, const char *text);

/* ---- core_request.c -------------------------------------------------------------------------- */

void request_ask(struct core *core, const struct core_event *event, struct core_actions *actions);
void request_arrive(struct core *core, const struct core_event *event,
	struct core_actions *actions);
/* WRITTEN STALL RESUME FLUSHED CANCEL */
void request_progress(struct core *core, const struct core_event *event,
	struct core_actions *actions);
void request_pool_event(struct core *core, struct core_model *model,
	const struct pool_event *event, struct core_actions *actions);
/* END; the handle is free. */
void request_end(struct core *core, uint32_t handle, bool store_failed,
	struct core_actions *actions);
/* CUT, once. */
void request_cut(struct core *core, uint32_t handle, struct core_actions *actions);

/* ---- core_money.c ---------------------------------------------------------------------------- */

/* Records that may still be given beyond those reserved. */
uint32_t core_records_free(const struct core *core);
struct record *core_store(struct core *core, enum record_kind kind, struct core_actions *actions);
/* Takes the hold of an arriving request; false: the money does not reach (rules.md 14). */
bool money_hold(struct core *core, uint32_t handle, struct core_actions *actions);
/* After the answer has grown: holds more, or ends it where the money ends. */
void money_grow(struct core *core, uint32_t handle, struct core_actions *actions);
/* Charges what rules.md 7 and 16 say, gives back the rest, makes the one usage record. */
void money_settle(struct core *core, uint32_t handle, enum record_finish finish,
	struct core_actions *actions);
/* The settle did not become durable: it costs nothing, and that is recorded in its place. */
void money_unsettle(struct core *core, uint32_t handle, struct core_actions *actions);

/* ---- core_limit.c ---------------------------------------------------------------------------- */

/* How long until the tenant may ask; 0: now. */
int64_t limit_ask_wait_ns(const struct core *core, uint32_t tenant_id);
/* It asks, and may. */
void limit_ask(struct core *core, uint32_t tenant_id);
/* 0 and what it may use for now is taken, or how long until it may. */
int64_t limit_arrive_wait_ns(struct core *core, struct core_request *r);
/* The answer may have so many more: taken, into debt if need be. */
void limit_grow(struct core *core, struct core_request *r, uint32_t tokens);
/* It is over and has used so many. */
void limit_give_back(struct core *core, struct core_request *r, uint32_t used);

/* ---- core_store.c ---------------------------------------------------------------------------- */

void store_progress(struct core *core, const struct core_event *event);
/* Each does one piece of work that waited for the store; false: there is none. */
bool store_work(struct core *core, struct core_actions *actions);
/* Says the reply when everything given so far is durable. */
void core_reply_later(struct core *core, const struct core_reply *reply);
void core_reply_now(const struct core_reply *reply, struct core_actions *actions);

/* ---- core_admin.c ---------------------------------------------------------------------------- */

void admin_event(struct core *core, const struct core_event *event, struct core_actions *actions);
/* RECORD_NONE: no such tenant. */
uint32_t tenant_find(const struct core *core, const char *name);
/* Adds a row that is valid and new, with its account. */
void tenant_add(struct core *core, const struct record_tenant *row, int64_t balance_nano,
	int64_t held_nano);
/* Whose key this is; false: no good one (rules.md 10). */
bool caller_find(const struct core *core, const struct core_caller *caller, uint32_t *tenant_id,
	uint32_t *key_id);
uint32_t key_find(const struct core *core, const uint8_t *hash);
void key_add(struct core *core, const struct record_key *row);
/* NULL: the model has no price. */
const struct core_price *price_find(const struct core *core, const char *model);
/* false: full. */
bool price_put(struct core *core, const struct record_price *row);
bool text_valid(const char *text, size_t size);

/* ---- core_boot.c ----------------------------------------------------------------------------- */

void boot_event(struct core *core, const struct core_event *event, struct core_actions *actions);

#endif
