/* chip/cpu/vec_avx2.h - vec.h in 8 lanes: AVX2, FMA, F16C. */
#ifndef CHIP_CPU_VEC_AVX2_H
#define CHIP_CPU_VEC_AVX2_H

#include <immintrin.h>

#define VEC_LANES 8
#define VEC_ROWS   6    /* of activations, and panels of a plain matrix tile: 6 x 2 sums, */
#define VEC_PANELS 2    /* 3 more registers */
#define VEC_QUERY 2    /* queries of an attention tile: 2 x 4 sums */

typedef __m256 vec;

VEC_INLINE vec vec_set(float x)
{
	return _mm256_set1_ps(x);
}

VEC_INLINE vec vec_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

VEC_INLINE void vec_store(float *p, vec v)
{
	_mm256_storeu_ps(p, v);
}

VEC_INLINE __m256i vec_mask(uint32_t n)
{
	const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes);
}

VEC_INLINE vec vec_load_part(const float *p, uint32_t n)
{
	return _mm256_maskload_ps(p, vec_mask(n));
}

VEC_INLINE void vec_store_part(float *p, vec v, uint32_t n)
{
	_mm256_maskstore_ps(p, vec_mask(n), v);
}

/* v in the first n lanes, other after them. */
VEC_INLINE vec vec_first(uint32_t n, vec v, vec other)
{
	return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(vec_mask(n)));
}

VEC_INLINE vec vec_add(vec a, vec b)
{
	return _mm256_add_ps(a, b);
}

VEC_INLINE vec vec_sub(vec a, vec b)
{
	return _mm256_sub_ps(a, b);
}

VEC_INLINE vec vec_mul(vec a, vec b)
{
	return _mm256_mul_ps(a, b);
}

VEC_INLINE vec vec_div(vec a, vec b)
{
	return _mm256_div_ps(a, b);
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}

/* sum += a * b, one rounding, in the register of the sum: left to itself, GCC moves the sums of a
 * tile from one to another until it has none left. */
VEC_INLINE void vec_accumulate(vec *sum, vec a, vec b)
{
	__asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
}

/* The second operand where one is NaN. */
VEC_INLINE vec vec_max(vec a, vec b)
{
	return _mm256_max_ps(a, b);
}

VEC_INLINE vec vec_min(vec a, vec b)
{
	return _mm256_min_ps(a, b);
}

VEC_INLINE vec vec_minus_abs(vec x)
{
	return _mm256_or_ps(x, _mm256_set1_ps(-0.0F));
}

VEC_INLINE vec vec_if_negative(vec x, vec yes, vec no)
{
	return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}

/* The last step of math_expf: p times 2^n, n in the low bits of shifted, in two factors. */
VEC_INLINE vec vec_scale_by_power(vec p, vec shifted, vec magic)
{
	const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted),
		_mm256_castps_si256(magic));
	const __m256i half = _mm256_srai_epi32(n, 1);
	const __m256i bias = _mm256_set1_epi32(127);
	const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
	const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23);

	return vec_mul(vec_mul(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}

/* Small integers, exactly. */
VEC_INLINE vec vec_load_i8(const int8_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(
		_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

VEC_INLINE vec vec_load_f16(const uint16_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Pairs of bf16: the first of each lane, the second. */
VEC_INLINE vec vec_load_even_bf16(const uint16_t *p)
{
	const __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)p);

	return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

VEC_INLINE vec vec_load_odd_bf16(const uint16_t *p)
{
	const __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)p);

	return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xFFFF0000U)));
}

/* e4m3 / 256: its bits where f16 has them, but for the bias. NaN becomes 480 / 256. */
VEC_INLINE vec vec_load_f8(const uint8_t *p)
{
	const __m128i words = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)p));
	const __m128i apart = _mm_set1_epi16((int16_t)0xBFFF);

	return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(words, 7), apart));
}

VEC_INLINE void vec_store_f16(uint16_t *p, vec v)
{
	_mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* math_bf16_from_f32: in the upper half of each lane. */
VEC_INLINE __m256i vec_round_bf16(vec v)
{
	const __m256i bits = _mm256_castps_si256(v);
	const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
	const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, odd),
		_mm256_set1_epi32(0x7FFF));
	const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
	const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));

	return _mm256_blendv_epi8(rounded, quiet, nan);
}

VEC_INLINE void vec_store_bf16(uint16_t *p, vec v)
{
	const __m256i halves = _mm256_srli_epi32(vec_round_bf16(v), 16);

	_mm_storeu_si128((__m128i *)(void *)p, _mm_packus_epi32(_mm256_castsi256_si128(halves),
		_mm256_extracti128_si256(halves, 1)));
}

VEC_INLINE void vec_store_bf16_pairs(uint16_t *p, vec first, vec second)
{
	_mm256_storeu_si256((__m256i *)(void *)p, _mm256_blend_epi16(
		_mm256_srli_epi32(vec_round_bf16(first), 16), vec_round_bf16(second), 0xAA));
}

/* Lanes folded 4 onto 4, 2 onto 2, 1 onto 1. */
VEC_INLINE float vec_fold(vec v)
{
	__m128 t = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	t = _mm_add_ps(t, _mm_movehl_ps(t, t));
	t = _mm_add_ss(t, _mm_shuffle_ps(t, t, 1));
	return _mm_cvtss_f32(t);
}

/* ref_fold. */
VEC_INLINE float vec_fold_stripes(const vec *s)
{
	return vec_fold(_mm256_add_ps(s[0], s[1]));
}

VEC_INLINE float vec_largest_lane(vec v)
{
	__m128 t = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	t = _mm_max_ps(t, _mm_movehl_ps(t, t));
	t = _mm_max_ss(t, _mm_shuffle_ps(t, t, 1));
	return _mm_cvtss_f32(t);
}

/* Magnitudes as integers, where NaN is the largest of all; running maximum. */
VEC_INLINE vec vec_max_magnitude(vec largest, vec v)
{
	const __m256i bits = _mm256_and_si256(_mm256_castps_si256(v),
		_mm256_set1_epi32(0x7FFFFFFF));

	return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(largest), bits));
}

VEC_INLINE uint32_t vec_largest_bits(vec v)
{
	const __m256i bits = _mm256_castps_si256(v);
	__m128i t = _mm_max_epu32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));

	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0x4E));
	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0xB1));
	return (uint32_t)_mm_cvtsi128_si32(t);
}

/* Adds the lanes to that many sums of f64. */
VEC_INLINE void vec_add_f64(double *sums, vec v)
{
	const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
	const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));

	_mm256_storeu_pd(sums, _mm256_add_pd(_mm256_loadu_pd(sums), low));
	_mm256_storeu_pd(sums + 4, _mm256_add_pd(_mm256_loadu_pd(sums + 4), high));
}

/* ---- products of bytes: an exact sum of four in each lane ------------------------------------ */

typedef __m256i vec_dots;
typedef __m256i vec_bytes;

/* start is for others, see vec_avx512.h. */
VEC_INLINE vec_dots vec_dots_start(int32_t start)
{
	(void)start;
	return _mm256_setzero_si256();
}

/* None is -128. */
VEC_INLINE vec_bytes vec_load_bytes(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* four: for every lane. Pairs are at most 2 x 127 x 127 and fit 16 bits. */
VEC_INLINE vec_dots vec_dots_add(vec_dots dots, vec_bytes bytes, const int8_t *four)
{
	int32_t word;

	memcpy(&word, four, sizeof(word));
	const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(bytes),
		_mm256_sign_epi8(_mm256_set1_epi32(word), bytes));

	return _mm256_add_epi32(dots, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

VEC_INLINE vec vec_from_dots(vec_dots dots)
{
	return _mm256_cvtepi32_ps(dots);
}

/* ---- bytes, only to be read ------------------------------------------------------------------ */

typedef __m256i vec_bits;

VEC_INLINE vec_bits vec_bits_zero(void)
{
	return _mm256_setzero_si256();
}

VEC_INLINE vec_bits vec_bits_load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

VEC_INLINE vec_bits vec_bits_xor(vec_bits a, vec_bits b)
{
	return _mm256_xor_si256(a, b);
}

#endif
