"""tongyun show: what a model is, what it needs here, and what will be slow, before anything is loaded."""
import os
import shutil

import pytest

from program import GOLDEN, POET, QWEN3, checkpoint

GGUFS = os.path.join(GOLDEN, "gguf")


def test_memory_is_weights_and_a_sequence_of_so_many_tokens(shared):
    for arguments, context in ([[], 2048], [["--ctx", 100], 100], [["-c", 1000000], 2048]):
        said = shared.json("show", *arguments)
        assert said["name"] == POET and said["context"] == context
        assert said["needed_bytes"] == (said["size_bytes"] + context * said["kv_bytes_per_token"] + said["state_bytes"])
        assert said["memory_bytes"] > said["needed_bytes"]
    assert "more than this machine has" not in shared.ok("show")
    assert "  needs         {needed_bytes} bytes (8.2 MB) with a sequence of 2048".format(**shared.json("show")) in shared.ok("show")


def test_a_token_takes_what_its_type_of_keys_and_values_takes(shared):
    sixteen = shared.json("show", QWEN3)["kv_bytes_per_token"]
    for name, bits in {"auto": 16, "f16": 16, "bf16": 16, "f32": 32, "q8_0": 8.5}.items():
        if name != "q8_0" or shared.json("show", QWEN3)["head_dim"] % 32 == 0:
            assert shared.json("show", QWEN3, "--kv-type", name)["kv_bytes_per_token"] == sixteen * bits / 16


@pytest.mark.parametrize("name, decoded", [("qwen3-q8_0", []), ("qwen3-q4_k", []), ("qwen3-q3_k", ["Q3_K"])])
def test_types_that_are_decoded_at_each_use_are_named(shared, name, decoded):
    path = os.path.join(GGUFS, name + ".gguf")
    assert shared.json("show", path)["decoded"] == decoded
    assert ("slow here" in shared.ok("show", path)) == bool(decoded)
    assert sum(shared.json("show", path)["type_bytes"].values()) == shared.json("show", path)["size_bytes"]


def test_what_it_is_made_of_is_in_the_table(shared):
    text, document = shared.ok("show", QWEN3), shared.json("show", QWEN3)
    assert "  heads         {heads} of {head_dim}, {kv_heads} for keys and values\n".format(**document) in text
    for word in ("architecture  qwen3\n", "tokenizer     byte-level BPE, ", "template ", "licence ", "context ", "needs "):
        assert word in text, word


@pytest.mark.parametrize("name, key, says, line", [
    ("qwen2_moe-bf16-sharded", "experts", {"count": 6, "used": 2}, "  experts       6 in "),
    ("qwen2-window-bf16", "window", {"tokens": 24}, "  window        24 tokens in "),
    ("qwen3-yarn-bf16", "rope_scaling", {"kind": "yarn"}, "  positions     yarn, stretched "),
])
def test_what_only_some_models_have_is_told_of_those(shared, name, key, says, line):
    path = os.path.join(GOLDEN, "checkpoints", name)
    document = shared.json("show", path)
    assert document[key] == document[key] | says
    assert [other for other in ("experts", "window", "rope_scaling") if document[other]] == [key]
    assert line in shared.ok("show", path)
    assert line not in shared.ok("show", QWEN3)


@pytest.mark.parametrize("name, note", [
    ("checkpoints/qwen3_5-bf16", "left out: 4 tensors of vision, 4 of multi-token prediction"),
    ("gguf/qwen3_5-q8_0.gguf", "left out: 15 tensors of multi-token prediction"),
])
def test_what_is_left_out_is_told_in_one_note(shared, name, note):
    path = os.path.join(GOLDEN, name)
    assert shared.json("show", path)["note"] == note
    assert shared.ok("show", path).count(f"  note          {note}\n") == 1
    assert shared.json("show", QWEN3)["note"] is None and "note" not in shared.ok("show", QWEN3)


@pytest.mark.parametrize("said, told", [
    (b"apache-2.0", "apache-2.0"), (b"'mit'", "mit"), (b"\x1b[31mred", "?[31mred"), ("许".encode() * 80, "许" * 42),
    (b"a\xffb", "a"), (b"", None),
])
def test_a_licence_is_text_that_a_terminal_can_show(program, said, told):
    folder = checkpoint(os.path.join(program.folder, "m"))
    with open(os.path.join(folder, "README.md"), "wb") as card:
        card.write(b"---\nlicense: " + said + b"\n---\n")
    assert program.json("show", folder)["licence"] == told
    assert f"  licence       {told or 'not said'}\n" in program.ok("show", folder)


@pytest.mark.parametrize("name, said", [(b"a\x1b[31mb", "a?[31mb"), (b"m\xff", "m?"), ("gpj\u202e".encode(), "gpj???")])
def test_what_a_file_is_called_steers_no_terminal_and_is_text(program, tmp_path, name, said):
    path = os.path.join(os.fsencode(tmp_path), name + b".gguf")
    shutil.copy(os.path.join(GGUFS, "qwen3-mini-f16.gguf"), path)
    assert program.json("show", os.fsdecode(path))["name"] == said
    assert program.ok("show", os.fsdecode(path)).startswith(said + "\n")
