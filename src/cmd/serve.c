/* cmd/serve.c - `tongyun serve`: models on a chip, behind the server. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "chip/cost.h"
#include "cmd/cmd.h"
#include "engine/executor_chip.h"
#include "engine/executor_sim.h"
#include "model/config.h"
#include "model/model.h"
#include "server/server.h"

#define SEQUENCES_DEFAULT 16
#define ROWS_DEFAULT      512
#define SIM_PAGES_EACH    4     /* of the simulated executor: contexts per slot, as a share of the whole */

struct serve {
	struct server_config config;
	const char *config_path;
	const char *alias;
	const char *model_path;
	const char *executor;
	int64_t port, context_max, sequences, rows, threads, cache_mib, grace_s;
	const char *isa;

	struct cmd_model loaded;
	struct server_model served;
	struct server *server;
};

static enum err open_chip_executor(void *context, struct executor **out, const struct request_table *table,
	struct wake *wake, struct err_info *info)
{
	const struct serve *s = context;
	const struct executor_chip_config config = {
		.context_max = (uint32_t)s->context_max,
		.slots = (uint32_t)s->sequences,
		.rows_max = (uint32_t)s->rows,
		.cache_bytes = s->cache_mib << 20,
	};

	return executor_chip_open(out, s->loaded.model, table, &config, wake, info);
}

/* Time as if the program ran on this chip at half of nominal rates: for trying the cloud without its arithmetic. */
static enum err open_sim_executor(void *context, struct executor **out, const struct request_table *table,
	struct wake *wake, struct err_info *info)
{
	static const struct chip_cost_rates rates = {
		.bytes_per_s = 20000000000, .ops_per_s = 500000000000, .step_ns = 200000};
	const struct serve *s = context;
	const struct model_config *model = model_config(s->loaded.model);
	struct executor_limits limits = {
		.context_max = model->context_max,
		.slots = (uint32_t)s->sequences,
		.states = model->delta_layers > 0 ? (uint32_t)s->sequences : 0,
		.rows_max = (uint32_t)s->rows,
		.vocab = model->vocab_used,
	};
	struct chip_cache_layout layout;
	struct chip_cost cost;

	(void)wake;
	if (s->context_max > 0 && (uint32_t)s->context_max < limits.context_max)
		limits.context_max = (uint32_t)s->context_max;
	limits.pages = (limits.context_max / CHIP_PAGE_TOKENS + 1) * limits.slots / SIM_PAGES_EACH + 1;
	model_cache_layout(s->loaded.model, CHIP_F16, &layout);
	chip_cost_program(&cost, model_program_desc(s->loaded.model), &layout);
	return executor_sim_open(out, &limits, table, &cost, &rates, NULL, info);
}

/* What a request gets that asks for nothing: the model's own generation_config. */
static void served_defaults(struct server_model *served, const struct model_config *config)
{
	served->defaults = (struct chip_sampling){
		.temperature = config->sampling.temperature,
		.top_p = config->sampling.top_p,
		.min_p = config->sampling.min_p,
		.top_k = config->sampling.top_k,
		.repetition_penalty = config->sampling.repetition_penalty,
		.presence_penalty = config->sampling.presence_penalty,
	};
	for (uint32_t i = 0; i < config->eos_count && i < REQUEST_EOS_MAX; i++)
		served->eos[served->eos_count++] = config->eos[i];
}

static enum err serve_load(struct serve *s, struct err_info *info)
{
	const struct cmd_model_options load = {
		.path = s->model_path,
		.isa = s->isa,
		.threads = s->threads,
		.rows_max = (uint32_t)s->rows,
		.wanted_max = (uint32_t)s->sequences,
		.kv_type = CHIP_F16,
	};
	const enum err err = cmd_model_load(&s->loaded, &load, info);

	if (err)
		return err;
	s->served.id = s->alias ? s->alias : model_name(s->loaded.model);
	s->served.tokenizer = model_tokenizer(s->loaded.model);
	s->served.chat_template = model_template(s->loaded.model);
	served_defaults(&s->served, model_config(s->loaded.model));
	s->served.simulated = strcmp(s->executor, "sim") == 0;
	s->served.executor_open = s->served.simulated ? open_sim_executor : open_chip_executor;
	s->served.executor_context = s;
	return ERR_NONE;
}

static int serve_run(struct serve *s)
{
	struct err_info info = {0};
	enum err err;

	log_set_level(LOG_INFO);
	s->config.models = &s->served;
	s->config.model_count = 1;
	s->config.port = (uint16_t)s->port;
	s->config.any_port = s->port == 0;
	s->config.grace_ns = s->grace_s * 1000000000;
	s->config.no_grace = s->grace_s == 0;
	if (!(err = serve_load(s, &info)) && !(err = server_open(&s->server, &s->config, &info)))
		err = server_run(s->server, &info);
	server_close(s->server);
	cmd_model_close(&s->loaded);
	return err ? cmd_fail(&info) : CMD_DONE;
}

/* llama.cpp's -np, a long name behind one dash. */
static void llama_spellings(int argc, char **argv)
{
	static char parallel[] = "--parallel";

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "-np") == 0)
			argv[i] = parallel;
}

int cmd_serve(int argc, char **argv)
{
	static struct serve s = {.executor = "chip", .port = 8000, .sequences = SEQUENCES_DEFAULT, .rows = ROWS_DEFAULT,
		.grace_s = 30};
	const struct option_row rows[] = {
		{"config", 0, OPTION_STRING, &s.config_path, 0, 0, "F.yaml", "settings by the names below"},
		{"host", 0, OPTION_STRING, &s.config.host, 0, 0, "ADDRESS", "where to listen (127.0.0.1)"},
		{"port", 0, OPTION_INT, &s.port, 0, 65535, "N", "port (8000); 0: any free one"},
		{"alias served-model-name", 'a', OPTION_STRING, &s.alias, 0, 0, "NAME", "the model's id in the API"},
		{"model", 'm', OPTION_STRING, &s.model_path, 0, 0, "MODEL", "the model (also as argument)"},
		{"max-model-len ctx-size", 'c', OPTION_INT, &s.context_max, 0, 1 << 24, "N",
			"tokens of prompt and answer together (0: the model's)"},
		{"max-num-seqs parallel", 0, OPTION_INT, &s.sequences, 1, 256, "N", "sequences at once (16); also -np"},
		{"max-num-batched-tokens", 0, OPTION_INT, &s.rows, 16, CHIP_ROWS_MAX, "N", "tokens of a step (512)"},
		{"kv-cache-mib", 0, OPTION_INT, &s.cache_mib, 0, 1 << 24, "N", "memory for the cache (0: by rule)"},
		{"threads", 't', OPTION_INT, &s.threads, 0, 1024, "N", "worker threads (one per core)"},
		{"isa", 0, OPTION_STRING, &s.isa, 0, 0, "NAME", "force an instruction set"},
		{"api-key", 0, OPTION_STRING, &s.config.api_key, 0, 0, "KEY", "a valid key; belongs to tenant local"},
		{"allow-anonymous", 0, OPTION_FLAG, &s.config.allow_anonymous, 0, 0, NULL,
			"listen beyond loopback without any key"},
		{"currency", 0, OPTION_STRING, &s.config.currency, 0, 0, "CODE", "of a new database (CNY)"},
		{"grace", 0, OPTION_INT, &s.grace_s, 0, 86400, "SECONDS", "for running requests at SIGTERM (30)"},
		{"executor", 0, OPTION_STRING, &s.executor, 0, 0, "chip|sim", "sim: no arithmetic, tokens by rule"},
	};
	const struct options o = {"serve", "[MODEL]", "Serves a model by the OpenAI API, metered and billed to tenants.",
		rows, sizeof(rows) / sizeof(*rows), 1};
	const char *positional = NULL;
	uint32_t count;
	int exit_code;

	llama_spellings(argc, argv);
	if (!cmd_parse(&o, argc, argv, &positional, &count, &exit_code))
		return exit_code;
	if (!cmd_model_argument(&o, &s.model_path, positional, count))
		return CMD_WRONG;
	if (strcmp(s.executor, "chip") != 0 && strcmp(s.executor, "sim") != 0)
		return options_wrong(&o, "--executor is chip or sim, not '%s'", s.executor);
	return serve_run(&s);
}
