/* tests/hub/ranges_test.c - what is there of a file: added in any order, gaps found. */
#include "unit.h"

#include <stdlib.h>

#include "base/prng.h"
#include "hub/ranges.h"

static void parts_that_touch_become_one(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_true(ranges_add(&r, 4, 6));
	assert_true(ranges_add(&r, 0, 2));
	assert_true(ranges_add(&r, 8, 9));
	assert_int_equal(r.count, 3);
	assert_true(ranges_add(&r, 2, 4));
	assert_int_equal(r.count, 2);
	assert_int_equal(r.list[0].to, 6);
	assert_true(ranges_add(&r, 1, 20));
	assert_int_equal(r.count, 1);
	assert_int_equal(ranges_bytes(&r), 20);
	assert_int_equal(ranges_prefix(&r), 20);
}

static void the_first_gap_is_found_and_cut(void **state)
{
	struct ranges r = {0};
	struct range gap;

	(void)state;
	assert_true(ranges_gap(&r, 10, 4, &gap));
	assert_int_equal(gap.from, 0);
	assert_int_equal(gap.to, 4);
	assert_true(ranges_add(&r, 6, 8));
	assert_true(ranges_gap(&r, 10, 100, &gap));
	assert_int_equal(gap.to, 6);
	assert_true(ranges_add(&r, 0, 6));
	assert_true(ranges_gap(&r, 10, 100, &gap));
	assert_int_equal(gap.from, 8);
	assert_int_equal(gap.to, 10);
	assert_true(ranges_add(&r, 8, 10));
	assert_false(ranges_gap(&r, 10, 100, &gap));
	assert_false(ranges_gap(&(struct ranges){0}, 0, 100, &gap));
}

static void too_many_parts_are_an_answer(void **state)
{
	struct ranges r = {0};

	(void)state;
	for (uint64_t i = 0; i < RANGES_MAX; i++)
		assert_true(ranges_add(&r, 2 * i, 2 * i + 1));
	assert_false(ranges_add(&r, 2 * RANGES_MAX, 2 * RANGES_MAX + 1));
	assert_int_equal(ranges_bytes(&r), RANGES_MAX);
	assert_true(ranges_add(&r, 1, 2));   /* joins two */
	assert_true(ranges_add(&r, 2 * RANGES_MAX, 2 * RANGES_MAX + 1));
}

/* Against one flag a byte. */
static void any_order_gives_what_was_added(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 7);
	for (int round = 0; round < 300; round++) {
		struct ranges r = {0};
		uint8_t there[100] = {0};
		struct range gap;

		for (int i = 0; i < 20; i++) {
			const uint64_t from = prng_below(&p, 99);
			const uint64_t to = from + 1 + prng_below(&p, 100 - from);

			assert_true(ranges_add(&r, from, to));
			for (uint64_t at = from; at < to; at++)
				there[at] = 1;
			uint64_t bytes = 0, prefix = 0;

			for (uint64_t at = 0; at < 100; at++)
				bytes += there[at];
			while (prefix < 100 && there[prefix])
				prefix++;
			assert_int_equal(ranges_bytes(&r), bytes);
			assert_int_equal(ranges_prefix(&r), prefix);
			if (!ranges_gap(&r, 100, 100, &gap)) {
				assert_int_equal(bytes, 100);
				continue;
			}
			assert_int_equal(gap.from, prefix);
			for (uint64_t at = gap.from; at < gap.to; at++)
				assert_false(there[at]);
			assert_true(gap.to == 100 || there[gap.to]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_that_touch_become_one),
		cmocka_unit_test(the_first_gap_is_found_and_cut),
		cmocka_unit_test(too_many_parts_are_an_answer),
		cmocka_unit_test(any_order_gives_what_was_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
