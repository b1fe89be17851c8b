/* tests/server/http_house.h - a server and its clients in one thread and one loop; time is
 * a variable. */
#ifndef TESTS_SERVER_HTTP_HOUSE_H
#define TESTS_SERVER_HTTP_HOUSE_H

#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/units.h"
#include "client.h"
#include "server/http_conn.h"

static int64_t now_ns;

static inline int64_t now(void)
{
	return now_ns;
}

/* A server whose answers a test writes: by default every request is answered with its path. */
struct house {
	uv_loop_t loop;
	struct http_server *server;
	uint16_t port;
	struct http_conn *held;     /* the request that is not answered at once: path "/hold" */
	struct http_conn *asking;   /* its body is not allowed yet: path "/ask" */
	uint32_t requests, gone, taken_when_gone, progress;
	unsigned bad_status;
	struct buf body;
};

static struct house house;

static inline void on_request(void *context, struct http_conn *c)
{
	struct house *h = context;
	const struct http_parse *p = http_request(c);
	struct http_answer answer = {.status = 200, .content_type = "text/plain"};

	h->requests++;
	buf_clear(&h->body);
	buf_add(&h->body, p->body.data, p->body.size);
	if (strcmp(http_parse_path(p), "/hold") == 0) {
		h->held = c;
		return;
	}
	answer.body = http_parse_path(p);
	answer.size = strlen(answer.body);
	http_answer(c, &answer);
}

static inline void on_bad(void *context, struct http_conn *c, unsigned status, const char *problem)
{
	const struct http_answer answer = {.status = status, .content_type = "text/plain",
		.body = problem,
		.size = strlen(problem)};

	((struct house *)context)->bad_status = status;
	http_answer(c, &answer);
}

static inline void on_progress(void *context, struct http_conn *c)
{
	(void)c;
	((struct house *)context)->progress++;
}

/* A body for "/ask" waits for the test, one for "/no" is not wanted. */
static inline void on_head(void *context, struct http_conn *c)
{
	struct house *h = context;
	const char *path = http_parse_path(http_request(c));

	if (strcmp(path, "/ask") == 0)
		h->asking = c;
	else if (strcmp(path, "/no") == 0)
		http_answer(c, &(struct http_answer){.status = 401, .content_type = "t",
			.body = "no", .size = 2});
	else
		http_body_allow(c);
}

static inline void on_gone(void *context, struct http_conn *c)
{
	struct house *h = context;

	h->gone++;
	h->taken_when_gone = http_taken(c);
	if (h->held == c)
		h->held = NULL;
}

static inline void house_open(struct http_config config)
{
	const struct http_handlers handlers = {&house, on_request, on_bad, on_progress, on_gone,
		on_head};
	struct err_info info = {0};

	memset(&house, 0, sizeof(house));
	buf_init(&house.body, 1 << 20);
	now_ns = 100 * NS_PER_S;
	config.now = now;
	uv_loop_init(&house.loop);
	assert_int_equal(http_server_open(&house.server, &house.loop, &config, &handlers, &info),
		0);
	assert_int_equal(http_listen_tcp(house.server, "127.0.0.1", 0, &house.port, &info), 0);
}

static const struct http_config PLAIN = {
	.connections_max = 100, .parse = {.header_bytes_max = 65536, .body_bytes_max = 1 << 20},
	.bodies_bytes_max = 8 << 20, .unsent_bytes_max = 1 << 18, .header_ns = 10 * NS_PER_S,
	.body_idle_ns = 30 * NS_PER_S,
	.body_ns = 30 * NS_PER_S, .body_rate_min = 32768, .keep_alive_ns = 75 * NS_PER_S,
	.write_idle_ns = 30 * NS_PER_S,
};

static inline void run(void)
{
	for (int i = 0; i < 4; i++)
		uv_run(&house.loop, UV_RUN_NOWAIT);
}

static inline void house_close(void)
{
	http_server_close(house.server);
	uv_run(&house.loop, UV_RUN_DEFAULT);
	http_server_free(house.server);
	assert_int_equal(uv_loop_close(&house.loop), 0);
	buf_free(&house.body);
}

static inline int client_open(void)
{
	const int fd = client_connect(house.port);

	run();
	return fd;
}

static inline void client_say(int fd, const char *bytes)
{
	assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
	run();
}

/* What has come so far; "" when nothing did. *ended: the server closed. */
static inline const char *client_hear(int fd, bool *ended)
{
	static char text[1 << 20];
	size_t size = 0;
	ssize_t got;

	run();
	while (size < sizeof(text) - 1 &&
		(got = recv(fd, text + size, sizeof(text) - 1 - size, 0)) != 0) {
		if (got < 0)
			break;
		size += (size_t)got;
		run();
	}
	text[size] = '\0';
	*ended = size < sizeof(text) - 1 && got == 0;
	return text;
}

#endif
