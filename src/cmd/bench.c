/* cmd/bench.c - `tongyun bench`: prefill and decode rates, and what share of this machine's
 * measured bandwidth and peak each used. Field names of the JSON are llama-bench's. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/prng.h"
#include "chip/cost.h"
#include "chip/format.h"
#include "cmd/cmd.h"
#include "engine/session.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "model/weights/weights.h"

#define ROUNDS_MAX 1000
#define TOKENS_SEED 7

struct bench {
	struct cmd_model loaded;
	struct session *session;
	struct chip_info chip;
	struct chip_rates rates;
	struct chip_cost cost;
	enum chip_type kv_type;
	uint32_t batch;         /* sequences decoded together */
	uint32_t depth;         /* tokens in the cache before the measured part */
	uint32_t chunk;
	uint32_t rounds;
	bool as_json;
	bool profile;           /* say where the time goes */
	uint32_t *tokens;       /* random ids, enough for a row and what is before it */
	struct session_item *items;
	uint32_t *sampled;
};

/* One row of the table: prompt tokens, or generated ones. */
struct bench_row {
	uint32_t prompt;
	uint32_t generate;
	int64_t samples_ns[ROUNDS_MAX];
	struct chip_profile profile;    /* of all rounds */
};

static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

/* Puts every sequence at the wanted depth. */
static enum err bench_start(struct bench *b, struct err_info *info)
{
	for (uint32_t s = 0; s < b->batch; s++) {
		session_start(b->session, s, &greedy, b->tokens, 1);
		if (b->depth > 0) {
			const enum err err = session_prefill(b->session, s, b->tokens, b->depth,
				NULL, info);

			if (err)
				return err;
		}
	}
	return ERR_NONE;
}

static enum err bench_prompt(struct bench *b, uint32_t count, struct err_info *info)
{
	for (uint32_t s = 0; s < b->batch; s++) {
		uint32_t token;
		const enum err err = session_prefill(b->session, s, b->tokens + b->depth, count,
			&token, info);

		if (err)
			return err;
	}
	return ERR_NONE;
}

static enum err bench_generate(struct bench *b, uint32_t count, struct err_info *info)
{
	for (uint32_t n = 0; n < count; n++) {
		struct chip_output output = {.tokens = b->sampled};
		enum err err;

		for (uint32_t s = 0; s < b->batch; s++)
			b->items[s] = (struct session_item){
				.sequence = s,
				.tokens = n == 0 ? b->tokens : NULL,
				.token_count = 1,
				.want = CHIP_WANT_TOKEN,
			};
		if ((err = session_step(b->session, b->items, b->batch, &output, info)))
			return err;
	}
	return ERR_NONE;
}

/* Round 0 warms up and does not count; tokens read to reach a depth warm up as well. */
static enum err bench_measure(struct bench *b, struct bench_row *row, struct err_info *info)
{
	for (uint32_t round = b->depth > 0; round <= b->rounds; round++) {
		enum err err = bench_start(b, info);

		if (err)
			return err;
		if (b->profile && round > 0)
			chip_profile_start(b->loaded.chip);
		const int64_t start_ns = clock_monotonic_ns();
		err = row->prompt ? bench_prompt(b, row->prompt, info)
			: bench_generate(b, row->generate, info);
		if (err)
			return err;
		if (round > 0)
			row->samples_ns[round - 1] = clock_monotonic_ns() - start_ns;
		if (b->profile && round > 0)
			chip_profile_stop(b->loaded.chip, &row->profile);
	}
	return ERR_NONE;
}

/* Bytes and operations of a measured part: the sum over its steps, by the formulas of chip/cost. */
static void bench_cost(const struct bench *b, const struct chip_cost *cost,
	const struct bench_row *row, double *bytes, double *ops)
{
	*bytes = *ops = 0;
	for (uint32_t at = 0; at < row->prompt + row->generate;) {
		const uint32_t left = row->prompt - at;
		const int64_t rows = row->prompt ? (left < b->chunk ? left : b->chunk) : 1;
		const int64_t before = (int64_t)b->depth + at;
		const bool wants = row->generate > 0 || (uint32_t)rows == left;
		struct chip_cost_shape shape = {0};
		struct chip_cost_sum sum;

		/* prompts run one after the other, generated tokens of all sequences together */
		for (uint32_t s = 0; s < (row->prompt ? 1 : b->batch); s++)
			chip_cost_shape_add(&shape, before, rows, wants);
		chip_cost_step(cost, &shape, &sum);
		*bytes += (row->prompt ? b->batch : 1) * (double)sum.bytes;
		*ops += (row->prompt ? b->batch : 1) * (double)sum.ops;
		at += (uint32_t)rows;
	}
}

/* Of the arithmetic in which this model's matrices are multiplied. */
static struct chip_peak bench_weights_peak(const struct bench *b)
{
	return chip_peak(&b->chip, &b->rates, model_weights(b->loaded.model)->type);
}

static struct chip_peak bench_peak(const struct bench *b, enum chip_phase phase)
{
	if ((int)phase == CHIP_OP_DELTA)
		return chip_f32_peak(&b->rates);
	if ((int)phase == CHIP_OP_ATTEND)
		return chip_attend_peak(&b->chip, &b->rates, b->kv_type);
	return bench_weights_peak(b);
}

/* What a measured part would take with its arithmetic at the peak. */
static double bench_least_seconds(const struct bench *b, const struct bench_row *row)
{
	double seconds = 0;

	for (uint32_t i = 0; i < CHIP_PHASES; i++) {
		struct chip_cost cost;
		double bytes, ops;

		chip_cost_of_phase(&cost, &b->cost, (enum chip_phase)i);
		bench_cost(b, &cost, row, &bytes, &ops);
		seconds += ops / (double)bench_peak(b, (enum chip_phase)i).ops_per_s;
	}
	return seconds;
}

struct bench_figures {
	double avg_ns, stddev_ns, avg_ts, stddev_ts, median_ns;
	double bandwidth_ratio, compute_ratio, ops_per_s;
};

static double median_of(const int64_t *values, uint32_t count)
{
	double sorted[ROUNDS_MAX];

	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i;

		for (; at > 0 && sorted[at - 1] > (double)values[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = (double)values[i];
	}
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void bench_figures(const struct bench *b, const struct bench_row *row,
	struct bench_figures *f)
{
	const double tokens = (double)(row->prompt + row->generate) * b->batch;
	double sum_ns = 0, sum_ts = 0, square_ns = 0, square_ts = 0, bytes, ops;

	for (uint32_t i = 0; i < b->rounds; i++) {
		const double ns = (double)row->samples_ns[i];
		const double ts = tokens / ns * 1e9;

		sum_ns += ns;
		sum_ts += ts;
		square_ns += ns * ns;
		square_ts += ts * ts;
	}
	f->avg_ns = sum_ns / b->rounds;
	f->avg_ts = sum_ts / b->rounds;
	f->stddev_ns = sqrt(fmax(0, square_ns / b->rounds - f->avg_ns * f->avg_ns));
	f->stddev_ts = sqrt(fmax(0, square_ts / b->rounds - f->avg_ts * f->avg_ts));
	f->median_ns = median_of(row->samples_ns, b->rounds);
	bench_cost(b, &b->cost, row, &bytes, &ops);
	f->bandwidth_ratio = bytes / f->median_ns * 1e9 / (double)b->rates.read_bytes_per_s;
	f->ops_per_s = ops / f->median_ns * 1e9;
	f->compute_ratio = bench_least_seconds(b, row) / f->median_ns * 1e9;
}

/* ---- the profile ----------------------------------------------------------------------------- */

/* One kind of work in a row, or what is left of the time when all of them are subtracted. */
struct bench_phase {
	const char *name;
	double share;                 /* of the row's time, waiting included */
	double wait_share;            /* of the row's time */
	double bytes_per_s, ops_per_s;
	double bandwidth_ratio, compute_ratio;
	int64_t barriers;             /* of a round */
};

/* Those that took time; returns how many. */
static uint32_t bench_phases(const struct bench *b, const struct bench_row *row,
	struct bench_phase out[CHIP_PHASES + 1])
{
	double total_ns = 0, left_ns;
	uint32_t count = 0;

	for (uint32_t i = 0; i < b->rounds; i++)
		total_ns += (double)row->samples_ns[i];
	left_ns = total_ns;
	for (uint32_t i = 0; i < CHIP_PHASES; i++) {
		const struct chip_phase_times *t = &row->profile.phases[i];
		const double ns = (double)(t->work_ns + t->wait_ns);
		struct chip_cost cost;
		double bytes, ops;

		if (ns <= 0)
			continue;
		chip_cost_of_phase(&cost, &b->cost, (enum chip_phase)i);
		bench_cost(b, &cost, row, &bytes, &ops);
		out[count++] = (struct bench_phase){
			.name = chip_phase_name((enum chip_phase)i),
			.share = ns / total_ns,
			.wait_share = (double)t->wait_ns / total_ns,
			.bytes_per_s = bytes * b->rounds / ns * 1e9,
			.ops_per_s = ops * b->rounds / ns * 1e9,
			.bandwidth_ratio = bytes * b->rounds / ns * 1e9 /
				(double)b->rates.read_bytes_per_s,
			.compute_ratio = ops * b->rounds / ns * 1e9 /
				(double)bench_peak(b, (enum chip_phase)i).ops_per_s,
			.barriers = t->barriers / b->rounds,
		};
		left_ns -= ns;
	}
	out[count++] = (struct bench_phase){.name = "between steps", .share = left_ns / total_ns};
	return count;
}

static json_t *profile_json(const struct bench *b, const struct bench_row *row)
{
	struct bench_phase phases[CHIP_PHASES + 1];
	const uint32_t count = bench_phases(b, row, phases);
	json_t *all = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(all, json_pack("{s:s, s:f, s:f, s:I, s:f, s:f, s:f, s:f}",
			"operation", phases[i].name,
			"time_ratio", phases[i].share,
			"wait_ratio", phases[i].wait_share,
			"barriers", (json_int_t)phases[i].barriers,
			"bytes_per_s", phases[i].bytes_per_s,
			"ops_per_s", phases[i].ops_per_s,
			"bandwidth_ratio", phases[i].bandwidth_ratio,
			"compute_ratio", phases[i].compute_ratio));
	return all;
}

static void profile_print(const struct bench *b, const struct bench_row *row)
{
	struct bench_phase phases[CHIP_PHASES + 1];
	const uint32_t count = bench_phases(b, row, phases);

	printf("\n| operation     |     time |  waiting |    GB/s | bandwidth |   GOP/s |      peak "
		"|\n|---|---|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < count; i++) {
		const struct bench_phase *p = &phases[i];

		printf("| %-13s | %6.2f %% | %6.2f %% | %7.2f | %7.1f %% | %7.2f | %7.1f %% |\n",
			p->name, 100 * p->share, 100 * p->wait_share, p->bytes_per_s / 1e9,
			100 * p->bandwidth_ratio, p->ops_per_s / 1e9, 100 * p->compute_ratio);
	}
	printf("\n");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static json_t *row_json(const struct bench *b, const struct bench_row *row,
	const struct bench_figures *f)
{
	const struct chip_peak peak = bench_weights_peak(b);
	json_t *object;
	json_t *samples_ns = json_array();
	json_t *samples_ts = json_array();
	const double tokens = (double)(row->prompt + row->generate) * b->batch;

	for (uint32_t i = 0; i < b->rounds; i++) {
		json_array_append_new(samples_ns, json_integer(row->samples_ns[i]));
		json_array_append_new(samples_ts,
			json_real(tokens / (double)row->samples_ns[i] * 1e9));
	}
	object = json_pack("{s:s, s:I, s:s, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:o, s:o, "
		"s:f, s:f}",
		"model_type", model_name(b->loaded.model),
		"model_size", (json_int_t)model_weights(b->loaded.model)->size_bytes,
		"isa", b->chip.isa,
		"n_threads", (int)b->chip.cores,
		"n_prompt", (int)row->prompt,
		"n_gen", (int)row->generate,
		"n_depth", (int)b->depth,
		"n_batch", (int)b->batch,
		"avg_ns", f->avg_ns,
		"stddev_ns", f->stddev_ns,
		"avg_ts", f->avg_ts,
		"stddev_ts", f->stddev_ts,
		"samples_ns", samples_ns,
		"samples_ts", samples_ts,
		"bandwidth_ratio", f->bandwidth_ratio,
		"compute_ratio", f->compute_ratio);
	json_object_set_new(object, "type_k", json_string(chip_type_name(b->kv_type)));
	json_object_set_new(object, "type_v", json_string(chip_type_name(b->kv_type)));
	json_object_set_new(object, "ops_per_s", json_real(f->ops_per_s));
	json_object_set_new(object, "weights_arithmetic", json_string(peak.arithmetic));
	json_object_set_new(object, "weights_peak_ops_per_s", json_integer(peak.ops_per_s));
	json_object_set_new(object, "read_bytes_per_s", json_integer(b->rates.read_bytes_per_s));
	json_object_set_new(object, "int8_ops_per_s", json_integer(b->rates.int8_ops_per_s));
	json_object_set_new(object, "bf16_ops_per_s", json_integer(b->rates.bf16_ops_per_s));
	json_object_set_new(object, "f32_ops_per_s", json_integer(b->rates.f32_ops_per_s));
	if (b->profile)
		json_object_set_new(object, "profile", profile_json(b, row));
	return object;
}

static void head_print(void)
{
	printf("| model                    |   b | test             |               tokens/s  | "
		"bandwidth  | peak       |\n|---|---|---|---|---|---|\n");
	(void)fflush(stdout);
}

/* A profile is a table of its own. */
static void row_print(const struct bench *b, const struct bench_row *row,
	const struct bench_figures *f)
{
	char test[48];

	snprintf(test, sizeof(test), "%s%u @ d%u", row->prompt ? "pp" : "tg",
		row->prompt ? row->prompt : row->generate, b->depth);
	printf("| %-24s | %3u | %-16s | %10.2f +- %-8.2f | %8.1f %% | %8.1f %% |\n",
		model_name(b->loaded.model), b->batch, test, f->avg_ts, f->stddev_ts,
		100 * f->bandwidth_ratio, 100 * f->compute_ratio);
	if (b->profile)
		profile_print(b, row);
	(void)fflush(stdout);
}

static enum err bench_run(struct bench *b, uint32_t prompt, uint32_t generate, json_t *all,
	struct err_info *info)
{
	static struct bench_row rows[2];
	uint32_t count = 0;

	if (prompt > 0)
		rows[count++] = (struct bench_row){.prompt = prompt};
	if (generate > 0)
		rows[count++] = (struct bench_row){.generate = generate};
	for (uint32_t i = 0; i < count; i++) {
		struct bench_figures figures;
		enum err err;

		if (!b->as_json && (i == 0 || b->profile))
			head_print();
		/* Virtual cores move, and the limits with them. Without memory for it the last ones
		 * hold. */
		if (i > 0 && chip_measure(b->loaded.chip, &b->rates, info))
			*info = (struct err_info){0};
		if ((err = bench_measure(b, &rows[i], info)))
			return err;
		bench_figures(b, &rows[i], &figures);
		if (b->as_json)
			json_array_append_new(all, row_json(b, &rows[i], &figures));
		else
			row_print(b, &rows[i], &figures);
	}
	return ERR_NONE;
}

static enum err bench_open(struct bench *b, const struct cmd_model_options *load,
	uint32_t tokens_max, struct err_info *info)
{
	struct session_options options = {.sequences = b->batch, .kv_type = MODEL_KV_AUTO,
		.chunk = b->chunk > b->batch ? b->chunk : b->batch};
	struct chip_cache_layout layout;
	struct prng prng;
	enum err err;

	if ((err = cmd_model_load(&b->loaded, load, info)))
		return err;
	const uint32_t context_max = model_config(b->loaded.model)->context_max;

	options.context_max = tokens_max + 1;   /* the one that is sampled last */
	b->tokens = mem_alloc(tokens_max, sizeof(*b->tokens));
	b->items = mem_alloc(b->batch, sizeof(*b->items));
	b->sampled = mem_alloc(b->batch, sizeof(*b->sampled));
	if (!b->tokens || !b->items || !b->sampled)
		return err_set(info, ERR_MEMORY, "out of memory for %u tokens", tokens_max);
	prng_init(&prng, TOKENS_SEED);
	for (uint32_t i = 0; i < tokens_max; i++)
		b->tokens[i] = (uint32_t)prng_below(&prng,
			model_config(b->loaded.model)->vocab_used);
	model_cache_layout(b->loaded.model, MODEL_KV_AUTO, &layout);
	b->kv_type = layout.kv_type;
	chip_cost_program(&b->cost, model_program_desc(b->loaded.model), &layout);
	chip_describe(b->loaded.chip, &b->chip);
	if (tokens_max > context_max)
		(void)fprintf(stderr, "tongyun: note: %u tokens are more than the model's context "
			"of %u\n", tokens_max, context_max);
	if ((err = chip_measure(b->loaded.chip, &b->rates, info)))
		return err;
	return session_open(&b->session, b->loaded.model, &options, info);
}

int cmd_bench(int argc, char **argv)
{
	static struct bench b;
	struct cmd_model_options load = {0};
	const char *kv_type = NULL;
	int64_t prompt = 512, generate = 128, batch = 1, rounds = 5, depth = 0, chunk = 512;
	const struct option_row rows[] = {
		{"n-prompt", 'p', OPTION_INT, &prompt, 0, 1 << 20, "N",
			"prompt tokens (512); 0: no such row"},
		{"n-gen", 'n', OPTION_INT, &generate, 0, 1 << 20, "N",
			"generated tokens (128); 0: no such row"},
		{"batch", 'b', OPTION_INT, &batch, 1, 256, "N", "sequences decoded together (1)"},
		{"repetitions", 'r', OPTION_INT, &rounds, 1, ROUNDS_MAX, "N",
			"measured rounds (5)"},
		{"depth", 'd', OPTION_INT, &depth, 0, 1 << 20, "N",
			"tokens in the cache before (0)"},
		{"profile", 0, OPTION_FLAG, &b.profile, 0, 0, NULL,
			"where the time goes, operation by operation, and waiting at barriers"},
		{"chunk", 0, OPTION_INT, &chunk, 1, CHIP_ROWS_MAX, "N",
			"rows of a prefill step (512)"},
		OPTION_ROW_THREADS(&load.threads),
		OPTION_ROW_ISA(&load.isa),
		OPTION_ROW_KV_TYPE(&kv_type),
		OPTION_ROW_MODEL(&load.path),
		OPTION_ROW_JSON(&b.as_json),
	};
	const struct options options = {"bench", "[MODEL]",
		"Measures prefill and decode with random tokens; shares are of this machine's "
		"measured read bandwidth and of the peak of the arithmetic used.", rows,
		sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	int exit_code;

	if (!cmd_parse_model(&options, argc, argv, &load.path, &exit_code))
		return exit_code;
	if (!cmd_kv_type(&options, kv_type, &load.kv_type))
		return CMD_WRONG;
	if (prompt == 0 && generate == 0) {
		options_wrong(&options, "-p 0 and -n 0: nothing to measure");
		return CMD_WRONG;
	}
	b.batch = (uint32_t)batch;
	b.rounds = (uint32_t)rounds;
	b.depth = (uint32_t)depth;
	b.chunk = (uint32_t)chunk;
	load.rows_max = b.chunk > b.batch ? b.chunk : b.batch;
	load.wanted_max = b.batch;
	json_t *all = b.as_json ? json_array() : NULL;
	const int64_t tokens_max = depth + (prompt > generate ? prompt : generate);
	enum err err = bench_open(&b, &load, (uint32_t)tokens_max, &info);

	if (!err)
		err = bench_run(&b, (uint32_t)prompt, (uint32_t)generate, all, &info);
	session_close(b.session);
	cmd_model_close(&b.loaded);
	mem_free(b.tokens);
	mem_free(b.items);
	mem_free(b.sampled);
	if (err) {
		json_decref(all);
		return cmd_fail(&info);
	}
	return b.as_json ? cmd_print_json(all) : CMD_DONE;
}
