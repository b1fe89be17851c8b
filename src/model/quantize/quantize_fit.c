/* model/quantize/quantize_fit.c - see quantize_fit.h. */
#include "model/quantize/quantize_fit.h"

#include <math.h>
#include "base/math.h"

#define LANES   8
#define ROUNDER 12582912.0F  /* 1.5 * 2^23: added and taken away, it leaves the nearest integer */

static inline float lanes_sum(const float v[LANES])
{
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static inline float clamp(float v, float low, float high)
{
	v = v < low ? low : v;
	return v > high ? high : v;
}

static inline float nearest(float v, float low, float high)
{
	return clamp(v, low, high) + ROUNDER - ROUNDER;
}

/* v is a value divided by its scale. */
static inline size_t cell_of(float v)
{
	return (size_t)nearest(2 * v + (FIT_CELLS / 2 - 0.5F), 0, FIT_CELLS - 1);
}

void fit_table_make(struct fit_table *t, const int8_t values[16], const uint8_t codes[16])
{
	unsigned at = 0;

	for (int cell = 0; cell < FIT_CELLS; cell++) {
		const int middle_4 = 2 * (cell - FIT_CELLS / 2) + 1; /* of the cell, times 4 */

		while (at < 15 && 2 * (values[at] + values[at + 1]) < middle_4)
			at++;
		t->value[cell] = values[at];
		t->code[cell] = codes[at];
	}
}

struct fit_levels fit_table_levels(const struct fit_table *t, const int8_t values[16])
{
	/* a third of the mean distance of two entries */
	const float start = (float)(values[15] - values[0]) / 45;

	return (struct fit_levels){
		.low = values[0], .high = values[15], .start = start, .table = t};
}

static float mean_square(const float *x, size_t n)
{
	float sum[LANES] = {0};

	for (size_t i = 0; i < n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			sum[l] += x[i + l] * x[i + l];
	return lanes_sum(sum) / (float)n;
}

void fit_weigh_sizes(const float *x, size_t n, float *w)
{
	const float root = math_sqrtf(mean_square(x, n));

	for (size_t i = 0; i < n; i++)
		w[i] = fabsf(x[i]) + root;
}

void fit_weigh_squares(const float *x, size_t n, float *w)
{
	const float mean = mean_square(x, n);

	for (size_t i = 0; i < n; i++)
		w[i] = x[i] * x[i] + mean;
}

struct fit_totals fit_totals(const struct fit_group *g)
{
	float w[LANES] = {0}, x[LANES] = {0};

	for (size_t i = 0; i < g->n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			w[l] += g->w[i + l];
			x[l] += g->w[i + l] * g->x[i + l];
		}
	return (struct fit_totals){.w = lanes_sum(w), .x = lanes_sum(x)};
}

/* The level of a value is the one nearest to factor * x + offset. */
struct transform {
	float factor;
	float offset;
};

static struct transform transform_of(struct fit_line line)
{
	/* of a scale so small that its inverse is infinite nothing is gained either */
	const float inverse = fabsf(line.scale) > 1e-30F ? 1 / line.scale : 0;

	return (struct transform){.factor = inverse, .offset = -line.base * inverse};
}

static struct fit_sums sums_of_integers(const struct fit_group *g, float low, float high,
	struct transform t)
{
	float q_sum[LANES] = {0}, qq_sum[LANES] = {0}, xq_sum[LANES] = {0};
	const float *x = g->x, *w = g->w;

	for (size_t i = 0; i < g->n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			const float q = nearest(x[i + l] * t.factor + t.offset, low, high);
			const float wq = w[i + l] * q;

			q_sum[l] += wq;
			qq_sum[l] += wq * q;
			xq_sum[l] += wq * x[i + l];
		}
	return (struct fit_sums){
		.q = lanes_sum(q_sum), .qq = lanes_sum(qq_sum), .xq = lanes_sum(xq_sum)};
}

static struct fit_sums sums_of_table(const struct fit_group *g, const struct fit_table *table,
	struct transform t)
{
	float q[FIT_VALUES_MAX];
	float q_sum[LANES] = {0}, qq_sum[LANES] = {0}, xq_sum[LANES] = {0};

	for (size_t i = 0; i < g->n; i++)
		q[i] = table->value[cell_of(g->x[i] * t.factor + t.offset)];
	for (size_t i = 0; i < g->n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			const float wq = g->w[i + l] * q[i + l];

			q_sum[l] += wq;
			qq_sum[l] += wq * q[i + l];
			xq_sum[l] += wq * g->x[i + l];
		}
	return (struct fit_sums){
		.q = lanes_sum(q_sum), .qq = lanes_sum(qq_sum), .xq = lanes_sum(xq_sum)};
}

static struct fit_sums sums_of(const struct fit_group *g, const struct fit_levels *levels,
	struct transform t)
{
	return levels->table ? sums_of_table(g, levels->table, t)
		: sums_of_integers(g, levels->low, levels->high, t);
}

struct fit_sums fit_sums(const struct fit_group *g, const struct fit_levels *levels,
	struct fit_line line)
{
	return sums_of(g, levels, transform_of(line));
}

static float error_of_integers(const struct fit_group *g, float low, float high,
	struct fit_line line)
{
	const struct transform t = transform_of(line);
	const float *x = g->x, *w = g->w;
	float sum[LANES] = {0};

	for (size_t i = 0; i < g->n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			const float q = nearest(x[i + l] * t.factor + t.offset, low, high);
			const float e = x[i + l] - (line.scale * q + line.base);

			sum[l] += w[i + l] * e * e;
		}
	return lanes_sum(sum);
}

static float error_of_table(const struct fit_group *g, const struct fit_table *table,
	struct fit_line line)
{
	const struct transform t = transform_of(line);
	float q[FIT_VALUES_MAX], sum[LANES] = {0};

	for (size_t i = 0; i < g->n; i++)
		q[i] = table->value[cell_of(g->x[i] * t.factor + t.offset)];
	for (size_t i = 0; i < g->n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			const float e = g->x[i + l] - (line.scale * q[i + l] + line.base);

			sum[l] += g->w[i + l] * e * e;
		}
	return lanes_sum(sum);
}

float fit_error(const struct fit_group *g, const struct fit_levels *levels, struct fit_line line)
{
	return levels->table ? error_of_table(g, levels->table, line)
		: error_of_integers(g, levels->low, levels->high, line);
}

void fit_codes(const float *x, size_t n, const struct fit_levels *levels, struct fit_line line,
	uint8_t *codes)
{
	const struct transform t = transform_of(line);

	for (size_t i = 0; i < n; i++) {
		const float v = x[i] * t.factor + t.offset;

		codes[i] = levels->table ? levels->table->code[cell_of(v)]
			: (uint8_t)(nearest(v, levels->low, levels->high) - levels->low);
	}
}

/* The best line through levels with these sums. Returns what it takes off the weighted sum of
 * squares: the more the better. */
static float solve_line(const struct fit_totals *t, const struct fit_sums *s, float base_max,
	struct fit_line *line)
{
	const float det = t->w * s->qq - s->q * s->q;

	*line = (struct fit_line){0};
	if (!(s->qq > 0))
		return 0;
	if (det > 1e-6F * t->w * s->qq) {
		line->scale = (t->w * s->xq - t->x * s->q) / det;
		line->base = (s->qq * t->x - s->q * s->xq) / det;
		if (line->scale >= 0 && line->base <= base_max)
			return line->scale * s->xq + line->base * t->x;
	}
	*line = (struct fit_line){.scale = s->xq > 0 ? s->xq / s->qq : 0};
	return line->scale * s->xq;
}

struct range {
	float low;
	float high;
};

static struct range range_of(const struct fit_group *g)
{
	struct range r = {.low = g->x[0], .high = g->x[0]};

	for (size_t i = 1; i < g->n; i++) {
		r.low = g->x[i] < r.low ? g->x[i] : r.low;
		r.high = g->x[i] > r.high ? g->x[i] : r.high;
	}
	return r;
}

/* Takes the line if it gains more; true if it did. */
static bool keep_line(const struct fit_totals *t, const struct fit_sums *s, float base_max,
	struct fit_line *best, float *best_gain)
{
	struct fit_line line;
	const float gain = solve_line(t, s, base_max, &line);

	if (!(gain > *best_gain))
		return false;
	*best = line;
	*best_gain = gain;
	return true;
}

/* Where the first and the last level lie, in steps inside the smallest and the largest value. The
 * search begins with each pair. Of 4 x 4 starts between -0.8 and 0.6 steps the best is 1 to 2 %
 * above the least error that 900 starts find; for 2 bits, whose levels are wide, from -0.5. */
static const float CUTS_FINE[4] = {-0.8F, -0.333F, 0.133F, 0.6F};
static const float CUTS_COARSE[4] = {-0.5F, -0.133F, 0.233F, 0.6F};
#define REFINEMENTS 2

struct fit_line fit_affine(const struct fit_group *g, const struct fit_levels *levels,
	float base_max)
{
	const struct fit_totals totals = fit_totals(g);
	const float *cuts = levels->high < 4 ? CUTS_COARSE : CUTS_FINE;
	struct range r = range_of(g);
	float best_gain = -INFINITY;

	if (r.high < FIT_TINY && r.low > -FIT_TINY)
		return (struct fit_line){0};
	if (r.low > base_max)
		r.low = base_max;
	const float step = (r.high - r.low) / levels->high;
	struct fit_line best = {.scale = 0, .base = r.low};

	if (step < FIT_TINY)
		return best;
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++) {
			const float low = r.low + cuts[i] * step, high = r.high - cuts[j] * step;
			const struct fit_sums s = fit_sums(g, levels, (struct fit_line){
				.scale = (high - low) / levels->high, .base = low});

			(void)keep_line(&totals, &s, base_max, &best, &best_gain);
		}
	for (int i = 0; i < REFINEMENTS && best.scale > 0; i++) {
		const struct fit_sums s = fit_sums(g, levels, best);

		if (!keep_line(&totals, &s, base_max, &best, &best_gain))
			break;
	}
	return best;
}

float fit_extreme(const float *x, size_t n)
{
	float extreme = 0;

	for (size_t i = 0; i < n; i++)
		extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
	return extreme;
}

static void keep_scale(const struct fit_sums *s, float *best, float *best_gain)
{
	const float gain = s->qq > 0 ? s->xq / s->qq * s->xq : 0;

	if (gain > *best_gain) {
		*best_gain = gain;
		*best = s->xq / s->qq;
	}
}

/* The search begins where the extreme value lies at the lowest or at the highest level, or up to
 * two starts beside it: within 1 % of the least error that 60 places find. */
#define SCALE_STARTS 2

float fit_scale(const struct fit_group *g, const struct fit_levels *levels)
{
	const float extreme = fit_extreme(g->x, g->n);
	float best = 0, best_gain = 0;

	if (fabsf(extreme) < FIT_TINY)
		return 0;
	for (int i = -SCALE_STARTS; i <= SCALE_STARTS; i++) {
		const float inside = levels->start * (float)i;
		const float ends[2] = {levels->low + inside, levels->high - inside};

		for (int side = 0; side < 2; side++) {
			const struct fit_sums s = sums_of(g, levels,
				(struct transform){.factor = ends[side] / extreme});

			keep_scale(&s, &best, &best_gain);
		}
	}
	for (int i = 0; i < REFINEMENTS; i++) {
		const struct fit_sums s = fit_sums(g, levels, (struct fit_line){.scale = best});

		keep_scale(&s, &best, &best_gain);
	}
	return best;
}
