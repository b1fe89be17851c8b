/* base/arena.h - memory that is given back all at once.
 *
 *	chunk            chunk            chunk
 *	|#####....|  ->  |########|  ->  |###.....|      # taken   . free
 *
 * An arena grows by chunks, from the heap or from a common pool, up to its limit. It is reset,
 * never freed piece by piece. Not thread-safe: one owner at a time; the pool is thread-safe.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

/* Equal chunks that many arenas share: the bound of what all requests together may use. */
struct arena_pool;

struct arena {
	struct arena_chunk *first;   /* newest chunk */
	struct arena_pool *pool;     /* NULL: chunks come from the heap */
	size_t chunk_bytes;
	size_t used_bytes;           /* of all chunks, headers included */
	size_t bytes_max;            /* full is an answer: arena_alloc returns NULL */
	bool starved;                /* it did although the limit allowed more: heap or
				      * pool had nothing */
};

/* chunks_max chunks of chunk_bytes, reserved at once; NULL if memory cannot be had. */
struct arena_pool *arena_pool_open(size_t chunks_max, size_t chunk_bytes);
size_t arena_pool_free_count(const struct arena_pool *pool);
/* All arenas on it must have been released. NULL is legal. */
void arena_pool_close(struct arena_pool *pool);

/* Takes nothing yet. A single allocation larger than a chunk of a pool fails. */
void arena_init(struct arena *a, size_t chunk_bytes, size_t bytes_max);
void arena_init_pooled(struct arena *a, struct arena_pool *pool, size_t bytes_max);

/* size zeroed bytes aligned for any type; NULL when the limit or the pool is reached. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((warn_unused_result));
/* count * size with overflow checked. */
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((warn_unused_result));
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((warn_unused_result));

/* Gives back all chunks but keeps the limits. */
void arena_reset(struct arena *a);

#endif
