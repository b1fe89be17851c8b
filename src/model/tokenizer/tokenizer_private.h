/* model/tokenizer/tokenizer_private.h - what a tokenizer is, for tokenizer.c that builds it and
 * tokenizer_encode.c that uses it. */
#ifndef MODEL_TOKENIZER_TOKENIZER_PRIVATE_H
#define MODEL_TOKENIZER_TOKENIZER_PRIVATE_H

#include "model/tokenizer/added_index.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/piece_table.h"
#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/token_table.h"
#include "model/tokenizer/tokenizer.h"

struct tokenizer {
	struct token_table table;
	struct added_index added;             /* looked for in the text as it is */
	struct added_index added_normalized;  /* and in the normalised one */
	struct normalizer normalizer;
	struct pretokenizer pretokenizer;
	struct bpe bpe;
	struct piece_table pieces;
	bool adds_bos;
	uint32_t bos_id, eos_id, pad_id;
};

#endif
