"""tools/test.py counts what programs say, and takes no crash for a success."""
import importlib.util
import os
import sys
import time

import pytest

PATH = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "test.py")
SPEC = importlib.util.spec_from_file_location("test_runner", PATH)
RUNNER = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(RUNNER)

TAP = "1..3\nok 1 - a\nnot ok 2 - b\n# 1 != 2\nnot ok 3 # SKIP c\n"
GOOD = "1..2\nok 1 - a\nok 2 - b\n"


@pytest.mark.parametrize("code, output, counts", [
    (1, TAP, (1, 1, 1)),
    (0, GOOD, (2, 0, 0)),
    (0, GOOD + GOOD, (4, 0, 0)),
    (-11, "1..2\nok 1 - a\n", (1, 1, 0)),   # crashed in the second
    (-6, GOOD, (2, 1, 0)),                  # crashed after the last
    (None, "1..2\nok 1 - a\n", (1, 1, 0)),  # hung
    (0, "1..2\nok 1 - a\n", (1, 1, 0)),     # left early with success
    (1, GOOD, (2, 1, 0)),                   # a sanitizer's exit code after success
    (0, "no cmocka\n", (1, 0, 0)),
    (77, "no cmocka\n", (0, 0, 1)),
    (3, "no cmocka\n", (0, 1, 0)),
    (None, "", (0, 1, 0)),
])
def test_every_end_is_counted(code, output, counts):
    result = RUNNER.judge("x", code, output, 0.1)
    assert (result.passed, result.failed, result.skipped) == counts


def test_a_program_that_hangs_is_ended_with_its_children():
    start = time.monotonic()
    code, _ = RUNNER.run_bounded(["/bin/sh", "-c", "sleep 60 & sleep 60"], 1)
    assert code is None
    assert time.monotonic() - start < 30


def test_output_of_both_streams_is_kept():
    code, output = RUNNER.run_bounded([sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr)"], 60)
    assert code == 0
    assert sorted(output.split()) == ["1", "2"]


def test_a_note_is_shown_once(capsys):
    report = RUNNER.Reporter()
    for name in ("x", "y"):
        report(RUNNER.judge(name, 0, "# note: emulated\n# other\n" + GOOD, 0.1))
    shown = capsys.readouterr().out
    assert shown.count("note: emulated") == 1
    assert "other" not in shown


def test_what_was_skipped_is_named(capsys):
    report = RUNNER.Reporter()
    report(RUNNER.judge("floor/x", 1, TAP, 0.1))
    report(RUNNER.judge("floor/y", RUNNER.EXIT_SKIPPED, "no cmocka\n", 0.1))
    said = "tests/api/test_x.py::test_a SKIPPED (no network) [ 50%]\nSKIPPED [2] tests/api/test_x.py:7: no network\n"
    report(RUNNER.Result("pytest", 1, 0, 2, 0.1, RUNNER.skip_notes(RUNNER.PYTEST_SKIP, said) + said))
    shown = capsys.readouterr().out
    for name in ("floor/x, c", "floor/y", "[2] tests/api/test_x.py:7: no network"):
        assert f"     note: skipped: {name}\n" in shown, name


@pytest.mark.parametrize("conftest, seconds, said", [
    ("import a_package_that_is_missing", 60, "pytest could not begin; `make test` installs what the tests need"),
    ("import threading; threading.Event().wait()", 1, "pytest ran out of time"),
])
def test_why_pytest_came_to_no_end_is_said(tmp_path, monkeypatch, conftest, seconds, said):
    (tmp_path / "conftest.py").write_text(conftest)
    monkeypatch.setattr(RUNNER, "PYTEST_FOLDERS", [str(tmp_path)])
    result, = RUNNER.run_pytest(str(tmp_path), [], time.monotonic() + seconds)
    assert (result.passed, result.failed) == (0, 1) and said in result.output
