"""Driving what runs in steps: generators, coroutines and async generators.

Each has its own stack of spans, in place for each step and only then (:class:`cozeloop_lite.trace.context.Stack`). The
loop is the same for all, and is written where the values go to and come from::

    while steps.advance():
        try:
            steps.send((yield steps.take()))
        except BaseException as error:
            steps.throw(error)

So that the program notices nothing, the next step begins when no exception is being handled (it would become the
``__context__`` of what the step raises), nobody keeps an item or an exception longer than needed (they would live on),
and a ``GeneratorExit`` is handed on like any other exception.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator

    from .context import Stack


class Steps:
    """The steps of one generator or coroutine, on ``stack``; ``note`` is told what it yields."""

    def __init__(self, source: Any, stack: Stack, note: Callable[[Any], None] | None = None) -> None:
        self._source = source
        self._stack = stack
        self._note = note
        self._step = source.send
        self._value: Any = None
        self._item: Any = None
        self.closed = False  # whether it was told to end before its end
        self.result: Any = None

    def advance(self) -> bool:
        """Take the next step. False when that was the last one, and there is a ``result`` instead of an item."""
        value, self._value = self._value, None
        outside = self._stack.resume()
        try:
            self._item = self._step(value)
        except StopIteration as stop:
            self.result = stop.value
            return False
        finally:
            self._stack.suspend(outside)
            value = None  # an exception that was thrown in has this frame in its traceback: it would keep itself alive
        if self._note is not None:
            self._note(self._item)
        return True

    def take(self) -> Any:
        """What the step yielded."""
        item, self._item = self._item, None
        return item

    def send(self, value: Any) -> None:
        """Go on with ``value``."""
        self._step, self._value, self.closed = self._source.send, value, False

    def throw(self, error: BaseException) -> None:
        """Go on with ``error``, which was just caught by the loop."""
        self._step, self._value, self.closed = self._source.throw, _as_thrown(error), isinstance(error, GeneratorExit)


class AsyncSteps:
    """The steps of one async generator. As :class:`Steps`, with an ``advance`` to be awaited."""

    def __init__(self, source: Any, stack: Stack, note: Callable[[Any], None]) -> None:
        self._source = source
        self._stack = stack
        self._note = note
        self._step = _first_step(source)
        self._item: Any = None
        self.closed = False

    async def advance(self) -> bool:
        step, self._step = self._step, None
        try:
            self._item = await drive(Steps(step, self._stack))
        except StopAsyncIteration:
            return False
        finally:
            step = None
        self._note(self._item)
        return True

    def take(self) -> Any:
        item, self._item = self._item, None
        return item

    def send(self, value: Any) -> None:
        self._step, self.closed = self._source.asend(value), False

    def throw(self, error: BaseException) -> None:
        self._step, self.closed = self._source.athrow(_as_thrown(error)), isinstance(error, GeneratorExit)


async def drive(steps: Steps) -> Any:
    """The result of the steps of a coroutine, awaited."""
    while steps.advance():
        try:
            steps.send(await Pause(steps))
        except BaseException as error:  # noqa: BLE001 - thrown in, and handed on
            steps.throw(error)
    return steps.result


def driven(coroutine: Any, stack: Stack) -> Any:
    """A coroutine that is ``coroutine``, on ``stack``."""
    result: Any = drive(Steps(coroutine, stack))
    result.__name__, result.__qualname__ = coroutine.__name__, coroutine.__qualname__
    return result


class Pause:
    """``await Pause(steps)``: hands the item of a step on to the event loop, and takes its answer.

    Not a generator: what the event loop throws is to be raised in the coroutine itself, whatever it is.
    """

    __slots__ = ("_steps",)

    def __init__(self, steps: Steps) -> None:
        self._steps: Steps | None = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]  # all that is asked of it here

    __iter__ = __await__

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        steps, self._steps = self._steps, None
        if steps is None:
            raise StopIteration(value)
        return steps.take()


def _as_thrown(error: BaseException) -> BaseException:
    """``error`` without the frame that caught it: what the program sees of a traceback ends in its own frames."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return error


def _first_step(source: Any) -> Any:
    """The first step of an async generator, hidden from the event loop.

    When it shuts down, the event loop closes the async generators it has seen: the wrapper, which closes ``source``.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return source.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
