/* chip/format.c - see format.h; the decoders are in format_decode.h. */
#include "chip/format.h"

#include "chip/format_decode.h"

/* Rows are read with memcpy as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"files are little endian, and so must the host be");

#define GROUPED 0
#define BLOCK_ROW(TYPE, type, values, bytes) [CHIP_##TYPE] = {#type, values, bytes},

static const struct {
	const char *name;
	uint32_t block_values;
	uint32_t block_bytes;
} types[CHIP_TYPES] = {
	[CHIP_F32] = {"f32", 1, 4},
	[CHIP_F16] = {"f16", 1, 2},
	[CHIP_BF16] = {"bf16", 1, 2},
	FORMAT_BLOCK_TYPES(BLOCK_ROW)
	[CHIP_F8_E4M3] = {"f8_e4m3", GROUPED, 0},
	[CHIP_INT4] = {"int4", GROUPED, 0},
	[CHIP_INT8] = {"int8", GROUPED, 0},
};

const char *chip_type_name(enum chip_type type)
{
	assert((uint32_t)type < CHIP_TYPES);
	return types[type].name;
}

bool chip_type_is_grouped(enum chip_type type)
{
	assert((uint32_t)type < CHIP_TYPES);
	return types[type].block_values == GROUPED;
}

uint32_t chip_type_block_values(enum chip_type type)
{
	assert(!chip_type_is_grouped(type));
	return types[type].block_values;
}

uint32_t chip_type_block_bytes(enum chip_type type)
{
	assert(!chip_type_is_grouped(type));
	return types[type].block_bytes;
}

bool chip_row_fits(enum chip_type type, uint32_t group, uint32_t columns)
{
	if (!chip_type_is_grouped(type))
		return group == 0 && columns % types[type].block_values == 0;
	return group > 0 && (type != CHIP_INT4 || group % 2 == 0 || group >= columns);
}

size_t chip_row_bytes(enum chip_type type, uint32_t group, uint32_t columns)
{
	assert(chip_row_fits(type, group, columns));
	if (!chip_type_is_grouped(type))
		return (size_t)columns / types[type].block_values * types[type].block_bytes;
	const size_t groups = columns / group + (columns % group > 0);

	if (type == CHIP_F8_E4M3)
		return groups * CHIP_F8_HEAD_BYTES + columns;
	return groups * CHIP_INT_HEAD_BYTES +
		(type == CHIP_INT8 ? columns : columns / 2 + columns % 2);
}

void chip_row_to_f32(enum chip_type type, uint32_t group, const void *row, uint32_t columns,
	float *out)
{
	assert(chip_row_fits(type, group, columns));
	format_part_to_f32(type, group, row, 0, columns, out);
}

void chip_row_part_to_f32(enum chip_type type, uint32_t group, const void *row, uint32_t first,
	uint32_t count, float *out)
{
	assert(first % CHIP_BLOCK_MAX == 0);
	format_part_to_f32(type, group, row, first, count, out);
}
