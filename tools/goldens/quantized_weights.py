"""tools/goldens/quantized_weights.py - the quantized forms of a matrix in safetensors releases.

Each form encodes w [rows, columns] (a Linear: out, in) as the tensors that a release has in place
of X.weight, and decodes them again, value by value as the formats are described, by other code than
wrote them. Encoders are plain (smallest and largest value of a group): what is tested is reading.
check_quantized.py compares the decoders with the packages that own the formats.

  fp8      X.weight F8_E4M3 [rows, columns], X.weight_scale_inv [rows/128, columns/128], rounded up
  gptq     X.qweight I32 [columns/8, rows], X.qzeros I32 [groups, rows/8], X.scales F16
           [groups, rows], X.g_idx I32 [columns]; bits 4 here; 8 bits: a quarter, not an eighth
  awq      X.qweight I32 [columns, rows/8], X.qzeros I32 [groups, rows/8], X.scales F16 [groups, rows]
  packed   X.weight_packed I32 [rows, columns/8], X.weight_scale [rows, groups], X.weight_shape I64
           [2], and, where asymmetric, X.weight_zero_point I32 [rows/8, groups]
  float8   X.weight F8_E4M3 [rows, columns], X.weight_scale [rows, 1]
"""
from dataclasses import dataclass

import numpy as np
import torch

TILE = 128
E4M3_MAX = 448.0
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)    # nibble i of a word holds output 8*word + AWQ_ORDER[i]
TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Quantization:
    """What config.json says, in short."""
    method: str                  # fp8, gptq, awq, packed, float8
    bits: int = 4
    group: int = 128             # columns that share a scale; -1: all of a row
    symmetric: bool = True
    act_order: bool = False      # gptq: which columns share a scale is drawn at random
    format: str = "gptq"         # gptq: checkpoint_format; "gptq" stores zero - 1
    scale: str = "F16"
    plain: tuple = ("lm_head",)  # parts of names that stay as they are


def wants(quantization, name):
    """Whether a canonical weight is stored in the quantized form: the Linears of the layers."""
    kept = ("norm", "embed_tokens", "mlp.gate.", "shared_expert_gate", "conv1d", "in_proj_a",
            "in_proj_b", *quantization.plain)
    return name.endswith("_proj.weight") and not any(part in name for part in kept)


def e4m3(x):
    return torch.from_numpy(np.clip(x, -E4M3_MAX, E4M3_MAX)).to(torch.float8_e4m3fn)


def e4m3_values():
    """The 256 values by their definition: bias 7, no infinity, 0x7f and 0xff are not a number."""
    values = np.zeros(256, np.float32)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        size = mantissa * 2.0 ** -9 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        values[code] = -size if code & 128 else size
    values[[0x7F, 0xFF]] = np.nan
    return values


def as_bytes(tensor):
    return tensor.view(torch.uint8).numpy()


# ---- FP8 --------------------------------------------------------------------------------------

def encode_fp8(w, q):
    rows, columns = w.shape
    tiles = np.zeros((-(-rows // TILE), -(-columns // TILE)), np.float32)
    for i in range(tiles.shape[0]):
        for j in range(tiles.shape[1]):
            block = w[i * TILE:(i + 1) * TILE, j * TILE:(j + 1) * TILE]
            tiles[i, j] = np.abs(block).max() / E4M3_MAX
    scale = torch.from_numpy(tiles).to(TORCH[q.scale])
    spread = scale.to(torch.float32).numpy().repeat(TILE, 0).repeat(TILE, 1)[:rows, :columns]
    return {"weight": e4m3(w / spread), "weight_scale_inv": scale}


def decode_fp8(tensors, _):
    codes, scale = as_bytes(tensors["weight"]), tensors["weight_scale_inv"].to(torch.float32).numpy()
    rows, columns = np.indices(codes.shape)
    return e4m3_values()[codes] * scale[rows // TILE, columns // TILE]


def encode_float8(w, q):
    scale = torch.from_numpy(np.abs(w).max(1, keepdims=True) / E4M3_MAX).to(TORCH[q.scale])
    return {"weight": e4m3(w / scale.to(torch.float32).numpy()), "weight_scale": scale}


def decode_float8(tensors, _):
    scale = tensors["weight_scale"].to(torch.float32).numpy()
    return e4m3_values()[as_bytes(tensors["weight"])] * scale


# ---- integers with scales and zeros -----------------------------------------------------------

def group_size(w, q):
    return w.shape[1] if q.group == -1 else q.group


def to_integers(w, q, group_of):
    """(integers [rows, columns], scales [rows, groups] as stored, zeros [rows, groups])"""
    top, groups = 2 ** q.bits - 1, group_of.max() + 1
    scales = np.zeros((w.shape[0], groups), np.float32)
    zeros = np.full((w.shape[0], groups), 2 ** (q.bits - 1), np.int64)
    for g in range(groups):
        part = w[:, group_of == g]
        if q.symmetric:
            scales[:, g] = 2 * np.abs(part).max(1) / top
        else:
            # Between 1 and top: the formats disagree about what 0 - 1 means.
            low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
            scales[:, g] = (high - low) / (top - 1)
            zeros[:, g] = np.clip(np.rint(-low / scales[:, g]), 1, top)
    stored = torch.from_numpy(scales).to(TORCH[q.scale])
    scales = stored.to(torch.float32).numpy()
    integers = np.rint(w / scales[:, group_of]) + zeros[:, group_of]
    return np.clip(integers, 0, top).astype(np.int64), stored, zeros


def from_integers(integers, scales, zeros, group_of):
    return (scales[:, group_of] * (integers - zeros[:, group_of])).astype(np.float32)


def pack(x, bits, axis, order=None):
    """Runs of 32/bits values along an axis become one int32 each, the first in the lowest bits."""
    x, per = np.moveaxis(x, axis, -1), 32 // bits
    padded = np.zeros((*x.shape[:-1], -(-x.shape[-1] // per) * per), np.int64)
    padded[..., :x.shape[-1]] = x
    runs = padded.reshape(*x.shape[:-1], -1, per)[..., list(order or range(per))]
    words = (runs << (bits * np.arange(per))).sum(-1).astype(np.uint32).view(np.int32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(words, -1, axis)))


def unpack_at(words, bits, index, axis, order=None):
    """The values number index (an array) along an axis of packed words."""
    per = 32 // bits
    place = index % per if order is None else np.argsort(order)[index % per]
    words = np.take(words.numpy().view(np.uint32), index // per, axis)
    shape = [1] * words.ndim
    shape[axis] = -1
    return (words >> (bits * place).astype(np.uint32).reshape(shape) & (2 ** bits - 1)).astype(int)


def encode_gptq(w, q):
    group_of = np.arange(w.shape[1]) // group_size(w, q)
    if q.act_order:
        group_of = np.random.default_rng(w.size).permutation(group_of)
    integers, scales, zeros = to_integers(w, q, group_of)
    stored = (zeros if q.format == "gptq_v2" else zeros - 1).T
    return {"qweight": pack(integers.T, q.bits, 0), "qzeros": pack(stored, q.bits, 1),
            "scales": scales.T.contiguous(), "g_idx": torch.from_numpy(group_of.astype(np.int32))}


def decode_gptq(tensors, q):
    columns = np.arange(len(tensors["g_idx"]))
    scales = tensors["scales"].to(torch.float32).numpy().T
    integers = unpack_at(tensors["qweight"], q.bits, columns, 0).T
    zeros = unpack_at(tensors["qzeros"], q.bits, np.arange(scales.shape[0]), 1).T
    zeros = zeros + (0 if q.format == "gptq_v2" else 1)
    return from_integers(integers, scales, zeros, tensors["g_idx"].numpy())


def encode_awq(w, q):
    group_of = np.arange(w.shape[1]) // group_size(w, q)
    integers, scales, zeros = to_integers(w, q, group_of)
    return {"qweight": pack(integers.T, q.bits, 1, AWQ_ORDER),
            "qzeros": pack(zeros.T, q.bits, 1, AWQ_ORDER), "scales": scales.T.contiguous()}


def decode_awq(tensors, q):
    scales = tensors["scales"].to(torch.float32).numpy().T
    rows = np.arange(scales.shape[0])
    integers = unpack_at(tensors["qweight"], q.bits, rows, 1, AWQ_ORDER).T
    zeros = unpack_at(tensors["qzeros"], q.bits, rows, 1, AWQ_ORDER).T
    group_of = np.arange(integers.shape[1]) // (integers.shape[1] // scales.shape[1])
    return from_integers(integers, scales, zeros, group_of)


def encode_packed(w, q):
    group_of = np.arange(w.shape[1]) // group_size(w, q)
    integers, scales, zeros = to_integers(w, q, group_of)
    tensors = {"weight_packed": pack(integers, q.bits, 1), "weight_scale": scales,
               "weight_shape": torch.tensor(w.shape)}
    if not q.symmetric:
        tensors["weight_zero_point"] = pack(zeros, q.bits, 0)
    return tensors


def decode_packed(tensors, q):
    rows, columns = tensors["weight_shape"].tolist()
    scales = tensors["weight_scale"].to(torch.float32).numpy()
    integers = unpack_at(tensors["weight_packed"], q.bits, np.arange(columns), 1)
    zeros = np.full(scales.shape, 2 ** (q.bits - 1))
    if "weight_zero_point" in tensors:
        zeros = unpack_at(tensors["weight_zero_point"], q.bits, np.arange(rows), 0)
    return from_integers(integers, scales, zeros, np.arange(columns) // (columns // scales.shape[1]))


ENCODE = {"fp8": encode_fp8, "gptq": encode_gptq, "awq": encode_awq, "packed": encode_packed,
          "float8": encode_float8}
DECODE = {"fp8": decode_fp8, "gptq": decode_gptq, "awq": decode_awq, "packed": decode_packed,
          "float8": decode_float8}


def encode(w, quantization):
    """suffix of the name -> torch tensor, in place of "weight"."""
    return ENCODE[quantization.method](np.ascontiguousarray(w, np.float32), quantization)


def decode(tensors, quantization):
    """float32 [rows, columns]"""
    return DECODE[quantization.method](tensors, quantization)


# ---- what config.json says --------------------------------------------------------------------

def settings_fp8(_q, names):
    return {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
            "weight_block_size": [TILE, TILE], "modules_to_not_convert": names}


def settings_gptq(q, _names):
    found = {"bits": q.bits, "damp_percent": 0.01, "desc_act": q.act_order, "group_size": q.group,
             "model_file_base_name": "model", "model_name_or_path": None, "quant_method": "gptq",
             "static_groups": False, "sym": q.symmetric, "true_sequential": True}
    return found if q.format == "unsaid" else {**found, "checkpoint_format": q.format}


def settings_awq(q, _names):
    return {"bits": q.bits, "group_size": q.group, "modules_to_not_convert": None,
            "quant_method": "awq", "version": "gemm", "zero_point": not q.symmetric}


def settings_compressed(q, names):
    float8 = q.method == "float8"
    weights = {"actorder": None, "block_structure": None, "dynamic": False,
               "group_size": None if float8 or q.group == -1 else q.group,
               "num_bits": 8 if float8 else q.bits, "observer": "minmax", "observer_kwargs": {},
               "strategy": "channel" if float8 or q.group == -1 else "group",
               "symmetric": q.symmetric, "type": "float" if float8 else "int"}
    inputs = {**weights, "dynamic": True, "strategy": "token", "observer": None} if float8 else None
    return {"config_groups": {"group_0": {"input_activations": inputs, "output_activations": None,
                                          "targets": ["Linear"], "weights": weights}},
            "format": "float-quantized" if float8 else "pack-quantized",
            "global_compression_ratio": None, "ignore": names, "kv_cache_scheme": None,
            "quant_method": "compressed-tensors", "quantization_status": "compressed"}


SETTINGS = {"fp8": settings_fp8, "gptq": settings_gptq, "awq": settings_awq,
            "packed": settings_compressed, "float8": settings_compressed}


def settings(quantization, names):
    """quantization_config; names: the modules, as stored, that could be quantized and are not."""
    return SETTINGS[quantization.method](quantization, names)
