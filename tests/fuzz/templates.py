"""Templates and variables, the one from the platform, the other from whoever uses the program."""

from __future__ import annotations

import json
import os
import re

from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.errors import InvalidParamError, TemplateError
from cozeloop_lite.prompt import jinja
from cozeloop_lite.prompt.template import format_prompt
from cozeloop_lite.prompt.variables import WITHOUT_TEXT

from . import values
from .feed import HALVES, SEPARATOR, Feed, as_text, example
from .reader import Reader

# -- normal templates -------------------------------------------------------------------------------------------------

_KINDS = ("string", "string", "string", "boolean", "integer", "float", "object", "array<string>", "multi_part", "", "x")
_KINDS += ("placeholder", "array<object>")


def fuzz_normal(data):
    """Texts, then variables: in a text, ``{{key}}`` is replaced where it is declared, and nothing else happens."""
    feed = Feed(data)
    kinds = [feed.pick(_KINDS) for _ in range(feed.number(6))]
    texts, _, rest = feed.rest().partition(SEPARATOR)
    texts = [as_text(text) for text in texts.split(HALVES)]
    pairs = [pair.partition(HALVES)[::2] for pair in rest.split(SEPARATOR)]
    variables = {as_text(key): _value(value) for key, value in pairs}
    declared = dict(zip(variables, kinds))
    messages = [
        {"role": "user", "content": texts[0]},
        {"role": "user", "parts": [{"text": text} for text in texts[1:]]},
        {"role": "placeholder", "content": next(iter(variables))},
    ]
    defs = [{"key": key, "type": kind} for key, kind in declared.items()]
    prompt = Prompt.from_dict({"prompt_template": {"messages": messages, "variable_defs": defs}})
    before = json.dumps([prompt.to_dict(), variables])
    try:
        formatted = format_prompt(prompt, variables)
    except (InvalidParamError, TemplateError) as error:
        assert str(error)
        return
    finally:
        assert json.dumps([prompt.to_dict(), variables]) == before
    expected = [_filled(text, declared, variables) for text in texts]
    assert formatted[0].content == expected[0]
    assert [part.text for part in formatted[1].parts or ()] == [text for text in expected[1:] if text]
    assert repr(format_prompt(prompt, variables)) == repr(formatted)


def _value(data):
    """A text, or what is packed behind a byte that says so."""
    return values.decode(data[1:], _WORDS) if data.startswith(b"\x07") else as_text(data)


def _filled(text, declared, variables):
    def shown(match):
        key = match.group(1)
        value = variables.get(key)
        if key not in declared:
            return match.group()
        if type(value) is str:
            return value
        empty = value is None or declared[key] in tuple(kind.value for kind in WITHOUT_TEXT)
        return "" if empty else _json(value)

    return re.sub(r"\{\{(.*?)\}\}", shown, text, flags=re.S)


def _json(value):
    """Compact JSON, as spans have it: what JSON does not know is text."""
    from cozeloop_lite.trace.values import to_text

    return to_text(value, 1 << 30)


# -- jinja2 -----------------------------------------------------------------------------------------------------------

_SECRET = "k7q-never-seen"


class _Thing:
    """An object of the program: what it is made of must not be reached through it."""

    def __init__(self):
        self.name = "thing"

    def greet(self, name="you"):
        return "hello %s" % (name,)

    def __str__(self):
        return "a thing"


def secret():
    return _SECRET


_VARIABLES = {
    "name": "world",
    "items": ["a", "b", "ü"],
    "number": 7,
    "map": {"a": 1, "b": {"c": [1, 2, 3]}},
    "none": None,
    "flag": True,
    "text": "The quick brown fox <b>jumps</b>",
    "messages": [{"role": "user", "content": "hi"}],
}


def fuzz_jinja(data):
    os.environ["FUZZ_SECRET"] = _SECRET
    before = json.dumps(_VARIABLES)
    source = as_text(data)
    try:
        result = jinja.render(source, {**_VARIABLES, "thing": _Thing()})
    except TemplateError as error:
        result = str(error)
        assert len(result) < 600
    assert type(result) is str
    assert _SECRET not in result
    assert json.dumps(_VARIABLES) == before


# -- examples ---------------------------------------------------------------------------------------------------------

_WORDS = ("role", "user", "content", "type", "text", "parts", "image_url", "a", "b", "assistant", "tool", "system")


def _normal(texts, variables, *kinds):
    front = HALVES.join(text.encode() for text in texts)
    for key, value in variables.items():
        packed = value.encode() if isinstance(value, str) else b"\x07" + values.encode(value, _WORDS)
        front += SEPARATOR + key.encode() + HALVES + packed
    return example(front, len(kinds), *(_KINDS.index(kind) for kind in kinds))


_NORMAL = (
    _normal(["Hello {{a}}, {{ a }} {{b}}!", "{{a}}{{a}}"], {"a": "world", "b": "{{a}}"}, "string"),
    _normal(["{% if a %}{{7*7}}{# no #}", "{{b}}"], {"a": "\\1", "b": "%s"}, "string", "string"),
    _normal(["{{{a}}} {{a b}}", "{{文}}", "{{"], {"文": "字", "a b": "x", "{a": "y"}, "string", "string", "string"),
    _normal(["{{a}} {{b}}"], {"b": True, "a": 7}, "boolean", "integer"),
    _normal(["{{b}}", "{{a}}"], {"a": {"b": [1, None, "a"]}, "b": 0.5}, "object", "float"),
    _normal(["{{a}}"], {"a": [{"role": "user", "content": "b"}]}, "placeholder"),
    _normal(["{{b}}"], {"a": {"role": "user", "parts": [{"type": "text", "text": "a"}]}, "b": ["a"]}, "placeholder"),
    _normal(["{{a}}", "{{b}}"], {"b": [{"type": "text", "text": "b"}], "a": ["x"]}, "multi_part", "array<string>"),
)
_JINJA = (
    "Hello {{ name|upper }}!",
    "{% for i in items %}{{ loop.index }}: {{ i }}{% if not loop.last %}, {% endif %}{% else %}none{% endfor %}",
    "{% set x = number * 2 %}{{ x }} {{ map.b.c[1:]|join('-') }} {{ none or 'x' }}",
    "{% macro m(a, b=1) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}{% call m(1) %}x{% endcall %}",
    "{{ text|replace('o', '0')|truncate(10)|e }}{{ '%s %5.2f'|format(name, 1.5) }}{{ '{:>10}'.format(name) }}",
    "{% raw %}{{ x }}{% endraw %}{# comment #}{%- if number > 5 and flag -%} yes {%- elif none -%} no {%- endif -%}",
    "{% filter upper %}{{ thing.greet('a') }}{% endfilter %}{{ thing.name }}{{ thing }}{{ thing.__class__ }}",
    "{% for k, v in map|dictsort %}{{ k }}={{ v|tojson }}{% endfor %}{{ items|map('upper')|list }}{{ range(10)|sum }}",
    "{% block a %}{% with y = 1 %}{{ y ~ name }}{% endwith %}{% endblock %}{{ self.a() }}{{ messages[0]['content'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ thing.greet.__globals__ }}{{ cycler.__init__.__globals__ }}",
    "{% set ns = namespace(n=0) %}{% for i in range(5) recursive %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{{ items|groupby('x') }}{{ items|batch(2)|list }}{{ text|wordwrap(5) }}{{ text|indent }}{{ lipsum(1) }}",
    "{{ text[::2] }}{{ number ** 3 // 2 % 5 }}{{ 'a' in items }}{{ 1 if flag else 2 }}{{ [1, (2, 3), {'a': 4}] }}",
)
_JINJA_WORDS = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "|", "(", ")", "[", "]", "**", "*", "//", "~", "=="),
    *(" in ", " is ", "{% for i in range(9999) %}", "{% endfor %}", "{% if ", "{% endif %}", "{% set x = "),
    *("{% macro m(x) %}", "{{ m(m) }}", "'a' * 99999", "|center(99999)", "|format(x)", "|attr('__class__')"),
    *("|map(attribute='x')", "|xmlattr", "|pprint", ".__class__", ".__globals__", ".__init__", "['__class__']"),
    *(".mro()", ".format(", ".format_map(", "'{0.__class__}'", "|join", "|sort", "|list", "|string", "|length"),
    *("|first", "|random", "|urlize", "|filesizeformat", "|slice(3)", "|default(", "|select(", "|reject("),
    *("|selectattr(", "|sum", "|unique", "|wordcount", "caller()", "self", "loop", "namespace()", "cycler"),
    *("joiner", "lipsum", "range", "dict", "thing", "items", "map", "name", "number", "text"),
)

READERS = [
    Reader("normal template", fuzz_normal, _NORMAL, (b"{{", b"}}", b"{{a}}", b"{{ a }}", b"{%", b"\\1", b"{{" * 30)),
    Reader(
        "jinja2 template",
        fuzz_jinja,
        [example(source) for source in _JINJA],
        [word.encode() for word in _JINJA_WORDS],
        grows=False,
        seconds=5.0,
    ),
]
