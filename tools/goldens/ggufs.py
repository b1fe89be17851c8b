"""tools/goldens/ggufs.py - writes a small model as GGUF, as llama.cpp's converter would, and reads
it back by other code.

The converter's changes: zero-centred norms get their one added; A_log becomes ssm_a = -exp(A_log);
the convolution loses its middle axis; experts are stacked; in qwen35 and qwen35moe V heads go from
grouped (k*r + j) to tiled (k + nk*j), in qwen3next they stay and b and a are one tensor; llama has
the rows of q and k in pairs (2i, 2i + 1) instead of halves, and its rope scaling as factors.
check_converter.py compares with what the converter itself makes.
"""
import math
import re
from dataclasses import dataclass, field, replace

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import gguf_blocks
from golden_source import pack_deltanet
from small_configs import VOCAB_ROWS, ZERO_CENTRED, head_dim, rotary_dim
from small_models import make_mtp
from tiny_tokenizer import CHAT_TEMPLATE, tiny_vocab

ARCH = {"llama": "llama", "qwen2": "qwen2", "qwen2_moe": "qwen2moe", "qwen3": "qwen3",
        "qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next", "qwen3_5": "qwen35",
        "qwen3_5_moe": "qwen35moe"}
TILED = ("qwen3_5", "qwen3_5_moe")
FILE_TYPE = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9,
             "Q2_K": 10, "Q3_K": 12, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "IQ4_NL": 25,
             "IQ4_XS": 30, "BF16": 32, "MXFP4": 38}

# What kernels may multiply in blocks of 8-bit integers.
ROUNDED = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4")

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp", "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps", "mlp.experts.down_proj": "ffn_down_exps",
    "linear_attn.in_proj_qkv": "attn_qkv", "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_b": "ssm_beta", "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_ba": "ssm_ba", "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm", "linear_attn.out_proj": "ssm_out",
    **{f"nextn.{x}": f"nextn.{x}" for x in ("eh_proj", "enorm", "hnorm", "shared_head_norm")},
}


@dataclass
class GgufFile:
    """One file: which base, which number format, and what differs per tensor."""
    path: str
    base: str
    dtype: str
    exceptions: dict = field(default_factory=dict)   # part of a GGUF name -> type
    own_head: str = ""    # a tied model that ships output.weight all the same, of this type
    files: int = 1        # of a split one
    mtp: bool = False     # one block more than there are layers, to be left out
    arch: str = ""        # general.architecture, where it is not the base's own: qwen3vl, ...


def gguf_name(name, arch):
    """Canonical name, of an expert without its number -> GGUF name."""
    if not name.startswith("model.layers."):
        return NAMES[name.removesuffix(".weight")] + ".weight"
    _, _, index, rest = name.split(".", 3)
    if rest == "linear_attn.A_log":
        return f"blk.{index}.ssm_a"
    if rest == "linear_attn.dt_bias":
        return f"blk.{index}.ssm_dt.bias"
    if rest == "post_attention_layernorm.weight":
        after = "post_attention_norm" if arch in ZERO_CENTRED else "ffn_norm"
        return f"blk.{index}.{after}.weight"
    module, kind = rest.rsplit(".", 1)
    return f"blk.{index}.{NAMES[module]}.{kind}"


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


def pair_rows(name, w, config):
    """Rows of a llama's q and k, weights or biases, per head from halves to adjacent pairs."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    part = name.rsplit(".", 2)[-2]
    if "self_attn." not in name or part not in heads:
        return w
    return w.reshape(config[heads[part]], 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def converted(model, name, w):
    """A weight as llama.cpp's converter stores it, in float32."""
    if model.arch in TILED:
        w = tile_v_heads(name, w, model.config)
    if model.arch == "llama":
        w = pair_rows(name, w, model.config)
    if name.endswith(".A_log"):
        return -np.exp(w)
    if name.endswith("conv1d.weight"):
        return w[:, 0]
    if (model.arch in ZERO_CENTRED and name.endswith("norm.weight")
            and not name.endswith("linear_attn.norm.weight")):
        return w + np.float32(1.0)
    return w


def joined(model):
    """Canonical weights, experts stacked, and qwen3_next's b and a in one, grouped by k-head."""
    weights, stacks = {}, {}
    ba = pack_deltanet(model.weights, model.config) if model.arch == "qwen3_next" else {}
    for name, w in model.weights.items():
        expert = re.fullmatch(r"(.*\.experts\.)\d+\.(.*)", name)
        if expert:
            stacks.setdefault(expert[1] + expert[2], []).append(w)
        elif ba and ".in_proj_b." in name:
            both = name.replace("in_proj_b.", "in_proj_ba.")
            weights[both] = ba[both]
        elif not (ba and ".in_proj_a." in name):
            weights[name] = w
    return weights | {name: np.stack(parts) for name, parts in stacks.items()}


def rope_factors(model):
    """rope_freqs.weight of a llama: what each pair's frequency is divided by."""
    s = model.config.get("rope_scaling", {})
    if model.arch != "llama" or s.get("rope_type") != "llama3":
        return None
    dim = head_dim(model.config)
    freq = 1.0 / model.config["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float32) / dim)
    turns = s["original_max_position_embeddings"] * freq.astype(np.float64) / (2 * math.pi)
    kept = np.clip((turns - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"]),
                   0, 1)
    return (1.0 / ((1 - kept) / s["factor"] + kept)).astype(np.float32)


def tensors(model):
    """GGUF name -> float32"""
    found = {gguf_name(name, model.arch): converted(model, name, w)
             for name, w in joined(model).items()}
    factors = rope_factors(model)
    return found if factors is None else {"rope_freqs.weight": factors, **found}


# What is float32 in every file, as vectors are: the convolution and what decides about experts.
ALWAYS_F32 = ("ssm_conv1d.", "ffn_gate_inp.", "ffn_gate_inp_shexp.", "_norm.")


def tensor_type(name, w, file):
    if w.ndim == 1 or any(part in name for part in ALWAYS_F32):
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
    if kind in gguf_blocks.ENCODE:
        return gguf_blocks.encode(w, kind)
    return gguf.quantize(w, kind)


def add_settings(writer, model, file):
    """The keys of the architecture."""
    c = model.config
    writer.add_name(model.name)
    writer.add_file_type(FILE_TYPE[file.dtype])
    writer.add_quantization_version(2)
    writer.add_block_count(c["num_hidden_layers"] + file.mtp)
    if file.mtp:
        writer.add_nextn_predict_layers(1)
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    if "intermediate_size" in c:
        writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    if "head_dim" in c or model.arch == "llama":
        writer.add_key_length(head_dim(c))
        writer.add_value_length(head_dim(c))
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(c["rope_theta"])
    add_rope_scaling(writer, c.get("rope_scaling", {}))
    if "num_experts" in c:
        add_expert_settings(writer, c)
    if model.arch == "llama":
        writer.add_vocab_size(c["vocab_size"])
        writer.add_rope_dimension_count(rotary_dim(c))
    if "linear_num_key_heads" in c:
        add_deltanet_settings(writer, c)
    if "mrope_section" in c:
        writer.add_rope_dimension_sections([*c["mrope_section"], 0])
    if file.arch:
        half = rotary_dim(c) // 2
        writer.add_rope_dimension_sections([half - 2 * (half // 4), half // 4, half // 4, 0])
    if file.arch.startswith("qwen3vl"):
        writer.add_num_deepstack_layers(0)


def add_rope_scaling(writer, scaling):
    kind = scaling.get("rope_type")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def add_expert_settings(writer, c):
    writer.add_expert_count(c["num_experts"])
    writer.add_expert_used_count(c["num_experts_per_tok"])
    writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in c:
        writer.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])


def add_deltanet_settings(writer, c):
    writer.add_rope_dimension_count(rotary_dim(c))
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
    writer.add_tokenizer_pre("qwen35" if arch in TILED else "qwen2")
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
    mtp = make_mtp(model) if file.mtp else {}
    stored = tensors(replace(model, weights=model.weights | mtp))
    share = -(-len(stored) // file.files) if file.files > 1 else 0
    writer = gguf.GGUFWriter(path, file.arch or ARCH[model.arch], split_max_tensors=share)
    add_settings(writer, model, file)
    add_tokenizer(writer, model.arch)
    for name, w in stored.items():
        kind = tensor_type(name, w, file)
        writer.add_tensor(name, encode(w, kind), raw_dtype=kind)
    if file.own_head:
        w = model.weights["model.embed_tokens.weight"]
        writer.add_tensor("output.weight", encode(w, Type[file.own_head]),
                          raw_dtype=Type[file.own_head])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def parts(path, count):
    """The files of a split one: the path without its number, and with it."""
    return [path] if count == 1 else [
        path.parent / gguf.SHARD_NAME_FORMAT.format(path.stem, i + 1, count)
        for i in range(count)]


def read_tensors(path, count=1):
    """GGUF name -> float32, dequantized."""
    found = {}
    for t in (t for part in parts(path, count) for t in gguf.GGUFReader(part).tensors):
        shape = [int(n) for n in reversed(t.shape)]
        if t.tensor_type == Type.BF16:
            bits = torch.from_numpy(np.array(t.data).view(np.int16).reshape(shape))
            found[t.name] = bits.view(torch.bfloat16).to(torch.float32).numpy()
        else:
            found[t.name] = gguf.dequantize(np.array(t.data), t.tensor_type).reshape(shape)
    return found


def read_back(root, model, file):
    """Canonical float32 weights as the file holds them, dequantized; float64 where a logarithm
    is taken. What is permuted or joined is put in order index by index, not by the code that did
    it."""
    found = read_tensors(root / file.path, file.files)
    weights = {name: read_one(found, name, model) for name in model.weights}
    if file.own_head:
        weights["lm_head.weight"] = found["output.weight"]
    return weights


def read_one(found, name, model):
    c = model.config
    expert = re.fullmatch(r"(.*\.experts\.)(\d+)\.(.*)", name)
    if expert:
        return found[gguf_name(expert[1] + expert[3], model.arch)][int(expert[2])]
    if model.arch == "qwen3_next" and re.search(r"in_proj_[ba]\.", name):
        return split_ba(found, name, c)
    w = found[gguf_name(name, model.arch)]
    if model.arch in TILED:
        w = ungroup(name, w, c)
    if model.arch == "llama":
        w = unpair(name, w, c)
    if name.endswith(".A_log"):
        return np.log(-w.astype(np.float64))
    if name.endswith("conv1d.weight"):
        return w[:, None]
    if (model.arch in ZERO_CENTRED and name.endswith("norm.weight")
            and not name.endswith("linear_attn.norm.weight")):
        return w.astype(np.float64) - 1.0
    return w


def split_ba(found, name, config):
    """Rows of b or of a out of ssm_ba: per k-head r of b, then r of a."""
    part = name.rsplit("in_proj_", 1)[1][0]
    w = found[gguf_name(name.replace(f"in_proj_{part}.", "in_proj_ba."), "qwen3_next")]
    heads = config["linear_num_key_heads"]
    r = config["linear_num_value_heads"] // heads
    first = 0 if part == "b" else r
    return w[[2 * r * k + first + j for k in range(heads) for j in range(r)]]


def unpair(name, w, config):
    """Row i of the first half of a head is stored as row 2i, of the second half as row 2i + 1."""
    if not re.search(r"self_attn\.[qk]_proj\.", name):
        return w
    dim = head_dim(config)
    half = dim // 2
    return w[[h * dim + 2 * (i % half) + i // half for h in range(len(w) // dim)
              for i in range(dim)]]


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
    rounded = [Type[x] for x in ROUNDED]
    stored = {name: tensor_type(name, w, file) for name, w in tensors(model).items()}
    names = {name.removesuffix(".weight") for name in model.weights
             if stored.get(gguf_name(re.sub(r"\.experts\.\d+\.", ".experts.", name),
                                     model.arch)) in rounded}
    return names | ({"lm_head"} if file.own_head in ROUNDED else set())


def round_input_q8(names):
    """For reference.forward: rounds the inputs of those projections to Q8_0 blocks."""
    def rounded(name, x):
        if name not in names:
            return x
        blocks = gguf.quantize(x.to(torch.float32).numpy(), Type.Q8_0)
        return torch.from_numpy(gguf.dequantize(blocks, Type.Q8_0).reshape(x.shape)).to(x.dtype)
    return rounded
