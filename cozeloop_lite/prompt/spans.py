"""What the spans of prompts carry, in the form that the platform shows as templates, variables and messages.

Contract siblings.md 3.4. What is said about a call must not make the call fail, nor cost anything when nobody listens:
nothing here raises, and all of it is skipped for a span that is not recording.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from .. import logger
from ..entities.prompt import ContentPart, ContentType, Message, VariableType
from ..spec import tracespec
from ..trace import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..entities.prompt import Prompt, ToolCall
    from ..trace.span import Span
    from .hub import Found

_INT32 = 1 << 31


def about(describe: Callable[..., None]) -> Callable[..., None]:
    """``describe``, which then does nothing to a span that is not recording, and never raises."""

    @functools.wraps(describe)
    def described(span: Span, *args: Any) -> None:
        if not span._recording:
            return
        try:
            describe(span, *args)
        except Exception as problem:  # noqa: BLE001 - an object of the program that fails when it is looked at
            logger.warn("a span of a prompt is incomplete: %s", values.error_text(problem))

    return described


@about
def set_scene(span: Span, scene: str) -> None:
    """Which part of this library the span comes from."""
    span.set_runtime({"scene": scene})


@about
def set_query(span: Span, query: tuple[str, str, str]) -> None:
    """What is asked of the hub."""
    key, version, label = query
    span.set_input({"prompt_key": key, "prompt_version": version, "prompt_label": label})
    span.set_tags({tracespec.PROMPT_KEY: key, tracespec.PROMPT_LABEL: label or None})


@about
def set_found(span: Span, found: Found) -> None:
    """What the hub found, and where."""
    span.set_tags({"cache_hit": found.hit, "prompt_source": found.source or None})
    if found.prompt is not None:
        span.set_prompt(found.prompt)  # the key, and the version that it really is
        if span._owner.record_outputs:
            span.set_output(found.prompt.to_dict())


@about
def set_template(span: Span, prompt: Prompt, variables: Mapping[str, Any] | None) -> None:
    """What is about to be formatted."""
    span.set_prompt(prompt)
    if span._owner.record_inputs:
        template = prompt.prompt_template
        messages = [model_message(message) for message in (template and template.messages) or ()]
        kinds = {declared.key: declared.type for declared in (template and template.variable_defs) or ()}
        limit = span._owner.text_chars
        arguments = [argument(key, value, kinds.get(key), limit) for key, value in (variables or {}).items()]
        span.set_input(tracespec.PromptInput(templates=messages, arguments=arguments))


@about
def set_messages(span: Span, messages: list[Message]) -> None:
    """What it was formatted to."""
    if span._owner.record_outputs:
        span.set_output(tracespec.PromptOutput(prompts=[model_message(message) for message in messages]))


@about
def set_failure(span: Span, error: BaseException) -> None:
    """The platform's code of ``error``, if it has one, as the status; the span sets the rest when its block ends."""
    code = getattr(error, "code", None)
    if type(code) is int and -_INT32 <= code < _INT32:
        span.set_status_code(code)


# -- messages as the platform shows them ------------------------------------------------------------------------------


def model_message(message: Message) -> tracespec.ModelMessage:
    """A message of a prompt as one of a model."""
    return tracespec.ModelMessage(
        role=_plain(message.role) or "",
        content=message.content,
        reasoning_content=message.reasoning_content,
        parts=None if message.parts is None else [model_part(part) for part in message.parts],
        tool_calls=None if message.tool_calls is None else [_tool_call(call) for call in message.tool_calls],
        tool_call_id=message.tool_call_id,
        signature=message.signature,
        metadata=message.metadata,
    )


def model_part(part: ContentPart) -> tracespec.ModelMessagePart:
    """A part of a message; what is in it as base64 becomes an image, film, recording or file, which is uploaded."""
    made = tracespec.ModelMessagePart(type=_plain(part.type) or "", text=part.text, signature=part.signature)
    if part.image_url is not None:
        made.image_url = tracespec.ModelImageURL(url=part.image_url)
    if part.video_url is not None:
        made.video_url = tracespec.ModelVideoURL(url=part.video_url)
    if part.type == ContentType.BASE64_DATA and part.base64_data is not None:
        _put_data(made, part.base64_data)
    return made


def _put_data(made: tracespec.ModelMessagePart, url: str) -> None:
    kind = url[5:].partition("/")[0].lower()  # of data:image/png;base64,...
    if kind == "video":
        made.type, made.video_url = tracespec.ModelMessagePartType.VIDEO, tracespec.ModelVideoURL(url=url)
    elif kind == "audio":
        made.type, made.audio_url = tracespec.ModelMessagePartType.AUDIO, tracespec.ModelAudioURL(url=url)
    elif kind in ("application", "text"):
        made.type, made.file_url = tracespec.ModelMessagePartType.FILE, tracespec.ModelFileURL(url=url)
    else:
        made.type, made.image_url = tracespec.ModelMessagePartType.IMAGE, tracespec.ModelImageURL(url=url)


def _tool_call(call: ToolCall) -> tracespec.ModelToolCall:
    made = tracespec.ModelToolCall(id=call.id or None, type=_plain(call.type), signature=call.signature)
    if call.function_call is not None:
        made.function = tracespec.ModelToolCallFunction(call.function_call.name, call.function_call.arguments)
    return made


def argument(key: Any, value: Any, kind: VariableType | None, limit: int) -> tracespec.PromptArgument:
    """A variable and its value: messages and parts as such, anything else as text."""
    made = tracespec.PromptArgument(key=key, source=tracespec.V_PROMPT_ARG_SOURCE_INPUT)
    messages = _entities(value, Message, kind == VariableType.PLACEHOLDER)
    parts = _entities(value, ContentPart, kind == VariableType.MULTI_PART)
    if messages:
        made.value_type = tracespec.PromptArgumentValueType.MODEL_MESSAGE
        made.value = [model_message(message) for message in messages]
    elif parts:
        made.value_type = tracespec.PromptArgumentValueType.MODEL_MESSAGE_PART
        made.value = [model_part(part) for part in parts]
    else:
        made.value_type = tracespec.PromptArgumentValueType.TEXT
        made.value = values.to_text(value, limit)
    return made


def _entities(value: Any, kind: type[Any], declared: bool) -> list[Any]:
    """One entity or many, or dicts of their shape where the variable is ``declared`` to take them; else nothing."""
    items = value if isinstance(value, (list, tuple)) else [value]
    takes = (kind, Mapping) if declared else kind
    if not all(isinstance(item, takes) for item in items):
        return []
    return [item if isinstance(item, kind) else kind.from_dict(item) for item in items]


def _plain(value: Any) -> str | None:
    """The text of a value of an enumeration."""
    return None if value is None else str.__str__(value)
