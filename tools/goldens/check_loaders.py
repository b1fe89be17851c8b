"""tools/goldens/check_loaders.py - transformers itself loads the committed files and agrees.

    python tools/goldens/check_loaders.py [tests/golden] [PART_OF_A_NAME]

A check of the files, not of us: the class that config.json names reads each directory, and
AutoModelForCausalLM each GGUF, by its own code (for qwen35 that code puts the V heads back in
order), and must give the committed logits. What is not among those it reads is said.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM

import golden_source
from small_configs import BASES, COMMON

# DeltaNet packed under Qwen3.5's class, its oldest names, quantized checkpoints that want a GPU or
# another package, split files, and GGUF architectures without a reader or with one that takes sizes
# from elsewhere (qwen2moe) or makes another class (qwen2vl, qwen3vl).
NOT_READ = ("packed", "older", "gptq", "awq", "float8", "-fp8", "split", "vl-mini-f32.gguf",
            "vl-mini-bf16.gguf", "moe-bf16.gguf", "qwen3_next-bf16.gguf", "qwen3_5_moe-mini-f16.gguf")


def load(root, case):
    how = {"dtype": torch.float32, "attn_implementation": "eager"}
    if case["format"] == "gguf":
        path, config = root / case["model"], None
        if case["arch"] in ("qwen3", "qwen3_moe", "llama"):
            # Their readers do not take all of head_dim and rope scaling from the file.
            base = BASES[case["base"]]
            config = golden_source.make_config(base.arch, golden_source.constructor_fields(
                {**COMMON, **base.config}))
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name,
                                                    config=config, **how)
    named = json.loads((root / case["model"] / "config.json").read_text())["architectures"][0]
    named = named.replace("Qwen3Model", "Qwen3ForCausalLM")
    return getattr(transformers, named).from_pretrained(root / case["model"], **how)


def compare(root, case):
    """The largest difference from the committed logits."""
    ids = [int(x) for x in (root / case["tokens"]).read_text().split()]
    first, end, step = case["positions"]
    with golden_source.stable_topk():
        got = load(root, case)(input_ids=torch.tensor([ids]), use_cache=False).logits
    want = np.load(root / case["logits"])
    return float(np.abs(got[0, first:end:step, :want.shape[1]].numpy() - want).max())


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden"
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    failed, count = 0, 0
    for case in index["cases"] + index["waiting"]:
        name = case["model"]
        if not case["tokens"].endswith("len65.txt") or only not in name:
            continue
        if any(part in name for part in NOT_READ):
            print(f"not read  {name}")
            continue
        worst = compare(root, case)
        bad = worst > index["classes"]["float"]["max_abs"]
        print(f"{worst:.2e}  {name}{'  TOO FAR' if bad else ''}")
        failed, count = failed + bad, count + 1
    print(f"{count} files, {failed} too far")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
