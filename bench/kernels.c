/* bench/kernels.c - each operation alone, over numbers of rows, as shares of what the machine can do.
 *
 *	kernels [--isa NAME] [--threads N] [--clock cpu] [--only NAME]
 *
 * A program of one operation (many copies of the cheap ones) is run on random data; the median of several runs
 * counts. Matrices are larger than the caches, so one row shows bandwidth and many rows show arithmetic.
 * --clock cpu counts the processor time of this program instead, per thread: for machines that others use.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/math.h"
#include "base/prng.h"
#include "chip/check.h"
#include "chip/chip.h"
#include "chip/cost.h"

#define REPEATS      7
#define RUN_NS       40000000   /* one repeat takes at least this */
#define WIDTH        1024
#define OUTPUTS      49152      /* 53 MB of q8_0 */
#define CHEAP_COPIES 64         /* of operations that take microseconds */
#define CONTEXT      1024
#define ROWS_MAX     512

static const uint32_t row_counts[] = {1, 2, 4, 8, 16, 64, 512};

#define ROW_COUNTS (sizeof(row_counts) / sizeof(row_counts[0]))

struct bench {
	struct chip *chip;
	struct chip_info info;
	struct chip_rates rates;
	struct chip_cache_layout layout;
	struct chip_op ops[CHEAP_COPIES + 4];
	struct chip_buffer buffers[8];
	struct chip_program_desc desc;
	struct chip_cache *cache;
	struct chip_program *program;
	struct chip_weight *table;
	float *embeddings;
	bool cpu_clock;
	const char *only;           /* NULL, or how the names begin that are wanted */
};

static struct err_info info;

static void must(enum err err)
{
	if (!err)
		return;
	(void)fprintf(stderr, "kernels: %s\n", info.text);
	exit(1);
}

/* ---- data --------------------------------------------------------------------------------------- */

/* Random bytes with plausible scales: blocks begin with the f16 of about 0.01. */
static struct chip_weight *random_weight(struct bench *b, enum chip_type type, uint32_t rows, uint32_t columns)
{
	const size_t row_bytes = columns / chip_type_block_values(type) * chip_type_block_bytes(type);
	uint8_t *bytes = malloc(row_bytes * 64);
	struct chip_span *spans = calloc(rows / 64 + 1, sizeof(*spans));
	struct chip_weight *w;
	struct prng p;

	if (!bytes || !spans)
		abort();
	prng_init(&p, 1);
	for (size_t i = 0; i < row_bytes * 64; i += 2) {
		uint16_t value = (uint16_t)prng_next(&p);

		if (chip_type_block_values(type) > 1 && i % chip_type_block_bytes(type) == 0)
			value = math_f16_from_f32(0.01F);
		else if (chip_type_block_values(type) == 1)   /* of either half of an f32: magnitudes around one */
			value = (uint16_t)((value & 0x80FF) | 0x3C00);
		memcpy(bytes + i, &value, 2);
	}
	for (uint32_t i = 0; i < rows; i += 64)
		spans[i / 64] = (struct chip_span){bytes, rows - i < 64 ? rows - i : 64};
	const struct chip_matrix m = {type, rows, columns, spans, (rows + 63) / 64};

	must(chip_weight_pack(b->chip, &w, &m, &info));
	free(bytes);
	free(spans);
	return w;
}

static uint32_t add_buffer(struct bench *b, uint32_t columns)
{
	b->buffers[b->desc.buffer_count] = (struct chip_buffer){"bench", CHIP_ROWS, columns};
	return b->desc.buffer_count++;
}

/* A program that begins with rows of embeddings in a first buffer of that many columns. */
static uint32_t begin(struct bench *b, uint32_t columns)
{
	struct prng p;

	memset(&b->desc, 0, sizeof(b->desc));
	b->desc.ops = b->ops;
	b->desc.buffers = b->buffers;
	b->desc.rows_max = ROWS_MAX;
	b->desc.wanted_max = 1;
	b->desc.logits = b->desc.hidden = CHIP_NONE;
	b->layout = (struct chip_cache_layout){.slots = 1, .vocab = 1, .context_max = CONTEXT + ROWS_MAX};
	b->table = random_weight(b, CHIP_F32, 1, columns);
	b->embeddings = malloc((size_t)ROWS_MAX * columns * sizeof(float));
	if (!b->embeddings)
		abort();
	prng_init(&p, 2);
	for (size_t i = 0; i < (size_t)ROWS_MAX * columns; i++)
		b->embeddings[i] = (float)(prng_unit(&p) - 0.5);
	const uint32_t in = add_buffer(b, columns);

	b->ops[b->desc.op_count++] = (struct chip_op){
		.kind = CHIP_OP_EMBED, .u.embed = {.out = in, .table = b->table}};
	return in;
}

static struct chip_op *add_op(struct bench *b, enum chip_op_kind kind)
{
	struct chip_op *op = &b->ops[b->desc.op_count++];

	*op = (struct chip_op){.kind = kind};
	return op;
}

static void end(struct bench *b)
{
	chip_program_close(b->chip, b->program);
	chip_cache_close(b->chip, b->cache);
	chip_weight_close(b->chip, b->table);
	free(b->embeddings);
}

/* ---- time --------------------------------------------------------------------------------------- */

static void step(struct bench *b, uint32_t rows, uint32_t cached, const uint32_t *pages)
{
	static struct chip_row table[ROWS_MAX];
	const struct chip_sequence sequence = {
		.row_count = rows,
		.cached_tokens = cached,
		.page_count = b->layout.pages,
		.state_read = b->layout.states ? 0 : CHIP_NONE,
	};
	const struct chip_step s = {table, rows, &sequence, 1, pages, b->layout.pages, b->embeddings};
	struct chip_output output = {0};
	uint64_t ticket;

	for (uint32_t i = 0; i < rows; i++)
		table[i] = (struct chip_row){.input = CHIP_INPUT_EMBEDDING, .value = i, .position = {cached + i}};
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
	struct timespec t;

	if (!b->cpu_clock)
		return clock_monotonic_ns();
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec) / b->info.cores;
}

/* Nanoseconds of one step, the median of some repeats. */
static double time_step(struct bench *b, uint32_t rows, uint32_t cached)
{
	double samples[REPEATS];
	uint32_t pages[(CONTEXT + ROWS_MAX) / CHIP_PAGE_TOKENS];

	for (uint32_t i = 0; i < b->layout.pages; i++)
		pages[i] = i;
	step(b, rows, cached, pages);
	for (uint32_t i = 0; i < REPEATS; i++) {
		const int64_t start_ns = now_ns(b);
		int64_t steps = 0, elapsed_ns = 0;

		while (elapsed_ns < RUN_NS) {
			step(b, rows, cached, pages);
			steps++;
			elapsed_ns = now_ns(b) - start_ns;
		}
		samples[i] = (double)elapsed_ns / (double)steps;
	}
	qsort(samples, REPEATS, sizeof(samples[0]), by_size);
	return samples[REPEATS / 2];
}

static void open_all(struct bench *b)
{
	must(chip_cache_open(b->chip, &b->cache, &b->layout, &info));
	must(chip_program_open(b->chip, &b->program, &b->desc, &b->layout, &info));
}

/* bytes and operations of one step; peak is what the operations are measured against. */
static void report(const struct bench *b, const char *name, uint32_t rows, double ns, double bytes, double ops,
	int64_t peak)
{
	const double bytes_per_s = bytes / ns * 1e9, ops_per_s = ops / ns * 1e9;

	printf("%-22s %5" PRIu32 " %11.1f %8.2f %6.1f %% %9.2f %6.1f %%\n", name, rows, ns / 1000, bytes_per_s / 1e9,
		100 * bytes_per_s / (double)b->rates.read_bytes_per_s, ops_per_s / 1e9,
		peak ? 100 * ops_per_s / (double)peak : 0.0);
	(void)fflush(stdout);
}

/* ---- operations --------------------------------------------------------------------------------- */

static void bench_matmul(struct bench *b, enum chip_type type)
{
	const bool blocks = chip_type_block_values(type) > 1;
	const int64_t peak = blocks ? b->rates.int8_ops_per_s : b->rates.f32_ops_per_s;
	const uint32_t outputs = blocks ? OUTPUTS : OUTPUTS / 4;
	struct chip_weight *w = random_weight(b, type, outputs, WIDTH);
	const uint32_t in = begin(b, WIDTH);
	struct chip_op *op = add_op(b, CHIP_OP_MATMUL);
	char name[64];

	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = w;
	op->u.matmul.out[0] = add_buffer(b, outputs);
	open_all(b);
	(void)snprintf(name, sizeof(name), "matmul %s", chip_type_name(type));
	for (size_t i = 0; i < ROW_COUNTS; i++)
		report(b, name, row_counts[i], time_step(b, row_counts[i], 0), (double)chip_weight_bytes(w),
			2.0 * outputs * WIDTH * row_counts[i], peak);
	end(b);
	chip_weight_close(b->chip, w);
}

/* 16 query heads on 8 key heads of 128, as in Qwen3-0.6B, behind CONTEXT tokens. */
static void bench_attend(struct bench *b, enum chip_type kv_type)
{
	enum { HEADS = 16, KV_HEADS = 8, DIM = 128 };
	const uint32_t in = begin(b, (HEADS + 2 * KV_HEADS) * DIM);
	const struct chip_heads q = {in, 0, DIM, HEADS};
	const uint32_t out = add_buffer(b, HEADS * DIM);
	const double token_bytes = 2.0 * KV_HEADS * DIM * chip_type_block_bytes(kv_type);
	char name[64];
	struct chip_op *op = add_op(b, CHIP_OP_QK_ROPE);

	op->u.qk_rope.q = q;
	op->u.qk_rope.k = (struct chip_heads){in, HEADS * DIM, DIM, KV_HEADS};
	op->u.qk_rope.v = (struct chip_heads){in, (HEADS + KV_HEADS) * DIM, DIM, KV_HEADS};
	op->u.qk_rope.head_dim = op->u.qk_rope.rotary_dim = DIM;
	op->u.qk_rope.theta = 1e6;
	for (uint32_t i = 0; i < CHEAP_COPIES / 8; i++) {
		op = add_op(b, CHIP_OP_ATTEND);
		op->u.attend.q = q;
		op->u.attend.gate.buffer = CHIP_NONE;
		op->u.attend.out = out;
		op->u.attend.kv_heads = KV_HEADS;
		op->u.attend.head_dim = DIM;
		op->u.attend.scale = 0.088F;
	}
	b->layout.attention_layers = 1;
	b->layout.kv_type = kv_type;
	b->layout.kv_heads = KV_HEADS;
	b->layout.head_dim = DIM;
	b->layout.pages = (CONTEXT + ROWS_MAX) / CHIP_PAGE_TOKENS;
	open_all(b);
	(void)snprintf(name, sizeof(name), "attend %s, %d before", chip_type_name(kv_type), CONTEXT);
	for (size_t i = 0; i < ROW_COUNTS; i++) {
		struct chip_cost_shape shape = {0};

		chip_cost_shape_add(&shape, CONTEXT, row_counts[i], 0);
		report(b, name, row_counts[i], time_step(b, row_counts[i], CONTEXT) / (CHEAP_COPIES / 8.0),
			token_bytes * (CONTEXT + row_counts[i]), 4.0 * HEADS * DIM * (double)shape.keys,
			b->rates.f32_ops_per_s);
	}
	end(b);
}

/* 16 heads of 128 x 128, as in Qwen3.5-0.8B. */
static void bench_delta(struct bench *b)
{
	enum { HEADS = 16, DIM = 128, CHANNELS = 3 * HEADS * DIM, WIDTH_TAPS = 4 };
	const uint32_t in = begin(b, CHANNELS);
	const uint32_t a = add_buffer(b, HEADS);
	const uint32_t out = add_buffer(b, HEADS * DIM);
	struct chip_weight *small = random_weight(b, CHIP_F32, HEADS, CHANNELS);
	float *zeros = calloc(CHANNELS * WIDTH_TAPS, sizeof(float));
	struct chip_vector *gates, *taps;
	struct chip_op *op = add_op(b, CHIP_OP_MATMUL);

	if (!zeros)
		abort();
	op->u.matmul.in = in;
	op->u.matmul.count = 1;
	op->u.matmul.weight[0] = small;
	op->u.matmul.out[0] = a;
	must(chip_vector_open(b->chip, &gates, zeros, HEADS, &info));
	must(chip_vector_open(b->chip, &taps, zeros, CHANNELS * WIDTH_TAPS, &info));
	op = add_op(b, CHIP_OP_CONV);
	op->u.conv.data = in;
	op->u.conv.weight = taps;
	for (uint32_t i = 0; i < CHEAP_COPIES / 8; i++) {
		op = add_op(b, CHIP_OP_DELTA);
		op->u.delta.qkv = in;
		op->u.delta.a = op->u.delta.b = a;
		op->u.delta.out = out;
		op->u.delta.decay = op->u.delta.dt_bias = gates;
		op->u.delta.k_heads = op->u.delta.v_heads = HEADS;
		op->u.delta.k_dim = op->u.delta.v_dim = DIM;
	}
	b->layout.delta_layers = b->layout.states = 1;
	b->layout.conv_channels = CHANNELS;
	b->layout.conv_width = WIDTH_TAPS;
	b->layout.v_heads = HEADS;
	b->layout.k_dim = b->layout.v_dim = DIM;
	open_all(b);
	for (size_t i = 0; i < ROW_COUNTS; i++)
		report(b, "delta 16 x 128 x 128", row_counts[i],
			time_step(b, row_counts[i], 0) / (CHEAP_COPIES / 8.0), 8.0 * HEADS * DIM * DIM,
			8.0 * HEADS * DIM * DIM * row_counts[i], b->rates.f32_ops_per_s);
	end(b);
	chip_weight_close(b->chip, small);
	chip_vector_close(b->chip, gates);
	chip_vector_close(b->chip, taps);
	free(zeros);
}

/* What is done element by element; activations come from caches, so bytes say little and are left out. */
static void bench_cheap(struct bench *b, enum chip_op_kind kind, const char *name, double ops_per_value)
{
	const uint32_t in = begin(b, WIDTH);
	const uint32_t out = add_buffer(b, WIDTH);
	float *ones = malloc(WIDTH * sizeof(float));
	struct chip_vector *weight;

	if (!ones)
		abort();
	for (uint32_t i = 0; i < WIDTH; i++)
		ones[i] = 1.0F;
	must(chip_vector_open(b->chip, &weight, ones, WIDTH, &info));
	free(ones);
	for (uint32_t i = 0; i < CHEAP_COPIES; i++) {
		struct chip_op *op = add_op(b, kind);

		if (kind == CHIP_OP_NORM) {
			op->u.norm.residual = in;
			op->u.norm.add = CHIP_NONE;
			op->u.norm.out = out;
			op->u.norm.weight = weight;
			op->u.norm.eps = 1e-6F;
		} else {
			op->u.swiglu.gate = op->u.swiglu.up = in;
			op->u.swiglu.out = out;
		}
	}
	open_all(b);
	for (size_t i = 0; i < ROW_COUNTS; i++)
		report(b, name, row_counts[i], time_step(b, row_counts[i], 0) / CHEAP_COPIES, 0,
			ops_per_value * WIDTH * row_counts[i], b->rates.f32_ops_per_s);
	end(b);
	chip_vector_close(b->chip, weight);
}

static bool wanted(const struct bench *b, const char *name)
{
	return !b->only || strncmp(name, b->only, strlen(b->only)) == 0;
}

static void bench_all(struct bench *b)
{
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (wanted(b, "matmul") || wanted(b, chip_type_name(type)))
			bench_matmul(b, type);
	if (wanted(b, "attend")) {
		bench_attend(b, CHIP_F32);
		bench_attend(b, CHIP_F16);
	}
	if (wanted(b, "delta"))
		bench_delta(b);
	if (wanted(b, "norm"))
		bench_cheap(b, CHIP_OP_NORM, "norm 1024", 4);
	if (wanted(b, "swiglu"))
		bench_cheap(b, CHIP_OP_SWIGLU, "swiglu 1024", 20);
}

int main(int argc, char **argv)
{
	struct chip_config config = {0};
	static struct bench b;

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
	must(chip_open(&b.chip, "cpu", &config, &info));
	chip_describe(b.chip, &b.info);
	must(chip_measure(b.chip, &b.rates, &info));
	printf("%s, %s, %" PRIu32 " threads, %s time: read %.2f GB/s, int8 %.1f, bf16 %.1f, f32 %.1f GOP/s\n\n",
		b.info.name, b.info.isa, b.info.cores, b.cpu_clock ? "processor" : "wall",
		(double)b.rates.read_bytes_per_s / 1e9, (double)b.rates.int8_ops_per_s / 1e9,
		(double)b.rates.bf16_ops_per_s / 1e9, (double)b.rates.f32_ops_per_s / 1e9);
	printf("%-22s %5s %11s %8s %8s %9s %8s\n", "operation", "rows", "us", "GB/s", "of read", "GOP/s", "of peak");
	bench_all(&b);
	chip_close(b.chip);
	return 0;
}
