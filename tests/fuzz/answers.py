"""Answers of the platform, or of what stands in its place: of any status, with any headers and any body."""

from __future__ import annotations

import json
import math
import pickle
import re

from cozeloop_lite import errors
from cozeloop_lite.api import answers, auth, redirects
from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.entities.trace import Trace, TraceSpan
from cozeloop_lite.prompt import execute, fetch
from cozeloop_lite.query import search

from . import values
from .feed import HALVES, SEPARATOR, Feed, as_text, example
from .reader import Reader

_STATUSES = (200, 200, 201, 204, 299, 301, 304, 400, 401, 403, 404, 405, 408, 413, 429, 500, 502, 503, 100, 999)


def fuzz_answer(data):
    """Content first, then headers, each after a separator."""
    feed = Feed(data)
    status, packed = feed.pick(_STATUSES), feed.flag()
    body, _, lines = feed.rest().partition(SEPARATOR)
    pairs = [line.partition(HALVES)[::2] for line in lines.split(SEPARATOR)]
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
    if packed:
        body = json.dumps(values.decode(body, _WORDS)).encode("ascii")
    try:
        answer = answers.read(status, headers, body)
    except errors.RemoteServiceError as error:
        _check_error(error, status)
        if not re.search(r"[\r\n]", headers.get("content-type", "")):  # a folded header comes with its line breaks
            assert not re.search(r"[\r\n]", error.error_message)
    else:
        assert type(answer) is dict
        assert 200 <= status < 300
        assert answer.get("code") in (None, 0, "0", "", False) or float(answer["code"]) == 0


def _check_error(error, status):
    assert error.status == status
    assert error.msg
    assert type(error.msg) is str
    assert len(str(error)) < 1500
    assert error.code is None or isinstance(error.code, (int, str))
    assert len(error.log_id) <= 256
    if error.retry_after is not None:
        assert error.retry_after >= 0
        assert math.isfinite(error.retry_after)
    assert pickle.loads(pickle.dumps(error)).code == error.code
    assert fetch.is_gone(error) in (True, False)
    assert fetch.is_unavailable(error) in (True, False)


# -- what is made of the data -----------------------------------------------------------------------------------------


class _Api:
    """Answers what it is told to, one after the other; the last one for ever."""

    timeout = 3.0

    def __init__(self, bodies):
        self._bodies = bodies
        self._asked = 0

    def request(self, *args, **kwargs):
        body = self._bodies[min(self._asked, len(self._bodies) - 1)]
        self._asked += 1
        assert self._asked <= 1000, "it asks again and again"
        return answers.read(200, {}, body)

    def post(self, path, *args, **kwargs):
        return self.request("POST", path)


_QUERIES = [("a", "", ""), ("a", "1", ""), ("b", "", "beta")]


def _fetched(api):
    for query, outcome in fetch.fetch(api, "7", _QUERIES):
        assert query in _QUERIES
        assert outcome is None or isinstance(outcome, (Prompt, errors.LoopError))
        fetch.is_gone(outcome)


def _executed(api):
    values.same(execute.execute(api, "7", "a").to_dict(), None)


def _searched(api):
    trace = search.search_trace(api, "7", "a" * 32)
    assert type(trace) is Trace
    assert sorted(id(span) for _, span in trace.walk()) == sorted(map(id, trace))
    assert trace.root is None or trace.root in trace.spans
    assert type(trace.input_tokens + trace.output_tokens) is int


def _listed(api):
    for number, span in enumerate(search.search_spans(api, "7")):
        assert type(span) is TraceSpan
        assert number < 100_000


class _App:
    ttl, path, client_id = 900, "/token", "1"

    def jwt(self, audience, now):
        return "a.b.c"

    def body(self):
        return {}


def _granted(api):
    token = auth.AccessToken(_App(), "https://api.example.com", api.post)
    value = token.token(1.0)
    assert re.match(r"[\x21-\x7e]+\Z", value)
    assert token.token(1.0)


_CALLS = (_fetched, _executed, _searched, _listed, _granted)


def fuzz_call(data):
    feed = Feed(data)
    call = feed.pick(_CALLS)
    bodies = [json.dumps(values.decode(piece, _WORDS)).encode("ascii") for piece in feed.pieces()]
    try:
        call(_Api(bodies))
    except errors.HttpError as error:
        assert str(error)


# -- where an answer sends to -----------------------------------------------------------------------------------------

_ORIGINS = ("https://api.example.com/v1/x", "http://api.example.com:8888/v1/x", "http://[::1]:8888/")


def fuzz_redirect(data):
    feed = Feed(data)
    origin = feed.pick(_ORIGINS)
    target = redirects.followed(origin, as_text(feed.rest()))
    if target is not None:
        assert re.match(r"https?://[\x21-\x7e]+\Z", target)
        assert "@" not in re.split("[/?#]", target.partition("://")[2])[0]
        assert target.startswith("https:") or origin.startswith("http:")
        assert redirects.same_place(origin, target) in (True, False)


# -- examples ---------------------------------------------------------------------------------------------------------

_SPAN = {
    "trace_id": "a" * 32,
    "span_id": "b" * 16,
    "parent_id": "0",
    "span_name": "a",
    "span_type": "model",
    "status_code": 0,
    "started_at": "1700000000000",
    "duration": "5",
    "custom_tags": {"input_tokens": "3", "output_tokens": 4},
    "annotations": [{"key": "a", "value": "1.5", "value_type": "double"}],
}
_PROMPT = {"prompt_key": "a", "version": "1", "prompt_template": {"template_type": "normal", "messages": []}}
_ITEM = {"query": {"prompt_key": "a", "version": "1"}, "prompt": _PROMPT}
_RESULT = {"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop", "usage": {"input_tokens": "3"}}
_WORDS = (
    *("code", "msg", "data", "error_code", "error_message", "error", "items", "query", "prompt", "message", "usage"),
    *("spans", "has_more", "next_page_token", "page", "access_token", "expires_in", "token_type", "Bearer", "log_id"),
    *_SPAN,
    *_PROMPT,
    *("messages", "template_type", "input_tokens", "output_tokens", "role", "content", "finish_reason", "b", "beta"),
    *("key", "value", "value_type", "long", "double", "bool", "label", "access_denied", "llm", "LLMCall"),
)
_JSON = (
    {"code": 0, "msg": "", "data": {"items": [_ITEM, _ITEM]}},
    {"code": "600501001", "msg": "prompt not exist"},
    {"code": "no\ncode", "msg": "two\r\nlines"},
    {"error_code": "access_denied", "error_message": "no"},
    {"code": 602000101, "msg": "workspace_id"},
    {"code": 0, "data": {"spans": [_SPAN, {**_SPAN, "span_id": "a", "parent_id": "b" * 16}], "has_more": False}},
    {"code": 0, "data": {"spans": [_SPAN], "has_more": True, "next_page_token": "page"}},
    {"code": 0, "data": _RESULT},
    {"access_token": "page", "expires_in": 1700000900, "token_type": "Bearer"},
)
_PACKED = [values.encode(answer, _WORDS) for answer in _JSON]
_HEADERS = SEPARATOR.join(
    (
        *(b"Content-Type" + HALVES + b"application/json", b"X-Tt-Logid" + HALVES + b"2026" * 8),
        b"Retry-After" + HALVES + b"Wed, 21 Oct 2026 07:28:00 GMT",
    )
)
_SHORT = b"retry-after" + HALVES + b"-5"
_BODIES = (
    *(json.dumps(answer).encode() for answer in _JSON),
    *(b"", b"<html><body>502 Bad Gateway</body></html>", b"null", b"[1, 2]", b'\xef\xbb\xbf{"code":0}'),
)

READERS = [
    Reader(
        "answer",
        fuzz_answer,
        [
            *[example(body + SEPARATOR + _HEADERS, status, 0) for body in _BODIES for status in (0, 9, 14, 15)],
            *[example(body + SEPARATOR + _HEADERS, status, 1) for body in _PACKED for status in (0, 7)],
            *[example(body + SEPARATOR + _SHORT, status, 0) for body in _BODIES for status in (14, 17)],
        ],
        (
            *(b'"code":', b'"msg":', b'"error_code":', b"600501001", b"NaN", b"Infinity", b"\\ud800", b"[" * 60),
            *(b'{"":' * 20, b"Retry-After" + HALVES, b"Mon, 01 Jan 0001 00:00:00 -0000", b"1" * 18, b"GMT"),
            b"31 Dec 9999 23:59:60 +2359",
        ),
    ),
    Reader(
        "call",
        fuzz_call,
        [
            *[example(packed, call) for packed in _PACKED for call in range(len(_CALLS))],
            *[example(SEPARATOR.join(_PACKED[start:]), call) for start in (0, 4) for call in range(len(_CALLS))],
        ],
        (*_PACKED, *values.WORDS),
    ),
    Reader(
        "redirect",
        fuzz_redirect,
        [
            *[example(b"https://user:pw@api.example.com:443/a/../b?c=d#e", origin) for origin in range(3)],
            *[example(b"//[::1%25eth0]:8888/a", origin) for origin in range(3)],
            *[example(b"../x/./y;p?q", origin) for origin in range(3)],
        ],
        (
            *(b"http://", b"https://", b"//", b"[", b"]", b"@", b":99999", b":-1", b"\\", b"?", b"#", b"javascript:"),
            b"\xe2\x84\x80",
        ),
    ),
]
