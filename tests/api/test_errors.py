"""Every no in OpenAI's shape, with the code that clients act on, and nothing charged for it."""
import json
import socket

import openai
import pytest

from cloud import Response, body, hello, post, read_all


def say(cloud, payload, close=True):
    with cloud.connect() as s:
        s.sendall(payload)
        if close:
            return Response(read_all(s))
        return s


def ask(cloud, payload):
    return say(cloud, post(payload, "Connection: close"))


def test_the_field_at_fault_is_named(shared):
    with pytest.raises(openai.BadRequestError) as error:
        shared.client().chat.completions.create(**hello(temperature=5))
    assert error.value.param == "temperature" and error.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as error:
        shared.client().chat.completions.create(**hello(n=2))
    assert error.value.param == "n"
    with pytest.raises(openai.BadRequestError) as error:
        shared.client().chat.completions.create(model="sim", messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    assert error.value.param == "messages[0].content"


@pytest.mark.parametrize("payload", [
    b"", b"{", b"[]", b"null", b'{"a":1,"a":2}', b"\xff\xfe", b'{"messages": "x"}', b'{"messages":[{"role":"user"}]}',
    b"[" * 100000, b'{"messages":[' + b"1," * 1100000 + b"1]}", b'{"x":"' + b"\\u0000" * 10 + b'"}',
])
def test_a_body_that_is_nothing_is_400(shared, payload):
    response = ask(shared, payload)
    assert response.status == 400
    assert response.error()["type"] == "invalid_request_error"


def test_a_prompt_that_leaves_no_room_is_context_length_exceeded(shared):
    for size in (5000, 300000):
        with pytest.raises(openai.BadRequestError) as error:
            shared.client().chat.completions.create(model="sim", messages=[{"role": "user", "content": "x" * size}])
        assert error.value.code == "context_length_exceeded"


def test_a_model_that_is_not_there_is_404(shared):
    with pytest.raises(openai.NotFoundError) as error:
        shared.client().chat.completions.create(**hello(model="other"))
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize("line, status, allow", [
    ("GET /nothing", 404, None), ("POST /", 404, None), ("GET /v1/chat/completions", 405, "POST, OPTIONS"),
    ("DELETE /v1/models", 405, "GET, HEAD, OPTIONS"), ("CONNECT a:1", 404, None), ("PATCH /health", 405, "GET, HEAD, OPTIONS"),
])
def test_wrong_routes_and_methods(shared, line, status, allow):
    response = say(shared, f"{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert response.status == status
    assert response.headers.get("allow") == allow
    response.error()


def test_options_and_head_are_sane(shared):
    response = say(shared, b"OPTIONS /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert response.status == 204 and response.headers["allow"] == "GET, HEAD, OPTIONS" and response.body == b""
    response = say(shared, b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert response.status == 200 and response.headers["content-length"] == "15" and response.body == b""


@pytest.mark.parametrize("payload, status", [
    (b"hello\r\n\r\n", 400),
    (b"GET / HTTP/9.9\r\n\r\n", 505),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70000 + b"\r\n\r\n", 431),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"GET /health HTTP/1.1\r\n\r\n", 400),
    (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", 417),
])
def test_what_is_no_http_is_answered_in_the_same_shape(shared, payload, status):
    response = say(shared, payload)
    assert response.status == status
    assert response.headers["connection"] == "close"
    response.error()


def test_a_smuggled_request_is_never_answered(shared):
    inner = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    with shared.connect() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(inner) + 5) + inner)
        raw = read_all(s)
    assert raw.count(b"HTTP/1.1 ") == 1 and Response(raw).status == 400


def test_keys_are_asked_for_once_there_is_one(home):
    key = home.tenant("a", balance=1)
    home.start()
    for wrong in ("sk-wrong", key[:-1], key + "x"):
        with pytest.raises(openai.AuthenticationError) as error:
            home.client(wrong).models.list()
        assert error.value.code == "invalid_api_key"
    response = ask(home, body())
    assert response.status == 401 and response.error()["code"] == "invalid_api_key"
    assert home.client(key).models.list().data
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        assert say(home, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()).status == 200


def test_a_revoked_key_fails_on_the_next_request_and_the_door_stays_shut(cloud):
    assert cloud.client("anything").models.list().data
    key = cloud.tenant("a")
    assert cloud.client(key).models.list().data
    cloud.admin("key_revoke", id=cloud.admin("key_list")[0]["id"])
    for k in (key, "anything"):
        with pytest.raises(openai.AuthenticationError):
            cloud.client(k).models.list()


def test_a_spent_balance_is_insufficient_quota_and_says_not_to_retry(cloud):
    key = cloud.tenant("poor", balance=0.000001)
    cloud.admin("price_set", model="sim", input_nano=10**9, output_nano=10**9)
    raw = ask_with_key(cloud, key, body(max_tokens=100))
    assert raw.status == 429
    assert raw.headers["x-should-retry"] == "false"
    error = raw.error()
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    with pytest.raises(openai.RateLimitError):
        cloud.client(key, max_retries=2).chat.completions.create(**hello(max_tokens=100))
    assert cloud.usage() == []
    cloud.check()


def ask_with_key(cloud, key, payload):
    return say(cloud, post(payload, f"Authorization: Bearer {key}", "Connection: close"))


def test_a_full_queue_is_overloaded_with_retry_after(home):
    home.start("--queue", 2, "--slots", 1, "--step-us", 200000)
    sockets = []
    for _ in range(8):
        s = home.connect()
        s.sendall(post(body(stream=True), "Connection: close"))
        sockets.append(s)
    refused = []
    for s in sockets[3:]:
        response = Response(read_all(s)) if s.recv(1, 2) else None  # MSG_PEEK
        if response and response.status == 503:
            refused.append(response)
            break
    for s in sockets:
        s.close()
    assert refused
    assert refused[0].error()["code"] == "overloaded"
    assert int(refused[0].headers["retry-after"]) >= 1


def test_listening_beyond_loopback_needs_a_key(home):
    code, text = home.start("--host", "0.0.0.0", expect_failure=True)
    assert code == 1 and "key" in text
    home.tenant("a")
    home.start("--host", "0.0.0.0")
    assert home.stop() == 0


def address_beyond_loopback():
    """This machine's own, as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))     # sends nothing
        except OSError:
            return None
        return s.getsockname()[0]


def test_beyond_loopback_only_health_is_open(home):
    address = address_beyond_loopback()
    if not address or address.startswith("127."):
        pytest.skip("no address but loopback")
    key = home.tenant("a", balance=1)
    home.start("--host", "0.0.0.0")

    def status(path, *headers):
        with socket.create_connection((address, home.port), timeout=20) as s:
            lines = "".join(h + "\r\n" for h in headers)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n".encode())
            return Response(read_all(s)).status

    for path in ("/health", "/livez", "/readyz"):
        assert status(path) == 200
    for path in ("/metrics", "/v1/models"):
        assert status(path) == 401
        assert status(path, f"Authorization: Bearer {key}") == 200


def test_anonymous_use_beyond_loopback_must_be_said(home):
    home.start("--host", "0.0.0.0", "--allow-anonymous", 1)
    assert home.client().chat.completions.create(**hello(max_tokens=2, extra_body={"ignore_eos": True})).usage.completion_tokens == 2
    assert home.usage()[0]["tenant"] == "local"


def test_an_api_key_of_the_command_line_belongs_to_local(home):
    home.start("--api-key", "my-own-key")
    answer = home.client("my-own-key").chat.completions.create(**hello(max_tokens=2, extra_body={"ignore_eos": True}))
    assert answer.usage.completion_tokens == 2
    assert home.usage()[0]["tenant"] == "local" and home.usage()[0]["key_id"] is not None
    with pytest.raises(openai.AuthenticationError):
        home.client("other").models.list()
    home.stop()
    home.start("--api-key", "my-own-key")
    assert home.client("my-own-key").models.list().data
    assert len(home.admin("key_list")) == 1


def test_no_file_holds_a_key_in_clear(home, tmp_path):
    key = home.tenant("a")
    home.start()
    home.client(key).chat.completions.create(**hello(max_tokens=2))
    home.stop()
    for path in tmp_path.iterdir():
        assert key.encode() not in path.read_bytes(), path


def test_a_second_server_names_the_first(cloud):
    second = type(cloud)(cloud.home)
    code, text = second.start(expect_failure=True)
    assert code == 1 and "in use by tongyun serve" in text


def test_a_home_with_a_long_path(tmp_path):
    import cloud as cloud_module
    deep = tmp_path
    for _ in range(6):
        deep = deep / ("d" * 40)
    deep.mkdir(parents=True)
    c = cloud_module.Cloud(deep)
    c.start()
    try:
        assert c.admin("tenant_create", name="a")["balance_nano"] == 0
        assert [t["name"] for t in c.admin("tenant_list")] == ["local", "a"]
    finally:
        assert c.stop() == 0


def test_only_the_owner_can_open_the_socket(cloud, tmp_path):
    assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_administration_says_what_is_wrong(cloud):
    cases = [
        ("nonsense", {}, "op"), ("tenant_create", {"name": "Bad Name"}, "name"), ("tenant_show", {"name": "no"}, "no such tenant"),
        ("tenant_topup", {"name": "local", "amount_nano": -1}, "amount_nano"), ("key_create", {"tenant": "no"}, "no such"),
        ("key_revoke", {"id": 99}, "no such key"), ("price_set", {"model": "sim", "input_nano": 1}, "output_nano"),
        ("usage_list", {"request": "x"}, "request"),
    ]
    for op, fields, part in cases:
        done = cloud.admin_run(op, **fields)
        assert done.returncode == 1 and part in done.stderr, (op, done.stderr)
    cloud.admin("tenant_create", name="a")
    assert "exists" in cloud.admin_run("tenant_create", name="a").stderr
    assert json.loads(cloud.admin_run("tenant_show", name="a").stdout)["name"] == "a"
