/* model/arch/arch_qwen3.c - Qwen3: per head norms of q and k, a head dimension of its own; with
 * experts. Also the text part of Qwen3-VL. */
#include "model/arch/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_ATTENTION,
	RULES_QK_NORM,
};

static const struct weight_rule MOE_RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_EXPERTS,
	RULES_ATTENTION,
	RULES_QK_NORM,
};

const struct arch arch_qwen3 = {
	.arch = MODEL_ARCH_QWEN3,
	.name = "qwen3",
	.model_types = {"qwen3"},
	.classes = {"Qwen3ForCausalLM", "Qwen3Model"},
	.gguf_name = "qwen3",
	.window = ARCH_WINDOW_LAST,
	.head_dim = 128,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
};

const struct arch arch_qwen3_moe = {
	.arch = MODEL_ARCH_QWEN3_MOE,
	.name = "qwen3_moe",
	.model_types = {"qwen3_moe"},
	.classes = {"Qwen3MoeForCausalLM", "Qwen3MoeModel"},
	.gguf_name = "qwen3moe",
	.window = ARCH_WINDOW_ALL,
	.norm_topk = ARCH_NORM_OFF,
	.gguf_norm_topk = true,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(MOE_RULES),
};

const struct arch arch_qwen3_vl = {
	.arch = MODEL_ARCH_QWEN3_VL,
	.name = "qwen3_vl",
	.model_types = {"qwen3_vl", "qwen3_vl_text"},
	.classes = {"Qwen3VLForConditionalGeneration", "Qwen3VLModel", "Qwen3VLTextModel"},
	.gguf_name = "qwen3vl",
	.mrope_interleaved = true,
	.head_dim = 128,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
};

const struct arch arch_qwen3_vl_moe = {
	.arch = MODEL_ARCH_QWEN3_VL_MOE,
	.name = "qwen3_vl_moe",
	.model_types = {"qwen3_vl_moe", "qwen3_vl_moe_text"},
	.classes = {"Qwen3VLMoeForConditionalGeneration", "Qwen3VLMoeModel", "Qwen3VLMoeTextModel"},
	.gguf_name = "qwen3vlmoe",
	.stack_transposed = true,
	.norm_topk = ARCH_NORM_ALWAYS,
	.gguf_norm_topk = true,
	.mrope_interleaved = true,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(MOE_RULES),
};
