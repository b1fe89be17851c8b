/* tests/server/admin_link_test.c - verbs without a server: the same core, one command at a
 * time, durable each. */
#include "scratch.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/admin_link.h"
#include "server/home.h"

/* One verb: opens, does it, closes. */
static enum err verb(const char *document, json_t **reply, struct err_info *info)
{
	struct admin_link *link = NULL;
	json_t *op = json_loads(document, 0, NULL);

	assert_non_null(op);
	*reply = NULL;
	if (admin_link_open(&link, scratch, NULL, info) == ERR_NONE)
		(void)!admin_link_call(link, op, reply, info);
	admin_link_close(link);
	json_decref(op);
	return info->code;
}

static int64_t answer_int(const char *document, const char *field)
{
	struct err_info info = {0};
	json_t *reply;

	if (verb(document, &reply, &info))
		fail_msg("%s: %s", document, info.text);
	const int64_t value = json_integer_value(json_object_get(reply, field));
	json_decref(reply);
	return value;
}

static void refused(const char *document, enum err err)
{
	struct err_info info = {0};
	json_t *reply;

	if (verb(document, &reply, &info) != err)
		fail_msg("%s: %d %s", document, (int)info.code, info.text);
	assert_null(reply);
	assert_true(info.text[0] != '\0');
}

static void line_count(void *context, const char *line)
{
	json_t *row = json_loads(line, 0, NULL);

	assert_non_null(row);
	json_decref(row);
	++*(int *)context;
}

static int list_count(const char *document)
{
	struct admin_link *link = NULL;
	struct err_info info = {0};
	json_t *op = json_loads(document, 0, NULL);
	int count = 0;

	if (admin_link_open(&link, scratch, NULL, &info) ||
		admin_link_each(link, op, line_count, &count, &info))
		fail_msg("%s", info.text);
	admin_link_close(link);
	json_decref(op);
	return count;
}

static void commands_last_from_one_verb_to_the_next(void **state)
{
	(void)state;
	assert_int_equal(answer_int("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":5,\"credit_nano\":7}",
		"balance_nano"), 5);
	assert_int_equal(answer_int("{\"op\":\"tenant_topup\",\"name\":\"a\",\"amount_nano\":10}",
		"balance_nano"), 15);
	assert_int_equal(answer_int("{\"op\":\"tenant_show\",\"name\":\"a\"}", "credit_nano"), 7);
	assert_int_equal(answer_int("{\"op\":\"key_create\",\"tenant\":\"a\",\"name\":\"k\"}",
		"id"), 1);
	assert_int_equal(answer_int("{\"op\":\"key_revoke\",\"id\":1}", "id"), 1);
	assert_int_equal(answer_int("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":3,\"output_nano\":4}",
		"cached_nano"), 3);
	assert_int_equal(answer_int("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":3,\"output_nano\":4}", "version"), 2);
	assert_int_equal(list_count("{\"op\":\"tenant_list\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"key_list\"}"), 1);
	assert_int_equal(list_count("{\"op\":\"price_list\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"ledger_list\",\"tenant\":\"a\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"usage_list\"}"), 0);
	assert_int_equal(list_count("{\"op\":\"ledger_check\"}"), 1);
}

static int rows_seen;

static void row_see(void *context, const char *line)
{
	(void)context;
	(void)line;
	rows_seen++;
}

/* Whichever allocation fails: an error, or every row there is. */
static void a_list_that_found_no_memory_does_not_end_as_if_whole(void **state)
{
	json_t *op = json_loads("{\"op\":\"price_list\"}", 0, NULL);
	struct admin_link *link = NULL;
	struct err_info info = {0};
	uint32_t failed = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		answer_int("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":3,\"output_nano\":4}",
			"version");
	assert_int_equal(admin_link_open(&link, scratch, NULL, &info), ERR_NONE);
	for (uint32_t n = 1; rows_seen < 3; n++) {
		rows_seen = 0;
		info = (struct err_info){0};
		mem_fail_after(n, 0);
		if (admin_link_each(link, op, row_see, NULL, &info)) {
			assert_int_equal(info.code, ERR_MEMORY);
			assert_true(rows_seen < 3);
			failed++;
		} else {
			assert_int_equal(rows_seen, 3);
		}
		mem_fail_after(0, 0);
	}
	assert_true(failed > 0);
	admin_link_close(link);
	json_decref(op);
}

static void bend(const char *sql)
{
	char path[128];
	char *text = NULL;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" HOME_DATABASE, scratch);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text))
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

/* As a crash leaves it: a key of tenant 2, and a request of it that 50 are held for. */
static void cut_off_make(void)
{
	answer_int("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":1000}",
		"balance_nano");
	answer_int("{\"op\":\"key_create\",\"tenant\":\"a\",\"name\":\"k\"}", "id");
	bend("INSERT INTO ledger SELECT 2, 0, 'hold', 2, r, 0, 'hold:' || r || ':0' FROM "
		"(SELECT printf('req_%032x', 7) AS r);"
		"INSERT INTO entry VALUES (2, 0, 5, -50), (2, 1, 6, 50);"
		"UPDATE account SET balance_nano = 950 WHERE id = 5;"
		"UPDATE account SET balance_nano = 50 WHERE id = 6;"
		"INSERT INTO open_request VALUES (printf('req_%032x', 7), 2, 1, 'm', 0, 0, 5, 0, "
		"0, 0, 'open', 0);");
}

static void check_says(const char *text)
{
	json_t *op = json_loads("{\"op\":\"ledger_check\"}", 0, NULL);
	struct admin_link *link = NULL;
	struct err_info info = {0};
	int count = 0;

	if (admin_link_open(&link, scratch, NULL, &info) == ERR_NONE)
		(void)!admin_link_each(link, op, line_count, &count, &info);
	admin_link_close(link);
	json_decref(op);
	if (info.code != ERR_INPUT || !strstr(info.text, text))
		fail_msg("%d: \"%s\", wanted \"%s\"", (int)info.code, info.text, text);
	assert_int_equal(count, 0);
}

/* Which of them are open is no contradiction as long as none could be closed. */
static void after_a_crash_the_check_names_what_keeps_the_core_from_starting(void **state)
{
	static const struct { const char *sql, *says, *back; } bends[] = {
		{"UPDATE api_key SET name = hex(zeroblob(5000))", "table api_key, row 1: bad name",
			"UPDATE api_key SET name = 'k'"},
		{"UPDATE api_key SET id = 0", "table api_key, row 0: its number is not the next",
			"UPDATE api_key SET id = 1"},
		{"UPDATE tenant SET requests_per_min = 100000001 WHERE id = 2",
			"table tenant, row 2: its name, its credit or a limit is out of its bounds",
			"UPDATE tenant SET requests_per_min = 0"},
		{"UPDATE account SET balance_nano = 49 WHERE id = 6",
			"a: the account is not the sum of its entries",
			"UPDATE account SET balance_nano = 50 WHERE id = 6"},
	};

	(void)state;
	cut_off_make();
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		bend(bends[i].sql);
		check_says(bends[i].says);
		bend(bends[i].back);
	}
	assert_int_equal(list_count("{\"op\":\"ledger_check\"}"), 1);
	assert_int_equal(answer_int("{\"op\":\"tenant_show\",\"name\":\"a\"}", "held_nano"), 0);
}

static void more_than_an_account_holds_is_an_amount_too_large_and_no_overload(void **state)
{
	static const char most[] =
		"{\"op\":\"tenant_topup\",\"name\":\"a\",\"amount_nano\":999999999999999999}";
	static const char *const beyond[] = {most,
		"{\"op\":\"tenant_create\",\"name\":\"b\",\"balance_nano\":999999999999999999}"};

	(void)state;
	answer_int("{\"op\":\"tenant_create\",\"name\":\"a\"}", "balance_nano");
	for (int64_t i = 1; i <= 9; i++)
		assert_int_equal(answer_int(most, "balance_nano"), i * 999999999999999999);
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		struct err_info info = {0};
		json_t *reply;

		assert_int_equal(verb(beyond[i], &reply, &info), ERR_INPUT);
		assert_non_null(strstr(info.text, "would exceed what an account can hold"));
	}
	assert_int_equal(list_count("{\"op\":\"tenant_list\"}"), 2);
}

static void on_signal(int number)
{
	(void)number;
}

/* In a process of its own: holds the folder, and answers one command after it has interrupted who
 * waits for it many times. */
static void server_play(int ready_fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"id\":41}";
	struct err_info info = {0};
	struct home home;
	char bytes[4096];
	int listener, probe, fd;

	if (home_open(&home, scratch, &info) || home_lock(&home, "a test", &info) ||
		home_socket_bind(&home, &listener, &info) || listen(listener, 4) ||
		write(ready_fd, "x", 1) != 1)
		_exit(1);
	probe = accept(listener, NULL, NULL);  /* whether anybody listens */
	fd = accept(listener, NULL, NULL);
	if (probe < 0 || fd < 0 || recv(fd, bytes, sizeof(bytes), 0) <= 0)
		_exit(1);
	for (int i = 0; i < 2000; i++)
		kill(getppid(), SIGUSR1);
	_exit(send(fd, answer, sizeof(answer) - 1, 0) != sizeof(answer) - 1);
}

static void a_signal_does_not_interrupt_a_verb(void **state)
{
	const struct sigaction interrupts = {.sa_handler = on_signal};
	int ready[2], status;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(sigaction(SIGUSR1, &interrupts, NULL), 0);
	const pid_t server = fork();
	if (server == 0)
		server_play(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(answer_int("{\"op\":\"key_revoke\",\"id\":41}", "id"), 41);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
}

static void wrong_commands_are_refused_and_change_nothing(void **state)
{
	(void)state;
	refused("{\"op\":\"tenant_create\",\"name\":\"A B\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":-1}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":1e30}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"local\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_show\",\"name\":\"nobody\"}", ERR_NOT_FOUND);
	refused("{\"op\":\"tenant_topup\",\"name\":\"local\"}", ERR_INPUT);
	refused("{\"op\":\"key_create\",\"tenant\":\"nobody\"}", ERR_NOT_FOUND);
	refused("{\"op\":\"key_revoke\",\"id\":9}", ERR_NOT_FOUND);
	refused("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":1}", ERR_INPUT);
	refused("{\"op\":\"price_set\",\"model\":\"\",\"input_nano\":1,\"output_nano\":1}",
		ERR_INPUT);
	refused("{\"op\":\"dance\"}", ERR_INPUT);
	refused("{}", ERR_INPUT);
	assert_int_equal(list_count("{\"op\":\"tenant_list\"}"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_last_from_one_verb_to_the_next,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(
			a_list_that_found_no_memory_does_not_end_as_if_whole,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(
			after_a_crash_the_check_names_what_keeps_the_core_from_starting,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(
			more_than_an_account_holds_is_an_amount_too_large_and_no_overload,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(a_signal_does_not_interrupt_a_verb,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(wrong_commands_are_refused_and_change_nothing,
			scratch_open, scratch_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
