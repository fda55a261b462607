"""What a mask will see is not cut before, for the cut may go through a secret, of which no mask finds a part.

Where a whole text ends, a mask is given more of it than is sent (``content.MASK_MARGIN``). What is cut inside of a
value (a long ``repr``, an item of a generator) has JSON around it by then, so there it is all or nothing.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Limit(int):
    """A number of characters, as :func:`values.to_text` takes one, of a text that a mask will see."""


class _Now(_thread._local):
    on = False


_now = _Now()


def call(work: Callable[[Any, int], Any], value: Any, limit: int) -> Any:
    """``work(value, limit)``, in which nothing is cut before ``limit``."""
    if _now.on:
        return work(value, limit)
    try:  # around both, as in unseen.py
        _now.on = True
        return work(value, limit)
    finally:
        _now.on = False


def is_on() -> bool:
    """Whether this thread is in such a call."""
    return _now.on


def sees(span: Any) -> bool:
    """Whether a mask will see what ``span``, which may be one of the program's own making, carries."""
    return type(getattr(getattr(span, "_owner", None), "tag_chars", None)) is Limit
