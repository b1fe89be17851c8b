/* server/front.h - private to the server: the thread that owns sockets, and a call, one request on
 * its way through it.
 *
 *	front.c      loop, rings, signals, life of calls
 *	routes.c     which path is whose, and who may
 *	chat.c       POST /v1/chat/completions, from body to last chunk
 *	admin.c      the administration socket
 *
 * Everything here belongs to the front's thread. Work that grows with bytes goes to libuv's
 * threads; while it is there (in_work) the call is theirs, but for conn, which stays the front's.
 */
#ifndef SERVER_FRONT_H
#define SERVER_FRONT_H

#include <uv.h>

#include "server/home.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"
#include "server/server.h"
#include "server/wires.h"

#define FRONT_SERVICE_CALLS WIRES_SERVICES  /* for routes that start no request */
#define FRONT_ANSWER_BYTES_MAX ((size_t)64 << 20)
/* bodies above it are read and counted by another thread */
#define FRONT_WORK_BYTES    65536
/* tokens from it on belong to admin.c, below are calls */
#define FRONT_ADMIN_TOKEN   (1ULL << 32)

struct front;
struct call;
struct chat;
struct admin;

enum route_access {
	ROUTE_OPEN,
	ROUTE_OPEN_ON_LOOPBACK,
	ROUTE_KEY,
};

struct route {
	const char *method;
	const char *path;
	bool prefix;                    /* path/... as well; then the rest is the argument */
	bool makes_request;             /* the call needs a handle of the core */
	enum route_access access;
	void (*serve)(struct call *c);
};

/* A call, by what it waits for.
 *
 *   state        from               to                             waits for
 *   FREE         any                AUTHORISING READING REPORTING  -
 *   AUTHORISING  FREE               READING FREE                   the core: is the key good? [1]
 *   REPORTING    FREE AUTHORISING   FREE                           the core's report
 *   READING      AUTHORISING FREE   ASKED FREE                     a thread that reads the body
 *   ASKED        READING            COUNTING FREE ENDING           ADMIT or REFUSE
 *   COUNTING     ASKED              ARRIVED ENDING                 a thread that counts the prompt
 *   ARRIVED      COUNTING           RUNNING FREE ENDING            ACCEPT or REFUSE
 *   RUNNING      ARRIVED            FLUSHING ENDING                tokens
 *   FLUSHING     RUNNING            ENDING                         the socket
 *   ENDING       ASKED .. FLUSHING  FREE                           END: the core knows how it ended
 *
 * [1] Of a request with a body a call of its own asks, before the body is taken; the request's call
 *     starts at READING.
 */
enum call_state {
	CALL_FREE,
	CALL_AUTHORISING,
	CALL_REPORTING,
	CALL_READING,
	CALL_ASKED,
	CALL_COUNTING,
	CALL_ARRIVED,
	CALL_RUNNING,
	CALL_FLUSHING,
	CALL_ENDING,
};

struct call {
	enum call_state state;
	uint32_t handle;                /* place in front->calls; below requests_max also of the
					 * core */
	struct front *front;
	struct http_conn *conn;         /* NULL: the client is gone, or has its answer */
	const struct route *route;
	struct record_request id;
	char request_id[RECORD_REQUEST_BYTES];
	struct core_caller caller;
	int64_t started_ns;             /* the whole request was here */
	struct call *next;              /* in front->reporting */

	bool before_body;               /* it only asks whether the body may come */
	bool streaming;                 /* the head of the answer is out */
	bool in_work;                   /* another thread has it */
	uv_work_t work;
	struct chat *chat;              /* of a call that makes a request; else NULL */
};

struct front {
	const struct server_config *config;
	const struct home *home;
	struct wires *wires;
	const uint8_t *secret;
	uv_loop_t loop;
	bool loop_open;
	uv_poll_t wake;
	uv_prepare_t before_sleep;
	uv_signal_t terminate, interrupt, hangup;
	uv_work_t first_work;           /* nothing: makes libuv's threads */
	uv_timer_t last_word;           /* after the last call: then connections are cut */
	struct http_server *http;
	struct admin *admin;
	bool tell_core;                 /* events were pushed since the last wake-up */
	bool any_late;
	uint32_t signals;
	bool stopping;
	int64_t created_s;              /* of the models */
	uint32_t requests_max;
	struct call *calls;             /* [requests_max + FRONT_SERVICE_CALLS] */
	struct chat *chats;             /* [requests_max] */
	uint32_t *free_requests;
	uint32_t free_request_count;
	uint32_t *free_services;
	uint32_t free_service_count;
	struct request_table *table;    /* [requests_max], the server's */
	struct arena_pool *pool;        /* of request arenas */
	struct json_limits body_limits; /* of a body's JSON */
	struct json_pool trees;         /* of what bodies have become */
	struct openai_model models[SERVER_MODELS_MAX];
	const uint32_t *context_max;    /* [model_count] */
	struct call *reporting;         /* calls that wait for the core's report, asked for once */
	struct core_report report;      /* the last one */
	struct metrics metrics;
	const char *currency;
	struct buf out, headers, delta; /* for one answer at a time */
	struct buf no_memory;           /* the answer when those found none */
};

/* What start-up knows. */
struct front_open {
	const struct server_config *config;     /* defaults filled in; outlives the front */
	const struct home *home;
	const uint8_t *secret;
	struct wires *wires;
	const char *currency;
	const char *database;                   /* its path, for reading */
	struct request_table *table;
	const uint32_t *context_max;            /* [model_count] */
	bool loopback_only;                     /* rules.md 11 */
};

enum err front_open(struct front *f, const struct front_open *open,
	struct err_info *info) MUST_CHECK;
/* Listens; executors must be there. Errors: http_listen_tcp. */
enum err front_listen(struct front *f, uint16_t *port, struct err_info *info) MUST_CHECK;
/* Until drained. */
void front_run(struct front *f);
void front_close(struct front *f);

/* ---- for routes ------------------------------------------------------------------------------ */

const struct route *route_find(const char *method, const char *path, bool *path_known,
	struct buf *allow);

/* To the core; there is always room (wires.h). */
void front_tell(struct front *f, const struct core_event *event);
/* A call is late: its event found no room. It is told again when there is. */
void front_late(struct front *f);

/* Answers and lets go of the connection; the call goes on if the core still has its handle. */
void call_answer(struct call *c, unsigned status, const char *content_type, const struct buf *body);
void call_fail(struct call *c, const struct openai_error *error);
/* Its place is free again: the core must be done with it. */
void call_free(struct call *c);
/* Waits for the core's report; then route->serve is called again, in state REPORTING. */
void call_report(struct call *c);
/* Runs work in another thread if bytes are many, else at once; then done, in this thread. */
void call_work(struct call *c, size_t bytes, uv_work_cb work, uv_after_work_cb done);

#endif
