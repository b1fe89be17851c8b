#!/usr/bin/env python3
"""bench/make_random_model.py - a GGUF file of an official shape with random weights: for measuring speed, where
what the numbers say does not matter.

    make_random_model.py qwen3-0.6b q8_0 OUT.gguf

Needs numpy and gguf (tests/requirements.txt pins them). The same seed gives the same file.
"""
import argparse

import gguf
import numpy as np

SHAPES = {
    # hidden, layers, ffn, heads, kv heads, head dim, rotary dims, vocabulary; DeltaNet: k heads, v heads, dim
    "qwen3-0.6b": ("qwen3", 1024, 28, 3072, 16, 8, 128, 128, 151936, None),
    "qwen3-1.7b": ("qwen3", 2048, 28, 6144, 16, 8, 128, 128, 151936, None),
    "qwen3.5-0.8b": ("qwen35", 1024, 24, 3584, 8, 2, 256, 64, 248320, (16, 16, 128)),
}
TYPES = {
    "f16": gguf.GGMLQuantizationType.F16, "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0,
}


def byte_tokens():
    """The 256 bytes in GPT-2's alphabet."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]


class Maker:
    def __init__(self, path, arch, kind, seed):
        self.writer = gguf.GGUFWriter(path, arch)
        self.kind = TYPES[kind]
        self.random = np.random.default_rng(seed)

    def matrix(self, name, rows, columns):
        spread = 1.5 / np.sqrt(columns)
        if self.kind == gguf.GGMLQuantizationType.Q8_0:
            data = self.blocks(rows, columns // 32, 32, spread / 127)
        elif self.kind == gguf.GGMLQuantizationType.Q4_0:
            data = self.blocks(rows, columns // 32, 16, spread / 8)
        else:
            data = self.halves(rows, columns, spread)
        self.writer.add_tensor(name, data, raw_dtype=self.kind)

    def blocks(self, rows, count, size, scale):
        """A float16 scale and `size` random bytes each; -128 does not occur in real Q8_0 files."""
        data = self.random.integers(0, 256, (rows, count, 2 + size), dtype=np.uint8)
        data[..., 2:][data[..., 2:] == 128] = 0
        data[..., :2] = np.frombuffer(np.float16(scale).tobytes(), dtype=np.uint8)
        return data.reshape(rows, count * (2 + size))

    def halves(self, rows, columns, spread):
        values = (self.random.random((rows, columns), dtype=np.float32) - 0.5) * np.float32(2 * spread)
        if self.kind == gguf.GGMLQuantizationType.F16:
            return values.astype(np.float16)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)

    def vector(self, name, count, base, spread):
        values = base + spread * (2 * self.random.random(count, dtype=np.float32) - 1)
        self.writer.add_tensor(name, values.astype(np.float32))


def add_keys(w, shape):
    arch, hidden, layers, ffn, heads, kv_heads, head_dim, rotary, vocab, delta = shape
    w.add_block_count(layers)
    w.add_context_length(40960)
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(ffn)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_rope_dimension_count(rotary)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    if delta:
        w.add_uint32(f"{arch}.full_attention_interval", 4)
        w.add_ssm_conv_kernel(4)
        w.add_ssm_state_size(delta[2])
        w.add_ssm_group_count(delta[0])
        w.add_ssm_time_step_rank(delta[1])
        w.add_ssm_inner_size(delta[1] * delta[2])
        w.add_array(f"{arch}.rope.dimension_sections", [11, 11, 10, 0])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen35" if delta else "qwen2")
    w.add_token_list(byte_tokens() + [f"[PAD{i}]" for i in range(256, vocab)])
    w.add_token_types([1] * vocab)
    w.add_token_merges([])
    w.add_eos_token_id(0)


def add_attention(m, prefix, hidden, heads, kv_heads, head_dim, gate):
    m.matrix(prefix + "attn_q.weight", heads * head_dim * (2 if gate else 1), hidden)
    m.matrix(prefix + "attn_k.weight", kv_heads * head_dim, hidden)
    m.matrix(prefix + "attn_v.weight", kv_heads * head_dim, hidden)
    m.matrix(prefix + "attn_output.weight", hidden, heads * head_dim)
    m.vector(prefix + "attn_q_norm.weight", head_dim, 1.5, 0.3)
    m.vector(prefix + "attn_k_norm.weight", head_dim, 1.5, 0.3)


def add_delta(m, prefix, hidden, delta):
    k_heads, v_heads, dim = delta
    channels = (2 * k_heads + v_heads) * dim
    m.matrix(prefix + "attn_qkv.weight", channels, hidden)
    m.matrix(prefix + "attn_gate.weight", v_heads * dim, hidden)
    m.matrix(prefix + "ssm_alpha.weight", v_heads, hidden)
    m.matrix(prefix + "ssm_beta.weight", v_heads, hidden)
    m.vector(prefix + "ssm_conv1d.weight", (channels, 4), 0, 0.7)
    m.vector(prefix + "ssm_a", v_heads, -0.5, 0.45)
    m.vector(prefix + "ssm_dt.bias", v_heads, 0, 1)
    m.vector(prefix + "ssm_norm.weight", dim, 1, 0.2)
    m.matrix(prefix + "ssm_out.weight", hidden, v_heads * dim)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    arch, hidden, layers, ffn, heads, kv_heads, head_dim, _, vocab, delta = shape
    m = Maker(arguments.out, arch, arguments.type, arguments.seed)
    add_keys(m.writer, shape)
    m.matrix("token_embd.weight", vocab, hidden)
    m.vector("output_norm.weight", hidden, 1, 0.2)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        m.vector(prefix + "attn_norm.weight", hidden, 1, 0.2)
        m.vector(prefix + ("post_attention_norm" if delta else "ffn_norm") + ".weight", hidden, 1, 0.2)
        if delta and (layer + 1) % 4 != 0:
            add_delta(m, prefix, hidden, delta)
        else:
            add_attention(m, prefix, hidden, heads, kv_heads, head_dim, delta is not None)
        m.matrix(prefix + "ffn_gate.weight", ffn, hidden)
        m.matrix(prefix + "ffn_up.weight", ffn, hidden)
        m.matrix(prefix + "ffn_down.weight", hidden, ffn)
    m.writer.write_header_to_file()
    m.writer.write_kv_data_to_file()
    m.writer.write_tensors_to_file()
    m.writer.close()


if __name__ == "__main__":
    main()
