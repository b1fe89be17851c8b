/* cmd/cloud.h - what the verbs of the cloud share: asking a running server or the database. */
#ifndef CMD_CLOUD_H
#define CMD_CLOUD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/amount.h"
#include "cmd/options.h"

enum cloud_answer {
	CLOUD_ONE,      /* a document */
	CLOUD_ROW,      /* one row, in JSON an array of one: what cli.md says of prices */
	CLOUD_LIST,     /* rows, in JSON an array */
	CLOUD_CHECK,    /* the one row of a check */
};

/* Sends the request (released here) to the server that runs on $TONGYUN_HOME, or carries it out on
 * the database when none does. Prints the answer: as JSON as it is (the rows of a list as one
 * array), else each row by print. Returns an exit code. */
int cloud_ask(json_t *request, enum cloud_answer kind, bool as_json,
	void (*print)(const json_t *row));

/* A verb that has nothing to ask but for all rows: `tenant list`. */
int cloud_list(int argc, char **argv, const char *verb, const char *op, const char *about,
	void (*print)(const json_t *row));

/* Fields of an answer's row. */
const char *cloud_text(const json_t *row, const char *key);
long long cloud_int(const json_t *row, const char *key);
/* The amount at key, formatted; static storage, good for four calls. */
const char *cloud_money(const json_t *row, const char *key);

#endif
