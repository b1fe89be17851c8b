/* chip/cpu/convert_vec.c - convert_ref.c in vectors; words in tiles of 8 x 8, in AVX2 whatever
 * VEC_LANES is. */
#include <immintrin.h>

#include "chip/cpu/kernels_vec.h"

#define TILE 8

void VEC_NAME(f16_from_f32)(const float *in, uint16_t *out, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		vec_store_f16(out + i, vec_load(in + i));
	ref_f16_from_f32(in + i, out + i, count - i);
}

void VEC_NAME(bf16_from_f32)(const float *in, uint16_t *out, uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		vec_store_bf16(out + i, vec_load(in + i));
	ref_bf16_from_f32(in + i, out + i, count - i);
}

/* Four words of a row, and of the row four below it. */
VEC_INLINE __m256 load_two(const uint8_t *in, size_t stride, uint32_t row)
{
	const uint8_t *p = in + row * stride;

	return _mm256_insertf128_ps(
		_mm256_castps128_ps256(_mm_loadu_ps((const float *)(const void *)p)),
		_mm_loadu_ps((const float *)(const void *)(p + 4 * stride)), 1);
}

VEC_INLINE void store_column(uint8_t *out, __m256 low, __m256 high, bool upper)
{
	const __m256d a = _mm256_castps_pd(low), b = _mm256_castps_pd(high);

	_mm256_storeu_pd((double *)(void *)out, upper ? _mm256_unpackhi_pd(a, b)
		: _mm256_unpacklo_pd(a, b));
}

/* 8 rows, 4 columns: in each half of a vector 4 x 4 words. */
VEC_INLINE void transpose_half(const uint8_t *in, size_t in_stride, uint8_t *out, size_t out_stride)
{
	const __m256 a = load_two(in, in_stride, 0), b = load_two(in, in_stride, 1);
	const __m256 c = load_two(in, in_stride, 2), d = load_two(in, in_stride, 3);
	const __m256 ab = _mm256_unpacklo_ps(a, b), cd = _mm256_unpacklo_ps(c, d);
	const __m256 ab_high = _mm256_unpackhi_ps(a, b), cd_high = _mm256_unpackhi_ps(c, d);

	store_column(out, ab, cd, false);
	store_column(out + out_stride, ab, cd, true);
	store_column(out + 2 * out_stride, ab_high, cd_high, false);
	store_column(out + 3 * out_stride, ab_high, cd_high, true);
}

void VEC_NAME(transpose)(const uint8_t *in, size_t in_stride, uint32_t rows, uint32_t columns,
	uint8_t *out, size_t out_stride)
{
	const uint32_t whole_rows = rows / TILE * TILE, whole_columns = columns / TILE * TILE;

	for (uint32_t column = 0; column < whole_columns; column += TILE / 2)
		for (uint32_t row = 0; row < whole_rows; row += TILE)
			transpose_half(in + row * in_stride + (size_t)4 * column, in_stride,
				out + column * out_stride + (size_t)4 * row, out_stride);
	ref_transpose(in + (size_t)4 * whole_columns, in_stride, whole_rows,
		columns - whole_columns, out + whole_columns * out_stride, out_stride);
	ref_transpose(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns,
		out + (size_t)4 * whole_rows, out_stride);
}

/* Where there is no first one, what is there goes through f32: exactly, as this function leaves no
 * signalling NaN. */
void VEC_NAME(bf16_pairs_from_f32)(const float *first, const float *second, uint16_t *out,
	uint32_t count)
{
	uint32_t i = 0;

	for (; i + VEC_LANES <= count; i += VEC_LANES)
		vec_store_bf16_pairs(out + (size_t)2 * i,
			first ? vec_load(first + i) : vec_load_even_bf16(out + (size_t)2 * i),
			second ? vec_load(second + i) : vec_set(0.0F));
	ref_bf16_pairs_from_f32(first ? first + i : NULL, second ? second + i : NULL,
		out + (size_t)2 * i, count - i);
}
