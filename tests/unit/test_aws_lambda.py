"""``lambda_handler``: a span for each invocation, sent before the function returns, and the function as it was."""

from __future__ import annotations

import contextvars
import inspect
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from unittest.mock import MagicMock
from wsgiref.util import setup_testing_defaults

import pytest

import cozeloop_lite
from cozeloop_lite import clients, inject, new_client
from cozeloop_lite.integration import aws_lambda, lambda_events
from cozeloop_lite.integration.aws_lambda import lambda_handler
from cozeloop_lite.integration.wsgi import TraceMiddleware
from cozeloop_lite.trace import context as trace_context
from cozeloop_lite.trace import ids, tracer

ROOT = Path(__file__).resolve().parents[2]
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = "00-%s-%s-01" % (TRACE_ID, SPAN_ID)


class Context:
    """What AWS Lambda hands over beside the event."""

    aws_request_id = "8f5a-1"
    function_name = "orders"
    function_version = "$LATEST"

    def __init__(self, millis=3000):
        self.millis = millis

    def get_remaining_time_in_millis(self):
        return self.millis


class Clock:
    """The clocks of the module, which stand still unless they are told otherwise."""

    def __init__(self):
        self.now = 1000.0
        self.wall = 1_700_000_000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.wall


class SlowClient:
    """A client whose flush takes ``takes`` seconds on the ``clock``, or all it is given if that is less."""

    def __init__(self, clock):
        self.clock = clock
        self.takes = 0.0
        self.lost = False  # whether the platform refuses spans
        self.flushes = []  # the seconds that each was given
        self.closed_connections = 0
        self.api = types.SimpleNamespace(close=self._close)

    def _close(self):
        self.closed_connections += 1

    def close(self, timeout):
        """When the test is over."""

    def install_signal_flush(self, signals):
        """There is nothing to flush here when the process ends."""

    def start_span(self, *args, **kwargs):
        return cozeloop_lite.trace.span.NOOP

    def flush(self, timeout):
        self.flushes.append(round(timeout, 3))
        self.clock.now += min(timeout, self.takes)
        return self.takes <= timeout and not self.lost


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """As if nothing had been invoked yet; and pytest keeps its own SIGTERM."""
    monkeypatch.setattr(aws_lambda, "_invocations", itertools.count())
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(aws_lambda, "monotonic", clock.monotonic)
    monkeypatch.setattr(aws_lambda, "time", clock.time)
    return clock


@pytest.fixture
def slow(clock):
    return SlowClient(clock)


@lambda_handler
def decorated(event, context=None, *, dry=False):
    """What it does."""
    return {"seen": event, "dry": dry}


def tags(span):
    return {**span["tags_string"], **span["tags_bool"]}


# -- the span -------------------------------------------------------------------------------------------------------


def test_an_invocation_is_a_span_with_event_and_result(client, sink):
    @lambda_handler
    def handler(event, context):
        return {"statusCode": 200, "body": "done"}

    assert handler({"body": "question"}, Context()) == {"statusCode": 200, "body": "done"}
    (span,) = sink.spans  # without a flush of the test's own
    assert (span["span_name"], span["span_type"], span["parent_id"]) == ("orders", "function", "0")
    assert json.loads(span["input"]) == {"body": "question"}
    assert json.loads(span["output"]) == {"statusCode": 200, "body": "done"}
    assert tags(span) == {
        "request_id": "8f5a-1",
        "function_name": "orders",
        "function_version": "$LATEST",
        "cold_start": True,
    }


def test_its_name_and_type_can_be_given(client, sink):
    @lambda_handler(name="ask", span_type="agent")
    def handler(event, context):
        return None

    handler({}, Context())
    assert (sink.spans[0]["span_name"], sink.spans[0]["span_type"]) == ("ask", "agent")


def test_without_a_name_from_the_platform_it_is_that_of_the_function(client, sink):
    decorated({})
    assert sink.spans[0]["span_name"] == "decorated"


@pytest.mark.parametrize("record", [False, "false"])  # the latter is a mistake, and no leave
def test_input_and_output_can_be_kept_out(client, sink, record):
    @lambda_handler(record_inputs=record, record_outputs=record)
    def handler(event, context):
        return "secret"

    handler({"body": "secret"}, Context())
    assert "secret" not in json.dumps(sink.spans)


def test_an_output_that_the_function_set_itself_stays(client, sink):
    @lambda_handler
    def handler(event, context):
        cozeloop_lite.get_span_from_context().set_output("better")
        return {"statusCode": 200}

    handler({}, Context())
    assert sink.spans[0]["output"] == "better"


def test_spans_inside_are_its_children(client, sink):
    @lambda_handler
    def handler(event, context):
        with cozeloop_lite.start_span("inner", "tool"):
            pass

    handler({}, None)
    inner, root = sink.spans
    assert (inner["trace_id"], inner["parent_id"]) == (root["trace_id"], root["span_id"])


def test_the_client_can_be_given(client, sink):
    other_spans = type(sink)()
    other = new_client(workspace_id="8", api_token="token", exporter=other_spans)

    @lambda_handler(client=other)
    def handler(event, context):
        return None

    handler({}, None)
    assert (len(sink.spans), len(other_spans.spans)) == (0, 1)


@pytest.mark.parametrize("given", [True, False])
def test_what_other_clients_have_to_send_is_sent_too(client, sink, given):
    other_spans = type(sink)()
    other = new_client(workspace_id="8", api_token="token", exporter=other_spans)

    @lambda_handler(client=other if given else None)
    def handler(event, context):
        client.start_span("here", "custom").finish()
        other.start_span("there", "custom").finish()

    handler({}, None)
    assert "here" in [span["span_name"] for span in sink.spans]
    assert "there" in [span["span_name"] for span in other_spans.spans]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_is_recorded_and_sent_and_goes_on_unchanged(client, sink, error):
    @lambda_handler
    def handler(event, context):
        raise error

    with pytest.raises(type(error)) as caught:
        handler({}, Context())
    assert caught.value is error
    assert error.__cause__ is None and error.__context__ is None
    (span,) = sink.spans
    assert (span["status_code"], span["tags_string"]["error_type"]) == (-1, type(error).__name__)


# -- which trace it belongs to --------------------------------------------------------------------------------------


def attribute(value):
    return {"stringValue": value, "dataType": "String"}


EVENTS_OF_CALLERS = pytest.mark.parametrize(
    "event",
    [
        {"headers": {"TraceParent": PARENT}, "multiValueHeaders": {"TraceParent": [PARENT]}, "body": None},
        {"version": "2.0", "headers": {"traceparent": PARENT}, "cookies": ["a=b"]},
        {"multiValueHeaders": {"x-cozeloop-traceparent": [PARENT]}, "headers": None},
        {"Records": [{"messageAttributes": {"traceparent": attribute(PARENT)}, "body": "x"}]},
        {"Records": [{"Sns": {"MessageAttributes": {"traceparent": {"Type": "String", "Value": PARENT}}}}]},
        types.SimpleNamespace(headers={"Traceparent": PARENT}),
        json.dumps({"headers": {"Traceparent": PARENT}, "isBase64Encoded": False}).encode(),
    ],
    ids=["REST API", "HTTP API", "load balancer", "SQS", "SNS", "request object", "bytes"],
)


@EVENTS_OF_CALLERS
def test_an_event_with_the_callers_headers_continues_the_trace(client, sink, event):
    assert decorated(event)["seen"] is event
    assert (sink.spans[0]["trace_id"], sink.spans[0]["parent_id"]) == (TRACE_ID, SPAN_ID)


@EVENTS_OF_CALLERS
@pytest.mark.parametrize("trust", [False, "false"])  # the latter is a mistake, and no trust
def test_without_trust_in_headers_every_invocation_is_a_root(client, sink, event, trust):
    assert lambda_handler(trust_headers=trust)(decorated.__wrapped__)(event)["seen"] is event
    (span,) = sink.spans
    assert (span["parent_id"], span["trace_id"] != TRACE_ID) == ("0", True)


def test_without_trust_in_headers_baggage_is_not_taken_over(client, sink):
    @lambda_handler(trust_headers=False)
    def handler(event, context):
        return cozeloop_lite.get_span_from_context().baggage

    assert handler({"headers": {"baggage": "user_id=u1", "x-cozeloop-tracestate": "user_id=u1"}}, None) == {}
    assert "user_id" not in sink.spans[0]["tags_string"]


def test_what_inject_wrote_arrives_with_its_baggage(client, sink):
    with cozeloop_lite.start_span("caller") as caller:
        caller.set_baggage({"user_id": "u1"})
        event = {"headers": inject({})}
    decorated(event)
    span = sink.spans[1]
    assert (span["parent_id"], span["tags_string"]["user_id"]) == (caller.span_id, "u1")


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        b"{not json",
        b"\xff",
        [],
        {},
        {"headers": None, "multiValueHeaders": None},
        {"headers": "none", "multiValueHeaders": 5},
        {"headers": {"traceparent": "00-bad"}},
        {"traceparent": PARENT},
        {"Records": None},
        {"Records": []},
        {"Records": ["text"]},
        {"Records": [{"messageAttributes": {"traceparent": "text"}}]},
        {"Records": [{"messageAttributes": {"traceparent": {"binaryValue": b"x"}}}]},
        {"Records": [{"Sns": None, "eventSource": "aws:s3"}]},
        {"Records": [{"messageAttributes": {"traceparent": attribute(PARENT)}}] * 2},
        b'{"a":' + b"[" * 100_000,
        json.dumps({"headers": {"traceparent": PARENT}, "body": "x" * lambda_events.MAX_PARSED_BYTES}).encode(),
    ],
    ids=lambda event: repr(event)[:40],
)
def test_an_event_without_begins_a_trace_of_its_own(client, sink, event):
    assert decorated(event)["seen"] is event
    (span,) = sink.spans
    assert span["parent_id"] == "0"
    assert span["trace_id"] != TRACE_ID


def test_a_span_left_open_earlier_is_never_the_parent(client, sink):
    left = []

    @lambda_handler
    def handler(event, context):
        left.append(cozeloop_lite.start_span("left open"))

    left.append(cozeloop_lite.start_span("left open by the module"))
    handler({}, None)
    assert client.get_span_from_context() is left[0]
    handler({}, None)
    first, second = [span for span in sink.spans if span["span_name"].endswith("handler")]
    assert first["parent_id"] == second["parent_id"] == "0"
    assert len({first["trace_id"], second["trace_id"], left[0].trace_id}) == 3


# -- what answers the request in turn --------------------------------------------------------------------------------


def adapter(app):
    """Stands for the packages that let a WSGI application answer the events of API Gateway."""

    def handler(event, context):
        environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in event["headers"].items()}
        setup_testing_defaults(environ)
        said = []
        body = app({**environ, "PATH_INFO": "/orders"}, lambda status, headers: said.append(status))
        answer = {"statusCode": int(said[0][:3]), "body": b"".join(body).decode()}
        getattr(body, "close", lambda: None)()
        return answer

    return handler


@pytest.mark.parametrize("headers", [{}, {"traceparent": PARENT}], ids=["root", "child"])
@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_request_that_a_web_application_answers_is_a_part_of_the_invocation(client, sink, headers, trust, streamed):
    def app(environ, start_response):
        start_response("200 OK", [])
        with cozeloop_lite.start_span("work", "custom"):
            parts = [b"do", b"ne"]
        return iter(parts) if streamed else parts

    handler = lambda_handler(adapter(TraceMiddleware(app, trust_headers=trust)), trust_headers=trust)
    for number in range(2):
        assert handler({"headers": headers}, Context()) == {"statusCode": 200, "body": "done"}
        found = {span["span_name"]: span for span in sink.spans[3 * number :]}
        assert set(found) == {"orders", "GET /orders", "work"}
        assert found["work"]["parent_id"] == found["GET /orders"]["span_id"]
        assert found["GET /orders"]["parent_id"] == found["orders"]["span_id"]
        assert found["orders"]["parent_id"] == (SPAN_ID if headers and trust else "0")
    assert len({span["trace_id"] for span in sink.spans}) == (1 if headers and trust else 2)
    assert trace_context.top() is None


def test_a_web_application_that_fails_leaves_nothing_behind(client, sink):
    def app(environ, start_response):
        cozeloop_lite.start_span("left open", "custom")
        raise ValueError("bad")

    handler = lambda_handler(adapter(TraceMiddleware(app)))
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            handler({"headers": {}}, Context())
        assert trace_context.top() is None
    assert [span["span_name"] for span in sink.spans] == ["GET /orders", "orders"] * 2
    assert all(span["tags_string"]["error"] == "bad" for span in sink.spans)
    assert len({span["trace_id"] for span in sink.spans}) == 2


def test_an_invocation_that_is_interrupted_while_its_event_is_recorded_leaves_nothing_behind(client, sink):
    class Interrupts:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decorated({"body": Interrupts()})
    assert trace_context.top() is None
    decorated({})
    assert client.flush(60)
    assert [span["parent_id"] for span in sink.spans] == ["0", "0"]
    assert len({span["trace_id"] for span in sink.spans}) == 2


def test_what_an_invocation_leaves_running_is_no_part_of_it_once_it_is_over(client, sink):
    left = []

    @lambda_handler(name="first")
    def handler(event, context):
        left.append(contextvars.copy_context())  # as a task of asyncio or a greenlet has it

    handler({}, None)
    left[0].run(lambda: cozeloop_lite.start_span("later", "custom").finish())
    left[0].run(decorated, {})
    assert client.flush(60)
    assert [span["parent_id"] for span in sink.spans] == ["0", "0", "0"]


def test_a_decorated_function_that_another_one_calls_belongs_to_its_invocation(client, sink):
    @lambda_handler(name="outer")
    def handler(event, context):
        with cozeloop_lite.start_span("between", "custom"):
            return decorated({"headers": {"traceparent": PARENT}})

    handler({}, None)
    inner, between, outer = sink.spans
    assert (inner["parent_id"], between["parent_id"]) == (between["span_id"], outer["span_id"])
    assert (outer["parent_id"], outer["trace_id"]) == ("0", inner["trace_id"])


def test_the_span_of_an_invocation_can_be_set_and_finished_inside(client, sink):
    @lambda_handler
    def handler(event, context):
        span = cozeloop_lite.get_span_from_context()
        span.set_baggage({"user_id": "u1"})
        cozeloop_lite.start_span("step", "custom").finish()
        span.finish()
        cozeloop_lite.start_span("after", "custom").finish()

    handler({}, Context())
    step, invocation, after = sink.spans
    assert (step["parent_id"], step["tags_string"]) == (invocation["span_id"], {"user_id": "u1"})
    assert (invocation["span_name"], after["parent_id"]) == ("orders", "0")
    assert trace_context.top() is None


# -- credentials ----------------------------------------------------------------------------------------------------


def test_credentials_in_headers_are_not_recorded_and_the_event_is_not_changed(client, sink):
    event = {
        "headers": {"Authorization": "Bearer hush", "X-Api-Key": "hush", "Host": "example.com"},
        "multiValueHeaders": {"Cookie": ["session=hush"], "Accept": ["*/*"]},
        "cookies": ["session=hush"],
        "body": "asked",
    }
    before = json.dumps(event)

    @lambda_handler
    def handler(event, context):
        assert json.dumps(event) == before
        return {"headers": {"Set-Cookie": "session=hush"}, "cookies": ["session=hush"], "body": "answered"}

    assert handler(event, None)["headers"] == {"Set-Cookie": "session=hush"}
    assert json.dumps(event) == before
    (span,) = sink.spans
    assert "hush" not in json.dumps(span)
    assert json.loads(span["input"]) == {
        "headers": {"Authorization": "***", "X-Api-Key": "***", "Host": "example.com"},
        "multiValueHeaders": {"Cookie": "***", "Accept": ["*/*"]},
        "cookies": "***",
        "body": "asked",
    }
    assert json.loads(span["output"])["body"] == "answered"


@pytest.mark.parametrize(
    ("event", "recorded"),
    [
        (
            {"requestContext": {"identity": {"apiKey": "hush", "sourceIp": "1.2.3.4"}, "stage": "prod"}},
            {"requestContext": {"identity": {"apiKey": "***", "sourceIp": "1.2.3.4"}, "stage": "prod"}},
        ),
        (
            {"type": "TOKEN", "authorizationToken": "Bearer hush", "methodArn": "arn:aws"},
            {"type": "TOKEN", "authorizationToken": "***", "methodArn": "arn:aws"},
        ),
        (
            {"version": "2.0", "type": "REQUEST", "identitySource": ["Bearer hush", "123"], "routeKey": "$default"},
            {"version": "2.0", "type": "REQUEST", "identitySource": "***", "routeKey": "$default"},
        ),
        (
            {"version": "1.0", "identitySource": "hush,123", "authorizationToken": "hush,123"},
            {"version": "1.0", "identitySource": "***", "authorizationToken": "***"},
        ),
    ],
    ids=["key", "authorizer", "authorizer of an HTTP API", "the same, first version"],
)
def test_credentials_that_api_gateway_puts_beside_the_headers_are_not_recorded(client, sink, event, recorded):
    before = json.dumps(event)
    assert decorated(event)["seen"] is event
    assert json.dumps(event) == before
    assert json.loads(sink.spans[0]["input"]) == recorded


@pytest.mark.parametrize("context", [None, "text", {}, {"identity": None}, {"identity": ["apiKey"]}])
def test_a_request_context_without_a_key_is_recorded_as_it_is(client, sink, context):
    decorated({"requestContext": context})
    assert json.loads(sink.spans[0]["input"]) == {"requestContext": context}


def test_cookies_of_an_answer_without_headers_are_not_recorded(client, sink):
    @lambda_handler
    def handler(event, context):
        return {"statusCode": 204, "cookies": ["session=hush"]}

    assert handler({}, None)["cookies"] == ["session=hush"]
    assert json.loads(sink.spans[0]["output"]) == {"statusCode": 204, "cookies": "***"}


def test_cookies_that_are_not_those_of_a_request_are_recorded(client, sink):
    decorated({"cookies": ["with chocolate"]})
    assert "with chocolate" in sink.spans[0]["input"]


# -- cold starts ----------------------------------------------------------------------------------------------------


def test_only_the_first_invocation_of_the_process_is_a_cold_start(client, sink):
    @lambda_handler
    def other(event, context):
        return None

    decorated({})
    decorated({})
    other({}, None)
    assert [span["tags_bool"]["cold_start"] for span in sink.spans] == [True, False, False]


def test_of_many_threads_one_is_first(client, sink):
    start = threading.Barrier(8)

    def invoke():
        start.wait()
        decorated({})

    threads = [threading.Thread(target=invoke) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(span["tags_bool"]["cold_start"] for span in sink.spans) == [False] * 7 + [True]


# -- contexts -------------------------------------------------------------------------------------------------------


class Hostile:
    """Fails whenever it is looked at."""

    def __getattribute__(self, name):
        if name != "__class__":  # pytest asks for it
            raise RuntimeError("no")
        return Hostile


FC_FUNCTION = types.SimpleNamespace(name="orders", qualifier="LATEST", timeout=60)
ALL_TAGS = {"request_id": "r1", "function_name": "orders", "function_version": "LATEST"}


@pytest.mark.parametrize(
    ("context", "found"),
    [
        (None, {}),
        ("text", {}),
        (Hostile(), {}),
        (MagicMock(), {}),
        (types.SimpleNamespace(request_id="r1"), {"request_id": "r1"}),
        (types.SimpleNamespace(request_id="r1", function=FC_FUNCTION), ALL_TAGS),
        ({"request_id": "r1", "function_name": "orders", "function_version": "LATEST"}, ALL_TAGS),
    ],
    ids=["none", "text", "hostile", "mock", "veFaaS", "Function Compute", "dict"],
)
def test_any_context_will_do(client, sink, context, found):
    assert decorated({}, context)["seen"] == {}
    assert tags(sink.spans[0]) == {**found, "cold_start": True}


def test_a_function_of_the_event_alone_will_do(client, sink):
    @lambda_handler
    def handler(request):
        return "answer"

    assert handler(types.SimpleNamespace(headers={})) == "answer"
    assert sink.spans[0]["output"] == "answer"


def test_event_and_context_may_be_given_by_name(client, sink):
    decorated(event={"a": 1}, context=Context())
    assert (sink.spans[0]["input"], sink.spans[0]["span_name"]) == ('{"a":1}', "orders")


# -- how long the flush may take ------------------------------------------------------------------------------------


def handler_of(client, **settings):
    return lambda_handler(client=client, **settings)(lambda event, context: "result")


@pytest.mark.parametrize(
    ("millis", "seconds"),
    [(900_000, 2.0), (2200, 2.0), (2000, 1.8), (500, 0.3), (200, 0.0), (0, 0.0), (-50, 0.0), ("soon", 2.0)],
)
def test_the_flush_keeps_to_the_time_that_is_left_and_spares_some(slow, millis, seconds):
    assert handler_of(slow)({}, Context(millis)) == "result"
    assert slow.flushes == [seconds]


@pytest.mark.parametrize("context", [None, Hostile(), MagicMock(), {}], ids=["none", "hostile", "mock", "dict"])
def test_where_nothing_is_known_of_the_time_it_has_all_of_its_own(slow, context):
    handler_of(slow, flush_timeout=5)({}, context)
    assert slow.flushes == [5.0]


@pytest.mark.parametrize("wrong", ["2", None, -1, float("nan")])
def test_a_flush_timeout_that_is_none_is_the_default_and_said(slow, logged, wrong):
    handler_of(slow, flush_timeout=wrong)({}, None)
    assert slow.flushes == [2.0]
    assert any("flush_timeout" in line for line in logged())


def test_a_flush_timeout_without_end_can_be_waited_for(client, sink):
    handler_of(client, flush_timeout=float("inf"))({}, None)
    assert len(sink.spans) == 1


def test_a_platform_that_hangs_costs_one_full_flush_in_ten(slow):
    slow.takes = 3600.0
    handler = handler_of(slow)
    for _ in range(21):
        assert handler({}, None) == "result"
    assert slow.flushes == [2.0, *[0.2] * 9, 2.0, *[0.2] * 9, 2.0]


def test_after_a_flush_that_succeeds_there_is_patience_again(slow):
    handler = handler_of(slow)
    for takes in (3600, 3600, 0.1, 1.9, 1.9):
        slow.takes = takes
        handler({}, None)
    assert slow.flushes == [2.0, 0.2, 0.2, 2.0, 2.0]


def test_several_clients_begin_to_send_at_once_and_share_the_time(slow, clock, monkeypatch):
    other, third = SlowClient(clock), SlowClient(clock)
    monkeypatch.setattr(clients, "_clients", {1: other, 2: slow, 3: third})
    slow.takes, other.takes = 0.5, 9.0
    handler = handler_of(slow)
    handler({}, None)
    assert (slow.flushes, other.flushes, third.flushes) == ([2.0], [0, 1.5], [0, 0.0])
    assert clock.now == 1002.0
    handler({}, None)
    assert round(clock.now, 3) == 1002.2  # one that hangs costs as much as if there were no other


def test_a_platform_slower_than_a_short_flush_has_its_chance(slow):
    handler = handler_of(slow)
    for number in range(12):
        slow.takes = 0.5 if number else 3600
        handler({}, None)
    assert slow.flushes == [2.0, *[0.2] * 9, 2.0, 2.0]


def test_a_platform_that_refuses_is_no_platform_that_hangs(slow, logged):
    slow.lost = True
    handler = handler_of(slow)
    handler({}, None)
    handler({}, None)
    assert slow.flushes == [2.0, 2.0]
    assert logged() == []  # whoever lost the spans said so


def test_an_invocation_that_had_no_time_proves_nothing(slow):
    slow.takes = 0.5
    handler = handler_of(slow)
    handler({}, Context(300))
    handler({}, Context())
    assert slow.flushes == [0.1, 2.0]


def test_the_patience_of_a_short_flush_timeout_is_no_longer_than_it(slow):
    slow.takes = 3600.0
    handler = handler_of(slow, flush_timeout=0.05)
    handler({}, None)
    handler({}, None)
    assert slow.flushes == [0.05, 0.05]


def test_that_the_invocation_had_no_time_left_is_said(slow, logged):
    slow.takes = 3600.0
    handler_of(slow)({}, Context(millis=700))
    assert logged() == [
        "[cozeloop] spans were not delivered within 0.5 s, so near is the time limit of the invocation: they are sent "
        "with the next invocation"
    ]


def test_what_was_not_sent_in_time_is_said_once(slow, logged):
    slow.takes = 3600.0
    handler = handler_of(slow)
    for _ in range(3):
        handler({}, None)
    assert logged() == ["[cozeloop] spans were not delivered within 2 s: they are sent with the next invocation"]


# -- freezing, thawing, copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [61.0, 86_400.0, -3600.0])
def test_after_a_long_pause_idle_connections_are_forgotten_whatever_the_clock_did(slow, clock, step):
    handler = handler_of(slow)
    handler({}, None)
    clock.wall += step
    handler({}, None)
    handler({}, None)
    assert slow.closed_connections == 1


def test_after_a_short_pause_connections_are_used_again(slow, clock):
    handler = handler_of(slow)
    for _ in range(3):
        handler({}, None)
        clock.wall += 59
    assert slow.closed_connections == 0


def test_a_connection_that_cannot_be_closed_costs_nothing(slow, clock, logged):
    def fail():
        raise OSError("broken")

    slow.api.close = fail
    clock.wall += 3600
    handler = handler_of(slow)
    clock.wall += 3600
    assert handler({}, None) == "result"
    assert any("could not be closed" in line for line in logged())


def test_a_jump_of_the_wall_clock_does_not_change_durations(client, sink, monkeypatch):
    now = iter([1_700_000_000_000_000_000, 1_600_000_000_000_000_000])
    monkeypatch.setattr(tracer, "time_ns", lambda: next(now))
    monkeypatch.setattr("cozeloop_lite.trace.exporter.MAX_AGE_SECONDS", float("inf"))
    ticks = iter([5_000_000, 7_000_000, 9_000_000, 12_000_000])
    monkeypatch.setattr(tracer, "monotonic_ns", lambda: next(ticks))
    monkeypatch.setattr("cozeloop_lite.trace.span.monotonic_ns", lambda: next(ticks))
    decorated({})
    decorated({})
    assert [span["duration_micros"] for span in sink.spans] == [2000, 3000]
    assert [span["started_at_micros"] for span in sink.spans] == [1_700_000_000_000_000, 1_600_000_000_000_000]


def test_copies_of_one_image_draw_different_ids_even_if_the_clock_stands_still(client, sink, monkeypatch):
    monkeypatch.setattr(tracer, "time_ns", lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr("cozeloop_lite.trace.exporter.MAX_AGE_SECONDS", float("inf"))
    client.start_span("at import").discard()
    image = ids.source._random.getstate(), ids.source.fresh_ns

    def restore():
        ids.source._random.setstate(image[0])
        ids.source.fresh_ns = image[1]

    control = []
    for _ in range(2):
        restore()
        control.append(client.start_span("without us").trace_id)
        restore()
        decorated({})
    assert control[0] == control[1]  # or the test proves nothing
    assert len({span["trace_id"] for span in sink.spans} | set(control)) == 3
    assert len({span["span_id"] for span in sink.spans}) == 2


class Hooks(types.ModuleType):
    """``snapshot_restore_py`` of AWS."""

    def __init__(self):
        super().__init__("snapshot_restore_py")
        self.before, self.after = [], []
        self.register_before_snapshot = self.before.append
        self.register_after_restore = self.after.append


@pytest.fixture
def hooks(monkeypatch):
    hooks = Hooks()
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", hooks)
    monkeypatch.setattr(aws_lambda, "_hooked", False)
    return hooks


def test_snapstart_is_told_once_by_however_many_handlers(hooks):
    lambda_handler(lambda event: None)
    lambda_handler(lambda event: None)
    assert (len(hooks.before), len(hooks.after)) == (1, 1)


def test_before_a_snapshot_what_waits_is_sent_once_for_all_copies(hooks, client, sink):
    lambda_handler(lambda event: None)
    client.start_span("at import").finish()
    hooks.before[0]()
    assert [span["span_name"] for span in sink.spans] == ["at import"]


def test_after_a_restore_the_ids_are_new_and_the_connections_forgotten(hooks, client, monkeypatch):
    lambda_handler(lambda event: None)
    closed = []
    monkeypatch.setattr(client.api, "close", lambda: closed.append(True))
    monkeypatch.setattr(tracer, "time_ns", lambda: 1_700_000_000_000_000_000)
    client.start_span("at import").discard()
    image = ids.source._random.getstate()
    hooks.after[0]()
    ids.source._random.setstate(image)
    first = client.start_span("restored", start_new_trace=True).trace_id
    ids.source._random.setstate(image)
    assert client.start_span("as the image would have", start_new_trace=True).trace_id != first
    assert closed == [True]


def test_without_the_hooks_of_aws_nothing_is_said(monkeypatch, logged):
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    monkeypatch.setattr(aws_lambda, "_hooked", False)
    assert lambda_handler(lambda event: 5)(None) == 5
    assert not [line for line in logged() if "snapshot" in line]


def test_another_module_of_that_name_is_survived(monkeypatch, logged):
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", types.ModuleType("snapshot_restore_py"))
    monkeypatch.setattr(aws_lambda, "_hooked", False)
    assert lambda_handler(lambda event: 5)(None) == 5
    assert any("snapshot_restore_py is not used" in line for line in logged())


# -- the signal that ends an environment ----------------------------------------------------------------------------


@pytest.fixture
def sigterm(monkeypatch):
    """``sigterm()``: what handles SIGTERM now. By default nobody does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return lambda: signal.getsignal(signal.SIGTERM)


def test_the_first_invocation_sees_to_sigterm_where_nobody_does(client, sigterm):
    decorated({})
    assert sigterm() not in (signal.SIG_DFL, None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    decorated({})
    assert sigterm() is signal.SIG_DFL  # what the program does about it later is its own affair


def test_a_handler_of_the_program_is_left_alone(client, sigterm):
    def handle(number, frame):
        """The program's."""

    signal.signal(signal.SIGTERM, handle)
    decorated({})
    assert sigterm() is handle


def test_in_another_thread_nothing_is_done_about_it_and_nothing_said(client, sigterm, logged):
    thread = threading.Thread(target=decorated, args=({},))
    thread.start()
    thread.join()
    assert sigterm() is signal.SIG_DFL
    assert logged() == []


def test_where_no_signal_can_be_handled_the_invocation_goes_on(client, sink, sigterm, monkeypatch, logged):
    def refuse(number, handler):
        raise ValueError("signal only works in main thread of the main interpreter")

    monkeypatch.setattr(signal, "signal", refuse)
    decorated({})
    monkeypatch.undo()
    assert len(sink.spans) == 1
    assert any("SIGTERM" in line for line in logged())


# -- the function as it was -----------------------------------------------------------------------------------------


def test_name_docs_and_signature_are_kept():
    assert (decorated.__name__, decorated.__module__, decorated.__doc__) == ("decorated", __name__, "What it does.")
    assert str(inspect.signature(decorated)) == str(inspect.signature(decorated.__wrapped__))
    assert "dry=False" in str(inspect.signature(decorated))


def test_it_can_be_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(decorated)) is decorated


def test_arguments_are_handed_on_as_they_are(client):
    event, context = {"a": []}, Context()

    @lambda_handler
    def handler(*args, **kwargs):
        return args, kwargs

    args, kwargs = handler(event, context, "third", more=1)
    assert args[0] is event and args[1] is context
    assert (args[2:], kwargs) == (("third",), {"more": 1})
    assert handler() == ((), {})


def test_a_callable_object_will_do(client, sink):
    class Handler:
        def __call__(self, event, context):
            return "answer"

    assert lambda_handler(Handler())({}, None) == "answer"
    assert sink.spans[0]["span_name"].endswith("Handler")


def test_what_is_no_function_stays_what_it_is_and_that_is_said(logged):
    assert lambda_handler("orders") == "orders"
    assert any("takes a function" in line for line in logged())


# -- when something is wrong ----------------------------------------------------------------------------------------


def test_without_settings_the_function_works_and_one_warning_is_said(logged):
    for _ in range(3):
        assert decorated({"a": 1}, Context()) == {"seen": {"a": 1}, "dry": False}
    assert len(logged()) == 1
    assert "COZELOOP_WORKSPACE_ID" in logged()[0]


def test_a_function_that_recurses_without_end_fails_as_it_would_and_leaves_nothing_open(client):
    @lambda_handler
    def handler(event, context):
        return handler(event, context)

    with pytest.raises(RecursionError):
        handler({}, None)
    assert client.stats()["open"] == 0


def test_the_recursion_limit_may_be_near_when_it_is_called(client):
    def call(frames):
        try:
            return call(frames - 1) if frames else decorated({})["seen"]
        except RecursionError:  # raised by the function, not by what is around it
            return {}

    limit = sys.getrecursionlimit()
    for frames in range(limit - 400, limit, 7):
        assert call(frames) == {}
    assert client.stats()["open"] == 0


def test_a_client_that_the_function_builds_is_flushed(sink):
    @lambda_handler
    def handler(event, context):
        new_client(workspace_id="7", api_token="token", exporter=sink)
        cozeloop_lite.start_span("inner").finish()

    handler({}, None)
    assert [span["span_name"] for span in sink.spans] == ["inner"]


def test_a_client_that_was_closed_costs_nothing(client, sink):
    client.close()
    assert lambda_handler(lambda event: 5, client=client)({}) == 5
    assert sink.spans == []


def test_a_client_that_fails_costs_a_warning(slow, logged):
    def fail(*args, **kwargs):
        raise RuntimeError("no")

    slow.start_span = slow.flush = fail
    assert handler_of(slow)({}, None) == "result"
    assert len(logged()) == 2


def test_the_span_of_a_client_that_is_made_up_is_not_taken_for_a_request(client, sink):
    made_up = MagicMock()
    lambda_handler(lambda event, context: None, client=made_up)({}, None)
    assert made_up.start_span.return_value.__exit__.called
    assert trace_context.top() is None


class HostileDict(dict):
    """Fails whenever it is read."""

    def get(self, *args):
        raise RuntimeError("no")


def test_an_event_that_fails_when_it_is_read_costs_a_warning(client, logged):
    event = HostileDict(headers={})
    assert decorated(event)["seen"] is event
    assert any("is not traced" in line for line in logged())


def test_a_result_that_fails_when_it_is_read_costs_its_output(client, sink, logged):
    result = HostileDict(headers={})

    @lambda_handler
    def handler(event, context):
        return result

    assert handler({}, None) is result
    assert len(sink.spans) == 1
    assert any("is not recorded" in line for line in logged())


# -- cold starts are short ------------------------------------------------------------------------------------------


def test_decorating_and_invoking_import_nothing_heavy_before_the_flush():
    code = """
import os, sys
from cozeloop_lite.integration.aws_lambda import lambda_handler

def heavy():
    return sorted({"urllib3", "ssl", "jinja2", "dataclasses", "inspect", "typing", "http.client"} & set(sys.modules))

@lambda_handler(flush_timeout=0)
def handler(event, context):
    return heavy()

print(heavy(), handler({"headers": {}}, None), flush=True)
os._exit(0)  # nobody is there to take the span
"""
    settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "t", "COZELOOP_API_BASE_URL": "http://127.0.0.1:9"}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],  # without what other packages do at the start of the interpreter
        env={**plain, **settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["[] []"], done.stderr


def test_the_settings_of_the_default_client_are_read_when_it_is_first_invoked(sink, monkeypatch):
    lambda_handler(lambda event: None)
    assert clients._default is None
