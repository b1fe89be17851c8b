/* tests/chip/format_test.c - what the bytes of every weight format stand for, and how many there
 * are. */
#include "unit.h"

#include "base/math.h"
#include "chip/format.h"
#include "test_data.h"

#define COLUMNS_MAX 1024

static uint32_t u32_at(const char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static enum chip_type type_of(const char *upper)
{
	char name[9] = {0};

	for (size_t i = 0; i < 8 && upper[i]; i++)
		name[i] = upper[i] >= 'A' && upper[i] <= 'Z' ? (char)(upper[i] + 32) : upper[i];
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (strcmp(chip_type_name(type), name) == 0)
			return type;
	fail_msg("no type %s", name);
	return CHIP_TYPES;
}

/* Each entry of the file once more from an odd address, and block by block. */
static void check_entry(enum chip_type type, const char *bytes, uint32_t size, const char *floats,
	uint32_t count)
{
	const uint32_t values = chip_type_block_values(type), block = chip_type_block_bytes(type);
	float out[COLUMNS_MAX];
	char *odd = malloc(size + 1);

	assert_true(count <= COLUMNS_MAX);
	assert_non_null(odd);
	assert_int_equal(chip_row_bytes(type, 0, count), size);
	memcpy(odd + 1, bytes, size);
	chip_row_to_f32(type, 0, odd + 1, count, out);
	for (uint32_t i = 0; i < count; i++)
		if (math_f32_bits(out[i]) != u32_at(floats + 4 * (size_t)i))
			fail_msg("%s: value %u is %a", chip_type_name(type), i, (double)out[i]);
	for (uint32_t i = 0; i < count / values; i++) {
		chip_row_to_f32(type, 0, bytes + (size_t)i * block, values, out);
		assert_memory_equal(out, floats + 4 * (size_t)i * values, 4 * (size_t)values);
	}
	free(odd);
}

static void every_gguf_type_gives_the_bits_that_the_gguf_package_gives(void **state)
{
	struct buf file = test_read("data/format_rows.bin");
	uint32_t seen = 0;

	(void)state;
	for (size_t at = 0; at < file.size;) {
		const char *head = file.data + at;
		const uint32_t count = u32_at(head + 8), size = u32_at(head + 12);

		check_entry(type_of(head), head + 16, size, head + 16 + size, count);
		at += 16 + size + 4 * (size_t)count;
		seen++;
	}
	assert_int_equal(seen, CHIP_F8_E4M3 - CHIP_F16);
	buf_free(&file);
}

/* By the definition: bias 7, no infinities, one NaN of each sign. */
static double e4m3(unsigned code)
{
	const unsigned exponent = code >> 3 & 15, mantissa = code & 7;
	double value = exponent ? 1 + mantissa / 8.0 : mantissa / 8.0;

	for (int i = exponent ? (int)exponent : 1; i < 7; i++)
		value /= 2;
	for (int i = 7; i < (int)exponent; i++)
		value *= 2;
	return code & 0x80 ? -value : value;
}

static void f8_e4m3_has_256_codes_and_a_scale_for_each_group(void **state)
{
	const float scales[] = {0.375F, -1e-3F};
	uint8_t row[2 * (4 + 200)];
	float out[256];

	(void)state;
	assert_int_equal(chip_row_bytes(CHIP_F8_E4M3, 200, 256), 256 + 8);
	for (unsigned code = 0; code < 256; code++)
		row[4 + code + (code >= 200 ? 4 : 0)] = (uint8_t)code;
	memcpy(row, &scales[0], 4);
	memcpy(row + 204, &scales[1], 4);
	chip_row_to_f32(CHIP_F8_E4M3, 200, row, 256, out);
	for (unsigned code = 0; code < 256; code++) {
		const float scale = scales[code >= 200];

		if ((code & 0x7F) == 0x7F)
			assert_true(out[code] != out[code]);
		else
			assert_true(out[code] == scale * (float)e4m3(code));
	}
	assert_true(e4m3(0x7E) == 448 && e4m3(0x01) == 0x1p-9);
}

/* f16 0x3800 and bf16 0x3F00 are one half. */
static void int8_takes_its_zero_off_and_has_either_half_as_scale(void **state)
{
	const uint8_t row[] = {0x00, 0x38, 128, 0, 0, 128, 255, 0x00, 0x3F, 7, 1, 7, 9};
	const float expected[] = {-64, 0, 63.5F, 0, 1};
	float out[5];

	(void)state;
	assert_int_equal(chip_row_bytes(CHIP_INT8, 3, 5), sizeof(row));
	chip_row_to_f32(CHIP_INT8, 3, row, 5, out);
	assert_memory_equal(out, expected, sizeof(expected));
}

/* Groups of 4 and one of 3: the low half first, a zero of 16 as GPTQ may have it. */
static void int4_has_even_values_low_and_may_end_in_the_middle_of_a_byte(void **state)
{
	const uint8_t row[] = {0x00, 0x3C, 8, 0, 0x10, 0xF8, 0x80, 0xBF, 16, 1, 0x0F, 0x0C};
	const float expected[] = {-8, -7, 0, 7, 1, 16, 4};
	float out[7];

	(void)state;
	assert_int_equal(chip_row_bytes(CHIP_INT4, 4, 7), sizeof(row));
	chip_row_to_f32(CHIP_INT4, 4, row, 7, out);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void rows_fit_when_they_fill_blocks_or_have_groups(void **state)
{
	(void)state;
	assert_true(chip_row_fits(CHIP_F16, 0, 7));
	assert_true(chip_row_fits(CHIP_Q4_K, 0, 512));
	assert_false(chip_row_fits(CHIP_Q4_K, 0, 288));
	assert_false(chip_row_fits(CHIP_Q4_0, 32, 64));
	assert_false(chip_row_fits(CHIP_INT8, 0, 64));
	assert_true(chip_row_fits(CHIP_INT8, 3, 64));
	assert_false(chip_row_fits(CHIP_INT4, 3, 64));
	assert_true(chip_row_fits(CHIP_INT4, 65, 65));
	assert_int_equal(chip_row_bytes(CHIP_INT4, 65, 65), 4 + 33);
	assert_int_equal(chip_row_bytes(CHIP_INT4, 128, 64), 4 + 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_gguf_type_gives_the_bits_that_the_gguf_package_gives),
		cmocka_unit_test(f8_e4m3_has_256_codes_and_a_scale_for_each_group),
		cmocka_unit_test(int8_takes_its_zero_off_and_has_either_half_as_scale),
		cmocka_unit_test(int4_has_even_values_low_and_may_end_in_the_middle_of_a_byte),
		cmocka_unit_test(rows_fit_when_they_fill_blocks_or_have_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
