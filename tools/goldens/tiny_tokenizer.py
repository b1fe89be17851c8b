"""tools/goldens/tiny_tokenizer.py - tokenizer files: the tiny one of the goldens, and any other.

The tiny one has the form of Qwen's (256 bytes in the order of the GPT-2 alphabet, merges, added
tokens), so that small models carry a real tokenizer of a few kilobytes.
"""
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors

# The two splitting patterns of the Qwen family (transformers: tokenization_qwen2, _qwen3_5).
REGEX = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen35": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
              r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

# Each text becomes a chain of merges, left to right; pairs that exist already are not repeated.
MERGE_CHAINS = ("user", "system", "你好", "月", " the", "in", "er", " a", "on", "he", "re", " s",
                "at", "\n\n", "  ", "and", "or")

# Added tokens, in the order of their ids; True: special (left out of the text when decoding).
ADDED = (("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True),
         ("<|vision_start|>", True), ("<|vision_end|>", True), ("<|image_pad|>", True),
         ("<|video_pad|>", True), ("<tool_call>", False), ("</tool_call>", False),
         ("<tool_response>", False), ("</tool_response>", False), ("<think>", False),
         ("</think>", False))

CHAT_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def byte_alphabet():
    """The GPT-2 alphabet: byte -> printable character."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def tiny_vocab():
    """(vocab: token -> id, merges: [(left, right)], added: [(token, id, special)])."""
    alphabet = byte_alphabet()
    vocab = {c: i for i, c in enumerate(sorted(alphabet.values()))}
    merges = []
    for chain in MERGE_CHAINS:
        symbols = [alphabet[b] for b in chain.encode()]
        left = symbols[0]
        for right in symbols[1:]:
            if left + right not in vocab:
                merges.append((left, right))
                vocab[left + right] = len(vocab)
            left += right
    added = [(token, len(vocab) + i, special) for i, (token, special) in enumerate(ADDED)]
    return vocab, merges, added


def build(vocab, merges, added, pattern, nfc=True):
    """A tokenizers.Tokenizer as transformers builds it for Qwen."""
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=False,
                                     byte_fallback=False))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(REGEX[pattern]), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens([AddedToken(token, special=special, normalized=False)
                          for token, _, special in added])
    for token, expected, _ in added:
        assert tokenizer.token_to_id(token) == expected, token
    return tokenizer


def tokenizer_json(tokenizer, merges_as_strings=False):
    """The text of tokenizer.json; older files have merges as "a b", newer ones as ["a", "b"]."""
    tree = json.loads(tokenizer.to_str())
    if merges_as_strings:
        tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n"


def read_merges(path):
    """merges.txt: a version line, then one pair per line."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]


def tokenizer_config(added, chat_template=None):
    """tokenizer_config.json as a dictionary."""
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                     "single_word": False, "special": special} for token, i, special in added},
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "errors": "replace",
        "model_max_length": 4096,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config


def write_tiny(folder):
    """Writes the shared tokenizer files of the goldens into folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges, added = tiny_vocab()
    (folder / "vocab.json").write_text(
        json.dumps(vocab, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    for name, pattern, as_strings in (("tokenizer.json", "qwen2", False),
                                      ("tokenizer35.json", "qwen35", True)):
        text = tokenizer_json(build(vocab, merges, added, pattern), as_strings)
        (folder / name).write_text(text, encoding="utf-8")
