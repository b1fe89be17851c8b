/* cmd/template.c - `tongyun template`: the prompt that a model's chat template
 * makes of messages. */
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "model/model.h"
#include "model/template/template.h"

#define SCRATCH_CHUNK     ((size_t)64 << 10)
#define SCRATCH_BYTES_MAX ((size_t)1 << 30)

static enum err render(const struct model *m, const char *path, bool generation_prompt,
	struct err_info *info)
{
	struct jinja_output text;
	struct arena scratch;
	struct tm now;
	json_t *file;
	enum err err;

	if (!model_template(m))
		return err_set(info, ERR_UNSUPPORTED, "%s has no chat template", model_name(m));
	if ((err = json_read_file(&file, path, &JSON_LIMITS_REQUEST, info)))
		return err;
	if (!json_is_array(json_object_get(file, "messages"))) {
		json_decref(file);
		return err_set(info, ERR_INPUT, "%s: needs {\"messages\": [...]}", path);
	}
	const struct chat_prompt prompt = {
		.messages = json_object_get(file, "messages"),
		.tools = json_object_get(file, "tools"),
		.kwargs = json_object_get(file, "chat_template_kwargs"),
		.generation_prompt = generation_prompt,
		.now = cmd_now(&now),
	};

	jinja_output_init(&text, CHAT_TEXT_BYTES_MAX);
	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	err = chat_template_render(model_template(m), &prompt, &scratch, &text, info);
	if (!err)
		fwrite(text.text.data, 1, text.text.size, stdout);
	jinja_output_free(&text);
	arena_reset(&scratch);
	json_decref(file);
	return err;
}

int cmd_template(int argc, char **argv)
{
	const char *path = NULL, *messages = NULL;
	bool generation_prompt = true;
	const struct option_row rows[] = {
		{"messages", 0, OPTION_STRING, &messages, 0, 0, "F.json",
			"{\"messages\":[...],\"tools\":[...],\"chat_template_kwargs\":{...}}; -: "
			"stdin"},
		{"no-generation-prompt", 0, OPTION_NO_FLAG, &generation_prompt, 0, 0, NULL,
			"end after the last message"},
		OPTION_ROW_MODEL(&path),
	};
	const struct options o = {"template", "[MODEL] --messages F.json",
		"Prints the prompt that the model's chat template "
		"makes of messages.", rows, sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	struct cmd_model m;
	int exit_code;

	if (!cmd_parse_model(&o, argc, argv, &path, &exit_code))
		return exit_code;
	if (!messages)
		return options_wrong(&o, "--messages is needed");
	if (cmd_model_open(&m, path, &info))
		return cmd_fail(&info);
	const enum err err = render(m.model, messages, generation_prompt, &info);

	cmd_model_close(&m);
	return err ? cmd_fail(&info) : CMD_DONE;
}
