/* fuzz/tokenizer_json_fuzz.c - a tokenizer.json, maybe with a tokenizer_config.json after a zero
 * byte: opened or refused; one that opens encodes its own bytes, a user's to no special token, and
 * what no step changes or drops decodes to the text again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "model/tokenizer/source_builder.h"

#define TEXT_BYTES_MAX ((size_t)512)
#define IDS_MAX        (TEXT_BYTES_MAX * 64)
#define SCRATCH_BYTES  ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct opened {
	struct tokenizer *t;
	bool faithful;
};

static enum err open_source(void *context, const struct tokenizer_source *source,
	struct err_info *info)
{
	const struct pretokenizer_steps *steps = &source->pretokenizer;
	struct opened *o = context;

	o->faithful = source->normalizer.count == 0 && source->unk_id == TOKENIZER_ID_NONE;
	for (size_t i = 0; i < steps->count; i++)
		o->faithful = o->faithful && steps->steps[i].kind != PRETOKENIZER_PREFIX_SPACE &&
			      steps->steps[i].behavior != PRETOKENIZER_REMOVED;
	return tokenizer_open(&o->t, source, info);
}

/* Tokens put together are the text, but for bytes that no token has. */
static void check_round_trip(const struct tokenizer *t, const struct token_list *list,
	const char *text, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct token_text token = tokenizer_text(t, list->ids[i]);

		for (size_t k = 0; k < token.size; k++, at++) {
			while (at < size && text[at] != token.bytes[k])
				at++;
			assert(at < size);
		}
	}
}

static void encode(const struct opened *o, const char *text, size_t size, bool special)
{
	uint32_t ids[IDS_MAX];
	struct token_list list = {.ids = ids, .count_max = IDS_MAX};
	struct err_info info = {0};
	struct arena scratch;

	arena_init(&scratch, 4096, SCRATCH_BYTES);
	if (tokenizer_encode(o->t, text, size, special, &scratch, &list, &info))
		assert(info.code == ERR_LIMIT && info.text[0]);
	else if (o->faithful && !special)
		check_round_trip(o->t, &list, text, size);
	for (size_t i = 0; i < list.count; i++)
		assert(ids[i] < tokenizer_count(o->t) &&
			(special || !tokenizer_is_special(o->t, ids[i])));
	arena_reset(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *zero = size ? memchr(text, '\0', size) : NULL;
	const size_t json_size = zero ? (size_t)(zero - text) : size;
	struct opened o = {.t = NULL};
	struct err_info info = {0};

	if (source_read_json(text, json_size, zero ? zero + 1 : NULL,
		    zero ? size - json_size - 1 : 0, open_source, &o, &info)) {
		assert(!o.t && info.text[0]);
		return 0;
	}
	for (uint32_t id = 0; id < tokenizer_count(o.t) && id < 1000; id++)
		(void)tokenizer_text(o.t, id);
	encode(&o, text, size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX, true);
	encode(&o, text, size < TEXT_BYTES_MAX ? size : TEXT_BYTES_MAX, false);
	tokenizer_close(o.t);
	return 0;
}
