/* base/math.c - see math.h. Elementary functions from the four operations alone, each rounded on
 * its own (-ffp-contract=off; math_expf fuses products and sums, and says where): the same bits
 * from every compiler, on every machine. Straight lines of arithmetic without tables or branches
 * where speed matters, so that a SIMD twin that does the same operations in the same order gives
 * the same bits.
 *
 * The coefficients are those of the Taylor series where these are short enough; only math_expf, the
 * one that kernels repeat for each element, has fitted ones.
 */
#include "base/math.h"

#include <assert.h>

#define LN2_HI 0x1.62e42feep-1          /* 32 bits: a product with any exponent is exact */
#define LN2_LO 0x1.a39ef35793c76p-33    /* ln 2 - LN2_HI */
#define LOG2_E 0x1.71547652b82fep+0
#define SQRT_2 0x1.6a09e667f3bcdp+0

static double f64_from_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint64_t f64_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* The polynomial c[0] + c[1] x + ... + c[count - 1] x^(count - 1). */
static double horner(const double *c, size_t count, double x)
{
	double sum = c[count - 1];

	for (size_t i = count - 1; i-- > 0;)
		sum = sum * x + c[i];
	return sum;
}

/* a * b + c in one rounding. Without an instruction for it: the product is exact in f64, and its
 * sum with c is rounded to odd there, so that it can be rounded again. */
static float fused(float a, float b, float c)
{
#if defined(__FP_FAST_FMAF)
	return __builtin_fmaf(a, b, c);
#else
	const double product = (double)a * (double)b, sum = product + (double)c;
	const double of_c = sum - product;
	const double lost = (product - (sum - of_c)) + ((double)c - of_c);
	const uint64_t bits = f64_bits(sum);

	if (bits & 1 || !(lost < 0.0 || lost > 0.0))   /* odd, exact or not finite */
		return (float)sum;
	return (float)f64_from_bits((lost > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1);
#endif
}

/* e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2.
 *
 * For a twin: clamp with max(LOW, x), then min(HIGH, x), x as the operand that is kept when it is
 * NaN; round by adding and subtracting MAGIC (1.5 x 2^23: n then stands in its low bits); every
 * fused product and sum below is one instruction, in this order; scale in two factors, since 2^n
 * itself may be subnormal or infinite. The fit is minimax for the relative error (Remez, 40
 * digits): 3.1e-9, 0.05 ulp. */
float math_expf(float x)
{
	const float low = -104.0F;   /* e^-104 rounds to 0 */
	const float high = 89.0F;    /* e^89 is above the largest float */
	const float magic = 0x1.8p23F;

	x = x < low ? low : x;
	x = x > high ? high : x;
	const float shifted = fused(x, (float)LOG2_E, magic);
	const float n = shifted - magic;
	float r = fused(n, -0x1.63p-1F, x);   /* 355/512, exact */

	r = fused(n, 0x1.bd0106p-13F, r);     /* 355/512 - ln 2 */
	float p = 0x1.6a2352p-10F;

	p = fused(p, r, 0x1.123a6cp-7F);
	p = fused(p, r, 0x1.5558f4p-5F);
	p = fused(p, r, 0x1.55549p-3F);
	p = fused(p, r, 0x1.fffffcp-2F);
	p = fused(p, r, 1.0F);
	p = fused(p, r, 1.0F);
	/* two's complement */
	const uint32_t exponent = math_f32_bits(shifted) - math_f32_bits(magic);
	const uint32_t half = (exponent >> 1) | (exponent & 0x80000000U);
	const float scale_a = math_f32_from_bits((half + 127U) << 23);
	const float scale_b = math_f32_from_bits((exponent - half + 127U) << 23);

	return p * scale_a * scale_b;
}

/* 2^n as two factors: n from -1100 to 1100, where one factor may not exist. */
static double scale_by_power_of_2(double value, int64_t n)
{
	const int64_t half = n / 2;

	assert(n >= -1100 && n <= 1100);
	return value * f64_from_bits((uint64_t)(half + 1023) << 52) *
	       f64_from_bits((uint64_t)(n - half + 1023) << 52);
}

double math_exp(double x)
{
	static const double inverse_factorials[] = {
		1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
		1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
	};
	const double magic = 0x1.8p52;

	if (x != x)
		return x;
	x = x < -746.0 ? -746.0 : x > 710.0 ? 710.0 : x;
	const double n = (x * LOG2_E + magic) - magic;
	const double r = (x - n * LN2_HI) - n * LN2_LO;
	const size_t terms = sizeof(inverse_factorials) / sizeof(inverse_factorials[0]);
	const double p = horner(inverse_factorials, terms, r);
	return scale_by_power_of_2(1.0 + (r + r * r * p), (int64_t)n);
}

/* x = 2^k m, m in [sqrt 1/2, sqrt 2); x positive and finite. */
static double split_exponent(double x, int64_t *k)
{
	uint64_t bits = f64_bits(x);
	int64_t exponent = 0;

	if (bits < 0x0010000000000000ULL) {  /* subnormal */
		bits = f64_bits(x * 0x1p52);
		exponent = -52;
	}
	exponent += (int64_t)(bits >> 52) - 1023;
	double m = f64_from_bits((bits & 0x000FFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL);
	if (m >= SQRT_2) {
		m *= 0.5;
		exponent++;
	}
	*k = exponent;
	return m;
}

/* log x = k ln 2 + log m, m in [sqrt 1/2, sqrt 2). With f = m - 1 and s = f / (2 + f),
 * log m = 2 atanh s = f - s (f - R), R = 2/3 s^2 + 2/5 s^4 + ... */
double math_log(double x)
{
	static const double odd_parts[] = {
		2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17,
		2.0 / 19, 2.0 / 21, 2.0 / 23,
	};
	int64_t k;

	if (!(x > 0.0) || x > 0x1.fffffffffffffp1023)
		return x == 0.0 ? -__builtin_inf() : x > 0.0 ? x : x < 0.0 ? __builtin_nan("") : x;
	const double f = split_exponent(x, &k) - 1.0;
	const double s = f / (2.0 + f);
	const double z = s * s;
	const double p = z * horner(odd_parts, sizeof(odd_parts) / sizeof(odd_parts[0]), z);
	const double n = (double)k;
	return n * LN2_HI + (f - (s * (f - p) - n * LN2_LO));
}

/* x * 2/pi modulo 4 in integers, where nothing rounds: x is mantissa * 2^-shift, 2/pi has 192 bits.
 * Returns the quarter of the circle; *fraction of the quarter, minus one half to one half, as sign
 * and magnitude / 2^192 in words[0] (lowest) to words[2]. */
static unsigned quarter_of(uint64_t mantissa, unsigned shift, uint64_t words[3], bool *negative)
{
	static const uint64_t two_over_pi[3] = {0xDB6295993C439041ULL, 0xFC2757D1F534DDC0ULL,
		0xA2F9836E4E441529ULL};
	uint64_t product[4];
	uint64_t carry = 0;

	for (unsigned i = 0; i < 3; i++) {
		const math_u128 part = (math_u128)mantissa * two_over_pi[i] + carry;

		product[i] = (uint64_t)part;
		carry = (uint64_t)(part >> 64);
	}
	product[3] = carry;
	for (unsigned i = 0; i < 3; i++)
		words[i] = product[i] >> shift | product[i + 1] << (64 - shift);
	unsigned quarter = (unsigned)(product[3] >> shift);
	*negative = words[2] >> 63;
	if (*negative) {  /* past the middle: count back from the next quarter */
		quarter++;
		words[0] = ~words[0];  /* one unit of 2^-192 too small */
		words[1] = ~words[1];
		words[2] = ~words[2];
	}
	return quarter & 3;
}

/* The top 64 bits of a number of three words, shifted up until the first one is set;
 * *exponent counts how far. */
static uint64_t normalise(const uint64_t words[3], unsigned *exponent)
{
	unsigned top = 2;

	while (top > 0 && words[top] == 0)
		top--;
	assert(words[top] != 0);  /* no double this small is that close to a multiple of pi/2 */
	const unsigned zeros = (unsigned)__builtin_clzll(words[top]);
	const uint64_t below = top > 0 ? words[top - 1] : 0;

	*exponent = 64 * (2 - top) + zeros;
	return zeros ? words[top] << zeros | below >> (64 - zeros) : words[top];
}

/* x = quarter * pi/2 + hi + lo with |hi| <= pi/4, for x from pi/4 to 2^30. */
static unsigned reduce_angle(double x, double *hi, double *lo)
{
	const uint64_t pi_over_2 = 0xC90FDAA22168C235ULL;  /* times 2^-63 */
	const uint64_t bits = f64_bits(x);
	const unsigned shift = 1075 - (unsigned)(bits >> 52);
	uint64_t words[3];
	unsigned zeros;
	bool negative;

	assert(shift >= 22 && shift <= 53);
	const unsigned quarter = quarter_of((bits & 0x000FFFFFFFFFFFFFULL) | 0x0010000000000000ULL,
		shift, words, &negative);
	const math_u128 angle = (math_u128)normalise(words, &zeros) * pi_over_2;  /* times 2^-127 */
	/* 53 bits: exact */
	const uint64_t first = (uint64_t)(angle >> 64) & ~0x7FFULL;
	const uint64_t rest = (uint64_t)((angle - ((math_u128)first << 64)) >> 32);
	const double scale = f64_from_bits((uint64_t)(1023 - 63 - zeros) << 52);

	*hi = (double)first * scale * (negative ? -1.0 : 1.0);
	*lo = (double)rest * 0x1p-32 * scale * (negative ? -1.0 : 1.0);
	return quarter;
}

/* Sine and cosine of hi + lo, |hi| <= pi/4; lo counts to first order. */
static void sincos_reduced(double hi, double lo, double *sine, double *cosine)
{
	static const double sine_terms[] = {
		-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800,
		-1.0 / 1307674368000, 1.0 / 355687428096000,
	};
	static const double cosine_terms[] = {
		1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
		-1.0 / 87178291200, 1.0 / 20922789888000,
	};
	const double z = hi * hi;
	const double half = 0.5 * z;
	const double near = 1.0 - half;  /* what its rounding lost is added back below */

	*sine = hi + (z * hi * horner(sine_terms, 8, z) + lo * near);
	*cosine = near + (((1.0 - near) - half) + (z * z * horner(cosine_terms, 7, z) - hi * lo));
}

void math_sincos(double x, double *sine, double *cosine)
{
	const double magnitude = x < 0.0 ? -x : x;
	double hi = magnitude;
	double lo = 0.0;
	double s;
	double c;
	unsigned quarter = 0;

	if (!(magnitude <= 0x1.fffffffffffffp1023)) {
		*sine = *cosine = __builtin_nan("");
		return;
	}
	assert(magnitude <= 0x1p30);
	if (magnitude > 0x1.921fb54442d18p-1)
		quarter = reduce_angle(magnitude, &hi, &lo);
	sincos_reduced(hi, lo, &s, &c);
	const double sine_magnitude = quarter & 1 ? c : s;
	const double cosine_magnitude = quarter & 1 ? s : c;
	*sine = ((quarter & 2) != 0) != (x < 0.0) ? -sine_magnitude : sine_magnitude;
	*cosine = quarter == 1 || quarter == 2 ? -cosine_magnitude : cosine_magnitude;
}

/* A sum of two doubles that carries about 104 bits (Dekker 1971): for math_pow alone. */
struct pair {
	double hi;
	double lo;
};

/* a + b exactly, in any order of magnitudes. */
static struct pair pair_sum(double a, double b)
{
	const double sum = a + b;
	const double b_there = sum - a;

	return (struct pair){sum, (a - (sum - b_there)) + (b - b_there)};
}

/* a * b exactly; neither above 2^990. */
static struct pair pair_product(double a, double b)
{
	const double splitter = 0x1p27 + 1.0;
	const double a_hi = a * splitter - (a * splitter - a);
	const double b_hi = b * splitter - (b * splitter - b);
	const double a_lo = a - a_hi;
	const double b_lo = b - b_hi;
	const double product = a * b;

	return (struct pair){product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) +
		a_lo * b_lo};
}

static struct pair pair_add(struct pair a, struct pair b)
{
	const struct pair sum = pair_sum(a.hi, b.hi);

	return pair_sum(sum.hi, sum.lo + (a.lo + b.lo));
}

static struct pair pair_multiply(struct pair a, struct pair b)
{
	const struct pair product = pair_product(a.hi, b.hi);

	return pair_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

static struct pair pair_divide(struct pair a, struct pair b)
{
	const double first = a.hi / b.hi;
	const struct pair back = pair_multiply(b, (struct pair){first, 0.0});
	const double rest = ((a.hi - back.hi) - back.lo + a.lo) / b.hi;

	return pair_sum(first, rest);
}

/* log x for positive, finite x, good to about 2^-90: the series of math_log in pairs. */
static struct pair pair_log(double x)
{
	const int terms = 30;  /* s^2 <= 0.0295: the next is below 2^-150 */
	int64_t k;
	const double m = split_exponent(x, &k);
	const struct pair s = pair_divide((struct pair){m - 1.0, 0.0}, pair_sum(m, 1.0));
	const struct pair z = pair_multiply(s, s);
	struct pair sum = {0.0, 0.0};

	for (int i = terms; i >= 0; i--) {
		const struct pair term = pair_divide((struct pair){2.0, 0.0},
			(struct pair){2 * i + 1, 0.0});

		sum = pair_add(pair_multiply(sum, z), term);
	}
	const struct pair powers = pair_sum((double)k * LN2_HI, (double)k * LN2_LO);
	return pair_add(powers, pair_multiply(sum, s));
}

double math_pow(double base, double exponent)
{
	assert(base > 0.0 && base <= 0x1.fffffffffffffp1023);
	if (exponent != exponent)
		return exponent;
	if (base == 1.0 || exponent == 0.0)
		return 1.0;
	const struct pair log_base = pair_log(base);
	const double rough = log_base.hi * exponent;
	if (!(rough < 800.0 && rough > -800.0))
		return rough > 0.0 ? __builtin_inf() : 0.0;
	if (rough < 0x1p-60 && rough > -0x1p-60)
		return 1.0;  /* also keeps the exact product away from subnormals */
	const struct pair power = pair_multiply(log_base, (struct pair){exponent, 0.0});
	const double near = math_exp(power.hi);
	return near > 0x1.fffffffffffffp1023 ? near : near + near * power.lo;
}

float math_sigmoidf(float x)
{
	const float e = math_expf(x < 0.0F ? x : -x);  /* at most 1 */

	return (x < 0.0F ? e : 1.0F) / (1.0F + e);
}

float math_siluf(float x)
{
	return x * math_sigmoidf(x);
}

/* max(x, 0) + log(1 + e), e = exp(-|x|), by log(1 + e) = 2 atanh(e / (2 + e)); |s| <= 1/3. */
float math_softplusf(float x)
{
	const float e = math_expf(x < 0.0F ? x : -x);
	const float s = e / (2.0F + e);
	const float z = s * s;
	float p = 2.0F / 17.0F;

	p = p * z + 2.0F / 15.0F;
	p = p * z + 2.0F / 13.0F;
	p = p * z + 2.0F / 11.0F;
	p = p * z + 2.0F / 9.0F;
	p = p * z + 2.0F / 7.0F;
	p = p * z + 2.0F / 5.0F;
	p = p * z + 2.0F / 3.0F;
	p = p * z;
	return (x > 0.0F ? x : 0.0F) + (2.0F * s + s * p);
}

uint16_t math_bf16_from_f32(float value)
{
	const uint32_t bits = math_f32_bits(value);

	if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
		/* quiet: rounding could make it infinite */
		return (uint16_t)(bits >> 16 | 0x0040U);
	return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

/* Half to float: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
uint16_t math_f16_from_f32(float value)
{
	const uint32_t bits = math_f32_bits(value);
	const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
	const uint32_t magnitude = bits & 0x7FFFFFFFU;

	if (magnitude > 0x7F800000U)
		return (uint16_t)(sign | 0x7E00U | (magnitude >> 13 & 0x3FFU));
	if (magnitude >= 0x477FF000U)  /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7C00U);
	/* below 2^-14: subnormal; adding 1/2 rounds to multiples of 2^-24 */
	if (magnitude < 0x38800000U) {
		const float shifted = math_f32_from_bits(magnitude) + 0.5F;

		return (uint16_t)(sign | (math_f32_bits(shifted) - 0x3F000000U));
	}
	const uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U);
	return (uint16_t)(sign | (rounded - 0x38000000U) >> 13);
}

bool math_add_i64(int64_t a, int64_t b, int64_t *out)
{
	int64_t result;

	if (__builtin_add_overflow(a, b, &result))
		return false;
	*out = result;
	return true;
}

bool math_sub_i64(int64_t a, int64_t b, int64_t *out)
{
	int64_t result;

	if (__builtin_sub_overflow(a, b, &result))
		return false;
	*out = result;
	return true;
}

bool math_mul_i64(int64_t a, int64_t b, int64_t *out)
{
	int64_t result;

	if (__builtin_mul_overflow(a, b, &result))
		return false;
	*out = result;
	return true;
}

bool math_mul_size(size_t a, size_t b, size_t *out)
{
	size_t result;

	if (__builtin_mul_overflow(a, b, &result))
		return false;
	*out = result;
	return true;
}
