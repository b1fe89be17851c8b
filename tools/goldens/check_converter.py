"""tools/goldens/check_converter.py - llama.cpp's converter makes the same GGUF files.

    python tools/goldens/check_converter.py LLAMA_CPP [tests/golden]

LLAMA_CPP is a checkout. Every unquantized checkpoint goes through its convert_hf_to_gguf.py, and
what comes out is compared with what ggufs.py writes: names, number formats and values of all
tensors, and the settings of the architecture. The converter is told the name of the pre-tokenizer,
which it knows by the hash of a real vocabulary, and that there is no SentencePiece model.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

import ggufs
import golden_files
import small_models
from small_configs import ZERO_CENTRED

DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf
from conversion.base import TextModel
def no_sentencepiece(self):
    raise FileNotFoundError
TextModel._set_vocab_sentencepiece = no_sentencepiece
pre = sys.argv[2]
TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
sys.argv = ["convert_hf_to_gguf.py", *sys.argv[3:]]
convert_hf_to_gguf.main()
"""
ARCH_WITH_VISION = {"qwen2": "qwen2vl", "qwen3": "qwen3vl", "qwen3_moe": "qwen3vlmoe"}
# What the converter does not take: DeltaNet packed under Qwen3.5's class, and dense layers among
# sparse ones.
NOT_TAKEN = ("qwen3_5-mini-packed", "qwen2_moe-mini", "qwen3_moe-mini", "qwen3_next-mini")
# What says nothing about the architecture.
OTHER_KEYS = ("general.", "tokenizer.", "GGUF.", "split.")
# It reads config.json through transformers, which makes layer_types of this; then it takes 4.
INTERVAL = "full_attention_interval"


def convert(llama_cpp, folder, out, layout, arch):
    """What went wrong, or None."""
    pre = "qwen35" if arch in ggufs.TILED else "qwen2"
    mtp = ("--no-mtp",) if arch in ZERO_CENTRED and "mtp block" not in layout.extras else ()
    done = subprocess.run([sys.executable, "-c", DRIVER, str(llama_cpp), pre, str(folder),
                           "--outfile", str(out), "--outtype", layout.dtype.lower(), *mtp],
                          capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[-1]


def settings(path):
    """key -> value, of the architecture."""
    fields = gguf.GGUFReader(path).fields
    return {k: f.contents() for k, f in fields.items()
            if not k.startswith(OTHER_KEYS) and not k.endswith(INTERVAL)}


def compare(theirs, ours, layout):
    """What differs, in words. Adding one to a norm it does in the file's F16, we in float32."""
    near = 1e-3 if layout.dtype == "F16" else 1e-6
    types = [{t.name: t.tensor_type.name for t in gguf.GGUFReader(p).tensors}
             for p in (theirs, ours)]
    found = [f"{name}: {types[0].get(name)} and {types[1].get(name)}"
             for name in sorted(types[0].keys() | types[1].keys())
             if types[0].get(name) != types[1].get(name)]
    a, b = ggufs.read_tensors(theirs), ggufs.read_tensors(ours)
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name].squeeze(), b[name].squeeze()
        if x.shape != y.shape:
            found.append(f"{name}: shape {x.shape} and {y.shape}")
        elif not np.allclose(x, y, rtol=near, atol=0):
            found.append(f"{name}: values")
    a, b = settings(theirs), settings(ours)
    return found + [f"{k}: {a.get(k)} and {b.get(k)}" for k in sorted(a.keys() | b.keys())
                    if a.get(k) != b.get(k)]


def main():
    llama_cpp = Path(sys.argv[1]).resolve()
    default = Path(__file__).resolve().parents[2] / "tests" / "golden"
    root = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else default
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        theirs, ours = Path(temporary) / "theirs.gguf", Path(temporary) / "ours.gguf"
        for layout in golden_files.LAYOUTS:
            if layout.quantization or any(x in layout.folder for x in NOT_TAKEN):
                continue
            model = small_models.make_one(layout.base, 300)
            problem = convert(llama_cpp, root / layout.folder, theirs, layout, model.arch)
            if problem:
                print(f"{layout.folder}: not converted: {problem}")
                failed += 1
                continue
            vision = ARCH_WITH_VISION.get(model.arch, "") if "vision" in layout.extras else ""
            ggufs.write(ours.parent, model, ggufs.GgufFile(
                ours.name, layout.base, layout.dtype, arch=vision, mtp="mtp block" in layout.extras))
            differences = compare(theirs, ours, layout)
            print(f"{layout.folder}: {len(gguf.GGUFReader(ours).tensors)} tensors,",
                  "same" if not differences else "\n    " + "\n    ".join(differences))
            failed += bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
