/* chip/cpu/convert_ref.c - floats to 16 bits, and into the shapes that keys and values have in
 * pages. */
#include "chip/cpu/kernels_ref.h"

#include <string.h>

#include "base/math.h"

void ref_f16_from_f32(const float *in, uint16_t *out, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = math_f16_from_f32(in[i]);
}

void ref_bf16_from_f32(const float *in, uint16_t *out, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = math_bf16_from_f32(in[i]);
}

void ref_transpose(const uint8_t *in, size_t in_stride, uint32_t rows, uint32_t columns,
	uint8_t *out, size_t out_stride)
{
	for (uint32_t row = 0; row < rows; row++)
		for (uint32_t column = 0; column < columns; column++)
			memcpy(out + column * out_stride + (size_t)4 * row,
				in + row * in_stride + (size_t)4 * column, 4);
}

void ref_bf16_pairs_from_f32(const float *first, const float *second, uint16_t *out,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (first)
			out[2 * i] = math_bf16_from_f32(first[i]);
		out[2 * i + 1] = second ? math_bf16_from_f32(second[i]) : 0;
	}
}
