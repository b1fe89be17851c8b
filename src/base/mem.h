/* base/mem.h - the heap, for start-up and for tests that make it fail.
 *
 * Everything that lives for the program's life comes from here; the hot path takes from arenas and
 * pools. Each call is a place where a test can inject a failure.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* count * size zeroed bytes, NULL when they cannot be had or the product overflows. */
void *mem_alloc(size_t count, size_t size) __attribute__((malloc, warn_unused_result));

/* Grows or shrinks to count * size bytes (new bytes undefined); NULL leaves the old
 * block as it was. */
void *mem_resize(void *block, size_t count, size_t size) __attribute__((warn_unused_result));

/* count * size zeroed bytes aligned to align (a power of two, at least sizeof(void *)); huge pages
 * are asked for from 2 MiB on. Released with mem_free. */
void *mem_alloc_aligned(size_t count, size_t size, size_t align)
	__attribute__((warn_unused_result));

void mem_free(void *block);

/* Tests only: the n-th allocation from now fails (1 is the next one), and every later one too when
 * sticky; 0 turns it off. Counts per process. */
void mem_fail_after(int64_t n, int sticky);

#endif
