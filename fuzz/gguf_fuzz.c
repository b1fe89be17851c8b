/* fuzz/gguf_fuzz.c - bytes as a GGUF model: what opens can be read, all of it, tokenizer too.
 *
 * Half of the changes keep the file parsable: they set one value of the metadata, so that the
 * config and the shapes are reached, not only the header. */
#include <stdint.h>
#include <string.h>

#include "base/prng.h"
#include "model/tokenizer_gguf.h"
#include "weights_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
/* libFuzzer's own; not there in the replay. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max) __attribute__((weak));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_info info = {0};
	struct tokenizer *t = NULL;
	struct weights w;
	struct gguf g;

	if (!gguf_open(&g, data, size, "fuzz.gguf", &info)) {
		if (!tokenizer_open_gguf(&t, &g, &info))
			assert(tokenizer_count(t) > 0);
		tokenizer_close(t);
		gguf_close(&g);
	}
	if (!weights_open_memory(&w, data, size, "fuzz.gguf", &info)) {
		touch_weights(&w);
		weights_close(&w);
	} else {
		assert(info.text[0]);
	}
	return 0;
}

/* Sets a scalar to a number near the edges, or one byte of anything else. */
static void change_value(uint8_t *value, const struct gguf_key *key, struct prng *p)
{
	static const uint64_t numbers[] = {0, 1, 2, 3, 4, 7, 8, 32, 255, 513, 65536, INT32_MAX,
		UINT32_MAX, INT64_MAX, UINT64_MAX};
	const uint64_t number = numbers[prng_below(p, sizeof(numbers) / sizeof(numbers[0]))];
	const bool wide = key->type == GGUF_U64 || key->type == GGUF_I64 || key->type == GGUF_F64;
	const bool narrow = key->type == GGUF_U8 || key->type == GGUF_I8 || key->type == GGUF_BOOL;
	const bool half = key->type == GGUF_U16 || key->type == GGUF_I16;

	if (key->count == 0)
		return;
	if (key->type == GGUF_STRING || key->type == GGUF_ARRAY)
		value[prng_below(p, key->count)] = (uint8_t)prng_next(p);
	else
		memcpy(value, &number, wide ? 8 : narrow ? 1 : half ? 2 : 4);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
	struct err_info info = {0};
	struct prng p;
	struct gguf g;

	prng_init(&p, seed);
	if (prng_below(&p, 2) && !gguf_open(&g, data, size, "fuzz.gguf", &info)) {
		if (g.key_count > 0) {
			const struct gguf_key *key = &g.keys[prng_below(&p, g.key_count)];

			change_value(data + (key->data - data), key, &p);
		}
		gguf_close(&g);
		return size;
	}
	return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, size_max) : size;
}
