"""A value becomes text that later changes to the value cannot touch.

This is what the caller's thread pays for tags, and for an input or output that is not plain (for plain ones see
snapshots.py). ``str`` is taken as it is; everything else becomes compact JSON with non-ASCII kept, as fast as the
standard library's C encoder goes. What that encoder refuses (cycles, NaN, odd keys, objects, huge numbers) goes a
slower way that always ends: no value raises, and none costs more than about as much work as the text that can be sent.
"""

from __future__ import annotations

import codecs
import collections
import collections.abc
import enum
import json
import os
from itertools import islice

from . import uncut, unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

REPR_CHARS = 1000  # of an object that has no better form than its repr
MAX_DEPTH = 64  # of containers on the slow way
FAST_DEPTH = 400  # of containers on the fast way, which uses the C stack
MAX_ITEMS = 10_000  # of a lazy or foreign sequence (range, numpy array), which is described rather than listed above it
MAX_COPIED = 1 << 20  # items of any other container, and bytes: more than that are never sent
BIG_INT = 1 << 256  # integers beyond it are written in hexadecimal, cut: their decimal digits cost quadratic time

_name_of = type.__dict__["__name__"].__get__

# Modules whose str() is the value itself (of datetime: timedelta and timezone, the others have isoformat()).
_STRINGS_OF = frozenset(["datetime", "decimal", "fractions", "ipaddress", "uuid"])


def to_text(value: Any, limit: int) -> str | None:
    """The text of ``value``; ``None`` when it is ``None``, which is absence.

    ``limit`` is the number of characters after which nobody will look: a larger value may end there, in mid-JSON.
    Never raises.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if value is None:
        return None
    if type(limit) is uncut.Limit:
        return unseen.call(uncut.call, _text, value, limit)  # type: ignore[no-any-return]
    return unseen.call(_text, value, limit)  # type: ignore[no-any-return]


def _text(value: Any, limit: int) -> str:
    try:
        form = value if type(value) in _JSON_TYPES else plain(value)
        if isinstance(form, str):
            return str.__str__(form)[: limit + 1]
        left, foreign = _weighed(form, limit)
        if left < 0:
            return _first_part(form, limit)
        # What could not be looked into is weighed as the encoder comes to it.
        text = _encoder_with(_Weigher(left).plain).encode(form) if foreign else _encode(form)
        return text if len(text) <= limit else text[: limit + 1]
    except Exception:  # noqa: BLE001 - whatever a foreign object does, the slow way survives it
        return slow_text(value, limit)


def tag_value(value: Any, limit: int) -> str | int | float | bool | None:
    """The snapshot of a tag's value: bool, int and float stay what they are, the rest is text. Never raises."""
    kind = type(value)
    if kind is str:
        # Tags are cut to ~1 KB when they are sent; what is far beyond need not be kept until then.
        return value[:limit] if len(value) > limit else value  # type: ignore[no-any-return]
    if kind is bool or kind is int or kind is float or value is None:
        return value  # type: ignore[no-any-return]
    if type(limit) is uncut.Limit:
        return unseen.call(uncut.call, _tag_value, value, limit)  # type: ignore[no-any-return]
    return unseen.call(_tag_value, value, limit)  # type: ignore[no-any-return]


def _tag_value(value: Any, limit: int) -> str | int | float | bool | None:
    try:
        form = plain(value) if type(value) not in _JSON_TYPES else value
        if type(form) in (bool, int, float):
            return form  # type: ignore[no-any-return]
        text = to_text(form, limit)
    except Exception:  # noqa: BLE001 - see to_text
        text = describe(value)
    return text[:limit] if text is not None else None


def copied(value: Any, limit: int) -> Any:
    """A copy of ``value`` as JSON has it, or its text when that is longer than ``limit`` characters. Never raises."""
    text = to_text(value, limit)
    return text if text is None or len(text) > limit or type(value) not in _CONTAINERS else json.loads(text)


def error_text(error: Any) -> str:
    """What to show of an error: its message; its type where it has none. Never raises, never empty."""
    try:
        if isinstance(error, str):
            return str.__str__(error) or "error"
        if type(error) is not int and type(error) not in _CONTAINERS:
            return str.__str__(str(error)) or describe(error)
    except Exception:  # noqa: BLE001, S110 - a raising __str__
        pass
    return describe(error)


def describe(value: Any) -> str:
    """What to show of a value in a message: ``repr``, of a container JSON; cut. Never raises."""
    if type(value) not in _CONTAINERS:
        return _repr(value)
    text = to_text(value, REPR_CHARS) or ""
    return text if len(text) <= REPR_CHARS else text[:REPR_CHARS] + "…"


def _repr(value: Any) -> str:
    try:
        text = str.__str__(repr(value)) if type(value) is not int or -BIG_INT < value < BIG_INT else hex_text(value)
    except Exception:  # noqa: BLE001 - a raising __repr__
        text = "<repr() failed> %s" % object.__repr__(value)
    return text if len(text) <= REPR_CHARS or uncut.is_on() else text[:REPR_CHARS] + "…"


def type_name(value: Any) -> str:
    """The name of the type of ``value``, whatever its metaclass says. Never raises."""
    return str(_name_of(type(value)))


def plain(value: Any) -> Any:
    """A form of ``value`` that JSON has, or is nearer to having: one step, the encoder asks again for what is inside.

    Attributes are looked up on the type: an object that pretends to have them all (a mock) gets its repr.
    """
    kind = type(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_text(value)
    if isinstance(value, BaseException):
        return "%s: %s" % (kind.__name__, error_text(value))
    if isinstance(value, (set, frozenset)):
        return _sorted(value)
    if isinstance(value, type):
        return _repr(value)
    if hasattr(kind, "__dataclass_fields__"):
        every = kind.__dataclass_fields__.items()  # with ClassVar and InitVar; dataclasses.fields() is slow
        form = {name: getattr(value, name) for name, field in every if field._field_type.name == "_FIELD"}
        if hasattr(kind, "__leave_out_none__"):  # of spec.tracespec: an absent field is absent from the JSON
            return {name: item for name, item in form.items() if item is not None}
        return form
    if hasattr(kind, "model_dump"):  # pydantic 2
        return value.model_dump()
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):  # pydantic 1
        return value.dict()
    if hasattr(kind, "isoformat"):  # datetime, date, time and what imitates them
        return value.isoformat()
    if hasattr(kind, "__fspath__") and not hasattr(kind, "assert_called"):  # a MagicMock has the first, too
        return os.fsdecode(value)
    if hasattr(kind, "dtype") and hasattr(kind, "tolist"):  # numpy scalars and arrays
        return value.tolist() if value.size <= MAX_ITEMS else _repr(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value) if len(value) <= MAX_COPIED else {key: value[key] for key in islice(value, MAX_COPIED)}
    if isinstance(value, _LISTED):
        return list(islice(value, MAX_COPIED))
    if isinstance(value, collections.abc.Sequence) and not isinstance(value, str):
        size = len(value)
        return list(islice(value, size)) if size <= MAX_ITEMS else _repr(value)
    if any(base.__module__ in _STRINGS_OF for base in kind.__mro__):
        return str(value)
    if isinstance(value, str):  # a subclass, which may have overridden anything: what it is underneath
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return _repr(value)


_JSON_TYPES = frozenset([dict, list, tuple, str, int, float, bool, type(None)])
_CONTAINERS = frozenset([dict, list, tuple])
_DICT_ITEMS = (dict.items, collections.OrderedDict.items)
_LISTED: tuple[Any, ...] = (list, tuple, collections.deque, collections.UserList, collections.abc.MappingView)


def _encoder_with(default: Callable[[Any], Any]) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)


def encoder(default: Callable[[Any], Any] | None) -> Callable[[Any], str]:
    """A function that writes a value as :func:`_encoder_with` does, but in which nobody looks for cycles.

    ``JSONEncoder.encode`` makes a new encoder in C each time, which takes longer than to write two messages with it.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter other than CPython
        return _encoder_with(default).encode  # type: ignore[arg-type]
    chunks = make(None, default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_encoder = _encoder_with(plain)
_encode = encoder(plain)  # of what the weigher has looked through, where a cycle would have been too deep or too much


def _weighed(value: Any, left: int) -> tuple[int, bool]:
    """What is left of so many characters after the JSON of ``value``, about, and whether there are objects in it, whose
    form the encoder asks for. Below 0 it is too much, and was looked at no further.

    Raises ValueError for what has to go the slow way: a long integer, a deep nest, a text that is too much alone, which
    the encoder would write as a whole (3 ms for each MB) before anyone could see that it is.
    """
    foreign = False
    limit = left
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:  # of a megabyte these are some 10,000, and the caller waits
            kind = type(item)
            if kind is str:
                left -= len(item)
                continue
            if kind not in _JSON_TYPES:
                kind = _encoded_as(kind)
                if kind is object:
                    foreign = True
                    continue
                if kind is str:
                    left -= len(item)
            if kind is dict:
                left -= 4 * len(item)
                if left >= 0:
                    inner += dict.values(item)
            elif kind is list or kind is tuple:
                left -= 2 * len(item)
                if left >= 0:
                    inner += item
            elif kind is int and not -BIG_INT < item < BIG_INT:
                raise ValueError("too long to write in decimal")
        if left < 0:
            if any(type(item) is str and len(item) > limit for item in level):
                raise ValueError("too long to write as a whole")
            break
        level = inner
        depth += 1
        if depth > FAST_DEPTH:
            raise ValueError("nested too deeply")
    return left, foreign


class _Weigher:
    """:func:`plain` for the encoder, with ValueError as soon as it all gets too heavy."""

    def __init__(self, left: int) -> None:
        self._left = left

    def plain(self, value: Any) -> Any:
        form = plain(value)
        self._left, _ = _weighed(form, self._left - 2)
        if self._left < 0:
            raise ValueError("too much to write")
        return form


def _encoded_as(kind: type) -> type:
    """What the encoder takes a subclass for; ValueError for a container that need not behave as its base does."""
    if issubclass(kind, dict):
        if kind.items in _DICT_ITEMS and kind.__len__ is dict.__len__:
            return dict
        raise ValueError("a dict of its own kind")
    for base in (list, tuple):
        if issubclass(kind, base):
            if kind.__iter__ is base.__iter__ and kind.__len__ is base.__len__:
                return base
            raise ValueError("a sequence of its own kind")
    return str if issubclass(kind, str) else int if issubclass(kind, int) else object


def _first_part(value: Any, limit: int) -> str:
    """The first ``limit`` characters of the JSON of ``value`` and one more, made without making the rest."""
    parts = []
    size = 0
    for part in _encoder.iterencode(value):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return "".join(parts)[: limit + 1]


def slow_text(value: Any, limit: int) -> str:
    """The text of what has no JSON, or none that can be made at once. Never raises."""
    try:
        tamed = _Tamer(limit).tame(value, 0)
        return tamed if isinstance(tamed, str) else _first_part(tamed, limit)
    except Exception:  # noqa: BLE001 - the last resort must not have exceptions of its own
        return _repr(value)


class _Tamer:
    """Copies a value into one that the encoder takes: cycles, NaN, odd keys and deep nests become text."""

    def __init__(self, limit: int) -> None:
        self._left = limit  # characters: what ends here is longer than that as text
        self._above: set[int] = set()

    def tame(self, value: Any, depth: int) -> Any:
        try:
            form = self._tame(value, depth)
        except Exception:  # noqa: BLE001 - a property or method of a foreign object failed
            form = _repr(value)
        self._left -= len(form) + 2 if type(form) is str else 2
        return form

    def _tame(self, value: Any, depth: int) -> Any:
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        if isinstance(value, int) and not -BIG_INT < value < BIG_INT:
            return hex_text(value)
        if isinstance(value, (str, int, float)) or value is None:
            form = value if type(value) in _JSON_TYPES else plain(value)
            if type(form) is str:
                return form[: max(0, self._left) + 1]  # what follows, nobody will look at
            return form if type(form) in _JSON_TYPES else _repr(value)
        if depth >= MAX_DEPTH:
            return "<nested too deeply>"
        if id(value) in self._above:
            return "<circular reference>"
        self._above.add(id(value))
        try:
            return self._inside(value, depth)
        finally:
            self._above.discard(id(value))

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            result = {}
            for key, item in list(islice(value.items(), max(0, self._left))):
                if self._left <= 0:
                    break
                name = key if type(key) is str else self._key(key)
                result[_Again(name) if name in result else name] = self.tame(item, depth + 1)
            return result
        if isinstance(value, (list, tuple)):
            items = []
            for item in value:
                if self._left <= 0:
                    break
                items.append(self.tame(item, depth + 1))
            return items
        return self._tame(plain(value), depth + 1)  # which counts once, as what is returned

    def _key(self, key: Any) -> str:
        if type(key) in _JSON_TYPES and not isinstance(key, tuple):
            return _encode(self.tame(key, MAX_DEPTH)).strip('"')
        form = self.tame(key, MAX_DEPTH - 2)
        if isinstance(form, (int, float)):
            return _encode(form)
        return form if type(form) is str else _repr(key)


class _Again(str):
    """A key that was another one (``1`` and ``"1"``): both stay, as on the fast way, for both have been counted."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def hex_text(value: int) -> str:
    """A number too long for decimal digits, as hexadecimal ones, cut; linear in time (decimal digits are not)."""
    bits = value.bit_length()
    top = value >> max(0, bits - 4 * REPR_CHARS) if value >= 0 else -(-value >> max(0, bits - 4 * REPR_CHARS))
    return hex(top) + ("…" if bits > 4 * REPR_CHARS else "")


def _bytes_text(data: bytes | bytearray | memoryview) -> str:
    most = 24 * MAX_COPIED if uncut.is_on() else MAX_COPIED  # for a mask, more than is ever sent
    data = bytes(data[:most])
    try:
        # Not final: the cut may have gone through a character.
        return codecs.utf_8_decode(data, "strict", len(data) < most)[0]
    except UnicodeDecodeError:
        import binascii

        return binascii.b2a_base64(data, newline=False).decode("ascii")


def _sorted(items: set[Any] | frozenset[Any]) -> list[Any]:
    if len(items) > MAX_ITEMS:
        return list(islice(items, MAX_COPIED))
    try:
        return sorted(items)
    except Exception:  # noqa: BLE001 - what has no order keeps the set's own
        return list(items)
