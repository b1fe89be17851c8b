/* model/tokenizer/tokenizer_gguf_pre.h - tokenizer.ggml.pre: names for ways of cutting text, as
 * llama.cpp knows them. Private to tokenizer_gguf.
 */
#ifndef MODEL_TOKENIZER_TOKENIZER_GGUF_PRE_H
#define MODEL_TOKENIZER_TOKENIZER_GGUF_PRE_H

#include "base/err.h"
#include "model/files/gguf.h"
#include "model/tokenizer/tokenizer.h"

/* Sets pretokenizer, ignore_merges, and adds_bos for files that do not say. A file without a name
 * is cut as Qwen's when it is one, else as llama.cpp cuts what it does not know. */
enum err gguf_pre_read(const struct gguf *g, struct tokenizer_source *source,
	struct err_info *info) MUST_CHECK;

#endif
