#!/usr/bin/env python3
"""bench/compare_tokenizers.py - text to tokens with the vocabulary of Qwen2: this program, Hugging Face tokenizers, bpe-qwen.

    bench/compare_tokenizers.py build/release [FILE...]

Prints a table of MB/s on one core: medians of processor time, the three by turns. Files are cut after 2 MB; runs of one
character that are hard for some are made here. Each must give the same tokens. Needs `ninja -C build/release
bench/tokenize` and the packages of bench/requirements.txt.
"""
import argparse
import glob
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
DATA = os.path.join(ROOT, "tests", "data", "tokenizer")
BYTES_MAX = 2 << 20
RUN_BYTES = 1 << 20
RUNS = {"a": "a", "space": " ", "newline": "\n", "digit": "1", "U+0301": "\u0301", "U+0323 U+0301": "\u0323\u0301",
        "a U+0300 U+0301": "a\u0300\u0301"}

sys.path.insert(0, os.path.join(ROOT, "tools", "goldens"))
import make_tokenizer_json  # noqa: E402


def bpe_qwen():
    """Its extension alone: its Python part wants transformers."""
    found = importlib.util.find_spec("bpe_qwen").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("bpe_qwen", glob.glob(os.path.join(found, "*.so"))[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(files):
    """(name, text)"""
    for path in files:
        with open(path, "rb") as file:
            text = file.read(BYTES_MAX).decode(errors="ignore")
        yield os.path.basename(path), text
    for name, unit in RUNS.items():
        yield "1 MiB of " + name, unit * (RUN_BYTES // len(unit.encode()))


class Ours:
    def __init__(self, build, folder):
        self.command = [os.path.join(build, "bench", "tokenize"), folder]
        self.path = os.path.join(folder, "text")

    def run(self, text):
        """(seconds, number of tokens) of the second run in a process: the tables are in the caches."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        lines = subprocess.run([*self.command, self.path, "2"], check=True, capture_output=True, text=True).stdout
        seconds, count = lines.split("\n")[1].split()
        return float(seconds), int(count)


class Theirs:
    def __init__(self, encode):
        self.encode = encode

    def run(self, text):
        start = time.process_time()
        count = len(self.encode(text))
        return time.process_time() - start, count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = make_tokenizer_json.qwen2("qwen2")
        made.save(os.path.join(folder, "tokenizer.json"))
        shutil.copy(os.path.join(DATA, "qwen2-vocab.json"), os.path.join(folder, "vocab.json"))
        shutil.copy(os.path.join(DATA, "qwen2-merges.txt"), os.path.join(folder, "merges.txt"))
        reference = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        runners = {"tongyun": Ours(arguments.build, folder), "bpe-qwen": Theirs(bpe_qwen().QwenTokenizer(folder).encode),
                   "tokenizers": Theirs(lambda text: reference.encode(text).ids)}
        print("| text | tokens | " + " | ".join(runners) + " |\n|---|---|" + "---|" * len(runners))
        for name, text in texts(arguments.files):
            seconds, counts = {runner: [] for runner in runners}, set()
            for _ in range(arguments.rounds):
                for runner, it in runners.items():
                    taken, count = it.run(text)
                    seconds[runner].append(taken)
                    counts.add(count)
            speeds = [len(text.encode()) / statistics.median(seconds[runner]) / 1e6 for runner in runners]
            print(f"| {name} | {counts.pop() if len(counts) == 1 else 'differ: ' + str(sorted(counts))} | "
                  + " | ".join(f"{speed:.1f}" for speed in speeds) + " |", flush=True)


if __name__ == "__main__":
    main()
