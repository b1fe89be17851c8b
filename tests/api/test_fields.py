"""Each field of a request does what its name says: asked of the model inside, by the whole program."""
import math
import os
import subprocess
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))

from program import POET, TONGYUN, Program  # noqa: E402

ASK = [{"role": "user", "content": "写一首五言绝句，题为春雨"}]
OPENAI = ("seed", "stop", "top_p", "presence_penalty", "frequency_penalty", "max_completion_tokens", "logit_bias",
          "logprobs", "top_logprobs", "stream", "stream_options")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def complete(program):
    """Asks for a poem; gives what the client library makes of the answer."""
    with program.serve(executor="chip") as server:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="x", timeout=60, max_retries=0)

        def once(temperature=0, max_tokens=100, **fields):
            of_openai = {k: fields.pop(k) for k in OPENAI if k in fields}
            if max_tokens:
                of_openai["max_tokens"] = max_tokens
            return client.chat.completions.create(model=POET, messages=ASK, temperature=temperature,
                                                  extra_body=fields, **of_openai)
        yield once


@pytest.fixture(scope="module")
def ask(complete):
    """The choice, and the number of its tokens."""
    def once(**fields):
        answer = complete(**fields)
        return answer.choices[0], answer.usage.completion_tokens
    return once


def ids(text):
    """The tokens of a text, special ones among them."""
    done = subprocess.run([TONGYUN, "tokenize", "--special"], input=text.encode(), capture_output=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.fixture(scope="module")
def greedy(ask):
    choice, tokens = ask()
    assert choice.finish_reason == "stop" and "，" in choice.message.content
    return choice.message.content, tokens


@pytest.mark.parametrize("fields", [{"top_k": 1}, {"top_p": 0}, {"min_p": 1}, {"top_k": 1, "typical_p": 0.5}], ids=str)
def test_what_leaves_one_token_leaves_the_likeliest(ask, greedy, fields):
    for seed in (1, 2):
        assert ask(temperature=2, seed=seed, **fields)[0].message.content == greedy[0]


def test_a_seed_is_an_answer_and_another_is_another(ask):
    texts = [ask(temperature=1.5, seed=seed, top_k=-1, top_p=1)[0].message.content for seed in (1, 2, 3, 1, 2, 3)]
    assert texts[:3] == texts[3:]
    assert len(set(texts)) == 3
    assert len({ask(temperature=1.5, max_tokens=30)[0].message.content for _ in range(3)}) > 1


def test_temperature_moves_away_from_the_likeliest(ask, greedy):
    assert any(ask(temperature=2, seed=seed, top_k=-1, top_p=1)[0].message.content != greedy[0] for seed in range(3))


@pytest.mark.parametrize("fields", [{"presence_penalty": 2}, {"frequency_penalty": 2}, {"repetition_penalty": 1.5}],
                         ids=str)
def test_penalties_make_repetition_rarer(ask, fields):
    def kinds(**penalties):
        text = ask(max_tokens=120, ignore_eos=True, **penalties)[0].message.content
        return len(set(text)) / len(text)
    assert kinds(**fields) > kinds(presence_penalty=0, repetition_penalty=1)


def test_little_typical_mass_leaves_one_token(ask):
    texts = {ask(temperature=1, seed=seed, top_k=-1, top_p=1, typical_p=1e-6)[0].message.content for seed in (1, 2, 3)}
    assert len(texts) == 1


def test_a_bias_forbids_a_token_or_leaves_no_other(ask, greedy):
    first = ids(greedy[0])[0]
    assert ask(logit_bias={str(first): -100})[0].message.content[:1] != greedy[0][:1]
    word = ids("月")
    assert len(word) == 1
    choice, tokens = ask(temperature=1, max_tokens=7, logit_bias={str(word[0]): 100})
    assert (choice.message.content, tokens) == ("月" * 7, 7)


def of_token(entry):
    return entry.token, entry.logprob, entry.bytes


def test_logprobs_tell_how_likely_each_token_was(complete, greedy):
    answer = complete(logprobs=True, top_logprobs=20)
    content = answer.choices[0].logprobs.content
    assert answer.choices[0].message.content == greedy[0]
    assert len(content) == answer.usage.completion_tokens == greedy[1]
    assert content[-1].token == "<|im_end|>"
    assert bytes(b for entry in content[:-1] for b in entry.bytes).decode() == greedy[0]
    for entry in content:
        assert of_token(entry) == of_token(entry.top_logprobs[0])     # greedy takes the likeliest
        numbers = [top.logprob for top in entry.top_logprobs]
        assert len(numbers) == 20 and numbers == sorted(numbers, reverse=True)
        assert 0 < sum(map(math.exp, numbers)) < 1 + 1e-6


def test_logprobs_do_not_depend_on_what_is_asked_of_the_sampler(complete, greedy):
    content = complete(logprobs=True).choices[0].logprobs.content
    word = ids("月")[0]
    moved = complete(temperature=1, seed=4, top_k=5, logit_bias={str(word): 100}, max_tokens=1, logprobs=True,
                     top_logprobs=1).choices[0].logprobs.content[0]
    assert moved.token == "月" and moved.logprob < content[0].logprob
    assert of_token(moved.top_logprobs[0]) == of_token(content[0])
    assert content[0].top_logprobs == []


def test_streamed_logprobs_are_those_of_the_whole_answer(complete):
    fields = {"logprobs": True, "top_logprobs": 2, "temperature": 1, "seed": 3, "max_tokens": 40}
    whole = complete(**fields).choices[0]
    text, content = "", []
    for chunk in complete(stream=True, **fields):
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        if choice.logprobs:
            content += choice.logprobs.content
    assert text == whole.message.content
    assert content == whole.logprobs.content


def test_without_logprobs_none_are_told(complete):
    assert complete(max_tokens=2).choices[0].logprobs is None
    assert complete(max_tokens=2, logprobs=False, top_logprobs=0).choices[0].logprobs is None


def test_thinking_ends_with_its_budget_and_is_counted(complete, program):
    """A model that says nothing but <think>."""
    opened = ids("<think>")
    assert len(opened) == 1
    fields = {"logit_bias": {str(opened[0]): 100}, "max_tokens": 13, "logprobs": True}
    ending = ["\n", "</think>", "\n", "\n"]
    for name in ("thinking_budget", "thinking_token_budget"):
        answer = complete(**{name: 3}, **fields)
        said = [entry.token for entry in answer.choices[0].logprobs.content]
        assert said == ["<think>"] * 4 + ending + ["<think>"] + ending
        # three of the first block and its newline; the second finds no budget left, only its newline
        assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    said = [entry.token for entry in complete(**fields).choices[0].logprobs.content]
    assert said == ["<think>"] * 13
    streamed = list(complete(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True},
                             thinking_budget=0, **{**fields, "max_tokens": 7}))
    counts = [chunk.usage.completion_tokens_details.reasoning_tokens for chunk in streamed if chunk.usage]
    assert counts == sorted(counts) and counts[-1] == 2
    records = program.json("usage", "list")
    assert sorted(row["reasoning"] for row in records if row["reasoning"]) == [2, 5, 5, 12]


def test_a_stop_string_ends_the_answer_before_it(ask, greedy):
    for stop in ("，", ["no such text", greedy[0][2:4]]):
        choice, tokens = ask(stop=stop)
        cut = greedy[0].index(stop if isinstance(stop, str) else stop[1])
        assert (choice.message.content, choice.finish_reason) == (greedy[0][:cut], "stop")
        assert 0 < tokens < greedy[1]


def test_lengths_are_kept(ask, greedy):
    natural = greedy[1]
    choice, tokens = ask(max_tokens=5)
    assert (tokens, choice.finish_reason) == (5, "length")
    assert ask(max_tokens=None, max_completion_tokens=6)[1] == 6
    assert ask(max_tokens=5, max_completion_tokens=7)[1] == 7
    choice, tokens = ask(max_tokens=natural + 9, ignore_eos=True)
    assert (tokens, choice.finish_reason) == (natural + 9, "length")
    assert ask(max_tokens=natural + 40, min_tokens=natural + 5)[1] >= natural + 5


@pytest.mark.parametrize("field, value", [
    ("n", 2), ("prompt_logprobs", 1), ("top_logprobs", 3), ("logit_bias", {"1000000": 5}), ("best_of", 2),
    ("response_format", {"type": "json_object"}), ("tool_choice", "required"), ("stop_token_ids", [1]),
    ("modalities", ["audio"]), ("guided_regex", {"a": 1}), ("functions", [{"name": "f"}]), ("echo", True),
    ("continue_final_message", True), ("stream_options", {"include_usage": True}),
])
def test_what_cannot_be_honoured_is_refused_by_its_name(ask, field, value):
    with pytest.raises(openai.BadRequestError) as error:
        ask(**{field: value})
    assert error.value.param == field and error.value.type == "invalid_request_error"
