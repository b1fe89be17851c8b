/* model/quantize/quantize_private.h - between quantize.c (which type), quantize_block.c (formats
 * of 32 values) and quantize_super.c with quantize_pack.c (formats of 256). */
#ifndef MODEL_QUANTIZE_QUANTIZE_PRIVATE_H
#define MODEL_QUANTIZE_QUANTIZE_PRIVATE_H

#include <stdint.h>
#include <string.h>

#include "base/math.h"
#include "model/quantize/quantize_fit.h"

#define BLOCK_VALUES 32
#define SUPER_VALUES 256
#define SUPER_GROUPS_MAX 16

static inline void store_u16(uint8_t *out, uint16_t value)
{
	memcpy(out, &value, sizeof(value));
}

/* The nearest number that 16 bits hold. */
static inline float round_f16(float value)
{
	return math_f32_from_f16(math_f16_from_f32(value));
}

/* One block: x[32], or x[256] for super-blocks, to its bytes. levels: of the formats that choose
 * from a table, else unused. */
typedef void quantize_block(const float *x, const struct fit_levels *levels, uint8_t *out);

quantize_block quantize_q8_0, quantize_q4_0, quantize_q4_1, quantize_q5_0, quantize_q5_1,
	quantize_iq4_nl, quantize_mxfp4;
quantize_block quantize_q2_k, quantize_q3_k, quantize_q4_k, quantize_q5_k, quantize_q6_k,
	quantize_iq4_xs;

#endif
