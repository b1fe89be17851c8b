/* tests/chip/stored_test.c - weights without a kernel of their own: whatever the instruction set,
 * the rows, the threads and the shares, the bits are those of the dequantized matrix in f32. And
 * what a matrix may say beside its values: parts, a reader, an order of columns. */
#include "rig.h"

#include "base/mem.h"

#define ROWS_MAX    33
#define COLUMNS_MAX 1280

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

static void fill_step(struct chip_step *step, struct chip_row *rows, struct chip_sequence *sequence,
	const float *inputs, uint32_t count)
{
	*sequence = (struct chip_sequence){.row_count = count, .state_read = CHIP_NONE};
	*step = (struct chip_step){.rows = rows, .row_count = count, .sequences = sequence,
		.sequence_count = 1, .embeddings = inputs};
	rig_embedding_rows(rows, 0, 0, 0, count, CHIP_WANT_NOTHING);
}

static void matmul_of(struct rig *r, uint32_t in, uint32_t weight, const char *name)
{
	struct chip_op *op = rig_op(r, CHIP_OP_MATMUL, name);

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r->weights[weight];
	op->u.matmul.out[0] = rig_buffer(r, name, CHIP_ROWS, r->weights[weight]->rows);
}

/* Two matrices in one program, y = W x and z = W x in f32, on 1 to ROWS_MAX rows. */
static void expect_same_products(struct rig *r, uint32_t in, uint32_t one, uint32_t other)
{
	static const uint32_t counts[] = {1, 2, 7, ROWS_MAX};
	static float inputs[ROWS_MAX * COLUMNS_MAX];
	const struct chip_weight *w = r->weights[one];

	matmul_of(r, in, one, "y");
	matmul_of(r, in, other, "z");
	rig_start(r);
	rig_fill(inputs, sizeof(inputs) / sizeof(inputs[0]), 4);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct chip_row rows[ROWS_MAX];
		struct chip_sequence sequence;
		struct chip_step step;

		fill_step(&step, rows, &sequence, inputs, counts[i]);
		rig_run(r, &step, NULL);
		for (uint32_t j = 0; j < counts[i] * w->rows; j++)
			if (math_f32_bits(rig_tap(r, "y")[j]) != math_f32_bits(rig_tap(r, "z")[j]))
				fail_msg("%s: output %u of %u rows is %a, in f32 %a",
					chip_type_name(w->type), j, counts[i],
					(double)rig_tap(r, "y")[j], (double)rig_tap(r, "z")[j]);
	}
}

static void check_type(const struct rig_isa *isa, enum chip_type type, uint32_t outputs,
	uint32_t columns, uint32_t threads)
{
	struct rig r;

	rig_open(&r, isa, threads);
	const uint32_t in = rig_input(&r, columns);
	const uint32_t one = rig_weight(&r, type, outputs, columns, outputs);
	const struct cpu_weight *w = (const struct cpu_weight *)r.weights[one];

	if (w->halves || w->blocks) {
		rig_close(&r);   /* of rounded inputs: matmul_test.c */
		return;
	}
	const uint32_t other = rig_weight_of(&r, CHIP_F32, outputs, columns, r.plain[one]);

	expect_same_products(&r, in, one, other);
	rig_close(&r);
}

static void products_are_those_of_the_dequantized_matrix_in_f32(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_Q4_1; type < CHIP_TYPES; type++) {
			check_type(&isas[i], type, 83, 256, 1);
			check_type(&isas[i], type, 3, COLUMNS_MAX, 2);
			check_type(&isas[i], type, 200, 768, 3);
			if (chip_row_fits(type, rig_group(type), 96))
				check_type(&isas[i], type, 17, 96, 2);
			if (chip_row_fits(type, rig_group(type), 601))
				check_type(&isas[i], type, 17, 601, 2);
		}
}

/* Any bytes at all: scales that are infinite, negative, subnormal. */
static void check_unpack(const struct rig_isa *isa, enum chip_type type, uint32_t columns,
	uint32_t first, uint32_t count)
{
	static float panel[CPU_LANES_MAX * COLUMNS_MAX], row[COLUMNS_MAX];
	const struct cpu_kernels *k = &isa->kernels;
	const size_t row_bytes = chip_row_bytes(type, rig_group(type), columns);
	uint8_t *bytes = malloc(row_bytes * k->lanes);
	struct prng p;

	assert_non_null(bytes);
	prng_init(&p, columns + (uint32_t)type);
	for (size_t i = 0; i < row_bytes * k->lanes; i++)
		bytes[i] = (uint8_t)prng_next(&p);
	for (uint32_t rows = 1; rows <= k->lanes; rows += k->lanes - 1 ? k->lanes - 1 : 1) {
		const struct cpu_stored s = {type, rig_group(type), rows, bytes, row_bytes};

		k->unpack(&s, k->lanes, first, count, panel);
		for (uint32_t lane = 0; lane < k->lanes; lane++) {
			chip_row_part_to_f32(type, rig_group(type), bytes + lane * row_bytes, first,
				count, row);
			for (uint32_t j = 0; j < count; j++) {
				const float got = panel[j * k->lanes + lane];
				const float expected = lane < rows ? row[j] : 0;

				if (math_f32_bits(got) != math_f32_bits(expected) &&
					!(got != got && expected != expected))
					fail_msg("%s, %s: row %u, column %u is %a instead of %a",
						isa->name, chip_type_name(type), lane, first + j,
						(double)got, (double)expected);
			}
		}
	}
	free(bytes);
}

static void any_bytes_decode_to_the_same_bits(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++) {
			check_unpack(&isas[i], type, 512, 0, 512);
			check_unpack(&isas[i], type, 1024, 256, 512);
			if (chip_row_fits(type, rig_group(type), 307))
				check_unpack(&isas[i], type, 307, 256, 51);
		}
}

/* ---- readers --------------------------------------------------------------------------------- */

struct source {
	const uint8_t *bytes;
	size_t row_bytes;
};

static void read_rows(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out)
{
	const struct source *s = context;

	memcpy(rows_out, s->bytes + first * s->row_bytes, count * s->row_bytes);
}

static struct chip_matrix matrix_of(enum chip_type type, uint32_t rows, uint32_t columns,
	struct source *source, uint64_t seed)
{
	float values[COLUMNS_MAX], plain[COLUMNS_MAX];
	const size_t row_bytes = chip_row_bytes(type, rig_group(type), columns);
	uint8_t *bytes = malloc(rows * row_bytes);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < rows; i++) {
		rig_fill(values, columns, seed + i);
		rig_encode(type, values, columns, bytes + i * row_bytes, plain);
	}
	*source = (struct source){bytes, row_bytes};
	return (struct chip_matrix){.type = type, .rows = rows, .columns = columns,
		.group = rig_group(type), .read = read_rows, .context = source};
}

static void a_reader_gives_what_spans_give(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++) {
			struct source source;
			struct chip_matrix m = matrix_of(type, 75, 256, &source, 9);
			const struct chip_span span = {source.bytes, 75};
			struct rig r;

			rig_open(&r, &isas[i], 3);
			const uint32_t one = rig_pack(&r, &m);

			m.spans = &span;
			m.span_count = 1;
			const uint32_t other = rig_pack(&r, &m);
			const struct cpu_weight *a = (struct cpu_weight *)r.weights[one],
						*b = (struct cpu_weight *)r.weights[other];

			assert_int_equal(a->base.read_bytes, b->base.read_bytes);
			assert_memory_equal(a->panels, b->panels, (size_t)a->base.read_bytes);
			if (a->stored)
				assert_int_equal(a->base.read_bytes, 75 * source.row_bytes);
			rig_close(&r);
			free((void *)(uintptr_t)source.bytes);
		}
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* One part's products and rows, and those of a matrix that is this part alone. */
static void check_part(struct rig *r, const struct cpu_weight *w, const struct chip_matrix *m,
	uint32_t part)
{
	const struct cpu_kernels *k = &((struct cpu_chip *)r->chip)->kernels;
	const uint32_t rows = m->rows / m->parts, columns = m->columns;
	const struct source *source = m->context;
	const struct source alone = {source->bytes + part * rows * source->row_bytes,
		source->row_bytes};
	struct chip_matrix one = *m;
	static float x[2 * COLUMNS_MAX], got[2 * 64], expected[2 * 64];
	static int8_t values[2 * COLUMNS_MAX];
	static struct cpu_block blocks[2 * COLUMNS_MAX / 32];
	static uint16_t halves[2 * COLUMNS_MAX];
	const struct cpu_input in = {x, columns, values, blocks, halves};

	one.rows = rows;
	one.parts = 0;
	one.context = &alone;
	const struct cpu_weight *v = (struct cpu_weight *)r->weights[rig_pack(r, &one)];
	float *scratch = malloc((cpu_weight_scratch_floats(w) + 16) * sizeof(float));

	assert_non_null(scratch);
	assert_int_equal(w->part_rows, rows);
	assert_int_equal(w->part_panels, v->part_panels);
	rig_fill(x, 2 * (size_t)columns, 3);
	for (uint32_t i = 0; i < 2 * columns; i++)
		halves[i] = math_bf16_from_f32(x[i]);
	for (uint32_t i = 0; columns % 32 == 0 && i < 2; i++)
		k->quantize(x + (size_t)i * columns, columns,
			w->unit, values + (size_t)i * columns,
			blocks + i * columns / 32);
	for (uint32_t panel = 0; panel < w->part_panels; panel++)
		cpu_weight_multiply(k, w, part, &in, 2, got, 64, panel, panel + 1, scratch);
	cpu_weight_multiply(k, v, 0, &in, 2, expected, 64, 0, v->part_panels, scratch);
	for (uint32_t i = 0; i < 2; i++)
		assert_memory_equal(got + i * 64, expected + i * 64, rows * sizeof(float));
	for (uint32_t i = 0; i < rows; i++) {
		cpu_weight_row(w, part * rows + i, x);
		cpu_weight_row(v, i, x + columns);
		assert_memory_equal(x, x + columns, columns * sizeof(float));
	}
	free(scratch);
}

static void a_part_alone_gives_what_it_would_as_a_matrix(void **state)
{
	enum { PARTS = 3 };

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
			for (uint32_t rows = 1; rows <= 21; rows += 20) {
				struct source source;
				struct chip_matrix m = matrix_of(type, PARTS * rows, 512, &source,
					17);
				struct rig r;

				m.parts = PARTS;
				rig_open(&r, &isas[i], 2);
				const struct cpu_weight *w = (struct cpu_weight *)
					r.weights[rig_pack(&r, &m)];

				for (uint32_t part = 0; part < PARTS; part++)
					check_part(&r, w, &m, part);
				rig_close(&r);
				free((void *)(uintptr_t)source.bytes);
			}
}

/* ---- order of columns ------------------------------------------------------------------------ */

static void shuffled(uint32_t *order, uint32_t count)
{
	struct prng p;

	prng_init(&p, count);
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		const uint32_t j = (uint32_t)prng_below(&p, i), kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}

static void check_order(const struct rig_isa *isa, enum chip_type type, uint32_t columns)
{
	enum { OUTPUTS = 37 };
	static float plain[OUTPUTS * COLUMNS_MAX], row[COLUMNS_MAX];
	uint32_t order[COLUMNS_MAX];
	struct source source;
	struct chip_matrix m = matrix_of(type, OUTPUTS, columns, &source, 5);
	struct rig r;

	shuffled(order, columns);
	m.column_order = order;
	rig_open(&r, isa, 2);
	const uint32_t in = rig_input(&r, columns);
	const uint32_t one = rig_pack(&r, &m);

	for (uint32_t i = 0; i < OUTPUTS; i++) {
		chip_row_to_f32(type, RIG_GROUP, source.bytes + i * source.row_bytes, columns, row);
		for (uint32_t j = 0; j < columns; j++)
			plain[i * columns + order[j]] = row[j];
		cpu_weight_row((struct cpu_weight *)r.weights[one], i, row);
		assert_memory_equal(row, plain + (size_t)i * columns, columns * sizeof(float));
	}
	memset(order, 0xFF, sizeof(order));   /* the weight has its own */
	const uint32_t other = rig_weight_of(&r, CHIP_F32, OUTPUTS, columns, plain);

	expect_same_products(&r, in, one, other);
	rig_close(&r);
	free((void *)(uintptr_t)source.bytes);
}

static void stored_columns_go_to_the_inputs_that_the_order_names(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (enum chip_type type = CHIP_F8_E4M3; type < CHIP_TYPES; type++) {
			check_order(&isas[i], type, 40);
			check_order(&isas[i], type, 1000);
		}
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void refuse(struct rig *r, const struct chip_matrix *m, const char *part)
{
	struct err_info info = {0};
	struct chip_weight *w = NULL;

	assert_int_not_equal(chip_weight_pack(r->chip, &w, m, &info), ERR_NONE);
	assert_null(w);
	if (!strstr(info.text, part))
		fail_msg("\"%s\" does not say \"%s\"", info.text, part);
}

static void what_a_matrix_says_of_itself_must_hold(void **state)
{
	uint32_t order[40];
	struct source source;
	const struct chip_matrix good = matrix_of(CHIP_INT4, 12, 40, &source, 1);
	struct chip_matrix m = good;
	struct rig r;

	(void)state;
	shuffled(order, 40);
	rig_open(&r, &isas[0], 1);
	m.parts = 5;
	refuse(&r, &m, "12 rows in 5 parts");
	m.parts = CHIP_PARTS_MAX + 1;
	refuse(&r, &m, "parts");
	m = good;
	m.group = 7;
	refuse(&r, &m, "40 columns are not whole blocks of int4 (group 7)");
	m.group = 0;
	refuse(&r, &m, "group 0");
	m = good;
	m.read = NULL;
	refuse(&r, &m, "the spans have 0 rows");
	m = good;
	m.column_order = order;
	order[3] = order[9];
	refuse(&r, &m, "order of 40 columns is broken at column 9");
	order[3] = 40;
	refuse(&r, &m, "broken at column 3");
	m.type = CHIP_F16;
	m.group = 0;
	refuse(&r, &m, "an order of columns for f16");
	free((void *)(uintptr_t)source.bytes);
	rig_close(&r);
}

static void packing_without_memory_is_an_error_and_leaves_nothing(void **state)
{
	struct source source;
	uint32_t order[40];
	struct chip_matrix m = matrix_of(CHIP_INT8, 12, 40, &source, 1);
	struct chip_weight *w = NULL;
	struct err_info info = {0};
	int64_t n = 1;
	struct rig r;

	(void)state;
	shuffled(order, 40);
	m.column_order = order;
	rig_open(&r, &isas[0], 1);
	for (;; n++) {
		mem_fail_after(n, 1);
		const enum err err = chip_weight_pack(r.chip, &w, &m, &info);

		mem_fail_after(0, 0);
		if (!err)
			break;
		assert_int_equal(err, ERR_MEMORY);
		assert_int_equal(chip_memory_used(r.chip), 0);
	}
	assert_true(n > 4);
	chip_weight_close(r.chip, w);
	free((void *)(uintptr_t)source.bytes);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_those_of_the_dequantized_matrix_in_f32),
		cmocka_unit_test(any_bytes_decode_to_the_same_bits),
		cmocka_unit_test(a_reader_gives_what_spans_give),
		cmocka_unit_test(a_part_alone_gives_what_it_would_as_a_matrix),
		cmocka_unit_test(stored_columns_go_to_the_inputs_that_the_order_names),
		cmocka_unit_test(what_a_matrix_says_of_itself_must_hold),
		cmocka_unit_test(packing_without_memory_is_an_error_and_leaves_nothing),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
