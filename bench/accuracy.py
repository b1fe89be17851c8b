#!/usr/bin/env python3
"""bench/accuracy.py - what speed costs: mean KL divergence from float32 of a model's quantized files, here and in llama.cpp.

    bench/accuracy.py RESULTS.json F32.gguf TEXT --tongyun build/tongyun [--llama DIR] [--isa avx2,avx512bf16]
        [--kv-types auto,f16,q8_0] [--window 4096]

Both read the same file, which `tongyun quantize` makes of the float32 one, and are compared with the same base: the float32
file's logits, with keys and values in float32, in the file format of llama-perplexity --kl-divergence-base. The text is
cut into windows of 512 tokens as llama-perplexity cuts it, each read from an empty context; predictions of the second
half of a window count. As there, the base has 16 bits for a logarithm and ends 16 below the largest. The row f32 says how
far llama.cpp's float32 is from ours: conventions match when it is near 0.

Keys and values are of the type that each program chooses (of the row f32: float32); --kv-types measures the same file with
others, here and there: the difference is what they cost. --window makes windows longer, and so the past that is attended to.
"""
import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np

WINDOW = 512
FIRST = WINDOW // 2             # its logits are the first that count
ROWS = WINDOW - 1 - FIRST
PART = 256                      # rows in memory as float64
RANGE = 16.0
TYPES = ["f32", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "q4_1", "iq4_nl", "iq4_xs", "mxfp4"]
MEAN_KL = re.compile(r"Mean\s+KLD:\s*(-?[\d.]+)")


def set_window(tokens):
    global WINDOW, FIRST, ROWS
    WINDOW, FIRST = tokens, tokens // 2
    ROWS = WINDOW - 1 - FIRST


# ---- the base file -------------------------------------------------------------------------------------------------------

def base_header(vocab, tokens):
    return b"_logits_" + struct.pack("<Iii", WINDOW, vocab, len(tokens) // WINDOW) + np.asarray(tokens, "<i4").tobytes()


def row_words(vocab):
    """16-bit words of a row: two floats and a word for each token, to an even number."""
    return 2 * ((vocab + 1) // 2) + 4


def base_rows(logits):
    """Rows of the file: step and smallest logarithm as float32, then steps above it."""
    logits = logits.astype(np.float64)
    vocab = logits.shape[1]
    most = logits.max(-1, keepdims=True)
    least = np.maximum(logits.min(-1, keepdims=True), most - RANGE)
    smallest = (least - most - np.log(np.exp(logits - most).sum(-1, keepdims=True))).astype(np.float32)
    step = ((most - least) / 65535).astype(np.float32)
    rows = np.zeros((len(logits), row_words(vocab)), np.uint16)
    rows[:, :4] = np.concatenate([step, smallest], -1).view(np.uint16)
    rows[:, 4:4 + vocab] = np.clip(np.rint((logits - least) / np.maximum(step, 1e-30)), 0, 65535)
    return rows


def base_log_probs(rows, vocab):
    head = np.ascontiguousarray(rows[:, :4]).view(np.float32).astype(np.float64)
    return head[:, :1] * rows[:, 4:4 + vocab] + head[:, 1:]


def kl(rows, logits):
    """Of each row of a base: the sum over tokens of p (ln p - ln q), without those that the base has cut off."""
    base = base_log_probs(rows, logits.shape[1])
    logits = logits.astype(np.float64)
    most = logits.max(-1, keepdims=True)
    other = logits - most - np.log(np.exp(logits - most).sum(-1, keepdims=True))
    return (np.where(base > -RANGE, np.exp(base), 0) * (base - other)).sum(-1)


# ---- programs ------------------------------------------------------------------------------------------------------------

def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, **more)
    if done.returncode != 0:
        sys.exit(f"accuracy.py: {' '.join(map(str, command))}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def window_logits(tongyun, model, tokens, options):
    """Of the second half of a window, without the last: it predicts what nobody knows."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "logits.npy")
        run(tongyun, "logits", model, "--tokens", "-", "--out", out, *options, input=" ".join(map(str, tokens)).encode())
        return np.load(out, mmap_mode="r")[FIRST:FIRST + ROWS].copy()


def windows_of(tongyun, model, text, count):
    with open(text, "rb") as file:
        tokens = json.loads(subprocess.run([tongyun, "tokenize", model, "--json"], stdin=file, capture_output=True,
                                           check=True).stdout)
    if len(tokens) < count:
        sys.exit(f"accuracy.py: {text} has {len(tokens)} tokens, {count} are wanted")
    tokens = tokens[:count // WINDOW * WINDOW]
    return [tokens[at:at + WINDOW] for at in range(0, len(tokens), WINDOW)]


def write_base(path, tongyun, model, windows, options):
    """Windows are read as they are: a model that wants bos before each is none of Qwen's."""
    with open(path + ".new", "wb") as file:
        for index, window in enumerate(windows):
            logits = window_logits(tongyun, model, window, options)
            if index == 0:
                file.write(base_header(logits.shape[1], [token for w in windows for token in w]))
            for at in range(0, ROWS, PART):
                file.write(base_rows(logits[at:at + PART]).tobytes())
    os.replace(path + ".new", path)


def read_base(path):
    """(vocabulary, rows of each window)"""
    with open(path, "rb") as file:
        magic, _window, vocab, count = struct.unpack("<8sIii", file.read(20))
        assert magic == b"_logits_", path
    at = 20 + 4 * count * WINDOW
    return vocab, np.memmap(path, np.uint16, "r", at, (count, ROWS, row_words(vocab)))


def is_base_of(path, windows):
    if not os.path.exists(path):
        return False
    tokens = np.asarray(windows, "<i4").tobytes()
    with open(path, "rb") as file:
        head = file.read(20 + len(tokens))
    return struct.unpack("<i", head[16:20])[0] == len(windows) and head[20:] == tokens


def our_kl(tongyun, model, base, windows, options):
    _vocab, rows = read_base(base)
    values = []
    for i, window in enumerate(windows):
        logits = window_logits(tongyun, model, window, options)
        values += [kl(rows[i][at:at + PART], logits[at:at + PART]) for at in range(0, ROWS, PART)]
    return float(np.concatenate(values).mean())


def parse_mean_kl(text):
    match = MEAN_KL.search(text)
    return float(match.group(1)) if match else None


def their_kl(llama, model, base, options):
    return parse_mean_kl(run(os.path.join(llama, "llama-perplexity"), "-m", model, "-c", WINDOW, "--kl-divergence",
                             "--kl-divergence-base", base, *options))


# ---- the table -----------------------------------------------------------------------------------------------------------

def name_of(program, kv_type):
    return program if kv_type == "auto" else f"{program}, {kv_type}"


def table_rows(row, isas, kv_types):
    """Cells of one file, a line for each type of keys and values."""
    for kv_type in kv_types:
        ours = [row.get(name_of(isa, kv_type)) for isa in isas]
        theirs = row.get(name_of("llama.cpp", kv_type))
        known = [value for value in ours if value is not None]
        cells = ["-" if value is None else f"{value:.6f}" for value in [*ours, theirs]]
        yield kv_type, [*cells, f"{max(known) / theirs:.2f}" if theirs and known else "-"]


def table(results, types, isas, kv_types=("auto",)):
    several = ["keys and values"] if tuple(kv_types) != ("auto",) else []
    heads = ["type", "bits a weight", *several, *isas, "llama.cpp", "ratio"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for kind in types:
        row = results.get(kind, {})
        for kv_type, cells in table_rows(row, isas, kv_types):
            if kind == "f32":
                cells[-1] = "-"
            about = [kind, f"{row.get('bits', 0):.2f}", *([kv_type] if several else [])]
            lines.append("| " + " | ".join([*about, *cells]) + " |")
    return lines


def our_options(a, kind, isa, kv_type):
    kv_type = "f32" if kv_type == "auto" and kind == "f32" else kv_type
    return ["-t", a.threads, "--kv-type", kv_type, *(["--isa", isa] if isa != "best" else [])]


def their_options(a, kind, kv_type):
    if kv_type == "auto":
        return ["-t", a.threads, *(["-ctk", "f32", "-ctv", "f32", "-fa", "off"] if kind == "f32" else [])]
    return ["-t", a.threads, "-ctk", kv_type, "-ctv", kv_type, "-fa", "on"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--tongyun", default="build/tongyun")
    parser.add_argument("--llama", help="the folder of llama-perplexity")
    parser.add_argument("--isa", default="best", help="instruction sets, by commas; without: the best one")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--kv-types", default="auto", help="of keys and values, by commas: auto f32 f16 bf16 q8_0")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    return parser.parse_args()


def main():
    a = arguments()
    set_window(a.window)
    isas, kv_types = a.isa.split(","), a.kv_types.split(",")
    path = pathlib.Path(a.results)
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    windows = windows_of(a.tongyun, a.model, a.text, a.tokens)
    base = str(path) + ".base"
    if not is_base_of(base, windows):
        write_base(base, a.tongyun, a.model, windows, ["--kv-type", "f32"])

    def keep(kind, who, measure, *options):
        if a.again or results.setdefault(kind, {}).get(who) is None:
            results.setdefault(kind, {})[who] = value = measure(*options)
            path.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(f"{kind} {who}: {value}", file=sys.stderr, flush=True)

    for kind in a.types.split(","):
        file = f"{path}.{kind}.gguf" if kind != "f32" else a.model
        if not os.path.exists(file):
            run(a.tongyun, "quantize", a.model, file, "--type", kind)
        size = json.loads(run(a.tongyun, "show", file, "--json"))
        keep(kind, "bits", lambda x: 8 * x["size_bytes"] / x["parameters"], size)
        for kv_type in kv_types:
            for isa in isas:
                keep(kind, name_of(isa, kv_type), our_kl, a.tongyun, file, base, windows,
                     our_options(a, kind, isa, kv_type))
            if a.llama:
                keep(kind, name_of("llama.cpp", kv_type), their_kl, a.llama, file, base,
                     their_options(a, kind, kv_type))
    print("\n".join(table(results, a.types.split(","), isas, kv_types)))


if __name__ == "__main__":
    main()
