/* tests/cloud/bucket_test.c - a limit lets through exactly what it says, at every odd rate. */
#include "unit.h"

#include "cloud/bucket.h"

static void refuses_more_than_it_holds_and_takes_nothing(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 100, 60, 0);
	assert_false(bucket_take(&b, 101, 0));
	assert_true(bucket_take(&b, 100, 0));
	assert_false(bucket_take(&b, 1, 0));
}

static void is_full_again_exactly_when_it_said_at_every_odd_rate(void **state)
{
	(void)state;
	for (int64_t rate = 1; rate < BUCKET_RATE_MAX; rate = rate * 7 + 3) {
		struct bucket b;

		bucket_init(&b, 1000, rate, 0);
		assert_true(bucket_take(&b, 1000, 0));
		const int64_t wait_ns = bucket_wait_ns(&b, 1000, 0);

		assert_false(bucket_take(&b, 1000, wait_ns - 1));
		assert_true(bucket_take(&b, 1000, wait_ns));
	}
}

static void what_is_given_back_beyond_its_capacity_is_lost(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 100, 1, 0);
	assert_true(bucket_take(&b, 30, 0));
	bucket_give(&b, 90);
	assert_true(bucket_take(&b, 100, 0));
	assert_false(bucket_take(&b, 1, 0));
}

static void a_debt_is_paid_before_anything_can_be_taken(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 100, 60, 0);
	bucket_owe(&b, 250, 0);
	assert_int_equal(bucket_wait_ns(&b, 1, 0), 151000000000);
	assert_false(bucket_take(&b, 0, 149999999999));
	assert_true(bucket_take(&b, 0, 150000000000));
	assert_true(bucket_take(&b, 1, 151000000000));
	bucket_owe(&b, 30, 151000000000);
	bucket_give(&b, 30);
	assert_true(bucket_take(&b, 100, 251000000000));
}

static void another_size_forgets_nothing_that_was_used(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 100, 100, 0);
	assert_true(bucket_take(&b, 70, 0));
	bucket_resize(&b, 200, 200, 0);
	assert_true(bucket_take(&b, 130, 0));
	assert_false(bucket_take(&b, 1, 0));
	bucket_resize(&b, 60, 60, 0);
	assert_int_equal(bucket_wait_ns(&b, 1, 0), 1000000000);
	bucket_init(&b, 6000, 6000, 0);
	assert_true(bucket_take(&b, 600, 0));
	bucket_resize(&b, 5, 5, 0);     /* used up, and no more than that */
	assert_int_equal(bucket_wait_ns(&b, 1, 0), 12 * (int64_t)1000000000);
	assert_int_equal(bucket_wait_ns(&b, 5, 0), 60 * (int64_t)1000000000);
	bucket_init(&b, BUCKET_CAPACITY_MAX, 1, 0);
	bucket_owe(&b, BUCKET_DEBT_MAX, 0);
	bucket_owe(&b, BUCKET_DEBT_MAX, 0);
	bucket_owe(&b, BUCKET_DEBT_MAX, 0);
	bucket_resize(&b, 1, 1, 0);
	assert_int_equal(bucket_wait_ns(&b, 0, 0), BUCKET_DEBT_MAX * (int64_t)60000000000);
}

static void the_deepest_debt_does_not_overflow(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, BUCKET_CAPACITY_MAX, BUCKET_RATE_MAX, 0);
	for (int i = 0; i < 5; i++)
		bucket_owe(&b, BUCKET_DEBT_MAX, 0);
	assert_true(bucket_wait_ns(&b, BUCKET_CAPACITY_MAX, 0) == 9000000000);
	assert_false(bucket_take(&b, BUCKET_CAPACITY_MAX, 8999999999));
	assert_true(bucket_take(&b, BUCKET_CAPACITY_MAX, INT64_MAX));
}

static void what_can_never_be_there_is_never_promised(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 100, 60, 0);
	assert_int_equal(bucket_wait_ns(&b, 101, 0), INT64_MAX);
	assert_int_equal(bucket_wait_ns(&b, 100, 0), 0);
}

static void a_pause_of_centuries_does_not_overflow(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, BUCKET_CAPACITY_MAX, BUCKET_RATE_MAX, 0);
	assert_true(bucket_take(&b, BUCKET_CAPACITY_MAX, 0));
	assert_true(bucket_take(&b, BUCKET_CAPACITY_MAX, INT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_more_than_it_holds_and_takes_nothing),
		cmocka_unit_test(is_full_again_exactly_when_it_said_at_every_odd_rate),
		cmocka_unit_test(what_is_given_back_beyond_its_capacity_is_lost),
		cmocka_unit_test(a_debt_is_paid_before_anything_can_be_taken),
		cmocka_unit_test(another_size_forgets_nothing_that_was_used),
		cmocka_unit_test(the_deepest_debt_does_not_overflow),
		cmocka_unit_test(what_can_never_be_there_is_never_promised),
		cmocka_unit_test(a_pause_of_centuries_does_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
