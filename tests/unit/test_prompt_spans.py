"""What the spans of getting and formatting a prompt carry (contract siblings.md 3.4); that they hurt nothing."""

from __future__ import annotations

import base64
import json

import pytest

from cozeloop_lite import ApiClient, PromptHub, Tracer, errors, new_client
from cozeloop_lite.entities.prompt import (
    ContentPart,
    ContentType,
    FunctionCall,
    Message,
    Prompt,
    PromptTemplate,
    Role,
    ToolCall,
    VariableDef,
    VariableType,
)
from cozeloop_lite.prompt import spans
from cozeloop_lite.trace import values
from cozeloop_lite.trace.span import NOOP
from support.platform import Platform

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG the image").decode()


@pytest.fixture
def platform():
    return Platform(greeting="hello {{name}}")


@pytest.fixture
def hub(platform, client):
    hub = PromptHub(platform, "7", traceable=True, tracer=client.tracer)
    yield hub
    hub.close()


def tags(span):
    return {**span["tags_string"], **span["tags_bool"], **span["tags_long"]}


def runtime(span):
    return json.loads(span["system_tags_string"]["runtime"])


# -- getting a prompt -----------------------------------------------------------------------------------------------


def test_getting_a_prompt_is_a_span(hub, platform, sent):
    platform.publish("greeting", "hi", "0.0.2", label="beta")
    prompt = hub.get("greeting", label="beta")
    span = sent("PromptHub")
    assert (span["span_type"], span["status_code"]) == ("prompt_hub", 0)
    assert json.loads(span["input"]) == {"prompt_key": "greeting", "prompt_version": "", "prompt_label": "beta"}
    assert json.loads(span["output"]) == prompt.to_dict()
    assert tags(span) == {
        "prompt_key": "greeting",
        "prompt_version": "0.0.2",
        "prompt_label": "beta",
        "cache_hit": False,
    }
    assert (runtime(span)["scene"], runtime(span)["language"]) == ("prompt_hub", "python")


def test_a_prompt_that_was_at_hand_is_a_span_that_says_so(hub, sent):
    hub.get("greeting", "0.0.1")
    hub.get("greeting", "0.0.1")
    first, second = sent()
    assert (tags(first)["cache_hit"], tags(second)["cache_hit"]) == (False, True)
    assert first["output"] == second["output"] != ""
    assert "prompt_label" not in tags(second)
    assert "prompt_source" not in tags(second)


def test_the_span_says_where_a_copy_comes_from(hub, platform, sent):
    platform.trouble = lambda queries: {"code": 602000702, "msg": "down"}
    hub.get("other", fallback={"prompt_key": "other", "version": "built in"})
    span = sent("PromptHub")
    assert tags(span)["prompt_source"] == "fallback"
    assert tags(span)["prompt_version"] == "built in"
    assert span["status_code"] == 0


def test_the_span_says_so_when_the_copy_is_of_former_times(platform, client, sent):
    hub = PromptHub(platform, "7", traceable=True, tracer=client.tracer, cache_max_count=1)
    platform.publish("other")
    hub.get("greeting")
    hub.get("other")
    platform.trouble = lambda queries: {"code": 602000702, "msg": "down"}
    hub.get("greeting")
    hub.get("greeting")
    hub.close()
    assert [tags(span).get("prompt_source") for span in sent()] == [None, None, "last_good", "last_good"]
    assert [tags(span)["cache_hit"] for span in sent()] == [False, False, False, True]


def test_a_failure_has_the_code_of_the_platform(hub, sent):
    with pytest.raises(errors.NotFoundError) as raised:
        hub.get("nothing")
    span = sent("PromptHub")
    assert span["status_code"] == 600501001
    assert tags(span)["error"] == str(raised.value)
    assert tags(span)["error_type"] == "NotFoundError"
    assert json.loads(span["input"])["prompt_key"] == "nothing"
    assert span["output"] == ""


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkError("refused"),
        errors.RemoteServiceError(200, "access_denied", "no"),
        errors.RemoteServiceError(500, 0, "no"),
        errors.RemoteServiceError(500, 1 << 40, "no"),
        errors.RemoteServiceError(500, None, "no"),
    ],
)
def test_a_failure_without_such_a_code_has_minus_one(hub, platform, sent, logged, error):
    def fail(queries):
        raise error

    platform.trouble = fail
    with pytest.raises(errors.HttpError):
        hub.get("greeting")
    span = sent("PromptHub")
    assert span["status_code"] == -1
    assert tags(span)["error"] == str(error)
    assert logged() == []


def test_a_prompt_that_is_not_there_is_a_span_without_output(hub, platform, sent):
    platform.trouble = lambda queries: {"code": 0, "msg": "", "data": {}}
    assert hub.get("greeting") is None
    span = sent("PromptHub")
    assert (span["output"], span["status_code"]) == ("", 0)
    assert tags(span) == {"prompt_key": "greeting", "cache_hit": False}


def test_the_span_is_a_child_of_the_current_one_and_the_request_carries_its_headers(hub, platform, client, sent):
    with client.start_span("outer") as outer:
        hub.get("greeting")
        hub.get("greeting")
    span = sent()[0]
    assert span["parent_id"] == outer.span_id
    ((_, _, headers),) = platform.sent
    assert headers["X-Cozeloop-Traceparent"] == "00-%s-%s-01" % (outer.trace_id, span["span_id"])


def test_without_a_current_span_the_request_carries_none(platform):
    hub = PromptHub(platform, "7")
    hub.get("greeting")
    hub.close()
    assert platform.sent[0][2] == {}


# -- formatting one -------------------------------------------------------------------------------------------------


def formatted(hub, sent, messages, variables, defs=()):
    template = PromptTemplate(messages=messages, variable_defs=list(defs))
    prompt = Prompt(prompt_key="greeting", version="0.0.1", prompt_template=template)
    hub.format_prompt(prompt, variables)
    return sent("PromptTemplate")


def test_formatting_a_prompt_is_a_span(hub, sent):
    prompt = hub.get("greeting")
    messages = hub.format_prompt(prompt, {"name": "Ada"})
    assert [message.content for message in messages] == ["hello Ada"]
    span = sent("PromptTemplate")
    assert (span["span_type"], span["status_code"]) == ("prompt", 0)
    assert json.loads(span["input"]) == {
        "templates": [{"role": "system", "content": "hello {{name}}"}],
        "arguments": [{"key": "name", "value": "Ada", "source": "input", "value_type": "text"}],
    }
    assert json.loads(span["output"]) == {"prompts": [{"role": "system", "content": "hello Ada"}]}
    assert tags(span) == {"prompt_key": "greeting", "prompt_version": "0.0.1"}
    assert runtime(span)["scene"] == "prompt_template"


def test_a_wrong_variable_is_a_span_with_an_error_and_what_was_given(hub, sent):
    prompt = hub.get("greeting")
    with pytest.raises(errors.InvalidParamError) as raised:
        hub.format_prompt(prompt, {"name": 5})
    span = sent("PromptTemplate")
    assert span["status_code"] == -1
    assert tags(span)["error"] == str(raised.value)
    assert json.loads(span["input"])["arguments"][0]["value"] == "5"
    assert span["output"] == ""


def test_values_that_are_not_text_are_shown_as_json(hub, sent):
    given = {"a": {"x": [1, "中"]}, "b": 1.5, "c": True, "d": None, "e": [], "f": [Message(content="m"), 5]}
    span = formatted(hub, sent, [Message(role=Role.USER, content="x")], given)
    shown = {argument["key"]: argument.get("value") for argument in json.loads(span["input"])["arguments"]}
    mixed = json.loads(shown.pop("f"))
    assert (mixed[0]["content"], mixed[1]) == ("m", 5)
    assert shown == {"a": '{"x":[1,"中"]}', "b": "1.5", "c": "true", "d": None, "e": "[]"}


def test_messages_and_parts_as_values_are_shown_as_such(hub, sent):
    defs = [
        VariableDef(key="history", type=VariableType.PLACEHOLDER),
        VariableDef(key="dicts", type=VariableType.PLACEHOLDER),
        VariableDef(key="parts", type=VariableType.MULTI_PART),
    ]
    given = {
        "history": [Message(role=Role.USER, content="hi"), Message(role=Role.ASSISTANT, content="ho")],
        "dicts": [{"role": "user", "content": "a dict"}],
        "parts": ContentPart(type=ContentType.IMAGE_URL, image_url="https://host/a.png"),
    }
    template = [
        Message(role=Role.PLACEHOLDER, content="history"),
        Message(role=Role.PLACEHOLDER, content="dicts"),
        Message(role=Role.USER, parts=[ContentPart(type=ContentType.MULTI_PART_VARIABLE, text="parts")]),
    ]
    span = formatted(hub, sent, template, given, defs)
    assert json.loads(span["input"]) == {
        "templates": [
            {"role": "placeholder", "content": "history"},
            {"role": "placeholder", "content": "dicts"},
            {"role": "user", "parts": [{"type": "multi_part_variable", "text": "parts"}]},
        ],
        "arguments": [
            {
                "key": "history",
                "source": "input",
                "value_type": "model_message",
                "value": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
            },
            {
                "key": "dicts",
                "source": "input",
                "value_type": "model_message",
                "value": [{"role": "user", "content": "a dict"}],
            },
            {
                "key": "parts",
                "source": "input",
                "value_type": "model_message_part",
                "value": [{"type": "image_url", "image_url": {"url": "https://host/a.png"}}],
            },
        ],
    }
    assert json.loads(span["output"])["prompts"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "a dict"},
        {"role": "user", "parts": [{"type": "image_url", "image_url": {"url": "https://host/a.png"}}]},
    ]


def test_nothing_of_a_message_is_left_out():
    message = Message(
        role=Role.ASSISTANT,
        content="text",
        reasoning_content="because",
        tool_calls=[ToolCall(id="c1", function_call=FunctionCall(name="f", arguments='{"a":1}'), signature="s1")],
        tool_call_id="c0",
        signature="s0",
        metadata={"m": "1"},
    )
    assert json.loads(values.to_text(spans.model_message(message), 10_000)) == {
        "role": "assistant",
        "content": "text",
        "reasoning_content": "because",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}, "signature": "s1"}
        ],
        "tool_call_id": "c0",
        "signature": "s0",
        "metadata": {"m": "1"},
    }


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ({"type": "text", "text": "t", "signature": "s"}, {"type": "text", "text": "t", "signature": "s"}),
        ({"type": "image_url", "image_url": "http://a"}, {"type": "image_url", "image_url": {"url": "http://a"}}),
        ({"type": "video_url", "video_url": "http://a"}, {"type": "video_url", "video_url": {"url": "http://a"}}),
        ({"type": "base64_data", "base64_data": PNG}, {"type": "image_url", "image_url": {"url": PNG}}),
        (
            {"type": "base64_data", "base64_data": "data:video/mp4;base64,QQ=="},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QQ=="}},
        ),
        (
            {"type": "base64_data", "base64_data": "DATA:Audio/wav;base64,QQ=="},
            {"type": "audio_url", "audio_url": {"url": "DATA:Audio/wav;base64,QQ=="}},
        ),
        (
            {"type": "base64_data", "base64_data": "data:application/pdf;base64,QQ=="},
            {"type": "file_url", "file_url": {"url": "data:application/pdf;base64,QQ=="}},
        ),
        ({"type": "base64_data", "base64_data": "QQ=="}, {"type": "image_url", "image_url": {"url": "QQ=="}}),
        ({"type": "hologram", "text": "t"}, {"type": "hologram", "text": "t"}),
        ({"type": "base64_data"}, {"type": "base64_data"}),
    ],
)
def test_parts_are_shown_as_what_they_are(part, shown):
    assert json.loads(values.to_text(spans.model_part(ContentPart.from_dict(part)), 10_000)) == shown


def test_an_image_in_a_message_goes_up_as_a_file(hub, client, sink):
    uploads = []
    sink.export_files = uploads.extend
    prompt = Prompt(
        prompt_key="greeting",
        prompt_template=PromptTemplate(
            messages=[Message(role=Role.USER, parts=[ContentPart(type=ContentType.BASE64_DATA, base64_data=PNG)])]
        ),
    )
    hub.format_prompt(prompt, {})
    assert client.flush()
    (span,) = sink.spans
    assert "base64" not in span["input"] + span["output"]
    (entry,) = json.loads(span["object_storage"])["Attachments"]
    assert entry["type"] == "image"
    assert entry["tos_key"] in span["input"]
    assert entry["tos_key"] in span["output"]
    assert prompt.prompt_template.messages[0].parts[0].base64_data == PNG


# -- what it costs --------------------------------------------------------------------------------------------------


class Untouchable:
    """Fails whatever is done with it."""

    def __getattribute__(self, name):
        raise AssertionError("it was looked at")


def test_a_span_that_records_nothing_costs_nothing(logged):
    spans.set_scene(NOOP, Untouchable())
    spans.set_query(NOOP, Untouchable())
    spans.set_found(NOOP, Untouchable())
    spans.set_template(NOOP, Untouchable(), Untouchable())
    spans.set_messages(NOOP, Untouchable())
    spans.set_failure(NOOP, Untouchable())
    assert logged() == []


def test_what_is_not_recorded_is_not_converted(platform, sink, monkeypatch, logged):
    client = new_client(workspace_id="8", api_token="t", exporter=sink, record_inputs=False, record_outputs=False)
    monkeypatch.setattr(spans, "model_message", None)
    monkeypatch.setattr(Prompt, "to_dict", None)
    hub = PromptHub(platform, "8", traceable=True, tracer=client.tracer)
    hub.format_prompt(hub.get("greeting"), {"name": "x"})
    hub.close()
    assert client.flush()
    assert [(span["input"], span["output"]) for span in sink.spans] == [("", "")] * 2
    assert tags(sink.spans[1])["prompt_key"] == "greeting"
    assert logged() == []


def test_what_cannot_be_shown_does_not_make_the_call_fail(hub, sent, logged):
    template = PromptTemplate(messages=[Message(role=Role.USER, content="x")])
    template.variable_defs = 5
    with hub._tracer.start_span("s") as span:
        spans.set_template(span, Prompt(prompt_key="k", prompt_template=template), {})
    assert sent("s")["input"] == ""
    assert "incomplete" in logged()[0]


def test_an_untraced_hub_makes_no_spans(platform, client, sink):
    hub = PromptHub(platform, "7", tracer=client.tracer)
    hub.format_prompt(hub.get("greeting"), {"name": "x"})
    hub.close()
    assert client.flush()
    assert sink.spans == []


# -- whose spans they are -------------------------------------------------------------------------------------------


def test_a_hub_without_a_tracer_uses_the_default_client_of_the_moment(platform, sink):
    hub = PromptHub(platform, "7", traceable=True)
    hub.get("greeting")  # no client yet: no span, and no error
    client = new_client(workspace_id="7", api_token="t", exporter=sink)
    hub.get("greeting")
    hub.close()
    assert client.flush()
    assert [span["span_name"] for span in sink.spans] == ["PromptHub"]


def test_a_tracer_of_ones_own_will_do(platform, sink):
    tracer = Tracer(ApiClient(api_token="t"), "7", exporter=sink)
    hub = PromptHub(platform, "7", traceable=True, tracer=tracer)
    hub.get("greeting")
    hub.close()
    assert tracer.close()
    assert [span["workspace_id"] for span in sink.spans] == ["7"]


def test_what_fails_outside_leaves_no_span_behind(hub, client):
    with pytest.raises(errors.NotFoundError):
        hub.get("nothing")
    assert client.get_span_from_context() is NOOP
    assert client.stats()["open"] == 0
