/* engine/batch.h - what the scheduler asks of an executor in one step, and what comes back.
 *
 * Plain data. A batch names sequences by slot and requests by handle; it is owned by the core until
 * a RUN action gives it away, by the executor until DONE gives it back. Token values never pass
 * here: the executor writes them into the request's answer, the core sees counts.
 *
 *	items     | prefill slot 3, rows 0..511 | decode slot 1, row 97 | decode slot 7, row 12 |
 *	pages     | 5 9 2 ...                   | 11 4 8 1              | 3                      |
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#define BATCH_ITEMS_MAX 256
#define BATCH_PAGES_MAX 65536
#define BATCH_NONE      UINT32_MAX

struct batch_item {
	uint32_t request;       /* handle */
	uint32_t slot;
	uint32_t first_token;   /* index in prompt + answer of the first row */
	uint32_t row_count;
	bool open;              /* the slot starts this sequence here (again, after a preemption) */
	bool sample;            /* the last row gives a token */
	uint32_t first_page;    /* index into pages */
	uint32_t page_count;    /* enough for first_token + row_count tokens */
	uint32_t state_read;    /* BATCH_NONE: from zero, or the model has no states */
	uint32_t state_write;
};

enum batch_end {
	BATCH_END_NOT,          /* goes on */
	BATCH_END_STOP,         /* end-of-sequence token, or a stop string is complete */
	BATCH_END_LENGTH,       /* the answer has tokens_max of its request */
	BATCH_END_ERROR,        /* this sequence alone failed (logits not finite) */
};

struct batch_result {
	uint32_t token_count;   /* sampled for the item: 0 or 1; 0 when its sequence
				 * had ended before */
	enum batch_end end;
	uint64_t token_hash;    /* of the sampled tokens: for the journal */
};

struct batch {
	uint64_t id;            /* counts up */
	uint32_t model;         /* index of the pool */
	uint32_t item_count;
	uint32_t row_count;
	uint32_t page_count;
	struct batch_item items[BATCH_ITEMS_MAX];
	struct batch_result results[BATCH_ITEMS_MAX];   /* filled by the executor */
	bool failed;            /* the whole step failed; results say nothing */
	uint32_t pages[BATCH_PAGES_MAX];
};

#endif
