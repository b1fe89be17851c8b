"""docs/models.md and README.md name what the program reads, no more and no less, and each has a golden."""
import json
import os
import re
import subprocess

import pytest

from program import BUILD, GOLDEN, ROOT

GOLDEN_FORMATS = {"fp8": "fp8", "gptq": "gptq", "awq": "awq", "compressed-tensors": "packed"}


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


def section(title):
    return re.search(rf"\n## {title}\n(.*?)(?=\n## |\Z)", read("docs", "models.md"), re.DOTALL).group(1)


def cells(title, column):
    rows = re.findall(r"^\| (.*)\|$", section(title), re.MULTILINE)
    return [row.split("|")[column].strip().replace("`", "") for row in rows[1:]]


def first_cells(title):
    return cells(title, 0)


def readme_row(name):
    return re.search(rf"^\| {name} \| (.*) \|$", read("README.md"), re.MULTILINE).group(1)


@pytest.fixture(scope="module", name="known")
def fixture_known(shared):
    """What the program says that it knows."""
    folder = os.path.join(shared.folder, "foreign")
    os.mkdir(folder)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"model_type": "unheard_of"}, file)
    return re.search(r"known: (.*)$", shared.fails("show", folder)).group(1).split(", ")


@pytest.fixture(scope="module", name="types")
def fixture_types(shared):
    """What it writes."""
    return re.search(r"T is one of (.*)$", shared.wrong("quantize", "a", "b", "--type", "unheard-of")).group(1).upper().split()


def golden_cases():
    return json.loads(read("tests", "golden", "index.json"))["cases"]


def test_architectures_are_those_of_the_program(known):
    assert first_cells("Architectures") == known
    assert readme_row("architectures").split(":")[0].replace("`", "").split(" ") == known


def test_names_in_gguf_are_those_of_the_program(shared):
    with open(os.path.join(GOLDEN, "gguf", "qwen3-mini-f32.gguf"), "rb") as file:
        data = file.read()
    path = os.path.join(shared.folder, "foreign.gguf")
    with open(path, "wb") as file:
        file.write(data.replace(b"\x05\0\0\0\0\0\0\0qwen3", b"\x05\0\0\0\0\0\0\0qwen0", 1))
    assert re.search(r"architecture qwen0 is not supported; known: (.*)$", shared.fails("show", path)).group(1).split(", ") == \
        cells("Architectures", 2)


def test_every_architecture_has_goldens_of_all_lengths_in_float32_and_bfloat16(known):
    lengths = {(arch, dtype): set() for arch in known for dtype in ("F32", "BF16")}
    for case in golden_cases():
        lengths.setdefault((case["arch"], case["dtype"]), set()).add(int(re.search(r"len(\d+)", case["tokens"]).group(1)))
    assert {arch for arch, _ in lengths} == set(known)
    for arch in known:
        for dtype in ("F32", "BF16"):
            assert lengths[arch, dtype] == {1, 7, 65, 300, 1500}, (arch, dtype)


def test_formats_are_those_of_the_program_and_have_goldens(types):
    named = " ".join(first_cells("Formats")).split()
    assert sorted(named) == sorted([*types, *GOLDEN_FORMATS])
    covered = {case["dtype"] for case in golden_cases()}
    for name in named:
        assert GOLDEN_FORMATS.get(name, name) in covered, name
    words = re.split(r"[ ,;]+", readme_row("formats"))
    for name in named:
        assert name in words, name


def test_what_is_decoded_at_each_use_is_what_the_program_says(shared):
    models = {}
    for case in golden_cases():
        models.setdefault(case["dtype"], case["model"])
    for names, computed in zip(first_cells("Formats"), cells("Formats", 2)):
        for name in names.split():
            decoded = shared.json("show", os.path.join(GOLDEN, models[GOLDEN_FORMATS.get(name, name)]))["decoded"]
            assert bool(decoded) == (computed == "float32"), name
            assert name in GOLDEN_FORMATS or not decoded or name in decoded, name


def test_errors_of_quantizing_are_those_that_the_command_prints():
    said = subprocess.run([os.path.join(BUILD, "tests", "model_quantize_test")], capture_output=True, timeout=60, check=True)
    seen = {name: f"{float(ratio):.2f}" for name, ratio in re.findall(r"^(\w+) +weights +([0-9.]+) plain", said.stdout.decode(),
                                                                      re.MULTILINE)}
    told = dict(re.findall(r"^\| (\w+) \|.*\| ([0-9.]+) \|$", section("Formats"), re.MULTILINE))
    assert len(told) == 13 and told == seen


def test_what_checks_is_there():
    said = section("How it is checked")
    for path in re.findall(r"`((?:tests|tools|docs)/[\w/.]+)", said):
        assert os.path.exists(os.path.join(ROOT, path)), path
    with open(os.path.join(BUILD, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        names = [test["name"] for test in json.load(file)]
    for folder in ("api", "cli", "model", "tools"):
        names += os.listdir(os.path.join(ROOT, "tests", folder))
    patterns = [word for words in re.findall(r"`tools/test.py ([^`]+)`", said) for word in words.split()]
    assert len(patterns) >= 8
    for pattern in patterns:
        assert any(pattern in name for name in names), pattern
    assert os.path.isdir(GOLDEN)
