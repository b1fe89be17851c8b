/* cmd/chips.c - `tongyun chips`: what computes here, and how fast it was measured to be. */
#include <assert.h>
#include <stdio.h>

#include "chip/format.h"
#include "cmd/cmd.h"

#define CHIPS_MAX   16
#define NAMES_BYTES 256   /* of all types */

/* The types that it computes with as they are, or the others. */
static const char *type_names(const struct chip_info *chip, bool direct, char out[NAMES_BYTES])
{
	size_t used = 0;

	out[0] = '\0';
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (chip_is_direct(chip, type) == direct)
			used += (size_t)snprintf(out + used, NAMES_BYTES - used, "%s%s",
				used ? " " : "", chip_type_name(type));
	assert(used < NAMES_BYTES);
	return out;
}

static json_t *chip_json(const struct chip_info *chip, const struct chip_rates *rates)
{
	char direct[NAMES_BYTES], decoded[NAMES_BYTES];

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I}",
		"name", chip->name,
		"kind", chip->kind,
		"isa", chip->isa,
		"isas", chip->isas,
		"types", type_names(chip, true, direct),
		"types_decoded", type_names(chip, false, decoded),
		"cores", (int)chip->cores,
		"memory_bytes", (json_int_t)chip->memory_bytes,
		"read_bytes_per_s", (json_int_t)rates->read_bytes_per_s,
		"int8_ops_per_s", (json_int_t)rates->int8_ops_per_s,
		"bf16_ops_per_s", (json_int_t)rates->bf16_ops_per_s,
		"f32_ops_per_s", (json_int_t)rates->f32_ops_per_s);
}

static void chip_print(const struct chip_info *chip, const struct chip_rates *rates)
{
	char names[NAMES_BYTES];

	printf("%s (%s)\n", chip->name, chip->kind);
	printf("  isa        %s, of: %s\n", chip->isa, chip->isas);
	printf("  threads    %u\n", chip->cores);
	printf("  memory     %.1f GiB\n", (double)chip->memory_bytes / (1 << 30));
	printf("  read       %.1f GB/s measured\n", (double)rates->read_bytes_per_s / 1e9);
	printf("  int8       %.1f GOPS measured\n", (double)rates->int8_ops_per_s / 1e9);
	if (rates->bf16_ops_per_s > 0)
		printf("  bf16       %.1f GFLOPS measured\n", (double)rates->bf16_ops_per_s / 1e9);
	printf("  f32        %.1f GFLOPS measured\n", (double)rates->f32_ops_per_s / 1e9);
	printf("  weights    %s\n", type_names(chip, true, names));
	printf("  decoded    %s\n", type_names(chip, false, names));
}

static enum err measure(const struct chip_info *listed, struct chip_config config,
	struct chip_info *about, struct chip_rates *rates, struct err_info *info)
{
	struct chip *chip;

	config.device = listed->device;
	enum err err = chip_open(&chip, listed->kind, &config, info);

	if (err)
		return err;
	chip_describe(chip, about);
	err = chip_measure(chip, rates, info);
	chip_close(chip);
	return err;
}

int cmd_chips(int argc, char **argv)
{
	bool as_json = false;
	const char *isa = NULL;
	int64_t threads = 0;
	const struct option_row rows[] = {
		OPTION_ROW_ISA(&isa),
		OPTION_ROW_THREADS(&threads),
		OPTION_ROW_JSON(&as_json),
	};
	const struct options options = {"chips", "",
		"Lists the chips of this machine with the measured read "
		"bandwidth and arithmetic peaks.", rows, sizeof(rows) / sizeof(*rows), 0};
	struct chip_info chips[CHIPS_MAX];
	uint32_t positional_count;
	int exit_code;

	if (!cmd_parse(&options, argc, argv, NULL, &positional_count, &exit_code))
		return exit_code;
	const struct chip_config config = {.isa = isa, .threads = (uint32_t)threads};
	const uint32_t count = chip_list(chips, CHIPS_MAX);
	json_t *all = as_json ? json_array() : NULL;

	for (uint32_t i = 0; i < count && i < CHIPS_MAX; i++) {
		struct chip_info about;
		struct chip_rates rates;
		struct err_info info = {0};

		if (measure(&chips[i], config, &about, &rates, &info)) {
			json_decref(all);
			return cmd_fail(&info);
		}
		if (as_json)
			json_array_append_new(all, chip_json(&about, &rates));
		else
			chip_print(&about, &rates);
	}
	return as_json ? cmd_print_json(all) : CMD_DONE;
}
