/* chip/cpu/block.h - how matrices in blocks lie in panels, and what their codes stand for.
 *
 * A block is 32 columns of a row: codes of 4, 5, 6 or 8 bits, and scales. In a panel 8 blocks of
 * all lanes are a record, so that one stream of memory brings all that a sum needs:
 *
 *	panel    record | record | ...                   256 columns each; the last may be short
 *	record   head | block 0 | ... | block 7           a short one has fewer blocks
 *	block    [4][lanes][4 bytes]                     columns 4g + c low, 16 + 4g + c high
 *	         then 5 bits: [lanes] words, bit 8c + g (the fifth bit of column 4g + c)
 *	              6 bits: [2][lanes] words, bits 8c + 2g of columns 4g + c, then of 16 + 4g + c
 *	         8 bits: [8][lanes][4 bytes], column 4g + c, signed
 *
 *	head     CPU_SCALES_F16    f16 scales [8][lanes], then minima [8][lanes] if there are any
 *	         CPU_SCALES_K      f16 [lanes], f16 of minima [lanes] if there are any, bytes that
 *	                           multiply it [8][lanes], those of minima [8][lanes]; where halves
 *	                           of a block have scales of their own: bytes [8][2][lanes]
 *	         CPU_SCALES_E8M0   exponents [8][lanes]
 *	         CPU_SCALES_GROUP  bits of a scale [n][lanes], then bytes [n][lanes]: the zero, and
 *	                           128 where the scale is bf16, else f16; n groups in a record, or
 *	                           records in a group (n is 1)
 *
 * value = scale * (code - offset), or scale * values[code], or scale * code + minimum.
 *
 * Inputs have a scale for each block, or, where a matrix has CPU_SCALES_K, one for the 256 columns
 * of a record: all that multiplies within it is integers, and its scale comes once, at the end.
 */
#ifndef CHIP_CPU_BLOCK_H
#define CHIP_CPU_BLOCK_H

#include <assert.h>

#include "chip/cpu/kernels.h"
#include "chip/format_decode.h"

#define CPU_RECORD_BLOCKS (CPU_RECORD_COLUMNS / CPU_BLOCK)

enum cpu_scales {
	CPU_SCALES_NONE,   /* not in blocks */
	CPU_SCALES_F16,
	CPU_SCALES_K,
	CPU_SCALES_E8M0,
	CPU_SCALES_GROUP,
};

struct cpu_block_format {
	enum cpu_scales scales;
	uint8_t bits;             /* of a code */
	uint8_t offset;           /* 0 where a group's zero, a table or a minimum takes its place */
	bool minima;
	bool halves;              /* 16 columns share a scale */
	const int8_t *values;     /* [16]: what codes stand for, or NULL */
};

static const struct cpu_block_format cpu_block_formats[CHIP_TYPES] = {
	[CHIP_Q8_0] = {.scales = CPU_SCALES_F16, .bits = 8},
	[CHIP_Q4_0] = {.scales = CPU_SCALES_F16, .bits = 4, .offset = 8},
	[CHIP_Q4_1] = {.scales = CPU_SCALES_F16, .bits = 4, .minima = true},
	[CHIP_Q5_0] = {.scales = CPU_SCALES_F16, .bits = 5, .offset = 16},
	[CHIP_Q5_1] = {.scales = CPU_SCALES_F16, .bits = 5, .minima = true},
	[CHIP_Q4_K] = {.scales = CPU_SCALES_K, .bits = 4, .minima = true},
	[CHIP_Q5_K] = {.scales = CPU_SCALES_K, .bits = 5, .minima = true},
	[CHIP_Q6_K] = {.scales = CPU_SCALES_K, .bits = 6, .offset = 32, .halves = true},
	[CHIP_IQ4_NL] = {.scales = CPU_SCALES_F16, .bits = 4, .values = format_iq4_values},
	[CHIP_IQ4_XS] = {.scales = CPU_SCALES_K, .bits = 4, .values = format_iq4_values},
	[CHIP_MXFP4] = {.scales = CPU_SCALES_E8M0, .bits = 4, .values = format_e2m1_values},
	[CHIP_INT4] = {.scales = CPU_SCALES_GROUP, .bits = 4},
};

/* Its products are summed in integers over a record, whose inputs share a scale. */
static inline bool cpu_sums_records(enum chip_type type)
{
	return cpu_block_formats[type].scales == CPU_SCALES_K;
}

static inline bool cpu_is_block_type(enum chip_type type)
{
	return cpu_block_formats[type].scales != CPU_SCALES_NONE;
}

/* A matrix whose rows are one group each has group 0 in panels, as those that are not grouped. */
static inline uint32_t cpu_block_group(uint32_t group, uint32_t columns)
{
	return group < columns ? group : 0;
}

/* Whether panels take rows of that many columns. */
static inline bool cpu_blocks_fit(enum chip_type type, uint32_t group, uint32_t columns)
{
	assert(!cpu_sums_records(type) || columns % CPU_RECORD_COLUMNS == 0);   /* as in files */
	if (!cpu_is_block_type(type) || columns % CPU_BLOCK)
		return false;
	if (cpu_block_formats[type].scales != CPU_SCALES_GROUP)
		return true;
	group = cpu_block_group(group, columns);
	return !group || (group % CPU_BLOCK == 0 &&
		(CPU_RECORD_COLUMNS % group == 0 || group % CPU_RECORD_COLUMNS == 0));
}

/* Blocks of a record that share a scale of CPU_SCALES_GROUP. */
static inline uint32_t cpu_group_blocks(uint32_t group)
{
	return group < CPU_RECORD_COLUMNS && group ? group / CPU_BLOCK : CPU_RECORD_BLOCKS;
}

/* Bytes of a lane, as the head of a record and its blocks have them. */
static inline size_t cpu_head_lane_bytes(enum chip_type type, uint32_t group)
{
	const struct cpu_block_format *f = &cpu_block_formats[type];
	const size_t kinds = f->minima ? 2 : 1;

	switch (f->scales) {
	case CPU_SCALES_F16:
		return kinds * 2 * CPU_RECORD_BLOCKS;
	case CPU_SCALES_K:
		return kinds * 2 + kinds * (f->halves ? 2 : 1) * CPU_RECORD_BLOCKS;
	case CPU_SCALES_E8M0:
		return CPU_RECORD_BLOCKS;
	case CPU_SCALES_GROUP:
		return (size_t)3 * (CPU_RECORD_BLOCKS / cpu_group_blocks(group));
	case CPU_SCALES_NONE:
		break;
	}
	return 0;
}

static inline size_t cpu_head_bytes(enum chip_type type, uint32_t group, uint32_t lanes)
{
	return math_round_up(cpu_head_lane_bytes(type, group) * lanes, CPU_ALIGN);
}

static inline size_t cpu_block_bytes(enum chip_type type, uint32_t lanes)
{
	return (size_t)cpu_block_formats[type].bits * (CPU_BLOCK / 8) * lanes;
}

static inline size_t cpu_record_bytes(enum chip_type type, uint32_t group, uint32_t lanes)
{
	return cpu_head_bytes(type, group, lanes) +
		CPU_RECORD_BLOCKS * cpu_block_bytes(type, lanes);
}

static inline size_t cpu_block_panel_bytes(enum chip_type type, uint32_t group, uint32_t lanes,
	uint32_t columns)
{
	const uint32_t left = columns % CPU_RECORD_COLUMNS / CPU_BLOCK;

	return columns / CPU_RECORD_COLUMNS * cpu_record_bytes(type, group, lanes) +
		(left ? cpu_head_bytes(type, group, lanes) + left * cpu_block_bytes(type, lanes)
		      : 0);
}

/* ---- one lane of one block, read plainly ----------------------------------------------------- */

struct cpu_lane_block {
	int32_t codes[CPU_BLOCK];   /* offsets and zeros taken off, values looked up */
	float scales[2];            /* of its halves */
	float least;                /* the minimum: added to each value (below 0 for k types) */
	/* CPU_SCALES_K: scales = record_scale * factors, least = record_least * least_factor */
	float record_scale, record_least;
	int32_t factors[2], least_factor;
};

/* block: its number in the panel. */
void cpu_block_read(const struct cpu_matmul *m, enum chip_type type, const uint8_t *panel,
	uint32_t lane, uint32_t block, struct cpu_lane_block *out);

/* count rows in the layout of the source, at most lanes, into a panel of zeros. */
void cpu_block_pack(enum chip_type type, uint32_t group, uint32_t lanes, uint32_t columns,
	const uint8_t *const *rows, uint32_t count, uint8_t *panel);

#endif
