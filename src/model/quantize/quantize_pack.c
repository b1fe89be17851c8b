/* model/quantize/quantize_pack.c - see quantize_private.h: formats whose blocks are 256 values.
 * What each group is fitted for, and where the bits go. */
#include <string.h>

#include "model/quantize/quantize_super.h"

static const struct super_shape Q2_K = {.group_values = 16, .levels = {.high = 3},
	.affine = true, .scale_high = 15};
static const struct super_shape Q3_K = {.group_values = 16,
	.levels = {.low = -4, .high = 3, .start = 0.4F}, .scale_low = -32, .scale_high = 31};
static const struct super_shape Q4_K = {.group_values = 32, .levels = {.high = 15},
	.affine = true, .scale_high = 63};
static const struct super_shape Q5_K = {.group_values = 32, .levels = {.high = 31},
	.affine = true, .scale_high = 63};
static const struct super_shape Q6_K = {.group_values = 16,
	.levels = {.low = -32, .high = 31, .start = 0.4F}, .scale_low = -128, .scale_high = 127};

/* Of each 128 codes: byte l holds two bits of codes l, l + 32, l + 64, l + 96, lowest first. */
static void pack_pairs(const uint8_t codes[SUPER_VALUES], int shift, uint8_t *out)
{
	for (int half = 0; half < 2; half++)
		for (int l = 0; l < 32; l++) {
			const uint8_t *c = codes + 128 * half + l;

			out[32 * half + l] = (uint8_t)((c[0] >> shift & 3) |
				(c[32] >> shift & 3) << 2 | (c[64] >> shift & 3) << 4 |
				(c[96] >> shift & 3) << 6);
		}
}

/* scales[16] (low nibble: scale, high: minimum), 2 bits each[64], f16 d, f16 m. */
void quantize_q2_k(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[SUPER_VALUES];
	struct super s;

	(void)levels;
	memset(out, 0, 84);
	if (!super_fit(&s, &Q2_K, x, codes))
		return;
	for (int j = 0; j < 16; j++)
		out[j] = (uint8_t)((int)s.scale[j] | (int)s.minimum[j] << 4);
	pack_pairs(codes, 0, out + 16);
	store_u16(out + 80, math_f16_from_f32(s.d));
	store_u16(out + 82, math_f16_from_f32(s.m));
}

/* Third bits[32], lower 2 bits each[64], scales of 6 bits[12], f16 d. Codes are levels + 4, scales
 * are stored + 32. */
void quantize_q3_k(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[SUPER_VALUES];
	struct super s;

	(void)levels;
	memset(out, 0, 110);
	if (!super_fit(&s, &Q3_K, x, codes))
		return;
	for (int i = 0; i < SUPER_VALUES; i++)
		out[i % 32] |= (uint8_t)((codes[i] >> 2) << i / 32);
	pack_pairs(codes, 0, out + 32);
	for (int j = 0; j < 16; j++) {
		const int scale = (int)s.scale[j] + 32;

		out[96 + j % 8] |= (uint8_t)((scale & 15) << 4 * (j / 8));
		out[104 + j % 4] |= (uint8_t)((scale >> 4) << 2 * (j / 4));
	}
	store_u16(out + 108, math_f16_from_f32(s.d));
}

/* Eight scales and eight minima of 6 bits in 12 bytes: the first four of each whole, the last four
 * as a byte of two nibbles, their upper bits above the first ones. */
static void pack_six(const struct super *s, uint8_t *out)
{
	for (int j = 0; j < 4; j++) {
		const int scale = (int)s->scale[j + 4], minimum = (int)s->minimum[j + 4];

		out[j] = (uint8_t)((int)s->scale[j] | (scale >> 4) << 6);
		out[j + 4] = (uint8_t)((int)s->minimum[j] | (minimum >> 4) << 6);
		out[j + 8] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
	}
}

/* Of each 64 codes: byte l holds the lower 4 bits of codes l and l + 32. */
static void pack_nibbles(const uint8_t codes[SUPER_VALUES], uint8_t *out)
{
	for (int i = 0; i < 4; i++)
		for (int l = 0; l < 32; l++)
			out[32 * i + l] = (uint8_t)((codes[64 * i + l] & 15) |
				(codes[64 * i + l + 32] & 15) << 4);
}

/* f16 d, f16 m, scales and minima[12], nibbles[128]. */
void quantize_q4_k(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[SUPER_VALUES];
	struct super s;

	(void)levels;
	memset(out, 0, 144);
	if (!super_fit(&s, &Q4_K, x, codes))
		return;
	store_u16(out, math_f16_from_f32(s.d));
	store_u16(out + 2, math_f16_from_f32(s.m));
	pack_six(&s, out + 4);
	pack_nibbles(codes, out + 16);
}

/* f16 d, f16 m, scales and minima[12], fifth bits[32] (bit j of byte l: code 32 j + l),
 * nibbles[128]. */
void quantize_q5_k(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[SUPER_VALUES];
	struct super s;

	(void)levels;
	memset(out, 0, 176);
	if (!super_fit(&s, &Q5_K, x, codes))
		return;
	store_u16(out, math_f16_from_f32(s.d));
	store_u16(out + 2, math_f16_from_f32(s.m));
	pack_six(&s, out + 4);
	for (int i = 0; i < SUPER_VALUES; i++)
		out[16 + i % 32] |= (uint8_t)((codes[i] >> 4) << i / 32);
	pack_nibbles(codes, out + 48);
}

/* Lower nibbles[128], upper 2 bits each[64], i8 scales[16], f16 d. Codes are levels + 32. */
void quantize_q6_k(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	uint8_t codes[SUPER_VALUES];
	struct super s;

	(void)levels;
	memset(out, 0, 210);
	if (!super_fit(&s, &Q6_K, x, codes))
		return;
	for (int half = 0; half < 2; half++)
		for (int l = 0; l < 64; l++) {
			const uint8_t *c = codes + 128 * half + l;

			out[64 * half + l] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
		}
	pack_pairs(codes, 4, out + 128);
	for (int j = 0; j < 16; j++)
		out[192 + j] = (uint8_t)(int)s.scale[j];
	store_u16(out + 208, math_f16_from_f32(s.d));
}

/* f16 d, upper 2 bits of the scales in a u16, lower 4 of two each[4], nibbles[128] that choose one
 * of 16 values; scales are stored + 32. */
void quantize_iq4_xs(const float *x, const struct fit_levels *levels, uint8_t *out)
{
	const struct super_shape shape = {.group_values = 32, .levels = *levels,
		.scale_low = -32, .scale_high = 31};
	uint8_t codes[SUPER_VALUES];
	uint16_t upper = 0;
	struct super s;

	memset(out, 0, 136);
	if (!super_fit(&s, &shape, x, codes))
		return;
	store_u16(out, math_f16_from_f32(s.d));
	for (int j = 0; j < 8; j++) {
		const int scale = (int)s.scale[j] + 32;

		upper |= (uint16_t)((scale >> 4) << 2 * j);
		out[4 + j / 2] |= (uint8_t)((scale & 15) << 4 * (j % 2));
	}
	store_u16(out + 2, upper);
	for (int i = 0; i < 8; i++)
		for (int l = 0; l < 16; l++)
			out[8 + 16 * i + l] = (uint8_t)(codes[32 * i + l] |
				codes[32 * i + l + 16] << 4);
}
