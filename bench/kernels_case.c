/* bench/kernels_case.c - see kernels_case.h. */
#include "kernels_case.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/math.h"
#include "chip/format.h"
#include "cpu_time.h"

#define REPEAT_NS   5000000      /* one repeat takes at least this */
#define REPEATS_NS  100000000    /* when they have taken this, they are enough */
#define STEP_NS_MAX 3000000000   /* a step that would take longer is left out */

static const uint32_t row_counts[] = {1, 2, 4, 8, 12, 16, 32, 64, 128, 512};

#define ROW_COUNTS (sizeof(row_counts) / sizeof(row_counts[0]))

struct err_info case_info;

void case_must(enum err err)
{
	if (!err)
		return;
	(void)fprintf(stderr, "kernels: %s\n", case_info.text);
	exit(1);
}

void *case_memory(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (!p)
		abort();
	return p;
}

/* ---- data ------------------------------------------------------------------------------------ */

void case_random_row(struct prng *p, enum chip_type type, uint32_t group, uint32_t columns,
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
struct chip_weight *case_parts(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns, uint32_t parts)
{
	const uint32_t group = chip_type_is_grouped(type) ? CASE_GROUP : 0;
	const size_t row_bytes = chip_row_bytes(type, group, columns);
	uint8_t *bytes = case_memory(row_bytes, 64);
	struct chip_span *spans = case_memory(rows / 64 + 1, sizeof(*spans));
	struct chip_weight **w = &b->weights[b->weight_count++];
	struct prng p;

	assert(b->weight_count <= OWNED_MAX);
	prng_init(&p, 1);
	for (size_t i = 0; i < 64; i++)
		case_random_row(&p, type, group, columns, bytes + i * row_bytes);
	for (uint32_t i = 0; i < rows; i += 64)
		spans[i / 64] = (struct chip_span){bytes, rows - i < 64 ? rows - i : 64};
	const struct chip_matrix m = {.type = type, .rows = rows, .columns = columns,
		.group = group, .spans = spans,
		.span_count = math_divide_up_u32(rows, 64), .parts = parts};

	case_must(chip_weight_pack(b->chip, w, &m, &case_info));
	free(bytes);
	free(spans);
	return *w;
}

struct chip_weight *case_weight(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns)
{
	return case_parts(b, type, rows, columns, 0);
}

struct chip_vector *case_vector(struct bench *b, size_t count, float value)
{
	float *values = case_memory(count, sizeof(*values));
	struct chip_vector **v = &b->vectors[b->vector_count++];

	assert(b->vector_count <= OWNED_MAX);
	for (size_t i = 0; i < count; i++)
		values[i] = value;
	case_must(chip_vector_open(b->chip, v, values, count, &case_info));
	free(values);
	return *v;
}

/* ---- a case ---------------------------------------------------------------------------------- */

uint32_t case_buffer(struct bench *b, enum chip_space space, uint32_t columns)
{
	b->buffers[b->desc.buffer_count] = (struct chip_buffer){"bench", space, columns};
	return b->desc.buffer_count++;
}

struct chip_op *case_op(struct bench *b, enum chip_op_kind kind)
{
	struct chip_op *op = &b->ops[b->desc.op_count++];

	*op = (struct chip_op){.kind = kind};
	return op;
}

/* A program that begins with random rows in a first buffer of that many columns. */
uint32_t case_begin(struct bench *b, uint32_t columns)
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
	b->embeddings = case_memory((size_t)ROWS_MAX * columns, sizeof(float));
	prng_init(&p, 2);
	for (size_t i = 0; i < (size_t)ROWS_MAX * columns; i++)
		b->embeddings[i] = (float)(prng_unit(&p) - 0.5);
	struct chip_op *op = case_op(b, CHIP_OP_EMBED);

	op->u.embed.table = case_weight(b, CHIP_F32, 1, columns);
	op->u.embed.out = case_buffer(b, CHIP_ROWS, columns);
	return op->u.embed.out;
}

/* What was added so far is not measured; the operation comes next. */
struct chip_op *case_measured(struct bench *b, enum chip_op_kind kind)
{
	b->prepared = b->desc.op_count;
	return case_op(b, kind);
}

/* The last operation that many times, into the same place. */
void case_repeat(struct bench *b, uint32_t copies)
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
	case_must(chip_submit(b->chip, b->program, b->cache, &s, NULL, &ticket, &case_info));
	case_must(chip_wait(b->chip, ticket, &output, &case_info));
}

int case_by_size(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

int64_t case_now_ns(const struct bench *b)
{
	return b->cpu_clock ? cpu_time_threads_ns() / b->info.cores : clock_monotonic_ns();
}

/* Nanoseconds of one step, the median of some repeats: of fewer where a step is long. */
static double time_step(struct bench *b, uint32_t rows, uint32_t depth)
{
	double samples[CASE_REPEATS];
	int64_t sum_ns = 0;
	uint32_t count = 0;

	step(b, rows, depth);
	while (count < CASE_REPEATS && sum_ns < REPEATS_NS) {
		const int64_t start_ns = case_now_ns(b);
		int64_t steps = 0, elapsed_ns = 0;

		while (elapsed_ns < REPEAT_NS) {
			step(b, rows, depth);
			steps++;
			elapsed_ns = case_now_ns(b) - start_ns;
		}
		samples[count++] = (double)elapsed_ns / (double)steps;
		sum_ns += elapsed_ns;
	}
	qsort(samples, count, sizeof(samples[0]), case_by_size);
	return samples[count / 2];
}

/* The program with that many of its operations, for each number of rows; 0: not run, it
 * would take too long. */
static void time_program(struct bench *b, uint32_t op_count, uint32_t depth, double *ns)
{
	struct chip_program_desc desc = b->desc;

	desc.op_count = op_count;
	case_must(chip_program_open(b->chip, &b->program, &desc, &b->layout, &case_info));
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

void case_print(const struct bench *b, const char *name, double rows, double ns,
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
void case_run(struct bench *b, const char *name, uint32_t depth, const struct work *w)
{
	const uint32_t copies = (b->desc.op_count - b->prepared) / b->together;
	double with_ns[ROW_COUNTS], without_ns[ROW_COUNTS];

	case_must(chip_cache_open(b->chip, &b->cache, &b->layout, &case_info));
	chip_slot_open(b->chip, b->cache, 0, &b->sampling, NULL, 0, NULL, 0);
	time_program(b, b->desc.op_count, depth, with_ns);
	time_program(b, b->prepared, depth, without_ns);
	for (size_t i = 0; i < ROW_COUNTS; i++)
		if (with_ns[i] > without_ns[i] && without_ns[i] > 0)
			case_print(b, name, row_counts[i],
				(with_ns[i] - without_ns[i]) / copies, w);
	chip_cache_close(b->chip, b->cache);
	for (uint32_t i = 0; i < b->weight_count; i++)
		chip_weight_close(b->chip, b->weights[i]);
	for (uint32_t i = 0; i < b->vector_count; i++)
		chip_vector_close(b->chip, b->vectors[i]);
	free(b->embeddings);
}
