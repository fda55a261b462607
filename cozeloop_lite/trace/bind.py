"""Crossing threads: a function, or all tasks of an executor, taken into the span that was current where they were made.

A new thread starts a new trace. What is bound to a span continues the trace of that span there, even when the span is
finished by the time the function runs.
"""

from __future__ import annotations

import functools

from . import context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


def bind(fn: F) -> F:
    """Make ``fn`` run in the span that is current now, whatever thread calls it, and when; ``fn`` itself without one.

    >>> threading.Thread(target=bind(work)).start()  # doctest: +SKIP
    """
    span = context.current()
    if span is None:
        return fn
    stand_in: Any = context.StandIn(span)

    @functools.wraps(fn)
    def bound(*args: Any, **kwargs: Any) -> Any:
        before = context.top()
        context.push(stand_in)
        try:
            return fn(*args, **kwargs)
        finally:
            context.push(before)

    return bound  # type: ignore[return-value]


class BoundExecutor:
    """A ``concurrent.futures`` executor whose tasks run in the span that is current when they are submitted.

    >>> pool = BoundExecutor(ThreadPoolExecutor(8))  # doctest: +SKIP
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As the executor's own."""
        return self._executor.submit(bind(fn), *args, **kwargs)

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
