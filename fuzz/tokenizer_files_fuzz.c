/* fuzz/tokenizer_files_fuzz.c - a vocab.json, a merges.txt and a tokenizer_config.json, a zero byte
 * between them: opened or refused; one that opens encodes the texts of its own files, and every id
 * that comes out is one of its tokens. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "model/tokenizer/tokenizer.h"

#define TEXT_BYTES_MAX 512
#define SCRATCH_BYTES  ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct part {
	const char *text;
	size_t size;
};

/* What stands before the next zero byte; text NULL where nothing is left. */
static struct part next_part(const char **text, size_t *size)
{
	const char *zero = *text && *size ? memchr(*text, 0, *size) : NULL;
	const struct part part = {*text, zero ? (size_t)(zero - *text) : *size};

	*size = zero ? *size - part.size - 1 : 0;
	*text = zero ? zero + 1 : NULL;
	return part;
}

static void encode(const struct tokenizer *t, const char *text, size_t size)
{
	uint32_t ids[TEXT_BYTES_MAX * 3];
	struct token_list list = {.ids = ids, .count_max = TEXT_BYTES_MAX * 3};
	struct err_info info = {0};
	struct arena scratch;

	arena_init(&scratch, 4096, SCRATCH_BYTES);
	const enum err code = tokenizer_encode(t, text,
		size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX, false, &scratch, &list, &info);

	assert(!code || info.text[0]);
	for (size_t i = 0; i < list.count && !code; i++)
		assert(ids[i] < tokenizer_count(t) && !tokenizer_is_special(t, ids[i]));
	arena_reset(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t left = size;
	const struct part vocab = next_part(&text, &left), merges = next_part(&text, &left),
			  config = next_part(&text, &left);
	struct err_info info = {0};
	struct tokenizer *t;

	if (tokenizer_open_vocab(&t, vocab.text, vocab.size, merges.text ? merges.text : "",
		    merges.text ? merges.size : 0, config.text, config.text ? config.size : 0,
		    PRETOKENIZE_QWEN2, &info)) {
		assert(!t && info.text[0]);
		return 0;
	}
	for (uint32_t id = 0; id < tokenizer_count(t) && id < 1000; id++)
		(void)tokenizer_text(t, id);
	encode(t, vocab.text, vocab.size);
	if (merges.text)
		encode(t, merges.text, merges.size);
	tokenizer_close(t);
	return 0;
}
