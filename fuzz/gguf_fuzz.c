/* fuzz/gguf_fuzz.c - bytes as a GGUF model: what opens can be read, all of it, tokenizer too.
 *
 * Most changes keep the file parsable (gguf_mutate.h), so that the config and the shapes are
 * reached, not only the header. */
#include <stdint.h>
#include <string.h>

#include "gguf_mutate.h"
#include "model/tokenizer/tokenizer_gguf.h"
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

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
	struct prng p;

	prng_init(&p, seed);
	if (prng_below(&p, 4)) {
		const size_t new_size = gguf_mutate(data, size, size_max, &p);

		if (new_size)
			return new_size;
	}
	return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, size_max) : size;
}
