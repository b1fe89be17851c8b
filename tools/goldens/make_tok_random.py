"""tools/goldens/make_tok_random.py - random Unicode strings with their ids.

    python tools/goldens/make_tok_random.py        # writes tests/data/tok_random.json

Vocabulary of Qwen2, no added tokens, both splitting patterns, with NFC and (`_raw`) without; by
Hugging Face tokenizers. Strings join pieces that are each a trap. Only code points that Unicode 3.2
knew already (and emoji up to Unicode 12) are drawn at random, so that the age of a library's tables
does not matter.
"""
import json
import random
import unicodedata
from pathlib import Path

import make_tokenizer_json

COUNT = 300
OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "tok_random.json"
OLD = unicodedata.ucd_3_2_0

PIECES = {
    "word": ["Hello", "world", "the", "CODE", "naïve", "Straße", "ﬁn", "İstanbul", "ǅ", "x",
             "tokens"],
    "short": ["'s", "'S", "'t", "'RE", "'ve", "'m", "'ll", "'LL", "'d", "'D", "'ſ", "'ſt", "’s",
              "'k", "''s", "'l", "'r", "'v"],
    "space": [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\n ", "\t\t ", "\u0085",
              "\u00a0", "\u3000", "\u2028", "\u2029", "\u2003", "\u202f", "\u205f", "\u1680",
              "\v", "\f", " \u00a0", "\u3000\n", "\u200b", "\ufeff", "\u2060"],
    "number": ["0", "42", "2024", "٣٤", "Ⅷ", "½", "①", "²", "३", "๕", "〇", "1e5", "3.14", "𝟘𝟙"],
    "punctuation": ["!", "...", "?!", "——", "。", "，", "「", "」", "《", "…", "$", "€", "+=", "//",
                    "/*", "*/\n", "({[", "`", "~~", "_", "__init__", "#!", "¿", "\\", "\"", "|>"],
    "han": ["床前明月光", "你好", "世界", "通云", "豈", "﨑", "𠮷", "㐀", "龍", "々", "〆"],
    "kana": ["カタカナ", "ひらがな", "か\u3099", "は\u309a", "ｶﾞ", "ー", "が"],
    "hangul": ["한국어", "\u1112\u1161\u11ab", "\uac00\u11a8", "\u1100\u1161", "텍스트", "ㅎ"],
    "latin_marks": ["e\u0301", "é", "a\u030a\u0301", "q\u0323\u0307", "q\u0307\u0323",
                    "o\u0308", "s\u0323\u0307", "\u0344", "n\u0303", "Z\u0351\u0344\u035e",
                    "\u212b", "\u2126", "\u212a", "\u1e9b\u0323", "i\u0307", "\u0301", " \u0301x",
                    "1\u0301", "!\u0301"],
    "indic": ["हिन्दी", "क्ष", "\u0958", "ড়", "தமிழ்", "ಕನ್ನಡ",
              "ไทยนี้", "ລາວ", "မြန်မာ", "ខ្មែរ", "བོད"],
    "semitic": ["مرحبا", "بِسْمِ", "שָׁלוֹם", "\ufb2a", "ـ", "لا", "۝"],
    "other": ["Привет", "Ёё", "Ελληνικά", "ά", "Ὅμηρος", "ქართული", "Հայ", "ᎣᏏᏲ", "ᚠᚢ", "ϑ", "ꙮ"],
    "emoji": ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇨🇳", "❤️", "☃", "1️⃣", "🧑‍🚀", "\u200d", "\ufe0f"],
    "control": ["\x01", "\x1b[0m", "\x7f", "\x1c", "\x1f", "\x80", "\x9f", "\xad", "\u200e",
                "\u202e", "\u2066", "\ue000", "\ufffd", "\U000e0041", "\U00100000"],
}


def old_character(draw):
    """A code point of the BMP or of the old planes, assigned since Unicode 3.2 with one class."""
    while True:
        point = draw.choice((draw.randrange(0x80, 0x3400), draw.randrange(0x80, 0x3400),
                             draw.randrange(0xa000, 0xfffe), draw.randrange(0x10300, 0x10450),
                             draw.randrange(0x1d100, 0x1d7ff), draw.randrange(0x20000, 0x2a6d0)))
        c = chr(point)
        kind = OLD.category(c)
        if kind not in ("Cn", "Cs") and kind == unicodedata.category(c):
            return c


def random_string(draw):
    """A few pieces, single random characters between them."""
    kinds = draw.sample(sorted(PIECES), draw.randint(1, 4))
    parts = []
    for _ in range(draw.randint(1, 10)):
        roll = draw.random()
        if roll < 0.15:
            parts.append(old_character(draw))
        elif roll < 0.30:
            parts.append(draw.choice(PIECES["space"]))
        else:
            parts.append(draw.choice(PIECES[draw.choice(kinds)]))
    return "".join(parts)


def main():
    draw = random.Random(20)
    strings = ["", *(piece for kind in ("short", "space") for piece in PIECES[kind])]
    strings = strings[:COUNT // 6]
    while len(strings) < COUNT:
        text = random_string(draw)
        if text not in strings:
            strings.append(text)
    makers = {pattern + suffix: make_tokenizer_json.qwen2(pattern, nfc)
              for pattern in ("qwen2", "qwen35") for suffix, nfc in (("", True), ("_raw", False))}
    rows = []
    for text in strings:
        ids = {name: maker.encode(text).ids for name, maker in makers.items()}
        assert makers["qwen2_raw"].decode(ids["qwen2_raw"]) == text, text
        rows.append(json.dumps({"text": text, **ids}, ensure_ascii=True, separators=(",", ":")))
    OUT.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
    differ = {name: sum(json.loads(r)[name] != json.loads(r)["qwen2"] for r in rows)
              for name in makers}
    print(f"{len(rows)} strings, {OUT.stat().st_size} bytes; ids unlike qwen2: {differ}")


if __name__ == "__main__":
    main()
