"""tools/goldens/make_sampling.py - what is left of random logits after transformers' processors.

    python tools/goldens/make_sampling.py       # writes tests/data/sampling.json

Each case has logits, prompt, answer, the settings that are not off, and the probability of every
token that may be drawn: softmax of what generate() would sample from. The list of processors and
its order are transformers' own; presence and frequency penalty, which it has not, stand behind the
repetition penalty by OpenAI's formula. Logits are distinct multiples of 1/256, and cases in which a
limit falls nearer than 1e-4 to a border are drawn again, so that last bits decide nothing.
"""
import json
import random
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM
from transformers.generation import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "sampling.json"
CASES = 180
FILTERS = {"temperature": (0.2, 2.0), "top_k": (1, 20), "top_p": (0.05, 0.98),
           "min_p": (0.01, 0.6), "typical_p": (0.1, 0.95)}
PENALTIES = {"repetition_penalty": (0.7, 1.6), "presence_penalty": (-1.5, 1.5),
             "frequency_penalty": (-1.0, 1.0)}

MODEL = Qwen3ForCausalLM(Qwen3Config(vocab_size=8, hidden_size=8, intermediate_size=8, head_dim=4,
                                     num_hidden_layers=1, num_attention_heads=2,
                                     num_key_value_heads=1))


def own_penalties(settings, answer, scores):
    """OpenAI: logit -= count * frequency + (count > 0) * presence, over the answer."""
    for token in set(answer):
        scores[0, token] -= (answer.count(token) * settings.get("frequency_penalty", 0)
                             + settings.get("presence_penalty", 0))
    return scores


def distribution(settings, logits, prompt, answer):
    known = {k: v for k, v in settings.items()
             if k not in ("presence_penalty", "frequency_penalty", "logit_bias")}
    bias = {(token,): value for token, value in settings.get("logit_bias", [])}
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **known},
                              sequence_bias=bias or None)
    processors = MODEL._get_logits_processor(
        generation_config=config, input_ids_seq_length=len(prompt), encoder_input_ids=None,
        prefix_allowed_tokens_fn=None, logits_processor=LogitsProcessorList())
    ids = torch.tensor([prompt + answer])
    scores = torch.tensor([logits], dtype=torch.float64)
    before = [p for p in processors if "Bias" in type(p).__name__]
    repetition = [p for p in processors if isinstance(p, RepetitionPenaltyLogitsProcessor)]
    rest = [p for p in processors if p not in before + repetition]
    assert list(processors) == before + repetition + rest
    for p in before + repetition:
        scores = p(ids, scores)
    scores = own_penalties(settings, answer, scores)
    for p in rest:
        scores = p(ids, scores)
    return torch.softmax(scores, -1)[0]


def moved(settings, by):
    """The settings with every limit a little to one side."""
    return {k: v * (1 + by) if k in ("top_p", "min_p", "typical_p") else v
            for k, v in settings.items()}


def draw_settings(r):
    settings = {}
    for name, (low, high) in {**FILTERS, **PENALTIES}.items():
        if r.random() < (0.45 if name in FILTERS else 0.3):
            settings[name] = (r.randint(low, high) if name == "top_k"
                              else round(r.uniform(low, high), 3))
    return settings


def draw_case(r):
    vocab = r.randint(2, 40)
    spread = r.choice((1, 3, 8))
    logits = [n / 256 for n in r.sample(range(-spread * 256, spread * 256), vocab)]
    settings = draw_settings(r)
    prompt = [r.randrange(vocab) for _ in range(r.randint(1, 12))]
    answer = [r.randrange(vocab) for _ in range(r.randint(0, 12))]
    if r.random() < 0.3:
        settings["logit_bias"] = [[t, round(r.uniform(-6, 6), 2)]
                                  for t in sorted(r.sample(range(vocab), r.randint(1, vocab)))]
    return {"settings": settings, "logits": logits, "prompt": prompt, "answer": answer}


def is_clear(case):
    inputs = case["logits"], case["prompt"], case["answer"]
    kept = [distribution(moved(case["settings"], by), *inputs) > 0 for by in (-1e-4, 0, 1e-4)]
    return torch.equal(kept[0], kept[1]) and torch.equal(kept[1], kept[2])


def main():
    r = random.Random(5)
    cases = []
    while len(cases) < CASES:
        case = draw_case(r)
        if not is_clear(case):
            continue
        p = distribution(case["settings"], case["logits"], case["prompt"], case["answer"])
        case["kept"] = [[i, float(f"{x:.9g}")] for i, x in enumerate(p.tolist()) if x > 0]
        cases.append(case)
    text = "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n"
    OUT.write_text(text, encoding="utf-8")
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
