/* model/tokenizer/tokenizer.h - text to tokens and back: Qwen's byte-level byte-pair encoding.
 *
 *	struct tokenizer *t;
 *	tokenizer_open_dir(&t, "Qwen3-0.6B", PRETOKENIZE_QWEN2, &info);
 *	struct token_list list = {.ids = ids, .count_max = 4096};
 *	tokenizer_encode(t, text, size, false, &scratch, &list, &info);
 *	struct token_text piece = tokenizer_text(t, list.ids[0]);
 *	tokenizer_close(t);
 *
 * Text goes: split at added tokens, where the caller trusts it -> normalised, if the model wants it
 * (normalizer.h), and split at those that are looked for in normalised text -> pieces
 * (pretokenizer.h) -> byte pairs (bpe.h). Nothing is added at either end. Decoding is concatenation
 * of bytes; a token may hold a part of a character. A byte that the vocabulary has no token for is
 * left out.
 *
 * What a user wrote never becomes a special token: only text in a trusted span is searched for
 * them, and no merge can lead to one. Immutable after open; any number of threads may use it.
 */
#ifndef MODEL_TOKENIZER_TOKENIZER_H
#define MODEL_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/text_span.h"

#define TOKENIZER_TOKENS_MAX      ((size_t)1 << 20)
#define TOKENIZER_TOKEN_BYTES_MAX ((size_t)1024)
#define TOKENIZER_VOCAB_BYTES_MAX ((size_t)32 << 20)  /* of all tokens together */
#define TOKENIZER_ADDED_MAX       ((size_t)1 << 16)
#define TOKENIZER_ID_NONE         UINT32_MAX

struct tokenizer;

struct token_text {
	const char *bytes;   /* not terminated */
	size_t size;
};

/* A token that is found in text verbatim and never merged. The flags are tokenizer.json's. */
struct tokenizer_added {
	uint32_t id;
	struct token_text text;
	bool special;       /* control, such as <|im_end|>; else text with an id of its own, such
			     * as <think> */
	bool lstrip;        /* takes the white space before it along */
	bool rstrip;        /* and that behind it */
	bool single_word;   /* not within a word */
	bool normalized;    /* looked for in the normalised text, after the others */
};

/* Left and right as the vocabulary spells them. */
struct tokenizer_merge {
	struct token_text left;
	struct token_text right;
};

/* GGUF's tokenizer.ggml.token_type. */
enum tokenizer_gguf_type {
	TOKENIZER_GGUF_NORMAL = 1,
	TOKENIZER_GGUF_UNKNOWN = 2,       /* never produced */
	TOKENIZER_GGUF_CONTROL = 3,       /* added, special; its text is verbatim */
	TOKENIZER_GGUF_USER_DEFINED = 4,  /* added; its text is verbatim */
	TOKENIZER_GGUF_UNUSED = 5,        /* padding of the table, never produced */
	TOKENIZER_GGUF_BYTE = 6,
};

/* Everything a tokenizer is made of, wherever it was read; only read during tokenizer_open.
 * Tokens and merges are in GPT-2's alphabet, where each byte is a printable character. */
struct tokenizer_source {
	const struct token_text *tokens; /* [token_count] by id; bytes NULL: no such token */
	size_t token_count;
	const int32_t *types; /* [token_count] enum tokenizer_gguf_type, or NULL: all normal */
	const struct tokenizer_merge *merges;    /* [merge_count] by rank */
	size_t merge_count;
	const struct tokenizer_added
		*added; /* [added_count]; may repeat tokens, may lie beyond them */
	size_t added_count;
	struct normalizer_steps normalizer;
	struct pretokenizer_steps pretokenizer;
	bool ignore_merges; /* a piece that is a token is taken even if no merges lead there */
	uint32_t unk_id;    /* of a byte without a token, unless it is special; or _ID_NONE */
	bool fuse_unk;      /* one of it for several such bytes */
	uint32_t bos_id, eos_id, pad_id;         /* or TOKENIZER_ID_NONE */
	bool adds_bos;                           /* every text begins with bos_id */
};

/* "left right" to its two halves; false unless there is exactly one space, and something
 * on both sides. */
bool tokenizer_merge_split(struct token_text line, struct tokenizer_merge *out);

/* ERR_INPUT: two tokens claim an id, a merge names an unknown token or leads to a special one. Of
 * tokens spelled alike the lowest id is used. ERR_UNSUPPORTED: no byte has a token. */
enum err tokenizer_open(struct tokenizer **out, const struct tokenizer_source *source,
	struct err_info *info) MUST_CHECK;

/* From the text of a tokenizer.json; config is that of tokenizer_config.json, or NULL. */
enum err tokenizer_open_json(struct tokenizer **out, const char *text, size_t size,
	const char *config, size_t config_size, struct err_info *info) MUST_CHECK;

/* From a vocab.json and a merges.txt: always with NFC, as Qwen's own tokenizer does. */
enum err tokenizer_open_vocab(struct tokenizer **out, const char *vocab, size_t vocab_size,
	const char *merges, size_t merges_size, const char *config, size_t config_size,
	enum pretokenize_rule rule, struct err_info *info) MUST_CHECK;

/* From the files of a model's directory: tokenizer.json, else vocab.json and merges.txt;
 * with either, tokenizer_config.json when there is one. rule is for merges.txt, whose files
 * do not tell it. */
enum err tokenizer_open_dir(struct tokenizer **out, const char *dir, enum pretokenize_rule rule,
	struct err_info *info) MUST_CHECK;

/* NULL is legal. */
void tokenizer_close(struct tokenizer *t);

/* Looks at a source, which goes when it returns. */
typedef enum err tokenizer_use(void *context, const struct tokenizer_source *source,
	struct err_info *info);

/* Reads the files that tokenizer_open_dir opens, and has use look at what they say. */
enum err tokenizer_read_dir(const char *dir, enum pretokenize_rule rule, tokenizer_use *use,
	void *context, struct err_info *info) MUST_CHECK;

/* Ids are appended; full is ERR_LIMIT, and then count is count_max. */
struct token_list {
	uint32_t *ids;
	size_t count;
	size_t count_max;
};

/* special: the whole text is trusted and searched for added tokens. Working memory comes
 * from scratch, for ordinary text a few KiB; ERR_LIMIT when it has no more. A piece is
 * cut after BPE_PIECE_BYTES_MAX. */
enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, bool special,
	struct arena *scratch, struct token_list *out, struct err_info *info) MUST_CHECK;

/* The same for a text that no template wrote: with the bos token first where the model has seen
 * every text begin with it. */
enum err tokenizer_encode_raw(const struct tokenizer *t, const char *text, size_t size,
	bool special, struct arena *scratch, struct token_list *out,
	struct err_info *info) MUST_CHECK;

/* Added tokens are looked for only where one lies wholly inside a trusted span. */
enum err tokenizer_encode_spans(const struct tokenizer *t, const char *text, size_t size,
	const struct text_span *trusted, size_t trusted_count, struct arena *scratch,
	struct token_list *out, struct err_info *info) MUST_CHECK;

/* Ids run from 0 to tokenizer_count - 1; some may have no token. */
size_t tokenizer_count(const struct tokenizer *t);
/* The token's own bytes, for as long as t lives; empty for an id without a token or
 * beyond the last. */
struct token_text tokenizer_text(const struct tokenizer *t, uint32_t id);
/* What the token adds to the text of an answer: its bytes, and nothing for a special one. Whoever
 * looks for stop strings and whoever writes the text must agree on this. */
struct token_text tokenizer_answer_text(const struct tokenizer *t, uint32_t id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);
/* Whether the model has seen every text begin with the bos token. A template writes its own. */
bool tokenizer_adds_bos(const struct tokenizer *t);
/* As the files say, or TOKENIZER_ID_NONE. A model's generation_config.json knows better
 * when to stop. */
uint32_t tokenizer_bos(const struct tokenizer *t);
uint32_t tokenizer_eos(const struct tokenizer *t);
uint32_t tokenizer_pad(const struct tokenizer *t);

#endif
