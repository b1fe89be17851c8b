/* server/front.c - the loop: rings, signals, and the life of calls; see front.h. */
#include "server/front.h"

#include <assert.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "model/tokenizer/tokenizer.h"
#include "server/admin.h"
#include "server/chat.h"
#include "server/keys.h"

#define ACTIONS_IN_A_ROW 1024           /* then sockets get their turn */
#define LAST_WORD_MS     2000
#define POOL_THREADS     4              /* libuv's own number */
/* stop strings and the detokenizer fit beside a short prompt */
#define REQUEST_CHUNK_SPARE 65536

/* ---- to and from the core -------------------------------------------------------------------- */

void front_tell(struct front *f, const struct core_event *event)
{
	const bool pushed = ring_push(f->wires->events, event);

	assert(pushed);
	f->tell_core = true;
}

static void core_wake(struct front *f)
{
	if (!f->tell_core)
		return;
	f->tell_core = false;
	wake_set(&f->wires->core_wake);
}

/* The key is good: the call has done its work when the body may come. */
static void body_allow(struct call *c)
{
	struct http_conn *conn = c->conn;

	c->conn = NULL;
	call_free(c);
	http_body_allow(conn);
}

static void reply_take(struct front *f, const struct core_action *action)
{
	const struct core_reply *reply = &action->u.reply;

	if (reply->token >= FRONT_ADMIN_TOKEN) {
		admin_reply(f->admin, reply);
		return;
	}
	struct call *c = &f->calls[reply->token];
	struct openai_error error;

	assert(c->state == CALL_AUTHORISING);
	if (!c->conn) {
		call_free(c);
	} else if (reply->result == CORE_RESULT_DONE && c->before_body) {
		body_allow(c);
	} else if (reply->result == CORE_RESULT_DONE) {
		c->route->serve(c);
	} else {
		openai_error_refusal(&error, CORE_REFUSE_INVALID_KEY, 0);
		call_fail(c, &error);
		call_free(c);
	}
}

static void stopped(struct front *f);

static void action_take(struct front *f, const struct core_action *action)
{
	switch (action->kind) {
	case CORE_ADMIT:
		chat_action(&f->calls[action->u.admit.handle], action);
		break;
	case CORE_REFUSE:
		chat_action(&f->calls[action->u.refuse.handle], action);
		break;
	case CORE_ACCEPT:
		chat_action(&f->calls[action->u.accept.handle], action);
		break;
	case CORE_DELIVER:
		chat_action(&f->calls[action->u.deliver.handle], action);
		break;
	case CORE_ANSWERED:
		chat_action(&f->calls[action->u.answered.handle], action);
		break;
	case CORE_CUT:
		chat_action(&f->calls[action->u.cut.handle], action);
		break;
	case CORE_END:
		chat_action(&f->calls[action->u.end.handle], action);
		break;
	case CORE_REPLY:
		reply_take(f, action);
		break;
	case CORE_STOPPED:
		stopped(f);
		break;
	case CORE_RUN:
	case CORE_STORE:
	case CORE_ACTION_KINDS:
		assert(false);  /* not for the front */
	}
}

/* The core looks for it after every look at the events: a wake-up is not lost when it has taken
 * them all meanwhile. */
void front_late(struct front *f)
{
	f->any_late = true;
	atomic_store(&f->wires->room_awaited, true);
	f->tell_core = true;
}

static void late_tell(struct front *f)
{
	if (!f->any_late)
		return;
	if (ring_room(f->wires->events) <= f->wires->reserved) {
		front_late(f);
		return;
	}
	f->any_late = false;
	for (uint32_t i = 0; i < f->requests_max; i++)
		if (f->chats[i].late)
			chat_tell_late(&f->calls[i]);
}

static void report_take(struct front *f)
{
	struct call *c = f->reporting;

	if (!atomic_exchange(&f->wires->report_there, false))
		return;
	/* the core may write there as soon as another is asked for */
	f->report = f->wires->report;
	f->reporting = NULL;
	f->metrics.connections = http_connections(f->http);
	while (c) {
		struct call *next = c->next;

		c->next = NULL;
		if (c->conn)
			c->route->serve(c);
		else
			call_free(c);
		c = next;
	}
}

static void woken(uv_poll_t *poll, int status, int events)
{
	struct front *f = poll->data;
	struct core_action action;
	uint32_t taken = 0;

	(void)status;
	(void)events;
	wake_take(&f->wires->front_wake);
	while (taken < ACTIONS_IN_A_ROW && ring_pop(f->wires->actions, &action)) {
		action_take(f, &action);
		taken++;
	}
	if (taken == ACTIONS_IN_A_ROW)
		wake_set(&f->wires->front_wake);
	if (taken > 0)
		f->tell_core = true;  /* it may wait for room in the ring */
	report_take(f);
	late_tell(f);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static struct call *call_take(struct front *f, bool makes_request)
{
	if (makes_request)
		return f->free_request_count == 0 ? NULL
			: &f->calls[f->free_requests[--f->free_request_count]];
	return f->free_service_count == 0 ? NULL
		: &f->calls[f->free_services[--f->free_service_count]];
}

void call_free(struct call *c)
{
	struct front *f = c->front;

	assert(c->state != CALL_FREE && !c->in_work && !c->conn);
	if (c->chat)
		chat_free(c);
	if (c->handle < f->requests_max)
		f->free_requests[f->free_request_count++] = c->handle;
	else
		f->free_services[f->free_service_count++] = c->handle;
	c->state = CALL_FREE;
}

static void request_id_make(struct record_request *id, char text[RECORD_REQUEST_BYTES])
{
	randombytes_buf(id, sizeof(*id));
	record_request_format(text, *id);
}

/* The lines that every answer has (rules.md 1); more lines may be added behind. */
static void headers_start(struct front *f, const char *request_id)
{
	buf_clear(&f->headers);
	buf_printf(&f->headers, "x-request-id: %s\r\n", request_id);
}

/* An answer that found no memory, or whose headers did, is not sent in part. */
static void conn_answer(struct front *f, struct http_conn *conn, const struct route *route,
	unsigned status, const char *content_type, const struct buf *body)
{
	const bool lost = body->failed || f->headers.failed;
	const struct buf *sent = lost ? &f->no_memory : body;
	const struct http_answer answer = {.status = lost ? 500 : status,
		.content_type = lost ? "application/json" : content_type,
		.headers = f->headers.failed ? NULL : f->headers.data,
		.body = sent->data, .size = sent->size};
	const bool parsed = http_parse_headed(http_request(conn));

	metrics_answer(&f->metrics, route ? route->path : "none",
		parsed ? http_parse_method(http_request(conn)) : "none", answer.status);
	http_set_owner(conn, NULL);
	http_answer(conn, &answer);
}

static void conn_fail(struct front *f, struct http_conn *conn, const struct openai_error *error,
	const char *more_headers)
{
	struct record_request id;
	char request_id[RECORD_REQUEST_BYTES];

	request_id_make(&id, request_id);
	headers_start(f, request_id);
	openai_error_headers(error, &f->headers);
	buf_add_str(&f->headers, more_headers);
	buf_clear(&f->out);
	openai_error_body(error, &f->out);
	conn_answer(f, conn, NULL, openai_error_status(error), "application/json", &f->out);
}

void call_answer(struct call *c, unsigned status, const char *content_type, const struct buf *body)
{
	struct http_conn *conn = c->conn;

	assert(conn && !c->streaming);
	c->conn = NULL;
	headers_start(c->front, c->request_id);
	conn_answer(c->front, conn, c->route, status, content_type, body);
}

void call_fail(struct call *c, const struct openai_error *error)
{
	struct front *f = c->front;
	struct http_conn *conn = c->conn;

	assert(conn && !c->streaming);
	c->conn = NULL;
	headers_start(f, c->request_id);
	openai_error_headers(error, &f->headers);
	buf_clear(&f->out);
	openai_error_body(error, &f->out);
	conn_answer(f, conn, c->route, openai_error_status(error), "application/json", &f->out);
}

void call_report(struct call *c)
{
	struct front *f = c->front;

	c->state = CALL_REPORTING;
	c->next = f->reporting;
	f->reporting = c;
	if (c->next)
		return;
	atomic_store(&f->wires->report_wanted, true);
	f->tell_core = true;
}

void call_work(struct call *c, size_t bytes, uv_work_cb work, uv_after_work_cb done)
{
	c->work.data = c;
	c->in_work = true;
	if (bytes > FRONT_WORK_BYTES && uv_queue_work(&c->front->loop, &c->work, work, done) == 0)
		return;
	work(&c->work);
	done(&c->work, 0);
}

/* ---- what connections say -------------------------------------------------------------------- */

static void caller_read(struct call *c)
{
	const struct front *f = c->front;
	size_t size = 0;
	const char *key = key_of_authorization(http_parse_header(http_request(c->conn),
		"authorization"), &size);

	c->caller = (struct core_caller){
		.trusted = http_from_loopback(c->conn) || f->config->allow_anonymous,
		.credential = key ? CORE_CREDENTIAL_KEY : CORE_CREDENTIAL_NONE,
	};
	if (key)
		key_hash(c->caller.key_hash, key, size, f->secret);
}

static void call_authorise(struct call *c)
{
	struct core_event event = {.kind = CORE_AUTHORISE};

	event.token = c->handle;
	event.u.authorise.caller = c->caller;
	front_tell(c->front, &event);
}

/* NULL: there is no place for it, and the client knows. */
static struct call *call_begin(struct front *f, struct http_conn *conn, const struct route *route,
	bool makes_request)
{
	struct call *c = call_take(f, makes_request);
	struct openai_error error;

	if (!c) {
		openai_error_refusal(&error, CORE_REFUSE_OVERLOADED, 0);
		conn_fail(f, conn, &error, "");
		return NULL;
	}
	assert(c->state == CALL_FREE);
	*c = (struct call){
		.state = CALL_AUTHORISING,
		.handle = c->handle,
		.front = f,
		.conn = conn,
		.route = route,
		.started_ns = clock_monotonic_ns(),
		.chat = c->handle < f->requests_max ? &f->chats[c->handle] : NULL,
	};
	request_id_make(&c->id, c->request_id);
	http_set_owner(conn, c);
	caller_read(c);
	if (c->chat)
		chat_init(c);
	return c;
}

static bool needs_key(const struct http_conn *conn, const struct route *route)
{
	return route->access == ROUTE_KEY || (route->access == ROUTE_OPEN_ON_LOOPBACK &&
		!http_from_loopback(conn));
}

/* A body that was allowed came with a key that was good then; what costs money asks the core again,
 * which looks anew. */
static void call_start(struct front *f, struct http_conn *conn, const struct route *route)
{
	struct call *c = call_begin(f, conn, route, route->makes_request);

	if (!c)
		return;
	if (needs_key(conn, route) && !http_body_allowed(conn))
		call_authorise(c);
	else
		route->serve(c);
}

/* Before its body is taken: a client without a key must not make the server hold bytes. Who only
 * gets something is answered without it. */
static void call_ask(struct front *f, struct http_conn *conn, const struct route *route)
{
	if (strcmp(route->method, "GET") == 0) {
		call_start(f, conn, route);
		return;
	}
	assert(needs_key(conn, route));
	struct call *c = call_begin(f, conn, route, false);
	if (!c)
		return;
	c->before_body = true;
	call_authorise(c);
}

static void no_route(struct front *f, struct http_conn *conn, const char *method, bool path_known,
	struct buf *allow)
{
	const struct buf empty = {0};
	struct openai_error error;
	char line[128];

	snprintf(line, sizeof(line), "Allow: %s\r\n", allow->data ? allow->data : "");
	if (strcmp(method, "OPTIONS") == 0 && path_known) {
		struct record_request id;
		char request_id[RECORD_REQUEST_BYTES];

		request_id_make(&id, request_id);
		headers_start(f, request_id);
		buf_add_str(&f->headers, line);
		conn_answer(f, conn, NULL, 204, NULL, &empty);
		return;
	}
	openai_error_set(&error, path_known ? OPENAI_METHOD : OPENAI_NOT_FOUND, NULL,
		path_known ? "%s is not allowed here." : "Unknown request URL: %s %.200s.",
		method, http_parse_path(http_request(conn)));
	conn_fail(f, conn, &error, path_known ? line : "");
}

/* A request goes to its route, or is answered here. */
static void route_take(struct front *f, struct http_conn *conn,
	void (*take)(struct front *f, struct http_conn *conn, const struct route *route))
{
	const char *method = http_parse_method(http_request(conn));
	struct buf allow;
	bool path_known = false;

	buf_init(&allow, 64);
	const struct route *route = route_find(method, http_parse_path(http_request(conn)),
		&path_known, &allow);
	if (route)
		take(f, conn, route);
	else
		no_route(f, conn, method, path_known, &allow);
	buf_free(&allow);
}

static void on_head(void *context, struct http_conn *conn)
{
	route_take(context, conn, call_ask);
}

static void on_request(void *context, struct http_conn *conn)
{
	route_take(context, conn, call_start);
}

static void on_bad(void *context, struct http_conn *conn, unsigned status, const char *problem)
{
	struct openai_error error;

	openai_error_http(&error, status, problem);
	conn_fail(context, conn, &error, "");
}

static void on_progress(void *context, struct http_conn *conn)
{
	(void)context;
	if (http_owner(conn))
		chat_progress(http_owner(conn));
}

static void on_gone(void *context, struct http_conn *conn)
{
	struct front *f = context;
	struct call *c = http_owner(conn);

	f->metrics.clients_gone++;
	if (!c)
		return;
	assert(c->conn == conn);
	chat_gone(c);
	c->conn = NULL;
	/* AUTHORISING, REPORTING, in_work: whoever it waits for will find nobody there. */
}

/* ---- signals and the end --------------------------------------------------------------------- */

static void loop_end(uv_timer_t *timer)
{
	struct front *f = timer->data;

	if (f->stopping)
		uv_stop(&f->loop);
}

/* rules.md 9: no request is open any more; connections may read their last answer. */
static void stopped(struct front *f)
{
	if (f->stopping)
		return;
	f->stopping = true;
	http_server_drain(f->http);
	uv_timer_start(&f->last_word, loop_end, LAST_WORD_MS, 0);
}

static void closed_check(struct front *f)
{
	if (f->stopping && http_connections(f->http) == 0)
		uv_stop(&f->loop);
}

static const char *signal_name(int number)
{
	return number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP";
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct front *f = handle->data;
	struct core_event event = {.kind = CORE_DRAIN};

	f->signals++;
	event.u.drain.grace_ns = f->signals == 1 ? f->config->grace_ns : 0;
	log_line(LOG_INFO, "server/front",
		f->signals == 1 ? "%s: no new requests, those that run have %.1f s"
		: "%s again: ending at once",
		signal_name(number), (double)f->config->grace_ns / 1e9);
	front_tell(f, &event);
	if (f->signals > 2)
		uv_stop(&f->loop);
}

static void before_sleep(uv_prepare_t *prepare)
{
	core_wake(prepare->data);
	closed_check(prepare->data);
}

void front_run(struct front *f)
{
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

/* ---- open and close -------------------------------------------------------------------------- */

/* The longest prompt of any model is one allocation, and so is the longest answer. */
static size_t request_chunk_bytes(const struct front_open *open)
{
	uint32_t longest = 0;

	for (uint32_t i = 0; i < open->config->model_count; i++)
		if (open->context_max[i] > longest)
			longest = open->context_max[i];
	return (size_t)longest * sizeof(uint32_t) + REQUEST_CHUNK_SPARE;
}

static bool calls_open(struct front *f, const struct front_open *open)
{
	const uint32_t all = f->requests_max + FRONT_SERVICE_CALLS;
	const size_t chunk = request_chunk_bytes(open);
	const size_t chunks = (size_t)f->config->request_bytes / chunk;

	f->calls = mem_alloc(all, sizeof(*f->calls));
	f->chats = mem_alloc(f->requests_max, sizeof(*f->chats));
	f->free_requests = mem_alloc(f->requests_max, sizeof(*f->free_requests));
	f->free_services = mem_alloc(FRONT_SERVICE_CALLS, sizeof(*f->free_services));
	f->pool = arena_pool_open(chunks > 2 ? chunks : 2, chunk);
	if (!f->calls || !f->chats || !f->free_requests || !f->free_services || !f->pool)
		return false;
	for (uint32_t i = all; i-- > 0;) {
		f->calls[i].handle = i;
		if (i < f->requests_max)
			f->free_requests[f->free_request_count++] = i;
		else
			f->free_services[f->free_service_count++] = i;
	}
	return true;
}

static bool signal_is_ignored(int number)
{
	struct sigaction now;

	return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static void handles_init(struct front *f)
{
	uv_poll_init(&f->loop, &f->wake, f->wires->front_wake.fd);
	uv_prepare_init(&f->loop, &f->before_sleep);
	uv_signal_init(&f->loop, &f->terminate);
	uv_signal_init(&f->loop, &f->interrupt);
	uv_signal_init(&f->loop, &f->hangup);
	uv_timer_init(&f->loop, &f->last_word);
	f->wake.data = f->before_sleep.data = f->terminate.data = f->interrupt.data =
		f->hangup.data = f->last_word.data = f;
	uv_poll_start(&f->wake, UV_READABLE, woken);
	uv_prepare_start(&f->before_sleep, before_sleep);
	uv_signal_start(&f->terminate, on_signal, SIGTERM);
	uv_signal_start(&f->interrupt, on_signal, SIGINT);
	if (!signal_is_ignored(SIGHUP))  /* nohup */
		uv_signal_start(&f->hangup, on_signal, SIGHUP);
}

static void gate_pass(void *argument)
{
	uv_mutex_t *gate = argument;

	uv_mutex_lock(gate);
	uv_mutex_unlock(gate);
}

/* As many threads as the pool has can be had, all at once. */
static enum err pool_try(struct err_info *info)
{
	struct thread *threads[POOL_THREADS] = {0};
	enum err err = ERR_NONE;
	uv_mutex_t gate;

	if (uv_mutex_init(&gate))
		return err_set(info, ERR_MEMORY, "no memory for a mutex");
	uv_mutex_lock(&gate);
	for (int i = 0; i < POOL_THREADS && !err; i++)
		err = thread_start(&threads[i], "ty-work", gate_pass, &gate, info);
	uv_mutex_unlock(&gate);
	for (int i = 0; i < POOL_THREADS; i++)
		thread_join(threads[i]);
	uv_mutex_destroy(&gate);
	return err;
}

static void no_work(uv_work_t *work)
{
	(void)work;
}

/* libuv makes its threads at the first work, and ends the process if one cannot be had: that must
 * not be when the first long body comes. */
static enum err pool_start(struct front *f, struct err_info *info)
{
	if (pool_try(info))
		return info->code;
	if (uv_queue_work(&f->loop, &f->first_work, no_work, NULL))
		return err_set(info, ERR_IO, "no threads for long bodies");
	return ERR_NONE;
}

static struct http_config http_config_of(const struct server_config *config)
{
	return (struct http_config){
		.connections_max = config->connections_max,
		.parse = {.header_bytes_max = config->header_bytes_max,
		.body_bytes_max = (size_t)config->body_bytes_max},
		.bodies_bytes_max = (size_t)config->bodies_bytes_max,
		.unsent_bytes_max = (size_t)config->unsent_bytes_max,
		.socket_send_bytes = (int)config->socket_send_bytes,
		.header_ns = config->header_ns,
		.body_idle_ns = config->body_idle_ns,
		.body_ns = config->body_ns,
		.body_rate_min = config->body_rate_min,
		.keep_alive_ns = config->keep_alive_ns,
		.write_idle_ns = config->write_idle_ns,
	};
}

static bool buffers_open(struct front *f)
{
	struct openai_error error;

	buf_init(&f->out, FRONT_ANSWER_BYTES_MAX);
	buf_init(&f->headers, 4096);
	buf_init(&f->delta, FRONT_ANSWER_BYTES_MAX);
	buf_init(&f->no_memory, 1024);
	openai_error_set(&error, OPENAI_INTERNAL, NULL, "No memory was left for the answer.");
	openai_error_body(&error, &f->no_memory);
	return !f->no_memory.failed;
}

enum err front_open(struct front *f, const struct front_open *open, struct err_info *info)
{
	struct http_config http = http_config_of(open->config);
	const struct http_handlers handlers = {f, on_request, on_bad, on_progress, on_gone,
		on_head};

	http.loopback_only = open->loopback_only;
	memset(f, 0, sizeof(*f));
	f->config = open->config;
	f->home = open->home;
	f->wires = open->wires;
	f->secret = open->secret;
	f->currency = open->currency;
	f->context_max = open->context_max;
	f->created_s = clock_wall_ns() / NS_PER_S;
	f->requests_max = open->config->requests_max;
	for (uint32_t i = 0; i < f->config->model_count; i++)
		f->models[i] = (struct openai_model){f->config->models[i].id,
			f->config->models[i].defaults,
			(uint32_t)tokenizer_count(f->config->models[i].tokenizer)};
	f->table = open->table;
	f->body_limits = JSON_LIMITS_REQUEST;
	f->body_limits.values_max = open->config->json_values_max;
	f->body_limits.depth_max = open->config->json_depth_max;
	json_pool_init(&f->trees, (size_t)open->config->trees_bytes_max);
	if (!buffers_open(f) || !calls_open(f, open))
		return err_set(info, ERR_MEMORY, "no memory for %u requests", f->requests_max);
	if (uv_loop_init(&f->loop))
		return err_set(info, ERR_IO, "no event loop");
	f->loop_open = true;
	handles_init(f);
	if (pool_start(f, info) || http_server_open(&f->http, &f->loop, &http, &handlers, info))
		return info->code;
	return admin_open(&f->admin, f, open->database, info);
}

enum err front_listen(struct front *f, uint16_t *port, struct err_info *info)
{
	if (http_listen_tcp(f->http, f->config->host, f->config->port, port, info))
		return info->code;
	return admin_listen(f->admin, info);
}

static void handle_close(uv_handle_t *handle, void *context)
{
	(void)context;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void front_close(struct front *f)
{
	if (f->loop_open) {
		admin_close(f->admin);
		if (f->http)
			http_server_close(f->http);
		uv_walk(&f->loop, handle_close, NULL);
		uv_run(&f->loop, UV_RUN_DEFAULT);
		admin_free(f->admin);
		http_server_free(f->http);
		uv_loop_close(&f->loop);
	}
	for (uint32_t i = 0; f->calls && i < f->requests_max + FRONT_SERVICE_CALLS; i++)
		if (f->calls[i].state != CALL_FREE && f->calls[i].chat)
			chat_free(&f->calls[i]);
	arena_pool_close(f->pool);
	mem_free(f->calls);
	mem_free(f->chats);
	mem_free(f->free_requests);
	mem_free(f->free_services);
	buf_free(&f->out);
	buf_free(&f->headers);
	buf_free(&f->delta);
	buf_free(&f->no_memory);
}
