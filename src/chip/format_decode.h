/* chip/format_decode.h - the decoders of format.h, inline: an instruction set compiles them for
 * itself, or does the same with its own instructions. None contracts: all give the same bits.
 *
 * Source of the blocks: ggml's structures (ggml-common.h); the order of operations is that of its
 * dequantize_row functions.
 */
#ifndef CHIP_FORMAT_DECODE_H
#define CHIP_FORMAT_DECODE_H

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "chip/format.h"

#define FORMAT_INLINE static inline __attribute__((always_inline))

/* Types of blocks: values and bytes of one. A type more is a line here, a value of enum chip_type
 * and a decoder below. */
#define FORMAT_BLOCK_TYPES(X) \
	X(Q8_0, q8_0, 32, 34) \
	X(Q4_0, q4_0, 32, 18) \
	X(Q4_1, q4_1, 32, 20) \
	X(Q5_0, q5_0, 32, 22) \
	X(Q5_1, q5_1, 32, 24) \
	X(Q2_K, q2_k, 256, 84) \
	X(Q3_K, q3_k, 256, 110) \
	X(Q4_K, q4_k, 256, 144) \
	X(Q5_K, q5_k, 256, 176) \
	X(Q6_K, q6_k, 256, 210) \
	X(IQ4_NL, iq4_nl, 32, 18) \
	X(IQ4_XS, iq4_xs, 256, 136) \
	X(MXFP4, mxfp4, 32, 17)

/* FORMAT_Q8_0_VALUES, FORMAT_Q8_0_BYTES, ... */
#define FORMAT_SIZES(TYPE, name, values, bytes) \
	FORMAT_##TYPE##_VALUES = values, FORMAT_##TYPE##_BYTES = bytes,
enum { FORMAT_BLOCK_TYPES(FORMAT_SIZES) };

FORMAT_INLINE uint16_t format_u16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

FORMAT_INLINE float format_f16(const uint8_t *bytes)
{
	return math_f32_from_f16(format_u16(bytes));
}

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

/* Byte j of the 16 holds value j low and value j + 16 high, here as in all of them. */

/* f16 scale, 16 bytes. */
FORMAT_INLINE void format_q4_0(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block);
	const uint8_t *restrict q = block + 2;

	for (int j = 0; j < 16; j++) {
		out[j] = scale * (float)((q[j] & 15) - 8);
		out[j + 16] = scale * (float)((q[j] >> 4) - 8);
	}
}

/* f16 scale, f16 minimum, 16 bytes. */
FORMAT_INLINE void format_q4_1(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block), least = format_f16(block + 2);
	const uint8_t *restrict q = block + 4;

	for (int j = 0; j < 16; j++) {
		out[j] = scale * (float)(q[j] & 15) + least;
		out[j + 16] = scale * (float)(q[j] >> 4) + least;
	}
}

/* Bit 4 of value j is bit j of the 32 in front. */
FORMAT_INLINE void format_fifth_bits(const uint8_t *restrict bits, const uint8_t *restrict q,
	uint8_t *restrict low, uint8_t *restrict high)
{
	uint32_t fifth;

	memcpy(&fifth, bits, sizeof(fifth));
	for (int j = 0; j < 16; j++) {
		low[j] = (uint8_t)((q[j] & 15) | (fifth >> j & 1) << 4);
		high[j] = (uint8_t)((q[j] >> 4) | (fifth >> (j + 16) & 1) << 4);
	}
}

/* f16 scale, 32 bits, 16 bytes. */
FORMAT_INLINE void format_q5_0(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block);
	uint8_t low[16], high[16];

	format_fifth_bits(block + 2, block + 6, low, high);
	for (int j = 0; j < 16; j++) {
		out[j] = scale * (float)(low[j] - 16);
		out[j + 16] = scale * (float)(high[j] - 16);
	}
}

/* f16 scale, f16 minimum, 32 bits, 16 bytes. */
FORMAT_INLINE void format_q5_1(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block), least = format_f16(block + 2);
	uint8_t low[16], high[16];

	format_fifth_bits(block + 4, block + 8, low, high);
	for (int j = 0; j < 16; j++) {
		out[j] = scale * (float)low[j] + least;
		out[j + 16] = scale * (float)high[j] + least;
	}
}

/* f16 scale, 32 signed bytes. */
FORMAT_INLINE void format_q8_0(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block);
	const uint8_t *restrict q = block + 2;

	for (int j = 0; j < 32; j++)
		out[j] = scale * (float)(int8_t)q[j];
}

static const int8_t format_iq4_values[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* E2M1, doubled. */
static const int8_t format_e2m1_values[16] = {
	0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

FORMAT_INLINE void format_look_up(const int8_t *restrict values, float scale,
	const uint8_t *restrict q, float *restrict out)
{
	for (int j = 0; j < 16; j++) {
		out[j] = scale * (float)values[q[j] & 15];
		out[j + 16] = scale * (float)values[q[j] >> 4];
	}
}

/* f16 scale, 16 bytes of indices. */
FORMAT_INLINE void format_iq4_nl(const uint8_t *restrict block, float *restrict out)
{
	format_look_up(format_iq4_values, format_f16(block), block + 2, out);
}

/* Half of what the exponent of E8M0 says, 2^(e - 128), for values that are doubled: for e below 2 a
 * subnormal. */
FORMAT_INLINE float format_e8m0_half(uint32_t e)
{
	return math_f32_from_bits(e < 2 ? 0x00200000U << e : (e - 1) << 23);
}

/* Exponent of E8M0, 16 bytes of indices. */
FORMAT_INLINE void format_mxfp4(const uint8_t *restrict block, float *restrict out)
{
	format_look_up(format_e2m1_values, format_e8m0_half(block[0]), block + 1, out);
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

/* Four bits of scale and of minimum for each 16 values [16], 2-bit values [64], f16 scale, f16
 * minimum. Each half of the values: 32 bytes, of which bits 0 and 1 are its first 32 values. */
FORMAT_INLINE void format_q2_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block + 80), least = format_f16(block + 82);

	for (int part = 0; part < 16; part++) {
		const uint8_t *restrict q = block + 16 + part / 8 * 32 + part % 2 * 16;
		const float d = scale * (float)(block[part] & 15);
		const float m = least * (float)(block[part] >> 4);
		const int shift = part % 8 / 2 * 2;

		for (int j = 0; j < 16; j++)
			out[16 * part + j] = d * (float)(q[j] >> shift & 3) - m;
	}
}

/* Six bits of scale for each 16 values: low four of scales 0 to 7 and 8 to 15 in the nibbles of
 * bytes 0 to 7, high two of scales i, i + 4, i + 8, i + 12 in byte 8 + i. */
FORMAT_INLINE void format_q3_k_scales(const uint8_t *restrict packed, int8_t *restrict scales)
{
	for (int i = 0; i < 16; i++) {
		const int low = packed[i % 8] >> i / 8 * 4 & 15;
		const int high = packed[8 + i % 4] >> i / 4 * 2 & 3;

		scales[i] = (int8_t)((low | high << 4) - 32);
	}
}

/* Third bits [32], two bits [64] as in q2_k, scales [12], f16 scale. A third bit of 0 takes 4 off;
 * bit i of byte l is of value 32 i + l. */
FORMAT_INLINE void format_q3_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block + 108);
	int8_t scales[16];

	format_q3_k_scales(block + 96, scales);
	for (int part = 0; part < 16; part++) {
		const uint8_t *restrict q = block + 32 + part / 8 * 32 + part % 2 * 16;
		const uint8_t *restrict third = block + part % 2 * 16;
		const float d = scale * (float)scales[part];
		const int shift = part % 8 / 2 * 2, bit = part / 2;

		for (int j = 0; j < 16; j++) {
			const int high = (third[j] >> bit & 1) << 2;

			out[16 * part + j] = d * (float)((q[j] >> shift & 3) + high - 4);
		}
	}
}

/* Six bits each of 8 scales and 8 minima in 12 bytes. */
FORMAT_INLINE void format_k_scales(const uint8_t *restrict packed, uint8_t *restrict scales,
	uint8_t *restrict minima)
{
	for (int j = 0; j < 4; j++) {
		scales[j] = packed[j] & 63;
		minima[j] = packed[j + 4] & 63;
		scales[j + 4] = (uint8_t)((packed[j + 8] & 15) | packed[j] >> 6 << 4);
		minima[j + 4] = (uint8_t)(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
	}
}

/* f16 scale, f16 minimum, scales and minima of each 32 values [12], 128 bytes: of each 32 the low
 * halves, then the high halves. */
FORMAT_INLINE void format_q4_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block), least = format_f16(block + 2);
	uint8_t scales[8], minima[8];

	format_k_scales(block + 4, scales, minima);
	for (int pair = 0; pair < 4; pair++) {
		const uint8_t *restrict q = block + 16 + 32 * pair;
		const float d0 = scale * (float)scales[2 * pair];
		const float d1 = scale * (float)scales[2 * pair + 1];
		const float m0 = least * (float)minima[2 * pair];
		const float m1 = least * (float)minima[2 * pair + 1];

		for (int j = 0; j < 32; j++) {
			out[64 * pair + j] = d0 * (float)(q[j] & 15) - m0;
			out[64 * pair + 32 + j] = d1 * (float)(q[j] >> 4) - m1;
		}
	}
}

/* As q4_k, with fifth bits [32] in front of the 128 bytes: bit i of byte l is of value 32 i + l. */
FORMAT_INLINE void format_q5_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block), least = format_f16(block + 2);
	const uint8_t *restrict fifth = block + 16;
	uint8_t scales[8], minima[8];

	format_k_scales(block + 4, scales, minima);
	for (int pair = 0; pair < 4; pair++) {
		const uint8_t *restrict q = block + 48 + 32 * pair;
		const float d0 = scale * (float)scales[2 * pair];
		const float d1 = scale * (float)scales[2 * pair + 1];
		const float m0 = least * (float)minima[2 * pair];
		const float m1 = least * (float)minima[2 * pair + 1];

		for (int j = 0; j < 32; j++) {
			const int low = (q[j] & 15) | (fifth[j] >> 2 * pair & 1) << 4;
			const int high = q[j] >> 4 | (fifth[j] >> (2 * pair + 1) & 1) << 4;

			out[64 * pair + j] = d0 * (float)low - m0;
			out[64 * pair + 32 + j] = d1 * (float)high - m1;
		}
	}
}

/* Low four bits [128], high two [64], signed scales of each 16 values [16], f16 scale. Each half of
 * the values: 64 and 32 of those bytes; quarter i has the low or high halves of low bytes 0 or 32
 * onwards, and bits 2 i of the high ones. */
FORMAT_INLINE void format_q6_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block + 208);

	for (int part = 0; part < 16; part++) {
		const int half = part / 8, quarter = part % 8 / 2, at = part % 2 * 16;
		const uint8_t *restrict low = block + 64 * half + quarter % 2 * 32 + at;
		const uint8_t *restrict high = block + 128 + 32 * half + at;
		const float d = scale * (float)(int8_t)block[192 + part];
		const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;

		for (int j = 0; j < 16; j++) {
			const int q = (low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4;

			out[16 * part + j] = d * (float)(q - 32);
		}
	}
}

/* Six bits: low four in nibbles of byte 4 onwards, high two in the 16 bits at 2. */
FORMAT_INLINE int format_iq4_xs_scale(const uint8_t *block, int part)
{
	const int low = block[4 + part / 2] >> part % 2 * 4 & 15;

	return (low | (format_u16(block + 2) >> 2 * part & 3) << 4) - 32;
}

/* f16 scale, scales of each 32 values [6], 128 bytes of indices as in iq4_nl. */
FORMAT_INLINE void format_iq4_xs(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block);

	for (int part = 0; part < 8; part++)
		format_look_up(format_iq4_values, scale * (float)format_iq4_xs_scale(block, part),
			block + 8 + 16 * part, out + 32 * part);
}

/* ---- groups ---------------------------------------------------------------------------------- */

FORMAT_INLINE float format_e4m3(uint8_t code)
{
	const uint32_t magnitude = code & 0x7FU, sign = (code & 0x80U) << 24;
	const uint32_t subnormal = math_f32_bits((float)(int32_t)magnitude * 0x1p-9F);
	const uint32_t normal = (magnitude << 20) + (120U << 23);
	/* masks, that no compiler makes into branches */
	const uint32_t small = 0U - (uint32_t)(magnitude < 8);
	const uint32_t nan = 0U - (uint32_t)(magnitude == 0x7F);

	return math_f32_from_bits((subnormal & small) | (normal & ~small) | (nan & 0x7FC00000U) |
		sign);
}

/* Values [first, first + count) of one group, here as in all of them. */
FORMAT_INLINE void format_f8_e4m3(const uint8_t *restrict bytes, uint32_t first, uint32_t count,
	float *restrict out)
{
	float scale;

	memcpy(&scale, bytes, sizeof(scale));
	bytes += CHIP_F8_HEAD_BYTES + first;
	for (uint32_t j = 0; j < count; j++)
		out[j] = scale * format_e4m3(bytes[j]);
}

FORMAT_INLINE float format_int_scale(const uint8_t *bytes)
{
	return bytes[3] & CHIP_INT_BF16 ? math_f32_from_bf16(format_u16(bytes))
		: format_f16(bytes);
}

FORMAT_INLINE void format_int8(const uint8_t *restrict bytes, uint32_t first, uint32_t count,
	float *restrict out)
{
	const float scale = format_int_scale(bytes);
	const int zero = bytes[2];

	bytes += CHIP_INT_HEAD_BYTES + first;
	for (uint32_t j = 0; j < count; j++)
		out[j] = scale * (float)(bytes[j] - zero);
}

/* first is even. */
FORMAT_INLINE void format_int4(const uint8_t *restrict bytes, uint32_t first, uint32_t count,
	float *restrict out)
{
	const float scale = format_int_scale(bytes);
	const int zero = bytes[2];

	bytes += CHIP_INT_HEAD_BYTES + first / 2;
	for (uint32_t j = 0; j < count / 2; j++) {
		out[2 * j] = scale * (float)((bytes[j] & 15) - zero);
		out[2 * j + 1] = scale * (float)((bytes[j] >> 4) - zero);
	}
	if (count % 2)
		out[count - 1] = scale * (float)((bytes[count / 2] & 15) - zero);
}

/* ---- rows ------------------------------------------------------------------------------------ */

FORMAT_INLINE void format_blocks(const uint8_t *row, uint32_t first, uint32_t count,
	const uint32_t values, const uint32_t bytes,
	void (*const decode)(const uint8_t *restrict block, float *restrict out), float *out)
{
	row += (size_t)(first / values) * bytes;
	for (uint32_t i = 0; i < count; i += values, row += bytes)
		decode(row, out + i);
}

FORMAT_INLINE void format_groups(const uint8_t *row, uint32_t first, uint32_t count, uint32_t group,
	size_t bytes, void (*const decode)(const uint8_t *restrict bytes, uint32_t first,
	uint32_t count, float *restrict out), float *out)
{
	row += first / group * bytes;
	first %= group;
	for (uint32_t i = 0; i < count; row += bytes, first = 0) {
		const uint32_t left = count - i, there = group - first;
		const uint32_t now = left < there ? left : there;

		decode(row, first, now, out + i);
		i += now;
	}
}

#define FORMAT_BLOCKS(TYPE, type, values, bytes)                                            \
	case CHIP_##TYPE:                                                                   \
		format_blocks(row, first, count, values, bytes, format_##type, out);        \
		return;

#define FORMAT_GROUPS(TYPE, type, bytes)                                                    \
	case CHIP_##TYPE:                                                                   \
		format_groups(row, first, count, group, bytes, format_##type, out);         \
		return

/* out[0 .. count) from values [first, first + count) of a row; both at the border of a block. */
FORMAT_INLINE void format_part_to_f32(enum chip_type type, uint32_t group,
	const uint8_t *restrict row, uint32_t first, uint32_t count, float *restrict out)
{
	switch (type) {
	case CHIP_F32:
		memcpy(out, row + (size_t)first * 4, count * sizeof(float));
		return;
	case CHIP_F16:
		for (size_t i = 0; i < count; i++)
			out[i] = format_f16(row + 2 * (first + i));
		return;
	case CHIP_BF16:
		for (size_t i = 0; i < count; i++)
			out[i] = math_f32_from_bf16(format_u16(row + 2 * (first + i)));
		return;
	FORMAT_BLOCK_TYPES(FORMAT_BLOCKS)
	FORMAT_GROUPS(F8_E4M3, f8_e4m3, CHIP_F8_HEAD_BYTES + (size_t)group);
	FORMAT_GROUPS(INT8, int8, CHIP_INT_HEAD_BYTES + (size_t)group);
	FORMAT_GROUPS(INT4, int4, CHIP_INT_HEAD_BYTES + (size_t)group / 2);
	case CHIP_TYPES:
		break;
	}
	assert(0 && "no such type");
}

#endif
