/* tests/hub/path_test.c - which paths a hub may name. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "hub/path.h"

static void assert_refused(const char *path, size_t size, const char *why)
{
	struct err_info info = {0};

	assert_int_equal(hub_path_check(path, size, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, why));
}

static void usual_paths_are_taken(void **state)
{
	static const char *const good[] = {"config.json", "Q4_K_M/a-00001-of-00002.gguf",
		".gitattributes", "a..b", "...", "with blank.txt", "\xE6\x98\xA5.txt", "a/b/c/d/e/f/g/h"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(hub_path_check(good[i], strlen(good[i]), UNIT_IGNORED), ERR_NONE);
}

static void what_leaves_its_folder_is_refused(void **state)
{
	static const char *const wrong[] = {"..", ".", "../x", "a/../b", "a/..", "./a", "a/./b"};
	static const char *const absolute[] = {"/etc/passwd", "a//b", "a/", "/"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_refused(wrong[i], strlen(wrong[i]), "it leaves its folder");
	for (size_t i = 0; i < sizeof(absolute) / sizeof(*absolute); i++)
		assert_refused(absolute[i], strlen(absolute[i]), "absolute, or has an empty part");
}

static void bytes_that_mean_something_elsewhere_are_refused(void **state)
{
	(void)state;
	assert_refused("a\\b", 3, "backslash");
	assert_refused("..\\x", 4, "backslash");
	assert_refused("a\nb", 3, "control character");
	assert_refused("a\0b", 3, "control character");
	assert_refused("a\x1B[2J", 5, "control character");
	assert_refused("a\xC2\x9B", 3, "control character");
	assert_refused("a\xE2\x80\xA8", 4, "control character");   /* U+2028: a line's end */
	assert_refused("a\xFF", 2, "not UTF-8");
	assert_refused("a\xE6\x98", 3, "not UTF-8");
}

static void what_is_too_long_or_deep_or_empty_is_refused(void **state)
{
	char path[HUB_PATH_BYTES + 1];

	(void)state;
	assert_refused("", 0, "it is empty");
	assert_refused("a/b/c/d/e/f/g/h/i", 17, "too deep");
	memset(path, 'a', sizeof(path));
	assert_refused(path, 256, "a part of it is too long");
	path[200] = path[400] = '/';
	assert_int_equal(hub_path_check(path, HUB_PATH_BYTES - 1, UNIT_IGNORED), ERR_NONE);
	assert_refused(path, HUB_PATH_BYTES, "it is too long");
}

static void paths_that_cannot_be_two_files_clash(void **state)
{
	(void)state;
	assert_true(hub_path_clash("a", "a"));
	assert_true(hub_path_clash("README.md", "readme.MD"));
	assert_true(hub_path_clash("a", "A/b"));
	assert_true(hub_path_clash("a/b/c", "a/b"));
	assert_false(hub_path_clash("a", "ab"));
	assert_false(hub_path_clash("a/b", "a/c"));
	assert_false(hub_path_clash("a.b", "a/b"));
}

static int by_order(const void *a, const void *b)
{
	return hub_path_order(*(const char *const *)a, *(const char *const *)b);
}

static void sorted_paths_that_clash_are_neighbours(void **state)
{
	const char *paths[] = {"a/b", "a!", "b", "A", "a-b", "a.b", "ab", "a b", "a/"};
	size_t clashes = 0;

	(void)state;
	qsort(paths, sizeof(paths) / sizeof(*paths), sizeof(*paths), by_order);
	for (size_t i = 1; i < sizeof(paths) / sizeof(*paths); i++)
		clashes += hub_path_clash(paths[i - 1], paths[i]);
	assert_int_equal(clashes, 1);
	assert_string_equal(paths[0], "A");
	assert_true(hub_path_clash(paths[0], paths[1]));
	assert_int_equal(hub_path_order("README.md", "readme.MD"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_paths_are_taken),
		cmocka_unit_test(what_leaves_its_folder_is_refused),
		cmocka_unit_test(bytes_that_mean_something_elsewhere_are_refused),
		cmocka_unit_test(what_is_too_long_or_deep_or_empty_is_refused),
		cmocka_unit_test(paths_that_cannot_be_two_files_clash),
		cmocka_unit_test(sorted_paths_that_clash_are_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
