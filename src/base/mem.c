/* base/mem.c - see mem.h. */
#include "base/mem.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "base/math.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define PAGE_BYTES_MAX  ((size_t)64 << 10)  /* of any Linux; every page size divides it */

static struct fault mem_fault;

void *mem_alloc(size_t count, size_t size)
{
	size_t bytes;

	if (fault_hits(&mem_fault) || !math_mul_size(count, size, &bytes))
		return NULL;
	return calloc(1, bytes ? bytes : 1);
}

void *mem_resize(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (fault_hits(&mem_fault) || !math_mul_size(count, size, &bytes))
		return NULL;
	return realloc(block, bytes ? bytes : 1);
}

/* Whole pages are handed back to the kernel, which gives them zeroed when they are touched: a large
 * reservation costs nothing at start, and huge pages can still be had for it. */
static void zero_large(uint8_t *block, size_t bytes)
{
	const size_t whole = bytes & ~(PAGE_BYTES_MAX - 1);

	(void)madvise(block, bytes, MADV_HUGEPAGE);  /* a wish */
	if (madvise(block, whole, MADV_DONTNEED))
		memset(block, 0, bytes);
	else
		memset(block + whole, 0, bytes - whole);
}

void *mem_alloc_aligned(size_t count, size_t size, size_t align)
{
	void *block = NULL;
	size_t bytes;

	assert(align >= sizeof(void *) && (align & (align - 1)) == 0);
	if (fault_hits(&mem_fault) || !math_mul_size(count, size, &bytes))
		return NULL;
	const bool large = bytes >= HUGE_PAGE_BYTES;
	if (large && align < HUGE_PAGE_BYTES)
		align = HUGE_PAGE_BYTES;
	if (posix_memalign(&block, align, bytes ? bytes : 1))
		return NULL;
	if (large)
		zero_large(block, bytes);
	else
		memset(block, 0, bytes);
	return block;
}

void mem_free(void *block)
{
	free(block);
}

void mem_fail_after(int64_t n, int sticky)
{
	fault_arm(&mem_fault, n, sticky != 0);
}
