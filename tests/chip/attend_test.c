/* tests/chip/attend_test.c - attention over long sequences: every kernel gives what the reference
 * gives, and a query's bits do not depend on how its keys and its neighbours were shared out. */
#include "rig.h"

#include "chip/cpu/kernels_ref.h"

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

static const enum chip_type kv_types[] = {CHIP_F32, CHIP_F16, CHIP_BF16, CHIP_Q8_0};

#define KV_TYPES (sizeof(kv_types) / sizeof(kv_types[0]))

/* ---- kernels --------------------------------------------------------------------------------- */

#define KEYS_MAX (2 * CPU_ATTEND_SPAN)
#define PAGES    (KEYS_MAX / CHIP_PAGE_TOKENS)

struct shape {
	uint32_t head_dim;
	uint32_t count;             /* of queries */
	uint32_t shared;            /* that see the same keys */
	uint32_t window;
	uint32_t keys;              /* of the last query */
	uint32_t begin;
};

/* At byte at of keys or values: anything but -128, then scales of 2^-7 to 2^-6. */
static uint8_t q8_0_byte(struct prng *p, size_t at, size_t values_bytes)
{
	const uint8_t byte = (uint8_t)prng_next(p);

	if (at < values_bytes)
		return byte == 0x80 ? 0 : byte;
	return (at - values_bytes) % 2 ? (uint8_t)(0x20 | (byte & 3)) : byte;
}

static bool fits(enum chip_type type, uint32_t head_dim)
{
	return type != CHIP_Q8_0 || head_dim % CHIP_KV_BLOCK == 0;
}

static uint8_t *random_pages(enum chip_type type, uint32_t head_dim, size_t *page_bytes)
{
	const size_t count = (size_t)2 * CHIP_PAGE_TOKENS * head_dim;
	uint8_t *pages;
	struct prng p;

	*page_bytes = chip_row_bytes(type, 0, (uint32_t)count);
	pages = malloc(PAGES * *page_bytes);
	assert_non_null(pages);
	prng_init(&p, 3);
	for (size_t i = 0; type == CHIP_Q8_0 && i < PAGES * *page_bytes; i++)
		pages[i] = q8_0_byte(&p, i % (*page_bytes / 2),
			(size_t)CHIP_PAGE_TOKENS * head_dim);
	for (size_t i = 0; type != CHIP_Q8_0 && i < PAGES * count; i++) {
		const float x = rig_unit(&p);
		const uint16_t half = type == CHIP_F16 ? math_f16_from_f32(x)
			: math_bf16_from_f32(x);

		if (type == CHIP_F32)
			memcpy(pages + i * 4, &x, 4);
		else
			memcpy(pages + i * 2, &half, 2);
	}
	return pages;
}

static void fill(const struct shape *s, const float *q, float *values, struct cpu_query *queries)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const uint32_t keys = s->keys - (s->count - 1 - i) / s->shared;

		queries[i] = (struct cpu_query){
			.q = q + (size_t)i * s->head_dim,
			.first = s->window && keys > s->window ? keys - s->window : 0,
			.keys = keys,
			.out.values = values + (size_t)i * s->head_dim,
		};
	}
}

/* The bf16 instruction of a processor may round a pair as it likes; all else has no choice. */
static double tolerance_of(const struct rig_isa *isa, enum chip_type type)
{
	return type == CHIP_BF16 && strcmp(isa->name, "avx512bf16") == 0 ? 1e-5 : 0;
}

static void compare(const struct rig_isa *isa, enum chip_type type, const struct shape *s,
	const struct cpu_query *got, const struct cpu_query *expected)
{
	const double tolerance = tolerance_of(isa, type);

	for (uint32_t i = 0; i < s->count; i++) {
		const double sum = (double)expected[i].out.sum;

		rig_close_to(isa->name, got[i].out.largest, (double)expected[i].out.largest,
			tolerance * 10);
		rig_close_to(isa->name, got[i].out.sum, sum, tolerance * sum);
		for (uint32_t d = 0; d < s->head_dim; d++)
			rig_close_to(isa->name, got[i].out.values[d],
				(double)expected[i].out.values[d], tolerance * sum);
	}
}

static void check_kernel(const struct rig_isa *isa, enum chip_type type, const struct shape *s)
{
	uint32_t table[PAGES];
	const size_t floats = (size_t)s->count * s->head_dim;
	float *q = malloc(3 * floats * sizeof(float));
	struct cpu_query got[CPU_ATTEND_QUERIES], expected[CPU_ATTEND_QUERIES];
	struct cpu_attend a = {.table = table, .kv_type = type, .head_dim = s->head_dim,
		.rounded = isa->kernels.bf16_inputs, .scale = 1.5F, .begin = s->begin,
		.end = s->begin + CPU_ATTEND_SPAN};
	uint8_t *pages = random_pages(type, s->head_dim, &a.page_bytes);

	assert_non_null(q);
	a.pages = pages;
	for (uint32_t i = 0; i < PAGES; i++)
		table[i] = (i * 5 + 3) % PAGES;
	rig_fill(q, floats, 4);
	fill(s, q, q + floats, got);
	fill(s, q, q + 2 * floats, expected);
	isa->kernels.attend(&a, got, s->count);
	ref_attend(&a, expected, s->count);
	compare(isa, type, s, got, expected);
	free(pages);
	free(q);
}

static void every_kernel_gives_what_the_reference_gives(void **state)
{
	static const struct shape shapes[] = {
		{128, 2, 2, 0, 512, 0},
		{128, 64, 2, 0, 300, 0},
		{64, 15, 3, 0, 33, 0},
		{64, 1, 1, 0, 1, 0},
		{256, 8, 8, 0, 130, 0},
		{80, 7, 1, 0, 67, 0},
		{16, 5, 5, 40, 129, 0},
		{96, 64, 1, 63, 700, 512},
		{48, 64, 1, 0, 540, 512},     /* most see nothing of the second span */
		{20, 3, 1, 0, 65, 0},
		{512, 9, 3, 0, 90, 0},
	};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t j = 0; j < KV_TYPES; j++)
			for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++)
				if (fits(kv_types[j], shapes[k].head_dim))
					check_kernel(&isas[i], kv_types[j], &shapes[k]);
}

/* ---- operations ------------------------------------------------------------------------------ */

enum { HEADS = 6, KV_HEADS = 2, DIM = 32, COLUMNS = (HEADS + 2 * KV_HEADS) * DIM,
	TOKENS = 2 * CPU_ATTEND_SPAN + 70, OUT = HEADS * DIM };

static void open_attention(struct rig *r, const struct rig_isa *isa, uint32_t threads,
	enum chip_type type, uint32_t window)
{
	rig_open(r, isa, threads);
	const uint32_t in = rig_input(r, COLUMNS), out = rig_buffer(r, "out", CHIP_ROWS, OUT);
	struct chip_op *op = rig_op(r, CHIP_OP_QK_ROPE, NULL);
	const struct chip_heads q = {in, 0, DIM, HEADS};

	op->u.qk_rope.q = q;
	op->u.qk_rope.k = (struct chip_heads){in, HEADS * DIM, DIM, KV_HEADS};
	op->u.qk_rope.v = (struct chip_heads){in, (HEADS + KV_HEADS) * DIM, DIM, KV_HEADS};
	op->u.qk_rope.head_dim = DIM;
	op->u.qk_rope.factor = 1;
	op = rig_op(r, CHIP_OP_ATTEND, "out");
	op->u.attend.q = q;
	op->u.attend.gate.buffer = CHIP_NONE;
	op->u.attend.out = out;
	op->u.attend.kv_heads = KV_HEADS;
	op->u.attend.head_dim = DIM;
	op->u.attend.window = window;
	op->u.attend.scale = 0.4F;
	r->layout.attention_layers = 1;
	r->layout.kv_type = type;
	r->layout.kv_heads = KV_HEADS;
	r->layout.head_dim = DIM;
	r->layout.pages = 2 * chip_pages(TOKENS);
	rig_start(r);
}

/* Tokens [first, first + count) of the sequence, beside a neighbour that has other_rows of them. */
static void run_rows(struct rig *r, const float *x, uint32_t first, uint32_t count,
	uint32_t other_rows, float *out)
{
	uint32_t pages[2 * (TOKENS / CHIP_PAGE_TOKENS + 1)];
	const uint32_t each = chip_pages(TOKENS);
	struct chip_row rows[64];
	const struct chip_sequence sequences[] = {
		{.slot = 0, .row_count = count, .cached_tokens = first, .page_count = each,
			.state_read = CHIP_NONE},
		{.slot = 1, .row_count = other_rows, .first_page = each, .page_count = each,
			.state_read = CHIP_NONE},
	};
	const struct chip_step step = {rows, count + other_rows, sequences, other_rows ? 2 : 1,
		pages, other_rows ? 2 * each : each, x + (size_t)first * COLUMNS};

	for (uint32_t i = 0; i < 2 * each; i++)
		pages[i] = 2 * each - 1 - i;
	rig_embedding_rows(rows, 0, 0, first, count, CHIP_WANT_NOTHING);
	rig_embedding_rows(rows + count, 1, 0, 0, other_rows, CHIP_WANT_NOTHING);
	rig_run(r, &step, NULL);
	memcpy(out + (size_t)first * OUT, rig_tap(r, "out"), (size_t)count * OUT * sizeof(float));
}

/* Large steps, which go through the spans in one share, then steps of a few rows, which do not. */
static void check_sharing(const struct rig_isa *isa, enum chip_type type, uint32_t window)
{
	static float x[(TOKENS + 4) * COLUMNS], expected[TOKENS * OUT], got[TOKENS * OUT];
	static const uint32_t threads[] = {1, 3};
	static const uint32_t cuts[] = {0, 64, 100, 101, 132, 190, 254};
	struct rig r;

	rig_fill(x, (TOKENS + 4) * COLUMNS, 8);
	open_attention(&r, isa, 2, type, window);
	for (uint32_t at = 0; at < TOKENS; at += 64)
		run_rows(&r, x, at, TOKENS - at < 64 ? TOKENS - at : 64, 0, expected);
	rig_close(&r);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		uint32_t at = 0;

		open_attention(&r, isa, threads[i], type, window);
		for (size_t j = 1; j < sizeof(cuts) / sizeof(cuts[0]); j++, at = cuts[j - 1])
			run_rows(&r, x, at, cuts[j] - at, 0, got);
		for (; at + 60 < TOKENS - 9; at += 60)
			run_rows(&r, x, at, 60, 3, got);
		for (; at < TOKENS; at++)
			run_rows(&r, x, at, 1, at % 3, got);
		rig_close(&r);
		for (size_t j = 0; j < TOKENS * OUT; j++)
			if (math_f32_bits(got[j]) != math_f32_bits(expected[j]))
				fail_msg("%s, %s, window %u: token %zu has %.9g, otherwise shared "
					"%.9g", isa->name, chip_type_name(type), window, j / OUT,
					(double)got[j], (double)expected[j]);
	}
}

static void bits_do_not_depend_on_how_spans_are_shared(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t j = 0; j < KV_TYPES; j++) {
			check_sharing(&isas[i], kv_types[j], 0);
			if (!strstr(isas[i].name, "emulated"))   /* slow */
				check_sharing(&isas[i], kv_types[j], CPU_ATTEND_SPAN + 7);
		}
}

/* The second of a pair of values belongs to whoever had the page before. */
static void what_others_left_in_a_page_is_not_seen(void **state)
{
	static float x[64 * COLUMNS], bad[64 * COLUMNS], got[TOKENS * OUT], expected[TOKENS * OUT];

	(void)state;
	rig_fill(x, 64 * COLUMNS, 8);
	for (size_t i = 0; i < 64 * COLUMNS; i++)
		bad[i] = __builtin_inff();
	for (uint32_t i = 0; i < isa_count; i++)
		for (size_t j = 0; j < KV_TYPES; j++) {
			struct rig r;

			open_attention(&r, &isas[i], 1, kv_types[j], 0);
			run_rows(&r, x, 0, 33, 0, expected);
			run_rows(&r, bad, 0, 64, 0, got);
			for (uint32_t at = 0; at < 33; at += 11)
				run_rows(&r, x, at, 11, 0, got);
			rig_close(&r);
			assert_memory_equal(got, expected, 33 * OUT * sizeof(float));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kernel_gives_what_the_reference_gives),
		cmocka_unit_test(bits_do_not_depend_on_how_spans_are_shared),
		cmocka_unit_test(what_others_left_in_a_page_is_not_seen),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
