/* tests/base/mem_test.c - the heap zeroes, aligns, refuses what cannot be, and fails when a test
 * says so. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"

static void assert_zero(const uint8_t *block, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(block[i], 0);
}

static void blocks_come_zeroed(void **state)
{
	(void)state;
	for (int round = 0; round < 8; round++) {
		uint8_t *block = mem_alloc(100, 3);

		assert_non_null(block);
		assert_zero(block, 300);
		memset(block, 0xAB, 300);
		mem_free(block);
	}
}

static void aligned_blocks_are_aligned_and_zeroed_also_when_the_memory_was_used(void **state)
{
	static const size_t sizes[] = {
		1, 63, 4096, 100000, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (5 << 20) + 12345};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int round = 0; round < 3; round++) {
			uint8_t *block = mem_alloc_aligned(sizes[i], 1, 64);

			assert_non_null(block);
			assert_int_equal((uintptr_t)block % 64, 0);
			for (size_t at = 0; at < sizes[i]; at += at + 997 < sizes[i] ? 997 : 1)
				assert_int_equal(block[at], 0);
			memset(block, 0xAB, sizes[i]);
			mem_free(block);
		}
	}
}

static void a_product_that_overflows_is_refused(void **state)
{
	uint8_t *block = mem_alloc(1, 8);

	(void)state;
	assert_null(mem_alloc(SIZE_MAX / 2, 3));
	assert_null(mem_alloc_aligned(SIZE_MAX / 2, 3, 64));
	assert_null(mem_resize(block, SIZE_MAX / 2, 3));
	mem_free(block);
}

static void resize_keeps_what_was_there(void **state)
{
	char *block = mem_alloc(4, 1);

	(void)state;
	memcpy(block, "abc", 4);
	block = mem_resize(block, 1000, 10);
	assert_string_equal(block, "abc");
	mem_free(block);
}

static void exactly_the_nth_allocation_fails(void **state)
{
	(void)state;
	mem_fail_after(3, 0);
	void *first = mem_alloc(1, 1);
	void *second = mem_alloc_aligned(1, 1, 16);
	assert_non_null(first);
	assert_non_null(second);
	assert_null(mem_resize(first, 2, 1));
	void *fourth = mem_alloc(1, 1);
	assert_non_null(fourth);
	mem_free(first);
	mem_free(second);
	mem_free(fourth);
}

static void a_sticky_failure_lasts_until_it_is_turned_off(void **state)
{
	(void)state;
	mem_fail_after(1, 1);
	for (int i = 0; i < 5; i++)
		assert_null(mem_alloc(1, 1));
	mem_fail_after(0, 0);
	void *block = mem_alloc(1, 1);
	assert_non_null(block);
	mem_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_zeroed),
		cmocka_unit_test(
			aligned_blocks_are_aligned_and_zeroed_also_when_the_memory_was_used),
		cmocka_unit_test(a_product_that_overflows_is_refused),
		cmocka_unit_test(resize_keeps_what_was_there),
		cmocka_unit_test(exactly_the_nth_allocation_fails),
		cmocka_unit_test(a_sticky_failure_lasts_until_it_is_turned_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
