/* model/quantize/quantize_super.c - see quantize_super.h: the fit.
 *
 * Each group is fitted as if its numbers were free, and d and m are what the largest need. Then
 * rounds of coordinate descent: for each group the whole numbers with the least error, among those
 * near what it wanted; for all groups the d and m that fit their levels best. */
#include "model/quantize/quantize_super.h"

#include <math.h>

#define ROUNDS 2

static uint32_t group_count(const struct super *s)
{
	return SUPER_VALUES / s->shape->group_values;
}

static struct fit_group group_of(const struct super *s, uint32_t j)
{
	const size_t n = s->shape->group_values;

	return (struct fit_group){.x = s->x + j * n, .w = s->w + j * n, .n = n};
}

static struct fit_line line_of(const struct super *s, float scale, float minimum)
{
	return (struct fit_line){.scale = s->d * scale, .base = -(s->m * minimum)};
}

/* The whole number nearest to v within bounds. */
static float whole(float v, float low, float high)
{
	if (!(v > low))
		return low;
	if (!(v < high))
		return high;
	return v < 0 ? (float)(int)(v - 0.5F) : (float)(int)(v + 0.5F);
}

/* Takes the pair for group j if its error is less; true if it did. */
static bool keep_pair(struct super *s, uint32_t j, float scale, float minimum, float *error)
{
	const struct super_shape *shape = s->shape;
	const struct fit_group g = group_of(s, j);

	if (scale < shape->scale_low || scale > shape->scale_high || minimum < 0 ||
		minimum > shape->scale_high)
		return false;
	const float here = fit_error(&g, &shape->levels, line_of(s, scale, minimum));

	if (!(here < *error))
		return false;
	*error = here;
	s->scale[j] = scale;
	s->minimum[j] = minimum;
	return true;
}

/* The minimum that goes with a scale if the mean stays at the level where wanted has it. */
static float minimum_with(const struct super *s, const struct fit_line *wanted, float mean,
	float scale)
{
	const float level = wanted->scale > 0 ? (mean - wanted->base) / wanted->scale : 0;

	return s->m > 0 ? whole((s->d * scale * level - mean) / s->m, 0, s->shape->scale_high) : 0;
}

/* The numbers of group j with the least error near what it wanted. */
static void settle(struct super *s, uint32_t j, const struct fit_line *wanted)
{
	const struct super_shape *shape = s->shape;
	const struct fit_group g = group_of(s, j);
	const struct fit_totals t = fit_totals(&g);
	const float near = s->d != 0
		? whole(wanted->scale / s->d, shape->scale_low, shape->scale_high) : 0;
	float error = INFINITY;

	for (int i = -1; i <= 1; i++) {
		const float scale = near + (float)i;
		const float minimum = shape->affine ? minimum_with(s, wanted, t.x / t.w, scale) : 0;

		(void)keep_pair(s, j, scale, minimum, &error);
	}
	const float scale = s->scale[j], minimum = s->minimum[j];

	if (shape->affine && !keep_pair(s, j, scale, minimum + 1, &error))
		(void)keep_pair(s, j, scale, minimum - 1, &error);
}

static float total_error(const struct super *s)
{
	float error = 0;

	for (uint32_t j = 0; j < group_count(s); j++) {
		const struct fit_group g = group_of(s, j);

		error += fit_error(&g, &s->shape->levels,
			line_of(s, s->scale[j], s->minimum[j]));
	}
	return error;
}

/* The d and m with the least error for the levels that all values have now: a linear system of two
 * equations, a d - b m = x and b d - c m = y. */
static void solve_common(struct super *s)
{
	float a = 0, b = 0, c = 0, x = 0, y = 0;

	for (uint32_t j = 0; j < group_count(s); j++) {
		const float scale = s->scale[j], minimum = s->minimum[j];
		const struct fit_group g = group_of(s, j);
		const struct fit_sums sums =
			fit_sums(&g, &s->shape->levels, line_of(s, scale, minimum));
		const struct fit_totals t = fit_totals(&g);

		a += scale * scale * sums.qq;
		b += scale * minimum * sums.q;
		c += minimum * minimum * t.w;
		x += scale * sums.xq;
		y += minimum * t.x;
	}
	const float det = a * c - b * b;

	if (det > 1e-6F * a * c) {
		s->d = round_f16((c * x - b * y) / det);
		s->m = round_f16((b * x - a * y) / det);
	} else if (a > 0) {
		s->d = round_f16(x / a);
	}
}

/* New d and m if they make the error less. */
static bool improve_common(struct super *s)
{
	const float d = s->d, m = s->m, error = total_error(s);

	solve_common(s);
	if (s->m >= 0 && total_error(s) < error)
		return true;
	s->d = d;
	s->m = m;
	return false;
}

static void start(struct super *s, struct fit_line wanted[SUPER_GROUPS_MAX])
{
	const struct super_shape *shape = s->shape;
	float scale = 0, base = 0;

	for (uint32_t j = 0; j < group_count(s); j++) {
		const struct fit_group g = group_of(s, j);

		wanted[j] = shape->affine ? fit_affine(&g, &shape->levels, 0)
			: (struct fit_line){.scale = fit_scale(&g, &shape->levels)};
		if (fabsf(wanted[j].scale) > fabsf(scale))
			scale = wanted[j].scale;
		if (wanted[j].base < base)
			base = wanted[j].base;
	}
	s->d = round_f16(scale / (shape->affine ? shape->scale_high : shape->scale_low));
	s->m = round_f16(-base / shape->scale_high);
}

static void codes_of(const struct super *s, uint8_t codes[SUPER_VALUES])
{
	const size_t n = s->shape->group_values;

	for (uint32_t j = 0; j < group_count(s); j++)
		fit_codes(s->x + j * n, n, &s->shape->levels,
			line_of(s, s->scale[j], s->minimum[j]), codes + j * n);
}

bool super_fit(struct super *s, const struct super_shape *shape, const float *x,
	uint8_t codes[SUPER_VALUES])
{
	struct fit_line wanted[SUPER_GROUPS_MAX];

	*s = (struct super){.shape = shape, .x = x};
	if (fabsf(fit_extreme(x, SUPER_VALUES)) < FIT_TINY)
		return false;
	if (shape->affine)
		fit_weigh_sizes(x, SUPER_VALUES, s->w);
	else
		fit_weigh_squares(x, SUPER_VALUES, s->w);
	start(s, wanted);
	for (int round = 0; round < ROUNDS; round++) {
		for (uint32_t j = 0; j < group_count(s); j++)
			settle(s, j, &wanted[j]);
		if (!improve_common(s))
			break;
	}
	codes_of(s, codes);
	return true;
}
