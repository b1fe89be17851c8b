/* model/arch/arch_llama.c - llama: the form the others vary. No biases but where the config asks
 * for them; rotary scaling of Llama 3. */
#include "model/arch/arch_rules.h"

static const struct weight_rule RULES[] = {
	RULES_ONCE,
	RULES_LAYER_NORMS("ffn_norm.weight"),
	RULES_FFN,
	RULES_FFN_BIAS,
	RULES_ATTENTION,
};

const struct arch arch_llama = {
	.arch = MODEL_ARCH_LLAMA,
	.name = "llama",
	.model_types = {"llama"},
	.classes = {"LlamaForCausalLM", "LlamaModel"},
	.gguf_name = "llama",
	.gguf_pairs = true,
	.gguf_divisors = "rope_freqs.weight",
	.partial_rotary = 1,
	.rope_theta = 10000,
	.pretokenize = PRETOKENIZE_GPT2,
	ARCH_RULES(RULES),
};
