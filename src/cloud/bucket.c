/* cloud/bucket.c - see bucket.h. */
#include "cloud/bucket.h"

#include <assert.h>

#include "base/math.h"
#include "base/units.h"

#define GRAINS_PER_TOKEN (60 * NS_PER_S)    /* nanoseconds in a minute */
#define DEBT_GRAINS      (-BUCKET_DEBT_MAX * GRAINS_PER_TOKEN)

static void bucket_refill(struct bucket *b, int64_t now_ns)
{
	const int64_t room_grains = b->capacity_grains - b->level_grains;
	const int64_t full_ns = room_grains / b->rate_per_min + 1;  /* caps the product below */

	assert(now_ns >= b->refilled_ns);
	const int64_t elapsed_ns = math_min_i64(now_ns - b->refilled_ns, full_ns);

	b->level_grains += math_min_i64(elapsed_ns * b->rate_per_min, room_grains);
	b->refilled_ns = now_ns;
	assert(b->level_grains >= DEBT_GRAINS && b->level_grains <= b->capacity_grains);
}

void bucket_init(struct bucket *b, int64_t capacity_tokens, int64_t rate_per_min, int64_t now_ns)
{
	assert(capacity_tokens > 0 && capacity_tokens <= BUCKET_CAPACITY_MAX);
	assert(rate_per_min > 0 && rate_per_min <= BUCKET_RATE_MAX);
	b->capacity_grains = capacity_tokens * GRAINS_PER_TOKEN;
	b->level_grains = b->capacity_grains;
	b->rate_per_min = rate_per_min;
	b->refilled_ns = now_ns;
}

void bucket_resize(struct bucket *b, int64_t capacity_tokens, int64_t rate_per_min, int64_t now_ns)
{
	bucket_refill(b, now_ns);
	const int64_t used_grains = b->capacity_grains - b->level_grains;
	const int64_t debt_grains = math_min_i64(b->level_grains, 0);

	bucket_init(b, capacity_tokens, rate_per_min, now_ns);
	b->level_grains = math_max_i64(b->capacity_grains - used_grains, debt_grains);
}

bool bucket_take(struct bucket *b, int64_t tokens, int64_t now_ns)
{
	assert(tokens >= 0 && tokens <= BUCKET_CAPACITY_MAX);
	bucket_refill(b, now_ns);
	if (tokens * GRAINS_PER_TOKEN > b->level_grains)
		return false;
	b->level_grains -= tokens * GRAINS_PER_TOKEN;
	return true;
}

void bucket_owe(struct bucket *b, int64_t tokens, int64_t now_ns)
{
	assert(tokens >= 0 && tokens <= BUCKET_DEBT_MAX);
	bucket_refill(b, now_ns);
	const int64_t room_grains = b->level_grains - DEBT_GRAINS;

	b->level_grains -= math_min_i64(tokens * GRAINS_PER_TOKEN, room_grains);
}

void bucket_give(struct bucket *b, int64_t tokens)
{
	assert(tokens >= 0 && tokens <= BUCKET_CAPACITY_MAX);
	b->level_grains += math_min_i64(tokens * GRAINS_PER_TOKEN,
		b->capacity_grains - b->level_grains);
}

int64_t bucket_wait_ns(const struct bucket *b, int64_t tokens, int64_t now_ns)
{
	struct bucket then = *b;

	assert(tokens >= 0 && tokens <= BUCKET_CAPACITY_MAX);
	bucket_refill(&then, now_ns);
	const int64_t missing_grains = tokens * GRAINS_PER_TOKEN - then.level_grains;

	if (tokens * GRAINS_PER_TOKEN > b->capacity_grains)
		return INT64_MAX;
	if (missing_grains <= 0)
		return 0;
	return (missing_grains + b->rate_per_min - 1) / b->rate_per_min;
}
