/* tests/model/quantize_tensors.h - the seeded tensors of tools/goldens/measure_quantizers.py, to
 * the bit: whole-number hashes, sums, products, quotients and square roots. */
#ifndef TESTS_MODEL_QUANTIZE_TENSORS_H
#define TESTS_MODEL_QUANTIZE_TENSORS_H

#include <math.h>

#include "base/prng.h"

enum { TENSOR_ROWS = 32, TENSOR_COLUMNS = 2048, TENSOR_VALUES = TENSOR_ROWS * TENSOR_COLUMNS };

static inline double tensor_unit(uint64_t seed, uint64_t index)
{
	return (double)(prng_hash(seed, index) >> 11) * 0x1p-53;
}

/* Twelve uniform numbers less their mean: deviation 1. */
static inline double tensor_normal(uint64_t seed, uint64_t index)
{
	double total = 0;

	for (uint64_t k = 0; k < 12; k++)
		total += tensor_unit(seed, index * 12 + k);
	return total - 6;
}

/* Student's t with four degrees of freedom. */
static inline double tensor_student(uint64_t seed, uint64_t index)
{
	double z[5];

	for (uint64_t k = 0; k < 5; k++)
		z[k] = tensor_normal(seed, index * 5 + k);
	return z[0] / sqrt((z[1] * z[1] + z[2] * z[2] + z[3] * z[3] + z[4] * z[4]) / 4);
}

/* Like a matrix that was trained: rows and columns of different size, tails heavier than normal. */
static inline double tensor_weight(uint64_t i)
{
	const double row = tensor_unit(50, i / TENSOR_COLUMNS);
	const double column = tensor_unit(51, i % TENSOR_COLUMNS);
	const double spread = (0.004 + 0.02 * row * row) * (0.3 + 1.4 * column * column);

	return spread * (0.5 * tensor_student(5, i) + tensor_normal(6, i));
}

enum tensor_kind { TENSOR_NORMAL, TENSOR_HEAVY, TENSOR_UNIFORM, TENSOR_OUTLIERS, TENSOR_WEIGHTS,
	TENSOR_KINDS };

static const char *const TENSOR_NAMES[TENSOR_KINDS] = {
	"normal", "heavy", "uniform", "outliers", "weights"};

static inline double tensor_value(enum tensor_kind kind, uint64_t i)
{
	switch (kind) {
	case TENSOR_NORMAL:
		return 0.02 * tensor_normal(1, i);
	case TENSOR_HEAVY:
		return 0.02 * tensor_student(2, i);
	case TENSOR_UNIFORM:
		return 0.05 * (2 * tensor_unit(3, i) - 1);
	case TENSOR_OUTLIERS:
		return (i % 64 == 7 ? 0.4 : 0.02) * tensor_normal(4, i);
	case TENSOR_WEIGHTS:
		return tensor_weight(i);
	case TENSOR_KINDS:
		break;
	}
	return 0;
}

static inline void tensor_fill(enum tensor_kind kind, float out[TENSOR_VALUES])
{
	for (uint64_t i = 0; i < TENSOR_VALUES; i++)
		out[i] = (float)tensor_value(kind, i);
}

#endif
