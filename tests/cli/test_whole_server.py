"""The server with the real executor: a thread of its own, ragged batches, two steps in flight."""
import concurrent.futures
import http.client
import json
import os
import re

from program import GOLDEN, POET, QWEN3

TITLES = ["春雨", "秋夜", "江上", "山居", "送别", "明月", "古寺", "边塞"]


def poem(title, **fields):
    return {"content": f"写一首七言绝句，题为{title}", "max_tokens": 200, "seed": 11, "ignore_eos": True, **fields}


def text_of(answer):
    status, _, document = answer
    assert status == 200, document
    return document["choices"][0]["message"]["content"]


def leave_early(server, title):
    """A client that goes away after its first delta."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = {"stream": True, "max_tokens": 400, "ignore_eos": True,
            "messages": [{"role": "user", "content": f"写一首五言律诗，题为{title}"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    response.readline()
    connection.close()


def metric(server, name):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return float(re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M).group(1))


def together(server):
    with concurrent.futures.ThreadPoolExecutor(2 * len(TITLES)) as pool:
        asked = [pool.submit(server.ask, **poem(title)) for title in TITLES]
        left = [pool.submit(leave_early, server, title) for title in TITLES]
        [future.result() for future in left]
        return [text_of(future.result()) for future in asked]


def test_an_answer_does_not_depend_on_its_neighbours_or_on_those_who_leave(program):
    with program.serve(executor="chip") as server:
        alone = [text_of(server.ask(**poem(title))) for title in TITLES]
        assert len(set(alone)) == len(TITLES)
        assert together(server) == alone
    assert program.json("ledger", "check") == {"ok": True}


def test_nor_on_small_steps_and_a_cache_too_small_for_all_at_once(program):
    with program.serve(executor="chip") as server:
        alone = [text_of(server.ask(**poem(title))) for title in TITLES]
    with program.serve("-t", 1, "--max-num-batched-tokens", 16, "--kv-cache-mib", 3, "-np", 8, executor="chip") as server:
        assert together(server) == alone
        assert metric(server, "tongyun_preemptions_total") > 0, "nothing was put back: the cache was large enough"


def test_what_the_answer_says_it_used_is_what_usage_lists(program):
    program.ok("price", "set", POET, "--input", "2.00", "--output", "8.00")
    program.ok("tenant", "create", "lab", "--balance", "1.00")
    key = program.json("key", "create", "lab")["key"]
    with program.serve(executor="chip") as server:
        status, request_id, answer = server.ask(key, **poem("春雨"))
        assert status == 200
        rows = program.json("usage", "list", "--request", request_id)
    assert [(row["input"], row["output"]) for row in rows] == [
        (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])]
    assert answer["usage"]["completion_tokens"] == 200
    assert rows[0]["amount_nano"] == answer["usage"]["prompt_tokens"] * 2000 + 200 * 8000


def test_several_models_are_served_and_billed_each_by_its_own_price(program):
    program.ok("price", "set", POET, "--input", "2.00", "--output", "8.00")
    program.ok("price", "set", "small", "--input", "1.00", "--output", "1.00")
    program.ok("tenant", "create", "lab", "--balance", "1.00")
    key = program.json("key", "create", "lab")["key"]
    poet = os.path.join(os.path.dirname(GOLDEN), "..", "assets", "tongyun-poet.gguf")
    with program.serve(poet, QWEN3, "--alias", POET, "--alias", "small", executor="chip") as server:
        assert server.models(key) == [POET, "small"]
        for model, input_nano, output_nano in ((POET, 2000, 8000), ("small", 1000, 1000)):
            status, request_id, answer = server.ask(key, model=model, max_tokens=5, ignore_eos=True)
            assert (status, answer["model"]) == (200, model)
            row, = program.json("usage", "list", "--request", request_id)
            assert row["model"] == model
            assert row["amount_nano"] == answer["usage"]["prompt_tokens"] * input_nano + 5 * output_nano
        assert server.ask(key, model="other")[0] == 404
    assert program.json("ledger", "check") == {"ok": True}


def test_models_that_cannot_be_told_apart_are_refused(program):
    done = program.run("serve", QWEN3, QWEN3, "--port", "0")
    assert done.returncode == 1
    assert "two models are called qwen3-f32; give each one an --alias" in done.stderr
    assert "more --alias than models" in program.wrong("serve", QWEN3, "--alias", "a", "--alias", "b")
    assert "too much: --model has named" in program.wrong("serve", QWEN3, "--model", QWEN3)
