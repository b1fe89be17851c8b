/* model/tokenizer/added_index.h - the longest added token at a place in a text. Private to the
 * tokenizer.
 *
 *	<|a|>  <|ab|>      < - | - a - | - >       a node for each beginning of a token
 *	                            \- b - | - >
 *
 * A place whose byte starts no added token costs one look.
 */
#ifndef MODEL_TOKENIZER_ADDED_INDEX_H
#define MODEL_TOKENIZER_ADDED_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/tokenizer/tokenizer.h"

/* A place in a text costs at most so many steps. */
#define ADDED_TOKEN_BYTES_MAX ((size_t)256)
/* Of all added tokens together. */
#define ADDED_BYTES_MAX       ((size_t)2 << 20)

enum added_flag {
	ADDED_LSTRIP = 1,       /* takes the white space before it along */
	ADDED_RSTRIP = 2,       /* and that behind it */
	ADDED_SINGLE_WORD = 4,  /* not within a word */
	ADDED_NORMALIZED = 8,   /* looked for in the normalised text */
};

struct added_item {
	struct token_text text;
	uint32_t id;
	unsigned flags;         /* enum added_flag */
};

struct added_node;
struct added_edge;

struct added_index {
	struct added_node *nodes;
	struct added_edge *edges;
	bool starts[256];       /* some token begins with this byte */
	unsigned start_count;
	unsigned char start;    /* the byte, when there is one */
};

/* Sorts items, and keeps nothing of them; empty ones do not count. Of tokens alike the lowest id is
 * used. On failure index is closed already. */
enum err added_index_open(struct added_index *index, struct added_item *items, size_t count,
	struct err_info *info) MUST_CHECK;
void added_index_close(struct added_index *index);

/* The first place in text[0 .. size) where some token may begin, or size. */
size_t added_index_skip(const struct added_index *index, const char *text, size_t size);

struct added_match {
	size_t size;            /* 0: none */
	uint32_t id;
	unsigned flags;
};

/* The longest added token that text[0 .. size) begins with. */
struct added_match added_index_match(const struct added_index *index, const char *text,
	size_t size);

#endif
