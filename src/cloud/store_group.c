/* cloud/store_group.c - see store_group.h. */
#include "cloud/store_group.h"

#include <assert.h>

#include "base/mem.h"

enum err store_group_open(struct store_group *g, uint32_t records_max, struct err_info *info)
{
	*g = (struct store_group){.capacity = records_max, .begin = 1, .end = 1};
	g->records = mem_alloc(records_max, sizeof(*g->records));
	g->replaced = mem_alloc(records_max, sizeof(*g->replaced));
	if (g->records && g->replaced)
		return ERR_NONE;
	store_group_close(g);
	return err_set(info, ERR_MEMORY, "store: no memory for %u records", records_max);
}

void store_group_close(struct store_group *g)
{
	mem_free(g->records);
	mem_free(g->replaced);
	*g = (struct store_group){0};
}

static void replace(struct store_group *g, uint64_t sequence)
{
	assert(sequence >= g->begin && sequence < g->end);
	g->replaced[sequence % g->capacity] = true;
}

void store_group_append(struct store_group *g, const struct record *record)
{
	if (record->kind == RECORD_RETRY) {
		g->halted = false;
		return;
	}
	assert(record->sequence == g->end && g->end - g->begin < g->capacity);
	if (record->replaces != 0)
		replace(g, record->replaces);
	g->records[g->end % g->capacity] = *record;
	g->replaced[g->end % g->capacity] = false;
	g->end++;
}

bool store_group_ready(const struct store_group *g)
{
	return !g->halted && g->begin < g->end;
}

const struct record *store_group_at(const struct store_group *g, uint64_t sequence)
{
	assert(sequence >= g->begin && sequence < g->end);
	return g->replaced[sequence % g->capacity] ? NULL : &g->records[sequence % g->capacity];
}

uint64_t store_group_committed(struct store_group *g)
{
	assert(!g->halted);
	g->begin = g->end;
	return g->end - 1;
}

void store_group_failed(struct store_group *g)
{
	g->halted = true;
}
