/* server/http.c - listening, reading, deadlines, and the end of connections; the way out is
 * http_write.c. */
#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/http_conn.h"

#define SWEEP_MS       250      /* how late a deadline may be seen */
#define LISTEN_BACKLOG 1024
#define KEPT_BYTES     2048     /* capacity that a buffer keeps while its connection idles */

static void accept_again(struct http_server *s);
static void reserve_open(struct http_server *s);
static void descriptors_look(struct http_server *s);
static void ahead_feed(struct http_conn *c);
static void conn_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes);
static void conn_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out);

/* ---- life of a connection -------------------------------------------------------------------- */

static void body_uncount(struct http_conn *c)
{
	assert(c->server->bodies_bytes >= c->body_counted);
	c->server->bodies_bytes -= c->body_counted;
	c->body_counted = 0;
}

static void conn_closed(uv_handle_t *handle)
{
	struct http_conn *c = handle->data;
	struct http_server *s = c->server;

	http_parse_free(&c->parse);
	buf_free(&c->ahead);
	if (c->secret) {
		buf_wipe(&c->queue);
		buf_wipe(&c->flying);
	}
	buf_free(&c->queue);
	buf_free(&c->flying);
	mem_free(c->marks);
	c->next = s->spare;
	s->spare = c;
	accept_again(s);
}

static void conn_unlink(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->previous)
		c->previous->next = c->next;
	else
		s->first = c->next;
	if (c->next)
		c->next->previous = c->previous;
	s->count--;
	if (s->count == 0 && !s->closing)
		uv_timer_stop(&s->sweep);
}

void http_conn_drop(struct http_conn *c)
{
	const enum http_conn_state was = c->state;

	if (was == HTTP_CLOSED)
		return;
	if (was == HTTP_ANSWERING)
		c->server->handlers.gone(c->server->handlers.context, c);
	c->state = HTTP_CLOSED;
	body_uncount(c);
	conn_unlink(c);
	uv_close(&c->uv.handle, conn_closed);
}

/* READING waits for a header: at first from the opening, later from its first byte. */
static void conn_await(struct http_conn *c, int64_t now_ns, int64_t wait_ns)
{
	c->state = HTTP_READING;
	c->owner = NULL;
	c->body_allowed = false;
	c->deadline_ns = now_ns + wait_ns;
}

/* What still comes is read and thrown away: closing on unread bytes would take the answer
 * from the client. */
static void conn_linger(struct http_conn *c)
{
	c->state = HTTP_LINGERING;
	c->deadline_ns = INT64_MAX;  /* write_idle_ns bounds it until our half is closed */
	buf_free(&c->parse.body);
	if (c->paused && uv_read_start(&c->uv.stream, conn_read_buffer, conn_read)) {
		http_conn_drop(c);
		return;
	}
	c->paused = false;
	http_conn_shut(c);
}

void http_conn_trim(struct http_conn *c)
{
	struct buf *const all[] = {&c->ahead, &c->queue, &c->flying, &c->parse.head,
		&c->parse.path, &c->parse.body};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		buf_shrink(all[i], KEPT_BYTES);
}

void http_conn_answered(struct http_conn *c)
{
	assert(c->state == HTTP_ANSWERING);
	body_uncount(c);
	if (c->close_after || c->peer_ended || c->server->draining) {
		conn_linger(c);
		return;
	}
	http_parse_next(&c->parse);
	conn_await(c, http_now(c), c->server->config.keep_alive_ns);
	if (c->feeding)
		return;
	http_conn_trim(c);
	ahead_feed(c);
}

static void conn_bad(struct http_conn *c, unsigned status, const char *problem)
{
	c->state = HTTP_ANSWERING;
	c->close_after = true;
	c->server->handlers.bad(c->server->handlers.context, c, status, problem);
	assert(c->state != HTTP_ANSWERING);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* When a body must be whole: some time in any case, and some for each byte that has come. */
static int64_t body_due_ns(const struct http_conn *c, int64_t least_ns, int64_t rate)
{
	return c->body_since_ns + least_ns +
		(int64_t)(c->parse.body.size / (size_t)rate) * NS_PER_S +
		(int64_t)(c->parse.body.size % (size_t)rate) * NS_PER_S / rate;
}

static void body_deadline_set(struct http_conn *c)
{
	const struct http_config *config = &c->server->config;
	const int64_t idle_ns = http_now(c) + config->body_idle_ns;
	const int64_t due_ns = body_due_ns(c, config->body_ns, config->body_rate_min);

	c->deadline_ns = idle_ns < due_ns ? idle_ns : due_ns;
}

/* Of those whose body is on its way, but for this one, the one that is latest by the measure of a
 * crowd; NULL: nobody is late. */
static struct http_conn *body_latest(const struct http_conn *but)
{
	struct http_conn *latest = NULL;
	int64_t latest_due_ns = http_now(but);

	for (struct http_conn *c = but->server->first; c; c = c->next) {
		if (c == but || c->state != HTTP_READING || c->body_counted == 0)
			continue;
		const int64_t due_ns = body_due_ns(c, HTTP_CROWDED_NS, HTTP_CROWDED_RATE);
		if (due_ns > latest_due_ns)
			continue;
		latest = c;
		latest_due_ns = due_ns;
	}
	return latest;
}

/* The body's memory is of a common bound. When it is used up, bodies that dawdle are ended; if
 * there are none, who comes is told to come again. */
static bool body_count(struct http_conn *c)
{
	struct http_server *s = c->server;
	const size_t capacity = c->parse.body.capacity;
	struct http_conn *latest;

	if (capacity <= c->body_counted)
		return true;
	while (capacity - c->body_counted > s->config.bodies_bytes_max - s->bodies_bytes) {
		if ((latest = body_latest(c)) == NULL)
			return false;
		conn_bad(latest, 503, "the request came slowly while there was no room for others");
	}
	s->bodies_bytes += capacity - c->body_counted;
	c->body_counted = capacity;
	return true;
}

/* The header is whole: the body is not read before the handlers have said so. An answer given now
 * leaves it unread, so that no other request can follow. */
static void body_ask(struct http_conn *c)
{
	const struct http_handlers *handlers = &c->server->handlers;

	c->state = HTTP_ANSWERING;
	c->close_after = true;
	if (handlers->head)
		handlers->head(handlers->context, c);
	else
		http_body_allow(c);
	if (c->state != HTTP_ANSWERING)
		return;
	c->paused = true;
	uv_read_stop(&c->uv.stream);
}

static void continue_send(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->parse.expects_continue = false;
	buf_add(&c->queue, text, sizeof(text) - 1);
	c->queued_bytes += sizeof(text) - 1;
	c->taken_at_ns = http_now(c);
	http_conn_flush(c);
}

void http_body_allow(struct http_conn *c)
{
	assert(c->state == HTTP_ANSWERING && c->parse.state == HTTP_PARSE_HEADED);
	c->state = HTTP_READING;
	c->owner = NULL;
	c->close_after = false;
	c->body_allowed = true;
	c->body_since_ns = http_now(c);
	body_deadline_set(c);
	if (!c->feeding)
		http_conn_resume(c);
}

bool http_body_allowed(const struct http_conn *c)
{
	return c->body_allowed;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* After some bytes of a request: what is there now? */
static void conn_parsed(struct http_conn *c)
{
	struct http_parse *p = &c->parse;

	if (p->state == HTTP_PARSE_FAILED) {
		conn_bad(c, p->status, p->problem);
	} else if (!body_count(c)) {
		conn_bad(c, 503, "too many large requests at once");
	} else if (p->state == HTTP_PARSE_COMPLETE) {
		c->state = HTTP_ANSWERING;
		c->close_after = !p->keep_alive;
		c->server->handlers.request(c->server->handlers.context, c);
	} else if (p->state == HTTP_PARSE_HEADED) {
		body_ask(c);
	} else if (p->state == HTTP_PARSE_BODY) {
		body_deadline_set(c);
		if (p->expects_continue)
			continue_send(c);
	}
}

static void ahead_add(struct http_conn *c, const char *bytes, size_t size)
{
	buf_add(&c->ahead, bytes, size);
	if (c->ahead.failed)
		http_conn_drop(c);
}

static void conn_feed(struct http_conn *c, const char *bytes, size_t size)
{
	c->feeding = true;
	while (size > 0 && c->state == HTTP_READING && !http_full(c)) {
		if (!http_parse_begun(&c->parse) && c->queued_bytes > 0)
			c->deadline_ns = http_now(c) + c->server->config.header_ns;
		const size_t taken = http_parse_feed(&c->parse, bytes, size);
		bytes += taken;
		size -= taken;
		conn_parsed(c);
	}
	c->feeding = false;
	if (c->state == HTTP_READING && !http_parse_begun(&c->parse))
		http_conn_trim(c);
	if (c->state == HTTP_READING && size > 0) {
		c->paused = true;
		uv_read_stop(&c->uv.stream);
	}
	if (c->state == HTTP_READING || c->state == HTTP_ANSWERING)
		ahead_add(c, bytes, size);
}

static void ahead_feed(struct http_conn *c)
{
	struct buf ahead = c->ahead;

	if (ahead.size == 0)
		return;
	buf_init(&c->ahead, ahead.size_max);
	conn_feed(c, ahead.data, ahead.size);
	buf_free(&ahead);
}

void http_conn_resume(struct http_conn *c)
{
	if (!c->paused || c->state != HTTP_READING || http_full(c))
		return;
	c->paused = false;
	if (uv_read_start(&c->uv.stream, conn_read_buffer, conn_read))
		http_conn_drop(c);
	else
		ahead_feed(c);
}

static void conn_ended(struct http_conn *c)
{
	c->peer_ended = true;
	if (c->state == HTTP_READING && http_parse_begun(&c->parse))
		conn_bad(c, 400, "the connection ended inside a request");
	else if (c->state == HTTP_READING)
		http_conn_drop(c);
	else if (c->state == HTTP_ANSWERING)
		http_conn_drop(c);  /* rules.md 16: who leaves stops costing */
	else if (c->state == HTTP_LINGERING && c->shut)
		http_conn_drop(c);
}

static void conn_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
	struct http_conn *c = stream->data;

	if (size == UV_EOF) {
		uv_read_stop(stream);
		conn_ended(c);
	} else if (size < 0) {
		http_conn_drop(c);
	} else if (c->state == HTTP_READING) {
		conn_feed(c, bytes->base, (size_t)size);
	} else if (c->state == HTTP_ANSWERING) {
		ahead_add(c, bytes->base, (size_t)size);
	}
}

/* Bytes are copied out before the next read: one buffer serves all connections. */
static void conn_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	const struct http_conn *c = handle->data;

	(void)suggested;
	*out = uv_buf_init(c->server->read_buffer, HTTP_READ_BYTES);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

/* Whether the socket has taken something since the last look, be it a part of what flies, which
 * libuv does not tell. */
static bool output_moved(struct http_conn *c, int64_t now_ns)
{
	const uint64_t taken = http_taken_bytes(c);
	const bool moved = taken != c->taken_before;

	c->taken_before = taken;
	if (moved || taken == c->queued_bytes)
		c->taken_at_ns = now_ns;
	return moved;
}

static void conn_late(struct http_conn *c)
{
	if (c->state == HTTP_READING && http_parse_begun(&c->parse))
		conn_bad(c, 408, "the request did not arrive in time");
	else
		http_conn_drop(c);
}

static void sweep_due(uv_timer_t *timer)
{
	http_sweep(timer->data);
}

void http_sweep(struct http_server *s)
{
	const int64_t now_ns = s->config.now();

	reserve_open(s);
	descriptors_look(s);
	accept_again(s);
	for (struct http_conn *c = s->first, *next; c; c = next) {
		next = c->next;
		const bool moved = output_moved(c, now_ns);
		if (now_ns - c->taken_at_ns >= s->config.write_idle_ns)
			http_conn_drop(c);
		else if (c->state != HTTP_ANSWERING && now_ns >= c->deadline_ns)
			conn_late(c);
		else if (c->state == HTTP_ANSWERING && c->streaming && moved)
			s->handlers.progress(s->handlers.context, c);
	}
}

/* ---- accepting ------------------------------------------------------------------------------- */

static bool address_is_loopback(const struct sockaddr_storage *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->ss_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
	}
	if (address->ss_family != AF_INET6)
		return false;
	memcpy(&v6, address, sizeof(v6));
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return v6.sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

static bool peer_is_loopback(struct http_conn *c)
{
	struct sockaddr_storage address = {0};
	int size = sizeof(address);

	if (c->server->unix_socket)
		return true;
	return uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&address, &size) == 0 &&
		address_is_loopback(&address);
}

static struct http_conn *conn_new(struct http_server *s)
{
	struct http_conn *c = s->spare;

	if (c)
		s->spare = c->next;
	else
		c = mem_alloc(1, sizeof(*c));
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->server = s;
	http_parse_init(&c->parse, &s->config.parse);
	buf_init(&c->ahead, HTTP_AHEAD_BYTES_MAX);
	buf_init(&c->queue, HTTP_OUTPUT_BYTES_MAX);
	buf_init(&c->flying, HTTP_OUTPUT_BYTES_MAX);
	c->write.data = c;
	return c;
}

static void conn_link(struct http_conn *c)
{
	struct http_server *s = c->server;

	c->next = s->first;
	if (s->first)
		s->first->previous = c;
	s->first = c;
	if (s->count++ == 0)
		uv_timer_start(&s->sweep, sweep_due, SWEEP_MS, SWEEP_MS);
}

static int conn_handle_init(struct http_conn *c)
{
	const int status = c->server->unix_socket ? uv_pipe_init(c->server->loop, &c->uv.pipe, 0)
		: uv_tcp_init(c->server->loop, &c->uv.tcp);

	c->uv.handle.data = c;
	return status;
}

static void conn_tune(struct http_conn *c)
{
	int bytes = c->server->config.socket_send_bytes;

	if (!c->server->unix_socket)
		uv_tcp_nodelay(&c->uv.tcp, 1);
	if (bytes > 0)
		uv_send_buffer_size(&c->uv.handle, &bytes);
}

static void reserve_open(struct http_server *s)
{
	if (s->reserve_fd < 0)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void short_tell(struct http_server *s)
{
	const int64_t now_ns = s->config.now();

	if (s->short_told_ns > 0 && now_ns - s->short_told_ns < HTTP_SHORT_TOLD_NS)
		return;
	s->short_told_ns = now_ns;
	log_line(LOG_WARN, "server/http",
		"no file descriptor is free: new connections are closed unanswered; %u are open",
		s->count);
}

/* libuv turns away who finds no descriptor without telling: so it is looked for now and then. */
static void descriptors_look(struct http_server *s)
{
	const int fd = s->reserve_fd < 0 ? -1 : dup(s->reserve_fd);

	if (fd >= 0)
		close(fd);
	else if (s->reserve_fd < 0 || errno == EMFILE || errno == ENFILE)
		short_tell(s);
}

/* Who waits is turned away with the descriptor kept for it, or with that of the newest connection.
 * The descriptor stays free: libuv asks again until it is told that nobody waits, and without one
 * it would be told something else for ever. */
static void descriptors_short(struct http_server *s)
{
	uv_os_fd_t listener;
	int fd;

	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	else if (s->first)
		http_conn_drop(s->first);
	s->reserve_fd = -1;
	if (uv_fileno(&s->listener.handle, &listener))
		return;
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		close(fd);
}

/* libuv polls no more while a connection is not taken: it is taken when there is memory, at the
 * latest when the last open connection has closed, since one was reserved at the opening. */
static struct http_conn *conn_ready(struct http_server *s)
{
	struct http_conn *c = conn_new(s);

	if (c && conn_handle_init(c) == 0)
		return c;
	if (c) {
		c->next = s->spare;
		s->spare = c;
	}
	s->unaccepted = true;
	return NULL;
}

static void accepted(uv_stream_t *listener, int status)
{
	struct http_server *s = listener->data;

	if (status < 0) {
		if (status == UV_EMFILE || status == UV_ENFILE) {
			short_tell(s);
			descriptors_short(s);
		} else {
			log_line(LOG_WARN, "server/http", "cannot accept a connection: %s",
				uv_strerror(status));
		}
		return;
	}
	reserve_open(s);
	struct http_conn *c = conn_ready(s);
	if (!c)
		return;
	conn_link(c);
	conn_await(c, http_now(c), s->config.header_ns);
	if (uv_accept(listener, &c->uv.stream) ||
		uv_read_start(&c->uv.stream, conn_read_buffer, conn_read) ||
		s->count > s->config.connections_max + HTTP_REFUSALS_MAX) {
		http_conn_drop(c);
		return;
	}
	conn_tune(c);
	c->loopback = peer_is_loopback(c);
	if (s->count > s->config.connections_max)
		conn_bad(c, 503, "too many connections");
}

static void accept_again(struct http_server *s)
{
	if (!s->unaccepted || s->draining)
		return;
	s->unaccepted = false;
	accepted(&s->listener.stream, 0);
}

/* ---- the server ------------------------------------------------------------------------------ */

enum err http_server_open(struct http_server **out, uv_loop_t *loop,
	const struct http_config *config, const struct http_handlers *handlers,
	struct err_info *info)
{
	struct http_server *s = mem_alloc(1, sizeof(*s));
	struct http_conn *first = mem_alloc(1, sizeof(*first));

	if (!s || !first) {
		mem_free(s);
		mem_free(first);
		return err_set(info, ERR_MEMORY, "no memory for connections");
	}
	s->spare = first;
	s->reserve_fd = -1;
	reserve_open(s);
	s->loop = loop;
	assert(config->body_rate_min > 0);
	s->config = *config;
	if (!s->config.now)
		s->config.now = clock_monotonic_ns;
	s->handlers = *handlers;
	uv_timer_init(loop, &s->sweep);
	s->sweep.data = s;
	*out = s;
	return ERR_NONE;
}

static enum err err_of_listening(int status)
{
	switch (status) {
	case UV_EADDRINUSE:
		return ERR_BUSY;
	case UV_EADDRNOTAVAIL:
		return ERR_INPUT;
	case UV_EACCES:
	case UV_EPERM:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

/* status: of binding. A handle that is not bound must not listen: the system would bind it to every
 * address there is. */
static enum err listen_on(struct http_server *s, int status, const char *what,
	struct err_info *info)
{
	s->listener.handle.data = s;
	s->listening = true;
	if (status == 0)
		status = uv_listen(&s->listener.stream, LISTEN_BACKLOG, accepted);
	if (status)
		return err_set(info, err_of_listening(status), "cannot listen on %s: %s", what,
			uv_strerror(status));
	return ERR_NONE;
}

static enum err address_find(struct sockaddr_storage *out, const char *host, uint16_t port,
	struct err_info *info)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	const int status = getaddrinfo(host, service, &hints, &found);
	if (status)
		return err_set(info, ERR_INPUT, "address %.200s: %s", host, gai_strerror(status));
	assert(found->ai_addrlen <= sizeof(*out));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return ERR_NONE;
}

enum err http_listen_tcp(struct http_server *s, const char *host, uint16_t port, uint16_t *port_out,
	struct err_info *info)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in v4;
	int size = sizeof(address);
	char what[300];

	assert(!s->listening);
	if (address_find(&address, host, port, info))
		return info->code;
	if (s->config.loopback_only && !address_is_loopback(&address))
		return err_set(info, ERR_UNSUPPORTED, "%.200s is not loopback", host);
	snprintf(what, sizeof(what), "%.200s port %u", host, port);
	uv_tcp_init(s->loop, &s->listener.tcp);
	const int status = uv_tcp_bind(&s->listener.tcp, (const struct sockaddr *)&address, 0);
	if (listen_on(s, status, what, info))
		return info->code;
	uv_tcp_getsockname(&s->listener.tcp, (struct sockaddr *)&address, &size);
	memcpy(&v4, &address, sizeof(v4));
	*port_out = ntohs(v4.sin_port);  /* at the same place in IPv6 */
	return ERR_NONE;
}

enum err http_listen_fd(struct http_server *s, int fd, struct err_info *info)
{
	assert(!s->listening);
	s->unix_socket = true;
	uv_pipe_init(s->loop, &s->listener.pipe, 0);
	const int status = uv_pipe_open(&s->listener.pipe, fd);
	if (status)
		close(fd);  /* it did not become the handle's */
	return listen_on(s, status, "the administration socket", info);
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
	if (s->listening && !uv_is_closing(&s->listener.handle))
		uv_close(&s->listener.handle, NULL);
	for (struct http_conn *c = s->first, *next; c; c = next) {
		next = c->next;
		if (c->state != HTTP_READING || http_parse_begun(&c->parse))
			continue;
		if (http_all_taken(c))
			http_conn_drop(c);
		else
			conn_linger(c);
	}
}

uint32_t http_connections(const struct http_server *s)
{
	return s->count;
}

void http_server_close(struct http_server *s)
{
	if (s->closing)
		return;
	http_server_drain(s);
	s->closing = true;
	while (s->first)
		http_conn_drop(s->first);
	uv_close((uv_handle_t *)&s->sweep, NULL);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	assert(s->count == 0);
	while (s->spare) {
		struct http_conn *next = s->spare->next;

		mem_free(s->spare);
		s->spare = next;
	}
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	mem_free(s);
}

/* ---- the request being answered -------------------------------------------------------------- */

const struct http_parse *http_request(const struct http_conn *c)
{
	return &c->parse;
}

void http_body_take(struct http_conn *c, struct http_body *out)
{
	*out = (struct http_body){.bytes = c->parse.body, .counted = c->body_counted};
	buf_init(&c->parse.body, out->bytes.size_max);
	c->body_counted = 0;
}

void http_body_release(struct http_server *s, struct http_body *body)
{
	assert(s->bodies_bytes >= body->counted);
	s->bodies_bytes -= body->counted;
	body->counted = 0;
	buf_free(&body->bytes);
}

bool http_from_loopback(const struct http_conn *c)
{
	return c->loopback;
}

void http_set_owner(struct http_conn *c, void *owner)
{
	c->owner = owner;
}

void *http_owner(const struct http_conn *c)
{
	return c->owner;
}
