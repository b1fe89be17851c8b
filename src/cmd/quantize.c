/* cmd/quantize.c - `tongyun quantize`: a model as one GGUF file in a smaller type. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "chip/format.h"
#include "cmd/bar.h"
#include "cmd/cmd.h"
#include "model/files/dtype.h"
#include "model/quantize/quantize_file.h"

#define ABOUT_BYTES 512

/* What is looked at between two pieces. */
struct watch {
	struct cmd_bar bar;
	const volatile sig_atomic_t *stop;
};

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
	struct watch *w = context;

	if (total > 0 && cmd_bar_is_due(&w->bar, done == total))
		cmd_bar_draw(&w->bar, done, total, "");
	return !*w->stop;
}

static double bits_per_weight(uint64_t bytes, uint64_t values)
{
	return values > 0 ? 8 * (double)bytes / (double)values : 0;
}

static uint64_t tensor_bytes(const struct quantize_report *r)
{
	uint64_t bytes = r->other_bytes;

	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		bytes += r->type_bytes[type];
	return bytes;
}

static json_t *report_json(const struct quantize_job *job, const struct quantize_report *r)
{
	json_t *types = json_object();

	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (r->type_tensors[type])
			json_object_set_new(types, dtype_of_chip(type)->name,
				json_pack("{s:I, s:I}",
					"tensors", (json_int_t)r->type_tensors[type],
					"bytes", (json_int_t)r->type_bytes[type]));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:o, s:s?}",
		"out", job->out,
		"type", job->mix->name,
		"source_type", dtype_of_chip(r->source_type)->name,
		"tensors", (json_int_t)r->tensors,
		"parameters", (json_int_t)r->values,
		"source_bytes", (json_int_t)r->source_bytes,
		"file_bytes", (json_int_t)r->file_bytes,
		"source_bits_per_weight", bits_per_weight(r->source_bytes, r->values),
		"bits_per_weight", bits_per_weight(tensor_bytes(r), r->values),
		"narrow_tensors", (json_int_t)r->narrow_tensors,
		"types", types,
		"note", *r->note ? r->note : NULL);
}

static bool is_quantized(enum chip_type type)
{
	return chip_type_is_grouped(type) || chip_type_block_values(type) > 1;
}

static bool is_quantized_twice(const struct quantize_job *job, const struct quantize_report *r)
{
	return r->source_type != job->mix->type && is_quantized(r->source_type) &&
		is_quantized(job->mix->type);
}

static void report_print(const struct quantize_job *job, const struct quantize_report *r)
{
	printf("%s\n", job->out);
	printf("  from    %12llu bytes, %5.2f bits a weight\n",
		(unsigned long long)r->source_bytes,
		bits_per_weight(r->source_bytes, r->values));
	printf("  to      %12llu bytes, %5.2f bits a weight\n",
		(unsigned long long)r->file_bytes,
		bits_per_weight(tensor_bytes(r), r->values));
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (r->type_tensors[type])
			printf("  %-7s %12llu bytes in %llu tensors\n", dtype_of_chip(type)->name,
				(unsigned long long)r->type_bytes[type],
				(unsigned long long)r->type_tensors[type]);
	if (is_quantized_twice(job, r))
		printf("  note    made of %s: what that has lost stays lost; better take the "
			"original\n", dtype_of_chip(r->source_type)->name);
	if (r->narrow_tensors)
		printf("  note    the rows of %llu tensors do not fill blocks of %s: other types\n",
			(unsigned long long)r->narrow_tensors, dtype_of_chip(job->mix->type)->name);
	if (*r->note)
		printf("  note    %s\n", r->note);
}

static enum err quantize(struct quantize_job *job, const char *said,
	struct quantize_report *report, struct err_info *info)
{
	struct watch watch = {.bar = cmd_bar_open()};
	struct store_model found;
	enum err err;

	if ((err = cmd_model_find(said, &found, info)))
		return err;
	job->path = found.path;
	/* a folder of the store is called by its type */
	job->name = found.fd >= 0 && file_is_dir(found.path) ? said : NULL;
	job->progress = on_progress;
	job->context = &watch;
	watch.stop = cmd_signals_take();   /* who interrupts finds nothing half-written */
	err = quantize_file(job, report, info);
	cmd_bar_clear(&watch.bar);
	store_release(&found);
	return err;
}

int cmd_quantize(int argc, char **argv)
{
	char names[QUANTIZE_MIX_NAMES_BYTES], about[ABOUT_BYTES];
	const char *type = NULL, *positionals[2] = {NULL, NULL};
	bool as_json = false;
	int64_t threads = 0;
	struct quantize_job job = {0};
	const struct option_row rows[] = {
		{"type", 0, OPTION_STRING, &type, 0, 0, "T", "what the matrices become"},
		{"threads", 't', OPTION_INT, &threads, 0, QUANTIZE_THREADS_MAX, "N",
			"worker threads (default: one per core)"},
		{"force", 0, OPTION_FLAG, &job.force, 0, 0, NULL, "OUT.gguf may exist: replace it"},
		OPTION_ROW_JSON(&as_json),
	};
	const struct options options = {"quantize", "MODEL OUT.gguf", about, rows,
		sizeof(rows) / sizeof(*rows), 2};
	struct quantize_report report;
	struct err_info info = {0};
	uint32_t count;
	int exit_code;

	snprintf(about, sizeof(about), "Writes MODEL as one GGUF file, its matrices in type T:\n%s.\n"
		"llama.cpp's names of these are taken too: Q4_K_M is q4_k.",
		quantize_mix_names(names));
	if (!cmd_parse(&options, argc, argv, positionals, &count, &exit_code))
		return exit_code;
	if (count < 2)
		return options_wrong(&options, count == 0 ? "which MODEL, and to which OUT.gguf?"
			: "to which OUT.gguf?");
	if (!type)
		return options_wrong(&options, "which --type T? It is one of %s", names);
	if (!(job.mix = quantize_mix_find(type)))
		return options_wrong(&options, "no type %s; T is one of %s", type, names);
	if (strcmp(positionals[1], "-") == 0)
		return options_wrong(&options, "OUT.gguf is a file, not standard output");
	job.out = positionals[1];
	job.threads = (uint32_t)threads;
	if (quantize(&job, positionals[0], &report, &info))
		return cmd_fail(&info);
	if (as_json)
		return cmd_print_json(report_json(&job, &report));
	report_print(&job, &report);
	return CMD_DONE;
}
