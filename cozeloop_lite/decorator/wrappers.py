"""A wrapper for each kind of function.

A wrapper is itself of the kind that it wraps (``inspect`` and event loops look), and keeps the protocol of ``send``,
``throw``, ``close`` and return values to the letter. It drops the arguments when it has handed them on: the function
decides how long they live.
"""

from __future__ import annotations

import functools
import types

from .. import logger
from ..trace import values
from ..trace.context import Stack
from ..trace.steps import AsyncSteps, Pause, Steps, drive
from . import signatures
from .observer import Items, Observer
from .proxy import own, standing_for
from .stream import is_stream, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncGenerator, Callable, Generator

    from ..trace.span import Span


def wrap(observer: Observer) -> Any:
    """What takes the place of ``observer.fn``."""
    fn = observer.fn
    if not callable(fn):
        logger.warn(
            "what is observed or traced is a function, not %s: nothing is traced (a name is given by name=...)",
            values.describe(fn),
        )
        return fn
    signed = signatures.of(fn, through_wrappers=False)
    flags = signed.flags if signed is not None else 0
    if flags & signatures.ASYNC_GENERATOR:
        wrapper = _async_generator(observer)
    elif flags & signatures.COROUTINE:
        wrapper = _coroutine(observer)
    elif flags & signatures.GENERATOR:
        wrapper = _generator(observer)
        if flags & signatures.ITERABLE_COROUTINE:
            wrapper = types.coroutine(wrapper)
    else:
        wrapper = _function(observer)
    if type(fn) is types.FunctionType:
        return functools.wraps(fn)(wrapper)
    return standing_for(_Callable(observer, wrapper), _CALLABLE_METHODS)


def _function(observer: Observer) -> Callable[..., Any]:
    fn = observer.fn

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = observer.start()
        try:
            observer.note_arguments(span, args, kwargs)
            result = fn(span) if observer.gives_span else fn(*args, **kwargs)
        except BaseException as error:
            observer.fail(span, error)
            raise
        if type(result) is types.CoroutineType:  # the work is yet to be done
            return _rest(observer, span, result)
        return _returned(observer, span, result, None)

    return wrapper


def _generator(observer: Observer) -> Callable[..., Any]:
    fn = observer.fn

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = observer.start()
        items = Items(observer, span)
        try:
            observer.note_arguments(span, args, kwargs)
            stack = Stack(span)
            steps = Steps(fn(span) if observer.gives_span else fn(*args, **kwargs), stack, items.add)
            del args, kwargs
            while steps.advance():
                try:
                    steps.send((yield steps.take()))
                except BaseException as error:  # noqa: BLE001 - thrown in, GeneratorExit included, and handed on
                    steps.throw(error)
        except BaseException as error:
            observer.end(span, items, error)
            raise
        observer.end(span, items, GeneratorExit() if steps.closed else None)
        return steps.result

    return wrapper


def _coroutine(observer: Observer) -> Callable[..., Any]:
    fn = observer.fn

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = observer.start()
        try:
            observer.note_arguments(span, args, kwargs)
            stack = Stack(span)
            steps = Steps(fn(span) if observer.gives_span else fn(*args, **kwargs), stack)
            del args, kwargs
            while steps.advance():
                try:
                    steps.send(await Pause(steps))
                except BaseException as error:  # noqa: BLE001 - thrown in, and handed on
                    steps.throw(error)
        except BaseException as error:
            observer.fail(span, error)
            raise
        return _returned(observer, span, steps.result, stack)

    return wrapper


def _async_generator(observer: Observer) -> Callable[..., Any]:
    fn = observer.fn

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = observer.start()
        items = Items(observer, span)
        try:
            observer.note_arguments(span, args, kwargs)
            stack = Stack(span)
            steps = AsyncSteps(fn(span) if observer.gives_span else fn(*args, **kwargs), stack, items.add)
            del args, kwargs
            while await steps.advance():
                try:
                    steps.send((yield steps.take()))
                except BaseException as error:  # noqa: BLE001 - thrown in, GeneratorExit included, and handed on
                    steps.throw(error)
        except BaseException as error:
            observer.end(span, items, error)
            raise
        observer.end(span, items, GeneratorExit() if steps.closed else None)

    return wrapper


def _rest(observer: Observer, span: Span, coroutine: Any) -> Any:
    """The coroutine that a plain function returned, with a span that ends with it."""
    stack = Stack(span)

    async def rest() -> Any:
        try:
            result = await drive(Steps(coroutine, stack))
        except BaseException as error:
            observer.fail(span, error)
            raise
        return _returned(observer, span, result, stack)

    rest.__name__, rest.__qualname__ = coroutine.__name__, coroutine.__qualname__
    return rest()


def _returned(observer: Observer, span: Span, result: Any, stack: Stack | None) -> Any:
    """``result``; watched, if it is a stream and someone wants to know what is in it."""
    if observer.process_items is not None and is_stream(result):
        try:
            return watch(result, observer, span, stack or Stack(span))
        except Exception as problem:  # noqa: BLE001 - of a type that is not like others
            logger.warn("the stream of %s is not recorded: %s", observer.name, values.describe(problem))
            span.finish()
            return result
    observer.succeed(span, result)
    return result


class _Callable:
    """What the proxy of a callable that is no Python function is about: it may have methods beside being called."""

    def __init__(self, observer: Observer, call: Callable[..., Any]) -> None:
        self.source = observer.fn
        self.observer = observer
        self.call = call

    def attribute(self, proxy: Any, name: str) -> Any:
        if name == "__call__":
            return self.call
        if name == "__wrapped__":
            return self.source
        if name == "__mro_entries__" and issubclass(type(self.source), type):  # class Child(the proxy of a class)
            return lambda bases: (self.source,)
        return getattr(self.source, name)


def _call(*args: Any, **kwargs: Any) -> Any:
    return own(args[0]).call(*args[1:], **kwargs)


def _get(self: Any, instance: Any, owner: Any = None) -> Any:
    """As an attribute of a class: a partial stays what it is, a cached function becomes a method."""
    about = own(self)
    found = type(about.source).__get__(about.source, instance, owner)
    if found is about.source:
        return self
    return wrap(about.observer.of(found))


_CALLABLE_METHODS = {"__call__": _call, "__get__": _get}
