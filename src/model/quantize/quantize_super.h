/* model/quantize/quantize_super.h - super-blocks: 256 values in groups, a scale per group in
 * whole numbers of one scale for all. Private to quantize*.c. */
#ifndef MODEL_QUANTIZE_QUANTIZE_SUPER_H
#define MODEL_QUANTIZE_QUANTIZE_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/quantize/quantize_private.h"

struct super_shape {
	uint32_t group_values;     /* 16 or 32 */
	struct fit_levels levels;
	bool affine;               /* groups have a minimum too */
	float scale_low;           /* of the whole numbers that scale groups; 0 where affine */
	float scale_high;          /* and of those of the minima */
};

/* value = d * scale[j] * level - m * minimum[j], for group j */
struct super {
	const struct super_shape *shape;
	const float *x;            /* [256] */
	float w[SUPER_VALUES];
	float d;                   /* as 16 bits hold it */
	float m;
	float scale[SUPER_GROUPS_MAX];
	float minimum[SUPER_GROUPS_MAX];
};

/* Fits x[256], which lives as long as s is used, and writes the code of each value. False when all
 * is so small that the block is 0; s and codes then mean nothing. */
bool super_fit(struct super *s, const struct super_shape *shape, const float *x,
	uint8_t codes[SUPER_VALUES]) __attribute__((warn_unused_result));

#endif
