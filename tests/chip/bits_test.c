/* tests/chip/bits_test.c - numbers that never move: the logits of a token are the same bits
 * whatever shares its step, however its prompt was cut, whatever pages, slots and states it was
 * given and on any number of threads. */
#include "model_rig.h"

#define SEEDS          10
#define SEEDS_EMULATED 2    /* slow */
#define WIDTH          (MODEL_VOCAB - MODEL_PADDING)

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

/* Logits of every token of every sequence. */
struct answers {
	float logits[SEQUENCES_MAX][TOKENS_MAX][MODEL_VOCAB];
};

static const uint32_t lengths[SEQUENCES_MAX] = {97, 33, 1, 64};

static void place_apart(struct sequence *sequences, struct prng *p)
{
	uint32_t pages[MODEL_PAGES], slots[8], states[MODEL_STATES];

	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		pages[i] = i;
	for (uint32_t i = 0; i < 8; i++)
		slots[i] = states[i] = i;
	for (uint32_t i = MODEL_PAGES; p && i-- > 1;) {
		const uint32_t j = (uint32_t)prng_below(p, i + 1), page = pages[i];

		pages[i] = pages[j];
		pages[j] = page;
	}
	for (uint32_t i = 8; p && i-- > 1;) {
		const uint32_t j = (uint32_t)prng_below(p, i + 1), slot = slots[i],
			state = states[i];

		slots[i] = slots[j];
		slots[j] = slot;
		states[i] = states[7 - j];
		states[7 - j] = state;
	}
	for (uint32_t i = 0; i < SEQUENCES_MAX; i++) {
		memcpy(sequences[i].pages, pages + i * TABLE_PAGES, sizeof(sequences[i].pages));
		sequences[i].slot = slots[i];
		sequences[i].state = states[i];
	}
}

/* Runs a step and files the logits of its rows. */
static void run_step(struct rig *r, struct stepper *t, struct sequence **of, struct answers *out)
{
	static float logits[64 * MODEL_VOCAB];
	struct chip_output output = {.logits = logits};
	uint32_t row = 0;

	rig_run(r, &t->step, &output);
	assert_false(output.not_finite);
	for (uint32_t i = 0; i < t->step.sequence_count; i++) {
		const struct chip_sequence *q = &t->sequences[i];
		const uint32_t index = (uint32_t)(of[i] - of[SEQUENCES_MAX]);

		for (uint32_t j = 0; j < q->row_count; j++, row++)
			memcpy(out->logits[index][q->cached_tokens + j], logits + row * MODEL_VOCAB,
				MODEL_VOCAB * sizeof(float));
	}
}

/* One sequence after the other, one thread, as few steps as the program allows. */
static void run_alone(struct rig *r, struct sequence *sequences, struct answers *out)
{
	for (uint32_t i = 0; i < SEQUENCES_MAX; i++)
		while (sequences[i].done < sequences[i].count) {
			struct sequence *of[SEQUENCES_MAX + 1] = {&sequences[i],
				[SEQUENCES_MAX] = sequences};
			const uint32_t left = sequences[i].count - sequences[i].done;
			struct stepper t = {0};

			stepper_add(&t, &sequences[i], left < 64 ? left : 64, CHIP_WANT_LOGITS);
			run_step(r, &t, of, out);
		}
}

/* Steps of some of the sequences in random order, each by a random number of rows. */
static void run_together(struct rig *r, struct sequence *sequences, struct prng *p,
	struct answers *out)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < SEQUENCES_MAX; i++)
		left += sequences[i].count;
	while (left > 0) {
		struct sequence *of[SEQUENCES_MAX + 1] = {[SEQUENCES_MAX] = sequences};
		const uint32_t start = (uint32_t)prng_below(p, SEQUENCES_MAX);
		struct stepper t = {0};

		for (uint32_t i = 0; i < SEQUENCES_MAX; i++) {
			struct sequence *s = &sequences[(start + i) % SEQUENCES_MAX];
			const uint32_t room = (s->count - s->done) < 16 ? s->count - s->done : 16;
			const uint32_t count = (uint32_t)prng_below(p, room + 1);

			if (count == 0)
				continue;
			of[t.step.sequence_count] = s;
			stepper_add(&t, s, count, CHIP_WANT_LOGITS);
			left -= count;
		}
		if (t.step.row_count)
			run_step(r, &t, of, out);
	}
}

static void check_bits(const struct rig_isa *isa, uint64_t seed)
{
	static const uint32_t threads[] = {1, 2, 3, 5};
	static struct answers expected, got;
	const struct model_shape shape = model_shape_of(seed);
	struct sequence sequences[SEQUENCES_MAX];
	struct prng p;
	struct rig r;

	prng_init(&p, seed);
	for (uint32_t i = 0; i < SEQUENCES_MAX; i++)
		sequence_random(&sequences[i], lengths[i], seed * 100 + i);
	place_apart(sequences, NULL);
	model_open(&r, isa, 1, shape);
	run_alone(&r, sequences, &expected);
	rig_close(&r);
	for (uint32_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		memset(&got, 0, sizeof(got));
		model_open(&r, isa, threads[i], shape);
		/* on used pages and states as well */
		for (uint32_t again = 0; again < 2; again++) {
			for (uint32_t j = 0; j < SEQUENCES_MAX; j++)
				sequences[j].done = 0;
			place_apart(sequences, &p);
			run_together(&r, sequences, &p, &got);
		}
		rig_close(&r);
		for (uint32_t j = 0; j < SEQUENCES_MAX; j++)
			for (uint32_t k = 0; k < lengths[j]; k++)
				for (uint32_t id = 0; id < MODEL_VOCAB; id++)
					if (math_f32_bits(got.logits[j][k][id]) !=
					    math_f32_bits(expected.logits[j][k][id]))
						fail_msg("%s, %u threads, seed %llu: token %u of "
							"sequence %u, "
							"logit %u is %.9g, alone %.9g", isa->name,
							threads[i], (unsigned long long)seed, k, j,
							id,
							(double)got.logits[j][k][id],
							(double)expected.logits[j][k][id]);
	}
}

static void logits_do_not_depend_on_neighbours_cuts_places_or_threads(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		const bool emulated = strstr(isas[i].name, "emulated") != NULL;

		for (uint64_t seed = 1; seed <= (emulated ? SEEDS_EMULATED : SEEDS); seed++)
			check_bits(&isas[i], seed);
	}
}

/* ---- tokens that stay on the chip ------------------------------------------------------------ */

/* Greedy answers of two sequences, by steps that name no token: always one more in flight. */
static void decode(struct rig *r, struct sequence *sequences, uint32_t steps, uint32_t tokens[][2])
{
	struct stepper t[3];
	uint64_t tickets[3];

	for (uint32_t i = 0; i <= steps; i++) {
		if (i < steps) {
			struct stepper *next = &t[i % 3];

			memset(next, 0, sizeof(*next));
			for (uint32_t j = 0; j < 2; j++) {
				const uint32_t count = sequences[j].done ? 1 : sequences[j].count;
				const uint32_t last = next->step.row_count + count - 1;

				stepper_add(next, &sequences[j], count, CHIP_WANT_NOTHING);
				next->rows[last].want = CHIP_WANT_TOKEN;
				if (i > 0)
					next->rows[last].input = CHIP_INPUT_LAST;
			}
			rig_ok(chip_submit(r->chip, r->program, r->cache, &next->step, NULL,
				&tickets[i % 3], info));
		}
		if (i > 0) {
			struct chip_output output = {.tokens = tokens[i - 1]};

			rig_ok(chip_wait(r->chip, tickets[(i - 1) % 3], &output, info));
		}
	}
}

static void tokens_go_from_step_to_step_without_leaving_the_chip(void **state)
{
	const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		static float logits[64 * MODEL_VOCAB];
		struct sequence sequences[SEQUENCES_MAX];
		struct chip_output output = {.logits = logits};
		uint32_t tokens[20][2];
		struct stepper t = {0};
		struct rig r;

		model_open(&r, &isas[i], 2, model_shape_of(77));
		for (uint32_t j = 0; j < SEQUENCES_MAX; j++)
			sequence_random(&sequences[j], 5 + j, j);
		place_apart(sequences, NULL);
		for (uint32_t j = 0; j < 2; j++)
			chip_slot_open(r.chip, r.cache, sequences[j].slot, &greedy, NULL, 0, NULL,
				0);
		decode(&r, sequences, 20, tokens);
		/* The second one again, with its answer given to it: each next token is
		 * the largest logit. */
		for (uint32_t j = 0; j < 20; j++)
			sequences[1].tokens[6 + j] = tokens[j][1];
		sequences[1].done = 0;
		stepper_add(&t, &sequences[1], 25, CHIP_WANT_LOGITS);
		rig_run(&r, &t.step, &output);
		for (uint32_t j = 0; j < 20; j++)
			for (uint32_t id = 0; id < WIDTH; id++)
				assert_true(logits[(5 + j) * MODEL_VOCAB + id] <=
					logits[(5 + j) * MODEL_VOCAB + tokens[j][1]]);
		rig_close(&r);
	}
}

static void a_third_step_in_flight_is_refused(void **state)
{
	struct sequence s;
	struct stepper t[3] = {0};
	uint64_t tickets[3];
	struct chip_output output = {0};
	struct err_info info = {0};
	struct rig r;

	(void)state;
	sequence_random(&s, 3, 1);
	model_open(&r, &isas[0], 1, model_shape_of(1));
	for (uint32_t i = 0; i < 3; i++) {
		stepper_add(&t[i], &s, 1, CHIP_WANT_NOTHING);
		assert_int_equal(chip_submit(r.chip, r.program, r.cache, &t[i].step, NULL,
			&tickets[i], &info), i < CHIP_STEPS_MAX ? ERR_NONE : ERR_BUSY);
	}
	for (uint32_t i = 0; i < CHIP_STEPS_MAX; i++)
		assert_int_equal(chip_wait(r.chip, tickets[i], &output, &info), ERR_NONE);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_do_not_depend_on_neighbours_cuts_places_or_threads),
		cmocka_unit_test(tokens_go_from_step_to_step_without_leaving_the_chip),
		cmocka_unit_test(a_third_step_in_flight_is_refused),
	};

	isa_count = rig_isas(isas);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
