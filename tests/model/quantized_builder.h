/* tests/model/quantized_builder.h - a small Qwen3 in memory of which one matrix is stored as a
 * quantized release would store it. Values, zero points and scales come first, as plain arrays;
 * they are put into words one field at a time, as the formats are described. */
#ifndef TESTS_MODEL_QUANTIZED_BUILDER_H
#define TESTS_MODEL_QUANTIZED_BUILDER_H

#include "model/model_builder.h"

#define QUANTIZED_NAME "model.layers.0.mlp.up_proj"
#define QUANTIZED_SIDE 32    /* the matrix is [32, 32] in MODEL_BUILDER_QWEN3 */

struct quantized_builder {
	struct safetensors_builder st;
};

static inline void quantized_add(struct quantized_builder *b, const char *last, const char *dtype,
	const char *shape, const void *bytes, size_t size)
{
	char name[96];

	snprintf(name, sizeof(name), "%s.%s", QUANTIZED_NAME, last);
	safetensors_add(&b->st, name, dtype, shape, bytes, size);
}

/* The plain model without its matrix; the caller adds tensors and calls finish. */
static inline void quantized_builder_init(struct quantized_builder *b)
{
	static const struct model_builder_change without = {.drop = QUANTIZED_NAME ".weight"};
	const struct model_config c = model_builder_config(MODEL_BUILDER_QWEN3);
	struct model_builder_sink sink = {.change = &without};

	safetensors_builder_init(&sink.st);
	model_builder_walk(&c, false, "model.", &without, model_builder_to_safetensors, &sink);
	b->st = sink.st;
}

/* Whole numbers of so many bits, before they are packed. */
struct quantized_ints {
	uint32_t bits;
	uint32_t group;         /* columns that share a scale, in the order of groups below */
	uint8_t q[QUANTIZED_SIDE][QUANTIZED_SIDE];       /* [row, column] */
	uint8_t zero[QUANTIZED_SIDE][QUANTIZED_SIDE];    /* [row, group] */
	uint16_t scale[QUANTIZED_SIDE][QUANTIZED_SIDE];  /* [row, group] */
	uint32_t group_of[QUANTIZED_SIDE];               /* [column] */
};

static inline uint32_t quantized_group_count(const struct quantized_ints *n)
{
	return (QUANTIZED_SIDE + n->group - 1) / n->group;
}

static inline void quantized_put(uint32_t *words, const struct quantized_ints *n, size_t field,
	uint32_t value)
{
	const size_t fields = 32 / n->bits;

	words[field / fields] |= value << (field % fields * n->bits);
}

static inline void quantized_shape(char out[32], size_t rows, size_t columns)
{
	snprintf(out, 32, "[%zu,%zu]", rows, columns);
}

/* [rows, columns] halves or words. */
static inline void quantized_add_2d(struct quantized_builder *b, const char *last,
	const char *dtype, size_t rows, size_t columns, const void *bytes, size_t item)
{
	char shape[32];

	quantized_shape(shape, rows, columns);
	quantized_add(b, last, dtype, shape, bytes, rows * columns * item);
}

/* A word of zero points of GPTQ's first form is stored less one in each field. */
static inline void quantized_add_gptq(struct quantized_builder *b, const struct quantized_ints *n,
	bool less_one, bool order)
{
	const size_t side = QUANTIZED_SIDE, groups = quantized_group_count(n),
		     fields = 32 / n->bits;
	uint32_t values[QUANTIZED_SIDE * QUANTIZED_SIDE] = {0}, zeros[QUANTIZED_SIDE * 8] = {0};
	uint16_t scales[QUANTIZED_SIDE * QUANTIZED_SIDE];
	const uint32_t ones = n->bits == 4 ? 0x11111111 : 0x01010101;

	for (size_t r = 0; r < side; r++) {
		for (size_t c = 0; c < side; c++)
			values[c / fields * side + r] |= (uint32_t)n->q[r][c]
				<< (c % fields * n->bits);
		for (size_t g = 0; g < groups; g++) {
			quantized_put(zeros, n, g * side + r, n->zero[r][g]);
			scales[g * side + r] = n->scale[r][g];
		}
	}
	for (size_t i = 0; less_one && i < groups * side / fields; i++)
		zeros[i] -= ones;
	quantized_add_2d(b, "qweight", "I32", side / fields, side, values, 4);
	quantized_add_2d(b, "qzeros", "I32", groups, side / fields, zeros, 4);
	quantized_add_2d(b, "scales", "F16", groups, side, scales, 2);
	if (order)
		quantized_add(b, "g_idx", "I32", "[32]", n->group_of, sizeof(n->group_of));
}

static inline void quantized_add_awq(struct quantized_builder *b, const struct quantized_ints *n)
{
	static const uint8_t order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
	const size_t side = QUANTIZED_SIDE, groups = quantized_group_count(n);
	uint32_t values[QUANTIZED_SIDE * 4] = {0}, zeros[QUANTIZED_SIDE * 4] = {0};
	uint16_t scales[QUANTIZED_SIDE * QUANTIZED_SIDE];

	for (size_t word = 0; word < side / 8; word++)
		for (size_t i = 0; i < 8; i++) {
			const size_t r = 8 * word + order[i];

			for (size_t c = 0; c < side; c++)
				values[c * 4 + word] |= (uint32_t)n->q[r][c] << (4 * i);
			for (size_t g = 0; g < groups; g++) {
				zeros[g * 4 + word] |= (uint32_t)n->zero[r][g] << (4 * i);
				scales[g * side + r] = n->scale[r][g];
			}
		}
	quantized_add_2d(b, "qweight", "I32", side, 4, values, 4);
	quantized_add_2d(b, "qzeros", "I32", groups, 4, zeros, 4);
	quantized_add_2d(b, "scales", "F16", groups, side, scales, 2);
}

enum quantized_zeros { QUANTIZED_NO_ZEROS, QUANTIZED_ZERO_WORDS, QUANTIZED_ZERO_BYTES };

static inline void quantized_add_packed(struct quantized_builder *b,
	const struct quantized_ints *n, enum quantized_zeros kind)
{
	const size_t side = QUANTIZED_SIDE, groups = quantized_group_count(n),
		     fields = 32 / n->bits;
	uint32_t values[QUANTIZED_SIDE * QUANTIZED_SIDE] = {0}, zeros[QUANTIZED_SIDE * 8] = {0};
	uint8_t bytes[QUANTIZED_SIDE * QUANTIZED_SIDE];
	uint16_t scales[QUANTIZED_SIDE * QUANTIZED_SIDE];
	const int64_t shape[] = {QUANTIZED_SIDE, QUANTIZED_SIDE};

	for (size_t r = 0; r < side; r++) {
		for (size_t c = 0; c < side; c++)
			quantized_put(values, n, r * side + c, n->q[r][c]);
		for (size_t g = 0; g < groups; g++) {
			zeros[r / fields * groups + g] |= (uint32_t)n->zero[r][g]
				<< (r % fields * n->bits);
			bytes[r * groups + g] =
				(uint8_t)(n->zero[r][g] - (1U << (n->bits - 1)));
			scales[r * groups + g] = n->scale[r][g];
		}
	}
	quantized_add_2d(b, "weight_packed", "I32", side, side / fields, values, 4);
	quantized_add_2d(b, "weight_scale", "BF16", side, groups, scales, 2);
	quantized_add(b, "weight_shape", "I64", "[2]", shape, sizeof(shape));
	if (kind == QUANTIZED_ZERO_WORDS)
		quantized_add_2d(b, "weight_zero_point", "I32", side / fields, groups, zeros, 4);
	else if (kind == QUANTIZED_ZERO_BYTES)
		quantized_add_2d(b, "weight_zero_point", "I8", side, groups, bytes, 1);
}

static inline struct buf quantized_builder_finish(struct quantized_builder *b)
{
	return safetensors_builder_finish(&b->st);
}

#endif
