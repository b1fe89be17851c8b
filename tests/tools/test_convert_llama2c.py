"""tools/convert_llama2c.py: trained weights of Llama's form tell the story they are known for."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.abspath(os.environ.get("TONGYUN_BUILD", os.path.join(ROOT, "build", "release")))
TONGYUN = os.path.join(BUILD, "src", "cmd", "tongyun")
TOOL = os.path.join(ROOT, "tools", "convert_llama2c.py")
STORIES = os.path.join(ROOT, "tests", "data", "stories260K")
BEGIN = "<s>"
GREEDY = ("403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267 337 410 408 419 292")   # llama2.c's
STORY = " Once upon a time, there was a little girl named Lily. She loved to play outside in the park"


def tongyun(*arguments, stdin=""):
    done = subprocess.run([TONGYUN, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", name="model")
def fixture_model(tmp_path_factory):
    out = tmp_path_factory.mktemp("stories260K")
    subprocess.run([sys.executable, TOOL, os.path.join(STORIES, "stories260K.bin"), os.path.join(STORIES, "tok512.bin"), out],
                   check=True, timeout=120)
    return out


def story(model, tokens):
    return tongyun("run", "-m", model, "--raw", "-p", BEGIN, "--temperature", 0, "--max-tokens", tokens).rstrip("\n")


def test_the_greedy_story_is_the_one_that_llama2c_tells(model):
    assert story(model, len(GREEDY.split())) == tongyun("detokenize", model, stdin=GREEDY)
    assert story(model, 40).startswith(STORY)


def test_text_becomes_the_pieces_of_the_largest_score(model):
    assert tongyun("tokenize", model, stdin=STORY).split()[:len(GREEDY.split())] == GREEDY.split()


def test_a_checkpoint_that_ends_early_is_refused(tmp_path):
    with open(os.path.join(STORIES, "stories260K.bin"), "rb") as whole:
        (tmp_path / "cut.bin").write_bytes(whole.read()[:100000])
    done = subprocess.run([sys.executable, TOOL, tmp_path / "cut.bin", os.path.join(STORIES, "tok512.bin"), tmp_path / "out"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "ends inside its weights" in done.stderr
