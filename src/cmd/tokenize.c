/* cmd/tokenize.c - `tongyun tokenize` and `tongyun detokenize`: standard input to
 * standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"

#define PRINT_BYTES    65536
#define ID_BYTES_MAX   16
#define BETWEEN_IDS    " \t\r\n[],"

/* In decimal; returns how many bytes. printf would take longer than finding the id. */
static size_t print_id(uint32_t id, char *out)
{
	char digits[ID_BYTES_MAX];
	size_t size = 0, at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + id % 10);
		id /= 10;
	} while (id > 0);
	while (at < sizeof(digits))
		out[size++] = digits[at++];
	return size;
}

static void print_ids(const struct token_list *list, bool as_json)
{
	char line[PRINT_BYTES] = "";
	size_t size = 0;

	if (as_json)
		line[size++] = '[';
	for (size_t i = 0; i < list->count; i++) {
		if (sizeof(line) - size < ID_BYTES_MAX) {
			fwrite(line, 1, size, stdout);
			size = 0;
		}
		if (i > 0 && as_json)
			line[size++] = ',';
		if (i > 0)
			line[size++] = ' ';
		size += print_id(list->ids[i], line + size);
	}
	fwrite(line, 1, size, stdout);
	puts(as_json ? "]" : "");
}

static enum err tokenize(const struct tokenizer *t, bool special, bool as_json,
	struct err_info *info)
{
	struct token_list list = {0};
	const struct cmd_text text = {.path = "-", .special = special};
	const enum err err = cmd_text_encode(t, &text, &list, info);

	if (!err)
		print_ids(&list, as_json);
	mem_free(list.ids);
	return err;
}

int cmd_tokenize(int argc, char **argv)
{
	bool special = false, as_json = false;
	const char *path = NULL;
	const struct option_row rows[] = {
		{"special", 0, OPTION_FLAG, &special, 0, 0, NULL,
			"text such as <|im_end|> becomes its special token"},
		OPTION_ROW_MODEL(&path),
		{"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON array"},
	};
	const struct options options = {"tokenize", "[MODEL] < TEXT",
		"Prints the token ids of the text on standard "
		"input.", rows, sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	struct cmd_model m;
	int exit_code;

	if (!cmd_parse_model(&options, argc, argv, &path, &exit_code))
		return exit_code;
	if (cmd_model_open(&m, path, &info))
		return cmd_fail(&info);
	const enum err err = tokenize(model_tokenizer(m.model), special, as_json, &info);

	cmd_model_close(&m);
	return err ? cmd_fail(&info) : CMD_DONE;
}

/* Ids separated by blanks, or a JSON array of them. */
static enum err detokenize(const struct tokenizer *t, struct err_info *info)
{
	struct buf text;
	char *end;
	enum err err;

	buf_init(&text, CMD_TEXT_BYTES_MAX);
	if ((err = file_read(&text, "-", info)))
		goto done;
	for (const char *at = text.data ? text.data : "";; at = end) {
		at += strspn(at, BETWEEN_IDS);
		if (*at == '\0')
			break;
		const unsigned long id = strtoul(at, &end, 10);
		const size_t size = strcspn(at, BETWEEN_IDS);

		if (end != at + size || id >= tokenizer_count(t)) {
			err = err_set(info, ERR_INPUT,
				"standard input: '%.*s' is not a token id below %zu",
				size < ID_BYTES_MAX ? (int)size : ID_BYTES_MAX, at,
				tokenizer_count(t));
			goto done;
		}
		const struct token_text piece = tokenizer_text(t, (uint32_t)id);

		fwrite(piece.bytes, 1, piece.size, stdout);
	}
done:
	buf_free(&text);
	return err;
}

int cmd_detokenize(int argc, char **argv)
{
	const char *path = NULL;
	const struct option_row rows[] = {
		OPTION_ROW_MODEL(&path),
	};
	const struct options options = {"detokenize", "[MODEL] < IDS",
		"Prints the text of the token ids on standard "
		"input, blank separated or a JSON array.", rows, sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	struct cmd_model m;
	int exit_code;

	if (!cmd_parse_model(&options, argc, argv, &path, &exit_code))
		return exit_code;
	if (cmd_model_open(&m, path, &info))
		return cmd_fail(&info);
	const enum err err = detokenize(model_tokenizer(m.model), &info);

	cmd_model_close(&m);
	return err ? cmd_fail(&info) : CMD_DONE;
}
