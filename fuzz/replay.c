/* fuzz/replay.c - runs a fuzz target over its corpus without libFuzzer, so that make test keeps
 * what fuzzing found.
 *
 * Every file of the folders named is given to the target as it is, then cut short and with bytes
 * changed, by a fixed seed: the same inputs on every run and with every compiler.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/prng.h"

#define INPUT_BYTES_MAX    ((size_t)16 << 20)
/* of inputs that are also changed: a large one is tried as it is only */
#define CHANGED_BYTES_MAX  65536
#define CHANGES_PER_INPUT  64
#define CHANGES_AT_ONCE    4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of exactly its size, so that a sanitizer sees a read past its end. */
static void run_once(const char *bytes, size_t size)
{
	uint8_t *block = mem_alloc(size, 1);

	if (!block)
		abort();
	if (size)
		memcpy(block, bytes, size);
	(void)LLVMFuzzerTestOneInput(block, size);
	mem_free(block);
}

static void run_changed(struct buf *input, struct prng *p)
{
	if (input->size == 0 || input->size > CHANGED_BYTES_MAX)
		return;
	for (int i = 0; i < CHANGES_PER_INPUT; i++) {
		struct buf changed;

		buf_init(&changed, input->size);
		buf_add(&changed, input->data, i % 2 ? input->size
			: (size_t)prng_below(p, input->size));
		for (int j = 0; j < i % (CHANGES_AT_ONCE + 1) && changed.size > 0; j++)
			changed.data[prng_below(p, changed.size)] = (char)prng_next(p);
		run_once(changed.data, changed.size);
		buf_free(&changed);
	}
}

static int run_file(const char *path)
{
	struct err_info info = {0};
	struct buf input;
	struct prng p;

	prng_init(&p, 1);
	buf_init(&input, INPUT_BYTES_MAX);
	if (file_read(&input, path, &info)) {
		fprintf(stderr, "%s\n", info.text);
		buf_free(&input);
		return -1;
	}
	run_once(input.data, input.size);
	run_changed(&input, &p);
	buf_free(&input);
	return 0;
}

/* In the order of their names; the number of files, or -1. */
static int run_folder(const char *folder)
{
	struct dirent **entries;
	const int count = scandir(folder, &entries, NULL, alphasort);
	int files = 0;

	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];

		if (entries[i]->d_name[0] != '.' && files >= 0) {
			const char *name = entries[i]->d_name;
			const int failed =
				file_join(path, sizeof(path), folder, name) || run_file(path);

			files = failed ? -1 : files + 1;
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return count < 0 ? -1 : files;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const int files = run_folder(argv[i]);

		if (files <= 0) {
			fprintf(stderr, "%s: no corpus to replay\n", argv[i]);
			return 1;
		}
		printf("%s: %d inputs and their changes\n", argv[i], files);
	}
	return 0;
}
