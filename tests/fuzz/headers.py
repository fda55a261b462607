"""Headers that arrive, in each shape in which headers come; and those that leave."""

from __future__ import annotations

import re
from email.message import Message as EmailMessage

from urllib3._collections import HTTPHeaderDict

from cozeloop_lite import propagation
from cozeloop_lite.integration import lambda_events
from cozeloop_lite.propagation import SpanContext, TraceInfo, extract, inject

from . import values
from .feed import Feed, as_text, example, pairs
from .reader import Reader

NAMES = ("X-Cozeloop-Traceparent", "X-Cozeloop-Tracestate", "traceparent", "tracestate", "baggage")
_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_WORDS = (
    *(name.encode() for name in NAMES),
    *(b"HTTP_TRACEPARENT", b"headers", b"0" * 32, b"0" * 16, b"-00", b"-01", b"ff-", b"a=b", b"a=b,", b"k;p=1"),
    _PARENT.encode(),
)
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")


# -- what arrives -----------------------------------------------------------------------------------------------------


def _mapping(pairs):
    return {as_text(name): as_text(value) for name, value in pairs}


def _wsgi(pairs):
    return {"HTTP_" + name.upper().replace("-", "_"): value for name, value in _mapping(pairs).items()}


def _email(pairs):
    message = EmailMessage()
    for name, value in pairs:
        message[name.decode("latin-1")] = value.decode("latin-1")
    return message


_SHAPES = (
    _mapping,
    lambda pairs: [(as_text(name), as_text(value)) for name, value in pairs],
    lambda pairs: pairs,
    _wsgi,
    lambda pairs: {"headers": _mapping(pairs), "body": None},
    lambda pairs: {"multiValueHeaders": {name: [value, value] for name, value in _mapping(pairs).items()}},
    lambda pairs: {"type": "http", "headers": [list(pair) for pair in pairs]},
    lambda pairs: HTTPHeaderDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs),
    _email,
    lambda pairs: {name: (None, b"\xff", 7, [b"a", None], (), {})[len(value) % 6] for name, value in pairs},
    lambda pairs: [name for name, _ in pairs],
    lambda pairs: iter(pairs),
    lambda pairs: b"".join(name for name, _ in pairs),
)


def fuzz_extract(data):
    feed = Feed(data)
    context = extract(feed.pick(_SHAPES)(feed.pairs()))
    _check(context)
    _check_sent(context, inject({}, context))


def fuzz_event(data):
    """The event of a serverless function."""
    feed = Feed(data)
    event = values.decode(feed.rest(), _EVENT_WORDS)
    _check(extract(event))
    _check(extract(lambda_events.carrier(lambda_events.parsed(event))))
    shown = lambda_events.shown(event)
    if isinstance(event, dict):
        for part in ("headers", "multiValueHeaders"):
            if isinstance(event.get(part), dict):
                hidden = [value for name, value in shown[part].items() if name.lower() in lambda_events._CREDENTIALS]
                assert all(value == lambda_events.HIDDEN for value in hidden)


def _check(context):
    assert type(context) is SpanContext
    assert re.match(r"([0-9a-f]{32})?\Z", context.trace_id)
    assert re.match(r"([0-9a-f]{16})?\Z", context.span_id)
    assert bool(context.trace_id) == bool(context.span_id)
    assert len(context.baggage) <= propagation.MAX_ITEMS
    for key, value in context.baggage.items():
        assert value
        assert not propagation.baggage_fault(key, value)


# -- what leaves ------------------------------------------------------------------------------------------------------


def fuzz_inject(data):
    feed = Feed(data)
    sampled = feed.pick((True, False, None))
    trace_id, span_id = feed.number(65536) + 1, feed.number(65536) + 1
    present = {NAMES[number].swapcase(): "old" for number in range(feed.number(6))}
    times = feed.pick((1, 1, 1, 1, 1, 1, 1, 30))  # or no baggage would be more than fits into a header
    items = {key: value * times for key, value in _mapping(feed.pairs()).items()}
    baggage = {key: value for key, value in items.items() if not propagation.baggage_fault(key, value)}
    state = next(iter(items.values()), "")
    state = state if len(state) <= propagation.MAX_STATE_CHARS and _PRINTABLE.match(state) else ""
    context = SpanContext(TraceInfo(trace_id, sampled, state), span_id, baggage)
    if feed.flag():
        headers = context.to_header()
    else:
        headers = inject({"Accept": "x", **present}, context)
        assert headers.pop("Accept") == "x"
    _check_sent(context, headers)


def _check_sent(context, headers):
    """No header that was written can be taken for more than one, and reading them gives what was written."""
    assert bool(headers) == bool(context.trace_id)
    for name, value in headers.items():
        assert name in NAMES
        assert _PRINTABLE.match(value)
        assert len(value) <= propagation.MAX_BAGGAGE_CHARS
    read = extract(headers)
    assert (read.trace_id, read.span_id if read.trace_id else "") == (context.trace_id, read.span_id)
    if headers:
        assert read.span_id == context.span_id
        assert read._trace.sampled == (context._trace.sampled is not False)
        if propagation.TRACEPARENT in headers:
            assert read._trace.state == context._trace.state.strip()
    written = [(_encodable(key), _encodable(value)) for key, value in context.baggage.items() if value]
    if len(dict(written)) == len(written):  # no two keys became the same when they were written
        assert read.baggage == dict(written[: len(read.baggage)])


def _encodable(text):
    return text.encode("utf-8", "replace").decode("utf-8")


# -- examples ---------------------------------------------------------------------------------------------------------

_HEADERS = (
    pairs((NAMES[0], _PARENT), (NAMES[1], "user_id=u%201,tenant=%E8%93%9D+x")),
    pairs((NAMES[2], _PARENT), (NAMES[3], "a=1,b=2"), (NAMES[4], "k=v;p=1, k2 = v2 ,k3=")),
    pairs((NAMES[2].upper(), _PARENT + "-extra"), ("Accept", "*/*"), (NAMES[4], "a=b"), (NAMES[4], "c=d")),
    pairs(("host", "example.com"), *[(NAMES[4], "key%d=value%d" % (number, number)) for number in range(70)]),
)
_EVENT_WORDS = (
    *("headers", "multiValueHeaders", "Records", "Sns", "messageAttributes", "MessageAttributes", "stringValue"),
    *("Value", "cookies", "Authorization", "body", "version", "2.0", _PARENT, "a=b,c=d", *NAMES, *_WORDS[5:6]),
)
_EVENT_WORDS = tuple(word if isinstance(word, str) else word.decode() for word in _EVENT_WORDS)
_EVENTS = (
    {"version": "2.0", "headers": {NAMES[0]: _PARENT, NAMES[1]: "a=b,c=d", "Authorization": "x"}, "cookies": ["a"]},
    {"headers": None, "multiValueHeaders": {NAMES[2]: [_PARENT], "Cookie": ["a=b"]}, "body": "{}"},
    {"Records": [{"messageAttributes": {NAMES[0]: {"stringValue": _PARENT}, "n": {"Value": 1}}}]},
    {"Records": [{"Sns": {"MessageAttributes": {NAMES[2]: {"Value": _PARENT}}}}]},
)

READERS = [
    Reader(
        "headers",
        fuzz_extract,
        [example(front, shape) for front in _HEADERS for shape in range(len(_SHAPES))],
        _WORDS,
    ),
    Reader("event", fuzz_event, [values.encode(event, _EVENT_WORDS) for event in _EVENTS], values.WORDS),
    Reader(
        "inject",
        fuzz_inject,
        [
            example(pairs(("user", "ü"), ("a b", "c\r\nd;e,f=g"), ("文", "%")), 0, 1, 1, 1, 1, 0, 0, 0),
            example(pairs(*[("k%d" % number, "ü") for number in range(80)]), 1, 0, 0, 0, 0, 5, 0, 1),
            example(pairs(*[("k%d" % number, "ü=ü" * 20) for number in range(12)]), 2, 0, 0, 0, 0, 5, 7),
        ],
        (b"\r\nSet-Cookie: a", b"\xe2\x80\xa8", b"v" * 1024, b"%2C"),
    ),
]
