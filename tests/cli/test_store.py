"""The store of models: found by name from every verb, listed, copied, removed while somebody runs it."""
import json
import os
import re

import pytest

from program import GOLDEN, QWEN3, store_add

GGUF = os.path.join(GOLDEN, "gguf", "qwen3-q8_0.gguf")
TEXT = "hello, world"


@pytest.fixture
def stocked(program):
    store_add(program, "Qwen/Small", "original", QWEN3)
    store_add(program, "Qwen/Small", "q8_0", GGUF, model="qwen3-q8_0.gguf")
    store_add(program, "Qwen/Other-GGUF", "q8_0", GGUF, model="qwen3-q8_0.gguf")
    return program


def test_every_verb_finds_a_model_by_its_name(stocked):
    tokens = stocked.ok("tokenize", QWEN3, stdin=TEXT)
    for name in ("Qwen/Small", "Qwen/Small:original", "Qwen/Small:q8_0", "Qwen/Small:Q8_0", "Qwen/Other-GGUF"):
        assert stocked.ok("tokenize", name, stdin=TEXT) == tokens
        assert stocked.ok("detokenize", name, stdin=tokens) == TEXT
        assert stocked.json("show", name)["name"] == name
        assert stocked.json("bench", name, "-p", 4, "-n", 1, "-r", 1)[0]["model_type"] == name
    greedy = ["hi", "--raw", "-n", 1, "--temperature", 0]
    assert stocked.ok("run", "Qwen/Small", *greedy) == stocked.ok("run", QWEN3, *greedy)
    assert stocked.json("show", "Qwen/Small")["type"] != stocked.json("show", "Qwen/Small:q8_0")["type"]


def test_the_id_in_the_api_is_the_name_in_the_store(stocked):
    with stocked.serve("Qwen/Small:q8_0", "Qwen/Small") as server:
        assert server.models() == ["Qwen/Small:q8_0", "Qwen/Small"]
        status, _, answer = server.ask(model="Qwen/Small:q8_0", max_tokens=2)
        assert (status, answer["model"]) == (200, "Qwen/Small:q8_0")


def test_what_is_on_disk_wins(stocked):
    os.makedirs(os.path.join(stocked.folder, "Qwen"))
    os.symlink(QWEN3, os.path.join(stocked.folder, "Qwen", "Small"))
    assert stocked.json("show", "Qwen/Small")["name"] == "Small"


def test_a_name_that_says_too_little_or_too_much_is_told_what_there_is(stocked):
    assert stocked.fails("show", "Qwen/Small:q4_k") == (
        "Qwen/Small:q4_k: no such type here; there is original, q8_0, and `tongyun pull Qwen/Small:q4_k` may get it")
    stocked.ok("rm", "Qwen/Small:original")
    store_add(stocked, "Qwen/Small", "f16", GGUF, model="qwen3-q8_0.gguf")
    assert "which type? Add one of these: f16, q8_0" in stocked.fails("show", "Qwen/Small")


def test_the_list_is_a_table_and_a_document(stocked):
    rows = stocked.json("list")
    assert [(row["name"], row["type"]) for row in rows] == [
        ("Qwen/Other-GGUF", "q8_0"), ("Qwen/Small", "original"), ("Qwen/Small", "q8_0")]
    assert set(rows[0]) == {"name", "type", "size_bytes", "modified", "source", "revision", "licence"}
    assert rows[0]["size_bytes"] == os.path.getsize(GGUF)
    lines = stocked.ok("list").splitlines()
    assert lines[0].split() == ["name", "type", "size", "modified"] and len(lines) == 4
    assert re.fullmatch(r"Qwen/Small +original +[0-9.]+ [kM]B +2026-11-24T16:13:36Z", lines[2])


def test_an_empty_store_is_an_empty_list(program):
    assert program.ok("list") == ""
    assert program.json("list") == []


def test_a_damaged_model_is_said_and_the_others_are_listed(stocked):
    manifest = os.path.join(stocked.home, "models", "Qwen", "Other-GGUF", "q8_0", "manifest.json")
    with open(manifest, "w", encoding="utf-8") as file:
        file.write('{"format": 1, "files": 7}')
    done = stocked.run("list", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)) == 2
    assert manifest in done.stderr and "left out" in done.stderr
    assert manifest in stocked.fails("show", "Qwen/Other-GGUF")
    os.unlink(manifest)
    os.mkfifo(manifest)
    assert "not a regular file" in stocked.fails("show", "Qwen/Other-GGUF")
    stocked.ok("rm", "Qwen/Other-GGUF")
    assert stocked.run("list").stderr == ""


def test_a_model_that_is_removed_goes_on_where_it_runs(stocked):
    with stocked.serve("Qwen/Small", executor="chip") as server:
        stocked.ok("rm", "Qwen/Small")
        assert stocked.fails("show", "Qwen/Small").startswith("Qwen/Small: no such model; ")
        assert server.ask(max_tokens=3)[0] == 200
    assert stocked.fails("rm", "Qwen/Small") == "Qwen/Small: no such model here; `tongyun list` shows those that are"
    assert [row["name"] for row in stocked.json("list")] == ["Qwen/Other-GGUF"]


def test_a_copy_is_the_same_files_and_stays_without_the_other(stocked):
    stocked.ok("cp", "Qwen/Small:q8_0", "me/mine")
    copy = os.path.join(stocked.home, "models", "me", "mine", "q8_0", "qwen3-q8_0.gguf")
    assert os.stat(copy).st_nlink == 2
    assert "me/mine:q8_0: there is one already; --force replaces it" == stocked.fails("cp", "Qwen/Other-GGUF", "me/mine")
    stocked.ok("cp", "--force", "Qwen/Other-GGUF", "me/mine")
    stocked.ok("rm", "Qwen/Small")
    stocked.ok("rm", "Qwen/Other-GGUF")
    assert [(row["name"], row["type"]) for row in stocked.json("list")] == [("me/mine", "q8_0")]
    assert stocked.json("show", "me/mine")["name"] == "me/mine"


@pytest.mark.parametrize("arguments", [["rm", "../x"], ["rm", "x"], ["rm", "a/b@main"], ["cp", "a/b", "/etc"],
                                       ["cp", "a/..", "a/b"]])
def test_what_is_no_name_is_refused(program, arguments):
    assert "is not the name of a model" in program.fails(*arguments)
