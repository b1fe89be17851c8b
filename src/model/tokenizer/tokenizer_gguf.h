/* model/tokenizer/tokenizer_gguf.h - the tokenizer that a GGUF file brings in its metadata. */
#ifndef MODEL_TOKENIZER_TOKENIZER_GGUF_H
#define MODEL_TOKENIZER_TOKENIZER_GGUF_H

#include "base/err.h"
#include "model/files/gguf.h"
#include "model/tokenizer/tokenizer.h"

/* ERR_NOT_FOUND when the file has none; ERR_UNSUPPORTED when it is of another kind. The tokenizer
 * does not need the file once it is open. */
enum err tokenizer_open_gguf(struct tokenizer **out, const struct gguf *g, struct err_info *info)
	MUST_CHECK;

#define TOKENIZER_PRE_MAX 32

/* What tokenizer.ggml.pre calls the way in which this tokenizer cuts text; false when it has no
 * name. */
bool tokenizer_gguf_pre(const struct tokenizer_source *source, char out[TOKENIZER_PRE_MAX])
	MUST_CHECK;

#endif
