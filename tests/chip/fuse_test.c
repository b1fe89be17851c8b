/* tests/chip/fuse_test.c - operations that are done together give the bits of one after the other,
 * and wait for each other no more often than they must. */
#include "model_rig.h"

#define SEEDS          24
#define SEEDS_EMULATED 2    /* slow */

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* ---- bits ------------------------------------------------------------------------------------ */

/* Every operation by itself from here on. */
static void part(struct rig *r)
{
	struct cpu_program *p = (struct cpu_program *)r->program;

	for (uint32_t i = 0; i < r->desc.op_count; i++) {
		const struct cpu_fusion *f = &p->fusions[i];

		p->fusions[i] = (struct cpu_fusion){.blocks = f->blocks, .halves = f->halves,
			.unit = f->unit, .inputs = f->inputs, .sum = CHIP_NONE};
	}
}

static uint32_t followers(const struct rig *r)
{
	const struct cpu_program *p = (const struct cpu_program *)r->program;
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->desc.op_count; i++)
		count += p->fusions[i].followers + p->fusions[i].makes_inputs;
	return count;
}

static void same_results(const struct rig *a, const struct rig *b)
{
	assert_int_equal(a->tap_count, b->tap_count);
	for (uint32_t i = 0; i < a->tap_count; i++) {
		const struct rig_tap *x = &a->taps[i], *y = &b->taps[i];

		assert_string_equal(x->name, y->name);
		assert_int_equal(x->rows, y->rows);
		if (memcmp(x->values, y->values, (size_t)x->rows * x->columns * sizeof(float)) != 0)
			fail_msg("%s is not what it is alone", x->name);
	}
}

/* Without an observer, who would see what need not be kept. */
static void run_unseen(struct rig *r, const struct chip_step *step, struct chip_output *output)
{
	uint64_t ticket = 0;

	rig_ok(chip_submit(r->chip, r->program, r->cache, step, NULL, &ticket, info));
	rig_ok(chip_wait(r->chip, ticket, output, info));
}

/* Rows of two sequences, some of which want something. */
static void run_both(struct rig *together, struct rig *parted, uint32_t first, uint32_t second,
	enum chip_want want)
{
	struct rig *const rigs[] = {together, parted};
	static float logits[2][64 * MODEL_VOCAB], unseen[64 * MODEL_VOCAB];
	uint32_t tokens[2][64] = {{0}};
	struct chip_output more = {.logits = unseen};

	memset(logits, 0, sizeof(logits));
	memset(unseen, 0, sizeof(unseen));
	for (uint32_t i = 0; i < 2; i++) {
		struct sequence a, b;
		struct stepper t = {0};
		struct chip_output output = {.tokens = tokens[i], .logits = logits[i]};

		sequence_random(&a, first, 1);
		sequence_random(&b, second, 2);
		for (uint32_t j = 0; j < TABLE_PAGES; j++) {
			a.pages[j] = j;
			b.pages[j] = TABLE_PAGES + j;
		}
		b.slot = b.state = 1;
		stepper_add(&t, &a, first, want);
		if (second)
			stepper_add(&t, &b, second, CHIP_WANT_NOTHING);
		rig_run(rigs[i], &t.step, &output);
		if (i == 0)
			run_unseen(together, &t.step, &more);
	}
	same_results(together, parted);
	assert_memory_equal(unseen, logits[1], sizeof(unseen));
	assert_memory_equal(logits[0], logits[1], sizeof(logits[0]));
	assert_memory_equal(tokens[0], tokens[1], first * sizeof(tokens[0][0]));
}

static void check_model(const struct rig_isa *isa, uint64_t seed)
{
	const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
	struct rig together, parted;

	model_open(&together, isa, 1 + (uint32_t)seed % 3, model_shape_of(seed));
	model_open(&parted, isa, 1, model_shape_of(seed));
	part(&parted);
	assert_int_equal(followers(&parted), 0);
	assert_true(followers(&together) > 0);
	for (uint32_t i = 0; i < 2; i++) {
		chip_slot_open(together.chip, together.cache, i, &greedy, NULL, 0, NULL, 0);
		chip_slot_open(parted.chip, parted.cache, i, &greedy, NULL, 0, NULL, 0);
	}
	run_both(&together, &parted, 1, 0, CHIP_WANT_TOKEN);
	run_both(&together, &parted, 1, 1, CHIP_WANT_TOKEN);
	run_both(&together, &parted, 3, 0, CHIP_WANT_NOTHING);
	run_both(&together, &parted, 9, 20, CHIP_WANT_LOGITS);
	run_both(&together, &parted, 40, 17, CHIP_WANT_LOGITS);
	rig_close(&together);
	rig_close(&parted);
}

static void together_and_one_by_one_are_the_same_bits(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		const bool emulated = strstr(isas[i].name, "emulated") != NULL;

		for (uint64_t seed = 0; seed < (emulated ? SEEDS_EMULATED : SEEDS); seed++)
			check_model(&isas[i], seed);
	}
}

/* ---- a router beside gate and up ------------------------------------------------------------- */

enum { WIDE = 128, FFN = 512, ROUTES = 256, BESIDE_STEPS = 60 };

static void beside_matmul(struct rig *r, uint32_t in, uint32_t weight, uint32_t out)
{
	struct chip_op *op = rig_op(r, CHIP_OP_MATMUL, NULL);

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.out[0] = out;
	op->u.matmul.weight[0] = r->weights[weight];
}

/* What a layer with shared experts has: matrices in one operation of which some read floats, and a
 * swiglu that goes on into the next. What the router gave ends in the logits. */
static void open_beside(struct rig *r, const struct rig_isa *isa, uint32_t threads,
	enum chip_type router, enum chip_type gate, enum chip_type behind)
{
	struct chip_op *op;

	rig_open(r, isa, threads);
	const uint32_t x = rig_buffer(r, "x", CHIP_ROWS, WIDE);
	const uint32_t y = rig_buffer(r, "y", CHIP_ROWS, WIDE);
	const uint32_t d = rig_buffer(r, "d", CHIP_ROWS, WIDE);
	const uint32_t outs[] = {rig_buffer(r, "router", CHIP_ROWS, ROUTES),
		rig_buffer(r, "gate", CHIP_ROWS, FFN), rig_buffer(r, "up", CHIP_ROWS, FFN)};
	const uint32_t act = rig_buffer(r, "act", CHIP_ROWS, FFN);
	const uint32_t w[] = {rig_weight(r, router, ROUTES, WIDE, 1),
		rig_weight(r, gate, FFN, WIDE, 2), rig_weight(r, gate, FFN, WIDE, 3)};
	const uint32_t down = rig_weight(r, behind, WIDE, FFN, 4);
	const uint32_t back = rig_weight(r, CHIP_F32, WIDE, ROUTES, 5);
	const uint32_t square = rig_weight(r, CHIP_Q8_0, WIDE, WIDE, 7);
	const uint32_t table = rig_weight(r, CHIP_F32, MODEL_VOCAB, WIDE, 6);

	op = rig_op(r, CHIP_OP_EMBED, NULL);
	op->u.embed.out = x;
	op->u.embed.table = r->weights[table];
	model_norm(r, NULL, x, CHIP_NONE, y);
	beside_matmul(r, y, square, d);
	model_norm(r, NULL, x, d, y);   /* which each worker does for itself */
	op = rig_op(r, CHIP_OP_MATMUL, NULL);
	op->u.matmul.in = y;
	op->u.matmul.count = 3;
	for (uint32_t i = 0; i < 3; i++) {
		op->u.matmul.out[i] = outs[i];
		op->u.matmul.weight[i] = r->weights[w[i]];
	}
	op = rig_op(r, CHIP_OP_SWIGLU, NULL);
	op->u.swiglu.gate = outs[1];
	op->u.swiglu.up = outs[2];
	op->u.swiglu.out = act;
	beside_matmul(r, act, down, d);
	beside_matmul(r, outs[0], back, y);
	model_norm(r, NULL, x, d, d);
	op = rig_op(r, CHIP_OP_ADD, NULL);
	op->u.add.out = x;
	op->u.add.in = y;
	const uint32_t wanted = rig_buffer(r, "wanted", CHIP_WANTED, WIDE);

	op = rig_op(r, CHIP_OP_GATHER, NULL);
	op->u.gather.in = x;
	op->u.gather.out = wanted;
	r->desc.logits = rig_buffer(r, "logits", CHIP_WANTED, MODEL_VOCAB);
	beside_matmul(r, wanted, table, r->desc.logits);
	r->layout = (struct chip_cache_layout){.pages = 1, .slots = 8, .vocab = MODEL_VOCAB,
		.context_max = 100};
	rig_start(r);
}

/* Workers norm for themselves what three matrices read, and the swiglu behind them keeps inputs
 * alone: otherwise nothing is tested. */
static bool is_beside(const struct rig *r)
{
	const struct cpu_program *p = (const struct cpu_program *)r->program;

	for (uint32_t i = 0; i < r->desc.op_count; i++)
		if (r->ops[i].kind == CHIP_OP_MATMUL && r->ops[i].u.matmul.count == 3)
			return p->fusions[i].alone && p->fusions[i].gated &&
			       p->fusions[i + 1].unread;
	return false;
}

/* The same step over and over, since chance gives the shares: the logits of each time are those of
 * one operation after the other on one thread. */
static void check_beside(const struct rig_isa *isa, enum chip_type router, enum chip_type gate,
	enum chip_type behind, uint32_t rows)
{
	static float logits[4 * MODEL_VOCAB], expected[4 * MODEL_VOCAB];
	struct chip_output output = {.logits = expected};
	struct rig r;

	for (uint32_t i = 0; i <= BESIDE_STEPS; i++) {
		struct sequence s;
		struct stepper t = {0};

		if (i < 2)
			open_beside(&r, isa, i ? 3 : 1, router, gate, behind);
		if (i == 0)
			part(&r);
		if (i == 1)
			assert_true(is_beside(&r));
		sequence_random(&s, rows, 3);
		s.state = CHIP_NONE;
		stepper_add(&t, &s, rows, CHIP_WANT_LOGITS);
		run_unseen(&r, &t.step, &output);
		if (i > 0)
			assert_memory_equal(logits, expected, rows * MODEL_VOCAB * sizeof(float));
		output.logits = logits;
		if (i == 0 || i == BESIDE_STEPS)
			rig_close(&r);
	}
}

static void what_a_swiglu_makes_is_not_what_matrices_beside_it_read(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (uint32_t rows = 1; rows <= 4; rows++) {
			check_beside(&isas[i], CHIP_F32, CHIP_Q8_0, CHIP_Q8_0, rows);
			check_beside(&isas[i], CHIP_Q8_0, CHIP_F32, CHIP_Q8_0, rows);
			check_beside(&isas[i], CHIP_F32, CHIP_F32, CHIP_Q8_0, rows);
			check_beside(&isas[i], CHIP_F32, CHIP_Q8_0, CHIP_Q6_K, rows);
		}
}

/* ---- barriers -------------------------------------------------------------------------------- */

/* Layers like those of Qwen3 in Q8_0. */
static void open_dense(struct rig *r, uint32_t layers)
{
	const struct model_shape s = {.hidden = 128, .ffn = 96, .heads = 4, .kv_heads = 2,
		.head_dim = 32, .rotary_dim = 32};
	struct chip_op *op;

	rig_open(r, &isas[isa_count - 1], 2);
	const uint32_t x = rig_buffer(r, "x", CHIP_ROWS, s.hidden);
	const uint32_t y = rig_buffer(r, "y", CHIP_ROWS, s.hidden);
	const uint32_t d = rig_buffer(r, "d", CHIP_ROWS, s.hidden);
	const uint32_t qkv[] = {rig_buffer(r, "q", CHIP_ROWS, 128),
		rig_buffer(r, "k", CHIP_ROWS, 64), rig_buffer(r, "v", CHIP_ROWS, 64)};
	const uint32_t attended = rig_buffer(r, "attended", CHIP_ROWS, 128);
	const uint32_t ffn[] = {rig_buffer(r, "gate", CHIP_ROWS, s.ffn),
		rig_buffer(r, "up", CHIP_ROWS, s.ffn)};
	const uint32_t act = rig_buffer(r, "act", CHIP_ROWS, s.ffn);
	const struct chip_heads heads = {qkv[0], 0, 32, 4};
	const struct chip_vector *frequencies = rig_frequencies(r, 16);
	const uint32_t square = rig_weight(r, CHIP_Q8_0, 128, 128, 1);
	const uint32_t half = rig_weight(r, CHIP_Q8_0, 64, 128, 2);
	const uint32_t wide = rig_weight(r, CHIP_Q8_0, 96, 128, 4);
	const uint32_t down = rig_weight(r, CHIP_Q8_0, 128, 96, 5);
	const struct chip_weight **w = (const struct chip_weight **)r->weights;

	op = rig_op(r, CHIP_OP_EMBED, NULL);
	op->u.embed.out = x;
	op->u.embed.table = w[square];
	for (uint32_t i = 0; i < layers; i++) {
		model_norm(r, NULL, x, i ? d : CHIP_NONE, y);
		op = rig_op(r, CHIP_OP_MATMUL, NULL);
		op->u.matmul.in = y;
		op->u.matmul.count = 3;
		memcpy(op->u.matmul.out, qkv, sizeof(qkv));
		op->u.matmul.weight[0] = w[square];
		op->u.matmul.weight[1] = op->u.matmul.weight[2] = w[half];
		op = rig_op(r, CHIP_OP_QK_ROPE, NULL);
		op->u.qk_rope.q = heads;
		op->u.qk_rope.k = (struct chip_heads){qkv[1], 0, 32, 2};
		op->u.qk_rope.v = (struct chip_heads){qkv[2], 0, 32, 2};
		op->u.qk_rope.head_dim = op->u.qk_rope.rotary_dim = 32;
		op->u.qk_rope.frequencies = frequencies;
		op->u.qk_rope.factor = 1;
		op->u.qk_rope.layer = i;
		op = rig_op(r, CHIP_OP_ATTEND, NULL);
		op->u.attend.q = heads;
		op->u.attend.gate.buffer = CHIP_NONE;
		op->u.attend.out = attended;
		op->u.attend.kv_heads = 2;
		op->u.attend.head_dim = 32;
		op->u.attend.scale = 1;
		op->u.attend.layer = i;
		op = rig_op(r, CHIP_OP_MATMUL, NULL);
		op->u.matmul.in = attended;
		op->u.matmul.count = 1;
		op->u.matmul.out[0] = d;
		op->u.matmul.weight[0] = w[square];
		model_norm(r, NULL, x, d, y);
		op = rig_op(r, CHIP_OP_MATMUL, NULL);
		op->u.matmul.in = y;
		op->u.matmul.count = 2;
		memcpy(op->u.matmul.out, ffn, sizeof(ffn));
		op->u.matmul.weight[0] = op->u.matmul.weight[1] = w[wide];
		op = rig_op(r, CHIP_OP_SWIGLU, NULL);
		op->u.swiglu.gate = ffn[0];
		op->u.swiglu.up = ffn[1];
		op->u.swiglu.out = act;
		op = rig_op(r, CHIP_OP_MATMUL, NULL);
		op->u.matmul.in = act;
		op->u.matmul.count = 1;
		op->u.matmul.out[0] = d;
		op->u.matmul.weight[0] = w[down];
	}
	op = rig_op(r, CHIP_OP_ADD, NULL);
	op->u.add.out = x;
	op->u.add.in = d;
	r->layout = (struct chip_cache_layout){.kv_type = CHIP_F16, .attention_layers = layers,
		.kv_heads = 2, .head_dim = 32, .pages = 8, .slots = 2, .vocab = 64,
		.context_max = 100};
	rig_start(r);
}

static int64_t barriers(uint32_t layers, uint32_t rows)
{
	struct chip_profile profile = {0};
	struct sequence s;
	struct stepper t = {0};
	struct rig r;
	int64_t sum = 0;

	open_dense(&r, layers);
	sequence_random(&s, rows, 3);
	s.pages[1] = 1;
	s.pages[2] = 2;
	s.state = CHIP_NONE;
	stepper_add(&t, &s, rows, CHIP_WANT_NOTHING);
	chip_profile_start(r.chip);
	rig_run(&r, &t.step, NULL);
	chip_profile_stop(r.chip, &profile);
	rig_close(&r);
	for (uint32_t i = 0; i < CHIP_PHASES; i++)
		sum += profile.phases[i].barriers;
	return sum;
}

static void a_layer_has_six_barriers_or_with_many_rows_nine(void **state)
{
	(void)state;
	assert_int_equal(barriers(3, 1) - barriers(2, 1), 6);
	assert_int_equal(barriers(3, 64) - barriers(2, 64), 9);
	assert_int_equal(barriers(1, 1), 8);   /* angles, embedding and norm, layer */
}

/* ---- rows that every worker norms for itself ------------------------------------------------- */

/* Halves of an odd number of columns take one more. */
static void rows_that_workers_norm_for_themselves_fit_what_they_have(void **state)
{
	(void)state;
	assert_true(cpu_alone_rows(1, CHIP_COLUMNS_MAX));
	for (uint32_t rows = 2; rows <= 64; rows++)
		for (uint32_t columns = 1; columns <= CPU_ALONE_VALUES; columns++)
			assert_int_equal(cpu_alone_rows(rows, columns),
				rows * ((columns + 1) / 2) * 2 <= CPU_ALONE_VALUES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(together_and_one_by_one_are_the_same_bits),
		cmocka_unit_test(what_a_swiglu_makes_is_not_what_matrices_beside_it_read),
		cmocka_unit_test(rows_that_workers_norm_for_themselves_fit_what_they_have),
		cmocka_unit_test(a_layer_has_six_barriers_or_with_many_rows_nine),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
