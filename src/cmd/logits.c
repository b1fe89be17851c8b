/* cmd/logits.c - `tongyun logits`: the model's logits at every position as a NumPy array, and on
 * demand every intermediate result, for comparing with a reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "engine/session.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "model/weights/weights.h"

#define TOKENS_BYTES_MAX ((size_t)64 << 20)
#define CHUNK_DEFAULT 64   /* bounds the logits in memory: 64 rows of 248,320 are 64 MB */

#define NPY_HEADER_BYTES 128

/* NumPy format 1.0: magic, header padded to 64 bytes, little-endian float32 in C order. */
static void npy_header(char header[NPY_HEADER_BYTES], uint32_t rows, uint32_t columns)
{
	char shape[96];
	int size;

	snprintf(shape, sizeof(shape),
		"{'descr': '<f4', 'fortran_order': False, 'shape': (%u, %u), }", rows, columns);
	memcpy(header, "\x93NUMPY\x01\x00", 8);
	header[8] = NPY_HEADER_BYTES - 10;
	header[9] = 0;
	size = snprintf(header + 10, NPY_HEADER_BYTES - 10, "%-117s", shape);
	header[10 + size] = '\n';
}

/* Blank-separated ids. */
static enum err tokens_read(const char *path, uint32_t vocab, uint32_t **tokens, uint32_t *count,
	struct err_info *info)
{
	struct buf text;
	const char *at;
	char *end;
	enum err err;

	buf_init(&text, TOKENS_BYTES_MAX);
	*count = 0;
	if ((err = file_read(&text, path, info)))
		goto done;
	*tokens = mem_alloc(text.size / 2 + 1, sizeof(**tokens));
	if (!*tokens) {
		err = err_set(info, ERR_MEMORY, "out of memory for the tokens of %s", path);
		goto done;
	}
	for (at = text.data ? text.data : "";; at = end) {
		at += strspn(at, " \t\r\n");
		if (*at == '\0')
			break;
		const unsigned long id = strtoul(at, &end, 10);

		if (end == at || id >= vocab) {
			err = err_set(info, ERR_INPUT, "%s: token %u is not an id below %u", path,
				*count, vocab);
			goto done;
		}
		(*tokens)[(*count)++] = (uint32_t)id;
	}
	if (*count == 0)
		err = err_set(info, ERR_INPUT, "%s: no tokens", path);
done:
	buf_free(&text);
	return err;
}

struct layer_dump {
	const char *dir;
	uint32_t rows;      /* of all chunks together */
	bool started;       /* this is not the first chunk: its rows come behind those
			     * that are there */
	bool failed;
};

/* DIR/layer.NN.name.npy, of every row however the prompt was cut. */
static void layer_see(void *context, const char *tap, uint32_t layer, const float *values,
	uint32_t rows, uint32_t columns)
{
	struct layer_dump *dump = context;
	char path[1024], header[NPY_HEADER_BYTES];
	FILE *out;

	if (layer == CHIP_NONE)
		snprintf(path, sizeof(path), "%s/%s.npy", dump->dir, tap);
	else
		snprintf(path, sizeof(path), "%s/layer.%02u.%s.npy", dump->dir, layer, tap);
	out = fopen(path, dump->started ? "ab" : "wb");
	npy_header(header, dump->rows, columns);
	if (!out || (!dump->started && fwrite(header, sizeof(header), 1, out) != 1) ||
		fwrite(values, (size_t)columns * 4, rows, out) != rows)
		dump->failed = true;
	if (out && fclose(out) != 0)
		dump->failed = true;
}

static enum err logits_check(const float *logits, uint32_t position, uint32_t rows, uint32_t vocab,
	struct err_info *info)
{
	for (size_t i = 0; i < (size_t)rows * vocab; i++)
		if (!isfinite(logits[i]))
			return err_set(info, ERR_INPUT,
				"the logits of position %zu are not finite: the model's weights "
				"are damaged; get them again", position + i / vocab);
	return ERR_NONE;
}

static enum err logits_write(struct session *s, uint32_t chunk, const uint32_t *tokens,
	uint32_t count, uint32_t vocab, struct file_out *out, struct layer_dump *dump,
	struct err_info *info)
{
	static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
	float *logits = mem_alloc((size_t)chunk * vocab, sizeof(*logits));
	struct chip_output output = {.logits = logits};
	enum err err = ERR_NONE;

	if (!logits)
		return err_set(info, ERR_MEMORY,
			"out of memory for %u rows of logits; use a smaller --chunk", chunk);
	session_start(s, 0, &greedy, tokens, 1);
	for (uint32_t at = 0; at < count && !err;) {
		const uint32_t rows = count - at < chunk ? count - at : chunk;
		const struct session_item item = {
			.tokens = tokens + at, .token_count = rows, .want = CHIP_WANT_LOGITS,
			.want_all = true};

		err = session_step(s, &item, 1, &output, info);
		if (!err)
			err = logits_check(logits, at, rows, vocab, info);
		if (!err)
			err = file_out_write(out, logits, (size_t)rows * vocab * 4, info);
		at += rows;
		dump->started = true;
	}
	mem_free(logits);
	return err;
}

struct logits_arguments {
	struct cmd_model_options load;
	const char *tokens_path, *out_path, *dump_dir;
	uint32_t chunk;
};

static enum err logits_run(const struct logits_arguments *a, struct err_info *info)
{
	struct layer_dump dump = {.dir = a->dump_dir};
	const struct chip_observer observer = {layer_see, &dump};
	struct session_options options = {.sequences = 1, .kv_type = a->load.kv_type,
		.chunk = a->chunk, .observer = a->dump_dir ? &observer : NULL};
	struct cmd_model loaded = {0};
	struct session *session = NULL;
	uint32_t *tokens = NULL;
	uint32_t count;
	struct file_out out = {.fd = -1};
	char header[NPY_HEADER_BYTES];
	enum err err;

	if ((err = cmd_model_load(&loaded, &a->load, info)))
		return err;
	const struct model_config *config = model_config(loaded.model);

	if (weights_are_in(model_weights(loaded.model), a->out_path)) {
		err = err_set(info, ERR_INPUT, "%s: is what is read; give another name",
			a->out_path);
		goto done;
	}
	if ((err = tokens_read(a->tokens_path, config->vocab, &tokens, &count, info)))
		goto done;
	options.context_max = count;
	dump.rows = count;
	if (a->dump_dir && ((err = file_mkdirs(a->dump_dir, info))))
		goto done;
	if ((err = session_open(&session, loaded.model, &options, info)))
		goto done;
	npy_header(header, count, config->vocab);
	if ((err = file_out_open(&out, a->out_path,
		sizeof(header) + (uint64_t)count * config->vocab * 4, 0666, info)) ||
		(err = file_out_write(&out, header, sizeof(header), info)) ||
		(err = logits_write(session, a->chunk, tokens, count, config->vocab, &out, &dump,
			info)))
		goto done;
	err = dump.failed
		? err_set(info, ERR_IO, "%s: the layers could not be written", a->dump_dir)
		: file_out_commit(&out, info);
done:
	file_out_close(&out);
	session_close(session);
	cmd_model_close(&loaded);
	mem_free(tokens);
	return err;
}

int cmd_logits(int argc, char **argv)
{
	struct logits_arguments a = {0};
	int64_t chunk = CHUNK_DEFAULT;
	const char *kv_type = NULL;
	const struct option_row rows[] = {
		{"tokens", 0, OPTION_STRING, &a.tokens_path, 0, 0, "F",
			"file of ids, blank separated; -: stdin"},
		{"out", 'o', OPTION_STRING, &a.out_path, 0, 0, "O.npy",
			"float32 array [tokens, vocab]"},
		{"chunk", 0, OPTION_INT, &chunk, 1, CHIP_ROWS_MAX, "N",
			"rows of a prefill step (64)"},
		OPTION_ROW_THREADS(&a.load.threads),
		OPTION_ROW_ISA(&a.load.isa),
		OPTION_ROW_KV_TYPE(&kv_type),
		{"dump-layers", 0, OPTION_STRING, &a.dump_dir, 0, 0, "DIR",
			"also write every intermediate result as DIR/layer.NN.name.npy"},
		OPTION_ROW_MODEL(&a.load.path),
	};
	const struct options options = {"logits", "[MODEL] --tokens F --out O.npy",
		"Writes the logits of every position of a token sequence.", rows,
		sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	int exit_code;

	if (!cmd_parse_model(&options, argc, argv, &a.load.path, &exit_code))
		return exit_code;
	if (!cmd_kv_type(&options, kv_type, &a.load.kv_type))
		return CMD_WRONG;
	if (!a.tokens_path || !a.out_path)
		return options_wrong(&options, "--tokens and --out are needed");
	if (strcmp(a.out_path, "-") == 0)
		return options_wrong(&options, "--out is a file, not standard output");
	a.chunk = (uint32_t)chunk;
	a.load.rows_max = a.load.wanted_max = a.chunk;
	a.load.taps = a.dump_dir != NULL;
	return logits_run(&a, &info) ? cmd_fail(&info) : CMD_DONE;
}
