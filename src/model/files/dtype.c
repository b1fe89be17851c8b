/* model/files/dtype.c - see dtype.h. */
#include "model/files/dtype.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "chip/format.h"

#define UNREADABLE CHIP_TYPES

/* Index: ggml's type number. Holes are numbers that were given up. Sizes of 0: listed in the
 * format, layout not published with it. */
static const struct dtype GGUF_TYPES[] = {
	[0] = {"F32", 1, 4, CHIP_F32},
	[1] = {"F16", 1, 2, CHIP_F16},
	[2] = {"Q4_0", 32, 18, CHIP_Q4_0},
	[3] = {"Q4_1", 32, 20, CHIP_Q4_1},
	[6] = {"Q5_0", 32, 22, CHIP_Q5_0},
	[7] = {"Q5_1", 32, 24, CHIP_Q5_1},
	[8] = {"Q8_0", 32, 34, CHIP_Q8_0},
	[9] = {"Q8_1", 32, 36, UNREADABLE},
	[10] = {"Q2_K", 256, 84, CHIP_Q2_K},
	[11] = {"Q3_K", 256, 110, CHIP_Q3_K},
	[12] = {"Q4_K", 256, 144, CHIP_Q4_K},
	[13] = {"Q5_K", 256, 176, CHIP_Q5_K},
	[14] = {"Q6_K", 256, 210, CHIP_Q6_K},
	[15] = {"Q8_K", 256, 292, UNREADABLE},
	[16] = {"IQ2_XXS", 256, 66, UNREADABLE},
	[17] = {"IQ2_XS", 256, 74, UNREADABLE},
	[18] = {"IQ3_XXS", 256, 98, UNREADABLE},
	[19] = {"IQ1_S", 256, 50, UNREADABLE},
	[20] = {"IQ4_NL", 32, 18, CHIP_IQ4_NL},
	[21] = {"IQ3_S", 256, 110, UNREADABLE},
	[22] = {"IQ2_S", 256, 82, UNREADABLE},
	[23] = {"IQ4_XS", 256, 136, CHIP_IQ4_XS},
	[24] = {"I8", 1, 1, UNREADABLE},
	[25] = {"I16", 1, 2, UNREADABLE},
	[26] = {"I32", 1, 4, UNREADABLE},
	[27] = {"I64", 1, 8, UNREADABLE},
	[28] = {"F64", 1, 8, UNREADABLE},
	[29] = {"IQ1_M", 256, 56, UNREADABLE},
	[30] = {"BF16", 1, 2, CHIP_BF16},
	[34] = {"TQ1_0", 256, 54, UNREADABLE},
	[35] = {"TQ2_0", 256, 66, UNREADABLE},
	[39] = {"MXFP4", 32, 17, CHIP_MXFP4},
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

/* What the rows of a quantised release become; no file holds them as they are. */
static const struct dtype OUR_TYPES[] = {
	{"F8_E4M3", 0, 0, CHIP_F8_E4M3},
	{"INT4", 0, 0, CHIP_INT4},
	{"INT8", 0, 0, CHIP_INT8},
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
	for (size_t i = 0; i < sizeof(OUR_TYPES) / sizeof(OUR_TYPES[0]); i++)
		if (OUR_TYPES[i].chip_type == type)
			return &OUR_TYPES[i];
	assert(false && "every chip type is in the table");
	return NULL;
}

uint32_t dtype_gguf_number(const struct dtype *t)
{
	for (uint32_t i = 0; i < sizeof(GGUF_TYPES) / sizeof(GGUF_TYPES[0]); i++)
		if (&GGUF_TYPES[i] == t)
			return i;
	assert(false && "a type of GGUF");
	return 0;
}

void dtype_readable_names(char out[DTYPE_NAMES_BYTES])
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(GGUF_TYPES) / sizeof(GGUF_TYPES[0]); i++) {
		if (!GGUF_TYPES[i].name || !dtype_is_readable(&GGUF_TYPES[i]))
			continue;
		const int size = snprintf(out + used, DTYPE_NAMES_BYTES - used, "%s%s",
			used ? " " : "", GGUF_TYPES[i].name);

		assert(size > 0 && (size_t)size < DTYPE_NAMES_BYTES - used);
		used += (size_t)size;
	}
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
