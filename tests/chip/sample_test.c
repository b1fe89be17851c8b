/* tests/chip/sample_test.c - the next token: against a plain sampler that sorts everything, against
 * distributions that are known, and the same in every instruction set. */
#include "rig.h"

#include <math.h>

#include "test_data.h"

#define VOCAB_MAX 3000

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

static float scores[VOCAB_MAX], weights[VOCAB_MAX];
static uint64_t candidates[VOCAB_MAX];
static float maxima[2][VOCAB_MAX / CPU_MAXIMA + 1];
static const struct cpu_sampler scratch = {scores, weights, candidates, maxima[0], maxima[1]};

static const struct chip_sampling plain = {
	.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 12345};

/* What the sampler chooses in every instruction set, whoever finds the maxima. */
static uint32_t choose(const struct cpu_slot *slot, const uint16_t *counts, const uint32_t *mask,
	const float *logits, uint32_t vocab, uint32_t position)
{
	static float made[VOCAB_MAX / CPU_MAXIMA + 1];
	struct cpu_choice c = {slot, counts, mask, logits, NULL, vocab, position, CHIP_NONE};
	struct chip_logprobs logprobs = {0};
	bool finite = false;
	const uint32_t token = cpu_sample(&isas[0].kernels, &scratch, &c, &logprobs, &finite);

	for (uint32_t i = 0; i < 2 * isa_count; i++) {
		const struct cpu_kernels *kernels = &isas[i / 2].kernels;
		struct chip_logprobs other = {0};

		c.maxima = i % 2 ? made : NULL;
		if (c.maxima && !kernels->maxima(logits, vocab, made))
			made[0] = NAN;
		assert_int_equal(cpu_sample(kernels, &scratch, &c, &other, &finite), token);
		assert_memory_equal(&other, &logprobs, sizeof(other));
	}
	return token;
}

static uint32_t choose_by(const struct chip_sampling *s, const float *logits, uint32_t vocab,
	uint32_t position)
{
	const struct cpu_slot slot = {.sampling = *s};

	return choose(&slot, NULL, NULL, logits, vocab, position);
}

/* ---- greedy ---------------------------------------------------------------------------------- */

static void greedy_takes_the_largest_and_the_lower_id_among_equals(void **state)
{
	const float logits[] = {-1, 3, 2, 3, 9};
	struct chip_sampling s = plain;

	(void)state;
	s.temperature = 0;
	assert_int_equal(choose_by(&s, logits, 4, 0), 1);   /* 9 belongs to a padding row */
	assert_int_equal(choose_by(&s, logits, 5, 0), 4);
	s.top_k = 1;
	s.temperature = 1;
	assert_int_equal(choose_by(&s, logits, 4, 0), 1);
	s.top_k = 0;
	s.top_p = 0;
	assert_int_equal(choose_by(&s, logits, 4, 0), 1);
}

/* ---- against a sampler without shortcuts ----------------------------------------------------- */

struct entry {
	float score;
	uint32_t id;
	float weight;
};

static int by_score(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->id < y->id ? -1 : 1;
}

static double stripes_sum(const struct entry *entries, uint32_t count)
{
	double sums[16] = {0};

	for (uint32_t i = 0; i < count; i++)
		sums[i % 16] += (double)entries[i].weight;
	for (uint32_t half = 8; half > 0; half /= 2)
		for (uint32_t i = 0; i < half; i++)
			sums[i] += sums[i + half];
	return sums[0];
}

static uint32_t draw_of(const struct entry *entries, uint32_t count, double target)
{
	double sum = 0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < count; i++)
		if (entries[i].weight > 0) {
			sum += (double)entries[i].weight;
			last = i;
			if (sum > target)
				break;
		}
	return entries[last].id;
}

/* The definition of sample.c, step by step, sorting everything. */
static uint32_t plain_sampler(const struct chip_sampling *s, const float *logits, uint32_t vocab,
	uint32_t position)
{
	static struct entry entries[VOCAB_MAX];
	const double unit = (double)(prng_hash(s->seed, position) >> 11) * 0x1p-53;
	const bool filters = s->top_k || s->top_p < 1 || s->min_p > 0;
	uint32_t count = vocab, kept = 0;
	float largest = -INFINITY;
	double total = 0, sum = 0;

	for (uint32_t i = 0; i < vocab; i++) {
		entries[i] = (struct entry){logits[i] / s->temperature, i, 0};
		largest = entries[i].score > largest ? entries[i].score : largest;
	}
	for (uint32_t i = 0; i < vocab; i++)
		entries[i].weight = math_expf(entries[i].score - largest);
	total = stripes_sum(entries, vocab);
	if (!filters)
		return draw_of(entries, vocab, unit * total);
	qsort(entries, vocab, sizeof(entries[0]), by_score);
	if (s->top_k && s->top_k < count)
		count = s->top_k;
	for (uint32_t i = 0; s->top_k && i < count; i++)
		sum += (double)entries[i].weight;
	total = s->top_k ? sum : total;
	sum = 0;
	while (kept < count && (kept == 0 || ((s->top_p >= 1 || sum < (double)s->top_p * total) &&
		       entries[kept].weight >= s->min_p)))
		sum += (double)entries[kept++].weight;
	return draw_of(entries, kept, unit * sum);
}

static void shortcuts_choose_what_sorting_everything_chooses(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 4);
	for (uint32_t i = 0; i < 3000; i++) {
		static float logits[VOCAB_MAX];
		const uint32_t vocab = 1 + (uint32_t)prng_below(&p, i % 10 ? 60 : VOCAB_MAX);
		/* peaked, flat, far apart */
		const double spread = i % 7 ? 1 + prng_unit(&p) * 12 : 200;
		struct chip_sampling s = plain;

		for (uint32_t id = 0; id < vocab; id++)
			logits[id] = (float)(prng_below(&p, 4) ? (prng_unit(&p) - 0.5) * spread
				: (double)prng_below(&p, 4));   /* and equal ones */
		s.temperature = (float)(0.1 + prng_unit(&p) * 2);
		s.top_k = prng_below(&p, 2) ? 1 + (uint32_t)prng_below(&p, 70) : 0;
		s.top_p = prng_below(&p, 2) ? (float)prng_unit(&p) : 1;
		s.min_p = prng_below(&p, 3) ? 0 : (float)(prng_unit(&p) * 0.3);
		s.seed = prng_next(&p);
		const uint32_t position = (uint32_t)prng_below(&p, 1000);

		assert_int_equal(choose_by(&s, logits, vocab, position),
			plain_sampler(&s, logits, vocab, position));
	}
}

static void top_k_above_the_limit_means_everything(void **state)
{
	static float logits[VOCAB_MAX];
	struct chip_sampling s = plain, all = plain;

	(void)state;
	rig_fill(logits, VOCAB_MAX, 6);
	s.top_k = CHIP_CANDIDATES_MAX + 1;
	for (uint32_t position = 0; position < 50; position++)
		assert_int_equal(choose_by(&s, logits, VOCAB_MAX, position),
			choose_by(&all, logits, VOCAB_MAX, position));
}

static void min_p_keeps_what_is_as_likely_as_it_says(void **state)
{
	const float logits[] = {1, 4, 2, 4, 4};
	struct chip_sampling s = plain;
	uint32_t seen[5] = {0};

	(void)state;
	s.min_p = 1;
	for (uint32_t position = 0; position < 100; position++)
		seen[choose_by(&s, logits, 5, position)]++;
	assert_true(seen[1] > 0 && seen[3] > 0 && seen[4] > 0);
	assert_int_equal(seen[0] + seen[2], 0);
}

/* ---- distributions --------------------------------------------------------------------------- */

#define DRAWS 20000

/* Draws at many positions; each id must come as often as its probability says, within 5 sigma. */
static void assert_distribution(const struct cpu_slot *slot, const uint16_t *counts,
	const uint32_t *mask, const float *logits, const double *probabilities, uint32_t vocab)
{
	uint32_t seen[16] = {0};

	for (uint32_t position = 0; position < DRAWS; position++) {
		const struct cpu_choice c = {slot, counts, mask, logits, NULL, vocab, position,
			CHIP_NONE};
		struct chip_logprobs logprobs;
		bool finite;
		const uint32_t token = cpu_sample(&isas[0].kernels, &scratch, &c, &logprobs,
			&finite);

		assert_in_range(token, 0, vocab - 1);
		seen[token]++;
	}
	for (uint32_t id = 0; id < vocab; id++) {
		const double expected = probabilities[id] * DRAWS;
		const double sigma = sqrt(expected * (1 - probabilities[id]));

		rig_close_to("draws", (float)seen[id], expected, 5 * sigma + 1e-9);
	}
}

static void draws_follow_the_probabilities(void **state)
{
	const float logits[] = {logf(0.5F), logf(0.25F), logf(0.15F), logf(0.1F)};
	struct cpu_slot slot = {.sampling = plain};

	(void)state;
	assert_distribution(&slot, NULL, NULL, logits, (const double[]){0.5, 0.25, 0.15, 0.1}, 4);
	slot.sampling.temperature = 0.5F;   /* squares: .25 .0625 .0225 .01 of .345 */
	assert_distribution(&slot, NULL, NULL, logits,
		(const double[]){0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345}, 4);
	slot.sampling = plain;
	slot.sampling.top_k = 2;
	assert_distribution(&slot, NULL, NULL, logits,
		(const double[]){0.5 / 0.75, 0.25 / 0.75, 0, 0}, 4);
	slot.sampling = plain;
	slot.sampling.top_p = 0.8F;   /* 0.75 is not yet enough */
	assert_distribution(&slot, NULL, NULL, logits,
		(const double[]){0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0}, 4);
	slot.sampling = plain;
	slot.sampling.min_p = 0.28F;   /* of 0.5: 0.14 */
	assert_distribution(&slot, NULL, NULL, logits,
		(const double[]){0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0}, 4);
	slot.sampling = plain;
	slot.sampling.top_k = 3;      /* of 0.9: top_p counts from what top_k left */
	slot.sampling.top_p = 0.5F;
	assert_distribution(&slot, NULL, NULL, logits, (const double[]){1, 0, 0, 0}, 4);
}

static void masks_and_bans_leave_the_rest_in_proportion(void **state)
{
	const float logits[] = {logf(0.5F), logf(0.25F), logf(0.15F), logf(0.1F)};
	const uint32_t mask = 0xA;   /* 1 and 3 */
	struct cpu_slot slot = {.sampling = plain};

	(void)state;
	assert_distribution(&slot, NULL, &mask, logits,
		(const double[]){0, 0.25 / 0.35, 0, 0.1 / 0.35}, 4);
	slot.sampling.banned[0] = 1;
	slot.sampling.banned[1] = 99;   /* no such token: nothing happens */
	slot.sampling.banned_count = 2;
	slot.sampling.banned_until = DRAWS;
	assert_distribution(&slot, NULL, &mask, logits, (const double[]){0, 0, 0, 1}, 4);
	slot.sampling.banned_until = 0;
	assert_distribution(&slot, NULL, &mask, logits,
		(const double[]){0, 0.25 / 0.35, 0, 0.1 / 0.35}, 4);
}

static void a_ban_ends_at_its_position(void **state)
{
	const float logits[] = {1, 5};
	struct chip_sampling s = plain;

	(void)state;
	s.temperature = 0;
	s.banned[0] = 1;
	s.banned_count = 1;
	s.banned_until = 7;
	assert_int_equal(choose_by(&s, logits, 2, 6), 0);
	assert_int_equal(choose_by(&s, logits, 2, 7), 1);
}

static void penalties_count_prompt_and_answer_as_they_should(void **state)
{
	const float logits[] = {2, -1, 1, 0};
	/* Token 0 stands in the prompt, 1 in prompt and answer (3 times), 2 in
	 * the answer (once). */
	const uint16_t counts[] = {CPU_SLOT_PROMPT, CPU_SLOT_PROMPT | 3, 1, 0};
	struct cpu_slot slot = {.sampling = plain, .counts = true};
	double l[4], sum = 0;

	(void)state;
	slot.sampling.repetition_penalty = 1.25F;
	slot.sampling.presence_penalty = 0.25F;
	slot.sampling.frequency_penalty = 0.125F;
	l[0] = exp(2 / 1.25);
	l[1] = exp(-1 * 1.25 - 0.25 - 3 * 0.125);
	l[2] = exp(1 / 1.25 - 0.25 - 0.125);
	l[3] = exp(0);
	for (uint32_t i = 0; i < 4; i++)
		sum += l[i];
	for (uint32_t i = 0; i < 4; i++)
		l[i] /= sum;
	assert_distribution(&slot, counts, NULL, logits, l, 4);
}

/* ---- transformers' processors ---------------------------------------------------------------- */

#define CASE_VOCAB_MAX 64

/* A case of sampling.json. */
struct sampling_case {
	struct cpu_slot slot;
	struct chip_bias biases[CASE_VOCAB_MAX];
	uint16_t counts[CASE_VOCAB_MAX];
	float logits[CASE_VOCAB_MAX];
	double probabilities[CASE_VOCAB_MAX];
	uint32_t vocab;
	uint32_t kept;
};

static float setting(const json_t *settings, const char *name, double otherwise)
{
	const json_t *value = json_object_get(settings, name);

	return (float)(value ? json_number_value(value) : otherwise);
}

static void read_settings(struct sampling_case *c, const json_t *settings)
{
	json_t *bias;
	size_t i;

	c->slot = (struct cpu_slot){.counts = true, .sampling = {
		.temperature = setting(settings, "temperature", 1),
		.top_p = setting(settings, "top_p", 1),
		.min_p = setting(settings, "min_p", 0),
		.typical_p = setting(settings, "typical_p", 1),
		.top_k = (uint32_t)setting(settings, "top_k", 0),
		.repetition_penalty = setting(settings, "repetition_penalty", 1),
		.presence_penalty = setting(settings, "presence_penalty", 0),
		.frequency_penalty = setting(settings, "frequency_penalty", 0),
		.biases = c->biases,
		.seed = 99,
	}};
	json_array_foreach(json_object_get(settings, "logit_bias"), i, bias)
		c->biases[c->slot.sampling.bias_count++] = (struct chip_bias){
			(uint32_t)json_integer_value(json_array_get(bias, 0)),
			(float)json_number_value(json_array_get(bias, 1))};
}

static void read_case(struct sampling_case *c, const json_t *item)
{
	json_t *value;
	size_t i;

	*c = (struct sampling_case){0};
	read_settings(c, json_object_get(item, "settings"));
	json_array_foreach(json_object_get(item, "logits"), i, value)
		c->logits[c->vocab++] = (float)json_number_value(value);
	json_array_foreach(json_object_get(item, "prompt"), i, value)
		c->counts[json_integer_value(value)] = CPU_SLOT_PROMPT;
	json_array_foreach(json_object_get(item, "answer"), i, value)
		c->counts[json_integer_value(value)]++;
	json_array_foreach(json_object_get(item, "kept"), i, value)
		c->probabilities[json_integer_value(json_array_get(value, 0))] =
			json_number_value(json_array_get(value, 1));
	c->kept = (uint32_t)i;
}

/* Just these tokens may be drawn, as likely as transformers says. */
static void assert_left(const struct sampling_case *c, const struct rig_isa *isa)
{
	const struct cpu_choice choice = {&c->slot, c->counts, NULL, c->logits, NULL, c->vocab, 0,
		CHIP_NONE};
	const struct cpu_distribution d = cpu_distribution(&isa->kernels, &scratch, &choice);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d.count; i++) {
		const uint32_t id = d.ids ? (uint32_t)d.ids[i] : i;

		if (!(weights[i] > 0))
			continue;
		kept++;
		/* f32 against f64: an ulp of a score of 40 is 4e-6 of its weight; 3.7e-6 seen */
		rig_close_to("probability", weights[i] / (float)d.sum, c->probabilities[id],
			1e-5 * c->probabilities[id]);
	}
	assert_int_equal(kept, c->kept);
}

static void what_is_left_is_what_transformers_leaves(void **state)
{
	json_t *cases = test_read_json("data/sampling.json"), *item;
	struct sampling_case c;
	size_t i;

	(void)state;
	assert_true(json_array_size(cases) >= 150);
	json_array_foreach(cases, i, item) {
		read_case(&c, item);
		for (uint32_t isa = 0; isa < isa_count; isa++)
			assert_left(&c, &isas[isa]);
	}
	json_decref(cases);
}

/* Above it lies one in two million of what is drawn fairly (Wilson and Hilferty). */
static double chi_square_limit(double freedom)
{
	const double part = 2 / (9 * freedom);

	return freedom * pow(1 - part + 4.9 * sqrt(part), 3);
}

/* Tokens that are expected fewer than 5 times count together. */
static void assert_fair(const struct sampling_case *c, const uint32_t *seen, uint32_t draws)
{
	double chi_square = 0, few = 0, few_seen = 0;
	uint32_t groups = 0;

	for (uint32_t id = 0; id < c->vocab; id++) {
		const double expected = c->probabilities[id] * draws, away = seen[id] - expected;

		if (expected < 5) {
			few += expected;
			few_seen += seen[id];
		} else {
			chi_square += away * away / expected;
			groups++;
		}
		assert_true(c->probabilities[id] > 0 || seen[id] == 0);
	}
	if (few >= 5) {
		chi_square += (few_seen - few) * (few_seen - few) / few;
		groups++;
	}
	if (groups > 1 && chi_square > chi_square_limit(groups - 1))
		fail_msg("chi-square %.1f of %u groups", chi_square, groups);
}

static void what_is_drawn_is_as_frequent_as_transformers_says(void **state)
{
	json_t *cases = test_read_json("data/sampling.json"), *item;
	struct sampling_case c;
	uint32_t tested = 0;
	size_t i;

	(void)state;
	json_array_foreach(cases, i, item) {
		uint32_t seen[CASE_VOCAB_MAX] = {0};

		read_case(&c, item);
		if (c.kept < 3)
			continue;
		for (uint32_t position = 0; position < 2 * DRAWS; position++) {
			const struct cpu_choice choice = {&c.slot, c.counts, NULL, c.logits, NULL,
				c.vocab, position, CHIP_NONE};
			struct chip_logprobs logprobs;
			bool finite;

			seen[cpu_sample(&isas[0].kernels, &scratch, &choice, &logprobs,
				&finite)]++;
		}
		assert_fair(&c, seen, 2 * DRAWS);
		tested++;
	}
	assert_true(tested >= 60);
	json_decref(cases);
}

/* ---- edges ----------------------------------------------------------------------------------- */

static void nothing_allowed_and_numbers_that_are_none_give_no_token(void **state)
{
	float logits[] = {1, 2, 3};
	const uint32_t none = 0;
	const struct cpu_slot slot = {.sampling = plain};
	const struct cpu_choice forced = {&slot, NULL, NULL, logits, NULL, 3, 0, 2};
	struct chip_logprobs logprobs;
	bool finite;

	(void)state;
	assert_int_equal(choose(&slot, NULL, &none, logits, 3, 0), CHIP_NONE);
	logits[1] = NAN;
	assert_int_equal(cpu_sample(&isas[0].kernels, &scratch, &forced, &logprobs, &finite),
		CHIP_NONE);
	assert_false(finite);
	logits[1] = INFINITY;
	assert_int_equal(choose(&slot, NULL, NULL, logits, 3, 0), CHIP_NONE);
	/* beyond the vocabulary nobody looks */
	assert_int_equal(choose(&slot, NULL, NULL, logits, 1, 0), 0);
}

/* The edge lets none of these in; the sampler bears them all the same. */
static void scores_beyond_f32_choose_the_largest(void **state)
{
	static const float temperatures[] = {1e-3F, 1e-30F, 1.2e-38F, 1e-40F, 1e-45F};
	const float logits[] = {1, 3, 2, 3}, large[] = {1, 3e38F, 2e38F, -3e38F};

	(void)state;
	for (size_t i = 0; i < sizeof(temperatures) / sizeof(*temperatures); i++)
		for (uint32_t filter = 0; filter < 8; filter++) {
			struct chip_sampling s = plain;

			s.temperature = temperatures[i];
			s.top_k = filter & 1 ? 3 : 0;
			s.top_p = filter & 2 ? 0.9F : 1;
			s.min_p = filter & 4 ? 0.1F : 0;
			for (uint32_t position = 0; position < 20; position++) {
				assert_int_equal(choose_by(&s, logits, 3, position), 1);
				assert_int_equal(choose_by(&s, large, 4, position), 1);
			}
		}
}

static void logprobs_are_of_the_raw_logits(void **state)
{
	static float logits[VOCAB_MAX];
	uint16_t counts[VOCAB_MAX] = {[7] = 1};
	const struct chip_bias biases[] = {{7, -100}, {VOCAB_MAX, 100}};
	struct cpu_slot slot = {.sampling = plain, .counts = true};
	struct cpu_choice c = {&slot, counts, NULL, logits, NULL, VOCAB_MAX, 3, CHIP_NONE};
	struct chip_logprobs logprobs = {0};
	double sum = 0;
	bool finite;

	(void)state;
	rig_fill(logits, VOCAB_MAX, 8);
	for (uint32_t i = 0; i < VOCAB_MAX; i++)
		sum += exp((double)logits[i]);
	slot.sampling.temperature = 0.3F;
	slot.sampling.frequency_penalty = 1;
	slot.sampling.top_k = 5;
	slot.sampling.biases = biases;
	slot.sampling.bias_count = 2;
	slot.sampling.logprobs = true;
	for (uint32_t forced = 0; forced < 2; forced++) {
		c.forced = forced ? 7 : CHIP_NONE;   /* a token that is given has one too */
		const uint32_t token =
			cpu_sample(&isas[0].kernels, &scratch, &c, &logprobs, &finite);

		assert_true(!forced || token == 7);
		rig_close_to("logprob", logprobs.chosen, (double)logits[token] - log(sum), 1e-6);
		assert_int_equal(logprobs.top_count, 0);
	}
}

/* The first n of the whole order, with the logprobs that they would have had if chosen. */
static void the_likeliest_tokens_come_in_order(void **state)
{
	static float logits[VOCAB_MAX];
	struct cpu_slot slot = {.sampling = plain};
	struct prng p;

	(void)state;
	prng_init(&p, 12);
	slot.sampling.logprobs = true;
	for (uint32_t i = 0; i < 400; i++) {
		const uint32_t vocab = 1 + (uint32_t)prng_below(&p, i % 4 ? 40 : VOCAB_MAX);
		struct cpu_choice c = {&slot, NULL, NULL, logits, NULL, vocab, i, CHIP_NONE};
		const uint32_t wanted = (uint32_t)prng_below(&p, CHIP_TOP_LOGPROBS_MAX + 1);
		struct chip_logprobs logprobs = {0}, each = {0};
		bool finite;

		for (uint32_t id = 0; id < vocab; id++)
			logits[id] = (float)prng_below(&p, i % 3 ? 8 : 100000);   /* and equals */
		slot.sampling.top_logprobs = wanted;
		cpu_sample(&isas[0].kernels, &scratch, &c, &logprobs, &finite);
		assert_int_equal(logprobs.top_count, wanted < vocab ? wanted : vocab);
		for (uint32_t at = 0; at < logprobs.top_count; at++) {
			const uint32_t id = logprobs.top[at].token;
			uint32_t before = 0;

			for (uint32_t other = 0; other < vocab; other++)
				before += logits[other] > logits[id] ||
					(logits[other] == logits[id] && other < id);
			assert_int_equal(before, at);
			c.forced = id;
			cpu_sample(&isas[0].kernels, &scratch, &c, &each, &finite);
			assert_int_equal(math_f32_bits(each.chosen),
				math_f32_bits(logprobs.top[at].logprob));
		}
	}
}

static void a_forced_token_is_chosen_whatever_speaks_against_it(void **state)
{
	const float logits[] = {1, 2, 3};
	const uint32_t mask = 2;
	struct cpu_slot slot = {.sampling = plain};
	const struct cpu_choice c = {&slot, NULL, &mask, logits, NULL, 3, 0, 0};
	struct chip_logprobs logprobs;
	bool finite;

	(void)state;
	slot.sampling.banned_count = 1;
	slot.sampling.banned_until = 9;
	slot.sampling.top_k = 1;
	assert_int_equal(cpu_sample(&isas[0].kernels, &scratch, &c, &logprobs, &finite), 0);
}

static void known_seeds_give_known_tokens(void **state)
{
	/* Written down once: they must never change, on any machine. */
	static const uint32_t expected[] = {34, 48, 43, 27, 5, 27, 21, 5, 54, 32, 78, 81};
	float logits[100];
	struct chip_sampling s = plain;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		logits[i] = (float)((i * 37) % 100) / 16.0F;
	for (uint32_t position = 0; position < 12; position++) {
		s.seed = 42;
		s.temperature = 0.9F;
		s.top_p = position % 2 ? 0.9F : 1.0F;
		s.top_k = position % 3 ? 40 : 0;
		assert_int_equal(choose_by(&s, logits, 100, position), expected[position]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greedy_takes_the_largest_and_the_lower_id_among_equals),
		cmocka_unit_test(shortcuts_choose_what_sorting_everything_chooses),
		cmocka_unit_test(top_k_above_the_limit_means_everything),
		cmocka_unit_test(min_p_keeps_what_is_as_likely_as_it_says),
		cmocka_unit_test(draws_follow_the_probabilities),
		cmocka_unit_test(masks_and_bans_leave_the_rest_in_proportion),
		cmocka_unit_test(a_ban_ends_at_its_position),
		cmocka_unit_test(penalties_count_prompt_and_answer_as_they_should),
		cmocka_unit_test(what_is_left_is_what_transformers_leaves),
		cmocka_unit_test(what_is_drawn_is_as_frequent_as_transformers_says),
		cmocka_unit_test(nothing_allowed_and_numbers_that_are_none_give_no_token),
		cmocka_unit_test(scores_beyond_f32_choose_the_largest),
		cmocka_unit_test(logprobs_are_of_the_raw_logits),
		cmocka_unit_test(the_likeliest_tokens_come_in_order),
		cmocka_unit_test(a_forced_token_is_chosen_whatever_speaks_against_it),
		cmocka_unit_test(known_seeds_give_known_tokens),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
