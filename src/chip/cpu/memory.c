/* chip/cpu/memory.c - memory of a chip: counted, limited, zeroed.
 *
 * What stays as long as a model is open lies one behind the other in large slabs. A matrix of some
 * megabytes alone would end in small pages, and one of less would have no others:
 *
 *	slab   | q | k | v | o | norm | gate | up    ...    |        |
 *	pages  | huge    | huge    | huge    |       ...    | not touched
 *
 * Nothing in a slab is used again before all of it is free.
 */
#include <assert.h>

#include "base/mem.h"
#include "chip/cpu/cpu.h"

#if defined(__SANITIZE_ADDRESS__)
#define ALONE 1   /* so that a read beyond the end is seen */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALONE 1
#endif
#endif

#ifdef ALONE
#define SLAB_BYTES ((size_t)1)
#else
#define SLAB_BYTES ((size_t)64 << 20)   /* at least; the huge pages of x86 have 2 MiB */
#endif

struct cpu_slab {
	uint8_t *memory;           /* NULL: nothing lives here, and the slab may be used again */
	size_t size, used;
	uint32_t live;             /* pieces that have not been given back */
	int64_t released;          /* bytes of the others: they count until the slab goes */
};

static enum err take(struct cpu_chip *chip, int64_t bytes, const char *what, struct err_info *info)
{
	assert(bytes >= 0);
	if (bytes > chip->memory_max - chip->memory_used)
		return err_set(info, ERR_MEMORY,
			"%s take %lld MiB, of %lld MiB for the chip %lld are used", what,
			(long long)(bytes >> 20), (long long)(chip->memory_max >> 20),
			(long long)(chip->memory_used >> 20));
	chip->memory_used += bytes;
	return ERR_NONE;
}

static void give_back(struct cpu_chip *chip, int64_t bytes)
{
	assert(bytes <= chip->memory_used);
	chip->memory_used -= bytes;
}

/* What was taken is given back when there is no memory for it. */
static enum err taken(struct cpu_chip *chip, const void *memory, int64_t bytes, const char *what,
	struct err_info *info)
{
	if (memory)
		return ERR_NONE;
	give_back(chip, bytes);
	return err_set(info, ERR_MEMORY, "no memory for %s (%lld MiB)", what,
		(long long)(bytes >> 20));
}

enum err cpu_reserve(struct cpu_chip *chip, void **out, int64_t bytes, const char *what,
	struct err_info *info)
{
	enum err err;

	*out = NULL;
	if ((err = take(chip, bytes, what, info)))
		return err;
	*out = mem_alloc_aligned(1, bytes ? (size_t)bytes : 1, CPU_ALIGN);
	return taken(chip, *out, bytes, what, info);
}

void cpu_release(struct cpu_chip *chip, void *memory, int64_t bytes)
{
	if (!memory)
		return;
	give_back(chip, bytes);
	mem_free(memory);
}

/* ---- slabs ----------------------------------------------------------------------------------- */

/* A place in the table: one that is free, or a new one; NULL without memory. */
static struct cpu_slab *slab_place(struct cpu_chip *chip)
{
	for (uint32_t i = 0; i < chip->slab_count; i++)
		if (!chip->slabs[i].memory)
			return &chip->slabs[i];
	struct cpu_slab *slabs = mem_resize(chip->slabs, chip->slab_count + 1, sizeof(*slabs));

	if (!slabs)
		return NULL;
	chip->slabs = slabs;
	chip->slabs[chip->slab_count] = (struct cpu_slab){0};
	return &chip->slabs[chip->slab_count++];
}

/* One that has room for so much: the last of those that have, or a new one. */
static struct cpu_slab *slab_with_room(struct cpu_chip *chip, size_t bytes)
{
	for (uint32_t i = chip->slab_count; i-- > 0;)
		if (chip->slabs[i].memory && bytes <= chip->slabs[i].size - chip->slabs[i].used)
			return &chip->slabs[i];
	struct cpu_slab *slab = slab_place(chip);

	if (!slab)
		return NULL;
	const size_t size = bytes > SLAB_BYTES ? bytes : SLAB_BYTES;

	*slab = (struct cpu_slab){.memory = mem_alloc_aligned(1, size, CPU_ALIGN), .size = size};
	return slab->memory ? slab : NULL;
}

static size_t slab_piece(int64_t bytes)
{
	return math_round_up(bytes ? (size_t)bytes : 1, CPU_ALIGN);
}

enum err cpu_reserve_piece(struct cpu_chip *chip, void **out, int64_t bytes, const char *what,
	struct err_info *info)
{
	enum err err;

	*out = NULL;
	if ((err = take(chip, bytes, what, info)))
		return err;
	struct cpu_slab *slab = slab_with_room(chip, slab_piece(bytes));

	if (slab) {
		*out = slab->memory + slab->used;
		slab->used += slab_piece(bytes);
		slab->live++;
	}
	return taken(chip, *out, bytes, what, info);
}

void cpu_release_piece(struct cpu_chip *chip, void *memory, int64_t bytes)
{
	const uintptr_t at = (uintptr_t)memory;
	uint32_t i = 0;

	if (!memory)
		return;
	while (i < chip->slab_count && at - (uintptr_t)chip->slabs[i].memory >= chip->slabs[i].used)
		i++;
	assert(i < chip->slab_count && chip->slabs[i].live > 0);
	chip->slabs[i].released += bytes;
	if (--chip->slabs[i].live > 0)
		return;
	give_back(chip, chip->slabs[i].released);
	mem_free(chip->slabs[i].memory);
	chip->slabs[i] = (struct cpu_slab){0};
}

void cpu_memory_close(struct cpu_chip *chip)
{
	assert(chip->memory_used == 0);
	mem_free(chip->slabs);
}
