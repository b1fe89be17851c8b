"""tools/goldens/check_traps.py - shows that the goldens catch each known mistake.

    python tools/goldens/check_traps.py            # writes tests/golden/traps.md

Makes one mistake at a time, in the arithmetic (reference.py) or in how a file is read (traps_read),
on an input of 65 tokens, and measures how far the logits move. Fails if one moves them by less than
ten times what a correct program may differ by.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import ggufs
import golden_files
import make_goldens
import reference
import small_models
import tiny_tokenizer
from small_configs import BASES, QK_NORM, ZERO_CENTRED, has_bias
from traps_read import READING

LEAST_RATIO = 10.0
TOKENS = 65
# Bases without quantized files only: those have weights of their own.
NAMES = tuple(name for name in BASES if not name.endswith(("_groups", "_tiles", "_blocks")))


def having(condition):
    """Names of the bases whose configuration and architecture have the thing."""
    return tuple(n for n in NAMES if condition(BASES[n].config, BASES[n].arch))


ALL = NAMES
DELTA = having(lambda c, arch: arch in ZERO_CENTRED)
PLAIN = having(lambda c, arch: arch not in ZERO_CENTRED)
NORMED = having(lambda c, arch: arch in QK_NORM)
GROUPED = having(lambda c, arch: 1 < c["num_key_value_heads"] < c["num_attention_heads"])
EXPERTS = having(lambda c, arch: "num_experts" in c)
SHARED = having(lambda c, arch: "shared_expert_intermediate_size" in c)
UNTIED = having(lambda c, arch: not c["tie_word_embeddings"])
BIASED = having(lambda c, arch: has_bias(c)[0])
BIASED_OUT = having(lambda c, arch: has_bias(c)[1])
OTHER_THETA = having(lambda c, arch: c["rope_theta"] != 1e4)
WINDOW = having(lambda c, arch: c.get("use_sliding_window"))


def scaled(kind):
    return having(lambda c, arch: c.get("rope_scaling", {}).get("rope_type") == kind)


YARN, LLAMA3 = scaled("yarn"), scaled("llama3")
SCALED = YARN + LLAMA3 + scaled("linear")
# The one whose A_log has all bits of float32, and which is not small enough to forget it.
FINE_DECAY = ("qwen3_5",)
# Twice as many experts as are used, or softmax hardly tells all from the chosen.
TIES = ("qwen3_moe_mini", "qwen2_moe", "qwen3_next_mini")

# trap of reference.py -> (what is wrong, bases that have the thing at all)
ARITHMETIC = {
    "norm_plain": ("zero-centred norms with w, not 1+w", DELTA),
    "norm_plus_one": ("plain norms with 1+w", PLAIN),
    "norm_eps_missing": ("RMS norms without epsilon", ALL),
    "qk_norm_missing": ("q and k not normed", NORMED),
    "qk_norm_after_rope": ("q and k normed after rope", NORMED),
    "bias_missing": ("no biases on q, k and v", BIASED),
    "bias_after_norm": ("biases of q and k added after their norm", ("qwen3_bias",)),
    "bias_o_missing": ("no bias on o", BIASED_OUT),
    "bias_mlp_missing": ("no biases in the feed-forward part", ("llama_mini",)),
    "rope_whole_head": ("rope pairs (i, i + hd/2) of the whole head, not of its rotary part",
                        DELTA),
    "rope_adjacent": ("rope pairs (2i, 2i+1)", ALL),
    "rope_theta_1e4": ("rope base 10000", OTHER_THETA),
    "rope_freq_of_head": ("rope exponents over the head, not over its rotary part", DELTA),
    "scaling_ignored": ("rope scaling ignored", SCALED),
    "yarn_no_factor": ("yarn without its factor on cos and sin", YARN),
    "yarn_factor_on_cos": ("yarn's factor on cos only", YARN),
    "yarn_ramp_sharp": ("yarn without a ramp", YARN),
    "yarn_all_stretched": ("yarn as linear scaling, with the factor", YARN),
    "llama3_sharp": ("llama3 scaling without a band between", LLAMA3),
    "llama3_all_stretched": ("llama3 scaling as linear scaling", LLAMA3),
    "gqa_modulo": ("query head j reads KV head j mod Hk", GROUPED),
    "attn_scale_missing": ("scores without hd^-1/2", ALL),
    "not_causal": ("no causal mask", ALL),
    "window_ignored": ("sliding window ignored", WINDOW),
    "window_longer": ("sliding window one token longer", WINDOW),
    "window_shorter": ("sliding window one token shorter", WINDOW),
    "window_everywhere": ("sliding window in every layer", WINDOW),
    "window_other_layers": ("sliding window below max_window_layers", WINDOW),
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
    "a_log_bf16": ("a float32 A_log rounded to BF16", FINE_DECAY),
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
    "router_norm_flipped": ("norm_topk_prob taken the other way: softmax over the chosen experts",
                            EXPERTS),
    "router_ties_high": ("experts that tie: the higher index first", TIES),
    "router_one_less": ("one expert less per token", EXPERTS),
    "router_bf16": ("router in BF16", EXPERTS),
    "router_weight_on_input": ("expert's input weighted, not its output", EXPERTS),
    "shared_missing": ("no shared expert", SHARED),
    "shared_gate_missing": ("shared expert without its gate", SHARED),
    "shared_gate_raw": ("shared expert's gate without sigmoid", SHARED),
    "swiglu_swapped": ("silu on up, not on gate", ALL),
    "tied_ignored": ("lm_head ignored, embedding used", UNTIED),
}


class Table:
    """Rows of traps.md."""

    def __init__(self, root):
        vocab, _, added = tiny_tokenizer.tiny_vocab()
        self.root, self.real = root, len(vocab) + len(added)
        self.models = {name: small_models.make_one(name, self.real) for name in NAMES}
        text = (root / "tokens" / f"len{TOKENS}.txt").read_text()
        self.ids = [int(x) for x in text.split()]
        self.right = {name: self.run(m.config, m.weights) for name, m in self.models.items()}
        self.rows, self.weak = [], []

    def run(self, config, weights, **how):
        """Logits at the positions that are kept of any base."""
        first, end, step = make_goldens.kept_positions("", TOKENS)
        return reference.forward(config, weights, self.ids, **how)[0][first:end:step, :self.real]

    def add(self, title, base, got, want):
        largest, relative = make_goldens.distance(np.nan_to_num(got, nan=1e9), want)
        if np.isnan(got).any():
            self.rows.append(f"| {title} | {base} | not a number | | |")
            return
        ratio = largest / make_goldens.CLASSES["float"]["max_abs"]
        self.rows.append(f"| {title} | {base} | {largest:.3g} | {relative:.2g} | {ratio:,.0f} |")
        if ratio < LEAST_RATIO:
            self.weak.append(f"{title} on {base}: {ratio:.1f} times the limit")

    def arithmetic(self):
        assert set(ARITHMETIC) == reference.TRAPS, set(ARITHMETIC) ^ reference.TRAPS
        for trap, (title, bases) in ARITHMETIC.items():
            assert bases, trap
            for base in bases:
                model = self.models[base]
                got = self.run(model.config, model.weights, traps=[trap])
                self.add(title, base, got, self.right[base])

    def reading(self):
        for title, base, spoiled in READING:
            model = self.models[base]
            self.add(title, base, self.run(model.config, spoiled(model)), self.right[base])
        for base in ("qwen3_mini", "qwen3_5_mini", "llama"):
            config = {**self.models[base].config, "rms_norm_eps": 1e-6}
            self.add("rms_norm_eps taken as 1e-6, not from the file", base,
                     self.run(config, self.models[base].weights), self.right[base])
        file = next(f for f in golden_files.GGUFS if f.own_head)
        model = self.models[file.base]
        weights = ggufs.read_back(self.root, model, file)
        self.add("output.weight of a tied GGUF ignored", Path(file.path).stem,
                 self.run(model.config, weights, traps=["tied_ignored"]),
                 self.run(model.config, weights))

    def rounding(self):
        """Activations in float16, which large models overflow besides: round_input is of projections."""
        for base, model in self.models.items():
            got = self.run(model.config, model.weights, round_input=lambda _, x: x.half().to(x.dtype))
            self.add("activations rounded to float16", base, got, self.right[base])

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
            "| base | argmax is padding |", "|---|---|", *padding, "",
            "Not in this table: which layers are dense (`mlp_only_layers`, `decoder_sparse_step`) and",
            "that the experts of Qwen3-VL-MoE are transposed. Who takes it another way does not find",
            "the tensors, or finds other shapes. Angles at positions beyond 100,000 and int8 activations",
            "with one scale for a whole row: `tests/chip/program_test.c` and class `quant`.", ""])


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
    table.rounding()
    text = table.text(table.padding())
    (args.golden / "traps.md").write_text(text, encoding="utf-8")
    for line in table.weak:
        print("too weak:", line)
    print(f"{len(table.rows)} mistakes, {len(table.weak)} too weak")
    return 1 if table.weak else 0


if __name__ == "__main__":
    sys.exit(main())
