/* tests/base/hash_test.c - the same value everywhere, every bit of input counts, and small keys do
 * not collide. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static void values_never_change(void **state)
{
	(void)state;
	assert_int_equal(hash_bytes("", 0, 0), 0xB1782801ED704181ULL);
	assert_int_equal(hash_bytes("tongyun", 7, 0), 0x3DF91679CEC67D89ULL);
	assert_int_equal(hash_bytes("0123456789abcdef0123456789abcdef!", 33, 42),
		0x0509FD18BF0CEAFEULL);
	assert_int_equal(hash_mix(hash_mix(0, 1), 2), 0x1668A094DABF1578ULL);
}

static void every_flipped_bit_changes_about_half_of_the_hash(void **state)
{
	static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 32, 33, 100};

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint8_t bytes[100] = {0};
		uint64_t changed = 0;

		const uint64_t base = hash_bytes(bytes, sizes[s], 5);
		for (size_t bit = 0; bit < 8 * sizes[s]; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
			const int flips = __builtin_popcountll(base ^
				hash_bytes(bytes, sizes[s], 5));
			assert_in_range(flips, 10, 54);
			changed += (uint64_t)flips;
			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		const uint64_t mean_tenths = 10 * changed / (8 * sizes[s]);
		assert_in_range(mean_tenths, 280, 360);
	}
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a;
	const uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void assert_distinct(uint64_t *hashes, size_t count)
{
	qsort(hashes, count, sizeof(hashes[0]), compare);
	for (size_t i = 1; i < count; i++)
		assert_int_not_equal(hashes[i - 1], hashes[i]);
}

static void small_numbers_and_all_lengths_of_zeros_do_not_collide(void **state)
{
	static uint64_t hashes[70000];
	static const uint8_t zeros[4000];
	size_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < 65536; i++)
		hashes[count++] = hash_bytes(&i, sizeof(i), 0);
	for (size_t size = 0; size < sizeof(zeros); size++)
		hashes[count++] = hash_bytes(zeros, size, 1);
	assert_distinct(hashes, count);
}

static void order_and_seed_matter(void **state)
{
	(void)state;
	assert_int_not_equal(hash_mix(hash_mix(0, 1), 2), hash_mix(hash_mix(0, 2), 1));
	assert_int_not_equal(hash_mix(0, 0), hash_mix(hash_mix(0, 0), 0));
	assert_int_not_equal(hash_bytes("abc", 3, 0), hash_bytes("abc", 3, 1));
}

static void a_misaligned_start_changes_nothing(void **state)
{
	uint8_t bytes[64 + 8];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		for (size_t i = 0; i < 64; i++)
			bytes[shift + i] = (uint8_t)(i * 37);
		assert_int_equal(hash_bytes(bytes + shift, 64, 9), 0xE2C1AA6F362EA662ULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_never_change),
		cmocka_unit_test(every_flipped_bit_changes_about_half_of_the_hash),
		cmocka_unit_test(small_numbers_and_all_lengths_of_zeros_do_not_collide),
		cmocka_unit_test(order_and_seed_matter),
		cmocka_unit_test(a_misaligned_start_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
