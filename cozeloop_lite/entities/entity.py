"""How the dataclasses of the platform's JSON are read, written and copied. Each class only lists its fields.

The server is newer or older than this library, so reading is tolerant: ``null`` is absence, a 64-bit integer may be
text (contract backend.md 1.4), an unknown value of an enumeration stays what it is, an unknown key is kept and written
back. Nothing in an answer makes reading raise; what is nested too deeply to be handled safely is left out.

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

MAX_DEPTH = 100  # of containers in what no field describes: a mapping, an unknown key
INTEGER_CHARS = 20  # of a 64-bit integer that is written as text
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
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):  # an enumeration of someone else's, perhaps
        return str.__str__(value)
    return _compact(value) if _shallow(value) else None


def as_integer(value: Any) -> int | None:
    """An integer, written as a number or as text."""
    if isinstance(value, str) and len(value) > INTEGER_CHARS:  # its conversion may take quadratic time
        return None
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
    return copied(dict(value)) if isinstance(value, Mapping) and _shallow(value) else None


_ATOMIC: set[Reader] = {as_text, as_integer, as_number, as_flag}  # readers of what cannot be changed in place
_CONSTRUCTING: dict[Reader, Reader] = {}  # what a constructor makes of its argument, by the reader of the field


def member(kind: type[OpenEnum]) -> Reader:
    """A value of the enumeration ``kind``."""

    def read(value: Any) -> Any:
        if type(value) is kind:
            return value
        text = as_text(value)
        return None if text is None else kind(text)

    _ATOMIC.add(read)
    _CONSTRUCTING[read] = _or_itself(read)
    return read


def one(kind: type[Entity]) -> Reader:
    """An entity, from a dict or as it is."""

    def read(value: Any) -> Any:
        return value if isinstance(value, kind) else kind.from_dict(value) if isinstance(value, Mapping) else None

    _CONSTRUCTING[read] = _or_itself(read)
    return read


def many(kind: type[Entity]) -> Reader:
    """A list of entities; elements that are none are left out.

    Not by a constructor: whoever uses the field says what is wrong with them.
    """
    read_one = one(kind)
    construct_one = _or_itself(read_one)

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return None
        return [entity for entity in map(read_one, value) if entity is not None]

    def construct(value: Any) -> Any:
        return [construct_one(item) for item in value] if isinstance(value, (list, tuple)) else value

    _CONSTRUCTING[read] = construct
    return read


def _or_itself(read: Reader) -> Reader:
    """A reader that leaves what is of no use as it is."""

    def construct(value: Any) -> Any:
        entity = read(value)
        return value if entity is None else entity

    return construct


def read_by(reader: Reader, default: Any = None, json_name: str = "") -> Any:
    """A dataclass field that is read by ``reader``; ``json_name`` where the JSON has another name for it."""
    return dataclasses.field(default=default, metadata={"read": reader, "json": json_name})


class Entity:
    """The base of the dataclasses; a field is declared as ``name: type = read_by(reader, default)``."""

    __leave_out_none__ = True  # for trace.values: an absent field is absent from the JSON

    _plan: ClassVar[Any] = None  # see _fields_of
    _unknown: Mapping[str, Any] = {}  # what the server sent beside the fields

    def __post_init__(self) -> None:
        # Texts become values of enumerations, and dicts entities.
        for name, _, read, default in _fields_of(type(self)):
            value = self.__dict__[name]
            if value is not default and read in _CONSTRUCTING:
                self.__dict__[name] = _CONSTRUCTING[read](value)

    @classmethod
    def from_dict(cls: type[E], data: Mapping[str, Any]) -> E:
        """Read what the platform sent, or :meth:`to_dict` wrote. Never raises for what is in a dict."""
        entity = cls.__new__(cls)
        fields = entity.__dict__
        known = 0
        for name, json_name, read, default in _fields_of(cls):
            value = data.get(json_name)
            known += json_name in data
            if value is not None:
                value = read(value)
            fields[name] = default if value is None else value
        if known < len(data):
            names = {json_name for _, json_name, _, _ in _fields_of(cls)}
            unknown = {key: value for key, value in data.items() if key not in names and _shallow(value)}
            entity._unknown = copied(unknown)
        return entity

    def to_dict(self) -> JsonObject:
        """As the platform writes it; what is ``None`` is left out."""
        written: JsonObject = {}
        for name, json_name, _, _ in _fields_of(type(self)):
            value = getattr(self, name)
            if value is not None:
                written[json_name] = _written(value)
        written.update((key, _written(value)) for key, value in self._unknown.items())
        return written

    # -- as a pydantic model has them -------------------------------------------------------------------------------

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False) -> JsonObject:
        """The fields as a dict, nested ones too. ``mode="json"``: with texts for the values of enumerations."""
        dumped = {}
        for name, _, _, _ in _fields_of(type(self)):
            value = getattr(self, name)
            if value is not None or not exclude_none:
                dumped[name] = _dumped(value, mode, exclude_none)
        return dumped

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """The fields as JSON."""
        return self.json(indent=indent, exclude_none=exclude_none)

    def dict(self, *, exclude_none: bool = False) -> JsonObject:
        """As :meth:`model_dump`."""
        return self.model_dump(exclude_none=exclude_none)

    def json(self, *, exclude_none: bool = False, **options: Any) -> str:
        """The fields as JSON; ``options`` are those of ``json.dumps``."""
        return _compact(self.model_dump(exclude_none=exclude_none), **options)

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
    if kind is dict:
        return {key: item if type(item) in _ATOMS else copied(item) for key, item in value.items()}
    if isinstance(value, Entity):
        other = object.__new__(kind)
        fields = other.__dict__ = value.__dict__.copy()
        for name in _containers_of(kind):
            item = fields.get(name)
            if item is not None:
                fields[name] = copied(item)
        return other
    return value if isinstance(value, Enum) else copy.deepcopy(value)


def mold(value: Any) -> Callable[[], Any]:
    """A function that makes copies of ``value``, equal to those of :func:`copied`, in half the time.

    For what is copied often and never changes: which parts of it need a copy of their own is found out here, once.
    """
    if type(value) is list:
        items = [mold(item) for item in value]
        return lambda: [make_item() for make_item in items]
    if not isinstance(value, Entity):
        return lambda: copied(value)
    kind, create = type(value), object.__new__
    fields = value.__dict__.copy()
    inner = [(name, mold(fields[name])) for name in _containers_of(kind) if fields.get(name) is not None]

    def make() -> Any:
        other = create(kind)
        own = other.__dict__ = fields.copy()
        for name, make_item in inner:
            own[name] = make_item()
        return other

    return make


def _fields_of(kind: type[Entity]) -> Any:
    """``(name, JSON name, reader, default)`` of each field."""
    plan = kind.__dict__.get("_plan")
    if plan is None:
        plan = kind._plan = [
            (field.name, field.metadata["json"] or field.name, field.metadata["read"], field.default)
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        ]
    return plan


def _containers_of(kind: type[Entity]) -> Any:
    """The names of the attributes that can be changed without being assigned to."""
    names = kind.__dict__.get("_containers")
    if names is None:
        names = [name for name, _, read, _ in _fields_of(kind) if read not in _ATOMIC]
        names.append("_unknown")
        kind._containers = names  # type: ignore[attr-defined]
    return names


def _written(value: Any) -> Any:
    if isinstance(value, Entity):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _dumped(value: Any, mode: str, exclude_none: bool) -> Any:
    if isinstance(value, Entity):
        return value.model_dump(mode=mode, exclude_none=exclude_none)
    if isinstance(value, (list, tuple)):
        return [_dumped(item, mode, exclude_none) for item in value]
    return value.value if mode == "json" and isinstance(value, Enum) else copied(value)


def _compact(value: Any, **options: Any) -> str:
    if options.get("indent") is None:
        options.setdefault("separators", (",", ":"))
    options.setdefault("ensure_ascii", False)
    options.setdefault("default", str)
    return json.dumps(value, **options)


def _shallow(value: Any) -> bool:
    """Whether it is nested no deeper than ``MAX_DEPTH``. Depth first, so that a cycle is noticed soon."""
    waiting = [(value, 1)]
    while waiting:
        container, depth = waiting.pop()
        kind = type(container)
        if kind is dict or kind is list:
            if depth > MAX_DEPTH:
                return False
            inner = container.values() if kind is dict else container
            waiting.extend((item, depth + 1) for item in inner if type(item) not in _ATOMS)
    return True
