/* tests/cmd/options_test.c - one table is filled by config file, environment and flags;
 * the later one wins. */
#include "cmd/options.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/amount.h"

struct settings {
	const char *config, *host;
	int64_t port;
	double heat;
	bool think, color;
	struct option_list stops;
};

static enum options_result parse(struct settings *s, char **argv, const char **positionals,
	uint32_t *count)
{
	const struct option_row rows[] = {
		{"config", 0, OPTION_STRING, &s->config, 0, 0, "F", "file"},
		{"host", 'H', OPTION_STRING, &s->host, 0, 0, "A", "address"},
		{"port listen-port", 'p', OPTION_INT, &s->port, 0, 65535, "N", "port"},
		{"heat", 0, OPTION_NUMBER, &s->heat, 0, 2, "X", "heat"},
		{"think", 0, OPTION_FLAG, &s->think, 0, 0, NULL, "think"},
		{"no-color", 0, OPTION_NO_FLAG, &s->color, 0, 0, NULL, "plain"},
		{"stop", 0, OPTION_LIST, &s->stops, 0, 0, "T", "stop"},
	};
	const struct options o = {"test", "[A] [B]", "A test.", rows, sizeof(rows) / sizeof(*rows),
		2};
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(&o, argc, argv, positionals, count);
}

static int quiet(void **state)
{
	(void)state;
	return freopen("/dev/null", "w", stderr) ? 0 : -1;   /* wrong usage is said there */
}

static void flags_and_arguments_may_stand_in_any_order(void **state)
{
	char *argv[] = {"test", "a", "--port", "80", "-H", "::1", "b", "--think", "--no-color",
		"--stop", "x", "--stop", "y", NULL};
	struct settings s = {.color = true};
	const char *positionals[2];
	uint32_t count;

	(void)state;
	assert_int_equal(parse(&s, argv, positionals, &count), OPTIONS_OK);
	assert_int_equal(count, 2);
	assert_string_equal(positionals[0], "a");
	assert_string_equal(positionals[1], "b");
	assert_int_equal(s.port, 80);
	assert_string_equal(s.host, "::1");
	assert_true(s.think);
	assert_false(s.color);
	assert_int_equal(s.stops.count, 2);
}

/* Writes text into a new file under /tmp. */
static void file_make(char *path, const char *text)
{
	const int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void the_flag_wins_over_the_environment_and_that_over_the_file(void **state)
{
	char path[] = "/tmp/tongyun-options-XXXXXX";
	char *argv[] = {"test", "--config", path, "--listen-port", "3", NULL};
	struct settings s = {0};
	const char *positionals[2];
	uint32_t count;

	(void)state;
	file_make(path, "host: from-file\nport: 1\nheat: 0.5\nstop: [a, b]\n");
	setenv("TONGYUN_HOST", "from-environment", 1);
	setenv("TONGYUN_PORT", "2", 1);
	assert_int_equal(parse(&s, argv, positionals, &count), OPTIONS_OK);
	assert_int_equal(s.port, 3);
	assert_string_equal(s.host, "from-environment");
	assert_true(s.heat > 0.49 && s.heat < 0.51);
	assert_int_equal(s.stops.count, 2);
	unsetenv("TONGYUN_HOST");
	unsetenv("TONGYUN_PORT");
	unlink(path);
}

static void values_of_one_source_add_up_and_those_of_a_later_one_replace_them(void **state)
{
	char path[] = "/tmp/tongyun-options-XXXXXX";
	char *file_only[] = {"test", "--config", path, NULL};
	char *flags[] = {"test", "--config", path, "--stop", "x", "--stop", "y", "--stop", "z",
		NULL};
	struct settings s = {0};
	const char *positionals[2];
	uint32_t count;

	(void)state;
	file_make(path, "stop: [a, b]\n");
	assert_int_equal(parse(&s, file_only, positionals, &count), OPTIONS_OK);
	assert_int_equal(s.stops.count, 2);
	setenv("TONGYUN_STOP", "e", 1);
	s = (struct settings){0};
	assert_int_equal(parse(&s, file_only, positionals, &count), OPTIONS_OK);
	assert_int_equal(s.stops.count, 1);
	assert_string_equal(s.stops.values[0], "e");
	s = (struct settings){0};
	assert_int_equal(parse(&s, flags, positionals, &count), OPTIONS_OK);
	assert_int_equal(s.stops.count, 3);
	assert_string_equal(s.stops.values[0], "x");
	assert_string_equal(s.stops.values[2], "z");
	unsetenv("TONGYUN_STOP");
	unlink(path);
}

static void a_list_has_an_end(void **state)
{
	char *argv[2 * (OPTIONS_LIST_MAX + 1) + 2] = {"test"};
	struct settings s = {0};
	const char *positionals[2];
	uint32_t count;

	(void)state;
	for (int i = 0; i < 2 * OPTIONS_LIST_MAX; i++)
		argv[1 + i] = i % 2 ? "x" : "--stop";
	assert_int_equal(parse(&s, argv, positionals, &count), OPTIONS_OK);
	assert_int_equal(s.stops.count, OPTIONS_LIST_MAX);
	argv[2 * OPTIONS_LIST_MAX + 1] = "--stop";
	argv[2 * OPTIONS_LIST_MAX + 2] = "x";
	s = (struct settings){0};
	assert_int_equal(parse(&s, argv, positionals, &count), OPTIONS_WRONG);
}

static void who_said_a_setting_can_be_asked(void **state)
{
	bool think = false;
	const char *host = NULL, *port = NULL;
	const struct option_row rows[] = {
		{"host", 0, OPTION_STRING, &host, 0, 0, "A", "address"},
		{"port", 0, OPTION_STRING, &port, 0, 0, "N", "port"},
		{"think", 0, OPTION_FLAG, &think, 0, 0, NULL, "think"},
		{"no-think", 0, OPTION_NO_FLAG, &think, 0, 0, NULL, "do not"},
	};
	const struct options o = {"test", "", "A test.", rows, 4, 0};
	char *argv[] = {"test", "--no-think", NULL};
	uint32_t count;

	(void)state;
	setenv("TONGYUN_HOST", "here", 1);
	setenv("TONGYUN_THINK", "1", 1);
	assert_int_equal(options_parse(&o, 2, argv, NULL, &count), OPTIONS_OK);
	assert_int_equal(options_source(&host), OPTION_ENVIRONMENT);
	assert_int_equal(options_source(&port), OPTION_UNSAID);
	assert_int_equal(options_source(&think), OPTION_FLAGS);
	assert_false(think);
	unsetenv("TONGYUN_HOST");
	unsetenv("TONGYUN_THINK");
}

static void wrong_usage_is_told_from_help(void **state)
{
	char *wrong[][5] = {
		{"test", "--port", "70000", NULL}, {"test", "--port", "8x", NULL},
		{"test", "--heat", "nan", NULL},
		{"test", "--unknown", NULL}, {"test", "a", "b", "c", NULL},
		{"test", "--port", NULL},
		{"test", "--config", "/nonexistent", NULL}};
	struct settings s = {0};
	const char *positionals[2];
	uint32_t count;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(parse(&s, wrong[i], positionals, &count), OPTIONS_WRONG);
}

static void amounts_are_exact_to_nine_decimals(void **state)
{
	static const struct { const char *text; int64_t nano; } good[] = {
		{"0", 0}, {"10.00", 10000000000}, {"0.000000001", 1},
		{"999999999.999999999", 999999999999999999},
		{"2.5", 2500000000}};
	static const char *const bad[] = {"", "-1", "1.", ".5", "1e3", "1000000000", "0.0000000001",
		"1,5", " 1", "1 "};
	char text[AMOUNT_BYTES];
	int64_t nano;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(amount_parse(good[i].text, &nano));
		assert_true(nano == good[i].nano);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(amount_parse(bad[i], &nano));
	amount_format(text, -1);
	assert_string_equal(text, "-0.000000001");
	amount_format(text, INT64_MIN);
	assert_string_equal(text, "-9223372036.854775808");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_arguments_may_stand_in_any_order),
		cmocka_unit_test(the_flag_wins_over_the_environment_and_that_over_the_file),
		cmocka_unit_test(values_of_one_source_add_up_and_those_of_a_later_one_replace_them),
		cmocka_unit_test(a_list_has_an_end),
		cmocka_unit_test(who_said_a_setting_can_be_asked),
		cmocka_unit_test(wrong_usage_is_told_from_help),
		cmocka_unit_test(amounts_are_exact_to_nine_decimals),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
