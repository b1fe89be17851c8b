"""tools/demo.py, what `make run` shows: without a terminal it ends by itself, and its sums are right."""
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TONGYUN = os.path.join(ROOT, "build", "tongyun")


@pytest.mark.skipif(not os.path.exists(TONGYUN), reason="`make` has not linked build/tongyun here")
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
