/* cmd/common.c - what the verbs share: errors, JSON, opening a model on a chip. */
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "chip/format.h"
#include "cmd/cmd.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"
#include "server/home.h"

#define ROWS_DEFAULT      512
#define SCRATCH_CHUNK     ((size_t)1 << 20)
#define SCRATCH_BYTES_MAX ((size_t)4 << 30)

int cmd_fail(const struct err_info *info)
{
	fprintf(stderr, "tongyun: error: %s\n", info->text);
	return CMD_FAILED;
}

int cmd_print_json(json_t *document)
{
	const bool good = document &&
		json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0;

	json_decref(document);
	if (!good) {
		fprintf(stderr, "tongyun: error: the JSON document could not be written\n");
		return CMD_FAILED;
	}
	putchar('\n');
	return CMD_DONE;
}

bool cmd_parse(const struct options *o, int argc, char **argv, const char **positionals,
	uint32_t *positional_count, int *exit_code)
{
	const enum options_result result = options_parse(o, argc, argv, positionals,
		positional_count);

	*exit_code = result == OPTIONS_WRONG ? CMD_WRONG : CMD_DONE;
	return result == OPTIONS_OK;
}

bool cmd_parse_one(const struct options *o, int argc, char **argv, const char **argument,
	const char *which, int *exit_code)
{
	uint32_t count;

	assert(o->positional_max == 1);
	if (!cmd_parse(o, argc, argv, argument, &count, exit_code))
		return false;
	if (count == 0)
		*exit_code = options_wrong(o, "%s", which);
	return count == 1;
}

const char *cmd_said(const char *argument, char out[CMD_SAID_BYTES])
{
	snprintf(out, CMD_SAID_BYTES, "%s", argument);
	utf8_blank_controls(out, '?');
	return out;
}

int cmd_dispatch(int argc, char **argv, const char *about, const struct cmd_subverb *subverbs,
	uint32_t count)
{
	const bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 ||
		strcmp(argv[1], "-h") == 0);

	for (uint32_t i = 0; argc > 1 && i < count; i++)
		if (strcmp(argv[1], subverbs[i].name) == 0)
			return subverbs[i].run(argc - 1, argv + 1);
	FILE *out = help ? stdout : stderr;

	if (argc > 1 && !help) {
		char said[CMD_SAID_BYTES];

		fprintf(out, "tongyun: %s: unknown '%s'\n", argv[0], cmd_said(argv[1], said));
	}
	fprintf(out, "usage: tongyun %s VERB ...\n\n%s\n\n", argv[0], about);
	for (uint32_t i = 0; i < count; i++)
		fprintf(out, "  tongyun %s %s --help\n", argv[0], subverbs[i].name);
	return help ? CMD_DONE : CMD_WRONG;
}

const char *cmd_size(uint64_t bytes, char out[CMD_SIZE_BYTES])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
	double value = (double)bytes / 1000;
	size_t unit = 0;

	while (value >= 999.95 && unit + 1 < sizeof(units) / sizeof(*units)) {
		value /= 1000;
		unit++;
	}
	snprintf(out, CMD_SIZE_BYTES, "%.1f %s", value, units[unit]);
	return out;
}

/* The text's ids; most have no more than it has bytes, but a normalizer may make it longer. */
static enum err encode(const struct tokenizer *t, const struct cmd_text *how,
	const struct buf *text, struct token_list *list, struct err_info *info)
{
	const char *bytes = text->data ? text->data : "";
	struct arena scratch;
	enum err err = ERR_LIMIT;

	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	for (size_t max = text->size + 1; err == ERR_LIMIT; max *= 2) {
		*info = (struct err_info){0};
		mem_free(list->ids);
		*list = (struct token_list){.ids = mem_alloc(max, sizeof(*list->ids)),
			.count_max = max};
		if (!list->ids) {
			err = err_set(info, ERR_MEMORY, "out of memory for %zu bytes of text",
				text->size);
			break;
		}
		err = how->raw
			? tokenizer_encode_raw(t, bytes, text->size, how->special, &scratch, list,
				info)
			: tokenizer_encode(t, bytes, text->size, how->special, &scratch, list,
				info);
		arena_reset(&scratch);
		if (list->count < max)   /* another limit */
			break;
	}
	return err;
}

enum err cmd_text_encode(const struct tokenizer *t, const struct cmd_text *how,
	struct token_list *list, struct err_info *info)
{
	struct buf text;
	enum err err;

	buf_init(&text, CMD_TEXT_BYTES_MAX);
	if (!(err = file_read(&text, how->path, info)))
		err = encode(t, how, &text, list, info);
	buf_free(&text);
	return err;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

const volatile sig_atomic_t *cmd_signals_take(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, old;

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &action, NULL);
	return &interrupted;
}

const struct tm *cmd_now(struct tm *out)
{
	const time_t seconds = (time_t)(clock_wall_ns() / NS_PER_S);

	return localtime_r(&seconds, out);
}

bool cmd_model_once(const struct options *o, const void *value, const char *positional,
	uint32_t count)
{
	if (count == 0 || options_source(value) != OPTION_FLAGS)
		return true;
	options_wrong(o, "'%s' is too much: --model has named a MODEL already", positional);
	return false;
}

bool cmd_model_argument(const struct options *o, const char **path, const char *positional,
	uint32_t count)
{
	if (!cmd_model_once(o, path, positional, count))
		return false;
	if (count > 0)
		*path = positional;
	return true;
}

bool cmd_parse_model(const struct options *o, int argc, char **argv, const char **path,
	int *exit_code)
{
	const char *positional = NULL;
	uint32_t count;

	assert(o->positional_max == 1);
	if (!cmd_parse(o, argc, argv, &positional, &count, exit_code))
		return false;
	*exit_code = CMD_WRONG;
	return cmd_model_argument(o, path, positional, count);
}

bool cmd_kv_type(const struct options *o, const char *said, enum chip_type *out)
{
	static const enum chip_type types[] = {CHIP_F32, CHIP_F16, CHIP_BF16, CHIP_Q8_0};

	*out = MODEL_KV_AUTO;
	if (!said || strcmp(said, "auto") == 0)
		return true;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcasecmp(said, chip_type_name(types[i])) == 0) {
			*out = types[i];
			return true;
		}
	options_wrong(o, "--kv-type '%.30s': auto, f32, f16, bf16 and q8_0 are known", said);
	return false;
}

bool cmd_is_model_path(const char *text)
{
	const size_t size = strlen(text);

	return file_is_dir(text) || (size > 5 && strcmp(text + size - 5, ".gguf") == 0);
}

bool cmd_looks_like_model(const char *text)
{
	return file_exists(text) || hub_name_looks(text) || cmd_is_model_path(text);
}

enum err cmd_store_open(struct store *s, struct err_info *info)
{
	char home[PATH_MAX];

	if (home_default_path(home, sizeof(home), info))
		return info->code;
	return store_open(s, home, info);
}

enum err cmd_model_find(const char *said, struct store_model *out, struct err_info *info)
{
	struct store store;
	struct hub_name name;

	*out = (struct store_model){.fd = -1};
	if (file_exists(said)) {
		if ((size_t)snprintf(out->path, sizeof(out->path), "%s", said) < sizeof(out->path))
			return ERR_NONE;
		return err_set(info, ERR_LIMIT, "%.200s...: the path is too long", said);
	}
	if (hub_name_looks(said) && !hub_name_parse(&name, said, false, &(struct err_info){0}))
		return cmd_store_open(&store, info) ? info->code
			: store_find(&store, &name, out, info);
	return err_set(info, ERR_NOT_FOUND, "%s: no such model; give a directory, a .gguf file, a "
		"name that `tongyun list` shows, or nothing for the model inside", said);
}

enum err cmd_model_open(struct cmd_model *m, const char *said, struct err_info *info)
{
	struct store_model found = {.fd = -1};

	*m = (struct cmd_model){0};
	if (said && cmd_model_find(said, &found, info))
		return info->code;
	memcpy(m->path, found.path, sizeof(m->path));
	if (!model_open(&m->model, said ? m->path : NULL, info) && found.fd >= 0)
		model_name_set(m->model, said);
	store_release(&found);
	return info->code;
}

/* More threads than cores take turns, and at every barrier again. */
static void note_threads(int64_t threads)
{
	struct chip_info cpu;

	if (threads > 0 && chip_list(&cpu, 1) > 0 && threads > cpu.cores)
		(void)fprintf(stderr, "tongyun: note: %" PRId64 " threads take turns on %u cores\n",
			threads, cpu.cores);
}

enum err cmd_model_load(struct cmd_model *m, const struct cmd_model_options *options,
	struct err_info *info)
{
	const struct chip_config config = {.isa = options->isa,
		.threads = (uint32_t)options->threads};
	const struct model_load_options load = {
		.rows_max = options->rows_max ? options->rows_max : ROWS_DEFAULT,
		.wanted_max = options->wanted_max ? options->wanted_max : 1,
		.kv_type = options->kv_type,
		.taps = options->taps,
	};
	enum err err;

	note_threads(options->threads);
	if ((err = cmd_model_open(m, options->path, info)) ||
		(err = chip_open(&m->chip, "cpu", &config, info)) ||
		(err = model_load(m->model, m->chip, &load, info)))
		cmd_model_close(m);
	return err;
}

void cmd_model_close(struct cmd_model *m)
{
	model_close(m->model);
	chip_close(m->chip);
	*m = (struct cmd_model){0};
}
