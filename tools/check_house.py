#!/usr/bin/env python3
"""Checks that no compiler makes: which way includes point, what the pure floors may touch, what nobody calls, and how
wide a line is.

    tools/check_house.py [ROOT]

Prints path:line: what is wrong; exit code 1 when there is anything. Comments and strings do not count for calls. A line
that has to break the rule about calls says why in a comment with "allowed:". Rules about floors are for src/, the width
also for the other C files.
"""
import os
import re
import sys
import unicodedata

# Lower floors first; those of one row do not see each other.
FLOORS = [["base"], ["hub", "chip"], ["model"], ["train"], ["engine"], ["cloud"], ["server", "fleet"], ["cmd"]]
RANK = {floor: rank for rank, row in enumerate(FLOORS) for floor in row}

LINES_MAX = 800
COLUMNS_MAX = 100
TAB_COLUMNS = 8
ONLY_WIDTH = ("bench", "fuzz", "tests")     # C files there stand on no floor

# name -> what to do instead
FORBIDDEN_CALLS = {
    "strcpy": "copy with a length", "strcat": "use base/buf.h", "sprintf": "use snprintf or base/buf.h",
    "vsprintf": "use vsnprintf", "gets": "read with a length", "strtok": "use strtok_r", "atoi": "use strtoll",
    "atol": "use strtoll", "atof": "use strtod", "rand": "use base/prng.h", "srand": "use base/prng.h",
}
HEAP_CALLS = {name: "use base/mem.h, which tests can make fail"
              for name in ("malloc", "calloc", "realloc", "strdup", "strndup", "asprintf", "vasprintf", "aligned_alloc",
                           "posix_memalign")}
CLOCK_CALLS = {name: "use base/clock.h, or take the time as an argument"
               for name in ("time", "clock_gettime", "gettimeofday", "clock")}
# Functions whose last bits differ from one libm to the next; <math.h> stays for INFINITY and isnan.
LIBM_CALLS = {name + suffix: "its bits differ between machines, use base/math.h"
              for name in ("exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "pow", "sin", "cos", "tan",
                           "sincos", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
                           "cbrt", "hypot", "erf", "erfc", "tgamma", "lgamma")
              for suffix in ("", "f", "l")}
OWNERS = {"base/mem.c": HEAP_CALLS, "base/clock.c": CLOCK_CALLS}

# What decides about money and order: time, randomness and effects are arguments.
PURE = re.compile(r"^(cloud/|engine/(scheduler|pool))")
IMPURE_HEADERS = {
    "time.h", "pthread.h", "threads.h", "unistd.h", "fcntl.h", "signal.h", "sched.h", "poll.h",
    "sys/time.h", "sys/random.h", "sys/socket.h", "sys/mman.h", "sys/stat.h", "stdatomic.h",
    "base/clock.h", "base/thread.h", "base/mem.h", "base/file.h", "base/log.h", "base/ring.h", "base/cgroup.h",
}
# Beside the core, not inside it: the store in memory and what reads whole ledgers. Pure but for the heap.
HEAP_BESIDE_CORE = re.compile(r"^cloud/(store_|audit|journal_use)")
IMPURE_CALLS = {name: "pure code has no effects, these are actions" for name in ("printf", "fprintf", "puts", "fopen")}
IMPURE_WORDS = re.compile(r"\b(float|double|math_\w+f|math_exp|math_log|math_pow|math_sincos|prng_system)\b")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CALL = re.compile(r"(?<![\w.])(?<!->)(\w+)\s*\(")
TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def floor_of(path):
    return path.split("/")[0]


def code_only(text):
    """The text with comments and strings emptied, line for line; include lines are kept as they are."""
    def blank(match):
        token = match.group(0)
        inner = "\n" * token.count("\n")
        return inner if token.startswith("/") else token[0] + token[-1]

    lines = TOKENS.sub(blank, text).split("\n")
    return [original if INCLUDE.match(original) else line
            for line, original in zip(lines, text.split("\n"), strict=True)]


def check_include(path, kind, header):
    own = floor_of(path)
    other = floor_of(header)
    if kind == '"' and ("/" not in header or other not in RANK):
        yield f'"{header}": name the floor ("base/err.h")'
    elif kind == '"' and (RANK[other] > RANK[own] or (RANK[other] == RANK[own] and other != own)):
        yield f'"{header}": {own} stands below or beside {other}; includes point down'
    heap_is_fine = header == "base/mem.h" and HEAP_BESIDE_CORE.match(path)
    if PURE.match(path) and header in IMPURE_HEADERS and not heap_is_fine:
        yield f"{header}: pure code reads no clock, file, heap or thread"


def check_calls(path, code):
    for name in CALL.findall(code):
        for calls in (FORBIDDEN_CALLS, LIBM_CALLS, HEAP_CALLS, CLOCK_CALLS, IMPURE_CALLS):
            owned = name in OWNERS.get(path, {}) or (calls is IMPURE_CALLS and not PURE.match(path))
            if name in calls and not owned:
                yield f"{name}(): {calls[name]}"


def columns(line):
    """An East Asian wide character takes two."""
    count = 0
    for character in line:
        if character == "\t":
            count += TAB_COLUMNS - count % TAB_COLUMNS
        else:
            count += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return count


def check_width(text):
    """A string is not cut: a line may be too wide from its first string on."""
    for number, line in enumerate(text.split("\n"), 1):
        if columns(line) > COLUMNS_MAX and ('"' not in line or columns(line[:line.index('"')]) > COLUMNS_MAX):
            yield number, f"{columns(line)} columns; at most {COLUMNS_MAX}"


def check_file(path, text):
    """(line, message) for everything wrong with one file; path is relative to src."""
    original = text.split("\n")
    opening = text[:text.find("*/")]
    if not text.startswith(f"/* {path} - "):
        yield 1, f'does not open with its role ("/* {path} - ...")'
    if len(original) - 1 > LINES_MAX and "table:" not in opening:
        yield len(original), f'{len(original) - 1} lines; at most {LINES_MAX}, unless its role says "table:"'
    for number, code in enumerate(code_only(text), 1):
        include = INCLUDE.match(code)
        if include:
            for message in check_include(path, include.group(1), include.group(2)):
                yield number, message
            continue
        if "allowed:" not in original[number - 1]:
            for message in check_calls(path, code):
                yield number, message
        word = IMPURE_WORDS.search(code) if PURE.match(path) else None
        if word:
            yield number, f"{word.group(0)}: pure code has no floating point and no randomness of its own"


def sources(folder):
    for path, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(path, name), folder)


def findings(root):
    """(path, line, message) of every C file, the file's path and None first."""
    for top in ("src", *ONLY_WIDTH):
        for path in sources(os.path.join(root, top)):
            yield f"{top}/{path}", None, None
            if top == "src" and floor_of(path) not in RANK:
                yield f"{top}/{path}", 1, "not on any floor"
                continue
            with open(os.path.join(root, top, path), encoding="utf-8") as file:
                text = file.read()
            wrong = [*check_width(text), *(check_file(path, text) if top == "src" else [])]
            for line, message in sorted(wrong):
                yield f"{top}/{path}", line, message


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    files = wrong = 0
    for path, line, message in findings(root):
        if line is None:
            files += 1
        else:
            print(f"{path}:{line}: {message}")
            wrong += 1
    print(f"{files} files, {wrong} findings")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
