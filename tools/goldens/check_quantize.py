"""tools/goldens/check_quantize.py - others read what `tongyun quantize` writes, and find in it what they would write.

    python tools/goldens/check_quantize.py TONGYUN LLAMA_CPP_BIN MODEL.gguf [TYPE...]

MODEL is in float32. For each type the gguf package reads the file, and of each tensor the floats that the program itself
makes of it; llama-quantize gives each tensor the same type and writes the same keys; llama-perplexity has the perplexity
of `tongyun perplexity` within its error.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from measure_mixes import MIXES

TEXT = Path(__file__).resolve().parents[2] / "tests" / "real" / "shakespeare.txt"
CONTEXT, WINDOWS = 256, 2


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr[-2000:])
    return done.stdout + done.stderr


def described(path):
    """Types and shapes of its tensors, and its keys."""
    file = gguf.GGUFReader(path)
    return ({t.name: (t.tensor_type.name, tuple(t.shape)) for t in file.tensors},
            {name: field.contents() for name, field in file.fields.items()})


def same_floats(path, plain):
    ours = {t.name: t.data for t in gguf.GGUFReader(plain).tensors}
    for t in gguf.GGUFReader(path).tensors:
        theirs = gguf.quants.dequantize(t.data, t.tensor_type)
        assert np.array_equal(theirs.reshape(-1), ours[t.name].reshape(-1)), t.name


def perplexities(tongyun, binaries, path):
    """(ours, theirs, their error)"""
    said = run(binaries / "llama-perplexity", "-m", path, "-f", TEXT, "-c", CONTEXT, "--chunks", WINDOWS)
    theirs, error = map(float, re.search(r"PPL = ([0-9.]+) \+/- ([0-9.]+)", said).groups())
    ours = json.loads(run(tongyun, "perplexity", path, TEXT, "--ctx", CONTEXT, "--windows", WINDOWS, "--json"))
    return ours["perplexity"], theirs, error


def check(args, kind, folder):
    made, plain, theirs = folder / "made.gguf", folder / "plain.gguf", folder / "theirs.gguf"
    run(args.tongyun, "quantize", args.model, made, "--type", kind, "--force")
    run(args.tongyun, "quantize", made, plain, "--type", "f32", "--force")
    same_floats(made, plain)
    told = "same floats"
    if kind in MIXES and kind != "mxfp4":    # llama-quantize has that for models with experts only
        run(args.binaries / "llama-quantize", args.model, theirs, MIXES[kind])
        assert described(made) == described(theirs)
        told += ", types and keys"
    our_value, their_value, error = perplexities(args.tongyun, args.binaries, made)
    assert abs(our_value - their_value) <= error
    print(f"{kind}: {told}; perplexity {our_value:.4f}, llama-perplexity {their_value:.4f} +/- {error:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tongyun", type=Path)
    parser.add_argument("binaries", type=Path, help="where llama-quantize and llama-perplexity are")
    parser.add_argument("model", type=Path)
    parser.add_argument("types", nargs="*", help="default: all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.types or ["f32", "bf16", *MIXES]:
            check(args, kind, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
