/* tests/cloud/price_test.c - amounts are exact, rounded once, and what is held is always enough. */
#include "unit.h"

#include "base/math.h"
#include "base/prng.h"
#include "cloud/price.h"

static int64_t amount(struct price p, int64_t input, int64_t cached, int64_t output)
{
	int64_t nano = -1;

	assert_true(price_amount(&p, &(struct price_tokens){input, cached, output}, &nano));
	return nano;
}

static void rounds_the_sum_of_all_kinds_once_and_half_up(void **state)
{
	const struct price p = {.input_nano = 400000, .cached_nano = 100000, .output_nano = 499999};

	(void)state;
	/* 0.4 + 0.499999: each alone would round to 0. */
	assert_int_equal(amount(p, 1, 0, 1), 1);
	assert_int_equal(amount(p, 1, 0, 0), 0);
	assert_int_equal(amount((struct price){.input_nano = 500000}, 1, 0, 0), 1);
	assert_int_equal(amount((struct price){.input_nano = 499999}, 1, 0, 0), 0);
	assert_int_equal(amount(p, 5, 5, 0), 1);    /* exactly a half */
	assert_int_equal(amount(p, 4, 4, 0), 0);
}

static void a_million_tokens_cost_the_price(void **state)
{
	const struct price p = {.input_nano = 123456789, .output_nano = PRICE_NANO_MAX};

	(void)state;
	assert_int_equal(amount(p, 1000000, 0, 0), 123456789);
	assert_int_equal(amount(p, 0, 0, 1000000), PRICE_NANO_MAX);
}

static void what_does_not_fit_is_told_and_not_wrapped(void **state)
{
	const struct price p = {PRICE_NANO_MAX, PRICE_NANO_MAX, PRICE_NANO_MAX, PRICE_NANO_MAX};
	const struct price_tokens all = {PRICE_TOKENS_MAX, 0, PRICE_TOKENS_MAX};
	const struct price_tokens most = {PRICE_TOKENS_MAX, 0, PRICE_TOKENS_MAX - 1};
	int64_t nano = 7;

	(void)state;
	assert_true(price_amount(&p, &most, &nano));
	assert_int_equal(nano, (2 * PRICE_TOKENS_MAX - 1) * (PRICE_NANO_MAX / 1000000));
	assert_true(price_amount(&p, &all, &nano));
	assert_int_equal(price_answer_covered(&p, 0, PRICE_TOKENS_MAX, INT64_MAX),
		PRICE_TOKENS_MAX);
	assert_false(price_valid(&(struct price){.input_nano = PRICE_NANO_MAX + 1}));
	assert_false(price_valid(&(struct price){.cached_nano = -1}));
}

static struct price random_price(struct prng *g)
{
	const uint64_t bound = (uint64_t)1 << (1 + prng_below(g, 40));

	return (struct price){
		.input_nano = (int64_t)prng_below(g, bound),
		.cached_nano = (int64_t)prng_below(g, bound),
		.output_nano = (int64_t)prng_below(g, bound),
	};
}

/* Whatever is cached, however the answer grew: no charge exceeds its hold. */
static void no_charge_exceeds_its_hold(void **state)
{
	struct prng g;

	(void)state;
	prng_init(&g, 1);
	for (int i = 0; i < 100000; i++) {
		const struct price p = random_price(&g);
		const int64_t prompt = 1 + (int64_t)prng_below(&g, 100000);
		const int64_t cached = (int64_t)prng_below(&g, (uint64_t)prompt + 1);
		const int64_t held_for = 1 + (int64_t)prng_below(&g, 100000);
		const int64_t answer = (int64_t)prng_below(&g, (uint64_t)held_for + 1);
		int64_t held;

		assert_true(price_hold(&p, prompt, held_for, &held));
		assert_true(amount(p, prompt, cached, answer) <= held);
	}
}

/* So many tokens can be held for, and not one more. */
static void covers_exactly_as_many_tokens_as_the_money_reaches(void **state)
{
	struct prng g;

	(void)state;
	prng_init(&g, 2);
	for (int i = 0; i < 100000; i++) {
		const struct price p = random_price(&g);
		const int64_t prompt = (int64_t)prng_below(&g, 1000);
		const int64_t nano = (int64_t)prng_below(&g, 100000000);
		const int64_t covered = price_answer_covered(&p, prompt, 5000, nano);
		int64_t held;

		assert_in_range(covered + 1, 0, 5001);
		if (covered >= 0) {
			assert_true(price_hold(&p, prompt, covered, &held));
			assert_true(held <= nano);
		}
		if (covered < 5000) {
			assert_true(price_hold(&p, prompt, covered + 1, &held));
			assert_true(covered < 0 || held > nano);
		}
	}
}

static void an_amount_is_the_nearest_integer_to_the_exact_one(void **state)
{
	struct prng g;

	(void)state;
	prng_init(&g, 3);
	for (int i = 0; i < 100000; i++) {
		const struct price p = random_price(&g);
		const int64_t input = (int64_t)prng_below(&g, 1000000);
		const int64_t output = (int64_t)prng_below(&g, 1000000);
		const math_i128 exact =
			(math_i128)input * p.input_nano + (math_i128)output * p.output_nano;
		const math_i128 difference =
			2 * ((math_i128)amount(p, input, 0, output) * 1000000 - exact);

		assert_true(difference > -1000000 && difference <= 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_the_sum_of_all_kinds_once_and_half_up),
		cmocka_unit_test(a_million_tokens_cost_the_price),
		cmocka_unit_test(what_does_not_fit_is_told_and_not_wrapped),
		cmocka_unit_test(no_charge_exceeds_its_hold),
		cmocka_unit_test(covers_exactly_as_many_tokens_as_the_money_reaches),
		cmocka_unit_test(an_amount_is_the_nearest_integer_to_the_exact_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
