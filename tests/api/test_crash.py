"""Killed with -9, or without power, under twenty clients: what the ledger and the clients agree on afterwards."""
import json
import os
import random
import socket
import threading
import time

import openai
import pytest

from cloud import NANO, Response, body, hello, post, read_all

CLIENTS = 20
KILLS = 20
PRICE = 3 * NANO


class Client(threading.Thread):
    """Asks again and again, sometimes leaves, and notes what it has in hand of each request. Every token of the
    simulated model has text, so what a stream has written is what its chunks say."""

    def __init__(self, cloud, key, seed):
        super().__init__(daemon=True)
        self.cloud, self.key, self.random = cloud, key, random.Random(seed)
        self.stop = threading.Event()
        self.seen = {}  # request id: {"tokens": in hand, "usage": of the end, "done": the end was seen}

    def run(self):
        while not self.stop.is_set():
            try:
                self.ask()
            except OSError:
                time.sleep(0.02)  # the server is away

    def ask(self):
        stream = self.random.random() < 0.7
        fields = dict(max_tokens=self.random.randint(1, 60)) if self.random.random() < 0.8 else {}
        if stream:
            fields |= dict(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
        leave_after = self.random.randint(1, 3000) if self.random.random() < 0.2 else None
        with socket.create_connection(("127.0.0.1", self.cloud.port), timeout=20) as s:
            s.sendall(post(body(**fields), f"Authorization: Bearer {self.key}", "Connection: close"))
            raw, left = b"", True
            try:
                while leave_after is None or len(raw) < leave_after:
                    part = s.recv(65536)
                    if not part:
                        left = False
                        break
                    raw += part
            except ConnectionResetError:
                left = False
            finally:
                self.note(raw, stream, left)

    def note(self, raw, stream, left):
        head, _, rest = raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return
        request = head.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
        note = self.seen.setdefault(request, {"tokens": 0, "usage": None, "done": False, "stream": stream,
                                            "left": left})
        if not stream:
            try:
                note["usage"] = json.loads(rest)["usage"]
                note["tokens"] = note["usage"]["completion_tokens"]
                note["done"] = True
            except ValueError:
                pass
            return
        for line in rest.split(b"\n"):
            if line.startswith(b"data: [DONE]"):
                note["done"] = True
            elif line.startswith(b"data: {") and line.endswith(b"}"):
                chunk = json.loads(line[6:])
                if chunk.get("usage"):
                    note["tokens"] = chunk["usage"]["completion_tokens"]
                    note["usage"] = chunk["usage"]


def judge(cloud, clients):
    """What must hold after every crash, while nobody asks."""
    cloud.check()
    state = cloud.admin("tenant_show", name="payer")
    usage = cloud.usage()
    by_request = {row["request_id"]: row for row in usage}
    assert len(by_request) == len(usage), "something was recorded twice"
    transactions = [t for t in cloud.admin("ledger_list") if t["kind"] in ("settle", "release")]
    ended = [t["request_id"] for t in transactions]
    assert len(ended) == len(set(ended)) == len(usage), "something was billed twice"
    assert state["held_nano"] == 0
    assert state["balance_nano"] == 1000000 * NANO - sum(row["amount_nano"] for row in usage)
    for client in clients:
        for request, note in list(client.seen.items()):
            row = by_request.get(request)
            if note["done"]:  # the end was seen, so it was durable before
                assert row and row["output"] == note["usage"]["completion_tokens"], (request, row, note)
                assert row["finish"] in ("stop", "length")
            if row and row["finish"] == "error":
                assert row["amount_nano"] == 0


def overbilled(cloud, clients):
    """Streams charged for more than their client has in hand. What was in the socket reaches a client even when the
    server is killed, unless it left by itself."""
    by_request = {row["request_id"]: row for row in cloud.usage()}
    return [(request, by_request[request], note) for client in clients for request, note in client.seen.items()
            if request in by_request and note["stream"] and not note["left"] and
            by_request[request]["finish"] != "error" and by_request[request]["output"] > note["tokens"]]


@pytest.mark.parametrize("loss", ["process", "power"])
def test_twenty_kills_under_twenty_clients(home, loss):
    options = ["--step-us", 2000] + (["--vfs", "lossy"] if loss == "power" else [])
    home.admin("price_set", model="sim", input_nano=PRICE, output_nano=PRICE)
    key = home.tenant("payer", balance=1000000)
    rng = random.Random(20 if loss == "power" else 10)
    home.start(*options)
    clients = [Client(home, key, seed) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    errors = 0
    for kill in range(KILLS):
        time.sleep(rng.uniform(0.05, 0.5))
        home.kill()
        if kill % 2:
            judge(home, clients)  # the first verb picks up what the crash left; else the server does
        home.start(*options)
        home.check()  # while they ask already
        errors = sum(row["finish"] == "error" for row in home.usage())
    for client in clients:
        client.stop.set()
    for client in clients:
        client.join(20)
    assert home.stop() == 0
    judge(home, clients)
    assert overbilled(home, clients) == []
    assert errors > 0, "no kill hit anything"
    assert sum(len(c.seen) for c in clients) > 100


def test_a_database_that_is_taken_away_stops_new_requests(home):
    home.start()
    key = home.tenant("lab", balance=10)
    assert home.client(key).chat.completions.create(**hello(max_tokens=1)).usage.completion_tokens == 1
    for name in ("cloud.db", "cloud.db-wal", "cloud.db-shm"):
        os.unlink(os.path.join(home.home, name))
    with pytest.raises(openai.InternalServerError):
        home.client(key).chat.completions.create(**hello(max_tokens=1))
    with pytest.raises(openai.InternalServerError) as refusal:
        home.client(key).chat.completions.create(**hello(max_tokens=1))
    assert refusal.value.status_code == 503
    with home.connect() as s:
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Response(read_all(s)).status == 503
    assert home.stop() == 1
    code, text = home.start(expect_failure=True)
    assert code == 1 and "restore it" in text
