/* bench/kernels.c - each operation alone, over numbers of rows, as shares of what
 * the machine can do.
 *
 *	kernels [--isa NAME] [--threads N] [--clock cpu] [--only NAME]
 *
 * A case is a program that prepares its input and then runs one operation, a cheap one many times
 * over. What counts is the median time of a step less that of the same program without the
 * operation. Matrices are larger than the caches, so one row shows bandwidth and many rows show
 * arithmetic. Rows that would take seconds are left out: all of it is to take less than five
 * minutes on two cores. Without --isa the best instruction set of the machine has its table, and
 * AVX2 before it. --clock cpu counts the processor time of this program instead, per thread: for
 * machines that others use.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/math.h"
#include "base/prng.h"
#include "chip/format.h"
#include "chip/chip.h"
#include "chip/cost.h"
#include "cpu_time.h"

#define REPEATS     5
#define REPEAT_NS   5000000      /* one repeat takes at least this */
#define REPEATS_NS  100000000    /* when they have taken this, they are enough */
#define STEP_NS_MAX 1500000000   /* a step that would take longer is left out */
#define WIDTH       1024
#define OUTPUTS     49152        /* 53 MB of q8_0 */
#define PACK_BYTES  ((size_t)64 << 20)
#define VOCAB       151936
#define DEPTH       32768        /* most tokens before a step; ROWS_MAX more fit */
#define ROWS_MAX    512
#define ROWS_APART  64           /* most rows where each is of another sequence */
#define COPIES_MAX  64           /* of operations that take microseconds */
#define OWNED_MAX   8

static const uint32_t row_counts[] = {1, 2, 4, 8, 12, 16, 32, 64, 128, 512};

#define ROW_COUNTS (sizeof(row_counts) / sizeof(row_counts[0]))

struct bench {
	struct chip *chip;
	struct chip_info info;
	struct chip_rates rates;
	bool cpu_clock;
	const char *only;           /* NULL, or how the names begin that are wanted */

	/* The case that is being built and run. */
	struct chip_cache_layout layout;
	struct chip_op ops[COPIES_MAX + 8];
	struct chip_buffer buffers[8];
	struct chip_program_desc desc;
	struct chip_weight *weights[OWNED_MAX];
	struct chip_vector *vectors[OWNED_MAX];
	uint32_t weight_count, vector_count;
	float *embeddings;
	uint32_t prepared;          /* operations that are not measured */
	uint32_t together;          /* of those that are, counted as one */
	bool apart;                 /* each row is of another sequence, with a state of its own */
	enum chip_input input;
	enum chip_want want;        /* of the last row */
	struct chip_sampling sampling;
	struct chip_cache *cache;
	struct chip_program *program;
};

/* What arithmetic is measured against. */
struct peak {
	const char *arithmetic;
	int64_t ops_per_s;
};

/* What one operation reads and computes, for the shares. */
struct work {
	double bytes, bytes_per_row;    /* from memory; 0: what it reads lies in caches */
	double share;                   /* of the bytes that a row reads, each another; 0: all */
	double ops_per_row;
	double ops_per_pair;            /* of a row and a row of the step that it sees */
	struct peak peak;
};

static struct err_info info;

static void must(enum err err)
{
	if (!err)
		return;
	(void)fprintf(stderr, "kernels: %s\n", info.text);
	exit(1);
}

static void *memory(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (!p)
		abort();
	return p;
}

static bool wanted(const struct bench *b, const char *name)
{
	return !b->only || strncmp(name, b->only, strlen(b->only)) == 0;
}

/* ---- data ------------------------------------------------------------------------------------ */

#define GROUP 128   /* of the grouped types */

/* A row of random bytes with plausible scales: halves at the ends of a block, and behind the first,
 * are about 0.01 (most types have their scales and minima there), those of groups too. */
static void random_row(struct prng *p, enum chip_type type, uint32_t group, uint32_t columns,
	uint8_t *out)
{
	const float scale_f32 = 0.01F;
	const uint16_t scale = math_f16_from_f32(scale_f32);
	const size_t bytes = chip_row_bytes(type, group, columns);
	const bool plain = !group && chip_type_block_values(type) == 1;
	const size_t unit = group ? chip_row_bytes(type, group, group)
		: chip_type_block_bytes(type);

	for (size_t i = 0; i < bytes; i += 2) {
		uint16_t value = (uint16_t)prng_next(p);

		if (plain)   /* of either half of an f32: magnitudes around one */
			value = (uint16_t)((value & 0x80FF) | 0x3C00);
		memcpy(out + i, &value, i + 2 <= bytes ? 2 : 1);
	}
	for (size_t i = 0; !plain && i < bytes; i += unit) {
		const uint8_t zero_and_flags[2] = {type == CHIP_INT4 ? 8 : 128, 0};

		memcpy(out + i, &scale, 2);
		memcpy(out + i + unit - 2, &scale, 2);
		if (type == CHIP_F8_E4M3)
			memcpy(out + i, &scale_f32, 4);
		else if (group)
			memcpy(out + i + 2, zero_and_flags, 2);
		else
			memcpy(out + i + 2, &scale, 2);
	}
}

/* The same 64 rows over and over. */
static struct chip_weight *random_parts(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns, uint32_t parts)
{
	const uint32_t group = chip_type_is_grouped(type) ? GROUP : 0;
	const size_t row_bytes = chip_row_bytes(type, group, columns);
	uint8_t *bytes = memory(row_bytes, 64);
	struct chip_span *spans = memory(rows / 64 + 1, sizeof(*spans));
	struct chip_weight **w = &b->weights[b->weight_count++];
	struct prng p;

	prng_init(&p, 1);
	for (size_t i = 0; i < 64; i++)
		random_row(&p, type, group, columns, bytes + i * row_bytes);
	for (uint32_t i = 0; i < rows; i += 64)
		spans[i / 64] = (struct chip_span){bytes, rows - i < 64 ? rows - i : 64};
	const struct chip_matrix m = {.type = type, .rows = rows, .columns = columns,
		.group = group, .spans = spans, .span_count = (rows + 63) / 64, .parts = parts};

	must(chip_weight_pack(b->chip, w, &m, &info));
	free(bytes);
	free(spans);
	return *w;
}

static struct chip_weight *random_weight(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns)
{
	return random_parts(b, type, rows, columns, 0);
}

static struct chip_vector *constant_vector(struct bench *b, size_t count, float value)
{
	float *values = memory(count, sizeof(*values));
	struct chip_vector **v = &b->vectors[b->vector_count++];

	for (size_t i = 0; i < count; i++)
		values[i] = value;
	must(chip_vector_open(b->chip, v, values, count, &info));
	free(values);
	return *v;
}

/* ---- a case ---------------------------------------------------------------------------------- */

static uint32_t add_buffer(struct bench *b, enum chip_space space, uint32_t columns)
{
	b->buffers[b->desc.buffer_count] = (struct chip_buffer){"bench", space, columns};
	return b->desc.buffer_count++;
}

static struct chip_op *add_op(struct bench *b, enum chip_op_kind kind)
{
	struct chip_op *op = &b->ops[b->desc.op_count++];

	*op = (struct chip_op){.kind = kind};
	return op;
}

/* A program that begins with random rows in a first buffer of that many columns. */
static uint32_t begin(struct bench *b, uint32_t columns)
{
	struct prng p;

	memset(&b->desc, 0, sizeof(b->desc));
	b->weight_count = b->vector_count = 0;
	b->input = CHIP_INPUT_EMBEDDING;
	b->want = CHIP_WANT_NOTHING;
	b->together = 1;
	b->apart = false;
	b->sampling = (struct chip_sampling){.top_p = 1, .repetition_penalty = 1};
	b->desc.ops = b->ops;
	b->desc.buffers = b->buffers;
	b->desc.rows_max = ROWS_MAX;
	b->desc.wanted_max = 1;
	b->desc.logits = b->desc.hidden = CHIP_NONE;
	b->layout = (struct chip_cache_layout){.slots = 1, .vocab = 1,
		.context_max = DEPTH + ROWS_MAX};
	b->embeddings = memory((size_t)ROWS_MAX * columns, sizeof(float));
	prng_init(&p, 2);
	for (size_t i = 0; i < (size_t)ROWS_MAX * columns; i++)
		b->embeddings[i] = (float)(prng_unit(&p) - 0.5);
	struct chip_op *op = add_op(b, CHIP_OP_EMBED);

	op->u.embed.table = random_weight(b, CHIP_F32, 1, columns);
	op->u.embed.out = add_buffer(b, CHIP_ROWS, columns);
	return op->u.embed.out;
}

/* What was added so far is not measured; the operation comes next. */
static struct chip_op *measured(struct bench *b, enum chip_op_kind kind)
{
	b->prepared = b->desc.op_count;
	return add_op(b, kind);
}

/* The last operation that many times, into the same place. */
static void repeat(struct bench *b, uint32_t copies)
{
	while (b->desc.op_count < b->prepared + copies) {
		b->ops[b->desc.op_count] = b->ops[b->prepared];
		b->desc.op_count++;
	}
}

/* ---- time ------------------------------------------------------------------------------------ */

static void step(struct bench *b, uint32_t rows, uint32_t depth)
{
	static struct chip_row table[ROWS_MAX];
	static uint32_t pages[(DEPTH + ROWS_MAX) / CHIP_PAGE_TOKENS];
	static uint32_t token, first;
	static struct chip_sequence sequences[ROWS_APART];
	const uint32_t count = b->apart ? rows : 1;
	const struct chip_step s = {.rows = table, .row_count = rows, .sequences = sequences,
		.sequence_count = count, .pages = pages, .page_count = b->layout.pages,
		.embeddings = b->embeddings};
	struct chip_output output = {.tokens = &token};
	uint64_t ticket;

	for (uint32_t i = 0; i < b->layout.pages; i++)
		pages[i] = i;
	for (uint32_t i = 0; i < count; i++)
		sequences[i] = (struct chip_sequence){.slot = i, .row_count = rows / count,
			.cached_tokens = depth, .page_count = b->layout.pages,
			.state_read = b->layout.states ? i : CHIP_NONE, .state_write = i};
	/* Other rows each time, which go to other experts. */
	first = b->input == CHIP_INPUT_EMBEDDING ? (first + rows) % ROWS_MAX : 0;
	for (uint32_t i = 0; i < rows; i++)
		table[i] = (struct chip_row){.sequence = b->apart ? i : 0,
			.input = (uint8_t)b->input,
			.value = (first + i) % ROWS_MAX, .position = {depth + i}};
	table[rows - 1].want = (uint8_t)b->want;
	must(chip_submit(b->chip, b->program, b->cache, &s, NULL, &ticket, &info));
	must(chip_wait(b->chip, ticket, &output, &info));
}

static int by_size(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static int64_t now_ns(const struct bench *b)
{
	return b->cpu_clock ? cpu_time_ns(CLOCK_PROCESS_CPUTIME_ID) / b->info.cores
		: clock_monotonic_ns();
}

/* Nanoseconds of one step, the median of some repeats: of fewer where a step is long. */
static double time_step(struct bench *b, uint32_t rows, uint32_t depth)
{
	double samples[REPEATS];
	int64_t sum_ns = 0;
	uint32_t count = 0;

	step(b, rows, depth);
	while (count < REPEATS && sum_ns < REPEATS_NS) {
		const int64_t start_ns = now_ns(b);
		int64_t steps = 0, elapsed_ns = 0;

		while (elapsed_ns < REPEAT_NS) {
			step(b, rows, depth);
			steps++;
			elapsed_ns = now_ns(b) - start_ns;
		}
		samples[count++] = (double)elapsed_ns / (double)steps;
		sum_ns += elapsed_ns;
	}
	qsort(samples, count, sizeof(samples[0]), by_size);
	return samples[count / 2];
}

/* The program with that many of its operations, for each number of rows; 0: not run, it
 * would take too long. */
static void time_program(struct bench *b, uint32_t op_count, uint32_t depth, double *ns)
{
	struct chip_program_desc desc = b->desc;

	desc.op_count = op_count;
	must(chip_program_open(b->chip, &b->program, &desc, &b->layout, &info));
	for (size_t i = 0; i < ROW_COUNTS; i++) {
		/* one row is wanted, however many there are */
		const bool same = (b->want != CHIP_WANT_NOTHING && i > 0) ||
			(b->apart && row_counts[i] > ROWS_APART);
		const double expected_ns = same ? 0 : i
			? ns[i - 1] * row_counts[i] / row_counts[i - 1] : 1;

		ns[i] = expected_ns > 0 && expected_ns < STEP_NS_MAX
			? time_step(b, row_counts[i], depth) : 0;
	}
	chip_program_close(b->chip, b->program);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_share(double amount_per_s, int64_t limit_per_s)
{
	if (amount_per_s > 0 && limit_per_s > 0)
		printf(" %9.2f %6.1f %%", amount_per_s / 1e9,
			100 * amount_per_s / (double)limit_per_s);
	else
		printf(" %9s %8s", "-", "-");
}

static void print_row(const struct bench *b, const char *name, double rows, double ns,
	const struct work *w)
{
	const double read = w->share > 0 ? 1 - pow(1 - w->share, rows) : 1;
	const double bytes = w->bytes * read + w->bytes_per_row * rows;
	const double ops = w->ops_per_row * rows + w->ops_per_pair * rows * (rows + 1) / 2;

	printf("%-20s %5.0f %11.1f", name, rows, ns / 1000);
	print_share(bytes / ns * 1e9, b->rates.read_bytes_per_s);
	print_share(ops / ns * 1e9, w->peak.ops_per_s);
	if (ops > 0)
		printf(" %s", w->peak.arithmetic);
	printf("\n");
	(void)fflush(stdout);
}

/* Runs the case, prints its rows and takes it down. */
static void run(struct bench *b, const char *name, uint32_t depth, const struct work *w)
{
	const uint32_t copies = (b->desc.op_count - b->prepared) / b->together;
	double with_ns[ROW_COUNTS], without_ns[ROW_COUNTS];

	must(chip_cache_open(b->chip, &b->cache, &b->layout, &info));
	chip_slot_open(b->chip, b->cache, 0, &b->sampling, NULL, 0, NULL, 0);
	time_program(b, b->desc.op_count, depth, with_ns);
	time_program(b, b->prepared, depth, without_ns);
	for (size_t i = 0; i < ROW_COUNTS; i++)
		if (with_ns[i] > without_ns[i] && without_ns[i] > 0)
			print_row(b, name, row_counts[i], (with_ns[i] - without_ns[i]) / copies, w);
	chip_cache_close(b->chip, b->cache);
	for (uint32_t i = 0; i < b->weight_count; i++)
		chip_weight_close(b->chip, b->weights[i]);
	for (uint32_t i = 0; i < b->vector_count; i++)
		chip_vector_close(b->chip, b->vectors[i]);
	free(b->embeddings);
}

/* ---- matrices -------------------------------------------------------------------------------- */

static struct peak f32_peak(const struct bench *b)
{
	return (struct peak){"f32", b->rates.f32_ops_per_s};
}

/* Of the arithmetic that multiplies a type. */
static struct peak peak_of(const struct bench *b, enum chip_type type)
{
	const char *arithmetic = b->info.int8_types >> type & 1 ? "int8"
		: b->info.bf16_types >> type & 1 ? "bf16" : "f32";

	return (struct peak){arithmetic, chip_peak(&b->info, &b->rates, type)};
}

static struct peak attend_peak(const struct bench *b, enum chip_type kv_type)
{
	const char *arithmetic = kv_type == CHIP_Q8_0 ? "int8, f32"
		: peak_of(b, kv_type == CHIP_BF16 ? CHIP_BF16 : CHIP_F32).arithmetic;

	return (struct peak){arithmetic, chip_attend_peak(&b->info, &b->rates, kv_type)};
}

static void set_matmul(struct chip_op *op, uint32_t in, struct chip_weight *w, uint32_t out)
{
	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = w;
	op->u.matmul.out[0] = out;
}

static void bench_matmul(struct bench *b, enum chip_type type)
{
	const uint32_t outputs = type <= CHIP_BF16 ? OUTPUTS / 4 : OUTPUTS;
	const uint32_t in = begin(b, WIDTH);
	struct chip_weight *w = random_weight(b, type, outputs, WIDTH);
	char name[64];

	set_matmul(measured(b, CHIP_OP_MATMUL), in, w, add_buffer(b, CHIP_ROWS, outputs));
	(void)snprintf(name, sizeof(name), "matmul %s", chip_type_name(type));
	run(b, name, 0, &(struct work){.bytes = (double)chip_weight_bytes(w),
		.ops_per_row = 2.0 * outputs * WIDTH,
		.peak = peak_of(b, type)});
}

/* A matrix of random bytes into its packed form, and the packed form's pages for the first time. */
static void bench_pack(struct bench *b, enum chip_type type)
{
	const uint32_t group = chip_type_is_grouped(type) ? GROUP : 0;
	const size_t row_bytes = chip_row_bytes(type, group, WIDTH);
	const uint32_t rows = (uint32_t)(PACK_BYTES / row_bytes);
	uint8_t *bytes = memory(rows, row_bytes);
	const struct chip_span span = {bytes, rows};
	const struct chip_matrix m = {.type = type, .rows = rows, .columns = WIDTH, .group = group,
		.spans = &span, .span_count = 1};
	const struct work work = {.bytes = (double)(rows * row_bytes)};
	double samples[REPEATS];
	char name[64];

	memset(bytes, 1, rows * row_bytes);
	for (uint32_t i = 0; i < REPEATS; i++) {
		const int64_t start_ns = now_ns(b);
		struct chip_weight *w;

		must(chip_weight_pack(b->chip, &w, &m, &info));
		samples[i] = (double)(now_ns(b) - start_ns);
		chip_weight_close(b->chip, w);
	}
	qsort(samples, REPEATS, sizeof(samples[0]), by_size);
	(void)snprintf(name, sizeof(name), "pack %s", chip_type_name(type));
	print_row(b, name, 0, samples[REPEATS / 2], &work);
	free(bytes);
}

/* Rows out of a q8_0 table, for each row of the step another. */
static void bench_embed(struct bench *b)
{
	const uint32_t in = begin(b, WIDTH);
	struct chip_op *op = measured(b, CHIP_OP_EMBED);

	b->input = CHIP_INPUT_TOKEN;
	op->u.embed.table = random_weight(b, CHIP_Q8_0, OUTPUTS, WIDTH);
	op->u.embed.out = in;
	b->ops[0].u.embed.table = op->u.embed.table;
	repeat(b, COPIES_MAX);
	run(b, "embed q8_0", 0, &(struct work){0});
}

/* ---- attention: 16 query heads on 8 key heads of 128 as in Qwen3-0.6B ------------------------ */

enum { HEADS = 16, KV_HEADS = 8, HEAD_DIM = 128 };

static struct chip_op qk_rope_op(struct bench *b, enum chip_type kv_type)
{
	const uint32_t in = begin(b, (HEADS + 2 * KV_HEADS) * HEAD_DIM);
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
	op.u.qk_rope.frequencies = constant_vector(b, HEAD_DIM / 2, 0.5F);
	op.u.qk_rope.factor = 1;
	op.u.qk_rope.q_norm = op.u.qk_rope.k_norm = constant_vector(b, HEAD_DIM, 1.0F);
	op.u.qk_rope.eps = 1e-6F;
	return op;
}

/* Norm of 4 operations an element, rotation of 3; the angles are once for all layers
 * and not measured. */
static void bench_qk_rope(struct bench *b, enum chip_type kv_type)
{
	const struct chip_op op = qk_rope_op(b, kv_type);
	char name[64];

	*add_op(b, CHIP_OP_QK_ROPE) = op;
	*measured(b, CHIP_OP_QK_ROPE) = op;
	repeat(b, COPIES_MAX / 4);
	(void)snprintf(name, sizeof(name), "qk_rope %s", chip_type_name(kv_type));
	run(b, name, 0, &(struct work){.ops_per_row = 7.0 * (HEADS + KV_HEADS) * HEAD_DIM,
		.peak = f32_peak(b)});
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

	*add_op(b, CHIP_OP_QK_ROPE) = rope;
	struct chip_op *op = measured(b, CHIP_OP_ATTEND);

	op->u.attend.q = rope.u.qk_rope.q;
	op->u.attend.gate.buffer = CHIP_NONE;
	op->u.attend.out = add_buffer(b, CHIP_ROWS, HEADS * HEAD_DIM);
	op->u.attend.kv_heads = KV_HEADS;
	op->u.attend.head_dim = HEAD_DIM;
	op->u.attend.scale = 0.088F;
	repeat(b, depth < 4096 ? 4 : 1);
	run(b, name, depth, &(struct work){.bytes = token_bytes * depth,
		.bytes_per_row = token_bytes, .ops_per_row = key_ops * depth,
		.ops_per_pair = key_ops,
		.peak = attend_peak(b, kv_type)});
}

/* ---- DeltaNet: 16 heads of 128 x 128, 4 taps, as in Qwen3.5-0.8B ----------------------------- */

enum { DELTA_HEADS = 16, DELTA_DIM = 128, CHANNELS = 3 * DELTA_HEADS * DELTA_DIM, TAPS = 4 };

static uint32_t begin_delta(struct bench *b)
{
	const uint32_t in = begin(b, CHANNELS);

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
	struct chip_op *op = measured(b, CHIP_OP_CONV);

	op->u.conv.data = in;
	op->u.conv.weight = constant_vector(b, CHANNELS * TAPS, 0.5F);
	repeat(b, COPIES_MAX / 4);
	run(b, "conv", 0, &(struct work){.ops_per_row = (2.0 * TAPS + 20) * CHANNELS,
		.peak = f32_peak(b)});
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
	struct chip_vector *zeros = constant_vector(b, DELTA_HEADS, 0.0F);
	const uint32_t gates = add_buffer(b, CHIP_ROWS, DELTA_HEADS);
	struct chip_weight *small = random_weight(b, CHIP_F32, DELTA_HEADS, CHANNELS);

	set_matmul(add_op(b, CHIP_OP_MATMUL), in, small, gates);
	struct chip_op *op = measured(b, CHIP_OP_DELTA);

	set_delta(op, in, gates, add_buffer(b, CHIP_ROWS, DELTA_HEADS * DELTA_DIM), zeros);
	repeat(b, 8);
	run(b, "delta", 0, &(struct work){.bytes = 2 * 4 * state, .ops_per_row = 8 * state,
		.peak = f32_peak(b)});
}

/* Convolution, DeltaNet, norm and gate of eight layers, whose states do not fit into caches; rows
 * of one sequence, or each of another. */
static void bench_gdn(struct bench *b, bool apart)
{
	enum { LAYERS = 8, VALUES = DELTA_HEADS * DELTA_DIM };
	const uint32_t in = begin_delta(b);
	const double state = (double)VALUES * DELTA_DIM;
	struct chip_vector *zeros = constant_vector(b, DELTA_HEADS, 0.0F);
	struct chip_vector *taps = constant_vector(b, CHANNELS * TAPS, 0.5F);
	struct chip_vector *ones = constant_vector(b, DELTA_DIM, 1.0F);
	const uint32_t gates = add_buffer(b, CHIP_ROWS, DELTA_HEADS);
	const uint32_t z = add_buffer(b, CHIP_ROWS, VALUES);
	const uint32_t delta = add_buffer(b, CHIP_ROWS, VALUES);
	const uint32_t gated = add_buffer(b, CHIP_ROWS, VALUES);

	set_matmul(add_op(b, CHIP_OP_MATMUL), in,
		random_weight(b, CHIP_F32, DELTA_HEADS, CHANNELS), gates);
	set_matmul(add_op(b, CHIP_OP_MATMUL), in,
		random_weight(b, CHIP_Q8_0, VALUES, CHANNELS), z);
	b->prepared = b->desc.op_count;
	for (uint32_t layer = 0; layer < LAYERS; layer++) {
		struct chip_op *op = add_op(b, CHIP_OP_CONV);

		op->u.conv.data = in;
		op->u.conv.weight = taps;
		op->u.conv.layer = layer;
		op = add_op(b, CHIP_OP_DELTA);
		set_delta(op, in, gates, delta, zeros);
		op->u.delta.layer = layer;
		op = add_op(b, CHIP_OP_NORM_GATE);
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
	run(b, apart ? "gdn, sequences" : "gdn", 0, &(struct work){
		.bytes = apart ? 0 : 2 * 4 * state, .bytes_per_row = apart ? 2 * 4 * state : 0,
		.ops_per_row = 8 * state, .peak = f32_peak(b)});
}

/* ---- element by element: what they read lies in caches --------------------------------------- */

/* Operations an element as the plain code has them, a function of exp counted as 20. */
static void bench_element(struct bench *b, enum chip_op_kind kind, const char *name, double ops)
{
	const uint32_t in = begin(b, WIDTH), out = add_buffer(b, CHIP_ROWS, WIDTH);
	struct chip_vector *ones = constant_vector(b, WIDTH, 1.0F),
		*head = constant_vector(b, HEAD_DIM, 1.0F);
	struct chip_op norm = {.kind = CHIP_OP_NORM};

	norm.u.norm.residual = in;
	norm.u.norm.add = CHIP_NONE;
	norm.u.norm.out = out;
	norm.u.norm.weight = ones;
	norm.u.norm.eps = 1e-6F;
	*add_op(b, CHIP_OP_NORM) = norm;
	struct chip_op *op = measured(b, kind);

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
	repeat(b, COPIES_MAX);
	run(b, name, 0, &(struct work){.ops_per_row = ops * WIDTH, .peak = f32_peak(b)});
}

/* ---- experts: 8 of 128 of 768 as in Qwen3-30B-A3B -------------------------------------------- */

enum { EXPERTS = 128, USED = 8, EXPERT_FFN = 768 };

/* Rows of a random router: each row goes to others. */
static struct chip_op route_op(struct bench *b, uint32_t in)
{
	struct chip_op op = {.kind = CHIP_OP_ROUTE};

	op.u.route.logits = add_buffer(b, CHIP_ROWS, EXPERTS);
	op.u.route.weights = add_buffer(b, CHIP_ROWS, USED);
	op.u.route.experts = EXPERTS;
	op.u.route.used = USED;
	op.u.route.normalise = true;
	op.u.route.scale = 1;
	set_matmul(add_op(b, CHIP_OP_MATMUL), in, random_weight(b, CHIP_F32, EXPERTS, WIDTH),
		op.u.route.logits);
	return op;
}

static void bench_route(struct bench *b)
{
	const struct chip_op op = route_op(b, begin(b, WIDTH));

	*measured(b, CHIP_OP_ROUTE) = op;
	repeat(b, COPIES_MAX / 4);
	run(b, "route", 0, &(struct work){.ops_per_row = 25.0 * EXPERTS,
		.peak = f32_peak(b)});
}

static void bench_experts(struct bench *b, enum chip_type type)
{
	const uint32_t in = begin(b, WIDTH), spread = add_buffer(b, CHIP_ROUTED, WIDTH);
	const struct chip_op route = route_op(b, in);
	struct chip_weight *w = random_parts(b, type, EXPERTS * EXPERT_FFN, WIDTH, EXPERTS);
	char name[64];

	*add_op(b, CHIP_OP_ROUTE) = route;
	struct chip_op *op = add_op(b, CHIP_OP_GATHER);

	op->u.gather.in = in;
	op->u.gather.out = spread;
	set_matmul(measured(b, CHIP_OP_MATMUL), spread, w, add_buffer(b, CHIP_ROUTED, EXPERT_FFN));
	(void)snprintf(name, sizeof(name), "experts %s", chip_type_name(type));
	run(b, name, 0, &(struct work){.bytes = (double)chip_weight_bytes(w),
		.share = (double)USED / EXPERTS, .ops_per_row = 2.0 * USED * EXPERT_FFN * WIDTH,
		.peak = peak_of(b, type)});
}

static void bench_combine(struct bench *b)
{
	const uint32_t in = begin(b, WIDTH), spread = add_buffer(b, CHIP_ROUTED, WIDTH);
	const struct chip_op route = route_op(b, in);

	*add_op(b, CHIP_OP_ROUTE) = route;
	struct chip_op *op = add_op(b, CHIP_OP_GATHER);

	op->u.gather.in = in;
	op->u.gather.out = spread;
	op = measured(b, CHIP_OP_COMBINE);
	op->u.combine.in = spread;
	op->u.combine.weights = route.u.route.weights;
	op->u.combine.out = add_buffer(b, CHIP_ROWS, WIDTH);
	op->u.combine.shared = op->u.combine.gate = CHIP_NONE;
	repeat(b, COPIES_MAX / 4);
	run(b, "combine", 0, &(struct work){.ops_per_row = 2.0 * USED * WIDTH,
		.peak = f32_peak(b)});
}

/* ---- sampling: one row of logits ------------------------------------------------------------- */

/* Logits that differ from each other, one in 5000 of them far above the rest. */
static struct chip_weight *output_layer(struct bench *b, uint32_t columns)
{
	const size_t row_bytes = chip_row_bytes(CHIP_Q8_0, 0, columns);
	const uint16_t far = math_f16_from_f32(0.04F);
	uint8_t *rows = memory(VOCAB, row_bytes);
	const struct chip_span span = {rows, VOCAB};
	const struct chip_matrix m = {.type = CHIP_Q8_0, .rows = VOCAB, .columns = columns,
		.spans = &span, .span_count = 1};
	struct chip_weight **w = &b->weights[b->weight_count++];
	struct prng p;

	prng_init(&p, 2);
	for (size_t i = 0; i < VOCAB; i++) {
		random_row(&p, CHIP_Q8_0, 0, columns, rows + i * row_bytes);
		if (i % 5000 == 0)
			memcpy(rows + i * row_bytes, &far, sizeof(far));   /* the scale */
	}
	must(chip_weight_pack(b->chip, w, &m, &info));
	free(rows);
	return *w;
}

static void bench_sample(struct bench *b, const char *name, const struct chip_sampling *sampling)
{
	enum { SMALL = 32 };
	const uint32_t in = begin(b, SMALL), wanted = add_buffer(b, CHIP_WANTED, SMALL);
	struct chip_op *op = add_op(b, CHIP_OP_GATHER);
	const uint32_t logits = add_buffer(b, CHIP_WANTED, VOCAB);

	op->u.gather.in = in;
	op->u.gather.out = wanted;
	set_matmul(add_op(b, CHIP_OP_MATMUL), wanted, output_layer(b, SMALL), logits);
	op = measured(b, CHIP_OP_SAMPLE);
	op->u.sample.logits = logits;
	op->u.sample.vocab = VOCAB;
	b->desc.logits = logits;
	b->layout.vocab = VOCAB;
	b->want = CHIP_WANT_TOKEN;
	b->sampling = *sampling;
	b->sampling.repetition_penalty = sampling->repetition_penalty > 0.0F
		? sampling->repetition_penalty : 1.0F;
	b->sampling.top_p = sampling->top_p > 0.0F ? sampling->top_p : 1.0F;
	run(b, name, 0, &(struct work){.bytes = 4.0 * VOCAB});
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
	must(chip_open(&b->chip, "cpu", config, &info));
	chip_describe(b->chip, &b->info);
	must(chip_measure(b->chip, &b->rates, &info));
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
