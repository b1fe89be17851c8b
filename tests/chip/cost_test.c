/* tests/chip/cost_test.c - what a step takes, counted by hand. */
#include "rig.h"

#include "chip/cost.h"

static void matrices_count_two_operations_per_weight_and_row(void **state)
{
	struct chip_cost c = {0};
	struct chip_cost_shape shape = {0};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_matrix(&c, CHIP_ROWS, CHIP_Q8_0, 0, 100, 64);  /* 100 x 2 x 34 bytes */
	chip_cost_add_matrix(&c, CHIP_WANTED, CHIP_BF16, 0, 1000, 64);
	chip_cost_shape_add(&shape, 0, 5, 0);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 6800);
	assert_int_equal(sum.ops, 2 * 6400 * 5);
	chip_cost_shape_add(&shape, 7, 1, 1);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 6800 + 128000);
	assert_int_equal(sum.ops, 2 * 6400 * 6 + 2 * 64000);
}

static void attention_counts_keys_of_each_row_and_reads_each_token_once(void **state)
{
	struct chip_cost c = {0};
	struct chip_cost_shape shape = {0};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_attention(&c, CHIP_F16, 4, 2, 64, 0);
	chip_cost_shape_add(&shape, 10, 3, 0);   /* 11 + 12 + 13 keys */
	assert_int_equal(shape.keys, 36);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 13 * 2 * 2 * 64 * 2);
	assert_int_equal(sum.ops, 36 * 4 * 4 * 64);
}

static void states_are_read_and_written_once_a_step(void **state)
{
	struct chip_cost c = {0};
	struct chip_cost_shape shape = {0};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_delta(&c, 2, 16, 32, 100, 4);
	chip_cost_shape_add(&shape, 0, 50, 0);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 2 * 4 * (2 * 16 * 32 + 400));
	assert_int_equal(sum.ops, 50 * (8 * 2 * 16 * 32 + 2 * 400));
}

static void the_slower_of_bytes_and_operations_is_the_time(void **state)
{
	const struct chip_cost_rates rates = {.bytes_per_s = 1000, .ops_per_s = 3000000000,
		.step_ns = 7};
	const struct chip_cost_sum reads = {.bytes = 3, .ops = 1};
	const struct chip_cost_sum computes = {.bytes = 0, .ops = 10};
	const struct chip_cost_sum never = {.bytes = CHIP_COST_MAX, .ops = 0};

	(void)state;
	assert_int_equal(chip_cost_ns(&reads, &rates), 3000000 + 7);
	assert_int_equal(chip_cost_ns(&computes, &rates), 4 + 7);   /* 3.33 rounded up */
	assert_int_equal(chip_cost_ns(&never, &rates), CHIP_COST_MAX);
}

static void sums_that_would_overflow_stop_at_the_limit(void **state)
{
	struct chip_cost c = {.weight_bytes = CHIP_COST_MAX, .weight_ops_per_row = CHIP_COST_MAX};
	const struct chip_cost_shape shape = {.rows = 4096, .sequences = 1};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_matrix(&c, CHIP_ROWS, CHIP_F32, 0, CHIP_COLUMNS_MAX, CHIP_COLUMNS_MAX);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, CHIP_COST_MAX);
	assert_int_equal(sum.ops, CHIP_COST_MAX);
}

/* A program's cost is that of its operations; packing may add bytes, never take any. */
static void a_program_costs_what_its_operations_cost(void **state)
{
	struct rig_isa isa = {.kernels = cpu_kernels_ref};
	struct chip_cost got, expected = {0};
	struct rig r;

	(void)state;
	cpu_isa_complete(&isa.kernels);
	rig_open(&r, &isa, 1);
	const uint32_t in = rig_input(&r, 64);
	const uint32_t w = rig_weight(&r, CHIP_Q4_0, 7, 64, 2);
	struct chip_op *op = rig_op(&r, CHIP_OP_MATMUL, NULL);

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r.weights[w];
	op->u.matmul.out[0] = rig_buffer(&r, "y", CHIP_ROWS, 7);
	chip_cost_program(&got, &r.desc, &r.layout);
	chip_cost_add_matrix(&expected, CHIP_ROWS, CHIP_Q4_0, 0, 7, 64);
	assert_true(got.weight_bytes >= expected.weight_bytes);
	assert_int_equal(got.weight_bytes, chip_weight_bytes(r.weights[w]));
	assert_int_equal(got.weight_ops_per_row, expected.weight_ops_per_row);
	assert_int_equal(got.embed_bytes_per_row, 64 * 4);
	assert_int_equal(got.wanted_weight_bytes, 0);
	rig_close(&r);
}

/* As far as the window goes, which is less than what is there. */
static void a_window_bounds_the_keys_of_a_row(void **state)
{
	struct chip_cost c = {0};
	struct chip_cost_shape shape = {0};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_attention(&c, CHIP_F16, 4, 2, 64, 100);
	chip_cost_shape_add(&shape, 1000, 1, 1);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 101 * 2 * 2 * 64 * 2);
	assert_int_equal(sum.ops, 100 * 4 * 4 * 64);
	shape = (struct chip_cost_shape){0};
	chip_cost_shape_add(&shape, 10, 1, 1);
	chip_cost_step(&c, &shape, &sum);
	assert_int_equal(sum.bytes, 11 * 2 * 2 * 64 * 2);
	assert_int_equal(sum.ops, 11 * 4 * 4 * 64);
}

/* A row reads its own experts; many rows, nearly all there are. */
static void experts_are_read_as_far_as_rows_are_expected_to_use_them(void **state)
{
	struct chip_cost c = {0};
	struct chip_cost_sum sum;

	(void)state;
	chip_cost_add_experts(&c, CHIP_F32, 0, 8, 2, 10, 5);    /* 200 bytes, 100 operations each */
	chip_cost_add_experts(&c, CHIP_F32, 0, 8, 2, 10, 5);
	chip_cost_step(&c, &(struct chip_cost_shape){.rows = 1}, &sum);
	assert_int_equal(sum.bytes, 2 * 400);
	assert_int_equal(sum.ops, 2 * 2 * 100);
	chip_cost_step(&c, &(struct chip_cost_shape){.rows = 2}, &sum);
	assert_int_equal(sum.bytes, 8 * 400 * 7 / 16);          /* 1 - (3/4)^2 of them */
	chip_cost_step(&c, &(struct chip_cost_shape){.rows = 1000}, &sum);
	assert_in_range(sum.bytes, 8 * 400 - 1, 8 * 400);
	assert_int_equal(sum.ops, 1000 * 2 * 2 * 100);
	chip_cost_step(&c, &(struct chip_cost_shape){0}, &sum);
	assert_int_equal(sum.bytes, 0);
}

static void the_parts_of_a_cost_add_up_to_it(void **state)
{
	const struct chip_cost c = {
		.weight_bytes = 3, .weight_ops_per_row = 5, .wanted_weight_bytes = 7,
		.weight_ops_per_wanted = 11, .embed_bytes_per_row = 13, .kv_bytes_per_token = 17,
		.attend_ops_per_key = 19, .window = 2, .window_bytes_per_token = 23,
		.window_ops_per_key = 29, .experts = 8, .experts_used = 2, .expert_bytes = 31,
		.state_bytes = 37, .delta_ops_per_row = 41,
	};
	const struct chip_cost_shape shape = {.rows = 3, .wanted = 2, .sequences = 2,
		.cached_tokens = 9, .keys = 40};
	struct chip_cost_sum whole, sum = {0};

	(void)state;
	chip_cost_step(&c, &shape, &whole);
	for (uint32_t i = 0; i < CHIP_PHASES; i++) {
		struct chip_cost part;
		struct chip_cost_sum part_sum;

		chip_cost_of_phase(&part, &c, (enum chip_phase)i);
		chip_cost_step(&part, &shape, &part_sum);
		sum.bytes += part_sum.bytes;
		sum.ops += part_sum.ops;
	}
	assert_int_equal(sum.bytes, whole.bytes);
	assert_int_equal(sum.ops, whole.ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matrices_count_two_operations_per_weight_and_row),
		cmocka_unit_test(attention_counts_keys_of_each_row_and_reads_each_token_once),
		cmocka_unit_test(states_are_read_and_written_once_a_step),
		cmocka_unit_test(the_slower_of_bytes_and_operations_is_the_time),
		cmocka_unit_test(sums_that_would_overflow_stop_at_the_limit),
		cmocka_unit_test(a_program_costs_what_its_operations_cost),
		cmocka_unit_test(a_window_bounds_the_keys_of_a_row),
		cmocka_unit_test(experts_are_read_as_far_as_rows_are_expected_to_use_them),
		cmocka_unit_test(the_parts_of_a_cost_add_up_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
