/* tests/engine/identity_test.c - numbers that never move: on one instruction set the logits of a
 * sequence have the same bits whatever the threads, chunks, neighbours, pages and turns. */
#include "engine/support.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "model/config.h"

static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

static const struct support_shape small_shapes[] = {
	{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_F32},
	{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_BF16},
	{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_F16},
	{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_Q8_0},
	{"qwen3", 96, 3, 160, 320, 6, 2, 32, 32, 0, 0, 0, 0, CHIP_Q4_0},
	{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_F32},
	{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_BF16},
	{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_Q8_0},
	{"qwen35", 96, 4, 160, 320, 3, 1, 64, 16, 2, 4, 32, 4, CHIP_Q4_0},
};

/* One layer of each architecture at the width of Qwen3-0.6B and Qwen3.5-0.8B. */
static const struct support_shape wide_shapes[] = {
	{"qwen3", 1024, 1, 3072, 320, 16, 8, 128, 128, 0, 0, 0, 0, CHIP_Q8_0},
	{"qwen35", 1024, 2, 3584, 320, 8, 2, 256, 64, 16, 16, 128, 2, CHIP_Q8_0},
};

static char model_path[64];

static void random_tokens(uint32_t *tokens, uint32_t count, uint64_t seed)
{
	struct prng prng;

	prng_init(&prng, seed);
	for (uint32_t i = 0; i < count; i++)
		tokens[i] = (uint32_t)prng_below(&prng, 256);
}

static void check_same(const float *got, const float *expected, size_t count, const char *what,
	const char *isa, const struct support_shape *shape)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(&got[i], &expected[i], sizeof(*got)) != 0)
			fail_msg("%s type %d on %s: %s: value %zu is %a, not %a", shape->arch,
				(int)shape->type, isa, what, i, (double)got[i],
				(double)expected[i]);
}

struct way {
	uint32_t threads;
	uint32_t chunk;
};

/* The same tokens in other ways, and with pages in other orders; ways with the same
 * threads stand together. */
static void check_ways(const struct support_shape *shape, const char *isa, uint32_t count,
	const struct way *ways, uint32_t way_count)
{
	uint32_t *tokens = mem_alloc(count, sizeof(*tokens));
	float *expected = NULL;
	struct support_model m;

	random_tokens(tokens, count, 11);
	for (uint32_t w = 0; w < way_count; w++) {
		const struct session_options options = {.sequences = 1, .context_max = count,
			.chunk = ways[w].chunk,
			.kv_type = CHIP_F16, .page_seed = w};
		char what[64];

		if (w == 0 || ways[w].threads != ways[w - 1].threads)
			support_model_open(&m, model_path, isa, ways[w].threads, 512, 512);
		float *logits = support_logits(&m, &options, tokens, count);

		snprintf(what, sizeof(what), "threads %u, chunk %u", ways[w].threads,
			ways[w].chunk);
		if (expected) {
			check_same(logits, expected, (size_t)count * model_config(m.model)->vocab,
				what, isa, shape);
			mem_free(logits);
		} else {
			expected = logits;
		}
		if (w + 1 == way_count || ways[w].threads != ways[w + 1].threads)
			support_model_close(&m);
	}
	mem_free(expected);
	mem_free(tokens);
}

#define TOGETHER 5

/* Rows of logits of one sequence per step: the last position of each prefill, then decode. */
static void take_logits(float *to, const struct chip_output *output, uint32_t wanted,
	uint32_t vocab)
{
	memcpy(to, output->logits + (size_t)wanted * vocab, vocab * sizeof(float));
}

/* Decodes sequence `keep` for `steps` steps, alone or among neighbours of other lengths, one of
 * which is cancelled. */
static void decode_among(struct support_model *m, bool alone, uint32_t keep, uint32_t steps,
	float *out)
{
	const uint32_t vocab = model_config(m->model)->vocab;
	const struct session_options options = {.sequences = TOGETHER, .context_max = 256,
		.kv_type = CHIP_F16,
		.page_seed = alone ? 0 : 99};
	float *logits = mem_alloc((size_t)TOGETHER * vocab, sizeof(*logits));
	struct chip_output output = {.logits = logits};
	uint32_t prompts[TOGETHER][64];
	struct err_info info = {0};
	struct session *s;

	assert_int_equal(session_open(&s, m->model, &options, &info), ERR_NONE);
	for (uint32_t i = 0; i < TOGETHER; i++) {
		random_tokens(prompts[i], 64, 100 + i);
		session_start(s, i, &greedy, prompts[i], 1);
	}
	for (uint32_t step = 0; step < steps; step++) {
		struct session_item items[TOGETHER];
		uint32_t count = 0, wanted = 0;

		for (uint32_t i = 0; i < TOGETHER; i++) {
			const bool cancelled = i == 1 && step > steps / 2;

			if ((alone && i != keep) || cancelled)
				continue;
			if (i == keep)
				wanted = count;
			/* step 0: prompts of different lengths; then one given token a step */
			items[count++] = (struct session_item){.sequence = i,
				.tokens = step == 0 ? prompts[i] : &prompts[i][20 + step],
				.token_count = step == 0 ? 3 + 4 * i : 1,
				.want = CHIP_WANT_LOGITS};
		}
		assert_int_equal(session_step(s, items, count, &output, &info), ERR_NONE);
		take_logits(out + (size_t)step * vocab, &output, wanted, vocab);
	}
	session_close(s);
	mem_free(logits);
}

static void check_neighbours(const struct support_shape *shape, const char *isa)
{
	enum { STEPS = 20 };
	struct support_model m;

	support_model_open(&m, model_path, isa, 2, 64, TOGETHER);
	const size_t values = (size_t)STEPS * model_config(m.model)->vocab;
	float *alone = mem_alloc(values, sizeof(*alone));
	float *together = mem_alloc(values, sizeof(*together));

	for (uint32_t keep = 0; keep < TOGETHER; keep += 2) {
		decode_among(&m, true, keep, STEPS, alone);
		decode_among(&m, false, keep, STEPS, together);
		check_same(together, alone, values, "neighbours", isa, shape);
	}
	mem_free(alone);
	mem_free(together);
	support_model_close(&m);
}

static void bits_do_not_depend_on_threads_chunks_or_pages(void **state)
{
	static const struct way ways[] = {{1, 64}, {1, 1}, {1, 7}, {2, 1}, {2, 7}, {2, 64}, {3, 7},
		{3, 64}, {5, 7}};

	(void)state;
	for (size_t i = 0; i < sizeof(small_shapes) / sizeof(*small_shapes); i++) {
		support_write_model(model_path, &small_shapes[i], 5);
		for (const char *const *isa = support_isas(); *isa; isa++)
			check_ways(&small_shapes[i], *isa, 131, ways, sizeof(ways) / sizeof(*ways));
	}
}

static void bits_do_not_depend_on_neighbours_or_cancelled_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(small_shapes) / sizeof(*small_shapes); i++) {
		support_write_model(model_path, &small_shapes[i], 6);
		for (const char *const *isa = support_isas(); *isa; isa++)
			check_neighbours(&small_shapes[i], *isa);
	}
}

static void bits_hold_at_the_width_of_a_real_model_over_1100_tokens(void **state)
{
	static const struct way ways[] = {{1, 512}, {1, 64}, {1, 7}, {1, 1}, {2, 1}, {2, 64},
		{3, 7}, {5, 512}};

	(void)state;
	if (UNIT_SANITIZED)
		skip();  /* the small shapes take the same ways through the code */
	for (size_t i = 0; i < sizeof(wide_shapes) / sizeof(*wide_shapes); i++) {
		support_write_model(model_path, &wide_shapes[i], 7);
		for (const char *const *isa = support_isas(); *isa; isa++)
			if ((strcmp(*isa, "ref") != 0 || !support_isas()[1]) &&
				!support_isa_emulated(*isa))
				check_ways(&wide_shapes[i], *isa, 1100, ways,
				sizeof(ways) / sizeof(*ways));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_do_not_depend_on_threads_chunks_or_pages),
		cmocka_unit_test(bits_do_not_depend_on_neighbours_or_cancelled_ones),
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
