"""Declared types of variables: what each takes, what it says of the rest, and how a value looks in a text."""

from __future__ import annotations

import collections
import datetime
import types

import pytest

from cozeloop_lite.entities.prompt import ContentPart, Message, ToolCall, VariableDef, VariableType
from cozeloop_lite.errors import InvalidParamError
from cozeloop_lite.prompt.variables import checked, messages_of, parts_of, text_of

USER = Message(role="user", content="hello")
TEXT = ContentPart(type="text", text="hello")
USER_DICT = {"role": "user", "content": "hello"}
TEXT_DICT = {"type": "text", "text": "hello"}
LOOP: list = []
LOOP.append(LOOP)


class Text(str):
    pass


def check(kind, value):
    return checked([VariableDef(key="k", type=kind)], {"k": value})


TAKES = {
    "string": ["", "text", "文", Text("t"), VariableType.STRING],
    "boolean": [True, False],
    "integer": [0, -1, 1 << 70],
    "float": [0.5, 1, -2, float("nan")],
    "object": [{}, {"a": [1]}, [1], "text", 1, True],
    "array<string>": [[], ["a"], ("a", "b")],
    "array<boolean>": [[], [True, False]],
    "array<integer>": [[], [1, 2]],
    "array<float>": [[], [1.5, 2]],
    "array<object>": [[], [{"a": 1}], [1, "a", None], {"a": 1}, "text"],
    "placeholder": [USER, [USER, USER], (USER,), [], USER_DICT, [USER_DICT, USER], types.MappingProxyType(USER_DICT)],
    "multi_part": [TEXT, [TEXT, TEXT], (TEXT,), [], TEXT_DICT, [TEXT_DICT, TEXT]],
    "a type of next year": [1, "a", {}, USER, object()],
}

REFUSES = {
    "string": [1, True, b"bytes", ["a"], {}, USER],
    "boolean": [1, 0, "true", "", [True]],
    "integer": [True, 1.0, "1", [1]],
    "float": [True, "1.5", [1.5]],
    "array<string>": ["ab", {"a"}, [1], ["a", None], {"a": "b"}],
    "array<boolean>": [True, [1], ["true"]],
    "array<integer>": [1, [True], [1.0], ["1"]],
    "array<float>": [1.5, [True], ["1"]],
    "placeholder": ["text", 1, TEXT, [USER, "text"], [None], TEXT_DICT, {}],
    "multi_part": ["text", 1, USER, [TEXT, USER], [None], USER_DICT, {}],
}


def cases(table):
    return [pytest.param(kind, value, id="%s-%d" % (kind, i)) for kind in table for i, value in enumerate(table[kind])]


@pytest.mark.parametrize(("kind", "value"), cases(TAKES))
def test_each_type_takes_its_values(kind, value):
    assert check(kind, value) == {"k": kind}


@pytest.mark.parametrize(("kind", "value"), cases(REFUSES))
def test_each_type_refuses_other_values_and_says_what_was_given_unless_it_is_an_item(kind, value):
    with pytest.raises(InvalidParamError) as caught:
        check(kind, value)
    name = "Message like object" if kind == "placeholder" else kind
    given = "" if isinstance(value, (list, tuple, dict)) else ", not " + type(value).__name__
    assert str(caught.value) == "type of variable 'k' should be %s%s" % (name, given)


def test_every_type_is_tried_here():
    assert {kind.value for kind in VariableType} == set(TAKES) - {"a type of next year"}
    assert set(REFUSES) == set(TAKES) - {"object", "array<object>", "a type of next year"}


@pytest.mark.parametrize("kind", list(TAKES))
def test_no_value_is_fine_for_every_type(kind):
    assert check(kind, None) == {"k": kind}
    assert checked([VariableDef(key="k", type=kind)], {}) == {"k": kind}


def test_a_wrong_variable_is_a_value_error_too():
    with pytest.raises(ValueError, match="type of variable 'k' should be integer"):
        check("integer", "7")


@pytest.mark.parametrize("wrong", range(5))
def test_all_declared_variables_are_checked(wrong):
    kinds = ["placeholder", "integer", "float", "array<integer>", "array<float>"]
    good = [USER, 1, 1.5, [1], [1.5]]
    defs = [VariableDef(key="k%d" % i, type=kind) for i, kind in enumerate(kinds)]
    values = {"k%d" % i: object() if i == wrong else value for i, value in enumerate(good)}
    with pytest.raises(InvalidParamError, match="'k%d'" % wrong):
        checked(defs, values)


def test_what_is_not_declared_is_not_checked():
    assert checked([VariableDef(key="a")], {"a": "x", "b": object()}) == {"a": "string"}


@pytest.mark.parametrize("defs", [None, [], [None]])
def test_nothing_declared(defs):
    assert checked(defs, {"a": 1}) == {}


def test_a_declaration_that_is_none_is_named():
    with pytest.raises(InvalidParamError, match="VariableDef, not str"):
        checked(["a"], {})


@pytest.mark.parametrize(
    "message",
    [
        {"content": "no role"},
        {"role": None, "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "not a list in this platform's messages"}]},
        {"role": "user", "content": {"a": 1}},
        {"role": "user", "parts": ["x"]},
        {"role": "user", "parts": [{"type": "image_url", "image_url": {"url": "http://x"}}]},
    ],
)
def test_a_dict_of_another_shape_is_no_message(message):
    with pytest.raises(InvalidParamError, match="Message like object"):
        check("placeholder", message)


# -- what variables bring ---------------------------------------------------------------------------------------------


def test_messages_are_copied_and_dicts_read():
    message = Message(role="assistant", tool_calls=[ToolCall(id="c")], metadata={"a": "b"})
    (copy,) = messages_of("k", message)
    assert copy == message
    assert copy is not message
    assert copy.tool_calls[0] is not message.tool_calls[0]
    assert copy.metadata is not message.metadata
    assert messages_of("k", [USER_DICT, USER]) == [USER, USER]


def test_entities_inside_of_a_dict_are_copied_too():
    (message,) = messages_of("k", {"role": "user", "parts": [TEXT]})
    assert message.parts == [TEXT]
    assert message.parts[0] is not TEXT


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_roles_that_a_placeholder_can_bring(role):
    assert messages_of("k", {"role": role, "content": "x"}) == [Message(role=role, content="x")]


@pytest.mark.parametrize("role", ["placeholder", "developer", ""])
@pytest.mark.parametrize("form", [dict, Message])
def test_roles_that_it_cannot(form, role):
    with pytest.raises(InvalidParamError) as caught:
        messages_of("k", [USER, form(role=role, content="x")])
    assert str(caught.value) == (
        "role of a message of variable 'k' must be system, user, assistant or tool, not %r" % role
    )


@pytest.mark.parametrize("role", [None, 5, ["user"]])
def test_a_role_that_is_no_text_is_refused(role):
    message = Message(content="x")
    message.role = role
    with pytest.raises(InvalidParamError, match="role of a message of variable 'k'"):
        messages_of("k", message)


def test_what_is_no_message_is_refused():
    with pytest.raises(InvalidParamError, match=r"^type of variable 'k' should be Message like object, not str$"):
        messages_of("k", "hello")


def test_parts_are_copied_and_dicts_read():
    part = ContentPart(type="video_url", video_url="http://v", config={"fps": 1})
    (copy,) = parts_of(part)
    assert copy == part
    assert copy.config is not part.config
    assert parts_of((TEXT_DICT, TEXT)) == [TEXT, TEXT]


# -- as text ----------------------------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        (None, ""),
        (Text("t"), "t"),
        (VariableType.STRING, "string"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (42, "42"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        ({"a": 1}, '{"a":1}'),
        ({"文": ["é", None, False]}, '{"文":["é",null,false]}'),
        (["x", "y"], '["x","y"]'),
        (Point(1, 2), "[1,2]"),
        ({"m": USER}, '{"m":{"role":"user","content":"hello"}}'),
    ],
)
def test_a_value_in_a_text_is_its_json(value, text):
    assert text_of(value, VariableType.OBJECT) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.date(2025, 1, 2), "2025-01-02"),
        ({2, 1}, "[1,2]"),
        (float("nan"), "NaN"),
        ({"a": float("inf")}, '{"a":"Infinity"}'),
        (LOOP, '["<circular reference>"]'),
        (b"bytes", "bytes"),
        (Ellipsis, "Ellipsis"),
    ],
)
def test_what_json_does_not_have_is_written_all_the_same(value, text):
    assert text_of(value, VariableType.OBJECT) == text


def test_a_long_value_is_not_cut():
    items = ["x" * 1000] * 3000
    assert len(text_of(items, VariableType.ARRAY_STRING)) == 3000 * 1003 + 1
    assert text_of("x" * 3_000_000, VariableType.STRING) == "x" * 3_000_000


@pytest.mark.parametrize("kind", ["placeholder", "multi_part"])
def test_messages_and_parts_have_no_text(kind):
    assert text_of([USER], VariableType(kind)) == ""
