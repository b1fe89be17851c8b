/* model/arch/arch_qwen3_5.c - Qwen3.5, 3.6 and 3.8: gated attention in every fourth layer, gated
 * DeltaNet in the others; norms stored without their 1. With experts, one of them shared. */
#include "model/arch/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("post_attention_norm.weight"),
	RULES_FFN,
	RULES_ATTENTION,
	RULES_QK_NORM,
	RULES_DELTA,
};

static const struct weight_rule MOE_RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("post_attention_norm.weight"),
	RULES_EXPERTS,
	RULES_SHARED_EXPERT,
	RULES_ATTENTION,
	RULES_QK_NORM,
	RULES_DELTA,
};

const struct arch arch_qwen3_5 = {
	.arch = MODEL_ARCH_QWEN3_5,
	.name = "qwen3_5",
	.model_types = {"qwen3_5", "qwen3_5_text"},
	.classes = {"Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", "Qwen3_5Model",
		"Qwen3_5TextModel"},
	.gguf_name = "qwen35",
	.q_gate = true,
	.norm_plus_one = true,
	.gguf_tiled = true,
	ARCH_JSON_PACKED,
	.mrope_interleaved = true,
	.head_dim = 256,
	.partial_rotary = 0.25,
	.pretokenize = PRETOKENIZE_QWEN35,
	ARCH_RULES(RULES),
};

const struct arch arch_qwen3_5_moe = {
	.arch = MODEL_ARCH_QWEN3_5_MOE,
	.name = "qwen3_5_moe",
	.model_types = {"qwen3_5_moe", "qwen3_5_moe_text"},
	.classes = {"Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM",
		"Qwen3_5MoeModel", "Qwen3_5MoeTextModel"},
	.gguf_name = "qwen35moe",
	.norm_topk = ARCH_NORM_ALWAYS,
	.gguf_norm_topk = true,
	.q_gate = true,
	.norm_plus_one = true,
	.gguf_tiled = true,
	ARCH_JSON_PACKED,
	.mrope_interleaved = true,
	.head_dim = 256,
	.partial_rotary = 0.25,
	.pretokenize = PRETOKENIZE_QWEN35,
	ARCH_RULES(MOE_RULES),
};
