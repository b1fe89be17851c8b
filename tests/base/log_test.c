/* tests/base/log_test.c - one line per event, and nothing from outside can write a second one. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What log calls write while standard error goes to a pipe. */
struct capture {
	int ends[2];
	int saved;
	char text[8192];
};

static void capture_start(struct capture *c)
{
	assert_int_equal(pipe2(c->ends, O_NONBLOCK), 0);
	c->saved = dup(STDERR_FILENO);
	dup2(c->ends[1], STDERR_FILENO);
}

static void capture_end(struct capture *c)
{
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->ends[1]);
	const ssize_t got = read(c->ends[0], c->text, sizeof(c->text) - 1);
	c->text[got > 0 ? got : 0] = '\0';
	close(c->ends[0]);
}

static void a_line_has_time_level_place_and_text(void **state)
{
	struct capture c;

	(void)state;
	log_set_level(LOG_INFO);
	capture_start(&c);
	log_line(LOG_WARN, "base/test", "%d apples", 3);
	capture_end(&c);
	assert_int_equal(c.text[4], '-');
	assert_int_equal(c.text[29], 'Z');
	assert_string_equal(c.text + 30, " warn base/test: 3 apples\n");
}

static void levels_above_the_set_one_are_silent(void **state)
{
	struct capture c;

	(void)state;
	log_set_level(LOG_WARN);
	capture_start(&c);
	log_line(LOG_INFO, "base/test", "unheard");
	log_line(LOG_ERROR, "base/test", "heard");
	capture_end(&c);
	assert_null(strstr(c.text, "unheard\n"));
	assert_non_null(strstr(c.text, "heard\n"));
}

static void the_environment_wins(void **state)
{
	struct capture c;

	(void)state;
	setenv("TONGYUN_LOG", "debug", 1);
	log_set_level(LOG_ERROR);
	unsetenv("TONGYUN_LOG");
	capture_start(&c);
	log_line(LOG_DEBUG, "base/test", "whispered");
	capture_end(&c);
	assert_non_null(strstr(c.text, "debug base/test: whispered\n"));
}

static void text_with_control_bytes_stays_on_its_line(void **state)
{
	struct capture c;

	(void)state;
	log_set_level(LOG_INFO);
	capture_start(&c);
	log_line(LOG_INFO, "base/test", "a\nb\x1b[31m\x7f诗");
	capture_end(&c);
	assert_non_null(strstr(c.text, ": a b [31m 诗\n"));
}

static void an_endless_text_is_one_cut_line(void **state)
{
	struct capture c;
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_set_level(LOG_INFO);
	capture_start(&c);
	log_line(LOG_INFO, "base/test", "%s", text);
	log_line(LOG_INFO, text, "%s", text);
	capture_end(&c);
	const char *first_end = strchr(c.text, '\n');
	assert_non_null(first_end);
	assert_in_range(first_end - c.text, 2000, 2047);
	assert_int_equal(c.text[strlen(c.text) - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_level_place_and_text),
		cmocka_unit_test(levels_above_the_set_one_are_silent),
		cmocka_unit_test(the_environment_wins),
		cmocka_unit_test(text_with_control_bytes_stays_on_its_line),
		cmocka_unit_test(an_endless_text_is_one_cut_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
