/* tests/base/file_test.c - files are read whole under a limit and replaced as old or new, whatever
 * fails. */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "base/mem.h"

static void put(const char *name, const char *text)
{
	assert_int_equal(file_write_atomic(scratch_path(name), text, strlen(text), 0600,
				 UNIT_IGNORED), ERR_NONE);
}

static void assert_holds(const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(file_read(&b, scratch_path(name), UNIT_IGNORED), ERR_NONE);
	assert_string_equal(b.data, text);
	buf_free(&b);
}

static void what_was_written_is_read_and_mapped(void **state)
{
	struct file_map map;

	(void)state;
	put("a", "hello");
	assert_holds("a", "hello");
	assert_int_equal(file_map_open(&map, scratch_path("a"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(map.size, 5);
	assert_memory_equal(map.data, "hello", 5);
	file_map_close(&map);
	file_map_close(&map);
}

static void touch(void *data)
{
	_exit(*(const volatile uint8_t *)data == 'h' ? 0 : 2);
}

/* The process ends in one of them. */
static void touch_in_threads(const uint8_t *data)
{
	struct thread *t;

	for (int i = 0; i < 4; i++)
		if (thread_start(&t, "reader", touch, (void *)(uintptr_t)data, UNIT_IGNORED))
			_exit(3);
	thread_join(t);
}

static void ends_with_a_line(bool in_threads)
{
	struct file_map map;
	char line[512] = {0};
	int ends[2], status;
	pid_t child;

	assert_int_equal(file_write_atomic(scratch_path("shrinks"), "hello", 5, 0600, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(file_map_open(&map, scratch_path("shrinks"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(truncate(scratch_path("shrinks"), 0), 0);
	assert_int_equal(pipe(ends), 0);
	if ((child = fork()) == 0) {
		dup2(ends[1], STDERR_FILENO);
		file_map_guard();
		if (in_threads)
			touch_in_threads(map.data);
		touch((void *)(uintptr_t)map.data);
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_memory_equal(line, "tongyun: error: ", 16);
	assert_non_null(strstr(line, "/shrinks: became shorter while it was in use"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	close(ends[0]);
	file_map_close(&map);
}

static void a_mapped_file_that_becomes_shorter_ends_the_program_with_a_line(void **state)
{
	(void)state;
	ends_with_a_line(false);
}

static void whichever_threads_read_it(void **state)
{
	(void)state;
	ends_with_a_line(true);
}

static void a_copy_of_a_mapped_file_that_becomes_shorter_names_that_file(void **state)
{
	struct err_info info = {0};
	struct file_map map;
	struct file_out out;

	(void)state;
	put("source", "hello");
	assert_int_equal(file_map_open(&map, scratch_path("source"), &info), ERR_NONE);
	assert_int_equal(truncate(scratch_path("source"), 0), 0);
	assert_int_equal(file_out_open(&out, scratch_path("copy"), 5, 0600, &info), ERR_NONE);
	assert_int_equal(file_out_write(&out, map.data, 5, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "/source: became shorter while it was in use"));
	file_out_close(&out);
	file_map_close(&map);
}

/* Killed, that is: nobody closes. */
static void a_program_that_is_killed_leaves_nothing_of_a_file_it_writes(void **state)
{
	const size_t entries = scratch_entries();
	struct err_info info = {0};
	struct file_out out;

	(void)state;
	assert_int_equal(file_out_open(&out, scratch_path("part"), 3, 0600, &info), ERR_NONE);
	assert_int_equal(file_out_write(&out, "abc", 3, &info), ERR_NONE);
	if (!out.nameless) {   /* ext4, xfs, btrfs and tmpfs have such files */
		file_out_close(&out);
		skip();
	}
	assert_int_equal(scratch_entries(), entries);
	close(out.fd);
}

static void an_empty_file_maps_to_nothing(void **state)
{
	struct file_map map;

	(void)state;
	put("empty", "");
	assert_int_equal(file_map_open(&map, scratch_path("empty"), UNIT_IGNORED), ERR_NONE);
	assert_null(map.data);
	assert_int_equal(map.size, 0);
	file_map_close(&map);
}

static void errors_name_the_file_and_the_reason(void **state)
{
	struct err_info info = {0};
	struct file_map map;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(file_read(&b, scratch_path("missing"), &info), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "missing: No such file"));
	assert_int_equal(file_map_open(&map, scratch, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "not a regular file"));
	assert_null(map.data);
	buf_free(&b);
}

static void a_pipe_without_a_writer_does_not_hang(void **state)
{
	struct file_map map;

	(void)state;
	assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
	assert_int_equal(file_map_open(&map, scratch_path("fifo"), UNIT_IGNORED), ERR_INPUT);
}

static void a_file_over_the_limit_is_refused(void **state)
{
	struct err_info info = {0};
	struct buf b;

	(void)state;
	put("five", "hello");
	buf_init(&b, 5);
	assert_int_equal(file_read(&b, scratch_path("five"), &info), ERR_NONE);
	assert_int_equal(file_read(&b, scratch_path("five"), &info), ERR_LIMIT);
	buf_free(&b);
	buf_init(&b, 4);
	assert_int_equal(file_read(&b, scratch_path("five"), &info), ERR_LIMIT);
	assert_non_null(strstr(info.text, "larger than 4 bytes"));
	buf_free(&b);
}

static void an_empty_heap_while_reading_says_so(void **state)
{
	struct err_info info = {0};
	struct buf b;

	(void)state;
	put("five", "hello");
	buf_init(&b, 100);
	mem_fail_after(1, 0);
	assert_int_equal(file_read(&b, scratch_path("five"), &info), ERR_MEMORY);
	buf_free(&b);
}

static void a_replacement_that_fails_anywhere_leaves_the_old_file_and_no_litter(void **state)
{
	int64_t n;

	(void)state;
	put("config", "old");
	const size_t entries = scratch_entries();
	for (n = 1; n < 20; n++) {
		struct err_info info = {0};

		file_fail_after(n, 0);
		const enum err code = file_write_atomic(scratch_path("config"), "new", 3, 0600, &info);
		file_fail_after(0, 0);
		if (!code)
			break;
		assert_int_equal(code, ERR_IO);
		assert_non_null(strstr(info.text, "config"));
		assert_int_equal(scratch_entries(), entries);
		if (n <= 4)  /* open, write, sync, rename: before it took effect */
			assert_holds("config", "old");
	}
	/* open, write, sync, name, rename, open and sync of the directory: all were tried */
	assert_int_equal(n, 8);
	assert_holds("config", "new");
}

static void a_large_file_is_there_only_when_it_is_whole(void **state)
{
	const size_t entries = scratch_entries();
	struct err_info info = {0};
	struct file_out out;

	(void)state;
	assert_int_equal(file_out_open(&out, scratch_path("large"), 6, 0600, &info), ERR_NONE);
	assert_int_equal(file_out_write(&out, "abc", 3, &info), ERR_NONE);
	assert_false(file_exists(scratch_path("large")));
	file_out_close(&out);
	assert_int_equal(scratch_entries(), entries);
	assert_int_equal(file_out_open(&out, scratch_path("large"), 6, 0600, &info), ERR_NONE);
	assert_int_equal(file_out_write(&out, "abc", 3, &info), ERR_NONE);
	assert_int_equal(file_out_write(&out, "def", 3, &info), ERR_NONE);
	assert_int_equal(out.size, 6);
	assert_int_equal(file_out_commit(&out, &info), ERR_NONE);
	file_out_close(&out);
	assert_holds("large", "abcdef");
	assert_int_equal(scratch_entries(), entries + 1);
}

static void what_no_disk_has_room_for_is_not_begun(void **state)
{
	const size_t entries = scratch_entries();
	struct err_info info = {0};
	struct file_out out;

	(void)state;
	assert_int_equal(
		file_out_open(&out, scratch_path("huge"), UINT64_MAX, 0600, &info), ERR_LIMIT);
	assert_non_null(strstr(info.text, "huge: needs 18446744073709551615 bytes"));
	assert_int_equal(scratch_entries(), entries);
}

static void a_file_takes_the_place_of_files_alone(void **state)
{
	struct err_info info = {0};
	struct file_out out;

	(void)state;
	assert_int_equal(mkfifo(scratch_path("pipe"), 0600), 0);
	const size_t entries = scratch_entries();

	assert_int_equal(file_out_open(&out, scratch_path("pipe"), 6, 0600, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "pipe: it is not a regular file"));
	info = (struct err_info){0};
	assert_int_equal(file_out_open(&out, scratch_path("."), 6, 0600, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "it is a directory"));
	assert_int_equal(scratch_entries(), entries);
}

static void a_link_to_nothing_is_there_and_says_why_it_cannot_be_read(void **state)
{
	struct err_info info = {0};
	struct buf b;

	(void)state;
	assert_int_equal(symlink("nowhere", scratch_path("blob")), 0);
	assert_true(file_exists(scratch_path("blob")));
	assert_false(file_exists(scratch_path("nowhere")));
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, scratch_path("blob"), &info), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "blob: a link to a file that is not there"));
	buf_free(&b);
}

static void a_file_is_itself_by_any_name(void **state)
{
	(void)state;
	put("one", "x");
	put("two", "x");
	assert_int_equal(symlink("one", scratch_path("alias")), 0);
	assert_true(file_is_same(scratch_path("one"), scratch_path("alias")));
	assert_true(file_is_same(scratch_path("one"), scratch_path("./one")));
	assert_false(file_is_same(scratch_path("one"), scratch_path("two")));
	assert_false(file_is_same(scratch_path("nowhere"), scratch_path("nowhere")));
}

static void a_read_that_fails_is_an_error_not_a_short_file(void **state)
{
	struct err_info info = {0};
	struct file_map map;
	struct buf b;

	(void)state;
	put("five", "hello");
	for (int64_t n = 1; n <= 2; n++) {
		buf_init(&b, 100);
		file_fail_after(n, 0);
		assert_int_equal(file_read(&b, scratch_path("five"), &info), ERR_IO);
		buf_free(&b);
		file_fail_after(n, 0);
		assert_int_equal(file_map_open(&map, scratch_path("five"), &info), ERR_IO);
		assert_null(map.data);
	}
	file_fail_after(0, 0);
}

static void the_mode_is_kept_as_open_would(void **state)
{
	struct stat st;

	(void)state;
	const mode_t before = umask(022);
	assert_int_equal(file_write_atomic(scratch_path("public"), "x", 1, 0666, UNIT_IGNORED), ERR_NONE);
	umask(before);
	assert_int_equal(stat(scratch_path("public"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void directories_are_made_with_their_parents_for_the_owner_alone(void **state)
{
	struct err_info info = {0};
	char dir[PATH_MAX];
	struct stat st;

	(void)state;
	assert_int_equal(file_mkdirs(scratch_path("x/y//z/"), &info), ERR_NONE);
	assert_int_equal(file_mkdirs_above(scratch_path("x/v/w/file"), dir, &info), ERR_NONE);
	assert_true(file_is_dir(dir) && !file_exists(scratch_path("x/v/w/file")));
	assert_string_equal(dir, scratch_path("x/v/w"));
	assert_int_equal(file_mkdirs_above("/file", dir, &info), ERR_NONE);
	assert_int_equal(file_mkdirs(scratch_path("x/y"), &info), ERR_NONE);
	assert_true(file_is_dir(scratch_path("x/y/z")));
	assert_int_equal(stat(scratch_path("x"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put("plain", "x");
	assert_int_equal(file_mkdirs(scratch_path("plain"), &info), ERR_EXISTS);
	assert_int_equal(file_mkdirs(scratch_path("plain/below"), &info), ERR_NOT_FOUND);
	assert_int_equal(file_mkdirs("", &info), ERR_INPUT);
	assert_true(file_exists(scratch_path("plain")) && !file_is_dir(scratch_path("plain")));
	assert_false(file_exists(scratch_path("nowhere")));
}

static void the_last_part_of_a_path_has_no_slashes(void **state)
{
	static const char *const cases[][2] = {{"a/b/c.gguf", "c.gguf"}, {"c", "c"}, {"a/b//", "b"},
		{"/", ""}, {"", ""}, {"./", "."}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size;
		const char *part = file_last_part(cases[i][0], &size);

		assert_int_equal(size, strlen(cases[i][1]));
		assert_memory_equal(part, cases[i][1], size);
	}
}

static void join_puts_one_slash_and_knows_its_room(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(file_join(out, sizeof(out), "abc", "def"), ERR_NONE);
	assert_string_equal(out, "abc/def");
	assert_int_equal(file_join(out, sizeof(out), "abc/", "def"), ERR_NONE);
	assert_string_equal(out, "abc/def");
	assert_int_equal(file_join(out, sizeof(out), "/", "x"), ERR_NONE);
	assert_string_equal(out, "/x");
	assert_int_equal(file_join(out, sizeof(out), "", "x"), ERR_NONE);
	assert_string_equal(out, "x");
	assert_int_equal(file_join(out, sizeof(out), "abcd", "def"), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_and_mapped),
		cmocka_unit_test(a_mapped_file_that_becomes_shorter_ends_the_program_with_a_line),
		cmocka_unit_test(whichever_threads_read_it),
		cmocka_unit_test(a_copy_of_a_mapped_file_that_becomes_shorter_names_that_file),
		cmocka_unit_test(a_program_that_is_killed_leaves_nothing_of_a_file_it_writes),
		cmocka_unit_test(an_empty_file_maps_to_nothing),
		cmocka_unit_test(errors_name_the_file_and_the_reason),
		cmocka_unit_test(a_pipe_without_a_writer_does_not_hang),
		cmocka_unit_test(a_file_over_the_limit_is_refused),
		cmocka_unit_test(an_empty_heap_while_reading_says_so),
		cmocka_unit_test(
			a_replacement_that_fails_anywhere_leaves_the_old_file_and_no_litter),
		cmocka_unit_test(a_large_file_is_there_only_when_it_is_whole),
		cmocka_unit_test(what_no_disk_has_room_for_is_not_begun),
		cmocka_unit_test(a_file_takes_the_place_of_files_alone),
		cmocka_unit_test(a_link_to_nothing_is_there_and_says_why_it_cannot_be_read),
		cmocka_unit_test(a_file_is_itself_by_any_name),
		cmocka_unit_test(a_read_that_fails_is_an_error_not_a_short_file),
		cmocka_unit_test(the_mode_is_kept_as_open_would),
		cmocka_unit_test(directories_are_made_with_their_parents_for_the_owner_alone),
		cmocka_unit_test(the_last_part_of_a_path_has_no_slashes),
		cmocka_unit_test(join_puts_one_slash_and_knows_its_room),
	};

	return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
