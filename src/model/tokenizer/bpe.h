/* model/tokenizer/bpe.h - byte-pair encoding of one piece: merges by rank, leftmost first, until
 * none is left.
 *
 * Symbols lie in arrays as long as the piece, one for a byte at first; a symbol keeps its length at
 * its first and its last place, so both neighbours are found without a list. Candidates wait in a
 * heap of (rank, place); entries that no longer hold are dropped when met, and swept when the heap
 * is full. O(n log n) for any piece. Of a short piece the least rank is found by looking at all.
 *
 *	piece   l  o  w  e  r          after "lo", "er":   id      lo .  w  er .
 *	                                                   length   2 2  1   2 2
 */
#ifndef MODEL_TOKENIZER_BPE_H
#define MODEL_TOKENIZER_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* The longest piece, and the most that an arena gives to bpe_work_reserve over its life. */
#define BPE_PIECE_BYTES_MAX ((size_t)1 << 20)
#define BPE_WORK_BYTES_MAX  (BPE_PIECE_BYTES_MAX * 50)

#define BPE_MERGES_MAX ((size_t)1 << 21)
/* Ids in merges are below this. */
#define BPE_IDS_MAX    ((size_t)1 << 20)

#define BPE_ID_NONE UINT32_MAX

/* Tokens left and right, side by side, become token id. */
struct bpe_merge {
	uint32_t left;
	uint32_t right;
	uint32_t id;
};

struct bpe {
	uint32_t byte_ids[256];    /* the token of each single byte, or BPE_ID_NONE */
	uint32_t *byte_ranks;      /* [256][256] of the pairs of single bytes */
	uint32_t unk_id;           /* of a byte without a token, or BPE_ID_NONE; set after open */
	bool fuse_unk;             /* one for neighbours without a token */
	uint64_t *slots;           /* open addressing: pair to rank */
	uint8_t *filter;           /* a bit for each pair: 0 where none is, and it is small */
	size_t slot_mask;
	struct bpe_merge *merges;  /* [merge_count] by rank */
	size_t merge_count;
};

/* merges by rank, ids below BPE_IDS_MAX; of the same pair twice the later holds. On failure b is
 * closed already. */
enum err bpe_open(struct bpe *b, const uint32_t byte_ids[256], const struct bpe_merge *merges,
	size_t merge_count, struct err_info *info) MUST_CHECK;
void bpe_close(struct bpe *b);

/* Working memory, taken from an arena as pieces need it; forget it when the arena is reset. */
struct bpe_work {
	uint32_t *ids;       /* at a symbol's first place */
	uint32_t *lengths;   /* at its first and last place */
	uint32_t *ranks;     /* of its pair with the next symbol, at its first place */
	uint64_t *heap;      /* rank << 32 | position; the least on top */
	size_t heap_count;
	size_t heap_capacity;
	size_t piece_capacity;
	uint64_t steps;      /* moves in the heap so far: what the time is made of */
};

/* Makes work good for pieces of size bytes, at most BPE_PIECE_BYTES_MAX; ERR_LIMIT when the arena
 * is full. */
enum err bpe_work_reserve(struct bpe_work *work, struct arena *arena, size_t size,
	struct err_info *info) MUST_CHECK;

/* Encodes piece[0 .. size), size > 0 and reserved; returns how many ids now stand in work->ids, at
 * most size. A byte without a token, where there is no unk_id, is left out, and its neighbours
 * become neighbours. */
size_t bpe_encode(const struct bpe *b, struct bpe_work *work, const char *piece, size_t size);

#endif
