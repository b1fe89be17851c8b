/* model/tokenizer/source_builder.h - a tokenizer_source as it is read from files, piece by piece.
 *
 * Private to the tokenizer's readers. Texts are borrowed: the JSON they stand in must live until
 * close.
 */
#ifndef MODEL_TOKENIZER_SOURCE_BUILDER_H
#define MODEL_TOKENIZER_SOURCE_BUILDER_H

#include "base/err.h"
#include "base/json.h"
#include "model/tokenizer/tokenizer.h"

struct source_builder {
	struct tokenizer_source source;  /* complete after source_builder_finish */
	struct token_text *tokens;
	size_t token_capacity;
	struct tokenizer_merge *merges;
	size_t merge_capacity;
	struct tokenizer_added *added;
	size_t added_capacity;
};

void source_builder_init(struct source_builder *b);
void source_builder_close(struct source_builder *b);

enum err source_builder_merge(struct source_builder *b, struct tokenizer_merge merge,
	struct err_info *info) MUST_CHECK;
/* One entry of added_tokens or added_tokens_decoder: {"content", "special", "lstrip", ...}. */
enum err source_builder_added(struct source_builder *b, const json_t *entry, int64_t id,
	struct err_info *info) MUST_CHECK;
/* An object of spelling to id: vocab.json, or model.vocab. */
enum err source_builder_vocab(struct source_builder *b, const json_t *vocab, struct err_info *info)
	MUST_CHECK;
/* Added tokens, bos, eos and pad of the text of a tokenizer_config.json, which an error names; NULL
 * is an empty one. After all tokens. *root is what was read, for json_decref, also when this fails;
 * NULL: nothing. */
enum err source_builder_config(struct source_builder *b, const char *config, size_t size,
	json_t **root, struct err_info *info) MUST_CHECK;
/* Points the source at what was gathered. */
const struct tokenizer_source *source_builder_finish(struct source_builder *b);

/* The two kinds of files as tokenizer.h reads them, the config NULL where there is none; the
 * source goes to use. */
enum err source_read_json(const char *text, size_t size, const char *config, size_t config_size,
	tokenizer_use *use, void *context, struct err_info *info) MUST_CHECK;
enum err source_read_vocab(const char *vocab, size_t vocab_size, const char *merges,
	size_t merges_size, const char *config, size_t config_size, enum pretokenize_rule rule,
	tokenizer_use *use, void *context, struct err_info *info) MUST_CHECK;

/* The use that opens a tokenizer; context is the struct tokenizer ** that gets it. */
tokenizer_use source_open_tokenizer;

/* The id of a JSON text: of an added token, else of an ordinary one; else TOKENIZER_ID_NONE. */
uint32_t source_builder_find(const struct source_builder *b, const json_t *text);

static inline struct token_text source_text(const json_t *string)
{
	return (struct token_text){
		.bytes = json_string_value(string), .size = json_string_length(string)};
}

#endif
