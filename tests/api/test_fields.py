"""Each field of a request does what its name says: asked of the model inside, by the whole program."""
import os
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))

from program import POET, Program  # noqa: E402

ASK = [{"role": "user", "content": "写一首五言绝句，题为春雨"}]


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Asks for a poem; gives the choice and the number of its tokens."""
    with Program(tmp_path_factory.mktemp("home")).serve(executor="chip") as server:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="x", timeout=60, max_retries=0)

        def once(temperature=0, max_tokens=100, **fields):
            of_openai = {k: fields.pop(k) for k in ("seed", "stop", "top_p", "presence_penalty", "frequency_penalty",
                                                    "max_completion_tokens") if k in fields}
            if max_tokens:
                of_openai["max_tokens"] = max_tokens
            answer = client.chat.completions.create(model=POET, messages=ASK, temperature=temperature,
                                                    extra_body=fields, **of_openai)
            return answer.choices[0], answer.usage.completion_tokens
        yield once


@pytest.fixture(scope="module")
def greedy(ask):
    choice, tokens = ask()
    assert choice.finish_reason == "stop" and "，" in choice.message.content
    return choice.message.content, tokens


@pytest.mark.parametrize("fields", [{"top_k": 1}, {"top_p": 0}, {"min_p": 1}], ids=str)
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
    ("n", 2), ("logprobs", True), ("top_logprobs", 3), ("logit_bias", {"1": 5}), ("best_of", 2),
    ("response_format", {"type": "json_object"}), ("tool_choice", "required"), ("stop_token_ids", [1]),
    ("modalities", ["audio"]), ("guided_regex", {"a": 1}), ("functions", [{"name": "f"}]), ("echo", True),
    ("continue_final_message", True), ("stream_options", {"include_usage": True}),
])
def test_what_cannot_be_honoured_is_refused_by_its_name(ask, field, value):
    with pytest.raises(openai.BadRequestError) as error:
        ask(**{field: value})
    assert error.value.param == field and error.value.type == "invalid_request_error"
