/* tests/chip/route_test.c - experts: which a row uses and by how much, its way to them and back, in
 * every instruction set. */
#include "rig.h"

#include <math.h>

#define EXPERTS 7
#define HIDDEN  64
#define FFN     32
#define ROWS    33
/* of the input: a row, its router logits, the logit of what is shared */
#define COLUMNS (HIDDEN + EXPERTS + 1)

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

struct mixture {
	uint32_t used;
	bool normalise, shared;
	float scale;
	enum chip_type type;
};

static uint32_t add_matmul(struct rig *r, uint32_t in, uint32_t weight, const char *name,
	enum chip_space space, uint32_t width)
{
	struct chip_op *op = rig_op(r, CHIP_OP_MATMUL, name);

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r->weights[weight];
	op->u.matmul.out[0] = rig_buffer(r, name, space, width);
	return op->u.matmul.out[0];
}

static void add_route(struct rig *r, const struct mixture *m, uint32_t logits, uint32_t weights)
{
	struct chip_op *op = rig_op(r, CHIP_OP_ROUTE, "weights");

	op->u.route.logits = logits;
	op->u.route.weights = weights;
	op->u.route.experts = EXPERTS;
	op->u.route.used = m->used;
	op->u.route.normalise = m->normalise;
	op->u.route.scale = m->scale;
}

/* What a mixture gave: its experts' matrices, and the taps "weights", "up" and "out". */
struct built {
	uint32_t up, down;      /* weights, in EXPERTS parts */
	uint32_t in;            /* [HIDDEN] */
};

/* out = sum of weights * down silu(up x) up x, + sigmoid(gate) * x */
static struct built add_mixture(struct rig *r, const struct mixture *m)
{
	const uint32_t whole = rig_input(r, COLUMNS);
	const struct built b = {
		.in = rig_part(r, whole, "x", 0, HIDDEN),
		.up = rig_parts(r, m->type, EXPERTS, EXPERTS * FFN, HIDDEN, 2),
		.down = rig_parts(r, m->type, EXPERTS, EXPERTS * HIDDEN, FFN, 3),
	};
	const uint32_t logits = rig_part(r, whole, "logits", HIDDEN, EXPERTS);
	const uint32_t gate = rig_part(r, whole, "gate", HIDDEN + EXPERTS, 1);
	const uint32_t weights = rig_buffer(r, "weights", CHIP_ROWS, m->used);
	const uint32_t spread = rig_buffer(r, "spread", CHIP_ROUTED, HIDDEN);

	add_route(r, m, logits, weights);
	struct chip_op *op = rig_op(r, CHIP_OP_GATHER, "spread");

	op->u.gather.in = b.in;
	op->u.gather.out = spread;
	const uint32_t up = add_matmul(r, spread, b.up, "up", CHIP_ROUTED, FFN);
	const uint32_t act = rig_buffer(r, "act", CHIP_ROUTED, FFN);

	op = rig_op(r, CHIP_OP_SWIGLU, "act");
	op->u.swiglu.gate = op->u.swiglu.up = up;
	op->u.swiglu.out = act;
	const uint32_t down = add_matmul(r, act, b.down, "down", CHIP_ROUTED, HIDDEN);

	op = rig_op(r, CHIP_OP_COMBINE, "out");
	op->u.combine.in = down;
	op->u.combine.weights = weights;
	op->u.combine.out = rig_buffer(r, "out", CHIP_ROWS, HIDDEN);
	op->u.combine.shared = m->shared ? b.in : CHIP_NONE;
	op->u.combine.gate = m->shared ? gate : CHIP_NONE;
	return b;
}

static void run_rows(struct rig *r, uint32_t count, const float *inputs)
{
	struct chip_row rows[ROWS];
	const struct chip_sequence sequence = {.row_count = count, .state_read = CHIP_NONE};
	const struct chip_step step = {.rows = rows, .row_count = count, .sequences = &sequence,
		.sequence_count = 1, .embeddings = inputs};

	rig_embedding_rows(rows, 0, 0, 0, count, CHIP_WANT_NOTHING);
	rig_run(r, &step, NULL);
}

/* ---- which experts, and how much of each ----------------------------------------------------- */

/* Experts and weights of one row, by a sort of all. */
static void expected_route(const struct mixture *m, const float *logits, uint32_t *experts,
	double *weights)
{
	double sum = 0, chosen = 0;
	bool taken[EXPERTS] = {false};

	for (uint32_t e = 0; e < EXPERTS; e++)
		sum += exp((double)logits[e]);
	for (uint32_t i = 0; i < m->used; i++) {
		uint32_t best = EXPERTS;

		for (uint32_t e = 0; e < EXPERTS; e++)
			if (!taken[e] && (best == EXPERTS || logits[e] > logits[best]))
				best = e;
		taken[best] = true;
		experts[i] = best;
		weights[i] = exp((double)logits[best]) / sum;
		chosen += weights[i];
	}
	for (uint32_t i = 0; i < m->used; i++)
		weights[i] *= (double)m->scale / (m->normalise ? chosen : 1);
}

static double silu(double x)
{
	return x / (1 + exp(-x));
}

/* One expert of one row, in double. */
static void add_expert(const struct rig *r, const struct built *b, uint32_t expert, double weight,
	const float *x, double *out)
{
	const float *up = r->plain[b->up] + (size_t)expert * FFN * HIDDEN;
	const float *down = r->plain[b->down] + (size_t)expert * HIDDEN * FFN;
	double act[FFN];

	for (uint32_t i = 0; i < FFN; i++) {
		double sum = 0;

		for (uint32_t k = 0; k < HIDDEN; k++)
			sum += (double)up[i * HIDDEN + k] * (double)x[k];
		act[i] = silu(sum) * sum;
	}
	for (uint32_t j = 0; j < HIDDEN; j++)
		for (uint32_t i = 0; i < FFN; i++)
			out[j] += weight * (double)down[j * FFN + i] * act[i];
}

static void check_mixture(const struct rig_isa *isa, const struct mixture *m, uint32_t count)
{
	float inputs[ROWS * COLUMNS];
	struct rig r;

	rig_fill(inputs, ROWS * COLUMNS, 5 + count);
	rig_open(&r, isa, 3);
	const struct built b = add_mixture(&r, m);

	rig_start(&r);
	run_rows(&r, count, inputs);
	for (uint32_t row = 0; row < count; row++) {
		const float *x = inputs + row * COLUMNS;
		uint32_t experts[EXPERTS];
		double weights[EXPERTS], out[HIDDEN] = {0};

		expected_route(m, x + HIDDEN, experts, weights);
		for (uint32_t i = 0; i < m->used; i++) {
			rig_close_to("weight", rig_tap(&r, "weights")[row * m->used + i],
				weights[i], 2e-7);
			add_expert(&r, &b, experts[i], weights[i], x, out);
		}
		for (uint32_t j = 0; j < HIDDEN; j++) {
			if (m->shared)
				out[j] += (double)x[j] / (1 + exp(-(double)x[COLUMNS - 1]));
			rig_close_to("out", rig_tap(&r, "out")[row * HIDDEN + j], out[j], 2e-4);
		}
	}
	rig_close(&r);
}

static void a_row_is_the_weighted_sum_of_its_experts(void **state)
{
	static const struct mixture mixtures[] = {
		{2, false, false, 1, CHIP_F32},
		{3, true, true, 1, CHIP_F32},
		{1, true, false, 2.5F, CHIP_F16},
		{EXPERTS, false, true, 0.5F, CHIP_F32},
	};
	static const uint32_t counts[] = {1, 2, ROWS};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t m = 0; m < sizeof(mixtures) / sizeof(mixtures[0]); m++)
			for (size_t c = 0; c < 3; c++)
				check_mixture(&isas[i], &mixtures[m], counts[c]);
}

/* All rows have the same logits, two pairs of them equal: experts 1 and 4, then 0 of 0 and 6. */
static void of_equal_experts_the_first_is_taken(void **state)
{
	const struct mixture m = {3, false, false, 1, CHIP_F32};
	const float logits[EXPERTS] = {1, 3, -2, -2, 3, 0.5F, 1};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		float inputs[2 * COLUMNS];
		double expected[HIDDEN] = {0}, weights[EXPERTS];
		uint32_t experts[EXPERTS];
		struct rig r;

		rig_fill(inputs, 2 * COLUMNS, 9);
		memcpy(inputs + HIDDEN, logits, sizeof(logits));
		memcpy(inputs + COLUMNS + HIDDEN, logits, sizeof(logits));
		rig_open(&r, &isas[i], 2);
		const struct built b = add_mixture(&r, &m);

		rig_start(&r);
		run_rows(&r, 2, inputs);
		expected_route(&m, logits, experts, weights);
		assert_true(experts[0] == 1 && experts[1] == 4 && experts[2] == 0);
		for (uint32_t k = 0; k < 3; k++)
			add_expert(&r, &b, experts[k], weights[k], inputs, expected);
		for (uint32_t j = 0; j < HIDDEN; j++)
			rig_close_to("out", rig_tap(&r, "out")[j], expected[j], 2e-4);
		rig_close(&r);
	}
}

/* Logits that are no numbers must not lead out of the tables. */
static void what_is_not_finite_stays_in_its_row(void **state)
{
	const struct mixture m = {3, true, true, 1, CHIP_F32};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		float inputs[3 * COLUMNS];
		struct rig r;

		rig_fill(inputs, 3 * COLUMNS, 11);
		for (uint32_t e = 0; e < EXPERTS; e++)
			inputs[COLUMNS + HIDDEN + e] = e % 2 ? NAN : -INFINITY;
		rig_open(&r, &isas[i], 2);
		(void)add_mixture(&r, &m);
		rig_start(&r);
		run_rows(&r, 3, inputs);
		for (uint32_t j = 0; j < HIDDEN; j++) {
			assert_true(isfinite(rig_tap(&r, "out")[j]));
			assert_true(isnan(rig_tap(&r, "out")[HIDDEN + j]));
			assert_true(isfinite(rig_tap(&r, "out")[2 * HIDDEN + j]));
		}
		rig_close(&r);
	}
}

/* ---- what may not be written down ------------------------------------------------------------ */

static void expect_refused(struct rig *r, const char *text)
{
	struct err_info info = {0};

	assert_int_equal(chip_program_open(r->chip, &r->program, &r->desc, &r->layout, &info),
		ERR_INPUT);
	assert_string_equal(info.text, text);
}

static void programs_whose_experts_do_not_fit_are_refused(void **state)
{
	const struct mixture m = {3, true, true, 1, CHIP_F32};
	struct rig r;

	(void)state;
	rig_open(&r, &isas[0], 1);
	const struct built b = add_mixture(&r, &m);
	/* embed, x, logits, gate, route, gather, up, swiglu, down, combine */
	struct chip_op *route = &r.ops[4], *up = &r.ops[6];
	const uint32_t one = rig_weight(&r, CHIP_F32, EXPERTS * FFN, HIDDEN, 1);

	route->u.route.used = EXPERTS + 1;
	expect_refused(&r, "operation 4 (route): a row uses no experts, or too many");
	route->u.route.used = 2;
	expect_refused(&r, "operation 4 (route): a buffer of the wrong width");
	route->u.route.used = 3;
	up->u.matmul.weight[0] = r.weights[one];
	expect_refused(&r, "operation 6 (matmul): as many parts as experts");
	up->u.matmul.weight[0] = r.weights[b.up];
	up->u.matmul.in = b.in;
	expect_refused(&r, "operation 6 (matmul): as many parts as experts");
	up->u.matmul.in = r.ops[5].u.gather.out;
	up->u.matmul.bias[0] = rig_random_vector(&r, EXPERTS * FFN, 1);
	expect_refused(&r, "operation 6 (matmul): a bias of experts");
	up->u.matmul.bias[0] = NULL;
	*route = r.ops[1];   /* no route at all */
	expect_refused(&r, "operation 5 (gather): routed rows before a route");
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_the_weighted_sum_of_its_experts),
		cmocka_unit_test(of_equal_experts_the_first_is_taken),
		cmocka_unit_test(what_is_not_finite_stays_in_its_row),
		cmocka_unit_test(programs_whose_experts_do_not_fit_are_refused),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
