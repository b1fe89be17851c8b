/* tests/chip/rig.h - a chip with a small program on it, built up piece by piece, and the
 * instruction sets that this machine can run. Everything asserts: a test that cannot be
 * set up has failed. */
#ifndef TESTS_CHIP_RIG_H
#define TESTS_CHIP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/math.h"
#include "base/prng.h"
#include "chip/check.h"
#include "chip/format.h"
#include "chip/chip.h"
#include "chip/cpu/cpu.h"
#include "chip/cpu/isa.h"
#include "format_rows.h"
#include "isa_note.h"

/* ---- instruction sets ------------------------------------------------------------------------ */

#define RIG_ISAS_MAX 8

struct rig_isa {
	struct cpu_kernels kernels;
	char name[32];
};

/* Tables that run emulated, in test programs that link them (chip_emulated in
 * src/chip/meson.build). */
#if defined(RIG_EMULATED)
extern const struct cpu_kernels cpu_kernels_avx512_emulated;
extern const struct cpu_kernels cpu_kernels_avx512bf16_emulated;
#endif

static inline void rig_isa_add(struct rig_isa *isas, uint32_t *count,
	const struct cpu_kernels *kernels)
{
	struct rig_isa *isa = &isas[(*count)++];

	isa->kernels = *kernels;
	cpu_isa_complete(&isa->kernels);
	(void)snprintf(isa->name, sizeof(isa->name), "%s", kernels->name);
}

/* AVX-VNNI as AVX512_VNNI encodes it (chip_evex). */
#if defined(RIG_EVEX)
extern const struct cpu_kernels cpu_kernels_avxvnni_evex;
#endif

/* What can be run here, the reference first. */
static inline uint32_t rig_isas(struct rig_isa isas[RIG_ISAS_MAX])
{
	static const char *const names[] = {"ref", "avx2", "avxvnni", "avx512", "avx512bf16"};
	char others[128] = "";
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct cpu_kernels kernels;

		if (cpu_isa_find(names[i], &kernels))
			rig_isa_add(isas, &count, &kernels);
	}
#if defined(RIG_EVEX)
	struct cpu_kernels avx512;

	if (cpu_isa_find("avx512", &avx512))
		rig_isa_add(isas, &count, &cpu_kernels_avxvnni_evex);
#endif
#if defined(RIG_EMULATED)
	rig_isa_add(isas, &count, &cpu_kernels_avx512_emulated);
	rig_isa_add(isas, &count, &cpu_kernels_avx512bf16_emulated);
#endif
	for (uint32_t i = 0; i < count; i++)
		if (strchr(isas[i].name, '-'))   /* only tests have it */
			(void)snprintf(others + strlen(others), sizeof(others) - strlen(others),
				"%s%s", *others ? " " : "", isas[i].name);
	isa_note(others);
	return count;
}

/* ---- random values --------------------------------------------------------------------------- */

/* Uniform in [-1, 1). */
static inline float rig_unit(struct prng *p)
{
	return (float)(prng_unit(p) * 2.0 - 1.0);
}

static inline void rig_fill(float *values, size_t count, uint64_t seed)
{
	struct prng p;

	prng_init(&p, seed);
	for (size_t i = 0; i < count; i++)
		values[i] = rig_unit(&p);
}

/* ---- the rig --------------------------------------------------------------------------------- */

#define RIG_OPS_MAX     64
#define RIG_WEIGHTS_MAX 32
#define RIG_VALUES_MAX  (1u << 20)

/* What the observer saw last under a name. */
struct rig_tap {
	const char *name;
	uint32_t rows, columns;
	float *values;
};

struct rig {
	struct chip *chip;
	struct chip_cache_layout layout;
	struct chip_cache *cache;
	struct chip_program *program;
	struct chip_program_desc desc;
	struct chip_op ops[RIG_OPS_MAX];
	struct chip_buffer buffers[CHIP_BUFFERS_MAX];
	struct chip_weight *weights[RIG_WEIGHTS_MAX];
	float *plain[RIG_WEIGHTS_MAX];              /* [rows][columns]: what the
						     * weights stand for */
	uint32_t weight_count;
	struct chip_vector *vectors[RIG_WEIGHTS_MAX];
	uint32_t vector_count;
	struct rig_tap taps[RIG_OPS_MAX];
	uint32_t tap_count;
};

#define rig_ok(call)                                                                    \
	do {                                                                            \
		struct err_info rig_info = {0};                                         \
		struct err_info *info = &rig_info;                                      \
		if (call)                                                               \
			fail_msg("%s", info->text);                                     \
	} while (0)

static inline void rig_open(struct rig *r, const struct rig_isa *isa, uint32_t threads)
{
	const struct chip_config config = {.threads = threads, .memory_bytes = (int64_t)1 << 30};

	memset(r, 0, sizeof(*r));
	r->desc.ops = r->ops;
	r->desc.buffers = r->buffers;
	r->desc.logits = r->desc.hidden = CHIP_NONE;
	r->desc.rows_max = 64;
	r->desc.wanted_max = 64;
	r->layout = (struct chip_cache_layout){.slots = 8, .vocab = 16, .context_max = 4096};
	rig_ok(cpu_open_kernels(&r->chip, &isa->kernels, &config, info));
}

static inline uint32_t rig_buffer(struct rig *r, const char *name, enum chip_space space,
	uint32_t columns)
{
	r->buffers[r->desc.buffer_count] = (struct chip_buffer){name, space, columns};
	return r->desc.buffer_count++;
}

static inline struct chip_op *rig_op(struct rig *r, enum chip_op_kind kind, const char *tap)
{
	struct chip_op *op = &r->ops[r->desc.op_count++];

	assert_in_range(r->desc.op_count, 1, RIG_OPS_MAX);
	op->kind = kind;
	op->tap = tap;
	return op;
}

static inline void rig_block(const float *values, enum chip_type type, uint8_t *out, float *plain)
{
	float largest = 0.0F;

	for (uint32_t i = 0; i < 32; i++)
		largest = values[i] > largest ? values[i] : -values[i] > largest ? -values[i]
			: largest;
	const float steps = type == CHIP_Q8_0 ? 127.0F : 8.0F;
	const uint16_t half = math_f16_from_f32(largest / steps);
	const float scale = math_f32_from_f16(half);

	memcpy(out, &half, 2);
	for (uint32_t i = 0; i < 32; i++) {
		const int low = type == CHIP_Q8_0 ? -127 : -8, high = type == CHIP_Q8_0 ? 127 : 7;
		int n = scale > 0 ? (int)(values[i] / scale + (values[i] < 0 ? -0.5F : 0.5F)) : 0;

		n = n < low ? low : n > high ? high : n;
		plain[i] = scale * (float)n;
		if (type == CHIP_Q8_0)
			out[2 + i] = (uint8_t)n;
		else
			out[2 + i % 16] |= (uint8_t)((n + 8) << (i < 16 ? 0 : 4));
	}
}

#define RIG_GROUP 40   /* of grouped types: the last group of a row is mostly shorter */

/* A test may take another. */
static uint32_t rig_group_values = RIG_GROUP;

static inline uint32_t rig_group(enum chip_type type)
{
	return chip_type_is_grouped(type) ? rig_group_values : 0;
}

static inline float rig_largest(const float *values, uint32_t count)
{
	float largest = 0.0F;

	for (uint32_t i = 0; i < count; i++)
		largest = values[i] > largest ? values[i] : largest;
	return largest;
}

/* Encodes a row of values as the source format has it; plain gets what they stand for then. */
static inline void rig_encode(enum chip_type type, const float *values, uint32_t columns,
	uint8_t *out, float *plain)
{
	const uint32_t group = rig_group(type);

	memset(out, 0, chip_row_bytes(type, group, columns));
	for (uint32_t i = 0; i < columns; i++) {
		const uint16_t half = type == CHIP_F16 ? math_f16_from_f32(values[i])
			: math_bf16_from_f32(values[i]);

		if (type == CHIP_F32)
			memcpy(out + 4 * (size_t)i, &values[i], 4);
		else if (type == CHIP_F16 || type == CHIP_BF16)
			memcpy(out + 2 * (size_t)i, &half, 2);
		else if ((type == CHIP_Q8_0 || type == CHIP_Q4_0) && i % 32 == 0)
			rig_block(values + i, type, out + chip_row_bytes(type, 0, i), plain + i);
	}
	if (type > CHIP_Q4_0)
		format_rows_random(type, group, math_f32_bits(values[0]) + columns,
			rig_largest(values, columns), columns, out);
	if (type != CHIP_Q8_0 && type != CHIP_Q4_0)
		chip_row_to_f32(type, group, out, columns, plain);
}

/* Takes a weight of bytes that the caller keeps until this returns. */
static inline uint32_t rig_pack(struct rig *r, const struct chip_matrix *m)
{
	const uint32_t index = r->weight_count++;

	assert_in_range(index, 0, RIG_WEIGHTS_MAX - 1);
	r->plain[index] = malloc((size_t)m->rows * m->columns * sizeof(float));
	assert_non_null(r->plain[index]);
	rig_ok(chip_weight_pack(r->chip, &r->weights[index], m, info));
	return index;
}

/* A matrix of these values in so many parts, handed over in two spans that swap the halves of an
 * odd cut, at odd addresses. */
static inline uint32_t rig_parts_of(struct rig *r, enum chip_type type, uint32_t parts,
	uint32_t rows, uint32_t columns, const float *values)
{
	const size_t row_bytes = chip_row_bytes(type, rig_group(type), columns);
	const uint32_t cut = rows / 3;
	uint8_t *bytes = malloc(rows * row_bytes + 1);
	float *plain = malloc((size_t)rows * columns * sizeof(float));
	const struct chip_span spans[] = {
		{bytes + 1 + (size_t)(rows - cut) * row_bytes, cut},
		{bytes + 1, rows - cut},
	};
	const struct chip_matrix m = {
		.type = type, .rows = rows, .columns = columns, .spans = spans, .span_count = 2,
		.group = rig_group(type), .parts = parts};

	assert_non_null(bytes);
	assert_non_null(plain);
	for (uint32_t i = 0; i < rows; i++)
		rig_encode(type, values + (size_t)i * columns, columns,
			bytes + 1 + (i < cut ? rows - cut + i : i - cut) * row_bytes,
			plain + (size_t)i * columns);
	const uint32_t index = rig_pack(r, &m);

	memcpy(r->plain[index], plain, (size_t)rows * columns * sizeof(float));
	free(plain);
	free(bytes);
	return index;
}

static inline uint32_t rig_weight_of(struct rig *r, enum chip_type type, uint32_t rows,
	uint32_t columns, const float *values)
{
	return rig_parts_of(r, type, 1, rows, columns, values);
}

static inline uint32_t rig_parts(struct rig *r, enum chip_type type, uint32_t parts, uint32_t rows,
	uint32_t columns, uint64_t seed)
{
	float *values = malloc((size_t)rows * columns * sizeof(float));

	assert_non_null(values);
	rig_fill(values, (size_t)rows * columns, seed);
	const uint32_t index = rig_parts_of(r, type, parts, rows, columns, values);

	free(values);
	return index;
}

static inline uint32_t rig_weight(struct rig *r, enum chip_type type, uint32_t rows,
	uint32_t columns, uint64_t seed)
{
	return rig_parts(r, type, 1, rows, columns, seed);
}

static inline const struct chip_vector *rig_vector(struct rig *r, const float *values, size_t count)
{
	rig_ok(chip_vector_open(r->chip, &r->vectors[r->vector_count], values, count, info));
	return r->vectors[r->vector_count++];
}

static inline const struct chip_vector *rig_random_vector(struct rig *r, size_t count,
	uint64_t seed)
{
	float *values = malloc(count * sizeof(float));

	assert_non_null(values);
	rig_fill(values, count, seed);
	const struct chip_vector *v = rig_vector(r, values, count);

	free(values);
	return v;
}

/* Of pair i of so many: base 10000. */
static inline float rig_frequency(uint32_t i, uint32_t pairs)
{
	return (float)math_pow(10000, -(double)i / (double)pairs);
}

static inline const struct chip_vector *rig_frequencies(struct rig *r, uint32_t pairs)
{
	float values[CHIP_HEAD_DIM_MAX / 2];

	for (uint32_t i = 0; i < pairs; i++)
		values[i] = rig_frequency(i, pairs);
	return pairs ? rig_vector(r, values, pairs) : NULL;
}

/* A buffer that holds columns [first, first + count) of another: an exact copy by a
 * matrix of 0 and 1. */
static inline uint32_t rig_part(struct rig *r, uint32_t from, const char *name, uint32_t first,
	uint32_t count)
{
	const uint32_t columns = r->buffers[from].columns;
	const uint32_t out = rig_buffer(r, name, r->buffers[from].space, count);
	float *values = calloc((size_t)count * columns, sizeof(float));

	assert_non_null(values);
	for (uint32_t i = 0; i < count; i++)
		values[(size_t)i * columns + first + i] = 1.0F;
	const uint32_t weight = rig_weight_of(r, CHIP_F32, count, columns, values);

	free(values);
	struct chip_op *op = rig_op(r, CHIP_OP_MATMUL, name);

	op->u.matmul.in = from;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r->weights[weight];
	op->u.matmul.out[0] = out;
	return out;
}

/* The first operation: rows of values come in as embeddings of that many columns. */
static inline uint32_t rig_input(struct rig *r, uint32_t columns)
{
	const uint32_t out = rig_buffer(r, "input", CHIP_ROWS, columns);
	const uint32_t table = rig_weight(r, CHIP_F32, 3, columns, 1);
	struct chip_op *op = rig_op(r, CHIP_OP_EMBED, "input");

	op->u.embed.out = out;
	op->u.embed.table = r->weights[table];
	return out;
}

static inline void rig_start(struct rig *r)
{
	rig_ok(chip_cache_open(r->chip, &r->cache, &r->layout, info));
	rig_ok(chip_program_open(r->chip, &r->program, &r->desc, &r->layout, info));
}

static inline void rig_see(void *context, const char *tap, uint32_t layer, const float *values,
	uint32_t rows, uint32_t columns)
{
	struct rig *r = context;
	uint32_t i = 0;

	(void)layer;
	while (i < r->tap_count && strcmp(r->taps[i].name, tap) != 0)
		i++;
	if (i == r->tap_count)
		r->taps[r->tap_count++] = (struct rig_tap){.name = tap};
	free(r->taps[i].values);
	r->taps[i].rows = rows;
	r->taps[i].columns = columns;
	r->taps[i].values = malloc((size_t)rows * columns * sizeof(float));
	memcpy(r->taps[i].values, values, (size_t)rows * columns * sizeof(float));
}

/* Runs a step to its end; what the taps saw stays until the next one. */
static inline void rig_run(struct rig *r, const struct chip_step *step, struct chip_output *output)
{
	const struct chip_observer observer = {rig_see, r};
	struct chip_output nothing = {0};
	uint64_t ticket = 0;

	rig_ok(chip_submit(r->chip, r->program, r->cache, step, &observer, &ticket, info));
	rig_ok(chip_wait(r->chip, ticket, output ? output : &nothing, info));
}

static inline const float *rig_tap(const struct rig *r, const char *name)
{
	for (uint32_t i = 0; i < r->tap_count; i++)
		if (strcmp(r->taps[i].name, name) == 0)
			return r->taps[i].values;
	fail_msg("nothing was seen of %s", name);
	return NULL;
}

static inline void rig_close(struct rig *r)
{
	for (uint32_t i = 0; i < r->tap_count; i++)
		free(r->taps[i].values);
	chip_program_close(r->chip, r->program);
	chip_cache_close(r->chip, r->cache);
	for (uint32_t i = 0; i < r->weight_count; i++) {
		chip_weight_close(r->chip, r->weights[i]);
		free(r->plain[i]);
	}
	for (uint32_t i = 0; i < r->vector_count; i++)
		chip_vector_close(r->chip, r->vectors[i]);
	assert_int_equal(chip_memory_used(r->chip), 0);
	chip_close(r->chip);
}

/* Rows of one sequence that come from embeddings 0, 1, 2... */
static inline void rig_embedding_rows(struct chip_row *rows, uint32_t sequence,
	uint32_t first_embedding, uint32_t first_position, uint32_t count, enum chip_want want)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t position = first_position + i;

		rows[i] = (struct chip_row){
			.sequence = sequence,
			.input = CHIP_INPUT_EMBEDDING,
			.want = (uint8_t)want,
			.value = first_embedding + i,
			.position = {position, position, position},
		};
	}
}

static inline void rig_close_to(const char *what, float got, double expected, double tolerance)
{
	const double error = (double)got - expected;

	if (!(error <= tolerance && error >= -tolerance))
		fail_msg("%s: %.9g instead of %.9g (tolerance %.3g)", what, (double)got, expected,
			tolerance);
}

#endif
