"""The packages that bench/compare.py measures from Python; it runs in their interpreter, not in the project's.

    python compare_python.py openvino|mistralrs|flyweight MODEL.gguf THREADS TEST...

Prints {"test": ..., "rate": tokens/s} for each test as soon as it is known. Prompts are random tokens, another prompt
each time, so that no cache of prefixes knows them; OpenVINO's own cache of prefixes is what puts it at a depth.
"""
import json
import os
import random
import sys
import time

from compare_rows import parse_test

IDS = range(1000, 60000)    # ordinary tokens of Qwen's vocabulary
WORDS = ["the", "cat", "is", "on", "a", "red", "house", "and", "we", "see", "it", "go", "to", "sea"]


def tell(test, rate):
    print(json.dumps({"test": test.name, "rate": rate}), flush=True)


def prompt_of(count):
    return random.choices(IDS, k=count)


class OpenVino:
    def __init__(self, model, threads, context, batch):
        import openvino_genai
        self.genai = openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = max(context, 512)
        scheduler.max_num_seqs = max(batch, 1)
        scheduler.cache_size = 0
        self.pipeline = openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads, scheduler_config=scheduler)
        self.depths = [prompt_of(context) for _ in range(batch)]

    def generate(self, prompts, count):
        """Seconds from the call to its end, and what OpenVINO measured."""
        import numpy
        import openvino
        options = self.genai.GenerationConfig()
        options.max_new_tokens, options.ignore_eos, options.do_sample = count, True, False
        ids = openvino.Tensor(numpy.array(prompts, dtype=numpy.int64))
        inputs = self.genai.TokenizedInputs(ids, openvino.Tensor(numpy.ones_like(prompts, dtype=numpy.int64)))
        start = time.perf_counter()
        metrics = self.pipeline.generate(inputs, options).perf_metrics
        return time.perf_counter() - start, metrics

    def measure(self, test):
        prompts = [self.depths[i][:test.depth] or prompt_of(16) for i in range(test.batch)]
        self.generate(prompts, 2)                          # also puts the depth into the cache of prefixes
        if test.prompt:
            new = prompt_of(test.prompt)
            seconds = self.generate([(prompts[0] if test.depth else []) + new], 1)[1].get_ttft().mean / 1000
            return test.prompt / seconds
        if test.batch == 1:
            return 1000 / self.generate(prompts, test.generate + 1)[1].get_tpot().mean
        once = min(self.generate(prompts, 1)[0] for _ in range(3))
        return test.batch * test.generate / (self.generate(prompts, test.generate + 1)[0] - once)


class MistralRs:
    def __init__(self, model, threads, _context, batch):
        os.environ["RAYON_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
        import mistralrs
        self.mistralrs = mistralrs
        folder, name = os.path.split(os.path.abspath(model))
        which = mistralrs.Which.GGUF(quantized_model_id=folder, quantized_filename=name)
        self.runner = mistralrs.Runner(which=which, max_seqs=batch, prefix_cache_n=0, token_source="none")

    def measure(self, test):
        count = test.prompt or test.depth or 16
        text = "".join(" " + word for word in random.choices(WORDS, k=count))    # a token each
        request = self.mistralrs.CompletionRequest(prompt=text, model="default", max_tokens=test.generate + 1,
                                                   temperature=0.0, ignore_eos=True)
        usage = self.runner.send_completion_request(request).usage
        if not count - 1 <= usage.prompt_tokens <= count + 1:
            raise RuntimeError(f"{usage.prompt_tokens} tokens instead of {count}")
        if test.prompt:
            return usage.prompt_tokens / usage.total_prompt_time_sec
        return usage.completion_tokens / usage.total_completion_time_sec


class Flyweight:
    def __init__(self, model, threads, context, _batch):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        from flyweight.v2 import V2Model
        V2Model.select_backend("cpu")
        self.model = V2Model(model)
        self.runtime = self.model.native_runtime(device=0, context_limit=context + 512, cpu_threads=threads)
        self.runtime.prepare()

    def measure(self, test):
        out = []
        start = time.perf_counter()
        self.runtime.generate(prompt_of((test.prompt or 16) + test.depth), 1, out.append)
        seconds = time.perf_counter() - start
        if test.prompt:
            return (test.prompt + test.depth) / seconds
        token = out[0]
        start = time.perf_counter()
        for _ in range(test.generate):
            token = self.runtime.decode(token)
        return test.generate / (time.perf_counter() - start)


def main():
    name, model, threads, *names = sys.argv[1:]
    tests = [parse_test(test) for test in names]
    context = max(test.depth + test.prompt + test.generate for test in tests) + 64
    peer = {"openvino": OpenVino, "mistralrs": MistralRs, "flyweight": Flyweight}[name](
        model, int(threads), context, max(test.batch for test in tests))
    if tests[0].group == "short":
        peer.measure(tests[0])      # warms up
    for test in tests:
        tell(test, peer.measure(test))


if __name__ == "__main__":
    main()
