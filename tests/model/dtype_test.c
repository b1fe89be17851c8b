/* tests/model/dtype_test.c - sizes of stored formats, and what their bytes mean. */
#include "unit.h"

#include <string.h>

#include "base/math.h"
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

/* f16 0x3800 is 0.5; scale, then a ramp of quants. */
static void q8_0_is_scale_times_signed_byte(void **state)
{
	uint8_t row[68] = {0x00, 0x38};
	float out[64];

	(void)state;
	for (int i = 0; i < 32; i++)
		row[2 + i] = (uint8_t)(int8_t)(i * 8 - 128);
	row[34] = 0x00; /* second block: -2 = 0xC000 */
	row[35] = 0xC0;
	memset(row + 36, 1, 32);
	dtype_row_to_f32(CHIP_Q8_0, row, 64, out);
	for (int i = 0; i < 32; i++) {
		assert_true(out[i] == 0.5F * (float)(i * 8 - 128));
		assert_true(out[32 + i] == -2.0F);
	}
}

static void q4_0_puts_low_nibbles_first_and_takes_eight_off(void **state)
{
	uint8_t row[18] = {0x00, 0x3C}; /* scale 1 */
	float out[32];

	(void)state;
	for (int j = 0; j < 16; j++)
		row[2 + j] = (uint8_t)(j | (15 - j) << 4);
	dtype_row_to_f32(CHIP_Q4_0, row, 32, out);
	for (int j = 0; j < 16; j++) {
		assert_true(out[j] == (float)(j - 8));
		assert_true(out[j + 16] == (float)(7 - j));
	}
}

static void halves_of_both_kinds_and_floats_are_exact_at_any_alignment(void **state)
{
	static const float wanted[] = {1.0F, -2.5F, 0.0F, 65504.0F};
	uint8_t bytes[1 + sizeof(wanted)];
	float out[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const uint16_t half = math_f16_from_f32(wanted[i]);

		memcpy(bytes + 1 + 2 * i, &half, 2);
	}
	dtype_row_to_f32(CHIP_F16, bytes + 1, 4, out);
	assert_memory_equal(out, wanted, sizeof(wanted));
	for (size_t i = 0; i < 3; i++) {
		const uint16_t half = math_bf16_from_f32(wanted[i]);

		memcpy(bytes + 1 + 2 * i, &half, 2);
	}
	dtype_row_to_f32(CHIP_BF16, bytes + 1, 3, out);
	assert_memory_equal(out, wanted, 3 * sizeof(float));
	memcpy(bytes + 1, wanted, sizeof(wanted));
	dtype_row_to_f32(CHIP_F32, bytes + 1, 4, out);
	assert_memory_equal(out, wanted, sizeof(wanted));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_chip_type_has_a_layout_that_is_read),
		cmocka_unit_test(a_type_is_known_by_number_and_name_or_not_at_all),
		cmocka_unit_test(sizes_count_whole_blocks_and_do_not_overflow),
		cmocka_unit_test(q8_0_is_scale_times_signed_byte),
		cmocka_unit_test(q4_0_puts_low_nibbles_first_and_takes_eight_off),
		cmocka_unit_test(halves_of_both_kinds_and_floats_are_exact_at_any_alignment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
