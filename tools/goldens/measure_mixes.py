"""Which tensor llama.cpp gives which type: what tests/model/quantize_mix_test.c compares with.

    python tools/goldens/measure_mixes.py path/to/llama-quantize > tests/data/quantize_mixes.json

Files of the right names and layers, tiny and of zeros, go through `llama-quantize --dry-run`. For each mix the JSON has
the tensors whose type is not the mix's own: F32 where they stay as they are.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

MIXES = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0", "q5_1": "Q5_1", "q2_k": "Q2_K",
         "q3_k": "Q3_K_M", "q4_k": "Q4_K_M", "q5_k": "Q5_K_M", "q6_k": "Q6_K", "iq4_nl": "IQ4_NL", "iq4_xs": "IQ4_XS",
         "mxfp4": "MXFP4_MOE", "f16": "F16"}
# Layers, hidden, feed-forward, heads, key heads, experts, tied.
CASES = {
    "qwen3-tied": dict(arch="qwen3", layers=28, hidden=256, ffn=512, heads=4, kv=2, tied=True),
    "qwen3-untied": dict(arch="qwen3", layers=10, hidden=256, ffn=512, heads=8, kv=2, tied=False),
    "qwen2-narrow": dict(arch="qwen2", layers=3, hidden=96, ffn=256, heads=3, kv=1, tied=True),
    "llama-wide": dict(arch="llama", layers=80, hidden=256, ffn=256, heads=8, kv=1, tied=False),
    "qwen3moe": dict(arch="qwen3moe", layers=9, hidden=256, ffn=256, heads=8, kv=1, experts=16, tied=False),
    "qwen2moe-eight": dict(arch="qwen2moe", layers=4, hidden=256, ffn=256, heads=2, kv=2, experts=8, shared=True,
                           tied=False),
    "qwen35": dict(arch="qwen35", layers=12, hidden=256, ffn=512, heads=4, kv=1, tied=True),
    "qwen35moe": dict(arch="qwen35moe", layers=9, hidden=256, ffn=256, heads=8, kv=1, experts=16, shared=True, tied=False),
    "qwen3next": dict(arch="qwen3next", layers=8, hidden=256, ffn=256, heads=4, kv=2, experts=16, shared=True, tied=False),
}
DELTA = ("qwen35", "qwen35moe", "qwen3next")


def block(case, layer):
    """(name, shape outermost first) of one block."""
    h, f, dim = case["hidden"], case["ffn"], 32
    experts = case.get("experts", 0)
    if case["arch"] in DELTA and layer % 4 != 3:
        step = (("ssm_ba", (4, h)),) if case["arch"] == "qwen3next" else (("ssm_alpha", (2, h)), ("ssm_beta", (2, h)))
        yield from (("attn_qkv", (96, h)), ("attn_gate", (32, h)), *step,
                    ("ssm_conv1d", (96, 4)), ("ssm_out", (h, 32)), ("ssm_norm", (16,)))
    else:
        q, kv = case["heads"] * dim, case["kv"] * dim
        yield from (("attn_q", (q, h)), ("attn_k", (kv, h)), ("attn_v", (kv, h)), ("attn_output", (h, q)),
                    ("attn_q_norm", (dim,)))
    yield "attn_norm", (h,)
    if experts:
        yield from (("ffn_gate_inp", (experts, h)), ("ffn_gate_exps", (experts, f, h)),
                    ("ffn_up_exps", (experts, f, h)), ("ffn_down_exps", (experts, h, f)))
    else:
        yield from (("ffn_gate", (f, h)), ("ffn_up", (f, h)), ("ffn_down", (h, f)))
    if case.get("shared"):
        yield from (("ffn_gate_inp_shexp", (1, h)), ("ffn_gate_shexp", (f, h)), ("ffn_up_shexp", (f, h)),
                    ("ffn_down_shexp", (h, f)))


def tensors(case):
    yield "token_embd.weight", (64, case["hidden"])
    yield "output_norm.weight", (case["hidden"],)
    if not case["tied"]:
        yield "output.weight", (64, case["hidden"])
    for layer in range(case["layers"]):
        for name, shape in block(case, layer):
            yield f"blk.{layer}.{name}.weight", shape


def write(case, path):
    writer = gguf.GGUFWriter(path, case["arch"])
    writer.add_block_count(case["layers"])
    writer.add_context_length(64)
    writer.add_embedding_length(case["hidden"])
    writer.add_feed_forward_length(case["ffn"])
    writer.add_head_count(case["heads"])
    writer.add_head_count_kv(case["kv"])
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(64)
    writer.add_rope_dimension_sections([4, 4, 4, 0])
    if case.get("experts"):
        writer.add_expert_count(case["experts"])
        writer.add_expert_used_count(2)
        writer.add_expert_feed_forward_length(case["ffn"])
    if case["arch"] in DELTA:
        for add, value in ((writer.add_ssm_conv_kernel, 4), (writer.add_ssm_state_size, 16),
                           (writer.add_ssm_group_count, 2), (writer.add_ssm_time_step_rank, 2),
                           (writer.add_ssm_inner_size, 32)):
            add(value)
    for name, shape in tensors(case):
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def chosen(program, path, label):
    """name -> type of all tensors, "F32" where they stay."""
    run = subprocess.run([program, "--dry-run", path, "/dev/null", label], capture_output=True, text=True, check=True)
    types = {}
    for line in (run.stdout + run.stderr).splitlines():
        match = re.match(r"\[ *\d+/ *\d+\] +(\S+) +- \[.*\], type = +(\w+), size = .*?(?:\((\w+)\))?$", line)
        if match:
            types[match[1]] = (match[3] or match[2]).upper()
    return types


def place(name):
    """A tensor's name without its block, and the block or None."""
    match = re.match(r"blk\.(\d+)\.(.*)", name)
    return (match[2], int(match[1])) if match else (name, None)


def shapes(case):
    """name -> {"shape", "blocks"}."""
    found = {}
    for full_name, shape in tensors(case):
        name, block_number = place(full_name)
        entry = found.setdefault(name, {"shape": list(shape), "blocks": []})
        if block_number is not None:
            entry["blocks"].append(block_number)
    return found


def deviations(types, own):
    """name -> type -> blocks, of what is not of the mix's own type."""
    found = {}
    for full_name, quant_type in types.items():
        name, block_number = place(full_name)
        if quant_type != own:
            found.setdefault(name, {}).setdefault(quant_type, []).append(block_number)
    return found


def describe(program, case, folder):
    path = str(folder / "model.gguf")
    write(case, path)
    mixes = {mix: chosen(program, path, label) for mix, label in MIXES.items() if mix != "mxfp4" or "experts" in case}
    assert all(len(types) == len(list(tensors(case))) for types in mixes.values())
    return {"model": case, "tensors": shapes(case),
            "mixes": {mix: deviations(types, mix.upper()) for mix, types in mixes.items()}}


def main():
    version = subprocess.run([sys.argv[1].replace("llama-quantize", "llama-tokenize"), "--version"],
                             capture_output=True, text=True, check=False)
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: describe(sys.argv[1], case, pathlib.Path(folder)) for name, case in CASES.items()}
    command = "python tools/goldens/measure_mixes.py llama-quantize"
    label = "llama.cpp " + (version.stdout + version.stderr).splitlines()[0].removeprefix("version: ")
    print(json.dumps({"command": command, "version": label, "cases": cases}, separators=(",", ":")))


if __name__ == "__main__":
    main()
