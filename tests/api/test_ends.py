"""How answers end: clients that leave, clients that do not read, servers that stop; and what each of them costs."""
import json
import signal
import socket
import time

import openai
import pytest

from cloud import NANO, Response, body, hello, post, read_all

PRICE = 2 * NANO  # per million tokens of either kind


def paid(home, balance=1, **price):
    """A tenant with a key, on a model that has a price; before or while the server runs."""
    home.admin("price_set", model="sim", **({"input_nano": PRICE, "output_nano": PRICE} | price))
    return home.tenant("payer", balance=balance)


def amount(prompt, completion):
    return (prompt * PRICE + completion * PRICE + 500000) // 1000000


def events(raw):
    """The data of each server-sent event in the bytes of a chunked answer whose end, an empty line, came too."""
    text = raw.partition(b"\r\n\r\n")[2]
    whole = text.split(b"\n\n")[:-1]
    data = [line[6:] for event in whole for line in event.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in data]


def tokens_in(raw):
    """Tokens that a client has in hand: with usage in each chunk, the last count that came whole."""
    counts = [e["usage"]["completion_tokens"] for e in events(raw) if e.get("usage")]
    return counts[-1] if counts else 0


STREAM = dict(stream=True, ignore_eos=True, stream_options={"include_usage": True, "continuous_usage_stats": True})


def test_what_usage_says_is_what_the_ledger_takes(home):
    key = paid(home)
    home.start()
    raw = home.client(key).chat.completions.with_raw_response.create(**hello(seed=1, max_tokens=50))
    usage = raw.parse().usage
    request = raw.headers["x-request-id"]
    row = home.usage(request=request)[0]
    expected = amount(usage.prompt_tokens, usage.completion_tokens)
    assert row["amount_nano"] == expected
    kinds = [t["kind"] for t in home.admin("ledger_list", request=request)]
    assert kinds == ["hold", "settle"]
    state = home.admin("tenant_show", name="payer")
    assert (state["balance_nano"], state["held_nano"]) == (NANO - expected, 0)
    home.check()


def test_the_record_is_durable_before_the_client_sees_the_end(home):
    key = paid(home)
    home.start()
    for _ in range(5):
        raw = home.client(key).chat.completions.with_raw_response.create(
            **hello(max_tokens=3, stream=True))
        for chunk in raw.parse():
            if chunk.choices[0].finish_reason:
                assert len(home.usage(request=raw.headers["x-request-id"])) == 1


def test_a_client_that_leaves_pays_for_what_was_written(home):
    key = paid(home)
    home.start("--step-us", 5000)
    with home.connect() as s:
        s.sendall(post(body(**STREAM), f"Authorization: Bearer {key}"))
        raw = b""
        while tokens_in(raw) < 5:
            raw += s.recv(65536)
    home.wait_until(lambda: len(home.usage()) == 1)
    row = home.usage()[0]
    assert row["finish"] == "cancelled"
    assert 5 <= row["output"] < 40
    assert row["amount_nano"] == amount(row["input"], row["output"])
    assert home.admin("tenant_show", name="payer")["held_nano"] == 0
    assert home.metrics()["tongyun_requests_running"] == 0
    home.check()


def test_a_client_that_leaves_before_anything_came_pays_nothing_for_the_answer(home):
    key = paid(home)
    home.start("--step-us", 300000)
    with home.connect() as s:
        s.sendall(post(body(ignore_eos=True, max_tokens=100), f"Authorization: Bearer {key}"))
        home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 1)
    home.wait_until(lambda: len(home.usage()) == 1)
    row = home.usage()[0]
    assert (row["finish"], row["output"]) == ("cancelled", 0)
    home.check()


def test_a_client_that_leaves_is_gone_within_a_step(home):
    home.start("--step-us", 20000)
    with home.connect() as s:
        s.sendall(post(body(**STREAM)))
        home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 1)
    left = time.monotonic()
    home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 0)
    assert time.monotonic() - left < 1
    assert home.metrics()["tongyun_clients_gone_total"] >= 1


def test_the_official_client_can_close_a_stream(home):
    key = paid(home)
    home.start()
    stream = home.client(key).chat.completions.create(**hello(stream=True, extra_body={"ignore_eos": True}))
    for i, _ in enumerate(stream):
        if i == 10:
            stream.close()
            break
    home.wait_until(lambda: len(home.usage()) == 1)
    assert home.usage()[0]["finish"] == "cancelled"
    home.check()


def test_a_client_that_does_not_read_is_not_computed_for(home):
    home.start("--step-us", 50, "--context", 60000, "--write-idle-ms", 60000)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", home.port))
    s.sendall(post(body(**STREAM)))
    sampled = -1.0
    for _ in range(200):
        time.sleep(0.1)
        now = home.metrics()["tongyun_batches_total"]
        if now == sampled:
            break
        sampled = now
    assert 0 < sampled < 20000
    raw = b""
    while tokens_in(raw[-8192:] if len(raw) > 8192 else raw) < 1 and len(raw) < 100000:
        raw += s.recv(65536)
    home.wait_until(lambda: home.metrics()["tongyun_batches_total"] > sampled if s.recv(65536) else False)
    s.close()
    home.wait_until(lambda: len(home.usage()) == 1)
    assert home.usage()[0]["output"] <= home.metrics()["tongyun_batches_total"]
    home.check()


def connect_narrow(home):
    """A client whose kernel takes little for it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", home.port))
    return s


def test_a_client_that_takes_nothing_is_cut_off(home):
    key = paid(home)
    home.start("--step-us", 50, "--context", 60000, "--write-idle-ms", 1000)
    s = connect_narrow(home)
    s.sendall(post(body(**STREAM), f"Authorization: Bearer {key}"))
    home.wait_until(lambda: len(home.usage()) == 1, seconds=30)
    row = home.usage()[0]
    assert row["finish"] == "cancelled"
    raw = read_all(s)
    assert tokens_in(raw) in (row["output"], row["output"] - 1)
    home.check()


def test_a_client_that_does_not_take_the_rest_of_a_whole_answer_is_cut_off(home):
    """The core has said ANSWERED, less than the limit is unsent: nothing was stalled, and still the client has its time."""
    key = paid(home)
    home.start("--step-us", 50, "--write-idle-ms", 1500, "--socket-send-bytes", 4096)
    with connect_narrow(home) as s:
        s.sendall(post(body(**(STREAM | {"max_tokens": 300})), f"Authorization: Bearer {key}"))

        def answer_is_whole():
            now = home.metrics()
            assert now['tongyun_requests_total{finish="cancelled"}'] == 0
            return now["tongyun_tokens_sampled_total"] == 300
        home.wait_until(answer_is_whole)
        assert home.metrics()["tongyun_requests_running"] == 0
        home.wait_until(lambda: len(home.usage()) == 1)
        raw = read_all(s)
    row = home.usage()[0]
    assert row["finish"] == "cancelled"
    assert tokens_in(raw) in (row["output"], row["output"] - 1) and row["output"] < 300
    assert b"[DONE]" not in raw and events(raw)[-1].get("error") is None
    state = home.admin("tenant_show", name="payer")
    assert (state["held_nano"], state["balance_nano"]) == (0, NANO - amount(row["input"], row["output"]))
    assert [t["kind"] for t in home.admin("ledger_list", request=row["request_id"])] == ["hold", "settle"]
    assert home.metrics()["tongyun_tokens_undelivered_total"] == 300 - row["output"]
    home.check()


def test_a_client_that_takes_a_little_now_and_then_keeps_its_answer(home):
    """Longer than the limit in all, never that long without a byte: what flies is one write, and its parts count."""
    home.start("--step-us", 50, "--context", 60000, "--write-idle-ms", 1500)
    with connect_narrow(home) as s:
        s.sendall(post(body(**(STREAM | {"max_tokens": 5000})), "Connection: close"))
        raw = b""
        end = time.monotonic() + 4
        while time.monotonic() < end:
            raw += s.recv(16384)
            time.sleep(0.1)
        assert home.usage() == []
        raw += read_all(s)
    assert b"data: [DONE]" in raw and tokens_in(raw) == 5000
    home.check()


def text_of(raw):
    """The answer in the bytes of a stream."""
    return "".join(e["choices"][0]["delta"].get("content") or "" for e in events(raw) if e["choices"])


def test_clients_that_do_not_read_hold_up_nobody(home):
    """Both slots are taken by clients that read nothing; a third is answered while they are there. When they read at
    last both have their whole answer, and the one whose slot was given away has it and its bill like the other."""
    key = paid(home)
    home.start("--slots", 2, "--step-us", 50, "--context", 60000, "--write-idle-ms", 600000)
    request = post(body(**(STREAM | {"max_tokens": 5000, "seed": 7})), f"Authorization: Bearer {key}", "Connection: close")
    with connect_narrow(home) as first, connect_narrow(home) as second:
        first.sendall(request)
        second.sendall(request)
        home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 2)
        answer = home.client(key).chat.completions.create(**hello(max_tokens=2, extra_body={"ignore_eos": True}))
        assert answer.usage.completion_tokens == 2
        assert [r["output"] for r in home.usage()] == [2]
        now = home.metrics()
        assert (now["tongyun_requests_parked"], now["tongyun_requests_waiting"]) == (1, 0)
        assert now["tongyun_preemptions_total"] == 1
        raws = [read_all(first), read_all(second)]
    assert all(b"data: [DONE]" in raw and tokens_in(raw) == 5000 for raw in raws)
    assert text_of(raws[0]) == text_of(raws[1])
    rows = [r for r in home.usage() if r["output"] == 5000]
    assert [r["amount_nano"] for r in rows] == [amount(rows[0]["input"], 5000)] * 2
    home.check()


def test_an_engine_error_costs_nothing(home):
    key = paid(home)
    home.start("--fail-per-million", 1000000)
    with pytest.raises(openai.InternalServerError) as error:
        home.client(key).chat.completions.create(**hello(max_tokens=5))
    assert error.value.status_code == 500
    with home.connect() as s:
        s.sendall(post(body(stream=True), f"Authorization: Bearer {key}", "Connection: close"))
        response = Response(read_all(s))
    assert response.status == 500
    assert response.error()["type"] == "server_error"
    rows = home.usage()
    assert [r["finish"] for r in rows] == ["error", "error"] and sum(r["amount_nano"] for r in rows) == 0
    assert home.admin("tenant_show", name="payer")["balance_nano"] == NANO
    home.check()


def status_of(home, path):
    with home.connect() as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return Response(read_all(s)).status


def test_usage_that_cannot_be_recorded_is_not_charged_and_nothing_new_begins_until_it_can(home):
    five = {"max_tokens": 5, "extra_body": {"ignore_eos": True}}
    key = paid(home)
    home.start("--vfs", "lossy")
    home.client(key).chat.completions.create(**hello(**five))
    state = home.admin("tenant_show", name="payer")
    home.process.send_signal(signal.SIGUSR1)

    for stream in (False, True):
        with home.connect() as s:
            s.sendall(post(body(max_tokens=5, ignore_eos=True, stream=stream), f"Authorization: Bearer {key}", "Connection: close"))
            raw = read_all(s)
        if b"HTTP/1.1 503" in raw[:20]:     # the first failure is known already
            assert Response(raw).error()["code"] == "overloaded" and int(Response(raw).headers["retry-after"]) >= 1
        elif stream:
            assert events(raw)[-1]["error"]["type"] == "server_error" and b"[DONE]" not in raw
        else:
            assert Response(raw).status == 500 and Response(raw).error()["type"] == "server_error"
    assert (status_of(home, "/readyz"), status_of(home, "/health")) == (503, 200)
    assert home.metrics()["tongyun_store_failing"] == 1

    home.process.send_signal(signal.SIGUSR2)
    home.wait_until(lambda: status_of(home, "/readyz") == 200)
    assert home.admin("tenant_show", name="payer") == state
    assert home.client(key).chat.completions.create(**hello(**five)).usage.completion_tokens == 5
    rows = home.usage()
    assert all(r["amount_nano"] == 0 for r in rows if r["finish"] == "error")
    assert [r["finish"] for r in rows].count("length") == 2
    home.check()


def test_an_answer_ends_where_the_money_ends(home):
    key = paid(home, balance=0.0003)
    home.start()
    answer = home.client(key).chat.completions.create(**hello(extra_body={"ignore_eos": True}))
    assert answer.choices[0].finish_reason == "length"
    state = home.admin("tenant_show", name="payer")
    assert 0 <= state["balance_nano"] < PRICE // 1000000 + 1
    assert state["held_nano"] == 0
    with pytest.raises(openai.RateLimitError) as error:
        home.client(key).chat.completions.create(**hello())
    assert error.value.code == "insufficient_quota"
    home.check()


def test_one_open_request_does_not_lock_the_whole_balance(home):
    key = paid(home)
    home.start("--step-us", 20000)
    with home.connect() as s:
        s.sendall(post(body(**STREAM), f"Authorization: Bearer {key}"))
        home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 1)
        state = home.admin("tenant_show", name="payer")
        assert 0 < state["held_nano"] <= amount(100, 1024)
        assert home.client(key).chat.completions.create(**hello(max_tokens=2, extra_body={"ignore_eos": True})).usage.completion_tokens == 2


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_end_finishes_what_runs(home, end):
    key = paid(home)
    home.start("--step-us", 5000)
    with home.connect() as s:
        s.sendall(post(body(**(STREAM | {"max_tokens": 60})), f"Authorization: Bearer {key}", "Connection: close"))
        raw = b""
        while tokens_in(raw) < 3:
            raw += s.recv(65536)
        home.process.send_signal(end)
        time.sleep(0.1)
        with home.connect() as other:
            other.sendall(post(body(), f"Authorization: Bearer {key}", "Connection: close"))
            late = Response(read_all(other))
        assert (status_of(home, "/readyz"), status_of(home, "/health")) == (503, 200)
        raw += read_all(s)
    assert late.status == 503 and late.error()["code"] == "overloaded"
    assert b"data: [DONE]" in raw and tokens_in(raw) == 60
    assert home.wait(20) == 0
    assert [r["finish"] for r in home.usage()] == ["length"]
    home.check()


def test_after_the_grace_time_streams_end_with_an_error_event(home):
    key = paid(home)
    home.start("--step-us", 5000, "--grace-ms", 300)
    with home.connect() as s:
        s.sendall(post(body(**STREAM), f"Authorization: Bearer {key}", "Connection: close"))
        raw = b""
        while tokens_in(raw) < 3:
            raw += s.recv(65536)
        home.process.send_signal(signal.SIGTERM)
        raw += read_all(s)
    last = events(raw)[-1]
    assert last["error"]["code"] == "cancelled"
    assert b"[DONE]" not in raw
    assert home.wait(20) == 0
    row = home.usage()[0]
    assert row["finish"] == "cancelled" and row["output"] == tokens_in(raw)
    home.check()


def test_a_second_sigterm_ends_at_once(home):
    home.start("--step-us", 20000)
    with home.connect() as s:
        s.sendall(post(body(**STREAM)))
        home.wait_until(lambda: home.metrics()["tongyun_requests_running"] == 1)
        start = time.monotonic()
        home.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert home.process.poll() is None
        home.process.send_signal(signal.SIGTERM)
        assert home.wait(20) == 0
    assert time.monotonic() - start < 5
    home.check()


def test_an_idle_server_stops_at_once(home):
    home.start()
    with home.connect():
        start = time.monotonic()
        assert home.stop() == 0
    assert time.monotonic() - start < 1.5
    assert home.admin("tenant_list")[0]["name"] == "local"
