/* tests/engine/memory_test.c - what a running model takes: its file once, and what its context
 * needs. */
#include "engine/support.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#define CONTEXT 64
#define ROWS    16

/* The one in which the weights end. */
#define HUGE_PAGE ((int64_t)2 << 20)

/* Layers as in Qwen3-0.6B, enough of each type for some 40 MB; a small vocabulary. */
#define LAYERS(count, type) \
	{"qwen3", 1024, (count), 3072, 320, 16, 8, 128, 128, 0, 0, 0, 0, (type)}

static const struct support_shape shapes[] = {
	LAYERS(2, CHIP_F32), LAYERS(2, CHIP_F16), LAYERS(2, CHIP_BF16), LAYERS(3, CHIP_Q8_0),
	LAYERS(5, CHIP_Q4_0), LAYERS(5, CHIP_Q4_1), LAYERS(4, CHIP_Q5_0), LAYERS(4, CHIP_Q5_1),
	LAYERS(8, CHIP_Q2_K), LAYERS(6, CHIP_Q3_K), LAYERS(5, CHIP_Q4_K), LAYERS(4, CHIP_Q5_K),
	LAYERS(4, CHIP_Q6_K), LAYERS(5, CHIP_IQ4_NL), LAYERS(5, CHIP_IQ4_XS),
	LAYERS(5, CHIP_MXFP4),
};

static char model_path[64];

/* A line of /proc/self/status, in bytes. */
static int64_t status_bytes(const char *key)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	long long kib = -1;

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoll(line + strlen(key), NULL, 10);
	if (status)
		(void)fclose(status);
	return kib * 1024;
}

static void write_model(const struct support_shape *shape, int pipe_end)
{
	(void)pipe_end;
	support_write_model(model_path, shape, 3);
}

/* Opens the model, runs a prompt through it and writes to the pipe how much memory it had at most,
 * beyond what the process had before and the context. */
static void run_model(const struct support_shape *shape, int pipe_end)
{
	const struct session_options options = {.sequences = 1, .context_max = CONTEXT,
		.chunk = ROWS, .kv_type = CHIP_F16};
	const int64_t context = (int64_t)CONTEXT * shape->layers * 2 * shape->kv_heads *
		shape->head_dim * 2;
	const uint32_t tokens[40] = {1, 2, 3};
	const int64_t before = status_bytes("VmRSS:");
	struct support_model m;

	support_model_open(&m, model_path, NULL, 2, ROWS, ROWS);
	mem_free(support_logits(&m, &options, tokens, 40));
	const int64_t peak = status_bytes("VmHWM:") - before - context;

	support_model_close(&m);
	assert_int_equal(write(pipe_end, &peak, sizeof(peak)), sizeof(peak));
}

/* In a process of its own, whose heap nobody has used; returns what it wrote, or 0. */
static int64_t in_child(const struct support_shape *shape,
	void (*what)(const struct support_shape *shape, int pipe_end))
{
	int ends[2], status = 1;
	int64_t said = 0;

	assert_int_equal(pipe(ends), 0);
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		what(shape, ends[1]);
		_exit(0);
	}
	(void)close(ends[1]);
	assert_true(read(ends[0], &said, sizeof(said)) >= 0);
	(void)close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return said;
}

static void a_model_takes_its_file_once_and_a_seventh_and_a_huge_page(void **state)
{
	(void)state;
	if (UNIT_SANITIZED)
		skip();   /* a sanitizer's own memory is counted too */
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct stat file;

		in_child(&shapes[i], write_model);
		assert_int_equal(stat(model_path, &file), 0);
		assert_true(file.st_size > 35 << 20);
		const int64_t peak = in_child(&shapes[i], run_model) - HUGE_PAGE;
		const double ratio = (double)peak / (double)file.st_size;

		print_message("type %d: %lld bytes, at most %.3f of it in memory\n",
			(int)shapes[i].type, (long long)file.st_size, ratio);
		assert_true(ratio > 0.9 && ratio < 1.15);
	}
	(void)unlink(model_path);
}

static void weights_that_do_not_fit_are_refused_before_any_is_packed(void **state)
{
	const struct chip_config config = {.threads = 1, .memory_bytes = 35 << 20};
	const struct model_load_options options = {ROWS, ROWS, CHIP_F16, false};
	struct err_info info = {0};
	struct model *model;
	struct chip *chip;

	(void)state;
	support_write_model(model_path, &shapes[3], 3);
	assert_int_equal(chip_open(&chip, "cpu", &config, &info), ERR_NONE);
	assert_int_equal(model_open(&model, model_path, &info), ERR_NONE);
	assert_int_equal(model_load(model, chip, &options, &info), ERR_MEMORY);
	assert_non_null(strstr(info.text, "MiB, and 35 MiB of memory are left for them; a smaller "));
	assert_int_equal(chip_memory_used(chip), 0);
	model_close(model);
	chip_close(chip);
	(void)unlink(model_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_takes_its_file_once_and_a_seventh_and_a_huge_page),
		cmocka_unit_test(weights_that_do_not_fit_are_refused_before_any_is_packed),
	};

	snprintf(model_path, sizeof(model_path), "/tmp/tongyun-memory-%d.gguf", (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
