"""What goes into the span of a model call: messages, tools, choices, options."""

from __future__ import annotations

from typing import Any

from ...entities.entity import (
    Entity,
    OpenEnum,
    as_integer,
    as_is,
    as_mapping,
    as_number,
    as_text,
    dataclass,
    many,
    member,
    one,
    read_by,
)

__all__ = [
    "ModelAudioURL",
    "ModelCallOption",
    "ModelChoice",
    "ModelFileURL",
    "ModelImageURL",
    "ModelInput",
    "ModelMessage",
    "ModelMessagePart",
    "ModelMessagePartType",
    "ModelOutput",
    "ModelTool",
    "ModelToolCall",
    "ModelToolCallFunction",
    "ModelToolChoice",
    "ModelToolFunction",
    "ModelVideoURL",
]


class ModelMessagePartType(OpenEnum):
    """What a part of a message is."""

    TEXT = "text"
    IMAGE = "image_url"
    FILE = "file_url"
    AUDIO = "audio_url"
    VIDEO = "video_url"
    MULTI_PART_VARIABLE = "multi_part_variable"


@dataclass
class ModelImageURL(Entity):
    """An image: a link, a ``data:`` URL, or ``bytes``; the latter two are uploaded and replaced by their key."""

    name: str | None = read_by(as_text)
    url: str | bytes = read_by(as_is, "")
    detail: str | None = read_by(as_text)


@dataclass
class ModelFileURL(Entity):
    """A file: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = read_by(as_text)
    url: str | bytes = read_by(as_is, "")
    detail: str | None = read_by(as_text)
    suffix: str | None = read_by(as_text)


@dataclass
class ModelAudioURL(Entity):
    """A recording: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = read_by(as_text)
    url: str | bytes = read_by(as_is, "")


@dataclass
class ModelVideoURL(Entity):
    """A film: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = read_by(as_text)
    url: str | bytes = read_by(as_is, "")


@dataclass
class ModelMessagePart(Entity):
    """One part of a message that is more than text; the field that belongs to ``type`` is set."""

    type: ModelMessagePartType | str = read_by(member(ModelMessagePartType), ModelMessagePartType.TEXT)
    text: str | None = read_by(as_text)
    image_url: ModelImageURL | None = read_by(one(ModelImageURL))
    file_url: ModelFileURL | None = read_by(one(ModelFileURL))
    audio_url: ModelAudioURL | None = read_by(one(ModelAudioURL))
    video_url: ModelVideoURL | None = read_by(one(ModelVideoURL))
    signature: str | None = read_by(as_text)


@dataclass
class ModelToolCallFunction(Entity):
    """The function that a model wants called; ``arguments`` is JSON text."""

    name: str = read_by(as_text, "")
    arguments: str | None = read_by(as_text)


@dataclass
class ModelToolCall(Entity):
    """A call that a model asks for."""

    id: str | None = read_by(as_text)
    type: str | None = read_by(as_text)
    function: ModelToolCallFunction | None = read_by(one(ModelToolCallFunction))
    signature: str | None = read_by(as_text)


@dataclass
class ModelMessage(Entity):
    """One message of a conversation: ``content`` when it is text, ``parts`` when it is more."""

    role: str = read_by(as_text, "")
    content: str | None = read_by(as_text)
    reasoning_content: str | None = read_by(as_text)
    parts: list[ModelMessagePart] | None = read_by(many(ModelMessagePart))
    name: str | None = read_by(as_text)
    tool_calls: list[ModelToolCall] | None = read_by(many(ModelToolCall))
    tool_call_id: str | None = read_by(as_text)
    signature: str | None = read_by(as_text)
    metadata: dict[str, str] | None = read_by(as_mapping)


@dataclass
class ModelToolFunction(Entity):
    """A function that a model may call; ``parameters`` is a JSON schema, as a dict."""

    name: str = read_by(as_text, "")
    description: str = read_by(as_text, "")
    parameters: dict[str, Any] | None = read_by(as_mapping)


@dataclass
class ModelTool(Entity):
    """A tool that a model may use."""

    type: str = read_by(as_text, "function")
    function: ModelToolFunction | None = read_by(one(ModelToolFunction))


@dataclass
class ModelToolChoice(Entity):
    """Which tool the model shall use: ``type`` is ``none``, ``auto``, ``required`` or ``function``."""

    type: str = read_by(as_text, "")
    function: ModelToolCallFunction | None = read_by(one(ModelToolCallFunction))


@dataclass
class ModelInput(Entity):
    """The input of a model span."""

    messages: list[ModelMessage] | None = read_by(many(ModelMessage))
    tools: list[ModelTool] | None = read_by(many(ModelTool))
    tool_choice: ModelToolChoice | None = read_by(one(ModelToolChoice))
    previous_response_id: str | None = read_by(as_text)


@dataclass
class ModelChoice(Entity):
    """One answer of a model."""

    finish_reason: str = read_by(as_text, "")
    index: int = read_by(as_integer, 0)
    message: ModelMessage | None = read_by(one(ModelMessage))


@dataclass
class ModelOutput(Entity):
    """The output of a model span."""

    id: str | None = read_by(as_text)
    choices: list[ModelChoice] = read_by(many(ModelChoice), [])


@dataclass
class ModelCallOption(Entity):
    """How a model was called, for ``set_model_call_options``."""

    temperature: float | None = read_by(as_number)
    max_tokens: int | None = read_by(as_integer)
    stop: list[str] | None = read_by(as_is)
    top_p: float | None = read_by(as_number)
    n: int | None = read_by(as_integer)
    top_k: int | None = read_by(as_integer)
    presence_penalty: float | None = read_by(as_number)
    frequency_penalty: float | None = read_by(as_number)
    reasoning_effort: str | None = read_by(as_text)
