"""Driving what runs in steps: generators, coroutines, and the steps of async generators.

All of them have ``send`` and ``throw``, so one generator drives them all, with their own stack of spans in place for
each step and only then (see :class:`cozeloop_lite.trace.context.Stack`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator

    from ..trace.context import Stack


class Steps:
    """Drives one generator, coroutine or async generator on ``stack``; ``note`` is told what it yields."""

    def __init__(self, stack: Stack, note: Callable[[Any], None] | None = None) -> None:
        self._stack = stack
        self._note = note
        self.returned = False
        self.value: Any = None

    def of(self, source: Any) -> Generator[Any, Any, Any]:
        """The same steps, values and result as those of ``source``."""
        step, sent = source.send, None
        while True:
            outside = self._stack.resume()
            try:
                item = step(sent)
            except StopIteration as stop:
                self.returned, self.value = True, stop.value
                return stop.value
            finally:
                self._stack.suspend(outside)
                sent = None  # an exception that was thrown in must not be kept alive by this frame
            if self._note is not None:
                self._note(item)
            try:
                sent = yield item
                step = source.send
            except BaseException as error:  # noqa: BLE001 - thrown in, GeneratorExit included, and handed on
                step, sent = source.throw, error

    def awaiting(self, source: Any) -> _Awaitable:
        """What to ``await`` instead of ``source``."""
        return _Awaitable(self.of(source))


class _Awaitable:
    __slots__ = ("_steps",)

    def __init__(self, steps: Generator[Any, Any, Any]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps
