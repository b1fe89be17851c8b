/* fuzz/regex_fuzz.c - an expression, a zero byte, and a text: refused, or the text is split into
 * all of its bytes in order, within its steps. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "model/tokenizer/regex.h"

#define SCRATCH_BYTES  ((size_t)256 << 20)
#define TEXT_BYTES_MAX ((size_t)4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t end;
	size_t size;
};

static enum err see(void *context, size_t begin, size_t end, bool matched)
{
	struct seen *s = context;

	assert(begin == s->end && begin <= end && end <= s->size);
	assert(matched || begin < end);
	s->end = end;
	return ERR_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *pattern = (const char *)data;
	const char *zero = size ? memchr(pattern, '\0', size) : NULL;
	const size_t pattern_size = zero ? (size_t)(zero - pattern) : size;
	const char *text = zero ? zero + 1 : pattern;
	size_t text_size = zero ? size - pattern_size - 1 : size;
	struct regex_work *w = NULL;
	struct err_info info = {0};
	struct arena arena;
	struct regex *r;

	text_size = text_size < TEXT_BYTES_MAX ? text_size : TEXT_BYTES_MAX;
	if (regex_open(&r, pattern, pattern_size, &info)) {
		assert(!r && info.text[0]);
		return 0;
	}
	arena_init(&arena, 65536, SCRATCH_BYTES);
	struct seen s = {.size = text_size};
	if (regex_work_allow(&w, &arena, text_size, &info) ||
		regex_split(r, w, text, text_size, see, &s, &info))
		assert(info.code == ERR_LIMIT);
	else
		assert(s.end == text_size);
	assert(!w || regex_work_steps(w) <= REGEX_STEPS_MIN +
		REGEX_STEPS_PER_BYTE * (uint64_t)text_size + text_size + 1);
	arena_reset(&arena);
	regex_close(r);
	return 0;
}
