"""tongyun quantize: a model as one GGUF file that says the same, smaller."""
import json
import os
import resource
import shutil
import signal
import struct

import numpy as np
import pytest

from program import GOLDEN, QWEN3, TONGYUN, checkpoint, store_add

TYPES = "f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4".split()
QWEN35 = os.path.join(GOLDEN, "checkpoints", "qwen3_5-bf16")
with open(os.path.join(GOLDEN, "index.json"), encoding="utf-8") as index:
    CASES = json.load(index)["cases"]
# Q8_0 and Q4_0 have kernels of their own, which round what comes in: their floats say something else.
MODELS = sorted({case["model"] for case in CASES if case["class"] != "quant"})


def logits(program, model):
    """Of some tokens, by the plain kernels."""
    out = os.path.join(program.folder, "logits.npy")
    program.ok("logits", model, "--isa", "ref", "--kv-type", "f32", "--tokens", os.path.join(GOLDEN, "tokens", "len65.txt"),
               "--out", out)
    return np.load(out)


def quantized(program, source, type, *more):
    out = os.path.join(program.folder, f"{type}.gguf")
    return out, program.json("quantize", source, out, "--type", type, "--force", *more)


def test_float32_of_a_directory_gives_the_same_bits(program):
    out, said = quantized(program, QWEN3, "f32")
    assert np.array_equal(logits(program, out), logits(program, QWEN3))
    assert (said["parameters"], said["bits_per_weight"], said["note"]) == (221792, 32, None)
    assert said["types"] == {"F32": {"tensors": 24, "bytes": 4 * 221792}}
    assert said["file_bytes"] == os.path.getsize(out)
    shown, source = program.json("show", out), program.json("show", QWEN3)
    assert shown.pop("tokens") == source.pop("tokens") + 20     # a row without a token is one, called [PADn]
    assert {**shown, "name": 0} == {**source, "name": 0}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_float32_says_what_it_said(program, name):
    """Architectures, layouts, quantized releases: the same bits. Only the value heads of Qwen3.5 are tiled in GGUF, and
    the same products are added up in another order."""
    source = os.path.join(GOLDEN, name)
    out, said = quantized(program, source, "f32")
    there, here = logits(program, source), logits(program, out)
    assert said["bits_per_weight"] == 32
    if "qwen3_5" in name and not name.endswith(".gguf"):
        assert np.abs(here - there).max() < 2e-4    # 6.5e-5 was seen, of logits up to 24
    else:
        assert np.array_equal(here, there)


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_written_and_read(program, type):
    out, said = quantized(program, QWEN35, type)
    assert said["type"] == type and said["tensors"] == sum(kind["tensors"] for kind in said["types"].values())
    assert np.isfinite(logits(program, out)).all()
    words = program.ok("quantize", out, os.path.join(program.folder, "again.gguf"), "--type", type).split()
    assert words[0].endswith("again.gguf") and "weight" in words
    assert open(out, "rb").read() == open(os.path.join(program.folder, "again.gguf"), "rb").read()


@pytest.mark.parametrize("name, type", [
    ("qwen3-gptq-int4-act-order", "INT4"), ("qwen3-packed-int8", "INT8"), ("qwen3-float8", "F8_E4M3")])
def test_what_was_quantized_before_is_told_whatever_by(program, name, type):
    source = os.path.join(GOLDEN, "checkpoints", name)
    assert f"note    made of {type}: " in program.ok("quantize", source, "o.gguf", "--type", "q4_0", "--force")
    assert "made of" not in program.ok("quantize", source, "o.gguf", "--type", "f32", "--force")


def test_a_model_of_the_store_is_called_as_in_the_store(program):
    store_add(program, "Qwen/Qwen3-0.6B", "original", QWEN3)
    out, _ = quantized(program, "Qwen/Qwen3-0.6B", "q8_0")
    assert b"Qwen/Qwen3-0.6B" in open(out, "rb").read()


def test_wrong_usage_is_told(program):
    names = " ".join(TYPES)
    assert program.wrong("quantize") == "which MODEL, and to which OUT.gguf?"
    assert program.wrong("quantize", QWEN3) == "to which OUT.gguf?"
    assert program.wrong("quantize", QWEN3, "o.gguf") == f"which --type T? It is one of {names}"
    assert program.wrong("quantize", QWEN3, "o.gguf", "--type", "q9") == f"no type q9; T is one of {names}"
    assert program.wrong("quantize", QWEN3, "o.gguf", "p.gguf", "--type", "f16")
    assert program.wrong("quantize", QWEN3, "-", "--type", "f16") == "OUT.gguf is a file, not standard output"


def test_what_was_quantized_before_is_told(program):
    note = "made of Q8_0: what that has lost stays lost; better take the original"
    out, said = quantized(program, QWEN3, "q8_0")
    assert said["source_type"] == "F32"
    for type, noted in (("q4_0", True), ("q8_0", False), ("f16", False)):
        assert (note in program.ok("quantize", out, f"again-{type}.gguf", "--type", type)) == noted
    assert note not in program.ok("quantize", QWEN3, "first.gguf", "--type", "q4_0")


def test_the_names_of_llama_cpp_are_known(program):
    for name, type in (("Q4_K_M", "q4_k"), ("q5_k_m", "q5_k"), ("Q3_K_M", "q3_k"), ("MXFP4_MOE", "mxfp4"), ("Q8_0", "q8_0")):
        assert quantized(program, QWEN3, name)[1]["type"] == type
    assert "Q4_K_M is q4_k" in program.ok("quantize", "--help")


def test_no_file_is_lost(program):
    out, _ = quantized(program, QWEN3, "q8_0")
    before = open(out, "rb").read()
    assert program.fails("quantize", QWEN3, out, "--type", "f16") == f"{out}: exists; --force replaces it"
    os.symlink(out, os.path.join(program.folder, "alias.gguf"))
    for name in (out, "alias.gguf"):
        assert "is what is read; give another name" in program.fails(
            "quantize", out, name, "--type", "f16", "--force")
    assert "is a directory" in program.fails("quantize", out, program.folder, "--type", "f16", "--force")
    assert "no such model" in program.fails("quantize", "nowhere", "o.gguf", "--type", "f16")
    assert "nowhere/o.gguf" in program.fails("quantize", out, "nowhere/o.gguf", "--type", "f16")
    assert open(out, "rb").read() == before


def edit_tensors(folder, change):
    """Lets change see and alter each tensor of a folder's model.safetensors: (name, float32 values)."""
    path = os.path.join(folder, "model.safetensors")
    data = bytearray(open(path, "rb").read())
    size = struct.unpack("<Q", data[:8])[0]
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[start:end], np.float32).copy()
            change(name, values)
            data[start:end] = values.tobytes()
    open(path, "wb").write(data)


@pytest.mark.parametrize("value, said", [(np.nan, "is not finite"), (np.inf, "is not finite"), (1e9, "too large for Q8_0")])
def test_what_cannot_be_quantized_is_named_and_nothing_is_left(program, value, said):
    def spoil(name, values):
        if name == "model.layers.1.mlp.up_proj.weight":
            values[777] = value

    folder = checkpoint(os.path.join(program.folder, "bad"))
    edit_tensors(folder, spoil)
    before = sorted(os.listdir(program.folder))
    error = program.fails("quantize", folder, "o.gguf", "--type", "q8_0")
    assert "tensor blk.1.ffn_up.weight holds a number" in error and said in error
    assert sorted(os.listdir(program.folder)) == before


@pytest.mark.parametrize("type, number", [("f16", b"\x00\x7e"), ("f16", b"\x00\xfc"), ("bf16", b"\x80\x7f"),
                                          ("f32", b"\x00\x00\xc0\x7f")])
def test_what_is_copied_is_finite_too(program, type, number):
    source, _ = quantized(program, QWEN3, type)
    data = bytearray(open(source, "rb").read())
    data[-4096:-4096 + len(number)] = number
    open(source, "wb").write(data)
    error = program.fails("quantize", source, "o.gguf", "--type", type)
    assert "tensor " in error and "holds a number that is not finite" in error
    assert not os.path.exists(os.path.join(program.folder, "o.gguf"))


def test_a_tokenizer_that_no_model_opens_with_is_not_written(program):
    folder = checkpoint(os.path.join(program.folder, "bad"))
    for merges, ids in (["q q"], []), ([], [4000]):
        path = os.path.join(folder, "tokenizer.json")
        with open(os.path.join(QWEN3, "tokenizer.json"), encoding="utf-8") as file:
            document = json.load(file)
        document["model"]["merges"] += merges
        document["model"]["vocab"].update({f"q{id}": id for id in ids})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        error = program.fails("quantize", folder, "o.gguf", "--type", "q8_0")
        assert "tokenizer.json: " in error and ("no ordinary token" in error or "4001 ids" in error)
        assert sorted(os.listdir(program.folder)) == ["bad"]


def test_a_disk_that_fills_up_leaves_nothing(program):
    def bound():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

    before = sorted(os.listdir(program.folder))
    error = program.fails("quantize", QWEN3, "o.gguf", "--type", "f32", preexec_fn=bound)
    assert error.startswith("writing o.gguf: ")
    assert sorted(os.listdir(program.folder)) == before


def large_model(folder):
    """A checkpoint of 64 MiB in float32, of the small one's shape but for the vocabulary's rows."""
    shutil.copytree(QWEN3, folder)
    path = os.path.join(folder, "config.json")
    config = json.load(open(path, encoding="utf-8"))
    config.update(intermediate_size=28672)
    json.dump(config, open(path, "w", encoding="utf-8"))
    source = os.path.join(folder, "model.safetensors")
    data = open(source, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    entries, parts, at = {}, [], 0
    random = np.random.default_rng(1)
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        shape = [28672 if extent == 160 else extent for extent in entry["shape"]]
        values = random.standard_normal(shape, np.float32) * np.float32(0.05)
        parts.append(values.tobytes())
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    header = json.dumps(entries).encode()
    with open(source, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for part in parts:
            file.write(part)
    return str(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_one_leaves_nothing(program, tmp_path, number):
    model = large_model(tmp_path / "large")
    before = sorted(os.listdir(program.folder))
    with program.chat("quantize", model, "o.gguf", "--type", "q2_k", "--threads", 1) as terminal:
        terminal.until("%")     # the bar, after a piece of sixteen
        os.kill(terminal.pid, number)
        assert "tongyun: error: interrupted; o.gguf is not written" in terminal.until("\n")
        assert terminal.end() == 1
    assert sorted(os.listdir(program.folder)) == before


def peak_bytes(program, *arguments):
    """The most memory that a run held at once."""
    pid = os.fork()
    if pid == 0:
        os.chdir(program.folder)
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 1)
        os.execve(TONGYUN, [TONGYUN, *map(str, arguments)], program.env)
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss * 1024


def test_memory_is_of_a_few_pieces_not_of_the_model(program, tmp_path):
    model = large_model(tmp_path / "large")
    small = peak_bytes(program, "quantize", QWEN3, "s.gguf", "--type", "q4_k", "--threads", 1)
    large = peak_bytes(program, "quantize", model, "l.gguf", "--type", "q4_k", "--threads", 1)
    assert os.path.getsize(os.path.join(model, "model.safetensors")) > 60 << 20
    assert large - small < 16 << 20     # pieces of 1 Mi values: 4 MiB of floats, and what becomes of them
