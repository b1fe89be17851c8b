/* model/tokenizer/source_builder.c - see source_builder.h. */
#include "model/tokenizer/source_builder.h"

#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/bpe.h"

void source_builder_init(struct source_builder *b)
{
	memset(b, 0, sizeof(*b));
	b->source.bos_id = b->source.eos_id = b->source.pad_id = TOKENIZER_ID_NONE;
	b->source.unk_id = TOKENIZER_ID_NONE;
}

void source_builder_close(struct source_builder *b)
{
	mem_free(b->tokens);
	mem_free(b->merges);
	mem_free(b->added);
	memset(b, 0, sizeof(*b));
}

/* Room for count elements of size bytes in *array; new ones are zero. */
static enum err array_grow(void **array, size_t *capacity, size_t count, size_t size,
	struct err_info *info)
{
	size_t wanted = *capacity ? *capacity * 2 : 64;
	char *grown;

	if (count <= *capacity)
		return ERR_NONE;
	if (wanted < count)
		wanted = count;
	grown = mem_resize(*array, wanted, size);
	if (!grown)
		return err_set(info, ERR_MEMORY, "no memory for a vocabulary of %zu", count);
	memset(grown + *capacity * size, 0, (wanted - *capacity) * size);
	*array = grown;
	*capacity = wanted;
	return ERR_NONE;
}

/* ERR_INPUT when the id has a token already. */
static enum err token_put(struct source_builder *b, struct token_text text, int64_t id,
	struct err_info *info)
{
	void *array = b->tokens;
	enum err code;

	if (id < 0 || id >= (int64_t)TOKENIZER_TOKENS_MAX)
		return err_set(info, ERR_LIMIT, "token id %lld, must be below %zu", (long long)id,
			TOKENIZER_TOKENS_MAX);
	code = array_grow(&array, &b->token_capacity, (size_t)id + 1, sizeof(*b->tokens), info);
	b->tokens = array;
	if (code)
		return code;
	if (b->tokens[id].bytes)
		return err_set(info, ERR_INPUT, "token id %lld is given twice", (long long)id);
	b->tokens[id] = text;
	if ((size_t)id >= b->source.token_count)
		b->source.token_count = (size_t)id + 1;
	return ERR_NONE;
}

enum err source_builder_merge(struct source_builder *b, struct tokenizer_merge merge,
	struct err_info *info)
{
	void *array = b->merges;
	enum err code;

	if (b->source.merge_count >= BPE_MERGES_MAX)
		return err_set(info, ERR_LIMIT, "more than %zu merges", BPE_MERGES_MAX);
	code = array_grow(
		&array, &b->merge_capacity, b->source.merge_count + 1, sizeof(*b->merges), info);
	b->merges = array;
	if (!code)
		b->merges[b->source.merge_count++] = merge;
	return code;
}

/* One that does not say is looked for as it is when it is special. */
static enum err added_flags(const json_t *entry, struct tokenizer_added *added,
	struct err_info *info)
{
	enum err code;

	if ((code = json_get_bool(entry, "special", &added->special, info)))
		return code;
	added->normalized = !added->special;
	if ((code = json_get_bool(entry, "lstrip", &added->lstrip, info)) ||
		(code = json_get_bool(entry, "rstrip", &added->rstrip, info)) ||
		(code = json_get_bool(entry, "single_word", &added->single_word, info)))
		return code;
	return json_get_bool(entry, "normalized", &added->normalized, info);
}

enum err source_builder_added(struct source_builder *b, const json_t *entry, int64_t id,
	struct err_info *info)
{
	struct tokenizer_added added = {0};
	void *array = b->added;
	const char *content = NULL;
	enum err code;

	if (id < 0 || id >= (int64_t)TOKENIZER_TOKENS_MAX ||
		b->source.added_count >= TOKENIZER_ADDED_MAX)
		return err_set(info, ERR_LIMIT,
			"added token id %lld, must be below %zu; at most %zu of them",
			(long long)id, TOKENIZER_TOKENS_MAX, TOKENIZER_ADDED_MAX);
	if ((code = json_get_string(entry, "content", &content, info)))
		return code;
	if (!content || !content[0])
		return err_set(info, ERR_INPUT, "added token %lld has no content", (long long)id);
	if ((code = added_flags(entry, &added, info)))
		return code;
	added.id = (uint32_t)id;
	added.text = source_text(json_object_get(entry, "content"));
	code = array_grow(
		&array, &b->added_capacity, b->source.added_count + 1, sizeof(*b->added), info);
	b->added = array;
	if (!code)
		b->added[b->source.added_count++] = added;
	return code;
}

enum err source_builder_vocab(struct source_builder *b, const json_t *vocab, struct err_info *info)
{
	enum err code = ERR_NONE;

	if (!json_is_object(vocab))
		return err_set(info, ERR_INPUT, "the vocabulary is not an object");
	for (void *at = json_object_iter((json_t *)vocab); at && !code;
		at = json_object_iter_next((json_t *)vocab, at)) {
		const json_t *id = json_object_iter_value(at);
		const struct token_text text = {
			.bytes = json_object_iter_key(at), .size = json_object_iter_key_len(at)};

		if (!json_is_integer(id))
			return err_set(info, ERR_INPUT, "the id of \"%.64s\" is not an integer",
				text.bytes);
		code = token_put(b, text, json_integer_value(id), info);
	}
	return code;
}

uint32_t source_builder_find(const struct source_builder *b, const json_t *text)
{
	const struct token_text wanted = source_text(text);

	if (!json_is_string(text))
		return TOKENIZER_ID_NONE;
	for (size_t i = 0; i < b->source.added_count; i++)
		if (b->added[i].text.size == wanted.size &&
			memcmp(b->added[i].text.bytes, wanted.bytes, wanted.size) == 0)
			return b->added[i].id;
	for (size_t id = 0; id < b->source.token_count; id++)
		if (b->tokens[id].bytes && b->tokens[id].size == wanted.size &&
			memcmp(b->tokens[id].bytes, wanted.bytes, wanted.size) == 0)
			return (uint32_t)id;
	return TOKENIZER_ID_NONE;
}

/* "eos_token": its text, or an object with the text as its content, or null. */
static uint32_t config_token(const struct source_builder *b, const json_t *config, const char *key)
{
	const json_t *value = json_object_get(config, key);

	return source_builder_find(
		b, json_is_object(value) ? json_object_get(value, "content") : value);
}

/* A token that is not named stays what the tokenizer.json says. */
static void config_bos(struct source_builder *b, const json_t *config)
{
	const uint32_t bos = config_token(b, config, "bos_token");

	if (bos != TOKENIZER_ID_NONE)
		b->source.bos_id = bos;
	if (json_is_true(json_object_get(config, "add_bos_token")))
		b->source.adds_bos = true;
}

/* A decimal number of up to seven digits and nothing else; -1 if it is something else. */
static int64_t parse_id(const char *text)
{
	int64_t id = 0;
	size_t size = 0;

	for (; text[size] >= '0' && text[size] <= '9' && size < 8; size++)
		id = id * 10 + (text[size] - '0');
	return size > 0 && size < 8 && text[size] == '\0' ? id : -1;
}

static enum err read_config(struct source_builder *b, const json_t *config, struct err_info *info)
{
	json_t *decoder;
	enum err code = ERR_NONE;

	if (!json_is_object(config))
		return err_set(info, ERR_INPUT, "not an object");
	decoder = json_object_get(config, "added_tokens_decoder");
	for (void *at = json_object_iter(decoder); at && !code;
		at = json_object_iter_next(decoder, at))
		code = source_builder_added(
			b, json_object_iter_value(at), parse_id(json_object_iter_key(at)), info);
	if (code)
		return code;
	config_bos(b, config);
	b->source.eos_id = config_token(b, config, "eos_token");
	b->source.pad_id = config_token(b, config, "pad_token");
	return ERR_NONE;
}

enum err source_builder_config(struct source_builder *b, const char *config, size_t size,
	json_t **root, struct err_info *info)
{
	enum err code;

	*root = NULL;
	if (!config)
		return ERR_NONE;
	if ((code = json_parse(root, config, size, &JSON_LIMITS_FILE, false, info)) ||
		(code = read_config(b, *root, info)))
		err_prefix(info, "tokenizer_config.json");
	return code;
}

const struct tokenizer_source *source_builder_finish(struct source_builder *b)
{
	b->source.tokens = b->tokens;
	b->source.merges = b->merges;
	b->source.added = b->added;
	return &b->source;
}

enum err source_open_tokenizer(void *context, const struct tokenizer_source *source,
	struct err_info *info)
{
	return tokenizer_open(context, source, info);
}
