/* tests/chip/ops_test.c - every operation in every instruction set gives what the reference gives.
 *
 * Random small models with all operations, odd in every dimension, are run on the reference
 * and on each other instruction set, token for token in the same steps; every intermediate
 * result is compared. */
#include "model_rig.h"

#include "chip/cpu/kernels_ref.h"

#define SEEDS 60

/* What a table may differ by from the reference, relative to the largest value of a result.
 * Where that is not zero only the first matrices are compared: norms and gates behind them
 * amplify what they are given. */
static double tolerance_of(const char *isa)
{
	static const struct {
		const char *isa;
		double tolerance;
	} table[] = {
		{"avx2", 0},
		{"avxvnni", 0},
		{"avxvnni-evex", 0},
		{"avx512", 0},
		{"avx512-emulated", 0},
		/* how a pair is rounded is the processor's business */
		{"avx512bf16", 1e-4},
		{"avx512bf16-emulated", 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].isa, isa) == 0)
			return table[i].tolerance;
	fail_msg("no tolerance is stated for %s", isa);
	return 0;
}

static void compare_values(const char *isa, uint64_t seed, const char *tap, const float *got,
	const float *expected, size_t count)
{
	const double tolerance = tolerance_of(isa);
	double largest = 0;

	if (tolerance > 0 && strcmp(tap, "q") != 0)
		return;
	if (tolerance <= 0) {
		for (size_t i = 0; i < count; i++)
			if (math_f32_bits(got[i]) != math_f32_bits(expected[i]))
				fail_msg("%s, seed %llu: %s[%zu] is %.9g, of the reference %.9g",
					isa, (unsigned long long)seed, tap, i, (double)got[i],
					(double)expected[i]);
		return;
	}
	for (size_t i = 0; i < count; i++)
		largest = (double)expected[i] > largest ? (double)expected[i]
			: -(double)expected[i] > largest ? -(double)expected[i] : largest;
	for (size_t i = 0; i < count; i++)
		rig_close_to(tap, got[i], (double)expected[i], tolerance * largest);
}

/* The same steps on both: three sequences, ragged, in cuts of 1, 2, 3, 7, 33 rows. */
static void compare_model(const struct rig_isa *ref, const struct rig_isa *isa, uint64_t seed)
{
	static const uint32_t cuts[] = {1, 2, 3, 7, 33};
	const struct model_shape shape = model_shape_of(seed);
	struct sequence sequences[3];
	struct rig one, two;

	model_open(&one, ref, 2, shape);
	model_open(&two, isa, 2, shape);
	for (uint32_t i = 0; i < 3; i++) {
		sequence_random(&sequences[i], 46, seed * 10 + i);
		sequences[i].slot = i;
		sequences[i].state = i;
		for (uint32_t j = 0; j < TABLE_PAGES; j++)
			sequences[i].pages[j] = (7 * (TABLE_PAGES * i + j) + 3) % MODEL_PAGES;
	}
	for (uint32_t round = 0; round < 5; round++) {
		struct stepper t = {0};

		for (uint32_t i = 0; i < 3; i++)
			stepper_add(&t, &sequences[i], i == 0 ? cuts[round] : cuts[(round + i) % 2],
				CHIP_WANT_LOGITS);
		rig_run(&one, &t.step, NULL);
		rig_run(&two, &t.step, NULL);
		assert_int_equal(one.tap_count, two.tap_count);
		for (uint32_t i = 0; i < one.tap_count; i++)
			compare_values(isa->name, seed, one.taps[i].name, two.taps[i].values,
				one.taps[i].values, (size_t)one.taps[i].rows * one.taps[i].columns);
	}
	rig_close(&one);
	rig_close(&two);
}

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* The reference, which rounds inputs and takes columns in pairs where the other does. */
static struct rig_isa reference_of(const struct rig_isa *isa)
{
	struct rig_isa ref = isas[0];

	if (isa->kernels.bf16_inputs) {
		ref.kernels.bf16_pairs = ref.kernels.bf16_inputs = true;
		ref.kernels.matmul[CHIP_BF16] = ref_matmul_bf16_pairs;
		ref.kernels.matmul[CHIP_F8_E4M3] = ref_matmul_f8_pairs;
	}
	return ref;
}

static void every_operation_gives_what_the_reference_gives(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < isa_count; i++) {
		const struct rig_isa ref = reference_of(&isas[i]);

		for (uint64_t seed = 1; seed <= SEEDS; seed++)
			compare_model(&ref, &isas[i], seed);
	}
}

/* ---- values that models should not have, and files may --------------------------------------- */

/* NaN stays NaN, whichever of them. */
static void assert_same_number(const char *what, float got, float expected)
{
	if (math_f32_bits(got) != math_f32_bits(expected) && !(got != got && expected != expected))
		fail_msg("%s: %.9g, of the reference %.9g", what, (double)got, (double)expected);
}

static void extreme_values(float *out, uint32_t count, uint64_t seed)
{
	static const float values[] = {
		0.0F, -0.0F, 1e-45F, -1e-39F, 0x1p-119F, 0x1.8p-120F, 1e-10F, 0.5F, 1.5F, -2.5F,
		87.5F, 89.1F, -103.9F,
		-104.1F, 127.5F, 3e38F, -3e38F, 1e30F,
	};
	struct prng p;

	prng_init(&p, seed);
	for (uint32_t i = 0; i < count; i++)
		out[i] = values[prng_below(&p, sizeof(values) / sizeof(values[0]))];
}

static void compare_quantized(const struct cpu_kernels *ref, const struct cpu_kernels *k,
	const float *x, uint32_t count, uint32_t unit)
{
	struct cpu_block blocks[2][32];
	int8_t values[2][1024];

	ref->quantize(x, count, unit, values[0], blocks[0]);
	k->quantize(x, count, unit, values[1], blocks[1]);
	assert_memory_equal(values[0], values[1], count);
	for (uint32_t i = 0; i < count / CPU_BLOCK; i++) {
		assert_memory_equal(blocks[0][i].start, blocks[1][i].start,
			sizeof(blocks[0][i].start));
		assert_memory_equal(blocks[0][i].halves, blocks[1][i].halves,
			sizeof(blocks[0][i].halves));
		assert_memory_equal(blocks[0][i].pair, blocks[1][i].pair,
			sizeof(blocks[0][i].pair));
		assert_same_number("scale", blocks[1][i].scale, blocks[0][i].scale);
		assert_same_number("sum", blocks[1][i].sum, blocks[0][i].sum);
	}
}

static void compare_extremes(const struct cpu_kernels *ref, const struct cpu_kernels *k,
	const float *x, const float *y, uint32_t count)
{
	float one[256], two[256];
	uint16_t halves[2][256];
	float largest[2];

	ref->swiglu(x, y, one, count);
	k->swiglu(x, y, two, count);
	for (uint32_t i = 0; i < count; i++)
		assert_same_number("swiglu", two[i], one[i]);
	ref->add_scaled(one, y, 0.7F, count);
	k->add_scaled(two, y, 0.7F, count);
	for (uint32_t i = 0; i < count; i++)
		assert_same_number("add_scaled", two[i], one[i]);
	ref->f16_from_f32(x, halves[0], count);
	k->f16_from_f32(x, halves[1], count);
	for (uint32_t i = 0; i < count; i++)
		assert_same_number("f16_from_f32", math_f32_from_f16(halves[1][i]),
			math_f32_from_f16(halves[0][i]));
	ref->bf16_from_f32(x, halves[0], count);
	k->bf16_from_f32(x, halves[1], count);
	assert_memory_equal(halves[0], halves[1], count * sizeof(halves[0][0]));
	assert_int_equal(ref->largest(x, count, &largest[0]), k->largest(x, count, &largest[1]));
	assert_same_number("largest", largest[1], largest[0]);
	const bool finite = ref->maxima(x, count, one);

	assert_int_equal(finite, k->maxima(x, count, two));
	for (uint32_t i = 0; finite && i * CPU_MAXIMA < count; i++)
		assert_true(one[i] == two[i]);
	assert_true(ref->exponentials(x, 0.7F, 1.0F, count, one) ==
		k->exponentials(x, 0.7F, 1.0F, count, two) ||
		    !(ref->exponentials(x, 0.7F, 1.0F, count, NULL) < 1e300));
	for (uint32_t i = 0; i < count; i++)
		assert_same_number("exponentials", two[i], one[i]);
	compare_quantized(ref, k, x, count / CPU_BLOCK * CPU_BLOCK, CPU_BLOCK);
}

static void extreme_values_give_the_same_as_well(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < isa_count; i++)
		for (uint32_t count = 1; count < 200; count++) {
			float x[256], y[256];

			extreme_values(x, count, count);
			extreme_values(y, count, count + 1000);
			compare_extremes(&isas[0].kernels, &isas[i].kernels, x, y, count);
			x[count / 2] = __builtin_nanf("");
			compare_extremes(&isas[0].kernels, &isas[i].kernels, x, y, count);
			x[count / 2] = -__builtin_inff();
			compare_extremes(&isas[0].kernels, &isas[i].kernels, x, y, count);
		}
}

/* Inputs that share a scale in a record: it is the largest of 256 magnitudes over 127. */
static void records_are_quantized_as_by_the_reference(void **state)
{
	static const float special[] = {0.0F, 1e-38F, 0x1p-119F, 3e38F, __builtin_inff(),
		-__builtin_inff(), __builtin_nanf("")};
	float x[1024];
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	for (uint32_t turn = 0; turn < 64; turn++) {
		struct cpu_block blocks[32];
		int8_t values[1024];

		for (uint32_t i = 0; i < 1024; i++)
			x[i] = (float)(prng_unit(&p) - 0.5) * (float)(1 + i / 32 % 8);
		const float other = special[turn % (sizeof(special) / sizeof(special[0]))];

		if (turn >= 8)
			x[256 + prng_below(&p, 256)] = other;
		for (uint32_t i = 0; i < 256; i++)   /* none is larger */
			x[768 + i] = i % 3 ? other : -other;
		if (turn % 8 == 7)
			memset(x + 512, 0, 256 * sizeof(*x));
		for (uint32_t i = 1; i < isa_count; i++)
			compare_quantized(&isas[0].kernels, &isas[i].kernels, x, 1024,
				CPU_RECORD_COLUMNS);
		isas[0].kernels.quantize(x, 1024, CPU_RECORD_COLUMNS, values, blocks);
		for (uint32_t b = 0; b < 8; b++) {
			float largest = 0;

			for (uint32_t j = 0; j < 256; j++)
				largest = x[j] > largest ? x[j] : -x[j] > largest ? -x[j] : largest;
			assert_true(blocks[b].scale == largest / 127.0F);
			assert_true(isfinite(other) ? blocks[24 + b].scale ==
				(other < 0x1p-119F ? 0.0F : other / 127.0F)
				: isnan(blocks[24 + b].scale) && values[768 + 32 * b] == 0);
		}
	}
}

#define HEADS 10

static void compare_heads(const struct cpu_kernels *ref, const struct cpu_kernels *k,
	const struct cpu_heads *h, const float *x)
{
	float one[HEADS * 256], two[HEADS * 256];

	memcpy(one, x, sizeof(one));
	memcpy(two, x, sizeof(two));
	ref->rope(h, one);
	k->rope(h, two);
	for (uint32_t i = 0; i < HEADS * 256; i++)
		assert_same_number("rope", two[i], one[i]);
}

static void heads_are_normed_and_rotated_as_by_the_reference(void **state)
{
	static const uint32_t dims[] = {64, 80, 128, 256}, counts[] = {1, 3, 8, HEADS};
	float x[HEADS * 256], weight[256], angles[256];
	struct prng p;

	(void)state;
	prng_init(&p, 11);
	for (uint32_t i = 0; i < HEADS * 256; i++)
		x[i] = (float)prng_unit(&p) - 0.5F;
	for (uint32_t i = 0; i < 256; i++) {
		weight[i] = (float)prng_unit(&p) + 0.5F;
		angles[i] = (float)prng_unit(&p);
	}
	for (uint32_t i = 1; i < isa_count; i++)
		for (uint32_t j = 0; j < 64; j++) {
			const uint32_t dim = dims[j % 4];
			const uint32_t pairs[] = {0, 16, 20, dim / 2};
			const struct cpu_heads h = {counts[j / 4 % 4], 256, dim,
				j % 5 ? weight : NULL, 1e-6F, angles, angles + 128,
				pairs[j / 16]};

			compare_heads(&isas[0].kernels, &isas[i].kernels, &h, x);
		}
}

static void compare_words(const struct cpu_kernels *ref, const struct cpu_kernels *k,
	uint32_t rows, uint32_t columns)
{
	uint32_t in[20][40], one[40][32] = {{0}}, two[40][32] = {{0}};

	for (uint32_t i = 0; i < 20 * 40; i++)
		in[i / 40][i % 40] = i * 0x01010101U;
	ref->transpose((const uint8_t *)in, sizeof(in[0]), rows, columns,
		(uint8_t *)&one[0][3], sizeof(one[0]));
	k->transpose((const uint8_t *)in, sizeof(in[0]), rows, columns, (uint8_t *)&two[0][3],
		sizeof(two[0]));
	assert_memory_equal(one, two, sizeof(one));
	assert_int_equal(one[columns - 1][rows + 2], in[rows - 1][columns - 1]);
	assert_int_equal(one[0][rows + 3], 0);
}

static void compare_pairs(const struct cpu_kernels *ref, const struct cpu_kernels *k,
	uint32_t count)
{
	float x[256], y[256];
	uint16_t one[512], two[512];

	extreme_values(x, count, count);
	extreme_values(y, count, count + 1);
	for (uint32_t i = 0; i < 512; i++)
		one[i] = two[i] = (uint16_t)(0xBF80 + i);   /* numbers */
	/* the second one alone first: what is there of the first has to stay */
	for (uint32_t i = 0; i < 4; i++) {
		const float *first = i % 2 ? x : NULL, *second = i < 3 ? y : NULL;

		ref->bf16_pairs_from_f32(first, second, one, count);
		k->bf16_pairs_from_f32(first, second, two, count);
		assert_memory_equal(one, two, sizeof(one));
	}
}

static void keys_and_values_are_stored_as_by_the_reference(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < isa_count; i++) {
		for (uint32_t rows = 1; rows <= 17; rows++)
			for (uint32_t columns = 1; columns <= 40; columns++)
				compare_words(&isas[0].kernels, &isas[i].kernels, rows, columns);
		for (uint32_t count = 2; count <= 200; count += 2)
			compare_pairs(&isas[0].kernels, &isas[i].kernels, count);
	}
}

/* Every byte a file may hold: -128 in q8_0, all nibbles in q4_0, against the largest inputs. */
static void weights_at_the_edge_of_their_range_do_not_overflow(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_Q8_0; type <= CHIP_Q4_0; type++) {
			const size_t block = chip_type_block_bytes(type);
			uint8_t bytes[17 * 34];
			float x[32];
			struct rig r;
			struct chip_row row = {.input = CHIP_INPUT_EMBEDDING};
			const struct chip_sequence q = {.row_count = 1, .state_read = CHIP_NONE};
			const struct chip_step step = {&row, 1, &q, 1, NULL, 0, x};
			const uint16_t one = math_f16_from_f32(1.0F);

			memset(bytes, type == CHIP_Q8_0 ? 0x80 : 0x00, sizeof(bytes));
			for (uint32_t j = 0; j < 17; j++)
				memcpy(bytes + j * block, &one, 2);
			for (uint32_t j = 0; j < 32; j++)
				x[j] = -127.0F;
			rig_open(&r, &isas[i], 1);
			const uint32_t in = rig_input(&r, 32);
			const struct chip_span span = {bytes, 17};
			const struct chip_matrix m = {
				.type = type, .rows = 17, .columns = 32, .spans = &span,
				.span_count = 1};
			struct chip_op *op = rig_op(&r, CHIP_OP_MATMUL, "y");

			rig_ok(chip_weight_pack(r.chip, &r.weights[r.weight_count], &m, info));
			r.plain[r.weight_count] = NULL;
			op->u.matmul.in = in;
			op->u.matmul.count = 1;
			op->u.matmul.weight[0] = r.weights[r.weight_count++];
			op->u.matmul.out[0] = rig_buffer(&r, "y", CHIP_ROWS, 17);
			rig_start(&r);
			rig_run(&r, &step, NULL);
			for (uint32_t j = 0; j < 17; j++)
				assert_true(rig_tap(&r, "y")[j] == (type == CHIP_Q8_0 ? 128.0F
					: 8.0F) * 127 * 32);
			rig_close(&r);
		}
}

/* Zeros would say that all is well. */
static void norms_whose_squares_overflow_are_nan(void **state)
{
	float ones[32], x[32], out[32];

	(void)state;
	for (uint32_t j = 0; j < 32; j++)
		ones[j] = 1.0F;
	for (uint32_t i = 0; i < isa_count; i++) {
		const struct cpu_kernels *k = &isas[i].kernels;
		const struct cpu_heads h = {1, 32, 32, ones, 1e-6F, ones, ones, 8};

		memcpy(x, ones, sizeof(x));
		x[7] = 1e20F;
		k->rms_norm(x, NULL, ones, 1e-6F, 32, out);
		assert_true(isnan(out[0]) && isnan(out[31]));
		k->rms_norm_gate(x, ones, ones, 1e-6F, 32, out);
		assert_true(isnan(out[0]) && isnan(out[31]));
		k->l2_norm(x, 1e-6F, 1.0F, 32, out);
		assert_true(isnan(out[0]) && isnan(out[31]));
		k->rope(&h, x);
		assert_true(isnan(x[0]) && isnan(x[31]));
		memcpy(x, ones, sizeof(x));
		x[0] = 1e18F;   /* its square fits */
		k->rms_norm(x, NULL, ones, 1e-6F, 32, out);
		assert_true(out[0] > 5 && out[31] > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_gives_what_the_reference_gives),
		cmocka_unit_test(extreme_values_give_the_same_as_well),
		cmocka_unit_test(records_are_quantized_as_by_the_reference),
		cmocka_unit_test(heads_are_normed_and_rotated_as_by_the_reference),
		cmocka_unit_test(norms_whose_squares_overflow_are_nan),
		cmocka_unit_test(keys_and_values_are_stored_as_by_the_reference),
		cmocka_unit_test(weights_at_the_edge_of_their_range_do_not_overflow),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
