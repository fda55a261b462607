"""Threads on which nothing is traced at this moment, since what runs there runs for us.

A value becomes text: that may run code of the program (a ``__repr__``), and without us there would be no such call; it
may be given the same value, without end. Or spans are sent: what functions of the program do for that (the one that
gives a token, say) would be sent with one more request, which needs a token. A new trace that a callback asks for
explicitly is one all the same.
"""

from __future__ import annotations

import _thread
import functools

from .. import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

threads: set[int] = set()


class _Forked:
    def _on_fork(self) -> None:
        threads.clear()  # the parent's stayed there, and new ones may have their ids


_forked = _Forked()
process.on_fork(_forked)


def call(work: Callable[..., Any], *args: Any) -> Any:
    """Call ``work``: nothing that it starts on this thread meanwhile is traced."""
    thread = _thread.get_ident()  # looked up at each call, see machine.py
    if thread in threads:
        return work(*args)
    try:  # around both: were Ctrl-C to leave the mark behind, nothing would be traced here any more
        threads.add(thread)
        return work(*args)
    finally:
        threads.discard(thread)


def always(work: F) -> F:
    """A function or method that is only ever called by :func:`call`."""

    @functools.wraps(work)
    def quietly(*args: Any) -> Any:
        return call(work, *args)

    return quietly  # type: ignore[return-value]
