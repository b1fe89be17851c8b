/* chip/format.h - number formats of weights: how many bytes a row takes, and the way back to float.
 *
 * Types of blocks are ggml's, byte for byte as in GGUF files (ggml-common.h). Three types are
 * ours, for what safetensors' quantised releases hold: a row is a sequence of groups, each with its
 * own scale; the last group may be shorter. The size of a group belongs to the matrix.
 *
 *	f8_e4m3   f32 scale | u8 [group]                        value = scale * e4m3(code)
 *	int8      u16 scale | u8 zero | u8 flags | u8 [group]   value = scale * (q - zero)
 *	int4      u16 scale | u8 zero | u8 flags | u8 [group / 2]: values 2j low, 2j + 1 high
 *
 * e4m3 is E4M3FN: bias 7, no infinities, 0x7F and 0xFF are NaN. Little endian.
 */
#ifndef CHIP_FORMAT_H
#define CHIP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip/chip.h"

#define CHIP_BLOCK_MAX       256    /* values of a block of any type */
#define CHIP_INT_HEAD_BYTES  4      /* in front of the values of a group of int4 and int8 */
#define CHIP_INT_BF16        1      /* flag: the scale is bf16, else f16 */
#define CHIP_F8_HEAD_BYTES   4      /* in front of a group of f8_e4m3 */

const char *chip_type_name(enum chip_type type);   /* "q8_0" */

/* Rows consist of groups, whose size the matrix tells. */
bool chip_type_is_grouped(enum chip_type type);

/* Values and bytes of the block that a type stores values in: 1 value for the plain types. Not for
 * the grouped ones, which is asserted. */
uint32_t chip_type_block_values(enum chip_type type);
uint32_t chip_type_block_bytes(enum chip_type type);

/* Whether rows of that many columns exist: they fill whole blocks; group is 0, or of a grouped type
 * at least 1 and, if there are several int4 groups, even. */
bool chip_row_fits(enum chip_type type, uint32_t group, uint32_t columns);

/* Bytes of one row; it must fit, which is asserted. */
size_t chip_row_bytes(enum chip_type type, uint32_t group, uint32_t columns);

/* out[0 .. columns) from one row, any alignment: the plain definition that every packed form on
 * every chip is compared with. */
void chip_row_to_f32(enum chip_type type, uint32_t group, const void *row, uint32_t columns,
	float *out);

/* out[0 .. count) from columns [first, first + count) of a row; first is a multiple of
 * CHIP_BLOCK_MAX, and so is count, or it goes to the row's end. */
void chip_row_part_to_f32(enum chip_type type, uint32_t group, const void *row, uint32_t first,
	uint32_t count, float *out);

#endif
