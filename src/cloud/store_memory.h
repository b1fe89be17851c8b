/* cloud/store_memory.h - a store that remembers as long as the process lives, with injected
 * faults.
 *
 * Keeps every promise of store.h, so that the fleet can crash it and start again on what was
 * durable.
 *
 *	store_append  -->  group  -->  store_commit  -->  rows
 *	                   ^ lost by store_memory_crash   ^ kept
 */
#ifndef CLOUD_STORE_MEMORY_H
#define CLOUD_STORE_MEMORY_H

#include "cloud/store.h"

struct store_memory_config {
	uint32_t records_max;           /* of the core */
	uint32_t tenants_max;
	uint64_t seed;                  /* which commits fail */
};

enum err store_memory_open(struct store **out, const struct store_memory_config *config,
	struct err_info *info) MUST_CHECK;
/* So many of a million commits fail from now on: 0 none, 1,000,000 all. */
void store_memory_fail(struct store *s, uint32_t per_million);
/* The process dies: what was not durable is gone. It can be loaded and appended to
 * from sequence 1. */
void store_memory_crash(struct store *s);

#endif
