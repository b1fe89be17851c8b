"""The environment in which transformers renders chat templates (5.24, chat_template_utils), and the program's own engine."""
import datetime
import json
import os
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox
import jinja2.utils

BUILD = os.environ.get("TONGYUN_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build", "release"))
NOW = datetime.datetime(2026, 11, 24)       # jinja_lines has the same


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what the assistant said; its text is what is inside."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


class ChatNamespace(jinja2.utils.Namespace):
    """Its own attributes are what the template has put there, so nothing of it is reached through self."""

    def __init__(*args, **kwargs):
        self, *rest = args
        names = dict(*rest, **kwargs)
        for name in names:
            check_name(name)
        jinja2.utils.Namespace.__init__(self, names)

    def __setitem__(self, name, value):
        check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(name)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=raise_exception, strftime_now=NOW.strftime, namespace=ChatNamespace,
                       dict=lambda *args, **kwargs: dict(*args, **kwargs))
    return env


class Ours:
    """The engine in a process of its own; every answer is a text or an error."""

    def __enter__(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "model", "jinja_lines")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0

    def render(self, template, context):
        """(text, None), or (None, error)."""
        self.process.stdin.write(json.dumps({"template": template, "context": context}).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer.get("output"), answer.get("error")
