/* chip/cpu/block_vec.h - codes and scales of a panel in blocks (block.h), in vectors of outputs. */
#ifndef CHIP_CPU_BLOCK_VEC_H
#define CHIP_CPU_BLOCK_VEC_H

#include "chip/cpu/block.h"
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/words.h"

#define GROUPS      4    /* words of a block are groups g and g + 4: columns 4g and 16 + 4g */
#define GROUP_BYTES (VEC_LANES * 4)

/* ---- formats, all constants ------------------------------------------------------------------ */

VEC_INLINE const struct cpu_block_format *format_of(const enum chip_type type)
{
	return &cpu_block_formats[type];
}

VEC_INLINE bool is_signed(const enum chip_type type)
{
	return format_of(type)->bits == 8 || format_of(type)->values;
}

VEC_INLINE bool has_zeros(const enum chip_type type)
{
	return format_of(type)->scales == CPU_SCALES_GROUP;
}

/* ---- codes ----------------------------------------------------------------------------------- */

VEC_INLINE words repeat(uint32_t byte)
{
	return words_set((int32_t)(byte * 0x01010101U));
}

/* Bits (mask << from) of every byte, moved to bit 4. */
VEC_INLINE words high_bits(words bits, const uint32_t from, const uint32_t mask)
{
	const words moved = from <= 4 ? words_left(bits, 4 - from) : words_right(bits, from - 4);

	return words_and(moved, repeat(mask << 4));
}

/* Group g of a half of a block as it is multiplied. */
VEC_INLINE words load_group(const uint8_t *block, const uint32_t half, const uint32_t g,
	const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);
	const uint8_t *more = block + GROUPS * GROUP_BYTES;
	words w;

	if (f->bits == 8) {
		w = words_load(block + (GROUPS * half + g) * GROUP_BYTES);
		return WORDS_DOT ? words_xor(w, repeat(128)) : w;
	}
	w = words_load(block + g * GROUP_BYTES);
	w = words_and(half ? words_right(w, 4) : w, repeat(15));
	if (f->bits == 5)
		w = words_or(w, high_bits(words_load(more), GROUPS * half + g, 1));
	if (f->bits == 6)
		w = words_or(w, high_bits(words_load(more + half * GROUP_BYTES), 2 * g, 3));
	if (f->values) {
		w = words_look_up(f->values, w);
		if (WORDS_DOT)
			w = words_xor(w, repeat(128));
	}
	return w;
}

/* ---- scales ---------------------------------------------------------------------------------- */

/* Of a block. Where records are summed, integers: factors of its columns or of its halves, and of
 * the minimum. */
struct scales {
	vec scale;
	vec least;          /* the minimum */
	words zeros;        /* pairs of minus the zero; has_signs: the sum of magnitudes below 0 */
	words factors[2];   /* twice in each word, as halves, where there are factors_in_pairs */
	words least_factors;    /* of even blocks: a pair, its own and the next one's */
};

/* The low halves of two, in one. */
VEC_INLINE words halves_of(words low, words high)
{
	return words_or(words_and(low, words_set(0xFFFF)), words_left(high, 16));
}

VEC_INLINE vec f16_at(const uint8_t *head, size_t index)
{
	return vec_load_f16((const uint16_t *)(const void *)head + index * VEC_LANES);
}

/* 2^(e - 128), see format_e8m0_half. */
VEC_INLINE vec load_e8m0(const uint8_t *exponents)
{
	const words e = words_from_u8(exponents);
	const words less = words_sub(e, words_set(2));
	const words small = words_left(words_sub(e, words_set(-1)), 21);   /* of 0 and 1 */
	const vec normal = words_as_vec(words_left(words_sub(e, words_set(1)), 23));

	return words_choose(less, words_as_vec(small), normal);
}

VEC_INLINE struct scales load_groups_scales(const uint8_t *head, uint32_t group, uint32_t b)
{
	const uint32_t each = cpu_group_blocks(group), count = CPU_RECORD_BLOCKS / each;
	const uint8_t *bits = head + (size_t)(b / each) * VEC_LANES * 2;
	const words zero = words_from_u8(head + (size_t)(2 * count + b / each) * VEC_LANES);
	const vec bf16 = words_as_vec(words_left(words_from_u16(bits), 16));
	const words minus = words_sub(words_set(0), words_and(zero, words_set(127)));

	return (struct scales){
		.scale = words_choose(words_left(zero, 24), bf16, f16_at(bits, 0)),
		.zeros = halves_of(minus, minus),
	};
}

/* Products of 16 bits are multiplied by their factor as they are added up in pairs. */
VEC_INLINE bool factors_in_pairs(const enum chip_type type)
{
	return !WORDS_DOT && !is_signed(type);
}

VEC_INLINE struct scales load_factors(const uint8_t *head, uint32_t b, const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);
	const uint32_t each = f->halves ? 2 : 1;
	const uint8_t *bytes = head + (f->minima ? 4 : 2) * VEC_LANES;
	struct scales s = {.zeros = words_set(0)};

	VEC_UNROLL
	for (uint32_t i = 0; i < each; i++) {
		s.factors[i] = words_from_i8(bytes + (size_t)(each * b + i) * VEC_LANES);
		if (factors_in_pairs(type))
			s.factors[i] = halves_of(s.factors[i], s.factors[i]);
	}
	if (f->minima) {
		const uint8_t *least = bytes + (size_t)(CPU_RECORD_BLOCKS + b / 2 * 2) * VEC_LANES;

		s.least_factors = halves_of(words_from_u8(least),
			words_from_u8(least + VEC_LANES));
	}
	return s;
}

VEC_INLINE struct scales load_scales(const uint8_t *head, uint32_t group, uint32_t b,
	const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);
	struct scales s = {.zeros = words_set(0)};

	switch (f->scales) {
	case CPU_SCALES_F16:
		s.scale = f16_at(head, b);
		if (f->minima)
			s.least = f16_at(head, CPU_RECORD_BLOCKS + b);
		break;
	case CPU_SCALES_K:
		return load_factors(head, b, type);
	case CPU_SCALES_E8M0:
		s.scale = load_e8m0(head + b * VEC_LANES);
		break;
	case CPU_SCALES_GROUP:
		return load_groups_scales(head, group, b);
	case CPU_SCALES_NONE:
		break;
	}
	return s;
}

#endif
