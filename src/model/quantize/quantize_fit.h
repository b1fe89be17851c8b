/* model/quantize/quantize_fit.h - the searches that all block formats share: which scale makes
 * the weighted squared error of a group small.
 *
 * A group is n values x with weights w, n a multiple of 8 up to FIT_VALUES_MAX. What is stored are
 * levels; what comes back is scale * level + base. Sums run in eight fixed lanes, so the bits do
 * not depend on what a compiler makes of the loops. Private to quantize*.c.
 */
#ifndef MODEL_QUANTIZE_QUANTIZE_FIT_H
#define MODEL_QUANTIZE_QUANTIZE_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIT_VALUES_MAX 32

/* No format with 16-bit scales holds a number nearer to 0 than 2^-24: what is below this is 0. */
#define FIT_TINY 0x1p-26F

struct fit_group {
	const float *x;
	const float *w;      /* above 0 */
	size_t n;
};

/* Levels are the whole numbers low .. high, or the 16 entries of a table. */
struct fit_levels {
	float low;
	float high;
	float start;                     /* of fit_scale: between two places where it begins */
	const struct fit_table *table;   /* NULL: whole numbers */
};

/* The nearest of 16 whole numbers: midpoints are multiples of 1/2, so it is the same for all v with
 * the same floor(2 v), which is the cell less 256. */
#define FIT_CELLS 512
struct fit_table {
	float value[FIT_CELLS];
	uint8_t code[FIT_CELLS];
};

struct fit_line {
	float scale;
	float base;
};

/* Of one choice of levels q: what a line through them needs. */
struct fit_sums {
	float q;       /* sum of w q */
	float qq;      /* sum of w q q */
	float xq;      /* sum of w x q */
};

struct fit_totals {
	float w;       /* sum of w */
	float x;       /* sum of w x */
};

/* values ascend. */
void fit_table_make(struct fit_table *t, const int8_t values[16], const uint8_t codes[16]);
struct fit_levels fit_table_levels(const struct fit_table *t, const int8_t values[16]);

/* Weights by which an error counts: large values are worth more than their share of it, small ones
 * not nothing. */
void fit_weigh_sizes(const float *x, size_t n, float *w);     /* |x| + root of the mean square */
void fit_weigh_squares(const float *x, size_t n, float *w);   /* x x + mean square */

/* The value farthest from 0, with its sign. */
float fit_extreme(const float *x, size_t n);

struct fit_totals fit_totals(const struct fit_group *g);

/* The sums when every value takes the level nearest to (x - base) / scale. */
struct fit_sums fit_sums(const struct fit_group *g, const struct fit_levels *levels,
	struct fit_line line);
/* Weighted squared error of the same. A scale of 0 is legal: all is base. */
float fit_error(const struct fit_group *g, const struct fit_levels *levels, struct fit_line line);
/* The codes of the same: level - low, or a table's code. */
void fit_codes(const float *x, size_t n, const struct fit_levels *levels, struct fit_line line,
	uint8_t *codes);

/* Scale (not negative) and base for levels 0 .. high; base is at most base_max, which is 0 or
 * infinite. */
struct fit_line fit_affine(const struct fit_group *g, const struct fit_levels *levels,
	float base_max);
/* Scale, of either sign, for a base of 0. */
float fit_scale(const struct fit_group *g, const struct fit_levels *levels);

#endif
