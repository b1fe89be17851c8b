/* chip/cpu/simd512.h - where the AVX-512 intrinsics come from: the compiler, or for tests on
 * machines without them (CHIP_SIMDE) SIMDe, with the few it lacks, or rounds otherwise than the
 * manual says (Intel SDM, volume 2), made here. */
#ifndef CHIP_CPU_SIMD512_H
#define CHIP_CPU_SIMD512_H

#if !defined(CHIP_SIMDE)
#include <immintrin.h>
#else

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define EMULATED static inline __attribute__((unused))

EMULATED __m512 emulated_join_ps(__m256 low, __m256 high)
{
	__m512 v;

	memcpy(&v, &low, sizeof(low));
	memcpy((char *)&v + sizeof(low), &high, sizeof(high));
	return v;
}

EMULATED __m512i emulated_join_epi32(__m256i low, __m256i high)
{
	__m512i v;

	memcpy(&v, &low, sizeof(low));
	memcpy((char *)&v + sizeof(low), &high, sizeof(high));
	return v;
}

EMULATED __m256i emulated_half(__m512i v, int which)
{
	__m256i half;

	memcpy(&half, (const char *)&v + (size_t)which * sizeof(half), sizeof(half));
	return half;
}

EMULATED __m512 emulated_maskz_loadu_ps(__mmask16 mask, const float *p)
{
	float lanes[16] = {0};
	__m512 v;

	for (int i = 0; i < 16; i++)
		if (mask >> i & 1)
			lanes[i] = p[i];
	memcpy(&v, lanes, sizeof(v));
	return v;
}

EMULATED void emulated_mask_storeu_ps(float *p, __mmask16 mask, __m512 v)
{
	float lanes[16];

	memcpy(lanes, &v, sizeof(v));
	for (int i = 0; i < 16; i++)
		if (mask >> i & 1)
			p[i] = lanes[i];
}

EMULATED __m512 emulated_cvtph_ps(__m256i halves)
{
	return emulated_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
		_mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)));
}

EMULATED __m256i emulated_cvtps_ph(__m512 v)
{
	const __m512i bits = _mm512_castps_si512(v);
	const __m128i low = _mm256_cvtps_ph(_mm256_castsi256_ps(emulated_half(bits, 0)), 0);
	const __m128i high = _mm256_cvtps_ph(_mm256_castsi256_ps(emulated_half(bits, 1)), 0);

	return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

EMULATED __m512i emulated_cvtepu16_epi32(__m256i v)
{
	return emulated_join_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
		_mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
}

EMULATED __m512i emulated_cvtepi8_epi32(__m128i v)
{
	return emulated_join_epi32(_mm256_cvtepi8_epi32(v),
		_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
}

EMULATED __mmask32 emulated_testn_epi16_mask(__m512i a, __m512i b)
{
	uint16_t x[32], y[32];
	__mmask32 mask = 0;

	memcpy(x, &a, sizeof(a));
	memcpy(y, &b, sizeof(b));
	for (int i = 0; i < 32; i++)
		mask |= (__mmask32)((x[i] & y[i]) == 0) << i;
	return mask;
}

EMULATED __m512 emulated_cvtepi32_ps(__m512i v)
{
	return emulated_join_ps(_mm256_cvtepi32_ps(emulated_half(v, 0)),
		_mm256_cvtepi32_ps(emulated_half(v, 1)));
}

EMULATED __m512d emulated_cvtps_pd(__m256 v)
{
	const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
	const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
	__m512d out;

	memcpy(&out, &low, sizeof(low));
	memcpy((char *)&out + sizeof(low), &high, sizeof(high));
	return out;
}

EMULATED __m512i emulated_srai_epi32(__m512i v, unsigned n)
{
	return emulated_join_epi32(_mm256_srai_epi32(emulated_half(v, 0), (int)n),
		_mm256_srai_epi32(emulated_half(v, 1), (int)n));
}

EMULATED __m512i emulated_cvtepu8_epi32(__m128i v)
{
	return emulated_join_epi32(_mm256_cvtepu8_epi32(v),
		_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)));
}

/* a times 2^floor(b), rounded once. */
EMULATED __m512 emulated_scalef_ps(__m512 a, __m512 b)
{
	float lanes[16], powers[16];
	__m512 v;

	memcpy(lanes, &a, sizeof(a));
	memcpy(powers, &b, sizeof(b));
	for (int i = 0; i < 16; i++) {
		const float power = fmaxf(-1000.0F, fminf(powers[i], 1000.0F));

		lanes[i] = powers[i] != powers[i] ? powers[i]
			: scalbnf(lanes[i], (int)floorf(power));
	}
	memcpy(&v, lanes, sizeof(v));
	return v;
}

/* What floor leaves of it. */
EMULATED __m512 emulated_reduce_ps(__m512 a)
{
	float lanes[16];
	__m512 v;

	memcpy(lanes, &a, sizeof(a));
	for (int i = 0; i < 16; i++)
		lanes[i] = isinf(lanes[i]) ? 0.0F : lanes[i] - floorf(lanes[i]);
	memcpy(&v, lanes, sizeof(v));
	return v;
}

/* Two products added to each sum, the upper halves' first, each with one rounding. */
EMULATED __m512 emulated_dpbf16_ps(__m512 sums, __m512i a, __m512i b)
{
	const __m512i upper = _mm512_set1_epi32((int)0xFFFF0000U);
	const __m512 first = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, upper)),
		_mm512_castsi512_ps(_mm512_and_si512(b, upper)), sums);

	return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
		_mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), first);
}

/* To nearest even; subnormal numbers are 0. */
EMULATED uint16_t emulated_bf16(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
		return (uint16_t)(bits >> 16 | 0x0040U);
	if ((bits & 0x7F800000U) == 0)
		return (uint16_t)(bits >> 16 & 0x8000U);
	return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

/* b in the lower half. */
EMULATED __m512i emulated_cvtne2ps_pbh(__m512 a, __m512 b)
{
	float lanes[32];
	uint16_t halves[32];
	__m512i v;

	memcpy(lanes, &b, sizeof(b));
	memcpy(lanes + 16, &a, sizeof(a));
	for (int i = 0; i < 32; i++)
		halves[i] = emulated_bf16(lanes[i]);
	memcpy(&v, halves, sizeof(v));
	return v;
}

EMULATED __m256i emulated_cvtepi32_epi16(__m512i v)
{
	int32_t lanes[16];
	int16_t halves[16];
	__m256i out;

	memcpy(lanes, &v, sizeof(v));
	for (int i = 0; i < 16; i++)
		halves[i] = (int16_t)lanes[i];
	memcpy(&out, halves, sizeof(out));
	return out;
}

#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, p) emulated_maskz_loadu_ps(mask, p)
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(p, mask, v) emulated_mask_storeu_ps(p, mask, v)
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(v) emulated_cvtph_ps(v)
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(v, rounding) emulated_cvtps_ph(v)
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(v) emulated_cvtepu16_epi32(v)
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(v) emulated_cvtepu8_epi32(v)
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32(v) emulated_cvtepi8_epi32(v)
#undef _mm512_testn_epi16_mask
#define _mm512_testn_epi16_mask(a, b) emulated_testn_epi16_mask(a, b)
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(v) emulated_cvtepi32_ps(v)
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(v) emulated_cvtepi32_epi16(v)
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh(a, b) emulated_cvtne2ps_pbh(a, b)
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd(v) emulated_cvtps_pd(v)
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(v, n) emulated_srai_epi32(v, n)
#undef _mm512_scalef_ps
#define _mm512_scalef_ps(a, b) emulated_scalef_ps(a, b)
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4(a, b, lanes) simde_mm512_shuffle_f32x4(a, b, lanes)
#undef _mm512_shuffle_ps
#define _mm512_shuffle_ps(a, b, lanes) simde_mm512_shuffle_ps(a, b, lanes)
#undef _mm512_reduce_ps
#define _mm512_reduce_ps(v, rounding) emulated_reduce_ps(v)
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(sums, a, b) emulated_dpbf16_ps(sums, (__m512i)(a), (__m512i)(b))

#endif
#endif
