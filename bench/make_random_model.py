"""GGUF files of official shapes with random weights: something to measure speed on without a download.

    python3 -m venv build/bench-venv && build/bench-venv/bin/pip install -r bench/requirements.txt
    build/bench-venv/bin/python bench/make_random_model.py qwen3-0.6b q8_0 /tmp/qwen3-0.6b-q8_0.gguf

Shapes, layer kinds and metadata are those of the real model, so every kernel sees what it would see; the text it
writes means nothing. The tokenizer is Qwen2's (tests/data/tokenizer), padded to the model's rows. Weights are
written tensor by tensor: memory stays below one tensor. The same shape, type and seed give the same bytes.
"""

import argparse
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

DATA = pathlib.Path(__file__).parent.parent / "tests" / "data" / "tokenizer"
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
         "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
         "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
         "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
         "<think>", "</think>"]
TEMPLATE = ("{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
            "'<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")

QWEN3 = dict(arch="qwen3", head_dim=128, rotary=128, theta=1e6, context=40960, vocab=151936)
# Qwen3-30B-A3B has 48 layers: give fewer with --layers, the layer is what is measured.
QWEN3_MOE = dict(QWEN3, arch="qwen3moe", experts=128, used=8, expert_ffn=768)
QWEN3_5 = dict(arch="qwen35", head_dim=256, rotary=64, theta=1e7, context=262144, vocab=248320, k_heads=16, dim=128,
               conv=4)
# Layers, hidden, heads, key heads, ffn, value heads of the delta rule, tied (spec of the official checkpoints).
SHAPES = {
    "qwen3-0.6b": dict(QWEN3, layers=28, hidden=1024, heads=16, kv_heads=8, ffn=3072, tied=True),
    "qwen3-1.7b": dict(QWEN3, layers=28, hidden=2048, heads=16, kv_heads=8, ffn=6144, tied=True),
    "qwen3-4b": dict(QWEN3, layers=36, hidden=2560, heads=32, kv_heads=8, ffn=9728, tied=True),
    "qwen3-8b": dict(QWEN3, layers=36, hidden=4096, heads=32, kv_heads=8, ffn=12288, tied=False),
    "qwen3-30b-a3b": dict(QWEN3_MOE, layers=48, hidden=2048, heads=32, kv_heads=4, ffn=6144, tied=False),
    "qwen3.5-0.8b": dict(QWEN3_5, layers=24, hidden=1024, heads=8, kv_heads=2, ffn=3584, v_heads=16, tied=True),
    "qwen3.5-2b": dict(QWEN3_5, layers=24, hidden=2048, heads=8, kv_heads=2, ffn=6144, v_heads=16, tied=True),
    "qwen3.5-4b": dict(QWEN3_5, layers=32, hidden=2560, heads=16, kv_heads=4, ffn=9216, v_heads=32, tied=True),
    "qwen3.5-9b": dict(QWEN3_5, layers=32, hidden=4096, heads=16, kv_heads=4, ffn=12288, v_heads=32, tied=False),
}
TYPES = {"f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}
FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16,
              "bf16": gguf.LlamaFileType.MOSTLY_BF16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
              "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}


def is_attention(shape, layer):
    return shape["arch"] != "qwen35" or layer % 4 == 3


def layer_tensors(shape, layer):
    """(name, dimensions) of matrices and (name, count, kind) of vectors of one layer, without "blk.N."."""
    h, f = shape["hidden"], shape["ffn"]
    hd, heads, kv = shape["head_dim"], shape["heads"], shape["kv_heads"]
    hybrid = shape["arch"] == "qwen35"
    gate = 2 if hybrid else 1
    matrices = [("ffn_gate", f, h), ("ffn_up", f, h), ("ffn_down", h, f)]
    vectors = [("attn_norm.weight", h, "norm"),
               ("post_attention_norm.weight" if hybrid else "ffn_norm.weight", h, "norm")]
    if "experts" in shape:
        experts, f = shape["experts"], shape["expert_ffn"]
        matrices = [("ffn_gate_exps", experts, f, h), ("ffn_up_exps", experts, f, h), ("ffn_down_exps", experts, h, f)]
        vectors += [("ffn_gate_inp.weight", (experts, h), "router")]
    if is_attention(shape, layer):
        matrices += [("attn_q", gate * heads * hd, h), ("attn_k", kv * hd, h), ("attn_v", kv * hd, h),
                     ("attn_output", h, heads * hd)]
        vectors += [("attn_q_norm.weight", hd, "norm"), ("attn_k_norm.weight", hd, "norm")]
    else:
        v_heads, dim = shape["v_heads"], shape["dim"]
        channels = (2 * shape["k_heads"] + v_heads) * dim
        matrices += [("attn_qkv", channels, h), ("attn_gate", v_heads * dim, h), ("ssm_beta", v_heads, h),
                     ("ssm_alpha", v_heads, h), ("ssm_out", h, v_heads * dim)]
        vectors += [("ssm_conv1d.weight", (channels, shape["conv"]), "conv"), ("ssm_a", v_heads, "decay"),
                    ("ssm_dt.bias", v_heads, "step"), ("ssm_norm.weight", dim, "norm")]
    return matrices, vectors


def tensors(shape):
    """Every tensor of the model in file order: (name, dimensions outermost first, kind)."""
    yield "token_embd.weight", (shape["vocab"], shape["hidden"]), "embedding"
    yield "output_norm.weight", (shape["hidden"],), "norm"
    if not shape["tied"]:
        yield "output.weight", (shape["vocab"], shape["hidden"]), "embedding"
    for layer in range(shape["layers"]):
        matrices, vectors = layer_tensors(shape, layer)
        for name, *dimensions in matrices:
            yield f"blk.{layer}.{name}.weight", tuple(dimensions), "matrix"
        for name, count, kind in vectors:
            yield f"blk.{layer}.{name}", count if isinstance(count, tuple) else (count,), kind


def stored_type(kind, wanted):
    if kind not in ("matrix", "embedding"):
        return Type.F32
    # Four bits are too few for the embedding, which is the head too: files in use keep more there.
    return Type.Q8_0 if kind == "embedding" and wanted == Type.Q4_0 else wanted


def vector(rng, dimensions, kind):
    uniform = rng.random(dimensions, dtype=np.float32)
    if kind == "norm":
        return 0.9 + 0.2 * uniform
    if kind == "decay":
        return -(1 + 15 * uniform)
    if kind == "step":
        return -6 + 4 * uniform
    if kind == "router":   # other rows, other experts
        return rng.standard_normal(dimensions, dtype=np.float32) * np.float32(dimensions[1] ** -0.5)
    return 0.5 * (uniform - 0.5)


def matrix(rng, dimensions, kind, normals):
    """Bytes of one matrix, as rows of the stored type; scaled so that outputs are as large as inputs."""
    *rows, columns = dimensions
    spread = columns ** -0.5
    if kind in (Type.Q8_0, Type.Q4_0):
        size = 34 if kind == Type.Q8_0 else 18
        deviation = 73.9 if kind == Type.Q8_0 else 4.6  # of the uniform quants
        blocks = rng.integers(0, 256, (int(np.prod(dimensions)) // 32, size), dtype=np.uint8)
        if kind == Type.Q8_0:
            blocks[blocks == 128] = 0  # -128 does not occur in real files
        blocks[:, :2] = np.frombuffer(np.float16(spread / deviation).tobytes(), np.uint8)
        return blocks.reshape(*rows, columns // 32 * size)
    values = (normals * np.float32(spread))[rng.integers(0, 65536, dimensions, dtype=np.uint16)]
    if kind == Type.F32:
        return values
    if kind == Type.F16:
        return values.astype(np.float16)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def add_metadata(writer, name, shape, file_type):
    writer.add_name(f"{name}, random weights")
    writer.add_file_type(file_type)   # OpenVINO asks for it
    writer.add_block_count(shape["layers"])
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["hidden"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(shape["theta"])
    writer.add_rope_dimension_count(shape["rotary"])
    if "experts" in shape:
        writer.add_expert_count(shape["experts"])
        writer.add_expert_used_count(shape["used"])
        writer.add_expert_feed_forward_length(shape["expert_ffn"])
    if shape["arch"] == "qwen35":
        writer.add_ssm_conv_kernel(shape["conv"])
        writer.add_ssm_state_size(shape["dim"])
        writer.add_ssm_group_count(shape["k_heads"])
        writer.add_ssm_time_step_rank(shape["v_heads"])
        writer.add_ssm_inner_size(shape["v_heads"] * shape["dim"])
        writer.add_rope_dimension_sections([11, 11, 10, 0])
        writer.add_uint32("qwen35.full_attention_interval", 4)


def add_tokenizer(writer, shape):
    vocab = json.loads((DATA / "qwen2-vocab.json").read_text(encoding="utf-8"))
    merges = (DATA / "qwen2-merges.txt").read_text(encoding="utf-8").split("\n")
    tokens = sorted(vocab, key=vocab.get) + ADDED
    types = [gguf.TokenType.NORMAL] * len(vocab)
    types += [gguf.TokenType.CONTROL if t.startswith("<|") else gguf.TokenType.USER_DEFINED for t in ADDED]
    padding = range(len(tokens), shape["vocab"])
    tokens += [f"[PAD{i}]" for i in padding]
    types += [gguf.TokenType.UNUSED] * len(padding)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen35" if shape["arch"] == "qwen35" else "qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m for m in merges if m and not m.startswith("#version")])
    writer.add_bos_token_id(len(vocab))
    writer.add_eos_token_id(len(vocab) + ADDED.index("<|im_end|>"))
    writer.add_pad_token_id(len(vocab))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, help="fewer layers than the real model, a multiple of 4 for qwen3.5")
    arguments = parser.parse_args()

    shape = dict(SHAPES[arguments.shape])
    shape["layers"] = arguments.layers or shape["layers"]
    writer = gguf.GGUFWriter(arguments.out, shape["arch"])
    add_metadata(writer, arguments.shape, shape, FILE_TYPES[arguments.type])
    add_tokenizer(writer, shape)
    plan = [(name, dims, kind, stored_type(kind, TYPES[arguments.type])) for name, dims, kind in tensors(shape)]
    for name, dims, _, stored in plan:
        block, size = gguf.GGML_QUANT_SIZES[stored]
        # A quantized shape is told in bytes; the writer turns it back into elements.
        told = dims if stored in (Type.F32, Type.F16) else (*dims[:-1], dims[-1] // block * size)
        dtype = {Type.F32: np.float32, Type.F16: np.float16}.get(stored, np.uint8)
        bytes_total = int(np.prod(dims)) // block * size
        writer.add_tensor_info(name, told, np.dtype(dtype), bytes_total, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    normals = np.random.default_rng(arguments.seed).standard_normal(65536, dtype=np.float32)
    for index, (_, dims, kind, stored) in enumerate(plan):
        rng = np.random.default_rng([arguments.seed, index])
        data = matrix(rng, dims, stored, normals) if kind in ("matrix", "embedding") else vector(rng, dims, kind)
        writer.write_tensor_data(np.ascontiguousarray(data))
    writer.close()
    print(f"{arguments.out}: {pathlib.Path(arguments.out).stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
