/* tests/hub/digest_test.c - hashes as sha256sum and `git hash-object` print them. */
#include "scratch.h"

#include "base/file.h"
#include "hub/digest.h"

static void assert_hashes(const char *bytes, size_t size, const char *sha256, const char *git_sha1)
{
	char got_sha256[HUB_SHA256_BYTES], got_git_sha1[HUB_SHA1_BYTES];
	struct digest d;

	assert_int_equal(digest_init(&d, size, true, UNIT_IGNORED), ERR_NONE);
	for (size_t i = 0; i < size; i++)
		digest_add(&d, bytes + i, 1);
	digest_end(&d, got_sha256, got_git_sha1);
	assert_string_equal(got_sha256, sha256);
	assert_string_equal(got_git_sha1, git_sha1);
	digest_close(&d);
}

static void the_hashes_are_those_of_other_tools(void **state)
{
	(void)state;
	assert_hashes("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
	assert_hashes("hello\n", 6,
		"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
		"ce013625030ba8dba906f756967f9e9ca394464a");
}

static void a_file_is_hashed_where_it_lies(void **state)
{
	struct manifest_file f = {.path = "x"};
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/x", scratch);
	assert_int_equal(file_write_atomic(path, "hello\n", 6, 0600, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(digest_file(&f, path, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(f.size_bytes, 6);
	assert_string_equal(f.sha256,
		"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
	assert_string_equal(f.git_sha1, "");
	assert_int_equal(digest_file(&f, "/nowhere", UNIT_IGNORED), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hashes_are_those_of_other_tools),
		cmocka_unit_test_setup_teardown(a_file_is_hashed_where_it_lies, scratch_open,
			scratch_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
