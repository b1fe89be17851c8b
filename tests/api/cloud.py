"""A whole server on a free loopback port for a test: the simulated executor, real sockets, a real database."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import openai

BUILD = os.environ.get("TONGYUN_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build", "release"))
SIM = os.path.join(BUILD, "tests", "server", "serve_sim")
NANO = 10**9


def signals_default():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Cloud:
    """One TONGYUN_HOME and the server that runs in it, or does not."""

    def __init__(self, home):
        self.home = str(home)
        self.process = None
        self.port = None
        self.last_words = ""    # what it printed at its end

    def start(self, *options, expect_failure=False):
        """Starts; with expect_failure gives (exit code, stderr) of a start that is refused. No signal is ignored there,
        whoever runs the tests."""
        self.log = open(os.path.join(self.home, "server.log"), "ab")
        self.process = subprocess.Popen([SIM, "serve", "--home", self.home, *map(str, options)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        preexec_fn=signals_default)
        line = self.process.stdout.readline().decode()
        found = re.match(r"port (\d+)", line)
        if not found:
            code = self.process.wait(timeout=20)
            text = open(os.path.join(self.home, "server.log")).read()
            self.process = None
            assert expect_failure, text
            return code, text
        assert not expect_failure, "it started"
        self.port = int(found.group(1))
        return None

    def stop(self, timeout=20):
        """SIGTERM; gives the exit code."""
        if not self.process:
            return None
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.wait(20)

    def wait(self, timeout):
        try:
            code = self.process.wait(timeout=timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.last_words = self.process.stdout.read().decode() if self.process.poll() is not None else ""
            self.process.stdout.close()
            self.log.close()
            self.process = None
        return code

    # ---- administration, as the verbs do it

    def admin_run(self, op, **fields):
        return subprocess.run([SIM, "admin", "--home", self.home, json.dumps({"op": op, **fields})],
                              capture_output=True, text=True, timeout=60)

    def admin(self, op, **fields):
        done = self.admin_run(op, **fields)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return lines if op.endswith("_list") else lines[0]

    def usage(self, **fields):
        return self.admin("usage_list", **fields)

    def check(self):
        """`ledger check`; raises with the first contradiction."""
        assert self.admin("ledger_check") == {"ok": True}

    def tenant(self, name, balance=0, **fields):
        """A tenant with a balance in units of the currency; gives its key."""
        self.admin("tenant_create", name=name, balance_nano=int(balance * NANO), **fields)
        return self.admin("key_create", tenant=name, name="test")["key"]

    # ---- clients

    def client(self, key="none", **options):
        options.setdefault("max_retries", 0)
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, timeout=60, **options)

    def connect(self):
        """A bare socket."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def metrics(self):
        """Name with labels to value."""
        with self.connect() as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = read_all(s).decode()
        values = {}
        for line in text.split("\r\n\r\n", 1)[1].splitlines():
            if not line.startswith("#") and " " in line:
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def wait_until(self, condition, seconds=10):
        """Waits for something that another process does; fails when it never comes."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)


def sanitized():
    """Whether the server was built with AddressSanitizer; tests/unit.h has UNIT_SANITIZED for the same."""
    with open(SIM, "rb") as program:
        return b"__asan_init" in program.read()


def read_all(s):
    parts = []
    while True:
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def hello(**fields):
    """Arguments of a small request."""
    return {"model": "sim", "messages": [{"role": "user", "content": "hello"}], **fields}


def body(**fields):
    return json.dumps(hello(**fields)).encode()


def post(payload, *headers, path="/v1/chat/completions"):
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(payload)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


class Response:
    """What came over a bare socket, taken apart."""

    def __init__(self, raw):
        head, self.body = raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}

    def error(self):
        """The error object, checked for OpenAI's shape and for an id."""
        assert re.fullmatch(r"req_[0-9a-f]{32}", self.headers["x-request-id"])
        document = json.loads(self.body)
        assert set(document) == {"error"}
        assert set(document["error"]) == {"message", "type", "param", "code"}
        assert document["error"]["message"] and document["error"]["type"]
        return document["error"]
