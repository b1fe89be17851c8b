/* fleet/simulate_internal.h - the simulated world around the core, shared by its files.
 *
 *	simulate.c      the clock: what happens next; boot, crash, drain
 *	world.c         the size of this world by its seed; what actions do; store and executors
 *	clients.c       clients and front: requests, reading, stalling, leaving
 *	commands.c      administration at random
 */
#ifndef FLEET_SIMULATE_INTERNAL_H
#define FLEET_SIMULATE_INTERNAL_H

#include "base/prng.h"
#include "cloud/journal.h"
#include "cloud/store_memory.h"
#include "engine/executor_sim.h"
#include "fleet/simulate.h"
#include "fleet/witness.h"

#define FLEET_NEVER_NS      INT64_MAX
#define FLEET_US            1000LL
#define FLEET_MS            1000000LL
#define FLEET_CONTEXT_MAX   160
#define FLEET_MESSAGES_MAX  256
#define FLEET_KEYS_MAX      8
#define FLEET_KEY_TOKEN     (1ULL << 63)            /* the command makes a key */
#define FLEET_WALL_NS       1700000000000000000LL   /* wall clock when virtual time is 0 */

enum client_state {
	CLIENT_AWAY,        /* the handle is free */
	CLIENT_ASKING,
	CLIENT_COUNTING,    /* admitted; its tokens are being counted */
	CLIENT_ARRIVING,
	CLIENT_OPEN,
	CLIENT_ANSWERED,    /* no more tokens will come */
	CLIENT_FLUSHED,     /* FLUSHED was said */
	CLIENT_GONE,        /* CANCEL was said */
};

struct client {
	enum client_state state;
	bool stream;
	bool stalled;
	bool trickles;                  /* a token just before it would be cut off */
	uint32_t prompt_tokens;
	uint32_t answer_tokens_asked;   /* 0: without max_tokens */
	uint32_t delivered;
	uint32_t written;
	uint32_t window;                /* tokens unsent beyond which it stalls */
	int64_t read_ns;                /* a token takes so long; FLEET_NEVER_NS: reads nothing */
	int64_t act_ns;                 /* when it next counts, reads or flushes */
	int64_t cancel_ns;
};

/* Messages take time, and stay in order. */
struct to_core {
	int64_t due_ns;
	struct core_event event;
};

struct to_front {
	int64_t due_ns;
	struct core_action action;
};

struct fleet {
	const struct fleet_options *options;
	struct fleet_report *report;
	struct prng prng;
	int64_t now_ns;
	struct core_limits limits;
	struct executor_limits model_limits[WITNESS_MODELS];
	struct chip_cost cost;
	struct chip_cost_rates rates;
	uint32_t batch_fail_per_million;
	uint32_t row_error_per_million;
	uint32_t commit_fail_per_million;
	int64_t arrival_ns_mean;
	uint64_t crash_every;           /* events; 0: never */

	struct core *core;
	void *core_memory;
	struct core_actions actions;
	struct witness witness;
	uint64_t hash;

	struct store *store;
	bool store_halted;
	int64_t commit_ns;
	struct executor *executors[WITNESS_MODELS];
	struct request *by_handle[WITNESS_HANDLES];
	struct request_table table;
	struct request requests[WITNESS_HANDLES];
	uint32_t answers[WITNESS_HANDLES][FLEET_CONTEXT_MAX];

	struct client clients[WITNESS_HANDLES];
	struct to_core to_core[FLEET_MESSAGES_MAX];
	uint32_t to_core_first;
	uint32_t to_core_count;
	struct to_front to_front[FLEET_MESSAGES_MAX];
	uint32_t to_front_first;
	uint32_t to_front_count;
	int64_t tick_deadline_ns;       /* that the core last told */
	int64_t tick_ns;                /* when the timer for it comes */
	int64_t arrival_ns;
	int64_t command_ns;
	uint64_t request_next;
	uint64_t token_next;
	uint64_t keys[FLEET_KEYS_MAX];  /* of commands that made a key */
	uint32_t key_count;
	uint32_t revoke_count;
	int64_t topup_max_nano;
	uint64_t crash_event;
	bool draining;
	bool stopped;

	uint8_t *journal;               /* with options.replay */
	size_t journal_bytes;
	size_t journal_capacity;
};

/* ---- chance ---------------------------------------------------------------------------------- */

static inline uint64_t fleet_between(struct fleet *f, uint64_t low, uint64_t high)
{
	return low + prng_below(&f->prng, high - low + 1);
}

static inline uint32_t fleet_between_u32(struct fleet *f, uint32_t low, uint32_t high)
{
	return (uint32_t)fleet_between(f, low, high);
}

static inline int64_t fleet_between_ns(struct fleet *f, int64_t low, int64_t high)
{
	return (int64_t)fleet_between(f, (uint64_t)low, (uint64_t)high);
}

static inline bool fleet_one_in(struct fleet *f, uint64_t n)
{
	return prng_below(&f->prng, n) == 0;
}

/* The hash of the key that a command made. */
void fleet_key_hash(uint64_t token, uint8_t *hash);

/* ---- world.c --------------------------------------------------------------------------------- */

/* The first thing that is wrong stays. */
void fleet_fail(struct fleet *f, const char *text);
/* Limits, speeds and faults of this seed. */
void fleet_dimension(struct fleet *f);
enum err fleet_executors_open(struct fleet *f, struct err_info *info);
void fleet_executors_close(struct fleet *f);
/* The event enters the core now; its actions are carried out; everything is checked. */
void fleet_core(struct fleet *f, struct core_event *event);
/* The event enters the core a little later. */
void fleet_core_later(struct fleet *f, const struct core_event *event);
void fleet_commit(struct fleet *f);
void fleet_batch_done(struct fleet *f, uint32_t model);

/* ---- clients.c ------------------------------------------------------------------------------- */

void fleet_client_arrive(struct fleet *f);
/* What the core says to the front about a request. */
void fleet_client_told(struct fleet *f, const struct core_action *action);
/* When a client next does something. */
int64_t fleet_client_due_ns(const struct client *c);
void fleet_client_act(struct fleet *f, uint32_t handle);

/* ---- commands.c ------------------------------------------------------------------------------ */

void fleet_command(struct fleet *f);

#endif
