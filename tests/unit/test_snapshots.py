"""A plain input is copied at once, and its JSON is the same as if it had been written at once."""

from __future__ import annotations

import collections
import enum
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite import new_client
from cozeloop_lite.trace import content, snapshots, values
from cozeloop_lite.trace.encoding import TEXT_BYTES
from cozeloop_lite.trace.snapshots import plain_copy

LIMIT = 1 << 20

texts = st.text(st.characters(), max_size=20)  # lone surrogates are some of them
numbers = st.integers(-(1 << 70), 1 << 70) | st.floats() | st.booleans() | st.none()
keys = texts | numbers | st.tuples(st.integers())  # most are texts
plain = st.recursive(
    texts | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
containers = st.lists(plain, max_size=4) | st.dictionaries(keys, plain, max_size=4)


@given(containers)
def test_its_text_is_that_of_the_value(value):
    copy = plain_copy(value, LIMIT)
    if copy is not None:
        assert snapshots.text(copy) == values.to_text(value, LIMIT)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"messages": [{"role": "user", "content": "上海"}, {"role": "tool", "content": None}]},
        {"args": [1, 0.5, True, {"deep": [[{}]]}], "text": "\ud800"},
        {"not a number": float("nan"), "infinite": [float("inf")]},
        {"content": "a text", "parts": 0},
    ],
)
def test_what_is_plain_is_copied(value):
    copy = plain_copy(value, LIMIT)
    assert type(copy) is bytes
    assert snapshots.text(copy) == values.to_text(value, LIMIT)


class Colour(enum.Enum):
    RED = "red"


class Word(str):
    """A text with ideas of its own."""

    def __eq__(self, other):
        raise ValueError("no")

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "value",
    [
        {"a": object()},
        {"a": (1, 2)},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": [Colour.RED]},
        {"a": Word("b")},
        {Word("content"): [1]},
        {2: "a"},
        {None: "b"},
        {(1, 2): "a key that JSON does not have"},
        {memoryview(b"a"): "a key of which marshal copies the bytes"},
        {"a": collections.OrderedDict(b=1)},
        {"a": 1 << 64},
        [-1 << 64],
        [print],
        {"a": print.__class__},
        {"a": (lambda: None).__code__},
    ],
)
def test_what_has_a_form_of_its_own_is_not(value):
    assert plain_copy(value, LIMIT) is None


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"content": [{"type": "image_url"}]}]},
        {"messages": [{"parts": [{"type": "image_url"}]}]},
        {"choices": [{"message": {"content": "hi"}}]},
    ],
)
def test_what_may_have_files_is_left_to_those_who_look_for_them(value):
    assert plain_copy(value, LIMIT) is None


@pytest.mark.parametrize(
    "value", [["x" * 60, "y" * 60], {"a": "x" * 101}, {"a": {"b": ["x" * 101]}}, {"x" * 101: 1}, [0] * 13]
)
def test_what_has_more_characters_than_anybody_looks_at_is_not_copied(value):
    assert plain_copy(value, 100) is None


def test_what_contains_itself_ends():
    around: list[object] = ["a"]
    around.extend([around, around])
    assert plain_copy(around, LIMIT) is None


def test_a_deep_nest_is_not_copied():
    deep: list[object] = []
    for _ in range(snapshots._MAX_DEPTH):
        deep = [deep]
    assert plain_copy(deep, LIMIT) is None
    assert plain_copy(deep[0], LIMIT) is not None


def test_what_appears_many_times_counts_each_time():
    wide: object = ["text"]
    for _ in range(20):
        wide = [wide, wide]
    assert plain_copy(wide, LIMIT) is None


@pytest.mark.parametrize("item", ["\x00", 123456789, -0.1234567890123456e-200, True, None, [], {}, 1 << 63])
@pytest.mark.parametrize("spoiler", [float("nan")])
def test_no_json_is_cut_for_being_longer_than_its_copy(item, spoiler):
    value = [spoiler] + [item] * 9000
    text = snapshots.text(plain_copy(value, LIMIT))
    assert json.loads(text)[1:] == [item] * 9000


def test_a_list_that_grows_all_the_time_is_copied_all_the_same():
    endless = ["a"]

    def grow(frame, event, arg):  # at each line, as another thread might
        if len(endless) < 10_000:
            endless.append("b")
        return grow

    before = sys.gettrace()
    sys.settrace(grow)
    try:
        copy = plain_copy([endless], LIMIT)
    finally:
        sys.settrace(before)
    assert type(copy) is bytes
    assert len(endless) < 1000


def test_a_mask_is_given_little_more_than_can_be_sent(sink):
    seen = []
    with new_client(
        workspace_id="7", api_token="t", exporter=sink, mask=lambda text: seen.append(text) or text
    ) as client, client.start_span("step", "custom") as span:
        span.set_input(["\x00" * 1000] * 900)
    assert max(map(len, seen)) == TEXT_BYTES + 1 + content.MASK_MARGIN
    (wire,) = sink.spans
    assert "input" in wire["system_tags_string"]["cut_off"]


def test_a_later_change_is_not_seen(client, sink):
    value = {"messages": [{"role": "user", "content": "before"}]}
    with client.start_span("step", "model") as span:
        span.set_input(value)
        span.set_output(value)
        value["messages"][0]["content"] = "after"
        value["messages"].append({})
    client.flush()
    (wire,) = sink.spans
    assert wire["input"] == wire["output"] == '{"messages":[{"role":"user","content":"before"}]}'


def test_a_copy_for_which_there_is_no_room_becomes_as_much_text_as_a_span_can_have(client):
    span = client.start_span("step", "model")
    span.set_ultra_large_report(True)
    span.set_input({"text": "x" * 3_000_000})
    content.lighten(span)
    assert span._input == '{"text":"'.ljust(TEXT_BYTES + 1, "x")
