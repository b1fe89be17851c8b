"""Random conversations as clients send them, from a seed: tools, calls with nested arguments, thoughts, empty and missing fields."""
import json

WORDS = ["hi", " a b ", "你好\n", "", "<think>x</think>y", "</think>", "\n\nq\n", "tail ", "😀", "'q' \"d\"", "<tool_call>", "a\\b", "1.5",
         "```py\nx```", "<tool_response>\nz\n</tool_response>", "\u2028", "{{ x }}", "{% y %}", "é\u0301", "\t"]


class Conversations:
    def __init__(self, random):
        self.r = random

    def text(self):
        return "".join(self.r.choice(WORDS) for _ in range(self.r.randint(0, 3)))

    def value(self, depth=0):
        r = self.r
        return r.choice((
            lambda: r.randint(-5, 10**12), lambda: r.choice((0.5, 1e20, -2.0, 1e-7)), lambda: r.random() < 0.5, lambda: None, self.text, self.text,
            *((lambda: [self.value(depth + 1) for _ in range(r.randint(0, 3))],
               lambda: {r.choice("abcde") + r.choice(("", "x", "名")): self.value(depth + 1) for _ in range(r.randint(0, 4))}) if depth < 3 else ()),
        ))()

    def call(self, number):
        r = self.r
        arguments = {r.choice(("city", "n", "opts", "items", "名")): self.value() for _ in range(r.randint(0, 4))}
        function = {"name": r.choice(("f", "get_weather")), "arguments": arguments if r.random() < 0.9 else json.dumps(arguments)}
        return function if r.random() < 0.1 else {"id": f"call_{number}", "type": "function", "function": function}

    def tool(self):
        r = self.r
        properties = {name: {"type": r.choice(("string", "integer", ["string", "null"])), "description": self.text(), **r.choice(({}, {"enum": ["a", "b"]}))}
                      for name in r.sample(["city", "n", "opts"], r.randint(0, 3))}
        parameters = {"type": "object", "properties": properties, "required": r.sample(["city", "n"], r.randint(0, 2))}
        function = {"name": r.choice(("f", "get_weather")), "description": self.text(), "parameters": parameters}
        return function if r.random() < 0.05 else {"type": "function", "function": function}

    def assistant(self):
        r = self.r
        message = {"role": "assistant", "content": r.choice((self.text(), self.text(), None, ""))}
        if r.random() < 0.3:
            message["reasoning_content"] = r.choice((self.text(), None))
        if r.random() < 0.4:
            message["tool_calls"] = [self.call(i) for i in range(r.randint(0, 2))]
        if r.random() < 0.1:
            del message["content"]
        return message

    def messages(self):
        r = self.r
        messages = []
        if r.random() < 0.5:
            messages.append({"role": r.choice(("system", "system", "developer")), "content": self.text()})
        for _ in range(r.randint(1, 4)):
            parts = [{"type": "text", "text": self.text()}, {"type": r.choice(("text", "image")), "text": self.text()}]
            messages.append({"role": "user", "content": self.text() if r.random() < 0.8 else parts})
            if r.random() < 0.7:
                messages.append(self.assistant())
                for _ in messages[-1].get("tool_calls") or []:
                    messages.append({"role": "tool", "content": r.choice((self.text(), self.text(), json.dumps(self.value()), self.value(1))), "name": "f"})
        return messages if r.random() > 0.05 else []

    def context(self):
        r = self.r
        context = {"messages": self.messages(), "tools": r.choice((None, [], [self.tool() for _ in range(r.randint(1, 3))])),
                   "add_generation_prompt": r.random() < 0.5, "bos_token": "<s>", "eos_token": "</s>"}
        for name, chance, values in (("enable_thinking", 0.4, (True, False)), ("preserve_thinking", 0.2, (True, False)),
                                     ("reasoning_effort", 0.2, ("low", "medium", "high", "xhigh", "none")), ("add_vision_id", 0.1, (True,))):
            if r.random() < chance:
                context[name] = r.choice(values)
        return context
