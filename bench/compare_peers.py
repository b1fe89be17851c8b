"""How each program of bench/compare.py is asked for its figures, and how its answer is read.

A runner has a name, may say why it cannot do a test, and gives for a group of tests the commands to run, each with the
function that reads its output: an iterator of (test name, {"rate": tokens/s}). Output may have been cut by the time
limit: what is complete counts.
"""
import json
import os
import pathlib

HERE = pathlib.Path(__file__).parent
CHUNK = 512     # rows of a prefill step, the same for all


def json_lines(text):
    """The objects that stand on lines of their own among whatever else is printed."""
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            yield json.loads(line)
        except ValueError:
            continue


def json_array(text):
    """The array of llama-bench and of tongyun bench; nothing when it was cut."""
    start = text.find("[\n")
    try:
        return json.loads(text[start:]) if start >= 0 else []
    except ValueError:
        return []


# ---- tongyun ------------------------------------------------------------------------------------------------------------

def parse_tongyun(text, tests):
    for row in json_array(text):
        for test in tests:
            if (row["n_prompt"], row["n_gen"], row["n_depth"], row["n_batch"]) != (test.prompt, test.generate, test.depth,
                                                                                  test.batch):
                continue
            tokens = (test.prompt + test.generate) * test.batch
            compute = row["ops_per_s"] / row["weights_peak_ops_per_s"]
            yield test.name, {"rate": tokens / row["samples_ns"][0] * 1e9, "bandwidth": row["bandwidth_ratio"],
                              "compute": compute}


class Tongyun:
    def __init__(self, path, threads, isa=None, kv_type=None):
        self.path = path
        self.name = " ".join(["tongyun", *([isa] if isa else []), *([f"kv {kv_type}"] if kv_type else [])])
        self.options = ["-t", str(threads), *(["--isa", isa] if isa else []),
                        *(["--kv-type", kv_type] if kv_type else [])]

    def cannot(self, shape, kind, test):
        return None

    def commands(self, model, kind, tests):
        options = self.options
        if tests[0].name == "load":
            yield [self.path, "run", model, "-p", "Hello", "--max-tokens", "1", "--temperature", "0", *options], None
            return
        for batch, depth in sorted({(test.batch, test.depth) for test in tests}):
            here = [test for test in tests if (test.batch, test.depth) == (batch, depth)]
            command = [self.path, "bench", model, "--json", "-r", "1", "-b", str(batch), "-d", str(depth),
                       "-p", str(max(test.prompt for test in here)), "-n", str(max(test.generate for test in here)), *options]
            yield command, lambda text, here=here: parse_tongyun(text, here)


# ---- llama.cpp and ik_llama.cpp ------------------------------------------------------------------------------------------

def parse_llama_bench(text, tests):
    for row in json_array(text):
        for test in tests:
            # ik_llama.cpp's knows no depth
            if (row["n_prompt"], row["n_gen"], row.get("n_depth", 0)) == (test.prompt, test.generate, test.depth):
                yield test.name, {"rate": row["samples_ts"][0]}


def batched_rows(text):
    """llama.cpp's has JSON; ik_llama.cpp's prints its table whatever it is asked for."""
    yield from json_lines(text)
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")[1:-1]]
        if len(fields) == 10 and fields[0].isdigit():
            yield {"pp": int(fields[0]), "tg": int(fields[1]), "pl": int(fields[2]), "speed_tg": float(fields[7])}


def parse_batched(text, tests):
    for row in batched_rows(text):
        for test in tests:
            if (row.get("tg"), row.get("pp"), row.get("pl")) == (test.generate, test.depth, test.batch):
                yield test.name, {"rate": row["speed_tg"]}


def parse_sweep(text, tests):
    """llama-sweep-bench prefills a context by steps of pp tokens: a prompt at a depth is the steps that it covers."""
    rows = {row["n_kv"]: row for row in json_lines(text) if "n_kv" in row}
    for test in tests:
        covered = [rows[at] for at in range(test.depth, test.depth + test.prompt, CHUNK) if at in rows]
        if test.generate and test.depth in rows:
            yield test.name, {"rate": rows[test.depth]["speed_tg"]}
        elif test.prompt and len(covered) * CHUNK == test.prompt:
            yield test.name, {"rate": test.prompt / sum(row["t_pp"] for row in covered)}


def bench_lists(tests):
    """-p and -n of the tests at one depth."""
    return ["-p", ",".join(str(test.prompt) for test in tests if test.prompt) or "0",
            "-n", ",".join(str(test.generate) for test in tests if test.generate) or "0"]


def batched_options(test):
    context = (test.depth + test.generate) * test.batch
    return ["-c", str(context), "-b", "2048", "-ub", str(CHUNK), "-npp", str(test.depth), "-ntg", str(test.generate),
            "-npl", str(test.batch), "-fa", "on", "--output-format", "jsonl"]


class Llama:
    name = "llama.cpp"

    def __init__(self, folder, threads):
        self.folder, self.threads = folder, threads

    def cannot(self, shape, kind, test):
        return None

    def program(self, name, model):
        return [os.path.join(self.folder, name), "-m", model, "-t", str(self.threads)]

    def commands(self, model, kind, tests):
        for test in tests if tests[0].group == "batch" else []:
            yield [*self.program("llama-batched-bench", model), *batched_options(test)], \
                lambda text, test=test: parse_batched(text, [test])
        for depth in sorted({test.depth for test in tests if test.batch == 1}):
            here = [test for test in tests if test.depth == depth]
            yield [*self.program("llama-bench", model), "-fa", "on", "-r", "1", "-o", "json", "-d", str(depth),
                   *bench_lists(here)], lambda text, here=here: parse_llama_bench(text, here)


class Ik(Llama):
    name = "ik_llama.cpp"

    def commands(self, model, kind, tests):
        group = tests[0].group
        if group == "short":
            yield [*self.program("llama-bench", model), "-fa", "1", "-rtr", "1", "-r", "1", "-o", "json",
                   *bench_lists(tests)], lambda text: parse_llama_bench(text, tests)
        elif group == "long":
            end = max(test.depth + max(test.prompt, CHUNK) for test in tests)
            end = (end + CHUNK - 1) // CHUNK * CHUNK       # it decodes whole steps only
            tokens = max([test.generate for test in tests] + [1])
            yield [*self.program("llama-sweep-bench", model), "-c", str(end), "-b", str(CHUNK), "-ub", str(CHUNK),
                   "-n", str(min(tokens, 8)), "-fa", "on", "-rtr", "--output-format", "jsonl"], \
                lambda text: parse_sweep(text, tests)
        else:
            for test in tests:
                yield [*self.program("llama-batched-bench", model), *batched_options(test), "-rtr"], \
                    lambda text, test=test: parse_batched(text, [test])


# ---- Python packages -----------------------------------------------------------------------------------------------------

class PythonPeer:
    """A package in an interpreter of its own, driven by bench/compare_python.py, which prints a line for each test."""

    def __init__(self, name, python, threads):
        self.name, self.python, self.threads = name, python, threads

    def cannot(self, shape, kind, test):
        if self.name == "openvino" and (shape.startswith("qwen3.5") or shape.endswith("a3b")):
            return "reads no GGUF of this architecture"
        if self.name == "flyweight" and not shape.startswith("qwen3.5"):
            return "reads no GGUF of this architecture on a CPU"
        if self.name != "openvino" and test.batch > 1:
            return "takes no batch of prompts"
        if self.name == "mistralrs" and test.prompt and test.depth:
            return "tells no rate of a prompt at a depth"
        return None

    def commands(self, model, kind, tests):
        yield [self.python, str(HERE / "compare_python.py"), self.name, model, str(self.threads),
               *[test.name for test in tests]], parse_python


def parse_python(text):
    for row in json_lines(text):
        if "test" in row:
            yield row["test"], {"rate": row["rate"]}
