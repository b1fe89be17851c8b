/* model/arch/arch_qwen3_next.c - Qwen3-Next: the layers of Qwen3.5 with their projections packed
 * by key head, experts with one that is shared. */
#include "model/arch/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("post_attention_norm.weight"),
	RULES_FFN,
	RULES_EXPERTS,
	RULES_SHARED_EXPERT,
	RULES_ATTENTION,
	RULES_QK_NORM,
	RULES_DELTA,
};

const struct arch arch_qwen3_next = {
	.arch = MODEL_ARCH_QWEN3_NEXT,
	.name = "qwen3_next",
	.model_types = {"qwen3_next"},
	.classes = {"Qwen3NextForCausalLM", "Qwen3NextModel"},
	.gguf_name = "qwen3next",
	.norm_topk = ARCH_NORM_ON,
	.gguf_norm_topk = true,
	.q_gate = true,
	.norm_plus_one = true,
	ARCH_JSON_PACKED,
	.gguf_qkvz = "ssm_in.weight",   /* of early files */
	.gguf_ba = "ssm_ba.weight",
	.head_dim = 256,
	.partial_rotary = 0.25,
	.pretokenize = PRETOKENIZE_QWEN2,
	ARCH_RULES(RULES),
};
