/* cmd/price.c - `tongyun price set|list`. */
#include <stdio.h>

#include "cloud/price.h"
#include "cmd/cloud.h"
#include "cmd/cmd.h"

static void price_print(const json_t *row)
{
	printf("%-32s version %lld  input %16s  cached %16s  output %16s  per million tokens\n",
		cloud_text(row, "model"), cloud_int(row, "version"), cloud_money(row, "input_nano"),
		cloud_money(row, "cached_nano"),
		cloud_money(row, "output_nano"));
}

static int price_set(int argc, char **argv)
{
	const char *model, *input = NULL, *output = NULL, *cached = NULL;
	bool as_json = false;
	const struct option_row rows[] = {
		{"input", 0, OPTION_STRING, &input, 0, 0, "AMOUNT", "per million prompt tokens"},
		{"output", 0, OPTION_STRING, &output, 0, 0, "AMOUNT", "per million answer tokens"},
		{"cached", 0, OPTION_STRING, &cached, 0, 0, "AMOUNT",
			"per million cached prompt tokens (as --input)"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options o = {"price set", "MODEL --input AMOUNT --output AMOUNT",
		"Sets the price of a model, the id in /v1/models, from now on; what was used "
		"before keeps its price.", rows, 4, 1};
	int64_t input_nano, output_nano, cached_nano;
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, &model, &count, &exit_code))
		return exit_code;
	if (count != 1 || !input || !output)
		return options_wrong(&o, "MODEL, --input and --output are needed");
	if (!amount_parse(input, &input_nano) || !amount_parse(output, &output_nano) ||
		!amount_parse(cached ? cached : input, &cached_nano))
		return options_wrong(&o, "a price is an amount such as 2.50");
	if (input_nano > PRICE_NANO_MAX || output_nano > PRICE_NANO_MAX ||
		cached_nano > PRICE_NANO_MAX)
		return options_wrong(&o, "a price is at most %lld per million tokens",
			PRICE_NANO_MAX / 1000000000LL);
	json_t *request = json_pack("{s:s, s:s, s:I, s:I, s:I}",
		"op", "price_set",
		"model", model,
		"input_nano", (json_int_t)input_nano,
		"output_nano", (json_int_t)output_nano,
		"cached_nano", (json_int_t)cached_nano);

	return cloud_ask(request, CLOUD_ROW, as_json, price_print);
}

static int price_list(int argc, char **argv)
{
	return cloud_list(argc, argv, "price list", "price_list",
		"Lists all prices, old versions too.", price_print);
}

int cmd_price(int argc, char **argv)
{
	static const struct cmd_subverb subverbs[] = {{"set", price_set}, {"list", price_list}};

	return cmd_dispatch(argc, argv, "What tokens cost.", subverbs, 2);
}
