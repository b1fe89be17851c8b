"""Models that are damaged or lie: every verb that opens one ends with exit 1 and one line that says what and where, and
none takes more memory than a good model does."""
import json
import os
import resource
import shutil
import struct

import pytest

from program import GOLDEN, QWEN3

MEMORY_MAX = 2 << 30    # bytes of address space
BF16 = os.path.join(GOLDEN, "checkpoints", "qwen3-mini-bf16-sharded")
FP8 = os.path.join(GOLDEN, "checkpoints", "qwen3-fp8")
GPTQ = os.path.join(GOLDEN, "checkpoints", "qwen3-gptq-int4-act-order")
GGUF = os.path.join(GOLDEN, "gguf", "qwen3-mini-f16.gguf")
WEIGHTS = "model.safetensors"


def change_json(path, change):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    change(document)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)


def document(folder, name, change):
    change_json(os.path.join(folder, name), change)


def link(folder, name, to):
    os.unlink(os.path.join(folder, name))
    os.symlink(to, os.path.join(folder, name))


def config(folder, **fields):
    change_json(os.path.join(folder, "config.json"), lambda document: document.update(fields))


def quantization(folder, **fields):
    change_json(os.path.join(folder, "config.json"), lambda document: document["quantization_config"].update(fields))


def cut(folder, name=WEIGHTS, share=0.6):
    path = os.path.join(folder, name)
    os.truncate(path, int(os.path.getsize(path) * share))


def header(folder, change, name=WEIGHTS):
    """The header of a safetensors file with a change; its data stays as it is."""
    path = os.path.join(folder, name)
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack("<Q", data[:8])
    document = json.loads(data[8:8 + size])
    change(document)
    text = json.dumps(document).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data[8 + size:])


def put(folder, tensor, at, data, name=WEIGHTS):
    """Bytes of a tensor, from byte at of it."""
    path = os.path.join(folder, name)
    with open(path, "r+b") as file:
        size, = struct.unpack("<Q", file.read(8))
        begin = json.loads(file.read(size))[tensor]["data_offsets"][0]
        file.seek(8 + size + begin + at)
        file.write(data)


def index(folder, change):
    change_json(os.path.join(folder, "model.safetensors.index.json"), lambda document: change(document["weight_map"]))


def pointer(folder, name):
    """What `git clone` leaves where Git LFS is missing."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 889648\n")


POINTER_TOLD = "git's pointer to the file, not the file; `git lfs pull` in its directory fetches it"
Q = "model.layers.0.self_attn.q_proj"
EMBED = "model.embed_tokens.weight"

BAD = {
    "cut file": (QWEN3, cut, "model.safetensors: "),
    "empty file": (QWEN3, lambda d: cut(d, share=0), "model.safetensors: 0 bytes"),
    "cut config": (QWEN3, lambda d: cut(d, "config.json"), "config.json: line"),
    "more tokens than rows": (QWEN3, lambda d: document(
        d, "tokenizer.json", lambda t: t["model"]["vocab"].update(q=4000)), "model: the tokenizer has 4001 ids"),
    "no weights": (QWEN3, lambda d: os.unlink(os.path.join(d, WEIGHTS)), "neither model.safetensors nor"),
    "no config": (QWEN3, lambda d: os.unlink(os.path.join(d, "config.json")), "no config.json"),
    "no tokenizer": (QWEN3, lambda d: os.unlink(os.path.join(d, "tokenizer.json")),
                     "no tokenizer: neither tokenizer.json nor vocab.json and merges.txt"),
    "git's pointer for the weights": (QWEN3, lambda d: pointer(d, WEIGHTS), POINTER_TOLD),
    "git's pointer for the tokenizer": (QWEN3, lambda d: pointer(d, "tokenizer.json"), POINTER_TOLD),
    "a link to nothing": (QWEN3, lambda d: link(d, "tokenizer.json", "blobs/gone"),
                          "tokenizer.json: a link to a file that is not there"),
    "a link to itself": (QWEN3, lambda d: link(d, "config.json", "config.json"), "config.json: Too many levels"),
    "text config of no object": (QWEN3, lambda d: config(d, text_config="x"), "config.json: text_config is not an object"),
    "negative begin token": (QWEN3, lambda d: config(d, bos_token_id=-1), "config.json: bos_token_id: -1"),
    "no choice is left": (QWEN3, lambda d: document(d, "generation_config.json", lambda g: g.update(top_p=0)),
                          "generation_config.json: top_p: 0"),
    "added token of no text": (QWEN3, lambda d: document(d, "tokenizer_config.json", lambda t: t.update(
        added_tokens_decoder={"298": {"content": ""}})), "tokenizer_config.json: added token 298 has no content"),
    "a folder for a file": (QWEN3, lambda d: (os.unlink(os.path.join(d, WEIGHTS)), os.mkdir(os.path.join(d, WEIGHTS))),
                            "not a regular file"),
    "a pipe for a file": (QWEN3, lambda d: (os.unlink(os.path.join(d, WEIGHTS)), os.mkfifo(os.path.join(d, WEIGHTS))),
                          "not a regular file"),
    "huge shape": (QWEN3, lambda d: header(d, lambda h: h[EMBED].update(shape=[2**62, 2**62])), f"tensor {EMBED}"),
    "overlap": (QWEN3, lambda d: header(d, lambda h: h[EMBED].update(data_offsets=[4, 4 + 4 * 320 * 64])), "tensor "),
    "missing tensor": (QWEN3, lambda d: config(d, num_hidden_layers=3), "tensor model.layers.2"),
    "a layer too many": (QWEN3, lambda d: config(d, num_hidden_layers=1), "has no place in a qwen3 model of 1 layers"),
    "other sizes": (QWEN3, lambda d: config(d, hidden_size=128), "the config says"),
    "huge sizes": (QWEN3, lambda d: config(d, hidden_size=10**12), "hidden_size"),
    "huge vocabulary": (QWEN3, lambda d: config(d, vocab_size=1 << 20), "the config says"),
    "infinite norm": (QWEN3, lambda d: put(d, "model.norm.weight", 0, struct.pack("<f", float("inf"))), "not finite"),
    "a weight that is no number": (QWEN3, lambda d: put(d, Q + ".weight", 4, struct.pack("<f", float("nan"))),
                                   "the logits of position 0 are not finite"),
    "shard outside": (BF16, lambda d: index(d, lambda m: m.update({EMBED: "../secret"})), "not a file of this directory"),
    "shard missing": (BF16, lambda d: index(d, lambda m: m.update({EMBED: "nowhere"})), "nowhere"),
    "tensor elsewhere": (BF16, lambda d: index(d, lambda m: m.update({EMBED: sorted(m.values())[-1]})),
                         "where the index puts it"),
    "block size": (FP8, lambda d: quantization(d, weight_block_size=[64, 64]), "not what the quantization_config says"),
    "unknown method": (FP8, lambda d: quantization(d, quant_method="exl3"), "quant_method exl3 is not supported"),
    "no method": (FP8, lambda d: config(d, quantization_config=None), "quantization_config is missing"),
    "code that is no number": (FP8, lambda d: put(d, Q + ".weight", 77, b"\xff"), f"tensor {Q}.weight holds a number"),
    "scale that is no number": (FP8, lambda d: put(d, Q + ".weight_scale_inv", 0, b"\xc0\x7f"),
                                f"tensor {Q}.weight_scale_inv holds a number"),
    "group of no column": (GPTQ, lambda d: put(d, Q + ".g_idx", 0, b"\xff\xff\xff\xff"), f"tensor {Q}.g_idx: a column"),
}


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_directory_is_one_line(program, tmp_path, name):
    source, damage, reason = BAD[name]
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    damage(folder)
    told = program.fails("logits", folder, "--tokens", os.path.join(GOLDEN, "tokens", "len1.txt"), "--out",
                         tmp_path / "out.npy", preexec_fn=limit_memory)
    assert reason in told and "model" in told, told
    assert len(told) < 512
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.2, 0.5, 0.99])
def test_a_gguf_file_cut_anywhere_is_one_line(program, tmp_path, share):
    path = tmp_path / "m.gguf"
    shutil.copy(GGUF, path)
    cut(tmp_path, "m.gguf", share)
    told = program.fails("show", path, preexec_fn=limit_memory)
    assert "m.gguf: " in told


def test_counts_of_a_gguf_file_take_no_memory(program, tmp_path):
    path = tmp_path / "m.gguf"
    with open(GGUF, "rb") as file:
        data = bytearray(file.read())
    for at in (8, 16):      # tensors, keys
        data[at:at + 8] = struct.pack("<Q", 2**63)
        path.write_bytes(data)
        assert "m.gguf: " in program.fails("show", path, preexec_fn=limit_memory)


def test_what_is_no_gguf_file_is_told_apart(program, tmp_path):
    (tmp_path / "empty.gguf").touch()
    pointer(tmp_path, "pointer.gguf")
    for path, said in ((tmp_path / "empty.gguf", "an empty file, not a GGUF file"),
                       (tmp_path / "pointer.gguf", POINTER_TOLD),
                       (os.path.join(QWEN3, "config.json"), "not a GGUF file; name one, or a model directory")):
        assert program.fails("show", path) == f"{path}: {said}"
