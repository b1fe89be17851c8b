"""Where settings come from: config file, then environment, then flags, the later one wins; and where state lives."""
import os
import socket

import pytest

from program import POET, QWEN3, SECONDS_MAX, checkpoint


def served_id(program, *arguments, env=(), config=None):
    """The model's id in the API of a server started so."""
    if config is not None:
        path = os.path.join(program.folder, "settings.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        arguments = ["--config", path, *arguments]
    with program.serve(*arguments, env=env) as server:
        return server.models()[0]


def test_the_flag_wins_over_the_environment_and_that_over_the_file(program):
    file, env, flag = "alias: from-file\n", {"TONGYUN_ALIAS": "from-env"}, ["--alias", "from-flag"]
    assert served_id(program) == "tongyun-poet"
    assert served_id(program, config=file) == "from-file"
    assert served_id(program, config=file, env=env) == "from-env"
    assert served_id(program, *flag, config=file, env=env) == "from-flag"
    assert served_id(program, *flag, config=file) == "from-flag"


def test_a_setting_has_all_its_spellings_everywhere(program):
    assert served_id(program, "--served-model-name", "a") == served_id(program, "-a", "a") == "a"
    assert served_id(program, config="served-model-name: a\n") == served_id(program, config="served_model_name: a\n") == "a"
    assert served_id(program, env={"TONGYUN_SERVED_MODEL_NAME": "a"}) == "a"


def test_the_environment_can_name_the_config_file(program, tmp_path):
    (tmp_path / "c.yaml").write_text("alias: from-file\n")
    (tmp_path / "d.yaml").write_text("alias: from-the-other\n")
    env = {"TONGYUN_CONFIG": str(tmp_path / "c.yaml")}
    assert served_id(program, env=env) == "from-file"
    assert served_id(program, "--config", tmp_path / "d.yaml", env=env) == "from-the-other"


@pytest.mark.parametrize("spelling", [["--max-model-len", 100], ["--ctx-size", 100], ["-c", 100]])
def test_the_spellings_of_other_servers_mean_the_same(program, spelling):
    with program.serve(*spelling, "--parallel", 3) as server:
        _, document = server.request("GET", "/v1/models")
        assert document["data"][0]["max_model_len"] == 100
        assert "3 sequences" in server.log


def test_a_context_beyond_the_models_is_told(program):
    with program.serve("--max-model-len", 100000) as server:
        _, document = server.request("GET", "/v1/models")
        assert document["data"][0]["max_model_len"] == 2048
        assert "--max-model-len is 100000, the model's context 2048: that is what it gets" in server.log


def test_a_context_that_the_cache_does_not_hold_is_told(program):
    with program.serve("--kv-cache-mib", 6, executor="chip") as server:
        _, document = server.request("GET", "/v1/models")
        held = document["data"][0]["max_model_len"]
        assert 0 < held < 2048
        assert f"tongyun-poet: a cache of 6 MiB holds {held} tokens, not 2048: that is the context" in server.log


def test_how_a_model_is_computed_is_told_at_the_start(program):
    with program.serve("--isa", "ref", "--kv-type", "q8_0", "--threads", 1, executor="chip") as server:
        assert "states; " in server.log and " with ref, 1 threads, keys and values in q8_0" in server.log


def test_a_model_that_cannot_chat_is_told_at_the_start(program, tmp_path):
    model = checkpoint(tmp_path / "base", tokenizer_config={"chat_template": None})
    with program.serve(model) as server:
        assert "warn serve: base has no chat template: no chat can be answered" in server.log
        assert server.ask()[0] == 400
    with program.serve(QWEN3) as server:
        assert "chat template" not in server.log


@pytest.mark.parametrize("spelling", [["--max-num-seqs", 3], ["--parallel", 3], ["-np", 3], ["--parallel=3"]])
def test_sequences_at_once_have_three_spellings(program, spelling):
    with program.serve(*spelling) as server:
        assert "3 sequences" in server.log


def test_the_limits_of_requests_are_settings(program, tmp_path):
    (tmp_path / "c.yaml").write_text("max-body-mib: 1\nheader-timeout: 1\n")
    with program.serve("--config", tmp_path / "c.yaml", "--max-header-kib", 2, env={"TONGYUN_MAX_UNSENT_KIB": "32"}) as server:
        assert server.ask(content="x" * 2 * 2**20)[0] == 413
        assert server.request("GET", "/health?" + "x" * 1800)[0].status == 200
        assert server.request("GET", "/health?" + "x" * 3000)[0].status == 431
        assert "unsent up to 32 KiB" in server.log
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS_MAX) as drips:
            drips.sendall(b"GET /health HTTP/1.1\r\n")
            assert drips.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_what_the_server_may_keep_is_a_setting(program):
    with program.serve("--json-mib", 64, "--journal-mib", 3) as server:
        assert "and 64 MiB parsed" in server.log and "journal 2 x 3 MiB" in server.log
        assert server.ask()[0] == 200


def test_the_json_of_a_body_has_its_settings(program):
    with program.serve("--max-json-values", 12, "--max-json-depth", 4) as server:
        assert server.ask()[0] == 200
        status, _, answer = server.ask(stop=["a", "b", "c", "d"], logit_bias={"1": 0, "2": 0, "3": 0, "4": 0, "5": 0})
        assert status == 400 and "too many values" in answer["error"]["message"]
        status, _, answer = server.ask(unknown=[[[[1]]]])
        assert status == 400 and "too deep" in answer["error"]["message"], answer


@pytest.mark.parametrize("option", ["--max-body-mib", "--max-header-kib", "--json-mib", "--max-unsent-kib", "--header-timeout",
                                    "--write-timeout", "--journal-mib", "--max-json-values", "--max-json-depth"])
def test_no_limit_can_be_nothing(program, option):
    assert "'0' is not a whole number from" in program.wrong("serve", option, 0)


def test_an_id_that_no_price_could_name_is_refused(program):
    for alias in ("", "x" * 128, "a\nb", "m\x1b[31m"):
        assert "give it an --alias" in program.fails("serve", "--port", 0, "--executor", "sim", "--alias", alias)
    assert served_id(program, "--alias", "x" * 127) == "x" * 127


@pytest.mark.parametrize("text, says", [
    ("nonsense: 1\n", "unknown setting 'nonsense'"), ("port: many\n", "port: 'many' is not a whole number from 0 to 65535"),
    ("port: [\n", "line 2"), ("port:\n  deep: 1\n", "'port' must be a value or a list"), ("a: &x 1\nb: *x\n", "unknown setting 'a'"),
    ("stop", "must be lines of `name: value`"), ("- port: 1\n", "must be lines of `name: value`"),
    ("{{a: 1}: 2}", "must be lines of `name: value`"), ("? [a]\n: 1\n", "must be lines of `name: value`"),
    ("alias: [a, [b]]\n", "'alias' must be a value or a list of values"),
    ("config: other.yaml\n", "unknown setting 'config'"), ("\x00", "line 1"), ("json: true\n", "unknown setting 'json'"),
])
def test_a_config_file_that_is_wrong_is_told_with_its_name(program, tmp_path, text, says):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    told = program.wrong("serve", "--config", path)
    assert told.startswith(f"{path}: ") and says in told


@pytest.mark.parametrize("text, says", [
    ("[" * 10**6, "must be lines"), ("- " * 10**5 + "a\n", "must be lines"), ("? " * 10**5 + "a\n", "must be lines"),
    ("alias: " + "[" * 10**6, "'alias' must be a value or a list of values"), ("{" * 10**6, "must be lines"),
    ("".join(" " * depth + f"a{depth}:\n" for depth in range(5000)), "'a0' must be a value or a list of values"),
], ids=["lists", "items", "keys", "a value", "mappings", "indents"])
def test_a_config_file_is_flat_and_refused_at_its_second_level(program, tmp_path, text, says):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert says in program.wrong("serve", "--config", path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}\n"])
def test_an_empty_config_file_says_nothing(program, text):
    assert served_id(program, config=text) == POET


def test_a_config_file_that_is_not_there_is_named(program):
    assert "/nowhere.yaml: No such file" in program.wrong("serve", "--config", "/nowhere.yaml")
    done = program.run("serve", env={"TONGYUN_CONFIG": "/nowhere.yaml"})
    assert done.returncode == 2 and "/nowhere.yaml: No such file" in done.stderr


def test_a_variable_that_is_wrong_is_named_and_an_empty_one_is_not_there(program):
    done = program.run("run", "hello", env={"TONGYUN_TEMPERATURE": "hot"})
    assert done.returncode == 2 and "TONGYUN_TEMPERATURE: 'hot' is not a number" in done.stderr
    program.ok("run", "hello", env={"TONGYUN_TEMPERATURE": ""})


def test_the_environment_is_for_every_verb(program):
    greedy = {"TONGYUN_TEMPERATURE": "0"}
    assert program.ok("run", "春雨", env=greedy) == program.ok("run", "春雨", "--temperature", 0)
    assert program.ok("tenant", "list", env={"TONGYUN_JSON": "1"}).startswith("[")
    assert program.ok("tenant", "list", env={"TONGYUN_JSON": "no"}) == program.ok("tenant", "list")
    # stop strings of a flag replace those of the environment
    poem = program.ok("run", "写一首五言绝句，题为春雨", env=greedy)
    assert program.ok("run", "写一首五言绝句，题为春雨", "--stop", "never", env={**greedy, "TONGYUN_STOP": "。"}) == poem
    assert program.ok("run", "写一首五言绝句，题为春雨", env={**greedy, "TONGYUN_STOP": "。"}) == poem.split("。")[0] + "\n"


def test_state_lives_where_it_is_said(program, tmp_path):
    plain = {key: value for key, value in program.env.items() if key != "TONGYUN_HOME"}
    places = [({"TONGYUN_HOME": str(tmp_path / "a"), "XDG_DATA_HOME": str(tmp_path / "b")}, tmp_path / "a"),
              ({"XDG_DATA_HOME": str(tmp_path / "b")}, tmp_path / "b" / "tongyun"),
              ({}, tmp_path / ".local" / "share" / "tongyun"),
              ({"TONGYUN_HOME": "", "XDG_DATA_HOME": ""}, tmp_path / ".local" / "share" / "tongyun")]
    for env, place in places:
        program.env = plain
        program.ok("tenant", "list", env=env)
        assert (place / "cloud.db").exists()
        assert place.stat().st_mode & 0o777 == 0o700
        assert all(os.stat(place / name).st_mode & 0o077 == 0 for name in os.listdir(place))


def test_a_home_that_cannot_be_made_is_named(program):
    assert "/proc/nowhere" in program.fails("tenant", "list", env={"TONGYUN_HOME": "/proc/nowhere"})


@pytest.mark.parametrize("verb", ["show", "tokenize", "template --messages -", "run hello"])
def test_a_verb_without_state_makes_no_home(program, verb):
    program.run(*verb.split(), stdin='{"messages":[]}')
    assert not os.path.exists(program.home)


def test_a_home_with_a_path_too_long_for_a_socket_works(program, tmp_path):
    program.home = program.env["TONGYUN_HOME"] = str(tmp_path / ("x" * 120))
    with program.serve() as server:
        assert program.json("price", "list") == []
        assert server.ask()[0] == 200
    assert len(program.json("usage", "list")) == 1
