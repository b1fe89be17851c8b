"""Batches: one epoch's conversations as padded arrays of like length.

An epoch is a pure function of (poems, seed, epoch), so a resumed run continues where it stopped.
Every row holds one conversation and no poem sees another.
"""

import random as random_module
from dataclasses import dataclass

import numpy as np

from corpus import REGULAR_FORMS
from model import TOKENS_MAX

OLD_FORM_SHARE = 0.35  # of old-style poems seen in one epoch; users ask for the regular forms
DIALOGUE_SHARE = 0.05  # conversations about the model, per poem
ENGLISH_TOPIC_SHARE = 0.01
TWO_TURNS_SHARE = 0.03
SYSTEM_SHARE = 0.03
LENGTH_STEP = 8  # rows are padded to a multiple


@dataclass
class Batch:
    ids: np.ndarray  # [rows, tokens]
    # Flat indices into [rows * tokens] whose next token is to be learnt, and those tokens.
    positions: np.ndarray
    targets: np.ndarray


def encode_conversation(tokenizer, turns, system=""):
    """(ids, learnt): learnt[i] is true where ids[i] is part of an answer or ends it."""
    ids = tokenizer.turn("system", system) if system else []
    learnt = [False] * len(ids)
    for role, content in turns:
        turn = tokenizer.turn(role, content)
        opening = len(tokenizer.turn(role))
        own = role == "assistant"
        ids += turn
        learnt += [False] * opening + [own] * (len(turn) - opening - 1) + [False]
    # The newline after the last turn is never needed.
    return ids[:-1], learnt[:-1]


def epoch_conversations(poems, writer, tokenizer, systems, seed, epoch):
    random = random_module.Random(f"{seed}/{epoch}")
    regular = set(REGULAR_FORMS.values())
    drawn = [p for p in poems if p.form in regular or random.random() < OLD_FORM_SHARE]
    random.shuffle(drawn)
    turns = [writer.poem_turns(poem, random) for poem in drawn]
    turns += [writer.dialogue_turns(random) for _ in range(int(DIALOGUE_SHARE * len(drawn)))]
    topics = int(ENGLISH_TOPIC_SHARE * len(drawn))
    turns += [writer.english_topic_turns(random) for _ in range(topics)]
    random.shuffle(turns)
    pairs = int(TWO_TURNS_SHARE * len(turns))
    turns = [turns.pop() + turns.pop() for _ in range(pairs)] + turns
    for conversation in turns:
        system = random.choice(systems) if random.random() < SYSTEM_SHARE else ""
        ids, learnt = encode_conversation(tokenizer, conversation, system)
        if len(ids) <= TOKENS_MAX:
            yield ids, learnt


def padded_length(row):
    """Inputs of a conversation (ids, learnt), rounded up."""
    return -(-(len(row[0]) - 1) // LENGTH_STEP) * LENGTH_STEP


def pack(rows):
    """A Batch of conversations (ids, learnt)."""
    length = max(map(padded_length, rows))
    ids = np.zeros((len(rows), length + 1), np.int64)
    learnt = np.zeros((len(rows), length + 1), bool)
    for row, (row_ids, row_learnt) in enumerate(rows):
        ids[row, :len(row_ids)] = row_ids
        learnt[row, :len(row_ids)] = row_learnt
    positions = np.flatnonzero(learnt[:, 1:])
    return Batch(ids[:, :-1], positions, ids[:, 1:].reshape(-1)[positions])


def epoch_batches(conversations, tokens_max, random):
    """Batches of at most tokens_max padded tokens, in random order."""
    rows = sorted(conversations, key=lambda row: (padded_length(row), random.random()))
    batches, start = [], 0
    for end in range(1, len(rows) + 1):
        full = end == len(rows) or padded_length(rows[end]) * (end + 1 - start) > tokens_max
        if full:
            batches.append(rows[start:end])
            start = end
    random.shuffle(batches)
    return [pack(batch) for batch in batches]
