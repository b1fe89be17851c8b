"""tongyun perplexity: the number that the model's own logits give."""
import json
import math
import os
import struct

import numpy as np
import pytest

from program import QWEN3, checkpoint

TEXT = "The quick brown fox jumps over the lazy dog. 春眠不觉晓，处处闻啼鸟。 1234567890 \n" * 12


def surprises(program, tmp_path, tokens, ctx, bos=None):
    """-ln p of every token in the second half of each window, from `tongyun logits` of that window alone; bos: what
    stands for the first token of each."""
    found = []
    for at in range(0, len(tokens) - ctx + 1, ctx):
        window = tokens[at:at + ctx]
        window[0] = window[0] if bos is None else bos
        (tmp_path / "ids").write_text(" ".join(map(str, window)))
        program.ok("logits", QWEN3, "--tokens", tmp_path / "ids", "--out", tmp_path / "l.npy")
        logits = np.load(tmp_path / "l.npy").astype(np.float64)[:, :program.json("show", QWEN3)["vocab"]]
        for i in range(ctx // 2, ctx - 1):
            found.append(np.logaddexp.reduce(logits[i]) - logits[i, window[i + 1]])
    return np.array(found)


@pytest.mark.parametrize("ctx", [32, 37])
def test_it_is_the_mean_of_second_halves_with_its_standard_error(program, tmp_path, ctx):
    (tmp_path / "text").write_text(TEXT)
    tokens = [int(t) for t in program.ok("tokenize", QWEN3, stdin=TEXT).split()]
    said = program.json("perplexity", QWEN3, tmp_path / "text", "--ctx", ctx)
    x = surprises(program, tmp_path, tokens, ctx)
    assert (said["tokens"], said["predicted"], said["ctx"]) == (len(tokens), len(x), ctx)
    assert said["perplexity"] == pytest.approx(math.exp(x.mean()), rel=1e-6)
    assert said["error"] == pytest.approx(math.exp(x.mean()) * x.std() / math.sqrt(len(x) - 1), rel=1e-5)
    words = program.ok("perplexity", QWEN3, "-", "--ctx", ctx, stdin=TEXT).split()
    assert (float(words[1]), float(words[3])) == pytest.approx((said["perplexity"], said["error"]), rel=1e-6)
    assert words[2] == "+/-" and words[4:] == f"over {len(x)} tokens, windows of {ctx}".split()


def test_fewer_windows_are_the_first_ones(program, tmp_path):
    (tmp_path / "text").write_text(TEXT)
    said = program.json("perplexity", QWEN3, tmp_path / "text", "--ctx", 32, "--windows", 2)
    tokens = [int(t) for t in program.ok("tokenize", QWEN3, stdin=TEXT).split()][:64]
    assert said["perplexity"] == pytest.approx(math.exp(surprises(program, tmp_path, tokens, 32).mean()), rel=1e-6)


def test_a_model_that_knows_texts_by_their_bos_reads_it_first_in_each_window(program, tmp_path):
    model = checkpoint(tmp_path / "bos", tokenizer_config={"add_bos_token": True, "bos_token": "<|endoftext|>"})
    (tmp_path / "text").write_text(TEXT)
    bos = int(program.ok("tokenize", QWEN3, "--special", stdin="<|endoftext|>"))
    tokens = [bos] + [int(t) for t in program.ok("tokenize", QWEN3, stdin=TEXT).split()]
    said = program.json("perplexity", model, tmp_path / "text", "--ctx", 32)
    x = surprises(program, tmp_path, tokens, 32, bos)
    assert (said["tokens"], said["perplexity"]) == (len(tokens), pytest.approx(math.exp(x.mean()), rel=1e-6))


def test_what_cannot_be_measured_is_said(program, tmp_path):
    (tmp_path / "text").write_text("one two")
    assert "less than one window of 512; give more text or a smaller --ctx" in program.fails(
        "perplexity", QWEN3, tmp_path / "text")
    assert "--ctx 1048576 is more than the model's context" in program.fails(
        "perplexity", QWEN3, tmp_path / "text", "--ctx", 1048576)
    assert "absent" in program.fails("perplexity", QWEN3, tmp_path / "absent")
    assert program.wrong("perplexity") == "which FILE?"
    for model in (QWEN3, "x.gguf"):     # not the text to measure the model inside by
        assert program.wrong("perplexity", model) == f"'{model}' is a MODEL; which FILE?"


def test_what_is_beyond_all_numbers_is_no_perplexity(program, tmp_path):
    (tmp_path / "text").write_text("one two three " * 20)
    path = os.path.join(checkpoint(tmp_path / "model"), "model.safetensors")
    with open(path, "rb") as file:
        data = bytearray(file.read())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    begin, end = (8 + size + offset for offset in header["model.norm.weight"]["data_offsets"])
    data[begin:end] = struct.pack("<f", 1e6) * ((end - begin) // 4)
    with open(path, "wb") as file:
        file.write(data)
    for more in [], ["--json"]:
        assert "the perplexity is beyond all numbers" in program.fails(
            "perplexity", tmp_path / "model", tmp_path / "text", "--ctx", 16, *more)


def test_at_a_terminal_a_bar_shows_how_far_it_is(program, tmp_path):
    (tmp_path / "text").write_text("all the same " * 40)
    with program.chat("perplexity", QWEN3, tmp_path / "text", "--ctx", 32) as terminal:
        assert "[####" in terminal.until("100%")
        assert "perplexity " in terminal.until("\n") and terminal.end() == 0
