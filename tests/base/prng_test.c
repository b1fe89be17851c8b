/* tests/base/prng_test.c - the published sequences, no bias, and secrets from the system. */
#include "unit.h"

#include <string.h>

#include "base/prng.h"

static void the_stream_is_xoshiro256plusplus(void **state)
{
	/* From state 1, 2, 3, 4, as other implementations of the algorithm test it. */
	static const uint64_t expected[] = {41943041, 58720359, 3588806011781223, 3591011842654386,
		9228616714210784205ULL, 9973669472204895162ULL, 14011001112246962877ULL,
		12406186145184390807ULL,
		15849039046786891736ULL, 10450023813501588000ULL};
	struct prng p = {{1, 2, 3, 4}};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(prng_next(&p), expected[i]);
}

static void the_seed_is_spread_by_splitmix64(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 1234567);
	assert_int_equal(p.state[0], 6457827717110365317ULL);
	assert_int_equal(p.state[1], 3203168211198807973ULL);
	assert_int_equal(p.state[2], 9817491932198370423ULL);
	assert_int_equal(p.state[3], 4593380528125082431ULL);
}

static void below_is_even_also_for_bounds_that_do_not_divide(void **state)
{
	uint32_t counts[7] = {0};
	struct prng p;

	(void)state;
	prng_init(&p, 3);
	for (int i = 0; i < 70000; i++)
		counts[prng_below(&p, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(counts[i], 9600, 10400);
	for (int i = 0; i < 1000; i++)
		assert_true(prng_below(&p, (1ULL << 63) + 1) <= 1ULL << 63);
	assert_int_equal(prng_below(&p, 1), 0);
}

static void unit_stays_below_one_with_a_mean_of_one_half(void **state)
{
	struct prng p;
	double sum = 0.0;

	(void)state;
	prng_init(&p, 4);
	for (int i = 0; i < 100000; i++) {
		const double u = prng_unit(&p);

		assert_true(u >= 0.0 && u < 1.0);
		sum += u;
	}
	assert_true(sum > 49500.0 && sum < 50500.0);
}

static void the_number_at_a_place_never_moves_and_neighbours_differ(void **state)
{
	(void)state;
	assert_int_equal(prng_hash(0, 0), 0xA706DD2F4D197E6FULL);
	assert_int_equal(prng_hash(42, 1000), 0xB1FC8C824D524899ULL);
	for (uint64_t i = 0; i < 64; i++) {
		assert_in_range(__builtin_popcountll(prng_hash(i, 0) ^ prng_hash(i + 1, 0)), 12,
			52);
		assert_in_range(__builtin_popcountll(prng_hash(0, i) ^ prng_hash(0, i + 1)), 12,
			52);
		assert_int_not_equal(prng_hash(i, i + 1), prng_hash(i + 1, i));
	}
}

static void system_bytes_fill_all_and_differ(void **state)
{
	uint8_t first[1000] = {0};
	uint8_t second[1000] = {0};
	uint32_t zeros = 0;

	(void)state;
	prng_system(first, sizeof(first));
	prng_system(second, sizeof(second));
	assert_memory_not_equal(first, second, sizeof(first));
	for (size_t i = 0; i < sizeof(first); i++)
		zeros += first[i] == 0;
	assert_in_range(zeros, 0, 50);
	prng_system(first, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stream_is_xoshiro256plusplus),
		cmocka_unit_test(the_seed_is_spread_by_splitmix64),
		cmocka_unit_test(below_is_even_also_for_bounds_that_do_not_divide),
		cmocka_unit_test(unit_stays_below_one_with_a_mean_of_one_half),
		cmocka_unit_test(the_number_at_a_place_never_moves_and_neighbours_differ),
		cmocka_unit_test(system_bytes_fill_all_and_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
