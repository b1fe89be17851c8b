/* bench/tokenize.c - how long texts take to become tokens, for bench/compare_tokenizers.py.
 *
 *	tokenize FOLDER FILE [RUNS]
 *
 * Opens the folder's tokenizer once and encodes the file RUNS times (7), each a line: seconds of
 * processor time, tokens. Without the time to read files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu_time.h"
#include "model/tokenizer/tokenizer.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define SCRATCH_BYTES  ((size_t)8 << 30)

static enum err run_once(const struct tokenizer *t, const struct buf *text, struct token_list *list,
	struct err_info *info)
{
	struct arena scratch;

	arena_init(&scratch, 1 << 16, SCRATCH_BYTES);
	list->count = 0;
	const int64_t start = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);
	const enum err code =
		tokenizer_encode(t, text->data, text->size, false, &scratch, list, info);
	const int64_t end = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);

	arena_reset(&scratch);
	printf("%.6f %zu\n", (double)(end - start) / (double)NS_PER_S, list->count);
	fflush(stdout);
	return code;
}

int main(int argc, char **argv)
{
	struct token_list list = {0};
	struct tokenizer *t = NULL;
	struct err_info info = {0};
	struct buf text;
	enum err code;

	if (argc < 3)
		return 2;
	buf_init(&text, FILE_BYTES_MAX);
	if (!(code = tokenizer_open_dir(&t, argv[1], PRETOKENIZE_QWEN2, &info)) &&
		!(code = file_read(&text, argv[2], &info))) {
		const long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 7;

		list.count_max = 4 * text.size + 64;
		list.ids = mem_alloc(list.count_max, sizeof(*list.ids));
		for (long i = 0; list.ids && !code && i < runs; i++)
			code = run_once(t, &text, &list, &info);
	}
	if (code)
		fprintf(stderr, "%s\n", info.text);
	mem_free(list.ids);
	buf_free(&text);
	tokenizer_close(t);
	return code != ERR_NONE;
}
