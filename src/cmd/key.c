/* cmd/key.c - `tongyun key create|list|revoke`. A key is shown once, here. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cloud.h"
#include "cmd/cmd.h"

static void key_print_new(const json_t *row)
{
	printf("%s\n", cloud_text(row, "key"));
	fprintf(stderr, "key %lld of %s; it is not shown again\n", cloud_int(row, "id"),
		cloud_text(row, "tenant"));
}

static void key_print(const json_t *row)
{
	printf("%6lld  %-24s %-24s %-16s %s\n", cloud_int(row, "id"), cloud_text(row, "tenant"),
		cloud_text(row, "name"), cloud_text(row, "prefix"),
		json_is_true(json_object_get(row, "revoked")) ? "revoked" : "");
}

static void key_print_revoked(const json_t *row)
{
	printf("key %lld is revoked\n", cloud_int(row, "id"));
}

static int key_create(int argc, char **argv)
{
	const char *tenant, *name = "";
	bool as_json = false;
	const struct option_row rows[] = {
		{"name", 0, OPTION_STRING, &name, 0, 0, "S", "what it is for"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"key create", "TENANT",
		"Makes a key for a tenant and prints it, once.", rows, 2, 1};
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &tenant, "which TENANT?", &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s, s:s, s:s}", "op", "key_create", "tenant", tenant, "name",
		name), CLOUD_ONE, as_json, key_print_new);
}

static int key_list(int argc, char **argv)
{
	return cloud_list(argc, argv, "key list", "key_list",
		"Lists all keys, by their beginnings.", key_print);
}

static int key_revoke(int argc, char **argv)
{
	const char *id_text;
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"key revoke", "ID",
		"Revokes a key: it fails on the next request.", rows, 1, 1};
	int exit_code;
	char *end;

	if (!cmd_parse_one(&o, argc, argv, &id_text, "which ID? `tongyun key list` tells",
		&exit_code))
		return exit_code;
	const unsigned long id = strtoul(id_text, &end, 10);

	if (end == id_text || *end != '\0' || id == 0 || id > UINT32_MAX)
		return options_wrong(&o, "'%s' is not the id of a key", id_text);
	return cloud_ask(json_pack("{s:s, s:I}", "op", "key_revoke", "id", (json_int_t)id),
		CLOUD_ONE, as_json, key_print_revoked);
}

int cmd_key(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {
		{"create", key_create}, {"list", key_list}, {"revoke", key_revoke}};

	return cmd_dispatch(argc, argv, "Keys of tenants.", subverbs, 3);
}
