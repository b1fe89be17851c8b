"""Corpus: from tang_poems.jsonl to clean poems in simplified script with title and form.

Input is the chinese-poetry collection (https://github.com/chinese-poetry/chinese-poetry, MIT),
one JSON object a line: title, author, paragraphs, in traditional script. Everything here is
deterministic: the same corpus and the same OpenCC version give the same poems in the same order.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import opencc

# (lines, characters a line) of the four regular forms; these are what users ask for.
REGULAR_FORMS = {
    (4, 5): "五言绝句",
    (4, 7): "七言绝句",
    (8, 5): "五言律诗",
    (8, 7): "七言律诗",
}
OLD_FORM_LINES_MAX = 16
TITLE_CHARS_MAX = 20
HELDOUT_GROUP_MAX = 4  # poems under one title; larger groups ("无题") always train

NUMERALS = "一二三四五六七八九十百"
MUSIC_BUREAU = {"雜曲歌辭", "相和歌辭", "郊廟歌辭", "鼓吹曲辭", "橫吹曲辭", "清商曲辭", "舞曲歌辭",
                "琴曲歌辭", "近代曲辭", "雜歌謠辭", "新樂府辭", "雜曲歌辞", "燕射歌辭"}
NAMELESS = {"不详", "不詳", "无名氏", "佚名", "无作"}


@dataclass(frozen=True)
class Poem:
    form: str
    title: str  # simplified; "" where the source has none that could be asked for
    title_traditional: str
    author: str  # simplified; "" for the nameless
    lines: tuple  # simplified, without punctuation

    def answer(self):
        """The text the model is to write: one couplet a line."""
        couplets = zip(self.lines[0::2], self.lines[1::2])
        return "\n".join(f"{first}，{second}。" for first, second in couplets)


def split_lines(text):
    """Verse lines of a poem or of a model's answer, punctuation and spaces removed."""
    return [line for line in re.split(r"[，。？！；、：,.?!;:\s]+", text) if line]


def is_han(text):
    return all("\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff" for c in text)


def form_of(lines):
    """Name of the form, or None when the lines are not regular."""
    lengths = {len(line) for line in lines}
    if len(lengths) != 1 or len(lines) % 2 or not all(map(is_han, lines)):
        return None
    length = lengths.pop()
    regular = REGULAR_FORMS.get((len(lines), length))
    if regular or length not in (5, 7) or not 6 <= len(lines) <= OLD_FORM_LINES_MAX:
        return regular
    return "五言古诗" if length == 5 else "七言古诗"


def clean_title(title):
    """Title without notes, music-bureau section, series count ("四首") and ordinal."""
    title = re.sub(r"[（(\[〈〖【{].*?[）)\]〉〗】}]", "", title)
    parts = [p for p in re.split(r"[\s/·]+", title) if p]
    while len(parts) > 1 and re.fullmatch(f"[其第]?[{NUMERALS}]+", parts[-1]):
        parts.pop()
    while len(parts) > 1 and parts[0] in MUSIC_BUREAU:
        parts.pop(0)
    title = parts[0] if parts else ""
    title = re.sub(f"[{NUMERALS}]+首$", "", title) or title
    usable = title != "句" and is_han(title) and len(title) <= TITLE_CHARS_MAX
    return title if usable else ""


def load_poems(path):
    """Distinct regular poems in corpus order. Also returns every simplified line of the corpus."""
    to_simplified = opencc.OpenCC("t2s")
    poems, all_lines, seen = [], set(), set()
    with open(path, encoding="utf-8") as source:
        for record in map(json.loads, source):
            text = unicodedata.normalize("NFC", "".join(record["paragraphs"]))
            text = re.sub("[「」『』“”]", "", to_simplified.convert(text))
            lines = split_lines(text)
            poem_lines = set(lines)
            all_lines |= poem_lines
            form = form_of(lines)
            # A poem half of whose lines are known is a variant of an earlier one.
            known = len(poem_lines & seen)
            seen |= poem_lines
            if form is None or re.search("[、：]", text) or 2 * known >= len(poem_lines):
                continue
            title = clean_title(unicodedata.normalize("NFC", record["title"]))
            author = to_simplified.convert(record["author"])
            poems.append(Poem(form, to_simplified.convert(title), title,
                              "" if author in NAMELESS else author, tuple(lines)))
    return poems, all_lines


def split_heldout(poems):
    """(training, held out): about one percent of the titles, with all poems under them."""
    group = Counter(poem.title for poem in poems)

    def is_heldout(poem):
        digest = hashlib.sha256(poem.title.encode()).digest()
        return poem.title != "" and group[poem.title] <= HELDOUT_GROUP_MAX and digest[0] < 3

    training = [poem for poem in poems if not is_heldout(poem)]
    return training, [poem for poem in poems if is_heldout(poem)]
