/* tests/server/front_test.c - the front between a client and a core that the test plays: what it
 * says when memory is short, and that it never says that more was delivered than was.
 *
 * Client, front and core live in one thread; only libuv's helpers have their own.
 */
#include "scratch.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "byte_model.h"
#include "client.h"
#include "server/front.h"
#include "server/http_conn.h"
#include "server/store_sqlite.h"

#define REQUESTS_MAX 4

static char scratch[64];
static struct byte_model model;
static struct server_config config;
static struct home home;
static struct wires wires;
static struct request_table table;
static struct request *by_handle[REQUESTS_MAX];
static const uint8_t secret[HOME_SECRET_BYTES];
static const uint32_t context_max = 4096;
static char database[PATH_MAX];
static struct front front;
static uint16_t port;

static void config_fill(void)
{
	config = (struct server_config){.host = "127.0.0.1", .any_port = true,
		.models = &model.served, .model_count = 1,
		.connections_max = 16, .requests_max = REQUESTS_MAX, .request_bytes = 16 << 20,
		.header_bytes_max = 65536, .json_values_max = 1000000, .json_depth_max = 64,
		.body_bytes_max = 16 << 20, .bodies_bytes_max = 64 << 20,
		.trees_bytes_max = 64 << 20,
		.unsent_bytes_max = 1 << 18, .header_ns = 10 * NS_PER_S,
		.body_idle_ns = 30 * NS_PER_S, .body_ns = 30 * NS_PER_S,
		.body_rate_min = 32768, .keep_alive_ns = 75 * NS_PER_S,
		.write_idle_ns = 30 * NS_PER_S};
}

static int front_start(void **state)
{
	const struct core_limits limits = {.requests_max = REQUESTS_MAX, .replies_max = 128,
		.records_max = 64};
	const struct front_open open = {.config = &config, .home = &home, .secret = secret,
		.wires = &wires, .currency = "CNY", .database = database, .table = &table,
		.context_max = &context_max};
	struct err_info info = {0};

	(void)state;
	assert_int_equal(scratch_open(state), 0);
	byte_model_open(&model);
	model.served.id = "sim";
	config_fill();
	table = (struct request_table){.by_handle = by_handle, .capacity = REQUESTS_MAX};
	if (home_open(&home, scratch, &info) || home_lock(&home, "a test", &info) ||
		home_file(&home, HOME_DATABASE, database, &info) ||
		wires_open(&wires, &limits, &info) || front_open(&front, &open, &info) ||
		front_listen(&front, &port, &info))
		fail_msg("%s", info.text);
	return 0;
}

static int front_stop(void **state)
{
	front_close(&front);
	wires_close(&wires);
	home_close(&home);
	byte_model_close(&model);
	return scratch_close(state);
}

static void run(void)
{
	for (int i = 0; i < 4; i++)
		uv_run(&front.loop, UV_RUN_NOWAIT);
}

/* ---- the client ------------------------------------------------------------------------------ */

static int client_open(void)
{
	const int fd = client_connect(port);

	run();
	return fd;
}

static void client_post(int fd, const char *body, size_t size)
{
	char head[200];
	size_t sent = 0;
	const int head_size = snprintf(head, sizeof(head),
		"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
		size);

	assert_int_equal(send(fd, head, (size_t)head_size, MSG_NOSIGNAL), head_size);
	for (; sent < size; run()) {
		const ssize_t now_sent = send(fd, body + sent, size - sent, MSG_NOSIGNAL);

		sent += now_sent > 0 ? (size_t)now_sent : 0;
	}
	run();
}

/* What has come so far; "" when nothing did. */
static const char *client_hear(int fd)
{
	static char text[1 << 16];
	ssize_t got;

	run();
	got = recv(fd, text, sizeof(text) - 1, 0);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

/* ---- the core -------------------------------------------------------------------------------- */

/* The next event; it must be of this kind. Helpers may have to make it first. */
static struct core_event hear(enum core_event_kind kind)
{
	struct core_event event;

	for (int i = 0; i < 10000 && ring_count(wires.events) == 0; i++) {
		run();
		poll(NULL, 0, 1);
	}
	assert_true(ring_pop(wires.events, &event));
	assert_int_equal(event.kind, kind);
	return event;
}

static void hear_nothing(void)
{
	struct core_event event;

	run();
	assert_false(ring_pop(wires.events, &event));
}

static void say(struct core_action action)
{
	assert_true(ring_push(wires.actions, &action));
	wake_set(&wires.front_wake);
	run();
}

/* Lets the caller in and hears what follows. */
static struct core_event let_in(enum core_event_kind next)
{
	const struct core_event event = hear(CORE_AUTHORISE);

	say((struct core_action){.kind = CORE_REPLY, .u.reply = {.token = event.token}});
	return hear(next);
}

/* A request that runs; its handle. */
static uint32_t started(int fd, const char *body)
{
	client_post(fd, body, strlen(body));
	const uint32_t handle = let_in(CORE_ASK).u.ask.handle;
	say((struct core_action){.kind = CORE_ADMIT,
		.u.admit = {.handle = handle, .context_max = context_max}});
	assert_int_equal(hear(CORE_ARRIVE).u.arrive.handle, handle);
	say((struct core_action){.kind = CORE_ACCEPT, .u.accept = {.handle = handle}});
	return handle;
}

static void answer_grow(uint32_t handle, uint32_t tokens)
{
	for (uint32_t i = 0; i < tokens; i++)
		by_handle[handle]->answer[i] = 'a';
	say((struct core_action){.kind = CORE_DELIVER,
		.u.deliver = {.handle = handle, .answer_tokens = tokens}});
}

static void end(uint32_t handle, enum record_finish finish, uint32_t tokens)
{
	say((struct core_action){.kind = CORE_END, .u.end = {.handle = handle, .recorded = true,
		.finish = finish,
		.prompt_tokens = 3, .completion_tokens = tokens}});
}

static const char HELLO[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
static const char HELLO_STREAM[] =
	"{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"stream\":true}";

/* ---- promises -------------------------------------------------------------------------------- */

static void an_answer_is_told_whole(void **state)
{
	(void)state;
	const int fd = client_open();
	const uint32_t handle = started(fd, HELLO);
	answer_grow(handle, 5);
	say((struct core_action){.kind = CORE_ANSWERED,
		.u.answered = {.handle = handle, .answer_tokens = 5}});
	assert_int_equal(hear(CORE_FLUSHED).u.progress.tokens, 5);
	end(handle, RECORD_FINISH_STOP, 5);
	const char *text = client_hear(fd);
	assert_non_null(strstr(text, "HTTP/1.1 200 OK"));
	assert_non_null(strstr(text, "\"content\":\"aaaaa\""));
	close(fd);
}

/* Nothing else wakes a front whose clients are silent. */
static void what_found_no_room_on_the_way_to_the_core_is_said_when_there_is_some(void **state)
{
	const struct core_event other = {.kind = CORE_TICK};
	struct core_event event;

	(void)state;
	const int fd = client_open();
	const uint32_t handle = started(fd, HELLO_STREAM);
	while (ring_room(wires.events) > wires.reserved)
		assert_true(ring_push(wires.events, &other));
	answer_grow(handle, 2);
	while (ring_pop(wires.events, &event))
		assert_int_equal(event.kind, CORE_TICK);
	assert_true(wires_room_made(&wires));
	assert_false(wires_room_made(&wires));
	wake_set(&wires.front_wake);
	assert_int_equal(hear(CORE_WRITTEN).u.progress.tokens, 2);
	close(fd);
}

static void text_that_found_no_memory_is_an_error_and_not_charged(void **state)
{
	(void)state;
	const int fd = client_open();
	const uint32_t handle = started(fd, HELLO);
	answer_grow(handle, 2);
	mem_fail_after(1, 1);
	answer_grow(handle, 4000);
	mem_fail_after(0, 0);
	assert_true(hear(CORE_CANCEL).u.progress.failed);
	say((struct core_action){.kind = CORE_ANSWERED,
		.u.answered = {.handle = handle, .answer_tokens = 4000}});
	hear_nothing();
	end(handle, RECORD_FINISH_ERROR, 4000);
	const char *text = client_hear(fd);
	assert_non_null(strstr(text, "HTTP/1.1 500 "));
	assert_non_null(strstr(text, "No memory was left"));
	assert_non_null(strstr(text, "It was not charged."));
	close(fd);
}

static void a_stream_that_found_no_memory_ends_with_an_error_event(void **state)
{
	(void)state;
	const int fd = client_open();
	const uint32_t handle = started(fd, HELLO_STREAM);
	answer_grow(handle, 2);
	assert_int_equal(hear(CORE_WRITTEN).u.progress.tokens, 2);
	mem_fail_after(1, 1);
	answer_grow(handle, 4000);
	mem_fail_after(0, 0);
	const struct core_event cancel = hear(CORE_CANCEL);
	assert_int_equal(cancel.u.progress.tokens, 2);
	assert_true(cancel.u.progress.failed);
	end(handle, RECORD_FINISH_ERROR, 4000);
	const char *text = client_hear(fd);
	assert_non_null(strstr(text, "\"content\":\"aa\""));
	assert_null(strstr(text, "\"content\":\"aaa"));
	assert_non_null(strstr(text, "data: {\"error\":{\"message\":\"No memory was left"));
	assert_null(strstr(text, "[DONE]"));
	close(fd);
}

/* Once FLUSHED is said it is charged: what its body needs is there before. */
static void a_body_that_found_no_memory_is_an_error_and_not_charged(void **state)
{
	(void)state;
	const int fd = client_open();
	const uint32_t handle = started(fd, HELLO);
	answer_grow(handle, 3500);
	mem_fail_after(1, 0);
	say((struct core_action){.kind = CORE_ANSWERED,
		.u.answered = {.handle = handle, .answer_tokens = 3500}});
	mem_fail_after(0, 0);
	assert_true(hear(CORE_CANCEL).u.progress.failed);
	end(handle, RECORD_FINISH_ERROR, 3500);
	const char *text = client_hear(fd);
	assert_non_null(strstr(text, "HTTP/1.1 500 "));
	assert_non_null(strstr(text, "{\"error\":{\"message\":\"No memory was left"));
	close(fd);
}

static void a_prompt_that_found_no_memory_is_no_fault_of_the_client(void **state)
{
	(void)state;
	const int fd = client_open();
	client_post(fd, HELLO, sizeof(HELLO) - 1);
	const uint32_t handle = let_in(CORE_ASK).u.ask.handle;
	mem_fail_after(1, 0);
	say((struct core_action){.kind = CORE_ADMIT,
		.u.admit = {.handle = handle, .context_max = context_max}});
	mem_fail_after(0, 0);
	assert_int_equal(hear(CORE_CANCEL).u.progress.tokens, 0);
	const char *text = client_hear(fd);
	assert_non_null(strstr(text, "HTTP/1.1 503 "));
	assert_non_null(strstr(text, "retry-after: 1\r\n"));
	close(fd);
}

/* Its messages are short, and yet there is much to render. */
static void a_large_body_is_rendered_by_another_thread(void **state)
{
	char body[FRONT_WORK_BYTES + 200];

	(void)state;
	const int fd = client_open();
	const int size = snprintf(body, sizeof(body),
		"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"name\":\"%0*d\"}]}",
		FRONT_WORK_BYTES, 0);
	client_post(fd, body, (size_t)size);
	const uint32_t handle = let_in(CORE_ASK).u.ask.handle;
	const struct core_action admit = {.kind = CORE_ADMIT,
		.u.admit = {.handle = handle, .context_max = context_max}};
	assert_true(ring_push(wires.actions, &admit));
	wake_set(&wires.front_wake);
	uv_run(&front.loop, UV_RUN_NOWAIT);
	assert_true(front.calls[handle].in_work);
	hear(CORE_ARRIVE);
	close(fd);
}

/* More than libuv has threads: what is queued behind them is not begun. */
#define AT_THE_GATE 64

static uv_sem_t gate;
static uint32_t through;

static void at_the_gate(uv_work_t *work)
{
	(void)work;
	uv_sem_wait(&gate);
}

static void through_the_gate(uv_work_t *work, int status)
{
	(void)work;
	assert_int_equal(status, 0);
	through++;
}

/* It lies in a queue of libuv then, and its memory is in use. */
static void a_body_is_counted_until_it_is_read_not_until_its_client_left(void **state)
{
	char body[FRONT_WORK_BYTES + 200];
	static uv_work_t work[AT_THE_GATE];

	(void)state;
	assert_int_equal(uv_sem_init(&gate, 0), 0);
	for (size_t i = 0; i < AT_THE_GATE; i++)
		uv_queue_work(&front.loop, &work[i], at_the_gate, through_the_gate);
	const int fd = client_open();
	const int size = snprintf(body, sizeof(body),
		"{\"messages\":[{\"role\":\"user\",\"content\":\"%0*d\"}]}",
		FRONT_WORK_BYTES, 0);
	client_post(fd, body, (size_t)size);
	const struct core_event ask = hear(CORE_AUTHORISE);
	say((struct core_action){.kind = CORE_REPLY, .u.reply = {.token = ask.token}});
	close(fd);
	run();
	assert_int_equal(http_connections(front.http), 0);
	assert_true(front.http->bodies_bytes > FRONT_WORK_BYTES);
	assert_int_equal(through, 0);
	for (size_t i = 0; i < AT_THE_GATE; i++)
		uv_sem_post(&gate);
	for (int i = 0; i < 10000 && (through < AT_THE_GATE || front.http->bodies_bytes > 0); i++) {
		run();
		poll(NULL, 0, 1);
	}
	assert_int_equal(front.http->bodies_bytes, 0);
	assert_int_equal(through, AT_THE_GATE);
	uv_sem_destroy(&gate);
}

static void a_request_that_runs_holds_no_body(void **state)
{
	(void)state;
	const int fd = client_open();
	started(fd, HELLO_STREAM);
	assert_int_equal(front.http->bodies_bytes, 0);
	close(fd);
}

static void report_fill(uint64_t steps)
{
	assert_true(atomic_exchange(&wires.report_wanted, false));
	wires.report.steps = steps;
	atomic_store(&wires.report_there, true);
}

static void a_report_is_asked_for_when_the_one_before_was_taken(void **state)
{
	static const char get[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	const int a = client_open(), b = client_open();
	assert_int_equal(send(a, get, sizeof(get) - 1, 0), sizeof(get) - 1);
	run();
	report_fill(41);
	assert_int_equal(send(b, get, sizeof(get) - 1, 0), sizeof(get) - 1);
	run();
	/* the core would write what the front is about to read */
	assert_false(atomic_load(&wires.report_wanted));
	wake_set(&wires.front_wake);
	run();
	assert_non_null(strstr(client_hear(a), "tongyun_core_steps_total 41\n"));
	assert_non_null(strstr(client_hear(b), "tongyun_core_steps_total 41\n"));
	assert_int_equal(send(a, get, sizeof(get) - 1, 0), sizeof(get) - 1);
	run();
	report_fill(42);
	wake_set(&wires.front_wake);
	assert_non_null(strstr(client_hear(a), "tongyun_core_steps_total 42\n"));
	close(a);
	close(b);
}

/* ---- administration -------------------------------------------------------------------------- */

static int admin_ask(const char *document)
{
	struct err_info info = {0};
	char request[400];
	int fd;
	const int size = snprintf(request, sizeof(request),
		"POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(document), document);

	if (home_socket_connect(&home, &fd, &info))
		fail_msg("%s", info.text);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
	run();
	return fd;
}

static const char PRICE_LIST[] = "{\"op\":\"price_list\"}";

/* What comes up to and with this text, kept in admin_text; another thread may have to make it. */
static char admin_text[8 << 20];

static void admin_hear(int fd, const char *last)
{
	size_t size = 0;

	admin_text[0] = '\0';
	for (int i = 0; i < 100000; i++) {
		const ssize_t got = recv(fd, admin_text + size, sizeof(admin_text) - 1 - size, 0);

		size += got > 0 ? (size_t)got : 0;
		admin_text[size] = '\0';
		if (size >= strlen(last) && strcmp(admin_text + size - strlen(last), last) == 0)
			return;
		run();
		if (got < 0)
			poll(NULL, 0, 1);
	}
	fail_msg("%zu bytes came, and not %s", size, last);
}

/* Many more bytes than all buffers on the way hold. */
#define PRICES 16384

static void prices_fill(void)
{
	const struct store_sqlite_config with = {.path = database, .records_max = PRICES};
	struct record record = {.kind = RECORD_PRICE};
	struct err_info info = {0};
	struct store *store = NULL;
	uint64_t durable = 0;

	memset(record.u.price.model, 'm', RECORD_MODEL_BYTES - 1);
	if (store_sqlite_open(&store, &with, &info))
		fail_msg("%s", info.text);
	for (uint64_t i = 1; i <= PRICES; i++) {
		record.sequence = record.u.price.version = i;
		store_append(store, &record);
	}
	assert_int_equal(store_commit(store, &durable, &info), ERR_NONE);
	assert_int_equal(durable, PRICES);
	store_close(store);
}

static void assert_all_prices(void)
{
	const char *at = admin_text;
	char wanted[40];

	for (int i = 1; i <= PRICES; i += 100) {
		snprintf(wanted, sizeof(wanted), ",\"version\":%d,", i);
		at = strstr(at, wanted);
		assert_non_null(at);
	}
}

static void a_list_of_any_length_comes_whole_to_who_takes_it(void **state)
{
	(void)state;
	prices_fill();
	const int fd = admin_ask(PRICE_LIST);
	admin_hear(fd, "\r\n0\r\n\r\n");
	assert_non_null(strstr(admin_text, "HTTP/1.1 200 "));
	assert_all_prices();
	assert_true(strlen(admin_text) > 2 << 20);
	close(fd);
}

/* Who takes nothing holds up other lists, and nothing else; and what waits is bounded. */
static void lists_wait_for_each_other_and_nothing_waits_for_them(void **state)
{
	enum { LISTS = 8 };
	int lists[LISTS];

	(void)state;
	prices_fill();
	for (int i = 0; i < LISTS; i++)
		lists[i] = admin_ask(PRICE_LIST);
	const int one_more = admin_ask(PRICE_LIST);
	admin_hear(one_more, "}}");
	assert_non_null(strstr(admin_text, "HTTP/1.1 503 "));
	assert_int_equal(recv(lists[1], admin_text, sizeof(admin_text), 0), -1);

	const int fd = client_open();
	started(fd, HELLO);
	close(fd);
	run();
	hear(CORE_CANCEL);

	close(lists[0]);        /* it was being read, the next one waited */
	close(lists[1]);
	run();
	const int instead = admin_ask(PRICE_LIST);
	admin_hear(lists[2], "\r\n0\r\n\r\n");
	assert_all_prices();
	for (int i = 2; i < LISTS; i++)
		close(lists[i]);
	admin_hear(instead, "\r\n0\r\n\r\n");
	assert_all_prices();
	close(instead);
	close(one_more);
}

static void a_list_that_cannot_be_read_says_why(void **state)
{
	(void)state;
	const int fd = admin_ask(PRICE_LIST);   /* there is no database */
	admin_hear(fd, "}}");
	assert_non_null(strstr(admin_text, "HTTP/1.1 500 "));
	assert_non_null(strstr(admin_text, "unable to open database file"));
	close(fd);
}

static void a_key_that_was_told_stays_in_no_buffer(void **state)
{
	(void)state;
	const int fd = admin_ask("{\"op\":\"key_create\",\"tenant\":\"a\",\"name\":\"k\"}");
	const struct core_event event = hear(CORE_KEY_CREATE);
	say((struct core_action){.kind = CORE_REPLY,
		.u.reply = {.token = event.token, .key_id = 7}});
	admin_hear(fd, "\"}");
	assert_non_null(strstr(admin_text, "\"key\":\"sk-"));
	for (size_t i = 0; i < front.out.capacity; i++)
		assert_int_equal(front.out.data[i], 0);
	close(fd);
}

static void a_name_that_does_not_fit_is_refused_not_cut(void **state)
{
	char id[RECORD_MODEL_BYTES + 1] = {0};
	struct server_config with_id = config;
	struct server_model served = model.served;
	struct server *server = NULL;
	struct err_info info = {0};

	(void)state;
	memset(id, 'a', RECORD_MODEL_BYTES);
	served.id = id;
	with_id.models = &served;
	with_id.home = scratch;
	assert_int_equal(server_open(&server, &with_id, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "1 to 127 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_A_FRONT(name) cmocka_unit_test_setup_teardown(name, front_start, front_stop)
		WITH_A_FRONT(an_answer_is_told_whole),
		WITH_A_FRONT(what_found_no_room_on_the_way_to_the_core_is_said_when_there_is_some),
		WITH_A_FRONT(text_that_found_no_memory_is_an_error_and_not_charged),
		WITH_A_FRONT(a_stream_that_found_no_memory_ends_with_an_error_event),
		WITH_A_FRONT(a_body_that_found_no_memory_is_an_error_and_not_charged),
		WITH_A_FRONT(a_prompt_that_found_no_memory_is_no_fault_of_the_client),
		WITH_A_FRONT(a_large_body_is_rendered_by_another_thread),
		WITH_A_FRONT(a_body_is_counted_until_it_is_read_not_until_its_client_left),
		WITH_A_FRONT(a_request_that_runs_holds_no_body),
		WITH_A_FRONT(a_report_is_asked_for_when_the_one_before_was_taken),
		WITH_A_FRONT(a_list_of_any_length_comes_whole_to_who_takes_it),
		WITH_A_FRONT(lists_wait_for_each_other_and_nothing_waits_for_them),
		WITH_A_FRONT(a_list_that_cannot_be_read_says_why),
		WITH_A_FRONT(a_key_that_was_told_stays_in_no_buffer),
		WITH_A_FRONT(a_name_that_does_not_fit_is_refused_not_cut),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
