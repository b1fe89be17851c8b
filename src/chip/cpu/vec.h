/* chip/cpu/vec.h - vectors of floats under one set of names, so that a kernel is written once
 * for every width.
 *
 * Each instruction set compiles the *_vec.c files for itself, with its own flags and one of
 * CPU_VEC_AVX2, CPU_VEC_AVXVNNI (and CPU_VEC_EVEX for its other encoding), CPU_VEC_AVX512 or
 * CPU_VEC_AVX512_EMULATED; VEC_NAME gives its functions their
 * prefix. What is here has the same bits as its plain twin in base/math and kernels_ref.h.
 *
 *	vec v = vec_load(x);             VEC_LANES floats, any alignment
 *	vec t = vec_load_part(x, n);     the first n, zeros after them
 *	v = vec_fma(a, b, v);            a * b + v, one rounding
 */
#ifndef CHIP_CPU_VEC_H
#define CHIP_CPU_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chip/cpu/kernels.h"
#include "chip/cpu/kernels_ref.h"

#if defined(CPU_VEC_AVX512_EMULATED)
/* speed is no matter: quick to compile */
#define VEC_INLINE static inline __attribute__((unused))
#define VEC_UNROLL
#else
#define VEC_INLINE static inline __attribute__((always_inline, unused))
/* Loops of constant length over registers: unrolled whole, or the arrays would live in memory.
 * Not so for a sanitizer, which would see the same check in each copy. */
#if defined(CPU_VEC_ROLLED) && defined(__clang__)
#define VEC_UNROLL _Pragma("clang loop unroll(disable)")
#elif defined(CPU_VEC_ROLLED)
#define VEC_UNROLL _Pragma("GCC unroll 1")
#elif defined(__clang__)
#define VEC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VEC_UNROLL _Pragma("GCC unroll 32")
#endif
#endif

/* Keeps a vector alive, and the compiler from knowing what is in it; "m" also
 * where it is emulated. */
#if defined(CPU_VEC_AVX512_EMULATED)
#define VEC_KEEP(v) __asm__ volatile("" : "+m"(v))
#elif defined(CPU_VEC_AVX512)
#define VEC_KEEP(v) __asm__ volatile("" : "+v"(v))
#else
#define VEC_KEEP(v) __asm__ volatile("" : "+x"(v))
#endif

/* Has it in memory at this place. */
#define VEC_IN_MEMORY(v) __asm__ volatile("" : "+m"(v))

/* Any address will do, also one past the end. */
VEC_INLINE void vec_prefetch(const uint8_t *p)
{
	__builtin_prefetch(p);
}

/* To be written. */
VEC_INLINE void vec_prefetch_write(const void *p)
{
	__builtin_prefetch(p, 1);
}

/* Into the second-level cache: of memory more is under way so. */
VEC_INLINE void vec_prefetch_later(const uint8_t *p)
{
	__builtin_prefetch(p, 0, 2);
}

#if defined(CPU_VEC_AVXVNNI) && defined(CPU_VEC_EVEX)
#define VEC_NAME(name) avxvnni_evex_##name
#include "chip/cpu/vec_avx2.h"
#elif defined(CPU_VEC_AVXVNNI)
#define VEC_NAME(name) avxvnni_##name
#include "chip/cpu/vec_avx2.h"
#elif defined(CPU_VEC_AVX2)
#define VEC_NAME(name) avx2_##name
#include "chip/cpu/vec_avx2.h"
#elif defined(CPU_VEC_AVX512)
#define VEC_NAME(name) avx512_##name
#include "chip/cpu/vec_avx512.h"
#elif defined(CPU_VEC_AVX512_EMULATED)
#define VEC_NAME(name) avx512_emulated_##name
#include "chip/cpu/vec_avx512.h"
#else
#error "which instruction set?"
#endif

/* n floats, all lanes or fewer; where n is a constant only one of the two is left. */
VEC_INLINE vec vec_load_n(const float *p, uint32_t n)
{
	return n == VEC_LANES ? vec_load(p) : vec_load_part(p, n);
}

VEC_INLINE void vec_store_n(float *p, vec v, uint32_t n)
{
	if (n == VEC_LANES)
		vec_store(p, v);
	else
		vec_store_part(p, v, n);
}

/* How many lanes of the vector at i lie within count elements. */
VEC_INLINE uint32_t vec_lanes_at(uint32_t i, uint32_t count)
{
	return i >= count ? 0 : count - i < VEC_LANES ? count - i : VEC_LANES;
}

/* ---- functions of base/math ------------------------------------------------------------------ */

/* math_expf, operation by operation. */
VEC_INLINE vec vec_exp(vec x)
{
	const vec magic = vec_set(0x1.8p23F), one = vec_set(1.0F);

	x = vec_max(vec_set(-104.0F), x);
	x = vec_min(vec_set(89.0F), x);
	const vec shifted = vec_fma(x, vec_set((float)0x1.71547652b82fep+0), magic);
	const vec n = vec_sub(shifted, magic);
	const vec r = vec_fma(n, vec_set(0x1.bd0106p-13F), vec_fma(n, vec_set(-0x1.63p-1F), x));
	vec p = vec_set(0x1.6a2352p-10F);

	p = vec_fma(p, r, vec_set(0x1.123a6cp-7F));
	p = vec_fma(p, r, vec_set(0x1.5558f4p-5F));
	p = vec_fma(p, r, vec_set(0x1.55549p-3F));
	p = vec_fma(p, r, vec_set(0x1.fffffcp-2F));
	p = vec_fma(p, r, one);
	p = vec_fma(p, r, one);
	return vec_scale_by_power(p, shifted, magic);
}

/* Of one number: math_expf may have no instruction for its fused sums. */
VEC_INLINE float vec_exp_one(float x)
{
	float lanes[VEC_LANES];

	vec_store(lanes, vec_exp(vec_set(x)));
	return lanes[0];
}

VEC_INLINE vec vec_sigmoid(vec x)
{
	const vec one = vec_set(1.0F);
	const vec e = vec_exp(vec_minus_abs(x));

	return vec_div(vec_if_negative(x, e, one), vec_add(one, e));
}

VEC_INLINE vec vec_silu(vec x)
{
	return vec_mul(x, vec_sigmoid(x));
}

/* math_softplusf, operation by operation. */
VEC_INLINE vec vec_softplus(vec x)
{
	const vec e = vec_exp(vec_minus_abs(x));
	const vec s = vec_div(e, vec_add(vec_set(2.0F), e));
	const vec z = vec_mul(s, s);
	vec p = vec_set(2.0F / 17.0F);

	p = vec_add(vec_mul(p, z), vec_set(2.0F / 15.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 13.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 11.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 9.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 7.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 5.0F));
	p = vec_add(vec_mul(p, z), vec_set(2.0F / 3.0F));
	p = vec_mul(p, z);
	return vec_add(vec_max(x, vec_set(0.0F)),
		vec_add(vec_mul(vec_set(2.0F), s), vec_mul(s, p)));
}

/* ---- sums in 16 stripes ---------------------------------------------------------------------- */

#define VEC_STRIPES (CPU_STRIPES / VEC_LANES)

struct vec_stripes {
	vec s[VEC_STRIPES];
};

VEC_INLINE struct vec_stripes vec_stripes_zero(void)
{
	struct vec_stripes t;

	VEC_UNROLL
	for (size_t j = 0; j < VEC_STRIPES; j++)
		t.s[j] = vec_set(0.0F);
	return t;
}

VEC_INLINE float vec_sum_of_squares(const float *x, uint32_t count)
{
	struct vec_stripes t = vec_stripes_zero();
	uint32_t i = 0;

	for (; i + CPU_STRIPES <= count; i += CPU_STRIPES)
		VEC_UNROLL
		for (uint32_t j = 0; j < VEC_STRIPES; j++) {
			const vec v = vec_load(x + i + j * VEC_LANES);

			t.s[j] = vec_fma(v, v, t.s[j]);
		}
	for (uint32_t j = 0; i < count && j < VEC_STRIPES; j++) {
		const vec v = vec_load_part(x + i + j * VEC_LANES,
			vec_lanes_at(i + j * VEC_LANES, count));

		t.s[j] = vec_fma(v, v, t.s[j]);
	}
	return vec_fold_stripes(t.s);
}

#endif
