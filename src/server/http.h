/* server/http.h - connections that speak HTTP/1.1, over libuv, in one loop's thread.
 *
 *   accept --> READING --request--> ANSWERING --last byte queued--> READING (keep-alive)
 *                 \ bad, late           \ client gone             \
 *                  --> handlers.bad      --> handlers.gone         --> LINGERING --> closed
 *
 * A request with a body is ANSWERING already when its header is there: handlers.head takes the body
 * (READING again) or answers without it. A body has a time to come in, longer the more of it has
 * come; while all bodies together leave no room, one that comes slowly makes room for others.
 *
 * One request of a connection is answered at a time; what a client sends ahead waits, within a
 * bound. While a request is being answered the connection is still read, so that a client that
 * leaves is seen at once: the end of its half of the connection counts as leaving. Limits are
 * rules.md 5; each is a setting.
 *
 * Output is written as the socket takes it. Bytes of a stream carry marks, and http_taken says up
 * to which mark they are in the socket (rules.md 16): that is what is charged.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "server/http_parse.h"

#define HTTP_AHEAD_BYTES_MAX 65536      /* pipelined behind a request that is being answered */

struct http_config {
	uint32_t connections_max;       /* beyond it: 503 at once */
	struct http_parse_limits parse;
	size_t bodies_bytes_max;        /* of all connections together; beyond it 503 */
	size_t unsent_bytes_max;        /* of a connection: http_full */
	int socket_send_bytes;          /* the kernel's share of it; 0: the system's default */
	int64_t header_ns;              /* for a whole header, however it drips */
	int64_t body_idle_ns;           /* a body may pause this long */
	int64_t body_ns;                /* for a whole body, and the time of its bytes at
					 * body_rate_min */
	int64_t body_rate_min;          /* bytes per second */
	int64_t keep_alive_ns;          /* between requests */
	int64_t write_idle_ns;          /* without a byte taken */
	bool loopback_only;             /* http_listen_tcp refuses an address that others reach */
	int64_t (*now)(void);           /* NULL: the system's monotonic clock */
};

struct http_server;
struct http_conn;

/* The bad answer is given with http_answer in the callback itself; a request may be answered then
 * or later. */
struct http_handlers {
	void *context;
	void (*request)(void *context, struct http_conn *c);
	/* These bytes are no request, or came too late: status and why. The connection closes
	 * after the answer. */
	void (*bad)(void *context, struct http_conn *c, unsigned status, const char *problem);
	/* The socket took more of a stream. */
	void (*progress)(void *context, struct http_conn *c);
	/* The client left before its answer was complete; http_taken is final. c must not be used
	 * after. */
	void (*gone)(void *context, struct http_conn *c);
	/* A request's header is there, and a body follows: http_body_allow, or http_answer,
	 * which is the connection's last. Now or later; until then nothing more is read. NULL:
	 * every body is taken. */
	void (*head)(void *context, struct http_conn *c);
};

struct http_answer {
	unsigned status;
	const char *content_type;       /* NULL: no body */
	const char *headers;            /* more header lines, each with its CR LF; NULL: none */
	const void *body;
	size_t size;
	bool secret;                    /* of http_answer: wiped from memory once it is sent */
};

/* A body that became the caller's. It counts in bodies_bytes_max until http_body_release, whatever
 * becomes of its connection. */
struct http_body {
	struct buf bytes;
	size_t counted;
};

enum err http_server_open(struct http_server **out, uv_loop_t *loop,
	const struct http_config *config, const struct http_handlers *handlers,
	struct err_info *info) MUST_CHECK;
/* Port 0: any. Once per server. Gives the port that it became. ERR_UNSUPPORTED: loopback_only, and
 * others reach the address; ERR_INPUT: it is none of this machine's; ERR_DENIED: the system does
 * not allow it; ERR_BUSY: another process listens there. */
enum err http_listen_tcp(struct http_server *s, const char *host, uint16_t port, uint16_t *port_out,
	struct err_info *info) MUST_CHECK;
/* A Unix socket that is bound; owned by the server from here on. */
enum err http_listen_fd(struct http_server *s, int fd, struct err_info *info) MUST_CHECK;
/* No new connections, and the idle ones are closed. */
void http_server_drain(struct http_server *s);
uint32_t http_connections(const struct http_server *s);
/* Closes everything; run the loop until it has nothing left, then free. */
void http_server_close(struct http_server *s);
void http_server_free(struct http_server *s);

/* The request that is being answered. */
const struct http_parse *http_request(const struct http_conn *c);
/* After handlers.head: the body is read, and then handlers.request is called. */
void http_body_allow(struct http_conn *c);
/* This request's body has been allowed. */
bool http_body_allowed(const struct http_conn *c);
/* Its body becomes the caller's. */
void http_body_take(struct http_conn *c, struct http_body *out);
/* Frees the bytes, if another thread has not yet, and makes room for others. */
void http_body_release(struct http_server *s, struct http_body *body);
/* The peer is on this machine: its address is a loopback one, or it came through a Unix socket. */
bool http_from_loopback(const struct http_conn *c);
/* The caller's own pointer, NULL at each new request. */
void http_set_owner(struct http_conn *c, void *owner);
void *http_owner(const struct http_conn *c);

void http_answer(struct http_conn *c, const struct http_answer *answer);

/* A body whose length is not known: chunked, or up to the end of the connection for HTTP/1.0. */
void http_stream_open(struct http_conn *c, const struct http_answer *head);
/* mark never falls; it is what http_taken gives once these bytes are in the socket. */
void http_stream_write(struct http_conn *c, const void *bytes, size_t size, uint32_t mark);
void http_stream_close(struct http_conn *c);
/* Ends the connection in the middle of the answer: what is not in the socket is not sent, and the
 * client can see that the answer is not whole. handlers.gone is not called. */
void http_stream_abort(struct http_conn *c);

uint32_t http_taken(struct http_conn *c);
/* Everything queued is in the socket. */
bool http_all_taken(struct http_conn *c);
/* Output waits that the socket did not take; full at unsent_bytes_max, and then until half of it
 * is taken. */
bool http_full(struct http_conn *c);
/* All bytes that the socket has taken since the connection was opened: for seeing that it moves. */
uint64_t http_taken_bytes(struct http_conn *c);

#endif
