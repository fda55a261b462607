"""A value becomes text: what each kind looks like, and that no value raises, hangs, or costs more than can be sent."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import itertools
import json
import pathlib
import sys
import tracemalloc
import types
import typing
import uuid
from unittest.mock import MagicMock, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite.trace.values import MAX_ITEMS, REPR_CHARS, describe, error_text, tag_value, to_text

LIMIT = 1_048_577
HUGE = 1 << 332_193  # about 10**100000, without computing it


def text(value, limit=LIMIT):
    return to_text(value, limit)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):
    FAST = "fast"


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Message:
    role: str
    content: typing.Any = None
    parent: typing.Any = None
    kind: typing.ClassVar[str] = "not a field"
    seed: dataclasses.InitVar[int] = None


@dataclasses.dataclass
class WithInit:
    name: str
    seed: dataclasses.InitVar[int]

    def __post_init__(self, seed):
        self.name += str(seed)


class Pydantic2:
    def model_dump(self):
        return {"name": "two", "when": datetime.date(2024, 1, 2)}

    def dict(self):
        raise AssertionError("deprecated in pydantic 2")


class Pydantic1:
    __fields__ = {"name": None}

    def dict(self):
        return {"name": "one"}


class NumpyScalar:
    dtype, size = "int64", 1

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


class NumpyArray:
    dtype = "int64"

    def __init__(self, size):
        self.size = size

    def tolist(self):
        assert self.size <= MAX_ITEMS, "a large array must not be listed"
        return list(range(self.size))

    def __repr__(self):
        return "array([0, 1, ...])"


class TextWithRepr(str):
    def __str__(self):
        return "overridden"


# -- what a value looks like ----------------------------------------------------------------------------------------


def test_text_is_taken_as_it_is():
    value = 'already {"json": true}, 中文, \x00'
    assert text(value) is value


def test_none_is_absence():
    assert text(None) is None
    assert tag_value(None, 100) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(False, "false"), (0, "0"), ("", ""), ([], "[]"), ({}, "{}"), ((), "[]"), (0.0, "0.0"), (True, "true")],
)
def test_what_is_false_is_a_value_all_the_same(value, expected):
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"问": ["答", 1, 2.5, None, True]}, '{"问":["答",1,2.5,null,true]}'),
        (Color.RED, "red"),
        ([Color.RED, Level.HIGH, Mode.FAST], '["red",3,"fast"]'),
        (Level.HIGH, "3"),
        (Mode.FAST, "fast"),
        ({Mode.FAST: 1, Level.HIGH: 2}, '{"fast":1,"3":2}'),
        (Message("user", ["hi"]), '{"role":"user","content":["hi"],"parent":null}'),
        (WithInit("a", 1), '{"name":"a1"}'),
        ([Message("a"), {"m": Message("b")}], '[{"role":"a","content":null,"parent":null},'
         '{"m":{"role":"b","content":null,"parent":null}}]'),
        (Pydantic2(), '{"name":"two","when":"2024-01-02"}'),
        (Pydantic1(), '{"name":"one"}'),
        ({"m": [Pydantic1()]}, '{"m":[{"name":"one"}]}'),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
        ([datetime.date(2024, 1, 2), datetime.time(3, 4)], '["2024-01-02","03:04:00"]'),
        (datetime.timedelta(seconds=5), "0:00:05"),
        (b"plain \xe4\xb8\xad", "plain 中"),
        (b"\xff\x00", "/wA="),
        ([bytearray(b"ab"), memoryview(b"cd")], '["ab","cd"]'),
        ({3, 1, 2}, "[1,2,3]"),
        (frozenset(["b", "a"]), '["a","b"]'),
        (pathlib.PurePosixPath("/tmp/a"), "/tmp/a"),
        (ValueError("bad"), "ValueError: bad"),
        ([KeyError("k")], '["KeyError: \'k\'"]'),
        (NumpyScalar(7), "7"),
        ({"n": NumpyScalar(1.5)}, '{"n":1.5}'),
        (NumpyArray(3), "[0,1,2]"),
        (NumpyArray(MAX_ITEMS + 1), "array([0, 1, ...])"),
        (Point(1, 2), "[1,2]"),
        ([Point(1, 2)], "[[1,2]]"),
        (collections.deque([1, 2]), "[1,2]"),
        (collections.OrderedDict(a=1), '{"a":1}'),
        (collections.defaultdict(list, a=[1]), '{"a":[1]}'),
        (collections.UserDict(a=1), '{"a":1}'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        ({"a": 1}.keys(), '["a"]'),
        (range(3), "[0,1,2]"),
        (decimal.Decimal("1.10"), "1.10"),
        ([uuid.UUID(int=1)], '["00000000-0000-0000-0000-000000000001"]'),
        (ipaddress.ip_address("::1"), "::1"),
        (TextWithRepr("under"), "under"),
        (int, "<class 'int'>"),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, '{"1":"a","null":"b","false":"c","1.5":"d"}'),
        ({(1, 2): "a", b"k": "b"}, '{"(1, 2)":"a","k":"b"}'),
        ({frozenset([1]): 1, Color.RED: 2}, '{"frozenset({1})":1,"red":2}'),
        ({"a": [float("nan"), float("inf"), float("-inf")], "b": 1}, '{"a":["NaN","Infinity","-Infinity"],"b":1}'),
        ({float("nan"): 1}, '{"NaN":1}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_has_a_sensible_form(value, expected):
    assert text(value) == expected


def test_a_lone_surrogate_stays_until_it_is_encoded():
    assert text(["\ud800"]) == '["\ud800"]'


# -- what a value costs ---------------------------------------------------------------------------------------------


def test_a_generator_is_not_consumed():
    generator = (number for number in range(3))
    assert "generator" in text({"stream": generator, "iterator": iter([1])})
    assert list(generator) == [0, 1, 2]


def test_later_changes_are_not_reported():
    messages = [{"content": "before"}]
    snapshot = text(messages)
    messages[0]["content"] = "after"
    assert snapshot == '[{"content":"before"}]'


TEN_MILLION = 10_000_000


class Wrapper:
    """Something with a list inside, as pydantic models have."""

    def __init__(self, inside):
        self.inside = inside

    def model_dump(self):
        return {"inside": self.inside}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda items: items,
        lambda items: {"a": [items]},
        lambda items: tuple(items),
        lambda items: Wrapper(items),
        lambda items: [Wrapper(items)],
        lambda items: [Wrapper([Wrapper(items)])],
        lambda items: Message("user", items),
        lambda items: [Message("user", Message("user", items))],
        lambda items: collections.deque(items),
        lambda items: [collections.deque(items)],
        lambda items: collections.UserList(items),
        lambda items: {"odd": float("nan"), "items": items},
        lambda items: {(1, 2): items},
        lambda items: type("Sub", (list,), {})(items),
        lambda items: [type("Sub", (list,), {})(items)],
    ],
)
def test_the_text_of_ten_million_items_is_no_longer_than_can_be_sent(wrap):
    assert len(text(wrap([12345] * TEN_MILLION), 2000)) == 2001


@pytest.mark.parametrize(
    "value",
    [
        {str(number): number for number in range(200_000)},
        set(range(200_000)),
        [set(range(200_000))],
        {str(number): number for number in range(200_000)}.keys(),
        types.MappingProxyType({number: number for number in range(200_000)}),
        {"k" * 1_000_000: 1},
        ["x" * 1_000_000],
        b"x" * 1_000_000,
        [Wrapper("x" * 1000) for _ in range(1000)],
        ["\x00" * 900] * 1000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_large_value_ends_soon_after_the_limit(value):
    assert 2000 <= len(text(value, 2000)) <= 2001


def test_no_more_objects_are_asked_for_their_form_than_can_be_sent():
    asked = []

    class Asked(Wrapper):
        def model_dump(self):
            asked.append(self)
            return super().model_dump()

    for value in ([Asked("x" * 900) for _ in range(500)], [Asked([1] * 450), float("nan")] * 500):
        text(value, 2000)
        assert len(asked) < 20
        asked.clear()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda v: {"a": v},
        lambda v: [1, v, 2],
        lambda v: [{"a": [v]}],
        lambda v: [Wrapper(v), v],
        lambda v: [1.0, float("nan"), v],
    ],
)
def test_of_a_text_that_is_too_much_alone_no_more_is_written_than_can_be_sent(wrap):
    value = wrap('"' * 10_000_000)
    tracemalloc.start()
    try:
        shown = text(value, 2000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(shown) == 2001
    assert shown.endswith(('\\"' * 100, '"\\' * 100))
    assert peak < 1_000_000


def test_what_is_asked_for_its_form_on_the_slow_way_counts_once():
    value = [uuid.UUID(int=5)] * 20
    whole = [str(value[0])] * 20
    assert json.loads(text([float("nan"), *value], 1000)) == ["NaN", *whole]
    assert len(text([float("nan"), *value], 700)) == 701


def test_keys_that_become_one_cost_no_text_after_them():
    value = {1: "x" * 700, "1": "y" * 700, b"1": {"1": "z" * 700}, "end": 5}
    shown = text({"n": float("nan"), **value}, 2200)
    assert shown == '{"n":"NaN","1":"%s","1":"%s","1":{"1":"%s"},"end":5}' % ("x" * 700, "y" * 700, "z" * 700)
    assert len(text({"n": float("nan"), **value}, 2100)) == 2101


def test_a_small_value_is_never_shortened():
    value = [{"k%d" % number: ["x" * number, number, None]} for number in range(100)]
    whole = json.dumps(value, separators=(",", ":"))
    assert text(value, len(whole)) == whole


def test_a_large_range_is_described():
    assert text(range(10**9)) == "range(0, 1000000000)"
    assert text({"r": range(10**9)}) == '{"r":"range(0, 1000000000)"}'


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {v: v}, lambda v: [Wrapper(v)], lambda v: {v}])
def test_a_huge_int_is_written_in_hexadecimal_and_cut(wrap, sign):
    value = sign * HUGE
    assert "0x8" in text(wrap(value))
    assert len(text(wrap(value))) < 2 * REPR_CHARS + 100


def test_an_int_that_can_be_written_is_written():
    assert text([10**70]) == "[1" + "0" * 70 + "]"
    assert text([1 << 300]) == '["0x1%s"]' % ("0" * 75)


def test_describing_a_huge_int_writes_no_decimal_digits():
    class Digits(int):
        def __repr__(self):
            raise AssertionError("quadratic")

    assert describe(HUGE).startswith("0x")
    assert error_text(HUGE).startswith("0x")
    assert describe(Digits(HUGE))
    assert describe(12) == "12"
    assert describe([HUGE]).startswith('["0x')


def test_describing_a_container_looks_at_no_more_than_is_shown():
    assert len(describe([12345] * TEN_MILLION)) == REPR_CHARS + 1
    assert len(error_text({"k": [12345] * TEN_MILLION})) == REPR_CHARS + 1


# -- what cannot be written -----------------------------------------------------------------------------------------


def test_a_cycle_ends():
    items = [1]
    items.append(items)
    tree = {"name": "root"}
    tree["self"] = tree
    node = Message("a")
    node.parent = [node]
    assert text(items) == '[1,"<circular reference>"]'
    assert text(tree) == '{"name":"root","self":"<circular reference>"}'
    assert text(node) == '{"role":"a","content":null,"parent":["<circular reference>"]}'


def test_one_object_in_two_places_is_no_cycle():
    shared = ["x"]
    assert text({"a": shared, "b": shared, "n": float("nan")}) == '{"a":["x"],"b":["x"],"n":"NaN"}'


def test_a_graph_that_unfolds_without_end_is_bounded():
    value = ["x"]
    for _ in range(60):
        value = [value, value]
    assert len(text(value, 1000)) < 3000
    assert len(text([value, float("nan")], 1000)) < 3000
    assert len(text([EndlessNest(), float("nan")], 1000)) < 3000


@pytest.mark.parametrize("step", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: Wrapper(v)])
@pytest.mark.parametrize("limit", [10, LIMIT])
def test_a_hundred_thousand_levels_are_survived(step, limit):
    value = None
    for _ in range(100_000):
        value = step(value)
    assert text(value, limit)
    while value is not None:  # taken apart from outside in: freeing it in one go is deep, too
        value = next(iter(value.values() if isinstance(value, dict) else value), None) if isinstance(
            value, (list, dict, tuple)) else value.inside


def test_deep_nesting_does_not_rely_on_the_recursion_limit():
    """With a high limit the C encoder would run out of stack, which ends the process."""
    value = []
    for _ in range(100_000):
        value = [value]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        result = text(value)
    finally:
        sys.setrecursionlimit(before)
    assert "nested too deeply" in result


def test_there_is_a_text_even_with_little_stack_left():
    def deep(levels):
        return deep(levels - 1) if levels else text({"a": [{1, 2}, float("nan"), Message("x")]})

    def levels_left():
        try:
            return 1 + levels_left()
        except RecursionError:
            return 0

    room = levels_left()
    results = []
    for levels in range(room - 120, room - 20, 5):
        try:
            results.append(deep(levels))
        except RecursionError:
            break  # this test's own frames
    assert results
    assert all(results)


class Hostile:
    """Everything about it raises."""

    def __getattribute__(self, name):
        raise RuntimeError("no attributes")

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __hash__ = __eq__ = __bool__ = __len__ = __iter__ = __repr__


class RaisingModel:
    def model_dump(self):
        raise RuntimeError("no dump")

    def __repr__(self):
        return "RaisingModel()"


class RaisingMapping(dict):
    def items(self):
        raise RuntimeError("no items")

    __iter__ = keys = values = items


class EndlessModel:
    def model_dump(self):
        return EndlessModel()


class EndlessNest:
    def model_dump(self):
        return {"a": [EndlessNest(), EndlessNest()]}


class LyingLength(collections.abc.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index  # no IndexError: never ends


class FakeDataclass:
    __dataclass_fields__ = {"a": None}


class NameRaises(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Nameless(metaclass=NameRaises):
    def __repr__(self):
        raise RuntimeError("no repr")


class HashRaises(str):
    def __hash__(self):
        raise RuntimeError("no hash")

    def __eq__(self, other):
        raise RuntimeError("no eq")


HOSTILE = [
    Hostile(),
    Hostile,
    RaisingModel(),
    RaisingMapping(a=1),
    EndlessModel(),
    LyingLength(),
    FakeDataclass(),
    FakeDataclass,
    Nameless(),
    MagicMock(),
    Mock(),
    MagicMock(spec=dict),
    MagicMock(spec=Color),
    HashRaises("x"),
    HUGE,
    float("nan"),
    "\ud800",
    object(),
    itertools.count(),
    range(10**9),
    memoryview(b"abcd")[::2],
    sys,
    len,
    ...,
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_a_hostile_value_costs_no_more_than_itself(index):
    value = HOSTILE[index]
    whole = text({"before": 1, "it": [value], "after": 2})
    assert whole.startswith('{"before":1,"it":[')
    assert whole.endswith('],"after":2}')
    json.loads(whole)
    for result in (text(value), text([value]), tag_value(value, 1000), describe(value), error_text(value)):
        assert result is not None


def test_a_hostile_key_costs_no_more_than_itself():
    class Key(Hostile):
        def __hash__(self):
            return 1

    assert json.loads(text({"a": 1, Key(): 2, "b": 3}))["b"] == 3


def test_a_raising_repr_is_named_by_its_type():
    assert "Hostile" in describe(Hostile())
    assert "Hostile" in text(Hostile())


def test_a_mock_is_described_rather_than_believed():
    assert "MagicMock" in text(MagicMock(name="llm"))
    assert "llm" in text({"client": MagicMock(name="llm")})


def test_a_long_repr_is_cut():
    class Long:
        def __repr__(self):
            return "x" * 1_000_000

    assert text(Long()) == "x" * REPR_CHARS + "…"


# -- tags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (True, True),
        (5, 5),
        (1.5, 1.5),
        (HUGE, HUGE),
        (Level.HIGH, 3),
        (NumpyScalar(7), 7),
        (NumpyScalar(True), True),
        ({"a": 1}, '{"a":1}'),
        (["x"], '["x"]'),
        (b"x", "x"),
        (Mode.FAST, "fast"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_tag_keeps_numbers_and_truth_and_makes_text_of_the_rest(value, expected):
    result = tag_value(value, 1025)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("value", ["x" * 5000, ["x" * 5000], b"x" * 5000, {"k" * 5000: 1}, list(range(5000))], ids=type)
def test_a_tag_keeps_no_more_text_than_shows_that_it_was_cut(value):
    assert len(tag_value(value, 1025)) == 1025


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("bad"), "bad"),
        ("bad", "bad"),
        ("", "error"),
        (ValueError(), "ValueError()"),
        (TextWithRepr("bad"), "bad"),
        (KeyError("k"), "'k'"),
    ],
)
def test_an_error_is_shown_by_its_message_or_its_type(error, expected):
    result = error_text(error)
    assert result == expected
    assert type(result) is str


# -- any value ------------------------------------------------------------------------------------------------------


def hostile(index):
    return HOSTILE[index]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**60, max_value=10**90),
    st.floats(),
    st.text(),
    st.text(st.characters()),
    st.text(st.characters(min_codepoint=0xD7FF, max_codepoint=0xE000)),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.integers(1, len(HOSTILE) - 1).map(hostile),  # hypothesis itself does not survive the first
)
keys = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(), st.tuples(st.text()))
any_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(keys, inner), st.tuples(inner, inner), st.builds(Message, st.text(), inner)
    ),
    max_leaves=20,
)


@given(any_values)
def test_any_value_becomes_text_that_json_readers_take(value):
    result = text(value)
    assert result is None if value is None else type(result) is str
    if isinstance(value, (list, dict, tuple)):
        json.loads(result, parse_constant=pytest.fail)


@given(any_values, st.integers(1, 50))
def test_any_value_is_bounded_as_a_tag(value, limit):
    result = tag_value(value, limit)
    assert type(result) in (str, int, float, bool, type(None))
    assert not isinstance(result, str) or len(result) <= limit


def test_a_key_that_is_no_text_is_whole_beside_a_value_that_is_cut():
    assert to_text({b"key": "x" * 100, float("nan"): 1}, 20).startswith('{"key":"xxx')
