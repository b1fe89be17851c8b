/* tests/base/math_test.c - stated error bounds against long double, special values, and bits that
 * never move. */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/math.h"
#include "base/prng.h"

/* Distance of got from exact in units of the last place of a format with that many digits and least
 * exponent. */
static long double ulps(long double got, long double exact, int digits, int exponent_min)
{
	int exponent;

	if (got == exact)
		return 0.0L;
	(void)frexpl(exact, &exponent);
	if (exponent < exponent_min)
		exponent = exponent_min;
	return fabsl(got - exact) / ldexpl(1.0L, exponent - digits);
}

static long double ulps_f32(float got, long double exact)
{
	return ulps((long double)got, exact, FLT_MANT_DIG, FLT_MIN_EXP);
}

static long double ulps_f64(double got, long double exact)
{
	return ulps((long double)got, exact, DBL_MANT_DIG, DBL_MIN_EXP);
}

/* The worst error over every 1009th float of [low, high], both signs of zero included. */
static long double worst_f32(float (*function)(float), long double (*exact)(long double), float low,
	float high)
{
	long double worst = 0.0L;

	for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1009) {
		const float x = math_f32_from_bits((uint32_t)bits);

		if (!(x >= low && x <= high))
			continue;
		const long double error = ulps_f32(function(x), exact((long double)x));
		worst = error > worst ? error : worst;
	}
	return worst;
}

static long double sigmoid_exact(long double x)
{
	return 1.0L / (1.0L + expl(-x));
}

static long double silu_exact(long double x)
{
	return x * sigmoid_exact(x);
}

static long double softplus_exact(long double x)
{
	return x > 0.0L ? x + log1pl(expl(-x)) : log1pl(expl(x));
}

static void expf_keeps_two_ulp(void **state)
{
	(void)state;
	assert_true(worst_f32(math_expf, expl, -104.0F, 88.72F) < 2.0L);
}

static void sigmoid_silu_and_softplus_keep_their_bounds(void **state)
{
	(void)state;
	assert_true(worst_f32(math_sigmoidf, sigmoid_exact, -100.0F, 100.0F) < 3.0L);
	assert_true(worst_f32(math_siluf, silu_exact, -80.0F, 100.0F) < 4.0L);
	assert_true(worst_f32(math_softplusf, softplus_exact, -100.0F, 100.0F) < 4.0L);
}

static void exp_and_log_keep_two_ulp(void **state)
{
	long double worst_exp = 0.0L;
	long double worst_log = 0.0L;
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (int i = 0; i < 400000; i++) {
		const double x = (prng_unit(&p) - 0.5) * (i % 2 ? 1490.0 : 2.0);
		const double y = ldexp(1.0 + prng_unit(&p), (int)prng_below(&p, 2097) - 1074) ;
		const double near_one = 1.0 +
			(prng_unit(&p) - 0.5) * ldexp(1.0, -(int)prng_below(&p, 50));

		if (x < 709.7)
			worst_exp = fmaxl(worst_exp, ulps_f64(math_exp(x), expl((long double)x)));
		worst_log = fmaxl(worst_log, ulps_f64(math_log(y), logl((long double)y)));
		worst_log = fmaxl(worst_log,
			ulps_f64(math_log(near_one), logl((long double)near_one)));
	}
	assert_true(worst_exp < 2.0L);
	assert_true(worst_log < 2.0L);
}

static void sine_and_cosine_keep_two_ulp_up_to_a_billion(void **state)
{
	long double worst = 0.0L;
	struct prng p;

	(void)state;
	prng_init(&p, 2);
	for (int i = 0; i < 400000; i++) {
		const int exponent = i % 31;
		const double magnitude = ldexp(prng_unit(&p), exponent);
		const double quarters = (double)prng_below(&p, 680000000) * 1.57079632679489661923;
		const double x = i % 3 == 0 ? quarters : i % 3 == 1 ? magnitude : -magnitude;
		double sine;
		double cosine;

		math_sincos(x, &sine, &cosine);
		worst = fmaxl(worst, ulps_f64(sine, sinl((long double)x)));
		worst = fmaxl(worst, ulps_f64(cosine, cosl((long double)x)));
	}
	assert_true(worst < 2.0L);
}

static void pow_keeps_two_ulp_for_rope_and_for_anything(void **state)
{
	long double worst = 0.0L;
	struct prng p;

	(void)state;
	prng_init(&p, 3);
	for (int i = 0; i < 100000; i++) {
		const double base = i % 2
			? 1e4 * (1.0 + 999.0 * prng_unit(&p))
			: ldexp(1.0 + prng_unit(&p), (int)prng_below(&p, 40) - 20);
		const double exponent = i % 2 ? -prng_unit(&p) : (prng_unit(&p) - 0.5) * 40.0;
		const long double exact = powl((long double)base, (long double)exponent);

		if (exact < (long double)DBL_MAX)
			worst = fmaxl(worst, ulps_f64(math_pow(base, exponent), exact));
	}
	assert_true(worst < 2.0L);
	assert_true(math_pow(2.0, 10.0) == 1024.0);
	assert_true(math_pow(10.0, 3.0) == 1000.0);
	assert_true(math_pow(1e300, 2.0) == INFINITY);
	assert_true(math_pow(1e300, -2.0) == 0.0);
	assert_true(math_pow(1.0, 1e300) == 1.0);
	assert_true(math_pow(3.0, 0.0) == 1.0);
}

static void special_values_are_what_they_should_be(void **state)
{
	double sine;
	double cosine;

	(void)state;
	assert_true(math_expf(0.0F) == 1.0F && math_exp(0.0) == 1.0);
	assert_true(math_expf(-INFINITY) == 0.0F && math_exp(-INFINITY) == 0.0);
	assert_true(math_expf(INFINITY) == INFINITY && math_exp(INFINITY) == INFINITY);
	assert_true(math_expf(1000.0F) == INFINITY && math_exp(1000.0) == INFINITY);
	assert_true(isnan(math_expf(NAN)) && isnan(math_exp(NAN)));
	assert_true(math_log(1.0) == 0.0);
	assert_true(math_log(-0.0) == -INFINITY);
	assert_true(math_log(INFINITY) == INFINITY);
	assert_true(isnan(math_log(-1.0)) && isnan(math_log(NAN)));
	assert_true(math_sigmoidf(-INFINITY) == 0.0F && math_sigmoidf(INFINITY) == 1.0F &&
		math_sigmoidf(0.0F) == 0.5F);
	assert_true(isnan(math_sigmoidf(NAN)) && isnan(math_softplusf(NAN)) &&
		isnan(math_siluf(NAN)));
	assert_true(math_softplusf(25.0F) == 25.0F && math_softplusf(INFINITY) == INFINITY);
	assert_true(math_softplusf(-INFINITY) == 0.0F);
	math_sincos(0.0, &sine, &cosine);
	assert_true(sine == 0.0 && cosine == 1.0);
	math_sincos(INFINITY, &sine, &cosine);
	assert_true(isnan(sine) && isnan(cosine));
}

/* Bits of every function over fixed samples: this hash is what makes a wandering compiler fail. */
static void the_same_bits_from_every_compiler(void **state)
{
	uint64_t hash = 0;
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	for (int i = 0; i < 20000; i++) {
		const double unit = prng_unit(&p);
		const float x = (float)(unit - 0.5) * 240.0F;
		const double wide = (unit - 0.5) * 1500.0;
		double sine;
		double cosine;

		math_sincos(unit * 1073741824.0, &sine, &cosine);
		const float singles[] = {math_expf(x), math_sigmoidf(x), math_siluf(x),
			math_softplusf(x)};
		const double doubles[] = {math_exp(wide), math_log(unit + 0x1p-60), sine, cosine,
			math_pow(1e7, -unit), math_pow(unit + 0x1p-60, wide)};
		hash = hash_mix(hash, hash_bytes(singles, sizeof(singles), 0));
		hash = hash_mix(hash, hash_bytes(doubles, sizeof(doubles), 0));
	}
	assert_int_equal(hash, 0xD6019F41CAA8108FULL);
}

static void every_half_survives_the_way_to_float_and_back(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
		const float as_f16 = math_f32_from_f16((uint16_t)bits);
		const float as_bf16 = math_f32_from_bf16((uint16_t)bits);

		if (isnan(as_f16))
			assert_true(isnan(math_f32_from_f16(math_f16_from_f32(as_f16))));
		else
			assert_int_equal(math_f16_from_f32(as_f16), bits);
		if (isnan(as_bf16))
			assert_true(isnan(math_f32_from_bf16(math_bf16_from_f32(as_bf16))));
		else
			assert_int_equal(math_bf16_from_f32(as_bf16), bits);
	}
	assert_true(math_f32_from_f16(0x3C00) == 1.0F && math_f32_from_f16(0x0001) == 0x1p-24F);
	assert_true(math_f32_from_f16(0xFBFF) == -65504.0F &&
		math_f32_from_f16(0x7C00) == INFINITY);
}

/* Halfway and a hair beside it, between each two neighbours. */
static void rounding_to_halves_is_to_nearest_even(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 0x7C00; bits++) {
		const float low = math_f32_from_f16((uint16_t)bits);
		const float high = bits == 0x7BFF ? 65536.0F
						  : math_f32_from_f16((uint16_t)(bits + 1));
		const float middle = low + (high - low) / 2;

		assert_int_equal(math_f16_from_f32(middle), bits + (bits & 1));
		assert_int_equal(math_f16_from_f32(nextafterf(middle, 0.0F)), bits);
		assert_int_equal(math_f16_from_f32(-nextafterf(middle, INFINITY)),
			(bits + 1) | 0x8000);
	}
	for (uint32_t bits = 0; bits < 0x7F80; bits++) {
		const float middle = math_f32_from_bits(bits << 16 | 0x8000);

		assert_int_equal(math_bf16_from_f32(middle), bits + (bits & 1));
		assert_int_equal(math_bf16_from_f32(nextafterf(middle, 0.0F)), bits);
		assert_int_equal(math_bf16_from_f32(-nextafterf(middle, INFINITY)),
			(bits + 1) | 0x8000);
	}
}

static void sums_and_products_that_do_not_fit_say_so_and_touch_nothing(void **state)
{
	int64_t number = 77;
	size_t size = 77;

	(void)state;
	assert_false(math_add_i64(INT64_MAX, 1, &number));
	assert_false(math_sub_i64(INT64_MIN, 1, &number));
	assert_false(math_mul_i64(INT64_MIN, -1, &number));
	assert_false(math_mul_i64(4000000000, 4000000000, &number));
	assert_int_equal(number, 77);
	assert_false(math_mul_size(SIZE_MAX, 2, &size));
	assert_int_equal(size, 77);
	assert_true(math_add_i64(INT64_MAX, INT64_MIN, &number));
	assert_int_equal(number, -1);
	assert_true(math_sub_i64(-1, INT64_MIN, &number));
	assert_int_equal(number, INT64_MAX);
	assert_true(math_mul_i64(3037000499, 3037000499, &number));
	assert_int_equal(number, 9223372030926249001);
	assert_true(math_mul_size(SIZE_MAX / 3, 3, &size));
	assert_int_equal(size, SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expf_keeps_two_ulp),
		cmocka_unit_test(sigmoid_silu_and_softplus_keep_their_bounds),
		cmocka_unit_test(exp_and_log_keep_two_ulp),
		cmocka_unit_test(sine_and_cosine_keep_two_ulp_up_to_a_billion),
		cmocka_unit_test(pow_keeps_two_ulp_for_rope_and_for_anything),
		cmocka_unit_test(special_values_are_what_they_should_be),
		cmocka_unit_test(the_same_bits_from_every_compiler),
		cmocka_unit_test(every_half_survives_the_way_to_float_and_back),
		cmocka_unit_test(rounding_to_halves_is_to_nearest_even),
		cmocka_unit_test(sums_and_products_that_do_not_fit_say_so_and_touch_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
