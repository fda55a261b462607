"""How the dataclasses of the platform's JSON are read, written and copied. Each class only lists its fields.

The server is newer or older than this library, so reading is tolerant: ``null`` is absence, a 64-bit integer may be
text (contract backend.md 1.4), an unknown value of an enumeration stays what it is, an unknown key is kept and written
back. Nothing in an answer makes reading raise; what is nested too deeply to be handled safely is left out.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Iterator, Mapping, TypeVar

from .model import JsonObject, Model, compact

E = TypeVar("E", bound="Entity")
Reader = Callable[[Any], Any]

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
    return compact(value) if _shallow(value) else None


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


def as_is(value: Any) -> Any:
    """Whatever it is."""
    return value


def read_by(reader: Reader, default: Any = None, json_name: str = "") -> Any:
    """A dataclass field that is read by ``reader``; ``json_name`` where the JSON has another name for it.

    The default ``[]`` is an empty list for each entity.
    """
    metadata = {"read": reader, "json": json_name}
    if default == []:
        return dataclasses.field(default_factory=list, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


if TYPE_CHECKING:  # type checkers know the constructor of that one only
    from dataclasses import dataclass as dataclass
else:

    def dataclass(kind):
        """A dataclass whose constructor passes over arguments that are no fields.

        So do the models of the official package: programs hand on what a model answered, with all that is in there.
        """
        made = dataclasses.dataclass(kind)
        construct = made.__init__

        @functools.wraps(construct)
        def __init__(self, *args, **kwargs):
            try:
                construct(self, *args, **kwargs)
            except TypeError:  # rarely: what is usual need not be looked through
                known = {name: value for name, value in kwargs.items() if name in made.__dataclass_fields__}
                if len(known) == len(kwargs):
                    raise
                construct(self, *args, **known)

        made.__init__ = __init__
        return made


class Entity(Model):
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
            if value is None:
                value = [] if default is dataclasses.MISSING else default
            fields[name] = value
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

    def copy(self: E, *, deep: bool = False, update: Mapping[str, Any] | None = None) -> E:
        """Another one with the same values; with ``deep``, nothing that could be changed is shared."""
        other = copied(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            setattr(other, name, value)
        return other

    model_copy = copy

    def __iter__(self) -> Iterator[Any]:
        """Pairs of name and value, so that ``dict(entity)`` has the fields with their values as they are."""
        for name, _, _, _ in _fields_of(type(self)):
            yield name, getattr(self, name)


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


def mold(entity: Entity) -> Callable[[], Any]:
    """A function that makes copies of ``entity``, equal to those of :func:`copied`, in less than half the time.

    For what is copied often and never changes: of which parts it consists is found out here, once, so that no function
    is called for each of them.
    """
    parts = [entity]
    places: list[tuple[int, str, Any]] = []  # (part, its attribute, the part or slice of parts), by number
    others: list[tuple[int, str, Any]] = []  # (part, its attribute, a value that is copied as such)
    for number, part in enumerate(parts):  # which grow meanwhile
        for name in _inner_names(part):
            value = part.__dict__[name]
            if isinstance(value, Entity):
                places.append((number, name, len(parts)))
                parts.append(value)
            elif type(value) is list and all(isinstance(item, Entity) for item in value):
                places.append((number, name, slice(len(parts), len(parts) + len(value))))
                parts += value
            else:
                others.append((number, name, value))
    plans = [(type(part), part.__dict__.copy().copy) for part in parts]
    create = object.__new__

    def make() -> Any:
        made = []
        for kind, copied_fields in plans:
            part = create(kind)
            part.__dict__ = copied_fields()
            made.append(part)
        for number, name, place in places:
            made[number].__dict__[name] = made[place]
        for number, name, value in others:
            made[number].__dict__[name] = copied(value)
        return made[0]

    return make


def _inner_names(entity: Entity) -> list[str]:
    """The names of the attributes whose values need a copy of their own."""
    return [name for name in _containers_of(type(entity)) if entity.__dict__.get(name) is not None]


def _fields_of(kind: type[Entity]) -> Any:
    """``(name, JSON name, reader, default)`` of each field."""
    plan = kind.__dict__.get("_plan")
    if plan is None:
        plan = kind._plan = [
            (field.name, field.metadata.get("json") or field.name, field.metadata.get("read", as_is), field.default)
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]  # those of the program's classes say nothing
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
