"""tools/demo.py, what `make run` shows: without a terminal it ends by itself, and its sums are right; at one it stays."""
import http.client
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TONGYUN = os.path.join(ROOT, "build", "tongyun")


pytestmark = pytest.mark.skipif(not os.path.exists(TONGYUN), reason="`make` has not linked build/tongyun here")


def test_the_demo_shows_a_poem_its_usage_and_what_it_cost():
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "demo.py")], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    out = done.stdout
    assert re.search(r"[\u4e00-\u9fff]{5}，[\u4e00-\u9fff]{5}。", out), "no line of a poem"
    prompt, completion = map(int, re.search(r"(\d+) prompt \+ (\d+) completion tokens", out).groups())
    before, after, cost = (re.search(rf"^{name}\s+(\d+)\.(\d{{9}}) CNY$", out, re.M).groups()
                           for name in ("balance before", "balance after", "this request"))
    nano = [int(whole) * 10**9 + int(part) for whole, part in (before, after, cost)]
    assert nano[0] - nano[1] == nano[2] == prompt * 2000 + completion * 8000
    assert sum(int(re.sub(r"\.", "", value)) for value in re.findall(r"^  (?:hold|settle) .* (-?\d+\.\d{9})$", out, re.M)) == 0
    assert "curl -N http://127.0.0.1:" in out


def test_at_a_terminal_it_serves_until_ctrl_c_and_its_curl_line_is_right():
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, os.path.join(ROOT, "tools", "demo.py")])
    text = b""
    while b"Ctrl-C ends the server." not in text:
        text += os.read(terminal, 65536)
    words = shlex.split(re.search("curl .*", text.decode().replace("\r\n", "\n")).group())
    host, path = re.fullmatch(r"http://([\d.:]+)(/.*)", words[2]).groups()
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("POST", path, words[-1].encode(), headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read().rstrip().endswith(b"data: [DONE]")
    assert json.loads(words[-1])["stream"]
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(host, timeout=60).connect()
