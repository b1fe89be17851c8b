"""tools/goldens/compare_layers.py - finds the first place where two forward passes part.

    tongyun logits tests/golden/checkpoints/qwen3_5-bf16 --tokens tests/golden/tokens/len7.txt \\
        --out /tmp/l.npy --kv-type f32 --dump-layers /tmp/d
    python tools/goldens/compare_layers.py tests/golden/layers/qwen3_5.npz /tmp/d

Each side is an .npz or a directory of .npy files, named as the README of this folder says. Values
are compared in the order in which a forward pass makes them, and the mistake lies between the last
point that agrees and the first that differs. Keys and values must be kept in float32 (--kv-type f32):
in half of that they differ by 1e-3 and are not wrong. Exit status 1 if any point differs.
"""
import argparse
import sys
from pathlib import Path

import numpy as np

# Inside one layer, in the order of computation.
ORDER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_gate", "attn_o", "attn_gated", "attn_out",
         "gdn_conv", "gdn_q", "gdn_k", "gdn_beta", "gdn_g", "gdn_o", "gdn_gated", "gdn_out",
         "ffn_norm", "ffn_out", "out")
V_HEADS_ON_AXIS_1 = ("gdn_beta", "gdn_g", "gdn_o", "gdn_gated")


def load(path):
    """name -> float64 array."""
    if path.is_dir():
        return {p.name.removesuffix(".npy"): np.load(p).astype(np.float64)
                for p in path.glob("*.npy")}
    with np.load(path) as archive:
        return {name: archive[name].astype(np.float64) for name in archive.files}


def place(name):
    """Sort key: embed, then layer by layer, then final_norm and logits."""
    if name.startswith("layer."):
        _, layer, point = name.split(".", 2)
        return (1, int(layer), ORDER.index(point) if point in ORDER else len(ORDER))
    return ({"embed": 0, "final_norm": 2, "logits": 3}.get(name, 4), 0, 0)


def points(names):
    """Names of dump points without their layers, in order, each once."""
    return dict.fromkeys(name.rsplit(".", 1)[-1] for name in sorted(names, key=place))


def grouped(dumps, key_heads):
    """V heads of a run on a qwen35 GGUF, from tiled (v = k + nk*j) to grouped (v = k*r + j)."""
    out = {}
    for name, x in dumps.items():
        point = name.rsplit(".", 1)[-1]
        if point in V_HEADS_ON_AXIS_1:
            x = x.reshape(x.shape[0], -1, key_heads, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
        elif point == "gdn_conv":
            k = dumps[name.replace("gdn_conv", "gdn_k")]
            keys = k.shape[1] * k.shape[2]
            v = x[:, 2 * keys:]
            heads = dumps[name.replace("gdn_conv", "gdn_g")].shape[1]
            v = v.reshape(len(x), heads // key_heads, key_heads, -1).swapaxes(1, 2)
            x = np.concatenate([x[:, :2 * keys], v.reshape(len(x), -1)], axis=1)
        out[name] = x
    return out


def describe(a, b, limit):
    """A line about the difference of two arrays, and whether it is within the limit."""
    if a.size != b.size:
        return f"shapes {a.shape} and {b.shape}", False
    b = b.reshape(a.shape)
    difference = np.abs(a - b)
    difference[np.isnan(difference)] = np.inf
    scale = max(float(np.abs(a).max()), 1e-30)
    where = np.unravel_index(int(difference.argmax()), a.shape)
    rms = float(np.sqrt(np.mean((a - b) ** 2) / max(float(np.mean(a ** 2)), 1e-60)))
    text = (f"max {difference.max():.3e} of {scale:.3e} at {[int(i) for i in where]}: "
            f"{a[where]:.6g} and {b[where]:.6g}, relative rms {rms:.2e}")
    return text, bool(difference.max() <= limit * scale)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("want", type=Path)
    parser.add_argument("got", type=Path)
    parser.add_argument("--limit", type=float, default=1e-4,
                        help="largest difference, as a share of the largest value (1e-4)")
    parser.add_argument("--gguf-key-heads", type=int, default=0, metavar="NK",
                        help="the second side ran a qwen35 GGUF with NK key heads")
    parser.add_argument("--all", action="store_true", help="print every point")
    args = parser.parse_args()
    want, got = load(args.want), load(args.got)
    if args.gguf_key_heads:
        got = grouped(got, args.gguf_key_heads)
    first, before = None, "the input"
    for name in sorted(want.keys() & got.keys(), key=place):
        text, same = describe(want[name], got[name], args.limit)
        if args.all:
            print(f"{'  ' if same else '! '}{name:22s} {text}")
        if not same and first is None:
            first = f"{name}: {text}\nlast that agrees: {before}"
        if first is None:
            before = name
    for title, names in (("only in the first", want.keys() - got.keys()),
                         ("only in the second", got.keys() - want.keys())):
        if names:
            print(f"{title}: {' '.join(points(names))}")
    compared = len(want.keys() & got.keys())
    if compared == 0:
        print("nothing to compare")
        return 1
    print(f"first difference: {first}" if first else f"{compared} points agree")
    return 1 if first else 0


if __name__ == "__main__":
    sys.exit(main())
