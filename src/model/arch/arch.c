/* model/arch/arch.c - see arch.h: the table, and what an extent or a place stands for. */
#include "model/arch/arch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/arch/arch_rules.h"

static const struct arch *const ARCHS[MODEL_ARCHS] = {
	[MODEL_ARCH_LLAMA] = &arch_llama,
	[MODEL_ARCH_QWEN2] = &arch_qwen2,
	[MODEL_ARCH_QWEN2_MOE] = &arch_qwen2_moe,
	[MODEL_ARCH_QWEN2_VL] = &arch_qwen2_vl,
	[MODEL_ARCH_QWEN3] = &arch_qwen3,
	[MODEL_ARCH_QWEN3_MOE] = &arch_qwen3_moe,
	[MODEL_ARCH_QWEN3_VL] = &arch_qwen3_vl,
	[MODEL_ARCH_QWEN3_VL_MOE] = &arch_qwen3_vl_moe,
	[MODEL_ARCH_QWEN3_NEXT] = &arch_qwen3_next,
	[MODEL_ARCH_QWEN3_5] = &arch_qwen3_5,
	[MODEL_ARCH_QWEN3_5_MOE] = &arch_qwen3_5_moe,
};

static bool is_in(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count && names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

const struct weight_rule *arch_rule(const struct arch *arch, enum weight weight)
{
	for (size_t i = 0; i < arch->rule_count; i++)
		if (arch->rules[i].weight == weight)
			return &arch->rules[i];
	return NULL;
}

bool arch_is_paired(const struct arch *arch, enum weight weight)
{
	return arch->gguf_pairs && (weight == WEIGHT_ATTN_Q || weight == WEIGHT_ATTN_K ||
		weight == WEIGHT_ATTN_Q_BIAS || weight == WEIGHT_ATTN_K_BIAS);
}

const struct arch *arch_get(enum model_arch arch)
{
	assert(arch < MODEL_ARCHS && ARCHS[arch]->arch == arch);
	return ARCHS[arch];
}

const struct arch *arch_from_model_type(const char *model_type)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (is_in(ARCHS[i]->model_types, ARCH_TYPES_MAX, model_type))
			return ARCHS[i];
	return NULL;
}

const struct arch *arch_from_class(const char *class_name)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (is_in(ARCHS[i]->classes, ARCH_CLASSES_MAX, class_name))
			return ARCHS[i];
	return NULL;
}

const struct arch *arch_from_gguf(const char *name, size_t name_size)
{
	for (size_t i = 0; i < MODEL_ARCHS; i++)
		if (strlen(ARCHS[i]->gguf_name) == name_size &&
			memcmp(ARCHS[i]->gguf_name, name, name_size) == 0)
			return ARCHS[i];
	return NULL;
}

const char *arch_known_names(char out[ARCH_KNOWN_MAX], bool gguf)
{
	size_t size = 0;

	for (size_t i = 0; i < MODEL_ARCHS; i++) {
		const char *name = gguf ? ARCHS[i]->gguf_name : ARCHS[i]->name;

		size += (size_t)snprintf(out + size, ARCH_KNOWN_MAX - size, "%s%s", i ? ", " : "",
			name);
		assert(size < ARCH_KNOWN_MAX);
	}
	return out;
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
	case EXTENT_EXPERTS:
		return c->experts;
	case EXTENT_EXPERT_FFN:
		return c->expert_ffn;
	case EXTENT_EXPERTS_FFN:
		return (uint64_t)c->experts * c->expert_ffn;
	case EXTENT_EXPERTS_HIDDEN:
		return (uint64_t)c->experts * c->hidden;
	case EXTENT_SHARED_FFN:
		return c->shared_ffn;
	}
	assert(false && "an extent of the enum");
	return 0;
}

bool arch_layer_has(const struct model_config *c, enum weight_place place, uint32_t layer)
{
	const bool attention = c->layer_kind[layer] == MODEL_LAYER_ATTENTION;
	const bool experts = c->layer_ffn[layer] == MODEL_FFN_EXPERTS;

	switch (place) {
	case PLACE_ONCE:
		return false;
	case PLACE_LAYER:
		return true;
	case PLACE_ATTENTION:
		return attention;
	case PLACE_QKV_BIAS:
		return attention && c->qkv_bias;
	case PLACE_OUT_BIAS:
		return attention && c->out_bias;
	case PLACE_DELTA:
		return !attention;
	case PLACE_DENSE:
		return !experts;
	case PLACE_FFN_BIAS:
		return !experts && c->ffn_bias;
	case PLACE_EXPERTS:
		return experts;
	case PLACE_SHARED:
		return experts && c->shared_ffn > 0;
	}
	return false;
}
