/* fuzz/tokenizer_json_fuzz.c - a tokenizer.json, maybe with a tokenizer_config.json after a zero
 * byte: opened or refused; one that opens encodes its own bytes, and what it encodes decodes to the
 * text again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/tokenizer.h"

#define TEXT_BYTES_MAX 512
#define SCRATCH_BYTES  ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tokens put together are the text, unless NFC has changed it. */
static void check_round_trip(
	const struct tokenizer *t, const struct token_list *list, const char *text, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct token_text token = tokenizer_text(t, list->ids[i]);

		assert(list->ids[i] < tokenizer_count(t));
		if (token.size > size - at || memcmp(token.bytes, text + at, token.size) != 0)
			abort();
		at += token.size;
	}
	if (at != size)
		abort();
}

static void encode(const struct tokenizer *t, const char *text, size_t size, bool special)
{
	uint32_t ids[TEXT_BYTES_MAX * 3];
	struct token_list list = {.ids = ids, .count_max = TEXT_BYTES_MAX * 3};
	bool ascii = true;
	struct arena scratch;

	for (size_t i = 0; i < size; i++)
		ascii = ascii && (unsigned char)text[i] < 0x80;
	arena_init(&scratch, 4096, SCRATCH_BYTES);
	if (tokenizer_encode(t, text, size, special, &scratch, &list, &(struct err_info){0}))
		abort();
	if (ascii)
		check_round_trip(t, &list, text, size);
	for (size_t i = 0; i < list.count && !special; i++)
		if (tokenizer_is_special(t, ids[i]))
			abort();
	arena_reset(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *zero = size ? memchr(text, '\0', size) : NULL;
	const size_t json_size = zero ? (size_t)(zero - text) : size;
	struct err_info info = {0};
	struct tokenizer *t;

	if (tokenizer_open_json(&t, text, json_size, zero ? zero + 1 : NULL,
		    zero ? size - json_size - 1 : 0, &info)) {
		assert(!t && info.text[0]);
		return 0;
	}
	for (uint32_t id = 0; id < tokenizer_count(t) && id < 1000; id++)
		(void)tokenizer_text(t, id);
	encode(t, text, size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX, true);
	encode(t, text, size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX, false);
	tokenizer_close(t);
	return 0;
}
