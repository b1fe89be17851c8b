"""tools/goldens/reference.py - Qwen3 and Qwen3.5 in plain torch, one token row at a time to read.

Not the source of the goldens (that is transformers): it checks them in float64, measures what
quantized activations cost, and can make each known mistake on purpose (check_traps.py). It says
in two pages what the C program computes, and names the points that it may dump.

    logits, dumps = forward(model.config, model.weights, tokens)
"""
import numpy as np
import torch
import torch.nn.functional as F

from small_models import layer_types

# Every mistake that forward() can make; check_traps.py tells what each means.
TRAPS = frozenset("""
    norm_plain norm_plus_one qk_norm_missing qk_norm_after_rope norm_eps_missing
    rope_whole_head rope_adjacent rope_theta_1e4 rope_freq_of_head gqa_modulo attn_scale_missing
    gate_interleave gate_missing gate_silu gate_swapped not_causal
    l2_eps_missing l2_eps_mean l2_missing q_scale_missing delta_norm_plus_one delta_norm_eps_missing
    gate_before_norm z_sigmoid v_head_order conv_after_activation conv_no_activation conv_reversed
    softplus_missing softplus_naive a_log_not_exp a_log_bf16 dt_bias_missing beta_no_sigmoid
    beta_on_value_only decay_after_read delta_missing state_bf16 swiglu_swapped tied_ignored
""".split())


class Reference:
    """One forward pass; numbers in dtype, dumps as float32."""

    def __init__(self, config, weights, dtype=torch.float64, traps=(), round_input=None):
        unknown = set(traps) - TRAPS
        assert not unknown, unknown
        self.config, self.dtype, self.traps = config, dtype, frozenset(traps)
        self.weights = {k: torch.from_numpy(np.asarray(w)).to(dtype) for k, w in weights.items()}
        self.zero_centred = "linear_num_key_heads" in config
        self.round_input = round_input    # what a kernel does to the input of a projection
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

    def rope(self, x):
        """x [tokens, heads, head_dim]; pairs (i, i + d/2) inside the first d dimensions."""
        dim = x.shape[-1]
        rotary = int(dim * self.config.get("partial_rotary_factor", 1.0))
        theta = 1e4 if self.trap("rope_theta_1e4") else self.config["rope_theta"]
        over = dim if self.trap("rope_freq_of_head") else rotary
        freq = theta ** (-2.0 * torch.arange(rotary // 2, dtype=self.dtype) / over)
        angle = torch.arange(x.shape[0], dtype=self.dtype)[:, None, None] * freq
        cos, sin = angle.cos(), angle.sin()
        first = torch.arange(rotary // 2)
        second = first + (dim if self.trap("rope_whole_head") else rotary) // 2
        if self.trap("rope_adjacent"):
            first, second = 2 * first, 2 * first + 1
        y = x.clone()
        y[..., first] = x[..., first] * cos - x[..., second] * sin
        y[..., second] = x[..., second] * cos + x[..., first] * sin
        return y

    def attention(self, layer, prefix, x):
        """Softmax attention; gated in Qwen3.5. x [tokens, hidden], already normed."""
        c = self.config
        heads, kv_heads, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        tokens = x.shape[0]
        q = self.linear(prefix + "q_proj", x)
        k = self.linear(prefix + "k_proj", x).view(tokens, kv_heads, dim)
        v = self.linear(prefix + "v_proj", x).view(tokens, kv_heads, dim)
        gate = None
        if self.zero_centred and self.trap("gate_interleave"):
            q, gate = (part.view(tokens, heads, dim) for part in q.chunk(2, dim=-1))
        elif self.zero_centred:
            q, gate = q.view(tokens, heads, 2 * dim).chunk(2, dim=-1)
            if self.trap("gate_swapped"):
                q, gate = gate, q
        else:
            q = q.view(tokens, heads, dim)
        if self.trap("qk_norm_missing"):
            q, k = self.rope(q), self.rope(k)
        elif self.trap("qk_norm_after_rope"):
            q = self.norm(prefix + "q_norm", self.rope(q))
            k = self.norm(prefix + "k_norm", self.rope(k))
        else:
            q = self.rope(self.norm(prefix + "q_norm", q))
            k = self.rope(self.norm(prefix + "k_norm", k))
        self.dump(layer + "attn_q", q)
        self.dump(layer + "attn_k", k)
        self.dump(layer + "attn_v", v)
        kv_of = torch.arange(heads) // (heads // kv_heads)
        if self.trap("gqa_modulo"):
            kv_of = torch.arange(heads) % kv_heads
        scale = 1.0 if self.trap("attn_scale_missing") else dim ** -0.5
        scores = torch.einsum("thd,shd->hts", q, k[:, kv_of]) * scale
        if not self.trap("not_causal"):
            future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        out = torch.einsum("hts,shd->thd", scores.softmax(-1), v[:, kv_of])
        self.dump(layer + "attn_o", out)
        if gate is not None:
            self.dump(layer + "attn_gate", gate)
            if self.trap("gate_silu"):
                out = out * F.silu(gate)
            elif not self.trap("gate_missing"):
                out = out * gate.sigmoid()
            self.dump(layer + "attn_gated", out)
        out = self.linear(prefix + "o_proj", out.reshape(tokens, heads * dim))
        self.dump(layer + "attn_out", out)
        return out

    def conv(self, name, x):
        """Causal depthwise convolution of four taps, then silu. x [tokens, channels]"""
        w = self.weights[name][:, 0]
        if self.trap("conv_reversed"):
            w = w.flip(-1)
        rows = [torch.zeros_like(x[0])] * 3
        out = []
        for t in range(x.shape[0]):
            taps = torch.stack([*rows[-3:], x[t]], dim=-1)
            u = (taps * w).sum(-1)
            u = u if self.trap("conv_no_activation") else F.silu(u)
            out.append(u)
            rows.append(u if self.trap("conv_after_activation") else x[t])
        return torch.stack(out)

    def l2(self, x):
        squares = x.pow(2)
        if self.trap("l2_missing"):
            return x
        if self.trap("l2_eps_missing"):
            return x * torch.rsqrt(squares.sum(-1, keepdim=True))
        if self.trap("l2_eps_mean"):
            return self.rms(x, 1e-6) * x.shape[-1] ** -0.5
        return x * torch.rsqrt(squares.sum(-1, keepdim=True) + 1e-6)

    def decay(self, prefix, a):
        """g [tokens, v_heads], the logarithm of the decay."""
        a_log, bias = self.weights[prefix + "A_log"], self.weights[prefix + "dt_bias"]
        if self.trap("a_log_bf16"):
            a_log = a_log.to(torch.bfloat16).to(self.dtype)
        a = a if self.trap("dt_bias_missing") else a + bias
        if self.trap("softplus_naive"):
            a = (1.0 + a.to(torch.float32).exp()).log().to(self.dtype)
        elif not self.trap("softplus_missing"):
            a = F.softplus(a)
        return -(a_log.abs() if self.trap("a_log_not_exp") else a_log.exp()) * a

    def recurrence(self, q, k, v, g, beta):
        """The delta rule, per v-head: q k [tokens, v_heads, dk], v [tokens, v_heads, dv]."""
        state = torch.zeros(v.shape[1], q.shape[2], v.shape[2], dtype=self.dtype)
        out = []
        for t in range(q.shape[0]):
            kept = state * g[t].exp()[:, None, None]
            seen = state if self.trap("decay_after_read") else kept
            read = torch.einsum("hkv,hk->hv", seen, k[t])
            b = beta[t][:, None]
            if self.trap("delta_missing"):
                d = b * v[t]
            elif self.trap("beta_on_value_only"):
                d = b * v[t] - read
            else:
                d = b * (v[t] - read)
            state = kept + torch.einsum("hk,hv->hkv", k[t], d)
            if self.trap("state_bf16"):
                state = state.to(torch.bfloat16).to(self.dtype)
            out.append(torch.einsum("hkv,hk->hv", state, q[t]))
        return torch.stack(out)

    def deltanet(self, layer, prefix, x):
        """Gated DeltaNet. x [tokens, hidden], already normed."""
        c = self.config
        key_heads, value_heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
        key_dim, value_dim = c["linear_key_head_dim"], c["linear_value_head_dim"]
        tokens, keys = x.shape[0], key_heads * key_dim
        u = self.conv(prefix + "conv1d.weight", self.linear(prefix + "in_proj_qkv", x))
        self.dump(layer + "gdn_conv", u)
        q = self.l2(u[:, :keys].reshape(tokens, key_heads, key_dim))
        k = self.l2(u[:, keys:2 * keys].reshape(tokens, key_heads, key_dim))
        v = u[:, 2 * keys:].reshape(tokens, value_heads, value_dim)
        self.dump(layer + "gdn_q", q)
        self.dump(layer + "gdn_k", k)
        b = self.linear(prefix + "in_proj_b", x)
        beta = b if self.trap("beta_no_sigmoid") else b.sigmoid()
        g = self.decay(prefix, self.linear(prefix + "in_proj_a", x))
        self.dump(layer + "gdn_beta", beta)
        self.dump(layer + "gdn_g", g)
        key_of = torch.arange(value_heads) // (value_heads // key_heads)
        if self.trap("v_head_order"):
            key_of = torch.arange(value_heads) % key_heads
        scale = 1.0 if self.trap("q_scale_missing") else key_dim ** -0.5
        o = self.recurrence(q[:, key_of] * scale, k[:, key_of], v, g, beta)
        self.dump(layer + "gdn_o", o)
        z = self.linear(prefix + "in_proj_z", x).view(tokens, value_heads, value_dim)
        out = self.gated_norm(prefix + "norm.weight", o, z)
        self.dump(layer + "gdn_gated", out)
        out = self.linear(prefix + "out_proj", out.reshape(tokens, value_heads * value_dim))
        self.dump(layer + "gdn_out", out)
        return out

    def gated_norm(self, name, o, z):
        """norm(o) * silu(z) per v-head, with a plain weight."""
        w = self.weights[name] + (1.0 if self.trap("delta_norm_plus_one") else 0.0)
        eps = 0.0 if self.trap("delta_norm_eps_missing") else self.config["rms_norm_eps"]
        gate = z.sigmoid() if self.trap("z_sigmoid") else F.silu(z)
        if self.trap("gate_before_norm"):
            return w * self.rms(o * gate, eps)
        return w * self.rms(o, eps) * gate

    def ffn(self, prefix, x):
        gate, up = self.linear(prefix + "gate_proj", x), self.linear(prefix + "up_proj", x)
        if self.trap("swiglu_swapped"):
            gate, up = up, gate
        return self.linear(prefix + "down_proj", F.silu(gate) * up)

    def forward(self, tokens):
        """logits [tokens, vocab] as float32, and the dumps by name."""
        x = self.weights["model.embed_tokens.weight"][torch.as_tensor(tokens)]
        self.dump("embed", x)
        for i, kind in enumerate(layer_types(self.config)):
            layer, prefix = f"layer.{i:02d}.", f"model.layers.{i}."
            y = self.norm(prefix + "input_layernorm", x)
            self.dump(layer + "attn_norm", y)
            if kind == "full_attention":
                x = x + self.attention(layer, prefix + "self_attn.", y)
            else:
                x = x + self.deltanet(layer, prefix + "linear_attn.", y)
            y = self.norm(prefix + "post_attention_layernorm", x)
            self.dump(layer + "ffn_norm", y)
            y = self.ffn(prefix + "mlp.", y)
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
