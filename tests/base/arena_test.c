/* tests/base/arena_test.c - an arena zeroes, aligns, keeps its limit, and gives everything back at
 * once. */
#include "unit.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"

#define CHUNK 4096

static void allocations_are_zeroed_aligned_and_apart(void **state)
{
	struct arena a;
	uint8_t *before = NULL;

	(void)state;
	arena_init(&a, CHUNK, 1 << 20);
	for (size_t size = 1; size < 600; size += 7) {
		uint8_t *block = arena_alloc(&a, size);

		assert_non_null(block);
		assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(block[i], 0);
		memset(block, 0xAB, size);
		assert_ptr_not_equal(block, before);
		before = block;
	}
	arena_reset(&a);
	assert_int_equal(a.used_bytes, 0);
}

static void the_limit_is_an_answer_and_reset_gives_it_all_back(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK, 3 * CHUNK);
	for (int round = 0; round < 3; round++) {
		size_t count = 0;

		while (arena_alloc(&a, 1000))
			count++;
		assert_true(a.used_bytes <= 3 * CHUNK);
		assert_true(count >= 9 && count <= 12);
		arena_reset(&a);
	}
}

static void what_is_larger_than_a_chunk_gets_its_own_and_wastes_none(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK, 1 << 20);
	char *small = arena_alloc(&a, 16);
	uint8_t *large = arena_alloc(&a, 10 * CHUNK);
	char *next = arena_alloc(&a, 16);
	assert_non_null(large);
	assert_int_equal(large[10 * CHUNK - 1], 0);
	assert_ptr_equal(next, small + 16);
	arena_reset(&a);
}

static void absurd_sizes_are_refused(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK, SIZE_MAX);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 20));
	assert_null(arena_array(&a, SIZE_MAX / 2, 4));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	assert_non_null(arena_alloc(&a, 0));
	arena_reset(&a);
}

static void strndup_copies_and_terminates(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK, 1 << 20);
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	arena_reset(&a);
}

static void an_empty_heap_is_an_answer_too(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK, 1 << 20);
	mem_fail_after(1, 0);
	assert_null(arena_alloc(&a, 1));
	assert_non_null(arena_alloc(&a, 1));
	arena_reset(&a);
}

static void arenas_share_a_pool_and_return_to_it(void **state)
{
	struct arena_pool *pool = arena_pool_open(4, CHUNK);
	struct arena a;
	struct arena b;

	(void)state;
	arena_init_pooled(&a, pool, 3 * CHUNK);
	arena_init_pooled(&b, pool, 3 * CHUNK);
	assert_null(arena_alloc(&a, CHUNK));  /* the header takes some */
	for (int i = 0; i < 3; i++)
		assert_non_null(arena_alloc(&a, CHUNK / 2));
	assert_null(arena_alloc(&a, CHUNK / 2));  /* its own limit */
	assert_int_equal(arena_pool_free_count(pool), 1);
	assert_non_null(arena_alloc(&b, CHUNK / 2));
	assert_null(arena_alloc(&b, CHUNK / 2));  /* the pool's */
	arena_reset(&a);
	assert_int_equal(arena_pool_free_count(pool), 3);
	assert_non_null(arena_alloc(&b, CHUNK / 2));
	arena_reset(&b);
	assert_int_equal(arena_pool_free_count(pool), 4);
	arena_pool_close(pool);
	arena_pool_close(NULL);
}

static void a_chunk_that_was_used_comes_zeroed(void **state)
{
	struct arena_pool *pool = arena_pool_open(1, CHUNK);
	struct arena a;

	(void)state;
	arena_init_pooled(&a, pool, CHUNK);
	memset(arena_alloc(&a, 2000), 0xAB, 2000);
	arena_reset(&a);
	const uint8_t *again = arena_alloc(&a, 2000);
	for (size_t i = 0; i < 2000; i++)
		assert_int_equal(again[i], 0);
	arena_reset(&a);
	arena_pool_close(pool);
}

static void a_pool_that_cannot_be_had_leaves_nothing(void **state)
{
	(void)state;
	for (int64_t n = 1; n <= 3; n++) {
		mem_fail_after(n, 0);
		assert_null(arena_pool_open(4, CHUNK));
	}
	mem_fail_after(0, 0);
}

static void *take_and_return(void *argument)
{
	struct arena_pool *pool = argument;
	struct arena a;

	arena_init_pooled(&a, pool, 8 * CHUNK);
	for (int round = 0; round < 20000; round++) {
		uint64_t *block = arena_alloc(&a, CHUNK / 2);

		if (block) {  /* ours alone: nobody else may have it */
			assert(*block == 0);
			*block = (uintptr_t)&a;
			assert(*block == (uintptr_t)&a);
		}
		if (round % 3 == 0)
			arena_reset(&a);
	}
	arena_reset(&a);
	return NULL;
}

static void threads_may_share_a_pool(void **state)
{
	struct arena_pool *pool = arena_pool_open(5, CHUNK);
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_return, pool), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(arena_pool_free_count(pool), 5);
	arena_pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
		cmocka_unit_test(the_limit_is_an_answer_and_reset_gives_it_all_back),
		cmocka_unit_test(what_is_larger_than_a_chunk_gets_its_own_and_wastes_none),
		cmocka_unit_test(absurd_sizes_are_refused),
		cmocka_unit_test(strndup_copies_and_terminates),
		cmocka_unit_test(an_empty_heap_is_an_answer_too),
		cmocka_unit_test(arenas_share_a_pool_and_return_to_it),
		cmocka_unit_test(a_chunk_that_was_used_comes_zeroed),
		cmocka_unit_test(a_pool_that_cannot_be_had_leaves_nothing),
		cmocka_unit_test(threads_may_share_a_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
