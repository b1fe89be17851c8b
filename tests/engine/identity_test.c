/* tests/engine/identity_test.c - numbers that never move: on one instruction set the logits of a
 * sequence have the same bits whatever the threads, chunks, neighbours, pages and turns. For every
 * architecture and format that tests/golden has, and more thoroughly for some shapes; types of keys
 * and values go round, so that each instruction set meets each of them, short and over spans. */
#include "engine/support.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/prng.h"
#include "chip/format.h"
#include "model/arch/config.h"

static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

struct small {
	struct support_shape shape;
	enum chip_type kv_type;
};

static const struct small small_shapes[] = {
	{{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_F32}, CHIP_F32},
	{{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_BF16}, CHIP_BF16},
	{{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_F16}, CHIP_F16},
	{{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_Q8_0}, CHIP_Q8_0},
	{{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_Q4_0}, CHIP_F16},
	{{"qwen3", 256, 3, 512, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_TYPES}, CHIP_F16},
	/* inputs in units of 256: as wide as the heads of a key head, twice as wide, and four heads
	 * of DeltaNet */
	{{"qwen3", 256, 2, 512, 320, 8, 1, 32, 32, 0, 0, 0, 0, CHIP_Q4_K}, CHIP_BF16},
	{{"qwen3", 256, 2, 512, 320, 8, 2, 32, 32, 0, 0, 0, 0, CHIP_Q6_K}, CHIP_F16},
	{{"qwen35", 256, 4, 512, 320, 4, 1, 64, 16, 2, 4, 64, 4, CHIP_Q5_K}, CHIP_BF16},
	{{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_F32}, CHIP_F16},
	{{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_BF16}, CHIP_Q8_0},
	{{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_Q8_0}, CHIP_BF16},
	{{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_Q4_0}, CHIP_F32},
};

/* Of so many tokens that few rows share their spans of keys and many do not. */
static const struct small long_shapes[] = {
	{{"qwen3", 64, 1, 96, 300, 4, 2, 32, 32, 0, 0, 0, 0, CHIP_F32}, CHIP_F32},
	{{"qwen3", 64, 1, 96, 300, 3, 1, 64, 64, 0, 0, 0, 0, CHIP_BF16}, CHIP_F16},
	{{"qwen3", 64, 1, 96, 300, 4, 2, 32, 32, 0, 0, 0, 0, CHIP_BF16}, CHIP_BF16},
	{{"qwen3", 64, 1, 96, 300, 3, 1, 64, 64, 0, 0, 0, 0, CHIP_BF16}, CHIP_Q8_0},
};

struct way {
	uint32_t threads;
	uint32_t chunk;
};

/* What is compared with them: the whole in chunks of 512 on one thread. */
static const struct way all_ways[] = {{1, 1}, {1, 7}, {1, 64}, {2, 1}, {2, 7}, {2, 64}, {2, 512},
	{3, 1}, {3, 7}, {3, 64}, {3, 512}, {5, 1}, {5, 7}, {5, 64}, {5, 512}, {0, 0}};
/* Each number of threads and each chunk once. */
static const struct way few_ways[] = {{2, 64}, {3, 7}, {5, 1}, {0, 0}};
/* Without most of chunk 1, which takes longer here than all the rest: small_shapes have it. */
static const struct way most_ways[] = {{1, 7}, {1, 64}, {2, 1}, {2, 7}, {2, 64}, {2, 512}, {3, 7},
	{3, 64}, {3, 512}, {5, 7}, {5, 64}, {5, 512}, {0, 0}};

/* One layer of each kind at the width of Qwen3-0.6B and Qwen3.5-0.8B. */
static const struct wide {
	struct support_shape shape;
	enum chip_type kv_type;
	const struct way *ways;     /* on the best instruction set; few_ways on the others */
} wide_shapes[] = {
	{{"qwen3", 1024, 1, 3072, 320, 16, 8, 128, 128, 0, 0, 0, 0, CHIP_Q8_0}, CHIP_F16, all_ways},
	{{"qwen3", 1024, 1, 3072, 320, 16, 8, 128, 128, 0, 0, 0, 0, CHIP_BF16}, CHIP_BF16, few_ways},
	{{"qwen35", 1024, 2, 3584, 320, 8, 2, 256, 64, 16, 16, 128, 2, CHIP_Q8_0}, CHIP_Q8_0,
		most_ways},
};

#define SMALL_TOKENS 131
#define GOLDEN_TOKENS 67
#define WIDE_TOKENS  1100
#define LONG_TOKENS  700    /* two spans of keys */
#define ROWS_MAX     512

static char model_path[64];

/* Neither emulated nor the reference: fast enough for everything. */
static bool is_fast(const char *isa)
{
	return !support_isa_emulated(isa) && strcmp(isa, "ref") != 0;
}

/* With other matrices, keys and values avx512bf16 is avx512. */
static bool is_repeat(const char *isa, const struct support_shape *shape, enum chip_type kv_type)
{
	return support_isa_rounds(isa) && shape->type != CHIP_BF16 && kv_type != CHIP_BF16;
}

/* The last of those that users have too, and that are not another one again. */
static bool is_best(const char *isa, const struct support_shape *shape, enum chip_type kv_type)
{
	const char *best = NULL;

	for (const char *const *one = support_isas(); *one; one++)
		if (!strchr(*one, '-') && !is_repeat(*one, shape, kv_type))
			best = *one;
	return strcmp(isa, best) == 0;
}

/* ---- what is known of a sequence ------------------------------------------------------------- */

struct known {
	const char *name;           /* of the model, for messages */
	const char *path;
	const char *isa;
	enum chip_type kv_type;
	uint32_t count;
	uint32_t *tokens;           /* [count] */
	uint32_t vocab;
	float *logits;              /* [count, vocab] */
};

static void random_tokens(uint32_t *tokens, uint32_t count, uint64_t seed)
{
	struct prng prng;

	prng_init(&prng, seed);
	for (uint32_t i = 0; i < count; i++)
		tokens[i] = (uint32_t)prng_below(&prng, 256);
}

/* The sequence alone. */
static void known_solve(struct known *k)
{
	const struct session_options options = {.sequences = 1, .context_max = k->count,
		.chunk = ROWS_MAX, .kv_type = k->kv_type};
	struct support_model m;

	support_model_open(&m, k->path, k->isa, 1, ROWS_MAX, ROWS_MAX);
	k->vocab = model_config(m.model)->vocab;
	mem_free(k->logits);
	k->logits = support_logits(&m, &options, k->tokens, k->count);
	support_model_close(&m);
}

static void known_init(struct known *k, const char *name, const char *path, const char *isa,
	enum chip_type kv_type, uint32_t count)
{
	*k = (struct known){.name = name, .path = path, .isa = isa, .kv_type = kv_type,
		.count = count};
	k->tokens = mem_alloc(count, sizeof(*k->tokens));
	assert_non_null(k->tokens);
	random_tokens(k->tokens, count, 11);
	known_solve(k);
}

static void known_close(struct known *k)
{
	mem_free(k->logits);
	mem_free(k->tokens);
}

/* got: from position first to the last. */
static void check_same(const struct known *k, const float *got, uint32_t first, const char *what)
{
	const float *expected = k->logits + (size_t)first * k->vocab;

	for (size_t i = 0; i < (size_t)(k->count - first) * k->vocab; i++)
		if (memcmp(&got[i], &expected[i], sizeof(*got)) != 0)
			fail_msg("%s, keys in %s, on %s: %s: position %zu, value %zu is %a, not "
				"%a", k->name, chip_type_name(k->kv_type), k->isa, what,
				first + i / k->vocab, i % k->vocab, (double)got[i],
				(double)expected[i]);
}

/* ---- threads, chunks, pages ------------------------------------------------------------------ */

/* Pages lie in another order each time; ways with the same threads stand together. */
static void check_ways(const struct known *k, const struct way *ways)
{
	uint32_t threads = 0;
	struct support_model m;

	for (const struct way *w = ways; w->threads > 0; w++) {
		const struct session_options options = {.sequences = 1, .context_max = k->count,
			.chunk = w->chunk, .kv_type = k->kv_type,
			.page_seed = 1 + (uint64_t)(w - ways)};
		char what[64];

		if (w->threads != threads)
			support_model_open(&m, k->path, k->isa, w->threads, ROWS_MAX, ROWS_MAX);
		threads = w->threads;
		float *logits = support_logits(&m, &options, k->tokens, k->count);

		snprintf(what, sizeof(what), "threads %u, chunk %u", w->threads, w->chunk);
		check_same(k, logits, 0, what);
		mem_free(logits);
		if (w[1].threads != threads)
			support_model_close(&m);
	}
}

/* ---- neighbours ------------------------------------------------------------------------------ */

#define TOGETHER      5
#define PIECE_MAX     64
#define NEIGHBOUR_MAX 9     /* tokens of a neighbour in a step: the kept one's are what is dear */

/* How many tokens the next steps take of a sequence: prefill and decode by turns. */
static const uint32_t pieces[] = {1, 33, 7, 1, 1, PIECE_MAX, 2};

#define PIECES (sizeof(pieces) / sizeof(*pieces))

struct crowd {
	struct session *session;
	const struct known *k;
	uint32_t kept;              /* the sequence of k; the others have tokens of their own */
	uint32_t at[TOGETHER];      /* tokens that each has taken */
	uint32_t *others;           /* [TOGETHER, count] */
};

/* A neighbour is at its end, or cancelled at a third of the kept one: at two thirds another
 * request gets its place, with the pages and the state it left. */
static bool crowd_rests(struct crowd *c, uint32_t i)
{
	const uint32_t kept_at = c->at[c->kept], third = c->k->count / 3;

	if (i == c->kept)
		return false;
	const bool cancelled = i == (c->kept + 1) % TOGETHER && kept_at > third &&
		kept_at < 2 * third;

	if (cancelled || c->at[i] > third + 8 * i) {
		session_start(c->session, i, &greedy, c->others, 1);
		c->at[i] = 0;
	}
	return cancelled;
}

/* One step of all; logits of the kept one's rows go to out. */
static void crowd_step(struct crowd *c, uint32_t step, float *rows, float *out)
{
	struct session_item items[TOGETHER];
	struct chip_output output = {.logits = rows};
	struct err_info info = {0};
	const uint32_t from = c->at[c->kept];
	uint32_t count = 0, before = 0;

	for (uint32_t i = 0; i < TOGETHER; i++) {
		const bool kept = i == c->kept;
		const uint32_t most = kept ? c->k->count - from : NEIGHBOUR_MAX;
		const uint32_t piece = pieces[(step + 2 * i) % PIECES];
		const uint32_t *tokens = kept ? c->k->tokens : c->others + i * c->k->count;

		if (crowd_rests(c, i))
			continue;
		if (kept)
			before = count;
		items[count++] = (struct session_item){.sequence = i, .tokens = tokens + c->at[i],
			.token_count = piece < most ? piece : most, .want = CHIP_WANT_LOGITS,
			.want_all = kept};
	}
	assert_int_equal(session_step(c->session, items, count, &output, &info), ERR_NONE);
	for (uint32_t i = 0; i < count; i++)
		c->at[items[i].sequence] += items[i].token_count;
	memcpy(out + (size_t)from * c->k->vocab, rows + (size_t)before * c->k->vocab,
		(size_t)(c->at[c->kept] - from) * c->k->vocab * sizeof(*out));
}

/* Each place has had another request before, which was cancelled. */
static void crowd_open(struct crowd *c, struct support_model *m)
{
	const struct session_options options = {.sequences = TOGETHER, .context_max = c->k->count,
		.kv_type = c->k->kv_type, .page_seed = 99 + c->kept};
	struct err_info info = {0};

	c->others = mem_alloc((size_t)TOGETHER * c->k->count, sizeof(*c->others));
	assert_non_null(c->others);
	random_tokens(c->others, TOGETHER * c->k->count, 100);
	assert_int_equal(session_open(&c->session, m->model, &options, &info), ERR_NONE);
	for (uint32_t i = 0; i < TOGETHER; i++) {
		session_start(c->session, i, &greedy, c->others, 1);
		assert_int_equal(session_prefill(c->session, i, c->others + i, NEIGHBOUR_MAX, NULL,
			&info), ERR_NONE);
		session_start(c->session, i, &greedy, c->k->tokens, 1);
	}
}

static void check_neighbours(struct support_model *m, const struct known *k, uint32_t kept)
{
	struct crowd c = {.k = k, .kept = kept};
	float *rows = mem_alloc((size_t)(TOGETHER + PIECE_MAX) * k->vocab, sizeof(*rows));
	float *out = mem_alloc((size_t)k->count * k->vocab, sizeof(*out));

	assert_true(rows && out);
	crowd_open(&c, m);
	for (uint32_t step = 0; c.at[kept] < k->count; step++)
		crowd_step(&c, step, rows, out);
	check_same(k, out, 0, "neighbours");
	session_close(c.session);
	mem_free(c.others);
	mem_free(out);
	mem_free(rows);
}

/* ---- turns ----------------------------------------------------------------------------------- */

#define TURNS  2
#define ANSWER 9

/* A conversation: each turn a prefill on top of what is there, then an answer token by token, which
 * takes its place in k->tokens. What comes last is the question of one more turn: its logits go to
 * out, and its first position is returned. */
static uint32_t converse(struct support_model *m, struct known *k, float *out)
{
	enum { CHUNK = 33 };
	const struct session_options options = {.sequences = 1, .context_max = k->count,
		.chunk = CHUNK, .kv_type = k->kv_type, .page_seed = 7};
	struct err_info info = {0};
	struct session *s;
	uint32_t taken = 0, token;

	assert_int_equal(session_open(&s, m->model, &options, &info), ERR_NONE);
	session_start(s, 0, &greedy, k->tokens, 1);
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		const uint32_t answer = k->count * turn / (TURNS + 1);

		assert_int_equal(session_prefill(s, 0, k->tokens + taken, answer - taken, &token,
			&info), ERR_NONE);
		/* the last one sampled is not yet in the cache: the next prefill takes it */
		for (taken = answer; taken < answer + ANSWER - 1; taken++) {
			k->tokens[taken] = token;
			assert_int_equal(session_next(s, 0, &token, &info), ERR_NONE);
		}
		k->tokens[taken] = token;
	}
	support_feed(m, s, CHUNK, k->tokens + taken, k->count - taken, out);
	session_close(s);
	return taken;
}

static void check_turns(struct support_model *m, struct known *k)
{
	float *out = mem_alloc((size_t)k->count * k->vocab, sizeof(*out));

	assert_non_null(out);
	const uint32_t first = converse(m, k, out);

	known_solve(k);
	check_same(k, out, first, "turns");
	mem_free(out);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void small_ways(struct known *k)
{
	check_ways(k, is_fast(k->isa) ? all_ways : few_ways);
}

static void small_neighbours(struct known *k)
{
	struct support_model m;

	support_model_open(&m, k->path, k->isa, 2, ROWS_MAX, ROWS_MAX);
	check_neighbours(&m, k, 2);
	if (is_fast(k->isa)) {
		check_neighbours(&m, k, 0);
		check_neighbours(&m, k, TOGETHER - 1);
	}
	support_model_close(&m);
}

static void small_turns(struct known *k)
{
	struct support_model m;

	support_model_open(&m, k->path, k->isa, 2, ROWS_MAX, ROWS_MAX);
	check_turns(&m, k);
	support_model_close(&m);
}

static const char *shape_name(const struct support_shape *shape)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s in %s", shape->arch,
		shape->type < CHIP_TYPES ? chip_type_name(shape->type) : "all types");
	return name;
}

/* These shapes on every instruction set, a model and what is known of it at a time. Many tokens
 * take too long where it is emulated: tests/chip/attend has its spans. */
static void each_shape(const struct small *shapes, size_t count, uint32_t tokens,
	void (*check)(struct known *))
{
	struct known k;

	for (const struct small *s = shapes; s < shapes + count; s++) {
		support_write_model(model_path, &s->shape, 5);
		for (const char *const *isa = support_isas(); *isa; isa++) {
			if (is_repeat(*isa, &s->shape, s->kv_type) ||
				(tokens > SMALL_TOKENS && support_isa_emulated(*isa)))
				continue;
			known_init(&k, shape_name(&s->shape), model_path, *isa, s->kv_type,
				tokens);
			check(&k);
			known_close(&k);
		}
	}
}

static void each_small(void (*check)(struct known *))
{
	each_shape(small_shapes, sizeof(small_shapes) / sizeof(*small_shapes), SMALL_TOKENS,
		check);
}

static void bits_do_not_depend_on_threads_chunks_or_pages(void **state)
{
	(void)state;
	each_small(small_ways);
}

static void bits_do_not_depend_on_neighbours_or_cancelled_ones(void **state)
{
	(void)state;
	each_small(small_neighbours);
}

static void bits_do_not_depend_on_the_split_into_turns(void **state)
{
	(void)state;
	each_small(small_turns);
}

static void long_sequence(struct known *k)
{
	struct support_model m;

	check_ways(k, few_ways);
	support_model_open(&m, k->path, k->isa, 2, ROWS_MAX, ROWS_MAX);
	check_neighbours(&m, k, 1);
	support_model_close(&m);
}

static void bits_hold_over_spans_of_keys_and_values_of_every_type(void **state)
{
	(void)state;
	each_shape(long_shapes, sizeof(long_shapes) / sizeof(*long_shapes), LONG_TOKENS,
		long_sequence);
}

/* Neighbours and turns where it is fast: small_shapes have them on all. */
static void check_golden(const char *name, const char *isa, enum chip_type kv_type)
{
	char relative[512], path[1024];
	struct support_model m;
	struct known k;

	snprintf(relative, sizeof(relative), "golden/%s", name);
	support_path(path, sizeof(path), relative);
	known_init(&k, name, path, isa, kv_type, GOLDEN_TOKENS);
	check_ways(&k, few_ways);
	if (is_fast(isa)) {
		support_model_open(&m, path, isa, 2, ROWS_MAX, ROWS_MAX);
		check_neighbours(&m, &k, 2);
		check_turns(&m, &k);
		support_model_close(&m);
	}
	known_close(&k);
}

static bool is_equal(const json_t *a, const json_t *b, const char *field)
{
	return json_equal(json_object_get(a, field), json_object_get(b, field));
}

/* One model of each base, number format and kind of file, and of those that are quantized, which
 * have logits of their own, each; the others differ in names. Every model has these tokens. */
static bool is_first(json_t *cases, size_t index)
{
	const json_t *one = json_array_get(cases, index);

	if (strcmp(json_string_value(json_object_get(one, "tokens")), "tokens/len7.txt") != 0)
		return false;
	for (size_t i = 0; i < index; i++) {
		const json_t *before = json_array_get(cases, i);

		if (is_equal(one, before, "logits") && is_equal(one, before, "dtype") &&
			is_equal(one, before, "format"))
			return false;
	}
	return true;
}

/* The next type of keys and values that heads of this size can have, from that one on. */
static enum chip_type kv_type_from(uint32_t wished, uint32_t head_dim)
{
	static const enum chip_type types[] = {CHIP_F32, CHIP_BF16, CHIP_F16, CHIP_Q8_0};

	return types[wished % 4] == CHIP_Q8_0 && head_dim % CHIP_KV_BLOCK ? types[0]
		: types[wished % 4];
}

static uint32_t golden_head_dim(const char *name)
{
	char relative[512], path[1024];
	struct err_info info = {0};
	struct model *m;

	snprintf(relative, sizeof(relative), "golden/%s", name);
	support_path(path, sizeof(path), relative);
	assert_int_equal(model_open(&m, path, &info), ERR_NONE);
	const uint32_t head_dim = model_config(m)->head_dim;

	model_close(m);
	return head_dim;
}

static void bits_hold_for_every_architecture_and_format(void **state)
{
	struct err_info info = {0};
	char path[1024];
	json_t *index, *one;
	uint32_t models = 0;
	size_t i;

	(void)state;
	support_path(path, sizeof(path), "golden/index.json");
	if (json_read_file(&index, path, &JSON_LIMITS_FILE, &info))
		fail_msg("%s", info.text);
	json_array_foreach(json_object_get(index, "cases"), i, one) {
		const char *name = json_string_value(json_object_get(one, "model"));

		if (!is_first(json_object_get(index, "cases"), i))
			continue;
		const enum chip_type kv_type = kv_type_from(models++, golden_head_dim(name));

		for (const char *const *isa = support_isas(); *isa; isa++)
			if (!support_isa_rounds(*isa) || kv_type == CHIP_BF16 ||
				json_object_get(one, "class_rounded"))
				check_golden(name, *isa, kv_type);
	}
	json_decref(index);
}

static void check_wide(const struct wide *wide, const char *isa)
{
	const bool best = is_best(isa, &wide->shape, wide->kv_type) && is_fast(isa);
	struct support_model m;
	struct known k;

	known_init(&k, shape_name(&wide->shape), model_path, isa, wide->kv_type, WIDE_TOKENS);
	check_ways(&k, best ? wide->ways : few_ways);
	if (best) {
		support_model_open(&m, model_path, isa, 2, ROWS_MAX, ROWS_MAX);
		check_neighbours(&m, &k, 2);
		check_turns(&m, &k);
		support_model_close(&m);
	}
	known_close(&k);
}

static void bits_hold_at_the_width_of_a_real_model_over_1100_tokens(void **state)
{
	(void)state;
	if (UNIT_SANITIZED)
		skip();  /* the small shapes take the same ways through the code */
	for (size_t i = 0; i < sizeof(wide_shapes) / sizeof(*wide_shapes); i++) {
		const struct wide *w = &wide_shapes[i];

		support_write_model(model_path, &w->shape, 7);
		for (const char *const *isa = support_isas(); *isa; isa++)
			if ((is_fast(*isa) || is_best(*isa, &w->shape, w->kv_type)) &&
				!is_repeat(*isa, &w->shape, w->kv_type))
				check_wide(w, *isa);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_do_not_depend_on_threads_chunks_or_pages),
		cmocka_unit_test(bits_do_not_depend_on_neighbours_or_cancelled_ones),
		cmocka_unit_test(bits_do_not_depend_on_the_split_into_turns),
		cmocka_unit_test(bits_hold_over_spans_of_keys_and_values_of_every_type),
		cmocka_unit_test(bits_hold_for_every_architecture_and_format),
		cmocka_unit_test(bits_hold_at_the_width_of_a_real_model_over_1100_tokens),
	};
	char dir[] = "/tmp/tongyun-identity-XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	snprintf(model_path, sizeof(model_path), "%s/model.gguf", dir);
	support_isas_note();
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(model_path);
	rmdir(dir);
	return failed;
}
