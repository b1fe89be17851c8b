"""tools/goldens/checkpoints.py - writes a small model as the directories that users meet.

One Layout says how: names, number format, shards, spelling of config.json, tokenizer files.
"""
import json
import os
import re
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import quantized_weights
from checkpoint_config import config_json, token_id
from golden_source import pack_deltanet, stack_experts
from small_models import keep_float32, make_mtp
from tiny_tokenizer import CHAT_TEMPLATE, tiny_vocab, tokenizer_config

DTYPE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

# Canonical name -> stored name, by style of checkpoint; "beside" has a vision tower beside it.
PREFIXES = {
    "text": (("model.", "model."), ("lm_head.", "lm_head.")),
    "beside": (("model.", "model."), ("lm_head.", "lm_head.")),
    "nested": (("model.", "model.language_model."), ("lm_head.", "lm_head.")),
    "older": (("model.", "language_model.model."), ("lm_head.", "language_model.lm_head.")),
    "bare": (("model.", ""), ("lm_head.", "lm_head.")),
}


@dataclass
class Layout:
    """How one directory stores its model."""
    folder: str
    base: str                     # the small model
    dtype: str
    names: str = "text"           # see PREFIXES
    spelling: str = "new"         # "new": rope_parameters, dtype; "old": rope_theta, torch_dtype
    shards: tuple = ("model.safetensors",)
    packed: bool = False          # DeltaNet projections as in qwen3_next, which always has them so
    experts: str = "each"         # "each": a tensor per expert; "stacked": [E, 2f, h] and [E, h, f];
                                  # "transposed": [E, h, 2f] and [E, f, h], as in Qwen3-VL-MoE
    extras: tuple = ()            # tensors to be skipped: "vision", a few of "mtp", or "mtp block"
    keep_f32: bool = False        # see keep_float32()
    interval: bool = False        # full_attention_interval instead of layer_types
    mrope: tuple = ()             # mrope_section, for text parts of models that have none else
    tokenizer: str = "json"       # "json": tokenizer.json; "files": vocab.json and merges.txt
    template: str = "config"      # "config": in tokenizer_config.json; "file": *.jinja
    quantization: quantized_weights.Quantization = None


def stored_name(name, layout):
    for canonical, stored in PREFIXES[layout.names]:
        if name.startswith(canonical):
            return stored + name[len(canonical):]
    raise AssertionError(name)


def is_packed(model, layout):
    return layout.packed or model.arch == "qwen3_next"


def extra_tensors(model, layout):
    """A few tensors of the vision tower and of the MTP head: a text loader skips them."""
    hidden = model.config["hidden_size"]
    noise = np.random.default_rng(9).standard_normal

    def draw(*shape):
        return torch.from_numpy(noise(shape).astype(np.float32)).to(torch.bfloat16)
    tower = {
        "patch_embed.proj.weight": draw(16, 3, 2, 4, 4), "patch_embed.proj.bias": draw(16),
        "blocks.0.norm1.weight": draw(16), "merger.linear_fc2.weight": draw(hidden, 64)}
    mtp = {
        "mtp.fc.weight": draw(hidden, 2 * hidden),
        "mtp.layers.0.input_layernorm.weight": draw(hidden),
        "mtp.layers.0.self_attn.q_norm.weight": draw(model.config.get("head_dim", 8)),
        "mtp.norm.weight": draw(hidden)}
    prefix = "visual." if layout.names == "beside" else "model.visual."
    found = {prefix + k: t for k, t in tower.items()} if "vision" in layout.extras else {}
    return found | (mtp if "mtp" in layout.extras else {})


MTP_NAMES = {"nextn.eh_proj.weight": "fc.weight", "nextn.enorm.weight":
             "pre_fc_norm_embedding.weight", "nextn.hnorm.weight": "pre_fc_norm_hidden.weight",
             "nextn.shared_head_norm.weight": "norm.weight"}


def mtp_block(model, layout):
    """stored name -> torch tensor"""
    prefix = f"model.layers.{model.config['num_hidden_layers']}."
    found = {}
    for name, w in make_mtp(model).items():
        rest = name.removeprefix(prefix)
        stored = "mtp." + MTP_NAMES.get(rest, "layers.0." + rest)
        found[stored] = torch.from_numpy(np.ascontiguousarray(w)).to(DTYPE[layout.dtype])
    return found


def arranged(model, layout):
    """Weights under the names and in the shapes of the layout, still in float32."""
    weights = dict(model.weights)
    if is_packed(model, layout):
        weights = pack_deltanet(weights, model.config)
    if layout.experts != "each":
        weights = stack_experts(weights, model.config)
    if layout.experts == "transposed":
        weights = {k: w.swapaxes(1, 2) if ".experts." in k else w for k, w in weights.items()}
    return weights


def quantized(model, layout):
    """Canonical names of the projections that are stored in the quantized form."""
    return {name.removesuffix(".weight") for name in model.weights
            if quantized_weights.wants(layout.quantization, name)}


def stored_tensors(model, layout):
    """stored name -> torch tensor, exactly as it goes to the file."""
    tensors = {}
    for name, w in arranged(model, layout).items():
        stored = stored_name(name, layout)
        if layout.quantization and quantized_weights.wants(layout.quantization, name):
            tensors |= {stored.removesuffix("weight") + part: t for part, t in
                        quantized_weights.encode(w, layout.quantization).items()}
            continue
        dtype = DTYPE[layout.dtype]
        if layout.keep_f32 and keep_float32(name):
            dtype = torch.float32
        tensors[stored] = torch.from_numpy(np.ascontiguousarray(w)).to(dtype)
        assert np.array_equal(tensors[stored].to(torch.float32).numpy(), w), (name, dtype)
    if "mtp block" in layout.extras:
        tensors |= mtp_block(model, layout)
    return tensors | extra_tensors(model, layout)


def write_json(path, tree):
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(folder, tensors, shards):
    """One file, or several with an index; a single file of another name has an index too."""
    names = sorted(tensors)
    share = -(-len(names) // len(shards))
    weight_map = {}
    for i, shard in enumerate(shards):
        part = {n: tensors[n] for n in names[i * share:(i + 1) * share]}
        save_file(part, folder / shard, metadata={"format": "pt"})
        weight_map |= {n: shard for n in part}
    if shards != ("model.safetensors",):
        total = sum(t.numel() * t.element_size() for t in tensors.values())
        write_json(folder / "model.safetensors.index.json",
                   {"metadata": {"total_size": total}, "weight_map": weight_map})


def link(folder, name, target):
    """A relative link to a file of the shared tokenizer, as the caches of the hubs do it."""
    path = folder / name
    path.unlink(missing_ok=True)
    os.symlink(os.path.join("..", "..", "tokenizer", target), path)


def tokenizer_of(arch):
    return "tokenizer35.json" if arch.startswith("qwen3_5") else "tokenizer.json"


def write_tokenizer(folder, layout, arch):
    _, _, added = tiny_vocab()
    if layout.tokenizer == "json":
        link(folder, "tokenizer.json", tokenizer_of(arch))
    else:
        link(folder, "vocab.json", "vocab.json")
        link(folder, "merges.txt", "merges.txt")
    inside = CHAT_TEMPLATE if layout.template == "config" else None
    write_json(folder / "tokenizer_config.json", tokenizer_config(added, inside))
    if layout.template == "file":
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    write_json(folder / "generation_config.json",
               {"do_sample": True, "pad_token_id": token_id("<|endoftext|>"),
                "eos_token_id": [token_id("<|im_end|>"), token_id("<|endoftext|>")],
                "temperature": 0.6, "top_k": 20, "top_p": 0.95})


def write(root, model, layout):
    """Writes the directory root/layout.folder."""
    folder = root / layout.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, stored_tensors(model, layout), layout.shards)
    write_json(folder / "config.json", config_json(model, layout, stored_name))
    write_tokenizer(folder, layout, model.arch)


def read_back(root, model, layout):
    """Canonical weights from the written files, unpacked by other code than wrote them."""
    found = {}
    for shard in layout.shards:
        found |= load_file(root / layout.folder / shard)
    return {name: read_one(found, name, model, layout) for name in model.weights}


def read_one(found, name, model, layout):
    stored = stored_name(name, layout)
    if layout.quantization and quantized_weights.wants(layout.quantization, name):
        stem = stored.removesuffix("weight")
        return quantized_weights.decode(
            {k.removeprefix(stem): t for k, t in found.items() if k.startswith(stem)},
            layout.quantization)
    if is_packed(model, layout) and ".in_proj_" in name:
        return unpack_one(found, stored, model.config)
    if layout.experts != "each" and ".experts." in name:
        return unstack_one(found, stored, model.config, layout.experts == "transposed")
    return found[stored].to(torch.float32).numpy()


def unstack_one(found, name, config, transposed):
    """One projection of one expert out of a stack."""
    stem, index, part = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)_proj\.weight", name).groups()
    stack = found[f"{stem}.{'down_proj' if part == 'down' else 'gate_up_proj'}"]
    w = stack[int(index)].to(torch.float32).numpy()
    w = w.T if transposed else w
    ffn = config["moe_intermediate_size"]
    return {"gate": w[:ffn], "up": w[ffn:], "down": w}[part]


def unpack_one(found, name, config):
    """The rows of one split projection out of the packed ones, index by index."""
    heads, dk = config["linear_num_key_heads"], config["linear_key_head_dim"]
    r = config["linear_num_value_heads"] // heads
    dv = config["linear_value_head_dim"]
    stem, part = name[:-len(".weight")].rsplit("in_proj_", 1)
    packed = found[f"{stem}in_proj_{'ba' if part in 'ba' else 'qkvz'}.weight"]
    group = packed.shape[0] // heads
    spans = {"q": (0, dk), "k": (dk, dk), "v": (2 * dk, r * dv), "z": (2 * dk + r * dv, r * dv),
             "b": (0, r), "a": (r, r)}
    rows = [h * group + spans[p][0] + i
            for p in part for h in range(heads) for i in range(spans[p][1])]
    return packed.to(torch.float32).numpy()[rows]
