"""tests/golden/traps.md is of the goldens that are here: its limit, their bases, and every mistake that check_traps.py makes."""
import json
import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


INDEX = json.loads(read("tests", "golden", "index.json"))
TRAPS = read("tests", "golden", "traps.md")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TRAPS.splitlines()
        if line.startswith("| ") and line.count("|") == 6 and not line.startswith("| mistake")]


def test_its_limit_is_the_one_that_the_program_keeps():
    assert f"limit of class `float` ({INDEX['classes']['float']['max_abs']:g})" in " ".join(TRAPS.split())


def test_every_mistake_moves_the_logits_at_least_ten_times_as_far():
    assert len(ROWS) > 450
    for mistake, base, largest, _, times in ROWS:
        assert largest == "not a number" or int(times.replace(",", "")) >= 10, (mistake, base)


def test_every_mistake_that_the_tool_makes_has_its_rows():
    source = read("tools", "goldens", "check_traps.py")
    table = re.sub(r'"\n +"', "", source[source.index("ARITHMETIC = {"):source.index("\n}\n", source.index("ARITHMETIC = {"))])
    titles = re.findall(r'^    "\w+": \("([^"]+)",', table, re.MULTILINE)
    titles += re.findall(r'^    \("([^"]+)",', read("tools", "goldens", "traps_read.py"), re.MULTILINE)
    assert len(titles) > 80
    assert set(titles) <= {row[0] for row in ROWS}, set(titles) - {row[0] for row in ROWS}


def test_every_model_that_is_not_quantized_is_among_its_bases():
    bases = {case["base"] for case in INDEX["cases"] if case["dtype"] in ("F32", "F16", "BF16")}
    assert bases <= {row[1] for row in ROWS}
