"""Trains the poet that ships inside the program: corpus -> tokenizer -> weights -> GGUF.

    python tools/train_poet --corpus tang_poems.jsonl --run RUN

Stop it at any time (SIGTERM saves first); the same command resumes from RUN. Uses a GPU if there
is one. When the last step is done it writes RUN/poet.gguf and the folder RUN/poet-hf.
"""

import argparse
import json
import os
from collections import Counter
from types import SimpleNamespace

import torch

import export
from corpus import load_poems, split_heldout
from prompts import PromptWriter, dialogue_texts
from tokenizer import Tokenizer
from training import Trainer

TOPIC_COUNT_MIN = 25  # a two-character word this frequent may be asked for as theme
AUTHOR_POEMS_MIN = 60  # an author with as many poems may be asked for as model


def prepare(corpus, run):
    """Poems to train on and to hold out, the prompt writer and the tokenizer."""
    poems, _ = load_poems(corpus)
    training, heldout = split_heldout(poems)
    writer = make_writer(training)
    path = os.path.join(run, "tokenizer.json")
    if os.path.exists(path):
        tokenizer = Tokenizer.load(path)
    else:
        traditional = [writer.to_traditional.convert(text) for text in dialogue_texts()]
        tokenizer = Tokenizer.build(training, dialogue_texts() + traditional)
        tokenizer.save(path)
    # Poems with characters too rare for a token would only teach the model to break lines.
    training = [p for p in training if tokenizer.knows("".join(p.lines))]
    heldout = [p for p in heldout if tokenizer.knows("".join(p.lines))]
    return SimpleNamespace(poems=training, heldout=heldout, writer=writer, tokenizer=tokenizer)


def make_writer(poems):
    words, authors = Counter(), Counter()
    for poem in poems:
        words.update(line[i:i + 2] for line in poem.lines for i in range(len(line) - 1))
        authors[poem.author] += 1
    topics = {word for word, count in words.items() if count >= TOPIC_COUNT_MIN}
    named = {name for name, count in authors.items() if name and count >= AUTHOR_POEMS_MIN}
    writer = PromptWriter(topics, named)
    writer.index_english_topics(poems)
    return writer


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="tang_poems.jsonl")
    parser.add_argument("--run", required=True, help="folder of this run, made if missing")
    parser.add_argument("--steps", type=int, default=2380)
    parser.add_argument("--grow-step", type=int, default=1350)
    parser.add_argument("--decay-steps", type=int, default=1740)
    parser.add_argument("--step-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    os.makedirs(arguments.run, exist_ok=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    schedule = os.path.join(arguments.run, "schedule.json")
    if not os.path.exists(schedule):
        with open(schedule, "w", encoding="utf-8") as target:
            json.dump({"grow_step": arguments.grow_step, "steps": arguments.steps,
                       "decay_steps": arguments.decay_steps}, target)
    data = prepare(arguments.corpus, arguments.run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{len(data.poems)} poems, {len(data.heldout)} held out, {device}", flush=True)
    trainer = Trainer(arguments.run, data, arguments.step_tokens, device)
    trainer.resume()
    trainer.train()
    export.write_gguf(trainer.path("poet.gguf"), trainer.model, data.tokenizer)
    export.write_hf(trainer.path("poet-hf"), trainer.model, data.tokenizer)


if __name__ == "__main__":
    main()
