/* cmd/tenant.c - `tongyun tenant create|list|show|set|topup`. */
#include <stdio.h>

#include "cloud/bucket.h"
#include "cloud/ledger.h"
#include "cmd/cloud.h"
#include "cmd/cmd.h"

static void limit_print(const json_t *row, const char *key, const char *unit)
{
	const json_int_t limit = json_integer_value(json_object_get(row, key));

	if (limit > 0)
		printf("  at most %" JSON_INTEGER_FORMAT " %s/min", limit, unit);
}

static void tenant_print(const json_t *row)
{
	const bool unlimited = json_integer_value(json_object_get(row,
		"credit_nano")) == LEDGER_CREDIT_UNLIMITED;

	printf("%-24s balance %20s  held %16s  credit %16s %s", cloud_text(row, "name"),
		cloud_money(row, "balance_nano"), cloud_money(row, "held_nano"),
		unlimited ? "unlimited" : cloud_money(row, "credit_nano"),
		cloud_text(row, "currency"));
	limit_print(row, "requests_per_min", "requests");
	limit_print(row, "tokens_per_min", "tokens");
	putchar('\n');
}

/* An amount option: NULL is 0. */
static bool amount_of(const struct options *o, const char *what, const char *text, int64_t *nano,
	int *exit_code)
{
	*nano = 0;
	if (!text || amount_parse(text, nano))
		return true;
	*exit_code = options_wrong(o, "%s '%s' is not an amount such as 10.00 (up to 9 digits, up to 9 decimals)", what,
		text);
	return false;
}

static int tenant_create(int argc, char **argv)
{
	const char *balance = NULL, *credit = NULL, *name;
	bool as_json = false;
	const struct option_row rows[] = {
		{"balance", 0, OPTION_STRING, &balance, 0, 0, "AMOUNT", "first top-up"},
		{"credit", 0, OPTION_STRING, &credit, 0, 0, "AMOUNT",
			"how far below zero the balance may go"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"tenant create", "NAME",
		"Makes a tenant; NAME is of a-z, 0-9 and -, at most 64.", rows,
		sizeof(rows) / sizeof(*rows), 1};
	int64_t balance_nano, credit_nano;
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &name, "which NAME?", &exit_code))
		return exit_code;
	if (!amount_of(&o, "--balance", balance, &balance_nano, &exit_code) ||
		!amount_of(&o, "--credit", credit, &credit_nano, &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s, s:s, s:I, s:I}", "op", "tenant_create", "name", name,
		"balance_nano", (json_int_t)balance_nano, "credit_nano", (json_int_t)credit_nano),
		CLOUD_ONE, as_json, tenant_print);
}

static int tenant_topup(int argc, char **argv)
{
	const char *arguments[2];
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"tenant topup", "NAME AMOUNT",
		"Adds money to a tenant's balance.", rows, 1, 2};
	int64_t nano;
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, arguments, &count, &exit_code))
		return exit_code;
	if (count != 2)
		return options_wrong(&o, "NAME and AMOUNT are needed");
	if (!amount_of(&o, "AMOUNT", arguments[1], &nano, &exit_code))
		return exit_code;
	if (nano == 0)
		return options_wrong(&o, "AMOUNT must be more than 0");
	return cloud_ask(json_pack("{s:s, s:s, s:I}", "op", "tenant_topup", "name", arguments[0],
		"amount_nano", (json_int_t)nano), CLOUD_ONE, as_json, tenant_print);
}

static int tenant_show(int argc, char **argv)
{
	const char *name;
	bool as_json = false;
	const struct option_row rows[] = {
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"tenant show", "NAME", "Shows a tenant's money.", rows, 1, 1};
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &name, "which NAME?", &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s, s:s}", "op", "tenant_show", "name", name), CLOUD_ONE,
		as_json, tenant_print);
}

static int tenant_set(int argc, char **argv)
{
	const char *credit = NULL, *name;
	int64_t requests = -1, tokens = -1, credit_nano;
	bool as_json = false;
	const struct option_row rows[] = {
		{"credit", 0, OPTION_STRING, &credit, 0, 0, "AMOUNT",
			"how far below zero the balance may go"},
		{"requests-per-min", 0, OPTION_INT, &requests, 0, BUCKET_CAPACITY_MAX, "N",
			"requests a minute; 0: no limit"},
		{"tokens-per-min", 0, OPTION_INT, &tokens, 0, BUCKET_CAPACITY_MAX, "N",
			"tokens a minute, prompt and answer; 0: no limit"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"tenant set", "NAME",
		"Changes a tenant's credit and limits; what is not named stays.", rows,
		sizeof(rows) / sizeof(*rows), 1};
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &name, "which NAME?", &exit_code))
		return exit_code;
	if (!credit && requests < 0 && tokens < 0)
		return options_wrong(&o, "nothing to change; name --credit, --requests-per-min or "
			"--tokens-per-min");
	if (!amount_of(&o, "--credit", credit, &credit_nano, &exit_code))
		return exit_code;
	return cloud_ask(json_pack("{s:s, s:s, s:o*, s:o*, s:o*}", "op", "tenant_set", "name", name,
		"credit_nano", credit ? json_integer(credit_nano) : NULL,
		"requests_per_min", requests >= 0 ? json_integer(requests) : NULL,
		"tokens_per_min", tokens >= 0 ? json_integer(tokens) : NULL), CLOUD_ONE, as_json,
		tenant_print);
}

static int tenant_list(int argc, char **argv)
{
	return cloud_list(argc, argv, "tenant list", "tenant_list", "Lists all tenants.",
		tenant_print);
}

int cmd_tenant(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {
		{"create", tenant_create}, {"list", tenant_list}, {"show", tenant_show},
		{"set", tenant_set}, {"topup", tenant_topup}};

	return cmd_dispatch(argc, argv, "Tenants and their money.", subverbs, 5);
}
