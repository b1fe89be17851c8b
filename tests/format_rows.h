/* tests/format_rows.h - rows of the weight formats that no line of C rounds values to: random bytes
 * with scales that make the values as large as wanted. */
#ifndef TESTS_FORMAT_ROWS_H
#define TESTS_FORMAT_ROWS_H

#include <string.h>

#include "base/math.h"
#include "base/prng.h"
#include "chip/format.h"

/* Where halves lie in a block, and what the largest value is times the first of them. */
static inline void format_rows_scale_block(enum chip_type type, uint8_t *block, float largest)
{
	static const struct {
		int at[2];
		float times;
	} scales[CHIP_TYPES] = {
		[CHIP_Q4_1] = {{0, 2}, 16}, [CHIP_Q5_0] = {{0, -1}, 16},
		[CHIP_Q5_1] = {{0, 2}, 32}, [CHIP_Q2_K] = {{80, 82}, 45},
		[CHIP_Q3_K] = {{108, -1}, 128}, [CHIP_Q4_K] = {{0, 2}, 945},
		[CHIP_Q5_K] = {{0, 2}, 1953}, [CHIP_Q6_K] = {{208, -1}, 4096},
		[CHIP_IQ4_NL] = {{0, -1}, 127}, [CHIP_IQ4_XS] = {{0, -1}, 4064},
	};
	const uint16_t half = math_f16_from_f32(largest / scales[type].times);

	if (type == CHIP_MXFP4) {
		block[0] = (uint8_t)(124 + block[0] % 2);   /* 12 steps of 1/16 or 1/8 */
		return;
	}
	memcpy(block + scales[type].at[0], &half, 2);
	if (scales[type].at[1] > 0)
		memcpy(block + scales[type].at[1], &half, 2);
}

static inline void format_rows_scale_group(enum chip_type type, uint8_t *head, float largest)
{
	const float f8 = largest / 448.0F;
	const uint16_t f16 = math_f16_from_f32(largest / (type == CHIP_INT4 ? 16 : 255));

	if (type == CHIP_F8_E4M3) {
		memcpy(head, &f8, 4);
		return;
	}
	memcpy(head, &f16, 2);
	head[2] = type == CHIP_INT4 ? head[2] % 17 : head[2];
	head[3] = 0;
}

/* A row of random bytes of a type with scales, values up to about largest: CHIP_Q4_1 and those
 * after it in enum chip_type. */
static inline void format_rows_random(enum chip_type type, uint32_t group, uint64_t seed,
	float largest, uint32_t columns, uint8_t *out)
{
	const size_t bytes = chip_row_bytes(type, group, columns);
	struct prng p;

	prng_init(&p, seed);
	for (size_t i = 0; i < bytes; i += 8) {
		const uint64_t random = prng_next(&p);

		memcpy(out + i, &random, bytes - i < 8 ? bytes - i : 8);
	}
	for (size_t i = 0; type == CHIP_F8_E4M3 && i < bytes; i++)
		out[i] = (out[i] & 0x7F) == 0x7F ? 0 : out[i];   /* no NaN */
	for (uint32_t i = 0; group && i < columns; i += group)
		format_rows_scale_group(type, out + i / group * chip_row_bytes(type, group, group),
			largest);
	for (uint32_t i = 0; !group && i < columns; i += chip_type_block_values(type))
		format_rows_scale_block(type, out + chip_row_bytes(type, 0, i), largest);
}

#endif
