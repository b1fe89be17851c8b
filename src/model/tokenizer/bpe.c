/* model/tokenizer/bpe.c - see bpe.h. */
#include "model/tokenizer/bpe.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define RANK_NONE            UINT32_MAX
#define PROBES_MAX           1024  /* a few do; more: somebody made the table collide */
#define PIECE_CAPACITY_MIN   64
#define TABLE_ALIGN          64    /* a line of memory */
#define FILTER_BITS_PER_SLOT 4
#define BYTE_PAIRS           ((size_t)1 << 16)
#define SHORT_SYMBOLS_MAX    24    /* beyond, the heap is as fast; English, Chinese */

/* A slot is a pair and its rank in one number, so that a look costs one load:
 *
 *	left 20 bits | right 20 bits | rank 22 bits, RANK_FREE in a free one
 */
static_assert(BPE_IDS_MAX == (size_t)1 << 20 && BPE_MERGES_MAX < (size_t)1 << 22, "they fit");
#define ID_BITS   20
#define RANK_BITS 22
#define RANK_FREE (((uint64_t)1 << RANK_BITS) - 1)

static uint64_t pair_key(uint32_t left, uint32_t right)
{
	return (uint64_t)left << ID_BITS | right;
}

static uint64_t pair_hash(uint64_t pair)
{
	return (pair ^ pair >> 17) * 0x9E3779B97F4A7C15ULL;
}

/* The pair's bit in the filter: the higher bits of its hash, where the slot has the lower ones. */
static size_t filter_bit(const struct bpe *b, uint64_t hash)
{
	const size_t bits = (b->slot_mask + 1) * FILTER_BITS_PER_SLOT;

	return (size_t)(hash >> 40) & (bits - 1);
}

/* The pair's slot, or the free one where it belongs; NULL when the probes run out. */
static uint64_t *slot_find(const struct bpe *b, uint64_t pair, uint64_t hash)
{
	size_t at = (size_t)(hash >> 32) & b->slot_mask;

	for (unsigned probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & b->slot_mask) {
		const uint64_t slot = b->slots[at];

		if (slot >> RANK_BITS == pair || (slot & RANK_FREE) == RANK_FREE)
			return &b->slots[at];
	}
	return NULL;
}

/* Most pairs that are asked for are none, and the filter knows that of most of them. */
static uint32_t pair_rank(const struct bpe *b, uint32_t left, uint32_t right)
{
	const uint64_t pair = pair_key(left, right), hash = pair_hash(pair);
	const size_t bit = filter_bit(b, hash);

	if (!(b->filter[bit / 8] >> bit % 8 & 1))
		return RANK_NONE;
	const uint64_t *slot = slot_find(b, pair, hash);
	const uint64_t rank = slot ? *slot & RANK_FREE : RANK_FREE;

	return rank == RANK_FREE ? RANK_NONE : (uint32_t)rank;
}

static enum err bpe_allocate(struct bpe *b, size_t merge_count, struct err_info *info)
{
	size_t slot_count = 16;

	while (slot_count < merge_count + merge_count / 2)
		slot_count *= 2;
	b->slots = mem_alloc_aligned(slot_count, sizeof(*b->slots), TABLE_ALIGN);
	b->merges = mem_alloc_aligned(merge_count + 1, sizeof(*b->merges), TABLE_ALIGN);
	b->byte_ranks = mem_alloc(BYTE_PAIRS, sizeof(*b->byte_ranks));
	b->filter = mem_alloc(slot_count * FILTER_BITS_PER_SLOT / 8, sizeof(*b->filter));
	if (!b->slots || !b->merges || !b->byte_ranks || !b->filter)
		return err_set(info, ERR_MEMORY, "no memory for %zu merges", merge_count);
	b->slot_mask = slot_count - 1;
	for (size_t i = 0; i < slot_count; i++)
		b->slots[i] = RANK_FREE;
	return ERR_NONE;
}

/* Later ranks of the same pair take the place of earlier ones. */
static enum err bpe_fill(struct bpe *b, size_t merge_count, struct err_info *info)
{
	for (size_t rank = 0; rank < merge_count; rank++) {
		const struct bpe_merge *merge = &b->merges[rank];
		const uint64_t pair = pair_key(merge->left, merge->right);
		const uint64_t hash = pair_hash(pair);
		uint64_t *slot = slot_find(b, pair, hash);

		if (!slot)
			return err_set(
				info, ERR_INPUT, "merge %zu: too many merges collide", rank);
		*slot = pair << RANK_BITS | rank;
		b->filter[filter_bit(b, hash) / 8] |= (uint8_t)(1u << filter_bit(b, hash) % 8);
	}
	for (size_t pair = 0; pair < BYTE_PAIRS; pair++) {
		const uint32_t left = b->byte_ids[pair >> 8], right = b->byte_ids[pair & 0xFF];
		const bool both = left != BPE_ID_NONE && right != BPE_ID_NONE;

		b->byte_ranks[pair] = both ? pair_rank(b, left, right) : RANK_NONE;
	}
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
	if (merge_count > 0)
		memcpy(b->merges, merges, merge_count * sizeof(*merges));
	b->merge_count = merge_count;
	if ((code = bpe_fill(b, merge_count, info)))
		goto failed;
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
	mem_free(b->merges);
	mem_free(b->byte_ranks);
	mem_free(b->filter);
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

	work->ids[left] = b->merges[work->ranks[left]].id;
	work->ranks[left] = RANK_NONE;
	work->ranks[right] = RANK_NONE;
	work->lengths[left] = length;
	work->lengths[after - 1] = length;
	if (left > 0)
		pair_offer(b, work, left - work->lengths[left - 1], left);
	if (after < places)
		pair_offer(b, work, left, after);
}

/* The symbols that the piece begins as; returns how many. *bytes: each is the token of its byte. */
static size_t symbols_init(const struct bpe *b, struct bpe_work *work, const char *piece,
	size_t size, bool *bytes)
{
	size_t count = 0;
	bool was_unknown = false;

	*bytes = true;
	for (size_t i = 0; i < size; i++) {
		uint32_t id = b->byte_ids[(unsigned char)piece[i]];
		const bool unknown = id == BPE_ID_NONE;

		if (unknown) {
			id = was_unknown && b->fuse_unk ? BPE_ID_NONE : b->unk_id;
			*bytes = false;
		}
		was_unknown = unknown;
		if (id != BPE_ID_NONE)
			work->ids[count++] = id;
	}
	return count;
}

/* The ranks of all neighbours at first; the last symbol has none. */
static void ranks_init(const struct bpe *b, struct bpe_work *work, const char *piece, size_t count,
	bool bytes)
{
	for (size_t i = 0; i + 1 < count; i++)
		work->ranks[i] = bytes ? b->byte_ranks[(size_t)(unsigned char)piece[i] << 8 |
							(unsigned char)piece[i + 1]]
				       : pair_rank(b, work->ids[i], work->ids[i + 1]);
	if (count > 0)
		work->ranks[count - 1] = RANK_NONE;
}

/* The first place of the least rank. */
static size_t least_rank(const uint32_t *ranks, size_t count)
{
	size_t best = 0;

	for (size_t i = 1; i < count; i++)
		best = ranks[i] < ranks[best] ? i : best;
	return best;
}

/* Merges count symbols that lie side by side, and stay so; returns how many are left. */
static size_t merge_short(const struct bpe *b, struct bpe_work *work, size_t count)
{
	uint32_t *ids = work->ids, *ranks = work->ranks;

	while (count > 1) {
		const size_t at = least_rank(ranks, count);

		if (ranks[at] == RANK_NONE)
			break;
		ids[at] = b->merges[ranks[at]].id;
		count--;
		for (size_t i = at + 1; i < count; i++) {
			ids[i] = ids[i + 1];
			ranks[i] = ranks[i + 1];
		}
		ranks[at] = at + 1 < count ? pair_rank(b, ids[at], ids[at + 1]) : RANK_NONE;
		if (at > 0)
			ranks[at - 1] = pair_rank(b, ids[at - 1], ids[at]);
		work->steps += count;
	}
	return count;
}

static size_t merge_long(const struct bpe *b, struct bpe_work *work, size_t places)
{
	size_t count = 0;

	work->heap_count = 0;
	for (size_t i = 0; i < places; i++) {
		work->lengths[i] = 1;
		if (work->ranks[i] != RANK_NONE)
			work->heap[work->heap_count++] = (uint64_t)work->ranks[i] << 32 | i;
	}
	heap_order(work);
	while (work->heap_count > 0) {
		const uint64_t entry = heap_pop(work);

		if (entry_holds(work, entry))
			pair_merge(b, work, (uint32_t)entry, places);
	}
	for (size_t at = 0; at < places; at += work->lengths[at])
		work->ids[count++] = work->ids[at];
	return count;
}

size_t bpe_encode(const struct bpe *b, struct bpe_work *work, const char *piece, size_t size)
{
	bool bytes;

	assert(size > 0 && size <= work->piece_capacity);
	const size_t count = symbols_init(b, work, piece, size, &bytes);
	ranks_init(b, work, piece, count, bytes);
	return count <= SHORT_SYMBOLS_MAX ? merge_short(b, work, count)
					  : merge_long(b, work, count);
}
