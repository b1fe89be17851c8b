"""What the files of a checkpoint say is what its requests get: defaults, ends, the template and its arguments."""
import os
import shutil
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))

from program import GOLDEN, QWEN3, Program, checkpoint  # noqa: E402

ASK = [{"role": "user", "content": "hello"}]
PLAIN = {"temperature": 2, "top_k": 0, "top_p": 1}     # of a generation_config: anything may come
QWEN3_5 = os.path.join(GOLDEN, "checkpoints", "qwen3_5-bf16")
TEMPLATES = os.path.join(GOLDEN, "..", "data", "tokenizer", "templates")


class Asking:
    """Serves a checkpoint and asks it once and again."""

    def __init__(self, folder, model):
        self.program, self.model = Program(folder), model

    def __enter__(self):
        self.server = self.program.serve(self.model, executor="chip")
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="x", timeout=60,
                                    max_retries=0)
        return self

    def __exit__(self, *details):
        self.server.__exit__(*details)

    def answer(self, seed=1, max_tokens=12, **fields):
        return self.client.chat.completions.create(model=os.path.basename(self.model), messages=ASK, seed=seed,
                                                   max_tokens=max_tokens, extra_body=fields)

    def text(self, **fields):
        return self.answer(**fields).choices[0].message.content


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """The likeliest answer of the checkpoint, whatever its files say; asked for by the request alone."""
    with Asking(tmp_path_factory.mktemp("greedy"), QWEN3) as asking:
        return asking.text(temperature=0, ignore_eos=True)


def changed(tmp_path, **generation_config):
    return Asking(tmp_path, checkpoint(tmp_path / "model", generation_config=generation_config))


@pytest.mark.parametrize("default", [{"temperature": 0}, {"top_k": 1}, {"min_p": 1}, {"top_p": 1e-9}, {"do_sample": False}], ids=str)
def test_a_default_of_sampling_holds_until_a_request_says_otherwise(tmp_path, greedy, default):
    otherwise = {"temperature": ("temperature", 2), "top_k": ("top_k", -1), "min_p": ("min_p", 0), "top_p": ("top_p", 1),
                 "do_sample": ("temperature", 2)}
    with changed(tmp_path, **{**PLAIN, **default}) as asking:
        assert [asking.text(seed=seed, ignore_eos=True) for seed in (1, 2, 3)] == [greedy] * 3
        assert asking.text(ignore_eos=True, **dict([otherwise[field] for field in default])) != greedy


def test_without_defaults_an_answer_is_sampled(tmp_path, greedy):
    with changed(tmp_path, **PLAIN) as asking:
        assert len({asking.text(seed=seed, ignore_eos=True) for seed in (1, 2, 3)} | {greedy}) == 4


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 1.5}, {"presence_penalty": 2}], ids=str)
def test_a_default_penalty_is_that_of_the_request(tmp_path, penalty):
    none = {"repetition_penalty": 1, "presence_penalty": 0}
    with changed(tmp_path, temperature=0, **penalty) as asking:
        long = dict(ignore_eos=True, max_tokens=60)
        assert asking.text(**long) == asking.text(**long, **penalty) != asking.text(**long, **none)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_end_of_the_list_ends_an_answer(tmp_path, greedy, place):
    end = int(Program(tmp_path).ok("tokenize", QWEN3, stdin=greedy).split()[0])
    ends = [289, 287]
    with changed(tmp_path, temperature=0, eos_token_id=ends) as asking:
        assert asking.answer(max_tokens=3).usage.completion_tokens > 1
    ends.insert(place, end)
    model = checkpoint(tmp_path / "other", generation_config={"temperature": 0, "eos_token_id": ends})
    with Asking(tmp_path, model) as asking:
        answer = asking.answer(max_tokens=3)
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 1)
        assert asking.answer(max_tokens=3, ignore_eos=True).usage.completion_tokens == 3


def test_the_templates_arguments_make_the_prompt_that_the_template_verb_shows(tmp_path):
    program = Program(tmp_path)

    def prompt_tokens(kwargs):
        prompt = program.ok("template", QWEN3_5, "--messages", "-",
                            stdin='{"messages":[{"role":"user","content":"hello"}],"chat_template_kwargs":%s}' % kwargs)
        return len(program.ok("tokenize", QWEN3_5, "--special", stdin=prompt).split())
    thinks, does_not = prompt_tokens("{}"), prompt_tokens('{"enable_thinking":false}')
    assert does_not > thinks
    with Asking(tmp_path, QWEN3_5) as asking:
        for kwargs, tokens in ({}, thinks), ({"enable_thinking": True}, thinks), ({"enable_thinking": False}, does_not):
            assert asking.answer(max_tokens=1, chat_template_kwargs=kwargs).usage.prompt_tokens == tokens


@pytest.mark.parametrize("budget", [0, 4])
def test_a_thought_that_the_template_has_opened_ends_with_its_budget(tmp_path, budget):
    model = checkpoint(tmp_path / "model", QWEN3_5)
    shutil.copy(os.path.join(TEMPLATES, "Qwen3.5-4B.jinja"), os.path.join(model, "chat_template.jinja"))
    with Asking(tmp_path, model) as asking:
        def tokens(**fields):
            answer = asking.answer(max_tokens=12, ignore_eos=True, logprobs=True, temperature=1, **fields)
            return ([entry.bytes for entry in answer.choices[0].logprobs.content],
                    answer.usage.completion_tokens_details.reasoning_tokens)
        free, thought = tokens()
        assert thought == 12
        said, thought = tokens(thinking_budget=budget)
        assert said[:budget] == free[:budget] and thought == budget + 1
        assert said[budget:budget + 3] == [[10], list(b"</think>"), [10, 10]]
        assert tokens(thinking_budget=budget, chat_template_kwargs={"enable_thinking": False})[1] == 0
        streamed = asking.client.chat.completions.create(
            model="model", messages=ASK, seed=1, max_tokens=12, temperature=1, logprobs=True, stream=True,
            extra_body={"thinking_budget": budget, "ignore_eos": True})
        assert [entry.bytes for chunk in streamed for choice in chunk.choices if choice.logprobs
                for entry in choice.logprobs.content] == said


def test_a_template_that_does_not_end_is_told_as_what_it_is(tmp_path):
    model = checkpoint(tmp_path / "model", tokenizer_config={
        "chat_template": "{% set many = range(99999) %}{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}"})
    with Asking(tmp_path, model) as asking:
        with pytest.raises(openai.BadRequestError) as error:
            asking.answer()
        assert error.value.code is None and "the template takes too many steps" in error.value.message
