"""Answers that come piece by piece: the body, the events in it, the pieces of a model's answer in these."""

from __future__ import annotations

import http.client
import io
import json
import re
from time import monotonic

from urllib3.response import HTTPResponse

from cozeloop_lite import errors
from cozeloop_lite.api import body, sse
from cozeloop_lite.api.sse import Event
from cozeloop_lite.entities.prompt import ExecuteResult
from cozeloop_lite.prompt.execute_stream import ExecuteStreamReader
from cozeloop_lite.trace import values as span_values

from . import values
from .feed import SEPARATOR, Feed, example
from .reader import Reader

# -- the body ---------------------------------------------------------------------------------------------------------


class _Connection:
    """What a response of http.client is read from."""

    def __init__(self, content):
        self._content = content

    def makefile(self, mode):
        return io.BytesIO(self._content)


_HEADS = (
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 20\r\n",
    b"",
    b"Content-Length: 20\r\nContent-Encoding: gzip\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 7\r\n",
    b"Content-Length: -1\r\n",
)
_MAX_BODY = 1000


def fuzz_body(data):
    feed = Feed(data)
    head, content = feed.pick(_HEADS), feed.rest()
    raw = http.client.HTTPResponse(_Connection(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + content), method="GET")
    raw.begin()
    response = HTTPResponse(raw, headers=dict(raw.getheaders()), preload_content=False, decode_content=False)
    try:
        whole = body.whole(response, monotonic() + 1000, _MAX_BODY)
    except (OSError, body.TooLong):
        return
    assert len(whole) <= _MAX_BODY
    if head is _HEADS[0]:
        joined = b"".join(_chunks(content))
        assert whole == joined
    elif head is _HEADS[1]:
        assert whole == content[:20]
        assert len(whole) == 20
    elif head is _HEADS[2]:
        assert whole == content


def _chunks(content):
    """Those of a body that is well-formed (RFC 9112 7.1)."""
    while True:
        line, _, content = content.partition(b"\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            return
        yield content[:size]
        content = content[size + 2 :]


# -- events -----------------------------------------------------------------------------------------------------------


def fuzz_sse(data):
    """Where the bytes are cut does not matter, and the events are those of the standard."""
    feed = Feed(data)
    limit = feed.pick((None, None, None, 8, 64))
    sizes = [feed.number(17) for _ in range(feed.number(8))]
    stream = feed.rest()
    kept = sse.MAX_EVENT_BYTES
    sse.MAX_EVENT_BYTES = limit or kept
    try:
        whole = _decoded([stream])
        assert _decoded(_cut(stream, sizes)) == whole
        if len(stream) < 200:
            assert _decoded([stream[place : place + 1] for place in range(len(stream))]) == whole
    finally:
        sse.MAX_EVENT_BYTES = kept
    if limit is None:
        assert whole == (_standard(stream), False)


def _cut(stream, sizes):
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [*pieces, stream]


def _decoded(pieces):
    """The events, and whether one was too large."""
    decoder = sse.Decoder()
    events = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.end()
    except sse.EventTooLargeError:
        return events, True
    return events, False


def _standard(stream):
    """As short as it can be written, with the two deviations that the decoder names."""
    events, data, name, last_id, retry = [], [], "", "", None
    lines = re.split(b"\r\n|\n|\r", stream[3:] if stream.startswith(b"\xef\xbb\xbf") else stream)
    for line in [*lines, b""]:
        field, _, value = line.partition(b":")
        text = value[value.startswith(b" ") :].decode("utf-8", "replace")
        if not line:
            if data or name:
                # Joined before decoding: what is invalid in one line does not reach over the line break.
                events.append(Event(name or "message", "\n".join(data), last_id, retry))
            data, name = [], ""
        elif field == b"data":
            data.append(text)
        elif field == b"event":
            name = text
        elif field == b"id" and "\0" not in text:
            last_id = text
        elif field == b"retry" and re.match(r"[0-9]{1,18}\Z", text):
            retry = int(text)
    return events


# -- the pieces of a model's answer -----------------------------------------------------------------------------------


class _Events:
    """An open stream of events, which may break off."""

    status, log_id = 200, "log"

    def __init__(self, events, framed, breaks):
        self.framed = framed
        self._events = iter(events)
        self._breaks = breaks
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        for event in self._events:
            return event
        if self._breaks:
            raise errors.NetworkError("the connection broke off")
        raise StopIteration

    def close(self):
        self.closed = True


class _Span:
    """What is recorded of an answer, made into text as for a real span."""

    _recording = False

    def __init__(self):
        self.finished = 0

    def set_start_time_first_resp(self, time):
        pass

    def set_tags(self, tags):
        pass

    def finish(self):
        self.finished += 1


def fuzz_answer_stream(data):
    feed = Feed(data)
    framed, breaks, parsed = feed.flag(), feed.flag(), feed.flag()
    if parsed:
        decoder = sse.Decoder()
        events = decoder.feed(feed.rest()) + decoder.end()
    else:
        events = [_event(piece) for piece in feed.pieces()]
    source, span = _Events(events, framed, breaks), _Span()
    reader = ExecuteStreamReader(source, span)
    content, reasoning, failed = [], [], False
    try:
        for item in reader:
            assert type(item) is ExecuteResult
            if item.message is not None:
                content.append(item.message.content)
                reasoning.append(item.message.reasoning_content)
    except errors.HttpError as error:
        failed = True
        assert str(error)
        assert error.log_id == "log"
    assert next(reader, None) is None
    assert source.closed
    assert span.finished == 1
    whole = reader._merged.result()
    span_values.to_text(whole, 10_000)
    values.same(whole.to_dict(), whole.to_dict())
    if whole.message is not None:
        assert whole.message.content == _joined(content)
        assert whole.message.reasoning_content == _joined(reasoning)
    try:
        assert repr(reader.collect()) == repr(whole)
        assert not failed
    except errors.HttpError:
        assert failed


_EVENT_NAMES = ("data", "message", "error", "Data", "", "ping", "biz_error")


def _event(piece):
    name = _EVENT_NAMES[piece[0] % len(_EVENT_NAMES)] if piece else "data"
    return Event(name, json.dumps(values.decode(piece[1:], _PIECE_WORDS)), "", None)


def _joined(texts):
    texts = [text for text in texts if text is not None]
    return "".join(texts) if texts else None


# -- examples ---------------------------------------------------------------------------------------------------------

_PIECE_WORDS = (
    *("message", "role", "content", "reasoning_content", "parts", "type", "text", "image_url", "base64_data"),
    *("tool_calls", "index", "id", "function_call", "name", "arguments", "tool_call_id", "metadata", "signature"),
    *("finish_reason", "usage", "input_tokens", "output_tokens", "code", "msg", "error", "biz_extra"),
    *("biz_err_custom_extra", "assistant", "tool", "function", "stop", "output_id", "a", '{"x":', "1}"),
)
_CALL = {"index": 0, "id": "a", "type": "function", "function_call": {"name": "a", "arguments": '{"x":'}}
_PIECES = (
    {"message": {"role": "assistant", "content": "He"}, "finish_reason": ""},
    {"message": {"content": "llo", "reasoning_content": "a", "metadata": {"a": "1}"}}},
    {"message": {"parts": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "a"}]}},
    {"message": {"content": "", "tool_calls": [_CALL]}},
    {"message": {"tool_calls": [{"index": 0, "id": "", "function_call": {"name": "", "arguments": "1}"}}]}},
    {"message": {"content": ""}, "finish_reason": "stop", "usage": {"input_tokens": "1", "output_tokens": 2}},
    {"code": 600501001, "msg": "a", "biz_extra": {"biz_err_custom_extra": "a"}},
)
_PACKED = [b"\0" + values.encode(piece, _PIECE_WORDS) for piece in _PIECES]
_SSE = (
    b'event:data\ndata:{"message":{"role":"assistant","content":"He"}}\n\nevent:data\ndata:{"message":{"content":"llo"},'
    b'"finish_reason":"stop","usage":{"input_tokens":"3","output_tokens":"2"}}\n\n',
    b'event: error\ndata: {"code":600501001,"msg":"no","biz_extra":{"biz_err_custom_extra":"x"}}\n\n',
    b"\xef\xbb\xbf: comment\r\nid: 7\r\nretry: 100\r\ndata: one\r\ndata: two\r\n\r\ndata\r\rdata: [DONE]",
    b"event: a\n\ndata:\n\ndata: \xe6\x96\x87\n\nid: x\x00y\nretry: 1x\nfoo: bar\n:\n\n\n",
)

READERS = [
    Reader(
        "body",
        fuzz_body,
        [
            example(b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nTrailer: a\r\n\r\n", 0),
            example(b"A\r\n0123456789\r\n0\r\n\r\n", 0),
            *[example(b"01234567890123456789", head) for head in range(len(_HEADS))],
        ],
        (b"0\r\n\r\n", b"-5\r\n", b"+5\r\n", b"0x5\r\n", b"ffffffff\r\n", b"5\r\nhello\r\n", b"1_0\r\n"),
    ),
    Reader(
        "sse",
        fuzz_sse,
        [example(stream, limit, *cuts) for stream in _SSE for limit, cuts in ((0, ()), (3, (1, 4)), (4, (3, 1, 9, 2)))],
        (b"data:", b"data", b"event:", b"id:", b"retry:", b"\r", b"\n\n", b"\r\n\r", b"x" * 70),
    ),
    Reader(
        "answer stream",
        fuzz_answer_stream,
        [
            *[example(SEPARATOR.join(_PACKED[:count]), 1, 0, 0) for count in (1, 4, 7)],
            *[example(SEPARATOR.join(_PACKED[:count]), 0, 1, 0) for count in (4, 6)],
            *[example(stream, 1, 0, 1) for stream in _SSE],
        ],
        (b"data:", b"event:error\n", b"[DONE]", b"\n\n", *_PACKED, *values.WORDS),
    ),
]
