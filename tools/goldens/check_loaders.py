"""tools/goldens/check_loaders.py - transformers itself loads the committed files and agrees.

    python tools/goldens/check_loaders.py [tests/golden]

A check of the files, not of us: AutoModelForCausalLM reads each directory and each GGUF by its own
code (for qwen35 that code puts the V heads back in order) and must give the committed logits. The
packed and the older layout are not among those it reads.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

NOT_READ = ("packed", "older")


def load(root, case, config):
    how = {"dtype": torch.float32, "attn_implementation": "eager"}
    if case["format"] == "gguf":
        path = root / case["model"]
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name,
                                                    config=config, **how)
    return AutoModelForCausalLM.from_pretrained(root / case["model"], **how)


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden"
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    worst, configs, failed = {}, {}, []
    for case in index["cases"]:
        if not case["tokens"].endswith("len65.txt") or any(x in case["model"] for x in NOT_READ):
            continue
        if case["format"] == "safetensors" and case["arch"] == "qwen3":
            # Its GGUF reader does not take head_dim of qwen3 from the file: lend it a config.
            configs[case["base"]] = AutoConfig.from_pretrained(root / case["model"])
        ids = [int(x) for x in (root / case["tokens"]).read_text().split()]
        model = load(root, case, configs.get(case["base"]))
        first, last = case["positions"]
        got = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, first:last].numpy()
        worst[case["model"]] = float(np.abs(got - np.load(root / case["logits"])).max())
        print(f"{worst[case['model']]:.2e}  {case['model']}")
        if worst[case["model"]] > index["classes"]["float"]["max_abs"]:
            failed.append(case["model"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
