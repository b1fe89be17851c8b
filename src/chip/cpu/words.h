/* chip/cpu/words.h - vectors of 32-bit words, as many as a vec of vec.h has lanes: what products of
 * small integers need. Bytes and halves are those of the words.
 *
 * WORDS_DOT says that there is an instruction for four products of unsigned and signed bytes; its
 * 256-bit form comes in two encodings, of AVX-VNNI (VEX) and of AVX512_VNNI with AVX512_VL (EVEX).
 */
#ifndef CHIP_CPU_WORDS_H
#define CHIP_CPU_WORDS_H

#include "chip/cpu/vec.h"

#if VEC_LANES == 16

#define WORDS_DOT 1

typedef __m512i words;

VEC_INLINE words words_load(const void *p)
{
	return _mm512_loadu_si512(p);
}

VEC_INLINE void words_store(void *p, words a)
{
	_mm512_storeu_si512(p, a);
}

VEC_INLINE words words_set(int32_t a)
{
	return _mm512_set1_epi32(a);
}

VEC_INLINE words words_from_u8(const uint8_t *p)
{
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

VEC_INLINE words words_from_i8(const uint8_t *p)
{
	return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

VEC_INLINE words words_from_u16(const uint8_t *p)
{
	return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

VEC_INLINE words words_and(words a, words b)
{
	return _mm512_and_si512(a, b);
}

VEC_INLINE words words_or(words a, words b)
{
	return _mm512_or_si512(a, b);
}

VEC_INLINE words words_xor(words a, words b)
{
	return _mm512_xor_si512(a, b);
}

VEC_INLINE words words_add8(words a, words b)
{
	return _mm512_add_epi8(a, b);
}

VEC_INLINE words words_add(words a, words b)
{
	return _mm512_add_epi32(a, b);
}

VEC_INLINE words words_sub(words a, words b)
{
	return _mm512_sub_epi32(a, b);
}

VEC_INLINE words words_multiply(words a, words b)
{
	return _mm512_mullo_epi32(a, b);
}

VEC_INLINE words words_multiply_halves(words a, words b)
{
	return _mm512_mullo_epi16(a, b);
}

VEC_INLINE words words_left(words a, const uint32_t n)
{
	return _mm512_slli_epi32(a, n);
}

VEC_INLINE words words_right(words a, const uint32_t n)
{
	return _mm512_srli_epi32(a, n);
}

/* The sign stays. */
VEC_INLINE words words_right_signed(words a, const uint32_t n)
{
	return _mm512_srai_epi32(a, n);
}

/* Of 16 bytes, those that the bytes of the indices (0 to 15) name. */
VEC_INLINE words words_look_up(const int8_t *table, words indices)
{
	const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);

	return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), indices);
}

VEC_INLINE vec words_to_vec(words a)
{
	return _mm512_cvtepi32_ps(a);
}

VEC_INLINE vec words_as_vec(words a)
{
	return _mm512_castsi512_ps(a);
}

/* b where the sign bit of a's word is set, else c. */
VEC_INLINE vec words_choose(words a, vec b, vec c)
{
	return _mm512_mask_blend_ps(_mm512_cmpgt_epi32_mask(_mm512_setzero_si512(), a), c, b);
}

/* sum + the two products of halves. */
VEC_INLINE words words_dot_halves(words sum, words a, words b)
{
	return _mm512_dpwssd_epi32(sum, a, b);
}

/* sum + the four products of unsigned and signed bytes. */
VEC_INLINE words words_dot(words sum, words a, words b)
{
	return _mm512_dpbusd_epi32(sum, a, b);
}

#else

typedef __m256i words;

VEC_INLINE words words_load(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

VEC_INLINE void words_store(void *p, words a)
{
	_mm256_storeu_si256((__m256i *)p, a);
}

VEC_INLINE words words_set(int32_t a)
{
	return _mm256_set1_epi32(a);
}

VEC_INLINE words words_from_u8(const uint8_t *p)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

VEC_INLINE words words_from_i8(const uint8_t *p)
{
	return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

VEC_INLINE words words_from_u16(const uint8_t *p)
{
	return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

VEC_INLINE words words_and(words a, words b)
{
	return _mm256_and_si256(a, b);
}

VEC_INLINE words words_or(words a, words b)
{
	return _mm256_or_si256(a, b);
}

VEC_INLINE words words_xor(words a, words b)
{
	return _mm256_xor_si256(a, b);
}

VEC_INLINE words words_add8(words a, words b)
{
	return _mm256_add_epi8(a, b);
}

VEC_INLINE words words_add(words a, words b)
{
	return _mm256_add_epi32(a, b);
}

VEC_INLINE words words_sub(words a, words b)
{
	return _mm256_sub_epi32(a, b);
}

VEC_INLINE words words_multiply(words a, words b)
{
	return _mm256_mullo_epi32(a, b);
}

VEC_INLINE words words_multiply_halves(words a, words b)
{
	return _mm256_mullo_epi16(a, b);
}

VEC_INLINE words words_left(words a, const uint32_t n)
{
	return _mm256_slli_epi32(a, (int)n);
}

VEC_INLINE words words_right(words a, const uint32_t n)
{
	return _mm256_srli_epi32(a, (int)n);
}

VEC_INLINE words words_right_signed(words a, const uint32_t n)
{
	return _mm256_srai_epi32(a, (int)n);
}

VEC_INLINE words words_look_up(const int8_t *table, words indices)
{
	const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);

	return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), indices);
}

VEC_INLINE vec words_to_vec(words a)
{
	return _mm256_cvtepi32_ps(a);
}

VEC_INLINE vec words_as_vec(words a)
{
	return _mm256_castsi256_ps(a);
}

VEC_INLINE vec words_choose(words a, vec b, vec c)
{
	return _mm256_blendv_ps(c, b, _mm256_castsi256_ps(a));
}

#if defined(CPU_VEC_AVXVNNI) && !defined(CPU_VEC_EVEX)

#define WORDS_DOT 1

VEC_INLINE words words_dot_halves(words sum, words a, words b)
{
	return _mm256_dpwssd_avx_epi32(sum, a, b);
}

VEC_INLINE words words_dot(words sum, words a, words b)
{
	return _mm256_dpbusd_avx_epi32(sum, a, b);
}

#elif defined(CPU_VEC_AVXVNNI)

#define WORDS_DOT 1

VEC_INLINE words words_dot_halves(words sum, words a, words b)
{
	return _mm256_dpwssd_epi32(sum, a, b);
}

VEC_INLINE words words_dot(words sum, words a, words b)
{
	return _mm256_dpbusd_epi32(sum, a, b);
}

#else

#define WORDS_DOT 0

/* sum + a, now and in the register of the sum: left to itself, GCC adds up the products of a whole
 * block at its end, and spills them until then. */
VEC_INLINE words words_accumulate(words sum, words a)
{
	__asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(a));
	return sum;
}

VEC_INLINE words words_accumulate_halves(words sums, words a)
{
	__asm__("vpaddw %1, %0, %0" : "+x"(sums) : "x"(a));
	return sums;
}

VEC_INLINE words words_dot_halves(words sum, words a, words b)
{
	return words_accumulate(sum, _mm256_madd_epi16(a, b));
}

/* Halves: two products of bytes each, a unsigned. */
VEC_INLINE words words_multiply_bytes(words a, words b)
{
	return _mm256_maddubs_epi16(a, b);
}

/* sum + the halves of a word. */
VEC_INLINE words words_widen(words sum, words halves)
{
	return words_accumulate(sum, _mm256_madd_epi16(halves, _mm256_set1_epi16(1)));
}

/* sum + the four products of signed bytes; b is at least -127. |a| times b with a's sign: two of
 * them are at most 2 x 128 x 127 = 32512, so nothing saturates. */
VEC_INLINE words words_dot_signed(words sum, words a, words b)
{
	return words_widen(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a)));
}

VEC_INLINE words words_abs8(words a)
{
	return _mm256_abs_epi8(a);
}

/* All bits of bytes below 0. */
VEC_INLINE words words_below8(words a)
{
	return _mm256_cmpgt_epi8(_mm256_setzero_si256(), a);
}

/* sum + products as above, but of -b - 1 instead of -b: what is missing, the sum of |a| where a is
 * below 0, depends on a alone. Two of them are at least -2 x 128 x 128. Unlike vpsignb, vpxor
 * leaves the units alone that multiply. */
VEC_INLINE words words_dot_flipped(words sum, words magnitude, words below, words b)
{
	return words_widen(sum, _mm256_maddubs_epi16(magnitude, words_xor(b, below)));
}

#endif
#endif
#endif
