"""What waits of a finished span is all that is told of it, and nothing to Python's garbage collector."""

from __future__ import annotations

import contextlib
import datetime
import gc
import json
import threading
import tracemalloc

import pytest

from cozeloop_lite import new_client
from cozeloop_lite.trace.content import lighten
from cozeloop_lite.trace.encoding import Limits, encode
from cozeloop_lite.trace.record import NAME, PARENT_ID, START_NS, record_of, weight
from cozeloop_lite.trace.span import Span

MANY = 10_000
MOMENT = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)


class Exporter:
    """One that waits until it may go on."""

    def __init__(self):
        self.go = threading.Event()
        self.spans = []

    def export_spans(self, spans):
        self.go.wait(60)
        self.spans += spans


def test_the_named_places_of_a_record_have_what_they_say(client):
    with client.start_span("outer", "custom") as outer:
        span = client.start_span("step", "model")
        span.finish()
    kept = record_of(span)
    assert (kept[NAME], kept[PARENT_ID], kept[START_NS]) == ("step", outer._id, span._start_ns)
    assert record_of(outer)[PARENT_ID] == 0


def test_a_span_that_waits_is_told_of_as_it_was_when_it_was_finished():
    exporter = Exporter()
    client = new_client(workspace_id="1", api_token="t", exporter=exporter)
    span = client.start_span("step", "model")
    span.set_tags({"number": 1})
    span.set_baggage({"user_id": "u"})
    span.finish()
    span.set_tags({"late": 1})
    span.set_baggage({"late": "yes"})
    span.set_status_code(7)
    span.set_finish_time(MOMENT)
    span.set_input("late")
    exporter.go.set()
    client.close()
    (wire,) = exporter.spans
    assert (wire["tags_long"], wire["tags_string"]) == ({"number": 1}, {"user_id": "u"})
    assert (wire["status_code"], wire["input"]) == (0, "")
    assert wire["duration_micros"] < 3600 * 10**6


def test_a_tag_that_comes_while_the_record_is_made_takes_the_place_of_no_other(client):
    class Growing(dict):
        def values(self):
            self["late %d" % len(self)] = "from another thread"
            return super().values()

    span = client.start_span("step", "model")
    span.set_input_tokens(3)
    span._tags = Growing(span._tags)
    span.finish()
    assert json.loads(encode(record_of(span), Limits("7")))["tags_long"] == {"input_tokens": 3, "tokens": 3}


@contextlib.contextmanager
def garbage_collections(collected):
    """One at nearly every step, which calls ``collected(phase, info)``."""
    threshold = gc.get_threshold()
    try:
        gc.callbacks.append(collected)
        gc.set_threshold(1)
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)


def test_a_garbage_collection_that_gives_up_the_turn_while_the_record_is_made_does_no_harm(client):
    """Up to CPython 3.11 one may begin wherever an object is made, and with it run whatever the program hung on it."""
    span = client.start_span("step", "model")
    span.set_tags({"tag %d" % number: number for number in range(20)})
    span.finish()
    collections = []

    def collected(phase, info):
        collections.append(phase)
        span._tags["late %d" % len(collections)] = 1  # as another thread would

    with garbage_collections(collected):
        for _ in range(20):
            record_of(span)
    assert collections


def test_a_span_ends_in_the_microsecond_that_was_said(client):
    span = client.start_span("step", "model")
    span._start_ns = span._start_ns // 1000 * 1000 + 500  # the clock has nanoseconds
    span.set_finish_time(span._start_ns // 1000 + 2)
    span.finish()
    assert json.loads(encode(record_of(span), Limits("7")))["duration_micros"] == 2


def test_the_span_itself_does_not_wait():
    """Nor do the spans around it, of which it knows."""
    exporter = Exporter()
    client = new_client(workspace_id="1", api_token="t", exporter=exporter)
    with client.start_span("a name that nobody else has", "custom"):
        client.start_span("a name that nobody else has", "custom").finish()
    assert client.stats()["queued"] == 2
    spans = [thing for thing in gc.get_objects() if type(thing) is Span]
    assert "a name that nobody else has" not in [span._name for span in spans]
    exporter.go.set()
    client.close()


def test_spans_that_wait_are_no_work_for_the_garbage_collector():
    """Whose pauses every thread of the program would feel."""
    exporter = Exporter()
    client = new_client(workspace_id="1", api_token="t", exporter=exporter)
    watched = []
    for count in (MANY, 4 * MANY):
        for number in range(count):
            with client.start_span("step", "custom") as span:
                span.set_input("text %d" % number)
                span.set_tags({"number": number, "text": "t"})
                span.set_baggage({"user_id": "u"})
        for _ in range(3):  # a tuple is left alone from when those in it are
            gc.collect()
        watched.append(len(gc.get_objects()))
    assert client.stats()["queued"] == 5 * MANY
    assert watched[1] - watched[0] < MANY / 10
    exporter.go.set()
    client.close(300)  # which encodes them all
    assert client.stats()["delivered"] == 5 * MANY


def test_to_weigh_it_runs_no_code_of_the_program(client):
    class Key(str):
        def __str__(self):
            return self

        def __repr__(self):
            raise RuntimeError("not to be asked")

        __hash__ = str.__hash__

    with client.start_span("step") as span:
        span.set_system_tags({Key("key"): 1})
    assert client.stats()["finished"] == 1


class Growing(dict):
    """Grows while it is looked through, as by a setter on another thread that began before the span was finished."""

    def __iter__(self):
        for key in dict.__iter__(self):
            self["late %d" % len(self)] = self[key]
            yield key

    def items(self):
        return ((key, self[key]) for key in self)

    def values(self):
        return (self[key] for key in self)


IMAGE = {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64," + "A" * 1000}}]}]}


@pytest.mark.parametrize("room", [True, False])
def test_what_surrounds_a_span_may_change_while_it_is_lightened_and_encoded(client, room):
    span = client.start_span("step")
    span.set_input(IMAGE)
    span.set_system_tags({"tag": "text"})
    for name in ("files", "system_tags"):
        span._extra[name] = Growing(span._extra[name])
    span.finish()
    if not room:
        lighten(span)
    assert encode(record_of(span), Limits("7"), {})


def deep(levels):
    return [deep(levels - 1)] if levels else []


@pytest.mark.parametrize(
    "extra",
    [{"n": 10**5000}, {"deep": deep(30)}, {"wide": [{} for _ in range(200)]}, {"text": "\x00" * 900}],
    ids=["a long number", "deep", "wide", "escapes"],
)
def test_whatever_surrounds_a_span_it_can_be_weighed(client, sent, extra):
    with client.start_span("step") as span:
        span.set_runtime({"library": "mine", "extra": extra})
        span.set_system_tags({"n": 10**5000})
    assert len(sent()) == 1


def test_what_surrounds_a_span_may_change_while_it_is_weighed(client):
    """As another thread does whose setter was called before the span was finished."""
    span = client.start_span("step")
    span.set_system_tags({"tag %d" % number: "text" for number in range(50)})
    span.finish()
    record = record_of(span)
    collections = []

    def collected(phase, info):
        collections.append(phase)
        span._extra["late %d" % len(collections)] = "text"
        span._extra["system_tags"]["late %d" % len(collections)] = "text"

    with garbage_collections(collected):
        for _ in range(20):
            weight(record)


KINDS = {
    "bare": lambda span, n: None,
    "texts": lambda span, n: (span.set_input("x" * 500 + str(n)), span.set_output("上海" * 100 + str(n))),
    "messages": lambda span, n: span.set_input([{"role": "user", "content": "question %d" % n}] * 3),
    "a long name": lambda span, n: setattr(span, "_name", "x" * 5000 + str(n)),
    "a long type": lambda span, n: setattr(span, "_span_type", "x" * 5000 + str(n)),
    "long keys": lambda span, n: span.set_tags({"x" * 1000 + str(place + n): n for place in range(30)}),
    "numbers": lambda span, n: span.set_tags({"key %d" % place: n + place / 3 for place in range(30)}),
    "short tags": lambda span, n: span.set_tags({"key %d" % place: "value %d" % n for place in range(50)}),
    "wide tags": lambda span, n: span.set_tags({"key %d" % place: "上" * 300 + str(n) for place in range(5)}),
    "system tags": lambda span, n: span.set_system_tags({"key %d" % place: "x" * 500 + str(n) for place in range(20)}),
    "runtime": lambda span, n: span.set_runtime({"library": "library %d" % n, "extra": {"n": n}}),
    "service": lambda span, n: span.set_service_name("x" * 1000 + str(n)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_counts_for_is_what_it_holds(client, kind):
    def finished(number):
        span = client.start_span("step", "model")
        KINDS[kind](span, number)
        span.discard()  # it must not be held by whoever reports it, too
        span._duration_ns = 10**9 + number
        record = record_of(span)
        return record, weight(record)

    finished(0)  # what is made once
    gc.collect()  # and the tuples that Python keeps for later
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        waiting = [finished(number) for number in range(300)]
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.6 < sum(size for _, size in waiting) / held < 1.4
