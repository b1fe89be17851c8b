/* tests/server/http_parse_test.c - one request at a time, however its bytes come, and a clear no
 * to what is none. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_parse.h"

static const struct http_parse_limits LIMITS = {.header_bytes_max = 1024, .body_bytes_max = 100};

static bool is_open(const struct http_parse *p)
{
	return p->state == HTTP_PARSE_HEAD || p->state == HTTP_PARSE_HEADED ||
		p->state == HTTP_PARSE_BODY;
}

/* Up to the end of the request, past the end of its header. */
static size_t feed(struct http_parse *p, const char *bytes)
{
	size_t at = 0;

	while (is_open(p) && bytes[at])
		at += http_parse_feed(p, bytes + at, strlen(bytes + at));
	return at;
}

static void expect_failure(const char *bytes, unsigned status)
{
	struct http_parse p;

	http_parse_init(&p, &LIMITS);
	feed(&p, bytes);
	if (p.state != HTTP_PARSE_FAILED || p.status != status)
		print_error("expected %u, got state %d status %u for: %s\n", status, (int)p.state,
			p.status, bytes);
	assert_int_equal(p.state, HTTP_PARSE_FAILED);
	assert_int_equal(p.status, status);
	assert_non_null(p.problem);
	http_parse_free(&p);
}

static void expect_request(const char *bytes, const char *method, const char *path,
	const char *body)
{
	struct http_parse p;

	http_parse_init(&p, &LIMITS);
	assert_int_equal(feed(&p, bytes), strlen(bytes));
	assert_int_equal(p.state, HTTP_PARSE_COMPLETE);
	assert_string_equal(http_parse_method(&p), method);
	assert_string_equal(http_parse_path(&p), path);
	assert_string_equal(p.body.data ? p.body.data : "", body);
	http_parse_free(&p);
}

static void a_request_is_the_same_byte_by_byte(void **state)
{
	static const char request[] = "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: a\r\n"
		"X-Thing:  two words \t\r\nEmpty:\r\nContent-Length: 5\r\n\r\nhello";
	struct http_parse p;

	(void)state;
	for (size_t step = 1; step <= strlen(request); step++) {
		http_parse_init(&p, &LIMITS);
		for (size_t at = 0; at < strlen(request);) {
			const size_t left = strlen(request) - at;

			assert_true(is_open(&p));
			at += http_parse_feed(&p, request + at, step < left ? step : left);
		}
		assert_int_equal(p.state, HTTP_PARSE_COMPLETE);
		assert_string_equal(http_parse_path(&p), "/v1/chat/completions");
		assert_string_equal(http_parse_header(&p, "x-thing"), "two words");
		assert_string_equal(http_parse_header(&p, "empty"), "");
		assert_null(http_parse_header(&p, "absent"));
		assert_string_equal(p.body.data, "hello");
		assert_true(p.keep_alive);
		http_parse_free(&p);
	}
}

static void requests_in_one_piece_are_taken_one_by_one(void **state)
{
	static const char bytes[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
		"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2;ext=1\r\nhi\r\n0\r\nTrailer: x\r\n\r\n"
		"GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	static const char *const paths[] = {"/a", "/b", "/c"};
	struct http_parse p;
	size_t at = 0;

	(void)state;
	http_parse_init(&p, &LIMITS);
	for (int i = 0; i < 3; i++) {
		at += feed(&p, bytes + at);
		assert_int_equal(p.state, HTTP_PARSE_COMPLETE);
		assert_string_equal(http_parse_path(&p), paths[i]);
		assert_string_equal(p.body.data ? p.body.data : "", i == 1 ? "hi" : "");
		assert_int_equal(p.keep_alive, i < 2);
		http_parse_next(&p);
	}
	assert_int_equal(at, strlen(bytes));
	http_parse_free(&p);
}

static void usual_and_odd_but_legal_requests_are_understood(void **state)
{
	(void)state;
	expect_request("GET / HTTP/1.0\r\n\r\n", "GET", "/", "");
	expect_request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST", "/", "hi");
	expect_request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\n x", "POST", "/",
		"\n x");
	expect_request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n x\r\n0\r\n\r\n", "POST", "/", " x");
	expect_request("GET http://host:80/v1/models HTTP/1.1\r\nHost: host\r\n\r\n", "GET",
		"/v1/models", "");
	expect_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "*", "");
	expect_request("GET /v1/models/Qwen%2FQwen3%20x HTTP/1.1\r\nHost: a\r\n\r\n", "GET",
		"/v1/models/Qwen/Qwen3 x", "");
	expect_request("GET /%00%zz%4 HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/%00%zz%4", "");
	expect_request("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT", "/", "");
	expect_request("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"GET", "/x", "");
}

static void what_two_readers_could_frame_differently_is_refused(void **state)
{
	(void)state;
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: "
		"2\r\n\r\nab", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, "
		"identity\r\n\r\n0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n-2\r\nab\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\nabc\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\nabXX0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\rXab\r\n0\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\r\n\rX", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n "
		"chunked\r\n\r\n0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
	expect_failure("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, "
		"chunked\r\n\r\n0\r\n\r\n", 501);
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void lines_end_with_cr_lf_wherever_they_stand(void **state)
{
	(void)state;
	expect_failure("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\nx", 400);
	expect_failure(CHUNKED "2;\nxx\r\nhi\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2;a\n0\r\nhi\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2\nhi\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\r\n0\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\r\n0;\n\r\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\r\n0\r\nX: y\nZ: q\r\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\r\n0\r\n\n", 400);
}

static void the_size_of_a_chunk_stands_alone_in_its_line(void **state)
{
	(void)state;
	expect_request(CHUNKED "2 \t;a=\"5 6\"\r\nhi\r\n0 \r\n\r\n", "POST", "/", "hi");
	expect_failure(CHUNKED "2 5\r\nhi\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2 x;a\r\nhi\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "1\r\nh\r\n1 5\r\ni\r\n0\r\n\r\n", 400);
	expect_failure(CHUNKED "2\r\nhi\r\n0 5\r\n\r\n", 400);
	expect_failure(CHUNKED "2x\r\nhi\r\n0\r\n\r\n", 400);
}

static void a_body_is_not_taken_before_its_header_has_been_seen(void **state)
{
	static const char request[] = "POST /p HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
		"k\r\nContent-Length: 2\r\n\r\nhi";
	struct http_parse p;

	(void)state;
	http_parse_init(&p, &LIMITS);
	assert_false(http_parse_headed(&p));
	const size_t taken = http_parse_feed(&p, request, strlen(request));
	assert_int_equal(p.state, HTTP_PARSE_HEADED);
	assert_true(http_parse_headed(&p));
	assert_string_equal(http_parse_path(&p), "/p");
	assert_string_equal(http_parse_header(&p, "authorization"), "Bearer k");
	assert_int_equal(p.body.size, 0);
	assert_true(taken <= strlen(request) - 2);
	feed(&p, request + taken);
	assert_int_equal(p.state, HTTP_PARSE_COMPLETE);
	assert_string_equal(p.body.data, "hi");
	http_parse_free(&p);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	expect_failure("hello\r\n\r\n", 400);
	expect_failure("\x16\x03\x01\x02", 400);
	expect_failure("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
	expect_failure("GET / HTTP/1.1\r\nBad\x01Header: a\r\n\r\n", 400);
	expect_failure("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417);
}

static void headers_are_bounded_however_they_come(void **state)
{
	struct http_parse p;
	char many[4096] = "GET / HTTP/1.1\r\n";

	(void)state;
	for (int i = 0; i <= HTTP_HEADERS_MAX; i++)
		strcat(many, "a:b\r\n");
	expect_failure(many, 431);

	http_parse_init(&p, &LIMITS);
	feed(&p, "GET / HTTP/1.1\r\nLong: ");
	for (int i = 0; i < 2000 && p.state == HTTP_PARSE_HEAD; i++)
		feed(&p, "x");
	assert_int_equal(p.state, HTTP_PARSE_FAILED);
	assert_int_equal(p.status, 431);
	http_parse_free(&p);

	http_parse_init(&p, &LIMITS);
	for (int i = 0; i < 2000 && p.state == HTTP_PARSE_HEAD; i++)
		feed(&p, "\r\n");
	assert_int_equal(p.status, 431);
	http_parse_free(&p);
}

static void a_body_is_bounded_before_it_is_read(void **state)
{
	struct http_parse p;

	(void)state;
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1844674407370955161\r\n\r\n",
		413);
	expect_failure("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
		400);

	http_parse_init(&p, &LIMITS);
	feed(&p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 100; i++)
		feed(&p, "1\r\nx\r\n");
	assert_int_equal(p.state, HTTP_PARSE_BODY);
	feed(&p, "1\r\nx\r\n");
	assert_int_equal(p.state, HTTP_PARSE_FAILED);
	assert_int_equal(p.status, 413);
	http_parse_free(&p);
}

static void endless_chunk_extensions_end(void **state)
{
	static char extension[2048];
	struct http_parse p;

	(void)state;
	memset(extension, 'e', sizeof(extension) - 1);
	http_parse_init(&p, &LIMITS);
	feed(&p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	for (int i = 0; i < 1000 && p.state == HTTP_PARSE_BODY; i++)
		feed(&p, extension);
	assert_int_equal(p.state, HTTP_PARSE_FAILED);
	http_parse_free(&p);
}

static void waiting_for_continue_is_seen_only_before_the_body(void **state)
{
	struct http_parse p;

	(void)state;
	http_parse_init(&p, &LIMITS);
	feed(&p, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(p.state, HTTP_PARSE_BODY);
	assert_true(p.expects_continue);
	feed(&p, "x");
	assert_false(p.expects_continue);
	http_parse_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_the_same_byte_by_byte),
		cmocka_unit_test(requests_in_one_piece_are_taken_one_by_one),
		cmocka_unit_test(usual_and_odd_but_legal_requests_are_understood),
		cmocka_unit_test(what_two_readers_could_frame_differently_is_refused),
		cmocka_unit_test(lines_end_with_cr_lf_wherever_they_stand),
		cmocka_unit_test(the_size_of_a_chunk_stands_alone_in_its_line),
		cmocka_unit_test(a_body_is_not_taken_before_its_header_has_been_seen),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(headers_are_bounded_however_they_come),
		cmocka_unit_test(a_body_is_bounded_before_it_is_read),
		cmocka_unit_test(endless_chunk_extensions_end),
		cmocka_unit_test(waiting_for_continue_is_seen_only_before_the_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
