"""The snapshot of an input or output: taken at once on the caller's thread, turned into JSON on the daemon thread.

A value of nothing but dicts, lists, texts and numbers is copied by ``marshal``, which takes a third of the time of its
JSON (two messages: 0.5 µs and 1.4) and runs no code of the program. What is not that plain becomes JSON at once.
"""

from __future__ import annotations

import marshal

from . import values
from .values import BIG_INT, FAST_DEPTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = 2  # of the format: later ones look for what is the same, which takes a fifth more time
_LONGEST = 8  # characters of JSON for a byte of the copy, at most
_WEIGHTLESS = frozenset([float, bool, type(None)])
_HOLD_PARTS = frozenset(["content", "parts", "message"])  # the fields of messages in which there may be files


def plain_copy(value: Any, limit: int) -> bytes | None:
    """A copy of a dict or list that is plain, has no files, and less than ``limit`` characters; else None.

    All of that is seen on one way through it, for the caller waits: 1 µs for two messages, beside the copy. What is
    refused costs no more than that part of it which was looked at. Never raises.
    """
    containers = [value]
    try:
        for container in containers:
            limit -= len(container)
            if limit < 0 or len(containers) > FAST_DEPTH:  # which may all be in each other
                return None
            if type(container) is dict:
                for key, item in container.items():
                    kind = type(item)
                    if kind is str:
                        limit -= len(item)
                    elif kind is dict or kind is list:
                        if key in _HOLD_PARTS:
                            return None
                        containers.append(item)
                    elif kind not in _WEIGHTLESS and not (kind is int and -BIG_INT < item < BIG_INT):
                        return None
            else:
                for item in container:
                    kind = type(item)
                    if kind is str:
                        limit -= len(item)
                    elif kind is dict or kind is list:
                        containers.append(item)
                    elif kind not in _WEIGHTLESS and not (kind is int and -BIG_INT < item < BIG_INT):
                        return None
        return marshal.dumps(value, _VERSION) if limit >= 0 else None
    except Exception:  # noqa: BLE001 - a key that is no text, or another thread that changes the value
        return None


def text(snapshot: str | bytes | None) -> str:
    """The text that a snapshot stands for; "" for none."""
    if type(snapshot) is bytes:
        return values.plain_text(marshal.loads(snapshot), _LONGEST * len(snapshot))
    return snapshot or ""  # type: ignore[return-value]  # not bytes
