"""Honest templates come out as jinja2's own sandbox renders them: the same text, or both fail.

The templates are made up by a grammar, from everything that jinja2 offers and a prompt may use.
"""

from __future__ import annotations

import random

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cozeloop_lite.errors import TemplateError
from cozeloop_lite.prompt import jinja
from support.effort import tries

TEMPLATES = tries(2500, thorough=10_000)  # in all; fewer would not have each filter, method and test among them
BATCHES = 10

VARIABLES = {
    "name": "world",
    "text": "It's a <b>test</b>,\n  with two lines & 3 words.\n\n",
    "chinese": "中文 提示词\t😀",
    "empty": "",
    "n": 7,
    "zero": 0,
    "big": 7301234567890123456,
    "price": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "words": ["pear", "Apple", "fig", "apple", "kiwi"],
    "numbers": [3, 1, 2, 3, 10],
    "pair": ("a", 1),
    "nested": [[1, 2], [3], []],
    "user": {"name": "Ann", "age": 41, "tags": ["x", "y"], "address": {"city": "Rome"}},
    "users": [
        {"name": "Ann", "age": 41, "city": "Rome"},
        {"name": "bob", "age": 7, "city": "Oslo"},
        {"name": "Cy", "age": 41, "city": "rome"},
    ],
    "items": "not a function",
}


class Grammar:
    """Makes up templates. Each method is a rule, and returns text of its kind of expression."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.depth = 0
        self.names = 0

    def one(self, *choices):
        """One of the choices: texts as they are, rules as what they make."""
        choice = self.random.choice(choices)
        return choice if isinstance(choice, str) else choice()

    def deeper(self, simple, *rules):
        """One of the rules; but the simple one when it is deep already."""
        if self.depth > 2:
            return simple()
        self.depth += 1
        try:
            return self.one(*rules)
        finally:
            self.depth -= 1

    # Expressions

    def text(self):
        return self.deeper(
            self.plain_text,
            self.plain_text,
            lambda: "%s ~ %s" % (self.text(), self.value()),
            lambda: "(%s + %s)" % (self.text(), self.text()),
            lambda: "(%s * %s)" % (self.text(), self.small()),
            lambda: "%s|%s" % (self.text(), self.text_filter()),
            lambda: "(%s).%s" % (self.text(), self.text_method()),
            lambda: "(%s)[%s:%s]" % (self.text(), self.bound(), self.bound()),
            lambda: "(%s)[%s]" % (self.text(), self.small()),
            lambda: "'%%s and %%5.2f' %% (%s, %s)" % (self.value(), self.number()),
            lambda: "'%%(a)s%%%%' %% {'a': %s}" % self.value(),
            lambda: "'{} {0!r:>8}'.format(%s)" % self.text(),
            lambda: "'{0} {1!r:>8} {2:.1f}'.format(%s, %s, %s)" % (self.text(), self.text(), self.number()),
            lambda: "'{a[name]}-{b:>{c}}'.format(a=user, b=%s, c=%s)" % (self.text(), self.small()),
            lambda: "%s|join(%s)" % (self.sequence(), self.plain_text()),
            lambda: "(%s if %s else %s)" % (self.text(), self.truth(), self.text()),
            lambda: "%s|default(%s)" % (self.one("missing", "empty", "name"), self.text()),
            lambda: "%s|tojson" % self.value(),
            lambda: "users|map(attribute='name')|%s|join" % self.sequence_filter(),
            lambda: "users|sum(attribute='age')|string",
        )

    def plain_text(self):
        return self.one(
            "name", "text", "chinese", "empty", "'x'", "'a,b;c'", "'  pad '", '"it\'s"', "user.name", "user['name']",
            "users[0].city", "words[0]", "'\\n'", "'{a}'", "'%'", "missing", "loop.index", "'<i>'|safe",
        )  # fmt: skip

    def text_filter(self):
        return self.one(
            "upper", "lower", "title", "capitalize", "trim", "trim('x')", "striptags", "escape", "e", "forceescape",
            "safe", "string", "reverse", "center(20)", "center(3)", "indent", "indent(2, true)",
            "indent('>', blank=true)",
            "truncate(9)", "truncate(5, true, '..')", "truncate(5, end='', leeway=0)", "wordwrap(5)",
            "wordwrap(8, false)", "wordwrap(width=4, wrapstring='|')", "replace('a', 'bb')", "replace('', '-')",
            "replace('t', 'T', 1)", "urlencode", "first", "last", "pprint", "format(1)", "default('d', true)", "d('x')",
            "list|join('.')", "attr('upper')|string|length|string",
        )  # fmt: skip

    def text_method(self):
        return self.one(
            "upper()", "lower()", "title()", "swapcase()", "casefold()", "capitalize()", "strip()", "lstrip('x ')",
            "rstrip()", "center(9, '*')", "ljust(6)", "rjust(6, '.')", "zfill(5)", "replace('a', 'A')",
            "replace('a', 'A', 1)", "expandtabs(4)", "join(words)", "partition(' ')[0]", "rpartition('a')|join('/')",
            "split()|join('+')", "split(',')|join('+')", "split(' ', 1)|last", "rsplit(',', 1)|first",
            "splitlines()|length|string", "format(1)", "format(a=2)", "format_map({'a': 3})",
            "encode('utf-8').decode()",
            "isdigit()|string", "startswith('w')|string", "endswith(('d', 'x'))|string", "find('o')|string",
            "count('t')|string", "index('zz')|string", "__class__", "no_such_method()", "islower()|string",
        )  # fmt: skip

    def number(self):
        return self.deeper(
            self.plain_number,
            self.plain_number,
            lambda: "(%s %s %s)" % (self.number(), self.one("+", "-", "*", "/", "//", "%"), self.number()),
            # Not of a negative constant: jinja2 folds it, and then takes (-2) ** n for -(2 ** n).
            lambda: "(%s ** %s)" % (self.plain_number(), self.small()),
            lambda: "(%s%s)" % (self.one("-", "+"), self.number()),
            lambda: "%s|%s" % (self.number(), self.number_filter()),
            lambda: "%s|length" % self.one(self.sequence, self.text),
            lambda: "%s|%s" % (self.one("numbers", "[1, 2.5]", "range(4)"), self.one("sum", "max", "min", "last")),
            lambda: "%s|int" % self.one("'42'", "'x'", "'2.9'", "name", "price", "nothing"),
            lambda: "%s|float" % self.one("'4.5'", "'x'", "n"),
            lambda: "numbers[%s]" % self.small(),
            lambda: "%s|wordcount" % self.text(),
        )

    def plain_number(self):
        return self.one("n", "zero", "price", "big", "1", "2", "10", "3.25", "user.age", "numbers[1]", "0x1f", "1_000")

    def number_filter(self):
        return self.one(
            "abs", "round", "round(1)", "round(1, 'floor')", "round(method='ceil')", "int", "float", "filesizeformat",
            "filesizeformat(true)", "string|length", "default(1)",
        )  # fmt: skip

    def small(self):
        return self.one("0", "1", "2", "3", "-1", "zero")

    def bound(self):
        return self.one("", "0", "1", "2", "-1", "-2", "100")

    def sequence(self):
        return self.deeper(
            self.plain_sequence,
            self.plain_sequence,
            lambda: "[%s, %s]" % (self.value(), self.value()),
            lambda: "(%s, %s, %s)" % (self.value(), self.text(), self.number()),
            lambda: "(%s + %s)" % (self.sequence(), self.sequence()),
            lambda: "(%s * %s)" % (self.sequence(), self.small()),
            lambda: "%s|%s" % (self.sequence(), self.sequence_filter()),
            lambda: "%s[%s:%s]" % (self.plain_sequence(), self.bound(), self.bound()),
            lambda: "%s[::%s]" % (self.plain_sequence(), self.one("1", "2", "-1")),
            lambda: "range(%s)" % self.one("3", "1, 4", "9, 1, -3", "n", "0"),
            lambda: "(%s).split()" % self.text(),
            lambda: "%s|map('%s')|list" % (self.sequence(), self.one("upper", "string", "int", "length", "title")),
            lambda: "words|map('%s', 'a', 'o')|list" % self.one("replace", "default"),
            lambda: "%s|%s|list" % (self.sequence(), self.selection()),
            lambda: "users|map(attribute=%s)|list" % self.one("'name'", "'age'", "'none'", "'city'", "'name.0'"),
            lambda: "users|map(attribute='zip', default='-')|list",
            lambda: "users|%s('age', %s)|map(attribute='name')|list"
            % (self.one("selectattr", "rejectattr"), self.one("'gt', 10", "'eq', 41", "'odd'", "'defined'")),
            lambda: "users|%s('city')|list" % self.one("selectattr", "rejectattr"),
            lambda: "users|groupby('%s')" % self.one("city", "age"),
            lambda: "users|sort(attribute='%s')" % self.one("name", "age", "city,name"),
            lambda: "users|unique(attribute='city')|list",
            lambda: self.mapping() + self.one("|dictsort", ".keys()|list", ".values()|list", ".items()|list", "|list"),
            lambda: "%s|sum(start=[])" % self.one("nested", "[[1], words]"),
        )

    def plain_sequence(self):
        return self.one("words", "numbers", "pair", "nested", "[]", "[1, 2]", "user.tags", "['a']", "(1,)", "missing")

    def sequence_filter(self):
        return self.one(
            "list", "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "unique|list", "unique(true)|list",
            "reverse|list", "batch(2)|list", "batch(2, 'x')|list", "batch(3, fill_with=0)|list", "slice(2)|list",
            "slice(3, '-')|list", "first", "last", "map('string')|list",
        )  # fmt: skip

    def selection(self):
        return self.one(
            "select", "reject", "select('odd')", "reject('string')", "select('gt', 1)", "select('in', [1, 'fig'])"
        )  # fmt: skip

    def mapping(self):
        return self.one(
            "user", "{'a': 1, 'b': [2]}", "{1: 'x', true: 'y'}", "dict(a=1)", "dict([('k', 'v')])", "dict(user, z=1)"
        )  # fmt: skip

    def truth(self):
        return self.deeper(
            self.plain_truth,
            self.plain_truth,
            lambda: "%s %s %s" % (self.number(), self.one("==", "!=", "<", "<=", ">", ">="), self.number()),
            lambda: "%s == %s" % (self.value(), self.value()),
            lambda: "1 < %s <= %s" % (self.number(), self.number()),
            lambda: "%s %s %s" % (self.text(), self.one("in", "not in"), self.text()),
            lambda: "%s %s %s" % (self.value(), self.one("in", "not in"), self.sequence()),
            lambda: "%s in %s" % (self.one("'a'", "1", "'name'"), self.mapping()),
            lambda: "(%s %s %s)" % (self.truth(), self.one("and", "or"), self.truth()),
            lambda: "not %s" % self.truth(),
            lambda: "%s is %s%s" % (self.value(), self.one("", "not "), self.test()),
        )

    def plain_truth(self):
        return self.one("yes", "no", "nothing", "true", "False", "name", "empty", "words", "[]", "missing", "n")

    def test(self):
        return self.one(
            "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable",
            "sequence", "callable", "odd", "even", "divisibleby 3", "divisibleby(num=2)", "eq(1)", "ne 'x'", "gt(2)",
            "sameas none", "in [1, 2]", "lower", "upper", "escaped", "true", "filter", "test",
        )  # fmt: skip

    def value(self):
        return self.one(self.text, self.number, self.sequence, self.truth, self.mapping)

    # Statements

    def body(self):
        return "".join(self.statement() for _ in range(self.random.randint(1, 3)))

    def statement(self):
        return self.deeper(
            self.output,
            self.output,
            self.output,
            self.words,
            self.words,
            self.condition,
            self.loop,
            self.recursive_loop,
            self.assignment,
            self.assigned_block,
            self.namespace,
            self.macro,
            self.call,
            self.with_,
            self.filtered,
            self.block,
            self.helpers,
            lambda: "{%% raw %%}{{ %s }}{%% endraw %%}" % self.text(),
            lambda: "{#- %s #}" % self.text(),
        )

    def output(self):
        return self.one("{{ %s }}", "{{- %s -}}", "{{ (%s) }} ") % self.value()

    def words(self):
        return self.one("Hello ", "\n", "a {b} c ", "  \n  ", "中 ", "100%", "# x\n")

    def condition(self):
        first = "{%% if %s %%}%s" % (self.truth(), self.body())
        return first + self.one(
            "{% endif %}",
            lambda: "{%% else %%}%s{%% endif %%}" % self.body(),
            lambda: "{%% elif %s %%}%s{%%- else -%%}%s{%% endif %%}" % (self.truth(), self.body(), self.body()),
        )

    def loop(self):
        head = self.one(
            lambda: "item in %s" % self.sequence(),
            lambda: "item in %s if %s" % (self.sequence(), self.one("item", "item is string", "item in words")),
            lambda: "key, value in %s.items()" % self.mapping(),
            "user in users",
            "item in text",
            "a, b in [(1, 2), (3, 4)]",
            "key in user",
        )
        inner = self.one(
            "{{ item }}",
            "{{ loop.index }}/{{ loop.length }}{{ item }}{% if not loop.last %}, {% endif %}",
            "{{ loop.index0 }}{{ loop.first }}{{ loop.revindex }}{{ loop.depth }}",
            "{{ loop.cycle('odd', 'even') }}",
            "{{ loop.previtem }}<{{ loop.nextitem }}",
            "{% if loop.changed(item) %}{{ item }}{% endif %}",
            "{{ key }}={{ value }};",
            "{{ user.name }}",
            self.body,
        )
        last = self.one("", "{% else %}nothing")
        return "{%% for %s %%}%s%s%s{%% endfor %%}" % (head, inner, self.one("", self.body), last)

    def recursive_loop(self):
        tree = "[{'v': 1, 'c': [{'v': %s, 'c': []}, {'v': 3, 'c': [{'v': 4, 'c': []}]}]}]" % self.value()
        return "{%% for x in %s recursive %%}[{{ loop.depth }}{{ x.v }}{{ loop(x.c) }}]{%% endfor %%}" % tree

    def assignment(self):
        return self.one(
            lambda: "{%% set item = %s %%}{{ item }}" % self.value(),
            lambda: "{%% set a, b = %s, %s %%}{{ b }}{{ a }}" % (self.value(), self.value()),
        )

    def assigned_block(self):
        return "{%% set captured%s %%}%s{%% endset %%}{{ captured }}" % (self.one("", "|upper", "|trim"), self.body())

    def namespace(self):
        loop = "{%% for i in numbers %%}{%% set ns.total = ns.total + i %%}{%% set ns.last = %s %%}{%% endfor %%}"
        shown = self.one("", "{{ ns }}")
        return "{% set ns = namespace(total=0) %}" + loop % self.value() + "{{ ns.total }}{{ ns.last }}" + shown

    def macro(self):
        self.names += 1
        body = self.one(self.body, "{{ a }}{{ b }}", "{{ a }}{{ varargs }}", "{{ a }}{{ kwargs|dictsort }}")
        call = self.one(
            "(1)", "('x', 'y')", "()", "(1, b=2)", "(1, 2, 3)", "(a=1, z=2)", "(*pair)", "(**{'a': 1})", "(*numbers)"
        )  # fmt: skip
        name = "m%d" % self.names
        definition = "{%% macro %s(a, b=%s) %%}%s{%% endmacro %%}" % (name, self.value(), body)
        return "%s{{ %s%s }}{{ %s.name }}{{ %s.arguments }}" % (definition, name, call, name, name)

    def call(self):
        self.names += 1
        definition = "{%% macro c%d(t) %%}<{{ t }}>{{ caller(t) }}</{{ t }}>{%% endmacro %%}" % self.names
        return "%s{%% call(x) c%d(%s) %%}{{ x }}%s{%% endcall %%}" % (definition, self.names, self.text(), self.body())

    def with_(self):
        return "{%% with a = %s, b = 2 %%}%s{{ a }}{{ b }}{%% endwith %%}{{ a }}" % (self.value(), self.body())

    def filtered(self):
        name = self.one("upper", "replace('a', 'b')", "trim|title")
        return "{%% filter %s %%}%s{%% endfilter %%}" % (name, self.body())

    def block(self):
        self.names += 1
        name = "b%d" % self.names
        scoped = self.one("", " scoped")
        again = self.one("", "{{ self.%s() }}" % name)
        return "{%% block %s%s %%}%s{%% endblock %%}" % (name, scoped, self.body()) + again

    def helpers(self):
        return self.one(
            "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}",
            "{% set j = joiner('; ') %}{{ j() }}{{ j() }}{{ j() }}",
            "{{ range(3)|list }}{{ range(1, 9, 3)|sum }}",
            "{{ dict(a=1, **{'b': 2}) }}",
            "{{ missing }}{{ caller }}",
            "{{ missing.attribute }}",
            "{{ user.missing }}{{ user.missing|default('-') }}",
            "{{ user.address.city|upper }}{{ user.tags[0] }}{{ user.get('zip', '?') }}",
            "{{ words.index('fig') }}{{ numbers.count(3) }}{{ n.bit_length() }}{{ price.is_integer() }}",
            "{{ words.append('x') }}",
            "{{ 'a' 'b' }}{{ 1 if no }}{{ [1, 2][0] }}{{ (1, 2)[-1] }}{{ {'a': {'b': 3}}.a.b }}",
        )


def templates(seed, count):
    for number in range(count):
        grammar = Grammar("%d.%d" % (seed, number))
        yield "".join(grammar.statement() for _ in range(grammar.random.randint(1, 2)))


def plainly(environment, source):
    try:
        return environment.from_string(source).render(VARIABLES)
    except Exception:
        return None


def bounded(source):
    try:
        return jinja.render(source, VARIABLES)
    except TemplateError:
        return None


@pytest.mark.parametrize("seed", range(BATCHES))
def test_an_honest_template_comes_out_as_from_the_sandbox_of_jinja2(seed):
    environment = ImmutableSandboxedEnvironment()
    rendered = 0
    for source in templates(seed, TEMPLATES // BATCHES):
        expected = plainly(environment, source)
        assert bounded(source) == expected, source
        rendered += expected is not None
    assert rendered > TEMPLATES // BATCHES // 4  # and not just failures
