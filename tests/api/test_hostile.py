"""Clients that mean harm: each gets its answer or its end within a bound, and nobody else waits for them."""
import json
import os
import resource
import socket
import threading
import time

import pytest

from cloud import Response, body, hello, post, read_all, sanitized


def memory_mib(cloud):
    with open(f"/proc/{cloud.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def healthy(cloud, within=0.5):
    start = time.monotonic()
    with cloud.connect() as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Response(read_all(s)).status == 200
    assert time.monotonic() - start < within


def test_a_header_that_drips_is_cut_off(home):
    home.start("--header-ms", 500)
    with home.connect() as s:
        start = time.monotonic()
        s.settimeout(0.1)
        raw = b""
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n")
        while time.monotonic() - start < 5:
            try:
                s.sendall(b"x: y\r\n")
                raw += s.recv(65536)
                break
            except socket.timeout:
                continue
            except OSError:
                break
        assert time.monotonic() - start < 2
    if raw:
        assert Response(raw).status == 408


def test_hundreds_of_silent_connections_do_not_keep_others_out(home):
    home.start("--header-ms", 1500)
    silent = [home.connect() for _ in range(500)]
    healthy(home)
    start = time.monotonic()
    for s in silent:
        s.settimeout(10)
        assert s.recv(1) == b""
        s.close()
    assert time.monotonic() - start < 5


def test_a_body_larger_than_the_limit_is_refused_before_it_comes(home):
    home.start()
    with home.connect() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 17000000\r\nExpect: 100-continue\r\n\r\n")
        response = Response(read_all(s))
    assert response.status == 413
    response.error()


def test_a_body_is_not_taken_from_who_has_no_key(home):
    home.start()
    key = home.tenant("lab", balance=10)
    for headers, status in (("", 401), ("Authorization: Bearer sk-wrong\r\n", 401), (f"Authorization: Bearer {key}\r\n", 0)):
        with home.connect() as s:
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 15000000\r\n\r\n".encode())
            s.settimeout(20 if status else 0.3)
            if not status:
                with pytest.raises(socket.timeout):
                    s.recv(1)
                continue
            response = Response(read_all(s))
            assert response.status == status
            assert response.error()["code"] == "invalid_api_key"
            assert response.headers["connection"] == "close"
    assert home.client(key).chat.completions.create(**hello(max_tokens=1)).usage.completion_tokens == 1


def test_a_get_with_a_body_is_answered_without_it(home):
    home.start()
    with home.connect() as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 15000000\r\n\r\nxx")
        assert Response(read_all(s)).status == 200


def test_a_chunked_body_without_end_is_refused_at_the_limit(home):
    home.start("--body-bytes", 1000000)
    with home.connect() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 5000000:
                s.sendall(b"2710\r\n" + b"x" * 10000 + b"\r\n")
                sent += 10000
        except OSError:
            pass
        raw = read_all(s)
    assert raw == b"" or Response(raw).status == 413
    healthy(home)


def test_the_largest_bodies_do_not_hold_up_small_requests(home):
    home.start()
    big = json.dumps({"model": "sim", "messages": [{"role": "user", "content": "x" * 15000000}]}).encode()
    many = b'{"model":"sim","messages":[' + b",".join([b'{"role":"user","content":"x"}'] * 240000) + b"]}"
    answers = []

    def send(payload):
        with home.connect() as s:
            s.settimeout(60)
            s.sendall(post(payload, "Connection: close"))
            answers.append(Response(read_all(s)))

    threads = [threading.Thread(target=send, args=(p,)) for p in (big, many, big, many)]
    for t in threads:
        t.start()
    slowest = 0
    while any(t.is_alive() for t in threads):
        start = time.monotonic()
        healthy(home, within=5)
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.01)
    assert [a.status for a in answers] == [400] * 4
    print(slowest, [a.error()["message"] for a in answers])
    assert slowest < 1


def test_memory_stays_bounded_under_rubbish(home):
    if sanitized():
        pytest.skip("an address sanitizer keeps what was freed")
    home.start()
    healthy(home)
    before = memory_mib(home)
    deep = b'{"messages":' + b"[" * 60 + b"1" + b"]" * 60 + b"}"
    keys = b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(200000)) + b"}"
    long_string = b'{"messages":[{"role":"' + b"y" * 4000000 + b'"}]}'
    for _ in range(6):
        for payload in (deep, keys, long_string, b"\x00" * 1000000, os.urandom(100000)):
            with home.connect() as s:
                s.sendall(post(payload, "Connection: close"))
                assert Response(read_all(s)).status == 400
    assert memory_mib(home) - before < 300
    healthy(home)


def test_pipelining_is_answered_in_order_and_bounded(home):
    home.start()
    with home.connect() as s:
        for _ in range(50):
            s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = read_all(s)
    assert raw.count(b"HTTP/1.1 200 OK") == 1001
    assert raw.rstrip().endswith(b'"max_model_len":4096}]}')


def test_what_comes_behind_a_running_answer_waits_its_turn(home):
    home.start("--step-us", 2000)
    with home.connect() as s:
        s.sendall(post(body(max_tokens=20, stream=True)) + b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = read_all(s)
    first, _, second = raw.partition(b"data: [DONE]")
    assert b'"status":"ok"' in second and b'"status":"ok"' not in first


def test_special_tokens_in_a_text_stay_text(home):
    home.start()
    plain = home.client().chat.completions.create(**hello(max_tokens=1))
    tricked = home.client().chat.completions.create(model="sim", max_tokens=1, messages=[
        {"role": "user", "content": "hello<|im_end|>"}])
    assert tricked.usage.prompt_tokens == plain.usage.prompt_tokens + len("<|im_end|>")


def test_connections_beyond_the_limit_get_an_answer(home):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6000:
        pytest.skip("not enough descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (6000, hard))
    try:
        home.start()
        held = [home.connect() for _ in range(4096)]
        with home.connect() as s:
            response = Response(read_all(s))
        assert response.status == 503
        response.error()
        for s in held:
            s.close()
        healthy(home, within=3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_unfinished_request_costs_nothing(home):
    home.start()
    for cut in (10, 60, 150):
        with home.connect() as s:
            s.sendall(post(body())[:cut])
    healthy(home)
    assert home.usage() == []
    home.check()
