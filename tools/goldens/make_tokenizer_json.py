"""tools/goldens/make_tokenizer_json.py - builds tokenizer.json from vocab.json and merges.txt.

    python tools/goldens/make_tokenizer_json.py OUT [--pattern qwen2|qwen35] [--no-nfc]
        [--added qwen3|none] [--merges pairs|strings] [--vocab F] [--merges-file F]

Tests call it for the full vocabulary of Qwen2, which is in the tree once, as the two files it was
published in. OUT is a folder; tokenizer.json and tokenizer_config.json are written there.
"""
import argparse
import json
from pathlib import Path

import tiny_tokenizer

DATA = Path(__file__).resolve().parents[2] / "tests" / "data" / "tokenizer"
FIRST_ADDED = 151643

# The added tokens of Qwen3 from id 151643 on; those of Qwen2.5 are the first 22.
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>",
           "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
           "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
           "<|video_pad|>")
KEPT = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
        "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
        "<think>", "</think>")


def qwen3_added():
    """[(token, id, special)]"""
    both = [(token, True) for token in SPECIAL] + [(token, False) for token in KEPT]
    return [(token, FIRST_ADDED + i, special) for i, (token, special) in enumerate(both)]


def qwen2(pattern, nfc=True, added=(), vocab=DATA / "qwen2-vocab.json",
          merges=DATA / "qwen2-merges.txt"):
    """The tokenizer of the committed vocabulary."""
    table = json.loads(Path(vocab).read_text(encoding="utf-8"))
    return tiny_tokenizer.build(table, tiny_tokenizer.read_merges(merges), list(added), pattern,
                                nfc)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pattern", choices=sorted(tiny_tokenizer.REGEX), default="qwen2")
    parser.add_argument("--no-nfc", action="store_true")
    parser.add_argument("--added", choices=("qwen3", "none"), default="qwen3")
    parser.add_argument("--merges", choices=("pairs", "strings"), default="pairs")
    parser.add_argument("--vocab", type=Path, default=DATA / "qwen2-vocab.json")
    parser.add_argument("--merges-file", type=Path, default=DATA / "qwen2-merges.txt")
    args = parser.parse_args()
    added = qwen3_added() if args.added == "qwen3" else []
    tokenizer = qwen2(args.pattern, not args.no_nfc, added, args.vocab, args.merges_file)
    args.out.mkdir(parents=True, exist_ok=True)
    text = tiny_tokenizer.tokenizer_json(tokenizer, args.merges == "strings")
    (args.out / "tokenizer.json").write_text(text, encoding="utf-8")
    config = tiny_tokenizer.tokenizer_config(added)
    (args.out / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
