/* tests/model/dtype_test.c - names and sizes of stored formats, and which of the chip's they are.
 */
#include "unit.h"

#include <string.h>

#include "chip/format.h"
#include "model/files/dtype.h"

static void every_chip_type_has_a_layout_that_is_read(void **state)
{
	char names[DTYPE_NAMES_BYTES];

	(void)state;
	dtype_readable_names(names);
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++) {
		const struct dtype *t = dtype_of_chip(type);

		assert_int_equal(t->chip_type, type);
		assert_true(dtype_is_readable(t));
		if (chip_type_is_grouped(type))
			continue;
		assert_non_null(strstr(names, t->name));
		assert_int_equal(t->block_elements, chip_type_block_values(type));
		assert_int_equal(t->block_bytes, chip_type_block_bytes(type));
	}
}

static void a_type_is_known_by_number_and_name_or_not_at_all(void **state)
{
	(void)state;
	assert_string_equal(dtype_from_gguf(0)->name, "F32");
	assert_string_equal(dtype_from_gguf(8)->name, "Q8_0");
	assert_string_equal(dtype_from_gguf(12)->name, "Q4_K");
	assert_true(dtype_is_readable(dtype_from_gguf(12)));
	assert_string_equal(dtype_from_gguf(16)->name, "IQ2_XXS");
	assert_false(dtype_is_readable(dtype_from_gguf(16)));
	assert_string_equal(dtype_from_gguf(30)->name, "BF16");
	assert_null(dtype_from_gguf(4));
	assert_null(dtype_from_gguf(43));
	assert_null(dtype_from_gguf(UINT32_MAX));
	assert_int_equal(dtype_from_safetensors("BF16")->chip_type, CHIP_BF16);
	assert_false(dtype_is_readable(dtype_from_safetensors("F8_E4M3")));
	assert_null(dtype_from_safetensors("Q8_0"));
	assert_null(dtype_from_safetensors(""));
}

static void sizes_count_whole_blocks_and_do_not_overflow(void **state)
{
	size_t bytes = 0;

	(void)state;
	assert_true(dtype_bytes(dtype_of_chip(CHIP_Q8_0), 64, &bytes));
	assert_int_equal(bytes, 68);
	assert_true(dtype_bytes(dtype_of_chip(CHIP_Q4_0), 64, &bytes));
	assert_int_equal(bytes, 36);
	assert_false(dtype_bytes(dtype_of_chip(CHIP_Q4_0), 65, &bytes));
	assert_false(dtype_bytes(dtype_of_chip(CHIP_F32), UINT64_MAX, &bytes));
	assert_false(dtype_bytes(dtype_of_chip(CHIP_F32), UINT64_MAX / 4 + 1, &bytes));
	assert_false(dtype_bytes(dtype_from_gguf(42), 256, &bytes)); /* a layout nobody published */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_chip_type_has_a_layout_that_is_read),
		cmocka_unit_test(a_type_is_known_by_number_and_name_or_not_at_all),
		cmocka_unit_test(sizes_count_whole_blocks_and_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
