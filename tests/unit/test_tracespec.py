"""The shapes of model, prompt and retriever spans: made of dicts or objects, written, and dumped as models are."""

from __future__ import annotations

import dataclasses
import json

import pytest

import cozeloop_lite
from cozeloop_lite.entities.entity import Entity
from cozeloop_lite.spec import tracespec
from cozeloop_lite.spec.tracespec import (
    ModelCallOption,
    ModelChoice,
    ModelImageURL,
    ModelInput,
    ModelMessage,
    ModelMessagePart,
    ModelMessagePartType,
    ModelOutput,
    PromptArgument,
    RetrieverDocument,
    RetrieverOutput,
    Runtime,
)

EVERY = [kind for kind in vars(tracespec).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def test_every_shape_is_an_entity():
    assert len(EVERY) == 23
    assert all(issubclass(kind, Entity) for kind in EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_every_field_is_optional(kind):
    assert kind() == kind.from_dict({}) == kind.model_validate({})


def test_a_conversation_of_dicts_is_one_of_objects():
    part = {"type": "text", "text": "hi"}
    made = ModelInput(messages=[{"role": "user", "parts": [part]}], tools=[{"type": "function"}])
    message = ModelMessage(role="user", parts=[ModelMessagePart(type=ModelMessagePartType.TEXT, text="hi")])
    assert made.messages == [message]
    assert made.tools[0].type == "function"
    assert ModelInput.model_validate(made.model_dump()) == made
    assert ModelInput.model_validate_json(made.model_dump_json()) == made


def test_every_output_has_choices_of_its_own():
    one, other = ModelOutput(), ModelOutput.from_dict({})
    one.choices.append(ModelChoice())
    assert (other.choices, ModelOutput().choices) == ([], [])
    assert ModelOutput.from_dict({"choices": None}).choices == []


def test_an_unknown_type_of_part_is_kept():
    part = ModelMessagePart(type="thought")
    assert part.type == "thought"
    assert json.loads(part.model_dump_json(exclude_none=True)) == {"type": "thought"}
    assert list(ModelMessagePartType.__members__) == ["TEXT", "IMAGE", "FILE", "AUDIO", "VIDEO", "MULTI_PART_VARIABLE"]


def test_bytes_and_values_of_any_kind_stay_what_they_are():
    assert ModelImageURL(url=b"\x89PNG").copy(deep=True).url == b"\x89PNG"
    value = object()
    assert PromptArgument.from_dict({"key": "k", "value": value}).value is value
    assert RetrieverOutput(documents=[{"content": "c", "score": 1, "vector": [0.5]}]).documents == [
        RetrieverDocument(content="c", score=1, vector=[0.5])
    ]


def test_what_is_none_is_absent_from_the_span(client, sent):
    with client.start_span("call", "model") as span:
        span.set_input(ModelInput(messages=[ModelMessage(role="user", content="hi")]))
        span.set_output(ModelOutput(choices=[{"message": {"role": "assistant", "content": "hello"}}]))
        span.set_model_call_options(ModelCallOption(max_tokens=5))
        span.set_runtime(Runtime(library="mine"))
    call = sent("call")
    assert call["input"] == '{"messages":[{"role":"user","content":"hi"}]}'
    message = '{"role":"assistant","content":"hello"}'
    assert call["output"] == '{"choices":[{"finish_reason":"","index":0,"message":%s}]}' % message
    assert call["tags_string"]["call_options"] == '{"max_tokens":5}'
    assert json.loads(call["system_tags_string"]["runtime"])["library"] == "mine"


# -- as models ------------------------------------------------------------------------------------------------------


def test_a_dump_of_some_fields():
    message = ModelMessage(role="user", content="hi")
    assert message.model_dump(include={"role", "name"}) == {"role": "user", "name": None}
    assert message.model_dump(exclude={"content"}, exclude_none=True) == {"role": "user"}
    assert message.json(include={"role"}) == message.model_dump_json(include={"role"}) == '{"role":"user"}'


@pytest.mark.parametrize("option", ["exclude_none", "exclude_unset", "exclude_defaults"])
def test_a_dump_without_what_nobody_set(option):
    message = ModelMessage(role="user", content="hi")
    assert message.model_dump(by_alias=True, **{option: True}) == {"role": "user", "content": "hi"}
    assert message.json(**{option: True}) == '{"role":"user","content":"hi"}'


def test_a_dict_of_an_entity_has_its_fields_as_they_are():
    message = ModelMessage(role="user", parts=[ModelMessagePart(text="x")])
    assert dict(message)["parts"] is message.parts
    assert list(dict(message)) == [field.name for field in dataclasses.fields(message)]


def test_json_is_read_under_both_names():
    text = '{"role": "user"}'
    assert ModelMessage.parse_raw(text) == ModelMessage.model_validate_json(text.encode()) == ModelMessage("user")
    assert ModelMessage.parse_obj({"role": "user"}) == ModelMessage("user")
    with pytest.raises(ValueError, match="Expecting"):
        ModelMessage.model_validate_json("{")


def test_what_the_package_offers_as_attributes_is_there_without_an_import():
    assert cozeloop_lite.spec.tracespec is tracespec
    assert cozeloop_lite.entities.prompt.Prompt is cozeloop_lite.entities.Prompt is cozeloop_lite.Prompt
    assert cozeloop_lite.entities.stream.StreamReader
    assert cozeloop_lite.prompt.PromptClient is cozeloop_lite.Client
    for package in (cozeloop_lite.entities, cozeloop_lite.prompt, cozeloop_lite.decorator):
        with pytest.raises(AttributeError, match="no_such_name"):
            package.no_such_name  # noqa: B018
