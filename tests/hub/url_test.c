/* tests/hub/url_test.c - addresses: what is an endpoint, who is the same, where links lead. */
#include "unit.h"

#include <string.h>

#include "hub/url.h"

static void an_endpoint_is_a_host_and_perhaps_a_path(void **state)
{
	static const char *const good[] = {"https://huggingface.co", "http://127.0.0.1:8000",
		"https://hub.example/hf/mirror", "http://[::1]:80"};
	static const char *const wrong[] = {"", "huggingface.co/x", "ftp://x", "file:///etc/passwd",
		"https://", "https://a:b@host", "https://host?x", "https://host/#x", "https://ho st",
		"https://host/\n", "javascript:1"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(hub_endpoint_check(good[i], UNIT_IGNORED), ERR_NONE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(hub_endpoint_check(wrong[i], UNIT_IGNORED), ERR_INPUT);
}

static void an_origin_is_scheme_host_and_port(void **state)
{
	(void)state;
	assert_true(hub_url_same_origin("https://a.b", "https://A.b:443/path?x"));
	assert_true(hub_url_same_origin("http://a:80/", "http://a"));
	assert_false(hub_url_same_origin("https://a", "http://a"));
	assert_false(hub_url_same_origin("https://a", "https://a:444"));
	assert_false(hub_url_same_origin("https://a", "https://a.evil"));
	assert_false(hub_url_same_origin("https://a", "https://a@evil"));
	assert_false(hub_url_same_origin("https://a", "https://evil/https://a"));
	assert_false(hub_url_same_origin("https://a", "no address"));
	assert_false(hub_url_same_origin("no address", "no address"));
}

static void encryption_is_never_left(void **state)
{
	(void)state;
	assert_true(hub_url_may_lead("https://a", "https://b"));
	assert_true(hub_url_may_lead("http://a", "https://b"));
	assert_true(hub_url_may_lead("http://a", "http://b"));
	assert_false(hub_url_may_lead("https://a", "http://a"));
	assert_false(hub_url_may_lead("https://a", "http://127.0.0.1"));
	assert_false(hub_url_may_lead("http://a", "ftp://a"));
	assert_false(hub_url_may_lead("http://a", "file:///etc/passwd"));
	assert_false(hub_url_may_lead("http://a", ""));
}

static void a_token_may_travel_encrypted_or_at_home(void **state)
{
	(void)state;
	assert_true(hub_url_is_private("https://a"));
	assert_true(hub_url_is_private("http://127.0.0.1:9"));
	assert_true(hub_url_is_private("http://localhost"));
	assert_true(hub_url_is_private("http://[::1]:9"));
	assert_false(hub_url_is_private("http://a"));
	assert_false(hub_url_is_private("http://127.0.0.1.example.com"));
	assert_false(hub_url_is_private("http://localhost.example.com"));
}

static void an_error_names_the_host_only(void **state)
{
	char host[HUB_HOST_BYTES];

	(void)state;
	assert_string_equal(hub_url_host("https://cdn.example/x?Signature=secret", host),
		"cdn.example");
	assert_string_equal(hub_url_host("http://a:8080/x", host), "a:8080");
	assert_string_equal(hub_url_host("https://a:80", host), "a:80");
	assert_string_equal(hub_url_host("nonsense //", host), "?");
}

static void assert_escaped(const char *text, bool keep_slashes, const char *escaped)
{
	struct buf b;

	buf_init(&b, 1000);
	hub_url_escape(&b, text, keep_slashes);
	assert_string_equal(b.data, escaped);
	buf_free(&b);
}

static void what_is_reserved_is_escaped(void **state)
{
	(void)state;
	assert_escaped("a/b c", true, "a/b%20c");
	assert_escaped("refs/pr/1", false, "refs%2Fpr%2F1");
	assert_escaped("#?%&+\xC3\xA9", true, "%23%3F%25%26%2B%C3%A9");
	assert_escaped("A-z._~9", false, "A-z._~9");
}

static void assert_next(const char *value, const char *target)
{
	char out[HUB_URL_BYTES];

	if (!target) {
		assert_false(hub_link_next(value, out));
		return;
	}
	assert_true(hub_link_next(value, out));
	assert_string_equal(out, target);
}

static void the_next_page_is_found_among_links(void **state)
{
	(void)state;
	assert_next("<https://a/b?c=d>; rel=\"next\"", "https://a/b?c=d");
	assert_next("<x>; rel=next", "x");
	assert_next("<x>;rel=\"prev\", <y>; title=\"a, b; rel=next\"; rel=\"last next\"", "y");
	assert_next("<x>; REL = \"NEXT\" ; a", "x");
	assert_next("<a,b;c>; rel=next", "a,b;c");
	assert_next("<x>; rel=\"nextish\"", NULL);
	assert_next("<x>; rev=next", NULL);
	assert_next("<x>", NULL);
	assert_next("", NULL);
	assert_next("<x; rel=next", NULL);
	assert_next("x; rel=next", NULL);
	assert_next("<>; rel=next", NULL);
	assert_next("<x>; rel=\"next", "x");
	assert_next(",,, ;;;", NULL);
	assert_next("<x>;;;=;= rel=next", NULL);
	assert_next("<x>;;;=; rel=next", "x");
}

static void assert_at(const char *target, const char *expected)
{
	char out[HUB_URL_BYTES];

	if (!expected) {
		assert_false(hub_link_at("https://hub", target, out));
		return;
	}
	assert_true(hub_link_at("https://hub", target, out));
	assert_string_equal(out, expected);
}

static void a_link_leads_to_the_endpoint_whatever_it_says(void **state)
{
	(void)state;
	assert_at("https://hub/api?cursor=1", "https://hub/api?cursor=1");
	assert_at("https://other/api?cursor=1", "https://hub/api?cursor=1");
	assert_at("http://hub/api", "https://hub/api");
	assert_at("/api?cursor=1", "https://hub/api?cursor=1");
	assert_at("//evil/api", "https://hub//evil/api");
	assert_at("/with a blank", NULL);
	assert_at("https://other", "https://hub/");
	assert_at("nonsense", NULL);
	assert_at("javascript:alert(1)", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endpoint_is_a_host_and_perhaps_a_path),
		cmocka_unit_test(an_origin_is_scheme_host_and_port),
		cmocka_unit_test(encryption_is_never_left),
		cmocka_unit_test(a_token_may_travel_encrypted_or_at_home),
		cmocka_unit_test(an_error_names_the_host_only),
		cmocka_unit_test(what_is_reserved_is_escaped),
		cmocka_unit_test(the_next_page_is_found_among_links),
		cmocka_unit_test(a_link_leads_to_the_endpoint_whatever_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
