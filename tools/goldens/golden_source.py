"""tools/goldens/golden_source.py - the source of truth: transformers' own classes in float32.

Builds an architecture's class around given weights (eager attention and experts, the torch form of
DeltaNet), and listens inside it for the values that the README names as dump points.
"""
import sys
from contextlib import contextmanager

import numpy as np
import torch
import transformers

from small_configs import is_sparse, layer_types

torch.set_grad_enabled(False)

CLASS = {"llama": "Llama", "qwen2": "Qwen2", "qwen2_moe": "Qwen2Moe", "qwen3": "Qwen3",
         "qwen3_moe": "Qwen3Moe", "qwen3_next": "Qwen3Next", "qwen3_5": "Qwen3_5",
         "qwen3_5_moe": "Qwen3_5Moe"}

# Ours alone, or spelled differently in the classes' constructors.
NOT_FOR_CONSTRUCTOR = ("architectures", "model_type", "rope_theta", "rope_scaling",
                       "partial_rotary_factor", "mrope_section", "full_attention_interval",
                       "attn_output_gate", "mamba_ssm_dtype")


def rope_parameters(config):
    """The new spelling of a flat configuration's rope fields."""
    fields = {"rope_type": "default", "rope_theta": config["rope_theta"],
              **config.get("rope_scaling", {})}
    if "partial_rotary_factor" in config:
        fields["partial_rotary_factor"] = config["partial_rotary_factor"]
    if "mrope_section" in config:
        fields |= {"mrope_section": config["mrope_section"], "mrope_interleaved": True}
    return fields


def constructor_fields(config):
    fields = {k: v for k, v in config.items() if k not in NOT_FOR_CONSTRUCTOR}
    return fields | {"layer_types": layer_types(config), "rope_parameters": rope_parameters(config)}


def make_config(arch, fields):
    text = "Text" if arch in ("qwen3_5", "qwen3_5_moe") else ""
    return getattr(transformers, f"{CLASS[arch]}{text}Config")(**fields)


def build(arch, config, weights, tied=None):
    """A transformers model with these weights, in float32."""
    fields = constructor_fields(config)
    if tied is not None:
        fields["tie_word_embeddings"] = tied
    how = {"experts_implementation": "eager"} if "num_experts" in config else {}
    model = getattr(transformers, f"{CLASS[arch]}ForCausalLM")._from_config(
        make_config(arch, fields), attn_implementation="eager", **how)
    load(model, as_classes_have_them(arch, config, weights))
    return model


def build_next(config, weights):
    """Qwen3Next without experts: the owner of the packed layout, to check the packing."""
    fields = constructor_fields(config) | {"num_experts": 0}
    model = transformers.Qwen3NextForCausalLM._from_config(
        transformers.Qwen3NextConfig(**fields), attn_implementation="eager")
    load(model, pack_deltanet(weights, config))
    return model


def as_classes_have_them(arch, config, weights):
    """Canonical weights under the classes' names: experts stacked, qwen3_next's DeltaNet packed."""
    if arch == "qwen3_next":
        weights = pack_deltanet(weights, config)
    return stack_experts(weights, config)


def stack_experts(weights, config):
    """mlp.experts.N.{gate,up,down}_proj.weight -> mlp.experts.gate_up_proj [E, 2f, h], gate first,
    and mlp.experts.down_proj [E, h, f]."""
    stacked = dict(weights)
    for layer in range(config["num_hidden_layers"]):
        if not is_sparse(config, layer):
            continue
        prefix = f"model.layers.{layer}.mlp.experts."
        gate, up, down = (
            np.stack([stacked.pop(f"{prefix}{i}.{part}_proj.weight")
                      for i in range(config["num_experts"])]) for part in ("gate", "up", "down"))
        stacked[prefix + "gate_up_proj"] = np.concatenate([gate, up], axis=1)
        stacked[prefix + "down_proj"] = down
    return stacked


def pack_deltanet(weights, config):
    """in_proj_qkv, _z, _b, _a -> in_proj_qkvz and in_proj_ba, rows grouped by k-head:
    [q dk | k dk | v r*dv | z r*dv] and [b r | a r]."""
    heads = config["linear_num_key_heads"]
    keys = heads * config["linear_key_head_dim"]
    packed = dict(weights)
    for name in [k for k in weights if k.endswith("in_proj_qkv.weight")]:
        stem = name[:-len("qkv.weight")]
        qkv, z, b, a = (packed.pop(stem + part + ".weight") for part in ("qkv", "z", "b", "a"))

        def grouped(x):
            return x.reshape(heads, -1, x.shape[-1])
        parts = [qkv[:keys], qkv[keys:2 * keys], qkv[2 * keys:], z]
        qkvz = np.concatenate([grouped(x) for x in parts], axis=1)
        ba = np.concatenate([grouped(b), grouped(a)], axis=1)
        packed[stem + "qkvz.weight"] = qkvz.reshape(-1, qkv.shape[-1])
        packed[stem + "ba.weight"] = ba.reshape(-1, b.shape[-1])
    return packed


def load(model, weights):
    """Every weight must have a place and every place a weight; tied heads share theirs."""
    model.eval().to(torch.float32)
    state = {k: torch.from_numpy(np.array(w, dtype=np.float32)) for k, w in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    assert not unexpected and set(missing) <= tied, (missing, unexpected)


@contextmanager
def stable_topk():
    """Where experts tie to the last bit torch.topk takes any; here the lower index comes first."""
    topk = torch.topk

    def stable(x, k, dim=-1, **_):
        values, indices = torch.sort(x, dim=dim, descending=True, stable=True)
        return values.narrow(dim, 0, k).clone(), indices.narrow(dim, 0, k)
    torch.topk = stable
    try:
        yield
    finally:
        torch.topk = topk


def logits(model, tokens):
    """[tokens, vocab] float32."""
    ids = torch.tensor([list(tokens)])
    with stable_topk():
        return model(input_ids=ids, use_cache=False).logits[0].to(torch.float32).numpy().copy()


def greedy(model, tokens, count, vocab_real):
    """[(id, distance to the second best logit)]: the next ids by argmax over the real vocabulary,
    decoded with transformers' cache."""
    ids, cache, out = torch.tensor([list(tokens)]), None, []
    for _ in range(count):
        with stable_topk():
            step = model(input_ids=ids, cache=cache, use_cache=True)
        cache = step.cache
        best = step.logits[0, -1, :vocab_real].topk(2)
        out.append((int(best.indices[0]), float(best.values[0] - best.values[1])))
        ids = torch.tensor([[out[-1][0]]])
    return out


class Listener:
    """Collects dump points while the model runs; `layer` follows the forward pass."""

    def __init__(self, model):
        self.model, self.config, self.dumps, self.layer = model, model.config, {}, 0
        self.l2_calls = 0

    def put(self, name, x, shape=None):
        """x [1, tokens, ...] of the current layer."""
        x = x[0] if shape is None else x.reshape(shape)
        self.dumps[f"layer.{self.layer:02d}.{name}"] = x.to(torch.float32).numpy().copy()

    @contextmanager
    def hooked(self):
        """Hooks on modules, and wrappers around the functions between them."""
        handles, inner = [], self.model.model
        for i, layer in enumerate(inner.layers):
            handles += self.hook_layer(i, layer)

        def final(_module, _args, out):
            self.dumps["final_norm"] = out[0].numpy().copy()

        def embed(_module, _args, out):
            self.dumps["embed"] = out[0].numpy().copy()
        handles.append(inner.norm.register_forward_hook(final))
        handles.append(inner.embed_tokens.register_forward_hook(embed))
        code = sys.modules[type(self.model).__module__]
        kept = self.wrap_functions(code)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for name, function in kept.items():
                setattr(code, name, function)

    def hook_layer(self, index, layer):
        def enter(_module, _args, _kwargs):
            self.layer = index

        def after(name):
            def hook(_module, _args, out):
                self.put(name, out[0] if isinstance(out, tuple) else out)
            return hook

        def before(name, shape):
            def hook(_module, args):
                self.put(name, args[0], (args[0].shape[-2], *shape))
            return hook
        c = self.config
        handles = [
            layer.register_forward_pre_hook(enter, with_kwargs=True),
            layer.register_forward_hook(after("out")),
            layer.input_layernorm.register_forward_hook(after("attn_norm")),
            layer.post_attention_layernorm.register_forward_hook(after("ffn_norm")),
            layer.mlp.register_forward_hook(after("ffn_out"))]
        if hasattr(layer, "self_attn"):
            attention, shape = layer.self_attn, (c.num_attention_heads, layer.self_attn.head_dim)
            gated = attention.q_proj.out_features != attention.o_proj.in_features
            handles.append(attention.o_proj.register_forward_hook(after("attn_out")))
            handles.append(attention.o_proj.register_forward_pre_hook(
                before("attn_gated" if gated else "attn_o", shape)))
            handles.append(attention.v_proj.register_forward_hook(self.after_v))
            if gated:
                handles.append(attention.q_proj.register_forward_hook(self.after_q))
        else:
            delta, shape = layer.linear_attn, (c.linear_num_value_heads, c.linear_value_head_dim)
            handles.append(delta.out_proj.register_forward_hook(after("gdn_out")))
            handles.append(delta.out_proj.register_forward_pre_hook(before("gdn_gated", shape)))
        return handles

    def after_v(self, _module, _args, out):
        self.put("attn_v", out, (out.shape[1], self.config.num_key_value_heads, -1))

    def after_q(self, _module, _args, out):
        heads, dim = self.config.num_attention_heads, out.shape[-1] // (
            2 * self.config.num_attention_heads)
        self.put("attn_gate", out.reshape(out.shape[1], heads, 2 * dim)[..., dim:],
                 (out.shape[1], heads, dim))

    def wrap_functions(self, code):
        """Replaces functions of transformers' module by listening ones; returns the old ones."""
        kept = {}

        def wrap(name, listen):
            function = kept[name] = getattr(code, name)

            def wrapped(*args, **kwargs):
                out = function(*args, **kwargs)
                listen(out, *args, **kwargs)
                return out
            setattr(code, name, wrapped)
        wrap("apply_rotary_pos_emb", self.after_rope)
        wrap("eager_attention_forward", self.after_attention)
        if hasattr(self.config, "linear_num_key_heads"):
            wrap("causal_conv1d_fn", self.after_conv)
            wrap("torch_chunk_gated_delta_rule", self.after_rule)
            wrap("l2norm", self.after_l2)
        return kept

    def after_rope(self, out, *_args, **_kwargs):
        self.put("attn_q", out[0].transpose(1, 2))
        self.put("attn_k", out[1].transpose(1, 2))

    def after_attention(self, out, *_args, **_kwargs):
        self.put("attn_o", out[0])

    def after_conv(self, out, *_args, **_kwargs):
        self.put("gdn_conv", out.transpose(1, 2))
        self.l2_calls = 0

    def after_l2(self, out, *_args, **_kwargs):
        """Called for q, then for k, both already repeated to the v-heads."""
        repeat = self.config.linear_num_value_heads // self.config.linear_num_key_heads
        self.put("gdn_k" if self.l2_calls else "gdn_q", out.transpose(1, 2)[:, :, ::repeat])
        self.l2_calls += 1

    def after_rule(self, out, *_args, g, beta, **_kwargs):
        self.put("gdn_o", out[0])
        self.put("gdn_g", g)
        self.put("gdn_beta", beta)


def dump_layers(model, tokens):
    """All dump points of one forward pass, by name."""
    listener = Listener(model)
    with listener.hooked():
        out = logits(model, tokens)
    listener.dumps["logits"] = out
    return listener.dumps
