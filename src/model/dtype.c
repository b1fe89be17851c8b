/* model/dtype.c - see dtype.h. */
#include "model/dtype.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"

/* F16 and BF16 are read with memcpy as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"files are little endian, and so must the host be");

#define UNREADABLE CHIP_TYPES

/* Index: ggml's type number. Holes are numbers that were given up. Sizes of 0: listed in the
 * format, layout not published with it. */
static const struct dtype GGUF_TYPES[] = {
	[0] = {"F32", 1, 4, CHIP_F32},
	[1] = {"F16", 1, 2, CHIP_F16},
	[2] = {"Q4_0", 32, 18, CHIP_Q4_0},
	[3] = {"Q4_1", 32, 20, UNREADABLE},
	[6] = {"Q5_0", 32, 22, UNREADABLE},
	[7] = {"Q5_1", 32, 24, UNREADABLE},
	[8] = {"Q8_0", 32, 34, CHIP_Q8_0},
	[9] = {"Q8_1", 32, 36, UNREADABLE},
	[10] = {"Q2_K", 256, 84, UNREADABLE},
	[11] = {"Q3_K", 256, 110, UNREADABLE},
	[12] = {"Q4_K", 256, 144, UNREADABLE},
	[13] = {"Q5_K", 256, 176, UNREADABLE},
	[14] = {"Q6_K", 256, 210, UNREADABLE},
	[15] = {"Q8_K", 256, 292, UNREADABLE},
	[16] = {"IQ2_XXS", 256, 66, UNREADABLE},
	[17] = {"IQ2_XS", 256, 74, UNREADABLE},
	[18] = {"IQ3_XXS", 256, 98, UNREADABLE},
	[19] = {"IQ1_S", 256, 50, UNREADABLE},
	[20] = {"IQ4_NL", 32, 18, UNREADABLE},
	[21] = {"IQ3_S", 256, 110, UNREADABLE},
	[22] = {"IQ2_S", 256, 82, UNREADABLE},
	[23] = {"IQ4_XS", 256, 136, UNREADABLE},
	[24] = {"I8", 1, 1, UNREADABLE},
	[25] = {"I16", 1, 2, UNREADABLE},
	[26] = {"I32", 1, 4, UNREADABLE},
	[27] = {"I64", 1, 8, UNREADABLE},
	[28] = {"F64", 1, 8, UNREADABLE},
	[29] = {"IQ1_M", 256, 56, UNREADABLE},
	[30] = {"BF16", 1, 2, CHIP_BF16},
	[34] = {"TQ1_0", 256, 54, UNREADABLE},
	[35] = {"TQ2_0", 256, 66, UNREADABLE},
	[39] = {"MXFP4", 32, 17, UNREADABLE},
	[40] = {"NVFP4", 64, 36, UNREADABLE},
	[41] = {"Q1_0", 0, 0, UNREADABLE},
	[42] = {"Q2_0", 0, 0, UNREADABLE},
};

static const struct dtype SAFETENSORS_TYPES[] = {
	{"F32", 1, 4, CHIP_F32},
	{"F16", 1, 2, CHIP_F16},
	{"BF16", 1, 2, CHIP_BF16},
	{"F64", 1, 8, UNREADABLE},
	{"F8_E4M3", 1, 1, UNREADABLE},
	{"F8_E5M2", 1, 1, UNREADABLE},
	{"F8_E8M0", 1, 1, UNREADABLE},
	{"F6_E2M3", 4, 3, UNREADABLE},
	{"F6_E3M2", 4, 3, UNREADABLE},
	{"F4", 2, 1, UNREADABLE},
	{"BOOL", 1, 1, UNREADABLE},
	{"U8", 1, 1, UNREADABLE},
	{"I8", 1, 1, UNREADABLE},
	{"U16", 1, 2, UNREADABLE},
	{"I16", 1, 2, UNREADABLE},
	{"U32", 1, 4, UNREADABLE},
	{"I32", 1, 4, UNREADABLE},
	{"U64", 1, 8, UNREADABLE},
	{"I64", 1, 8, UNREADABLE},
	{"C64", 1, 8, UNREADABLE},
};

const struct dtype *dtype_from_gguf(uint32_t number)
{
	if (number >= sizeof(GGUF_TYPES) / sizeof(GGUF_TYPES[0]) || !GGUF_TYPES[number].name)
		return NULL;
	return &GGUF_TYPES[number];
}

const struct dtype *dtype_from_safetensors(const char *name)
{
	for (size_t i = 0; i < sizeof(SAFETENSORS_TYPES) / sizeof(SAFETENSORS_TYPES[0]); i++)
		if (strcmp(SAFETENSORS_TYPES[i].name, name) == 0)
			return &SAFETENSORS_TYPES[i];
	return NULL;
}

const struct dtype *dtype_of_chip(enum chip_type type)
{
	for (size_t i = 0; i < sizeof(GGUF_TYPES) / sizeof(GGUF_TYPES[0]); i++)
		if (GGUF_TYPES[i].name && GGUF_TYPES[i].chip_type == type)
			return &GGUF_TYPES[i];
	assert(false && "every chip type is in the table");
	return NULL;
}

const char *dtype_readable_names(void)
{
	return "F32, F16, BF16, Q8_0 and Q4_0";
}

bool dtype_bytes(const struct dtype *t, uint64_t elements, size_t *bytes)
{
	if (t->block_elements == 0 || elements % t->block_elements != 0)
		return false;
	const uint64_t blocks = elements / t->block_elements;
	if (blocks > SIZE_MAX)
		return false;
	return math_mul_size((size_t)blocks, t->block_bytes, bytes);
}

static uint16_t load_u16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* Block of 32: f16 scale, 32 x i8. */
static void q8_0_to_f32(const uint8_t *row, uint32_t columns, float *out)
{
	for (uint32_t i = 0; i < columns; i += 32, row += 34) {
		const float scale = math_f32_from_f16(load_u16(row));

		for (uint32_t j = 0; j < 32; j++)
			out[i + j] = scale * (float)(int8_t)row[2 + j];
	}
}

/* Block of 32: f16 scale, 16 bytes; byte j holds value j low and value j + 16 high, both plus 8. */
static void q4_0_to_f32(const uint8_t *row, uint32_t columns, float *out)
{
	for (uint32_t i = 0; i < columns; i += 32, row += 18) {
		const float scale = math_f32_from_f16(load_u16(row));

		for (uint32_t j = 0; j < 16; j++) {
			out[i + j] = scale * (float)((row[2 + j] & 15) - 8);
			out[i + j + 16] = scale * (float)((row[2 + j] >> 4) - 8);
		}
	}
}

void dtype_row_to_f32(enum chip_type type, const void *row, uint32_t columns, float *out)
{
	const uint8_t *bytes = row;

	assert(columns % dtype_of_chip(type)->block_elements == 0);
	switch (type) {
	case CHIP_F32:
		memcpy(out, bytes, columns * sizeof(float));
		return;
	case CHIP_F16:
		for (uint32_t i = 0; i < columns; i++)
			out[i] = math_f32_from_f16(load_u16(bytes + 2 * (size_t)i));
		return;
	case CHIP_BF16:
		for (uint32_t i = 0; i < columns; i++)
			out[i] = math_f32_from_bf16(load_u16(bytes + 2 * (size_t)i));
		return;
	case CHIP_Q8_0:
		q8_0_to_f32(bytes, columns, out);
		return;
	case CHIP_Q4_0:
		q4_0_to_f32(bytes, columns, out);
		return;
	case CHIP_TYPES:
		break;
	}
	assert(false && "a readable type");
}
