/* cmd/options.h - one table per verb says what can be set; config file, environment and
 * flags all fill it.
 *
 * The later one wins: config file (`--config F.yaml`, key `max-model-len`), TONGYUN_MAX_MODEL_LEN,
 * --max-model-len. The table also prints --help. Wrong usage is the caller's exit 2.
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define OPTIONS_LIST_MAX 16   /* values of an OPTION_LIST */
#define OPTIONS_ROWS_MAX 64   /* of a verb */

enum option_kind {
	OPTION_FLAG,    /* bool: --name */
	OPTION_NO_FLAG, /* bool set to false: --no-name, spelled in the table as "no-name" */
	OPTION_STRING,  /* const char * */
	OPTION_INT,     /* int64_t in [min, max] */
	OPTION_NUMBER,  /* double in [min, max] */
	OPTION_LIST,    /* struct option_list: values of one source add up, those of a later
			 * one replace them */
};

struct option_list {
	const char *values[OPTIONS_LIST_MAX];
	uint32_t count;
};

struct option_row {
	const char *name;       /* long name without dashes; several spellings blank separated, the
				 * first is shown */
	char letter;            /* 0: none */
	enum option_kind kind;
	void *value;
	double min, max;        /* of OPTION_INT and OPTION_NUMBER */
	const char *argument;   /* shown in the help: "N" */
	const char *help;
};

/* Rows that several verbs have. */
#define OPTION_ROW_MODEL(value) {"model", 'm', OPTION_STRING, value, 0, 0, "MODEL", \
	"the model (also as argument)"}
#define OPTION_ROW_JSON(value) {"json", 0, OPTION_FLAG, value, 0, 0, NULL, "one JSON document"}
#define OPTION_ROW_THREADS(value) {"threads", 't', OPTION_INT, value, 0, 1024, "N", \
	"worker threads (default: one per core)"}
#define OPTION_ROW_ISA(value) {"isa", 0, OPTION_STRING, value, 0, 0, "NAME", \
	"force an instruction set"}
/* value: for cmd_kv_type */
#define OPTION_ROW_KV_TYPE(value) {"kv-type kv-cache-dtype cache-type-k", 0, OPTION_STRING, \
	value, 0, 0, "TYPE", "keys and values in f32, f16, bf16 or q8_0 (auto: by the machine)"}

struct options {
	const char *verb;           /* "run" */
	const char *arguments;      /* "[MODEL] [PROMPT]" */
	const char *about;          /* a sentence or a few, shown above the options */
	const struct option_row *rows;
	uint32_t row_count;
	uint32_t positional_max;    /* more is wrong usage */
};

/* Where a setting came from; the later one wins. */
enum option_source { OPTION_UNSAID, OPTION_FILE, OPTION_ENVIRONMENT, OPTION_FLAGS };

enum options_result { OPTIONS_OK, OPTIONS_HELP /* printed, exit 0 */,
	OPTIONS_WRONG /* said, exit 2 */ };

/* Config file (when the table has a row "config"), environment, flags; positionals (pointers into
 * argv) go to out. argv[0] is the verb. Options may stand anywhere before "--". o must stay while
 * options_source is asked. */
enum options_result options_parse(const struct options *o, int argc, char **argv,
	const char **positionals, uint32_t *positional_count) MUST_CHECK;

/* Who said the value that row->value == value now has. */
enum option_source options_source(const void *value);

/* `tongyun: VERB: text` and a hint on stderr; returns 2. */
int options_wrong(const struct options *o, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
