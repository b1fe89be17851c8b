/* bench/kernels.c - each operation alone, over numbers of rows, as shares of what
 * the machine can do.
 *
 *	kernels [--isa NAME] [--threads N] [--clock cpu] [--only PREFIX]
 *
 * A case is a program that prepares its input and then runs one operation, a cheap one many times
 * over. What counts is the median time of a step less that of the same program without the
 * operation. Matrices are larger than the caches, so one row shows bandwidth and many rows show
 * arithmetic. Rows that would take seconds are left out: all of it is to take less than five
 * minutes on two cores. Without --isa the best instruction set of the machine has its table, and
 * AVX2 before it. --clock cpu counts the processor time of this program instead, per thread: for
 * machines that others use.
 */
#include "kernels_case.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "chip/format.h"

#define WIDTH      1024
#define OUTPUTS    49152   /* 53 MB of q8_0 */
#define UNCACHED   ((int64_t)160 << 20)   /* of so many bytes caches hold little */
#define PACK_BYTES ((size_t)64 << 20)
#define VOCAB      151936

static bool wanted(const struct bench *b, const char *name)
{
	return !b->only || strncmp(name, b->only, strlen(b->only)) == 0;
}

/* ---- matrices -------------------------------------------------------------------------------- */

static void set_matmul(struct chip_op *op, uint32_t in, struct chip_weight *w, uint32_t out)
{
	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = w;
	op->u.matmul.out[0] = out;
}

/* Several matrices one after the other: each comes from memory, not from a cache. */
static void bench_matmul(struct bench *b, enum chip_type type)
{
	const uint32_t outputs = type <= CHIP_BF16 ? OUTPUTS / 4 : OUTPUTS;
	const uint32_t in = case_begin(b, WIDTH), out = case_buffer(b, CHIP_ROWS, outputs);
	struct chip_op *op = case_measured(b, CHIP_OP_MATMUL);
	struct chip_weight *w = case_weight(b, type, outputs, WIDTH);
	const int64_t bytes = chip_weight_bytes(w);
	char name[64];

	set_matmul(op, in, w, out);
	for (int64_t all = bytes; all < UNCACHED; all += bytes)
		set_matmul(case_op(b, CHIP_OP_MATMUL), in, case_weight(b, type, outputs, WIDTH),
			out);
	(void)snprintf(name, sizeof(name), "matmul %s", chip_type_name(type));
	case_run(b, name, 0, &(struct work){.bytes = (double)bytes,
		.ops_per_row = 2.0 * outputs * WIDTH,
		.peak = chip_peak(&b->info, &b->rates, type)});
}

/* A matrix of random bytes into its packed form, and the packed form's pages for the first time. */
static void bench_pack(struct bench *b, enum chip_type type)
{
	const uint32_t group = chip_type_is_grouped(type) ? CASE_GROUP : 0;
	const size_t row_bytes = chip_row_bytes(type, group, WIDTH);
	const uint32_t rows = (uint32_t)(PACK_BYTES / row_bytes);
	uint8_t *bytes = case_memory(rows, row_bytes);
	const struct chip_span span = {bytes, rows};
	const struct chip_matrix m = {.type = type, .rows = rows, .columns = WIDTH, .group = group,
		.spans = &span, .span_count = 1};
	const struct work work = {.bytes = (double)(rows * row_bytes)};
	double samples[CASE_REPEATS];
	char name[64];

	memset(bytes, 1, rows * row_bytes);
	for (uint32_t i = 0; i < CASE_REPEATS; i++) {
		const int64_t start_ns = case_now_ns(b);
		struct chip_weight *w;

		case_must(chip_weight_pack(b->chip, &w, &m, &case_info));
		samples[i] = (double)(case_now_ns(b) - start_ns);
		chip_weight_close(b->chip, w);
	}
	qsort(samples, CASE_REPEATS, sizeof(samples[0]), case_by_size);
	(void)snprintf(name, sizeof(name), "pack %s", chip_type_name(type));
	case_print(b, name, 0, samples[CASE_REPEATS / 2], &work);
	free(bytes);
}

/* Rows out of a q8_0 table, for each row of the step another. */
static void bench_embed(struct bench *b)
{
	const uint32_t in = case_begin(b, WIDTH);
	struct chip_op *op = case_measured(b, CHIP_OP_EMBED);

	b->input = CHIP_INPUT_TOKEN;
	op->u.embed.table = case_weight(b, CHIP_Q8_0, OUTPUTS, WIDTH);
	op->u.embed.out = in;
	b->ops[0].u.embed.table = op->u.embed.table;
	case_repeat(b, COPIES_MAX);
	case_run(b, "embed q8_0", 0, &(struct work){0});
}

/* ---- attention: 16 query heads on 8 key heads of 128 as in Qwen3-0.6B ------------------------ */

enum { HEADS = 16, KV_HEADS = 8, HEAD_DIM = 128 };

static struct chip_op qk_rope_op(struct bench *b, enum chip_type kv_type)
{
	const uint32_t in = case_begin(b, (HEADS + 2 * KV_HEADS) * HEAD_DIM);
	struct chip_op op = {.kind = CHIP_OP_QK_ROPE};

	b->layout.attention_layers = 1;
	b->layout.kv_type = kv_type;
	b->layout.kv_heads = KV_HEADS;
	b->layout.head_dim = HEAD_DIM;
	b->layout.pages = (DEPTH + ROWS_MAX) / CHIP_PAGE_TOKENS;
	op.u.qk_rope.q = (struct chip_heads){in, 0, HEAD_DIM, HEADS};
	op.u.qk_rope.k = (struct chip_heads){in, HEADS * HEAD_DIM, HEAD_DIM, KV_HEADS};
	op.u.qk_rope.v = (struct chip_heads){in, (HEADS + KV_HEADS) * HEAD_DIM, HEAD_DIM, KV_HEADS};
	op.u.qk_rope.head_dim = op.u.qk_rope.rotary_dim = HEAD_DIM;
	op.u.qk_rope.frequencies = case_vector(b, HEAD_DIM / 2, 0.5F);
	op.u.qk_rope.factor = 1;
	op.u.qk_rope.q_norm = op.u.qk_rope.k_norm = case_vector(b, HEAD_DIM, 1.0F);
	op.u.qk_rope.eps = 1e-6F;
	return op;
}

/* Norm of 4 operations an element, rotation of 3; the angles are once for all layers
 * and not measured. */
static void bench_qk_rope(struct bench *b, enum chip_type kv_type)
{
	const struct chip_op op = qk_rope_op(b, kv_type);
	char name[64];

	*case_op(b, CHIP_OP_QK_ROPE) = op;
	*case_measured(b, CHIP_OP_QK_ROPE) = op;
	case_repeat(b, COPIES_MAX / 4);
	(void)snprintf(name, sizeof(name), "qk_rope %s", chip_type_name(kv_type));
	case_run(b, name, 0, &(struct work){.ops_per_row = 7.0 * (HEADS + KV_HEADS) * HEAD_DIM,
		.peak = chip_f32_peak(&b->rates)});
}

static void bench_attend(struct bench *b, enum chip_type kv_type, uint32_t depth)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "attend %s, %" PRIu32, chip_type_name(kv_type), depth);
	if (!wanted(b, name))
		return;
	const struct chip_op rope = qk_rope_op(b, kv_type);
	const double key_ops = 4.0 * HEADS * HEAD_DIM, token_bytes = 2.0 * KV_HEADS *
		(double)chip_row_bytes(kv_type, 0, HEAD_DIM);

	*case_op(b, CHIP_OP_QK_ROPE) = rope;
	struct chip_op *op = case_measured(b, CHIP_OP_ATTEND);

	op->u.attend.q = rope.u.qk_rope.q;
	op->u.attend.gate.buffer = CHIP_NONE;
	op->u.attend.out = case_buffer(b, CHIP_ROWS, HEADS * HEAD_DIM);
	op->u.attend.kv_heads = KV_HEADS;
	op->u.attend.head_dim = HEAD_DIM;
	op->u.attend.scale = 0.088F;
	case_repeat(b, depth < 4096 ? 4 : 1);
	case_run(b, name, depth, &(struct work){.bytes = token_bytes * depth,
		.bytes_per_row = token_bytes, .ops_per_row = key_ops * depth,
		.ops_per_pair = key_ops,
		.peak = chip_attend_peak(&b->info, &b->rates, kv_type)});
}

/* ---- DeltaNet: 16 heads of 128 x 128, 4 taps, as in Qwen3.5-0.8B ----------------------------- */

enum { DELTA_HEADS = 16, DELTA_DIM = 128, CHANNELS = 3 * DELTA_HEADS * DELTA_DIM, TAPS = 4 };

static uint32_t begin_delta(struct bench *b)
{
	const uint32_t in = case_begin(b, CHANNELS);

	b->layout.delta_layers = b->layout.states = 1;
	b->layout.conv_channels = CHANNELS;
	b->layout.conv_width = TAPS;
	b->layout.v_heads = DELTA_HEADS;
	b->layout.k_dim = b->layout.v_dim = DELTA_DIM;
	return in;
}

static void bench_conv(struct bench *b)
{
	const uint32_t in = begin_delta(b);
	struct chip_op *op = case_measured(b, CHIP_OP_CONV);

	op->u.conv.data = in;
	op->u.conv.weight = case_vector(b, CHANNELS * TAPS, 0.5F);
	case_repeat(b, COPIES_MAX / 4);
	case_run(b, "conv", 0, &(struct work){.ops_per_row = (2.0 * TAPS + 20) * CHANNELS,
		.peak = chip_f32_peak(&b->rates)});
}

static void set_delta(struct chip_op *op, uint32_t in, uint32_t gates, uint32_t out,
	const struct chip_vector *zeros)
{
	op->u.delta.qkv = in;
	op->u.delta.a = op->u.delta.b = gates;
	op->u.delta.out = out;
	op->u.delta.decay = op->u.delta.dt_bias = zeros;
	op->u.delta.k_heads = op->u.delta.v_heads = DELTA_HEADS;
	op->u.delta.k_dim = op->u.delta.v_dim = DELTA_DIM;
}

static void bench_delta(struct bench *b)
{
	const uint32_t in = begin_delta(b);
	const double state = (double)DELTA_HEADS * DELTA_DIM * DELTA_DIM;
	struct chip_vector *zeros = case_vector(b, DELTA_HEADS, 0.0F);
	const uint32_t gates = case_buffer(b, CHIP_ROWS, DELTA_HEADS);
	struct chip_weight *small = case_weight(b, CHIP_F32, DELTA_HEADS, CHANNELS);

	set_matmul(case_op(b, CHIP_OP_MATMUL), in, small, gates);
	struct chip_op *op = case_measured(b, CHIP_OP_DELTA);

	set_delta(op, in, gates, case_buffer(b, CHIP_ROWS, DELTA_HEADS * DELTA_DIM), zeros);
	case_repeat(b, 8);
	case_run(b, "delta", 0, &(struct work){.bytes = 2 * 4 * state, .ops_per_row = 8 * state,
		.peak = chip_f32_peak(&b->rates)});
}

/* Convolution, DeltaNet, norm and gate of eight layers, whose states do not fit into caches; rows
 * of one sequence, or each of another. */
static void bench_gdn(struct bench *b, bool apart)
{
	enum { LAYERS = 8, VALUES = DELTA_HEADS * DELTA_DIM };
	const uint32_t in = begin_delta(b);
	const double state = (double)VALUES * DELTA_DIM;
	struct chip_vector *zeros = case_vector(b, DELTA_HEADS, 0.0F);
	struct chip_vector *taps = case_vector(b, CHANNELS * TAPS, 0.5F);
	struct chip_vector *ones = case_vector(b, DELTA_DIM, 1.0F);
	const uint32_t gates = case_buffer(b, CHIP_ROWS, DELTA_HEADS);
	const uint32_t z = case_buffer(b, CHIP_ROWS, VALUES);
	const uint32_t delta = case_buffer(b, CHIP_ROWS, VALUES);
	const uint32_t gated = case_buffer(b, CHIP_ROWS, VALUES);

	set_matmul(case_op(b, CHIP_OP_MATMUL), in,
		case_weight(b, CHIP_F32, DELTA_HEADS, CHANNELS), gates);
	set_matmul(case_op(b, CHIP_OP_MATMUL), in,
		case_weight(b, CHIP_Q8_0, VALUES, CHANNELS), z);
	b->prepared = b->desc.op_count;
	for (uint32_t layer = 0; layer < LAYERS; layer++) {
		struct chip_op *op = case_op(b, CHIP_OP_CONV);

		op->u.conv.data = in;
		op->u.conv.weight = taps;
		op->u.conv.layer = layer;
		op = case_op(b, CHIP_OP_DELTA);
		set_delta(op, in, gates, delta, zeros);
		op->u.delta.layer = layer;
		op = case_op(b, CHIP_OP_NORM_GATE);
		op->u.norm_gate.in = delta;
		op->u.norm_gate.gate = z;
		op->u.norm_gate.out = gated;
		op->u.norm_gate.weight = ones;
		op->u.norm_gate.head_dim = DELTA_DIM;
		op->u.norm_gate.eps = 1e-6F;
	}
	b->apart = apart;
	b->together = 3;
	b->layout.delta_layers = LAYERS;
	b->layout.states = b->layout.slots = apart ? ROWS_APART : 1;
	case_run(b, apart ? "gdn, sequences" : "gdn", 0, &(struct work){
		.bytes = apart ? 0 : 2 * 4 * state, .bytes_per_row = apart ? 2 * 4 * state : 0,
		.ops_per_row = 8 * state, .peak = chip_f32_peak(&b->rates)});
}

/* ---- element by element: what they read lies in caches --------------------------------------- */

/* Operations an element as the plain code has them, a function of exp counted as 20. */
static void bench_element(struct bench *b, enum chip_op_kind kind, const char *name, double ops)
{
	const uint32_t in = case_begin(b, WIDTH), out = case_buffer(b, CHIP_ROWS, WIDTH);
	struct chip_vector *ones = case_vector(b, WIDTH, 1.0F),
		*head = case_vector(b, HEAD_DIM, 1.0F);
	struct chip_op norm = {.kind = CHIP_OP_NORM};

	norm.u.norm.residual = in;
	norm.u.norm.add = CHIP_NONE;
	norm.u.norm.out = out;
	norm.u.norm.weight = ones;
	norm.u.norm.eps = 1e-6F;
	*case_op(b, CHIP_OP_NORM) = norm;
	struct chip_op *op = case_measured(b, kind);

	if (kind == CHIP_OP_NORM) {
		*op = norm;
	} else if (kind == CHIP_OP_NORM_GATE) {
		op->u.norm_gate.in = op->u.norm_gate.gate = in;
		op->u.norm_gate.out = out;
		op->u.norm_gate.weight = head;
		op->u.norm_gate.head_dim = HEAD_DIM;
		op->u.norm_gate.eps = 1e-6F;
	} else if (kind == CHIP_OP_SWIGLU) {
		op->u.swiglu.gate = op->u.swiglu.up = in;
		op->u.swiglu.out = out;
	} else {
		op->u.add.out = out;
		op->u.add.in = in;
	}
	case_repeat(b, COPIES_MAX);
	case_run(b, name, 0, &(struct work){.ops_per_row = ops * WIDTH,
		.peak = chip_f32_peak(&b->rates)});
}

/* ---- experts: 8 of 128 of 768 as in Qwen3-30B-A3B -------------------------------------------- */

enum { EXPERTS = 128, USED = 8, EXPERT_FFN = 768 };

/* Rows of a random router: each row goes to others. */
static struct chip_op route_op(struct bench *b, uint32_t in)
{
	struct chip_op op = {.kind = CHIP_OP_ROUTE};

	op.u.route.logits = case_buffer(b, CHIP_ROWS, EXPERTS);
	op.u.route.weights = case_buffer(b, CHIP_ROWS, USED);
	op.u.route.experts = EXPERTS;
	op.u.route.used = USED;
	op.u.route.normalise = true;
	op.u.route.scale = 1;
	set_matmul(case_op(b, CHIP_OP_MATMUL), in, case_weight(b, CHIP_F32, EXPERTS, WIDTH),
		op.u.route.logits);
	return op;
}

static void bench_route(struct bench *b)
{
	const struct chip_op op = route_op(b, case_begin(b, WIDTH));

	*case_measured(b, CHIP_OP_ROUTE) = op;
	case_repeat(b, COPIES_MAX / 4);
	case_run(b, "route", 0, &(struct work){.ops_per_row = 25.0 * EXPERTS,
		.peak = chip_f32_peak(&b->rates)});
}

static void bench_experts(struct bench *b, enum chip_type type)
{
	const uint32_t in = case_begin(b, WIDTH), spread = case_buffer(b, CHIP_ROUTED, WIDTH);
	const struct chip_op route = route_op(b, in);
	struct chip_weight *w = case_parts(b, type, EXPERTS * EXPERT_FFN, WIDTH, EXPERTS);
	char name[64];

	*case_op(b, CHIP_OP_ROUTE) = route;
	struct chip_op *op = case_op(b, CHIP_OP_GATHER);

	op->u.gather.in = in;
	op->u.gather.out = spread;
	set_matmul(case_measured(b, CHIP_OP_MATMUL), spread, w,
		case_buffer(b, CHIP_ROUTED, EXPERT_FFN));
	(void)snprintf(name, sizeof(name), "experts %s", chip_type_name(type));
	case_run(b, name, 0, &(struct work){.bytes = (double)chip_weight_bytes(w),
		.share = (double)USED / EXPERTS, .ops_per_row = 2.0 * USED * EXPERT_FFN * WIDTH,
		.peak = chip_peak(&b->info, &b->rates, type)});
}

static void bench_combine(struct bench *b)
{
	const uint32_t in = case_begin(b, WIDTH), spread = case_buffer(b, CHIP_ROUTED, WIDTH);
	const struct chip_op route = route_op(b, in);

	*case_op(b, CHIP_OP_ROUTE) = route;
	struct chip_op *op = case_op(b, CHIP_OP_GATHER);

	op->u.gather.in = in;
	op->u.gather.out = spread;
	op = case_measured(b, CHIP_OP_COMBINE);
	op->u.combine.in = spread;
	op->u.combine.weights = route.u.route.weights;
	op->u.combine.out = case_buffer(b, CHIP_ROWS, WIDTH);
	op->u.combine.shared = op->u.combine.gate = CHIP_NONE;
	case_repeat(b, COPIES_MAX / 4);
	case_run(b, "combine", 0, &(struct work){.ops_per_row = 2.0 * USED * WIDTH,
		.peak = chip_f32_peak(&b->rates)});
}

/* ---- sampling: one row of logits ------------------------------------------------------------- */

/* Logits that differ from each other, one in 5000 of them far above the rest. */
static struct chip_weight *output_layer(struct bench *b, uint32_t columns)
{
	const size_t row_bytes = chip_row_bytes(CHIP_Q8_0, 0, columns);
	const uint16_t far = math_f16_from_f32(0.04F);
	uint8_t *rows = case_memory(VOCAB, row_bytes);
	const struct chip_span span = {rows, VOCAB};
	const struct chip_matrix m = {.type = CHIP_Q8_0, .rows = VOCAB, .columns = columns,
		.spans = &span, .span_count = 1};
	struct chip_weight **w = &b->weights[b->weight_count++];
	struct prng p;

	prng_init(&p, 2);
	for (size_t i = 0; i < VOCAB; i++) {
		case_random_row(&p, CHIP_Q8_0, 0, columns, rows + i * row_bytes);
		if (i % 5000 == 0)
			memcpy(rows + i * row_bytes, &far, sizeof(far));   /* the scale */
	}
	case_must(chip_weight_pack(b->chip, w, &m, &case_info));
	free(rows);
	return *w;
}

static void bench_sample(struct bench *b, const char *name, const struct chip_sampling *sampling)
{
	enum { SMALL = 32 };
	const uint32_t in = case_begin(b, SMALL), wanted = case_buffer(b, CHIP_WANTED, SMALL);
	struct chip_op *op = case_op(b, CHIP_OP_GATHER);
	const uint32_t logits = case_buffer(b, CHIP_WANTED, VOCAB);

	op->u.gather.in = in;
	op->u.gather.out = wanted;
	set_matmul(case_op(b, CHIP_OP_MATMUL), wanted, output_layer(b, SMALL), logits);
	op = case_measured(b, CHIP_OP_SAMPLE);
	op->u.sample.logits = logits;
	op->u.sample.vocab = VOCAB;
	b->desc.logits = logits;
	b->layout.vocab = VOCAB;
	b->want = CHIP_WANT_TOKEN;
	b->sampling = *sampling;
	b->sampling.repetition_penalty = sampling->repetition_penalty > 0.0F
		? sampling->repetition_penalty : 1.0F;
	b->sampling.top_p = sampling->top_p > 0.0F ? sampling->top_p : 1.0F;
	case_run(b, name, 0, &(struct work){.bytes = 4.0 * VOCAB});
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void bench_all(struct bench *b)
{
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (wanted(b, "matmul") || wanted(b, chip_type_name(type)))
			bench_matmul(b, type);
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (wanted(b, "pack"))
			bench_pack(b, type);
	if (wanted(b, "embed"))
		bench_embed(b);
	for (enum chip_type type = CHIP_F16; type <= CHIP_Q8_0; type++) {
		if (wanted(b, "qk_rope"))
			bench_qk_rope(b, type);
		bench_attend(b, type, 0);
		bench_attend(b, type, 512);
		bench_attend(b, type, 4096);
		bench_attend(b, type, DEPTH);
	}
	if (wanted(b, "conv"))
		bench_conv(b);
	if (wanted(b, "delta"))
		bench_delta(b);
	if (wanted(b, "gdn")) {
		bench_gdn(b, false);
		bench_gdn(b, true);
	}
	if (wanted(b, "norm"))
		bench_element(b, CHIP_OP_NORM, "norm", 4);
	if (wanted(b, "norm_gate"))
		bench_element(b, CHIP_OP_NORM_GATE, "norm_gate", 25);
	if (wanted(b, "swiglu"))
		bench_element(b, CHIP_OP_SWIGLU, "swiglu", 21);
	if (wanted(b, "add"))
		bench_element(b, CHIP_OP_ADD, "add", 1);
	if (wanted(b, "route"))
		bench_route(b);
	if (wanted(b, "experts")) {
		bench_experts(b, CHIP_BF16);
		bench_experts(b, CHIP_Q8_0);
	}
	if (wanted(b, "combine"))
		bench_combine(b);
	if (wanted(b, "sample")) {
		bench_sample(b, "sample, greedy", &(struct chip_sampling){0});
		bench_sample(b, "sample, top-k 20",
			&(struct chip_sampling){.temperature = 0.7F, .top_k = 20, .top_p = 0.95F});
		bench_sample(b, "sample, top-p",
			&(struct chip_sampling){.temperature = 0.2F, .top_p = 0.95F});
		bench_sample(b, "sample, min-p",
			&(struct chip_sampling){.temperature = 0.2F, .min_p = 0.05F});
		bench_sample(b, "sample, temperature", &(struct chip_sampling){.temperature = 0.7F});
		bench_sample(b, "sample, penalty",
			&(struct chip_sampling){.repetition_penalty = 1.1F});
		bench_sample(b, "sample, logprobs",
			&(struct chip_sampling){.logprobs = true, .top_logprobs = 20});
	}
}

static void print_head(const struct bench *b)
{
	printf("%s, %s, %" PRIu32 " threads, %s time: read %.2f GB/s, int8 %.1f, ", b->info.name,
		b->info.isa, b->info.cores, b->cpu_clock ? "processor" : "wall",
		(double)b->rates.read_bytes_per_s / 1e9, (double)b->rates.int8_ops_per_s / 1e9);
	if (b->rates.bf16_ops_per_s > 0)
		printf("bf16 %.1f, ", (double)b->rates.bf16_ops_per_s / 1e9);
	printf("f32 %.1f GOP/s\n", (double)b->rates.f32_ops_per_s / 1e9);
	printf("Shares are of these. GB/s: of weights, keys, values and states, read once a step. "
	       "GOP/s: 2 for a weight and row.\n"
	       "us: one operation, of so many rows together. Rows are missing where a step "
	       "would take seconds, or less than the\nnoise of the machine.\n\n");
	printf("%-20s %5s %11s %9s %8s %9s %8s\n", "operation", "rows", "us", "GB/s", "of read",
		"GOP/s", "of peak");
}

static void bench_isa(struct bench *b, const struct chip_config *config)
{
	case_must(chip_open(&b->chip, "cpu", config, &case_info));
	chip_describe(b->chip, &b->info);
	case_must(chip_measure(b->chip, &b->rates, &case_info));
	print_head(b);
	bench_all(b);
	printf("\n");
	chip_close(b->chip);
}

int main(int argc, char **argv)
{
	struct chip_config config = {0};
	static struct bench b;
	struct chip_info here;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--isa") == 0)
			config.isa = argv[i + 1];
		else if (strcmp(argv[i], "--threads") == 0)
			config.threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--clock") == 0)
			b.cpu_clock = strcmp(argv[i + 1], "cpu") == 0;
		else if (strcmp(argv[i], "--only") == 0)
			b.only = argv[i + 1];
	}
	if (config.isa) {
		bench_isa(&b, &config);
		return 0;
	}
	(void)chip_list(&here, 1);
	const char *best = strrchr(here.isas, ' ') ? strrchr(here.isas, ' ') + 1 : here.isas;

	if (strstr(here.isas, "avx2") && strcmp(best, "avx2") != 0) {
		config.isa = "avx2";
		bench_isa(&b, &config);
	}
	config.isa = best;
	bench_isa(&b, &config);
	return 0;
}
