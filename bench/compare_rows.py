"""What bench/compare.py measures and how it is judged: tests, the file of finished cells, bars, tables. Nothing runs here."""
import dataclasses
import datetime
import fnmatch
import json
import os
import re
import statistics

SHAPES = {"qwen3-0.6b": None, "qwen3.5-0.8b": None, "qwen3-1.7b": None, "qwen3-30b-a3b": 4}  # layers, where not all
TYPES = ("q8_0", "q4_0", "q4_k", "bf16")
SHORT = ("pp512", "tg32")
LONG = ("tg32@d4096", "tg32@d16384", "pp4096@d12288", "tg32@d512x16")
LONG_SHAPES, LONG_TYPES = ("qwen3-0.6b", "qwen3.5-0.8b"), ("q8_0", "q4_k")
LOAD = "load"
NAMED = 3       # rows that a note names

OURS = "tongyun"
TEST = re.compile(r"(pp|tg)([1-9]\d*)(?:@d([1-9]\d*))?(?:x([1-9]\d*))?")


@dataclasses.dataclass(frozen=True)
class Test:
    """pp: that many tokens of a prompt; tg: so many generated, by batch sequences together; either at a depth."""
    name: str
    prompt: int
    generate: int
    depth: int
    batch: int

    @property
    def group(self):
        """Tests of one group can be measured by one process."""
        if self.batch > 1:
            return "batch"
        return "long" if self.depth else "short"


def parse_test(name):
    if name == LOAD:
        return Test(name, 0, 0, 0, 1)
    match = TEST.fullmatch(name)
    if not match:
        raise ValueError(f"{name} is no test: pp512, tg32, tg32@d4096, pp4096@d12288, tg32@d512x16, load")
    kind, tokens, depth, batch = match.groups()
    return Test(name, int(tokens) if kind == "pp" else 0, int(tokens) if kind == "tg" else 0, int(depth or 0),
                int(batch or 1))


def rows_of(patterns, tests=None):
    """(shape, type, test name) in the order of the table; a pattern matches SHAPE/TYPE/TEST, as fnmatch does."""
    for shape in SHAPES:
        for kind in TYPES:
            names = list(SHORT)
            if shape in LONG_SHAPES and kind in LONG_TYPES:
                names += LONG
            if kind == "q8_0":
                names.append(LOAD)
            for test in tests or names:
                if any(fnmatch.fnmatch(f"{shape}/{kind}/{test}", pattern) for pattern in patterns):
                    yield shape, kind, test


class Store:
    """Finished cells in a JSON file, written whole after each: rows -> runners -> samples, shares, note, date, command."""

    def __init__(self, path):
        self.path = path
        self.data = {"machine": "", "rows": {}}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.data = json.load(file)

    def cell(self, row, runner):
        return self.data["rows"].get("/".join(row), {}).get(runner, {})

    def missing(self, row, runner, rounds):
        """Rounds still to be measured; none where a note says why there is no figure."""
        cell = self.cell(row, runner)
        return 0 if "note" in cell else max(0, rounds - len(cell.get("samples", [])))

    def forget(self, row, runner):
        self.data["rows"].get("/".join(row), {}).pop(runner, None)

    def add(self, row, runner, result, command):
        """A result is {"rate": tokens/s} or {"seconds": s}, ours with shares; or {"note": why not}."""
        cell = self.data["rows"].setdefault("/".join(row), {}).setdefault(runner, {"samples": []})
        cell["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
        cell["command"] = command
        if "note" in result:
            if not cell["samples"]:
                cell["note"] = result["note"]
        else:
            cell["samples"].append(result.get("rate", result.get("seconds")))
            for share in ("bandwidth", "compute"):
                if share in result:
                    cell.setdefault(share, []).append(result[share])
        self.save()

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
            file.write("\n")
        os.replace(self.path + ".new", self.path)


def median(cell, key="samples"):
    return statistics.median(cell[key]) if cell.get(key) else None


@dataclasses.dataclass(frozen=True)
class Verdict:
    ratio: float | None         # to the fastest peer
    to_ik: float | None
    share: str
    met: bool | None            # None: there is nothing to compare with


def judge(test, cell, peers, file_bytes):
    """The bars: prefill 1.25 x the fastest peer and 1.8 x ik_llama.cpp, or 75 % of the peak; decode 1.25 x, or 90 % of the
    bandwidth; 2 x for a prefill at a depth, a decode at 8,192 and more and a batch, 1.5 x for a decode at less; a
    file gives its first token in 1.5 s a GB."""
    ours = median(cell)
    rates = {name: median(peer) for name, peer in peers.items() if median(peer)}
    if ours is None:
        return Verdict(None, None, "", None)
    if test.name == LOAD:
        return Verdict(None, None, f"{ours / (file_bytes / 1e9):.2f} s/GB", ours <= 1.5 * file_bytes / 1e9)
    share, name = (median(cell, "compute"), "peak") if test.prompt else (median(cell, "bandwidth"), "bandwidth")
    ratio = ours / max(rates.values()) if rates else None
    to_ik = ours / rates["ik_llama.cpp"] if "ik_llama.cpp" in rates else None
    text = "" if share is None else f"{100 * share:.0f} % {name}"
    if ratio is None:
        return Verdict(None, None, text, None)
    if test.prompt and not test.depth:
        met = ratio >= 1.25 and (to_ik is None or to_ik >= 1.8) or (share or 0) >= 0.75
    elif test.batch > 1 or test.prompt or test.depth >= 8192:
        met = ratio >= 2
    elif test.depth:
        met = ratio >= 1.5
    else:
        met = ratio >= 1.25 or (share or 0) >= 0.9
    return Verdict(ratio, to_ik, text, met)


def figure(cell):
    value = median(cell)
    if value is None:
        return "-" if "note" not in cell else "no"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict_text(v):
    parts = [] if v.ratio is None else [f"{v.ratio:.2f} x"]
    if v.share:
        parts.append(v.share)
    return ", ".join(parts) or "-"


def table(store, rows, runners, file_bytes):
    """Markdown: rates of every runner, then for each of ours ratio to the fastest peer, share, and whether the bar is met."""
    ours = [name for name in runners if name.startswith(OURS)]
    peers = [name for name in runners if name not in ours]
    head = ["model", "type", "test", *runners, *[f"{name}: x fastest, share" for name in ours],
            *[f"{name}: bar" for name in ours]]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = {name: store.cell(row, name) for name in runners}
        if not any(cells.values()):
            continue
        verdicts = [judge(parse_test(row[2]), cells[name], {peer: cells[peer] for peer in peers}, file_bytes(*row[:2]))
                    for name in ours]
        met = ["-" if v.met is None else "met" if v.met else "**missed**" for v in verdicts]
        lines.append("| " + " | ".join([*row, *[figure(cells[name]) for name in runners],
                                        *map(verdict_text, verdicts), *met]) + " |")
    return lines


def notes(store, rows, runners):
    """Why a cell says no, one line for each reason."""
    reasons = {}
    for row in rows:
        for name in runners:
            note = store.cell(row, name).get("note")
            if note and not store.cell(row, name)["samples"]:
                reasons.setdefault((name, note), []).append("/".join(row))
    return [f"- {name}: {note} ({', '.join(where[:NAMED])}{' and so on' if len(where) > NAMED else ''})"
            for (name, note), where in reasons.items()]
