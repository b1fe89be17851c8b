/* server/admin.c - see admin.h. */
#include "server/admin.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "server/admin_ops.h"
#include "server/front.h"
#include "server/store_sqlite.h"

/* at once; the core keeps more replies than that (replies_max) */
#define ADMIN_CALLS_MAX   64
#define ADMIN_BODY_BYTES  65536
/* of a list, between two looks at whether the reader keeps up */
#define ADMIN_SLICE_BYTES 65536

static const struct json_limits ADMIN_JSON = {
	.bytes_max = ADMIN_BODY_BYTES, .values_max = 1000, .depth_max = 8, .memory_max = 1 << 20,
};

/* One command under way. free: no conn, not waiting. */
struct admin_call {
	struct admin *admin;
	struct http_conn *conn;     /* NULL: gone */
	bool waiting;               /* for the core, or in_work */
	bool streaming;
	struct admin_command command;
	uv_work_t work;
	FILE *list;
	struct err_info info;
};

struct admin {
	struct front *front;
	const char *database;
	struct http_server *http;
	struct admin_call calls[ADMIN_CALLS_MAX];
};

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct http_conn *conn, unsigned status, const char *type,
	const struct buf *body)
{
	http_set_owner(conn, NULL);
	http_answer(conn, &(struct http_answer){.status = status, .content_type = type,
		.body = body->data,
		.size = body->size});
}

static void fail(struct admin *a, struct http_conn *conn, const struct openai_error *error)
{
	struct buf *out = &a->front->out;

	buf_clear(out);
	openai_error_body(error, out);
	answer(conn, openai_error_status(error), "application/json", out);
}

static void call_end(struct admin_call *c)
{
	if (c->list)
		fclose(c->list);
	sodium_memzero(c->command.key, sizeof(c->command.key));
	c->list = NULL;
	c->conn = NULL;
	c->waiting = c->streaming = false;
}

void admin_reply(struct admin *a, const struct core_reply *reply)
{
	struct admin_call *c = &a->calls[reply->token - FRONT_ADMIN_TOKEN];
	struct buf *out = &a->front->out;
	struct http_conn *conn = c->conn;
	struct openai_error error;

	assert(reply->token - FRONT_ADMIN_TOKEN < ADMIN_CALLS_MAX && c->waiting);
	if (conn) {
		buf_clear(out);
		c->conn = NULL;
		if (admin_reply_write(out, &c->command, reply, a->front->currency, &error))
			answer(conn, 200, "application/json", out);
		else
			fail(a, conn, &error);
	}
	call_end(c);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_read(uv_work_t *work)
{
	struct admin_call *c = work->data;
	struct store *reader = NULL;

	c->list = tmpfile();
	if (!c->list) {
		err_set_errno(&c->info, "no file for the list");
		return;
	}
	if (store_sqlite_reader(&reader, c->admin->database, &c->info))
		return;
	(void)!admin_list_write(c->list, &c->command, reader, c->admin->front->currency,
		c->admin->front->home, false, &c->info);
	store_close(reader);
	rewind(c->list);
}

/* Sends slices until the reader is behind; progress comes back here. */
static void list_send(struct admin_call *c)
{
	static char slice[ADMIN_SLICE_BYTES];
	struct http_conn *conn = c->conn;

	while (c->conn && !http_full(conn)) {
		const size_t size = fread(slice, 1, sizeof(slice), c->list);

		if (size > 0) {
			http_stream_write(conn, slice, size, 0);
			continue;
		}
		http_set_owner(conn, NULL);
		if (ferror(c->list))
			http_stream_abort(conn);
		else
			http_stream_close(conn);
		call_end(c);
	}
}

static void list_was_read(uv_work_t *work, int status)
{
	struct admin_call *c = work->data;
	struct openai_error error;
	struct http_conn *conn = c->conn;

	(void)status;
	c->waiting = false;
	if (!conn) {
		call_end(c);
	} else if (c->info.code) {
		openai_error_set(&error, c->info.code == ERR_INPUT ? OPENAI_INVALID
			: OPENAI_INTERNAL, NULL, "%s", c->info.text);
		fail(c->admin, conn, &error);
		call_end(c);
	} else {
		c->streaming = true;
		http_stream_open(conn, &(struct http_answer){.status = 200,
			.content_type = "application/x-ndjson"});
		list_send(c);
	}
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct admin_call *call_take(struct admin *a)
{
	for (uint32_t i = 0; i < ADMIN_CALLS_MAX; i++)
		if (!a->calls[i].conn && !a->calls[i].waiting)
			return &a->calls[i];
	return NULL;
}

static void call_start(struct admin_call *c)
{
	struct front *f = c->admin->front;

	c->waiting = true;
	c->info = (struct err_info){0};
	c->work.data = c;
	if (!admin_is_list(c->command.op)) {
		c->command.event.token = FRONT_ADMIN_TOKEN + (uint64_t)(c - c->admin->calls);
		front_tell(f, &c->command.event);
	} else if (uv_queue_work(&f->loop, &c->work, list_read, list_was_read)) {
		err_set(&c->info, ERR_MEMORY, "no thread for the list");
		list_was_read(&c->work, 0);
	}
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
		c->conn = conn;
		http_set_owner(conn, c);
		call_start(c);
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
	struct admin_call *c = http_owner(conn);

	(void)context;
	if (c && c->streaming)
		list_send(c);
}

static void on_gone(void *context, struct http_conn *conn)
{
	struct admin_call *c = http_owner(conn);

	(void)context;
	if (!c)
		return;
	c->conn = NULL;
	if (!c->waiting)
		call_end(c);
}

/* ---- open and close -------------------------------------------------------------------------- */

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
	a->database = database;
	for (uint32_t i = 0; i < ADMIN_CALLS_MAX; i++)
		a->calls[i].admin = a;
	if (http_server_open(&a->http, &front->loop, &config, &handlers, info))
		mem_free(a);
	else
		*out = a;
	return info->code;
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
	if (a)
		http_server_close(a->http);
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	http_server_free(a->http);
	mem_free(a);
}
