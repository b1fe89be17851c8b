"""tools/goldens/small_configs.py - the random small models: what each is.

Configurations in flat form: one dictionary per model, rope in the older spelling (rope_theta,
rope_scaling), whatever its config.json says later. Sizes are odd on purpose: heads x head_dim is
not the hidden size, windows and blocks end inside the inputs.
"""
from dataclasses import dataclass

VOCAB_ROWS = 320     # rows of the embedding; those from tiny_vocab()'s end on are padding

COMMON = {
    "vocab_size": VOCAB_ROWS, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "max_position_embeddings": 4096, "attention_bias": False, "attention_dropout": 0.0,
    "initializer_range": 0.02, "use_cache": True,
}


@dataclass(frozen=True)
class Base:
    """A model to draw. exact: "f32" uses all bits of float32; "16" fits float16 and bfloat16, so
    that one golden serves all formats; "bf16" is bfloat16 with A_log and linear_attn.norm in
    float32; "blocks" is float32 that is stored in quantized blocks only."""
    arch: str
    config: dict
    seed: int
    exact: str


QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
    "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 160,
    "tie_word_embeddings": True, "rope_theta": 1000000.0,
    "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2,
}
QWEN3_MINI = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64,
    "tie_word_embeddings": False, "rope_theta": 1000000.0, "rms_norm_eps": 1e-5,
    "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2,
}
QWEN3_5 = {
    "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text",
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    "tie_word_embeddings": True, "rope_theta": 10000000.0, "partial_rotary_factor": 0.25,
    "mrope_section": [2, 1, 1], "full_attention_interval": 4, "attn_output_gate": True,
    "linear_num_key_heads": 2, "linear_num_value_heads": 6, "linear_key_head_dim": 32,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "mamba_ssm_dtype": "float32",
}
QWEN3_5_MINI = {
    **QWEN3_5,
    "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 32,
    "tie_word_embeddings": False, "full_attention_interval": 3,
    "linear_num_value_heads": 4, "rms_norm_eps": 1e-5,
}

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    "tie_word_embeddings": False, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
    "mlp_bias": False,
    # Wavelengths below 16 stay, above 64 are stretched, 32 lies in between.
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
}
LLAMA_MINI = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
    "num_key_value_heads": 3, "intermediate_size": 64, "tie_word_embeddings": True,
    "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "attention_bias": True, "mlp_bias": True,
}
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "tie_word_embeddings": False,
    "rope_theta": 1000000.0, "use_sliding_window": False, "sliding_window": 40,
    "max_window_layers": 1,
}
QWEN2_MINI = {
    **QWEN2, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 64, "tie_word_embeddings": True,
}
QWEN2_WINDOW = {
    **QWEN2_MINI, "num_hidden_layers": 4, "use_sliding_window": True, "sliding_window": 24,
    "max_window_layers": 2,
}
QWEN2_MOE = {
    "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe",
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 80, "tie_word_embeddings": False,
    "rope_theta": 1000000.0, "use_sliding_window": False, "sliding_window": None,
    "max_window_layers": 2, "qkv_bias": True, "num_experts": 6, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48, "norm_topk_prob": False,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "router_aux_loss_coef": 0.001,
}
QWEN2_MOE_MINI = {
    **QWEN2_MOE, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
    "num_hidden_layers": 3, "intermediate_size": 64, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 32, "norm_topk_prob": True, "mlp_only_layers": [1],
}
# Twelve experts: in the order of their names 10 comes before 2.
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    "tie_word_embeddings": False, "rope_theta": 1000000.0, "use_sliding_window": False,
    "sliding_window": None, "max_window_layers": 2, "num_experts": 12, "num_experts_per_tok": 3,
    "moe_intermediate_size": 16, "norm_topk_prob": True, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "router_aux_loss_coef": 0.001,
}
# Layer 1 is dense by mlp_only_layers, 0 and 2 by decoder_sparse_step; norm_topk_prob is not said.
QWEN3_MOE_MINI = {
    **QWEN3_MOE, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
    "num_hidden_layers": 6, "head_dim": 16, "intermediate_size": 48, "tie_word_embeddings": True,
    "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "decoder_sparse_step": 2, "mlp_only_layers": [1],
}
del QWEN3_MOE_MINI["norm_topk_prob"]
QWEN3_YARN = {
    **QWEN3_MINI, "head_dim": 32, "rms_norm_eps": 1e-6,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
}
QWEN3_BIAS = {
    **QWEN3_MINI, "attention_bias": True, "tie_word_embeddings": True,
    "rope_scaling": {"rope_type": "linear", "factor": 2.5},
}
QWEN3_NEXT = {
    "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next",
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    "tie_word_embeddings": False, "rope_theta": 10000000.0, "partial_rotary_factor": 0.25,
    "full_attention_interval": 3, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4,
    "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 32, "norm_topk_prob": True, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "router_aux_loss_coef": 0.001,
}
QWEN3_NEXT_MINI = {
    **QWEN3_NEXT, "hidden_size": 32, "num_hidden_layers": 2, "full_attention_interval": 2,
    "num_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 48, "rms_norm_eps": 1e-5,
    "mlp_only_layers": [0],
}
QWEN3_5_MOE = {
    **{k: v for k, v in QWEN3_5.items() if k != "intermediate_size"},
    "architectures": ["Qwen3_5MoeForCausalLM"], "model_type": "qwen3_5_moe_text",
    "tie_word_embeddings": False, "num_hidden_layers": 3, "full_attention_interval": 3,
    "linear_num_value_heads": 4, "num_experts": 8,
    "num_experts_per_tok": 3, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 32,
    "router_aux_loss_coef": 0.001,
}
QWEN3_5_MOE_MINI = {
    **QWEN3_5_MOE, "hidden_size": 32, "num_hidden_layers": 2, "full_attention_interval": 2,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}

# Quantized safetensors. Groups of 128, 64 and 32 columns fit; two of GPTQ's and AWQ's layouts want
# rows in eights. FP8 blocks of 128 x 128 end inside rows and columns.
QWEN3_GROUPS = {
    **QWEN3, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256,
    "num_hidden_layers": 1,
}
QWEN3_TILES = {
    **QWEN3, "hidden_size": 160, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 64, "intermediate_size": 192, "tie_word_embeddings": False,
}

QWEN3_MOE_TILES = {
    **QWEN3_MOE, "hidden_size": 160, "num_hidden_layers": 1, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
}
# GGUF's larger blocks have 256 values.
QWEN3_BLOCKS = {
    **QWEN3, "hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 64, "intermediate_size": 256,
}
QWEN3_MOE_BLOCKS = {
    **QWEN3_MOE, **{k: QWEN3_BLOCKS[k] for k in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "tie_word_embeddings")},
    "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
}
QWEN2_GROUPS = {
    **QWEN2, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256,
    "num_hidden_layers": 1, "tie_word_embeddings": True,
}

BASES = {
    "qwen3": Base("qwen3", QWEN3, 3001, "f32"),
    "qwen3_mini": Base("qwen3", QWEN3_MINI, 3002, "16"),
    "qwen3_yarn": Base("qwen3", QWEN3_YARN, 3003, "16"),
    "qwen3_bias": Base("qwen3", QWEN3_BIAS, 3004, "16"),
    "qwen3_groups": Base("qwen3", QWEN3_GROUPS, 3011, "16"),
    "qwen3_tiles": Base("qwen3", QWEN3_TILES, 3012, "16"),
    "qwen3_blocks": Base("qwen3", QWEN3_BLOCKS, 3013, "blocks"),
    "qwen3_5": Base("qwen3_5", QWEN3_5, 3501, "bf16"),
    "qwen3_5_mini": Base("qwen3_5", QWEN3_5_MINI, 3502, "16"),
    "llama": Base("llama", LLAMA, 2001, "f32"),
    "llama_mini": Base("llama", LLAMA_MINI, 2002, "16"),
    "qwen2": Base("qwen2", QWEN2, 2501, "f32"),
    "qwen2_mini": Base("qwen2", QWEN2_MINI, 2502, "16"),
    "qwen2_window": Base("qwen2", QWEN2_WINDOW, 2503, "16"),
    "qwen2_groups": Base("qwen2", QWEN2_GROUPS, 2511, "16"),
    "qwen2_moe": Base("qwen2_moe", QWEN2_MOE, 2601, "16"),
    "qwen2_moe_mini": Base("qwen2_moe", QWEN2_MOE_MINI, 2602, "f32"),
    "qwen3_moe": Base("qwen3_moe", QWEN3_MOE, 3101, "16"),
    "qwen3_moe_mini": Base("qwen3_moe", QWEN3_MOE_MINI, 3102, "16"),
    "qwen3_moe_tiles": Base("qwen3_moe", QWEN3_MOE_TILES, 3112, "16"),
    "qwen3_moe_blocks": Base("qwen3_moe", QWEN3_MOE_BLOCKS, 3113, "blocks"),
    "qwen3_next": Base("qwen3_next", QWEN3_NEXT, 3201, "bf16"),
    "qwen3_next_mini": Base("qwen3_next", QWEN3_NEXT_MINI, 3202, "f32"),
    "qwen3_5_moe": Base("qwen3_5_moe", QWEN3_5_MOE, 3603, "bf16"),
    "qwen3_5_moe_mini": Base("qwen3_5_moe", QWEN3_5_MOE_MINI, 3602, "16"),
}

ZERO_CENTRED = ("qwen3_next", "qwen3_5", "qwen3_5_moe")     # norms hold w - 1
QK_NORM = ("qwen3", "qwen3_moe", *ZERO_CENTRED)


def layer_types(config):
    """"full_attention", "sliding_attention" or "linear_attention" for every layer."""
    interval = config.get("full_attention_interval", 1)
    window_from = config["max_window_layers"] if config.get("use_sliding_window") else 1 << 30
    return ["linear_attention" if (i + 1) % interval else
            "sliding_attention" if i >= window_from else "full_attention"
            for i in range(config["num_hidden_layers"])]


def is_sparse(config, layer):
    """Whether the feed-forward part of a layer is a mixture of experts."""
    return ("num_experts" in config and layer not in config.get("mlp_only_layers", [])
            and (layer + 1) % config.get("decoder_sparse_step", 1) == 0)


def head_dim(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def has_bias(config):
    """(q, k and v; o)"""
    everywhere = config.get("attention_bias", False)
    return everywhere or config["model_type"] in ("qwen2", "qwen2_moe"), everywhere


def rotary_dim(config):
    return int(head_dim(config) * config.get("partial_rotary_factor", 1.0))
