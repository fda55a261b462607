"""Feedback and reading back over HTTP: a small platform that keeps spans and annotations, and one that fails."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from cozeloop_lite import (
    ApiClient,
    AuthenticationError,
    InternalServerError,
    NetworkError,
    PermissionDeniedError,
    RateLimitError,
    RemoteServiceError,
    RequestTimeoutError,
)
from cozeloop_lite.api import client as client_module
from cozeloop_lite.feedback import add_feedback, delete_feedback
from cozeloop_lite.query import search
from cozeloop_lite.query.filters import Filter
from cozeloop_lite.query.search import search_spans, search_trace
from support.recording import hang, json_answer, reset, text_answer

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT = "00000000000000a0"
CHILD = "00000000000000a1"
START_MS = 1_750_000_000_000
WINDOW = {"start_time": START_MS - 1000, "end_time": START_MS + 1_000_000}


class Platform:
    """What contract backend.md 8 says of the four endpoints, as far as it matters here."""

    def __init__(self, old=False):
        self.old = old  # an older server knows no pages in a trace
        self.spans = []
        self.annotations = {}

    def answer(self, request):
        url = urlsplit(request.path)
        route = getattr(self, "%s_%s" % (request.method.lower(), url.path.rpartition("/v1/loop/")[2].replace("/", "_")))
        query = {name: value for name, (value,) in parse_qs(url.query, keep_blank_values=True).items()}
        data = route(query if request.method == "DELETE" else request.json())
        return json_answer({"code": 0, "msg": "", **({} if data is None else {"data": data})})

    def post_annotations(self, body):
        key = self._target(body)
        self.annotations[key] = {
            "key": body["annotation_key"],
            "value": body["annotation_value"],
            "value_type": body["annotation_value_type"],
            "reasoning": body.get("reasoning", ""),
            "type": "openapi_feedback",
            "start_time": str(START_MS),
        }

    def delete_annotations(self, query):
        self.annotations.pop(self._target(query), None)

    def _target(self, fields):
        assert fields["workspace_id"] == "7"
        (root,) = [
            span["span_id"] for span in self._of_trace(fields["trace_id"]) if span["parent_id"] in ("", "0")
        ]
        return fields["trace_id"], fields.get("span_id", root), fields["annotation_key"]

    def post_traces_search(self, body):
        assert 0 < body["limit"] <= 1000
        found = self._of_trace(body["trace_id"])
        page = [self._output(span) for span in found[-body["limit"] :]]
        return {"spans": page} if self.old else {"spans": page, "has_more": len(page) < len(found)}

    def post_spans_search(self, body):
        (field,) = body["filters"]["filter_fields"]
        assert (body["span_list_type"], len(body["order_bys"])) == ("all_span", 1)
        found = [span for span in self.spans if span.get(field["field_name"]) in field["values"]]
        found.sort(key=self._order, reverse=True)
        if body.get("page_token"):
            last = tuple(json.loads(base64.b64decode(body["page_token"]).decode()))
            found = [span for span in found if self._order(span) < last]
        page = found[: body["page_size"]]
        token = base64.b64encode(json.dumps(self._order(page[-1])).encode()).decode() if page else ""
        spans = [self._output(span) for span in page]
        return {"spans": spans, "has_more": len(page) < len(found), "next_page_token": token}

    def _of_trace(self, trace_id):
        return sorted((span for span in self.spans if span["trace_id"] == trace_id), key=self._order)

    @staticmethod
    def _order(span):
        return int(span["started_at"]), span["span_id"]

    def _output(self, span):
        annotations = [value for key, value in self.annotations.items() if key[:2] == (TRACE, span["span_id"])]
        return {**span, "annotations": annotations} if annotations else span

    def add(self, span_id, parent_id, number, **fields):
        self.spans.append(
            {
                "trace_id": TRACE,
                "span_id": span_id,
                "parent_id": parent_id,
                "span_name": "span %d" % number,
                "started_at": str(START_MS + number),
                "duration": "3",
                "status": "success",
                "status_code": 0,
                "custom_tags": {},
                **fields,
            }
        )


@pytest.fixture
def api(server):
    return ApiClient(server.url, "token")


@pytest.fixture
def platform(server):
    platform = Platform()
    platform.add(ROOT, "0", 1)
    platform.add(CHILD, ROOT, 2)
    server.default = platform.answer
    return platform


# -- a platform that works --------------------------------------------------------------------------------------------


def test_feedback_is_read_back_where_it_was_attached(api, platform):
    add_feedback(api, "7", TRACE, "helpful", True)
    add_feedback(api, "7", TRACE, "grade", 0.75, CHILD, "a good answer, 好")
    add_feedback(api, "7", TRACE, "grade", 2, CHILD, "on second thoughts: bad & short")
    root, child = search_trace(api, "7", TRACE, **WINDOW)
    assert [(found.key, found.value) for found in root.annotations] == [("helpful", True)]
    assert [(found.key, found.value, found.reasoning) for found in child.annotations] == [
        ("grade", 2, "on second thoughts: bad & short")
    ]


def test_deleted_feedback_is_gone_and_deleting_again_is_no_error(api, platform):
    add_feedback(api, "7", TRACE, "a&b=c ü", "x", CHILD)
    add_feedback(api, "7", TRACE, "kept", "x", CHILD)
    for _ in range(2):
        delete_feedback(api, "7", TRACE, "a&b=c ü", CHILD)
    assert [found.key for found in search_trace(api, "7", TRACE, **WINDOW).spans[1].annotations] == ["kept"]


def test_deleting_sends_no_body(api, platform, server):
    delete_feedback(api, "7", TRACE, "k")
    (request,) = server.requests
    assert (request.method, request.body) == ("DELETE", b"")


def test_a_trace_is_a_tree(api, platform):
    platform.add("00000000000000a2", CHILD, 3)
    platform.add("00000000000000a3", ROOT, 4)
    trace = search_trace(api, "7", TRACE, **WINDOW)
    assert [(depth, span.span_name) for depth, span in trace.walk()] == [
        (0, "span 1"),
        (1, "span 2"),
        (2, "span 3"),
        (1, "span 4"),
    ]
    assert trace.root.span_id == ROOT


def test_an_unknown_trace_is_empty(api, platform):
    assert not search_trace(api, "7", "f" * 32, **WINDOW)


@pytest.mark.parametrize("old", [False, True], ids=["a newer server", "an older server"])
def test_a_trace_of_more_spans_than_one_answer_has_is_read_whole(api, platform, server, old):
    platform.old = old
    for number in range(3, 2502):
        platform.add("%016x" % (number + 0xA0), ROOT, number // 2)  # two at a time
    trace = search_trace(api, "7", TRACE, **WINDOW)
    assert len(trace) == len({span.span_id for span in trace}) == 2501
    assert trace.root.span_id == ROOT
    starts = [span.started_at_ms for span in trace]
    assert starts == sorted(starts)
    assert len(server.requests) == 1 + 26


def test_a_trace_of_more_bytes_than_one_answer_has_is_read_in_smaller_pages(api, platform, server, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 100_000)
    for number in range(3, 40):
        platform.add("%016x" % (number + 0xA0), ROOT, number, input="x" * 10_000)
    trace = search_trace(api, "7", TRACE, **WINDOW)
    assert len(trace) == 39
    sizes = [request.json().get("page_size") for request in server.requests]
    assert sizes[:4] == [None, 100, 25, 6]
    assert set(sizes[4:]) == {6}


def test_spans_are_found_page_by_page(api, platform, server):
    for number in range(3, 10):
        platform.add("%016x" % (number + 0xA0), ROOT, number, span_type="model")
    found = search_spans(
        api, "7", Filter("span_type", "in", ["model"]), span_list_type="all_span", page_size=3, **WINDOW
    )
    assert server.requests == []
    assert [span.span_name for span in found] == ["span %d" % number for number in range(9, 2, -1)]
    assert len(server.requests) == 3


# -- one that does not ------------------------------------------------------------------------------------------------


CALLS = {
    "add": lambda api: add_feedback(api, "7", TRACE, "k", 1),
    "delete": lambda api: delete_feedback(api, "7", TRACE, "k"),
    "trace": lambda api: search_trace(api, "7", TRACE),
    "spans": lambda api: list(search_spans(api, "7")),
}
every_call = pytest.mark.parametrize("call", list(CALLS.values()), ids=list(CALLS))


@every_call
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (json_answer({"code": 602000101, "msg": "no access permission"}), AuthenticationError),
        (json_answer({"code": 600900101, "msg": "no access permission"}), PermissionDeniedError),
        (json_answer({"code": 600904006, "msg": "storage"}), InternalServerError),
        (json_answer({"code": 600903208, "msg": "trace is expired"}), RemoteServiceError),
        (text_answer("<html>", 502, "text/html"), InternalServerError),
        (reset(), NetworkError),
    ],
    ids=["token", "workspace", "storage", "expired", "proxy", "network"],
)
def test_a_failure_is_raised_and_nothing_is_tried_twice(api, server, call, answer, error):
    server.answers(answer)
    with pytest.raises(error):
        call(api)
    assert len(server.requests) == 1


@every_call
def test_no_call_outlives_the_timeout_of_the_client(server, call):
    server.default = hang()
    with pytest.raises(RequestTimeoutError):
        call(ApiClient(server.url, "token", timeout=0.2))


@pytest.mark.parametrize("name", ["trace", "spans"])
@pytest.mark.parametrize("status", [200, 429])
def test_a_question_that_came_too_fast_is_asked_again(api, platform, server, monkeypatch, name, status):
    slept = []
    monkeypatch.setattr(search, "sleep", slept.append)
    limited = {"code": 600900205, "msg": "qps limit exceeded"}
    server.answers(json_answer(limited, status, {"Retry-After": "2"}), json_answer(limited, status))
    server.default = json_answer({"code": 0, "msg": "", "data": {"spans": [], "has_more": False}})
    assert len(list(CALLS[name](api))) == 0
    assert slept[0] == 2
    assert 0 < slept[1] < 1
    assert [request.body for request in server.requests[1:]] == [server.requests[1].body] * 2
    assert server.requests[0].body == server.requests[1].body


def test_feedback_that_came_too_fast_is_for_the_caller_to_send_again(api, server):
    server.answers(json_answer({"code": 600900205, "msg": "qps limit exceeded"}))
    with pytest.raises(RateLimitError):
        add_feedback(api, "7", TRACE, "k", 1)
    assert len(server.requests) == 1
