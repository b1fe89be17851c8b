/* model/quantize/quantize_block.c - see quantize_private.h: blocks of 32 values and a scale. */
#include <math.h>
#include <string.h>

#include "model/quantize/quantize_private.h"

static const float ONES[BLOCK_VALUES] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
};

static const struct fit_levels SIGNED_8 = {.low = -127, .high = 127};
static const struct fit_levels SIGNED_4 = {.low = -8, .high = 7, .start = 0.4F};
static const struct fit_levels SIGNED_5 = {.low = -16, .high = 15, .start = 0.4F};
static const struct fit_levels UNSIGNED_4 = {.low = 0, .high = 15};
static const struct fit_levels UNSIGNED_5 = {.low = 0, .high = 31};

static struct fit_group group_of(const float *x)
{
	return (struct fit_group){.x = x, .w = ONES, .n = BLOCK_VALUES};
}

static float power_of_2(int exponent)
{
	return math_f32_from_bits((uint32_t)(exponent + 127) << 23);
}

/* Byte j holds code j low and code j + 16 high. */
static void pack_nibbles(const uint8_t codes[BLOCK_VALUES], uint8_t *out)
{
	for (int j = 0; j < 16; j++)
		out[j] = (uint8_t)((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

/* Bit j is the fifth bit of code j. */
static void pack_fifth_bits(const uint8_t codes[BLOCK_VALUES], uint8_t *out)
{
	uint32_t bits = 0;

	for (int j = 0; j < BLOCK_VALUES; j++)
		bits |= (uint32_t)(codes[j] >> 4 & 1) << j;
	memcpy(out, &bits, sizeof(bits));
}

/* The scale as it is stored, and the codes that go with it. */
static void scaled(const float *x, const float *w, const struct fit_levels *levels,
	uint8_t *scale_out, uint8_t codes[BLOCK_VALUES])
{
	const struct fit_group g = {.x = x, .w = w, .n = BLOCK_VALUES};
	const float scale = round_f16(fit_scale(&g, levels));

	fit_codes(x, BLOCK_VALUES, levels, (struct fit_line){.scale = scale}, codes);
	store_u16(scale_out, math_f16_from_f32(scale));
}

static void affine(const float *x, const struct fit_levels *levels, uint8_t *line_out,
	uint8_t codes[BLOCK_VALUES])
{
	const struct fit_group g = group_of(x);
	struct fit_line line = fit_affine(&g, levels, INFINITY);

	line.scale = round_f16(line.scale);
	line.base = round_f16(line.base);
	fit_codes(x, BLOCK_VALUES, levels, line, codes);
	store_u16(line_out, math_f16_from_f32(line.scale));
	store_u16(line_out + 2, math_f16_from_f32(line.base));
}

/* f16 scale, 32 x i8. With this many levels a search gains next to nothing; -128 is left out, for
 * kernels that take absolute values. */
void quantize_q8_0(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];

	(void)levels;
	const float scale = round_f16(fabsf(fit_extreme(x, BLOCK_VALUES)) / 127);
	fit_codes(x, BLOCK_VALUES, &SIGNED_8, (struct fit_line){.scale = scale}, codes);
	store_u16(out, math_f16_from_f32(scale));
	for (int j = 0; j < BLOCK_VALUES; j++)
		out[2 + j] = (uint8_t)(codes[j] - 127);
}

/* f16 scale, nibbles of q + 8. */
void quantize_q4_0(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];

	(void)levels;
	scaled(x, ONES, &SIGNED_4, out, codes);
	pack_nibbles(codes, out + 2);
}

/* f16 scale, f16 base, nibbles. */
void quantize_q4_1(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];

	(void)levels;
	affine(x, &UNSIGNED_4, out, codes);
	pack_nibbles(codes, out + 4);
}

/* f16 scale, 32 fifth bits, nibbles of q + 16. */
void quantize_q5_0(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];

	(void)levels;
	scaled(x, ONES, &SIGNED_5, out, codes);
	pack_fifth_bits(codes, out + 2);
	pack_nibbles(codes, out + 6);
}

/* f16 scale, f16 base, 32 fifth bits, nibbles. */
void quantize_q5_1(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];

	(void)levels;
	affine(x, &UNSIGNED_5, out, codes);
	pack_fifth_bits(codes, out + 4);
	pack_nibbles(codes, out + 8);
}

/* f16 scale, nibbles that choose one of 16 values. */
void quantize_iq4_nl(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[BLOCK_VALUES];
	float w[BLOCK_VALUES];

	fit_weigh_squares(x, BLOCK_VALUES, w);
	scaled(x, w, levels, out, codes);
	pack_nibbles(codes, out + 2);
}

/* Of the scale, a power of 2, with the least error: with the extreme value at 8 .. 16 of it, where
 * 12 is the largest level, or one power beside it. */
static int mxfp4_exponent(const float *x, float extreme, const struct fit_levels *levels)
{
	static const int beside[3] = {0, 1, -1};
	const struct fit_group g = group_of(x);
	const int natural = (int)(math_f32_bits(extreme) >> 23 & 255) - 127 - 3;
	float least = INFINITY;
	int best = 0;

	for (int i = 0; i < 3; i++) {
		const int exponent = natural + beside[i] < -126 ? -126 : natural + beside[i];
		const float error = fit_error(&g, levels,
			(struct fit_line){.scale = power_of_2(exponent)});

		if (error < least) {
			least = error;
			best = exponent;
		}
	}
	return best;
}

/* One byte, the scale's exponent plus 128; nibbles that choose one of 15 values up to 12. */
void quantize_mxfp4(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	const float extreme = fit_extreme(x, BLOCK_VALUES);
	const int exponent = mxfp4_exponent(x, extreme, levels);
	uint8_t codes[BLOCK_VALUES];

	fit_codes(x, BLOCK_VALUES, levels, (struct fit_line){.scale = power_of_2(exponent)}, codes);
	out[0] = extreme != 0 ? (uint8_t)(exponent + 128) : 0;
	pack_nibbles(codes, out + 1);
}
