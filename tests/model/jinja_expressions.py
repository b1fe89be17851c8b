"""Random templates of Jinja's own features, from a seed: expressions of every kind, and statements around them.

Types mostly fit, so that most templates render; sometimes they do not, so that errors are compared too."""
import json

CONTEXT = {
    "s": "Hello wörld", "u": "通云 <&>'\"\n", "empty": "", "n": 3, "zero": 0, "big": 10**12, "f": 1.5, "t": True,
    "no": False, "nil": None, "l": [3, 1, 2], "words": ["b", "A", "cc", "a b"], "mixed": [1, "x", None, 2.5, True, [1]],
    "d": {"b": 1, "a": "two", "items": 9, "名": [1]}, "e": [], "o": {},
    "rows": [{"k": "x", "v": 2, "deep": {"w": 1}}, {"k": "Y", "v": 1}, {"k": "x", "v": 3, "deep": {"w": "q"}}],
    "tree": [{"n": "a", "c": [{"n": "b", "c": []}, {"n": "c", "c": [{"n": "d", "c": []}]}]}, {"n": "e", "c": []}],
}
STRINGS = ["s", "u", "empty", "'a,b,,c'", "'  pad\\t'", "'xX1'", "'two\\nlines\\n'", "'%s|%s'", "'{} {}'", "'é'", "'-7'", "'3.5'",
           "'<b>'", "d.a", "words[0]", "rows[0].k", "'aaa'", "''", "'true'", "'Ab Cd-eF'", "'٣½²'", "'\\u2028x'"]
INTS = ["n", "zero", "1", "2", "-1", "5", "big", "l[0]", "l|length", "rows[1].v", "loop.index", "t"]
FLOATS = ["f", "0.5", "-2.25", "1e20", "3.0", "1e-7"]
LISTS = ["l", "words", "mixed", "e", "rows", "[1, 'a']", "(1, 2)", "range(4)", "d|list", "s|list", "[[1, 2], [3]]", "range(1, 9, 3)"]
DICTS = ["d", "o", "{'x': 1, 'y': [2]}", "rows[0]", "dict(a=1)", "{1: 'one', none: 2}"]


class Expressions:
    def __init__(self, random):
        self.r = random

    def any(self, depth):
        return self.r.choice((self.string, self.integer, self.real, self.boolean, self.list, self.dict, self.lost))(depth)

    def lost(self, _):
        return self.r.choice(("nil", "missing", "d.missing", "none", "l[9]", "d['x y']"))

    def wrong(self, kind, depth):
        """Mostly of the kind that fits."""
        return kind(depth) if self.r.random() < 0.93 else self.any(depth)

    def string(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.25:
            return r.choice(STRINGS)
        s, d = (lambda: self.wrong(self.string, depth - 1)), depth - 1
        return r.choice((
            lambda: f"({s()} + {s()})", lambda: f"({self.any(d)} ~ {self.any(d)})", lambda: f"({s()} * {r.randint(-1, 3)})",
            lambda: f"{s()}{self.str_filter(d)}", lambda: f"{s()}{self.str_filter(d)}", lambda: f"({s()}){self.str_method(d)}",
            lambda: f"({s()}){self.str_method(d)}", lambda: f"({s()}){self.slice()}", lambda: f"({s()})[{self.integer(0)}]",
            lambda: f"({s()} if {self.boolean(d)} else {s()})", lambda: f"({self.any(d)})|string", lambda: self.formatted(d),
            lambda: f"({self.any(d)})|tojson{self.json_arguments()}", lambda: f"({self.wrong(self.list, d)})|join({r.choice(['', s()])})",
            lambda: f"({s()})|safe", lambda: f"({self.any(d)})|default({s()}{r.choice(['', ', true'])})",
            lambda: f"({self.wrong(self.list, d)})|{r.choice(['first', 'last', 'min', 'max'])}",
        ))()

    def str_filter(self, depth):
        r = self.r
        return "|" + r.choice((
            "upper", "lower", "title", "capitalize", "trim", f"trim({r.choice(STRINGS)})", "escape", "e", "forceescape", "reverse",
            f"replace({r.choice(STRINGS)}, {r.choice(STRINGS)}{r.choice(['', ', 1', ', 0'])})", f"indent({r.choice(['', '2', 'first=true', chr(39) + '> ' + chr(39), '1, true, true'])})",
            f"center({r.randint(0, 12)})", f"truncate({r.choice(['5', '8, true', '4, false, ' + chr(39) + chr(39), '6, true, ' + chr(39) + '<' + chr(39) + ', 0', '9, leeway=0'])})",
            "urlencode", "string", "safe", "first", "last", f"default('x', {r.choice(['true', 'false'])})", "length", "wordcount",
            "int", "float", "list", f"format({self.any(0)}, {self.any(0)})", "unique|join", "sort|join('.')", "tojson",
            "nosuchfilter" if r.random() < 0.02 else "trim"))

    def str_method(self, depth):
        r = self.r
        a, b = r.choice(STRINGS), r.choice(STRINGS)
        n = r.choice(("", "1", "-1", "2", "0"))
        return "." + r.choice((
            f"strip({r.choice(['', a])})", f"lstrip({r.choice(['', a])})", f"rstrip({r.choice(['', a])})", f"split({a})", "split()",
            f"split({a}, 1)", f"rsplit({a}, 1)", "split(none, 1)", "splitlines()", "splitlines(true)", "upper()", "lower()", "title()",
            "capitalize()", "swapcase()", f"replace({a}, {b})", f"replace({a}, {b}, 1)", f"startswith({a})", f"endswith({a})",
            f"startswith(({a}, {b}))", f"startswith({a}, 1)", f"endswith({a}, 0, -1)", f"find({a})", f"rfind({a})", f"count({a})",
            f"find({a}, {n or 0})", f"index({a})", f"rindex({a})", f"join({r.choice(LISTS)})", f"partition({a})", f"rpartition({a})",
            f"removeprefix({a})", f"removesuffix({a})", f"ljust({r.randint(0, 9)})", f"rjust({r.randint(0, 9)}, '*')",
            f"center({r.randint(0, 12)}, '-')", f"zfill({r.randint(0, 9)})", "isdigit()", "isdecimal()", "isalpha()", "isalnum()", "isspace()",
            "isupper()", "islower()", "isascii()", "isprintable()", f"format({self.any(0)}, {self.any(0)}, k={self.any(0)})", "nosuch()", "length"))

    def formatted(self, depth):
        r = self.r
        if r.random() < 0.5:
            conversion = r.choice(("%s", "%d", "%5d", "%-5s|", "%05.1f", "%x", "%r", "%.2f", "%%", "%+d", "%c", "%.1s", "%e", "%g", "%#o"))
            return f"('{conversion} {r.choice(['', '%s'])}' % {r.choice([self.any(0), '(' + self.any(0) + ', ' + self.any(0) + ')'])})"
        field = r.choice(("{}", "{0}", "{k}", "{:>6}", "{:<4}|", "{:^7}", "{:*^7}", "{:05d}", "{:,}", "{:.2f}", "{!r}", "{:x}", "{:+}", "{0[0]}",
                          "{k.v}", "{:%}", "{:e}", "{{}}", "{:>{}}", "{:s}", "{:.3}", "{:b}", "{:#x}", "{:g}", "{"))
        return f"'{field}'.format({self.any(0)}, {self.any(0)}, k={self.any(0)})"

    def json_arguments(self):
        return self.r.choice(("", "", "(indent=2)", "(ensure_ascii=true)", "(sort_keys=true)", "(separators=(',', ':'))", "(indent=0)"))

    def slice(self):
        bound = lambda: self.r.choice(("", "", "1", "-1", "2", "-3", "n", "none"))
        step = self.r.choice(("", "", ":", ":2", ":-1", ":-2"))
        return f"[{bound()}:{bound()}{step}]"

    def integer(self, depth):
        r, d = self.r, depth - 1
        if depth <= 0 or r.random() < 0.3:
            return r.choice(INTS)
        i = lambda: self.wrong(self.integer, d)
        return r.choice((
            lambda: f"({i()} {r.choice('+-*')} {i()})", lambda: f"({i()} // {i()})", lambda: f"({i()} % {i()})", lambda: f"(-{i()})",
            lambda: f"({self.any(d)})|length", lambda: f"({self.any(d)})|int{r.choice(['', '(7)', '(default=1)'])}", lambda: f"({i()})|abs",
            lambda: f"({self.list(d)})|sum{r.choice(['', '(start=1)'])}", lambda: f"({self.list(d)}).{r.choice(['count', 'index'])}({self.any(0)})",
            lambda: f"({i()} ** {r.choice('012')})", lambda: f"({i()} if {self.boolean(d)} else {i()})", lambda: f"({self.string(d)})|wordcount",
        ))()

    def real(self, depth):
        r, d = self.r, depth - 1
        if depth <= 0 or r.random() < 0.4:
            return r.choice(FLOATS)
        f = lambda: self.wrong(self.real, d)
        return r.choice((
            lambda: f"({f()} {r.choice('+-*/')} {f()})", lambda: f"({self.integer(d)} / {self.integer(d)})",
            lambda: f"({f()})|round{r.choice(['', '(1)', '(2)', '(1, ' + chr(39) + 'floor' + chr(39) + ')', '(0, ' + chr(39) + 'ceil' + chr(39) + ')'])}",
            lambda: f"({self.any(d)})|float", lambda: f"({f()})|abs", lambda: f"(-{f()})",
        ))()

    def boolean(self, depth):
        r, d = self.r, depth - 1
        if depth <= 0 or r.random() < 0.2:
            return r.choice(("t", "no", "true", "false", "True", "not t", "nil", "s", "e"))
        a = lambda: self.any(d)
        return r.choice((
            lambda: f"({self.integer(d)} {r.choice(['<', '<=', '>', '>=', '==', '!='])} {self.integer(d)})", lambda: f"({a()} == {a()})",
            lambda: f"({a()} {r.choice(['in', 'not in'])} {self.wrong(self.list, d)})", lambda: f"({self.string(d)} in {self.wrong(self.string, d)})",
            lambda: f"({a()} in {self.dict(d)})", lambda: f"({a()} {r.choice(['and', 'or'])} {a()})", lambda: f"(not {a()})",
            lambda: f"({a()} is {r.choice(['', 'not '])}{self.test()})", lambda: f"({a()} is {r.choice(['', 'not '])}{self.test()})",
            lambda: f"({self.integer(d)} < {self.integer(d)} <= {self.integer(d)})", lambda: f"({self.string(d)} {r.choice(['<', '>=', '==', '!='])} {self.wrong(self.string, d)})",
            lambda: f"({self.list(d)} {r.choice(['<', '=='])} {self.list(d)})",
        ))()

    def test(self):
        r = self.r
        return r.choice((
            "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "sequence", "iterable",
            "callable", "odd", "even", "upper", "lower", "escaped", f"divisibleby({r.randint(1, 3)})", f"divisibleby {r.randint(1, 3)}",
            f"eq({self.any(0)})", f"ne {r.choice(INTS[:4])}", f"gt({self.integer(0)})", f"lt({self.integer(0)})", f"ge({self.integer(0)})",
            f"le({self.integer(0)})", f"in({r.choice(LISTS)})", f"sameas({r.choice(['none', 'true', 'false'])})", "filter", "test",
            "nosuchtest" if r.random() < 0.03 else "defined"))

    def list(self, depth):
        r, d = self.r, depth - 1
        if depth <= 0 or r.random() < 0.25:
            return r.choice(LISTS)
        x = lambda: self.wrong(self.list, d)
        return r.choice((
            lambda: f"({x()} + {x()})", lambda: f"({x()}){self.slice()}", lambda: f"({x()} * {r.randint(-1, 2)})", lambda: f"({x()})|list",
            lambda: f"({x()})|sort{r.choice(['', '(true)', '(case_sensitive=true)', '(reverse=true)'])}", lambda: f"({x()})|reverse|list",
            lambda: f"({x()})|unique|list", lambda: f"({x()})|map('{r.choice(['string', 'upper', 'length', 'int', 'trim', 'tojson', 'abs'])}')|list",
            lambda: f"({x()})|{r.choice(['select', 'reject'])}({r.choice(['', repr('string'), repr('number'), repr('defined'), repr('odd'), repr('gt') + ', 1'])})|list",
            lambda: f"rows|{r.choice(['selectattr', 'rejectattr'])}('{r.choice(['k', 'v', 'deep', 'deep.w', 'zz'])}'{r.choice(['', ', ' + repr('equalto') + ', ' + repr('x'), ', ' + repr('defined')])})|list",
            lambda: f"rows|map(attribute='{r.choice(['k', 'v', 'deep', 'deep.w'])}'{r.choice(['', ', default=0', ', default=none'])})|list",
            lambda: f"rows|sort(attribute='{r.choice(['k', 'v', 'k,v', 'v,k', 'deep.w'])}')", lambda: f"({self.dict(d)})|{r.choice(['items', 'dictsort', 'list'])}|list",
            lambda: f"({self.dict(d)}).{r.choice(['items', 'keys', 'values'])}(){r.choice(['', '|list', '|length', '|sort'])}",
            lambda: f"({x()})|batch({r.randint(1, 3)}{r.choice(['', ', 0'])})|list", lambda: f"({x()})|slice({r.randint(1, 3)}{r.choice(['', ', 0'])})|list",
            lambda: f"rows|groupby('{r.choice(['k', 'v'])}'{r.choice(['', ', case_sensitive=true'])})", lambda: f"({self.string(d)}).split({r.choice(STRINGS)})",
            lambda: f"dict({self.dict(d)}, zz=1)|dictsort(by='{r.choice(['key', 'value'])}')", lambda: f"[{self.any(d)}, {self.any(d)}]",
            lambda: f"({self.any(d)}, {self.any(d)})", lambda: f"({x()})|map('{r.choice(['default', 'replace', 'round'])}', {self.any(0)})|list",
        ))()

    def dict(self, depth):
        r, d = self.r, depth - 1
        if depth <= 0 or r.random() < 0.5:
            return r.choice(DICTS)
        return r.choice((
            lambda: f"{{'k': {self.any(d)}, {r.choice(['1', 's', repr('q')])}: {self.any(d)}}}", lambda: f"dict(x={self.any(d)})",
            lambda: f"({self.dict(d)}).copy()", lambda: f"({self.list(d)})|first",
        ))()


class Templates:
    def __init__(self, random):
        self.r = random
        self.expressions = Expressions(random)

    def expression(self, depth=3):
        return self.expressions.any(self.r.randint(0, depth))

    def tag(self, text):
        return "{%" + self.r.choice(("", "", "-", "-", "+")) + f" {text} " + self.r.choice(("", "", "-")) + "%}"

    def output(self):
        return "{{" + self.r.choice((" ", "- ")) + self.expression() + self.r.choice((" ", " -")) + "}}"

    def text(self):
        return self.r.choice(("x", " y\n", "\n  ", "\n\n", " ", "<z>", "{# c #}", "\t{#- c -#}\n", "{% raw %}{{ a }}{% endraw %}", "    \n", "é"))

    def body(self, depth):
        return "".join(self.piece(depth) for _ in range(self.r.randint(0, 3)))

    def piece(self, depth):
        r, e = self.r, self.expressions
        if depth <= 0 or r.random() < 0.45:
            return r.choice((self.text, self.output, self.output))()
        return r.choice((self.condition, self.loop, self.setting, self.macro, self.call, self.filtered, self.scoped, self.loop,
                         self.recursive, self.generation))(depth - 1)

    def condition(self, d):
        middle = self.tag(f"elif {self.expressions.boolean(2)}") + self.body(d) if self.r.random() < 0.3 else ""
        last = self.tag("else") + self.body(d) if self.r.random() < 0.4 else ""
        return self.tag(f"if {self.expressions.boolean(2)}") + self.body(d) + middle + last + self.tag("endif")

    def loop(self, d):
        r = self.r
        target, source = r.choice((("x", self.expressions.wrong(self.expressions.list, 2)), ("k, v", f"({self.expressions.dict(1)}).items()"),
                                   ("(a, b)", "[[1, 2], (3, 4)]"), ("x", self.expressions.string(1)), ("n", "range(3)"), ("x", self.expressions.dict(1))))
        condition = f" if {self.expressions.boolean(1)}" if r.random() < 0.2 else ""
        used = r.choice(("loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex", "loop.revindex0", "loop.previtem",
                         "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(x)", "loop.depth", "loop.previtem is defined", "x", "k", "n", "loop.nosuch"))
        jump = self.tag(f"if {self.expressions.boolean(1)}") + self.tag(r.choice(("break", "continue"))) + self.tag("endif") if r.random() < 0.2 else ""
        last = self.tag("else") + self.body(d) if r.random() < 0.2 else ""
        return self.tag(f"for {target} in {source}{condition}") + jump + "{{ " + used + " }}" + self.body(d) + last + self.tag("endfor")

    def recursive(self, d):
        return (self.tag("for x in tree recursive") + "{{ loop.depth }}{{ x.n }}" + self.text() + "{{ loop(x.c) }}" + self.tag("endfor"))

    def setting(self, d):
        r = self.r
        name = r.choice(("v1", "v2"))   # set nowhere else: jinja2 decides when it compiles whose a name is
        return r.choice((
            lambda: self.tag(f"set {name} = {self.expression()}"), lambda: self.tag(f"set {name}") + self.body(d) + self.tag("endset"),
            lambda: self.tag(f"set {name} | {r.choice(['upper', 'trim', 'length'])}") + self.body(d) + self.tag("endset"),
            lambda: self.tag("set ns = namespace(a=1, b='x')") + self.tag(f"set ns.a = {self.expression()}") + "{{ ns.a }}{{ ns.b }}{{ ns.c }}",
            lambda: self.tag(f"set v3, v4 = {r.choice(['1, 2', '[3, 4]', '(5,)', 's'])}") + "{{ v3 }}{{ v4 }}",
        ))() + "{{ " + name + " }}"

    def macro(self, d):
        r = self.r
        parameters = r.choice(("", "a", "a, b=2", "a='x', b=a", "s, n=n"))
        inside = r.choice(("{{ a }}{{ b }}", "{{ varargs }}{{ kwargs }}", "{{ caller() }}", "{{ caller is defined }}{{ s }}", "{{ kwargs|dictsort }}", ""))
        arguments = r.choice(("", "1", "1, 2", "a=1", "b=3", "1, b=s", "1, 2, 3", "zz=1", "1, a=2"))
        return (self.tag(f"macro m({parameters})") + inside + self.body(d) + self.tag("endmacro") +
                "{{ m(" + arguments + ") }}" + r.choice(("", "{{ m.name }}{{ m.arguments }}{{ m.caller }}")))

    def call(self, d):
        r = self.r
        given = r.choice(("caller()", "caller(1)", "caller(1, 2)", "caller(x=3)"))
        return (self.tag("macro w(t='')") + "<{{ t }}{{ " + given + " }}>" + self.tag("endmacro") +
                self.tag(f"call{r.choice(['', '(x)', '(x, y=2)'])} w({r.choice(['', 's', 't=n'])})") + "{{ x }}{{ y }}" + self.body(d) + self.tag("endcall"))

    def filtered(self, d):
        return self.tag("filter " + self.r.choice(("upper", "trim", "replace('a', 'b')|title", "indent(2)", "escape", "length"))) + self.body(d) + self.tag("endfilter")

    def scoped(self, d):
        return self.tag(f"with q = {self.expression(1)}, s = {self.expression(1)}") + "{{ q }}" + self.body(d) + self.tag("endwith") + "{{ s }}"

    def generation(self, d):
        return self.tag("generation") + self.body(d) + self.tag("endgeneration")

    def template(self):
        return self.body(3) + self.piece(3)
