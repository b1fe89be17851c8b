"""tools/goldens/checkpoints.py - writes a small model as the directories that users meet.

One Layout says how: names, number format, shards, spelling of config.json, tokenizer files.
"""
import json
import os
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import quantized_weights
from golden_source import rope_parameters
from small_models import keep_float32, layer_types
from tiny_tokenizer import CHAT_TEMPLATE, tiny_vocab, tokenizer_config

DTYPE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
TORCH_NAME = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

# Canonical name -> stored name, by style of checkpoint.
PREFIXES = {
    "text": (("model.", "model."), ("lm_head.", "lm_head.")),
    "nested": (("model.", "model.language_model."), ("lm_head.", "lm_head.")),
    "older": (("model.", "language_model.model."), ("lm_head.", "language_model.lm_head.")),
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
    packed: bool = False          # DeltaNet projections as in qwen3_next
    extras: bool = False          # tensors of vision and MTP, to be skipped
    keep_f32: bool = False        # see keep_float32()
    interval: bool = False        # full_attention_interval instead of layer_types
    tokenizer: str = "json"       # "json": tokenizer.json; "files": vocab.json and merges.txt
    template: str = "config"      # "config": in tokenizer_config.json; "file": *.jinja
    quantization: quantized_weights.Quantization = None


def stored_name(name, style):
    for canonical, stored in PREFIXES[style]:
        if name.startswith(canonical):
            return stored + name[len(canonical):]
    raise AssertionError(name)


def token_id(token):
    """The id of an added token of the tiny tokenizer."""
    return next(i for t, i, _ in tiny_vocab()[2] if t == token)


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


def config_json(model, layout):
    """config.json in one of the spellings that are in use."""
    text = {k: v for k, v in model.config.items()
            if k not in ("architectures", "rope_theta", "partial_rotary_factor", "mrope_section",
                         "full_attention_interval")}
    # As in the releases: Qwen3 says <|im_end|> here, Qwen3.5 only <|endoftext|>.
    end = "<|im_end|>" if model.arch == "qwen3" else "<|endoftext|>"
    text |= {"bos_token_id": None, "eos_token_id": token_id(end),
             "pad_token_id": token_id("<|endoftext|>")}
    if model.arch == "qwen3_5" and layout.interval:
        text["full_attention_interval"] = model.config["full_attention_interval"]
    elif model.arch == "qwen3_5" or layout.spelling == "new":
        text["layer_types"] = layer_types(model.config)
    if layout.spelling == "new":
        text |= {"rope_parameters": rope_parameters(model.config),
                 "dtype": TORCH_NAME[layout.dtype], "transformers_version": "5.24.0"}
    else:
        text |= {"rope_theta": model.config["rope_theta"], "rope_scaling": None,
                 "torch_dtype": TORCH_NAME[layout.dtype], "transformers_version": "4.57.1"}
        if model.arch == "qwen3_5":
            text["partial_rotary_factor"] = model.config["partial_rotary_factor"]
            text["rope_scaling"] = {"type": "default", "mrope_interleaved": True,
                                    "mrope_section": model.config["mrope_section"]}
    if layout.quantization:
        kept = [stored_name(name, layout.names).removesuffix(".weight")
                for name, w in model.weights.items()
                if w.ndim == 2 and "embed_tokens" not in name
                and not quantized_weights.wants(layout.quantization, name)]
        text["quantization_config"] = quantized_weights.settings(layout.quantization, kept)
    if layout.names == "text":
        return {"architectures": model.config["architectures"], **text}
    return {
        "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5",
        "image_token_id": token_id("<|image_pad|>"), "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "tie_word_embeddings": text["tie_word_embeddings"],
        "text_config": {**text, "mtp_num_hidden_layers": 1, "output_gate_type": "swish"},
        "vision_config": {
            "model_type": "qwen3_5", "depth": 1, "hidden_size": 16, "intermediate_size": 32,
            "num_heads": 2, "in_channels": 3, "patch_size": 4, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "num_position_embeddings": 16,
            "out_hidden_size": text["hidden_size"], "deepstack_visual_indexes": []},
    }


def extra_tensors(model):
    """A few tensors of the vision tower and of the MTP head: a text loader skips them."""
    hidden = model.config["hidden_size"]
    noise = np.random.default_rng(9).standard_normal

    def draw(*shape):
        return torch.from_numpy(noise(shape).astype(np.float32)).to(torch.bfloat16)
    return {
        "model.visual.patch_embed.proj.weight": draw(16, 3, 2, 4, 4),
        "model.visual.patch_embed.proj.bias": draw(16),
        "model.visual.blocks.0.norm1.weight": draw(16),
        "model.visual.merger.linear_fc2.weight": draw(hidden, 64),
        "mtp.fc.weight": draw(hidden, 2 * hidden),
        "mtp.layers.0.input_layernorm.weight": draw(hidden),
        "mtp.layers.0.self_attn.q_norm.weight": draw(model.config["head_dim"]),
        "mtp.norm.weight": draw(hidden),
    }


def stored_tensors(model, layout):
    """stored name -> torch tensor, exactly as it goes to the file."""
    weights = pack_deltanet(model.weights, model.config) if layout.packed else model.weights
    tensors = {}
    for name, w in weights.items():
        if layout.quantization and quantized_weights.wants(layout.quantization, name):
            stem = stored_name(name, layout.names).removesuffix("weight")
            tensors |= {stem + part: t for part, t in
                        quantized_weights.encode(w, layout.quantization).items()}
            continue
        dtype = DTYPE[layout.dtype]
        if layout.keep_f32 and keep_float32(name):
            dtype = torch.float32
        stored = torch.from_numpy(np.ascontiguousarray(w)).to(dtype)
        assert np.array_equal(stored.to(torch.float32).numpy(), w), (name, "does not fit", dtype)
        tensors[stored_name(name, layout.names)] = stored
    if layout.extras:
        tensors |= extra_tensors(model)
    return tensors


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


def write_tokenizer(folder, layout, arch):
    _, _, added = tiny_vocab()
    if layout.tokenizer == "json":
        link(folder, "tokenizer.json", "tokenizer.json" if arch == "qwen3" else "tokenizer35.json")
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
    write_json(folder / "config.json", config_json(model, layout))
    write_tokenizer(folder, layout, model.arch)


def read_back(root, model, layout):
    """Canonical weights from the written files, unpacked by other code than wrote them."""
    found = {}
    for shard in layout.shards:
        found |= load_file(root / layout.folder / shard)
    weights = {}
    for name in model.weights:
        stored = stored_name(name, layout.names)
        if layout.quantization and quantized_weights.wants(layout.quantization, name):
            stem = stored.removesuffix("weight")
            weights[name] = quantized_weights.decode(
                {k.removeprefix(stem): t for k, t in found.items() if k.startswith(stem)},
                layout.quantization)
        elif layout.packed and ".in_proj_" in name:
            weights[name] = unpack_one(found, stored, model.config)
        else:
            weights[name] = found[stored].to(torch.float32).numpy()
    return weights


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
