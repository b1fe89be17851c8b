"""Chat through the official package: streamed and not, typed, and billed as it says."""
import openai
import pytest

from cloud import hello


def usage_of(cloud, request_id):
    rows = cloud.usage(request=request_id)
    assert len(rows) == 1
    return rows[0]


def test_an_answer_and_its_usage(shared):
    raw = shared.client().chat.completions.with_raw_response.create(**hello(seed=1, max_tokens=5))
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.model == "sim"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    row = usage_of(shared, raw.headers["x-request-id"])
    assert (row["input"], row["output"], row["finish"]) == (answer.usage.prompt_tokens, 5, "length")


def test_a_stream_is_the_same_answer_in_pieces(shared):
    client = shared.client()
    whole = client.chat.completions.create(**hello(seed=3))
    stream = client.chat.completions.create(**hello(seed=3, stream=True, stream_options={"include_usage": True}))
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert finishes == [whole.choices[0].finish_reason]
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_without_include_usage_no_chunk_has_any(shared):
    chunks = list(shared.client().chat.completions.create(**hello(seed=3, max_tokens=3, stream=True)))
    assert all(c.choices and c.usage is None for c in chunks)


def test_usage_in_each_chunk_counts_up(shared):
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(shared.client().chat.completions.create(
        **hello(seed=3, max_tokens=4, stream=True, stream_options=options)))
    counts = [c.usage.completion_tokens for c in chunks if c.usage]
    assert counts == sorted(counts) and counts[-1] == 4


def test_async_clients_do_not_disturb_each_other(shared):
    import asyncio

    async def ask(client, seed):
        answer = await client.chat.completions.create(**hello(seed=seed, max_tokens=20))
        return answer.choices[0].message.content

    async def all_of_them():
        client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{shared.port}/v1", api_key="x", timeout=60)
        async with client:
            alone = [await ask(client, seed) for seed in range(8)]
            together = await asyncio.gather(*(ask(client, seed) for seed in range(8)))
        return alone, together

    alone, together = asyncio.run(all_of_them())
    assert alone == together


def test_the_fields_of_the_page_are_taken(shared):
    answer = shared.client().chat.completions.create(**hello(
        seed=5, max_completion_tokens=3, temperature=0.5, top_p=0.9, presence_penalty=0.1, frequency_penalty=0.1,
        stop=["never seen"], n=1, extra_body={
            "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": True, "min_tokens": 1,
            "chat_template_kwargs": {"enable_thinking": False}, "cache_salt": "x", "priority": 1}))
    assert answer.usage.completion_tokens == 3


def test_the_template_hears_its_own_arguments(shared):
    """This one puts a dot behind the prompt when it shall not think."""
    def prompt_tokens(**fields):
        return shared.client().chat.completions.create(**hello(max_tokens=1, extra_body=fields)).usage.prompt_tokens
    plain = prompt_tokens()
    assert prompt_tokens(chat_template_kwargs={"enable_thinking": True, "other": [1]}) == plain
    assert prompt_tokens(chat_template_kwargs={"enable_thinking": False}) == plain + 1
    assert prompt_tokens(enable_thinking=False) == plain + 1


def test_messages_of_every_role_and_kind(shared):
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    answer = shared.client().chat.completions.create(model="sim", messages=messages, max_tokens=1)
    assert answer.usage.prompt_tokens > 4


def test_models_are_listed_with_their_length(shared):
    client = shared.client()
    models = client.models.list().data
    assert [m.id for m in models] == ["sim"]
    assert models[0].max_model_len == 4096
    assert client.models.retrieve("sim").id == "sim"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("no/such")
    assert error.value.code == "model_not_found"


def test_a_request_without_a_model_gets_the_only_one(shared):
    import http.client
    import json
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=20)
    connection.request("POST", "/v1/chat/completions", json.dumps(
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}))
    assert json.loads(connection.getresponse().read())["model"] == "sim"


def test_max_tokens_beyond_the_room_is_cut_to_the_room(shared):
    answer = shared.client().chat.completions.create(**hello(max_tokens=1000000, extra_body={"ignore_eos": True}))
    assert answer.usage.total_tokens <= 4096


def test_metrics_agree_with_what_was_asked(home):
    home.start()
    client = home.client()
    before = home.metrics()
    answers = [client.chat.completions.create(**hello(seed=s, max_tokens=7)) for s in range(3)]
    after = home.metrics()

    def grown(name):
        return after[name] - before[name]

    tokens = sum(a.usage.completion_tokens for a in answers)
    assert grown("tongyun_completion_tokens_total") == tokens
    assert grown('vllm:generation_tokens_total{model_name="sim"}') == tokens
    assert grown("tongyun_time_to_first_token_seconds_count") == 3
    assert after["tongyun_core_step_seconds_max"] < 0.002
