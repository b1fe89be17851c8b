/* model/quantize/export_tokenizer.c - see export_private.h: tokens, merges and ends as GGUF has
 * them. Every row of the embedding gets a token: added ones with their text as it is, ordinary
 * ones in the alphabet of the files, "[PADn]" where there is none. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/quantize/export_private.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_gguf.h"

#define PAD_BYTES 32

struct table {
	const struct export *e;
	struct gguf_writer *writer;
	const struct tokenizer_source *source;
	const struct tokenizer_added **added;    /* [rows] or NULL: the added token of a row */
	uint32_t rows;                           /* of the embedding */
};

static enum err find_added(struct table *t, struct err_info *info)
{
	const struct tokenizer_source *s = t->source;

	t->added = mem_alloc(t->rows, sizeof(*t->added));
	if (!t->added)
		return err_set(info, ERR_MEMORY, "no memory for %u tokens", t->rows);
	for (size_t i = 0; i < s->added_count; i++)
		if (s->added[i].id < t->rows)
			t->added[s->added[i].id] = &s->added[i];
	return ERR_NONE;
}

static const struct token_text *ordinary(const struct table *t, uint32_t id)
{
	const struct tokenizer_source *s = t->source;

	return id < s->token_count && s->tokens[id].bytes ? &s->tokens[id] : NULL;
}

static void put_token(const struct table *t, uint32_t id)
{
	const struct token_text *text = t->added[id] ? &t->added[id]->text : ordinary(t, id);
	char pad[PAD_BYTES];

	if (text) {
		gguf_write_item(t->writer, text->bytes, text->size);
		return;
	}
	const int size = snprintf(pad, sizeof(pad), "[PAD%u]", id);

	gguf_write_item(t->writer, pad, (size_t)size);
}

static int32_t type_of(const struct table *t, uint32_t id)
{
	if (t->added[id])
		return t->added[id]->special ? TOKENIZER_GGUF_CONTROL
			: TOKENIZER_GGUF_USER_DEFINED;
	return ordinary(t, id) ? TOKENIZER_GGUF_NORMAL : TOKENIZER_GGUF_UNUSED;
}

static enum err put_tokens(struct table *t, struct err_info *info)
{
	int32_t *types = mem_alloc(t->rows, sizeof(*types));

	if (!types)
		return err_set(info, ERR_MEMORY, "no memory for %u tokens", t->rows);
	gguf_write_strings(t->writer, "tokenizer.ggml.tokens", t->rows);
	for (uint32_t id = 0; id < t->rows; id++) {
		put_token(t, id);
		types[id] = type_of(t, id);
	}
	gguf_write_i32s(t->writer, "tokenizer.ggml.token_type", types, t->rows);
	mem_free(types);
	return ERR_NONE;
}

/* A space inside a half would not be told from the one between: none has one, for the alphabet
 * spells it otherwise. */
static enum err put_merges(struct table *t, struct err_info *info)
{
	const struct tokenizer_source *s = t->source;
	struct buf line;

	buf_init(&line, 2 * TOKENIZER_TOKEN_BYTES_MAX + 1);
	gguf_write_strings(t->writer, "tokenizer.ggml.merges", s->merge_count);
	for (size_t i = 0; i < s->merge_count; i++) {
		buf_clear(&line);
		buf_add(&line, s->merges[i].left.bytes, s->merges[i].left.size);
		buf_add_char(&line, ' ');
		buf_add(&line, s->merges[i].right.bytes, s->merges[i].right.size);
		if (line.failed) {
			buf_free(&line);
			return err_set(info, ERR_LIMIT, "merge %zu is too long", i);
		}
		gguf_write_item(t->writer, line.data, line.size);
	}
	buf_free(&line);
	return ERR_NONE;
}

static void put_id(struct gguf_writer *writer, const char *key, uint32_t said, uint32_t otherwise)
{
	const uint32_t id = said != TOKENIZER_ID_NONE ? said : otherwise;

	if (id != TOKENIZER_ID_NONE)
		gguf_write_u32(writer, key, id);
}

/* What no tokenizer can be made of would be written as a file that does not open. */
static enum err check_source(const struct table *t, const struct tokenizer_source *source,
	struct err_info *info)
{
	struct tokenizer *tokenizer;

	if (tokenizer_open(&tokenizer, source, info))
		return info->code;
	const size_t count = tokenizer_count(tokenizer);

	tokenizer_close(tokenizer);
	if (count > t->rows)
		return err_set(info, ERR_INPUT, "the tokenizer has %zu ids, the model %u rows", count,
			t->rows);
	return ERR_NONE;
}

static enum err put_all(void *context, const struct tokenizer_source *source,
	struct err_info *info)
{
	struct table *t = context;
	const struct model_config *c = &t->e->weights->config;
	char pre[TOKENIZER_PRE_MAX];
	enum err code;

	t->source = source;
	if (check_source(t, source, info))
		return info->code;
	if (!tokenizer_gguf_pre(source, pre))
		return err_set(info, ERR_UNSUPPORTED,
			"GGUF has no name for how this tokenizer cuts text");
	gguf_write_text(t->writer, "tokenizer.ggml.model", "gpt2");
	gguf_write_text(t->writer, "tokenizer.ggml.pre", pre);
	if ((code = find_added(t, info)) || (code = put_tokens(t, info)) ||
		(code = put_merges(t, info)))
		return code;
	put_id(t->writer, "tokenizer.ggml.bos_token_id", source->bos_id, c->bos);
	put_id(t->writer, "tokenizer.ggml.eos_token_id", source->eos_id,
		c->eos_count > 0 ? c->eos[0] : MODEL_NO_TOKEN);
	put_id(t->writer, "tokenizer.ggml.padding_token_id", source->pad_id, c->pad);
	gguf_write_bool(t->writer, "tokenizer.ggml.add_bos_token", source->adds_bos);
	return ERR_NONE;
}

enum err export_tokenizer(const struct export *e, const char *dir, struct gguf_writer *writer,
	struct err_info *info)
{
	const struct model_config *c = &e->weights->config;
	const enum pretokenize_rule rule = arch_get(c->arch)->pretokenize;
	struct table t = {.e = e, .writer = writer, .rows = c->vocab};
	enum err code;

	_Static_assert(MODEL_NO_TOKEN == TOKENIZER_ID_NONE, "no token is no token");
	code = tokenizer_read_dir(dir, rule, put_all, &t, info);
	mem_free(t.added);
	return code;
}
