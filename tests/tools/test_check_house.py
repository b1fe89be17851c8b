"""tools/check_house.py finds what the house forbids, and only that."""
import os
import subprocess
import sys

import pytest

CHECK = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "check_house.py")


def check(tmp_path, path, body, role=None, top="src"):
    """Findings (without their path) for one file on an otherwise empty house."""
    file = tmp_path / top / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((role or f"/* {path} - a test. */\n") + body + "\n", encoding="utf-8")
    run = subprocess.run([sys.executable, CHECK, str(tmp_path)], capture_output=True, text=True, timeout=60)
    findings = [line for line in run.stdout.splitlines() if line.startswith(f"{top}/")]
    assert run.returncode == (1 if findings else 0)
    return findings


@pytest.mark.parametrize("path, header", [
    ("base/a.c", "chip/chip.h"), ("engine/a.c", "cloud/core.h"), ("server/a.c", "fleet/world.h"),
    ("fleet/a.c", "server/http.h"), ("fleet/a.c", "cmd/run.h"), ("model/a.c", "local.h"), ("model/a.c", "cellar/x.h"),
])
def test_includes_that_do_not_point_down_are_found(tmp_path, path, header):
    assert len(check(tmp_path, path, f'#include "{header}"')) == 1


@pytest.mark.parametrize("path, header", [
    ("chip/a.c", "base/err.h"), ("chip/a.c", "chip/cpu/team.h"), ("server/a.c", "cloud/core.h"),
    ("fleet/a.c", "cloud/core.h"), ("cmd/a.c", "fleet/world.h"),
])
def test_includes_that_point_down_pass(tmp_path, path, header):
    assert check(tmp_path, path, f'#include "{header}"') == []


@pytest.mark.parametrize("line", [
    "strcpy(a, b);", "x = atoi (s);", "return expf(x);", "p = malloc(3);", "now = time(NULL);", "clock_gettime(0, &t);",
])
def test_calls_that_nobody_makes_are_found(tmp_path, line):
    assert len(check(tmp_path, "model/a.c", f"void f(void)\n{{\n\t{line}\n}}")) == 1


@pytest.mark.parametrize("line", [
    "/* strcpy(a, b) */", 'puts("malloc(3)");', "math_expf(x);", "p->time(3);", "x.log(y);", "runtime(3);",
    "free(line);", "p = malloc(3); /* allowed: readline frees it */",
])
def test_what_only_looks_like_one_passes(tmp_path, line):
    assert check(tmp_path, "model/a.c", f"void f(void)\n{{\n\t{line}\n}}") == []


@pytest.mark.parametrize("path, line", [
    ("cloud/core.c", '#include "base/clock.h"'), ("cloud/core.c", "#include <time.h>"),
    ("engine/scheduler.c", "static double share(void);"), ("engine/pool_local.c", '#include "base/mem.h"'),
    ("cloud/ledger.c", "prng_system(x, 3);"), ("cloud/ledger.c", 'printf("%d", 1);'),
])
def test_pure_code_stays_pure(tmp_path, path, line):
    assert len(check(tmp_path, path, line)) == 1


def test_a_comment_over_lines_keeps_line_numbers(tmp_path):
    findings = check(tmp_path, "model/a.c", "/* one\n two */\nint x = atoi(s);")
    assert findings and findings[0].startswith("src/model/a.c:4: ")


def test_a_file_without_its_role_is_found(tmp_path):
    assert len(check(tmp_path, "model/a.c", "int a;", role="/* something */\n")) == 1


def test_long_files_are_found_but_tables_may_be_long(tmp_path):
    body = "int a;\n" * 800
    assert len(check(tmp_path, "model/a.c", body)) == 1
    assert check(tmp_path, "model/a.c", body, role="/* model/a.c - a test; table: of numbers. */\n") == []


def test_a_folder_that_is_no_floor_is_found(tmp_path):
    assert len(check(tmp_path, "cellar/a.c", "int a;")) == 1


@pytest.mark.parametrize("line", [
    "x" * 101, "\t" * 12 + "x" * 5, "\t/* " + "春" * 45 + " */", "\t" * 12 + 'xxxxx"a"',
])
def test_lines_of_more_than_100_columns_are_found(tmp_path, line):
    assert check(tmp_path, "model/a.c", line)[0].startswith("src/model/a.c:2: ")
    assert check(tmp_path, "model/a_test.c", line, top="tests")[0].startswith("tests/model/a_test.c:2: ")


@pytest.mark.parametrize("line", ["x" * 100, "\t" * 12 + "x" * 4, "\t/* " + "春" * 42 + " */", 'f("' + "x" * 200 + '");'])
def test_lines_of_100_columns_and_uncut_strings_pass(tmp_path, line):
    assert check(tmp_path, "model/a.c", line) == []
