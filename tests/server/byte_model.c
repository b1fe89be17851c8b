/* tests/server/byte_model.c - see byte_model.h. */
#include "byte_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/template/template.h"
#include "model/tokenizer/tokenizer.h"

#define IM_START 256
#define IM_END   257

static void give_up(const struct err_info *info)
{
	fprintf(stderr, "byte model: %s\n", info->text);
	exit(1);
}

/* GPT-2's printable stand-in for a byte, as UTF-8. */
static size_t byte_spelling(unsigned byte, char out[4])
{
	const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
		byte >= 0xAE;
	unsigned code = byte;

	if (!printable) {
		code = 256;
		for (unsigned b = 0; b < byte; b++)
			code += !((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
	}
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	out[0] = (char)(0xC0 | code >> 6);
	out[1] = (char)(0x80 | (code & 0x3F));
	return 2;
}

static struct tokenizer *tokenizer_of_bytes(void)
{
	static char spelling[BYTE_MODEL_TOKENS][4];
	struct token_text tokens[BYTE_MODEL_TOKENS];
	const struct tokenizer_added added[] = {
		{.id = IM_START, .text = {"<|im_start|>", 12}, .special = true},
		{.id = IM_END, .text = {"<|im_end|>", 10}, .special = true},
	};
	struct tokenizer *tokenizer = NULL;
	struct err_info info = {0};

	for (unsigned i = 0; i < BYTE_MODEL_TOKENS; i++)
		tokens[i] = (struct token_text){spelling[i], byte_spelling(i, spelling[i])};
	const struct tokenizer_source source = {.tokens = tokens, .token_count = BYTE_MODEL_TOKENS,
		.added = added,
		.added_count = 2, .unk_id = TOKENIZER_ID_NONE, .bos_id = TOKENIZER_ID_NONE,
		.eos_id = IM_END,
		.pad_id = TOKENIZER_ID_NONE};
	if (tokenizer_open(&tokenizer, &source, &info))
		give_up(&info);
	return tokenizer;
}

static struct chat_template *template_of_chatml(const struct tokenizer *tokenizer)
{
	static const char source[] =
		"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% "
		"endfor %}"
		"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
		"{% if enable_thinking is defined and not enable_thinking %}.{% endif %}";
	struct chat_template *template = NULL;
	struct err_info info = {0};

	if (chat_template_open(&template, source, sizeof(source) - 1, tokenizer, &info))
		give_up(&info);
	return template;
}

static enum err sim_open(void *context, struct executor **out, const struct request_table *table,
	struct wake *wake, struct err_info *info)
{
	const struct byte_model *m = context;
	const struct chip_cost cost = {0};
	const struct chip_cost_rates rates = {.bytes_per_s = 1, .ops_per_s = 1,
		.step_ns = m->step_ns};

	(void)wake;
	return executor_sim_open(out, &m->limits, table, &cost, &rates, &m->faults, info);
}

void byte_model_open(struct byte_model *m)
{
	*m = (struct byte_model){.step_ns = 2000000};
	m->limits = (struct executor_limits){.slots = 16, .rows_max = 512, .context_max = 4096,
		.pages = 4096,
		.vocab = BYTE_MODEL_TOKENS};
	m->tokenizer = tokenizer_of_bytes();
	m->template = template_of_chatml(m->tokenizer);
	m->served = (struct server_model){.id = "sim", .tokenizer = m->tokenizer,
		.chat_template = m->template,
		.executor_open = sim_open, .executor_context = m, .simulated = true,
		.eos = {IM_END}, .eos_count = 1,
		.defaults = {.temperature = 1, .top_p = 1, .repetition_penalty = 1}};
}

void byte_model_close(struct byte_model *m)
{
	chat_template_close(m->template);
	tokenizer_close(m->tokenizer);
}
