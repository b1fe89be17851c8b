"""tools/goldens/check_traps.py - shows that the goldens catch each known mistake.

    python tools/goldens/check_traps.py            # writes tests/golden/traps.md

Makes one mistake at a time, in the arithmetic (reference.py) or in how a file is read, on the input
of 65 tokens, and measures how far the logits move. Fails if one moves them by less than ten times
what a correct program may differ by.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import checkpoints
import ggufs
import golden_files
import make_goldens
import reference
import small_models
import tiny_tokenizer

LEAST_RATIO = 10.0
TOKENS = 65
BOTH = ("qwen3", "qwen3_mini", "qwen3_5", "qwen3_5_mini")
PLAIN, DELTA = BOTH[:2], BOTH[2:]
UNTIED = ("qwen3_mini", "qwen3_5_mini")

# trap of reference.py -> (what is wrong, bases that have the thing at all)
ARITHMETIC = {
    "norm_plain": ("zero-centred norms with w, not 1+w", DELTA),
    "norm_plus_one": ("plain norms with 1+w", PLAIN),
    "norm_eps_missing": ("RMS norms without epsilon", BOTH),
    "qk_norm_missing": ("q and k not normed", BOTH),
    "qk_norm_after_rope": ("q and k normed after rope", BOTH),
    "rope_whole_head": ("rope pairs (i, i + hd/2) of the whole head, not of its rotary part",
                        DELTA),
    "rope_adjacent": ("rope pairs (2i, 2i+1)", BOTH),
    "rope_theta_1e4": ("rope base 10000", BOTH),
    "rope_freq_of_head": ("rope exponents over the head, not over its rotary part", DELTA),
    "gqa_modulo": ("query head j reads KV head j mod Hk", BOTH),
    "attn_scale_missing": ("scores without hd^-1/2", BOTH),
    "not_causal": ("no causal mask", BOTH),
    "gate_interleave": ("q_proj read as all queries, then all gates", DELTA),
    "gate_swapped": ("q_proj read as gate first, then query, per head", DELTA),
    "gate_missing": ("attention output not gated", DELTA),
    "gate_silu": ("attention gated with silu, not sigmoid", DELTA),
    "conv_after_activation": ("conv state keeps activated values", DELTA),
    "conv_no_activation": ("no silu after the convolution", DELTA),
    "conv_reversed": ("convolution taps in reverse", DELTA),
    "l2_missing": ("DeltaNet q and k not L2-normed", DELTA),
    "l2_eps_missing": ("L2 norm without epsilon", DELTA),
    "l2_eps_mean": ("L2 epsilon added to the mean of squares", DELTA),
    "q_scale_missing": ("DeltaNet q without dk^-1/2", DELTA),
    "v_head_order": ("v-head j reads k-head j mod nk", DELTA),
    "a_log_not_exp": ("decay from A_log, not exp(A_log)", DELTA),
    "a_log_bf16": ("a float32 A_log rounded to BF16", ("qwen3_5",)),
    "dt_bias_missing": ("no dt_bias", DELTA),
    "softplus_missing": ("decay without softplus", DELTA),
    "softplus_naive": ("softplus as log(1 + exp(x)) in float32", DELTA),
    "beta_no_sigmoid": ("beta without sigmoid", DELTA),
    "beta_on_value_only": ("beta on v but not on what is read back", DELTA),
    "decay_after_read": ("state read before it decays", DELTA),
    "delta_missing": ("nothing read back (plain linear attention)", DELTA),
    "state_bf16": ("recurrent state in BF16", DELTA),
    "delta_norm_plus_one": ("linear_attn.norm with 1+w", DELTA),
    "delta_norm_eps_missing": ("linear_attn.norm without epsilon", DELTA),
    "gate_before_norm": ("linear_attn: gated, then normed", DELTA),
    "z_sigmoid": ("linear_attn gated with sigmoid, not silu", DELTA),
    "swiglu_swapped": ("silu on up, not on gate", BOTH),
    "tied_ignored": ("lm_head ignored, embedding used", UNTIED),
}


def spoil(weights, change):
    """Weights with change(name, w) applied; None leaves one as it is."""
    out = {}
    for name, w in weights.items():
        spoiled = change(name, w)
        out[name] = w if spoiled is None else spoiled
    return out


def still_tiled(model, only=""):
    """The V heads of a qwen35 GGUF left as they lie, in all tensors or in some."""
    return spoil(model.weights, lambda name, w:
                 ggufs.tile_v_heads(name, w, model.config) if only in name else None)


def tiled_twice(model):
    """The V heads of a qwen35 GGUF permuted once more instead of back."""
    def change(name, w):
        once = ggufs.tile_v_heads(name, w, model.config)
        return ggufs.tile_v_heads(name, once, model.config)
    return spoil(model.weights, change)


def packed_as_split(model):
    """in_proj_qkvz and _ba cut into q | k | v | z and b | a without regard to the groups."""
    c = model.config
    packed = checkpoints.pack_deltanet(model.weights, c)
    values = c["linear_num_value_heads"] * c["linear_value_head_dim"]

    def change(name, w):
        for part, where, rows in (("in_proj_qkv.", "qkvz", slice(0, -values)),
                                  ("in_proj_z.", "qkvz", slice(-values, None)),
                                  ("in_proj_b.", "ba", slice(0, len(w))),
                                  ("in_proj_a.", "ba", slice(len(w), None))):
            if part in name:
                return packed[name.replace(part, f"in_proj_{where}.")][rows]
        return None
    return spoil(model.weights, change)


def one_added_twice(model):
    """1+w on the norms of a GGUF, which have their one already."""
    return spoil(model.weights, lambda name, w: w + 1.0 if name.endswith("norm.weight")
                 and not name.endswith("linear_attn.norm.weight") else None)


def ssm_a_as_a_log(model):
    return spoil(model.weights, lambda name, w: -np.exp(w) if name.endswith("A_log") else None)


# (what is wrong, base, spoiled weights)
READING = (
    ("GGUF V heads left tiled", "qwen3_5", still_tiled),
    ("GGUF V heads permuted once more, not back", "qwen3_5", tiled_twice),
    ("GGUF columns of ssm_out left tiled", "qwen3_5", lambda m: still_tiled(m, "out_proj")),
    ("GGUF rows of attn_gate left tiled", "qwen3_5", lambda m: still_tiled(m, "in_proj_z")),
    ("GGUF V channels of ssm_conv1d left tiled", "qwen3_5", lambda m: still_tiled(m, "conv1d")),
    ("GGUF ssm_alpha left tiled", "qwen3_5", lambda m: still_tiled(m, "in_proj_a")),
    ("GGUF ssm_dt left tiled", "qwen3_5", lambda m: still_tiled(m, "dt_bias")),
    ("GGUF norms with one added again", "qwen3_5", one_added_twice),
    ("GGUF ssm_a taken for A_log", "qwen3_5", ssm_a_as_a_log),
    ("packed in_proj_qkvz read without its groups", "qwen3_5_mini", packed_as_split),
)


class Table:
    """Rows of traps.md."""

    def __init__(self, root):
        vocab, _, added = tiny_tokenizer.tiny_vocab()
        self.root, self.real = root, len(vocab) + len(added)
        self.models = {name: small_models.make_one(name, self.real) for name in BOTH}
        text = (root / "tokens" / f"len{TOKENS}.txt").read_text()
        self.ids = [int(x) for x in text.split()]
        self.right = {name: self.run(m.config, m.weights) for name, m in self.models.items()}
        self.rows, self.weak = [], []

    def run(self, config, weights, **how):
        return reference.forward(config, weights, self.ids, **how)[0][:, :self.real]

    def add(self, title, base, got, want, kind="float"):
        largest, relative = make_goldens.distance(np.nan_to_num(got, nan=1e9), want)
        limit = make_goldens.CLASSES[kind]
        if np.isnan(got).any():
            self.rows.append(f"| {title} | {base} | not a number | | |")
            return
        ratio = largest / limit["max_abs"]
        self.rows.append(f"| {title} | {base} | {largest:.3g} | {relative:.2g} | {ratio:,.0f} |")
        if ratio < LEAST_RATIO:
            self.weak.append(f"{title} on {base}: {ratio:.1f} times the limit")

    def arithmetic(self):
        assert set(ARITHMETIC) == reference.TRAPS, set(ARITHMETIC) ^ reference.TRAPS
        for trap, (title, bases) in ARITHMETIC.items():
            for base in bases:
                model = self.models[base]
                got = self.run(model.config, model.weights, traps=[trap])
                self.add(title, base, got, self.right[base])

    def reading(self):
        for title, base, spoiled in READING:
            model = self.models[base]
            self.add(title, base, self.run(model.config, spoiled(model)), self.right[base])
        for base in UNTIED:
            config = {**self.models[base].config, "rms_norm_eps": 1e-6}
            self.add("rms_norm_eps taken as 1e-6, not from the file", base,
                     self.run(config, self.models[base].weights), self.right[base])
        file = next(f for f in golden_files.GGUFS if f.own_head)
        model = self.models[file.base]
        weights = ggufs.read_back(self.root, model, file)
        self.add("output.weight of a tied GGUF ignored", Path(file.path).stem,
                 self.run(model.config, weights, traps=["tied_ignored"]),
                 self.run(model.config, weights))

    def padding(self):
        """Rows whose argmax would fall on a padding row."""
        lines = []
        for name, model in self.models.items():
            logits = reference.forward(model.config, model.weights, self.ids)[0]
            wrong = int((logits.argmax(1) >= self.real).sum())
            lines.append(f"| {name} | {wrong} of {len(logits)} |")
            if wrong * 4 < len(logits):
                self.weak.append(f"padding rows win too rarely in {name}")
        return lines

    def text(self, padding):
        limit = make_goldens.CLASSES["float"]["max_abs"]
        return "\n".join([
            "# What the goldens catch", "",
            "Written by `tools/goldens/check_traps.py`: one mistake at a time, on the input of",
            f"{TOKENS} tokens; how far the logits of the real vocabulary move from the float64",
            "reference. \"Times\": the largest change over the limit of class `float`"
            f" ({limit:g});",
            f"below {LEAST_RATIO:.0f} the script fails.", "",
            "| mistake | base | largest | relative rms | times |", "|---|---|---|---|---|",
            *self.rows, "",
            "Padding rows not masked: positions where a padding row would be sampled.", "",
            "| base | argmax is padding |", "|---|---|", *padding, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--golden", type=Path, default=here / "tests" / "golden")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(args.golden)
    table.arithmetic()
    table.reading()
    text = table.text(table.padding())
    (args.golden / "traps.md").write_text(text, encoding="utf-8")
    for line in table.weak:
        print("too weak:", line)
    print(f"{len(table.rows)} mistakes, {len(table.weak)} too weak")
    return 1 if table.weak else 0


if __name__ == "__main__":
    sys.exit(main())
