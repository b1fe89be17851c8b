/* cmd/serve.c - `tongyun serve`: models, each on a chip of its own over the same cores,
 * behind the server. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "chip/cost.h"
#include "chip/format.h"
#include "cmd/cmd.h"
#include "engine/executor_chip.h"
#include "engine/executor_sim.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "server/server.h"

#define SEQUENCES_DEFAULT 16
#define ROWS_DEFAULT      512
/* of the simulated executor: contexts per slot, as a share of the whole */
#define SIM_PAGES_EACH    4

struct serve_model {
	const struct serve *serve;
	struct cmd_model loaded;
	struct think_rule think;
	char computed[192];     /* on which chip, how */
};

struct serve {
	struct server_config config;
	const char *config_path;
	struct option_list paths, aliases;
	const char *executor;
	int64_t port, context_max, sequences, rows, threads, cache_mib, grace_s;
	/* 0: the server's default */
	int64_t body_mib, header_kib, json_mib, json_values, json_depth;
	int64_t unsent_kib, journal_mib, header_s, write_s;
	const char *isa, *kv_said;
	enum chip_type kv_type;

	struct serve_model models[SERVER_MODELS_MAX];
	/* the same ones, as the server sees them */
	struct server_model served[SERVER_MODELS_MAX];
	uint32_t model_count;
	struct server *server;
};

static enum err open_chip_executor(void *context, struct executor **out,
	const struct request_table *table, struct wake *wake, struct err_info *info)
{
	const struct serve_model *m = context;
	const struct serve *s = m->serve;
	const struct executor_chip_config config = {
		.context_max = (uint32_t)s->context_max,
		.slots = (uint32_t)s->sequences,
		.rows_max = (uint32_t)s->rows,
		.cache_bytes = s->cache_mib << 20,
		.neighbours = s->model_count - 1,
	};

	return executor_chip_open(out, m->loaded.model, table, &config, wake, info);
}

/* Time as if the program ran on this chip at half of nominal rates: for trying the cloud
 * without its arithmetic. */
static enum err open_sim_executor(void *context, struct executor **out,
	const struct request_table *table, struct wake *wake, struct err_info *info)
{
	static const struct chip_cost_rates rates = {
		.bytes_per_s = 20000000000, .ops_per_s = 500000000000, .step_ns = 200000};
	const struct serve_model *m = context;
	const struct serve *s = m->serve;
	const struct model_config *model = model_config(m->loaded.model);
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
	limits.pages = chip_pages(limits.context_max) * limits.slots / SIM_PAGES_EACH + 1;
	model_cache_layout(m->loaded.model, MODEL_KV_AUTO, &layout);
	chip_cost_program(&cost, model_program_desc(m->loaded.model), &layout);
	return executor_sim_open(out, &limits, table, &cost, &rates, NULL, info);
}

_Static_assert(MODEL_EOS_MAX <= REQUEST_EOS_MAX, "a request takes all ends of its model");

static void describe(struct serve_model *m)
{
	struct chip_cache_layout layout;
	struct chip_info chip;

	chip_describe(m->loaded.chip, &chip);
	model_cache_layout(m->loaded.model, MODEL_KV_AUTO, &layout);
	snprintf(m->computed, sizeof(m->computed), "%s with %s, %u threads, keys and values in %s",
		chip.name, chip.isa, chip.cores, chip_type_name(layout.kv_type));
}

static enum err model_add(struct serve *s, const char *path, struct err_info *info)
{
	const uint32_t index = s->model_count++;
	struct serve_model *m = &s->models[index];
	struct server_model *served = &s->served[index];
	const struct cmd_model_options load = {
		.path = path,
		.isa = s->isa,
		.threads = s->threads,
		.rows_max = (uint32_t)s->rows,
		.wanted_max = (uint32_t)s->sequences,
		.kv_type = s->kv_type,
	};

	if (cmd_model_load(&m->loaded, &load, info))
		return info->code;
	const struct model_config *config = model_config(m->loaded.model);

	if (s->context_max > (int64_t)config->context_max)
		log_line(LOG_WARN, "serve", "%s: --max-model-len is %lld, the model's context %u: "
			"that is what it gets", model_name(m->loaded.model),
			(long long)s->context_max, config->context_max);
	if (!model_template(m->loaded.model))
		log_line(LOG_WARN, "serve", "%s has no chat template: no chat can be answered",
			model_name(m->loaded.model));
	m->serve = s;
	served->id = index < s->aliases.count ? s->aliases.values[index]
		: model_name(m->loaded.model);
	describe(m);
	served->computed = m->computed;
	served->tokenizer = model_tokenizer(m->loaded.model);
	served->chat_template = model_template(m->loaded.model);
	served->defaults = config->sampling;
	if (think_rule_find(&m->think, served->tokenizer, info))
		return info->code;
	served->think = &m->think;
	served->eos_count = config->eos_count;
	memcpy(served->eos, config->eos, config->eos_count * sizeof(*config->eos));
	served->simulated = strcmp(s->executor, "sim") == 0;
	served->executor_open = served->simulated ? open_sim_executor : open_chip_executor;
	served->executor_context = m;
	return ERR_NONE;
}

static enum err models_add(struct serve *s, struct err_info *info)
{
	enum err err = s->paths.count == 0 ? model_add(s, NULL, info) : ERR_NONE;

	for (uint32_t i = 0; !err && i < s->paths.count; i++)
		err = model_add(s, s->paths.values[i], info);
	return err;
}

static void limits_say(struct serve *s)
{
	s->config.grace_ns = s->grace_s * NS_PER_S;
	s->config.no_grace = s->grace_s == 0;
	s->config.body_bytes_max = s->body_mib << 20;
	s->config.header_bytes_max = (uint32_t)s->header_kib << 10;
	s->config.trees_bytes_max = s->json_mib << 20;
	s->config.json_values_max = (uint32_t)s->json_values;
	s->config.json_depth_max = (uint32_t)s->json_depth;
	s->config.unsent_bytes_max = s->unsent_kib << 10;
	s->config.journal_bytes_max = s->journal_mib << 20;
	s->config.header_ns = s->header_s * NS_PER_S;
	s->config.write_idle_ns = s->write_s * NS_PER_S;
}

static int serve_run(struct serve *s)
{
	struct err_info info = {0};
	enum err err;

	log_set_level(LOG_INFO);
	signal(SIGPIPE, SIG_IGN);  /* a client that left is an error of write */
	err = models_add(s, &info);
	s->config.models = s->served;
	s->config.model_count = s->model_count;
	s->config.port = (uint16_t)s->port;
	s->config.any_port = s->port == 0;
	limits_say(s);
	if (!err && !(err = server_open(&s->server, &s->config, &info)))
		err = server_run(s->server, &info);
	server_close(s->server);
	for (uint32_t i = 0; i < s->model_count; i++)
		cmd_model_close(&s->models[i].loaded);
	return err ? cmd_fail(&info) : CMD_DONE;
}

/* MODELs as arguments stand in place of those of the file or the environment. False, and
 * said, when wrong. */
static bool models_named(struct serve *s, const struct options *o, const char **positionals,
	uint32_t count)
{
	if (!cmd_model_once(o, &s->paths, positionals[0], count))
		return false;
	if (count > 0) {
		memcpy(s->paths.values, positionals, count * sizeof(*positionals));
		s->paths.count = count;
	}
	if (s->aliases.count > 1 && s->aliases.count > s->paths.count) {
		options_wrong(o, "there are more --alias than models");
		return false;
	}
	return true;
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
	static struct serve s = {.executor = "chip", .port = 8000, .sequences = SEQUENCES_DEFAULT,
		.rows = ROWS_DEFAULT, .grace_s = 30};
	const char *tls = NULL;
	const struct option_row rows[] = {
		{"config", 0, OPTION_STRING, &s.config_path, 0, 0, "F.yaml",
			"settings by the names below"},
		{"host", 0, OPTION_STRING, &s.config.host, 0, 0, "ADDRESS",
			"where to listen (127.0.0.1)"},
		{"port", 0, OPTION_INT, &s.port, 0, 65535, "N", "port (8000); 0: any free one"},
		{"alias served-model-name", 'a', OPTION_LIST, &s.aliases, 0, 0, "NAME",
			"the model's id in the API; one for each MODEL, in order"},
		{"model", 'm', OPTION_LIST, &s.paths, 0, 0, "MODEL",
			"a model (also as argument); repeat for several"},
		{"max-model-len ctx-size", 'c', OPTION_INT, &s.context_max, 0, 1 << 24, "N",
			"tokens of prompt and answer together (0: the model's)"},
		{"max-num-seqs parallel", 0, OPTION_INT, &s.sequences, 1, 256, "N",
			"sequences at once (16); also -np"},
		{"max-num-batched-tokens", 0, OPTION_INT, &s.rows, 16, CHIP_ROWS_MAX, "N",
			"tokens of a step (512)"},
		{"kv-cache-mib", 0, OPTION_INT, &s.cache_mib, 0, 1 << 24, "N",
			"memory for each model's cache (0: by rule)"},
		OPTION_ROW_THREADS(&s.threads),
		OPTION_ROW_ISA(&s.isa),
		OPTION_ROW_KV_TYPE(&s.kv_said),
		{"api-key", 0, OPTION_STRING, &s.config.api_key, 0, 0, "KEY",
			"a key of tenant local, valid from now on until 'key revoke'"},
		{"allow-anonymous", 0, OPTION_FLAG, &s.config.allow_anonymous, 0, 0, NULL,
			"listen beyond loopback without any key"},
		{"currency", 0, OPTION_STRING, &s.config.currency, 0, 0, "CODE",
			"of a new database (CNY)"},
		{"grace", 0, OPTION_INT, &s.grace_s, 0, 86400, "SECONDS",
			"for running requests at SIGTERM (30)"},
		{"max-body-mib", 0, OPTION_INT, &s.body_mib, 1, 16, "N", "a request's body (16)"},
		{"max-header-kib", 0, OPTION_INT, &s.header_kib, 1, 64, "N",
			"a request's header (64)"},
		{"json-mib", 0, OPTION_INT, &s.json_mib, 1, 1 << 20, "N",
			"memory of all bodies while they are read and rendered (512)"},
		{"max-json-values", 0, OPTION_INT, &s.json_values, 1, 1000000, "N",
			"values in a body (1,000,000)"},
		{"max-json-depth", 0, OPTION_INT, &s.json_depth, 1, 64, "N",
			"brackets in each other in a body (64)"},
		{"max-unsent-kib", 0, OPTION_INT, &s.unsent_kib, 16, 1 << 20, "N",
			"output that a connection has not taken (256)"},
		{"header-timeout", 0, OPTION_INT, &s.header_s, 1, 3600, "SECONDS",
			"from a connection to its whole header (10)"},
		{"write-timeout", 0, OPTION_INT, &s.write_s, 1, 3600, "SECONDS",
			"that a client may take nothing of its answer (30)"},
		{"journal-mib", 0, OPTION_INT, &s.journal_mib, 1, 1 << 20, "N",
			"of each of the journal's two files (256)"},
		{"ssl-keyfile ssl-certfile", 0, OPTION_STRING, &tls, 0, 0, "FILE",
			"refused: TLS is for a proxy before it"},
		{"executor", 0, OPTION_STRING, &s.executor, 0, 0, "chip|sim",
			"sim: no arithmetic, tokens by rule"},
	};
	const struct options o = {"serve", "[MODEL...]",
		"Serves models by the OpenAI API, metered and billed to tenants.", rows,
		sizeof(rows) / sizeof(*rows), SERVER_MODELS_MAX};
	const char *positionals[SERVER_MODELS_MAX] = {0};
	uint32_t count;
	int exit_code;

	llama_spellings(argc, argv);
	if (!cmd_parse(&o, argc, argv, positionals, &count, &exit_code))
		return exit_code;
	if (!models_named(&s, &o, positionals, count) || !cmd_kv_type(&o, s.kv_said, &s.kv_type))
		return CMD_WRONG;
	if (tls)
		return options_wrong(&o, "there is no TLS in the server: let a proxy speak it, and "
			"serve on loopback");
	if (strcmp(s.executor, "chip") != 0 && strcmp(s.executor, "sim") != 0)
		return options_wrong(&o, "--executor is chip or sim, not '%s'", s.executor);
	return serve_run(&s);
}
