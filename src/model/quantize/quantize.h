/* model/quantize/quantize.h - from floats to the block formats of GGUF.
 *
 * Each block is fitted on its own: a search over scales for the least weighted squared error, as
 * quantize_fit.h and quantize_super.c say. The same values give the same bytes on every machine,
 * whatever else is quantised and by how many threads.
 */
#ifndef MODEL_QUANTIZE_QUANTIZE_H
#define MODEL_QUANTIZE_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip/chip.h"

enum quantize_result {
	QUANTIZE_DONE,
	QUANTIZE_NOT_FINITE,   /* a NaN or an infinity among the values */
	QUANTIZE_TOO_LARGE,    /* a value that the type, or its 16-bit scales, cannot hold */
};

/* F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4. */
bool quantize_can(enum chip_type type);

/* out = rows rows of columns values, in the type's layout; columns fill whole blocks. When the
 * result is not DONE what was written means nothing. */
enum quantize_result quantize_rows(enum chip_type type, const float *in, size_t rows,
	uint32_t columns, void *out) __attribute__((warn_unused_result));

#endif
