"""Crossing threads: a function, or all tasks of an executor, taken into the span that was current where they were made.

A new thread starts a new trace. What is bound to a span continues the trace of that span there, even when the span is
finished by the time the function runs.
"""

from __future__ import annotations

import functools
from types import CoroutineType

from . import context
from .steps import driven

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


def bind(fn: F) -> F:
    """Make ``fn`` run in the span that is current now, whatever thread calls it, and when; ``fn`` itself without one.

    A coroutine that ``fn`` returns runs in that span as well.

    >>> threading.Thread(target=bind(work)).start()  # doctest: +SKIP
    """
    span = context.current()
    if span is None:
        return fn
    return _Bound(fn, context.StandIn(span))  # type: ignore[return-value]


class _Bound:
    """Not a closure, so that it can be sent to another process, if the function can."""

    def __init__(self, fn: Callable[..., Any], stand_in: context.StandIn) -> None:
        functools.update_wrapper(self, fn)
        self._cozeloop_lite = fn, stand_in

    def __call__(*args: Any, **kwargs: Any) -> Any:  # the function may have an argument named self
        fn, stand_in = args[0]._cozeloop_lite
        before = context.top()
        context.push(stand_in)
        try:
            result = fn(*args[1:], **kwargs)
            if type(result) is CoroutineType:
                result = driven(result, context.Stack())
            return result
        finally:
            context.push(before)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Bound, self._cozeloop_lite


class BoundExecutor:
    """A ``concurrent.futures`` executor whose tasks run in the span that is current when they are submitted.

    >>> pool = BoundExecutor(ThreadPoolExecutor(8))  # doctest: +SKIP
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(*args: Any, **kwargs: Any) -> Any:  # the function may have arguments named self and fn
        """As the executor's own."""
        self, fn, *rest = args
        return self._executor.submit(bind(fn), *rest, **kwargs)

    def map(self, fn: Callable[..., Any], *iterables: Any, **kwargs: Any) -> Any:
        """As the executor's own."""
        return self._executor.map(bind(fn), *iterables, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def __enter__(self) -> BoundExecutor:
        self._executor.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        return self._executor.__exit__(*exc_info)
