"""OpenTelemetry, the real one: its protobuf classes read what is sent, its headers and ours make one trace."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cozeloop_lite import extract, inject, new_client
from cozeloop_lite.integration.otel import OtlpExporter
from support.calling import wait_for
from support.recording import RecordingServer, dead_port, hang, json_answer, reset, text_answer

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.proto")

from google.protobuf import json_format
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

pytestmark = pytest.mark.usefixtures("impatient")

ROOT = Path(__file__).resolve().parent.parent.parent
TAKEN = json_answer({"partialSuccess": {}})
SECRET = "key-secret-of-the-receiver"


@pytest.fixture
def server(monkeypatch):
    with RecordingServer() as server:
        server.default = TAKEN
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server


@pytest.fixture
def client(server):
    return new_client(workspace_id="7", api_token="token", exporter="otlp")


# -- what a Collector reads -------------------------------------------------------------------------------------------


def read(request):
    """The request as OpenTelemetry's own classes read it; a field that they do not have is an error.

    Ids are hexadecimal in OTLP, where other JSON of protobuf has base64.
    """
    body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body

    def as_protobuf(found):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in found:
                assert re.match(r"([0-9a-f]{32}|[0-9a-f]{16})\Z", found[name])
                found[name] = base64.b64encode(bytes.fromhex(found[name])).decode("ascii")
        for name in ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"):
            assert isinstance(found.get(name, ""), str)
        for name in ("kind", "code"):
            assert isinstance(found.get(name, 0), int)
        return found

    parsed = json.loads(body.decode("utf-8"), object_hook=as_protobuf)
    return json_format.ParseDict(parsed, ExportTraceServiceRequest(), ignore_unknown_fields=False)


def spans_in(server):
    """The spans that arrived in requests that were taken, by name."""
    found = {}
    for request in server.requests:
        if request.outcome == "answered 200":
            for group in read(request).resource_spans:
                found.update((span.name, span) for scope in group.scope_spans for span in scope.spans)
    return found


def attributes_of(holder):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


def test_opentelemetrys_own_classes_read_every_kind_of_span(server, client):
    began = time.time_ns()
    with pytest.raises(ValueError), client.start_span("root", "agent") as root:
        root.set_input("你好")
        root.set_tags({"whole": 2**62, "part": 0.5, "true": False, "list": ["a"]})
        with client.start_span("chat", "model") as chat:
            chat.set_model_provider("openai")
            chat.set_model_name("my-model")
            chat.set_model_call_options({"temperature": 0.2, "max_tokens": 9, "stop": ["x"], "other": 1})
            chat.set_input({"messages": [{"role": "user", "content": "hi"}]})
            chat.set_output('{"choices":[{"finish_reason":"\\ud800","message":{"content":"\\ud800"}}]}')
            chat.set_input_tokens(5)
            chat.set_service_name("models")
        raise ValueError("bad")
    assert client.flush()
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/traces")
    assert request.headers["Content-Type"] == "application/json"
    assert "Authorization" not in request.headers  # the token is the platform's
    groups = read(request).resource_spans
    services = [attributes_of(group.resource)["service.name"] for group in groups]
    assert (services[0], len(services)) == ("models", 2)
    spans = spans_in(server)
    assert spans["root"].trace_id.hex() == spans["chat"].trace_id.hex() == root.trace_id
    assert (spans["chat"].parent_span_id, spans["root"].parent_span_id) == (spans["root"].span_id, b"")
    assert began - 1000 < spans["root"].start_time_unix_nano <= spans["root"].end_time_unix_nano < time.time_ns()
    assert (spans["root"].status.code, spans["root"].status.message) == (2, "bad")
    assert spans["root"].events[0].name == "exception"
    found = attributes_of(spans["root"])
    assert (found["whole"], found["part"], found["true"], found["list"]) == (2**62, 0.5, False, '["a"]')
    assert found["cozeloop.input"] == "你好"
    found = attributes_of(spans["chat"])
    assert found["gen_ai.request.temperature"] == 0.2
    assert [item.string_value for item in found["gen_ai.request.stop_sequences"].values] == ["x"]
    assert found["gen_ai.usage.input_tokens"] == 5
    (message,) = json.loads(found["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    assert json.loads(found["gen_ai.output.messages"])[0]["role"] == "assistant"


def test_the_environment_says_who_reports_and_how(server, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.url + "/own/path?tenant=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=%s,x-team=blue%%20one" % SECRET)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tests")
    client = new_client(workspace_id="7", api_token="token", exporter="otlp")
    client.start_span("one").finish()
    assert client.flush()
    (request,) = server.requests
    assert request.path == "/own/path?tenant=1"
    assert (request.headers["api-key"], request.headers["X-Team"]) == (SECRET, "blue one")
    assert request.headers["Content-Encoding"] == "gzip"
    resource = attributes_of(read(request).resource_spans[0].resource)
    assert resource["service.name"] == "tests"
    assert resource["telemetry.sdk.language"] == "python"
    assert list(spans_in(server)) == ["one"]


def test_connections_are_kept(server, client):
    for number in range(3):
        client.start_span("span %d" % number).finish()
        assert client.flush()
    assert len(spans_in(server)) == 3
    assert server.connections == 1


# -- when it fails ----------------------------------------------------------------------------------------------------


def test_what_fails_for_now_is_sent_again(server, client):
    failures = [json_answer({"message": "busy"}, status) for status in (429, 502, 503, 504)]
    server.answers(*failures, reset(), json_answer({}, 503, {"Retry-After": "0"}))
    client.start_span("one").finish()
    assert client.flush()
    assert len(server.requests) == 7
    assert len({request.body for request in server.requests}) == 1
    assert client.stats()["delivered"] == 1


def test_a_receiver_that_is_down_is_waited_for(logged):
    exporter = OtlpExporter("http://127.0.0.1:%d/v1/traces?key=%s" % (dead_port(), SECRET))
    client = new_client(workspace_id="7", api_token="token", exporter=exporter)
    client.start_span("one").finish()
    assert not client.flush(0.2)
    (said,) = wait_for(lambda: [line for line in logged() if "will be sent again" in line])
    assert (client.stats()["queued"], client.stats()["dropped"]) == (1, {})
    assert said.endswith("Is endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) right, and is the server up?")
    assert SECRET not in "".join(logged()) + repr(exporter)


def test_a_receiver_that_hangs_holds_nobody_up(server, client):
    server.default = hang()
    client.start_span("one").finish()
    began = time.monotonic()
    assert not client.flush(0.1)
    assert not client.close(0.1)
    assert time.monotonic() - began < 8  # the request itself may take 10 s


def bad_span_refused(request):
    return json_answer({"code": 3, "message": "bad span"}, 400) if b'"bad"' in request.body else TAKEN


def test_only_the_span_that_is_refused_is_lost(server, client):
    server.default = bad_span_refused
    for number in range(20):
        client.start_span("bad" if number == 13 else "span %d" % number).finish()
    assert not client.flush()
    assert len(spans_in(server)) == 19
    assert client.stats()["dropped"] == {"refused": 1}


@pytest.mark.parametrize("status", [401, 404, 415, 500])
def test_a_final_failure_is_not_repeated(server, client, status):
    server.default = json_answer({"message": "never"}, status)
    client.start_span("one").finish()
    assert not client.flush()
    assert len(server.requests) <= 2
    assert client.stats()["dropped"] == {"refused": 1}


def test_a_page_of_a_proxy_is_no_success(server, client):
    server.default = text_answer("<html>log in</html>", content_type="text/html")
    client.start_span("one").finish()
    assert not client.flush()
    assert len(server.requests) == 3
    assert client.stats()["dropped"] == {"refused": 1}


def test_of_a_partial_success_nothing_is_sent_again(server, logged):
    exporter = OtlpExporter()
    client = new_client(workspace_id="7", api_token="token", exporter=exporter)
    server.answers(json_answer({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "no name"}}))
    for _ in range(3):
        client.start_span("one").finish()
    assert client.flush()
    assert len(server.requests) == 1
    assert exporter.rejected == 2
    assert any("2 of 3 spans" in line and "no name" in line for line in logged())


def test_no_header_is_shown_when_the_receiver_repeats_it(server, logged, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=%s,authorization=Bearer%%20%s" % (SECRET, SECRET[::-1]))
    seen = []
    client = new_client(workspace_id="7", api_token="t", exporter="otlp", trace_finish_event_processor=seen.append)
    server.default = lambda request: json_answer({"message": "refused: %s" % dict(request.headers)}, 401)
    client.start_span("one").finish()
    assert not client.flush()
    said = " ".join(logged()) + " ".join(event.detail_msg for event in seen)
    assert "refused: " in said
    assert SECRET not in said
    assert SECRET[::-1] not in said
    assert SECRET not in repr(OtlpExporter())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the server's threads stay in the parent
def test_a_forked_child_has_a_connection_of_its_own(server, client):
    client.start_span("parent").finish()
    assert client.flush()
    child = os.fork()
    if not child:
        delivered = False
        try:
            client.start_span("child").finish()
            delivered = client.flush()
        finally:
            os._exit(0 if delivered else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(spans_in(server)) == ["child", "parent"]
    assert server.connections == 2


def test_what_a_spool_kept_is_sent_by_the_next_client(server, tmp_path):
    server.default = json_answer({}, 503)
    settings = {"workspace_id": "7", "api_token": "token", "exporter": "otlp", "spool_dir": str(tmp_path)}
    first = new_client(**settings)
    first.start_span("kept").finish()
    first.close()
    assert first.stats()["spooled"] == 1
    server.default = TAKEN
    second = new_client(**settings)
    second.start_span("new").finish()
    assert second.flush()
    server.wait_for(lambda server: len(spans_in(server)) == 2)


def test_what_was_kept_for_one_receiver_is_not_sent_to_another(server, tmp_path):
    server.default = json_answer({}, 503)
    with RecordingServer() as other:
        settings = {"workspace_id": "7", "api_token": "token", "spool_dir": str(tmp_path)}
        first = new_client(exporter=OtlpExporter(server.url + "/v1/traces"), **settings)
        first.start_span("kept").finish()
        first.close(0.2)
        assert first.stats()["spooled"] == 1
        other.default = TAKEN
        second = new_client(exporter=OtlpExporter(other.url + "/v1/traces"), **settings)
        second.start_span("new").finish()
        assert second.close()
        assert list(spans_in(other)) == ["new"]
    server.default = TAKEN
    third = new_client(exporter=OtlpExporter(server.url + "/v1/traces"), **settings)
    third.start_span("newer").finish()
    assert third.close()
    assert third.stats()["replayed"] == 1


# -- headers, in both directions --------------------------------------------------------------------------------------

TRACE_CONTEXT = TraceContextTextMapPropagator()
BAGGAGE = W3CBaggagePropagator()
ITEMS = {"user_id": "u-1", "text": "a b+c=d,e;f%20", "city": "上海", "sign": "100%"}


@pytest.fixture
def tracer():
    return TracerProvider(sampler=ParentBased(ALWAYS_ON)).get_tracer("tests")


def received(headers):
    return BAGGAGE.extract(headers, context=TRACE_CONTEXT.extract(headers, context=Context()))


def test_a_span_of_opentelemetry_continues_our_trace(client, tracer):
    with client.start_span("ours", "remote") as ours:
        ours.set_baggage(ITEMS)
        headers = inject({})
    context = received(headers)
    parent = trace.get_current_span(context).get_span_context()
    assert (parent.is_remote, parent.trace_flags) == (True, 1)
    with tracer.start_as_current_span("theirs", context=context) as theirs:
        assert "%032x" % theirs.get_span_context().trace_id == ours.trace_id
        assert "%016x" % theirs.parent.span_id == ours.span_id
        assert theirs.is_recording()
    assert dict(baggage.get_all(context)) == ITEMS


def test_our_span_continues_a_trace_of_opentelemetry(server, client, tracer):
    context = Context()
    for name, value in ITEMS.items():
        context = baggage.set_baggage(name, value, context)
    headers = {}
    with tracer.start_as_current_span("theirs", context=context) as theirs:
        context = trace.set_span_in_context(theirs, context)
        TRACE_CONTEXT.inject(headers, context=context)
        BAGGAGE.inject(headers, context=context)
    with client.start_span("ours", "function", child_of=extract(headers)) as ours:
        assert ours.baggage == ITEMS
    assert client.flush()
    span = spans_in(server)["ours"]
    assert int(span.trace_id.hex(), 16) == theirs.get_span_context().trace_id
    assert int(span.parent_span_id.hex(), 16) == theirs.get_span_context().span_id
    assert attributes_of(span)["city"] == "上海"


def test_tracestate_and_baggage_pass_through_us_unchanged(client, tracer):
    state = "vendor=t61rcWkgMzE,other@tenant=1"
    headers = {"traceparent": "00-%032x-%016x-01" % (17, 18), "tracestate": state, "baggage": "a=b%20c;private,d=e"}
    with client.start_span("ours", "function", child_of=extract(headers)) as ours:
        onwards = inject({})
    context = received(onwards)
    with tracer.start_as_current_span("theirs", context=context) as theirs:
        assert theirs.get_span_context().trace_state.to_header() == state
        assert theirs.parent.span_id == int(ours.span_id, 16)
        assert theirs.get_span_context().trace_id == 17
    assert dict(baggage.get_all(context)) == {"a": "b c", "d": "e"}


def test_there_and_back_again_is_one_trace(client, tracer):
    with client.start_span("ours", "remote") as first:
        first.set_user_id_baggage("上 海")
        context = received(inject({}))
        with tracer.start_as_current_span("theirs", context=context) as middle:
            headers = {}
            context = trace.set_span_in_context(middle, context)
            TRACE_CONTEXT.inject(headers, context=context)
            BAGGAGE.inject(headers, context=context)
        with client.start_span("ours again", "function", child_of=extract(headers)) as last:
            assert last.trace_id == first.trace_id
            assert last._parent_id == middle.get_span_context().span_id
            assert last.baggage == {"user_id": "上 海"}


def test_a_trace_that_we_do_not_sample_is_not_recorded_there(server, tracer):
    client = new_client(workspace_id="7", api_token="token", exporter="otlp", sample_rate=0)
    with client.start_span("ours", "remote"):
        headers = inject({})
    with tracer.start_as_current_span("theirs", context=received(headers)) as theirs:
        assert not theirs.is_recording()


def test_a_trace_that_they_do_not_sample_is_ours_to_decide(server, client, tracer):
    headers = {"traceparent": "00-%032x-%016x-00" % (17, 18)}
    assert not trace.get_current_span(received(headers)).get_span_context().trace_flags.sampled
    with client.start_span("ours", "function", child_of=extract(headers)):
        pass
    assert client.flush()
    assert spans_in(server)["ours"].trace_id.hex() == "%032x" % 17


@pytest.mark.parametrize(
    "parent",
    [
        "00-%032x-%016x-01" % (0, 1),
        "00-%032x-%016x-01" % (1, 0),
        "ff-%032x-%016x-01" % (1, 1),
        "00-%032x-%016x-01-x" % (1, 1),
        "00-%032x-%016x-1" % (1, 1),
        "00-%032X-%016x-01" % (0xABC, 1),
        "",
        "x",
    ],
)
def test_both_refuse_the_same_malformed_parents(parent):
    headers = {"traceparent": parent, "baggage": "a=b"}
    theirs = trace.get_current_span(received(headers)).get_span_context()
    ours = extract(headers)
    assert ours.trace_id == ("%032x" % theirs.trace_id if theirs.is_valid else "")
    assert ours.baggage == {"a": "b"}


# -- the example ------------------------------------------------------------------------------------------------------


def test_the_example_sends_its_trace(server):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("COZELOOP_", "OTEL_"))}
    result = subprocess.run(
        [sys.executable, "-m", "examples.otlp"],
        cwd=str(ROOT),
        env={**plain, "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_SERVICE_NAME": "example"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    spans = spans_in(server)
    assert {"trace " + span.trace_id.hex() for span in spans.values()} == {result.stdout.splitlines()[0]}
    assert sorted(spans) == ["answer", "chat"]
    assert attributes_of(spans["chat"])["gen_ai.request.model"] == "my-model"
