/* model/quantize/quantize.c - see quantize.h: which format, what it can hold, and the plain
 * formats. */
#include "model/quantize/quantize.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "chip/format.h"
#include "model/quantize/quantize_private.h"

#define INFINITE_BITS 0x7F800000U
#define F16_BEYOND    65520.0F       /* the first that rounds to infinity */
#define BF16_BEYOND   0x1.FFp+127F
/* Of formats whose scales and bases are f16: a search goes up to a third of the range beyond. */
#define SCALE_BEYOND  32768.0F

struct values_16 {
	int8_t values[16];               /* sorted */
	uint8_t codes[16];
};

static const struct values_16 IQ4 = {
	{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
};
/* E2M1, doubled; its second zero is not used. */
static const struct values_16 E2M1 = {
	{-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12},
	{15, 14, 13, 12, 11, 10, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7},
};

static const struct block_format {
	quantize_block *encode;          /* NULL: not made of blocks that are fitted */
	const struct values_16 *table;   /* NULL: levels are whole numbers */
} FORMATS[CHIP_TYPES] = {
	[CHIP_Q8_0] = {quantize_q8_0, NULL},
	[CHIP_Q4_0] = {quantize_q4_0, NULL},
	[CHIP_Q4_1] = {quantize_q4_1, NULL},
	[CHIP_Q5_0] = {quantize_q5_0, NULL},
	[CHIP_Q5_1] = {quantize_q5_1, NULL},
	[CHIP_Q2_K] = {quantize_q2_k, NULL},
	[CHIP_Q3_K] = {quantize_q3_k, NULL},
	[CHIP_Q4_K] = {quantize_q4_k, NULL},
	[CHIP_Q5_K] = {quantize_q5_k, NULL},
	[CHIP_Q6_K] = {quantize_q6_k, NULL},
	[CHIP_IQ4_NL] = {quantize_iq4_nl, &IQ4},
	[CHIP_IQ4_XS] = {quantize_iq4_xs, &IQ4},
	[CHIP_MXFP4] = {quantize_mxfp4, &E2M1},
};

static bool is_plain(enum chip_type type)
{
	return type == CHIP_F32 || type == CHIP_F16 || type == CHIP_BF16;
}

bool quantize_can(enum chip_type type)
{
	return is_plain(type) || (type < CHIP_TYPES && FORMATS[type].encode);
}

/* The first magnitude that the type cannot hold. */
static uint32_t beyond_bits(enum chip_type type)
{
	if (type == CHIP_F32)
		return INFINITE_BITS;
	if (type == CHIP_BF16)
		return math_f32_bits(BF16_BEYOND);
	return math_f32_bits(type == CHIP_F16 ? F16_BEYOND : SCALE_BEYOND);
}

static enum quantize_result check(enum chip_type type, const float *in, size_t count)
{
	uint32_t largest = 0;

	for (size_t i = 0; i < count; i++) {
		const uint32_t magnitude = math_f32_bits(in[i]) & 0x7FFFFFFF;

		largest = magnitude > largest ? magnitude : largest;
	}
	if (largest >= INFINITE_BITS)
		return QUANTIZE_NOT_FINITE;
	return largest >= beyond_bits(type) ? QUANTIZE_TOO_LARGE : QUANTIZE_DONE;
}

static void store_plain(enum chip_type type, const float *in, size_t count, uint8_t *out)
{
	if (type == CHIP_F32) {
		memcpy(out, in, count * sizeof(*in));
		return;
	}
	for (size_t i = 0; i < count; i++)
		store_u16(out + 2 * i, type == CHIP_F16 ? math_f16_from_f32(in[i])
			: math_bf16_from_f32(in[i]));
}

static void store_blocks(enum chip_type type, const float *in, size_t blocks, uint8_t *out)
{
	const struct block_format *format = &FORMATS[type];
	const size_t values = chip_type_block_values(type), bytes = chip_type_block_bytes(type);
	struct fit_levels levels = {0};
	struct fit_table table;

	if (format->table) {
		fit_table_make(&table, format->table->values, format->table->codes);
		levels = fit_table_levels(&table, format->table->values);
	}
	for (size_t i = 0; i < blocks; i++)
		format->encode(in + i * values, &levels, out + i * bytes);
}

enum quantize_result quantize_rows(enum chip_type type, const float *in, size_t rows,
	uint32_t columns, void *out)
{
	const size_t count = rows * columns;
	const enum quantize_result result = check(type, in, count);

	assert(quantize_can(type));
	if (result != QUANTIZE_DONE)
		return result;
	if (is_plain(type)) {
		store_plain(type, in, count, out);
		return QUANTIZE_DONE;
	}
	assert(columns % chip_type_block_values(type) == 0);
	store_blocks(type, in, count / chip_type_block_values(type), out);
	return QUANTIZE_DONE;
}
