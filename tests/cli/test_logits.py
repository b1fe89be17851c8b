"""tongyun logits: every row is written, however the prompt is cut."""
import os
import shutil
import subprocess

from program import GOLDEN

BUILD = os.environ.get("TONGYUN_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build", "release"))
TONGYUN = os.path.join(BUILD, "src", "cmd", "tongyun")
TOKENS = 41
NPY_HEADER = 128


def dump(tmp_path, chunk):
    """The files of one run by name, the logits among them."""
    folder = tmp_path / f"layers{chunk}"
    tokens = tmp_path / "tokens"
    tokens.write_text(" ".join(str(i) for i in range(5, 5 + TOKENS)))
    subprocess.run([TONGYUN, "logits", "--tokens", tokens, "--out", tmp_path / "out.npy", "--chunk", str(chunk),
                    "--dump-layers", folder], check=True, timeout=120)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["logits of the array"] = (tmp_path / "out.npy").read_bytes()
    return files


def test_dumped_layers_are_whole_in_any_chunks(tmp_path):
    whole = dump(tmp_path, 64)
    assert len(whole) > 10
    for name, data in whole.items():
        assert b"'shape': (%d, " % TOKENS in data[:NPY_HEADER], name
    for chunk in (7, 1):
        assert dump(tmp_path, chunk) == whole


def test_the_model_is_not_written_over(program, tmp_path):
    model = tmp_path / "m.gguf"
    shutil.copy(os.path.join(GOLDEN, "gguf", "qwen3-q8_0.gguf"), model)
    os.symlink(model, tmp_path / "alias.npy")
    before = model.read_bytes()
    for out in (model, tmp_path / "alias.npy"):
        told = program.fails("logits", model, "--tokens", "-", "--out", out, stdin="1 2 3")
        assert told == f"{out}: is what is read; give another name"
    assert model.read_bytes() == before
    assert program.wrong("logits", model, "--tokens", "-", "--out", "-") == "--out is a file, not standard output"
