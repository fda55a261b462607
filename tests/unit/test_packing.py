"""A span that waits as a tuple comes out as good as it was, and is nothing to Python's garbage collector."""

from __future__ import annotations

import datetime
import gc
import threading

import pytest

from cozeloop_lite import new_client
from cozeloop_lite.trace import box
from cozeloop_lite.trace.encoding import Limits, encode
from cozeloop_lite.trace.packing import SpanPacking

MOMENT = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture
def packing(client):
    return SpanPacking(client.tracer._owner)


@pytest.mark.parametrize(
    "describe",
    [
        lambda span: None,
        lambda span: span.set_input("in"),
        lambda span: span.set_output({"a": [1, "b"]}),
        lambda span: span.set_tags({"text": "t", "whole": 1, "part": 0.5, "true": True}),
        lambda span: span.set_baggage({"user_id": "u", "k": "v"}),
        lambda span: span.set_error(ValueError("no")),
        lambda span: span.set_finish_time(MOMENT),
        lambda span: span.set_status_code(7),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-%032x-%016x-01" % (5, 6), "tracestate": "a=b"}])
def test_a_packed_span_is_encoded_as_if_it_never_had_been(client, packing, describe, headers):
    with client.start_span("outer", "custom", child_of=client.get_span_from_header(headers)) as outer:
        outer.set_baggage({"inherited": "yes"})
        span = client.start_span("step", "model")
        describe(span)
        span.finish()
    packed = packing.pack(span)
    assert type(packed) is tuple
    unpacked = packing.unpack(packed)
    assert encode(unpacked, Limits("7")) == encode(span, Limits("7"))
    unpacked.set_tags({"late": 1})  # it is as finished as it was
    unpacked.finish()
    assert (unpacked._tags, client.stats()["finished"]) == (span._tags, 2)
    assert unpacked._trace.state == span._trace.state


def test_a_span_with_more_than_that_stays_what_it_is(client, packing):
    span = client.start_span("step", "model")
    span.set_input({"messages": [{"role": "user", "parts": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]})
    span.finish()
    assert packing.pack(span) is span
    assert packing.unpack(span) is span


IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 10


def test_spans_that_wait_are_no_work_for_the_garbage_collector():
    """Whose pauses every thread of the program would feel."""
    go = threading.Event()

    class Exporter:
        def export_spans(self, spans):
            go.wait(60)

    client = new_client(workspace_id="1", api_token="t", exporter=Exporter())
    watched = []
    for count in (2 * box.PACK_FROM, 8 * box.PACK_FROM):
        for number in range(count):
            with client.start_span("step", "custom") as span:
                span.set_input("text %d" % number)
                span.set_tags({"number": number, "text": "t"})
        for _ in range(3):  # a tuple is left alone from when those in it are
            gc.collect()
        watched.append(len(gc.get_objects()))
    assert client.stats()["queued"] == 10 * box.PACK_FROM
    assert watched[1] - watched[0] < box.PACK_FROM
    go.set()
    client.close()
    assert client.stats()["delivered"] == 10 * box.PACK_FROM
