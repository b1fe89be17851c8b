/* chip/cpu/unpack_vec.c - stored rows into an f32 panel: decoded with the instructions of this set,
 * then rows become columns.
 *
 *	rows [lanes][CHIP_BLOCK_MAX] -- transpose --> panel [CHIP_BLOCK_MAX][lanes]
 *
 * Blocks go in two steps, bytes to small integers, 32 at a time, and those to floats. Layouts and
 * the order of operations are those of format_decode.h, which does all other types.
 */
#include "chip/cpu/kernels_vec.h"
#include "chip/format_decode.h"

#define ROW_STRIDE (CHIP_BLOCK_MAX + 16)  /* rows apart in the first-level cache */

/* ---- small integers -------------------------------------------------------------------------- */

VEC_INLINE __m256i load_32(const uint8_t *bytes)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

VEC_INLINE void store_32(int8_t *q, __m256i v)
{
	_mm256_storeu_si256((__m256i *)(void *)q, v);
}

/* Some bits of every byte. */
VEC_INLINE __m256i bits_32(__m256i bytes, int shift, int mask)
{
	return _mm256_and_si256(_mm256_srli_epi16(bytes, shift), _mm256_set1_epi8((char)mask));
}

/* Of q2_k and q3_k. */
VEC_INLINE void two_bits_256(const uint8_t *bytes, int8_t *q)
{
	for (int half = 0; half < 2; half++)
		for (int i = 0; i < 4; i++)
			store_32(q + 128 * half + 32 * i,
				bits_32(load_32(bytes + 32 * half), 2 * i, 3));
}

/* ---- floats ---------------------------------------------------------------------------------- */

/* out = scale q, of count values. */
VEC_INLINE void times(const int8_t *q, const uint32_t count, float scale, float *out)
{
	for (uint32_t j = 0; j < count; j += VEC_LANES)
		vec_store(out + j, vec_mul(vec_set(scale), vec_load_i8(q + j)));
}

/* out = scale q - least. */
VEC_INLINE void times_less(const int8_t *q, const uint32_t count, float scale, float least,
	float *out)
{
	for (uint32_t j = 0; j < count; j += VEC_LANES)
		vec_store(out + j, vec_sub(vec_mul(vec_set(scale), vec_load_i8(q + j)),
			vec_set(least)));
}

/* ---- blocks ---------------------------------------------------------------------------------- */

VEC_INLINE void q2_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block + 80), least = format_f16(block + 82);
	int8_t q[256];

	two_bits_256(block + 16, q);
	for (int part = 0; part < 16; part++)
		times_less(q + 16 * part, 16, scale * (float)(block[part] & 15),
			least * (float)(block[part] >> 4), out + 16 * part);
}

VEC_INLINE void q3_k(const uint8_t *restrict block, float *restrict out)
{
	const float scale = format_f16(block + 108);
	const __m256i third = load_32(block);
	int8_t q[256], scales[16];

	format_q3_k_scales(block + 96, scales);
	two_bits_256(block + 32, q);
	for (int i = 0; i < 8; i++) {
		const __m256i high = _mm256_slli_epi16(bits_32(third, i, 1), 2);
		const __m256i low = load_32((const uint8_t *)q + 32 * i);

		store_32(q + 32 * i, _mm256_sub_epi8(_mm256_or_si256(low, high),
			_mm256_set1_epi8(4)));
	}
	for (int part = 0; part < 16; part++)
		times(q + 16 * part, 16, scale * (float)scales[part], out + 16 * part);
}

#define BLOCKS(TYPE, decode)                                                                \
	case CHIP_##TYPE:                                                                   \
		format_blocks(row, first, count, FORMAT_##TYPE##_VALUES,                    \
			FORMAT_##TYPE##_BYTES, decode, out);                                \
		return

/* As format_part_to_f32. */
static void row_part(const struct cpu_stored *s, const uint8_t *row, uint32_t first, uint32_t count,
	float *out)
{
	switch ((int)s->type) {
	BLOCKS(Q2_K, q2_k);
	BLOCKS(Q3_K, q3_k);
	default:
		format_part_to_f32(s->type, s->group, row, first, count, out);
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

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
			row_part(s, s->rows + lane * s->row_bytes, first + at, columns,
				rows + lane * ROW_STRIDE);
		VEC_NAME(transpose)((const uint8_t *)rows, ROW_STRIDE * sizeof(float), VEC_LANES,
			columns, (uint8_t *)(panel + (size_t)at * VEC_LANES),
			VEC_LANES * sizeof(float));
	}
}
