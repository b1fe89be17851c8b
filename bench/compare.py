#!/usr/bin/env python3
"""bench/compare.py - this program beside llama.cpp, ik_llama.cpp, OpenVINO GenAI, mistral.rs and Flyweight: one table.

    bench/compare.py RESULTS.json --models DIR --tongyun build/tongyun --llama DIR --ik DIR --python PATH

Builds nothing: peers are given by path (--llama and --ik the folders of their programs, --python an interpreter with the
packages of bench/requirements-peers.txt) and those that are not given are left out. Models are files of official shapes
with random weights, DIR/SHAPE-TYPE.gguf; --make makes those that are missing. Programs take turns, a round at a time, on
the same file with the same threads; a cell is the median of its rounds. Each finished cell is kept in RESULTS.json, so the
script goes on where it was stopped, and prints the table of all that is there.

    --rows 'qwen3-0.6b/q8_0/*'      rows by pattern SHAPE/TYPE/TEST, several allowed; --list shows them
    --runners tongyun,ik_llama.cpp  only these programs
    --again                         what is chosen is measured anew
    --print                         only prints the table
    --write docs/performance.md     and puts it between the marks <!-- compare --> and <!-- /compare --> there
"""
import argparse
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import compare_peers as peers
import compare_rows as rows_module
from compare_rows import OURS, SHAPES, Store, parse_test

HERE = pathlib.Path(__file__).parent
NOTE_CHARS = 160
BEGIN, END = "<!-- compare -->", "<!-- /compare -->"
QUANTIZED = {"q8_0": "q8_0", "q4_0": "q4_0", "q4_k": "q4_k"}


def arguments_of(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("--models", default="build/bench-models")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--tongyun", default="build/tongyun")
    parser.add_argument("--kv-type", help="one more column with keys and values of this type")
    parser.add_argument("--isa", default="avx2", help="a second column with this instruction set; none: no such column")
    parser.add_argument("--llama")
    parser.add_argument("--ik")
    parser.add_argument("--python")
    parser.add_argument("--rows", action="append")
    parser.add_argument("--tests", help="other tests than the rows': pp16,tg2@d64")
    parser.add_argument("--runners")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long-rounds", type=int, default=1, help="rounds of tests at a depth")
    parser.add_argument("--seconds", type=int, default=600, help="limit of one process")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--write")
    parser.add_argument("--list", action="store_true")
    a = parser.parse_args(argv)
    for name in ("models", "tongyun", "llama", "ik", "python"):     # programs run in a folder of their own
        setattr(a, name, getattr(a, name) and os.path.abspath(getattr(a, name)))
    return a


def runners_of(a):
    found = [peers.Tongyun(a.tongyun, a.threads)]
    if a.kv_type:
        found.append(peers.Tongyun(a.tongyun, a.threads, kv_type=a.kv_type))
    if a.isa != "none":
        found.append(peers.Tongyun(a.tongyun, a.threads, a.isa))
    if a.llama:
        found.append(peers.Llama(a.llama, a.threads))
    if a.ik:
        found.append(peers.Ik(a.ik, a.threads))
    if a.python:
        found += [peers.PythonPeer(name, a.python, a.threads) for name in ("openvino", "mistralrs", "flyweight")]
    wanted = a.runners.split(",") if a.runners else [runner.name for runner in found]
    unknown = set(wanted) - {runner.name for runner in found}
    if unknown:
        sys.exit(f"compare.py: {', '.join(sorted(unknown))}: not a program that was given; there are "
                 + ", ".join(runner.name for runner in found))
    return [runner for runner in found if runner.name in wanted]


# ---- models --------------------------------------------------------------------------------------------------------------

def make_model(a, shape, kind):
    path = model_path(a, shape, kind)
    if os.path.exists(path):
        return path
    if not a.make:
        sys.exit(f"compare.py: {path} is not there; --make makes it")
    os.makedirs(a.models, exist_ok=True)
    if kind in QUANTIZED:
        source = make_model(a, shape, "bf16")
        command = [a.tongyun, "quantize", source, path + ".new", "--type", QUANTIZED[kind], "--force"]
    else:
        command = [sys.executable, str(HERE / "make_random_model.py"), shape, kind, path + ".new"]
        if SHAPES[shape]:
            command += ["--layers", str(SHAPES[shape])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    os.replace(path + ".new", path)
    return path


def model_path(a, shape, kind):
    return os.path.join(a.models, f"{shape}-{kind}.gguf")


# ---- running -------------------------------------------------------------------------------------------------------------

def run(command, seconds):
    """(output, why it failed or None, seconds taken); output counts even when the limit cut it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, \
            subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                             errors="replace", text=True) as process:
        try:
            out, error = process.communicate(timeout=seconds)
            late = False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, error = process.communicate()
            late = True
    why = None
    if late:
        why = f"over {seconds} s"
    elif process.returncode != 0:
        lines = [line.strip() for line in (error + "\n" + out).splitlines() if line.strip()]
        why = f"exit code {process.returncode}: {lines[-1] if lines else ''}"[:NOTE_CHARS].replace("|", "/")
    return out + "\n" + error, why, time.monotonic() - start


def warm(path):
    """The file into the page cache: programs that map it are not measured on the disk."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def measure(store, runner, model, row_tests, a):
    """One round of one group of tests."""
    warm(model)
    kind = row_tests[0][0][1]
    by_name = {test.name: row for row, test in row_tests}
    for command, parse in runner.commands(model, kind, [test for _, test in row_tests]):
        output, why, taken = run(command, a.seconds)
        text = " ".join(command)
        if parse is None:
            store.add(row_tests[0][0], runner.name, {"note": why} if why else {"seconds": taken}, text)
            continue
        seen = dict(parse(output))
        for name, result in seen.items():
            store.add(by_name[name], runner.name, result, text)
        for name in set(by_name) - set(seen):
            if asked_for(command, parse_test(name)):
                store.add(by_name[name], runner.name, {"note": why or "no figure in its output"}, text)
        print(f"{runner.name}: {'/'.join(row_tests[0][0][:2])} {', '.join(by_name)}: "
              + (", ".join(f"{name} {result['rate']:.2f}" for name, result in seen.items()) or why or "nothing")
              + f" ({taken:.0f} s)", file=sys.stderr, flush=True)


def asked_for(command, test):
    """Whether a command that failed was the one for this test: those of tests at a depth say it as -d."""
    return "-d" not in command or command[command.index("-d") + 1] == str(test.depth)


def measure_all(store, rows, runners, a):
    groups = {}
    for row in rows:
        test = parse_test(row[2])
        group = row[2] if row[2] == "load" else test.group
        groups.setdefault((row[0], row[1], group), []).append((row, test))
    for (shape, kind, group), row_tests in groups.items():
        model = make_model(a, shape, kind)
        rounds = a.rounds if group in ("short", "load") else a.long_rounds
        able = [runner for runner in runners if group != "load" or runner.name.startswith(OURS)]
        for runner in able:
            for row, test in row_tests:
                if a.again:
                    store.forget(row, runner.name)
                why = runner.cannot(shape, kind, test)
                if why:
                    store.add(row, runner.name, {"note": why}, "")
        for turn in range(rounds):
            for runner in able:
                due = [(row, test) for row, test in row_tests
                       if store.missing(row, runner.name, rounds) >= rounds - turn]
                if due:
                    measure(store, runner, model, due, a)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def result_lines(store, rows, names, a):
    """The table of all programs that the file knows, ours first."""
    names = names + sorted({name for row in store.data["rows"].values() for name in row} - set(names))
    names.sort(key=lambda name: not name.startswith(OURS))

    def size(shape, kind):
        return os.path.getsize(model_path(a, shape, kind))

    dates = sorted(cell["date"][:10] for row in store.data["rows"].values() for cell in row.values())
    return [f"{store.data['machine']}, {a.threads} threads, {' to '.join(sorted({dates[0], dates[-1]})) if dates else ''}; "
            "tokens/s, load in seconds", "", *rows_module.table(store, rows, names, size), "",
            *rows_module.notes(store, rows, names)]


def write_between(path, lines):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"compare.py: {path} has no marks {BEGIN} and {END}")
    pathlib.Path(path).write_text(before + BEGIN + "\n" + "\n".join(lines).rstrip() + "\n" + END + after, encoding="utf-8")


def main(argv=None):
    a = arguments_of(argv)
    tests = a.tests.split(",") if a.tests else None
    rows = list(rows_module.rows_of(a.rows or ["*"], tests))
    if a.list:
        print("\n".join("/".join(row) for row in rows))
        return
    store = Store(a.results)
    runners = runners_of(a)
    if not a.print:
        store.data["machine"] = machine()
        measure_all(store, rows, runners, a)
    lines = result_lines(store, rows, [runner.name for runner in runners], a)
    print("\n".join(lines))
    if a.write:
        write_between(a.write, lines)


if __name__ == "__main__":
    main()
