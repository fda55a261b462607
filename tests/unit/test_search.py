"""Reading traces back: what is asked, in which pages, how fast; and what is made of the answers."""

from __future__ import annotations

import calendar
import json
import sys
from datetime import datetime, timedelta, timezone
from itertools import islice

import pytest

from cozeloop_lite import AnswerTooLongError, InvalidParamError, NetworkError, RateLimitError, RemoteServiceError
from cozeloop_lite.entities.trace import Feedback, Trace, TraceSpan
from cozeloop_lite.query import arguments, search
from cozeloop_lite.query.filters import Filter, all_of, any_of, written
from cozeloop_lite.query.search import search_spans, search_trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
NOW = 1_750_000_000.0  # seconds
NOW_MS = 1_750_000_000_000
HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS


class Api:
    """Answers in turn with what it was made with, and records the questions. An exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def post(self, path, data):
        self.asked.append((path, json.loads(json.dumps(data))))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"code": 0, "msg": "", **answer}

    def bodies(self):
        return [body for _, body in self.asked]


class Clock:
    """Time passes only by sleeping."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(search, "sleep", clock.sleep)
    monkeypatch.setattr(search, "monotonic", clock.monotonic)
    monkeypatch.setattr(arguments, "time", lambda: NOW)
    return clock


def span(number, **fields):
    """As the platform writes it: 64-bit integers as text."""
    return {
        "trace_id": TRACE,
        "span_id": "%016x" % number,
        "parent_id": "0",
        "started_at": str(NOW_MS + number),
        "duration": "5",
        **fields,
    }


def page(*numbers, token=None, **more):
    """A page of spans; with ``token``, others follow."""
    spans = [span(number) for number in numbers]
    return {"data": {"spans": spans, "next_page_token": token or "", "has_more": token is not None, **more}}


def numbers_of(spans):
    return [int(span.span_id, 16) for span in spans]


def too_fast(retry_after=None):
    problem = RateLimitError(200, 600900205, "qps limit exceeded")
    problem.retry_after = retry_after
    return problem


def too_long():
    return AnswerTooLongError("POST failed: the answer is longer than 8388608 bytes")


# -- one trace --------------------------------------------------------------------------------------------------------


def test_a_trace_is_asked_for_by_its_id_in_the_last_week_and_ahead_of_slow_clocks():
    api = Api(page(1))
    search_trace(api, "7", TRACE.upper())
    body = {
        "workspace_id": "7",
        "trace_id": TRACE,
        "start_time": NOW_MS + HOUR_MS - WEEK_MS,
        "end_time": NOW_MS + HOUR_MS,
        "limit": 1000,
    }
    assert api.asked == [("/v1/loop/traces/search", body)]


def test_a_trace_is_asked_for_by_a_log_id():
    api = Api(page(1))
    search_trace(api, "7", log_id="log/1 a")
    (body,) = api.bodies()
    assert body["logid"] == "log/1 a"
    assert "trace_id" not in body


@pytest.mark.parametrize("given", [{}, {"trace_id": TRACE, "log_id": "x"}])
def test_exactly_one_of_the_ids_is_needed(given):
    api = Api()
    with pytest.raises(InvalidParamError, match="either trace_id or log_id"):
        search_trace(api, "7", **given)
    assert api.asked == []


@pytest.mark.parametrize(
    ("given", "named"),
    [({"trace_id": "abc"}, "trace_id"), ({"trace_id": ""}, "trace_id"), ({"log_id": ""}, "log_id")],
)
def test_an_id_that_is_none_is_refused_by_its_name(given, named):
    with pytest.raises(InvalidParamError, match="^%s " % named):
        search_trace(Api(), "7", **given)


def test_the_spans_of_a_trace_come_by_their_start_and_equal_starts_in_the_order_of_the_platform():
    answer = {"data": {"spans": [span(3), span(1), span(9, started_at=str(NOW_MS + 1)), span(2)]}}
    trace = search_trace(Api(answer), "7", TRACE)
    assert numbers_of(trace) == [1, 9, 2, 3]
    assert trace.complete


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"spans": [], "has_more": False}},
        {"data": {"spans": None}},
        {"data": {}},
        {"data": None},
        {},
        {"data": [1]},
        {"data": {"spans": [None, 5, "x"]}},
    ],
)
def test_nothing_found_is_an_empty_trace(answer):
    trace = search_trace(Api(answer), "7", TRACE)
    assert not trace
    assert (len(trace), trace.trace_id, trace.root, list(trace.walk())) == (0, "", None, [])
    assert (trace.input_tokens, trace.output_tokens) == (0, 0)


def test_what_the_platform_refuses_is_raised_as_it_is():
    expired = RemoteServiceError(200, 600903208, "trace is expired")
    with pytest.raises(RemoteServiceError) as caught:
        search_trace(Api(expired), "7", TRACE)
    assert caught.value is expired


def test_a_broken_connection_is_raised_as_it_is():
    api = Api(NetworkError("reset"))
    with pytest.raises(NetworkError, match="reset"):
        search_trace(api, "7", TRACE)
    assert len(api.asked) == 1


FIRST_THOUSAND = [span(number) for number in range(1000)]


@pytest.mark.parametrize(
    "first",
    [
        {"data": {"spans": FIRST_THOUSAND, "has_more": True, "next_page_token": "x"}},
        {"data": {"spans": FIRST_THOUSAND, "has_more": None}},
        {"data": {"spans": FIRST_THOUSAND}},
        too_long(),
    ],
    ids=["a newer server says so", "null", "an older server stops at its limit", "more bytes than an answer may have"],
)
def test_a_trace_too_large_for_one_answer_is_read_in_pages(first):
    api = Api(first, page(5, 4, token="a"), page(3, 2, token="b"), page(1))
    trace = search_trace(api, "7", TRACE, start_time=NOW_MS - 10, end_time=NOW_MS)
    assert numbers_of(trace) == [1, 2, 3, 4, 5]
    assert [path for path, _ in api.asked] == ["/v1/loop/traces/search"] + ["/v1/loop/spans/search"] * 3
    body = api.bodies()[1]
    assert body["span_list_type"] == "all_span"
    assert (body["start_time"], body["end_time"]) == (NOW_MS - 10, NOW_MS)
    assert body["filters"]["filter_fields"] == [
        {"field_name": "trace_id", "field_type": "string", "query_type": "eq", "values": [TRACE]}
    ]


def test_spans_of_pages_that_began_in_the_same_ms_stay_in_the_order_of_the_platform():
    same = [{**span(number), "started_at": str(NOW_MS)} for number in (4, 3, 2, 1)]
    trace = search_trace(Api(too_long(), page(spans=same[:2], token="a"), page(spans=same[2:])), "7", TRACE)
    assert numbers_of(trace) == [1, 2, 3, 4]


def test_a_trace_at_the_limit_of_a_server_that_says_there_is_no_more_is_whole():
    api = Api({"data": {"spans": FIRST_THOUSAND, "has_more": False}})
    assert len(search_trace(api, "7", TRACE)) == 1000
    assert len(api.asked) == 1


def test_a_trace_by_log_id_is_read_in_pages_by_the_log_id():
    api = Api(too_long(), page(1))
    search_trace(api, "7", log_id="x")
    (field,) = api.bodies()[1]["filters"]["filter_fields"]
    assert (field["field_name"], field["values"]) == ("logid", ["x"])


def test_of_a_trace_without_end_the_latest_spans_are_read_and_it_is_not_complete(monkeypatch):
    monkeypatch.setattr(search, "MAX_TRACE_SPANS", 3)
    api = Api(too_long(), page(9, 8, token="a"), page(7, 6, token="b"), page(5, 4))
    trace = search_trace(api, "7", TRACE)
    assert numbers_of(trace) == [7, 8, 9]
    assert not trace.complete
    assert len(api.asked) == 3


def test_a_trace_of_just_as_many_spans_as_are_read_is_complete(monkeypatch):
    monkeypatch.setattr(search, "MAX_TRACE_SPANS", 3)
    trace = search_trace(Api(too_long(), page(9, 8, 7)), "7", TRACE)
    assert numbers_of(trace) == [7, 8, 9]
    assert trace.complete


# -- spans ------------------------------------------------------------------------------------------------------------


def test_spans_are_asked_for_latest_first_with_the_roots_as_the_default():
    api = Api(page())
    assert list(search_spans(api, "7")) == []
    body = {
        "workspace_id": "7",
        "start_time": NOW_MS + HOUR_MS - WEEK_MS,
        "end_time": NOW_MS + HOUR_MS,
        "span_list_type": "root_span",
        "order_bys": [{"field": "start_time", "is_asc": False}],
        "page_size": 100,
    }
    assert api.asked == [("/v1/loop/spans/search", body)]


def test_nothing_is_requested_before_it_is_needed():
    api = Api(page(9, 8, token="a"), page(7, 6, token="b"), page(5))
    spans = search_spans(api, "7", page_size=2)
    assert api.asked == []
    assert numbers_of(islice(spans, 2)) == [9, 8]
    assert len(api.asked) == 1
    assert numbers_of(islice(spans, 1)) == [7]
    assert len(api.asked) == 2
    assert numbers_of(spans) == [6, 5]
    assert [body.get("page_token") for body in api.bodies()] == [None, "a", "b"]


def test_every_page_asks_for_the_same_window(monkeypatch):
    api = Api(page(9, token="a"), page(8))
    spans = search_spans(api, "7")
    next(spans)
    monkeypatch.setattr(arguments, "time", lambda: NOW + 5)
    next(spans)
    first, second = api.bodies()
    assert {**first, "page_token": "a"} == second


def test_an_empty_page_is_not_the_end_while_more_is_announced():
    assert numbers_of(search_spans(Api(page(token="a"), page(1)), "7")) == [1]


def test_a_server_that_announces_more_for_ever_and_sends_nothing_is_not_asked_for_ever():
    api = Api(*[page(token=str(number)) for number in range(2 * search.MAX_EMPTY_PAGES)])
    with pytest.raises(RemoteServiceError, match="pages had none"):
        next(search_spans(api, "7"))
    assert len(api.asked) == search.MAX_EMPTY_PAGES + 1


def test_spans_that_come_now_and_then_are_waited_for(monkeypatch):
    monkeypatch.setattr(search, "MAX_EMPTY_PAGES", 2)
    empty = [page(token=str(number)) for number in range(6)]
    spans = search_spans(Api(*empty[:2], page(9, token="a"), *empty[2:4], page(8, token="b"), *empty[4:], page(7)), "7")
    assert numbers_of(spans) == [9, 8, 7]


@pytest.mark.parametrize("token", ["a", "", None, 5])
def test_a_server_that_leads_in_a_circle_is_not_followed(token):
    again = page(8, token="a")
    again["data"]["next_page_token"] = token
    spans = search_spans(Api(page(9, token="a"), again), "7")
    assert numbers_of(islice(spans, 2)) == [9, 8]
    with pytest.raises(RemoteServiceError, match="next_page_token"):
        next(spans)


def test_an_answer_that_is_too_long_is_asked_for_again_in_smaller_pages():
    api = Api(page(9, token="a"), too_long(), too_long(), page(8, token="b"), page(7))
    assert numbers_of(search_spans(api, "7")) == [9, 8, 7]
    asked = [(body["page_size"], body.get("page_token")) for body in api.bodies()]
    assert asked == [(100, None), (100, "a"), (25, "a"), (6, "a"), (6, "b")]


def test_a_single_span_that_is_too_long_is_an_error():
    api = Api(too_long(), too_long())
    with pytest.raises(NetworkError, match="longer than"):
        next(search_spans(api, "7", page_size=2))
    assert [body["page_size"] for body in api.bodies()] == [2, 1]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"span_list_type": "roots"}, "span_list_type"),
        ({"span_list_type": ["root_span"]}, "span_list_type"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"page_size": "10"}, "page_size"),
        ({"filters": 5}, "filters"),
        ({"start_time": "yesterday"}, "start_time"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once_and_not_at_the_first_span(given, named):
    with pytest.raises(InvalidParamError, match=named):
        search_spans(Api(), "7", **given)


# -- asking too fast --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question", [lambda api: search_trace(api, "7", TRACE), lambda api: list(search_spans(api, "7"))]
)
def test_whoever_asks_too_fast_waits_a_little_longer_each_time(clock, question):
    assert numbers_of(question(Api(too_fast(), too_fast(), too_fast(), page(1)))) == [1]
    assert [0.1 <= clock.slept[0] <= 0.2, 0.2 <= clock.slept[1] <= 0.4, 0.4 <= clock.slept[2] <= 0.8] == [True] * 3


def test_the_server_may_name_the_time_to_wait(clock):
    list(search_spans(Api(too_fast(retry_after=7.0), page(1)), "7"))
    assert clock.slept == [7.0]


def test_no_wait_goes_beyond_the_time_one_question_may_take(clock):
    api = Api(too_fast(retry_after=20.0), too_fast(retry_after=20.0))
    with pytest.raises(RateLimitError):
        search_trace(api, "7", TRACE)
    assert clock.slept == [20.0]


def test_the_number_of_attempts_is_bounded(clock):
    api = Api(*[too_fast() for _ in range(20)])
    with pytest.raises(RateLimitError):
        search_trace(api, "7", TRACE)
    assert 7 <= len(api.asked) <= 9
    assert sum(clock.slept) <= 30


def test_each_page_has_patience_of_its_own(clock):
    api = Api(too_fast(20.0), page(2, token="a"), too_fast(20.0), page(1))
    assert numbers_of(search_spans(api, "7")) == [2, 1]
    assert clock.slept == [20.0, 20.0]


# -- times ------------------------------------------------------------------------------------------------------------


AWARE = datetime(2025, 6, 15, 12, 30, 0, 123000, tzinfo=timezone(timedelta(hours=8)))
AWARE_MS = calendar.timegm((2025, 6, 15, 4, 30, 0)) * 1000 + 123


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        (AWARE, AWARE_MS),
        (datetime.fromtimestamp(NOW), NOW_MS),
        (NOW_MS, NOW_MS),
    ],
    ids=["with a time zone", "local time", "ms"],
)
def test_a_time_is_a_datetime_or_a_number_of_ms(given, milliseconds):
    assert arguments.window(given, given) == (milliseconds, milliseconds)


def test_the_default_window_ends_at_its_end():
    assert arguments.window(None, NOW_MS) == (NOW_MS - WEEK_MS, NOW_MS)
    assert arguments.window(NOW_MS - 5, None) == (NOW_MS - 5, NOW_MS + HOUR_MS)


class Unknown(datetime):
    def timestamp(self):
        raise OSError("the C library of this machine does not go there")


@pytest.mark.parametrize(
    "given", [NOW, int(NOW), 0, -1, 2**63, True, "2025-06-15", AWARE.date(), Unknown(1600, 1, 1)], ids=str
)
def test_what_is_no_time_in_ms_is_refused_by_its_name(given):
    with pytest.raises(InvalidParamError, match=r"^end_time "):
        arguments.window(None, given)


def test_a_time_before_1970_is_the_beginning():
    long_ago = datetime(1950, 1, 1, tzinfo=timezone.utc)
    assert arguments.window(long_ago, NOW_MS) == (1, NOW_MS)


def test_seconds_in_place_of_ms_are_explained():
    with pytest.raises(InvalidParamError, match="a number of seconds is none"):
        arguments.window(int(NOW), None)


def test_a_window_does_not_end_before_it_begins():
    with pytest.raises(InvalidParamError, match="start_time must not be after end_time"):
        arguments.window(NOW_MS, NOW_MS - 1)


# -- filters ----------------------------------------------------------------------------------------------------------


def field(name, field_type, query_type, *values):
    return {"field_name": name, "field_type": field_type, "query_type": query_type, "values": list(values)}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"model_name": "x"}, [field("model_name", "string", "eq", "x")]),
        ({"a": 1, "b.c": True}, [field("a", "long", "eq", "1"), field("b.c", "bool", "eq", "true")]),
        ({"score": [1, 2.5]}, [field("score", "double", "in", "1", "2.5")]),
        ({"status": "error"}, [field("status", "string", "in", "error")]),
        ({"status": ["error", "success"]}, [field("status", "string", "in", "error", "success")]),
        (Filter("duration", "gte", 1000), [field("duration", "long", "gte", "1000")]),
        ([Filter("a", "exist"), Filter("b", "lt", 9)], [field("a", "string", "exist"), field("b", "long", "lt", "9")]),
        (Filter("tokens", "not_exist", field_type="long"), [field("tokens", "long", "not_exist")]),
        (Filter("input", "match", "你好"), [field("input", "string", "match", "你好")]),
        (Filter("feedback_openapi_helpful", "eq", True), [field("feedback_openapi_helpful", "bool", "eq", "true")]),
    ],
)
def test_filters_are_written_as_the_platform_reads_them(given, fields):
    api = Api(page())
    list(search_spans(api, "7", given))
    (body,) = api.bodies()
    assert body["filters"] == {"query_and_or": "and", "filter_fields": fields}


def test_filters_can_be_alternatives_and_nested():
    model, tool = Filter("span_type", "eq", "model"), Filter("span_type", "eq", "tool")
    slow = Filter("duration", "gt", 9)
    assert written(any_of(model, tool)) == {
        "query_and_or": "or",
        "filter_fields": [field("span_type", "string", "eq", "model"), field("span_type", "string", "eq", "tool")],
    }
    assert written([slow, any_of(model, all_of(tool))]) == {
        "query_and_or": "and",
        "filter_fields": [
            field("duration", "long", "gt", "9"),
            {
                "query_and_or": "and",
                "sub_filter": {
                    "query_and_or": "or",
                    "filter_fields": [
                        field("span_type", "string", "eq", "model"),
                        {
                            "query_and_or": "and",
                            "sub_filter": {
                                "query_and_or": "and",
                                "filter_fields": [field("span_type", "string", "eq", "tool")],
                            },
                        },
                    ],
                },
            },
        ],
    }


@pytest.mark.parametrize("nothing", [None, {}, [], ()])
def test_no_filters_are_none(nothing):
    assert written(nothing) is None


@pytest.mark.parametrize("name", ["user-id", "a/b", "", "1a", ".a", "a b", "a\n", "名", 5, None])
def test_a_name_that_the_platform_cannot_filter_by_is_refused(name):
    with pytest.raises(InvalidParamError, match="the name in a filter"):
        Filter(name, "eq", 1)


@pytest.mark.parametrize(
    ("name", "operator", "value"),
    [
        ("a", "gte", "text"),
        ("a", "match", 5),
        ("a", "not_eq", True),
        ("a", "like", "x"),
        ("a", ["eq"], "x"),
        ("a", "eq", None),
        ("a", "eq", ["x"]),
        ("a", "eq", float("nan")),
        ("a", "eq", 2**64),
        ("a", "eq", "\ud800"),
        ("a", "in", "text"),
        ("a", "in", []),
        ("a", "in", ["x", 1]),
        ("a", "in", [True, 1]),
        ("a", "exist", 1),
        ("duration", "gte", 1.5),
        ("duration", "eq", "9"),
        ("status", "not_in", ["error"]),
        ("status", "eq", "broken"),
        ("status", "in", [0]),
    ],
)
def test_what_the_platform_cannot_compare_is_refused_by_the_name(name, operator, value):
    with pytest.raises(InvalidParamError, match=r"\b%s\b" % name):
        Filter(name, operator, value)


def test_a_type_that_the_platform_does_not_have_is_refused():
    with pytest.raises(InvalidParamError, match=r"^field_type must be one of .*, not 'int'$"):
        Filter("a", "exist", field_type="int")
    with pytest.raises(InvalidParamError, match=r"^field_type must be one of .*, not list$"):
        Filter("a", "exist", field_type=["long"])


@pytest.mark.parametrize("given", [["a"], [{"a": 1}], [None], "a", 5, [[Filter("a", "exist")]]])
def test_what_is_no_filter_is_refused(given):
    with pytest.raises(InvalidParamError, match="filters"):
        written(given)


def test_a_group_of_nothing_is_refused():
    with pytest.raises(InvalidParamError):
        any_of()


def test_filters_show_what_they_are():
    assert repr(any_of(Filter("a", "in", [1, 2]))) == "any_of(Filter('a', 'in', 1, 2))"


# -- what comes back --------------------------------------------------------------------------------------------------


ANNOTATION = {
    "id": "f" * 64,
    "span_id": "00f067aa0ba902b7",
    "trace_id": TRACE,
    "workspace_id": "7",
    "start_time": "1750000000123",
    "type": "openapi_feedback",
    "key": "helpful",
    "value_type": "bool",
    "value": "true",
    "status": "normal",
    "reasoning": "it was",
    "base_info": {"created_at": "1750000001000", "updated_at": "1750000001000"},
}
WIRE = {
    "trace_id": TRACE,
    "span_id": "00f067aa0ba902b7",
    "parent_id": "0",
    "span_name": "answer",
    "span_type": "tool",
    "type": "unknwon",
    "call_type": "Custom",
    "started_at": "1750000000123",
    "duration": "1500",
    "status": "error",
    "status_code": -1,
    "input": "in",
    "output": "",
    "logic_delete_date": None,
    "logid": "log-1",
    "custom_tags": {"error": "no", "input_tokens": "3"},
    "system_tags": {"language": "python"},
    "attr_tos": {"input_data_url": "/file", "multimodal_data": {"key": "/image"}},
    "annotations": [ANNOTATION],
    "encryption": {"workflow": "x"},
}


def test_a_span_has_what_the_platform_sent():
    found = TraceSpan.from_dict(WIRE)
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, "00f067aa0ba902b7", "0")
    assert (found.span_name, found.span_type, found.type) == ("answer", "tool", "unknwon")
    assert (found.status, found.status_code) == ("error", -1)
    assert (found.started_at_ms, found.duration_ms) == (1750000000123, 1500)
    assert found.started_at == datetime(2025, 6, 15, 15, 6, 40, 123000, tzinfo=timezone.utc)
    assert (found.input, found.output, found.logid, found.call_type) == ("in", "", "log-1", "Custom")
    assert (found.custom_tags["error"], found.system_tags) == ("no", {"language": "python"})
    assert (found.attr_tos.input_data_url, found.attr_tos.multimodal_data) == ("/file", {"key": "/image"})
    (feedback,) = found.annotations
    assert (feedback.key, feedback.value, feedback.reasoning) == ("helpful", True, "it was")
    assert found.logic_delete_date is None


def test_what_is_not_known_is_kept_and_integers_become_numbers():
    expected = {**WIRE, "started_at": 1750000000123, "duration": 1500}
    expected["annotations"] = [{**ANNOTATION, "start_time": 1750000000123}]
    del expected["logic_delete_date"]
    assert TraceSpan.from_dict(WIRE).to_dict() == expected


@pytest.mark.parametrize("wire", [{}, dict.fromkeys(WIRE), {key: [] for key in WIRE}, dict.fromkeys(WIRE, 10**30)])
def test_a_span_of_whatever_an_answer_has_can_be_handled(wire):
    found = TraceSpan.from_dict(wire)
    assert (found.custom_tags, found.system_tags, found.annotations) == ({}, {}, [])
    assert isinstance(found.started_at_ms, int)
    assert isinstance(found.duration_ms, int)
    assert found.started_at is None or found.started_at.year == 1970
    trace = Trace([found])
    assert list(trace.walk()) == [(0, found)]
    assert trace.root is found
    assert trace.input_tokens == 0


def test_spans_share_no_tags():
    one, other = TraceSpan.from_dict({}), TraceSpan()
    one.custom_tags["a"] = "b"
    one.annotations.append(Feedback(key="k"))
    assert (other.custom_tags, TraceSpan.from_dict({}).custom_tags, TraceSpan().annotations) == ({}, {}, [])


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        ("bool", "true", True),
        ("bool", "false", False),
        ("long", "-3", -3),
        ("double", "0.5", 0.5),
        ("double", "3", 3.0),
        ("string", "true", "true"),
        ("category", "x", "x"),
        ("bool", "maybe", "maybe"),
        ("long", "x", "x"),
        ("hologram", "x", "x"),
        (None, "x", "x"),
        ("long", None, ""),
    ],
)
def test_the_value_of_feedback_has_the_type_it_was_given_in(value_type, text, value):
    found = Feedback.from_dict({"key": "k", "value_type": value_type, "value": text}).value
    assert (found, type(found)) == (value, type(value))


def tree(*pairs):
    """Spans of (id, parent)."""
    spans = [
        TraceSpan(trace_id=TRACE, span_id=name, parent_id=parent, started_at_ms=number)
        for number, (name, parent) in enumerate(pairs)
    ]
    return Trace(spans)


@pytest.mark.parametrize(
    ("trace", "walked"),
    [
        (tree(("r", "0"), ("a", "r"), ("b", "r"), ("c", "a")), [(0, "r"), (1, "a"), (2, "c"), (1, "b")]),
        (tree(("a", "r"), ("r", ""), ("b", "r")), [(0, "r"), (1, "a"), (1, "b")]),
        (tree(("a", "gone"), ("b", "a"), ("c", "gone")), [(0, "a"), (1, "b"), (0, "c")]),
        (tree(("a", "a"), ("b", "a")), [(0, "a"), (1, "b")]),
        (tree(("a", "b"), ("b", "a"), ("r", "0")), [(0, "r"), (0, "a"), (1, "b")]),
        (tree(("a", "0"), ("a", "0"), ("b", "a")), [(0, "a"), (1, "b"), (0, "a")]),
    ],
    ids=["a tree", "a child that began first", "parents that are not here", "its own parent", "a circle", "copies"],
)
def test_a_walk_visits_each_span_once_with_parents_first(trace, walked):
    assert [(depth, span.span_id) for depth, span in trace.walk()] == walked


def test_a_walk_goes_deeper_than_the_stack():
    trace = tree(("0" * 5, "0"), *[("%05d" % number, "%05d" % (number - 1)) for number in range(1, 5000)])
    assert [depth for depth, _ in trace.walk()] == list(range(5000))


def test_a_walk_takes_steps_in_proportion_to_the_spans_whatever_their_ids():
    """No platform gives many spans one id, but whoever answers in its place may."""

    def steps(count):
        trace = tree(*[("a", "0")] * count, *[("b", "a")] * count)
        taken = 0

        def see(frame, event, argument):
            nonlocal taken
            taken += 1
            return see

        before = sys.gettrace()
        sys.settrace(see)
        try:
            assert sum(1 for _ in trace.walk()) == 2 * count
        finally:
            sys.settrace(before)
        return taken

    assert steps(200) < 2.5 * steps(100)


def test_the_root_is_the_span_without_a_parent_or_else_the_earliest():
    assert tree(("a", "r"), ("r", "0")).root.span_id == "r"
    assert tree(("a", "gone"), ("b", "a")).root.span_id == "a"


def test_tokens_are_counted_on_model_calls_only():
    def spent(span_type, input_tokens, output_tokens):
        tags = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        return TraceSpan(span_type=span_type, custom_tags=tags)

    trace = Trace([spent("agent", "100", "100"), spent("model", "3", "4"), spent("LLMCall", "5", "x"), TraceSpan()])
    assert (trace.input_tokens, trace.output_tokens) == (8, 4)
