/* tests/chip/delta_test.c - the gated delta rule: what its states mean, and that it has the same
 * bits in every instruction set and every cut, head by head and part by part. */
#include "rig.h"

#include <math.h>

#include "chip/cpu/kernels_ref.h"

#define ROWS   300
#define K_DIM  128
#define STRIDE 131   /* of every input: no multiple of a vector */

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* Unit keys, queries and values in [-1, 1), step sizes in [0, 1). */
struct inputs {
	float q[ROWS * STRIDE], k[ROWS * STRIDE], v[ROWS * STRIDE];
	float beta[ROWS], decay[ROWS];
	uint32_t k_dim, count;
};

enum decays { SLOW, FAST, MIXED, WILD };

static float decay_of(enum decays decays, struct prng *p)
{
	static const float wild[] = {1.5F, 0.0F, 3e38F, 1e-40F, -0.5F, 1.0F, 0.7F,
		__builtin_inff()};

	switch (decays) {
	case SLOW: return 1.0F - (float)prng_unit(p) * 0.01F;
	case FAST: return (float)prng_unit(p) * 0.01F;
	case MIXED: return prng_below(p, 9) ? (float)prng_unit(p) : 0.0F;
	case WILD: break;
	}
	return prng_below(p, 40) ? wild[prng_below(p, sizeof(wild) / sizeof(wild[0]))]
		: __builtin_nanf("");
}

static void fill_inputs(struct inputs *in, uint32_t k_dim, uint32_t count, enum decays decays,
	uint64_t seed)
{
	struct prng p;

	prng_init(&p, seed);
	in->k_dim = k_dim;
	in->count = count;
	rig_fill(in->q, ROWS * STRIDE, seed + 1);
	rig_fill(in->k, ROWS * STRIDE, seed + 2);
	rig_fill(in->v, ROWS * STRIDE, seed + 3);
	for (uint32_t row = 0; row < ROWS; row++) {
		float *k = in->k + (size_t)row * STRIDE;
		double squares = 0;

		for (uint32_t i = 0; i < k_dim; i++)
			squares += (double)k[i] * (double)k[i];
		for (uint32_t i = 0; i < k_dim; i++)
			k[i] = (float)((double)k[i] / sqrt(squares));
		in->beta[row] = (float)prng_unit(&p);
		in->decay[row] = decay_of(decays, &p);
	}
}

/* A part's state and what it gave. */
struct results {
	float state[K_DIM * CPU_DELTA_COLUMNS + 16];
	float out[ROWS * STRIDE];
};

/* Rows [first, end), from a state that is there or from zeros. */
static void run_rows(const struct cpu_kernels *k, const struct inputs *in, uint32_t first,
	uint32_t end, bool from_zeros, struct results *r)
{
	const size_t at = (size_t)first * STRIDE;
	const struct cpu_delta d = {
		.state_in = from_zeros ? NULL : r->state,
		.state_out = r->state,
		.k_dim = in->k_dim,
		.count = in->count,
		.rows = end - first,
		.q = in->q + at, .k = in->k + at, .qk_stride = STRIDE,
		.v = in->v + at, .v_stride = STRIDE,
		.decay = in->decay + first, .beta = in->beta + first, .gate_stride = 1,
		.out = r->out + at, .out_stride = STRIDE,
	};

	k->delta(&d);
}

/* NaN is NaN, whichever of them. */
static void assert_same(const char *what, const float *got, const float *expected, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (math_f32_bits(got[i]) != math_f32_bits(expected[i]) &&
			!(isnan(got[i]) && isnan(expected[i])))
			fail_msg("%s[%zu] is %a, not %a", what, i, (double)got[i],
				(double)expected[i]);
}

static void assert_same_results(const struct inputs *in, const struct results *got,
	const struct results *expected)
{
	assert_same("state", got->state, expected->state, (size_t)in->k_dim * in->count + 1);
	for (uint32_t row = 0; row < ROWS; row++)
		assert_same("out", got->out + (size_t)row * STRIDE,
			expected->out + (size_t)row * STRIDE, in->count);
}

static void check_bits(const struct inputs *in)
{
	static struct results expected, got;
	static const uint32_t ends[] = {1, 2, 5, 6, 70, ROWS};

	run_rows(&isas[0].kernels, in, 0, ROWS, true, &expected);
	for (uint32_t i = 0; i < isa_count; i++) {
		run_rows(&isas[i].kernels, in, 0, ROWS, true, &got);
		assert_same_results(in, &got, &expected);
		for (uint32_t c = 0, first = 0; c < sizeof(ends) / sizeof(ends[0]); c++) {
			run_rows(&isas[i].kernels, in, first, ends[c], c == 0, &got);
			first = ends[c];
		}
		assert_same_results(in, &got, &expected);
	}
}

static void every_kernel_and_cut_gives_the_bits_of_the_reference(void **state)
{
	static const uint32_t shapes[][2] = {{128, 32}, {128, 16}, {33, 13}, {20, 24}, {1, 1}};
	static struct inputs in;

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (enum decays decays = SLOW; decays <= WILD; decays++) {
			fill_inputs(&in, shapes[i][0], shapes[i][1], decays, 10 * i + decays);
			check_bits(&in);
		}
}

/* One column of the recurrence in double, through all rows. */
static void expected_column(const struct inputs *in, uint32_t column, double *s, double *out)
{
	for (uint32_t row = 0; row < ROWS; row++) {
		const size_t at = (size_t)row * STRIDE;
		double seen = 0, sum = 0;

		for (uint32_t i = 0; i < in->k_dim; i++) {
			s[i] *= (double)in->decay[row];
			seen += s[i] * (double)in->k[at + i];
		}
		const double change = (double)in->beta[row] * ((double)in->v[at + column] - seen);

		for (uint32_t i = 0; i < in->k_dim; i++) {
			s[i] += (double)in->k[at + i] * change;
			sum += s[i] * (double)in->q[at + i];
		}
		out[row] = sum;
	}
}

/* Measured over 40,000 tokens: at most 3.1e-6 off where values are of the size of one. */
static void states_follow_the_recurrence_however_fast_they_decay(void **state)
{
	static struct inputs in;
	static struct results r;

	(void)state;
	for (enum decays decays = SLOW; decays <= MIXED; decays++) {
		fill_inputs(&in, K_DIM, CPU_DELTA_COLUMNS, decays, 77);
		run_rows(&isas[0].kernels, &in, 0, ROWS, true, &r);
		const double scale = (double)r.state[K_DIM * CPU_DELTA_COLUMNS];

		for (uint32_t column = 0; column < CPU_DELTA_COLUMNS; column++) {
			double s[K_DIM] = {0}, out[ROWS];

			expected_column(&in, column, s, out);
			for (uint32_t row = 0; row < ROWS; row++)
				rig_close_to("out", r.out[(size_t)row * STRIDE + column], out[row],
					5e-6);
			for (uint32_t i = 0; i < K_DIM; i++)
				rig_close_to("state", (float)(scale *
					(double)r.state[i * CPU_DELTA_COLUMNS + column]), s[i],
					5e-6);
		}
	}
}

static void gates_are_the_bits_of_the_reference_at_any_size(void **state)
{
	static const float edges[] = {0.0F, -0.0F, 1e-40F, -1e-30F, 0.3F, -2.5F, 19.0F, 88.0F,
		-88.0F, -104.0F, 3e38F, -3e38F, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
	enum { COUNT = 4096 };
	static float in[4][COUNT], expected[2][COUNT], got[2][COUNT];
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	for (uint32_t i = 0; i < 4 * COUNT; i++)
		in[i / COUNT][i % COUNT] = prng_below(&p, 4) ? rig_unit(&p) * 20
			: edges[prng_below(&p, sizeof(edges) / sizeof(edges[0]))];
	ref_delta_gates(in[0], in[1], in[2], in[3], COUNT, expected[0], expected[1]);
	for (uint32_t i = 0; i < isa_count; i++)
		for (uint32_t count = 1; count < 40; count++)
			for (uint32_t at = 0; at + count <= COUNT; at += 41 * count) {
				isas[i].kernels.delta_gates(in[0] + at, in[1] + at, in[2] + at,
					in[3] + at, count, got[0], got[1]);
				assert_same("decay", got[0], expected[0] + at, count);
				assert_same("beta", got[1], expected[1] + at, count);
			}
}

/* ---- the way through the operations ---------------------------------------------------------- */

/* Two sequences, of which one has more rows than are done together. */
enum { LONG = 2 * CPU_DELTA_ROWS + 9, SHORT = 3, STEP = LONG + SHORT };
enum { K_HEADS = 2, V_HEADS = 4, HEAD = 32, VALUES = V_HEADS * HEAD };
enum { CHANNELS = 2 * K_HEADS * HEAD + VALUES, COLUMNS = CHANNELS + VALUES + 2 * V_HEADS };

static void open_layer(struct rig *r, const struct rig_isa *isa, uint32_t threads, bool tiled)
{
	float decay[V_HEADS];
	struct chip_op *op;

	rig_open(r, isa, threads);
	r->desc.rows_max = STEP;
	const uint32_t in = rig_input(r, COLUMNS);
	const uint32_t qkv = rig_part(r, in, "qkv", 0, CHANNELS);
	const uint32_t z = rig_part(r, in, "z", CHANNELS, VALUES);
	const uint32_t a = rig_part(r, in, "a", CHANNELS + VALUES, V_HEADS);
	const uint32_t b = rig_part(r, in, "b", CHANNELS + VALUES + V_HEADS, V_HEADS);
	const uint32_t gated = rig_buffer(r, "gated", CHIP_ROWS, VALUES);

	for (uint32_t i = 0; i < V_HEADS; i++)
		decay[i] = -0.05F - (float)i;
	op = rig_op(r, CHIP_OP_CONV, "conv");
	op->u.conv.data = qkv;
	op->u.conv.weight = rig_random_vector(r, CHANNELS * 4, 1);
	op = rig_op(r, CHIP_OP_DELTA, "delta");
	op->u.delta.qkv = qkv;
	op->u.delta.a = a;
	op->u.delta.b = b;
	op->u.delta.out = rig_buffer(r, "delta", CHIP_ROWS, VALUES);
	op->u.delta.decay = rig_vector(r, decay, V_HEADS);
	op->u.delta.dt_bias = rig_random_vector(r, V_HEADS, 2);
	op->u.delta.k_heads = K_HEADS;
	op->u.delta.v_heads = V_HEADS;
	op->u.delta.k_dim = op->u.delta.v_dim = HEAD;
	op->u.delta.tiled = tiled;
	op = rig_op(r, CHIP_OP_NORM_GATE, "gated");
	op->u.norm_gate.in = r->ops[r->desc.op_count - 2].u.delta.out;
	op->u.norm_gate.gate = z;
	op->u.norm_gate.out = gated;
	op->u.norm_gate.weight = rig_random_vector(r, HEAD, 3);
	op->u.norm_gate.head_dim = HEAD;
	op->u.norm_gate.eps = 1e-6F;
	const uint32_t w = rig_weight(r, CHIP_Q8_0, 48, VALUES, 4);

	op = rig_op(r, CHIP_OP_MATMUL, "out");
	op->u.matmul.in = gated;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r->weights[w];
	op->u.matmul.out[0] = rig_buffer(r, "out", CHIP_ROWS, 48);
	r->layout.delta_layers = 1;
	r->layout.conv_channels = CHANNELS;
	r->layout.conv_width = 4;
	r->layout.v_heads = V_HEADS;
	r->layout.k_dim = r->layout.v_dim = HEAD;
	r->layout.states = 2;
	rig_start(r);
}

static void run_step(struct rig *r, const float *x, bool again)
{
	struct chip_row rows[STEP];
	const struct chip_sequence sequences[] = {
		{.slot = 0, .row_count = LONG, .state_read = again ? 0 : CHIP_NONE},
		{.slot = 1, .row_count = SHORT, .state_read = again ? 1 : CHIP_NONE,
			.state_write = 1},
	};
	const struct chip_step step = {rows, STEP, sequences, 2, NULL, 0, x};

	rig_embedding_rows(rows, 0, 0, 0, LONG, CHIP_WANT_NOTHING);
	rig_embedding_rows(rows + LONG, 1, LONG, 0, SHORT, CHIP_WANT_NOTHING);
	rig_run(r, &step, NULL);
}

static void check_layer(const struct rig_isa *isa, uint32_t threads, bool tiled)
{
	static float x[STEP * COLUMNS];
	struct rig one, other;

	rig_fill(x, STEP * COLUMNS, 9);
	open_layer(&one, &isas[0], 1, tiled);
	open_layer(&other, isa, threads, tiled);
	struct cpu_fusion *parted = ((struct cpu_program *)one.program)->fusions;

	for (uint32_t i = 0; i < one.desc.op_count; i++) {
		parted[i].heads = parted[i].followers = 0;
		parted[i].follows = false;
	}
	for (uint32_t again = 0; again < 2; again++) {
		run_step(&one, x, again);
		run_step(&other, x, again);
		assert_int_equal(one.tap_count, other.tap_count);
		for (uint32_t i = 0; i < one.tap_count; i++)
			assert_same(one.taps[i].name, other.taps[i].values, one.taps[i].values,
				(size_t)one.taps[i].rows * one.taps[i].columns);
	}
	rig_close(&one);
	rig_close(&other);
}

static void a_layer_head_by_head_is_the_layer_part_by_part(void **state)
{
	static const uint32_t threads[] = {1, 2, 3};   /* three have too few heads */

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (uint32_t j = 0; j < sizeof(threads) / sizeof(threads[0]); j++)
			check_layer(&isas[i], threads[j], j % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kernel_and_cut_gives_the_bits_of_the_reference),
		cmocka_unit_test(states_follow_the_recurrence_however_fast_they_decay),
		cmocka_unit_test(gates_are_the_bits_of_the_reference_at_any_size),
		cmocka_unit_test(a_layer_head_by_head_is_the_layer_part_by_part),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
