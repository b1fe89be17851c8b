/* tests/base/clock_test.c - instants have one spelling, in UTC, to the nanosecond. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"

static void assert_spelled(int64_t wall_ns, const char *expected)
{
	char text[31];

	clock_format(text, wall_ns);
	assert_string_equal(text, expected);
}

static void an_instant_has_one_spelling(void **state)
{
	(void)state;
	assert_spelled(0, "1970-01-01T00:00:00.000000000Z");
	assert_spelled(1795537416123456789, "2026-11-24T16:23:36.123456789Z");
	assert_spelled(951782400000000001, "2000-02-29T00:00:00.000000001Z");
	assert_spelled(-1, "1969-12-31T23:59:59.999999999Z");
	assert_spelled(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
	assert_spelled(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
}

static void monotonic_never_goes_back(void **state)
{
	int64_t before = clock_monotonic_ns();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		const int64_t now = clock_monotonic_ns();

		assert_true(now >= before);
		before = now;
	}
}

static void wall_is_of_this_century(void **state)
{
	(void)state;
	assert_true(clock_wall_ns() > 1700000000000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instant_has_one_spelling),
		cmocka_unit_test(monotonic_never_goes_back),
		cmocka_unit_test(wall_is_of_this_century),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
