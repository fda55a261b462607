"""Templates in the language of jinja2: what comes out of them, and how they fail."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from cozeloop_lite.errors import LoopError, TemplateError
from cozeloop_lite.prompt import jinja, jinja_compiler, jinja_sandbox
from cozeloop_lite.prompt.jinja import render


class Person:
    def __init__(self, name):
        self.name = name

    def greet(self, whom="you"):
        return "%s greets %s" % (self.name, whom)


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "variables", "expected"),
    [
        # contract siblings.md 6.3
        ("Hello {{ name }}", {"name": "world"}, "Hello world"),
        ("Active: {{ active }}", {"active": True}, "Active: True"),
        (
            "{% for item in items %}{{ item }}{% if not loop.last %}, {% endif %}{% endfor %}",
            {"items": ["apple", "banana", "cherry"]},
            "apple, banana, cherry",
        ),
        ("{{ name|upper }}", {"name": "world"}, "WORLD"),
        ("User: {{ user.name }}, Age: {{ user.age }}", {"user": {"name": "Ann", "age": 41}}, "User: Ann, Age: 41"),
        ("Hello {{ name }}", {}, "Hello "),
        ("Hello {% if name %}{{ name }}{% else %}Guest{% endif %}", {}, "Hello Guest"),
        ("{{ message|replace(\"'\", \"''\") }}", {"message": "It's a test"}, "It''s a test"),
        ("{% for b in flags %}{{ b }} {% endfor %}", {"flags": [True, False, True]}, "True False True "),
        ("{{ a }}\n", {"a": "A"}, "A"),
        ("{{ ''.__class__ }}", {}, ""),
    ],
)
def test_the_vectors_of_the_platform(source, variables, expected):
    assert render(source, variables) == expected


def test_one_line_break_at_the_end_is_dropped_and_no_more():
    assert render("a\n\n", {}) == "a\n"
    assert render("a \n", {}) == "a "


def test_nothing_is_escaped():
    assert render("{{ text }}{{ '&' }}", {"text": "<b>"}) == "<b>&"


def test_values_look_as_in_python():
    assert render("{{ a }} {{ b }} {{ c }} {{ d }}", {"a": None, "b": 1.0, "c": ["x"], "d": {"k": "中"}}) == (
        "None 1.0 ['x'] {'k': '中'}"
    )


def test_objects_of_the_program_can_be_used():
    assert render("{{ p.name }}: {{ p.greet() }}, {{ p.greet('me') }}", {"p": Person("Ann")}) == (
        "Ann: Ann greets you, Ann greets me"
    )


def test_functions_of_the_program_can_be_called():
    assert render("{{ f(2, b=3) }}", {"f": lambda a, b: a * b}) == "6"


def test_texts_can_be_formatted_in_three_ways():
    source = "{{ '%s is %d' % (p.name, 41) }}, {{ '{0.name} is {1:03}'.format(p, 41) }}, {{ '%s'|format(p.name) }}"
    assert render(source, {"p": Person("Ann")}) == "Ann is 41, Ann is 041, Ann"


def test_a_generator_of_the_program_is_consumed_as_it_goes():
    assert render("{% for x in numbers %}{{ x }}{% endfor %}{{ numbers|list }}", {"numbers": iter([1, 2])}) == "12[]"


def test_a_variable_that_contains_itself_can_be_shown():
    items = [1]
    items.append(items)
    assert render("{{ items }}", {"items": items}) == "[1, [...]]"


def test_variables_are_not_written_to():
    values = {"words": ["b", "a"], "table": {"k": 1}}
    render("{{ words|sort }}{% set words = [] %}{% set table = dict(table, x=1) %}{{ table }}", values)
    assert values == {"words": ["b", "a"], "table": {"k": 1}}


def test_variables_are_not_copied_up_front():
    class Unread(dict):
        def __iter__(self):
            raise AssertionError("read")

        items = keys = values = __iter__

    assert render("{{ name }}", {"name": "x", "other": Unread(a=1)}) == "x"


def test_a_large_variable_is_inserted_whole():
    text = "中文 text\n" * 200_000
    assert render("<{{ text }}>", {"text": text}) == "<%s>" % text


def test_a_long_loop_is_fine():
    rows = [{"id": number, "name": "row %d" % number} for number in range(5000)]
    source = "{% for row in rows %}{{ loop.index }}{{ row.name|upper }}{% if row.id is odd %}*{% endif %}\n{% endfor %}"
    assert render(source, {"rows": rows}).count("\n") == 5000


def test_a_variable_may_have_the_name_of_anything():
    names = ["charge", "environment", "context", "budget", "range", "self", "loop", "concat", "resolve"]
    source = "".join("{{ %s }}" % name for name in names)
    assert render(source, {name: name[0] for name in names if name != "self"}).replace("<", "").startswith("cecbr")


# -- how it fails -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "kind", "detail"),
    [
        ("{{ undefined_variable.nonexistent_property }}", 1, "undefined value", "'undefined_variable' is undefined"),
        ("a\n{{ user.name.first }}", 2, "undefined value", "has no attribute 'name'"),
        ("\n\n{% for x in y %}", 3, "syntax error", "endfor"),
        ("a\n{{ x|nosuchfilter }}", 2, "syntax error", "nosuchfilter"),
        ("a\n{% if x is nosuchtest %}{% endif %}", 2, "TemplateRuntimeError", "nosuchtest"),
        ("\n{{ '{}' }", 2, "syntax error", "unexpected '}'"),
        ("tail {{ a", 1, "syntax error", "end of print statement"),
        ("\n\n\n{{ 1 / 0 }}", 4, "ZeroDivisionError", "division by zero"),
        ("\n{{ user() }}", 2, "TypeError", "not callable"),
        ("{{ user.fail() }}", 1, "undefined value", "fail"),
        ("\n{{ text.encode('idna') }}", 2, "not allowed", "idna"),
        ("\n{{ ''.translate({}) }}", 2, "not allowed", "translate()"),
        ("\n{{ ''.__class__.__mro__ }}", 2, "not allowed", "unsafe"),
        ("x\n{{ 'x' * 10**10 }}", 2, "limit exceeded", "more work or memory"),
        ("x\n{% for i in range(99999) %}\n{% for j in range(9999) %}{% endfor %}{% endfor %}", 3, "limit exceeded", ""),
        ("{% macro m() %}\n{{ m() }}{% endmacro %}\n{{ m() }}", 2, "limit exceeded", "nested more than 100 deep"),
        (
            "{% set ns = namespace(x=[]) %}{% for i in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}\n{{ ns.x }}",
            2,
            "limit exceeded",
            "values are nested more than 100 deep",
        ),
        ("\n{{ 10**(10**10) }}", 2, "limit exceeded", "digits"),
        ("a\n{% include 'x' %}", 2, "syntax error", "'include' is not available"),
        ("a\n{% import 'x' as y %}", 2, "syntax error", "'import' is not available"),
        ("a\n{% from 'x' import y %}", 2, "syntax error", "'from' is not available"),
        ("a\n{% extends 'x' %}", 2, "syntax error", "'extends' is not available"),
        ("a\n{% autoescape true %}{% endautoescape %}", 2, "syntax error", "'autoescape' is not available"),
    ],
)
def test_an_error_names_its_kind_and_its_line(source, line, kind, detail):
    with pytest.raises(TemplateError) as caught:
        render(source, {"user": {}, "text": "x"})
    message = str(caught.value)
    assert caught.value.line == line
    assert "line %d" % line in message
    assert message.startswith(kind)
    assert detail in message


def test_whatever_an_object_of_the_program_raises_is_a_template_error():
    class Broken:
        @property
        def name(self):
            raise OSError("disk full")

    with pytest.raises(TemplateError, match="OSError in the jinja2 template on line 2: disk full") as caught:
        render("\n{{ broken.name }}", {"broken": Broken()})
    assert isinstance(caught.value, LoopError)
    assert isinstance(caught.value.__cause__, OSError)


def test_only_an_exception_of_the_program_that_ends_it_passes():
    class Stop:
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render("{{ stop }}", {"stop": Stop()})


def test_a_message_is_never_long():
    with pytest.raises(TemplateError) as caught:
        render("{{ ''[name].x }}", {"name": "n" * 100_000})
    assert len(str(caught.value)) < 500


# -- limits -----------------------------------------------------------------------------------------------------------


def test_the_text_may_have_8_mebi_characters_and_no_more():
    chunk = "x" * 1024
    assert len(render("{% for i in range(8192) %}{{ chunk }}{% endfor %}", {"chunk": chunk})) == 8 * 1024 * 1024
    with pytest.raises(TemplateError, match="more than 8388608 characters") as caught:
        render("{% for i in range(8192) %}{{ chunk }}{% endfor %}\n{% if true %}x{% endif %}", {"chunk": chunk})
    assert caught.value.line == 1


def test_the_text_of_a_template_is_limited():
    longest = "x" * jinja_compiler.MAX_SOURCE
    assert render(longest, {}) == longest
    with pytest.raises(TemplateError, match="more than 524288 characters"):
        render(longest + "x", {})


def test_the_tokens_of_a_template_are_limited():
    assert render("{{ a }}" * 1500, {"a": "x"}) == "x" * 1500
    with pytest.raises(TemplateError, match="more than 6000 words and signs"):
        render("{{ a }}" * 2500, {"a": "x"})


def test_each_rendering_has_a_budget_of_its_own():
    source = "{% for i in range(20000) %}{{ i }}{% endfor %}"
    expected = "".join(map(str, range(20000)))
    for _ in range(20):
        assert render(source, {}) == expected


def test_threads_do_not_share_a_budget():
    source = "{% for i in range(20000) %}{{ i + n }}{% endfor %}"
    results = {}
    start = threading.Barrier(8)

    def work(n):
        start.wait()
        results[n] = render(source, {"n": n})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: "".join(str(i + n) for i in range(20000)) for n in range(8)}


def test_an_object_may_render_a_template_while_it_is_shown():
    class Inner:
        def __str__(self):
            return render("[{% for i in range(3) %}{{ i }}{% endfor %}]", {})

    assert render("{% for i in range(2) %}{{ inner }}{% endfor %}", {"inner": Inner()}) == "[012][012]"


# -- nothing happens while it compiles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    ["'x'|center(5)", "'x' * 3", "2 ** 8", "'%5d' % 1", "[1, 2]|sum", "'a' ~ 'b'", "'x'.upper()", "1 < 2", "'ab'[0]"],
)
def test_constants_are_not_worked_out_while_a_template_compiles(expression, monkeypatch):
    worked = []
    charge = jinja_sandbox.Budget.charge
    monkeypatch.setattr(jinja_sandbox.Budget, "charge", lambda *args: worked.append(args) or charge(*args))
    template = jinja_sandbox.Template("{{ %s }}{%% set x = %s %%}{%% if %s %%}{%% endif %%}" % (3 * (expression,)))
    assert worked == []
    assert template.render({}) == str(eval(render_python(expression)))
    assert worked


def render_python(expression):
    known = {"'x'|center(5)": "'  x  '", "[1, 2]|sum": "3", "'a' ~ 'b'": "'ab'"}
    return known.get(expression, expression)


# -- compiled once ----------------------------------------------------------------------------------------------------


@pytest.fixture
def templates(monkeypatch):
    fresh = jinja._Templates()
    monkeypatch.setattr(jinja, "_templates", fresh)
    return fresh


def compiled(monkeypatch):
    """The texts of the templates that are compiled from now on."""
    sources = []
    original = jinja._compiled
    monkeypatch.setattr(jinja, "_compiled", lambda source: sources.append(source) or original(source))
    return sources


def test_a_template_is_compiled_once(templates, monkeypatch):
    sources = compiled(monkeypatch)
    for name in "abc":
        assert render("{{ name }}!", {"name": name}) == name + "!"
    assert sources == ["{{ name }}!"]


def test_a_bounded_number_of_templates_is_kept_the_least_recently_used_leave(templates, monkeypatch):
    monkeypatch.setattr(jinja, "MAX_KEPT", 3)
    sources = compiled(monkeypatch)
    for source in "a", "b", "c", "a", "d", "a", "b":
        render(source, {})
    assert sources == ["a", "b", "c", "d", "b"]
    assert len(templates._kept) == 3


def test_the_memory_of_kept_templates_is_bounded(templates, monkeypatch):
    monkeypatch.setattr(jinja, "MAX_KEPT_BYTES", 100_000)
    for number in range(100):
        render("%d {{ a }}" % number, {})
    assert templates._bytes == sum(template.size for template in templates._kept.values()) <= 100_000
    assert 5 < len(templates._kept) < 100
    kept = list(templates._kept)
    render("x" * 50_000, {})  # one that would push out all others
    assert list(templates._kept) == kept


def test_threads_that_need_a_template_at_once_all_get_it(templates):
    start = threading.Barrier(8)
    results = []

    def work():
        start.wait()
        results.append(render("{% for i in range(3) %}{{ i }}{% endfor %}", {}))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["012"] * 8
    assert len(templates._kept) == 1


def test_the_cache_works_in_a_forked_child(templates):
    render("a", {})
    templates._lock.acquire()  # as another thread may have, when the process forks
    templates._on_fork()
    assert render("a", {}) == "a"


def test_nothing_of_a_rendering_stays_behind():
    gc.collect()
    gc.disable()
    try:
        person = Person("Ann")
        gone = weakref.ref(person)
        render("{{ p.name }}{% for x in [p] %}{{ x.name }}{% endfor %}", {"p": person})
        del person
        assert gone() is None
    finally:
        gc.enable()


def test_jinja2_is_imported_by_the_first_template():
    code = (
        "import sys; from cozeloop_lite.prompt import jinja; assert 'jinja2' not in sys.modules;"
        "assert jinja.render('{{ a }}', {'a': 1}) == '1'; assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_macro_that_the_program_keeps_has_an_environment_of_its_own():
    kept = []
    source = "{% macro greet(name) %}Hello {{ name }}{% endmacro %}{{ keep(greet) }}"
    render(source, {"keep": lambda macro: kept.append(macro) or ""})
    before = kept[0]._environment
    for _ in range(3):
        render("{{ a }}", {"a": 1})
    assert all(idle is not before for idle in jinja_sandbox._idle)
    assert kept[0]("again") == "Hello again"
