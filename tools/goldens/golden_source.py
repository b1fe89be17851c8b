"""tools/goldens/golden_source.py - the source of truth: transformers' own classes in float32.

Builds Qwen3ForCausalLM or Qwen3_5ForCausalLM around given weights (eager attention, the torch
form of DeltaNet), and listens inside it for the values that the README names as dump points.
"""
from contextlib import contextmanager

import numpy as np
import torch
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig, Qwen3Config, Qwen3ForCausalLM
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_5 import modeling_qwen3_5

from small_models import layer_types

torch.set_grad_enabled(False)

# Ours alone, or spelled differently in the classes' constructors.
NOT_FOR_CONSTRUCTOR = ("architectures", "model_type", "rope_theta", "partial_rotary_factor",
                       "mrope_section", "full_attention_interval", "attn_output_gate",
                       "mamba_ssm_dtype")


def rope_parameters(config):
    """The new spelling of a flat configuration's rope fields."""
    fields = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    if "mrope_section" in config:
        fields |= {"partial_rotary_factor": config["partial_rotary_factor"],
                   "mrope_section": config["mrope_section"], "mrope_interleaved": True}
    return fields


def constructor_fields(config):
    fields = {k: v for k, v in config.items() if k not in NOT_FOR_CONSTRUCTOR}
    return fields | {"layer_types": layer_types(config), "rope_parameters": rope_parameters(config)}


def build(arch, config, weights, tied=None):
    """A transformers model with these weights, in float32."""
    fields = constructor_fields(config)
    if tied is not None:
        fields["tie_word_embeddings"] = tied
    if arch == "qwen3":
        model = Qwen3ForCausalLM._from_config(Qwen3Config(**fields), attn_implementation="eager")
    else:
        model = Qwen3_5ForCausalLM._from_config(Qwen3_5TextConfig(**fields),
                                                attn_implementation="eager")
    load(model, weights)
    return model


def build_next(config, packed_weights):
    """Qwen3Next without experts: the owner of the packed layout, to check the packing."""
    fields = constructor_fields(config) | {"num_experts": 0}
    model = Qwen3NextForCausalLM._from_config(Qwen3NextConfig(**fields),
                                              attn_implementation="eager")
    load(model, packed_weights)
    return model


def load(model, weights):
    """Every weight must have a place and every place a weight; tied heads share theirs."""
    model.eval().to(torch.float32)
    state = {k: torch.from_numpy(np.array(w, dtype=np.float32)) for k, w in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    assert not unexpected and set(missing) <= tied, (missing, unexpected)


def logits(model, tokens):
    """[tokens, vocab] float32."""
    ids = torch.tensor([list(tokens)])
    return model(input_ids=ids, use_cache=False).logits[0].to(torch.float32).numpy().copy()


def greedy(model, tokens, count, vocab_real):
    """[(id, distance to the second best logit)]: the next ids by argmax over the real vocabulary,
    decoded with transformers' cache."""
    ids, cache, out = torch.tensor([list(tokens)]), None, []
    for _ in range(count):
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
        code = modeling_qwen3_5 if hasattr(self.config, "linear_num_key_heads") else modeling_qwen3
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
            attention, shape = layer.self_attn, (c.num_attention_heads, c.head_dim)
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
        heads, dim = self.config.num_attention_heads, self.config.head_dim
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
        if code is modeling_qwen3_5:
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
