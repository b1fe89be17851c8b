/* tests/model/jinja_lines.c - the template engine for a test in another language: each line of
 * stdin is {"template", "context"}, each line of stdout {"output"} or {"error"}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "model/template/jinja.h"

#define LINE_BYTES_MAX    ((size_t)16 << 20)
#define VARIABLES_MAX     64
#define SCRATCH_BYTES_MAX ((size_t)256 << 20)

/* The text, or the error. */
static json_t *render(const json_t *line)
{
	static const struct tm now = {
		.tm_year = 126, .tm_mon = 10, .tm_mday = 24, .tm_wday = 2, .tm_yday = 327};
	const struct jinja_options options = {.limits = JINJA_LIMITS, .now = &now};
	const json_t *source = json_object_get(line, "template");
	json_t *context = json_object_get(line, "context"), *value, *out;
	struct jinja_variable variables[VARIABLES_MAX];
	struct jinja_template *t = NULL;
	struct jinja_output output;
	struct err_info info = {0};
	struct arena scratch;
	const char *name;
	size_t count = 0;

	json_object_foreach(context, name, value)
		if (count < VARIABLES_MAX)
			variables[count++] = (struct jinja_variable){.name = name, .value = value};
	jinja_output_init(&output, LINE_BYTES_MAX);
	arena_init(&scratch, 65536, SCRATCH_BYTES_MAX);
	if (jinja_compile(&t, json_string_value(source), json_string_length(source), &info) ||
		jinja_render(t, variables, count, &options, &scratch, &output, &info))
		out = json_pack("{s:s}", "error", info.text);
	else
		out = json_pack("{s:s%}", "output", output.text.data ? output.text.data : "",
			output.text.size);
	jinja_close(t);
	jinja_output_free(&output);
	arena_reset(&scratch);
	return out ? out : json_pack("{s:s}", "error", "the output is not UTF-8");
}

int main(void)
{
	struct err_info info = {0};
	char *text = malloc(LINE_BYTES_MAX);

	while (text && fgets(text, (int)LINE_BYTES_MAX, stdin)) {
		json_t *line, *out;

		if (json_parse(&line, text, strlen(text), &JSON_LIMITS_REQUEST, true, &info)) {
			fprintf(stderr, "%s\n", info.text);
			return 1;
		}
		out = render(line);
		json_dumpf(out, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
		fflush(stdout);
		json_decref(out);
		json_decref(line);
	}
	free(text);
	return 0;
}
