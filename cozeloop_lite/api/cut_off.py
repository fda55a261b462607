"""Requests that are cut off while they are under way: at the end of a program, others may need the time more.

Whoever makes one brings a function that says so, which is asked again and again while the network is waited for; but
not by a pool of the program's own (``http_client``).
"""

from __future__ import annotations

import _thread

from .. import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

LOOK_SECONDS = 0.1  # how often it is asked

_asked: dict[int, Callable[[], bool]] = {}  # by the id of the thread, which is looked up as in connections.py


class _Forked:
    def _on_fork(self) -> None:
        _asked.clear()  # the parent's stayed there, and new threads may have their ids


_forked = _Forked()
process.on_fork(_forked)


def call(due: Callable[[], bool], work: Callable[..., Any], *args: Any) -> Any:
    """What ``work`` returns, whose requests time out as soon as ``due()`` is true."""
    thread = _thread.get_ident()
    outer = _asked.get(thread)  # a token function or a signal handler may make one in the middle of another
    try:
        _asked[thread] = due
        return work(*args)
    finally:
        if outer is None:
            _asked.pop(thread, None)
        else:
            _asked[thread] = outer


def is_due() -> bool | None:
    """Whether the request of this thread is to be cut off; None when nothing ever does."""
    due = _asked.get(_thread.get_ident())
    return None if due is None else due()
