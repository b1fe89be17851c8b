"""Models come from a hub whole and checked, or not at all; whatever the hub does, and whenever it ends."""
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

from hub import Hub, git_sha1, sha256
from program import GOLDEN, QWEN3, SECONDS_MAX, TONGYUN, Program

MIB = 1 << 20
NAME = "Qwen/Small"


def folder_files(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}


def weights(size=5 * MIB + 12345, seed=1):
    """A repository whose weights are as large as one likes: nobody opens them."""
    return {"config.json": b"{}", "README.md": b"---\nlicense: mit\n---\n", "empty.txt": b"",
            "model.safetensors": random.Random(seed).randbytes(size)}


@pytest.fixture
def model():
    with Hub({**folder_files(QWEN3), "pytorch_model.bin": b"x" * 5000, ".gitattributes": b"", "onnx/model.onnx": b"y" * 5000,
              "tokenizer/readme": b"no", "LICENSE": b"Apache"}) as hub:
        yield hub


@pytest.fixture
def hub():
    with Hub(weights()) as hub:
        yield hub


def pull(program, hub, *arguments, name=NAME, **options):
    return program.run("pull", name, "--endpoint", hub.url, *arguments, **options)


def pulled(program, hub, *arguments, name=NAME, **options):
    """The document of a pull that succeeds."""
    done = pull(program, hub, *arguments, "--json", name=name, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(program, hub, *arguments, name=NAME, **options):
    """What a pull says that fails: its last line. Nothing of the model is there."""
    done = pull(program, hub, *arguments, name=name, **options)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert program.json("list") == []
    last = done.stderr.splitlines()[-1]
    assert last.startswith("tongyun: error: ")
    return last[len("tongyun: error: "):]


def folder(program, name=NAME, type="original"):
    return os.path.join(program.home, "models", name, type)


def assert_whole(program, hub, paths=("config.json", "README.md", "model.safetensors"), type="original"):
    """The store has exactly these files of the hub, and its manifest."""
    found = {}
    for top, _, names in os.walk(folder(program, hub.repository, type)):
        for name in names:
            path = os.path.join(top, name)
            found[os.path.relpath(path, folder(program, hub.repository, type))] = open(path, "rb").read()
    manifest = json.loads(found.pop("manifest.json"))
    assert found == {path: hub.files[path] for path in paths}
    assert {(file["path"], file["size"], file["sha256"]) for file in manifest["files"]} == {
        (path, len(hub.files[path]), sha256(hub.files[path])) for path in paths}
    return manifest


# ---- what works

def test_a_model_is_pulled_listed_and_run(program, model):
    document = pulled(program, model)
    assert set(document) == {"name", "type", "changed", "source", "revision", "files", "size_bytes", "received_bytes"}
    assert (document["name"], document["type"], document["changed"]) == (NAME, "original", True)
    assert (document["source"], document["revision"]) == (model.url, model.commit())
    manifest = assert_whole(program, model, [*os.listdir(QWEN3), "LICENSE"])
    assert manifest["licence"] == "apache-2.0" and manifest["revision"] == model.commit()
    assert document["received_bytes"] == document["size_bytes"] == sum(file["size"] for file in manifest["files"])
    assert program.json("list")[0]["licence"] == "apache-2.0"
    assert program.ok("tokenize", NAME, stdin="hello") == program.ok("tokenize", QWEN3, stdin="hello")
    greedy = ["hi", "--raw", "-n", 2, "--temperature", 0]
    assert program.ok("run", NAME, *greedy) == program.ok("run", QWEN3, *greedy)


def test_what_is_there_already_is_not_fetched_again(program, model):
    pulled(program, model)
    before = model.sent()
    document = pulled(program, model)
    assert (document["changed"], document["received_bytes"]) == (False, 0) and model.sent() == before
    done = pull(program, model)
    assert done.stdout.startswith(f"{NAME}:original: ") and done.stdout.endswith("; was there\n")
    assert done.stderr == ""


def test_a_newer_revision_takes_the_place_and_only_what_changed_is_fetched(program, hub):
    pulled(program, hub)
    hub.files["config.json"] = b'{"new": 1}'
    document = pulled(program, hub)
    assert document["changed"] and document["received_bytes"] == len(hub.files["config.json"])
    assert assert_whole(program, hub)["revision"] == hub.commit()
    del hub.files["README.md"]
    pulled(program, hub)
    assert_whole(program, hub, ["config.json", "model.safetensors"])


@pytest.mark.parametrize("how", ["--endpoint", "--from", "HF_ENDPOINT", "slash"])
def test_the_hub_is_where_one_says(program, hub, how):
    arguments = {"--endpoint": ["--endpoint", hub.url], "--from": ["--from", hub.url], "HF_ENDPOINT": [],
                 "slash": ["--endpoint", hub.url + "//"]}[how]
    program.ok("pull", NAME, *arguments, env={"HF_ENDPOINT": hub.url if how == "HF_ENDPOINT" else "http://127.0.0.1:1"})
    assert_whole(program, hub)


def test_a_revision_is_one_commit_and_is_escaped(program, hub):
    hub.revisions["refs/pr/1"] = 1
    pulled(program, hub, name=f"{NAME}@refs/pr/1")
    assert f"/api/models/{NAME}/revision/refs%2Fpr%2F1" in hub.paths("hub")
    assert all(f"/resolve/{hub.commit()}/" in path for path in hub.paths("hub") if "/resolve/" in path)


def test_paths_are_escaped(program):
    with Hub({"model-Q8_0.gguf": b"x" * 2000, "README.md": b"r", "LICENSE #1?.txt": "é%".encode()}) as hub:
        pulled(program, hub)
        assert_whole(program, hub, list(hub.files), "q8_0")


def test_large_files_come_in_parts_over_several_connections(program, hub):
    pulled(program, hub, "--part-mib", 1, "--connections", 4)
    assert_whole(program, hub)
    parts = [headers["Range"] for server, _, headers, _ in hub.requests if server == "storage"]
    assert len(parts) == 6 and len(set(parts)) == 6
    # where the first redirect led to is asked for the others
    assert 1 <= sum("model.safetensors" in path for path in hub.paths("hub")) <= 4


def test_a_signed_address_that_has_run_out_is_asked_for_again(program, hub):
    hub.expire = 1
    pulled(program, hub, "--part-mib", 1, "--connections", 1)
    assert_whole(program, hub)


def test_a_tree_in_pages_is_read_to_its_end(program, hub):
    hub.page = 2
    pulled(program, hub)
    assert_whole(program, hub)


def test_pages_of_a_mirror_that_names_its_hub_come_from_the_mirror(program, hub):
    hub.page = 2
    hub.link = lambda target: target.replace(hub.url, "http://hub.invalid")
    pulled(program, hub)
    assert_whole(program, hub)


def test_a_server_without_ranges_is_asked_for_the_whole(program, hub):
    hub.ranges = False
    pulled(program, hub, "--part-mib", 1)
    assert_whole(program, hub)


def test_modelscope_is_a_hub_too(program, hub):
    document = pulled(program, hub, "--from", "modelscope")
    assert document["revision"] == "master"
    assert_whole(program, hub)
    assert pulled(program, hub, "--from", "modelscope")["changed"] is False
    assert "has no revision 'v9'" in pull(program, hub, "--from", "modelscope", name=f"{NAME}@v9").stderr


def test_a_proxy_of_the_environment_is_used(program, hub):
    hub.redirect = False
    program.ok("pull", NAME, "--endpoint", "http://hub.invalid", env={"http_proxy": hub.url, "HF_TOKEN": ""})
    assert_whole(program, hub)
    assert hub.paths("hub")[0].startswith("http://hub.invalid/api/models/")


def test_at_a_terminal_a_bar_shows_how_far_it_is(program, hub):
    with program.chat("pull", NAME, "--endpoint", hub.url) as terminal:
        assert "[####" in terminal.until("100%")
        assert terminal.end() == 0
    assert_whole(program, hub)


def test_in_eighty_columns_the_bar_has_speed_and_time(program, hub):
    go = threading.Event()
    hub.hold = ("model.safetensors", 3 * MIB, go)       # the speed is known after a second
    with program.chat("pull", NAME, "--endpoint", hub.url, "--connections", 1) as terminal:
        line = terminal.until(" left").split("\r")[-1]
        assert re.search(r"\] +5\d%  3\.\d MB of 5\.3 MB  \d+\.\d [kM]B/s  0:\d\d left$", line), line
        go.set()
        terminal.until("100%")
        assert terminal.end() == 0


def test_otherwise_nothing_is_said_but_the_result(program, hub):
    done = pull(program, hub)
    assert done.stderr == ""
    assert done.stdout == f"{NAME}:original: 3 files, 5.3 MB, revision {hub.commit()[:12]}\n"


# ---- GGUF

def gguf_hub(*names):
    return Hub({"README.md": b"r", "mmproj-F16.gguf": b"m" * 2000, **{name: name.encode() * 100 for name in names}},
               repository="Qwen/Small-GGUF")


def test_of_gguf_files_the_type_picks_one(program):
    with gguf_hub("Small-Q8_0.gguf", "Small-Q4_K_M.gguf", "Small-UD-Q4_K_XL.gguf") as hub:
        assert pulled(program, hub, name=hub.repository)["type"] == "q4_k"
        assert_whole(program, hub, ["README.md", "Small-Q4_K_M.gguf"], "q4_k")
        assert pulled(program, hub, name=hub.repository + ":Q8_0")["type"] == "q8_0"
        assert pulled(program, hub, name=hub.repository + ":ud-q4_k_xl")["files"] == 2
        assert pull(program, hub, name=hub.repository + ":q2_k").stderr == (
            "tongyun: error: Qwen/Small-GGUF has no file of type q2_k; it has q8_0, q4_k, ud-q4_k_xl\n")
        assert [row["type"] for row in program.json("list")] == ["q4_k", "q8_0", "ud-q4_k_xl"]


def test_the_only_type_need_not_be_said_and_others_are_listed(program):
    with gguf_hub("Small-Q8_0.gguf") as hub:
        assert pulled(program, hub, name=hub.repository)["type"] == "q8_0"
    program.ok("rm", "Qwen/Small-GGUF")
    with gguf_hub("Small-Q8_0.gguf", "Small.BF16.gguf") as hub:
        assert refused(program, hub, name=hub.repository) == (
            "Qwen/Small-GGUF: which type? Add one of these: q8_0, bf16")


def test_a_split_file_comes_with_all_its_parts(program):
    parts = [f"Q8_0/Small-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    with gguf_hub(*parts) as hub:
        pulled(program, hub, name=hub.repository)
        assert assert_whole(program, hub, ["README.md", *parts], "q8_0")["model"] == parts[0]
    program.ok("rm", "Qwen/Small-GGUF")
    with gguf_hub(*parts[:2]) as hub:
        assert "2 of its 3 parts are listed" in refused(program, hub, name=hub.repository)


def test_a_gguf_model_runs_from_the_store(program):
    file = os.path.join(GOLDEN, "gguf", "qwen3-q8_0.gguf")
    with Hub({"Small-Q8_0.gguf": open(file, "rb").read()}, repository="Qwen/Small-GGUF") as hub:
        pulled(program, hub, name=hub.repository)
    assert program.ok("tokenize", "Qwen/Small-GGUF", stdin="hello") == program.ok("tokenize", file, stdin="hello")


# ---- types that are made

def test_a_type_that_the_hub_has_not_is_made_beside_the_original(program, model):
    model.files |= {"README.md": b"# Small", "licence.txt": b"all of it"}
    document = pulled(program, model, name=NAME + ":Q8_0")
    assert (document["name"], document["type"], document["files"]) == (NAME, "q8_0", 4)
    assert [(row["type"], row["revision"], row["licence"]) for row in program.json("list")] == [
        (type, model.commit(), "apache-2.0") for type in ("original", "q8_0")]
    manifest = json.load(open(os.path.join(folder(program, type="q8_0"), "manifest.json"), encoding="utf-8"))
    for file in manifest["files"]:
        data = open(os.path.join(folder(program, type="q8_0"), file["path"]), "rb").read()
        assert (file["size"], file["sha256"]) == (len(data), sha256(data))
    program.ok("quantize", QWEN3, "q.gguf", "--type", "q8_0")
    assert os.path.getsize(os.path.join(program.folder, "q.gguf")) == pytest.approx(
        os.path.getsize(os.path.join(folder(program, type="q8_0"), "Small-q8_0.gguf")), abs=256)
    assert program.json("show", NAME + ":q8_0")["name"] == NAME + ":q8_0"
    assert program.ok("tokenize", NAME + ":q8_0", stdin="hello") == program.ok("tokenize", QWEN3, stdin="hello")


def test_what_was_made_of_the_same_commit_is_there_also_without_the_original(program, model):
    done = pull(program, model, name=NAME + ":q8_0")
    assert [line.split(":")[1] for line in done.stdout.splitlines()] == ["original", "q8_0"]
    program.ok("rm", NAME + ":original")
    before = model.sent()
    assert pulled(program, model, name=NAME + ":q8_0")["changed"] is False
    assert model.sent() == before and [row["type"] for row in program.json("list")] == ["q8_0"]
    model.files["README.md"] = b"new"
    assert pulled(program, model, name=NAME + ":q8_0")["changed"] is True


def test_a_type_that_nobody_can_make_is_refused_before_anything_is_fetched(program, model):
    assert "type q17 cannot be made of it" in refused(program, model, name=NAME + ":q17")
    assert not any("/resolve/" in path for path in model.paths())


def test_weights_that_cannot_be_quantised_leave_the_original_and_nothing_half(program, hub):
    done = pull(program, hub, name=NAME + ":q8_0")
    assert done.returncode == 1 and [row["type"] for row in program.json("list")] == ["original"]
    assert {os.path.basename(path) for path in program.files()} == {
        ".lock", "manifest.json", "config.json", "README.md", "model.safetensors"}


# ---- the token

def authorizations(hub, server):
    return {headers.get("Authorization") for name, _, headers, _ in hub.requests if name == server}


@pytest.mark.parametrize("how", ["HF_TOKEN", "--token"])
def test_the_token_goes_to_the_hub_and_nowhere_else(program, hub, how):
    hub.token, hub.page = "hf_secret", 2
    pulled(program, hub, *(["--token", "hf_secret"] if how == "--token" else []),
           env={"HF_TOKEN": "hf_secret" if how == "HF_TOKEN" else "other"})
    assert_whole(program, hub)
    assert authorizations(hub, "hub") == {"Bearer hf_secret"}
    assert authorizations(hub, "storage") == {None}
    for path in program.files():
        assert b"hf_secret" not in open(path, "rb").read()


def test_a_token_does_not_travel_unencrypted(program, hub):
    hub.redirect = False
    done = program.run("pull", NAME, "--endpoint", "http://hub.invalid", "--token", "hf_secret",
                       env={"http_proxy": hub.url})
    assert done.stderr == "tongyun: the token is not sent: http://hub.invalid is not encrypted\n"
    assert authorizations(hub, "hub") == {None}


def test_a_token_for_this_machine_passes_no_proxy(program, hub):
    hub.token, hub.redirect = "hf_secret", False
    with Hub(weights()) as proxy:
        pulled(program, hub, env={"HF_TOKEN": "hf_secret", "http_proxy": proxy.url})
        assert proxy.requests == []


@pytest.mark.parametrize("url", ["http://user:hf_secret@127.0.0.1", "http://hf_secret@127.0.0.1", "http://127.0.0.1?token=hf_secret"])
def test_a_secret_in_an_address_is_not_repeated(program, url):
    text = program.fails("pull", NAME, "--endpoint", url)
    assert "the address of a hub at '127.0.0.1'" in text and "hf_secret" not in text


def test_the_token_of_one_hub_is_not_shown_to_another(program, hub):
    pulled(program, hub, "--from", "modelscope", env={"HF_TOKEN": "hf_secret"})
    assert authorizations(hub, "hub") == {None}
    pulled(program, hub, "--from", "modelscope", env={"MODELSCOPE_API_TOKEN": "ms-secret"})
    assert "Bearer ms-secret" in authorizations(hub, "hub")


def test_a_token_with_a_line_break_is_refused(program, hub):
    assert "a character that no token has" in refused(program, hub, env={"HF_TOKEN": "hf\r\nX-Other: 1"})
    assert hub.requests == []


def test_a_page_elsewhere_does_not_get_the_token(program, hub):
    hub.token, hub.page = "hf_secret", 2
    hub.link = lambda target: target.replace(hub.url, hub.storage.url)
    pulled(program, hub, env={"HF_TOKEN": "hf_secret"})
    assert authorizations(hub, "storage") == {None}


# ---- what a hub refuses

def test_who_may_not_is_told_what_to_do(program, hub):
    hub.gated = True
    assert refused(program, hub) == (
        f"{NAME} is gated: accept its licence at {hub.url}/{NAME}, and set HF_TOKEN to a token of that account")
    hub.gated, hub.token = False, "hf_secret"
    assert refused(program, hub).endswith("has no such public repository; if it is private, set HF_TOKEN")
    assert refused(program, hub, env={"HF_TOKEN": "hf_other"}).endswith(
        "does not accept the token, or it may not see this repository")


def test_what_is_not_there_is_named(program, hub):
    assert refused(program, hub, name="Qwen/Other").startswith("Qwen/Other: 127.0.0.1:")
    assert "has no such repository" in refused(program, hub, name="Qwen/Other")
    assert refused(program, hub, name=f"{NAME}@v9").endswith("has no revision 'v9'")
    hub.entries = lambda entries: [*entries, {"type": "file", "path": "LICENSE", "size": 3, "oid": "2" * 40}]
    assert refused(program, hub).endswith("has no file 'LICENSE'")


def test_what_cannot_be_read_is_said_before_anything_is_fetched(program):
    with Hub({"config.json": b"{}", "pytorch_model.bin": b"x" * 2000}) as hub:
        assert "has neither *.safetensors nor *.gguf" in refused(program, hub)
    with Hub({"adapter_model.safetensors": b"x" * 2000}) as hub:
        assert "*.safetensors but no config.json" in refused(program, hub)
    with Hub({}) as hub:
        assert "has neither *.safetensors nor *.gguf" in refused(program, hub)


@pytest.mark.parametrize("status, headers", [(503, {}), (429, {"Retry-After": "0"}), (500, {"Retry-After": "1"}),
                                             (408, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})])
@pytest.mark.parametrize("where", ["/revision/", "/tree/", "/resolve/", "Signature"])
def test_a_hub_that_is_busy_is_asked_again(program, hub, status, headers, where):
    hub.faults = [(where, status, headers)]
    done = pull(program, hub)
    assert done.returncode == 0 and "once more in " in done.stderr
    assert_whole(program, hub)


def test_a_hub_that_stays_busy_is_given_up(program, hub):
    hub.always = [("/tree/", 503, {"Retry-After": "0"})]
    assert refused(program, hub, "--retries", 2).endswith(" answers 503; try again later")
    assert sum("/tree/" in path for path in hub.paths()) == 3
    hub.always = [("Signature", 500, {"Retry-After": "0"})]
    assert "model.safetensors: 127.0.0.1:" in refused(program, hub, "--retries", 1)
    hub.always = [("/tree/", 429, {"Retry-After": "86400"})]
    assert refused(program, hub).endswith("too many requests (429); try again in 86400 s")


def test_other_answers_are_errors_at_once(program, hub):
    for status in (400, 204, 304, 418, 501):
        hub.always = [("/revision/", status, {})]
        assert f" answers {status}" in refused(program, hub)
    assert len(hub.requests) == 5


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b'{"sha": "main"}', b'{"sha": 7}', b"", b'{"sha"',
                                  b"[" * 100000])
def test_an_answer_that_makes_no_sense_is_refused(program, hub, body):
    hub.answer = lambda handler: hub.send(handler, 200, body) or True
    text = refused(program, hub)
    assert "what the hub says of the model" in text or "does not say which commit" in text


def test_modelscope_says_no_inside_of_its_answer(program, hub):
    hub.answer = lambda handler: hub.send_json(handler, {"Code": 10010, "Message": "no such model"}) or True
    assert refused(program, hub, "--from", "modelscope") == "the hub answers 10010: no such model"
    for document in ({"Code": 200}, {"Code": 200, "Data": {"Files": 7}}, [], {"Code": "200"}):
        hub.answer = lambda handler, document=document: hub.send_json(handler, document) or True
        refused(program, hub, "--from", "modelscope")


# ---- hostile listings

@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "a//b", "./x", "x/", "..", "", "a\0b",
                                  "a\nb", "\x1b[2J", "x" * 600, "/".join("abcdefghi"), "\x9b1m"])
def test_a_path_that_is_none_refuses_the_whole(program, hub, path):
    hub.entries = lambda entries: [*entries, {"type": "file", "path": path, "size": 3, "oid": "2" * 40}]
    text = refused(program, hub)
    assert "the hub lists a file that is refused" in text or "null" in text or "line 1" in text
    assert not any("/resolve/" in path for path in hub.paths())
    assert program.files() == []


@pytest.mark.parametrize("paths, says", [
    (["LICENSE", "LICENSE"], "which cannot be two files"), (["LICENSE", "license"], "which cannot be two files"),
    (["README.MD"], "which cannot be two files"),
])
def test_files_that_would_be_one_refuse_the_whole(program, hub, paths, says):
    hub.entries = lambda entries: [*entries, *({"type": "file", "path": p, "size": 3, "oid": "2" * 40} for p in paths)]
    assert says in refused(program, hub)


@pytest.mark.parametrize("entry, says", [
    ({"size": 2**60}, "which cannot be"), ({"size": -1}, "size"), ({"size": 1.5}, "size"), ({"size": None}, "without path"),
    ({"oid": "xyz"}, "a hash that is none"), ({"path": 7}, "path"), ({"lfs": {"oid": "12", "size": 3}}, "a hash that is none"),
])
def test_an_entry_that_cannot_be_is_refused(program, hub, entry, says):
    whole = {"type": "file", "path": "LICENSE", "size": 3, "oid": "2" * 40}
    hub.entries = lambda entries: [*entries, {**whole, **entry}]
    assert says in refused(program, hub)


def test_files_without_a_hash_are_told(program, hub):
    hub.entries = lambda entries: [{k: v for k, v in entry.items() if k != "oid"} for entry in entries]
    assert pull(program, hub).stderr == "tongyun: 2 of 3 files are listed without a hash; only their sizes are checked\n"
    assert_whole(program, hub)


def test_a_size_beyond_the_disk_is_refused_before_anything_is_fetched(program, hub):
    hub.entries = lambda entries: [{**entry, "lfs": {"oid": "3" * 64, "size": 2**49}} if "lfs" in entry else entry
                                   for entry in entries]
    assert re.search("not enough space in .*: 5629[0-9]+ MB are missing of this model, 67 MB must stay free, [0-9]+ MB are$",
                     refused(program, hub))
    assert not any("/resolve/" in path for path in hub.paths())
    assert os.listdir(os.path.join(program.home, "models")) == []


def test_a_listing_without_an_end_is_given_up(program, hub):
    hub.files = weights(2000)
    hub.page = 1
    hub.link = lambda target: target.split("cursor=")[0] + "cursor=0"
    assert "more than 1000 pages" in refused(program, hub) or "more than 8192 files" in refused(program, hub)


def endless(handler, head, piece):
    handler.wfile.write(head)
    while True:
        handler.wfile.write(piece)


@pytest.mark.parametrize("head, piece, says", [
    (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536, "an answer of more than "),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b" " * 65536, "an answer of 99999999999 bytes"),
    (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000, ""),
    (b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65536, ""),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", b" " * 65536, "has no such repository"),
    (b"", b"nonsense " * 1000, ""),
])
def test_an_answer_without_an_end_is_given_up(program, hub, head, piece, says):
    hub.answer = lambda handler: endless(handler, head, piece)
    assert says in refused(program, hub, "--retries", 0)


def test_who_drips_is_given_up(program, hub):
    """In real time: less than a kilobyte a second for a second."""
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    hub.answer = drip
    assert refused(program, hub, "--retries", 0, "--stall-timeout", 1).endswith("nothing comes any more")


@pytest.mark.parametrize("to, says", [
    ("{hub}/api/models/x", "redirects in a circle, or too often"), ("ftp://127.0.0.1/x", "an address that is not http"),
    ("file:///etc/passwd", "an address that is not http"), ("http://" + "x" * 9000, ""), ("", "")])
def test_a_redirect_that_leads_nowhere_is_not_followed_for_ever(program, hub, to, says):
    hub.always = [("/api/models/", 302, {"Location": to.replace("{hub}", hub.url)})]
    assert says in refused(program, hub, "--retries", 0)
    assert len(hub.requests) <= 7


# ---- connections that break

def test_a_cut_connection_is_gone_on_from_where_it_was(program, hub):
    hub.cut, hub.cuts = MIB, 4
    document = pulled(program, hub)
    assert_whole(program, hub)
    assert hub.sent() - document["size_bytes"] < 256 * 1024


def test_connections_that_bring_nothing_end_it_and_what_came_is_kept(program, hub):
    hub.cut = 3 * MIB
    hub.faults = []
    hub.cuts = 1
    hub.always = []
    first = pull(program, hub, "--retries", 0, "--connections", 1)
    assert first.returncode == 1
    assert first.stderr.endswith(": the connection was cut; what came is kept, pull again to go on\n")
    hub.cuts = 0
    document = pulled(program, hub, "--connections", 1)
    assert_whole(program, hub)
    assert document["received_bytes"] <= 3 * MIB


def test_no_server_is_an_error_at_once(program):
    done = program.run("pull", NAME, "--endpoint", "http://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (1, "tongyun: error: 127.0.0.1:1: no connection\n")


def test_a_name_that_does_not_resolve_asks_for_a_network(program):
    assert "its name cannot be resolved: is there a network?" in program.fails(
        "pull", NAME, "--endpoint", "http://hub.invalid")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(a server's context, the file that vouches for it)."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


def test_a_certificate_that_nobody_vouches_for_is_refused(program, certificate):
    with Hub(weights(2000), context=certificate[0]) as hub:
        text = refused(program, hub, env={"HF_TOKEN": "hf_secret"})
        assert "its certificate does not hold" in text and "ca-certificates" in text
        assert refused(program, hub, env={"SSL_CERT_FILE": "/nowhere"}).endswith("or see SSL_CERT_FILE")
        assert hub.requests == []


def test_over_tls_it_is_the_same(program, certificate):
    with Hub(weights(), context=certificate[0]) as hub:
        hub.redirect, hub.token = False, "hf_secret"
        hub.cut, hub.cuts = MIB, 2
        pulled(program, hub, env={"SSL_CERT_FILE": certificate[1], "HF_TOKEN": "hf_secret"})
        assert_whole(program, hub)


def test_a_redirect_out_of_encryption_is_not_followed(program, certificate):
    with Hub(weights(), context=certificate[0]) as hub:
        text = refused(program, hub, env={"SSL_CERT_FILE": certificate[1], "HF_TOKEN": "hf_secret"})
        assert text.endswith("it redirects to an address that is not encrypted; not followed")
        assert hub.paths("storage") == []


# ---- bytes that are not what was listed

@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_other_bytes_than_listed_are_never_used(program, hub, path):
    hub.served[path] = b"\1" * len(hub.files[path])
    text = refused(program, hub)
    assert text.startswith(f"{path}: its bytes have the hash ") and "it was removed" in text
    good = sha256(hub.files[path]) if path == "model.safetensors" else git_sha1(hub.files[path])
    assert f"not {good[:16]}" in text
    del hub.served[path]
    pulled(program, hub)
    assert_whole(program, hub)


def test_bytes_that_were_wrong_once_are_fetched_anew(program, hub):
    hub.served_once["config.json"] = b"[]"
    done = pull(program, hub)
    assert done.returncode == 0 and "config.json: its bytes do not have the hash that is listed; once more" in done.stderr
    assert_whole(program, hub)


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1], lambda data: b""])
@pytest.mark.parametrize("part", [1, 32])
def test_another_size_than_listed_is_refused(program, hub, change, part):
    hub.served["model.safetensors"] = change(hub.files["model.safetensors"])
    text = refused(program, hub, "--part-mib", part, "--retries", 0)
    assert text.startswith("model.safetensors: ")


def test_a_file_that_changes_between_two_tries_is_the_new_one(program, hub):
    hub.cut, hub.cuts = MIB, 1
    assert pull(program, hub, "--retries", 0, "--connections", 1).returncode == 1
    hub.files["model.safetensors"] = random.Random(2).randbytes(4 * MIB)
    hub.cut = None
    document = pulled(program, hub)
    assert document["received_bytes"] >= 4 * MIB
    assert_whole(program, hub)


def test_what_an_earlier_listing_wanted_is_not_left(program):
    with gguf_hub("Small-Q8_0-00001-of-00002.gguf", "Small-Q8_0-00002-of-00002.gguf") as hub:
        hub.always = [("00002-of", 503, {"Retry-After": "0"})]
        assert pull(program, hub, "--retries", 0, name=hub.repository).returncode == 1
        assert any("-of-00002.gguf" in path for path in program.files())
        del hub.files["Small-Q8_0-00001-of-00002.gguf"], hub.files["Small-Q8_0-00002-of-00002.gguf"]
        hub.files["Small-Q8_0.gguf"] = b"x" * 5000
        pulled(program, hub, name=hub.repository)
        assert_whole(program, hub, ["README.md", "Small-Q8_0.gguf"], "q8_0")


def test_a_state_that_lies_is_found_out(program, hub):
    hub.cut, hub.cuts = MIB, 1
    assert pull(program, hub, "--retries", 0, "--connections", 1).returncode == 1
    partial = os.path.join(program.home, "models", NAME, ".partial-original")
    state = json.load(open(os.path.join(partial, ".state.json"), encoding="utf-8"))
    for file in state["files"]:
        file["done"] = [[0, file["size"]]]
    json.dump(state, open(os.path.join(partial, ".state.json"), "w", encoding="utf-8"))
    hub.cut = None
    pulled(program, hub)
    assert_whole(program, hub)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 7}', '{"files": [7]}', "\0" * 100,
                                  '{"files": [{"path": "model.safetensors", "done": [[5, 2], [-1, 3], [0, 9e99]]}]}'])
def test_a_state_that_cannot_be_read_is_none(program, hub, text):
    partial = os.path.join(program.home, "models", NAME, ".partial-original")
    os.makedirs(partial)
    with open(os.path.join(partial, ".state.json"), "w", encoding="utf-8") as file:
        file.write(text)
    pulled(program, hub)
    assert_whole(program, hub)


def test_a_link_where_a_file_should_come_is_not_followed(program, hub, tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    partial = os.path.join(program.home, "models", NAME, ".partial-original")
    os.makedirs(partial)
    os.symlink(target, os.path.join(partial, "model.safetensors"))
    pulled(program, hub)
    assert_whole(program, hub)
    assert target.read_text() == "mine"


def test_a_folder_where_a_file_should_come_goes(program, hub):
    partial = os.path.join(program.home, "models", NAME, ".partial-original")
    os.makedirs(os.path.join(partial, "README.md", "deeper"))
    pulled(program, hub)
    assert_whole(program, hub)


def test_what_is_in_use_is_never_written_into(program, hub):
    """A file of the store under the name where another revision's should come, as a crash may leave it."""
    pulled(program, hub)
    before = hub.files["model.safetensors"]
    hub.files["model.safetensors"] = random.Random(3).randbytes(len(before))
    partial = os.path.join(program.home, "models", NAME, ".partial-original")
    os.makedirs(partial)
    os.link(os.path.join(folder(program), "model.safetensors"), os.path.join(partial, "model.safetensors"))
    for state in ({"files": []}, {"files": [{"path": "model.safetensors", "size": len(before), "done": [[0, MIB]],
                                             "hash": sha256(hub.files["model.safetensors"])}]}):
        with open(os.path.join(partial, ".state.json"), "w", encoding="utf-8") as file:
            json.dump(state, file)
        hub.cut, hub.cuts = MIB, 1
        assert pull(program, hub, "--retries", 0, "--connections", 1).returncode == 1
        assert open(os.path.join(folder(program), "model.safetensors"), "rb").read() == before
    hub.cut = None
    pulled(program, hub)
    assert_whole(program, hub)


# ---- ended in the middle

class Pulling:
    """A pull that stands still in the middle of the weights, until it is let go."""

    def __init__(self, program, hub, *arguments):
        self.hub, self.go = hub, threading.Event()
        hub.hold = ("model.safetensors", 3 * MIB, self.go)
        self.process = subprocess.Popen([TONGYUN, "pull", NAME, "--endpoint", hub.url, "--connections", "1", *arguments],
                                        env=program.env, cwd=program.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.state = os.path.join(program.home, "models", NAME, ".partial-original", ".state.json")
        end = time.monotonic() + SECONDS_MAX
        while not self.has_state():     # it is written every two seconds
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.02)

    def has_state(self):
        try:
            with open(self.state, encoding="utf-8") as file:
                return any(file["path"] == "model.safetensors" for file in json.load(file)["files"])
        except FileNotFoundError:
            return False

    def end(self, number=None):
        """The exit status and what was said, after a signal or on its own."""
        if number:
            self.process.send_signal(number)
            out, err = self.process.communicate(timeout=SECONDS_MAX)
        self.hub.hold = None
        self.go.set()
        if not number:
            out, err = self.process.communicate(timeout=SECONDS_MAX)
        return self.process.returncode, out.decode(), err.decode()


def test_a_killed_pull_is_gone_on_from(program, hub):
    assert Pulling(program, hub).end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert program.json("list") == []
    document = pulled(program, hub)
    assert_whole(program, hub)
    assert document["received_bytes"] < document["size_bytes"] - 2 * MIB


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_pull_says_that_it_can_go_on(program, hub, number):
    assert Pulling(program, hub).end(number) == (
        1, "", "tongyun: error: interrupted; the same command goes on where it stopped\n")
    document = pulled(program, hub)
    assert_whole(program, hub)
    assert document["received_bytes"] < document["size_bytes"] - 2 * MIB


def test_what_a_pull_killed_at_its_very_end_has_left_goes_with_the_next(program, hub):
    """Old and new files have changed places, and nothing more was done."""
    pulled(program, hub)
    place = folder(program)
    shutil.copytree(place, os.path.join(os.path.dirname(place), ".partial-original"))
    with open(os.path.join(place, ".state.json"), "w", encoding="utf-8") as state:
        state.write('{"files": []}')
    assert pulled(program, hub)["changed"] is False
    assert_whole(program, hub)
    assert sorted(os.listdir(os.path.dirname(place))) == [".lock", "original"]


def test_two_pulls_of_one_model_are_one(program, hub):
    first = Pulling(program, hub)
    second = subprocess.Popen([TONGYUN, "pull", NAME, "--endpoint", hub.url, "--json"], env=program.env, cwd=program.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert second.stderr.readline().decode() == f"tongyun: {NAME} is in use by pull (process {first.process.pid})\n"
    assert "is in use by pull (process " in program.fails("rm", NAME)
    assert first.end()[0] == 0
    out, err = second.communicate(timeout=SECONDS_MAX)
    assert (second.returncode, err) == (0, b"")
    assert (json.loads(out)["changed"], json.loads(out)["received_bytes"]) == (False, 0)
    assert_whole(program, hub)


def test_two_pulls_that_make_one_type_make_it_once(program, model):
    model.hold = ("model.safetensors", 0, threading.Event())
    both = [subprocess.Popen([TONGYUN, "pull", f"{NAME}:q8_0", "--endpoint", model.url, "--json"], env=program.env,
                             cwd=program.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    readable, _, _ = select.select([one.stderr for one in both], [], [], SECONDS_MAX)
    assert b"is in use by " in readable[0].readline()
    model.hold[2].set()
    ends = [one.communicate(timeout=SECONDS_MAX)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(json.loads(out)["changed"] for out in ends) == [False, True]


def test_who_waits_for_another_pull_can_be_interrupted(program, hub):
    first = Pulling(program, hub)
    second = subprocess.Popen([TONGYUN, "pull", NAME, "--endpoint", hub.url], env=program.env, cwd=program.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    second.stderr.readline()
    second.send_signal(signal.SIGINT)
    assert second.communicate(timeout=SECONDS_MAX)[1].startswith(b"tongyun: error: interrupted; ")
    assert first.end(signal.SIGTERM)[0] == 1


def test_a_killed_pull_can_be_removed(program, hub):
    Pulling(program, hub).end(signal.SIGKILL)
    program.ok("rm", NAME)
    assert program.files() == []


def test_a_disk_that_takes_no_more_is_an_error_and_what_came_is_kept(program, hub):
    """A limit on the size of files stands for the full disk: write fails in the middle of one."""
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))

    text = refused(program, hub, preexec_fn=limited)
    assert text.startswith(program.home) and text.endswith("File too large; what came is kept, pull again to go on")
    pulled(program, hub)
    assert_whole(program, hub)


def test_a_home_that_cannot_be_written_is_named(program, hub):
    done = pull(program, hub, env={"TONGYUN_HOME": "/proc/nowhere"})
    assert done.returncode == 1 and "/proc/nowhere" in done.stderr


# ---- wrong usage

@pytest.mark.parametrize("url, says", [
    ("ftp://x", "must be http:// or https://"), ("huggingface.co/x y", ""), ("http://", "must be http"),
    ("http://user:pw@x", "a name or password has no place in it"), ("http://x?a=1", "must end before"),
    ("http://x/\ny", ""), ("https://x/#y", "must end before")])
def test_what_is_no_address_of_a_hub_is_refused(program, url, says):
    text = program.fails("pull", NAME, "--endpoint", url)
    assert "address of a hub" in text and says in text


def test_wrong_usage_is_said(program):
    assert program.wrong("pull") == "which NAME?"
    assert "--from is hf, modelscope or an address, not 'ftp'" in program.wrong("pull", NAME, "--from", "ftp")
    for name in ("Qwen", "../x", "a/b/c", "a/b@", "a/b:"):
        assert "is not the name of a model" in program.fails("pull", name)


def test_home_is_shared_by_two_programs(tmp_path, hub):
    """A model that one user of the folder pulled, the other has."""
    one, other = Program(tmp_path), Program(tmp_path)
    pulled(one, hub)
    assert other.json("list")[0]["name"] == NAME
