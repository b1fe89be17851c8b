/* cloud/bucket.h - a token bucket: how much a tenant may still use right now.
 *
 * Pure: time comes in with each call, nothing reads a clock. Exact: the level is kept in grains,
 * sixty thousand million to the token, so that one nanosecond at a rate of one token a minute is
 * one grain, and no rate ever rounds.
 *
 *      -debt       0          level        capacity
 *      |- - - - - -|-----------|---------------|
 *                               + rate grains every nanosecond, until full
 */
#ifndef CLOUD_BUCKET_H
#define CLOUD_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_CAPACITY_MAX 100000000   /* tokens; in grains still below 2^63 */
#define BUCKET_RATE_MAX     1000000000  /* tokens per minute */
#define BUCKET_DEBT_MAX     50000000    /* tokens; with a full bucket still below 2^63 grains */

struct bucket {
	int64_t capacity_grains;
	int64_t level_grains;     /* at most capacity_grains; negative: in debt */
	int64_t rate_per_min;     /* tokens per minute = grains per nanosecond */
	int64_t refilled_ns;      /* level_grains is as of this time */
};

/* A full bucket at now_ns. */
void bucket_init(struct bucket *b, int64_t capacity_tokens, int64_t rate_per_min, int64_t now_ns);

/* Another size: what was used of the old one is used of the new one. A debt stays a debt, and a
 * smaller size makes none. */
void bucket_resize(struct bucket *b, int64_t capacity_tokens, int64_t rate_per_min, int64_t now_ns);

/* Takes tokens if they are all there, else nothing. */
bool bucket_take(struct bucket *b, int64_t tokens, int64_t now_ns);

/* Takes what has been promised already, there or not: then nothing can be taken until the debt is
 * paid. At most BUCKET_DEBT_MAX at once, and deeper than that no bucket sinks. */
void bucket_owe(struct bucket *b, int64_t tokens, int64_t now_ns);

/* Gives back what was taken and not used; what does not fit is lost. */
void bucket_give(struct bucket *b, int64_t tokens);

/* Nanoseconds until tokens will be there, for retry-after; INT64_MAX if they
 * exceed the capacity. */
int64_t bucket_wait_ns(const struct bucket *b, int64_t tokens, int64_t now_ns);

#endif
