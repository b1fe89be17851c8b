/* fuzz/tokenizer_pipeline_fuzz.c - {"normalizer", "pre_tokenizer", "added"}, a zero byte, and a text:
 * a pipeline over a vocabulary of bytes is refused, or the text becomes tokens; special ones only
 * where it is trusted, and all of it where no step changes or drops anything. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/byte_tokens.h"
#include "model/tokenizer/pipeline_json.h"
#include "model/tokenizer/source_builder.h"

#define TEXT_BYTES_MAX ((size_t)1024)
#define IDS_MAX        ((size_t)1 << 17)
#define SCRATCH_BYTES  ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t ids[IDS_MAX];

static bool is_faithful(const struct tokenizer_source *source)
{
	const struct pretokenizer_steps *steps = &source->pretokenizer;

	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].kind == PRETOKENIZER_PREFIX_SPACE ||
			steps->steps[i].behavior == PRETOKENIZER_REMOVED)
			return false;
	return source->normalizer.count == 0;
}

static void check_text(const struct tokenizer *t, const struct token_list *list, const char *text,
	size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct token_text token = tokenizer_text(t, list->ids[i]);

		if (token.size > size - at || memcmp(token.bytes, text + at, token.size) != 0)
			abort();
		at += token.size;
	}
	assert(at == size);
}

static void encode(const struct tokenizer *t, const char *text, size_t size, bool special,
	bool faithful)
{
	struct token_list list = {.ids = ids, .count_max = IDS_MAX};
	struct err_info info = {0};
	struct arena scratch;

	arena_init(&scratch, 4096, SCRATCH_BYTES);
	if (tokenizer_encode(t, text, size, special, &scratch, &list, &info))
		assert(info.code == ERR_LIMIT && info.text[0]);
	else if (faithful && !special)
		check_text(t, &list, text, size);
	for (size_t i = 0; i < list.count; i++)
		assert(list.ids[i] < tokenizer_count(t) &&
			(special || list.ids[i] < BYTE_TOKENS));
	arena_reset(&scratch);
}

/* Added tokens as tokenizer.json has them; ids count up. */
static enum err read_added(struct source_builder *b, const json_t *list, struct err_info *info)
{
	enum err code = ERR_NONE;

	for (size_t i = 0; i < json_array_size(list) && !code; i++)
		code = source_builder_added(
			b, json_array_get(list, i), (int64_t)(BYTE_TOKENS + i), info);
	return code;
}

static void run(const json_t *root, const char *text, size_t size)
{
	struct token_text tokens[BYTE_TOKENS];
	struct tokenizer *t = NULL;
	struct err_info info = {0};
	struct source_builder b;
	enum err code;

	byte_tokens_make(tokens);
	source_builder_init(&b);
	if (!(code = pipeline_normalizer(
		      json_object_get(root, "normalizer"), &b.source.normalizer, &info)) &&
		!(code = pipeline_pre_tokenizer(json_object_get(root, "pre_tokenizer"),
			  &b.source.pretokenizer, &info)) &&
		!(code = read_added(&b, json_object_get(root, "added"), &info))) {
		struct tokenizer_source source = *source_builder_finish(&b);

		source.tokens = tokens;
		source.token_count = BYTE_TOKENS;
		if (!(code = tokenizer_open(&t, &source, &info))) {
			encode(t, text, size, true, is_faithful(&source));
			encode(t, text, size, false, is_faithful(&source));
		}
	}
	assert(!code || info.text[0]);
	tokenizer_close(t);
	source_builder_close(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *zero = size ? memchr(text, '\0', size) : NULL;
	const size_t json_size = zero ? (size_t)(zero - text) : size;
	const size_t left = zero ? size - json_size - 1 : 0;
	struct err_info info = {0};
	json_t *root = NULL;

	if (!json_parse(&root, text, json_size, &JSON_LIMITS_REQUEST, true, &info))
		run(root, zero ? zero + 1 : "", left < TEXT_BYTES_MAX ? left : TEXT_BYTES_MAX);
	json_decref(root);
	return 0;
}
