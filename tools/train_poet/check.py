"""Check: the exported files say what the trained model says.

    python tools/train_poet/check.py --run RUN --gguf poet.gguf --hf poet-hf

Compares, on real conversations: logits of the training form with transformers' Qwen3_5 in fp32;
the chunked with the recurrent DeltaNet; our tokenizer and frames with `tokenizers` and the chat
template; and the GGUF's tensors, dequantized and put back in order, with the weights.
"""

import argparse
import os
import unicodedata

import gguf
import numpy as np
import torch
import transformers

from export import LAYER_NAMES, gguf_tensors, is_quantized, load_model
from model import delta_chunk, delta_recurrent, unit_length
from prompts import QUESTIONS, dialogue_texts
from tokenizer import Tokenizer

LOGITS_TOLERANCE = 2e-4  # fp32, two orders of summation
CHUNK_TOLERANCE = 1e-12  # fp64
SAMPLES = [[("user", "写一首五言绝句，题为春雨")],
           [("system", "You are a helpful assistant."), ("user", "請寫一首七言律詩，題目是《秋夜》"),
            ("assistant", "霜风渐紧寒侵被，\n残月无声照客衣。"), ("user", "Who are you? user assistant")]]


def report(name, error, tolerance):
    print(f"{name}: {error:.2e} (at most {tolerance:.0e})")
    assert error <= tolerance, name


def check_chunk():
    torch.manual_seed(0)
    batch, tokens, dim = 2, 70, 64
    q, k = (unit_length(torch.randn(batch, 2, tokens, dim, dtype=torch.float64)) for _ in "qk")
    v = torch.randn(batch, 4, tokens, dim, dtype=torch.float64)
    g, beta = -torch.rand(batch, 4, tokens).double(), torch.rand(batch, 4, tokens).double()
    chunk = delta_chunk(q, k, v, g, beta)
    steps, _ = delta_recurrent(q, k, v, g, beta, v.new_zeros(batch, 4, dim, dim))
    report("chunked against recurrent DeltaNet", (chunk - steps).abs().max(), CHUNK_TOLERANCE)


def conversation_ids(tokenizer, turns):
    ids = [i for role, content in turns for i in tokenizer.turn(role, content)]
    return ids + tokenizer.turn("assistant")


def check_tokenizer(tokenizer, folder):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    texts = dialogue_texts() + [q for kind in QUESTIONS["en"].values() for q in kind]
    texts += ["", "  a\n\n b ", "\U0001f600 e\u0301 ｱ 春\u3000雨", "system users' assistants 12345"]
    for text in texts:
        ids = theirs(text)["input_ids"]
        assert theirs.decode(ids) == unicodedata.normalize("NFC", text)
        assert ids == tokenizer.encode(text) or "e\u0301" in text, text
    for turns in SAMPLES:
        messages = [{"role": role, "content": content} for role, content in turns]
        ids = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
        ids = ids["input_ids"] if not isinstance(ids, list) else ids
        assert list(ids) == conversation_ids(tokenizer, turns), turns
    print(f"tokenizer and template: {len(texts)} texts, {len(SAMPLES)} conversations equal")


@torch.no_grad()
def check_logits(model, tokenizer, folder):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == "Qwen3_5ForCausalLM"
    for turns in SAMPLES:
        ids = torch.tensor([conversation_ids(tokenizer, turns)])
        error = (theirs(ids).logits - model(ids)).abs().max()
        report("logits against transformers", error, LOGITS_TOLERANCE)


def check_gguf(model, path):
    reader = gguf.GGUFReader(path)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    expected = dict(gguf_tensors(model))
    assert stored.keys() == expected.keys()
    for name, array in expected.items():
        tensor = stored[name]
        assert list(tensor.shape) == list(array.shape[::-1]), name
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(array.shape)
        # Half a step of Q8_0, and the rounding of its scale to fp16.
        bound = np.abs(array).max() * (0.51 / 127 + 1e-3) if is_quantized(name, array) else 0
        assert np.abs(values - array).max() <= bound, name
    assert len(LAYER_NAMES) == len(set(LAYER_NAMES.values()))
    print(f"GGUF: {len(stored)} tensors, {os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--hf", required=True)
    arguments = parser.parse_args()
    model, _ = load_model(arguments.run)
    tokenizer = Tokenizer.load(os.path.join(arguments.run, "tokenizer.json"))
    check_chunk()
    check_tokenizer(tokenizer, arguments.hf)
    check_logits(model, tokenizer, arguments.hf)
    check_gguf(model, arguments.gguf)


if __name__ == "__main__":
    main()
