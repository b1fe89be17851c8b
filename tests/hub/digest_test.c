/* tests/hub/digest_test.c - hashes as sha256sum and `git hash-object` print them. */
#include "unit.h"

#include "hub/digest.h"

static void assert_hashes(const char *bytes, size_t size, const char *sha256, const char *git_sha1)
{
	char got_sha256[HUB_SHA256_BYTES], got_git_sha1[HUB_SHA1_BYTES];
	struct digest d;

	assert_int_equal(digest_init(&d, size, UNIT_IGNORED), ERR_NONE);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hashes_are_those_of_other_tools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
