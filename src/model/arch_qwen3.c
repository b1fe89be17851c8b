/* model/arch_qwen3.c - Qwen3: per head norms of q and k, a head dimension of its own. Also the
 * text part of Qwen3-VL. */
#include "model/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_ATTENTION,
	RULES_QK_NORM,
};

const struct arch arch_qwen3 = {
	.arch = MODEL_ARCH_QWEN3,
	.name = "qwen3",
	.model_types = {"qwen3"},
	.classes = {"Qwen3ForCausalLM", "Qwen3Model"},
	.gguf_name = "qwen3",
	.head_dim = 128,
	.partial_rotary = 1,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
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
