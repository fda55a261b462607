"""A stored prompt, the variables of a request and its messages become what a model would get, as on the platform.

Contract backend.md 5.2. The text itself is rendered by the package's own ``format_prompt``; here is what differs on a
server: variables arrive as text, and the caller's messages are rendered, too, unless they say otherwise.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from ..entities.prompt import (
    ContentPart,
    Message,
    Prompt,
    PromptTemplate,
    Role,
    TemplateType,
    VariableDef,
    VariableType,
)
from ..errors import InvalidParamError, TemplateError
from ..prompt.template import format_prompt
from . import codes
from .binding import boolean, double, i64, is_number, list_of, parse_json, quote, string
from .codes import Refusal, invalid_param

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Sequence

_INSERTED = (Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL)  # contract 5.2: what a placeholder may bring
_FLOAT = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def render(prompt: Prompt, variable_vals: Iterable[Any], messages: Iterable[Any]) -> list[Message]:
    """All messages in their order: the prompt's, then the caller's, in the form of the request.

    Raises ``Refusal`` when the platform would.
    """
    template = prompt.prompt_template or PromptTemplate()
    kind = template.template_type
    if kind not in (TemplateType.NORMAL, TemplateType.JINJA2):
        msg = f"unsupported template type,unknown template type: {kind.value}"
        raise Refusal(codes.TEMPLATE_TYPE, msg)
    values = {value.get("key", ""): value for value in variable_vals}
    given = [Message.from_dict(message) for message in messages]
    spread = _spread([(message, True) for message in template.messages or ()], values)
    spread += _spread([(message, _is_template(message)) for message in given], values)
    rendered = iter(_rendered(template, [message for message, is_template in spread if is_template], values))
    return [next(rendered) if is_template else message for message, is_template in spread]


def _is_template(message: Message) -> bool:
    """Whether variables are looked for in a message of the caller."""
    if message.role == Role.ASSISTANT:
        return message.skip_render is False
    return message.role in (Role.SYSTEM, Role.USER) and not message.skip_render


def _spread(messages: Sequence[tuple[Message, bool]], values: dict[str, Any]) -> list[tuple[Message, bool]]:
    """The messages with those that variables bring in the place of placeholders; these are not rendered."""
    spread: list[tuple[Message, bool]] = []
    for message, is_template in messages:
        if message.role != Role.PLACEHOLDER:
            spread.append((message, is_template))
            continue
        for brought in values.get(message.content or "", {}).get("placeholder_messages", ()):
            if brought is not None:
                inserted = Message.from_dict(brought)
                if inserted.role not in _INSERTED:
                    raise invalid_param(f"a placeholder cannot bring a message of role {quote(inserted.role.value)}")
                spread.append((inserted, False))
    return spread


def _rendered(template: PromptTemplate, messages: list[Message], values: dict[str, Any]) -> list[Message]:
    normal = template.template_type == TemplateType.NORMAL
    defs = []
    variables: dict[str, Any] = {}
    for declared in template.variable_defs or ():
        value = values.get(declared.key, {})
        if declared.type == VariableType.MULTI_PART:
            parts = value.get("multi_part_values", ())
            variables[declared.key] = [ContentPart.from_dict(part) for part in parts if part is not None]
        elif declared.type != VariableType.PLACEHOLDER:
            text = value.get("value")
            if text:
                variables[declared.key] = text if normal else _typed(declared, text)
            if normal:  # the text of a variable is what is put in, whatever its type
                declared = VariableDef(declared.key)
        defs.append(declared)
    try:
        return format_prompt(Prompt(prompt_template=PromptTemplate(template.template_type, messages, defs)), variables)
    except InvalidParamError as error:
        raise Refusal(codes.PROMPT_INVALID_PARAM, f"invalid param,{error}") from None
    except TemplateError as error:
        raise _template_refusal(error) from None


def _template_refusal(error: TemplateError) -> Refusal:
    cause = error.__cause__
    while cause is not None:
        # By name: jinja2 stays unloaded where it is not needed.
        if type(cause).__name__ in ("TemplateSyntaxError", "TemplateAssertionError"):
            return Refusal(codes.TEMPLATE_PARSE, f"template parse error,{error}")
        cause = cause.__cause__
    return Refusal(codes.TEMPLATE_RENDER, f"template render error,{error}")


# --- typed variables, contract 5.2 ------------------------------------------------------------------------------------


def _typed(declared: VariableDef, text: str) -> Any:
    """The value of a variable from its text. A text of the wrong syntax is refused."""
    read = _READERS.get(declared.type)
    try:
        return text if read is None else read(text)
    except ValueError:
        shown = json.dumps({"key": declared.key, "value": text}, ensure_ascii=False)[:200]
        msg = f"invalid param,parse variable {declared.key} error with type:{declared.type.value}, value:{shown}"
        raise Refusal(codes.PROMPT_INVALID_PARAM, msg) from None


def _integer(text: str) -> int:
    if not is_number(text):
        raise ValueError
    return int(text)


def _float(text: str) -> float:
    value = float(text) if _FLOAT.fullmatch(text) else None
    if value is None or (math.isinf(value) and "inf" not in text.lower()):
        raise ValueError
    return value


def _array_of(decode: Callable[[Any, str], Any], zero: Any) -> Callable[[str], Any]:
    def read(text: str) -> list[Any]:
        items = list_of(decode)(parse_json(text), "it")
        return [zero if item is None else item for item in items]

    return read


def _number(value: Any, path: str) -> int:
    return i64(None if isinstance(value, str) else value, path)  # in a variable, text is no number


_READERS: dict[VariableType, Callable[[str], Any]] = {
    VariableType.BOOLEAN: lambda text: text == "true",
    VariableType.INTEGER: _integer,
    VariableType.FLOAT: _float,
    VariableType.OBJECT: parse_json,
    VariableType.ARRAY_STRING: _array_of(string, ""),
    VariableType.ARRAY_BOOLEAN: _array_of(boolean, False),
    VariableType.ARRAY_INTEGER: _array_of(_number, 0),
    VariableType.ARRAY_FLOAT: _array_of(double, 0.0),
    VariableType.ARRAY_OBJECT: parse_json,
}
