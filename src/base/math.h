/* base/math.h - arithmetic with promises: elementary functions that give the same bits on every
 * platform (no libm, no contraction, round to nearest), number formats, and integer operations that
 * tell when they overflow.
 *
 * Error bounds are stated per function and tested against long double on dense samples.
 */
#ifndef BASE_MATH_H
#define BASE_MATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 math_u128;  /* products of two 64-bit numbers */
__extension__ typedef __int128 math_i128;          /* exact sums of such products */

/* Correct to 2 ulp, NaN for NaN. exp(-inf) = 0, overflow gives inf; log(0) = -inf, below 0 NaN.
 * math_expf says in math.c how a SIMD twin gives the same bits. */
float math_expf(float x);
double math_exp(double x);
double math_log(double x);
/* 2 ulp for |x| <= 2^30, which is asserted (argument reduced in integers): rope angles up to the
 * longest contexts. NaN and infinities give NaN. */
void math_sincos(double x, double *sine, double *cosine);
/* base^exponent to 2 ulp, for finite base > 0. */
double math_pow(double base, double exponent);

float math_sigmoidf(float x);   /* 1/(1+exp(-x)) without overflow, to 3 ulp */
float math_siluf(float x);      /* x * sigmoid(x), to 4 ulp */
float math_softplusf(float x);  /* log(1+exp(x)), to 4 ulp; x itself above 20 */

/* Correctly rounded on all platforms (one IEEE instruction). */
static inline float math_sqrtf(float x)
{
	return __builtin_sqrtf(x);
}

static inline float math_f32_from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t math_f32_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static inline float math_f32_from_bf16(uint16_t half)
{
	return math_f32_from_bits((uint32_t)half << 16);
}

/* Masks instead of branches: a loop of it becomes vectors. */
static inline float math_f32_from_f16(uint16_t half)
{
	const uint32_t sign = (uint32_t)(half & 0x8000U) << 16, magnitude = half & 0x7FFFU;
	const uint32_t subnormal = math_f32_bits((float)(int32_t)magnitude * 0x1p-24F);
	const uint32_t normal = (magnitude << 13) + (112U << 23);
	const uint32_t small = 0U - (uint32_t)(magnitude < 0x400);
	const uint32_t special = 0U - (uint32_t)(magnitude >= 0x7C00);

	return math_f32_from_bits((subnormal & small) |
		(normal & ~small) | (special & 0x7F800000U) | sign);
}

/* Round to nearest even; NaN stays NaN. */
uint16_t math_bf16_from_f32(float value);
uint16_t math_f16_from_f32(float value);

/* *out = a op b; false, and *out untouched, when the result does not fit. */
bool math_add_i64(int64_t a, int64_t b, int64_t *out) __attribute__((warn_unused_result));
bool math_sub_i64(int64_t a, int64_t b, int64_t *out) __attribute__((warn_unused_result));
bool math_mul_i64(int64_t a, int64_t b, int64_t *out) __attribute__((warn_unused_result));
bool math_mul_size(size_t a, size_t b, size_t *out) __attribute__((warn_unused_result));

static inline uint32_t math_min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t math_divide_up_u32(uint32_t n, uint32_t by)
{
	return n / by + (n % by > 0);
}

static inline size_t math_divide_up(size_t n, size_t by)
{
	return n / by + (n % by > 0);
}

/* To a multiple of unit; n is not near SIZE_MAX. */
static inline size_t math_round_up(size_t n, size_t unit)
{
	return math_divide_up(n, unit) * unit;
}

static inline uint32_t math_max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline int64_t math_min_i64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t math_max_i64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif
