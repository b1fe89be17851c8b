/* model/arch.c - see arch.h. Names from transformers' configurations and llama.cpp's conversion. */
#include "model/arch.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
#define RULES_ONCE \
	{WEIGHT_EMBED, PLACE_ONCE, FORM_MATRIX, EXTENT_VOCAB, EXTENT_HIDDEN, \
		"embed_tokens.weight", "token_embd.weight"}, \
	{WEIGHT_FINAL_NORM, PLACE_ONCE, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE, \
		"norm.weight", "output_norm.weight"}, \
	{WEIGHT_HEAD, PLACE_ONCE, FORM_MATRIX, EXTENT_VOCAB, EXTENT_HIDDEN, \
		"lm_head.weight", "output.weight"}

#define RULES_FFN \
	{WEIGHT_FFN_GATE, PLACE_LAYER, FORM_MATRIX, EXTENT_FFN, EXTENT_HIDDEN, \
		"mlp.gate_proj.weight", "ffn_gate.weight"}, \
	{WEIGHT_FFN_UP, PLACE_LAYER, FORM_MATRIX, EXTENT_FFN, EXTENT_HIDDEN, \
		"mlp.up_proj.weight", "ffn_up.weight"}, \
	{WEIGHT_FFN_DOWN, PLACE_LAYER, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_FFN, \
		"mlp.down_proj.weight", "ffn_down.weight"}

#define RULES_ATTENTION \
	{WEIGHT_ATTN_Q, PLACE_ATTENTION, FORM_MATRIX, EXTENT_Q, EXTENT_HIDDEN, \
		"self_attn.q_proj.weight", "attn_q.weight"}, \
	{WEIGHT_ATTN_K, PLACE_ATTENTION, FORM_MATRIX, EXTENT_KV, EXTENT_HIDDEN, \
		"self_attn.k_proj.weight", "attn_k.weight"}, \
	{WEIGHT_ATTN_V, PLACE_ATTENTION, FORM_MATRIX, EXTENT_KV, EXTENT_HIDDEN, \
		"self_attn.v_proj.weight", "attn_v.weight"}, \
	{WEIGHT_ATTN_OUT, PLACE_ATTENTION, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_ATTN, \
		"self_attn.o_proj.weight", "attn_output.weight"}, \
	{WEIGHT_ATTN_Q_NORM, PLACE_ATTENTION, FORM_NORM, EXTENT_HEAD, EXTENT_NONE, \
		"self_attn.q_norm.weight", "attn_q_norm.weight"}, \
	{WEIGHT_ATTN_K_NORM, PLACE_ATTENTION, FORM_NORM, EXTENT_HEAD, EXTENT_NONE, \
		"self_attn.k_norm.weight", "attn_k_norm.weight"}

static const struct weight_rule QWEN3[] = {
	RULES_ONCE,
	{WEIGHT_INPUT_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE,
		"input_layernorm.weight", "attn_norm.weight"},
	{WEIGHT_FFN_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE,
		"post_attention_layernorm.weight", "ffn_norm.weight"},
	RULES_FFN,
	RULES_ATTENTION,
};

static const struct weight_rule QWEN3_5[] = {
	RULES_ONCE,
	{WEIGHT_INPUT_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE,
		"input_layernorm.weight", "attn_norm.weight"},
	{WEIGHT_FFN_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE,
		"post_attention_layernorm.weight", "post_attention_norm.weight"},
	RULES_FFN,
	RULES_ATTENTION,
	{WEIGHT_DELTA_QKV, PLACE_DELTA, FORM_MATRIX, EXTENT_CHANNELS, EXTENT_HIDDEN,
		"linear_attn.in_proj_qkv.weight", "attn_qkv.weight"},
	{WEIGHT_DELTA_Z, PLACE_DELTA, FORM_MATRIX, EXTENT_V, EXTENT_HIDDEN,
		"linear_attn.in_proj_z.weight", "attn_gate.weight"},
	{WEIGHT_DELTA_B, PLACE_DELTA, FORM_MATRIX, EXTENT_V_HEADS, EXTENT_HIDDEN,
		"linear_attn.in_proj_b.weight", "ssm_beta.weight"},
	{WEIGHT_DELTA_A, PLACE_DELTA, FORM_MATRIX, EXTENT_V_HEADS, EXTENT_HIDDEN,
		"linear_attn.in_proj_a.weight", "ssm_alpha.weight"},
	{WEIGHT_DELTA_CONV, PLACE_DELTA, FORM_CONV, EXTENT_CHANNELS, EXTENT_TAPS,
		"linear_attn.conv1d.weight", "ssm_conv1d.weight"},
	{WEIGHT_DELTA_DECAY, PLACE_DELTA, FORM_DECAY, EXTENT_V_HEADS, EXTENT_NONE,
		"linear_attn.A_log", "ssm_a"},
	{WEIGHT_DELTA_DT_BIAS, PLACE_DELTA, FORM_VECTOR, EXTENT_V_HEADS, EXTENT_NONE,
		"linear_attn.dt_bias", "ssm_dt.bias"},
	{WEIGHT_DELTA_NORM, PLACE_DELTA, FORM_VECTOR, EXTENT_V_DIM, EXTENT_NONE,
		"linear_attn.norm.weight", "ssm_norm.weight"},
	{WEIGHT_DELTA_OUT, PLACE_DELTA, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_V,
		"linear_attn.out_proj.weight", "ssm_out.weight"},
};
/* clang-format on */

/* In the order of enum model_arch. */
static const struct arch ARCHS[MODEL_ARCHS] = {
	{
		.arch = MODEL_ARCH_QWEN3,
		.name = "qwen3",
		.model_types = {"qwen3"},
		.classes = {"Qwen3ForCausalLM", "Qwen3Model"},
		.gguf_name = "qwen3",
		.head_dim = 128,
		.partial_rotary = 1,
		.rules = QWEN3,
		.rule_count = sizeof(QWEN3) / sizeof(QWEN3[0]),
	},
	{
		.arch = MODEL_ARCH_QWEN3_5,
		.name = "qwen3_5",
		.model_types = {"qwen3_5", "qwen3_5_text"},
		.classes = {"Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", "Qwen3_5Model",
			"Qwen3_5TextModel"},
		.gguf_name = "qwen35",
		.hybrid = true,
		.q_gate = true,
		.norm_plus_one = true,
		.head_dim = 256,
		.partial_rotary = 0.25,
		.rules = QWEN3_5,
		.rule_count = sizeof(QWEN3_5) / sizeof(QWEN3_5[0]),
	},
};

#define TYPES_MAX   (sizeof(ARCHS[0].model_types) / sizeof(ARCHS[0].model_types[0]))
#define CLASSES_MAX (sizeof(ARCHS[0].classes) / sizeof(ARCHS[0].classes[0]))

static bool is_in(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count && names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

const struct arch *arch_get(enum model_arch arch)
{
	assert(arch < MODEL_ARCHS && ARCHS[arch].arch == arch);
	return &ARCHS[arch];
}

const struct arch *arch_from_model_type(const char *model_type)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (is_in(ARCHS[i].model_types, TYPES_MAX, model_type))
			return &ARCHS[i];
	return NULL;
}

const struct arch *arch_from_class(const char *class_name)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (is_in(ARCHS[i].classes, CLASSES_MAX, class_name))
			return &ARCHS[i];
	return NULL;
}

const struct arch *arch_from_gguf(const char *name, size_t name_size)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (strlen(ARCHS[i].gguf_name) == name_size &&
			memcmp(ARCHS[i].gguf_name, name, name_size) == 0)
			return &ARCHS[i];
	return NULL;
}

const char *arch_known_names(void)
{
	return "qwen3 and qwen3_5 (qwen35 in GGUF), dense";
}

const char *model_arch_name(enum model_arch arch)
{
	return arch_get(arch)->name;
}

uint64_t arch_extent(const struct model_config *c, enum weight_extent extent)
{
	switch (extent) {
	case EXTENT_NONE:
		return 1;
	case EXTENT_VOCAB:
		return c->vocab;
	case EXTENT_HIDDEN:
		return c->hidden;
	case EXTENT_FFN:
		return c->ffn;
	case EXTENT_Q:
		return (uint64_t)c->heads * c->head_dim * (c->q_gate ? 2 : 1);
	case EXTENT_KV:
		return (uint64_t)c->kv_heads * c->head_dim;
	case EXTENT_ATTN:
		return (uint64_t)c->heads * c->head_dim;
	case EXTENT_HEAD:
		return c->head_dim;
	case EXTENT_CHANNELS:
		return model_config_delta_channels(c);
	case EXTENT_V:
		return (uint64_t)c->delta_v_heads * c->delta_v_dim;
	case EXTENT_V_HEADS:
		return c->delta_v_heads;
	case EXTENT_V_DIM:
		return c->delta_v_dim;
	case EXTENT_TAPS:
		return c->delta_conv;
	}
	assert(false && "an extent of the enum");
	return 0;
}

bool arch_layer_has(const struct model_config *c, enum weight_place place, uint32_t layer)
{
	switch (place) {
	case PLACE_ONCE:
		return false;
	case PLACE_LAYER:
		return true;
	case PLACE_ATTENTION:
		return c->layer_kind[layer] == MODEL_LAYER_ATTENTION;
	case PLACE_DELTA:
		return c->layer_kind[layer] == MODEL_LAYER_DELTA;
	}
	return false;
}
