"""The stack of open spans, one to a thread: which span is the current one, the parent of the next.

The stack is a linked list: each span knows the one that was current when it was started (``_outer``), and one variable
holds the top. The variable is a ``ContextVar``, thread-local storage that asyncio understands as well: a thread has its
own, and so has each asyncio task, which starts with that of its creator. Since a list that is only ever extended at the
top can be shared by many tops, tasks that interleave on one thread never see each other's spans.

A span leaves the stack when it is finished, wherever and in whatever order that happens: whoever reads the stack passes
over finished spans, so that finishing in another thread needs no access to this one.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar, copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..propagation import TraceInfo
    from .span import Span


class StandIn:
    """Stands for a span on the stack of another thread: a parent for what is started there, finished or not.

    Has what a parent needs to have of a span. In another process, it stands for the ``SpanContext`` that came of it.
    """

    __slots__ = ("_finished", "_id", "_outer", "_trace", "span")

    def __init__(self, span: Any) -> None:
        self.span: Any = span.span if isinstance(span, StandIn) else span
        self._trace: TraceInfo = span._trace
        self._id: int = span._id
        self._finished = False
        self._outer = None

    @property
    def _baggage(self) -> dict[str, str]:
        return self.span._baggage  # type: ignore[no-any-return]  # as it is when the child starts

    def __reduce__(self) -> tuple[Any, ...]:
        return StandIn, (self.span,)


_top: ContextVar[Span | None] = ContextVar("cozeloop_lite_top", default=None)

top = _top.get


if sys.version_info >= (3, 12):
    push = _top.set
else:

    def push(span: Any) -> None:
        """Make ``span`` the top.

        Setting a context variable may run the garbage collector, that may close a generator of ours, which sets the
        variable again: before CPython 3.12 the mapping that is being copied would be freed. The copy keeps it.
        """
        keep = copy_context()
        _top.set(span)
        del keep


def current() -> Span | None:
    """The innermost open span of this thread or task."""
    span = _top.get()
    while span is not None and span._finished:
        span = span._outer
    return span


class Stack:
    """The stack of something that runs in steps: a generator, a coroutine, a stream.

    Between its steps others run on the same thread, and they must not find its spans, nor it theirs. So it has a
    stack of its own, which begins as a copy of the one that is there: :meth:`resume` puts it in place before a step,
    :meth:`suspend` takes it away after it. Only our variable is exchanged: what the program keeps in context
    variables goes on as without us.

    Args:
        span: when it was just started for what is to run; taken away from the stack that is there.
    """

    __slots__ = ("_own",)

    def __init__(self, span: Span | None = None) -> None:
        above = self._own = _top.get()
        while above is not None and above is not span:
            above = above._outer
        if above is not None:  # it was just started, on the stack of whoever takes the first step
            push(above._outer)

    def resume(self) -> Span | None:
        """Put the stack in place; returns the one to put back."""
        outside = _top.get()
        push(self._own)
        return outside

    def suspend(self, outside: Span | None) -> None:
        """Take the stack away again."""
        self._own = _top.get()
        push(outside)


def current_span() -> Span | None:
    """The innermost open span, for the program to work with."""
    span: Any = current()
    if isinstance(span, StandIn):
        return span.span if hasattr(span.span, "_finished") else None  # a span of another process has no setters here
    return span  # type: ignore[no-any-return]


def leave(span: Span, whole: bool) -> None:
    """Take the finished ``span`` off the stack it is on; with ``whole`` everything that was started above it, too.

    ``whole`` is for the end of a ``with`` block, and for the span that began the trace in this thread: what they leave
    open must not become the parent of the next request.
    """
    outer = span._outer
    while outer is not None and outer._finished:
        outer = outer._outer
    span._outer = outer  # so that a chain of spans which overlap does not keep all of them alive
    above = _top.get()
    if above is span:
        push(outer)
        return
    # Not the top: something above is still open, or this is another thread, where there is nothing to do.
    while above is not None and above is not span:
        if not whole and not above._finished:
            return
        above = above._outer
    if above is span:
        push(outer)
