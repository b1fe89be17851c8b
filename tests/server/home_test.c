/* tests/server/home_test.c - one holder at a time, secrets that stay, keys that are never kept. */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/home.h"
#include "server/keys.h"

static void opened(struct home *h, const char *path)
{
	struct err_info info = {0};

	if (home_open(h, path, &info))
		fail_msg("%s", info.text);
}

static void a_second_holder_is_told_who_the_first_is(void **state)
{
	struct err_info info = {0};
	struct home first, second;

	(void)state;
	opened(&first, scratch);
	opened(&second, scratch);
	assert_int_equal(home_lock(&first, "tongyun serve on 127.0.0.1 port 8000", &info),
		ERR_NONE);
	assert_int_equal(home_lock(&second, "a verb", &info), ERR_BUSY);
	assert_non_null(strstr(info.text, "tongyun serve on 127.0.0.1 port 8000 (process "));
	info = (struct err_info){0};
	assert_int_equal(unlinkat(first.dir_fd, "lock", 0), 0);     /* only the name was in it */
	assert_int_equal(home_lock(&second, "a verb", &info), ERR_BUSY);
	info = (struct err_info){0};
	home_close(&first);
	assert_int_equal(home_lock(&second, "a verb", &info), ERR_NONE);
	home_close(&second);
}

static void it_is_made_with_its_parents_for_its_owner_alone(void **state)
{
	char path[128];
	struct stat status;
	struct home h;

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b", scratch);
	opened(&h, path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	home_close(&h);
}

static void the_secret_is_made_once_and_read_by_none_but_its_owner(void **state)
{
	uint8_t first[HOME_SECRET_BYTES], second[HOME_SECRET_BYTES];
	struct err_info info = {0};
	char path[PATH_MAX];
	struct stat status;
	struct home h;

	(void)state;
	opened(&h, scratch);
	assert_int_equal(home_secret(&h, first, &info), ERR_NONE);
	assert_int_equal(home_secret(&h, second, &info), ERR_NONE);
	assert_memory_equal(first, second, sizeof(first));
	assert_int_equal(home_file(&h, "secret", path, &info), ERR_NONE);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(home_secret(&h, second, &info), ERR_INPUT);
	home_close(&h);
}

static void put(const struct home *h, const char *name, const char *bytes)
{
	struct err_info info = {0};
	char path[PATH_MAX];

	assert_int_equal(home_file(h, name, path, &info), ERR_NONE);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(bytes, file);
	assert_int_equal(fclose(file), 0);
}

static void taken(const struct home *h, const char *name)
{
	assert_int_equal(unlinkat(h->dir_fd, name, 0), 0);
}

static void a_secret_that_is_lost_is_not_replaced(void **state)
{
	uint8_t secret[HOME_SECRET_BYTES];
	struct err_info info = {0};
	char path[PATH_MAX];
	struct home h;

	(void)state;
	opened(&h, scratch);
	assert_int_equal(home_secret(&h, secret, &info), ERR_NONE);
	put(&h, HOME_DATABASE, "SQLite");
	assert_int_equal(home_secret(&h, secret, &info), ERR_NONE);
	assert_int_equal(home_file(&h, "secret", path, &info), ERR_NONE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(home_secret(&h, secret, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "without it no key can be recognised"));
	assert_int_equal(access(path, F_OK), -1);
	home_close(&h);
}

static void a_database_that_was_lost_is_not_begun_anew(void **state)
{
	static const char *const left[] = {"secret", "journal", "journal.old"};
	uint8_t secret[HOME_SECRET_BYTES];
	struct home h;

	(void)state;
	opened(&h, scratch);
	for (int empty = 0; empty < 2; empty++)
		for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
			struct err_info info = {0};

			if (empty)
				put(&h, "cloud.db", "");
			put(&h, left[i], "0123456789abcdef0123456789abcdef");
			assert_int_equal(home_secret(&h, secret, &info), ERR_INPUT);
			assert_non_null(strstr(info.text, "restore it"));
			put(&h, "cloud.db", "SQLite");
			put(&h, "secret", "0123456789abcdef0123456789abcdef");
			info = (struct err_info){0};
			assert_int_equal(home_secret(&h, secret, &info), ERR_NONE);
			taken(&h, "cloud.db");
			taken(&h, "secret");
			if (i > 0)
				taken(&h, left[i]);
		}
	home_close(&h);
}

static void a_start_that_fails_before_its_database_can_be_tried_again(void **state)
{
	uint8_t secret[HOME_SECRET_BYTES];
	struct err_info info = {0};
	struct home h;

	(void)state;
	for (int i = 0; i < 2; i++) {
		opened(&h, scratch);
		assert_int_equal(home_secret(&h, secret, &info), ERR_NONE);
		home_close(&h);
	}
}

static void a_secret_that_is_a_pipe_is_refused_at_once(void **state)
{
	uint8_t secret[HOME_SECRET_BYTES];
	struct err_info info = {0};
	char path[PATH_MAX];
	struct home h;

	(void)state;
	opened(&h, scratch);
	put(&h, "cloud.db", "SQLite");
	snprintf(path, sizeof(path), "%s/secret", scratch);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(home_secret(&h, secret, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "not a regular file"));
	home_close(&h);
}

static void socket_works_in(const char *path)
{
	struct err_info info = {0};
	struct home h;
	int listener, client;

	opened(&h, path);
	assert_int_equal(home_socket_connect(&h, &client, &info), ERR_NOT_FOUND);
	assert_int_equal(home_lock(&h, "a server", &info), ERR_NONE);
	for (int again = 0; again < 2; again++) {  /* the second finds what a crash left */
		assert_int_equal(home_socket_bind(&h, &listener, &info), ERR_NONE);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(home_socket_connect(&h, &client, &info), ERR_NONE);
		close(client);
		close(listener);
	}
	info = (struct err_info){0};
	assert_int_equal(home_socket_connect(&h, &client, &info), ERR_NOT_FOUND);
	home_socket_remove(&h);
	home_close(&h);
}

static void a_socket_is_reached_however_long_the_path(void **state)
{
	char path[512];

	(void)state;
	socket_works_in(scratch);
	snprintf(path, sizeof(path), "%s/%0100d/%0100d", scratch, 1, 2);
	socket_works_in(path);
}

static void keys_are_long_random_and_hashed_with_the_secret(void **state)
{
	char a[KEY_BYTES], b[KEY_BYTES], prefix[RECORD_PREFIX_BYTES];
	uint8_t hash_a[RECORD_HASH_BYTES], hash_b[RECORD_HASH_BYTES];
	const uint8_t secret[HOME_SECRET_BYTES] = {1}, other[HOME_SECRET_BYTES] = {2};

	(void)state;
	key_make(a);
	key_make(b);
	assert_int_equal(strlen(a), 46);
	assert_memory_equal(a, "sk-", 3);
	assert_string_not_equal(a, b);
	assert_int_equal(strspn(a + 3,
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 43);
	key_prefix(prefix, a);
	assert_int_equal(strlen(prefix), 10);
	key_prefix(prefix, "abc");
	assert_string_equal(prefix, "a");
	key_hash(hash_a, a, strlen(a), secret);
	key_hash(hash_b, a, strlen(a), other);
	assert_memory_not_equal(hash_a, hash_b, sizeof(hash_a));
}

static void a_key_is_found_in_its_header(void **state)
{
	size_t size = 0;

	(void)state;
	assert_string_equal(key_of_authorization("Bearer sk-x", &size), "sk-x");
	assert_int_equal(size, 4);
	assert_string_equal(key_of_authorization("bearer   y", &size), "y");
	assert_null(key_of_authorization("Basic abc", &size));
	assert_null(key_of_authorization("Bearer ", &size));
	assert_null(key_of_authorization(NULL, &size));
}

static void home_follows_the_environment_in_its_order(void **state)
{
	struct err_info info = {0};
	char out[64];

	(void)state;
	setenv("TONGYUN_HOME", "/t", 1);
	setenv("XDG_DATA_HOME", "/x", 1);
	setenv("HOME", "/h", 1);
	assert_int_equal(home_default_path(out, sizeof(out), &info), ERR_NONE);
	assert_string_equal(out, "/t");
	unsetenv("TONGYUN_HOME");
	assert_int_equal(home_default_path(out, sizeof(out), &info), ERR_NONE);
	assert_string_equal(out, "/x/tongyun");
	setenv("XDG_DATA_HOME", "relative", 1);
	assert_int_equal(home_default_path(out, sizeof(out), &info), ERR_NONE);
	assert_string_equal(out, "/h/.local/share/tongyun");
	assert_int_equal(home_default_path(out, 8, &info), ERR_LIMIT);
	unsetenv("HOME");
	assert_int_equal(home_default_path(out, sizeof(out), &info), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_A_FOLDER(name) cmocka_unit_test_setup_teardown(name, scratch_open, scratch_close)
		cmocka_unit_test(home_follows_the_environment_in_its_order),
		IN_A_FOLDER(a_second_holder_is_told_who_the_first_is),
		IN_A_FOLDER(it_is_made_with_its_parents_for_its_owner_alone),
		IN_A_FOLDER(the_secret_is_made_once_and_read_by_none_but_its_owner),
		IN_A_FOLDER(a_secret_that_is_lost_is_not_replaced),
		IN_A_FOLDER(a_database_that_was_lost_is_not_begun_anew),
		IN_A_FOLDER(a_start_that_fails_before_its_database_can_be_tried_again),
		IN_A_FOLDER(a_secret_that_is_a_pipe_is_refused_at_once),
		IN_A_FOLDER(a_socket_is_reached_however_long_the_path),
		cmocka_unit_test(keys_are_long_random_and_hashed_with_the_secret),
		cmocka_unit_test(a_key_is_found_in_its_header),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
