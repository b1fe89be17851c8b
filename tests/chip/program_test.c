/* tests/chip/program_test.c - what each operation means, in every instruction set: results of small
 * programs against plain sums in double, written from the definitions. */
#include "rig.h"

#include "chip/cpu/block.h"

#include <math.h>

#define DIM_MAX 512

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* Runs a test in every instruction set. */
static void each_isa(void (*test)(const struct rig_isa *isa))
{
	for (uint32_t i = 0; i < isa_count; i++)
		test(&isas[i]);
}

static double silu(double x)
{
	return x / (1 + exp(-x));
}

/* One sequence of count rows from random embeddings, everything observed. */
static void run_rows(struct rig *r, uint32_t count, float *embeddings)
{
	struct chip_row rows[64];
	const struct chip_sequence sequence = {.slot = 1, .row_count = count,
		.state_read = CHIP_NONE};
	const struct chip_step step = {
		.rows = rows,
		.row_count = count,
		.sequences = &sequence,
		.sequence_count = 1,
		.embeddings = embeddings,
	};

	rig_fill(embeddings, (size_t)count * r->buffers[0].columns, 77);
	rig_embedding_rows(rows, 0, 0, 0, count, CHIP_WANT_NOTHING);
	rig_run(r, &step, NULL);
}

/* ---- embed ----------------------------------------------------------------------------------- */

static void embed_gives_table_rows(const struct rig_isa *isa)
{
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++) {
		struct rig r;
		struct chip_row rows[] = {
			{.value = 18}, {.value = 0}, {.input = CHIP_INPUT_EMBEDDING, .value = 1},
			{.input = CHIP_INPUT_LAST},
		};
		const struct chip_sequence sequence = {.slot = 3, .row_count = 4,
			.state_read = CHIP_NONE};
		const uint32_t answer[] = {2, 7};
		const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
		float embeddings[2 * 256];
		const struct chip_step step = {rows, 4, &sequence, 1, NULL, 0, embeddings};

		rig_open(&r, isa, 2);
		const uint32_t table = rig_weight(&r, type, 19, 256, 5);
		struct chip_op *op = rig_op(&r, CHIP_OP_EMBED, "x");

		op->u.embed.out = rig_buffer(&r, "x", CHIP_ROWS, 256);
		op->u.embed.table = r.weights[table];
		rig_start(&r);
		rig_fill(embeddings, 512, 3);
		chip_slot_open(r.chip, r.cache, 3, &greedy, NULL, 0, answer, 2);
		rig_run(&r, &step, NULL);
		const float *x = rig_tap(&r, "x");

		assert_memory_equal(x, r.plain[table] + 18 * 256, 256 * sizeof(float));
		assert_memory_equal(x + 256, r.plain[table], 256 * sizeof(float));
		assert_memory_equal(x + 512, embeddings + 256, 256 * sizeof(float));
		assert_memory_equal(x + 768, r.plain[table] + 7 * 256, 256 * sizeof(float));
		rig_close(&r);
	}
}

static void embed_gives_table_rows_embeddings_and_last_tokens_exactly(void **state)
{
	(void)state;
	each_isa(embed_gives_table_rows);
}

/* ---- matmul ---------------------------------------------------------------------------------- */

/* What rounding may do: of the inputs to 8 bits, and of the sums. */
static double matmul_tolerance(enum chip_type type, bool rounded, const float *w, const float *x,
	uint32_t columns)
{
	double products = 0, steps = 0;

	for (uint32_t k = 0; k < columns; k++) {
		double largest = 0;

		for (uint32_t j = k / 32 * 32; j < columns && j < k / 32 * 32 + 32; j++)
			largest = fmax(largest, fabs((double)x[j]));
		products += fabs((double)w[k] * (double)x[k]);
		steps += fabs((double)w[k]) * largest / 127 * 0.51;
	}
	if ((type == CHIP_BF16 || type == CHIP_F8_E4M3) && rounded)
		return products / 256;   /* inputs rounded to 8 bits of mantissa */
	return (cpu_blocks_fit(type, rig_group(type), columns) ? steps : 0) +
		products * 1e-6 * sqrt((double)columns);
}

static void check_matmul(const struct rig_isa *isa, enum chip_type type, uint32_t outputs,
	uint32_t columns, uint32_t count, const float *bias)
{
	struct rig r;
	float *embeddings = malloc((size_t)count * columns * sizeof(float));

	rig_open(&r, isa, 3);
	const uint32_t in = rig_input(&r, columns);
	const uint32_t one = rig_weight(&r, type, outputs, columns, 11);
	const uint32_t two = rig_weight(&r, CHIP_F32, 5, columns, 12);
	struct chip_op *op = rig_op(&r, CHIP_OP_MATMUL, "y");

	op->u.matmul.in = in;
	op->u.matmul.count = 2;
	op->u.matmul.weight[0] = r.weights[one];
	op->u.matmul.weight[1] = r.weights[two];
	op->u.matmul.bias[0] = bias ? rig_vector(&r, bias, outputs) : NULL;
	op->u.matmul.out[0] = rig_buffer(&r, "y", CHIP_ROWS, outputs);
	op->u.matmul.out[1] = rig_buffer(&r, "z", CHIP_ROWS, 5);
	rig_start(&r);
	run_rows(&r, count, embeddings);
	for (uint32_t row = 0; row < count; row++)
		for (uint32_t i = 0; i < outputs; i++) {
			const float *w = r.plain[one] + (size_t)i * columns;
			const float *x = embeddings + (size_t)row * columns;
			double sum = bias ? (double)bias[i] : 0;

			for (uint32_t k = 0; k < columns; k++)
				sum += (double)w[k] * (double)x[k];
			rig_close_to(chip_type_name(type),
				rig_tap(&r, "y")[(size_t)row * outputs + i], sum,
				matmul_tolerance(type, isa->kernels.bf16_inputs, w, x, columns));
		}
	rig_close(&r);
	free(embeddings);
}

static void matmul_multiplies(const struct rig_isa *isa)
{
	static const struct {
		uint32_t outputs, columns, rows;
	} shapes[] = {{1, 32, 1}, {7, 96, 2}, {8, 64, 3}, {33, 160, 7}, {50, 32, 33}};
	float bias[50];

	rig_fill(bias, 50, 13);
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			const bool odd = chip_row_fits(type, rig_group(type), 3);
			const bool wide = !chip_row_fits(type, rig_group(type), 32);

			check_matmul(isa, type, shapes[i].outputs,
				wide ? 256 : shapes[i].columns + (odd ? 3 : 0), shapes[i].rows,
				i % 2 ? bias : NULL);
		}
}

static void matmul_multiplies_every_type_and_shape(void **state)
{
	(void)state;
	each_isa(matmul_multiplies);
}

/* ---- element by element ---------------------------------------------------------------------- */

static void norms_and_gates(const struct rig_isa *isa)
{
	enum { WIDTH = 3 * 21 };
	struct rig r;
	float x[7 * 3 * WIDTH];
	float weight[WIDTH];

	rig_open(&r, isa, 2);
	const uint32_t in = rig_input(&r, 3 * WIDTH);
	const uint32_t a = rig_part(&r, in, "a", 0, WIDTH);
	const uint32_t b = rig_part(&r, in, "b", WIDTH, WIDTH);
	const uint32_t c = rig_part(&r, in, "c", 2 * WIDTH, WIDTH);

	rig_fill(weight, WIDTH, 9);
	struct chip_op *op = rig_op(&r, CHIP_OP_NORM_GATE, "norm_gate");

	op->u.norm_gate.in = b;
	op->u.norm_gate.gate = c;
	op->u.norm_gate.out = rig_buffer(&r, "norm_gate", CHIP_ROWS, WIDTH);
	op->u.norm_gate.weight = rig_vector(&r, weight, WIDTH / 3);
	op->u.norm_gate.head_dim = WIDTH / 3;
	op->u.norm_gate.eps = 1e-6F;
	op = rig_op(&r, CHIP_OP_SWIGLU, "swiglu");
	op->u.swiglu.gate = c;
	op->u.swiglu.up = b;
	op->u.swiglu.out = rig_buffer(&r, "swiglu", CHIP_ROWS, WIDTH);
	op = rig_op(&r, CHIP_OP_NORM, "norm");
	op->u.norm.residual = a;
	op->u.norm.add = b;
	op->u.norm.out = rig_buffer(&r, "norm", CHIP_ROWS, WIDTH);
	op->u.norm.weight = rig_vector(&r, weight, WIDTH);
	op->u.norm.eps = 1e-5F;
	op = rig_op(&r, CHIP_OP_ADD, "sum");
	op->u.add.out = a;   /* by now a + b */
	op->u.add.in = c;
	rig_start(&r);
	run_rows(&r, 7, x);
	for (uint32_t row = 0; row < 7; row++) {
		const float *xa = x + row * 3 * WIDTH, *xb = xa + WIDTH, *xc = xb + WIDTH;
		double squares = 0, head_squares[3] = {0};

		for (uint32_t i = 0; i < WIDTH; i++) {
			squares += pow((double)xa[i] + (double)xb[i], 2);
			head_squares[i / (WIDTH / 3)] += (double)xb[i] * (double)xb[i];
		}
		for (uint32_t i = 0; i < WIDTH; i++) {
			const double sum = (double)xa[i] + (double)xb[i], w = (double)weight[i];
			const double head = sqrt(head_squares[i / (WIDTH / 3)] / (WIDTH / 3) +
				1e-6);
			const double gate = silu((double)xc[i]);
			const uint32_t at = row * WIDTH + i;

			rig_close_to("norm", rig_tap(&r, "norm")[at],
				sum / sqrt(squares / WIDTH + 1e-5) * w, 2e-6);
			rig_close_to("sum", rig_tap(&r, "sum")[at], sum + (double)xc[i], 1e-6);
			rig_close_to("swiglu", rig_tap(&r, "swiglu")[at], gate * (double)xb[i],
				1e-6);
			rig_close_to("norm_gate", rig_tap(&r, "norm_gate")[at],
				(double)xb[i] / head * (double)weight[i % (WIDTH / 3)] * gate,
				2e-6);
		}
	}
	rig_close(&r);
}

static void norm_swiglu_norm_gate_and_add_are_what_they_say(void **state)
{
	(void)state;
	each_isa(norms_and_gates);
}

/* ---- attention ------------------------------------------------------------------------------- */

struct attention {
	uint32_t heads, kv_heads, head_dim, rotary_dim;
	bool norm, gate;
	enum chip_type kv_type;
	uint32_t position;          /* of the first token */
	float factor;               /* on cosines and sines */
	uint32_t window;
};

/* The columns of the input: [per head: q, gate] [k heads] [v heads]. */
static uint32_t attention_columns(const struct attention *a)
{
	return (2 * a->heads + 2 * a->kv_heads) * a->head_dim;
}

static void attention_program(struct rig *r, const struct attention *a, const float *q_norm,
	const float *k_norm)
{
	const uint32_t d = a->head_dim;
	const uint32_t in = rig_input(r, attention_columns(a));
	const struct chip_heads q = {in, 0, 2 * d, a->heads};
	const struct chip_heads gate = {a->gate ? in : CHIP_NONE, d, 2 * d, a->heads};
	const struct chip_heads k = {in, 2 * a->heads * d, d, a->kv_heads};
	const struct chip_heads v = {in, (2 * a->heads + a->kv_heads) * d, d, a->kv_heads};
	struct chip_op *op = rig_op(r, CHIP_OP_QK_ROPE, NULL);

	op->u.qk_rope.q = q;
	op->u.qk_rope.k = k;
	op->u.qk_rope.v = v;
	op->u.qk_rope.head_dim = d;
	op->u.qk_rope.rotary_dim = a->rotary_dim;
	op->u.qk_rope.frequencies = rig_frequencies(r, a->rotary_dim / 2);
	op->u.qk_rope.factor = a->factor;
	op->u.qk_rope.q_norm = a->norm ? rig_vector(r, q_norm, d) : NULL;
	op->u.qk_rope.k_norm = a->norm ? rig_vector(r, k_norm, d) : NULL;
	op->u.qk_rope.eps = 1e-6F;
	op->u.qk_rope.layer = 1;
	op = rig_op(r, CHIP_OP_ATTEND, "out");
	op->u.attend.q = q;
	op->u.attend.gate = gate;
	op->u.attend.out = rig_buffer(r, "out", CHIP_ROWS, a->heads * d);
	op->u.attend.kv_heads = a->kv_heads;
	op->u.attend.head_dim = d;
	op->u.attend.window = a->window;
	op->u.attend.scale = 0.3F;
	op->u.attend.layer = 1;
	r->layout.attention_layers = 2;
	r->layout.kv_type = a->kv_type;
	r->layout.kv_heads = a->kv_heads;
	r->layout.head_dim = d;
	r->layout.pages = 16;
	rig_start(r);
}

/* A head of one token as attention sees it: normalised and rotated. */
static void expected_head(const struct attention *a, const float *x, const float *norm,
	uint32_t position, double *out)
{
	double squares = 0;

	for (uint32_t i = 0; i < a->head_dim; i++)
		squares += (double)x[i] * (double)x[i];
	const double factor = a->norm ? 1 / sqrt(squares / a->head_dim + 1e-6) : 1;

	for (uint32_t i = 0; i < a->head_dim; i++)
		out[i] = (double)x[i] * factor * (a->norm ? (double)norm[i] : 1);
	for (uint32_t i = 0; i < a->rotary_dim / 2; i++) {
		const double angle = position * (double)rig_frequency(i, a->rotary_dim / 2);
		const double first = out[i], second = out[i + a->rotary_dim / 2];
		const double c = cos(angle) * (double)a->factor, s = sin(angle) * (double)a->factor;

		out[i] = first * c - second * s;
		out[i + a->rotary_dim / 2] = second * c + first * s;
	}
}

/* One head of token t, by a whole softmax in double over all tokens up to it. */
static void expected_attention(const struct attention *a, const float *x, uint32_t t, uint32_t head,
	const float *q_norm, const float *k_norm, double *out)
{
	const uint32_t d = a->head_dim, columns = attention_columns(a);
	const uint32_t kv_head = head / (a->heads / a->kv_heads);
	const uint32_t first = a->window && t + 1 > a->window ? t + 1 - a->window : 0;
	double q[DIM_MAX], k[DIM_MAX], weights[DIM_MAX], sum = 0, largest = -1e300;

	expected_head(a, x + (size_t)t * columns + 2 * head * d, q_norm, a->position + t, q);
	for (uint32_t i = first; i <= t; i++) {
		expected_head(a, x + (size_t)i * columns + (2 * a->heads + kv_head) * d, k_norm,
			a->position + i, k);
		weights[i] = 0;
		for (uint32_t j = 0; j < d; j++)
			weights[i] += q[j] * k[j] * (double)0.3F;
		largest = fmax(largest, weights[i]);
	}
	for (uint32_t i = first; i <= t; i++)
		sum += weights[i] = exp(weights[i] - largest);
	for (uint32_t j = 0; j < d; j++) {
		const float gate = x[(size_t)t * columns + (2 * head + 1) * d + j];

		out[j] = 0;
		for (uint32_t i = first; i <= t; i++)
			out[j] += weights[i] / sum *
				(double)x[(size_t)i * columns +
				(2 * a->heads + a->kv_heads + kv_head) * d + j];
		out[j] *= a->gate ? 1 / (1 + exp(-(double)gate)) : 1;
	}
}

/* Values are below 1, scores below 4: what their rounding makes of it, measured and a half more. */
static double attention_tolerance(enum chip_type kv_type)
{
	return kv_type == CHIP_F32 ? 1e-5 : kv_type == CHIP_F16 ? 2e-3 : 1e-2;
}

/* 70 tokens in chunks that cut pages, on pages in no order, beside a second sequence. */
static void check_attention(const struct rig_isa *isa, const struct attention *a)
{
	enum { TOKENS = 70 };
	static const uint32_t cuts[] = {0, 1, 8, 31, 33, 64, 69, TOKENS};
	static const uint32_t pages[] = {9, 2, 14, 5};
	const uint32_t columns = attention_columns(a);
	const double tolerance = attention_tolerance(a->kv_type);
	float *x = malloc(TOKENS * columns * sizeof(float));
	float q_norm[DIM_MAX], k_norm[DIM_MAX];
	struct rig r;

	rig_fill(x, TOKENS * columns, 21);
	rig_fill(q_norm, a->head_dim, 22);
	rig_fill(k_norm, a->head_dim, 23);
	rig_open(&r, isa, 2);
	attention_program(&r, a, q_norm, k_norm);
	for (uint32_t c = 0; c + 1 < sizeof(cuts) / sizeof(cuts[0]); c++) {
		const uint32_t first = cuts[c], count = cuts[c + 1] - first;
		struct chip_row rows[64];
		const struct chip_sequence sequences[] = {
			{.slot = 0, .row_count = 1, .first_page = 3, .page_count = 1,
				.state_read = CHIP_NONE},
			{.slot = 1, .row_count = count, .cached_tokens = first, .page_count = 3,
				.state_read = CHIP_NONE},
		};
		const struct chip_step step = {rows, count + 1, sequences, 2, pages, 4,
			x + first * columns};

		rig_embedding_rows(rows, 0, 0, 0, 1, CHIP_WANT_NOTHING);
		rig_embedding_rows(rows + 1, 1, 0, first, count, CHIP_WANT_NOTHING);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t axis = 0; axis < 3; axis++)
				rows[1 + i].position[axis] += a->position;
		rig_run(&r, &step, NULL);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t head = 0; head < a->heads; head++) {
				double expected[DIM_MAX];

				expected_attention(a, x, first + i, head, q_norm, k_norm, expected);
				for (uint32_t j = 0; j < a->head_dim; j++)
					rig_close_to("attention",
						rig_tap(&r, "out")[((1 + i) * a->heads +
						head) * a->head_dim + j],
						expected[j], tolerance);
			}
	}
	rig_close(&r);
	free(x);
}

static void attention_attends(const struct rig_isa *isa)
{
	static const struct attention shapes[] = {
		{1, 1, 16, 16, false, false, CHIP_F32, 0, 1, 0},
		{6, 3, 64, 64, true, false, CHIP_F32, 0, 1.25F, 0},
		{6, 2, 32, 8, true, true, CHIP_F16, 0, 1, 0},
		{3, 1, 20, 12, false, true, CHIP_F32, 0, 0.75F, 11},
		{20, 1, 8, 4, true, true, CHIP_F32, 0, 1, 0},
		{6, 2, 32, 8, true, true, CHIP_BF16, 0, 1, 0},
		{4, 2, 12, 0, false, false, CHIP_BF16, 0, 1, 9},
		{6, 2, 32, 8, true, true, CHIP_Q8_0, 0, 1, 0},
		{9, 1, 64, 0, false, false, CHIP_Q8_0, 0, 1, 40},
		{4, 2, 12, 0, false, false, CHIP_F16, 0, 1, 0},
		{6, 3, 64, 64, true, false, CHIP_F32, 0, 1, 1},
		{4, 2, 32, 32, false, true, CHIP_F16, 0, 1, 32},
		{4, 1, 16, 16, true, false, CHIP_F32, 0, 1, 33},
		{4, 4, 64, 16, false, false, CHIP_F32, 0, 1, 70},
		/* where angles of f32 are off by up to a sixteenth */
		{2, 1, 32, 32, true, false, CHIP_F32, 1000003, 1, 0},
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		check_attention(isa, &shapes[i]);
}

static void attention_is_a_softmax_over_the_keys_that_are_seen(void **state)
{
	(void)state;
	each_isa(attention_attends);
}

/* ---- DeltaNet -------------------------------------------------------------------------------- */

struct gdn {
	uint32_t k_heads, v_heads, k_dim, v_dim, width;
	bool tiled;
};

static uint32_t gdn_channels(const struct gdn *g)
{
	return 2 * g->k_heads * g->k_dim + g->v_heads * g->v_dim;
}

static void gdn_program(struct rig *r, const struct gdn *g, const float *taps, const float *decay,
	const float *dt_bias)
{
	const uint32_t channels = gdn_channels(g);
	const uint32_t in = rig_input(r, channels + 2 * g->v_heads);
	const uint32_t qkv = rig_part(r, in, "qkv", 0, channels);
	const uint32_t a = rig_part(r, in, "a", channels, g->v_heads);
	const uint32_t b = rig_part(r, in, "b", channels + g->v_heads, g->v_heads);
	struct chip_op *op = rig_op(r, CHIP_OP_CONV, "conv");

	op->u.conv.data = qkv;
	op->u.conv.weight = rig_vector(r, taps, channels * g->width);
	op->u.conv.layer = 1;
	op = rig_op(r, CHIP_OP_DELTA, "out");
	op->u.delta.qkv = qkv;
	op->u.delta.a = a;
	op->u.delta.b = b;
	op->u.delta.out = rig_buffer(r, "out", CHIP_ROWS, g->v_heads * g->v_dim);
	op->u.delta.decay = rig_vector(r, decay, g->v_heads);
	op->u.delta.dt_bias = rig_vector(r, dt_bias, g->v_heads);
	op->u.delta.k_heads = g->k_heads;
	op->u.delta.v_heads = g->v_heads;
	op->u.delta.k_dim = g->k_dim;
	op->u.delta.v_dim = g->v_dim;
	op->u.delta.tiled = g->tiled;
	op->u.delta.layer = 1;
	r->layout.delta_layers = 2;
	r->layout.conv_channels = channels;
	r->layout.conv_width = g->width;
	r->layout.v_heads = g->v_heads;
	r->layout.k_dim = g->k_dim;
	r->layout.v_dim = g->v_dim;
	r->layout.states = 4;
	rig_start(r);
}

#define GDN_TOKENS 12

/* The whole sequence by the recurrence of qwen.md 2.7, in double: out [tokens, v_heads * v_dim]. */
static void expected_gdn(const struct gdn *g, const float *x, const float *taps, const float *decay,
	const float *dt_bias, double *out)
{
	const uint32_t channels = gdn_channels(g), columns = channels + 2 * g->v_heads;
	const uint32_t keys = g->k_heads * g->k_dim;
	double *u = malloc(channels * sizeof(double));
	double *state = calloc((size_t)g->v_heads * g->k_dim * g->v_dim, sizeof(double));

	for (uint32_t t = 0; t < GDN_TOKENS; t++) {
		for (uint32_t c = 0; c < channels; c++) {
			double sum = 0;

			for (uint32_t j = 0; j < g->width; j++)
				if (t + j + 1 >= g->width)
					sum += (double)taps[c * g->width + j] *
						(double)x[(t + j + 1 - g->width) * columns + c];
			u[c] = silu(sum);
		}
		for (uint32_t h = 0; h < 2 * g->k_heads; h++) {
			double squares = 1e-6;

			for (uint32_t i = 0; i < g->k_dim; i++)
				squares += u[h * g->k_dim + i] * u[h * g->k_dim + i];
			for (uint32_t i = 0; i < g->k_dim; i++)
				u[h * g->k_dim + i] /= sqrt(squares) * (h < g->k_heads
					? sqrt(g->k_dim) : 1);
		}
		for (uint32_t h = 0; h < g->v_heads; h++) {
			const uint32_t kh = g->tiled ? h % g->k_heads
				: h / (g->v_heads / g->k_heads);
			const double *q = u + kh * g->k_dim, *k = q + keys,
				*v = u + 2 * keys + h * g->v_dim;
			const double a = (double)x[t * columns + channels + h];
			const double b = (double)x[t * columns + channels + g->v_heads + h];
			const double shrink = exp((double)decay[h] * log1p(exp(a +
				(double)dt_bias[h])));
			double *s = state + (size_t)h * g->k_dim * g->v_dim;

			for (uint32_t j = 0; j < g->v_dim; j++) {
				double seen = 0, sum = 0;

				for (uint32_t i = 0; i < g->k_dim; i++)
					seen += s[i * g->v_dim + j] * shrink * k[i];
				for (uint32_t i = 0; i < g->k_dim; i++) {
					s[i * g->v_dim + j] = s[i * g->v_dim + j] * shrink +
						k[i] * (v[j] - seen) / (1 + exp(-b));
					sum += s[i * g->v_dim + j] * q[i];
				}
				out[(t * g->v_heads + h) * g->v_dim + j] = sum;
			}
		}
	}
	free(u);
	free(state);
}

/* In chunks, from state to state: none, 1, 3, 0. */
static void check_gdn(const struct rig_isa *isa, const struct gdn *g)
{
	static const uint32_t cuts[] = {0, 1, 3, 10, GDN_TOKENS};
	static const uint32_t states[] = {CHIP_NONE, 1, 1, 3, 0};
	const uint32_t columns = gdn_channels(g) + 2 * g->v_heads, width = g->v_heads * g->v_dim;
	float *x = malloc(GDN_TOKENS * columns * sizeof(float));
	float *taps = malloc(gdn_channels(g) * g->width * sizeof(float));
	double *expected = malloc(GDN_TOKENS * width * sizeof(double));
	float decay[DIM_MAX], dt_bias[DIM_MAX];
	struct rig r;

	rig_fill(x, GDN_TOKENS * columns, 31);
	rig_fill(taps, gdn_channels(g) * g->width, 32);
	rig_fill(dt_bias, g->v_heads, 33);
	for (uint32_t h = 0; h < g->v_heads; h++)
		decay[h] = -0.05F - 0.1F * (float)h;
	expected_gdn(g, x, taps, decay, dt_bias, expected);
	rig_open(&r, isa, 3);
	gdn_program(&r, g, taps, decay, dt_bias);
	for (uint32_t c = 0; c < 4; c++) {
		const uint32_t first = cuts[c], count = cuts[c + 1] - first;
		struct chip_row rows[GDN_TOKENS];
		const struct chip_sequence sequence = {
			.slot = 1, .row_count = count, .cached_tokens = first,
			.state_read = states[c], .state_write = states[c + 1],
		};
		const struct chip_step step = {rows, count, &sequence, 1, NULL, 0,
			x + first * columns};

		rig_embedding_rows(rows, 0, 0, first, count, CHIP_WANT_NOTHING);
		rig_run(&r, &step, NULL);
		for (uint32_t i = 0; i < count * width; i++)
			rig_close_to("delta", rig_tap(&r, "out")[i], expected[first * width + i],
				2e-6);
		if (states[c + 1] == 3) {   /* a copy goes on as well as the original */
			chip_state_copy(r.chip, r.cache, 3, 2);
			chip_state_copy(r.chip, r.cache, 2, 3);
		}
	}
	rig_close(&r);
	free(x);
	free(taps);
	free(expected);
}

static void gdn_recurs(const struct rig_isa *isa)
{
	static const struct gdn shapes[] = {
		{1, 1, 8, 8, 4, false},
		{2, 4, 16, 32, 4, false},
		{3, 6, 20, 36, 4, true},
		{1, 3, 33, 45, 2, false},
		{2, 2, 128, 128, 4, true},
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		check_gdn(isa, &shapes[i]);
}

static void conv_and_delta_follow_the_recurrence_from_state_to_state(void **state)
{
	(void)state;
	each_isa(gdn_recurs);
}

/* ---- what is wanted -------------------------------------------------------------------------- */

static void wanted_rows(const struct rig_isa *isa)
{
	enum { WIDTH = 40, VOCAB = 23 };
	struct rig r;
	struct chip_row rows[6];
	float x[6 * WIDTH], logits[4 * VOCAB], hidden[4 * WIDTH];
	struct chip_logprobs logprobs[4];
	uint32_t tokens[4];
	struct chip_output output = {tokens, logprobs, logits, hidden, true};
	const struct chip_sequence sequences[] = {
		{.slot = 0, .row_count = 2, .state_read = CHIP_NONE},
		{.slot = 5, .row_count = 4, .state_read = CHIP_NONE},
	};
	const struct chip_step step = {rows, 6, sequences, 2, NULL, 0, x};
	const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1,
		.logprobs = true, .top_logprobs = 2};

	rig_fill(x, 6 * WIDTH, 41);
	rig_open(&r, isa, 2);
	const uint32_t in = rig_input(&r, WIDTH);
	const uint32_t output_layer = rig_weight(&r, CHIP_F32, VOCAB, WIDTH, 42);
	struct chip_op *op = rig_op(&r, CHIP_OP_GATHER, NULL);

	r.desc.hidden = op->u.gather.out = rig_buffer(&r, "wanted", CHIP_WANTED, WIDTH);
	op->u.gather.in = in;
	op = rig_op(&r, CHIP_OP_MATMUL, NULL);
	op->u.matmul.in = r.desc.hidden;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r.weights[output_layer];
	r.desc.logits = op->u.matmul.out[0] = rig_buffer(&r, "logits", CHIP_WANTED, VOCAB);
	op = rig_op(&r, CHIP_OP_SAMPLE, NULL);
	op->u.sample.logits = r.desc.logits;
	op->u.sample.vocab = VOCAB - 2;
	r.layout.vocab = VOCAB - 2;
	rig_start(&r);
	for (uint32_t i = 0; i < r.layout.slots; i++)
		chip_slot_open(r.chip, r.cache, i, &greedy, NULL, 0, NULL, 0);
	rig_embedding_rows(rows, 0, 0, 0, 2, CHIP_WANT_NOTHING);
	rig_embedding_rows(rows + 2, 1, 2, 0, 4, CHIP_WANT_NOTHING);
	rows[1].want = CHIP_WANT_TOKEN;
	rows[2].want = CHIP_WANT_LOGITS;
	rows[4].want = CHIP_WANT_HIDDEN;
	rows[5].want = CHIP_WANT_TOKEN;
	rig_run(&r, &step, &output);
	assert_false(output.not_finite);
	assert_memory_equal(hidden + 2 * WIDTH, x + 4 * WIDTH, WIDTH * sizeof(float));
	for (uint32_t i = 0; i < VOCAB; i++) {
		double sum = 0;

		for (uint32_t k = 0; k < WIDTH; k++)
			sum += (double)r.plain[output_layer][i * WIDTH + k] * (double)x[2 * WIDTH +
				k];
		rig_close_to("logits", logits[VOCAB + i], sum, 1e-5);
	}
	assert_in_range(tokens[0], 0, VOCAB - 3);
	assert_int_equal(tokens[1], CHIP_NONE);
	assert_int_equal(tokens[2], CHIP_NONE);
	assert_in_range(tokens[3], 0, VOCAB - 3);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(logprobs[i].top_count, i % 3 ? 0 : 2);
	assert_true(logprobs[0].chosen < 0 && logprobs[3].chosen < 0);
	assert_int_equal(logprobs[3].top[0].token, tokens[3]);
	rig_close(&r);
}

static void wanted_rows_come_back_as_they_were_wanted(void **state)
{
	(void)state;
	each_isa(wanted_rows);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void programs_that_do_not_fit_together_are_refused(void **state)
{
	struct rig r;
	struct err_info info = {0};

	(void)state;
	rig_open(&r, &isas[0], 1);
	const uint32_t in = rig_input(&r, 40);
	const uint32_t weight = rig_weight(&r, CHIP_F32, 7, 40, 1);
	struct chip_op *op = rig_op(&r, CHIP_OP_MATMUL, NULL);

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = r.weights[weight];
	op->u.matmul.out[0] = rig_buffer(&r, "y", CHIP_ROWS, 8);
	assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
		ERR_INPUT);
	assert_string_equal(info.text, "operation 1 (matmul): a buffer of the wrong width");
	r.buffers[1].columns = 7;
	op->u.matmul.in = 1;
	assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
		ERR_INPUT);
	op->u.matmul.in = 99;
	assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
		ERR_INPUT);
	op->u.matmul.in = in;
	r.desc.rows_max = CHIP_ROWS_MAX + 1;
	assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
		ERR_LIMIT);
	r.desc.rows_max = 64;
	r.ops[0] = r.ops[1];   /* reads before anything is written */
	assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
		ERR_INPUT);
	assert_string_equal(info.text, "operation 0 (matmul): reads what nothing has written");
	rig_close(&r);
}

/* A step's rows name tokens and embeddings of either. */
static void tables_of_two_shapes_are_refused(void **state)
{
	static const struct {
		uint32_t rows, columns;
	} others[] = {{6, 40}, {7, 48}};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct err_info info = {0};
		struct rig r;

		rig_open(&r, &isas[0], 1);
		for (uint32_t j = 0; j < 2; j++) {
			const uint32_t rows = j ? others[i].rows : 7;
			const uint32_t columns = j ? others[i].columns : 40;
			const uint32_t table = rig_weight(&r, CHIP_F32, rows, columns, 1);
			struct chip_op *op = rig_op(&r, CHIP_OP_EMBED, NULL);

			op->u.embed.table = r.weights[table];
			op->u.embed.out = rig_buffer(&r, "x", CHIP_ROWS, columns);
		}
		assert_int_equal(chip_program_open(r.chip, &r.program, &r.desc, &r.layout, &info),
			ERR_INPUT);
		assert_string_equal(info.text,
			"operation 1 (embed): a table of another shape than the one before");
		rig_close(&r);
	}
}

static void memory_is_counted_and_limited(void **state)
{
	const struct chip_config config = {.threads = 1, .memory_bytes = 1 << 20};
	const float row[64] = {0};
	const struct chip_span span = {row, 1};
	const struct chip_matrix m = {
		.type = CHIP_F32, .rows = 1, .columns = 64, .spans = &span, .span_count = 1};
	struct chip_cache_layout layout = {
		.attention_layers = 1, .kv_heads = 1, .head_dim = 64, .pages = 64, .slots = 1,
		.vocab = 1,
		.context_max = 32,
	};
	struct err_info info = {0};
	struct chip *chip;
	struct chip_weight *w;
	struct chip_cache *cache;

	(void)state;
	assert_int_equal(chip_open(&chip, "cpu", &config, &info), ERR_NONE);
	assert_int_equal(chip_weight_pack(chip, &w, &m, &info), ERR_NONE);
	assert_true(chip_memory_used(chip) >= 256);
	assert_int_equal(chip_weight_bytes(w) >= 256, 1);
	assert_int_equal(chip_cache_page_bytes(chip, &layout), 2 * 32 * 64 * 4);
	assert_int_equal(chip_cache_open(chip, &cache, &layout, &info), ERR_MEMORY);
	layout.pages = 8;
	assert_int_equal(chip_cache_open(chip, &cache, &layout, &info), ERR_NONE);
	chip_cache_close(chip, cache);
	chip_weight_close(chip, w);
	assert_int_equal(chip_memory_used(chip), 0);
	chip_close(chip);
}

static void chips_are_listed_and_others_refused(void **state)
{
	const struct chip_config config = {.threads = 1};
	const struct chip_config wrong = {.isa = "sse2", .threads = 1};
	const struct chip_config second = {.device = 1, .threads = 1};
	struct chip_info infos[2] = {0};
	struct err_info info = {0};
	struct chip *chip;

	(void)state;
	assert_int_equal(chip_list(infos, 2), 1);
	assert_int_equal(chip_list(NULL, 0), 1);
	assert_string_equal(infos[0].kind, "cpu");
	assert_true(strlen(infos[0].name) > 0);
	assert_memory_equal(infos[0].isas, "ref", 3);
	assert_true(infos[0].memory_bytes > 0 && infos[0].cores > 0);
	assert_int_equal(chip_open(&chip, "abacus", &config, &info), ERR_NOT_FOUND);
	assert_null(chip);
	assert_int_equal(chip_open(&chip, "cpu", &wrong, &info), ERR_UNSUPPORTED);
	assert_int_equal(chip_open(&chip, "cpu", &second, &info), ERR_NOT_FOUND);
	assert_int_equal(chip_open(&chip, "cpu", &config, &info), ERR_NONE);
	chip_describe(chip, &infos[1]);
	assert_string_equal(infos[1].isa, infos[0].isa);
	assert_int_equal(infos[1].cores, 1);
	chip_close(chip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(embed_gives_table_rows_embeddings_and_last_tokens_exactly),
		cmocka_unit_test(matmul_multiplies_every_type_and_shape),
		cmocka_unit_test(norm_swiglu_norm_gate_and_add_are_what_they_say),
		cmocka_unit_test(attention_is_a_softmax_over_the_keys_that_are_seen),
		cmocka_unit_test(conv_and_delta_follow_the_recurrence_from_state_to_state),
		cmocka_unit_test(wanted_rows_come_back_as_they_were_wanted),
		cmocka_unit_test(programs_that_do_not_fit_together_are_refused),
		cmocka_unit_test(tables_of_two_shapes_are_refused),
		cmocka_unit_test(memory_is_counted_and_limited),
		cmocka_unit_test(chips_are_listed_and_others_refused),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
