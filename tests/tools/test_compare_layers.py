"""tools/goldens/compare_layers.py: names the first place where the program parts from the goldens, and nothing else."""
import json
import os
import shutil
import subprocess
import sys

import numpy
import pytest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
GOLDEN = os.path.join(ROOT, "tests", "golden")
BUILD = os.environ.get("TONGYUN_BUILD", os.path.join(ROOT, "build", "release"))
MODELS = {"qwen3": "qwen3-f32", "qwen3_5": "qwen3_5-bf16"}


@pytest.fixture
def scratch(tmp_path):
    """Copies of the two checkpoints, to be broken."""
    for folder in MODELS.values():
        shutil.copytree(os.path.join(GOLDEN, "checkpoints", folder), tmp_path / folder)  # links become files
    return tmp_path


def dump(model, folder):
    """Every intermediate result of the seven tokens that the goldens were made of."""
    subprocess.run([os.path.join(BUILD, "src", "cmd", "tongyun"), "logits", str(model), "--isa", "ref", "--kv-type", "f32",
                    "--tokens", os.path.join(GOLDEN, "tokens", "len7.txt"), "--out", str(folder) + ".npy",
                    "--dump-layers", str(folder)], check=True, timeout=60)
    return folder


def compare(base, folder):
    """Exit code and lines."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "goldens", "compare_layers.py"),
                           os.path.join(GOLDEN, "layers", base + ".npz"), str(folder)],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("base", MODELS)
def test_the_program_agrees_at_every_point(scratch, base):
    code, lines = compare(base, dump(scratch / MODELS[base], scratch / "dump"))
    assert (code, lines[-1].split(" ", 1)[1]) == (0, "points agree")


@pytest.mark.parametrize("base, place, before", [("qwen3", "layer.00.attn_o", "layer.00.attn_norm"),
                                                 ("qwen3_5", "layer.03.attn_gated", "layer.03.attn_norm")])
def test_a_wrong_rope_theta_is_found_where_it_is_first_used(scratch, base, place, before):
    path = scratch / MODELS[base] / "config.json"
    text = path.read_text()
    theta = "1000000.0" if base == "qwen3" else "10000000.0"
    assert text.count(f'"rope_theta": {theta}') == 1
    path.write_text(text.replace(f'"rope_theta": {theta}', '"rope_theta": 9000.0'))
    json.loads(path.read_text())
    code, lines = compare(base, dump(scratch / MODELS[base], scratch / "dump"))
    assert code == 1
    assert lines[-2].startswith(f"first difference: {place}: ")
    assert lines[-1] == f"last that agrees: {before}"


@pytest.mark.parametrize("place", ["layer.02.gdn_conv", "layer.01.ffn_out", "final_norm"])
def test_one_wrong_value_is_found(scratch, place):
    folder = dump(scratch / MODELS["qwen3_5"], scratch / "dump")
    values = numpy.load(folder / (place + ".npy"))
    values[3, 17] += 1e-3 * numpy.abs(values).max()
    numpy.save(folder / (place + ".npy"), values)
    code, lines = compare("qwen3_5", folder)
    assert code == 1
    assert lines[-2].startswith(f"first difference: {place}: ")
    assert " at [3, 17]: " in lines[-2]
