"""Feedback and searches of the stand-in server over real HTTP, asked with the client's own functions."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import threading
import time

import pytest

import cozeloop_lite
from cozeloop_lite import (
    ApiClient,
    BadRequestError,
    HttpError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RemoteServiceError,
)
from cozeloop_lite.feedback import add_feedback, delete_feedback
from cozeloop_lite.local import StandInServer, search_endpoints
from cozeloop_lite.local.store import Store
from cozeloop_lite.query import search
from cozeloop_lite.query.filters import Filter, any_of
from cozeloop_lite.query.search import search_spans, search_trace

TRACE = "29392ac2486dfcfa46656416baabeac8"
OTHER = "0af7651916cd43dd8448eb211c80319c"
NOW = int(time.time()) * 1_000_000  # µs
WINDOW = {"start_time": NOW // 1000 - 3_600_000, "end_time": NOW // 1000 + 3_600_000}
SPANS = "/v1/loop/spans/search"
TREE = "/v1/loop/traces/search_tree"
TRACES = "/v1/loop/traces/list"
FEEDBACK = "/v1/loop/annotations"


def wire_span(number, parent=0, trace_id=TRACE, **changes):
    """A span whose id is its number, that began as many ms ago as the number says."""
    return {
        "started_at_micros": NOW - number * 1000,
        "duration_micros": 372_000,
        "trace_id": trace_id,
        "span_id": f"{number:016x}",
        "parent_id": f"{parent:016x}" if parent else "0",
        "workspace_id": "7",
        "span_name": f"span {number}",
        "span_type": "custom",
        "status_code": 0,
        "input": "in",
        "output": "out",
        **changes,
    }


def span_id(number):
    return f"{number:016x}"


@pytest.fixture
def lines():
    return []


@pytest.fixture
def server(lines):
    with StandInServer(log=lines.append) as server:
        yield server


@pytest.fixture
def api(server):
    return ApiClient(server.url, "token", timeout=60)  # thousands of spans are much to read on a busy machine


@pytest.fixture(scope="module")
def shared():
    """An ApiClient to one server for many tests: with these three spans and what was said about them."""
    with StandInServer() as server:
        api = ApiClient(server.url, "token", timeout=60)
        some = {"tags_string": {"user": "anna"}, "tags_long": {"n": 1}}
        send(
            api,
            wire_span(1, **some, tags_double={"ratio": 0.5}, tags_bool={"cached": True}),
            wire_span(2, tags_string={"user": "bob"}, tags_long={"n": 2}, duration_micros=1_000_000, log_id="log-2"),
            wire_span(3, status_code=-1),
        )
        add_feedback(api, "7", TRACE, "grade", 4, span_id(1))
        add_feedback(api, "7", TRACE, "grade", 5, span_id(2))
        add_feedback(api, "7", TRACE, "helpful", False, span_id(3))
        yield api


def send(api, *spans):
    for position in range(0, len(spans), 100):
        api.post("/v1/loop/traces/ingest", {"spans": spans[position : position + 100]})


def names(spans):
    return [span.span_name for span in spans]


def of(trace):
    """(name of the span, key, value) of all feedback on a trace."""
    return [(span.span_name, given.key, given.value) for span in trace for given in span.annotations]


def question(path, **changes):
    required = {"workspace_id": "7", **WINDOW}
    more = {TREE: {"trace_id": TRACE, "limit": 10}, search.TRACE_PATH: {"trace_id": TRACE, "limit": 10}}
    more[TRACES] = {"trace_ids": [TRACE]}
    asked = {**required, **more.get(path, {}), **changes}
    return {name: value for name, value in asked.items() if value is not ...}


def refusal_of(api, path, **changes):
    with pytest.raises(HttpError) as caught:
        api.post(path, question(path, **changes))
    return caught.value.code


every_search = pytest.mark.parametrize("path", [search.TRACE_PATH, TREE, SPANS, TRACES])


# --- feedback ---------------------------------------------------------------------------------------------------------


def test_feedback_is_read_back_where_it_was_attached(api):
    send(api, wire_span(2), wire_span(1, parent=2))
    add_feedback(api, "7", TRACE, "helpful", True)
    add_feedback(api, "7", TRACE, "grade", 4, span_id(1), "a good answer, 好")
    add_feedback(api, "7", TRACE, "score", 0.75, span_id(1))
    add_feedback(api, "7", TRACE, "label", "a&b=c ü", span_id(1))
    trace = search_trace(api, "7", TRACE)
    assert of(trace) == [
        ("span 2", "helpful", True),
        ("span 1", "grade", 4),
        ("span 1", "score", 0.75),
        ("span 1", "label", "a&b=c ü"),
    ]
    grade = trace.spans[1].annotations[0]
    assert (grade.reasoning, grade.type, grade.status) == ("a good answer, 好", "openapi_feedback", "normal")
    assert (grade.span_id, grade.trace_id, grade.workspace_id) == (span_id(1), TRACE, "7")
    assert grade.start_time == trace.spans[1].started_at_ms


def test_feedback_may_come_before_its_span(api, lines):
    add_feedback(api, "7", TRACE, "helpful", False)
    add_feedback(api, "7", TRACE, "grade", 4, span_id(1))
    assert lines == [
        f"accepted feedback 'helpful' (bool) on the root of trace '{TRACE}', which has not arrived yet",
        f"accepted feedback 'grade' (long) on span '{span_id(1)}', which has not arrived yet",
    ]
    send(api, wire_span(1, parent=2))
    assert of(search_trace(api, "7", TRACE)) == [("span 1", "grade", 4)]
    send(api, wire_span(2))
    assert of(search_trace(api, "7", TRACE)) == [("span 2", "helpful", False), ("span 1", "grade", 4)]


def test_the_same_key_again_replaces_the_value(api):
    send(api, wire_span(1))
    add_feedback(api, "7", TRACE, "grade", 4, span_id(1), "fine")
    add_feedback(api, "7", TRACE, "grade", "worse", span_id(1))
    (given,) = search_trace(api, "7", TRACE).root.annotations
    assert (given.value, given.reasoning) == ("worse", "")
    assert int(given.base_info["created_at"]) <= int(given.base_info["updated_at"])


@pytest.mark.parametrize("first, second", [(None, span_id(2)), (span_id(2), None)], ids=["root, id", "id, root"])
@pytest.mark.parametrize("arrives", [0, 1, 2])
def test_the_root_by_its_id_and_without_are_one_place_and_the_latest_holds(api, first, second, arrives):
    steps = [
        lambda: add_feedback(api, "7", TRACE, "grade", 1, first),
        lambda: add_feedback(api, "7", TRACE, "grade", 2, second),
    ]
    steps.insert(arrives, lambda: send(api, wire_span(2)))
    for step in steps:
        step()
    assert of(search_trace(api, "7", TRACE)) == [("span 2", "grade", 2)]
    delete_feedback(api, "7", TRACE, "grade", first)
    assert of(search_trace(api, "7", TRACE)) == []


def test_of_two_roots_the_one_that_arrived_first_has_the_feedback(api):
    add_feedback(api, "7", TRACE, "early", 1)
    send(api, wire_span(2), wire_span(3, parent_id=""))
    add_feedback(api, "7", TRACE, "late", 1)
    assert of(search_trace(api, "7", TRACE)) == [("span 2", "early", 1), ("span 2", "late", 1)]


def test_deleted_feedback_is_gone_and_deleting_again_is_no_error(api, lines):
    send(api, wire_span(1))
    for key in ("a&b=c ü;d", "kept"):
        add_feedback(api, "7", TRACE, key, "x", span_id(1))
    for _ in range(2):
        delete_feedback(api, "7", TRACE, "a&b=c ü;d", span_id(1))
    delete_feedback(api, "7", OTHER, "kept")
    assert of(search_trace(api, "7", TRACE)) == [("span 1", "kept", "x")]
    assert lines[-4] == f"deleted feedback 'a&b=c ü;d' on span '{span_id(1)}'"
    assert lines[-3] == f"nothing to delete: there is no feedback 'a&b=c ü;d' on span '{span_id(1)}'"


def test_feedback_of_another_workspace_is_not_seen(api):
    send(api, wire_span(1))
    add_feedback(api, "8", TRACE, "grade", 1, span_id(1))
    assert of(search_trace(api, "7", TRACE)) == []


@pytest.mark.parametrize(
    "value, asked, stored, answered",
    [
        ("good", "category", "string", "good"),
        ("good", "", "string", "good"),
        ("good", None, "string", "good"),
        ("12", "string", "string", "12"),
        ("1e3", "number", "double", "1000"),
        ("0.50", "double", "double", "0.5"),
        ("+7", "long", "long", "7"),
        ("T", "bool", "bool", "true"),
        ("yes", "boolean", "string", "yes"),
    ],
)
def test_the_type_says_how_a_value_is_read(api, lines, value, asked, stored, answered):
    send(api, wire_span(1))
    body = {"workspace_id": 7, "trace_id": TRACE, "annotation_key": "k", "annotation_value": value}
    api.post(FEEDBACK, {**body, "annotation_value_type": asked})
    (given,) = search_trace(api, "7", TRACE).root.annotations
    assert (given.value_type, given.value_text) == (stored, answered)
    warning = "  warning: feedback of the type 'boolean', which the platform takes for text"
    assert [line for line in lines if "warning" in line] == ([warning] if asked == "boolean" else [])


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"annotation_value": "x", "annotation_value_type": "long"}, 600904002),
        ({"annotation_value": "1.5", "annotation_value_type": "long"}, 600904002),
        ({"annotation_value": "x", "annotation_value_type": "double"}, 600904002),
        ({"annotation_value": "1e999", "annotation_value_type": "number"}, 600904002),
        ({"annotation_value": "yes", "annotation_value_type": "bool"}, 600904002),
        ({"annotation_value": "x" * (4 * 1024 * 1024 + 1)}, 600904002),
        ({"annotation_value": 5}, 602000201),
        ({"annotation_value": None}, 602000201),
        ({"annotation_key": None}, 602000201),
        ({"annotation_key": ""}, 602000202),
        ({"trace_id": ""}, 602000202),
        ({"workspace_id": 0}, 602000202),
        ({"workspace_id": "x"}, 602000201),
        ({"workspace_id": None}, 602000201),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_feedback_that_is_none_is_refused_and_not_kept(shared, changes, code):
    body = {"workspace_id": "7", "trace_id": TRACE, "annotation_key": "k", "annotation_value": "v", **changes}
    with pytest.raises(HttpError) as caught:
        shared.post(FEEDBACK, body)
    assert caught.value.code == code
    assert "k" not in [key for _, key, _ in of(search_trace(shared, "7", TRACE))]


@pytest.mark.parametrize(
    "query, code",
    [
        ("", 602000201),
        ("?workspace_id=7&trace_id=x", 602000201),
        ("?workspace_id=7&trace_id=&annotation_key=k", 602000202),
        ("?workspace_id=seven&trace_id=x&annotation_key=k", 602000201),
        ("?workspace_id=-1&trace_id=x&annotation_key=k", 602000202),
    ],
)
def test_deleting_what_is_not_named_is_refused(shared, query, code):
    with pytest.raises(HttpError) as caught:
        shared.delete(FEEDBACK + query)
    assert caught.value.code == code


def test_the_feedback_of_a_value_is_in_no_log_line(api, lines):
    add_feedback(api, "7", TRACE, "opinion", "between us", None, "a secret")
    assert not [line for line in lines if "between us" in line or "secret" in line]


# --- one trace --------------------------------------------------------------------------------------------------------


def test_a_trace_that_a_client_reported_is_read_back(server):
    with cozeloop_lite.new_client(server.url, "7", "t") as client:
        with client.start_span("answer", "agent") as root:
            root.set_log_id("log-1")
            with client.start_span("write", "model") as model:
                model.set_input({"question": "你好"})
                model.set_output("hello")
                model.set_tags({"attempt": 2, "ratio": 0.5, "cached": True})
                model.set_input_tokens(4)
                model.set_output_tokens(6)
                model.set_error(ValueError("bad"))
        assert client.flush()
        trace = search_trace(client.api, "7", root.trace_id)
    assert [(depth, span.span_name, span.status) for depth, span in trace.walk()] == [
        (0, "answer", "success"),
        (1, "write", "error"),
    ]
    write = trace.spans[1]
    assert (json.loads(write.input), write.output) == ({"question": "你好"}, "hello")
    assert {"attempt": "2", "ratio": "0.5", "cached": "true", "error": "bad"}.items() <= write.custom_tags.items()
    assert (trace.input_tokens, trace.output_tokens) == (4, 6)
    assert trace.root.logid == "log-1"
    assert trace.root.type == "agent"


def test_the_spans_of_a_trace_come_by_their_start_whatever_their_order_of_arrival(api):
    send(api, *[wire_span(number, parent=9) for number in (3, 1, 2)], wire_span(9), wire_span(4, trace_id=OTHER))
    assert names(search_trace(api, "7", TRACE)) == ["span 9", "span 3", "span 2", "span 1"]


def test_a_trace_is_found_by_a_log_id(api):
    send(api, wire_span(1, log_id="log/1 ü"), wire_span(2, trace_id=OTHER, log_id="log/1"), wire_span(3))
    assert names(search_trace(api, "7", log_id="log/1 ü")) == ["span 1"]
    assert not search_trace(api, "7", log_id="log")


def test_numbers_are_text_where_the_platform_answers_text(api):
    send(api, wire_span(1, span_type="model", tags_long={"input_tokens": 3, "latency_first_resp": 1_500_000}))
    data = api.post(search.TRACE_PATH, question(search.TRACE_PATH))["data"]
    (span,) = data["spans"]
    assert (span["started_at"], span["duration"]) == (str((NOW - 1000) // 1000), "372")
    assert span["custom_tags"] == {"input_tokens": "3", "latency_first_resp": "1500"}
    assert (span["status_code"], span["status"]) == (0, "success")
    assert "annotations" not in span
    assert data["traces_advance_info"] == {"tokens": {"input": "3", "output": "0"}}
    assert data["has_more"] is False


def test_of_more_spans_than_the_limit_the_latest_are_answered(api):
    send(api, *[wire_span(number) for number in range(1, 13)])
    data = api.post(search.TRACE_PATH, question(search.TRACE_PATH, limit=3))["data"]
    assert [span["span_name"] for span in data["spans"]] == ["span 3", "span 2", "span 1"]
    assert data["has_more"] is True
    data = api.post(search.TRACE_PATH, question(search.TRACE_PATH, limit=12))["data"]
    assert (len(data["spans"]), data["has_more"]) == (12, False)
    assert len(api.post(search.TRACE_PATH, question(search.TRACE_PATH, limit=0))["data"]["spans"]) == 10


def test_a_trace_of_more_spans_than_one_answer_has_is_read_whole(api):
    send(api, wire_span(1300), *[wire_span(number, parent=1300) for number in range(1, 1300)])
    trace = search_trace(api, "7", TRACE)
    assert len(trace) == len({span.span_id for span in trace}) == 1300
    assert trace.complete
    assert trace.spans[0] is trace.root


def test_an_answer_that_becomes_too_large_is_cut_and_says_so(api, monkeypatch):
    monkeypatch.setattr(search_endpoints, "MAX_ANSWER_BYTES", 100_000)
    send(api, *[wire_span(number, input="x" * 30_000) for number in range(1, 11)])
    assert api.post(search.TRACE_PATH, question(search.TRACE_PATH))["data"]["has_more"] is True
    assert len(search_trace(api, "7", TRACE)) == 10
    monkeypatch.setattr(search_endpoints, "MAX_ANSWER_BYTES", 0)
    assert len(list(search_spans(api, "7"))) == 10


def test_a_trace_can_be_narrowed_to_some_spans(api):
    send(api, *[wire_span(number, span_type="model" if number == 2 else "custom") for number in (1, 2, 3)])
    some = api.post(search.TRACE_PATH, question(search.TRACE_PATH, span_ids=[span_id(1), span_id(3)]))["data"]
    assert [span["span_name"] for span in some["spans"]] == ["span 3", "span 1"]
    models = {"filter_fields": [Filter("span_type", "eq", "model").to_dict()]}
    some = api.post(search.TRACE_PATH, question(search.TRACE_PATH, filters=models))["data"]
    assert [span["span_name"] for span in some["spans"]] == ["span 2"]


def test_a_tree_has_no_inputs_and_outputs(api):
    send(api, wire_span(2), wire_span(1, parent=2))
    add_feedback(api, "7", TRACE, "helpful", True)
    data = api.post(TREE, question(TREE, limit=10_000))["data"]
    assert [(span["span_name"], span["input"], span["output"]) for span in data["spans"]] == [
        ("span 2", "", ""),
        ("span 1", "", ""),
    ]
    assert data["spans"][0]["annotations"][0]["key"] == "helpful"


def test_an_unknown_trace_is_empty(api):
    assert not search_trace(api, "7", OTHER)
    assert api.post(search.TRACE_PATH, question(search.TRACE_PATH))["data"]["spans"] == []


def test_a_trace_outside_the_window_is_empty(api):
    send(api, wire_span(1))
    assert not search_trace(api, "7", TRACE, start_time=NOW // 1000, end_time=NOW // 1000 + 1)
    assert search_trace(api, "7", TRACE, start_time=NOW // 1000 - 1, end_time=NOW // 1000 - 1)


def test_spans_that_the_platform_would_drop_are_not_found(api, server):
    old = NOW - 25 * 3600 * 1_000_000
    send(api, wire_span(1), wire_span(2, started_at_micros=old), wire_span(3, span_id="XYZ"))
    assert len(server.store.spans()) == 3
    assert names(search_trace(api, "7", TRACE)) == ["span 1"]
    assert names(search_spans(api, "7", span_list_type="all_span")) == ["span 1"]


def test_a_span_that_arrived_twice_is_found_once_as_it_was_first(api):
    send(api, wire_span(1), wire_span(1, span_name="again"))
    assert names(search_trace(api, "7", TRACE)) == ["span 1"]
    assert names(search_spans(api, "7", {"span_name": ["span 1", "again"]})) == ["span 1"]
    assert not list(search_spans(api, "7", {"span_name": "again"}))


def test_a_trace_of_another_workspace_is_refused(api):
    send(api, wire_span(1, workspace_id="8"))
    with pytest.raises(RemoteServiceError) as caught:
        search_trace(api, "7", TRACE)
    assert caught.value.code == 600903203
    assert names(search_trace(api, "8", TRACE)) == ["span 1"]


# --- spans by filters -------------------------------------------------------------------------------------------------


def test_pages_have_each_span_once_the_latest_first(api):
    at_once = [wire_span(number, started_at_micros=NOW - number // 7 * 7000) for number in range(1, 251)]
    send(api, *at_once)
    found = list(search_spans(api, "7", page_size=100))
    assert len(found) == len({span.span_id for span in found}) == 250
    order = [(span["started_at_micros"], span["span_id"]) for span in at_once]
    assert [span.span_id for span in found] == [id for _, id in sorted(order, reverse=True)]


def test_a_page_goes_on_strictly_below_the_last_pair(api):
    send(api, *[wire_span(number, started_at_micros=NOW) for number in range(1, 6)])
    data = api.post(SPANS, question(SPANS, page_size=2))["data"]
    assert [span["span_id"] for span in data["spans"]] == [span_id(5), span_id(4)]
    assert data["has_more"] is True
    place = json.loads(base64.b64decode(data["next_page_token"]).decode("ascii"))
    assert place == {"StartTime": NOW, "SpanID": span_id(4)}
    send(api, wire_span(6, started_at_micros=NOW))  # the pages that follow do not have it
    more = api.post(SPANS, question(SPANS, page_size=3, page_token=data["next_page_token"]))["data"]
    assert [span["span_id"] for span in more["spans"]] == [span_id(3), span_id(2), span_id(1)]
    assert more["has_more"] is False


def test_a_page_has_100_spans_when_nothing_is_said(api):
    send(api, *[wire_span(number) for number in range(1, 102)])
    data = api.post(SPANS, question(SPANS))["data"]
    assert (len(data["spans"]), data["has_more"]) == (100, True)


def test_a_page_of_nothing_is_empty(api):
    assert api.post(SPANS, question(SPANS))["data"] == {"spans": [], "next_page_token": "", "has_more": False}


def test_lists_are_of_roots_of_all_or_of_model_calls(api):
    send(api, wire_span(3, span_type="model"), wire_span(2, parent=3, span_type="model"), wire_span(1, parent_id=""))
    assert names(search_spans(api, "7")) == ["span 1", "span 3"]
    assert names(search_spans(api, "7", span_list_type="all_span")) == ["span 1", "span 2", "span 3"]
    assert names(search_spans(api, "7", span_list_type="llm_span")) == ["span 2", "span 3"]


def test_spans_of_another_workspace_are_not_found(api):
    send(api, wire_span(1))
    send(api, wire_span(2, workspace_id="8"))
    assert names(search_spans(api, "7")) == ["span 1"]


@pytest.mark.parametrize(
    "filters, found",
    [
        (Filter("user", "eq", "anna"), [1]),
        (Filter("user", "not_eq", "anna"), [2, 3]),
        (Filter("user", "match", "o"), [2]),
        (Filter("user", "not_match", "o"), [1, 3]),
        (Filter("user", "in", ["anna", "bob"]), [1, 2]),
        (Filter("user", "not_in", ["anna"]), [2, 3]),
        (Filter("user", "exist"), [1, 2]),
        (Filter("user", "not_exist"), [3]),
        (Filter("n", "gt", 1), [2]),
        (Filter("n", "gte", 1), [1, 2]),
        (Filter("n", "lt", 1), [3]),
        (Filter("n", "lte", 1), [1, 3]),
        (Filter("ratio", "eq", 0.5), [1]),
        (Filter("cached", "eq", True), [1]),
        (Filter("cached", "not_exist", field_type="bool"), [2, 3]),
        (Filter("duration", "gte", 1000), [2]),
        (Filter("status", "eq", "error"), [3]),
        ({"status": ["success", "error"]}, [1, 2, 3]),
        ({"status": "success", "user": "bob"}, [2]),
        ({"span_name": "span 1"}, [1]),
        ({"logid": "log-2"}, [2]),
        ({"trace_id": TRACE}, [1, 2, 3]),
        ({"feedback_openapi_grade": 4}, [1]),
        (Filter("feedback_openapi_grade", "gt", 4), [2]),
        (Filter("feedback_openapi_helpful", "exist"), [3]),
        ([Filter("n", "gt", 0), any_of(Filter("user", "eq", "bob"), Filter("ratio", "gt", 9.0))], [2]),
    ],
    ids=repr,
)
def test_filters_find_spans(shared, filters, found):
    assert names(search_spans(shared, "7", filters)) == ["span %d" % number for number in found]


# --- tokens of traces -------------------------------------------------------------------------------------------------


def test_tokens_and_bytes_of_traces(api):
    tokens = {"input_tokens": 3, "output_tokens": 4}
    send(api, wire_span(1, span_type="model", tags_long=tokens), wire_span(2, span_type="LLMCall", tags_long=tokens))
    send(api, wire_span(3, tags_long=tokens), wire_span(4, trace_id=OTHER))
    asked = question(TRACES, trace_ids=[OTHER, TRACE, TRACE, "f" * 32])
    other, trace = api.post(TRACES, asked)["data"]["traces"]
    assert (other["trace_id"], other["tokens"]) == (OTHER, {"input_token": "0", "output_token": "0"})
    assert (trace["trace_id"], trace["tokens"]) == (TRACE, {"input_token": "6", "output_token": "8"})
    assert 0 < int(other["size"]) < int(trace["size"])


@pytest.mark.parametrize("trace_ids", [[], [""], [None], ["x"] * 1001], ids=lambda ids: str(len(ids)))
def test_traces_without_an_id_are_refused(shared, trace_ids):
    assert refusal_of(shared, TRACES, trace_ids=trace_ids) == 600904002


# --- refusals ---------------------------------------------------------------------------------------------------------


@every_search
@pytest.mark.parametrize(
    "changes, code",
    [
        ({"start_time": 0}, 600904002),
        ({"end_time": -1}, 600904002),
        pytest.param({"start_time": NOW // 1000, "end_time": NOW // 1000 - 1}, 600904002, id="ends before it begins"),
        ({"start_time": 1, "end_time": 1_000_000_000_000}, 600904002),  # 2001
        ({"start_time": 1 << 62, "end_time": 1 << 62}, 600904002),
        ({"platform_type": "coze_bot"}, 600904002),
        ({"workspace_id": 0}, 602000202),
        ({"workspace_id": "x"}, 602000201),
        ({"start_time": "x"}, 602000201),
    ],
    ids=repr,
)
def test_a_search_without_a_time_or_a_place_is_refused(shared, path, changes, code):
    assert refusal_of(shared, path, **changes) == code


@every_search
def test_a_search_may_begin_before_everything_and_end_after_it(shared, path):
    data = shared.post(path, question(path, start_time=1, end_time=(1 << 63) - 1))["data"]
    assert data.get("spans") or data.get("traces")


def test_a_year_later_nothing_is_found(api, monkeypatch):
    send(api, wire_span(1))
    later = NOW / 1_000_000 + 365 * 24 * 3600
    monkeypatch.setattr(search_endpoints, "time", lambda: later)
    assert not search_trace(api, "7", TRACE, **WINDOW)
    monkeypatch.setattr(search_endpoints, "time", lambda: later - 1)
    assert search_trace(api, "7", TRACE, **WINDOW)


@pytest.mark.parametrize(
    "path, changes, code",
    [
        (search.TRACE_PATH, {"limit": 1001}, 600904002),
        (search.TRACE_PATH, {"limit": -1}, 600904002),
        (search.TRACE_PATH, {"limit": ...}, 602000201),
        (search.TRACE_PATH, {"trace_id": ...}, 600904002),
        (search.TRACE_PATH, {"workspace_id": ...}, 602000201),
        (search.TRACE_PATH, {"filters": {"query_and_or": "xor"}}, 600904002),
        (TREE, {"limit": 10_001}, 600904002),
        (TREE, {"limit": ...}, 602000201),
        (TREE, {"trace_id": ..., "logid": "x"}, 600904002),
        (TREE, {"start_time": ...}, 600904002),
        (SPANS, {"page_size": 201}, 600904002),
        (SPANS, {"page_size": -1}, 600904002),
        (SPANS, {"page_size": "9"}, 602000201),
        (SPANS, {"order_bys": [{}, {}]}, 600904002),
        (SPANS, {"start_time": ...}, 602000201),
        (SPANS, {"filters": "x"}, 602000201),
        (SPANS, {"filters": {"filter_fields": [Filter("a", "eq", 1).to_dict() for _ in range(1001)]}}, 600904002),
        (TRACES, {"trace_ids": ...}, 602000201),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_search_that_is_none_is_refused(shared, path, changes, code):
    assert refusal_of(shared, path, **changes) == code


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ü",
        base64.b64encode(b"{}").decode(),
        "*" + base64.b64encode(b'{"StartTime":1,"SpanID":"a"}').decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"StartTime":1.5,"SpanID":"a"}').decode(),
        base64.b64encode(b'{"StartTime":1,"SpanID":5}').decode(),
        base64.b64encode(b'{"StartTime":99999999999999999999,"SpanID":"a"}').decode(),
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
    ],
    ids=lambda token: token[:40],
)
def test_a_page_token_that_is_none_is_refused(shared, token):
    assert refusal_of(shared, SPANS, page_token=token) == 600904002


def test_the_reason_of_a_refusal_is_told(api, lines):
    with pytest.raises(BadRequestError, match="the operator 'gt' for 'user' of the type 'string'"):
        field = {"field_name": "user", "field_type": "string", "query_type": "gt", "values": ["a"]}
        api.post(SPANS, question(SPANS, filters={"filter_fields": [field]}))
    assert lines[-1].startswith(f"refused {SPANS}: 600904002 invalid param,invalid filter: the operator")


def test_a_terminal_is_safe_from_what_is_asked_for(api, lines):
    api.post(search.TRACE_PATH, question(search.TRACE_PATH, trace_id="\x1b[31mred"))
    api.post(FEEDBACK, {"workspace_id": 7, "trace_id": "\x1b", "annotation_key": "\x1b", "annotation_value": "\x1b"})
    api.delete(FEEDBACK, params={"workspace_id": "7", "trace_id": "\x1b", "annotation_key": "\x1b", "span_id": "\x1b"})
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


def test_half_a_character_in_a_question_is_no_crash(api):
    half = '"\\ud800"'
    body = json.dumps(question(search.TRACE_PATH)).replace(json.dumps(TRACE), half)
    connection = http.client.HTTPConnection("127.0.0.1", int(api.base_url.rpartition(":")[2]), timeout=10)
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    connection.request("POST", search.TRACE_PATH, body, headers)
    assert json.loads(connection.getresponse().read().decode())["code"] == 0
    connection.close()


@every_search
def test_only_the_workspace_of_the_server_can_be_searched(path):
    with StandInServer(workspace_id="8") as server, pytest.raises(PermissionDeniedError) as caught:
        ApiClient(server.url, "t").post(path, question(path))
    assert caught.value.code == 600900101


def test_only_the_workspace_of_the_server_gets_feedback():
    with StandInServer(workspace_id="8") as server:
        api = ApiClient(server.url, "t")
        for call in (lambda: add_feedback(api, "7", TRACE, "k", 1), lambda: delete_feedback(api, "7", TRACE, "k")):
            with pytest.raises(PermissionDeniedError) as caught:
                call()
            assert caught.value.code == 600900101


def test_a_token_is_needed():
    with StandInServer(token="right") as server:
        api = ApiClient(server.url, "wrong")
        for call in (
            lambda: add_feedback(api, "7", TRACE, "k", 1),
            lambda: delete_feedback(api, "7", TRACE, "k"),
            lambda: search_trace(api, "7", TRACE),
            lambda: list(search_spans(api, "7")),
        ):
            with pytest.raises(HttpError) as caught:
                call()
            assert caught.value.code == 602000101


@pytest.mark.parametrize("method, path", [("GET", FEEDBACK), ("DELETE", SPANS), ("POST", "/v1/loop/pre_span/search")])
def test_other_routes_are_404(shared, method, path):
    with pytest.raises(NotFoundError) as caught:
        shared.request(method, path)
    assert caught.value.status == 404


def test_answers_have_a_log_id(server, api):
    for method, path in (("POST", SPANS), ("DELETE", FEEDBACK)):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(method, path, headers={"Authorization": "Bearer t"})
        assert connection.getresponse().headers["X-Log-ID"]
        connection.close()


# --- pace -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only by waiting, for the server and for the client."""
    passed = [1000.0]
    monkeypatch.setattr(search_endpoints, "monotonic", lambda: passed[0])
    monkeypatch.setattr(search, "sleep", lambda seconds: passed.__setitem__(0, passed[0] + seconds))


def test_searches_can_be_limited_for_each_workspace(clock):
    with StandInServer(search_qps=4) as server:
        api = ApiClient(server.url, "t")
        for path in (search.TRACE_PATH, TREE, SPANS, TRACES):
            api.post(path, question(path))
        with pytest.raises(RateLimitError) as caught:
            api.post(SPANS, question(SPANS))
        assert caught.value.code == 600900205
        api.post(SPANS, question(SPANS, workspace_id="8"))
        add_feedback(api, "7", TRACE, "k", 1)
        assert not search_trace(api, "7", TRACE)  # the client waits a little


def test_searches_are_not_limited_unless_asked(api, clock):
    for _ in range(30):
        search_trace(api, "7", TRACE)


# --- the database -----------------------------------------------------------------------------------------------------

OLD_SCHEMA = """
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT NOT NULL,
    started_at_micros INTEGER NOT NULL, duration_micros INTEGER NOT NULL, status_code INTEGER NOT NULL,
    span_name TEXT NOT NULL, received_at_micros INTEGER NOT NULL,
    dropped INTEGER NOT NULL, duplicate INTEGER NOT NULL, span TEXT NOT NULL);
CREATE INDEX spans_by_trace ON spans (trace_id, span_id);
CREATE TABLE warnings (id INTEGER PRIMARY KEY, span INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX warnings_by_span ON warnings (span);
CREATE TABLE files (
    workspace_id TEXT NOT NULL, name TEXT NOT NULL, received_at_micros INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (workspace_id, name));
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


def test_a_database_from_before_feedback_is_used_on(tmp_path, api, server):
    send(api, wire_span(1))
    rows = server.store._connection.execute("SELECT * FROM spans").fetchall()
    db = str(tmp_path / "old.sqlite3")
    connection = sqlite3.connect(db)
    connection.executescript(OLD_SCHEMA)
    connection.executemany(f"INSERT INTO spans VALUES (?{', ?' * (len(rows[0]) - 1)})", rows)
    connection.commit()
    connection.close()
    looking = Store(db, read_only=True)
    assert [span["span_name"] for span in looking.spans()] == ["span 1"]
    looking.close()
    with StandInServer(db=db) as newer:
        other = ApiClient(newer.url, "t")
        add_feedback(other, "7", TRACE, "grade", 4)
        send(other, wire_span(2, parent=1))
        assert of(search_trace(other, "7", TRACE)) == [("span 1", "grade", 4)]
        assert names(search_spans(other, "7", span_list_type="all_span")) == ["span 1", "span 2"]


def test_feedback_survives_a_restart(tmp_path):
    db = str(tmp_path / "db.sqlite3")
    with StandInServer(db=db) as server:
        add_feedback(ApiClient(server.url, "t"), "7", TRACE, "grade", 4)
    with StandInServer(db=db) as server:
        api = ApiClient(server.url, "t")
        send(api, wire_span(1))
        assert of(search_trace(api, "7", TRACE)) == [("span 1", "grade", 4)]


def test_reporting_and_searching_go_on_at_once(api):
    failed = []

    def work(number):
        try:
            for round in range(10):
                send(api, wire_span(1000 * number + round + 1))
                add_feedback(api, "7", TRACE, "k%d" % round, round, span_id(1000 * number + round + 1))
                list(search_spans(api, "7", page_size=3))
                search_trace(api, "7", TRACE)
        except Exception as problem:
            failed.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(of(search_trace(api, "7", TRACE))) == 40
