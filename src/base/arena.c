/* base/arena.c - see arena.h. The newest chunk is the one that is filled; a large allocation gets a
 * chunk of its own, put behind it. The pool is a stack of chunk numbers without a lock. */
#include "base/arena.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"

#define ALIGN_BYTES _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size_bytes;  /* header included */
	size_t used_bytes;  /* header included */
	_Alignas(max_align_t) uint8_t bytes[];
};

/* top holds the number of the first free chunk + 1 (0: none) and above it a count of changes, so
 * that a compare-and-swap sees that a chunk went and came back meanwhile. */
struct arena_pool {
	uint8_t *memory;
	_Atomic uint32_t *next;  /* [chunks], same form as the low half of top */
	size_t chunks;
	size_t chunk_bytes;
	_Atomic uint64_t top;
	_Atomic size_t free_count;
};

static size_t round_up(size_t size)
{
	return (size + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
}

static void pool_push(struct arena_pool *pool, struct arena_chunk *chunk)
{
	const size_t offset = (size_t)((uint8_t *)chunk - pool->memory);
	const uint32_t index = (uint32_t)(offset / pool->chunk_bytes);
	uint64_t top = atomic_load(&pool->top);
	uint64_t mine;

	assert(offset % pool->chunk_bytes == 0 && index < pool->chunks);
	do {
		atomic_store(&pool->next[index], (uint32_t)top);
		mine = ((top >> 32) + 1) << 32 | (index + 1);
	} while (!atomic_compare_exchange_weak(&pool->top, &top, mine));
	atomic_fetch_add(&pool->free_count, 1);
}

static struct arena_chunk *pool_pop(struct arena_pool *pool)
{
	uint64_t top = atomic_load(&pool->top);
	uint64_t mine;

	do {
		if ((uint32_t)top == 0)
			return NULL;
		mine = ((top >> 32) + 1) << 32 | atomic_load(&pool->next[(uint32_t)top - 1]);
	} while (!atomic_compare_exchange_weak(&pool->top, &top, mine));
	atomic_fetch_sub(&pool->free_count, 1);
	return (struct arena_chunk *)(void *)(pool->memory +
		((uint32_t)top - 1) * pool->chunk_bytes);
}

struct arena_pool *arena_pool_open(size_t chunks_max, size_t chunk_bytes)
{
	struct arena_pool *pool = mem_alloc(1, sizeof(*pool));

	assert(chunks_max > 0 && chunks_max < UINT32_MAX);
	assert(chunk_bytes > sizeof(struct arena_chunk));
	if (!pool)
		return NULL;
	pool->chunks = chunks_max;
	pool->chunk_bytes = round_up(chunk_bytes);
	pool->memory = mem_alloc_aligned(chunks_max, pool->chunk_bytes, 64);
	pool->next = mem_alloc(chunks_max, sizeof(*pool->next));
	if (!pool->memory || !pool->next) {
		mem_free(pool->memory);
		mem_free(pool->next);
		mem_free(pool);
		return NULL;
	}
	for (size_t i = chunks_max; i-- > 0;)
		pool_push(pool, (struct arena_chunk *)(void *)(pool->memory +
			i * pool->chunk_bytes));
	return pool;
}

size_t arena_pool_free_count(const struct arena_pool *pool)
{
	return atomic_load(&pool->free_count);
}

void arena_pool_close(struct arena_pool *pool)
{
	if (!pool)
		return;
	assert(arena_pool_free_count(pool) == pool->chunks);
	mem_free(pool->memory);
	mem_free(pool->next);
	mem_free(pool);
}

void arena_init(struct arena *a, size_t chunk_bytes, size_t bytes_max)
{
	assert(chunk_bytes > sizeof(struct arena_chunk));
	*a = (struct arena){.chunk_bytes = chunk_bytes, .bytes_max = bytes_max};
}

void arena_init_pooled(struct arena *a, struct arena_pool *pool, size_t bytes_max)
{
	assert(pool);
	*a = (struct arena){.pool = pool, .chunk_bytes = pool->chunk_bytes, .bytes_max = bytes_max};
}

/* A chunk for at least need bytes, header included, linked in; NULL at the limit. */
static struct arena_chunk *chunk_add(struct arena *a, size_t need)
{
	const size_t left = a->bytes_max > a->used_bytes ? a->bytes_max - a->used_bytes : 0;
	size_t size = need > a->chunk_bytes ? need : a->chunk_bytes;
	struct arena_chunk *chunk;

	if (!a->pool && size > left)
		size = need;  /* the last chunk may be a smaller one */
	if (size > left || (a->pool && size > a->chunk_bytes))
		return NULL;
	chunk = a->pool ? pool_pop(a->pool) : mem_alloc(1, size);
	a->starved = a->starved || !chunk;
	if (!chunk)
		return NULL;
	chunk->size_bytes = size;
	chunk->used_bytes = offsetof(struct arena_chunk, bytes);
	a->used_bytes += size;
	if (a->first && need > a->chunk_bytes) {
		chunk->next = a->first->next;
		a->first->next = chunk;
	} else {
		chunk->next = a->first;
		a->first = chunk;
	}
	return chunk;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *chunk = a->first;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = round_up(size ? size : 1);
	if (!chunk || chunk->size_bytes - chunk->used_bytes < size)
		chunk = chunk_add(a, offsetof(struct arena_chunk, bytes) + size);
	if (!chunk)
		return NULL;
	void *block = (uint8_t *)chunk + chunk->used_bytes;
	chunk->used_bytes += size;
	assert(chunk->used_bytes <= chunk->size_bytes);
	if (a->pool)  /* used before; a heap chunk comes zeroed */
		memset(block, 0, size);
	return block;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t bytes;

	return math_mul_size(count, size, &bytes) ? arena_alloc(a, bytes) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

	if (copy)
		memcpy(copy, s, n);
	return copy;
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *chunk = a->first;

	while (chunk) {
		struct arena_chunk *next = chunk->next;

		if (a->pool)
			pool_push(a->pool, chunk);
		else
			mem_free(chunk);
		chunk = next;
	}
	a->first = NULL;
	a->used_bytes = 0;
}
