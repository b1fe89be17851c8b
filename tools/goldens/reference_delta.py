"""tools/goldens/reference_delta.py - gated DeltaNet, for reference.py."""
import torch
import torch.nn.functional as F

TRAPS = frozenset("""
    l2_eps_missing l2_eps_mean l2_missing q_scale_missing delta_norm_plus_one delta_norm_eps_missing
    gate_before_norm z_sigmoid v_head_order conv_after_activation conv_no_activation conv_reversed
    softplus_missing softplus_naive a_log_not_exp a_log_bf16 dt_bias_missing beta_no_sigmoid
    beta_on_value_only decay_after_read delta_missing state_bf16
""".split())


class DeltaNet:
    """Methods of Reference."""

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
