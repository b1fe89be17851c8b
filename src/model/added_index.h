/* model/added_index.h - the longest added token at a place in a text. Private to the tokenizer.
 *
 * The tokens sorted by their bytes; matching narrows a range of them byte by byte. A place whose
 * byte starts no added token costs one look.
 */
#ifndef MODEL_ADDED_INDEX_H
#define MODEL_ADDED_INDEX_H

#include "base/err.h"
#include "model/token_table.h"

struct added_index {
	const struct token_table *table;
	uint32_t *ids;      /* [count] by bytes */
	size_t count;
	bool starts[256];   /* some token begins with this byte */
};

/* All added and special tokens of the table, which must outlive it. */
enum err added_index_open(struct added_index *index, const struct token_table *table,
	struct err_info *info) MUST_CHECK;
void added_index_close(struct added_index *index);

/* The longest added token that text[0 .. size) begins with: its size, 0 for none. */
size_t added_index_match(const struct added_index *index, const char *text, size_t size,
	uint32_t *id);

#endif
