/* tests/model/tokenize_texts.c - the tokenizer of a folder on many texts at once, for
 * test_tokenizer.py.
 *
 *	tokenize_texts FOLDER [--special] < TEXTS.json
 *
 * Standard input is an array of strings; one line of ids for each comes out, or "error: ..." where
 * one cannot be encoded. A tokenizer that is refused is one line on standard error, exit 1.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/tokenizer/tokenizer.h"

#define TOKENS_MAX    ((size_t)1 << 22)
#define INPUT_BYTES_MAX ((size_t)256 << 20)
#define SCRATCH_BYTES ((size_t)1 << 30)

static uint32_t ids[TOKENS_MAX];

static void print_text(const struct tokenizer *t, const json_t *text, bool special)
{
	struct token_list list = {.ids = ids, .count_max = TOKENS_MAX};
	struct err_info info = {0};
	struct arena scratch;

	arena_init(&scratch, 1 << 16, SCRATCH_BYTES);
	if (tokenizer_encode(t, json_string_value(text), json_string_length(text), special,
		    &scratch, &list, &info))
		printf("error: %s", info.text);
	for (size_t i = 0; info.text[0] == '\0' && i < list.count; i++)
		printf("%s%u", i ? " " : "", list.ids[i]);
	putchar('\n');
	arena_reset(&scratch);
}

static enum err run(const char *folder, bool special, struct err_info *info)
{
	struct tokenizer *t = NULL;
	json_t *texts = NULL;
	struct buf input;
	enum err code;

	buf_init(&input, INPUT_BYTES_MAX);
	if (!(code = tokenizer_open_dir(&t, folder, PRETOKENIZE_QWEN2, info)) &&
		!(code = file_read(&input, "-", info))) {
		texts = json_loadb(input.data, input.size, JSON_ALLOW_NUL, NULL);
		for (size_t i = 0; i < json_array_size(texts); i++)
			print_text(t, json_array_get(texts, i), special);
	}
	json_decref(texts);
	buf_free(&input);
	tokenizer_close(t);
	return code;
}

int main(int argc, char **argv)
{
	struct err_info info = {0};

	if (argc < 2)
		return 2;
	if (run(argv[1], argc > 2 && strcmp(argv[2], "--special") == 0, &info)) {
		fprintf(stderr, "%s\n", info.text);
		return 1;
	}
	return 0;
}
