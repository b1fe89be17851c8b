/* engine/executor_chip.h - runs batches on a chip, in a thread of its own. */
#ifndef ENGINE_EXECUTOR_CHIP_H
#define ENGINE_EXECUTOR_CHIP_H

#include "engine/executor.h"

struct model;

struct executor_chip_config {
	uint32_t context_max;   /* 0: the model's, cut to what memory allows */
	uint32_t slots;         /* sequences at once */
	uint32_t rows_max;      /* rows of a batch: the token budget */
	int64_t cache_bytes;    /* for pages and states together; 0: by rule from free memory */
	uint32_t neighbours;    /* other models on this machine, which get caches by this rule */
};

/* model (and its chip) stay the caller's and must outlive it; requests are found by handle in
 * table. wake is set when a batch is finished. */
enum err executor_chip_open(struct executor **out, struct model *model,
	const struct request_table *table, const struct executor_chip_config *config,
	struct wake *wake, struct err_info *info) MUST_CHECK;

#endif
