"""A prompt and variables become messages, as the server would make them, and neither is touched."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import types
from enum import Enum

import pytest

from cozeloop_lite.entities.entity import Entity
from cozeloop_lite.entities.prompt import ContentPart, Message, Prompt, PromptTemplate, VariableDef
from cozeloop_lite.errors import InvalidParamError, TemplateError
from cozeloop_lite.prompt import template as template_module
from cozeloop_lite.prompt.template import MAX_KEPT, MAX_KEPT_BYTES, format_prompt


def prompt_of(messages, types_by_key=(), kind="normal"):
    """A prompt of the dicts ``messages``, with variables of the given types."""
    defs = [{"key": key, "type": type_name} for key, type_name in dict(types_by_key).items()]
    return Prompt.from_dict(
        {"prompt_key": "k", "prompt_template": {"template_type": kind, "messages": messages, "variable_defs": defs}}
    )


def made_by_hand(*messages, **template):
    """A prompt with whatever a program might put into it."""
    return Prompt(prompt_template=PromptTemplate(messages=list(messages), **template))


def rendered(text, types_by_key=(), variables=None, kind="normal"):
    """The text of a prompt that has one message, ``text``."""
    (message,) = format_prompt(prompt_of([{"role": "user", "content": text}], types_by_key, kind), variables)
    return message.content


def parts_after(parts, types_by_key=(), variables=None, kind="normal"):
    """The parts of a prompt that has one message, of ``parts``."""
    (message,) = format_prompt(prompt_of([{"role": "user", "parts": parts}], types_by_key, kind), variables)
    return [part.to_dict() for part in message.parts]


# -- normal templates -------------------------------------------------------------------------------------------------

A = {"a": "string"}


@pytest.mark.parametrize(
    ("template", "declared", "variables", "text"),
    [
        ("Hello {{key1}}", {"key1": "string"}, {"key1": "world"}, "Hello world"),
        ("Hello {{key1}}", {}, {"key1": "world"}, "Hello {{key1}}"),
        ("Hello {{key1}}", {"key1": "string"}, {}, "Hello "),
        ("Count: {{count}}", {"count": "integer"}, {"count": 42}, "Count: 42"),
        (
            "{% if active %}Active{% else %}Inactive{% endif %}",
            {"active": "boolean"},
            {"active": True},
            "{% if active %}Active{% else %}Inactive{% endif %}",
        ),
        ("{{ a }}", A, {"a": "A"}, "{{ a }}"),
        ("{{a|upper}}", A, {"a": "abc"}, "{{a|upper}}"),
        ("{{und}}", A, {"und": "U"}, "{{und}}"),
        ("[{{und.x}}]", A, {}, "[{{und.x}}]"),
        ("{{n}}", {"n": "string"}, {"n": None}, ""),
        ("{{f}}", {"f": "float"}, {"f": 1.0}, "1.0"),
        ("{{l}}", {"l": "array<string>"}, {"l": ["x", "y"]}, '["x","y"]'),
        ("{{b}}", {"b": "boolean"}, {"b": True}, "true"),
        ("{{m}}", {"m": "object"}, {"m": {"b": 1, "a": "é"}}, '{"b":1,"a":"é"}'),
        ("{{m}}", {"m": "float"}, {"m": 1e21}, "1e+21"),
        ("{{m}}", {"m": "float"}, {"m": 0.1}, "0.1"),
        ("{{}}", A, {"a": "A"}, "{{}}"),
        ("{{{a}}}", A, {"a": "A"}, "{{{a}}}"),
        ("{{a}}}", A, {"a": "A"}, "A}"),
        ("{# c #}", A, {"a": "A"}, "{# c #}"),
        ("css {#id} {{a}}", A, {"a": "A"}, "css {#id} A"),
        ("100 {% off {{a}}", A, {"a": "A"}, "100 {% off A"),
        ('{"x": {{"y": 1}}} {{a}}', A, {"a": "A"}, '{"x": {{"y": 1}}} A'),
        ("tail {{a", A, {"a": "A"}, "tail {{a"),
        ("{{unclosed|{{n}}", {"n": "string"}, {"n": "N"}, "{{unclosed|{{n}}"),
        ("{{user-name}}", {"user-name": "string"}, {"user-name": "bob"}, "bob"),
        ("{{user name}}", {"user name": "string"}, {"user name": "bob"}, "bob"),
        ("{{user.name}}", {"user.name": "string"}, {"user.name": "bob"}, "bob"),
        ("{{self}}", {"self": "string"}, {"self": "bob"}, "bob"),
        ("{{7*7}}", A, {}, "{{7*7}}"),
        ("{{a}}{{a}} {{b}}", {"a": "string", "b": "string"}, {"a": "{{b}}", "b": "B"}, "{{b}}{{b}} B"),
        ("a}}b{{a}}", A, {"a": "A"}, "a}}bA"),
        ("no tag", A, {"a": "A"}, "no tag"),
        ("", A, {"a": "A"}, ""),
        ("{{a}}\n", A, {"a": "A\r\n"}, "A\r\n\n"),
        ("{{p}}.", {"p": "placeholder"}, {"p": Message(content="x")}, "."),
        ("{{u}}", {"u": "a type of next year"}, {"u": [1]}, "[1]"),
    ],
)
def test_a_normal_template_is_text_with_declared_keys_in_it(template, declared, variables, text):
    assert rendered(template, declared, variables) == text


def test_a_template_without_a_type_is_normal():
    prompt = made_by_hand(Message(content="{{a}}"), variable_defs=[VariableDef(key="a")], template_type=None)
    assert prompt.prompt_template.template_type is None
    assert format_prompt(prompt, {"a": "A"})[0].content == "A"


def test_variables_come_in_any_mapping():
    assert rendered("{{a}}", A, types.MappingProxyType({"a": "A"})) == "A"


# -- jinja2 templates -------------------------------------------------------------------------------------------------

LIST = "{% for item in items %}{{ item }}{% if not loop.last %}, {% endif %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "declared", "variables", "text"),
    [
        ("Hello {{ name }}", {"name": "string"}, {"name": "world"}, "Hello world"),
        ("Active: {{ active }}", {"active": "boolean"}, {"active": True}, "Active: True"),
        (LIST, {"items": "array<string>"}, {"items": ["apple", "banana", "cherry"]}, "apple, banana, cherry"),
        ("{{ name|upper }}", {"name": "string"}, {"name": "world"}, "WORLD"),
        (
            "User: {{ user.name }}, Age: {{ user.age }}",
            {"user": "object"},
            {"user": {"name": "Ann", "age": 30}},
            "User: Ann, Age: 30",
        ),
        ("Hello {{ name }}", {"name": "string"}, {}, "Hello "),
        ("Hello {{ name }}", {"name": "string"}, {"name": None}, "Hello "),
        ("Hello {% if name %}{{ name }}{% else %}Guest{% endif %}", {"name": "string"}, {}, "Hello Guest"),
        ("""{{ message|replace("'", "''") }}""", {"message": "string"}, {"message": "It's a test"}, "It''s a test"),
        ("{% for b in l %}{{b}} {% endfor %}", {"l": "array<boolean>"}, {"l": [True, False, True]}, "True False True "),
        ("{{a}}\n", A, {"a": "A"}, "A"),
        ("{{ ''.__class__ }}", A, {}, ""),
        ("{{ n + 1 }} {{ f * 2 }}", {"n": "integer", "f": "float"}, {"n": 1, "f": 1.5}, "2 3.0"),
        ("[{{ not_declared }}]", A, {"not_declared": "x"}, "[]"),
        ("{{ a is defined }} {{ b is defined }}", {"a": "string", "b": "string"}, {"a": None, "b": "x"}, "False True"),
        ("{{ p is defined }}", {"p": "placeholder"}, {"p": Message(content="x")}, "False"),
    ],
)
def test_a_jinja2_template_sees_the_declared_variables_that_have_a_value(template, declared, variables, text):
    assert rendered(template, declared, variables, "jinja2") == text


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("one\n{{ undefined_variable.nonexistent_property }}", 2),
        ("one\ntwo\n{% for item in items %}x", 3),
        ("{{ a|no_such_filter }}", 1),
    ],
)
def test_an_error_of_a_jinja2_template_says_where_it_is(template, line):
    messages = [{"role": "system", "content": "fine"}, {"role": "user", "content": template}]
    with pytest.raises(TemplateError) as caught:
        format_prompt(prompt_of(messages, A, "jinja2"), {"a": "A"})
    assert str(caught.value).startswith("messages[1]: ")
    assert (caught.value.line, caught.value.message_index, caught.value.part_index) == (line, 1, None)

    messages[1] = {"role": "user", "parts": [{"type": "text", "text": "fine"}, {"type": "text", "text": template}]}
    with pytest.raises(TemplateError) as caught:
        format_prompt(prompt_of(messages, A, "jinja2"), {"a": "A"})
    assert str(caught.value).startswith("messages[1].parts[1]: ")
    assert (caught.value.line, caught.value.message_index, caught.value.part_index) == (line, 1, 1)

    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))


@pytest.mark.parametrize("call", ["l.append(1)", "o.update(a=2)", "o.l.append(1)", "m.parts.append(1)", "o.pop('a')"])
def test_a_jinja2_template_cannot_change_the_variables(call):
    variables = {"l": ["x"], "o": {"a": 1, "l": []}, "m": Message(parts=[ContentPart()])}
    before = copy.deepcopy(variables)
    with pytest.raises(TemplateError):
        rendered("{{ %s }}" % call, {"l": "array<string>", "o": "object", "m": "object"}, variables, "jinja2")
    assert variables == before


def test_jinja2_is_loaded_when_a_template_asks_for_it_and_not_before():
    code = """if 1:
        import sys
        from cozeloop_lite.entities.prompt import Prompt
        from cozeloop_lite.prompt.template import format_prompt
        for kind, loaded in (("normal", False), ("jinja2", True)):
            prompt = Prompt(prompt_template={"template_type": kind, "messages": [{"role": "user", "content": "{{a}}"}]})
            format_prompt(prompt, {})
            assert ("jinja2" in sys.modules) == loaded, kind
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# -- templates of other kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["go_template", "custom_template_m", "unknown", "NORMAL", "Jinja2"])
@pytest.mark.parametrize("content", ["{{a}}", "no tag", None])
def test_a_template_of_another_type_is_left_to_the_platform(kind, content):
    with pytest.raises(TemplateError) as caught:
        rendered(content, A, {"a": "A"}, kind)
    assert str(caught.value) == (
        "a template of type '%s' can only be rendered by the platform: use execute_prompt()" % kind
    )


def test_a_template_type_that_is_no_text_is_an_error_too():
    prompt = made_by_hand(Message(content="x"))
    prompt.prompt_template.template_type = 5
    with pytest.raises(TemplateError, match="type 5"):
        format_prompt(prompt, {})


# -- what is no prompt, and what is empty -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"prompt_template": None},
        {"prompt_template": {}},
        {"prompt_template": {"messages": None}},
        {"prompt_template": {"messages": []}},
        {"prompt_template": {"messages": [], "template_type": "go_template", "variable_defs": [{"key": "a"}]}},
    ],
)
def test_a_prompt_without_messages_gives_none(document):
    assert format_prompt(Prompt.from_dict(document), {"a": 5}) == []


@pytest.mark.parametrize("prompt", [None, "key", {"prompt_template": {}}, Message()])
def test_what_is_no_prompt_is_refused(prompt):
    with pytest.raises(InvalidParamError, match="prompt must be a Prompt, not %s" % type(prompt).__name__):
        format_prompt(prompt, {})


@pytest.mark.parametrize("variables", [[("a", "A")], "a", 5])
def test_variables_are_a_mapping(variables):
    with pytest.raises(InvalidParamError, match="variables must be a dict"):
        rendered("x", A, variables)


def test_no_variables_are_none():
    assert rendered("[{{a}}]", A, None) == "[]"
    assert rendered("[{{a}}]", A) == "[]"


def test_a_variable_of_a_wrong_type_is_an_error():
    with pytest.raises(InvalidParamError, match=r"^type of variable 'a' should be string, not int$"):
        rendered("no tag", A, {"a": 5})


def test_elements_that_are_none_are_skipped():
    prompt = made_by_hand(None, Message(role="user", parts=[None, {"text": "x"}, None]), None, variable_defs=[None])
    assert [message.to_dict() for message in format_prompt(prompt)] == [
        {"role": "user", "parts": [{"type": "text", "text": "x"}]}
    ]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (["text"], r"messages\[0\] must be a Message, not str"),
        ([Message(), Message(parts=["x"])], r"messages\[1\].parts\[0\] must be a ContentPart, not str"),
        ([Message(content=5)], r"the text of messages\[0\] must be a str, not int"),
        ([Message(content=["x"])], r"the text of messages\[0\] must be a str, not list"),
        ([Message(parts=[ContentPart(text=5)])], r"the text of messages\[0\].parts\[0\] must be a str, not int"),
    ],
)
def test_what_a_program_put_in_the_wrong_place_is_named(messages, complaint):
    with pytest.raises(InvalidParamError, match=complaint):
        format_prompt(made_by_hand(*messages), {})


def test_a_template_that_is_none_is_named():
    with pytest.raises(InvalidParamError, match="prompt_template must be a PromptTemplate, not str"):
        format_prompt(Prompt(prompt_template="x"), {})


# -- placeholders -----------------------------------------------------------------------------------------------------

HISTORY = [
    {"role": "user", "content": "{{a}}"},
    {"role": "assistant", "content": "yes", "tool_calls": [{"id": "c", "function_call": {"name": "f"}}]},
]
AROUND = [
    {"role": "system", "content": "begin {{a}}"},
    {"role": "placeholder", "content": "history"},
    {"role": "user", "content": "end"},
]


@pytest.mark.parametrize("declared", [{"a": "string"}, {"a": "string", "history": "placeholder"}])
@pytest.mark.parametrize(
    "history",
    [
        [Message.from_dict(message) for message in HISTORY],
        tuple(Message.from_dict(message) for message in HISTORY),
        HISTORY,
    ],
)
def test_a_placeholder_becomes_the_messages_of_its_variable(history, declared):
    messages = format_prompt(prompt_of(AROUND, declared), {"a": "A", "history": history})
    assert [message.content for message in messages] == ["begin A", "{{a}}", "yes", "end"]
    assert messages[2] == Message.from_dict(HISTORY[1])


def test_one_message_will_do_for_a_placeholder():
    messages = format_prompt(prompt_of(AROUND), {"history": Message(role="tool", content="x", tool_call_id="c")})
    assert messages[1] == Message(role="tool", content="x", tool_call_id="c")
    assert len(messages) == 3


@pytest.mark.parametrize("variables", [{}, {"history": None}, {"history": []}, None])
def test_a_placeholder_without_messages_is_removed(variables):
    messages = format_prompt(prompt_of(AROUND, {"history": "placeholder"}), variables)
    assert [message.role for message in messages] == ["system", "user"]


@pytest.mark.parametrize("key", [None, 5, ["history"]])
def test_a_placeholder_without_a_key_is_removed(key):
    assert format_prompt(made_by_hand(Message(role="placeholder", content=key)), {"history": Message()}) == []


@pytest.mark.parametrize("declared", [{}, {"history": "placeholder"}, {"history": "object"}])
@pytest.mark.parametrize("history", ["text", 5, [Message(), "text"], {"content": "no role"}, ContentPart()])
def test_a_placeholder_takes_messages_only(history, declared):
    with pytest.raises(InvalidParamError, match=r"^type of variable 'history' should be Message like object"):
        format_prompt(prompt_of(AROUND, declared), {"history": history})


@pytest.mark.parametrize("role", ["placeholder", "developer"])
def test_a_placeholder_brings_no_other_roles_than_a_conversation_has(role):
    with pytest.raises(InvalidParamError, match="role of a message of variable 'history' must be system, user"):
        format_prompt(prompt_of(AROUND), {"history": {"role": role, "content": "x"}})


# -- parts ------------------------------------------------------------------------------------------------------------

M = {"m": "multi_part"}
SLOT = {"type": "multi_part_variable", "text": "m"}
HELLO = {"type": "text", "text": "Hello"}
IMAGE = {"type": "image_url", "image_url": "http://i", "config": {"image_resolution": "high"}, "signature": "s"}
VIDEO = {"type": "video_url", "video_url": "http://v", "config": {"fps": 2.0}}
BASE64 = {"type": "base64_data", "base64_data": "data:image/png;base64,AAAA", "new key": {"a": [1]}}


def test_no_parts_stay_no_parts():
    assert format_prompt(prompt_of([{"role": "user", "content": "x"}]))[0].parts is None
    assert not format_prompt(prompt_of([{"role": "user", "parts": []}]))[0].parts


def test_the_text_of_text_parts_is_rendered():
    assert parts_after([{"type": "text", "text": "Hello {{a}}"}, IMAGE], A, {"a": "World"}) == [
        {"type": "text", "text": "Hello World"},
        IMAGE,
    ]


def test_other_parts_pass_as_they_are():
    described = {"type": "image_url", "image_url": "http://{{a}}", "text": "{{a}}"}
    audio = {"type": "audio of next year", "audio": {"id": "{{a}}"}}
    parts = [IMAGE, VIDEO, BASE64, described, audio, {**audio, "text": "{{a}}"}]
    assert parts_after(parts, A, {"a": "A"}) == parts


@pytest.mark.parametrize("form", [dict, ContentPart.from_dict])
def test_parts_of_a_variable_take_its_place(form):
    given = [form(HELLO), form(IMAGE), form(VIDEO), form(BASE64)]
    before, after = {"type": "text", "text": "before {{a}}"}, {"type": "text", "text": "after"}
    parts = parts_after([before, SLOT, after], {"a": "string", **M}, {"a": "A", "m": given})
    assert parts == [{"type": "text", "text": "before A"}, HELLO, IMAGE, VIDEO, BASE64, after]


def test_one_part_will_do_for_a_variable():
    assert parts_after([SLOT], M, {"m": ContentPart(text="{{a}} stays")}) == [{"type": "text", "text": "{{a}} stays"}]


@pytest.mark.parametrize(
    ("declared", "variables"),
    [
        ({}, {"m": ContentPart(text="x")}),
        ({"m": "object"}, {"m": ContentPart(text="x")}),
        ({"m": "placeholder"}, {"m": Message(content="x")}),
        ({"m": "string"}, {"m": "x"}),
        (M, {}),
        (M, {"m": None}),
        (M, {"m": []}),
    ],
)
def test_a_variable_that_has_no_parts_leaves_no_trace(declared, variables):
    assert parts_after([HELLO, SLOT, IMAGE], declared, variables) == [HELLO, IMAGE]


@pytest.mark.parametrize("text", [None, "", 5, ["m"]])
def test_a_multi_part_variable_without_a_key_is_dropped(text):
    message = Message(role="user", parts=[ContentPart(type="multi_part_variable", text=text), ContentPart(text="x")])
    prompt = made_by_hand(message, variable_defs=[VariableDef(key="m", type="multi_part")])
    assert format_prompt(prompt, {"m": ContentPart(text="m")})[0].parts == [ContentPart(text="x")]


def test_parts_that_say_nothing_are_removed():
    empty = [
        {"type": "text"},
        {"type": "text", "text": ""},
        {"type": "text", "text": "{{a}}"},
        {"type": "image_url", "image_url": ""},
        {"type": "video_url"},
        {"type": "base64_data"},
    ]
    uri = {"type": "image_url", "image_uri": "tos://i"}
    assert parts_after([*empty, {"type": "text", "text": "Valid text"}, IMAGE, uri], A) == [
        {"type": "text", "text": "Valid text"},
        IMAGE,
        uri,
    ]
    assert parts_after([SLOT, HELLO], M, {"m": [*empty[:2], IMAGE]}) == [IMAGE, HELLO]
    assert parts_after(empty, A) == []


# -- what passes, and what is left alone ------------------------------------------------------------------------------

FULL = {
    "role": "assistant",
    "content": "{{a}}",
    "reasoning_content": "because {{a}}",
    "parts": [{"type": "text", "text": "{{a}}", "signature": "ps"}, IMAGE, BASE64],
    "tool_call_id": "t",
    "tool_calls": [
        {
            "index": 1,
            "id": "c",
            "type": "function",
            "function_call": {"name": "f", "arguments": '{"q": "{{a}}"}'},
            "output_id": "o",
            "signature": "cs",
        }
    ],
    "skip_render": True,
    "signature": "ms",
    "metadata": {"key": "{{a}}"},
    "a field of next year": {"deep": ["{{a}}"]},
}


def everything():
    """A prompt and variables that have a bit of everything."""
    prompt = prompt_of(
        [FULL, {"role": "placeholder", "content": "h"}, {"role": "user", "parts": [HELLO, SLOT]}],
        {"a": "string", "o": "object", "h": "placeholder", **M},
    )
    variables = {
        "a": "A",
        "o": {"deep": [1, {"x": "y"}]},
        "h": [Message.from_dict(FULL), FULL],
        "m": [ContentPart.from_dict(IMAGE), dict(VIDEO)],
    }
    return prompt, variables


def test_nothing_but_text_is_rendered_and_all_else_passes():
    prompt, variables = everything()
    formatted = [message.to_dict() for message in format_prompt(prompt, variables)]
    after = copy.deepcopy(FULL)
    after["content"] = after["parts"][0]["text"] = "A"
    assert formatted == [after, FULL, FULL, {"role": "user", "parts": [HELLO, IMAGE, VIDEO]}]


def test_a_message_without_content_stays_without():
    calls = {"role": "assistant", "tool_calls": [{"index": 0, "id": "c", "type": "function"}]}
    (message,) = format_prompt(prompt_of([calls]))
    assert message.content is None
    assert message.to_dict() == calls


def insides(value, found=None):
    """All objects inside of ``value`` that can be changed, by their identity."""
    found = {} if found is None else found
    if isinstance(value, (Entity, list, dict)) and id(value) not in found:
        found[id(value)] = value
        inner = value.__dict__ if isinstance(value, Entity) else value
        for item in inner.values() if isinstance(inner, dict) else inner:
            insides(item, found)
    else:
        assert isinstance(value, (Entity, list, dict, str, int, float, Enum, type(None)))
    return found


def test_prompt_and_variables_are_not_written_to_and_nothing_is_shared():
    prompt, variables = everything()
    before = copy.deepcopy((prompt, variables))
    documents = [prompt.to_dict(), variables["h"][0].to_dict()]
    formatted = format_prompt(prompt, variables)
    assert (prompt, variables) == before
    assert [prompt.to_dict(), variables["h"][0].to_dict()] == documents
    mine = insides(formatted)
    assert len(mine) > 30
    assert not set(mine) & set(insides(prompt))
    assert not set(mine) & set(insides(variables))


def test_formatting_again_gives_the_answer_for_the_new_variables():
    prompt, _ = everything()
    first = format_prompt(prompt, {"a": "1", "h": Message(content="h1"), "m": ContentPart(text="m1")})
    first[0].content = first[1].content = "spoilt"
    second = format_prompt(prompt, {"a": "2", "h": Message(content="h2"), "m": ContentPart(text="m2")})
    assert [message.content for message in second] == ["2", "h2", None]
    assert second[2].parts[1].text == "m2"


def test_a_given_message_is_inserted_as_two_when_two_placeholders_ask_for_it():
    twice = prompt_of([{"role": "placeholder", "content": "h"}] * 2)
    first, second = format_prompt(twice, {"h": Message(content="x", metadata={"a": "b"})})
    assert first == second
    assert first is not second
    assert first.metadata is not second.metadata


@pytest.mark.parametrize("kind", ["normal", "jinja2"])
def test_many_threads_format_one_prompt(kind):
    prompt = prompt_of(
        [{"content": "{{a}} and {{b}}"}, {"parts": [{"type": "text", "text": "<{{a}}>"}]}],
        {"a": "string", "b": "string"},
        kind,
    )
    before = prompt.to_dict()
    start = threading.Barrier(8)
    wrong = []

    def work(number):
        start.wait(10)
        for turn in range(200):
            a, b = "a%d-%d" % (number, turn), "b%d" % number
            first, second = format_prompt(prompt, {"a": a, "b": b})
            if (first.content, second.parts[0].text) != ("%s and %s" % (a, b), "<%s>" % a):
                wrong.append((number, turn, first, second))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert prompt.to_dict() == before


# -- work and memory are bounded --------------------------------------------------------------------------------------

MANY = 500_000


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{" * MANY, "{{" * MANY),
        ("}}" * MANY, "}}" * MANY),
        ("{" * MANY, "{" * MANY),
        ("{{}}" * MANY, "{{}}" * MANY),
        ("{{a" * MANY, "{{a" * MANY),
        ("{{ " * MANY + "}}", "{{ " * MANY + "}}"),
        ("{{a}}" * MANY, "A" * MANY),
        ("x{{b}}" * MANY, "x{{b}}" * MANY),
    ],
    ids=lambda value: value[:8],
)
def test_a_hostile_template_takes_no_more_than_linear_time(template, text):
    # In quadratic time, each of these would take an hour.
    assert rendered(template, A, {"a": "A"}) == text


def test_hostile_keys_of_great_number_are_no_matter():
    declared = {"k%d" % number: "string" for number in range(20_000)}
    template = "".join("{{%s}}" % key for key in declared)
    assert rendered(template, declared, dict.fromkeys(declared, "x")) == "x" * 20_000


def test_a_template_cannot_ask_for_any_amount_of_memory():
    megabyte = "x" * (1 << 20)
    with pytest.raises(TemplateError, match=r"messages\[0\]: the messages would have more than 33554432 characters"):
        rendered("{{a}}" * 1_000_000, A, {"a": megabyte})
    # The bound is for all messages together.
    contents = ["{{a}}" * 16, "{{a}}" * 15, ".", "{{a}}"]
    prompt = prompt_of([{"content": content} for content in contents], A)
    assert sum(len(message.content) for message in format_prompt(prompt, {"a": megabyte})) == 32 * len(megabyte) + 1
    with pytest.raises(TemplateError, match=r"messages\[3\]: the messages would have more"):
        format_prompt(prompt, {"a": megabyte + "y"})


@pytest.fixture
def kept():
    template_module._compiled.clear()
    yield template_module._compiled
    template_module._compiled.clear()


def test_a_template_is_compiled_once_and_no_value_stays_in_it(kept):
    assert rendered("x {{a}}", A, {"a": "A"}) == "x A"
    (compiled,) = kept.values()
    assert rendered("x {{a}}", A, {"a": "B"}) == "x B"
    assert next(iter(kept.values())) is compiled
    assert compiled == (["x ", "", ""], ["a"])


def test_templates_that_never_come_again_do_not_pile_up(kept):
    for number in range(3 * MAX_KEPT):
        assert rendered("%d {{a}}" % number, A, {"a": "A"}) == "%d A" % number
        assert len(kept) <= MAX_KEPT


def test_what_is_kept_of_a_template_has_a_bound_in_bytes(kept):
    shapes = ["{{a}}", "{{}}", "{{ab}}c", "{{文}}", "{{😀😀}}文", "x" * 100, "{{%s}}" % ("k" * 100)]
    for shape in shapes:
        for exponent in range(90):
            rendered(shape * int(1.1**exponent), A, {"a": "A"})
    assert len(kept) > 100
    for template, (pieces, tags) in kept.items():
        strings = {id(string): sys.getsizeof(string) for string in (template, *pieces, *tags)}
        assert sum(strings.values()) + sys.getsizeof(pieces) + sys.getsizeof(tags) <= MAX_KEPT_BYTES
