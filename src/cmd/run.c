/* cmd/run.c - `tongyun run`: answers a prompt, or chats in the terminal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/prng.h"
#include "cmd/answer.h"
#include "cmd/chat.h"
#include "model/arch/config.h"
#include "model/model.h"

#define PROMPT_BYTES_MAX ((size_t)64 << 20)
#define UNSET -1000.0
#define BIAS_MAX 100.0

struct run {
	struct cmd_model_options load;
	const char *kv_type;
	struct answer_settings settings;
	const char *prompt;     /* NULL: chat */
	size_t prompt_bytes;
	struct buf piped;
	double temperature, top_p, min_p, typical_p;
	double repetition_penalty, presence_penalty, frequency_penalty;
	int64_t top_k, seed, tokens_max;
	int64_t thinking_budget, logprobs;
	int64_t context_max;
	struct option_list stops, logit_biases;
	struct chip_bias biases[OPTIONS_LIST_MAX];
	bool think;
};

static void set_if_said(float *to, double said)
{
	if (said != UNSET)
		*to = (float)said;
}

/* Flags over the model's generation_config. */
static void sampling_fill(struct run *r, const struct model_config *config)
{
	struct chip_sampling *s = &r->settings.sampling;

	*s = config->sampling;
	if (r->temperature != UNSET)
		s->temperature = chip_temperature(r->temperature);
	set_if_said(&s->top_p, r->top_p);
	set_if_said(&s->min_p, r->min_p);
	set_if_said(&s->repetition_penalty, r->repetition_penalty);
	set_if_said(&s->typical_p, r->typical_p);
	set_if_said(&s->presence_penalty, r->presence_penalty);
	set_if_said(&s->frequency_penalty, r->frequency_penalty);
	if (r->top_k >= 0)
		s->top_k = (uint32_t)r->top_k;
	if (r->seed >= 0)
		s->seed = (uint64_t)r->seed;
	else
		prng_system(&s->seed, sizeof(s->seed));
	s->biases = r->biases;
	s->bias_count = r->logit_biases.count;
	s->logprobs = r->logprobs >= 0;
	s->top_logprobs = s->logprobs ? (uint32_t)r->logprobs : 0;
}

static enum err settings_fill(struct run *r, const struct model_config *config,
	struct err_info *info)
{
	sampling_fill(r, config);
	for (uint32_t i = 0; i < r->logit_biases.count; i++)
		if (r->biases[i].token >= config->vocab_used)
			return err_set(info, ERR_INPUT, "--logit-bias %s: the model has the tokens "
				"0 to %u", r->logit_biases.values[i], config->vocab_used - 1);
	r->settings.tokens_max = (uint32_t)r->tokens_max;
	r->settings.context_max = (uint32_t)r->context_max;
	r->settings.think_budget = r->thinking_budget < 0 ? THINK_NONE
		: (uint32_t)r->thinking_budget;
	r->settings.think = options_source(&r->think) == OPTION_UNSAID ? -1 : r->think;
	for (uint32_t i = 0; i < r->stops.count; i++)
		r->settings.stops[r->settings.stop_count++] = (struct request_stop){
			r->stops.values[i], (uint32_t)strlen(r->stops.values[i])};
	return ERR_NONE;
}

static enum err answer_once(struct answerer *a, const struct run *r, struct err_info *info)
{
	struct answer_stats stats;
	json_t *messages = NULL;
	uint32_t prompt_tokens;
	enum err err;

	if (r->settings.raw) {
		err = answerer_prompt_raw(a, r->prompt, r->prompt_bytes, &prompt_tokens, info);
	} else {
		if (!(err = chat_begin(&messages, r->settings.system, info)) &&
			!(err = chat_add(messages, "user", r->prompt, r->prompt_bytes, info)))
			err = answerer_prompt_chat(a, messages, &prompt_tokens, info);
		json_decref(messages);
	}
	if (!err && !(err = answerer_answer(a, prompt_tokens, NULL, &stats, info)))
		answer_tell(a, &stats);
	return err;
}

/* Piped in when it was not said; the line's end that echo adds is not part of it. */
static enum err prompt_take(struct run *r, struct err_info *info)
{
	buf_init(&r->piped, PROMPT_BYTES_MAX);
	if (r->prompt) {
		r->prompt_bytes = strlen(r->prompt);
	} else if (!isatty(STDIN_FILENO)) {
		if (file_read(&r->piped, "-", info))
			return info->code;
		r->prompt = r->piped.data ? r->piped.data : "";
		r->prompt_bytes = r->piped.size;
		if (!r->settings.raw && r->prompt_bytes > 0 &&
			r->prompt[r->prompt_bytes - 1] == '\n')
			r->prompt_bytes--;
	} else {
		return ERR_NONE;
	}
	if (r->prompt_bytes == 0)
		return err_set(info, ERR_INPUT,
			"the prompt is empty: give one as argument, or pipe one in");
	return ERR_NONE;
}

/* One word that may have been meant as a MODEL: qwen3:0.6b, or a path. */
static bool is_like_a_name(const char *word)
{
	const size_t size = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789._-/:~");

	return word[size] == '\0' && strcspn(word, "0123456789/:") < size;
}

/* Before the prompt is waited for. */
static enum err model_look(const char *said, struct err_info *info)
{
	struct store_model found;

	if (said && !cmd_model_find(said, &found, info))
		store_release(&found);
	return info->code;
}

static int run(struct run *r)
{
	struct err_info info = {0};
	struct cmd_model loaded = {0};
	struct answerer a = {0};
	enum err err = model_look(r->load.path, &info);

	if (!err)
		err = prompt_take(r, &info);
	if (!err)
		err = cmd_model_load(&loaded, &r->load, &info);
	if (!err)
		err = settings_fill(r, model_config(loaded.model), &info);
	if (!err)
		err = answerer_open(&a, loaded.model, &r->settings, &info);
	if (!err)
		err = r->prompt ? answer_once(&a, r, &info) : chat_run(&a, &info);
	answerer_close(&a);
	cmd_model_close(&loaded);
	buf_free(&r->piped);
	return err ? cmd_fail(&info) : CMD_DONE;
}

/* ID=BIAS; each token once. */
static bool bias_take(struct run *r, uint32_t index)
{
	const char *text = r->logit_biases.values[index];
	char *end;

	errno = 0;
	const unsigned long id = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || errno || id >= MODEL_VOCAB_MAX || *end != '=')
		return false;
	text = end + 1;
	const double bias = strtod(text, &end);
	if (end == text || *end || !(bias >= -BIAS_MAX && bias <= BIAS_MAX))
		return false;
	r->biases[index] = (struct chip_bias){(uint32_t)id, (float)bias};
	for (uint32_t i = 0; i < index; i++)
		if (r->biases[i].token == id)
			return false;
	return true;
}

/* MODEL and PROMPT: two arguments are both; a lone one is a MODEL if it looks like one.
 * What -m or -p has said is not an argument any more. */
static bool arguments_take(struct run *r, const struct options *o, const char **positionals,
	uint32_t count)
{
	const bool model_said = options_source(&r->load.path) == OPTION_FLAGS;
	const bool prompt_said = options_source(&r->prompt) == OPTION_FLAGS;

	if (!cmd_kv_type(o, r->kv_type, &r->load.kv_type))
		return false;
	if (count + model_said + prompt_said > 2) {
		options_wrong(o, "'%s' is too much: there is a MODEL and a PROMPT already",
			positionals[count - 1]);
		return false;
	}
	if (count == 2) {
		r->load.path = positionals[0];
		r->prompt = positionals[1];
	} else if (count == 1 && !model_said &&
		(prompt_said || cmd_looks_like_model(positionals[0]))) {
		r->load.path = positionals[0];
	} else if (count == 1) {
		r->prompt = positionals[0];
		if (!model_said && is_like_a_name(r->prompt))
			fprintf(stderr, "tongyun: note: there is no model '%s'; it is taken as the "
				"prompt (-m names a MODEL)\n", r->prompt);
	}
	for (uint32_t i = 0; i < r->stops.count; i++)
		if (!*r->stops.values[i] || strlen(r->stops.values[i]) > REQUEST_STOP_BYTES) {
			options_wrong(o, "--stop needs 1 to %d bytes", REQUEST_STOP_BYTES);
			return false;
		}
	for (uint32_t i = 0; i < r->logit_biases.count; i++)
		if (!bias_take(r, i)) {
			options_wrong(o, "--logit-bias '%.60s': ID=BIAS is needed, BIAS -100 to "
				"100, each ID once", r->logit_biases.values[i]);
			return false;
		}
	return true;
}

int cmd_run(int argc, char **argv)
{
	static struct run r = {
		.temperature = UNSET, .top_p = UNSET, .min_p = UNSET,
		.typical_p = UNSET, .repetition_penalty = UNSET,
		.presence_penalty = UNSET, .frequency_penalty = UNSET,
		.top_k = -1, .seed = -1, .thinking_budget = -1, .logprobs = -1};
	const struct option_row rows[] = {
		OPTION_ROW_MODEL(&r.load.path),
		{"prompt", 'p', OPTION_STRING, &r.prompt, 0, 0, "PROMPT",
			"the prompt (also as argument, or piped)"},
		{"system", 0, OPTION_STRING, &r.settings.system, 0, 0, "S", "system message"},
		{"think", 0, OPTION_FLAG, &r.think, 0, 0, NULL, "think before answering"},
		{"no-think", 0, OPTION_NO_FLAG, &r.think, 0, 0, NULL, "answer at once"},
		{"thinking-budget", 0, OPTION_INT, &r.thinking_budget, 0, 1 << 24, "N",
			"think at most so many tokens, then answer"},
		{"temperature", 0, OPTION_NUMBER, &r.temperature, 0, 100, "X", "0: greedy"},
		{"top-p", 0, OPTION_NUMBER, &r.top_p, 1e-9, 1, "X", "1: off"},
		{"top-k", 0, OPTION_INT, &r.top_k, 0, 1 << 20, "N", "0: off"},
		{"min-p", 0, OPTION_NUMBER, &r.min_p, 0, 1, "X", "0: off"},
		{"typical-p", 0, OPTION_NUMBER, &r.typical_p, 1e-6, 1, "X", "1: off"},
		{"repetition-penalty", 0, OPTION_NUMBER, &r.repetition_penalty, 0.01, 100, "X",
			"1: off"},
		{"presence-penalty", 0, OPTION_NUMBER, &r.presence_penalty, -100, 100, "X",
			"0: off"},
		{"frequency-penalty", 0, OPTION_NUMBER, &r.frequency_penalty, -100, 100, "X",
			"0: off"},
		{"logit-bias", 0, OPTION_LIST, &r.logit_biases, 0, 0, "ID=BIAS",
			"adds to a token's logit, -100 to 100; may be given several times"},
		{"seed", 0, OPTION_INT, &r.seed, 0, 9e15, "N",
			"the same seed gives the same answer"},
		{"max-tokens", 'n', OPTION_INT, &r.tokens_max, 0, 1 << 24, "N",
			"tokens of the answer at most (0: what the context allows)"},
		{"max-model-len ctx-size", 'c', OPTION_INT, &r.context_max, 0, 1 << 24, "N",
			"tokens of prompt and answer together (0: the model's, at most 4096)"},
		{"stop", 0, OPTION_LIST, &r.stops, 0, 0, "TEXT",
			"ends the answer; may be given several times"},
		{"raw", 0, OPTION_FLAG, &r.settings.raw, 0, 0, NULL, "no chat template"},
		{"stats", 0, OPTION_FLAG, &r.settings.stats, 0, 0, NULL,
			"time to first token and tokens/s on stderr"},
		{"logprobs", 0, OPTION_INT, &r.logprobs, 0, CHIP_TOP_LOGPROBS_MAX, "N",
			"how likely each token and the N likeliest were, as JSON lines on stderr"},
		OPTION_ROW_THREADS(&r.load.threads),
		OPTION_ROW_ISA(&r.load.isa),
		OPTION_ROW_KV_TYPE(&r.kv_type),
	};
	const struct options o = {"run", "[MODEL] [PROMPT]",
		"Answers a prompt, streaming; without one, chats in the terminal. Without MODEL "
		"the model inside the program is used.", rows, sizeof(rows) / sizeof(*rows), 2};
	const char *positionals[2];
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&o, argc, argv, positionals, &count, &exit_code))
		return exit_code;
	if (!arguments_take(&r, &o, positionals, count))
		return CMD_WRONG;
	return run(&r);
}
