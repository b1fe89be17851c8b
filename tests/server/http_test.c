/* tests/server/http_test.c - connections: one answer per request, limits that hold, and a client
 * that leaves is seen. Bodies are http_body_test.c's. */
#include "http_house.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"

static void client_take(int fd)
{
	char part[16384];

	assert_int_not_equal(recv(fd, part, sizeof(part), 0), 0);  /* nothing yet is no end */
	run();
}

static uint32_t count(const char *text, const char *what)
{
	uint32_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void a_connection_serves_one_request_after_another(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	for (int i = 0; i < 3; i++) {
		client_say(fd, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
		const char *text = client_hear(fd, &ended);
		assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
		assert_non_null(strstr(text, "\r\n\r\n/one"));
		assert_false(ended);
	}
	client_say(fd, "GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(client_hear(fd, &ended), "Connection: close\r\n"));
	assert_true(ended);
	close(fd);
	house_close();
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET "
		"/b HTTP/1.1\r\nHost: a\r\n\r\n");
	const char *text = client_hear(fd, &ended);
	assert_non_null(strstr(text, "/a"));
	assert_null(strstr(text, "/b"));
	assert_non_null(house.held);
	http_answer(house.held, &(struct http_answer){.status = 200, .content_type = "t",
		.body = "held", .size = 4});
	text = client_hear(fd, &ended);
	assert_true(strstr(text, "held") < strstr(text, "/b"));
	assert_int_equal(count(text, "HTTP/1.1 200"), 2);
	close(fd);
	house_close();
}

static void a_stream_is_chunked_and_head_has_no_body(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
	http_stream_open(house.held, &(struct http_answer){.status = 200,
		.content_type = "text/event-stream"});
	http_stream_write(house.held, "data: x\n\n", 9, 1);
	assert_int_equal(http_taken(house.held), 1);
	http_stream_close(house.held);
	const char *text = client_hear(fd, &ended);
	assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
	assert_non_null(strstr(text, "\r\n\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n"));
	client_say(fd, "HEAD /long HTTP/1.1\r\nHost: a\r\n\r\n");
	text = client_hear(fd, &ended);
	assert_non_null(strstr(text, "Content-Length: 5\r\n"));
	assert_null(strstr(text, "/long"));
	close(fd);
	house_close();
}

static void a_client_has_what_it_was_sent_before_the_chunk_is_closed(void **state)
{
	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	struct http_conn *c = house.held;

	http_stream_open(c, &(struct http_answer){.status = 200, .content_type = "t"});
	http_stream_write(c, "data: x\n\n", 9, 1);
	c->write_failed = true;   /* what was last seen counts */
	c->taken_bytes = c->queued_bytes - 3;
	assert_int_equal(http_taken(c), 0);
	c->taken_bytes = c->queued_bytes - 2;
	assert_int_equal(http_taken(c), 1);
	c->write_failed = false;
	http_stream_close(c);
	close(fd);
	house_close();
}

static void an_old_client_gets_a_stream_that_ends_with_the_connection(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.0\r\n\r\n");
	http_stream_open(house.held, &(struct http_answer){.status = 200, .content_type = "t"});
	http_stream_write(house.held, "abc", 3, 0);
	http_stream_close(house.held);
	const char *text = client_hear(fd, &ended);
	assert_null(strstr(text, "chunked"));
	assert_non_null(strstr(text, "\r\n\r\nabc"));
	assert_true(ended);
	close(fd);
	house_close();
}

static void a_client_that_leaves_is_seen_at_once(void **state)
{
	(void)state;
	house_open(PLAIN);
	for (int reset = 0; reset < 2; reset++) {
		const int fd = client_open();
		const struct linger hard = {.l_onoff = reset, .l_linger = 0};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_non_null(house.held);
		close(fd);
		run();
		assert_null(house.held);
		assert_int_equal(house.gone, reset + 1);
	}
	house_close();
}

static void only_what_is_in_the_socket_counts_as_taken(void **state)
{
	struct http_config config = PLAIN;
	static char block[10000];

	(void)state;
	config.socket_send_bytes = 16384;
	house_open(config);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	http_stream_open(house.held, &(struct http_answer){.status = 200, .content_type = "t"});
	uint32_t written = 0;
	while (!http_full(house.held)) {
		http_stream_write(house.held, block, sizeof(block), ++written);
		run();
	}
	const uint32_t taken = http_taken(house.held);
	assert_true(taken < written);
	assert_true((uint64_t)taken * sizeof(block) <= http_taken_bytes(house.held));

	bool ended;
	while (http_taken(house.held) < written)
		client_hear(fd, &ended);
	assert_false(http_full(house.held));
	assert_true(house.progress > 0);
	close(fd);
	run();
	assert_int_equal(house.taken_when_gone, written);
	house_close();
}

static void who_takes_nothing_for_too_long_is_dropped(void **state)
{
	struct http_config config = PLAIN;
	static char block[100000];

	(void)state;
	config.socket_send_bytes = 16384;
	house_open(config);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	http_stream_open(house.held, &(struct http_answer){.status = 200, .content_type = "t"});
	for (uint32_t i = 1; !http_full(house.held); i++) {
		http_stream_write(house.held, block, sizeof(block), i);
		run();
	}
	http_sweep(house.server);
	now_ns += 29 * NS_PER_S;
	http_sweep(house.server);
	assert_int_equal(house.gone, 0);
	now_ns += 1 * NS_PER_S;
	http_sweep(house.server);
	assert_int_equal(house.gone, 1);
	assert_true(house.taken_when_gone > 0);
	close(fd);
	house_close();
}

/* What flies is one large write: libuv tells when all of it is gone, a look at it
 * tells each part. */
static void who_takes_a_little_now_and_then_is_seen_to_and_stays(void **state)
{
	struct http_config config = PLAIN;
	static char block[100000];

	(void)state;
	config.socket_send_bytes = 16384;
	house_open(config);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	http_stream_open(house.held, &(struct http_answer){.status = 200, .content_type = "t"});
	for (uint32_t i = 1; !http_full(house.held) || i < 100; i++)
		http_stream_write(house.held, block, sizeof(block), i);
	while (house.progress == 0)
		client_take(fd);  /* the first block; all others are one write behind it */
	http_sweep(house.server);
	for (int i = 0; i < 4; i++) {
		const uint32_t progress = house.progress;
		const uint64_t before = http_taken_bytes(house.held);

		while (http_taken_bytes(house.held) == before)
			client_take(fd);
		now_ns += 29 * NS_PER_S;
		http_sweep(house.server);
		assert_int_equal(house.progress, progress + 1);
		assert_false(http_all_taken(house.held));
	}
	http_sweep(house.server);
	assert_int_equal(house.gone, 0);
	close(fd);
	run();
	house_close();
}

/* The answer is queued whole and a part of it not taken: the same limit. */
static void who_takes_nothing_of_a_finished_answer_is_dropped_too(void **state)
{
	struct http_config config = PLAIN;
	static char block[8 << 20];

	(void)state;
	config.socket_send_bytes = 16384;
	house_open(config);
	const int fd = client_open();
	client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	http_answer(house.held, &(struct http_answer){.status = 200, .content_type = "t",
		.body = block,
		.size = sizeof(block)});
	http_sweep(house.server);
	now_ns += 29 * NS_PER_S;
	http_sweep(house.server);
	assert_int_equal(http_connections(house.server), 1);
	now_ns += 1 * NS_PER_S;
	http_sweep(house.server);
	assert_int_equal(http_connections(house.server), 0);
	assert_int_equal(house.gone, 0);  /* its request had been answered */
	close(fd);
	house_close();
}

static void a_header_that_drips_is_cut_off_after_ten_seconds(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int drips = client_open(), silent = client_open();
	for (int i = 0; i < 9; i++) {
		client_say(drips, i == 0 ? "GET /" : "x");
		now_ns += 1 * NS_PER_S;
		http_sweep(house.server);
	}
	assert_string_equal(client_hear(drips, &ended), "");
	assert_false(ended);
	now_ns += 1 * NS_PER_S;
	http_sweep(house.server);
	assert_non_null(strstr(client_hear(drips, &ended), "HTTP/1.1 408 "));
	assert_true(ended);
	assert_string_equal(client_hear(silent, &ended), "");
	assert_true(ended);
	close(drips);
	close(silent);
	house_close();
}

static void an_idle_connection_waits_longer_but_not_for_ever(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	client_hear(fd, &ended);
	now_ns += 74 * NS_PER_S;
	http_sweep(house.server);
	client_say(fd, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(client_hear(fd, &ended), "200"));
	client_say(fd, "GET /");
	now_ns += 10 * NS_PER_S;  /* the second header has ten seconds from its first byte */
	http_sweep(house.server);
	assert_non_null(strstr(client_hear(fd, &ended), "408"));
	close(fd);
	house_close();
}

static void what_is_no_request_is_answered_and_closed(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nxxxxxxxxxx");
	assert_non_null(strstr(client_hear(fd, &ended), "HTTP/1.1 413 "));
	assert_true(ended);
	assert_int_equal(house.bad_status, 413);
	assert_int_equal(house.requests, 0);
	close(fd);
	house_close();
}

static void a_client_that_asks_and_never_listens_does_not_fill_memory(void **state)
{
	struct http_config config = PLAIN;
	struct buf request;

	(void)state;
	config.socket_send_bytes = 16384;
	config.unsent_bytes_max = 65536;
	house_open(config);
	buf_init(&request, 1 << 20);
	buf_add_str(&request, "GET /");
	for (int i = 0; i < 5000; i++)
		buf_add_char(&request, 'x');
	buf_add_str(&request, " HTTP/1.1\r\nHost: a\r\n\r\n");
	const int fd = client_open();
	for (int i = 0; i < 5000; i++) {
		if (send(fd, request.data, request.size, MSG_NOSIGNAL) < (ssize_t)request.size)
			break;
		run();
	}
	assert_non_null(house.server->first);
	assert_true(house.server->first->paused);
	assert_true(house.server->first->queue.size < 2 * 65536 + 8192);
	close(fd);
	run();
	buf_free(&request);
	house_close();
}

static void a_long_answer_leaves_no_memory_behind(void **state)
{
	static char body[1 << 20];
	size_t got = 0;
	ssize_t now_got;
	char text[65536];

	(void)state;
	house_open(PLAIN);
	memset(body, 'x', sizeof(body));
	const int fd = client_open();
	for (int i = 0; i < 2; i++) {  /* the buffers change places */
		client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
		struct http_conn *c = house.held;
		http_answer(c, &(struct http_answer){.status = 200, .content_type = "t",
			.body = body, .size = sizeof(body)});
		for (got = 0; got < sizeof(body); run())
			if ((now_got = recv(fd, text, sizeof(text), 0)) > 0)
				got += (size_t)now_got;
		assert_true(c->queue.capacity <= 16384 && c->flying.capacity <= 16384);
	}
	close(fd);
	run();
	house_close();
}

/* By what a name resolves to, not by how it is spelled. */
static void who_may_not_be_reached_by_others_listens_on_loopback_alone(void **state)
{
	static const struct { const char *host; enum err err; } hosts[] = {
		{"0.0.0.0", ERR_UNSUPPORTED}, {"::", ERR_UNSUPPORTED},
		{"128.0.0.1", ERR_UNSUPPORTED}, {"127.0.0.1", ERR_NONE},
		{"2130706433", ERR_NONE}, {"::ffff:127.0.0.1", ERR_NONE},
	};
	const struct http_handlers handlers = {&house, on_request, on_bad, on_progress, on_gone,
		on_head};
	struct http_config config = PLAIN;

	(void)state;
	config.loopback_only = true;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct err_info info = {0};

		uv_loop_init(&house.loop);
		assert_int_equal(http_server_open(&house.server, &house.loop, &config, &handlers,
			&info), 0);
		if (http_listen_tcp(house.server, hosts[i].host, 0, &house.port,
			&info) != hosts[i].err && info.code != ERR_IO)
			fail_msg("%s: %s", hosts[i].host, info.text);
		buf_init(&house.body, 1);
		house_close();
	}
}

/* A socket that could not be bound would listen on every address, at a port of its own. */
static void what_cannot_be_bound_does_not_listen(void **state)
{
	struct http_server *second;
	struct err_info info = {0};
	uint16_t port = 0;

	(void)state;
	house_open(PLAIN);
	assert_int_equal(http_server_open(&second, &house.loop, &PLAIN,
		&(struct http_handlers){.context = &house}, &info), 0);
	/* kept for documentation: no machine has it */
	assert_int_equal(http_listen_tcp(second, "192.0.2.1", 0, &port, &info), ERR_INPUT);
	assert_string_equal(info.text,
		"cannot listen on 192.0.2.1 port 0: address not available");
	assert_int_equal(port, 0);
	http_server_close(second);
	run();
	http_server_free(second);
	assert_int_equal(http_server_open(&second, &house.loop, &PLAIN,
		&(struct http_handlers){.context = &house}, &info), 0);
	assert_int_equal(http_listen_tcp(second, "127.0.0.1", house.port, &port, &info), ERR_BUSY);
	http_server_close(second);
	run();
	http_server_free(second);
	house_close();
}

static void connections_beyond_the_limit_are_told_so(void **state)
{
	struct http_config config = PLAIN;
	bool ended;

	(void)state;
	config.connections_max = 2;
	house_open(config);
	const int a = client_open(), b = client_open(), c = client_open();
	assert_non_null(strstr(client_hear(c, &ended), "HTTP/1.1 503 "));
	client_say(a, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(client_hear(a, &ended), "200"));
	close(a);
	close(b);
	close(c);
	run();
	house_close();
}

static bool is_served(int fd)
{
	bool ended;

	client_say(fd, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	return strstr(client_hear(fd, &ended), "HTTP/1.1 200 OK") != NULL;
}

static void who_found_no_memory_is_served_when_there_is_some(void **state)
{
	(void)state;
	house_open(PLAIN);
	mem_fail_after(1, 1);
	const int a = client_open(), b = client_open(), c = client_open();
	assert_int_equal(http_connections(house.server), 1);  /* the one that was reserved */
	mem_fail_after(0, 0);
	http_sweep(house.server);
	assert_true(is_served(b));
	assert_true(is_served(c));
	assert_true(is_served(a));
	close(a);
	close(b);
	close(c);
	run();
	house_close();
}

static void without_memory_one_is_served_after_the_other(void **state)
{
	(void)state;
	house_open(PLAIN);
	mem_fail_after(1, 1);
	const int a = client_open(), b = client_open();
	close(a);
	run();
	assert_int_equal(http_connections(house.server), 1);
	mem_fail_after(0, 0);
	assert_true(is_served(b));
	close(b);
	run();
	house_close();
}

#define DESCRIPTORS 64

static struct rlimit limit_before;
static int fillers[DESCRIPTORS], filler_count;

static void descriptors_forbid(void)
{
	struct rlimit limit;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
	limit = limit_before;
	limit.rlim_cur = DESCRIPTORS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	filler_count = 0;
	while ((fd = dup(0)) >= 0)
		fillers[filler_count++] = fd;
}

static void descriptors_allow(void)
{
	while (filler_count > 0)
		close(fillers[--filler_count]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

/* libuv's own reserve is taken away, as happens when another thread is quicker. */
static void without_descriptors_clients_are_turned_away_and_later_served(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int clients[3];

	(void)state;
	house_open(PLAIN);
	to.sin_port = htons(house.port);
	const int first = client_open();
	for (int i = 0; i < 3; i++)
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	close(house.loop.emfile_fd);
	house.loop.emfile_fd = -1;
	descriptors_forbid();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(connect(clients[i], (const struct sockaddr *)&to, sizeof(to)), 0);
		run();
		assert_true(is_served(first));
		http_sweep(house.server);
	}
	assert_int_equal(house.server->short_told_ns, now_ns);
	now_ns += 59 * NS_PER_S;
	http_sweep(house.server);
	assert_int_not_equal(house.server->short_told_ns, now_ns);  /* one line a minute */
	close(house.server->reserve_fd);
	house.server->reserve_fd = -1;
	fillers[filler_count++] = dup(0);
	assert_int_equal(connect(clients[2], (const struct sockaddr *)&to, sizeof(to)), 0);
	run();
	/* the newest made room for whoever comes next */
	assert_int_equal(http_connections(house.server), 0);
	descriptors_allow();
	const int last = client_open();
	assert_true(is_served(last));
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(first);
	close(last);
	run();
	house_close();
}

static void a_flood_does_not_take_more_than_it_may(void **state)
{
	struct http_config config = PLAIN;
	int clients[200];

	(void)state;
	config.connections_max = 2;
	house_open(config);
	for (int i = 0; i < 200; i++) {
		clients[i] = client_open();
		assert_true(http_connections(house.server) <= 2 + HTTP_REFUSALS_MAX);
	}
	for (int i = 0; i < 200; i++)
		close(clients[i]);
	run();
	house_close();
}

static void draining_closes_the_idle_and_finishes_the_busy(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int idle = client_open(), busy = client_open();
	client_say(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	http_server_drain(house.server);
	assert_string_equal(client_hear(idle, &ended), "");
	assert_true(ended);
	http_answer(house.held, &(struct http_answer){.status = 200, .content_type = "t",
		.body = "ok", .size = 2});
	assert_non_null(strstr(client_hear(busy, &ended), "\r\n\r\nok"));
	assert_true(ended);
	close(idle);
	close(busy);
	house_close();
}

static size_t kept_bytes(const struct http_conn *c)
{
	return c->parse.head.capacity + c->parse.path.capacity + c->parse.body.capacity +
		c->ahead.capacity + c->queue.capacity + c->flying.capacity;
}

/* Answered at once, or later; what came ahead included. */
static void an_idle_connection_keeps_no_memory_of_its_requests(void **state)
{
	static char long_path[30001], body[50001];
	bool ended;

	(void)state;
	house_open(PLAIN);
	memset(long_path, 'p', sizeof(long_path) - 1);
	memset(body, 'x', sizeof(body) - 1);
	const int fd = client_open();
	for (int late = 0; late < 2; late++) {
		client_say(fd, late ? "POST /hold?" : "POST /");
		client_say(fd, long_path);
		client_say(fd, " HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
		client_say(fd, body);
		if (late) {
			assert_true(kept_bytes(house.held) > 80000);
			http_answer(house.held, &(struct http_answer){.status = 204});
		}
		assert_non_null(strstr(client_hear(fd, &ended), "HTTP/1.1 20"));
		assert_true(kept_bytes(house.server->first) <= 6 * 2048);
	}
	client_say(fd, "GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(client_hear(fd, &ended), "/short"));
	close(fd);
	run();
	house_close();
}

/* What the socket takes at once, and what flies in between. */
static void a_secret_that_was_sent_is_in_no_buffer(void **state)
{
	static char secret[1 << 20];
	struct http_config config = PLAIN;
	size_t size = 0;
	bool ended;

	(void)state;
	config.socket_send_bytes = 16384;
	memset(secret, 's', sizeof(secret));
	house_open(config);
	const int fd = client_open();
	for (int i = 0; i < 2; i++) {
		client_say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
		struct http_conn *c = house.held;
		const size_t sent = i == 0 ? 1000 : sizeof(secret);
		http_answer(c, &(struct http_answer){.status = 200, .content_type = "t",
			.body = secret, .size = sent, .secret = true});
		for (size = 0; size < sent;)
			size += strlen(client_hear(fd, &ended));
		assert_false(c->secret);
		for (size_t at = 0; at < c->queue.capacity; at++)
			assert_int_equal(c->queue.data[at], 0);
		for (size_t at = 0; at < c->flying.capacity; at++)
			assert_int_equal(c->flying.data[at], 0);
	}
	close(fd);
	run();
	house_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_one_request_after_another),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_stream_is_chunked_and_head_has_no_body),
		cmocka_unit_test(a_client_has_what_it_was_sent_before_the_chunk_is_closed),
		cmocka_unit_test(an_old_client_gets_a_stream_that_ends_with_the_connection),
		cmocka_unit_test(a_client_that_leaves_is_seen_at_once),
		cmocka_unit_test(only_what_is_in_the_socket_counts_as_taken),
		cmocka_unit_test(who_takes_nothing_for_too_long_is_dropped),
		cmocka_unit_test(who_takes_a_little_now_and_then_is_seen_to_and_stays),
		cmocka_unit_test(who_takes_nothing_of_a_finished_answer_is_dropped_too),
		cmocka_unit_test(a_header_that_drips_is_cut_off_after_ten_seconds),
		cmocka_unit_test(an_idle_connection_waits_longer_but_not_for_ever),
		cmocka_unit_test(what_is_no_request_is_answered_and_closed),
		cmocka_unit_test(a_client_that_asks_and_never_listens_does_not_fill_memory),
		cmocka_unit_test(a_long_answer_leaves_no_memory_behind),
		cmocka_unit_test(who_may_not_be_reached_by_others_listens_on_loopback_alone),
		cmocka_unit_test(what_cannot_be_bound_does_not_listen),
		cmocka_unit_test(connections_beyond_the_limit_are_told_so),
		cmocka_unit_test(who_found_no_memory_is_served_when_there_is_some),
		cmocka_unit_test(without_memory_one_is_served_after_the_other),
		cmocka_unit_test(without_descriptors_clients_are_turned_away_and_later_served),
		cmocka_unit_test(a_flood_does_not_take_more_than_it_may),
		cmocka_unit_test(draining_closes_the_idle_and_finishes_the_busy),
		cmocka_unit_test(an_idle_connection_keeps_no_memory_of_its_requests),
		cmocka_unit_test(a_secret_that_was_sent_is_in_no_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
