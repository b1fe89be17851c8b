/* tests/cmd/fleet_test.c - a seed that fails says how to see it again, however it fails.
 *
 * The verb stands here on the pure code with planted mistakes (engine/plant.h); each run is a
 * child, since an assertion ends the process.
 */
#include "unit.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "engine/plant.h"

#define SAID_BYTES  65536
#define WORDS_MAX   16
#define AGAIN       "again with: tongyun "

enum plant plant_bug = PLANT_NOTHING;

/* What a child printed, on stdout and stderr, and how it ended. */
struct said {
	int status;
	char text[SAID_BYTES];
};

/* Runs "fleet simulate ..." with a mistake planted; words are separated by one blank. */
static void run(struct said *said, enum plant bug, const char *command)
{
	char line[256];
	char *argv[WORDS_MAX];
	char *rest = NULL;
	int argc = 0;
	int ends[2];
	size_t size = 0;
	ssize_t got;

	assert_true(snprintf(line, sizeof(line), "%s", command) < (int)sizeof(line));
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		plant_bug = bug;
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		const int code = cmd_fleet(argc, argv);

		fflush(stdout);
		_exit(code);
	}
	close(ends[1]);
	while (size + 1 < SAID_BYTES &&
		(got = read(ends[0], said->text + size, SAID_BYTES - 1 - size)) > 0)
		size += (size_t)got;
	said->text[size] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &said->status, 0), child);
}

/* Of what was said, the command behind AGAIN. */
static void again_find(char *command, size_t size, const struct said *said)
{
	const char *at = strstr(said->text, AGAIN);

	assert_non_null(at);
	at += strlen(AGAIN);
	assert_true(strcspn(at, "\n") < size);
	snprintf(command, size, "%.*s", (int)strcspn(at, "\n"), at);
}

/* The line of the failing seed: "FAILED after event ...: what". */
static void failure_find(char *line, size_t size, const struct said *said)
{
	const char *at = strstr(said->text, "FAILED after event ");

	assert_non_null(at);
	snprintf(line, size, "%.*s", (int)strcspn(at, "\n"), at);
}

static struct said first;
static struct said second;

static void a_seed_that_a_check_fails_prints_the_command_that_fails_it_again(void **state)
{
	char command[256];
	char failure[256];
	char failure_again[256];

	(void)state;
	run(&first, PLANT_CANCEL_CHARGED,
		"fleet simulate --seed 1 --seeds 40 --events 2000 --replay");
	assert_true(WIFEXITED(first.status) && WEXITSTATUS(first.status) == CMD_FAILED);
	again_find(command, sizeof(command), &first);
	assert_non_null(strstr(command, " --events 2000 --replay"));
	failure_find(failure, sizeof(failure), &first);

	run(&second, PLANT_CANCEL_CHARGED, command);
	assert_true(WIFEXITED(second.status) && WEXITSTATUS(second.status) == CMD_FAILED);
	failure_find(failure_again, sizeof(failure_again), &second);
	assert_string_equal(failure, failure_again);
	assert_null(strstr(strstr(second.text, AGAIN) + 1, AGAIN));
}

static void a_seed_that_an_assertion_stops_prints_it_too(void **state)
{
	char command[256];

	(void)state;
	run(&first, PLANT_CHARGED_BEYOND_HOLD, "fleet simulate --seeds 300 --events 3000");
	assert_true(WIFSIGNALED(first.status) && WTERMSIG(first.status) == SIGABRT);
	again_find(command, sizeof(command), &first);
	assert_non_null(strstr(command, " --events 3000"));

	run(&second, PLANT_CHARGED_BEYOND_HOLD, command);
	assert_true(WIFSIGNALED(second.status) && WTERMSIG(second.status) == SIGABRT);
	assert_string_equal(strstr(second.text, AGAIN), strstr(first.text, AGAIN));
}

static void nothing_is_said_of_a_seed_that_holds(void **state)
{
	(void)state;
	run(&first, PLANT_NOTHING, "fleet simulate --seed 3 --events 1000");
	assert_true(WIFEXITED(first.status) && WEXITSTATUS(first.status) == CMD_DONE);
	assert_null(strstr(first.text, AGAIN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_that_a_check_fails_prints_the_command_that_fails_it_again),
		cmocka_unit_test(a_seed_that_an_assertion_stops_prints_it_too),
		cmocka_unit_test(nothing_is_said_of_a_seed_that_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
