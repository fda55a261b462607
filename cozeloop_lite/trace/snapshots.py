"""The snapshot of an input or output: taken at once on the caller's thread, turned into JSON on the daemon thread.

A value of nothing but dicts, lists, texts and numbers is copied by ``marshal``, which takes a third of the time of its
JSON (two messages: 0.5 µs and 1.4) and runs no code of the program. What is not that plain becomes JSON at once.
"""

from __future__ import annotations

import marshal

from . import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_CHARS = 1 << 20
_ITEM_CHARS = 8  # what each item counts for, besides its text: about its size in the copy
_MOST_DEPTH = 50  # the JSON is made on a thread whose stack may be small: 64 KiB are enough for 100
_MOST_INT = 1 << 64
_VERSION = 2  # of the format: later ones look for what is the same, which takes a fifth more time
_LONGEST = 8  # characters of JSON for a byte of the copy, at most
_WEIGHTLESS = frozenset([float, bool, type(None)])
_HOLD_PARTS = frozenset(["content", "parts", "message"])  # the fields of messages in which there may be files


def plain_copy(value: Any, limit: int) -> bytes | None:
    """A copy of a dict or list that is plain, has no files, and less than ``limit`` characters; else None.

    Plain are exactly the types of JSON: for others, ``marshal`` may have a form of its own. All of that is seen on one
    way through the value, for the caller waits: 1 µs for two messages. Never raises.
    """
    if limit > _MOST_CHARS:
        limit = _MOST_CHARS
    level = [value]
    try:
        for _ in range(_MOST_DEPTH):
            inner: list[Any] = []
            for container in level:
                limit -= _ITEM_CHARS * len(container)
                if limit < 0:
                    return None
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
                        elif kind not in _WEIGHTLESS and not (kind is int and -_MOST_INT < item < _MOST_INT):
                            return None
                else:
                    for item in container.copy():  # another thread may append for ever
                        kind = type(item)
                        if kind is str:
                            limit -= len(item)
                        elif kind is dict or kind is list:
                            inner.append(item)
                        elif kind not in _WEIGHTLESS and not (kind is int and -_MOST_INT < item < _MOST_INT):
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
        return values.plain_text(marshal.loads(snapshot), _LONGEST * len(snapshot))
    return snapshot or ""  # type: ignore[return-value]  # not bytes
