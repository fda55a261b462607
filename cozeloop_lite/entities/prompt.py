"""Prompts as the platform stores them, messages, and what executing a prompt returns.

Dataclasses with the JSON names of the platform's newest version (contract backend.md 5.1, 6 and the schemas
``mget_*``, ``execute_*``), under the names of the official package. Every field is optional: servers of different age
fill different ones. ``from_dict`` and ``to_dict`` read and write the platform's JSON.
"""

from __future__ import annotations

from typing import Any, List, Union

from .entity import (
    Entity,
    OpenEnum,
    as_flag,
    as_integer,
    as_mapping,
    as_number,
    as_text,
    dataclass,
    many,
    member,
    one,
    read_by,
)


class TemplateType(OpenEnum):
    """How the messages of a template are rendered."""

    NORMAL = "normal"
    JINJA2 = "jinja2"
    GO_TEMPLATE = "go_template"
    CUSTOM_TEMPLATE_M = "custom_template_m"


class Role(OpenEnum):
    """Who speaks; ``placeholder`` stands for messages that a variable brings."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    PLACEHOLDER = "placeholder"


class ContentType(OpenEnum):
    """What a part of a message is; ``multi_part_variable`` stands for parts that a variable brings."""

    TEXT = "text"
    IMAGE_URL = "image_url"
    VIDEO_URL = "video_url"
    BASE64_DATA = "base64_data"
    MULTI_PART_VARIABLE = "multi_part_variable"


class VariableType(OpenEnum):
    """What a variable of a template takes."""

    STRING = "string"
    PLACEHOLDER = "placeholder"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    OBJECT = "object"
    ARRAY_STRING = "array<string>"
    ARRAY_BOOLEAN = "array<boolean>"
    ARRAY_INTEGER = "array<integer>"
    ARRAY_FLOAT = "array<float>"
    ARRAY_OBJECT = "array<object>"
    MULTI_PART = "multi_part"


class ToolType(OpenEnum):
    """What kind of tool it is."""

    FUNCTION = "function"
    GOOGLE_SEARCH = "google_search"


class ToolChoiceType(OpenEnum):
    """Whether the model may, must not, or must call a certain tool."""

    AUTO = "auto"
    NONE = "none"
    SPECIFIC = "specific"


class ThinkingOption(OpenEnum):
    """Whether a model thinks before it answers."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    AUTO = "auto"


class ReasoningEffort(OpenEnum):
    """How much a model thinks."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


# -- messages ---------------------------------------------------------------------------------------------------------


@dataclass
class MediaConfig(Entity):
    """How a video or image is to be read: frames per second, from 0.2 to 5, and the resolution."""

    fps: float | None = read_by(as_number)
    image_resolution: str | None = read_by(as_text)


@dataclass
class ContentPart(Entity):
    """One part of a message that is more than text; the field that belongs to ``type`` is set.

    ``image_url`` and ``video_url`` are links, ``base64_data`` is a ``data:`` URL.
    """

    type: ContentType = read_by(member(ContentType), ContentType.TEXT)
    text: str | None = read_by(as_text)
    image_url: str | None = read_by(as_text)
    base64_data: str | None = read_by(as_text)
    video_url: str | None = read_by(as_text)
    config: MediaConfig | None = read_by(one(MediaConfig))
    signature: str | None = read_by(as_text)
    image_uri: str | None = read_by(as_text)
    video_uri: str | None = read_by(as_text)


@dataclass
class FunctionCall(Entity):
    """The function that a model wants called; ``arguments`` is JSON text."""

    name: str = read_by(as_text, "")
    arguments: str | None = read_by(as_text)


@dataclass
class ToolCall(Entity):
    """A call that a model asks for. In a stream, the calls of one ``index`` belong together."""

    index: int = read_by(as_integer, 0)
    id: str = read_by(as_text, "")
    type: ToolType = read_by(member(ToolType), ToolType.FUNCTION)
    function_call: FunctionCall | None = read_by(one(FunctionCall))
    output_id: str | None = read_by(as_text)
    signature: str | None = read_by(as_text)


@dataclass
class Message(Entity):
    """One message of a conversation: ``content`` when it is text, ``parts`` when it is more.

    ``skip_render``: the server does not look for variables in this message when a prompt is executed with it.
    """

    role: Role = read_by(member(Role), Role.USER)
    reasoning_content: str | None = read_by(as_text)
    content: str | None = read_by(as_text)
    parts: list[ContentPart] | None = read_by(many(ContentPart))
    tool_call_id: str | None = read_by(as_text)
    tool_calls: list[ToolCall] | None = read_by(many(ToolCall))
    skip_render: bool | None = read_by(as_flag)
    signature: str | None = read_by(as_text)
    metadata: dict[str, str] | None = read_by(as_mapping)


# -- prompts ----------------------------------------------------------------------------------------------------------


@dataclass
class VariableDef(Entity):
    """A variable that a template declares."""

    key: str = read_by(as_text, "")
    desc: str = read_by(as_text, "")
    type: VariableType = read_by(member(VariableType), VariableType.STRING)


@dataclass
class PromptTemplate(Entity):
    """Messages with variables in them."""

    template_type: TemplateType = read_by(member(TemplateType), TemplateType.NORMAL)
    messages: list[Message] | None = read_by(many(Message))
    variable_defs: list[VariableDef] | None = read_by(many(VariableDef))
    metadata: dict[str, str] | None = read_by(as_mapping)


@dataclass
class Function(Entity):
    """A function that a model may call; ``parameters`` is a JSON schema, as text."""

    name: str = read_by(as_text, "")
    description: str | None = read_by(as_text)
    parameters: str | None = read_by(as_text)


@dataclass
class Tool(Entity):
    """A tool that a model may use."""

    type: ToolType = read_by(member(ToolType), ToolType.FUNCTION)
    function: Function | None = read_by(one(Function))
    disable: bool | None = read_by(as_flag)


@dataclass
class ToolChoiceSpecification(Entity):
    """The tool that the model must call, when the choice is ``specific``."""

    type: ToolType = read_by(member(ToolType), ToolType.FUNCTION)
    name: str = read_by(as_text, "")


@dataclass
class ToolCallConfig(Entity):
    """Which tools the model may call."""

    tool_choice: ToolChoiceType = read_by(member(ToolChoiceType), ToolChoiceType.AUTO)
    tool_choice_specification: ToolChoiceSpecification | None = read_by(one(ToolChoiceSpecification))


@dataclass
class ThinkingConfig(Entity):
    """How a model thinks before it answers."""

    budget_tokens: int | None = read_by(as_integer)
    thinking_option: ThinkingOption | None = read_by(member(ThinkingOption))
    reasoning_effort: ReasoningEffort | None = read_by(member(ReasoningEffort))


@dataclass
class LLMConfig(Entity):
    """How the model is called. ``extra`` is JSON text for its provider."""

    temperature: float | None = read_by(as_number)
    max_tokens: int | None = read_by(as_integer)
    top_k: int | None = read_by(as_integer)
    top_p: float | None = read_by(as_number)
    frequency_penalty: float | None = read_by(as_number)
    presence_penalty: float | None = read_by(as_number)
    json_mode: bool | None = read_by(as_flag)
    id: int | None = read_by(as_integer)
    name: str | None = read_by(as_text)
    thinking: ThinkingConfig | None = read_by(one(ThinkingConfig))
    extra: str | None = read_by(as_text)


@dataclass
class PublishInfo(Entity):
    """Who published a version, and when (ms since the epoch)."""

    publisher: str | None = read_by(as_text)
    publish_description: str | None = read_by(as_text)
    publish_at: int | None = read_by(as_integer)


@dataclass
class Prompt(Entity):
    """A version of a prompt. Only some servers fill what follows ``llm_config``; times are ms since the epoch."""

    workspace_id: str = read_by(as_text, "")
    prompt_key: str = read_by(as_text, "")
    version: str = read_by(as_text, "")
    prompt_template: PromptTemplate | None = read_by(one(PromptTemplate))
    tools: list[Tool] | None = read_by(many(Tool))
    tool_call_config: ToolCallConfig | None = read_by(one(ToolCallConfig))
    llm_config: LLMConfig | None = read_by(one(LLMConfig))
    id: int | None = read_by(as_integer)
    display_name: str | None = read_by(as_text)
    description: str | None = read_by(as_text)
    prompt_type: str | None = read_by(as_text)
    created_by: str | None = read_by(as_text)
    created_at: int | None = read_by(as_integer)
    updated_at: int | None = read_by(as_integer)
    status: str | None = read_by(as_text)
    publish_info: PublishInfo | None = read_by(one(PublishInfo), None, "PublishInfo")
    security_level: str | None = read_by(as_text)
    skill_execute_config: dict[str, Any] | None = read_by(as_mapping)


# -- executing a prompt -----------------------------------------------------------------------------------------------


@dataclass
class TokenUsage(Entity):
    """How many tokens went in and came out."""

    input_tokens: int = read_by(as_integer, 0)
    output_tokens: int = read_by(as_integer, 0)


@dataclass
class ExecuteParam(Entity):
    """What to execute a prompt with."""

    prompt_key: str = read_by(as_text, "")
    version: str = read_by(as_text, "")
    label: str = read_by(as_text, "")
    variable_vals: dict[str, Any] | None = read_by(as_mapping)
    messages: list[Message] | None = read_by(many(Message))


@dataclass
class ExecuteResult(Entity):
    """What the model answered; in a stream, a piece of it."""

    message: Message | None = read_by(one(Message))
    finish_reason: str | None = read_by(as_text)
    usage: TokenUsage | None = read_by(one(TokenUsage))


MessageLikeObject = Union[Message, List[Message]]
PromptVariable = Union[str, MessageLikeObject]
