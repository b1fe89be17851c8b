/* model/files/dtype.h - number formats as files store them: names, block layouts, the way back
 * to float.
 *
 * Every format that a GGUF or a safetensors file may name is in one table, so that one we cannot
 * read is refused by its name and can still be measured. Those we can read have a chip_type, whose
 * layout is chip/format.h's business.
 */
#ifndef MODEL_FILES_DTYPE_H
#define MODEL_FILES_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip/chip.h"

struct dtype {
	const char *name;           /* "Q8_0", upper case as in both formats */
	uint32_t block_elements;    /* 0: a layout we do not know, or of groups of any size */
	uint32_t block_bytes;
	enum chip_type chip_type;   /* CHIP_TYPES: nothing here can compute with it */
};

/* By ggml's number in a tensor info; NULL when there is no such type. */
const struct dtype *dtype_from_gguf(uint32_t number);
/* By the name in a safetensors header; NULL when there is no such type. */
const struct dtype *dtype_from_safetensors(const char *name);
/* The storage format of what a chip can compute with. */
const struct dtype *dtype_of_chip(enum chip_type type);

/* ggml's number of a type that dtype_from_gguf or dtype_of_chip gave and a GGUF file may hold. */
uint32_t dtype_gguf_number(const struct dtype *t);

static inline bool dtype_is_readable(const struct dtype *t)
{
	return t->chip_type != CHIP_TYPES;
}

#define DTYPE_NAMES_BYTES 256

/* "F32 F16 ...": those of tensors that can be computed with, for errors. */
void dtype_readable_names(char out[DTYPE_NAMES_BYTES]);

/* Bytes of elements values; false when they do not fill whole blocks, the layout is unknown or the
 * product overflows. */
bool dtype_bytes(const struct dtype *t, uint64_t elements, size_t *bytes)
	__attribute__((warn_unused_result));

#endif
