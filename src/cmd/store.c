/* cmd/store.c - `tongyun list`, `rm` and `cp`: the models on this machine. */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static json_t *list_json(const struct store_list *list)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < list->count; i++) {
		const struct manifest *m = &list->models[i];
		struct hub_name name = m->name;
		char text[HUB_NAME_BYTES];

		name.type[0] = '\0';
		json_array_append_new(rows, json_pack("{s:s, s:s, s:I, s:s?, s:s?, s:s?, s:s?}",
			"name", hub_name_print(&name, text),
			"type", m->name.type,
			"size_bytes", (json_int_t)manifest_size(m),
			"modified", or_null(m->created),
			"source", or_null(m->source),
			"revision", or_null(m->revision),
			"licence", or_null(m->licence)));
	}
	return rows;
}

static void list_print(const struct store_list *list)
{
	int width = (int)strlen("name");

	for (uint32_t i = 0; i < list->count; i++) {
		const struct hub_name *n = &list->models[i].name;
		const int size = (int)(strlen(n->owner) + 1 + strlen(n->model));

		width = size > width ? size : width;
	}
	if (list->count)
		printf("%-*s  %-10s %9s  modified\n", width, "name", "type", "size");
	for (uint32_t i = 0; i < list->count; i++) {
		const struct manifest *m = &list->models[i];
		struct hub_name name = m->name;
		char text[HUB_NAME_BYTES], size[CMD_SIZE_BYTES];

		name.type[0] = '\0';
		printf("%-*s  %-10s %9s  %s\n", width, hub_name_print(&name, text), m->name.type,
			cmd_size(manifest_size(m), size), m->created);
	}
}

int cmd_list(int argc, char **argv)
{
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"list", "", "Lists the models of the store: what `tongyun pull` "
		"fetched or made, under $TONGYUN_HOME/models.", rows, 1, 0};
	struct err_info info = {0};
	struct store_list list;
	struct store store;
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, NULL, &count, &exit_code))
		return exit_code;
	if (cmd_store_open(&store, &info) || store_list(&store, &list, &info))
		return cmd_fail(&info);
	if (as_json)
		exit_code = cmd_print_json(list_json(&list));
	else
		list_print(&list);
	store_list_free(&list);
	return exit_code;
}

int cmd_rm(int argc, char **argv)
{
	const struct options o = {"rm", "NAME[:TYPE]", "Removes a model from the store: one type, "
		"or without a type all of them and what a download that did not end has left. "
		"Who runs it goes on.", NULL, 0, 1};
	struct err_info info = {0};
	struct hub_name name;
	struct store store;
	const char *said;
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &said, "which NAME?", &exit_code))
		return exit_code;
	if (hub_name_parse(&name, said, false, &info) || cmd_store_open(&store, &info) ||
		store_remove(&store, &name, &info))
		return cmd_fail(&info);
	return CMD_DONE;
}

int cmd_cp(int argc, char **argv)
{
	bool force = false;
	const struct option_row rows[] = {
		{"force", 'f', OPTION_FLAG, &force, 0, 0, NULL, "replace a DST that is there"},
	};
	const struct options o = {"cp", "SRC DST", "Gives a model of the store a second name. The "
		"files are shared: a copy takes no space, and stays when the other goes.",
		rows, 1, 2};
	struct hub_name from, to, name;
	struct err_info info = {0};
	struct store store;
	const char *said[2];
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, said, &count, &exit_code))
		return exit_code;
	if (count != 2)
		return options_wrong(&o, "SRC and DST are needed");
	if (hub_name_parse(&from, said[0], false, &info) ||
		hub_name_parse(&to, said[1], false, &info) || cmd_store_open(&store, &info) ||
		store_copy(&store, &from, &to, force, &name, &info))
		return cmd_fail(&info);
	return CMD_DONE;
}
