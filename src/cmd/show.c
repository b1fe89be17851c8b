/* cmd/show.c - `tongyun show`: what a model is and what it needs, without loading it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "chip/check.h"
#include "chip/format.h"
#include "cmd/cmd.h"
#include "model/arch/config.h"
#include "model/files/dtype.h"
#include "model/weights/licence.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"
#include "model/weights/weights.h"

#define CONTEXT_DEFAULT 4096   /* what run takes */

/* Bytes of keys and values a token leaves behind; what suits a machine best has 16 bits. */
static int64_t kv_bytes_per_token(const struct model_config *c, enum chip_type kv_type)
{
	const enum chip_type type = kv_type == MODEL_KV_AUTO ? CHIP_F16 : kv_type;

	return (int64_t)c->attention_layers * 2 * c->kv_heads *
		(int64_t)chip_row_bytes(type, 0, c->head_dim);
}

static int64_t state_bytes(const struct model_config *c)
{
	const int64_t recurrent = (int64_t)c->delta_v_heads * c->delta_k_dim * c->delta_v_dim * 4;
	const uint32_t kept = c->delta_layers ? c->delta_conv - 1 : 0;
	const int64_t conv = (int64_t)model_config_delta_channels(c) * kept * 4;

	return c->delta_layers * (recurrent + conv);
}

/* What it takes to run it here. */
struct needs {
	uint32_t context;          /* tokens of the one sequence that is counted */
	int64_t token_bytes;       /* of keys and values */
	int64_t bytes;             /* weights and that sequence's keys, values and states */
	int64_t memory_bytes;      /* what the first chip may use; 0: there is none */
	json_t *decoded;           /* names of the weights' types that it decodes at each use */
};

static void needs_find(struct needs *n, const struct weights *w, int64_t context,
	enum chip_type kv_type)
{
	const struct model_config *c = &w->config;
	struct chip_info chip = {0};

	n->context = context && context < c->context_max ? (uint32_t)context
		: math_min_u32(c->context_max, CONTEXT_DEFAULT);
	n->token_bytes = kv_bytes_per_token(c, kv_type);
	n->bytes = (int64_t)w->size_bytes + n->context * n->token_bytes + state_bytes(c);
	n->decoded = json_array();
	if (chip_list(&chip, 1) == 0)
		return;
	n->memory_bytes = chip.memory_bytes;
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (w->type_bytes[type] && !chip_is_direct(&chip, type))
			json_array_append_new(n->decoded, json_string(dtype_of_chip(type)->name));
}

/* {"BF16": bytes, ...} */
static json_t *type_bytes_json(const struct weights *w)
{
	json_t *types = json_object();

	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (w->type_bytes[type])
			json_object_set_new(types, dtype_of_chip(type)->name,
				json_integer((json_int_t)w->type_bytes[type]));
	return types;
}

/* What an answer is sampled with that asks for nothing: those that are on. */
static json_t *sampling_json(const struct chip_sampling *s)
{
	const struct {
		const char *name;
		float value, off;
	} settings[] = {
		{"temperature", s->temperature, -1}, {"top_p", s->top_p, 1},
		{"top_k", (float)s->top_k, 0}, {"min_p", s->min_p, 0},
		{"typical_p", s->typical_p > 0 ? s->typical_p : 1, 1},
		{"repetition_penalty", s->repetition_penalty, 1},
		{"presence_penalty", s->presence_penalty, 0},
	};
	json_t *out = json_object();

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		char text[32];

		if (settings[i].value == settings[i].off)
			continue;
		snprintf(text, sizeof(text), "%g", (double)settings[i].value);   /* 0.6, not its f32 */
		json_object_set_new(out, settings[i].name, json_real(strtod(text, NULL)));
	}
	return out;
}

static uint32_t window_layers(const struct model_config *c)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->layers; i++)
		count += c->layer_window[i];
	return count;
}

/* The three below: NULL (null in the document) in models without. */
static json_t *experts_json(const struct model_config *c)
{
	return c->experts == 0 ? NULL : json_pack("{s:i, s:i, s:i, s:i, s:i}",
		"count", (int)c->experts, "used", (int)c->experts_used, "ffn", (int)c->expert_ffn,
		"shared_ffn", (int)c->shared_ffn, "layers", (int)c->expert_layers);
}

static json_t *window_json(const struct model_config *c)
{
	return c->window == 0 ? NULL : json_pack("{s:i, s:i}", "tokens", (int)c->window, "layers",
		(int)window_layers(c));
}

static const char *rope_name(enum model_rope kind)
{
	static const char *const names[] = {
		[MODEL_ROPE_PLAIN] = "plain", [MODEL_ROPE_LINEAR] = "linear",
		[MODEL_ROPE_YARN] = "yarn", [MODEL_ROPE_LLAMA3] = "llama3",
	};

	return names[kind];
}

static json_t *rope_json(const struct model_config *c)
{
	const struct model_rope_scaling *r = &c->rope_scaling;

	return r->kind == MODEL_ROPE_PLAIN ? NULL : json_pack("{s:s, s:f, s:o?}",
		"kind", rope_name(r->kind), "factor", r->factor,
		"context", r->context ? json_integer(r->context) : NULL);
}

static json_t *ends_json(const struct model_config *c)
{
	json_t *out = json_array();

	for (uint32_t i = 0; i < c->eos_count; i++)
		json_array_append_new(out, json_integer(c->eos[i]));
	return out;
}

static void sampling_print(const struct model_config *c)
{
	json_t *settings = sampling_json(&c->sampling);
	const char *name, *between = "";
	json_t *value;

	printf("  sampling      ");
	json_object_foreach(settings, name, value) {
		printf("%s%s %g", between, name, json_real_value(value));
		between = ", ";
	}
	printf(c->sampling.temperature > 0 ? "\n" : " (greedy)\n");
	json_decref(settings);
}

static json_t *show_json(const struct model *m, const char *licence, const struct needs *n)
{
	const struct model_config *c = model_config(m);
	const struct weights *w = model_weights(m);
	char quantization[QUANTIZATION_NAME_MAX];

	model_quantization_format(quantization, &c->quantization);
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:o, s:s?, s:i, s:i, s:i, s:i, s:i, s:i, s:i, "
		"s:i, s:i, s:i, s:I, s:I, s:i, s:I, s:I, s:O, s:b, s:i, s:o, s:o, s:s?, s:o?, s:o?, s:o?, s:s?}",
		"name", model_name(m),
		"architecture", model_arch_name(c->arch),
		"parameters", (json_int_t)w->parameters,
		"size_bytes", (json_int_t)w->size_bytes,
		"type", dtype_of_chip(w->type)->name,
		"type_bytes", type_bytes_json(w),
		"quantization", *quantization ? quantization : NULL,
		"context_max", (int)c->context_max,
		"layers", (int)c->layers,
		"attention_layers", (int)c->attention_layers,
		"delta_layers", (int)c->delta_layers,
		"hidden", (int)c->hidden,
		"ffn", (int)c->ffn,
		"heads", (int)c->heads,
		"kv_heads", (int)c->kv_heads,
		"head_dim", (int)c->head_dim,
		"vocab", (int)c->vocab_used,
		"kv_bytes_per_token", (json_int_t)n->token_bytes,
		"state_bytes", (json_int_t)state_bytes(c),
		"context", (int)n->context,
		"needed_bytes", (json_int_t)n->bytes,
		"memory_bytes", (json_int_t)n->memory_bytes,
		"decoded", n->decoded,
		"chat_template", w->chat_template != NULL,
		"tokens", (int)tokenizer_count(model_tokenizer(m)),
		"eos", ends_json(c),
		"sampling", sampling_json(&c->sampling),
		"licence", *licence ? licence : NULL,
		"experts", experts_json(c),
		"window", window_json(c),
		"rope_scaling", rope_json(c),
		"note", *w->note ? w->note : NULL);
}

static void needs_print(const struct model_config *c, const struct needs *n)
{
	const char *between = "";
	char size[CMD_SIZE_BYTES];
	json_t *name;
	size_t i;

	printf("  memory        %lld bytes a token, %lld bytes a sequence\n",
		(long long)n->token_bytes, (long long)state_bytes(c));
	printf("  needs         %lld bytes (%s) with a sequence of %u tokens%s\n",
		(long long)n->bytes, cmd_size((uint64_t)n->bytes, size), n->context,
		n->bytes > n->memory_bytes ? ": more than this machine has" : "");
	if (json_array_size(n->decoded) == 0)
		return;
	printf("  slow here     ");
	json_array_foreach(n->decoded, i, name) {
		printf("%s%s", between, json_string_value(name));
		between = ", ";
	}
	printf(": decoded to F32 at each use\n");
}

/* What only some architectures have. */
static void variant_print(const struct model_config *c)
{
	const struct model_rope_scaling *r = &c->rope_scaling;

	if (c->experts) {
		printf("  experts       %u in %u layers, %u a token, ffn %u", c->experts,
			c->expert_layers, c->experts_used, c->expert_ffn);
		printf(c->shared_ffn ? ", shared %u\n" : "\n", c->shared_ffn);
	}
	if (c->window)
		printf("  window        %u tokens in %u layers\n", c->window, window_layers(c));
	if (r->kind != MODEL_ROPE_PLAIN)
		printf("  positions     %s, stretched %g times\n", rope_name(r->kind), r->factor);
}

static void show_print(const struct model *m, const char *licence, const struct needs *n)
{
	const struct model_config *c = model_config(m);
	const struct weights *w = model_weights(m);
	char quantization[QUANTIZATION_NAME_MAX], size[CMD_SIZE_BYTES];

	printf("%s\n", model_name(m));
	printf("  architecture  %s\n", model_arch_name(c->arch));
	printf("  parameters    %llu\n", (unsigned long long)w->parameters);
	printf("  weights       %llu bytes (%s)", (unsigned long long)w->size_bytes,
		cmd_size(w->size_bytes, size));
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (w->type_bytes[type])
			printf(", %s %llu", dtype_of_chip(type)->name,
				(unsigned long long)w->type_bytes[type]);
	printf("\n");
	model_quantization_format(quantization, &c->quantization);
	if (*quantization)
		printf("  quantization  %s\n", quantization);
	printf("  layers        %u: %u attention, %u DeltaNet\n", c->layers, c->attention_layers,
		c->delta_layers);
	printf("  hidden, ffn   %u, %u\n", c->hidden, c->ffn);
	printf("  heads         %u of %u, %u for keys and values\n", c->heads, c->head_dim,
		c->kv_heads);
	variant_print(c);
	printf("  vocabulary    %u tokens\n", c->vocab_used);
	printf("  context       %u tokens at most\n", c->context_max);
	needs_print(c, n);
	sampling_print(c);
	printf("  tokenizer     byte-level BPE, %zu tokens\n", tokenizer_count(model_tokenizer(m)));
	printf("  template      %s\n", w->chat_template ? "yes" : "none: raw prompts only");
	printf("  licence       %s\n", *licence ? licence : "not said");
	if (*w->note)
		printf("  note          %s\n", w->note);
}

int cmd_show(int argc, char **argv)
{
	bool as_json = false;
	int64_t context = 0;
	struct needs needs = {0};
	const char *path = NULL, *kv_said = NULL;
	enum chip_type kv_type;
	const struct option_row rows[] = {
		{"ctx ctx-size max-model-len", 'c', OPTION_INT, &context, 0, MODEL_CONTEXT_MAX, "N",
			"count the memory of so many tokens (the model's, at most 4096)"},
		OPTION_ROW_KV_TYPE(&kv_said),
		OPTION_ROW_MODEL(&path),
		OPTION_ROW_JSON(&as_json),
	};
	const struct options options = {"show", "[MODEL]",
		"Tells what a model is and what it needs.", rows, sizeof(rows) / sizeof(*rows), 1};
	struct err_info info = {0};
	char licence[LICENCE_BYTES];
	struct cmd_model m;
	int exit_code;

	if (!cmd_parse_model(&options, argc, argv, &path, &exit_code))
		return exit_code;
	if (!cmd_kv_type(&options, kv_said, &kv_type))
		return CMD_WRONG;
	if (cmd_model_open(&m, path, &info))
		return cmd_fail(&info);
	if (kv_type != MODEL_KV_AUTO && model_config(m.model)->attention_layers > 0 &&
		chip_check_kv(kv_type, model_config(m.model)->head_dim, &info)) {
		cmd_model_close(&m);
		return cmd_fail(&info);
	}
	licence_find(model_weights(m.model), *m.path ? m.path : NULL, licence);
	needs_find(&needs, model_weights(m.model), context, kv_type);
	exit_code = CMD_DONE;
	if (as_json)
		exit_code = cmd_print_json(show_json(m.model, licence, &needs));
	else
		show_print(m.model, licence, &needs);
	json_decref(needs.decoded);
	cmd_model_close(&m);
	return exit_code;
}
