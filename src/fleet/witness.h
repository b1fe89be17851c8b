/* fleet/witness.h - keeps its own books of what the core does, from outside, and says when they
 * differ.
 *
 * It sees every event before it enters and every action as it leaves, and shares no code with the
 * core but the plain rows: its own sum of every account, its own arithmetic of amounts, its own
 * idea of which pages, slots and requests are in use. What it checks is what the rules promise to
 * someone who only sees the outside.
 */
#ifndef FLEET_WITNESS_H
#define FLEET_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "cloud/core.h"

#define WITNESS_HANDLES     16
#define WITNESS_TENANTS     8
#define WITNESS_MODELS      2
#define WITNESS_PRICES      4
#define WITNESS_PAGES       64
#define WITNESS_RECORDS     64
#define WITNESS_COMMANDS    8
#define WITNESS_TEXT_BYTES  160

enum witness_phase {
	WITNESS_FREE,
	WITNESS_ASKED,
	WITNESS_RUNNING,
	WITNESS_ANSWERED,
	WITNESS_SETTLED,    /* the settle was given to the store */
};

struct witness_request {
	enum witness_phase phase;
	bool asking;            /* ASK or ARRIVE went in and must be answered by this step */
	struct record_request id;
	uint32_t model;
	uint32_t tenant_id;
	uint32_t prompt;
	uint32_t most;          /* answer tokens */
	bool open_ended;
	struct record_price price;
	uint32_t sampled;
	uint32_t planned;       /* sampled if all batches in flight give what they can */
	uint32_t batches;       /* in flight that name it */
	uint32_t delivered;
	uint32_t written;
	bool cancelled;
	bool failed;            /* the cancel was the front's own */
	bool paused;            /* its client takes nothing, or it was cut */
	bool cut;
	bool over;              /* its end was sampled: what fails later is not its own */
	bool broken;            /* a batch or its sequence failed before that */
	bool prompt_done;       /* a token was sampled before the cancel */
	int64_t held_nano;
	uint32_t holds;
	uint32_t covered;       /* answer tokens that are held for */
	bool flushed;
	struct record settle;
};

struct witness_account {
	int64_t balance_nano;
	int64_t held_nano;
};

/* All accounts, by the records alone. */
struct witness_books {
	struct witness_account tenants[WITNESS_TENANTS];
	int64_t cash_nano;
	int64_t revenue_nano;
	int64_t usage_nano;     /* of usage rows */
};

/* A command that waits for its reply. */
struct witness_command {
	uint64_t token;
	enum core_event_kind kind;
	uint64_t sequence;      /* of the last record when its step had ended; 0: it has not */
};

struct witness {
	struct core_limits limits;
	struct executor_limits models[WITNESS_MODELS];
	char model_names[WITNESS_MODELS][RECORD_MODEL_BYTES];
	struct witness_request requests[WITNESS_HANDLES];
	struct record_tenant tenants[WITNESS_TENANTS];
	uint32_t tenant_count;
	struct record_price prices[WITNESS_PRICES];
	uint32_t price_count;
	int64_t least_nano[WITNESS_TENANTS];        /* lowest balance during this step */
	struct witness_books given;     /* by all records that were given to the store */
	struct witness_books durable;   /* by those that are durable */
	struct record records[WITNESS_RECORDS];     /* not durable, a ring by sequence */
	uint64_t record_given;
	uint64_t record_durable;
	uint64_t record_known;          /* durable, and the core was told */
	struct batch *flight[WITNESS_MODELS][EXECUTOR_BATCHES_MAX];
	uint32_t flight_count[WITNESS_MODELS];
	/* handle + 1, of batches in flight */
	uint32_t page_owner[WITNESS_MODELS][WITNESS_PAGES];
	uint32_t page_named[WITNESS_MODELS][WITNESS_PAGES];     /* by so many batches in flight */
	struct witness_command commands[WITNESS_COMMANDS];      /* not answered */
	uint32_t command_count;
	bool ready;
	bool store_failing;
	bool cut_off_due;               /* a CUT_OFF went in: its release must follow */
	struct record_request cut_off;
	int64_t cut_off_nano;
	uint64_t tokens_billed;
	uint64_t tokens_delivered;      /* written to clients whose request is over */
	uint64_t tokens_lost;           /* of these: not billed, because of an error or a crash */
	uint64_t ended;
	uint64_t parked;                /* events after which a request was parked */
	char text[WITNESS_TEXT_BYTES];  /* of the first contradiction; "" while there is none */
};

void witness_init(struct witness *w, const struct core_limits *limits);
/* Before the event enters the core. */
void witness_event(struct witness *w, const struct core_event *event);
/* Each action, before it is carried out. */
void witness_action(struct witness *w, const struct core_action *action);
/* After the last action of an event. */
void witness_step_end(struct witness *w, const struct core *core);
/* The store has made this durable, whether or not the core is told. */
void witness_committed(struct witness *w, uint64_t sequence);
/* The process is gone; what was open is cut off. */
void witness_crash(struct witness *w);
/* After STOPPED and the last commit: nothing is left over. */
void witness_end(struct witness *w, const struct core *core);

#endif
