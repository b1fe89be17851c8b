/* server/http_write.c - the way out of a connection: answers, streams, and what the socket has
 * taken of them. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/http_conn.h"

#define MARKS_AT_FIRST 16
#define HEAD_BYTES     1024    /* of an answer, about */

static void written(uv_write_t *write, int status);

/* libuv forgets how far a write came when it failed: then what was last seen
 * counts, never too much. */
uint64_t http_taken_bytes(struct http_conn *c)
{
	const size_t flying = c->writing ? uv_stream_get_write_queue_size(&c->uv.stream) : 0;

	if (!c->write_failed)
		c->taken_bytes = c->queued_bytes - c->queue.size - flying;
	return c->taken_bytes;
}

static size_t unsent(struct http_conn *c)
{
	return (size_t)(c->queued_bytes - http_taken_bytes(c));
}

/* Most writes end here: the socket takes all of it at once, and no callback has to come. An error
 * is left to the write that follows, so that no connection is dropped under its writer's feet. */
static void flush_try(struct http_conn *c)
{
	const uv_buf_t bytes = uv_buf_init(c->queue.data, (unsigned)c->queue.size);
	const int taken = uv_try_write(&c->uv.stream, &bytes, 1);

	if (taken > 0)
		buf_consume(&c->queue, (size_t)taken);
}

static void secret_forget(struct http_conn *c)
{
	if (!c->secret)
		return;
	buf_wipe(&c->queue);
	buf_wipe(&c->flying);
	c->secret = false;
}

void http_conn_flush(struct http_conn *c)
{
	if (c->writing || c->state == HTTP_CLOSED)
		return;
	if (c->queue.size > 0)
		flush_try(c);
	if (c->queue.size == 0) {
		secret_forget(c);
		return;
	}
	const struct buf empty = c->flying;
	c->flying = c->queue;
	c->queue = empty;
	assert(c->queue.size == 0);

	const uv_buf_t bytes = uv_buf_init(c->flying.data, (unsigned)c->flying.size);
	c->writing = true;
	if (uv_write(&c->write, &c->uv.stream, &bytes, 1, written)) {
		c->write_failed = true;
		http_conn_drop(c);
	}
}

static void shut(uv_shutdown_t *shutdown, int status)
{
	struct http_conn *c = shutdown->data;

	if ((status < 0 || c->peer_ended) && c->state != HTTP_CLOSED)
		http_conn_drop(c);
}

void http_conn_shut(struct http_conn *c)
{
	if (c->shut || c->writing || c->queue.size > 0)
		return;  /* written() comes back here */
	c->shut = true;
	c->shutdown.data = c;
	c->deadline_ns = http_now(c) + HTTP_LINGER_NS;
	if (uv_shutdown(&c->shutdown, &c->uv.stream, shut))
		http_conn_drop(c);
}

static void written(uv_write_t *write, int status)
{
	struct http_conn *c = write->data;

	if (c->state == HTTP_CLOSED) {
		c->writing = false;
		return;
	}
	if (status < 0) {
		c->write_failed = true;
		http_conn_drop(c);
		return;
	}
	c->writing = false;
	buf_clear(&c->flying);
	c->taken_at_ns = http_now(c);
	http_conn_flush(c);
	http_conn_resume(c);
	if (c->state == HTTP_ANSWERING && c->streaming)
		c->server->handlers.progress(c->server->handlers.context, c);
	else if (c->state == HTTP_LINGERING)
		http_conn_shut(c);
	else if (c->state == HTTP_READING)
		http_conn_trim(c);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static struct http_mark *mark_at(const struct http_conn *c, uint32_t index)
{
	return &c->marks[(c->mark_first + index) % c->mark_capacity];
}

static bool marks_grow(struct http_conn *c)
{
	const uint32_t wanted = c->mark_capacity ? 2 * c->mark_capacity : MARKS_AT_FIRST;
	struct http_mark *more = wanted > HTTP_MARKS_MAX ? NULL : mem_alloc(wanted, sizeof(*more));

	if (!more)
		return false;
	for (uint32_t i = 0; i < c->mark_count; i++)
		more[i] = *mark_at(c, i);
	mem_free(c->marks);
	c->marks = more;
	c->mark_capacity = wanted;
	c->mark_first = 0;
	return true;
}

static void mark_add(struct http_conn *c, uint64_t end, uint32_t mark)
{
	const struct http_mark added = {.end = end, .mark = mark};
	const bool same = c->mark_count > 0 && mark_at(c, c->mark_count - 1)->mark == mark;

	if (!same && (c->mark_count < c->mark_capacity || marks_grow(c)))
		*mark_at(c, c->mark_count++) = added;
	else if (c->mark_count > 0)
		*mark_at(c, c->mark_count - 1) = added;  /* claimed later, never too early */
}

uint32_t http_taken(struct http_conn *c)
{
	const uint64_t taken = http_taken_bytes(c);

	while (c->mark_count > 0 && mark_at(c, 0)->end <= taken) {
		c->mark_taken = mark_at(c, 0)->mark;
		c->mark_first = (c->mark_first + 1) % c->mark_capacity;
		c->mark_count--;
	}
	return c->mark_taken;
}

bool http_all_taken(struct http_conn *c)
{
	return unsent(c) == 0;
}

bool http_full(struct http_conn *c)
{
	const size_t waiting = unsent(c);

	if (waiting >= c->server->config.unsent_bytes_max)
		c->full = true;
	else if (waiting <= c->server->config.unsent_bytes_max / 2)
		c->full = false;
	return c->full;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What is queued starts the clock of write_idle_ns if nothing waited before. */
static void queue(struct http_conn *c, const void *bytes, size_t size)
{
	if (c->queue.size == 0 && !c->writing)
		c->taken_at_ns = http_now(c);
	buf_add(&c->queue, bytes, size);
}

static const char *status_text(unsigned status)
{
	return status == 431 ? "Request Header Fields Too Large"
		: http_status_str((enum http_status)status);
}

static void date_format(char out[40])
{
	const time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	struct tm parts;

	gmtime_r(&now, &parts);
	strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static void head_add(struct http_conn *c, const struct http_answer *a, const char *framing)
{
	char date[40];

	date_format(date);
	queue(c, "", 0);
	buf_printf(&c->queue, "HTTP/1.1 %u %s\r\nDate: %s\r\n", a->status, status_text(a->status),
		date);
	if (a->content_type)
		buf_printf(&c->queue, "Content-Type: %s\r\n", a->content_type);
	buf_add_str(&c->queue, framing);
	if (c->close_after)
		buf_add_str(&c->queue, "Connection: close\r\n");
	else if (c->parse.parser.http_minor == 0)
		buf_add_str(&c->queue, "Connection: keep-alive\r\n");
	buf_add_str(&c->queue, a->headers ? a->headers : "");
	buf_add_str(&c->queue, "\r\n");
}

static bool is_head_request(const struct http_conn *c)
{
	return http_parse_headed(&c->parse) && c->parse.parser.method == HTTP_HEAD;
}

/* A queue that found no memory has lost bytes: the connection cannot go on. */
static void queued(struct http_conn *c, size_t size_before)
{
	if (c->queue.failed) {
		http_conn_drop(c);
		return;
	}
	c->queued_bytes += c->queue.size - size_before;
	http_conn_flush(c);
}

void http_answer(struct http_conn *c, const struct http_answer *answer)
{
	const size_t before = c->queue.size;
	char framing[64];

	assert(c->state == HTTP_ANSWERING && !c->streaming);
	if (answer->secret) {
		c->secret = true;
		buf_reserve(&c->queue, HEAD_BYTES + answer->size);
	}
	snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", answer->size);
	head_add(c, answer, answer->status == 204 ? "" : framing);
	if (!is_head_request(c))
		queue(c, answer->body, answer->size);
	queued(c, before);
	if (c->state == HTTP_ANSWERING)
		http_conn_answered(c);
}

void http_stream_open(struct http_conn *c, const struct http_answer *head)
{
	const size_t before = c->queue.size;

	assert(c->state == HTTP_ANSWERING && !c->streaming);
	c->chunked = c->parse.parser.http_minor >= 1;
	c->close_after |= !c->chunked;
	c->streaming = true;
	c->mark_first = c->mark_count = c->mark_taken = 0;
	head_add(c, head, c->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	queued(c, before);
}

void http_stream_write(struct http_conn *c, const void *bytes, size_t size, uint32_t mark)
{
	const size_t before = c->queue.size;
	char chunk[24];

	assert(c->state == HTTP_ANSWERING && c->streaming && size > 0);
	if (c->chunked)
		queue(c, chunk, (size_t)snprintf(chunk, sizeof(chunk), "%zx\r\n", size));
	queue(c, bytes, size);
	/* what closes the chunk is not needed to have its bytes */
	mark_add(c, c->queued_bytes + (c->queue.size - before), mark);
	if (c->chunked)
		queue(c, "\r\n", 2);
	c->queued_bytes += c->queue.size - before;
	queued(c, c->queue.size);
}

void http_stream_close(struct http_conn *c)
{
	const size_t before = c->queue.size;

	assert(c->state == HTTP_ANSWERING && c->streaming);
	if (c->chunked)
		queue(c, "0\r\n\r\n", 5);
	queued(c, before);
	c->streaming = false;
	if (c->state == HTTP_ANSWERING)
		http_conn_answered(c);
}

void http_stream_abort(struct http_conn *c)
{
	assert(c->state == HTTP_ANSWERING && c->streaming);
	c->state = HTTP_LINGERING;
	http_conn_drop(c);
}
