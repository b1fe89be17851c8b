"""Tokenizer: byte-level BPE in the manner of Qwen, one token for each known Chinese character.

Merges stay inside single characters: a three-byte character is (first two bytes) + (third byte),
and characters share the first merge. So a line of verse has as many tokens as characters, which
is what makes line lengths easy to learn. The only other merges spell the role names of ChatML.
A character without a token is two or three tokens; English is one token a letter.
"""

import json
from collections import Counter

VOCAB_SIZE = 5888  # a multiple of 128
ROLES = ("system", "user", "assistant")
PUNCTUATION = "，。？！；：、《》「」『』“”‘’（）…—·　１２３"
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
# Qwen3.5's pre-tokenizer, as in transformers and llama.cpp ("qwen35").
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
           r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TRADITIONAL_WEIGHT = 0.25  # titles are asked for in traditional script one time in four


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters, spare = {b: chr(b) for b in printable}, 256
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(spare)
            spare += 1
    return letters


LETTERS = byte_alphabet()


def spell(text):
    return "".join(LETTERS[b] for b in text.encode())


def choose_characters(poems, required_texts):
    """Characters in order of worth: those the prompts need, then by frequency in the poems."""
    required = sorted({c for text in [*required_texts, PUNCTUATION] for c in text if ord(c) > 0x7F})
    score = Counter()
    for poem in poems:
        score.update("".join(poem.lines))
        score.update(poem.title)
    traditional = Counter("".join(poem.title_traditional for poem in poems))
    for character, count in traditional.items():
        score[character] += TRADITIONAL_WEIGHT * count
    ranked = sorted(score, key=lambda c: (-score[c], c))
    return required + [c for c in ranked if c not in set(required)]


class Tokenizer:
    """`tokens[id]` in the byte alphabet, `merges` as pairs, in order of rank."""

    def __init__(self, tokens, merges):
        assert len(tokens) == VOCAB_SIZE and len(set(tokens)) == VOCAB_SIZE
        self.tokens = tokens
        self.merges = merges
        self.id_of = {token: i for i, token in enumerate(tokens)}
        self.end_of_text, self.turn_start, self.turn_end = (self.id_of[s] for s in SPECIALS[:3])
        self.newline = self.id_of[LETTERS[0x0A]]
        self.role_ids = {role: self.id_of[role] for role in ROLES}
        self.character_ids = {}

    @classmethod
    def build(cls, poems, required_texts):
        tokens = [LETTERS[b] for b in sorted(LETTERS, key=lambda b: ord(LETTERS[b]))]
        heads, whole, roles = [], [], []
        for role in ROLES:
            roles += [(role[:n], role[n]) for n in range(1, len(role))]
        known_heads = set()
        room = VOCAB_SIZE - len(SPECIALS) - len(tokens) - len(roles)
        for character in choose_characters(poems, required_texts):
            spelled = spell(character)
            if len(spelled) not in (2, 3):
                continue
            head = spelled[:2] if len(spelled) == 3 else None
            if len(heads) + len(whole) + (2 if head not in known_heads else 1) > room:
                break
            if head and head not in known_heads:
                known_heads.add(head)
                heads.append((head[0], head[1]))
            whole.append((spelled[:-1], spelled[-1]))
        merges = roles + heads + whole
        tokens += [first + second for first, second in merges]
        # A last free place can remain when a character would have needed two.
        tokens += [f"[PAD{i}]" for i in range(VOCAB_SIZE - len(SPECIALS) - len(tokens))]
        return cls(tokens + list(SPECIALS), merges)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as source:
            stored = json.load(source)
        return cls(stored["tokens"], [tuple(pair) for pair in stored["merges"]])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as target:
            json.dump({"tokens": self.tokens, "merges": self.merges}, target, ensure_ascii=False)

    def knows(self, text):
        """Whether every character is one token."""
        return all(spell(c) in self.id_of for c in text)

    def encode_character(self, character):
        spelled = spell(character)
        whole = self.id_of.get(spelled)
        if whole is not None:
            return [whole]
        head = self.id_of.get(spelled[:2]) if len(spelled) == 3 else None
        rest = spelled[2:] if head is not None else spelled
        return ([head] if head is not None else []) + [self.id_of[letter] for letter in rest]

    def encode(self, text):
        """Ids of plain text, as BPE gives them: by character, then the merges of role names."""
        ids = []
        for character in text:
            if character not in self.character_ids:
                self.character_ids[character] = self.encode_character(character)
            ids += self.character_ids[character]
        return self.merge_ascii(ids)

    def merge_ascii(self, ids):
        for first, second in self.merges[:sum(len(role) - 1 for role in ROLES)]:
            a, b, merged = self.id_of[first], self.id_of[second], self.id_of[first + second]
            if a not in ids:
                continue
            out, i = [], 0
            while i < len(ids):
                pair = i + 1 < len(ids) and ids[i] == a and ids[i + 1] == b
                out.append(merged if pair else ids[i])
                i += 2 if pair else 1
            ids = out
        return ids

    def turn(self, role, content=None):
        """Ids of one ChatML turn; without content, the opening that asks for one."""
        opening = [self.turn_start, self.role_ids[role], self.newline]
        if content is None:
            return opening
        return opening + self.encode(content) + [self.turn_end, self.newline]

    def decode(self, ids):
        byte_of = {letter: byte for byte, letter in LETTERS.items()}
        text = "".join(self.tokens[i] for i in ids if self.tokens[i] not in SPECIALS)
        return bytes(byte_of[c] for c in text).decode("utf-8", errors="replace")
