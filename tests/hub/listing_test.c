/* tests/hub/listing_test.c - the documents of the hubs: what is taken of them, what is refused. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "hub/listing.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"

typedef enum err reader(struct manifest *out, const char *text, size_t size, struct err_info *info);

static enum err read_with(reader *read, const char *text, struct manifest *m, struct err_info *info)
{
	assert_int_equal(manifest_init(m, MANIFEST_FILES_MAX, UNIT_IGNORED), ERR_NONE);
	return read(m, text, strlen(text), info);
}

static void assert_refused(reader *read, const char *text, const char *why)
{
	struct err_info info = {0};
	struct manifest m;

	assert_int_not_equal(read_with(read, text, &m, &info), ERR_NONE);
	if (!strstr(info.text, why))
		fail_msg("%s: %s", text, info.text);
	manifest_free(&m);
}

static void a_revision_becomes_a_commit(void **state)
{
	struct manifest m;

	(void)state;
	assert_int_equal(read_with(hub_hf_model_read, "{\"sha\":\"" COMMIT "\",\"cardData\":"
		"{\"license\":\"apache-2.0\"},\"more\":[1]}", &m, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(m.revision, COMMIT);
	assert_string_equal(m.licence, "apache-2.0");
	manifest_free(&m);
	assert_int_equal(read_with(hub_hf_model_read, "{\"sha\":\"" COMMIT "\",\"cardData\":"
		"{\"license\":[\"a\"]}}", &m, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(m.licence, "");
	manifest_free(&m);
	assert_refused(hub_hf_model_read, "{\"sha\":\"main\"}", "which commit");
	assert_refused(hub_hf_model_read, "{\"sha\":\"" COMMIT "0\"}", "which commit");
	assert_refused(hub_hf_model_read, "{}", "which commit");
	assert_refused(hub_hf_model_read, "7", "which commit");
	assert_refused(hub_hf_model_read, "<html>", "what the hub says of the model");
}

static void a_tree_gives_files_with_the_hash_of_each_kind(void **state)
{
	struct manifest m;

	(void)state;
	assert_int_equal(read_with(hub_hf_tree_read, "[{\"type\":\"directory\",\"path\":\"../x\"},"
		"{\"type\":\"file\",\"path\":\"a\",\"size\":5,\"oid\":\"" COMMIT "\"},"
		"{\"type\":\"file\",\"path\":\"b/c\",\"size\":7,\"oid\":\"" COMMIT "\","
		"\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":9}},{}]", &m, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(m.file_count, 2);
	assert_string_equal(m.files[0].path, "a");
	assert_int_equal(m.files[0].size_bytes, 5);
	assert_string_equal(m.files[0].git_sha1, COMMIT);
	assert_string_equal(m.files[0].sha256, "");
	assert_string_equal(m.files[1].path, "b/c");
	assert_int_equal(m.files[1].size_bytes, 9);
	assert_string_equal(m.files[1].git_sha1, "");
	assert_true(hub_is_hex(m.files[1].sha256, 64));   /* in lower case */
	/* the next page is added */
	const char *more = "[{\"type\":\"file\",\"path\":\"d\",\"size\":0,\"oid\":null}]";

	assert_int_equal(hub_hf_tree_read(&m, more, strlen(more), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(m.file_count, 3);
	manifest_free(&m);
}

static void modelscope_gives_files_with_their_sha256(void **state)
{
	struct manifest m;

	(void)state;
	assert_int_equal(read_with(hub_modelscope_files_read, "{\"Code\":200,\"Data\":{\"Files\":["
		"{\"Type\":\"tree\",\"Path\":\"x\"},{\"Type\":\"blob\",\"Path\":\"a\",\"Size\":5,"
		"\"Sha256\":\"" SHA256 "\"},{\"Type\":\"blob\",\"Path\":\"b\",\"Size\":0,"
		"\"Sha256\":\"\"}]}}", &m, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(m.file_count, 2);
	assert_true(hub_is_hex(m.files[0].sha256, 64));
	assert_string_equal(m.files[1].sha256, "");
	manifest_free(&m);
	assert_refused(hub_modelscope_files_read, "{\"Code\":404,\"Message\":\"no\"}", "404: no");
	assert_refused(hub_modelscope_files_read, "{\"Code\":200}", "no list");
	assert_refused(hub_modelscope_files_read, "{\"Code\":200,\"Data\":{\"Files\":{}}}", "no list");
	assert_refused(hub_modelscope_files_read, "[]", "is no object");
}

#define FILE_OF(path, size, oid) "[{\"type\":\"file\",\"path\":" path ",\"size\":" size \
	",\"oid\":" oid "}]"

static void what_cannot_be_is_refused(void **state)
{
	(void)state;
	assert_refused(hub_hf_tree_read, "{}", "no list");
	assert_refused(hub_hf_tree_read, FILE_OF("\"../x\"", "1", "null"), "it leaves its folder");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\\\\b\"", "1", "null"), "backslash");
	assert_refused(hub_hf_tree_read, FILE_OF("null", "1", "null"), "without path");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "null", "null"), "or size");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "-1", "null"), "size");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "1.5", "null"), "size");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "9223372036854775807", "null"),
		"which cannot be");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "1", "\"12\""), "a hash that is none");
	assert_refused(hub_hf_tree_read, FILE_OF("\"a\"", "1", "7"), "oid");
}

static void more_files_than_a_manifest_has_are_refused(void **state)
{
	const char *one = FILE_OF("\"a\"", "1", "null");
	struct err_info info = {0};
	struct manifest m;

	(void)state;
	assert_int_equal(manifest_init(&m, MANIFEST_FILES_MAX, UNIT_IGNORED), ERR_NONE);
	for (int i = 0; i < MANIFEST_FILES_MAX; i++)
		assert_int_equal(hub_hf_tree_read(&m, one, strlen(one), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(hub_hf_tree_read(&m, one, strlen(one), &info), ERR_LIMIT);
	manifest_free(&m);
}

static void a_heap_that_ends_is_an_error(void **state)
{
	const char *text = FILE_OF("\"a\"", "1", "\"" COMMIT "\"");
	enum err code = ERR_MEMORY;

	(void)state;
	for (int64_t n = 1; n < 100 && code; n++) {
		struct manifest m;

		assert_int_equal(manifest_init(&m, 4, UNIT_IGNORED), ERR_NONE);
		mem_fail_after(n, 1);
		code = hub_hf_tree_read(&m, text, strlen(text), UNIT_IGNORED);
		mem_fail_after(0, 0);
		manifest_free(&m);
	}
	assert_int_equal(code, ERR_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_revision_becomes_a_commit),
		cmocka_unit_test(a_tree_gives_files_with_the_hash_of_each_kind),
		cmocka_unit_test(modelscope_gives_files_with_their_sha256),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(more_files_than_a_manifest_has_are_refused),
		cmocka_unit_test(a_heap_that_ends_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
