/* server/http_conn.h - private to http.c (reads) and http_write.c (writes): one connection. */
#ifndef SERVER_HTTP_CONN_H
#define SERVER_HTTP_CONN_H

#include "server/http.h"

#define HTTP_READ_BYTES 65536
/* of a connection; beyond it the newest reaches further than it should */
#define HTTP_MARKS_MAX  4096
/* of one buffer: an answer beyond it ends the connection */
#define HTTP_OUTPUT_BYTES_MAX ((size_t)64 << 20)
/* beyond connections_max, being told 503; further ones are closed without a word */
#define HTTP_REFUSALS_MAX 64
/* while no room is left for bodies: as body_ns and body_rate_min */
#define HTTP_CROWDED_NS 2000000000LL
#define HTTP_CROWDED_RATE (256 << 10)
#define HTTP_SHORT_TOLD_NS 60000000000LL /* a lack of descriptors is logged this often */
/* for the client to read the answer before the connection is reset */
#define HTTP_LINGER_NS  2000000000LL

enum http_conn_state {
	HTTP_READING,       /* a request, or nothing yet */
	HTTP_ANSWERING,     /* the request is with the handlers */
	HTTP_LINGERING,     /* the last answer is queued; what still comes is thrown away */
	HTTP_CLOSED,        /* waits for libuv to let go */
};

/* Bytes before end carry the mark. */
struct http_mark {
	uint64_t end;       /* counted from the start of the connection */
	uint32_t mark;
};

struct http_conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct http_server *server;
	struct http_conn *next, *previous;
	void *owner;
	enum http_conn_state state;
	bool loopback;
	bool feeding;               /* inside conn_feed: what is answered now is continued there */
	bool streaming;             /* the head of a stream has been written */
	bool chunked;
	bool close_after;           /* this answer is the connection's last */
	bool peer_ended;            /* the client's half is closed */
	bool full;
	bool paused;                /* not read: its output is full, or its body not allowed */
	bool body_allowed;
	bool shut;                  /* our half is closed, or will be after what flies */
	bool secret;                /* what is queued, or flies, is to be wiped */
	struct http_parse parse;
	struct buf ahead;
	size_t body_counted;        /* in server->bodies_bytes */
	int64_t deadline_ns;        /* READING, LINGERING */
	int64_t body_since_ns;      /* when its body was allowed */
	int64_t taken_at_ns;        /* when the socket last took something, or nothing was left */
	uint64_t taken_before;      /* at the last sweep */

	/* Output: queue waits behind flying, which libuv writes. */
	struct buf queue;
	struct buf flying;
	uv_write_t write;
	bool writing;
	bool write_failed;
	uint64_t taken_bytes;       /* as last seen */
	uv_shutdown_t shutdown;
	uint64_t queued_bytes;      /* since the start of the connection */
	struct http_mark *marks;    /* a ring that grows only while the client is behind */
	uint32_t mark_capacity, mark_first, mark_count;
	uint32_t mark_taken;
};

struct http_server {
	uv_loop_t *loop;
	struct http_config config;
	struct http_handlers handlers;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} listener;
	bool listening;
	bool unix_socket;
	bool draining;
	bool unaccepted;            /* libuv holds a connection that found no memory, and polls no
				     * more until it is taken */
	int64_t short_told_ns;      /* when the lack of descriptors was last logged; 0: never */
	int reserve_fd;             /* given up when the process has no descriptor left, until the
				     * next sweep; -1: it is */
	uv_timer_t sweep;
	bool closing;
	struct http_conn *first;
	struct http_conn *spare;    /* closed connections, to be used again */
	uint32_t count;
	size_t bodies_bytes;
	char read_buffer[HTTP_READ_BYTES];
};

static inline int64_t http_now(const struct http_conn *c)
{
	return c->server->config.now();
}

/* Ends what is late; a timer does it, tests do it themselves. */
void http_sweep(struct http_server *s);
/* The client is gone, or must go: tells the handlers if an answer was under way, and closes. */
void http_conn_drop(struct http_conn *c);
/* The answer is queued whole: the next request, or the end of the connection. */
void http_conn_answered(struct http_conn *c);
/* Starts writing what is queued. */
void http_conn_flush(struct http_conn *c);
/* Reads on, if it was paused and there is room again. */
void http_conn_resume(struct http_conn *c);
/* Buffers that grew for one answer are given back while the connection waits for the next. */
void http_conn_trim(struct http_conn *c);
/* Closes our half after what is queued. */
void http_conn_shut(struct http_conn *c);

#endif
