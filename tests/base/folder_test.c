/* tests/base/folder_test.c - folders are listed in order, removed without leaving their tree, and
 * share files. */
#include "scratch.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"

static void put(const char *name, const char *text)
{
	assert_int_equal(file_write_atomic(scratch_path(name), text, strlen(text), 0600,
				 UNIT_IGNORED), ERR_NONE);
}

static void names_come_in_order_and_up_to_a_limit(void **state)
{
	struct err_info info = {0};
	struct folder_names names;
	struct arena memory;
	char name[16];

	(void)state;
	arena_init(&memory, 4096, 1 << 20);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%02d", 99 - i);
		put(name, "");
	}
	assert_int_equal(folder_list(&names, &memory, scratch, 100, &info), ERR_NONE);
	assert_int_equal(names.count, 100);
	assert_string_equal(names.names[0], "f00");
	assert_string_equal(names.names[99], "f99");
	assert_int_equal(folder_list(&names, &memory, scratch, 99, &info), ERR_LIMIT);
	info = (struct err_info){0};
	assert_int_equal(folder_list(&names, &memory, scratch_path("absent"), 9, &info), ERR_NONE);
	assert_int_equal(names.count, 0);
	assert_int_equal(folder_list(&names, &memory, scratch_path("f00"), 9, &info), ERR_NOT_FOUND);
	arena_reset(&memory);
}

static void a_list_without_memory_is_an_error(void **state)
{
	struct folder_names names;
	struct arena memory;

	(void)state;
	put("a", "");
	arena_init(&memory, 64, 80);
	assert_int_equal(folder_list(&names, &memory, scratch, 9, UNIT_IGNORED), ERR_MEMORY);
	arena_reset(&memory);
}

static void a_folder_goes_with_all_that_is_in_it_but_not_with_what_is_linked(void **state)
{
	(void)state;
	assert_int_equal(file_mkdirs(scratch_path("gone/deep/deeper"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_mkdirs(scratch_path("kept"), UNIT_IGNORED), ERR_NONE);
	put("gone/deep/deeper/file", "x");
	put("kept/file", "x");
	assert_int_equal(symlink(scratch_path("kept"), scratch_path("gone/link")), 0);
	assert_int_equal(folder_remove(scratch_path("gone"), UNIT_IGNORED), ERR_NONE);
	assert_false(file_exists(scratch_path("gone")));
	assert_true(file_exists(scratch_path("kept/file")));
	assert_int_equal(folder_remove(scratch_path("gone"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(folder_remove(scratch_path("kept/file"), UNIT_IGNORED), ERR_NONE);
	assert_false(file_exists(scratch_path("kept/file")));
}

static void a_folder_that_is_too_deep_is_not_followed_for_ever(void **state)
{
	char path[PATH_MAX];
	struct err_info info = {0};

	(void)state;
	size_t used = (size_t)snprintf(path, sizeof(path), "%s", scratch);

	for (int i = 0; i < FOLDER_DEPTH_MAX + 2; i++)
		used += (size_t)snprintf(path + used, sizeof(path) - used, "/d");
	assert_int_equal(file_mkdirs(path, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(folder_remove(scratch_path("d"), &info), ERR_IO);
	assert_non_null(strstr(info.text, "removing "));
}

static void a_shared_file_has_the_same_bytes_and_outlives_the_other(void **state)
{
	struct buf b;

	(void)state;
	put("a", "hello");
	assert_int_equal(folder_share_file(scratch_path("a"), scratch_path("b"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(folder_share_file(scratch_path("a"), scratch_path("b"), UNIT_IGNORED), ERR_EXISTS);
	assert_int_equal(folder_share_file(scratch_path("x"), scratch_path("c"), UNIT_IGNORED), ERR_NOT_FOUND);
	unlink(scratch_path("a"));
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, scratch_path("b"), UNIT_IGNORED), ERR_NONE);
	assert_string_equal(b.data, "hello");
	buf_free(&b);
}

/* /dev/shm is another file system than /tmp on most machines: then the bytes are copied. */
static void a_file_is_copied_where_it_cannot_be_linked(void **state)
{
	char other[64];
	struct buf b;

	(void)state;
	put("a", "hello");
	snprintf(other, sizeof(other), "/dev/shm/tongyun-test-%ld", (long)getpid());
	if (access("/dev/shm", W_OK))
		skip();
	assert_int_equal(folder_share_file(scratch_path("a"), other, UNIT_IGNORED), ERR_NONE);
	buf_init(&b, 100);
	const enum err code = file_read(&b, other, UNIT_IGNORED);

	unlink(other);
	assert_int_equal(code, ERR_NONE);
	assert_string_equal(b.data, "hello");
	buf_free(&b);
}

static void the_space_that_is_left_is_told(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(folder_free_space(scratch, &bytes, UNIT_IGNORED), ERR_NONE);
	assert_true(bytes > 0);
	assert_int_equal(folder_free_space(scratch_path("absent"), &bytes, UNIT_IGNORED), ERR_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_open, scratch_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_come_in_order_and_up_to_a_limit),
		TEST(a_list_without_memory_is_an_error),
		TEST(a_folder_goes_with_all_that_is_in_it_but_not_with_what_is_linked),
		TEST(a_folder_that_is_too_deep_is_not_followed_for_ever),
		TEST(a_shared_file_has_the_same_bytes_and_outlives_the_other),
		TEST(a_file_is_copied_where_it_cannot_be_linked),
		TEST(the_space_that_is_left_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
