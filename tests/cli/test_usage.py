"""Every verb explains itself, and says what is wrong with a call: exit codes 0, 1 and 2, and what goes where."""
import json
import os
import subprocess

import pytest

from program import GOLDEN, QWEN3, TONGYUN

SAMPLING = ("--temperature --top-p --top-k --min-p --typical-p --repetition-penalty --presence-penalty --frequency-penalty"
            " --logit-bias --seed --max-tokens --stop --logprobs")
OPTIONS = {     # what cli.md promises
    "run": f"--model --prompt --system --think --no-think --thinking-budget {SAMPLING} --raw --stats --kv-type",
    "serve": "--config --host --port --alias --served-model-name --max-model-len --ctx-size -c --api-key --max-num-seqs"
             " --parallel -np --grace --allow-anonymous --currency --executor --isa --kv-type --kv-cache-dtype --threads --max-body-mib"
             " --max-header-kib --json-mib --max-json-values --max-json-depth --max-unsent-kib --header-timeout --write-timeout --journal-mib",
    "pull": "--from --endpoint --token --connections --part-mib --stall-timeout --retries --json",
    "list": "--json",
    "cp": "--force",
    "show": "--model --ctx --kv-type --json",
    "quantize": "--type --threads --force --json",
    "tokenize": "--model --json --special",
    "detokenize": "--model",
    "template": "--messages --no-generation-prompt",
    "logits": "--tokens --out --chunk --threads --isa --kv-type",
    "perplexity": "--ctx --windows --special --threads --isa --kv-type --model --json",
    "bench": "-p -n -b -r -t --isa --kv-type -d --profile --json",
    "chips": "--json",
    "fleet simulate": "--seed --json",
    "tenant create": "--balance --credit --json",
    "tenant list": "--json",
    "tenant show": "--json",
    "tenant set": "--credit --requests-per-min --tokens-per-min --json",
    "tenant topup": "--json",
    "key create": "--name --json",
    "key list": "--json",
    "key revoke": "--json",
    "price set": "--input --output --cached --json",
    "price list": "--json",
    "usage list": "--tenant --request --json",
    "ledger list": "--tenant --request --json",
    "ledger check": "--json",
}
GROUPS = {"tenant": "create list show set topup", "key": "create list revoke", "price": "set list", "usage": "list",
          "ledger": "list check", "fleet": "simulate"}
MODEL_VERBS = ["run -p hello", "serve", "show", "tokenize", "detokenize", "template --messages /dev/null",
               "logits --tokens /dev/null --out /dev/null", "bench"]


@pytest.mark.parametrize("verb", OPTIONS)
def test_help_is_on_stdout_and_names_each_option(shared, verb):
    for flag in ("--help", "-h"):
        done = shared.run(*verb.split(), flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: tongyun {verb} ")
        words = done.stdout.replace(",", " ").split()
        for option in OPTIONS[verb].split():
            assert option in words, option
    assert max(map(len, done.stdout.splitlines()[3:])) <= 120


@pytest.mark.parametrize("verb", GROUPS)
def test_a_verb_with_verbs_of_its_own_names_them(shared, verb):
    done = shared.run(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in GROUPS[verb].split():
        assert f"tongyun {verb} {name}" in done.stdout
    for arguments in ([], ["nonsense"]):
        done = shared.run(verb, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: tongyun " + verb in done.stderr
        assert not arguments or done.stderr.startswith(f"tongyun: {verb}: unknown 'nonsense'\n")


def test_the_program_lists_its_verbs(shared):
    text = shared.ok("--help")
    for verb in OPTIONS:
        assert f"\n  {verb.split()[0]} " in text
    assert shared.ok("help") == shared.ok("-h") == text
    assert shared.ok("--version").startswith("tongyun ")


def test_no_verb_or_a_wrong_one_is_wrong_usage(shared):
    done = shared.run()
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("usage: tongyun ")
    done = shared.run("nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tongyun: unknown verb 'nonsense'; see tongyun --help\n"


def test_a_model_for_a_verb_is_told_the_verb(shared):
    for model in (QWEN3, "x.gguf", "Qwen/Qwen3-0.6B:q4_k"):
        done = shared.run(model)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"tongyun: unknown verb '{model}'; `tongyun run MODEL` runs a model\n"


def test_what_was_typed_does_not_command_the_terminal(shared):
    typed = "a\n\x1b[31mb"
    assert shared.run(typed).stderr == "tongyun: unknown verb 'a??[31mb'; see tongyun --help\n"
    assert shared.run("tenant", typed).stderr.startswith("tongyun: tenant: unknown 'a??[31mb'\nusage: ")
    assert "'a??[31mb' is not a whole number" in shared.wrong("serve", "--port", typed)
    assert "unexpected argument 'a??[31mb'" in shared.wrong("list", typed)


@pytest.mark.parametrize("verb", OPTIONS)
def test_an_unknown_option_and_an_argument_too_many_are_wrong_usage(shared, verb):
    assert "there is no option --nonsense" in shared.wrong(verb, "--nonsense")
    assert "there is no option -Z" in shared.wrong(verb, "-Z")
    assert "there is no option -hf" in shared.wrong(verb, "-hf")
    assert shared.wrong(verb, *["more"] * 17).startswith("unexpected argument '")


@pytest.mark.parametrize("option", ["--ssl-keyfile", "--ssl-certfile"])
def test_who_wants_tls_is_told_that_it_is_a_proxys(shared, option):
    assert "let a proxy speak it" in shared.wrong("serve", option, "a.pem")


@pytest.mark.parametrize("verb, arguments, says", [
    ("run", ["--temperature"], "--temperature needs a value"),
    ("run", ["--temperature", "hot"], "--temperature: 'hot' is not a number from 0 to 100"),
    ("run", ["--top-p", "1.5"], "--top-p: '1.5'"),
    ("run", ["--max-tokens", "-1"], "--max-tokens: '-1' is not a whole number from 0 to 16777216"),
    ("run", ["--seed", "1e3"], "--seed: '1e3'"),
    ("run", ["--raw=yes"], "--raw=yes takes no value"),
    ("run", ["--stop", ""], "--stop needs 1 to "),
    ("run", ["-m", "a", "b", "c"], "'c' is too much"),
    ("run", ["-m", "a", "-p", "b", "c"], "'c' is too much"),
    ("serve", ["--port", "70000"], "--port: '70000' is not a whole number from 0 to 65535"),
    ("serve", ["--executor", "magic"], "--executor is chip or sim, not 'magic'"),
    ("serve", ["-m", "a", "b"], "'b' is too much"),
    ("show", ["-m", "a", "b"], "'b' is too much"),
    ("tokenize", ["-m", "a", "b"], "'b' is too much"),
    ("template", [], "--messages is needed"),
    ("logits", ["--tokens", "x"], "--tokens and --out are needed"),
    ("bench", ["-r", "0"], "--repetitions: '0' is not a whole number from 1 to 1000"),
    ("bench", ["-p", "0", "-n", "0"], "-p 0 and -n 0: nothing to measure"),
    ("fleet simulate", ["--seed", "x"], "--seed: 'x'"),
    ("pull", [], "which NAME?"),
    ("pull", ["a/b", "--from", "here"], "--from is hf, modelscope or an address, not 'here'"),
    ("pull", ["a/b", "--connections", "0"], "--connections: '0' is not a whole number from 1 to 32"),
    ("rm", [], "which NAME?"),
    ("cp", ["a/b"], "SRC and DST are needed"),
    ("tenant create", [], "which NAME?"),
    ("tenant create", ["a", "--balance", "1,5"], "--balance '1,5' is not an amount such as 10.00"),
    ("tenant create", ["a", "--credit", "-1"], "--credit '-1' is not an amount"),
    ("tenant show", [], "which NAME?"),
    ("tenant topup", ["a"], "NAME and AMOUNT are needed"),
    ("tenant topup", ["a", "0.0000000001"], "AMOUNT '0.0000000001' is not an amount"),
    ("key create", [], "which TENANT?"),
    ("key revoke", [], "which ID?"),
    ("key revoke", ["one"], "'one' is not the id of a key"),
    ("key revoke", ["0"], "'0' is not the id of a key"),
    ("price set", ["m", "--input", "1"], "MODEL, --input and --output are needed"),
    ("price set", ["m", "--input", "1", "--output", "x"], "a price is an amount such as 2.50"),
])
def test_wrong_usage_says_what_in_one_line(shared, verb, arguments, says):
    assert says in shared.wrong(verb, *arguments)


@pytest.mark.parametrize("verb", MODEL_VERBS)
@pytest.mark.parametrize("model", ["nowhere.gguf", "nobody/nothing", "nobody/nothing:q8_0", "/nowhere"])
def test_a_model_that_is_not_there_is_named(shared, verb, model):
    name, *rest = verb.split()
    text = shared.fails(name, "-m", model, *rest)
    assert text.startswith(f"{model}: no such model; ") and ".gguf" in text


@pytest.mark.parametrize("verb", MODEL_VERBS)
def test_a_file_that_is_no_model_is_named(shared, verb, tmp_path):
    name, *rest = verb.split()
    for file in ("text.gguf", "text", "empty.gguf"):
        path = tmp_path / file
        path.write_text("" if file == "empty.gguf" else "not a model\n")
        assert str(path) in shared.fails(name, "-m", path, *rest)
    assert str(tmp_path) in shared.fails(name, "-m", tmp_path, *rest)


@pytest.mark.parametrize("verb", ["run -p hello", "serve", "logits --tokens /dev/stdin --out /dev/null", "bench", "chips"])
def test_an_instruction_set_that_is_not_here_is_named(shared, verb):
    assert 'cannot run "z80"; it can run: ref' in shared.fails(*verb.split(), "--isa", "z80", stdin="1 2")


@pytest.mark.parametrize("verb", ["run hello", "show", "show --json", "list --json", "tokenize", "fleet simulate --events 10",
                                  "tenant list --json", "--help", "serve --help"])
def test_what_cannot_be_printed_is_an_error(shared, verb):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TONGYUN, *verb.split()], input=b"hello", stdout=full, stderr=subprocess.PIPE,
                              env=shared.env, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "tongyun: error: standard output: No space left on device"


def test_a_reader_that_has_left_ends_the_program_quietly(shared):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([TONGYUN, "run", "hello"], stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE,
                          env=shared.env, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-13, b"")


@pytest.mark.parametrize("model", [[], ["-m", QWEN3], ["-m", os.path.join(GOLDEN, "gguf", "qwen3_5-q4_0.gguf")]])
def test_show_is_one_document(shared, model):
    document = shared.json("show", *model)
    assert set(document) == {
        "name", "architecture", "parameters", "size_bytes", "type", "context_max", "layers", "attention_layers",
        "delta_layers", "hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab", "kv_bytes_per_token",
        "state_bytes", "chat_template", "tokens",
        "licence", "context", "needed_bytes", "memory_bytes", "decoded", "type_bytes", "quantization", "eos", "sampling",
        "experts", "window", "rope_scaling", "note"}
    text = shared.ok("show", *model)
    for word in (document["name"], document["architecture"], document["type"], f'{document["context_max"]} tokens'):
        assert word in text


def test_show_tells_the_licence_from_the_file_or_the_card_beside_it(shared, tmp_path):
    assert shared.json("show")["licence"] == "MIT"
    for file in os.listdir(QWEN3):
        os.symlink(os.path.join(QWEN3, file), tmp_path / file)
    assert shared.json("show", tmp_path)["licence"] is None
    assert "not said" in shared.ok("show", tmp_path)
    for card, licence in [("---\ntags: [a]\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
                          ("# A model\n\nlicense: mine\n", None), ("---\nlicense: mit\n", None),
                          ('---\nlicense: "mit"\n---\n', "mit"), ("", None)]:
        (tmp_path / "README.md").write_text(card)
        assert shared.json("show", tmp_path)["licence"] == licence


def test_the_chips_are_one_document(shared):
    for chip in shared.json("chips"):
        assert set(chip) == {"name", "kind", "isa", "isas", "types", "types_decoded", "cores", "memory_bytes",
                             "read_bytes_per_s", "int8_ops_per_s", "bf16_ops_per_s", "f32_ops_per_s"}
        assert chip["read_bytes_per_s"] > 0 and chip["int8_ops_per_s"] > 0 and chip["f32_ops_per_s"] > 0
        assert chip["isa"] == chip["isas"].split()[-1], "the best is chosen"
        assert "q4_0" in chip["types"].split() and "q4_k" in (chip["types"] + " " + chip["types_decoded"]).split()
        assert (chip["bf16_ops_per_s"] > 0) == (chip["isa"] == "avx512bf16")


def test_bench_has_the_field_names_of_llama_bench(shared):
    rows = shared.json("bench", "-p", 4, "-n", 2, "-b", 2, "-r", 2, "-d", 3, "-t", 1)
    assert [(row["n_prompt"], row["n_gen"], row["n_depth"], row["n_batch"]) for row in rows] == [(4, 0, 3, 2), (0, 2, 3, 2)]
    for row in rows:
        assert row["model_size"] == shared.json("show")["size_bytes"]
        assert {"avg_ts", "stddev_ts", "samples_ts", "avg_ns", "model_type", "model_size", "n_threads", "bandwidth_ratio",
                "compute_ratio"} <= set(row)
        assert len(row["samples_ts"]) == 2 and row["n_threads"] == 1 and row["avg_ts"] > 0
        assert 0 < row["bandwidth_ratio"] and 0 < row["compute_ratio"]
        # matrices in integers, attention in bf16 or f32
        assert row["ops_per_s"] / row["int8_ops_per_s"] < row["compute_ratio"] < row["ops_per_s"] / row["f32_ops_per_s"]
        assert row["weights_peak_ops_per_s"] == row[f'{row["weights_arithmetic"]}_ops_per_s']
        assert "profile" not in row


def test_what_bench_and_run_are_asked_beyond_the_machine_or_the_model_is_noted(shared):
    cores = len(os.sched_getaffinity(0))
    done = shared.run("run", QWEN3, "-p", "hello", "--raw", "--max-tokens", 1, "-t", cores + 1, binary=True)
    assert done.returncode == 0 and b"threads take turns on" in done.stderr
    context = shared.json("show", QWEN3)["context_max"]
    for depth in (context - 1, context):
        done = shared.run("bench", QWEN3, "-p", 0, "-n", 1, "-r", 1, "-t", 1, "-d", depth)
        noted = f"{context + 1} tokens are more than the model's context of {context}" in done.stderr
        assert (done.returncode, noted) == (0, depth == context)


def test_bench_decodes_more_sequences_than_a_chunk_has_rows(shared):
    row, = shared.json("bench", "-p", 0, "-n", 1, "-r", 1, "-t", 1, "-b", 3, "--chunk", 1, "--kv-type", "q8_0")
    assert (row["n_batch"], row["type_k"], row["type_v"]) == (3, "q8_0", "q8_0")


def test_bench_tells_where_the_time_goes(shared):
    for row in shared.json("bench", "-p", 4, "-n", 2, "-r", 2, "-t", 1, "--profile"):
        operations = {entry["operation"]: entry for entry in row["profile"]}
        assert {"embed", "norm", "matmul", "attend", "head", "sample", "between steps"} <= set(operations)
        assert sum(entry["time_ratio"] for entry in operations.values()) == pytest.approx(1)
        for name in ("matmul", "attend", "head"):
            assert operations[name]["bandwidth_ratio"] > 0 and operations[name]["compute_ratio"] > 0
            assert operations[name]["barriers"] > 0
    text = shared.ok("bench", "-p", 0, "-n", 1, "-r", 1, "-t", 1, "--profile")
    assert "| between steps |" in text


def test_the_simulator_gives_the_same_trace_for_the_same_seed(shared):
    first, again, other = (shared.json("fleet", "simulate", "--seed", seed, "--events", 3000)[0] for seed in (7, 7, 8))
    assert first == again and first["failed"] is False and first["events"] >= 3000
    assert first["trace_hash"] != other["trace_hash"]
    assert f'trace {first["trace_hash"]}' in shared.ok("fleet", "simulate", "--seed", 7, "--events", 3000)
    both = shared.json("fleet", "simulate", "--seed", 7, "--seeds", 2, "--events", 3000, "--replay")
    assert [report["trace_hash"] for report in both] == [first["trace_hash"], other["trace_hash"]]


def test_json_output_is_one_document_of_ascii_or_utf_8(shared):
    done = shared.run("tokenize", "--json", stdin="春雨", binary=True)
    assert isinstance(json.loads(done.stdout), list) and done.stdout.endswith(b"\n")


def test_kv_type_is_one_of_a_few_words(shared):
    for verb in ("run -p hello", "show", "bench", "serve"):
        done = shared.run(*verb.split(), "--kv-type", "q3")
        assert (done.returncode, done.stdout) == (2, "")
        assert "--kv-type 'q3': auto, f32, f16, bf16 and q8_0 are known" in done.stderr


@pytest.mark.parametrize("name", ["auto", "f32", "f16", "bf16", "q8_0"])
def test_keys_and_values_are_kept_in_each_type(shared, name):
    assert shared.run("run", QWEN3, "-p", "hello", "--raw", "--max-tokens", 3, "--kv-type", name, binary=True).returncode == 0
    with shared.serve("-m", QWEN3, "--kv-type", name, executor="chip") as server:
        assert server.port


def test_a_type_that_heads_are_too_small_for_is_refused_with_what_to_take(shared):
    for verb in ("run -p hello --raw", "bench -p 8 -n 2 -r 1", "serve --port 0 --executor chip"):
        done = shared.run(*verb.split(), "-m", os.path.join(GOLDEN, "checkpoints", "qwen3-mini-f16"), "--kv-type", "q8_0")
        assert (done.returncode, done.stdout) == (1, "")
        assert "heads of 16 cannot have keys and values in q8_0, which takes multiples of 32; f16 takes any" in done.stderr
