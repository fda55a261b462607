"""What a prompt is executed with, as the platform gets it; what it answers; the span around it."""

from __future__ import annotations

import datetime
import enum
import json

import pytest

from cozeloop_lite import errors, inject, new_client
from cozeloop_lite.entities.prompt import (
    ContentPart,
    ContentType,
    ExecuteResult,
    FunctionCall,
    Message,
    Role,
    TokenUsage,
    ToolCall,
)
from cozeloop_lite.prompt import spans
from cozeloop_lite.prompt.execute import execute

ANSWER = {
    "code": 0,
    "msg": "",
    "data": {
        "message": {"role": "assistant", "content": "Hello"},
        "finish_reason": "stop",
        "usage": {"input_tokens": 12, "output_tokens": 3},
    },
}


class FakeApi:
    """Answers every request with ``answer``, an exception or a dict."""

    def __init__(self, answer=ANSWER):
        self.answer = answer
        self.requests = []

    def request(self, method, path, data=None, *, timeout=None, headers=None):
        self.requests.append((method, path, data, timeout, headers))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return json.loads(json.dumps(self.answer))


def body_of(**arguments):
    """The JSON that an execution with ``arguments`` sends."""
    api = FakeApi()
    execute(api, "7", "greeting", **arguments)
    return json.loads(json.dumps(api.requests[0][2], allow_nan=False))


def variable_of(value):
    (variable,) = body_of(variable_vals={"k": value})["variable_vals"]
    assert variable.pop("key") == "k"
    return variable


# -- the request


def test_what_is_absent_is_left_out():
    assert body_of() == {"workspace_id": "7", "prompt_identifier": {"prompt_key": "greeting"}}
    empty = body_of(version="", label="", variable_vals={}, messages=[])
    assert empty == {"workspace_id": "7", "prompt_identifier": {"prompt_key": "greeting"}}


def test_version_and_label_say_which_version_of_the_prompt():
    assert body_of(version="0.0.1")["prompt_identifier"] == {"prompt_key": "greeting", "version": "0.0.1"}
    assert body_of(label="beta")["prompt_identifier"] == {"prompt_key": "greeting", "label": "beta"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("prompt_key", ""), ("prompt_key", None), ("prompt_key", 5), ("version", 1), ("label", b"beta")],
)
def test_a_name_that_cannot_be_sent_is_an_error_before_anything_is(name, value):
    api = FakeApi()
    arguments = {"prompt_key": "greeting", name: value}
    with pytest.raises(errors.InvalidParamError, match=name):
        execute(api, "7", **arguments)
    assert api.requests == []


def test_it_is_posted_once_with_ten_minutes_of_time():
    api = FakeApi()
    execute(api, "7", "greeting")
    ((method, path, _, timeout, _),) = api.requests
    assert (method, path, timeout) == ("POST", "/v1/loop/prompts/execute", 600.0)


@pytest.mark.parametrize("timeout", [1, 0.25, 3600])
def test_the_time_can_be_given_for_each_call(timeout):
    api = FakeApi()
    execute(api, "7", "greeting", timeout=timeout)
    assert api.requests[0][3] == timeout


@pytest.mark.parametrize("timeout", [0, -1, -0.5, True, False, "3", float("inf"), float("nan")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_time_that_is_none_is_an_error(timeout, stream):
    api = FakeApi()
    with pytest.raises(errors.InvalidParamError, match="timeout must be a number of seconds above 0"):
        execute(api, "7", "greeting", timeout=timeout, stream=stream)
    assert api.requests == []


# -- variables


class Colour(str, enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text as it is {{x}} 文", "text as it is {{x}} 文"),
        ("", ""),
        (Colour.RED, "red"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1 << 60, "1152921504606846976"),
        (1.0, "1.0"),
        ([], "[]"),
        ((), "[]"),
        ({}, "{}"),
        (["a", None, 1], '["a",null,1]'),
        ({"城市": ["北京"], "n": {"x": 1.5}}, '{"城市":["北京"],"n":{"x":1.5}}'),
        # A declared object may look like anything: a dict is never taken for a message or a part.
        ({"role": "user", "content": "hi"}, '{"role":"user","content":"hi"}'),
        ([{"role": "user", "content": "hi"}], '[{"role":"user","content":"hi"}]'),
        ({"type": "text", "text": "hi"}, '{"type":"text","text":"hi"}'),
    ],
)
def test_text_is_sent_as_it_is_and_anything_else_as_compact_json(value, text):
    assert variable_of(value) == {"value": text}


def test_messages_fill_a_placeholder():
    hi, call = Message(Role.USER, content="hi"), Message(Role.ASSISTANT, tool_calls=[ToolCall(0, "c1")])
    assert variable_of(hi) == {"placeholder_messages": [{"role": "user", "content": "hi"}]}
    both = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "type": "function"}]},
    ]
    assert variable_of([hi, call]) == {"placeholder_messages": both}
    assert variable_of((hi, call)) == {"placeholder_messages": both}


def test_parts_fill_a_multi_part_variable():
    text = ContentPart(text="look")
    image = ContentPart(ContentType.IMAGE_URL, image_url="https://example.com/a.png")
    written = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": "https://example.com/a.png"}]
    assert variable_of(text) == {"multi_part_values": written[:1]}
    assert variable_of([text, image]) == {"multi_part_values": written}
    assert variable_of((text, image)) == {"multi_part_values": written}


def test_base64_goes_out_as_it_was_given_since_the_server_checks_it():
    part = ContentPart(ContentType.BASE64_DATA, base64_data="no data URL")
    assert variable_of(part) == {"multi_part_values": [{"type": "base64_data", "base64_data": "no data URL"}]}


def test_none_is_an_absent_variable():
    assert body_of(variable_vals={"a": None, "b": "x"})["variable_vals"] == [{"key": "b", "value": "x"}]
    assert "variable_vals" not in body_of(variable_vals={"a": None})


class Circle(list):
    pass


CIRCLE = Circle()
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        float("nan"),
        {"x": float("inf")},
        {1, 2},
        b"bytes",
        datetime.datetime(2026, 1, 1),
        CIRCLE,
        "lone \ud800 surrogate",
        ["\udfff"],
        {"m": Message(content="hi")},
        [Message(content="hi"), "text"],
        [Message(content="hi"), None],
        [ContentPart(text="a"), None],
        ["text", ContentPart(text="a")],
        [Message(content="hi"), ContentPart(text="a")],
        [Message(content="hi"), {"role": "user", "content": "hi"}],
    ],
    ids=repr,
)
def test_a_value_that_cannot_be_sent_is_an_error_that_names_the_variable(value):
    api = FakeApi()
    with pytest.raises(errors.InvalidParamError, match="the variable 'topic'"):
        execute(api, "7", "greeting", variable_vals={"fine": "x", "topic": value})
    assert api.requests == []


def test_a_value_that_is_nested_too_deeply_is_such_an_error_as_well():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.InvalidParamError, match="the variable 'topic'"):
        body_of(variable_vals={"topic": deep})


@pytest.mark.parametrize("variables", [["a"], "abc", 5, {1: "x"}, {None: "x"}], ids=repr)
def test_variables_that_are_no_dict_of_texts_are_an_error(variables):
    with pytest.raises(errors.InvalidParamError, match="variable_vals"):
        body_of(variable_vals=variables)


# -- messages


def test_messages_are_entities_or_dicts_of_the_same_shape_and_one_may_be_alone():
    written = {"role": "user", "content": "hi", "skip_render": True}
    message = Message(Role.USER, content="hi", skip_render=True)
    for given in (message, [message], (message,), dict(written), [dict(written)]):
        assert body_of(messages=given)["messages"] == [written]
    assert body_of(messages=[message, dict(written)])["messages"] == [written, written]


def test_a_message_keeps_everything_it_has_and_what_a_newer_server_may_know():
    written = {
        "role": "assistant",
        "content": "c",
        "reasoning_content": "r",
        "parts": [{"type": "text", "text": "t"}],
        "tool_call_id": "1",
        "tool_calls": [
            {"index": 0, "id": "1", "type": "function", "function_call": {"name": "f", "arguments": "{}"}}
        ],
        "signature": "s",
        "metadata": {"k": "v"},
        "of_tomorrow": [1],
    }
    assert body_of(messages=[dict(written, tool_calls=list(written["tool_calls"]))])["messages"] == [written]


@pytest.mark.parametrize(
    "given",
    [
        "hi",
        5,
        [None],
        ["hi"],
        [Message(content="hi"), None],
        [ContentPart(text="hi")],
        [[Message(content="hi")]],
        pytest.param(iter([Message(content="hi")]), id="an iterator"),
        [Message(content=["hi"])],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        [{"role": "user", "parts": [None]}],
        [{"role": "user", "parts": "text"}],
        [{"role": "assistant", "tool_calls": [None]}],
        [Message(parts=[ContentPart(text="hi"), None])],
    ],
    ids=repr,
)
def test_anything_else_as_messages_is_an_error_that_says_where(given):
    api = FakeApi()
    with pytest.raises(errors.InvalidParamError, match="messages"):
        execute(api, "7", "greeting", messages=given)
    assert api.requests == []


def test_messages_in_a_variable_are_checked_as_well():
    with pytest.raises(errors.InvalidParamError, match=r"the variable 'history'\[1\]"):
        body_of(variable_vals={"history": [Message(content="hi"), Message(parts=[None])]})


def test_nothing_that_was_given_is_changed():
    message = {"role": "user", "content": "hi", "parts": [{"type": "text", "text": "t"}]}
    variables = {"x": {"a": [1]}, "m": Message(content="hi"), "none": None}
    before = repr((message, variables))
    body_of(messages=[message], variable_vals=variables)
    assert repr((message, variables)) == before


# -- the answer


def test_the_answer_is_a_result():
    result = execute(FakeApi(), "7", "greeting")
    assert result == ExecuteResult(Message(Role.ASSISTANT, content="Hello"), "stop", TokenUsage(12, 3))


def test_tool_calls_are_part_of_it():
    call = {"index": 0, "id": "c1", "type": "function", "function_call": {"name": "f", "arguments": '{"x":1}'}}
    answer = {"code": 0, "data": {"message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": ""}}
    result = execute(FakeApi(answer), "7", "greeting")
    (found,) = result.message.tool_calls
    assert found == ToolCall(0, "c1", function_call=FunctionCall("f", '{"x":1}'))
    assert (result.finish_reason, result.usage) == ("", None)


@pytest.mark.parametrize("role", [None, "", "absent"])
def test_who_answers_is_the_model_unless_it_says_otherwise(role):
    message = {"content": "x"} if role == "absent" else {"content": "x", "role": role}
    assert execute(FakeApi({"code": 0, "data": {"message": message}}), "7", "k").message.role is Role.ASSISTANT


@pytest.mark.parametrize("answer", [{"code": 0, "msg": ""}, {"code": 0, "data": None}, {"code": 0, "data": "x"}])
def test_a_success_without_a_result_is_an_error(answer):
    with pytest.raises(errors.InternalServerError, match="without a result"):
        execute(FakeApi(answer), "7", "greeting")


def test_errors_of_the_request_are_handed_on_as_they_are():
    problem = errors.NotFoundError(200, 600501001, "resource not found", "log-1")
    api = FakeApi(problem)
    with pytest.raises(errors.NotFoundError) as caught:
        execute(api, "7", "greeting")
    assert caught.value is problem
    assert len(api.requests) == 1


# -- the trace


def test_the_headers_of_the_current_span_go_along(client):
    api = FakeApi()
    with client.start_span("agent", "agent") as span:
        span.set_baggage({"user_id": "u 1"})
        execute(api, "7", "greeting")
    assert api.requests[0][4] == inject({}, span)
    assert set(span.to_header().items()) <= set(api.requests[0][4].items())
    execute(api, "7", "greeting")
    assert api.requests[1][4] == {}


def test_a_traced_call_is_a_span_and_its_headers_are_the_ones_that_go_along(client, sent):
    api = FakeApi()
    with client.start_span("agent", "agent") as outer:
        execute(api, "7", "greeting", start_span=client.start_span)
        assert client.get_span_from_context() is outer
    span = sent("PromptExecute")
    assert span["parent_id"] == outer.span_id
    assert api.requests[0][4]["X-Cozeloop-Traceparent"] == "00-%s-%s-01" % (span["trace_id"], span["span_id"])


def test_the_span_says_what_was_asked_and_what_was_answered(client, sent):
    variables = {"topic": "文", "n": 3, "none": None, "history": [Message(content="hi")], "look": ContentPart(text="t")}
    execute(
        FakeApi(),
        "7",
        "greeting",
        version="0.0.1",
        label="beta",
        variable_vals=variables,
        messages=[Message(Role.USER, content="hi"), {"role": "tool", "content": "x", "tool_call_id": "1"}],
        start_span=client.start_span,
    )
    span = sent("PromptExecute")
    assert (span["span_type"], span["status_code"]) == ("prompt_execute", 0)
    assert json.loads(span["system_tags_string"]["runtime"])["scene"] == "prompt_execute"
    assert json.loads(span["input"]) == {
        "prompt_key": "greeting",
        "prompt_version": "0.0.1",
        "prompt_label": "beta",
        "templates": [
            {"role": "user", "content": "hi"},
            {"role": "tool", "content": "x", "tool_call_id": "1"},
        ],
        "arguments": [
            {"key": "topic", "value": "文", "source": "input", "value_type": "text"},
            {"key": "n", "value": "3", "source": "input", "value_type": "text"},
            {"key": "none", "source": "input", "value_type": "text"},
            {
                "key": "history",
                "value": [{"role": "user", "content": "hi"}],
                "source": "input",
                "value_type": "model_message",
            },
            {
                "key": "look",
                "value": [{"type": "text", "text": "t"}],
                "source": "input",
                "value_type": "model_message_part",
            },
        ],
    }
    assert json.loads(span["output"]) == {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Hello"}}]
    }
    assert span["tags_string"] == {"prompt_key": "greeting", "prompt_version": "0.0.1", "prompt_label": "beta"}
    assert span["tags_long"] == {"input_tokens": 12, "output_tokens": 3, "tokens": 15}


def test_what_was_not_given_is_not_in_the_span(client, sent):
    execute(FakeApi({"code": 0, "data": {}}), "7", "greeting", start_span=client.start_span)
    span = sent("PromptExecute")
    assert json.loads(span["input"]) == {"prompt_key": "greeting", "templates": [], "arguments": []}
    assert (span["output"], span["tags_string"], span["tags_long"]) == ("", {"prompt_key": "greeting"}, {})


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (errors.RateLimitError(200, 600502002, "qps limit exceeded", "log-1"), 600502002),
        (errors.RemoteServiceError(500, None, "bad gateway"), -1),
        (errors.RemoteServiceError(200, 1 << 40, "a code without a place in a span"), -1),
        (errors.AuthenticationError(401, "access_denied", "no"), -1),
        (errors.NetworkError("refused"), -1),
        (KeyboardInterrupt(), -1),
    ],
)
def test_a_failure_is_recorded_and_raised_as_it_was(client, sent, problem, status):
    with pytest.raises(type(problem)) as caught:
        execute(FakeApi(problem), "7", "greeting", start_span=client.start_span)
    assert caught.value is problem
    span = sent("PromptExecute")
    assert span["status_code"] == status
    assert span["tags_string"]["error"] == (str(problem) or repr(problem))
    assert span["tags_string"]["error_type"] == type(problem).__name__
    assert client.get_span_from_context().trace_id == ""


def test_an_argument_that_cannot_be_sent_is_a_recorded_failure_as_well(client, sent):
    with pytest.raises(errors.InvalidParamError):
        execute(FakeApi(), "7", "greeting", variable_vals={"x": object()}, start_span=client.start_span)
    span = sent("PromptExecute")
    assert span["status_code"] == -1
    assert "the variable 'x'" in span["tags_string"]["error"]


def test_nothing_is_said_of_content_that_is_not_to_be_recorded(sink):
    with new_client(
        workspace_id="7", api_token="t", exporter=sink, record_inputs=False, record_outputs=False
    ) as client:
        execute(FakeApi(), "7", "greeting", variable_vals={"x": "secret"}, start_span=client.start_span)
    (span,) = sink.spans
    assert (span["input"], span["output"]) == ("", "")
    assert "secret" not in repr(span)
    assert span["tags_long"]["tokens"] == 15


def test_what_fails_while_it_is_recorded_costs_the_call_nothing(client, sent, logged, monkeypatch):
    def fail(message):
        raise LookupError("no such message")

    monkeypatch.setattr(spans, "model_message", fail)
    result = execute(FakeApi(), "7", "greeting", messages=Message(content="hi"), start_span=client.start_span)
    assert result.message.content == "Hello"
    assert sent("PromptExecute")["status_code"] == 0
    assert any("a span of a prompt is incomplete: no such message" in message for message in logged())


def test_a_closed_tracer_changes_nothing(client):
    client.close()
    assert execute(FakeApi(), "7", "greeting", start_span=client.tracer.start_span).message.content == "Hello"
