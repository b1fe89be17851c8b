/* cloud/price.c - see price.h. */
#include "cloud/price.h"

#include <assert.h>

#include "base/math.h"

#define TOKENS_PER_PRICE 1000000

struct price price_from_record(const struct record_price *row)
{
	return (struct price){
		.version = row->version,
		.input_nano = row->input_nano,
		.cached_nano = row->cached_nano,
		.output_nano = row->output_nano,
	};
}

bool price_valid(const struct price *p)
{
	return p->input_nano >= 0 && p->input_nano <= PRICE_NANO_MAX && p->cached_nano >= 0 &&
		p->cached_nano <= PRICE_NANO_MAX && p->output_nano >= 0 &&
		p->output_nano <= PRICE_NANO_MAX;
}

static math_i128 exact_sum(const struct price *p, const struct price_tokens *t)
{
	assert(t->cached >= 0 && t->cached <= t->input && t->input <= PRICE_TOKENS_MAX);
	assert(t->output >= 0 && t->output <= PRICE_TOKENS_MAX);
	return (math_i128)(t->input - t->cached) * p->input_nano +
		(math_i128)t->cached * p->cached_nano + (math_i128)t->output * p->output_nano;
}

bool price_amount(const struct price *p, const struct price_tokens *tokens, int64_t *amount_nano)
{
	const math_i128 rounded = (exact_sum(p, tokens) + TOKENS_PER_PRICE / 2) / TOKENS_PER_PRICE;

	if (rounded > INT64_MAX)
		return false;
	*amount_nano = (int64_t)rounded;
	return true;
}

/* The dearer of the two, where someone made cached tokens dearer: a hold must cover both. */
static int64_t prompt_nano(const struct price *p)
{
	return p->cached_nano > p->input_nano ? p->cached_nano : p->input_nano;
}

bool price_hold(const struct price *p, int64_t prompt, int64_t answer, int64_t *amount_nano)
{
	const struct price dear = {.input_nano = prompt_nano(p), .output_nano = p->output_nano};

	return price_amount(&dear, &(struct price_tokens){.input = prompt, .output = answer},
		amount_nano);
}

int64_t price_answer_covered(const struct price *p, int64_t prompt, int64_t most, int64_t nano)
{
	assert(prompt >= 0 && prompt <= PRICE_TOKENS_MAX && most >= 0 && most <= PRICE_TOKENS_MAX);
	/* The largest exact sum that still rounds down to nano. */
	const math_i128 sum_max = (math_i128)nano * TOKENS_PER_PRICE + TOKENS_PER_PRICE / 2 - 1;
	const math_i128 left = sum_max - (math_i128)prompt * prompt_nano(p);

	if (nano < 0 || left < 0)
		return -1;
	if (p->output_nano == 0 || left / p->output_nano >= most)
		return most;
	return (int64_t)(left / p->output_nano);
}
