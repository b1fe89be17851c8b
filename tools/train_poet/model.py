"""Model: the Qwen3.5 text architecture (`qwen3_5_text`) in the form that trains fast.

Parameter names, shapes and arithmetic are those of transformers' Qwen3_5ForCausalLM (norm weights
are stored minus one, except in linear_attn.norm), so a state_dict is a checkpoint. Sequences are
padded on the right: everything is causal, so padding needs no mask.

Gated DeltaNet is trained in its chunked form with one chunk, the whole sequence, starting from the
zero state; `recurrent` is the plain token recurrence, for checking and for sampling.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

TOKENS_MAX = 256  # of a training sequence, since it is one chunk
NORM_EPS = 1e-6
RESIDUAL_MATRICES = ("o_proj.weight", "out_proj.weight", "down_proj.weight")


@dataclass(frozen=True)
class Shape:
    vocab_size: int
    layers: int = 6
    hidden: int = 256
    ffn: int = 512
    attention_interval: int = 3  # layers 2, 5, ... are full attention
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    rotary_dim: int = 16
    rope_theta: float = 10000.0
    key_heads: int = 2  # DeltaNet; fewer than value heads, as in the large models
    value_heads: int = 4
    state_dim: int = 64  # of a key and of a value
    conv_kernel: int = 4

    def is_attention(self, layer):
        return (layer + 1) % self.attention_interval == 0

    def as_dict(self):
        return asdict(self)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def unit_rms(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS)


class Norm(nn.Module):
    """RMS norm with the weight stored minus one."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return unit_rms(x) * (1 + self.weight)


class PlainNorm(nn.Module):
    """Weight of the norm after DeltaNet, stored as it is."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x, gate):
        return unit_rms(x) * self.weight * F.silu(gate)


def rotate(x, cos, sin):
    """RoPE on the leading rotary dims. x [batch, heads, tokens, head_dim], cos [tokens, dims/2]."""
    half = cos.shape[-1]
    first, second, rest = x[..., :half], x[..., half:2 * half], x[..., 2 * half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        width = shape.heads * shape.head_dim
        self.q_proj = linear(shape.hidden, 2 * width)  # per head: query, then gate
        self.k_proj = linear(shape.hidden, shape.kv_heads * shape.head_dim)
        self.v_proj = linear(shape.hidden, shape.kv_heads * shape.head_dim)
        self.o_proj = linear(width, shape.hidden)
        self.q_norm = Norm(shape.head_dim)
        self.k_norm = Norm(shape.head_dim)

    def forward(self, x, rope, cache=None):
        """x [batch, tokens, hidden]. A cache (dict) holds keys and values of earlier tokens."""
        batch, tokens, _ = x.shape
        shape = self.shape
        query, gate = self.q_proj(x).view(batch, tokens, shape.heads, -1).chunk(2, -1)
        key = self.k_proj(x).view(batch, tokens, shape.kv_heads, -1)
        value = self.v_proj(x).view(batch, tokens, shape.kv_heads, -1).transpose(1, 2)
        query = rotate(self.q_norm(query).transpose(1, 2), *rope)
        key = rotate(self.k_norm(key).transpose(1, 2), *rope)
        if cache is not None:
            if "key" in cache:
                key = torch.cat([cache["key"], key], 2)
                value = torch.cat([cache["value"], value], 2)
            cache["key"], cache["value"] = key, value
        repeat = shape.heads // shape.kv_heads
        key, value = (t.repeat_interleave(repeat, 1) for t in (key, value))
        past = key.shape[2] - tokens
        assert past == 0 or tokens == 1
        out = F.scaled_dot_product_attention(query, key, value, is_causal=past == 0)
        out = out.transpose(1, 2) * torch.sigmoid(gate)
        return self.o_proj(out.reshape(batch, tokens, -1))


def delta_chunk(q, k, v, g, beta):
    """Gated delta rule over one chunk from the zero state.

    q, k [batch, key_heads, tokens, dim]; v [batch, value_heads, tokens, dim]; g (log decay, <= 0)
    and beta [batch, value_heads, tokens]. Value head j reads key head j // (value / key heads).
    With D_ij = exp(G_i - G_j), G = cumsum g:
      A = strictly lower (beta_i K K' D),  (I + A) U = beta V,  O = lower(Q K' D) U.
    Products of q and k are formed once per key head.
    """
    tokens, repeat = v.shape[2], v.shape[1] // k.shape[1]
    keys = k.transpose(-1, -2)
    kk = (k @ keys).repeat_interleave(repeat, 1)
    qk = (q @ keys).repeat_interleave(repeat, 1)
    total = g.cumsum(-1)
    lower = torch.ones(tokens, tokens, dtype=torch.bool, device=v.device).tril()
    gap = total[..., :, None] - total[..., None, :]
    decay = gap.masked_fill(~lower, float("-inf")).exp()
    mix = (kk * decay * beta[..., None]).tril(-1)
    # The diagonal of `mix` counts as one.
    u = torch.linalg.solve_triangular(mix, v * beta[..., None], upper=False, unitriangular=True)
    return (qk * decay) @ u


def delta_recurrent(q, k, v, g, beta, state):
    """The same, token by token. Returns the new state [batch, value_heads, dim_k, dim_v] too."""
    repeat = v.shape[1] // k.shape[1]
    q, k = (t.repeat_interleave(repeat, 1) for t in (q, k))
    out = []
    for t in range(v.shape[2]):
        state = state * g[:, :, t, None, None].exp()
        seen = torch.einsum("bhkv,bhk->bhv", state, k[:, :, t])
        delta = beta[:, :, t, None] * (v[:, :, t] - seen)
        state = state + k[:, :, t, :, None] * delta[:, :, None, :]
        out.append(torch.einsum("bhkv,bhk->bhv", state, q[:, :, t]))
    return torch.stack(out, 2), state


def unit_length(x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


class DeltaNet(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.key_width = shape.key_heads * shape.state_dim
        self.value_width = shape.value_heads * shape.state_dim
        channels = 2 * self.key_width + self.value_width
        self.in_proj_qkv = linear(shape.hidden, channels)
        self.in_proj_z = linear(shape.hidden, self.value_width)
        self.in_proj_b = linear(shape.hidden, shape.value_heads)
        self.in_proj_a = linear(shape.hidden, shape.value_heads)
        self.conv1d = nn.Conv1d(channels, channels, shape.conv_kernel, groups=channels, bias=False)
        self.A_log = nn.Parameter(torch.zeros(shape.value_heads))
        self.dt_bias = nn.Parameter(torch.zeros(shape.value_heads))
        self.norm = PlainNorm(shape.state_dim)
        self.out_proj = linear(self.value_width, shape.hidden)

    def convolve(self, x, cache):
        """Causal depthwise convolution and silu. x [batch, tokens, channels]."""
        before = self.shape.conv_kernel - 1
        tokens = x.shape[1]
        if cache is not None and "conv" in cache:
            x = torch.cat([cache["conv"], x], 1)
        else:
            x = F.pad(x, (0, 0, before, 0))
        if cache is not None:
            cache["conv"] = x[:, -before:]
        taps = self.conv1d.weight[:, 0]
        return F.silu(sum(x[:, j:j + tokens] * taps[:, j] for j in range(before + 1)))

    def heads(self, x):
        """[batch, tokens, heads * dim] to [batch, heads, tokens, dim]."""
        batch, tokens, _ = x.shape
        return x.view(batch, tokens, -1, self.shape.state_dim).transpose(1, 2)

    def forward(self, x, cache=None):
        batch, tokens, _ = x.shape
        mixed = self.convolve(self.in_proj_qkv(x), cache)
        q, k, v = mixed.split([self.key_width, self.key_width, self.value_width], -1)
        q = unit_length(self.heads(q)) * self.shape.state_dim**-0.5
        k, v = unit_length(self.heads(k)), self.heads(v)
        beta = torch.sigmoid(self.in_proj_b(x)).transpose(1, 2)
        g = -self.A_log.exp() * F.softplus(self.in_proj_a(x) + self.dt_bias)
        g = g.transpose(1, 2)
        if cache is None:
            out = delta_chunk(q, k, v, g, beta)
        else:
            empty = v.new_zeros(batch, v.shape[1], k.shape[-1], v.shape[-1])
            out, cache["state"] = delta_recurrent(q, k, v, g, beta, cache.get("state", empty))
        gate = self.in_proj_z(x).view(batch, tokens, -1, self.shape.state_dim)
        out = self.norm(out.transpose(1, 2), gate)
        return self.out_proj(out.reshape(batch, tokens, -1))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = linear(shape.hidden, shape.ffn)
        self.up_proj = linear(shape.hidden, shape.ffn)
        self.down_proj = linear(shape.ffn, shape.hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape, index):
        super().__init__()
        self.input_layernorm = Norm(shape.hidden)
        self.post_attention_layernorm = Norm(shape.hidden)
        if shape.is_attention(index):
            self.self_attn = Attention(shape)
        else:
            self.linear_attn = DeltaNet(shape)
        self.mlp = Mlp(shape)

    def forward(self, x, rope, cache=None):
        normed = self.input_layernorm(x)
        if hasattr(self, "self_attn"):
            x = x + self.self_attn(normed, rope, cache)
        else:
            x = x + self.linear_attn(normed, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, i) for i in range(shape.layers))
        self.norm = Norm(shape.hidden)

    def rope(self, start, end, device):
        half = self.shape.rotary_dim // 2
        powers = torch.arange(half, device=device, dtype=torch.float32) / half
        angles = torch.arange(start, end, device=device)[:, None] * self.shape.rope_theta**-powers
        return angles.cos(), angles.sin()

    def forward(self, ids, caches=None, start=0):
        """ids [batch, tokens] to normed hidden states [batch, tokens, hidden]."""
        x = self.embed_tokens(ids)
        cos, sin = self.rope(start, start + ids.shape[1], ids.device)
        rope = cos.to(x.dtype), sin.to(x.dtype)
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, None if caches is None else caches[i])
        return self.norm(x)


class Poet(nn.Module):
    """Embedding and output matrix are one."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.model = Backbone(shape)
        self.reset()

    def reset(self):
        """Small embeddings; matrices of unit gain; what adds to the residual stream starts at 0."""
        for name, weight in self.named_parameters():
            if "embed_tokens" in name:
                nn.init.normal_(weight, std=0.04)
            elif name.endswith(RESIDUAL_MATRICES):
                nn.init.zeros_(weight)
            elif "conv1d" in name:
                nn.init.uniform_(weight, -0.5, 0.5)
            elif weight.dim() == 2:
                nn.init.normal_(weight, std=weight.shape[1]**-0.5)
            elif name.endswith("A_log"):
                weight.data.copy_(torch.linspace(0.5, 4.0, weight.numel()).log())
            elif name.endswith("dt_bias"):
                nn.init.constant_(weight, -3.0)  # softplus 0.05: heads forget in 5 to 40 tokens

    def logits(self, hidden):
        return hidden @ self.model.embed_tokens.weight.T

    def forward(self, ids):
        return self.logits(self.model(ids))


COPY_SCALE = 0.5  # of what a new layer adds; 1 disturbs the model, 0 keeps the copies alike longer


def grow(model):
    """A model of twice the layers: the stack, followed by a softened copy of itself.

    Training the first part of the run at half depth costs half as much and loses little.
    """
    shape = Shape(**{**model.shape.as_dict(), "layers": 2 * model.shape.layers})
    grown, state = Poet(shape), dict(model.state_dict())
    for name, weight in list(state.items()):
        if name.startswith("model.layers."):
            index = int(name.split(".")[2])
            twin = name.replace(f"layers.{index}.", f"layers.{index + model.shape.layers}.")
            scale = COPY_SCALE if name.endswith(RESIDUAL_MATRICES) else 1.0
            state[twin] = weight * scale
    grown.load_state_dict(state)
    return grown


class _TiedCrossEntropy(torch.autograd.Function):
    """Sum of the cross entropy, with both gradients made while the logits are in the cache."""

    ROWS = 256

    @staticmethod
    def forward(ctx, hidden, embedding, targets):
        loss = hidden.new_zeros(())
        grad_hidden, grad_embedding = torch.empty_like(hidden), torch.zeros_like(embedding)
        for rows in torch.arange(len(hidden)).split(_TiedCrossEntropy.ROWS):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            logits = hidden[part] @ embedding.T
            logits -= logits.max(-1, keepdim=True).values
            index = torch.arange(len(logits), device=logits.device)
            picked = logits[index, targets[part]]
            probability = logits.exp_()
            total = probability.sum(-1, keepdim=True)
            loss += (total.squeeze(-1).log() - picked).sum()
            probability /= total
            probability[index, targets[part]] -= 1
            grad_hidden[part] = probability @ embedding
            grad_embedding.addmm_(probability.T, hidden[part])
        ctx.save_for_backward(grad_hidden, grad_embedding)
        return loss

    @staticmethod
    def backward(ctx, grad):
        grad_hidden, grad_embedding = ctx.saved_tensors
        return grad_hidden * grad, grad_embedding * grad, None


def answer_loss(hidden, embedding, targets):
    """Summed loss over answer positions. hidden [positions, hidden], targets [positions]."""
    return _TiedCrossEntropy.apply(hidden, embedding, targets)
