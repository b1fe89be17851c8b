/* server/server.h - the cloud on a socket: front, core, store and executors, started,
 * run and stopped.
 *
 *   struct server_config config = {.models = models, .model_count = 1};   // 0: the default
 *   if (server_open(&s, &config, &info)) ...   // locks the home, listens, prints what is reserved
 *   server_run(s, &info);                      // until SIGTERM, SIGINT, SIGHUP; rules.md 9
 *   server_close(s);
 *
 * server_run serves in the calling thread; core, store and executors have their own
 * (ARCHITECTURE.md, Threads).
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ring.h"
#include "chip/chip.h"
#include "engine/executor.h"
#include "engine/request.h"

struct chat_template;
struct tokenizer;

#define SERVER_MODELS_MAX 16

/* A model to serve. Everything it points to must outlive the server. */
struct server_model {
	const char *id;                     /* in /v1/models (rules.md 17) */
	const struct tokenizer *tokenizer;
	const char *computed;               /* on which chip, how: for a log line; may be NULL */
	const struct chat_template *chat_template;
	struct chip_sampling defaults;      /* of its generation_config.json */
	const struct think_rule *think;     /* NULL: it never thinks */
	uint32_t eos[REQUEST_EOS_MAX];
	uint32_t eos_count;
	/* Opens what runs its batches. It finds requests in table and sets wake when a batch is
	 * finished; the server closes it. */
	enum err (*executor_open)(void *context, struct executor **out,
		const struct request_table *table, struct wake *wake, struct err_info *info);
	void *executor_context;
	bool simulated;                     /* it is an executor_sim: the core's thread
					     * drives its clock */
};

/* Every limit by its name; 0 or NULL is the default given here. */
struct server_config {
	const char *home;                   /* $TONGYUN_HOME */
	const char *host;                   /* 127.0.0.1 */
	uint16_t port;                      /* 8000, unless any_port */
	bool any_port;                      /* a free one; server_port tells */
	const char *api_key;                /* also valid, belongs to tenant local (rules.md 10) */
	bool allow_anonymous;               /* rules.md 11 */
	const char *currency;               /* at the first start: CNY (rules.md 17) */
	const struct server_model *models;
	uint32_t model_count;

	uint32_t connections_max;           /* 4096 */
	uint32_t requests_max;              /* 2048: open at once, from the first byte of an
					     * answer's way to its end */
	uint32_t queue_max;                 /* 1024: not yet running; then 503 */
	uint32_t tenants_max;               /* 10000 */
	uint32_t keys_max;                  /* 100000 */
	uint32_t prices_max;                /* 1000 */
	uint32_t records_max;               /* 8192: given to the store and not yet durable */
	int64_t request_bytes;              /* 256 MiB: tokens and texts of all requests together */
	uint32_t header_bytes_max;          /* 64 KiB, and below: rules.md 5 */
	int64_t body_bytes_max;             /* 16 MiB */
	int64_t bodies_bytes_max;           /* 256 MiB */
	int64_t trees_bytes_max;            /* 512 MiB: what bodies are while they are read and
					     * rendered, all together */
	uint32_t json_values_max;           /* 1,000,000, and below: of a body */
	uint32_t json_depth_max;            /* 64, and below */
	int64_t unsent_bytes_max;           /* 256 KiB */
	int64_t journal_bytes_max;          /* 256 MiB, twice: the newest and the one before */
	int64_t socket_send_bytes;          /* 128 KiB */
	int64_t header_ns;                  /* 10 s */
	int64_t body_idle_ns;               /* 30 s */
	int64_t body_ns;                    /* 30 s, and the time of its bytes at the lowest rate */
	int64_t body_rate_min;              /* 32 KiB/s */
	int64_t keep_alive_ns;              /* 75 s */
	int64_t write_idle_ns;              /* 30 s */
	int64_t grace_ns;                   /* 30 s, unless no_grace */
	bool no_grace;
	const char *store_vfs;              /* tests: SQLite's file system */
};

#define SERVER_RECORDS_MAX 8192

/* The core's limits by the same defaults, without a model: for verbs that work when no server
 * runs. */
struct core_limits;
void server_core_limits(struct core_limits *out);

struct server;

/* SIGPIPE must be ignored: a client that left is an error of write. ERR_BUSY: another process holds
 * the home, or the port; ERR_DENIED: rules.md 11, or the system does not allow the port; ERR_INPUT:
 * the address is not this machine's, or a model's id does not fit. */
enum err server_open(struct server **out, const struct server_config *config,
	struct err_info *info) MUST_CHECK;
uint16_t server_port(const struct server *s);
/* Returns when everything is finished and durable. */
enum err server_run(struct server *s, struct err_info *info) MUST_CHECK;
/* After server_run, for replay: what a core of these limits did. */
uint64_t server_actions_hash(const struct server *s);
const struct core_limits *server_limits(const struct server *s);
/* NULL is legal. */
void server_close(struct server *s);

#endif
