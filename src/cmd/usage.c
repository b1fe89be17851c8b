/* cmd/usage.c - `tongyun usage list` and `tongyun ledger list|check`: what was used
 * and what it cost. */
#include <stdio.h>

#include "base/clock.h"
#include "cmd/cloud.h"
#include "cmd/cmd.h"

static void usage_print(const json_t *row)
{
	char at[31];

	clock_format(at, cloud_int(row, "at_ns"));
	printf("%s %s %-20s %-20s %8lld in (%lld cached) %8lld out  %-10s %s\n", at,
		cloud_text(row, "request_id"), cloud_text(row, "tenant"), cloud_text(row, "model"),
		cloud_int(row, "input"),
		cloud_int(row, "cached_input"), cloud_int(row, "output"), cloud_text(row, "finish"),
		cloud_money(row, "amount_nano"));
}

static void ledger_print(const json_t *row)
{
	char at[31];
	json_t *entry;
	size_t i;

	clock_format(at, cloud_int(row, "at_ns"));
	printf("%8lld %s %-8s %s %s\n", cloud_int(row, "id"), at, cloud_text(row, "kind"),
		cloud_text(row, "tenant"), cloud_text(row, "request_id"));
	json_array_foreach(json_object_get(row, "entries"), i, entry)
		printf("         %-40s %24s\n", cloud_text(entry, "account"),
			cloud_money(entry, "amount_nano"));
}

/* Both lists have the same filters. */
static int list(int argc, char **argv, const char *verb, const char *op, const char *about,
	void (*print)(const json_t *row))
{
	const char *tenant = NULL, *request = NULL;
	bool as_json = false;
	const struct option_row rows[] = {
		{"tenant", 0, OPTION_STRING, &tenant, 0, 0, "T", "only this tenant's"},
		{"request", 0, OPTION_STRING, &request, 0, 0, "ID",
			"only this request's: its x-request-id"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {verb, "", about, rows, sizeof(rows) / sizeof(*rows), 0};
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, NULL, &count, &exit_code))
		return exit_code;
	json_t *document = json_pack("{s:s}", "op", op);

	if (tenant)
		json_object_set_new(document, "tenant", json_string(tenant));
	if (request)
		json_object_set_new(document, "request", json_string(request));
	return cloud_ask(document, CLOUD_LIST, as_json, print);
}

static int usage_list(int argc, char **argv)
{
	return list(argc, argv, "usage list", "usage_list", "Lists what requests used and cost.",
		usage_print);
}

static int ledger_list(int argc, char **argv)
{
	return list(argc, argv, "ledger list", "ledger_list",
		"Lists the transactions of the ledger.", ledger_print);
}

static void check_print(const json_t *row)
{
	(void)row;
	printf("the ledger holds: every transaction balances, every request is settled or released "
		"once\n");
}

static int ledger_check(int argc, char **argv)
{
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"ledger check", "",
		"Checks that ledger, usage and journal agree; exit 1 and the first "
		"contradiction if not.", rows, 1, 0};
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, NULL, &count, &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s}", "op", "ledger_check"), CLOUD_CHECK, as_json,
		check_print);
}

int cmd_usage(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {{"list", usage_list}};

	return cmd_dispatch(argc, argv, "What requests used.", subverbs, 1);
}

int cmd_ledger(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {{"list", ledger_list},
		{"check", ledger_check}};

	return cmd_dispatch(argc, argv, "The double-entry ledger.", subverbs, 2);
}
