/* model/tokenizer/token_table.h - the bytes of every token, and the token of some bytes. Private
 * to the tokenizer.
 *
 *	bytes    | ! | " | ... | th | ... |       offsets  0 1 2 ... one more than ids
 *	slots    open addressing on the hash of the bytes; holds the tokens that merges may name
 */
#ifndef MODEL_TOKENIZER_TOKEN_TABLE_H
#define MODEL_TOKENIZER_TOKEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/tokenizer/tokenizer.h"

enum token_kind {
	TOKEN_NONE,     /* no such id */
	TOKEN_NORMAL,
	TOKEN_UNREACHED,  /* ordinary, but no merges lead from its bytes to it */
	TOKEN_ADDED,
	TOKEN_SPECIAL,
};

struct token_table {
	size_t count;              /* ids */
	char *bytes;
	uint32_t *offsets;         /* [count + 1] */
	uint8_t *kinds;            /* [count] enum token_kind */
	uint32_t *slots;           /* id + 1; 0 is free */
	size_t slot_mask;
	size_t token_bytes_max;    /* of those in the slots */
};

/* Bytes, kinds and slots of all tokens of the source. On failure t is closed already. */
enum err token_table_open(struct token_table *t, const struct tokenizer_source *source,
	struct err_info *info) MUST_CHECK;
void token_table_close(struct token_table *t);

struct token_text token_table_text(const struct token_table *t, uint32_t id);
/* The token of exactly these bytes that merges may name, never a special one; or TOKENIZER_ID_NONE.
 */
uint32_t token_table_find(const struct token_table *t, const char *bytes, size_t size);

/* From GPT-2's alphabet to bytes: writes at most text.size to out and returns how many; SIZE_MAX
 * when a character is not of the alphabet. */
size_t token_alphabet_decode(struct token_text text, char *out);

#endif
