"""Evaluation: does the poet keep to the form, and are its lines its own?

Against a server, through the OpenAI-compatible API:
    python tools/train_poet/evaluate.py --corpus tang_poems.jsonl --base-url http://HOST:PORT/v1
or on a checkpoint of a run, without a server:
    python tools/train_poet/evaluate.py --corpus tang_poems.jsonl --checkpoint RUN

One poem for each entry of heldout_titles.json (25 titles for each regular form, none of them seen
in training), at temperature 0.8. Prints the share of poems with the right number and length of
lines, with a line of the corpus, and with a line said twice; then the answers to questions about
the model in wordings that were not trained.
"""

import argparse
import json
import os
import time
import urllib.request

import opencc

from corpus import form_of, load_poems, split_heldout, split_lines

TEMPERATURE = 0.8
ANSWER_TOKENS_MAX = 200
LINE_CHARS_MIN = 5  # shorter lines are no verse and say nothing about copying
# Taken in turn, so one request in four is in traditional script.
WORDINGS = ["写一首{form}，题为{title}", "請寫一首{form}，題目是《{title}》",
            "以「{title}」为题写一首{form}", "{form}：{title}"]
TITLES_PER_FORM = 25


def titles_path():
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "heldout_titles.json")


def requests():
    """(form, prompt) for each held-out title."""
    to_traditional = opencc.OpenCC("s2t")
    with open(titles_path(), encoding="utf-8") as source:
        entries = json.load(source)
    for index, entry in enumerate(entries):
        prompt = WORDINGS[index % len(WORDINGS)].format(**entry)
        if prompt.startswith("請"):
            prompt = to_traditional.convert(prompt)
        yield entry["form"], prompt


def choose_titles(corpus):
    """25 held-out titles a form, short ones as people would ask for; own form where there is."""
    poems, _ = load_poems(corpus)
    _, heldout = split_heldout(poems)
    usable = [p for p in heldout if 2 <= len(p.title) <= 8]
    entries, used = [], set()
    for form in ("五言绝句", "七言绝句", "五言律诗", "七言律诗"):
        own = [p.title for p in usable if p.form == form]
        other = [p.title for p in usable if p.form.endswith("古诗")]
        titles = [t for t in dict.fromkeys(own + other) if t not in used][:TITLES_PER_FORM]
        used.update(titles)
        entries += [{"form": form, "title": title} for title in titles]
    return entries


class Server:
    """Answers through POST /chat/completions."""

    def __init__(self, base_url, key, model):
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.key, self.model = key, model

    def answers(self, prompts, temperature):
        return [self.answer(p, temperature, seed) for seed, p in enumerate(prompts)]

    def answer(self, prompt, temperature, seed):
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}],
                "temperature": temperature, "max_tokens": ANSWER_TOKENS_MAX, "seed": seed}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["choices"][0]["message"]["content"]


class Checkpoint:
    """Answers of the PyTorch model, all prompts in step, token by token."""

    def __init__(self, run, seed):
        import torch

        from export import load_model
        from tokenizer import Tokenizer
        torch.manual_seed(seed)
        self.torch = torch
        self.model, progress = load_model(run)
        self.tokenizer = Tokenizer.load(os.path.join(run, "tokenizer.json"))
        print(f"checkpoint at step {progress['step']}, {progress['tokens']} tokens")

    def answers(self, prompts, temperature):
        torch, tokenizer = self.torch, self.tokenizer
        rows = [tokenizer.turn("user", p) + tokenizer.turn("assistant") for p in prompts]
        starts = [len(row) for row in rows]
        caches = [{} for _ in range(self.model.shape.layers)]
        ended = [False] * len(rows)
        for position in range(max(starts) + ANSWER_TOKENS_MAX):
            ids = torch.tensor([[row[position]] for row in rows])
            with torch.no_grad():
                hidden = self.model.model(ids, caches, position)[:, 0]
                chances = (self.model.logits(hidden) / max(temperature, 1e-4)).softmax(-1)
            drawn = torch.multinomial(chances, 1)[:, 0].tolist()
            for i, row in enumerate(rows):
                if position + 1 == len(row):
                    row.append(drawn[i])
                    ended[i] = ended[i] or drawn[i] == tokenizer.turn_end
            if all(ended):
                break
        answers = []
        for row, start in zip(rows, starts):
            answer = row[start:]
            end = answer.index(tokenizer.turn_end) if tokenizer.turn_end in answer else None
            answers.append(tokenizer.decode(answer[:end]))
        return answers


def judge(form, answer, known_lines):
    """(right form, repeats a line of the corpus, repeats a line inside)."""
    lines = split_lines(answer)
    verses = [line for line in lines if len(line) >= LINE_CHARS_MIN]
    copied = any(line in known_lines for line in verses)
    return form_of(lines) == form, copied, len(set(verses)) < len(verses)


def evaluate_poems(source, known_lines, show):
    asked = list(requests())
    begin = time.monotonic()
    answers = source.answers([prompt for _, prompt in asked], TEMPERATURE)
    seconds = time.monotonic() - begin
    verdicts = [judge(form, answer, known_lines) for (form, _), answer in zip(asked, answers)]
    for form in dict.fromkeys(form for form, _ in asked):
        right = [v[0] for v, (f, _) in zip(verdicts, asked) if f == form]
        print(f"{form}: right form {sum(right)} of {len(right)}")
    for index, name in enumerate(("right form", "repeats a line of the corpus",
                                  "repeats a line inside")):
        count = sum(verdict[index] for verdict in verdicts)
        print(f"{name}: {count} of {len(verdicts)} ({100 * count / len(verdicts):.1f} %)")
    print(f"{seconds:.1f} s")
    step = max(1, len(asked) // show) if show else len(asked) + 1
    for (_, prompt), answer, verdict in list(zip(asked, answers, verdicts))[::step]:
        print(f"\n[{prompt}] {verdict}\n{answer}")


def evaluate_dialogue(source):
    from prompts import ANSWERS, HELDOUT_QUESTIONS
    questions = [question for question, _, _ in HELDOUT_QUESTIONS]
    answers = source.answers(questions, TEMPERATURE)
    for (question, kind, language), answer in zip(HELDOUT_QUESTIONS, answers):
        mark = "as trained" if answer == ANSWERS[language][kind] else "differs"
        print(f"\n[{question}] {mark}\n{answer}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--base-url", help="of the API, with its /v1")
    parser.add_argument("--key", default=os.environ.get("OPENAI_API_KEY", ""))
    parser.add_argument("--model", default="tongyun-poet")
    parser.add_argument("--checkpoint", help="run folder")
    parser.add_argument("--seed", type=int, default=1, help="of sampling from a checkpoint")
    parser.add_argument("--show", type=int, default=8, help="poems to print")
    parser.add_argument("--write-titles", action="store_true", help="make heldout_titles.json anew")
    arguments = parser.parse_args()
    if arguments.write_titles:
        rows = [json.dumps(entry, ensure_ascii=False) for entry in choose_titles(arguments.corpus)]
        with open(titles_path(), "w", encoding="utf-8") as target:
            target.write("[\n" + ",\n".join(rows) + "\n]\n")
        return
    if arguments.checkpoint:
        source = Checkpoint(arguments.checkpoint, arguments.seed)
    else:
        source = Server(arguments.base_url, arguments.key, arguments.model)
    _, known_lines = load_poems(arguments.corpus)
    evaluate_poems(source, known_lines, arguments.show)
    evaluate_dialogue(source)


if __name__ == "__main__":
    main()
