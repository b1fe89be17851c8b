/* model/bpe.c - see bpe.h. */
#include "model/bpe.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define RANK_NONE          UINT32_MAX
#define PROBES_MAX         1024  /* at half load a few do; more: somebody made the table collide */
#define PIECE_CAPACITY_MIN 64

struct bpe_slot {
	uint64_t pair;  /* left << 32 | right */
	uint32_t rank;  /* RANK_NONE: free */
};

static uint64_t pair_key(uint32_t left, uint32_t right)
{
	return (uint64_t)left << 32 | right;
}

/* The pair's slot, or the free one where it belongs; NULL when the probes run out. */
static struct bpe_slot *slot_find(const struct bpe *b, uint64_t pair)
{
	size_t at = (size_t)hash_mix(0, pair) & b->slot_mask;

	for (unsigned probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & b->slot_mask)
		if (b->slots[at].rank == RANK_NONE || b->slots[at].pair == pair)
			return &b->slots[at];
	return NULL;
}

static uint32_t pair_rank(const struct bpe *b, uint32_t left, uint32_t right)
{
	const struct bpe_slot *slot = slot_find(b, pair_key(left, right));

	return slot ? slot->rank : RANK_NONE;
}

static enum err bpe_allocate(struct bpe *b, size_t merge_count, struct err_info *info)
{
	size_t slot_count = 16;

	while (slot_count < merge_count * 2)
		slot_count *= 2;
	b->slots = mem_alloc(slot_count, sizeof(*b->slots));
	b->merged_ids = mem_alloc(merge_count + 1, sizeof(*b->merged_ids));
	if (!b->slots || !b->merged_ids)
		return err_set(info, ERR_MEMORY, "no memory for %zu merges", merge_count);
	b->slot_mask = slot_count - 1;
	for (size_t i = 0; i < slot_count; i++)
		b->slots[i].rank = RANK_NONE;
	return ERR_NONE;
}

enum err bpe_open(struct bpe *b, const uint32_t byte_ids[256], const struct bpe_merge *merges,
	size_t merge_count, struct err_info *info)
{
	enum err code;

	memset(b, 0, sizeof(*b));
	b->unk_id = BPE_ID_NONE;
	if (merge_count > BPE_MERGES_MAX)
		return err_set(
			info, ERR_LIMIT, "%zu merges, at most %zu", merge_count, BPE_MERGES_MAX);
	if ((code = bpe_allocate(b, merge_count, info)))
		goto failed;
	memcpy(b->byte_ids, byte_ids, sizeof(b->byte_ids));
	for (size_t rank = 0; rank < merge_count; rank++) {
		const uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
		struct bpe_slot *slot = slot_find(b, pair);

		if (!slot) {
			code = err_set(info, ERR_INPUT, "merge %zu: too many merges collide", rank);
			goto failed;
		}
		slot->pair = pair;
		slot->rank = (uint32_t)rank;
		b->merged_ids[rank] = merges[rank].id;
	}
	b->merge_count = merge_count;
	return ERR_NONE;
failed:
	bpe_close(b);
	return code;
}

void bpe_close(struct bpe *b)
{
	if (!b)
		return;
	mem_free(b->slots);
	mem_free(b->merged_ids);
	memset(b, 0, sizeof(*b));
}

enum err bpe_work_reserve(struct bpe_work *work, struct arena *arena, size_t size,
	struct err_info *info)
{
	size_t capacity = work->piece_capacity * 2;

	assert(size > 0 && size <= BPE_PIECE_BYTES_MAX);
	if (size <= work->piece_capacity)
		return ERR_NONE;
	if (capacity < PIECE_CAPACITY_MIN)
		capacity = PIECE_CAPACITY_MIN;
	if (capacity < size)
		capacity = size;
	if (capacity > BPE_PIECE_BYTES_MAX)
		capacity = BPE_PIECE_BYTES_MAX;
	work->piece_capacity = 0;
	work->heap_capacity = capacity + capacity / 2 + 2;
	work->ids = arena_array(arena, capacity, sizeof(*work->ids));
	work->lengths = arena_array(arena, capacity, sizeof(*work->lengths));
	work->ranks = arena_array(arena, capacity, sizeof(*work->ranks));
	work->heap = arena_array(arena, work->heap_capacity, sizeof(*work->heap));
	if (!work->ids || !work->lengths || !work->ranks || !work->heap)
		return err_set(info, ERR_LIMIT, "no room to tokenize a word of %zu bytes", size);
	work->piece_capacity = capacity;
	return ERR_NONE;
}

/* Moves the entry at index down to where it belongs. */
static void heap_sink(struct bpe_work *work, size_t at)
{
	const uint64_t entry = work->heap[at];

	for (size_t child; (child = 2 * at + 1) < work->heap_count; at = child) {
		if (child + 1 < work->heap_count && work->heap[child + 1] < work->heap[child])
			child++;
		if (entry <= work->heap[child])
			break;
		work->heap[at] = work->heap[child];
		work->steps++;
	}
	work->heap[at] = entry;
}

static void heap_order(struct bpe_work *work)
{
	for (size_t at = work->heap_count / 2; at-- > 0;)
		heap_sink(work, at);
}

static bool entry_holds(const struct bpe_work *work, uint64_t entry)
{
	return work->ranks[(uint32_t)entry] == (uint32_t)(entry >> 32);
}

/* Drops the entries that no longer hold: at most one a symbol is left, so half a piece of room. */
static void heap_sweep(struct bpe_work *work)
{
	size_t kept = 0;

	for (size_t i = 0; i < work->heap_count; i++)
		if (entry_holds(work, work->heap[i]))
			work->heap[kept++] = work->heap[i];
	work->steps += work->heap_count;
	assert(kept < work->heap_capacity);
	work->heap_count = kept;
	heap_order(work);
}

static void heap_push(struct bpe_work *work, uint64_t entry)
{
	size_t at;

	if (work->heap_count == work->heap_capacity)
		heap_sweep(work);
	at = work->heap_count++;
	for (size_t parent; at > 0 && work->heap[parent = (at - 1) / 2] > entry; at = parent) {
		work->heap[at] = work->heap[parent];
		work->steps++;
	}
	work->heap[at] = entry;
}

static uint64_t heap_pop(struct bpe_work *work)
{
	assert(work->heap_count > 0);
	const uint64_t top = work->heap[0];

	work->heap[0] = work->heap[--work->heap_count];
	if (work->heap_count > 0)
		heap_sink(work, 0);
	work->steps++;
	return top;
}

/* Looks up the pair of the symbols at left and right anew and makes it a candidate. */
static void pair_offer(const struct bpe *b, struct bpe_work *work, size_t left, size_t right)
{
	const uint32_t rank = pair_rank(b, work->ids[left], work->ids[right]);

	if (rank == work->ranks[left])
		return;  /* its entry is there already */
	work->ranks[left] = rank;
	if (rank != RANK_NONE)
		heap_push(work, (uint64_t)rank << 32 | left);
}

/* Joins the symbol at left with the one after it, of a piece of so many places. */
static void pair_merge(const struct bpe *b, struct bpe_work *work, size_t left, size_t places)
{
	const size_t right = left + work->lengths[left];
	const uint32_t length = work->lengths[left] + work->lengths[right];
	const size_t after = left + length;

	work->ids[left] = b->merged_ids[work->ranks[left]];
	work->ranks[left] = RANK_NONE;
	work->ranks[right] = RANK_NONE;
	work->lengths[left] = length;
	work->lengths[after - 1] = length;
	if (left > 0)
		pair_offer(b, work, left - work->lengths[left - 1], left);
	if (after < places)
		pair_offer(b, work, left, after);
}

/* The symbols that the piece begins as, and their pairs; returns how many. */
static size_t symbols_init(const struct bpe *b, struct bpe_work *work, const char *piece,
	size_t size)
{
	size_t count = 0;
	bool was_unknown = false;

	for (size_t i = 0; i < size; i++) {
		uint32_t id = b->byte_ids[(unsigned char)piece[i]];
		const bool unknown = id == BPE_ID_NONE;

		if (unknown)
			id = was_unknown && b->fuse_unk ? BPE_ID_NONE : b->unk_id;
		was_unknown = unknown;
		if (id == BPE_ID_NONE)
			continue;
		work->ids[count] = id;
		work->lengths[count] = 1;
		work->ranks[count++] = RANK_NONE;
	}
	work->heap_count = 0;
	for (size_t i = 0; i + 1 < count; i++) {
		work->ranks[i] = pair_rank(b, work->ids[i], work->ids[i + 1]);
		if (work->ranks[i] != RANK_NONE)
			work->heap[work->heap_count++] = (uint64_t)work->ranks[i] << 32 | i;
	}
	heap_order(work);
	return count;
}

size_t bpe_encode(const struct bpe *b, struct bpe_work *work, const char *piece, size_t size)
{
	size_t count = 0;

	assert(size > 0 && size <= work->piece_capacity);
	const size_t places = symbols_init(b, work, piece, size);
	while (work->heap_count > 0) {
		const uint64_t entry = heap_pop(work);

		if (entry_holds(work, entry))
			pair_merge(b, work, (uint32_t)entry, places);
	}
	for (size_t at = 0; at < places; at += work->lengths[at])
		work->ids[count++] = work->ids[at];
	return count;
}
