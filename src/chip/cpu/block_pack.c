/* chip/cpu/block_pack.c - rows of blocks into panels (block.h), 256 columns of all lanes at a time.
 *
 * A row's codes are unpacked to bytes in the order of the columns; then four of them, and four that
 * are 16 columns on, become a word of the panel. Scales go beside each other as they are.
 */
#include "chip/cpu/block.h"

#include <assert.h>
#include <string.h>

/* One row's part of a record. */
struct record_row {
	const uint8_t *blocks;      /* of the source; of a grouped type the whole row */
	uint8_t codes[CPU_RECORD_COLUMNS];
};

/* ---- codes ----------------------------------------------------------------------------------- */

static void nibbles(const uint8_t *restrict bytes, uint32_t count, uint8_t *restrict low,
	uint8_t *restrict high)
{
	for (uint32_t j = 0; j < count; j++) {
		low[j] = bytes[j] & 15;
		high[j] = bytes[j] >> 4;
	}
}

static void codes_of_32(enum chip_type type, const uint8_t *block, uint8_t *codes)
{
	switch ((int)type) {
	case CHIP_Q8_0:
		memcpy(codes, block + 2, CPU_BLOCK);
		return;
	case CHIP_Q5_0:
		format_fifth_bits(block + 2, block + 6, codes, codes + 16);
		return;
	case CHIP_Q5_1:
		format_fifth_bits(block + 4, block + 8, codes, codes + 16);
		return;
	default:
		nibbles(block + chip_type_block_bytes(type) - 16, 16, codes, codes + 16);
	}
}

static void codes_of_q4_k(const uint8_t *block, uint8_t *codes)
{
	for (uint32_t pair = 0; pair < 4; pair++)
		nibbles(block + 16 + 32 * pair, 32, codes + 64 * pair, codes + 64 * pair + 32);
}

static void codes_of_q5_k(const uint8_t *block, uint8_t *codes)
{
	for (uint32_t pair = 0; pair < 4; pair++)
		nibbles(block + 48 + 32 * pair, 32, codes + 64 * pair, codes + 64 * pair + 32);
	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t j = 0; j < 32; j++)
			codes[32 * i + j] |= (uint8_t)((block[16 + j] >> i & 1) << 4);
}

static void codes_of_q6_k(const uint8_t *block, uint8_t *codes)
{
	for (uint32_t half = 0; half < 2; half++) {
		const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
		uint8_t *out = codes + 128 * half;

		nibbles(low, 64, out, out + 64);
		for (uint32_t i = 0; i < 4; i++)
			for (uint32_t j = 0; j < 32; j++)
				out[32 * i + j] |= (uint8_t)((high[j] >> 2 * i & 3) << 4);
	}
}

static void codes_of_iq4_xs(const uint8_t *block, uint8_t *codes)
{
	for (uint32_t i = 0; i < 8; i++)
		nibbles(block + 8 + 16 * i, 16, codes + 32 * i, codes + 32 * i + 16);
}

/* The group that holds a column, and the column's place in it. */
static const uint8_t *group_of(const uint8_t *row, uint32_t group, uint32_t column, uint32_t *at)
{
	*at = group ? column % group : column;
	return group ? row + column / group * (CHIP_INT_HEAD_BYTES + (size_t)group / 2) : row;
}

static void codes_of_int4(const uint8_t *row, uint32_t group, uint32_t column, uint8_t *codes)
{
	uint32_t at;
	const uint8_t *bytes = group_of(row, group, column, &at) + CHIP_INT_HEAD_BYTES;

	for (uint32_t j = 0; j < CPU_BLOCK / 2; j++) {
		codes[2 * j] = bytes[at / 2 + j] & 15;
		codes[2 * j + 1] = bytes[at / 2 + j] >> 4;
	}
}

static void codes_of_record(enum chip_type type, uint32_t group, uint32_t column, uint32_t blocks,
	struct record_row *r)
{
	switch ((int)type) {
	case CHIP_Q4_K:
		codes_of_q4_k(r->blocks, r->codes);
		return;
	case CHIP_Q5_K:
		codes_of_q5_k(r->blocks, r->codes);
		return;
	case CHIP_Q6_K:
		codes_of_q6_k(r->blocks, r->codes);
		return;
	case CHIP_IQ4_XS:
		codes_of_iq4_xs(r->blocks, r->codes);
		return;
	default:
		break;
	}
	for (uint32_t b = 0; b < blocks; b++)
		if (type == CHIP_INT4)
			codes_of_int4(r->blocks, group, column + b * CPU_BLOCK,
				r->codes + b * CPU_BLOCK);
		else
			codes_of_32(type, r->blocks + b * chip_type_block_bytes(type),
				r->codes + b * CPU_BLOCK);
}

/* ---- words of a panel ------------------------------------------------------------------------ */

static uint32_t word_at(const uint8_t *codes)
{
	uint32_t word;

	memcpy(&word, codes, sizeof(word));
	return word;
}

static void put_word(uint8_t *out, size_t index, uint32_t word)
{
	memcpy(out + index * sizeof(word), &word, sizeof(word));
}

/* The bits above the lower four of a block's codes. */
static void put_high_bits(const struct cpu_block_format *f, uint32_t lanes, uint32_t lane,
	const uint8_t *codes, uint8_t *out)
{
	uint32_t words[2] = {0, 0};

	for (uint32_t g = 0; g < 8; g++) {
		const uint32_t high = word_at(codes + 4 * g) >> 4;

		if (f->bits == 5)
			words[0] |= (high & 0x01010101U) << g;
		else
			words[g / 4] |= (high & 0x03030303U) << 2 * (g % 4);
	}
	put_word(out, lane, words[0]);
	if (f->bits == 6)
		put_word(out, lanes + lane, words[1]);
}

static inline __attribute__((always_inline)) void put_block(const uint8_t bits, uint32_t lanes,
	uint32_t lane, const uint8_t *codes, uint8_t *out)
{
	const uint32_t low = 0x0F0F0F0FU;

	if (bits == 8)
		for (uint32_t g = 0; g < 8; g++)
			put_word(out, (size_t)g * lanes + lane, word_at(codes + 4 * g));
	else
		for (uint32_t g = 0; g < 4; g++)
			put_word(out, (size_t)g * lanes + lane, (word_at(codes + 4 * g) & low) |
				(word_at(codes + 16 + 4 * g) & low) << 4);
}

static void put_record(enum chip_type type, uint32_t lanes, uint32_t lane, uint32_t blocks,
	const uint8_t *codes, uint8_t *out)
{
	const struct cpu_block_format *f = &cpu_block_formats[type];
	const size_t block_bytes = cpu_block_bytes(type, lanes);

	for (uint32_t b = 0; b < blocks; b++, codes += CPU_BLOCK, out += block_bytes) {
		if (f->bits == 8)
			put_block(8, lanes, lane, codes, out);
		else
			put_block(4, lanes, lane, codes, out);
		if (f->bits == 5 || f->bits == 6)
			put_high_bits(f, lanes, lane, codes, out + (size_t)16 * lanes);
	}
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void put_half(uint8_t *out, size_t index, const uint8_t *half)
{
	memcpy(out + 2 * index, half, 2);
}

static void put_f16_scales(enum chip_type type, uint32_t lanes, uint32_t lane, uint32_t blocks,
	const uint8_t *source, uint8_t *head)
{
	const bool minima = cpu_block_formats[type].minima;

	for (uint32_t b = 0; b < blocks; b++, source += chip_type_block_bytes(type)) {
		put_half(head, (size_t)b * lanes + lane, source);
		if (minima)
			put_half(head, ((size_t)CPU_RECORD_BLOCKS + b) * lanes + lane, source + 2);
	}
}

/* Bytes [count][lanes] from one lane's. */
static void put_bytes(uint32_t lanes, uint32_t lane, const uint8_t *bytes, uint32_t count,
	uint8_t *out)
{
	for (uint32_t i = 0; i < count; i++)
		out[(size_t)i * lanes + lane] = bytes[i];
}

static void put_k_scales(enum chip_type type, uint32_t lanes, uint32_t lane, const uint8_t *source,
	uint8_t *head)
{
	uint8_t scales[CPU_RECORD_BLOCKS], minima[CPU_RECORD_BLOCKS];

	if (type == CHIP_Q6_K) {
		put_half(head, lane, source + 208);
		put_bytes(lanes, lane, source + 192, 16, head + (size_t)2 * lanes);
		return;
	}
	put_half(head, lane, source);
	if (type == CHIP_IQ4_XS) {
		for (int b = 0; b < CPU_RECORD_BLOCKS; b++)
			scales[b] = (uint8_t)format_iq4_xs_scale(source, b);
		put_bytes(lanes, lane, scales, CPU_RECORD_BLOCKS, head + (size_t)2 * lanes);
		return;
	}
	format_k_scales(source + 4, scales, minima);
	put_half(head, (size_t)lanes + lane, source + 2);
	put_bytes(lanes, lane, scales, CPU_RECORD_BLOCKS, head + (size_t)4 * lanes);
	put_bytes(lanes, lane, minima, CPU_RECORD_BLOCKS,
		head + (size_t)(4 + CPU_RECORD_BLOCKS) * lanes);
}

static void put_groups(uint32_t group, uint32_t lanes, uint32_t lane, uint32_t column,
	uint32_t blocks, const uint8_t *row, uint8_t *head)
{
	const uint32_t each = cpu_group_blocks(group), count = CPU_RECORD_BLOCKS / each;

	for (uint32_t i = 0; i * each < blocks; i++) {
		uint32_t at;
		const uint8_t *g = group_of(row, group, column + i * each * CPU_BLOCK, &at);

		assert(g[2] < 128);   /* four bits and a carry, says whoever made the row */
		put_half(head, (size_t)i * lanes + lane, g);
		head[(size_t)(2 * count + i) * lanes + lane] =
			(uint8_t)(g[2] | (g[3] & CHIP_INT_BF16 ? 128 : 0));
	}
}

static void put_head(enum chip_type type, uint32_t group, uint32_t lanes, uint32_t lane,
	uint32_t column, uint32_t blocks, const uint8_t *source, uint8_t *head)
{
	switch (cpu_block_formats[type].scales) {
	case CPU_SCALES_F16:
		put_f16_scales(type, lanes, lane, blocks, source, head);
		break;
	case CPU_SCALES_K:
		put_k_scales(type, lanes, lane, source, head);
		break;
	case CPU_SCALES_E8M0:
		for (uint32_t b = 0; b < blocks; b++)
			head[(size_t)b * lanes + lane] = source[b * chip_type_block_bytes(type)];
		break;
	case CPU_SCALES_GROUP:
		put_groups(group, lanes, lane, column, blocks, source, head);
		break;
	case CPU_SCALES_NONE:
		assert(0 && "not in blocks");
	}
}

/* ---- panels ---------------------------------------------------------------------------------- */

void cpu_block_pack(enum chip_type type, uint32_t group, uint32_t lanes, uint32_t columns,
	const uint8_t *const *rows, uint32_t count, uint8_t *panel)
{
	const size_t head_bytes = cpu_head_bytes(type, group, lanes);
	struct record_row r;

	for (uint32_t column = 0; column < columns; column += CPU_RECORD_COLUMNS) {
		const uint32_t left = (columns - column) / CPU_BLOCK;
		const uint32_t blocks = left < CPU_RECORD_BLOCKS ? left : CPU_RECORD_BLOCKS;

		for (uint32_t lane = 0; lane < count; lane++) {
			r.blocks = rows[lane];
			if (type != CHIP_INT4)
				r.blocks += column / chip_type_block_values(type) *
					(size_t)chip_type_block_bytes(type);
			put_head(type, group, lanes, lane, column, blocks, r.blocks, panel);
			codes_of_record(type, group, column, blocks, &r);
			put_record(type, lanes, lane, blocks, r.codes, panel + head_bytes);
		}
		panel += cpu_record_bytes(type, group, lanes);
	}
}
