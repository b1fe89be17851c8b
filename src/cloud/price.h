/* cloud/price.h - what tokens cost, exactly (rules.md 17, 20).
 *
 * A price is nano-units per million tokens of each kind. The amount is the exact sum of tokens x
 * price in 128 bits, divided by a million and rounded once, half up. So it never falls when tokens
 * grow, and an answer that used less than was held never costs more than was held.
 */
#ifndef CLOUD_PRICE_H
#define CLOUD_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "cloud/record.h"

#define PRICE_NANO_MAX      1000000000000000LL  /* a million units per million tokens */
#define PRICE_TOKENS_MAX    4294967295LL        /* of one kind in one request */

struct price {
	uint64_t version;       /* 0: none is set; all below are 0 */
	int64_t input_nano;
	int64_t cached_nano;
	int64_t output_nano;
};

/* Tokens of a request by kind; input includes cached. */
struct price_tokens {
	int64_t input;
	int64_t cached;
	int64_t output;
};

/* Version and amounts of a row, unchecked. */
struct price price_from_record(const struct record_price *row);
bool price_valid(const struct price *p);

/* false, and *amount_nano untouched, when it does not fit into 63 bits. */
bool price_amount(const struct price *p, const struct price_tokens *tokens, int64_t *amount_nano)
	__attribute__((warn_unused_result));

/* What must be held so that prompt and answer can be paid whatever turns out to be cached. */
bool price_hold(const struct price *p, int64_t prompt, int64_t answer, int64_t *amount_nano)
	__attribute__((warn_unused_result));

/* The most answer tokens, at most `most`, whose hold is at most nano; -1 when not even the
 * prompt is. */
int64_t price_answer_covered(const struct price *p, int64_t prompt, int64_t most, int64_t nano);

#endif
