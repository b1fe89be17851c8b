/* cmd/perplexity.c - `tongyun perplexity`: how well a model predicts a text.
 *
 * The text is cut into windows of --ctx tokens, each read from an empty context; what counts are
 * the predictions in a window's second half, which have at least half a window before them. With n
 * of them and x_i = -ln p(token i): perplexity = exp(mean x), its error = perplexity x the standard
 * error of the mean. Where the model has seen every text begin with bos, the text does and so does
 * each window, in place of its first token. llama.cpp's llama-perplexity measures the same
 * (tools/perplexity). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "cmd/bar.h"
#include "cmd/cmd.h"
#include "engine/session.h"
#include "model/arch/config.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"

#define CTX_DEFAULT    512
#define CTX_MAX        1048576
#define ROWS_MAX       512
#define WANTED_MAX     64   /* bounds the logits in memory: 64 rows of 248,320 are 64 MB */

struct measure {
	struct cmd_model_options load;
	struct cmd_text text;
	uint32_t ctx;
	int64_t windows_max;        /* 0: all */
	bool as_json;

	struct session *session;
	uint32_t vocab;             /* columns of the logits */
	uint32_t vocab_used;
	float *logits;              /* [WANTED_MAX, vocab] */
	uint32_t *tokens;
	size_t token_count;
	uint32_t bos;               /* first in every window, or TOKENIZER_ID_NONE */
	double sum, sum_squares;    /* of -ln p */
	int64_t count;
};

/* -ln softmax(logits)[token], over the real vocabulary. */
static double surprise(const float *logits, uint32_t vocab, uint32_t token)
{
	float largest = logits[0];
	double sum = 0;

	for (uint32_t i = 1; i < vocab; i++)
		largest = logits[i] > largest ? logits[i] : largest;
	for (uint32_t i = 0; i < vocab; i++)
		sum += (double)math_expf(logits[i] - largest);
	return math_log(sum) - (double)(logits[token] - largest);
}

/* Reads rows tokens of a window; with wanted, each predicts the token behind it. */
static enum err rows_read(struct measure *m, const uint32_t *tokens, uint32_t rows, bool wanted,
	struct err_info *info)
{
	const struct session_item item = {
		.tokens = tokens, .token_count = rows, .want_all = wanted,
		.want = wanted ? CHIP_WANT_LOGITS : CHIP_WANT_NOTHING};
	struct chip_output output = {.logits = m->logits};

	if (session_step(m->session, &item, 1, &output, info))
		return info->code;
	for (uint32_t i = 0; wanted && i < rows; i++) {
		const double x = surprise(m->logits + (size_t)i * m->vocab, m->vocab_used,
			tokens[i + 1]);

		if (!isfinite(x))
			return err_set(info, ERR_INPUT,
				"the model's logits are not finite: its weights are damaged; get "
				"them again");
		m->sum += x;
		m->sum_squares += x * x;
		m->count++;
	}
	return ERR_NONE;
}

static enum err window_read(struct measure *m, uint32_t *tokens, struct err_info *info)
{
	static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
	const uint32_t half = m->ctx / 2, end = m->ctx - 1;   /* the last one predicts nothing */
	enum err err = ERR_NONE;

	if (m->bos != TOKENIZER_ID_NONE)
		tokens[0] = m->bos;
	session_start(m->session, 0, &greedy, tokens, 1);
	for (uint32_t at = 0; at < end && !err;) {
		const bool wanted = at >= half;
		const uint32_t most = wanted ? WANTED_MAX : ROWS_MAX;
		const uint32_t rows = math_min_u32((wanted ? end : half) - at, most);

		err = rows_read(m, tokens + at, rows, wanted, info);
		at += rows;
	}
	return err;
}

static double perplexity(const struct measure *m)
{
	return math_exp(m->sum / (double)m->count);
}

static double perplexity_error(const struct measure *m)
{
	const double mean = m->sum / (double)m->count;
	const double variance = m->sum_squares / (double)m->count - mean * mean;

	if (m->count < 2 || variance <= 0)
		return 0;
	return perplexity(m) * sqrt(variance / (double)(m->count - 1));
}

static enum err text_read(struct measure *m, const struct tokenizer *t, struct err_info *info)
{
	struct token_list list = {0};
	const enum err err = cmd_text_encode(t, &m->text, &list, info);

	m->bos = tokenizer_adds_bos(t) ? tokenizer_bos(t) : TOKENIZER_ID_NONE;
	m->tokens = list.ids;
	m->token_count = list.count;
	if (!err && list.count < m->ctx)
		return err_set(info, ERR_INPUT,
			"%s: %zu tokens are less than one window of %u; give more text or a "
			"smaller --ctx", m->text.path, list.count, m->ctx);
	return err;
}

static enum err windows_read(struct measure *m, struct err_info *info)
{
	const size_t all = m->token_count / m->ctx;
	const size_t windows = m->windows_max && (size_t)m->windows_max < all
		? (size_t)m->windows_max : all;
	struct cmd_bar bar = cmd_bar_open();
	enum err err = ERR_NONE;
	char text[80];

	for (size_t i = 0; i < windows && !err; i++) {
		err = window_read(m, m->tokens + i * m->ctx, info);
		if (err || !cmd_bar_is_due(&bar, i + 1 == windows))
			continue;
		snprintf(text, sizeof(text), "%zu of %zu windows  %.4f", i + 1, windows,
			perplexity(m));
		cmd_bar_draw(&bar, i + 1, windows, text);
	}
	cmd_bar_clear(&bar);
	return err;
}

static enum err measure_run(struct measure *m, struct err_info *info)
{
	const struct session_options options = {.sequences = 1, .kv_type = m->load.kv_type,
		.context_max = m->ctx, .chunk = ROWS_MAX};
	struct cmd_model loaded = {0};
	enum err err;

	if ((err = cmd_model_load(&loaded, &m->load, info)))
		return err;
	const struct model_config *config = model_config(loaded.model);

	m->vocab = config->vocab;
	m->vocab_used = config->vocab_used;
	if (m->ctx > config->context_max) {
		err = err_set(info, ERR_LIMIT, "--ctx %u is more than the model's context of %u",
			m->ctx, config->context_max);
		goto done;
	}
	m->logits = mem_alloc((size_t)WANTED_MAX * m->vocab, sizeof(*m->logits));
	if (!m->logits) {
		err = err_set(info, ERR_MEMORY, "out of memory for %d rows of logits", WANTED_MAX);
		goto done;
	}
	if ((err = text_read(m, model_tokenizer(loaded.model), info)) ||
		(err = session_open(&m->session, loaded.model, &options, info)))
		goto done;
	err = windows_read(m, info);
	if (!err && !isfinite(perplexity(m)))
		err = err_set(info, ERR_INPUT, "the perplexity is beyond all numbers: the model is "
			"damaged, or none of such texts; get it again");
done:
	session_close(m->session);
	mem_free(m->logits);
	mem_free(m->tokens);
	cmd_model_close(&loaded);
	return err;
}

static int measure_print(const struct measure *m)
{
	if (!m->as_json) {
		printf("perplexity %.4f +/- %.5f over %lld tokens, windows of %u\n", perplexity(m),
			perplexity_error(m), (long long)m->count, m->ctx);
		return CMD_DONE;
	}
	return cmd_print_json(json_pack("{s:f, s:f, s:I, s:I, s:i}",
		"perplexity", perplexity(m),
		"error", perplexity_error(m),
		"tokens", (json_int_t)m->token_count,
		"predicted", (json_int_t)m->count,
		"ctx", (int)m->ctx));
}

int cmd_perplexity(int argc, char **argv)
{
	struct measure m = {.load = {.rows_max = ROWS_MAX,
		.wanted_max = WANTED_MAX}, .text = {.raw = true}};
	int64_t ctx = CTX_DEFAULT;
	const char *kv_type = NULL;
	const struct option_row rows[] = {
		{"ctx ctx-size", 'c', OPTION_INT, &ctx, 2, CTX_MAX, "N",
			"tokens of a window (512)"},
		{"windows chunks", 0, OPTION_INT, &m.windows_max, 0, INT32_MAX, "N",
			"so many windows at most (all)"},
		{"special", 0, OPTION_FLAG, &m.text.special, 0, 0, NULL,
			"text such as <|im_end|> becomes its special token"},
		OPTION_ROW_THREADS(&m.load.threads),
		OPTION_ROW_ISA(&m.load.isa),
		OPTION_ROW_KV_TYPE(&kv_type),
		OPTION_ROW_MODEL(&m.load.path),
		OPTION_ROW_JSON(&m.as_json),
	};
	const struct options options = {"perplexity", "[MODEL] FILE",
		"How well the model predicts the text of FILE (-: standard input), with its "
		"standard error: in windows of --ctx tokens, over the second half of each.",
		rows, sizeof(rows) / sizeof(*rows), 2};
	struct err_info info = {0};
	const char *positionals[2] = {NULL, NULL};
	uint32_t count;
	int exit_code;

	if (!cmd_parse(&options, argc, argv, positionals, &count, &exit_code))
		return exit_code;
	if (count == 0)
		return options_wrong(&options, "which FILE?");
	if (count == 1 && options_source(&m.load.path) != OPTION_FLAGS &&
		cmd_is_model_path(positionals[0]))
		return options_wrong(&options, "'%s' is a MODEL; which FILE?", positionals[0]);
	m.text.path = positionals[count - 1];
	if (!cmd_model_argument(&options, &m.load.path, positionals[0], count - 1))
		return CMD_WRONG;
	if (!cmd_kv_type(&options, kv_type, &m.load.kv_type))
		return CMD_WRONG;
	m.ctx = (uint32_t)ctx;
	if (measure_run(&m, &info))
		return cmd_fail(&info);
	return measure_print(&m);
}
