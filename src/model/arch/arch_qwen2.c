/* model/arch/arch_qwen2.c - Qwen1.5, 2, 2.5: llama with biases of q, k and v; with experts, one
 * of them shared. Also the text part of Qwen2-VL and Qwen2.5-VL. */
#include "model/arch/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_ATTENTION,
};

static const struct weight_rule MOE_RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_EXPERTS,
	RULES_SHARED_EXPERT,
	RULES_ATTENTION,
};

const struct arch arch_qwen2 = {
	.arch = MODEL_ARCH_QWEN2,
	.name = "qwen2",
	.model_types = {"qwen2"},
	.classes = {"Qwen2ForCausalLM", "Qwen2Model"},
	.gguf_name = "qwen2",
	.bias = ARCH_BIAS_QKV,
	.window = ARCH_WINDOW_LAST,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
};

const struct arch arch_qwen2_moe = {
	.arch = MODEL_ARCH_QWEN2_MOE,
	.name = "qwen2_moe",
	.model_types = {"qwen2_moe"},
	.classes = {"Qwen2MoeForCausalLM", "Qwen2MoeModel"},
	.gguf_name = "qwen2moe",
	.bias = ARCH_BIAS_QKV_CONFIG,
	.window = ARCH_WINDOW_EVEN,
	.norm_topk = ARCH_NORM_OFF,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(MOE_RULES),
};

const struct arch arch_qwen2_vl = {
	.arch = MODEL_ARCH_QWEN2_VL,
	.name = "qwen2_vl",
	.model_types = {"qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"},
	.classes = {"Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration",
		"Qwen2VLModel", "Qwen2_5_VLModel", "Qwen2VLTextModel", "Qwen2_5_VLTextModel"},
	.gguf_name = "qwen2vl",
	.bias = ARCH_BIAS_QKV,
	.window = ARCH_WINDOW_LAST,
	.partial_rotary = 1,
	.rope_theta = 1000000,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
};
