/* model/tokenizer/pipeline_json.h - the steps that a tokenizer.json describes beside its
 * vocabulary: what it does to a text, how it cuts it, what it puts before it. Private to the
 * tokenizer's readers.
 *
 * The words are Hugging Face tokenizers'; what is not done here is refused by its name. Patterns
 * and contents are borrowed from the JSON.
 */
#ifndef MODEL_TOKENIZER_PIPELINE_JSON_H
#define MODEL_TOKENIZER_PIPELINE_JSON_H

#include "base/err.h"
#include "base/json.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pretokenizer.h"

/* Sequences in sequences. */
#define PIPELINE_DEPTH_MAX 8

enum err pipeline_normalizer(const json_t *node, struct normalizer_steps *out,
	struct err_info *info) MUST_CHECK;
/* The last step must be a ByteLevel: the vocabulary is of bytes. */
enum err pipeline_pre_tokenizer(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info) MUST_CHECK;
enum err pipeline_decoder(const json_t *node, struct err_info *info) MUST_CHECK;
/* The text of the token that every text begins with, or NULL. */
const json_t *pipeline_first_token(const json_t *post_processor);

#endif
