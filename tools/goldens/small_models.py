"""tools/goldens/small_models.py - the weights of the random small models.

Weights carry the names of transformers' text-only classes ("model.layers.0..."). They are drawn
so that every trap of the architecture shows in the logits: norms far from one, sharp attention,
fast and slow decay, two heads so small that an epsilon decides. numpy draws them, so that the
numbers do not move with the version of torch.
"""
from dataclasses import dataclass, field

import numpy as np
import torch

from small_configs import (BASES, COMMON, QK_NORM, VOCAB_ROWS, ZERO_CENTRED, has_bias, head_dim,
                           is_sparse, layer_types)

PAD_ROW_GAIN = 3.0   # padding rows are loud: unmasked they win
QUIET_TOKEN = 7      # its embedding is so small that the epsilon of the first norm decides


@dataclass
class SmallModel:
    """A configuration in flat form, and float32 weights under canonical names."""
    name: str
    arch: str                # a model_type of transformers, text only: see BASES
    config: dict
    weights: dict = field(default_factory=dict)


def round_bf16(x):
    """To the nearest bfloat16, as float32."""
    return torch.from_numpy(np.ascontiguousarray(x)).to(torch.bfloat16).to(torch.float32).numpy()


def round_16(x):
    """To a float32 that both bfloat16 and float16 hold exactly, so that one golden serves all."""
    y = round_bf16(x).astype(np.float16).astype(np.float32)
    assert np.array_equal(round_bf16(y), y)
    return y


class Draw:
    """Random tensors with names."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.weights = {}

    def normal(self, name, shape, deviation, mean=0.0):
        values = mean + deviation * self.random.standard_normal(shape)
        self.weights[name] = values.astype(np.float32)
        return self.weights[name]

    def linear(self, name, rows, columns, gain=1.0):
        """A projection whose output has deviation gain for a normed input."""
        return self.normal(name + ".weight", (rows, columns), gain / np.sqrt(columns))


def draw_attention(draw, prefix, config, arch):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim, hidden = head_dim(config), config["hidden_size"]
    normed, zero_centred = arch in QK_NORM, arch in ZERO_CENTRED
    draw.linear(prefix + "q_proj", heads * dim * (2 if zero_centred else 1), hidden,
                1.3 if normed else 1.6)
    draw.linear(prefix + "k_proj", kv_heads * dim, hidden, 1.0 if normed else 1.6)
    draw.linear(prefix + "v_proj", kv_heads * dim, hidden)
    draw.linear(prefix + "o_proj", hidden, heads * dim, 1.3)
    if normed:
        mean = 0.6 if zero_centred else 1.6
        draw.normal(prefix + "q_norm.weight", (dim,), 0.5, mean)
        draw.normal(prefix + "k_norm.weight", (dim,), 0.5, mean)
    inputs, output = has_bias(config)
    if inputs:
        draw.normal(prefix + "q_proj.bias", (heads * dim,), 0.6)
        draw.normal(prefix + "k_proj.bias", (kv_heads * dim,), 0.6)
        draw.normal(prefix + "v_proj.bias", (kv_heads * dim,), 0.4)
    if output:
        draw.normal(prefix + "o_proj.bias", (hidden,), 0.4)


def draw_swiglu(draw, prefix, hidden, ffn, biased=False):
    draw.linear(prefix + "gate_proj", ffn, hidden, 1.5)
    draw.linear(prefix + "up_proj", ffn, hidden, 1.5)
    draw.linear(prefix + "down_proj", hidden, ffn, 1.0)
    if biased:
        draw.normal(prefix + "gate_proj.bias", (ffn,), 0.4)
        draw.normal(prefix + "up_proj.bias", (ffn,), 0.4)
        draw.normal(prefix + "down_proj.bias", (hidden,), 0.4)


def draw_experts(draw, prefix, config):
    """A mixture of experts. Two router rows are zero: those experts always tie, to the last bit,
    and the one with the lower index comes first."""
    hidden, experts = config["hidden_size"], config["num_experts"]
    router = draw.linear(prefix + "gate", experts, hidden, 1.5)
    router[[experts // 3, experts - 1]] = 0.0
    for i in range(experts):
        draw_swiglu(draw, f"{prefix}experts.{i}.", hidden, config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        draw_swiglu(draw, prefix + "shared_expert.", hidden,
                    config["shared_expert_intermediate_size"])
        draw.linear(prefix + "shared_expert_gate", 1, hidden, 2.0)


def draw_deltanet(draw, prefix, config, first):
    """One gated DeltaNet layer; the first one of a model holds the small heads and odd decays."""
    key_heads, value_heads = config["linear_num_key_heads"], config["linear_num_value_heads"]
    key_dim, value_dim = config["linear_key_head_dim"], config["linear_value_head_dim"]
    hidden = config["hidden_size"]
    keys, values = key_heads * key_dim, value_heads * value_dim
    qkv = draw.linear(prefix + "in_proj_qkv", 2 * keys + values, hidden, 1.5)
    draw.linear(prefix + "in_proj_z", values, hidden, 1.5)
    draw.linear(prefix + "in_proj_b", value_heads, hidden, 1.5)
    draw.linear(prefix + "in_proj_a", value_heads, hidden, 1.0)
    conv = draw.normal(prefix + "conv1d.weight", (2 * keys + values, 1, 4), 0.6)
    # A query resembles its own key, as in trained models: a head whose state is young has
    # o ~ (q.k) v, and the norm after it would turn a tiny q.k of random sign into noise.
    for w in (qkv, conv):
        w[:keys] = 0.6 * w[:keys] + 0.8 * w[keys:2 * keys]
    decay = np.geomspace(0.02, 12.0, value_heads)
    a_log = np.log(draw.random.permutation(decay))
    dt_bias = draw.random.uniform(-4.0, 1.0, value_heads)
    if first:
        conv[key_dim:2 * key_dim] *= 3e-4                  # q of k-head 1: sum of squares ~ 1e-6
        conv[keys + key_dim:keys + 2 * key_dim] *= 3e-4    # k of k-head 1
        conv[2 * keys:2 * keys + value_dim] *= 1e-2        # v-head 0: mean square of o ~ 1e-6
        a_log[1], dt_bias[1] = np.log(0.001), 96.0         # exp(96) overflows float32
    draw.weights[prefix + "A_log"] = a_log.astype(np.float32)
    draw.weights[prefix + "dt_bias"] = dt_bias.astype(np.float32)
    draw.normal(prefix + "norm.weight", (value_dim,), 0.4, 0.7)
    draw.linear(prefix + "out_proj", hidden, values, 1.0)


def draw_model(name, arch, flat, seed, vocab_real):
    """The whole model in float32."""
    config = {**COMMON, **flat}
    hidden = config["hidden_size"]
    norm_mean = 0.0 if arch in ZERO_CENTRED else 1.0
    draw = Draw(seed)
    tied = config["tie_word_embeddings"]
    table = draw.normal("model.embed_tokens.weight", (VOCAB_ROWS, hidden),
                        3.5 / np.sqrt(hidden) if tied else 1.0)
    table[QUIET_TOKEN] *= 2e-3
    delta_seen = False
    for i, kind in enumerate(layer_types(config)):
        prefix = f"model.layers.{i}."
        draw.normal(prefix + "input_layernorm.weight", (hidden,), 0.2, norm_mean)
        if kind == "linear_attention":
            draw_deltanet(draw, prefix + "linear_attn.", config, not delta_seen)
            delta_seen = True
        else:
            draw_attention(draw, prefix + "self_attn.", config, arch)
        draw.normal(prefix + "post_attention_layernorm.weight", (hidden,), 0.2, norm_mean)
        if is_sparse(config, i):
            draw_experts(draw, prefix + "mlp.", config)
        else:
            draw_swiglu(draw, prefix + "mlp.", hidden, config["intermediate_size"],
                        config.get("mlp_bias", False))
    draw.normal("model.norm.weight", (hidden,), 0.2, norm_mean)
    if not tied:
        table = draw.linear("lm_head", VOCAB_ROWS, hidden, 3.5)
    table[vocab_real:] *= PAD_ROW_GAIN
    return SmallModel(name, arch, config, draw.weights)


def keep_float32(name):
    """Weights that a BF16 checkpoint of a DeltaNet model may keep in float32."""
    return name.endswith((".A_log", "linear_attn.norm.weight"))


def rounded(weights, exact):
    """Weights rounded to what a base's exactness says."""
    if exact == "16":
        return {k: round_16(w) for k, w in weights.items()}
    if exact == "bf16":
        return {k: w if keep_float32(k) else round_bf16(w) for k, w in weights.items()}
    return weights


def make_one(name, vocab_real):
    base = BASES[name]
    model = draw_model(name, base.arch, base.config, base.seed, vocab_real)
    model.weights = rounded(model.weights, base.exact)
    return model


def make_mtp(model):
    """The block that predicts one token more, as layer num_hidden_layers and its nextn tensors: it
    is there to be left out."""
    base, config = BASES[model.name], model.config
    hidden, prefix = config["hidden_size"], f"model.layers.{config['num_hidden_layers']}."
    draw = Draw(base.seed + 1000)
    draw.linear(prefix + "nextn.eh_proj", hidden, 2 * hidden)
    for norm in ("nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm", "input_layernorm",
                 "post_attention_layernorm"):
        draw.normal(f"{prefix}{norm}.weight", (hidden,), 0.2)
    draw_attention(draw, prefix + "self_attn.", config, model.arch)
    if "num_experts" in config:
        draw_experts(draw, prefix + "mlp.", config)
    else:
        draw_swiglu(draw, prefix + "mlp.", hidden, config["intermediate_size"])
    return rounded(draw.weights, base.exact)


def make_all(vocab_real):
    """name -> SmallModel"""
    return {name: make_one(name, vocab_real) for name in BASES}
