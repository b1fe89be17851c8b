"""The commands of README.md, HACKING.md and the like do what stands there: those that can, run, as they are written."""
import os
import re
import subprocess

import pytest

from program import GOLDEN, ROOT, TONGYUN, Program

DOCUMENTS = ["README.md", "HACKING.md", "docs/performance.md", "docs/server.md"]

# What a test cannot run, by its beginning, and why. Of these the target or the file must at least be there.
NOT_RUN = {
    "make": "a build, or all tests, by itself",
    "meson setup": "a build by itself",
    "tools/test.py": "runs the tests: this one",
    "tools/fuzz.sh": "needs a fuzzing build, and a minute",
    "build/release/tests/": "the build folder of a test may be another",
    "python3 -m venv": "downloads packages",
    "build/bench-venv/bin/python": "needs that venv",
    "build/tongyun chips": "measures for seconds; test_usage runs it",
    "build/tongyun bench": "measures for a minute; test_usage runs it on the model inside",
    "build/tongyun pull": "downloads a model; test_pull runs it",
    "build/tongyun logits": "dumps every layer; tests/tools/test_compare_layers.py runs it, and what compares",
    "build/venv/bin/python tools/goldens/compare_layers.py": "the same",
    "build/golden-venv/bin/python": "needs PyTorch",
    "ATEN_CPU_CAPABILITY=avx2 build/golden-venv/bin/python": "the same",
    "build/release/bench/": "measures for a minute",
}
CHANGED = {"--port 8000": "--port 0"}    # a test must not take a port that somebody may be using


def commands():
    """(document, command) of every line of an indented block."""
    for document in DOCUMENTS:
        with open(os.path.join(ROOT, document), encoding="utf-8") as file:
            text = re.sub(r"```.*?```", "", file.read(), flags=re.DOTALL)    # pictures
        for line in re.findall(r"(?:^|\n)(?=    )((?:    .*\n)+)", text):
            for command in line.replace("\\\n", "").splitlines():
                command = re.sub(r"\s+#.*", "", command).strip()
                if command:
                    yield document, command


def reason(command):
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


RUN = [(document, command) for document, command in commands() if not reason(command)]
REST = [(document, command) for document, command in commands() if reason(command)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as the reader's: the program where the documents say, and a small model under the name of theirs. The
    commands of a document run one after the other in it."""
    program = Program(tmp_path_factory.mktemp("place"))
    os.mkdir(os.path.join(program.folder, "build"))
    os.symlink(TONGYUN, os.path.join(program.folder, "build", "tongyun"))
    os.symlink(os.path.join(GOLDEN, "checkpoints", "qwen3-f32"), os.path.join(program.folder, "Qwen3-0.6B"))
    os.symlink(os.path.join(GOLDEN, "gguf", "qwen3-q8_0.gguf"), os.path.join(program.folder, "Qwen3-0.6B.gguf"))
    for name in ("tools", "assets"):
        os.symlink(os.path.join(ROOT, name), os.path.join(program.folder, name))
    return program


def test_the_documents_have_commands_that_run():
    assert len(RUN) >= 8 and {document for document, _ in RUN} >= {"README.md"}


@pytest.mark.parametrize("document, command", RUN)
def test_a_command_of_the_documents_works(place, document, command):
    for written, run in CHANGED.items():
        command = command.replace(written, run)
    if command.startswith("build/tongyun serve "):
        with place.serve(*command.split()[2:], executor="chip") as server:
            assert server.models() == ["Qwen3-0.6B"]
        return
    done = subprocess.run(["bash", "-ec", command], cwd=place.folder, env=place.env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("document, command", REST)
def test_what_is_not_run_is_at_least_there(document, command):
    words = [word for word in command.split("&&")[0].split() if "=" not in word and not word.startswith("-")]
    if words[0] == "make":
        for target in words[1:] or ["all"]:
            with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
                assert re.search(rf"^{target}:", file.read(), re.MULTILINE), target
    elif words[0].startswith("tools/"):
        assert os.access(os.path.join(ROOT, words[0]), os.X_OK)
    elif words[0].startswith("build/release/tests/"):
        assert os.path.exists(os.path.join(os.path.dirname(TONGYUN), "..", "..", *words[0].split("/")[2:]))
    else:
        for word in re.findall(r"\b(?:bench|tests|tools)/\S+\.(?:py|txt|sh)\b", command):
            assert os.path.exists(os.path.join(ROOT, word)), word
