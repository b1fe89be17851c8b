/* cmd/cmd.h - what the verbs share. A verb is one file: arguments in, printing
 * out, exit code back. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "chip/chip.h"
#include "cmd/options.h"
#include "hub/store.h"

struct model;
struct token_list;
struct tokenizer;

enum { CMD_DONE = 0, CMD_FAILED = 1, CMD_WRONG = 2 };   /* exit codes */

/* argv[0] is the verb. */
int cmd_fleet(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_ledger(int argc, char **argv);
int cmd_price(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_tenant(int argc, char **argv);
int cmd_usage(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_chips(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_detokenize(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_perplexity(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_quantize(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

/* `tongyun: error: text` on stderr; returns CMD_FAILED. */
int cmd_fail(const struct err_info *info);

#define CMD_SAID_BYTES 128

/* An argument as it can stand in a line: cut, without control characters; returns out. */
const char *cmd_said(const char *argument, char out[CMD_SAID_BYTES]);

/* Prints one JSON document on stdout and releases it. */
int cmd_print_json(json_t *document);

/* Parses, and turns help and wrong usage into an exit code: true to go on, else
 * *exit_code is final. */
bool cmd_parse(const struct options *o, int argc, char **argv, const char **positionals,
	uint32_t *positional_count, int *exit_code) MUST_CHECK;

/* The same for verbs with exactly one argument; which asks for it when it is
 * missing: "which NAME?". */
bool cmd_parse_one(const struct options *o, int argc, char **argv, const char **argument,
	const char *which, int *exit_code) MUST_CHECK;

/* A verb with subverbs: `tenant create ...`. */
struct cmd_subverb {
	const char *name;
	int (*run)(int argc, char **argv);
};
int cmd_dispatch(int argc, char **argv, const char *about, const struct cmd_subverb *subverbs,
	uint32_t count);

/* False, and said, when a MODEL is an argument and the value of --model (at value) too. */
bool cmd_model_once(const struct options *o, const void *value, const char *positional,
	uint32_t count) MUST_CHECK;
/* For verbs whose only argument is a MODEL: it goes to *path, the value of --model. False, and
 * said, when both are there. */
bool cmd_model_argument(const struct options *o, const char **path, const char *positional,
	uint32_t count) MUST_CHECK;

/* Parses for such a verb: true to go on, else *exit_code is final. */
bool cmd_parse_model(const struct options *o, int argc, char **argv, const char **path,
	int *exit_code) MUST_CHECK;

/* What --kv-type says; said may be NULL. False, and said, when it is nothing known. */
bool cmd_kv_type(const struct options *o, const char *said, enum chip_type *out) MUST_CHECK;

/* True for a directory, and for what ends as a GGUF file does. */
bool cmd_is_model_path(const char *text);

/* True if a lone argument of `run` names a model rather than a prompt. */
bool cmd_looks_like_model(const char *text);

#define CMD_SIZE_BYTES 16

/* "1.5 GB", in steps of a thousand as the hubs say it; returns out. */
const char *cmd_size(uint64_t bytes, char out[CMD_SIZE_BYTES]);

#define CMD_TEXT_BYTES_MAX ((size_t)256 << 20)

struct cmd_text {
	const char *path;   /* "-": standard input */
	bool special;       /* text such as <|im_end|> becomes its special token */
	bool raw;           /* for the model as it is: tokenizer_encode_raw */
};

/* The tokens of a text. list->ids is for mem_free, also when this fails. */
enum err cmd_text_encode(const struct tokenizer *t, const struct cmd_text *text,
	struct token_list *list, struct err_info *info) MUST_CHECK;

/* For work that ends in good order when it is interrupted: from now on SIGINT, SIGTERM and SIGHUP
 * only set the flag that is returned, unless the caller has them ignored; a second one of its kind
 * ends the program. */
const volatile sig_atomic_t *cmd_signals_take(void);

/* The local time, for chat templates that ask the date; returns out. */
const struct tm *cmd_now(struct tm *out);

/* The store of models in TONGYUN_HOME. */
enum err cmd_store_open(struct store *s, struct err_info *info) MUST_CHECK;
/* What a MODEL names: a directory or file on disk, else a model of the store. Its path is what
 * model_open takes; store_release when that is done. */
enum err cmd_model_find(const char *said, struct store_model *out, struct err_info *info)
	MUST_CHECK;

/* A model with its chip. */
struct cmd_model {
	struct chip *chip;
	struct model *model;
	char path[PATH_MAX];    /* as opened; "": the model inside */
};

struct cmd_model_options {
	const char *path;       /* a MODEL as it was said; NULL: the model inside the program */
	const char *isa;
	int64_t threads;
	uint32_t rows_max;      /* 0: 512 */
	uint32_t wanted_max;    /* 0: 1 */
	enum chip_type kv_type;     /* or MODEL_KV_AUTO */
	bool taps;
};

/* Opens the model without a chip: for verbs that only read it. */
enum err cmd_model_open(struct cmd_model *m, const char *said, struct err_info *info) MUST_CHECK;
/* Opens chip and model and packs the weights. */
enum err cmd_model_load(struct cmd_model *m, const struct cmd_model_options *options,
	struct err_info *info) MUST_CHECK;
void cmd_model_close(struct cmd_model *m);

#endif
