/* tests/hub/store_test.c - models appear and go whole, whatever fails, and are found by name. */
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "hub/store.h"

static struct store store;

static int setup(void **state)
{
	return scratch_open(state) || store_open(&store, scratch, UNIT_IGNORED);
}

static struct hub_name named(const char *text)
{
	struct hub_name n;

	assert_int_equal(hub_name_parse(&n, text, false, UNIT_IGNORED), ERR_NONE);
	return n;
}

/* A folder that can be committed as name: one file with this text. */
static void stage(const struct store_lock *l, const char *name, const char *text,
	char out[PATH_MAX])
{
	char path[PATH_MAX];
	struct manifest m;

	assert_int_equal(file_join(out, PATH_MAX, l->dir, ".partial-x"), ERR_NONE);
	assert_int_equal(file_mkdirs(out, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_join(path, sizeof(path), out, "weights"), ERR_NONE);
	unlink(path);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(manifest_init(&m, 1, UNIT_IGNORED), ERR_NONE);
	m.name = named(name);
	m.files[0] = (struct manifest_file){.path = "weights", .size_bytes = strlen(text)};
	m.file_count = 1;
	assert_int_equal(store_write_manifest(&m, out, UNIT_IGNORED), ERR_NONE);
	manifest_free(&m);
}

static void put(const char *name, const char *text)
{
	const struct hub_name n = named(name);
	char staged[PATH_MAX];
	struct store_lock l;

	assert_int_equal(store_lock(&store, &n, "test", &l, UNIT_IGNORED), ERR_NONE);
	stage(&l, name, text, staged);
	assert_int_equal(store_commit(&l, staged, n.type, UNIT_IGNORED), ERR_NONE);
	store_unlock(&store, &l);
}

static enum err find(const char *name, struct store_model *out, struct err_info *info)
{
	const struct hub_name n = named(name);

	return store_find(&store, &n, out, info);
}

static void assert_holds(const char *name, const char *text)
{
	struct store_model found;
	char path[PATH_MAX];
	struct buf b;

	assert_int_equal(find(name, &found, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_join(path, sizeof(path), found.path, "weights"), ERR_NONE);
	buf_init(&b, 1000);
	assert_int_equal(file_read(&b, path, UNIT_IGNORED), ERR_NONE);
	assert_string_equal(b.data, text);
	buf_free(&b);
	store_release(&found);
}

static void assert_absent(const char *name, const char *says)
{
	struct err_info info = {0};
	struct store_model found;

	assert_int_equal(find(name, &found, &info), ERR_NOT_FOUND);
	if (!strstr(info.text, says))
		fail_msg("%s", info.text);
	assert_int_equal(found.fd, -1);
}

/* A path below the store, until the next call. */
static const char *in_store(const char *name)
{
	static char path[PATH_MAX];

	assert_int_equal(file_join(path, sizeof(path), store.path, name), ERR_NONE);
	return path;
}

static uint32_t names_in(const char *dir)
{
	uint32_t count = 0;
	DIR *d = opendir(in_store(dir));

	while (d && readdir(d))
		count++;
	if (d)
		closedir(d);
	return count < 2 ? 0 : count - 2;
}

static void a_model_is_found_by_type_or_as_the_only_one_or_the_original(void **state)
{
	(void)state;
	assert_absent("a/b", "a/b: no such model; `tongyun pull a/b` fetches one");
	put("a/b:q8_0", "eight");
	assert_holds("a/b", "eight");
	assert_holds("a/b:Q8_0", "eight");
	put("a/b:q4_k", "four");
	assert_absent("a/b", "a/b: which type? Add one of these: q4_k, q8_0");
	assert_absent("a/b:q5_k", "there is q4_k, q8_0, and `tongyun pull a/b:q5_k` may get it");
	assert_holds("a/b:q4_k_m", "four");
	put("a/b:original", "all");
	assert_holds("a/b", "all");
}

static void a_newer_one_takes_the_place_of_an_older_one(void **state)
{
	(void)state;
	put("a/b:original", "old");
	put("a/b:original", "new");
	assert_holds("a/b", "new");
	assert_int_equal(names_in("a/b"), 2);   /* .lock and original */
}

static void a_commit_that_fails_anywhere_leaves_old_or_new(void **state)
{
	const struct hub_name n = named("a/b:original");
	enum err code = ERR_IO;
	int64_t i;

	(void)state;
	put("a/b:original", "old");
	for (i = 1; i < 20 && code; i++) {
		char staged[PATH_MAX];
		struct store_lock l;

		assert_int_equal(store_lock(&store, &n, "test", &l, UNIT_IGNORED), ERR_NONE);
		stage(&l, "a/b:original", "new", staged);
		file_fail_after(i, 0);
		code = store_commit(&l, staged, "original", UNIT_IGNORED);
		file_fail_after(0, 0);
		if (i <= 2)   /* open and sync of the folder, before anything moved */
			assert_holds("a/b", "old");
		else
			assert_holds("a/b", "new");
		store_unlock(&store, &l);
	}
	assert_int_equal(code, ERR_NONE);
	assert_true(i > 3);
}

static void who_has_found_a_model_keeps_it_until_it_is_released(void **state)
{
	struct store_model found;
	struct stat there;

	(void)state;
	put("a/b:original", "held");
	assert_int_equal(find("a/b", &found, UNIT_IGNORED), ERR_NONE);
	const pid_t child = fork();

	if (child == 0) {
		const struct hub_name n = named("a/b");

		close(found.fd);   /* of the same open file, which would stay locked */
		_exit(store_remove(&store, &n, UNIT_IGNORED) == ERR_NONE ? 0 : 1);
	}
	/* whether or not the child has come as far, nothing may go */
	for (int i = 0; i < 200; i++)
		assert_int_equal(stat(found.path, &there), 0);
	store_release(&found);
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_absent("a/b", "no such model");
}

static void a_removed_model_leaves_nothing(void **state)
{
	const struct hub_name all = named("a/b"), one = named("a/b:q8_0"), none = named("a/c");
	struct err_info info = {0};

	(void)state;
	put("a/b:q8_0", "eight");
	put("a/b:original", "all");
	assert_int_equal(store_remove(&store, &one, UNIT_IGNORED), ERR_NONE);
	assert_holds("a/b", "all");
	assert_int_equal(store_remove(&store, &one, &info), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "a/b:q8_0: no such model here"));
	assert_int_equal(store_remove(&store, &all, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(names_in(""), 0);
	assert_int_equal(store_remove(&store, &none, UNIT_IGNORED), ERR_NOT_FOUND);
	assert_int_equal(names_in(""), 0);
}

static void a_locked_model_is_not_changed_and_its_holder_is_named(void **state)
{
	const struct hub_name n = named("a/b");
	struct err_info info = {0};
	struct store_lock l, other;

	(void)state;
	put("a/b:original", "all");
	assert_int_equal(store_lock(&store, &n, "pull", &l, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(store_lock(&store, &n, "pull", &other, &info), ERR_BUSY);
	assert_non_null(strstr(info.text, "a/b is in use by pull (process "));
	assert_int_equal(store_remove(&store, &n, UNIT_IGNORED), ERR_BUSY);
	assert_holds("a/b", "all");
	store_unlock(&store, &l);
	store_unlock(&store, &l);
	assert_int_equal(store_remove(&store, &n, UNIT_IGNORED), ERR_NONE);
}

static void what_a_crash_has_left_is_swept(void **state)
{
	const struct hub_name n = named("a/b");
	struct store_lock l;

	(void)state;
	put("a/b:original", "all");
	assert_int_equal(file_mkdirs(in_store("a/b/.gone-q8_0/deep"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_mkdirs(in_store("a/b/.copy-q8_0"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_mkdirs(in_store("a/b/.partial-q8_0"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(store_lock(&store, &n, "test", &l, UNIT_IGNORED), ERR_NONE);
	store_unlock(&store, &l);
	assert_int_equal(names_in("a/b"), 3);   /* .lock, original, and the download */
	assert_int_equal(store_remove(&store, &n, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(names_in(""), 0);
}

static enum err copy(const char *from, const char *to, bool force, struct err_info *info)
{
	const struct hub_name f = named(from), t = named(to);
	struct hub_name made;

	return store_copy(&store, &f, &t, force, &made, info);
}

static void a_copy_is_another_name_for_the_same_files(void **state)
{
	struct err_info info = {0};

	(void)state;
	put("a/b:q8_0", "eight");
	put("a/c:q8_0", "other");
	assert_int_equal(copy("a/b", "d/e", false, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(copy("a/b", "d/e:best", false, UNIT_IGNORED), ERR_NONE);
	assert_holds("d/e:q8_0", "eight");
	assert_holds("d/e:best", "eight");
	assert_int_equal(copy("a/c", "d/e", false, &info), ERR_EXISTS);
	assert_non_null(strstr(info.text, "d/e:q8_0: there is one already; --force replaces it"));
	assert_int_equal(copy("a/c", "d/e", true, UNIT_IGNORED), ERR_NONE);
	assert_holds("d/e:q8_0", "other");
	assert_int_equal(copy("a/b", "a/b", true, UNIT_IGNORED), ERR_INPUT);
	assert_int_equal(copy("a/nothing", "d/f", false, UNIT_IGNORED), ERR_NOT_FOUND);

	const struct hub_name source = named("a/b");

	assert_int_equal(store_remove(&store, &source, UNIT_IGNORED), ERR_NONE);
	assert_holds("d/e:best", "eight");
}

/* Who copies onto a model that is being read waits, and holds up nobody: not one who copies the
 * other way, and waits for it. */
static void a_copy_that_waits_for_a_reader_has_let_its_source_go(void **state)
{
	const struct hub_name from = named("a/b:q8_0"), to = named("c/d:q8_0");
	char staged[PATH_MAX], source[PATH_MAX];
	struct store_model read;
	int status = -1;

	(void)state;
	put("a/b:q8_0", "eight");
	put("c/d:q8_0", "older");
	snprintf(staged, sizeof(staged), "%s", in_store("c/d/.copy-q8_0/" MANIFEST_FILE));
	snprintf(source, sizeof(source), "%s", in_store("a/b/q8_0/" MANIFEST_FILE));
	assert_int_equal(find("c/d:q8_0", &read, UNIT_IGNORED), ERR_NONE);
	const pid_t child = fork();

	if (child == 0) {
		struct hub_name copy;

		close(read.fd);
		_exit((int)store_copy(&store, &from, &to, true, &copy, UNIT_IGNORED));
	}
	while (!file_exists(staged) && waitpid(child, &status, WNOHANG) == 0)
		;
	const int fd = open(source, O_RDWR);

	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_int_equal(status, -1);
	store_release(&read);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_holds("c/d:q8_0", "eight");
}

static void a_copy_that_fails_anywhere_leaves_nothing_half(void **state)
{
	enum err code = ERR_IO;

	(void)state;
	put("a/b:original", "all");
	for (int64_t i = 1; i < 60 && code; i++) {
		file_fail_after(i, 0);
		code = copy("a/b", "d/e", true, UNIT_IGNORED);
		file_fail_after(0, 0);
		struct store_model found;

		if (!find("d/e", &found, UNIT_IGNORED))
			store_release(&found);
		else
			assert_true(names_in("d/e") <= 1);
	}
	assert_int_equal(code, ERR_NONE);
	assert_holds("d/e", "all");
}

static void the_list_has_what_is_whole_in_order(void **state)
{
	const struct hub_name half = named("a/b:f16");
	char staged[PATH_MAX];
	struct store_list list;
	struct store_lock l;

	(void)state;
	assert_int_equal(store_list(&store, &list, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(list.count, 0);
	store_list_free(&list);
	put("b/a:original", "1");
	put("a/b:q8_0", "22");
	put("a/b:original", "333");
	assert_int_equal(store_lock(&store, &half, "test", &l, UNIT_IGNORED), ERR_NONE);
	stage(&l, "a/b:f16", "staged, not committed", staged);
	store_unlock(&store, &l);
	assert_int_equal(file_mkdirs(in_store("a/damaged/original"), UNIT_IGNORED), ERR_NONE);
	assert_int_equal(file_write_atomic(in_store("stray"), "x", 1, 0600, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(store_list(&store, &list, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.models[0].name.type, "original");
	assert_string_equal(list.models[1].name.type, "q8_0");
	assert_string_equal(list.models[2].name.owner, "b");
	assert_int_equal(manifest_size(&list.models[0]), 3);
	store_list_free(&list);
	assert_absent("a/damaged", "damaged: no manifest.json; remove it with `tongyun rm`");
	const struct hub_name n = named("a/damaged");

	assert_int_equal(store_remove(&store, &n, UNIT_IGNORED), ERR_NONE);
}

static void a_heap_that_ends_is_an_error_everywhere(void **state)
{
	enum err code = ERR_MEMORY;

	(void)state;
	put("a/b:original", "all");
	for (int64_t i = 1; i < 200 && code; i++) {
		struct store_list list;

		mem_fail_after(i, 1);
		code = store_list(&store, &list, UNIT_IGNORED);
		mem_fail_after(0, 0);
		store_list_free(&list);
	}
	code = ERR_MEMORY;
	for (int64_t i = 1; i < 200 && code; i++) {
		mem_fail_after(i, 1);
		code = copy("a/b", "d/e", true, UNIT_IGNORED);
		mem_fail_after(0, 0);
	}
	assert_int_equal(code, ERR_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_model_is_found_by_type_or_as_the_only_one_or_the_original),
		TEST(a_newer_one_takes_the_place_of_an_older_one),
		TEST(a_commit_that_fails_anywhere_leaves_old_or_new),
		TEST(who_has_found_a_model_keeps_it_until_it_is_released),
		TEST(a_removed_model_leaves_nothing),
		TEST(a_locked_model_is_not_changed_and_its_holder_is_named),
		TEST(what_a_crash_has_left_is_swept),
		TEST(a_copy_is_another_name_for_the_same_files),
		TEST(a_copy_that_waits_for_a_reader_has_let_its_source_go),
		TEST(a_copy_that_fails_anywhere_leaves_nothing_half),
		TEST(the_list_has_what_is_whole_in_order),
		TEST(a_heap_that_ends_is_an_error_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
