"""tools/goldens/reference.py - every architecture in plain torch, one token row at a time to read.

Not the source of the goldens (that is transformers): it checks them in float64, measures what
quantized activations cost, and can make each known mistake on purpose (check_traps.py). It says
in a few pages what the C program computes, and names the points that it may dump.

    logits, dumps = forward(model.config, model.weights, tokens)
"""
import numpy as np
import torch
import torch.nn.functional as F

import reference_delta
import reference_moe
import reference_rope
from small_configs import head_dim, is_sparse, layer_types

# Every mistake that forward() can make; check_traps.py tells what each means.
TRAPS = reference_delta.TRAPS | reference_moe.TRAPS | reference_rope.TRAPS | frozenset("""
    norm_plain norm_plus_one qk_norm_missing qk_norm_after_rope norm_eps_missing
    gqa_modulo attn_scale_missing gate_interleave gate_missing gate_silu gate_swapped not_causal
    window_ignored window_longer window_shorter window_everywhere window_other_layers
    bias_missing bias_after_norm bias_o_missing bias_mlp_missing
    swiglu_swapped tied_ignored
""".split())


class Reference(reference_rope.Rope, reference_moe.Experts, reference_delta.DeltaNet):
    """One forward pass; numbers in dtype, dumps as float32."""

    def __init__(self, config, weights, dtype=torch.float64, traps=(), round_input=None,
                 round_cached=None):
        unknown = set(traps) - TRAPS
        assert not unknown, unknown
        self.config, self.dtype, self.traps = config, dtype, frozenset(traps)
        self.weights = {k: torch.from_numpy(np.asarray(w)).to(dtype) for k, w in weights.items()}
        self.zero_centred = "linear_num_key_heads" in config
        self.round_input = round_input    # what a kernel does to the input of a projection
        self.round_cached = round_cached  # what a cache does to q, k, v, and weights of attention
        self.dumps = {}

    def trap(self, name):
        assert name in TRAPS, name
        return name in self.traps

    def dump(self, name, x):
        self.dumps[name] = x.to(torch.float32).numpy().copy()

    def linear(self, name, x):
        """y [tokens, rows] = x [tokens, columns] . W^T"""
        if self.round_input is not None:
            x = self.round_input(name, x)
        return x @ self.weights[name + ".weight"].T

    def rms(self, x, eps):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)

    def norm(self, name, x):
        w = self.weights[name + ".weight"]
        plus = 1.0 if self.zero_centred else 0.0
        if self.trap("norm_plain"):
            plus = 0.0
        if self.trap("norm_plus_one"):
            plus = 1.0
        eps = 0.0 if self.trap("norm_eps_missing") else self.config["rms_norm_eps"]
        return self.rms(x, eps) * (plus + w)

    def biased(self, name, x, missing):
        """linear, and its bias where there is one."""
        y, bias = self.linear(name, x), self.weights.get(name + ".bias")
        return y if bias is None or self.trap(missing) else y + bias

    def queries(self, prefix, x):
        """(q [tokens, heads, dim], gate or None), not yet normed."""
        heads, dim = self.config["num_attention_heads"], head_dim(self.config)
        missing = "bias_after_norm" if self.trap("bias_after_norm") else "bias_missing"
        q = self.biased(prefix + "q_proj", x, missing)
        if not self.zero_centred:
            return q.view(-1, heads, dim), None
        if self.trap("gate_interleave"):
            return tuple(part.view(-1, heads, dim) for part in q.chunk(2, dim=-1))
        q, gate = q.view(-1, heads, 2 * dim).chunk(2, dim=-1)
        return (gate, q) if self.trap("gate_swapped") else (q, gate)

    def norm_and_rope(self, prefix, name, x):
        """x [tokens, heads, dim]; the norm is qwen3's and its heirs'."""
        norm = prefix + name + "_norm"
        if norm + ".weight" not in self.weights or self.trap("qk_norm_missing"):
            return self.rope(x)
        if self.trap("qk_norm_after_rope"):
            return self.norm(norm, self.rope(x))
        x = self.norm(norm, x)
        bias = self.weights.get(f"{prefix}{name}_proj.bias")
        if bias is not None and self.trap("bias_after_norm"):
            x = x + bias.view(x.shape[1:])
        return self.rope(x)

    def visible(self, tokens, kind, layer):
        """[tokens, tokens]: whether row t attends to column s."""
        back = torch.arange(tokens)[:, None] - torch.arange(tokens)
        seen = torch.ones(tokens, tokens, dtype=torch.bool)
        if not self.trap("not_causal"):
            seen &= back >= 0
        slides = kind == "sliding_attention"
        if self.trap("window_everywhere"):
            slides = bool(self.config.get("use_sliding_window"))
        if self.trap("window_other_layers"):
            slides = layer < self.config["max_window_layers"]
        if slides and not self.trap("window_ignored"):
            window = self.config["sliding_window"]
            seen &= back < window + self.trap("window_longer") - self.trap("window_shorter")
        return seen

    def weights_of(self, scores):
        """Softmax; a cache may have them rounded before they are summed."""
        if self.round_cached is None:
            return scores.softmax(-1)
        weights = self.round_cached("weights", (scores - scores.amax(-1, keepdim=True)).exp())
        return weights / weights.sum(-1, keepdim=True)

    def attention(self, layer, prefix, x, kind, index):
        """Softmax attention; gated in the DeltaNet models. x [tokens, hidden], already normed."""
        c = self.config
        heads, kv_heads, dim = c["num_attention_heads"], c["num_key_value_heads"], head_dim(c)
        tokens = x.shape[0]
        q, gate = self.queries(prefix, x)
        missing = "bias_after_norm" if self.trap("bias_after_norm") else "bias_missing"
        k = self.biased(prefix + "k_proj", x, missing).view(tokens, kv_heads, dim)
        v = self.biased(prefix + "v_proj", x, "bias_missing").view(tokens, kv_heads, dim)
        q, k = self.norm_and_rope(prefix, "q", q), self.norm_and_rope(prefix, "k", k)
        self.dump(layer + "attn_q", q)
        self.dump(layer + "attn_k", k)
        self.dump(layer + "attn_v", v)
        kv_of = torch.arange(heads) // (heads // kv_heads)
        if self.trap("gqa_modulo"):
            kv_of = torch.arange(heads) % kv_heads
        scale = 1.0 if self.trap("attn_scale_missing") else dim ** -0.5
        if self.round_cached is not None:
            q, k, v = self.round_cached("q", q), self.round_cached("k", k), self.round_cached("v", v)
        scores = torch.einsum("thd,shd->hts", q, k[:, kv_of]) * scale
        scores = scores.masked_fill(~self.visible(tokens, kind, index), float("-inf"))
        out = torch.einsum("hts,shd->thd", self.weights_of(scores), v[:, kv_of])
        self.dump(layer + "attn_o", out)
        if gate is not None:
            self.dump(layer + "attn_gate", gate)
            if self.trap("gate_silu"):
                out = out * F.silu(gate)
            elif not self.trap("gate_missing"):
                out = out * gate.sigmoid()
            self.dump(layer + "attn_gated", out)
        out = self.biased(prefix + "o_proj", out.reshape(tokens, heads * dim), "bias_o_missing")
        self.dump(layer + "attn_out", out)
        return out

    def swiglu(self, prefix, x):
        gate = self.biased(prefix + "gate_proj", x, "bias_mlp_missing")
        up = self.biased(prefix + "up_proj", x, "bias_mlp_missing")
        if self.trap("swiglu_swapped"):
            gate, up = up, gate
        return self.biased(prefix + "down_proj", F.silu(gate) * up, "bias_mlp_missing")

    def forward(self, tokens):
        """logits [tokens, vocab] as float32, and the dumps by name."""
        x = self.weights["model.embed_tokens.weight"][torch.as_tensor(tokens)]
        self.dump("embed", x)
        for i, kind in enumerate(layer_types(self.config)):
            layer, prefix = f"layer.{i:02d}.", f"model.layers.{i}."
            y = self.norm(prefix + "input_layernorm", x)
            self.dump(layer + "attn_norm", y)
            if kind == "linear_attention":
                x = x + self.deltanet(layer, prefix + "linear_attn.", y)
            else:
                x = x + self.attention(layer, prefix + "self_attn.", y, kind, i)
            y = self.norm(prefix + "post_attention_layernorm", x)
            self.dump(layer + "ffn_norm", y)
            y = (self.experts if is_sparse(self.config, i) else self.swiglu)(prefix + "mlp.", y)
            self.dump(layer + "ffn_out", y)
            x = x + y
            self.dump(layer + "out", x)
        x = self.norm("model.norm", x)
        self.dump("final_norm", x)
        has_head = "lm_head.weight" in self.weights and not self.trap("tied_ignored")
        logits = self.linear("lm_head" if has_head else "model.embed_tokens", x)
        self.dump("logits", logits)
        return logits.to(torch.float32).numpy(), self.dumps


def forward(config, weights, tokens, **how):
    """See Reference; returns (logits, dumps)."""
    torch.set_grad_enabled(False)
    return Reference(config, weights, **how).forward(tokens)


def round_input_bf16(_, x):
    """For forward: rounds the input of every projection to BF16, to nearest even."""
    return x.to(torch.float32).to(torch.bfloat16).to(x.dtype)


def round_cached_f16(name, x):
    """For forward: keys and values are kept in F16."""
    return x.to(torch.float16).to(x.dtype) if name in "kv" else x


def round_cached_bf16(_, x):
    """For forward: keys and values are kept in BF16, and what meets them is rounded to it."""
    return round_input_bf16(None, x)


def round_cached_q8(name, x):
    """For forward: keys, values and queries in blocks of 32 with a scale in F16."""
    if name == "weights":
        return x
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    codes = (blocks / scale.clamp_min(1e-30)).round()
    return (codes * scale.to(torch.float16).to(x.dtype)).reshape(x.shape)
