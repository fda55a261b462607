"""What goes into the span of a prompt that is formatted."""

from __future__ import annotations

from typing import Any

from ...entities.entity import Entity, OpenEnum, as_is, as_text, dataclass, many, member, read_by
from .model import ModelMessage

__all__ = ["PromptArgument", "PromptArgumentValueType", "PromptInput", "PromptOutput"]


class PromptArgumentValueType(OpenEnum):
    """What the value of a prompt's variable is."""

    TEXT = "text"
    MODEL_MESSAGE = "model_message"
    MODEL_MESSAGE_PART = "model_message_part"


@dataclass
class PromptArgument(Entity):
    """One variable of a prompt."""

    key: str = read_by(as_text, "")
    value: Any = read_by(as_is)
    source: str | None = read_by(as_text)
    value_type: PromptArgumentValueType | None = read_by(member(PromptArgumentValueType))


@dataclass
class PromptInput(Entity):
    """The input of a prompt span: the template and its variables."""

    templates: list[ModelMessage] | None = read_by(many(ModelMessage))
    arguments: list[PromptArgument] | None = read_by(many(PromptArgument))


@dataclass
class PromptOutput(Entity):
    """The output of a prompt span: the messages it became."""

    prompts: list[ModelMessage] | None = read_by(many(ModelMessage))
