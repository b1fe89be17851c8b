"""`tokenize`, `detokenize`, `template`, `logits`: text to numbers and back, as scripts use them."""
import json
import os
import re

import numpy
import pytest
import tokenizers

from program import GOLDEN, QWEN3, checkpoint

TEXTS = ["", "hello", "春雨\n", "a b\tc\r\n", "🙂 é ß", "<|im_start|>user", "x" * 3000]
MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("model", [[], [QWEN3]])
@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_from_its_ids(shared, text, model):
    ids = shared.run("tokenize", *model, stdin=text)
    assert ids.returncode == 0 and ids.stdout.endswith("\n")
    assert shared.json("tokenize", *model, stdin=text) == [int(word) for word in ids.stdout.split()]
    for form in (ids.stdout, json.dumps([int(word) for word in ids.stdout.split()])):
        assert shared.run("detokenize", *model, stdin=form, binary=True).stdout == text.encode()


def test_special_tokens_are_parsed_only_when_asked_for(shared):
    plain = shared.json("tokenize", stdin="<|im_end|>")
    special = shared.json("tokenize", "--special", stdin="<|im_end|>")
    assert len(special) == 1 and len(plain) > 1
    assert shared.ok("detokenize", stdin=str(special[0])) == "<|im_end|>"


def test_the_ids_are_those_of_hugging_face(shared):
    reference = tokenizers.Tokenizer.from_file(os.path.join(QWEN3, "tokenizer.json"))
    for text in (*TEXTS[:5], "e\u0301 I'm\n\n 2024 你好 the user's"):
        assert shared.json("tokenize", QWEN3, stdin=text) == reference.encode(text).ids
    for text in ("<|im_start|>user\nhi<|im_end|>", "a <think> b"):
        assert shared.json("tokenize", QWEN3, "--special", stdin=text) == reference.encode(text).ids


def test_a_normalizer_may_make_more_tokens_than_the_text_has_bytes(program, tmp_path):
    folder = checkpoint(tmp_path / "model", tokenizer={"normalizer": {"type": "Replace", "pattern": {"String": "a"},
                                                                     "content": "bcdefgh"}})
    ids = program.json("tokenize", folder, stdin="a" * 1000)
    assert program.ok("detokenize", folder, stdin=json.dumps(ids)) == "bcdefgh" * 1000


def test_a_text_that_a_tokenizer_cannot_take_is_one_line(program, tmp_path):
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}
    folder = checkpoint(tmp_path / "growing", tokenizer={"normalizer": {"type": "Sequence", "normalizers": [step] * 10}})
    assert program.fails("tokenize", folder, stdin="a" * 1000) == "normalizer: more than 36096 bytes come of the text"
    bomb = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}
    folder = checkpoint(tmp_path / "bomb", tokenizer={"pre_tokenizer": bomb})
    assert program.fails("tokenize", folder, stdin="a" * 1000) == \
        'regex "(a+)+b" needs too many steps for a text of 1000 bytes'


@pytest.mark.parametrize("ids", ["x", "1 x", "-1", "99999999", "1.5", "18446744073709551616"])
def test_what_is_no_id_is_named(shared, ids):
    text = shared.fails("detokenize", stdin=ids)
    assert text.startswith(f"standard input: '{ids.split()[-1][:16]}' is not a token id below")


def test_what_is_no_id_is_named_without_what_is_behind_it(shared):
    assert shared.fails("detokenize", stdin="[1, two,\n3]").startswith("standard input: 'two' is not a token id below")


def test_a_template_is_rendered_with_and_without_the_assistants_turn(shared, tmp_path):
    path = tmp_path / "messages.json"
    path.write_text(json.dumps(MESSAGES))
    user = "<|im_start|>user\nhi<|im_end|>\n"
    assert shared.ok("template", QWEN3, "--messages", path) == user + "<|im_start|>assistant\n"
    assert shared.ok("template", QWEN3, "--messages", path, "--no-generation-prompt") == user
    assert shared.ok("template", "--messages", "-", QWEN3, stdin=json.dumps(MESSAGES)) == user + "<|im_start|>assistant\n"


def test_a_template_takes_tools_its_own_arguments_and_the_date(shared, tmp_path):
    for file in os.listdir(QWEN3):
        os.symlink(os.path.join(QWEN3, file), tmp_path / file)
    (tmp_path / "chat_template.jinja").write_text(
        "{{ tools[0].function.name }} {{ mood }} {{ messages[0].content }} {{ strftime_now('%Y') }}")
    asked = {**MESSAGES, "tools": [{"type": "function", "function": {"name": "rain"}}],
             "chat_template_kwargs": {"mood": "glad"}}
    text = shared.ok("template", tmp_path, "--messages", "-", stdin=json.dumps(asked))
    assert re.fullmatch(r"rain glad hi 20\d\d", text)
    (tmp_path / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}")
    assert shared.run("run", "--max-tokens", 1, tmp_path, "hello", binary=True).returncode == 0


@pytest.mark.parametrize("beside", [True, False])
def test_a_template_for_tools_is_taken_when_there_are_tools(shared, tmp_path, beside):
    folder, named = tmp_path / "model", {"default": "plain", "other": "{% broken", "tool_use": "with {{ tools|length }}"}
    if beside:      # as files, or as a list in tokenizer_config.json
        checkpoint(folder)
        (folder / "chat_template.jinja").write_text(named["default"])
        (folder / "additional_chat_templates").mkdir()
        for name in ("other", "tool_use"):
            (folder / "additional_chat_templates" / f"{name}.jinja").write_text(named[name])
    else:
        checkpoint(folder, tokenizer_config={
            "chat_template": [{"name": name, "template": text} for name, text in named.items()]})
        (folder / "chat_template.jinja").unlink(missing_ok=True)
    shared.ok("quantize", folder, tmp_path / "model.gguf", "--type", "q8_0")
    tool = {"type": "function", "function": {"name": "rain"}}
    for model in (folder, tmp_path / "model.gguf"):
        for tools, expected in (([tool, tool], "with 2"), ([], "plain"), (None, "plain")):
            asked = json.dumps({**MESSAGES, "tools": tools})
            assert shared.ok("template", model, "--messages", "-", stdin=asked) == expected
    (folder / "additional_chat_templates").mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text("plain")
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("\n{{ 1|nosuch }}")
    assert "chat template tool_use: line 2: no filter named 'nosuch'" in shared.fails(
        "template", folder, "--messages", "-", stdin=json.dumps(MESSAGES))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"messages": 1}', '{"messages": [1]}', '{"messages": []',
                                  '{"messages": [{"role": "user"}]}', '{"messages": [], "tools": 1}'])
def test_messages_that_are_none_are_an_error_or_an_empty_prompt(shared, text):
    done = shared.run("template", QWEN3, "--messages", "-", stdin=text)
    assert done.returncode in (0, 1)
    assert done.returncode == 0 or (done.stderr.startswith("tongyun: error: ") and done.stderr.count("\n") == 1)
    if text in ("", "{", '{"messages": []', "[]", "null", "{}", '{"messages": 1}'):
        assert done.returncode == 1, done.stdout
    if text in ("[]", "null", "{}", '{"messages": 1}'):
        assert done.stderr == 'tongyun: error: -: needs {"messages": [...]}\n'
    if text == '{"messages": [{"role": "user"}]}':
        assert done.stderr.startswith("tongyun: error: chat template: line ")


def test_logits_are_a_numpy_array_and_the_same_in_every_chunk(shared, tmp_path):
    with open(os.path.join(GOLDEN, "index.json"), encoding="utf-8") as file:
        case = next(c for c in json.load(file)["cases"] if c["model"].endswith("qwen3-f32") and c["positions"] == [0, 65, 1])
    tokens = os.path.join(GOLDEN, case["tokens"])
    arrays = []
    for options in (["--chunk", 64], ["--chunk", 7], ["--threads", 1, "--chunk", 1], ["--kv-type", "f16"]):
        out = tmp_path / "o.npy"
        assert shared.ok("logits", QWEN3, "--tokens", tokens, "--out", out, *options) == ""
        arrays.append(numpy.load(out))
    want = numpy.load(os.path.join(GOLDEN, case["logits"]))
    assert arrays[0].dtype == numpy.float32 and arrays[0].shape[0] == 65
    assert all(array.tobytes() == arrays[0].tobytes() for array in arrays[:3])
    assert numpy.abs(arrays[3][:, :want.shape[1]] - want).max() < 0.05     # 16-bit keys and values
    assert numpy.abs(arrays[0][:, :want.shape[1]] - want).max() < 0.7      # they may be bf16: as class bf16_inputs


@pytest.mark.parametrize("tokens, says", [("", "no tokens"), ("1 x", "token 1 is not an id below"), ("999999", "token 0")])
def test_tokens_that_are_none_are_told(shared, tmp_path, tokens, says):
    path = tmp_path / "tokens"
    path.write_text(tokens)
    assert says in shared.fails("logits", "--tokens", path, "--out", tmp_path / "o.npy")
    assert not (tmp_path / "o.npy").exists()


def test_files_that_are_not_there_are_named(shared, tmp_path):
    assert "/nowhere" in shared.fails("logits", "--tokens", "/nowhere", "--out", tmp_path / "o.npy")
    assert "/nowhere/o.npy" in shared.fails("logits", "--tokens", "-", "--out", "/nowhere/o.npy", stdin="1 2")
    assert "/nowhere" in shared.fails("template", "--messages", "/nowhere")
