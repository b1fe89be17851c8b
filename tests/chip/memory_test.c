/* tests/chip/memory_test.c - what a chip gives out is counted, zeroed and apart, and comes back. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "chip/cpu/cpu.h"

#define LIMIT  ((int64_t)200 << 20)
#define PIECES 40

static struct cpu_chip *open_chip(void)
{
	const struct chip_config config = {.threads = 1, .memory_bytes = LIMIT};
	struct err_info info = {0};
	struct chip *chip;

	assert_int_equal(chip_open(&chip, "cpu", &config, &info), ERR_NONE);
	return (struct cpu_chip *)chip;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Sizes from nothing to more than a slab. */
static int64_t size_of(uint32_t i)
{
	return i == 7 ? (int64_t)70 << 20 : (int64_t)i * i * 1001;
}

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
	struct cpu_chip *chip = open_chip();
	struct err_info info = {0};
	uint8_t *pieces[PIECES];
	int64_t used = 0;

	(void)state;
	for (uint32_t i = 0; i < PIECES; i++) {
		assert_int_equal(cpu_reserve_piece(chip, (void **)&pieces[i], size_of(i), "pieces",
			&info), ERR_NONE);
		assert_int_equal((uintptr_t)pieces[i] % CPU_ALIGN, 0);
		assert_true(is_zero(pieces[i], (size_t)size_of(i)));
		memset(pieces[i], (int)i + 1, (size_t)size_of(i));
		used += size_of(i);
		assert_int_equal(chip_memory_used(&chip->base), used);
	}
	for (uint32_t i = 0; i < PIECES; i++)
		for (int64_t at = 0; at < size_of(i); at += 997)
			assert_int_equal(pieces[i][at], i + 1);
	for (uint32_t i = 0; i < PIECES; i++)
		cpu_release_piece(chip, pieces[(i * 7) % PIECES], size_of((i * 7) % PIECES));
	assert_int_equal(chip_memory_used(&chip->base), 0);
	chip_close(&chip->base);
}

static void memory_that_came_back_is_given_out_zeroed_again(void **state)
{
	struct cpu_chip *chip = open_chip();
	struct err_info info = {0};
	uint8_t *piece;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(cpu_reserve_piece(chip, (void **)&piece, 5000, "a piece", &info),
			ERR_NONE);
		assert_true(is_zero(piece, 5000));
		memset(piece, 0xFF, 5000);
		cpu_release_piece(chip, piece, 5000);
	}
	cpu_release_piece(chip, NULL, 5000);
	chip_close(&chip->base);
}

static void what_is_not_there_is_an_error_and_counts_nothing(void **state)
{
	struct cpu_chip *chip = open_chip();
	struct err_info info = {0};
	void *piece;

	(void)state;
	assert_int_equal(cpu_reserve_piece(chip, &piece, LIMIT + 1, "pieces", &info), ERR_MEMORY);
	assert_string_equal(info.text,
		"pieces take 200 MiB, of 200 MiB for the chip 0 are used");
	for (int64_t n = 1; n <= 2; n++) {
		mem_fail_after(n, 0);
		assert_int_equal(cpu_reserve_piece(chip, &piece, 5000, "pieces", &info),
			ERR_MEMORY);
		assert_null(piece);
		assert_string_equal(info.text, "no memory for pieces (0 MiB)");
		assert_int_equal(chip_memory_used(&chip->base), 0);
	}
	mem_fail_after(0, 0);
	assert_int_equal(cpu_reserve_piece(chip, &piece, LIMIT, "pieces", &info), ERR_NONE);
	cpu_release_piece(chip, piece, LIMIT);
	chip_close(&chip->base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
		cmocka_unit_test(memory_that_came_back_is_given_out_zeroed_again),
		cmocka_unit_test(what_is_not_there_is_an_error_and_counts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
