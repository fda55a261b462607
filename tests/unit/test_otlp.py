"""Spans in the words of OpenTelemetry: the JSON of OTLP, GenAI names, settings, and what an answer means."""

from __future__ import annotations

import json
import math
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite import errors, new_client
from cozeloop_lite.integration import otel_spans
from cozeloop_lite.integration.otel import OtlpExporter
from cozeloop_lite.spec import tracespec as spec
from cozeloop_lite.trace import verdicts


def value_of(wrapped):
    ((kind, value),) = wrapped.items()
    if kind == "intValue":
        assert isinstance(value, str)
        return int(value)
    if kind == "arrayValue":
        return [value_of(item) for item in value["values"]]
    assert isinstance(value, {"stringValue": str, "boolValue": bool, "doubleValue": float}[kind])
    return value


def attributes_of(holder):
    found = {attribute["key"]: value_of(attribute["value"]) for attribute in holder["attributes"]}
    assert len(found) == len(holder["attributes"]), "no name stands there twice"
    return found


@pytest.fixture
def exported(client, sent):
    """``exported()``: the spans of ``client`` as OTLP. ``exported("name")``: that one, and its attributes."""

    def exported(name=None):
        body = json.loads(otel_spans.request(sent(), {"service.name": "tests"}).decode(), parse_constant=pytest.fail)
        spans = [span for group in body["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
        if name is None:
            return spans
        (span,) = [span for span in spans if span["name"] == name]
        return span, attributes_of(span)

    return exported


# -- a span -----------------------------------------------------------------------------------------------------------


def test_ids_are_hex_times_are_text_and_enums_are_numbers(client, exported):
    before = time.time_ns()
    with client.start_span("root", "custom") as root, client.start_span("chat", "model") as child:
        pass
    span, _ = exported("chat")
    assert (span["traceId"], span["spanId"], span["parentSpanId"]) == (root.trace_id, child.span_id, root.span_id)
    assert before // 1000 * 1000 <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= time.time_ns()
    assert isinstance(span["startTimeUnixNano"], str)
    assert span["kind"] == 3  # CLIENT
    assert "status" not in span
    assert "events" not in span
    root_span, _ = exported("root")
    assert "parentSpanId" not in root_span
    assert root_span["kind"] == 1  # INTERNAL


def test_tags_keep_their_names_and_types(client, exported):
    with client.start_span("s", "custom") as span:
        span.set_tags({"text": "x", "whole": 3, "large": 2**62, "part": 2.0, "true": True, "list": [1, 2]})
        span.set_log_id("log-1")
        span.set_system_tags({"env": "test"})
    _, found = exported("s")
    assert {key: found[key] for key in ("text", "whole", "large", "part", "true", "list")} == {
        "text": "x",
        "whole": 3,
        "large": 2**62,
        "part": 2.0,
        "true": True,
        "list": "[1,2]",
    }
    assert type(found["part"]) is float
    assert found["cozeloop.logid"] == "log-1"
    assert found["cozeloop.system_tag_env"] == "test"
    assert found["cozeloop.span_type"] == "custom"
    assert found["cozeloop.workspace_id"] == "7"
    assert "gen_ai.operation.name" not in found


def test_ids_of_user_conversation_and_message_have_the_common_names(client, exported):
    with client.start_span("s", "custom") as span:
        span.set_user_id("u")
        span.set_thread_id("t")
        span.set_message_id("m")
        span.set_deployment_env("production")
    _, found = exported("s")
    assert (found["user.id"], found["session.id"], found["gen_ai.conversation.id"]) == ("u", "t", "t")
    assert (found["messaging.message.id"], found["deployment.environment.name"]) == ("m", "production")
    assert not {"user_id", "thread_id", "message_id", "deployment_env"} & set(found)


def test_a_failure_is_the_status_and_an_exception_event(client, exported):
    with pytest.raises(LookupError), client.start_span("s", "tool"):
        raise LookupError("no such city")
    span, found = exported("s")
    assert span["status"] == {"code": 2, "message": "no such city"}
    (event,) = span["events"]
    assert (event["name"], event["timeUnixNano"]) == ("exception", span["endTimeUnixNano"])
    exception = attributes_of(event)
    assert (exception["exception.type"], exception["exception.message"]) == ("LookupError", "no such city")
    assert "test_otlp.py" in exception["exception.stacktrace"]
    assert (found["error.type"], found["cozeloop.status_code"]) == ("LookupError", -1)
    assert not {"error", "error_type", "error_stack"} & set(found)


def test_a_failure_without_exception_has_another_type(client, exported):
    with client.start_span("said", "custom") as span:
        span.set_error("the cache was used")
        span.set_status_code(7)
    with client.start_span("code", "custom") as span:
        span.set_status_code(3)
    span, found = exported("said")
    assert span["status"] == {"code": 2, "message": "the cache was used"}
    assert attributes_of(span["events"][0]) == {"exception.message": "the cache was used"}
    assert (found["error.type"], found["cozeloop.status_code"]) == ("_OTHER", 7)
    span, found = exported("code")
    assert span["status"] == {"code": 2, "message": ""}
    assert "events" not in span


def test_what_succeeded_in_spite_of_an_error_has_no_bad_status(client, exported):
    with client.start_span("s", "custom") as span:
        span.set_error("tried twice")
        span.set_status_code(0)
    span, found = exported("s")
    assert "status" not in span
    assert "error.type" not in found
    assert attributes_of(span["events"][0]) == {"exception.message": "tried twice"}


def test_tools_agents_and_retrievers_have_their_operation(client, exported):
    for kind in ("tool", "agent", "retriever", "embedding"):
        client.start_span(kind + "-1", kind).finish()
    names = [exported(kind + "-1")[1]["gen_ai.operation.name"] for kind in ("tool", "agent", "retriever", "embedding")]
    assert names == ["execute_tool", "invoke_agent", "retrieval", "embeddings"]
    assert exported("tool-1")[1]["gen_ai.tool.name"] == "tool-1"
    assert exported("agent-1")[1]["gen_ai.agent.name"] == "agent-1"


def test_input_and_output_of_other_spans_are_as_they_were_set(client, exported):
    with client.start_span("s", "tool") as span:
        span.set_input({"messages": [{"role": "user", "content": "你好"}]})
        span.set_output("done")
    _, found = exported("s")
    assert json.loads(found["cozeloop.input"]) == {"messages": [{"role": "user", "content": "你好"}]}
    assert found["cozeloop.output"] == "done"


def test_spans_of_another_service_have_a_resource_of_their_own(client, sent):
    client.start_span("a").finish()
    with client.start_span("b") as span:
        span.set_service_name("other")
    client.start_span("c").finish()
    body = json.loads(otel_spans.request(sent(), {"service.name": "tests", "team": "blue"}).decode())
    names = {}
    for group in body["resourceSpans"]:
        resource = attributes_of(group["resource"])
        assert resource["team"] == "blue"
        names[resource["service.name"]] = [span["name"] for span in group["scopeSpans"][0]["spans"]]
        assert group["scopeSpans"][0]["scope"]["name"] == "cozeloop_lite"
    assert names == {"tests": ["a", "c"], "other": ["b"]}


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_model_call_has_the_names_of_the_conventions(client, exported):
    with client.start_span("chat", "model") as span:
        span.set_model_provider("openai")
        span.set_model_name("my-model")
        span.set_input_tokens(5)
        span.set_output_tokens(3)
        span.set_tags({spec.INPUT_CACHED_TOKENS: 2, spec.REASONING_TOKENS: 1, spec.STREAM: True})
        span.set_start_time_first_resp(time.time_ns() // 1000 + 2_000_000)
    _, found = exported("chat")
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == found["gen_ai.system"] == "openai"
    assert found["gen_ai.request.model"] == "my-model"
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (5, 3)
    assert found["gen_ai.usage.cache_read.input_tokens"] == 2
    assert found["gen_ai.usage.reasoning.output_tokens"] == 1
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.response.time_to_first_chunk"] == pytest.approx(2.0, abs=0.5)  # seconds
    assert found["cozeloop.tokens"] == 8
    assert not {"model_name", "input_tokens", "tokens", "latency_first_resp"} & set(found)


def test_call_options_are_attributes_where_they_have_the_right_type(client, exported):
    with client.start_span("chat", "model") as span:
        span.set_model_call_options(
            {
                "temperature": 1,
                "top_p": 0.5,
                "max_tokens": 100,
                "n": 2,
                "stop": ["a", "b"],
                "seed": "seven",
                "reasoning_effort": "high",
            }
        )
    _, found = exported("chat")
    options = {key[15:]: value for key, value in found.items() if key.startswith("gen_ai.request.")}
    assert options == {
        "temperature": 1.0,
        "top_p": 0.5,
        "max_tokens": 100,
        "choice.count": 2,
        "stop_sequences": ["a", "b"],
    }
    assert type(options["temperature"]) is float
    assert json.loads(found["cozeloop.call_options"]) == {"seed": "seven", "reasoning_effort": "high"}


def test_call_options_that_are_no_object_stay_text(client, exported):
    with client.start_span("cut", "model") as span:
        span.set_tags({"call_options": '{"temperature":'})
    with client.start_span("all", "model") as span:
        span.set_model_call_options({"temperature": 0.5})
    assert exported("cut")[1]["cozeloop.call_options"] == '{"temperature":'
    assert "cozeloop.call_options" not in exported("all")[1]


def test_a_number_that_is_none_is_no_option():
    options = {"temperature": math.nan, "top_p": math.inf, "presence_penalty": True, "top_k": 10**400}
    options.update({"max_tokens": 2**70, "n": True, "seed": 1.5, "stop": "x"})
    assert otel_spans._options(options) == {}
    assert len(options) == 8


def test_messages_and_tools_have_the_form_of_the_conventions(client, exported):
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    with client.start_span("chat", "model") as span:
        span.set_input(
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "bob"},
                    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c1", "content": "12 C"},
                ],
                "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
                "tool_choice": {"type": "auto"},
            }
        )
    _, found = exported("chat")
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "hi"}], "name": "bob"},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "12 C"}]},
    ]
    assert json.loads(found["gen_ai.tool.definitions"]) == [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    ]
    assert json.loads(found["cozeloop.input"]) == {"tool_choice": {"type": "auto"}}  # what else there was


def test_choices_are_output_messages(client, exported):
    message = spec.ModelMessage(role="assistant", content="你好")
    with client.start_span("chat", "model") as span:
        span.set_output(spec.ModelOutput(id="r1", choices=[spec.ModelChoice("stop", 0, message)]))
    _, found = exported("chat")
    assert json.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "你好"}], "finish_reason": "stop"}
    ]
    assert "你好" in found["gen_ai.output.messages"]
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.response.id"] == "r1"
    assert "cozeloop.output" not in found


def test_images_are_links_or_the_keys_of_files(client, exported):
    link = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    data = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}}
    sound = {"type": "input_audio", "input_audio": {"data": "..."}}
    with client.start_span("look", "model") as span:
        span.set_input({"messages": [{"role": "user", "content": [link, data, sound]}]})
    _, found = exported("look")
    (message,) = json.loads(found["gen_ai.input.messages"])
    assert message["parts"][0] == {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"}
    assert (message["parts"][1]["type"], message["parts"][1]["modality"]) == ("file", "image")
    assert message["parts"][1]["file_id"]
    assert message["parts"][2] == sound


@pytest.mark.parametrize(
    "content",
    [
        "plain text",
        '{"messages": [',
        {"messages": "hi"},
        {"messages": [{"content": "no role"}]},
        {"messages": [1]},
        {"messages": None},
        {"input": "hi"},
        [1, 2],
        {"messages": [{"role": "user", "content": {"a": 1}}]},
        {"choices": [{"message": 7}]},
        {"choices": {"a": 1}},
    ],
)
def test_what_has_another_form_is_sent_as_it_is(client, exported, content):
    with client.start_span("chat", "model") as span:
        span.set_input(content)
        span.set_output(content)
    _, found = exported("chat")
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    assert (found["cozeloop.input"], found["cozeloop.output"]) == (text, text)
    assert not [key for key in found if key.startswith(("gen_ai.input", "gen_ai.output"))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["role", "content", "parts", "type", "text", "image_url", "url", "tool_calls", "function"])
        | st.text(max_size=3),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"]) | JSON, "content": JSON, "tool_calls": JSON})


@given(st.lists(MESSAGE | JSON, max_size=3), JSON, JSON)
def test_no_input_or_output_whatever_breaks_the_request(messages, tools, options):
    for field, whole in (
        ("input", {"messages": messages, "tools": tools}),
        ("output", {"choices": [{"message": message, "finish_reason": tools} for message in messages], "id": tools}),
    ):
        found = otel_spans._content(json.dumps(whole), field, "model")
        json.dumps(otel_spans._attributes(found), allow_nan=False)
    found = otel_spans._named({"call_options": json.dumps(options), "latency_first_resp": 1})
    json.dumps(otel_spans._attributes(found), allow_nan=False)


def test_deep_nesting_and_lone_surrogates_are_survived(client, exported):
    with client.start_span("deep", "model") as span:
        span.set_input('{"messages":[{"role":"user","content":' + "[" * 5000 + "]" * 5000 + "}]}")
        span.set_output('{"choices":[{"finish_reason":"\\ud800","message":{"role":"a","content":"\\udfff"}}]}')
    _, found = exported("deep")
    assert found["cozeloop.input"].startswith('{"messages"')
    assert found["gen_ai.response.finish_reasons"] == ["?"]  # UTF-8 has none


def test_nesting_up_to_any_limit_is_survived():
    for depth in range(sys.getrecursionlimit() + 10):
        content = "[" * depth + "1" + "]" * depth
        text = '{"messages":[{"role":"tool","content":%s}]}' % content
        assert content in "".join(otel_spans._content(text, "input", "model").values())


# -- settings ---------------------------------------------------------------------------------------------------------


def test_the_default_is_a_collector_on_this_machine():
    assert repr(OtlpExporter()) == "<OtlpExporter http://localhost:4318/v1/traces>"


@pytest.mark.parametrize(
    "general, traces, argument, url",
    [
        ("http://a:4318", "", None, "http://a:4318/v1/traces"),
        ("http://a:4318/", "", None, "http://a:4318/v1/traces"),
        ("http://a/base", "", None, "http://a/base/v1/traces"),
        ("http://a", "https://b/own", None, "https://b/own"),
        ("http://a", "https://b", None, "https://b"),
        ("http://a", "https://b", "https://c/x?key=1", "https://c/x?key=1"),
        (" ", " ", None, "http://localhost:4318/v1/traces"),
    ],
)
def test_the_endpoint_is_an_argument_or_that_of_traces_or_the_general_one(monkeypatch, general, traces, argument, url):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", general)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces)
    assert OtlpExporter(argument)._url == url


@pytest.mark.parametrize(
    "endpoint",
    ["localhost:4318", "grpc://a:1", "http://", "http://a:99999", "http://b:secret99@a", "http://a b", "http://[", 7],
)
def test_an_endpoint_that_is_none_is_an_error_that_names_the_variable(endpoint):
    with pytest.raises(errors.InvalidParamError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as caught:
        OtlpExporter(endpoint)
    assert "secret99" not in str(caught.value)


def test_headers_are_percent_decoded_and_those_of_traces_are_stronger(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", " api-key = a%20b%3D ,x-team=blue,")
    headers = OtlpExporter()._headers
    assert (headers["api-key"], headers["x-team"]) == ("a b=", "blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=red")
    headers = OtlpExporter()._headers
    assert headers["x-team"] == "red"
    assert "api-key" not in headers
    assert "x-team" not in OtlpExporter(headers={})._headers


@pytest.mark.parametrize("text", ["secret99", "=secret99", "a=b,secret99", "na me=secret99", "a=secret99%0D%0Ab: c"])
def test_headers_that_are_none_are_an_error_that_does_not_show_them(monkeypatch, text):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", text)
    with pytest.raises(errors.InvalidParamError) as caught:
        OtlpExporter()
    assert "secret99" not in str(caught.value)


def test_compression_is_gzip_or_none(monkeypatch):
    assert not OtlpExporter()._gzip
    assert OtlpExporter(compression="gzip")._gzip
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    assert OtlpExporter()._gzip
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none")
    assert not OtlpExporter()._gzip
    with pytest.raises(errors.InvalidParamError, match="gzip"):
        OtlpExporter(compression="brotli")


def test_the_resource_is_that_of_the_environment(monkeypatch):
    assert OtlpExporter()._resource["service.name"].startswith("unknown_service:")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=b%2Cc")
    resource = OtlpExporter()._resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("a", "b,c")
    assert resource["telemetry.sdk.name"] == "cozeloop_lite"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    assert OtlpExporter()._resource["service.name"] == "named"


def test_the_same_settings_are_the_same_client(monkeypatch):
    one = new_client(workspace_id="7", api_token="t", exporter="otlp")
    assert new_client(workspace_id="7", api_token="t", exporter="otlp") is one
    assert new_client(workspace_id="7", api_token="t", exporter=OtlpExporter()) is one
    assert new_client(workspace_id="7", api_token="t") is not one
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    assert new_client(workspace_id="7", api_token="t", exporter="otlp") is not one


def test_a_wrong_setting_is_an_error_of_new_client(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(errors.InvalidParamError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        new_client(workspace_id="7", api_token="t", exporter="otlp")


# -- what an answer means ---------------------------------------------------------------------------------------------


def outcome(monkeypatch, status, content=b"{}", headers=None):
    """The error that an answer is, and the verdict of the queue; None when it is a success."""
    exporter = OtlpExporter()
    monkeypatch.setattr(exporter, "_exchange", lambda body: (status, headers or {}, content))
    try:
        exporter.export_spans([])
    except errors.RemoteServiceError as problem:
        return problem, verdicts.judge(problem)
    return None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_the_specification_calls_retryable_is_sent_again_when_the_receiver_says(monkeypatch, status):
    problem, verdict = outcome(monkeypatch, status, b"slow down", {"retry-after": "7"})
    assert (verdict, problem.retry_after, problem.http_code) == (verdicts.AGAIN, 7.0, status)
    problem, verdict = outcome(monkeypatch, status)
    assert (verdict, problem.retry_after) == (verdicts.AGAIN, None)
    assert isinstance(problem, errors.RateLimitError if status == 429 else errors.InternalServerError)


@pytest.mark.parametrize("status", [400, 402, 408, 409, 422, 431, 451, 500, 501, 505, 507])
def test_all_other_failures_are_final(monkeypatch, status):
    problem, verdict = outcome(monkeypatch, status, b'{"code": 3, "message": "bad span"}', {"retry-after": "7"})
    assert (verdict, problem.retry_after) == (verdicts.BAD_SPAN, None)
    assert "http_code=%d" % status in str(problem)
    assert "bad span" in str(problem)


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405])
def test_what_no_span_can_help_is_final_for_all(monkeypatch, status):
    problem, verdict = outcome(monkeypatch, status)
    assert verdict == verdicts.REFUSED_ALL
    assert "OTEL_EXPORTER_OTLP_" in problem.hint


def test_a_receiver_without_json_is_not_asked_for_each_span(monkeypatch):
    problem, verdict = outcome(monkeypatch, 415)
    assert verdict == verdicts.REFUSED_ALL
    assert "let a Collector stand between" in problem.hint


def test_a_batch_that_is_too_large_is_sent_in_parts(monkeypatch):
    assert outcome(monkeypatch, 413)[1] == verdicts.TOO_LARGE


def test_a_page_in_place_of_an_answer_is_doubtful(monkeypatch):
    problem, verdict = outcome(monkeypatch, 200, b"<html>log in</html>", {"content-type": "text/html"})
    assert verdict == verdicts.DOUBTFUL
    assert "log in" in str(problem)


def test_a_refusal_of_the_platform_that_comes_with_200_is_no_success(monkeypatch):
    problem, verdict = outcome(monkeypatch, 200, b'{"code": 602000101, "msg": "no permission"}')
    assert verdict == verdicts.DOUBTFUL  # tried three times, then taken for a refusal
    assert "no permission" in str(problem)
    assert outcome(monkeypatch, 200, b'{"code": 0, "msg": ""}') is None


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"partialSuccess": {}}', b'{"partialSuccess": 1}', b"\x0a"])
def test_any_other_answer_that_is_2xx_is_a_success(monkeypatch, status, content):
    assert outcome(monkeypatch, status, content) is None


@pytest.mark.parametrize(
    "count, rejected",
    [("2", 2), (2, 2), ("99", 3), ("0", 0), (None, 0), ("-1", 0), ("²", 0), ("9" * 5000, 0), (1.5, 0), ([], 0)],
)
def test_spans_that_were_rejected_are_counted_and_logged(monkeypatch, logged, count, rejected):
    exporter = OtlpExporter()
    answer = json.dumps({"partialSuccess": {"rejectedSpans": count, "errorMessage": "too old"}}).encode()
    monkeypatch.setattr(exporter, "_exchange", lambda body: (200, {}, answer))
    monkeypatch.setattr(otel_spans, "request", lambda spans, resource: b"")
    exporter.export_spans([{}, {}, {}])
    assert exporter.rejected == rejected
    (line,) = logged()
    assert "too old" in line
    assert ("rejects %d of 3 spans" % rejected in line) == bool(rejected)
