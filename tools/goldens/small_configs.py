"""tools/goldens/small_configs.py - the random small models: what each is, and what it is there for.

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

# Quantized safetensors. Groups of 128, 64 and 32 columns fit; two of GPTQ's and AWQ's layouts want
# rows in eights. FP8 blocks of 128 x 128 end inside rows and columns.
QWEN3_GROUPS = {
    **QWEN3, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256,
}
QWEN3_TILES = {
    **QWEN3, "hidden_size": 192, "num_attention_heads": 3, "num_key_value_heads": 1,
    "head_dim": 64, "intermediate_size": 320, "tie_word_embeddings": False,
}

BASES = {
    "qwen3": Base("qwen3", QWEN3, 3001, "f32"),
    "qwen3_mini": Base("qwen3", QWEN3_MINI, 3002, "16"),
    "qwen3_5": Base("qwen3_5", QWEN3_5, 3501, "bf16"),
    "qwen3_5_mini": Base("qwen3_5", QWEN3_5_MINI, 3502, "16"),
    "qwen3_groups": Base("qwen3", QWEN3_GROUPS, 3011, "16"),
    "qwen3_tiles": Base("qwen3", QWEN3_TILES, 3012, "16"),
}
