/* chip/cpu/vec_avx512.h - vec.h in 16 lanes: AVX-512 F, BW, DQ, VL, VNNI. */
#ifndef CHIP_CPU_VEC_AVX512_H
#define CHIP_CPU_VEC_AVX512_H

#include "chip/cpu/simd512.h"

#define VEC_LANES 16
#define VEC_ROWS   6    /* of activations, and panels of a plain matrix tile: 6 x 4 sums, */
#define VEC_PANELS 4    /* 5 more registers */
#define VEC_QUERY 4    /* queries of an attention tile: 4 x 2 sums */

typedef __m512 vec;

VEC_INLINE vec vec_set(float x)
{
	return _mm512_set1_ps(x);
}

VEC_INLINE vec vec_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

VEC_INLINE void vec_store(float *p, vec v)
{
	_mm512_storeu_ps(p, v);
}

VEC_INLINE __mmask16 vec_mask(uint32_t n)
{
	return (__mmask16)((1U << n) - 1U);
}

VEC_INLINE vec vec_load_part(const float *p, uint32_t n)
{
	return _mm512_maskz_loadu_ps(vec_mask(n), p);
}

VEC_INLINE void vec_store_part(float *p, vec v, uint32_t n)
{
	_mm512_mask_storeu_ps(p, vec_mask(n), v);
}

/* v in the first n lanes, other after them. */
VEC_INLINE vec vec_first(uint32_t n, vec v, vec other)
{
	return _mm512_mask_blend_ps(vec_mask(n), other, v);
}

VEC_INLINE vec vec_add(vec a, vec b)
{
	return _mm512_add_ps(a, b);
}

VEC_INLINE vec vec_sub(vec a, vec b)
{
	return _mm512_sub_ps(a, b);
}

VEC_INLINE vec vec_mul(vec a, vec b)
{
	return _mm512_mul_ps(a, b);
}

VEC_INLINE vec vec_div(vec a, vec b)
{
	return _mm512_div_ps(a, b);
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

/* sum += a * b, one rounding; in the register of the sum, as in vec_avx2.h. */
VEC_INLINE void vec_accumulate(vec *sum, vec a, vec b)
{
#if defined(CPU_VEC_AVX512_EMULATED)
	*sum = vec_fma(a, b, *sum);
#else
	__asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#endif
}

/* The second operand where one is NaN. */
VEC_INLINE vec vec_max(vec a, vec b)
{
	return _mm512_max_ps(a, b);
}

VEC_INLINE vec vec_min(vec a, vec b)
{
	return _mm512_min_ps(a, b);
}

VEC_INLINE vec vec_minus_abs(vec x)
{
	const __m512i sign = _mm512_set1_epi32((int)0x80000000U);

	return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(x), sign));
}

VEC_INLINE vec vec_if_negative(vec x, vec yes, vec no)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), no,
		yes);
}

/* The last step of math_expf: p times 2^n, n = shifted - magic. It takes two factors there and
 * rounds once, as the product with the first is exact: so does this instruction. */
VEC_INLINE vec vec_scale_by_power(vec p, vec shifted, vec magic)
{
	return _mm512_scalef_ps(p, vec_sub(shifted, magic));
}

/* Small integers, exactly. */
VEC_INLINE vec vec_load_i8(const int8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(
		_mm_loadu_si128((const __m128i *)(const void *)p)));
}

VEC_INLINE vec vec_load_f16(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* Pairs of bf16: the first of each lane, the second. */
VEC_INLINE vec vec_load_even_bf16(const uint16_t *p)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}

VEC_INLINE vec vec_load_odd_bf16(const uint16_t *p)
{
	const __m512i high = _mm512_set1_epi32((int)0xFFFF0000U);

	return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
}

/* e4m3 / 256: its bits where f16 has them, but for the bias. NaN becomes 480 / 256. */
VEC_INLINE vec vec_load_f8(const uint8_t *p)
{
	const __m256i words = _mm256_cvtepi8_epi16(
		_mm_loadu_si128((const __m128i *)(const void *)p));
	const __m256i apart = _mm256_set1_epi16((int16_t)0xBFFF);

	return _mm512_cvtph_ps(_mm256_and_si256(_mm256_slli_epi16(words, 7), apart));
}

VEC_INLINE void vec_store_f16(uint16_t *p, vec v)
{
	_mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* math_bf16_from_f32: in the upper half of each lane. */
VEC_INLINE __m512i vec_round_bf16(vec v)
{
	const __m512i bits = _mm512_castps_si512(v);
	const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
	const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, odd),
		_mm512_set1_epi32(0x7FFF));
	const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
	const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);

	return _mm512_mask_blend_epi32(nan, rounded, quiet);
}

VEC_INLINE void vec_store_bf16(uint16_t *p, vec v)
{
	_mm256_storeu_si256((__m256i *)(void *)p,
		_mm512_cvtepi32_epi16(_mm512_srli_epi32(vec_round_bf16(v), 16)));
}

VEC_INLINE void vec_store_bf16_pairs(uint16_t *p, vec first, vec second)
{
	const __m512i high = _mm512_set1_epi32((int)0xFFFF0000U);

	_mm512_storeu_si512(p, _mm512_or_si512(_mm512_srli_epi32(vec_round_bf16(first), 16),
		_mm512_and_si512(vec_round_bf16(second), high)));
}

VEC_INLINE __m256 vec_low(vec v)
{
	return _mm512_castps512_ps256(v);
}

VEC_INLINE __m256 vec_high(vec v)
{
	return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
}

/* ref_fold: 8 lanes onto 8, 4 onto 4, 2 onto 2, 1 onto 1. */
VEC_INLINE float vec_fold_stripes(const vec *s)
{
	const __m256 eight = _mm256_add_ps(vec_low(s[0]), vec_high(s[0]));
	__m128 t = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	t = _mm_add_ps(t, _mm_movehl_ps(t, t));
	t = _mm_add_ss(t, _mm_shuffle_ps(t, t, 1));
	return _mm_cvtss_f32(t);
}

VEC_INLINE float vec_largest_lane(vec v)
{
	const __m256 eight = _mm256_max_ps(vec_low(v), vec_high(v));
	__m128 t = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	t = _mm_max_ps(t, _mm_movehl_ps(t, t));
	t = _mm_max_ss(t, _mm_shuffle_ps(t, t, 1));
	return _mm_cvtss_f32(t);
}

/* Magnitudes as integers, where NaN is the largest of all; running maximum. */
VEC_INLINE vec vec_max_magnitude(vec largest, vec v)
{
	const __m512i bits = _mm512_and_si512(_mm512_castps_si512(v),
		_mm512_set1_epi32(0x7FFFFFFF));

	return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(largest), bits));
}

VEC_INLINE uint32_t vec_largest_bits(vec v)
{
	const __m256i eight = _mm256_max_epu32(_mm256_castps_si256(vec_low(v)),
		_mm256_castps_si256(vec_high(v)));
	__m128i t = _mm_max_epu32(_mm256_castsi256_si128(eight),
		_mm256_extracti128_si256(eight, 1));

	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0x4E));
	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0xB1));
	return (uint32_t)_mm_cvtsi128_si32(t);
}

/* Adds the lanes to that many sums of f64. */
VEC_INLINE void vec_add_f64(double *sums, vec v)
{
	_mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), _mm512_cvtps_pd(vec_low(v))));
	_mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8),
		_mm512_cvtps_pd(vec_high(v))));
}

/* ---- products of bytes: an exact sum of four in each lane ------------------------------------ */

typedef __m512i vec_dots;
typedef __m512i vec_bytes;

/* Bytes go in as b + 128: start is -128 times the sum of what they are multiplied with. */
VEC_INLINE vec_dots vec_dots_start(int32_t start)
{
	return _mm512_set1_epi32(start);
}

VEC_INLINE vec_bytes vec_load_bytes(const uint8_t *p)
{
	return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int32_t)0x80808080U));
}

/* four: for every lane. */
VEC_INLINE vec_dots vec_dots_add(vec_dots dots, vec_bytes bytes, const int8_t *four)
{
	int32_t word;

	memcpy(&word, four, sizeof(word));
	return _mm512_dpbusd_epi32(dots, bytes, _mm512_set1_epi32(word));
}

VEC_INLINE vec vec_from_dots(vec_dots dots)
{
	return _mm512_cvtepi32_ps(dots);
}

/* ---- bytes, only to be read ------------------------------------------------------------------ */

typedef __m512i vec_bits;

VEC_INLINE vec_bits vec_bits_zero(void)
{
	return _mm512_setzero_si512();
}

VEC_INLINE vec_bits vec_bits_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

VEC_INLINE vec_bits vec_bits_xor(vec_bits a, vec_bits b)
{
	return _mm512_xor_si512(a, b);
}

#endif
