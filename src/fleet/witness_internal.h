/* fleet/witness_internal.h - between witness.c (requests, batches) and witness_money.c. */
#ifndef FLEET_WITNESS_INTERNAL_H
#define FLEET_WITNESS_INTERNAL_H

#include "fleet/witness.h"

#define WITNESS_NONE UINT32_MAX

/* The first contradiction stays. handle: WITNESS_NONE when it is of no request. */
void witness_wrong(struct witness *w, uint32_t handle, const char *what);

/* Tokens times price, rounded once, half up; by another formula than the core's. */
int64_t witness_amount(const struct record_price *price, int64_t input, int64_t cached,
	int64_t output);
/* The newest price of a model; zeros when it has none. */
void witness_price_find(const struct witness *w, const char *model, struct record_price *out);
void witness_price_put(struct witness *w, const struct record_price *price);

/* A record leaves for the store. */
void witness_record(struct witness *w, const struct record *record);
void witness_reply_check(struct witness *w, const struct witness_command *command,
	const struct core_reply *reply);
/* That a refusal for want of money, an end for want of money, is right. */
void witness_quota_check(struct witness *w, uint32_t handle);
void witness_length_check(struct witness *w, uint32_t handle);
/* Sums, credits, nothing negative that may not be. */
void witness_books_check(struct witness *w);
/* It had been settled durably when the process went; only its END was not told. */
void witness_billed_in_crash(struct witness *w, uint32_t handle);

#endif
