/* cmd/cloud.c - see cloud.h. */
#include "cmd/cloud.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "cmd/cmd.h"
#include "server/admin_link.h"

/* ---- what is printed ------------------------------------------------------------------------- */

/* A name in an old or foreign database may hold anything; each control becomes '?',
 * as in errors. */
static void text_make_printable(json_t *text)
{
	const char *from = json_string_value(text);
	const size_t size = json_string_length(text);
	struct buf out;
	size_t length;

	buf_init(&out, size);
	for (size_t at = 0; at < size; at += length) {
		uint32_t code_point = 0;

		if (utf8_next(from + at, size - at, &length, &code_point) == UTF8_CHARACTER &&
			!utf8_is_control(code_point))
			buf_add(&out, from + at, length);
		else
			buf_add_char(&out, '?');
	}
	if (out.failed || json_string_setn(text, out.data ? out.data : "", out.size))
		json_string_set(text, "");   /* no memory: better nothing than what it was */
	buf_free(&out);
}

/* All texts of a row; lists print no keys of it. */
static void row_make_printable(json_t *value)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (json_is_string(value))
		text_make_printable(value);
	json_object_foreach(value, key, inner)
		row_make_printable(inner);
	json_array_foreach(value, i, inner)
		row_make_printable(inner);
}

struct answer {
	json_t *rows;   /* of a list that is printed as JSON */
	bool as_json;
	void (*print)(const json_t *row);
	bool broken;    /* a row was none */
	int exit_code;
};

static void answer_take(struct answer *a, json_t *row)
{
	if (!a->as_json) {
		row_make_printable(row);
		a->print(row);
	} else if (a->rows) {
		json_array_append(a->rows, row);
	} else {
		a->exit_code = cmd_print_json(json_incref(row));
	}
}

static void answer_line(void *context, const char *line)
{
	struct answer *a = context;
	json_t *row = json_loads(line, 0, NULL);

	if (row && !a->broken)
		answer_take(a, row);
	a->broken = a->broken || !row;
	json_decref(row);
}

/* A refusal says what it is about: the server's own text only says why. */
static enum err answer_refused(const json_t *request, struct err_info *info)
{
	/* a key's name is not its tenant's */
	static const char *const subjects[] = {"tenant", "name", "model"};
	const json_t *id = json_object_get(request, "id");

	if (json_is_integer(id))
		return err_prefix(info, "key %lld", (long long)json_integer_value(id));
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		const char *subject = json_string_value(json_object_get(request, subjects[i]));

		if (subject)
			return err_prefix(info, "'%s'", subject);
	}
	return info->code;
}

int cloud_ask(json_t *request, enum cloud_answer kind, bool as_json,
	void (*print)(const json_t *row))
{
	struct answer a = {.as_json = as_json, .print = print};
	struct err_info info = {0};
	struct admin_link *link;
	json_t *reply = NULL;
	enum err err;

	assert(request);
	a.rows = (kind == CLOUD_LIST || kind == CLOUD_ROW) && as_json ? json_array() : NULL;
	if (!(err = admin_link_open(&link, NULL, getenv("TONGYUN_CURRENCY"), &info))) {
		if (kind == CLOUD_LIST || kind == CLOUD_CHECK)
			err = admin_link_each(link, request, answer_line, &a, &info);
		else if (!(err = admin_link_call(link, request, &reply, &info)))
			answer_take(&a, reply);
		else
			err = answer_refused(request, &info);
		if (!err && a.broken)
			err = err_set(&info, ERR_INPUT, "the server's list has a row that is not JSON");
		admin_link_close(link);
	}
	json_decref(reply);
	json_decref(request);
	if (err) {
		json_decref(a.rows);
		return cmd_fail(&info);
	}
	return a.rows ? cmd_print_json(a.rows) : a.exit_code;
}

int cloud_list(int argc, char **argv, const char *verb, const char *op, const char *about,
	void (*print)(const json_t *row))
{
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {verb, "", about, rows, 1, 0};
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, NULL, &count, &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s}", "op", op), CLOUD_LIST, as_json, print);
}

const char *cloud_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "-";
}

long long cloud_int(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

const char *cloud_money(const json_t *row, const char *key)
{
	static char texts[4][AMOUNT_BYTES];
	static uint32_t next;
	char *text = texts[next++ % 4];

	amount_format(text, cloud_int(row, key));
	return text;
}
