/* tests/server/http_body_test.c - bodies of requests: read when they are wanted, bounded one by one
 * and all together, and in time. */
#include "http_house.h"

static void all_bodies_together_are_bounded(void **state)
{
	struct http_config config = PLAIN;
	static char body[400001];
	bool ended;

	(void)state;
	config.bodies_bytes_max = 1 << 20;
	house_open(config);
	int fds[4];
	memset(body, 'x', sizeof(body) - 1);
	for (int i = 0; i < 4; i++) {
		fds[i] = client_open();
		client_say(fds[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
		client_say(fds[i], body);
	}
	assert_non_null(strstr(client_hear(fds[3], &ended), "HTTP/1.1 503 "));
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	run();
	assert_int_equal(house.server->bodies_bytes, 0);
	house_close();
}

/* Two bytes every eight seconds, as an attacker would; and 40 s of bytes at the lowest rate. */
static void a_body_that_drips_ends_however_often_it_moves(void **state)
{
	static char block[40 * 1024];
	bool ended;

	(void)state;
	house_open(PLAIN);
	memset(block, 'x', sizeof(block) - 1);
	const int drips = client_open(), slow = client_open();
	client_say(drips, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
	client_say(slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
	for (int i = 0; i < 4; i++) {
		assert_string_equal(client_hear(drips, &ended), "");
		client_say(drips, "xx");
		client_say(slow, block);
		now_ns += 8 * NS_PER_S;
		http_sweep(house.server);
	}
	assert_non_null(strstr(client_hear(drips, &ended), "HTTP/1.1 408 "));
	assert_true(ended);
	assert_string_equal(client_hear(slow, &ended), "");
	assert_false(ended);
	close(drips);
	close(slow);
	run();
	house_close();
}

static void a_body_is_not_read_before_it_is_allowed(void **state)
{
	static char block[30001];
	bool ended;

	(void)state;
	house_open(PLAIN);
	memset(block, 'x', sizeof(block) - 1);
	const int fd = client_open();
	client_say(fd, "POST /ask HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
	assert_non_null(house.asking);
	for (int i = 0; i < 10; i++)
		client_say(fd, block);
	assert_int_equal(house.asking->parse.body.size, 0);
	assert_true(house.asking->ahead.size <= HTTP_READ_BYTES);
	http_body_allow(house.asking);
	const char *text = client_hear(fd, &ended);
	assert_non_null(strstr(text, "200"));
	assert_null(strstr(text, "Connection: close"));
	assert_int_equal(house.body.size, 300000);
	close(fd);
	run();
	house_close();
}

static void who_is_refused_for_the_header_sends_its_body_to_nobody(void **state)
{
	static char block[200001];
	bool ended;

	(void)state;
	house_open(PLAIN);
	memset(block, 'x', sizeof(block) - 1);
	const int fd = client_open();
	client_say(fd, "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
	client_say(fd, block);
	const char *text = client_hear(fd, &ended);
	assert_non_null(strstr(text, "HTTP/1.1 401 "));
	assert_non_null(strstr(text, "Connection: close\r\n"));
	assert_int_equal(house.requests, 0);
	assert_int_equal(house.server->bodies_bytes, 0);
	close(fd);
	run();
	house_close();
}

/* The time in which a crowd's slow bodies make room is short; quick ones stay. */
static void a_body_that_dawdles_makes_room_when_there_is_none(void **state)
{
	struct http_config config = PLAIN;
	static char block[100001];
	bool ended;

	(void)state;
	config.bodies_bytes_max = 300 << 10;
	house_open(config);
	memset(block, 'x', sizeof(block) - 1);
	const int slow = client_open(), next = client_open(), last = client_open();
	client_say(slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
	client_say(slow, block);
	now_ns += 3 * NS_PER_S;
	client_say(next, "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	client_say(next, block);
	assert_non_null(strstr(client_hear(next, &ended), "200"));
	client_say(next, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n");
	client_say(next, block);
	assert_string_equal(client_hear(next, &ended), "");
	client_say(last, "POST /last HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	client_say(last, block);
	assert_non_null(strstr(client_hear(last, &ended), "200"));
	assert_non_null(strstr(client_hear(slow, &ended), "HTTP/1.1 503 "));
	assert_string_equal(client_hear(next, &ended), "");
	assert_false(ended);
	close(slow);
	close(next);
	close(last);
	run();
	assert_int_equal(house.server->bodies_bytes, 0);
	house_close();
}

static void a_waiting_client_is_told_to_continue(void **state)
{
	bool ended;

	(void)state;
	house_open(PLAIN);
	const int fd = client_open();
	client_say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		"3\r\n\r\n");
	assert_string_equal(client_hear(fd, &ended), "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(fd, "abc");
	assert_non_null(strstr(client_hear(fd, &ended), "/p"));
	assert_string_equal(house.body.data, "abc");
	close(fd);
	house_close();
}

/* Whoever took it holds its memory, however soon it is answered and however late its client
 * left. */
static void a_body_counts_for_as_long_as_somebody_has_it(void **state)
{
	static char body[100001];
	struct http_body taken;
	bool ended;

	(void)state;
	house_open(PLAIN);
	memset(body, 'x', sizeof(body) - 1);
	for (int leaves = 0; leaves < 2; leaves++) {
		const int fd = client_open();

		client_say(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
		client_say(fd, body);
		assert_non_null(house.held);
		http_body_take(house.held, &taken);
		assert_int_equal(house.server->bodies_bytes, taken.bytes.capacity);
		if (leaves) {
			close(fd);
			run();
			assert_null(house.held);
			assert_int_equal(house.server->bodies_bytes, taken.bytes.capacity);
			http_body_release(house.server, &taken);
		} else {
			http_body_release(house.server, &taken);
			assert_int_equal(house.server->bodies_bytes, 0);
			http_answer(house.held, &(struct http_answer){.status = 204});
			client_hear(fd, &ended);
			close(fd);
		}
		assert_null(taken.bytes.data);
		run();
		assert_int_equal(house.server->bodies_bytes, 0);
	}
	house_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bodies_together_are_bounded),
		cmocka_unit_test(a_body_that_drips_ends_however_often_it_moves),
		cmocka_unit_test(a_body_is_not_read_before_it_is_allowed),
		cmocka_unit_test(who_is_refused_for_the_header_sends_its_body_to_nobody),
		cmocka_unit_test(a_body_that_dawdles_makes_room_when_there_is_none),
		cmocka_unit_test(a_waiting_client_is_told_to_continue),
		cmocka_unit_test(a_body_counts_for_as_long_as_somebody_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
