"""bench/compare.py and bench/accuracy.py: what is measured, how each program's answer is read, what is kept, how it is judged."""
import json
import os
import stat
import sys

import numpy as np
import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "bench"))

import accuracy  # noqa: E402
import compare  # noqa: E402
import compare_peers as peers  # noqa: E402
import compare_rows as rows  # noqa: E402
from compare_rows import parse_test  # noqa: E402

ROW = ("qwen3-0.6b", "q8_0", "pp512")


def sizes(_shape, _kind):
    return 640e6


# ---- which rows ----------------------------------------------------------------------------------------------------------

def test_a_name_says_tokens_depth_and_batch():
    assert parse_test("pp4096@d12288") == rows.Test("pp4096@d12288", 4096, 0, 12288, 1)
    assert parse_test("tg32@d512x16") == rows.Test("tg32@d512x16", 0, 32, 512, 16)
    for name in ("pp", "tg0", "pp512@", "512", "pp512x"):
        with pytest.raises(ValueError, match="is no test"):
            parse_test(name)


def test_a_pattern_chooses_rows_and_long_ones_are_for_the_smallest_models_alone():
    assert list(rows.rows_of(["qwen3-0.6b/q8_0/pp512"])) == [ROW]
    names = {test for _, _, test in rows.rows_of(["qwen3-0.6b/q4_k/*"])}
    assert names == {*rows.SHORT, *rows.LONG}
    assert {test for _, _, test in rows.rows_of(["qwen3-1.7b/q4_k/*", "qwen3-0.6b/bf16/*"])} == set(rows.SHORT)
    assert len(list(rows.rows_of(["*/pp512"]))) == len(rows.SHAPES) * len(rows.TYPES)


# ---- what programs print -------------------------------------------------------------------------------------------------

def test_tongyun_bench_is_read_with_shares_of_the_peak_of_the_type():
    text = json.dumps([{"n_prompt": 512, "n_gen": 0, "n_depth": 0, "n_batch": 1, "samples_ns": [1000000000],
                        "bandwidth_ratio": 0.01, "ops_per_s": 225, "weights_arithmetic": "int8",
                        "weights_peak_ops_per_s": 900}], indent=2)
    tests = [parse_test("pp512"), parse_test("tg32")]
    assert list(peers.parse_tongyun(text, tests)) == [("pp512", {"rate": 512, "bandwidth": 0.01, "compute": 0.25})]


def test_llama_bench_is_read():
    text = ('[\n  {"n_prompt": 8, "n_gen": 0, "n_depth": 0, "samples_ts": [ 1.5861 ]},\n'
            '  {"n_prompt": 0, "n_gen": 2, "n_depth": 64, "samples_ts": [ 0.26 ]}\n]\n')
    assert dict(peers.parse_llama_bench(text, [parse_test("pp8"), parse_test("tg2@d64")])) == {
        "pp8": {"rate": 1.5861}, "tg2@d64": {"rate": 0.26}}
    assert not list(peers.parse_llama_bench(text[:40], [parse_test("pp8")]))     # cut by the limit


def test_llama_batched_bench_is_read():
    text = ('llama_context: n_ctx = 512\n{"n_kv_max": 512, "pp": 16, "tg": 2, "pl": 2, "n_kv": 36, "t_pp": 0.513985, '
            '"speed_pp": 62.25, "t_tg": 0.306921, "speed_tg": 13.03, "t": 0.820906, "speed": 43.85}\n')
    assert dict(peers.parse_batched(text, [parse_test("tg2@d16x2")])) == {"tg2@d16x2": {"rate": 13.03}}
    text = ("|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
            "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
            "|    64 |      2 |    4 |    264 |    8.808 |    29.06 |    0.983 |     8.14 |    9.791 |    26.96 |\n")
    assert dict(peers.parse_batched(text, [parse_test("tg2@d64x4")])) == {"tg2@d64x4": {"rate": 8.14}}


def test_llama_sweep_bench_gives_decode_at_a_depth_and_a_prompt_as_the_steps_that_it_covers():
    text = "\n".join(json.dumps({"pp": 512, "tg": 8, "n_kv": at, "t_pp": 2.0, "speed_pp": 256.0, "speed_tg": 20.0})
                     for at in (0, 512, 1024))
    seen = dict(peers.parse_sweep(text, [parse_test("tg32@d1024"), parse_test("pp1024@d512"), parse_test("pp1024@d1024")]))
    assert seen == {"tg32@d1024": {"rate": 20.0}, "pp1024@d512": {"rate": 256.0}}


def test_a_python_package_is_read_line_by_line():
    assert dict(peers.parse_python('load\n{"test": "pp16", "rate": 41.2}\n{"test": "tg2", "ra')) == {"pp16": {"rate": 41.2}}


# ---- what is kept --------------------------------------------------------------------------------------------------------

def test_finished_rounds_are_found_again_and_a_note_ends_a_cell(tmp_path):
    path = str(tmp_path / "results.json")
    store = rows.Store(path)
    store.add(ROW, "tongyun", {"rate": 10.0, "compute": 0.5}, "tongyun bench")
    store.add(ROW, "openvino", {"note": "over 9 s"}, "python")
    again = rows.Store(path)
    assert again.missing(ROW, "tongyun", 3) == 2
    assert again.missing(ROW, "openvino", 3) == 0
    assert again.missing(ROW, "llama.cpp", 3) == 3
    again.forget(ROW, "openvino")
    assert again.missing(ROW, "openvino", 3) == 3


FAKE = """#!{python}
import json, sys
with open({log!r}, "a") as file: file.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "bench":
    print(json.dumps([dict(n_prompt=512, n_gen=0, n_depth=0, n_batch=1, samples_ns=[500000000], bandwidth_ratio=0.01,
                           ops_per_s=6.3, weights_peak_ops_per_s=9)], indent=2))
else:
    sys.exit("llama-bench: this file | cannot be read")
"""


def test_the_script_measures_what_is_missing_and_says_why_a_peer_cannot(tmp_path, capsys):
    log = tmp_path / "log"
    for name in ("tongyun", "llama-bench"):
        (tmp_path / name).write_text(FAKE.format(python=sys.executable, log=str(log)))
        os.chmod(tmp_path / name, stat.S_IRWXU)
    (tmp_path / "qwen3-0.6b-q8_0.gguf").write_bytes(b"GGUF")
    command = [str(tmp_path / "results.json"), "--models", str(tmp_path), "--tongyun", str(tmp_path / "tongyun"), "--isa",
               "none", "--llama", str(tmp_path), "--rows", "*0.6b/q8_0/pp512", "--threads", "1", "--rounds", "2"]
    compare.main(command)
    first = capsys.readouterr().out
    assert "| qwen3-0.6b | q8_0 | pp512 | 1024 | no | 70 % peak | - |" in first
    assert "llama.cpp: exit code 1: llama-bench: this file / cannot be read (qwen3-0.6b/q8_0/pp512)" in first
    assert len(log.read_text().splitlines()) == 3      # two rounds of ours, one of the peer
    document = tmp_path / "document.md"
    document.write_text("a\n<!-- compare -->\nold\n<!-- /compare -->\nb\n")
    compare.main([*command, "--write", str(document)])
    assert capsys.readouterr().out == first
    assert document.read_text() == "a\n<!-- compare -->\n" + first.rstrip() + "\n<!-- /compare -->\nb\n"
    assert len(log.read_text().splitlines()) == 3


# ---- how it is judged ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("test", "ours", "best", "ik", "share", "met"), [
    ("pp512", 126, 100, 70, 0.5, True), ("pp512", 124, 100, 60, 0.5, False), ("pp512", 130, 100, 80, 0.5, False),
    ("pp512", 90, 100, 80, 0.75, True), ("tg32", 126, 100, 50, 0.5, True), ("tg32", 110, 100, 50, 0.9, True),
    ("tg32", 124, 100, 50, 0.8, False), ("tg32@d4096", 151, 100, 50, 0.1, True), ("tg32@d4096", 149, 100, 50, 0.95, False),
    ("tg32@d16384", 199, 100, 50, 0.1, False), ("tg32@d512x16", 201, 100, 50, 0.1, True),
    ("pp4096@d12288", 201, 100, 90, 0.1, True)])
def test_bars(test, ours, best, ik, share, met):
    cell = {"samples": [ours], "compute": [share], "bandwidth": [share]}
    others = {"openvino": {"samples": [best]}, "ik_llama.cpp": {"samples": [ik]}, "mistralrs": {"note": "over 9 s"}}
    verdict = rows.judge(parse_test(test), cell, others, 640e6)
    assert verdict.met is met
    assert verdict.ratio == pytest.approx(ours / best)


def test_without_a_peer_nothing_is_met_or_missed():
    assert rows.judge(parse_test("tg32"), {"samples": [5]}, {"openvino": {"note": "no"}}, 1).met is None


def test_a_file_is_loaded_in_time_for_its_size():
    assert rows.judge(parse_test("load"), {"samples": [0.8]}, {}, 0.6e9).met is True
    assert rows.judge(parse_test("load"), {"samples": [1.0]}, {}, 0.6e9).met is False
    assert rows.judge(parse_test("load"), {"samples": [2.9]}, {}, 2e9).met is True
    assert rows.judge(parse_test("load"), {"samples": [1.6]}, {}, 1e9).met is False


# ---- accuracy ------------------------------------------------------------------------------------------------------------

def test_a_base_file_says_what_its_logits_said():
    logits = np.random.default_rng(1).normal(0, 3, (7, 301)).astype(np.float32)
    base = accuracy.base_rows(logits)
    assert base.shape == (7, accuracy.row_words(301))
    assert np.abs(accuracy.kl(base, logits)).max() < 1e-4        # 16 bits over a range of 16
    exact = logits - np.logaddexp.reduce(logits.astype(np.float64), axis=-1, keepdims=True)
    said = accuracy.base_log_probs(base, 301)
    assert np.abs(said - np.maximum(exact, said[:, 1:].min(-1, keepdims=True))).max() < 2e-4


def test_divergence_is_of_the_base_from_the_other():
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.5, 0.25]])
    base = accuracy.base_rows(np.log(p).astype(np.float32))
    assert accuracy.kl(base, np.log(q).astype(np.float32))[0] == pytest.approx(0.25 * np.log(2), abs=1e-4)


def test_llama_perplexity_is_read():
    text = "====== KL divergence statistics ======\nMean    KLD:   0.000698 \u00b1   0.000061\nMaximum KLD:   0.030\n"
    assert accuracy.parse_mean_kl(text) == 0.000698
    assert accuracy.parse_mean_kl("error") is None


def test_types_of_keys_and_values_are_lines_of_their_own():
    results = {"q8_0": {"bits": 8.5, "avx2": 0.004, "avx2, q8_0": 0.006, "llama.cpp, q8_0": 0.005}}
    assert accuracy.table(results, ["q8_0"], ["avx2"]) == [
        "| type | bits a weight | avx2 | llama.cpp | ratio |", "|---|---|---|---|---|",
        "| q8_0 | 8.50 | 0.004000 | - | - |"]
    assert accuracy.table(results, ["q8_0"], ["avx2"], ["auto", "q8_0"])[2:] == [
        "| q8_0 | 8.50 | auto | 0.004000 | - | - |", "| q8_0 | 8.50 | q8_0 | 0.006000 | 0.005000 | 1.20 |"]
