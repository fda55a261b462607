"""What reaches the stand-in server: connections, bodies, forms, requests to each of its endpoints."""

from __future__ import annotations

import io
import json
import re
from email.message import Message

from cozeloop_lite.local import StandInServer, codes, rules
from cozeloop_lite.local.answers import json_answer, text_answer
from cozeloop_lite.local.connections import MAX_BODY_BYTES, _Handler
from cozeloop_lite.local.multipart import parse_multipart

from . import values
from .feed import SEPARATOR, Feed, example
from .reader import Reader

# -- connections ------------------------------------------------------------------------------------------------------


class _Socket:
    """A client that says all it has to say at once, and listens to the end."""

    def __init__(self, content):
        self._content = content
        self.answer = io.BytesIO()

    def makefile(self, mode, size=-1):
        return io.BufferedReader(io.BytesIO(self._content)) if "r" in mode else _Unclosed(self.answer)

    def sendall(self, data):
        self.answer.write(data)

    def settimeout(self, seconds):
        pass

    def setsockopt(self, *option):
        pass

    def shutdown(self, how):
        pass


class _Unclosed:
    def __init__(self, target):
        self.write, self.flush, self.closed = target.write, target.flush, False

    def close(self):
        pass


class _App:
    """Answers with what it was sent."""

    def __init__(self):
        self.bodies = []

    def respond(self, method, target, headers, body):
        assert len(body) <= MAX_BODY_BYTES
        self.bodies.append(body)
        return json_answer({"method": method, "target": target})

    def refuse(self, status):
        return text_answer(status)

    def panic(self, error):
        raise error


class _Server:
    def __init__(self):
        self.app = _App()


def fuzz_connection(data):
    """Each request is answered in form, or the connection ends; of a body in chunks all arrive."""
    feed = Feed(data)
    size, raw = feed.number(64) + 1, feed.flag()
    content = feed.rest()
    if not raw:
        chunks = [content[place : place + size] for place in range(0, len(content), size)]
        sent = b"".join(b"%X;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nA: b\r\n\r\n"
        content = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + sent
    client, server = _Socket(content), _Server()
    try:
        _Handler(client, ("127.0.0.1", 1), server)
    except OSError:
        pass
    said = client.answer.getvalue()
    if b"HTTP/0.9" not in content:  # whose answers have no head
        assert not said or re.match(rb"HTTP/1\.1 [1-5][0-9][0-9] ", said)
    if not raw:
        assert server.app.bodies == [feed.rest()]
        assert said.startswith(b"HTTP/1.1 200 ")


# -- forms ------------------------------------------------------------------------------------------------------------


def fuzz_multipart(data):
    """The parts of a form; and a well-formed one, which is read as it was written."""
    feed = Feed(data)
    content_type, _, body = feed.rest().partition(SEPARATOR)
    try:
        parts = parse_multipart(content_type.decode("latin-1"), body)
    except TypeError:  # the standard library cannot sort some parameters in pieces; the server then says that it failed
        assert b"*" in data
        return
    assert len(parts) <= 100
    for part in parts:
        assert type(part.name) is str
        assert "/" not in part.filename
        assert part.content in body
    if b"\r\n--b0undary" not in b"\r\n" + body:
        head = b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="a/b.txt"\r\n\r\n'
        form = head + body + b"\r\n--b0undary--\r\n"
        assert parse_multipart("multipart/form-data; boundary=b0undary", form) == [("file", "b.txt", body)]


# -- requests ---------------------------------------------------------------------------------------------------------

_NOW_US = 1_700_000_000_000_000
_TYPES = ("application/json", "application/json", "Application/JSON; charset=utf-8", "text/plain")


def fuzz_ingest(data):
    """Spans: refused with a code, or understood."""
    feed = Feed(data)
    body = _body(feed)
    try:
        arrivals = rules.ingest(body, feed.pick(_TYPES), _NOW_US, feed.pick((None, "7")))
    except codes.Refusal as refusal:
        assert type(refusal.code) is int
        assert type(refusal.msg) is str
        return
    assert 0 < len(arrivals) <= rules.MAX_SPANS
    for arrival in arrivals:
        json.dumps(arrival.span, ensure_ascii=False).encode("utf-8")
        assert all(type(warning) is str for warning in arrival.warnings)


_ENDPOINTS = (
    *("/v1/loop/prompts/mget", "/v1/loop/prompts/execute", "/v1/loop/prompts/execute_streaming"),
    *("/v1/loop/annotations", "/v1/loop/traces/search", "/v1/loop/traces/search_tree", "/v1/loop/spans/search"),
    *("/v1/loop/traces/list", "/v1/loop/traces/ingest", "/v1/loop/files/upload"),
    *("/api/traces", "/api/stats", "/api/prompts", "/api/events", "/api/status", "/api/traces/" + "a" * 32, "/ping"),
)
_HEADERS = Message()
_HEADERS["Authorization"] = "Bearer x"
_HEADERS["Content-Type"] = "application/json"
_VERSION = {
    "prompt_template": {
        "template_type": "normal",
        "messages": [
            {"role": "system", "content": "Hello {{a}}"},
            {"role": "placeholder", "content": "b"},
            {"role": "user", "parts": [{"type": "multi_part_variable", "text": "c"}]},
        ],
        "variable_defs": [
            {"key": "a", "type": "string"},
            {"key": "b", "type": "placeholder"},
            {"key": "c", "type": "multi_part"},
        ],
    }
}


def fuzz_request(data):
    """A request to any endpoint is answered; nothing but a refusal stops one."""
    feed = Feed(data)
    path, deletes, body = feed.pick(_ENDPOINTS), feed.flag(), _body(feed)
    server = StandInServer()
    try:
        server.prompts.put({"prompt_key": "greet", "versions": {"0.0.1": _VERSION}, "labels": {"beta": "0.0.1"}})
        server.respond("POST", "/v1/loop/traces/ingest", _HEADERS, _SPANS)
        query = "?" + body.decode("latin-1").replace(" ", "%20")
        if path.startswith("/api") or path == "/ping":
            answer = server.respond("GET", path + query, _HEADERS, b"")
        elif deletes:
            answer = server.respond("DELETE", path + query, _HEADERS, b"")
        else:
            answer = server.respond("POST", path, _HEADERS, body)
        assert answer.status in (200, 400, 403, 404)
        pieces = b"".join(answer.pieces or ())
        if answer.content_type.startswith("application/json"):
            assert "code" in json.loads(answer.body.decode("utf-8")) or path.startswith("/api")
        assert not answer.pieces or pieces.startswith(b"event:")
    finally:
        server.stop()


def _body(feed):
    packed, content = feed.flag(), feed.rest()
    return json.dumps(values.decode(content, _WORDS)).encode("ascii") if packed else content


# -- examples ---------------------------------------------------------------------------------------------------------

_SPAN = {
    "started_at_micros": str(_NOW_US),
    "span_id": "b" * 16,
    "parent_id": "0",
    "trace_id": "a" * 32,
    "duration_micros": 5,
    "workspace_id": "7",
    "span_name": "a",
    "span_type": "model",
    "status_code": 0,
    "input": "a",
    "output": "a",
    "object_storage": '{"input_tos_key":"k","Attachments":[{"tos_key":"a/b"}]}',
    "tags_string": {"a": "b"},
    "tags_long": {"tokens": "3"},
    "tags_double": {"a": 0.5},
    "tags_bool": {"a": True},
    "system_tags_string": {"cut_off": "[]"},
}
_SPANS = json.dumps({"spans": [_SPAN]}).encode("ascii")
_WHEN = {"workspace_id": "7", "start_time": _NOW_US // 1000 - 1000, "end_time": 9_000_000_000_000}
_FILTER = {"field_name": "span_type", "field_type": "string", "query_type": "in", "values": ["model"]}
_FILTERS = {"query_and_or": "or", "filter_fields": [_FILTER, {"sub_filter": {"filter_fields": [_FILTER]}}]}
_MESSAGE = {"role": "user", "content": "hi {{a}}", "parts": [{"type": "text", "text": "x", "config": {"fps": 1}}]}
_REQUESTS = (
    {"workspace_id": "7", "queries": [{"prompt_key": "greet", "version": "0.0.1"}, {"prompt_key": "greet"}]},
    {
        "workspace_id": 7,
        "prompt_identifier": {"prompt_key": "greet"},
        "variable_vals": [
            {"key": "a", "value": "x"},
            {"key": "b", "placeholder_messages": [_MESSAGE]},
            {"key": "c", "multi_part_values": []},
        ],
        "messages": [_MESSAGE],
    },
    {
        **_WHEN,
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "limit": 10,
        "annotation_key": "a",
        "annotation_value": "1.5",
        "annotation_value_type": "double",
        "filters": _FILTERS,
    },
    {**_WHEN, "page_size": 2, "span_list_type": "all_span", "filters": _FILTERS, "order_bys": [{}]},
    {**_WHEN, "page_token": "e30=", "label": "beta"},
    {**_WHEN, "trace_ids": ["a" * 32]},
    {"spans": [_SPAN, {**_SPAN, "span_id": "c" * 16, "parent_id": "b" * 16, "span_type": "tool"}]},
)


_WORDS = values.words_in(_REQUESTS)
_PACKED = [values.encode(request, _WORDS) for request in _REQUESTS]
_INGEST = values.encode({"spans": [_SPAN, {**_SPAN, "span_id": "c" * 16, "parent_id": "b" * 16}]}, _WORDS)
_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="workspace_id"\r\n\r\n7\r\n--b\r\nContent-Disposition: form-data; '
    b'name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\r\n--b--\r\n'
)
_HTTP = (
    b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nPOST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
)

READERS = [
    Reader(
        "connection",
        fuzz_connection,
        [
            *[example(text, 0, 1) for text in _HTTP],
            *[example(b"hello world", size, 0) for size in (0, 4, 63)],
        ],
        (
            *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1\r\n", b"HTTP/9.9\r\n"),
            *(b"HTTP/0.9\r\n", b"0\r\n\r\n", b"ffffffff\r\n", b"A: b\r\n", b"A: b\r\n" * 110, b" folded\r\n"),
        ),
    ),
    Reader(
        "multipart",
        fuzz_multipart,
        [
            example(b"multipart/form-data; boundary=b" + SEPARATOR + _FORM),
            example(b'multipart/form-data; charset=x; boundary="b"' + SEPARATOR + b"preamble\r\n" + _FORM),
            example(b"multipart/form-data; boundary*=utf-8''b" + SEPARATOR + _FORM.replace(b"e=", b"e*=utf-8''")),
        ],
        (
            *(b"\r\n--b", b"--b\r\n", b"--b--", b'name="', b"filename*0=", b"filename*1*=", b"utf-8''%ff"),
            *(b"boundary=", b"; ", b"''"),
        ),
    ),
    Reader(
        "ingest",
        fuzz_ingest,
        [*[example(_INGEST, 1, kind, 0) for kind in range(4)], *[example(_SPANS, 0, 0, 1), example(_INGEST, 1, 0, 1)]],
        (b'"spans":[', b'"tags_long":{', b"9" * 20, b"NaN", b"\\ud800", b'{"":' * 40, *values.WORDS),
    ),
    Reader(
        "request",
        fuzz_request,
        [
            *[example(packed, path, 0, 1) for packed in _PACKED for path in range(9)],
            *[example("workspace_id=7&trace_id=a&annotation_key=b&limit=3", path, 1, 0) for path in range(3, 14)],
        ],
        (b"&workspace_id=", b"%ff", b"limit=", b"/api/traces/", b'"filters":', *values.WORDS),
    ),
]
