#!/usr/bin/env python3
"""Turns a llama2.c checkpoint and its tokenizer into a model directory: config.json, model.safetensors, tokenizer.json.

    tools/convert_llama2c.py stories260K.bin tok512.bin OUT

The checkpoint (github.com/karpathy/llama2.c, version 0): 7 x i32 dim, hidden, layers, heads, kv heads, vocab (negative: the
head is not tied), positions; then f32 embedding, attention norms, wq, wk, wv, wo, feed-forward norms, w1 (gate), w2 (down), w3
(up), final norm. Its rotary pairs are neighbours; here they are halves, so the rows of q and k change places.

The tokenizer merges characters of the whole text by score, bytes stand for what is not in the vocabulary. The same as
byte-level BPE: every way to put a piece together from two others is a merge, at the rank of the piece's score.
"""
import json
import os
import struct
import sys

import numpy as np

SPECIAL = ["<unk>", "<s>", "</s>"]      # ids 0 to 2, then 256 bytes, then pieces


def read_checkpoint(path):
    with open(path, "rb") as file:
        data = file.read()
    dim, hidden, layers, heads, kv_heads, vocab, positions = struct.unpack("<7i", data[:28])
    tied, vocab = vocab > 0, abs(vocab)
    values, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        at += size
        if at > len(values):
            sys.exit(f"{path}: ends inside its weights")
        return values[at - size:at].reshape(shape)

    kv_dim = dim // heads * kv_heads
    parts = {"embed": take(vocab, dim), "attn_norm": take(layers, dim), "q": take(layers, dim, dim),
             "k": take(layers, kv_dim, dim), "v": take(layers, kv_dim, dim), "o": take(layers, dim, dim),
             "ffn_norm": take(layers, dim), "gate": take(layers, hidden, dim), "down": take(layers, dim, hidden),
             "up": take(layers, hidden, dim), "norm": take(dim)}
    if not tied:
        take(2, positions, dim // heads // 2)     # cosines and sines, computed anew by everybody
        parts["head"] = take(vocab, dim)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
              "head_dim": dim // heads, "vocab_size": vocab, "max_position_embeddings": positions, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "tie_word_embeddings": tied, "hidden_act": "silu", "torch_dtype": "float32",
              "bos_token_id": 1, "eos_token_id": 2}
    return config, parts


def halves_from_pairs(weight, heads):
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensors(config, parts):
    out = {"model.embed_tokens.weight": parts["embed"], "model.norm.weight": parts["norm"]}
    if "head" in parts:
        out["lm_head.weight"] = parts["head"]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        out[layer + "input_layernorm.weight"] = parts["attn_norm"][i]
        out[layer + "post_attention_layernorm.weight"] = parts["ffn_norm"][i]
        out[layer + "self_attn.q_proj.weight"] = halves_from_pairs(parts["q"][i], config["num_attention_heads"])
        out[layer + "self_attn.k_proj.weight"] = halves_from_pairs(parts["k"][i], config["num_key_value_heads"])
        out[layer + "self_attn.v_proj.weight"] = parts["v"][i]
        out[layer + "self_attn.o_proj.weight"] = parts["o"][i]
        for name in ("gate", "up", "down"):
            out[layer + f"mlp.{name}_proj.weight"] = parts[name][i]
    return out


def write_safetensors(path, named):
    header, data = {}, []
    at = 0
    for name, values in named.items():
        data.append(np.ascontiguousarray(values, "<f4").tobytes())
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + len(data[-1])]}
        at += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def read_pieces(path, count):
    with open(path, "rb") as file:
        data = file.read()
    pieces, at = [], 4      # the longest piece's size comes first
    for _ in range(count):
        score, size = struct.unpack_from("<fi", data, at)
        pieces.append((data[at + 8:at + 8 + size], score))
        at += 8 + size
    return pieces


def byte_alphabet():
    """GPT-2's: each byte as a printable character."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


def tokenizer_json(pieces):
    alphabet = byte_alphabet()
    spell = lambda piece: "".join(alphabet[b] for b in piece)
    ids = {name: i for i, name in enumerate(SPECIAL)}
    first = len(SPECIAL) + 256
    for i, (piece, _) in enumerate(pieces[first:]):
        ids[spell(piece)] = first + i
    for byte in range(256):                 # a byte that is a piece as well is written as the piece
        ids.setdefault(alphabet[byte], len(SPECIAL) + byte)
    merges = []
    for piece, _ in sorted(pieces[first:], key=lambda p: -p[1]):
        word = spell(piece)
        merges += [[word[:cut], word[cut:]] for cut in range(1, len(word)) if word[:cut] in ids and word[cut:] in ids]
    added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, name in enumerate(SPECIAL)]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": ids,
                      "merges": merges}}


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    checkpoint, pieces, out = sys.argv[1:]
    config, parts = read_checkpoint(checkpoint)
    os.makedirs(out, exist_ok=True)
    write_safetensors(os.path.join(out, "model.safetensors"), tensors(config, parts))
    for name, document in (("config", config), ("tokenizer", tokenizer_json(read_pieces(pieces, config["vocab_size"])))):
        with open(os.path.join(out, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False)


if __name__ == "__main__":
    main()
