"""tools/goldens/make_goldens.py - writes tests/golden: small models, inputs, logits, layer dumps.

    python tools/goldens/make_goldens.py [--out tests/golden] [--threads 1]

Logits come from transformers in float32, run on the weights as they are read back from the very
files; every model is checked on the way against reference.py in float64. Running it twice gives
the same files, up to the last bits that another CPU or version of torch moves.
"""
import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

import checkpoint_config
import checkpoints
import ggufs
import golden_files
import golden_source
import reference
import small_configs
import small_models
import tiny_tokenizer
from ggufs import GgufFile
from golden_files import GGUFS, LAYOUTS

LONG = 1500
LENGTHS = (1, 7, 65, 300, LONG)
LENGTHS_QUANTIZED = (1, 7, 65)
LENGTHS_OTHER = (7, 65)     # of files that share the logits of a base with another
CACHED_LENGTH = 65          # shorter ones say little of rounded keys and values
WHOLE_DTYPES = ("F32", "BF16")      # the first file of an architecture in each has all lengths
WHOLE_BASES = ("qwen3", "qwen3_mini", "qwen3_5", "qwen3_5_mini")     # every position of 65
LAYER_BASES = ("qwen3", "qwen3_5", "llama", "qwen3_moe", "qwen3_next")
TOP1_POSITIONS = 16         # fewer say nothing about how often the best token is the same
GREEDY_PROMPT, GREEDY_TOKENS, GREEDY_TOKENS_MIN = 7, 24, 5
GREEDY_MARGIN = 0.02        # float noise must not turn an argmax: the answer ends before that

# What a correct program may differ by, over the real vocabulary. "float": float32 activations, any
# order of summation. "bf16_inputs": activations rounded to BF16 before the projections, all of
# which are BF16 matrices. "quant": rounded to Q8_0 blocks. "experts": as bf16_inputs, where a
# router that sees rounded activations chooses another expert now and then.
CLASSES = {
    "float": {"max_abs": 4.2e-4, "rel_rms": 1.7e-5, "kl": 4.2e-10, "top1": 1.0},
    "bf16_inputs": {"max_abs": 0.7, "rel_rms": 0.024, "kl": 1.5e-3, "top1": 0.9},
    "quant": {"max_abs": 1.9, "rel_rms": 0.088, "kl": 0.023, "top1": 0.84},
    "experts": {"max_abs": 1.5, "rel_rms": 0.055, "kl": 6.7e-3, "top1": 0.9},
    "cached_f16": {"max_abs": 0.036, "rel_rms": 2.1e-3, "kl": 8.8e-6, "top1": 0.98},
    "cached_bf16": {"max_abs": 0.6, "rel_rms": 0.021, "kl": 7.2e-4, "top1": 0.93},
    "cached_q8_0": {"max_abs": 1.45, "rel_rms": 0.055, "kl": 6.7e-3, "top1": 0.86},
}
# What a cache of that type rounds.
CACHED = {"f16": reference.round_cached_f16, "bf16": reference.round_cached_bf16,
          "q8_0": reference.round_cached_q8}


def make_inputs(root, vocab_real):
    """length -> ids; written as blank-separated text. Each has the quiet token near its start."""
    inputs = {}
    for length in LENGTHS:
        ids = np.random.default_rng(100 + length).integers(0, vocab_real, length)
        ids[min(1, length - 1)] = small_models.QUIET_TOKEN
        inputs[length] = ids.tolist()
        path = root / "tokens" / f"len{length}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(map(str, ids)) + "\n", encoding="utf-8")
    return inputs


def kept_positions(label, length):
    """(first, end, step): the positions whose logits the repository keeps."""
    if length <= 7 or (length == 65 and label in WHOLE_BASES):
        return 0, length, 1
    if length == 65:
        return 0, length, 4
    return (length - 8, length, 1) if length == 300 else (LONG // 20 - 1, LONG, LONG // 20)


def distance(a, b):
    """(largest, relative root mean square) of the difference."""
    return float(np.abs(a - b).max()), float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b ** 2)))


def divergence(got, want):
    """(mean KL divergence of got from want in nats, share of positions with the same argmax)"""
    p, q = (x.astype(np.float64) - x.max(1, keepdims=True) for x in (want, got))
    p, q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (p, q))
    return (float((np.exp(p) * (p - q)).sum(1).mean()),
            float((got.argmax(1) == want.argmax(1)).mean()))


def is_quantized(file):
    return (file.dtype not in ("F32", "F16", "BF16") if isinstance(file, GgufFile)
            else file.quantization is not None)


def writer(file):
    """The module that writes and reads such a file."""
    return ggufs if isinstance(file, GgufFile) else checkpoints


def place(file):
    """What the program is given: of a split file the first."""
    if isinstance(file, GgufFile):
        return str(ggufs.parts(Path(file.path), file.files)[0])
    return file.folder


def dtype_name(file):
    return file.dtype if isinstance(file, GgufFile) or not file.quantization else (
        file.quantization.method)


def arch_name(file, base):
    """The name of its model_type, which a text part of a model with vision has of its own; Qwen3.5
    has one for both."""
    with_vision = {"qwen2vl": "qwen2_vl", "qwen3vl": "qwen3_vl", "qwen3vlmoe": "qwen3_vl_moe"}
    if isinstance(file, GgufFile):
        return with_vision.get(file.arch, base.arch)
    nested = file.names in ("nested", "beside")
    return checkpoint_config.WITH_VISION[base.arch][1] if nested else base.arch


def is_multiplied_in_blocks(quantization):
    """Four bits in groups of whole blocks, in the order of the columns."""
    return (quantization.method in ("gptq", "awq", "packed") and quantization.bits == 4 and
            not quantization.act_order and quantization.group % 32 == 0)


class Goldens:
    """Collects what goes to index.json."""

    def __init__(self, root):
        vocab, _, added = tiny_tokenizer.tiny_vocab()
        self.root, self.vocab_real = root, len(vocab) + len(added)
        self.models = small_models.make_all(self.vocab_real)
        self.inputs = make_inputs(root, self.vocab_real)
        self.cases, self.layers, self.greedy = [], [], []
        self.noise, self.whole = {}, set()

    def check(self, kind, got, want, kept=slice(None)):
        """Both logits over the real vocabulary; remembers the largest distance of its class at the
        positions that are kept, and the least agreement over all."""
        got, want = got[:, :self.vocab_real], want[:, :self.vocab_real]
        _, same = divergence(got, want)
        (largest, relative), (kl, _) = (f(got[kept], want[kept]) for f in (distance, divergence))
        seen = self.noise.setdefault(kind, {"max_abs": 0.0, "rel_rms": 0.0, "kl": 0.0, "top1": 1.0})
        for name, value in (("max_abs", largest), ("rel_rms", relative), ("kl", kl)):
            seen[name] = max(seen[name], value)
        if len(got) >= TOP1_POSITIONS:
            seen["top1"] = min(seen["top1"], same)

    def check_noise(self):
        """The limits are twice our own noise, or not much more: another correct program has room.
        Of the best tokens half as many again may differ: one of a few positions is much."""
        for kind, seen in self.noise.items():
            print(kind, ", ".join(f"{name} {value:.3g}" for name, value in seen.items()))
        for kind, seen in self.noise.items():
            limits = CLASSES[kind]
            for name in ("max_abs", "rel_rms", "kl"):
                assert 2 <= limits[name] / seen[name] < 2.2, (kind, name, seen[name])
            assert limits["top1"] <= 1 - 1.5 * (1 - seen["top1"]), (kind, seen["top1"])

    def write_logits(self, label, hf, config, weights, kind="float", round_input=None):
        """Logits for every length; returns [(length, file, positions)]. What rounded inputs do to
        them goes to class kind."""
        rows = []
        for length in LENGTHS if label in self.models else LENGTHS_QUANTIZED:
            ids, (first, end, step) = self.inputs[length], kept_positions(label, length)
            kept = slice(first, end, step)
            logits = golden_source.logits(hf, ids)
            exact, _ = reference.forward(config, weights, ids)
            self.check("float", logits, exact, kept)
            if round_input is not None:
                rounded, _ = reference.forward(config, weights, ids, round_input=round_input)
                self.check(kind, rounded, exact, kept)
            path = self.root / "logits" / f"{label}.len{length}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, np.ascontiguousarray(logits[kept]))
            rows.append((length, f"logits/{path.name}", [first, end, step]))
        return rows

    def check_cached(self, model, length):
        """The types of keys and values that a model's logits are checked with besides F32, which
        is the rounding alone: not where a router would see it."""
        if "num_experts" in model.config or length < CACHED_LENGTH:
            return []
        first, end, step = kept_positions(model.name, length)
        exact, _ = reference.forward(model.config, model.weights, self.inputs[length])
        types = [x for x in CACHED if x != "q8_0" or small_configs.head_dim(model.config) % 32 == 0]
        for name in types:
            rounded, _ = reference.forward(model.config, model.weights, self.inputs[length],
                                           round_cached=CACHED[name])
            self.check(f"cached_{name}", rounded, exact, slice(first, end, step))
        return types

    def add_cases(self, rows, base, stored, kind, kind_rounded=None, cached=False):
        rounded = {"class_rounded": kind_rounded} if kind_rounded else {}
        for length, file, positions in rows:
            types = self.check_cached(base, length) if cached else []
            self.cases.append({"model": place(stored),
                               "format": "gguf" if isinstance(stored, GgufFile) else "safetensors",
                               "dtype": dtype_name(stored), "class": kind, **rounded,
                               **({"cached": types} if types else {}),
                               "arch": arch_name(stored, base), "base": base.name,
                               "tokens": f"tokens/len{length}.txt", "logits": file,
                               "positions": positions})

    def make_base(self, model):
        """A base model: its files, logits, layer dumps, a greedy answer. Files that hold its
        weights share its logits; what is quantized has logits of its own."""
        files = [x for x in LAYOUTS + GGUFS if x.base == model.name]
        exact = [x for x in files if not is_quantized(x)]
        if exact:
            self.make_exact(model, exact)
        for file in files:
            if is_quantized(file):
                self.make_quantized(model, file)

    def make_exact(self, model, files):
        hf = golden_source.build(model.arch, model.config, model.weights)
        round_input = (reference.round_input_bf16 if any(x.dtype == "BF16" for x in files)
                       else None)
        rounded = "experts" if "num_experts" in model.config else "bf16_inputs"
        rows = self.write_logits(model.name, hf, model.config, model.weights, rounded, round_input)
        plain = next((x for x in files if x.dtype != "BF16"), None)
        for file in files:
            writer(file).write(self.root, model, file)
            self.check_same(hf, model, writer(file).read_back(self.root, model, file))
            whole = self.is_first(model, file) or file is files[0]
            mine = rows if whole else [r for r in rows if r[0] in LENGTHS_OTHER]
            self.add_cases(mine, model, file, "float", rounded if file.dtype == "BF16" else None,
                           cached=file is plain)
            print("wrote", place(file))
        places = [place(x) for x in files]
        self.make_layers(hf, model, places[0])
        self.make_greedy(hf, model, places, round_input)

    def is_first(self, model, file):
        """Of its architecture and number format, the one with all lengths."""
        key = (arch_name(file, model), file.dtype)
        first = file.dtype in WHOLE_DTYPES and key not in self.whole
        self.whole.add(key)
        return first

    def check_same(self, hf, model, weights):
        """What was read back is the base: to the bit, or through one added and a logarithm."""
        for name, w in weights.items():
            if not np.array_equal(w, model.weights[name]):
                np.testing.assert_allclose(w, model.weights[name], rtol=2e-6, atol=2e-7)
        again = golden_source.build(model.arch, model.config, weights)
        self.check("float", golden_source.logits(again, self.inputs[65]),
                   golden_source.logits(hf, self.inputs[65]))

    def make_quantized(self, model, file):
        """A quantized file has logits of its own: those of its dequantized weights."""
        writer(file).write(self.root, model, file)
        weights = writer(file).read_back(self.root, model, file)
        is_gguf = isinstance(file, GgufFile)
        own_head = is_gguf and file.own_head
        hf = golden_source.build(model.arch, model.config, weights,
                                 tied=model.config["tie_word_embeddings"] and not own_head)
        kind, kind_rounded, round_input = "float", None, None
        if is_gguf and file.dtype in ggufs.ROUNDED:
            kind, round_input = "quant", ggufs.round_input_q8(ggufs.quantized(model, file))
        elif not is_gguf and is_multiplied_in_blocks(file.quantization):
            kind, round_input = "quant", ggufs.round_input_q8(checkpoints.quantized(model, file))
        elif not is_gguf and file.dtype == "BF16":
            # What is not quantized, the head if nothing else, is of BF16 matrices.
            kind_rounded = "experts" if "num_experts" in model.config else "bf16_inputs"
        rows = self.write_logits(Path(place(file)).stem, hf, model.config, weights, kind,
                                 round_input)
        self.add_cases(rows, model, file, kind, kind_rounded)
        print("wrote", place(file))

    def make_layers(self, hf, model, place):
        """Layer dumps of the seven-token input, for the larger bases."""
        if model.name not in LAYER_BASES:
            return
        dumps = golden_source.dump_layers(hf, self.inputs[7])
        _, exact = reference.forward(model.config, model.weights, self.inputs[7])
        assert set(dumps) == set(exact), set(dumps) ^ set(exact)
        for name, x in dumps.items():
            assert x.shape == exact[name].shape, (name, x.shape, exact[name].shape)
            scale = np.abs(exact[name]).max()
            assert np.abs(x - exact[name]).max() < 1e-4 * scale, name
        path = self.root / "layers" / f"{model.name}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, **dumps)
        self.layers.append({"model": place, "tokens": "tokens/len7.txt",
                            "dumps": f"layers/{path.name}"})

    def make_greedy(self, hf, model, places, round_input):
        """The ids that greedy decoding gives, padding rows masked; where a router does not stand
        in the way rounded inputs keep them."""
        prompt = self.inputs[GREEDY_PROMPT]
        steps = golden_source.greedy(hf, prompt, GREEDY_TOKENS, self.vocab_real)
        answer, margins = [i for i, _ in steps], [m for _, m in steps]
        rounded = round_input is not None and "num_experts" not in model.config
        if rounded:
            logits, _ = reference.forward(model.config, model.weights, prompt + answer[:-1],
                                          round_input=round_input)
            rows = logits[len(prompt) - 1:, :self.vocab_real]
            other = np.diff(np.sort(rows)[:, -2:])[:, 0] * (rows.argmax(1) == answer)
            margins = np.minimum(margins, other).tolist()
        count = next((i for i, m in enumerate(margins) if m < GREEDY_MARGIN), len(steps))
        assert count >= GREEDY_TOKENS_MIN, (
            f"{model.name}: only {count} greedy tokens are certain; give it another seed")
        about = {"arch": model.arch, "base": model.name, "dtype": ""}
        ready = [x for x in places if not golden_files.waits({**about, "model": x})]
        self.greedy.append({"models": ready, "waiting": [x for x in places if x not in ready],
                            "tokens": f"tokens/len{GREEDY_PROMPT}.txt", "next": answer[:count],
                            "margin": round(min(m for _, m in steps[:count]), 4),
                            "rounded": rounded})

    def check_packing(self):
        """qwen3_next itself, without experts, on the packed weights gives the same logits."""
        for name in ("qwen3_5", "qwen3_5_mini"):
            model = self.models[name]
            hf = golden_source.build_next(model.config, model.weights)
            exact, _ = reference.forward(model.config, model.weights, self.inputs[65])
            self.check("float", golden_source.logits(hf, self.inputs[65]), exact)

    def write_index(self):
        classes = {kind: {**limits, **{f"seen_{name}": float(f"{value:.3g}") for name, value in
                                       self.noise[kind].items()}}
                   for kind, limits in CLASSES.items()}
        head = {"vocab_rows": small_configs.VOCAB_ROWS, "vocab_real": self.vocab_real,
                "classes": classes}
        lines = [f' "{k}": {json.dumps(v)}' for k, v in head.items()]
        waiting = [x for x in self.cases if golden_files.waits(x)]
        ready = [x for x in self.cases if not golden_files.waits(x)]
        for name, rows in (("cases", ready), ("waiting", waiting), ("layers", self.layers),
                           ("greedy", self.greedy)):
            lines.append(f' "{name}": [\n  '
                         + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]")
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        assert json.loads(text)
        (self.root / "index.json").write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=Path, default=here / "tests" / "golden")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as temporary:
        make_all(Path(temporary))
        for part in ("checkpoints", "gguf", "tokens", "logits", "layers", "tokenizer"):
            shutil.rmtree(args.out / part, ignore_errors=True)
        shutil.copytree(temporary, args.out, symlinks=True, dirs_exist_ok=True)


def make_all(root):
    tiny_tokenizer.write_tiny(root / "tokenizer")
    goldens = Goldens(root)
    goldens.check_packing()
    for model in goldens.models.values():
        goldens.make_base(model)
    goldens.check_noise()
    goldens.write_index()


if __name__ == "__main__":
    main()
