/* tests/chip/matmul_test.c - matrix kernels called with any rows and any run of panels, as no small
 * model would: what they write is the reference's, bit for bit, and they write nothing else. */
#include "rig.h"

#include "chip/cpu/kernels_ref.h"

#define ROWS_MAX    14
#define COLUMNS_MAX 1056
#define OUTPUTS_MAX 83
#define UNTOUCHED   12345.0F

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* Inputs in every form, prepared by the reference. */
struct inputs {
	float rows[ROWS_MAX * COLUMNS_MAX];
	int8_t values[ROWS_MAX * COLUMNS_MAX];
	struct cpu_block blocks[ROWS_MAX * COLUMNS_MAX / 32];
	uint16_t halves[ROWS_MAX * COLUMNS_MAX];
};

static void inputs_fill(struct inputs *in, uint32_t columns, uint64_t seed)
{
	const uint32_t even = (columns + 1) / 2 * 2, blocks = columns / 32;

	rig_fill(in->rows, (size_t)ROWS_MAX * columns, seed);
	memset(in->halves, 0, sizeof(in->halves));
	for (uint32_t row = 0; row < ROWS_MAX; row++) {
		const float *x = in->rows + (size_t)row * columns;

		ref_quantize(x, blocks * 32, in->values + (size_t)row * columns,
			in->blocks + row * blocks);
		for (uint32_t k = 0; k < columns; k++)
			in->halves[(size_t)row * even + k] = math_bf16_from_f32(x[k]);
	}
}

static struct cpu_matmul call_of(const struct cpu_weight *w, const struct inputs *in, uint32_t rows,
	float *out)
{
	return (struct cpu_matmul){
		.panels = w->panels,
		.panel_bytes = w->panel_bytes,
		.scales_bytes = w->scales_bytes,
		.lanes = w->lanes,
		.pairs = w->pairs,
		.columns = w->base.columns,
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
	else
		isas[0].kernels.matmul[type](m, first, end);
}

/* The bf16 instruction may round a pair as the processor likes; all else has no choice. */
static void check_value(const struct rig_isa *isa, enum chip_type type, float got, float expected)
{
	if (type == CHIP_BF16 && strcmp(isa->name, "avx512bf16") == 0)
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
	for (size_t i = 0; i < count; i++)
		check_value(isa, w->base.type, got[i], expected[i]);
}

/* Every number of rows; panels from each place to the end, and some in the middle. */
static void check_shape(const struct rig_isa *isa, enum chip_type type, uint32_t outputs,
	uint32_t columns)
{
	static struct inputs in;
	struct rig r;

	if (!isa->kernels.matmul[type])
		return;   /* stored rows: stored_test.c */
	rig_open(&r, isa, 1);
	const uint32_t index = rig_weight(&r, type, outputs, columns, outputs + columns);
	const struct cpu_weight *w = (const struct cpu_weight *)r.weights[index];

	inputs_fill(&in, columns, columns);
	for (uint32_t rows = 1; rows <= ROWS_MAX; rows++) {
		for (uint32_t first = 0; first < w->panel_count; first++)
			check_call(isa, w, &in, rows, first, w->panel_count);
		check_call(isa, w, &in, rows, w->panel_count / 3, w->panel_count / 3 * 2);
	}
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
				if (chip_row_fits(type, 0, 45))
					check_shape(&isas[i], type, outputs[j], 45);
			}
}

/* Longer than what a kernel takes at once. */
static void long_sums_keep_their_order(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
			check_shape(&isas[i], type, 40, COLUMNS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_rows_and_panels_give_what_the_reference_gives),
		cmocka_unit_test(long_sums_keep_their_order),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
