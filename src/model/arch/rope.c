/* model/arch/rope.c - see rope.h. Source: transformers' modeling_rope_utils; YaRN: arXiv
 * 2309.00071. */
#include "model/arch/rope.h"

#include <assert.h>

#include "base/math.h"
#include "chip/chip.h"

#define PI 3.14159265358979323846

/* base^(2i / dim), the wavelength of pair i over 2 pi. */
static float period(const struct model_config *c, uint32_t i)
{
	const float exponent = (float)(2 * i) / (float)c->rotary_dim;

	return (float)math_pow((double)(float)c->rope_theta, (double)exponent);
}

/* The pair, not whole, that turns so often over the context trained on. */
static double pair_of_turns(const struct model_config *c, double turns)
{
	const double context = c->rope_scaling.context;

	return c->rotary_dim * math_log(context / (turns * 2 * PI)) / (2 * math_log(c->rope_theta));
}

static double whole_below(double x)
{
	const double whole = (double)(int64_t)x;

	return whole > x ? whole - 1 : whole;
}

/* Pairs below first keep their frequency, those above last are stretched by the whole factor. */
struct ramp {
	double first, last;
};

static struct ramp yarn_ramp(const struct model_config *c)
{
	const struct model_rope_scaling *s = &c->rope_scaling;
	struct ramp r = {pair_of_turns(c, s->beta_fast), pair_of_turns(c, s->beta_slow)};

	if (s->truncate) {
		r.first = whole_below(r.first);
		r.last = -whole_below(-r.last);
	}
	r.first = r.first > 0 ? r.first : 0;
	r.last = r.last < c->rotary_dim - 1 ? r.last : c->rotary_dim - 1;
	if (!(r.last < r.first || r.last > r.first))
		r.last += 0.001;
	return r;
}

static float yarn(const struct model_config *c, struct ramp ramp, uint32_t i)
{
	const float one = period(c, i), kept = 1.0F / one;
	const float stretched = 1.0F / ((float)c->rope_scaling.factor * one);
	const float at = ((float)i - (float)ramp.first) / (float)(ramp.last - ramp.first);
	const float clamped = at < 0 ? 0 : at > 1 ? 1 : at;
	const float share = 1.0F - clamped;   /* of the frequency as it was */

	return stretched * (1.0F - share) + kept * share;
}

/* Short waves stay, long ones are stretched, those between the two limits by less. */
static float llama3(const struct model_config *c, float frequency)
{
	const struct model_rope_scaling *s = &c->rope_scaling;
	const float factor = (float)s->factor, low = (float)s->low;
	const float wave = (1.0F / frequency) * (float)(2 * PI);
	const float longest = (float)(s->context / s->low);
	const float shortest = (float)(s->context / s->high);

	if (wave < shortest)
		return frequency;
	if (wave > longest)
		return frequency / factor;
	const float share = ((1.0F / wave) * (float)s->context - low) / (float)(s->high - s->low);

	return (1.0F - share) * frequency / factor + share * frequency;
}

static float frequency_of(const struct model_config *c, struct ramp ramp, uint32_t i)
{
	const float plain = 1.0F / period(c, i);

	switch (c->rope_scaling.kind) {
	case MODEL_ROPE_PLAIN:
		return plain;
	case MODEL_ROPE_LINEAR:
		return plain / (float)c->rope_scaling.factor;
	case MODEL_ROPE_YARN:
		return yarn(c, ramp, i);
	case MODEL_ROPE_LLAMA3:
		return llama3(c, plain);
	}
	assert(false && "a kind of the enum");
	return plain;
}

/* Of the quotient and its two neighbours the one that leads back, if one does. */
static float divisor_of(float plain, float frequency)
{
	const float quotient = plain / frequency;

	for (int i = -1; i <= 1; i++) {
		const float near = math_f32_from_bits(math_f32_bits(quotient) + (uint32_t)i);

		if (!(plain / near < frequency) && !(plain / near > frequency))
			return near;
	}
	return quotient;
}

void rope_divisors(const struct model_config *c, float *out)
{
	assert(c->rope_scaling.kind == MODEL_ROPE_LLAMA3);
	for (uint32_t i = 0; i < c->rotary_dim / 2; i++)
		out[i] = divisor_of(1.0F / period(c, i), c->rope_frequencies[i]);
}

double rope_yarn_attention(double factor)
{
	return factor <= 1 ? 1 : 0.1 * math_log(factor) + 1;
}

enum err rope_fill(struct model_config *c, const float *divisors, struct err_info *info)
{
	const bool is_yarn = c->rope_scaling.kind == MODEL_ROPE_YARN;
	struct ramp ramp = {0};

	assert(c->rotary_dim % 2 == 0 && c->rotary_dim <= MODEL_HEAD_DIM_MAX);
	if (is_yarn)
		ramp = yarn_ramp(c);
	c->rope_factor = is_yarn ? (float)c->rope_scaling.attention : 1.0F;
	for (uint32_t i = 0; i < c->rotary_dim / 2; i++) {
		float frequency = frequency_of(c, ramp, i);

		if (divisors)
			frequency /= divisors[i];
		if (!(frequency >= 0 && frequency <= CHIP_FREQUENCY_MAX)) /* NaN too */
			return err_set(info, ERR_INPUT,
				"rotary pair %u turns by %g a token, not 0 to %g", i,
				(double)frequency, (double)CHIP_FREQUENCY_MAX);
		c->rope_frequencies[i] = frequency;
	}
	return ERR_NONE;
}
