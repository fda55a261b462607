"""Variables are what a program gives to a prompt: here they are held against what the template declares.

Types are checked before anything is rendered, so that a wrong value is an error at the call and not a strange prompt at
the model. The same module says what a value looks like in a text, and which messages or parts it stands for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from ..entities.entity import copied
from ..entities.prompt import ContentPart, Message, Role, VariableDef, VariableType
from ..errors import InvalidParamError
from ..trace.values import describe, to_text, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

# What the server inserts for a placeholder (contract backend.md 5.2).
_ROLES = (Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL)


def checked(defs: Iterable[VariableDef | None] | None, variables: Mapping[str, Any]) -> dict[str, VariableType]:
    """The type of each declared variable, by its key; all values are checked on the way.

    ``None`` and no value at all are always fine. Raises :class:`InvalidParamError` for the first value that is not of
    its declared type.
    """
    types = {}
    for declared in defs or ():
        if declared is None:
            continue
        if not isinstance(declared, VariableDef):
            raise InvalidParamError("an element of variable_defs must be a VariableDef, not %s" % type_name(declared))
        key = declared.key
        kind = types[key] = declared.type
        value = variables.get(key)
        if value is not None and kind in _CHECKS and not _CHECKS[kind](value):
            raise _wrong_type(key, kind, value)
    return types


def text_of(value: Any, kind: VariableType) -> str:
    """What stands in a text for ``value``.

    A text as it is, and compact JSON of all else, as spans show it: what JSON does not have is written in a form of its
    own or as its ``repr``, and never raises. ``None`` is the empty text, and so are messages and parts, which have no
    text on the server either.
    """
    if type(value) is str:
        return value
    if value is None or kind in WITHOUT_TEXT:
        return ""
    return to_text(value, sys.maxsize) or ""


def messages_of(key: str, value: Any) -> list[Message]:
    """The messages that ``value`` brings to a placeholder, as copies.

    Raises :class:`InvalidParamError` for what is no message, or a message that no placeholder can bring.
    """
    if not _are_messages(value):
        raise _wrong_type(key, VariableType.PLACEHOLDER, value)
    messages = [_copy_of(message, Message) for message in _listed(value)]
    for message in messages:
        if message.role not in _ROLES:
            raise InvalidParamError(
                "role of a message of variable '%s' must be system, user, assistant or tool, not %s"
                % (key, describe(getattr(message.role, "value", message.role)))
            )
    return messages


def parts_of(value: Any) -> list[ContentPart]:
    """The parts that ``value``, which was checked, brings, as copies."""
    return [_copy_of(part, ContentPart) for part in _listed(value)]


def _wrong_type(key: str, kind: VariableType, value: Any) -> InvalidParamError:
    name = "Message like object" if kind == VariableType.PLACEHOLDER else str.__str__(kind)
    given = "" if isinstance(value, (list, tuple, Mapping)) else ", not " + type_name(value)  # there, it is an item
    return InvalidParamError("type of variable '%s' should be %s%s" % (key, name, given))


# -- the declared types -----------------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _is_message(value: Any) -> bool:
    if isinstance(value, Message):
        return True
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        return False
    parts = value.get("parts")
    return _are_texts(value, ("content", "reasoning_content")) and (parts is None or _are_parts(parts))


def _is_part(value: Any) -> bool:
    if isinstance(value, ContentPart):
        return True
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return False
    return _are_texts(value, ("text", "image_url", "video_url", "base64_data"))


def _are_texts(value: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(value.get(name) is None or isinstance(value[name], str) for name in names)


def _array_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def _one_or_many(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    array = _array_of(check)
    return lambda value: check(value) or array(value)


_are_messages = _one_or_many(_is_message)
_are_parts = _one_or_many(_is_part)

# Objects are not here: they may be anything, and so may what a newer server declares.
_CHECKS: dict[VariableType, Callable[[Any], bool]] = {
    VariableType.STRING: _is_text,
    VariableType.BOOLEAN: _is_flag,
    VariableType.INTEGER: _is_integer,
    VariableType.FLOAT: _is_number,
    VariableType.ARRAY_STRING: _array_of(_is_text),
    VariableType.ARRAY_BOOLEAN: _array_of(_is_flag),
    VariableType.ARRAY_INTEGER: _array_of(_is_integer),
    VariableType.ARRAY_FLOAT: _array_of(_is_number),
    VariableType.PLACEHOLDER: _are_messages,
    VariableType.MULTI_PART: _are_parts,
}
WITHOUT_TEXT = frozenset([VariableType.PLACEHOLDER, VariableType.MULTI_PART])


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


def _copy_of(value: Any, kind: type[Any]) -> Any:
    # A dict may hold entities, which reading it does not copy.
    return copied(kind.from_dict(value) if isinstance(value, Mapping) else value)
