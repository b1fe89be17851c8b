/* tests/hub/name_test.c - names of models: what is one, and its one spelling. */
#include "unit.h"

#include <string.h>

#include "hub/name.h"

static void assert_name(const char *text, const char *owner, const char *model,
	const char *revision, const char *type)
{
	struct hub_name n;

	assert_int_equal(hub_name_parse(&n, text, true, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(n.owner, owner);
	assert_string_equal(n.model, model);
	assert_string_equal(n.revision, revision);
	assert_string_equal(n.type, type);
}

static void a_name_has_owner_model_revision_and_type(void **state)
{
	(void)state;
	assert_name("Qwen/Qwen3-0.6B", "Qwen", "Qwen3-0.6B", "", "");
	assert_name("Qwen/Qwen3-0.6B:q8_0", "Qwen", "Qwen3-0.6B", "", "q8_0");
	assert_name("Qwen/Qwen3-0.6B@v1.0", "Qwen", "Qwen3-0.6B", "v1.0", "");
	assert_name("a/b@refs/pr/1:f16", "a", "b", "refs/pr/1", "f16");
	assert_name("_a/9.", "_a", "9.", "", "");
}

static void a_type_has_one_spelling(void **state)
{
	(void)state;
	assert_name("a/b:Q4_K_M", "a", "b", "", "q4_k");
	assert_name("a/b:q4_k", "a", "b", "", "q4_k");
	assert_name("a/b:Q4_K_S", "a", "b", "", "q4_k_s");
	assert_name("a/b:FP16", "a", "b", "", "f16");
	assert_name("a/b:UD-Q4_K_XL", "a", "b", "", "ud-q4_k_xl");
}

static void what_is_no_name_is_refused_by_what_was_said(void **state)
{
	static const char *const wrong[] = {"", "/", "a", "a/", "/a", "a/b/c", "a b/c", "../b",
		"a/..", "-a/b", "a/.b", "a/b:", "a/b:.q", "a/b:q:r", "a/b@", "a/b@:q", "a/b@/x",
		"a/b@x//y", "a/b@x..y", "a/b@-x", "a/b@x@y", "a/b\n", "a/\xC3\xA9", "a/b:q/r"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct err_info info = {0};
		struct hub_name n;

		assert_int_equal(hub_name_parse(&n, wrong[i], true, &info), ERR_INPUT);
		assert_non_null(strstr(info.text, "is not the name of a model"));
	}
}

static void a_part_that_is_too_long_is_refused(void **state)
{
	char text[HUB_PART_BYTES + 3] = "a/";
	struct hub_name n;

	(void)state;
	memset(text + 2, 'b', HUB_PART_BYTES - 1);
	assert_int_equal(hub_name_parse(&n, text, false, UNIT_IGNORED), ERR_NONE);
	text[HUB_PART_BYTES + 1] = 'b';
	assert_int_equal(hub_name_parse(&n, text, false, UNIT_IGNORED), ERR_INPUT);
}

static void a_revision_only_stands_where_it_may(void **state)
{
	struct hub_name n;

	(void)state;
	assert_int_equal(hub_name_parse(&n, "a/b@main", true, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(hub_name_parse(&n, "a/b@main", false, UNIT_IGNORED), ERR_INPUT);
}

static void what_looks_like_a_name_is_owner_slash_name(void **state)
{
	(void)state;
	assert_true(hub_name_looks("Qwen/Qwen3-0.6B"));
	assert_true(hub_name_looks("nobody/nothing:q8_0"));
	assert_true(hub_name_looks("../b"));     /* to say that it is not there */
	assert_false(hub_name_looks("hello"));
	assert_false(hub_name_looks("a/b/c"));
	assert_false(hub_name_looks("and/or what?"));
	assert_false(hub_name_looks("a/b:"));
}

static void a_name_is_printed_as_it_is_said(void **state)
{
	char text[HUB_NAME_BYTES];
	struct hub_name n;

	(void)state;
	assert_int_equal(hub_name_parse(&n, "a/b@main:q8_0", true, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(hub_name_print(&n, text), "a/b:q8_0");
	n.type[0] = '\0';
	assert_string_equal(hub_name_print(&n, text), "a/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_owner_model_revision_and_type),
		cmocka_unit_test(a_type_has_one_spelling),
		cmocka_unit_test(what_is_no_name_is_refused_by_what_was_said),
		cmocka_unit_test(a_part_that_is_too_long_is_refused),
		cmocka_unit_test(a_revision_only_stands_where_it_may),
		cmocka_unit_test(what_looks_like_a_name_is_owner_slash_name),
		cmocka_unit_test(a_name_is_printed_as_it_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
