/* server/admin.c - see admin.h. */
#include "server/admin.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/admin_reader.h"
#include "server/front.h"

/* at once; the core keeps more replies than that (replies_max) */
#define ADMIN_CALLS_MAX  64
/* of those, lists and checks: one is read, the others wait */
#define ADMIN_LISTS_MAX  8
#define ADMIN_BODY_BYTES 65536

static const struct json_limits ADMIN_JSON = {
	.bytes_max = ADMIN_BODY_BYTES, .values_max = 1000, .depth_max = 8, .memory_max = 1 << 20,
};

/* One command under way. free: no conn, not waiting. */
struct admin_call {
	struct admin *admin;
	struct http_conn *conn;     /* NULL: gone */
	bool waiting;               /* for the core, or among the lists */
	bool streaming;
	struct admin_command command;
	struct admin_call *next;    /* in lists */
};

struct admin {
	struct front *front;
	struct http_server *http;
	struct admin_reader *reader;
	uv_async_t told;            /* by the reader */
	struct admin_call *lists;   /* the first one is being read */
	struct admin_call calls[ADMIN_CALLS_MAX];
};

/* ---- answers --------------------------------------------------------------------------------- */

/* One that found no memory is not sent in part. */
static void answer(struct admin *a, struct http_conn *conn, unsigned status, const struct buf *body,
	bool secret)
{
	const struct buf *sent = body->failed ? &a->front->no_memory : body;

	http_set_owner(conn, NULL);
	http_answer(conn, &(struct http_answer){.status = body->failed ? 500 : status,
		.content_type = "application/json", .body = sent->data, .size = sent->size,
		.secret = secret});
}

static void fail(struct admin *a, struct http_conn *conn, const struct openai_error *error)
{
	struct buf *out = &a->front->out;

	buf_clear(out);
	openai_error_body(error, out);
	answer(a, conn, openai_error_status(error), out, false);
}

static void call_end(struct admin_call *c)
{
	sodium_memzero(c->command.key, sizeof(c->command.key));
	c->conn = NULL;
	c->waiting = c->streaming = false;
}

/* A new key goes to who asked for it, and stays nowhere. */
static void reply_send(struct admin_call *c, struct http_conn *conn, const struct core_reply *reply)
{
	const bool secret = c->command.op == ADMIN_KEY_CREATE;
	struct admin *a = c->admin;
	struct buf *out = &a->front->out;
	struct openai_error error;

	buf_clear(out);
	buf_reserve(out, ADMIN_REPLY_BYTES);
	if (admin_reply_write(out, &c->command, reply, a->front->currency, &error))
		answer(a, conn, 200, out, secret);
	else
		fail(a, conn, &error);
	if (secret)
		buf_wipe(out);
}

void admin_reply(struct admin *a, const struct core_reply *reply)
{
	const uint64_t index = reply->token - FRONT_ADMIN_TOKEN;

	assert(index < ADMIN_CALLS_MAX && a->calls[index].waiting);
	struct admin_call *c = &a->calls[index];
	struct http_conn *conn = c->conn;

	c->conn = NULL;
	if (conn)
		reply_send(c, conn, reply);
	call_end(c);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_fail(struct admin_call *c, const struct err_info *info)
{
	struct http_conn *conn = c->conn;
	struct openai_error error;

	openai_error_set(&error, info->code == ERR_INPUT ? OPENAI_INVALID : OPENAI_INTERNAL, NULL,
		"%s", info->text);
	c->conn = NULL;
	fail(c->admin, conn, &error);
}

static void list_close(struct admin_call *c, const struct err_info *info)
{
	struct http_conn *conn = c->conn;

	c->conn = NULL;
	http_set_owner(conn, NULL);
	if (info->code) {
		log_line(LOG_WARN, "server/admin", "a list broke off: %s", info->text);
		http_stream_abort(conn);  /* the client sees that it is not whole */
	} else {
		http_stream_close(conn);
	}
}

/* The connection may not survive any step of it. */
static void slice_send(struct admin_call *c, const struct admin_slice *slice)
{
	if (slice->error.code && !c->streaming) {
		list_fail(c, &slice->error);
		return;
	}
	if (!c->streaming) {
		c->streaming = true;
		http_stream_open(c->conn, &(struct http_answer){.status = 200,
			.content_type = "application/x-ndjson"});
	}
	if (c->conn && slice->rows.size > 0)
		http_stream_write(c->conn, slice->rows.data, slice->rows.size, 0);
	if (c->conn && slice->last)
		list_close(c, &slice->error);
}

/* The first is over: the next one is read. */
static void list_end(struct admin *a)
{
	struct admin_call *c = a->lists;

	a->lists = c->next;
	call_end(c);
	if (a->lists)
		admin_reader_start(a->reader, &a->lists->command);
}

/* Sends slices until it is the reader's turn, or the client is behind; progress comes back here. */
static void lists_go_on(struct admin *a)
{
	const struct admin_slice *slice;

	while (a->lists && (slice = admin_reader_slice(a->reader)) != NULL) {
		struct admin_call *c = a->lists;

		if (c->conn && c->streaming && http_full(c->conn))
			return;
		if (c->conn)
			slice_send(c, slice);
		if (slice->last)
			list_end(a);
		else
			admin_reader_next(a->reader);
	}
}

static void on_told(uv_async_t *async)
{
	lists_go_on(async->data);
}

static void reader_told(void *context)
{
	uv_async_send(context);
}

/* False: as many as may wait do so. */
static bool list_add(struct admin_call *c)
{
	struct admin *a = c->admin;
	struct admin_call **at = &a->lists;
	uint32_t count = 0;

	for (; *at; at = &(*at)->next)
		count++;
	if (count == ADMIN_LISTS_MAX)
		return false;
	*at = c;
	c->next = NULL;
	c->waiting = true;
	if (count == 0)
		admin_reader_start(a->reader, &c->command);
	return true;
}

/* The one that is being read ends when the reader has seen it; others leave at once. */
static void list_gone(struct admin_call *c)
{
	struct admin *a = c->admin;
	struct admin_call **at = &a->lists;

	if (a->lists == c) {
		admin_reader_give_up(a->reader);
		uv_async_send(&a->told);  /* a slice may be waiting for the client */
		return;
	}
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	call_end(c);
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct admin_call *call_take(struct admin *a)
{
	for (uint32_t i = 0; i < ADMIN_CALLS_MAX; i++)
		if (!a->calls[i].conn && !a->calls[i].waiting)
			return &a->calls[i];
	return NULL;
}

static void call_start(struct admin_call *c, struct http_conn *conn)
{
	struct admin *a = c->admin;
	struct openai_error error;

	if (!admin_is_list(c->command.op)) {
		c->waiting = true;
		c->command.event.token = FRONT_ADMIN_TOKEN + (uint64_t)(c - a->calls);
		front_tell(a->front, &c->command.event);
	} else if (!list_add(c)) {
		openai_error_set(&error, OPENAI_OVERLOADED, NULL,
			"other lists are being read, and more wait. Try again later.");
		fail(a, conn, &error);
		return;
	}
	c->conn = conn;
	http_set_owner(conn, c);
}

static bool command_take(struct admin_call *c, struct http_conn *conn, struct openai_error *error)
{
	const struct http_parse *p = http_request(conn);
	struct err_info info = {0};
	json_t *document = NULL;

	if (strcmp(http_parse_path(p), "/admin") != 0 ||
		strcmp(http_parse_method(p), "POST") != 0) {
		openai_error_set(error, OPENAI_NOT_FOUND, NULL, "POST /admin is all there is");
		return false;
	}
	if (json_parse(&document, p->body.data, p->body.size, &ADMIN_JSON, true, &info)) {
		openai_error_set(error, OPENAI_INVALID, NULL, "%s", info.text);
		return false;
	}
	const bool ok = admin_command_read(&c->command, document, c->admin->front->secret, error);
	json_decref(document);
	return ok;
}

static void on_request(void *context, struct http_conn *conn)
{
	struct admin *a = context;
	struct admin_call *c = call_take(a);
	struct openai_error error;

	if (!c) {
		openai_error_refusal(&error, CORE_REFUSE_OVERLOADED, 0);
		fail(a, conn, &error);
	} else if (command_take(c, conn, &error)) {
		call_start(c, conn);
	} else {
		fail(a, conn, &error);
	}
}

static void on_bad(void *context, struct http_conn *conn, unsigned status, const char *problem)
{
	struct openai_error error;

	openai_error_http(&error, status, problem);
	fail(context, conn, &error);
}

static void on_progress(void *context, struct http_conn *conn)
{
	(void)conn;
	lists_go_on(context);
}

static void on_gone(void *context, struct http_conn *conn)
{
	struct admin_call *c = http_owner(conn);

	(void)context;
	if (!c)
		return;
	c->conn = NULL;
	if (admin_is_list(c->command.op))
		list_gone(c);
	/* a command waits for the core, which does not ask who is still there */
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum err reader_open(struct admin *a, const char *database, struct err_info *info)
{
	const struct admin_reader_config config = {.database = database, .home = a->front->home,
		.told = reader_told, .context = &a->told};

	if (uv_async_init(&a->front->loop, &a->told, on_told))
		return err_set(info, ERR_IO, "no way to be told of lists");
	a->told.data = a;
	return admin_reader_open(&a->reader, &config, info);
}

enum err admin_open(struct admin **out, struct front *front, const char *database,
	struct err_info *info)
{
	const struct http_config config = {
		.connections_max = ADMIN_CALLS_MAX,
		.parse = {.header_bytes_max = ADMIN_BODY_BYTES, .body_bytes_max = ADMIN_BODY_BYTES},
		.bodies_bytes_max = ADMIN_CALLS_MAX * ADMIN_BODY_BYTES,
		.unsent_bytes_max = 4 * ADMIN_SLICE_BYTES,
		.header_ns = front->config->header_ns,
		.body_idle_ns = front->config->body_idle_ns,
		.body_ns = front->config->body_ns,
		.body_rate_min = front->config->body_rate_min,
		.keep_alive_ns = front->config->keep_alive_ns,
		.write_idle_ns = front->config->write_idle_ns,
	};
	struct admin *a = mem_alloc(1, sizeof(*a));

	if (!a)
		return err_set(info, ERR_MEMORY, "no memory for administration");
	const struct http_handlers handlers = {a, on_request, on_bad, on_progress, on_gone, NULL};
	a->front = front;
	for (uint32_t i = 0; i < ADMIN_CALLS_MAX; i++)
		a->calls[i].admin = a;
	if (http_server_open(&a->http, &front->loop, &config, &handlers, info)) {
		mem_free(a);
		return info->code;
	}
	*out = a;
	return reader_open(a, database, info);
}

enum err admin_listen(struct admin *a, struct err_info *info)
{
	int fd;

	if (home_socket_bind(a->front->home, &fd, info))
		return info->code;
	return http_listen_fd(a->http, fd, info);
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	http_server_close(a->http);
	admin_reader_close(a->reader);
	a->lists = NULL;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	http_server_free(a->http);
	mem_free(a);
}
