#!/usr/bin/env python3
"""Runs the tests of a build folder and counts their cases.

What Meson registered with test() runs two at a time: cmocka programs are counted case by case (they print TAP),
others as one case each. Then pytest runs tests/api, tests/cli, tests/model and tests/tools in build/venv. Closes with one line:
N passed, N failed, N skipped; the exit code is 1 when anything failed or nothing ran.

    tools/test.py --build build/release            everything
    tools/test.py --build build/debug --unit-only  without pytest
    tools/test.py base/ ring                       only what has one of these in its name
"""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ALL_SECONDS = 1200          # of everything together, on slow cores that others use
PYTEST_FOLDERS = ["tests/api", "tests/cli", "tests/model", "tests/tools"]
OUTPUT_LINES_MAX = 200      # of one failing program
TAP_LINE = re.compile(r"^(not )?ok \d+ (# SKIP)?(?:- )?(.*)$")
TAP_SKIP = re.compile(r"^(?:not )?ok \d+ # SKIP (.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)$")
PYTEST_SKIP = re.compile(r"^SKIPPED (\[\d+\] .*)$")     # of its summary: how often, where, why
NOTE = "# note: "            # what a reader should know of a program that passed; the same one is shown once
EXIT_SKIPPED = 77           # as automake and Meson have it

Result = collections.namedtuple("Result", "name passed failed skipped seconds output")


def descendants(pid):
    """The process and all that come from it."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
            parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def run_bounded(command, seconds, env=None, cwd=None):
    """Exit code (None when it ran out of time) and output; a program that hangs goes with its children."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=env, cwd=cwd, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=max(seconds, 1))
        code = process.returncode
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid):    # some have sessions of their own: servers that tests started
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate()
        code = None
    return code, output.decode("utf-8", "replace")


def count_tap(output):
    """(passed, failed, skipped, planned) of what a cmocka program printed; planned is None without any plan."""
    passed = failed = skipped = 0
    planned = None
    for line in output.splitlines():
        plan = TAP_PLAN.match(line)
        case = TAP_LINE.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        elif case and case.group(2):
            skipped += 1
        elif case and case.group(1):
            failed += 1
        elif case:
            passed += 1
    return passed, failed, skipped, planned


def skip_notes(pattern, output, name=""):
    """A note for each test that was skipped."""
    return "".join(f"{NOTE}skipped: {name}{match[1]}\n" for match in map(pattern.match, output.splitlines()) if match)


def judge(name, code, output, seconds):
    passed, failed, skipped, planned = count_tap(output)
    output += skip_notes(TAP_SKIP, output, name + ", ")
    if planned is None:  # not cmocka: one case
        output += f"{NOTE}skipped: {name}\n" if code == EXIT_SKIPPED else ""
        return Result(name, int(code == 0), int(code not in (0, EXIT_SKIPPED)), int(code == EXIT_SKIPPED), seconds,
                      output)
    complete = passed + failed + skipped == planned
    if code is None or code < 0 or not complete or (code != 0 and failed == 0):
        failed += 1  # it hung, crashed, stopped half-way, or failed outside its cases
        output += f"\n(ended with {'a timeout' if code is None else f'code {code}'}, {planned} cases were planned)\n"
    return Result(name, passed, failed, skipped, seconds, output)


def run_program(test, deadline):
    start = time.monotonic()
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="tap", **test["env"])
    env.setdefault("ASAN_OPTIONS", "allocator_may_return_null=1:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    limit = min(test["timeout"] or ALL_SECONDS, deadline - start)
    if limit <= 0:
        return Result(test["name"], 0, 1, 0, 0.0, "not started: out of time\n")
    code, output = run_bounded(test["cmd"], limit, env=env, cwd=test["workdir"])
    return judge(test["name"], code, output, time.monotonic() - start)


def registered_tests(build, patterns, suite):
    path = os.path.join(build, "meson-info", "intro-tests.json")
    with open(path, encoding="utf-8") as file:
        tests = json.load(file)
    for test in tests:
        test["suites"] = [name.split(":")[-1] for name in test["suite"]]
    return [test for test in tests
            if (not patterns or any(pattern in test["name"] for pattern in patterns))
            and (not suite or suite in test["suites"])]


def run_programs(tests, jobs, deadline, report):
    """The long ones first, so that the end is not one core waiting for the other."""
    long_first = sorted(tests, key=lambda test: -test["priority"])
    alone = [test for test in long_first if not test["is_parallel"]]
    together = [test for test in long_first if test["is_parallel"]]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_program, test, deadline) for test in together]
        for future in concurrent.futures.as_completed(futures):
            report(future.result())
    for test in alone:
        report(run_program(test, deadline))


def pytest_python(build):
    venv = os.path.join(os.path.dirname(build), "venv", "bin", "python")
    return venv if os.path.exists(venv) else sys.executable


def run_pytest(build, patterns, deadline):
    """One Result for each Python file, from pytest's own XML report."""
    folders = [folder for folder in PYTEST_FOLDERS if os.path.isdir(os.path.join(ROOT, folder))]
    if not folders:
        return []
    start = time.monotonic()
    report = os.path.join(build, "pytest.xml")
    if os.path.exists(report):
        os.remove(report)
    command = [pytest_python(build), "-m", "pytest", "-v", "-rfEs", "-p", "no:cacheprovider", "--junitxml", report, *folders]
    if patterns:
        command += ["-k", " or ".join(re.sub(r"\W+", "_", pattern.strip("/")) for pattern in patterns)]
    env = dict(os.environ, TONGYUN_BUILD=build, PYTHONDONTWRITEBYTECODE="1")
    code, output = run_bounded(command, deadline - start, env=env, cwd=ROOT)
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    if os.path.exists(report):
        for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
            for key in counts:
                counts[key] += int(suite.get(key, 0))
    else:   # it came to no end: what was said until then
        counts["failures"] = len(re.findall(r" (?:FAILED|ERROR) +\[", output))
        counts["tests"] = counts["failures"] + len(re.findall(r" PASSED +\[", output))
        output += "\npytest ran out of time; the last test named did not end\n" if code is None else \
            "\npytest could not begin; `make test` installs what the tests need\n"
    notes = skip_notes(PYTEST_SKIP, output)
    output = notes + "".join(line for line in output.splitlines(True)
                             if not re.search(r" (PASSED|SKIPPED.*) +\[ *\d+%\]$", line))
    failed = counts["failures"] + counts["errors"]
    if code is None or (code not in (0, 5) and failed == 0):  # 5: none matched the patterns
        failed += 1
    passed = max(counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"], 0)
    return [Result("pytest", passed, failed, counts["skipped"], time.monotonic() - start, output)]


class Reporter:
    """Prints each result as it comes and adds it up."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.notes = set()

    def __call__(self, result):
        self.passed += result.passed
        self.failed += result.failed
        self.skipped += result.skipped
        word = "FAIL" if result.failed else "ok  "
        cases = result.passed + result.failed + result.skipped
        print(f"{word} {result.name:<32} {cases:4} cases {result.seconds:7.2f} s", flush=True)
        for note in (line[2:] for line in result.output.splitlines() if line.startswith(NOTE)):
            if note not in self.notes:
                self.notes.add(note)
                print("     " + note, flush=True)
        if result.failed:
            lines = result.output.splitlines()
            if len(lines) > OUTPUT_LINES_MAX:
                print(f"    ... {len(lines) - OUTPUT_LINES_MAX} lines before")
            for line in lines[-OUTPUT_LINES_MAX:]:
                print("    " + line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help="build folder (default build/release)")
    parser.add_argument("--unit-only", action="store_true", help="without pytest")
    parser.add_argument("--suite", help="only tests of this Meson suite: a floor, fuzz, threads")
    parser.add_argument("--jobs", type=int, default=2, help="programs at the same time (default 2)")
    parser.add_argument("patterns", nargs="*", help="run what has one of these in its name")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    for ignored in (signal.SIGINT, signal.SIGHUP):  # by nohup or a script; a test that sends one means it
        if signal.getsignal(ignored) == signal.SIG_IGN:
            signal.signal(ignored, lambda *_: None)
    deadline = time.monotonic() + ALL_SECONDS
    report = Reporter()

    run_programs(registered_tests(build, arguments.patterns, arguments.suite), arguments.jobs, deadline, report)
    if not arguments.unit_only:
        for result in run_pytest(build, arguments.patterns, deadline):
            report(result)
    print(f"{report.passed} passed, {report.failed} failed, {report.skipped} skipped")
    return 0 if report.failed == 0 and report.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
