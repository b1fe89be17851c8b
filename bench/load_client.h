/* bench/load_client.h - many connections from one thread, with as little work of its own as can be:
 * plain epoll.
 *
 *	load_small            one small request after the other on each connection, for a while
 *	load_streams_read     answers that stream: the time from a token made to its delta here
 *
 * Latencies go into samples, of which percentiles can be asked.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_server.h"

struct samples {
	int64_t *ns;
	size_t count, capacity; /* further ones are dropped */
};

void samples_open(struct samples *s, size_t capacity);
void samples_add(struct samples *s, int64_t ns);
/* share 0 .. 1; sorts; 0 when there are none. */
int64_t samples_at(struct samples *s, double share);
void samples_close(struct samples *s);

struct load_small {
	uint16_t port;
	const char *method, *path, *body; /* body may be NULL */
	uint32_t connections;
	bool keep_alive; /* else a new connection for each */
	int64_t for_ns;
	uint64_t answered; /* with 200 */
	uint64_t failed;
	struct samples latency; /* opened by the caller */
};

void load_small(struct load_small *l);

struct load_stream {
	int fd; /* -1: closed */
	uint32_t trace;
	uint32_t tokens; /* in the deltas that came */
	bool done;       /* the end of the stream has come */
	size_t held;     /* of a line that is not whole */
	char line[2048];
};

/* Asks for a stream of so many tokens on a connection of its own; its trace is cleared.
 * receive_bytes > 0: the kernel shall take no more for it. */
void load_stream_open(struct load_stream *s, const struct load_server *server, uint32_t trace,
	uint32_t tokens, int receive_bytes);
/* Reads all of them until each is done or has tokens_until tokens, or the time is up. Times from a
 * token made to its delta go to latency, which may be NULL. */
void load_streams_read(struct load_stream *streams, uint32_t count,
	const struct load_server *server, struct samples *latency, uint32_t tokens_until,
	int64_t for_ns);
void load_stream_close(struct load_stream *s);

#endif
