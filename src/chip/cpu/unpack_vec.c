/* chip/cpu/unpack_vec.c - stored rows into an f32 panel: the decoders of format_decode.h compiled
 * for this instruction set, then rows into columns.
 *
 *	rows [lanes][CHIP_BLOCK_MAX] -- 8 rows x 4 columns --> panel [CHIP_BLOCK_MAX][lanes]
 */
#include <immintrin.h>

#include "chip/cpu/kernels_vec.h"
#include "chip/format_decode.h"

#define ROW_STRIDE (CHIP_BLOCK_MAX + 16)  /* rows apart in the first-level cache */
#define LANES      8                       /* turned together */

/* Columns 0 to 3 of rows i and i + 4, side by side. */
VEC_INLINE __m256 load_two(const float *rows, uint32_t i)
{
	const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(rows + i * ROW_STRIDE));

	return _mm256_insertf128_ps(low, _mm_loadu_ps(rows + (i + 4) * ROW_STRIDE), 1);
}

/* Four columns of 8 rows. */
VEC_INLINE void turn_half(const float *rows, float *panel)
{
	const __m256 r0 = load_two(rows, 0), r1 = load_two(rows, 1);
	const __m256 r2 = load_two(rows, 2), r3 = load_two(rows, 3);
	const __m256 a = _mm256_unpacklo_ps(r0, r1), b = _mm256_unpackhi_ps(r0, r1);
	const __m256 c = _mm256_unpacklo_ps(r2, r3), d = _mm256_unpackhi_ps(r2, r3);

	_mm256_storeu_ps(panel, _mm256_shuffle_ps(a, c, 0x44));
	_mm256_storeu_ps(panel + VEC_LANES, _mm256_shuffle_ps(a, c, 0xEE));
	_mm256_storeu_ps(panel + 2 * VEC_LANES, _mm256_shuffle_ps(b, d, 0x44));
	_mm256_storeu_ps(panel + 3 * VEC_LANES, _mm256_shuffle_ps(b, d, 0xEE));
}

/* Rows [VEC_LANES] into columns. */
VEC_INLINE void turn(const float *rows, uint32_t count, float *panel)
{
	uint32_t j = 0;

	for (; j + 4 <= count; j += 4)
		for (uint32_t lane = 0; lane < VEC_LANES; lane += LANES)
			turn_half(rows + lane * ROW_STRIDE + j, panel + (size_t)j * VEC_LANES +
				lane);
	for (; j < count; j++)
		for (uint32_t lane = 0; lane < VEC_LANES; lane++)
			panel[(size_t)j * VEC_LANES + lane] = rows[lane * ROW_STRIDE + j];
}

void VEC_NAME(unpack)(const struct cpu_stored *s, uint32_t lanes, uint32_t first, uint32_t count,
	float *panel)
{
	float rows[VEC_LANES * ROW_STRIDE] __attribute__((aligned(CPU_ALIGN)));

	assert(lanes == VEC_LANES && s->count <= VEC_LANES);
	if (s->count < VEC_LANES)
		memset(rows, 0, sizeof(rows));
	for (uint32_t at = 0; at < count; at += CHIP_BLOCK_MAX) {
		const uint32_t columns = count - at < CHIP_BLOCK_MAX ? count - at : CHIP_BLOCK_MAX;

		for (uint32_t lane = 0; lane < s->count; lane++)
			format_part_to_f32(s->type, s->group, s->rows + lane * s->row_bytes,
				first + at, columns, rows + lane * ROW_STRIDE);
		turn(rows, columns, panel + (size_t)at * VEC_LANES);
	}
}
