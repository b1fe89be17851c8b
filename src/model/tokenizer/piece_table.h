/* model/tokenizer/piece_table.h - short pieces of text, and what became of them. Private to the
 * tokenizer.
 *
 *	slots   | " the" 4 262 | | "Hello" 5 9707 | | ...      open addressing; a slot holds the bytes
 *
 * Most words of most texts are one token: the table has all of them, and a look costs one line of
 * memory, because the bytes lie where they are looked for. The memo remembers, while one text is
 * encoded, what the last other words were merged to.
 */
#ifndef MODEL_TOKENIZER_PIECE_TABLE_H
#define MODEL_TOKENIZER_PIECE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/tokenizer/token_table.h"

/* Longer ones are rare. */
#define PIECE_BYTES_MAX    ((size_t)16)
#define PIECE_MEMO_IDS_MAX 6

/* The bytes of a piece in two numbers. */
struct piece_key {
	uint64_t low, high;
	uint32_t size;
	uint64_t hash;
};

/* 0 < size <= PIECE_BYTES_MAX; reads nothing beyond the piece. */
struct piece_key piece_key_of(const char *bytes, size_t size);

struct piece_slot;

struct piece_table {
	struct piece_slot *slots;
	size_t slot_mask;
	unsigned probes_max;     /* what any token needed */
};

/* Of the tokens of t that are TOKEN_NORMAL. On failure p is closed already. */
enum err piece_table_open(struct piece_table *p, const struct token_table *t,
	struct err_info *info) MUST_CHECK;
void piece_table_close(struct piece_table *p);

/* The token of exactly these bytes, or TOKENIZER_ID_NONE. */
uint32_t piece_table_find(const struct piece_table *p, const struct piece_key *key);

struct piece_memo_entry {
	uint64_t low, high;
	uint32_t size;           /* 0: free */
	uint32_t count;
	uint32_t ids[PIECE_MEMO_IDS_MAX];
};

/* Zeroed at first; its memory is an arena's. */
struct piece_memo {
	struct piece_memo_entry *entries;
	size_t bytes;            /* of pieces that were remembered so far */
};

/* What is remembered of the piece, or NULL. */
const struct piece_memo_entry *piece_memo_find(const struct piece_memo *memo,
	const struct piece_key *key);
/* Remembers, once it is worth the memory, and forgets what was in its place. */
void piece_memo_put(struct piece_memo *memo, struct arena *arena, const struct piece_key *key,
	const uint32_t *ids, size_t count);

#endif
