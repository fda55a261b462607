"""A value becomes a snapshot: text that later changes to the value cannot touch.

This is the one thing the caller's thread pays for. ``str`` is taken as it is; everything else becomes compact JSON
with non-ASCII kept, as fast as the standard library's C encoder goes. What that encoder refuses (cycles, NaN, odd
keys, objects, huge numbers) goes a slower way that always ends: no value raises, and none costs more than about as much
work as the text that can be sent of it.
"""

from __future__ import annotations

import base64
import collections.abc
import enum
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REPR_CHARS = 1000  # of an object that has no better form than its repr
MAX_DEPTH = 64  # of containers on the slow way; the fast way goes as deep as Python's recursion limit
MAX_ITEMS = 10_000  # of a lazy or foreign sequence (range, numpy array), which is described rather than listed above it
_BIG_INT = 1 << 256  # integers beyond it are written in hexadecimal, cut: their decimal digits cost quadratic time

_STRINGS_OF = ("decimal", "fractions", "uuid", "ipaddress")  # modules whose str() is the value itself


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
    try:
        if kind not in _JSON_TYPES:
            value = plain(value)
            if isinstance(value, str):
                return str(value)
        if _heavier_than(value, limit):
            return _first_part(value, limit)
        return _encode(value)
    except Exception:  # noqa: BLE001 - whatever a foreign object does, the slow way survives it
        return _slow_text(value, limit)


def tag_value(value: Any, limit: int) -> str | int | float | bool | None:
    """The snapshot of a tag's value: bool, int and float stay what they are, the rest is text. Never raises."""
    kind = type(value)
    if kind is str:
        # Tags are cut to ~1 KB when they are sent; what is far beyond need not be kept until then.
        return value[:limit] if len(value) > limit else value  # type: ignore[no-any-return]
    if kind is bool or kind is int or kind is float or value is None:
        return value  # type: ignore[no-any-return]
    try:
        form = plain(value) if kind not in _JSON_TYPES else value
        if type(form) in (bool, int, float):
            return form  # type: ignore[no-any-return]
        text = to_text(form, limit)
    except Exception:  # noqa: BLE001 - see to_text
        text = describe(value)
    return text[:limit] if text is not None else None


def error_text(error: Any) -> str:
    """What to show of an error: its message; its type where it has none. Never raises, never empty."""
    if isinstance(error, str):
        return error or "error"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a raising __str__
        text = ""
    return text or describe(error)


def describe(value: Any) -> str:
    """``repr``, cut. Never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a raising __repr__
        text = "<%s: its repr() failed>" % type(value).__name__
    return text if len(text) <= REPR_CHARS else text[:REPR_CHARS] + "…"


def plain(value: Any) -> Any:
    """A form of ``value`` that JSON has, or is nearer to having: one step, the encoder asks again for what is inside.

    Attributes are looked up on the type: an object that pretends to have them all (a mock) gets its repr.
    """
    kind = type(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_text(bytes(value))
    if isinstance(value, BaseException):
        return "%s: %s" % (kind.__name__, error_text(value))
    if isinstance(value, (set, frozenset)):
        return _sorted(value)
    if isinstance(value, type):
        return describe(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    if hasattr(kind, "model_dump"):  # pydantic 2
        return value.model_dump()
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):  # pydantic 1
        return value.dict()
    if hasattr(kind, "isoformat"):  # datetime, date, time and what imitates them
        return value.isoformat()
    if hasattr(kind, "__fspath__"):
        return os.fsdecode(value)
    if hasattr(kind, "dtype") and hasattr(kind, "tolist"):  # numpy scalars and arrays
        return value.tolist() if value.size <= MAX_ITEMS else describe(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if isinstance(value, (collections.abc.Sequence, collections.deque)) and not isinstance(value, str):
        return list(value) if len(value) <= MAX_ITEMS else describe(value)
    if kind.__module__ in _STRINGS_OF:
        return str(value)
    if isinstance(value, str):  # a subclass, which may have overridden anything: what it is underneath
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return describe(value)


_JSON_TYPES = frozenset([dict, list, tuple, str, int, float, bool, type(None)])
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
_encode = _encoder.encode


def _heavier_than(value: Any, limit: int) -> bool:
    """Whether the JSON of ``value`` has more than about ``limit`` characters, found out by looking at no more.

    Raises ValueError for an integer too long to write, which sends the value the slow way.
    """
    weight = 0
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is str:
            weight += len(item)
        elif kind is dict:
            weight += 4 * len(item)
            if weight <= limit:
                stack.extend(item.values())
        elif kind is list or kind is tuple:
            weight += 2 * len(item)
            if weight <= limit:
                stack.extend(item)
        elif kind is int and not -_BIG_INT < item < _BIG_INT:
            raise ValueError("too long to write in decimal")
        if weight > limit:
            return True
    return False


def _first_part(value: Any, limit: int) -> str:
    """The first ``limit`` characters of the JSON of ``value``, made without making the rest."""
    parts = []
    size = 0
    for part in _encoder.iterencode(value):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return "".join(parts)


def _slow_text(value: Any, limit: int) -> str:
    try:
        tamed = _Tamer(limit).tame(value, 0)
        return tamed if isinstance(tamed, str) else _first_part(tamed, limit)
    except Exception:  # noqa: BLE001 - the last resort must not have exceptions of its own
        return describe(value)


class _Tamer:
    """Copies a value into one that the encoder takes: cycles, NaN, odd keys and deep nests become text."""

    def __init__(self, limit: int) -> None:
        self._left = limit  # each item is at least a character
        self._above: set[int] = set()

    def tame(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        if isinstance(value, int) and not -_BIG_INT < value < _BIG_INT:
            return hex_text(value)
        if isinstance(value, (str, int, float)) or value is None:
            return value if type(value) in _JSON_TYPES else plain(value)
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
            for key, item in list(value.items()):
                if self._left <= 0:
                    break
                result[key if isinstance(key, str) else self._key(key)] = self.tame(item, depth + 1)
            return result
        if isinstance(value, (list, tuple)):
            items = []
            for item in value:
                if self._left <= 0:
                    break
                items.append(self.tame(item, depth + 1))
            return items
        try:
            form = plain(value)
        except Exception:  # noqa: BLE001 - a property or method of a foreign object failed
            return describe(value)
        return self.tame(form, depth + 1)

    def _key(self, key: Any) -> str:
        if key is None or isinstance(key, (bool, int, float)):
            return _encode(self.tame(key, 0)).strip('"')
        form = self.tame(key, MAX_DEPTH - 1)
        return form if isinstance(form, str) else describe(key)


def hex_text(value: int) -> str:
    """A number too long for decimal digits, as hexadecimal ones, cut; linear in time (decimal digits are not)."""
    bits = value.bit_length()
    top = value >> max(0, bits - 4 * REPR_CHARS) if value >= 0 else -(-value >> max(0, bits - 4 * REPR_CHARS))
    return hex(top) + ("…" if bits > 4 * REPR_CHARS else "")


def _bytes_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii")


def _sorted(items: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(items)
    except Exception:  # noqa: BLE001 - what has no order keeps the set's own
        return list(items)
