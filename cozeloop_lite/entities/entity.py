"""How the dataclasses of the platform's JSON are read, written and copied. Each class only lists its fields.

The server is newer or older than this library, so reading is tolerant: ``null`` is absence, a 64-bit integer may be
text (contract backend.md 1.4), an unknown value of an enumeration stays what it is, an unknown key is kept and written
back. Nothing in an answer makes reading raise.

Users of the official package handle pydantic models; the methods of these that they call are here under their names.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from enum import Enum
from typing import Any, Callable, ClassVar, Dict, Mapping, TypeVar

E = TypeVar("E", bound="Entity")
Reader = Callable[[Any], Any]
JsonObject = Dict[str, Any]

_ATOMS = frozenset([str, int, float, bool, type(None)])


class OpenEnum(str, Enum):
    """An enumeration that the server may extend: a text that is no member becomes one for the occasion, unlisted."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = str.__str__(value)
        return member


# -- readers: what is made of a JSON value; None where it is of no use ------------------------------------------------


def as_text(value: Any) -> str | None:
    """A text; of another JSON value, its JSON."""
    return value if value is None or type(value) is str else json.dumps(value, ensure_ascii=False, default=str)


def as_integer(value: Any) -> int | None:
    """An integer, written as a number or as text."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def as_number(value: Any) -> float | None:
    """A number, written as one or as text."""
    try:
        return value if type(value) is float else float(value) if isinstance(value, (int, str)) else None
    except (ValueError, OverflowError):
        return None


def as_flag(value: Any) -> bool | None:
    """A truth value."""
    return value if isinstance(value, bool) else None


def as_mapping(value: Any) -> dict[str, Any] | None:
    """A JSON object, as a dict of its own."""
    return copied(dict(value)) if isinstance(value, Mapping) else None


_ATOMIC: set[Reader] = {as_text, as_integer, as_number, as_flag}  # readers of what cannot be changed in place


def member(kind: type[OpenEnum]) -> Reader:
    """A value of the enumeration ``kind``."""

    def read(value: Any) -> Any:
        return value if value is None or type(value) is kind else kind(as_text(value))

    _ATOMIC.add(read)
    return read


def one(kind: type[Entity]) -> Reader:
    """An entity, from a dict or as it is."""

    def read(value: Any) -> Any:
        return value if isinstance(value, kind) else kind.from_dict(value) if isinstance(value, Mapping) else None

    return read


def many(kind: type[Entity]) -> Reader:
    """A list of entities; elements that are none are left out."""
    read_one = one(kind)

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return None
        return [entity for entity in map(read_one, value) if entity is not None]

    return read


def read_by(reader: Reader, default: Any = None, json_name: str = "") -> Any:
    """A dataclass field that is read by ``reader``; ``json_name`` where the JSON has another name for it."""
    return dataclasses.field(default=default, metadata={"read": reader, "json": json_name})


class Entity:
    """The base of the dataclasses; a field is declared as ``name: type = read_by(reader, default)``."""

    __leave_out_none__ = True  # for trace.values: an absent field is absent from the JSON

    _plan: ClassVar[Any] = None  # see _fields_of
    _unknown: Mapping[str, Any] = {}  # what the server sent beside the fields

    def __post_init__(self) -> None:
        for name, _, read, default, constructed in _fields_of(type(self)):
            if constructed:
                value = self.__dict__[name]
                if value is not default:
                    self.__dict__[name] = _constructed(read, value)

    @classmethod
    def from_dict(cls: type[E], data: Mapping[str, Any]) -> E:
        """Read what the platform sent, or :meth:`to_dict` wrote. Never raises for what is in a dict."""
        entity = cls.__new__(cls)
        fields = entity.__dict__
        known = 0
        for name, json_name, read, default, _ in _fields_of(cls):
            value = data.get(json_name)
            known += json_name in data
            if value is not None:
                value = read(value)
            fields[name] = default if value is None else value
        if known < len(data):
            names = {json_name for _, json_name, _, _, _ in _fields_of(cls)}
            entity._unknown = copied({key: value for key, value in data.items() if key not in names})
        return entity

    def to_dict(self) -> JsonObject:
        """As the platform writes it; what is ``None`` is left out."""
        written: JsonObject = {}
        for name, json_name, _, _, _ in _fields_of(type(self)):
            value = getattr(self, name)
            if value is not None:
                written[json_name] = _written(value)
        written.update((key, _written(value)) for key, value in self._unknown.items())
        return written

    # -- as a pydantic model has them -------------------------------------------------------------------------------

    def model_dump(self, exclude_none: bool = False, **_: Any) -> JsonObject:
        """The fields as a dict, nested ones too."""
        return {
            name: _dumped(getattr(self, name), exclude_none)
            for name, _, _, _, _ in _fields_of(type(self))
            if not (exclude_none and getattr(self, name) is None)
        }

    def model_dump_json(self, indent: int | None = None, exclude_none: bool = False, **_: Any) -> str:
        """The fields as JSON."""
        separators = (",", ":") if indent is None else None
        dumped = self.model_dump(exclude_none=exclude_none)
        return json.dumps(dumped, ensure_ascii=False, indent=indent, separators=separators, default=str)

    def dict(self, exclude_none: bool = False, **_: Any) -> JsonObject:
        """As :meth:`model_dump`."""
        return self.model_dump(exclude_none=exclude_none)

    def json(self, indent: int | None = None, exclude_none: bool = False, **_: Any) -> str:
        """As :meth:`model_dump_json`."""
        return self.model_dump_json(indent=indent, exclude_none=exclude_none)

    def copy(self: E, *, deep: bool = False, update: Mapping[str, Any] | None = None) -> E:
        """Another one with the same values; with ``deep``, nothing that could be changed is shared."""
        other = copied(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            setattr(other, name, value)
        return other

    def model_copy(self: E, *, deep: bool = False, update: Mapping[str, Any] | None = None) -> E:
        """As :meth:`copy`."""
        return self.copy(deep=deep, update=update)

    @classmethod
    def model_validate(cls: type[E], obj: Any) -> E:
        """An entity from a dict; an entity stays what it is."""
        return obj if isinstance(obj, cls) else cls.from_dict(obj)


def copied(value: Any) -> Any:
    """A copy that shares nothing with ``value`` that could be changed. Fast for entities and JSON values."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return [item if type(item) in _ATOMS else copied(item) for item in value]
    if isinstance(value, Entity):
        other = object.__new__(kind)
        fields = other.__dict__
        fields.update(value.__dict__)
        for name in _containers_of(kind):
            item = fields.get(name)
            if item is not None:
                fields[name] = copied(item)
        return other
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    return value if isinstance(value, Enum) else copy.deepcopy(value)


def _fields_of(kind: type[Entity]) -> Any:
    """``(name, JSON name, reader, default, whether the constructor reads it, too)`` of each field."""
    plan = kind.__dict__.get("_plan")
    if plan is None:
        plan = kind._plan = [
            (
                field.name,
                field.metadata.get("json") or field.name,
                field.metadata["read"],
                field.default,
                field.metadata["read"] not in (as_text, as_integer, as_number, as_flag, as_mapping),
            )
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        ]
    return plan


def _containers_of(kind: type[Entity]) -> Any:
    """The names of the attributes that can be changed without being assigned to."""
    names = kind.__dict__.get("_containers")
    if names is None:
        names = [name for name, _, read, _, _ in _fields_of(kind) if read not in _ATOMIC]
        names.append("_unknown")
        kind._containers = names  # type: ignore[attr-defined]
    return names


def _constructed(read: Reader, value: Any) -> Any:
    """What a program gave to a constructor: texts become enumeration values and dicts entities, all else stays."""
    read_value = read(value)
    if isinstance(value, (list, tuple)) and isinstance(read_value, list) and len(read_value) != len(value):
        return value  # it has elements that are no entities: whoever uses the field says so
    return value if read_value is None else read_value


def _written(value: Any) -> Any:
    if isinstance(value, Entity):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _dumped(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, Entity):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, (list, tuple)):
        return [_dumped(item, exclude_none) for item in value]
    return copied(value)
