/* tests/base/buf_test.c - a buffer grows to its limit, remembers that it failed, and is always
 * terminated. */
#include "unit.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void appends_of_every_kind_join_up(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_add(&b, "ab", 2);
	buf_add_char(&b, '-');
	buf_add_str(&b, "cd");
	buf_printf(&b, " %d:%s", 42, "x");
	assert_false(b.failed);
	assert_string_equal(b.data, "ab-cd 42:x");
	assert_int_equal(b.size, 10);
	buf_free(&b);
	assert_null(b.data);
}

static void it_holds_exactly_its_limit(void **state)
{
	struct buf b;

	(void)state;
	for (size_t limit = 0; limit < 200; limit++) {
		buf_init(&b, limit);
		for (size_t i = 0; i < limit; i++)
			buf_add_char(&b, 'x');
		assert_false(b.failed);
		assert_int_equal(b.size, limit);
		buf_add_char(&b, 'y');
		assert_true(b.failed);
		assert_int_equal(b.size, limit);
		buf_free(&b);
	}
}

static void after_a_failure_nothing_is_added_until_it_is_cleared(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	buf_add_str(&b, "abc");
	buf_printf(&b, "%d", 100);
	assert_true(b.failed);
	buf_add_char(&b, 'd');
	assert_string_equal(b.data, "abc");
	buf_clear(&b);
	assert_false(b.failed);
	assert_string_equal(b.data, "");
	buf_add_str(&b, "wxyz");
	assert_string_equal(b.data, "wxyz");
	buf_free(&b);
}

static void an_empty_heap_is_a_failure_like_the_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	mem_fail_after(1, 0);
	buf_add_str(&b, "abc");
	assert_true(b.failed);
	assert_null(b.data);
	buf_clear(&b);
	buf_add_str(&b, "abc");
	assert_string_equal(b.data, "abc");
	buf_free(&b);
}

static void consume_drops_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_consume(&b, 0);
	buf_add_str(&b, "hello");
	buf_consume(&b, 2);
	assert_string_equal(b.data, "llo");
	buf_consume(&b, 3);
	assert_int_equal(b.size, 0);
	assert_string_equal(b.data, "");
	buf_free(&b);
}

static void zero_bytes_count_like_others(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_add(&b, "a\0b", 3);
	buf_add(&b, NULL, 0);
	assert_int_equal(b.size, 3);
	assert_memory_equal(b.data, "a\0b", 4);
	buf_free(&b);
}

static void what_is_empty_gives_back_what_it_grew_to(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_add(&b, (char[500]){0}, 500);
	buf_shrink(&b, 100);
	assert_int_equal(b.size, 500);
	buf_clear(&b);
	buf_shrink(&b, b.capacity);
	assert_non_null(b.data);
	buf_shrink(&b, 100);
	assert_null(b.data);
	assert_int_equal(b.size_max, 1000);
	buf_add_str(&b, "abc");
	assert_string_equal(b.data, "abc");
	buf_free(&b);
}

static void what_is_wiped_is_nowhere_in_its_memory(void **state)
{
	static const char zeros[64];
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_true(buf_reserve(&b, 60));
	const char *before = b.data;
	buf_add_str(&b, "a secret, and what stood behind it");
	buf_consume(&b, 10);
	buf_wipe(&b);
	assert_ptr_equal(b.data, before);
	assert_memory_equal(b.data, zeros, b.capacity < 64 ? b.capacity : 64);
	assert_int_equal(b.size, 0);
	buf_free(&b);
	buf_wipe(&b);
	assert_null(b.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_of_every_kind_join_up),
		cmocka_unit_test(it_holds_exactly_its_limit),
		cmocka_unit_test(after_a_failure_nothing_is_added_until_it_is_cleared),
		cmocka_unit_test(an_empty_heap_is_a_failure_like_the_limit),
		cmocka_unit_test(consume_drops_the_front),
		cmocka_unit_test(zero_bytes_count_like_others),
		cmocka_unit_test(what_is_empty_gives_back_what_it_grew_to),
		cmocka_unit_test(what_is_wiped_is_nowhere_in_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
