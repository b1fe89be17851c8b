/* tests/chip/matmul_test.c - matrix kernels called with any rows and any run of panels, as no small
 * model would: what they write is the reference's, bit for bit, and they write nothing else. */
#include "rig.h"

#include "chip/cpu/kernels_ref.h"

#define ROWS_MAX    50
#define ROWS_EACH   20     /* up to here every number of rows is tried, then those of rows_more */
#define COLUMNS_MAX 3360   /* more than a part has, and a short record at the end */
#define OUTPUTS_MAX 83
#define UNTOUCHED   12345.0F

static const uint32_t rows_more[] = {24, 25, 28, 43, ROWS_MAX};   /* around PART_ROWS of 8 lanes */

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* Inputs in every form, prepared by the reference. */
struct inputs {
	float rows[ROWS_MAX * COLUMNS_MAX];
	int8_t values[ROWS_MAX * COLUMNS_MAX];
	struct cpu_block blocks[ROWS_MAX * COLUMNS_MAX / 32];
	uint16_t halves[ROWS_MAX * COLUMNS_MAX];
};

/* unit: columns that share a scale, where there are scales. */
static void inputs_make(struct inputs *in, uint32_t columns, uint32_t unit)
{
	const uint32_t even = (columns + 1) / 2 * 2, blocks = columns / 32;

	memset(in->halves, 0, sizeof(in->halves));
	for (uint32_t row = 0; row < ROWS_MAX; row++) {
		const float *x = in->rows + (size_t)row * columns;

		ref_quantize(x, blocks * 32, unit, in->values + (size_t)row * columns,
			in->blocks + row * blocks);
		for (uint32_t k = 0; k < columns; k++)
			in->halves[(size_t)row * even + k] = math_bf16_from_f32(x[k]);
	}
}

static void inputs_fill(struct inputs *in, uint32_t columns, uint32_t unit, uint64_t seed)
{
	rig_fill(in->rows, (size_t)ROWS_MAX * columns, seed);
	inputs_make(in, columns, unit);
}

static struct cpu_matmul call_of(const struct cpu_weight *w, const struct inputs *in, uint32_t rows,
	float *out)
{
	return (struct cpu_matmul){
		.panels = w->panels,
		.panel_bytes = w->panel_bytes,
		.scales_bytes = w->scales_bytes,
		.type = w->base.type,
		.lanes = w->lanes,
		.pairs = w->pairs,
		.columns = w->base.columns,
		.group = w->group,
		.outputs = w->base.rows,
		.in = {
			.rows = in->rows,
			.stride = w->base.columns,
			.values = in->values,
			.blocks = in->blocks,
			.halves = in->halves,
		},
		.rows = rows,
		.out = out,
		.out_stride = w->base.rows + 3,
	};
}

/* Of the reference, on the same panels. */
static void expect(const struct rig_isa *isa, const struct cpu_matmul *m, enum chip_type type,
	uint32_t first, uint32_t end)
{
	if (type == CHIP_BF16 && isa->kernels.bf16_inputs)
		ref_matmul_bf16_pairs(m, first, end);
	else if (type == CHIP_F8_E4M3 && isa->kernels.bf16_inputs)
		ref_matmul_f8_pairs(m, first, end);
	else
		isas[0].kernels.matmul[type](m, first, end);
}

/* The bf16 instruction may round a pair as the processor likes; all else has no choice. */
static void check_value(const struct rig_isa *isa, enum chip_type type, float got, float expected)
{
	if ((type == CHIP_BF16 || type == CHIP_F8_E4M3) && strcmp(isa->name, "avx512bf16") == 0)
		rig_close_to("pair", got, (double)expected, 1e-4);
	else if (math_f32_bits(got) != math_f32_bits(expected))
		fail_msg("%s, %s: %a instead of %a", isa->name, chip_type_name(type), (double)got,
			(double)expected);
}

static void check_call(const struct rig_isa *isa, const struct cpu_weight *w,
	const struct inputs *in, uint32_t rows, uint32_t first, uint32_t end)
{
	static float got[ROWS_MAX * (OUTPUTS_MAX + 3)], expected[ROWS_MAX * (OUTPUTS_MAX + 3)];
	const size_t count = sizeof(got) / sizeof(got[0]);
	const struct cpu_matmul m = call_of(w, in, rows, got),
		same = call_of(w, in, rows, expected);

	for (size_t i = 0; i < count; i++)
		got[i] = expected[i] = UNTOUCHED;
	isa->kernels.matmul[w->base.type](&m, first, end);
	expect(isa, &same, w->base.type, first, end);
	if (memcmp(got, expected, sizeof(got)) == 0)
		return;
	for (size_t i = 0; i < count; i++)
		check_value(isa, w->base.type, got[i], expected[i]);
}

/* Packed rows come out again as they went in. */
static void check_rows(const struct cpu_weight *w, const float *plain)
{
	static float row[COLUMNS_MAX];

	for (uint32_t i = 0; i < w->base.rows; i++) {
		cpu_weight_row(w, i, row);
		for (uint32_t k = 0; k < w->base.columns; k++)
			if (math_f32_bits(row[k]) !=
				math_f32_bits(plain[(size_t)i * w->base.columns + k]))
				fail_msg("%s: row %u, column %u is %a instead of %a",
					chip_type_name(w->base.type), i, k, (double)row[k],
					(double)plain[(size_t)i * w->base.columns + k]);
	}
}

/* In blocks: what comes out is the sum over the dequantized weights and the quantized inputs, but
 * for the rounding of some sums to f32. */
static void check_sums(const struct rig_isa *isa, const struct cpu_weight *w, const float *plain,
	const struct inputs *in, uint32_t row)
{
	static float got[ROWS_MAX * (OUTPUTS_MAX + 3)];
	const struct cpu_matmul m = call_of(w, in, row + 1, got);
	const size_t from = (size_t)row * w->base.columns;

	if (!w->blocks)
		return;
	isa->kernels.matmul[w->base.type](&m, 0, w->panel_count);
	for (uint32_t i = 0; i < w->base.rows; i++) {
		double sum = 0.0, magnitude = 0.0;

		for (uint32_t k = 0; k < w->base.columns; k++) {
			const size_t at = from + k;
			const double x = (double)in->values[at] * (double)in->blocks[at / 32].scale;
			const double y = (double)plain[(size_t)i * w->base.columns + k] * x;

			sum += y;
			magnitude += y < 0 ? -y : y;
		}
		rig_close_to(chip_type_name(w->base.type), got[row * m.out_stride + i], sum,
			3e-6 * magnitude + 1e-30);
	}
}

/* Every number of rows; panels from each place to the end, and some in the middle. */
static void check_shape(const struct rig_isa *isa, enum chip_type type, uint32_t outputs,
	uint32_t columns)
{
	static struct inputs in;
	struct rig r;

	if (!chip_row_fits(type, rig_group(type), columns))
		return;
	rig_open(&r, isa, 1);
	const uint32_t index = rig_weight(&r, type, outputs, columns, outputs + columns);
	const struct cpu_weight *w = (const struct cpu_weight *)r.weights[index];

	inputs_fill(&in, columns, w->unit, columns);
	check_rows(w, r.plain[index]);
	check_sums(isa, w, r.plain[index], &in, 0);
	/* stored rows: stored_test.c */
	for (uint32_t rows = 1; !w->stored && rows <= ROWS_EACH; rows++) {
		check_call(isa, w, &in, rows, 0, w->panel_count);
		check_call(isa, w, &in, rows, w->panel_count / 3, w->panel_count / 3 * 2);
		for (uint32_t first = 1; rows % 8 == 1 && first < w->panel_count; first++)
			check_call(isa, w, &in, rows, first, w->panel_count);
	}
	for (uint32_t i = 0; !w->stored && i < sizeof(rows_more) / sizeof(rows_more[0]); i++)
		check_call(isa, w, &in, rows_more[i], 0, w->panel_count);
	chip_weight_close(r.chip, r.weights[index]);
	free(r.plain[index]);
	chip_close(r.chip);
}

static void any_rows_and_panels_give_what_the_reference_gives(void **state)
{
	static const uint32_t outputs[] = {1, 17, 48, OUTPUTS_MAX};

	(void)state;
	for (uint32_t i = 1; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
			for (size_t j = 0; j < sizeof(outputs) / sizeof(outputs[0]); j++) {
				check_shape(&isas[i], type, outputs[j], 32);
				check_shape(&isas[i], type, outputs[j], 96);
				check_shape(&isas[i], type, outputs[j], 45);
				check_shape(&isas[i], type, outputs[j], 512);
			}
}

/* Longer than what a kernel takes at once. */
static void long_sums_keep_their_order(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
			check_shape(&isas[i], type, 40,
				chip_row_fits(type, rig_group(type), COLUMNS_MAX) ? COLUMNS_MAX
				: COLUMNS_MAX / CHIP_BLOCK_MAX * CHIP_BLOCK_MAX);
}

/* A block of 256 whose codes, factors and scales are the largest in magnitude. */
static void largest_block(enum chip_type type, uint8_t *out)
{
	const uint16_t one = 0x3C00;   /* in f16 */
	const size_t bytes = chip_type_block_bytes(type);

	memset(out, type == CHIP_Q4_K || type == CHIP_Q5_K ? 0xFF : 0, bytes);
	if (type == CHIP_Q6_K)         /* 16 scales and their own at the end */
		memset(out + bytes - 18, 0x80, 16);
	memcpy(type == CHIP_Q6_K ? out + bytes - 2 : out, &one, sizeof(one));
	if (type == CHIP_Q4_K || type == CHIP_Q5_K)
		memcpy(out + 2, &one, sizeof(one));
}

/* Whatever a file says: neither sums of 16 bits saturate nor those of 32 overflow. */
static void the_largest_sums_of_records_fit(void **state)
{
	static const enum chip_type types[] = {CHIP_Q4_K, CHIP_Q5_K, CHIP_Q6_K, CHIP_IQ4_XS};
	enum { OUTPUTS = 20, COLUMNS = 512, BLOCK_BYTES_MAX = 256 };
	static uint8_t bytes[OUTPUTS * 2 * BLOCK_BYTES_MAX];
	static float plain[OUTPUTS * COLUMNS];
	static struct inputs in;

	(void)state;
	for (uint32_t i = 0; i < ROWS_MAX * COLUMNS; i++)   /* rows of one sign, and of both */
		in.rows[i] = i / COLUMNS % 3 == 0 || (i / COLUMNS % 3 == 1 && i % 2) ? 1.0F : -1.0F;
	inputs_make(&in, COLUMNS, CPU_RECORD_COLUMNS);
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++) {
			const size_t block = chip_type_block_bytes(types[j]), row_bytes = 2 * block;
			const struct chip_span span = {bytes, OUTPUTS};
			const struct chip_matrix m = {.type = types[j], .rows = OUTPUTS,
				.columns = COLUMNS, .spans = &span, .span_count = 1};
			struct rig r;

			for (uint32_t k = 0; k < 2 * OUTPUTS; k++)
				largest_block(types[j], bytes + k * block);
			for (uint32_t k = 0; k < OUTPUTS; k++)
				chip_row_to_f32(types[j], 0, bytes + k * row_bytes, COLUMNS,
					plain + (size_t)k * COLUMNS);
			rig_open(&r, &isas[i], 1);
			const struct cpu_weight *w =
				(const struct cpu_weight *)r.weights[rig_pack(&r, &m)];

			for (uint32_t row = 0; row < 3; row++)   /* all 1, both, all -1 */
				check_sums(&isas[i], w, plain, &in, row);
			check_call(&isas[i], w, &in, 3, 0, w->panel_count);
			check_call(&isas[i], w, &in, ROWS_MAX, 0, w->panel_count);
			rig_close(&r);
		}
}

/* A zero and a scale for each 32 to 512 columns, or for a whole row; mixed kinds of scales. */
static void groups_of_every_size_give_what_the_reference_gives(void **state)
{
	static const uint32_t groups[] = {32, 64, 128, 256, 512, 2000};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t j = 0; j < sizeof(groups) / sizeof(groups[0]); j++) {
			rig_group_values = groups[j];
			check_shape(&isas[i], CHIP_INT4, 33, 1024);
			check_shape(&isas[i], CHIP_INT4, 33, 608);
		}
	rig_group_values = RIG_GROUP;
}

/* Of a matrix that is cut in parts of columns. */
static void sums_go_on_from_what_is_there(void **state)
{
	static const enum chip_type types[] = {CHIP_F32, CHIP_F16, CHIP_BF16, CHIP_F8_E4M3};
	static const uint32_t rows[] = {1, 2, 7, 20, ROWS_MAX};
	static float got[ROWS_MAX * (OUTPUTS_MAX + 3)], expected[ROWS_MAX * (OUTPUTS_MAX + 3)];
	static struct inputs in;
	const uint32_t columns = 544;

	(void)state;
	inputs_fill(&in, columns, CPU_BLOCK, 3);
	for (uint32_t i = 1; i < isa_count; i++)
		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++)
			for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
				struct rig r;

				rig_open(&r, &isas[i], 1);
				const uint32_t index = rig_weight(&r, types[j], 40, columns, 5);
				const struct cpu_weight *w =
					(const struct cpu_weight *)r.weights[index];
				struct cpu_matmul m = call_of(w, &in, rows[k], got);

				m.add = true;
				rig_fill(got, sizeof(got) / sizeof(got[0]), k);
				memcpy(expected, got, sizeof(got));
				isas[i].kernels.matmul[types[j]](&m, 0, w->panel_count);
				m.out = expected;
				expect(&isas[i], &m, types[j], 0, w->panel_count);
				for (size_t l = 0; l < sizeof(got) / sizeof(got[0]); l++)
					check_value(&isas[i], types[j], got[l], expected[l]);
				rig_close(&r);
			}
}

/* ---- f8_e4m3 --------------------------------------------------------------------------------- */

#define F8_OUTPUTS 37

/* A matrix of random codes; one more code, if it is not 0, in the last column of output 1. */
static const struct cpu_weight *pack_f8(struct rig *r, uint32_t group, uint32_t columns,
	uint8_t code)
{
	const size_t row_bytes = chip_row_bytes(CHIP_F8_E4M3, group, columns);
	uint8_t *bytes = malloc(F8_OUTPUTS * row_bytes);
	const struct chip_span span = {bytes, F8_OUTPUTS};
	const struct chip_matrix m = {.type = CHIP_F8_E4M3, .rows = F8_OUTPUTS, .columns = columns,
		.group = group, .spans = &span, .span_count = 1};

	assert_non_null(bytes);
	for (uint32_t i = 0; i < F8_OUTPUTS; i++)
		format_rows_random(CHIP_F8_E4M3, group, i + columns, 1.0F + (float)i, columns,
			bytes + i * row_bytes);
	if (code)
		bytes[2 * row_bytes - 1] = code;
	const uint32_t index = rig_pack(r, &m);

	free(bytes);
	return (const struct cpu_weight *)r->weights[index];
}

static void groups_of_any_size_give_what_the_reference_gives(void **state)
{
	static const struct {
		uint32_t group, columns;
	} shapes[] = {{2, 64}, {128, 1000}, {300, 1056}, {1056, 1056}, {45, 45}, {2001, 45}};
	static struct inputs in;

	(void)state;
	for (uint32_t i = 1; i < isa_count; i++)
		for (size_t j = 0; j < sizeof(shapes) / sizeof(shapes[0]); j++) {
			struct rig r;

			rig_open(&r, &isas[i], 1);
			const struct cpu_weight *w = pack_f8(&r, shapes[j].group,
				shapes[j].columns, 0);

			assert_false(w->stored);
			inputs_fill(&in, shapes[j].columns, CPU_BLOCK, j);
			check_call(&isas[i], w, &in, 1, 0, w->panel_count);
			check_call(&isas[i], w, &in, 7, 0, w->panel_count);
			check_call(&isas[i], w, &in, ROWS_MAX, 0, w->panel_count);
			rig_close(&r);
		}
}

static void odd_groups_side_by_side_stay_as_they_are(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		struct rig r;

		rig_open(&r, &isas[i], 1);
		assert_true(pack_f8(&r, 7, 45, 0)->stored);
		rig_close(&r);
	}
}

/* A kernel may keep a scale times a power of 2. */
static void scales_up_to_the_largest_float_give_what_the_reference_gives(void **state)
{
	static const float scales[] = {0x1p119F, 0x1p120F, 0x1.8p125F, -0x1p126F};
	enum { COLUMNS = 64, ROW_BYTES = 4 + COLUMNS };
	static struct inputs in;

	(void)state;
	inputs_fill(&in, COLUMNS, CPU_BLOCK, 2);
	for (uint32_t i = 0; i < ROWS_MAX * COLUMNS; i++) {
		in.rows[i] *= 0x1p-24F;
		in.halves[i] = math_bf16_from_f32(in.rows[i]);
	}
	for (uint32_t i = 1; i < isa_count; i++)
		for (size_t j = 0; j < sizeof(scales) / sizeof(scales[0]) &&
			!isas[i].kernels.bf16_inputs; j++) {
			uint8_t bytes[F8_OUTPUTS][ROW_BYTES];
			const struct chip_span span = {bytes, F8_OUTPUTS};
			const struct chip_matrix m = {.type = CHIP_F8_E4M3, .rows = F8_OUTPUTS,
				.columns = COLUMNS, .group = COLUMNS, .spans = &span,
				.span_count = 1};
			struct rig r;

			assert_int_equal(chip_row_bytes(CHIP_F8_E4M3, COLUMNS, COLUMNS), ROW_BYTES);
			for (uint32_t row = 0; row < F8_OUTPUTS; row++) {
				format_rows_random(CHIP_F8_E4M3, COLUMNS, row, 1.0F, COLUMNS,
					bytes[row]);
				for (uint32_t k = 4; k < ROW_BYTES; k++)
					bytes[row][k] &= 0xBF;   /* below 2 */
				memcpy(bytes[row], &scales[row % 3 ? 0 : j], 4);
			}
			rig_open(&r, &isas[i], 1);
			const uint32_t index = rig_pack(&r, &m);
			const struct cpu_weight *w = (const struct cpu_weight *)r.weights[index];

			check_call(&isas[i], w, &in, 1, 0, w->panel_count);
			check_call(&isas[i], w, &in, 7, 0, w->panel_count);
			check_call(&isas[i], w, &in, ROWS_MAX, 0, w->panel_count);
			rig_close(&r);
		}
}

/* Of all the codes, two are no numbers. */
static void a_code_that_is_no_number_is_seen_in_its_output(void **state)
{
	static struct inputs in;
	static float out[F8_OUTPUTS + 3];

	(void)state;
	inputs_fill(&in, 96, CPU_BLOCK, 1);
	for (uint32_t i = 0; i < isa_count; i++)
		for (uint32_t code = 0x7F; code <= 0xFF; code += 0x80) {
			struct rig r;

			rig_open(&r, &isas[i], 1);
			const struct cpu_weight *w = pack_f8(&r, 32, 96, (uint8_t)code);
			const struct cpu_matmul m = call_of(w, &in, 1, out);
			float row[96];

			isas[i].kernels.matmul[CHIP_F8_E4M3](&m, 0, w->panel_count);
			for (uint32_t j = 0; j < F8_OUTPUTS; j++)
				assert_int_equal(out[j] != out[j], j == 1);
			cpu_weight_row(w, 1, row);
			assert_true(row[95] != row[95] && row[0] == row[0]);
			rig_close(&r);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_of_every_size_give_what_the_reference_gives),
		cmocka_unit_test(any_rows_and_panels_give_what_the_reference_gives),
		cmocka_unit_test(long_sums_keep_their_order),
		cmocka_unit_test(the_largest_sums_of_records_fit),
		cmocka_unit_test(sums_go_on_from_what_is_there),
		cmocka_unit_test(groups_of_any_size_give_what_the_reference_gives),
		cmocka_unit_test(scales_up_to_the_largest_float_give_what_the_reference_gives),
		cmocka_unit_test(odd_groups_side_by_side_stay_as_they_are),
		cmocka_unit_test(a_code_that_is_no_number_is_seen_in_its_output),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
