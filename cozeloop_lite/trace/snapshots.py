"""The snapshot of an input or output: taken at once on the caller's thread, turned into JSON on the daemon thread.

A value of nothing but dicts, lists, texts and numbers is looked through once and then copied by ``marshal``. Two short
messages cost the caller 2.0 µs, where their JSON costs 3.6; twenty of 500 characters 12 and 36, and 20 and 39 where
some are Chinese. No code of the program runs. What is not that plain becomes JSON at once.
"""

from __future__ import annotations

import marshal

from . import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_CHARS = 1 << 20
_ITEM_CHARS = 8  # what each item counts for, besides its text: about its size in the copy
_MAX_DEPTH = 50  # levels: the JSON is made on a thread whose stack may be small; 64 KiB are enough for 100
_MAX_INT = 1 << 64
_VERSION = 2  # of the format: later ones write what is the same but once, and the JSON may be 100 times the copy
_CHARS_PER_BYTE = 8  # of JSON, for a byte of the copy, at most
_WEIGHTLESS = frozenset([float, bool, type(None)])
_HOLD_PARTS = frozenset(["content", "parts", "message"])  # the fields of messages in which there may be files

_encode = values.encoder(values.plain)


def plain_copy(value: Any, limit: int) -> bytes | None:
    """A copy of a dict or list that is plain, not deep, without files, of less than ``limit`` characters; else None.

    Plain are exactly the types of JSON: for others, ``marshal`` may have a form of its own. One way through the value
    finds all of that out, for the caller waits. Never raises.
    """
    if limit > _MAX_CHARS:
        limit = _MAX_CHARS
    level = [value]
    try:
        for _ in range(_MAX_DEPTH):
            inner: list[Any] = []
            for container in level:
                limit -= _ITEM_CHARS * len(container)
                if limit < 0:
                    return None
                # The two loops are one, written twice: to go through a list as pairs with an empty key takes a quarter
                # to three quarters more time.
                if type(container) is dict:
                    for key, item in container.items():
                        if type(key) is not str:
                            return None
                        limit -= len(key)
                        kind = type(item)
                        if kind is str:
                            limit -= len(item)
                        elif kind is dict or kind is list:
                            if key in _HOLD_PARTS:
                                return None
                            inner.append(item)
                        elif kind not in _WEIGHTLESS and not (kind is int and -_MAX_INT < item < _MAX_INT):
                            return None
                else:
                    for item in container.copy():  # another thread may append for ever
                        kind = type(item)
                        if kind is str:
                            limit -= len(item)
                        elif kind is dict or kind is list:
                            inner.append(item)
                        elif kind not in _WEIGHTLESS and not (kind is int and -_MAX_INT < item < _MAX_INT):
                            return None
            if not inner:
                return marshal.dumps(value, _VERSION) if limit >= 0 else None
            level = inner
    except Exception:  # noqa: BLE001, S110 - another thread that changes the value
        pass
    return None


def text(snapshot: str | bytes | None) -> str:
    """The text that a snapshot stands for; "" for none."""
    if type(snapshot) is bytes:
        value = marshal.loads(snapshot)
        try:
            return _encode(value)
        except Exception:  # noqa: BLE001 - NaN or infinity, which JSON does not have
            return values.slow_text(value, _CHARS_PER_BYTE * len(snapshot))
    return snapshot or ""  # type: ignore[return-value]  # not bytes
