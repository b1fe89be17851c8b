/* model/tokenizer_private.h - what a tokenizer is, for tokenizer.c that builds it and
 * tokenizer_encode.c that uses it. */
#ifndef MODEL_TOKENIZER_PRIVATE_H
#define MODEL_TOKENIZER_PRIVATE_H

#include "model/added_index.h"
#include "model/bpe.h"
#include "model/normalizer.h"
#include "model/piece_table.h"
#include "model/pretokenizer.h"
#include "model/token_table.h"
#include "model/tokenizer.h"

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
