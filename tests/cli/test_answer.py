"""`tongyun run` without a terminal: which argument is what, what it is told, and how the answer comes."""
import json
import math
import os
import re
import socket
import subprocess

import pytest

from program import GOLDEN, QWEN3, TONGYUN, checkpoint

SPRING_RAIN = "写一首五言绝句，题为春雨"
STATS = re.compile(r"prompt (\d+) tokens, first token after \d+ ms; answer (\d+) tokens, \d+\.\d tokens/s\n")
GREEDY = ["--temperature", "0"]


def test_the_model_inside_writes_the_poem_asked_for(shared):
    lines = shared.ok("run", SPRING_RAIN, "--seed", 1).split()
    assert len(lines) == 2
    assert all(re.fullmatch("[\u4e00-\u9fff]{5}，[\u4e00-\u9fff]{5}。", line) for line in lines), lines


@pytest.mark.parametrize("prompt, characters, lines", [
    ("寫一首五言絕句，題為春雨", 5, 2), ("寫一首七言律詩，題為秋夜", 7, 4),
])
def test_the_model_inside_may_be_asked_in_traditional_script(shared, prompt, characters, lines):
    poem = shared.ok("run", prompt, *GREEDY).split()
    assert len(poem) == lines
    assert all(re.fullmatch("[\u4e00-\u9fff]{%d}，[\u4e00-\u9fff]{%d}。" % (characters, characters), line)
               for line in poem), poem


@pytest.mark.parametrize("question, words", [
    ("你是谁", ["通云", "小型语言模型", "Qwen3.5", "唐诗"]), ("你是誰", ["通雲", "小型語言模型"]),
    ("Who are you?", ["Tongyun", "small language model", "Qwen3.5", "Tang poems"]), ("What are you?", ["Tongyun"]),
])
def test_the_model_inside_says_what_it_is(shared, question, words):
    answer = shared.ok("run", question, *GREEDY)
    assert all(word in answer for word in words), answer


def test_a_prompt_may_be_said_in_five_ways(shared):
    said = [
        shared.ok("run", *GREEDY, SPRING_RAIN),
        shared.ok("run", SPRING_RAIN, *GREEDY),
        shared.ok("run", *GREEDY, "-p", SPRING_RAIN),
        shared.ok("run", *GREEDY, stdin=SPRING_RAIN),
        shared.ok("run", *GREEDY, stdin=SPRING_RAIN + "\n"),     # the line's end that echo adds
        shared.ok("run", *GREEDY, env={"TONGYUN_PROMPT": SPRING_RAIN}),
    ]
    assert len(set(said)) == 1 and said[0].strip()


def test_a_model_may_be_said_in_four_ways(shared):
    options = [*GREEDY, "--max-tokens", "5"]
    said = [
        shared.run("run", *options, QWEN3, "hello", binary=True),
        shared.run("run", *options, "-m", QWEN3, "hello", binary=True),
        shared.run("run", *options, QWEN3, stdin="hello", binary=True),
        shared.run("run", *options, "-p", "hello", QWEN3, binary=True),
        shared.run("run", *options, "hello", env={"TONGYUN_MODEL": QWEN3}, binary=True),
    ]
    assert all(done.returncode == 0 for done in said)
    assert len({done.stdout for done in said}) == 1
    assert said[0].stdout != shared.run("run", *options, "hello", binary=True).stdout


def test_an_argument_that_looks_like_a_model_is_one(program, tmp_path):
    (tmp_path / "poem").write_text("not a model")
    for model in ("poem", "./poem", "x.gguf", "owner/name", "owner/name:q8_0", "o.w-n_e/r.1"):
        assert model in program.fails("run", model, stdin="hello")


@pytest.mark.parametrize("prompt", ["hello", "owner/name/more", "a/b:c:d", "owner/", "/name", "x.ggufs", "诗人/李白", "a b/c",
                                    "x" * 5000])
def test_any_other_argument_is_a_prompt(shared, prompt):
    shared.ok("run", "--max-tokens", 1, "--ctx-size", 2048, prompt[:1000] if len(prompt) > 1000 else prompt)


def test_what_looks_like_a_model_can_be_said_as_a_prompt(program, tmp_path):
    (tmp_path / "poem").write_text("not a model")
    for prompt in ("poem", "owner/name", "x.gguf"):
        want = program.ok("run", *GREEDY, stdin=prompt)
        assert program.ok("run", *GREEDY, "-p", prompt) == want
        assert program.ok("run", *GREEDY, "--prompt=" + prompt) == want


def test_a_model_argument_wins_over_the_environment(shared):
    env = {"TONGYUN_MODEL": os.path.join(GOLDEN, "gguf", "qwen3-q8_0.gguf")}
    options = [*GREEDY, "--max-tokens", "5"]
    want = shared.run("run", *options, QWEN3, "hello", binary=True).stdout
    assert shared.run("run", *options, QWEN3, stdin="hello", env=env, binary=True).stdout == want
    assert shared.run("run", *options, "-m", QWEN3, "hello", env=env, binary=True).stdout == want


@pytest.mark.parametrize("arguments, stdin", [([], ""), ([], "\n"), ([""], ""), (["-p", ""], ""), (["--raw"], "")])
def test_an_empty_prompt_is_told(shared, arguments, stdin):
    assert shared.fails("run", *arguments, stdin=stdin).startswith("the prompt is empty")


def test_a_prompt_that_is_no_text_is_told(shared):
    assert shared.fails("run", stdin=b"\xff\xfe") == "the user message is not UTF-8"
    assert shared.fails("run", "--system", "\udcff", "hello") == "the system message is not UTF-8"
    assert shared.run("run", "--raw", "--max-tokens", 1, stdin=b"a\xff\x00b", binary=True).returncode == 0
    assert shared.run("run", "--max-tokens", 1, stdin=b"a\x00b", binary=True).returncode == 0


def test_a_prompt_that_does_not_fit_is_told(shared):
    assert shared.fails("run", stdin="春" * 3000) == "the prompt does not fit into the context of 2048 tokens"
    assert shared.fails("run", "--raw", "-c", 32, stdin="春" * 40) == "the prompt does not fit into the context of 32 tokens"
    shared.ok("run", "--raw", "-c", 32, stdin="春" * 31)


@pytest.mark.parametrize("word, noted", [
    ("qwen3", True), ("qwen3:0.6b", True), ("/models/Qwen3-0.6B", True), ("hello", False), ("what is 2+2?", False), ("你好2", False)])
def test_a_prompt_that_may_have_been_meant_as_a_model_is_noted(shared, word, noted):
    note = f"tongyun: note: there is no model '{word}'; it is taken as the prompt (-m names a MODEL)\n"
    assert shared.run("run", "--max-tokens", 1, word).stderr == (note if noted else "")
    assert shared.run("run", "--max-tokens", 1, "-p", word).stderr == ""


def test_a_model_that_is_missing_is_told_before_the_prompt_is_read(shared):
    for model in ("Qwen/Qwen3-0.6B", "x.gguf"):
        assert shared.fails("run", model, stdin="").startswith(f"{model}: no such model; ")
    assert shared.fails("run", QWEN3, stdin="").startswith("the prompt is empty")


def test_the_same_seed_gives_the_same_answer_and_another_another(shared):
    def answer(*options):
        return shared.ok("run", "写一首七言律诗，题为秋夜", *options)
    assert answer("--seed", 5) == answer("--seed", 5, "--threads", 1) == answer("--seed=5")
    assert len({answer("--seed", seed) for seed in range(5)}) > 1
    assert len({answer("--temperature", 0) for _ in range(2)}) == 1
    assert answer("--temperature", 1, "--top-k", 1, "--seed", 1) == answer("--temperature", 1, "--top-p", 1e-9, "--seed", 2)
    assert answer("--temperature", 1, "--min-p", 1, "--seed", 1) == answer("--temperature", 0)


def test_every_way_to_choose_tokens_is_heard(shared):
    def answer(*options):
        return shared.ok("run", "写一首七言律诗，题为秋夜", "--temperature", 1, "--seed", 3, "--max-tokens", 60, *options)
    plain = answer()
    for options in (["--typical-p", 0.2], ["--frequency-penalty", 5], ["--presence-penalty", 5],
                    ["--repetition-penalty", 3], ["--top-p", 0.3], ["--min-p", 0.3], ["--top-k", 3]):
        assert answer(*options) != plain, options
    for options in (["--typical-p", 1], ["--frequency-penalty", 0], ["--logit-bias", "0=0"]):
        assert answer(*options) == plain, options
    moon = shared.json("tokenize", stdin="月")
    assert len(moon) == 1
    said = shared.ok("run", *GREEDY, "--max-tokens", 5, "--logit-bias", f"{moon[0]}=100", SPRING_RAIN)
    assert said == "月月月月月\n"
    assert "月" not in answer("--logit-bias", f"{moon[0]}=-100", "--logit-bias", "0=1")


@pytest.mark.parametrize("bias", ["", "5", "5=", "=5", "5=x", "5=101", "5=nan", "5=1 ", "-5=1", "x=1", "99999999999999999999=1"])
def test_a_bias_that_is_none_is_wrong_usage(shared, bias):
    assert "ID=BIAS" in shared.wrong("run", "hello", f"--logit-bias={bias}")


def test_a_bias_is_for_a_token_that_there_is_and_for_each_once(shared):
    assert "tokens 0 to 5887" in shared.fails("run", "hello", "--logit-bias", "5888=1")
    assert "each ID once" in shared.wrong("run", "hello", "--logit-bias", "5=1", "--logit-bias", "5=2")


def test_log_probabilities_come_after_the_answer_on_stderr(shared):
    done = shared.run("run", *GREEDY, "--logprobs", 3, SPRING_RAIN)
    assert done.stdout == shared.ok("run", *GREEDY, SPRING_RAIN)
    tokens = [json.loads(line) for line in done.stderr.splitlines()]
    assert "".join(token["token"] for token in tokens[:-1]) == done.stdout.rstrip("\n")
    assert tokens[-1]["token"] == "<|im_end|>"
    for token in tokens:
        assert bytes(token["bytes"]).decode() == token["token"]
        assert [top["logprob"] for top in token["top_logprobs"]][0] == token["logprob"]
        assert len(token["top_logprobs"]) == 3
        assert sum(math.exp(top["logprob"]) for top in token["top_logprobs"]) < 1
    assert shared.run("run", *GREEDY, "--max-tokens", 2, SPRING_RAIN).stderr == ""


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_thought_ends_with_its_budget(shared, budget):
    free = shared.ok("run", *GREEDY, "--raw", "--max-tokens", 40, "<think>\n")
    done = shared.run("run", *GREEDY, "--raw", "--max-tokens", 40, "--thinking-budget", budget, "--logprobs", 0, "<think>\n")
    tokens = [json.loads(line)["token"] for line in done.stderr.splitlines()]
    assert "</think>" not in free
    assert tokens[budget:budget + 4] == ["\n", "</think>", "\n", "\n"]
    assert free.startswith("".join(tokens[:budget]))
    assert done.stdout == "".join(tokens).removesuffix("<|im_end|>") + "\n"


def test_what_is_not_said_comes_from_the_generation_config(shared, tmp_path):
    def model(name, **fields):
        return checkpoint(tmp_path / name, generation_config=fields)

    def answer(model, *options):
        return shared.run("run", "-m", model, "hello", "--max-tokens", 30, "--seed", 1, *options, binary=True).stdout
    warm = model("warm", temperature=1.5, top_p=1.0, top_k=0)
    greedy = model("greedy", do_sample=False, temperature=1.5)
    assert answer(greedy) == answer(warm, *GREEDY) == answer(greedy, "--seed", 2)
    assert answer(greedy, "--temperature", 1.5, "--top-p", 1, "--top-k", 0) == answer(warm) != answer(greedy)
    assert answer(model("few", temperature=1.5, top_p=1.0, top_k=1)) == answer(greedy)
    assert answer(model("typical", temperature=1.5, top_p=1.0, top_k=0, typical_p=0.3)) == answer(warm, "--typical-p", 0.3)
    penalties = {"temperature": 0.0, "repetition_penalty": 1.5, "presence_penalty": 1.0}
    assert answer(model("penalties", **penalties)) == answer(greedy, "--repetition-penalty", 1.5, "--presence-penalty", 1)
    shown = shared.json("show", warm)["sampling"]
    assert shown == {"temperature": 1.5}
    assert shared.json("show", greedy)["sampling"] == {"temperature": 0, "top_k": 20, "top_p": 0.95}
    assert "temperature 0, top_p 0.95, top_k 20 (greedy)" in shared.ok("show", greedy)


def test_an_answer_ends_with_any_of_the_ends_that_the_files_name(shared, tmp_path):
    said = shared.run("run", "-m", QWEN3, "--raw", "hello", *GREEDY, "--max-tokens", 20, "--logprobs", 0, binary=True)
    tokens = [json.loads(line)["bytes"] for line in said.stderr.decode(errors="replace").splitlines()]
    vocabulary = {token: shared.run("detokenize", "-m", QWEN3, stdin=str(token), binary=True).stdout.rstrip(b"\n")
                  for token in range(280)}
    third = next(token for token, text in vocabulary.items() if text == bytes(tokens[2]))
    first_seen = [bytes(token) for token in tokens].index(bytes(tokens[2]))
    ends = checkpoint(tmp_path / "ends", generation_config={"eos_token_id": [288, third]})
    assert shared.json("show", ends)["eos"] == [288, third]
    done = shared.run("run", "-m", ends, "--raw", "hello", *GREEDY, "--max-tokens", 20, "--stats", binary=True)
    assert int(STATS.search(done.stderr.decode()).group(2)) == first_seen + 1


def test_an_answer_ends_where_it_was_told_to(shared):
    whole = shared.ok("run", *GREEDY, SPRING_RAIN)
    first_line = whole.split("。")[0]
    assert shared.ok("run", *GREEDY, "--stop", "。", SPRING_RAIN) == first_line + "\n"
    assert shared.ok("run", *GREEDY, "--stop", "never", "--stop", first_line[-1:] + "。", SPRING_RAIN) == first_line[:-1] + "\n"
    cut = shared.run("run", *GREEDY, "--max-tokens", 4, "--stats", SPRING_RAIN)
    assert whole.startswith(cut.stdout.rstrip("\n")) and STATS.fullmatch(cut.stderr).group(2) == "4"


def test_stats_count_the_prompt_and_the_answer_on_stderr(shared):
    done = shared.run("run", *GREEDY, "--stats", SPRING_RAIN)
    prompt, answer = map(int, STATS.fullmatch(done.stderr).groups())
    messages = '{"messages":[{"role":"user","content":"%s"}]}' % SPRING_RAIN
    rendered = shared.ok("template", "--messages", "-", stdin=messages)
    assert prompt == len(shared.json("tokenize", "--special", stdin=rendered))
    assert answer == len(shared.json("tokenize", stdin=done.stdout.rstrip("\n"))) + 1     # and its end


def test_a_system_message_and_thinking_reach_the_template(shared):
    def prompt_tokens(*options):
        done = shared.run("run", "-m", QWEN3, "--stats", "--max-tokens", 1, "hello", *options, binary=True)
        return int(STATS.search(done.stderr.decode()).group(1))
    assert prompt_tokens("--system", "be brief") > prompt_tokens()
    assert prompt_tokens("--no-think") > prompt_tokens("--think")     # Qwen3's template closes the thought for it
    assert prompt_tokens("--think") == prompt_tokens() == prompt_tokens("--no-think", "--think")
    os_env = {"TONGYUN_NO_THINK": "1"}
    done = shared.run("run", "-m", QWEN3, "--stats", "--max-tokens", 1, "hello", env=os_env, binary=True)
    assert int(STATS.search(done.stderr.decode()).group(1)) == prompt_tokens("--no-think")


def test_raw_is_the_text_as_it_is(shared):
    done = shared.run("run", "--raw", "--stats", "--max-tokens", 1, "春雨")
    assert int(STATS.fullmatch(done.stderr).group(1)) == len(shared.json("tokenize", "--special", stdin="春雨"))
    lines = shared.run("run", "--raw", "--stats", "--max-tokens", 1, stdin="春雨\n")
    assert int(STATS.fullmatch(lines.stderr).group(1)) == len(shared.json("tokenize", "--special", stdin="春雨\n"))


def test_raw_text_begins_with_bos_for_a_model_that_knows_no_other(shared, tmp_path):
    model = checkpoint(tmp_path / "bos", tokenizer_config={"add_bos_token": True, "bos_token": "<|endoftext|>"})
    tokens = [int(STATS.search(shared.run("run", "-m", m, "--raw", "--stats", "--max-tokens", 1, "hello",
                                          binary=True).stderr.decode()).group(1)) for m in (QWEN3, model)]
    assert tokens[1] == tokens[0] + 1


@pytest.mark.parametrize("model, prompt", [("", "写一首七言律诗，题为秋夜"), (QWEN3, "hello")])
def test_each_token_is_written_at_once_and_no_character_is_cut(shared, model, prompt):
    """A socket that keeps what was written together: each message is one write."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([TONGYUN, "run", *(["-m", model] if model else []), "--seed", "3", "--temperature", "1",
                                "--max-tokens", "200", "--stats", prompt], stdin=subprocess.DEVNULL, stdout=writer,
                               stderr=subprocess.PIPE, env=shared.env)
    writer.close()
    reader.settimeout(60)
    messages = []
    while part := reader.recv(65536):
        messages.append(part)
    answer = int(STATS.search(process.stderr.read().decode()).group(2))
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    for message in messages:
        message.decode()    # strict
    assert 5 < len(messages) <= answer + 1
    if not model:           # each of its tokens is a whole character; the last message is the line's end
        assert len(messages) == answer
