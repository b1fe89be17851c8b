"""tools/goldens/make_jinja_cases.py - small templates with what the Hugging Face environment says.

    python tools/goldens/make_jinja_cases.py       # writes tests/data/jinja_cases.json

The environment is transformers' own: immutable sandbox, trim_blocks, lstrip_blocks, loopcontrols,
its tojson, raise_exception, strftime_now. All cases share one context. A case has name, level,
template, and either output or error: the message of raise_exception, else true (any failure will
do). Level "core" is what the chat templates of Qwen use, "extra" is the rest of the language. The
templates are in jinja_templates.json.
"""
import json
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template

TEMPLATES = Path(__file__).with_name("jinja_templates.json")
OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "jinja_cases.json"

MESSAGES = [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "你好"},
            {"role": "assistant", "content": None,
             "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [True, None]}}}]},
            {"role": "tool", "content": "42"}]
CONTEXT = {
    "s": "Hello", "n": 3, "f": 1.5, "t": True, "no": False, "nil": None, "l": [1, 2, 3, 4], "e": [],
    "d": {"b": 1, "a": "two", "items": 9}, "words": ["x", "yy", "zzz"],
    "u": "通云\n\"q\" <&>'", "messages": MESSAGES}


def case(name, level, template):
    row = {"name": name, "level": level, "template": template}
    try:
        row["output"] = _compile_jinja_template(template).render(**CONTEXT)
    except jinja2.exceptions.TemplateError as error:
        raised = type(error) is jinja2.exceptions.TemplateError and "raise_exception" in template
        row["error"] = error.message if raised else True
    except (TypeError, ValueError, ArithmeticError, SyntaxError):
        row["error"] = True
    return row


def main():
    groups = json.loads(TEMPLATES.read_text(encoding="utf-8"))
    rows = [case(f"{group} {level} {i + 1}", level, template)
            for group, levels in groups.items() for level, templates in levels.items()
            for i, template in enumerate(templates)]
    core = sum(row["level"] == "core" for row in rows)
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in rows)
    text = ('{\n "context": ' + json.dumps(CONTEXT, ensure_ascii=True) + ',\n "cases": [\n'
            + lines + "\n ]\n}\n")
    assert json.loads(text)
    OUT.write_text(text, encoding="utf-8")
    failing = sum("error" in row for row in rows)
    print(f"{len(rows)} cases, {core} core, {failing} errors, {len(text)} bytes")


if __name__ == "__main__":
    main()
