"""tools/goldens/ggufs.py - writes a small model as GGUF, as llama.cpp's converter would, and reads
it back by other code.

The converter's changes: zero-centred norms get their one added; A_log becomes ssm_a = -exp(A_log);
the convolution loses its middle axis; V heads go from grouped (k*r + j) to tiled (k + nk*j).
"""
from dataclasses import dataclass, field

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

from small_configs import VOCAB_ROWS
from tiny_tokenizer import CHAT_TEMPLATE, tiny_vocab

ARCH = {"qwen3": "qwen3", "qwen3_5": "qwen35"}
FILE_TYPE = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}

ROUNDED = ("Q8_0", "Q4_0")    # what kernels may multiply in blocks of 8-bit integers

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "linear_attn.in_proj_qkv": "attn_qkv", "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_b": "ssm_beta", "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.conv1d": "ssm_conv1d", "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
}


@dataclass
class GgufFile:
    """One file: which base, which number format, and what differs per tensor."""
    path: str
    base: str
    dtype: str
    exceptions: dict = field(default_factory=dict)   # part of a GGUF name -> type
    own_head: str = ""    # a tied model that ships output.weight all the same, of this type


def gguf_name(name, arch):
    """Canonical name -> GGUF name."""
    if not name.startswith("model.layers."):
        return NAMES[name.removesuffix(".weight")] + ".weight"
    _, _, index, rest = name.split(".", 3)
    if rest == "linear_attn.A_log":
        return f"blk.{index}.ssm_a"
    if rest == "linear_attn.dt_bias":
        return f"blk.{index}.ssm_dt.bias"
    if rest == "post_attention_layernorm.weight":
        return f"blk.{index}.{'ffn_norm' if arch == 'qwen3' else 'post_attention_norm'}.weight"
    return f"blk.{index}.{NAMES[rest.removesuffix('.weight')]}.weight"


def tile_v_heads(name, w, config):
    """Grouped -> tiled along the axis that holds V heads, if any does."""
    if "linear_attn." not in name or name.endswith("linear_attn.norm.weight"):
        return w
    nk, dk = config["linear_num_key_heads"], config["linear_key_head_dim"]
    r = config["linear_num_value_heads"] // nk

    def tile(x):
        return x.reshape(nk, r, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
    if "in_proj_qkv" in name or "conv1d" in name:
        return np.concatenate([w[:2 * nk * dk], tile(w[2 * nk * dk:])])
    if "out_proj" in name:
        return tile(w.T).T
    return tile(w)


def converted(model, name):
    """A canonical weight as llama.cpp's converter stores it, in float32."""
    w = tile_v_heads(name, model.weights[name], model.config)
    if name.endswith(".A_log"):
        return -np.exp(w)
    if name.endswith("conv1d.weight"):
        return w[:, 0]
    plain = name.endswith("linear_attn.norm.weight") or model.arch == "qwen3"
    if name.endswith("norm.weight") and not plain:
        return w + np.float32(1.0)
    return w


def tensor_type(name, w, file):
    """One-dimensional tensors and the convolution stay float32."""
    if w.ndim == 1 or "ssm_conv1d" in name:
        return Type.F32
    for part, dtype in file.exceptions.items():
        if part in name:
            return Type[dtype]
    return Type[file.dtype]


def encode(w, kind):
    """The bytes of a tensor, as the array that GGUFWriter wants."""
    w = np.ascontiguousarray(w, dtype=np.float32)
    if kind == Type.BF16:
        bits = torch.from_numpy(w).to(torch.bfloat16).view(torch.int16).numpy()
        return bits.view(np.uint8)
    return gguf.quantize(w, kind)


def add_settings(writer, model, file):
    """The keys of the architecture."""
    c = model.config
    writer.add_name(model.name)
    writer.add_file_type(FILE_TYPE[file.dtype])
    writer.add_quantization_version(2)
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_key_length(c["head_dim"])
    writer.add_value_length(c["head_dim"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(c["rope_theta"])
    if model.arch == "qwen3_5":
        writer.add_rope_dimension_count(int(c["head_dim"] * c["partial_rotary_factor"]))
        writer.add_rope_dimension_sections([*c["mrope_section"], 0])
        writer.add_ssm_conv_kernel(c["linear_conv_kernel_dim"])
        writer.add_ssm_state_size(c["linear_key_head_dim"])
        writer.add_ssm_group_count(c["linear_num_key_heads"])
        writer.add_ssm_time_step_rank(c["linear_num_value_heads"])
        writer.add_ssm_inner_size(c["linear_value_head_dim"] * c["linear_num_value_heads"])
        writer.add_full_attention_interval(c["full_attention_interval"])


def add_tokenizer(writer, arch):
    """Tokens in the order of ids; types: 1 ordinary, 3 control, 4 user-defined, 5 unused."""
    vocab, merges, added = tiny_vocab()
    tokens, types = list(vocab), [1] * len(vocab)
    for token, _, special in added:
        tokens.append(token)
        types.append(3 if special else 4)
    while len(tokens) < VOCAB_ROWS:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(5)
    ids = {token: i for token, i, _ in added}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if arch == "qwen3" else "qwen35")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write(root, model, file):
    """Writes root/file.path."""
    path = root / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, ARCH[model.arch])
    add_settings(writer, model, file)
    add_tokenizer(writer, model.arch)
    for name in model.weights:
        w = converted(model, name)
        stored = gguf_name(name, model.arch)
        kind = tensor_type(stored, w, file)
        writer.add_tensor(stored, encode(w, kind), raw_dtype=kind)
    if file.own_head:
        w = model.weights["model.embed_tokens.weight"]
        writer.add_tensor("output.weight", encode(w, Type[file.own_head]),
                          raw_dtype=Type[file.own_head])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_back(root, model, file):
    """Canonical float32 weights as the file holds them, dequantized; float64 where a logarithm
    is taken. V heads are put in order index by index, not by the code that tiled them."""
    reader = gguf.GGUFReader(root / file.path)
    found = {}
    for t in reader.tensors:
        shape = [int(n) for n in reversed(t.shape)]
        if t.tensor_type == Type.BF16:
            bits = torch.from_numpy(np.array(t.data).view(np.int16).reshape(shape))
            found[t.name] = bits.view(torch.bfloat16).to(torch.float32).numpy()
        else:
            found[t.name] = gguf.dequantize(np.array(t.data), t.tensor_type).reshape(shape)
    weights = {}
    for name in model.weights:
        w = ungroup(name, found[gguf_name(name, model.arch)], model.config)
        if name.endswith(".A_log"):
            w = np.log(-w.astype(np.float64))
        elif name.endswith("conv1d.weight"):
            w = w[:, None]
        elif (model.arch == "qwen3_5" and name.endswith("norm.weight")
              and not name.endswith("linear_attn.norm.weight")):
            w = w.astype(np.float64) - 1.0
        weights[name] = w
    if file.own_head:
        weights["lm_head.weight"] = found["output.weight"]
    return weights


def ungroup(name, w, config):
    """Tiled -> grouped: grouped head k*r + j is stored as head k + nk*j."""
    if "linear_attn." not in name or name.endswith("linear_attn.norm.weight"):
        return w
    nk, nv = config["linear_num_key_heads"], config["linear_num_value_heads"]
    axis = 1 if "out_proj" in name else 0
    skip = 0
    if "in_proj_qkv" in name or "conv1d" in name:
        skip = 2 * nk * config["linear_key_head_dim"]
    dim = (w.shape[axis] - skip) // nv
    order = list(range(skip))
    for v in range(nv):
        k, j = divmod(v, nv // nk)
        stored = k + nk * j
        order += range(skip + stored * dim, skip + (stored + 1) * dim)
    return np.take(w, order, axis=axis)


def quantized(model, file):
    """Canonical names of the projections whose weights are blocks of 8 or 4 bits."""
    names = set()
    for name in model.weights:
        stored = gguf_name(name, model.arch)
        if tensor_type(stored, converted(model, name), file) in [Type[x] for x in ROUNDED]:
            names.add(name.removesuffix(".weight"))
    if file.own_head in ROUNDED:
        names.add("lm_head")
    return names


def round_input_q8(names):
    """For reference.forward: rounds the inputs of those projections to Q8_0 blocks."""
    def rounded(name, x):
        if name not in names:
            return x
        blocks = gguf.quantize(x.to(torch.float32).numpy(), Type.Q8_0)
        return torch.from_numpy(gguf.dequantize(blocks, Type.Q8_0).reshape(x.shape)).to(x.dtype)
    return rounded
