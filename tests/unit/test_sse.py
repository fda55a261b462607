"""The decoder of event streams: the rules of the WHATWG, whichever way the bytes are cut, in linear time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cozeloop_lite.api import sse
from cozeloop_lite.api.sse import Decoder, Event, EventTooLargeError


def decoded(*pieces):
    decoder = Decoder()
    events = []
    for piece in pieces:
        events += decoder.feed(piece)
    return events + decoder.end()


def texts(*pieces):
    return [event.data for event in decoded(*pieces)]


def message(data, event="message", id="", retry=None):
    return Event(event, data, id, retry)


# -- the rules


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: one\n\ndata: two\n\n", [message("one"), message("two")]),
        # the platform's own form (contract backend.md 7)
        (b'event:data\ndata:{"a":1}\n\n', [message('{"a":1}', "data")]),
        # one space after the colon is not part of the value, a second one is
        (b"data:x\n\n", [message("x")]),
        (b"data:  x \n\n", [message(" x ")]),
        (b"data:\tx\n\n", [message("\tx")]),
        (b"data: a: b\n\n", [message("a: b")]),
        # the lines of one event
        (b"data: a\ndata: b\n\n", [message("a\nb")]),
        (b"data\n\n", [message("")]),
        (b"data\ndata\n\n", [message("\n")]),
        (b"data:\n\n", [message("")]),
        (b"data: \n\n", [message("")]),
        (b"data: a\ndata:\n\n", [message("a\n")]),
        # line ends
        (b"data: a\r\ndata: b\r\n\r\n", [message("a\nb")]),
        (b"data: a\rdata: b\r\r", [message("a\nb")]),
        (b"data: a\rdata: b\ndata: c\r\n\rdata: d\n\r\n", [message("a\nb\nc"), message("d")]),
        (b"data: a\n\r\ndata: b\r\n\n", [message("a"), message("b")]),
        ("data: a\u2028b\u0085c\x0bd\x0ce\n\n".encode(), [message("a\u2028b\u0085c\x0bd\x0ce")]),
        # BOM: one, and only at the start
        (b"\xef\xbb\xbfdata: a\n\n", [message("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message("a")]),
        (b"\xef\xbb\xbf\ndata: a\n\n", [message("a")]),
        (b"\xef\xbbdata: a\n\n", []),
        (b"data: \xef\xbb\xbfa\n\n", [message("\ufeffa")]),
        # comments
        (b": hello\ndata: a\n:data: b\n\n", [message("a")]),
        (b":\n\n:\n\n", []),
        (b"data: a\n: a comment ends no event\ndata: b\n\n", [message("a\nb")]),
        # type
        (b"event: x\ndata: a\n\ndata: b\n\n", [message("a", "x"), message("b")]),
        (b"event: x\nevent: y\ndata: a\n\n", [message("a", "y")]),
        (b"event\ndata: a\n\n", [message("a")]),
        (b"event: x\n\ndata: a\n\n", [message("", "x"), message("a")]),
        (b"data: a\nevent: x\n\n", [message("a", "x")]),
        # id: kept until another comes, empty too; with NUL ignored
        (b"id: 1\ndata: a\n\ndata: b\n\n", [message("a", id="1"), message("b", id="1")]),
        (b"id: 1\n\ndata: b\n\n", [message("b", id="1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [message("a", id="1"), message("b")]),
        (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [message("a", id="1"), message("b", id="1")]),
        # retry: ASCII digits and nothing else
        (b"retry: 10\ndata: a\n\ndata: b\n\n", [message("a", retry=10), message("b", retry=10)]),
        (b"retry: 0010\ndata: a\n\n", [message("a", retry=10)]),
        (b"retry: 10s\nretry:\nretry\nretry: -1\nretry: +1\nretry: 1_0\nretry: 1.5\ndata: a\n\n", [message("a")]),
        ("retry: ١\nretry: ²\ndata: a\n\n".encode(), [message("a")]),
        (b"retry: " + b"9" * 100_000 + b"\ndata: a\n\n", [message("a")]),
        # names are exact
        (b"Data: a\nDATA: a\n data: a\ndata : a\ndat: a\nfoo: bar\nfoo\n\n", []),
        (b"data: a\nfoo: b\n\n", [message("a")]),
        # UTF-8, and what is none
        ("data: 日本 é 😀\n\n".encode(), [message("日本 é 😀")]),
        (b"data: \xff\xe6\x97a\xf0\x9f\x98\n\n", [message("\ufffd\ufffda\ufffd")]),
        (b"data: \xed\xa0\x80\xc0\xaf\n\n", [message("\ufffd" * 5)]),
        (b"event: \xff\nid: \xfe\ndata: \x00\n\n", [message("\0", "\ufffd", "\ufffd")]),
        (b"d\xffata: a\n\n", []),
        # the end of the body is an end of the event
        (b"data: a", [message("a")]),
        (b"data: a\n", [message("a")]),
        (b"data: a\r", [message("a")]),
        (b"data: a\n\ndata: b\nda", [message("a"), message("b")]),
        (b"data", [message("")]),
        (b"event: x", [message("", "x")]),
        (b"\xef\xbb\xbfdata: a", [message("a")]),
        (b"data: [DONE]\n\n", [message("[DONE]")]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_stream_means(stream, events):
    assert decoded(stream) == events
    assert decoded(*(stream[index : index + 1] for index in range(len(stream)))) == events


def test_an_event_comes_with_its_last_byte_and_not_later():
    decoder = Decoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [message("a")]
    assert decoder.feed(b"data: b\r\n\r") == [message("b")]
    assert decoder.feed(b"\ndata: c\r\r") == [message("c")]
    assert decoder.feed(b"\n") == []  # the second half of the last CRLF
    assert decoder.feed(b"\n") == []
    assert decoder.end() == []


def test_a_carriage_return_at_the_end_of_a_piece_waits_through_empty_pieces():
    assert texts(b"data: a\r", b"", b"\ndata: b\r", b"\n\r", b"", b"\n") == ["a\nb"]


def test_after_the_end_nothing_comes_twice():
    decoder = Decoder()
    decoder.feed(b"data: a")
    assert decoder.end() == [message("a")]
    assert decoder.end() == []


# -- whichever way the bytes are cut


def reference(stream):
    """The same rules once more, as slow and as literal as can be: all text at once, one character after the other."""
    text = stream.decode("utf-8", "replace")
    if text.startswith("\ufeff"):
        text = text[1:]
    events, data, kind, last_id, retry = [], [], "", "", None
    lines = re.split("\r\n|\r|\n", text)
    for line in [*lines, ""]:
        if line == "":
            if data:
                events.append(Event(kind or "message", "\n".join(data), last_id, retry))
            data, kind = [], ""
            continue
        field, colon, value = line.partition(":")
        if colon and value[:1] == " ":
            value = value[1:]
        if field == "data":
            data.append(value)
        elif field == "event":
            kind = value
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and re.fullmatch("[0-9]{1,18}", value):
            retry = int(value)
    return events


WORDS = b"data|event|id|retry|data: |:| |x|7|\0|\n|\r|\r\n|\n\n|\xff|\xe6\x97|\xef\xbb\xbf|".split(b"|")
WORDS += [char.encode() for char in "é日😀"]
STREAMS = st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join) | st.binary(max_size=200)


@given(STREAMS, st.lists(st.integers(0, 200), max_size=12))
@example(b"data: a\r\n\r\n", [8, 10])
@example("data: 😀\n\n".encode(), [7, 8, 9])
@example(b"\xef\xbb\xbfdata: a\n\n", [1, 2])
def test_the_events_are_the_same_for_every_way_of_cutting(stream, cuts):
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:stop] for start, stop in zip(places, places[1:])]
    assert b"".join(pieces) == stream
    assert decoded(*pieces) == reference(stream)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_bytes_raise_anything(pieces):
    for event in decoded(*pieces):
        assert isinstance(event, Event)
        assert all(isinstance(text, str) for text in event[:3])
        assert event.retry is None or event.retry >= 0
        event.data.encode("utf-8")  # no lone surrogates


@given(STREAMS, st.lists(st.integers(0, 200), max_size=12))
def test_a_bound_holds_alike_for_every_way_of_cutting(stream, cuts):
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    small = 12

    def outcome(pieces):
        decoder, events, failed = Decoder(), [], False
        for step in [*((decoder.feed, piece) for piece in pieces), (decoder.end,)]:
            try:
                events += step[0](*step[1:])
            except EventTooLargeError:
                failed = True
        return events, failed

    bound, sse.MAX_EVENT_BYTES = sse.MAX_EVENT_BYTES, small
    try:
        assert outcome([stream[start:stop] for start, stop in zip(places, places[1:])]) == outcome([stream])
    finally:
        sse.MAX_EVENT_BYTES = bound


# -- bounds


@pytest.mark.parametrize(
    "large",
    [b"data: " + b"x" * 1000, b"data: xxxxxxx\n" * 150, b"data\n" * 1001, b":" + b"x" * 1000, b"event:" + b"x" * 995],
    ids=["one line", "many lines", "empty lines", "a comment", "a type"],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_an_event_that_is_too_large_is_an_error_after_the_events_before_it(monkeypatch, large, size):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    stream = b"data: a\n\ndata: b\n\n" + large + b"\n\ndata: c\n\n"
    decoder = Decoder()
    events = []
    with pytest.raises(EventTooLargeError, match="1000"):
        for index in range(0, len(stream), size):
            events += decoder.feed(stream[index : index + size])
        events += decoder.end()
    assert [event.data for event in events] == ["a", "b"]
    for _ in range(2):  # from then on
        with pytest.raises(EventTooLargeError):
            decoder.feed(b"data: d\n\n")
        with pytest.raises(EventTooLargeError):
            decoder.end()


def test_an_event_may_be_large_and_all_events_together_may_be_larger(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    stream = (b"data:" + b"x" * 995 + b"\n\n") * 50 + b": heartbeat\n" * 500
    assert texts(stream) == ["x" * 995] * 50


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"data: x\n:x\n"], ids=["a line", "an event", "with comments"])
def test_what_never_ends_is_an_error_soon_and_then_not_kept(monkeypatch, piece):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    decoder = Decoder()
    with pytest.raises(EventTooLargeError):
        for _ in range(1001):
            decoder.feed(piece)
    assert len(decoder._data) + len(decoder._tail) == 0


# -- time


def seconds_for(stream, size):
    """The fastest of some runs: the others were disturbed."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        decoder = Decoder()
        for index in range(0, len(stream), size):
            decoder.feed(stream[index : index + size])
        decoder.end()
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize(
    ("make", "size", "count"),
    [
        pytest.param(lambda n: b"data: " + b"x" * n, 1, 60_000, id="one line, byte by byte"),
        pytest.param(lambda n: b"data: " + b"x" * n, 100, 400_000, id="one line"),
        pytest.param(lambda n: b"data: xyz\r\n" * (n // 11), 100, 300_000, id="one event"),
        pytest.param(lambda n: b"data\n" * (n // 5), 65536, 300_000, id="one event of empty lines"),
        pytest.param(lambda n: b"data: xyz\n\n" * (n // 11), 7, 100_000, id="events, small pieces"),
        pytest.param(lambda n: b"data: xyz\n\n" * (n // 11), 65536, 150_000, id="events"),
        pytest.param(lambda n: b"data: xyz\r\r" * (n // 11), 1 << 30, 150_000, id="events, all at once"),
        pytest.param(lambda n: b"\r" * n, 1 << 30, 100_000, id="line ends, all at once"),
    ],
)
def test_four_times_as_much_takes_four_times_as_long(make, size, count):
    """Sixteen times as long is what it would take if anything were copied again and again."""
    once = seconds_for(make(count), size)
    assert seconds_for(make(4 * count), size) < 9 * once + 0.02


def test_a_line_of_megabytes_in_small_pieces_is_one_event():
    text = "0123456789é" * 300_000
    stream = ("data: %s\n\n" % text).encode()
    assert texts(*(stream[index : index + 501] for index in range(0, len(stream), 501))) == [text]
