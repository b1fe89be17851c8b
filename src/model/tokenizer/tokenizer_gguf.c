/* model/tokenizer/tokenizer_gguf.c - see tokenizer_gguf.h. Texts are borrowed from the file
 * while the tokenizer is built. */
#include "model/tokenizer/tokenizer_gguf.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/tokenizer_gguf_pre.h"

struct reader {
	const struct gguf *g;
	struct tokenizer_source source;
	struct token_text *tokens;
	int32_t *types;
	struct tokenizer_merge *merges;
	struct err_info *info;
};

static bool is_text(const struct gguf_string *s, const char *text)
{
	return s->size == strlen(text) && memcmp(s->data, text, s->size) == 0;
}

/* No normalizer: llama.cpp has none, and what it makes of a text these files promise. */
static enum err read_kind(struct reader *r)
{
	struct gguf_string model = {0};

	if (gguf_get_string(r->g, "tokenizer.ggml.model", &model, r->info))
		return r->info->code;
	if (!is_text(&model, "gpt2"))
		return err_set(r->info, ERR_UNSUPPORTED,
			"%s: tokenizer model %.*s is not supported, only gpt2", r->g->file,
			(int)(model.size < 32 ? model.size : 32), model.size ? model.data : "");
	if (gguf_pre_read(r->g, &r->source, r->info))
		return r->info->code;
	return gguf_get_bool(r->g, "tokenizer.ggml.add_bos_token", &r->source.adds_bos, r->info);
}

static enum err no_memory(const struct reader *r)
{
	return err_set(r->info, ERR_MEMORY, "%s: no memory for its tokenizer", r->g->file);
}

static enum err read_tokens(struct reader *r)
{
	struct gguf_walk walk;
	struct gguf_string text;
	size_t count = 0;

	if (gguf_walk_strings(r->g, "tokenizer.ggml.tokens", &walk, r->info))
		return r->info->code;
	if (walk.left == 0)
		return err_set(r->info, ERR_NOT_FOUND, "%s: no tokenizer in the file", r->g->file);
	if (walk.left > TOKENIZER_TOKENS_MAX)
		return err_set(r->info, ERR_LIMIT, "%s: %" PRIu64 " tokens, at most %zu",
			r->g->file, walk.left, TOKENIZER_TOKENS_MAX);
	r->tokens = mem_alloc((size_t)walk.left, sizeof(*r->tokens));
	if (!r->tokens)
		return no_memory(r);
	while (gguf_walk_next(&walk, &text))
		r->tokens[count++] = (struct token_text){.bytes = text.data, .size = text.size};
	r->source.tokens = r->tokens;
	r->source.token_count = count;
	return ERR_NONE;
}

static enum err read_types(struct reader *r)
{
	struct gguf_ints ints;

	if (gguf_get_ints(r->g, "tokenizer.ggml.token_type", &ints, r->info))
		return r->info->code;
	if (ints.count == 0)
		return ERR_NONE;
	if (ints.count != r->source.token_count)
		return err_set(r->info, ERR_INPUT, "%s: %" PRIu64 " token types for %zu tokens",
			r->g->file, ints.count, r->source.token_count);
	r->types = mem_alloc((size_t)ints.count, sizeof(*r->types));
	if (!r->types)
		return no_memory(r);
	for (size_t i = 0; i < ints.count; i++) {
		const int64_t type = gguf_int_at(&ints, i);

		if (type < TOKENIZER_GGUF_NORMAL || type > TOKENIZER_GGUF_BYTE)
			return err_set(r->info, ERR_INPUT,
				"%s: token %zu has the unknown type %" PRId64, r->g->file, i, type);
		r->types[i] = (int32_t)type;
	}
	r->source.types = r->types;
	return ERR_NONE;
}

static enum err read_merges(struct reader *r)
{
	struct gguf_walk walk;
	struct gguf_string text;
	size_t count = 0;

	if (gguf_walk_strings(r->g, "tokenizer.ggml.merges", &walk, r->info))
		return r->info->code;
	if (walk.left == 0)
		return ERR_NONE;
	if (walk.left > 2 * TOKENIZER_TOKENS_MAX)
		return err_set(r->info, ERR_LIMIT, "%s: %" PRIu64 " merges, at most %zu",
			r->g->file, walk.left, 2 * TOKENIZER_TOKENS_MAX);
	r->merges = mem_alloc((size_t)walk.left, sizeof(*r->merges));
	if (!r->merges)
		return no_memory(r);
	for (; gguf_walk_next(&walk, &text); count++)
		if (!tokenizer_merge_split(
			    (struct token_text){.bytes = text.data, .size = text.size},
			    &r->merges[count]))
			return err_set(r->info, ERR_INPUT, "%s: merge %zu is not two parts",
				r->g->file, count);
	r->source.merges = r->merges;
	r->source.merge_count = count;
	return ERR_NONE;
}

static enum err read_id(struct reader *r, const char *key, uint32_t *out)
{
	int64_t value = -1;

	*out = TOKENIZER_ID_NONE;
	if (gguf_get_int(r->g, key, -1, UINT32_MAX, &value, r->info))
		return r->info->code;
	if (value < 0 || value == UINT32_MAX) /* both stand for none */
		return ERR_NONE;
	if ((uint64_t)value >= r->source.token_count)
		return err_set(r->info, ERR_INPUT, "%s: %s is %" PRId64 ", there are %zu tokens",
			r->g->file, key, value, r->source.token_count);
	*out = (uint32_t)value;
	return ERR_NONE;
}

enum err tokenizer_open_gguf(struct tokenizer **out, const struct gguf *g, struct err_info *info)
{
	struct reader r = {.g = g, .source = {.unk_id = TOKENIZER_ID_NONE}, .info = info};
	enum err code;

	*out = NULL;
	if ((code = read_tokens(&r)) || (code = read_kind(&r)) || (code = read_types(&r)) ||
		(code = read_merges(&r)) ||
		(code = read_id(&r, "tokenizer.ggml.bos_token_id", &r.source.bos_id)) ||
		(code = read_id(&r, "tokenizer.ggml.eos_token_id", &r.source.eos_id)) ||
		(code = read_id(&r, "tokenizer.ggml.padding_token_id", &r.source.pad_id)))
		goto done;
	code = tokenizer_open(out, &r.source, info);
	if (code)
		err_prefix(info, "%s", g->file);
done:
	mem_free(r.tokens);
	mem_free(r.types);
	mem_free(r.merges);
	return code;
}
