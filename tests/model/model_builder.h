/* tests/model/model_builder.h - whole small models made in memory by the rules of their
 * architecture, right or with one thing wrong: what weights_test and the fuzz seeds read. Every
 * value is a small number that bf16 holds exactly. */
#ifndef TESTS_MODEL_MODEL_BUILDER_H
#define TESTS_MODEL_MODEL_BUILDER_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/math.h"
#include "model/arch/arch.h"
#include "model/gguf_builder.h"
#include "model/safetensors_builder.h"

static const char MODEL_BUILDER_QWEN3[] =
	"{\"model_type\":\"qwen3\",\"hidden_size\":32,\"num_hidden_layers\":1,\"num_attention_"
	"heads\":2,"
	"\"num_key_value_heads\":1,\"head_dim\":16,\"intermediate_size\":32,\"vocab_size\":8,"
	"\"max_position_embeddings\":64,\"rms_norm_eps\":1e-06,\"rope_theta\":10000,\"tie_word_"
	"embeddings\":false,"
	"\"eos_token_id\":1}";

static const char MODEL_BUILDER_QWEN3_5[] =
	"{\"model_type\":\"qwen3_5_text\",\"hidden_size\":32,\"num_hidden_layers\":2,\"num_"
	"attention_heads\":2,"
	"\"num_key_value_heads\":1,\"head_dim\":16,\"intermediate_size\":32,\"vocab_size\":8,"
	"\"max_position_embeddings\":64,\"rms_norm_eps\":1e-06,\"rope_theta\":10000,\"tie_word_"
	"embeddings\":false,"
	"\"eos_token_id\":1,\"layer_types\":[\"linear_attention\",\"full_attention\"],"
	"\"linear_num_key_heads\":2,\"linear_num_value_heads\":4,\"linear_key_head_dim\":8,"
	"\"linear_value_head_dim\":8,\"linear_conv_kernel_dim\":4}";

/* With every bias that there is. */
static const char MODEL_BUILDER_LLAMA[] =
	"{\"model_type\":\"llama\",\"hidden_size\":32,\"num_hidden_layers\":1,"
	"\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":32,"
	"\"vocab_size\":8,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-06,"
	"\"attention_bias\":true,\"mlp_bias\":true,\"eos_token_id\":1}";

/* Three experts and a shared one. */
static const char MODEL_BUILDER_QWEN3_5_MOE[] =
	"{\"model_type\":\"qwen3_5_moe_text\",\"hidden_size\":32,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":16,\"vocab_size\":8,"
	"\"max_position_embeddings\":64,\"rms_norm_eps\":1e-06,\"rope_theta\":10000,"
	"\"tie_word_embeddings\":false,\"eos_token_id\":1,"
	"\"layer_types\":[\"linear_attention\",\"full_attention\"],"
	"\"linear_num_key_heads\":2,\"linear_num_value_heads\":4,\"linear_key_head_dim\":8,"
	"\"linear_value_head_dim\":8,\"linear_conv_kernel_dim\":4,\"num_experts\":3,"
	"\"num_experts_per_tok\":2,\"moe_intermediate_size\":24,"
	"\"shared_expert_intermediate_size\":40}";

/* One thing that differs from the model as it should be; a zeroed struct changes nothing. */
struct model_builder_change {
	const char *drop;    /* a tensor that is left out */
	const char *reshape; /* a tensor with one row more */
	const char *poison;  /* a tensor whose last value is value */
	float value;
	const char *retype; /* a tensor of type (safetensors: F8_E5M2; GGUF: IQ2_XXS), sized so */
	const char *add;    /* one tensor [8] more */
};

static inline json_t *model_builder_parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert(value);
	return value;
}

static inline struct model_config model_builder_config(const char *text)
{
	struct err_info info = {0};
	struct model_config c;
	json_t *config = model_builder_parse(text);
	const struct model_config_texts texts = {.config = config};

	if (model_config_from_json(&c, &texts, &info))
		abort();
	json_decref(config);
	return c;
}

static inline bool model_builder_is(const char *name, const char *wanted)
{
	return wanted && strcmp(name, wanted) == 0;
}

/* A tensor of rows x columns floats; different in every place, exact in bf16. */
static inline float *model_builder_values(size_t count, uint32_t salt)
{
	float *values = calloc(count, sizeof(*values));

	assert(values);
	for (size_t i = 0; i < count; i++)
		values[i] = (float)((int32_t)((i * 37 + salt * 11) % 199) - 99) / 128.0F;
	return values;
}

/* A callback for each tensor: its name, shape and values; the rows include a reshape. A stack of
 * experts is one with rows of all of them. */
typedef void model_builder_each(void *context, const char *name, const struct weight_rule *rule,
	uint64_t rows, uint64_t columns, const float *values);

static inline void model_builder_one(const struct model_config *c, bool gguf, const char *name,
	const struct weight_rule *rule, uint64_t rows, uint32_t salt,
	const struct model_builder_change *change, model_builder_each *each, void *context)
{
	const uint64_t columns = arch_extent(c, rule->columns);
	const bool stack = rule->form == FORM_EXPERTS && gguf;

	if (model_builder_is(name, change->drop))
		return;
	if (model_builder_is(name, change->reshape))
		rows += stack ? c->experts : 1;
	float *values = model_builder_values(rows * columns, salt);

	if (gguf && rule->form == FORM_DECAY)
		for (uint64_t v = 0; v < rows; v++)
			values[v] = -1.0F - (float)v;
	if (model_builder_is(name, change->poison))
		values[rows * columns - 1] = change->value;
	each(context, name, rule, rows, columns, values);
	free(values);
}

static inline void model_builder_walk(const struct model_config *c, bool gguf, const char *prefix,
	const struct model_builder_change *change, model_builder_each *each, void *context)
{
	const struct arch *arch = arch_get(c->arch);

	for (uint32_t at = 0; at <= c->layers; at++) /* 0: what is there once */
		for (size_t i = 0; i < arch->rule_count; i++) {
			const struct weight_rule *rule = &arch->rules[i];
			const uint32_t layer = at ? at - 1 : 0;
			const char *last = gguf ? rule->gguf_name : rule->json_name;
			const uint64_t rows = arch_extent(c, rule->rows);
			const bool one_by_one = rule->form == FORM_EXPERTS && !gguf;
			char name[160];

			if (at ? !arch_layer_has(c, rule->place, layer) : rule->place != PLACE_ONCE)
				continue;
			for (uint32_t e = 0; one_by_one && e < c->experts; e++) {
				snprintf(name, sizeof(name),
					"%slayers.%" PRIu32 ".mlp.experts.%" PRIu32 ".%s", prefix,
					layer, e, last);
				model_builder_one(c, gguf, name, rule, rows / c->experts,
					at * WEIGHTS + rule->weight + e, change, each, context);
			}
			if (one_by_one)
				continue;
			if (at)
				snprintf(name, sizeof(name), "%s%s.%" PRIu32 ".%s", prefix,
					gguf ? "blk" : "layers", layer, last);
			else
				snprintf(name, sizeof(name), "%s%s",
					rule->weight == WEIGHT_HEAD ? "" : prefix, last);
			model_builder_one(c, gguf, name, rule, rows, at * WEIGHTS + rule->weight,
				change, each, context);
		}
}

struct model_builder_sink {
	struct safetensors_builder st;
	struct gguf_builder gguf;
	const struct model_builder_change *change;
	uint32_t experts;
};

static inline void model_builder_to_safetensors(void *context, const char *name,
	const struct weight_rule *rule, uint64_t rows, uint64_t columns, const float *values)
{
	struct model_builder_sink *sink = context;
	const bool fp8 = model_builder_is(name, sink->change->retype);
	uint16_t *halves = calloc(rows * columns, sizeof(*halves));
	char shape[64];

	assert(halves);
	for (uint64_t i = 0; i < rows * columns; i++)
		halves[i] = math_bf16_from_f32(values[i]);
	if (rule->form == FORM_CONV)
		snprintf(shape, sizeof(shape), "[%" PRIu64 ",1,%" PRIu64 "]", rows, columns);
	else if (arch_form_is_matrix(rule->form))
		snprintf(shape, sizeof(shape), "[%" PRIu64 ",%" PRIu64 "]", rows, columns);
	else
		snprintf(shape, sizeof(shape), "[%" PRIu64 "]", rows);
	safetensors_add(&sink->st, name, fp8 ? "F8_E5M2" : "BF16", shape, halves,
		rows * columns * (fp8 ? 1 : 2));
	free(halves);
}

/* One file; the caller frees it. */
static inline struct buf model_builder_safetensors(
	const char *config, const char *prefix, const struct model_builder_change *change)
{
	const struct model_config c = model_builder_config(config);
	struct model_builder_sink sink = {.change = change};
	static const float eight[8];

	safetensors_builder_init(&sink.st);
	model_builder_walk(&c, false, prefix, change, model_builder_to_safetensors, &sink);
	if (change->add)
		safetensors_add(&sink.st, change->add, "F32", "[8]", eight, sizeof(eight));
	return safetensors_builder_finish(&sink.st);
}

static inline void model_builder_to_gguf(void *context, const char *name,
	const struct weight_rule *rule, uint64_t rows, uint64_t columns, const float *values)
{
	struct model_builder_sink *sink = context;
	const bool two = arch_form_is_matrix(rule->form) || rule->form == FORM_CONV;
	const bool stack = rule->form == FORM_EXPERTS;
	const uint64_t dims[] = {
		two ? columns : rows, stack ? rows / sink->experts : rows, sink->experts};

	if (model_builder_is(name, sink->change->retype))
		gguf_add_tensor(&sink->gguf, name, 16, 2, (uint64_t[]){256, 1}, values, 66);
	else
		gguf_add_tensor(&sink->gguf, name, 0, stack ? 3 : two ? 2 : 1, dims, values,
			rows * columns * sizeof(*values));
}

/* Metadata as a converter writes it. */
static inline void model_builder_gguf_keys(struct gguf_builder *b, const struct model_config *c)
{
	const struct arch *arch = arch_get(c->arch);
	const struct {
		const char *key;
		uint32_t value;
	} numbers[] = {
		{"block_count", c->layers + c->mtp_layers},
		{"context_length", c->context_max},
		{"embedding_length", c->hidden},
		{"feed_forward_length", c->ffn},
		{"attention.head_count", c->heads},
		{"attention.head_count_kv", c->kv_heads},
		{"attention.key_length", c->head_dim},
		{"attention.value_length", c->head_dim},
		{"rope.dimension_count", c->rotary_dim},
		{"nextn_predict_layers", c->mtp_layers},
		{"expert_count", c->experts},
		{"expert_used_count", c->experts_used},
		{"expert_feed_forward_length", c->expert_ffn},
		{"expert_shared_feed_forward_length", c->shared_ffn},
		{"full_attention_interval", 2},
		{"ssm.conv_kernel", c->delta_conv},
		{"ssm.state_size", c->delta_k_dim},
		{"ssm.group_count", c->delta_k_heads},
		{"ssm.time_step_rank", c->delta_v_heads},
		{"ssm.inner_size", c->delta_v_heads * c->delta_v_dim},
	};
	char key[96];

	gguf_add_string(b, "general.architecture", arch->gguf_name);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (c->experts == 0 && strstr(numbers[i].key, "expert"))
			continue;
		snprintf(key, sizeof(key), "%s.%s", arch->gguf_name, numbers[i].key);
		gguf_add_u32(b, key, numbers[i].value);
	}
	snprintf(key, sizeof(key), "%s.attention.layer_norm_rms_epsilon", arch->gguf_name);
	gguf_add_f32(b, key, c->rms_eps);
	snprintf(key, sizeof(key), "%s.rope.freq_base", arch->gguf_name);
	gguf_add_f32(b, key, (float)c->rope_theta);
	gguf_add_u32(b, "tokenizer.ggml.eos_token_id", c->eos[0]);
}

static inline struct buf model_builder_gguf(
	const char *config, uint32_t mtp_layers, const struct model_builder_change *change)
{
	struct model_config c = model_builder_config(config);
	struct model_builder_sink sink = {.change = change, .experts = c.experts};
	static const float eight[8];

	c.mtp_layers = mtp_layers;
	gguf_builder_init(&sink.gguf);
	model_builder_gguf_keys(&sink.gguf, &c);
	model_builder_walk(&c, true, "", change, model_builder_to_gguf, &sink);
	if (change->add)
		gguf_add_tensor(
			&sink.gguf, change->add, 0, 1, (uint64_t[]){8}, eight, sizeof(eight));
	return gguf_builder_finish(&sink.gguf);
}

#endif
