"""The fuzzing finds what it looks for: faults that were planted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite.api import sse

from . import growth, inputs, running, values
from .feed import Feed, example
from .reader import Reader
from .readers import READERS

WORDS = ("a", "b", "key")
texts = st.text(st.characters(min_codepoint=8, blacklist_categories=["Cs"]))  # what is below has a meaning of its own
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def planted(data):
    if b"(" in data and data.count(b")") > 1:
        raise LookupError


def quadratic(data):
    """What a reader costs whose time grows with the square of its brackets."""
    return len(data) * 1e-7 + data.count(b"(") ** 2 * 1e-8


def test_inputs_are_the_same_in_each_run_and_others_in_each_block():
    reader = READERS["sse"]
    first = list(inputs.block(reader, 0))
    assert first == list(inputs.block(reader, 0))
    assert len(first) == inputs.BLOCK
    assert len(set(first)) > inputs.BLOCK * 0.9
    for other in (inputs.block(reader, 1), inputs.block(reader, 0, seed=1), inputs.block(READERS["mask"], 0)):
        assert len(set(first) & set(other)) < inputs.BLOCK * 0.1


def test_most_inputs_are_not_far_from_valid_ones():
    """Half of the texts of events still are some: what is read is not noise."""
    found = [b"data" in data and b"\n" in data for data in inputs.block(READERS["sse"], 0)]
    assert 0.5 < sum(found) / len(found) < 1


def test_a_fault_is_found_counted_and_made_small():
    reader = Reader("planted", planted, [b"some (text) with (brackets) in it"])
    outcome = running.run_block(reader, 0)
    assert outcome.count == inputs.BLOCK
    assert outcome.failed > running.KEPT_FAILURES == len(outcome.failures)
    failure = outcome.failures[0]
    assert failure.where.startswith("LookupError in planted")
    assert sorted(running.shrunk(planted, failure).data) == sorted(b"())")
    assert 0 < len(outcome.slowest) <= running.SLOWEST


def test_an_input_that_hangs_is_found(monkeypatch):
    def hang(data):
        while data.startswith(b"x"):
            pass

    monkeypatch.setattr(running, "HUNG_SECONDS", 0.5)
    monkeypatch.setattr(inputs, "block", lambda *_: [b"a", b"x", b"b"])
    outcome = running.run_block(Reader("hanging", hang, [b"x"]), 0)
    assert (outcome.count, outcome.failed) == (3, 1)
    assert outcome.failures[0].data == b"x"
    assert "HungError" in outcome.failures[0].where


def test_time_that_grows_too_fast_is_found():
    assert growth.grown(quadratic, b"", b"(", b"").factor > 3.5
    assert growth.grown(lambda data: 2.0 ** (len(data) / 50) / 10_000, b"", b"(", b"").factor > 3.5
    assert growth.grown(quadratic, b"((", b"a", b"").factor < 2.1
    assert growth.grown(lambda data: 1e-9 * len(data), b"", b"(", b"").factor == 0, "too short to tell"


def test_only_what_grows_too_fast_twice_is_reported(monkeypatch):
    monkeypatch.setattr(growth, "cpu_seconds", lambda fuzz_one, data, count: quadratic(data) if count == 1 else 0.001)
    assert growth.suspicious(Reader("noise", planted, []), b"(a)", 20) == []
    monkeypatch.setattr(growth, "cpu_seconds", lambda fuzz_one, data, count: quadratic(data))
    assert growth.suspicious(Reader("quadratic", planted, []), b"(a)", 20)


def test_a_real_reader_that_breaks_is_noticed(monkeypatch):
    monkeypatch.setattr(sse.Decoder, "end", lambda self: [])
    assert running.run_block(READERS["sse"], 0).failed > 10


@given(json_values)
def test_each_json_value_is_some_bytes(value):
    assert values.same(values.decode(values.encode(value, WORDS), WORDS), value)


@given(st.binary())
def test_all_bytes_are_some_json_value(data):
    values.same(values.decode(data, WORDS), None)


def test_decisions_come_from_the_end_and_content_from_the_front():
    feed = Feed(example(b"content", 3, 1, 0))
    assert feed.pick("abcd") == "d"
    assert feed.flag()
    assert feed.number(200) == 0
    assert feed.rest() == b"content"
    assert Feed(b"").number(65536) == 0
    longer = Feed(example(b"content" * 1000, 3))
    assert longer.pick("abcd") == "d"


@pytest.mark.parametrize("name", list(READERS))
def test_readers_are_pure(name):
    reader = READERS[name]
    chance = random.Random(1)
    for data in chance.sample(list(inputs.block(reader, 5)), 20):
        assert running.fails_at(reader.fuzz_one, data) == running.fails_at(reader.fuzz_one, data)
