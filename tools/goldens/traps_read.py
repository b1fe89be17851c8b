"""tools/goldens/traps_read.py - mistakes in how a file is read, for check_traps.py.

Each takes a base and gives the weights that a program would compute with that made the mistake.
"""
import numpy as np

import ggufs
import golden_source


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


def untiled_in_vain(model):
    """The V heads of a qwen3next GGUF, which lie grouped, taken for tiled."""
    def change(name, w):
        return ggufs.ungroup(name, w, model.config)
    return spoil(model.weights, change)


def packed_as_split(model, parts=("qkv", "z", "b", "a")):
    """in_proj_qkvz and _ba cut into q | k | v | z and b | a without regard to the groups."""
    c = model.config
    packed = golden_source.pack_deltanet(model.weights, c)
    values = c["linear_num_value_heads"] * c["linear_value_head_dim"]

    def change(name, w):
        for part, where, rows in (("qkv", "qkvz", slice(0, -values)),
                                  ("z", "qkvz", slice(-values, None)),
                                  ("b", "ba", slice(0, len(w))),
                                  ("a", "ba", slice(len(w), None))):
            if f"in_proj_{part}." in name and part in parts:
                return packed[name.replace(f"in_proj_{part}.", f"in_proj_{where}.")][rows]
        return None
    return spoil(model.weights, change)


def one_added_twice(model):
    """1+w on the norms of a GGUF, which have their one already."""
    return spoil(model.weights, lambda name, w: w + 1.0 if name.endswith("norm.weight")
                 and not name.endswith("linear_attn.norm.weight") else None)


def ssm_a_as_a_log(model):
    return spoil(model.weights, lambda name, w: -np.exp(w) if name.endswith("A_log") else None)


def still_paired(model, kind=""):
    """Rows of a llama GGUF's q and k left in adjacent pairs."""
    return spoil(model.weights, lambda name, w:
                 ggufs.pair_rows(name, w, model.config) if kind in name else None)


def b_and_a_swapped(model):
    """ssm_ba, or in_proj_ba, with a before b in each group."""
    def change(name, _):
        for part, other in (("in_proj_b.", "in_proj_a."), ("in_proj_a.", "in_proj_b.")):
            if part in name:
                return model.weights[name.replace(part, other)]
        return None
    return spoil(model.weights, change)


def experts_by_name(model):
    """Experts in the order of their names: 10 before 2."""
    count = model.config["num_experts"]
    order = sorted(range(count), key=str)

    def change(name, _):
        if ".experts." not in name:
            return None
        head, tail = name.split(".experts.")
        index, rest = tail.split(".", 1)
        return model.weights[f"{head}.experts.{order[int(index)]}.{rest}"]
    return spoil(model.weights, change)


def gate_and_up(model, name):
    """The two of the expert that name is one of."""
    head = name.rsplit(".", 2)[0]
    return model.weights[head + ".gate_proj.weight"], model.weights[head + ".up_proj.weight"]


def up_before_gate(model):
    """Stacked experts with the halves of gate_up_proj exchanged."""
    def change(name, _):
        if ".experts." not in name or "down_proj" in name:
            return None
        gate, up = gate_and_up(model, name)
        return up if "gate_proj" in name else gate
    return spoil(model.weights, change)


def interleaved_halves(model):
    """gate_up_proj read as alternating rows of gate and up."""
    def change(name, _):
        if ".experts." not in name or "down_proj" in name:
            return None
        gate, up = gate_and_up(model, name)
        both = np.concatenate([gate, up])
        return both[0::2] if "gate_proj" in name else both[1::2]
    return spoil(model.weights, change)


# (what is wrong, base, spoiled weights)
READING = (
    ("GGUF V heads left tiled", "qwen3_5", still_tiled),
    ("GGUF V heads left tiled", "qwen3_5_moe", still_tiled),
    ("GGUF V heads permuted once more, not back", "qwen3_5", tiled_twice),
    ("GGUF columns of ssm_out left tiled", "qwen3_5", lambda m: still_tiled(m, "out_proj")),
    ("GGUF rows of attn_gate left tiled", "qwen3_5", lambda m: still_tiled(m, "in_proj_z")),
    ("GGUF V channels of ssm_conv1d left tiled", "qwen3_5", lambda m: still_tiled(m, "conv1d")),
    ("GGUF ssm_alpha left tiled", "qwen3_5", lambda m: still_tiled(m, "in_proj_a")),
    ("GGUF ssm_dt left tiled", "qwen3_5", lambda m: still_tiled(m, "dt_bias")),
    ("GGUF V heads of qwen3next taken for tiled", "qwen3_next", untiled_in_vain),
    ("GGUF norms with one added again", "qwen3_5", one_added_twice),
    ("GGUF norms with one added again", "qwen3_next", one_added_twice),
    ("GGUF ssm_a taken for A_log", "qwen3_5", ssm_a_as_a_log),
    ("GGUF ssm_a taken for A_log", "qwen3_next", ssm_a_as_a_log),
    ("GGUF rows of llama's q and k left in pairs", "llama", still_paired),
    ("GGUF rows of llama's q and k left in pairs", "llama_mini", still_paired),
    ("GGUF biases of llama's q and k left in pairs", "llama_mini",
     lambda m: still_paired(m, ".bias")),
    ("packed in_proj_qkvz read without its groups", "qwen3_5_mini", packed_as_split),
    ("packed in_proj_qkvz read without its groups", "qwen3_next",
     lambda m: packed_as_split(m, ("qkv", "z"))),
    ("packed in_proj_ba, or ssm_ba, read without its groups", "qwen3_next",
     lambda m: packed_as_split(m, ("b", "a"))),
    ("packed in_proj_ba, or ssm_ba, with a before b", "qwen3_next", b_and_a_swapped),
    ("experts in the order of their names", "qwen3_moe", experts_by_name),
    ("stacked experts: up rows first", "qwen3_moe", up_before_gate),
    ("stacked experts: up rows first", "qwen3_5_moe", up_before_gate),
    ("stacked experts: rows of gate and up alternate", "qwen3_5_moe", interleaved_halves),
)
